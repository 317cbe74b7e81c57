from __future__ import annotations

from collections.abc import Iterable

from streams.redis.catalogue import TTL_S
from streams.redis.client import Command
from streams.redis.repairs import BoardRepairs
from tests.streams.redis.samples import KEYS


def rebuild(name: str, members: Iterable[tuple[str, float]]) -> list[Command]:
    return [("REBUILD", name, *(who for who, _ in members))]


def pending(repairs: BoardRepairs, members: list[tuple[str, float]] | None = None) -> list[Command]:
    return repairs.commands(lambda _: members, rebuild)


def test_a_failed_key_is_deleted_and_gets_what_came_after_its_last_deletion() -> None:
    repairs = BoardRepairs(KEYS)
    key, other = KEYS.part("timeline", "c1"), KEYS.part("timeline", "c2")
    old: list[Command] = [("DEL", key), ("RPUSH", key, "old"), ("EXPIRE", key, 1)]
    new: list[Command] = [("DEL", key), ("RPUSH", key, "new"), ("RPUSH", other, "another")]
    repairs.note([*old, *new], [key])
    assert pending(repairs) == [("DEL", key), ("RPUSH", key, "new"), ("EXPIRE", key, TTL_S)]


def test_what_did_not_fail_again_is_done() -> None:
    repairs = BoardRepairs(KEYS)
    repairs.note([("HSET", KEYS.meta, "a", "b")], [KEYS.meta])
    assert repairs.keys == {KEYS.meta}
    repairs.note(pending(repairs), [])
    assert pending(repairs) == []


def test_a_failed_wake_up_is_none() -> None:
    repairs = BoardRepairs(KEYS)
    repairs.note([("PUBLISH", KEYS.wake, "1")], [KEYS.wake])
    assert repairs.keys == frozenset()


def test_a_leaderboard_is_rebuilt_where_that_is_possible() -> None:
    repairs = BoardRepairs(KEYS)
    key = KEYS.index("churn")
    repairs.note([("ZADD", key, 0.5, "c1")], [key])
    assert pending(repairs, [("c1", 0.5), ("c2", 0.1)]) == [("REBUILD", "churn", "c1", "c2")]
    assert pending(repairs) == [("DEL", key), ("ZADD", key, 0.5, "c1")]
