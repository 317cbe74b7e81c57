"""What a lane promises, whatever the rules: time, duplicates, labels, codec, and what consumers can fold."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings

from engine.alert import Alert
from engine.contacts import CONTACT_FLAG
from engine.decode import decode
from engine.duration import DAY_MS, HOUR_MS
from engine.errors import CorruptState, StateIncompatible
from engine.event import Event
from engine.lane import SILENCE_DAYS, Lane
from engine.memory import ARRIVALS, MAX_ATTRIBUTES, Memory
from engine.outcome import Outcome, Prediction
from engine.rules import RuleSet
from engine.settings import ResultSettings
from engine.timeline import MAX_TRACES
from tests.oracle.strategies import disordered, logs

T = 1_700_000_000_000
RULES = RuleSet.default()


class Run:
    """A lane with a ledger of its own; `reload` takes everything from it before each batch."""

    def __init__(self, *, reload: bool = False, **options: Any) -> None:
        self.settings = ResultSettings(lanes=1, rules=RULES.version, **options)
        self.reload = reload
        self.records: dict[str, bytes] = {}
        self.models: dict[str, bytes] = {}
        self.due: dict[str, int] = {}
        self.lane = Lane(0, self.settings, RULES)
        self.alerts: list[Alert] = []
        self.predictions: list[Prediction] = []
        self.last: Outcome | None = None

    def feed(self, *events: Event) -> Run:
        for item in enumerate(events):
            if self.reload and self.last is not None:
                timers = [(due, customer) for customer, due in self.due.items()]
                record = self.last.lane_record
                self.lane = Lane(0, self.settings, RULES, record=record, models=self.models, timers=timers)
            self.lane.admit({c: self.records.get(c) for c in self.lane.wanted([item])})
            self.last = outcome = self.lane.apply([item])
            self.alerts += outcome.alerts
            self.predictions += outcome.predictions
            self.models.update({n: d for n, d in outcome.models.items() if d is not None})
            for change in outcome.customers.values():
                if change.record is None or change.due is None:
                    self.records.pop(change.customer_id, None)
                    self.due.pop(change.customer_id, None)
                else:
                    self.records[change.customer_id] = change.record
                    self.due[change.customer_id] = change.due
        return self

    def memory(self, customer: str = "c") -> Memory:
        return self.lane.decode(self.records[customer])

    def told(self, flag: str) -> list[tuple[str, int]]:
        return [(a.op, a.at) for a in self.alerts if a.flag == flag]

    @property
    def counts(self) -> tuple[int, int, int, int]:
        r = self.lane.record
        return r.applied, r.duplicate, r.late, r.dead


def event(event_id: str, ts: int, kind: str = "view", **fields: Any) -> Event:
    if kind in ("request", "complaint", "feedback", "resolved"):
        fields.setdefault("category", "a")
    return Event(event_id, fields.pop("customer_id", "c"), ts, kind, **fields)


def tick(event_id: str, ts: int, lane: int = 0, lanes: int = 1) -> Event:
    return Event(event_id, None, ts, "tick", lane=lane, lanes=lanes)


def test_an_event_exactly_as_old_as_lateness_is_applied_and_one_older_is_late() -> None:
    run = Run().feed(event("a", T), event("b", T - HOUR_MS), event("c", T - HOUR_MS - 1))
    assert run.counts == (2, 0, 1, 0)


def test_a_duplicate_is_one_before_it_is_late_and_never_moves_the_clock() -> None:
    run = Run().feed(event("a", T), event("b", T + DAY_MS), event("a", T), event("b", T + 2 * DAY_MS))
    assert run.counts == (2, 2, 0, 0)
    assert run.lane.clock == T + DAY_MS


def test_with_lateness_none_nothing_is_late() -> None:
    assert Run(lateness_ms=None).feed(event("a", T), event("b", 0)).counts == (2, 0, 0, 0)


def test_an_id_is_remembered_for_as_many_arrivals_as_promised() -> None:
    views = [event(f"v{i}", T + i) for i in range(ARRIVALS)]
    assert Run().feed(*views, event("v0", T)).counts == (ARRIVALS, 1, 0, 0)
    # One more arrival later nothing of the first view is left, so it is a new event.
    more = [*views, event("one-more", T + ARRIVALS)]
    purchases = Run().feed(*[event(e.event_id, e.ts, "suggestion") for e in more], event("v0", T, "suggestion"))
    assert purchases.counts == (ARRIVALS + 2, 0, 0, 0)


def test_ticks_fire_timers_once_and_those_of_another_layout_are_dead() -> None:
    run = Run().feed(event("x", T, "complaint"))
    run.feed(tick("t1", T + DAY_MS, lanes=2), tick("t2", T + DAY_MS), tick("t2", T + DAY_MS))
    assert run.counts == (2, 1, 0, 1)
    assert run.told("unanswered") == []
    run.feed(tick("t3", T + DAY_MS + 1))
    assert run.told("unanswered") == [("raise", T + DAY_MS)]


def test_an_event_at_exactly_until_finds_the_flag_up_and_the_clear_is_stamped_until() -> None:
    burst = [event("a", T, "request"), event("b", T + 1, "request")]
    until = T + DAY_MS
    up = Run().feed(*burst, event("v", until))
    assert [a.op for a in up.alerts if a.flag == "repeat_request"] == ["raise"]
    down = Run().feed(*burst, event("v", until + 1))
    assert down.told("repeat_request") == [("raise", T + 1), ("clear", until)]


def test_timers_of_customers_fire_in_the_order_of_due_and_customer() -> None:
    events = [event(f"x{c}", T + n, "complaint", customer_id=c) for n, c in ((0, "d"), (0, "b"), (1, "a"))]
    run = Run().feed(*events, tick("t", T + 2 * DAY_MS))
    raised = [a.customer_id for a in run.alerts if a.flag == "unanswered"]
    assert raised == ["b", "d", "a"]


def test_a_thousand_requests_of_one_case_are_one_open_alert() -> None:
    upset = [event("x1", T, "complaint"), event("x2", T + 1, "complaint")]
    requests = [event(f"r{i:04}", T + 100 + i * 60, "request", case_id="k1", category="b") for i in range(1_000)]
    run = Run().feed(*upset, *requests)
    contact = [a for a in run.alerts if a.flag == CONTACT_FLAG]
    assert [a.op for a in contact] == ["contact"]
    assert [alert.count for alert in run.memory().contacts.open.values()] == [1_000]
    run.feed(tick("t", T + 3 * DAY_MS))
    closed = [a for a in run.alerts if a.flag == CONTACT_FLAG][-1]
    assert (closed.op, closed.count, closed.alert_id) == ("clear", 1_000, contact[0].alert_id)
    assert closed.at == requests[-1].ts + DAY_MS


def test_the_contact_that_makes_a_customer_sensitive_is_no_alert_yet() -> None:
    run = Run().feed(event("x1", T, "complaint"), event("x2", T + 1, "complaint"))
    assert run.told("sensitive") == [("raise", T + 1)]
    assert run.told(CONTACT_FLAG) == []
    run.feed(event("r", T + 2, "request", agent_id="eva"))
    assert [a.route for a in run.alerts if a.flag == CONTACT_FLAG] == ["agent:eva"]


@pytest.mark.parametrize(("back_after", "churned"), [(30 * DAY_MS, 0), (30 * DAY_MS + 1, 1)])
def test_a_churn_label_is_learned_only_when_its_whole_window_has_passed(back_after: int, churned: int) -> None:
    run = Run().feed(event("a", T), event("b", T + back_after))
    learned = run.lane.models.balance()["event"]["churn_learned"]
    assert learned == (1 if back_after > 30 * DAY_MS else 0)
    run.feed(tick("t", T + 30 * DAY_MS + 2))
    metrics, *_ = run.lane.models.metrics(0)
    assert (metrics.n, metrics.get()["base_rate"]) == (1, churned)


def test_a_cancel_in_the_window_is_churn_even_after_activity() -> None:
    run = Run().feed(event("a", T), event("b", T + 5 * DAY_MS), event("x", T + 6 * DAY_MS, "cancel"))
    assert run.memory().stage == "lapsed"
    assert run.memory().churn == 1.0
    run.feed(tick("t", T + 36 * DAY_MS))
    assert run.lane.models.metrics(0)[0].get()["base_rate"] == 1.0
    # Nothing is left to watch: no landmark of silence after the cancel.
    assert [p.at for p in run.predictions if p.trigger == "silence"] == [T + d * DAY_MS for d in (1, 2, 4)]


def test_silence_is_scored_at_its_landmarks() -> None:
    run = Run().feed(event("a", T), tick("t", T + 80 * DAY_MS))
    assert [p.at - T for p in run.predictions if p.trigger == "silence"] == [d * DAY_MS for d in SILENCE_DAYS]
    assert all(p.event_id is None for p in run.predictions if p.trigger == "silence")


def test_a_customer_silent_for_too_long_is_retired_and_may_come_back_new() -> None:
    run = Run().feed(event("a", T), tick("t", T + 400 * DAY_MS + 1))
    assert run.records == {}
    assert run.lane.record.tallies["retired"] == 1
    run.feed(event("a", T + 401 * DAY_MS))
    assert run.memory().first_seen == T + 401 * DAY_MS


def test_erase_forgets_the_customer_clears_flags_and_counts_examples() -> None:
    run = Run().feed(event("a", T, "request"), event("b", T + 1, "request"), event("z", T + 2, "erase"))
    assert run.records == {}
    assert run.told("repeat_request") == [("raise", T + 1), ("clear", T + 2)]
    balance = run.lane.models.balance()["event"]
    assert balance["taken"] == balance["churn_erased"] == balance["engagement_erased"] == balance["contact_erased"] > 0


def test_a_record_that_is_not_what_was_written_is_refused() -> None:
    record = Run().feed(event("a", T, "request")).records["c"]
    indexes = Lane(0, ResultSettings(lanes=1), RULES)._flagging.indexes
    assert Memory.decode(record, indexes).encode() == record
    for place in range(1, len(record)):
        with pytest.raises(CorruptState):
            Memory.decode(record[:place] + bytes((record[place] ^ 1,)) + record[place + 1 :], indexes)
    for length in range(1, len(record)):
        with pytest.raises(CorruptState):
            Memory.decode(record[:length], indexes)
    with pytest.raises(StateIncompatible, match="expected version 3, got 4"):
        Memory.decode(b"\x04" + record[1:], indexes)


def test_memory_is_bounded_and_says_what_was_capped() -> None:
    flood = [event(f"r{i:05}", T + i, "request", category=f"c{i % 200}", case_id=f"k{i}") for i in range(3_000)]
    run = Run().feed(*flood)
    assert run.memory().capped
    assert len(run.records["c"]) < 200_000
    many = {f"fact{i}": i for i in range(MAX_ATTRIBUTES + 10)}
    run = Run().feed(*(event(f"p{i}", T + i, "profile", attributes={k: v}) for i, (k, v) in enumerate(many.items())))
    assert len(run.memory().attributes) == MAX_ATTRIBUTES
    assert run.memory().capped


def test_the_timeline_keeps_service_among_the_last_twenty() -> None:
    service = [event(f"r{i}", T + i, "request") for i in range(12)]
    noise = [event(f"s{i}", T + 100 + i, "session") for i in range(50)]
    kinds = [entry[1] for entry in Run().feed(*service, *noise).memory().timeline.entries]
    assert len(kinds) == MAX_TRACES
    assert kinds.count("request") == 10


QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
LOGS = logs(max_events=25, lanes=1, duplicates=True, ticks=True, overrides=True, retracts=True)


def decoded(log: list[dict[str, Any]]) -> list[Event]:
    return [decode(orjson.dumps(e)) for e in log]


@QUICK
@given(LOGS.flatmap(lambda log: disordered(log, HOUR_MS)))
def test_saving_and_loading_after_every_event_changes_nothing(log: list[dict[str, Any]]) -> None:
    events = decoded(log)
    straight, reloaded = Run().feed(*events), Run(reload=True).feed(*events)
    assert [a.line() for a in straight.alerts] == [a.line() for a in reloaded.alerts]
    assert straight.predictions == reloaded.predictions
    assert straight.records == reloaded.records
    assert straight.lane.digest_parts() == reloaded.lane.digest_parts()


@QUICK
@given(LOGS.flatmap(lambda log: disordered(log, HOUR_MS)))
def test_a_consumer_that_folds_the_ops_has_exactly_the_flags_that_are_up(log: list[dict[str, Any]]) -> None:
    run = Run()
    up: dict[str, tuple[str, str, str | None]] = {}
    for item in decoded(log):
        seen = len(run.alerts)
        run.feed(item)
        for alert in run.alerts[seen:]:
            if alert.flag == CONTACT_FLAG:
                continue
            if alert.op == "clear":
                del up[alert.alert_id]
            else:
                assert (alert.op == "raise") == (alert.alert_id not in up)
                up[alert.alert_id] = (alert.customer_id, alert.flag, alert.category)
        active = {
            e.alert_id: (c, flag, category)
            for c in run.records
            for (flag, category), e in run.memory(c).episodes.active.items()
        }
        assert up == active
    assert [a.seq for a in run.alerts] == list(range(1, len(run.alerts) + 1))


@QUICK
@given(LOGS)
def test_examples_taken_are_learned_pending_or_erased(log: list[dict[str, Any]]) -> None:
    run = Run().feed(*decoded(log))
    pending = [mark for c in run.records for mark in run.memory(c).landmarks.pending]
    for number, trigger in enumerate(("event", "silence")):
        balance = run.lane.models.balance()[trigger]
        own = [mark for mark in pending if mark.trigger == number]
        n_churn = sum(not mark.is_churn_done(run.lane.settings.windows) for mark in own)
        n_engagement = sum(not mark.engagement_done for mark in own)
        assert balance["taken"] == balance["churn_learned"] + balance["churn_erased"] + n_churn
        assert balance["taken"] == balance["engagement_learned"] + balance["engagement_erased"] + n_engagement
        n_contact = sum(not mark.contact_done for mark in own)
        assert balance["taken"] == balance["contact_learned"] + balance["contact_erased"] + n_contact


@QUICK
@given(LOGS)
def test_no_prediction_changes_when_later_events_do(log: list[dict[str, Any]]) -> None:
    events = decoded(log)
    half = len(events) // 2
    whole, part = Run().feed(*events), Run().feed(*events[:half])
    n = len(part.predictions)
    assert whole.predictions[:n] == part.predictions
