"""Topics on real brokers, and the commands over them."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Coroutine
from typing import Any

import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from engine.errors import ConfigurationError, HenjiError, RecoverableError
from streams.child_process import free_port
from streams.cli import main
from streams.kafka import topics
from streams.kafka.connection import Connection
from streams.kafka.layout import Layout
from streams.kafka.topic_checks import Finding
from streams.settings import load_settings
from tests.kafka.conftest import Broker


def layout(name: str, **given: str) -> Layout:
    pairs = [("kafka." + key, value, "--set") for key, value in given.items()]
    return Layout.of(load_settings(None, {}, [("kafka.topic", name, "--topic"), *pairs]))


def at(broker: Broker) -> Connection:
    return Connection((broker.brokers,))


def is_apache(broker: Broker) -> bool:
    return type(broker).__name__ == "ApacheKafka"


async def names_and_partitions(brokers: str) -> dict[str, int]:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        return {each["topic"]: len(each["partitions"]) for each in await admin.describe_topics()}
    finally:
        await admin.close()


async def make(brokers: str, *new: NewTopic) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=brokers)
    await admin.start()
    try:
        await admin.create_topics(list(new))
        deadline = time.monotonic() + 10
        while not {each.name for each in new} <= set(await admin.list_topics()):
            assert time.monotonic() < deadline, "the new topics did not appear"
            await asyncio.sleep(0.02)
    finally:
        await admin.close()


def seen(work: Coroutine[Any, Any, list[Finding]]) -> list[tuple[str, str]]:
    return [(finding.level, finding.what) for finding in asyncio.run(work)]


def test_created_topics_have_nothing_to_be_mended(broker: Broker, topic: str) -> None:
    wanted = layout(topic, partitions="4", alerts=f"{topic}.alerts")
    expected = [("ok", f"topic {t.name}") for t in wanted.topics]
    assert len(expected) == 4
    assert seen(topics.create(at(broker), wanted)) == expected
    assert seen(topics.check(at(broker), wanted)) == expected
    there = asyncio.run(names_and_partitions(broker.brokers))
    assert {t.name: there[t.name] for t in wanted.topics} == dict.fromkeys((t.name for t in wanted.topics), 4)


def test_creating_twice_changes_nothing(broker: Broker, topic: str) -> None:
    wanted = layout(topic, partitions="2")
    asyncio.run(topics.create(at(broker), wanted))
    before = asyncio.run(topics.describe(at(broker), wanted))
    again = seen(topics.create(at(broker), wanted))
    assert [level for level, _ in again] == ["ok"] * 3
    assert asyncio.run(topics.describe(at(broker), wanted)) == before


def test_what_is_missing_is_made_beside_what_is_there(broker: Broker, topic: str) -> None:
    asyncio.run(topics.create(at(broker), layout(topic, partitions="2")))
    with_alerts = layout(topic, partitions="2", alerts=f"{topic}.alerts")
    assert ("error", f"topic {topic}.alerts") in seen(topics.check(at(broker), with_alerts))
    asyncio.run(topics.create(at(broker), with_alerts))
    assert [level for level, _ in seen(topics.check(at(broker), with_alerts))] == ["ok"] * 4


def test_checking_makes_no_topic(broker: Broker, topic: str) -> None:
    assert [level for level, _ in seen(topics.check(at(broker), layout(topic)))] == ["error"] * 3
    assert topic not in asyncio.run(names_and_partitions(broker.brokers))


def test_another_number_of_partitions_is_an_error_that_says_the_way_out(broker: Broker, topic: str) -> None:
    asyncio.run(topics.create(at(broker), layout(topic, partitions="4")))
    findings = asyncio.run(topics.create(at(broker), layout(topic, partitions="2")))
    assert findings[0].level == "error"
    assert "make a new topic" in findings[0].told
    assert asyncio.run(names_and_partitions(broker.brokers))[topic] == 4
    # Any number that divides the lanes will do for the worker.
    assert ("error", f"topic {topic}") not in seen(topics.check(at(broker), layout(topic, partitions="2")))


def test_a_topic_made_by_hand_is_found_wrong(broker: Broker, topic: str) -> None:
    config = {"cleanup.policy": "compact", "message.timestamp.type": "CreateTime", "retention.ms": "3600000"}
    asyncio.run(make(broker.brokers, NewTopic(topic, 3, 1, topic_configs=config)))
    findings = [f for f in asyncio.run(topics.check(at(broker), layout(topic))) if f.what == f"topic {topic}"]
    errors = [finding.told for finding in findings if finding.level == "error"]
    assert len(errors) == 4
    for word in ("divides lanes", "cleanup.policy", "message.timestamp.type", "retention.ms"):
        assert any(word in told for told in errors), word


def test_a_topic_that_the_broker_made_by_itself_is_found_wrong(broker: Broker, topic: str) -> None:
    asyncio.run(make(broker.brokers, NewTopic(topic, 1, 1)))
    findings = asyncio.run(topics.check(at(broker), layout(topic)))
    mine = [finding for finding in findings if finding.what == f"topic {topic}"]
    if is_apache(broker):
        assert any(f.level == "error" and "LogAppendTime" in f.told for f in mine)
    else:
        # The embedded broker tells only what was set; that is said, not taken for right.
        assert any(f.level == "warning" and "message.timestamp.type" in f.told for f in mine)


def test_more_copies_than_brokers_are_refused_with_the_setting(broker: Broker, topic: str) -> None:
    if not is_apache(broker):
        pytest.skip("the embedded broker takes any number of copies")
    with pytest.raises(HenjiError, match=r"kafka\.replication"):
        asyncio.run(topics.create(at(broker), layout(topic, replication="3")))


def test_the_commands_answer_by_exit_code_and_json(
    broker: Broker, topic: str, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--kafka", broker.brokers, "--topic", topic, "--json"]
    assert main(["topics", "check", *options]) == 1
    assert json.loads(capsys.readouterr().out)["ok"] is False
    assert main(["topics", "create", *options, "--partitions", "2"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["ok"] is True
    assert [each["what"] for each in made["topics"]] == [f"topic {topic}{end}" for end in ("", ".dead", ".late")]
    assert main(["topics", "check", *options]) == 0
    assert main(["topics", "create", *options, "--partitions", "3"]) == 2
    assert "kafka.partitions (--partitions): expected a divisor of lanes" in capsys.readouterr().err


def test_a_broker_that_is_away_is_told_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    away = f"127.0.0.1:{free_port()}"
    assert main(["topics", "check", "--kafka", away]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith(f"henji: describe topics: expected an answer from {away}")
    assert err.count("\n") == 1


def test_a_broker_that_is_away_is_recoverable() -> None:
    with pytest.raises(RecoverableError, match="start Kafka"):
        asyncio.run(topics.create(Connection((f"127.0.0.1:{free_port()}",)), layout("t")))


def test_no_brokers_are_a_wrong_setting(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["topics", "check", "--kafka", "nowhere"]) == 2
    assert "HOST:PORT" in capsys.readouterr().err
    with pytest.raises(ConfigurationError):
        Connection.of(load_settings(None, {}, [("kafka.brokers", "nowhere", "--kafka")]))
