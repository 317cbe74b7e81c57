"""Counts: at least so many events within a window, in tiers (docs/rules.md, shape `count`)."""

from __future__ import annotations

from typing import Any, Self

from engine.flags.folded import MAX_ITEMS, Item
from engine.flags.status import Hold, Status
from engine.rules.rule import CountRule

__all__ = ["MAX_COUNTED", "CountFold"]

MAX_COUNTED = 64
"""Where `count` saturates: so many counted events within the longest window are kept per rule and category. Whether a
flag is up, since when and until when never depends on it."""

# Item: (ts, event_id, is_counted, contact_id, campaign_id, gate, needs)
# `needs` has the `campaign` words of the resets that the event may be, None for a counted event.


class CountFold:
    """A count after the traces so far.

    Parameters
    ----------
    rule
        The rule with its numbers.
    member
        Whether a composite watches this flag, so that holds are worth keeping.
    """

    __slots__ = ("begun", "cause", "counted", "ends", "holds", "keep", "member", "newest_held", "rule", "since")

    asked = -1

    def __init__(self, rule: CountRule, member: bool) -> None:
        self.rule = rule
        self.member = member
        self.since: int | None = None
        self.cause = ""
        self.ends = [-1] * len(rule.tiers)
        # Id of the newest event that held, and the tiers that did: for counting, never for deciding.
        self.newest_held: tuple[str, list[int]] = ("", [])
        self.counted: list[tuple[int, str, str | None, str | None]] = []
        self.holds: list[Hold] = []
        self.begun: list[int] = []
        # Twice the threshold (design 3). A reset looks for campaigns among counted events, so it sees more of them.
        self.keep = 2 * max(t.threshold for t in rule.tiers) * (2 if rule.resets else 1)

    def step(self, item: Item) -> None:
        ts: int = item[0]
        if not item[2]:
            self._reset(item[4], item[6])
            return
        contact = item[3]
        counted = self.counted
        if contact is not None and any(c[2] == contact for c in counted):
            return
        counted.append((ts, item[1], contact, item[4]))
        if len(counted) > self.keep:
            self._forget(ts)
        up = self.since is not None and max(self.ends) >= ts
        ends = self.ends if up else [-1] * len(self.ends)
        held = []
        n = len(counted)
        for i, tier in enumerate(self.rule.tiers):
            if n >= tier.threshold:
                oldest = counted[-tier.threshold][0]
                if oldest >= ts - tier.window_ms:
                    ends[i] = oldest + tier.window_ms
                    held.append(i)
        if not held:
            return
        if not up:
            if not item[5]:
                return
            self.since, self.cause, self.ends = ts, item[1], ends
            self.begun.append(ts)
        self.newest_held = (item[1], held)
        if self.member:
            self.holds.append(Hold(ts, item[1], self._evidence(ts)))

    def _forget(self, ts: int) -> None:
        """Keep the newest `keep`, and those within the longest window up to `MAX_COUNTED`."""
        counted = self.counted
        start = ts - max(t.window_ms for t in self.rule.tiers)
        n = 0
        most = len(counted) - self.keep
        while n < most and (counted[n][0] < start or len(counted) - n > MAX_COUNTED):
            n += 1
        del counted[:n]

    def _reset(self, campaign: str | None, needs: list[str]) -> None:
        campaigns = [c[3] for c in self.counted]
        answered = "" in needs or ("same" in needs and campaign in campaigns) or ("none" in needs and None in campaigns)
        if answered:
            self.counted = []
            self.since = None
            self.ends = [-1] * len(self.ends)

    def copy(self) -> Self:
        other = type(self)(self.rule, self.member)
        other.since, other.cause = self.since, self.cause
        other.ends = self.ends.copy()
        other.counted = self.counted.copy()
        return other

    def surplus(self, items: list[Item], frozen: int) -> int:
        # In chunks: each time something is let go, all that is left is folded again.
        keep = min(self.keep, MAX_ITEMS // 2)
        if len(items) <= keep + 8:
            return 0
        n = 0
        while n < len(items) - keep and items[n][0] < frozen:
            n += 1
        return n

    def shrink(self, frozen: int) -> None:
        """Nothing: every step forgets what no later one can need."""

    def encode(self) -> list[Any]:
        return [self.since, self.cause, self.ends, self.counted]

    @classmethod
    def decode(cls, rule: CountRule, member: bool, data: list[Any]) -> Self:
        """The fold that `encode` wrote."""
        fold = cls(rule, member)
        fold.since, fold.cause, fold.ends = data[0], data[1], data[2]
        fold.counted = [tuple(c) for c in data[3]]
        return fold

    def _severity(self, tau: int) -> int:
        for i in range(len(self.ends) - 1, -1, -1):
            if self.ends[i] >= tau:
                return i
        return -1

    def _evidence(self, tau: int) -> tuple[str, ...]:
        tiers = self.rule.tiers
        last = max(range(len(tiers)), key=lambda i: (self.ends[i], -tiers[i].threshold))
        n = max(tiers[self._severity(tau)].threshold, tiers[last].threshold)
        return tuple(c[1] for c in self.counted[-n:])

    def statuses(self, tau: int) -> list[tuple[str | None, Status]]:
        if self.since is None:
            return []
        i = self._severity(tau)
        if i < 0:
            return []
        tier = self.rule.tiers[i]
        start = self.counted[-1][0] - tier.window_ms
        count = sum(1 for c in self.counted if c[0] >= start)
        status = Status(self.since, max(self.ends), count, tier.severity, self._evidence(tau), self.cause)
        return [(None, status)]

    def next_due(self, tau: int) -> int | None:
        i = self._severity(tau) if self.since is not None else -1
        return self.ends[i] if i >= 0 else None
