"""Poisson regression, dense: the numbers of `models.poisson` in less time, and with any optimizer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Final

from models.dense import DenseLearner
from models.dense_optimizers import AdaGrad, Optimizer
from models.errors import InputRefused
from models.kernel import COUNTS, ETA_LIMIT

__all__ = ["CLIP_GRADIENT", "ETA_LIMIT", "DensePoisson"]

CLIP_GRADIENT: Final = 3.0
"""Largest gradient of the loss: one customer with a thousand events must not throw the model about."""


class DensePoisson(DenseLearner):
    """River's `StandardScaler | clip to +-4 | LinearRegression(Poisson, AdaGrad, clip_gradient=3)`, number for number.

    When it is wrong is said of `models.poisson.Poisson`, to which it is equal as it is made by default. Its settings
    are described in `DenseLearner`; AdaGrad's `lr` is 0.02 (it beat a monthly refitted gradient boosting on four logs
    of shops), and the gradient is clipped to 3.

    Parameters
    ----------
    n_features
        Length of a feature vector, >= 1; meant for tens.
    lr, intercept_lr, optimizer, clip_z, clip_gradient, l2
        See `models.dense.DenseLearner`.

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
    LOSS: ClassVar[int] = COUNTS
    OPTIMIZER: ClassVar[Optimizer] = AdaGrad(0.02)
    GRADIENT: ClassVar[float] = CLIP_GRADIENT

    def predict_one(self, x: Sequence[float]) -> float:
        """The expected count, >= 0 and finite; 0 before anything was learned (River's would say 1).

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        return self._core.predict(x)

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
        self._core.learn(x, y)
