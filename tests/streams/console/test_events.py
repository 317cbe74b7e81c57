"""Alerts as they happen: nothing is missed, nobody waits for anybody, one encoding for all."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientTimeout
from yarl import URL

from streams.console import follower as follower_module
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from streams.redis.keys import Keys
from tests.streams.console.board import ALERT, PREFIX, add_fact, put_alert, put_customer, say_inputs
from tests.streams.console.running import Browser, Clock, Console, law

KEYS = Keys(PREFIX)
WAIT_S = 10.0


class Stream:
    """An open `GET /api/events`; `seen` has (event, id, data) of all that came."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self.seen: list[tuple[str, str, Any]] = []

    async def next(self, *kinds: str) -> tuple[str, str, Any]:
        """The next message of one of some kinds; others are passed over, but kept in `seen`."""
        async with asyncio.timeout(WAIT_S):
            while True:
                fields: dict[str, str] = {}
                while line := (await self._content.readline()).rstrip(b"\n"):
                    name, _, value = line.decode().partition(": ")
                    fields[name] = value
                if "event" not in fields:
                    if not fields and self._content.at_eof():
                        raise EOFError
                    continue
                self.seen.append((fields["event"], fields.get("id", ""), orjson.loads(fields["data"])))
                if not kinds or fields["event"] in kinds:
                    return self.seen[-1]


@asynccontextmanager
async def listening(browser: Browser, after: str = "", **headers: str) -> AsyncIterator[Stream]:
    url = URL(browser.server.url + "/api/events")
    given = {"Last-Event-ID": after, **headers} if after else headers
    async with browser.client.get(url, headers=given, timeout=ClientTimeout(total=None)) as response:
        assert response.status == 200
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert response.headers["Cache-Control"] == "no-store"
        assert "default-src 'none'" in response.headers["Content-Security-Policy"]
        yield Stream(response.content)


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(WAIT_S):
        while not what():
            await asyncio.sleep(0.005)


async def inputs(stream: Stream, word: str) -> None:
    async with asyncio.timeout(WAIT_S):
        while (await stream.next("input"))[2]["lanes"] != dict.fromkeys(map(str, range(8)), word):
            pass


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follower_module, "_LOOK_S", 0.05)
    monkeypatch.setattr(follower_module, "_AWAY_S", 0.05)


@pytest.fixture
def board(redis_client: RedisClient) -> RedisClient:
    say_inputs(redis_client, Clock()())
    put_customer(redis_client)
    return redis_client


def test_an_alert_reaches_an_open_page_with_the_state_that_it_has(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "viewer")
        await until(lambda: console.server.follower.place is not None)
        async with listening(anna) as stream:
            kind, _, data = await stream.next()
            assert kind == "input"
            assert set(data["lanes"]) == {str(lane) for lane in range(8)}
            stream_id = put_alert(board)
            kind, place, data = await stream.next("alert")
            assert place == f"{stream_id}/0-0"
            assert (data["op"], data["stream_id"]) == ("raise", stream_id)
            row = data["alert"]
            assert (row["alert_id"], row["flag"], row["category"]) == (ALERT, "repeat_request", "billing")
            assert (row["sensitive"], row["input"], row["acked_by"], row["op"]) == (True, "fresh", None, "raise")
            fact_id = add_fact(board, by="otto")
            kind, place, data = await stream.next("fact")
            assert place == f"{stream_id}/{fact_id}"
            assert (data["fact"], data["state"], data["by"]) == ("ack", "up", "otto")
            assert (data["alert"]["acked_by"], data["alert"]["standing"]) == ("otto", "acked")
            put_alert(board, op="clear", seq=2)
            assert (await stream.next("alert"))[2]["alert"]["closed_at"] is not None

    law(test, redis_server, tmp_path)


def test_an_alert_whose_state_is_gone_is_shown_from_its_line(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "viewer")
        await until(lambda: console.server.follower.place is not None)
        async with listening(anna) as stream:
            await stream.next("input")
            put_alert(board, "00000000000000aa", state=False)
            row = (await stream.next("alert"))[2]["alert"]
            assert (row["customer_id"], row["count"], row["route"]) == ("anna@example.org", 2, "team:a")

    law(test, redis_server, tmp_path)


