"""What the dense learners share: the linear learners of `models.linear`, the same numbers in less time.

River keeps a dict entry per feature, for features that come and go. Ours never do, so here scaler, clip, dot product
and AdaGrad are one pass over plain floats (`models.unrolled`). The arithmetic is River's, operation by operation, and
no number differs from River's by a bit. Nothing less would do for every stream: Poisson regression on counts of
thousands is chaotic, and made a relative difference of 1e-14 in the weights one of 1e-2 in the prediction within 4000
examples. River itself is not imported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import ClassVar, Final, Self

import msgspec

from models.errors import InputRefused, SnapshotDamaged, SnapshotForeign
from models.snapshot import pack, unpack
from models.unrolled import Numbers, kernels

__all__ = ["INPUT_LIMIT", "DenseLearner", "DenseState"]

INPUT_LIMIT: Final = 1e100
"""Largest size of a feature: its square, which the scaler sums up, is still far from overflow."""


class DenseState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """All that a dense learner has learned, as stored; lists are by feature, and empty before the first example.

    Parameters
    ----------
    version
        Recipe of the model.
    n_features
        Length of a feature vector.
    lr, intercept_lr
        Learning rates of weights and intercept.
    n_learned
        Examples learned.
    means, variances
        Of the features, by Welford's recurrence.
    weights, squares
        Of the scaled features, and AdaGrad's sums of their squared gradients.
    intercept
        On the scale of the link.
    """

    version: str
    n_features: int
    lr: float
    intercept_lr: float
    n_learned: int
    means: list[float]
    variances: list[float]
    weights: list[float]
    squares: list[float]
    intercept: float


class DenseLearner:
    """Scaler, clip and generalized linear model over vectors of a fixed length.

    Subclasses say what the score means (`_mean`) and how wrong it is (`_gradient`). Not for features that come and go.

    Parameters
    ----------
    n_features
        Length of a feature vector, >= 1; meant for tens.
    lr
        AdaGrad's learning rate, > 0.
    intercept_lr
        Learning rate of the intercept, >= 0: how fast the base rate is followed. River's default is 0.01.

    Attributes
    ----------
    numbers
        What was learned; replaced as a whole by every example.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    KIND: ClassVar[str]
    VERSION: ClassVar[str]

    def __init__(self, n_features: int, *, lr: float, intercept_lr: float) -> None:
        if not (0.0 < lr < math.inf and 0.0 <= intercept_lr < math.inf):
            raise ValueError(f"expected lr > 0 and intercept_lr >= 0, both finite, got {lr!r} and {intercept_lr!r}")
        self._score, self._terms, self._next = kernels(n_features)
        self.n_features = n_features
        self.lr = lr
        self.intercept_lr = intercept_lr
        self._n_learned = 0
        zeros = (0.0,) * n_features
        self.numbers: Numbers = (0.0, zeros, zeros, (math.inf,) * n_features, zeros, zeros)

    @staticmethod
    def _mean(score: float) -> float:
        raise NotImplementedError

    @staticmethod
    def _gradient(score: float, y: float) -> float:
        raise NotImplementedError

    def __reduce__(self) -> tuple[Callable[[bytes], Self], tuple[bytes]]:
        # Copies go the way of storage: the written-out functions have no name to be found by.
        return type(self).restore, (self.snapshot(),)

    @property
    def version(self) -> str:
        """Name of the recipe."""
        return self.VERSION

    @property
    def n_learned(self) -> int:
        """How many examples were learned."""
        return self._n_learned

    def contributions(self, x: Sequence[float]) -> tuple[float, list[float]]:
        """Why: the intercept and, per feature, weight times scaled feature; they add up to the linear score.

        Parameters
        ----------
        x
            A feature vector.

        Returns
        -------
        tuple of float and list of float
            On the scale of the link; all 0 before anything was learned. Their sum, from the first feature to the last
            and then the intercept, is the model's own score.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        return self.explain(x)[1:]

    def explain(self, x: Sequence[float]) -> tuple[float, float, list[float]]:
        """What the model predicts, and why, in one pass over the features instead of two.

        Returns
        -------
        tuple of float, float and list of float
            The prediction, to the bit as `predict_proba_one` or `predict_one` gives it; then `contributions`.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        if len(x) != self.n_features or not math.hypot(*x) <= INPUT_LIMIT:
            self._check(x)
        score, terms = self._terms(x, self.numbers)
        return self._mean(score) if self._n_learned else self._prior(), self.numbers[0], terms

    def _prior(self) -> float:
        """The prediction before anything was learned."""
        return self._mean(0.0)

    def _check(self, x: Sequence[float]) -> None:
        """Refuse an example of the wrong length or with a feature that is not finite.

        Asked only when the vector's Euclidean length, which is quicker to find than the size of every part, is NaN or
        over the limit; each part may still be within it.
        """
        if len(x) != self.n_features:
            raise InputRefused(f"x: expected {self.n_features} features, got {len(x)}; give those of the catalogue")
        for i, value in enumerate(x):
            # Written so that NaN, of which every comparison is false, is refused too.
            if not -INPUT_LIMIT <= value <= INPUT_LIMIT:
                raise InputRefused(
                    f"x[{i}]: expected a number within +-{INPUT_LIMIT:g}, got {value!r}; mend the feature"
                )

    def update(self, x: Sequence[float], y: float, counts: Sequence[float] | None = None) -> None:
        """Learn one example; `learn_one` is this with a check of the label.

        Parameters
        ----------
        x
            A feature vector.
        y
            The label.
        counts
            Per feature, how many examples had it, this one counted, each >= 1; without it, all had.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        if len(x) != self.n_features or not math.hypot(*x) <= INPUT_LIMIT:
            self._check(x)
        n = self._n_learned + 1
        if counts is None:
            counts = (float(n),) * self.n_features
        # Assigned when all is done: whatever fails, nothing was learned.
        self.numbers = self._next(x, y, counts, self.numbers, (self.lr, self.intercept_lr), self._gradient)
        self._n_learned = n

    def snapshot(self) -> bytes:
        """All state as data; see `models.snapshot`. About 0.7 kB for 16 features."""
        intercept, *by_feature = self.numbers
        means, variances, _, weights, squares = (list(part) if self._n_learned else [] for part in by_feature)
        state = DenseState(
            version=self.VERSION,
            n_features=self.n_features,
            lr=self.lr,
            intercept_lr=self.intercept_lr,
            n_learned=self._n_learned,
            means=means,
            variances=variances,
            weights=weights,
            squares=squares,
            intercept=intercept,
        )
        return pack(self.KIND, state)

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The learner that `snapshot` stored; it goes on to the bit, on the same machine type.

        Raises
        ------
        SnapshotError
            If the bytes are not a whole snapshot of this learner; no learner is made.
        """
        state = unpack(cls.KIND, data, DenseState)
        size = state.n_features if state.n_learned else 0
        lists = (state.means, state.variances, state.weights, state.squares)
        if state.version != cls.VERSION:
            raise SnapshotForeign(f"{cls.KIND}: expected recipe {cls.VERSION!r}, got {state.version!r}; replay the log")
        if state.n_learned < 0 or any(len(part) != size for part in lists):
            raise SnapshotDamaged(f"{cls.KIND}: expected {size} numbers per list; restore a backup or replay the log")
        if not all(math.isfinite(v) for part in (*lists, (state.intercept,)) for v in part):
            raise SnapshotDamaged(f"{cls.KIND}: expected finite numbers; restore a backup or replay the log")
        if size and min(*state.variances, *state.squares) < 0.0:
            raise SnapshotDamaged(f"{cls.KIND}: expected sums of squares >= 0; restore a backup or replay the log")
        try:
            learner = cls(state.n_features, lr=state.lr, intercept_lr=state.intercept_lr)
        except ValueError as error:
            raise SnapshotDamaged(f"{cls.KIND}: {error}; restore a backup or replay the log") from error
        if state.n_learned:
            means, variances, weights, squares = map(tuple, lists)
            sds = tuple(variance**0.5 or math.inf for variance in variances)
            learner.numbers = (state.intercept, means, variances, sds, weights, squares)
            learner._n_learned = state.n_learned
        return learner
