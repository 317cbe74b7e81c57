"""A dead letter: a record that was not applied, its raw bytes as they were found, and why.

What lies in the dead-letter topic and in the late topic, to the byte:

* **letter**: value and key are those of the record; the headers below say where it lay and what was wrong.
* **resolution**: key is the place of a letter as text, header `henji-resolved` says what became of it, no value.

| header | value |
|---|---|
| `henji-schema` | `1`, the version of this table |
| `henji-error` | class of the error, such as `InvalidEvent` |
| `henji-reason` | code of `engine.decode.REASONS`, or `late` |
| `henji-field` | path of the field; empty when the record as a whole is wrong |
| `henji-message` | what was expected and what came, at most 1,000 characters |
| `henji-topic`, `henji-partition`, `henji-offset` | where the record lies |
| `henji-timestamp` | time of the record in ms; `-1` when it has none |
| `henji-null` | `1` when the record had neither key nor value, which a producer cannot send again |
| `henji-cut` | bytes of the record's value, when the letter could not hold them all |
| `henji-resolved` | of a resolution: `replayed` |

The worker writes a letter before its ledger moves past the record, so a crash between the two leaves the same letter
twice. Readers fold by place: (topic, partition, offset) is the identity of a letter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, NamedTuple, Protocol, Self

__all__ = [
    "LATE",
    "MAX_LETTER_BYTES",
    "MAX_RAW_BYTES",
    "SCHEMA",
    "DeadLetter",
    "Foreign",
    "Place",
    "Resolution",
    "read",
]

SCHEMA = 1
"""Version of the headers."""

LATE = "late"
"""Reason of a letter in the late topic: older than the lane clock by more than `lateness`."""

MAX_LETTER_BYTES = 8 * 1024**2
"""`max.message.bytes` of the topics of letters and request size of whoever sends to them: eight times what Kafka allows
a batch of events, because that limit counts compressed bytes and letters carry the record itself."""

MAX_RAW_BYTES = MAX_LETTER_BYTES - 65_536
"""Longest key and value together that a letter holds whole; the rest is room for headers and framing. What is longer
came out of a compressed batch; it is cut, and the record itself stays where it lies."""

# The beginning shows a person what it is; more would only fill the topic.
_CUT_TO_BYTES = 65_536
_MAX_MESSAGE = 1_000
_MAX_TEXT = 256
# The greatest offset and the greatest partition of Kafka's protocol.
_MAX_OFFSET = 2**63 - 1
_MAX_PARTITION = 2**31 - 1
# Kafka's own rule for names of topics.
_TOPIC = re.compile(r"[A-Za-z0-9._-]{1,249}")


class Place(NamedTuple):
    """Where a record lies: the identity of its letter.

    Parameters
    ----------
    topic, partition, offset
        As Kafka counts them, from 0.

    Examples
    --------
    >>> str(Place("events", 3, 88121))
    'events/3/88121'
    >>> Place.parse("events/3/88121").offset
    88121
    """

    topic: str
    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}/{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """The place that `TOPIC/PARTITION/OFFSET` names.

        Raises
        ------
        ValueError
            If it is not such a text.
        """
        match text.split("/"):
            case [topic, partition, offset] if _TOPIC.fullmatch(topic):
                return cls(topic, _number(partition, _MAX_PARTITION), _number(offset, _MAX_OFFSET))
        raise ValueError(f"expected TOPIC/PARTITION/OFFSET, got {text[:80]!r}")


class DeadLetter(NamedTuple):
    """A record that was not applied.

    Parameters
    ----------
    raw, key
        Value and key of the record, unchanged; `None` where it had none.
    topic, partition, offset
        Where it lies.
    timestamp_ms
        Time of the record; -1 when it has none.
    reason
        Code of `engine.decode.REASONS`, or `LATE`.
    field
        Path of the field; empty when the record as a whole is wrong.
    message
        What was expected and what came. Nothing else of the record goes into the headers.
    error
        Class of the error.
    whole_bytes
        Length of the record's value when `raw` is only its beginning, else -1.

    Examples
    --------
    >>> letter = DeadLetter(b"{", b"c1", "events", 0, 7, 1_767_225_600_000, "json", "", "expected one JSON object")
    >>> str(letter.place), dict(letter.headers())["henji-reason"]
    ('events/0/7', b'json')
    """

    raw: bytes | None
    key: bytes | None
    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    reason: str
    field: str
    message: str
    error: str = "InvalidEvent"
    whole_bytes: int = -1

    @property
    def place(self) -> Place:
        """The identity of the letter."""
        return Place(self.topic, self.partition, self.offset)

    def headers(self) -> list[tuple[str, bytes]]:
        """The headers of the letter's record, as aiokafka takes them."""
        out = [
            ("henji-schema", b"%d" % SCHEMA),
            ("henji-error", _text(self.error, _MAX_TEXT)),
            ("henji-reason", _text(self.reason, _MAX_TEXT)),
            ("henji-field", _text(self.field, _MAX_TEXT)),
            ("henji-message", _text(self.message, _MAX_MESSAGE)),
            ("henji-topic", self.topic.encode()),
            ("henji-partition", b"%d" % self.partition),
            ("henji-offset", b"%d" % self.offset),
            ("henji-timestamp", b"%d" % self.timestamp_ms),
        ]
        if self.raw is None and self.key is None:
            out.append(("henji-null", b"1"))
        if self.whole_bytes >= 0:
            out.append(("henji-cut", b"%d" % self.whole_bytes))
        elif self._is_too_long():
            out.append(("henji-cut", b"%d" % len(self.raw or b"")))
        return out

    def record(self) -> dict[str, Any]:
        """Value, key and headers of the letter's record: keyword arguments of `AIOKafkaProducer.send`."""
        raw, key = self.raw, self.key
        if raw is None and key is None:
            raw = b""
        elif self._is_too_long():
            raw = raw and raw[:_CUT_TO_BYTES]
            key = key and key[:_CUT_TO_BYTES]
        return {"value": raw, "key": key, "headers": self.headers()}

    def _is_too_long(self) -> bool:
        return len(self.raw or b"") + len(self.key or b"") > MAX_RAW_BYTES


