"""The traits of a customer: what the models see, in constant space and time per event.

`Traits` remembers a customer's own activity in a few numbers; `Traits.vector` turns them into the list of floats of
`FEATURES`, at any time from the last activity on. Both are pure: time is an argument.

Wrong when the customer's own activity is not what the horizon asks about: an event of our side (an answer, a promotion)
must not be given to `update`.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from engine.errors import CorruptState

__all__ = [
    "DAY_MS",
    "FEATURES",
    "GAPS_KEPT",
    "GROUPS",
    "HALF_LIVES_D",
    "SEASON_GAP_MS",
    "SEASON_RATIO",
    "VALUE_LIMIT",
    "Feature",
    "Group",
    "Traits",
]

DAY_MS: Final = 86_400_000
"""Milliseconds of a day; every duration among the features is in days."""

HALF_LIVES_D: Final = (7.0, 30.0, 90.0)
"""Half-lives of the decayed counts, days: a week, a month, a quarter. The decayed value uses the second."""

GAPS_KEPT: Final = 9
"""Gaps kept for the median. Odd, so that a full ring has a middle; few, so that a new rhythm shows after five gaps."""

SEASON_GAP_MS: Final = 28 * DAY_MS
"""Silences shorter than this are no seasons, ms: four weeks, longer than most holidays and illnesses."""

SEASON_RATIO: Final = 4.0
"""How much longer than the median gap the silence between two seasons is at least."""

VALUE_LIMIT: Final = 1e12
"""Values beyond plus or minus this (major units of money) count as this: one broken price must not rule a scaler."""

_LN2: Final = math.log(2.0)
_RATE_PRIOR_D: Final = 30.0  # of the rate feature: a customer of one day is not taken for one of daily visits


class Group(NamedTuple):
    """A family of features that is shown to people as one reason.

    Parameters
    ----------
    code
        Stable name, part of the board's contract.
    text_en, text_zh
        What the group says, for people.
    """

    code: str
    text_en: str
    text_zh: str


class Feature(NamedTuple):
    """One place of the vector.

    Parameters
    ----------
    name
        Stable name.
    unit
        Unit of the quantity before its logarithm; `log1p` is `sign(v) * log(1 + |v|)`.
    group
        The reason it belongs to.
    """

    name: str
    unit: str
    group: Group


GROUPS: Final = (
    Group("recency", "time since the last activity", "距上次活动的时间"),
    Group("frequency", "how often they are active", "活动频率"),
    Group("rhythm", "regularity of their activity", "活动节奏"),
    Group("tenure", "how long they have been a customer", "成为客户的时长"),
    Group("value", "value of their purchases", "消费金额"),
    Group("service", "requests, complaints and open cases", "诉求、投诉与未结事项"),
    Group("effort", "the effort that their cases cost them", "办事花费的精力"),
    Group("answers", "answers from others", "他人的回应"),
    Group("offers", "offers without an answer", "未回应的推广"),
    Group("calendar", "day of the week", "星期"),
)
"""Groups of features in the order that breaks ties between reasons."""

_RECENCY, _FREQUENCY, _RHYTHM, _TENURE, _VALUE = GROUPS[:5]

FEATURES: Final = (
    Feature("recency", "log1p d", _RECENCY),
    Feature("gap_last", "log1p d", _RHYTHM),
    Feature("n", "log1p acts", _FREQUENCY),
    Feature("n_7d", "log1p decayed acts", _FREQUENCY),
    Feature("n_30d", "log1p decayed acts", _FREQUENCY),
    Feature("n_90d", "log1p decayed acts", _FREQUENCY),
    Feature("tenure", "log1p d", _TENURE),
    Feature("gap_mean", "log1p d", _RHYTHM),
    Feature("gap_sd", "log1p d", _RHYTHM),
    Feature("recency_ratio", "log1p ratio", _RECENCY),
    Feature("gap_ratio", "log1p ratio", _RHYTHM),
    Feature("value_mean", "signed log1p money", _VALUE),
    Feature("value_last", "signed log1p money", _VALUE),
    Feature("value_30d", "signed log1p decayed money", _VALUE),
    Feature("first", "0 or 1", _TENURE),
    Feature("rate", "log acts per d", _FREQUENCY),
)
"""What `Traits.vector` gives: the sixteen features of the project's scoring protocol, the beginning of every vector of
`engine.catalogue`. Changing them, or their order, makes stored models unusable."""


def _signed_log1p(value: float) -> float:
    """Logarithm of a value that may be negative (refunds), clipped to `VALUE_LIMIT`."""
    size = math.log1p(min(abs(value), VALUE_LIMIT))
    return -size if value < 0.0 else size


class Traits:
    """What a customer's own activity amounts to, in constant space.

    An *act* is all own activity of one instant: events with exactly the time of the last act add their value to it and
    are no further act. Logs of day resolution are so counted by the day. An event older than the last act is counted
    (acts, decayed counts, values, tenure) but leaves the gaps, the last act and its value alone: in constant space the
    gap that it splits cannot be found again. Of late events of one instant each counts as an act.

    Attributes
    ----------
    first_ms, last_ms
        Event time of the oldest and the newest act, ms; -1 before the first.
    n
        Number of acts.
    gaps_ms
        The last `GAPS_KEPT` gaps between acts that came in order, ms, oldest first.

    Examples
    --------
    >>> traits = Traits()
    >>> traits.update(0, 10.0)
    >>> traits.update(0, 5.0)
    >>> traits.update(2 * DAY_MS, 7.5)
    >>> traits.n, traits.value_last, traits.median_gap_ms() == 2 * DAY_MS
    (2, 7.5, True)
    >>> traits.silence_ratio(6 * DAY_MS)
    2.0
    >>> len(traits.vector(6 * DAY_MS)) == len(FEATURES)
    True
    """

    __slots__ = (
        "count_7d",
        "count_30d",
        "count_90d",
        "first_ms",
        "gap_m2",
        "gap_mean",
        "gap_n",
        "gaps_ms",
        "last_ms",
        "longest_ms",
        "n",
        "second_ms",
        "value_30d",
        "value_last",
        "value_sum",
    )

    def __init__(self) -> None:
        self.first_ms = -1
        self.last_ms = -1
        self.n = 0
        # Counts and value decayed to `last_ms`; a reader decays them on to its own time.
        self.count_7d = 0.0
        self.count_30d = 0.0
        self.count_90d = 0.0
        self.value_30d = 0.0
        self.value_sum = 0.0
        self.value_last = 0.0
        # Mean and sum of squared deviations of the gaps in days, by Welford's recurrence.
        self.gap_n = 0
        self.gap_mean = 0.0
        self.gap_m2 = 0.0
        self.gaps_ms: list[int] = []
        # The two longest gaps ever: a silence that ended twice is a season, not a departure.
        self.longest_ms = 0
        self.second_ms = 0

    def update(self, ts_ms: int, value: float | None = None) -> None:
        """Take in one event of the customer's own activity.

        Called once per event, in the order in which the lane applies them; duplicates are the caller's to drop.

        Parameters
        ----------
        ts_ms
            Event time, ms since the epoch, >= 0.
        value
            Money in major units; negative for a refund, `None` for an event without a value (counts as 0).

        Raises
        ------
        ValueError
            If `value` is not a number (NaN); nothing was changed. Infinite values count as `VALUE_LIMIT`.
        """
        amount = 0.0 if value is None else float(value)
        if amount != amount:
            raise ValueError(
                f"value: expected a number, got {value!r} at {ts_ms} ms; refuse it when decoding the event"
            )
        amount = min(max(amount, -VALUE_LIMIT), VALUE_LIMIT)
        if ts_ms == self.last_ms and self.n:
            self.value_last += amount
            self.value_sum += amount
            self.value_30d += amount
        elif ts_ms > self.last_ms or not self.n:
            self._advance(ts_ms, amount)
        else:
            self._insert(ts_ms, amount)

    def _advance(self, ts_ms: int, amount: float) -> None:
        if self.n:
            gap_ms = ts_ms - self.last_ms
            keep_7d, keep_30d, keep_90d = _decays(gap_ms)
            self._learn_gap(gap_ms)
        else:
            self.first_ms = ts_ms
            keep_7d = keep_30d = keep_90d = 0.0
        self.count_7d = self.count_7d * keep_7d + 1.0
        self.count_30d = self.count_30d * keep_30d + 1.0
        self.count_90d = self.count_90d * keep_90d + 1.0
        self.value_30d = self.value_30d * keep_30d + amount
        self.value_sum += amount
        self.value_last = amount
        self.last_ms = ts_ms
        self.n += 1

    def _insert(self, ts_ms: int, amount: float) -> None:
        keep_7d, keep_30d, keep_90d = _decays(self.last_ms - ts_ms)
        self.count_7d += keep_7d
        self.count_30d += keep_30d
        self.count_90d += keep_90d
        self.value_30d += amount * keep_30d
        self.value_sum += amount
        self.first_ms = min(self.first_ms, ts_ms)
        self.n += 1

    def _learn_gap(self, gap_ms: int) -> None:
        gap_d = gap_ms / DAY_MS
        self.gap_n += 1
        delta = gap_d - self.gap_mean
        self.gap_mean += delta / self.gap_n
        self.gap_m2 += delta * (gap_d - self.gap_mean)
        self.gaps_ms.append(gap_ms)
        if len(self.gaps_ms) > GAPS_KEPT:
            del self.gaps_ms[0]
        if gap_ms > self.longest_ms:
            self.longest_ms, self.second_ms = gap_ms, self.longest_ms
        elif gap_ms > self.second_ms:
            self.second_ms = gap_ms

    def vector(self, at_ms: int) -> list[float]:
        """The features of `FEATURES`, all finite, as of `at_ms`.

        Parameters
        ----------
        at_ms
            Event time in ms; a time before the last act is taken for that act's.

        Returns
        -------
        list of float
            One number per feature. A customer without any act has zeros and the lowest rate.
        """
        if not self.n:
            return [0.0] * (len(FEATURES) - 1) + [math.log(0.5 / _RATE_PRIOR_D)]
        silent_ms = max(at_ms - self.last_ms, 0)
        recency_d = silent_ms / DAY_MS
        tenure_d = (self.last_ms - self.first_ms + silent_ms) / DAY_MS
        gap_last_d = self.gaps_ms[-1] / DAY_MS if self.gaps_ms else 0.0
        gap_sd_d = math.sqrt(max(self.gap_m2, 0.0) / self.gap_n) if self.gap_n else 0.0
        keep_7d, keep_30d, keep_90d = _decays(silent_ms)
        log1p = math.log1p
        return [
            log1p(recency_d),
            log1p(gap_last_d),
            log1p(self.n),
            log1p(self.count_7d * keep_7d),
            log1p(self.count_30d * keep_30d),
            log1p(self.count_90d * keep_90d),
            log1p(tenure_d),
            log1p(self.gap_mean),
            log1p(gap_sd_d),
            # One day more in the divisor: a customer with bursts of seconds would make every pause look endless.
            log1p(recency_d / (self.gap_mean + 1.0)),
            log1p(gap_last_d / (self.gap_mean + 1.0)),
            _signed_log1p(self.value_sum / self.n),
            _signed_log1p(self.value_last),
            _signed_log1p(self.value_30d * keep_30d),
            1.0 if self.n == 1 else 0.0,
            math.log((self.n - 0.5) / (tenure_d + _RATE_PRIOR_D)),
        ]

    def median_gap_ms(self) -> float | None:
        """Median of the last `GAPS_KEPT` gaps in ms, the customer's own normal pause; `None` before the second act."""
        gaps = sorted(self.gaps_ms)
        if not gaps:
            return None
        half = len(gaps) // 2
        return float(gaps[half]) if len(gaps) % 2 else (gaps[half - 1] + gaps[half]) / 2

    def normal_pause_ms(self) -> float | None:
        """How long the customer usually stays away, ms; `None` before the second act.

        The median gap. Of a customer who comes by season, the second longest gap: who twice came back from a silence of
        `SEASON_GAP_MS` or more, and of `SEASON_RATIO` times the median gap or more, is silent between the seasons, and
        no longer than usual until the silence is longer than that.
        """
        median_ms = self.median_gap_ms()
        if median_ms is None:
            return None
        is_seasonal = self.second_ms >= SEASON_GAP_MS and self.second_ms >= SEASON_RATIO * median_ms
        return float(self.second_ms) if is_seasonal else median_ms

    def silence_ratio(self, at_ms: int) -> float | None:
        """Silence at `at_ms` in units of the own normal pause: 1 and more is longer than usual; `None` when unknown."""
        normal_ms = self.normal_pause_ms()
        return None if normal_ms is None else max(at_ms - self.last_ms, 0) / normal_ms

    def encode(self) -> list[Any]:
        """The state as plain lists and numbers, for msgpack; floats survive to the bit."""
        return [
            self.first_ms,
            self.last_ms,
            self.n,
            self.count_7d,
            self.count_30d,
            self.count_90d,
            self.value_30d,
            self.value_sum,
            self.value_last,
            self.gap_n,
            self.gap_mean,
            self.gap_m2,
            list(self.gaps_ms),
            self.longest_ms,
            self.second_ms,
        ]

    @classmethod
    def decode(cls, state: Any) -> Traits:
        """Make the traits that `encode` wrote.

        Raises
        ------
        CorruptState
            If `state` is not of the shape that `encode` writes.

        Examples
        --------
        >>> traits = Traits()
        >>> traits.update(1_700_000_000_000, 9.99)
        >>> Traits.decode(traits.encode()).vector(1_700_000_000_000) == traits.vector(1_700_000_000_000)
        True
        """
        if not isinstance(state, list) or len(state) != 15 or not isinstance(state[12], list):
            raise CorruptState(
                f"traits: expected 14 numbers and a list of gaps, got {str(state)[:80]}; read the log again"
            )
        traits = cls()
        (
            traits.first_ms,
            traits.last_ms,
            traits.n,
            traits.count_7d,
            traits.count_30d,
            traits.count_90d,
            traits.value_30d,
            traits.value_sum,
            traits.value_last,
            traits.gap_n,
            traits.gap_mean,
            traits.gap_m2,
            gaps_ms,
            traits.longest_ms,
            traits.second_ms,
        ) = state
        traits.gaps_ms = list(gaps_ms)
        return traits


def _decays(elapsed_ms: int) -> tuple[float, float, float]:
    """What is left of a weight of 1 after `elapsed_ms`, for each of `HALF_LIVES_D`."""
    nats = -_LN2 * elapsed_ms / DAY_MS
    half_7d, half_30d, half_90d = HALF_LIVES_D
    return math.exp(nats / half_7d), math.exp(nats / half_30d), math.exp(nats / half_90d)
