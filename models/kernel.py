"""The arithmetic of a dense linear learner, written so that mypyc can make C of it.

This is plain typed Python and runs as it is, slowly. `hatch_build.py` compiles a copy of it; `models.kernels` uses that
copy where there is one of just this source, and else `models.unrolled`, which computes the same, to the bit, faster
than this source does uncompiled.

Every statement is River's, with the same operations in the same order, so that the numbers are River's to the bit:
`math.pow(v, 0.5)` and `math.pow(v, 2.0)`, which are what Python's `v ** 0.5` and `v ** 2` are, not `sqrt` and a
product, which round otherwise once in a thousand times, and a sum from the first feature to the last.

A standard deviation of 0 is kept as infinity: what is divided by it is 0, as River has it, without a question.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

from models.errors import InputRefused

__all__ = [
    "ADAGRAD",
    "COUNTS",
    "ETA_LIMIT",
    "FTRL",
    "GRADIENT_LIMIT",
    "INPUT_LIMIT",
    "LOGIT",
    "SGD",
    "SIGMOID_LIMIT",
    "Feature",
    "Frame",
    "Kernel",
    "dot",
    "grouped",
    "moved",
    "products",
    "refuse",
]

LOGIT: Final = 0
"""Loss of a yes or no: River's `Log`."""

COUNTS: Final = 1
"""Loss of a count: River's `Poisson`."""

SGD: Final = 0
ADAGRAD: Final = 1
FTRL: Final = 2

INPUT_LIMIT: Final = 1e100
"""Largest size of a feature: its square, which the scaler sums up, is still far from overflow."""

SIGMOID_LIMIT: Final = 30.0
"""Largest size of a logit; beyond it River's probability is 0 or 1."""

GRADIENT_LIMIT: Final = 18.0
"""Largest size of a margin; beyond it River leaves out what rounding loses anyway."""

ETA_LIMIT: Final = 700.0
"""Largest linear score before the exponential, which overflows at 709.8. Up to it the numbers are River's."""

_INFINITY: Final = 1e999


def refuse(x: Sequence[float], n_features: int) -> None:
    """Raise `InputRefused` if an example has the wrong length or a feature that is not finite; say which.

    Parameters
    ----------
    x
        The example.
    n_features
        How long it should be.

    Raises
    ------
    InputRefused
        If it is not a vector of finite numbers of that length, none over `INPUT_LIMIT`.
    """
    if len(x) != n_features:
        raise InputRefused(f"x: expected {n_features} features, got {len(x)}; give those of the catalogue")
    for i, value in enumerate(x):
        # Written so that NaN, of which every comparison is false, is refused too.
        if not -INPUT_LIMIT <= value <= INPUT_LIMIT:
            raise InputRefused(f"x[{i}]: expected a number within +-{INPUT_LIMIT:g}, got {value!r}; mend the feature")


class Feature:
    """What was learned of one feature: scaler, weight, and what the optimizer keeps.

    The attributes with `new_` hold what an example makes of it until all features have been checked.
    """

    def __init__(self) -> None:
        self.mean = 0.0
        self.variance = 0.0
        self.sd = _INFINITY
        self.weight = 0.0
        self.square = 0.0
        self.residual = 0.0
        self.z = 0.0
        self.new_mean = 0.0
        self.new_variance = 0.0
        self.new_sd = 0.0


