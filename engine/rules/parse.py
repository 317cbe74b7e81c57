"""Reads a rule set: validated whole or refused whole, with the line and the field in the message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from engine.event import CONTROL, KINDS
from engine.rules.condition import CUSTOMER_FIELDS, Condition
from engine.rules.locate import Path
from engine.rules.reading import TableReader
from engine.rules.rule import (
    AllRule,
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
)

__all__ = ["RuleReader"]

MAX_RULES = 64
"""Largest number of rules in a set."""

RESERVED = frozenset(("churn", "sensitive_contact", "service_incident"))
"""Names that the board and the alert stream use for other things."""

_COMMON = {"shape", "priority", "where", "severity", "segments", "inhibited_by"}
_KEYS = {
    "count": {"kinds", "events", "level", "threshold", "window", "tiers", "reset"},
    "groups": {"groups", "level", "window", "distinct_case"},
    "overdue": {"first", "then", "window", "expire"},
    "follows": {"first", "then", "window", "expire"},
    "score": {"score", "raise", "clear", "hold", "direction", "relative_to", "own_silence", "expected_end"},
    "composite": {"any", "all", "hold"},
}
_SAME_FOR_ALL = (
    "shape", "segments", "where", "level", "kinds", "events", "first", "then", "any", "all", "score", "inhibited_by",
)  # fmt: skip
"""What a segment cannot have of its own: which events a rule sees does not depend on who the customer is."""

_Common = tuple[str, int, tuple[Condition, ...], tuple[str, ...]]


class RuleReader(TableReader):
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
        super().__init__(text, source)
        self._check_root()

    def rules(self, segment: str | None = None) -> tuple[Rule, ...]:
        """The rules in the file's order, with the numbers of one segment where it has its own."""
        rules = tuple(self._rule(name, table, segment) for name, table in self.root["flags"].items())
        shapes = {r.name: type(r) for r in rules}
        for rule in rules:
            key = "all" if isinstance(rule, AllRule) else "any"
            for i, member in enumerate(_members(rule)):
                path = ("flags", rule.name, key, i)
                if member not in shapes or member == rule.name:
                    self.fail(path, f"names of other flags of this file ({', '.join(sorted(shapes))})", member)
                if shapes[member] in (AllRule, CompositeRule, ScoreRule):
                    self.fail(path, "flags of the shapes count, groups, overdue or follows", member)
            for i, other in enumerate(rule.inhibited_by):
                if other not in shapes or other == rule.name:
                    where: Path = ("flags", rule.name, "inhibited_by", i)
                    self.fail(where, f"names of other flags of this file ({', '.join(sorted(shapes))})", other)
        return rules

    def segments(self) -> tuple[str, ...]:
        """Names of the segments for which some rule has numbers of its own."""
        return tuple(sorted({s for t in self.root["flags"].values() for s in t.get("segments", {})}))

    def _check_root(self) -> None:
        self.known(self.root, (), ("version", "flags"), "only `version` and `flags`")
        version = self.root.get("version")
        if type(version) is not int or version != 1:
            self.fail(("version",), "1", version)
        flags = self.root.get("flags")
        if not isinstance(flags, dict) or not flags:
            self.fail(("flags",), "at least one table `[flags.<name>]`", flags)
        if len(flags) > MAX_RULES:
            self.fail(("flags",), f"at most {MAX_RULES} flags", len(flags))
        for name, table in flags.items():
            path = ("flags", name)
            if not isinstance(table, dict):
                self.fail(path, "a table", table)
            if not (name.replace("_", "").isalnum() and name.isascii() and name == name.lower() and len(name) <= 32):
                self.fail(path, "a name of lower-case letters, digits and `_`, at most 32", name)
            if name in RESERVED:
                self.fail(path, f"a name that is free ({', '.join(sorted(RESERVED))} are not)", name)
            segments = table.get("segments", {})
            if not isinstance(segments, dict) or not all(isinstance(t, dict) for t in segments.values()):
                self.fail((*path, "segments"), "a table per segment", segments)
            # Segment overrides are checked now, not when the first customer of that segment turns up.
            for segment in (None, *segments):
                self._rule(name, table, segment)

    def _rule(self, name: str, table: dict[str, Any], segment: str | None) -> Rule:
        path: Path = ("flags", name)
        shape = table.get("shape")
        if not isinstance(shape, str) or shape not in _KEYS:
            self.fail((*path, "shape"), f"one of {', '.join(_KEYS)}", shape)
        own = table.get("segments", {}).get(segment, {}) if segment is not None else {}
        for key in own:
            if key in _SAME_FOR_ALL:
                self.fail((*path, "segments", str(segment), key), "numbers (threshold, window, tiers, ...)", key)
        # A complaint about a number of the segment's own must point there, not at the rule's.
        self._own = (str(segment), frozenset(own))
        merged = {**table, **own}
        self.known(merged, path, _COMMON | _KEYS[shape], f"one of the fields of the shape {shape}")
        priority = merged.get("priority", 3)
        if type(priority) is not int or not 1 <= priority <= 5:
            self.fail((*path, "priority"), "an integer from 1 to 5", priority)
        where = self.conditions(merged.get("where", {}), (*path, "where"))
        gates = tuple(c for c in where if c.about_customer)
        events = tuple(c for c in where if not c.about_customer)
        if events and shape != "count":
            self.fail(
                (*path, "where", events[0].field),
                f"conditions on the customer ({', '.join(sorted(CUSTOMER_FIELDS))}, attributes.<name>) here; those on "
                "events stand with the events",
                events[0].field,
            )
        hidden = self.words(merged["inhibited_by"], (*path, "inhibited_by")) if "inhibited_by" in merged else ()
        build: Callable[..., Rule] = getattr(self, f"_{shape}")
        rule = build(path, merged, (name, priority, gates, tuple(hidden)), events)
        self._own = ("", frozenset())
        return rule

    def _count(self, path: Path, t: dict[str, Any], common: _Common, where: tuple[Condition, ...]) -> Rule:
        if "tiers" in t:
            for key in ("threshold", "window", "severity"):
                if key in t:
                    self.fail((*path, key), f"either tiers, each with its {key}, or {key}", "both")
            tiers = []
            for i, entry in enumerate(self.tables(t["tiers"], (*path, "tiers"))):
                at = (*path, "tiers", i)
                self.known(entry, at, ("severity", "threshold", "window"), "`severity`, `threshold` and `window`")
                tiers.append(self.tier(entry, at, entry.get("severity")))
        else:
            tiers = [self.tier(t, path, t.get("severity", "medium"))]
        entries = self.tables(t.get("reset", []), (*path, "reset"), 0)
        resets = tuple(self._reset(r, (*path, "reset", i)) for i, r in enumerate(entries))
        events = tuple(Matcher(m.kinds, (*m.conditions, *where)) for m in self._events(t, path))
        return CountRule(*common, events=events, level=self.level(t, path), tiers=tuple(tiers), resets=resets)

    def _groups(self, path: Path, t: dict[str, Any], common: _Common, _where: tuple[Condition, ...]) -> Rule:
        groups = []
        for i, entry in enumerate(self.tables(t.get("groups"), (*path, "groups"), 2)):
            at = (*path, "groups", i)
            self.known(entry, at, ("kinds", "events", "threshold"), "`kinds` or `events`, and `threshold`")
            groups.append(Group(self._events(entry, at), self.threshold(entry, at)))
        distinct = self.truth(t, "distinct_case", path)
        if distinct and [g.threshold for g in groups] != [1, 1]:
            self.fail((*path, "distinct_case"), "true only with two groups of threshold 1", distinct)
        return GroupsRule(
            *common,
            groups=tuple(groups),
            level=self.level(t, path),
            window_ms=self.duration(t, "window", path),
            severity=self.severity(t, path),
            distinct_case=distinct,
        )

    def _pair(self, kind: type[OverdueRule | FollowsRule], path: Path, t: dict[str, Any], common: _Common) -> Rule:
        return kind(
            *common,
            first=self.matchers(t.get("first"), (*path, "first")),
            then=self.matchers(t.get("then"), (*path, "then")),
            window_ms=self.duration(t, "window", path),
            expire_ms=self.duration(t, "expire", path, "30d"),
            severity=self.severity(t, path),
        )

    def _overdue(self, path: Path, t: dict[str, Any], common: _Common, _where: tuple[Condition, ...]) -> Rule:
        return self._pair(OverdueRule, path, t, common)

    def _follows(self, path: Path, t: dict[str, Any], common: _Common, _where: tuple[Condition, ...]) -> Rule:
        return self._pair(FollowsRule, path, t, common)

    def _score(self, path: Path, t: dict[str, Any], common: _Common, _where: tuple[Condition, ...]) -> Rule:
        score = t.get("score")
        if score not in ("churn", "engagement"):
            self.fail((*path, "score"), "`churn` or `engagement`", score)
        direction = t.get("direction", "above")
        if direction not in ("above", "below"):
            self.fail((*path, "direction"), "`above` or `below`", direction)
        if t.get("relative_to", "own") != "own":
            self.fail((*path, "relative_to"), "`own`", t["relative_to"])
        raise_at, clear_at = (self.number(t, key, path) for key in ("raise", "clear"))
        below = direction == "below"
        if (clear_at <= raise_at) if below else (clear_at >= raise_at):
            self.fail((*path, "clear"), f"a number {'over' if below else 'under'} raise ({raise_at})", clear_at)
        return ScoreRule(
            *common,
            score=score,
            raise_at=raise_at,
            clear_at=clear_at,
            hold_ms=self.duration(t, "hold", path, "24h"),
            severity=self.severity(t, path),
            below=below,
            own="relative_to" in t,
            own_silence=self.truth(t, "own_silence", path),
            expected_end=self.truth(t, "expected_end", path),
        )

    def _composite(self, path: Path, t: dict[str, Any], common: _Common, _where: tuple[Condition, ...]) -> Rule:
        if common[2]:
            self.fail((*path, "where"), "no conditions on a composite; they stand with the flags it names", t["where"])
        if "all" in t:
            for key in ("any", "hold"):
                if key in t:
                    self.fail((*path, key), "either any with hold, or all", "both")
            return AllRule(*common, all_of=tuple(self.words(t["all"], (*path, "all"))), severity=self.severity(t, path))
        names = self.words(t.get("any"), (*path, "any"))
        hold = self.duration(t, "hold", path)
        return CompositeRule(*common, any_of=tuple(names), hold_ms=hold, severity=self.severity(t, path))

    def _events(self, t: dict[str, Any], path: Path) -> tuple[Matcher, ...]:
        if "events" not in t:
            return (Matcher(self.kinds(t.get("kinds"), (*path, "kinds"))),)
        if "kinds" in t:
            self.fail((*path, "events"), "either kinds or events", "both")
        return self.matchers(t["events"], (*path, "events"))

    def _reset(self, t: dict[str, Any], path: Path) -> Reset:
        self.known(t, path, ("campaign", "kinds", "where"), "`campaign`, `kinds` and `where`")
        campaign = t.get("campaign", "")
        if campaign not in ("", "same", "none"):
            self.fail((*path, "campaign"), "`same` or `none`", campaign)
        matcher: dict[str, Any] = {key: t[key] for key in ("kinds", "where") if key in t}
        if campaign == "same":
            # What our side sends out with the campaign is no answer to it; anything else that carries it is.
            answers = KINDS.keys() - CONTROL - {"promotion", "outreach"}
            matcher.setdefault("kinds", sorted(answers))
        return Reset((self.matcher(matcher, path),), campaign)


def _members(rule: Rule) -> tuple[str, ...]:
    if isinstance(rule, AllRule):
        return rule.all_of
    return rule.any_of if isinstance(rule, CompositeRule) else ()
