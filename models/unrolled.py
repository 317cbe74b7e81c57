"""The loops of a dense linear learner, written out for a number of features: the arithmetic where nothing is compiled.

A loop over lists of 16 floats spends a quarter of its time on looping: on packing and unpacking the lists' items and on
the places to store results at. So the statements for one feature stand here once, as text, and are repeated for every
feature with the place's number in the names. Only checked numbers go into the text.

Every statement is that of `models.kernel`, with the same operations in the same order, so that the numbers are the
same to the bit: `** 0.5` and `** 2.0` are C's `pow` there and here.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

from models.kernel import ADAGRAD, COUNTS, ETA_LIMIT, FTRL, GRADIENT_LIMIT, INPUT_LIMIT, SGD, SIGMOID_LIMIT, refuse

__all__ = ["Kernels", "Numbers", "Unrolled", "Vector", "kernels"]

Vector = tuple[float, ...]
"""One number per feature."""

Numbers = tuple[float, Vector, Vector, Vector, Vector, Vector, Vector]
"""All that was learned: intercept; by feature means, variances, standard deviations, weights, squares, residuals."""

_TEXT: Final = """
def predict(x, numbers):
    intercept, ({m}), _, ({s}), ({w}), _, _ = numbers
    {v} = x
    total = 0.0
    {score}
    total += intercept
    {mean}
    return p

def explain(x, numbers):
    intercept, ({m}), _, ({s}), ({w}), _, _ = numbers
    {v} = x
    total = 0.0
    {terms}
    total += intercept
    {mean}
    return p, intercept, [{t}]

def learn(x, y, counts, numbers):
    intercept, ({m}), ({k}), _, ({w}), {squares}, {residuals} = numbers
    {c} = counts
    {v} = x
    total = 0.0
    {scale}
    total += intercept
    {slope}
    {step}
    return intercept - INTERCEPT_LR * slope, ({m}), ({k}), ({s}), ({w}), {squares}, {residuals}
"""

_CLIP: Final = """
    if z# > CLIP_Z: z# = CLIP_Z
    elif z# < -CLIP_Z: z# = -CLIP_Z
"""

_SCORE: Final = """
    z# = (v# - m#) / s#
    CLIPPED
    total += w# * z#
"""

_TERMS: Final = """
    z# = (v# - m#) / s#
    CLIPPED
    t# = w# * z#
    total += t#
"""

# The scaler learns first, as in River's pipelines: an example is scaled with itself already counted.
_SCALE: Final = """
    d = v# - m#
    m# += d / c#
    z# = v# - m#
    k# += (d * z# - k#) / c#
    if k#:
        s# = k# ** 0.5
        z# /= s#
    CLIPPED
        total += w# * z#
    else:
        s# = INF
        z# = 0.0
"""

_MEANS: Final = {
    False: """
    if -SIGMOID_LIMIT <= total <= SIGMOID_LIMIT: p = 1.0 / (1.0 + exp(-total))
    else: p = 1.0 if total > 0.0 else 0.0
""",
    True: """
    p = exp(total if total < ETA_LIMIT else ETA_LIMIT)
""",
}

_SLOPES: Final = {
    False: """
    sign = 1.0 if y else -1.0
    margin = total * sign
    if margin > GRADIENT_LIMIT: slope = exp(-margin) * -sign
    elif margin < -GRADIENT_LIMIT: slope = -sign
    else: slope = -sign / (exp(margin) + 1.0)
""",
    True: """
    slope = exp(total if total < ETA_LIMIT else ETA_LIMIT) - y
""",
}

_CLIP_SLOPE: Final = """
    if slope > CLIP_GRADIENT: slope = CLIP_GRADIENT
    elif not slope > -CLIP_GRADIENT: slope = -CLIP_GRADIENT
"""

_RIDGE: Final = """
    g += L2 * w#
"""

_STEPS: Final = {
    SGD: """
    g = z# * slope
    RIDGE
    w# -= LR * g
