"""The finer rhythm of a customer's own activity: the last hours and days, days of use, how regular it is, the weekday.

What `engine.features.Traits` keeps in weeks and months, this keeps in hours and days. The two are apart because the
sixteen features of the scoring protocol are the traits' alone.
"""

from __future__ import annotations

import math
from typing import Any, Final

from engine.errors import CorruptState
from engine.features import DAY_MS, GROUPS, HALF_LIVES_D, Feature, Traits

__all__ = ["RHYTHM_FEATURES", "Rhythm"]

_LN2: Final = math.log(2.0)
_DAYS_HALF_LIFE_D: Final = 90.0
_HOUR_MS: Final = 3_600_000
_GROUP: Final = {group.code: group for group in GROUPS}

RHYTHM_FEATURES: Final = (
    Feature("n_1d", "log1p decayed acts", _GROUP["frequency"]),
    Feature("n_3d", "log1p decayed acts", _GROUP["frequency"]),
    Feature("days_90d", "log1p decayed active days", _GROUP["frequency"]),
    Feature("gap_log_sd", "log h", _GROUP["rhythm"]),
    Feature("silent_30d", "probability", _GROUP["frequency"]),
    Feature("silent_90d", "probability", _GROUP["frequency"]),
    Feature("weekday_sin", "-1 to 1", _GROUP["calendar"]),
    Feature("weekday_cos", "-1 to 1", _GROUP["calendar"]),
)
"""What `Rhythm.vector` gives. `silent_30d` and `silent_90d` are the chance of no act within the horizon if acts came at
random at the rate of the last month or quarter (Poisson); days and weekdays are UTC."""


class Rhythm:
    """Own activity by the hour and the day, in constant space.

    An act is what it is for `Traits`: all own activity of one instant. An act older than the newest counts in the
    decayed sums and leaves days and gaps alone.

    Examples
    --------
    >>> rhythm, traits = Rhythm(), Traits()
    >>> for ts_ms in (0, DAY_MS):
    ...     rhythm.update(ts_ms, traits)
    ...     traits.update(ts_ms)
    >>> [round(number, 3) for number in rhythm.vector(DAY_MS, traits, 30 * DAY_MS)][:4]
    [0.916, 1.027, 1.096, 0.0]
    """

    __slots__ = ("count_1d", "count_3d", "days_90d", "gap_log_m2", "gap_log_mean", "last_day")

    def __init__(self) -> None:
        # Decayed to the newest act of the traits, as all of theirs.
        self.count_1d = 0.0
        self.count_3d = 0.0
        self.days_90d = 0.0
        self.last_day = -1
        # Mean and sum of squared deviations of log1p(gap in hours), by Welford's recurrence over the traits' gaps.
        self.gap_log_mean = 0.0
        self.gap_log_m2 = 0.0

    def update(self, ts_ms: int, traits: Traits) -> None:
        """Take in one event of own activity; call before `traits.update` of the same event."""
        if traits.n and ts_ms < traits.last_ms:
            self._insert(traits.last_ms - ts_ms)
            return
        if traits.n and ts_ms == traits.last_ms:
            return
        if traits.n:
            gap_ms = ts_ms - traits.last_ms
            nats = -_LN2 * gap_ms / DAY_MS
            self.count_1d *= math.exp(nats)
            self.count_3d *= math.exp(nats / 3.0)
            self.days_90d *= math.exp(nats / _DAYS_HALF_LIFE_D)
            gap_log = math.log1p(gap_ms / _HOUR_MS)
            delta = gap_log - self.gap_log_mean
            self.gap_log_mean += delta / (traits.gap_n + 1)
            self.gap_log_m2 += delta * (gap_log - self.gap_log_mean)
        self.count_1d += 1.0
        self.count_3d += 1.0
        day = ts_ms // DAY_MS
        if day != self.last_day:
            self.last_day = day
            self.days_90d += 1.0

    def _insert(self, ago_ms: int) -> None:
        nats = -_LN2 * ago_ms / DAY_MS
        self.count_1d += math.exp(nats)
        self.count_3d += math.exp(nats / 3.0)

    def vector(self, at_ms: int, traits: Traits, horizon_ms: int) -> list[float]:
        """The features of `RHYTHM_FEATURES`, all finite, as of `at_ms`.

        Parameters
        ----------
        at_ms
            Event time in ms; a time before the last act is taken for that act's.
        traits
            Of the same customer, at the same place of the log.
        horizon_ms
            Of the churn score.
        """
        silent_ms = max(at_ms - traits.last_ms, 0) if traits.n else 0
        nats = -_LN2 * silent_ms / DAY_MS
        horizon_d = horizon_ms / DAY_MS
        _, half_30d, half_90d = HALF_LIVES_D
        # A decayed count over the mean life of its weights, half-life / ln 2, is a rate.
        rate_30d = traits.count_30d * math.exp(nats / half_30d) * _LN2 / half_30d
        rate_90d = traits.count_90d * math.exp(nats / half_90d) * _LN2 / half_90d
        week = 2.0 * math.pi * (at_ms % (7 * DAY_MS)) / (7 * DAY_MS)
        return [
            math.log1p(self.count_1d * math.exp(nats)),
            math.log1p(self.count_3d * math.exp(nats / 3.0)),
            math.log1p(self.days_90d * math.exp(nats / _DAYS_HALF_LIFE_D)),
            math.sqrt(max(self.gap_log_m2, 0.0) / traits.gap_n) if traits.gap_n else 0.0,
            math.exp(-rate_30d * horizon_d),
            math.exp(-rate_90d * horizon_d),
            math.sin(week),
            math.cos(week),
        ]

    def encode(self) -> list[Any]:
        """The state as plain numbers, for msgpack; floats survive to the bit."""
        return [self.count_1d, self.count_3d, self.days_90d, self.last_day, self.gap_log_mean, self.gap_log_m2]

    @classmethod
    def decode(cls, state: Any) -> Rhythm:
        """Make the rhythm that `encode` wrote.

        Raises
        ------
        CorruptState
            If `state` is not of the shape that `encode` writes.
        """
        if not isinstance(state, list) or len(state) != 6:
            raise CorruptState(f"rhythm: expected 6 numbers, got {str(state)[:80]}; read the log again")
        rhythm = cls()
        (
            rhythm.count_1d,
            rhythm.count_3d,
            rhythm.days_90d,
            rhythm.last_day,
            rhythm.gap_log_mean,
            rhythm.gap_log_m2,
        ) = state
        return rhythm
