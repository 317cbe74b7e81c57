"""The catalogue of features: what every model sees of a customer, in one fixed order.

Traits know more than the models see: what does not make a score better is left to people and rules. Names and units
stand with the traits that make them. A vector is rounded to single precision when it is made, and is predicted on,
stored and learned from as such: 24 bits are more than any trait of a customer is worth, and a pending example takes
half the room. Silence landmarks see the same features as event landmarks, decayed to their own time.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from operator import itemgetter
from typing import Final

from engine.echo import ECHO_FEATURES
from engine.features import FEATURES, Feature
from engine.memory import Memory
from engine.rhythm import RHYTHM_FEATURES
from engine.service_traits import SERVICE_FEATURES

__all__ = ["CATALOGUE", "LEFT_OUT", "PLACE", "observe", "single"]

LEFT_OUT: Final = frozenset(
    (
        "n_1d",
        "weekday_sin",
        "weekday_cos",
        "received_7d",
        "offers_ignored",
        "low_ratings_30d",
        "same_category",
        "effort",
        "wait",
        "solve_time",
    )
)
"""Traits that no model sees: on four real logs and on simulated ones the scores are as good or better without them
(`python -m benchmarks.ablation`); so are those without the population's own rhythm, which was tried and not kept."""

_ALL: Final = (*FEATURES, *RHYTHM_FEATURES, *ECHO_FEATURES, *SERVICE_FEATURES)

CATALOGUE: Final[tuple[Feature, ...]] = tuple(feature for feature in _ALL if feature.name not in LEFT_OUT)
"""Place `i` of every vector is `CATALOGUE[i]`. Changing the list, or its order, makes stored models unusable."""

_chosen: Final = itemgetter(*(place for place, feature in enumerate(_ALL) if feature.name not in LEFT_OUT))

PLACE: Final = {feature.name: place for place, feature in enumerate(CATALOGUE)}
"""Name -> place."""

_single: Final = struct.Struct(f"<{len(CATALOGUE)}f")


def single(numbers: Sequence[float]) -> list[float]:
    """The numbers, rounded to single precision."""
    return list(_single.unpack(_single.pack(*numbers)))


def observe(memory: Memory, at_ms: int, horizon_ms: int) -> list[float]:
    """The features of `CATALOGUE`, all finite, of a customer as of `at_ms`.

    Parameters
    ----------
    memory
        The customer; nothing that came after `at_ms` may have been told to it.
    at_ms
        Event time of the landmark, ms.
    horizon_ms
        Of the churn score.

    Examples
    --------
    >>> len(observe(Memory("c1"), 0, 1)) == len(CATALOGUE)
    True
    """
    traits = memory.traits
    numbers = (
        *traits.vector(at_ms),
        *memory.rhythm.vector(at_ms, traits, horizon_ms),
        *memory.echo.vector(at_ms, traits),
        *memory.service.vector(at_ms),
    )
    return single(_chosen(numbers))
