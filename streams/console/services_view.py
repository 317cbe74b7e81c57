"""Scorecards as the page gets them: who turned to us about what, by the hour."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.service_counts import BUCKET_MS, day_of, read_buckets
from streams.console.clock import DAY_MS, HOUR_MS
from streams.redis.desk_views import ServiceView

__all__ = ["HOURS", "service_rows"]

HOURS = 48
"""How far back they go."""

_MOST = 60  # values of a dimension: each is a plot


def service_rows(services: Iterable[ServiceView], now_ms: int) -> dict[str, list[dict[str, Any]]]:
    """Dimension -> the busiest values with their last hours; one that nobody came about in that time is left out.

    A customer counts once in a quarter of an hour; who came in two of them counts twice in the hour.

    Parameters
    ----------
    services
        As they are in Redis.
    now_ms
        The hour in which this lies is the last one.

    Examples
    --------
    >>> view = ServiceView("channel", "phone", {"1970-01-02:0": "3:1,2,0", "1970-01-02:5": "0:1,0,1;4:9,9,9"})
    >>> (row,) = service_rows([view], now_ms=86_400_000)["channel"]
    >>> row["hours"][-1]
    {'start': 86400000, 'customers': 2, 'requests': 2, 'complaints': 1}
    """
    last = now_ms // HOUR_MS * HOUR_MS
    starts = range(last - (HOURS - 1) * HOUR_MS, last + 1, HOUR_MS)
    found: dict[str, list[tuple[int, dict[str, Any]]]] = {"category": [], "channel": []}
    for view in services:
        sums = {start: [0, 0, 0] for start in starts}
        for name, text in view.fields.items():
            for start, counts in _buckets(name, text):
                if (hour := sums.get(start // HOUR_MS * HOUR_MS)) is not None:
                    for at, n in enumerate(counts):
                        hour[at] += n
        total = sum(hour[1] + hour[2] for hour in sums.values())
        if not total:
            continue
        names = ("customers", "requests", "complaints")
        hours = [{"start": start, **dict(zip(names, hour, strict=True))} for start, hour in sums.items()]
        found.setdefault(view.dimension, []).append((total, {"value": view.value, "hours": hours}))
    return {
        dimension: [row for _, row in sorted(rows, key=lambda each: (-each[0], each[1]["value"]))][:_MOST]
        for dimension, rows in found.items()
    }


def _buckets(name: str, text: str) -> list[tuple[int, tuple[int, ...]]]:
    """Start of each bucket of a field, ms, with its counts; nothing of a field that is of another form."""
    try:
        day = day_of(name.partition(":")[0])
        return [(day * DAY_MS + bucket * BUCKET_MS, tuple(counts)) for bucket, counts in read_buckets(text).items()]
    except ValueError:
        return []
