"""What the page is told of the board, and what it is not told."""

from __future__ import annotations

import asyncio
from pathlib import Path
from urllib.parse import quote

import pytest

from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from streams.redis.keys import Keys
from tests.streams.console.board import ALERT, CUSTOMER, LANE, PREFIX, fill, put_alert, put_customer, say_inputs
from tests.streams.console.running import Clock, Console, law

KEYS = Keys(PREFIX)

ROW = {
    "alert_id", "customer_id", "flag", "category", "since", "until", "count", "severity", "updated_at", "lane",
    "priority", "lifted", "standing", "route", "held", "guidance", "closed_at", "acked_by", "acked_at", "snoozed_until",
    "snoozed_by", "snooze_reason", "outcome", "outcome_by", "sensitive", "input", "op", "service",
}  # fmt: skip


async def followed(console: Console, alert_id: str = ALERT, op: str | None = None) -> None:
    async with asyncio.timeout(10):
        while console.server.follower.newest(alert_id) is None or (op and console.server.follower.op(alert_id) != op):
            await asyncio.sleep(0.005)


@pytest.fixture
def board(redis_client: RedisClient) -> RedisClient:
    say_inputs(redis_client, Clock()(), watermark_3=1_750_000_000_000, counts_0=5)
    put_customer(redis_client)
    return redis_client


@pytest.fixture
def campus(redis_server: EmbeddedRedis, redis_client: RedisClient) -> None:
    fill(redis_server)


@pytest.mark.usefixtures("campus")
def test_a_replayed_board_is_shown_whole(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "viewer")
        opened = (await anna.get("/api/alerts?limit=500")).json
        assert opened["total"] == len(opened["alerts"]) > 0
        assert all(set(row) == ROW for row in opened["alerts"])
        # The log is of the past, so its own time counts, and nobody has waited for a year.
        assert console.clock() - opened["now"] > 86_400_000
        assert max(row["since"] for row in opened["alerts"]) <= opened["now"]
        closed = (await anna.get("/api/alerts?state=closed")).json
        assert all(row["closed_at"] is not None for row in closed["alerts"])
        assert (await anna.get("/api/alerts?state=held")).status == 200
        flag = opened["alerts"][0]["flag"]
        fewer = (await anna.get(f"/api/alerts?flag={flag}&limit=1")).json
        assert len(fewer["alerts"]) == 1
        assert fewer["total"] == sum(row["flag"] == flag for row in opened["alerts"])
        assert fewer["flags"] == opened["flags"]
        alert_id = opened["alerts"][0]["alert_id"]
        await followed(console, alert_id)
        alert = (await anna.get(f"/api/alerts/{alert_id}")).json
        assert set(alert) == ROW | {"scene", "evidence", "scores", "reasons"}
        assert all(len(entry) == 6 for entry in alert["scene"])
        whose = opened["alerts"][0]["customer_id"]
        customer = (await anna.get(f"/api/customers/{whose}")).json
        assert customer["customer"]["customer_id"] == whose
        assert alert_id in [row["alert_id"] for row in customer["alerts"]]
        assert {"repeat_request", "sensitive"} <= set(customer["overrides_allowed"])
        assert "sensitive_contact" not in customer["overrides_allowed"]
        for reason in customer["reasons"]["churn"]:
            assert set(reason) == {"code", "weight", "text"}
            assert set(reason["text"]) == {"en", "zh"}
        top = (await anna.get("/api/leaders/churn?n=5")).json["rows"]
        assert [row["score"] for row in top] == sorted((row["score"] for row in top), reverse=True)
        rules = (await anna.get("/api/rules")).json
        assert {"flag", "raised", "delivered", "held", "precision", "interval"} <= set(rules[0])
        windows = (await anna.get("/api/delivery")).json["windows"]
        assert len(windows) <= 48
        assert all(window["start"] > 0 for window in windows)
        service = (await anna.get("/api/service")).json
        assert {len(row["hours"]) for row in service["dimensions"]["category"]} <= {48}
        models = {model["name"]: model for model in (await anna.get("/api/models")).json}
        assert models["churn_event"]["n"] > 0
        assert len(models["churn_event"]["reliability"]) == 10
        told = (await anna.get("/api/operations")).json
        assert [lane["input"] for lane in told["lanes"]] == ["fresh"] * 8
        assert told["counts"]["read"] == sum(told["counts"].values()) - told["counts"]["read"] > 0

    law(test, redis_server, tmp_path)


