"""Features that no model sees, for `benchmarks.ablation`: would they earn a place?"""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Final

import numpy as np

from engine.catalogue import PLACE
from engine.duration import DAY_MS
from engine.echo import ECHO_FEATURES, Echo
from engine.event import ACTIVITY, Event
from engine.features import FEATURES, Traits
from engine.rhythm import RHYTHM_FEATURES, Rhythm
from engine.service_traits import SERVICE_FEATURES, ServiceTraits

__all__ = ["CANDIDATES", "Candidates"]

_EVERY: Final = (*FEATURES, *RHYTHM_FEATURES, *ECHO_FEATURES, *SERVICE_FEATURES)

CANDIDATES: Final = (
    *(feature.name for feature in _EVERY if feature.name not in PLACE),
    "pop_7_30",  # own acts of everybody, last week against last month: holidays, terms
    "pop_dip",  # own acts of everybody yesterday, against the same weekday of four weeks
    "own_7_30",  # the customer's last week against their last month
    "own_7_30_pop",  # the same, less that of everybody
    "own_30_90_pop",  # last month against last quarter, less that of everybody
    "days_7_30_pop",  # the same of active days
    "gap_trend",  # mean of the last three gaps against the median of nine
    "silence_own",  # silence in own median gaps
    "payments_failed",  # decayed, 30 d
    "failures_other",  # failed sessions and views, decayed, 30 d
    "ends_within",  # `expected_end` lies within the horizon
    "contract_due",  # a contract is due and was not renewed
)
"""Traits that no model sees, then features that might be made of what the engine could know of customer and people."""


def _own(event: Event) -> bool:
    return event.kind in ACTIVITY and (event.kind != "payment" or event.outcome in (None, "ok"))


def _log_ratio(short: float, long: float, share: float) -> float:
    return math.log((short + 0.5) / (long * share + 0.5))


class _Side:
    """What the candidates know of a customer, or of everybody."""

    def __init__(self) -> None:
        self.traits, self.rhythm, self.echo, self.service = Traits(), Rhythm(), Echo(), ServiceTraits()
        self.failed = [0.0, 0.0]
        self.failed_at = 0
        self.days = [0.0, 0.0]
        self.last_day = -1
        self.end_ms: float = math.inf
        self.due_ms: float = math.inf

    def update(self, event: Event) -> None:
        if event.outcome == "failed" and event.kind in ("payment", "session", "view"):
            keep = 0.5 ** (max(event.ts - self.failed_at, 0) / DAY_MS / 30.0)
            self.failed = [count * keep for count in self.failed]
            self.failed_at = max(self.failed_at, event.ts)
            self.failed[event.kind != "payment"] += 1.0
        if event.kind == "profile":
            end = (event.attributes or {}).get("expected_end")
            self.end_ms = float(end) if isinstance(end, int | float) else _date(end)
        if event.kind == "contract":
            self.due_ms = event.ts if event.step == "due" else math.inf
        self.echo.update(event)
        self.service.update(event)
        if _own(event):
            self.rhythm.update(event.ts, self.traits)
            self.traits.update(event.ts, event.value)
            day = event.ts // DAY_MS
            if day > self.last_day:
                self.days = [n * 0.5 ** ((day - self.last_day) / h) for n, h in zip(self.days, (7, 30), strict=True)]
                self.days = [n + 1.0 for n in self.days]
                self.last_day = day

    def left_out(self, at: int, horizon_ms: int) -> list[float]:
        every = [
            *self.traits.vector(at),
            *self.rhythm.vector(at, self.traits, horizon_ms),
            *self.echo.vector(at, self.traits),
            *self.service.vector(at),
        ]
        return [value for feature, value in zip(_EVERY, every, strict=True) if feature.name not in PLACE]

    def counts(self, at: int) -> tuple[float, float, float]:
        gone = max(at - self.traits.last_ms, 0) / DAY_MS
        t = self.traits
        return t.count_7d * 0.5 ** (gone / 7), t.count_30d * 0.5 ** (gone / 30), t.count_90d * 0.5 ** (gone / 90)


def _date(text: object) -> float:
    if not isinstance(text, str):
        return math.inf
    return float(np.datetime64(text[:10], "ms").astype(np.int64))


class Candidates:
    """The values of `CANDIDATES`, from the events so far; wrong for events that come twice, late or out of order."""

    def __init__(self) -> None:
        self._people: dict[str, _Side] = defaultdict(_Side)
        self._by_day: dict[int, int] = defaultdict(int)
        # Everybody's acts decayed to `_at`, by half-life.
        self._at = 0
        self._everybody = [0.0, 0.0, 0.0]

    def update(self, event: Event) -> None:
        if event.customer_id is None:
            return
        self._people[event.customer_id].update(event)
        if _own(event):
            self._everybody = [n + 1.0 for n in self._decayed(event.ts)]
            self._at = max(self._at, event.ts)
            self._by_day[event.ts // DAY_MS] += 1

    def _decayed(self, at: int) -> list[float]:
        gone = max(at - self._at, 0) / DAY_MS
        return [n * 0.5 ** (gone / h) for n, h in zip(self._everybody, (7, 30, 90), strict=True)]

    def vector(self, customer: str, at: int, horizon_ms: int) -> list[float]:
        side = self._people[customer]
        week, month, quarter = side.counts(at)
        all_week, all_month, all_quarter = self._decayed(at)
        pop_week, pop_month = _log_ratio(all_week, all_month, 7 / 30), _log_ratio(all_month, all_quarter, 1 / 3)
        yesterday = at // DAY_MS - 1
        usual = sum(self._by_day.get(yesterday - 7 * k, 0) for k in range(1, 5)) / 4
        own = _log_ratio(week, month, 7 / 30)
        gone = max(at // DAY_MS - side.last_day, 0)
        gaps, median = side.traits.gaps_ms, side.traits.median_gap_ms()
        keep = 0.5 ** (max(at - side.failed_at, 0) / DAY_MS / 30.0)
        hour = 3_600_000.0
        trend = 0.0 if median is None else math.log((sum(gaps[-3:]) / len(gaps[-3:]) + hour) / (median + hour))
        return [
            *side.left_out(at, horizon_ms),
            pop_week,
            math.log((self._by_day.get(yesterday, 0) + 5.0) / (usual + 5.0)),
            own,
            own - pop_week,
            _log_ratio(month, quarter, 1 / 3) - pop_month,
            _log_ratio(side.days[0] * 0.5 ** (gone / 7), side.days[1] * 0.5 ** (gone / 30), 7 / 30) - pop_week,
            trend,
            math.log1p(max(at - side.traits.last_ms, 0) / (median + hour)) if median is not None else 0.0,
            math.log1p(side.failed[0] * keep),
            math.log1p(side.failed[1] * keep),
            float(side.end_ms <= at + horizon_ms),
            float(side.due_ms <= at),
        ]
