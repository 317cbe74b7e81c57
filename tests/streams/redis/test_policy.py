from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import StoreUnavailable
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from streams.redis.policy import check_policy, judge

GOOD = {"redis_version": "7.4.0", "aof_enabled": 1, "maxmemory_policy": "noeviction", "role": "master"}


@pytest.fixture
def spoilt(tmp_path: Path) -> Iterator[RedisClient]:
    """A Redis whose settings this test may spoil."""
    with EmbeddedRedis(tmp_path) as server:
        client = server.client()
        yield client
        client.close()


def test_a_redis_that_may_lose_state_is_found_out(spoilt: RedisClient) -> None:
    assert check_policy(spoilt) == []
    spoilt.execute_command("CONFIG", "SET", "appendonly", "no")
    spoilt.execute_command("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    assert [(each.level, each.code) for each in check_policy(spoilt)] == [
        ("error", "appendonly"),
        ("error", "maxmemory_policy"),
    ]


def test_a_redis_that_is_away_is_said(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path)
    client = server.client()
    with pytest.raises(StoreUnavailable):
        check_policy(client)
    client.close()


@pytest.mark.parametrize(
    ("fact", "value", "code"),
    [
        ("redis_version", "6.0.16", "version"),
        ("redis_version", "", "version"),
        ("aof_enabled", 0, "appendonly"),
        ("maxmemory_policy", "volatile-ttl", "maxmemory_policy"),
        ("role", "slave", "replica"),
        ("cluster_enabled", 1, "cluster"),
    ],
)
def test_each_fact_counts(fact: str, value: object, code: str) -> None:
    assert judge(GOOD) == []
    (finding,) = judge(GOOD | {fact: value})
    assert (finding.level, finding.code) == ("error", code)


def test_what_is_not_told_is_a_warning() -> None:
    assert [each.level for each in judge({"redis_version": "7.4.0"})] == ["warning", "warning"]
