"""The live worker: Faust gives whole batches of partitions, the lanes apply them, the ledger decides.

Ask of every line: what if the process dies here? Nothing of a batch is visible before its transaction; dead letters and
late records are in their topics before it, so that a crash between repeats a letter (same topic, partition, offset) and
loses none; copies of alerts leave the outbox only after Kafka has them.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec
from aiokafka import AIOKafkaProducer
from aiokafka.errors import IllegalStateError, OffsetOutOfRangeError
from faust.sensors.monitor import Monitor
from yarl import URL

from engine.desk import Desk
from engine.duration import DAY_MS
from engine.errors import FuseBlown, HenjiError, LedgerConflict, LogMismatch, RecoverableError, StateIncompatible
from engine.outcome import Outcome
from engine.rules import RuleSet
from engine.settings import ENGINE_VERSION, ResultSettings
from engine.sharing import MAX_LANES, merge_order
from engine.vocabulary import Vocabulary
from streams.board_maker import board_maker
from streams.kafka.connection import Connection, TopicNames
from streams.kafka.dead_letter import LATE, MAX_LETTER_BYTES, DeadLetter
from streams.kafka.foreign_errors import mapped
from streams.kafka.producer import start_producer, stop_producer
from streams.ledger import Binding
from streams.live.batch import FetchedBatch
from streams.live.health import HealthServer
from streams.live.metrics import Metrics
from streams.live.partition import LivePartition, OutgoingRecord, Prepared
from streams.live.progress import Progress
from streams.live.share import control_value, share_due
from streams.live.tick import tick_due, tick_record
from streams.live.transport import BatchConsumer, BatchSchema, LiveApp
from streams.redis.board_writer import BoardMeta
from streams.redis.client import RedisClient
from streams.redis.heartbeat import Heartbeat
from streams.redis.incident_watch import incident_settings
from streams.redis.keys import Keys
from streams.redis.ledger import RedisLedger
from streams.redis.retrying import Backoff
from streams.settings import Settings

__all__ = ["Worker", "WorkerOptions"]

log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")

# Inside a call: short, because whoever waits in it cannot give up the partition. Between calls `_retried` waits.
_BACKOFF = Backoff(attempts=3, base_s=0.05, cap_s=0.2)
_RETRY_FIRST_S, _RETRY_LONGEST_S = 0.1, 5.0
_STATUS_S = 1.0
# How long a rebalance waits for the partitions to open; Faust breaks down when it waits for more than
# `broker_request_timeout`. The rest is opened while others work.
_OPEN_S = 10.0
# How long records that Kafka does not acknowledge may hold up a rebalance or the end, and how often we look.
_ACKNOWLEDGE_S, _LOOK_S = 5.0, 0.5
_HEARTBEAT_MS = 10_000
_HEARTBEAT_SOON_MS = 1_000
_INCIDENTS_MS = 5_000


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """What a worker needs to know beside rules and result settings.

    Parameters
    ----------
    connection, topics
        Of Kafka.
    keys
        Of the board.
    group
        The consumer group.
    instance
        Static member of the group; empty: dynamic.
    session_timeout_ms
        After so long without a heartbeat the partitions go to others.
    poll_records, fetch_bytes
        Bounds on a batch.
    tick_ms
        How far the clock of an idle lane may fall behind; `None`: no ticks.
    share_ms
        How often a lane hands out what it has learned; `None`: never.
    fuse
        Share of dead records beyond which the worker stops; `None`: never.
    http
        Address of metrics and health; empty: none.
    isolation
        `read_committed` or `read_uncommitted`.
    start
        `earliest` or `latest`: where to begin without a ledger.
    """

    connection: Connection
    topics: TopicNames
    keys: Keys
    group: str = "henji"
    instance: str = ""
    session_timeout_ms: int = 6_000
    poll_records: int = 4_000
    fetch_bytes: int = 2 * 1024**2
    tick_ms: int | None = 60_000
    share_ms: int | None = DAY_MS
    fuse: float | None = 0.95
    http: str = ""
    isolation: str = "read_committed"
    start: str = ""

    @classmethod
    def of(cls, settings: Settings, *, start: str = "") -> WorkerOptions:
        """What the settings say."""
        return cls(
            connection=Connection.of(settings),
            topics=TopicNames.of(settings),
            keys=Keys(settings["redis.prefix"]),
            group=settings["kafka.group"],
            instance=settings["worker.instance"],
            session_timeout_ms=settings["worker.session_timeout"],
            poll_records=settings["worker.poll_records"],
            fetch_bytes=settings["worker.fetch_bytes"],
            tick_ms=settings["worker.tick"],
            share_ms=settings["worker.share"],
            fuse=settings["worker.fuse"],
            http=settings["worker.http"],
            isolation=settings["kafka.isolation"],
            start=start,
        )


class _GivenUpError(Exception):
    """The partition is being taken from us: what is in hand is read again by its next owner."""


class Worker:
    """One worker of a deployment.

    Parameters
    ----------
    client
        Of Redis; the worker does not close it.
    settings, rules, vocabulary
        What the answers depend on.
    options
        Everything else.
    desk
        Routes, priorities, caps and guidance; by default the built-in ones.
    version
        Of henji, for the metrics.

    Notes
    -----
    The engine and every call to Redis run in one thread of their own, so that probes, producers and Faust's own tasks
    go on meanwhile; the consumer has Faust's thread, so that heartbeats to the group go on too.
    """

    def __init__(
        self,
        client: RedisClient,
        settings: ResultSettings,
        rules: RuleSet,
        options: WorkerOptions,
        *,
        vocabulary: Vocabulary | None = None,
        desk: Desk | None = None,
        version: str = "",
    ) -> None:
        self._client = client
        self._desk = desk or Desk.default()
        self._desk.check_lanes(settings.lanes)
        self._settings = settings
        self._rules = rules
        self._vocabulary = vocabulary
        self._options = options
        self._board_of = board_maker(settings, rules)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="henji-lanes")
        self._parts: dict[int, LivePartition] = {}
        # Those that were ours when the worker failed.
        self._abandoned: list[LivePartition] = []
        # A status ago: partition -> its position if it seemed to be read to its end; those that were not open.
        self._stood_at: dict[int, int] = {}
        self._missing: frozenset[int] = frozenset()
        self._n_partitions: int | None = None
        self._ticked: dict[int, int] = {}
        # Lane -> the exchange that was ordered last; the order may not have come back yet.
        self._ordered: dict[int, int] = {}
        self._said_at: dict[int, int] = {}
        # Of the owner of partition 0: what looks for incidents.
        self._look: Callable[[bool], object] | None = None
        self._looked_at = 0
        self._batch_lock = asyncio.Lock()
        self._stopping = asyncio.Event()
        self._failure: HenjiError | None = None
        self._opening: asyncio.Task[None] | None = None
        self._idle_since = time.monotonic()
        self._asked_at = 0
        self._store_failing = False
        self.progress = Progress(_wall_ms())
        self.metrics = Metrics(rules.names(), version=version)
        self._heartbeat = Heartbeat(client, options.keys)
        self._health = HealthServer(options.http, self.progress, self.metrics, before_scrape=self._refresh)
        self._producer: AIOKafkaProducer | None = None
        self.app = self._make_app()

    # -- the process ---------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Work until `stop`, or until something happens that only people can mend.

        Raises
        ------
        HenjiError
            What it was.
        """
        await self._health.start()
        if self._health.url:
            log.info("metrics and health at %s", self._health.url)
        tasks: list[asyncio.Task[Any]] = []
        try:
            self._producer = await start_producer(self._options.connection, max_request_size=MAX_LETTER_BYTES)
            stopped = asyncio.create_task(self._stopping.wait())
            starting = asyncio.create_task(self.app.start())
            tasks += [stopped, starting, asyncio.create_task(self._watch())]
            await asyncio.wait([stopped, starting, tasks[2]], return_when=asyncio.FIRST_COMPLETED)
            if not self._stopping.is_set() and starting.done():
                starting.result()
                crashed = asyncio.create_task(self.app.wait_until_stopped())
                tasks.append(crashed)
                await asyncio.wait([stopped, crashed, tasks[2]], return_when=asyncio.FIRST_COMPLETED)
            self._raise_crash(tasks)
        finally:
            self._stopping.set()
            await self._shut_down(tasks)
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Finish the batch in hand and leave the group; call it in the event loop."""
        self._stopping.set()

    def _raise_crash(self, tasks: list[asyncio.Task[Any]]) -> None:
        if self._failure is not None or self._stopping.is_set():
            return
        with mapped(self._options.connection, f"consume {self._options.topics.events}"):
            for task in tasks:
                if task.done() and not task.cancelled() and (error := task.exception()) is not None:
                    raise error
            reason = self.app.crash_reason
            if reason is not None:
                raise reason

    async def _shut_down(self, tasks: list[asyncio.Task[Any]]) -> None:
        try:
            await self.app.stop()
        finally:
            self._stop_opening()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._let_go()
            if self._producer is not None:
                await stop_producer(self._producer)
            await self._health.stop()
            self._thread.shutdown(wait=True)

    def _make_app(self) -> LiveApp:
        options = self._options
        app = LiveApp(
            options.group,
            desk=self,
            topic=options.topics.events,
            isolation=options.isolation,
            broker=[URL(f"kafka://{broker}") for broker in options.connection.brokers],
            broker_credentials=options.connection.faust_credentials(),
            store="memory://",
            cache="memory://",
            web_enabled=False,
            stream_wait_empty=True,
            # Never full: the transport waits for room (`MAX_UNFINISHED`).
            stream_buffer_maxsize=4096,
            broker_max_poll_records=options.poll_records,
            consumer_max_fetch_size=options.fetch_bytes,
            broker_session_timeout=options.session_timeout_ms / 1000,
            broker_heartbeat_interval=min(3.0, options.session_timeout_ms / 3000),
            broker_request_timeout=max(30.0, options.session_timeout_ms / 1000 + 5),
            broker_rebalance_timeout=60.0,
            broker_commit_interval=1.0,
            consumer_auto_offset_reset="none",
            consumer_group_instance_id=options.instance or None,
            table_standby_replicas=0,
            topic_allow_declare=False,
            topic_disable_leader=True,
            processing_guarantee="at_least_once",
            producer_threaded=False,
            monitor=Monitor(max_avg_history=1, max_commit_latency_history=1, max_send_latency_history=1),
        )
        events = app.topic(options.topics.events, schema=BatchSchema(), internal=False)
        app.agent(events, concurrency=1, name="lanes")(self._lanes)
        return app

    async def _lanes(self, stream: Any) -> None:
        async for batch in stream:
            # Faust takes an exception for an acknowledgement, so none may leave.
            try:
                await self._take(batch)
            except Exception as error:
                await self._fail(error)
            finally:
                self._consumer.finished(batch)

    @property
    def _consumer(self) -> BatchConsumer:
        consumer = self.app.consumer
        assert isinstance(consumer, BatchConsumer)
        return consumer

    # -- batches -------------------------------------------------------------------------------------------------

    async def _take(self, batch: FetchedBatch) -> None:
        async with self._batch_lock:
            part = self._parts.get(batch.partition)
            if part is None or part.generation != batch.generation:
                return
            self.metrics.spent("fetch_wait", time.monotonic() - self._idle_since)
            try:
                prepared, durable = await self._retried(part, functools.partial(part.take, batch))
                if prepared is not None:
                    self._check_fuse(part, prepared)
                    if not durable:
                        started = time.perf_counter()
                        await self._send_letters(part, prepared)
                        part.seconds["dead_letters"] = time.perf_counter() - started
                        await self._retried(part, functools.partial(part.commit, prepared))
                    self._count(part, prepared)
                    await self._ship(part)
            except _GivenUpError:
                self._parts.pop(batch.partition, None)
            except LedgerConflict as error:
                await self._conflict(batch.partition, error)
            finally:
                self._idle_since = time.monotonic()

    async def _conflict(self, partition: int, error: LedgerConflict) -> None:
        """The ledger is not where we left it: drop what we have, and read it again under a new assignment."""
        log.warning("%s", error)
        self.metrics.conflict()
        self._parts.pop(partition, None)
        await self._consumer.rejoin()

    async def _retried(self, part: LivePartition, call: Callable[[], _Answer]) -> _Answer:
        """Call in the lanes' thread until Redis answers, or until the partition is not ours any more."""
        wait_s = _RETRY_FIRST_S
        while True:
            if part.generation != self.app.consumer_generation_id:
                raise _GivenUpError
            try:
                answer = await self._in_thread(call)
                self._store_failing = False
                return answer
            except RecoverableError as error:
                self._store_failing = True
                self.metrics.retried()
                # Whoever takes the partition next reads the same records again.
                if self._must_let_go(part):
                    raise _GivenUpError from error
                log.warning("%s; trying again in %g s", error, wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(_RETRY_LONGEST_S, 2 * wait_s)

    async def _in_thread(self, call: Callable[[], _Answer]) -> _Answer:
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    async def _send_letters(self, part: LivePartition, prepared: Prepared) -> None:
        letters = self._letters(part, prepared)
        if letters:
            await self._produced(part, [(topic, None, letter.record()) for topic, letter in letters])

    def _letters(self, part: LivePartition, prepared: Prepared) -> list[tuple[str, DeadLetter]]:
        topics, records = self._options.topics, prepared.records

        def letter(place: int, reason: str, field: str, message: str, error: str) -> DeadLetter:
            record = records[place]
            return DeadLetter(
                record.raw,
                record.key,
                topics.events,
                part.number,
                record.position,
                -1 if record.record_ts is None else record.record_ts,
                reason,
                field,
                message,
                error,
            )

        message = f"expected an event at most `lateness` ({self._settings.lateness_ms} ms) older than the lane clock"
        return [
            *((topics.dead, letter(d.place, d.reason, d.field, d.message, _error_of(d.reason)))
              for d in prepared.applied.dead),
            *((topics.late, letter(place, LATE, "ts", message, "Late")) for place in prepared.applied.late),
        ]  # fmt: skip

    async def _produced(self, part: LivePartition, records: list[tuple[str, int | None, dict[str, Any]]]) -> None:
        """Produce and wait until Kafka has everything; until then the batch does not go on."""
        wait_s = _RETRY_FIRST_S
        while records:
            try:
                with mapped(self._options.connection, f"produce to {records[0][0]}"):
                    await self._acknowledged(part, records)
                return
            except RecoverableError as error:
                if self._must_let_go(part):
                    raise _GivenUpError from error
                # What got through goes again: letters and alerts carry their identity.
                log.warning("%s; trying again in %g s", error, wait_s)
                await asyncio.sleep(wait_s)
                wait_s = min(_RETRY_LONGEST_S, 2 * wait_s)

    async def _acknowledged(self, part: LivePartition, records: list[tuple[str, int | None, dict[str, Any]]]) -> None:
        sending = asyncio.ensure_future(self._send(records))
        deadline = time.monotonic() + _ACKNOWLEDGE_S
        try:
            # An idempotent producer never gives up a record by itself.
            while not (await asyncio.wait({sending}, timeout=_LOOK_S))[0]:
                if self._must_let_go(part) and time.monotonic() > deadline:
                    raise _GivenUpError
            sending.result()
        finally:
            sending.cancel()

    async def _send(self, records: list[tuple[str, int | None, dict[str, Any]]]) -> None:
        assert self._producer is not None
        # A record without a key has no place of its own; partition 0 is in every topic.
        futures = [
            await self._producer.send(
                topic, partition=0 if partition is None and fields["key"] is None else partition, **fields
            )
            for topic, partition, fields in records
        ]
        await asyncio.gather(*futures)

    def _must_let_go(self, part: LivePartition) -> bool:
        return part.generation != self.app.consumer_generation_id or self.app.rebalancing or self._stopping.is_set()

    def _check_fuse(self, part: LivePartition, prepared: Prepared) -> None:
        blown = part.fuse.add(len(prepared.records), len(prepared.applied.dead))
        self.metrics.fuse(part.number, part.fuse.share)
        if blown:
            # Before the letters of this batch: a worker that is started again and again must not fill the topic.
            often = Counter(dead.reason for dead in prepared.applied.dead).most_common(3)
            raise FuseBlown(
                f"{part.ledger.binding}: expected at most {self._options.fuse:.0%} of the newest records to be dead "
                f"letters, got {part.fuse.share:.0%} up to offset {prepared.records[-1].position} "
                f"({', '.join(f'{n} {reason}' for reason, n in often)}); a producer is broken. Mend it; to let these "
                "records pass to the dead letters, start once with --set worker.fuse=off"
            )

    def _count(self, part: LivePartition, prepared: Prepared) -> None:
        now_ms = _wall_ms()
        appended = [r.record_ts for r in prepared.records if r.record_ts is not None and r.record_ts >= 0]
        self.metrics.batch(
            part.number, prepared.counts, prepared.applied.outcomes, appended_ms=appended, committed_ms=now_ms
        )
        _warn_of_drift(part.number, prepared.applied.outcomes)
        for stage, seconds in part.seconds.items():
            self.metrics.spent(stage, seconds)
        for dead in prepared.applied.dead:
            self.metrics.dead(dead.reason)
            if dead.reason == "engine":
                self.metrics.engine_failed()
        self.progress.committed(part.number, part.next_offset, now_ms, max(appended, default=None))

    async def _ship(self, part: LivePartition) -> None:
        """Produce what waits in the outbox; it leaves the outbox with the next transaction."""
        waiting = part.waiting[part.n_shipped :]
        if waiting:
            decoded = [msgspec.msgpack.decode(entry, type=OutgoingRecord) for entry in waiting]
            await self._produced(
                part,
                [(r.topic, r.partition, {"key": r.key, "value": r.value, "headers": list(r.headers)}) for r in decoded],
            )
            part.n_shipped = len(part.waiting)
        self.metrics.outbox(sum(len(p.waiting) - p.n_shipped for p in self._parts.values()))

    # -- partitions ----------------------------------------------------------------------------------------------

    async def open(self, partitions: frozenset[int], generation: int) -> None:
        """Claim partitions, read where each goes on and go there; those that take their time follow later."""
        self._stop_opening()
        self.progress.assigned(partitions, _wall_ms())
        self.metrics.assigned(partitions)
        log.info("partitions assigned: %s", ", ".join(map(str, sorted(partitions))) or "none")
        self._opening = asyncio.create_task(self._open_all(partitions, generation, anew=True))
        await asyncio.wait({self._opening}, timeout=_OPEN_S)

    def _stop_opening(self) -> None:
        if self._opening is not None:
            self._opening.cancel()
            self._opening = None

    async def _open_all(self, partitions: frozenset[int], generation: int, *, anew: bool) -> None:
        wait_s, left = _RETRY_FIRST_S, partitions
        try:
            if anew:
                await self._let_go()
                self._check_layout()
            while left and generation == self.app.consumer_generation_id:
                left = await self._open_some(left, generation)
                if left:
                    await asyncio.sleep(wait_s)
                    wait_s = min(_RETRY_LONGEST_S, 2 * wait_s)
        except IllegalStateError:
            log.info("partitions are being taken from us while they are opened")
        except Exception as error:
            await self._fail(error)

    async def _open_some(self, partitions: frozenset[int], generation: int) -> frozenset[int]:
        """Open what can be opened now; says what is left."""
        left = set(partitions)
        try:
            with mapped(self._options.connection, f"read the ends of {self._options.topics.events}"):
                ranges = await self._consumer.log_range(partitions)
            for number in sorted(partitions):
                begin, end = ranges[number]
                part = self._new_part(number, generation)
                try:
                    place = await self._in_thread(functools.partial(part.open, begin, end, self._options.start))
                except LedgerConflict as error:
                    log.warning("%s", error)
                    self.metrics.conflict()
                    continue
                await self._opened(part)
                await self._consumer.seek_partitions({number: place})
                left.remove(number)
        except RecoverableError as error:
            self.metrics.retried()
            log.warning("%s; what is not open yet is opened later", error)
        return frozenset(left)

    async def _opened(self, part: LivePartition) -> None:
        self._parts[part.number] = part
        self.progress.opened(part.number, part.next_offset, _wall_ms())
        for lane, clock in part.clocks.items():
            self.metrics.clock(part.number, lane, clock)
        for lane, rows in part.model_rows.items():
            self.metrics.models(part.number, lane, rows)
        log.info("opened at offset %d", part.next_offset, extra={"partition": part.number})
        try:
            await self._ship(part)
        except _GivenUpError:
            log.info("the outbox is sent later", extra={"partition": part.number})

    def _new_part(self, number: int, generation: int) -> LivePartition:
        options, settings = self._options, self._settings
        assert self._n_partitions is not None
        binding = Binding.of(options.topics.events, number, partitions=self._n_partitions, lanes=settings.lanes)
        desk = self._desk
        meta = BoardMeta(
            ENGINE_VERSION,
            self._rules.version,
            settings.lanes,
            desk=desk.version,
            guidance=desk.texts(),
            waiting_ms=desk.waiting_ms,
        )
        ledger = RedisLedger(
            self._client,
            binding,
            meta,
            keys=options.keys,
            backoff=_BACKOFF,
            board_of=self._board_of,
        )
        if number == 0:
            self._look = ledger.incidents(desk.incident.settle_ms, incident_settings(desk), desk.owner)
        return LivePartition(
            ledger,
            settings,
            self._rules,
            partitions=self._n_partitions,
            generation=generation,
            vocabulary=self._vocabulary,
            fuse=options.fuse,
            alerts_topic=options.topics.alerts,
            desk=desk,
            about=meta.more,
        )

    async def revoked(self) -> None:
        """Every partition is given up."""
        self._stop_opening()
        self.progress.revoked()
        self.metrics.revoked()
        await self._let_go()

    async def _let_go(self) -> None:
        async with self._batch_lock:
            parts, self._parts = [*self._abandoned, *self._parts.values()], {}
            self._abandoned.clear()
            self._stood_at.clear()
            self._ticked.clear()
            self._ordered.clear()
            self._said_at.clear()
        for part in parts:
            try:
                await self._in_thread(functools.partial(self._release, part))
            except HenjiError as error:
                # Nothing hangs on it: the next owner claims the partition whatever we say.
                log.info("%s", error, extra={"partition": part.number})

    def _release(self, part: LivePartition) -> None:
        part.settle()
        self._say(part, "unknown")

    def next_offset(self, partition: int) -> int | None:
        """First offset that is not in the ledger."""
        part = self._parts.get(partition)
        return None if part is None else part.next_offset

    async def out_of_range(self, error: OffsetOutOfRangeError) -> None:
        """The log does not hold where the ledger goes on: the topic was cut or made anew."""
        places = ", ".join(f"offset {at} of partition {tp.partition}" for tp, at in error.args[0].items())
        await self._fail(
            LogMismatch(
                f"topic {self._options.topics.events}: expected a log that holds {places}, where the ledger goes on, "
                "got none there: the topic was made anew or cut. Restore it, or reset the ledger and read the log again"
            )
        )

    def _check_layout(self) -> None:
        found = self._consumer.n_partitions()
        if found is None and self._n_partitions is not None:
            # Metadata of a broker that starts may lack a topic; one that was deleted shows in the fetches.
            return
        if found is None:
            raise LogMismatch(
                f"topic {self._options.topics.events}: expected it in Kafka, got no such topic; "
                "run `henji topics create`"
            )
        if self._n_partitions is None:
            self._n_partitions = found
        if found != self._n_partitions:
            raise StateIncompatible(
                f"layout_changed: topic {self._options.topics.events}: expected {self._n_partitions} partitions, got "
                f"{found}; a live topic must keep its partitions: make a new one and copy the records in lane order"
            )

    # -- now and then --------------------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while not self._stopping.is_set():
            await asyncio.sleep(_STATUS_S)
            try:
                if not self.app.rebalancing:
                    await self._status()
            except _GivenUpError:
                continue
            except RecoverableError as error:
                log.warning("%s", error)
            except Exception as error:
                await self._fail(error)

    async def _status(self) -> None:
        now_ms = _wall_ms()
        if self._parts:
            self._check_layout()
        elif now_ms - self._asked_at >= _HEARTBEAT_MS:
            # A spare fetches nothing: whether Kafka is there has to be asked.
            self._asked_at = now_ms
            if await self._consumer.answers():
                self.progress.polled(_wall_ms())
        self._open_missing()
        for part in list(self._parts.values()):
            if part.generation != self.app.consumer_generation_id:
                continue
            ends = self._consumer.ends(part.number)
            if ends is not None and ends.answered_ms is not None and ends.end is not None:
                self.progress.read_to(part.number, ends.position, ends.end, ends.answered_ms)
                taken = self._consumer.taken(part.number)
                at_end = taken == part.handled_to and ends.position >= ends.end
                stood_at = self._stood_at.pop(part.number, None)
                if at_end:
                    self._stood_at[part.number] = ends.position
                if at_end and stood_at == ends.position:
                    # The rest, if any, are markers of transactions: records that were fetched just now, of which
                    # nobody here knows yet, would be known by now.
                    self.progress.committed(part.number, ends.position, now_ms, None)
                    await self._tick(part, now_ms)
            await self._share(part, now_ms)
            said = self._said_at.get(part.number)
            wait_ms = _HEARTBEAT_SOON_MS if said is None else _HEARTBEAT_MS
            if now_ms - (said or 0) >= wait_ms:
                if not await self._in_step(part):
                    return
                state = self.progress.input_state(part.number, now_ms)
                if await self._in_thread(functools.partial(self._say, part, state)) and state != "unknown":
                    self._said_at[part.number] = now_ms
        await self._watch_services(now_ms)
        self._refresh()
        self._check_stall(now_ms)

    async def _in_step(self, part: LivePartition) -> bool:
        """Whether the ledger is where we left it: that Redis was emptied shows in no commit while nothing comes."""
        if self._batch_lock.locked():
            return True  # a batch is in hand, and its transaction will tell
        async with self._batch_lock:
            if self._parts.get(part.number) is not part:
                return True
            try:
                await self._in_thread(part.ledger.check)
            except LedgerConflict as error:
                await self._conflict(part.number, error)
                return False
        return True

    async def _watch_services(self, now_ms: int) -> None:
        """Whoever has partition 0 looks for incidents; what stops that is no reason to stop the lanes."""
        part, look = self._parts.get(0), self._look
        if part is None or look is None or part.generation != self.app.consumer_generation_id:
            return
        if now_ms - self._looked_at < _INCIDENTS_MS:
            return
        self._looked_at = now_ms
        try:
            await self._in_thread(functools.partial(look, False))
        except RecoverableError:
            raise
        except HenjiError as error:
            log.error("%s; incidents are not watched until the worker is started again", error)
            self._look = None

    def _open_missing(self) -> None:
        """Open again what was given up for a rebalance that was over already."""
        missing = frozenset(self.progress.partitions) - self._parts.keys()
        if missing and missing == self._missing and (self._opening is None or self._opening.done()):
            log.info("partitions are opened again: %s", ", ".join(map(str, sorted(missing))))
            generation = self.app.consumer_generation_id
            self._opening = asyncio.create_task(self._open_all(missing, generation, anew=False))
        self._missing = missing

    def _check_stall(self, now_ms: int) -> None:
        """A worker that stands still for a reason that it does not know is best started anew."""
        answer = self.progress.live(now_ms)
        if not answer.ok and not self._store_failing and self.progress.ready(now_ms).ok:
            raise StateIncompatible(f"stalled: {answer.reason}; start the worker again and report the log")

    async def _tick(self, part: LivePartition, now_ms: int) -> None:
        tick_ms = self._options.tick_ms
        if tick_ms is None:
            return
        for lane, clock in part.clocks.items():
            if tick_due(
                now_ms,
                clock_ms=clock,
                sent_ms=self._ticked.get(lane),
                delay_ms=part.append_delays.get(lane),
                tick_ms=tick_ms,
                lateness_ms=self._settings.lateness_ms,
            ):
                self._ticked[lane] = now_ms
                await self._write(part, tick_record(lane, self._settings.lanes, now_ms))
                self.metrics.ticked()

    async def _share(self, part: LivePartition, now_ms: int) -> None:
        """Order the lanes to hand out what they have learned, each in its turn.

        Not only when the partition is read to its end, which a busy one never is.
        """
        share_ms, lanes = self._options.share_ms, self._settings.lanes
        if share_ms is None or not 1 < lanes <= MAX_LANES:
            return
        if self.progress.input_state(part.number, now_ms) != "fresh":
            return
        told = part.told
        for lane, clock in part.clocks.items():
            epoch = share_due(
                now_ms,
                clock_ms=clock,
                told_ms=max(told.get(lane, -1), self._ordered.get(lane, -1)),
                delay_ms=part.append_delays.get(lane),
                share_ms=share_ms,
                lateness_ms=self._settings.lateness_ms,
            )
            if epoch is not None:
                self._ordered[lane] = epoch
                await self._write(part, control_value(merge_order(epoch, lane, lanes, min(now_ms, clock))))

    async def _write(self, part: LivePartition, value: bytes) -> None:
        """Put a control record for a lane of a partition into the log."""
        fields: dict[str, Any] = {"key": None, "value": value, "headers": []}
        await self._produced(part, [(self._options.topics.events, part.number, fields)])

    def _say(self, part: LivePartition, state: str) -> bool:
        key = self._options.keys.partition(part.ledger.binding.topic, part.number)
        states = dict.fromkeys(part.ledger.binding.own, state)
        lag = self.progress.lag(part.number)
        return self._heartbeat.say(part.token, key, states, part.last_event_at, _wall_ms(), lag=lag)

    def _refresh(self) -> None:
        now_ms = _wall_ms()
        for number in self.progress.partitions:
            lag = self.progress.lag(number)
            if lag is not None:
                self.metrics.lag(number, lag)
            self.metrics.input_state(number, self.progress.input_state(number, now_ms))

    async def _fail(self, error: Exception) -> None:
        """Stop for a reason that only people can mend; whatever is not committed is read again."""
        if self._failure is None:
            if isinstance(error, HenjiError):
                log.error("%s", error)
                self._failure = error
            else:
                log.error("a bug of the worker; it stops", exc_info=error)
                self._failure = HenjiError(
                    f"worker: expected no such error, got {type(error).__name__}: {error}; report it with the log"
                )
            self.progress.stopped(type(error).__name__)
        self._abandoned += self._parts.values()
        self._parts.clear()
        self._stopping.set()


def _warn_of_drift(partition: int, outcomes: Sequence[Outcome]) -> None:
    for outcome in outcomes:
        for alarm in outcome.drift:
            log.warning(
                "drift: expected a steady mean of %s, of the churn score (%s), got %.4g where it was %.4g, by event "
                "time %d ms; see `henji models list`",
                *(alarm.what, alarm.trigger, alarm.after, alarm.before, alarm.at),
                extra={"partition": partition, "lane": outcome.lane},
            )


def _error_of(reason: str) -> str:
    return "EngineFailure" if reason == "engine" else "InvalidEvent"


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
