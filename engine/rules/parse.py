"""Reads a rule set: validated whole or refused whole, with the line and the field in the message."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Sequence
from typing import Any

from engine.duration import parse_duration
from engine.errors import RulesError
from engine.event import KINDS
from engine.rules.condition import CUSTOMER_FIELDS, EVENT_FIELDS, Condition
from engine.rules.locate import line_of
from engine.rules.rule import (
    CompositeRule,
    CountRule,
    FollowsRule,
    Group,
    GroupsRule,
    Matcher,
    OverdueRule,
    Reset,
    Rule,
    ScoreRule,
    Tier,
)

__all__ = ["RuleReader"]

MAX_THRESHOLD = 100
"""Largest threshold: memory keeps twice as many events per rule and category (docs/rules.md)."""

MAX_RULES = 64
"""Largest number of rules in a set."""

_COMMON = {"shape", "priority", "where", "severity", "segments"}
_KEYS = {
    "count": {"kinds", "events", "level", "threshold", "window", "tiers", "reset"},
    "groups": {"groups", "level", "window", "distinct_case"},
    "overdue": {"first", "then", "window", "expire"},
    "follows": {"first", "then", "window", "expire"},
    "score": {"score", "raise", "clear", "hold", "direction", "relative_to", "own_silence", "expected_end"},
    "composite": {"any", "hold"},
}


class RuleReader:
    """Turns the text of a rules file into rules; every complaint names file, line and field.

    Parameters
    ----------
    text
        The TOML text.
    source
        Name of the file, for messages.

    Raises
    ------
    RulesError
        At the first thing that is wrong; nothing of the file is used then.
    """

    def __init__(self, text: str, source: str) -> None:
        self.text = text
        self.source = source
        try:
            self.root = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise RulesError(f"{source}: expected TOML, got {error}; nothing of this file is used") from error
        self._check_root()

    def rules(self, segment: str | None = None) -> tuple[Rule, ...]:
        """The rules in the file's order, with the numbers of one segment where it has its own."""
        rules = tuple(self._rule(name, table, segment) for name, table in self.root["flags"].items())
        names = {r.name for r in rules}
        for rule in rules:
            if isinstance(rule, CompositeRule):
                for member in rule.any_of:
                    path = ("flags", rule.name, "any")
                    if member not in names or member == rule.name:
                        self._fail(path, f"names of other flags of this file ({', '.join(sorted(names))})", member)
                    other = next(r for r in rules if r.name == member)
                    if isinstance(other, CompositeRule | ScoreRule):
                        self._fail(path, "flags of the shapes count, groups, overdue or follows", member)
        return rules

    def segments(self) -> tuple[str, ...]:
        """Names of the segments for which some rule has numbers of its own."""
        return tuple(sorted({s for t in self.root["flags"].values() for s in t.get("segments", {})}))

    # -- pieces ------------------------------------------------------------------------------------------------

    def _fail(self, path: tuple[str, ...], expected: str, got: object) -> None:
        line = line_of(self.text, path)
        where = f"{self.source}:{line}" if line else self.source
        shown = repr(got)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        raise RulesError(f"{where}: {'.'.join(path)}: expected {expected}, got {shown}; nothing of this file is used")

    def _check_root(self) -> None:
        for key in self.root:
            if key not in ("version", "flags"):
                self._fail((key,), "only `version` and `flags`", key)
        if self.root.get("version") != 1:
            self._fail(("version",), "1", self.root.get("version"))
        flags = self.root.get("flags")
        if not isinstance(flags, dict) or not flags:
            self._fail(("flags",), "at least one table `[flags.<name>]`", flags)
        assert isinstance(flags, dict)
        if len(flags) > MAX_RULES:
            self._fail(("flags",), f"at most {MAX_RULES} flags", len(flags))
        for name, table in flags.items():
            if not isinstance(table, dict):
                self._fail(("flags", name), "a table", table)
            if not (name.replace("_", "").isalnum() and name.isascii() and name == name.lower() and len(name) <= 32):
                self._fail(("flags", name), "a name of lower-case letters, digits and `_`, at most 32", name)
            segments = table.get("segments", {})
            if not isinstance(segments, dict) or not all(isinstance(t, dict) for t in segments.values()):
                self._fail(("flags", name, "segments"), "a table per segment", segments)
            # Segment overrides are checked now, not when the first customer of that segment turns up.
            for segment in (None, *segments):
                self._rule(name, table, segment)

    def _rule(self, name: str, table: dict[str, Any], segment: str | None) -> Rule:
        path = ("flags", name)
        shape = table.get("shape")
        if shape not in _KEYS:
            self._fail((*path, "shape"), f"one of {', '.join(_KEYS)}", shape)
        assert isinstance(shape, str)
        own = table.get("segments", {}).get(segment, {}) if segment is not None else {}
        for key in own:
            if key in ("shape", "segments", "where", "level", "kinds", "events", "first", "then", "any", "score"):
                self._fail((*path, "segments", str(segment), key), "numbers (threshold, window, tiers, ...)", key)
        merged = {**table, **own}
        for key in merged:
            if key not in _COMMON | _KEYS[shape]:
                allowed = ", ".join(sorted(_COMMON | _KEYS[shape]))
                self._fail((*path, key), f"one of the fields of the shape {shape} ({allowed})", key)
        priority = merged.get("priority", 3)
        if type(priority) is not int or not 1 <= priority <= 5:
            self._fail((*path, "priority"), "an integer from 1 to 5", priority)
        where = self._conditions(merged.get("where", {}), (*path, "where"))
        gates = tuple(c for c in where if c.about_customer)
        events = tuple(c for c in where if not c.about_customer)
        if events and shape not in ("count",):
            self._fail((*path, "where"), f"conditions on the customer ({', '.join(sorted(CUSTOMER_FIELDS))}, "
                       "attributes.<name>) here; those on events stand with the events", events[0].field)
        build: Callable[..., Rule] = getattr(self, f"_{shape}")
        return build(path, merged, (name, priority, gates), events)

    def _count(self, path: tuple[str, ...], t: dict[str, Any], common: tuple[Any, ...],
               where: tuple[Condition, ...]) -> Rule:
        tiers: tuple[Tier, ...]
        if "tiers" in t:
            if "threshold" in t or "window" in t:
                self._fail((*path, "tiers"), "either tiers or threshold and window", "both")
            entries = self._list(t["tiers"], (*path, "tiers"))
            tiers = tuple(self._tier(entry, (*path, "tiers"), entry.get("severity")) for entry in entries)
        else:
            tiers = (self._tier(t, path, t.get("severity", "medium")),)
        resets = tuple(self._reset(r, (*path, "reset")) for r in self._list(t.get("reset", []), (*path, "reset"), 0))
        events = self._events(t, path, where)
        return CountRule(*common, events=events, level=self._level(t, path), tiers=tiers, resets=resets)

    def _groups(self, path: tuple[str, ...], t: dict[str, Any], common: tuple[Any, ...],
                _where: tuple[Condition, ...]) -> Rule:
        entries = self._list(t.get("groups"), (*path, "groups"), 2)
        groups = tuple(
            Group(self._events(g, (*path, "groups")), self._threshold(g, (*path, "groups"))) for g in entries
        )
        distinct = t.get("distinct_case", False)
        if not isinstance(distinct, bool) or (distinct and [g.threshold for g in groups] != [1, 1]):
            self._fail((*path, "distinct_case"), "true or false, and true only with two groups of threshold 1", distinct)
        return GroupsRule(*common, groups=groups, level=self._level(t, path), distinct_case=distinct,
                          window_ms=self._duration(t, "window", path), severity=self._severity(t, path))

    def _pair(self, kind: type[OverdueRule | FollowsRule], path: tuple[str, ...], t: dict[str, Any],
              common: tuple[Any, ...]) -> Rule:
        sides = {
            side: tuple(self._matcher(m, (*path, side)) for m in self._list(t.get(side), (*path, side)))
            for side in ("first", "then")
        }
        return kind(*common, **sides, window_ms=self._duration(t, "window", path),
                    expire_ms=self._duration(t, "expire", path, "30d"), severity=self._severity(t, path))

    def _overdue(self, path: tuple[str, ...], t: dict[str, Any], common: tuple[Any, ...],
                 _where: tuple[Condition, ...]) -> Rule:
        return self._pair(OverdueRule, path, t, common)

    def _follows(self, path: tuple[str, ...], t: dict[str, Any], common: tuple[Any, ...],
                 _where: tuple[Condition, ...]) -> Rule:
        return self._pair(FollowsRule, path, t, common)

    def _score(self, path: tuple[str, ...], t: dict[str, Any], common: tuple[Any, ...],
               _where: tuple[Condition, ...]) -> Rule:
        score = t.get("score")
        if score not in ("churn", "engagement"):
            self._fail((*path, "score"), "`churn` or `engagement`", score)
        direction = t.get("direction", "above")
        if direction not in ("above", "below"):
            self._fail((*path, "direction"), "`above` or `below`", direction)
        if t.get("relative_to", "own") != "own":
            self._fail((*path, "relative_to"), "`own`", t["relative_to"])
        bounds = [self._number(t, key, path) for key in ("raise", "clear")]
        if (bounds[1] >= bounds[0]) if direction == "above" else (bounds[1] <= bounds[0]):
            word = "under" if direction == "above" else "over"
            self._fail((*path, "clear"), f"a number {word} raise ({bounds[0]})", bounds[1])
        for key in ("own_silence", "expected_end"):
            if not isinstance(t.get(key, False), bool):
                self._fail((*path, key), "true or false", t[key])
        return ScoreRule(*common, score=str(score), raise_at=bounds[0], clear_at=bounds[1],
                         hold_ms=self._duration(t, "hold", path, "24h"), severity=self._severity(t, path),
                         below=direction == "below", own="relative_to" in t,
                         own_silence=t.get("own_silence", False), expected_end=t.get("expected_end", False))

    def _composite(self, path: tuple[str, ...], t: dict[str, Any], common: tuple[Any, ...],
                   _where: tuple[Condition, ...]) -> Rule:
        names = self._list(t.get("any"), (*path, "any"), kind=str)
        return CompositeRule(*common, any_of=tuple(names), hold_ms=self._duration(t, "hold", path),
                             severity=self._severity(t, path))

    # -- values ------------------------------------------------------------------------------------------------

    def _list(self, value: object, path: tuple[str, ...], least: int = 1, kind: type = dict) -> list[Any]:
        if not isinstance(value, list) or len(value) < least or not all(isinstance(v, kind) for v in value):
            word = "tables" if kind is dict else "strings"
            self._fail(path, f"a list of at least {least} {word}", value)
        assert isinstance(value, list)
        return value

    def _events(self, t: dict[str, Any], path: tuple[str, ...],
                where: tuple[Condition, ...] = ()) -> tuple[Matcher, ...]:
        if "events" in t:
            if "kinds" in t:
                self._fail((*path, "events"), "either kinds or events", "both")
            entries = self._list(t["events"], (*path, "events"))
            matchers = tuple(self._matcher(m, (*path, "events")) for m in entries)
        else:
            matchers = (Matcher(self._kinds(t.get("kinds"), (*path, "kinds"))),)
        return tuple(Matcher(m.kinds, (*m.conditions, *where)) for m in matchers)

    def _matcher(self, t: dict[str, Any], path: tuple[str, ...]) -> Matcher:
        for key in t:
            if key not in ("kinds", "where"):
                self._fail((*path, key), "`kinds` and `where`", key)
        conditions = self._conditions(t.get("where", {}), (*path, "where"))
        for c in conditions:
            if c.about_customer:
                self._fail((*path, "where"), "conditions on the event here", c.field)
        return Matcher(self._kinds(t.get("kinds"), (*path, "kinds")), conditions)

    def _kinds(self, value: object, path: tuple[str, ...]) -> frozenset[str]:
        kinds = self._list(value, path, kind=str)
        for kind in kinds:
            if kind not in KINDS:
                self._fail(path, f"known kinds ({', '.join(sorted(KINDS))})", kind)
        return frozenset(kinds)

    def _reset(self, t: dict[str, Any], path: tuple[str, ...]) -> Reset:
        campaign = t.get("campaign", "")
        if campaign not in ("", "same", "none"):
            self._fail((*path, "campaign"), "`same` or `none`", campaign)
        for key in t:
            if key not in ("campaign", "kinds", "where"):
                self._fail((*path, key), "`campaign`, `kinds` and `where`", key)
        kinds = t.get("kinds")
        if kinds is None:
            if campaign != "same":
                self._fail((*path, "kinds"), "a list of kinds", kinds)
            # An answer is something the customer did; what our side sends with the same campaign is none.
            kinds = sorted(k for k, role in KINDS.items() if role not in ("our_side", "control_customer", "control_lane"))
        matcher = self._matcher({"kinds": kinds, **({"where": t["where"]} if "where" in t else {})}, path)
        return Reset((matcher,), campaign)

    def _conditions(self, value: object, path: tuple[str, ...]) -> tuple[Condition, ...]:
        if not isinstance(value, dict):
            self._fail(path, "a table of conditions", value)
        assert isinstance(value, dict)
        return tuple(self._condition(field, wanted, (*path, field)) for field, wanted in value.items())

    def _condition(self, field: str, wanted: object, path: tuple[str, ...]) -> Condition:
        known = EVENT_FIELDS | CUSTOMER_FIELDS
        if field not in known and not field.startswith("attributes."):
            self._fail(path, f"one of {', '.join(sorted(known))} or attributes.<name>", field)
        if isinstance(wanted, str | bool | int | float):
            return Condition(field, one_of=(wanted,))
        if isinstance(wanted, list):
            return Condition(field, one_of=self._scalars(wanted, path))
        if not isinstance(wanted, dict) or not wanted or set(wanted) - {"min", "max", "not"}:
            self._fail(path, "a value, a list of values, or a table of `min`, `max`, `not`", wanted)
        assert isinstance(wanted, dict)
        bounds: dict[str, float] = {}
        for key in ("min", "max"):
            if key in wanted:
                bounds[key] = self._number(wanted, key, path)
        return Condition(field, none_of=self._scalars(wanted.get("not", []), path),
                         at_least=bounds.get("min"), at_most=bounds.get("max"))

    def _scalars(self, value: object, path: tuple[str, ...]) -> tuple[str | int | float | bool, ...]:
        values: Sequence[object] = value if isinstance(value, list) else [value]
        out = tuple(v for v in values if isinstance(v, str | bool | int | float))
        if len(out) != len(values):
            self._fail(path, "strings, numbers or booleans", value)
        return out

    def _tier(self, t: dict[str, Any], path: tuple[str, ...], severity: object) -> Tier:
        if path[-1] == "tiers":
            for key in t:
                if key not in ("severity", "threshold", "window"):
                    self._fail((*path, key), "`severity`, `threshold` and `window`", key)
        checked = self._severity({"severity": severity}, path)
        return Tier(checked, self._threshold(t, path), self._duration(t, "window", path))

    def _threshold(self, t: dict[str, Any], path: tuple[str, ...]) -> int:
        value = t.get("threshold")
        if type(value) is not int or not 1 <= value <= MAX_THRESHOLD:
            self._fail((*path, "threshold"), f"an integer from 1 to {MAX_THRESHOLD}", value)
        assert isinstance(value, int)
        return value

    def _duration(self, t: dict[str, Any], key: str, path: tuple[str, ...], default: str | None = None) -> int:
        value = t.get(key, default)
        try:
            return parse_duration(value)  # type: ignore[arg-type] # a wrong type is reported below
        except (ValueError, TypeError):
            self._fail((*path, key), 'a duration with its unit, such as "7d" or "24h"', value)
        raise AssertionError

    def _number(self, t: dict[str, Any], key: str, path: tuple[str, ...]) -> float:
        value = t.get(key)
        # `inf` and `nan` are TOML floats; no score or field ever equals them.
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e15:
            self._fail((*path, key), "a finite number", value)
        assert isinstance(value, int | float)
        return float(value)

    def _severity(self, t: dict[str, Any], path: tuple[str, ...]) -> str:
        value = t.get("severity", "medium")
        if not isinstance(value, str) or not 1 <= len(value) <= 16 or not value.isascii():
            self._fail((*path, "severity"), "a word of at most 16 ASCII characters", value)
        assert isinstance(value, str)
        return value

    def _level(self, t: dict[str, Any], path: tuple[str, ...]) -> int:
        value = t.get("level", "none")
        if value in ("leaf", "none"):
            return 0 if value == "leaf" else -1
        if type(value) is not int or not 1 <= value <= 16:
            self._fail((*path, "level"), '"leaf", "none" or a number of parts from 1 to 16', value)
        assert isinstance(value, int)
        return value
