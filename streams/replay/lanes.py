"""Where the lanes of a replay live: in this process, or spread over several (`streams.replay.lane_pool`)."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import orjson

from engine.lane import Lane
from engine.outcome import Outcome, Prediction
from streams.lane_group import DeadRecord, LaneGroup
from streams.ledger import Counts, Ledger
from streams.reader.record import Record
from streams.standing import Standing

__all__ = ["Clocks", "Lanes", "LocalLanes", "Numbered", "Worked", "alert_lines", "in_order", "prediction_lines"]

Numbered = tuple[int, bytes]
"""Place in the batch of the record that caused a line, and the line."""


class Clocks(NamedTuple):
    """How far lanes are.

    Parameters
    ----------
    clock
        The largest lane clock, ms; -1 before the first event.
    told
        Epoch of the last exchange, ms; negative before the first.
    """

    clock: int
    told: int


@dataclass(slots=True)
class Worked:
    """What became of a batch.

    Parameters
    ----------
    outcomes
        In the order of the lanes, for `Ledger.commit`; empty where lanes keep their state themselves.
    alerts, predictions
        Lines for the files that somebody wants, in the order of the records.
    dead
        In the order of the batch.
    late
        Places in the batch of the late records, in order.
    counts
        Of everything since the ledger began, this batch included.
    """

    outcomes: list[Outcome]
    alerts: list[bytes]
    predictions: list[bytes]
    dead: list[DeadRecord]
    late: list[int]
    counts: Counts


class Lanes(Protocol):
    """All lanes of a replay; what they come to does not depend on where they live.

    Batches are taken in the order in which they were sent, and each is committed before the next is taken.
    """

    @property
    def ahead(self) -> int:
        """How many batches may be under way beside the one that is taken next."""

    def load(self) -> Clocks:
        """Take all lanes from the ledger anew; nothing may be under way."""

    def send(self, records: Sequence[Record]) -> None:
        """Begin with a batch, in log order. May block until there is room."""

    def take(self, counts: Counts) -> Worked:
        """The oldest batch under way; `counts` are of everything before it.

        Raises
        ------
        HenjiError
            Whatever `LaneGroup.apply` raises.
        RecoverableError
            If a process of lanes has died.
        """

    def exchange(self, epoch: int) -> list[Outcome]:
        """Let all lanes tell each other what they have learned; nothing may be under way."""

    def committed(self) -> None:
        """What was taken last, or exchanged, is in the ledger."""

    def end(self) -> None:
        """The log has ended; called once, when nothing is under way."""

    def close(self) -> None:
        """Let go of everything but what `lanes` and `standing` need; harmless twice."""

    @property
    def lanes(self) -> Sequence[Lane]:
        """The lanes as they stand; of several processes after `end` only."""

    def standing(self, counts: Counts) -> Standing:
        """Everything that the run came to, customers included; after `end`."""


class LocalLanes:
    """All lanes in this process, one batch at a time.

    Parameters
    ----------
    group
        All lanes of the ledger.
    ledger
        Of the group.
    wanted
        Names of the files that somebody wants.
    """

    def __init__(self, group: LaneGroup, ledger: Ledger, wanted: frozenset[str]) -> None:
        self._group = group
        self._ledger = ledger
        self._wanted = wanted
        self._under_way: deque[Sequence[Record]] = deque()

    @property
    def ahead(self) -> int:
        """None: a batch is applied when it is taken."""
        return 0

    def load(self) -> Clocks:
        """Take all lanes from the ledger anew."""
        self._group.load()
        return Clocks(max(lane.clock for lane in self.lanes), max(lane.sharing.told for lane in self.lanes))

    def send(self, records: Sequence[Record]) -> None:
        """Keep the batch until it is taken."""
        self._under_way.append(records)

    def take(self, counts: Counts) -> Worked:
        """Apply the batch."""
        applied = self._group.apply(self._under_way.popleft(), counts)
        alerts = alert_lines(applied.outcomes) if "alerts" in self._wanted else []
        made = prediction_lines(applied.outcomes) if "predictions" in self._wanted else []
        return Worked(applied.outcomes, in_order(alerts), in_order(made), applied.dead, applied.late, applied.counts)

    def exchange(self, epoch: int) -> list[Outcome]:
        """Let all lanes tell each other what they have learned."""
        return self._group.exchange(epoch)

    def committed(self) -> None:
        """Nothing waits for that here."""

    def end(self) -> None:
        """Nothing has to be fetched."""

    def close(self) -> None:
        """Nothing is held."""

    @property
    def lanes(self) -> Sequence[Lane]:
        """The lanes as they stand."""
        return list(self._group.lanes.values())

    def standing(self, counts: Counts) -> Standing:
        """Everything that the run came to."""
        return Standing.of(self._group.settings, self._group.rules, self.lanes, counts, self._ledger.customers)


def in_order(lines: list[Numbered]) -> list[bytes]:
    """Lines in the order of their records; those of one record as they came.

    Examples
    --------
    >>> in_order([(3, b"x"), (5, b"y"), (3, b"b"), (1, b"a")])
    [b'a', b'x', b'b', b'y']
    """
    lines.sort(key=lambda each: each[0])
    return [line for _, line in lines]


def alert_lines(outcomes: Sequence[Outcome]) -> list[Numbered]:
    """Every alert as its line."""
    return [(alert.index, alert.line()) for outcome in outcomes for alert in outcome.alerts]


def prediction_lines(outcomes: Sequence[Outcome]) -> list[Numbered]:
    """Every pair of scores as its line."""
    return [(made.index, _prediction_line(made)) for outcome in outcomes for made in outcome.predictions]


def _prediction_line(p: Prediction) -> bytes:
    return orjson.dumps(
        {
            "customer_id": p.customer_id,
            "at": p.at,
            "trigger": p.trigger,
            "event_id": p.event_id,
            "churn": p.churn,
            "engagement": p.engagement,
            "contact": p.contact,
            "model": p.model,
        }
    )
