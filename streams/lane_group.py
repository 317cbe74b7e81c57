"""The lanes of one ledger: records in, outcomes out, the same for replay and live."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Protocol

from engine.decode import Limits, decode
from engine.desk import Desk
from engine.errors import HenjiError, InvalidEvent, StateIncompatible
from engine.event import TIMELESS, Event
from engine.lane import Lane
from engine.murmur2 import lane_of
from engine.outcome import Outcome
from engine.rules import RuleSet
from engine.settings import CACHE_CUSTOMERS, ResultSettings
from engine.sharing import merge_order
from engine.vocabulary import Vocabulary
from streams.ledger import Binding, Counts, LaneState
from streams.reader.record import Record

__all__ = ["MAX_FAILED", "Applied", "DeadRecord", "LaneGroup", "LaneSource"]

MAX_FAILED = 100
"""Most events of one batch that may go to the dead letters because the engine failed on them."""

log = logging.getLogger("henji.lanes")

_ALL = 1 << 62


class DeadRecord(NamedTuple):
    """A record that was not applied because it is no event of the contract.

    Parameters
    ----------
    place
        Where in the batch it stands.
    reason
        Code of `engine.decode.REASONS`, or `lane`.
    field, message
        What is wrong.
    """

    place: int
    reason: str
    field: str
    message: str


@dataclass(slots=True)
class Applied:
    """What became of a batch.

    Parameters
    ----------
    outcomes
        One per lane that had a record or a timer, for `Ledger.commit`.
    dead
        In the order of the batch.
    late
        Places in the batch of the late records, in order.
    counts
        Of everything since the ledger began, this batch included.
    newest
        Lane -> (time of its newest record that was no tick and of no exchange, clock of the lane then), both ms; only
        where the record has a time.
    """

    outcomes: list[Outcome]
    dead: list[DeadRecord]
    late: list[int]
    counts: Counts
    newest: dict[int, tuple[int, int]] = field(default_factory=dict)


class LaneSource(Protocol):
    """What a group reads of a ledger, see `streams.ledger.Ledger`."""

    @property
    def binding(self) -> Binding:
        """The partition and its lanes."""

    def load(self, lane: int, customer_ids: Sequence[str]) -> dict[str, bytes | None]:
        """Read the memories of these customers; `None` for one that the ledger does not know."""

    def lane_state(self, lane: int) -> LaneState:
        """Read everything of a lane that is not a customer's memory."""


