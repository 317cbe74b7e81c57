"""The closed form of the prior against numerical integration of the gamma-Poisson model."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.nbd import P_LIMIT, silence_logit

times = st.floats(0.0, 400.0)


def integrated(n: int, tenure: float, horizon: float, begin: float, end: float) -> float:
    """Probability of silence in (begin, end], by a sum over rates.

    Rates are exponential with mean 1/horizon before the first act. Given `n` acts, the first of them at once, within
    `tenure` and none for `begin`, a rate weighs prior times Poisson likelihood.
    """
    # On the scale of the logarithm of the rate, where the weight is smooth whatever `n` is.
    log_rate = np.linspace(math.log(1e-12), math.log(1e6), 200_001)
    rate = np.exp(log_rate)
    log_weight = n * log_rate - rate * (horizon + tenure + begin)  # one power of the rate is of d rate = rate d log
    weight = np.exp(log_weight - log_weight.max())
    return float((weight * np.exp(-rate * (end - begin))).sum() / weight.sum())


@pytest.mark.parametrize("n", [1, 2, 5, 40, 300])
@pytest.mark.parametrize("tenure", [0.0, 3.0, 90.0, 4_000.0])
@pytest.mark.parametrize(("begin", "end"), [(0.0, 30.0), (0.0, 7.5), (7.5, 30.0), (89.0, 90.0)])
def test_silence_is_that_of_numerical_integration(n: int, tenure: float, begin: float, end: float) -> None:
    p = min(max(integrated(n, tenure, 30.0, begin, end), P_LIMIT), 1.0 - P_LIMIT)
    assert silence_logit(n, tenure, 30.0, begin, end) == pytest.approx(math.log(p / (1.0 - p)), abs=1e-4)


@given(st.integers(1, 10_000), times, st.floats(0.1, 400.0), st.floats(0.05, 0.95))
def test_pieces_of_a_window_multiply_to_the_whole(n: int, tenure: float, horizon: float, share: float) -> None:
    def p(begin: float, end: float) -> float:
        return 1.0 / (1.0 + math.exp(-silence_logit(n, tenure, horizon, begin, end)))

    edge = share * horizon
    # But for the limits of each.
    assert p(0.0, edge) * p(edge, horizon) == pytest.approx(p(0.0, horizon), rel=1e-5, abs=3e-6)


@given(st.integers(1, 1_000), times, times, st.floats(0.01, 400.0))
def test_more_acts_less_silence_and_longer_tenure_more(n: int, tenure: float, more: float, horizon: float) -> None:
    at = silence_logit(n, tenure, horizon, 0.0, horizon)
    assert silence_logit(n + 1, tenure, horizon, 0.0, horizon) <= at
    assert silence_logit(n, tenure + more, horizon, 0.0, horizon) >= at - 1e-9


@given(st.floats(0.0, 1e12), st.floats(0.0, 1e12), st.floats(1e-6, 1e6), st.floats(0.0, 1e6), st.floats(1e-6, 1e6))
def test_the_logit_is_finite_and_within_its_limits(
    n: float, tenure: float, horizon: float, begin: float, length: float
) -> None:
    limit = math.log((1.0 - P_LIMIT) / P_LIMIT) + 1e-9
    assert -limit <= silence_logit(n, tenure, horizon, begin, begin + length) <= limit


def test_who_came_once_just_now_stays_away_with_an_even_chance() -> None:
    assert silence_logit(1, 0.0, 7.0, 0.0, 7.0) == 0.0
