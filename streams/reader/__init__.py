"""Event logs in files, as raw records: what a replay reads in the place of Kafka.

`open_log` takes JSONL (plain, `.gz`, `.zst`), CSV and Parquet and gives batches of `Record`: the raw bytes of one JSON
object each, with where they stand. Nothing is judged here; `engine.decode` says what is an event. What is wrong with a
file as a whole (missing, truncated, not what its name says) is a `UsageError`; what is wrong with one line or row is a
record like any other and becomes a dead letter.
"""

from __future__ import annotations

from streams.reader.log import LogReader, open_log
from streams.reader.record import Record

__all__ = ["LogReader", "Record", "open_log"]
