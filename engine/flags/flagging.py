"""Runs the machines of one customer: an event goes in, what each flag is comes out."""

from __future__ import annotations

from collections.abc import Iterable

from engine.episodes import FlagKey
from engine.event import Event
from engine.flags.composite import CompositeState
from engine.flags.count import CountFold
from engine.flags.folded import FoldedState
from engine.flags.index import RuleIndex, StateKey
from engine.flags.override import overridden
from engine.flags.status import Status
from engine.memory import MAX_CATEGORIES, Memory
from engine.rules import RuleSet
from engine.rules.rule import AllRule, CountRule

__all__ = ["Flagging"]


class Flagging:
    """The rules of a rule set at work on customers; has no state of its own.

    Parameters
    ----------
    rules
        The rule set.
    """

    def __init__(self, rules: RuleSet) -> None:
        self.indexes: dict[str | None, RuleIndex] = {None: RuleIndex(rules.rules)}
        for segment, own in rules.by_segment.items():
            self.indexes[segment] = RuleIndex(own)
        self._sensitive = next((i for i, r in self.indexes[None].composites if r.name == "sensitive"), None)

    def index(self, memory: Memory) -> RuleIndex:
        """The rules with the numbers of the customer's segment."""
        return self.indexes.get(memory.segment) or self.indexes[None]

    def add(self, memory: Memory, event: Event, frozen: int) -> list[StateKey]:
        """Give an event to the machines that it concerns; returns those machines."""
        index = self.index(memory)
        touched: list[StateKey] = []
        for number in index.concerned(event.kind):
            item = index.item(number, event, index.rules[number].gate(memory))
            if item is None:
                continue
            for key in index.keys(number, event, item, memory.states):
                state = memory.states.get(key)
                if state is None:
                    state = self._new_state(memory, index, key)
                state.add(item, frozen)
                self._absorb(memory, index, key, state)
                touched.append(key)
        return touched

    def held(self, memory: Memory, touched: Iterable[StateKey], event_id: str) -> list[str]:
        """`held:<flag>:<severity>` for every tier of a count that holds at this event, the newest of its machine."""
        index = self.index(memory)
        out = []
        for key in touched:
            rule, fold = index.rules[key[0]], memory.states[key].now
            if isinstance(rule, CountRule) and isinstance(fold, CountFold) and fold.newest_held[0] == event_id:
                out += [f"held:{rule.name}:{rule.tiers[i].severity}" for i in fold.newest_held[1]]
        return out

    def n_over(self, memory: Memory, touched: Iterable[StateKey], tau: int) -> int:
        """Episodes that an event out of order has brought to light and that are over at `tau`: nobody hears of them."""
        over = 0
        for key in touched:
            state = memory.states[key]
            if state.fresh:
                up = {status.since for _, status in state.now.statuses(tau)}
                over += sum(1 for since in state.fresh if since not in up)
        return over

    def remove(self, memory: Memory, event_id: str) -> list[StateKey]:
        """Take an event out of every machine that still holds it; returns those machines."""
        return [key for key, state in memory.states.items() if state.remove(event_id)]

    def settle(
        self, memory: Memory, touched: Iterable[StateKey], tau: int, *, everything: bool = False
    ) -> list[tuple[FlagKey, Status | None]]:
        """What the flags of the touched machines, and the composites over them, are at `tau`.

        Parameters
        ----------
        memory, tau
            Whose flags, and when (ms).
        touched
            The machines that may say something else than before.
        everything
            All machines, composites and overrides, whatever was touched.
        """
        index = self.index(memory)
        now: dict[FlagKey, Status | None] = {}
        watched = set(memory.composites) if everything else set()
        for key in list(memory.states) if everything else touched:
            number, category = key
            name = index.rules[number].name
            statuses = {c if category is None else category: s for c, s in memory.states[key].now.statuses(tau)}
            known = [k for k in memory.episodes.active if k[0] == name and (category is None or k[1] == category)]
            for flag in [*known, *((name, c) for c in statuses)]:
                now[flag] = statuses.get(flag[1])
            watched.update(index.watchers.get(number, ()))
        for number in sorted(watched):
            self._refresh(memory, index, number, tau)
            now[index.rules[number].name, None] = memory.composites[number].status(tau)
        names = {name for name, _ in now}
        for _, all_rule in index.alls:
            if everything or names.intersection(all_rule.all_of):
                now[all_rule.name, None] = self._all(memory, index, all_rule, tau)
        if everything:
            for flag in [*memory.overrides, *memory.episodes.active]:
                if flag not in now and not self._is_score(memory, flag):
                    now[flag] = None
        return [(flag, self.under_override(memory, flag, status, tau)) for flag, status in now.items()]

    def _all(self, memory: Memory, index: RuleIndex, rule: AllRule, tau: int) -> Status | None:
        """Up while every named flag is: since the last of them came, until the first of them goes."""
        chosen: list[Status] = []
        for name in rule.all_of:
            ups = [
                status
                for (number, _), state in memory.states.items()
                if index.rules[number].name == name
                for _, status in state.now.statuses(tau)
            ]
            if not ups:
                return None
            last = max(ups, key=lambda s: (_until(s), s.evidence))
            chosen.append(last._replace(since=min(s.since for s in ups)))
        newest = max(chosen, key=lambda s: (s.since, str(s.cause)))
        until = min(_until(s) for s in chosen)
        evidence = tuple(dict.fromkeys(i for s in chosen for i in s.evidence))
        return Status(newest.since, until, len(evidence), rule.severity, evidence, newest.cause)

    def _is_score(self, memory: Memory, flag: FlagKey) -> bool:
        return any(rule.name == flag[0] for _, rule in self.index(memory).scores)

    def next_due(self, memory: Memory, tau: int) -> int | None:
        """Earliest time >= tau after which some flag differs although nothing came."""
        # Called twice at every timer, and nearly always there is nothing to look at.
        best: int | None = None
        for state in memory.states.values():
            due = state.now.next_due(tau)
            if due is not None and (best is None or due < best):
                best = due
        for composite in memory.composites.values():
            due = composite.next_due(tau)
            if due is not None and (best is None or due < best):
                best = due
        for words in memory.overrides.values():
            due = words[-1].until if words else None
            if due is not None and due >= tau and (best is None or due < best):
                best = due
        # A flag whose machine was forgotten (`MAX_CATEGORIES`) still ends when it was said to.
        for episode in memory.episodes.active.values():
            due = episode.until
            if due is not None and due >= tau and (best is None or due < best):
                best = due
        return best

    def was_sensitive(self, memory: Memory, event: Event) -> bool:
        """Whether the customer was sensitive before this event."""
        if self._sensitive is None:
            return False
        composite = memory.composites.get(self._sensitive)
        own = composite is not None and composite.was_up_before(event.ts, event.event_id)
        words = [w for w in memory.overrides.get(("sensitive", None), []) if w[:2] < (event.ts, event.event_id)]
        status = composite.status(event.ts) if own and composite is not None else None
        return overridden(words, status, event.ts) is not None if words else own

    def rederive(self, memory: Memory, before: str | None) -> bool:
        """Work the machines out again from what memory retains, if the segment's numbers differ; True if it did."""
        old, new = self.indexes.get(before) or self.indexes[None], self.index(memory)
        if old is new:
            return False
        for (number, category), state in memory.states.items():
            fold = new.new_fold(number)
            memory.states[number, category] = FoldedState(fold, state.items, state.capped)
        memory.composites = {}
        for _, rule in new.composites:
            number = new.rules.index(rule)
            memory.composites[number] = CompositeState(rule)
        for number, score in memory.scores.items():
            score.rule = new.rules[number]  # type: ignore[assignment] # scores hold score rules only
        return True

    def restore(self, memory: Memory, tau: int) -> None:
        """After loading: work out what the composites are, which is not stored."""
        index = self.index(memory)
        for number in memory.composites:
            self._refresh(memory, index, number, tau)

    def _new_state(self, memory: Memory, index: RuleIndex, key: StateKey) -> FoldedState:
        same_rule = [k for k in memory.states if k[0] == key[0]]
        if len(same_rule) >= MAX_CATEGORIES:
            name = index.rules[key[0]].name
            idle = min(
                same_rule, key=lambda k: ((name, k[1]) in memory.episodes.active, _last(memory.states[k]), k[1] or "")
            )
            for number in index.watchers.get(key[0], ()):
                memory.composites[number].absorb(memory.states[idle].holds)
            del memory.states[idle]
            memory.capped = True
        state = memory.states[key] = FoldedState(index.new_fold(key[0]))
        for number in index.watchers.get(key[0], ()):
            if number not in memory.composites:
                rule = dict(index.composites)[number]
                memory.composites[number] = CompositeState(rule)
        return state

    def _absorb(self, memory: Memory, index: RuleIndex, key: StateKey, state: FoldedState) -> None:
        if state.capped or getattr(state.now, "overflow", False):
            memory.capped = True
        absorbed = state.take_absorbed()
        if absorbed:
            for number in index.watchers.get(key[0], ()):
                memory.composites[number].absorb(absorbed)

    def _refresh(self, memory: Memory, index: RuleIndex, number: int, tau: int) -> None:
        members = dict(index.composites)[number].any_of
        holds = []
        for (member, _), state in memory.states.items():
            if index.rules[member].name in members:
                state.now.statuses(tau)  # raises what is overdue by now, which is a hold too
                holds += state.holds
        memory.composites[number].refresh(holds)

    def under_override(self, memory: Memory, flag: FlagKey, status: Status | None, tau: int) -> Status | None:
        """What the flag is under a person's override, if one is in force at `tau`."""
        words = memory.overrides.get(flag)
        return status if words is None else overridden(words, status, tau)


def _last(state: FoldedState) -> int:
    return int(state.items[-1][0]) if state.items else -1


def _until(status: Status) -> int:
    assert status.until is not None  # only score flags have no end, and a composite names none
    return status.until
