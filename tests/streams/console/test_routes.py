"""Every path: who may use it, and what every answer carries."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.console.body import MAX_BYTES
from streams.console.openapi import openapi
from streams.console.roles import Role
from streams.console.routes import ROUTES, Route
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from tests.streams.console.board import ALERT, put_alert, put_customer, say_inputs
from tests.streams.console.running import Answer, Browser, Console, law

_PATHS = {
    "{path}": "index.html",
    "{name}": "nobody",
    "{alert_id}": ALERT,
    "{customer_id}": "anna@example.org",
}
_STREAMS = ("events",)  # has no end; test_events.py is about it


def path_of(route: Route) -> str:
    path = route.path
    for part, value in _PATHS.items():
        path = path.replace(part, value)
    return path


async def ask(browser: Browser, route: Route) -> Answer:
    if route.method == "GET":
        return await browser.get(path_of(route))
    return await browser.post(path_of(route), {"nonsense": 1})


@pytest.fixture
def board(redis_client: RedisClient) -> RedisClient:
    say_inputs(redis_client, 1, watermark_3=1_750_000_000_000)
    put_customer(redis_client)
    put_alert(redis_client)
    return redis_client


@pytest.mark.parametrize("role", [None, *Role], ids=lambda role: role.word if role else "nobody")
def test_every_path_is_closed_to_whoever_is_below_its_least_role(
    role: Role | None, redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        n_closed = 0
        for route in ROUTES:
            browser = console.browser()
            if role is None:
                await browser.begin()
            else:
                browser = await console.person(role.word, role.word)
            if route.name in _STREAMS and role is not None:
                continue
            answer = await ask(browser, route)
            if route.least is None or (role is not None and role >= route.least):
                assert answer.status not in (401, 403), route
            else:
                n_closed += 1
                assert answer.code == ("unauthenticated" if role is None else "forbidden"), route
        assert n_closed == sum(route.least is not None and (role is None or role < route.least) for route in ROUTES)
        assert console.intake.events == []

    law(test, redis_server, tmp_path)


@pytest.mark.parametrize("route", [route for route in ROUTES if route.method == "POST"], ids=lambda route: route.name)
def test_nothing_is_done_for_a_page_that_is_not_ours(
    route: Route, redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        admin = await console.person("root", "admin")
        other = await console.person("other", "admin")
        path, written = path_of(route), console.audited()
        for headers in (
            {"X_CSRF_Token": None}, {"X_CSRF_Token": ""}, {"X_CSRF_Token": "0" * 64}, {"X_CSRF_Token": other.csrf},
            {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": console.server.url + ".evil.example"},
            {"Sec_Fetch_Site": "cross-site"}, {"Sec_Fetch_Site": "same-site"}, {"Sec_Fetch_Site": "none"},
            {"Origin": None, "Sec_Fetch_Site": None},
        ):  # fmt: skip
            answer = await admin.post(path, {}, **headers)
            assert (answer.status, answer.code) == (403, "csrf"), headers
        for media_type in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None):
            assert (await admin.post(path, {}, Content_Type=media_type)).status == 415
        assert (await admin.post(path, {}, Content_Encoding="gzip")).status == 415
        assert (await admin.post(path, b" " * (MAX_BYTES + 1))).status == 413
        for bomb in (b"[" * 60_000, b'{"a":' * 10_000, b"{", b"[]", b"1e999", b'"\\ud800"', b"\xff", b""):
            answer = await admin.post(path, bomb)
            assert (answer.status, answer.code) == (400, "json"), bomb[:10]
        assert (await admin.post(path, {"nonsense": 1})).status in (404, 409, 422)
        assert console.audited() == written
        assert console.intake.events == []

    law(test, redis_server, tmp_path)


def test_every_answer_carries_what_browsers_need_to_know(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        admin = await console.person("root", "admin")
        answers = [await ask(admin, route) for route in ROUTES if route.name not in (*_STREAMS, "logout")]
        answers += [
            await admin.get("/nothing"), await admin.ask("PUT", "/api/users"), await admin.ask("HEAD", "/"),
            await admin.get("/", Host="evil.example"), await admin.get("/static/nothing.js"),
        ]  # fmt: skip
        assert {404, 405, 403, 200} <= {answer.status for answer in answers}
        for answer in answers:
            policy = answer.headers["Content-Security-Policy"].split("; ")
            assert {
                "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:",
                "connect-src 'self'", "font-src 'self'", "form-action 'self'", "frame-ancestors 'none'",
                "base-uri 'none'",
            } == set(policy)  # fmt: skip
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert answer.headers["Cross-Origin-Opener-Policy"] == "same-origin"
            assert answer.headers["Cross-Origin-Resource-Policy"] == "same-origin"
            assert "camera=()" in answer.headers["Permissions-Policy"]
            assert answer.headers["Cache-Control"] in ("no-store", "no-cache")
            assert answer.headers["Server"] == "henji"
            assert "Strict-Transport-Security" not in answer.headers
            assert "Access-Control-Allow-Origin" not in answer.headers

    law(test, redis_server, tmp_path)


def test_only_hosts_that_it_is_known_by_are_served(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        browser = console.browser()
        port = console.server.url.rpartition(":")[2]
        for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}", "desk.example", "desk.example:443"):
            assert (await browser.get("/api/session", Host=host)).status == 200, host
        for host in (
            "evil.example",
            f"evil.example:{port}",
            "127.0.0.1",
            "127.0.0.1:1",
            "desk.example.evil.example",
            "",
        ):
            assert (await browser.get("/api/session", Host=host)).code == "host", host
        # Probes come by the address of a container, and are told nothing.
        assert (await browser.get("/healthz", Host="10.0.0.7:8080")).json == {"live": True}

    law(test, redis_server, tmp_path, public_urls=("https://desk.example",))


def test_the_document_has_exactly_the_paths_that_there_are() -> None:
    document = openapi()
    told = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert told == {(route.method, route.path) for route in ROUTES}
    names = [methods[method]["operationId"] for methods in document["paths"].values() for method in methods]
    assert sorted(names) == sorted({route.name for route in ROUTES})
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts = {part[1:-1] for part in path.split("/") if part.startswith("{")}
            assert {each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"} == parts
            assert ("requestBody" in operation) == (method == "post")


def test_the_server_has_exactly_the_paths_of_the_table(
    redis_server: EmbeddedRedis, board: RedisClient, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        application = console.server.application()
        known = {(each.method, each.resource.canonical) for each in application.router.routes() if each.resource}
        assert known == {(route.method, route.path) for route in ROUTES}

    law(test, redis_server, tmp_path)
