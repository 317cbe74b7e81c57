"""What `meta` says at one moment: how far each lane has come, how fresh it is, and what time it is on the board."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.incident import INCIDENT_LANE
from streams.console.clock import DAY_MS
from streams.redis.catalogue import INPUT_STALE_MS, INPUT_STATES
from streams.redis.views import MetaView, read_meta

__all__ = ["PAST_MS", "Moment"]

PAST_MS = DAY_MS
"""A lane whose clock is further behind the wall clock lives in the past: a demo, or a log that is being filled in."""


@dataclass(frozen=True, slots=True)
class Moment:
    """The board at one moment.

    Parameters
    ----------
    wall_ms
        Wall clock, ms.
    meta
        What `meta` says, as values.
    fields
        And as text, for what has no place in `MetaView`.

    Examples
    --------
    >>> fields = {"watermark:0": "1000", "input:0": "fresh", "input_at:0": "5000"}
    >>> moment = Moment.of("risk:meta", fields, wall_ms=6_000)
    >>> moment.input(0), moment.input(1), Moment.of("risk:meta", fields, wall_ms=36_000).input(0)
    ('fresh', 'unknown', 'stale')
    >>> Moment.of("risk:meta", fields, wall_ms=86_401_001).now(0)
    1000
    """

    wall_ms: int
    meta: MetaView
    fields: Mapping[str, str]

    @classmethod
    def of(cls, key: str, fields: Mapping[str, str], *, wall_ms: int) -> Moment:
        """The moment of a reading of `meta`.

        Raises
        ------
        CorruptState
            If a number is none.
        """
        return cls(wall_ms, read_meta(key, fields, None), fields)

    def watermark(self, lane: int | None) -> int | None:
        """The lane's clock; `None` when it is not known."""
        return None if lane is None else self.meta.watermarks.get(lane)

    def now(self, lane: int | None = None) -> int:
        """The time to reckon with, ms: the wall clock, but the lane's own where that lives in the past.

        Parameters
        ----------
        lane
            Its number; `None`: the lane that is furthest.
        """
        mark = max(self.meta.watermarks.values(), default=None) if lane is None else self.watermark(lane)
        return self.wall_ms if mark is None or self.wall_ms - mark <= PAST_MS else mark

    def input(self, lane: int | None) -> str:
        """Whether what was sent for a lane is on the board: `fresh`, `stale` or `unknown`; of lane -1, of all."""
        if lane is None:
            return "unknown"
        if lane == INCIDENT_LANE:
            words = set(self.inputs().values())
            return "stale" if "stale" in words else "fresh" if words == {"fresh"} else "unknown"
        word, said_at = self.meta.inputs.get(lane), self.meta.inputs_at.get(lane)
        if word not in INPUT_STATES or said_at is None:
            return "unknown"
        return "stale" if self.wall_ms - said_at > INPUT_STALE_MS else word

    def inputs(self) -> dict[str, str]:
        """Lane -> how fresh it is, for every lane of the deployment."""
        lanes = set(range(min(self.meta.lanes or 0, 1024))) | self.meta.watermarks.keys()
        return {str(lane): self.input(lane) for lane in sorted(lanes)}

    def counts(self) -> dict[str, int] | None:
        """Records so far, summed over the partitions; `None` when no worker said."""
        names = ("read", "applied", "duplicate", "late", "dead")
        sums = dict.fromkeys(names, 0)
        told = [text.split(",") for name, text in self.fields.items() if name.startswith("counts:")]
        good = [each for each in told if len(each) == len(names) and all(part.isdecimal() for part in each)]
        for each in good:
            for name, part in zip(names, each, strict=True):
                sums[name] += int(part)
        return sums if good else None

    def operations(self) -> dict[str, Any]:
        """What people who run it want to know."""
        meta = self.meta
        lanes = set(range(min(meta.lanes or 0, 1024))) | meta.watermarks.keys()
        return {
            "lanes": [
                {
                    "lane": lane,
                    "input": self.input(lane),
                    "input_at": meta.inputs_at.get(lane),
                    "watermark": meta.watermarks.get(lane),
                    "lag": meta.lag.get(lane),
                    "last_event_at": meta.last_events_at.get(lane),
                }
                for lane in sorted(lanes)
            ],
            "last_write": meta.last_write,
            "now": self.wall_ms,
            "board_now": self.now(),
            "engine": meta.engine,
            "rules": meta.rules,
            "contract": meta.contract,
            "desk": self.fields.get("desk"),
            "since": meta.since,
            "start": self.fields.get("start"),
            "counts": self.counts(),
        }
