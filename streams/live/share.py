"""Exchanges of what the lanes have learned: when the owner of a lane orders one, and how records of it look."""

from __future__ import annotations

import orjson

from engine.duration import HOUR_MS
from engine.event import Event

__all__ = ["control_value", "share_due"]


def share_due(
    now_ms: int, *, clock_ms: int, told_ms: int, delay_ms: int | None, share_ms: int, lateness_ms: int | None
) -> int | None:
    """The exchange for which a lane should be told to hand out, if there is one; its partition must be fresh.

    Parameters
    ----------
    now_ms
        Wall clock.
    clock_ms
        The lane clock; negative for a lane that never had an event: it is told by the others.
    told_ms
        The last exchange for which it was told, or handed out; negative: none.
    delay_ms
        By how much the lane clock was behind when the newest record (ticks apart) was appended. More than `lateness`:
        old events are being filled in, and a replay of their file exchanges nothing either. `None`: not known, which
        is taken for the same.
    share_ms
        From one exchange to the next.
    lateness_ms
        Of the result settings; with `None` 1 h, as for ticks.

    Returns
    -------
    int or None
        The newest multiple of `share_ms` that both clocks have passed, ms.

    Examples
    --------
    >>> share_due(1_050, clock_ms=1_020, told_ms=900, delay_ms=5, share_ms=100, lateness_ms=50)
    1000
    >>> share_due(1_050, clock_ms=1_020, told_ms=1_000, delay_ms=5, share_ms=100, lateness_ms=50) is None
    True
    """
    if clock_ms < 0 or delay_ms is None or delay_ms > (HOUR_MS if lateness_ms is None else lateness_ms):
        return None
    epoch = min(now_ms, clock_ms) // share_ms * share_ms
    return epoch if epoch > told_ms else None


def control_value(event: Event) -> bytes:
    """The value of the record of a control event for a lane.

    Examples
    --------
    >>> control_value(Event("e", None, 5, "merge", body={"epoch": 5}, lane=0, lanes=2))
    b'{"event_id":"e","ts":5,"kind":"merge","lane":0,"lanes":2,"body":{"epoch":5}}'
    """
    fields = {"event_id": event.event_id, "ts": event.ts, "kind": event.kind, "lane": event.lane, "lanes": event.lanes}
    return orjson.dumps({**fields, "body": event.body})
