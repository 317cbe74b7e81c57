"""The lane clock: which events are applied, when timers fire, and what is left when a customer goes."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from engine.alert import Alert
from engine.contacts import CONTACT_FLAG
from engine.event import Event
from tests.engine.runs import DAY, HOUR, T0, FixedModels, Run, decoded, tick, trace
from tests.oracle.strategies import disordered, logs

QUICK = settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck))


def run_over(*events: Event, **options: Any) -> Run:
    run = Run(models=FixedModels(), **options)
    run.feed(events)
    return run


def told(alerts: list[Alert], *flags: str) -> list[tuple[str, str, int]]:
    return [(a.flag, a.op, a.at) for a in alerts if a.flag in flags]


def counts(run: Run) -> tuple[int, int, int, int]:
    c = run.counts()
    assert c["read"] == c["applied"] + c["duplicate"] + c["late"] + c["dead"]
    return c["applied"], c["duplicate"], c["late"], c["dead"]


# -- which events are applied ------------------------------------------------------------------------------------


@pytest.mark.parametrize("lateness", [0, 1, HOUR, 3 * DAY])
def test_an_event_exactly_as_old_as_lateness_is_applied_and_one_older_is_late(lateness: int) -> None:
    on = trace("on", 10 * DAY - lateness, customer="d")
    older = trace("older", 10 * DAY - lateness - 1, customer="e")
    run = run_over(trace("a", 10 * DAY), on, older, lateness_ms=lateness)
    assert counts(run) == (2, 0, 1, 0)
    assert run.late == [2]
    assert set(run.store) == {"c", "d"}
    assert run.lane.clock == T0 + 10 * DAY


def test_lateness_is_measured_from_the_lane_clock_whoever_moved_it() -> None:
    assert counts(run_over(trace("a", 0), tick(T0 + HOUR), trace("b", 0)))[2] == 0
    assert counts(run_over(trace("a", 0), tick(T0 + HOUR + 1), trace("b", 0)))[2] == 1
    assert counts(run_over(trace("a", 0), trace("x", HOUR + 1, customer="d"), trace("b", 0)))[2] == 1


def test_without_a_lateness_no_age_is_late() -> None:
    run = run_over(trace("a", 900 * DAY), Event("b", "c", 0, "view"), tick(1), lateness_ms=None)
    assert counts(run) == (3, 0, 0, 0)
    assert run.lane.clock == T0 + 900 * DAY


def test_a_late_event_leaves_no_trace_and_is_late_again_when_it_comes_again() -> None:
    old = trace("old", 0, "complaint")
    run = run_over(trace("a", DAY), old, old)
    assert counts(run) == (1, 0, 2, 0)
    assert run.store == run_over(trace("a", DAY)).store


def test_what_is_both_duplicate_and_late_is_a_duplicate() -> None:
    a = trace("a", 0)
    run = run_over(a, trace("b", DAY), a)
    assert counts(run) == (2, 1, 0, 0)
    assert run.late == []


def test_a_control_of_another_layout_is_dead_whatever_else_it_is() -> None:
    t = tick(T0, "t")
    others = [tick(T0, "t", lane=1, lanes=2), tick(0, "t", lanes=2), tick(T0 + 90 * DAY, "t", lane=1, lanes=1)]
    run = run_over(tick(T0 + DAY), tick(T0 + DAY, "t"), *others)
    # The same as repeats and late ones of its own lane, so that the order of checks shows.
    run.feed([t, tick(0, "u")])
    assert counts(run) == (2, 1, 1, 3)
    assert run.dead == [(2, "lane"), (3, "lane"), (4, "lane")]
    assert run.lane.clock == T0 + DAY


def test_a_lane_takes_only_the_ticks_of_its_own_number_and_layout() -> None:
    wrong = [
        tick(T0 + DAY, f"t{i}", lane=lane, lanes=lanes) for i, (lane, lanes) in enumerate(((1, 4), (0, 1), (0, 8)))
    ]
    run = run_over(trace("a", 0), *wrong, lanes=4)
    assert counts(run) == (1, 0, 0, 3)
    assert run.lane.clock == T0
    run.feed([tick(T0 + DAY, "t9", lane=0, lanes=4)])
    assert run.lane.clock == T0 + DAY


def test_a_duplicate_moves_no_clock_fires_no_timer_and_changes_nothing() -> None:
    first = [trace("a", 0), trace("b", 1), tick(T0 + 1, "t")]
    run = run_over(*first)
    before = (run.lane.clock, dict(run.store), len(run.alerts))
    run.feed([trace("a", 40 * DAY, "complaint"), trace("b", 80 * DAY), tick(T0 + 90 * DAY, "t")])
    assert (run.lane.clock, run.store, len(run.alerts)) == before
    assert counts(run) == (3, 3, 0, 0)


def test_ids_are_of_a_customer_and_of_controls_apart() -> None:
    run = run_over(trace("a", 0), trace("a", 0, customer="d"), tick(T0, "a"))
    assert counts(run) == (3, 0, 0, 0)


def test_a_tick_as_old_as_lateness_is_applied_and_an_older_one_is_late() -> None:
    run = run_over(trace("a", DAY), tick(T0 + DAY - HOUR), tick(T0 + DAY - HOUR - 1))
    assert counts(run) == (2, 0, 1, 0)
    # What was late is not known: it stays late.
    run.feed([tick(T0 + DAY - HOUR - 1)])
    assert counts(run) == (2, 0, 2, 0)


# -- timers ------------------------------------------------------------------------------------------------------


def test_a_tick_fires_what_is_due_before_it_and_nothing_that_is_due_at_it() -> None:
    run = run_over(trace("x", 0, "complaint"))
    assert told(run.tick(T0 + DAY), "unanswered") == []
    assert told(run.tick(T0 + DAY + 1), "unanswered") == [("unanswered", "raise", T0 + DAY)]
    assert told(run.tick(T0 + DAY + 2), "unanswered") == []


def ends() -> list[tuple[str, list[Event], int]]:
    """Flag, the events that raise it, and its end after T0."""
    return [
        ("repeat_request", [trace("a", 0), trace("b", HOUR)], DAY),
        ("repeated_complaint", [trace("a", 0, "complaint"), trace("b", HOUR, "complaint")], 30 * DAY),
        ("sensitive", [trace("a", 0, "complaint"), trace("b", HOUR, "complaint")], HOUR + 30 * DAY),
        ("failed_fix", [trace("a", 0, "resolved"), trace("b", HOUR)], HOUR + 7 * DAY),
        ("promotion_fatigue", [trace(f"p{i}", i, "promotion", None) for i in range(5)], 14 * DAY),
        ("unanswered", [trace("a", 0, "complaint"), trace("b", DAY + 1, "view", None)], 31 * DAY),
    ]


@pytest.mark.parametrize(("flag", "events", "end"), ends(), ids=[flag for flag, _, _ in ends()])
@pytest.mark.parametrize("mover", ["own", "other", "tick"])
def test_what_comes_at_until_finds_the_flag_up_and_a_millisecond_later_down(
    flag: str, events: list[Event], end: int, mover: str
) -> None:
    def move(event_id: str, after: int) -> Event:
        if mover == "tick":
            return tick(T0 + after)
        return trace(event_id, after, "view", None, customer="c" if mover == "own" else "d")

    run = run_over(*events)
    assert flag in {name for name, _ in run.up()}
    run.feed([move("at", end)])
    assert flag in {name for name, _ in run.up()}
    cleared = told(run.feed([move("after", end + 1)]), flag)
    assert cleared == [(flag, "clear", T0 + end)]
    assert flag not in {name for name, _ in run.up()}


def test_a_clear_is_stamped_until_however_far_the_clock_jumps() -> None:
    run = run_over(trace("a", 0), trace("b", HOUR), trace("v", 300 * DAY, "view", customer="d"))
    (clear,) = [a for a in run.alerts if a.op == "clear"]
    assert (clear.at, clear.until) == (T0 + DAY, T0 + DAY)


def test_an_answer_at_the_end_of_the_window_is_in_time_and_one_later_is_not() -> None:
    assert told(run_over(trace("x", 0, "complaint"), trace("y", DAY, "handling")).alerts, "unanswered") == []
    late = run_over(trace("x", 0, "complaint"), trace("y", DAY + 1, "handling"))
    assert told(late.alerts, "unanswered") == [("unanswered", "raise", T0 + DAY), ("unanswered", "clear", T0 + DAY + 1)]


@QUICK
@given(st.lists(st.tuples(st.sampled_from("edcba"), st.sampled_from((0, 1, 2, HOUR, DAY))), min_size=2, max_size=12))
def test_timers_fire_in_the_order_of_due_and_customer(complaints: list[tuple[str, int]]) -> None:
    ordered = sorted((after, i, customer) for i, (customer, after) in enumerate(complaints))
    # Services of their own: every complaint is a flag of its own, raised after a day and again after three.
    events = [trace(f"x{i}", after, "complaint", f"s{i}", customer=c) for after, i, c in ordered]
    run = Run(models=FixedModels(), lateness_ms=None)
    run.feed(events)
    at_tick = [(a.at, a.customer_id) for a in run.tick(T0 + 50 * DAY)]
    assert at_tick == sorted(at_tick)
    silences = [(p.at, p.customer_id) for p in run.predictions if p.trigger == "silence"]
    assert silences == sorted(silences)
    assert [p.at for p in run.predictions] == sorted(p.at for p in run.predictions)


def test_at_one_moment_a_customer_hears_of_contacts_before_flags() -> None:
    upset = [trace("x", -DAY, "complaint", "z"), trace("y", -DAY + 1, "complaint", "z")]
    both = [trace("r1", 0, case_id="k"), trace("r2", 0, case_id="k")]
    alerts = run_over(*upset, *both).tick(T0 + DAY + 1)
    assert told(alerts, CONTACT_FLAG, "repeat_request") == [
        (CONTACT_FLAG, "clear", T0 + DAY),
        ("repeat_request", "clear", T0 + DAY),
    ]


# -- customers who go --------------------------------------------------------------------------------------------


def test_a_customer_is_retired_one_millisecond_after_the_400th_day() -> None:
    run = run_over(trace("a", 0), retire_ms=400 * DAY)
    run.tick(T0 + 400 * DAY)
    assert set(run.store) == {"c"}
    run.tick(T0 + 400 * DAY + 1)
    assert run.store == {}
    assert run.lane.timers() == []
    assert run.lane.record.tallies["retired"] == 1


def test_every_event_of_the_customer_puts_retirement_off_also_one_of_our_side() -> None:
    run = run_over(trace("a", 0), trace("h", 399 * DAY, "handling"), tick(T0 + 799 * DAY), retire_ms=400 * DAY)
    assert set(run.store) == {"c"}
    run.tick(T0 + 799 * DAY + 1)
    assert run.store == {}


UPSET = [trace("x", 0, "complaint"), trace("y", 1, "complaint"), trace("r", 2, case_id="k"), trace("s", 3)]
"""Leaves several flags, a contact alert, an open complaint and a pending example."""


@pytest.mark.parametrize("how", ["retire", "erase"])
def test_who_goes_takes_along_all_that_was_up(how: str) -> None:
    run = run_over(*UPSET, retire_ms=6 * HOUR if how == "retire" else 400 * DAY)
    gone = T0 + 3 + 6 * HOUR
    up = {a.alert_id for a in run.alerts if a.op != "clear"} - {a.alert_id for a in run.alerts if a.op == "clear"}
    assert len(up) >= 4
    n_mine = len(run.alerts)
    if how == "erase":
        run.feed([Event("z", "c", gone, "erase")])
    else:
        run.tick(gone + 1)
    cleared = run.alerts[n_mine:]
    assert {a.op for a in cleared} == {"clear"}
    assert {a.alert_id for a in cleared} == up
    assert len(cleared) == len(up)
    assert {a.at for a in cleared} == {gone}
    assert run.store == {}
    assert run.lane.timers() == []


@pytest.mark.parametrize("how", ["retire", "erase"])
@pytest.mark.parametrize("batch", [1, 1_000])
def test_who_comes_back_starts_anew(how: str, batch: int) -> None:
    leave: list[Event] = [Event("z", "c", T0 + DAY, "erase")] if how == "erase" else [tick(T0 + 20 * DAY)]
    # The same ids as before: whoever is forgotten has no duplicates.
    back = [trace("x", 30 * DAY), trace("y", 30 * DAY + 1, "complaint")]
    run = Run(models=FixedModels(), retire_ms=10 * DAY)
    run.feed([*UPSET, *leave, *back], batch)
    anew = run_over(*back, retire_ms=10 * DAY)
    assert run.store == anew.store
    assert run.lane.timers() == anew.lane.timers()
    assert run.counts()["duplicate"] == 0


def test_an_event_that_finds_its_customer_due_to_retire_starts_them_anew() -> None:
    back = trace("new", 30 * DAY)
    run = run_over(*UPSET, back, retire_ms=10 * DAY)
    assert run.store == run_over(back, retire_ms=10 * DAY).store
    assert run.lane.record.tallies["retired"] == 1


@pytest.mark.parametrize("how", ["retire", "erase"])
def test_pending_examples_of_who_goes_are_counted_erased(how: str) -> None:
    run = Run(retire_ms=10 * DAY, engagement_horizon_ms=7 * DAY, churn_horizon_ms=30 * DAY)
    run.feed([trace("a", 0), trace("b", 2 * HOUR), trace("v", 5 * DAY, "view", None)])
    run.feed([Event("z", "c", T0 + 8 * DAY, "erase")] if how == "erase" else [tick(T0 + 20 * DAY)])
    balance = run.lane.models.balance()["event"]
    # Those of the first day had their engagement label by then, the third only when it went by retirement.
    learned = {"erase": 2, "retire": 3}[how]
    assert balance == {
        "taken": 3,
        "churn_learned": 0,
        "churn_erased": 3,
        "engagement_learned": learned,
        "engagement_erased": 3 - learned,
        "contact_learned": learned,
        "contact_erased": 3 - learned,
    }


def test_to_erase_a_stranger_changes_nothing() -> None:
    run = run_over(trace("a", 0), Event("z", "nobody", T0 + 1, "erase"))
    assert set(run.store) == {"c"}
    assert {a.customer_id for a in run.alerts} <= {"c"}
    assert [customer for _, customer in run.lane.timers()] == ["c"]


# -- batches and the codec ---------------------------------------------------------------------------------------


@st.composite
def with_erasures(draw: DrawFn, log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The log with a few orders to forget a customer, each at the time of the event it follows."""
    out = list(log)
    for number in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(out) - 1))
        before = out[at]
        if "customer_id" in before:
            erase = {"event_id": f"x{number}", "customer_id": before["customer_id"], "ts": before["ts"]}
            out.insert(at + 1, {**erase, "kind": "erase"})
    return out


