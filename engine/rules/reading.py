"""Reads single values of a rules file, and complains with file, line and field."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Collection, Mapping
from typing import Any, NoReturn

from engine.duration import DAY_MS, parse_duration
from engine.errors import RulesError
from engine.event import CONTROL_LANE, KINDS
from engine.rules.condition import CUSTOMER_FIELDS, EVENT_FIELDS, Condition, Scalar
from engine.rules.locate import Path, line_of
from engine.rules.rule import Matcher, Tier

__all__ = ["MAX_THRESHOLD", "TableReader"]

MAX_THRESHOLD = 100
"""Largest threshold: memory keeps twice as many events per rule and category (docs/rules.md)."""

MAX_DURATION_MS = 36_500 * DAY_MS
"""Longest duration, 100 years: an end is then still a time that fits every store."""

_KINDS = frozenset(KINDS) - CONTROL_LANE
"""Kinds that are about a customer; orders to a lane reach no rule."""


class TableReader:
    """The text of a rules file, and how its fields are read.

    Parameters
    ----------
    text
        The TOML text.
    source
        Name of the file, for messages.

    Raises
    ------
    RulesError
        From every method, at the first thing that is wrong.
    """

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source
        self._own: tuple[str, frozenset[str]] = ("", frozenset())
        try:
            self.root: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RulesError(f"{source}:{_line(error, text)}: expected TOML, got {error}; {_UNUSED}") from error

    def fail(self, path: Path, expected: str, got: object) -> NoReturn:
        """Refuse the file."""
        segment, own = self._own
        if len(path) > 2 and path[2] in own:
            path = (*path[:2], "segments", segment, *path[2:])
        line = line_of(self.text, path)
        where = f"{self.source}:{line}" if line else self.source
        shown = repr(got)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        raise RulesError(f"{where}: {_field(path)}: expected {expected}, got {shown}; {_UNUSED}")

    def known(self, table: Mapping[str, Any], path: Path, allowed: Collection[str], what: str) -> None:
        """Refuse fields that mean nothing here: a word misspelt would otherwise be a rule that is not what it says."""
        for key in table:
            if key not in allowed:
                self.fail((*path, key), f"{what} ({', '.join(sorted(allowed))})", key)

    def tables(self, value: object, path: Path, least: int = 1) -> list[dict[str, Any]]:
        """A list of at least so many tables."""
        if not isinstance(value, list) or len(value) < least or not all(isinstance(v, dict) for v in value):
            self.fail(path, f"a list of at least {least} tables", value)
        return value

    def words(self, value: object, path: Path) -> list[str]:
        """A list of one or more different strings."""
        if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
            self.fail(path, "a list of at least 1 strings", value)
        for i, word in enumerate(value):
            if word in value[:i]:
                self.fail((*path, i), "every name once", word)
        return value

    def kinds(self, value: object, path: Path) -> frozenset[str]:
        """Kinds of events that are about a customer."""
        kinds = self.words(value, path)
        for i, kind in enumerate(kinds):
            if kind not in _KINDS:
                self.fail((*path, i), f"known kinds ({', '.join(sorted(_KINDS))})", kind)
        return frozenset(kinds)

    def matcher(self, table: dict[str, Any], path: Path) -> Matcher:
        """`kinds` and `where`: which events are meant."""
        self.known(table, path, ("kinds", "where"), "`kinds` and `where`")
        conditions = self.conditions(table.get("where", {}), (*path, "where"))
        for c in conditions:
            if c.about_customer:
                self.fail((*path, "where", c.field), "conditions on the event here", c.field)
        return Matcher(self.kinds(table.get("kinds"), (*path, "kinds")), conditions)

    def matchers(self, value: object, path: Path) -> tuple[Matcher, ...]:
        """A list of matchers, of which an event must satisfy one."""
        return tuple(self.matcher(m, (*path, i)) for i, m in enumerate(self.tables(value, path)))

    def conditions(self, value: object, path: Path) -> tuple[Condition, ...]:
        """A table of conditions, all of which must hold; `attributes.x` may be written with or without quotes."""
        if not isinstance(value, dict):
            self.fail(path, "a table of conditions", value)
        out: list[Condition] = []
        for field, wanted in value.items():
            if field == "attributes" and isinstance(wanted, dict):
                for name, fact in wanted.items():
                    out.append(self.condition(f"attributes.{name}", fact, (*path, field, name)))
            else:
                out.append(self.condition(field, wanted, (*path, field)))
        return tuple(out)

    def condition(self, field: str, wanted: object, path: Path) -> Condition:
        """One condition: a value, a list of values, or bounds."""
        known = EVENT_FIELDS | CUSTOMER_FIELDS
        if field not in known and not (field.startswith("attributes.") and len(field) > len("attributes.")):
            self.fail(path, f"one of {', '.join(sorted(known))} or attributes.<name>", field)
        if not isinstance(wanted, dict):
            return Condition(field, one_of=self.scalars(wanted, path))
        if not wanted:
            self.fail(path, "a value, a list of values, or a table of `min`, `max`, `not`", wanted)
        self.known(wanted, path, ("min", "max", "not"), "a table of `min`, `max`, `not`")
        low, high = (self.number(wanted, key, path) if key in wanted else None for key in ("min", "max"))
        if low is not None and high is not None and low > high:
            self.fail((*path, "max"), f"a number of at least `min` ({low})", high)
        none_of = self.scalars(wanted["not"], (*path, "not")) if "not" in wanted else ()
        return Condition(field, none_of=none_of, at_least=low, at_most=high)

    def scalars(self, value: object, path: Path) -> tuple[Scalar, ...]:
        """A value or a list of one or more."""
        values = value if isinstance(value, list) else [value]
        if not values:
            self.fail(path, "a value, or a list of at least one", value)
        for v in values:
            if not isinstance(v, str | bool | int) and not (isinstance(v, float) and math.isfinite(v)):
                self.fail(path, "strings, finite numbers or booleans", v)
        return tuple(values)

    def tier(self, table: dict[str, Any], path: Path, severity: object) -> Tier:
        """`threshold` and `window` of a count."""
        word = self.severity({"severity": severity}, path)
        return Tier(word, self.threshold(table, path), self.duration(table, "window", path))

    def threshold(self, table: dict[str, Any], path: Path) -> int:
        """How many."""
        value = table.get("threshold")
        if type(value) is not int or not 1 <= value <= MAX_THRESHOLD:
            self.fail((*path, "threshold"), f"an integer from 1 to {MAX_THRESHOLD}", value)
        return value

    def duration(self, table: dict[str, Any], key: str, path: Path, default: str | None = None) -> int:
        """Milliseconds of a duration with its unit."""
        value = table.get(key, default)
        ms = 0
        if isinstance(value, str):
            try:
                ms = parse_duration(value)
            except ValueError:
                ms = 0
        if not 0 < ms <= MAX_DURATION_MS:
            self.fail((*path, key), 'a duration with its unit, such as "7d" or "24h", at most 36500d', value)
        return ms

    def number(self, table: dict[str, Any], key: str, path: Path) -> float:
        """A finite number."""
        value = table.get(key)
        # `inf` and `nan` are TOML floats; no score or field ever equals them.
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
            self.fail((*path, key), "a finite number", value)
        return float(value)

    def truth(self, table: dict[str, Any], key: str, path: Path) -> bool:
        """A boolean that is false when it is missing."""
        value = table.get(key, False)
        if not isinstance(value, bool):
            self.fail((*path, key), "true or false", value)
        return value

    def severity(self, table: dict[str, Any], path: Path) -> str:
        """The rule's own word."""
        value = table.get("severity", "medium")
        if not isinstance(value, str) or not 1 <= len(value) <= 16 or not (value.isascii() and value.isprintable()):
            self.fail((*path, "severity"), "a word of at most 16 ASCII characters", value)
        return value

    def level(self, table: dict[str, Any], path: Path) -> int:
        """0 for the leaf, -1 for none, else how many parts of the path."""
        value = table.get("level", "none")
        if value in ("leaf", "none"):
            return 0 if value == "leaf" else -1
        if type(value) is not int or not 1 <= value <= 16:
            self.fail((*path, "level"), '"leaf", "none" or a number of parts from 1 to 16', value)
        return value


_UNUSED = "nothing of this file is used"


def _field(path: Path) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _line(error: tomllib.TOMLDecodeError, text: str) -> int:
    """The parser says `(at line 3, column 5)`, or `(at end of document)`."""
    words = str(error).replace(",", " ").split()
    numbers = [words[i + 1] for i, word in enumerate(words[:-1]) if word == "line" and words[i + 1].isdigit()]
    return int(numbers[-1]) if numbers else max(1, len(text.splitlines()))
