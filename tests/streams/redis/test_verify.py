from __future__ import annotations

from collections.abc import Callable

import pytest

from streams.redis.catalogue import TTL_S
from streams.redis.client import Argument, RedisClient
from streams.redis.verify import verify
from tests.streams.redis.samples import FLAG, alert, change, outcome, owned, position, ticket_row


def fill(client: RedisClient) -> None:
    sensitive = change("c2", flags={"sensitive": '[1,null,1,"high","00"]'})
    assert sensitive.board is not None
    assert sensitive.board.index is not None
    sensitive.board.customer["sensitive"] = "1"
    sensitive.board.index["sensitive"] = 1.0
    batch = outcome([change("c1", flags={"repeat_request/billing": FLAG}), sensitive, change("客 {3}")])
    batch.alerts = [alert()]
    batch.alert_state = {"00112233445566ff": ticket_row(acked_by="ben")}
    owned(client).commit([batch], position(1))


def test_a_board_as_we_write_it_breaks_nothing(redis_client: RedisClient) -> None:
    fill(redis_client)
    assert verify(redis_client) == []


def test_an_empty_redis_breaks_nothing(redis_client: RedisClient) -> None:
    assert verify(redis_client) == []


BREAKS: list[tuple[str, str, list[tuple[Argument, ...]]]] = [
    ("wrong_type", "risk:why:c1", [("SET", "risk:why:c1", "x")]),
    ("wrong_type", "risk:index:churn", [("SET", "risk:index:churn", "x")]),
    ("wrong_type", "risk:alerts", [("SET", "risk:alerts", "x")]),
    ("unknown_field", "risk:customer:c1", [("HSET", "risk:customer:c1", "mood", "sad")]),
    ("unknown_field", "risk:meta", [("HSET", "risk:meta", "mood", "sad")]),
    ("missing_field", "risk:customer:c1", [("HDEL", "risk:customer:c1", "as_of")]),
    ("too_large", "risk:customer:c1", [("HSET", "risk:customer:c1", "stage", "x" * 65)]),
    ("too_large", "risk:flags:c1", [("DEL", "risk:flags:c1"), ("HSET", "risk:flags:c1", "f" * 65, FLAG)]),
    ("too_many", "risk:timeline:c1", [("RPUSH", "risk:timeline:c1", *['[1,"view",null,null,null,null]'] * 19)]),
    ("too_many", "risk:profile:c1", [("HSET", "risk:profile:c1", *map(str, range(66)))]),
    ("bad_value", "risk:customer:c1", [("HSET", "risk:customer:c1", "churn", "1.5")]),
    ("bad_value", "risk:customer:c1", [("HSET", "risk:customer:c1", "churn", "nan")]),
    ("bad_value", "risk:flags:c1", [("HSET", "risk:flags:c1", "repeat_request/billing", "[1,0]")]),
    ("bad_value", "risk:timeline:c1", [("RPUSH", "risk:timeline:c1", "{}")]),
    ("bad_value", "risk:history:c1", [("HSET", "risk:history:c1", "yesterday", "[1,2]")]),
    ("bad_value", "risk:meta", [("HSET", "risk:meta", "input:3", "asleep")]),
    ("bad_value", "risk:meta", [("HSET", "risk:meta", "input_at:3", "yesterday")]),
    ("bad_value", "risk:meta", [("HSET", "risk:meta", "last_event_at:3", "")]),
    ("bad_value", "risk:customer:c1", [("HSET", "risk:customer:c1", "contact", "1.5")]),
    ("unknown_field", "risk:model:m", [("HSET", "risk:model:m", "mood:0", "5")]),
    ("unknown_field", "risk:model:m", [("HSET", "risk:model:m", "n", "5")]),
    ("bad_value", "risk:model:m", [("HSET", "risk:model:m", "auc:0", "1.5")]),
    ("bad_value", "risk:model:m", [("HSET", "risk:model:m", "recent_log_loss:0", "low")]),
    ("bad_value", "risk:model:m", [("HSET", "risk:model:m", "difference:0", "nan")]),
    ("bad_value", "risk:model:m", [("HSET", "risk:model:m", "reliability:0", "[[5,0.5,0.5]]")]),
    ("bad_value", "risk:model:m", [("HSET", "risk:model:m", "drift_gap_mean:0", "1,5,0.1")]),
    ("missing_ttl", "risk:profile:c1", [("PERSIST", "risk:profile:c1")]),
    ("missing_ttl", "risk:alert:00112233445566ff", [("PERSIST", "risk:alert:00112233445566ff")]),
    ("long_ttl", "risk:profile:c1", [("EXPIRE", "risk:profile:c1", TTL_S + 1000)]),
    ("stray_ttl", "risk:index:churn", [("EXPIRE", "risk:index:churn", 100)]),
    ("orphan_index", "risk:index:engagement_drop", [("ZADD", "risk:index:engagement_drop", 1, "nobody")]),
    ("orphan_index", "risk:index:sensitive", [("ZADD", "risk:index:sensitive", 1, "c1")]),
    ("missing_index", "risk:index:churn", [("ZREM", "risk:index:churn", "c1")]),
    ("missing_index", "risk:index:sensitive", [("ZREM", "risk:index:sensitive", "c2")]),
    ("flags_up", "risk:customer:c1", [("HSET", "risk:flags:c1", "another", FLAG)]),
    (
        "orphan",
        "risk:profile:nobody",
        [("HSET", "risk:profile:nobody", "a", "b"), ("EXPIRE", "risk:profile:nobody", 9)],
    ),
    ("unknown_key", "risk:notes", [("SET", "risk:notes", "x")]),
    ("unknown_key", "risk:index:mood", [("ZADD", "risk:index:mood", 1, "c1")]),
    ("bad_id", "risk:profile:{c1}", [("HSET", "risk:profile:{c1}", "a", "b")]),
    ("missing_key", "risk:meta", [("DEL", "risk:meta")]),
    ("no_memory", "risk:customer:c1", [("HDEL", "henji:{0}:customers", "c1")]),
    ("memory_count", "risk:customer:*", [("HSET", "henji:{0}:customers", "c9", "m")]),
    ("missing_field", "risk:alerts", [("XADD", "risk:alerts", "*", "alert_id", "00")]),
]


@pytest.mark.parametrize(("rule", "key", "commands"), BREAKS, ids=[f"{rule}-{key}" for rule, key, _ in BREAKS])
def test_a_broken_board_is_found_out(
    redis_client: RedisClient, rule: str, key: str, commands: list[tuple[Argument, ...]]
) -> None:
    fill(redis_client)
    for command in commands:
        redis_client.execute_command(*command)
    assert (rule, key) in {(violation.rule, violation.key) for violation in verify(redis_client)}


def test_only_what_is_broken_is_found(redis_client: RedisClient) -> None:
    fill(redis_client)
    redis_client.execute_command("HSET", "risk:customer:c1", "mood", "sad")
    (violation,) = verify(redis_client)
    assert str(violation) == "risk:customer:c1: unknown_field: expected fields of the catalogue only, got mood"


def test_a_board_of_many_pages_is_read_to_its_end(redis_client: RedisClient) -> None:
    owned(redis_client).commit([outcome([change(f"c{number}") for number in range(700)])], position(1))
    spoil: Callable[..., object] = redis_client.execute_command
    for number in (0, 350, 699):
        spoil("PERSIST", f"risk:why:c{number}")
    found = verify(redis_client)
    assert {violation.key for violation in found} == {f"risk:why:c{number}" for number in (0, 350, 699)}
    assert len(found) == 3
