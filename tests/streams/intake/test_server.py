"""The intake as a client meets it: statuses, headers, one shape of errors, and what reached Kafka."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import ClientResponse, ClientSession, hdrs
from aiokafka.errors import MessageSizeTooLargeError, NotEnoughReplicasError

from engine.errors import UsageError
from streams.intake.outlet import Outlet
from streams.intake.problem import CODES
from streams.intake.server import IntakeServer
from streams.intake.submission import JSON, NDJSON
from streams.intake.tokens import TokenFile
from streams.kafka.connection import Connection
from streams.kafka.producer import partition_for
from tests.streams.intake.fake_producer import PARTITIONS, FakeProducer, Sent

NOW = 1_700_000_000_000
PLAIN, CONTROL = "p" * 32, "c" * 32
MAX_BYTES = 20_000


def event(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"event_id": f"e{number}", "customer_id": f"c{number % 7}", "ts": NOW, "kind": "view", **fields}


class Intake:
    """A running intake on a Kafka that does as a test says."""

    def __init__(self, client: ClientSession, server: IntakeServer, outlet: Outlet, kafka: FakeProducer) -> None:
        self.client = client
        self.server = server
        self.outlet = outlet
        self.kafka = kafka

    async def post(self, body: Any, token: str | None = PLAIN, media_type: str = JSON, **headers: str) -> Answer:
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        given = {hdrs.CONTENT_TYPE: media_type, **headers}
        if token is not None:
            given[hdrs.AUTHORIZATION] = f"Bearer {token}"
        return await self.ask("POST", "/events", data=data, headers=given)

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        async with self.client.request(method, self.server.url + path, **options) as response:
            return Answer(response, await response.read())


class Answer:
    """A response that was read; an error has the shape of every error."""

    def __init__(self, response: ClientResponse, body: bytes) -> None:
        self.status = response.status
        self.headers = response.headers
        self.json = orjson.loads(body or b"null")
        assert response.headers[hdrs.SERVER] == "henji"
        if response.status >= 400 and body:
            assert response.content_type == "application/problem+json"
            assert list(self.json) == ["status", "title", "code", "detail", "errors"]
            assert CODES[self.json["code"]][0] == self.json["status"] == response.status

    @property
    def code(self) -> str:
        return str(self.json["code"])


@asynccontextmanager
async def running(
    tmp_path: Path, *, tokens: bool = True, ack_s: float = 5.0, room: int = 100_000
) -> AsyncIterator[Intake]:
    kafka = FakeProducer()

    async def start(_connection: Connection) -> Any:
        return kafka

    outlet = Outlet(Connection(("nowhere:1",)), "events", most_bytes=room, ack_s=ack_s, start=start)
    path = tmp_path / "tokens"
    path.write_text(f"shop:{PLAIN}\ndesk:control:{CONTROL}\n")
    server = IntakeServer(
        "127.0.0.1:0", outlet, TokenFile(path, "test") if tokens else None, max_bytes=MAX_BYTES, now_ms=lambda: NOW
    )
    await outlet.start()
    await server.start()
    try:
        async with ClientSession() as client:
            yield Intake(client, server, outlet, kafka)
    finally:
        await server.stop()
        await outlet.close()


def law(test: Callable[[Intake], Awaitable[None]], tmp_path: Path, **options: Any) -> None:
    async def run() -> None:
        async with running(tmp_path, **options) as intake:
            await test(intake)

    asyncio.run(run())


def test_events_are_accepted_when_kafka_has_them(tmp_path: Path) -> None:
    async def test(intake: Intake) -> None:
        events = [event(n) for n in range(20)]
        for body, media_type in ((events, JSON), (b"\n".join(map(orjson.dumps, events)), NDJSON)):
            intake.kafka.sent.clear()
            answer = await intake.post(body, media_type=media_type)
            assert answer.status == 202
            assert (answer.json["accepted"], answer.json["topic"]) == (20, "events")
            assert [e["event_id"] for e in answer.json["events"]] == [f"e{n}" for n in range(20)]
            places = [(e["partition"], e["offset"]) for e in answer.json["events"]]
            assert len(set(places)) == 20
            assert intake.kafka.sent == [
                Sent(orjson.dumps(e), e["customer_id"].encode(), partition_for(e["customer_id"], PARTITIONS))
                for e in events
            ]
        one = b'{"event_id" : "e1", "customer_id":"\xc3\xbc", "ts": 1, "kind": "view"}'
        assert (await intake.post(one)).status == 202
        assert intake.kafka.sent[-1] == Sent(one, "ü".encode(), partition_for("ü", PARTITIONS))

    law(test, tmp_path)


def test_nothing_is_sent_of_a_request_with_a_wrong_event(tmp_path: Path) -> None:
    async def test(intake: Intake) -> None:
        answer = await intake.post([event(1), event(2, ts="yesterday"), event(3)])
        assert (answer.status, answer.code) == (400, "invalid")
        assert [(e["index"], e["field"], e["reason"]) for e in answer.json["errors"]] == [(1, "ts", "ts")]
        assert (await intake.post([event(1), event(2, kind="erase")])).code == "control"
        assert intake.kafka.sent == []

    law(test, tmp_path)


def test_only_a_token_of_the_file_may_send(tmp_path: Path) -> None:
    async def test(intake: Intake) -> None:
        for token in (None, "", "x" * 32, PLAIN + "x", "Ж" * 16):
            answer = await intake.post(event(), token=token)
            assert (answer.status, answer.code) == (401, "token")
            assert answer.headers[hdrs.WWW_AUTHENTICATE].startswith("Bearer")
        answer = await intake.ask("POST", "/events", data=b"", headers={hdrs.AUTHORIZATION: f"Basic {PLAIN}"})
        assert answer.code == "token"
        assert intake.kafka.sent == []

    law(test, tmp_path)


def test_control_events_need_a_control_token_and_go_where_their_lane_is(tmp_path: Path) -> None:
    async def test(intake: Intake) -> None:
        ack = event(1, kind="ack", ref="alert")
        tick = {"event_id": "t", "ts": NOW, "kind": "tick", "lane": 6, "lanes": 8}
        for control in (ack, tick):
            assert (await intake.post(control)).status == 403
            assert (await intake.post(control, token=CONTROL)).status == 202
        assert intake.kafka.sent == [
            Sent(orjson.dumps(ack), b"c1", partition_for("c1", PARTITIONS)),
            Sent(orjson.dumps(tick), None, 6 % PARTITIONS),
        ]

    law(test, tmp_path)


def test_without_tokens_this_machine_may_send_but_not_control_nor_be_tricked_into_it(tmp_path: Path) -> None:
    async def test(intake: Intake) -> None:
        assert (await intake.post(event(), token=None)).status == 202
        assert (await intake.post(event(kind="erase"), token=None)).code == "control"
        for host in ("evil.example", "evil.example:6068", "127.0.0.1.evil.example", ""):
            assert (await intake.post(event(), token=None, Host=host)).code == "host"
        for host in ("localhost", "localhost:6068", "[::1]", "[::1]:6068", "127.0.0.1"):
            assert (await intake.post(event(), token=None, Host=host)).status == 202

    law(test, tmp_path, tokens=False)


def test_an_intake_that_others_can_reach_needs_tokens(tmp_path: Path) -> None:
    async def make() -> None:
        outlet = Outlet(Connection(("nowhere:1",)), "events", most_bytes=1)
        with pytest.raises(UsageError, match=r"intake\.token_file: expected a file of tokens"):
            IntakeServer("0.0.0.0:0", outlet, None, max_bytes=MAX_BYTES)

    asyncio.run(make())


def test_a_body_that_is_too_long_is_refused_announced_or_not(tmp_path: Path) -> None:
    async def test(intake: Intake) -> None:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(MAX_BYTES // 1000 + 1):
                yield b" " * 1000

        headers = {hdrs.AUTHORIZATION: f"Bearer {PLAIN}", hdrs.CONTENT_TYPE: JSON}
        for data in (b" " * (MAX_BYTES + 1), pieces()):
            answer = await intake.ask("POST", "/events", data=data, headers=headers)
            assert (answer.status, answer.code) == (413, "too_large")
        assert (await intake.post(orjson.dumps(event()).ljust(MAX_BYTES))).status == 202

    law(test, tmp_path)


@pytest.mark.parametrize(
    ("media_type", "headers"),
    [
        ("text/plain", {}),
        ("application/x-www-form-urlencoded", {}),
        ("application/json; charset=latin-1", {}),
        (JSON, {hdrs.CONTENT_ENCODING: "gzip"}),
    ],
)
def test_other_types_and_packed_bodies_are_refused(tmp_path: Path, media_type: str, headers: dict[str, str]) -> None:
    async def test(intake: Intake) -> None:
        answer = await intake.post(orjson.dumps(event()), media_type=media_type, **headers)
        assert (answer.status, answer.code) == (415, "media_type")

    law(test, tmp_path)


def test_other_paths_and_methods_are_refused_in_the_same_shape(tmp_path: Path) -> None:
    async def test(intake: Intake) -> None:
        for path in ("/", "/events/", "/events/1", "/../etc", "/metrics", "/%00"):
            assert (await intake.ask("GET", path)).code == "path"
        for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS"):
            answer = await intake.ask(method, "/events")
            assert (answer.code, answer.headers[hdrs.ALLOW]) == ("method", "POST")
        assert (await intake.ask("POST", "/ready")).headers[hdrs.ALLOW] == "GET"
        assert (await intake.ask("HEAD", "/live")).status == 405
        answer = await intake.post(event(), Expect="a miracle")
        assert answer.code == "expectation"
        assert not [name for name in answer.headers if name.lower().startswith("access-control")]

    law(test, tmp_path)


def test_a_client_that_waits_to_continue_is_told_to(tmp_path: Path) -> None:
    async def test(intake: Intake) -> None:
        headers = {hdrs.AUTHORIZATION: f"Bearer {PLAIN}", hdrs.CONTENT_TYPE: JSON}
        answer = await intake.ask("POST", "/events", data=orjson.dumps(event()), headers=headers, expect100=True)
        assert answer.status == 202

    law(test, tmp_path)


def test_kafka_that_does_not_acknowledge_is_a_503_that_says_when_to_come_back(tmp_path: Path) -> None:
    async def test(intake: Intake) -> None:
        intake.kafka.hold = True
        answer = await intake.post([event(1), event(2)])
        assert (answer.status, answer.code, answer.headers[hdrs.RETRY_AFTER]) == (503, "kafka", "5")
        assert "nowhere" not in answer.json["detail"]
        intake.kafka.release()
        assert (await intake.post(event())).status == 202

    law(test, tmp_path, ack_s=0.2)


@pytest.mark.parametrize("error", [MessageSizeTooLargeError(), NotEnoughReplicasError()])
def test_a_producer_that_lost_an_event_is_replaced(tmp_path: Path, error: Any) -> None:
    async def test(intake: Intake) -> None:
        intake.kafka.error = error
        assert (await intake.post([event(1), event(2)])).status == 503
        intake.kafka.error = None
        async with asyncio.timeout(5):
            while not intake.kafka.stopped or (await intake.ask("GET", "/ready")).status != 200:
                await asyncio.sleep(0)
        assert (await intake.post(event())).status == 202

    law(test, tmp_path)


def test_no_more_is_under_way_than_there_is_room_for(tmp_path: Path) -> None:
    async def test(intake: Intake) -> None:
        intake.kafka.hold = True
        body = orjson.dumps(event()).ljust(10_000)
        waiting = [asyncio.create_task(intake.post(body)) for _ in range(3)]
        async with asyncio.timeout(5):
            while len(intake.kafka.sent) < 3:
                await asyncio.sleep(0)
        answer = await intake.post(body)
        assert (answer.status, answer.code, answer.headers[hdrs.RETRY_AFTER]) == (429, "busy", "1")
        intake.kafka.release()
        assert [answer.status for answer in await asyncio.gather(*waiting)] == [202] * 3
        assert (await intake.post(body)).status == 202

    law(test, tmp_path, room=35_000)


def test_what_was_refused_takes_no_room(tmp_path: Path) -> None:
    async def test(intake: Intake) -> None:
        for _ in range(5):
            assert (await intake.post(b"{".ljust(10_000))).status == 400
            assert (await intake.post(orjson.dumps(event(kind="erase")).ljust(10_000))).status == 403
        with socket.create_connection(("127.0.0.1", int(intake.server.url.rpartition(":")[2]))) as gone:
            head = f"POST /events HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {PLAIN}\r\nContent-Type: {JSON}\r\n"
            gone.sendall(head.encode() + b"Content-Length: 19000\r\n\r\n{")
            async with asyncio.timeout(5):
                while not intake.outlet.n_bytes:
                    await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while intake.outlet.n_bytes:
                await asyncio.sleep(0)

    law(test, tmp_path, room=20_000)


def test_what_was_given_up_takes_room_until_kafka_has_answered(tmp_path: Path) -> None:
    async def test(intake: Intake) -> None:
        intake.kafka.hold = True
        body = orjson.dumps(event()).ljust(15_000)
        assert (await intake.post(body)).status == 503
        assert (await intake.post(body)).status == 429
        intake.kafka.release()
        assert (await intake.post(body)).status == 202

    law(test, tmp_path, ack_s=0.1, room=20_000)


def test_ready_means_that_kafka_answers_with_the_topic_as_it_was(tmp_path: Path) -> None:
    async def test(intake: Intake) -> None:
        assert (await intake.ask("GET", "/ready")).json == {"ready": True}
        assert (await intake.ask("GET", "/live")).json == {"live": True}

    law(test, tmp_path)

    async def away(intake: Intake) -> None:
        intake.kafka.away = NotEnoughReplicasError()
        answer = await intake.ask("GET", "/ready")
        assert (answer.status, answer.code) == (503, "kafka")
        assert "nowhere" not in answer.json["detail"]
        assert (await intake.ask("GET", "/live")).status == 200

    law(away, tmp_path)

    async def other(intake: Intake) -> None:
        intake.kafka.partitions = 2 * PARTITIONS
        assert (await intake.ask("GET", "/ready")).status == 503

    law(other, tmp_path)


def test_a_stop_finishes_what_was_accepted(tmp_path: Path) -> None:
    async def test(intake: Intake) -> None:
        intake.kafka.hold = True
        waiting = asyncio.create_task(intake.post(event()))
        async with asyncio.timeout(5):
            while not intake.kafka.sent:
                await asyncio.sleep(0)
        stopping = asyncio.create_task(intake.server.stop())
        await asyncio.sleep(0)
        intake.kafka.release()
        assert (await waiting).status == 202
        await stopping

    law(test, tmp_path)


def test_a_failure_of_ours_shows_nothing_of_what_it_held(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def test(intake: Intake) -> None:
        async def fail(*_: Any) -> None:
            raise KeyError("secret")

        monkeypatch.setattr(intake.outlet, "send", fail)
        answer = await intake.post(event())
        assert (answer.status, answer.code) == (500, "internal")
        assert "secret" not in orjson.dumps(answer.json).decode()

    law(test, tmp_path)


def test_the_log_says_who_asked_for_what_and_nothing_of_what_was_sent(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(intake: Intake) -> None:
        await intake.post([event(1, customer_id="anna"), event(2, customer_id="anna")])
        await intake.post(event(customer_id="anna", ts="never"))
        await intake.post(event(), token="t" * 32)
        await intake.ask("GET", "/customers/anna?token=" + PLAIN)
        await intake.ask("GET", "/live")

    with caplog.at_level(logging.DEBUG, "streams"):
        law(test, tmp_path)
    text = "\n".join(record.getMessage() for record in caplog.records)
    assert "POST /events 202 in" in text
    assert "2 events, by shop from 127.0.0.1" in text
    assert "POST /events 401 in" in text
    assert "GET ? 404 in" in text
    assert "/live" not in text
    assert not [word for word in ("anna", PLAIN, "t" * 32, "never", "e1") if word in text]
