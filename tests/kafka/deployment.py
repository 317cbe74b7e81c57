"""A live deployment for tests: a Redis of its own, topics on a given broker, worker processes, and what came of it."""

from __future__ import annotations

import asyncio
import itertools
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import orjson
from aiokafka import AIOKafkaConsumer, TopicPartition
from redis.exceptions import RedisError

from engine.incident import INCIDENT_LANE
from engine.murmur2 import lane_of
from streams.child_process import bound_to_us
from streams.cli.digest import live_standing
from streams.cli.replay import run_replay
from streams.kafka import topics
from streams.kafka.connection import Connection, TopicNames
from streams.kafka.dead_letter import DeadLetter, read
from streams.kafka.layout import Layout
from streams.kafka.producer import start_producer, stop_producer
from streams.kafka.sender import BATCH_BYTES, Sender, place
from streams.ledger import Counts
from streams.reader.log import LogReader, open_log
from streams.reader.topic import TopicLog
from streams.redis.access import RedisAccess
from streams.redis.catalogue import ALERTS_MAX
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from streams.redis.keys import Keys
from streams.replay.summary import summary
from streams.settings import Settings, load_settings

__all__ = [
    "POLL_S",
    "Answers",
    "Deployment",
    "Reference",
    "WorkerProcess",
    "desk_of",
    "differences",
    "make_topics",
    "replayed",
    "settings_of",
    "until",
    "write_topic",
]

ROOT = Path(__file__).resolve().parents[2]
POLL_S = 0.02
"""Between two looks at something that is awaited."""

# A worker imports numpy, River and Faust before its first word; two of them on two busy cores need their time.
START_S = 60.0
STOP_S = 60.0


def until(what: str, true: Callable[[], bool], *, timeout_s: float, poll_s: float = POLL_S) -> float:
    """Poll until it is true; returns the seconds that it took."""
    started = time.monotonic()
    while not true():
        if time.monotonic() - started > timeout_s:
            raise AssertionError(f"expected within {timeout_s:g} s: {what}; it did not happen")
        time.sleep(poll_s)
    return time.monotonic() - started


def settings_of(brokers: str, topic: str, settings: Mapping[str, str] | None = None) -> Settings:
    """Settings of a deployment, whatever the environment says."""
    given = {"kafka.brokers": brokers, "kafka.topic": topic, **(settings or {})}
    return load_settings(None, {}, [(key, value, "--set") for key, value in given.items()])


# -- what came of it ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Answers:
    """What a run answered, as far as two runs over one log must agree.

    Parameters
    ----------
    digest, counts
        As the summary has them.
    board
        Lines of `--board`.
    alerts
        Lane -> lines of its alerts in their order.
    dead
        Of a topic: (partition, offset, reason) of every record that was no event; `None`: not known.
    late
        Raw late events, with how often each came; `None`: not known.
    desk
        Key of the board that the desk writes -> its content; `None`: not known.
    """

    digest: str
    counts: Counts
    board: Sequence[bytes]
    alerts: Mapping[int, Sequence[bytes]]
    dead: frozenset[tuple[int, int, str]] | None = None
    late: Mapping[bytes, int] | None = None
    desk: Mapping[str, object] | None = None

    @property
    def n_alerts(self) -> int:
        """How many alerts went out."""
        return sum(map(len, self.alerts.values()))


def differences(live: Answers, expected: Answers) -> list[str]:
    """Where two runs disagree, in words; nothing when they are equal to the byte."""
    out = []
    if live.digest != expected.digest:
        out.append(f"digest: expected {expected.digest[:12]}, got {live.digest[:12]}")
    if live.counts != expected.counts:
        out.append(f"counts: expected {expected.counts}, got {live.counts}")
    out += _unequal("board", live.board, expected.board)
    for lane in sorted(live.alerts.keys() | expected.alerts.keys()):
        out += _unequal(f"alerts of lane {lane}", live.alerts.get(lane, ()), expected.alerts.get(lane, ()))
    if live.dead is not None and expected.dead is not None and live.dead != expected.dead:
        out.append(f"dead letters: {len(expected.dead - live.dead)} missing, {len(live.dead - expected.dead)} too many")
    if live.late is not None and expected.late is not None and live.late != expected.late:
        out.append(f"late events: expected {sum(expected.late.values())}, got {sum(live.late.values())}, or others")
    if live.desk is not None and expected.desk is not None:
        for key in sorted(live.desk.keys() | expected.desk.keys()):
            if live.desk.get(key) != expected.desk.get(key):
                out.append(f"{key}: expected {expected.desk.get(key)}, got {live.desk.get(key)}")
    counts = live.counts
    if counts.read != counts.applied + counts.duplicate + counts.late + counts.dead:
        out.append(f"counts: expected read = applied + duplicate + late + dead, got {counts}")
    return out


