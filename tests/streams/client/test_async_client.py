"""The async client reaches Redis in all the ways of the synchronous one, and its errors are ours."""

from __future__ import annotations

import asyncio
import shutil
import ssl
from pathlib import Path

import pytest
from redis.exceptions import RedisError

from engine.errors import CorruptState, StateIncompatible, StoreUnavailable, UsageError
from streams.child_process import free_port
from streams.client import AsyncRiskBoard, RiskBoard, connect_async
from streams.redis.access import RedisAccess, Sentinels
from streams.redis.client import RedisClient, connect
from streams.redis.embedded import EmbeddedRedis
from tests.contract.make import load, plain, value
from tests.contract.test_contract import ANSWERS, KEYS
from tests.streams.redis.test_sentinel import port_of, sentinel, until
from tests.streams.redis.test_tls import Authority, TlsProxy

READER = "+ping +select +scan +multi +exec +hgetall +lrange +zrange +xrange +xrevrange +xread"


def names(where: str | RedisAccess) -> list[str]:
    """The customers of a leaderboard, read through a new client."""

    async def ask() -> list[str]:
        client = connect_async(where, timeout_s=5.0)
        try:
            return [who for who, _ in await AsyncRiskBoard(client).top("sensitive", 5)]
        finally:
            await client.aclose()

    return asyncio.run(ask())


@pytest.fixture
def access(redis_server: EmbeddedRedis, redis_client: RedisClient) -> RedisAccess:
    load(redis_client, KEYS)
    return RedisAccess.parse(redis_server.url)


def test_a_reader_who_may_read_the_prefix_only_is_enough(access: RedisAccess, redis_client: RedisClient) -> None:
    rules = f"reset on >pass ~risk:* resetchannels -@all {READER}"
    redis_client.execute_command("ACL", "SETUSER", "reader", *rules.split())
    user = RedisAccess(path=access.path, user="reader", password="pass")
    client = connect(user)
    try:
        board = RiskBoard(client)
        for each in ANSWERS:
            assert plain(value(board, each["ask"], each["with"])) == each["answer"]
        assert board.fold(board.fold().state).anew is False
        assert board.news("0", "0", block_ms=1)[0]
        assert board.models() == []
        assert names(user) == ["cy", "anna"]
        with pytest.raises(UsageError, match="expected a Redis user who may do this"):
            names(RedisAccess(path=access.path, user="reader", password="wrong"))
    finally:
        client.close()
        redis_client.execute_command("ACL", "DELUSER", "reader")


def test_errors_of_redis_are_ours(access: RedisAccess, redis_client: RedisClient) -> None:
    redis_client.execute_command("DEL", "risk:index:sensitive")
    redis_client.execute_command("SET", "risk:index:sensitive", "x")
    with pytest.raises(StateIncompatible, match="risk:index:sensitive"):
        names(access)
    redis_client.execute_command("DEL", "risk:index:sensitive")
    redis_client.execute_command("ZADD", "risk:index:sensitive", 1, "{")
    with pytest.raises(CorruptState, match="encoded customer ids"):
        names(access)
    with pytest.raises(StoreUnavailable):
        names(f"redis://127.0.0.1:{free_port()}")
    with pytest.raises(UsageError):
        connect_async("http://localhost")


def test_it_goes_on_after_redis_was_away() -> None:
    async def ask(server: EmbeddedRedis) -> list[object]:
        client = connect_async(server.url)
        try:
            board = AsyncRiskBoard(client)
            said: list[object] = [await board.top("churn", 1)]
            server.kill()
            try:
                await board.top("churn", 1)
            except StoreUnavailable:
                said.append("away")
            server.start()
            return [*said, await board.top("churn", 1)]
        finally:
            await client.aclose()

    with EmbeddedRedis() as server:
        client = server.client()
        client.execute_command("ZADD", "risk:index:churn", 1, "c1")
        client.close()
        assert asyncio.run(ask(server)) == [[("c1", 1.0)], "away", [("c1", 1.0)]]


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not there to make certificates")
def test_tls_trusts_what_it_is_told_to_and_nothing_else(tmp_path: Path, access: RedisAccess) -> None:
    authority = Authority(tmp_path, "authority")
    with TlsProxy(authority.sign("server", "DNS:localhost,IP:127.0.0.1"), access.path) as proxy:
        trusting = ssl.create_default_context(cafile=authority.own.cert)
        assert names(RedisAccess("localhost", proxy.port, tls=trusting)) == ["cy", "anna"]
        with pytest.raises(UsageError, match="expected a Redis with a certificate"):
            names(RedisAccess("localhost", proxy.port, tls=ssl.create_default_context()))


def answers(port: int) -> bool:
    client = connect(RedisAccess("127.0.0.1", port), timeout_s=0.5)
    try:
        return bool(client.execute_command("PING"))
    except RedisError:
        return False
    finally:
        client.close()


def test_sentinels_name_the_primary(tmp_path: Path) -> None:
    with EmbeddedRedis(port=0) as primary, sentinel(primary, tmp_path) as port:
        client = primary.client()
        client.execute_command("ZADD", "risk:index:sensitive", 1, "c1")
        client.close()
        known = Sentinels((("127.0.0.1", free_port()), ("127.0.0.1", port)), "risk")
        assert port_of(primary) != port
        until(lambda: answers(port), "a Sentinel that answers")
        assert names(RedisAccess(sentinels=known)) == ["c1"]
        with pytest.raises(StoreUnavailable):
            names(RedisAccess(sentinels=Sentinels((("127.0.0.1", port),), "another")))
