"""`henji send`: N records in, exactly N records out, each customer's in their order, whatever happens to the broker."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from engine.errors import HenjiError
from streams.cli import main
from streams.kafka.connection import Connection
from streams.kafka.producer import start_producer, stop_producer
from streams.kafka.sender import BATCH_BYTES, Placed, Sender, place
from tests.kafka.apache import ApacheKafka, Installation
from tests.kafka.conftest import Broker

T0 = 1_700_000_000_000


async def make(brokers: str, topic: str, partitions: int, **config: str) -> None:
    admin = AIOKafkaAdminClient(**Connection((brokers,)).aiokafka())
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, partitions, 1, topic_configs=config)])
    finally:
        await admin.close()


async def read(brokers: str, topic: str, partitions: int) -> list[list[ConsumerRecord]]:
    """All records of a topic, by partition."""
    consumer = AIOKafkaConsumer(**Connection((brokers,)).aiokafka())
    await consumer.start()
    try:
        places = [TopicPartition(topic, n) for n in range(partitions)]
        consumer.assign(places)
        await consumer.seek_to_beginning(*places)
        ends = await consumer.end_offsets(places)
        found: dict[TopicPartition, list[ConsumerRecord]] = {place: [] for place in places}
        async with asyncio.timeout(60):
            while any([await consumer.position(place) < ends[place] for place in places]):
                for place, records in (await consumer.getmany(timeout_ms=200)).items():
                    found[place] += records
        return [found[place] for place in places]
    finally:
        await consumer.stop()


def event(number: int, customer_id: str, **fields: Any) -> bytes:
    return orjson.dumps(
        {"event_id": f"e{number}", "customer_id": customer_id, "ts": T0 + number, "kind": "view", **fields}
    )


def write(path: Path, lines: list[bytes]) -> Path:
    content = b"".join(line + b"\n" for line in lines)
    path.write_bytes(gzip.compress(content, 1) if path.suffix == ".gz" else content)
    return path


def send(broker: Broker, topic: str, *arguments: str, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["send", *arguments, "--kafka", broker.brokers, "--topic", topic, "--json"]) == 0
    summary: dict[str, Any] = json.loads(capsys.readouterr().out)
    return summary


def test_every_line_arrives_once_in_the_order_of_the_file(
    broker: Broker, topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [*(f"c{n}" for n in range(50)), "Ünal", "学生-1", "e\u0301"]
    lines = [event(n, names[n * 7 % len(names)], value=n / 7) for n in range(20_000)]
    # What is no event, and orders to lanes, stand between the others.
    lines[100] = b"no event"
    lines[200] = b'{"event_id":"x","ts":1,"kind":"view"}'
    lines[300] = b"x" * 100_000
    for lane in range(8):
        lines[1000 + lane] = orjson.dumps({"event_id": f"t{lane}", "ts": T0, "kind": "tick", "lane": lane, "lanes": 8})
    log = write(tmp_path / "log.jsonl.gz", lines)
    asyncio.run(make(broker.brokers, topic, 4))
    summary = send(broker, topic, str(log), capsys=capsys)

    partitions = asyncio.run(read(broker.brokers, topic, 4))
    wanted: list[list[tuple[bytes | None, bytes]]] = [[] for _ in range(4)]
    for line in lines:
        placed = place(line, 4)
        wanted[placed.partition].append((placed.key, line))
    assert [[(r.key, r.value) for r in records] for records in partitions] == wanted
    assert [[r.offset for r in records] for records in partitions] == [list(range(len(w))) for w in wanted]
    assert (summary["read"], summary["sent"], summary["refused"]) == (20_000, 20_000, {})
    assert summary["partitions"] == {str(n): len(w) for n, w in enumerate(wanted)}


def test_check_holds_back_what_is_no_event_and_says_why(
    broker: Broker, topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [event(1, "a"), b"{", event(2, "b", score=9, kind="feedback", category="x"), event(3, "a")]
    lines.append(event(4, "a", ts=4_000_000_000_000))
    log = write(tmp_path / "log.jsonl", lines)
    asyncio.run(make(broker.brokers, topic, 2))
    summary = send(broker, topic, str(log), "--check", capsys=capsys)
    assert (summary["read"], summary["sent"], summary["refused"]) == (5, 2, {"future": 1, "json": 1, "range": 1})
    assert summary["refused_at"] == [
        {"source": str(log), "position": 2, "reason": "json", "field": ""},
        {"source": str(log), "position": 3, "reason": "range", "field": "score"},
        {"source": str(log), "position": 5, "reason": "future", "field": "ts"},
    ]
    arrived = [r.value for records in asyncio.run(read(broker.brokers, topic, 2)) for r in records]
    assert sorted(arrived) == [lines[0], lines[3]]


def test_a_limit_sends_the_first_records(
    broker: Broker, topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [event(n, "a") for n in range(5_000)]
    asyncio.run(make(broker.brokers, topic, 1))
    assert (
        send(broker, topic, str(write(tmp_path / "l.jsonl", lines)), "--limit", "2345", capsys=capsys)["sent"] == 2345
    )
    assert [r.value for r in asyncio.run(read(broker.brokers, topic, 1))[0]] == lines[:2345]


def test_a_paced_log_is_sent_whole(
    broker: Broker, topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = [event(n * 50, "a") for n in range(20)]  # a second of events, at four times its speed
    asyncio.run(make(broker.brokers, topic, 1))
    summary = send(broker, topic, str(write(tmp_path / "l.jsonl", lines)), "--speed", "4x", capsys=capsys)
    assert summary["seconds"] >= 0.23
    assert [r.value for r in asyncio.run(read(broker.brokers, topic, 1))[0]] == lines


def test_the_time_of_an_exported_record_goes_with_it(
    broker: Broker, topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    asyncio.run(make(broker.brokers, topic, 1))
    log = write(tmp_path / "l.jsonl", [event(1, "a", record_ts=T0), event(2, "a", record_ts=4_000_000_000_000)])
    send(broker, topic, str(log), capsys=capsys)
    first, second = asyncio.run(read(broker.brokers, topic, 1))[0]
    assert first.timestamp == T0
    assert T0 < second.timestamp < 4_000_000_000_000


def test_a_topic_that_is_missing_is_not_made(
    broker: Broker, topic: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = write(tmp_path / "l.jsonl", [event(1, "a")])
    for _ in range(2):
        assert main(["send", str(log), "--kafka", broker.brokers, "--topic", topic]) == 2
        assert "henji topics create" in capsys.readouterr().err


on_apache_kafka = pytest.mark.parametrize("broker", [pytest.param("apache", marks=pytest.mark.kafka)], indirect=True)


@on_apache_kafka
def test_a_batch_that_kafka_refuses_says_so_and_what_was_acknowledged(broker: Broker, topic: str) -> None:
    asyncio.run(make(broker.brokers, topic, 1, **{"max.message.bytes": "2000"}))

    async def run() -> Counter[int]:
        producer = await start_producer(Connection((broker.brokers,)), max_batch_size=BATCH_BYTES)
        sender = Sender(producer, topic)
        try:
            await sender.send([Placed(0, b"k", b"x" * 1_000)])
            await sender.flush()
            await sender.send([Placed(0, b"k", b"x" * 5_000)])
            with pytest.raises(HenjiError, match="1 records are acknowledged"):
                await sender.flush()
            return sender.acknowledged
        finally:
            await stop_producer(producer)

    assert asyncio.run(run()) == {0: 1}


@pytest.fixture
def own_kafka(kafka_installation: Installation) -> Iterator[ApacheKafka]:
    with ApacheKafka(kafka_installation) as node:
        yield node


@pytest.mark.kafka
@pytest.mark.slow
def test_a_broker_that_is_killed_and_frozen_loses_nothing_and_doubles_nothing(own_kafka: ApacheKafka) -> None:
    n_records, n_partitions = 30_000, 4
    asyncio.run(make(own_kafka.brokers, "events", n_partitions))
    records = [place(event(n, f"c{n % 97}", body="x" * 500), n_partitions) for n in range(n_records)]

    async def run() -> None:
        loop = asyncio.get_running_loop()
        options = {"max_batch_size": BATCH_BYTES, "request_timeout_ms": 1_000}
        producer = await start_producer(Connection((own_kafka.brokers,)), **options)
        sender = Sender(producer, "events")
        # In the middle of requests: the answers to some of them are lost, and they are sent again. It comes back from
        # the main thread, with which it would end.
        troubles = [
            (10_000, own_kafka.kill, 0.5, own_kafka.start),
            # Longer than the producer waits for an answer.
            (20_000, own_kafka.pause, 2.5, own_kafka.resume),
        ]
        try:
            for start in range(0, n_records, 1_000):
                if troubles and start == troubles[0][0]:
                    _, trouble, seconds, end = troubles.pop(0)
                    trouble()
                    loop.call_later(seconds, end)
                await sender.send(records[start : start + 1_000])
            await sender.flush()
            assert sender.acknowledged.total() == n_records
        finally:
            await stop_producer(producer)

    asyncio.run(run())
    partitions = asyncio.run(read(own_kafka.brokers, "events", n_partitions))
    for number, found in enumerate(partitions):
        assert [r.value for r in found] == [r.value for r in records if r.partition == number]


@pytest.mark.kafka
def test_a_broker_that_stays_away_ends_the_command(own_kafka: ApacheKafka) -> None:
    asyncio.run(make(own_kafka.brokers, "events", 1))

    async def run() -> None:
        producer = await start_producer(Connection((own_kafka.brokers,)), request_timeout_ms=1_000)
        sender = Sender(producer, "events", deadline_s=2.0)
        try:
            own_kafka.kill()
            await sender.send([Placed(0, b"k", b"v")])
            with pytest.raises(HenjiError, match="0 records are acknowledged"):
                await sender.flush()
        finally:
            await stop_producer(producer, timeout_s=0.5)

    asyncio.run(run())
