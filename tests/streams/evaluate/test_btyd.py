"""Customers simulated by the models' own story are understood by their fits."""

from __future__ import annotations

import numpy as np
import pytest

from streams.evaluate.btyd import BuyTillQuit, fit_btyd, log_likelihood
from streams.evaluate.history import Floats, Purchases

WEEK = 7.0
# Of CDNOW's sample of 2,357 customers, as Fader, Hardie and Lee (2005) print them; alpha in weeks there.
CDNOW = BuyTillQuit(0.243, 4.414 * WEEK, 0.793, 2.426, modified=False)
MODIFIED = BuyTillQuit(0.525, 6.183 * WEEK, 0.891, 1.614, modified=True)


def simulated(truth: BuyTillQuit, n: int, age_d: float, horizon_d: float) -> tuple[Purchases, Floats]:
    """Customers after `age_d` days, and how often each buys in the next `horizon_d`."""
    rng = np.random.default_rng(11)
    x, last, later = np.zeros(n), np.zeros(n), np.zeros(n)
    rates = rng.gamma(truth.r, 1 / truth.alpha, n)
    quits = rng.beta(truth.a, truth.b, n)
    for who in range(n):
        t = 0.0
        alive = not (truth.modified and rng.uniform() < quits[who])
        while alive:
            t += rng.exponential(1 / max(rates[who], 1e-12))
            if t > age_d + horizon_d:
                break
            if t <= age_d:
                x[who], last[who] = x[who] + 1, t
            else:
                later[who] += 1
            alive = rng.uniform() >= quits[who]
    return Purchases(x, last, np.full(n, age_d)), later


@pytest.mark.parametrize("truth", [CDNOW, MODIFIED], ids=["bg", "mbg"])
def test_a_fit_foresees_who_buys_no_more(truth: BuyTillQuit) -> None:
    seen, later = simulated(truth, 12_000, 270.0, 90.0)
    fit = fit_btyd(seen, modified=truth.modified)
    assert fit is not None
    p = fit.p_none(seen, 90.0)
    assert p.mean() == pytest.approx((later == 0).mean(), abs=0.01)
    for low, high in ((0, 1), (1, 3), (3, 99)):
        some = (seen.frequency >= low) & (seen.frequency < high)
        assert p[some].mean() == pytest.approx((later[some] == 0).mean(), abs=0.03)
    # On the data it was fitted to as likely as the truth, but for what the penalty costs.
    logs = [log_likelihood(np.array(each[:4]), seen, truth.modified).mean() for each in (fit, truth)]
    assert logs[0] >= logs[1] - 5e-3
    assert fit.r == pytest.approx(truth.r, rel=0.15)
    assert fit.r / fit.alpha == pytest.approx(truth.r / truth.alpha, rel=0.1)


def test_expected_purchases_are_those_that_come() -> None:
    seen, later = simulated(CDNOW, 12_000, 270.0, 90.0)
    expected = CDNOW.expected(seen, 90.0)
    assert expected.mean() == pytest.approx(later.mean(), rel=0.06)
    many = seen.frequency >= 3
    assert expected[many].mean() == pytest.approx(later[many].mean(), rel=0.1)
    assert (expected >= 0).all()


def test_the_likelihood_of_a_customer_who_never_came_back() -> None:
    # Only silence since the first purchase: the gamma mixture alone, in either unit of time.
    alone = Purchases(np.array([0.0]), np.array([0.0]), np.array([100.0]))
    r, alpha = CDNOW.r, CDNOW.alpha
    assert log_likelihood(np.array(CDNOW[:4]), alone, False)[0] == pytest.approx(r * np.log(alpha / (alpha + 100)))


def test_the_likelihoods_of_all_histories_are_one() -> None:
    # P(x = 0) and the density of one purchase at each time, and of two, add up to nearly all where purchases are rare.
    at = (np.arange(4000) + 0.5) / 4000 * 20.0
    width = 20.0 / 4000
    none = np.exp(log_likelihood(np.array(CDNOW[:4]), Purchases(*(np.array([v]) for v in (0.0, 0.0, 20.0))), False))[0]
    one = np.exp(log_likelihood(np.array(CDNOW[:4]), Purchases(np.ones(4000), at, np.full(4000, 20.0)), False))
    two = np.exp(log_likelihood(np.array(CDNOW[:4]), Purchases(np.full(4000, 2.0), at, np.full(4000, 20.0)), False))
    # Of two purchases the first may lie anywhere before the last.
    total = none + (one * width).sum() + (two * at * width).sum()
    assert 0.97 < total < 1.0


def test_one_time_buyers_are_alive_for_bg_nbd_and_at_risk_all_the_same() -> None:
    once = Purchases(np.array([0.0]), np.array([0.0]), np.array([300.0]))
    assert CDNOW.p_alive(once).tolist() == [1.0]
    assert MODIFIED.p_alive(once)[0] < 0.7
    assert CDNOW.p_none(once, 90.0)[0] > 0.9


def test_nobody_and_nobody_who_came_back_teach_nothing() -> None:
    assert fit_btyd(Purchases(np.empty(0), np.empty(0), np.empty(0))) is None
    assert fit_btyd(Purchases(np.zeros(3), np.zeros(3), np.ones(3))) is None


def test_where_nobody_quits_the_expectation_is_the_mean_of_the_rate() -> None:
    steady = BuyTillQuit(2.0, 30.0, 1e-6, 1.0, modified=False)
    seen = Purchases(np.array([8.0]), np.array([70.0]), np.array([70.0]))
    assert steady.expected(seen, 10.0)[0] == pytest.approx(1.0, rel=1e-3)


@pytest.mark.parametrize("model", [CDNOW, MODIFIED], ids=["bg", "mbg"])
def test_a_long_silence_after_many_acts_is_certainty_and_no_overflow(model: BuyTillQuit) -> None:
    gone = Purchases(np.array([900.0]), np.array([5.0]), np.array([400.0]))
    assert model.p_none(gone, 7.0).tolist() == [1.0]
