"""Streams of examples that the tests of the learners share."""

from __future__ import annotations

import math
import random

__all__ = ["N_FEATURES", "examples"]

N_FEATURES = 16


def examples(n: int, seed: int) -> list[tuple[list[float], bool, float]]:
    """Feature vectors with a label and a count that depend on some of them; one feature is constant for a long time."""
    rng = random.Random(seed)
    out = []
    for i in range(n):
        x = [rng.gauss(0.0, 1.0 + j) + j * j for j in range(N_FEATURES - 3)]
        x += [0.0 if i < n // 2 else rng.random(), math.log1p(i), float(rng.random() < 0.3)]
        logit = 0.8 * x[0] - 0.5 * (x[1] - 1.0) + x[15]
        p = 1.0 / (1.0 + math.exp(-logit))
        out.append((x, rng.random() < p, float(rng.randrange(4)) if rng.random() < p else 0.0))
    return out
