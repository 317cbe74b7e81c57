"""Producers: every record acknowledged by all replicas, once, in the partition where the worker looks for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.errors import IncompatibleBrokerVersion, KafkaError, ProducerClosed, UnknownError, UnsupportedVersionError

from engine.murmur2 import lane_of, murmur2
from streams.kafka.connection import Connection
from streams.kafka.foreign_errors import mapped

__all__ = ["MAX_REQUEST_BYTES", "make_producer", "partition_for", "partitioner", "start_producer", "stop_producer"]

log = logging.getLogger(__name__)

MAX_REQUEST_BYTES = 1_000_000
"""Longest record that is sent, bytes: an event (65,536), a key and the headers of a dead letter fit many times over,
and Kafka's own bound (`message.max.bytes`, 1,048,588 with the batch around it) is not reached."""

# Java's 30 s. aiokafka sends a batch again until it is acknowledged (idempotent) or this has passed since the batch was
# made (otherwise), and waits so long for a broker that does not answer.
_REQUEST_TIMEOUT_MS = 30_000


def partition_for(customer_id: str, partitions: int) -> int:
    """Partition of a customer's events, as every murmur2 producer chooses it.

    Parameters
    ----------
    customer_id
        As the event carries it; its UTF-8 bytes are the key.
    partitions
        Of the topic, >= 1.

    Returns
    -------
    int
        0 <= partition < partitions.

    Examples
    --------
    >>> partition_for("c1", 4), partition_for("学生-1", 4)
    (3, 0)
    """
    return lane_of(customer_id, partitions)


def partitioner(key: bytes | None, all_partitions: Sequence[int], available: Sequence[int]) -> int:
    """Place a record by its key; aiokafka asks for records whose partition was not given.

    Partitions without a leader count too: a customer does not move because a broker is away.

    Parameters
    ----------
    key
        Of the record.
    all_partitions
        Every partition of the topic, in any order.
    available
        Those with a leader; not looked at.

    Raises
    ------
    ValueError
        Without a key. aiokafka and Java place such a record at random, and a second run of the same input would give
        another log: say the partition.

    Examples
    --------
    >>> partitioner("c1".encode(), [2, 0, 1, 3], []) == partition_for("c1", 4)
    True
    """
    if key is None:
        raise ValueError("partition: expected one for a record without a key, got none; give it to send()")
    return (murmur2(key) & 0x7FFFFFFF) % len(all_partitions)


def make_producer(connection: Connection, **options: Any) -> AIOKafkaProducer:
    """A producer that is not started yet; make it inside the event loop that it works in, and stop it.

    All in-sync replicas acknowledge, and a record that is sent again after a lost answer is written once
    (`enable_idempotence`). Nothing is compressed: aiokafka compresses in the event loop, its only codec without more
    packages is gzip (about as long for a batch as all the rest of sending it), and a topic with `compression.type` is
    compressed by its broker.

    Parameters
    ----------
    connection
        Where Kafka is.
    options
        Of `AIOKafkaProducer`, in the place of ours: `enable_idempotence=False` for a broker without producer ids,
        `linger_ms`, `max_batch_size`, `compression_type`, `request_timeout_ms`, `client_id`.
    """
    return AIOKafkaProducer(
        **connection.aiokafka(),
        **{
            "acks": "all",
            "client_id": "henji",
            "compression_type": None,
            "enable_idempotence": True,
            "max_request_size": MAX_REQUEST_BYTES,
            "partitioner": partitioner,
            "request_timeout_ms": _REQUEST_TIMEOUT_MS,
        }
        | options,
    )


async def start_producer(connection: Connection, *, timeout_s: float = 30.0, **options: Any) -> AIOKafkaProducer:
    """A started producer: idempotent where the broker gives producer ids, else without, which is logged.

    A broker that refuses them (the embedded one does) cannot tell a batch that is sent again from a new one: after a
    lost connection a record may be there twice. The engine drops repeats of an event id.

    Parameters
    ----------
    connection
        Where Kafka is.
    timeout_s
        Longest wait for the first answers, seconds.
    options
        As of `make_producer`; with `enable_idempotence` given, nothing else is tried.

    Raises
    ------
    RecoverableError
        If no broker answers in time.
    UsageError
        If none lets us in.
    """
    if "enable_idempotence" not in options:
        try:
            with _no_word_of_refusal():
                return await _start(make_producer(connection, **options), timeout_s)
        except (UnknownError, UnsupportedVersionError, IncompatibleBrokerVersion):
            log.warning("kafka: the broker gives no producer ids; a record may be written twice when it is sent again")
        except (KafkaError, OSError, TimeoutError) as error:
            with mapped(connection, "start a producer"):
                raise error
        options["enable_idempotence"] = False
    with mapped(connection, "start a producer"):
        return await _start(make_producer(connection, **options), timeout_s)


async def _start(producer: AIOKafkaProducer, timeout_s: float) -> AIOKafkaProducer:
    try:
        await asyncio.wait_for(producer.start(), timeout_s)
    except BaseException:
        await stop_producer(producer, timeout_s=1.0)
        raise
    return producer


async def stop_producer(producer: AIOKafkaProducer, *, timeout_s: float = 10.0) -> None:
    """Send what the producer holds and stop it; when Kafka is away, give that up after `timeout_s` seconds.

    Its own `stop()` waits for ever: an idempotent producer never gives up a batch.
    """
    stopping = asyncio.ensure_future(producer.stop())
    done, _ = await asyncio.wait([stopping], timeout=timeout_s)
    if not done:
        # In this order: aiokafka's sender breaks on a batch that fails while it is being sent.
        await producer._sender.close()
        _fail_the_rest(producer)
    await stopping


def _fail_the_rest(producer: AIOKafkaProducer) -> None:
    accumulator = producer._message_accumulator
    held = [*accumulator._pending_batches, *(batch for queue in accumulator._batches.values() for batch in queue)]
    accumulator.fail_all(ProducerClosed())
    for batch in held:
        # Whoever still waits is told; asyncio would log the errors for which nobody does.
        for future in (batch.future, batch._drain_waiter):
            if future.done() and not future.cancelled():
                future.exception()


@contextmanager
def _no_word_of_refusal() -> Iterator[None]:
    """Keep aiokafka from logging an error for the question that only finds out what the broker can do."""
    theirs = logging.getLogger("aiokafka.producer.sender")

    def other(record: logging.LogRecord) -> bool:
        return "InitProducerIdRequest" not in str(record.msg)

    theirs.addFilter(other)
    try:
        yield
    finally:
        theirs.removeFilter(other)