def _unequal(name: str, got: Sequence[bytes], expected: Sequence[bytes]) -> Iterator[str]:
    if list(got) == list(expected):
        return
    first = next((i for i, (a, b) in enumerate(zip(got, expected, strict=False)) if a != b), None)
    where = f"the first other one is line {first}" if first is not None else "one is the beginning of the other"
    yield f"{name}: expected {len(expected)} lines, got {len(got)}; {where}"


class Reference(NamedTuple):
    """A replay, and how long it took.

    Parameters
    ----------
    answers
        What it came to.
    seconds
        How long it took.
    """

    answers: Answers
    seconds: float


def desk_of(client: RedisClient, keys: Keys) -> dict[str, object]:
    """What the desk has on a board: alerts, queues, counts and facts; of a stream each lane's entries by number."""
    found: dict[str, object] = {}
    for family in ("alert:", "queue:", "rule:", "delivery:", "service:", "guidance"):
        for raw in client.scan_iter(match=f"{keys.prefix}{family}*", count=1000):
            key = raw.decode()
            content = (
                client.execute_command("ZRANGE", key, 0, -1, "WITHSCORES")
                if family == "queue:"
                else client.execute_command("HGETALL", key)
            )
            found[key.removeprefix(keys.prefix)] = content
    # Incidents are outside of the digest: when they are seen depends on when somebody looked.
    incidents = {key for key, row in found.items() if isinstance(row, dict) and row.get(b"lane") == b"-1"}
    names = {key.removeprefix("alert:").encode() for key in incidents}
    for key, row in found.items():
        if key.startswith("queue:") and isinstance(row, list):
            found[key] = [pair for pair in zip(row[::2], row[1::2], strict=True) if pair[0] not in names]
    facts: dict[int, dict[int, object]] = {}
    for _, fields in client.execute_command("XRANGE", keys.facts, "-", "+"):
        facts.setdefault(int(fields[b"lane"]), {})[int(fields[b"seq"])] = fields
    return {key: row for key, row in found.items() if key not in incidents} | {"facts": facts}


def replayed(settings: Settings, log: Path | None = None, *, desk: bool = False) -> Reference:
    """What `henji replay` of a file says, or of the settings' topic (`--kafka`) without one; with `desk` into Redis."""
    if log is not None:
        return _replay(settings, open_log([log]), desk=desk)
    with TopicLog.of(settings, batch_size=2000) as topic:
        return _replay(settings, topic, desk=desk)


def _replay(settings: Settings, reader: LogReader | TopicLog, *, desk: bool) -> Reference:
    with tempfile.TemporaryDirectory(prefix="henji-replay-") as folder:
        if not desk:
            return _replay_into("none", settings, reader, Path(folder))[0]
        with EmbeddedRedis(Path(folder) / "redis") as server:
            found, prefix = _replay_into(server.url, settings, reader, Path(folder))
            client = server.client()
            try:
                return found._replace(answers=replace(found.answers, desk=desk_of(client, Keys(prefix))))
            finally:
                client.close()


def _replay_into(url: str, settings: Settings, reader: LogReader | TopicLog, folder: Path) -> tuple[Reference, str]:
    rules = settings.rule_set()
    files = {name: folder / name for name in ("alerts", "dead", "late", "board")}
    growing = {name: path for name, path in files.items() if name != "board"}
    started = time.monotonic()
    run, facts = run_replay(
        reader,
        settings.result(rules),
        rules,
        url=url if url == "none" else RedisAccess.parse(url),
        outputs=growing,
        board=files["board"],
        quiet=True,
    )
    seconds = time.monotonic() - started
    lines = {name: path.read_bytes().splitlines() for name, path in files.items()}
    alerts: dict[int, list[bytes]] = {}
    for line in lines["alerts"]:
        alerts.setdefault(lane_of(orjson.loads(line)["customer_id"], settings["lanes"]), []).append(line)
    dead = None
    if isinstance(reader, TopicLog):
        found = map(orjson.loads, lines["dead"])
        dead = frozenset((_partition_of(each["source"]), each["position"], each["reason"]) for each in found)
    found_late = Counter(lines["late"])
    answers = Answers(facts["digest"], run.counts, lines["board"], alerts, dead, found_late)
    return Reference(answers, seconds), facts["prefix"]


