"""A log played through a deployment, and what is to be seen of it meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from engine.errors import HenjiError
from streams.demo.deployment import Deployment
from streams.demo.player import Player
from streams.redis.board import RiskBoard
from streams.redis.views import AlertView

__all__ = ["Audience", "Performance", "Status"]

_POLL_S = 0.05
_STATUS_S = 0.5
_RATE_OVER = 10  # statuses
_START_S = 120.0
_STILL_S = 120.0
_ALERTS = 1_000  # per read of the stream


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How a performance stands.

    Parameters
    ----------
    at
        Event time, ms, up to which everything is applied; `None` before the first event.
    read
        Records in the ledger.
    per_second
        Of them in the last seconds.
    n_up
        Flags that are up.
    lag
        Records that the broker has and the ledger has not.
    freshness
        `fresh` when every lane that has a word is; else the worst of `stale` and `unknown`.
    """

    at: int | None
    read: int
    per_second: float
    n_up: int
    lag: int
    freshness: str


class Audience(Protocol):
    """Sees a performance. Called between two looks at the board, so it must not block for long."""

    def alert(self, alert: AlertView) -> None:
        """An alert came; in the order of the stream, each once."""

    def status(self, status: Status) -> None:
        """How it stands, twice a second and at the end."""


class Performance:
    """Plays a log through a deployment and follows the board.

    Parameters
    ----------
    deployment
        Entered.
    player
        Of the log.
    audience
        Who sees it; `None`: nobody, and the board is left alone.
    """

    def __init__(self, deployment: Deployment, player: Player, audience: Audience | None = None) -> None:
        self.seconds: dict[str, float] = {}
        self._deployment = deployment
        self._player = player
        self._audience = audience
        self._board = RiskBoard(deployment.client, deployment.keys.prefix)
        self._last_alert = "0"
        self._up: set[tuple[str, str, str | None]] = set()
        self._rates: deque[tuple[float, int]] = deque(maxlen=_RATE_OVER)
        self._status_at = 0.0
        self._stopping = False

    def stop(self) -> None:
        """Play no further; `run` returns soon."""
        self._stopping = True
        self._player.stop()

    async def run(self) -> None:
        """Wait for the worker, play the log, and wait until all of it is in the ledger, or until `stop`.

        Raises
        ------
        HenjiError
            If the worker ends, or does not go on for two minutes.
        """
        started = time.monotonic()
        await self._until(lambda: len(self._deployment.read()) == self._deployment.partitions, _START_S)
        opened = time.monotonic()
        playing = asyncio.create_task(self._player.play(self._deployment))
        try:
            while not (playing.done() or self._stopping):
                self._look()
                await asyncio.wait([playing], timeout=_POLL_S)
            self._player.stop()
            await playing
            await self._until(self._all_read, _STILL_S)
        finally:
            self._player.stop()
            await asyncio.gather(playing, return_exceptions=True)
        self._look(last=not self._stopping)
        self.seconds = {"start": opened - started, "play": time.monotonic() - opened}

    async def _until(self, done: Callable[[], bool], patience_s: float) -> None:
        before, since = -1, time.monotonic()
        while not (self._stopping or done()):
            self._look()
            read = sum(self._deployment.read().values())
            if read != before:
                before, since = read, time.monotonic()
            if time.monotonic() - since > patience_s:
                raise HenjiError(
                    f"worker: expected it to go on within {patience_s:g} s, got {read} records read and no more; "
                    f"the end of its log:\n{self._deployment.worker.last_lines()}"
                )
            await asyncio.sleep(_POLL_S)

    def _all_read(self) -> bool:
        return self._player.sent == Counter({n: read for n, read in self._deployment.read().items() if read})

    # -- what is to be seen --------------------------------------------------------------------------------------

    def _look(self, *, last: bool = False) -> None:
        self._deployment.worker.check()
        audience = self._audience
        if audience is None:
            return
        while alerts := self._board.alerts(self._last_alert, _ALERTS):
            for alert in alerts:
                self._fold(alert)
                audience.alert(alert)
            self._last_alert = alerts[-1].stream_id
        now = time.monotonic()
        if last or now - self._status_at >= _STATUS_S:
            self._status_at = now
            audience.status(self._status(now))

    def _fold(self, alert: AlertView) -> None:
        line = alert.line
        flag = (line["customer_id"], line["flag"], line["category"])
        if line["op"] == "raise":
            self._up.add(flag)
        elif line["op"] == "clear":
            self._up.discard(flag)

    def _status(self, now: float) -> Status:
        read = sum(self._deployment.read().values())
        self._rates.append((now, read))
        since, before = self._rates[0]
        return Status(
            at=self._clock(),
            read=read,
            per_second=(read - before) / (now - since) if now > since else 0.0,
            n_up=len(self._up),
            lag=max(0, self._player.sent.total() - read),
            freshness=self._freshness(),
        )

    def _clock(self) -> int | None:
        meta = self._board.meta()
        return max(meta.watermarks.values(), default=None) if meta is not None else None

    def _freshness(self) -> str:
        meta = self._board.meta()
        now_ms = time.time_ns() // 1_000_000
        states = {self._board.input_state(lane, now_ms) for lane in meta.inputs} if meta is not None else set()
        return next((state for state in ("stale", "unknown", "fresh") if state in states), "unknown")
