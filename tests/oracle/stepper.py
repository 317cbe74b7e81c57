"""A second answer to the same question, made another way: a clock that goes ms by ms and a state that it moves.

Where `flags.py` scans the whole past at one time, this walks forward, fires timers and keeps counters, as a streaming
engine does. It is only fit for logs of a few dozen ms and rules with windows of a few ms, where every coincidence of
two ends, two events and two timers comes up. It shares the vocabulary of `rules.py` (what counts, what matches what).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.oracle.episodes import Key, Op
from tests.oracle.intake import Trace
from tests.oracle.rules import Composite, Count, Follows, Groups, Overdue, RuleSet, category_key, matches


@dataclass(slots=True)
class Up:
    """A flag that is up now."""

    since: int
    until: int
    count: int
    severity: str = ""


@dataclass(slots=True)
class Stepper:
    """The state of one customer at `now`; `step` moves it by one ms."""

    rules: RuleSet
    now: int = -1
    up: dict[Key, Up] = field(default_factory=dict)
    ops: dict[Key, list[Op]] = field(default_factory=dict)
    contacts: set[tuple[str, str | None, str]] = field(default_factory=set)
    counted: dict[Key, list[Trace]] = field(default_factory=dict)
    tier_ends: dict[Key, dict[str, int]] = field(default_factory=dict)
    fixes: list[Trace] = field(default_factory=list)
    pending: dict[Key, list[Trace]] = field(default_factory=dict)
    raised: dict[Key, list[Trace]] = field(default_factory=dict)

    def step(self, events: Sequence[Trace]) -> None:
        """Move to the next ms: what was due in the last one, then the events of this one."""
        self.now += 1
        for overdue in self.rules.overdue:
            self.fire_raises(overdue)
        for key, flag in list(self.up.items()):
            if flag.until == self.now - 1:
                self.clear(key, flag.until)
        for event in sorted(events, key=lambda event: event.event_id):
            self.apply(event)

    def flags(self) -> set[tuple[str, str | None, int, int, int, str]]:
        rows = set()
        for (name, category), flag in self.up.items():
            severity = flag.severity
            count = flag.count
            for rule in self.rules.counts:
                if rule.flag == name:
                    ends = self.tier_ends[name, category]
                    tier = [tier for tier in rule.tiers if ends.get(tier.severity, -1) >= self.now][-1]
                    newest = self.counted[name, category][-1].ts
                    severity = tier.severity
                    count = len([t for t in self.counted[name, category] if newest - t.ts <= tier.window])
            rows.add((name, category, flag.since, flag.until, count, severity))
        return rows

    def clear(self, key: Key, at: int) -> None:
        self.ops[key].append(("clear", at, self.up.pop(key).since))
        self.tier_ends.pop(key, None)
        self.raised.pop(key, None)

    def hold(self, key: Key, at: int, until: int, count: int = 1) -> None:
        """Raise the flag, or move its end and add to its count."""
        if key not in self.up:
            self.ops.setdefault(key, []).append(("raise", at, at))
            self.up[key] = Up(at, until, 0)
        self.up[key].until = max(self.up[key].until, until)
        self.up[key].count += count

    def is_twin(self, rule: str, category: str | None, event: Trace) -> bool:
        if event.contact_id is None:
            return False
        contact = (rule, category, event.contact_id)
        seen = contact in self.contacts
        self.contacts.add(contact)
        return seen

    def apply(self, event: Trace) -> None:
        held = {rule.flag for rule in self.rules.counts if self.apply_count(rule, event)}
        held |= {rule.flag for rule in self.rules.groups if self.apply_groups(rule, event)}
        for overdue in self.rules.overdue:
            self.apply_overdue(overdue, event)
        for follows in self.rules.follows:
            self.apply_follows(follows, event)
        for composite in self.rules.composites:
            self.apply_composite(composite, event, held)

    def apply_count(self, rule: Count, event: Trace) -> bool:
        if not rule.counts(event):
            if rule.answered:
                self.answer((rule.flag, None), event)
            return False
        category = category_key(event.category, rule.level)
        if (rule.level is not None and category is None) or self.is_twin(rule.flag, category, event):
            return False
        key = (rule.flag, category)
        counted = self.counted.setdefault(key, [])
        counted.append(event)
        held = False
        for tier in rule.tiers:
            if len(counted) >= tier.threshold and event.ts - counted[-tier.threshold].ts <= tier.window:
                held = True
                end = counted[-tier.threshold].ts + tier.window
                self.hold(key, self.now, end)
                self.tier_ends.setdefault(key, {})[tier.severity] = end
        return held

    def answer(self, key: Key, event: Trace) -> None:
        campaigns = {promotion.campaign_id for promotion in self.counted.get(key, [])}
        named = event.campaign_id is not None and event.campaign_id in campaigns
        bought = event.kind == "purchase" and None in campaigns
        if event.kind != "outreach" and (named or bought):
            self.counted[key] = []
            if key in self.up:
                self.clear(key, self.now)

    def apply_groups(self, rule: Groups, event: Trace) -> bool:
        category = category_key(event.category, rule.level)
        if category is None or not (rule.first(event) or rule.second(event)):
            return False
        if self.is_twin(rule.flag, category, event):
            return False
        key = (rule.flag, category)
        counted = self.counted.setdefault(key, [])
        counted.append(event)
        # From the newest on, the first event that has a partner not older than itself is the older of the best pair.
        for i in range(len(counted) - 1, -1, -1):
            older = counted[i]
            if event.ts - older.ts > rule.window:
                return False
            for newer in counted[i + 1 :]:
                of_both = rule.first(older) != rule.first(newer)
                if of_both and not (older.case_id == newer.case_id and older.case_id is not None):
                    self.hold(key, self.now, older.ts + rule.window)
                    self.up[key].count = len([t for t in counted if event.ts - t.ts <= rule.window])
                    return True
        return False

    def apply_overdue(self, rule: Overdue, event: Trace) -> None:
        if rule.answers(event):
            for key in [key for key in self.pending if key[0] == rule.flag]:
                self.pending[key] = [a for a in self.pending[key] if not matches(a, event)]
            for key in [key for key in self.raised if key[0] == rule.flag]:
                left = [a for a in self.raised[key] if not matches(a, event)]
                if len(left) < len(self.raised[key]):
                    self.raised[key] = left
                    self.settle(rule, key)
        if rule.opens(event) and not self.is_twin(rule.flag, event.category, event):
            self.pending.setdefault((rule.flag, event.category), []).append(event)

    def settle(self, rule: Overdue, key: Key) -> None:
        left = self.raised[key]
        until = left[-1].ts + rule.window + rule.expire if left else -1
        if until < self.now:
            self.clear(key, self.now)
            return
        self.up[key] = Up(left[0].ts + rule.window, until, len(left))

    def fire_raises(self, rule: Overdue) -> None:
        for key in [key for key in self.pending if key[0] == rule.flag]:
            due = [a for a in self.pending[key] if a.ts + rule.window == self.now - 1]
            for a in due:
                self.pending[key].remove(a)
                self.raised.setdefault(key, []).append(a)
                self.hold(key, self.now - 1, self.now - 1 + rule.expire)

    def apply_follows(self, rule: Follows, event: Trace) -> None:
        if rule.after(event):
            matching = [fix for fix in self.fixes if matches(fix, event)]
            if matching and event.ts - matching[-1].ts <= rule.window:
                key = (rule.flag, matching[-1].category)
                if not self.is_twin(rule.flag, key[1], event):
                    self.hold(key, self.now, self.now + rule.expire)
        if rule.before(event):
            self.fixes.append(event)

    def apply_composite(self, rule: Composite, event: Trace, held: set[str]) -> None:
        if held & set(rule.members):
            self.hold((rule.flag, None), self.now, event.ts + rule.hold)
