"""Groups: several counts that hold together within one window (docs/rules.md, shape `groups`)."""

from __future__ import annotations

from typing import Any, Self

from engine.flags.folded import MAX_ITEMS, Item
from engine.flags.status import Hold, Status
from engine.rules.rule import GroupsRule

__all__ = ["GroupsFold"]

# Item: (ts, event_id, group numbers, contact_id, case_id, gate)

_Counted = tuple[int, str, str | None, str | None]


class GroupsFold:
    """Several counts after the traces so far; arguments as `CountFold`."""

    __slots__ = ("begun", "cause", "counted", "end", "holds", "keep", "member", "rule", "since")

    asked = -1

    def __init__(self, rule: GroupsRule, member: bool) -> None:
        self.rule = rule
        self.member = member
        self.since: int | None = None
        self.cause = ""
        self.end = -1
        self.counted: list[list[_Counted]] = [[] for _ in rule.groups]
        self.holds: list[Hold] = []
        self.begun: list[int] = []
        self.keep = 2 * max(g.threshold for g in rule.groups)

    def step(self, item: Item) -> None:
        ts: int = item[0]
        entry = (ts, item[1], item[3], item[4])
        # A complaint and a rating made in one contact are one trace of that contact, whatever groups they are of.
        if item[3] is not None and any(c[2] == item[3] for counted in self.counted for c in counted):
            return
        for g in item[2]:
            counted = self.counted[g]
            counted.append(entry)
            if len(counted) > 2 * self.keep:
                self.counted[g] = self._newest(counted)
        chosen = self._chosen()
        if chosen is None:
            return
        oldest = min(c[0] for c in chosen)
        if oldest < ts - self.rule.window_ms:
            return
        if self.since is None or self.end < ts:
            if not item[5]:
                return
            self.since, self.cause = ts, item[1]
            self.begun.append(ts)
        self.end = oldest + self.rule.window_ms
        if self.member:
            self.holds.append(Hold(ts, item[1], self._evidence_with(entry)))

    def _newest(self, counted: list[_Counted]) -> list[_Counted]:
        """What later steps can need: the newest, and with distinct cases the newest of the newest two cases."""
        if not self.rule.distinct_case:
            return counted[-self.keep :]
        cases: set[str] = set()
        kept: list[_Counted] = []
        for c in reversed(counted):
            if c[3] is not None:
                if c[3] in cases:
                    continue
                cases.add(c[3])
            kept.append(c)
            if len(kept) == self.keep:
                break
        return kept[::-1]

    def _chosen(self) -> list[_Counted] | None:
        """The events whose oldest is newest, of all sets that satisfy the groups; `None` if there is none."""
        if self.rule.distinct_case:
            return self._pair()
        out: list[_Counted] = []
        for group, counted in zip(self.rule.groups, self.counted, strict=True):
            if len(counted) < group.threshold:
                return None
            out += counted[-group.threshold :]
        return out

    def _pair(self, must: _Counted | None = None) -> list[_Counted] | None:
        best: list[_Counted] | None = None
        best_time = -1
        for a in reversed(self.counted[0]):
            if a[0] <= best_time:
                break
            for b in reversed(self.counted[1]):
                older = min(a[0], b[0])
                if older <= best_time:
                    break
                if a[1] == b[1] or (a[3] is not None and a[3] == b[3]) or (must is not None and must not in (a, b)):
                    continue
                best, best_time = [a, b], older
                break
        return best

    def _evidence_with(self, entry: _Counted) -> tuple[str, ...]:
        """Evidence of a hold: must contain the event that holds."""
        chosen = self._chosen()
        assert chosen is not None
        if entry not in chosen and self.rule.distinct_case:
            pair = self._pair(must=entry)
            if pair is not None and min(c[0] for c in pair) >= entry[0] - self.rule.window_ms:
                chosen = pair
        if entry not in chosen:
            chosen = [*chosen, entry]
        return _ids(chosen)

    def copy(self) -> Self:
        other = type(self)(self.rule, self.member)
        other.since, other.cause, other.end = self.since, self.cause, self.end
        other.counted = [c.copy() for c in self.counted]
        return other

    def surplus(self, items: list[Item], frozen: int) -> int:
        low = min(self.keep * len(self.rule.groups), MAX_ITEMS // 2)
        if len(items) <= low + 8:
            return 0
        n = 0
        while n < len(items) - low and items[n][0] < frozen:
            n += 1
        return n

    def shrink(self, frozen: int) -> None:
        self.counted = [self._newest(c) for c in self.counted]

    def encode(self) -> list[Any]:
        return [self.since, self.cause, self.end, self.counted]

    @classmethod
    def decode(cls, rule: GroupsRule, member: bool, data: list[Any]) -> Self:
        """The fold that `encode` wrote."""
        fold = cls(rule, member)
        fold.since, fold.cause, fold.end = data[0], data[1], data[2]
        fold.counted = [[tuple(c) for c in group] for group in data[3]]
        return fold

    def statuses(self, tau: int) -> list[tuple[str | None, Status]]:
        if self.since is None or self.end < tau:
            return []
        chosen = self._chosen()
        ids = _ids(chosen) if chosen is not None else ()
        return [(None, Status(self.since, self.end, len(ids), self.rule.severity, ids, self.cause))]

    def next_due(self, tau: int) -> int | None:
        return self.end if self.since is not None and self.end >= tau else None


def _ids(entries: list[_Counted]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(c[1] for c in sorted(entries, key=lambda c: c[:2])))
