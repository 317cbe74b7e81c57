"""Small logs for the tests of the reader."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import zstandard

from streams.reader import Record

__all__ = ["decoded", "events", "flat", "write_lines"]


def events(number: int) -> list[dict[str, Any]]:
    """Good events whose times run against their order."""
    return [
        {"event_id": f"e{index}", "customer_id": f"c{index % 3}", "ts": 1_700_000_000_000 - index, "kind": "view"}
        for index in range(number)
    ]


def write_lines(path: Path, records: Iterable[dict[str, Any]]) -> Path:
    """Write JSONL, packed as the name says."""
    data = b"".join(orjson.dumps(record) + b"\n" for record in records)
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        data = zstandard.compress(data)
    path.write_bytes(data)
    return path


def flat(batches: Iterable[list[Record]]) -> list[Record]:
    """All records of a log."""
    return [record for batch in batches for record in batch]


def decoded(batches: Iterable[list[Record]]) -> list[dict[str, Any]]:
    """All records of a log as objects."""
    return [orjson.loads(record.raw or b"") for record in flat(batches)]
