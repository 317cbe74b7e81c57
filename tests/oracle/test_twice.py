"""The oracle against other ways to the same answer, and against itself at every time."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle import expected
from tests.oracle.episodes import Hold, stretches
from tests.oracle.flags import status, tier_end
from tests.oracle.intake import Trace, instant, lane_of, murmur2, take_in
from tests.oracle.rules import DAY, DEFAULT, HOUR, RuleSet, Tier
from tests.oracle.stepper import Stepper
from tests.oracle.strategies import EDGES, START, THEMES, logs, shuffle_within


def tiny(rules: RuleSet) -> RuleSet:
    """The default rules with windows of a few ms, no two alike where that matters."""
    tiers = (Tier("burst", 2, 1), Tier("repeat", 3, 4), Tier("chronic", 4, 9))
    windows = {"repeated_complaint": 4, "repeated_dissatisfaction": 5, "promotion_fatigue": 6}
    counts = [
        replace(
            rule,
            tiers=tiers
            if rule.flag == "repeat_request"
            else tuple(
                replace(tier, window=windows[rule.flag], threshold=min(tier.threshold, 3)) for tier in rule.tiers
            ),
        )
        for rule in rules.counts
    ]
    overdue = {"unanswered": (2, 5), "unresolved": (3, 3), "not_activated": (0, 2)}
    return replace(
        rules,
        counts=tuple(counts),
        groups=tuple(replace(rule, window=3) for rule in rules.groups),
        overdue=tuple(
            replace(rule, window=overdue[rule.flag][0], expire=overdue[rule.flag][1]) for rule in rules.overdue
        ),
        follows=tuple(replace(rule, window=3, expire=4) for rule in rules.follows),
        composites=tuple(replace(rule, hold=4) for rule in rules.composites),
    )


TINY = tiny(DEFAULT)


@st.composite
def moments(draw: st.DrawFn, last: int = 30) -> list[Trace]:
    """Applied events of one customer within `last` ms."""
    n = draw(st.integers(1, 16))
    focus = draw(st.sampled_from(THEMES))
    traces = []
    for number in draw(st.permutations(range(n))):
        kind = draw(st.sampled_from(focus))
        traces.append(
            Trace(
                ts=draw(st.integers(0, last)),
                event_id=f"e{number}",
                kind=kind,
                category=draw(st.sampled_from(("a", "a", "a/x", "b", "*")))
                if kind in ("request", "complaint", "feedback", "resolved")
                else draw(st.sampled_from((None, None, "a", "b", "*"))),
                case_id=draw(st.sampled_from((None, None, "k", "l"))),
                contact_id=draw(st.sampled_from((None, None, "t", "u"))),
                campaign_id=draw(st.sampled_from((None, "m"))),
                score=draw(st.sampled_from((1.0, 2.0, 3.0))),
                sentiment=draw(st.sampled_from((None, -0.6, -0.5))),
                outcome=draw(st.sampled_from(("reached", "no_answer"))),
            )
        )
    return sorted(traces, key=lambda trace: trace.order)


@settings(max_examples=400, deadline=None)
@given(moments(), st.integers(0, 60))
def test_scanning_back_and_walking_forward_agree(traces: list[Trace], tau: int) -> None:
    walked = Stepper(TINY)
    while walked.now < tau:
        walked.step([trace for trace in traces if trace.ts == walked.now + 1])
    scanned = status(traces, tau, TINY)
    rows = {(f["flag"], f["category"], f["since"], f["until"], f["count"], f["severity"]) for f in scanned.flags}
    assert rows == walked.flags()
    assert scanned.episodes == walked.ops


@settings(max_examples=100, deadline=None)
@given(moments())
def test_what_is_up_at_a_time_is_what_the_episodes_say(traces: list[Trace]) -> None:
    whole = status(traces, 60, TINY).episodes
    for tau in range(60):
        up = {(flag["flag"], flag["category"]) for flag in status(traces, tau, TINY).flags}
        for key, ops in whole.items():
            # A raise by timer at `d` is seen from d + 1 on; one by an event at once. A clear by an event is seen at
            # once, one by timer a ms later. So each may be seen at either.
            by_now = [op for op, at, _ in ops if at < tau]
            at_now = [op for op, at, _ in ops if at == tau]
            if not at_now:
                assert (key in up) is (bool(by_now) and by_now[-1] == "raise"), (key, tau)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=14).map(sorted))
def test_count_episodes_are_a_union_of_intervals(times: list[int]) -> None:
    tiers = (Tier("burst", 2, 1), Tier("repeat", 3, 4), Tier("chronic", 4, 9))
    spans = sorted(
        (times[i], times[i - tier.threshold + 1] + tier.window)
        for tier in tiers
        for i in range(tier.threshold - 1, len(times))
        if times[i] - times[i - tier.threshold + 1] <= tier.window
    )
    union: list[list[int]] = []
    for start, end in spans:
        if union and start <= union[-1][1]:
            union[-1][1] = max(union[-1][1], end)
        else:
            union.append([start, end])
    counted = [Trace(ts=ts, event_id=f"{n:02}", kind="request", category="a") for n, ts in enumerate(times)]
    holds = []
    for n, trace in enumerate(counted):
        ends = [held for tier in tiers if (held := tier_end(counted[: n + 1], tier)) is not None]
        holds += [Hold(trace.ts, trace.event_id, max(ends))] if ends else []
    assert [[episode.since, episode.until] for episode in stretches(holds, 100)] == union


@st.composite
def words(draw: st.DrawFn) -> list[Trace]:
    """What a person says of `sensitive`."""
    said = []
    for number in range(draw(st.integers(1, 3))):
        ts = draw(st.integers(0, 30))
        state = draw(st.sampled_from(("up", "down", "auto")))
        until = draw(st.one_of(st.none(), st.integers(0, 40)))
        said.append(Trace(ts, f"o{number}", "override", flag="sensitive", state=state, until=until))
    return said


@settings(max_examples=200, deadline=None)
@given(moments(), words(), st.integers(0, 60))
def test_a_persons_word_wins_until_its_end(traces: list[Trace], said: list[Trace], tau: int) -> None:
    with_word = status(sorted([*traces, *said], key=lambda trace: trace.order), tau, TINY)
    rows = [flag for flag in with_word.flags if flag["flag"] == "sensitive"]
    own = [flag for flag in status(traces, tau, TINY).flags if flag["flag"] == "sensitive"]
    heard = sorted((word for word in said if word.ts <= tau), key=lambda word: word.order)
    newest = heard[-1] if heard else None
    counts = newest is not None and (newest.until is None or newest.until >= tau)
    if newest is None or not counts or newest.state == "auto":
        assert [row["until"] for row in rows] == [row["until"] for row in own]
    elif newest.state == "down":
        assert rows == []
    else:
        last = None if newest.until is None else max([newest.until, *(row["until"] for row in own)])
        assert [row["until"] for row in rows] == [last]
    ops = with_word.episodes.get(("sensitive", None), [])
    assert [op for op, _, _ in ops] == ["raise", "clear"] * (len(ops) // 2) + ["raise"] * (len(ops) % 2)
    assert bool(rows) is (len(ops) % 2 == 1)
    assert [at for _, at, _ in ops] == sorted(at for _, at, _ in ops)


# Logs and intake


@settings(max_examples=60, deadline=None)
@given(st.data(), st.sampled_from((1, 3, 8)))
def test_a_shuffle_within_lateness_changes_no_flag(data: st.DataObject, lanes: int) -> None:
    log = data.draw(logs(lanes=lanes, overrides=True, retracts=True))
    shuffled = data.draw(shuffle_within(log))
    one, other = expected(log, lanes=lanes), expected(shuffled, lanes=lanes)
    assert one.counts == other.counts
    assert one.counts["late"] == one.counts["dead"] == 0
    assert (one.flags, one.episodes, one.clocks) == (other.flags, other.episodes, other.clocks)


@settings(max_examples=60, deadline=None)
@given(logs(max_events=12, customers=("anna",), duplicates=False, ticks=False), st.sampled_from(EDGES))
def test_with_real_windows_episodes_and_status_agree_at_the_edges(log: list[dict[str, Any]], by: int) -> None:
    traces = take_in(log, lateness_ms=None).traces["anna"]
    whole = status(traces, START + 400 * DAY).episodes
    for tau in {int(event["ts"]) + more for event in log for more in (0, 1, by)}:
        up = {(flag["flag"], flag["category"]) for flag in status(traces, tau).flags}
        for key, ops in whole.items():
            by_now = [op for op, at, _ in ops if at < tau]
            if not any(at == tau for _, at, _ in ops):
                assert (key in up) is (bool(by_now) and by_now[-1] == "raise")


@pytest.mark.parametrize(
    ("key", "signed"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_murmur2_is_kafkas(key: bytes, signed: int) -> None:
    assert murmur2(key) == signed % 2**32


def event(event_id: str, ts: int, kind: str = "request", **more: Any) -> dict[str, Any]:
    return {"event_id": event_id, "customer_id": "c", "ts": ts, "kind": kind, "category": "a", **more}


def test_late_is_more_than_lateness_behind_the_lane_clock_and_duplicate_comes_first() -> None:
    log = [event("e1", HOUR), event("e2", 0), event("e3", HOUR + 1), event("e4", 0), event("e2", 0), event("e4", HOUR)]
    assert take_in(log).fates == ["applied", "applied", "applied", "late", "duplicate", "applied"]
    assert take_in(log, lateness_ms=None).fates == ["applied"] * 4 + ["duplicate"] * 2
    assert [trace.event_id for trace in take_in(log).traces["c"]] == ["e2", "e1", "e4", "e3"]


def test_a_tick_moves_the_clock_of_its_lane_only() -> None:
    one, other = "anna", "bo"
    lanes = next(n for n in range(2, 50) if lane_of(one, n) != lane_of(other, n))
    tick = {"event_id": "t", "kind": "tick", "lane": lane_of(one, lanes), "lanes": lanes, "ts": 3 * HOUR}
    log = [event("e1", 0, customer_id=one), tick, event("e2", 1, customer_id=one), event("e3", 1, customer_id=other)]
    intake = take_in(log, lanes=lanes)
    assert intake.fates == ["applied", "applied", "late", "applied"]
    assert intake.clocks == {lane_of(one, lanes): 3 * HOUR, lane_of(other, lanes): 1}
    assert take_in([{**tick, "lanes": lanes + 1}], lanes=lanes).fates == ["dead"]


def test_neither_a_duplicate_nor_a_late_nor_a_dead_event_moves_the_clock() -> None:
    log = [event("e1", HOUR), event("e1", 9 * HOUR), event("x", 9 * HOUR, kind="what"), event("y", -1)]
    log += [event("z", 9 * HOUR, category=None), event("f", 9 * HOUR, kind="feedback"), event("r", 5, record_ts=0)]
    log += [event("future", 300_001, record_ts=0)]
    intake = take_in(log)
    assert intake.fates == ["applied", "duplicate", "dead", "dead", "dead", "dead", "applied", "dead"]
    assert intake.clocks == {0: HOUR}
    assert intake.counts == {"read": 8, "applied": 2, "duplicate": 1, "late": 0, "dead": 5}


def test_an_id_is_new_again_when_it_is_no_longer_remembered() -> None:
    log = [event(f"e{n}", n) for n in range(33)]
    assert take_in([*log, event("e0", 40)]).fates[-1] == "applied"
    assert take_in([*log[:-1], event("e0", 40)]).fates[-1] == "duplicate"
    assert take_in([*log, event("e0", 40)], remembered=None).fates[-1] == "duplicate"


def test_ids_are_the_customers_own() -> None:
    assert take_in([event("e", 0), event("e", 0, customer_id="d")]).fates == ["applied", "applied"]


def test_a_retraction_takes_out_what_came_before_it_and_stays_a_duplicate() -> None:
    back = event("r", 5, kind="retract", ref="e1")
    log = [event("e1", 0), event("e2", 1), back, event("e1", 0), event("e3", 6)]
    intake = take_in(log)
    assert intake.fates == ["applied", "applied", "applied", "duplicate", "applied"]
    assert [trace.event_id for trace in intake.traces["c"]] == ["e2", "r", "e3"]
    assert [trace.event_id for trace in take_in([back, event("e1", 6)]).traces["c"]] == ["r", "e1"]


def test_a_kind_beyond_the_oracle_is_refused_and_not_ignored() -> None:
    with pytest.raises(ValueError, match="erase"):
        take_in([event("e", 0, kind="erase")])


def test_times_are_strings_with_offset_or_integers() -> None:
    assert instant("2023-11-14T22:13:20Z") == START
    assert [instant(bad) for bad in ("yesterday", "2023-11-14", 1.5, -1, 2**62, None)] == [None] * 6
