"""How good a model is, progressively: predict first, count when the label has matured.

Every figure comes from sums, so that metrics of lanes, or of buckets of time, can be added up and stored. The ranking
figures (AUC, average precision) come from a histogram of the scores and are as exact as its bins; everything else is
exact up to rounding. Sums of floats depend on the order in which they are merged: merge lanes in their order.
"""

from __future__ import annotations

from math import inf, log, log1p
from typing import Final, NamedTuple

import msgspec

from models.errors import InputRefused, SnapshotDamaged
from models.score_histogram import LOGIT_LIMIT, HistogramState, ScoreHistogram
from models.snapshot import pack, unpack

__all__ = ["COUNT_LIMITS", "P_FLOOR", "ClassificationMetrics", "CountMetrics", "Decile"]

P_FLOOR: Final = 1e-4
"""Probabilities are clipped to this and its complement for the log-loss, as in the project's scoring protocol."""

COUNT_LIMITS: Final = (1e-4, 1e9)
"""Predicted counts are clipped to these: the deviance of a 0 would be infinite, one overflow would spoil the sum."""

_LOWEST, _HIGHEST = COUNT_LIMITS

_P_CEILING: Final = 1.0 - P_FLOOR

_N_DECILES: Final = 10

_CLASSIFICATION: Final = "classification_metrics/2"
"""Kind of the snapshot; the first kind had bins of one width for ever."""


class Decile(NamedTuple):
    """One line of the reliability table.

    Parameters
    ----------
    n
        Predictions in this tenth of the scale.
    mean_p
        Their mean.
    share
        How many of them came true, 0 to 1.
    """

    n: int
    mean_p: float
    share: float


class _ClassificationState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    log_loss_sum: float
    brier_sum: float
    decile_n: list[int]
    decile_p: list[float]
    decile_y: list[int]
    scores: HistogramState


class ClassificationMetrics:
    """Log-loss, Brier, calibration and ranking of probabilities, as additive sums.

    AUC and average precision are as exact as the bins of `models.score_histogram`, within .002 of exact on every
    stream of the tests; where most scores are closer than a 512th of the range of all, they are not.

    Examples
    --------
    >>> metrics = ClassificationMetrics()
    >>> for p, y in [(0.9, True), (0.8, False), (0.2, False), (0.7, True)]:
    ...     metrics.update(p, y)
    >>> {name: round(figure, 4) for name, figure in metrics.get().items()}
    ... # doctest: +NORMALIZE_WHITESPACE
    {'n': 4.0, 'base_rate': 0.5, 'mean_p': 0.65, 'log_loss': 0.5737, 'brier': 0.195, 'ece': 0.35,
     'auc': 0.75, 'average_precision': 0.8333}
    """

    __slots__ = ("_brier_sum", "_decile_n", "_decile_p", "_decile_y", "_log_loss_sum", "_scores")

    def __init__(self) -> None:
        self._log_loss_sum = 0.0
        self._brier_sum = 0.0
        self._decile_n = [0] * _N_DECILES
        self._decile_p = [0.0] * _N_DECILES
        self._decile_y = [0] * _N_DECILES
        self._scores = ScoreHistogram()

    @property
    def n(self) -> int:
        """How many predictions were counted."""
        return sum(self._decile_n)

    def update(self, p: float, y: bool) -> None:
        """Count one prediction whose label has matured.

        Parameters
        ----------
        p
            The probability as it was predicted, 0 to 1.
        y
            Whether it came true.

        Raises
        ------
        InputRefused
            If `p` is not a probability or `y` neither true nor false; nothing was counted.
        """
        if not 0.0 <= p <= 1.0 or y not in (0, 1):
            raise InputRefused(f"expected p from 0 to 1 and y true or false, got {p!r} and {y!r}; count matured labels")
        # One logarithm of each side serves both the loss and the logit.
        if P_FLOOR <= p <= _P_CEILING:
            log_p, log_q = log(p), log1p(-p)
            self._log_loss_sum -= log_p if y else log_q
            self._scores.add(log_p - log_q, y)
        else:
            self._log_loss_sum -= log(P_FLOOR) if (p < P_FLOOR) == y else log1p(-P_FLOOR)
            self._scores.add(_extreme_logit(p), y)
        off = p - y
        self._brier_sum += off * off
        decile = int(p * 10.0)
        if decile == _N_DECILES:
            decile -= 1
        self._decile_n[decile] += 1
        self._decile_p[decile] += p
        if y:
            self._decile_y[decile] += 1

    def merge(self, other: ClassificationMetrics) -> None:
        """Add what `other` counted; `other` stays as it is."""
        self._log_loss_sum += other._log_loss_sum
        self._brier_sum += other._brier_sum
        self._decile_n = _added(self._decile_n, other._decile_n)
        self._decile_p = [a + b for a, b in zip(self._decile_p, other._decile_p, strict=True)]
        self._decile_y = _added(self._decile_y, other._decile_y)
        self._scores.merge(other._scores)

    def get(self) -> dict[str, float]:
        """The figures; one that cannot be known yet is missing.

        Returns
        -------
        dict of str to float
            `n`, `base_rate`, `mean_p`, `log_loss` (nats), `brier`, `ece` (ten bins of equal width); `auc` once both
            outcomes were seen, `average_precision` once a yes was. Only `n` before the first prediction.
        """
        n = self.n
        if not n:
            return {"n": 0.0}
        off = sum(abs(p - y) for p, y in zip(self._decile_p, self._decile_y, strict=True))
        figures = {
            "n": float(n),
            "base_rate": sum(self._decile_y) / n,
            "mean_p": sum(self._decile_p) / n,
            "log_loss": self._log_loss_sum / n,
            "brier": self._brier_sum / n,
            "ece": off / n,
        }
        ranking = self._scores.ranking()
        if ranking.auc is not None:
            figures["auc"] = ranking.auc
        if ranking.average_precision is not None:
            figures["average_precision"] = ranking.average_precision
        return figures

    def reliability(self) -> list[Decile | None]:
        """The reliability table: tenth `i` holds predictions from i/10 to (i+1)/10; `None` where there are none."""
        rows = zip(self._decile_n, self._decile_p, self._decile_y, strict=True)
        return [Decile(n, p / n, y / n) if n else None for n, p, y in rows]

    def snapshot(self) -> bytes:
        """All sums as data, only the bins in use: some 0.2 kB for one score, at most 4 kB; see `models.snapshot`."""
        state = _ClassificationState(
            log_loss_sum=self._log_loss_sum,
            brier_sum=self._brier_sum,
            decile_n=self._decile_n,
            decile_p=self._decile_p,
            decile_y=self._decile_y,
            scores=self._scores.state(),
        )
        return pack(_CLASSIFICATION, state)

    @classmethod
    def restore(cls, data: bytes) -> ClassificationMetrics:
        """The metrics that `snapshot` stored; raises `SnapshotError` if the bytes are not such a snapshot."""
        state = unpack(_CLASSIFICATION, data, _ClassificationState)
        sizes = [len(part) for part in (state.decile_n, state.decile_p, state.decile_y)]
        if sizes != [_N_DECILES] * 3:
            raise SnapshotDamaged(f"{_CLASSIFICATION}: expected ten deciles, got {sizes}; start the sums anew")
        metrics = cls()
        metrics._log_loss_sum, metrics._brier_sum = state.log_loss_sum, state.brier_sum
        metrics._decile_n, metrics._decile_p, metrics._decile_y = state.decile_n, state.decile_p, state.decile_y
        metrics._scores = ScoreHistogram.of(state.scores)
        return metrics


