"""A group shares out the alerts: each goes to one consumer, at least once, whoever dies and whatever is trimmed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest

from engine.errors import StoreUnavailable, UsageError
from streams.client import AlertStream, AlertView, AsyncAlertStream, connect_async
from streams.redis.access import RedisAccess
from streams.redis.client import RedisClient, connect
from streams.redis.embedded import EmbeddedRedis
from tests.streams.client.streams import sent
from tests.streams.redis.samples import KEYS


def stream(
    client: RedisClient, consumer: str = "one", *, start: str = "0", idle_ms: int = 0, delivered_only: bool = False
) -> AlertStream:
    made = AlertStream(client, "desk", consumer, start=start, idle_ms=idle_ms, delivered_only=delivered_only)
    made.create()
    return made


def letters(messages: list[AlertView]) -> str:
    return "".join(message.alert_id[0] for message in messages)


def n_waiting(client: RedisClient) -> int:
    n: int = client.execute_command("XPENDING", KEYS.alerts, "desk")["pending"]
    return n


def test_a_group_begins_where_it_is_told(redis_client: RedisClient) -> None:
    sent(redis_client, ("a", "raise"), ("b", "raise"))
    assert letters(stream(redis_client).take()) == "ab"
    late = AlertStream(redis_client, "late", "one")
    assert (late.create(), late.create()) == (True, False)
    assert late.take() == []
    sent(redis_client, ("c", "raise"))
    assert letters(late.take()) == "c"


def test_each_message_goes_to_one_consumer(redis_client: RedisClient) -> None:
    sent(redis_client, *((letter, "raise") for letter in "abcdef"))
    one, two = (stream(redis_client, name, idle_ms=60_000) for name in ("one", "two"))
    taken = [one.take(2), two.take(3), one.take(9), two.take(9)]
    assert [letters(each) for each in taken] == ["ab", "cde", "f", ""]
    assert one.ack(*taken[0], *taken[2]) == 3
    assert (one.ack(*taken[0]), one.ack()) == (0, 0)
    assert n_waiting(redis_client) == 3


def test_a_consumer_that_is_started_anew_gets_what_it_had(redis_client: RedisClient) -> None:
    sent(redis_client, *((letter, "raise") for letter in "abcde"))
    first = stream(redis_client, idle_ms=60_000)
    first.ack(*first.take(1))
    assert letters(first.take(3)) == "bcd"
    again = stream(redis_client, idle_ms=60_000)
    assert [letters(again.take(2)) for _ in range(4)] == ["bc", "d", "e", ""]


def test_what_a_dead_consumer_had_goes_to_another(redis_client: RedisClient) -> None:
    sent(redis_client, *((letter, "raise") for letter in "abc"))
    dead = stream(redis_client, "dead")
    assert letters(dead.take()) == "abc"
    patient = stream(redis_client, "patient", idle_ms=3_600_000)
    assert patient.take() == []
    heir = stream(redis_client, "heir")
    messages = heir.take()
    assert letters(messages) == "abc"
    heir.ack(*messages)
    assert (n_waiting(redis_client), heir.take()) == (0, [])


def test_all_of_a_long_list_of_a_dead_consumer_is_found(redis_client: RedisClient) -> None:
    sent(redis_client, *(("a", "raise") for _ in range(60)))
    busy, dead = stream(redis_client, "busy", idle_ms=10**9), stream(redis_client, "dead", idle_ms=10**9)
    assert (len(busy.take(50)), len(dead.take(50))) == (50, 10)
    redis_client.execute_command("XCLAIM", KEYS.alerts, "desk", "busy", 0, *ids(redis_client)[:50], "IDLE", 0)
    redis_client.execute_command("XCLAIM", KEYS.alerts, "desk", "dead", 0, *ids(redis_client)[50:], "IDLE", 10_000_000)
    heir = stream(redis_client, "heir", idle_ms=5_000_000)
    found = [message for _ in range(20) for message in heir.take(1)]
    assert len({message.stream_id for message in found}) == 10


def ids(client: RedisClient) -> list[str]:
    return [raw.decode() for raw, _ in client.execute_command("XRANGE", KEYS.alerts, "-", "+")]


@pytest.mark.parametrize("again", [True, False], ids=["its own", "a dead one's"])
def test_what_was_trimmed_while_it_waited_is_counted_and_let_go(
    redis_client: RedisClient, again: bool, caplog: pytest.LogCaptureFixture
) -> None:
    sent(redis_client, *((letter, "raise") for letter in "abc"))
    assert letters(stream(redis_client, "dead").take()) == "abc"
    redis_client.execute_command("XTRIM", KEYS.alerts, "MAXLEN", 1)
    heir = stream(redis_client, "dead" if again else "heir")
    with caplog.at_level(logging.WARNING):
        messages = heir.take()
    assert (letters(messages), heir.n_lost) == ("c", 2)
    assert "2 alerts of group desk were trimmed" in caplog.text
    heir.ack(*messages)
    assert n_waiting(redis_client) == 0


def test_only_what_people_should_see(redis_client: RedisClient) -> None:
    sent(redis_client, ("a", "raise"))
    sent(redis_client, ("b", "raise"), held="snoozed")
    sent(redis_client, ("c", "raise"))
    shown = stream(redis_client, delivered_only=True)
    messages = shown.take()
    assert letters(messages) == "ac"
    shown.ack(*messages)
    assert n_waiting(redis_client) == 0


def test_what_nobody_can_read_does_not_stop_the_rest(
    redis_client: RedisClient, caplog: pytest.LogCaptureFixture
) -> None:
    sent(redis_client, ("a", "raise"))
    redis_client.execute_command("XADD", KEYS.alerts, "*", "alert_id", "x")
    sent(redis_client, ("b", "raise"))
    reader = stream(redis_client, idle_ms=60_000)
    assert (letters(reader.take()), reader.n_unreadable) == ("ab", 1)
    assert "acknowledged unread" in caplog.text
    assert n_waiting(redis_client) == 2


def test_a_stream_that_was_made_anew_is_read_from_its_beginning(redis_client: RedisClient) -> None:
    reader = stream(redis_client, start="$", idle_ms=60_000)
    redis_client.execute_command("FLUSHALL")
    sent(redis_client, ("a", "raise"), ("b", "raise"))
    seen = reader.take() + reader.take()
    assert letters(seen) == "ab"
    assert [message.identity for message in seen] == [(0, "a" * 16, 0), (0, "b" * 16, 1)]


def test_names_are_needed(redis_client: RedisClient) -> None:
    with pytest.raises(UsageError, match="names of a group and of a consumer"):
        AlertStream(redis_client, "desk", "")


@pytest.fixture
def taker(redis_server: EmbeddedRedis, redis_client: RedisClient) -> Iterator[RedisClient]:
    """The user of the operations page who may take alerts and nothing else."""
    rules = "~risk:alerts resetchannels -@all +ping +select +xgroup|create +xreadgroup +xack +xautoclaim"
    redis_client.execute_command("ACL", "SETUSER", "taker", "reset", "on", ">pass", *rules.split())
    client = connect(RedisAccess(path=RedisAccess.parse(redis_server.url).path, user="taker", password="pass"))
    yield client
    client.close()
    redis_client.execute_command("ACL", "DELUSER", "taker")


def test_a_user_who_may_only_take_alerts_is_enough(redis_client: RedisClient, taker: RedisClient) -> None:
    sent(redis_client, *((letter, "raise") for letter in "abc"))
    stream(taker, "dead").take()
    redis_client.execute_command("XTRIM", KEYS.alerts, "MAXLEN", 2)
    heir = stream(taker, "heir")
    assert heir.ack(*heir.take(block_ms=1)) == 2


def test_the_async_stream_wakes_up_when_an_alert_comes(redis_server: EmbeddedRedis, redis_client: RedisClient) -> None:
    async def first() -> tuple[list[AlertView], list[AlertView], int]:
        client = connect_async(redis_server.url)
        try:
            reader = AsyncAlertStream(client, "desk", "one", start="0")
            await reader.create()
            waiting = asyncio.create_task(reader.take(block_ms=4_000))
            while not blocked():
                await asyncio.sleep(0.005)
            sent(redis_client, ("a", "raise"))
            messages = await waiting
            return messages, await reader.take(), await reader.ack(*messages)
        finally:
            await client.aclose()

    def blocked() -> bool:
        n: int = redis_client.info("clients")["blocked_clients"]
        return n > 0

    messages, more, n = asyncio.run(first())
    assert (letters(messages), more, n) == ("a", [], 1)


def test_a_stream_goes_on_after_redis_was_away() -> None:
    with EmbeddedRedis() as server:
        client = server.client()
        sent(client, ("a", "raise"), ("b", "raise"))
        reader = stream(client, idle_ms=60_000)
        reader.ack(*reader.take(1))
        server.kill()
        with pytest.raises(StoreUnavailable):
            reader.take()
        server.start()
        assert letters(reader.take()) == "b"
        client.close()