class Resolution(NamedTuple):
    """What became of a letter; from then on it is no longer open.

    Parameters
    ----------
    place
        The identity of the letter.
    how
        `replayed`: its bytes were sent to the events topic again.
    """

    place: Place
    how: str = "replayed"

    def record(self) -> dict[str, Any]:
        """Value, key and headers of its record: keyword arguments of `AIOKafkaProducer.send`."""
        headers = [("henji-schema", b"%d" % SCHEMA), ("henji-resolved", _text(self.how, _MAX_TEXT))]
        return {"value": None, "key": str(self.place).encode(), "headers": headers}


class Foreign(NamedTuple):
    """A record that is neither a letter nor a resolution of this version.

    Parameters
    ----------
    why
        What was expected and what came.
    """

    why: str


class _Consumed(Protocol):
    """What is read of a consumed record; aiokafka's `ConsumerRecord` has it."""

    @property
    def value(self) -> Any: ...
    @property
    def key(self) -> Any: ...
    @property
    def headers(self) -> Any: ...


def read(record: _Consumed) -> DeadLetter | Resolution | Foreign:
    """What a consumed record of the dead-letter or late topic is.

    Parameters
    ----------
    record
        With value, key and headers as bytes. Of a header that stands twice the last counts, as in Kafka's own clients.

    Returns
    -------
    DeadLetter, Resolution or Foreign
        `Foreign` for everything that was not written by this version; nothing is raised, whatever the record is.

    Examples
    --------
    >>> letter = DeadLetter(b"{", None, "events", 0, 7, -1, "json", "", "expected one JSON object")
    >>> class Consumed(NamedTuple):
    ...     value: bytes | None
    ...     key: bytes | None
    ...     headers: list[tuple[str, bytes]]
    >>> read(Consumed(**letter.record())) == letter
    True
    >>> read(Consumed(b"hello", None, []))
    Foreign(why='henji-schema: expected 1, got nothing')
    """
    headers = _Headers(record.headers or ())
    schema = headers.get("henji-schema")
    if schema != str(SCHEMA):
        got = "nothing" if schema is None else repr(schema[:80])
        return Foreign(f"henji-schema: expected {SCHEMA}, got {got}")
    try:
        if (how := headers.get("henji-resolved")) is not None:
            return Resolution(Place.parse((record.key or b"").decode()), how)
        return _letter(record.value, record.key, headers)
    except ValueError as error:
        # Also UnicodeDecodeError.
        return Foreign(str(error))


class _Headers(dict[str, "bytes | None"]):
    """Headers by name."""

    def __init__(self, pairs: Iterable[tuple[str, bytes | None]]) -> None:
        super().__init__(pairs)

    def get(self, name: str) -> str | None:  # type: ignore[override] # text instead of bytes, no default
        value = super().get(name)
        return None if value is None else value.decode("utf-8", "backslashreplace")

    def text(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise ValueError(f"{name}: expected a header, got none")
        return value

    def number(self, name: str, most: int) -> int:
        try:
            return _number(self.text(name), most)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None


def _letter(raw: bytes | None, key: bytes | None, headers: _Headers) -> DeadLetter:
    topic = headers.text("henji-topic")
    if not _TOPIC.fullmatch(topic):
        raise ValueError(f"henji-topic: expected the name of a topic, got {topic[:80]!r}")
    return DeadLetter(
        raw=None if headers.get("henji-null") == "1" else raw,
        key=key,
        topic=topic,
        partition=headers.number("henji-partition", _MAX_PARTITION),
        offset=headers.number("henji-offset", _MAX_OFFSET),
        timestamp_ms=-1 if headers.get("henji-timestamp") == "-1" else headers.number("henji-timestamp", _MAX_OFFSET),
        reason=headers.text("henji-reason"),
        field=headers.text("henji-field"),
        message=headers.text("henji-message"),
        error=headers.text("henji-error"),
        whole_bytes=headers.number("henji-cut", _MAX_OFFSET) if "henji-cut" in headers else -1,
    )


def _number(text: str, most: int) -> int:
    # isdecimal() alone takes digits of other scripts; more than 19 digits are beyond any offset.
    if not (text.isascii() and text.isdecimal() and len(text) <= 19 and int(text) <= most):
        raise ValueError(f"expected a whole number from 0 to {most}, got {text[:80]!r}")
    return int(text)


def _text(text: str, longest: int) -> bytes:
    return text[:longest].encode("utf-8", "backslashreplace")
