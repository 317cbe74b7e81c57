"""The sender with real receivers on this machine, and ten minutes that pass at once."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web

from engine.errors import StoreUnavailable
from streams.webhooks.dead_list import dead_messages, resend, resume, standing
from streams.webhooks.endpoint import Filter, SpoolLimits
from streams.webhooks.message import Message
from streams.webhooks.signature import parse_secret, sign
from streams.webhooks.spool import Spool
from tests.streams.webhooks.stage import SECRET, Receiver, Stage, endpoint, intake, message, raw_receiver

MINUTE = 60_000


def some(n_alerts: int = 6, n_each: int = 4) -> list[Message]:
    ops = ("raise", *["update"] * (n_each - 2), "clear")
    return [
        message(f"{alert:x}", seq=1 + step * n_alerts + alert, op=ops[step])
        for step in range(n_each)
        for alert in range(n_alerts)
    ]


def by_alert(keys: list[str]) -> dict[str, list[int]]:
    lines: dict[str, list[int]] = defaultdict(list)
    for key in keys:
        alert, _, seq = key.split(":")
        lines[alert].append(int(seq))
    return lines


def assert_all_in_order(receiver: Receiver, messages: list[Message]) -> None:
    assert sorted(receiver.taken) == sorted(each.key for each in messages)
    for line in by_alert(receiver.taken).values():
        assert line == sorted(line)


def test_every_message_arrives_once_and_in_order_per_alert(tmp_path: Path) -> None:
    async def play() -> None:
        receiver = Receiver()
        await receiver.start()
        async with Stage(tmp_path / "spool", endpoint(receiver.url)) as stage:
            await stage.sender.accept(intake(*some()))
            await stage.settle()
            assert_all_in_order(receiver, some())
            assert standing(stage.spool, stage.clock.now).endpoints[0].delivered == 24
            assert stage.spool.rows("SELECT count(*) FROM payload") == [(0,)]
        await receiver.stop()

    asyncio.run(play())


def test_a_receiver_that_is_down_for_ten_minutes_loses_nothing(tmp_path: Path) -> None:
    async def play() -> None:
        receiver, well = Receiver(), Receiver()
        await well.start()
        messages = some()
        async with Stage(tmp_path / "spool", endpoint(receiver.url), endpoint(well.url, "well")) as stage:
            await stage.sender.accept(intake(*messages[:12]))
            await stage.pass_time(5 * MINUTE)
            await stage.sender.accept(intake(*messages[12:]))
            await stage.pass_time(5 * MINUTE)
            # The other receiver has everything, and the one that is down was not worn out by attempts.
            assert_all_in_order(well, messages)
            down = standing(stage.spool, stage.clock.now).endpoints[0]
            assert (down.waiting, down.dead) == (24, 0)
            assert 5 < down.attempts < 40
            await receiver.start()
            await stage.pass_time(2 * MINUTE)
            assert_all_in_order(receiver, messages)
        await receiver.stop()
        await well.stop()

    asyncio.run(play())


@pytest.mark.parametrize("status", [500, 503, 429, 408, 301, 302, 307])
def test_a_receiver_that_fails_for_ten_minutes_loses_nothing(tmp_path: Path, status: int) -> None:
    async def play() -> None:
        receiver = Receiver()
        receiver.status, receiver.headers = status, {"Location": receiver.url + "/elsewhere"}
        await receiver.start()
        async with Stage(tmp_path / "spool", endpoint(receiver.url)) as stage:
            await stage.sender.accept(intake(*some()))
            await stage.pass_time(10 * MINUTE)
            assert receiver.taken == []
            assert len(receiver.got) < 40
            receiver.status = 200
            await stage.pass_time(2 * MINUTE)
            assert_all_in_order(receiver, some())
        await receiver.stop()

    asyncio.run(play())


def test_a_receiver_that_answers_garbage_loses_nothing(tmp_path: Path) -> None:
    async def garbage(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\xff\x13 not HTTP at all \x1b[31m\r\n" * 50)
        await writer.drain()

    async def play() -> None:
        async with (
            raw_receiver(garbage) as url,
            Stage(tmp_path / "spool", endpoint(url)) as stage,
        ):
            await stage.sender.accept(intake(*some()))
            await stage.pass_time(10 * MINUTE)
            found = standing(stage.spool, stage.clock.now).endpoints[0]
            assert (found.waiting, found.dead, found.delivered) == (24, 0, 0)
            assert found.why == "an answer that is not HTTP"

    asyncio.run(play())


def test_a_slow_receiver_holds_back_nobody_else(tmp_path: Path) -> None:
    async def play() -> None:
        go = asyncio.Event()

        async def slowly(_request: web.Request, _number: int) -> web.StreamResponse:
            await go.wait()
            return web.Response()

        slow, quick = Receiver(), Receiver()
        slow.answer = slowly
        await slow.start()
        await quick.start()
        async with Stage(tmp_path / "spool", endpoint(slow.url, "slow"), endpoint(quick.url, "quick")) as stage:
            await stage.sender.accept(intake(*some()))
            await stage.until(lambda: len(quick.taken) == 24)
            # As many at a time as it is allowed, each of another alert.
            assert len(slow.got) == len(by_alert(slow.got)) == 4
            go.set()
            await stage.settle()
            assert sorted(slow.got) == sorted(quick.taken)
        await slow.stop()
        await quick.stop()

    asyncio.run(play())


def test_a_name_server_that_is_silent_holds_up_nobody_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        go = threading.Event()
        ask = socket.getaddrinfo

        def silent(host: str, *more: Any) -> Any:
            if host == "silent.example":
                go.wait(10)
            return ask("127.0.0.1", *more)

        monkeypatch.setattr("streams.webhooks.resolver.socket.getaddrinfo", silent)
        receiver = Receiver()
        await receiver.start()
        names = [endpoint(f"http://{name}.example:{receiver.port}/hook", name) for name in ("silent", "quick")]
        stage = Stage(tmp_path / "spool", *(replace(each, concurrency=24) for each in names))
        await stage.sender.start()
        await stage.sender.accept(intake(*some(24, 2)))
        await stage.until(lambda: len(receiver.taken) == 48)
        began = asyncio.get_running_loop().time()
        await stage.sender.stop(grace_s=0.05)
        assert asyncio.get_running_loop().time() - began < 5
        stage.spool.close()
        go.set()
        await receiver.stop()

    asyncio.run(play())


def test_an_answer_that_the_disk_does_not_take_is_noted_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        receiver = Receiver()
        await receiver.start()
        async with Stage(tmp_path / "spool", endpoint(receiver.url)) as stage:
            write = stage.spool.settle
            refused: list[object] = []

            def settle(settled: Any) -> None:
                if len(refused) < 3:
                    refused.append(settled)
                    raise StoreUnavailable("the disk is full")
                write(settled)

            monkeypatch.setattr(stage.spool, "settle", settle)
            await stage.sender.accept(intake(message("a", 1), message("a", 2)))
            await stage.until(lambda: len(refused) == 1)
            # The next of the line waits for the note.
            assert receiver.taken == [message("a", 1).key]

            await stage.until_moving(lambda: len(receiver.taken) == 2)
            await stage.settle()
            assert stage.spool.rows("SELECT count(*) FROM message") == [(0,)]
        await receiver.stop()

    asyncio.run(play())


def test_a_message_that_is_refused_holds_back_its_own_alert_alone(tmp_path: Path) -> None:
    async def play() -> None:
        receiver = Receiver()

        async def refuse_one(request: web.Request, _number: int) -> web.StreamResponse:
            key = request.headers["webhook-id"]
            if key.startswith(f"{2:016x}"):
                return web.Response(status=500, text="no\x1b[31m \u202e")
            receiver.taken.append(key)
            return web.Response()

        receiver.answer = refuse_one
        await receiver.start()
        async with Stage(tmp_path / "spool", endpoint(receiver.url, max_attempts=5)) as stage:
            await stage.sender.accept(intake(*some()))
            await stage.settle()
            assert len(receiver.taken) == 20
            await stage.pass_time(30 * MINUTE)
            dead = dead_messages(stage.spool)
            assert (dead[0].attempts, dead[0].key.split(":")[2]) == (5, "3")
            assert dead[0].why == "500: no [31m; tried 5 times"
        await receiver.stop()

    asyncio.run(play())


def test_what_is_dead_is_sent_again_on_request(tmp_path: Path) -> None:
    async def play() -> None:
        receiver = Receiver()
        receiver.status = 404
        await receiver.start()
        async with Stage(tmp_path / "spool", endpoint(receiver.url)) as stage:
            await stage.sender.accept(intake(*some(2, 2)))
            await stage.pass_time(MINUTE)
            dead = dead_messages(stage.spool)
            assert [each.why for each in dead] == ["404"] * 4
            receiver.status = 200
            with Spool(tmp_path / "spool") as other:  # as another process would
                assert resend(other, [each.number for each in dead], None, stage.clock.now) == 4
            await stage.until_moving(lambda: len(receiver.taken) == 4)
            await stage.settle()
            assert_all_in_order(receiver, some(2, 2))
            assert dead_messages(stage.spool) == []
        await receiver.stop()

    asyncio.run(play())


def test_an_endpoint_that_is_gone_is_left_alone_until_somebody_says_so(tmp_path: Path) -> None:
    async def play() -> None:
        receiver = Receiver()
        receiver.status = 410
        await receiver.start()
        async with Stage(tmp_path / "spool", endpoint(receiver.url, concurrency=1)) as stage:
            await stage.sender.accept(intake(*some()))
            await stage.pass_time(60 * MINUTE)
            assert len(receiver.got) == 1
            assert standing(stage.spool, stage.clock.now).endpoints[0].state == "gone"
        async with Stage(tmp_path / "spool", endpoint(receiver.url)) as stage:
            await stage.pass_time(60 * MINUTE)
            assert len(receiver.got) == 1
            receiver.status = 200
            with Spool(tmp_path / "spool") as other:
                resume(other, "crm")
            await stage.until_moving(lambda: len(receiver.taken) == 24)
            await stage.settle()
            assert_all_in_order(receiver, some())
            assert standing(stage.spool, stage.clock.now).endpoints[0].state == "ok"
        await receiver.stop()

    asyncio.run(play())


def test_what_waits_too_long_is_dead_also_if_it_was_never_tried(tmp_path: Path) -> None:
    async def play() -> None:
        receiver = Receiver()  # never started
        async with Stage(tmp_path / "spool", endpoint(receiver.url, max_age_ms=60 * MINUTE)) as stage:
            await stage.sender.accept(intake(*some()))
            await stage.pass_time(61 * MINUTE)
            assert len(dead_messages(stage.spool)) == 24
            assert stage.sender.waiting() == 0

    asyncio.run(play())


def test_retry_after_is_honoured(tmp_path: Path) -> None:
    async def play() -> None:
        receiver = Receiver()
        receiver.status, receiver.headers = 429, {"Retry-After": "300"}
        await receiver.start()
        async with Stage(tmp_path / "spool", endpoint(receiver.url, concurrency=1)) as stage:
            await stage.sender.accept(intake(*some()))
            await stage.pass_time(5 * MINUTE - 1)
            assert len(receiver.got) == 1
            receiver.status = 200
            await stage.pass_time(MINUTE)
            assert len(receiver.taken) == 24
        await receiver.stop()

    asyncio.run(play())


def test_what_waited_at_the_end_is_delivered_after_the_next_start(tmp_path: Path) -> None:
    async def play() -> None:
        receiver = Receiver()
        async with Stage(tmp_path / "spool", endpoint(receiver.url)) as stage:
            await stage.sender.accept(intake(*some()))
            await stage.pass_time(MINUTE)
        await receiver.start()
        async with Stage(tmp_path / "spool", endpoint(receiver.url)) as stage:
            await stage.pass_time(5 * MINUTE)
            assert_all_in_order(receiver, some())
        await receiver.stop()

    asyncio.run(play())


def test_an_attempt_that_does_not_end_in_time_is_made_again_after_the_next_start(tmp_path: Path) -> None:
    async def play() -> None:
        async def never(_request: web.Request, _number: int) -> web.StreamResponse:
            await asyncio.Event().wait()
            raise AssertionError

        receiver = Receiver()
        receiver.answer = never
        await receiver.start()
        stage = Stage(tmp_path / "spool", endpoint(receiver.url))
        await stage.sender.start()
        await stage.sender.accept(intake(message("a", 1)))
        await stage.until(lambda: len(receiver.got) == 1)
        await stage.sender.stop(grace_s=0.05)
        stage.spool.close()
        receiver.answer = None
        async with Stage(tmp_path / "spool", endpoint(receiver.url)) as stage:
            await stage.settle()
            assert receiver.got == [message("a", 1).key] * 2
        await receiver.stop()

    asyncio.run(play())


def test_a_full_spool_reads_no_more_until_there_is_room(tmp_path: Path) -> None:
    async def play() -> None:
        receiver = Receiver()
        limits = SpoolLimits(max_messages=24)
        async with Stage(tmp_path / "spool", endpoint(receiver.url), limits=limits) as stage:
            await stage.sender.accept(intake(*some(5, 4)))
            assert stage.sender.room.is_set()
            await stage.sender.accept(intake(*(message("f", 100 + i) for i in range(4))))
            assert not stage.sender.room.is_set()
            await receiver.start()
            await stage.pass_time(5 * MINUTE)
            assert stage.sender.room.is_set()
        await receiver.stop()

    asyncio.run(play())


def test_the_request_is_signed_and_carries_the_line_and_the_envelope(tmp_path: Path) -> None:
    async def play() -> None:
        receiver = Receiver()
        await receiver.start()
        async with Stage(tmp_path / "spool", endpoint(receiver.url)) as stage:
            await stage.sender.accept(intake(message("a", 7, lane=3, held="", guidance="calm")))
            await stage.settle()
            ((headers, body),) = receiver.requests
            assert headers["webhook-id"] == "000000000000000a:3:7"
            assert headers["webhook-timestamp"] == str(stage.clock.now // 1000)
            signature = sign(parse_secret(SECRET), headers["webhook-id"], stage.clock.now // 1000, body)
            assert headers["webhook-signature"] == signature
            assert headers["content-type"] == "application/json"
            told = orjson.loads(body)
            assert told["type"] == "henji.alert.raise"
            assert told["timestamp"] == "2023-11-14T22:13:20.007Z"
            assert list(told["data"]) == [
                *("alert", "lane", "seq", "held", "route", "priority", "guidance", "scene"),
            ]
            assert told["data"]["scene"] == [[1, "request", "billing", "web", None, None]]
            assert told["data"]["guidance"] == {"id": "calm", "say": {}, "avoid": {}}
        await receiver.stop()

    asyncio.run(play())


def test_the_end_of_an_alert_goes_to_who_heard_of_it_whatever_the_filter_says(tmp_path: Path) -> None:
    async def play() -> None:
        receiver = Receiver()
        await receiver.start()
        async with Stage(tmp_path / "spool", endpoint(receiver.url, wants=Filter(max_priority=2))) as stage:
            await stage.sender.accept(
                intake(
                    message("a", 1, priority=2),
                    message("b", 2, priority=3),
                    message("a", 3, op="clear", priority=4),
                    message("b", 4, op="clear", priority=3),
                )
            )
            await stage.settle()
            assert receiver.taken == [message("a", 1).key, message("a", 3).key]
        await receiver.stop()

    asyncio.run(play())
