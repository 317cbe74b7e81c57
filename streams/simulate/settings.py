"""What a simulation is made from: the settings, checked once, and the seeds derived from them."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TypeVar

from engine.errors import ConfigurationError

__all__ = ["DEFAULT_CUSTOMERS", "SimulationSettings", "pick", "subseed", "uniform"]

T = TypeVar("T")

DEFAULT_CUSTOMERS = 500
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulationSettings:
    """All that decides the bytes of a simulated log.

    Wrong for reproducing a log under another release of Python: the generators of `random` are only promised to stay
    the same for `random.random`.

    Parameters
    ----------
    customers
        How many people, 1 to 999,999; `None` is 500, or as many as `events` needs.
    days
        Length of the log in days, 1 to 3,650.
    seed
        Any integer; another seed is another campus.
    start
        First day, local date. The default sees lectures, exams, graduation and three weeks of summer in 120 days.
    events
        About how many events should come out (within some 10 %). With `customers` people visit more or less often,
        without it there are more or fewer people. `None`: what comes.
    disorder_share
        Share of events that arrive up to 50 min after their time, so within the default lateness of 1 h; 0 to 1.
    late_share
        Share of events that arrive 2 to 72 h after their time; 0 to 1, with `disorder_share` at most 1.
    duplicate_share
        Share of events that are delivered again within 10 min, byte for byte; 0 to 1.
    bad_share
        Deliberately broken lines per good line in a written log; 0 to 1. `simulate` itself yields no broken event.
    incidents
        How many services fail for a while, 0 to 6.
    leave_rate
        Share of people who leave within 30 days without a reason that is known before, 0 to below 1.
    utc_offset_h
        Local time of the campus, hours ahead of UTC, -12 to 14.

    Raises
    ------
    ConfigurationError
        A setting is out of its range; the message names it.

    Examples
    --------
    >>> SimulationSettings(customers=10, days=7).end_ms - SimulationSettings(days=7).start_ms == 7 * 86_400_000
    True
    >>> SimulationSettings(days=0)
    Traceback (most recent call last):
        ...
    engine.errors.ConfigurationError: days: expected a number from 1 to 3650, got 0; change it for `henji simulate`
    """

    customers: int | None = None
    days: int = 120
    seed: int = 1
    start: date = date(2025, 3, 31)
    events: int | None = None
    disorder_share: float = 0.0
    late_share: float = 0.0
    duplicate_share: float = 0.0
    bad_share: float = 0.0
    incidents: int = 2
    leave_rate: float = 0.06
    utc_offset_h: int = 8

    def __post_init__(self) -> None:
        if self.customers is not None:
            _check("customers", self.customers, 1, 999_999)
        if self.events is not None:
            _check("events", self.events, 1, 1_000_000_000)
        _check("days", self.days, 1, 3650)
        _check("incidents", self.incidents, 0, 6)
        _check("utc_offset_h", self.utc_offset_h, -12, 14)
        _check("leave_rate", self.leave_rate, 0, 0.99)
        _check("duplicate_share", self.duplicate_share, 0, 1)
        _check("bad_share", self.bad_share, 0, 1)
        _check("disorder_share", self.disorder_share, 0, 1)
        _check("late_share", self.late_share, 0, round(1 - self.disorder_share, 12))
        # The contract knows times from 1970 to 2100.
        _check("start", self.start.year, 1971, 2089)

    @property
    def start_ms(self) -> int:
        """Local midnight of the first day, ms since the epoch, UTC."""
        midnight = datetime(self.start.year, self.start.month, self.start.day, tzinfo=UTC)
        return int(midnight.timestamp()) * 1000 - self.utc_offset_h * 3_600_000

    @property
    def end_ms(self) -> int:
        """End of the last day, ms; no event has this time or a later one."""
        return self.start_ms + self.days * DAY_MS


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        message = f"{name}: expected a number from {low} to {high}, got {value}; change it for `henji simulate`"
        raise ConfigurationError(message)


def subseed(*parts: int | str) -> int:
    """A 64-bit seed from a path of names, so that no part of a simulation depends on the order of the others.

    Examples
    --------
    >>> subseed(1, "person", 2) != subseed(1, "person", 3)
    True
    """
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")


def uniform(*parts: int | str) -> float:
    """A number in [0, 1) that only depends on its name.

    Examples
    --------
    >>> 0 <= uniform(1, "campaign", 3) < 1
    True
    """
    return (subseed(*parts) >> 11) * 2.0**-53


def pick(rng: random.Random, items: Sequence[T], weights: Sequence[float]) -> T:
    """One of `items`, by weight; from `random.random` alone, which Python promises not to change."""
    left = rng.random() * sum(weights)
    for item, weight in zip(items, weights, strict=True):
        left -= weight
        if left < 0:
            return item
    return items[-1]