class Kernel:
    """Scaler, clip, dot product, loss and optimizer over vectors of a fixed length.

    Parameters
    ----------
    n_features
        Length of a vector, >= 1.
    loss
        `LOGIT` or `COUNTS`.
    optimizer
        `SGD`, `ADAGRAD` or `FTRL`.
    settings
        Rates of weights and intercept, clip of the scaled features (infinity for none) and of the gradient, l2; then
        three of the optimizer: `eps` of AdaGrad, or `beta`, `l1` and `l2` of FTRL. All finite but the first clip.
    """

    def __init__(self, n_features: int, loss: int, optimizer: int, settings: Sequence[float]) -> None:
        lr, intercept_lr, clip_z, clip_gradient, l2, extra, ftrl_l1, ftrl_l2 = settings
        self.loss = loss
        self.optimizer = optimizer
        self.lr = float(lr)
        self.intercept_lr = float(intercept_lr)
        self.clip_z = float(clip_z)
        self.clip_gradient = float(clip_gradient)
        self.l2 = float(l2)
        self.extra = float(extra)
        self.ftrl_l1 = float(ftrl_l1)
        self.ftrl_l2 = float(ftrl_l2)
        self.n = 0.0
        self.intercept = 0.0
        self.features: list[Feature] = [Feature() for _ in range(n_features)]

    def predict(self, x: Sequence[float]) -> float:
        """The probability or the count that is expected of an example."""
        features = self.features
        high = self.clip_z
        low = -high
        total = 0.0
        row: list[float] = x if isinstance(x, list) else list(x)
        if len(row) != len(features):
            refuse(x, len(features))
        for f, v in zip(features, row):  # noqa: B905 - of one length; with strict mypyc makes no plain loop of it
            if not -INPUT_LIMIT <= v <= INPUT_LIMIT:
                refuse(x, len(features))
            z = (v - f.mean) / f.sd
            if z > high:
                z = high
            elif z < low:
                z = low
            total += f.weight * z
        return self.mean(total + self.intercept)

    def explain(self, x: Sequence[float]) -> tuple[float, float, list[float]]:
        """The same; then its terms on the scale of the link: intercept, and weight times scaled feature of each."""
        features = self.features
        high = self.clip_z
        low = -high
        total = 0.0
        terms: list[float] = []
        row: list[float] = x if isinstance(x, list) else list(x)
        if len(row) != len(features):
            refuse(x, len(features))
        for f, v in zip(features, row):  # noqa: B905 - of one length; with strict mypyc makes no plain loop of it
            if not -INPUT_LIMIT <= v <= INPUT_LIMIT:
                refuse(x, len(features))
            z = (v - f.mean) / f.sd
            if z > high:
                z = high
            elif z < low:
                z = low
            term = f.weight * z
            total += term
            terms.append(term)
        return self.mean(total + self.intercept), self.intercept, terms

    def mean(self, score: float) -> float:
        """What a linear score predicts; before anything was learned a count of 0, where River says 1."""
        if self.loss == COUNTS:
            if self.n == 0.0:
                return 0.0
            return math.exp(score if score < ETA_LIMIT else ETA_LIMIT)
        if -SIGMOID_LIMIT <= score <= SIGMOID_LIMIT:
            return 1.0 / (1.0 + math.exp(-score))
        return 1.0 if score > 0.0 else 0.0

    def slope(self, score: float, y: float) -> float:
        """Derivative of the loss by the linear score, clipped."""
        if self.loss == COUNTS:
            slope = math.exp(score if score < ETA_LIMIT else ETA_LIMIT) - y
        else:
            sign = 1.0 if y != 0.0 else -1.0
            margin = score * sign
            if margin > GRADIENT_LIMIT:
                slope = math.exp(-margin) * -sign
            elif margin < -GRADIENT_LIMIT:
                slope = -sign
            else:
                slope = -sign / (math.exp(margin) + 1.0)
        if slope > self.clip_gradient:
            return self.clip_gradient
        return slope if slope > -self.clip_gradient else -self.clip_gradient

    def learn(self, x: Sequence[float], y: float, counts: Sequence[float] | None = None) -> None:
        """Learn one example, or raise and learn nothing.

        Parameters
        ----------
        x
            The example.
        y
            Its label: 0 or not, or a finite count.
        counts
            Per feature, how many examples had it, this one counted; 0 if this one has it not, and then nothing is
            learned of the feature. Without it, all examples had all features.
        """
        features = self.features
        row: list[float] = x if isinstance(x, list) else list(x)
        if len(row) != len(features):
            refuse(x, len(features))
        slope = self.slope(self.scale(x, row, counts), y)
        if counts is not None:
            features = [f for f, count in zip(features, counts, strict=True) if count != 0.0]
        for f in features:
            f.mean = f.new_mean
            f.variance = f.new_variance
            f.sd = f.new_sd
            self.step(f, slope)
        self.intercept -= self.intercept_lr * slope
        self.n += 1.0

    def scale(self, x: Sequence[float], row: list[float], counts: Sequence[float] | None) -> float:
        """Put the scaler's next numbers and the scaled example beside what was learned; give the linear score.

        The scaler learns first, as in River's pipelines: an example is scaled with itself already counted.
        """
        high = self.clip_z
        low = -high
        total = 0.0
        i = 0
        n = self.n + 1.0
        for f, v in zip(self.features, row):  # noqa: B905 - as above
            if not -INPUT_LIMIT <= v <= INPUT_LIMIT:
                refuse(x, len(row))
            if counts is not None:
                n = counts[i]
                i += 1
                if n == 0.0:
                    continue
            d = v - f.mean
            mean = f.mean + d / n
            z = v - mean
            variance = f.variance + (d * z - f.variance) / n
            f.new_mean = mean
            f.new_variance = variance
            if variance != 0.0:
                sd = math.pow(variance, 0.5)
                z /= sd
                if z > high:
                    z = high
                elif z < low:
                    z = low
                total += f.weight * z
                f.new_sd = sd
                f.z = z
            else:
                f.new_sd = _INFINITY
                f.z = 0.0
        return total + self.intercept

    def step(self, f: Feature, slope: float) -> None:
        """Move one weight. No number can overflow here: features and settings are bounded."""
        g = f.z * slope
        if self.l2 != 0.0:
            g += self.l2 * f.weight
        if self.optimizer == ADAGRAD:
            f.square += math.pow(g, 2.0)
            f.weight -= self.lr / math.pow(f.square + self.extra, 0.5) * g
        elif self.optimizer == SGD:
            f.weight -= self.lr * g
        else:
            root = math.pow(f.square, 0.5)
            # River's way: the weight follows the sums of the examples before this one.
            if abs(f.residual) > self.ftrl_l1:
                shrunk = f.residual - (self.ftrl_l1 if f.residual > 0.0 else -self.ftrl_l1)
                f.weight = -math.pow((self.extra + root) / self.lr + self.ftrl_l2, -1.0) * shrunk
            square = f.square + math.pow(g, 2.0)
            f.residual += g - (math.pow(square, 0.5) - root) / self.lr * f.weight
            f.square = square

    def save(self) -> tuple[float, list[list[float]]]:
        """All that was learned: the intercept; by feature means, variances, weights, squares, residuals."""
        features = self.features
        return self.intercept, [
            [f.mean for f in features],
            [f.variance for f in features],
            [f.weight for f in features],
            [f.square for f in features],
            [f.residual for f in features],
        ]

    def load(self, n: float, intercept: float, lists: Sequence[Sequence[float]]) -> None:
        """Go on from what `save` gave after so many examples."""
        means, variances, weights, squares, residuals = lists
        self.n = n
        self.intercept = intercept
        for i, f in enumerate(self.features):
            f.mean = means[i]
            f.variance = variances[i]
            f.sd = math.pow(f.variance, 0.5) if f.variance != 0.0 else _INFINITY
            f.weight = weights[i]
            f.square = squares[i]
            f.residual = residuals[i]


