"""`henji models promote` and `rollback` through Kafka: every lane gets its order, in its partition, once."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from streams.cli import main
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from tests.kafka.conftest import Broker
from tests.kafka.test_send import event, make, read, write

LANES = ["--set", "lanes=4", "--set", "learning.challengers=plain"]


def test_orders_reach_every_lane_and_a_replay_of_the_topic_obeys(
    broker: Broker, topic: str, tmp_path: Path, redis_server: EmbeddedRedis, redis_client: RedisClient,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    asyncio.run(make(broker.brokers, topic, 2))
    log = write(tmp_path / "log.jsonl", [event(n, f"c{n % 9}") for n in range(60)])
    kafka = ["--kafka", broker.brokers, "--topic", topic]
    url = redis_server.url
    assert main(["send", str(log), *kafka]) == 0
    assert main(["replay", str(log), "--redis", url, "--run", "before", "--digest", *LANES]) == 0
    promote = ["models", "promote", "plain", "--redis", url, "--prefix", "replay:before:", *kafka]
    # The same request twice, as when the answer was lost.
    for _ in range(2):
        assert main([*promote, "--request", "r1"]) == 0
    assert "4 orders acknowledged" in capsys.readouterr().out
    found = asyncio.run(read(broker.brokers, topic, 2))
    orders = [(n, json.loads(r.value)) for n, records in enumerate(found) for r in records if r.key is None]
    assert sorted((n, o["lane"]) for n, o in orders) == sorted((lane % 2, lane) for lane in range(4) for _ in range(2))

    capsys.readouterr()
    replay = ["replay", "--kafka", broker.brokers, "--set", f"kafka.topic={topic}", "--redis", url, *LANES]
    assert main([*replay, "--run", "after", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["applied"], facts["duplicate"], facts["late"], facts["dead"]) == (64, 4, 0, 0)
    assert facts["tallies"]["promoted"] == 4
    assert main(["models", "rollback", "--redis", url, "--prefix", "replay:after:", *kafka]) == 0
    assert main([*replay, "--run", "back", "--json"]) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["tallies"]["rolled_back"] == 4


def test_a_topic_of_another_layout_is_refused(
    broker: Broker, topic: str, tmp_path: Path, redis_server: EmbeddedRedis, redis_client: RedisClient,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    asyncio.run(make(broker.brokers, topic, 3))
    log = write(tmp_path / "log.jsonl", [event(n, f"c{n % 9}") for n in range(20)])
    assert main(["replay", str(log), "--redis", redis_server.url, "--run", "before", "--digest", *LANES]) == 0
    rollback = ["models", "rollback", "--redis", redis_server.url, "--kafka", broker.brokers, "--topic"]
    assert main([*rollback, topic]) == 2
    assert "expected a topic whose partitions divide the 4 lanes" in capsys.readouterr().err
    assert main([*rollback, "no-such-topic"]) == 2
    assert "expected a topic that exists" in capsys.readouterr().err
    assert [len(records) for records in asyncio.run(read(broker.brokers, topic, 3))] == [0, 0, 0]
