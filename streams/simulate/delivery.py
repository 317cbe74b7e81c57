"""How the log arrives: late, out of order, twice, or broken.

Each event's luck depends on its id and the seed alone, so that delays do not change what happened.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import orjson

from streams.simulate.settings import SimulationSettings, uniform

__all__ = ["Deliveries", "broken_line", "deliver"]

MINUTE_MS = 60_000
HOUR_MS = 3_600_000


@dataclass(slots=True)
class Deliveries:
    """What went wrong on the way, counted."""

    disordered: int = 0
    late: int = 0
    duplicates: int = 0
    bad: int = 0


def _luck(settings: SimulationSettings, event: dict[str, Any], purpose: str) -> float:
    # A cryptographic hash: with a checksum, one purpose would foretell the other.
    return uniform(settings.seed, event["customer_id"], event["event_id"], purpose)


def deliver(
    events: Iterator[dict[str, Any]], settings: SimulationSettings, counts: Deliveries
) -> Iterator[dict[str, Any]]:
    """The events in the order of their arrival.

    Parameters
    ----------
    events
        In time order.
    settings
        Shares of disorder, lateness and duplicates; with all of them 0 the events come as they are.
    counts
        Is counted up. A delayed event is counted even if nothing overtook it.
    """
    if not (settings.disorder_share or settings.late_share or settings.duplicate_share):
        yield from events
        return
    waiting: list[tuple[int, int, dict[str, Any]]] = []
    for number, event in enumerate(events):
        while waiting and waiting[0][0] <= event["ts"]:
            yield heapq.heappop(waiting)[2]
        arrival = event["ts"] + _delay(event, settings, counts)
        if settings.duplicate_share and _luck(settings, event, "again") < settings.duplicate_share:
            counts.duplicates += 1
            again = arrival + int(_luck(settings, event, "when") * 10 * MINUTE_MS) + 1
            heapq.heappush(waiting, (again, 2 * number + 1, event))
        if arrival == event["ts"]:
            yield event
        else:
            heapq.heappush(waiting, (arrival, 2 * number, event))
    while waiting:
        yield heapq.heappop(waiting)[2]


def _delay(event: dict[str, Any], settings: SimulationSettings, counts: Deliveries) -> int:
    luck = _luck(settings, event, "way")
    far = _luck(settings, event, "delay")
    if luck < settings.late_share:
        counts.late += 1
        return int((2 + 70 * far) * HOUR_MS)
    if luck < settings.late_share + settings.disorder_share:
        counts.disordered += 1
        # Under the default lateness of an hour, so that all of these still count.
        return 5_000 + int(far * 50 * MINUTE_MS)
    return 0


def broken_line(event: dict[str, Any], settings: SimulationSettings) -> bytes | None:
    """A broken line to stand before `event`'s own, or `None`; every one is refused by a decoder of the contract."""
    if not settings.bad_share or _luck(settings, event, "bad") >= settings.bad_share:
        return None
    bad = dict(event, event_id=event["event_id"] + "-bad")
    match int(_luck(settings, event, "how") * 8):
        case 0:
            return orjson.dumps(bad)[:-7]
        case 1:
            return b"\xff\xfe not text"
        case 2:
            del bad["customer_id"]
        case 3:
            bad["kind"] = "requst"
        case 4:
            bad["ts"] = "yesterday"
        case 5:
            bad["ts"] = -1
        case 6:
            bad |= {"kind": "feedback", "category": "app/crash", "score": 9}
        case _:
            return orjson.dumps([bad])
    return orjson.dumps(bad)
