"""Paired comparison against brute force, and its errors against repeated draws."""

from __future__ import annotations

import math
import random
import statistics

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import InputRefused, SnapshotDamaged, SnapshotForeign
from models.losses import LOSSES, log_loss, poisson_deviance
from models.metrics import ClassificationMetrics, CountMetrics
from models.paired import N_CLUSTERS, PairedLoss, _PairedState
from models.snapshot import pack

Row = tuple[float, float, int, int]
rows_of = st.lists(
    st.tuples(st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(0, 1), st.integers(-(2**63), 2**63)), max_size=60
)


def compared(rows: list[Row], loss: str = "log_loss") -> PairedLoss:
    paired = PairedLoss(loss)
    for first, second, y, cluster in rows:
        paired.update(first, second, y, cluster=cluster)
    return paired


@settings(deadline=None)
@given(rows_of, st.sampled_from(sorted(LOSSES)))
def test_figures_are_those_of_the_list(rows: list[Row], loss: str) -> None:
    n, mean, se, clustered = compared(rows, loss).get()
    off = [LOSSES[loss](first, y) - LOSSES[loss](second, y) for first, second, y, _ in rows]
    assert n == len(rows)
    assert (mean is None, se is None) == (n < 1, n < 2)
    if mean is not None:
        assert mean == pytest.approx(statistics.fmean(off), abs=1e-9)
    if se is not None:
        assert se == pytest.approx(statistics.stdev(off) / math.sqrt(n), abs=1e-6)
    groups = {cluster % N_CLUSTERS for *_, cluster in rows}
    assert (clustered is None) == (len(groups) < 2)
    if clustered is not None:
        whole = statistics.fmean(off)
        sums = [sum(d - whole for d, r in zip(off, rows, strict=True) if r[3] % N_CLUSTERS == g) for g in groups]
        expected = math.sqrt(len(sums) / (len(sums) - 1) * sum(s * s for s in sums)) / n
        assert clustered == pytest.approx(expected, abs=1e-9)


@settings(deadline=None)
@given(rows_of, rows_of)
def test_merged_parts_are_the_whole(left: list[Row], right: list[Row]) -> None:
    merged, other = compared(left), compared(right)
    before = other.snapshot()
    merged.merge(other)
    assert other.snapshot() == before
    for mine, its in zip(merged.get(), compared(left + right).get(), strict=True):
        assert mine == (None if its is None else pytest.approx(its, abs=1e-7))


@settings(deadline=None)
@given(rows_of, rows_of)
def test_a_stored_comparison_goes_on_to_the_bit(left: list[Row], right: list[Row]) -> None:
    kept = compared(left)
    stored = PairedLoss.restore(kept.snapshot())
    for first, second, y, cluster in right:
        kept.update(first, second, y, cluster=cluster)
        stored.update(first, second, y, cluster=cluster)
    assert stored.snapshot() == kept.snapshot()
    assert stored.get() == kept.get()
    assert len(kept.snapshot()) < 1_200


def drawn(seed: int) -> PairedLoss:
    """400 customers of 1 to 40 examples; the second model is off for each customer in their own direction."""
    rng = random.Random(seed)
    paired = PairedLoss("log_loss")
    for _ in range(400):
        customer, p, error = rng.getrandbits(32), rng.betavariate(2, 3), rng.gauss(0.0, 0.8)
        second = 1.0 / (1.0 + (1.0 - p) / p * math.exp(-error))
        y = rng.random() < p
        for _ in range(rng.randint(1, 40)):
            paired.update(p, second, y, cluster=customer)
    return paired


def test_the_clustered_error_is_that_of_repeated_draws_and_the_plain_one_is_not() -> None:
    draws = [drawn(seed).get() for seed in range(60)]
    spread = statistics.stdev(draw.mean or 0.0 for draw in draws)
    assert statistics.fmean(draw.se_clustered or 0.0 for draw in draws) == pytest.approx(spread, rel=0.25)
    assert statistics.fmean(draw.se or 0.0 for draw in draws) < spread / 3


def test_losses_are_those_that_the_metrics_sum() -> None:
    rng = random.Random(3)
    probabilities = [(rng.choice([0.0, 1.0, rng.random()]), rng.random() < 0.5) for _ in range(200)]
    counts = [(rng.choice([0.0, rng.expovariate(0.3)]), float(rng.randrange(5))) for _ in range(200)]
    classes, numbers = ClassificationMetrics(), CountMetrics()
    for p, y in probabilities:
        classes.update(p, y)
    for mean, count in counts:
        numbers.update(mean, count)
    assert statistics.fmean(log_loss(p, y) for p, y in probabilities) == pytest.approx(classes.get()["log_loss"])
    expected = numbers.get()["poisson_deviance"]
    assert statistics.fmean(poisson_deviance(mean, count) for mean, count in counts) == pytest.approx(expected)


@pytest.mark.parametrize(("loss", "row"), [("log_loss", (0.5, math.nan, 1)), ("poisson_deviance", (1.0, 2.0, -1))])
def test_a_refused_example_is_not_counted(loss: str, row: tuple[float, float, int]) -> None:
    paired = PairedLoss(loss)
    with pytest.raises(InputRefused):
        paired.update(*row, cluster=1)
    assert paired.snapshot() == PairedLoss(loss).snapshot()


def test_other_losses_are_refused() -> None:
    with pytest.raises(InputRefused):
        PairedLoss("hinge")
    with pytest.raises(InputRefused):
        PairedLoss("log_loss").merge(PairedLoss("poisson_deviance"))


def test_bytes_of_no_comparison_are_refused() -> None:
    with pytest.raises(SnapshotForeign):
        PairedLoss.restore(CountMetrics().snapshot())
    with pytest.raises(SnapshotDamaged):
        PairedLoss.restore(pack("paired_loss", _PairedState("log_loss", 0.0, [0], [0.0])))
    with pytest.raises(SnapshotDamaged):
        PairedLoss.restore(pack("paired_loss", _PairedState("hinge", 0.0, [0] * 64, [0.0] * 64)))
