"""Score flags: a model score that crosses one line and comes back over another (docs/rules.md, shape `score`)."""

from __future__ import annotations

from typing import Any, Self

from engine.duration import DAY_MS
from engine.flags.status import Status
from engine.rules.rule import ScoreRule

__all__ = ["NORMAL_AFTER_MS", "OwnNormal", "ScoreState"]

NORMAL_AFTER_MS = 28 * DAY_MS
"""A customer's own normal is known 28 d after their first score: four weeks of rhythm (design, section 4)."""

_NORMAL_HALF_LIFE_D = 56.0  # eight weeks (design, section 4)


class OwnNormal:
    """Exponentially weighted mean of a customer's daily mean scores, half-life 56 d of event time.

    Wrong as a normal while the customer is new: `get` is `None` until 28 d after the first score.

    Examples
    --------
    >>> normal = OwnNormal()
    >>> for day in range(30):
    ...     normal.update(2.0, day * DAY_MS)
    >>> normal.get(29 * DAY_MS)
    2.0
    """

    __slots__ = ("day", "day_n", "day_sum", "first", "mass", "total")

    def __init__(self) -> None:
        self.first = -1
        self.day = -1
        self.day_sum = 0.0
        self.day_n = 0
        self.total = 0.0
        self.mass = 0.0

    def update(self, score: float, at: int) -> None:
        """Take a score made at `at` (ms); one older than the current day counts for the current day."""
        day = at // DAY_MS
        if self.first < 0:
            self.first = at
            self.day = day
        if day > self.day:
            self._close_day()
            decay = 0.5 ** ((day - self.day) / _NORMAL_HALF_LIFE_D)
            self.total *= decay
            self.mass *= decay
            self.day = day
        self.day_sum += score
        self.day_n += 1

    def _close_day(self) -> None:
        if self.day_n:
            self.total += self.day_sum / self.day_n
            self.mass += 1.0
            self.day_sum, self.day_n = 0.0, 0

    def get(self, at: int) -> float | None:
        """The normal before the current day's scores, or `None` while it is not known."""
        if self.first < 0 or at - self.first < NORMAL_AFTER_MS or self.mass == 0.0:
            return None
        return self.total / self.mass

    def encode(self) -> list[Any]:
        """Plain data for the codec."""
        return [self.first, self.day, self.day_sum, self.day_n, self.total, self.mass]

    @classmethod
    def decode(cls, data: list[Any]) -> Self:
        """The state that `encode` wrote."""
        normal = cls()
        normal.first, normal.day, normal.day_sum, normal.day_n, normal.total, normal.mass = data
        return normal


class ScoreState:
    """Whether a score flag is up, with hysteresis and a minimum hold."""

    __slots__ = ("cause", "rule", "since")

    def __init__(self, rule: ScoreRule, since: int | None = None, cause: str | int = 0) -> None:
        self.rule = rule
        self.since = since
        self.cause = cause

    def update(self, value: float | None, may_raise: bool, at: int, cause: str | int) -> None:
        """Take a score, or a ratio to the own normal (`None`: unknown, nothing is raised and an up flag stays).

        Parameters
        ----------
        value
            The score or ratio.
        may_raise
            Whether gates and the conditions beside the score allow a raise.
        at
            Event time of the score, ms.
        cause
            The event that made it, or the due time of the timer.
        """
        if value is None:
            return
        rule = self.rule
        if self.since is None:
            if may_raise and (value < rule.raise_at if rule.below else value >= rule.raise_at):
                self.since, self.cause = at, cause
        elif at - self.since >= rule.hold_ms and (value > rule.clear_at if rule.below else value < rule.clear_at):
            self.since = None

    def end(self) -> None:
        """Take the flag down whatever the score: the customer left as expected, or has left for good."""
        self.since = None

    def status(self) -> Status | None:
        """What is up now."""
        if self.since is None:
            return None
        return Status(self.since, None, 1, self.rule.severity, (), self.cause)
