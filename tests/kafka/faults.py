"""What can go wrong while a log is read, and the trial that compares what came of it with a replay.

`test_faults.py` runs a sample of each, `make chaos` all of it.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from random import Random
from types import TracebackType
from typing import Self

from streams.kafka.connection import Connection
from streams.kafka.producer import start_producer, stop_producer
from streams.kafka.sender import BATCH_BYTES, Sender, place
from tests.kafka.apache import ApacheKafka, Installation
from tests.kafka.deployment import (
    POLL_S,
    Answers,
    Deployment,
    WorkerProcess,
    differences,
    make_topics,
    until,
    write_topic,
)
from tests.streams.redis.proxy import LossyProxy

__all__ = ["FAULTS", "SESSION_MS", "Fault", "Report", "Trial", "apache", "measure_failover", "trial"]

SESSION_MS = 1_500
"""Session timeout in trials, ms: what a killed worker had waits so long, and a frozen one must sleep longer."""

# Small batches: more transactions and more places to die in.
_SETTINGS = {"kafka.partitions": "4", "worker.session_timeout": f"{SESSION_MS}ms", "worker.poll_records": "200"}


def apache(installation: Installation, *, rebalance_delay_ms: int = 0) -> ApacheKafka:
    """A node that allows sessions of half a second; 6 s are the least as shipped."""
    return ApacheKafka(
        installation, rebalance_delay_ms=rebalance_delay_ms, settings={"group.min.session.timeout.ms": "500"}
    )


class _Proxy(LossyProxy):
    """Loses replies on the way from Redis."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0"


