"""Logistic regression, dense: the numbers of `models.logistic` in less time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar, Final

from models.dense import INPUT_LIMIT, DenseLearner
from models.errors import InputRefused

__all__ = ["DenseLogistic"]

_SIGMOID_LIMIT: Final = 30.0  # beyond it River's probability is 0 or 1
_GRADIENT_LIMIT: Final = 18.0  # beyond it River leaves out what rounding loses anyway


class DenseLogistic(DenseLearner):
    """River's `StandardScaler | clip to +-4 | LogisticRegression(AdaGrad)`, number for number.

    What it is good for, and when it is wrong, is said of `models.logistic.Logistic`, to which it is equal.

    Parameters
    ----------
    n_features
        Length of a feature vector, >= 1; meant for tens.
    lr
        AdaGrad's learning rate. 0.1 is River's default.
    intercept_lr
        Learning rate of the intercept; River's default.

    Examples
    --------
    >>> model = DenseLogistic(2)
    >>> model.predict_proba_one([0.0, 1.0])
    0.5
    >>> for i in range(2000):
    ...     model.learn_one([float(i % 2), 1.0], i % 2 == 0)
    >>> model.predict_proba_one([0.0, 1.0]) > 0.9 > 0.1 > model.predict_proba_one([1.0, 1.0])
    True
    >>> again = DenseLogistic.restore(model.snapshot())
    >>> again.predict_proba_one([1.0, 1.0]) == model.predict_proba_one([1.0, 1.0])
    True

    References
    ----------
    [^1]: Duchi, Hazan, Singer (2011), Adaptive subgradient methods for online learning and stochastic optimization.
    """

    KIND: ClassVar[str] = "dense-logistic"
    VERSION: ClassVar[str] = "dense-logistic-1"

    def __init__(self, n_features: int, *, lr: float = 0.1, intercept_lr: float = 0.01) -> None:
        super().__init__(n_features, lr=lr, intercept_lr=intercept_lr)

    @staticmethod
    def _mean(score: float) -> float:
        if -_SIGMOID_LIMIT <= score <= _SIGMOID_LIMIT:
            return 1.0 / (1.0 + math.exp(-score))
        return 1.0 if score > 0.0 else 0.0

    @staticmethod
    def _gradient(score: float, y: float) -> float:
        sign = 1.0 if y else -1.0
        margin = score * sign
        if margin > _GRADIENT_LIMIT:
            return math.exp(-margin) * -sign
        if margin < -_GRADIENT_LIMIT:
            return -sign
        return -sign / (math.exp(margin) + 1.0)

    def predict_proba_one(self, x: Sequence[float]) -> float:
        """P(yes), 0 to 1; 0.5 before anything was learned.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        if len(x) != self.n_features or not math.hypot(*x) <= INPUT_LIMIT:
            self._check(x)
        return self._mean(self._score(x, self.numbers))

    def learn_one(self, x: Sequence[float], y: bool) -> None:
        """Learn one matured example.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length, or `y` is neither true nor false.
        """
        if y not in (0, 1):
            raise InputRefused(f"y: expected true or false, got {y!r}; give a label only when it has matured")
        self.update(x, y)
