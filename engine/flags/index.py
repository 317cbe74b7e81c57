"""Which rules must see an event, and what of it they keep."""

from __future__ import annotations

from typing import Any

from engine.event import Event
from engine.flags.count import CountFold
from engine.flags.folded import Fold, FoldedState, Item
from engine.flags.follows import FollowsFold
from engine.flags.groups import GroupsFold
from engine.flags.overdue import OverdueFold
from engine.rules.rule import (
    AllRule,
    CompositeRule,
    CountRule,
    FollowsRule,
    GroupsRule,
    Matcher,
    OverdueRule,
    Rule,
    ScoreRule,
    category_key,
)

__all__ = ["RuleIndex", "StateKey"]

StateKey = tuple[int, str | None]
"""A machine of a customer: number of the rule, and category where the rule keeps one machine per category."""


class RuleIndex:
    """The rules of one rule set and segment, by kind of event.

    Attributes
    ----------
    rules
        In order; a rule's place is its number.
    scores, composites, alls
        (number, rule) of those shapes; a composite of all flags is one of `alls`.
    watchers
        Number of a member rule -> numbers of the composites that name it.
    """

    __slots__ = ("_by_kind", "alls", "composites", "rules", "scores", "watchers")

    def __init__(self, rules: tuple[Rule, ...]) -> None:
        self.rules = rules
        self.scores = [(i, r) for i, r in enumerate(rules) if isinstance(r, ScoreRule)]
        self.composites = [(i, r) for i, r in enumerate(rules) if isinstance(r, CompositeRule)]
        self.alls = [(i, r) for i, r in enumerate(rules) if isinstance(r, AllRule)]
        numbers = {r.name: i for i, r in enumerate(rules)}
        self.watchers: dict[int, list[int]] = {}
        for i, composite in self.composites:
            for name in composite.any_of:
                self.watchers.setdefault(numbers[name], []).append(i)
        self._by_kind: dict[str, list[int]] = {}
        for i, rule in enumerate(rules):
            for kind in sorted(_kinds(rule)):
                self._by_kind.setdefault(kind, []).append(i)

    def concerned(self, kind: str) -> list[int]:
        """Numbers of the rules that may keep something of events of this kind."""
        return self._by_kind.get(kind, [])

    def item(self, number: int, event: Event, gate: bool) -> Item | None:
        """What the rule keeps of the event; `None` if nothing."""
        rule = self.rules[number]
        if isinstance(rule, CountRule):
            if any(m.matches(event) for m in rule.events):
                return (event.ts, event.event_id, True, event.contact_id, event.campaign_id, gate, None)
            needs = [
                reset.campaign
                for reset in rule.resets
                if any(m.matches(event) for m in reset.events)
                and not (reset.campaign == "same" and event.campaign_id is None)
            ]
            if needs:
                return (event.ts, event.event_id, False, None, event.campaign_id, gate, needs)
            return None
        if isinstance(rule, GroupsRule):
            groups = [g for g, group in enumerate(rule.groups) if any(m.matches(event) for m in group.events)]
            return (event.ts, event.event_id, groups, event.contact_id, event.case_id, gate) if groups else None
        if isinstance(rule, OverdueRule | FollowsRule):
            role = any(m.matches(event) for m in rule.first) | any(m.matches(event) for m in rule.then) << 1
            if isinstance(rule, OverdueRule):
                # A raise that the gate forbids at the event is a raise that never comes: A need not be kept.
                role = role if gate else role & 2
                a_or_b = (event.ts, event.event_id, int(role), event.case_id, event.category, event.contact_id)
                return a_or_b if role else None
            item = (event.ts, event.event_id, int(role), event.case_id, event.category, gate, event.contact_id)
            return item if role else None
        return None

    def keys(self, number: int, event: Event, item: Item, states: dict[StateKey, FoldedState]) -> list[StateKey]:
        """The machines of the rule that must see the event."""
        rule = self.rules[number]
        if not isinstance(rule, CountRule | GroupsRule) or rule.level < 0:
            return [(number, None)]
        category = category_key(event.category, rule.level)
        if category is not None:
            return [(number, category)]
        # A reset that names no service concerns them all; a counted event of an unknown service counts nowhere.
        return [] if item[2] is not False else [key for key in states if key[0] == number]

    def new_fold(self, number: int) -> Fold:
        """A machine's fold before anything came."""
        rule, member = self.rules[number], number in self.watchers
        if isinstance(rule, CountRule):
            return CountFold(rule, member)
        if isinstance(rule, GroupsRule):
            return GroupsFold(rule, member)
        if isinstance(rule, OverdueRule):
            return OverdueFold(rule, member)
        if not isinstance(rule, FollowsRule):
            raise TypeError(f"rule {rule.name}: expected a shape that has machines, got {type(rule).__name__}")
        return FollowsFold(rule, member)

    def decode_fold(self, number: int, data: list[Any]) -> Fold:
        """The fold that its `encode` wrote."""
        rule, member = self.rules[number], number in self.watchers
        if isinstance(rule, CountRule):
            return CountFold.decode(rule, member, data)
        if isinstance(rule, GroupsRule):
            return GroupsFold.decode(rule, member, data)
        if isinstance(rule, OverdueRule):
            return OverdueFold.decode(rule, member, data)
        if not isinstance(rule, FollowsRule):
            raise TypeError(f"rule {rule.name}: expected a shape that has machines, got {type(rule).__name__}")
        return FollowsFold.decode(rule, member, data)


def _kinds(rule: Rule) -> set[str]:
    matchers: list[Matcher] = []
    if isinstance(rule, CountRule):
        matchers += [*rule.events, *(m for r in rule.resets for m in r.events)]
    elif isinstance(rule, GroupsRule):
        matchers += [m for g in rule.groups for m in g.events]
    elif isinstance(rule, OverdueRule | FollowsRule):
        matchers += [*rule.first, *rule.then]
    return {kind for m in matchers for kind in m.kinds}
