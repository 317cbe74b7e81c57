"""Two logs side by side: which events differ, and which belong together.

Records of the same bytes belong together. Where they differ, the event ids decide, up to `WINDOW` records ahead: an
event that the other log has at the same place was changed, one that it has further on was moved, one that it does not
have was removed or added. What was moved by more is taken for removed in one place and added in the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from engine.decode import decode
from engine.errors import InvalidEvent
from engine.vocabulary import Vocabulary
from streams.reader.record import Record

__all__ = ["WINDOW", "LogChange", "Pair", "aligned", "told_record"]

WINDOW = 4096
"""How far ahead an event is looked for, records."""

_Key = tuple[str, str | bytes]


@dataclass(frozen=True, slots=True)
class LogChange:
    """An event that is not the same in both logs.

    Parameters
    ----------
    kind
        `changed`, `moved` (and perhaps changed), `removed` (only in A) or `added` (only in B).
    a, b
        The event in each log.
    """

    kind: str
    a: Record | None
    b: Record | None

    def told(self, vocabulary: Vocabulary | None = None) -> dict[str, Any]:
        """For `--json`: the event, where it stands, and field -> its value in A and in B."""
        a, b = told_record(self.a, vocabulary), told_record(self.b, vocabulary)
        known = a or b or {}
        fields = {}
        if self.a is not None and self.b is not None:
            left, right = _object(self.a.raw), _object(self.b.raw)
            names = sorted(left.keys() | right.keys())
            fields = {name: [left.get(name), right.get(name)] for name in names if left.get(name) != right.get(name)}
        return {
            "kind": self.kind,
            **{name: known.get(name) for name in ("event_id", "customer_id", "at", "event")},
            "a": _place(self.a),
            "b": _place(self.b),
            "fields": fields,
        }


class Pair(NamedTuple):
    """A step of both logs; `None`: the other log has something here that this one has not."""

    a: Record | None
    b: Record | None
    change: LogChange | None

    @property
    def records(self) -> tuple[Record | None, Record | None]:
        """The record of each side."""
        return self.a, self.b


class _Feed:
    """The records of a log that come next, and where events stand among them."""

    def __init__(self, batches: Iterable[Sequence[Record]], vocabulary: Vocabulary | None) -> None:
        self._records = (record for batch in batches for record in batch)
        self._vocabulary = vocabulary
        self._ahead: deque[Record] = deque()
        self._gone = 0  # records that were taken
        self._indexed = 0  # records whose key is known, those that were taken included
        self._places: dict[_Key, deque[int]] = {}

    def head(self) -> Record | None:
        if not self._ahead:
            record = next(self._records, None)
            if record is None:
                return None
            self._ahead.append(record)
        return self._ahead[0]

    def key(self, record: Record) -> _Key:
        return _key(record, self._vocabulary)

    def take(self) -> Record:
        record = self._ahead.popleft()
        if self._gone < self._indexed:
            places = self._places[key := self.key(record)]
            places.popleft()
            if not places:
                del self._places[key]
        self._gone += 1
        self._indexed = max(self._indexed, self._gone)
        return record

    def find(self, key: _Key) -> tuple[int, Record] | None:
        """How far ahead an event stands."""
        while len(self._ahead) < WINDOW and (record := next(self._records, None)) is not None:
            self._ahead.append(record)
        for place in range(self._indexed - self._gone, len(self._ahead)):
            # deque: reaching into the middle is short work at this length, and each record is looked at once.
            self._places.setdefault(self.key(self._ahead[place]), deque()).append(self._gone + place)
        self._indexed = self._gone + len(self._ahead)
        places = self._places.get(key)
        return None if not places else (places[0] - self._gone, self._ahead[places[0] - self._gone])


def aligned(
    a: Iterable[Sequence[Record]], b: Iterable[Sequence[Record]], vocabulary: Vocabulary | None = None
) -> Iterator[Pair]:
    """Both logs to their ends, what belongs together in one step.

    Parameters
    ----------
    a, b
        Batches of records.
    vocabulary
        To read ids.

    Examples
    --------
    >>> def log(*ids):
    ...     return [[Record(b'{"event_id":"%s","customer_id":"c","ts":1,"kind":"view"}' % each, "log", place)
    ...              for place, each in enumerate(ids, 1)]]
    >>> [(pair.change.kind, pair.a, pair.b.position) for pair in aligned(log(b"e", b"f"), log(b"e", b"x", b"f"))
    ...  if pair.change]
    [('added', None, 2)]
    """
    left, right = _Feed(a, vocabulary), _Feed(b, vocabulary)
    moved: tuple[set[_Key | None], set[_Key | None]] = set(), set()
    while True:
        here, there = left.head(), right.head()
        if here is None and there is None:
            return
        if here is not None and there is not None and _same(here, there):
            yield Pair(left.take(), right.take(), None)
            continue
        key_a = None if here is None else left.key(here)
        key_b = None if there is None else right.key(there)
        if key_a in moved[0]:
            moved[0].discard(key_a)
            yield Pair(left.take(), None, None)
        elif key_b in moved[1]:
            moved[1].discard(key_b)
            yield Pair(None, right.take(), None)
        elif key_a is not None and key_a == key_b:
            yield Pair(left.take(), right.take(), LogChange("changed", here, there))
        else:
            in_b = None if key_a is None else right.find(key_a)
            in_a = None if key_b is None else left.find(key_b)
            if here is not None and (in_b is None or (in_a is not None and in_a[0] <= in_b[0]) or there is None):
                if in_b is not None:
                    moved[1].add(key_a)
                change = LogChange("removed", here, None) if in_b is None else LogChange("moved", here, in_b[1])
                yield Pair(left.take(), None, change)
            else:
                if in_a is not None:
                    moved[0].add(key_b)
                change = LogChange("added", None, there) if in_a is None else LogChange("moved", in_a[1], there)
                yield Pair(None, right.take(), change)


def told_record(record: Record | None, vocabulary: Vocabulary | None = None) -> dict[str, Any] | None:
    """An event for `--json`: id, customer, time in ms, kind, and where it stands; what cannot be read is `None`."""
    if record is None:
        return None
    facts: dict[str, Any] = {"event_id": None, "customer_id": None, "at": None, "event": None}
    try:
        event = decode(record.raw, vocabulary=vocabulary)
        facts = {"event_id": event.event_id, "customer_id": event.customer_id, "at": event.ts, "event": event.kind}
    except InvalidEvent:
        found = _object(record.raw)
        facts.update({name: found[name] for name in ("event_id", "customer_id") if isinstance(found.get(name), str)})
    return {**facts, "source": record.source, "position": record.position}


def _same(a: Record, b: Record) -> bool:
    return a.raw == b.raw and a.record_ts == b.record_ts


def _key(record: Record, vocabulary: Vocabulary | None) -> _Key:
    """What an event keeps when it is changed; a broken one is known by its bytes."""
    found = _object(record.raw)
    if vocabulary is not None:
        try:
            event = decode(record.raw, vocabulary=vocabulary)
            return event.customer_id or "", event.event_id
        except InvalidEvent:
            pass
    event_id = found.get("event_id")
    if not isinstance(event_id, str):
        return "", record.raw or b""
    return str(found.get("customer_id") or ""), event_id


def _object(raw: bytes | None) -> dict[str, Any]:
    try:
        found = orjson.loads(raw or b"")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def _place(record: Record | None) -> dict[str, Any] | None:
    return None if record is None else {"source": record.source, "position": record.position}
