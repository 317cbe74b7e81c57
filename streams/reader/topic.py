"""A log that is a Kafka topic, read from its first record to where it ended when the reading began."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Coroutine, Iterator, Sequence
from types import TracebackType
from typing import Any, Final, NamedTuple, Self, TypeVar

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import OffsetOutOfRangeError

from engine.errors import LogMismatch, RecoverableError, UsageError
from streams.kafka.connection import Connection, TopicNames
from streams.kafka.foreign_errors import mapped
from streams.ledger import Binding
from streams.reader.record import Record
from streams.settings import Settings

__all__ = ["PATIENCE_S", "WHOLE", "Extent", "Span", "TopicLog", "decode_identity", "decode_span", "encode_identity"]

PATIENCE_S = 60.0
"""How long a partition that is not at its end may give nothing; brokers elect a new leader in a few seconds."""

# The broker answers at once when it has records. Control records give the caller nothing, so it has to look whether
# the position has moved; and a fetch that waits at the end of one partition holds up the next.
_POLL_MS = 100

_IDENTITY = re.compile(r"topic (\S+) offsets((?: \d+-\d+)+)(?: from (\d+))?(?: to (\d+))?")
_Answer = TypeVar("_Answer")


class Extent(NamedTuple):
    """Offsets of a partition.

    Parameters
    ----------
    begin, end
        First offset, and the one after the last.
    """

    begin: int
    end: int


class Span(NamedTuple):
    """Times of records between which a topic is read, ms; `None` where nothing bounds it.

    Parameters
    ----------
    since, until
        Of the first record, and of the one after the last.
    """

    since: int | None = None
    until: int | None = None

    def __str__(self) -> str:
        since = "" if self.since is None else f" from {self.since}"
        return since + ("" if self.until is None else f" to {self.until}")


WHOLE: Final = Span()
"""From the first record to the last."""


def encode_identity(topic: str, extents: Sequence[Extent], span: Span = WHOLE) -> str:
    """What a log is, as text for the partition record.

    Examples
    --------
    >>> encode_identity("events", [Extent(0, 9), Extent(2, 7)])
    'topic events offsets 0-9 2-7'
    >>> encode_identity("events", [Extent(4, 9)], Span(since=60_000))
    'topic events offsets 4-9 from 60000'
    """
    return f"topic {topic} offsets " + " ".join(f"{begin}-{end}" for begin, end in extents) + str(span)


def decode_span(identity: str) -> Span:
    """Between which times of records a log was read; nothing for what is no topic.

    Examples
    --------
    >>> decode_span("topic events offsets 4-9 from 60000")
    Span(since=60000, until=None)
    """
    found = _IDENTITY.fullmatch(identity)
    if found is None:
        return WHOLE
    return Span(*(None if text is None else int(text) for text in found.groups()[2:]))


def decode_identity(identity: str) -> tuple[str, list[Extent]]:
    """Topic and offsets of each partition.

    Raises
    ------
    LogMismatch
        If it is the identity of another sort of log.

    Examples
    --------
    >>> decode_identity("topic events offsets 0-9 2-7")
    ('events', [Extent(begin=0, end=9), Extent(begin=2, end=7)])
    """
    found = _IDENTITY.fullmatch(identity)
    if found is None:
        raise LogMismatch(
            f"log: expected a run that began with a topic, got one that began with {identity[:200]!r}; "
            "give it the same log, another --run, or start over with --fresh"
        )
    pairs = (pair.split("-") for pair in found[2].split())
    return found[1], [Extent(int(begin), int(end)) for begin, end in pairs]


class TopicLog:
    """Batches of records of a topic, partition by partition; iterating again starts again.

    The end of each partition is the high watermark (the last stable offset under `read_committed`) when the log was
    opened, or that of the run that goes on (`resume`): what is appended later is not read. Gaps in the offsets, which
    compaction and transactions leave, do no harm. Nothing is committed and no consumer group is joined.

    The connection lives in a thread of its own, so that it stays up while a batch is being worked on. Call everything
    from one thread, and close it: it is a context manager.

    Parameters
    ----------
    connection
        How Kafka is reached.
    topic
        The events.
    lanes
        Number of lanes of the deployment, a multiple of the topic's partitions.
    isolation
        `read_committed`: records of aborted transactions are left out; or `read_uncommitted`.
    batch_size
        Most records per batch, >= 1.
    fetch_bytes
        Most bytes of one fetch; a longer record comes all the same.
    patience_s
        How long to wait for the next records of a partition that is not at its end.
    span
        Read each partition from its first record at or after `since` to before the first at or after `until`. Wrong
        where records carry the time of whoever sent them, which need not rise: use `LogAppendTime`.

    Raises
    ------
    ConfigurationError
        If the number of partitions does not divide `lanes`.
    UsageError
        If there is no such topic, or we may not read it.
    RecoverableError
        If no broker answers.
    """

    def __init__(
        self,
        connection: Connection,
        topic: str,
        *,
        lanes: int,
        isolation: str = "read_committed",
        batch_size: int = 2000,
        fetch_bytes: int = 2 * 1024**2,
        patience_s: float = PATIENCE_S,
        span: Span = WHOLE,
    ) -> None:
        self.topic = topic
        self.span = span
        self._batch_size = batch_size
        self._patience_s = patience_s
        self._connection = connection
        self._brokers = ",".join(connection.brokers)
        self._options: dict[str, Any] = {
            **connection.aiokafka(),
            "client_id": "henji-replay",
            "group_id": None,
            "enable_auto_commit": False,
            # An offset that is gone is an error, never a jump to another place.
            "auto_offset_reset": "none",
            "isolation_level": isolation,
            "max_partition_fetch_bytes": fetch_bytes,
            "fetch_max_wait_ms": _POLL_MS,
        }
        self._passed = 0
        self._consumer: AIOKafkaConsumer | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="henji-topic", daemon=True)
        self._thread.start()
        try:
            self._now = self._run(self._look())
            # The ends that count from now on; those of the run that goes on after `resume`.
            self._extents = self._run(self._cut()) if span != WHOLE else self._now
            Binding.of(topic, 0, partitions=len(self._now), lanes=lanes)
        except BaseException:
            self.close()
            raise

    @classmethod
    def of(cls, settings: Settings, *, batch_size: int, span: Span = WHOLE) -> Self:
        """The events topic of the settings."""
        return cls(
            Connection.of(settings),
            TopicNames.of(settings).events,
            lanes=settings["lanes"],
            isolation=settings["kafka.isolation"],
            batch_size=batch_size,
            fetch_bytes=settings["worker.fetch_bytes"],
            span=span,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the connection and its thread."""
        if self._loop.is_closed():
            return
        consumer, self._consumer = self._consumer, None
        try:
            if consumer is not None:
                self._run(consumer.stop())
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    @property
    def n_partitions(self) -> int:
        """Number of partitions of the topic."""
        return len(self._now)

    @property
    def place(self) -> str:
        """The topic at its brokers, the same however much it grows; for the name of a run."""
        return f"topic {self.topic} at {self._brokers}{self.span}"

    @property
    def identity(self) -> str:
        """What is read: topic and offsets, for `Position.input`."""
        return encode_identity(self.topic, self._extents, self.span)

    @property
    def total(self) -> int:
        """Number of offsets from the beginnings to the ends; records are at most as many."""
        return sum(end - begin for begin, end in self._extents)

    @property
    def passed(self) -> int:
        """How many of these offsets the present iteration has behind it."""
        return self._passed

    def resume(self, identity: str) -> None:
        """Read what an interrupted run read, to the same ends, though the topic may have grown since.

        Parameters
        ----------
        identity
            `Position.input` of the run's ledger.

        Raises
        ------
        LogMismatch
            If the ledger was made from another log, or this topic no longer holds all of it.
        """
        topic, recorded = decode_identity(identity)
        if topic != self.topic or len(recorded) != len(self._now):
            raise LogMismatch(
                f"log: expected topic {topic} with {len(recorded)} partitions, with which this run began, "
                f"got {self.topic} with {len(self._now)}; give the same topic or --fresh"
            )
        if decode_span(identity) != self.span:
            raise LogMismatch(
                f"log: expected --from and --to of the beginning of this run ({_said(decode_span(identity))}), got "
                f"{_said(self.span)}; give them, another --run, or start over with --fresh"
            )
        for number, (then, now) in enumerate(zip(recorded, self._now, strict=True)):
            if now.begin > then.begin:
                raise self._gone(number, then.begin, now.begin)
            if now.end < then.end:
                raise LogMismatch(
                    f"{self.topic}/{number}: expected records up to offset {then.end}, as when this run began, got "
                    f"{now.end}; the topic was made anew or lost records: start over with --fresh"
                )
        self._extents = recorded

    def __iter__(self) -> Iterator[list[Record]]:
        """Records in batches, each of one partition.

        Raises
        ------
        LogMismatch
            If retention takes records away before they are read.
        RecoverableError
            If the brokers give nothing for too long.
        """
        self._passed = 0
        before = 0
        for number, (begin, end) in enumerate(self._extents):
            for position, records in self._partition(number, begin, end):
                self._passed = before + position - begin
                if records:
                    yield records
            before += end - begin
            self._passed = before

    def _partition(self, number: int, begin: int, end: int) -> Iterator[tuple[int, list[Record]]]:
        if begin == end:
            return
        partition = TopicPartition(self.topic, number)
        source = f"{self.topic}/{number}"
        position = self._run(self._go(partition, begin))
        while position < end:
            found, position = self._run(self._more(partition, position, end))
            records = [
                Record(each.value, source, each.offset, each.timestamp, each.key, number)
                for each in found
                if each.offset < end
            ]
            yield min(position, end), records

    # -- in the thread -----------------------------------------------------------------------------------------

    def _run(self, work: Coroutine[Any, Any, _Answer]) -> _Answer:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            with mapped(self._connection, f"read {self.topic}"):
                return future.result()
        finally:
            future.cancel()

    async def _look(self) -> list[Extent]:
        partitions = await self._partitions()
        self._consumer = AIOKafkaConsumer(**self._options)
        await self._consumer.start()
        begins = await self._consumer.beginning_offsets(partitions)
        ends = await self._ends(self._consumer, partitions)
        return [Extent(begins[each], max(begins[each], ends[each])) for each in partitions]

    async def _cut(self) -> list[Extent]:
        """The extents between the times of the span."""
        extents: list[Extent] = []
        for number, (begin, end) in enumerate(self._now):
            partition, (since, until) = TopicPartition(self.topic, number), self.span
            first = begin if since is None else await self._first(partition, begin, end, since)
            last = end if until is None else await self._first(partition, first, end, until)
            extents.append(Extent(first, last))
        return extents

    async def _first(self, partition: TopicPartition, begin: int, end: int, at: int) -> int:
        """Where the first record of a time or later is, `end` if there is none.

        By halving, some twenty fetches: asked for the offset of a time, the embedded broker gives any.
        """
        low, high = begin, end
        while low < high:
            middle = position = await self._go(partition, (low + high) // 2)
            found: list[Any] = []
            # Control records are left out of the answer.
            while not found and position < high:
                found, position = await self._more(partition, position, end)
            if found and found[0].offset < high and found[0].timestamp < at:
                low = found[0].offset + 1
            else:
                high = middle
        return low

    async def _partitions(self) -> list[TopicPartition]:
        admin = AIOKafkaAdminClient(**self._connection.aiokafka(), client_id="henji-replay")
        try:
            await admin.start()
            # Asked for all topics, a broker makes none; asked for one that is missing, it may.
            found = [each["partitions"] for each in await admin.describe_topics() if each["topic"] == self.topic]
        finally:
            await admin.close()
        if not found or not found[0]:
            raise UsageError(
                f"kafka.topic: expected a topic that exists and that we may read, got {self.topic!r} at "
                f"{self._brokers}; see `henji topics check`"
            )
        return [TopicPartition(self.topic, number) for number in sorted(each["partition"] for each in found[0])]

    async def _ends(self, consumer: AIOKafkaConsumer, partitions: list[TopicPartition]) -> dict[TopicPartition, int]:
        """Where each partition ends, as answers to a fetch tell it.

        Asked for the end, the embedded broker gives an offset inside the last batch; what it tells with records is
        right. A fetch from the end on costs as little as the question.
        """
        listed = await consumer.end_offsets(partitions)
        consumer.assign(partitions)
        for each in partitions:
            consumer.seek(each, listed[each])
        committed = self._options["isolation_level"] == "read_committed"
        told = consumer.last_stable_offset if committed else consumer.highwater
        deadline = self._loop.time() + self._patience_s
        while True:
            await consumer.getmany(timeout_ms=_POLL_MS)
            ends = {each: told(each) for each in partitions}
            missing = [str(each.partition) for each, end in ends.items() if end is None]
            if not missing:
                return ends
            if self._loop.time() > deadline:
                raise RecoverableError(
                    f"{self.topic}: expected to learn where each partition ends, got no answer for "
                    f"{', '.join(missing)} in {self._patience_s:g} s; are the brokers of these partitions up?"
                )

    async def _go(self, partition: TopicPartition, offset: int) -> int:
        assert self._consumer is not None, "closed"
        self._consumer.assign([partition])
        self._consumer.seek(partition, offset)
        return offset

    async def _more(self, partition: TopicPartition, before: int, end: int) -> tuple[list[Any], int]:
        """The next records, and where they end; no records where only control records were left."""
        assert self._consumer is not None, "closed"
        deadline = self._loop.time() + self._patience_s
        while True:
            try:
                found = await self._consumer.getmany(partition, timeout_ms=_POLL_MS, max_records=self._batch_size)
            except OffsetOutOfRangeError as error:
                raise LogMismatch(
                    f"{self.topic}/{partition.partition}: expected the record at offset {before}, got told that it is "
                    "gone: retention has deleted it meanwhile; start over with --fresh, and keep the topic longer "
                    "(kafka.retention)"
                ) from error
            position = await self._consumer.position(partition)
            if position > before:
                return found.get(partition, []), position
            if self._loop.time() > deadline:
                raise RecoverableError(
                    f"{self.topic}/{partition.partition}: expected records from offset {before} to {end}, got none in "
                    f"{self._patience_s:g} s; are the brokers of that partition up? The same command goes on"
                )

    def _gone(self, number: int, then: int, now: int) -> LogMismatch:
        return LogMismatch(
            f"{self.topic}/{number}: expected records from offset {then} on, with which this run began, got them from "
            f"{now} on: retention has deleted the beginning; start over with --fresh, and keep the topic longer "
            "(kafka.retention)"
        )


def _said(span: Span) -> str:
    return f"{str(span).strip()} ms" if span != WHOLE else "none"
