"""Instances, labels and figures equal those of plain loops over the same log."""

from __future__ import annotations

from math import inf, isnan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.features import Traits
from streams.evaluate.activity import Activity
from streams.evaluate.figures import area, area_error, difference, figures, losses, reliability
from streams.evaluate.history import History
from streams.evaluate.instances import judged
from streams.evaluate.protocol import Protocol
from tests.streams.evaluate.logs import DAY, T0, Row, Score, brute_figures, brute_force, predictions_of

HALF = DAY // 2
times = st.one_of(
    st.integers(0, 40).map(lambda day: T0 + day * DAY),
    st.integers(0, 80).map(lambda half: T0 + half * HALF),
    st.integers(0, 40 * DAY).map(lambda ms: T0 + ms),
)
customers = st.sampled_from(["a", "b", "c"])


@st.composite
def logs(draw: st.DrawFn) -> tuple[list[Row], list[Score]]:
    kinds = st.sampled_from(["purchase", "view"])
    rows = [
        (draw(customers), f"e{number}", draw(times), draw(kinds), draw(st.sampled_from([0.0, 5.5, -1.0])))
        for number in range(draw(st.integers(1, 25)))
    ]
    scores = []
    for customer, event_id, ts, _, _ in rows:
        # The engine stamps a late event's score with the time of the newest act.
        newest = max(row[2] for row in rows if row[0] == customer)
        at = draw(st.sampled_from([ts, ts, newest]))
        scores.append(Score(customer, at, event_id, draw(st.floats(0, 1))))
        for days in draw(st.lists(st.sampled_from([1, 2, 4]), max_size=2)):
            scores.append(Score(customer, at + days * DAY, None, draw(st.floats(0, 1))))
    return rows, scores


protocols = st.builds(
    Protocol,
    horizon_d=st.sampled_from([0.5, 1.0, 7.0, 10.0]),
    from_d=st.sampled_from([0.0, 3.0, 4.5]),
    until_d=st.sampled_from([inf, 20.0, 33.5]),
    per_day=st.booleans(),
    kinds=st.sampled_from([("purchase",), ("purchase", "view")]),
)


@given(logs(), protocols, st.booleans())
def test_instances_and_labels_are_those_of_plain_loops(
    log: tuple[list[Row], list[Score]], rules: Protocol, silence: bool
) -> None:
    rows, scores = log
    if not any(row[3] in rules.kinds for row in rows):
        return
    activity = Activity(rows)
    history = History(activity, rules)
    chosen = np.flatnonzero(activity.chosen(rules.kinds))
    found = judged(predictions_of(activity, scores), history, rules, chosen=chosen, silence=silence)
    names = [activity.names[number] for number in found.customer.tolist()]
    got = list(zip(names, found.at_d.tolist(), found.churn.tolist(), found.label.tolist(), strict=True))
    assert got == brute_force(rows, scores, rules, silence=silence)


@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 1)), min_size=1, max_size=60))
def test_figures_are_those_of_plain_loops(pairs: list[tuple[float, int]]) -> None:
    p, y = np.array([each[0] for each in pairs]), np.array([each[1] for each in pairs])
    got, wanted = figures(p, y)._asdict(), brute_figures(pairs)
    assert isnan(got["auc"]) == isnan(wanted["auc"])
    assert got == pytest.approx(wanted, nan_ok=True, abs=1e-12)
    assert sum(each.n for each in reliability(p, y)) == len(pairs)


@given(logs(), st.booleans())
def test_features_are_those_of_traits_at_any_time(log: tuple[list[Row], list[Score]], per_day: bool) -> None:
    rows, scores = log
    activity = Activity(rows)
    rules = Protocol(7.0, 0.0, per_day=per_day, kinds=("purchase", "view"))
    history = History(activity, rules)
    asked = [(s.customer, s.at) for s in scores if any(r[0] == s.customer and r[2] <= s.at for r in rows)]
    customer = np.array([activity.numbers[name] for name, _ in asked], dtype=np.int64)
    tick = history.ticks(np.array([at for _, at in asked], dtype=np.int64))
    got = history.features(customer, tick)
    for place, (name, at) in enumerate(asked):
        traits = Traits()
        for _, _, ts, _, value in sorted((row for row in rows if row[0] == name), key=lambda row: row[2]):
            if ts // DAY <= at // DAY if per_day else ts <= at:
                traits.update(ts // DAY * DAY if per_day else ts, value)
        wanted = traits.vector(at // DAY * DAY if per_day else at)
        assert got[place].tolist() == pytest.approx(wanted, abs=1e-9)


def test_an_act_exactly_at_the_end_of_the_window_is_no_churn() -> None:
    rows: list[Row] = [("a", "1", T0, "view", 0.0), ("a", "2", T0 + 7 * DAY, "view", 0.0)]
    history = History(Activity(rows), Protocol(7.0, 0.0, kinds=("view",)))
    zero = np.zeros(1, dtype=np.int64)
    assert history.churned(zero, zero, 7.0).tolist() == [0]
    assert history.churned(zero, zero, 6.99).tolist() == [1]
    assert history.n_within(zero, zero, 7.0).tolist() == [1]


def test_a_difference_has_the_error_of_a_bootstrap_over_customers() -> None:
    rng = np.random.default_rng(3)
    customer = np.repeat(np.arange(80), rng.integers(1, 12, 80))
    ours = rng.normal(0, 1, 80)[customer] + rng.normal(0, 0.2, len(customer))
    theirs = np.zeros(len(customer))
    mean, error = difference(ours, theirs, customer)
    drawn = []
    for _ in range(3000):
        times = np.bincount(rng.integers(80, size=80), minlength=80)[customer]
        drawn.append((times * ours).sum() / times.sum())
    assert mean == pytest.approx(ours.mean())
    assert error == pytest.approx(np.std(drawn), rel=0.1)
    # Taking events for the sample would claim far more than is known.
    assert error > 1.5 * ours.std() / np.sqrt(len(ours))


def test_the_error_of_an_area_counts_customers_and_not_their_events() -> None:
    rng = np.random.default_rng(4)
    y = rng.integers(0, 2, 100)
    p = np.clip(rng.normal(0.4 + 0.2 * y, 0.2), 0, 1)
    alone = area_error(p, y, np.arange(100))
    tenfold = area_error(np.tile(p, 10), np.tile(y, 10), np.tile(np.arange(100), 10))
    assert tenfold == pytest.approx(alone, rel=1e-9)
    assert area(p, y, np.ones(100)) == area(p, y)
    assert losses(np.array([0.0]), np.array([1])).tolist() == pytest.approx([-np.log(1e-4)])
