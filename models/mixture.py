"""A weighted mean of several scores, whose weights follow how well each does."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, Self

import msgspec

from models.errors import SnapshotDamaged, SnapshotForeign
from models.snapshot import pack, unpack

__all__ = ["RATE", "SCORE_LIMIT", "Mixture"]

RATE: Final = 0.003
"""Step of the weights. From 0.001 to 0.01 the log-loss on four real logs changes by less than 0.002; faster, the
weights run after the luck of the last examples (0.1: up to 0.006 worse than equal weights)."""

SCORE_LIMIT: Final = 8.0
"""Logits beyond plus or minus this count as this when weights are learned: one absurd score must not end a member."""

_LEAST: Final = 1e-9
_KIND: Final = "mixture"


class _State(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    weights: list[float]


class Mixture:
    """Convex combination of logits, learned online by exponentiated gradient on the log-loss.

    Weights are above 0 and add up to 1; they begin equal. Wrong when members err in the same direction: no weights mend
    that.

    Parameters
    ----------
    n_members
        Scores that are combined, >= 1.

    Examples
    --------
    >>> mixture = Mixture(2)
    >>> for _ in range(1000):
    ...     mixture.learn([2.0, -2.0], True)
    >>> mixture.weights[0] > 0.9
    True

    References
    ----------
    Kivinen and Warmuth (1997), Exponentiated gradient versus gradient descent for linear predictors, Information and
    Computation 132.
    """

    __slots__ = ("weights",)

    def __init__(self, n_members: int) -> None:
        if n_members < 1:
            raise ValueError(f"n_members: expected >= 1, got {n_members!r}")
        self.weights = [1.0 / n_members] * n_members

    def score(self, logits: Sequence[float]) -> float:
        """The combined logit."""
        total = 0.0
        for weight, logit in zip(self.weights, logits, strict=True):
            total += weight * logit
        return total

    def learn(self, logits: Sequence[float], y: bool) -> None:
        """Move the weights after one label.

        Parameters
        ----------
        logits
            What the members said when the prediction was made.
        y
            What came true.
        """
        bounded = [min(max(logit, -SCORE_LIMIT), SCORE_LIMIT) for logit in logits]
        gradient = 1.0 / (1.0 + math.exp(-self.score(bounded))) - (1.0 if y else 0.0)
        self._take([w * math.exp(-RATE * gradient * logit) for w, logit in zip(self.weights, bounded, strict=True)])

    def adopt(self, weights: Sequence[float]) -> None:
        """Go on from these weights, brought back to above 0 and a sum of 1."""
        bounded = [min(max(weight, _LEAST), 1.0) for weight in weights]
        if bounded != self.weights:
            self._take(bounded)

    def _take(self, weights: Sequence[float]) -> None:
        total = 0.0
        for weight in weights:
            total += weight
        # A weight that has died could never come back.
        self.weights = [max(weight / total, _LEAST) for weight in weights]

    def snapshot(self) -> bytes:
        """All state as data; see `models.snapshot`."""
        return pack(_KIND, _State(self.weights))

    @classmethod
    def restore(cls, data: bytes, n_members: int) -> Self:
        """The mixture that `snapshot` stored; raises `SnapshotError` if the bytes are not such a snapshot."""
        state = unpack(_KIND, data, _State)
        if len(state.weights) != n_members:
            raise SnapshotForeign(f"{_KIND}: expected {n_members} members, got {len(state.weights)}; replay the log")
        if not all(0.0 < weight <= 1.0 for weight in state.weights):
            raise SnapshotDamaged(f"{_KIND}: expected weights above 0 and up to 1; restore a backup or replay the log")
        mixture = cls(n_members)
        mixture.weights = state.weights
        return mixture
