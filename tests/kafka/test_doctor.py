"""The Kafka half of `henji doctor` on real brokers."""

from __future__ import annotations

import asyncio
import json
import zlib

import pytest
from aiokafka import AIOKafkaProducer

from streams.child_process import free_port
from streams.cli import main
from streams.kafka.producer import partition_for
from tests.kafka.conftest import Broker


def checks(capfd: pytest.CaptureFixture[str], *arguments: str, code: int) -> dict[str, tuple[str, str]]:
    """What the doctor says about Kafka: what was looked at -> the worst level and what was told."""
    capfd.readouterr()
    assert main(["doctor", "--json", *arguments]) == code
    out, err = capfd.readouterr()
    assert err == ""
    found: dict[str, tuple[str, str]] = {}
    for check in json.loads(out)["checks"]:
        if check["what"].startswith(("kafka", "topic", "partitioner", "recent")):
            # The finding that says what is right comes last.
            found.setdefault(check["what"], (check["level"], check["told"]))
    return found


def produce(broker: Broker, topic: str, *placed: tuple[str, int]) -> None:
    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=broker.brokers)
        await producer.start()
        try:
            for customer, partition in placed:
                await producer.send_and_wait(topic, value=b"{}", key=customer.encode(), partition=partition)
        finally:
            await producer.stop()

    asyncio.run(send())


@pytest.fixture
def made(broker: Broker, topic: str, capfd: pytest.CaptureFixture[str]) -> list[str]:
    """Options of a deployment whose topics exist."""
    assert main(["topics", "create", "--kafka", broker.brokers, "--topic", topic, "--partitions", "4"]) == 0
    return ["--kafka", broker.brokers, "--set", f"kafka.topic={topic}", "--set", "kafka.partitions=4"]


def test_a_deployment_as_it_should_be_has_nothing_to_be_mended(
    broker: Broker, topic: str, made: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    assert checks(capfd, *made, code=0)["recent events"][0] == "ok"
    produce(broker, topic, *((f"c{i}", partition_for(f"c{i}", 4)) for i in range(50)))
    found = checks(capfd, *made, code=0)
    assert found["kafka"][0] == "ok"
    assert found["partitioner"] == ("ok", "50 of the newest events lie where murmur2 puts their key")
    if type(broker).__name__ == "ApacheKafka":
        assert found["kafka clock"][0] == "ok"
    else:
        # It keeps the producer's time whatever the topic says; the doctor sees that in the records.
        assert found["kafka clock"][0] == "warning"
    assert [level for what, (level, _) in found.items() if what.startswith("topic")] == ["ok"] * 3


def test_a_producer_with_another_partitioner_is_found(
    broker: Broker, topic: str, made: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    produce(broker, topic, *((f"c{i}", zlib.crc32(b"c%d" % i) % 4) for i in range(50)))
    level, told = checks(capfd, *made, code=1)["partitioner"]
    assert level == "error"
    assert "librdkafka" in told


def test_only_the_newest_records_are_read(
    broker: Broker, topic: str, made: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    async def send() -> None:
        producer = AIOKafkaProducer(bootstrap_servers=broker.brokers)
        await producer.start()
        try:
            # 300 in the wrong place, then 300 in the right one; 250 of each partition are looked at.
            for key in [b"wrong"] * 300 + [b"c1"] * 300:
                await producer.send(topic, value=b"{}", key=key, partition=3)
            await producer.flush()
        finally:
            await producer.stop()

    assert partition_for("wrong", 4) != 3
    assert partition_for("c1", 4) == 3
    asyncio.run(send())
    assert checks(capfd, *made, code=0)["partitioner"] == (
        "ok",
        "250 of the newest events lie where murmur2 puts their key",
    )


def test_missing_topics_are_errors_that_name_the_command(
    broker: Broker, topic: str, capfd: pytest.CaptureFixture[str]
) -> None:
    found = checks(capfd, "--kafka", broker.brokers, "--set", f"kafka.topic={topic}", code=1)
    assert found[f"topic {topic}"][0] == "error"
    assert "henji topics create" in found[f"topic {topic}"][1]


def test_a_broker_that_is_away_is_an_error_that_says_what_to_do(capfd: pytest.CaptureFixture[str]) -> None:
    found = checks(capfd, "--kafka", f"127.0.0.1:{free_port()}", code=1)
    assert list(found) == ["kafka"]
    assert found["kafka"][0] == "error"
    assert "start Kafka" in found["kafka"][1]


def test_wrong_settings_of_kafka_are_findings(capfd: pytest.CaptureFixture[str]) -> None:
    level, told = checks(capfd, "--kafka", "localhost", code=1)["kafka"]
    assert (level, "HOST:PORT" in told) == ("error", True)


def test_kafka_is_not_looked_at_unless_it_was_named(capfd: pytest.CaptureFixture[str]) -> None:
    assert checks(capfd, code=0) == {}
