"""Poisson regression: the expected number of a customer's events in the time ahead."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Final

from river import linear_model, optim
from river.linear_model.base import GLM

from models.errors import InputRefused
from models.linear import LinearLearner

__all__ = ["CLIP_GRADIENT", "ETA_LIMIT", "Poisson"]

CLIP_GRADIENT: Final = 3.0
"""Largest gradient of the loss: one customer with a thousand events must not throw the model about."""

ETA_LIMIT: Final = 700.0
"""Largest linear score before the exponential, which overflows at 709.8. Up to it the numbers are River's."""


class _CappedPoisson(optim.losses.Poisson):
    """River's Poisson loss with the linear score capped, so that the exponential is always finite."""

    def gradient(self, y_true: Any, y_pred: Any) -> Any:
        return math.exp(min(y_pred, ETA_LIMIT)) - y_true

    def mean_func(self, y_pred: Any) -> Any:
        return math.exp(min(y_pred, ETA_LIMIT))


class Poisson(LinearLearner):
    """River's `StandardScaler | clip to +-4 | LinearRegression(Poisson, AdaGrad, clip_gradient=3)`, number for number.

    Wrong for very heavy tails: on logs of messages the customer's own decayed count predicts bursts better.

    Parameters
    ----------
    n_features
        Length of a feature vector, >= 1.
    lr
        AdaGrad's learning rate; 0.02 beat a monthly refitted gradient boosting on four logs of shops.
    intercept_lr
        Learning rate of the intercept; River's default.

    Examples
    --------
    >>> model = Poisson(1)
    >>> model.predict_one([1.0])
    0.0
    >>> for i in range(2000):
    ...     model.learn_one([float(i % 2)], 6.0 * (i % 2))
    >>> model.predict_one([0.0]) < 2.0 < 4.0 < model.predict_one([1.0])
    True
    """

    KIND: ClassVar[str] = "poisson"
    VERSION: ClassVar[str] = "poisson-1"

    def __init__(self, n_features: int, *, lr: float = 0.02, intercept_lr: float = 0.01) -> None:
        super().__init__(n_features, lr=lr, intercept_lr=intercept_lr)

    @staticmethod
    def _new_model(lr: float, intercept_lr: float) -> GLM:
        return linear_model.LinearRegression(
            optimizer=optim.AdaGrad(lr),
            loss=_CappedPoisson(),
            intercept_lr=intercept_lr,
            clip_gradient=CLIP_GRADIENT,
        )

    def predict_one(self, x: Sequence[float]) -> float:
        """The expected count, >= 0 and finite; 0 before anything was learned (River's would say 1).

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        features = self._checked(x)
        # River applies the exponential in predict_one itself; it must not be applied again.
        return float(self._model.predict_one(self._scaled(features))) if self.n_learned else 0.0

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
        self._learn(self._checked(x), y)
