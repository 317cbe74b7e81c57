"""The body of a request to events: all of them valid, or a `Problem` that says what is wrong with which."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import orjson

from engine.decode import Limits, decode
from engine.errors import InvalidEvent
from engine.event import CONTROL, Event
from streams.intake.problem import EventError, Problem, event_error

__all__ = ["JSON", "MAX_EVENTS", "NDJSON", "Submitted", "check_control", "decode_all", "split_body"]

JSON, NDJSON = "application/json", "application/x-ndjson"

MAX_EVENTS = 10_000
"""Most events of a request; some 0.1 s of work."""

_AT_ONCE = 200  # events between two looks at other requests: about 2 ms


class Submitted(NamedTuple):
    """A valid event and the bytes that go to Kafka.

    Parameters
    ----------
    raw
        As they came; of an element of an array, its JSON.
    event
        What they say.
    """

    raw: bytes
    event: Event


def split_body(body: bytes, media_type: str) -> list[bytes]:
    r"""The events of a body, each as its own JSON; not looked at yet.

    Parameters
    ----------
    body
        Of the request.
    media_type
        `JSON` (one event, or an array of events) or `NDJSON` (one event a line; blank lines are skipped).

    Raises
    ------
    Problem
        `json`, `empty` or `too_many`.

    Examples
    --------
    >>> split_body(b'[{"a": 1}, 2]', JSON), split_body(b'{"a": 1}\n\n2\n', NDJSON)
    ([b'{"a":1}', b'2'], [b'{"a": 1}', b'2'])
    """
    if media_type == NDJSON:
        lines = [line.removesuffix(b"\r") for line in body.split(b"\n") if line and not line.isspace()]
        _check_number(len(lines))
        return lines
    _check_number(0 if not body or body.isspace() else 1)
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Problem("json", f"expected an event or an array of events as JSON in UTF-8, got {error}") from None
    if not isinstance(found, list):
        return [body]
    _check_number(len(found))
    return [_written(element) for element in found]


def _check_number(n_events: int) -> None:
    if not n_events:
        raise Problem("empty", "expected at least one event, got none")
    if n_events > MAX_EVENTS:
        raise Problem(
            "too_many", f"expected at most {MAX_EVENTS} events, got {n_events}; send them in several requests"
        )


def _written(element: object) -> bytes:
    try:
        return orjson.dumps(element)
    except orjson.JSONEncodeError:
        # orjson reads 1,024 levels and writes 254; no valid event has as many. To be refused as nested too deep.
        return b"[" * 1_025


async def decode_all(parts: list[bytes], *, now_ms: int, limits: Limits | None = None) -> list[Submitted]:
    """Check every event, as the worker will; lets other requests go on in between.

    Parameters
    ----------
    parts
        The events.
    now_ms
        Wall clock, ms: an event more than five minutes ahead of it is refused, as its record's time will be about now.
    limits
        Bounds on an event.

    Raises
    ------
    Problem
        `invalid`, with what is wrong with each.
    """
    limits = limits or Limits()
    found: list[Submitted] = []
    errors: list[EventError] = []
    for index, raw in enumerate(parts):
        if index % _AT_ONCE == _AT_ONCE - 1:
            await asyncio.sleep(0)
        try:
            found.append(Submitted(raw, decode(raw, limits=limits, record_ts=now_ms)))
        except InvalidEvent as error:
            errors.append(event_error(index, error))
    if errors:
        raise Problem(
            "invalid",
            f"expected {len(parts)} valid events, got {len(errors)} that are not; nothing was sent",
            errors=errors,
        )
    return found


def check_control(events: list[Submitted]) -> None:
    """Refuse control events.

    Raises
    ------
    Problem
        `control`, with the control events.
    """
    errors: list[EventError] = [
        {
            "index": index,
            "field": "kind",
            "reason": "control",
            "expected": "no control event from this token",
            "got": submitted.event.kind,
        }
        for index, submitted in enumerate(events)
        if submitted.event.kind in CONTROL
    ]
    if errors:
        raise Problem(
            "control",
            "expected a control token for control events, got another or none; give the client a line "
            "NAME:control:TOKEN in intake.token_file",
            errors=errors,
        )