def test_a_page_that_comes_back_gets_what_it_missed_and_nothing_twice(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "viewer")
        first_id = put_alert(board, "0000000000000001")
        await until(lambda: str(console.server.follower.place).startswith(first_id))
        async with listening(anna) as stream:
            place = (await stream.next("input"))[1]
        ids = [put_alert(board, f"{n:016x}", seq=n) for n in range(2, 30)]
        await until(lambda: str(console.server.follower.place).startswith(ids[-1]))
        async with listening(anna, place) as stream:
            put_alert(board, f"{30:016x}", seq=30)
            got = [(await stream.next("alert"))[2]["alert"]["alert_id"] for _ in range(2, 31)]
            assert got == [f"{n:016x}" for n in range(2, 31)]
            last = stream.seen[-1][1]
        # A list says where to begin, too, for a page that read it before it listened.
        listed = (await anna.get("/api/alerts")).json
        assert listed["place"] == last
        async with anna.client.get(URL(anna.server.url + f"/api/events?after={place}")) as response:
            first = Stream(response.content)
            assert (await first.next("alert"))[2]["alert"]["alert_id"] == f"{2:016x}"

    law(test, redis_server, tmp_path)


@pytest.mark.parametrize("how", ["trimmed", "made anew", "too much", "ahead", "no id"])
def test_a_page_whose_place_is_gone_is_told_to_read_anew(
    how: str, redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "_RESUME", 5)

    async def test(console: Console) -> None:
        anna = await console.person("anna", "viewer")
        ids = [put_alert(board, f"{n:016x}", seq=n) for n in range(1, 12)]
        await until(lambda: str(console.server.follower.place).startswith(ids[-1]))
        place = {"trimmed": ids[-3], "made anew": "5-1", "too much": ids[1], "ahead": "9" * 15 + "-0", "no id": "x"}[
            how
        ]
        if how == "trimmed":
            board.execute_command("XTRIM", KEYS.alerts, "MAXLEN", 1)
        async with listening(anna, f"{place}/0-0") as stream:
            await stream.next("input")
            kinds = [kind for kind, _, _ in stream.seen]
            assert kinds == (["input"] if how == "no id" else ["reset", "input"])
            assert stream.seen[0][1] == f"{ids[-1]}/0-0"

    law(test, redis_server, tmp_path)


def test_a_page_that_does_not_keep_up_is_cut_off_and_the_others_are_not(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follower_module, "_QUEUE", 8)

    async def test(console: Console) -> None:
        anna, slow = await console.person("anna", "viewer"), await console.person("otto", "viewer")
        await until(lambda: console.server.follower.place is not None)
        # A socket that is opened and never read from.
        tiny = socket.socket()
        tiny.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        tiny.connect(("127.0.0.1", URL(console.server.url).port))
        tiny.setblocking(False)
        reader, writer = await asyncio.open_connection(sock=tiny, limit=1024)
        writer.write(
            f"GET /api/events HTTP/1.1\r\nHost: {URL(console.server.url).authority}\r\n"
            f"Cookie: henji_session={slow.token}\r\n\r\n".encode()
        )
        await until(lambda: console.server.follower.n_listeners == 1)
        async with listening(anna) as stream:
            await stream.next("input")
            category = "x" * 20_000
            n = 0
            while console.server.follower.n_listeners == 2:
                for _ in range(5):
                    n += 1
                    put_alert(board, f"{n:016x}", seq=n, category=category)
                    assert (await stream.next("alert"))[2]["alert"]["alert_id"] == f"{n:016x}"
                assert n < 2_000
            assert console.server.follower.n_listeners == 1
        writer.close()
        del reader

    law(test, redis_server, tmp_path)


