"""A histogram of scores by outcome that keeps itself small, for ranking figures that add up over lanes and time."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import msgspec

from models.errors import SnapshotDamaged

__all__ = ["COUNTS_KEPT", "FINEST", "LOGIT_LIMIT", "HistogramState", "Ranking", "ScoreHistogram"]

LOGIT_LIMIT: Final = 40.0
"""Scores are told apart between these logits, plus and minus: the doubles next to 0 and 1 lie within (1 - 1e-16)."""

FINEST: Final = 65_536.0
"""Bins of a logit at first; scores closer than this are a tie from the start."""

COUNTS_KEPT: Final = 512
"""Most counts (bin and outcome) that are kept. 384 lost .012 of AUC where one score in a hundred is far from a narrow
rest, 512 less than .001 (tests/models/test_score_histogram.py); each costs two to four bytes."""

_TIE_SHARE: Final = 1 / 16
"""A bin that holds more of all scores is taken for one score given many times: smooth scores fill hundreds of bins."""

_EACH: Final = 32
"""Up to so many yes of a bin are summed one by one."""

_N_KEYS: Final = int(2 * LOGIT_LIMIT * FINEST) + 1


class HistogramState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A histogram as data: `level`, the sorted keys as differences to the one before, and their counts."""

    level: int
    steps: list[int]
    counts: list[int]


class Ranking(NamedTuple):
    """How well scores order outcomes.

    Parameters
    ----------
    auc
        Share of pairs of a yes and a no in the right order, ties half, 0 to 1; `None` without both outcomes.
    average_precision
        Mean over the yes of the share of yes among what is ranked as high, 0 to 1; `None` without a yes.
    """

    auc: float | None
    average_precision: float | None


