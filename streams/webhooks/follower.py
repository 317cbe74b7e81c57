"""Reads the stream of alerts, from the place that the spool knows, and notices when the stream is not what it was."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from engine.errors import CorruptState, StoreUnavailable
from streams.redis.client import RedisClient, talking
from streams.redis.keys import Keys
from streams.webhooks.clock import Clock
from streams.webhooks.message import Message, read_message
from streams.webhooks.sender import Sender
from streams.webhooks.spool import Intake, Spool

__all__ = ["BLOCK_MS", "COUNT", "Follower", "StreamReader", "after"]

log = logging.getLogger(__name__)

BLOCK_MS = 1_000
"""How long Redis may hold a read that finds nothing: no longer than one wants to wait for the end of the process."""

COUNT = 500
"""Most messages of one read, and of one transaction of the spool."""

_WAITS_MS = (500, 1_000, 2_000, 5_000)
_BEGINNING = "0-0"


def after(one: str, other: str) -> bool:
    """Whether an id of a stream is later than another.

    Examples
    --------
    >>> after("10-0", "9-5"), after("9-10", "9-9"), after("9-9", "9-9")
    (True, True, False)
    """
    return _numbers(one) > _numbers(other)


class StreamReader:
    """Reads the stream; blocks, so it is called in a thread.

    Parameters
    ----------
    client
        Used by nobody else meanwhile; not closed.
    keys
        Names of the keys.
    block_ms
        How long a read waits for something, ms, >= 1.
    """

    def __init__(self, client: RedisClient, keys: Keys, *, block_ms: int = BLOCK_MS) -> None:
        self._client = client
        self._keys = keys
        self._block_ms = block_ms

    def newest(self) -> str:
        """The id of the newest message; `0-0` when there is none.

        Raises
        ------
        StoreUnavailable
            If Redis does not answer.
        """
        with talking(f"read {self._keys.alerts}"):
            return _first_id(self._client.execute_command("XREVRANGE", self._keys.alerts, "+", "-", "COUNT", 1))

    def read(self, position: str, floor: str) -> Intake | None:
        """What comes after a place; `None` when nothing did.

        Parameters
        ----------
        position
            The place.
        floor
            Before it nothing was ever wanted.

        Raises
        ------
        StoreUnavailable, UsageError, StateIncompatible
            See `streams.redis.client.talking`.
        """
        key = self._keys.alerts
        with talking(f"read {key}"):
            entries = _entries(
                self._client.execute_command("XREAD", "BLOCK", self._block_ms, "COUNT", COUNT, "STREAMS", key, position)
            )
            if not entries:
                return self._look_back(position, floor)
            # Looked at after the read: what was cut off before it shows, and so does what is cut off later, harmlessly.
            oldest = _first_id(self._client.execute_command("XRANGE", key, "-", "+", "COUNT", 1))
            guidance: Mapping[bytes, bytes] = {}
            if any(fields.get(b"guidance") for _, fields in entries):
                guidance = self._client.execute_command("HGETALL", self._keys.guidance)
        messages: list[Message] = []
        unreadable = 0
        for stream_id, fields in entries:
            try:
                messages.append(read_message(stream_id, fields, guidance))
            except CorruptState as error:
                unreadable += 1
                log.error("%s: %s; it is left out", key, error)
        gap = position != _BEGINNING and after(oldest, position)
        return Intake(entries[-1][0], messages, unreadable, gap=gap)

    def _look_back(self, position: str, floor: str) -> Intake | None:
        """Whether the stream ends before our place: Redis was restored, failed over, or emptied."""
        newest = _first_id(self._client.execute_command("XREVRANGE", self._keys.alerts, "+", "-", "COUNT", 1))
        if not after(position, newest):
            return None
        # What was read before is known to the spool and dropped; what is new under an older id must not be missed.
        return Intake(floor if not after(floor, newest) else _BEGINNING, rollback=True)


class Follower:
    """Brings what is new in the stream to a sender, and waits out whatever fails.

    Parameters
    ----------
    reader
        The stream.
    sender
        Where to.
    spool
        The sender's; touched in its thread only.
    clock
        Time.
    """

    def __init__(self, reader: StreamReader, sender: Sender, spool: Spool, clock: Clock) -> None:
        self._reader = reader
        self._sender = sender
        self._spool = spool
        self._clock = clock

    async def begin(self, stream: str, begin: str) -> None:
        """Bind the spool to the stream, and decide where a new one begins.

        Parameters
        ----------
        stream
            Its name.
        begin
            `now`, or `earliest`: with the oldest message that the stream has.

        Raises
        ------
        UsageError
            If it is a spool of another stream.
        StoreUnavailable
            If Redis does not answer.
        """
        on_disk = self._sender.on_disk
        position = await on_disk(self._spool.position)
        if position is None:
            position = await asyncio.to_thread(self._reader.newest) if begin == "now" else _BEGINNING
            log.info("a new spool: %s is read from %s on", stream, position)
        await on_disk(self._spool.begin, stream, position)

    async def run(self, stopping: asyncio.Event) -> None:
        """Read until the end is near.

        Raises
        ------
        UsageError, StateIncompatible
            If Redis refuses for a reason that does not pass, or the spool is damaged.
        """
        position = await self._sender.on_disk(self._spool.position)
        floor = await self._sender.on_disk(self._spool.floor)
        assert position is not None, "begin first"
        failed = 0
        while not stopping.is_set():
            if not self._sender.room.is_set():
                await self._clock.wait(stopping, self._clock.now_ms() + _WAITS_MS[0])
                continue
            try:
                intake = await asyncio.to_thread(self._reader.read, position, floor)
                if intake is not None:
                    self._tell(intake, position, await self._sender.accept(intake))
                    position = intake.position
                if failed:
                    log.info("the stream is read again")
                failed = 0
            except StoreUnavailable as error:
                log.warning("%s; trying again", error)
                wait_ms = _WAITS_MS[min(failed, len(_WAITS_MS) - 1)]
                failed += 1
                await self._clock.wait(stopping, self._clock.now_ms() + wait_ms)

    @staticmethod
    def _tell(intake: Intake, position: str, missing: int) -> None:
        if intake.gap:
            log.error(
                "the stream no longer holds %s, up to where it was read: it was trimmed or made anew; %d messages are "
                "missing by the counters of the lanes",
                position,
                missing,
            )
        elif missing:
            log.warning("%d messages are missing before %s by the counters of the lanes", missing, intake.position)
        if intake.rollback:
            log.warning(
                "the stream ends before %s, up to where it was read: Redis was restored or emptied; it is read again "
                "from %s, and what comes twice is dropped",
                position,
                intake.position,
            )


def _numbers(stream_id: str) -> tuple[int, int]:
    time, _, number = stream_id.partition("-")
    return int(time), int(number or 0)


def _first_id(reply: Any) -> str:
    return str(reply[0][0].decode()) if reply else _BEGINNING


def _entries(reply: Any) -> list[tuple[str, dict[bytes, bytes]]]:
    if not reply:
        return []
    ((_, entries),) = reply.items() if isinstance(reply, dict) else reply
    # An entry that was deleted meanwhile has no fields.
    return [(stream_id.decode(), fields or {}) for stream_id, fields in entries]
