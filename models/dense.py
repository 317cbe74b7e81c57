"""What the dense learners share: the linear learners of `models.linear`, the same numbers in less time.

River keeps a dict entry per feature, for features that come and go. Ours never do, so here scaler, clip, dot product
and optimizer are one pass over plain floats, compiled where that can be (`models.kernels`). The arithmetic is River's,
operation by operation, and no number differs from River's by a bit. Nothing less would do for every stream: Poisson
regression on counts of thousands is chaotic, and made a relative difference of 1e-14 in the weights one of 1e-2 in the
prediction within 4000 examples. River itself is not imported.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import ClassVar, Final, NamedTuple, Self

import msgspec

from models.dense_optimizers import LARGEST, SGD, AdaGrad, FTRLProximal, Optimizer
from models.errors import InputRefused, SnapshotDamaged, SnapshotForeign
from models.exchange import Learned
from models.kernel import INPUT_LIMIT
from models.kernels import CORE, Core
from models.snapshot import pack, unpack

__all__ = ["CLIP_Z", "INPUT_LIMIT", "DenseLearner", "DenseState", "Numbers"]

CLIP_Z: Final = 4.0
"""Scaled features beyond plus or minus this count as this, if nothing else is said; see `models.linear`."""


class Numbers(NamedTuple):
    """All that was learned; lists are by feature.

    Parameters
    ----------
    intercept
        On the scale of the link.
    means, variances
        Of the features, by Welford's recurrence.
    weights
        Of the scaled features.
    squares
        Sums of their squared gradients, of AdaGrad and FTRL; else 0.
    residuals
        FTRL's sums of what weights are made of (`z` in River); else 0.
    """

    intercept: float
    means: list[float]
    variances: list[float]
    weights: list[float]
    squares: list[float]
    residuals: list[float]


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
    means, variances, weights, squares
        See `Numbers`.
    intercept
        On the scale of the link.
    optimizer
        How weights move; in snapshots before this field, AdaGrad at `lr`.
    clip_z
        Clip of the scaled features; none if it is nothing.
    clip_gradient
        Clip of the gradient; in snapshots before this field, what the model has by itself.
    l2
        Penalty of the weights.
    residuals
        See `Numbers`; also empty unless the optimizer is FTRL.
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
    optimizer: SGD | AdaGrad | FTRLProximal | None = None
    clip_z: float | None = CLIP_Z
    clip_gradient: float | None = None
    l2: float = 0.0
    residuals: list[float] = []


class DenseLearner:
    """Scaler, clip and generalized linear model over vectors of a fixed length.

    Subclasses say what is predicted (`LOSS`) and what holds if nothing else is said. Not for features that come and go.

    Parameters
    ----------
    n_features
        Length of a feature vector, >= 1; meant for tens.
    lr
        AdaGrad's learning rate, for short; not together with `optimizer`.
    intercept_lr
        Learning rate of the intercept, 0 to 1e12: how fast the base rate is followed. River's default is 0.01.
    optimizer
        How weights move.
    clip_z
        Scaled features beyond plus or minus this count as this; None for no clip, as in a River pipeline without one.
        A feature that was constant until now then scales to ten thousands at its first change.
    clip_gradient
        Largest size of the loss's derivative by the score, 1e-12 to 1e12.
    l2
        Penalty that pulls weights to 0, in the gradient; River's. FTRL has an l2 of its own instead.

    Attributes
    ----------
    n_features, optimizer, intercept_lr, clip_z, clip_gradient, l2
        The recipe, as given.

    Raises
    ------
    ValueError
        If a parameter is out of its range.
    """

    KIND: ClassVar[str]
    VERSION: ClassVar[str]
    LOSS: ClassVar[int]
    OPTIMIZER: ClassVar[Optimizer]
    GRADIENT: ClassVar[float]
    CORE: ClassVar[type[Core]] = CORE

    def __init__(
        self,
        n_features: int,
        *,
        lr: float | None = None,
        intercept_lr: float = 0.01,
        optimizer: Optimizer | None = None,
        clip_z: float | None = CLIP_Z,
        clip_gradient: float | None = None,
        l2: float = 0.0,
    ) -> None:
        if lr is not None and optimizer is not None:
            raise ValueError(f"expected lr or an optimizer, got both: {lr!r} and {optimizer!r}")
        self.n_features = n_features
        self.optimizer = optimizer or (self.OPTIMIZER if lr is None else AdaGrad(lr))
        self.intercept_lr = intercept_lr
        self.clip_z = clip_z
        self.clip_gradient = self.GRADIENT if clip_gradient is None else clip_gradient
        self.l2 = l2
        self._check_recipe()
        rates = (self.optimizer.rate, intercept_lr)
        clips = (math.inf if clip_z is None else clip_z, self.clip_gradient)
        settings = (*rates, *clips, l2, *self.optimizer.extras)
        self._core = self.CORE(n_features, self.LOSS, self.optimizer.CODE, settings)

    def _check_recipe(self) -> None:
        if self.n_features < 1:
            raise ValueError(f"n_features: expected an integer >= 1, got {self.n_features!r}")
        if not 0.0 <= self.intercept_lr <= LARGEST:
            raise ValueError(f"intercept_lr: expected a number from 0 to {LARGEST:g}, got {self.intercept_lr!r}")
        if self.clip_z is not None and not 0.0 < self.clip_z < math.inf:
            raise ValueError(f"clip_z: expected a finite number > 0 or None, got {self.clip_z!r}")
        if not 1.0 / LARGEST <= self.clip_gradient <= LARGEST:
            raise ValueError(f"clip_gradient: expected 1e-12 to {LARGEST:g}, got {self.clip_gradient!r}")
        if not 0.0 <= self.l2 <= LARGEST:
            raise ValueError(f"l2: expected a number from 0 to {LARGEST:g}, got {self.l2!r}")
        if self.l2 and isinstance(self.optimizer, FTRLProximal):
            raise ValueError(f"l2: expected 0 with FTRL, got {self.l2!r}; give its own, FTRLProximal(l2=...)")
        if isinstance(self.optimizer, SGD) and self.l2 * self.optimizer.lr > 1.0:
            raise ValueError(f"l2: expected at most 1 / lr with SGD, got {self.l2!r}; weights would overshoot 0")

    def __reduce__(self) -> tuple[Callable[[bytes], Self], tuple[bytes]]:
        # Copies go the way of storage: the arithmetic is done where a copy cannot look.
        return type(self).restore, (self.snapshot(),)

    @property
    def version(self) -> str:
        """Name of the recipe; with other settings than the model's own it ends with their digest."""
        own = (self.OPTIMIZER, 0.01, CLIP_Z, self.GRADIENT, 0.0)
        if (self.optimizer, self.intercept_lr, self.clip_z, self.clip_gradient, self.l2) == own:
            return self.VERSION
        numbers = (*msgspec.structs.astuple(self.optimizer), self.intercept_lr, self.clip_gradient, self.l2)
        recipe = (*map(float, numbers), None if self.clip_z is None else float(self.clip_z))
        digest = hashlib.blake2b(msgspec.msgpack.encode(recipe), digest_size=3).hexdigest()
        return f"{self.VERSION}-{self.optimizer.TAG}-{digest}"

    @property
    def n_learned(self) -> int:
        """How many examples were learned."""
        return int(self._core.n)

    @property
    def numbers(self) -> Numbers:
        """What was learned, as lists made for the caller."""
        intercept, lists = self._core.save()
        return Numbers(intercept, *lists)

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
        return self._core.explain(x)[1:]

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
        return self._core.explain(x)

    def update(self, x: Sequence[float], y: float, counts: Sequence[float] | None = None) -> None:
        """Learn one example; `learn_one` is this with a check of the label.

        Parameters
        ----------
        x
            A feature vector.
        y
            The label.
        counts
            Per feature, how many examples had it, this one counted; 0 if this one has it not, and then nothing is
            learned of the feature. Without it, all examples had all features.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length, or `y` is not finite.
        """
        if not math.isfinite(y):
            raise InputRefused(f"y: expected a finite number, got {y!r}; give a label only when it has matured")
        self._core.learn(x, y, counts)

    def tell(self) -> Learned:
        """What was learned, for `models.exchange`: weights, intercept, squares, and FTRL's residuals."""
        n = self.numbers
        residuals = [n.residuals] if isinstance(self.optimizer, FTRLProximal) else []
        numbers = [n.weights, [n.intercept], n.squares, *residuals]
        return Learned(self.version, self.n_learned, n.means, n.variances, numbers)

    def adopt(self, learned: Learned) -> None:
        """Go on from an exchange."""
        weights, (intercept,), squares, *residuals = learned.numbers
        squares = [max(0.0, square) for square in squares]
        lists = [learned.means, learned.variances, weights, squares, *(residuals or [[0.0] * self.n_features])]
        self._core.load(float(learned.n), intercept, lists)

    def snapshot(self) -> bytes:
        """All state as data; see `models.snapshot`. About 0.7 kB for 16 features."""
        intercept, lists = self._core.save()
        means, variances, weights, squares, residuals = lists if self.n_learned else [[]] * 5
        state = DenseState(
            version=self.version,
            n_features=self.n_features,
            lr=self.optimizer.rate,
            intercept_lr=self.intercept_lr,
            n_learned=self.n_learned,
            means=means,
            variances=variances,
            weights=weights,
            squares=squares,
            intercept=intercept,
            optimizer=self.optimizer,
            clip_z=self.clip_z,
            clip_gradient=self.clip_gradient,
            l2=self.l2,
            residuals=residuals if isinstance(self.optimizer, FTRLProximal) else [],
        )
        return pack(self.KIND, state)

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The learner that `snapshot` stored; it goes on to the bit, on the same machine type, compiled or not.

        Raises
        ------
        SnapshotError
            If the bytes are not a whole snapshot of this learner; no learner is made.
        """
        state = unpack(cls.KIND, data, DenseState)
        try:
            learner = cls(
                state.n_features,
                intercept_lr=state.intercept_lr,
                optimizer=state.optimizer or AdaGrad(state.lr),
                clip_z=state.clip_z,
                clip_gradient=state.clip_gradient,
                l2=state.l2,
            )
        except ValueError as error:
            raise SnapshotDamaged(f"{cls.KIND}: {error}; restore a backup or replay the log") from error
        if state.version != learner.version:
            expected = f"expected recipe {learner.version!r}, got {state.version!r}"
            raise SnapshotForeign(f"{cls.KIND}: {expected}; replay the log")
        learner._load(state)
        return learner

    def _load(self, state: DenseState) -> None:
        """Take over what was learned, or refuse what cannot have been."""
        size = state.n_features if state.n_learned else 0
        kept = [state.means, state.variances, state.weights, state.squares]
        sums = [state.residuals] if isinstance(self.optimizer, FTRLProximal) else []
        if state.n_learned < 0 or any(len(part) != size for part in (*kept, *sums)):
            raise SnapshotDamaged(f"{self.KIND}: expected {size} numbers per list; restore a backup or replay the log")
        if not all(math.isfinite(v) for part in (*kept, *sums, (state.intercept,)) for v in part):
            raise SnapshotDamaged(f"{self.KIND}: expected finite numbers; restore a backup or replay the log")
        if size and min(*state.variances, *state.squares) < 0.0:
            raise SnapshotDamaged(f"{self.KIND}: expected sums of squares >= 0; restore a backup or replay the log")
        if size:
            self._core.load(float(state.n_learned), state.intercept, [*kept, *(sums or [[0.0] * size])])
