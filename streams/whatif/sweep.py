"""A threshold sweep: one number of one rule, at several values; each value is a rule set of its own."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any, TypeVar

from engine.duration import format_duration, parse_duration
from engine.errors import RulesError, UsageError
from engine.rules import RuleSet

__all__ = ["MOST", "Sweep", "to_toml"]

MOST = 24
"""Most variants of one comparison, the current rules not counted: each is a replay."""

_Number = TypeVar("_Number", int, Decimal)
_HOW = "expected flags.<name>.<key>=FIRST:LAST:STEP or a list of values, such as flags.churn_risk.raise=0.5:0.95:0.05"


@dataclass(frozen=True, slots=True)
class Sweep:
    """What is varied.

    Parameters
    ----------
    path
        Where it stands in a rules file, such as `("flags", "churn_risk", "raise")`; a number picks from a list.
    values
        As TOML has them: numbers or durations.

    Examples
    --------
    >>> sweep = Sweep.parse("flags.churn_risk.raise=0.5:0.7:0.1")
    >>> sweep.values
    (0.5, 0.6, 0.7)
    >>> Sweep.parse("flags.repeat_request.tiers.1.threshold=2,3").values
    (2, 3)
    >>> Sweep.parse("flags.unanswered.window=12h:48h:12h").values
    ('12h', '1d', '36h', '2d')
    """

    path: tuple[str, ...]
    values: tuple[int | float | str, ...]

    @classmethod
    def parse(cls, text: str) -> Sweep:
        """Read `PATH=FIRST:LAST:STEP` or `PATH=VALUE,VALUE,...`.

        Raises
        ------
        UsageError
            If it is neither, or has more than `MOST` values.
        """
        where, equals, said = text.partition("=")
        path = tuple(part.strip() for part in where.split("."))
        if not equals or len(path) < 3 or path[0] != "flags" or not all(path):
            raise UsageError(f"--sweep: {_HOW}, got {text!r}")
        try:
            values = _range(said) if ":" in said else [_value(each.strip()) for each in said.split(",")]
        except (ValueError, InvalidOperation) as error:
            raise UsageError(f"--sweep: {_HOW}, got {text!r}: {error}") from error
        if not 1 <= len(values) <= MOST:
            raise UsageError(f"--sweep: expected 1 to {MOST} values, got {len(values)}; give a longer step")
        return cls(path, tuple(dict.fromkeys(values)))

    @property
    def flag(self) -> str:
        """The flag whose rule is varied."""
        return self.path[1]

    @property
    def key(self) -> str:
        """What is varied, as it was said."""
        return ".".join(self.path)

    def rules(self, base: RuleSet, value: int | float | str) -> RuleSet:
        """The rules with one value in place.

        Where `raise` of a score is varied, `clear` goes with it at its distance: a flag that is raised at 0.5 cannot
        come down at 0.7 only.

        Raises
        ------
        UsageError
            If the rules have no such place.
        RulesError
            If the value is none that may stand there.
        """
        root = tomllib.loads(base.text)
        table: Any = root
        for part in self.path[:-1]:
            table = _below(table, part, self.key)
        last = self.path[-1]
        before = _below(table, last, self.key)
        if isinstance(table, list):
            table[int(last)] = value
        else:
            if last == "raise" and "clear" in table and not isinstance(value, str):
                table["clear"] = float(Decimal(str(table["clear"])) - Decimal(str(before)) + Decimal(str(value)))
            table[last] = value
        try:
            return RuleSet.parse(to_toml(root), f"{self.key}={value}")
        except RulesError as error:
            raise RulesError(f"--sweep: {error}") from error


def _below(table: Any, part: str, key: str) -> Any:
    if isinstance(table, dict) and part in table:
        return table[part]
    if isinstance(table, list) and part.isascii() and part.isdecimal() and int(part) < len(table):
        return table[int(part)]
    if isinstance(table, dict):
        there = ", ".join(table)
    else:
        there = f"a number below {len(table)}" if isinstance(table, list) else "nothing"
    raise UsageError(f"--sweep: {key}: expected something that the rules have ({there}), got {part!r}")


def _value(text: str) -> int | float | str:
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        parse_duration(text)
        return text


def _range(text: str) -> list[int | float | str]:
    first, last, step = (part.strip() for part in text.split(":"))
    try:
        numbers = [Decimal(part) for part in (first, last, step)]
    except InvalidOperation:
        return [format_duration(ms) for ms in _steps(*(parse_duration(part) for part in (first, last, step)))]
    whole = all("." not in part and "e" not in part.lower() for part in (first, last, step))
    return [int(each) if whole else float(each) for each in _steps(*numbers)]


def _steps(first: _Number, last: _Number, step: _Number) -> list[_Number]:
    if not (step > 0 and first <= last):
        raise ValueError("expected FIRST <= LAST and a STEP above 0")
    n = int((last - first) // step) + 1
    # An absurd number of values is refused by who asked, but must not be made first.
    return [first + step * place for place in range(min(n, MOST + 1))]


def to_toml(root: Mapping[str, Any]) -> str:
    """A rules file as TOML: the same meaning, without its comments.

    Examples
    --------
    >>> text = to_toml(tomllib.loads(RuleSet.default().text))
    >>> RuleSet.parse(text).version == RuleSet.default().version
    True
    """
    lines = [f"version = {root['version']}"]
    for name, table in root["flags"].items():
        lines += ["", f"[flags.{json.dumps(name)}]"]
        lines += [f"{json.dumps(key)} = {_toml(value)}" for key, value in table.items()]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    if isinstance(value, str):
        # A JSON string is one of TOML, but for a control character that JSON leaves as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    return repr(value)