LOGS = logs(max_events=16, overrides=True, retracts=True).flatmap(disordered).flatmap(with_erasures)


@QUICK
@given(LOGS, st.sampled_from((30 * HOUR, 8 * DAY, 400 * DAY)), st.integers(1, 7))
def test_batches_of_any_size_and_a_lane_made_anew_after_each_give_the_same(
    log: list[dict[str, Any]], retire_ms: int, batch: int
) -> None:
    events = decoded(log)
    whole, single, some = (Run(retire_ms=retire_ms, reborn=r, forgetful=r) for r in (False, True, False))
    whole.feed(events)
    single.feed(events, 1)
    some.feed(events, batch)
    for other in (single, some):
        assert [(a.seq, a.index, a.line()) for a in other.alerts] == [(a.seq, a.index, a.line()) for a in whole.alerts]
        assert other.predictions == whole.predictions
        assert other.store == whole.store
        assert other.lane.record.encode() == whole.lane.record.encode()
        assert other.lane.timers() == whole.lane.timers()
        assert other.lane.digest_parts() == whole.lane.digest_parts()
        assert (other.late, other.dead) == (whole.late, whole.dead)


@QUICK
@given(LOGS)
def test_the_clock_is_the_largest_time_applied_and_every_record_is_counted_once(log: list[dict[str, Any]]) -> None:
    run = Run(models=FixedModels())
    clock = -1
    for event in decoded(log):
        before = run.counts()
        run.feed([event])
        after = run.counts()
        if after["applied"] > before["applied"]:
            clock = max(clock, event.ts)
        assert run.lane.clock == clock
        assert sum(after.values()) - sum(before.values()) == 2
        assert after["read"] == before["read"] + 1
