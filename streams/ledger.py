"""The ledger: what a partition's lanes know, and how far they have read, kept together.

A ledger belongs to one partition of one topic (or to one file run) and holds the state of that partition's lanes. State
and position move in one step or not at all, so they can never disagree; whoever lost the partition is refused.

The order of use, after assignment and again after every `LedgerConflict`:

1. `open(settings)` to see whether this deployment may go on from what is there (nothing is written);
2. `claim()` to take the partition: from here on the former owner is refused;
3. `open(settings)` to learn the position from which to read;
4. `lane_state` and `load` to read, `commit` after every batch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from engine.errors import ConfigurationError
from engine.outcome import Outcome

__all__ = ["NOTHING_OUT", "Binding", "Counts", "LaneState", "Ledger", "Outbox", "PartitionRecord", "Position"]


@dataclass(frozen=True, slots=True)
class Binding:
    """The partition that a ledger belongs to, and its lanes.

    Parameters
    ----------
    topic
        Kafka topic, or a name for a run over files.
    partition
        Number of the partition, >= 0.
    lanes
        Number of lanes of the whole deployment.
    own
        The lanes that this partition carries.

    Examples
    --------
    >>> Binding.of("events", 1, partitions=4, lanes=8)
    Binding(topic='events', partition=1, lanes=8, own=(1, 5))
    """

    topic: str
    partition: int
    lanes: int
    own: tuple[int, ...]

    @classmethod
    def of(cls, topic: str, partition: int, *, partitions: int = 1, lanes: int = 8) -> Binding:
        """Bind one partition of a topic; lane and partition are the same hash, modulo two numbers.

        Raises
        ------
        ConfigurationError
            If `partitions` does not divide `lanes`: a partition must carry whole lanes.
        """
        if partitions < 1 or lanes < 1 or lanes % partitions:
            raise ConfigurationError(
                f"lanes: expected a multiple of the {partitions} partitions of topic {topic!r}, got {lanes}; "
                f"set lanes to a multiple, or copy the topic into one whose number of partitions divides {lanes}"
            )
        if not 0 <= partition < partitions:
            raise ConfigurationError(
                f"partition: expected 0 to {partitions - 1} of topic {topic!r}, got {partition}; "
                "check the number of partitions"
            )
        return cls(topic, partition, lanes, tuple(range(partition, lanes, partitions)))

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


class Counts(NamedTuple):
    """What became of every record read so far: `read = applied + duplicate + late + dead`, always."""

    read: int = 0
    applied: int = 0
    duplicate: int = 0
    late: int = 0
    dead: int = 0


_NO_COUNTS = Counts()


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far a partition has been read, with everything that must move together with it.

    Parameters
    ----------
    next_offset
        Offset of the first record that is not applied yet, >= 0.
    settings
        Digest of the result settings that the state was made under.
    counts
        Of all records since the ledger began.
    last_hash
        Hash of the record before `next_offset`, to recognise another log; empty before the first.
    owner
        Token of the present owner; on `commit` it may be empty, the ledger fills it in.
    outputs
        Output file -> its length in bytes at this position, for runs that write files.
    complete
        The input was read to its end and the run is finished.
    input
        Identity of the input (topic id, or name, size and hash of the files).
    append_delays
        Lane -> by how many ms the lane clock was behind when its newest record (ticks apart) was appended to the log;
        large while old events are filled in. Nothing is known of lanes that are absent.

    Raises
    ------
    ValueError
        If the counts do not add up or an offset is negative.

    Examples
    --------
    >>> Position(next_offset=2, settings="d1", counts=Counts(read=2, applied=1, late=1)).complete
    False
    """

    next_offset: int
    settings: str
    counts: Counts = _NO_COUNTS
    last_hash: str = ""
    owner: str = ""
    outputs: Mapping[str, int] = field(default_factory=dict)
    complete: bool = False
    input: str = ""
    append_delays: Mapping[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.next_offset < 0:
            raise ValueError(f"next_offset: expected an offset >= 0, got {self.next_offset}")
        if self.counts.read != sum(self.counts[1:]):
            raise ValueError(f"counts: expected read = applied + duplicate + late + dead, got {self.counts}")


@dataclass(frozen=True, slots=True)
class PartitionRecord:
    """What the ledger holds about a partition.

    Parameters
    ----------
    position
        Where to go on.
    batches
        Number of transactions so far; tells whether one went through whose answer was lost.
    written_at
        Wall clock of the last write, ms; for people only.
    """

    position: Position
    batches: int
    written_at: int


class Outbox(NamedTuple):
    """What a transaction changes in the outbox: records that are to be produced once the batch is durable.

    Whoever owns the partition produces what waits, in order, and takes it out with the next transaction; so a record
    may be produced twice, and carries an id by which readers tell.

    Parameters
    ----------
    shipped
        How many of the oldest have been produced and leave.
    entries
        What is put in, encoded.
    """

    shipped: int = 0
    entries: Sequence[bytes] = ()


NOTHING_OUT = Outbox()
"""A transaction that leaves the outbox as it is."""


class LaneState(NamedTuple):
    """All of a lane but its customers' memories, which are loaded on demand.

    Parameters
    ----------
    record
        The lane's own encoded state; `None` for a lane that never saw a batch.
    models
        Model name -> snapshot.
    timers
        Pairs of due time (ms) and customer id, in that order.
    """

    record: bytes | None
    models: dict[str, bytes]
    timers: list[tuple[int, str]]


class Ledger(Protocol):
    """Durable state of the lanes of one partition.

    Called by one thread at a time. Every method may block on the store and may raise `StoreUnavailable` after its
    retries; then the same call may be made again.
    """

    @property
    def binding(self) -> Binding:
        """The partition and its lanes."""

    def open(self, settings: str) -> PartitionRecord | None:
        """Read and check the partition record; `None` when there is no position yet. Writes nothing.

        Raises
        ------
        StateIncompatible
            If the state was made under other settings or another number of lanes, or is damaged; the message says the
            way out.
        LedgerConflict
            If this ledger has claimed the partition and somebody else has claimed it since.
        """

    def claim(self) -> str:
        """Take the partition: a new owner token, after which every former owner is refused. `open` must follow."""

    def load(self, lane: int, customer_ids: Sequence[str]) -> dict[str, bytes | None]:
        """Read the memories of these customers; `None` for one that the ledger does not know."""

    def lane_state(self, lane: int) -> LaneState:
        """Read everything of a lane that is not a customer's memory."""

    def outbox(self) -> list[bytes]:
        """What waits to be produced, oldest first."""

    def commit(self, outcomes: Sequence[Outcome], position: Position, outbox: Outbox = NOTHING_OUT) -> None:
        """Write a batch: all of it, or nothing.

        Raises
        ------
        LedgerConflict
            If the partition is not at the position that this ledger left it at, or not ours any more, or was never
            claimed and opened; nothing was written. Drop the caches, claim and open again.
        StateIncompatible
            If a key of the ledger could not be written; the message names it. The partition stays stopped.
        StoreUnavailable
            If the store did not answer in time. Whether the batch went through is not known: call again with the same
            arguments, or drop the caches, claim and open.
        """

    def check(self) -> None:
        """Compare the partition record with where this ledger left it; nothing is written or changed.

        Not between a `commit` that raised `StoreUnavailable` and the same call again: it may have gone through.

        Raises
        ------
        LedgerConflict
            As `commit` would: the partition is another's, or the store was emptied or went back in time.
        """

    def customers(self, lane: int) -> Iterator[tuple[str, bytes]]:
        """Every customer of a lane with their memory, each once, in no order."""

    def reset(self) -> None:
        """Forget everything that this partition's lanes wrote, board included; claim and open before going on."""
