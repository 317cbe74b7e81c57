"""The worker's window: `/live`, `/ready` and `/metrics` over HTTP, and nothing else."""

from __future__ import annotations

import time
from collections.abc import Callable

import orjson
from aiohttp import web

from engine.errors import UsageError
from streams.live.metrics import CONTENT_TYPE, Metrics
from streams.live.progress import Answer, Progress

__all__ = ["HealthServer"]


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class HealthServer:
    """Serves what `Progress` and `Metrics` know, in the event loop of the worker.

    A loop that hangs does not answer, so a probe with a timeout sees that too.

    Parameters
    ----------
    address
        `HOST:PORT` as in `worker.http`; port 0 takes a free one, empty serves nothing.
    progress, metrics
        What is served. `metrics` may be refreshed by `before_scrape`.
    now_ms
        Wall clock, ms.
    before_scrape
        Called before the metrics are written out, for gauges that are read and not told.

    Examples
    --------
    >>> import asyncio
    >>> async def url() -> str:
    ...     server = HealthServer("127.0.0.1:0", Progress(0), Metrics())
    ...     await server.start()
    ...     try:
    ...         return server.url
    ...     finally:
    ...         await server.stop()
    >>> asyncio.run(url())
    'http://127.0.0.1:...'
    """

    def __init__(
        self,
        address: str,
        progress: Progress,
        metrics: Metrics,
        *,
        now_ms: Callable[[], int] = _wall_ms,
        before_scrape: Callable[[], None] = lambda: None,
    ) -> None:
        self._address = address
        self._progress = progress
        self._metrics = metrics
        self._now_ms = now_ms
        self._before_scrape = before_scrape
        self._runner: web.AppRunner | None = None
        self._url = ""

    @property
    def url(self) -> str:
        """Where it listens, such as `http://127.0.0.1:6067`; empty while it does not."""
        return self._url

    async def start(self) -> None:
        """Begin to listen.

        Raises
        ------
        UsageError
            If the address cannot be taken.
        """
        if not self._address or self._runner is not None:
            return
        app = web.Application()
        app.router.add_get("/live", self._live)
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/metrics", self._all_metrics)
        # Probes come every few seconds for ever: no line each in the log. A reader that hangs must not hold up a stop.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        host, _, port = self._address.rpartition(":")
        site = web.TCPSite(runner, host.strip("[]"), int(port))
        try:
            await site.start()
        except OSError as error:
            await runner.cleanup()
            raise UsageError(
                f"worker.http: expected a free address of this machine, got {self._address} ({error.strerror}); "
                "choose another port, port 0, or off"
            ) from error
        self._runner = runner
        bound_host, bound_port = runner.addresses[0][:2]
        self._url = f"http://{f'[{bound_host}]' if ':' in bound_host else bound_host}:{bound_port}"

    async def stop(self) -> None:
        """Listen no more; may be called twice."""
        runner, self._runner, self._url = self._runner, None, ""
        if runner is not None:
            await runner.cleanup()

    async def _live(self, _request: web.Request) -> web.Response:
        return _said("live", self._progress.live(self._now_ms()))

    async def _ready(self, _request: web.Request) -> web.Response:
        return _said("ready", self._progress.ready(self._now_ms()))

    async def _all_metrics(self, _request: web.Request) -> web.Response:
        self._before_scrape()
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": CONTENT_TYPE})


def _said(what: str, answer: Answer) -> web.Response:
    body = orjson.dumps({what: answer.ok, "reason": answer.reason})
    return web.Response(
        body=body,
        status=200 if answer.ok else 503,
        content_type="application/json",
        headers={"Cache-Control": "no-store"},
    )
