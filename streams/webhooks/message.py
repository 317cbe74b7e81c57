"""A message of the stream of alerts, as webhooks carry it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from engine.errors import CorruptState

__all__ = ["PING", "Message", "ping_body", "read_message"]

PING = "henji.ping"
"""Type of the message by which an endpoint is tried."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Message:
    """One message; (`alert_id`, `lane`, `seq`) is its identity.

    Parameters
    ----------
    stream_id
        Its place in the stream.
    flag, op, route, priority, held
        What endpoints choose by.
    body
        What is posted.
    """

    stream_id: str
    alert_id: str
    lane: int
    seq: int
    flag: str
    op: str
    route: str
    priority: int
    held: str
    body: bytes

    @property
    def key(self) -> str:
        """The idempotency key, the same for every attempt and every endpoint."""
        return f"{self.alert_id}:{self.lane}:{self.seq}"


def read_message(stream_id: str, fields: Mapping[bytes, bytes], guidance: Mapping[bytes, bytes]) -> Message:
    """A message from its entry of the stream.

    Parameters
    ----------
    stream_id, fields
        The entry; a missing `held` or `guidance` is an empty one.
    guidance
        Id -> text, as in the board's `guidance`.

    Raises
    ------
    CorruptState
        If a field is missing or not of the contract's form.

    Examples
    --------
    >>> message = read_message("5-0", {
    ...     b"alert_id": b"00112233aabbccdd", b"lane": b"3", b"seq": b"7", b"priority": b"2", b"route": b"team:a",
    ...     b"scene": b"[]",
    ...     b"line": b'{"alert_id":"00112233aabbccdd","op":"raise","flag":"unresolved","at":1500}'}, {})
    >>> message.key, message.held
    ('00112233aabbccdd:3:7', '')
    >>> orjson.loads(message.body)["type"], orjson.loads(message.body)["timestamp"]
    ('henji.alert.raise', '1970-01-01T00:00:01.500Z')
    """
    try:
        raw = fields[b"line"]
        line = orjson.loads(raw)
        alert_id, lane, seq = fields[b"alert_id"].decode(), int(fields[b"lane"]), int(fields[b"seq"])
        held, route, priority = fields.get(b"held", b"").decode(), fields[b"route"].decode(), int(fields[b"priority"])
        body = {
            "type": f"henji.alert.{line['op']}",
            "timestamp": _iso(line["at"]),
            "data": {
                # The line as it stands: its bytes are a contract of their own.
                "alert": orjson.Fragment(raw),
                "lane": lane,
                "seq": seq,
                "held": held,
                "route": route,
                "priority": priority,
                "guidance": _guidance(fields.get(b"guidance", b""), guidance),
                "scene": [_trace(each) for each in orjson.loads(fields[b"scene"])],
            },
        }
        return Message(
            stream_id=stream_id,
            alert_id=alert_id,
            lane=lane,
            seq=seq,
            flag=str(line["flag"]),
            op=str(line["op"]),
            route=route,
            priority=priority,
            held=held,
            body=orjson.dumps(body),
        )
    except (KeyError, ValueError, TypeError, OverflowError) as error:
        raise CorruptState(
            f"{stream_id}: expected an alert, got {type(error).__name__}: {error}; run `henji verify`"
        ) from error


def ping_body(endpoint: str, at_ms: int) -> bytes:
    """What is posted to try an endpoint."""
    return orjson.dumps({"type": PING, "timestamp": _iso(at_ms), "data": {"endpoint": endpoint}})


def _iso(ms: int) -> str:
    return (_EPOCH + timedelta(milliseconds=ms)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _trace(text: Any) -> Any:
    """A trace as a list; the stream has it as text."""
    try:
        return orjson.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def _guidance(name: bytes, texts: Mapping[bytes, bytes]) -> dict[str, Any] | None:
    """A text by its id; one that is not there, or cannot be read, must not keep an alert back."""
    if not name:
        return None
    try:
        told = orjson.loads(texts[name])
        return {"id": name.decode(), "say": dict(told["say"]), "avoid": dict(told["avoid"])}
    except (KeyError, ValueError, TypeError):
        return {"id": name.decode(errors="replace"), "say": {}, "avoid": {}}