""",
    ADAGRAD: """
    g = z# * slope
    RIDGE
    q# += g ** 2.0
    w# -= LR / (q# + EXTRA) ** 0.5 * g
""",
    FTRL: """
    g = z# * slope
    RIDGE
    root = q# ** 0.5
    if not -FTRL_L1 <= r# <= FTRL_L1:
        w# = -((EXTRA + root) / LR + FTRL_L2) ** -1.0 * (r# - (FTRL_L1 if r# > 0.0 else -FTRL_L1))
    q# += g ** 2.0
    r# += g - (q# ** 0.5 - root) / LR * w#
""",
}


class Kernels(NamedTuple):
    """The written-out functions; none changes what it is given.

    Parameters
    ----------
    predict
        Of an example and numbers: the probability or the count that is expected.
    explain
        Of the same: the same, the intercept, and the terms by feature.
    learn
        Of example, label, counts by feature (this example counted) and numbers: the numbers after it.
    """

    predict: Callable[[Sequence[float], Numbers], float]
    explain: Callable[[Sequence[float], Numbers], tuple[float, float, list[float]]]
    learn: Callable[[Sequence[float], float, Sequence[float], Numbers], Numbers]


@functools.cache
def kernels(n_features: int, loss: int, optimizer: int, settings: tuple[float, ...]) -> Kernels:
    """The functions for examples of this many features; written once, about 1 ms for 16.

    Parameters
    ----------
    n_features
        Length of an example, >= 1. Meant for tens; a thousand take a tenth of a second to write.
    loss, optimizer, settings
        As `models.kernel.Kernel` takes them.

    Examples
    --------
    >>> numbers = (0.5, (1.0, 0.0), (4.0, 0.0), (2.0, math.inf), (0.25, 1.0), (1.0, 0.0), (0.0, 0.0))
    >>> kernels(2, COUNTS, ADAGRAD, (0.1, 0.01, 4.0, 3.0, 0.0, 1e-8, 0.0, 0.0)).explain([3.0, 9.0], numbers)[1:]
    (0.5, [0.25, 0.0])
    """
    places = range(n_features)  # refuses what is no integer
    names = ("LR", "INTERCEPT_LR", "CLIP_Z", "CLIP_GRADIENT", "L2", "EXTRA", "FTRL_L1", "FTRL_L2")
    # As literals: looked up by name, and negated, in every statement, they cost a tenth of the time.
    literals = {name: repr(float(value)) for name, value in zip(names, settings, strict=True)}
    literals |= {"ETA_LIMIT": repr(ETA_LIMIT), "SIGMOID_LIMIT": repr(SIGMOID_LIMIT)}
    literals |= {"GRADIENT_LIMIT": repr(GRADIENT_LIMIT)}
    clip, ridge = "" if settings[2] == math.inf else _CLIP, _RIDGE if settings[4] else ""
    bodies = {
        "score": _SCORE.replace("    CLIPPED\n", clip),
        "terms": _TERMS.replace("    CLIPPED\n", clip),
        "scale": _SCALE.replace("    CLIPPED\n", clip.replace("    ", " " * 8)),
        "step": _STEPS[optimizer].replace("    RIDGE\n", ridge),
    }
    parts = {name: "\n".join(body.replace("#", str(place)) for place in places) for name, body in bodies.items()}
    parts |= {"mean": _MEANS[loss == COUNTS], "slope": _SLOPES[loss == COUNTS] + _CLIP_SLOPE}
    parts = {name: part.strip() for name, part in parts.items()}
    parts |= {name: "".join(f"{name}{place}, " for place in places) for name in "cmkqrstvw"}
    # What an optimizer does not keep is handed on as a whole.
    parts["squares"] = "squares" if optimizer == SGD else f"({parts['q']})"
    parts["residuals"] = f"({parts['r']})" if optimizer == FTRL else "residuals"
    text = _TEXT.format(**parts)
    # The longest first: one name is the end of another.
    for name in sorted(literals, key=len, reverse=True):
        text = text.replace(name, literals[name])
    made: dict[str, Any] = {"INF": math.inf, "exp": math.exp}
    exec(compile(text, f"<{__name__} for {n_features} features>", "exec"), made)
    return Kernels(made["predict"], made["explain"], made["learn"])


class Unrolled:
    """What `models.kernel.Kernel` is, with the same methods and the same numbers, in plain Python.

    Parameters
    ----------
    n_features, loss, optimizer, settings
        As `models.kernel.Kernel` takes them.
    """

    def __init__(self, n_features: int, loss: int, optimizer: int, settings: Sequence[float]) -> None:
        self._predict, self._explain, self._learn = kernels(n_features, loss, optimizer, tuple(settings))
        self.n_features = n_features
        self.n = 0.0
        self.is_count = loss == COUNTS
        zeros = (0.0,) * n_features
        self.numbers: Numbers = (0.0, zeros, zeros, (math.inf,) * n_features, zeros, zeros, zeros)

    # Whether a vector is fit is asked of its Euclidean length, which is quicker to find than the size of every part;
    # each part may still be within the limit when the length is over it.

    def predict(self, x: Sequence[float]) -> float:
        """See `models.kernel.Kernel.predict`."""
        if len(x) != self.n_features or not math.hypot(*x) <= INPUT_LIMIT:
            refuse(x, self.n_features)
        p = self._predict(x, self.numbers)
        return p if self.n or not self.is_count else 0.0

    def explain(self, x: Sequence[float]) -> tuple[float, float, list[float]]:
        """See `models.kernel.Kernel.explain`."""
        if len(x) != self.n_features or not math.hypot(*x) <= INPUT_LIMIT:
            refuse(x, self.n_features)
        why = self._explain(x, self.numbers)
        return why if self.n or not self.is_count else (0.0, *why[1:])

    def learn(self, x: Sequence[float], y: float, counts: Sequence[float] | None = None) -> None:
        """See `models.kernel.Kernel.learn`."""
        if len(x) != self.n_features or not math.hypot(*x) <= INPUT_LIMIT:
            refuse(x, self.n_features)
        n = self.n + 1.0
        # Assigned when all is done: whatever fails, nothing was learned.
        if counts is None:
            self.numbers = self._learn(x, y, (n,) * self.n_features, self.numbers)
        else:
            self.numbers = self._learn_some(x, y, counts)
        self.n = n

    def _learn_some(self, x: Sequence[float], y: float, counts: Sequence[float]) -> Numbers:
        """The numbers after an example for the features it has, those before it for the others."""
        before = self.numbers
        # At its mean a feature scales to 0.
        x = [v if count else mean for v, count, mean in zip(x, counts, before[1], strict=True)]
        intercept, *lists = self._learn(x, y, [count or 1.0 for count in counts], before)
        mixed = (
            tuple(new if count else old for count, new, old in zip(counts, after, earlier, strict=True))
            for after, earlier in zip(lists, before[1:], strict=True)
        )
        means, variances, sds, weights, squares, residuals = mixed
        return intercept, means, variances, sds, weights, squares, residuals

    def save(self) -> tuple[float, list[list[float]]]:
        """See `models.kernel.Kernel.save`."""
        intercept, means, variances, _, weights, squares, residuals = self.numbers
        return intercept, [list(part) for part in (means, variances, weights, squares, residuals)]

    def load(self, n: float, intercept: float, lists: Sequence[Sequence[float]]) -> None:
        """See `models.kernel.Kernel.load`."""
        means, variances, weights, squares, residuals = map(tuple, lists)
        sds = tuple(variance**0.5 or math.inf for variance in variances)
        self.n = n
        self.numbers = (intercept, means, variances, sds, weights, squares, residuals)
