"""Is this Kafka fit for a worker: brokers, topics, where producers put their records, clocks."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import Sequence
from typing import NamedTuple

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.admin import ApiVersionRequest

from engine.duration import format_duration
from engine.errors import HenjiError
from engine.murmur2 import murmur2
from streams.kafka.connection import Connection
from streams.kafka.foreign_errors import mapped
from streams.kafka.layout import Layout, Topic
from streams.kafka.sender import place
from streams.kafka.topic_checks import Finding, count, judge
from streams.kafka.topic_ends import begins_and_ends
from streams.kafka.topics import describe

__all__ = ["Seen", "examine", "judge_clock", "judge_placement"]

_TIMEOUT_MS = 5_000
# Of everything together: somebody waits in front of a terminal.
_PATIENCE_S = 30.0
_RECENT = 1_000
_POLL_MS = 100
# Two machines that keep time by NTP differ by milliseconds; a record that is being appended while we look, by less.
_SKEW_MS = 2_000
_LOG_APPEND_TIME = 1


class _Api(NamedTuple):
    """What a broker must be able to do: number and name in Kafka's protocol, least version, and what fails without."""

    key: int
    version: int
    level: str
    fails: str


_APIS = (
    _Api(1, 4, "error", "Fetch 4: no record can be read"),
    _Api(0, 3, "error", "Produce 3: letters have no headers"),
    _Api(11, 0, "error", "JoinGroup: workers cannot share the partitions"),
    _Api(11, 5, "warning", "JoinGroup 5: worker.instance has no effect, and a worker that comes back waits longer"),
    _Api(22, 0, "warning", "InitProducerId: a record that is sent again may be in the log twice"),
    _Api(19, 0, "warning", "CreateTopics: `henji topics create` cannot work"),
    _Api(32, 0, "warning", "DescribeConfigs: `henji topics check` sees partitions only"),
)


class Seen(NamedTuple):
    """A record of the events topic.

    Parameters
    ----------
    partition, key, value
        Where it lies, and what it is.
    timestamp_ms
        Its time.
    is_append_time
        Whether that is the time of the broker, not of the producer.
    """

    partition: int
    key: bytes | None
    value: bytes | None
    timestamp_ms: int
    is_append_time: bool


async def examine(connection: Connection, layout: Layout) -> list[Finding]:
    """Look at the brokers, the topics and up to 1,000 of the newest events; nothing is changed.

    Parameters
    ----------
    connection
        Where Kafka is.
    layout
        How the topics should be.

    Returns
    -------
    list[Finding]
        Also when Kafka does not answer, or refuses.
    """
    out: list[Finding] = []
    try:
        with mapped(connection, "examine Kafka"):
            async with asyncio.timeout(_PATIENCE_S):
                await _look(connection, layout, out)
    except HenjiError as error:
        out.append(Finding("error", "kafka", str(error)))
    return out


async def _look(connection: Connection, layout: Layout, out: list[Finding]) -> None:
    out += await _brokers(connection)
    # Brokers that cannot be reached would be waited for once more at every step.
    if any(finding.level == "error" for finding in out):
        return
    described = await describe(connection, layout, timeout_ms=_TIMEOUT_MS)
    out += judge(layout, described)
    for topic in layout.topics:
        if topic.role == "events" and topic.name in described:
            out += await _records(connection, topic, described[topic.name].partitions)


async def _brokers(connection: Connection) -> list[Finding]:
    out: list[Finding] = []
    client = AIOKafkaClient(**connection.aiokafka(), client_id="henji-doctor", request_timeout_ms=_TIMEOUT_MS)
    try:
        with mapped(connection, "ask the brokers"):
            await client.bootstrap()
            brokers = sorted(client.cluster.brokers(), key=lambda broker: str(broker.nodeId))
            versions: dict[int, int] = {}
            for broker in brokers:
                if not await client.ready(broker.nodeId):
                    told = (
                        f"expected an answer at {broker.host}:{broker.port}, which it advertises, got none from here; "
                        "correct advertised.listeners of that broker, or the network"
                    )
                    out.append(Finding("error", f"kafka broker {broker.nodeId}", told))
                elif not versions:
                    answer = await client.send(broker.nodeId, ApiVersionRequest())
                    versions = {key: most for key, _, most in answer.api_versions}
    finally:
        await client.close()
    missing = [api for api in _APIS if versions and versions.get(api.key, -1) < api.version]
    out += [
        Finding(api.level, "kafka version", f"the brokers lack {api.fails}; use Kafka 2.3 or newer") for api in missing
    ]
    if not any(finding.level == "error" for finding in out):
        fetch, produce = versions.get(1, 0), versions.get(0, 0)
        told = (
            f"{count(len(brokers), 'broker answers', 'brokers answer')}; Fetch up to {fetch}, Produce up to {produce}"
        )
        out.insert(0, Finding("ok", "kafka", told))
    return out


