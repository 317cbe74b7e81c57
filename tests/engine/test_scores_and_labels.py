"""When customers are scored, what the scores may raise, and when an example may be learned."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from engine.alert import alert_id
from engine.event import ENGAGEMENT, Event
from engine.flags.score import OwnNormal
from engine.landmarks import EVENT, SILENCE, TRIGGERS, Landmark
from engine.score_flags import WARM_AFTER
from tests.engine.runs import DAY, HOUR, T0, FixedModels, Run, decoded, tick, trace
from tests.oracle.strategies import disordered, logs

QUICK = settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
CHURN, ENGAGE = 2 * DAY, DAY
"""Short horizons, so that small logs have all sorts of labels."""

Label = tuple[str, str, int, int, bool | int]
"""(label, trigger, landmark after T0, lane clock after T0 at which it was learned, the label)"""


class Labels(FixedModels):
    """Notes each label as it was when it was learned."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Label] = []

    def learn_churn(self, mark: Landmark, segment: str | None, cluster: int) -> None:
        at = mark.at - T0
        self.seen.append(("churn", TRIGGERS[mark.trigger], at, self._clock() - T0, mark.churned))

    def learn_engagement(self, mark: Landmark, segment: str | None) -> None:
        at = mark.at - T0
        self.seen.append(("engagement", TRIGGERS[mark.trigger], at, self._clock() - T0, mark.n_engaged))


def labelled(events: Sequence[Event], **options: Any) -> Labels:
    models = Labels()
    run = Run(models=models, churn_horizon_ms=CHURN, engagement_horizon_ms=ENGAGE, **options)
    run.feed(events)
    return models


def label(models: Labels, name: str, at: int = 0, trigger: str = "event") -> tuple[int, bool | int]:
    """When and what was learned of one landmark."""
    ((clock, value),) = [s[3:] for s in models.seen if s[:3] == (name, trigger, at)]
    return clock, value


# -- labels ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "horizon"), [("churn", CHURN), ("engagement", ENGAGE)])
@pytest.mark.parametrize("mover", ["tick", "own", "other"])
def test_a_label_is_learned_when_the_clock_is_past_its_whole_window(name: str, horizon: int, mover: str) -> None:
    def move(after: int) -> Event:
        if mover == "tick":
            return tick(T0 + after)
        return trace(f"m{after}", after, "profile", None, customer="c" if mover == "own" else "d")

    models = labelled([trace("a", 0), move(horizon)])
    assert [s for s in models.seen if s[0] == name] == []
    models = labelled([trace("a", 0), move(horizon), move(horizon + 1)])
    assert label(models, name)[0] == horizon


@pytest.mark.parametrize(("after", "churned"), [(1, False), (CHURN, False), (CHURN + 1, True)])
def test_activity_at_the_end_of_the_window_is_activity_and_one_millisecond_later_is_not(
    after: int, churned: bool
) -> None:
    models = labelled([trace("a", 0), trace("b", after), tick(T0 + 9 * DAY)])
    assert label(models, "churn") == (CHURN, churned)


def test_the_act_of_the_landmark_itself_is_not_activity_after_it() -> None:
    same = [trace("a", 0), trace("b", 0, "view"), trace("v", 0, "purchase")]
    models = labelled([*same, tick(T0 + 9 * DAY)])
    assert label(models, "churn") == (CHURN, True)
    assert label(models, "engagement") == (ENGAGE, 0)


@pytest.mark.parametrize(("after", "n"), [(1, 1), (ENGAGE, 1), (ENGAGE + 1, 0)])
def test_engagement_is_counted_to_the_end_of_its_window(after: int, n: int) -> None:
    models = labelled([trace("a", 0), trace("b", after, "purchase"), tick(T0 + 9 * DAY)])
    assert label(models, "engagement") == (ENGAGE, n)


LEAVES: list[dict[str, Any]] = [{"kind": "cancel"}, {"kind": "contract", "step": "lapsed"}]


