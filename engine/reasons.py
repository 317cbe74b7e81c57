"""Why a score is what it is: at most four reasons that add up to it.

A linear model's score, on the scale of its link, is a bias and one term per feature (`Learner.contributions`). Terms of
one group of features (`engine.features.GROUPS`) are one reason; people are shown the three heaviest, and what is left
together as `other`. Weights are relative to the average customer: a positive weight of `churn` speaks for leaving.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from engine.catalogue import CATALOGUE
from engine.features import GROUPS
from models.kernels import grouped

__all__ = ["MAX_REASONS", "OTHER", "Reason", "reasons"]

MAX_REASONS: Final = 4
"""Most reasons a score carries; the last of so many is `other`."""

OTHER: Final = "other"
"""Code of the reason that holds what the shown ones leave."""

_OTHER_TEXT_EN: Final = "other reasons"
_OTHER_TEXT_ZH: Final = "其他原因"
_PLACE: Final = {group.code: place for place, group in enumerate(GROUPS)}
_PLACES: Final = [_PLACE[feature.group.code] for feature in CATALOGUE]


class Reason(NamedTuple):
    """One reason of a score.

    Parameters
    ----------
    code
        Stable name: the group's, or `other`.
    weight
        Its part of the score on the scale of the link (logit of a probability, logarithm of a count).
    text_en, text_zh
        What it is about, for people; the sign of the weight says in which direction it speaks.
    """

    code: str
    weight: float
    text_en: str
    text_zh: str


def reasons(bias: float, contributions: Sequence[float]) -> list[Reason]:
    """Group the terms of a score into at most four reasons.

    Parameters
    ----------
    bias
        The score of the average customer: what the reasons do not explain. It is no reason itself and is asked for so
        that score and reasons are always taken together.
    contributions
        One term per feature, in the order of `CATALOGUE`.

    Returns
    -------
    list of Reason
        The heaviest first (equal ones in the order of `GROUPS`), `other` last. Groups that weigh nothing are left out.
        `bias` plus the weights is the score, to 1e-9.

    Raises
    ------
    ValueError
        If there are not as many terms as features.

    Examples
    --------
    >>> terms = [0.0] * len(CATALOGUE)
    >>> terms[0], terms[1], terms[2] = 1.5, -0.25, 0.125
    >>> [(reason.code, reason.weight) for reason in reasons(-1.0, terms)]
    [('recency', 1.5), ('rhythm', -0.25), ('frequency', 0.125)]
    """
    if len(contributions) != len(CATALOGUE):
        raise ValueError(
            f"contributions: expected {len(CATALOGUE)} terms beside the bias {bias:g}, got {len(contributions)}; "
            "use a model of the present catalogue of features"
        )
    weights = grouped(list(contributions), _PLACES, len(GROUPS))
    ranked = sorted((place for place, weight in enumerate(weights) if weight), key=lambda place: -abs(weights[place]))
    shown = [
        Reason(GROUPS[i].code, weights[i], GROUPS[i].text_en, GROUPS[i].text_zh) for i in ranked[: MAX_REASONS - 1]
    ]
    rest = ranked[MAX_REASONS - 1 :]
    if rest:
        shown.append(Reason(OTHER, sum(weights[place] for place in rest), _OTHER_TEXT_EN, _OTHER_TEXT_ZH))
    return shown
