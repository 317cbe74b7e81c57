"""From the intake to Kafka: acknowledged or not, and never more under way than fits in memory."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeAlias

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from engine.errors import ConfigurationError, HenjiError, RecoverableError
from streams.intake.submission import Submitted
from streams.kafka.connection import Connection
from streams.kafka.foreign_errors import mapped
from streams.kafka.producer import partition_for, start_producer, stop_producer
from streams.kafka.sender import count_partitions

__all__ = ["ACK_S", "Outlet", "Place"]

log = logging.getLogger(__name__)

ACK_S = 20.0
"""Longest wait of a request for its acknowledgements, seconds: less than the 30 to 60 s after which proxies give up."""

_STALLED_S = 5.0  # Kafka silent for so long: new requests are told at once, and do not wait for their own timeout
_BACKOFF_S = (0.2, 5.0)  # the first and the longest wait before Kafka is asked again
_READY_S = 2.0
_READY_LASTS_S = 1.0

StartProducer: TypeAlias = Callable[[Connection], Awaitable[AIOKafkaProducer]]


class Place(NamedTuple):
    """Where Kafka put an event.

    Parameters
    ----------
    partition
        Of the topic.
    offset
        In it; `None` when Kafka only said that it has the event already (it was sent again after a lost answer).
    """

    partition: int
    offset: int | None


class Outlet:
    """A producer that is replaced when it breaks, and the account of what is under way.

    Parameters
    ----------
    connection
        Where Kafka is.
    topic
        The events.
    most_bytes
        Most bytes of requests that are read, checked or waiting for Kafka at one time.
    ack_s
        Longest wait for acknowledgements, seconds.
    start
        Makes a started producer.

    Attributes
    ----------
    n_bytes
        Bytes under way.
    """

    def __init__(
        self,
        connection: Connection,
        topic: str,
        *,
        most_bytes: int,
        ack_s: float = ACK_S,
        start: StartProducer = start_producer,
    ) -> None:
        self.topic = topic
        self._connection = connection
        self._most_bytes = most_bytes
        self._ack_s = ack_s
        self._start_producer = start
        self._producer: AIOKafkaProducer | None = None
        self._partitions = 0
        self._broken = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self.n_bytes = 0
        self._under_way: dict[int, float] = {}  # number of the request -> when it was sent; the first is the oldest
        self._number = 0
        self._answered_at = float("-inf")

    # -- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Connect; when Kafka is away, go on trying in the background.

        Raises
        ------
        UsageError
            If Kafka does not let us in or has no such topic.
        """
        try:
            await self._connect()
        except RecoverableError as error:
            log.warning("%s; trying again", error)
            self._broken.set()
        self._keeper = asyncio.create_task(self._keep())

    async def close(self) -> None:
        """Send what is under way, for some seconds at most, and let go of Kafka."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        producer, self._producer = self._producer, None
        if producer is not None:
            await stop_producer(producer)

    async def _connect(self) -> None:
        producer = await self._start_producer(self._connection)
        try:
            with mapped(self._connection, f"connect to {self.topic}"):
                partitions = await count_partitions(producer, self.topic)
        except BaseException:
            await stop_producer(producer, timeout_s=1.0)
            raise
        if self._partitions and partitions != self._partitions:
            log.warning("%s had %d partitions and has %d; customers move", self.topic, self._partitions, partitions)
        self._producer, self._partitions = producer, partitions
        log.info("connected to Kafka; %s has %d partitions", self.topic, partitions)

    async def _keep(self) -> None:
        """Replace the producer when it has failed: after a lost batch an idempotent one fails for good."""
        first, longest = _BACKOFF_S
        wait = first
        while True:
            await self._broken.wait()
            self._broken.clear()
            producer, self._producer = self._producer, None
            if producer is not None:
                await stop_producer(producer, timeout_s=1.0)
            try:
                await self._connect()
                wait = first
            except HenjiError as error:
                log.warning("%s; trying again", error)
                await asyncio.sleep(wait)
                wait = min(2 * wait, longest)
                self._broken.set()

    # -- what is under way -------------------------------------------------------------------------------------

    def take(self, n_bytes: int) -> bool:
        """Count a request's bytes as under way; whether there is room. One request always has."""
        if self.n_bytes and self.n_bytes + n_bytes > self._most_bytes:
            return False
        self.n_bytes += n_bytes
        return True

    def give_back(self, n_bytes: int) -> None:
        """Count them no more."""
        self.n_bytes -= n_bytes

    @property
    def away(self) -> str:
        """Why nothing can be sent now; empty when it can."""
        if self._producer is None:
            return "Kafka does not answer"
        oldest = next(iter(self._under_way.values()), None)
        if oldest is not None and time.monotonic() - oldest > _STALLED_S:
            return f"Kafka has not acknowledged a request for {_STALLED_S:g} s"
        return ""

    async def check(self) -> None:
        """Ask Kafka whether it is there, at most once a second.

        Raises
        ------
        HenjiError
            If it is not, or the topic is another than it was.
        """
        producer = self._producer
        if producer is None or self.away:
            raise RecoverableError(f"kafka: expected an answer, got none: {self.away}")
        if time.monotonic() - self._answered_at < _READY_LASTS_S:
            return
        with mapped(self._connection, f"look at {self.topic}"):
            async with asyncio.timeout(_READY_S):
                partitions = await count_partitions(producer, self.topic)
        if partitions != self._partitions:
            raise ConfigurationError(
                f"kafka.topic: expected {self._partitions} partitions of {self.topic} as before, got {partitions}; "
                "customers have moved: see `henji topics check`, then start the intake again"
            )
        self._answered_at = time.monotonic()

    async def send(self, events: Sequence[Submitted], n_bytes: int) -> list[Place]:
        """Send events in their order and wait for the acknowledgement of each.

        Parameters
        ----------
        events
            All valid.
        n_bytes
            What was taken for them; given back when Kafka has answered for all, which may be after this has raised.

        Returns
        -------
        list[Place]
            In the order of the events.

        Raises
        ------
        RecoverableError
            If Kafka did not acknowledge all of them in time; some may have been written.
        """
        producer = self._producer
        if producer is None:
            self.give_back(n_bytes)
            raise RecoverableError("kafka: expected an acknowledgement, got no connection")
        self._number += 1
        number = self._number
        self._under_way[number] = time.monotonic()
        acknowledgements: list[asyncio.Future[Any]] = []
        error: BaseException | None
        try:
            async with asyncio.timeout(self._ack_s):
                try:
                    for raw, event in events:
                        partition, key = self._place(event.customer_id, event.lane)
                        acknowledgements.append(
                            await producer.send(self.topic, value=raw, key=key, partition=partition)
                        )
                finally:
                    all_of_them = asyncio.gather(*acknowledgements, return_exceptions=True)
                    all_of_them.add_done_callback(lambda _: self._done(number, n_bytes))
                # Not awaited itself: giving up must not take the count of what is still under way with it.
                await asyncio.wait([all_of_them])
        except (KafkaError, TimeoutError) as caught:
            error = caught
        else:
            results: list[Any] = all_of_them.result()
            error = next((each for each in results if isinstance(each, BaseException)), None)
            if error is None:
                return [Place(each.partition, each.offset if each.offset >= 0 else None) for each in results]
        if not isinstance(error, TimeoutError) and producer is self._producer:
            self._broken.set()
        got = f"none within {self._ack_s:g} s" if isinstance(error, TimeoutError) else str(error)
        raise RecoverableError(f"kafka: expected an acknowledgement for every event, got {got}") from error

    def _place(self, customer_id: str | None, lane: int | None) -> tuple[int, bytes | None]:
        if customer_id is not None:
            return partition_for(customer_id, self._partitions), customer_id.encode()
        return (lane or 0) % self._partitions, None

    def _done(self, number: int, n_bytes: int) -> None:
        self._under_way.pop(number, None)
        self.give_back(n_bytes)
