"""A ledger in this process's memory: for replays without Redis, and as the reference for the other one."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from engine.errors import LedgerConflict, StateIncompatible
from engine.outcome import Outcome
from streams.ledger import NOTHING_OUT, Binding, LaneState, Outbox, PartitionRecord, Position

__all__ = ["MemoryLedger", "MemoryStore"]


@dataclass(slots=True)
class _Lane:
    record: bytes | None = None
    models: dict[str, bytes] = field(default_factory=dict)
    customers: dict[str, bytes] = field(default_factory=dict)
    timers: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class _Partition:
    owner: str = ""
    lanes: int = 0
    record: PartitionRecord | None = None
    outbox: list[bytes] = field(default_factory=list)


@dataclass(slots=True)
class MemoryStore:
    """What several ledgers share, as they would share one Redis: partitions and lanes."""

    partitions: dict[tuple[str, int], _Partition] = field(default_factory=dict)
    lanes: dict[int, _Lane] = field(default_factory=dict)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class MemoryLedger:
    """A ledger that lives and dies with the process; it keeps no board and no alerts.

    Wrong for a live worker: a restart loses everything, and the log is read from its beginning.

    Parameters
    ----------
    binding
        The partition and its lanes.
    store
        What other ledgers share with this one; by default nothing.
    now_ms
        Wall clock in ms, only for `PartitionRecord.written_at`.

    Examples
    --------
    >>> ledger = MemoryLedger(Binding.of("events", 0))
    >>> ledger.open("settings-1") is None
    True
    >>> token = ledger.claim()
    >>> ledger.open("settings-1") is None
    True
    >>> ledger.commit([Outcome(0, b"lane", 5)], Position(next_offset=1, settings="settings-1"))
    >>> ledger.open("settings-1").position.next_offset
    1
    """

    def __init__(
        self, binding: Binding, store: MemoryStore | None = None, *, now_ms: Callable[[], int] = _wall_ms
    ) -> None:
        self._binding = binding
        self._store = MemoryStore() if store is None else store
        self._now_ms = now_ms
        self._token: str | None = None
        self._opened = False
        self._batches = 0

    @property
    def binding(self) -> Binding:
        """The partition and its lanes."""
        return self._binding

    def open(self, settings: str) -> PartitionRecord | None:
        """Read and check the partition record, see `streams.ledger.Ledger.open`."""
        partition = self._partition()
        if self._token is not None and partition.owner != self._token:
            raise LedgerConflict(f"{self._binding}: expected owner {self._token}, got {partition.owner or 'nobody'}")
        record = partition.record
        if record is not None:
            if record.position.settings != settings:
                raise StateIncompatible(
                    f"{self._binding}: expected a ledger made under settings {settings}, got "
                    f"{record.position.settings}; go back to those settings, or reset the ledger and read the log again"
                )
            if partition.lanes != self._binding.lanes:
                raise StateIncompatible(
                    f"{self._binding}: expected a ledger of {self._binding.lanes} lanes, got {partition.lanes}; "
                    "set lanes back, or reset the ledger and read the log again"
                )
            record = replace(record, position=replace(record.position, owner=partition.owner))
        self._batches = 0 if record is None else record.batches
        self._opened = self._token is not None
        return record

    def claim(self) -> str:
        """Take the partition: a new owner token."""
        partition = self._partition()
        count = int(partition.owner.partition(":")[0] or 0) + 1
        self._token = partition.owner = f"{count}:{secrets.token_hex(8)}"
        self._opened = False
        return self._token

    def load(self, lane: int, customer_ids: Sequence[str]) -> dict[str, bytes | None]:
        """Read the memories of these customers."""
        customers = self._lane(lane).customers
        return {customer_id: customers.get(customer_id) for customer_id in customer_ids}

    def lane_state(self, lane: int) -> LaneState:
        """Read everything of a lane that is not a customer's memory."""
        state = self._lane(lane)
        return LaneState(state.record, dict(state.models), sorted((due, who) for who, due in state.timers.items()))

    def outbox(self) -> list[bytes]:
        """What waits to be produced."""
        return list(self._partition().outbox)

    def commit(self, outcomes: Sequence[Outcome], position: Position, outbox: Outbox = NOTHING_OUT) -> None:
        """Write a batch, see `streams.ledger.Ledger.commit`."""
        partition = self._guarded(outcomes, position)
        for outcome in outcomes:
            lane = self._lane(outcome.lane)
            lane.record = outcome.lane_record
            for name, snapshot in outcome.models.items():
                if snapshot is None:
                    lane.models.pop(name, None)
                else:
                    lane.models[name] = snapshot
            for change in outcome.customers.values():
                if change.record is None:
                    lane.customers.pop(change.customer_id, None)
                else:
                    lane.customers[change.customer_id] = change.record
                if change.record is None or change.due is None:
                    lane.timers.pop(change.customer_id, None)
                else:
                    lane.timers[change.customer_id] = change.due
        self._batches += 1
        partition.lanes = self._binding.lanes
        stored = replace(
            position,
            owner=self._token or "",
            outputs=dict(position.outputs),
            append_delays=dict(position.append_delays),
        )
        partition.outbox = [*partition.outbox[outbox.shipped :], *outbox.entries]
        partition.record = PartitionRecord(stored, self._batches, self._now_ms())

    def check(self) -> None:
        """Compare the partition record with where we left it, see `streams.ledger.Ledger.check`."""
        if self._token is None or not self._opened:
            raise LedgerConflict(f"{self._binding}: expected claim() and then open() first")
        partition = self._partition()
        batches = 0 if partition.record is None else partition.record.batches
        if partition.owner != self._token or batches != self._batches:
            raise LedgerConflict(
                f"{self._binding}: expected owner {self._token} after {self._batches} batches, got "
                f"{partition.owner or 'nobody'} after {batches}; drop the caches, claim and open again"
            )

    def customers(self, lane: int) -> Iterator[tuple[str, bytes]]:
        """Every customer of a lane with their memory."""
        yield from list(self._lane(lane).customers.items())

    def reset(self) -> None:
        """Forget the partition and its lanes."""
        self._store.partitions.pop((self._binding.topic, self._binding.partition), None)
        for lane in self._binding.own:
            self._store.lanes.pop(lane, None)
        self._token = None
        self._opened = False
        self._batches = 0

    def _partition(self) -> _Partition:
        return self._store.partitions.setdefault((self._binding.topic, self._binding.partition), _Partition())

    def _lane(self, lane: int) -> _Lane:
        return self._store.lanes.setdefault(lane, _Lane())

    def _guarded(self, outcomes: Sequence[Outcome], position: Position) -> _Partition:
        self.check()
        partition = self._partition()
        if position.owner not in ("", self._token):
            raise LedgerConflict(
                f"{self._binding}: expected a position of owner {self._token}, got one of {position.owner}"
            )
        if partition.record is not None and position.next_offset < partition.record.position.next_offset:
            raise LedgerConflict(
                f"{self._binding}: expected an offset >= {partition.record.position.next_offset}, "
                f"got {position.next_offset}; drop the caches, claim and open again"
            )
        for outcome in outcomes:
            if outcome.lane not in self._binding.own:
                raise ValueError(f"lane: expected one of {self._binding.own} of {self._binding}, got {outcome.lane}")
        return partition
