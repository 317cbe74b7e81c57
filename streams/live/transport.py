"""Faust's transport, one message per fetched partition batch; offsets are the ledger's.

The contract, and what of Faust 0.15 it leans on (tests/streams/live/test_transport.py fails when that changes):

* `Consumer.getmany` is an async generator of (partition, message) that Faust's fetcher drains; each message is handed
  to the agent, waits for room in its queue, and is acknowledged when the agent asks for the next. We give one message
  per partition and fetch: its value is a `FetchedBatch`, its offset that of the last record. That makes Faust's cost a
  few microseconds per event where it is 200 with a message for each.
* `_fetch_records` and `_seek_wait` run in the consumer's thread, and nothing else moves its position between two
  assignments: there we note what each batch follows on. The lanes refuse one that does not follow on the one before.
* `_add_gap` and `_new_offset` keep Faust's book of acknowledged offsets. The ledger decides instead: there are no gaps
  to track, and what is committed to Kafka (for lag monitors only) is what the ledger has.
* `perform_seek` is where Faust puts the consumer after every rebalance; no seek before it survives. We pause everything
  and ask the desk, which claims the partitions, reads the ledger, and has each go on where that says.
* `on_partitions_revoked` returns when the agent has finished the batch in hand (`stream_wait_empty`); only then does
  the desk let go of the partitions.
* Nothing is ever decoded by Faust: `BatchSchema` passes the batch through.
* The consumer's thread: a commit that fails is not worth a crash, since committed offsets decide nothing; the isolation
  level is a setting of ours; an offset that the log does not hold is an error, never a silent reset.

Tables, `take`, transactions and Faust's web server are not used.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, Protocol, cast

import faust
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError, NoOffsetForPartitionError, OffsetOutOfRangeError
from aiokafka.structs import OffsetAndMetadata
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP, ConsumerMessage

from streams.live.batch import FetchedBatch

__all__ = ["MAX_UNFINISHED", "BatchConsumer", "BatchSchema", "BatchTransport", "Desk", "LiveApp", "PartitionEnds"]


# A commit serves lag monitors only; while Kafka is away it must not hold up a rebalance or the end of the worker.
_COMMIT_S = 5.0
_STOP_S = 10.0

MAX_UNFINISHED = 2
"""While so many batches wait for the agent, no more are fetched: one in hand, one that follows at once. (A fetch gives
a batch of each partition, so a few more may wait.)"""


class PartitionEnds(NamedTuple):
    """Where a partition stands, as far as the consumer knows.

    Parameters
    ----------
    position
        First offset that was not fetched.
    end
        First offset that may not be read yet; `None` before the first answer.
    answered_ms
        Wall clock of the broker's last answer about it; `None` before.
    """

    position: int
    end: int | None
    answered_ms: int | None


class Desk(Protocol):
    """Who owns partitions: the worker, as the transport sees it."""

    async def open(self, partitions: frozenset[int], generation: int) -> None:
        """Take these partitions, which are paused, and call `seek_partitions` for each that was opened.

        Must return within `broker_request_timeout`, or Faust ends no rebalance any more; what is left follows later.
        """

    async def revoked(self) -> None:
        """Every partition is given up; nothing of them is in hand any more."""

    def next_offset(self, partition: int) -> int | None:
        """First offset that is not in the ledger; `None` for a partition that is not open."""

    async def out_of_range(self, error: OffsetOutOfRangeError) -> None:
        """The log does not hold the offset at which a partition should go on."""


class LiveApp(faust.App):
    """A Faust app whose consumer hands on whole batches of one topic.

    Parameters
    ----------
    desk
        Owns the partitions.
    topic
        Name of the events topic.
    isolation
        `read_committed` or `read_uncommitted`.
    arguments
        Of `faust.App`.
    """

    def __init__(self, *arguments: Any, desk: Desk, topic: str, isolation: str, **options: Any) -> None:
        self.desk = desk
        self.events_topic = topic
        self.isolation = isolation
        super().__init__(*arguments, **options)

    def _new_transport(self) -> BatchTransport:
        return BatchTransport(self.conf.broker_consumer, self)


class _Fetched(NamedTuple):
    """Records of a partition, and where the consumer stood before; `None`: not where a ledger said."""

    follows: int | None
    records: Sequence[Any]


class _ConsumerThread(AIOKafkaConsumerThread):
    """The thread in which aiokafka's consumer lives.

    It keeps the book of where that consumer stands, as only here nothing comes between a move and its entry: what was
    fetched before a seek can never be taken for what follows on it.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Partition -> offset after what was fetched last, or of the last seek; none before the first seek.
        self.places: dict[TP, int] = {}

    def _create_worker_consumer(self, transport: Any) -> Any:
        consumer = super()._create_worker_consumer(transport)
        # Faust ties the isolation level to its own transactions; the fetcher reads this when the consumer starts.
        consumer._isolation_level = cast(LiveApp, self.app).isolation
        return consumer

    async def _commit(self, offsets: Mapping[TP, int]) -> bool:
        consumer = self._ensure_consumer()
        assigned = self.assignment()
        ours = {TopicPartition(*tp): OffsetAndMetadata(at, "") for tp, at in offsets.items() if tp in assigned}
        try:
            await asyncio.wait_for(consumer.commit(ours), _COMMIT_S)
        except (KafkaError, TimeoutError) as error:
            self.log.warning("offsets were not committed (%s); the ledger has them", type(error).__name__)
            return False
        return True

    async def _fetch_records(self, *arguments: Any, **options: Any) -> Any:
        found = await super()._fetch_records(*arguments, **options)
        return {tp: _Fetched(self._move(tp, int(records[-1].offset) + 1), records) for tp, records in found.items()}

    async def _seek_wait(self, consumer: Any, partitions: Mapping[TP, int]) -> None:
        for tp, offset in partitions.items():
            consumer.seek(tp, offset)
            self.places[tp] = offset
        await super()._seek_wait(consumer, partitions)

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        self.places.clear()
        await super().on_partitions_revoked(revoked)

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        # From here on the consumer stands where Kafka's committed offsets say, until it is sought.
        self.places.clear()
        await super().on_partitions_assigned(assigned, generation_id)

    async def on_thread_stop(self) -> None:
        consumer = self._consumer
        try:
            await asyncio.wait_for(super().on_thread_stop(), _STOP_S)
        except (asyncio.CancelledError, KafkaError, TimeoutError):
            # While Kafka is away, aiokafka's fetcher hands on the cancellation of its own tasks; and Faust would wait a
            # minute for a thread that ends so.
            self.log.warning("the group was not left in good order; it notices after the session timeout")
            if consumer is not None:
                await consumer._client.close()

    def _move(self, tp: TP, end: int) -> int | None:
        before = self.places.get(tp)
        if before is not None:
            self.places[tp] = end
        return before

    def rejoin(self) -> None:
        """Ask the group for a new assignment; called in this thread."""
        self._ensure_consumer()._coordinator.request_rejoin()


