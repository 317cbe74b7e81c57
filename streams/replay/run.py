"""One replay: records in, batches through the lanes, one ledger transaction per batch."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from time import perf_counter

import orjson

from engine.decode import Limits
from engine.desk import Desk
from engine.errors import LogMismatch, UsageError
from engine.lane import Lane
from engine.outcome import Outcome
from engine.rules import RuleSet
from engine.settings import CACHE_CUSTOMERS, ResultSettings
from engine.vocabulary import Vocabulary
from streams.lane_group import DeadRecord, LaneGroup
from streams.ledger import Counts, Ledger, Position
from streams.reader.record import Record
from streams.replay.lane_pool import LanePool
from streams.replay.lane_wire import Job
from streams.replay.lanes import Lanes, LocalLanes, Worked
from streams.replay.outputs import Outputs
from streams.replay.sharing import Boundaries
from streams.standing import Standing

__all__ = ["STAGES", "Replay"]

STAGES = ("read", "decode", "load", "engine", "files", "ledger")
"""Where the time goes; with several processes `engine` is how long their answers were waited for."""

_NO_VALUE = (1 << 64) - 1


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
    partitions
        Partitions of the topic that the log was read from; 1 for files.
    reload_each
        Take all state from the ledger anew for every batch: slow, and must change nothing.
    desk
        Routes, priorities, caps and guidance; by default the built-in ones.
    look
        Called after every transaction, and with `True` at the end of the log: `RedisLedger.incidents`.
    cores
        Processes over which the lanes are spread, 1 to `settings.lanes`; 1: this one. Changes no answer. Several of
        them live from the beginning of `run` to its end.
    durable
        Whether the ledger outlives the run. Where it does not, several processes keep the state of their lanes
        themselves, and the ledger has no more than the position.

    Raises
    ------
    UsageError
        If there are no so many lanes, or several processes are to take all state anew for every batch.
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
        partitions: int = 1,
        reload_each: bool = False,
        desk: Desk | None = None,
        look: Callable[[bool], object] = lambda _: None,
        cores: int = 1,
        durable: bool = True,
    ) -> None:
        self.settings = settings
        self.rules = rules
        self.ledger = ledger
        self.outputs = outputs
        self.reload_each = reload_each
        self._look = look
        self.counts = Counts()
        self.seconds = dict.fromkeys(STAGES, 0.0)
        self.resumed_at = 0
        self.n_read_now = 0
        cache = 0 if reload_each else CACHE_CUSTOMERS
        wanted = frozenset(outputs.paths)
        self._lanes: Lanes
        if cores == 1:
            group = LaneGroup(
                settings,
                rules,
                ledger,
                partitions=partitions,
                vocabulary=vocabulary,
                limits=limits,
                cache=cache,
                spent=self._spend,
                desk=desk,
            )
            self._lanes = LocalLanes(group, ledger, wanted)
        elif 1 < cores <= settings.lanes and not reload_each:
            job = Job(settings, rules, vocabulary, limits, partitions, desk, cache, (), durable, wanted)
            self._lanes = LanePool(job, ledger, cores)
        else:
            raise UsageError(f"--cores: expected 1 to {settings.lanes}, the number of lanes, got {cores}")
        self.cores = cores
        self._durable = durable
        self._under_way: deque[Sequence[Record]] = deque()
        self._identity = ""
        self._on_batch: Callable[[int], None] = lambda _: None
        self._vocabulary = vocabulary
        self._boundaries: Boundaries | None = None
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
        self._identity, self._on_batch = identity, on_batch
        try:
            self._begin()
            for records in self._timed(pace(self._after_resume(batches))):
                for epoch, piece in self._cut(records):
                    if epoch is not None:
                        self._finish(0)
                        self._exchange(epoch)
                    self._lanes.send(piece)
                    self._under_way.append(piece)
                    self._spend("read")
                    self._finish(self._lanes.ahead)
            self._lap()
            self._finish(0)
            self._look(True)
            self._commit([], complete=True)
            self._spend("ledger")
            self._lanes.end()
            self._spend("engine")
        finally:
            self._lanes.close()

    def _begin(self) -> None:
        self.ledger.claim()
        found = self.ledger.open(self.settings.digest())
        position = found.position if found is not None else None
        usable = position is not None and not position.complete and self._durable
        if position is not None and not (usable and self.outputs.covers(position.outputs)):
            # A finished run is a run to do again; files that are gone can only be made from the beginning.
            self.ledger.reset()
            self.ledger.claim()
            self.ledger.open(self.settings.digest())
            position = None
        self.outputs.open(position.outputs if position is not None else {})
        self._position = position
        self.resumed_at = position.next_offset if position is not None else 0
        self.counts = Counts(*position.counts) if position is not None else Counts()
        clocks = self._lanes.load()
        share_ms = self.settings.share_ms
        if share_ms is not None and self.settings.lanes > 1:
            self._boundaries = Boundaries(share_ms, clocks.clock, clocks.told, self._vocabulary)

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
        raw = record.raw
        # A length that no record has stands for no value.
        self._hash.update((_NO_VALUE if raw is None else len(raw)).to_bytes(8, "little"))
        self._hash.update(raw or b"")

    def _cut(self, records: Sequence[Record]) -> Iterable[tuple[int | None, Sequence[Record]]]:
        return [(None, records)] if self._boundaries is None else self._boundaries.cut(records)

    # -- one batch ---------------------------------------------------------------------------------------------

    def _finish(self, left: int) -> None:
        """Write the batches under way, the oldest first, but for so many."""
        while len(self._under_way) > left:
            records = self._under_way.popleft()
            worked = self._lanes.take(self.counts)
            self._spend("engine")
            for record in records:
                self._note(record)
            self._next_offset += len(records)
            self.counts = worked.counts
            self._write_files(records, worked)
            self._commit(worked.outcomes, lengths=self.outputs.flush())
            self._committed()
            self.n_read_now += len(records)
            self._on_batch(self.counts.read)

    def _exchange(self, epoch: int) -> None:
        """Let the lanes tell each other what they have learned; a transaction of its own, at the same offset."""
        self._commit(self._lanes.exchange(epoch))
        self._committed()

    def _committed(self) -> None:
        self._lanes.committed()
        self._look(False)
        self._spend("ledger")
        if self.reload_each:
            self._lanes.load()

    def _write_files(self, records: Sequence[Record], worked: Worked) -> None:
        outputs = self.outputs
        outputs.write("alerts", worked.alerts)
        outputs.write("predictions", worked.predictions)
        outputs.write("dead", [_dead_line(records[d.place], d) for d in worked.dead])
        outputs.write("late", [records[index].raw or b"" for index in worked.late])
        self._spend("files")

    def _commit(
        self, outcomes: list[Outcome], *, lengths: dict[str, int] | None = None, complete: bool = False
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
                input=self._identity,
            ),
        )

    # -- the end -----------------------------------------------------------------------------------------------

    @property
    def lanes(self) -> Sequence[Lane]:
        """The lanes as they stand; with several processes only when the run has ended."""
        return self._lanes.lanes

    def standing(self) -> Standing:
        """Everything that the run came to, customers included."""
        return self._lanes.standing(self.counts)

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


def _dead_line(record: Record, dead: DeadRecord) -> bytes:
    """A dead letter: place, reason and the raw bytes, as text where they are text."""
    line = {
        "source": record.source,
        "position": record.position,
        "reason": dead.reason,
        "field": dead.field,
        "message": dead.message,
    }
    try:
        return orjson.dumps({**line, "raw": record.raw.decode("utf-8") if record.raw is not None else None})
    except UnicodeDecodeError:
        return orjson.dumps({**line, "raw_base64": b64encode(record.raw or b"").decode("ascii")})