@pytest.mark.parametrize("leave", LEAVES, ids=["cancel", "lapsed"])
@pytest.mark.parametrize(("after", "churned"), [(DAY, True), (CHURN, True), (CHURN + 1, False)])
def test_who_leaves_in_the_window_has_churned_also_with_activity_before_it(
    leave: dict[str, Any], after: int, churned: bool
) -> None:
    log = [trace("a", 0), trace("b", HOUR), trace("x", after, **leave), tick(T0 + 9 * DAY)]
    assert label(labelled(log), "churn") == (CHURN, churned)
    # Also when they come back at once.
    log.insert(3, trace("back", after + 1, "view"))
    assert label(labelled(log), "churn") == (CHURN, churned)


@pytest.mark.parametrize(
    ("facts", "active"),
    [
        ({"kind": "payment", "outcome": "ok"}, True),
        ({"kind": "payment", "outcome": "failed"}, False),
        ({"kind": "received"}, False),
        ({"kind": "contract", "step": "renewed"}, False),
        ({"kind": "handling"}, False),
        ({"kind": "promotion"}, False),
        ({"kind": "outreach", "outcome": "reached"}, False),
        ({"kind": "profile"}, False),
        ({"kind": "override", "flag": "sensitive", "state": "up"}, False),
        ({"kind": "signup"}, True),
        ({"kind": "feedback", "score": 5.0}, True),
        ({"kind": "suggestion"}, True),
        *(({"kind": kind}, True) for kind in sorted(ENGAGEMENT)),
    ],
)
def test_only_the_customers_own_doings_are_activity(facts: dict[str, Any], active: bool) -> None:
    models = labelled([trace("a", 0), trace("b", HOUR, **facts), tick(T0 + 9 * DAY)])
    assert label(models, "churn") == (CHURN, not active)
    # And only they are scored.
    run = Run(models=FixedModels())
    run.feed([trace("a", 0), trace("b", HOUR, **facts)])
    assert [p.event_id for p in run.predictions] == (["a", "b"] if active else ["a"])


def test_what_counts_as_activity_is_a_setting() -> None:
    only = {"activity": frozenset(("purchase",))}
    log = [trace("a", 0, "purchase"), trace("b", HOUR, "view"), tick(T0 + 9 * DAY)]
    models = labelled(log, **only)
    assert label(models, "churn") == (CHURN, True)
    assert label(models, "engagement") == (ENGAGE, 1)


