"""Logistic regression: the probability that a customer stays away."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from river import linear_model, optim
from river.linear_model.base import GLM

from models.errors import InputRefused
from models.linear import LinearLearner

__all__ = ["Logistic"]


class Logistic(LinearLearner):
    """River's `StandardScaler | clip to +-4 | LogisticRegression(AdaGrad)`, number for number.

    Calibrated by itself where labels are learned when their whole window has passed; wrong (by 0.05 to 0.28 nats on
    real logs) where returns are learned earlier than absences, and where the choice of examples looks at what came
    after them. One linear boundary: it cannot learn that a feature matters only together with another.

    Parameters
    ----------
    n_features
        Length of a feature vector, >= 1.
    lr
        AdaGrad's learning rate. 0.1 is River's default and was the best or next to it on five logs of customers.
    intercept_lr
        Learning rate of the intercept. River's 0.01; 0.002 was better on logs of messages and requests, worse on a
        grocery's.

    Examples
    --------
    >>> model = Logistic(2)
    >>> model.predict_proba_one([0.0, 1.0])
    0.5
    >>> for i in range(2000):
    ...     model.learn_one([float(i % 2), 1.0], i % 2 == 0)
    >>> model.predict_proba_one([0.0, 1.0]) > 0.9 > 0.1 > model.predict_proba_one([1.0, 1.0])
    True
    >>> again = Logistic.restore(model.snapshot())
    >>> again.predict_proba_one([1.0, 1.0]) == model.predict_proba_one([1.0, 1.0])
    True

    References
    ----------
    [^1]: Duchi, Hazan, Singer (2011), Adaptive subgradient methods for online learning and stochastic optimization.
    """

    KIND: ClassVar[str] = "logistic"
    VERSION: ClassVar[str] = "logistic-1"

    def __init__(self, n_features: int, *, lr: float = 0.1, intercept_lr: float = 0.01) -> None:
        super().__init__(n_features, lr=lr, intercept_lr=intercept_lr)

    @staticmethod
    def _new_model(lr: float, intercept_lr: float) -> GLM:
        return linear_model.LogisticRegression(optimizer=optim.AdaGrad(lr), intercept_lr=intercept_lr)

    def predict_proba_one(self, x: Sequence[float]) -> float:
        """P(yes), 0 to 1; 0.5 before anything was learned.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        return float(self._model.predict_proba_one(self._scaled(self._checked(x)))[True])

    def explain(self, x: Sequence[float]) -> tuple[float, float, list[float]]:
        """Probability, bias and terms, see `Classifier.explain`."""
        return self.predict_proba_one(x), *self.contributions(x)

    def learn_one(self, x: Sequence[float], y: bool) -> None:
        """Learn one matured example.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length, or `y` is neither true nor false.
        """
        if y not in (0, 1):
            raise InputRefused(f"y: expected true or false, got {y!r}; give a label only when it has matured")
        self._learn(self._checked(x), bool(y))
