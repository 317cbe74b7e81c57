"""Raw bytes to an `Event` in one step: parsed and validated once, before anything else sees them.

Everything that is wrong with a record leaves as `InvalidEvent` with a code of `REASONS`; nothing else is raised,
whatever the bytes are. The codes are a public contract (`docs/events.md`): dead letters carry them.

Two facts about the JSON parser are part of the contract: of a key that stands twice in one object the last counts, and
an integer beyond 64 bits is read as a float (so it is refused where text or a time is expected).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson

from engine.errors import InvalidEvent
from engine.event import (
    CATEGORY_REQUIRED,
    CONTRACT_STEPS,
    CONTROL_CUSTOMER,
    CONTROL_LANE,
    HANDLING_STEPS,
    JUDGEMENTS,
    KINDS,
    MAX_SNOOZE_MS,
    OVERRIDE_STATES,
    REF_REQUIRED,
    WORD_STATES,
    WORDS,
    Event,
)
from engine.fields import (
    CONTROL_TEXT,
    NUMBERS,
    TEXT,
    check_attributes,
    check_body,
    check_category,
    check_customer,
    check_number,
    check_text,
    check_time,
    is_category,
    shown,
)
from engine.timestamp import MAX_TS

if TYPE_CHECKING:
    from engine.vocabulary import Vocabulary

__all__ = ["REASONS", "Limits", "decode"]

REASONS: dict[str, str] = {
    "empty": "the record has no bytes, or only white space",
    "tombstone": "the record has a key and no value; use an `erase` event to erase a customer",
    "too_large": "the record is longer than the limit; it was not parsed",
    "encoding": "the record is not UTF-8",
    "json": "the record is not one JSON document",
    "not_object": "the record is JSON, but not an object",
    "too_many_fields": "the object has more fields than the limit",
    "missing": "a required field is absent or null",
    "type": "a field has the wrong type",
    "range": "a field is empty, too long, outside of its range, or not one of its values",
    "ts": "a time is neither integer milliseconds nor RFC 3339 text with an offset",
    "ts_range": "a time is before 1970 or after 2100",
    "customer": "the customer id is absent, blank, too long or holds a control character",
    "kind": "the kind is not known",
    "category": "the category is not a lower-case path",
    "control": "a control event contradicts itself",
    "future": "the event time is too far ahead of the time of its record",
    "key_mismatch": "the key of the record is not the customer id",
    "misrouted": "the record lies in a partition that does not carry the customer's lane",
    "engine": "the engine failed on this event; it was set aside so that the stream goes on",
}
"""Code of a dead letter -> what it says. `misrouted` and `engine` are given by the worker, the others by `decode`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on one record.

    Parameters
    ----------
    max_bytes
        Longest record; a longer one is refused before it is parsed.
    max_fields
        Most fields of the object, unknown ones included.
    max_ahead_ms
        How far the event time may be ahead of the record's own time; the default of 5 min forgives clocks that are a
        little wrong and keeps a wrong one from moving the lane clock.
    """

    max_bytes: int = 65_536
    max_fields: int = 256
    max_ahead_ms: int = 300_000


_DEFAULT_LIMITS = Limits()


def decode(
    raw: bytes | None,
    *,
    limits: Limits = _DEFAULT_LIMITS,
    vocabulary: Vocabulary | None = None,
    record_ts: int | None = None,
    key: bytes | None = None,
) -> Event:
    """Parse and validate one record.

    Parameters
    ----------
    raw
        The value of the record; `None` is a tombstone.
    limits
        Bounds on size, number of fields and time ahead.
    vocabulary
        Translates an organisation's own words before they are checked.
    record_ts
        Time of the record in the log, ms. `None` or negative (none known): the event time is not compared with it.
    key
        Key of the record; `None` (no key, or a file): not compared with the customer id.

    Returns
    -------
    Event
        Whose every field satisfies `docs/events.md`; times in ms, numbers as floats.

    Raises
    ------
    InvalidEvent
        With a code of `REASONS`, the field, what was expected and what came.

    Examples
    --------
    >>> event = decode(b'{"event_id":"e1","customer_id":"c1","ts":"2026-01-01T00:00:00Z","kind":"view"}')
    >>> event.ts
    1767225600000
    >>> decode(b'{"event_id":"e1","customer_id":5,"ts":0,"kind":"view"}')
    Traceback (most recent call last):
    ...
    engine.errors.InvalidEvent: customer_id: expected a string, got 5
    """
    if not raw or len(raw) > limits.max_bytes:
        raise _refused_unread(raw, limits)
    try:
        record = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _unreadable(raw, error) from None
    if type(record) is not dict:
        raise InvalidEvent("not_object", "", "a JSON object", shown(record))
    if len(record) > limits.max_fields:
        raise InvalidEvent("too_many_fields", "", f"at most {limits.max_fields} fields", f"{len(record)} fields")
    if vocabulary is not None:
        record = vocabulary.apply(record)

    get = record.get
    event_id = get("event_id")
    if type(event_id) is not str or not 0 < len(event_id) <= 128 or not event_id.isprintable():
        event_id = check_text("event_id", _required("event_id", event_id), 128)
    kind = get("kind")
    if type(kind) is not str or kind not in KINDS:
        raise _unknown_kind(kind)
    customer_id = get("customer_id")
    if kind in CONTROL_LANE:
        if customer_id is not None:
            raise InvalidEvent("control", "customer_id", f"none on {kind}, which is for a lane", shown(customer_id))
    else:
        if (
            type(customer_id) is not str
            or not 0 < len(customer_id) <= 128
            or not customer_id.isprintable()
            or customer_id.isspace()
        ):
            customer_id = check_customer(customer_id)
        if key is not None and key != customer_id.encode():
            got = shown(key.decode("utf-8", "backslashreplace"))
            raise InvalidEvent("key_mismatch", "customer_id", f"the record's key to be {shown(customer_id)}", got)
    ts = get("ts")
    if type(ts) is not int or not 0 <= ts <= MAX_TS:
        ts = check_time("ts", _required("ts", ts))
    if record_ts is not None and ts > record_ts + limits.max_ahead_ms and record_ts >= 0:
        expected = f"a time at most {limits.max_ahead_ms} ms ahead of the record's own, {record_ts}"
        raise InvalidEvent("future", "ts", expected, str(ts))

    event = Event(event_id, customer_id, ts, kind)
    _read_fields(event, record)
    if kind == "profile":
        facts = get("attributes")
        if facts is not None:
            event.attributes = check_attributes(facts)
    elif kind in CONTROL_LANE or kind in CONTROL_CUSTOMER:
        _read_control(event, record)
    return event


def _read_fields(event: Event, record: dict[str, Any]) -> None:
    """Fill and check the optional fields that any kind may have.

    The checks of good values stand inside the loop because a call for each would double its cost.
    """
    for name, value in record.items():
        limit = TEXT.get(name)
        if limit is not None:
            # Printable text holds no control character; what is not printable may still be good (a right-to-left mark).
            if type(value) is str and 0 < len(value) <= limit and value.isprintable():
                setattr(event, name, value)
            elif value is not None:
                setattr(event, name, check_text(name, value, limit))
        elif name == "category":
            if type(value) is str and is_category(value):
                event.category = value
            elif value is not None:
                event.category = check_category(name, value)
        elif name in NUMBERS and value is not None:
            setattr(event, name, check_number(name, value))

    if event.category is None and event.kind in CATEGORY_REQUIRED:
        raise InvalidEvent("missing", "category", f"the service that the {event.kind} is about, or *", "nothing")
    if event.score is None and event.kind == "feedback":
        raise InvalidEvent("missing", "score", "a rating from 1 to 5", "nothing")
    if event.step is not None:
        _check_step(event)


def _refused_unread(raw: bytes | None, limits: Limits) -> InvalidEvent:
    """The error for a record that is not even parsed."""
    if raw is None:
        return InvalidEvent("tombstone", "", "an event", "a record without a value")
    if not raw:
        return InvalidEvent("empty", "", "an event", "no bytes")
    return InvalidEvent("too_large", "", f"at most {limits.max_bytes} bytes", f"{len(raw)} bytes")


def _unreadable(raw: bytes, error: orjson.JSONDecodeError) -> InvalidEvent:
    """The error for bytes that the parser refused, told apart by what the producer must change."""
    if raw[0] == 0:
        # Confluent's schema registry puts a zero byte and a schema id before Avro and Protobuf.
        return InvalidEvent("json", "", "JSON", "magic byte 0 (Avro or Protobuf of a schema registry?)")
    try:
        text = raw.decode()
    except UnicodeDecodeError as reason:
        return InvalidEvent("encoding", "", "UTF-8", f"byte {raw[reason.start]:#04x} at position {reason.start}")
    if not text.strip():
        return InvalidEvent("empty", "", "an event", "only white space")
    return InvalidEvent("json", "", "one JSON object", str(error))


def _required(field: str, value: Any) -> Any:
    """The value itself, or the error for a required field that is absent or null."""
    if value is None:
        raise InvalidEvent("missing", field, "a value", "nothing")
    return value


def _unknown_kind(kind: Any) -> InvalidEvent:
    """The error for a kind that is none; lists the known ones."""
    if kind is None:
        return InvalidEvent("missing", "kind", f"one of {', '.join(KINDS)}", "nothing")
    if not isinstance(kind, str):
        return InvalidEvent("type", "kind", "a string", shown(kind))
    return InvalidEvent("kind", "kind", f"one of {', '.join(KINDS)}", shown(kind))


def _check_step(event: Event) -> None:
    """Steps of the two kinds that the engine reads; on other kinds any text may stand there."""
    steps = {"handling": HANDLING_STEPS, "contract": CONTRACT_STEPS}.get(event.kind)
    if steps is not None and event.step not in steps:
        raise InvalidEvent("range", "step", f"one of {', '.join(sorted(steps))}", shown(event.step))


def _read_control(event: Event, record: dict[str, Any]) -> None:
    """Fill and check the fields that only control events have."""
    for name, limit in CONTROL_TEXT.items():
        value = record.get(name)
        if value is not None:
            setattr(event, name, check_text(name, value, limit))
    until = record.get("until")
    if until is not None:
        event.until = check_time("until", until)
    body = record.get("body")
    if body is not None:
        event.body = check_body(body)
    if event.kind in REF_REQUIRED and event.ref is None:
        raise InvalidEvent("missing", "ref", f"what the {event.kind} refers to", "nothing")
    if event.kind in WORDS:
        _check_word(event)
    if event.kind == "override":
        _required("flag", event.flag)
        if _required("state", event.state) not in OVERRIDE_STATES:
            raise InvalidEvent("control", "state", "up, down or auto", shown(event.state))
    if event.kind in CONTROL_LANE:
        lane, lanes = (_whole(name, record.get(name)) for name in ("lane", "lanes"))
        if lanes < 1 or not 0 <= lane < lanes:
            raise InvalidEvent("control", "lane", "0 <= lane < lanes", f"lane {lane} of {lanes}")
        event.lane, event.lanes = lane, lanes


def _check_word(event: Event) -> None:
    """What people say of an alert must mean something: a snooze without an end would hide it for good."""
    if event.state not in (None, *WORD_STATES):
        raise InvalidEvent("control", "state", "up or down", shown(event.state))
    if event.kind == "ack":
        if event.outcome not in (None, *JUDGEMENTS):
            raise InvalidEvent("control", "outcome", " or ".join(JUDGEMENTS), shown(event.outcome))
    elif event.state != "down":
        until = _required("until", event.until)
        if not event.ts < until <= event.ts + MAX_SNOOZE_MS:
            days = MAX_SNOOZE_MS // 86_400_000
            raise InvalidEvent("control", "until", f"a time after ts, at most {days} d after it", shown(until))


def _whole(field: str, value: Any) -> int:
    """An integer; true and 1.0 are none."""
    value = _required(field, value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidEvent("type", field, "an integer", shown(value))
    return value