def test_an_empty_redis_is_unknown_and_no_failure(
    redis_server: EmbeddedRedis, redis_client: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "viewer")
        for path in ("alerts", "alerts?state=held", "alerts?state=closed"):
            answer = (await anna.get(f"/api/{path}")).json
            assert (answer["alerts"], answer["total"], answer["routes"]) == ([], 0, [])
        assert (await anna.get("/api/leaders/churn")).json == {"rows": []}
        for path in ("rules", "models"):
            assert (await anna.get(f"/api/{path}")).json == []
        assert (await anna.get("/api/service")).json == {"dimensions": {"category": [], "channel": []}, "incidents": []}
        assert (await anna.get("/api/operations")).json["counts"] is None
        assert (await anna.get("/api/customers/anna")).code == "not_found"

    law(test, redis_server, tmp_path)


def test_a_board_that_is_not_of_the_contract_is_said_so_without_its_text(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "viewer")
        board.execute_command("HSET", KEYS.customer(CUSTOMER), "churn", "a secret of theirs")
        answer = await anna.get(f"/api/customers/{CUSTOMER}")
        assert (answer.status, answer.code) == (503, "store")
        assert "secret" not in answer.json["detail"]
        board.execute_command("DEL", KEYS.meta)
        board.execute_command("SET", KEYS.meta, "of another type")
        assert (await anna.get("/api/operations")).code == "store"

    law(test, redis_server, tmp_path)


