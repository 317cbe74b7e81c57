"""The engine's flags against the brute-force oracle: in order, in any order, with late events, repeats and retractions.

`count` is not compared for composites and groups, where `docs/rules.md` defines none.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from engine.event import Event
from engine.rules import RuleSet
from tests.engine.runs import DAY, HOUR, SCORE_FLAGS, T0, FixedModels, Run, decoded, tick
from tests.oracle import OracleResult, expected
from tests.oracle.episodes import Key, Op
from tests.oracle.flags import status
from tests.oracle.intake import Trace
from tests.oracle.strategies import disordered, logs, shuffle_within
from tests.oracle.test_twice import TINY, moments

UNCOUNTED = ("sensitive", "mixed_dissatisfaction")

Log = list[dict[str, Any]]


def rows(flags: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    """What is compared of flags; the oracle knows the severity only where a rule has tiers."""
    return [
        (
            f["flag"],
            f["category"],
            f["since"],
            f["until"],
            0 if f["flag"] in UNCOUNTED else f["count"],
            f["severity"] if f["flag"] == "repeat_request" else "",
        )
        for f in flags
    ]


def engine(log: Log, lateness_ms: int | None = HOUR, batch: int = 7) -> Run:
    run = Run(lateness_ms=lateness_ms, models=FixedModels())
    run.feed(decoded(log), batch)
    return run


def assert_same_flags(run: Run, oracle: OracleResult) -> None:
    assert run.counts() == oracle.counts
    assert run.lane.clock == oracle.clocks.get(0, -1)
    assert set(run.store) == set(oracle.flags)
    for customer, flags in oracle.flags.items():
        assert rows(run.flags(customer)) == rows(flags), customer


def episodes(run: Run) -> dict[tuple[str, str, str | None], list[Op]]:
    """Raises and clears that went out."""
    told: dict[tuple[str, str, str | None], list[Op]] = defaultdict(list)
    for alert in run.alerts:
        if alert.op in ("raise", "clear") and alert.flag not in {*SCORE_FLAGS, "sensitive_contact"}:
            told[alert.customer_id, alert.flag, alert.category].append((alert.op, alert.at, alert.since))
    return told


@settings(max_examples=100, deadline=None)
@given(logs(max_events=40))
def test_in_order_every_raise_and_clear_and_every_flag_is_the_oracles(log: Log) -> None:
    run, oracle = engine(log), expected(log)
    assert_same_flags(run, oracle)
    assert episodes(run) == {key: ops for key, ops in oracle.episodes.items() if ops}


@settings(max_examples=80, deadline=None)
@given(logs(duplicates=False), st.data())
def test_any_order_within_lateness_gives_the_flags_of_the_log_in_order(log: Log, data: st.DataObject) -> None:
    run, ordered = engine(data.draw(shuffle_within(log))), engine(log)
    assert_same_flags(run, expected(log))
    for customer in ordered.store:
        assert run.flags(customer) == ordered.flags(customer)


@settings(max_examples=80, deadline=None)
@given(logs(duplicates=False, retracts=True), st.data(), st.sampled_from((None, 40 * DAY)))
def test_any_order_at_all_gives_the_flags_of_the_log_in_order(
    log: Log, data: st.DataObject, lateness_ms: int | None
) -> None:
    # A lateness beyond every window: late raises, late answers, flags that had ended come back.
    shuffled = data.draw(shuffle_within(log, 40 * DAY))
    assert_same_flags(engine(shuffled, lateness_ms), expected(log))


@settings(max_examples=80, deadline=None)
@given(logs(retracts=True).flatmap(disordered))
def test_late_events_repeats_and_retractions_change_what_the_oracle_says_they_do(log: Log) -> None:
    assert_same_flags(engine(log), expected(log))


@settings(max_examples=60, deadline=None)
@given(logs(max_events=14, overrides=True, retracts=True))
def test_under_overrides_the_same_flags_are_up_until_the_same_time(log: Log) -> None:
    # Membership and `until` only: who is up by a person's word is so since that word in the engine
    # (engine/flags/override.py), since the episode's start in the oracle.
    run, oracle = engine(log), expected(log)
    for customer, flags in oracle.flags.items():
        ends = [(f["flag"], f["category"], f["until"]) for f in flags]
        assert [(f["flag"], f["category"], f["until"]) for f in run.flags(customer)] == ends


# Windows of a few ms: every coincidence of two ends, two events and two timers comes up.

TINY_RULES = """
version = 1
[flags.repeat_request]
shape = "count"
kinds = ["request"]
level = "leaf"
tiers = [
  { severity = "burst", threshold = 2, window = "1ms" },
  { severity = "repeat", threshold = 3, window = "4ms" },
  { severity = "chronic", threshold = 4, window = "9ms" },
]
[flags.repeated_complaint]
shape = "count"
kinds = ["complaint"]
level = 1
threshold = 2
window = "4ms"
[flags.repeated_dissatisfaction]
shape = "count"
events = [
  { kinds = ["feedback"], where = { score = { max = 2 } } },
  { kinds = ["feedback"], where = { sentiment = { max = -0.6 } } },
]
level = 1
threshold = 2
window = "5ms"
[flags.mixed_dissatisfaction]
shape = "groups"
level = 1
window = "3ms"
distinct_case = true
groups = [
  { kinds = ["complaint"], threshold = 1 },
  { threshold = 1, events = [
    { kinds = ["feedback"], where = { score = { max = 2 } } },
    { kinds = ["feedback"], where = { sentiment = { max = -0.6 } } },
  ] },
]
[flags.sensitive]
shape = "composite"
any = ["repeated_complaint", "repeated_dissatisfaction", "mixed_dissatisfaction"]
hold = "4ms"
[flags.unanswered]
shape = "overdue"
first = [{ kinds = ["complaint"] }]
then = [{ kinds = ["handling", "resolved"] }, { kinds = ["outreach"], where = { outcome = "reached" } }]
window = "2ms"
expire = "5ms"
[flags.unresolved]
shape = "overdue"
first = [{ kinds = ["complaint"] }]
then = [{ kinds = ["resolved"] }]
window = "3ms"
expire = "3ms"
[flags.failed_fix]
shape = "follows"
first = [{ kinds = ["resolved"] }]
then = [{ kinds = ["request", "complaint"] }]
window = "3ms"
expire = "4ms"
[flags.not_activated]
shape = "overdue"
first = [{ kinds = ["signup"] }]
then = [{ kinds = ["session", "view", "interact", "purchase"] }]
window = "1ms"
expire = "2ms"
[flags.promotion_fatigue]
shape = "count"
kinds = ["promotion"]
level = "none"
threshold = 3
window = "6ms"
reset = [{ campaign = "same" }, { campaign = "none", kinds = ["purchase"] }]
"""
TINY_SET = RuleSet.parse(TINY_RULES)
# A duration of 0 ms is none that a rules file may give.
TINY_ORACLE = replace(TINY, overdue=tuple(replace(rule, window=max(rule.window, 1)) for rule in TINY.overdue))


def near_twins(traces: list[Trace]) -> list[Trace]:
    """The same with twins at most 3 ms apart: beyond the windows memory need not hold the first of two."""
    return [replace(t, contact_id=t.contact_id and f"{t.contact_id}{t.ts // 4}") for t in traces]


def as_event(trace: Trace) -> Event:
    return Event(
        trace.event_id,
        "c",
        T0 + trace.ts,
        trace.kind,
        category=trace.category,
        case_id=trace.case_id,
        contact_id=trace.contact_id,
        campaign_id=trace.campaign_id,
        score=trace.score,
        sentiment=trace.sentiment,
        outcome=trace.outcome,
    )


def tiny_rows(run: Run) -> list[tuple[Any, ...]]:
    flags = [{**f, "since": f["since"] - T0, "until": f["until"] - T0} for f in run.flags()]
    return rows(flags)


@settings(max_examples=150, deadline=None)
@given(moments().map(near_twins), st.integers(0, 60))
def test_with_windows_of_a_few_ms_flags_come_and_go_as_the_oracle_says(traces: list[Trace], tau: int) -> None:
    traces = [trace for trace in traces if trace.ts <= tau]
    assume(traces)
    run = Run(TINY_SET, models=FixedModels())
    run.feed([*map(as_event, traces), tick(T0 + tau)])
    oracle = status(traces, tau, TINY_ORACLE)
    assert tiny_rows(run) == rows(oracle.flags)
    told: dict[Key, list[Op]] = defaultdict(list)
    for (_, flag, category), ops in episodes(run).items():
        told[flag, category] = [(op, at - T0, since - T0) for op, at, since in ops]
    assert told == {key: ops for key, ops in oracle.episodes.items() if ops}


@settings(max_examples=150, deadline=None)
@given(moments().map(near_twins), st.integers(1, 12), st.booleans(), st.data())
def test_with_windows_of_a_few_ms_neither_order_nor_ticks_nor_reloading_change_a_flag(
    traces: list[Trace], lateness_ms: int, forgetful: bool, data: st.DataObject
) -> None:
    run = Run(TINY_SET, lateness_ms=lateness_ms, models=FixedModels(), forgetful=forgetful)
    arrivals = sorted((t.ts + data.draw(st.integers(0, lateness_ms)), i) for i, t in enumerate(traces))
    for arrival, i in arrivals:
        run.feed([as_event(traces[i])])
        if data.draw(st.booleans()):
            run.tick(T0 + arrival)
    assert run.counts()["late"] == 0
    assert tiny_rows(run) == rows(status(traces, run.lane.clock - T0, TINY_ORACLE).flags)


@pytest.mark.parametrize("ticks", [(), (7,)])
def test_a_timer_that_ran_leaves_an_overdue_case_where_an_earlier_one_can_still_find_it(ticks: tuple[int, ...]) -> None:
    # e1 is overdue from 2 to 7 and at 7 the clock passes; e2, late by 5, is overdue at 4: the flag never had a break.
    run = Run(TINY_SET, lateness_ms=12, models=FixedModels())
    run.feed([Event("e1", "c", T0, "complaint", category="a"), *(tick(T0 + t) for t in ticks)])
    run.feed([Event("e2", "c", T0 + 2, "complaint", category="a"), tick(T0 + 8)])
    assert tiny_rows(run) == [("unanswered", "a", 2, 9, 2, ""), ("unresolved", "a", 3, 8, 2, "")]


@pytest.mark.parametrize("forgetful", [False, True])
def test_an_answer_in_time_that_comes_late_takes_back_a_raise_whose_traces_were_let_go(forgetful: bool) -> None:
    # e1 is overdue at 15 and let go; the answer e2 is retracted, so that no trace is left but the raise was asked for.
    rules = TINY_RULES + '[flags.slow]\nshape = "composite"\nany = ["unanswered"]\nhold = "3ms"\n'
    run = Run(RuleSet.parse(rules), lateness_ms=1, models=FixedModels(), forgetful=forgetful)
    run.feed(
        [Event("e1", "c", T0 + 13, "complaint", category="a"), Event("e2", "c", T0 + 16, "resolved", category="a")]
    )
    run.feed([Event("e3", "c", T0 + 15, "retract", ref="e2")])
    assert {flag for flag, _ in run.up()} == {"slow", "unanswered"}
    run.feed([Event("e4", "c", T0 + 15, "handling")])
    assert run.up() == set()


# A small log as a help desk would write it: every default flag that is not a score comes up.

DESK: Log = [
    {"event_id": "s1", "customer_id": "wang", "ts": 0, "kind": "signup"},
    {"event_id": "r1", "customer_id": "li", "ts": 1 * HOUR, "kind": "request", "category": "network/wifi"},
    {"event_id": "r2", "customer_id": "li", "ts": 20 * HOUR, "kind": "request", "category": "network/wifi"},
    {"event_id": "c1", "customer_id": "li", "ts": 26 * HOUR, "kind": "complaint", "category": "network/wifi"},
    {"event_id": "x1", "customer_id": "li", "ts": 2 * DAY, "kind": "resolved", "category": "network/wifi"},
    {"event_id": "r3", "customer_id": "li", "ts": 3 * DAY, "kind": "request", "category": "network/wifi"},
    {
        "event_id": "f1",
        "customer_id": "li",
        "ts": 4 * DAY,
        "kind": "feedback",
        "category": "network/speed",
        "score": 1,
    },
    {"event_id": "f2", "customer_id": "li", "ts": 5 * DAY, "kind": "feedback", "category": "network", "score": 2},
    {"event_id": "c2", "customer_id": "zhao", "ts": 6 * DAY, "kind": "complaint", "category": "billing"},
    {"event_id": "c3", "customer_id": "zhao", "ts": 7 * DAY, "kind": "complaint", "category": "billing/invoice"},
    *(
        {"event_id": f"p{n}", "customer_id": "wang", "ts": (3 + n) * DAY, "kind": "promotion", "campaign_id": f"m{n}"}
        for n in range(5)
    ),
    {"event_id": "t", "ts": 11 * DAY, "kind": "tick", "lane": 0, "lanes": 1},
]


def test_a_help_desks_fortnight() -> None:
    log = sorted(({**event, "ts": T0 + event["ts"]} for event in DESK), key=lambda event: event["ts"])
    run = engine(log)
    assert_same_flags(run, expected(log))
    up = {
        customer: [
            (f["flag"], f["category"], (f["since"] - T0) // HOUR, (f["until"] - T0) // HOUR)
            for f in run.flags(customer)
        ]
        for customer in sorted(run.store)
    }
    assert up == {
        "li": [
            ("mixed_dissatisfaction", "network", 96, 26 + 14 * 24),
            ("repeated_dissatisfaction", "network", 120, 96 + 30 * 24),
            ("sensitive", None, 96, 120 + 30 * 24),
        ],
        "wang": [
            ("not_activated", None, 7 * 24, 37 * 24),
            ("promotion_fatigue", None, 7 * 24, 17 * 24),
        ],
        "zhao": [
            ("repeated_complaint", "billing", 7 * 24, 36 * 24),
            ("sensitive", None, 7 * 24, 37 * 24),
            ("unanswered", "billing", 7 * 24, 37 * 24),
            ("unanswered", "billing/invoice", 8 * 24, 38 * 24),
            ("unresolved", "billing", 9 * 24, 39 * 24),
            ("unresolved", "billing/invoice", 10 * 24, 40 * 24),
        ],
    }
    gone = ("repeat_request", "failed_fix")
    assert [(a.op, a.flag, a.severity, (a.at - T0) // HOUR) for a in run.alerts if a.flag in gone] == [
        ("raise", "repeat_request", "burst", 20),
        ("clear", "repeat_request", "burst", 25),
        ("raise", "failed_fix", "medium", 72),
        ("raise", "repeat_request", "repeat", 72),
        ("clear", "repeat_request", "repeat", 169),
        ("clear", "failed_fix", "medium", 240),
    ]
