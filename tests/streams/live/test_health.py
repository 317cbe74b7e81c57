from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from engine.errors import UsageError
from streams.live.health import HealthServer
from streams.live.metrics import Metrics
from streams.live.progress import STALL_MS, Progress

T = 1_700_000_000_000


def serve(
    visit: Callable[[HealthServer, aiohttp.ClientSession], Awaitable[None]],
    progress: Progress | None = None,
    metrics: Metrics | None = None,
    **more: Any,
) -> None:
    """Run a visitor against a server on a free port."""

    async def run() -> None:
        server = HealthServer("127.0.0.1:0", progress or Progress(T), metrics or Metrics(), **more)
        await server.start()
        try:
            async with aiohttp.ClientSession() as session:
                await visit(server, session)
        finally:
            await server.stop()

    asyncio.run(run())


async def get(session: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
    async with session.get(url) as answer:
        return answer.status, await answer.json()


def test_live_and_ready_follow_progress() -> None:
    progress = Progress(T)
    now = T

    async def visit(server: HealthServer, session: aiohttp.ClientSession) -> None:
        nonlocal now
        assert await get(session, server.url + "/live") == (200, {"live": True, "reason": ""})
        assert await get(session, server.url + "/ready") == (
            503,
            {"ready": False, "reason": "expected an assignment of partitions, got none yet"},
        )
        progress.assigned([], T)
        assert await get(session, server.url + "/ready") == (200, {"ready": True, "reason": ""})
        now = T + STALL_MS + 1_000
        assert await get(session, server.url + "/live") == (
            503,
            {"live": False, "reason": "Kafka: expected an answer within 60 s, got none for 61 s"},
        )

    serve(visit, progress, now_ms=lambda: now)


def test_metrics_are_prometheus_text_as_they_stand_at_the_scrape() -> None:
    metrics = Metrics()
    metrics.conflict()

    async def visit(server: HealthServer, session: aiohttp.ClientSession) -> None:
        async with session.get(server.url + "/metrics") as answer:
            text = await answer.text()
            assert answer.status == 200
            assert answer.headers["Content-Type"].startswith("text/plain; version=")
        assert "henji_ledger_conflicts_total 1.0" in text.splitlines()
        assert "henji_outbox_waiting_messages 7.0" in text.splitlines()

    serve(visit, metrics=metrics, before_scrape=lambda: metrics.outbox(7))


@pytest.mark.parametrize("path", ["/", "/table/customers", "/live/", "/metrics/x", "/router/a/b", "/stats"])
def test_there_is_nothing_else(path: str) -> None:
    async def visit(server: HealthServer, session: aiohttp.ClientSession) -> None:
        async with session.get(server.url + path) as answer:
            assert answer.status == 404
        async with session.post(server.url + "/live") as answer:
            assert answer.status == 405

    serve(visit)


def test_who_hangs_on_does_not_hold_up_a_stop() -> None:
    async def run() -> None:
        server = HealthServer("127.0.0.1:0", Progress(T), Metrics())
        await server.start()
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(b"GET /live HTTP/1.1\r\n")
        await writer.drain()
        await asyncio.wait_for(server.stop(), 5)
        await server.stop()
        assert server.url == ""
        assert await reader.read() == b""
        writer.close()
        await writer.wait_closed()

    asyncio.run(run())


def test_an_address_that_is_taken_is_named() -> None:
    async def run(port: int) -> None:
        server = HealthServer(f"127.0.0.1:{port}", Progress(T), Metrics())
        with pytest.raises(UsageError, match=rf"worker\.http: .*127\.0\.0\.1:{port}.*choose another port"):
            await server.start()
        await server.stop()

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        asyncio.run(run(taken.getsockname()[1]))


def test_off_serves_nothing() -> None:
    async def run() -> None:
        server = HealthServer("", Progress(T), Metrics())
        await server.start()
        assert server.url == ""
        await server.stop()

    asyncio.run(run())
