"""The letters of a dead-letter or late topic: each once, with what became of it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from types import TracebackType
from typing import Any, NamedTuple, Self

from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition

from engine.errors import RecoverableError, UsageError
from streams.kafka.connection import Connection
from streams.kafka.dead_letter import MAX_LETTER_BYTES, DeadLetter, Foreign, Place, Resolution, read
from streams.kafka.foreign_errors import mapped
from streams.kafka.topic_ends import begins_and_ends
from streams.kafka.topics import partition_count

__all__ = ["LetterLog", "Stored"]

# Polls return at once when there are records; at the end of a topic nothing is waited for.
_POLL_MS = 100
_POLL_RECORDS = 5_000
_PATIENCE_S = 30.0


class Stored(NamedTuple):
    """A letter as its topic has it.

    Parameters
    ----------
    letter
        What the worker wrote.
    stored_ms
        When it was written.
    resolved
        What became of it; `None` while it is open.
    """

    letter: DeadLetter
    stored_ms: int
    resolved: str | None


class LetterLog:
    """Reads a topic of letters from its first record to where it ended when the log was entered.

    A letter that was written twice comes once, and one that was resolved is so for good, in whatever order the two lie.
    Nothing is committed and no group is joined. Memory: about 100 bytes a letter, for the folding.

    Parameters
    ----------
    connection
        Where Kafka is.
    topic
        The dead-letter topic or the late topic.
    timeout_ms
        Longest wait for an answer of Kafka.
    """

    def __init__(self, connection: Connection, topic: str, *, timeout_ms: int = 15_000) -> None:
        self.topic = topic
        self.n_foreign = 0
        self._connection = connection
        self._options: dict[str, Any] = {
            **connection.aiokafka(),
            "client_id": "henji-dlq",
            "group_id": None,
            "enable_auto_commit": False,
            # What retention takes away while we read is gone: go on with what is left.
            "auto_offset_reset": "earliest",
            # A letter of a transaction that was aborted was never sent.
            "isolation_level": "read_committed",
            "max_partition_fetch_bytes": MAX_LETTER_BYTES,
            "fetch_max_wait_ms": _POLL_MS,
            "request_timeout_ms": timeout_ms,
        }
        self._consumer: AIOKafkaConsumer | None = None
        self._extents: dict[TopicPartition, tuple[int, int]] = {}

    async def __aenter__(self) -> Self:
        """Connect and see where the topic begins and ends now.

        Raises
        ------
        UsageError
            If there is no such topic, or we may not see it.
        RecoverableError
            If Kafka does not answer.
        """
        n_partitions = await partition_count(
            self._connection, self.topic, timeout_ms=self._options["request_timeout_ms"]
        )
        if not n_partitions:
            raise UsageError(
                f"read {self.topic}: expected a topic that exists and that we may read, got none of that name; "
                "see `henji topics check`, kafka.topic, kafka.dead and kafka.late"
            )
        self._consumer = AIOKafkaConsumer(**self._options)
        try:
            with mapped(self._connection, f"read {self.topic}"):
                await self._consumer.start()
                partitions = [TopicPartition(self.topic, number) for number in range(n_partitions)]
                self._extents = await begins_and_ends(
                    self._consumer, partitions, committed=True, patience_s=_PATIENCE_S
                )
        except BaseException:
            await self._consumer.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._consumer is not None:
            await self._consumer.stop()

    @property
    def n_partitions(self) -> int:
        """Number of partitions of the topic."""
        return len(self._extents)

    async def letters(
        self, on_progress: Callable[[float, int], None] = lambda _share, _n: None
    ) -> AsyncGenerator[Stored, None]:
        """Every letter once, partition by partition, in the order in which they were written.

        The topic is read twice, because a resolution may lie in another partition than its letter. What is no letter
        of this version is counted in `n_foreign`.

        Parameters
        ----------
        on_progress
            Called with the share of the work that is done (0 to 1) and the number of records so far.

        Raises
        ------
        RecoverableError
            If Kafka gives nothing for 30 s.
        """
        resolved: dict[Place, str] = {}
        self.n_foreign = 0
        async for record in self._records(lambda share, n: on_progress(share / 2, n)):
            match read(record):
                case Resolution(place, how):
                    resolved[place] = how
                case Foreign():
                    self.n_foreign += 1
        seen: dict[tuple[str, int], set[int]] = defaultdict(set)
        async for record in self._records(lambda share, n: on_progress(0.5 + share / 2, n)):
            letter = read(record)
            if isinstance(letter, DeadLetter):
                offsets = seen[letter.topic, letter.partition]
                if letter.offset not in offsets:
                    offsets.add(letter.offset)
                    yield Stored(letter, record.timestamp, resolved.get(letter.place))

    async def _records(self, on_progress: Callable[[float, int], None]) -> AsyncIterator[ConsumerRecord[Any, Any]]:
        assert self._consumer is not None, "enter it first"
        total = sum(end - begin for begin, end in self._extents.values())
        passed = n_records = 0
        for partition, (begin, end) in self._extents.items():
            if begin >= end:
                continue
            self._consumer.assign([partition])
            self._consumer.seek(partition, begin)
            position = begin
            while position < end:
                records, position = await self._more(self._consumer, partition, position)
                for record in records:
                    if record.offset < end:
                        n_records += 1
                        yield record
                on_progress((passed + min(position, end) - begin) / total, n_records)
            passed += end - begin

    async def _more(
        self, consumer: AIOKafkaConsumer, partition: TopicPartition, before: int
    ) -> tuple[list[ConsumerRecord[Any, Any]], int]:
        """The next records and where they end; none where only the marks of transactions were left."""
        deadline = time.monotonic() + _PATIENCE_S
        with mapped(self._connection, f"read {self.topic}"):
            while True:
                found = await consumer.getmany(partition, timeout_ms=_POLL_MS, max_records=_POLL_RECORDS)
                position = await consumer.position(partition)
                if position > before:
                    return found.get(partition, []), position
                if time.monotonic() > deadline:
                    raise RecoverableError(
                        f"{self.topic}/{partition.partition}: expected records from offset {before} on, got none in "
                        f"{_PATIENCE_S:g} s; are the brokers of that partition up?"
                    )
