"""Score flags: two lines, a hold, the customer's own normal and own silence, and who leaves as expected."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.flags.score import NORMAL_AFTER_MS, OwnNormal, ScoreState
from engine.rules import RuleSet
from engine.rules.rule import ScoreRule
from engine.score_flags import WARM_AFTER
from tests.engine.runs import DAY, HOUR, T0, FixedModels, Run, tick, trace

PLAIN = """
version = 1
[flags.risk]
shape = "score"
score = "churn"
raise = 0.8
clear = 0.7
hold = "{hold}"
severity = "high"
{more}
"""


def rules(more: str = "", hold: str = "1ms") -> RuleSet:
    return RuleSet.parse(PLAIN.format(more=more, hold=hold))


def played(rule_set: RuleSet, churn: list[tuple[int, float]], **settings: Any) -> Run:
    """A session at each time (ms after T0), scored as given there."""
    run = Run(rule_set, models=FixedModels({T0 + at: (score, 1.0) for at, score in churn}), **settings)
    run.feed([trace(f"e{n}", at, "session", None) for n, (at, _) in enumerate(churn)])
    return run


def told(run: Run, flag: str = "risk") -> list[tuple[str, int]]:
    return [(a.op, a.at - T0) for a in run.alerts if a.flag == flag]


# Hysteresis


def test_up_at_the_upper_line_down_only_under_the_lower_one() -> None:
    scores = [0.79, 0.8, 0.75, 0.7, 0.699, 0.75, 0.9]
    run = played(rules(), [(n * HOUR, score) for n, score in enumerate(scores)])
    assert told(run) == [("raise", HOUR), ("clear", 4 * HOUR), ("raise", 6 * HOUR)]
    (raised, _, again) = run.alerts
    assert (raised.until, raised.evidence, raised.severity, raised.count) == (None, [], "high", 1)
    assert raised.scores == {"churn": 0.8, "engagement": 1.0}
    assert raised.alert_id != again.alert_id


def test_with_direction_below_low_is_bad() -> None:
    text = PLAIN.format(hold="1ms", more='direction = "below"').replace("0.7", "0.9")
    scores = [0.8, 0.79, 0.85, 0.9, 0.901]
    run = played(RuleSet.parse(text), [(n * HOUR, score) for n, score in enumerate(scores)])
    assert told(run) == [("raise", HOUR), ("clear", 4 * HOUR)]


def test_a_flag_is_held_at_least_so_long() -> None:
    calm = [(0, 0.9), (1, 0.1), (24 * HOUR - 1, 0.1), (24 * HOUR, 0.1)]
    run = played(rules(hold="24h"), calm[:3])
    assert told(run) == [("raise", 0)]
    # The hold is a least time and not a timer: the next score after it decides.
    run = played(rules(hold="24h"), calm)
    assert told(run) == [("raise", 0), ("clear", 24 * HOUR)]
    assert told(played(rules(hold="24h"), [*calm[:3], (30 * HOUR, 0.9)])) == [("raise", 0)]


RULE = ScoreRule("risk", 3, (), (), score="churn", raise_at=0.8, clear_at=0.7, hold_ms=10, severity="high")


@given(st.lists(st.tuples(st.integers(0, 20), st.sampled_from((None, 0.1, 0.7, 0.75, 0.8, 1.0)), st.booleans())))
def test_it_is_up_since_the_first_high_score_and_down_by_a_low_one_after_the_hold(
    steps: list[tuple[int, float | None, bool]],
) -> None:
    state, at, since = ScoreState(RULE), 0, None
    for passed, score, may_raise in steps:
        at += passed
        state.update(score, may_raise, at, f"e{at}")
        if score is not None:
            if since is None and score >= 0.8 and may_raise:
                since = at
            elif since is not None and score < 0.7 and at >= since + 10:
                since = None
        status = state.status()
        assert (None if status is None else status.since) == since
        if status is not None:
            assert (status.until, status.cause) == (None, f"e{since}")


def test_a_customer_who_is_silent_raises_it_by_timer_and_the_timer_is_its_cause() -> None:
    run = Run(rules(), models=FixedModels({T0: (0.1, 1.0), T0 + 2 * DAY: (0.9, 1.0)}))
    run.feed([trace("e1", 0, "session", None), tick(T0 + 2 * DAY)])
    assert told(run) == []
    run.tick(T0 + 2 * DAY + 1)
    assert told(run) == [("raise", 2 * DAY)]
    other = Run(rules(), models=FixedModels({T0: (0.1, 1.0), T0 + 2 * DAY: (0.9, 1.0)}))
    other.feed([trace("another id", 0, "session", None), tick(T0 + 3 * DAY)])
    assert [a.alert_id for a in other.alerts] == [a.alert_id for a in run.alerts]


# Conditions beside the score


def test_a_model_that_has_learned_next_to_nothing_raises_nothing() -> None:
    for n_seen, up in ((WARM_AFTER - 1, False), (WARM_AFTER, True)):
        models = FixedModels({T0: (0.95, 1.0)})
        models.n_seen = n_seen
        run = Run(rules(), models=models)
        run.feed([trace("e1", 0, "session", None)])
        assert bool(told(run)) is up


def test_a_flag_that_is_up_clears_whatever_the_model_has_learned() -> None:
    models = FixedModels({T0: (0.95, 1.0), T0 + HOUR: (0.1, 1.0)})
    run = Run(rules(), models=models)
    run.feed([trace("e1", 0, "session", None)])
    models.n_seen = 0
    run.feed([trace("e2", HOUR, "session", None)])
    assert told(run) == [("raise", 0), ("clear", HOUR)]


def test_own_silence_waits_until_silence_is_longer_than_usual_where_that_is_known() -> None:
    rule_set = rules("own_silence = true")
    # A stranger has no usual gap: the score alone decides.
    assert told(played(rule_set, [(0, 0.9)])) == [("raise", 0)]
    # Who comes every two days is not silent while they are here, nor a day later, but two days later.
    models = FixedModels({T0: (0.1, 1.0), T0 + 9 * DAY: (0.9, 1.0)})
    run = Run(rule_set, models=models)
    run.feed([trace(f"e{n}", 2 * n * DAY, "session", None) for n in range(6)])
    run.tick(T0 + 11 * DAY + 1)
    assert told(run) == []
    run.tick(T0 + 12 * DAY + 1)
    assert told(run) == [("raise", 12 * DAY)]


@pytest.mark.parametrize(
    ("end", "raises"),
    [
        (T0 + 30 * DAY, False),
        (T0 + 30 * DAY + 1, True),
        (T0 - 1, False),
        ("2023-12-01T00:00:00Z", False),
        ("2023-12-14", False),
        ("2023-12-15", True),
        ("soon", True),
        (True, True),
    ],
)
def test_who_leaves_as_expected_within_a_horizon_is_no_risk(end: object, raises: bool) -> None:
    # T0 is 2023-11-14T22:00Z; the horizon of churn is 30 d.
    run = Run(rules("expected_end = true"), models=FixedModels({T0: (0.9, 1.0)}))
    run.feed([trace("p", 0, "profile", None, attributes={"expected_end": end}), trace("e", 0, "session", None)])
    assert bool(told(run)) is raises


def test_an_expected_end_takes_the_flag_down_at_the_next_score_whatever_the_hold() -> None:
    run = Run(rules("expected_end = true", hold="300d"), models=FixedModels({T0: (0.9, 1.0)}))
    facts = {"expected_end": "2023-12-01"}
    run.feed([trace("e", 0, "session", None), trace("p", HOUR, "profile", None, attributes=facts)])
    assert told(run) == [("raise", 0)]
    run.feed([trace("f", 2 * HOUR, "session", None)])
    assert told(run) == [("raise", 0), ("clear", 2 * HOUR)]
    # Without `expected_end` in the rule the fact is only a fact.
    other = Run(rules(), models=FixedModels({T0: (0.9, 1.0)}))
    other.feed([trace("p", 0, "profile", None, attributes=facts), trace("e", HOUR, "session", None)])
    assert told(other) == [("raise", HOUR)]


def test_a_gate_stands_before_a_score_flag_too_and_never_clears_it() -> None:
    run = Run(rules('where = { segment = "vip" }'), models=FixedModels({T0: (0.9, 1.0)}))
    vip = trace("p", HOUR, "profile", None, attributes={"segment": "vip"})
    no_more = trace("q", 3 * HOUR, "profile", None, attributes={"segment": "mass"})
    run.feed([trace("e1", 0, "session", None), vip])
    assert told(run) == []
    run.feed([trace("e2", 2 * HOUR, "session", None), no_more, trace("e3", 4 * HOUR, "session", None)])
    assert told(run) == [("raise", 2 * HOUR)]


@pytest.mark.parametrize("leave", [{"kind": "cancel"}, {"kind": "contract", "step": "lapsed"}])
def test_who_has_left_is_at_no_risk_any_more(leave: dict[str, str]) -> None:
    run = Run(rules(hold="300d"), models=FixedModels({T0: (0.9, 1.0)}))
    run.feed([trace("e1", 0, "session", None), trace("x", HOUR, category=None, **leave)])
    assert told(run) == [("raise", 0), ("clear", HOUR)]
    memory = run.memory()
    assert (memory.churn, memory.stage) == (1.0, "lapsed")
    n_predictions = len(run.predictions)
    run.tick(T0 + 100 * DAY)
    # No silence to watch after that.
    assert len(run.predictions) == n_predictions
    assert told(run) == [("raise", 0), ("clear", HOUR)]
    # Who comes back is a customer again.
    run.feed([trace("e2", 101 * DAY, "session", None)])
    assert told(run)[2:] == [("raise", 101 * DAY)]
    assert run.memory().stage is None


def test_a_segment_has_lines_of_its_own_and_keeps_what_is_up() -> None:
    rule_set = rules("[flags.risk.segments.vip]\nraise = 0.5\nclear = 0.4")
    run = Run(rule_set, models=FixedModels({T0: (0.6, 1.0), T0 + 2 * HOUR: (0.45, 1.0)}))
    run.feed([trace("e1", 0, "session", None)])
    assert told(run) == []
    run.feed([trace("p", 1, "profile", None, attributes={"segment": "vip"}), trace("e2", HOUR, "session", None)])
    assert told(run) == [("raise", HOUR)]
    run.feed([trace("e3", 2 * HOUR, "session", None)])
    assert told(run) == [("raise", HOUR)]
    # Back under the common lines, 0.45 is under 0.7.
    run.feed([trace("q", 3 * HOUR, "profile", None, attributes={"segment": "mass"})])
    run.feed([trace("e4", 4 * HOUR, "session", None)])
    assert told(run) == [("raise", HOUR), ("clear", 4 * HOUR)]


@pytest.mark.parametrize("reborn", [False, True])
def test_a_word_wins_over_a_score_until_its_end(reborn: bool) -> None:
    run = Run(rules(), models=FixedModels({T0: (0.9, 1.0)}), forgetful=reborn)
    lift = trace("o", HOUR, "override", None, flag="risk", state="down", until=T0 + DAY)
    run.feed([trace("e1", 0, "session", None), lift, trace("e2", 2 * HOUR, "session", None)])
    assert told(run) == [("raise", 0), ("clear", HOUR)]
    run.tick(T0 + 30 * HOUR)
    assert told(run) == [("raise", 0), ("clear", HOUR), ("raise", DAY)]
    never = Run(rules(), models=FixedModels(), forgetful=reborn)
    never.feed([trace("e1", 0, "session", None)])
    never.feed([trace("o", HOUR, "override", None, flag="risk", state="up", until=T0 + DAY), tick(T0 + 2 * DAY)])
    assert told(never) == [("raise", HOUR), ("clear", DAY)]


def test_an_event_out_of_order_moves_the_score_and_no_score_flag() -> None:
    run = Run(rules(), models=FixedModels({T0: (0.1, 1.0)}))
    run.feed([trace("e1", HOUR, "session", None)])
    assert run.fixed is not None
    run.fixed.scores = {T0: (0.95, 1.0)}
    run.feed([trace("e0", HOUR // 2, "session", None)])
    assert told(run) == []
    assert run.memory().churn == 0.95


# The own normal


@settings(deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 30 * HOUR), st.floats(0.0, 5.0, allow_subnormal=False)), min_size=1, max_size=60),
    st.integers(0, 40 * DAY),
)
def test_the_own_normal_is_the_decayed_mean_of_the_means_of_past_days(
    steps: list[tuple[int, float]], later: int
) -> None:
    normal, at = OwnNormal(), T0
    scores: list[tuple[int, float]] = []
    for passed, score in steps:
        at += passed
        normal.update(score, at)
        scores.append((at, score))
    days: dict[int, list[float]] = {}
    for when, score in scores:
        days.setdefault(when // DAY, []).append(score)
    today = max(days)
    past = {day: sum(of_day) / len(of_day) for day, of_day in days.items() if day < today}
    got = normal.get(at + later)
    if at + later - scores[0][0] < NORMAL_AFTER_MS or not past:
        assert got is None
    else:
        weights = {day: 0.5 ** ((today - day) / 56) for day in past}
        want = sum(weights[day] * mean for day, mean in past.items()) / sum(weights.values())
        assert got == pytest.approx(want, rel=1e-9, abs=1e-12)


def test_an_older_score_counts_for_the_current_day_and_nothing_breaks() -> None:
    normal = OwnNormal()
    normal.update(1.0, 10 * DAY)
    normal.update(3.0, 9 * DAY)
    normal.update(0.0, 40 * DAY)
    assert normal.get(40 * DAY) == 2.0


def engagement(values: list[tuple[int, float]]) -> Run:
    models = FixedModels({T0 + day * DAY: (0.1, value) for day, value in values})
    run = Run(models=models)
    run.feed([trace(f"e{day}", day * DAY, "session", None) for day, _ in values])
    return run


def test_engagement_drops_under_half_of_the_own_normal_and_is_back_over_sixty_percent() -> None:
    usual = [(day, 4.0) for day in range(0, 30)]
    # 2.0 is half of 4.0 and not under it; the days of the drop make the normal itself a little less.
    run = engagement([*usual, (30, 2.0)])
    assert told(run, "engagement_drop") == []
    run = engagement([*usual, (30, 1.9), (31, 2.3), (32, 2.6)])
    assert told(run, "engagement_drop") == [("raise", 30 * DAY), ("clear", 32 * DAY)]


def test_without_four_weeks_of_scores_there_is_no_normal_to_drop_from() -> None:
    for days, up in ((27, False), (28, True)):
        run = engagement([*((day, 4.0) for day in range(days)), (days, 0.1)])
        assert bool(told(run, "engagement_drop")) is up


def test_a_normal_of_nothing_is_no_normal() -> None:
    run = engagement([(day, 0.0) for day in range(40)])
    assert told(run, "engagement_drop") == []