class BatchConsumer(Consumer):
    """Hands on one message per partition and fetch, and takes every offset from the ledger."""

    app: LiveApp

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        # Batches that the agent has not finished, and an event that is set while there is room for more.
        self._unfinished = 0
        self._room = asyncio.Event()
        self._room.set()

    def _new_consumer_thread(self) -> _ConsumerThread:
        return _ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    # -- fetching ------------------------------------------------------------------------------------------------

    async def getmany(self, timeout: float) -> AsyncIterator[tuple[TP, ConsumerMessage]]:
        """One message per partition that a fetch gave records of.

        Parameters
        ----------
        timeout
            Longest wait for the first record, seconds.
        """
        app = self.app
        if not self._room.is_set():
            # Faust's own way to wait for room, a full queue, pauses partitions and then sleeps for a second.
            with suppress(TimeoutError):
                # Not wait_for: before Python 3.12 it swallows a cancellation that meets the event, and Faust, which
                # ends its fetcher by one, would wait for ever.
                async with asyncio.timeout(timeout):
                    await self._room.wait()
            if not self._room.is_set():
                return
        try:
            fetched, _ = await self._wait_next_records(timeout)
        except OffsetOutOfRangeError as error:
            await app.desk.out_of_range(error)
            return
        except NoOffsetForPartitionError:
            # Assigned to a worker that fetched already (a spare), and not sought yet.
            return
        generation = app.consumer_generation_id
        if not fetched or self.should_stop:
            return
        for tp, (follows, found) in cast("dict[TP, _Fetched]", fetched).items():
            # A rebalance began: what was fetched is dropped here and read again from the ledger's offset.
            if not self.flow_active or generation != app.consumer_generation_id:
                return
            if follows is None or tp.topic != app.events_topic:
                continue
            last = found[-1]
            batch = FetchedBatch(tp.partition, found, follows, generation)
            self._unfinished += 1
            if self._unfinished >= MAX_UNFINISHED:
                self._room.clear()
            yield (
                tp,
                ConsumerMessage(
                    tp.topic,
                    tp.partition,
                    last.offset,
                    last.timestamp / 1000.0,
                    last.timestamp_type,
                    [],
                    None,
                    cast(bytes, batch),  # typed for one record; nobody looks inside before our agent
                    None,
                    0,
                    0,
                    tp,
                    generation_id=generation,
                ),
            )

    def finished(self, batch: FetchedBatch) -> None:
        """The agent is done with a batch; another may be fetched."""
        if batch.generation == self.app.consumer_generation_id:
            self._unfinished = max(0, self._unfinished - 1)
        if self._unfinished < MAX_UNFINISHED:
            self._room.set()

    def _forget_unfinished(self) -> None:
        # Faust has emptied the agent's queue.
        self._unfinished = 0
        self._room.set()

    def taken(self, partition: int) -> int | None:
        """Offset after what was fetched last of a partition, or of the last seek; `None` before that."""
        return cast(_ConsumerThread, self._thread).places.get(TP(self.app.events_topic, partition))

    def ends(self, partition: int) -> PartitionEnds | None:
        """Where a partition stands; `None` when it is not ours or has no position yet."""
        consumer = self._thread._consumer
        if consumer is None:
            return None
        assignment = consumer._subscription.subscription and consumer._subscription.subscription.assignment
        state = assignment and assignment.state_value(TP(self.app.events_topic, partition))
        if not state or not state.has_valid_position:
            return None
        end = state.lso if self.app.isolation == "read_committed" and state.lso is not None else state.highwater
        return PartitionEnds(state.position, end, state.timestamp)

    # -- offsets -------------------------------------------------------------------------------------------------

    async def _add_gap(self, tp: TP, offset_from: int, offset_to: int) -> None:
        """Nothing: offsets that are no records (markers of transactions, compaction) need no book."""

    def _new_offset(self, tp: TP) -> int | None:
        self._acked[tp].clear()
        self._acked_index[tp].clear()
        return self.app.desk.next_offset(tp.partition) if tp.topic == self.app.events_topic else None

    async def perform_seek(self) -> None:
        """Open the partitions that are assigned and go where their ledgers say."""
        self._forget_unfinished()
        ours = frozenset(tp.partition for tp in self.assignment() if tp.topic == self.app.events_topic)
        # Faust has just resumed them; a worker that was a spare fetches already.
        self.pause_partitions({TP(self.app.events_topic, each) for each in ours})
        await self.app.desk.open(ours, self.app.consumer_generation_id)

    async def seek_partitions(self, places: Mapping[int, int]) -> None:
        """Go on at these offsets, by partition, and fetch from there.

        Raises
        ------
        IllegalStateError
            If a partition is not ours (any more).
        """
        if not places:
            return
        seeks = {TP(self.app.events_topic, partition): offset for partition, offset in places.items()}
        for tp in seeks:
            # Faust drops what lies below the offset that it has read last.
            self._read_offset[tp] = None
        await self.seek_wait(seeks)
        self.resume_partitions(set(seeks))

    async def on_partitions_revoked(self, revoked: set[TP]) -> None:
        """Finish what is in hand, commit, let go."""
        # Faust forgets what was acknowledged before it commits for the last time.
        await self.commit()
        await super().on_partitions_revoked(revoked)
        self._forget_unfinished()
        await self.app.desk.revoked()

    async def on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        """As Faust does it; without a partition there is nothing to seek, and the desk has to hear of it here."""
        await super().on_partitions_assigned(assigned, generation_id)
        if not assigned:
            await self.app.desk.open(frozenset(), generation_id)

    # -- the group -----------------------------------------------------------------------------------------------

    async def rejoin(self) -> None:
        """Leave what we have and ask the group for a new assignment."""
        await self._call(cast(_ConsumerThread, self._thread).rejoin)

    async def answers(self) -> bool:
        """Whether a broker answers now."""

        async def asked() -> bool:
            return bool(await self._thread._ensure_consumer()._client.force_metadata_update())

        return bool(await self._thread.call_thread(asked))

    async def log_range(self, partitions: frozenset[int]) -> dict[int, tuple[int, int]]:
        """First offset and end of these partitions, as the broker says now."""
        tps = [TP(self.app.events_topic, each) for each in sorted(partitions)]
        if not tps:
            return {}
        begins = await self._thread.earliest_offsets(*tps)
        ends = await self._thread.highwaters(*tps)
        return {tp.partition: (int(begins[tp]), int(ends[tp])) for tp in tps}

    def n_partitions(self) -> int | None:
        """Number of partitions of the events topic, as the cluster's newest metadata say."""
        consumer = self._thread._consumer
        known = consumer._client.cluster.partitions_for_topic(self.app.events_topic) if consumer else None
        return len(known) if known else None

    async def _call(self, function: Callable[[], None]) -> None:
        async def called() -> None:
            function()

        await self._thread.call_thread(cast("Callable[[], Awaitable[None]]", called))


class BatchTransport(Transport):
    """Faust's aiokafka transport with our consumer."""

    Consumer = BatchConsumer


class BatchSchema(faust.Schema[Any, Any]):
    """Passes the batch through: whoever could make Faust decode a record could choose a class to build."""

    def compile(self, app: Any, **_: Any) -> Any:
        """The function that makes an event of a message."""

        async def decode(message: Any, *, propagate: bool = False) -> Any:
            return app.create_event(None, message.value, (), message)

        return decode