def test_an_incident_names_its_service(redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        otto = await console.person("otto", "lead")
        put_alert(board, "00000000000000ee", customer_id="", flag="service_incident", category=None, count=40, lane=-1)
        board.execute_command("HSET", KEYS.alert("00000000000000ee"), "service", "channel:phone")
        (row,) = (await otto.get("/api/service")).json["incidents"]
        assert (row["service"]["dimension"], row["service"]["value"]) == ("channel", "phone")
        assert (row["input"], row["standing"]) == ("fresh", "incident")
        assert (await otto.get("/api/alerts/00000000000000ee")).status == 200
        assert (await otto.post("/api/alerts/00000000000000ee/ack")).code == "invalid"
        assert console.intake.events == []

    law(test, redis_server, tmp_path)


@pytest.mark.parametrize(
    "customer_id",
    [
        "<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "../../etc/passwd", "%2e%2e/", "a/b?c#d",
        "客户 {1}", "*", "risk:meta", "a" * 128, "'; DROP TABLE audit; --", "\u202egpj.exe", "😀",
    ],
)  # fmt: skip
def test_any_text_is_an_id_and_nothing_else(
    customer_id: str, redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        otto = await console.person("otto", "lead")
        path = f"/api/customers/{quote(customer_id, safe='')}"
        assert (await otto.get(path)).code == "not_found"
        put_customer(board, customer_id)
        put_alert(board, customer_id=customer_id)
        answer = await otto.get(path)
        assert answer.json["customer"]["customer_id"] == customer_id
        assert answer.json["alerts"][0]["customer_id"] == customer_id
        assert answer.headers["Content-Type"] == "application/json"
        body = {"flag": "sensitive", "state": "up", "days": 3, "reason": customer_id, "category": customer_id[:64]}
        assert (await otto.post(f"{path}/override", body)).status == 202
        assert (await otto.post(f"/api/alerts/{ALERT}/ack")).status == 202
        assert [event["customer_id"] for event in console.intake.events] == [customer_id] * 2
        assert {(who, about) for who, what, about in console.audited() if what == "view"} == {("otto", customer_id)}

    law(test, redis_server, tmp_path)


@pytest.mark.parametrize("raw", ["a%00b", "a%0Ab", "%C2%85", "a" * 129, "%ED%A0%80", "%FF"])
def test_what_no_event_could_carry_is_no_customer(
    raw: str, redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        otto = await console.person("otto", "lead")
        assert (await otto.get(f"/api/customers/{raw}")).code == "not_found"
        body = {"flag": "sensitive", "state": "auto", "reason": "x"}
        assert (await otto.post(f"/api/customers/{raw}/override", body)).code == "not_found"

    law(test, redis_server, tmp_path)


def test_wrong_queries_are_refused(redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        root = await console.person("root", "admin")
        for path in (
            "alerts?state=all", "alerts?limit=0", "alerts?limit=1e3", "alerts?limit=9999999999999999999",
            "alerts?limit=-1", "leaders/churn?n=x", "audit?before=0", "audit?limit=501", "alerts?limit=%D9%A1",
        ):  # fmt: skip
            assert (await root.get(f"/api/{path}")).code == "invalid", path
        for path in ("leaders/flags", "alerts/zz", "alerts/*", "alerts/" + "a" * 65, "nothing", "customers/"):
            assert (await root.get(f"/api/{path}")).code == "not_found", path

    law(test, redis_server, tmp_path)


def test_looking_at_a_customer_is_noted_once_in_a_while(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "viewer")
        for minutes in (0, 5, 4, 1):
            console.clock.forward(minutes=minutes)
            await anna.get(f"/api/customers/{CUSTOMER}")
        await anna.get("/api/customers/nobody")
        views = [entry for entry in console.audited() if entry[1] == "view"]
        assert views == [("anna", "view", CUSTOMER)] * 2 + [("anna", "view", "nobody")]

    law(test, redis_server, tmp_path)


def test_files_of_the_page_and_no_others_are_given(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    static = tmp_path / "static"
    (static / "deep").mkdir(parents=True)
    (static / "index.html").write_text("<!doctype html>")
    (static / "deep" / "page.js").write_text("1")
    (static / "notes.md").write_text("no type of a page")
    (static / ".hidden.js").write_text("hidden")
    (tmp_path / "secret.js").write_text("secret")
    (static / "link.js").symlink_to(tmp_path / "secret.js")

    async def test(console: Console) -> None:
        browser = console.browser()
        page = await browser.get("/")
        assert (page.status, page.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        script = await browser.get("/static/deep/page.js")
        assert script.headers["Content-Type"] == "text/javascript; charset=utf-8"
        assert script.headers["Cache-Control"] == "no-cache"
        again = await browser.get("/static/deep/page.js", **{"If-None-Match": script.headers["ETag"]})
        assert (again.status, again.body) == (304, b"")
        (static / "deep" / "page.js").write_text("22")
        changed = await browser.get("/static/deep/page.js", **{"If-None-Match": script.headers["ETag"]})
        assert (changed.status, changed.body) == (200, b"22")
        for path in (
            "../secret.js", "..%2fsecret.js", "%2e%2e/secret.js", "%2e%2e%2fsecret.js", "deep/../../secret.js",
            "..%5csecret.js", "/secret.js", "//secret.js", "%2fetc/passwd.txt", "link.js", ".hidden.js", "notes.md",
            "deep", "deep/", "deep/page.js/", "page.js%00.js", "deep/page.js%0a", "console.sqlite", "", "%ff.js",
            "C:/page.js",
        ):  # fmt: skip
            answer = await browser.get(f"/static/{path}")
            assert (answer.status, answer.code) == (404, "not_found"), path

    law(test, redis_server, tmp_path, static=static)


def test_the_lane_of_the_customer_says_how_fresh_an_alert_is(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "viewer")
        put_alert(board)
        board.execute_command("HSET", KEYS.meta, f"input:{LANE}", "stale")
        (row,) = (await anna.get("/api/alerts")).json["alerts"]
        assert row["input"] == "stale"
        put_alert(board, op="clear", seq=2)
        await followed(console, op="clear")
        assert (await anna.get("/api/alerts")).json["total"] == 0
        (row,) = (await anna.get("/api/alerts?state=closed")).json["alerts"]
        assert (row["alert_id"], row["op"]) == (ALERT, "clear")

    law(test, redis_server, tmp_path)