VARIANTS: list[dict[str, Any]] = [
    {"kind": "request"},
    {"kind": "view"},
    {"kind": "purchase", "value": 3.0},
    {"kind": "payment", "outcome": "ok"},
    {"kind": "payment", "outcome": "failed"},
    {"kind": "received"},
    {"kind": "handling"},
    {"kind": "cancel"},
    {"kind": "contract", "step": "lapsed"},
    {"kind": "contract", "step": "renewed"},
]
GAPS = (0, 0, 1, HOUR // 2, HOUR, *(n * DAY + by for n in (1, 2, 4) for by in (-1, 0, 1)), 8 * DAY)


@st.composite
def lives(draw: DrawFn) -> list[Event]:
    """A short log in order, of one or two customers, on the edges of windows and landmarks."""
    events, after = [], 0
    for number in range(draw(st.integers(1, 14))):
        after += draw(st.sampled_from(GAPS))
        customer = draw(st.sampled_from(("c", "c", "d")))
        events.append(trace(f"e{number}", after, customer=customer, **draw(st.sampled_from(VARIANTS))))
    return events


def is_own(event: Event) -> bool:
    return event.kind in ("request", "view", "purchase") or (event.kind == "payment" and event.outcome == "ok")


def has_left(event: Event) -> bool:
    return event.kind == "cancel" or (event.kind == "contract" and event.step == "lapsed")


def expected_landmarks(events: Sequence[Event]) -> list[tuple[str, int]]:
    """Trigger and time of every landmark of one customer, thinned, from the whole log."""
    acts = sorted({e.ts for e in events if is_own(e)})
    leaves = [e.ts for e in events if has_left(e)]
    firsts: dict[int, int] = {}
    for at in acts:
        firsts.setdefault(at // HOUR, at)
    marks = [("event", at) for at in firsts.values()]
    for at, following in zip_longest(acts, acts[1:]):
        for days in (1, 2, 4, 8, 16, 32, 64):
            due = at + days * DAY
            if (following is None or due < following) and not any(at <= left <= due for left in leaves):
                marks.append(("silence", due))
    return marks


def expected_labels(events: Sequence[Event]) -> list[Label]:
    """Every label of one customer by brute force over the whole log."""
    out: list[Label] = []
    for trigger, at in expected_landmarks(events):
        within = [e for e in events if at < e.ts <= at + CHURN]
        churned = any(has_left(e) for e in within) or not any(is_own(e) for e in within)
        engaged = sum(e.kind in ENGAGEMENT and at < e.ts <= at + ENGAGE for e in events)
        out.append(("churn", trigger, at - T0, at + CHURN - T0, churned))
        out.append(("engagement", trigger, at - T0, at + ENGAGE - T0, engaged))
    return out


@settings(QUICK, max_examples=150)
@given(lives())
def test_every_landmark_and_label_is_that_of_brute_force_over_the_whole_log(log: list[Event]) -> None:
    models = labelled([*log, tick(log[-1].ts + 80 * DAY)])
    customers = sorted({e.customer_id or "" for e in log})
    expected = [one for c in customers for one in expected_labels([e for e in log if e.customer_id == c])]
    assert sorted(models.seen) == sorted(expected)


@QUICK
@given(logs(max_events=20).flatmap(disordered))
def test_no_label_is_learned_before_its_window_has_passed_in_any_order_of_arrival(log: list[dict[str, Any]]) -> None:
    models = labelled(decoded(log))
    for name, _, at, clock, _ in models.seen:
        assert clock >= at + (CHURN if name == "churn" else ENGAGE)


@st.composite
def with_erasures(draw: DrawFn, log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    out = list(log)
    for number in range(draw(st.integers(0, 2))):
        at = draw(st.integers(0, len(out) - 1))
        if "customer_id" in out[at]:
            erase = {"event_id": f"x{number}", "customer_id": out[at]["customer_id"], "ts": out[at]["ts"]}
            out.insert(at + 1, {**erase, "kind": "erase"})
    return out


@QUICK
@given(
    logs(max_events=20, retracts=True).flatmap(disordered).flatmap(with_erasures),
    st.sampled_from((8 * DAY, 400 * DAY)),
    st.sampled_from((1, 3, 32)),
)
def test_examples_taken_are_learned_pending_or_erased_after_every_event(
    log: list[dict[str, Any]], retire_ms: int, max_pending: int
) -> None:
    run = Run(retire_ms=retire_ms, max_pending=max_pending, churn_horizon_ms=CHURN, engagement_horizon_ms=3 * DAY)
    for event in decoded(log):
        run.feed([event])
        pending = [mark for customer in run.store for mark in run.memory(customer).landmarks.pending]
        assert all(len(run.memory(c).landmarks.pending) <= max_pending for c in run.store)
        for number, trigger in enumerate(TRIGGERS):
            own = [mark for mark in pending if mark.trigger == number]
            balance = run.lane.models.balance()[trigger]
            n_churn = sum(not mark.is_churn_done(run.settings.windows) for mark in own)
            n_engagement = sum(not mark.engagement_done for mark in own)
            assert balance["taken"] == balance["churn_learned"] + balance["churn_erased"] + n_churn
            assert balance["taken"] == balance["engagement_learned"] + balance["engagement_erased"] + n_engagement
            n_contact = sum(not mark.contact_done for mark in own)
            assert balance["taken"] == balance["contact_learned"] + balance["contact_erased"] + n_contact


# -- landmarks ---------------------------------------------------------------------------------------------------


def silences(run: Run) -> list[int]:
    return [p.at - T0 for p in run.predictions if p.trigger == "silence"]


DOUBLING = [days * DAY for days in (1, 2, 4, 8, 16, 32, 64)]


def test_silence_is_scored_at_doubling_days_and_then_no_more() -> None:
    run = Run(models=FixedModels())
    run.feed([trace("a", 0)])
    for due in DOUBLING:
        before = len(run.predictions)
        run.tick(T0 + due)
        assert len(run.predictions) == before
        run.tick(T0 + due + 1)
        assert len(run.predictions) == before + 1
    run.tick(T0 + 3_000 * DAY)
    assert silences(run) == DOUBLING


def test_silence_begins_again_with_every_act_of_their_own_and_not_with_ours() -> None:
    run = Run(models=FixedModels())
    run.feed([trace("a", 0), trace("b", 3 * DAY), trace("h", 4 * DAY, "handling"), trace("p", 5 * DAY, "profile")])
    run.tick(T0 + 8 * DAY)
    assert silences(run) == [DAY, 2 * DAY, 4 * DAY, 5 * DAY, 7 * DAY]


def test_an_act_at_the_landmark_of_silence_breaks_it() -> None:
    run = Run(models=FixedModels())
    run.feed([trace("a", 0), trace("b", DAY), tick(T0 + 3 * DAY)])
    assert silences(run) == [2 * DAY]


@pytest.mark.parametrize("leave", LEAVES, ids=["cancel", "lapsed"])
def test_no_silence_is_scored_after_they_left_until_they_come_back(leave: dict[str, Any]) -> None:
    run = Run(models=FixedModels())
    run.feed([trace("a", 0), trace("x", 2 * DAY, **leave), tick(T0 + 90 * DAY)])
    assert silences(run) == [DAY]
    assert run.memory().churn == 1.0
    run.feed([trace("b", 100 * DAY), tick(T0 + 102 * DAY)])
    assert silences(run) == [DAY, 101 * DAY]
    assert run.memory().churn == 0.5


def test_a_customer_who_never_acted_is_never_scored() -> None:
    run = Run(models=FixedModels())
    run.feed([trace("h", 0, "handling"), trace("p", 1, "profile"), tick(T0 + 90 * DAY)])
    assert run.predictions == []
    assert run.memory().churn is None


def pending(run: Run, trigger: int = EVENT) -> list[int]:
    return [mark.at - T0 for mark in run.memory().landmarks.pending if mark.trigger == trigger]


def test_the_first_example_of_a_clock_hour_stays() -> None:
    run = Run(models=(models := FixedModels()))
    run.feed([trace(f"e{i}", after) for i, after in enumerate((HOUR // 4, HOUR // 2, HOUR - 1, HOUR, HOUR + 1))])
    assert pending(run) == [HOUR // 4, HOUR]
    assert models.n_taken == 2
    assert run.lane.record.tallies["thinned"] == 3
    # Scored all the same.
    assert len(run.predictions) == 5
    # Silence has examples of its own, whatever hour it is.
    run.tick(T0 + HOUR + 1 + DAY + 1)
    assert pending(run, SILENCE) == [HOUR + 1 + DAY]


def test_events_of_one_millisecond_are_one_act_and_the_example_sees_all_of_it() -> None:
    def fed(*values: float) -> Run:
        run = Run(models=FixedModels())
        run.feed(trace(f"e{i}", 0, "purchase", value=value) for i, value in enumerate(values))
        return run

    split, one = fed(1.0, 2.0, 4.0), fed(7.0)
    (mark,), (whole,) = split.memory().landmarks.pending, one.memory().landmarks.pending
    assert mark.x == whole.x
    assert mark.n_engaged == whole.n_engaged == 0
    assert split.memory().traits.encode() == one.memory().traits.encode()
    assert split.lane.models.n_taken == 1  # type: ignore[attr-defined] # of FixedModels


def test_at_most_so_many_examples_wait_and_the_others_are_counted() -> None:
    run = Run(models=(models := FixedModels()), max_pending=3)
    run.feed(trace(f"e{i}", i * HOUR) for i in range(8))
    assert pending(run) == [0, HOUR, 2 * HOUR]
    assert (models.n_taken, run.lane.record.tallies["full"]) == (3, 5)


def test_silence_takes_at_most_half_of_the_room_for_examples() -> None:
    run = Run(models=FixedModels(), max_pending=6)
    run.feed([trace("a", 0), tick(T0 + 20 * DAY)])
    marks = run.memory().landmarks.pending
    assert [m.trigger for m in marks] == [EVENT, SILENCE, SILENCE, SILENCE]
    run.feed(trace(f"e{i}", 20 * DAY + i * HOUR) for i in range(1, 5))
    assert [m.trigger for m in run.memory().landmarks.pending].count(EVENT) == 3


def test_an_act_out_of_order_is_scored_at_the_time_of_the_newest_act() -> None:
    run = Run(models=FixedModels({T0: (0.25, 1.0)}))
    run.feed([trace("new", HOUR), trace("old", HOUR // 2)])
    first, again = run.predictions
    assert (first.event_id, again.event_id) == ("new", "old")
    assert (again.at, again.trigger) == (T0 + HOUR, "event")
    # It gives no example: its own time knows what came after it.
    assert pending(run) == [HOUR]
    assert run.memory().traits.n == 2


def test_an_act_out_of_order_breaks_no_silence_that_is_younger() -> None:
    run = Run(models=FixedModels({T0: (0.2, 1.0), T0 + DAY: (0.6, 0.5)}))
    run.feed([trace("new", 0), tick(T0 + HOUR // 2), trace("old", -HOUR // 4)])
    run.tick(T0 + DAY + 1)
    assert silences(run) == [DAY]
    assert run.memory().churn == 0.6


def test_examples_of_windows_that_are_open_see_an_act_out_of_order() -> None:
    models = labelled([trace("a", 0), trace("h", HOUR, "profile"), trace("v", HOUR // 2, "view"), tick(T0 + 9 * DAY)])
    assert label(models, "churn") == (CHURN, False)
    assert label(models, "engagement") == (ENGAGE, 1)


# -- nothing from the future -------------------------------------------------------------------------------------

FATES = ("kept", "dropped", "cancel", "view", "complaint", "erase", "twice")


@st.composite
def changed_after(draw: DrawFn, log: list[dict[str, Any]], at: int) -> list[dict[str, Any]]:
    """The log with what comes after `at` (ms) changed."""
    out = []
    for event in log:
        fate = draw(st.sampled_from(FATES)) if event["ts"] > at and "customer_id" in event else "kept"
        if fate in ("cancel", "view", "complaint", "erase"):
            out.append({**event, "kind": fate, "category": "other"})
        elif fate == "twice":
            out += [event, {**event, "event_id": event["event_id"] + "!"}]
        elif fate == "kept":
            out.append(event)
    return out


@QUICK
@given(st.data())
def test_no_prediction_changes_when_what_comes_after_it_does(data: st.DataObject) -> None:
    log = data.draw(logs(max_events=24, ticks=False, duplicates=False))
    cut = data.draw(st.sampled_from([e["ts"] for e in log])) + data.draw(st.sampled_from((0, 1, DAY, 3 * DAY)))

    def predictions(log: list[dict[str, Any]]) -> list[Any]:
        events = decoded(log)
        n = sum(e.ts <= cut for e in events)
        # One millisecond later, so that the silence at the cut is scored in both.
        events.insert(n, tick(cut + 1, "cut"))
        run = Run(churn_horizon_ms=DAY, engagement_horizon_ms=HOUR, lateness_ms=None)
        run.feed(events)
        return [p for p in run.predictions if p.at <= cut and p.index <= n]

    assert predictions(log) == predictions(data.draw(changed_after(log, cut)))


@QUICK
@given(logs(max_events=20).flatmap(disordered), st.data())
def test_no_prediction_and_no_alert_changes_when_what_arrives_after_it_does(
    log: list[dict[str, Any]], data: st.DataObject
) -> None:
    n = data.draw(st.integers(0, len(log)))
    run = Run(churn_horizon_ms=DAY, engagement_horizon_ms=HOUR)
    run.feed(decoded(log[:n]))
    part = list(run.predictions), [a.line() for a in run.alerts]
    run.feed(decoded(data.draw(changed_after(log[n:], -1))))
    assert (run.predictions[: len(part[0])], [a.line() for a in run.alerts[: len(part[1])]]) == part
    whole = Run(churn_horizon_ms=DAY, engagement_horizon_ms=HOUR)
    whole.feed(decoded(log))
    assert whole.predictions[: len(part[0])] == part[0]


# -- score flags -------------------------------------------------------------------------------------------------

CHURN_RISK, DROP = "churn_risk", "engagement_drop"


def scripted(churn: dict[int, float], *events: Event, n_seen: int = 1_000_000, **options: Any) -> Run:
    """A run whose churn score is what the script says from a time after T0 on."""
    models = FixedModels({T0 + after: (score, 0.0) for after, score in churn.items()})
    models.n_seen = n_seen
    run = Run(models=models, **options)
    run.feed(events)
    return run


def told(run: Run, flag: str = CHURN_RISK) -> list[tuple[str, int]]:
    return [(a.op, a.at - T0) for a in run.alerts if a.flag == flag]


def profile(event_id: str, after: int, **attributes: Any) -> Event:
    return trace(event_id, after, "profile", None, attributes=attributes)


def word(event_id: str, after: int, state: str, until: int | None = None) -> Event:
    end = None if until is None else T0 + until
    return Event(event_id, "c", T0 + after, "override", flag=CHURN_RISK, state=state, until=end)


@pytest.mark.parametrize(("score", "raised"), [(0.8, True), (0.7999, False)])
def test_a_score_flag_is_raised_at_its_line(score: float, raised: bool) -> None:
    run = scripted({0: score}, trace("a", 0))
    assert told(run) == ([("raise", 0)] if raised else [])
    if raised:
        (alert,) = run.alerts
        assert (alert.since, alert.until, alert.severity) == (T0, None, "high")
        assert alert.alert_id == alert_id(CHURN_RISK, "c", None, "a")
        assert alert.scores["churn"] == score


@pytest.mark.parametrize(("score", "cleared"), [(0.79, False), (0.7, False), (0.6999, True)])
def test_a_score_flag_is_cleared_only_under_its_lower_line(score: float, cleared: bool) -> None:
    run = scripted({0: 0.9, 3 * DAY: score}, trace("a", 0), trace("b", 3 * DAY))
    assert told(run)[1:] == ([("clear", 3 * DAY)] if cleared else [])


def test_a_score_flag_stays_up_for_its_minimum_hold() -> None:
    run = scripted({0: 0.9, 1: 0.1}, trace("a", 0), trace("b", 1), trace("c", DAY - 1))
    assert told(run) == [("raise", 0)]
    run.feed([trace("d", DAY)])
    assert told(run) == [("raise", 0), ("clear", DAY)]


def test_a_score_flag_is_looked_at_again_in_silence() -> None:
    run = scripted({0: 0.9, 1: 0.1}, trace("a", 0), trace("b", HOUR))
    run.tick(T0 + HOUR + DAY)
    assert told(run) == [("raise", 0)]
    run.tick(T0 + HOUR + DAY + 1)
    assert told(run) == [("raise", 0), ("clear", HOUR + DAY)]


@pytest.mark.parametrize(("gap", "raised"), [(DAY, DAY), (DAY + 1, 2 * DAY), (3 * DAY, 4 * DAY), (5 * DAY, 8 * DAY)])
def test_silence_shorter_than_the_own_median_gap_raises_nothing(gap: int, raised: int) -> None:
    last = 4 * gap
    run = scripted({0: 0.1, last: 0.95}, *(trace(f"e{i}", i * gap) for i in range(5)))
    run.tick(T0 + last + 20 * DAY)
    assert told(run) == [("raise", last + raised)]
    (alert,) = [a for a in run.alerts if a.flag == CHURN_RISK]
    assert alert.alert_id == alert_id(CHURN_RISK, "c", None, T0 + last + raised)


@pytest.mark.parametrize(
    ("end", "raised"),
    [
        (float(T0 + 30 * DAY), True),  # a number that is no integer is no time
        (T0 + 30 * DAY, False),
        (T0 + 30 * DAY + 1, True),
        (T0 - DAY, False),
        ("2023-12-14T22:00:00Z", False),
        ("2023-12-14T22:00:00.001Z", True),
        ("2023-12-14", False),
        ("2023-12-15", True),
        ("soon", True),
        (True, True),
    ],
)
def test_who_is_expected_to_leave_within_the_horizon_is_no_risk(end: object, raised: bool) -> None:
    run = scripted({0: 0.9}, profile("p", -1, expected_end=end), trace("a", 0))
    assert told(run) == ([("raise", 0)] if raised else [])


def test_an_expected_end_takes_the_flag_down_at_the_next_score_whatever_the_hold() -> None:
    end = profile("p", 1, expected_end=T0 + 10 * DAY)
    run = scripted({0: 0.9}, trace("a", 0), end, trace("b", 2))
    assert told(run) == [("raise", 0), ("clear", 2)]


@pytest.mark.parametrize("leave", LEAVES, ids=["cancel", "lapsed"])
def test_nobody_is_at_risk_of_what_they_have_done(leave: dict[str, Any]) -> None:
    run = scripted({0: 0.9}, trace("a", 0), trace("x", 1, **leave))
    assert told(run) == [("raise", 0), ("clear", 1)]


@pytest.mark.parametrize(("n_seen", "raised"), [(WARM_AFTER - 1, False), (WARM_AFTER, True)])
def test_a_learner_that_has_seen_next_to_nothing_raises_nothing(n_seen: int, raised: bool) -> None:
    assert bool(told(scripted({0: 0.9}, trace("a", 0), n_seen=n_seen))) == raised


def test_a_cold_learner_may_still_clear() -> None:
    run = scripted({0: 0.9, DAY: 0.1}, trace("a", 0))
    assert run.fixed is not None
    run.fixed.n_seen = 0
    run.feed([trace("b", DAY)])
    assert told(run) == [("raise", 0), ("clear", DAY)]


# -- a person's word on a score flag -----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"forgetful": True}])
def test_up_by_a_person_holds_until_its_end_and_not_longer(options: dict[str, bool]) -> None:
    run = scripted({0: 0.1}, trace("a", 0), **options)
    run.feed([word("o", HOUR, "up", 5 * HOUR), trace("b", 2 * HOUR), trace("d", 5 * HOUR)], 1)
    assert told(run) == [("raise", HOUR)]
    (alert,) = [a for a in run.alerts if a.flag == CHURN_RISK]
    assert (alert.severity, alert.until, alert.evidence) == ("override", T0 + 5 * HOUR, ["o"])
    run.tick(T0 + 5 * HOUR + 1)
    assert told(run) == [("raise", HOUR), ("clear", 5 * HOUR)]


def test_up_without_an_end_holds_until_auto() -> None:
    run = scripted({0: 0.1}, trace("a", 0), word("o", 1, "up"), tick(T0 + 90 * DAY))
    assert told(run) == [("raise", 1)]
    run.feed([word("p", 91 * DAY, "auto")])
    assert told(run) == [("raise", 1), ("clear", 91 * DAY)]


def test_up_by_a_person_needs_no_score() -> None:
    run = scripted({}, word("o", 0, "up", DAY), tick(T0 + DAY + 1), forgetful=True)
    assert told(run) == [("raise", 0), ("clear", DAY)]


def test_down_by_a_person_clears_at_once_and_its_end_gives_the_rule_its_word_back() -> None:
    run = scripted(
        {0: 0.9}, trace("a", 0), word("o", HOUR, "down", 5 * HOUR), trace("b", 2 * HOUR), tick(T0 + 5 * HOUR)
    )
    assert told(run) == [("raise", 0), ("clear", HOUR)]
    run.tick(T0 + 5 * HOUR + 1)
    assert told(run) == [("raise", 0), ("clear", HOUR), ("raise", 5 * HOUR)]
    first, _, again = [a for a in run.alerts if a.flag == CHURN_RISK]
    assert (again.alert_id, again.since, again.severity) == (first.alert_id, T0, "high")


def test_a_score_says_nothing_while_a_person_says_down() -> None:
    run = scripted({0: 0.9}, word("o", -1, "down"), trace("a", 0), tick(T0 + 30 * DAY))
    assert told(run) == []
    run.feed([word("p", 31 * DAY, "auto")])
    assert told(run) == [("raise", 31 * DAY)]


def test_what_ended_under_a_persons_down_is_not_raised_when_the_word_ends() -> None:
    run = scripted(
        {0: 0.9, DAY: 0.1}, trace("a", 0), word("o", 1, "down", 2 * DAY), trace("b", DAY), tick(T0 + 3 * DAY)
    )
    assert told(run) == [("raise", 0), ("clear", 1)]


def test_up_by_the_rule_and_by_a_person_is_one_episode_since_the_earlier() -> None:
    run = scripted({0: 0.9}, trace("a", 0), word("o", HOUR, "up", 2 * HOUR), tick(T0 + 3 * HOUR))
    first, worse, back = [a for a in run.alerts if a.flag == CHURN_RISK]
    assert [(a.op, a.since, a.until) for a in (first, worse, back)] == [
        ("raise", T0, None),
        ("update", T0, None),
        ("update", T0, None),
    ]
    assert [a.severity for a in (first, worse, back)] == ["high", "override", "high"]
    assert len({a.alert_id for a in (first, worse, back)}) == 1


# -- the own normal ----------------------------------------------------------------------------------------------


def daily(last: int, low: dict[int, float]) -> Run:
    """An act a day up to day `last`, engagement 10; `low` has other scores from a time after T0 on."""
    script = {T0: (0.1, 10.0), **{T0 + after: (0.1, score) for after, score in low.items()}}
    run = Run(models=FixedModels(script))
    run.feed(trace(f"e{i:03}", i * DAY, "view", None) for i in range(last + 1))
    return run


def test_the_own_normal_is_known_28_days_after_the_first_score() -> None:
    run = daily(27, {20 * DAY: 1.0})
    run.feed([trace("just-before", 28 * DAY - 1, "view", None)])
    assert told(run, DROP) == []
    run.feed([trace("at", 28 * DAY, "view", None)])
    assert told(run, DROP) == [("raise", 28 * DAY)]


@pytest.mark.parametrize(("score", "raised"), [(4.9, True), (5.1, False)])
def test_a_drop_is_less_than_half_of_the_own_normal(score: float, raised: bool) -> None:
    run = daily(40, {40 * DAY: score})
    assert told(run, DROP) == ([("raise", 40 * DAY)] if raised else [])


@pytest.mark.parametrize(("score", "cleared"), [(5.5, False), (6.5, True)])
def test_a_drop_is_over_above_the_upper_line_of_the_own_normal(score: float, cleared: bool) -> None:
    # Two days of a low score weigh little against forty.
    run = daily(42, {40 * DAY: 4.5, 42 * DAY: score})
    assert told(run, DROP) == [("raise", 40 * DAY), *([("clear", 42 * DAY)] if cleared else [])]


def test_a_drop_has_its_minimum_hold_too() -> None:
    run = daily(40, {40 * DAY: 1.0, 40 * DAY + 1: 10.0})
    run.feed([trace("x", 41 * DAY - 1, "view", None)])
    assert told(run, DROP) == [("raise", 40 * DAY)]
    run.feed([trace("y", 41 * DAY, "view", None)])
    assert told(run, DROP) == [("raise", 40 * DAY), ("clear", 41 * DAY)]


SCORES = st.lists(
    st.tuples(st.sampled_from((0, 1, HOUR, DAY - 1, DAY, 3 * DAY, 30 * DAY)), st.floats(0.01, 100.0)),
    min_size=1,
    max_size=25,
)


@settings(QUICK, max_examples=100)
@given(SCORES)
def test_the_own_normal_is_the_decayed_mean_of_the_days_before(scores: list[tuple[int, float]]) -> None:
    normal, at, by_day = OwnNormal(), T0, dict[int, list[float]]()
    for gap, score in scores:
        at += gap
        by_day.setdefault(at // DAY, []).append(score)
        normal.update(score, at)
    today = at // DAY
    before = {day: sum(day_scores) / len(day_scores) for day, day_scores in by_day.items() if day < today}
    got = normal.get(at)
    if at - T0 - scores[0][0] < 28 * DAY:
        assert got is None
        return
    weights = {day: 0.5 ** ((today - day) / 56) for day in before}
    expected = sum(weights[day] * mean for day, mean in before.items()) / sum(weights.values())
    assert got == pytest.approx(expected, rel=1e-9)
