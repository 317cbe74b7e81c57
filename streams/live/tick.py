"""Ticks: records that tell an idle lane that time has passed, so that its timers fire and a replay sees the same."""

from __future__ import annotations

import orjson

from engine.duration import HOUR_MS

__all__ = ["tick_due", "tick_record"]


def tick_due(
    now_ms: int, *, clock_ms: int, sent_ms: int | None, delay_ms: int | None, tick_ms: int, lateness_ms: int | None
) -> bool:
    """Whether a lane whose partition is read to its end should get a tick.

    Parameters
    ----------
    now_ms
        Wall clock.
    clock_ms
        The lane clock; negative for a lane that never had an event: it has no timers.
    sent_ms
        When the last tick for it was produced; it may not have come back yet. `None`: never.
    delay_ms
        By how much the lane clock was behind when the newest record (ticks apart) was appended. More than `lateness`:
        old events are being filled in, and a tick with today's time would make the rest of them late. `None`: not
        known, which is taken for the same.
    tick_ms
        How far a clock may fall behind.
    lateness_ms
        Of the result settings. With `None` nothing is ever late, but timers would fire before the events of their
        time have come; then 1 h, the default of `lateness`, tells old events from live ones.

    Examples
    --------
    >>> tick_due(200_000, clock_ms=100_000, sent_ms=None, delay_ms=50, tick_ms=60_000, lateness_ms=3_600_000)
    True
    """
    if clock_ms < 0 or now_ms - clock_ms <= tick_ms:
        return False
    if sent_ms is not None and now_ms - sent_ms <= tick_ms:
        return False
    return delay_ms is not None and delay_ms <= (HOUR_MS if lateness_ms is None else lateness_ms)


def tick_record(lane: int, lanes: int, now_ms: int) -> bytes:
    """The value of a tick, an event of kind `tick` for one lane.

    Examples
    --------
    >>> tick_record(3, 8, 1_700_000_000_000)
    b'{"event_id":"tick-3-1700000000000","ts":1700000000000,"kind":"tick","lane":3,"lanes":8}'
    """
    return orjson.dumps(
        {"event_id": f"tick-{lane}-{now_ms}", "ts": now_ms, "kind": "tick", "lane": lane, "lanes": lanes}
    )
