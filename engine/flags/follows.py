"""Follows: an event B soon after an event A (docs/rules.md, shape `follows`)."""

from __future__ import annotations

from typing import Any, Self

from engine.flags.folded import Item
from engine.flags.matching import matches
from engine.flags.status import Hold, Status
from engine.rules.rule import FollowsRule

__all__ = ["MAX_FIRST", "MAX_TWINS", "FollowsFold"]

# Item: (ts, event_id, role, case_id, category, gate, contact_id); role 1 = A, 2 = B, 3 = both (B first)

MAX_FIRST = 128
"""Most As within the window that are kept for one rule and customer; beyond it the oldest are forgotten (`capped`)."""

MAX_TWINS = 32
"""Contacts of Bs that are remembered, so that a contact recorded by two systems raises once."""


class FollowsFold:
    """As within the window and the episodes per category after the traces so far; arguments as `CountFold`.

    `first` holds (ts, event_id, case_id, category); `episodes` category -> [since, until, count, cause, evidence].
    """

    __slots__ = ("begun", "episodes", "first", "holds", "member", "overflow", "rule", "twins")

    asked = -1

    def __init__(self, rule: FollowsRule, member: bool) -> None:
        self.rule = rule
        self.member = member
        self.first: list[tuple[int, str, str | None, str | None]] = []
        self.episodes: dict[str | None, list[Any]] = {}
        self.holds: list[Hold] = []
        self.begun: list[int] = []
        self.overflow = False
        self.twins: list[tuple[str, str | None]] = []

    def step(self, item: Item) -> None:
        ts, event_id, role, case, category = item[:5]
        if role & 2 and self.first:
            self._follow(item)
        if role & 1:
            self.first.append((ts, event_id, case, category))
            if len(self.first) > MAX_FIRST:
                self._forget(ts)

    def _forget(self, ts: int) -> None:
        oldest = ts - self.rule.window_ms
        self.first = [a for a in self.first if a[0] >= oldest]
        if len(self.first) > MAX_FIRST:
            del self.first[: len(self.first) - MAX_FIRST]
            self.overflow = True

    def _follow(self, item: Item) -> None:
        ts, event_id, _, case, category, gate, contact = item
        oldest = ts - self.rule.window_ms
        for a in reversed(self.first):
            if a[0] < oldest:
                return
            if matches(a[2], a[3], case, category):
                break
        else:
            return
        if contact is not None:
            if (contact, a[3]) in self.twins:
                return
            self.twins = [*self.twins, (contact, a[3])][-MAX_TWINS:]
        evidence = (a[1], event_id)
        episode = self.episodes.get(a[3])
        if episode is not None and episode[1] >= ts:
            episode[1], episode[4] = ts + self.rule.expire_ms, evidence
            episode[2] += 1
        elif gate:
            self.episodes[a[3]] = [ts, ts + self.rule.expire_ms, 1, event_id, evidence]
            self.begun.append(ts)
        else:
            return
        if self.member:
            self.holds.append(Hold(ts, event_id, evidence))

    def copy(self) -> Self:
        other = type(self)(self.rule, self.member)
        other.first = self.first.copy()
        other.episodes = {c: e.copy() for c, e in self.episodes.items()}
        other.overflow = self.overflow
        other.twins = self.twins
        return other

    def surplus(self, items: list[Item], frozen: int) -> int:
        n = 0
        while n < len(items) and items[n][0] < frozen:
            n += 1
        return n

    def shrink(self, frozen: int) -> None:
        self.first = [a for a in self.first if a[0] >= frozen - self.rule.window_ms]
        self.episodes = {c: e for c, e in self.episodes.items() if e[1] >= frozen}

    def encode(self) -> list[Any]:
        return [self.first, [[c, *e] for c, e in self.episodes.items()], self.overflow, self.twins]

    @classmethod
    def decode(cls, rule: FollowsRule, member: bool, data: list[Any]) -> Self:
        """The fold that `encode` wrote."""
        fold = cls(rule, member)
        fold.first = [tuple(a) for a in data[0]]
        fold.episodes = {e[0]: [*e[1:5], tuple(e[5])] for e in data[1]}
        fold.overflow = data[2]
        fold.twins = [(contact, category) for contact, category in data[3]]
        return fold

    def statuses(self, tau: int) -> list[tuple[str | None, Status]]:
        return [
            (category, Status(since, until, count, self.rule.severity, evidence, cause))
            for category, (since, until, count, cause, evidence) in self.episodes.items()
            if until >= tau
        ]

    def next_due(self, tau: int) -> int | None:
        return min((e[1] for e in self.episodes.values() if e[1] >= tau), default=None)
