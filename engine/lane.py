"""The lane: a deterministic state machine over the events of its customers, in log order.

`Lane.apply(batch)` takes events and gives an `Outcome`; no I/O, no wall clock, no randomness. The same events in the
same order give the same outcomes to the byte, in any batch sizes, loaded and saved at any place. Use:

>>> from engine.event import Event
>>> lane = Lane(0, ResultSettings(lanes=1), RuleSet.default())
>>> events = [(i, Event(f"e{i}", "c1", i * 1_000, "request", category="billing")) for i in range(2)]
>>> lane.admit({c: None for c in lane.wanted(events)})
>>> [(a.op, a.flag, a.severity) for a in lane.apply(events).alerts]
[('raise', 'repeat_request', 'burst')]
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.board import ALL_PARTS, HISTORY_DAYS, board_rows
from engine.catalogue import observe
from engine.desk import Desk
from engine.desk.dispatch import Dispatch, source_of
from engine.duration import DAY_MS
from engine.episodes import FlagKey
from engine.event import CONTACT, TIMELESS, WORDS, Event
from engine.flags.flagging import Flagging
from engine.flags.index import StateKey
from engine.flags.override import Word, add_word
from engine.flags.status import Status
from engine.landmarks import EVENT, SILENCE, TRIGGERS, Landmark
from engine.lane_record import CONTROL_IDS, LaneRecord
from engine.memory import MAX_ATTRIBUTES, Memory, id_digest
from engine.model_watch import cluster_of
from engine.outcome import CustomerChange, Outcome, Prediction
from engine.rules import RuleSet
from engine.score_flags import update_score_flags
from engine.scores import Scores
from engine.scoring import LaneModels
from engine.service_counts import ServiceCounts
from engine.settings import CACHE_CUSTOMERS, ResultSettings
from engine.sharing import MAX_LANES, Sharing, is_exchange
from engine.teller import Teller

__all__ = ["MAX_OVERRIDES", "SILENCE_DAYS", "Lane"]

SILENCE_DAYS = (1, 2, 4, 8, 16, 32, 64)
"""Days after the last own activity at which a silent customer is scored again (design, section 5)."""

MAX_OVERRIDES = 32
"""Most flags of a customer on which a person's word is remembered; beyond it the oldest word is forgotten."""


_HANDS = CONTACT | {"handling"}
"""Kinds that say who has a contact in hand."""


