"""A log as the traffic of a deployment: sent as fast as it goes, or at a multiple of real speed."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from engine.timestamp import MAX_TS
from engine.vocabulary import Vocabulary
from streams.demo.deployment import Deployment
from streams.kafka.foreign_errors import mapped
from streams.kafka.producer import start_producer, stop_producer
from streams.kafka.sender import BATCH_BYTES, LONGEST, Placed, Sender, place
from streams.reader.log import LogReader
from streams.reader.record import Record
from streams.replay.pacing import paced

__all__ = ["Player"]

# Records that are due within one beat go together: one by one the broker would have more to do than the worker.
_BEAT_S = 0.1


class Player:
    """Sends a log once.

    Parameters
    ----------
    reader
        The log.
    words
        Translates an organisation's own words. Records are sent as they are, by the key that they will have.
    factor
        Times real speed; `None`: as fast as it goes.
    stamped
        Give records the time that the log has for them, and none where it has none, as a replay of the file sees them;
        else the time of now, as a live application would.
    """

    def __init__(
        self, reader: LogReader, *, words: Vocabulary | None = None, factor: float | None = None, stamped: bool = False
    ) -> None:
        self._reader = reader
        self._words = words
        self._factor = factor
        self._stamped = stamped
        self._stop = threading.Event()
        self._sender: Sender | None = None

    @property
    def sent(self) -> Counter[int]:
        """Partition -> records that the broker has acknowledged."""
        return Counter() if self._sender is None else self._sender.acknowledged

    def stop(self) -> None:
        """Let `play` come to its end soon; from any thread."""
        self._stop.set()

    async def play(self, deployment: Deployment) -> None:
        """Send the log; when it returns, everything that was sent is acknowledged.

        Raises
        ------
        UsageError
            If the log turns out to be damaged.
        HenjiError
            If the broker fails.
        """
        connection, topic = deployment.connection, deployment.topic
        # The embedded broker gives no producer ids.
        producer = await start_producer(connection, max_batch_size=BATCH_BYTES, enable_idempotence=False)
        try:
            with mapped(connection, f"send to {topic}"), ThreadPoolExecutor(1, "log") as thread:
                self._sender = Sender(producer, topic)
                batches = self._batches()
                loop = asyncio.get_running_loop()
                try:
                    while (batch := await loop.run_in_executor(thread, next, batches, None)) is not None:
                        await self._sender.send(self._placed(record, deployment.partitions) for record in batch)
                        if self._factor is not None:
                            await self._sender.flush()
                    await self._sender.flush()
                finally:
                    self._stop.set()
        finally:
            await stop_producer(producer)

    def _batches(self) -> Iterator[Sequence[Record]]:
        batches: Iterator[Sequence[Record]] = iter(self._reader)
        if self._factor is not None:
            batches = paced(batches, self._factor, self._words, now_s=_beat, sleep=partial(_wait, self._stop))
        try:
            for batch in batches:
                if self._stop.is_set():
                    return
                yield batch
        except _StoppedError:
            return

    def _placed(self, record: Record, partitions: int) -> Placed:
        raw = record.raw or b""
        stamp = None
        if self._stamped:
            # No event can be ahead of the latest time that there is, so this says that nothing is known. Kafka's own
            # word for that, -1, is lost in a batch with other times (aiokafka takes it for one that has none yet).
            stamp = MAX_TS if record.record_ts is None else min(record.record_ts, MAX_TS)
        placed = place(raw, partitions, timestamp_ms=stamp, words=self._words)
        # The worker translates, as a replay does: what it refuses is refused for the same reason.
        return placed._replace(value=raw) if self._words is not None and len(raw) <= LONGEST else placed


class _StoppedError(Exception):
    """The player is stopped while it waits for the next event."""


def _beat() -> float:
    return math.floor(time.monotonic() / _BEAT_S) * _BEAT_S


def _wait(stop: threading.Event, _seconds: float) -> None:
    # The clock of the pace stands still between two beats.
    if stop.wait(_BEAT_S - time.monotonic() % _BEAT_S):
        raise _StoppedError
