"""One line of a log, not yet read."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Record"]


class Record(NamedTuple):
    """The raw bytes of one event and where they came from.

    Parameters
    ----------
    raw
        One JSON object as it stands in the file; of a row of a table, the object made of it. Bytes that are no event
        (a row with too many cells, the first bytes of an endless line) come too and fail when they are decoded. `None`
        is the value of a Kafka record that has none (a tombstone).
    source
        The file, as it was named; `log` for rows of a SELECT over all files.
    position
        Line number in JSONL, row number in tables and SELECTs, from 1. A CSV row that was refused has its line number.
    record_ts
        Time of the Kafka record in ms, of records of a topic and in exports that carry it; -1 when it has none.
    key
        Key of the Kafka record; `None` in files, and for a record without one.
    partition
        Partition of the Kafka record, whose offset `position` then is; `None` in files.
    """

    raw: bytes | None
    source: str
    position: int
    record_ts: int | None = None
    key: bytes | None = None
    partition: int | None = None
