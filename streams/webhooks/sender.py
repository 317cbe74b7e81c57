"""Takes messages from the spool to the endpoints: one dispatcher for each, and one thread for the disk."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from engine.errors import StoreUnavailable
from streams.webhooks.clock import Clock
from streams.webhooks.courier import Posts
from streams.webhooks.endpoint import WebhookFile
from streams.webhooks.lineup import Decision, Item, Lineup
from streams.webhooks.pace import Pace
from streams.webhooks.spool import Intake, Settled, Spool

__all__ = ["GRACE_S", "Sender"]

log = logging.getLogger(__name__)

GRACE_S = 5.0
"""How long what is under way may take when the sender is told to stop, seconds; what takes longer is sent again."""

_LOOK_MS = 1_000  # how soon a person's wish is seen
_PRUNE_MS = 60_000
_DISK_WAIT_MS = 2_000
_BATCH = 256

_Answer = TypeVar("_Answer")


class Sender:
    """Delivers what the spool holds.

    Parameters
    ----------
    spool
        Owned by nobody else; closed by whoever opened it.
    file
        Endpoints and limits.
    posts
        A courier for each endpoint, by name; closed with the sender.
    clock
        Time.
    pace
        How patient.
    draw
        Randomness of waits.
    """

    def __init__(
        self,
        spool: Spool,
        file: WebhookFile,
        posts: Mapping[str, Posts],
        clock: Clock,
        *,
        pace: Pace | None = None,
        draw: random.Random | None = None,
    ) -> None:
        draw = random.Random() if draw is None else draw
        pace = Pace() if pace is None else pace
        self._spool = spool
        self._file = file
        self._posts = posts
        self._clock = clock
        self._disk = ThreadPoolExecutor(1, "spool")
        self._lineups = {each.name: Lineup(each, pace, draw) for each in file.endpoints}
        self._changed = {name: asyncio.Event() for name in self._lineups}
        self._stopping = asyncio.Event()
        self._settled: asyncio.Queue[tuple[Settled, asyncio.Future[None]]] = asyncio.Queue()
        self._room = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        self._attempts: dict[asyncio.Task[None], tuple[Lineup, Item]] = {}
        self._orphans = 0
        self._version = -1

    # -- life ---------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Read what waits, and begin to deliver.

        Raises
        ------
        StoreUnavailable, StateIncompatible
            If the spool cannot be read.
        """
        now_ms = self._clock.now_ms()
        await self.on_disk(self._spool.wishes)
        n_all = 0
        for name, lineup in self._lineups.items():
            failures, paused_until, gone = await self.on_disk(self._spool.introduce, name, lineup.endpoint.mark)
            lineup.circuit.restore(
                failures=failures, paused_until=min(paused_until, now_ms + Pace().retry_after_cap_ms), gone=gone
            )
            for item in await self.on_disk(self._spool.load, name, now_ms):
                lineup.put(item)
            n_all += len(lineup)
            log.info(
                "endpoint %s: %d messages wait%s", name, len(lineup), "; it said 410, so it is paused" if gone else ""
            )
        (waiting,) = (await self.on_disk(self._spool.rows, "SELECT count(*) FROM message WHERE dead_at IS NULL"))[0]
        self._orphans = waiting - n_all
        if self._orphans:
            log.warning("%d messages wait for endpoints that %s does not have", self._orphans, self._file.source)
        self._look_for_room()
        self._tasks = [
            asyncio.create_task(self._note(), name="note"),
            asyncio.create_task(self._look_around(), name="look around"),
            *(asyncio.create_task(self._dispatch(lineup), name=name) for name, lineup in self._lineups.items()),
        ]

    def halt(self) -> None:
        """Begin nothing new."""
        self._stopping.set()
        for event in self._changed.values():
            event.set()

    async def stop(self, grace_s: float = GRACE_S) -> None:
        """Begin nothing new, finish within a few seconds what is under way, and note it."""
        self.halt()
        if self._attempts:
            await asyncio.wait(list(self._attempts), timeout=grace_s)
        for attempt in list(self._attempts):
            attempt.cancel()
        await asyncio.gather(*list(self._attempts), return_exceptions=True)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for courier in self._posts.values():
            await courier.close()
        self._disk.shutdown(wait=True)

    async def watch(self) -> None:
        """Return never; raise what a part of the sender failed with."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_EXCEPTION)
        for task in done:
            task.result()

    # -- messages -----------------------------------------------------------------------------------------------

    async def on_disk(self, function: Callable[..., _Answer], *arguments: object) -> _Answer:
        """Call a method of the spool in the thread that is the disk's."""
        return await asyncio.get_running_loop().run_in_executor(self._disk, partial(function, *arguments))

    async def accept(self, intake: Intake) -> int:
        """Queue what was read of the stream; how many messages were missing before it. Durable when it returns.

        Raises
        ------
        StoreUnavailable
            If it could not be written; nothing of it is queued then.
        """
        queued, missing = await self.on_disk(self._spool.take_in, intake, self._file.endpoints, self._clock.now_ms())
        for name, item in queued:
            self._lineups[name].put(item)
        for name in {name for name, _ in queued}:
            self._changed[name].set()
        self._look_for_room()
        return missing

    @property
    def room(self) -> asyncio.Event:
        """Set while the spool takes more messages."""
        return self._room

    @property
    def n_under_way(self) -> int:
        """How many attempts are under way."""
        return len(self._attempts)

    def idle_until(self) -> int | None:
        """When something is due next, ms; `None`: nothing, unless something comes."""
        return min((at for lineup in self._lineups.values() if (at := lineup.wake_at()) is not None), default=None)

    def waiting(self) -> int:
        """How many messages wait or are under way."""
        return sum(len(lineup) for lineup in self._lineups.values()) + self._orphans

    # -- within -------------------------------------------------------------------------------------------------

    async def _dispatch(self, lineup: Lineup) -> None:
        name, changed = lineup.endpoint.name, self._changed[lineup.endpoint.name]
        while not self._stopping.is_set():
            changed.clear()
            now_ms = self._clock.now_ms()
            expired = lineup.expire(now_ms)
            while not self._stopping.is_set() and (item := lineup.take(now_ms)) is not None:
                attempt = asyncio.create_task(self._attempt(lineup, item))
                self._attempts[attempt] = (lineup, item)
                attempt.add_done_callback(self._ended)
            if expired:
                log.warning("endpoint %s: %d messages were given up, too old", name, len(expired))
                await asyncio.gather(*(self._settle(lineup, each, attempted=False) for each in expired))
            else:
                await self._clock.wait(changed, lineup.wake_at())

    async def _attempt(self, lineup: Lineup, item: Item) -> None:
        endpoint = lineup.endpoint
        content = await self.on_disk(self._spool.content, item.number)
        if content is None:
            lineup.drop(item)
            return
        answer = await self._posts[endpoint.name].post(*content)
        was = lineup.circuit.trying
        decision = lineup.settle(item, answer, self._clock.now_ms())
        self._tell(lineup, decision, content[0], was)
        await self._settle(lineup, decision, attempted=True)

    def _tell(self, lineup: Lineup, decision: Decision, key: str, was_trying: bool) -> None:
        name, circuit, item = lineup.endpoint.name, lineup.circuit, decision.item
        if decision.fate == "delivered":
            log.debug("endpoint %s: %s delivered", name, key)
            if was_trying and not circuit.trying:
                log.info("endpoint %s: answers again; %d messages wait", name, len(lineup))
        elif circuit.gone:
            log.error(
                "endpoint %s: said 410, so it is gone; paused until `henji webhooks resume %s`; %d messages wait",
                name, name, len(lineup),
            )  # fmt: skip
        elif decision.fate == "dead":
            log.error("endpoint %s: %s is dead after %d attempts: %s", name, key, item.attempts, decision.why)
        elif circuit.trying and not was_trying:
            log.warning(
                "endpoint %s: %d failures in a row, tried with pauses: %s", name, circuit.failures, decision.why
            )
        else:
            log.log(
                logging.DEBUG if was_trying else logging.INFO,
                "endpoint %s: %s attempt %d failed: %s", name, key, item.attempts, decision.why,
            )  # fmt: skip

    async def _settle(self, lineup: Lineup, decision: Decision, *, attempted: bool) -> None:
        circuit = lineup.circuit
        settled = Settled(
            lineup.endpoint.name, decision, self._clock.now_ms(), attempted,
            circuit.failures, circuit.paused_until, circuit.gone,
        )  # fmt: skip
        noted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._settled.put_nowait((settled, noted))
        await noted

    def _ended(self, attempt: asyncio.Task[None]) -> None:
        lineup, item = self._attempts.pop(attempt)
        if not attempt.cancelled() and attempt.exception() is not None:
            # The edge: a bug of ours must not stop the other endpoints, nor spin.
            log.error("endpoint %s: an attempt failed", lineup.endpoint.name, exc_info=attempt.exception())
            item.next_at = self._clock.now_ms() + Pace().base_ms
        lineup.free(item)
        self._look_for_room()
        self._changed[lineup.endpoint.name].set()

    async def _note(self) -> None:
        """Write the ends of attempts, as many as there are, in one transaction."""
        while True:
            batch = [await self._settled.get()]
            while len(batch) < _BATCH and not self._settled.empty():
                batch.append(self._settled.get_nowait())
            while True:
                try:
                    await self.on_disk(self._spool.settle, [settled for settled, _ in batch])
                    break
                except StoreUnavailable as error:
                    log.error("%s; trying again", error)
                    await self._clock.wait(asyncio.Event(), self._clock.now_ms() + _DISK_WAIT_MS)
            for _, noted in batch:
                if not noted.done():
                    noted.set_result(None)

    async def _look_around(self) -> None:
        """See what people asked for, and let old things go."""
        prune_at = 0
        while True:
            now_ms = self._clock.now_ms()
            try:
                await self._heed()
                if now_ms >= prune_at:
                    forgotten = await self.on_disk(self._spool.prune, now_ms, self._file.limits)
                    if forgotten:
                        log.warning("%d messages of the dead list were kept long enough and are gone", forgotten)
                    prune_at = now_ms + _PRUNE_MS
            except StoreUnavailable as error:
                log.error("%s; trying again", error)
            await self._clock.wait(asyncio.Event(), now_ms + _LOOK_MS)

    async def _heed(self) -> None:
        version = await self.on_disk(self._spool.version)
        if version == self._version:
            return
        self._version = version
        for wish in await self.on_disk(self._spool.wishes):
            if wish.what == "resend":
                found = await self.on_disk(self._spool.item, wish.target)
                if found is None or found[0] not in self._lineups or found[1].number in self._lineups[found[0]]:
                    continue
                name, item = found
                self._lineups[name].put(item)
            else:
                name = str(wish.target)
                if name not in self._lineups:
                    continue
                self._lineups[name].resume(self._clock.now_ms())
                await self.on_disk(partial(self._spool.note_circuit, name, failures=0, paused_until=0, gone=False))
                log.info("endpoint %s: resumed", name)
            self._changed[name].set()

    def _look_for_room(self) -> None:
        full = self.waiting() >= self._file.limits.max_messages
        if full and self._room.is_set():
            log.error(
                "%d messages wait: the stream is not read on; it keeps about the newest 100,000, then some are lost",
                self.waiting(),
            )
        if full:
            self._room.clear()
        else:
            self._room.set()
