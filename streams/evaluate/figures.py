"""Figures of a set of probabilities and what then happened."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from streams.evaluate.history import Floats, Ints

__all__ = ["CLIP", "Bin", "Figures", "area", "area_error", "difference", "figures", "losses", "reliability"]

CLIP = 1e-4
"""Probabilities are clipped to [CLIP, 1 - CLIP], so that no single certain error decides a comparison."""

_BINS = 10
_REPEATS = 60  # of a bootstrap: the error of a standard error is then a tenth of it


class Figures(NamedTuple):
    """How good probabilities are.

    Parameters
    ----------
    n, base_rate, mean_p
        Number of instances, share of label 1, mean probability.
    auc
        Probability that one with label 1 has the higher score than one with label 0, ties half; NaN with one class.
    log_loss, brier
        Mean logarithmic loss in nats, mean squared error; lower is better.
    ece
        Expected calibration error over ten bins of equal width: by how much a stated probability is off, on average.
    """

    n: int
    base_rate: float
    mean_p: float
    auc: float
    log_loss: float
    brier: float
    ece: float


class Bin(NamedTuple):
    """One bin of a reliability curve: scores in [low, high), their number, their mean, and the share of label 1."""

    low: float
    high: float
    n: int
    mean_p: float
    share: float


def _clipped(p: Floats) -> Floats:
    return np.clip(p, CLIP, 1 - CLIP)


def losses(p: Floats, y: Ints) -> Floats:
    """Logarithmic loss of each probability, nats, after clipping."""
    q = _clipped(p)
    return np.asarray(-np.log(np.where(y == 1, q, 1 - q)))


def figures(p: Floats, y: Ints) -> Figures:
    """All figures.

    Parameters
    ----------
    p
        Probabilities of label 1; at least one.
    y
        Labels, 0 or 1.

    Examples
    --------
    >>> figures(np.array([0.9, 0.2]), np.array([1, 0])).auc
    1.0
    """
    q = _clipped(p)
    places = np.minimum((q * _BINS).astype(np.int64), _BINS - 1)
    gaps = np.bincount(places, weights=q - y, minlength=_BINS)
    return Figures(
        len(q),
        float(y.mean()),
        float(q.mean()),
        area(q, y),
        float(losses(p, y).mean()),
        float(((q - y) ** 2).mean()),
        float(np.abs(gaps).sum() / len(q)),
    )


def area(p: Floats, y: Ints, weight: Floats | None = None) -> float:
    """Area under the ROC curve, ties half; NaN without both classes.

    Parameters
    ----------
    p, y
        Probabilities and labels.
    weight
        How often each counts, >= 0; once when `None`.
    """
    w = np.ones(len(p)) if weight is None else weight
    _, tied = np.unique(p, return_inverse=True)
    positive = np.bincount(tied, weights=w * y)
    negative = np.bincount(tied, weights=w * (1 - y))
    return _area(positive, negative)


def _area(positive: npt.NDArray[Any], negative: npt.NDArray[Any]) -> float:
    pairs = positive.sum() * negative.sum()
    if not pairs:
        return float("nan")
    below = np.cumsum(negative) - negative
    return float((positive * (below + negative / 2)).sum() / pairs)


def area_error(p: Floats, y: Ints, customer: Ints, seed: int = 0) -> float:
    """Standard error of the area, by a bootstrap over customers: they are the sample, not their events.

    Parameters
    ----------
    p, y, customer
        Probabilities, labels, and whose they are.
    seed
        Of the draws: the same data give the same error.

    References
    ----------
    Efron, Tibshirani (1993), An Introduction to the Bootstrap; clusters are drawn whole.
    """
    _, tied = np.unique(_clipped(p), return_inverse=True)
    who, owner = np.unique(customer, return_inverse=True)
    rng = np.random.default_rng(seed)
    drawn = []
    for _ in range(_REPEATS):
        times = np.bincount(rng.integers(len(who), size=len(who)), minlength=len(who))[owner]
        drawn.append(_area(np.bincount(tied, weights=times * y), np.bincount(tied, weights=times * (1 - y))))
    found = np.array(drawn)
    found = found[~np.isnan(found)]
    return float(found.std(ddof=1)) if len(found) > 1 else float("nan")


def difference(ours: Floats, theirs: Floats, customer: Ints) -> tuple[float, float]:
    """Mean of `ours - theirs` over instances, and its standard error with customers as clusters.

    The error is that of a ratio of sums over customers: what a bootstrap over customers gives, without its noise.
    NaN with fewer than two customers.

    References
    ----------
    Liang, Zeger (1986), Longitudinal data analysis using generalized linear models, Biometrika 73.
    """
    gap = ours - theirs
    mean = float(gap.mean())
    _, owner = np.unique(customer, return_inverse=True)
    sums = np.bincount(owner, weights=gap - mean)
    m = len(sums)
    if m < 2:
        return mean, float("nan")
    return mean, float(np.sqrt((sums**2).sum() * m / (m - 1)) / len(gap))


def reliability(p: Floats, y: Ints) -> list[Bin]:
    """The bins of a reliability curve that hold anything."""
    q = _clipped(p)
    places = np.minimum((q * _BINS).astype(np.int64), _BINS - 1)
    out = []
    for place in range(_BINS):
        inside = places == place
        n = int(inside.sum())
        if n:
            out.append(Bin(place / _BINS, (place + 1) / _BINS, n, float(q[inside].mean()), float(y[inside].mean())))
    return out
