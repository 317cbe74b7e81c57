"""Marks on the time line of a report: moments at which something changed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from streams.evaluate.history import Floats, Ints

__all__ = ["Mark", "level_marks"]

_FEWEST_BLOCKS = 3
_MOST_BLOCKS = 6  # what lies longer back, such as a launch, is no longer usual
_FEWEST_SCORES = 30
_SPREADS = 3.0
_LEAST = 0.05  # of probability: a smaller move may be sure, and nobody would act on it


class Mark(NamedTuple):
    """Something to show on the time line.

    Parameters
    ----------
    at_ms
        When, ms since the epoch.
    text_en, text_zh
        What, for people.
    """

    at_ms: int
    text_en: str
    text_zh: str


def level_marks(at_ms: Ints, p: Floats, *, origin_ms: int, block_ms: int) -> list[Mark]:
    """Blocks whose mean score lies outside of what the blocks before it had.

    Needs no label, so it speaks a horizon earlier than any figure of quality; says nothing of why. Outside is more than
    three standard deviations of the last six means from their mean, with at least three of them, and more than 0.05.
    Blocks with fewer than 30 scores neither count nor are marked. Wrong for a slow change: what is new in each
    block is usual in the next.

    Parameters
    ----------
    at_ms, p
        All scores made at events, judged or not.
    origin_ms
        First judged moment; marks stand at it or later.
    block_ms
        Length of a block.

    Examples
    --------
    >>> scores = np.repeat([0.2, 0.22, 0.21, 0.2, 0.6], 40)
    >>> times = np.repeat(np.arange(5) * 10, 40)
    >>> [mark.at_ms for mark in level_marks(times, scores, origin_ms=20, block_ms=10)]
    [40]
    """
    block = (at_ms - origin_ms) // block_ms
    past: list[float] = []
    marks = []
    for number in np.unique(block).tolist():
        inside = p[block == number]
        if len(inside) < _FEWEST_SCORES:
            continue
        mean = float(inside.mean())
        if number >= 0 and len(past) >= _FEWEST_BLOCKS:
            recent = past[-_MOST_BLOCKS:]
            usual, spread = float(np.mean(recent)), float(np.std(recent, ddof=1))
            # The mean of few scores moves by itself.
            own = float(inside.std() / np.sqrt(len(inside)))
            if abs(mean - usual) > max(_SPREADS * max(spread, own), _LEAST):
                marks.append(
                    Mark(
                        origin_ms + number * block_ms,
                        f"mean score {mean:.2f}, before {usual:.2f}",
                        f"平均评分 {mean:.2f}，此前 {usual:.2f}",
                    )
                )
        past.append(mean)
    return marks
