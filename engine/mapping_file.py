"""Reads a mapping file (`docs/events.md`) and refuses it whole when anything in it is wrong.

Half a translation would fill the dead letters, so every word, field and value is checked here, once, by the rules that
events are checked by.
"""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Any, NoReturn
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.errors import InvalidEvent, VocabularyError
from engine.event import KINDS
from engine.fields import FIELDS, check_field

__all__ = ["UNITS", "MappingFile"]

UNITS = {"s": (1000, 1), "ms": (1, 1), "us": (1, 1000), "ns": (1, 1_000_000)}
"""Unit of numeric times -> (multiply by, then divide by) to get milliseconds."""

_TABLES = ("fields", "kinds", "channels", "categories", "time", "defaults")
# What a constant, a default or a kind may set. One id or one time for every event can only be a mistake.
_SETTABLE = FIELDS - {"event_id", "ts", "lane", "lanes", "body", "attributes"}
_OFFSET = re.compile(r"([+-])([0-9]{2}):([0-9]{2})")


class MappingFile:
    """The text of a mapping file; kept so that an error can name the line.

    Parameters
    ----------
    text
        TOML.
    source
        Name of the file, for messages.
    """

    def __init__(self, text: str, source: str) -> None:
        self._text = text
        self._source = source

    def read(self) -> dict[str, Any]:
        """Check everything.

        Returns
        -------
        dict
            The keyword arguments of `Vocabulary` but `source`.

        Raises
        ------
        VocabularyError
            Names the file, the line and the entry.
        """
        try:
            document = tomllib.loads(self._text)
        except tomllib.TOMLDecodeError as error:
            raise VocabularyError(f"{self._source}: expected TOML, got an error: {error}") from error
        for name, value in document.items():
            if name != "sql" and name not in _TABLES:
                self._refuse("", name, f"sql or one of [{'], ['.join(_TABLES)}]", repr(name))
            if name != "sql" and not isinstance(value, dict):
                self._refuse("", name, f"a table [{name}]", repr(value))
        sql = document.get("sql")
        if sql is not None and (not isinstance(sql, str) or not sql.strip()):
            self._refuse("", "sql", "a SELECT over the view log", repr(sql))
        fields, constants = self._fields(document.get("fields", {}))
        channels = document.get("channels", {})
        for word, channel in channels.items():
            self._checked("channels", word, "channel", channel)
        categories, by_channel = self._categories(document.get("categories", {}))
        defaults = document.get("defaults", {})
        for name, value in defaults.items():
            self._settable("defaults", name, name, value)
        return {
            "fields": fields,
            "constants": constants,
            "kinds": {word: self._kind(word, value) for word, value in document.get("kinds", {}).items()},
            "channels": channels,
            "categories": categories,
            "channel_categories": by_channel,
            "defaults": defaults,
            "sql": sql,
            **self._time(document.get("time", {})),
        }

    def _fields(self, table: dict[str, Any]) -> tuple[dict[str, tuple[str, ...]], dict[str, Any]]:
        moved: dict[str, tuple[str, ...]] = {}
        constants: dict[str, Any] = {}
        taken: dict[str, str] = {}
        for column, entry in table.items():
            if isinstance(entry, dict):
                if entry.keys() != {"value"}:
                    self._refuse("fields", column, '{ value = ... }, a constant for the field "ours"', repr(entry))
                self._settable("fields", column, column, entry["value"])
                constants[column] = entry["value"]
                continue
            targets = entry if isinstance(entry, list) and entry else [entry]
            for target in targets:
                if not isinstance(target, str) or not self._is_field(target):
                    known = ", ".join(sorted(FIELDS - {"attributes"}))
                    self._refuse("fields", column, f"one of {known}, attributes.<name>", repr(target))
                if target in taken:
                    other = f"{target!r}, which {taken[target]!r} fills already"
                    self._refuse("fields", column, "each field filled once (use sql to join columns)", other)
                taken[target] = column
            moved[column] = tuple(targets)
        for name in constants.keys() & taken.keys():
            self._refuse("fields", name, "a column or a constant for a field", f"both, the column {taken[name]!r}")
        return moved, constants

    @staticmethod
    def _is_field(target: str) -> bool:
        return target in FIELDS or (target.startswith("attributes.") and len(target) > 11)

    def _kind(self, word: str, entry: Any) -> dict[str, Any]:
        sets = entry if isinstance(entry, dict) else {"kind": entry}
        if "kind" not in sets:
            self._refuse("kinds", word, "a kind of ours, or a table with `kind` and other fields", repr(entry))
        for name, value in sets.items():
            self._settable("kinds", word, name, value)
        return sets

    def _categories(self, table: dict[str, Any]) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
        everywhere: dict[str, str] = {}
        by_channel: dict[str, dict[str, str]] = {}
        for word, entry in table.items():
            if isinstance(entry, dict):
                self._checked("categories", word, "channel", word)
                for inner, category in entry.items():
                    self._checked(f"categories.{word}", inner, "category", category)
                by_channel[word] = entry
            else:
                self._checked("categories", word, "category", entry)
                everywhere[word] = entry
        return everywhere, by_channel

    def _time(self, table: dict[str, Any]) -> dict[str, Any]:
        for name, value in table.items():
            if name not in ("unit", "format", "zone"):
                self._refuse("time", name, "unit, format or zone", repr(name))
            if not isinstance(value, str) or not value:
                self._refuse("time", name, "text", repr(value))
        unit, form, zone = (table.get(name) for name in ("unit", "format", "zone"))
        if unit is not None and unit not in UNITS:
            self._refuse("time", "unit", "s, ms, us or ns", repr(unit))
        if form is not None and "%z" not in form and zone is None:
            self._refuse("time", "format", "%z in it, or a zone beside it", repr(form))
        if form is not None:
            self._format(form)
        return {"unit": unit, "format": form, "zone": None if zone is None else self._zone(zone)}

    def _format(self, form: str) -> None:
        """Refuse a format that can read nothing: it would only show as dead letters."""
        sample = datetime(2001, 2, 3, 4, 5, 6, tzinfo=UTC).strftime(form)
        try:
            datetime.strptime(sample, form)  # noqa: DTZ007 - only whether it can be read
        except (ValueError, re.error) as error:
            self._refuse("time", "format", "a strptime format", f"{form!r}: {error}")

    def _zone(self, name: str) -> tzinfo:
        match = _OFFSET.fullmatch(name)
        if match is not None and int(match[2]) < 24 and int(match[3]) < 60:
            offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
            return timezone(offset if match[1] == "+" else -offset)
        try:
            return UTC if name in ("UTC", "Z") else ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            self._refuse("time", "zone", "a zone like Asia/Shanghai, +08:00 or UTC", repr(name))

    def _settable(self, table: str, entry: str, name: str, value: Any) -> None:
        """Check a value that the file sets for a field of ours."""
        if name not in _SETTABLE:
            self._refuse(table, entry, f"one of the fields {', '.join(sorted(_SETTABLE))}", repr(name))
        self._checked(table, entry, name, value)

    def _checked(self, table: str, entry: str, name: str, value: Any) -> None:
        """Check a value by the rules that events are checked by."""
        try:
            if name == "kind":
                if not isinstance(value, str) or value not in KINDS:
                    self._refuse(table, entry, f"one of {', '.join(KINDS)}", repr(value))
            else:
                check_field(name, value)
        except InvalidEvent as error:
            self._refuse(table, entry, error.expected, error.got)

    def _refuse(self, table: str, entry: str, expected: str, got: str) -> NoReturn:
        where = f"[{table}] {entry}" if table else entry
        line = self._line(table, entry)
        at = f"{self._source}, line {line}" if line else self._source
        raise VocabularyError(f"{at}: {where}: expected {expected}, got {got}; the file was not used")

    def _line(self, table: str, entry: str) -> int | None:
        """Number of the line where the entry stands, `None` when it is written in a way that this does not find."""
        names = (re.escape(entry), f'"{re.escape(entry)}"', f"'{re.escape(entry)}'")
        key = re.compile(rf"\s*(?:{'|'.join(names)})\s*=")
        header = re.compile(rf"\s*\[\s*{re.escape(f'{table}.{entry}' if table else entry)}\s*\]")
        inside = not table
        for number, line in enumerate(self._text.splitlines(), 1):
            if header.match(line):
                return number
            if line.lstrip().startswith("["):
                inside = re.match(rf"\s*\[\s*{re.escape(table)}\s*\]", line) is not None
            elif inside and key.match(line):
                return number
        return None
