"""Orders to all lanes about which churn model is shown: `model` events, each for the partition of its lane."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from engine.errors import UsageError
from streams.kafka.connection import Connection
from streams.kafka.foreign_errors import mapped
from streams.kafka.producer import start_producer, stop_producer
from streams.kafka.sender import BATCH_BYTES, Sender, count_partitions, place

__all__ = ["model_orders", "send_orders"]


def model_orders(body: Mapping[str, Any], *, request: str, lanes: int, now_ms: int) -> list[bytes]:
    """An event for every lane. The same request gives the same ids, so that a lane takes it once.

    Parameters
    ----------
    body
        `{"champion": NAME}` or `{"rollback": true}`.
    request
        Names the order, at most 64 characters.
    lanes
        Of the deployment.
    now_ms
        Time of the events, ms; lanes do not look at it.

    Examples
    --------
    >>> model_orders({"rollback": True}, request="r7", lanes=1, now_ms=5)
    [b'{"event_id":"model:r7:0","ts":5,"kind":"model","lane":0,"lanes":1,"body":{"rollback":true}}']
    """
    return [
        orjson.dumps(
            {
                "event_id": f"model:{request}:{lane}",
                "ts": now_ms,
                "kind": "model",
                "lane": lane,
                "lanes": lanes,
                "body": dict(body),
            }
        )
        for lane in range(lanes)
    ]


async def send_orders(connection: Connection, topic: str, orders: Sequence[bytes]) -> int:
    """Send orders and wait until Kafka has acknowledged all of them; returns how many.

    Raises
    ------
    UsageError
        If the partitions of the topic do not divide the lanes.
    ConfigurationError
        If there is no such topic.
    HenjiError
        If Kafka does not acknowledge them; some may be there, and the same request may be sent again.
    """
    producer = await start_producer(connection, max_batch_size=BATCH_BYTES)
    try:
        with mapped(connection, f"send to {topic}"):
            partitions = await count_partitions(producer, topic)
            if len(orders) % partitions:
                raise UsageError(
                    f"kafka.topic: expected a topic whose partitions divide the {len(orders)} lanes of the board, got "
                    f"{topic} with {partitions}; name the topic that this board is made from"
                )
            sender = Sender(producer, topic)
            await sender.send([place(order, partitions) for order in orders])
            await sender.flush()
            return sender.acknowledged.total()
    finally:
        await stop_producer(producer)
