"""JSON lines to records."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

import orjson

from streams.reader.record import Record
from streams.reader.source import Source

__all__ = ["MAX_LINE", "read_lines", "split_lines"]

MAX_LINE = 16 * 1024 * 1024
"""Longest line that is held in memory as a whole, bytes."""

_BOM = b"\xef\xbb\xbf"


def split_lines(blocks: Iterable[bytes], *, keep: int, longest: int = MAX_LINE) -> Iterator[list[bytes]]:
    r"""Cut blocks at newlines, with bounded memory.

    Parameters
    ----------
    blocks
        The content of a file, in order.
    keep
        Bytes that are left of a line longer than `longest`; the rest of it is skipped.
    longest
        Longest line that is kept whole, bytes.

    Examples
    --------
    >>> list(split_lines([b"a\nbb", b"bbbb", b"bb\nc"], keep=2, longest=4))
    [[b'a'], [b'bb'], [b'c']]
    """
    tail = b""
    skipping = False
    for block in blocks:
        rest = block
        if skipping:
            cut = rest.find(b"\n")
            if cut < 0:
                continue
            yield [tail]
            rest, tail, skipping = rest[cut + 1 :], b"", False
        lines = (tail + rest).split(b"\n")
        tail = lines.pop()
        if lines:
            yield lines
        if len(tail) > longest:
            tail, skipping = tail[:keep], True
    if tail:
        yield [tail]


def read_lines(source: Source, *, keep: int, count: Callable[[int], None]) -> Iterator[list[Record]]:
    """Records of a JSONL file, in its order; blank lines are skipped but counted as lines.

    Parameters
    ----------
    source
        The file.
    keep
        Bytes that are left of a line longer than `MAX_LINE`; take more than a record may have, so that decoding it
        says `too_large`.
    count
        Called with the number of bytes read from disk so far.

    Raises
    ------
    UsageError
        The file is truncated, damaged or cannot be read.
    """
    name = source.name
    number = 0
    for lines in split_lines(source.blocks(count), keep=keep):
        if number == 0 and lines[0].startswith(_BOM):
            lines[0] = lines[0][3:]
        records = []
        for line in lines:
            number += 1
            raw = line[:-1] if line.endswith(b"\r") else line
            if not raw or raw.isspace():
                continue
            # A search is ten times cheaper than parsing, and only exports have the field.
            stamp = _record_ts(raw) if b'"record_ts"' in raw else None
            records.append(Record(raw, name, number, stamp))
        if records:
            yield records


def _record_ts(raw: bytes) -> int | None:
    """Time of the Kafka record that an export wrote beside the event; `None` when there is none."""
    try:
        record = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return None
    stamp = record.get("record_ts") if isinstance(record, dict) else None
    return stamp if type(stamp) is int and stamp >= 0 else None
