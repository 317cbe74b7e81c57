"""A producer whose Kafka fails when a test wants it to."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

from aiokafka.errors import KafkaError
from aiokafka.structs import RecordMetadata, TopicPartition

PARTITIONS = 4


class Sent(NamedTuple):
    value: bytes
    key: bytes | None
    partition: int


class FakeProducer:
    """Acknowledges what it is sent, at once; or `hold`s it until `release`, or fails with `error`."""

    def __init__(self) -> None:
        self.sent: list[Sent] = []
        self.hold = False
        self.error: KafkaError | None = None
        self.partitions: int | None = PARTITIONS
        self.away: KafkaError | None = None
        self.stopped = False
        self.client = self
        self._held: list[tuple[asyncio.Future[RecordMetadata], RecordMetadata]] = []

    async def send(
        self, topic: str, *, value: bytes, key: bytes | None, partition: int
    ) -> asyncio.Future[RecordMetadata]:
        offset = sum(each.partition == partition for each in self.sent)
        self.sent.append(Sent(value, key, partition))
        metadata = RecordMetadata(topic, partition, TopicPartition(topic, partition), offset, 0, 0, 0)
        future: asyncio.Future[RecordMetadata] = asyncio.get_running_loop().create_future()
        if self.hold:
            self._held.append((future, metadata))
        elif self.error is not None:
            future.set_exception(self.error)
        else:
            future.set_result(metadata)
        return future

    def release(self) -> None:
        self.hold = False
        for future, metadata in self._held:
            future.set_result(metadata)
        self._held.clear()

    async def stop(self) -> None:
        self.stopped = True

    async def fetch_all_metadata(self) -> Any:
        if self.away is not None:
            raise self.away
        return self

    def partitions_for_topic(self, _topic: str) -> set[int] | None:
        return None if self.partitions is None else set(range(self.partitions))
