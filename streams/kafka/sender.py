"""Event logs to the events topic: every record of the log, once, in its order within each partition.

Where a record goes (`place`) is written down in `docs/live.md`, "Ways in": events by their customer, lane control by
its lane, what is no event to partition 0, without a key, where the worker makes a dead letter of it. Nothing is left
out, so that the live worker sees what a replay of the file sees.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import orjson
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError
from aiokafka.producer.message_accumulator import BatchBuilder
from aiokafka.structs import RecordMetadata

from engine.decode import Limits
from engine.errors import ConfigurationError, HenjiError
from engine.event import CONTROL_LANE
from engine.vocabulary import Vocabulary
from streams.kafka.producer import MAX_REQUEST_BYTES, partition_for

__all__ = ["BATCH_BYTES", "LONGEST", "Placed", "Sender", "count_partitions", "place"]

BATCH_BYTES = 65_536
"""Size of a batch (`max_batch_size` of the producer), bytes. Sends a third more events a second than 16 KiB, and
larger ones send no more; one batch of each of 1,024 partitions still fits a request (Kafka takes 100 MB)."""

LONGEST = MAX_REQUEST_BYTES - 1_024
"""Longest value that is sent as it is, bytes. Of a longer one the first 65,537 bytes go: `too_large` as well, just
as the reader of files cuts endless lines."""

_CUT = Limits().max_bytes + 1


class Placed(NamedTuple):
    """A record and where it goes.

    Parameters
    ----------
    partition
        Of the topic.
    key
        UTF-8 of the customer id; `None` for lane control and for what is no event.
    value
        The bytes of the event.
    timestamp_ms
        Time of the record, ms; `None`: now. A topic with `LogAppendTime` puts its own there.
    """

    partition: int
    key: bytes | None
    value: bytes
    timestamp_ms: int | None = None


def place(raw: bytes, partitions: int, *, timestamp_ms: int | None = None, words: Vocabulary | None = None) -> Placed:
    """Where a line of a log goes. Reads the JSON, but judges no event: that is the worker's.

    Parameters
    ----------
    raw
        One line.
    partitions
        Of the topic, >= 1.
    timestamp_ms
        Time of the record where an export carries it.
    words
        Translates an organisation's own words; the translated event is what is sent.

    Examples
    --------
    >>> place(b'{"customer_id":"c1"}', 4)
    Placed(partition=3, key=b'c1', value=b'{"customer_id":"c1"}', timestamp_ms=None)
    >>> place(b'{"kind":"tick","lane":5,"lanes":8}', 4).partition
    1
    >>> place(b'no event', 4)
    Placed(partition=0, key=None, value=b'no event', timestamp_ms=None)
    """
    if len(raw) >= _CUT:
        return Placed(0, None, raw if len(raw) <= LONGEST else raw[:_CUT], timestamp_ms)
    try:
        record = orjson.loads(raw)
    except orjson.JSONDecodeError:
        return Placed(0, None, raw, timestamp_ms)
    if type(record) is not dict:
        return Placed(0, None, raw, timestamp_ms)
    if words is not None:
        record = words.apply(record)
        raw = _written(record, raw)
    customer_id = record.get("customer_id")
    if type(customer_id) is str and customer_id:
        return Placed(partition_for(customer_id, partitions), customer_id.encode(), raw, timestamp_ms)
    lane, kind = record.get("lane"), record.get("kind")
    if type(lane) is int and lane >= 0 and type(kind) is str and kind in CONTROL_LANE:
        return Placed(lane % partitions, None, raw, timestamp_ms)
    return Placed(0, None, raw, timestamp_ms)


def _written(record: dict[str, object], raw: bytes) -> bytes:
    try:
        return orjson.dumps(record)
    except orjson.JSONEncodeError:
        # orjson reads 1,024 levels and writes 254. The worker will say what is wrong with it.
        return raw


async def count_partitions(producer: AIOKafkaProducer, topic: str) -> int:
    """Partitions of a topic that exists. Asks for the list of topics: asking for one by name may create it.

    Raises
    ------
    ConfigurationError
        If there is no such topic.
    KafkaError
        If Kafka does not answer.
    """
    found = (await producer.client.fetch_all_metadata()).partitions_for_topic(topic)
    if not found:
        raise ConfigurationError(
            f"kafka.topic: expected a topic that exists, got {topic!r}; make it with `henji topics create`"
        )
    return len(found)


class Sender:
    """Sends records and waits for their acknowledgement, one batch of a partition at a time.

    The next batch of a partition is handed over when the last one is acknowledged (it is filled meanwhile, and the
    other partitions go on), so the order holds whatever is sent again, and a batch that fails is the last of its
    partition: there are no holes.

    Parameters
    ----------
    producer
        Started, with `max_batch_size=BATCH_BYTES`, for this sender alone.
    topic
        Where to.
    deadline_s
        Longest wait for an acknowledgement, through retries, seconds. Java's default of 2 min outlasts the restart of
        a broker.
    """

    def __init__(self, producer: AIOKafkaProducer, topic: str, *, deadline_s: float = 120.0) -> None:
        self.acknowledged: Counter[int] = Counter()
        self._producer = producer
        self._topic = topic
        self._deadline_s = deadline_s
        self._filling: dict[int, BatchBuilder] = {}
        self._under_way: dict[int, tuple[asyncio.Future[RecordMetadata], int]] = {}

    async def send(self, records: Iterable[Placed]) -> None:
        """Take records; some of them are on their way when it returns.

        Raises
        ------
        HenjiError
            If Kafka refused a batch or did not acknowledge it in time; `acknowledged` counts what is there.
        """
        filling = self._filling
        for partition, key, value, timestamp_ms in records:
            batch = filling.get(partition)
            if batch is None:
                batch = filling[partition] = self._producer.create_batch()
            if batch.append(timestamp=timestamp_ms, key=key, value=value) is None:
                await self._hand_over(partition)
                batch = filling[partition] = self._producer.create_batch()
                batch.append(timestamp=timestamp_ms, key=key, value=value)

    async def flush(self) -> None:
        """Send what was taken and wait until Kafka has acknowledged all of it.

        Raises
        ------
        HenjiError
            As `send`.
        """
        for partition in list(self._filling):
            await self._hand_over(partition)
        for partition in list(self._under_way):
            await self._settle(partition)

    async def _hand_over(self, partition: int) -> None:
        await self._settle(partition)
        batch = self._filling.pop(partition)
        deadline = time.monotonic() + self._deadline_s
        while True:
            try:
                future = await self._producer.send_batch(batch, self._topic, partition=partition)
            except KafkaTimeoutError as error:
                # Not handed over: the leader is away. Nothing of this batch was sent.
                if time.monotonic() >= deadline:
                    raise self._failed(partition, "none in time") from error
            except KafkaError as error:
                raise self._failed(partition, str(error)) from error
            else:
                # Of several batches that fail the first one is told; asyncio would log the others.
                future.add_done_callback(lambda done: done.cancelled() or done.exception())
                self._under_way[partition] = (future, batch.record_count())
                return

    async def _settle(self, partition: int) -> None:
        future, n_records = self._under_way.pop(partition, (None, 0))
        if future is None:
            return
        try:
            await asyncio.wait_for(future, self._deadline_s)
        except TimeoutError as error:
            raise self._failed(partition, f"none within {self._deadline_s:g} s") from error
        except KafkaError as error:
            raise self._failed(partition, str(error)) from error
        self.acknowledged[partition] += n_records

    def _failed(self, partition: int, got: str) -> HenjiError:
        return HenjiError(
            f"kafka: expected the acknowledgement of a batch for {self._topic}[{partition}], got {got}; "
            f"{self.acknowledged.total()} records are acknowledged, others may have been written; when Kafka is up, "
            "send the log again: the engine drops repeats of an event id"
        )
