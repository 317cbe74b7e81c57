"""The dense learners behind River's own interface, for River's pipelines, metrics and estimator checks.

Here an example is a dict, as everywhere in River. The engine does not use these: its features have places, not names,
and importing River takes a second or two.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, Generic, TypeVar

from river import base

from models.dense import DenseLearner
from models.dense_logistic import DenseLogistic
from models.dense_poisson import DensePoisson
from models.errors import InputRefused
from models.unrolled import Numbers, Vector

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
        self._counts = (0.0,) * len(self.names)

    def vector(self, x: Mapping[Any, Any]) -> list[float]:
        """The features by place. A missing one is put at its mean, which scales to 0."""
        return [float(x.get(name, mean)) for name, mean in zip(self.names, self.learner.numbers[1], strict=True)]

    def update(self, x: Mapping[Any, Any], y: float) -> None:
        """Learn one example; the first must have all features.

        Raises
        ------
        InputRefused
            If a feature is not finite.
        """
        present = [name in x for name in self.names]
        counts = tuple(count + here for count, here in zip(self._counts, present, strict=True))
        before = self.learner.numbers
        self.learner.update(self.vector(x), y, counts)
        self._counts = counts
        if not all(present):
            self.learner.numbers = _where(present, self.learner.numbers, before)


def _where(present: list[bool], after: Numbers, before: Numbers) -> Numbers:
    """The numbers after an example for the features it had, those before it for the others."""

    def mixed(new: Vector, old: Vector) -> Vector:
        return tuple(a if here else b for here, a, b in zip(present, new, old, strict=True))

    intercept, means, variances, sds, weights, squares = after
    _, old_means, old_variances, old_sds, old_weights, old_squares = before
    return (
        intercept,
        mixed(means, old_means),
        mixed(variances, old_variances),
        mixed(sds, old_sds),
        mixed(weights, old_weights),
        mixed(squares, old_squares),
    )


def _names(x: Mapping[Any, Any]) -> tuple[Hashable, ...]:
    if not x:
        raise InputRefused("x: expected the first example to have all features, got none; begin with a whole one")
    return tuple(x)


class RiverDenseLogistic(base.Classifier):
    """`DenseLogistic` as a classifier of River's: scales, clips to +-4 and learns by itself; no scaler before it.

    The numbers are those of the pipeline `StandardScaler | clip | LogisticRegression(AdaGrad)`. The features are
    those of the first example learned; see `NamedFeatures` for what that means when they change.

    Parameters
    ----------
    lr
        AdaGrad's learning rate, > 0.
    intercept_lr
        Learning rate of the intercept, >= 0.

    Examples
    --------
    >>> from river import datasets, evaluate, metrics
    >>> evaluate.progressive_val_score(datasets.Phishing(), RiverDenseLogistic(), metrics.ROCAUC())
    ROCAUC: 95.43%
    """

    def __init__(self, lr: float = 0.1, intercept_lr: float = 0.01) -> None:
        self.lr = lr
        self.intercept_lr = intercept_lr
        self._model: NamedFeatures[DenseLogistic] | None = None

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn one example, labelled true or false.

        Raises
        ------
        InputRefused
            If a feature is not finite, `y` is neither true nor false, or the very first example has no features.
        """
        if y not in (0, 1):
            raise InputRefused(f"y: expected true or false, got {y!r}; make the problem one of two classes")
        if self._model is None:
            names = _names(x)
            model = NamedFeatures(DenseLogistic(len(names), lr=self.lr, intercept_lr=self.intercept_lr), names)
            model.update(x, y)
            self._model = model
        else:
            self._model.update(x, y)

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


class RiverDensePoisson(base.Regressor):
    """`DensePoisson` as a regressor of River's, for counts: scales, clips to +-4 and learns by itself.

    The numbers are those of the pipeline `StandardScaler | clip | LinearRegression(Poisson, AdaGrad)` with gradients
    clipped to 3, but for the first prediction: 0 where River says 1. The features are those of the first example
    learned; see `NamedFeatures` for what that means when they change.

    Parameters
    ----------
    lr
        AdaGrad's learning rate, > 0.
    intercept_lr
        Learning rate of the intercept, >= 0.

    Examples
    --------
    >>> model = RiverDensePoisson()
    >>> for i in range(2000):
    ...     model.learn_one({"weekend": i % 2}, 6 * (i % 2))
    >>> model.predict_one({"weekend": 0}) < 2.0 < 4.0 < model.predict_one({"weekend": 1})
    True
    """

    def __init__(self, lr: float = 0.02, intercept_lr: float = 0.01) -> None:
        self.lr = lr
        self.intercept_lr = intercept_lr
        self._model: NamedFeatures[DensePoisson] | None = None

    def learn_one(self, x: dict[Any, Any], y: Any) -> None:
        """Learn one example, labelled with a count.

        Raises
        ------
        InputRefused
            If a feature is not finite, `y` is not a finite number >= 0, or the very first example has no features.
        """
        if not 0.0 <= y < float("inf"):
            raise InputRefused(f"y: expected a finite count >= 0, got {y!r}; use another regressor for such labels")
        if self._model is None:
            names = _names(x)
            model = NamedFeatures(DensePoisson(len(names), lr=self.lr, intercept_lr=self.intercept_lr), names)
            model.update(x, y)
            self._model = model
        else:
            self._model.update(x, y)

    def predict_one(self, x: dict[Any, Any]) -> float:
        """The expected count, >= 0; 0 before anything was learned.

        Raises
        ------
        InputRefused
            If a feature is not finite.
        """
        model = self._model
        return model.learner.predict_one(model.vector(x)) if model else 0.0
