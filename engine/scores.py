"""The scores of one moment, as they were made."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Scores"]


class Scores(NamedTuple):
    """What was predicted of a customer.

    Parameters
    ----------
    churn
        Probability of no own activity within the churn horizon, 0 to 1; high is risky.
    engagement
        Expected number of engagement events within the engagement horizon, >= 0.
    contact
        Probability of a `request`, `complaint` or `suggestion` within the contact horizon, 0 to 1.
    members
        Logits of the parts of the churn model, which its mixture learns from; empty when another model is shown.
    rivals
        Churn probability of each challenger, in the order of the settings.
    """

    churn: float
    engagement: float
    contact: float = 0.0
    members: tuple[float, ...] = ()
    rivals: tuple[float, ...] = ()
