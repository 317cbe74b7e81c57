"""Letters sent to the events topic again, their bytes as they were found."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from aiokafka import AIOKafkaProducer

from engine.decode import decode
from engine.errors import InvalidEvent
from engine.murmur2 import murmur2
from streams.kafka.connection import Connection
from streams.kafka.dead_letter import LATE, MAX_LETTER_BYTES, DeadLetter, Resolution
from streams.kafka.foreign_errors import mapped
from streams.kafka.producer import start_producer, stop_producer
from streams.kafka.sender import count_partitions, place

__all__ = ["Replayer", "why_held", "with_key"]

# A chunk is in memory until it is acknowledged. Small enough to lose little work, large enough that the two round trips
# to Kafka do not count.
_CHUNK_LETTERS = 500
_CHUNK_BYTES = 4 * 1024**2
# An idempotent producer would try for ever.
_PATIENCE_S = 60.0


def with_key(letter: DeadLetter, partitions: int) -> tuple[bytes | None, int]:
    """Key and partition under which a letter's bytes are sent again.

    The key is that of the record. Where it has none, or the key was what was wrong, the record goes where `henji send`
    would put it: by its customer, or its lane.

    Parameters
    ----------
    letter
        To be sent.
    partitions
        Of the events topic.

    Examples
    --------
    >>> letter = DeadLetter(b'{"customer_id":"c1"}', b"c2", "events", 0, 7, -1, "engine", "", "ZeroDivisionError")
    >>> with_key(letter, 4), with_key(letter._replace(reason="key_mismatch"), 4)
    ((b'c2', 1), (b'c1', 3))
    """
    key = letter.key
    if key is None or letter.reason == "key_mismatch":
        found = place(letter.raw or b"", partitions)
        if key is None or found.key is not None:
            return found.key, found.partition
    return key, (murmur2(key) & 0x7FFFFFFF) % partitions


def why_held(letter: DeadLetter, *, now_ms: int, force: bool) -> str | None:
    """Why a letter is not sent again; `None` if it is.

    Parameters
    ----------
    letter
        Of a dead-letter or late topic.
    now_ms
        Time that its record would get, ms.
    force
        Send also what would come back as a letter.

    Examples
    --------
    >>> letter = DeadLetter(b"{", None, "events", 0, 7, -1, "json", "", "expected one JSON object")
    >>> why_held(letter, now_ms=0, force=False), why_held(letter, now_ms=0, force=True)
    ('json', None)
    """
    if letter.whole_bytes >= 0:
        return "cut"
    if letter.raw is None and letter.key is None:
        return "tombstone"
    if force:
        return None
    if letter.reason == LATE:
        return LATE
    key, _ = with_key(letter, 1)
    try:
        decode(letter.raw, record_ts=now_ms, key=key)
    except InvalidEvent as error:
        return error.reason
    return None


@dataclass(slots=True)
class Replayer:
    """Sends letters, and once Kafka has them resolves them. Enter it, `add` letters in their order, and leave it.

    Events first, resolutions after: a crash in between leaves letters open whose events were sent, and the next replay
    sends them twice, which the engine drops by their id.

    Parameters
    ----------
    connection
        Where Kafka is.
    events
        The events topic.
    letters
        The topic of the letters, where the resolutions go.
    on_chunk
        Called with the number of letters that were resolved just now.
    """

    connection: Connection
    events: str
    letters: str
    on_chunk: Callable[[int], None] = lambda _n: None
    sent: Counter[str] = field(default_factory=Counter)
    _chunk: list[DeadLetter] = field(default_factory=list)
    _bytes: int = 0
    _producer: AIOKafkaProducer | None = None
    _partitions: tuple[int, int] = (0, 0)

    async def __aenter__(self) -> Self:
        """Connect.

        Raises
        ------
        ConfigurationError
            If a topic does not exist.
        RecoverableError
            If Kafka does not answer.
        """
        producer = await start_producer(self.connection, max_request_size=MAX_LETTER_BYTES, client_id="henji-dlq")
        try:
            with mapped(self.connection, "replay letters"):
                counts = [await count_partitions(producer, topic) for topic in (self.events, self.letters)]
        except BaseException:
            await stop_producer(producer)
            raise
        self._producer, self._partitions = producer, (counts[0], counts[1])
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._producer is not None, "entered"
        try:
            if kind is None:
                await self._flush()
        finally:
            await stop_producer(self._producer)

    async def add(self, letter: DeadLetter) -> None:
        """Take a letter; what was taken is sent in chunks.

        Raises
        ------
        HenjiError
            If Kafka refuses or does not answer. Whatever was not resolved is still open: replay again.
        """
        self._chunk.append(letter)
        self._bytes += len(letter.raw or b"")
        if len(self._chunk) >= _CHUNK_LETTERS or self._bytes >= _CHUNK_BYTES:
            await self._flush()

    async def _flush(self) -> None:
        if not self._chunk:
            return
        with mapped(self.connection, f"send letters to {self.events}"):
            await self._send(self._chunk)
        with mapped(self.connection, f"resolve letters in {self.letters}"):
            await self._resolve(self._chunk)
        self.sent.update(letter.reason for letter in self._chunk)
        n_letters = len(self._chunk)
        self._chunk, self._bytes = [], 0
        self.on_chunk(n_letters)

    async def _send(self, letters: list[DeadLetter]) -> None:
        assert self._producer is not None, "entered"
        async with asyncio.timeout(_PATIENCE_S):
            under_way = []
            for letter in letters:
                key, partition = with_key(letter, self._partitions[0])
                under_way.append(await self._producer.send(self.events, value=letter.raw, key=key, partition=partition))
            await asyncio.gather(*under_way)

    async def _resolve(self, letters: list[DeadLetter]) -> None:
        assert self._producer is not None, "entered"
        async with asyncio.timeout(_PATIENCE_S):
            under_way = []
            for letter in letters:
                record = Resolution(letter.place).record()
                partition = (murmur2(record["key"]) & 0x7FFFFFFF) % self._partitions[1]
                under_way.append(await self._producer.send(self.letters, partition=partition, **record))
            await asyncio.gather(*under_way)
