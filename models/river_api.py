"""The dense learners behind River's own interface, for River's pipelines, metrics and estimator checks.

Here an example is a dict, as everywhere in River. The engine does not use these: its features have places, not names,
and importing River takes a second or two.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from river import base

from models.dense import CLIP_Z, DenseLearner
from models.dense_logistic import DenseLogistic
from models.dense_optimizers import Optimizer
from models.dense_poisson import DensePoisson
from models.errors import InputRefused

__all__ = ["NamedFeatures", "RiverDenseLogistic", "RiverDensePoisson"]

L = TypeVar("L", bound=DenseLearner)


class NamedFeatures(Generic[L]):
    """A dense learner whose features have names and may be missing.

    A feature that is missing from an example counts as in River: it adds nothing to the score, and its scaler and
    weight learn nothing from the example. Wrong for features that emerge: a name that is not among the first is left
    out for ever, where River would begin to learn it.

    Parameters
    ----------
    learner
        A learner that has learned nothing.
    names
        Of its features, in order: those of the first example learned.
    """

    def __init__(self, learner: L, names: Sequence[Hashable]) -> None:
        self.learner = learner
        self.names = tuple(names)
        self._counts = [0.0] * len(self.names)

    def vector(self, x: Mapping[Any, Any]) -> list[float]:
        """The features by place. A missing one is put at its mean, which scales to 0."""
        try:
            return [float(x[name]) for name in self.names]
        except KeyError:
            means = self.learner.numbers.means
            return [float(x.get(name, mean)) for name, mean in zip(self.names, means, strict=True)]

    def update(self, x: Mapping[Any, Any], y: float) -> None:
        """Learn one example; the first must have all features.

        Raises
        ------
        InputRefused
            If a feature is not finite.
        """
        present = [name in x for name in self.names]
        counts = [count + here for count, here in zip(self._counts, present, strict=True)]
        of_these = [count if here else 0.0 for count, here in zip(counts, present, strict=True)]
        self.learner.update(self.vector(x), y, of_these)
        self._counts = counts


def _names(x: Mapping[Any, Any]) -> tuple[Hashable, ...]:
    if not x:
        raise InputRefused("x: expected the first example to have all features, got none; begin with a whole one")
    return tuple(x)


class _RiverDense(base.Estimator):
    """What both have in common: their settings, and a learner that is made when the first example names its features.

    River compares parameters one by one, so that each must be kept as it was given.
    """

    def __init__(
        self,
        lr: float | None = None,
        intercept_lr: float = 0.01,
        optimizer: Optimizer | None = None,
        clip_z: float | None = CLIP_Z,
        clip_gradient: float | None = None,
        l2: float = 0.0,
    ) -> None:
        self.lr = lr
        self.intercept_lr = intercept_lr
        self.optimizer = optimizer
        self.clip_z = clip_z
        self.clip_gradient = clip_gradient
        self.l2 = l2

    def _settings(self) -> dict[str, Any]:
        names = ("lr", "intercept_lr", "optimizer", "clip_z", "clip_gradient", "l2")
        return {name: getattr(self, name) for name in names}


class RiverDenseLogistic(_RiverDense, base.Classifier):
    """`DenseLogistic` as a classifier of River's: scales, clips to +-4 and learns by itself; no scaler before it.

    The numbers are those of the pipeline `StandardScaler | clip | LogisticRegression`. The features are those of the
    first example learned; see `NamedFeatures` for what that means when they change.

    Parameters
    ----------
    lr, intercept_lr, optimizer, clip_z, clip_gradient, l2
        See `models.dense.DenseLearner`. Optimizers are those of `models.dense_optimizers`.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> evaluate.progressive_val_score(datasets.Phishing(), RiverDenseLogistic(), metrics.ROCAUC())
    ROCAUC: 95.43%
    """

    _model: NamedFeatures[DenseLogistic] | None = None

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn one example, labelled true or false.

        Raises
        ------
        InputRefused
            If a feature is not finite, `y` is neither true nor false, or the very first example has no features.
        """
        if y not in (0, 1):
            raise InputRefused(f"y: expected true or false, got {y!r}; make the problem one of two classes")
        model = self._model
        if model is None:
            names = _names(x)
            model = NamedFeatures(DenseLogistic(len(names), **self._settings()), names)
        model.update(x, 1.0 if y else 0.0)
        self._model = model

    def predict_proba_one(self, x: dict[Any, Any], **kwargs: Any) -> dict[Any, float]:
        """P(False) and P(True); both 0.5 before anything was learned.

        Raises
        ------
        InputRefused
            If a feature is not finite.
        """
        model = self._model
        p = model.learner.predict_proba_one(model.vector(x)) if model else 0.5
        return {False: 1.0 - p, True: p}


class RiverDensePoisson(_RiverDense, base.Regressor):
    """`DensePoisson` as a regressor of River's, for counts: scales, clips to +-4 and learns by itself.

    The numbers are those of the pipeline `StandardScaler | clip | LinearRegression(Poisson)` with gradients clipped to
    3, but for the first prediction: 0 where River says 1. The features are those of the first example learned; see
    `NamedFeatures` for what that means when they change.

    Parameters
    ----------
    lr, intercept_lr, optimizer, clip_z, clip_gradient, l2
        See `models.dense.DenseLearner`. Optimizers are those of `models.dense_optimizers`.

    Examples
    --------
    >>> model = RiverDensePoisson()
    >>> for i in range(2000):
    ...     model.learn_one({"weekend": i % 2}, 6 * (i % 2))
    >>> model.predict_one({"weekend": 0}) < 2.0 < 4.0 < model.predict_one({"weekend": 1})
    True
    """

    _model: NamedFeatures[DensePoisson] | None = None

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn one example, labelled with a count.

        Raises
        ------
        InputRefused
            If a feature is not finite, `y` is not a finite number >= 0, or the very first example has no features.
        """
        if not 0.0 <= y < float("inf"):
            raise InputRefused(f"y: expected a finite count >= 0, got {y!r}; use another regressor for such labels")
        model = self._model
        if model is None:
            names = _names(x)
            model = NamedFeatures(DensePoisson(len(names), **self._settings()), names)
        model.update(x, float(y))
        self._model = model

    def predict_one(self, x: dict[Any, Any]) -> float:
        """The expected count, >= 0; 0 before anything was learned.

        Raises
        ------
        InputRefused
            If a feature is not finite.
        """
        model = self._model
        return model.learner.predict_one(model.vector(x)) if model else 0.0