class _CountState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    n: int
    y_sum: float
    p_sum: float
    error_sum: float
    deviance_sum: float


class CountMetrics:
    """Mean absolute error and Poisson deviance of predicted counts, as additive sums.

    Examples
    --------
    >>> metrics = CountMetrics()
    >>> metrics.update(2.0, 3.0)
    >>> metrics.update(1.0, 0.0)
    >>> {name: round(figure, 4) for name, figure in metrics.get().items()}
    {'n': 2.0, 'mean_y': 1.5, 'mean_p': 1.5, 'mae': 1.0, 'poisson_deviance': 1.2164}
    """

    __slots__ = ("_state",)

    def __init__(self) -> None:
        self._state = _CountState(0, 0.0, 0.0, 0.0, 0.0)

    @property
    def n(self) -> int:
        """How many predictions were counted."""
        return self._state.n

    def update(self, p: float, y: float) -> None:
        """Count one prediction whose label has matured.

        Parameters
        ----------
        p
            The expected count as it was predicted, >= 0; clipped to `COUNT_LIMITS`.
        y
            The count that came, >= 0.

        Raises
        ------
        InputRefused
            If one of them is not a finite number >= 0; nothing was counted.
        """
        if not (0.0 <= p < inf and 0.0 <= y < inf):
            raise InputRefused(f"expected finite counts >= 0, got {p!r} and {y!r}; count matured labels")
        mean = _LOWEST if p < _LOWEST else _HIGHEST if p > _HIGHEST else p
        state = self._state
        state.n += 1
        state.y_sum += y
        state.p_sum += mean
        state.error_sum += abs(mean - y)
        state.deviance_sum += 2.0 * ((y * log(y / mean) if y else 0.0) - (y - mean))

    def merge(self, other: CountMetrics) -> None:
        """Add what `other` counted; `other` stays as it is."""
        mine, its = self._state, other._state
        mine.n += its.n
        mine.y_sum += its.y_sum
        mine.p_sum += its.p_sum
        mine.error_sum += its.error_sum
        mine.deviance_sum += its.deviance_sum

    def get(self) -> dict[str, float]:
        """The figures: `n`, `mean_y`, `mean_p`, `mae`, `poisson_deviance`; only `n` before the first prediction."""
        state = self._state
        if not state.n:
            return {"n": 0.0}
        return {
            "n": float(state.n),
            "mean_y": state.y_sum / state.n,
            "mean_p": state.p_sum / state.n,
            "mae": state.error_sum / state.n,
            "poisson_deviance": state.deviance_sum / state.n,
        }

    def snapshot(self) -> bytes:
        """All sums as data; see `models.snapshot`."""
        return pack("count_metrics", self._state)

    @classmethod
    def restore(cls, data: bytes) -> CountMetrics:
        """The metrics that `snapshot` stored; raises `SnapshotError` if the bytes are not such a snapshot."""
        metrics = cls()
        metrics._state = unpack("count_metrics", data, _CountState)
        return metrics


def _extreme_logit(p: float) -> float:
    if p <= 0.0:
        return -LOGIT_LIMIT
    if p >= 1.0:
        return LOGIT_LIMIT
    return log(p) - log1p(-p)


def _added(left: list[int], right: list[int]) -> list[int]:
    return [a + b for a, b in zip(left, right, strict=True)]
