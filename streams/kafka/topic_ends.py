"""Where the partitions of a topic begin and end now."""

from __future__ import annotations

import time
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, TopicPartition

from engine.errors import RecoverableError

__all__ = ["begins_and_ends"]

# A broker with nothing to send answers after `fetch_max_wait_ms`; polls only look whether it has.
_POLL_MS = 20


async def begins_and_ends(
    consumer: AIOKafkaConsumer, partitions: Sequence[TopicPartition], *, committed: bool, patience_s: float
) -> dict[TopicPartition, tuple[int, int]]:
    """First offset of each partition, and the one after its last record.

    The end is what an answer to a fetch tells, because the embedded broker, asked for it, gives an offset inside the
    last batch. The consumer is assigned these partitions, and its positions are anywhere afterwards: seek.

    Parameters
    ----------
    consumer
        Started, in no group.
    partitions
        That exist.
    committed
        The end is that of the committed records; the consumer's `isolation_level` must be `read_committed`.
    patience_s
        Longest wait for the answers.

    Raises
    ------
    RecoverableError
        If some partition does not answer in time.
    """
    begins = await consumer.beginning_offsets(partitions)
    listed = await consumer.end_offsets(partitions)
    consumer.assign(partitions)
    for each in partitions:
        consumer.seek(each, listed[each])
    told = consumer.last_stable_offset if committed else consumer.highwater
    deadline = time.monotonic() + patience_s
    while True:
        await consumer.getmany(timeout_ms=_POLL_MS)
        ends = {each: told(each) for each in partitions}
        silent = [f"{each.topic}/{each.partition}" for each, end in ends.items() if end is None]
        if not silent:
            return {each: (begins[each], max(begins[each], ends[each])) for each in partitions}
        if time.monotonic() > deadline:
            raise RecoverableError(
                f"{', '.join(silent)}: expected to learn where it ends, got no answer in {patience_s:g} s; "
                "are the brokers of these partitions up?"
            )
