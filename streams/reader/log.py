"""A log of one or more files, read in batches."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

from engine.decode import Limits
from engine.errors import UsageError
from engine.vocabulary import Vocabulary
from streams.reader.lines import read_lines
from streams.reader.order import in_order
from streams.reader.record import Record
from streams.reader.source import Source, find_source
from streams.reader.tables import Tables

__all__ = ["LogReader", "open_log"]

_SORT_MEMORY = 256 * 1024 * 1024


class LogReader:
    """Batches of records of a log, in a fixed order; iterating again starts again. Made by `open_log`.

    Parameters
    ----------
    sources
        The files, in order.
    vocabulary
        The mapping file, for the types of columns, the SELECT and the order.
    sort
        By event time and id, not in the order of the files.
    batch_size
        Most records per batch.
    limits
        Bounds on a record; of an endless line just so much is kept that it is refused as too large.
    sort_memory
        Bytes held while sorting before temporary files are used.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        vocabulary: Vocabulary | None,
        sort: bool,
        batch_size: int,
        limits: Limits,
        sort_memory: int,
    ) -> None:
        self.sources = tuple(sources)
        self.total_bytes = sum(source.size for source in sources)
        self._vocabulary = vocabulary
        self._sort = sort
        self._batch_size = batch_size
        self._limits = limits
        self._sort_memory = sort_memory
        self._done = 0
        self._current = 0
        self._read = 0
        self._given = 0

    @property
    def estimated_bytes(self) -> int:
        """About how many bytes of events there are: packed ones unfold to some eight times as many."""
        return sum(each.size * (8 if each.compression or each.form == "parquet" else 1) for each in self.sources)

    @property
    def bytes_read(self) -> int:
        """How far the reading is, in bytes on disk of `total_bytes`; an estimate inside tables.

        While sorting, reading the files counts for one half and giving out the records for the other.
        """
        read = min(self._done + self._current, self.total_bytes)
        if not self._sort:
            return read
        return (read + (self.total_bytes * self._given // self._read if self._given else 0)) // 2

    def __iter__(self) -> Iterator[list[Record]]:
        """Records in batches.

        Raises
        ------
        UsageError
            A file turns out to be truncated, damaged or unreadable.
        """
        self._done = self._current = self._read = self._given = 0
        if not self._sort:
            yield from self._cut(self._files())
            return
        batches = in_order(self._counted(), self._vocabulary, batch_size=self._batch_size, memory=self._sort_memory)
        for batch in batches:
            self._given += len(batch)
            yield batch

    def _counted(self) -> Iterator[list[Record]]:
        for batch in self._files():
            self._read += len(batch)
            yield batch

    def _files(self) -> Iterator[list[Record]]:
        if self._vocabulary is not None and self._vocabulary.sql is not None:
            yield from Tables(self.sources, self._vocabulary).select(self._batch_size, self._count)
            self._done, self._current = self.total_bytes, 0
            return
        for source in self.sources:
            if source.form == "jsonl":
                yield from read_lines(source, keep=self._limits.max_bytes + 1, count=self._count)
            else:
                yield from Tables([source], self._vocabulary).select(self._batch_size, self._count)
            self._done += source.size
            self._current = 0

    def _cut(self, batches: Iterator[list[Record]]) -> Iterator[list[Record]]:
        for batch in batches:
            for start in range(0, len(batch), self._batch_size):
                yield batch[start : start + self._batch_size]

    def _count(self, current: int) -> None:
        self._current = current


def open_log(
    paths: Sequence[str | os.PathLike[str]],
    *,
    vocabulary: Vocabulary | None = None,
    sort: bool = False,
    batch_size: int = 1000,
    limits: Limits | None = None,
    sort_memory: int = _SORT_MEMORY,
) -> LogReader:
    """Open the files of a log; every file is looked at before the first record is read.

    Parameters
    ----------
    paths
        JSONL, CSV (both also `.gz` or `.zst`) and Parquet files, read in this order.
    vocabulary
        Gives the types of columns and the SELECT. Records are not translated here: give it to `decode` too.
    sort
        Give out the records by event time and id, out of core when they are many.
    batch_size
        Most records per batch, >= 1.
    limits
        Bounds on a record; the defaults of `Limits` when `None`.
    sort_memory
        Bytes held while sorting before temporary files are used.

    Returns
    -------
    LogReader
        Iterate over it for lists of `Record`.

    Raises
    ------
    UsageError
        No file, or one that is missing, a directory, empty, of an unknown format or not what its name says; a mapping
        with `sql` for JSONL.
    """
    if isinstance(paths, str | os.PathLike):
        paths = [paths]
    if not paths:
        raise UsageError("expected at least one log file, got none")
    if batch_size < 1:
        raise UsageError(f"batch_size: expected a number >= 1, got {batch_size}")
    sources = [find_source(path) for path in paths]
    if vocabulary is not None and vocabulary.sql is not None:
        lines = next((source.name for source in sources if source.form == "jsonl"), None)
        if lines is not None:
            raise UsageError(
                f"{vocabulary.source}: sql: expected CSV or Parquet files, got {lines}; "
                "use [fields] and [kinds] for JSONL, or convert it to Parquet"
            )
    return LogReader(
        sources,
        vocabulary=vocabulary,
        sort=sort,
        batch_size=batch_size,
        limits=limits or Limits(),
        sort_memory=sort_memory,
    )