def _partition_of(source: str) -> int:
    found = re.search(r"(\d+)\D*$", source)
    assert found is not None, source
    return int(found[1])


# -- the topic ---------------------------------------------------------------------------------------------------


def make_topics(settings: Settings) -> None:
    """Make the topics of a deployment; those that exist are left alone."""
    findings = asyncio.run(topics.create(Connection.of(settings), Layout.of(settings)))
    bad = [each for each in findings if each.level == "error"]
    assert not bad, bad


def write_topic(settings: Settings, log: Path) -> int:
    """Make the topics and send a log as `henji send` does; returns the number of records."""
    make_topics(settings)

    async def send() -> int:
        producer = await start_producer(Connection.of(settings), max_batch_size=BATCH_BYTES)
        try:
            sender = Sender(producer, settings["kafka.topic"])
            for batch in open_log([log], batch_size=2000):
                await sender.send(place(record.raw or b"", settings["kafka.partitions"]) for record in batch)
            await sender.flush()
            return sender.acknowledged.total()
        finally:
            await stop_producer(producer)

    return asyncio.run(send())


async def _everything(connection: Connection, topic: str, partitions: int) -> list[Any]:
    """Every record of a topic that nobody writes to any more."""
    tps = [TopicPartition(topic, number) for number in range(partitions)]
    consumer = AIOKafkaConsumer(
        **connection.aiokafka(), group_id=None, enable_auto_commit=False, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        consumer.assign(tps)
        records: list[Any] = []
        deadline = time.monotonic() + 60
        while True:
            for found in (await consumer.getmany(timeout_ms=100)).values():
                records += found
            # Known once a fetch was answered; ListOffsets of the embedded broker tells too small an end.
            places = [(await consumer.position(tp), consumer.highwater(tp)) for tp in tps]
            if all(end is not None and position >= end for position, end in places):
                return records
            assert time.monotonic() < deadline, f"topic {topic} could not be read to its end"
    finally:
        await consumer.stop()


# -- processes ---------------------------------------------------------------------------------------------------


class WorkerProcess:
    """One `henji worker`; started in the main thread, as it ends with the thread that starts it.

    Parameters
    ----------
    command
        Arguments of `henji`.
    log
        Where its log goes.
    instance
        Static member of the group, or empty.
    """

    def __init__(self, command: Sequence[str], log: Path, *, instance: str = "") -> None:
        self.log = log
        self.instance = instance
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HENJI_")}
        with log.open("wb") as file:
            self._process = subprocess.Popen(
                # It may be frozen when we end, and would not hear a SIGTERM.
                bound_to_us([sys.executable, "-m", "streams.cli", *command], how=signal.SIGKILL),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=log.parent,
                env={**environment, "PYTHONPATH": str(ROOT)},
                start_new_session=True,
            )
        self.killed = False

    @property
    def pid(self) -> int:
        """Process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs (or is frozen)."""
        return self._process.poll() is None

    @property
    def said(self) -> str:
        """Its log."""
        return self.log.read_text(errors="replace")

    def kill(self) -> None:
        """End it as a crash would."""
        self.killed = True
        self._process.kill()
        self._process.wait()

    def terminate(self) -> None:
        """Ask it to stop; `wait` for it then. Before it listens to signals they would just end it: waits till then."""
        self._listening()
        self._process.terminate()

    def wait(self, timeout_s: float = STOP_S) -> int:
        """Wait for its end; returns the exit code."""
        return self._process.wait(timeout_s)

    def freeze(self) -> None:
        """Stop it in the middle of whatever it does (SIGSTOP)."""
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)

    def metric(self, name: str) -> float:
        """A metric of its /metrics, summed over labels; waits for the address."""
        with urllib.request.urlopen(f"{self._listening()}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.MULTILINE))

    def _listening(self) -> str:
        """Where its metrics are, once it says so."""
        found: list[str] = []

        def said() -> bool:
            found[:] = re.findall(r"metrics and health at (http://[^\s\"]+)", self.said)
            return bool(found) or not self.alive

        until("the worker says where its metrics are", said, timeout_s=START_S)
        assert found, self.said[-2000:]
        return found[0].rstrip("/")


class Deployment:
    """A Redis of its own and workers over an events topic that may be shared with others.

    Parameters
    ----------
    directory
        For Redis and logs; an empty one.
    brokers
        Where Kafka is.
    topic
        The events; made, and filled, by `write_topic` or by the caller.
    name
        Of group and of the topics for letters and alerts: no other deployment's.
    settings
        Further settings: `kafka.partitions`, `lanes`, `worker.session_timeout` and so on.
    """

    def __init__(
        self, directory: Path, brokers: str, topic: str, *, name: str, settings: Mapping[str, str] | None = None
    ) -> None:
        self.directory = directory
        self.given = {
            "kafka.group": name,
            "kafka.dead": f"{name}.dead",
            "kafka.late": f"{name}.late",
            "kafka.alerts": f"{name}.alerts",
            **(settings or {}),
        }
        self.brokers = brokers
        self.settings = settings_of(brokers, topic, self.given)
        self.names = TopicNames.of(self.settings)
        self.partitions: int = self.settings["kafka.partitions"]
        self.rules = self.settings.rule_set()
        self.redis = EmbeddedRedis(directory / "redis")
        self.workers: list[WorkerProcess] = []
        self._redis_url = ""
        self._client: RedisClient | None = None
        self._keys = Keys(self.settings["redis.prefix"])
        self._numbers = itertools.count(1)

    def __enter__(self) -> Self:
        self.directory.mkdir(parents=True, exist_ok=True)
        self.redis.start()
        try:
            make_topics(self.settings)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def client(self) -> RedisClient:
        """Of our Redis."""
        if self._client is None:
            self._client = self.redis.client()
        return self._client

    def close(self) -> None:
        """End everything."""
        for worker in self.workers:
            if worker.alive:
                worker.kill()
        if self._client is not None:
            self._client.close()
            self._client = None
        self.redis.stop()

    def through(self, redis_url: str) -> None:
        """Let workers that are started from now on reach Redis by another way."""
        self._redis_url = redis_url

    # -- workers -------------------------------------------------------------------------------------------------

    def start_worker(self, instance: str = "") -> WorkerProcess:
        """Start one more worker."""
        where = ["--kafka", self.brokers, "--topic", self.names.events, "--redis", self._redis_url or self.redis.url]
        pairs = [text for key, value in self.given.items() for text in ("--set", f"{key}={value}")]
        member = ["--instance", instance] if instance else []
        worker = WorkerProcess(
            ["worker", *where, "--http", "127.0.0.1:0", *member, *pairs],
            self.directory / f"worker-{next(self._numbers)}.log",
            instance=instance,
        )
        self.workers.append(worker)
        return worker

    @property
    def running(self) -> list[WorkerProcess]:
        """Workers that were neither killed nor told to stop."""
        return [worker for worker in self.workers if worker.alive]

    def stop_workers(self) -> None:
        """Let every worker finish and leave; each must end with exit code 0."""
        workers = self.running
        for worker in workers:
            worker.terminate()
        codes = [worker.wait() for worker in workers]
        assert not any(codes), f"exit codes {codes}\n{self.logs()}"

    def check_workers(self) -> None:
        """No worker has ended by itself."""
        ended = [worker for worker in self.workers if not worker.alive and not worker.killed and worker.wait()]
        assert not ended, f"a worker ended by itself:\n{ended[0].said[-3000:]}"

    def logs(self, n_chars: int = 2000) -> str:
        """The ends of all logs."""
        return "\n".join(f"--- {worker.log.name}\n{worker.said[-n_chars:]}" for worker in self.workers)

    def wait_until_shared(self, timeout_s: float = START_S) -> float:
        """Wait until every partition is some worker's and, where there are enough, every worker has one."""

        def shared() -> bool:
            self.check_workers()
            owned = [worker.metric("henji_partitions_owned") for worker in self.running]
            return sum(owned) == self.partitions and sum(map(bool, owned)) == min(len(owned), self.partitions)

        return until("the workers share all partitions", shared, timeout_s=timeout_s)

    def took_part(self) -> int:
        """How many of the running workers have applied records."""
        return sum(worker.metric("henji_records_read_total") > 0 for worker in self.running)

    # -- progress ------------------------------------------------------------------------------------------------

    def read(self) -> int:
        """Records that are in the ledger, all partitions; -1 while Redis is away."""
        keys = [self._keys.partition(self.names.events, number) for number in range(self.partitions)]
        try:
            pipe = self.client.pipeline(transaction=False)
            for key in keys:
                pipe.execute_command("HGET", key, "read")
            return sum(int(each or 0) for each in pipe.execute())
        except RedisError:
            return -1

    def standings(self) -> list[tuple[str, int]]:
        """Owner token and next offset of every partition."""
        pipe = self.client.pipeline(transaction=False)
        for number in range(self.partitions):
            pipe.execute_command("HMGET", self._keys.partition(self.names.events, number), "owner", "next_offset")
        return [((owner or b"").decode(), int(offset or 0)) for owner, offset in pipe.execute()]

    def wait_until_read(self, n: int, *, timeout_s: float = 120.0) -> float:
        """Wait until `n` records are in the ledger; returns the seconds that it took. Says what the workers said else.

        The time is that without any progress: a slow machine is no error.
        """
        started = moved = time.monotonic()
        best = -1
        while (now := self.read()) < n:
            if now > best:
                best, moved = now, time.monotonic()
            self.check_workers()
            if time.monotonic() - moved > timeout_s:
                raise AssertionError(f"expected {n} records in the ledger, got {now}, at most {best}\n{self.logs()}")
            time.sleep(POLL_S)
        return time.monotonic() - started

    # -- what came of it -----------------------------------------------------------------------------------------

    def summary(self) -> dict[str, Any]:
        """What `henji digest --json` says."""
        return summary(self._standing())

    def answers(self, *, n_alerts: int = 0) -> Answers:
        """Everything that the workers wrote; stop them first.

        Of more alerts than the stream in Redis keeps (`n_alerts` are expected) those in the topic are taken.
        """
        standing = self._standing()
        return Answers(
            standing.digest,
            standing.counts,
            standing.board,
            self.stream() if n_alerts < ALERTS_MAX else self.sent_alerts(),
            frozenset((each.partition, each.offset, each.reason) for each in self.letters(self.names.dead)),
            Counter(each.raw or b"" for each in self.letters(self.names.late)),
            desk_of(self.client, self._keys),
        )

    def _standing(self) -> Any:
        result = self.settings.result(self.rules)
        return live_standing(self.client, self._keys, self.names.events, result, self.rules)

    def stream(self) -> dict[int, list[bytes]]:
        """The alerts in Redis, lane by lane; each lane's must lie in the order of their numbers, without gaps."""
        lanes: dict[int, list[bytes]] = {}
        for _, fields in self.client.execute_command("XRANGE", self._keys.alerts, "-", "+"):
            lane, seq = int(fields[b"lane"]), int(fields[b"seq"])
            if lane == INCIDENT_LANE:
                continue
            lines = lanes.setdefault(lane, [])
            lines.append(fields[b"line"])
            assert seq == len(lines), f"lane {lane}: expected alert {len(lines)}, got {seq}"
        return lanes

    def sent_alerts(self) -> dict[int, list[bytes]]:
        """The alerts in the topic, folded by (`alert_id`, `seq`), lane by lane in the order of their numbers."""
        found: dict[tuple[int, int, bytes], bytes] = {}
        records = asyncio.run(_everything(Connection.of(self.settings), self.names.alerts, self.partitions))
        for record in records:
            headers = dict(record.headers)
            identity = (int(headers["henji-lane"]), int(headers["henji-seq"]), headers["henji-alert-id"])
            assert found.setdefault(identity, record.value) == record.value, f"two alerts are {identity}"
        lanes: dict[int, list[bytes]] = {}
        for (lane, _, _), line in sorted(found.items()):
            lanes.setdefault(lane, []).append(line)
        return lanes

    def letters(self, topic: str) -> list[DeadLetter]:
        """The letters in a topic, each place once."""
        records = asyncio.run(_everything(Connection.of(self.settings), topic, self.partitions))
        found = [read(record) for record in records]
        letters = [each for each in found if isinstance(each, DeadLetter)]
        assert len(letters) == len(found), "something else lies among the letters"
        return list({each.place: each for each in letters}.values())

    # -- Redis ---------------------------------------------------------------------------------------------------

    def copy_redis(self, to: Path) -> None:
        """Copy its log while it runs, as a backup does."""
        to.mkdir()
        for each in self._redis_log():
            (shutil.copytree if each.is_dir() else shutil.copy2)(each, to / each.name)

    def roll_redis_back(self, to: Path) -> None:
        """Kill it, put a copy in the place of its log, and start it again at the same address."""
        self.redis.kill()
        for each in self._redis_log():
            if each.is_dir():
                shutil.rmtree(each)
            else:
                each.unlink()
        shutil.copytree(to, self.redis.directory, dirs_exist_ok=True)
        self.redis.start()

    def _redis_log(self) -> list[Path]:
        # A folder of files since Redis 7, one file before.
        return list(self.redis.directory.glob("appendonly*"))
