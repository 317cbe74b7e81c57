"""When people are active: the campus year, the week and the hours of a day.

The year is a fixed pattern of a campus with two terms (dates by month and day, in every year): people go quiet in the
holidays and come back, which is not leaving. Weights are relative to an ordinary lecture day.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import accumulate

__all__ = ["SEGMENTS", "Day", "Hours", "graduation_after", "period", "weight"]

SEGMENTS = ("student", "graduate", "school_staff", "company_staff")
HOUR_MS = 3_600_000

# Until which (month, day) each part of the year lasts; the list covers a year.
_YEAR = (
    ((1, 1), "break"),
    ((1, 4), "lecture"),
    ((1, 18), "exam"),
    ((2, 22), "holiday"),
    ((4, 30), "lecture"),
    ((5, 5), "break"),
    ((6, 22), "lecture"),
    ((7, 6), "exam"),
    ((8, 31), "holiday"),
    ((9, 30), "lecture"),
    ((10, 7), "break"),
    ((12, 31), "lecture"),
)
_GRADUATIONS = ((1, 16), (6, 25))

# Segment -> part of the year -> weight on weekdays, at weekends.
_WEIGHTS = {
    "student": {"lecture": (1.0, 0.75), "exam": (1.3, 1.2), "holiday": (0.22, 0.22), "break": (0.4, 0.4)},
    "graduate": {"lecture": (1.0, 0.7), "exam": (1.1, 0.8), "holiday": (0.3, 0.25), "break": (0.4, 0.4)},
    "school_staff": {"lecture": (1.0, 0.12), "exam": (1.2, 0.2), "holiday": (0.35, 0.05), "break": (0.08, 0.05)},
    "company_staff": {"lecture": (1.0, 0.08), "exam": (1.0, 0.08), "holiday": (0.85, 0.06), "break": (0.08, 0.04)},
}


def period(day: date) -> str:
    """Part of the campus year: `lecture`, `exam`, `holiday` or `break` (a few public days).

    Examples
    --------
    >>> period(date(2025, 3, 31)), period(date(2025, 6, 25)), period(date(2025, 8, 1))
    ('lecture', 'exam', 'holiday')
    """
    at = (day.month, day.day)
    return next(name for last, name in _YEAR if at <= last)


def weight(segment: str, day: date) -> float:
    """How active a segment is on a day, relative to a weekday with lectures; at least 0.04."""
    return _WEIGHTS[segment][period(day)][day.weekday() >= 5]


def graduation_after(day: date) -> date:
    """The first day of graduation after `day`."""
    dates = [date(year, month, dom) for year in (day.year, day.year + 1) for month, dom in _GRADUATIONS]
    return next(each for each in dates if each > day)


class Hours:
    """Turns a share of a day's activity into a time of the day.

    Parameters
    ----------
    weights
        24 relative weights, local hours from midnight on.

    Examples
    --------
    >>> Hours([1.0] * 24).at(0.5)
    43200000
    """

    def __init__(self, weights: list[float]) -> None:
        total = sum(weights)
        self._ends = list(accumulate(each / total for each in weights))
        self._shares = [each / total for each in weights]

    def at(self, share: float) -> int:
        """Milliseconds after local midnight at which `share` (0 to below 1) of the day's activity is over."""
        hour = min(bisect_right(self._ends, share), 23)
        within = 1 - (self._ends[hour] - share) / self._shares[hour]
        return min(int((hour + within) * HOUR_MS), 24 * HOUR_MS - 1)


HOURS = {
    # Lunch, and the hours after the last lecture.
    "young": Hours([2, 1, 0.5, 0.3, 0.3, 0.5, 2, 5, 6, 5, 5, 7, 9, 6, 5, 5, 6, 7, 8, 9, 10, 11, 9, 5]),
    "owl": Hours([9, 7, 5, 3, 1, 0.5, 0.5, 1, 2, 3, 4, 6, 7, 6, 6, 6, 6, 6, 7, 8, 10, 12, 13, 12]),
    "office": Hours([0.1, 0.1, 0.1, 0.1, 0.1, 0.2, 0.5, 2, 8, 12, 11, 8, 4, 8, 11, 10, 8, 5, 2, 1, 1, 0.8, 0.4, 0.2]),
}
"""Profiles of the hours of a day, by name."""


@dataclass(slots=True)
class Day:
    """One local day of the log.

    Parameters
    ----------
    number
        0 for the first day.
    start_ms, end_ms
        From local midnight to the next, ms.
    local
        The local date.
    weights
        Segment -> activity relative to an ordinary lecture day.
    """

    number: int
    start_ms: int
    end_ms: int
    local: date
    weights: dict[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, number: int, first: date, first_ms: int) -> Day:
        """Day `number` of a log whose first day is `first` and begins at `first_ms`."""
        day = first + timedelta(days=number)
        start = first_ms + number * 24 * HOUR_MS
        return cls(number, start, start + 24 * HOUR_MS, day, {each: weight(each, day) for each in SEGMENTS})
