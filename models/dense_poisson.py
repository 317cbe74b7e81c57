"""Poisson regression, dense: the numbers of `models.poisson` in less time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Final

from models.dense import INPUT_LIMIT, DenseLearner
from models.errors import InputRefused

__all__ = ["CLIP_GRADIENT", "ETA_LIMIT", "DensePoisson"]

CLIP_GRADIENT: Final = 3.0
"""Largest gradient of the loss: one customer with a thousand events must not throw the model about."""

ETA_LIMIT: Final = 700.0
"""Largest linear score before the exponential, which overflows at 709.8. Up to it the numbers are River's."""


class DensePoisson(DenseLearner):
    """River's `StandardScaler | clip to +-4 | LinearRegression(Poisson, AdaGrad, clip_gradient=3)`, number for number.

    When it is wrong is said of `models.poisson.Poisson`, to which it is equal.

    Parameters
    ----------
    n_features
        Length of a feature vector, >= 1; meant for tens.
    lr
        AdaGrad's learning rate; 0.02 beat a monthly refitted gradient boosting on four logs of shops.
    intercept_lr
        Learning rate of the intercept; River's default.

    Examples
    --------
    >>> model = DensePoisson(1)
    >>> model.predict_one([1.0])
    0.0
    >>> for i in range(2000):
    ...     model.learn_one([float(i % 2)], 6.0 * (i % 2))
    >>> model.predict_one([0.0]) < 2.0 < 4.0 < model.predict_one([1.0])
    True
    """

    KIND: ClassVar[str] = "dense-poisson"
    VERSION: ClassVar[str] = "dense-poisson-1"

    def __init__(self, n_features: int, *, lr: float = 0.02, intercept_lr: float = 0.01) -> None:
        super().__init__(n_features, lr=lr, intercept_lr=intercept_lr)

    @staticmethod
    def _mean(score: float) -> float:
        return math.exp(score if score < ETA_LIMIT else ETA_LIMIT)

    @staticmethod
    def _gradient(score: float, y: float) -> float:
        slope = math.exp(score if score < ETA_LIMIT else ETA_LIMIT) - y
        if slope > CLIP_GRADIENT:
            return CLIP_GRADIENT
        return slope if slope > -CLIP_GRADIENT else -CLIP_GRADIENT

    def _prior(self) -> float:
        return 0.0

    def predict_one(self, x: Sequence[float]) -> float:
        """The expected count, >= 0 and finite; 0 before anything was learned (River's would say 1).

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        if len(x) != self.n_features or not math.hypot(*x) <= INPUT_LIMIT:
            self._check(x)
        return self._mean(self._score(x, self.numbers)) if self._n_learned else 0.0

    def learn_one(self, x: Sequence[float], y: float) -> None:
        """Learn one matured example.

        Parameters
        ----------
        x
            The features as they were at the landmark.
        y
            The count, >= 0.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length, or `y` is not a finite number >= 0.
        """
        if not 0.0 <= y < math.inf:
            raise InputRefused(f"y: expected a finite count >= 0, got {y!r}; give a label only when it has matured")
        self.update(x, y)
