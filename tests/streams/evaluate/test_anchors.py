"""Anchors see nothing later than the start of a block, and are what they say they are."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec

import numpy as np
import pytest

from engine.features import FEATURES
from streams.evaluate.activity import Activity
from streams.evaluate.anchor import Anchor, Asked, BoostedTrees, Known, LogisticRegression, anchors
from streams.evaluate.history import Floats, History, Purchases
from streams.evaluate.instances import Instances, judged
from streams.evaluate.logistic import LogisticFit
from streams.evaluate.protocol import Protocol
from streams.evaluate.walk import examples, walk
from tests.streams.evaluate.logs import DAY, T0, Row, Score, predictions_of, scores_at_events, steady_log

RULES = Protocol(14.0, 40.0, kinds=("purchase",), block_d=20.0)
needs_trees = pytest.mark.skipif(not BoostedTrees.is_available(), reason="scikit-learn is an extra")


def here(trigger: str) -> list[Anchor]:
    return [each for each in anchors(trigger) if each.needs is None or find_spec("sklearn") is not None]


def silences(rows: list[Row]) -> list[Score]:
    return [Score(row[0], row[2] + days * DAY, None, 0.5) for row in rows for days in (1, 4, 8)]


def said(rows: list[Row], rules: Protocol, trigger: str) -> tuple[Instances, dict[str, Floats]]:
    activity = Activity(rows)
    history = History(activity, rules)
    scores = scores_at_events(rows) if trigger == "event" else silences(rows)
    chosen = np.arange(len(activity))
    asked = judged(predictions_of(activity, scores), history, rules, chosen=chosen, silence=trigger == "silence")
    return asked, walk(here(trigger), asked, history, rules, examples(history, rules, trigger))


@pytest.mark.parametrize("trigger", ["event", "silence"])
@pytest.mark.parametrize("per_day", [False, True])
def test_what_comes_later_changes_no_earlier_prediction(trigger: str, per_day: bool) -> None:
    rules = Protocol(14.0, 40.0, per_day=per_day, kinds=("purchase",), block_d=20.0)
    rows = steady_log(step_ms=DAY if per_day else 1)
    cut = T0 + 80 * DAY
    rng = np.random.default_rng(5)
    # From the start of the third block on another world: other times, other values, nobody silent.
    later = [
        (f"c{int(rng.integers(60))}", f"x{number}", cut + int(rng.integers(60 * DAY)), "purchase", 500.0)
        for number in range(400)
    ]
    other = [row for row in rows if row[2] < cut] + sorted(later, key=lambda row: row[2])
    asked, before = said(rows, rules, trigger)
    changed, after = said(other, rules, trigger)
    n_same = 0
    names = [Activity(each).names for each in (rows, other)]
    found = {
        (names[1][customer], at): place
        for place, (customer, at) in enumerate(zip(changed.customer.tolist(), changed.at_d.tolist(), strict=True))
    }
    for place, (customer, at) in enumerate(zip(asked.customer.tolist(), asked.at_d.tolist(), strict=True)):
        if at < 80.0:
            twin = found[names[0][customer], at]
            n_same += 1
            for name in before:
                assert before[name][place] == pytest.approx(after[name][twin], abs=1e-12), name
    assert n_same > 100
    assert set(before) == {each.name for each in here(trigger)}


def test_a_block_knows_only_windows_that_are_over() -> None:
    rows = steady_log()
    activity = Activity(rows)
    history = History(activity, RULES)
    learned = examples(history, RULES, "event")
    asked = judged(predictions_of(activity, scores_at_events(rows)), history, RULES, chosen=np.arange(len(activity)))
    seen: list[int] = []

    class Spy:
        name = "spy"
        refits = True
        needs: str | None = None

        def fit(self, known: Known) -> None:
            seen.append(len(known.y))

        def predict(self, asked: Asked) -> Floats:
            return np.full(len(asked.x), 0.5)

    walk([Spy()], asked, history, RULES, learned)
    starts = [40.0, 60.0, 80.0, 100.0]
    assert seen == [int((learned.at_d + 14.0 < start).sum()) for start in starts]


def test_what_is_fitted_once_is_fitted_at_the_first_block() -> None:
    fits: list[int] = []

    class Once(LogisticRegression):
        def fit(self, known: Known) -> None:
            fits.append(len(known.y))
            super().fit(known)

    rows = steady_log()
    activity = Activity(rows)
    history = History(activity, RULES)
    asked = judged(predictions_of(activity, scores_at_events(rows)), history, RULES, chosen=np.arange(len(activity)))
    walk([Once("once", refits=False)], asked, history, RULES, examples(history, RULES, "event"))
    assert len(fits) == 1


@pytest.mark.parametrize("trigger", ["event", "silence"])
def test_with_few_examples_every_anchor_says_a_probability(trigger: str) -> None:
    nobody = Purchases(np.empty(0), np.empty(0), np.empty(0))
    known = Known(np.zeros((3, len(FEATURES))), np.array([1, 1, 1]), nobody)
    one = Purchases(np.array([0.0]), np.array([0.0]), np.array([3.0]))
    asked = Asked(np.zeros((1, len(FEATURES))), one, 14.0)
    for each in here(trigger):
        each.fit(known)
        assert each.predict(asked).tolist() == [0.8], each.name


def test_the_regression_is_at_its_minimum() -> None:
    rng = np.random.default_rng(7)
    x = rng.normal(2.0, 3.0, (400, 4))
    x[:, 3] = 5.0  # a constant column says nothing
    y = (rng.uniform(size=400) < 1 / (1 + np.exp(-x[:, 0] + 2))).astype(np.int64)
    fit = LogisticFit(x, y)
    p = fit.predict(x)
    # At the minimum the mean probability is the base rate, and the penalty balances every other gradient.
    assert p.mean() == pytest.approx(y.mean(), abs=1e-8)
    assert fit._weights[3] == 0.0
    z = (x[:, :3] - x[:, :3].mean(axis=0)) / x[:, :3].std(axis=0)
    assert (z.T @ (p - y) + fit._weights[:3]).tolist() == pytest.approx([0, 0, 0], abs=1e-6)


def test_the_regression_survives_classes_that_a_line_separates() -> None:
    x = np.r_[np.full(50, -1.0), np.full(50, 1e6)][:, None]
    p = LogisticFit(x, np.repeat([0, 1], 50)).predict(x)
    assert np.isfinite(p).all()
    assert p[0] < 0.1 < 0.9 < p[-1]


@needs_trees
def test_the_regression_is_that_of_scikit_learn() -> None:
    linear, scaling = import_module("sklearn.linear_model"), import_module("sklearn.preprocessing")
    rng = np.random.default_rng(8)
    x = rng.gamma(2.0, 2.0, (500, 5))
    y = (rng.uniform(size=500) < 1 / (1 + np.exp(3 - x[:, 0]))).astype(np.int64)
    scaled = scaling.StandardScaler().fit(x)
    theirs = linear.LogisticRegression(C=1.0, tol=1e-10, max_iter=1000).fit(scaled.transform(x), y)
    wanted = theirs.predict_proba(scaled.transform(x))[:, 1]
    assert np.abs(LogisticFit(x, y).predict(x) - wanted).max() < 1e-6
