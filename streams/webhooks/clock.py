"""The wall clock of the sender, and how it waits; tests have one that is moved by hand."""

from __future__ import annotations

import asyncio
import time
from typing import Protocol

__all__ = ["Clock", "WallClock"]


class Clock(Protocol):
    """What time it is, and waiting for a time or an event, whichever comes first."""

    def now_ms(self) -> int:
        """Milliseconds since 1970; never less than before."""

    async def wait(self, event: asyncio.Event, until_ms: int | None) -> None:
        """Return when the event is set, or at a time (`None`: at no time)."""


class WallClock:
    """The wall clock of the start, carried on by one that nobody sets: a step of the machine's clock moves no wait."""

    def __init__(self) -> None:
        self._began_ms = time.time_ns() // 1_000_000 - time.monotonic_ns() // 1_000_000

    def now_ms(self) -> int:
        return self._began_ms + time.monotonic_ns() // 1_000_000

    async def wait(self, event: asyncio.Event, until_ms: int | None) -> None:
        if until_ms is None:
            await event.wait()
            return
        try:
            # One more, since what is cut off of a millisecond would make the waiter look too early.
            async with asyncio.timeout(max(0, until_ms - self.now_ms() + 1) / 1000):
                await event.wait()
        except TimeoutError:
            pass
