"""How likely a customer is to stay silent, from how often they came and since when: a prior that needs no labels.

Acts come at random at a rate of the customer's own, and rates differ as a gamma distribution (the negative binomial
model of buying). Who came `n` times in `tenure` then stays away for another while with a probability in closed form.
Wrong for customers who leave for good (it knows no leaving) and for regular ones; a learner takes over within some
hundred labels.

References
----------
Ehrenberg (1959), The pattern of consumer purchases, Applied Statistics 8; with leaving: Schmittlein, Morrison and
Colombo (1987), Counting your customers, Management Science 33.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["P_LIMIT", "silence_logit"]

P_LIMIT: Final = 1e-6
"""Probabilities are kept this far from 0 and 1."""


def silence_logit(n: float, tenure: float, horizon: float, begin: float, end: float) -> float:
    """Logit of the probability of no act in (begin, end] from now, given none until `begin`.

    The rates' prior is one of shape 1 (exponential) and as heavy as one act in a horizon: somebody who came once, just
    now, stays away for a horizon with probability 1/2. On four real logs that is closer to the truth, until some
    hundred labels have come, than the base rate so far (docs/learning.md).

    Parameters
    ----------
    n
        Acts so far, >= 1.
    tenure
        Time since the first act, >= 0, in any unit.
    horizon
        Weight of the prior, > 0, same unit.
    begin, end
        From now, 0 <= begin < end, same unit.

    Examples
    --------
    >>> silence_logit(1, 0.0, 30.0, 0.0, 30.0)
    0.0
    >>> silence_logit(9, 30.0, 30.0, 0.0, 30.0) < -3
    True
    """
    nats = n * math.log((horizon + tenure + end) / (horizon + tenure + begin))
    p = min(max(math.exp(-nats), P_LIMIT), 1.0 - P_LIMIT)
    return math.log(p / (1.0 - p))
