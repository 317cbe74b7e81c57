"""The loops of a dense linear learner, written out for a number of features.

A loop over lists of 16 floats spends a quarter of its time on looping: on packing and unpacking the lists' items and on
the places to store results at. So the statements for one feature stand here once, as text, and are repeated for every
feature with the place's number in the names. The only thing that goes into the text is a checked integer.

Every statement is River's, with the same operations in the same order, so that the numbers are River's to the bit:
`** 0.5` and `** 2`, not `sqrt` and a product, which round otherwise once in a thousand times, and a sum from the first
feature to the last.

A standard deviation of 0 is kept as infinity: what is divided by it is 0, as River has it, without a question.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple

__all__ = ["CLIP_Z", "EPS", "Gradient", "Kernels", "Numbers", "Rates", "Vector", "kernels"]

CLIP_Z: Final = 4.0
"""Scaled features beyond plus or minus this count as this; see `models.linear`."""

EPS: Final = 1e-8
"""Of AdaGrad, under the root; River's default."""

Vector = tuple[float, ...]
"""One number per feature."""

Numbers = tuple[float, Vector, Vector, Vector, Vector, Vector]
"""All that was learned: intercept; by feature means, variances, standard deviations, weights, sums of squares."""

Rates = tuple[float, float]
"""Learning rates of weights and intercept."""

Gradient = Callable[[float, float], float]
"""Derivative of the loss by the score, from score and label."""

_HEAD: Final = """
def score(x, numbers):
    intercept, ({m}), _, ({s}), ({w}), _ = numbers
    {v} = x
    total = 0.0
    {score}
    return total + intercept

def terms(x, numbers):
    intercept, ({m}), _, ({s}), ({w}), _ = numbers
    {v} = x
    total = 0.0
    {terms}
    return total + intercept, [{t}]

def learn(x, y, counts, numbers, rates, gradient):
    intercept, ({m}), ({k}), _, ({w}), ({q}) = numbers
    {c} = counts
    {v} = x
    total = 0.0
    {scale}
    lr, intercept_lr = rates
    slope = gradient(total + intercept, y)
    {step}
    return intercept - intercept_lr * slope, ({m}), ({k}), ({s}), ({w}), ({q})
"""

_SCORE: Final = """
    z = (v# - m#) / s#
    if z > CLIP_Z: z = CLIP_Z
    elif z < -CLIP_Z: z = -CLIP_Z
    total += w# * z
"""

_TERMS: Final = """
    z = (v# - m#) / s#
    if z > CLIP_Z: z = CLIP_Z
    elif z < -CLIP_Z: z = -CLIP_Z
    t# = w# * z
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
        if z# > CLIP_Z: z# = CLIP_Z
        elif z# < -CLIP_Z: z# = -CLIP_Z
        total += w# * z#
    else:
        s# = INF
        z# = 0.0
"""

_STEP: Final = """
    d = z# * slope
    q# += d ** 2.0
    w# -= lr / (q# + EPS) ** 0.5 * d
"""


class Kernels(NamedTuple):
    """The written-out functions; none changes what it is given.

    Parameters
    ----------
    score
        Of an example and numbers: the score on the scale of the link.
    terms
        Of the same: the same score, and its terms by feature.
    learn
        Of example, label, counts by feature (this example counted), numbers, rates and gradient: the numbers after it.
    """

    score: Callable[[Sequence[float], Numbers], float]
    terms: Callable[[Sequence[float], Numbers], tuple[float, list[float]]]
    learn: Callable[[Sequence[float], float, Sequence[float], Numbers, Rates, Gradient], Numbers]


@functools.cache
def kernels(n_features: int) -> Kernels:
    """The functions for examples of this many features; written once, about 1 ms for 16.

    Parameters
    ----------
    n_features
        Length of an example, >= 1. Meant for tens; a thousand take a tenth of a second to write.

    Raises
    ------
    ValueError
        If it is not >= 1.

    Examples
    --------
    >>> numbers = (0.5, (1.0, 0.0), (4.0, 0.0), (2.0, math.inf), (0.25, 1.0), (1.0, 0.0))
    >>> kernels(2).terms([3.0, 9.0], numbers)
    (0.75, [0.25, 0.0])
    """
    if n_features < 1:
        raise ValueError(f"n_features: expected an integer >= 1, got {n_features!r}")
    places = range(n_features)  # refuses what is no integer
    names = {name: "".join(f"{name}{place}, " for place in places) for name in "cmkqstvw"}
    bodies = {
        name: "\n".join(_literal(body).replace("#", str(place)) for place in places).strip()
        for name, body in {"score": _SCORE, "terms": _TERMS, "scale": _SCALE, "step": _STEP}.items()
    }
    made: dict[str, Any] = {"INF": math.inf}
    exec(compile(_HEAD.format(**names, **bodies), f"<{__name__} for {n_features} features>", "exec"), made)
    return Kernels(made["score"], made["terms"], made["learn"])


def _literal(body: str) -> str:
    # Looked up by name, and negated, in every statement, they cost a tenth of the time.
    return body.replace("CLIP_Z", repr(CLIP_Z)).replace("EPS", repr(EPS))
