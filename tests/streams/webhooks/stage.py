"""A sender with real receivers, and a clock that is moved by hand."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from aiohttp import web

from streams.child_process import free_port
from streams.webhooks.courier import Courier, Posts
from streams.webhooks.endpoint import Endpoint, SpoolLimits, WebhookFile
from streams.webhooks.message import Message, read_message
from streams.webhooks.pace import Pace
from streams.webhooks.secret import SecretSource
from streams.webhooks.sender import Sender
from streams.webhooks.signature import ID
from streams.webhooks.spool import Intake, Spool

T0 = 1_700_000_000_000
SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz"
ENVIRONMENT = {"HOOK": SECRET}
PATIENCE_S = 10.0


def fields(alert: str, seq: int, *, lane: int = 0, op: str = "raise", **more: Any) -> dict[bytes, bytes]:
    line = {"alert_id": f"{alert:0>16}", "op": op, "flag": more.pop("flag", "unresolved"), "customer_id": "anna"}
    line |= {"category": "billing", "at": T0 + seq, "since": T0, "until": None, "count": 1, "severity": "medium"}
    line |= {"evidence": ["e1"], "scores": {}, "reasons": []}
    told = {"alert_id": line["alert_id"], "seq": seq, "lane": lane, "line": orjson.dumps(line), "priority": 3}
    told |= {"route": "team:a", "scene": orjson.dumps(['[1,"request","billing","web",null,null]'])} | more
    return {name.encode(): value if isinstance(value, bytes) else str(value).encode() for name, value in told.items()}


def message(alert: str, seq: int, **more: Any) -> Message:
    return read_message(f"{seq}-0", fields(alert, seq, **more), {})


def intake(*messages: Message) -> Intake:
    return Intake(messages[-1].stream_id, messages)


def endpoint(url: str, name: str = "crm", **more: Any) -> Endpoint:
    allowed = {"allow_private": True, "allow_insecure": True} | more
    return Endpoint(name, url, (SecretSource("test", env="HOOK"),), **allowed)


class HandClock:
    """Time stands still until it is moved."""

    def __init__(self) -> None:
        self.now = T0
        self._moved = asyncio.Event()

    def now_ms(self) -> int:
        return self.now

    def move_to(self, at_ms: int) -> None:
        self.now = max(self.now, at_ms)
        self._moved.set()
        self._moved = asyncio.Event()

    async def wait(self, event: asyncio.Event, until_ms: int | None) -> None:
        while not event.is_set() and (until_ms is None or self.now < until_ms):
            waits = [asyncio.ensure_future(event.wait()), asyncio.ensure_future(self._moved.wait())]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for each in waits:
                    each.cancel()


Answers = Callable[[web.Request, int], Awaitable[web.StreamResponse]]


class Receiver:
    """A real HTTP server that notes the ids of what it got, and answers as it is told."""

    def __init__(self) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/hook"
        self.got: list[str] = []
        self.taken: list[str] = []
        self.requests: list[tuple[dict[str, str], bytes]] = []
        self.status = 204
        self.headers: dict[str, str] = {}
        self.answer: Answers | None = None
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._take)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self.port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _take(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        key = request.headers[ID]
        self.got.append(key)
        self.requests.append(({name.lower(): value for name, value in request.headers.items()}, body))
        if self.answer is not None:
            return await self.answer(request, len(self.got))
        if 200 <= self.status < 300:
            self.taken.append(key)
        return web.Response(status=self.status, headers=self.headers)


Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def raw_receiver(handle: Handler) -> AsyncIterator[str]:
    """A server that need not speak HTTP; its URL."""
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await handle(reader, writer)
        except (ConnectionError, asyncio.CancelledError, asyncio.IncompleteReadError):
            pass
        finally:
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/hook"
    finally:
        server.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Stage:
    """A spool, a sender, and time."""

    def __init__(self, path: Path, *endpoints: Endpoint, limits: SpoolLimits | None = None, new: bool = False) -> None:
        self.clock = HandClock()
        self.spool = Spool(path, create=True, own=True)
        if not new:
            self.spool.begin("risk:alerts", "0-0")
        self.file = WebhookFile("test", endpoints, limits or SpoolLimits())
        self.couriers: dict[str, Posts] = {
            each.name: Courier(each, ENVIRONMENT, self.clock.now_ms) for each in endpoints
        }
        self.sender = Sender(self.spool, self.file, self.couriers, self.clock, pace=Pace(), draw=random.Random(7))

    async def __aenter__(self) -> Stage:
        await self.sender.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.sender.stop(grace_s=2.0)
        self.spool.close()

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S):
            while not holds():
                await asyncio.sleep(0.002)

    async def until_moving(self, holds: Callable[[], bool]) -> None:
        """The same while time passes, for what happens now and then."""

        def moved() -> bool:
            self.clock.move_to(self.clock.now + 1_000)
            return holds()

        await self.until(moved)

    async def settle(self) -> None:
        """Until nothing is under way and nothing is due."""
        async with asyncio.timeout(PATIENCE_S):
            quiet = 0
            while quiet < 3:
                at = self.sender.idle_until()
                busy = self.sender.n_under_way or (at is not None and at <= self.clock.now)
                quiet = 0 if busy else quiet + 1
                await asyncio.sleep(0.002)

    async def pass_time(self, ms: int) -> int:
        """Let time pass, from one thing that is due to the next; how many steps it took."""
        end, steps = self.clock.now + ms, 0
        while True:
            await self.settle()
            at = self.sender.idle_until()
            if at is None or at > end:
                self.clock.move_to(end)
                await self.settle()
                return steps
            self.clock.move_to(at)
            steps += 1
