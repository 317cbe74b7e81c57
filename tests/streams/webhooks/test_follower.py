"""The stream as the follower finds it: a real Redis, trimmed, emptied, restored, away."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from operator import eq
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.errors import StoreUnavailable
from streams.child_process import free_port
from streams.redis.client import RedisClient, connect
from streams.redis.embedded import EmbeddedRedis
from streams.redis.keys import Keys
from streams.webhooks.dead_list import standing
from streams.webhooks.follower import Follower, StreamReader
from tests.streams.webhooks.stage import Receiver, Stage, endpoint, fields, message

KEYS = Keys()


def add(client: RedisClient, *numbers: int, stream_id: str = "*", **more: Any) -> str:
    last = b""
    for seq in numbers:
        told = fields("a", seq, **more)
        last = client.execute_command("XADD", KEYS.alerts, stream_id, *(part for pair in told.items() for part in pair))
    return last.decode()


class Follow:
    """A follower that runs beside a test."""

    def __init__(self, stage: Stage, client: RedisClient) -> None:
        self.stage = stage
        self.reader = StreamReader(client, KEYS, block_ms=10)
        self.follower = Follower(self.reader, stage.sender, stage.spool, stage.clock)
        self.stopping = asyncio.Event()

    async def __aenter__(self) -> Follow:
        await self.follower.begin(KEYS.alerts, "now")
        self._task = asyncio.create_task(self.follower.run(self.stopping))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stopping.set()
        await self._task


def play(tmp_path: Path, client: RedisClient, scene: Callable[[Stage, Receiver, Follow], Awaitable[None]]) -> None:
    async def whole() -> None:
        receiver = Receiver()
        await receiver.start()
        async with Stage(tmp_path / "spool", endpoint(receiver.url)) as stage, Follow(stage, client) as follow:
            await scene(stage, receiver, follow)
        await receiver.stop()

    asyncio.run(whole())


def keys(*numbers: int) -> list[str]:
    return [message("a", seq).key for seq in numbers]


def test_messages_arrive_and_the_place_moves_with_them(tmp_path: Path, redis_client: RedisClient) -> None:
    async def scene(stage: Stage, receiver: Receiver, _: Follow) -> None:
        last = await asyncio.to_thread(add, redis_client, 1, 2, 3)
        await stage.until(lambda: receiver.taken == keys(1, 2, 3))
        assert stage.spool.position() == last

    play(tmp_path, redis_client, scene)


def test_what_is_read_has_its_guidance_and_what_cannot_be_read_is_counted(
    tmp_path: Path, redis_client: RedisClient
) -> None:
    redis_client.execute_command("HSET", KEYS.guidance, "calm", b'{"say": {"en": "Listen."}, "avoid": {}}')

    async def scene(stage: Stage, receiver: Receiver, _: Follow) -> None:
        redis_client.execute_command("XADD", KEYS.alerts, "*", "alert_id", "x", "line", "{")
        add(redis_client, 1, guidance="calm")
        await stage.until(lambda: len(receiver.taken) == 1)
        told = orjson.loads(receiver.requests[0][1])
        assert told["data"]["guidance"] == {"id": "calm", "say": {"en": "Listen."}, "avoid": {}}
        assert standing(stage.spool, stage.clock.now).counts["unreadable"] == 1

    play(tmp_path, redis_client, scene)


def test_a_new_spool_begins_now_or_with_the_oldest(tmp_path: Path, redis_client: RedisClient) -> None:
    last = add(redis_client, 1, 2)
    for begin, expected in (("now", last), ("earliest", "0-0")):

        async def scene(name: str, begin: str, expected: str) -> None:
            stage = Stage(tmp_path / name, endpoint("http://127.0.0.1:1/"), new=True)
            async with stage:
                follower = Follower(
                    StreamReader(redis_client, KEYS, block_ms=10), stage.sender, stage.spool, stage.clock
                )
                await follower.begin(KEYS.alerts, begin)
                assert stage.spool.position() == expected

        asyncio.run(scene(begin, begin, expected))


def test_a_message_that_comes_twice_goes_out_once(tmp_path: Path, redis_client: RedisClient) -> None:
    async def scene(stage: Stage, receiver: Receiver, _: Follow) -> None:
        add(redis_client, 1, 2, 1, 2, 3)
        await stage.until(lambda: receiver.got == keys(1, 2, 3))
        await stage.settle()
        assert standing(stage.spool, stage.clock.now).counts["duplicates"] == 2

    play(tmp_path, redis_client, scene)


def test_a_stream_that_was_trimmed_past_our_place_is_noticed(redis_client: RedisClient) -> None:
    reader = StreamReader(redis_client, KEYS, block_ms=10)
    place = add(redis_client, 1)
    add(redis_client, 2, 3)
    found = reader.read(place, "0-0")
    assert found is not None
    assert not found.gap
    redis_client.execute_command("XTRIM", KEYS.alerts, "MAXLEN", 1)
    found = reader.read(place, "0-0")
    assert found is not None
    assert found.gap
    assert [each.seq for each in found.messages] == [3]
    # From the beginning nothing can have been cut off that we wanted.
    found = reader.read("0-0", "0-0")
    assert found is not None
    assert not found.gap


def test_messages_that_were_trimmed_away_are_counted_and_told(
    tmp_path: Path, redis_client: RedisClient, caplog: pytest.LogCaptureFixture
) -> None:
    async def scene(stage: Stage, receiver: Receiver, follow: Follow) -> None:
        add(redis_client, 1)
        await stage.until(lambda: receiver.taken == keys(1))
        redis_client.execute_command("DEL", KEYS.alerts)
        add(redis_client, 5, 6)
        await stage.until(lambda: receiver.taken == keys(1, 5, 6))
        counts = standing(stage.spool, stage.clock.now).counts
        assert (counts["gaps"], counts["missing"]) == (1, 3)

    play(tmp_path, redis_client, scene)
    assert "3 messages are missing by the counters of the lanes" in caplog.text


def test_a_stream_that_ends_before_our_place_is_read_again_without_repeats(
    tmp_path: Path, redis_client: RedisClient
) -> None:
    reader = StreamReader(redis_client, KEYS, block_ms=10)
    for stream_id, seq in (("5-0", 1), ("6-0", 2), ("7-0", 3)):
        add(redis_client, seq, stream_id=stream_id)
    assert reader.read("7-0", "5-0") is None
    # Restored as it was after the second message, then other messages under ids that we were past.
    redis_client.execute_command("XDEL", KEYS.alerts, "7-0")
    found = reader.read("7-0", "5-0")
    assert found is not None
    assert (found.position, found.rollback, list(found.messages)) == ("5-0", True, [])
    # A clock that was set back far: nothing of before counts.
    found = reader.read("7-0", "7-0")
    assert found is not None
    assert found.position == "0-0"

    async def scene(stage: Stage, receiver: Receiver, _: Follow) -> None:
        add(redis_client, 4)
        await stage.until(lambda: receiver.taken == keys(4))
        redis_client.execute_command("DEL", KEYS.alerts)
        add(redis_client, 4, stream_id="10-0")
        add(redis_client, 5, stream_id="11-0")
        await stage.until(lambda: receiver.taken == keys(4, 5))
        assert standing(stage.spool, stage.clock.now).counts["rollbacks"] == 1

    redis_client.execute_command("DEL", KEYS.alerts)
    play(tmp_path, redis_client, scene)


def test_an_absence_of_redis_is_waited_out(tmp_path: Path) -> None:
    port = free_port()
    client = connect(f"redis://127.0.0.1:{port}/0")

    async def scene(stage: Stage, receiver: Receiver) -> None:
        for seq in (1, 2):
            with EmbeddedRedis(tmp_path / "redis", port=port) as server:
                other = server.client()
                add(other, seq)
                other.close()

                expected = keys(*range(1, seq + 1))
                await stage.until_moving(partial(eq, receiver.taken, expected))
            for _ in range(5):
                await asyncio.sleep(0.02)
                stage.clock.move_to(stage.clock.now + 10_000)
        assert standing(stage.spool, stage.clock.now).counts["rollbacks"] == 0

    async def whole() -> None:
        receiver = Receiver()
        await receiver.start()
        async with Stage(tmp_path / "spool", endpoint(receiver.url)) as stage, Follow(stage, client):
            await scene(stage, receiver)
        await receiver.stop()

    asyncio.run(whole())
    with pytest.raises(StoreUnavailable):
        StreamReader(client, KEYS).newest()
    client.close()
