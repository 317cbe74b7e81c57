"""Logistic regression, dense: the numbers of `models.logistic` in less time, and with any optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from models.dense import DenseLearner
from models.dense_optimizers import AdaGrad, Optimizer
from models.errors import InputRefused
from models.kernel import LOGIT

__all__ = ["DenseLogistic"]


class DenseLogistic(DenseLearner):
    """River's `StandardScaler | clip to +-4 | LogisticRegression(AdaGrad)`, number for number.

    What it is good for, and when it is wrong, is said of `models.logistic.Logistic`, to which it is equal as it is
    made by default. Its settings are described in `DenseLearner`; AdaGrad's `lr` is 0.1 (River's default), and the
    gradient, which is at most 1, is not clipped.

    Parameters
    ----------
    n_features
        Length of a feature vector, >= 1; meant for tens.
    lr, intercept_lr, optimizer, clip_z, clip_gradient, l2
        See `models.dense.DenseLearner`.

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
    """

    KIND: ClassVar[str] = "dense-logistic"
    VERSION: ClassVar[str] = "dense-logistic-1"
    LOSS: ClassVar[int] = LOGIT
    OPTIMIZER: ClassVar[Optimizer] = AdaGrad(0.1)
    GRADIENT: ClassVar[float] = 1e12

    def predict_proba_one(self, x: Sequence[float]) -> float:
        """P(yes), 0 to 1; 0.5 before anything was learned.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        return self._core.predict(x)

    def learn_one(self, x: Sequence[float], y: bool) -> None:
        """Learn one matured example.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length, or `y` is neither true nor false.
        """
        if y not in (0, 1):
            raise InputRefused(f"y: expected true or false, got {y!r}; give a label only when it has matured")
        self._core.learn(x, 1.0 if y else 0.0)