def test_two_hundred_pages_cost_one_encoding(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []
    message = follower_module._message

    def counted(event: str, place: Any, data: Any) -> bytes:
        made.append(event)
        return message(event, place, data)

    monkeypatch.setattr(follower_module, "_message", counted)
    pages = 60

    async def test(console: Console) -> None:
        people = [await console.person(f"p{n}", "viewer") for n in range(pages // 10)]
        await until(lambda: console.server.follower.place is not None)

        async def follow(browser: Browser, ready: asyncio.Event) -> list[str]:
            async with listening(browser) as stream:
                await stream.next("input")
                if console.server.follower.n_listeners == pages:
                    ready.set()
                return [(await stream.next("alert"))[2]["alert"]["alert_id"] for _ in range(20)]

        ready = asyncio.Event()
        tasks = [asyncio.create_task(follow(people[n % len(people)], ready)) for n in range(pages)]
        await ready.wait()
        for n in range(1, 21):
            put_alert(board, f"{n:016x}", seq=n)
        for got in await asyncio.gather(*tasks):
            assert got == [f"{n:016x}" for n in range(1, 21)]
        assert made.count("alert") == 20

    law(test, redis_server, tmp_path)


def test_lanes_whose_worker_is_dead_are_stale(redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "viewer")
        async with listening(anna) as stream:
            await inputs(stream, "fresh")
            console.clock.forward(s=29)
            say_inputs(board, console.clock(), "stale")
            await inputs(stream, "stale")
            say_inputs(board, console.clock())
            await inputs(stream, "fresh")
            console.clock.forward(s=31)
            await inputs(stream, "stale")

    law(test, redis_server, tmp_path)


def test_a_redis_that_was_away_loses_no_page_and_no_alert(tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "viewer")
        await until(lambda: console.server.follower.place is not None)
        async with listening(anna) as stream:
            await stream.next("input")
            client = server.client()
            say_inputs(client, console.clock())
            put_alert(client)
            await stream.next("alert")
            client.close()
            await inputs(stream, "fresh")
            server.kill()
            await inputs(stream, "unknown")
            answer = await anna.get("/api/alerts")
            assert (answer.status, answer.code) == (503, "store")
            assert (await anna.get("/api/session")).json["user"]["name"] == "anna"
            server.start()
            client = server.client()
            put_alert(client, "00000000000000bb", seq=2)
            assert (await stream.next("alert"))[2]["alert"]["alert_id"] == "00000000000000bb"
            assert "reset" not in [kind for kind, _, _ in stream.seen]
            # One that comes back empty is another matter: what was shown is not so any more.
            client.execute_command("FLUSHALL")
            client.close()
            server.kill()
            server.start()
            await stream.next("reset")

    with EmbeddedRedis(tmp_path / "redis") as server:
        law(test, server, tmp_path)


def test_a_page_stops_listening_when_its_session_ends(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.console.board_door._CHECK_S", 0.0)

    async def test(console: Console) -> None:
        for end in ("role", "locked", "idle", "logout"):
            anna = await console.person(end, "viewer")
            async with listening(anna) as stream:
                await stream.next("input")
                match end:
                    case "role":
                        console.server.accounts.change(end, role="agent")
                    case "locked":
                        console.server.accounts.change(end, disabled=True)
                    case "idle":
                        console.clock.forward(minutes=31)
                    case _:
                        await anna.post("/api/logout")
                put_alert(board)
                put_alert(board, seq=2)
                with pytest.raises(EOFError):
                    await stream.next("never")

    law(test, redis_server, tmp_path)


def test_nobody_keeps_any_number_of_pages_open(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.console.board_door._MOST_PER_VISITOR", 2)

    async def test(console: Console) -> None:
        anna = await console.person("anna", "viewer")
        async with listening(anna) as one, listening(anna) as two:
            await one.next()
            await two.next()
            assert (await anna.get("/api/events")).code == "too_many"
        await until(lambda: console.server.follower.n_listeners == 0)
        async with listening(anna) as three:
            await three.next()

    law(test, redis_server, tmp_path)


def test_an_entry_that_nobody_can_read_stops_no_other(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "viewer")
        await until(lambda: console.server.follower.place is not None)
        async with listening(anna) as stream:
            place = (await stream.next("input"))[1]
            board.execute_command("XADD", KEYS.alerts, "*", "alert_id", "00", "line", "{")
            await stream.next("reset")
            put_alert(board)
            await stream.next("alert")
        async with listening(anna, place) as stream:
            assert (await stream.next())[0] == "reset"
        board.execute_command("HSET", KEYS.alert(ALERT), "count", "many")
        async with listening(anna) as stream:
            add_fact(board)
            await stream.next("reset")

    law(test, redis_server, tmp_path)


def test_a_console_that_starts_behind_an_entry_that_nobody_can_read_follows_the_rest(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    board.execute_command("XADD", KEYS.alerts, "*", "alert_id", "00", "line", "{")

    async def test(console: Console) -> None:
        anna = await console.person("anna", "viewer")
        await until(lambda: console.server.follower.place is not None)
        async with listening(anna) as stream:
            await stream.next("input")
            put_alert(board)
            await stream.next("alert")

    law(test, redis_server, tmp_path)
