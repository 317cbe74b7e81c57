"""Logistic regression by Newton's method: the batch model that an anchor is."""

from __future__ import annotations

import numpy as np

from streams.evaluate.history import Floats, Ints

__all__ = ["LogisticFit"]

_STEPS = 100
_TOLERANCE = 1e-9


class LogisticFit:
    """Standardised features, then logistic regression with an L2 penalty of 1/2 (C = 1) on all weights but the bias.

    The same minimum as scikit-learn's `StandardScaler` and `LogisticRegression(C=1)`; the problem is convex, so there
    is one. Wrong for thousands of features: a step costs the cube of their number.

    Parameters
    ----------
    x
        Features, one row per example.
    y
        Labels, 0 or 1.

    References
    ----------
    Hastie, Tibshirani, Friedman (2009), The Elements of Statistical Learning, section 4.4.1.
    """

    def __init__(self, x: Floats, y: Ints) -> None:
        self._mean = x.mean(axis=0)
        spread = x.std(axis=0)
        # A constant column says nothing: it becomes 0 everywhere, and its weight stays 0.
        self._spread = np.where(spread > 0, spread, 1.0)
        z = self._standard(x)
        penalty = np.ones(z.shape[1])
        penalty[-1] = 0.0
        self._weights = np.zeros(z.shape[1])
        loss = self._loss(self._weights, z, y, penalty)
        for _ in range(_STEPS):
            p = _logistic(z @ self._weights)
            gradient = z.T @ (p - y) + penalty * self._weights
            curvature = (z * (p * (1 - p))[:, None]).T @ z + np.diag(penalty + 1e-10)
            step = np.linalg.solve(curvature, gradient)
            size = 1.0
            # Newton may overshoot where the curve is flat; half a step of a convex loss goes down in the end.
            while (after := self._loss(self._weights - size * step, z, y, penalty)) > loss and size > 1e-6:
                size /= 2
            self._weights = self._weights - size * step
            if loss - after <= _TOLERANCE * max(1.0, abs(loss)):
                break
            loss = after

    def predict(self, x: Floats) -> Floats:
        """Probability of label 1, each in [0, 1]."""
        return _logistic(self._standard(x) @ self._weights)

    def _standard(self, x: Floats) -> Floats:
        return np.column_stack(((x - self._mean) / self._spread, np.ones(len(x))))

    @staticmethod
    def _loss(weights: Floats, z: Floats, y: Ints, penalty: Floats) -> float:
        t = z @ weights
        return float((np.logaddexp(0.0, t) - y * t).sum() + (penalty * weights**2).sum() / 2)


def _logistic(t: Floats) -> Floats:
    return np.asarray(1.0 / (1.0 + np.exp(-np.clip(t, -500, 500))))
