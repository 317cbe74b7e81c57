"""Which of two models is better, on the same examples."""

from __future__ import annotations

from math import sqrt
from typing import Final, NamedTuple

import msgspec

from models.errors import InputRefused, SnapshotDamaged
from models.losses import LOSSES
from models.snapshot import pack, unpack

__all__ = ["N_CLUSTERS", "Comparison", "PairedLoss"]

N_CLUSTERS: Final = 64
"""Groups of customers. The standard error from G groups is itself uncertain by 1 / sqrt(2 G): 9 % with 64."""

_KIND: Final = "paired_loss"


class Comparison(NamedTuple):
    """The difference of two models.

    Parameters
    ----------
    n
        Examples.
    mean
        Mean loss of the first less that of the second: below 0, the first is better. `None` before an example.
    se
        Standard error of `mean` if every example were independent; too small where a customer has several. `None`
        below two examples.
    se_clustered
        Standard error if customers are independent, whatever the examples of each have in common. `None` below two
        groups of customers.
    """

    n: int
    mean: float | None
    se: float | None
    se_clustered: float | None


class _PairedState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    loss: str
    squares: float
    counts: list[int]
    sums: list[float]


class PairedLoss:
    """Mean difference of the losses of two models with its standard errors, as additive sums.

    The sample is customers, not examples: a regular has many, and a model that is wrong about one of them is wrong
    many times. Judge by `se_clustered`; `se` is the usual figure, for comparison. Examples of one customer must always
    come with the same `cluster`. Wrong, too small, where customers share an outcome (an outage touches all
    of them), with few customers, or where one has most of the examples: then there are no 64 groups of equals.

    Parameters
    ----------
    loss
        One of `models.losses.LOSSES`.

    Examples
    --------
    >>> paired = PairedLoss("log_loss")
    >>> for first, second, y, customer in [(0.8, 0.7, True, 1), (0.3, 0.4, False, 2), (0.6, 0.7, True, 3)]:
    ...     paired.update(first, second, y, cluster=customer)
    >>> paired.get()
    Comparison(n=3, mean=-0.0445..., se=0.0995..., se_clustered=0.0995...)

    References
    ----------
    Liang, Zeger (1986), Longitudinal data analysis using generalized linear models, Biometrika 73: errors that are
    robust to clusters. Cameron, Miller (2015), A practitioner's guide to cluster-robust inference, Journal of Human
    Resources 50: the factor G / (G - 1).
    """

    __slots__ = ("_counts", "_loss", "_name", "_squares", "_sums")

    def __init__(self, loss: str) -> None:
        if loss not in LOSSES:
            raise InputRefused(f"paired loss: expected one of {', '.join(LOSSES)}, got {loss!r}")
        self._name = loss
        self._loss = LOSSES[loss]
        self._squares = 0.0
        self._counts = [0] * N_CLUSTERS
        self._sums = [0.0] * N_CLUSTERS

    @property
    def n(self) -> int:
        """How many examples were compared."""
        return sum(self._counts)

    def update(self, first: float, second: float, y: float, *, cluster: int) -> None:
        """Count one example whose label has matured.

        Parameters
        ----------
        first, second
            What the two models predicted for it, at the same moment.
        y
            What came.
        cluster
            A hash of the customer, any whole number; it must be even over `N_CLUSTERS` and the same in every run
            (Python's `hash` of a text is not).

        Raises
        ------
        InputRefused
            If the loss refuses a prediction or `y`; nothing was counted.
        """
        difference = self._loss(first, y) - self._loss(second, y)
        self._squares += difference * difference
        place = cluster % N_CLUSTERS
        self._counts[place] += 1
        self._sums[place] += difference

    def merge(self, other: PairedLoss) -> None:
        """Add what `other` counted; `other` stays as it is.

        Raises
        ------
        InputRefused
            If it is of another loss; nothing was added.
        """
        if self._name != other._name:
            raise InputRefused(f"paired loss: expected {self._name}, got {other._name}; merge like with like")
        self._squares += other._squares
        self._counts = [a + b for a, b in zip(self._counts, other._counts, strict=True)]
        self._sums = [a + b for a, b in zip(self._sums, other._sums, strict=True)]

    def get(self) -> Comparison:
        """The difference and its standard errors."""
        n = self.n
        if not n:
            return Comparison(0, None, None, None)
        mean = sum(self._sums) / n
        se = sqrt(max(self._squares / n - mean * mean, 0.0) / (n - 1)) if n > 1 else None
        groups = [s - mean * count for s, count in zip(self._sums, self._counts, strict=True) if count]
        g = len(groups)
        clustered = sqrt(g / (g - 1) * sum(off * off for off in groups)) / n if g > 1 else None
        return Comparison(n, mean, se, clustered)

    def snapshot(self) -> bytes:
        """All sums as data, at most 1.2 kB; see `models.snapshot`."""
        return pack(_KIND, _PairedState(self._name, self._squares, self._counts, self._sums))

    @classmethod
    def restore(cls, data: bytes) -> PairedLoss:
        """The comparison that `snapshot` stored; raises `SnapshotError` if the bytes are not such a snapshot."""
        state = unpack(_KIND, data, _PairedState)
        if state.loss not in LOSSES or not len(state.counts) == len(state.sums) == N_CLUSTERS:
            raise SnapshotDamaged(f"{_KIND}: expected a known loss and {N_CLUSTERS} groups; start the comparison anew")
        paired = cls(state.loss)
        paired._squares, paired._counts, paired._sums = state.squares, state.counts, state.sums
        return paired
