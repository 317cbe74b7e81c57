"""The two sides of a comparison: what a run holds, as customers, alerts and predictions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import orjson

from engine.errors import UsageError
from streams.diff.row import CustomerRow, row_of_line
from streams.reader.lines import MAX_LINE, read_lines
from streams.reader.source import find_source

__all__ = ["PARTS", "FileSide", "Side", "customer_of", "find_side"]

PARTS = ("board", "alerts", "predictions")
"""What a run may hold."""

_SUFFIXES = ("", ".gz", ".zst")


class Side(Protocol):
    """A run, read from its beginning by each call."""

    @property
    def name(self) -> str:
        """As the user wrote it."""

    @property
    def parts(self) -> frozenset[str]:
        """Those of `PARTS` that it holds."""

    @property
    def digits(self) -> int | None:
        """Significant digits of the scores of customers; `None`: all that a double has."""

    @property
    def total(self) -> int:
        """Bytes of all parts; 0 when nobody knows."""

    @property
    def passed(self) -> int:
        """Bytes read so far."""

    def customers(self) -> Iterator[CustomerRow]:
        """Every customer, in the order of the UTF-8 of their ids."""

    def lines(self, part: str) -> Iterator[bytes]:
        """Alerts or predictions; those of each customer in the order in which they were made."""

    def known_from(self, customer_id: str) -> int | None:
        """Event time, ms, up to which alerts of a customer may be missing; `None`: none is. Known after `lines`."""


class FileSide:
    """The output files of a replay.

    Parameters
    ----------
    name
        As the user wrote it.
    paths
        Part -> file; JSON lines, also `.gz` and `.zst`.

    Raises
    ------
    UsageError
        If a file is missing or no such file.
    """

    digits: int | None = None

    def __init__(self, name: str, paths: dict[str, Path]) -> None:
        self.name = name
        self.parts = frozenset(paths)
        # Nobody raised an alert: the file is empty, and that is an answer.
        self._sources = {part: None if _is_empty(path) else find_source(path) for part, path in paths.items()}
        self._paths = paths
        self._passed: dict[str, int] = {}
        for part, source in self._sources.items():
            if source is not None and source.form != "jsonl":
                raise UsageError(f"{part}: expected JSON lines as `henji replay` writes them, got {source.name}")

    @property
    def total(self) -> int:
        """Bytes of all files."""
        return sum(source.size for source in self._sources.values() if source is not None)

    @property
    def passed(self) -> int:
        """Bytes read so far."""
        return sum(self._passed.values())

    def customers(self) -> Iterator[CustomerRow]:
        """Every customer; the file is sorted already, which is checked.

        Raises
        ------
        UsageError
            If it is not, or a line is none of a board.
        """
        before = None
        for number, line in enumerate(self.lines("board"), 1):
            try:
                row = row_of_line(line)
            except (ValueError, KeyError, TypeError) as error:
                raise self._unreadable("board", number, line) from error
            if before is not None and not before < row.customer_id:
                raise UsageError(
                    f"{self._paths['board']}: expected customers in the order of their ids, each once, got "
                    f"{row.customer_id!r} after {before!r}; give the file as `henji replay --board` wrote it"
                )
            before = row.customer_id
            yield row

    def lines(self, part: str) -> Iterator[bytes]:
        """Lines of a file."""
        source = self._sources[part]
        if source is None:
            return

        def count(n: int) -> None:
            self._passed[part] = n

        for records in read_lines(source, keep=MAX_LINE, count=count):
            for record in records:
                yield record.raw or b""

    def known_from(self, customer_id: str) -> int | None:
        """Nothing is missing in a file."""
        return None

    def _unreadable(self, part: str, number: int, line: bytes) -> UsageError:
        return UsageError(
            f"{self._paths[part]}: expected lines as `henji replay --{part}` writes them, got "
            f"{line[:80].decode('utf-8', 'replace')!r} in line {number}"
        )


def customer_of(line: bytes, name: str) -> str:
    """Whose alert or prediction a line is.

    Raises
    ------
    UsageError
        If it is nobody's; `name` says where it came from.
    """
    try:
        customer_id = orjson.loads(line)["customer_id"]
    except (ValueError, KeyError, TypeError):
        customer_id = None
    if not isinstance(customer_id, str):
        raise UsageError(
            f"{name}: expected lines of alerts or predictions as `henji replay` writes them, got "
            f"{line[:80].decode('utf-8', 'replace')!r}"
        )
    return customer_id


def find_side(text: str) -> FileSide:
    """The files that an argument names: a folder, or `PART=FILE,PART=FILE`.

    Raises
    ------
    UsageError
        If it names none.

    Examples
    --------
    >>> find_side("nowhere")
    Traceback (most recent call last):
    ...
    engine.errors.UsageError: run: expected a folder, PART=FILE,... or a prefix that ends in a colon, got 'nowhere'
    """
    folder = Path(text)
    if folder.is_dir():
        paths = {
            part: path
            for part in PARTS
            for suffix in reversed(_SUFFIXES)
            if (path := folder / f"{part}.jsonl{suffix}").is_file()
        }
        if not paths:
            raise UsageError(f"run: expected one of {', '.join(f'{p}.jsonl' for p in PARTS)} in {text}, got none")
        return FileSide(text, paths)
    if "=" not in text:
        raise UsageError(f"run: expected a folder, PART=FILE,... or a prefix that ends in a colon, got {text!r}")
    paths = {}
    for each in text.split(","):
        part, equals, path_text = each.partition("=")
        if part not in PARTS or not equals:
            raise UsageError(f"run: expected PART=FILE with a part of {', '.join(PARTS)}, got {each!r}")
        paths[part] = Path(path_text)
    return FileSide(text, paths)


def _is_empty(path: Path) -> bool:
    return path.is_file() and path.stat().st_size == 0