class Frame:
    """Running mean and variance of every feature, and vectors in standard deviations from the mean.

    Not River's operations: a variance is divided by once, when it changes, and not at every use.

    Parameters
    ----------
    n_features
        Length of a vector, >= 1.
    clip_z
        Scaled features beyond plus or minus this count as this.
    """

    def __init__(self, n_features: int, clip_z: float) -> None:
        self.n = 0.0
        self.clip_z = float(clip_z)
        self.means: list[float] = [0.0] * n_features
        self.variances: list[float] = [0.0] * n_features
        # One over the standard deviation; 0 for a feature that never varied, which so scales to 0.
        self.roots: list[float] = [0.0] * n_features

    def learn(self, x: Sequence[float]) -> None:
        """Take in one vector (Welford), or raise and take in nothing."""
        row: list[float] = x if isinstance(x, list) else list(x)
        if len(row) != len(self.means):
            refuse(x, len(self.means))
        n = self.n + 1.0
        means: list[float] = []
        variances: list[float] = []
        roots: list[float] = []
        for v, m, k in zip(row, self.means, self.variances):  # noqa: B905 - as above
            if not -INPUT_LIMIT <= v <= INPUT_LIMIT:
                refuse(x, len(row))
            d = v - m
            mean = m + d / n
            variance = k + (d * (v - mean) - k) / n
            means.append(mean)
            variances.append(variance)
            roots.append(1.0 / math.sqrt(variance) if variance > 0.0 else 0.0)
        self.n = n
        self.means = means
        self.variances = variances
        self.roots = roots

    def scaled(self, x: Sequence[float]) -> list[float]:
        """The vector in standard deviations from the mean, clipped, and a 1 for the intercept behind it."""
        row: list[float] = x if isinstance(x, list) else list(x)
        if len(row) != len(self.means):
            refuse(x, len(self.means))
        high = self.clip_z
        low = -high
        scaled: list[float] = []
        for v, m, root in zip(row, self.means, self.roots):  # noqa: B905 - as above
            if not -INPUT_LIMIT <= v <= INPUT_LIMIT:
                refuse(x, len(row))
            z = (v - m) * root
            if z > high:
                z = high
            elif z < low:
                z = low
            scaled.append(z)
        scaled.append(1.0)
        return scaled

    def load(self, n: float, means: Sequence[float], variances: Sequence[float]) -> None:
        """Go on from these numbers."""
        self.n = float(n)
        self.means = list(means)
        self.variances = list(variances)
        self.roots = [1.0 / math.sqrt(k) if k > 0.0 else 0.0 for k in self.variances]


def dot(weights: list[float], z: list[float]) -> float:
    """Sum of the products, from the first to the last."""
    total = 0.0
    for w, v in zip(weights, z):  # noqa: B905 - as above
        total += w * v
    return total


def products(weights: list[float], z: list[float], terms: list[float]) -> float:
    """The same sum; puts the products behind `terms`."""
    total = 0.0
    for w, v in zip(weights, z):  # noqa: B905 - as above
        term = w * v
        total += term
        terms.append(term)
    return total


def moved(weights: list[float], direction: list[float], step: float) -> list[float]:
    """Weights plus `step` times `direction`."""
    out: list[float] = []
    for w, d in zip(weights, direction):  # noqa: B905 - as above
        out.append(w + d * step)
    return out


def grouped(terms: list[float], places: list[int], n_groups: int) -> list[float]:
    """Sum of the terms of each group; `places` says to which group a term belongs."""
    sums: list[float] = [0.0] * n_groups
    for term, place in zip(terms, places):  # noqa: B905 - as above
        sums[place] += term
    return sums
