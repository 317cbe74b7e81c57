"""Counts, means and variances of the same features over several streams, put together and taken apart exactly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Self

__all__ = ["Moments"]


class Moments(NamedTuple):
    """How many vectors were seen; by feature, their mean and variance (divided by the number, as Welford's is here).

    A feature that had one and the same value everywhere has a variance of exactly 0 after every operation: learners
    divide by the square root of it.

    Parameters
    ----------
    n
        Vectors seen, >= 0.
    means, variances
        By feature; of no meaning while `n` is 0.

    Examples
    --------
    >>> left, right = Moments(2, (1.0,), (1.0,)), Moments(1, (4.0,), (0.0,))
    >>> both = left.plus(right)
    >>> both
    Moments(n=3, means=(2.0,), variances=(2.6666666666666665,))
    >>> both.minus(right).n, both.minus(right).means
    (2, (1.0,))

    References
    ----------
    Chan, Golub, LeVeque (1979), Updating formulae and a pairwise algorithm for computing sample variances.
    """

    n: int
    means: Sequence[float]
    variances: Sequence[float]

    def plus(self, other: Self) -> Self:
        """The moments of both streams together."""
        if not other.n:
            return self
        if not self.n:
            return other
        n = self.n + other.n
        share, rest = other.n / n, self.n / n
        means: list[float] = []
        variances: list[float] = []
        for m, v, other_m, other_v in zip(self.means, self.variances, other.means, other.variances, strict=True):
            gap = other_m - m
            means.append(m + gap * share)
            variances.append(v * rest + other_v * share + gap * gap * share * rest)
        return type(self)(n, tuple(means), tuple(variances))

    def minus(self, other: Self) -> Self:
        """The moments of the stream that gives this one together with `other`; nothing if `other` is not a part."""
        n = self.n - other.n
        if not other.n:
            return self
        if n <= 0:
            zeros = (0.0,) * len(self.means)
            return type(self)(0, zeros, zeros)
        ratio, share = other.n / n, other.n / self.n
        means: list[float] = []
        variances: list[float] = []
        for m, v, other_m, other_v in zip(self.means, self.variances, other.means, other.variances, strict=True):
            mean = m + (m - other_m) * ratio
            gap = other_m - mean
            means.append(mean)
            # Rounding must not leave a variance below 0.
            variances.append(max(0.0, v + (v - other_v) * ratio - gap * gap * share))
        return type(self)(n, tuple(means), tuple(variances))
