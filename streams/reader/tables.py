"""CSV and Parquet to records, through DuckDB.

A row becomes one JSON object: nulls are left out, ids become text, text becomes a number where our field is one, dates
and times become RFC 3339. One thread and the order of the file: the same file gives the same records, to the byte.
"""

from __future__ import annotations

import csv
import io
import math
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

import duckdb
import orjson

from engine.errors import UsageError
from engine.fields import FIELDS, NUMBERS
from engine.vocabulary import Vocabulary
from streams.reader.record import Record
from streams.reader.source import Source

__all__ = ["Tables"]

_Cell: TypeAlias = Callable[[Any], Any]
_COUNTS = {"lane", "lanes", "record_ts"}
_TIMES = {"ts", "until"}
_OBJECTS = {"attributes", "body"}
_STRINGS = FIELDS - NUMBERS.keys() - _COUNTS - _TIMES - _OBJECTS
# At most 18 digits: longer ones do not fit into 64 bits and stay text, so that decoding refuses them.
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]{1,30}(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]{1,4})?")
_INTEGERS = {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT"}


class Tables:
    """The rows of one or more tables, through the mapping's SELECT when it has one.

    Parameters
    ----------
    sources
        CSV or Parquet files; together they are the view `log`.
    vocabulary
        Tells which of our fields a column fills, and so its type.
    """

    def __init__(self, sources: Sequence[Source], vocabulary: Vocabulary | None) -> None:
        self._sources = sources
        self._vocabulary = vocabulary
        self._sql = vocabulary.sql if vocabulary is not None else None
        self._name = sources[0].name if len(sources) == 1 else "log"

    def select(self, batch_size: int, count: Callable[[int], None]) -> Iterator[list[Record]]:
        """Records in batches; CSV rows that are no rows (other number of cells, not UTF-8) come last.

        Parameters
        ----------
        batch_size
            Most rows per batch.
        count
            Called with an estimate of the bytes read so far.

        Raises
        ------
        UsageError
            A file cannot be read, or the SELECT is wrong.
        """
        with tempfile.TemporaryDirectory(prefix="henji-read-") as spill, duckdb.connect(":memory:") as connection:
            try:
                self._open(connection, spill)
                query = self._query(connection)
                relation = connection.sql(query)  # only looked at; the rows must stream
                names = relation.columns
                self._check_names(names)
                plans = [self._plan(name, str(kind)) for name, kind in zip(names, relation.types, strict=True)]
                shown = ", ".join(f"{sql} AS {_quoted(name)}" for (sql, _), name in zip(plans, names, strict=True))
                connection.execute(f"SELECT {shown} FROM ({query}\n)")
                yield from self._rows(connection, names, [cell for _, cell in plans], batch_size, count)
                yield from self._rejects(connection, batch_size)
            except duckdb.Error as error:
                raise self._failed(error) from error

    def _open(self, connection: duckdb.DuckDBPyConnection, spill: str) -> None:
        """Make the view `log`, then close every other door: a mapping file may come from anywhere."""
        connection.execute("SET threads = 1")
        connection.execute(f"SET temp_directory = {_text(spill)}")
        connection.execute("SET autoinstall_known_extensions = false")
        paths = ", ".join(_text(str(source.path)) for source in self._sources)
        connection.execute(f"SET allowed_paths = [{paths}]")
        connection.execute("SET enable_external_access = false")
        connection.execute("SET lock_configuration = true")
        parts = " UNION ALL BY NAME ".join(f"SELECT * FROM {self._scan(source)}" for source in self._sources)
        connection.execute(f"CREATE TEMP VIEW log AS {parts}")

    def _scan(self, source: Source) -> str:
        path = str(source.path)
        if any(letter in path for letter in "*?["):
            raise UsageError(f"{source.name}: expected a path without * ? [ for a table, got one; rename the file")
        if source.form == "parquet":
            return f"read_parquet({_text(path)}, binary_as_string = true)"
        names, delimiter = _header(source)
        columns = ", ".join(f"{_text(name)}: 'VARCHAR'" for name in names)
        # Nothing is guessed from a sample: rows far below it would be read otherwise than the guess.
        return (
            f"read_csv({_text(path)}, auto_detect = false, header = true, columns = {{{columns}}}, "
            f"delim = {_text(delimiter)}, quote = '\"', escape = '\"', nullstr = '', "
            f"compression = '{source.compression or 'none'}', store_rejects = true, rejects_limit = 0)"
        )

    def _query(self, connection: duckdb.DuckDBPyConnection) -> str:
        """The mapping's SELECT, or all of the view."""
        if self._sql is None:
            return "SELECT * FROM log"
        statements = connection.extract_statements(self._sql)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise UsageError(
                f"{self._mapping()}: sql: expected one SELECT over the view log, got {self._sql.strip()!r}"
            )
        return self._sql.strip().rstrip(";")

    def _mapping(self) -> str:
        return self._vocabulary.source if self._vocabulary is not None else self._name

    def _check_names(self, names: Sequence[str]) -> None:
        # DuckDB would rename the second of `SELECT *, 'request' AS kind` without a word, and the first would count.
        folded = [name.lower() for name in names]
        twice = [name for number, name in enumerate(names) if name.lower() in folded[:number]]
        if twice:
            hint = "leave it out of the star: SELECT * EXCLUDE (name), ..."
            raise UsageError(f"{self._mapping()}: sql: expected every column once, got {twice[0]} twice; {hint}")

    def _plan(self, name: str, kind: str) -> tuple[str, _Cell | None]:
        """How a column is read: its expression in SQL, and what is done with each value that is not null."""
        column = _quoted(name)
        vocabulary = self._vocabulary
        targets = set(vocabulary.targets(name) if vocabulary is not None else (name,))
        if kind == "VARCHAR" or kind.startswith("ENUM"):
            return f"{column}::VARCHAR", self._text_cell(targets)
        if kind.startswith("DECIMAL") and kind.endswith(",0)") and targets <= _STRINGS:
            return f"{column}::VARCHAR", None
        if kind in ("FLOAT", "DOUBLE") or kind.startswith("DECIMAL"):
            return f"{column}::DOUBLE", _float_id if targets <= _STRINGS else _float
        if kind == "BOOLEAN" or (kind in _INTEGERS and not targets <= _STRINGS):
            return column, None
        if kind == "DATE" and not targets <= _TIMES:
            return f"strftime({column}, '%Y-%m-%d')", None
        if kind == "DATE" or kind.startswith("TIMESTAMP"):
            known = "WITH TIME ZONE" in kind or vocabulary is None or vocabulary.zone is None
            # Microseconds and a cut, because epoch_ms rounds where times in text are cut off.
            moment = f"left(strftime(make_timestamp(epoch_us({column})), '%Y-%m-%dT%H:%M:%S.%f'), 23)"
            return f"CASE WHEN isfinite({column}) THEN {moment} || '{'Z' if known else ''}' END", None
        if kind == "JSON" or kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION")):
            return f"to_json({column})::VARCHAR", orjson.loads
        if kind == "BLOB":
            return f"TRY(decode({column}))", None
        return f"{column}::VARCHAR", None

    def _text_cell(self, targets: set[str]) -> _Cell | None:
        """What is done with text, by the fields that it fills."""
        if targets <= NUMBERS.keys() | _COUNTS:
            return _number
        # With a format, `20260131` is a date and not a number.
        if targets <= _TIMES and (self._vocabulary is None or self._vocabulary.format is None):
            return _digits
        return _object if targets <= _OBJECTS else None

    def _rows(
        self,
        connection: duckdb.DuckDBPyConnection,
        names: Sequence[str],
        cells: Sequence[_Cell | None],
        batch_size: int,
        count: Callable[[int], None],
    ) -> Iterator[list[Record]]:
        mapped = self._vocabulary.fields if self._vocabulary is not None else {}
        nested = [name.startswith("attributes.") and len(name) > 11 and name not in mapped for name in names]
        stamp = "record_ts" in names
        plan = list(zip(names, cells, nested, strict=True))
        size = sum(source.size for source in self._sources)
        packed = any(source.compression or source.form == "parquet" for source in self._sources)
        position = seen = 0
        while rows := connection.fetchmany(batch_size):
            records = []
            for row in rows:
                position += 1
                record = _object_of(row, plan)
                raw = orjson.dumps(record)
                at = record.get("record_ts") if stamp else None
                records.append(Record(raw, self._name, position, at if type(at) is int and at >= 0 else None))
                seen += sum(len(cell) + 1 for cell in row if isinstance(cell, str))
            # What a packed file unfolds to is not known before its end.
            if not packed:
                count(min(seen, size))
            yield records

    def _rejects(self, connection: duckdb.DuckDBPyConnection, batch_size: int) -> Iterator[list[Record]]:
        """The lines of CSV files that are no rows: bad input is never dropped in silence."""
        # DuckDB makes its tables of rejects with the first scan of a CSV file.
        if not connection.execute("SELECT 1 FROM duckdb_tables() WHERE table_name = 'reject_errors'").fetchall():
            return
        found = connection.execute(
            "SELECT DISTINCT file_path, line, csv_line FROM reject_errors JOIN reject_scans USING (scan_id, file_id) "
            "ORDER BY ALL"
        )
        names = {str(source.path): source.name for source in self._sources}
        while rows := found.fetchmany(batch_size):
            yield [
                Record((text or "a line that was not kept").encode(), names.get(path, path), line)
                for path, line, text in rows
            ]

    def _failed(self, error: duckdb.Error) -> UsageError:
        """DuckDB's error in the words of the user's files."""
        first = str(error).strip().split("\n", 1)[0]
        if self._sql is not None:
            return UsageError(f"{self._mapping()}: sql: expected a SELECT that runs over {self._name}, got: {first}")
        form = {"csv": "CSV", "parquet": "Parquet"}[self._sources[0].form]
        return UsageError(f"{self._name}: expected a readable {form} file, got: {first}")


def _header(source: Source) -> tuple[list[str], str]:
    """Names of the columns and the delimiter, from the first line of a CSV file."""
    text = b""
    for block in source.blocks():
        text += block
        if b"\n" in text or len(text) > 1 << 20:
            break
    try:
        line = text.split(b"\n", 1)[0].decode("utf-8-sig").rstrip("\r")
    except UnicodeDecodeError as error:
        raise UsageError(f"{source.name}, line 1: expected UTF-8, got other bytes; convert the file") from error
    delimiter = max(",;\t|", key=line.count)
    names = next(csv.reader(io.StringIO(line), delimiter=delimiter), [])
    folded = [name.lower() for name in names]
    bad = next((name for number, name in enumerate(folded) if not name.strip() or name in folded[:number]), None)
    if bad is not None or not names:
        raise UsageError(f"{source.name}, line 1: expected a header, every column named once, got {line[:80]!r}")
    return names, delimiter


def _object_of(row: tuple[Any, ...], plan: list[tuple[str, _Cell | None, bool]]) -> dict[str, Any]:
    """One row as a JSON object, without its nulls."""
    record: dict[str, Any] = {}
    facts: dict[str, Any] = {}
    for value, (name, cell, nested) in zip(row, plan, strict=True):
        if value is None:
            continue
        found = value if cell is None else cell(value)
        if found is None:
            continue
        if nested:
            facts[name[11:]] = found
        else:
            record[name] = found
    if facts:
        own = record.get("attributes")
        record["attributes"] = {**own, **facts} if isinstance(own, dict) else facts
    return record


def _number(text: str) -> Any:
    """Text of a number field; stays text when it is none, so that decoding says so."""
    bare = text.strip()
    if _WHOLE.fullmatch(bare):
        return int(bare)
    if _NUMBER.fullmatch(bare) and math.isfinite(float(bare)):
        return float(bare)
    return text


def _digits(text: str) -> Any:
    """Text of a time: digits are a number, in the unit of the mapping file."""
    bare = text.strip()
    return int(bare) if _WHOLE.fullmatch(bare) else bare


def _object(text: str) -> Any:
    """Text that may be a JSON object."""
    if text.lstrip().startswith("{"):
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            pass
    return text


def _float(value: float) -> Any:
    """A number; NaN is how many tools write a missing one, and infinity must not look like it."""
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else str(value)


def _float_id(value: float) -> Any:
    """An id that a tool has turned into a float: its digits, where nothing was lost."""
    if value.is_integer() and abs(value) < 2**53:
        return str(int(value))
    return _float(value)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
