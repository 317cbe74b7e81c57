"""The shape of a week: how far each part of it usually lies above or below the whole."""

from __future__ import annotations

from typing import Final

import msgspec

from models.errors import SnapshotDamaged

__all__ = ["SeasonShape", "SeasonState"]

_NEWEST_WEIGHT: Final = 0.2
"""Least weight of the newest season: the shape is an average over about five, and follows one that changes."""


class SeasonState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A shape as data: seasons learned, the shape, and counts and sums of the season under way."""

    n_seasons: int
    shape: list[float]
    counts: list[int]
    sums: list[float]


class SeasonShape:
    """Mean offsets of the slots of a season, learned from whole seasons.

    What is learned in a season is used from the next one on: a step of the mean so is never taken for a season while
    it happens. Wrong for a season in which the mean stepped: `close` it without learning.

    Parameters
    ----------
    n_slots
        Parts of a season, >= 1.
    n_sure
        Values of a slot that make its offset count half; fewer are drawn more to 0, as noise.

    Examples
    --------
    >>> shape = SeasonShape(n_slots=2, n_sure=10)
    >>> for _ in range(1000):
    ...     shape.add(0, 1, 0.3)
    ...     shape.add(1, 1, 0.5)
    >>> shape.close(is_learned=True)
    >>> round(shape.offset(0), 3), round(shape.offset(1), 3)
    (-0.099, 0.099)
    """

    __slots__ = ("_n_slots", "_n_sure", "_state")

    def __init__(self, n_slots: int, n_sure: int) -> None:
        self._n_slots = n_slots
        self._n_sure = n_sure
        self._state = SeasonState(0, [0.0] * n_slots, [0] * n_slots, [0.0] * n_slots)

    @property
    def n_seasons(self) -> int:
        """Seasons learned, those without values among them."""
        return self._state.n_seasons

    def offset(self, slot: int) -> float:
        """How far a slot lies above the season; 0 until a season was learned."""
        return self._state.shape[slot]

    def add(self, slot: int, n: int, total: float) -> None:
        """Count `n` values of a slot that sum up to `total`."""
        self._state.counts[slot] += n
        self._state.sums[slot] += total

    def close(self, *, is_learned: bool) -> None:
        """End the season under way, and learn it or leave it out."""
        state = self._state
        n = sum(state.counts)
        # One without values teaches nothing and is over all the same: a sparse stream must not wait for ever.
        state.n_seasons += is_learned
        if is_learned and n:
            weight = max(1.0 / state.n_seasons, _NEWEST_WEIGHT)
            mean = sum(state.sums) / n
            for slot, (count, total) in enumerate(zip(state.counts, state.sums, strict=True)):
                seen = (total - count * mean) / (count + self._n_sure)
                state.shape[slot] += weight * (seen - state.shape[slot])
        state.counts, state.sums = [0] * self._n_slots, [0.0] * self._n_slots

    def state(self) -> SeasonState:
        """The shape as data; not a copy."""
        return self._state

    @classmethod
    def of(cls, state: SeasonState, n_slots: int, n_sure: int) -> SeasonShape:
        """The shape that gave `state`; raises `SnapshotDamaged` if there is none with as many slots."""
        if [len(state.shape), len(state.counts), len(state.sums)] != [n_slots] * 3 or state.n_seasons < 0:
            raise SnapshotDamaged(f"season shape: expected {n_slots} slots; start the shape anew")
        shape = cls(n_slots, n_sure)
        shape._state = SeasonState(state.n_seasons, [*state.shape], [*state.counts], [*state.sums])
        return shape
