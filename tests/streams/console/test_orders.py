"""What people do goes out as control events: as they meant it, once, and under their own name."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest

from engine.decode import decode
from engine.errors import ConfigurationError
from streams.console.orders import Orders
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from streams.redis.keys import Keys
from tests.streams.console.board import ALERT, CUSTOMER, LANE, PREFIX, put_alert, put_customer, say_inputs
from tests.streams.console.running import Clock, Console, law, running
from tests.streams.intake import test_server as intake_server

KEYS = Keys(PREFIX)
MINUTE, DAY = 60_000, 86_400_000


@pytest.fixture
def board(redis_client: RedisClient) -> RedisClient:
    say_inputs(redis_client, Clock()())
    put_customer(redis_client)
    put_alert(redis_client)
    return redis_client


def checked(console: Console) -> dict[str, Any]:
    """The newest event, which the worker would take."""
    event = console.intake.events[-1]
    decode(orjson.dumps(event), record_ts=console.clock())
    return {name: value for name, value in event.items() if name != "event_id"}


def test_words_about_an_alert_are_events_of_its_customer(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "agent")
        now, path = console.clock(), f"/api/alerts/{ALERT}"
        base = {"customer_id": CUSTOMER, "ts": now, "ref": ALERT, "by": "anna"}
        for word, body, expected in (
            ("ack", {}, {"kind": "ack", "state": "up"}),
            ("ack", {"state": "down"}, {"kind": "ack", "state": "down"}),
            ("snooze", {"minutes": 259_200, "reason": "waits\nfor a part"},
             {"kind": "snooze", "state": "up", "until": now + 180 * DAY, "reason": "waits\nfor a part"}),
            ("snooze", {"state": "down"}, {"kind": "snooze", "state": "down"}),
            ("outcome", {"outcome": "not_useful"}, {"kind": "ack", "state": "up", "outcome": "not_useful"}),
            ("outcome", {"state": "down"}, {"kind": "ack", "state": "down", "outcome": "useful"}),
        ):  # fmt: skip
            answer = await anna.post(f"{path}/{word}", body)
            assert (answer.status, answer.json["status"]) == (202, "sent")
            assert console.intake.events[-1]["event_id"] == answer.json["event_id"]
            assert checked(console) == base | expected
        assert set(console.intake.tokens) == {"Bearer " + "t" * 32}
        assert [what for _, what, _ in console.audited()] == [
            "login",
            "ack",
            "ack",
            "snooze",
            "snooze",
            "outcome",
            "outcome",
        ]
        # What people wrote is in the log, not in the audit.
        assert "part" not in orjson.dumps(console.server.audit.page(None, 100)).decode()

    law(test, redis_server, tmp_path)


def test_a_lead_holds_a_flag_up_or_down_until_a_day(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        otto = await console.person("otto", "lead")
        path, now = f"/api/customers/{CUSTOMER}/override", console.clock()
        base = {
            "customer_id": CUSTOMER,
            "ts": now,
            "kind": "override",
            "flag": "sensitive",
            "reason": "a call",
            "by": "otto",
        }
        body = {"flag": "sensitive", "state": "up", "days": 30, "reason": "a call"}
        assert (await otto.post(path, body)).status == 202
        assert checked(console) == base | {"state": "up", "until": now + 30 * DAY}
        assert (await otto.post(path, {**body, "state": "down", "days": 365, "category": "billing"})).status == 202
        assert checked(console) == base | {"state": "down", "until": now + 365 * DAY, "category": "billing"}
        assert (await otto.post(path, {"flag": "sensitive", "state": "auto", "reason": "a call"})).status == 202
        assert checked(console) == base | {"state": "auto"}
        assert (await otto.post("/api/customers/nobody/override", body)).code == "not_found"

    law(test, redis_server, tmp_path)


def test_where_the_lane_lives_in_the_past_its_own_time_counts(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "agent")
        for behind, expected in ((23 * 3_600_000, 0), (25 * 3_600_000, 25 * 3_600_000), (400 * DAY, 400 * DAY)):
            board.execute_command("HSET", KEYS.meta, f"watermark:{LANE}", console.clock() - behind)
            await anna.post(f"/api/alerts/{ALERT}/snooze", {"minutes": 60, "reason": "later"})
            event = console.intake.events[-1]
            assert event["ts"] == console.clock() - expected
            assert event["until"] == event["ts"] + 60 * MINUTE

    law(test, redis_server, tmp_path)


def test_the_same_order_sent_again_is_the_same_event(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "agent")
        request_id = uuid4()
        for text in (str(request_id), request_id.hex, str(request_id).upper()):
            answer = await anna.post(f"/api/alerts/{ALERT}/ack", {"request_id": text})
            assert answer.json["event_id"] == request_id.hex
        ids = {(await anna.post(f"/api/alerts/{ALERT}/ack")).json["event_id"] for _ in range(3)}
        assert len(ids) == 3
        for wrong in ("x", f"{{{request_id}}}", f"urn:uuid:{request_id}", str(request_id) + "\n", "", 7, "é" * 32):
            assert (await anna.post(f"/api/alerts/{ALERT}/ack", {"request_id": wrong})).code == "invalid"

    law(test, redis_server, tmp_path)


_SNOOZE, _OVERRIDE = f"/api/alerts/{ALERT}/snooze", f"/api/customers/{CUSTOMER}/override"
_GOOD = {"flag": "sensitive", "state": "up", "days": 3, "reason": "x"}


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (_SNOOZE, {}),
        (_SNOOZE, {"minutes": 0, "reason": "x"}),
        (_SNOOZE, {"minutes": 259_201, "reason": "x"}),
        (_SNOOZE, {"minutes": 1.5, "reason": "x"}),
        (_SNOOZE, {"minutes": True, "reason": "x"}),
        (_SNOOZE, {"minutes": "5", "reason": "x"}),
        (_SNOOZE, {"minutes": 5, "reason": ""}),
        (_SNOOZE, {"minutes": 5, "reason": "x" * 501}),
        (_SNOOZE, {"minutes": 5, "reason": "a\u0000b"}),
        (_SNOOZE, {"minutes": 5, "reason": ["x"]}),
        (_SNOOZE, {"minutes": 5, "reason": "x", "by": "root"}),
        (_SNOOZE, {"minutes": 5, "reason": "x", "until": 1}),
        (_SNOOZE, {"state": "sideways"}),
        (f"/api/alerts/{ALERT}/ack", {"customer_id": "somebody else"}),
        (f"/api/alerts/{ALERT}/ack", {"state": "auto"}),
        (f"/api/alerts/{ALERT}/outcome", {}),
        (f"/api/alerts/{ALERT}/outcome", {"outcome": "fine"}),
        (_OVERRIDE, {**_GOOD, "flag": "no_such_flag"}),
        (_OVERRIDE, {**_GOOD, "flag": "sensitive_contact"}),
        (_OVERRIDE, {**_GOOD, "flag": "service_incident"}),
        (_OVERRIDE, {**_GOOD, "days": 366}),
        (_OVERRIDE, {**_GOOD, "days": None}),
        (_OVERRIDE, {**_GOOD, "state": "auto"}),
        (_OVERRIDE, {**_GOOD, "category": ""}),
        (_OVERRIDE, {**_GOOD, "kind": "erase"}),
    ],
)
def test_nothing_but_checked_fields_goes_out(
    path: str, body: dict[str, Any], redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        otto = await console.person("otto", "lead")
        assert (await otto.post(path, body)).code == "invalid"
        assert console.intake.events == []

    law(test, redis_server, tmp_path)


def test_an_intake_that_refuses_or_is_away_is_told_apart(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "agent")
        path = f"/api/alerts/{ALERT}/ack"
        for status, code, expected in (
            (400, "invalid", 502), (401, "token", 502), (403, "control", 502), (404, "path", 502), (302, "-", 502),
            (429, "busy", 503), (503, "kafka", 503), (500, "<script>", 503), (408, "slow", 503),
        ):  # fmt: skip
            console.intake.answer = (status, {"code": code, "detail": "a text of theirs"})
            answer = await anna.post(path)
            assert (answer.status, answer.code) == (expected, "intake"), status
            assert "theirs" not in answer.json["detail"]
            assert "<" not in answer.json["detail"]
            assert ("Retry-After" in answer.headers) == (expected == 503)
        await console.intake.stop()
        answer = await anna.post(path)
        assert (answer.status, answer.code) == (503, "intake")
        assert [what for _, what, _ in console.audited()][-2:] == ["ack", "ack_failed"]

    law(test, redis_server, tmp_path)


def test_without_an_intake_nothing_can_be_done(redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        otto = await console.person("otto", "lead")
        assert (await otto.begin()).json["read_only"] is True
        for path in (f"/api/alerts/{ALERT}/ack", _SNOOZE, f"/api/alerts/{ALERT}/outcome", _OVERRIDE):
            answer = await otto.post(path, _GOOD)
            assert (answer.status, answer.code) == (409, "read_only")
        assert (await otto.get("/api/alerts")).json["total"] == 1

    law(test, redis_server, tmp_path, intake=False)


def test_a_name_in_another_alphabet_is_who_said_it(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        person = await console.person("王芳", "agent")
        await person.post(f"/api/alerts/{ALERT}/ack")
        assert checked(console)["by"] == "王芳"

    law(test, redis_server, tmp_path)


@pytest.mark.parametrize("url", ["intake:6068", "ftp://intake", "http://", "http://intake?x=1", "/events"])
def test_an_intake_that_is_no_address_is_refused_at_the_start(url: str) -> None:
    with pytest.raises(ConfigurationError, match="--intake"):
        Orders(url)


@pytest.mark.parametrize("content", [b"", b"two\nlines", b"\xff", b"two words"])
def test_a_token_file_without_one_token_is_refused_at_the_start_and_not_shown(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match="--intake-token-file") as caught:
        Orders("http://127.0.0.1:1", path)
    assert "lines" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="--intake-token-file"):
        Orders("http://127.0.0.1:1", tmp_path / "nothing")


def test_the_intake_itself_takes_the_orders(redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path) -> None:
    board.execute_command("HSET", KEYS.meta, f"watermark:{LANE}", intake_server.NOW)

    async def run() -> None:
        async with intake_server.running(tmp_path) as intake:
            kafka = intake.kafka.sent
            for token, status in ((intake_server.PLAIN, 502), (intake_server.CONTROL, 202)):
                url = intake.server.url
                async with running(redis_server, tmp_path, intake_url=url, token=token) as console:
                    otto = await console.person("otto", "lead")
                    for path, body in (
                        (f"/api/alerts/{ALERT}/ack", {}), (_SNOOZE, {"minutes": 5, "reason": "x"}), (_OVERRIDE, _GOOD),
                    ):  # fmt: skip
                        assert (await otto.post(path, body)).status == status
            kinds = [orjson.loads(sent.value)["kind"] for sent in kafka]
            assert kinds == ["ack", "snooze", "override"]
            assert {sent.key for sent in kafka} == {CUSTOMER.encode()}

    asyncio.run(run())
