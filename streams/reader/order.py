"""Records in the order of event time, also when they do not fit in memory."""

from __future__ import annotations

import heapq
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import msgspec
import orjson

from engine.timestamp import parse_rfc3339
from engine.vocabulary import Vocabulary
from streams.reader.record import Record

__all__ = ["event_order", "in_order"]

# The order (time, id, number), then a `Record`.
_Entry: TypeAlias = tuple[int, str, int, bytes | None, str, int, int | None, bytes | None, int | None]
# A tuple, its numbers and its strings, beside the raw bytes.
_OVERHEAD = 400
_CHUNK = 1000
_pack = msgspec.msgpack.Encoder().encode
_unpack = msgspec.msgpack.Decoder(list[_Entry]).decode


def event_order(raw: bytes | None, vocabulary: Vocabulary | None) -> tuple[int, str]:
    """Event time in ms and event id of a record; (-1, "") when it has none that can be read.

    Such a record is dead, so its place does not matter to any result; at the front it is reported first.
    """
    try:
        record = orjson.loads(raw or b"")
    except orjson.JSONDecodeError:
        return -1, ""
    if not isinstance(record, dict):
        return -1, ""
    if vocabulary is not None:
        record = vocabulary.apply(record)
    ts, event_id = record.get("ts"), record.get("event_id")
    if isinstance(ts, str):
        try:
            ts = parse_rfc3339(ts)
        except ValueError:
            return -1, ""
    if type(ts) is not int or not isinstance(event_id, str):
        return -1, ""
    return ts, event_id


def in_order(
    batches: Iterable[list[Record]], vocabulary: Vocabulary | None, *, batch_size: int, memory: int
) -> Iterator[list[Record]]:
    """Sort records by event time, then event id, then the order of the files.

    A merge sort of its own and not a database's: the order is by the time that the mapping file makes of a record, and
    the merge needs no second pass over the files.

    Parameters
    ----------
    batches
        Records in the order of the files.
    vocabulary
        The mapping that decides what a record's time and id are.
    batch_size
        Records per batch that comes out.
    memory
        Bytes held before a sorted run goes to a temporary file.
    """
    with tempfile.TemporaryDirectory(prefix="henji-sort-") as folder:
        runs: list[Path] = []
        entries: list[_Entry] = []
        held = number = 0
        for batch in batches:
            for record in batch:
                ts, event_id = event_order(record.raw, vocabulary)
                number += 1
                entries.append((ts, event_id, number, *record))
                held += len(record.raw or b"") + _OVERHEAD
            if held > memory:
                runs.append(_spill(entries, Path(folder) / f"run-{len(runs)}"))
                entries, held = [], 0
        entries.sort()
        merged: Iterable[_Entry] = heapq.merge(*map(_run, runs), entries) if runs else entries
        out: list[Record] = []
        for entry in merged:
            out.append(Record(*entry[3:]))
            if len(out) == batch_size:
                yield out
                out = []
        if out:
            yield out


def _spill(entries: list[_Entry], path: Path) -> Path:
    """Write a sorted run: chunks of entries, each behind its length."""
    entries.sort()
    with path.open("wb") as file:
        for start in range(0, len(entries), _CHUNK):
            chunk = _pack(entries[start : start + _CHUNK])
            file.write(len(chunk).to_bytes(8, "little"))
            file.write(chunk)
    return path


def _run(path: Path) -> Iterator[_Entry]:
    with path.open("rb") as file:
        while head := file.read(8):
            yield from _unpack(file.read(int.from_bytes(head, "little")))
