"""A console that runs on a real Redis, and a browser's manners: cookies, CSRF token, origin."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
from aiohttp import ClientSession, CookieJar, hdrs, web
from argon2 import PasswordHasher
from yarl import URL

from streams.client.async_client import connect_async
from streams.console.clock import wall_ms
from streams.console.file import ConsoleFile
from streams.console.gate import COOKIE, CSRF_HEADER
from streams.console.orders import Orders
from streams.console.problem import CODES
from streams.console.server import ConsoleOptions, ConsoleServer
from streams.redis.access import RedisAccess
from streams.redis.embedded import EmbeddedRedis
from tests.streams.console.board import PREFIX

__all__ = ["PASSWORD", "Answer", "Browser", "Clock", "Console", "FakeIntake", "law", "running"]

PASSWORD = "correct horse battery"
HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


class Clock:
    """A wall clock that is moved by hand; it begins at the real time, since workers say theirs."""

    def __init__(self) -> None:
        self.now_ms = wall_ms()

    def __call__(self) -> int:
        return self.now_ms

    def forward(self, *, ms: int = 0, s: int = 0, minutes: int = 0, hours: int = 0, days: int = 0) -> None:
        self.now_ms += ms + 1000 * (s + 60 * (minutes + 60 * (hours + 24 * days)))


class Answer:
    """A response that was read; an error has the shape of every error."""

    def __init__(self, status: int, headers: Any, body: bytes, cookies: Any) -> None:
        self.status = status
        self.headers = headers
        self.body = body
        self.cookies = cookies
        json = headers.get(hdrs.CONTENT_TYPE, "").startswith(("application/json", "application/problem+json"))
        self.json: Any = orjson.loads(body if json and body else b"null")
        if status >= 400 and body:
            assert headers[hdrs.CONTENT_TYPE] == "application/problem+json"
            assert sorted(self.json) == ["code", "detail", "status", "title"]
            assert self.json["code"] in CODES

    @property
    def code(self) -> str:
        return str(self.json["code"])


class Browser:
    """A person's browser: keeps its cookie, sends the token of the page."""

    def __init__(self, server: ConsoleServer) -> None:
        self.server = server
        self.client = ClientSession(cookie_jar=CookieJar(unsafe=True))
        self.csrf = ""

    @property
    def token(self) -> str | None:
        cookie = self.client.cookie_jar.filter_cookies(URL(self.server.url)).get(COOKIE)
        return None if cookie is None else cookie.value

    async def get(self, path: str, **headers: str) -> Answer:
        return await self.ask("GET", path, headers=headers)

    async def post(self, path: str, body: Any = None, **headers: str | None) -> Answer:
        given: dict[str, str | None] = {
            hdrs.CONTENT_TYPE: "application/json",
            hdrs.ORIGIN: self.server.url,
            "Sec-Fetch-Site": "same-origin",
            CSRF_HEADER: self.csrf,
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        data = body if isinstance(body, bytes) else orjson.dumps({} if body is None else body)
        kept = {name: value for name, value in given.items() if value is not None}
        return await self.ask("POST", path, data=data, headers=kept)

    async def ask(self, method: str, path: str, **options: Any) -> Answer:
        url = URL(self.server.url + path, encoded=True)
        options = {"skip_auto_headers": [hdrs.CONTENT_TYPE], **options}
        async with self.client.request(method, url, allow_redirects=False, **options) as response:
            return Answer(response.status, response.headers, await response.read(), response.cookies)

    async def begin(self) -> Answer:
        """Open the page."""
        answer = await self.get("/api/session")
        self.csrf = answer.json["csrf"]
        return answer

    async def login(self, name: str, password: str = PASSWORD, totp: str | None = None) -> Answer:
        await self.begin()
        body = {"name": name, "password": password, **({"totp": totp} if totp is not None else {})}
        answer = await self.post("/api/login", body)
        if answer.status == 200:
            self.csrf = answer.json["csrf"]
        return answer


class FakeIntake:
    """An intake that takes everything, or answers as a test says; the real one needs a Kafka."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.tokens: list[str] = []
        self.answer: tuple[int, Any] = (202, {"accepted": 1})
        self.url = ""
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_post("/events", self._take)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.Response:
        self.tokens.append(request.headers.get(hdrs.AUTHORIZATION, ""))
        status, said = self.answer
        if status == 202:
            self.events += await request.json()
        return web.json_response(said, status=status)


class Console:
    """A running console."""

    def __init__(self, server: ConsoleServer, clock: Clock, file: ConsoleFile, intake: FakeIntake) -> None:
        self.server = server
        self.clock = clock
        self.file = file
        self.intake = intake
        self._browsers: list[Browser] = []

    def browser(self) -> Browser:
        self._browsers.append(Browser(self.server))
        return self._browsers[-1]

    def add(self, name: str, role: str, password: str = PASSWORD) -> None:
        """An account that can log in."""
        self.server.accounts.redeem(self.server.accounts.add(name, role), name, HASHER.hash(password))

    async def person(self, name: str, role: str) -> Browser:
        """Somebody who is logged in."""
        if self.server.accounts.find(name) is None:
            self.add(name, role)
        browser = self.browser()
        assert (await browser.login(name)).status == 200
        return browser

    def audited(self) -> list[tuple[str, str, str]]:
        """Who did what about whom, oldest first."""
        return [(row["who"], row["what"], row["about"]) for row in reversed(self.server.audit.page(None, 500))]

    async def close(self) -> None:
        for browser in self._browsers:
            await browser.client.close()


@asynccontextmanager
async def running(
    redis: EmbeddedRedis,
    directory: Path,
    *,
    intake: bool = True,
    clock: Clock | None = None,
    access: RedisAccess | None = None,
    intake_url: str | None = None,
    token: str = "t" * 32,
    **options: Any,
) -> AsyncIterator[Console]:
    """A console on a Redis, with accounts in a directory."""
    clock = clock or Clock()
    fake = FakeIntake()
    await fake.start()
    token_file = directory / "token"
    token_file.write_text(f"{token}\n")
    file = ConsoleFile(directory / "console.sqlite")
    orders = Orders(intake_url or fake.url, token_file) if intake else Orders(None)
    client = connect_async(access or redis.url, timeout_s=2.0)
    base = ConsoleOptions(prefix=PREFIX, now_ms=clock, hasher=HASHER, names_s=0.0)
    server = ConsoleServer(client, file, orders, replace(base, **options))
    console = Console(server, clock, file, fake)
    try:
        await server.start()
        yield console
    finally:
        await console.close()
        await server.stop()
        await orders.close()
        await fake.stop()
        await client.aclose()
        file.close()


def law(test: Callable[[Console], Awaitable[None]], redis: EmbeddedRedis, directory: Path, **options: Any) -> None:
    """Run a test on a console."""

    async def run() -> None:
        async with running(redis, directory, **options) as console:
            await test(console)

    asyncio.run(run())