async def _records(connection: Connection, topic: Topic, partitions: int) -> list[Finding]:
    with mapped(connection, f"read {topic.name}"):
        seen = await _recent(connection, topic.name, partitions)
    if not seen:
        return [Finding("ok", "recent events", f"none in {topic.name}, so nobody's partitioner could be checked")]
    return [judge_placement(seen, partitions), judge_clock(seen, time.time_ns() // 1_000_000)]


async def _recent(connection: Connection, topic: str, partitions: int) -> list[Seen]:
    """The newest records of each partition, as many as come within the time of one request."""
    consumer = AIOKafkaConsumer(
        **connection.aiokafka(),
        client_id="henji-doctor",
        enable_auto_commit=False,
        auto_offset_reset="earliest",
        fetch_max_wait_ms=_POLL_MS,
        request_timeout_ms=_TIMEOUT_MS,
    )
    share = -(-_RECENT // partitions)
    out: list[Seen] = []
    try:
        await consumer.start()
        all_ = [TopicPartition(topic, number) for number in range(partitions)]
        extents = await begins_and_ends(consumer, all_, committed=False, patience_s=_TIMEOUT_MS / 1000)
        open_ = {each for each, (begin, end) in extents.items() if end > begin}
        for each in open_:
            begin, end = extents[each]
            consumer.seek(each, max(begin, end - share))
        deadline = time.monotonic() + _TIMEOUT_MS / 1000
        while open_ and time.monotonic() < deadline:
            found = await consumer.getmany(*open_, timeout_ms=_POLL_MS)
            out += [
                Seen(r.partition, r.key, r.value, r.timestamp, r.timestamp_type == _LOG_APPEND_TIME)
                for records in found.values()
                for r in records
            ]
            open_ = {each for each in open_ if await consumer.position(each) < extents[each][1]}
    finally:
        await consumer.stop()
    return out


def judge_placement(seen: Sequence[Seen], partitions: int) -> Finding:
    """Whether records lie where the worker looks for their customers.

    Parameters
    ----------
    seen
        At least one record.
    partitions
        Of the topic.

    Examples
    --------
    >>> event = b'{"customer_id":"c1"}'
    >>> judge_placement([Seen(3, b"c1", event, 0, True)], 4).level
    'ok'
    >>> judge_placement([Seen(0, b"c1", event, 0, True)], 4).level
    'error'
    """
    keyed = [(each, each.key) for each in seen if each.key is not None]
    wrong = [(each, key) for each, key in keyed if (murmur2(key) & 0x7FFFFFFF) % partitions != each.partition]
    keyless = [(each, place(each.value or b"", partitions)) for each in seen if each.key is None]
    lost = [each for each, placed in keyless if placed.key is not None and placed.partition != each.partition]
    what = "partitioner"
    if wrong:
        of = f"{len(wrong)} of {count(len(keyed), 'keyed event', 'keyed events')}"
        told = f"{of} in another partition than murmur2 of their key: they become dead letters (misrouted)"
        if all(zlib.crc32(key) % partitions == each.partition for each, key in keyed):
            told += "; they were placed by CRC32, the default of librdkafka"
        return Finding("error", what, f"{told}; set partitioner=murmur2_random in producers that use librdkafka")
    if lost:
        of = f"{len(lost)} of {count(len(keyless), 'event', 'events')} without a key"
        told = f"{of} in another partition than their customer's: they become dead letters (misrouted)"
        return Finding("error", what, f"{told}; use the customer id as key")
    others = f", {len(keyless)} have no key" if keyless else ""
    return Finding("ok", what, f"{len(keyed)} of the newest events lie where murmur2 puts their key{others}")


def judge_clock(seen: Sequence[Seen], now_ms: int) -> Finding:
    """Whether records have the broker's time, and whether that agrees with ours.

    Only a clock that is ahead can be seen: an old record may be old because nothing came since.

    Parameters
    ----------
    seen
        At least one record.
    now_ms
        Our time, ms.

    Examples
    --------
    >>> judge_clock([Seen(0, None, b"", 1_000, True)], now_ms=2_000).told
    'the newest event was appended 1s ago by the clock of its broker'
    """
    what = "kafka clock"
    by_producers = sum(not each.is_append_time for each in seen)
    if by_producers:
        told = (
            f"{by_producers} of {count(len(seen), 'event', 'events')} with the time of the producer, not of the broker"
        )
        return Finding("warning", what, f"{told}: its clock can move that of a lane; see message.timestamp.type")
    ahead = max(each.timestamp_ms for each in seen) - now_ms
    if ahead > _SKEW_MS:
        told = f"the clock of a broker is {format_duration(ahead)} or more ahead of this machine's"
        return Finding("warning", what, f"{told}; let both keep time by NTP")
    ago = format_duration(max(0, -ahead) // 1000 * 1000) if ahead <= -1000 else "less than 1s"
    return Finding("ok", what, f"the newest event was appended {ago} ago by the clock of its broker")
