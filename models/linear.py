"""What the linear learners share: River's `StandardScaler`, a clip, River's generalized linear model with AdaGrad.

The steps are called one by one, in the order and with the arithmetic of `StandardScaler() | clip | model` as a River
pipeline (the tests compare them to the bit), because they are needed apart: the scaled features give the reasons, and
each step's state goes into the snapshot.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Final, Self

import msgspec
from river import preprocessing, utils
from river.linear_model.base import GLM

from models.errors import InputRefused, SnapshotDamaged, SnapshotForeign
from models.exchange import Learned
from models.snapshot import pack, unpack

__all__ = ["CLIP_Z", "INPUT_LIMIT", "LinearLearner", "LinearState"]

CLIP_Z: Final = 4.0
"""Scaled features beyond plus or minus this count as this. A feature that was constant until now scales to ten
thousands at its first change; without the clip a Poisson model overflows on such a stream."""

INPUT_LIMIT: Final = 1e100
"""Largest size of a feature: its square, which the scaler sums up, is still far from overflow."""


class LinearState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """All that a linear learner has learned, as stored; lists are by feature, and empty before the first example.

    Parameters
    ----------
    version
        Recipe of the model.
    n_features
        Length of a feature vector.
    lr, intercept_lr
        Learning rates of weights and intercept.
    n_learned
        Examples learned: the scaler's count of every feature and the optimizer's iterations.
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


class LinearLearner:
    """Scaler, clip and generalized linear model over vectors of a fixed length.

    Subclasses say which River model it is and what its outputs mean. Not for features that come and go: every vector
    has the same features.

    Parameters
    ----------
    n_features
        Length of a feature vector, >= 1.
    lr
        AdaGrad's learning rate, > 0.
    intercept_lr
        Learning rate of the intercept, >= 0: how fast the base rate is followed. River's default is 0.01.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    KIND: ClassVar[str]
    VERSION: ClassVar[str]

    def __init__(self, n_features: int, *, lr: float, intercept_lr: float) -> None:
        if n_features < 1:
            raise ValueError(f"n_features: expected an integer >= 1, got {n_features!r}")
        if not (0.0 < lr < math.inf and 0.0 <= intercept_lr < math.inf):
            raise ValueError(f"expected lr > 0 and intercept_lr >= 0, both finite, got {lr!r} and {intercept_lr!r}")
        self.n_features = n_features
        self.lr = lr
        self.intercept_lr = intercept_lr
        self._keys = range(n_features)
        self._scaler: Any = preprocessing.StandardScaler()
        self._model: Any = self._new_model(lr, intercept_lr)

    @staticmethod
    def _new_model(lr: float, intercept_lr: float) -> GLM:
        raise NotImplementedError

    @property
    def version(self) -> str:
        """Name of the recipe."""
        return self.VERSION

    @property
    def n_learned(self) -> int:
        """How many examples were learned."""
        return int(self._model.optimizer.n_iterations)

    def contributions(self, x: Sequence[float]) -> tuple[float, list[float]]:
        """Why: the intercept and, per feature, weight times scaled feature; they add up to the linear score.

        Parameters
        ----------
        x
            A feature vector.

        Returns
        -------
        tuple of float and list of float
            On the scale of the link; all 0 before anything was learned. Their sum differs from the model's own only by
            rounding (under 1e-9).

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        scaled = self._scaled(self._checked(x))
        weights = self._model.weights
        return self._model.intercept, [weights.get(i, 0.0) * scaled[i] for i in self._keys]

    def _checked(self, x: Sequence[float]) -> dict[int, float]:
        """`x` as River takes it, or a refusal."""
        if len(x) != self.n_features:
            raise InputRefused(f"x: expected {self.n_features} features, got {len(x)}; give those of the catalogue")
        for i, value in enumerate(x):
            # Written so that NaN, of which every comparison is false, is refused too.
            if not -INPUT_LIMIT <= value <= INPUT_LIMIT:
                raise InputRefused(
                    f"x[{i}]: expected a number within +-{INPUT_LIMIT:g}, got {value!r}; mend the feature"
                )
        return dict(zip(self._keys, x, strict=True))

    def _scaled(self, features: dict[int, float]) -> dict[int, float]:
        return {
            i: CLIP_Z if z > CLIP_Z else -CLIP_Z if z < -CLIP_Z else z
            for i, z in self._scaler.transform_one(features).items()
        }

    def _learn(self, features: dict[int, float], y: bool | float) -> None:
        # The scaler first, as River's pipelines do: an example is scaled with itself already counted.
        self._scaler.learn_one(features)
        self._model.learn_one(self._scaled(features), y)

    def tell(self) -> Learned:
        """What was learned, for `models.exchange`: weights, intercept and squares."""
        state = self._state()
        lists = (state.means, state.variances, state.weights, state.squares)
        means, variances, weights, squares = (part or [0.0] * self.n_features for part in lists)
        return Learned(self.VERSION, state.n_learned, means, variances, [weights, [state.intercept], squares])

    def adopt(self, learned: Learned) -> None:
        """Go on from an exchange."""
        weights, (intercept,), squares = learned.numbers
        means, variances = list(learned.means), list(learned.variances)
        self._load(
            msgspec.structs.replace(
                self._state(),
                n_learned=learned.n,
                means=means if learned.n else [],
                variances=variances if learned.n else [],
                weights=list(weights) if learned.n else [],
                squares=[max(0.0, square) for square in squares] if learned.n else [],
                intercept=intercept,
            )
        )

    def snapshot(self) -> bytes:
        """All state as data; see `models.snapshot`. About 0.7 kB for 16 features."""
        return pack(self.KIND, self._state())

    def _state(self) -> LinearState:
        scaler, model = self._scaler, self._model
        keys = self._keys if self.n_learned else ()
        weights, squares = model.weights, model.optimizer.g2
        return LinearState(
            version=self.VERSION,
            n_features=self.n_features,
            lr=self.lr,
            intercept_lr=self.intercept_lr,
            n_learned=self.n_learned,
            means=[scaler.means[i] for i in keys],
            variances=[scaler.vars[i] for i in keys],
            weights=[weights[i] for i in keys],
            squares=[squares[i] for i in keys],
            intercept=model.intercept,
        )

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The learner that `snapshot` stored; it goes on to the bit, on the same machine type and River version.

        Raises
        ------
        SnapshotError
            If the bytes are not a whole snapshot of this learner; no learner is made.
        """
        state = unpack(cls.KIND, data, LinearState)
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
        learner._load(state)
        return learner

    def _load(self, state: LinearState) -> None:
        scaler, model = self._scaler, self._model
        # In the order in which learning makes the entries, so that no sum over them can come out otherwise.
        keys = self._keys if state.n_learned else ()
        scaler.counts.update(dict.fromkeys(keys, state.n_learned))
        scaler.means.update(zip(keys, state.means, strict=True))
        scaler.vars.update(zip(keys, state.variances, strict=True))
        model._weights = utils.VectorDict(dict(zip(keys, state.weights, strict=True)))
        model.optimizer.g2.update(zip(keys, state.squares, strict=True))
        model.optimizer.n_iterations = state.n_learned
        model.intercept = state.intercept
