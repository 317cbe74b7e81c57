"""One partition that is ours: its ledger, its lanes, and what is on its way."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import msgspec

from engine.desk import Desk
from engine.errors import LedgerConflict, LogMismatch
from engine.outcome import Outcome
from engine.rules import RuleSet
from engine.settings import ResultSettings
from engine.vocabulary import Vocabulary
from streams.lane_group import Applied, LaneGroup
from streams.ledger import Counts, Ledger, Outbox, Position
from streams.live.batch import FetchedBatch
from streams.live.fuse import Fuse
from streams.live.share import control_value
from streams.reader.record import Record

__all__ = ["LivePartition", "OutgoingRecord", "Prepared", "record_hash"]


class OutgoingRecord(msgspec.Struct, array_like=True, frozen=True):
    """A record of the outbox.

    Parameters
    ----------
    topic, key, value
        What is produced where; the key chooses the partition.
    headers
        Name and value.
    partition
        Where a record goes that has no key.
    """

    topic: str
    key: bytes | None
    value: bytes
    headers: list[tuple[str, bytes]]
    partition: int | None = None


@dataclass(slots=True)
class Prepared:
    """A batch that was applied in memory and is to be made durable.

    Parameters
    ----------
    records
        Those that were read now, at least one.
    applied
        What became of them.
    counts
        Of this batch alone.
    position, outbox
        What the transaction writes beside the outcomes.
    """

    records: Sequence[Record]
    applied: Applied
    counts: Counts
    position: Position
    outbox: Outbox


class LivePartition:
    """A partition between assignment and revocation. Called by one thread at a time; every method may block on Redis.

    `open` claims and reads the ledger; then for every batch `prepare`, the dead letters, `commit`. After
    `StoreUnavailable` the same call may be made again; after any other error the object is of no use any more.

    Parameters
    ----------
    ledger
        Of this partition.
    settings, rules, vocabulary
        What the answers depend on.
    partitions
        Of the topic.
    generation
        Of the consumer group that gave us the partition.
    fuse
        Share of dead records beyond which it blows, or `None`.
    alerts_topic
        Where copies of the alerts go; empty: nowhere.
    desk
        Of the lanes; by default the built-in one.
    about
        What the board says about itself (`BoardMeta.more`): `open` puts in where it was told to begin.
    """

    def __init__(
        self,
        ledger: Ledger,
        settings: ResultSettings,
        rules: RuleSet,
        *,
        partitions: int,
        generation: int,
        vocabulary: Vocabulary | None = None,
        fuse: float | None = None,
        alerts_topic: str = "",
        desk: Desk | None = None,
        about: dict[str, str] | None = None,
    ) -> None:
        self.ledger = ledger
        self.number = ledger.binding.partition
        self.generation = generation
        self.fuse = Fuse(fuse)
        self.token = ""
        self.next_offset = 0
        self.counts = Counts()
        self.started = ""
        self.last_event_at: dict[int, int] = {}
        self.append_delays: dict[int, int] = {}
        self.seconds: dict[str, float] = {}
        self.waiting: list[bytes] = []
        self.n_shipped = 0
        self.handled_to = 0
        self._settings = settings
        self._digest = settings.digest()
        self._alerts_topic = alerts_topic
        self._partitions = partitions
        self._about = {} if about is None else about
        self._last_hash = ""
        self._verify = False
        self._in_hand: tuple[FetchedBatch, Prepared | None] | None = None
        self._stage_started = 0.0
        self._group = LaneGroup(
            settings, rules, ledger, partitions=partitions, vocabulary=vocabulary, spent=self._spend, desk=desk
        )

    # -- opening -------------------------------------------------------------------------------------------------

    def open(self, log_start: int, log_end: int, start: str = "") -> int:
        """Claim the partition and read its ledger; the offset at which fetching goes on.

        That is the record before the first new one where the log still holds it: it is compared with what the ledger
        says of it, so that a topic that was made anew is not taken for the old one.

        Parameters
        ----------
        log_start, log_end
            What the log holds: first offset, and the offset after the last.
        start
            `earliest` or `latest`: where to begin without a ledger when the log does not hold everything.

        Raises
        ------
        LogMismatch
            If there is no ledger and the log has lost its beginning, or the ledger's offset is not in the log any more.
        StateIncompatible, LedgerConflict, StoreUnavailable
            From the ledger.
        """
        self.token = self.ledger.claim()
        found = self.ledger.open(self._digest)
        topic = self.ledger.binding
        if found is None:
            if start:
                self.next_offset = log_start if start == "earliest" else log_end
                self.started = f"{start}@{self.next_offset}"
            elif log_start == 0:
                self.next_offset = 0
            else:
                raise LogMismatch(
                    f"{topic}: expected a ledger, or a log that begins at offset 0, got none and a log that begins at "
                    f"{log_start}; restore a backup of Redis, or begin with --start earliest (all that the log holds) "
                    "or --start latest"
                )
        else:
            position = found.position
            self.next_offset, self.counts, self._last_hash = position.next_offset, position.counts, position.last_hash
            self.started, self.append_delays = position.input, dict(position.append_delays)
            if self.next_offset < log_start:
                raise LogMismatch(
                    f"{topic}: expected a log that holds offset {self.next_offset}, at which the ledger goes on, got "
                    f"one that begins at {log_start}: records were deleted before they were read. Raise the topic's "
                    "retention; to go on without them, reset the ledger and begin with --start earliest"
                )
        if self.started:
            how, _, offset = self.started.partition("@")
            self._about |= {"start": how, "since": f"{topic}@{offset}"}
        self._group.load()
        self.waiting, self.n_shipped = self.ledger.outbox(), 0
        if found is None and self.started:
            # At once, so that a crash before the first batch does not lose where we were told to begin.
            self.ledger.commit([], self._position(self.next_offset, self.counts, ""))
        self._verify = bool(self._last_hash) and self.next_offset > log_start
        self.handled_to = self.next_offset - 1 if self._verify else self.next_offset
        return self.handled_to

    # -- a batch -------------------------------------------------------------------------------------------------

    def prepare(self, batch: FetchedBatch) -> Prepared | None:
        """Apply a batch in memory; `None` when it holds nothing new.

        Raises
        ------
        LedgerConflict
            If the batch does not follow on what was read before: drop everything and open again.
        LogMismatch
            If the log is not the one that the ledger was made from.
        """
        if batch.follows != self.handled_to:
            raise LedgerConflict(
                f"{self.ledger.binding}: expected records from offset {self.handled_to} on, got a batch that follows "
                f"on {batch.follows}; reading goes on from the ledger"
            )
        records = batch.records
        if self._verify:
            self._compare(records[0])
            records = records[1:]
        if not records:
            self.handled_to, self._verify = batch.end, False
            return None
        self._stage_started = perf_counter()
        self.seconds = {}
        source = str(self.ledger.binding)
        found = [Record(r.value, source, r.offset, r.timestamp, r.key, r.partition) for r in records]
        applied = self._group.apply(found, self.counts)
        # Not before: a store that is away makes us come again with the same batch.
        self._verify = False
        for lane, (record_ts, clock) in applied.newest.items():
            self.last_event_at[lane] = record_ts
            self.append_delays[lane] = record_ts - clock
        counts = Counts(*(now - before for now, before in zip(applied.counts, self.counts, strict=True)))
        entries = [msgspec.msgpack.encode(record) for record in self._outgoing(applied.outcomes)]
        position = self._position(batch.end, applied.counts, record_hash(records[-1]))
        return Prepared(found, applied, counts, position, Outbox(self.n_shipped, entries))

    def take(self, batch: FetchedBatch) -> tuple[Prepared | None, bool]:
        """Apply a batch and, unless something must go to another topic first, make it durable: one trip to the thread.

        After `StoreUnavailable` the same call goes on where it stopped.

        Returns
        -------
        tuple
            What was prepared (`None`: nothing new), and whether it is durable already.
        """
        if self._in_hand is None or self._in_hand[0] is not batch:
            self._in_hand = (batch, self.prepare(batch))
        prepared = self._in_hand[1]
        clean = prepared is not None and not prepared.applied.dead and not prepared.applied.late
        if prepared is not None and clean:
            self.commit(prepared)
        self._in_hand = None
        return prepared, clean

    def commit(self, prepared: Prepared) -> None:
        """Make a batch durable: state, board, alerts and position in one transaction."""
        self._stage_started = perf_counter()
        position = prepared.position
        self.ledger.commit(prepared.applied.outcomes, position, prepared.outbox)
        self.next_offset, self.counts, self._last_hash = position.next_offset, position.counts, position.last_hash
        self.handled_to = position.next_offset
        self.waiting = [*self.waiting[prepared.outbox.shipped :], *prepared.outbox.entries]
        self.n_shipped = 0
        self._spend("ledger")

    def settle(self) -> None:
        """Take what was produced out of the outbox when no batch is in sight."""
        if self.n_shipped:
            position = self._position(self.next_offset, self.counts, self._last_hash)
            self.ledger.commit([], position, Outbox(self.n_shipped))
            self.waiting, self.n_shipped = self.waiting[self.n_shipped :], 0

    # -- how it stands -------------------------------------------------------------------------------------------

    @property
    def clocks(self) -> dict[int, int]:
        """Lane -> lane clock, ms; -1 before the first event."""
        return {number: lane.clock for number, lane in self._group.lanes.items()}

    @property
    def told(self) -> dict[int, int]:
        """Lane -> the last exchange that it has handed out for, ms; -1 before the first."""
        return {number: lane.sharing.told for number, lane in self._group.lanes.items()}

    @property
    def model_rows(self) -> dict[int, dict[str, dict[str, str]]]:
        """Lane -> how good its models are, as the rows of the board; of lanes that had an event."""
        lanes = self._group.lanes.items()
        return {number: lane.models.rows(lane.clock, everything=True) for number, lane in lanes if lane.clock >= 0}

    def _compare(self, record: Any) -> None:
        expected = self.next_offset - 1
        if record.offset != expected or record_hash(record) != self._last_hash:
            got = "another record there" if record.offset == expected else f"offset {record.offset} as the first"
            raise LogMismatch(
                f"{self.ledger.binding}: expected the record at offset {expected} that the ledger has applied last, "
                f"got {got}; the topic is not the one that the ledger was made from, or is compacted. Restore the "
                "topic, or name a new consumer group and prefix, or reset the ledger and read the log again"
            )

    def _position(self, next_offset: int, counts: Counts, last_hash: str) -> Position:
        return Position(
            next_offset=next_offset,
            settings=self._digest,
            counts=counts,
            last_hash=last_hash,
            input=self.started,
            append_delays=dict(self.append_delays),
        )

    def _outgoing(self, outcomes: Sequence[Outcome]) -> list[OutgoingRecord]:
        """What the batch puts into the outbox: copies of its alerts, and what its lanes tell other lanes."""
        alerts = sorted(
            ((alert.index, outcome.lane, alert) for outcome in outcomes for alert in outcome.alerts),
            key=lambda each: each[0],
        )
        copies = [
            OutgoingRecord(
                self._alerts_topic,
                alert.customer_id.encode(),
                alert.line(),
                [
                    ("henji-alert-id", alert.alert_id.encode()),
                    ("henji-lane", str(lane).encode()),
                    ("henji-seq", str(alert.seq).encode()),
                ],
            )
            for _, lane, alert in alerts
        ]
        events = [event for outcome in outcomes for event in outcome.outgoing]
        told = [
            OutgoingRecord(
                self.ledger.binding.topic, None, control_value(event), [], (event.lane or 0) % self._partitions
            )
            for event in events
        ]
        return [*(copies if self._alerts_topic else ()), *told]

    def _spend(self, stage: str) -> None:
        now = perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - self._stage_started
        self._stage_started = now


def record_hash(record: Any) -> str:
    """Hash of a consumed record: 32 hex digits over offset, key and value."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (str(record.offset).encode(), record.key, record.value):
        digest.update(b"-" if part is None else b"%d:" % len(part) + part)
    return digest.hexdigest()
