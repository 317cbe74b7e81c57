"""The wall clock of the console."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["DAY_MS", "HOUR_MS", "MINUTE_MS", "Clock", "wall_ms"]

Clock: TypeAlias = Callable[[], int]
"""Gives the time, ms since the epoch."""

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS


def wall_ms() -> int:
    """The machine's clock, ms since the epoch."""
    return time.time_ns() // 1_000_000