class Lane:
    """One lane of a deployment.

    Parameters
    ----------
    number
        Of the lane, 0 to `settings.lanes - 1`.
    settings
        Everything beside the log that answers depend on; `settings.rules` is the version of `rules`.
    rules
        The rule set.
    record, models, timers
        The lane's stored state; all absent for a new lane. Timers are pairs of due time (ms) and customer id.
    cache
        Most customers kept decoded between batches; never changes a result.
    desk
        Routes, priorities, caps and guidance; changes no line of an alert.
    """

    def __init__(
        self,
        number: int,
        settings: ResultSettings,
        rules: RuleSet,
        *,
        record: bytes | None = None,
        models: Mapping[str, bytes] | None = None,
        timers: Iterable[tuple[int, str]] = (),
        cache: int = CACHE_CUSTOMERS,
        desk: Desk | None = None,
    ) -> None:
        self.number = number
        self.settings = settings
        self.rules = rules
        self.record = LaneRecord() if record is None else LaneRecord.decode(record)
        self._windows = settings.windows
        self.models = LaneModels(self._windows, settings.learner, settings.challengers, settings.champion)
        self.models.restore(dict(models or {}))
        self.sharing = Sharing(number, settings.lanes, self.models, self.record.tally)
        self.sharing.restore(models or {})
        self._services = ServiceCounts(number, settings.lateness_ms, self.record.tally)
        self._services.restore(models or {}, self.record.clock)
        # An exchange brings a record of every lane: those of two must not drive the others out.
        self._n_control_ids = CONTROL_IDS + 2 * min(settings.lanes, MAX_LANES)
        self._flagging = Flagging(rules)
        self._cache_size = cache
        self._memories: dict[str, Memory] = {}
        self._unknown: list[str] = []
        self._due: dict[str, int] = {customer: due for due, customer in timers}
        self._heap = [(due, customer) for customer, due in self._due.items()]
        heapq.heapify(self._heap)
        self._dispatch = Dispatch(desk or Desk.default(), self.record.shift, number, settings.lanes)
        self._teller = Teller(self.record, rules, self.models.version, self._dispatch)
        self._begin()

    def _begin(self) -> None:
        """Forget what belongs to one batch."""
        self._teller.begin()
        self._index = 0
        self._predictions: list[Prediction] = []
        self._touched: dict[str, set[str]] = {}
        self._gone: set[str] = set()
        self._late: list[int] = []
        self._dead: list[tuple[int, str]] = []

    # -- loading -----------------------------------------------------------------------------------------------

    @property
    def clock(self) -> int:
        """The lane clock: the largest event time applied, ms; -1 before the first."""
        return self.record.clock

    def wanted(self, batch: Sequence[tuple[int, Event]]) -> list[str]:
        """Customers whose memories `apply(batch)` will need and the lane does not hold; give them to `admit`."""
        ids: dict[str, None] = {}
        latest = self.record.clock
        for _, event in batch:
            if event.customer_id is not None:
                ids[event.customer_id] = None
            if event.kind not in TIMELESS:
                latest = max(latest, event.ts)
        for customer in self._due_before(latest):
            ids[customer] = None
        return [i for i in ids if i not in self._memories]

    def _due_before(self, ts: int) -> list[str]:
        """Customers with a timer due before `ts`, without a look at all the others: a heap's children are no less."""
        heap, out, stack = self._heap, [], [0]
        while stack:
            at = stack.pop()
            if at < len(heap) and heap[at][0] < ts:
                due, customer = heap[at]
                if self._due.get(customer) == due:
                    out.append(customer)
                stack += (2 * at + 1, 2 * at + 2)
        return out

    def admit(self, records: Mapping[str, bytes | None]) -> None:
        """Take memories from the ledger; `None` is a customer it does not know.

        Raises
        ------
        StateIncompatible
            If a record is damaged or of another version.
        """
        for customer_id, data in records.items():
            if data is None:
                self._memories[customer_id] = Memory(customer_id)
                self._unknown.append(customer_id)
            else:
                self._memories[customer_id] = self.decode(data)

    def decode(self, data: bytes) -> Memory:
        """A customer's memory from their record, ready for use at the lane clock."""
        memory = Memory.decode(data, self._flagging.indexes)
        self._flagging.restore(memory, self.record.clock)
        return memory

    def forget_cache(self) -> None:
        """Drop all decoded memories; they are wanted again."""
        self._memories.clear()

    # -- applying ----------------------------------------------------------------------------------------------

    def apply(self, batch: Sequence[tuple[int, Event]]) -> Outcome:
        """Apply events in log order.

        Parameters
        ----------
        batch
            Pairs of the record's place in the whole batch (it only orders output across lanes) and its event. All of
            `wanted(batch)` must have been admitted.
        """
        for index, event in batch:
            self._index = self._teller.index = index
            self._take(event)
        return self._finish()

    def _take(self, event: Event) -> None:
        record = self.record
        record.read += 1
        if event.customer_id is None:
            self._take_control(event)
            return
        memory = self._memories[event.customer_id]
        if memory.knows(event.event_id):
            record.duplicate += 1
            return
        if event.kind in WORDS:
            record.applied += 1
            self._take_word(memory, event)
            return
        if self._is_late(event.ts):
            record.late += 1
            self._late.append(self._index)
            return
        self._advance(event.ts)
        # A timer may have retired the customer: then they start anew.
        memory = self._memories[event.customer_id]
        record.applied += 1
        self._apply(memory, event)
        if event.customer_id not in self._gone:
            self._schedule(memory, record.clock)

    def _take_control(self, event: Event) -> None:
        record = self.record
        if event.lane != self.number or event.lanes != self.settings.lanes:
            record.dead += 1
            self._dead.append((self._index, "lane"))
            return
        # Looked up first, noted only when applied: a late control must stay late when it comes again.
        digest = id_digest(event.event_id)
        if digest in record.controls:
            record.duplicate += 1
            return
        timeless = event.kind in TIMELESS
        if not timeless and self._is_late(event.ts):
            record.late += 1
            self._late.append(self._index)
            return
        record.knows_control(digest, self._n_control_ids)
        record.applied += 1
        if not timeless:
            self._advance(event.ts)
        if is_exchange(event):
            self._share(event)
        elif event.kind == "model":
            self._take_model(event)
        elif event.kind != "tick":
            record.tally(f"ignored:{event.kind}")

    def _take_word(self, memory: Memory, event: Event) -> None:
        """What a person says of an alert: never late, no trace of the customer, and the clock stands still."""
        memory.tickets.forget_old(self.record.clock)
        if not self._dispatch.word(memory, event, self.record.clock):
            self.record.tally("unknown_alert")
        if memory.last_seen < 0:
            return  # nobody knows the customer: a word must not make one
        memory.heard(event.event_id)
        self._touch(memory)
        self._schedule(memory, self.record.clock)

    def _share(self, event: Event) -> None:
        self.sharing.take(event, unused=self.record.clock < 0)

    def exchange(self, events: Iterable[Event]) -> Outcome:
        """Apply events of an exchange that are not in the log, so that no count knows of them (`engine.sharing`)."""
        for event in events:
            self._share(event)
        return self._finish()

    def _take_model(self, event: Event) -> None:
        """A person's word on which churn model is shown."""
        body = event.body if isinstance(event.body, dict) else {}
        name = body.get("champion")
        told = "ignored:model"
        if isinstance(name, str):
            if self.models.promote(name):
                told = "promoted"
        elif body.get("rollback") is True and self.models.roll_back():
            told = "rolled_back"
        self._teller.model = self.models.version
        self.record.tally(told)

    def _is_late(self, ts: int) -> bool:
        lateness = self.settings.lateness_ms
        return lateness is not None and ts < self.record.clock - lateness

    def _frozen(self) -> int:
        """A time before which no event can be applied any more."""
        lateness = self.settings.lateness_ms
        return -1 if lateness is None else self.record.clock - lateness

    def _advance(self, ts: int) -> None:
        """Fire what is due before `ts`, in the order (due, customer, name), and move the clock."""
        record = self.record
        if ts <= record.clock:
            return
        while self._heap and self._heap[0][0] < ts:
            due, customer = heapq.heappop(self._heap)
            if self._due.get(customer) != due:
                continue
            del self._due[customer]
            # Timers see the time just after they are due; the clock never goes back for them.
            record.clock = max(record.clock, due)
            self._fire(self._memories[customer], due)
        record.clock = ts
        self._services.advance(ts)

    def _schedule(self, memory: Memory, tau: int) -> None:
        due = self._next_due(memory, tau)
        if self._due.get(memory.customer_id) != due:
            self._due[memory.customer_id] = due
            heapq.heappush(self._heap, (due, memory.customer_id))
            if len(self._heap) > 2 * len(self._due) + 1_000:
                # Entries that were overtaken stay in the heap; without this it would grow with the events.
                self._heap = [(when, customer) for customer, when in self._due.items()]
                heapq.heapify(self._heap)

    def _next_due(self, memory: Memory, tau: int) -> int:
        settings = self.settings
        first = memory.last_seen + settings.retire_ms
        for due in (
            self._flagging.next_due(memory, tau),
            memory.contacts.next_due(),
            memory.tickets.next_due(),
            memory.landmarks.next_due(self._windows),
        ):
            if due is not None and due < first:
                first = due
        if memory.silence_step is not None:
            due = memory.traits.last_ms + SILENCE_DAYS[memory.silence_step] * DAY_MS
            if due < first:
                first = due
        # What is due in the past (an event out of order, a shorter window) is due now: timers never run backwards.
        clock = self.record.clock
        return first if first > clock else clock

    # -- timers ------------------------------------------------------------------------------------------------

    def _fire(self, memory: Memory, due: int) -> None:
        """All timers of a customer that are due, by name: contact, flag, label, retire, silence, snooze."""
        settings = self.settings
        self._touch(memory)
        tau = due + 1
        for op, alert, at in memory.contacts.close_due(due):
            self._teller.send_contact(memory, op, alert, at)
        # Most timers are of labels and silence: the flags are looked at only when one of theirs is due.
        if self._flagging.next_due(memory, due) == due:
            self._settle(memory, (), tau, due, everything=True)
        self._mature(memory, due)
        if memory.last_seen + settings.retire_ms <= due:
            self.record.tally("retired")
            self._drop(memory, due)
            return
        if memory.silence_step is not None:
            silent_at = memory.traits.last_ms + SILENCE_DAYS[memory.silence_step] * DAY_MS
            if silent_at <= due:
                memory.silence_step = memory.silence_step + 1 if memory.silence_step + 1 < len(SILENCE_DAYS) else None
                self._score(memory, SILENCE, max(silent_at, memory.last_seen), None, due)
        self._wake(memory, due)
        self._teller.settle(memory)
        memory.episodes.forget(self._frozen())
        self._services.forget(memory.counted, self.record.clock)
        memory.as_of = self.record.clock
        self._schedule(memory, tau)

    def _mature(self, memory: Memory, due: int) -> None:
        if not memory.landmarks.pending:
            return
        models, windows = self.models, self._windows
        edges = windows.edges
        for mark in memory.landmarks.pending:
            if not mark.engagement_done and mark.at + windows.engagement <= due:
                mark.engagement_done = True
                models.learn_engagement(mark, memory.segment)
            if not mark.contact_done and mark.at + windows.contact <= due:
                mark.contact_done = True
                models.learn_contact(mark, memory.segment)
            while mark.n_pieces_done < len(edges) and mark.at + edges[mark.n_pieces_done] <= due:
                models.learn_piece(mark)
                mark.n_pieces_done += 1
                if mark.n_pieces_done == len(edges):
                    models.learn_churn(mark, memory.segment, cluster_of(memory.customer_id))
        memory.landmarks.pending = [m for m in memory.landmarks.pending if not m.is_done(windows)]

    def _drop(self, memory: Memory, at: int) -> None:
        """Take a customer off ledger and board; consumers are told that nothing of theirs is up."""
        for key in list(memory.episodes.active):
            for op, episode, when in memory.episodes.reconcile(memory.customer_id, key, None, at + 1, at):
                self._teller.send(memory, op, key, episode, when)
        for alert in memory.contacts.open.values():
            self._teller.send_contact(memory, "clear", alert, at)
        memory.tickets.forget_all()
        self._teller.let_go(memory)
        for mark in memory.landmarks.pending:
            self.models.erase(mark)
        self._gone.add(memory.customer_id)
        self._touched[memory.customer_id] = set(ALL_PARTS)
        self._memories[memory.customer_id] = Memory(memory.customer_id)
        self._due.pop(memory.customer_id, None)

    # -- one event ---------------------------------------------------------------------------------------------

    def _apply(self, memory: Memory, event: Event) -> None:
        self._gone.discard(memory.customer_id)
        parts = self._touch(memory)
        if event.kind == "erase":
            self.record.tally("erased")
            self._drop(memory, self.record.clock)
            return
        memory.arrived(event.event_id, event.ts)
        sensitive = event.kind in CONTACT and self._flagging.was_sensitive(memory, event)
        if memory.timeline.add(event):
            parts.add("timeline")
        segment = memory.segment
        if event.kind == "profile":
            self._describe(memory, event)
            parts.add("profile")
        self._observe(memory, event)
        self._services.take(memory.counted, event, self.record.clock)
        touched = self._flagging.add(memory, event, self._frozen())
        everything = self._flagging.rederive(memory, segment)
        if event.kind == "override":
            self._override(memory, event)
            everything = True
        elif event.kind == "retract" and event.ref is not None:
            touched += self._flagging.remove(memory, event.ref)
            everything |= self._retract_override(memory, event.ref)
        elif event.kind == "link":
            self.record.tally(f"ignored:{event.kind}")
        for name in self._flagging.held(memory, touched, event.event_id):
            self.record.tally(name)
        if event.ts < self.record.clock:
            for _ in range(self._flagging.n_over(memory, touched, self.record.clock)):
                self.record.tally("episodes_over")
        self._settle(memory, touched, self.record.clock, self.record.clock, event, everything=everything)
        if sensitive:
            route = source_of(memory, event)
            for op, alert, at in memory.contacts.take(memory.customer_id, event, route, self.record.clock):
                self._teller.send_contact(memory, op, alert, at)
        self._teller.settle(memory)
        memory.episodes.forget(self._frozen())
        self._services.forget(memory.counted, self.record.clock)
        memory.as_of = self.record.clock

    def _describe(self, memory: Memory, event: Event) -> None:
        stale = event.ts < memory.profile_at
        memory.profile_at = max(memory.profile_at, event.ts)
        for name, value in (event.attributes or {}).items():
            if stale and name in memory.attributes:
                continue  # a newer profile has said so already
            if name in memory.attributes or len(memory.attributes) < MAX_ATTRIBUTES:
                memory.attributes[name] = value
            else:
                memory.capped = True

    def _override(self, memory: Memory, event: Event) -> None:
        if event.flag is None or event.state is None:
            return
        if event.flag not in self.rules.names():
            self.record.tally("ignored:override")
            return
        key = (event.flag, event.category)
        if key not in memory.overrides and len(memory.overrides) >= MAX_OVERRIDES:
            del memory.overrides[min(memory.overrides, key=lambda k: (memory.overrides[k][-1][:2], k[0], k[1] or ""))]
            memory.capped = True
        word = Word(event.ts, event.event_id, event.state, event.until)
        memory.overrides[key] = add_word(memory.overrides.get(key, []), word)

    @staticmethod
    def _retract_override(memory: Memory, event_id: str) -> bool:
        for key, words in memory.overrides.items():
            kept = [word for word in words if word.event_id != event_id]
            if len(kept) < len(words):
                # What is left of the words still ends what the retracted one began.
                memory.overrides[key] = kept or [Word(words[0].ts, event_id, "auto", None)]
                return True
        return False

    def _observe(self, memory: Memory, event: Event) -> None:
        """What the event means for traits, labels and scores."""
        settings = self.settings
        kind = event.kind
        left = kind == "cancel" or (kind == "contract" and event.step == "lapsed")
        own = kind in settings.activity and (kind != "payment" or event.outcome in (None, "ok"))
        memory.landmarks.observe(event, own, left, self._windows)
        memory.echo.update(event)
        memory.service.update(event)
        if own:
            newest = event.ts >= memory.traits.last_ms
            memory.rhythm.update(event.ts, memory.traits)
            memory.traits.update(event.ts, event.value)
            if memory.left_at is not None and event.ts > memory.left_at:
                memory.left_at = None
            if newest:
                memory.silence_step = 0
                # Stamped with the newest event of any kind: a score must not be dated before what it knows.
                self._score(memory, EVENT, memory.last_seen, event.event_id, self.record.clock)
            else:
                self._score_again(memory, event.event_id)
        if left and event.ts >= memory.traits.last_ms:
            memory.left_at = event.ts if memory.left_at is None else max(memory.left_at, event.ts)
        if memory.left_at is not None:
            self._leave(memory)

    def _leave(self, memory: Memory) -> None:
        """They have left for good: no silence to watch, nothing to save; the score says so."""
        memory.silence_step = None
        memory.churn = 1.0
        memory.reasons = []
        for state in memory.scores.values():
            state.end()
        self._touched[memory.customer_id].update(("why", "history"))
        self._settle_scores(memory, self.record.clock, self.record.clock)

    # -- scores ------------------------------------------------------------------------------------------------

    def _score(self, memory: Memory, trigger: int, at: int, event_id: str | None, now: int) -> None:
        """Predict and publish; `at` is the landmark, `now` the time with which messages are stamped."""
        mark, why = self._predict(memory, trigger, at, event_id)
        self._show(memory, mark, why)
        self._take_example(memory, mark)
        scores = mark.scores
        update_score_flags(
            memory,
            self._flagging.index(memory),
            {"churn": scores.churn, "engagement": scores.engagement},
            {name: self.models.n_learned(trigger, name) for name in ("churn", "engagement")},
            at,
            event_id or at,
            self.settings.churn_horizon_ms,
        )
        self._settle_scores(memory, at + 1 if trigger == SILENCE else now, now)

    def _predict(self, memory: Memory, trigger: int, at: int, event_id: str | None) -> tuple[Landmark, list[list[Any]]]:
        x = observe(memory, at, self.settings.churn_horizon_ms)
        scores, why = self.models.explain(trigger, x)
        self._predictions.append(
            Prediction(
                memory.customer_id, at, TRIGGERS[trigger], event_id, scores.churn, scores.engagement, scores.contact,
                self.models.version, self._index,
            )
        )  # fmt: skip
        return self.models.landmark(at, trigger, x, scores), why

    def _score_again(self, memory: Memory, event_id: str) -> None:
        """An activity came out of order: the customer is scored again, knowing it.

        Stamped with the newest event's time: a score for the late event's own time would know what came after it.
        """
        mark, why = self._predict(memory, EVENT, memory.last_seen, event_id)
        # After a silence landmark the score of silence is the newer one.
        if memory.silence_step == 0:
            self._show(memory, mark, why)

    def _show(self, memory: Memory, mark: Landmark, why: list[list[Any]]) -> None:
        scores: Scores = mark.scores
        memory.churn, memory.engagement, memory.contact = scores.churn, scores.engagement, scores.contact
        memory.reasons = why
        memory.history.pop(mark.at // DAY_MS, None)
        memory.history[mark.at // DAY_MS] = [scores.churn, scores.engagement]
        while len(memory.history) > HISTORY_DAYS:
            del memory.history[min(memory.history)]
        self._touched[memory.customer_id].update(("why", "history"))

    def _take_example(self, memory: Memory, mark: Landmark) -> None:
        settings, pending = self.settings, memory.landmarks.pending
        # The first example of a slot stays: dropping it for a newer one would drop just those whose customer came
        # back, which are known to be no churn (CollegeMsg: log-loss .3488 instead of .3222, docs/learning.md).
        first = memory.landmarks.slot(mark.at, mark.trigger, settings.thin_ms)
        if first is not None and first.at == mark.at and not first.is_begun:
            # Events of the same moment are one act: the example sees all of it.
            mark.follow(first)
            pending[pending.index(first)] = mark
            self.record.tally("thinned")
        elif first is not None:
            self.record.tally("thinned")
        elif memory.landmarks.has_room(mark.trigger, settings.max_pending):
            pending.append(mark)
            self.models.take(mark)
        else:
            self.record.tally("full")

    def _settle_scores(self, memory: Memory, tau: int, at: int) -> None:
        # By the rules, not by the states: a flag that never was up has no state, and may be overridden all the same.
        for number, rule in self._flagging.index(memory).scores:
            key = (rule.name, None)
            state = memory.scores.get(number)
            own = state.status() if state is not None else None
            self._reconcile(memory, key, self._flagging.under_override(memory, key, own, tau), tau, at, None)
        if memory.tickets.open:
            self._release(memory, {name for name, _ in memory.episodes.active}, at)

    # -- telling -----------------------------------------------------------------------------------------------

    def _settle(
        self,
        memory: Memory,
        touched: Iterable[StateKey],
        tau: int,
        at: int,
        event: Event | None = None,
        *,
        everything: bool = False,
    ) -> None:
        settled = self._flagging.settle(memory, touched, tau, everything=everything)
        if settled:
            before, after = memory.episodes.active, dict(settled)
            up = {name for name, category in before if (name, category) not in after}
            up.update(name for (name, _), status in settled if status is not None)
            for key, status in sorted(settled, key=lambda s: (s[0][0], s[0][1] or "")):
                self._reconcile(memory, key, status, tau, at, event, up)
            self._release(memory, up, at)
        if everything and memory.overrides:
            self._settle_scores(memory, tau, at)
            memory.overrides = {k: w for k, w in memory.overrides.items() if not self._is_over(w[-1])}

    def _is_over(self, word: Word) -> bool:
        frozen = self._frozen()
        return (word.state == "auto" and word.ts < frozen) or (word.until is not None and word.until < frozen)

    def _reconcile(
        self,
        memory: Memory,
        key: FlagKey,
        status: Status | None,
        tau: int,
        at: int,
        event: Event | None,
        up: set[str] | None = None,
    ) -> None:
        episodes = memory.episodes
        told = episodes.reconcile(memory.customer_id, key, status, tau, at)
        for op, episode, when in told:
            self._teller.send(memory, op, key, episode, when, event, up=up)
        if not told and event is not None and event.kind in _HANDS:
            self._reroute(memory, key, event, at, up)
        if episodes.changed:
            self._touched[memory.customer_id].add("flags")
            episodes.changed = False

    def _reroute(self, memory: Memory, key: FlagKey, event: Event, at: int, up: set[str] | None) -> None:
        """Somebody else has the contact now: whoever has it must know."""
        episode = memory.episodes.active.get(key)
        ticket = None if episode is None else memory.tickets.open.get(episode.alert_id)
        source = source_of(memory, event)
        if episode is not None and ticket is not None and source not in ("", ticket.source):
            episode.sent_at = at
            self._teller.send(memory, "update", key, episode, at, event, up=up)

    def _release(self, memory: Memory, up: set[str], at: int) -> None:
        """Send again what was inhibited, where nothing inhibits it any more."""
        for ticket in list(memory.tickets.open.values()):
            if ticket.hushed and not up.intersection(self._teller.inhibitors(ticket.flag)):
                self._again(memory, ticket.alert_id, at, up)

    def _wake(self, memory: Memory, due: int) -> None:
        """Send again what was snoozed until `due` and is still up."""
        for ticket in list(memory.tickets.open.values()):
            if ticket.asleep and ticket.snooze is not None and (ticket.snooze.until or 0) <= due:
                ticket.asleep = False
                self._again(memory, ticket.alert_id, due, None)

    def _again(self, memory: Memory, alert_id: str, at: int, up: set[str] | None) -> None:
        for key, episode in memory.episodes.active.items():
            if episode.alert_id == alert_id:
                episode.sent_at = at
                self._teller.send(memory, "update", key, episode, at, up=up)
                return
        for contact in memory.contacts.open.values():
            if contact.alert_id == alert_id:
                contact.sent_at = at
                self._teller.send_contact(memory, "update", contact, at)
                return

    # -- finishing ---------------------------------------------------------------------------------------------

    def _touch(self, memory: Memory) -> set[str]:
        parts = self._touched.get(memory.customer_id)
        if parts is None:
            parts = self._touched[memory.customer_id] = set()
        return parts

    def _finish(self) -> Outcome:
        versions = (self.rules.version, self.models.version)
        customers: dict[str, CustomerChange] = {}
        for customer_id, parts in self._touched.items():
            memory = self._memories[customer_id]
            if customer_id in self._gone:
                customers[customer_id] = CustomerChange(customer_id, None, None, None)
                del self._memories[customer_id]
                continue
            self._teller.show(memory, self.number)
            due = self._due[customer_id]
            rows = board_rows(memory, parts, self.number, due, versions)
            customers[customer_id] = CustomerChange(customer_id, memory.encode(), due, rows)
        outcome = Outcome(
            lane=self.number,
            lane_record=self.record.encode(),
            clock=self.record.clock,
            model_rows=self.models.rows(self.record.clock),
            models=self.models.snapshots() | self.sharing.snapshots() | self._services.snapshots(),
            customers=customers,
            alerts=self._teller.alerts,
            predictions=self._predictions,
            alert_state=self._teller.alert_state,
            facts=self._dispatch.facts,
            deliveries=self.record.shift.take_delivered(),
            rule_counts=self.record.shift.take_rules(),
            service_rows=self._services.take_rows(),
            late=self._late,
            dead=self._dead,
            drift=self.models.alarms,
            outgoing=self.sharing.outgoing,
        )
        self.sharing.outgoing = []
        self.models.alarms = []
        self._dispatch.facts = []
        self._begin()
        self._trim_cache(customers)
        return outcome

    def _trim_cache(self, touched: Mapping[str, Any]) -> None:
        """Keep the memories that were used last; a customer that nothing is known of is not kept."""
        memories = self._memories
        for customer_id in touched:
            memory = memories.pop(customer_id, None)
            if memory is not None:
                memories[customer_id] = memory
        for customer_id in self._unknown:
            memory = memories.get(customer_id)
            if memory is not None and memory.last_seen < 0:
                del memories[customer_id]
        self._unknown.clear()
        while len(memories) > self._cache_size:
            del memories[next(iter(memories))]

    def timers(self) -> list[tuple[int, str]]:
        """Every customer's next timer, in order of time."""
        return sorted((due, customer) for customer, due in self._due.items())

    def digest_parts(self) -> list[bytes]:
        """Clock, alert sum, hash of the models and of the timers: the lane's part of a run's digest."""
        timers = hashlib.sha256()
        for due, customer in self.timers():
            timers.update(f"{due}\0{customer}\n".encode())
        return [
            str(self.record.clock).encode(),
            self.record.alert_sum.to_bytes(32, "big"),
            self.models.digest() + self.sharing.digest(),
            timers.digest(),
        ]
