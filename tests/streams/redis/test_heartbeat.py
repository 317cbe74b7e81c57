from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engine.errors import CorruptState, StoreUnavailable
from streams.redis.board import RiskBoard
from streams.redis.catalogue import INPUT_STALE_MS, INPUT_STATES
from streams.redis.client import Argument, RedisClient
from streams.redis.embedded import EmbeddedRedis
from streams.redis.heartbeat import ATTEMPTS, Heartbeat
from streams.redis.verify import verify
from tests.streams.redis.samples import BINDING, KEYS, NOW, SETTINGS, change, outcome, position, redis_ledger

RECORD = KEYS.partition(BINDING.topic, BINDING.partition)


def board_of(client: RedisClient) -> str:
    """Begin a board with one customer; the token of its owner."""
    ledger = redis_ledger(client)
    token = ledger.claim()
    ledger.open(SETTINGS)
    ledger.commit([outcome([change("c1")])], position(1))
    return token


def said(client: RedisClient) -> dict[bytes, bytes]:
    fields: dict[bytes, bytes] = client.execute_command("HGETALL", KEYS.meta)
    return {name: value for name, value in fields.items() if name.startswith((b"input", b"last_event"))}


def test_what_is_said_is_on_the_board(redis_client: RedisClient) -> None:
    token = board_of(redis_client)
    states = {0: "fresh", 1: "stale", 2: "unknown"}
    assert Heartbeat(redis_client, KEYS).say(token, RECORD, states, {0: NOW - 7, 1: NOW - 9}, NOW, lag=12)
    meta = RiskBoard(redis_client).meta()
    assert meta is not None
    assert meta.lag == dict.fromkeys(states, 12)
    board = RiskBoard(redis_client)
    meta = board.meta()
    assert meta is not None
    assert meta.inputs == states
    assert meta.inputs_at == {0: NOW, 1: NOW, 2: NOW}
    assert meta.last_events_at == {0: NOW - 7, 1: NOW - 9}
    assert {lane: board.input_state(lane, NOW) for lane in range(4)} == states | {3: "unknown"}
    assert verify(redis_client) == []


@pytest.mark.parametrize("state", INPUT_STATES)
def test_what_was_said_long_ago_is_stale(redis_client: RedisClient, state: str) -> None:
    token = board_of(redis_client)
    Heartbeat(redis_client, KEYS).say(token, RECORD, {0: state}, {}, NOW)
    board = RiskBoard(redis_client)
    assert board.input_state(0, NOW + INPUT_STALE_MS) == state
    assert board.input_state(0, NOW + INPUT_STALE_MS + 1) == "stale"


def test_who_never_spoke_is_unknown(redis_client: RedisClient) -> None:
    board = RiskBoard(redis_client)
    assert board.input_state(0, NOW) == "unknown"
    board_of(redis_client)
    assert board.input_state(0, NOW) == "unknown"


def test_a_zombie_says_nothing(redis_client: RedisClient) -> None:
    zombie = board_of(redis_client)
    heartbeat = Heartbeat(redis_client, KEYS)
    heartbeat.say(zombie, RECORD, {0: "stale"}, {}, NOW)
    owner = redis_ledger(redis_client).claim()
    before = said(redis_client)
    assert not heartbeat.say(zombie, RECORD, {0: "fresh"}, {0: NOW}, NOW + 1)
    assert said(redis_client) == before
    assert heartbeat.say(owner, RECORD, {0: "fresh"}, {}, NOW + 1)


def test_nobody_owns_a_partition_without_a_record(redis_client: RedisClient) -> None:
    board_of(redis_client)
    redis_client.execute_command("DEL", RECORD)
    assert not Heartbeat(redis_client, KEYS).say("", RECORD, {0: "fresh"}, {}, NOW)
    assert said(redis_client) == {}


def test_a_heartbeat_begins_no_board(redis_client: RedisClient) -> None:
    token = redis_ledger(redis_client).claim()
    assert not Heartbeat(redis_client, KEYS).say(token, RECORD, {0: "fresh"}, {}, NOW)
    assert not redis_client.execute_command("EXISTS", KEYS.meta)
    assert verify(redis_client) == []


def test_nothing_to_say_is_not_said(redis_client: RedisClient) -> None:
    assert not Heartbeat(redis_client, KEYS).say(board_of(redis_client), RECORD, {}, {}, NOW)


def test_a_state_of_its_own_is_refused(redis_client: RedisClient) -> None:
    with pytest.raises(ValueError, match="expected one of fresh, stale, unknown, got 'asleep' for lane 3"):
        Heartbeat(redis_client, KEYS).say(board_of(redis_client), RECORD, {3: "asleep"}, {}, NOW)


class Meddling:
    """A pipeline that lets somebody else act between the look and the write."""

    def __init__(self, pipe: Any, meddle: Callable[[], object]) -> None:
        self._pipe = pipe
        self._meddle = meddle

    def multi(self) -> None:
        self._meddle()
        self._pipe.multi()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pipe, name)


class MeddlingClient:
    """A real client whose pipelines are `Meddling`, the first `times` times."""

    def __init__(self, client: RedisClient, meddle: Callable[[], object], times: int) -> None:
        self._client = client
        self._meddle = meddle
        self.left = times

    def pipeline(self, transaction: bool = True) -> Any:
        self.left -= 1
        return Meddling(self._client.pipeline(transaction), self._meddle if self.left >= 0 else lambda: None)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)


def test_a_partition_lost_between_look_and_write_gets_nothing(redis_client: RedisClient) -> None:
    zombie = board_of(redis_client)
    client: Any = MeddlingClient(redis_client, lambda: redis_ledger(redis_client).claim(), 1)
    assert not Heartbeat(client, KEYS).say(zombie, RECORD, {0: "fresh"}, {}, NOW)
    assert said(redis_client) == {}


def test_a_commit_of_our_own_between_look_and_write_is_no_loss(redis_client: RedisClient) -> None:
    ledger = redis_ledger(redis_client)
    token = ledger.claim()
    ledger.open(SETTINGS)
    ledger.commit([outcome([change("c1")])], position(1))
    offsets = iter(range(2, 99))

    def commit() -> None:
        ledger.commit([outcome([])], position(next(offsets)))

    client: Any = MeddlingClient(redis_client, commit, ATTEMPTS - 1)
    assert Heartbeat(client, KEYS).say(token, RECORD, {0: "fresh"}, {}, NOW)
    client = MeddlingClient(redis_client, commit, ATTEMPTS)
    assert not Heartbeat(client, KEYS).say(token, RECORD, {0: "stale"}, {}, NOW)
    assert RiskBoard(redis_client).input_state(0, NOW) == "fresh"


@pytest.mark.parametrize("field", [("input:0", "asleep"), ("input_at:0", "soon")])
def test_what_is_not_of_the_contract_is_named(redis_client: RedisClient, field: tuple[Argument, ...]) -> None:
    token = board_of(redis_client)
    Heartbeat(redis_client, KEYS).say(token, RECORD, {0: "fresh"}, {}, NOW)
    redis_client.execute_command("HSET", KEYS.meta, *field)
    with pytest.raises(CorruptState, match=r"risk:meta: .*henji verify"):
        RiskBoard(redis_client).input_state(0, NOW)


def test_a_redis_that_is_away_is_store_unavailable() -> None:
    server = EmbeddedRedis()
    server.start()
    client = server.client()
    server.stop()
    with pytest.raises(StoreUnavailable, match="heartbeat"):
        Heartbeat(client, KEYS).say("1:ab", RECORD, {0: "fresh"}, {}, NOW)
    client.close()
