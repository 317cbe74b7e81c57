"""ADWIN: a window over the newest values that forgets what is older than a change of the mean, as plain data."""

from __future__ import annotations

import math
from itertools import accumulate
from typing import Final, NamedTuple

import msgspec

from models.errors import InputRefused, SnapshotDamaged

__all__ = ["Adwin", "AdwinState", "Change"]

_BUCKETS_KEPT: Final = 5
"""Buckets of a size; one more and the two oldest are joined. River's `max_buckets`."""

_MIN_SIDE: Final = 5
"""Values that each side of a cut must hold. River's `min_window_length`."""

_GRACE: Final = 10
"""Values before the first check. River's `grace_period`."""

_MAX_ROWS: Final = 62
"""Sizes of buckets that a stored state may have: 2**62 values do not come."""


class AdwinState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A window as data: sums, and by size of bucket, from 1 on doubling, totals and sums of squares, oldest first."""

    delta: float
    clock: int
    n: int
    width: int
    total: float
    squares: float
    totals: list[list[float]]
    spreads: list[list[float]]


class Change(NamedTuple):
    """A cut of the window whose sides differ.

    Parameters
    ----------
    n_before, n_after
        Values on the older and the newer side.
    before, after
        Their means.
    """

    n_before: int
    n_after: int
    before: float
    after: float


class Adwin:
    """The newest values of a stream whose mean has not changed, in logarithmic space.

    Equals River's `AdaptiveWindowing` (what `river.drift.ADWIN` runs) to the bit, with its default parameters; River's
    own stands in an extension that cannot be stored as data. `river.drift.ADWIN` also forgets the whole window at the
    value after a detection; this one keeps the newer side, as the paper does.

    The guarantee (a false cut with probability at most `delta`) is for independent values from 0 to 1. It does not hold
    for what customers do: they come in bursts and by the hour of the day. `models.drift` is for them.

    Parameters
    ----------
    delta
        Bound of the false alarms per check, above 0 and below 1.
    clock
        Values from one check to the next, >= 1.

    Examples
    --------
    >>> window = Adwin()
    >>> changes = [window.update(0.2 if i < 640 else 0.6) for i in range(1000)]
    >>> next((i, change) for i, change in enumerate(changes) if change)
    (671, Change(n_before=640, n_after=32, before=0.2..., after=0.6...))

    References
    ----------
    Bifet, Gavalda (2007), Learning from time-changing data with adaptive windowing, SIAM International Conference on
    Data Mining. Babcock, Datar, Motwani, O'Callaghan (2003), Maintaining variance and k-medians over data stream
    windows, PODS: the sums of squares.
    """

    __slots__ = ("_clock", "_delta", "_n", "_spreads", "_squares", "_total", "_totals", "_width")

    def __init__(self, delta: float = 0.002, clock: int = 32) -> None:
        if not (0.0 < delta < 1.0 and clock >= 1):
            raise InputRefused(f"ADWIN: expected delta between 0 and 1 and a clock >= 1, got {delta!r} and {clock!r}")
        self._delta = delta
        self._clock = clock
        self._n = 0
        self._width = 0
        self._total = 0.0
        self._squares = 0.0
        # Row i holds buckets of 2**i values: their totals, and their sums of squares about their mean.
        self._totals: list[list[float]] = [[]]
        self._spreads: list[list[float]] = [[]]

    @property
    def width(self) -> int:
        """Values in the window."""
        return self._width

    @property
    def mean(self) -> float:
        """Their mean; 0 before the first."""
        return self._total / self._width if self._width else 0.0

    @property
    def variance(self) -> float:
        """Their population variance; 0 before the first."""
        return self._squares / self._width if self._width else 0.0

    def update(self, value: float) -> Change | None:
        """Take one value in; every `clock` values, forget what is older than a change.

        Parameters
        ----------
        value
            From 0 to 1; others are taken, without any guarantee.

        Returns
        -------
        Change or None
            The clearest cut of the window as it was, if it was shortened. One change of the stream can shorten the
            window many times: while the newer side is small it says little about where the change was.

        Raises
        ------
        InputRefused
            If it is not finite; the window is unchanged.
        """
        if not math.isfinite(value):
            raise InputRefused(f"ADWIN: expected a finite value, got {value!r}; leave it out")
        before = self._width
        self._width = width = before + 1
        if before:
            off = value - self._total / before
            # River's order of operations, here and below: another one rounds otherwise.
            self._squares += before * off * off / width
        self._total += value
        self._totals[0].append(value)
        self._spreads[0].append(0.0)
        if len(self._totals[0]) > _BUCKETS_KEPT:
            self._join()
        self._n += 1
        if self._n % self._clock or width <= _GRACE:
            return None
        return self._shorten()

    def _join(self) -> None:
        """Join the two oldest buckets of a size that has too many, and so on upwards."""
        size, row = 1.0, 0
        while len(self._totals[row]) > _BUCKETS_KEPT:
            totals, spreads = self._totals[row], self._spreads[row]
            apart = totals[0] / size - totals[1] / size
            total, spread = totals[0] + totals[1], spreads[0] + spreads[1] + size * 0.5 * apart * apart
            del totals[:2], spreads[:2]
            row, size = row + 1, size * 2.0
            if row == len(self._totals):
                self._totals.append([])
                self._spreads.append([])
            self._totals[row].append(total)
            self._spreads[row].append(spread)

    def _shorten(self) -> Change | None:
        change: Change | None = None
        while self._is_cut():
            # The first cut is that of the whole window, before anything was forgotten.
            change = change or self._clearest()
            self._forget_oldest()
        return change

    def _is_cut(self) -> bool:
        """Whether the means about any border of buckets differ by more than chance explains."""
        width = self._width
        if self._squares < 0.0:
            # By rounding, in a stream without noise. River finds no cut then: its bound is not a number.
            return False
        log_term = math.log(2.0 * math.log(width) / self._delta)
        variance, by_range = self._squares / width, 2.0 / 3.0 * log_term
        n0, n1, u0, u1 = 0, width, 0.0, self._total
        size = 1 << len(self._totals)
        for totals in reversed(self._totals):
            size >>= 1
            for total in totals:
                n0 += size
                n1 -= size
                u0 += total
                u1 -= total
                if n0 < _MIN_SIDE:
                    continue
                if n1 < _MIN_SIDE:
                    return False
                m = 1.0 / (n0 - 4.0) + 1.0 / (n1 - 4.0)
                if abs(u0 / n0 - u1 / n1) > math.sqrt(2.0 * m * variance * log_term) + by_range * m:
                    return True
        return False

    def _clearest(self) -> Change:
        """The border with the greatest difference of means for its sides; the oldest of equals."""
        rows = [(1 << row, total) for row in range(len(self._totals) - 1, -1, -1) for total in self._totals[row]]
        ns = list(accumulate(size for size, _ in rows))[:-1]
        us = list(accumulate(total for _, total in rows))[:-1]
        width, whole = self._width, self._total
        best, found = -1.0, Change(0, width, 0.0, self.mean)
        for n0, u0 in zip(ns, us, strict=True):
            n1 = width - n0
            if n0 < _MIN_SIDE or n1 < _MIN_SIDE:
                continue
            before, after = u0 / n0, (whole - u0) / n1
            # What the cut explains of the sum of squares: the place of a step by least squares.
            explained = n0 * n1 / width * (after - before) ** 2
            if explained > best:
                best, found = explained, Change(n0, n1, before, after)
        return found

    def keep(self, n: int) -> None:
        """Forget all but the newest `n` values, at least one, or a few more: only whole buckets are forgotten.

        After a cut, `keep(change.n_after)` leaves just what came since. ADWIN by itself keeps what is not yet proven
        to be different, up to some of the old side.
        """
        while self._width - (1 << len(self._totals) - 1) >= max(n, 1):
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        totals, spreads = self._totals[-1], self._spreads[-1]
        size = 1 << len(self._totals) - 1
        total, spread = totals.pop(0), spreads.pop(0)
        mean = total / size
        self._width = width = self._width - size
        self._total -= total
        off = mean - self._total / width
        self._squares -= spread + size * width * off * off / (size + width)
        if not totals:
            self._totals.pop()
            self._spreads.pop()

    def state(self) -> AdwinState:
        """The window as data, some 20 bytes a bucket; there are about five buckets for each doubling of the width."""
        return AdwinState(
            self._delta,
            self._clock,
            self._n,
            self._width,
            self._total,
            self._squares,
            [[*row] for row in self._totals],
            [[*row] for row in self._spreads],
        )

    @classmethod
    def of(cls, state: AdwinState) -> Adwin:
        """The window that gave `state`; raises `SnapshotDamaged` if there is none."""
        sizes = [len(row) for row in state.totals]
        width = sum(n << row for row, n in enumerate(sizes))
        shaped = sizes == [len(row) for row in state.spreads] and 1 <= len(sizes) <= _MAX_ROWS
        sound = 0.0 < state.delta < 1.0 and state.clock >= 1 and state.n >= state.width == width
        if not (shaped and sound and all(n <= _BUCKETS_KEPT for n in sizes)):
            raise SnapshotDamaged("ADWIN: expected a window and its buckets, got other sizes; start the window anew")
        window = cls(state.delta, state.clock)
        window._n, window._width, window._total, window._squares = state.n, state.width, state.total, state.squares
        window._totals = [[*row] for row in state.totals]
        window._spreads = [[*row] for row in state.spreads]
        return window
