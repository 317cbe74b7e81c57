"""The ranking of scores against the sorted list, on plain streams and on nasty ones."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import SnapshotDamaged
from models.score_histogram import COUNTS_KEPT, HistogramState, ScoreHistogram

Scored = list[tuple[float, bool]]
Draw = Callable[[random.Random], tuple[float, bool]]
scored_of = st.lists(st.tuples(st.floats(-50.0, 50.0), st.booleans()), max_size=40)


def counted(scored: Scored) -> ScoreHistogram:
    histogram = ScoreHistogram()
    for logit, y in scored:
        histogram.add(logit, y)
    return histogram


def exact(scored: Scored) -> tuple[float, float]:
    """AUC (ties half) and average precision (a tie is one place) of the sorted list."""
    ordered = sorted(scored, reverse=True)
    yes_above = no_above = i = 0
    won = precision = 0.0
    while i < len(ordered):
        j = i
        while j < len(ordered) and ordered[j][0] == ordered[i][0]:
            j += 1
        yes = sum(y for _, y in ordered[i:j])
        no = j - i - yes
        won += no * (yes_above + yes / 2)
        yes_above, no_above = yes_above + yes, no_above + no
        precision += yes * yes_above / (yes_above + no_above)
        i = j
    return won / (yes_above * no_above), precision / yes_above


def sigmoid(logit: float) -> float:
    return 1.0 / (1.0 + math.exp(-max(min(logit, 700.0), -700.0)))


def gaussian(mean: float, sd: float, slope: float = 1.0) -> Draw:
    """Gaussian logits; `slope` 1 is a calibrated score, 200 a shy one, -1 one that is upside down."""

    def draw(rng: random.Random) -> tuple[float, bool]:
        logit = rng.gauss(mean, sd)
        return logit, rng.random() < sigmoid(mean + slope * (logit - mean))

    return draw


def logit_of(p: float) -> float:
    return -40.0 if p <= 0.0 else 40.0 if p >= 1.0 else math.log(p) - math.log1p(-p)


def beta(a: float, b: float, floor: float = 0.0) -> Draw:
    def draw(rng: random.Random) -> tuple[float, bool]:
        p = rng.betavariate(a, b)
        return logit_of(p), rng.random() < min(max(p, floor), 1.0 - floor)

    return draw


def narrow_with_outliers(rng: random.Random) -> tuple[float, bool]:
    if rng.random() < 0.01:
        p = rng.random()
        return logit_of(p), rng.random() < 0.5
    logit = rng.gauss(-1.0, 0.02)
    return logit, rng.random() < sigmoid(50.0 * (logit + 1.0))


def half_one_score(rng: random.Random) -> tuple[float, bool]:
    p = 0.3 if rng.random() < 0.5 else rng.random()
    return logit_of(p), rng.random() < p


def in_tenths(rng: random.Random) -> tuple[float, bool]:
    p = rng.randrange(11) / 10
    return logit_of(p), rng.random() < p


def few_yes(rng: random.Random) -> tuple[float, bool]:
    p = rng.random()
    return logit_of(p), rng.random() < 0.01 * p**3


def perfect(rng: random.Random) -> tuple[float, bool]:
    logit = rng.gauss(0.0, 1.0)
    return logit, logit > 2.0


STREAMS: dict[str, Draw] = {
    "like CDNOW": gaussian(0.6, 1.0),
    "like CollegeMsg": gaussian(-2.0, 1.0),
    "narrow": gaussian(0.0, 0.3),
    "wide": gaussian(1.0, 4.0),
    "rare yes": gaussian(-7.0, 1.0),
    "rare yes, wide": gaussian(-3.0, 2.0),
    "hardly learned": gaussian(0.0, 0.01),
    "shy": gaussian(0.0, 0.01, slope=200.0),
    "upside down": gaussian(0.0, 1.0, slope=-1.0),
    "past the limits": gaussian(0.0, 20.0),
    "skewed": beta(0.5, 50.0),
    "saturated": beta(0.05, 0.05, floor=0.1),
    "narrow with outliers": narrow_with_outliers,
    "half one score": half_one_score,
    "in tenths": in_tenths,
    "few yes": few_yes,
    "perfect": perfect,
}


@pytest.mark.parametrize("n", [3_000, 30_000])
@pytest.mark.parametrize("name", STREAMS)
def test_ranking_is_within_two_thousandths_of_the_sorted_list(name: str, n: int) -> None:
    rng = random.Random(31)
    scored = [STREAMS[name](rng) for _ in range(n)]
    auc, average_precision = exact(scored)
    ranking = counted(scored).ranking()
    assert ranking.auc == pytest.approx(auc, abs=0.002)
    assert ranking.average_precision == pytest.approx(average_precision, abs=0.002)


def test_up_to_256_scores_are_ranked_exactly() -> None:
    rng = random.Random(32)
    scores = [rng.gauss(0.0, 3.0) for _ in range(COUNTS_KEPT // 2)]
    scored = [(logit, rng.random() < 0.4) for logit in rng.choices(scores, k=5_000)]
    auc, average_precision = exact(scored)
    ranking = counted(scored).ranking()
    assert ranking.auc == pytest.approx(auc, abs=1e-12)
    assert ranking.average_precision == pytest.approx(average_precision, abs=1e-12)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.integers(0, 2_000), st.integers(0, 2_000), st.floats(0.001, 30.0))
def test_parts_merged_in_any_order_are_the_whole_exactly(seed: int, n_left: int, n_right: int, sd: float) -> None:
    rng = random.Random(seed)
    left = [(rng.gauss(0.0, sd), rng.random() < 0.3) for _ in range(n_left)]
    right = [(rng.gauss(1.0, 1.0), rng.random() < 0.5) for _ in range(n_right)]
    one, other = counted(left), counted(right)
    other.merge(one)
    one.merge(counted(right))
    whole = counted(left + right).state()
    assert one.state() == other.state() == whole
    assert len(whole.counts) <= COUNTS_KEPT
    assert sum(whole.counts) == n_left + n_right


@settings(deadline=None)
@given(scored_of, scored_of)
def test_a_stored_histogram_goes_on(left: Scored, right: Scored) -> None:
    kept = counted(left)
    stored = ScoreHistogram.of(kept.state())
    for logit, y in right:
        kept.add(logit, y)
        stored.add(logit, y)
    assert stored.state() == kept.state()
    assert stored.ranking() == kept.ranking()


def test_without_both_outcomes_nothing_is_ranked() -> None:
    assert ScoreHistogram().ranking() == (None, None)
    assert counted([(0.0, False)]).ranking() == (None, None)
    assert counted([(0.0, True)]).ranking() == (None, 1.0)


@pytest.mark.parametrize(
    "state",
    [
        HistogramState(0, [1, 0], [1, 1]),
        HistogramState(0, [-1], [1]),
        HistogramState(0, [1], [0]),
        HistogramState(0, [1], []),
        HistogramState(-1, [1], [1]),
        HistogramState(99, [1], [1]),
        HistogramState(20, [100_000], [1]),
        HistogramState(0, [1] * (COUNTS_KEPT + 1), [1] * (COUNTS_KEPT + 1)),
    ],
)
def test_a_state_that_no_histogram_gave_is_refused(state: HistogramState) -> None:
    with pytest.raises(SnapshotDamaged):
        ScoreHistogram.of(state)