class ScoreHistogram:
    """Counts of yes and no by logit, in the finest bins of equal width that fit into `COUNTS_KEPT` counts.

    Whenever there are more counts, bins are joined two and two. The width so depends on which scores were seen, not on
    their order: parts merged in any order are the whole, exactly. Up to 256 different scores the ranking is exact; then
    AUC and average precision are off by the order of what shares a bin, below .002 on the streams of the tests. Wrong
    when most scores lie within a 512th of the range of all and are told apart by their outcomes.

    Examples
    --------
    >>> histogram = ScoreHistogram()
    >>> for logit, y in [(2.2, True), (1.4, False), (-1.4, False), (0.8, True)]:
    ...     histogram.add(logit, y)
    >>> histogram.ranking()
    Ranking(auc=0.75, average_precision=0.8333333333333333)

    References
    ----------
    Epicoco, Melle, Cafaro, Pulimeno, Morleo (2020), UDDSketch: accurate tracking of quantiles in data streams, IEEE
    Access 8: joining all bins two and two keeps sketches mergeable. Fawcett (2006), An introduction to ROC analysis,
    Pattern Recognition Letters 27: AUC with ties.
    """

    __slots__ = ("_counts", "_level")

    def __init__(self) -> None:
        # Key: number of the bin, times two, plus the outcome. A bin is 2**level finest bins.
        self._counts: dict[int, int] = {}
        self._level = 0

    def add(self, logit: float, y: bool) -> None:
        """Count one score, clipped to `LOGIT_LIMIT`; NaN is an error of the caller."""
        if logit > LOGIT_LIMIT:
            logit = LOGIT_LIMIT
        elif logit < -LOGIT_LIMIT:
            logit = -LOGIT_LIMIT
        key = (int((logit + LOGIT_LIMIT) * FINEST) >> self._level) << 1 | (1 if y else 0)
        counts = self._counts
        if key in counts:
            counts[key] += 1
        else:
            counts[key] = 1
            if len(counts) > COUNTS_KEPT:
                self._fit()

    def _fit(self) -> None:
        while len(self._counts) > COUNTS_KEPT:
            self._counts = _coarser(self._counts, 1)
            self._level += 1

    def merge(self, other: ScoreHistogram) -> None:
        """Add what `other` counted; `other` stays as it is."""
        level = max(self._level, other._level)
        if self._level < level:
            self._counts = _coarser(self._counts, level - self._level)
            self._level = level
        its = other._counts if other._level == level else _coarser(other._counts, level - other._level)
        counts = self._counts
        for key, count in its.items():
            counts[key] = counts.get(key, 0) + count
        self._fit()

    def ranking(self) -> Ranking:
        """AUC and average precision of all that was counted."""
        counts = self._counts
        n = sum(counts.values())
        n_yes = sum(count for key, count in counts.items() if key & 1)
        n_no = n - n_yes
        if not n_yes:
            return Ranking(None, None)
        # From the highest score down: `yes_above` true and `no_above` false ones are ranked before the bin.
        yes_above = no_above = 0
        pairs_won = precision_sum = 0.0
        for i in sorted({key >> 1 for key in counts}, reverse=True):
            no, yes = counts.get(i << 1, 0), counts.get(i << 1 | 1, 0)
            pairs_won += no * (yes_above + yes / 2)
            is_tie = self._level == 0 or yes + no > n * _TIE_SHARE
            precision_sum += _precision(yes_above, no_above, yes, no, is_tie=is_tie)
            yes_above += yes
            no_above += no
        return Ranking(pairs_won / (n_no * n_yes) if n_no else None, precision_sum / n_yes)

    def state(self) -> HistogramState:
        """All counts as data; equal counts give equal data."""
        keys = sorted(self._counts)
        steps = [key - before for before, key in zip([0, *keys], keys, strict=False)]
        return HistogramState(self._level, steps, [self._counts[key] for key in keys])

    @classmethod
    def of(cls, state: HistogramState) -> ScoreHistogram:
        """The histogram that gave `state`; raises `SnapshotDamaged` if there is none."""
        steps, counts, level = state.steps, state.counts, state.level
        shaped = len(steps) == len(counts) <= COUNTS_KEPT and 0 <= level <= _N_KEYS.bit_length()
        # The first key may be 0, the others rise.
        rising = all(step > 0 for step in steps[1:]) and (not steps or steps[0] >= 0)
        if not (shaped and rising and sum(steps) >> 1 <= _N_KEYS >> level and all(count > 0 for count in counts)):
            raise SnapshotDamaged("score histogram: expected rising keys with counts; start the sums anew")
        histogram = cls()
        histogram._level = level
        key = 0
        for step, count in zip(steps, counts, strict=True):
            key += step
            histogram._counts[key] = count
        return histogram


def _coarser(counts: dict[int, int], n_levels: int) -> dict[int, int]:
    out: dict[int, int] = {}
    for key, count in counts.items():
        joined = key >> 1 + n_levels << 1 | key & 1
        out[joined] = out.get(joined, 0) + count
    return out


def _precision(yes_above: int, no_above: int, yes: int, no: int, *, is_tie: bool) -> float:
    """Sum of the precisions at each yes of a bin.

    In a tie every yes is found at the end of it. Where the bin joins different scores its yes lie among its no, the
    j-th after about j / (yes + 1) of them; taking them for a tie cost up to .009 of average precision.
    """
    if not yes:
        return 0.0
    if is_tie:
        return yes * (yes_above + yes) / (yes_above + yes + no_above + no)
    if yes <= _EACH:
        ranks, weight = [float(j) for j in range(1, yes + 1)], 1.0
    else:
        # The precision bends little within a bin: the two points of Gauss's rule stand for all.
        middle, off = (yes + 1) / 2, (yes - 1) / 2 / math.sqrt(3.0)
        ranks, weight = [middle - off, middle + off], yes / 2
    above, rise = yes_above + no_above, 1.0 + no / (yes + 1)
    return weight * sum((yes_above + j) / (above + j * rise) for j in ranks)
