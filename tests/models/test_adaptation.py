"""What adapts to a known break, and how fast: the churn model on streams whose world changes at a known example."""

from __future__ import annotations

import math
import random

import pytest

from models.blend import Blend

N, BREAK = 6_000, 3_000
PRIORS = [0.0, 2.0, 1.0]
"""Of the whole horizon and of two pieces; their product is about one half."""


def losses(before: tuple[float, float], after: tuple[float, float], seed: int) -> tuple[list[float], list[float]]:
    """Log-loss less that of who knows the truth, and prediction, of every example.

    `before` and `after` are intercept and weight of the logit of silence to the end; half of those who are not silent
    to the end are silent through the first piece.
    """
    rng = random.Random(seed)
    blend = Blend(3, 2)
    regrets, predictions = [], []
    for i in range(N):
        intercept, weight = before if i < BREAK else after
        x = [rng.gauss(0.0, 1.0), rng.gauss(5.0, 2.0), float(i % 2)]
        truth = 1.0 / (1.0 + math.exp(-(intercept + weight * x[0])))
        y = rng.random() < truth
        forecast = blend.predict(x, PRIORS)
        p = min(max(forecast.p, 1e-4), 1.0 - 1e-4)
        regrets.append(-math.log(p if y else 1.0 - p) + math.log(truth if y else 1.0 - truth))
        predictions.append(forecast.p)
        first = y or rng.random() < 0.5
        blend.learn_piece(0, x, first)
        if first:
            blend.learn_piece(1, x, y)
        blend.learn_end(x, y, forecast.members)
    return regrets, predictions


def mean(numbers: list[float]) -> float:
    return math.fsum(numbers) / len(numbers)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_base_rate_that_breaks_is_followed_within_two_thousand_labels(seed: int) -> None:
    regrets, predictions = losses((-1.4, 1.0), (0.4, 1.0), seed)
    assert mean(regrets[2_000:BREAK]) < 0.01
    # At first the model is as wrong as the break is large.
    assert mean(regrets[BREAK : BREAK + 100]) > 0.1
    assert mean(regrets[BREAK + 2_000 :]) < 0.02
    assert abs(mean(predictions[BREAK + 2_000 :]) - 0.58) < 0.05


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_an_effect_that_turns_around_is_unlearned_within_two_thousand_labels(seed: int) -> None:
    regrets, _ = losses((0.0, 1.5), (0.0, -1.5), seed)
    assert mean(regrets[2_000:BREAK]) < 0.01
    at_first, later = mean(regrets[BREAK : BREAK + 100]), mean(regrets[BREAK + 2_000 :])
    assert at_first > 0.4
    assert later < 0.2 * at_first