class LaneGroup:
    """The lanes of a ledger, kept in step with it.

    Wrong when two groups share a ledger: the lanes in memory are those of its one owner.

    Parameters
    ----------
    settings, rules
        What the answers depend on.
    ledger
        Where the lanes are loaded from.
    partitions
        Partitions of the topic: a record of a partition that does not carry its customer's lane is `misrouted`.
    vocabulary
        Translates an organisation's own words.
    limits
        Bounds on a record.
    cache
        Most customers that a lane keeps decoded; 0 keeps none.
    spent
        Called with the name of a stage (`decode`, `load`, `engine`) when it ends.
    desk
        Of the lanes; by default the built-in one.
    """

    def __init__(
        self,
        settings: ResultSettings,
        rules: RuleSet,
        ledger: LaneSource,
        *,
        partitions: int = 1,
        vocabulary: Vocabulary | None = None,
        limits: Limits | None = None,
        cache: int = CACHE_CUSTOMERS,
        spent: Callable[[str], None] = lambda _: None,
        desk: Desk | None = None,
    ) -> None:
        self.settings = settings
        self.rules = rules
        self.lanes: dict[int, Lane] = {}
        self._ledger = ledger
        self._partitions = partitions
        self._vocabulary = vocabulary
        self._limits = limits or Limits()
        self._cache = cache
        self._spent = spent
        self._desk = desk
        # The lanes hold what no ledger knows: the engine failed half-way.
        self._spoilt = False

    def load(self, *, keep_all: bool = False) -> None:
        """Take all lanes from the ledger anew."""
        lanes: dict[int, Lane] = {}
        for number in self._ledger.binding.own:
            record, models, timers = self._ledger.lane_state(number)
            cache = _ALL if keep_all else self._cache
            lanes[number] = Lane(
                number,
                self.settings,
                self.rules,
                record=record,
                models=models,
                timers=timers,
                cache=cache,
                desk=self._desk,
            )
        # All at once: another thread may look at the clocks meanwhile, and a store that is away changes nothing.
        self.lanes = lanes

    def apply(self, records: Sequence[Record], counts: Counts) -> Applied:
        """Apply a batch.

        Parameters
        ----------
        records
            In log order.
        counts
            Of everything before this batch.

        Raises
        ------
        StoreUnavailable
            If memories could not be loaded; nothing has changed, the same call may be made again.
        StateIncompatible
            If a memory is damaged, or the engine fails on too many events.
        """
        self._mend()
        by_lane, dead = self._decode(records)
        self._spent("decode")
        self._admit(by_lane)
        clocks = {number: self.lanes[number].clock for number in by_lane}
        try:
            outcomes = self._apply(by_lane)
        except HenjiError:
            raise
        except Exception:
            # A bug in the engine on some event must not stop the stream, nor lose it.
            self._spoilt = True
            outcomes, failed = self._apply_around(by_lane)
            dead += failed
        for outcome in outcomes:
            got = f"one of {self.settings.lanes} lanes that this deployment has"
            dead += [DeadRecord(index, reason, "lane", f"lane: expected {got}") for index, reason in outcome.dead]
        late = sorted(index for outcome in outcomes for index in outcome.late)
        n_duplicate = sum(lane.record.duplicate for lane in self.lanes.values())
        n_late = sum(lane.record.late for lane in self.lanes.values())
        read, n_dead = counts.read + len(records), counts.dead + len(dead)
        after = Counts(read, read - n_duplicate - n_late - n_dead, n_duplicate, n_late, n_dead)
        return Applied(outcomes, sorted(dead), late, after, _newest(records, by_lane, clocks))

    def exchange(self, epoch: int) -> list[Outcome]:
        """Let all lanes tell each other what they have learned, as if the records for it stood in the log just here.

        They are not counted: nobody wrote them. Wrong for a group that has not all lanes of the deployment: such groups
        `tell` and `hear`.

        Parameters
        ----------
        epoch
            The exchange, ms; later than those before.

        Returns
        -------
        list of Outcome
            One per lane, for `Ledger.commit`.
        """
        told = self.tell(epoch)
        return self.hear(told, [event for outcome in told.values() for event in outcome.outgoing])

    def tell(self, epoch: int) -> dict[int, Outcome]:
        """The first half of an exchange: what each lane says stands in its `outgoing`; `hear` must follow."""
        self._mend()
        lanes = self.settings.lanes
        told = {n: lane.exchange([merge_order(epoch, n, lanes, epoch)]) for n, lane in self.lanes.items()}
        self._spent("engine")
        return told

    def hear(self, told: Mapping[int, Outcome], said: Sequence[Event]) -> list[Outcome]:
        """The second half of an exchange.

        Parameters
        ----------
        told
            What `tell` gave.
        said
            What all lanes of the deployment said, those of other groups included, in the order of the lanes.

        Returns
        -------
        list of Outcome
            One per lane, for `Ledger.commit`.
        """
        outcomes: list[Outcome] = []
        for number, lane in self.lanes.items():
            outcome = lane.exchange([event for event in said if event.lane == number])
            outcomes.append(replace(outcome, models=told[number].models | outcome.models, outgoing=[]))
        self._spent("engine")
        return outcomes

    def _mend(self) -> None:
        if self._spoilt:
            self.load()
            self._spoilt = False

    # -- one batch ---------------------------------------------------------------------------------------------

    def _decode(self, records: Sequence[Record]) -> tuple[dict[int, list[tuple[int, Event]]], list[DeadRecord]]:
        lanes, partitions = self.settings.lanes, self._partitions
        limits, vocabulary = self._limits, self._vocabulary
        by_lane: dict[int, list[tuple[int, Event]]] = {}
        dead: list[DeadRecord] = []
        for index, record in enumerate(records):
            try:
                event = decode(
                    record.raw, limits=limits, vocabulary=vocabulary, record_ts=record.record_ts, key=record.key
                )
                if event.customer_id is not None:
                    number = lane_of(event.customer_id, lanes)
                else:
                    # A control record of another layout is refused by the lane that would have its number.
                    number = (event.lane or 0) % lanes
                if record.partition is not None and number % partitions != record.partition:
                    raise InvalidEvent(
                        "misrouted",
                        "",
                        f"a record of lane {number} in partition {number % partitions} of {partitions} "
                        "(murmur2 of its key, as Kafka's Java client places it)",
                        f"partition {record.partition}",
                    )
            except InvalidEvent as error:
                dead.append(DeadRecord(index, error.reason, error.field, str(error)))
            else:
                by_lane.setdefault(number, []).append((index, event))
        return dict(sorted(by_lane.items())), dead

    def _admit(self, by_lane: Mapping[int, Sequence[tuple[int, Event]]]) -> None:
        # All loads before the first change, so that a store that is away leaves every lane as it was.
        wanted = [(self.lanes[number], self.lanes[number].wanted(batch)) for number, batch in by_lane.items()]
        loaded = [(lane, self._ledger.load(lane.number, ids)) for lane, ids in wanted if ids]
        for lane, records in loaded:
            lane.admit(records)
        self._spent("load")

    def _apply(self, by_lane: Mapping[int, Sequence[tuple[int, Event]]]) -> list[Outcome]:
        outcomes = [self.lanes[number].apply(batch) for number, batch in by_lane.items()]
        self._spent("engine")
        return outcomes

    # -- when the engine fails ---------------------------------------------------------------------------------

    def _apply_around(
        self, by_lane: Mapping[int, Sequence[tuple[int, Event]]]
    ) -> tuple[list[Outcome], list[DeadRecord]]:
        """Find the events that the engine fails on, from the state in the ledger, and apply the others."""
        failed: dict[int, DeadRecord] = {}
        while True:
            good = {n: kept for n, batch in by_lane.items() if (kept := [e for e in batch if e[0] not in failed])}
            culprit = self._first_failure(good)
            if culprit is None:
                self.load()
                self._admit(good)
                outcomes = self._apply(good)
                self._spoilt = False
                return outcomes, list(failed.values())
            index, error = culprit
            got = f"{type(error).__name__}: {error}"
            # The place and the traceback, never the payload.
            log.error(
                "the engine failed on record %d of this batch; it goes to the dead letters", index, exc_info=error
            )
            failed[index] = DeadRecord(index, "engine", "", f"expected an event that the engine can apply, got {got}")
            if len(failed) > MAX_FAILED:
                raise StateIncompatible(
                    f"engine: expected at most {MAX_FAILED} events of a batch to fail, got more, the last with {got}; "
                    "this is a bug that dead letters cannot contain: report it, and go on with the version before"
                ) from error

    def _first_failure(self, by_lane: Mapping[int, Sequence[tuple[int, Event]]]) -> tuple[int, Exception] | None:
        # Nothing is committed here, so no memory may go back to the ledger for room.
        self.load(keep_all=True)
        events = sorted((index, event, number) for number, batch in by_lane.items() for index, event in batch)
        for index, event, number in events:
            try:
                one = {number: [(index, event)]}
                self._admit(one)
                self._apply(one)
            except HenjiError:
                raise
            except Exception as error:
                return index, error
        return None


def _newest(
    records: Sequence[Record], by_lane: Mapping[int, Sequence[tuple[int, Event]]], clocks: Mapping[int, int]
) -> dict[int, tuple[int, int]]:
    newest: dict[int, tuple[int, int]] = {}
    for number, batch in by_lane.items():
        clock = clocks[number]
        for index, event in batch:
            if event.kind not in TIMELESS:
                clock = max(clock, event.ts)
            record_ts = records[index].record_ts
            if record_ts is not None and record_ts >= 0 and event.kind != "tick" and event.kind not in TIMELESS:
                newest[number] = (record_ts, clock)
    return newest
