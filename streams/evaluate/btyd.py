"""BG/NBD and MBG/NBD: models of buying until one quits, which need no labels.

While alive a customer buys at a gamma-distributed rate of their own; after each purchase (MBG: also after the first)
they quit with a beta-distributed probability of their own.

Never show P(alive) as a risk of churn: BG/NBD gives 1 to everybody who bought once. The probability of no purchase
within the horizon is what compares.

References
----------
Fader, Hardie, Lee (2005), "Counting your customers" the easy way: an alternative to the Pareto/NBD model, Marketing
Science 24. Batislam, Denizel, Filiztekin (2007), Empirical validation and comparison of models for customer base
analysis, International Journal of Research in Marketing 24.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize  # type: ignore[import-untyped] # scipy ships no types
from scipy.special import betaln, gammaln, hyp2f1  # type: ignore[import-untyped] # as above

from streams.evaluate.history import Floats, Purchases

__all__ = ["BuyTillQuit", "fit_btyd", "log_likelihood"]

_PENALTY = 1e-3  # keeps parameters finite where the data do not: lifetimes' advice for small samples
_SPAN = 10.0  # the longest age after scaling, so that all parameters are of one size


class BuyTillQuit(NamedTuple):
    """A fitted model.

    Parameters
    ----------
    r, alpha
        Shape and rate (days) of the gamma distribution of buying rates.
    a, b
        Of the beta distribution of the probability of quitting.
    modified
        MBG/NBD: one may also quit right after the first purchase.
    """

    r: float
    alpha: float
    a: float
    b: float
    modified: bool

    def p_alive(self, seen: Purchases) -> Floats:
        """Probability that a customer has not quit, 0 to 1."""
        x, recency, age = seen
        with np.errstate(over="ignore"):
            # A long silence after hundreds of acts: infinite odds are the right answer.
            odds = ((self.alpha + age) / (self.alpha + recency)) ** (self.r + x)
        if self.modified:
            return np.asarray(1.0 / (1.0 + self.a / (self.b + x) * odds))
        quit_odds = np.where(x > 0, self.a / np.maximum(self.b + x - 1.0, 1e-12), 0.0)
        return np.asarray(1.0 / (1.0 + quit_odds * odds))

    def p_none(self, seen: Purchases, horizon_d: float) -> Floats:
        """Probability of no purchase in the next `horizon_d` days, 0 to 1."""
        silent = ((self.alpha + seen.age_d) / (self.alpha + seen.age_d + horizon_d)) ** (self.r + seen.frequency)
        return np.asarray(1.0 - self.p_alive(seen) * (1.0 - silent))

    def expected(self, seen: Purchases, horizon_d: float) -> Floats:
        """Expected number of purchases in the next `horizon_d` days, >= 0; BG/NBD only."""
        x, _, age = seen
        r, alpha, a, b = self.r, self.alpha, self.a, self.b
        z = horizon_d / (alpha + age + horizon_d)
        still = ((alpha + age) / (alpha + age + horizon_d)) ** (r + x)
        with np.errstate(all="ignore"):
            many = (a + b + x - 1) / (a - 1) * (1 - still * hyp2f1(r + x, b + x, a + b + x - 1, z))
        # Where nobody ever quits (a = 0) or a is 1, the formula divides 0 by 0: then it is the mean of the rate.
        plain = (r + x) / (alpha + age) * horizon_d
        usable = np.isfinite(many) & (many >= 0) & (many <= plain)
        return np.asarray(np.where(usable, many, plain) * self.p_alive(seen))


def log_likelihood(parameters: Floats, seen: Purchases, modified: bool) -> Floats:
    """Logarithm of the likelihood of each customer.

    Parameters
    ----------
    parameters
        r, alpha, a, b, all > 0.
    seen
        The customers; times in the unit of alpha.
    modified
        MBG/NBD instead of BG/NBD.
    """
    r, alpha, a, b = parameters
    x, recency, age = seen
    common = gammaln(r + x) - gammaln(r) + r * np.log(alpha)
    if modified:
        # The first purchase is an occasion to quit too: one more beta trial for everybody.
        alive = betaln(a, b + x + 1) - betaln(a, b) - (r + x) * np.log(alpha + age)
        gone = betaln(a + 1, b + x) - betaln(a, b) - (r + x) * np.log(alpha + recency)
        return np.asarray(common + np.logaddexp(alive, gone))
    alive = betaln(a, b + x) - betaln(a, b) - (r + x) * np.log(alpha + age)
    bought = np.maximum(x, 1.0)
    gone = betaln(a + 1, b + bought - 1) - betaln(a, b) - (r + x) * np.log(alpha + recency)
    return np.asarray(common + np.where(x > 0, np.logaddexp(alive, gone), alive))


def fit_btyd(seen: Purchases, *, modified: bool = False) -> BuyTillQuit | None:
    """Maximum likelihood with a small penalty on the squares of the parameters.

    Parameters
    ----------
    seen
        All customers known so far, times in days.
    modified
        MBG/NBD instead of BG/NBD.

    Returns
    -------
    BuyTillQuit or None
        `None` when there is nothing to learn from: nobody, or nobody who ever came back.
    """
    if not len(seen.frequency) or not seen.frequency.any():
        return None
    scale = _SPAN / float(seen.age_d.max())
    # Customers of equal history weigh together: a log of days has few different ones.
    rows, weight = np.unique(
        np.stack((seen.frequency, seen.recency_d * scale, seen.age_d * scale), axis=1), axis=0, return_counts=True
    )
    unique = Purchases(rows[:, 0], rows[:, 1], rows[:, 2])
    share = weight / weight.sum()

    def cost(logs: Floats) -> float:
        parameters = np.exp(logs)
        value = -(share * log_likelihood(parameters, unique, modified)).sum() + _PENALTY * (parameters**2).sum()
        return float(value) if np.isfinite(value) else 1e10

    best = minimize(cost, np.log([0.5, 1.0, 0.5, 1.5]), method="L-BFGS-B", bounds=[(-12.0, 12.0)] * 4)
    r, alpha, a, b = (float(value) for value in np.exp(best.x))
    return BuyTillQuit(r, alpha / scale, a, b, modified)
