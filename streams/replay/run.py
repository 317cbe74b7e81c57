"""One replay: records in, batches through the lanes, one ledger transaction per batch."""

from __future__ import annotations

import hashlib
import logging
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter

import orjson

from engine.board import board_line
from engine.decode import Limits, decode
from engine.errors import HenjiError, InvalidEvent, LogMismatch, StateIncompatible
from engine.event import Event
from engine.lane import Lane
from engine.murmur2 import lane_of
from engine.outcome import Outcome, Prediction
from engine.rules import RuleSet
from engine.settings import CACHE_CUSTOMERS, ResultSettings
from engine.vocabulary import Vocabulary
from streams.ledger import Counts, Ledger, Position
from streams.reader.record import Record
from streams.replay.outputs import Outputs

__all__ = ["MAX_FAILED", "STAGES", "Replay"]

STAGES = ("read", "decode", "load", "engine", "files", "ledger")
"""Where the time goes."""

MAX_FAILED = 100
"""Most events of one batch that may go to the dead letters because the engine failed on them."""

log = logging.getLogger("henji.replay")

_ALL = 1 << 62

_Dead = tuple[int, str, str, str]


class Replay:
    """A run over a log.

    Parameters
    ----------
    settings, rules
        What the answers depend on.
    ledger
        Where state and position are kept.
    outputs
        Files that grow while the log is read.
    vocabulary
        Translates an organisation's own words.
    limits
        Bounds on a record.
    reload_each
        Take all state from the ledger anew for every batch: slow, and must change nothing.
    """

    def __init__(
        self,
        settings: ResultSettings,
        rules: RuleSet,
        ledger: Ledger,
        outputs: Outputs,
        *,
        vocabulary: Vocabulary | None = None,
        limits: Limits | None = None,
        reload_each: bool = False,
    ) -> None:
        self.settings = settings
        self.rules = rules
        self.ledger = ledger
        self.outputs = outputs
        self.vocabulary = vocabulary
        self.limits = limits or Limits()
        self.reload_each = reload_each
        self.counts = Counts()
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.resumed_at = 0
        self.n_read_now = 0
        self._lanes: list[Lane] = []
        self._next_offset = 0
        self._hash = hashlib.blake2b(digest_size=16)
        self._stage_started = 0.0

    # -- the run -----------------------------------------------------------------------------------------------

    def run(
        self,
        batches: Iterable[Sequence[Record]],
        identity: str,
        on_batch: Callable[[int], None] = lambda _: None,
        pace: Callable[[Iterator[Sequence[Record]]], Iterator[Sequence[Record]]] = lambda batches: batches,
    ) -> None:
        """Read the log to its end, from where the ledger is.

        Parameters
        ----------
        batches
            The whole log from its beginning.
        identity
            What the log is, for the partition record.
        on_batch
            Called after each batch with the number of records read so far.
        pace
            Holds records back until their time has come; sees only those that are still to be applied.

        Raises
        ------
        LogMismatch
            If the records that the ledger has applied are not those at the beginning of this log.
        """
        self._begin()
        for records in self._timed(pace(self._after_resume(batches))):
            self._batch(records, identity)
            self.n_read_now += len(records)
            on_batch(self.counts.read)
        self._lap()
        self._commit([], identity, complete=True)
        self._spend("ledger")

    def _begin(self) -> None:
        self.ledger.claim()
        found = self.ledger.open(self.settings.digest())
        position = found.position if found is not None else None
        if position is not None and (position.complete or not self.outputs.covers(position.outputs)):
            # A finished run is a run to do again; files that are gone can only be made from the beginning.
            self.ledger.reset()
            self.ledger.claim()
            self.ledger.open(self.settings.digest())
            position = None
        self.outputs.open(position.outputs if position is not None else {})
        self._position = position
        self.resumed_at = position.next_offset if position is not None else 0
        self.counts = Counts(*position.counts) if position is not None else Counts()
        self._load_lanes()

    def _load_lanes(self, *, keep_all: bool = False) -> None:
        self._lanes = []
        for number in range(self.settings.lanes):
            record, models, timers = self.ledger.lane_state(number)
            cache = _ALL if keep_all else 0 if self.reload_each else CACHE_CUSTOMERS
            self._lanes.append(
                Lane(number, self.settings, self.rules, record=record, models=models, timers=timers, cache=cache)
            )

    def _after_resume(self, batches: Iterable[Sequence[Record]]) -> Iterator[Sequence[Record]]:
        """The batches after those that the ledger has applied, which are read once more and compared."""
        skip, position = self.resumed_at, self._position
        for batch in batches:
            records = batch
            if skip:
                for record in records[:skip]:
                    self._note(record)
                self._next_offset += len(records[:skip])
                skip, records = max(0, skip - len(records)), records[skip:]
                if not skip and position is not None and self._hash.hexdigest() != position.last_hash:
                    raise self._mismatch("other records")
            if records:
                yield records
        if skip:
            raise self._mismatch(f"{skip} records fewer")

    def _mismatch(self, got: str) -> LogMismatch:
        return LogMismatch(
            f"log: expected the {self.resumed_at} records that this run has applied before, got {got}; "
            "give the same files in the same order, or start over with --fresh"
        )

    def _note(self, record: Record) -> None:
        self._hash.update(len(record.raw).to_bytes(8, "little"))
        self._hash.update(record.raw)

    # -- one batch ---------------------------------------------------------------------------------------------

    def _batch(self, records: Sequence[Record], identity: str) -> None:
        for record in records:
            self._note(record)
        events, dead = self._decode(records)
        self._spend("decode")
        try:
            outcomes = self._apply(events)
        except HenjiError:
            raise
        except Exception:
            # A bug in the engine on some event must not stop the stream, nor lose it.
            outcomes, failed = self._apply_around(events)
            dead += failed
        self._write(records, outcomes, dead, identity)

    def _apply_around(self, events: list[tuple[int, Event]]) -> tuple[list[Outcome], list[_Dead]]:
        """Find the events that the engine fails on, from the state in the ledger, and apply the others."""
        failed: dict[int, _Dead] = {}
        while True:
            good = [e for e in events if e[0] not in failed]
            culprit = self._first_failure(good)
            if culprit is None:
                self._load_lanes()
                return self._apply(good), list(failed.values())
            index, error = culprit
            got = f"{type(error).__name__}: {error}"
            # The place and the traceback, never the payload.
            log.error(
                "the engine failed on record %d of this batch; it goes to the dead letters", index, exc_info=error
            )
            failed[index] = (index, "engine", "", f"expected an event that the engine can apply, got {got}")
            if len(failed) > MAX_FAILED:
                raise StateIncompatible(
                    f"engine: expected at most {MAX_FAILED} events of a batch to fail, got more, the last with {got}; "
                    "this is a bug that dead letters cannot contain: report it, and go on with the version before"
                ) from error

    def _first_failure(self, events: list[tuple[int, Event]]) -> tuple[int, Exception] | None:
        # Nothing is committed here, so no memory may go back to the ledger for room.
        self._load_lanes(keep_all=True)
        for event in events:
            try:
                self._apply([event])
            except HenjiError:
                raise
            except Exception as error:
                return event[0], error
        return None

    def _decode(self, records: Sequence[Record]) -> tuple[list[tuple[int, Event]], list[_Dead]]:
        events: list[tuple[int, Event]] = []
        dead: list[_Dead] = []
        limits, vocabulary = self.limits, self.vocabulary
        for index, record in enumerate(records):
            try:
                events.append(
                    (index, decode(record.raw, limits=limits, vocabulary=vocabulary, record_ts=record.record_ts))
                )
            except InvalidEvent as error:
                dead.append((index, error.reason, error.field, str(error)))
        return events, dead

    def _apply(self, events: list[tuple[int, Event]]) -> list[Outcome]:
        lanes = self.settings.lanes
        by_lane: dict[int, list[tuple[int, Event]]] = {}
        for index, event in events:
            if event.customer_id is not None:
                number = lane_of(event.customer_id, lanes)
            else:
                # A control record of another layout is refused by the lane that would have its number.
                number = (event.lane or 0) % lanes
            by_lane.setdefault(number, []).append((index, event))
        outcomes = []
        for number, batch in sorted(by_lane.items()):
            lane = self._lanes[number]
            wanted = lane.wanted(batch)
            if wanted:
                lane.admit(self.ledger.load(number, wanted))
                self._spend("load")
            outcomes.append(lane.apply(batch))
            self._spend("engine")
        return outcomes

    def _write(self, records: Sequence[Record], outcomes: list[Outcome], dead: list[_Dead], identity: str) -> None:
        late = [index for outcome in outcomes for index in outcome.late]
        for outcome in outcomes:
            for index, reason in outcome.dead:
                got = f"one of {self.settings.lanes} lanes that this deployment has"
                dead.append((index, reason, "lane", f"lane: expected {got}"))
        n_duplicate = sum(lane.record.duplicate for lane in self._lanes)
        n_late = sum(lane.record.late for lane in self._lanes)
        self._next_offset += len(records)
        read, n_dead = self.counts.read + len(records), self.counts.dead + len(dead)
        self.counts = Counts(read, read - n_duplicate - n_late - n_dead, n_duplicate, n_late, n_dead)
        alerts = sorted((a for o in outcomes for a in o.alerts), key=lambda a: a.index)
        self.outputs.write("alerts", [a.line() for a in alerts])
        if self.outputs.wants("predictions"):
            made = sorted((p for o in outcomes for p in o.predictions), key=lambda p: p.index)
            self.outputs.write("predictions", [_prediction_line(p) for p in made])
        self.outputs.write("dead", [_dead_line(records[d[0]], d) for d in sorted(dead)])
        self.outputs.write("late", [records[index].raw for index in sorted(late)])
        lengths = self.outputs.flush()
        self._spend("files")
        self._commit(outcomes, identity, lengths=lengths)
        self._spend("ledger")
        if self.reload_each:
            self._load_lanes()

    def _commit(
        self, outcomes: list[Outcome], identity: str, *, lengths: dict[str, int] | None = None, complete: bool = False
    ) -> None:
        self.ledger.commit(
            outcomes,
            Position(
                next_offset=self._next_offset,
                settings=self.settings.digest(),
                counts=self.counts,
                last_hash=self._hash.hexdigest(),
                outputs=self.outputs.flush() if lengths is None else lengths,
                complete=complete,
                input=identity,
            ),
        )

    # -- the end -----------------------------------------------------------------------------------------------

    @property
    def lanes(self) -> Sequence[Lane]:
        """The lanes as they stand."""
        return self._lanes

    def board(self) -> list[bytes]:
        """The final board: a line per customer, sorted by id."""
        lines: list[tuple[str, bytes]] = []
        for lane in self._lanes:
            for customer_id, record in self.ledger.customers(lane.number):
                lines.append((customer_id, board_line(lane.decode(record))))
        return [line for _, line in sorted(lines)]

    def digest(self, board: Iterable[bytes]) -> str:
        """SHA-256 over lanes, counts and board: equal for equal answers, 64 hex digits."""
        sha = hashlib.sha256()
        for lane in self._lanes:
            for part in lane.digest_parts():
                sha.update(len(part).to_bytes(4, "big") + part)
        sha.update(repr(tuple(self.counts)).encode())
        for line in board:
            sha.update(line + b"\n")
        return sha.hexdigest()

    # -- where the time goes -----------------------------------------------------------------------------------

    def _lap(self) -> None:
        self._stage_started = perf_counter()

    def _spend(self, stage: str) -> None:
        now = perf_counter()
        self.seconds[stage] += now - self._stage_started
        self._stage_started = now

    def _timed(self, batches: Iterator[Sequence[Record]]) -> Iterator[Sequence[Record]]:
        self._lap()
        for batch in batches:
            self._spend("read")
            yield batch
            self._lap()


def _prediction_line(p: Prediction) -> bytes:
    return orjson.dumps(
        {
            "customer_id": p.customer_id,
            "at": p.at,
            "trigger": p.trigger,
            "event_id": p.event_id,
            "churn": p.churn,
            "engagement": p.engagement,
            "model": p.model,
        }
    )


def _dead_line(record: Record, dead: _Dead) -> bytes:
    """A dead letter: place, reason and the raw bytes, as text where they are text."""
    line = {
        "source": record.source,
        "position": record.position,
        "reason": dead[1],
        "field": dead[2],
        "message": dead[3],
    }
    try:
        return orjson.dumps({**line, "raw": record.raw.decode("utf-8")})
    except UnicodeDecodeError:
        return orjson.dumps({**line, "raw_base64": b64encode(record.raw).decode("ascii")})
