"""Overdue: an event A that no event B followed in time (docs/rules.md, shape `overdue`)."""

from __future__ import annotations

from typing import Any, Self

from engine.flags.folded import Item
from engine.flags.matching import matches
from engine.flags.status import Hold, Status
from engine.rules.rule import OverdueRule

__all__ = ["MAX_OPEN", "MAX_TWINS", "OverdueFold"]

# Item: (ts, event_id, role, case_id, category, contact_id); role 1 = A, 2 = B, 3 = both (B first)

MAX_OPEN = 128
"""Most open As of one rule and customer; beyond it the oldest are forgotten (`capped`)."""

MAX_TWINS = 32
"""Contacts of As that are remembered, so that a contact recorded by two systems is one A."""


class OverdueFold:
    """Open As after the traces so far; arguments as `CountFold`.

    `opened` holds [ts, event_id, case_id, category, is_raised], oldest first.
    """

    __slots__ = ("asked", "begun", "holds", "member", "opened", "overflow", "rule", "twins")

    def __init__(self, rule: OverdueRule, member: bool) -> None:
        self.rule = rule
        self.member = member
        self.opened: list[list[Any]] = []
        self.holds: list[Hold] = []
        self.begun: list[int] = []
        self.overflow = False
        self.twins: list[tuple[str, str | None]] = []
        self.asked = -1

    def step(self, item: Item) -> None:
        ts, event_id, role, case, category, contact = item
        if role & 2 and self.opened:
            self._advance(ts)
            self.opened = [a for a in self.opened if not matches(a[2], a[3], case, category)]
        if role & 1:
            if contact is not None:
                if (contact, category) in self.twins:
                    return
                self.twins = [*self.twins, (contact, category)][-MAX_TWINS:]
            self.opened.append([ts, event_id, case, category, False])
            if len(self.opened) > MAX_OPEN:
                del self.opened[0]
                self.overflow = True

    def _advance(self, tau: int) -> None:
        """Raise what is overdue before `tau` and drop what has expired before it."""
        window, expire = self.rule.window_ms, self.rule.expire_ms
        until: dict[str | None, int] = {}
        for a in self.opened:
            due = a[0] + window
            if due >= tau:
                break
            if not a[4]:
                a[4] = True
                if self.member:
                    self.holds.append(Hold(due, a[1], (a[1],)))
            until[a[3]] = due + expire
        if any(end < tau for end in until.values()) or self._has_break(tau):
            self.opened = self._unexpired(tau)

    def _has_break(self, tau: int) -> bool:
        """Whether between two raises of a category the flag had expired."""
        last: dict[str | None, int] = {}
        for a in self.opened:
            due = a[0] + self.rule.window_ms
            if due >= tau:
                return False
            if a[3] in last and last[a[3]] + self.rule.expire_ms < due:
                return True
            last[a[3]] = due
        return False

    def _unexpired(self, tau: int) -> list[list[Any]]:
        chains: dict[str | None, list[list[Any]]] = {}
        waiting: list[list[Any]] = []
        window, expire = self.rule.window_ms, self.rule.expire_ms
        for a in self.opened:
            due = a[0] + window
            if due >= tau:
                waiting.append(a)
                continue
            chain = chains.setdefault(a[3], [])
            if chain and chain[-1][0] + window + expire < due:
                chain.clear()
            chain.append(a)
        up = [a for chain in chains.values() if chain[-1][0] + window + expire >= tau for a in chain]
        return sorted(up, key=lambda a: (a[0], a[1])) + waiting

    def copy(self) -> Self:
        other = type(self)(self.rule, self.member)
        other.opened = [a.copy() for a in self.opened]
        other.overflow = self.overflow
        other.twins = self.twins
        return other

    def surplus(self, items: list[Item], frozen: int) -> int:
        n = 0
        while n < len(items) and items[n][0] < frozen:
            n += 1
        return n

    def shrink(self, frozen: int) -> None:
        if self.opened:
            self._advance(frozen)

    def encode(self) -> list[Any]:
        return [self.opened, self.overflow, self.twins]

    @classmethod
    def decode(cls, rule: OverdueRule, member: bool, data: list[Any]) -> Self:
        """The fold that `encode` wrote."""
        fold = cls(rule, member)
        fold.opened, fold.overflow = [list(a) for a in data[0]], data[1]
        fold.twins = [(contact, category) for contact, category in data[2]]
        return fold

    def statuses(self, tau: int) -> list[tuple[str | None, Status]]:
        if not self.opened:
            return []
        self.asked = max(self.asked, tau)
        self._advance(tau)
        raised: dict[str | None, list[list[Any]]] = {}
        for a in self.opened:
            if a[4]:
                raised.setdefault(a[3], []).append(a)
        window, expire = self.rule.window_ms, self.rule.expire_ms
        return [
            (
                category,
                Status(
                    group[0][0] + window,
                    group[-1][0] + window + expire,
                    len(group),
                    self.rule.severity,
                    (group[-1][1],),
                    group[0][0] + window,
                ),
            )
            for category, group in raised.items()
        ]

    def next_due(self, tau: int) -> int | None:
        if not self.opened:
            return None
        self.asked = max(self.asked, tau)
        self._advance(tau)
        window, expire = self.rule.window_ms, self.rule.expire_ms
        ends: dict[str | None, int] = {}
        for a in self.opened:
            if not a[4]:
                return min((int(a[0]) + window, *ends.values()))
            ends[a[3]] = a[0] + window + expire
        return min(ends.values(), default=None)
