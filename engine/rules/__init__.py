"""Rules as data: read from TOML, validated whole, known by their digest.

`RuleSet.default()` is the built-in set, `RuleSet.parse(text, source)` reads another. A rule set compiles to an index
from the kind of an event to the rules that must see it, once per segment that has numbers of its own.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files

from engine.rules.parse import RuleReader
from engine.rules.rule import Rule

__all__ = ["RuleSet"]


@dataclass(frozen=True, slots=True)
class RuleSet:
    """A validated set of rules.

    Parameters
    ----------
    text
        The TOML it was read from.
    version
        First 12 hex digits of the SHA-256 of its meaning (comments and layout do not count).
    rules
        In the file's order.
    by_segment
        The same rules with the numbers of a segment, where it has its own.

    Examples
    --------
    >>> [r.name for r in RuleSet.default().rules][:2]
    ['repeat_request', 'repeated_complaint']
    """

    text: str
    version: str
    rules: tuple[Rule, ...]
    by_segment: dict[str, tuple[Rule, ...]] = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str, source: str = "rules") -> RuleSet:
        """Read and validate a rules file.

        Raises
        ------
        RulesError
            With file, line and field; nothing of the file is used then.
        """
        reader = RuleReader(text, source)
        rules = reader.rules()
        by_segment = {s: reader.rules(s) for s in reader.segments()}
        meaning = repr((_plain(rules), sorted((s, _plain(r)) for s, r in by_segment.items())))
        return cls(text, hashlib.sha256(meaning.encode()).hexdigest()[:12], rules, by_segment)

    @classmethod
    @cache
    def default(cls) -> RuleSet:
        """The built-in rules."""
        return cls.parse(files("engine.rules").joinpath("default.toml").read_text("utf-8"), "default.toml")

    def names(self) -> tuple[str, ...]:
        """Names of the flags."""
        return tuple(r.name for r in self.rules)


def _plain(rules: tuple[Rule, ...]) -> list[str]:
    """A text per rule that does not depend on the order in which sets iterate."""
    return [_text(r) for r in rules]


def _text(value: object) -> str:
    if isinstance(value, frozenset):
        return "{" + ",".join(sorted(value)) + "}"
    if isinstance(value, tuple):
        return "(" + ",".join(_text(v) for v in value) + ")"
    slots = [s for c in reversed(type(value).__mro__) for s in getattr(c, "__slots__", ())]
    if slots and not isinstance(value, str):
        return type(value).__name__ + "(" + ",".join(f"{s}={_text(getattr(value, s))}" for s in slots) + ")"
    return repr(value)