@dataclass(slots=True)
class Trial:
    """A deployment that reads a log while something is done to it.

    Parameters
    ----------
    deployment, broker
        Running.
    total
        Records of the log.
    times
        How often the fault is to happen.
    draw
        Chooses moments and victims.
    proxy
        Between workers and Redis, for a fault that asks for it.
    facts
        What was seen on the way.
    """

    deployment: Deployment
    broker: ApacheKafka
    total: int
    times: int
    draw: Random
    proxy: _Proxy | None = None
    facts: dict[str, float] = field(default_factory=dict)

    def moments(self, *, first: float = 0.03, last: float = 0.9) -> Iterator[int]:
        """Wait for moments of the reading, spread at random over the log; gives the number of each."""
        shares = sorted(self.draw.uniform(first, last) for _ in range(self.times))
        for number, share in enumerate(shares):
            self.deployment.wait_until_read(int(share * self.total))
            # The ledger was just written: wait on for somewhere between two transactions.
            time.sleep(self.draw.uniform(0.0, 0.05))
            yield number

    def victim(self) -> WorkerProcess:
        """Any of the running workers."""
        return self.draw.choice(self.deployment.running)

    def unfinished(self) -> bool:
        """Whether there is something left to read; a fault after the end would prove nothing."""
        return self.deployment.read() < self.total

    def n_retries(self) -> int:
        """How often the running workers have said that they try again."""
        return sum(worker.said.count("trying again") for worker in self.deployment.running)

    def count(self, what: str, n: float = 1) -> None:
        """Add to a fact."""
        self.facts[what] = self.facts.get(what, 0) + n


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that goes wrong.

    Parameters
    ----------
    name
        For reports.
    run
        Does it, `times` times.
    times, sample
        How often in `make chaos`, and in the tests; 0: not in the tests, where it would take too long.
    instances
        Names of the workers, empty for dynamic members of the group.
    proxy
        Whether replies are to be lost.
    """

    name: str
    run: Callable[[Trial], None]
    times: int
    sample: int
    instances: Sequence[str] = ("", "")
    proxy: bool = False


def _kill(trial: Trial) -> None:
    for _ in trial.moments():
        victim = trial.victim()
        trial.count("killed while reading", trial.unfinished())
        victim.kill()
        trial.deployment.start_worker(victim.instance)


def _terminate(trial: Trial) -> None:
    for _ in trial.moments():
        victim = trial.victim()
        trial.count("stopped while reading", trial.unfinished())
        victim.terminate()
        trial.deployment.start_worker(victim.instance)
        assert victim.wait() == 0, victim.said[-3000:]


def _freeze(trial: Trial) -> None:
    deployment = trial.deployment
    for _ in trial.moments(last=0.6):
        deployment.wait_until_shared()
        victim = trial.victim()
        before = deployment.standings()
        victim.freeze()
        # The group gives its partitions away, and their new owner claims them, and its own anew.
        until("the partitions go to the other worker", partial(_all_claimed, deployment, before), timeout_s=60)
        trial.count("woken while reading", trial.unfinished())
        victim.thaw()
    deployment.wait_until_shared()
    refused = sum(worker.metric("henji_ledger_conflicts_total") for worker in deployment.running)
    trial.count("transactions refused", refused)


def _all_claimed(deployment: Deployment, before: Sequence[tuple[str, int]]) -> bool:
    return all(now[0] != then[0] for now, then in zip(deployment.standings(), before, strict=True))


def _come_and_go(trial: Trial) -> None:
    deployment = trial.deployment
    for _ in trial.moments():
        leaver = trial.draw.choice(deployment.running)
        deployment.start_worker()
        trial.count("changes while reading", trial.unfinished())
        leaver.terminate()
        assert leaver.wait() == 0, leaver.said[-3000:]


def _broker(trial: Trial) -> None:
    for _ in trial.moments():
        trial.count("killed while reading", trial.unfinished())
        trial.broker.kill()
        trial.broker.start()


def _redis(trial: Trial) -> None:
    for number in trial.moments():
        trial.count("killed while reading", trial.unfinished())
        trial.deployment.redis.kill()
        # Once at once, once after the workers have seen that it is away.
        if number % 2:
            until("a worker misses Redis", partial(_more_retries, trial, trial.n_retries()), timeout_s=30)
        trial.deployment.redis.start()


def _more_retries(trial: Trial, seen: int) -> bool:
    return trial.n_retries() > seen


def _roll_back(trial: Trial) -> None:
    deployment = trial.deployment
    for number in trial.moments(last=0.4):
        copy = deployment.directory / f"copy-{number}"
        deployment.copy_redis(copy)
        then, copied = deployment.read(), time.monotonic()
        # 10 s, or a good part of what is left where that takes less.
        enough = then + (trial.total - then) // 2
        while deployment.read() < enough and time.monotonic() - copied < 10:
            time.sleep(POLL_S)
        now, unfinished = deployment.read(), trial.unfinished()
        deployment.roll_redis_back(copy)
        trial.count("records taken back", now - then)
        trial.count("rolled back while reading", unfinished)
        trial.count("seconds taken back", round(time.monotonic() - copied, 1))


def _roll_back_at_rest(trial: Trial) -> None:
    deployment = trial.deployment
    deployment.wait_until_read(trial.total // 2)
    copy = deployment.directory / "copy"
    deployment.copy_redis(copy)
    deployment.wait_until_read(trial.total)
    for _ in range(trial.times):
        deployment.roll_redis_back(copy)
        trial.count("records taken back", trial.total - deployment.read())
        trial.facts["seconds to mend"] = round(deployment.wait_until_read(trial.total), 1)


def _empty(trial: Trial) -> None:
    for _ in trial.moments():
        trial.count("emptied while reading", trial.unfinished())
        trial.deployment.client.execute_command("FLUSHALL")


def _empty_at_rest(trial: Trial) -> None:
    for _ in range(trial.times):
        trial.deployment.wait_until_read(trial.total)
        trial.deployment.client.execute_command("FLUSHALL")
        trial.facts["seconds to mend"] = round(trial.deployment.wait_until_read(trial.total), 1)


def _lose_replies(trial: Trial) -> None:
    assert trial.proxy is not None
    for number in trial.moments():
        trial.proxy.faults.append("lose_reply" if number % 3 else "lose_request")
        until("a reply is lost", lambda: not trial.proxy or not trial.proxy.faults, timeout_s=60)
        trial.count("lost while reading", trial.unfinished())


FAULTS = (
    Fault("kill -9 of a worker", _kill, 30, 2),
    Fault("kill -9 of a static member", _kill, 30, 0, instances=("one", "two")),
    Fault("SIGTERM to a worker", _terminate, 10, 2),
    Fault("SIGSTOP past the session, then SIGCONT", _freeze, 5, 1),
    Fault("a worker joins, another leaves", _come_and_go, 10, 2),
    Fault("broker killed and restarted", _broker, 5, 1),
    Fault("Redis killed and restarted", _redis, 6, 2),
    Fault("Redis rolled back to a copy", _roll_back, 3, 1),
    Fault("Redis rolled back while nothing comes", _roll_back_at_rest, 1, 0),
    Fault("Redis emptied", _empty, 3, 1),
    Fault("Redis emptied while nothing comes", _empty_at_rest, 1, 1),
    Fault("replies lost after the transaction", _lose_replies, 30, 6, proxy=True),
)
"""Every fault."""


@dataclass(frozen=True, slots=True)
class Report:
    """What came of a trial.

    Parameters
    ----------
    fault
        Its name.
    wrong
        Where the answers differ from those of the replay; empty when all is well.
    seconds
        From the first worker to the last record.
    facts
        What was seen on the way.
    """

    fault: str
    wrong: Sequence[str]
    seconds: float
    facts: Mapping[str, float]


def trial(
    fault: Fault,
    broker: ApacheKafka,
    directory: Path,
    log: Path,
    expected: Answers,
    *,
    name: str,
    times: int,
    seed: int = 1,
) -> Report:
    """Let workers read a log, do it to them, and compare what came of it with a replay.

    Parameters
    ----------
    fault
        What goes wrong.
    broker
        From `apache()`; nobody else's.
    directory
        For Redis and logs.
    log, expected
        What is read, and what a replay says of it.
    name
        Of topics and group: no other trial's.
    times
        How often it is to happen.
    seed
        Of moments and victims.
    """
    with Deployment(directory, broker.brokers, name, name=f"{name}.of", settings=_SETTINGS) as deployment:
        total = write_topic(deployment.settings, log)
        with _proxied(deployment, wanted=fault.proxy) as proxy:
            started = time.monotonic()
            for instance in fault.instances:
                deployment.start_worker(instance)
            case = Trial(deployment, broker, total, times, Random(seed), proxy)
            fault.run(case)
            deployment.wait_until_read(total)
            seconds = time.monotonic() - started
            deployment.stop_workers()
        live = deployment.answers()
        wrong = differences(live, expected)
        if deployment.sent_alerts() != expected.alerts:
            wrong.append(f"topic {deployment.names.alerts}: expected the alerts of the replay, got others")
        deployment.check_workers()
        return Report(fault.name, wrong, seconds, case.facts)


@contextmanager
def _proxied(deployment: Deployment, *, wanted: bool) -> Iterator[_Proxy | None]:
    if not wanted:
        yield None
        return
    with _Proxy(deployment.redis.url) as proxy:
        deployment.through(proxy.url)
        yield proxy


# -- how long it takes -------------------------------------------------------------------------------------------


class _Trickle:
    """Sends a log a little at a time, so that there is always something to read, from a thread of its own."""

    def __init__(self, deployment: Deployment, log: Path, *, every_s: float = 0.05, n_records: int = 40) -> None:
        self._deployment = deployment
        self._lines = log.read_bytes().splitlines()
        self._every_s, self._n_records = every_s, n_records
        self._end = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="trickle")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join()
        if self._failed is not None and error is None:
            raise self._failed

    def _run(self) -> None:
        try:
            asyncio.run(self._send())
        except BaseException as error:
            self._failed = error

    async def _send(self) -> None:
        settings = self._deployment.settings
        producer = await start_producer(Connection.of(settings), max_batch_size=BATCH_BYTES)
        try:
            sender = Sender(producer, settings["kafka.topic"])
            lines = itertools.cycle(self._lines)
            while not self._end.is_set():
                some = itertools.islice(lines, self._n_records)
                await sender.send(place(line, settings["kafka.partitions"]) for line in some)
                await sender.flush()
                await asyncio.sleep(self._every_s)
        finally:
            await stop_producer(producer)


def measure_failover(
    broker: ApacheKafka, directory: Path, log: Path, *, name: str, times: int, back: bool, settings: Mapping[str, str]
) -> list[float]:
    """Seconds from `kill -9` of a worker to the first event of each of its partitions that somebody else applied.

    Parameters
    ----------
    broker, directory, log, name
        As for `trial`.
    times
        How often it is measured.
    back
        Whether the same instance (a static member) is started again at once; else another worker takes over.
    settings
        Beside those of a deployment as shipped.

    Returns
    -------
    list of float
        One figure for each kill: that of the partition that waited longest.
    """
    out: list[float] = []
    with Deployment(directory, broker.brokers, name, name=f"{name}.of", settings=settings) as deployment:
        make_topics(deployment.settings)
        names = ("one", "two") if back else ("", "")
        for instance in names:
            deployment.start_worker(instance)
        with _Trickle(deployment, log):
            for number in range(times):
                if number and not back:
                    deployment.start_worker()
                deployment.wait_until_shared()
                _everything_moves(deployment)
                victim = deployment.running[0]
                lost = _owned(victim)
                killed = time.monotonic()
                victim.kill()
                if back:
                    deployment.start_worker(victim.instance)
                before = deployment.standings()
                until("the partitions of the killed worker go on", _taken(deployment, lost, before), timeout_s=60,
                      poll_s=0.005)  # fmt: skip
                out.append(time.monotonic() - killed)
        deployment.stop_workers()
    return out


def _owned(worker: WorkerProcess) -> list[int]:
    """Partitions of a worker, by its log."""
    assigned = re.findall(r"partitions assigned: (.*)", worker.said)
    return [int(each) for each in assigned[-1].split(",")]


def _everything_moves(deployment: Deployment) -> None:
    before = deployment.standings()
    until(
        "every partition moves",
        lambda: all(now[1] > then[1] for now, then in zip(deployment.standings(), before, strict=True)),
        timeout_s=60,
    )


def _taken(deployment: Deployment, lost: Sequence[int], before: Sequence[tuple[str, int]]) -> Callable[[], bool]:
    """Whether each of these partitions has another owner than when it was lost, and went on since."""

    def taken() -> bool:
        now = deployment.standings()
        return all(now[n][0] != before[n][0] and now[n][1] > before[n][1] for n in lost)

    return taken
