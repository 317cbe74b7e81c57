"""What the rest leans on in a broker: the same laws for the embedded one and for Apache Kafka.

Where the embedded one differs, the difference is a test as well: the demo must not be taken for more than it is, and a
release that closes a gap should be noticed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import (
    IllegalGenerationError,
    KafkaError,
    MessageSizeTooLargeError,
    UnknownError,
    UnknownMemberIdError,
    for_code,
)
from aiokafka.protocol.commit import OffsetCommitRequest

from engine.murmur2 import murmur2
from streams.kafka.embedded import answers_as
from tests.kafka.apache import CLUSTER, ApacheKafka, Installation
from tests.kafka.conftest import Broker

PATIENCE_S = 60.0
POLL_MS = 50
KEYS = [f"customer-{number}".encode() for number in range(60)] + ["客户".encode(), b"\x00", b"\xff\xfe"]


def run(main: Coroutine[Any, Any, None]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await main

    asyncio.run(bounded())


def partition_of(key: bytes, partitions: int) -> int:
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def is_apache(broker: Broker) -> bool:
    return isinstance(broker, ApacheKafka)


@asynccontextmanager
async def started(client: Any) -> AsyncIterator[Any]:
    try:
        await client.start()
        yield client
    finally:
        await client.stop()


def producer(broker: Broker, **options: Any) -> Any:
    return started(AIOKafkaProducer(bootstrap_servers=broker.brokers, **options))


def member(broker: Broker, topic: str, group: str, **options: Any) -> AIOKafkaConsumer:
    return AIOKafkaConsumer(
        topic,
        bootstrap_servers=broker.brokers,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
        **{"session_timeout_ms": 10_000, "heartbeat_interval_ms": 200, **options},
    )


async def create(broker: Broker, topic: str, partitions: int, **configs: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.brokers)
    await admin.start()
    try:
        settings = {name.replace("_", "."): value for name, value in configs.items()}
        answer = await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=settings)])
        assert [error[1] for error in answer.topic_errors] == [0]
    finally:
        await admin.close()


async def send(broker: Broker, topic: str, records: Iterable[dict[str, Any]], **options: Any) -> list[Any]:
    """Where the records went, once all are acknowledged."""
    async with producer(broker, **options) as client:
        return [await sent for sent in [await client.send(topic, **record) for record in records]]


async def read(broker: Broker, topic: str, **options: Any) -> list[ConsumerRecord[Any, Any]]:
    """All records of a topic, partition by partition."""
    client = AIOKafkaConsumer(bootstrap_servers=broker.brokers, auto_offset_reset="earliest", **options)
    async with started(client):
        places = [TopicPartition(topic, number) for number in sorted(await partitions_of(client, topic))]
        client.assign(places)
        ends = await client.end_offsets(places)
        found: dict[TopicPartition, list[ConsumerRecord[Any, Any]]] = {place: [] for place in places}
        for place in places:
            await client.seek_to_beginning(place)
            # The list of ends may be short on the embedded broker, though never zero for a partition with records.
            while await client.position(place) < max(ends[place], client.highwater(place) or 0):
                found[place] += (await client.getmany(place, timeout_ms=POLL_MS)).get(place, [])
        return [record for place in places for record in found[place]]


async def partitions_of(client: AIOKafkaConsumer, topic: str) -> set[int]:
    while not (numbers := client.partitions_for_topic(topic)):
        await client._client.force_metadata_update()
        client._client.add_topic(topic)
    return set(numbers)


async def poll_once(client: AIOKafkaConsumer) -> list[ConsumerRecord[Any, Any]]:
    """What a member reads now; polling it is also what lets it take part in a rebalance."""
    answer = await client.getmany(timeout_ms=POLL_MS)
    return [record for records in answer.values() for record in records]


async def poll_until(condition: Callable[[], bool], *members: AIOKafkaConsumer) -> None:
    """Let a group settle while there is nothing to read."""
    while not condition():
        for client in members:
            assert await poll_once(client) == []


def test_a_key_lands_in_the_partition_of_its_murmur2(broker: Broker, topic: str) -> None:
    async def main() -> None:
        await create(broker, topic, 7)
        sent = await send(broker, topic, ({"key": key, "value": b"v"} for key in KEYS))
        assert [place.partition for place in sent] == [partition_of(key, 7) for key in KEYS]
        found = await read(broker, topic)
        assert sorted(record.key for record in found) == sorted(KEYS)
        assert all(record.partition == partition_of(record.key, 7) for record in found)

    run(main())


def test_a_partition_keeps_the_order_of_its_producer_without_gaps(broker: Broker, topic: str) -> None:
    async def main() -> None:
        await create(broker, topic, 3)
        await send(broker, topic, ({"key": KEYS[n % 20], "value": str(n).encode()} for n in range(2_000)))
        found = await read(broker, topic)
        assert sorted(int(record.value) for record in found) == list(range(2_000))
        for number in range(3):
            part = [record for record in found if record.partition == number]
            assert [record.offset for record in part] == list(range(len(part)))
            assert [int(record.value) for record in part] == sorted(int(record.value) for record in part)

    run(main())


def test_what_a_record_holds_comes_back_as_it_was(broker: Broker, topic: str) -> None:
    headers = [("reason", b"late"), ("reason", b"again"), ("empty", b""), ("bytes", bytes(range(256)))]
    records: list[dict[str, Any]] = [
        {"key": b"k", "value": b"v", "headers": headers},
        {"key": None, "value": b"no key"},
        {"key": b"no value", "value": None},
        {"key": b"", "value": b""},
    ]

    async def main() -> None:
        await create(broker, topic, 1)
        await send(broker, topic, records)
        found = await read(broker, topic)
        assert [(record.key, record.value, list(record.headers)) for record in found] == [
            (record["key"], record["value"], record.get("headers", [])) for record in records
        ]

    run(main())


def test_a_record_of_a_megabyte_arrives_whole_and_a_batch_may_be_packed(broker: Broker, topic: str) -> None:
    value = bytes(range(256)) * 4_000

    async def main() -> None:
        await create(broker, topic, 1)
        for compression in (None, "gzip"):
            await send(broker, topic, [{"key": b"k", "value": value}], compression_type=compression)
        assert [record.value for record in await read(broker, topic)] == [value, value]

    run(main())


def test_only_apache_kafka_refuses_a_record_beyond_its_limit(broker: Broker, topic: str) -> None:
    async def main() -> None:
        await create(broker, topic, 1)
        too_large = send(broker, topic, [{"key": b"k", "value": bytes(2_000_000)}], max_request_size=4_000_000)
        if is_apache(broker):
            with pytest.raises(MessageSizeTooLargeError):
                await too_large
        else:
            await too_large
        assert len(await read(broker, topic)) == (0 if is_apache(broker) else 1)

    run(main())


def test_a_record_keeps_the_time_of_its_producer(broker: Broker, topic: str) -> None:
    async def main() -> None:
        await create(broker, topic, 1, message_timestamp_type="CreateTime")
        await send(broker, topic, [{"key": b"k", "value": b"v", "timestamp_ms": 1_000}])
        assert [(record.timestamp, record.timestamp_type) for record in await read(broker, topic)] == [(1_000, 0)]

    run(main())


def test_only_apache_kafka_stamps_the_time_of_arrival(broker: Broker, topic: str) -> None:
    async def main() -> None:
        await create(broker, topic, 1, message_timestamp_type="LogAppendTime")
        before = int(time.time() * 1000)
        sent = await send(broker, topic, [{"key": b"k", "value": b"v", "timestamp_ms": 1_000}])
        after = int(time.time() * 1000)
        (record,) = await read(broker, topic)
        assert record.timestamp == sent[0].timestamp
        if is_apache(broker):
            assert record.timestamp_type == 1
            assert before <= record.timestamp <= after
        else:
            assert (record.timestamp, record.timestamp_type) == (1_000, 0)

    run(main())


def test_a_fetch_tells_the_end_of_a_partition_and_only_on_apache_kafka_the_list_of_ends_does(
    broker: Broker, topic: str
) -> None:
    place = TopicPartition(topic, 0)

    async def main() -> None:
        await create(broker, topic, 1)
        client = AIOKafkaConsumer(bootstrap_servers=broker.brokers)
        async with started(client):
            client.assign([place])
            assert await client.end_offsets([place]) == {place: 0}
            for already in (0, 20):
                await send(broker, topic, ({"key": b"k", "value": b"v"} for _ in range(20)), linger_ms=50)
                assert await client.beginning_offsets([place]) == {place: 0}
                listed = (await client.end_offsets([place]))[place]
                # The embedded broker takes the first record of the last batch for the last record of all.
                assert listed == already + (20 if is_apache(broker) else 1)
                client.seek(place, listed - 1)
                while (client.highwater(place) or 0) < listed:
                    await poll_once(client)
                assert client.highwater(place) == already + 20

    run(main())


def test_two_members_share_the_partitions_and_the_one_that_stays_goes_on_from_what_was_committed(
    broker: Broker, topic: str
) -> None:
    async def main() -> None:
        await create(broker, topic, 4)
        first, second = (member(broker, topic, f"{topic}.group") for _ in range(2))
        async with AsyncExitStack() as clients:
            await clients.enter_async_context(started(first))
            joining = asyncio.ensure_future(second.start())
            await poll_until(joining.done, first)
            await joining
            async with AsyncExitStack() as leaving:
                leaving.push_async_callback(second.stop)
                await poll_until(lambda: len(first.assignment()) == len(second.assignment()) == 2, first, second)
                assert first.assignment().isdisjoint(second.assignment())

                await send(broker, topic, ({"key": key, "value": b"before"} for key in KEYS))
                found: list[ConsumerRecord[Any, Any]] = []
                while len(found) < len(KEYS):
                    found += await poll_once(first) + await poll_once(second)
                assert sorted(record.key for record in found) == sorted(KEYS)
                await first.commit()
                await second.commit()
            await poll_until(lambda: len(first.assignment()) == 4, first)
            await send(broker, topic, ({"key": key, "value": b"after"} for key in KEYS))
            again: list[ConsumerRecord[Any, Any]] = []
            while len(again) < len(KEYS):
                again += await poll_once(first)
            assert {record.value for record in again} == {b"after"}
            assert sorted(record.key for record in again) == sorted(KEYS)

    run(main())


def test_a_member_of_an_older_generation_cannot_commit(broker: Broker, topic: str) -> None:
    async def main() -> None:
        await create(broker, topic, 1)
        client = member(broker, topic, f"{topic}.group")
        async with started(client):
            await poll_until(lambda: bool(client.assignment()), client)
            await client.commit({TopicPartition(topic, 0): 5})
            # By hand, as a refused commit makes the client forget who it is.
            own = client._coordinator
            for generation, member_id in ((own.generation - 1, own.member_id), (own.generation, "a-stranger")):
                request = OffsetCommitRequest(own.group_id, generation, member_id, -1, [(topic, [(0, 1, "")])])
                ((_, ((_, code),)),) = (await own._send_req(request)).topics
                assert for_code(code) in (IllegalGenerationError, UnknownMemberIdError)
            assert await client.committed(TopicPartition(topic, 0)) == 5

    run(main())


@pytest.mark.parametrize("broker", [pytest.param("apache", marks=pytest.mark.kafka)], indirect=True)
def test_a_static_member_that_comes_back_gets_its_partitions_and_disturbs_nobody(broker: Broker, topic: str) -> None:
    """aiokafka's static members leave without a word, as a crash does.

    Not on the embedded broker: there it is a rebalance like any other, and takes 24 s in all.
    """

    async def main() -> None:
        await create(broker, topic, 4)
        group = f"{topic}.group"
        stays, crashes, returns = (
            member(broker, topic, group, group_instance_id=name) for name in ("stays", "crashes", "crashes")
        )
        async with AsyncExitStack() as clients:
            await clients.enter_async_context(started(stays))
            async with AsyncExitStack() as crashing:
                joining = asyncio.ensure_future(crashes.start())
                await poll_until(joining.done, stays)
                await joining
                crashing.push_async_callback(crashes.stop)
                await poll_until(lambda: len(stays.assignment()) == len(crashes.assignment()) == 2, stays, crashes)
                had, generation = crashes.assignment(), stays._coordinator.generation
            joining = asyncio.ensure_future(returns.start())
            await poll_until(joining.done, stays)
            await joining
            clients.push_async_callback(returns.stop)
            await poll_until(lambda: len(returns.assignment()) == 2, stays, returns)
            await returns.commit(dict.fromkeys(returns.assignment(), 0))
            assert returns.assignment() == had
            assert stays._coordinator.generation == generation

    run(main())


def test_only_apache_kafka_has_idempotent_producers(broker: Broker, topic: str) -> None:
    async def main() -> None:
        await create(broker, topic, 2)
        records = [{"key": key, "value": b"v"} for key in KEYS]
        if is_apache(broker):
            await send(broker, topic, records, enable_idempotence=True)
            assert sorted(record.key for record in await read(broker, topic)) == sorted(KEYS)
        else:
            with pytest.raises(UnknownError):
                await send(broker, topic, records, enable_idempotence=True)

    run(main())


def test_only_apache_kafka_hides_what_a_transaction_took_back(broker: Broker, topic: str) -> None:
    async def main() -> None:
        await create(broker, topic, 1)
        if not is_apache(broker):
            with pytest.raises(UnknownError):
                await send(broker, topic, [], transactional_id=topic)
            return
        async with producer(broker, transactional_id=topic) as client:
            for value in (b"kept", b"taken back", b"kept too"):
                await client.begin_transaction()
                await client.send_and_wait(topic, value, key=b"k")
                await (client.abort_transaction() if value == b"taken back" else client.commit_transaction())
        found = await read(broker, topic, isolation_level="read_committed")
        # The marks of the transactions take offsets of their own: a reader must not take offsets for a count.
        assert [(record.offset, record.value) for record in found] == [(0, b"kept"), (4, b"kept too")]

    run(main())


@pytest.mark.kafka
@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_was_acknowledged_and_committed_survives_the_broker(
    kafka_installation: Installation, topic: str, end: str
) -> None:
    with ApacheKafka(kafka_installation) as node:

        async def before() -> None:
            await create(node, topic, 2)
            await send(node, topic, ({"key": key, "value": b"v"} for key in KEYS), acks="all")
            client = member(node, topic, "group")
            async with started(client):
                await poll_until(lambda: len(client.assignment()) == 2, client)
                await client.commit({TopicPartition(topic, 0): 3, TopicPartition(topic, 1): 5})

        async def after() -> None:
            assert sorted(record.key for record in await read(node, topic)) == sorted(KEYS)
            client = member(node, topic, "group")
            async with started(client):
                assert [await client.committed(TopicPartition(topic, number)) for number in (0, 1)] == [3, 5]

        run(before())
        address = node.brokers
        getattr(node, end)()
        node.start()
        assert node.brokers == address
        run(after())


@pytest.mark.kafka
def test_an_idempotent_producer_writes_once_what_it_had_to_send_twice(
    kafka_installation: Installation, topic: str, caplog: pytest.LogCaptureFixture
) -> None:
    def resent() -> bool:
        return any("Got error produce response" in record.message for record in caplog.records)

    with ApacheKafka(kafka_installation) as node:

        async def main() -> None:
            await create(node, topic, 1)
            async with producer(node, enable_idempotence=True, request_timeout_ms=1_000) as client:
                await client.send_and_wait(topic, b"0", key=b"k")
                node.pause()
                waiting = [await client.send(topic, str(number).encode(), key=b"k") for number in range(1, 20)]
                while not resent():
                    await asyncio.wait(waiting, timeout=POLL_MS / 1000)
                node.resume()
                await asyncio.gather(*waiting)
            assert [record.value for record in await read(node, topic)] == [str(n).encode() for n in range(20)]

        with caplog.at_level(logging.WARNING, "aiokafka"):
            run(main())


@pytest.mark.kafka
def test_a_frozen_broker_answers_nobody_and_can_be_stopped_all_the_same(kafka_installation: Installation) -> None:
    with ApacheKafka(kafka_installation) as node:
        port = int(node.brokers.rpartition(":")[2])
        assert answers_as(port, CLUSTER)
        node.pause()
        assert not answers_as(port, CLUSTER)
        node.resume()
        assert answers_as(port, CLUSTER)
        node.pause()
        node.stop()
        assert not answers_as(port, CLUSTER)


@pytest.mark.kafka
def test_settings_given_to_a_node_count(kafka_installation: Installation, topic: str) -> None:
    with ApacheKafka(kafka_installation, settings={"auto.create.topics.enable": "false"}) as node:

        async def main() -> None:
            with pytest.raises(KafkaError):
                await send(node, topic, [{"key": b"k", "value": b"v"}], request_timeout_ms=500)

        run(main())
