"""Progressive metrics against their definitions on whole lists."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import InputRefused, SnapshotDamaged, SnapshotError
from models.metrics import ClassificationMetrics, CountMetrics, _ClassificationState
from models.score_histogram import HistogramState
from models.snapshot import pack, unpack

Pairs = list[tuple[float, bool]]
pairs_of = st.lists(st.tuples(st.floats(0.0, 1.0), st.booleans()), max_size=60)


def counted(pairs: Pairs) -> ClassificationMetrics:
    metrics = ClassificationMetrics()
    for p, y in pairs:
        metrics.update(p, y)
    return metrics


def exact_auc(pairs: Pairs) -> float:
    """By ranks, ties counted half."""
    ordered = sorted(pairs)
    rank_sum, i = 0.0, 0
    while i < len(ordered):
        j = i
        while j < len(ordered) and ordered[j][0] == ordered[i][0]:
            j += 1
        rank_sum += (i + j + 1) / 2 * sum(y for _, y in ordered[i:j])
        i = j
    n_yes = sum(y for _, y in pairs)
    return (rank_sum - n_yes * (n_yes + 1) / 2) / (n_yes * (len(pairs) - n_yes))


def exact_average_precision(pairs: Pairs) -> float:
    hits, total = 0, 0.0
    for rank, (_, y) in enumerate(sorted(pairs, reverse=True), start=1):
        if y:
            hits += 1
            total += hits / rank
    return total / hits


def drawn(n: int, base_logit: float, spread: float, seed: int) -> Pairs:
    rng = random.Random(seed)
    out = []
    for _ in range(n):
        p = 1.0 / (1.0 + math.exp(-rng.gauss(base_logit, spread)))
        out.append((p, rng.random() < p))
    return out


@pytest.mark.parametrize(("base_logit", "spread"), [(0.0, 0.3), (0.0, 1.0), (-2.0, 1.0), (-3.0, 2.0), (1.0, 4.0)])
def test_auc_and_average_precision_are_those_of_the_sorted_list(base_logit: float, spread: float) -> None:
    pairs = drawn(5000, base_logit, spread, seed=21)
    figures = counted(pairs).get()
    assert abs(figures["auc"] - exact_auc(pairs)) <= 0.002
    assert abs(figures["average_precision"] - exact_average_precision(pairs)) <= 0.002


def test_a_constant_score_ranks_nothing() -> None:
    figures = counted([(0.3, i % 5 == 0) for i in range(100)]).get()
    assert figures["auc"] == 0.5
    assert figures["average_precision"] == pytest.approx(0.2)


@settings(deadline=None)
@given(pairs_of)
def test_sums_are_those_of_the_definitions(pairs: Pairs) -> None:
    figures = counted(pairs).get()
    n = len(pairs)
    assert figures["n"] == n
    if not n:
        assert figures == {"n": 0.0}
        return
    clipped = [(min(max(p, 1e-4), 1 - 1e-4), y) for p, y in pairs]
    ece = 0.0
    for decile in range(10):
        ece += abs(sum(p - y for p, y in pairs if min(int(p * 10), 9) == decile))
    assert figures["base_rate"] == pytest.approx(sum(y for _, y in pairs) / n)
    assert figures["mean_p"] == pytest.approx(sum(p for p, _ in pairs) / n)
    assert figures["log_loss"] == pytest.approx(-sum(math.log(p if y else 1 - p) for p, y in clipped) / n)
    assert figures["brier"] == pytest.approx(sum((p - y) ** 2 for p, y in pairs) / n)
    assert figures["ece"] == pytest.approx(ece / n, abs=1e-12)
    assert ("auc" in figures) == (0 < sum(y for _, y in pairs) < n)
    assert ("average_precision" in figures) == any(y for _, y in pairs)
    assert all(math.isfinite(figure) for figure in figures.values())


@settings(deadline=None)
@given(pairs_of, pairs_of)
def test_merged_parts_are_the_whole(left: Pairs, right: Pairs) -> None:
    merged, other = counted(left), counted(right)
    before = other.snapshot()
    merged.merge(other)
    assert merged.get() == pytest.approx(counted(left + right).get())
    assert other.snapshot() == before


@settings(deadline=None)
@given(pairs_of, pairs_of)
def test_a_stored_metric_goes_on_to_the_bit(left: Pairs, right: Pairs) -> None:
    kept = counted(left)
    stored = ClassificationMetrics.restore(kept.snapshot())
    for p, y in right:
        kept.update(p, y)
        stored.update(p, y)
    assert stored.get() == kept.get()
    assert stored.snapshot() == kept.snapshot()


def test_reliability_table_has_a_line_per_tenth() -> None:
    table = counted([(0.05, False), (0.07, True), (1.0, True)]).reliability()
    assert len(table) == 10
    assert table[0] is not None
    assert (table[0].n, table[0].share) == (2, 0.5)
    assert table[0].mean_p == pytest.approx(0.06)
    assert table[9] == (1, 1.0, 1.0)
    assert table[1:9] == [None] * 8


def test_snapshot_holds_only_the_bins_in_use() -> None:
    assert len(counted([(0.5, True)]).snapshot()) < 200
    assert len(counted(drawn(5000, 0.0, 1.0, seed=22)).snapshot()) < 2200


@pytest.mark.parametrize("p", [math.nan, -0.1, 1.1, math.inf])
def test_a_score_that_is_no_probability_is_refused_and_not_counted(p: float) -> None:
    metrics = ClassificationMetrics()
    with pytest.raises(InputRefused):
        metrics.update(p, True)
    assert metrics.n == 0


@pytest.mark.parametrize(("name", "value"), [("decile_n", [1]), ("scores", HistogramState(0, [0, 0], [1, 1]))])
def test_sums_of_another_shape_are_refused(name: str, value: object) -> None:
    state = unpack("classification_metrics/2", counted([(0.5, True)]).snapshot(), _ClassificationState)
    setattr(state, name, value)
    with pytest.raises(SnapshotDamaged):
        ClassificationMetrics.restore(pack("classification_metrics/2", state))


counts_of = st.lists(st.tuples(st.floats(0.0, 1e6), st.integers(0, 1000)), max_size=40)


def counted_counts(pairs: list[tuple[float, int]]) -> CountMetrics:
    metrics = CountMetrics()
    for p, y in pairs:
        metrics.update(p, float(y))
    return metrics


@given(counts_of, counts_of)
def test_count_metrics_are_those_of_the_definitions_and_merge(
    left: list[tuple[float, int]], right: list[tuple[float, int]]
) -> None:
    metrics = counted_counts(left)
    metrics.merge(CountMetrics.restore(counted_counts(right).snapshot()))
    pairs = [(max(p, 1e-4), y) for p, y in left + right]
    n = len(pairs)
    if not n:
        assert metrics.get() == {"n": 0.0}
        return
    deviance = sum(2 * ((y * math.log(y / p) if y else 0.0) - (y - p)) for p, y in pairs) / n
    assert metrics.get() == pytest.approx(
        {
            "n": n,
            "mean_y": sum(y for _, y in pairs) / n,
            "mean_p": sum(p for p, _ in pairs) / n,
            "mae": sum(abs(p - y) for p, y in pairs) / n,
            "poisson_deviance": deviance,
        }
    )


def test_a_perfect_count_has_no_deviance() -> None:
    assert counted_counts([(3.0, 3), (7.0, 7)]).get()["poisson_deviance"] == 0.0


@pytest.mark.parametrize(("p", "y"), [(math.nan, 1.0), (1.0, -1.0), (math.inf, 1.0), (1.0, math.inf)])
def test_a_count_that_is_not_finite_is_refused_and_not_counted(p: float, y: float) -> None:
    metrics = CountMetrics()
    with pytest.raises(InputRefused):
        metrics.update(p, y)
    assert metrics.n == 0


def test_count_metrics_are_not_classification_metrics() -> None:
    with pytest.raises(SnapshotError):
        ClassificationMetrics.restore(CountMetrics().snapshot())


def test_a_runaway_prediction_does_not_spoil_the_sums() -> None:
    metrics = counted_counts([(1.0, 1)])
    metrics.update(1e304, 1.0)
    assert all(math.isfinite(figure) for figure in metrics.get().values())
