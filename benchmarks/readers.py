"""What readers cost the worker: 200 followers of the alerts and 50 open pages of the console.

    python -m benchmarks.readers [--events 20000] [--rounds 5] [--followers 200] [--groups 20] [--pages 50]

The same simulated log is read by one worker from Kafka into an empty Redis, in turn alone and with readers: followers
with a connection each that wait for alerts, at most twice a second, as consumers of 20 groups (`--groups 0`: each for
itself, which makes Redis send every alert 200 times), and pages that each hold the console's `/api/events` open. Events
per second from the first committed batch to the last; the median of the ratios of neighbouring runs must be at least
0.95, and every group and page must have seen every alert. All share the cores of one machine: where the system can, the
worker has the first core to itself in both kinds of run, and readers and console run with the least priority: what they
cost Redis counts, what they cost themselves does not.

On fewer than four cores that is not enough: the readers' work slows the cores themselves, and the ratio is mostly
noise. There the bound is on what the readers cost Redis, the one thing that worker and readers share: its CPU beside
readers less that alone, all of it taken as if the worker had to wait for it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import secrets
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import hiredis
import uvloop
from argon2 import PasswordHasher

from benchmarks.live import broker_of, make_topics, read_by_workers, worker
from streams.console.accounts import Accounts
from streams.console.clock import wall_ms
from streams.console.file import ConsoleFile
from streams.redis.access import RedisAccess
from streams.redis.client import connect
from streams.redis.embedded import EmbeddedRedis
from streams.simulate import SimulationSettings, write_log

__all__ = ["Crowd", "Rate", "Readers", "speed"]

RATIO = 0.95
_HENJI = (sys.executable, "-m", "streams.cli")
_STREAM = "risk:alerts"
_NICE = 19
"""Desktops, pages and console are on machines of their own; here they must not take the CPU of Redis and broker."""
_LINGER_S = 0.5
"""What docs/readers.md tells readers that show alerts to people: to wait so long before they ask again."""
_PEOPLE = 25
"""Who share the pages: a person may have a few open."""
_START_S, _END_S = 60.0, 30.0


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many followers, in how many groups (0: each for itself), and how many pages."""

    followers: int
    groups: int
    pages: int


class _Follower:
    """One connection that waits for alerts and counts them."""

    def __init__(self, access: RedisAccess, group: str, name: str) -> None:
        self._access = access
        self._group, self._name = group, name
        self.n, self.last = 0, b"0"

    async def run(self) -> None:
        access = self._access
        if access.path:
            reader, writer = await asyncio.open_unix_connection(access.path)
        else:
            reader, writer = await asyncio.open_connection(access.host, access.port)
        parser = hiredis.Reader()
        try:
            while True:
                head = ("XREADGROUP", "GROUP", self._group, self._name) if self._group else ("XREAD",)
                after = ">" if self._group else self.last
                command = hiredis.pack_command(
                    (
                        *head,
                        "COUNT",
                        "1000",
                        "BLOCK",
                        "0",
                        *(("NOACK",) if self._group else ()),
                        "STREAMS",
                        _STREAM,
                        after,
                    )
                )
                writer.write(command)
                while (answer := parser.gets()) is False:
                    data = await reader.read(1 << 20)
                    if not data:
                        return
                    parser.feed(data)
                ((_, entries),) = answer
                self.n += len(entries)
                self.last = entries[-1][0]
                await asyncio.sleep(_LINGER_S)
        finally:
            writer.close()


class _Page:
    """One open page: reads the server-sent events and counts alerts."""

    def __init__(self, url: str, cookie: str) -> None:
        self._url, self._cookie = url, cookie
        self.n = 0

    async def run(self) -> None:
        timeout = aiohttp.ClientTimeout(total=None)
        async with aiohttp.ClientSession(timeout=timeout, headers={"Cookie": self._cookie}) as session:
            while True:
                async with session.get(f"{self._url}/api/events") as answer:
                    answer.raise_for_status()
                    async for line in answer.content:
                        self.n += line.startswith(b"event: alert")


class Readers:
    """Followers and pages in a process of their own.

    Parameters
    ----------
    redis_url, console_url, cookies
        Where, and the sessions that the pages share.
    crowd
        How many.
    """

    def __init__(self, redis_url: str, console_url: str, cookies: list[str], crowd: Crowd) -> None:
        self._ours, theirs = multiprocessing.Pipe()
        arguments = (theirs, redis_url, console_url, cookies, crowd, _others())
        self._process = multiprocessing.get_context("spawn").Process(target=_read, args=arguments, daemon=True)

    def __enter__(self) -> Readers:
        self._process.start()
        if not self._ours.poll(_START_S):
            raise SystemExit("readers: expected them ready within 60 s")
        self._ours.recv()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.join(10)

    def seen(self) -> tuple[list[int], list[int]]:
        """Alerts that each follower and each page has seen so far."""
        self._ours.send("seen")
        followers, pages = self._ours.recv()
        return followers, pages


def _read(pipe: Any, redis_url: str, console_url: str, cookies: list[str], crowd: Crowd, cores: set[int]) -> None:
    _pin(0, cores)
    os.nice(_NICE)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_follow(pipe, redis_url, console_url, cookies, crowd))


async def _follow(pipe: Any, redis_url: str, console_url: str, cookies: list[str], crowd: Crowd) -> None:
    access = RedisAccess.parse(redis_url)
    names = [f"desks-{number}" for number in range(crowd.groups)]
    client = connect(access)
    for name in names:
        client.execute_command("XGROUP", "CREATE", _STREAM, name, "0", "MKSTREAM")
    client.close()
    us = [
        _Follower(access, names[number % len(names)] if names else "", str(number)) for number in range(crowd.followers)
    ]
    them = [_Page(console_url, cookies[number % len(cookies)]) for number in range(crowd.pages)]
    tasks = [asyncio.create_task(each.run()) for each in (*us, *them)]
    await asyncio.sleep(1)
    pipe.send("ready")
    while True:
        for task in tasks:
            if task.done():
                task.result()
        if pipe.poll():
            pipe.recv()
            seen = [each.n for each in us]
            if names:
                # Each alert goes to one of a group.
                seen = [sum(seen[number :: len(names)]) for number in range(len(names))]
            pipe.send((seen, [each.n for each in them]))
        await asyncio.sleep(0.05)


def _others() -> set[int]:
    """The cores that are not the worker's."""
    cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    return set(sorted(cores)[1:])


def _pin(pid: int, cores: set[int]) -> None:
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(pid, cores)


@contextmanager
def _console(url: str, place: Path) -> Iterator[tuple[str, list[str]]]:
    """A console as it is deployed, and the cookies of people who have logged in."""
    accounts_file, password = place / "console.sqlite", secrets.token_hex(16)
    file = ConsoleFile(accounts_file)
    accounts = Accounts(file, wall_ms)
    names = [f"bench{number}" for number in range(_PEOPLE)]
    for name in names:
        accounts.redeem(accounts.add(name, "viewer"), name, PasswordHasher().hash(password))
    file.close()
    command = [*_HENJI, "console", "--redis", url, "--port", "0", "--accounts", str(accounts_file)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        _pin(process.pid, _others())
        os.setpriority(os.PRIO_PROCESS, process.pid, _NICE)
        assert process.stdout is not None
        where = process.stdout.readline().split()[-1].rstrip("/")
        yield where, [asyncio.run(_login(where, name, password)) for name in names]
    finally:
        process.terminate()
        process.wait(30)


async def _login(where: str, name: str, password: str) -> str:
    jar = aiohttp.CookieJar(unsafe=True)
    async with aiohttp.ClientSession(cookie_jar=jar) as session:
        async with session.get(f"{where}/api/session") as answer:
            csrf = (await answer.json())["csrf"]
        headers = {"X-CSRF-Token": csrf, "Origin": where}
        async with session.post(
            f"{where}/api/login", json={"name": name, "password": password}, headers=headers
        ) as answer:
            answer.raise_for_status()
    return "; ".join(f"{each.key}={each.value}" for each in jar)


def speed(
    brokers: str, log: Path, topic: str, n: int, *, partitions: int, lanes: int, crowd: Crowd | None
) -> tuple[Rate, int, tuple[list[int], list[int]]]:
    """Events per second of one worker, alerts that it sent, and what each reader has seen of them."""
    make_topics(brokers, topic, partitions, lanes)
    subprocess.run([*_HENJI, "send", str(log), "--kafka", brokers, "--topic", topic], check=True, capture_output=True)
    with tempfile.TemporaryDirectory() as place, EmbeddedRedis() as server:
        client = server.client()
        try:
            if crowd is None:
                rate = _run(client, brokers, server.url, topic, n, lanes)
                return rate, client.execute_command("XLEN", "risk:alerts"), ([], [])
            with (
                _console(server.url, Path(place)) as (where, cookies),
                Readers(server.url, where, cookies, crowd) as readers,
            ):
                rate = _run(client, brokers, server.url, topic, n, lanes)
                alerts: int = client.execute_command("XLEN", "risk:alerts")
                deadline = time.monotonic() + _END_S
                while min(map(min, filter(None, seen := readers.seen()))) < alerts and time.monotonic() < deadline:
                    time.sleep(0.2)
                return rate, alerts, seen
        finally:
            client.close()


@dataclass(frozen=True, slots=True)
class Rate:
    """What one worker did: records a second, seconds that it took, and CPU seconds of Redis meanwhile."""

    per_s: float
    seconds: float
    redis_s: float


def _redis_s(client: Any) -> float:
    cpu = client.info("cpu")
    return float(cpu["used_cpu_user"] + cpu["used_cpu_sys"])


def _run(client: Any, brokers: str, url: str, topic: str, n: int, lanes: int) -> Rate:
    with worker(brokers, url, topic, lanes, topic) as process:
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
        if _others():
            _pin(process.pid, set(cores) - _others() or {min(cores)})
        first: tuple[float, int] | None = None
        deadline = time.monotonic() + 900
        while True:
            read, _ = read_by_workers(client, topic)
            now = time.monotonic()
            if read and first is None:
                first, before = (now, read), _redis_s(client)
            if read >= n:
                break
            if now > deadline:
                raise SystemExit(f"worker: expected {n} records read, got {read}")
            time.sleep(0.02)
        assert first is not None
        seconds = now - first[0]
        return Rate((read - first[1]) / seconds, seconds, _redis_s(client) - before)


def main() -> int:
    """Measure, print, and say whether the bound holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--followers", type=int, default=200)
    parser.add_argument("--groups", type=int, default=20)
    parser.add_argument("--pages", type=int, default=50)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--broker", choices=["apache", "embedded"], default="embedded")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    alone: list[Rate] = []
    beside: list[Rate] = []
    missed = 0
    with tempfile.TemporaryDirectory() as place, broker_of(asked.broker) as broker:
        log = Path(place) / "log.jsonl"
        write_log(SimulationSettings(events=asked.events, seed=7), log, Path(place) / "truth.jsonl")
        n = sum(1 for line in log.read_bytes().splitlines() if line.strip())
        for number in range(asked.rounds):
            crowd = Crowd(asked.followers, asked.groups, asked.pages)
            for readers, rates in ((None, alone), (crowd, beside)):
                topic = f"readers-{number}-{len(alone)}"
                rate, alerts, seen = speed(
                    broker.brokers, log, topic, n, partitions=asked.partitions, lanes=asked.lanes,
                    crowd=readers,
                )  # fmt: skip
                rates.append(rate)
                missed += sum(each < alerts for group in seen for each in group)
    ratio = statistics.median(b.per_s / a.per_s for a, b in zip(alone, beside, strict=True))
    extra_s = statistics.median(b.redis_s - a.redis_s for a, b in zip(alone, beside, strict=True))
    seconds = statistics.median(each.seconds for each in alone)
    at_least = seconds / (seconds + max(0.0, extra_s))
    facts = {
        "records": n,
        "alerts": alerts,
        "followers": asked.followers,
        "groups": asked.groups,
        "pages": asked.pages,
        "alone_events_per_s": [round(each.per_s) for each in alone],
        "beside_readers_events_per_s": [round(each.per_s) for each in beside],
        "ratio": round(ratio, 3),
        "redis_cpu_s_alone": [round(each.redis_s, 2) for each in alone],
        "redis_cpu_s_beside_readers": [round(each.redis_s, 2) for each in beside],
        "ratio_by_redis_cpu": round(at_least, 3),
        "cores": os.cpu_count(),
        "readers_that_missed_alerts": missed,
        "broker": asked.broker,
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
    }
    judged = ratio if (os.cpu_count() or 1) >= 4 else at_least
    ok = judged >= RATIO and not missed
    if asked.json:
        print(json.dumps({**facts, "ok": ok}))
    else:
        for name, value in facts.items():
            print(f"{name:28} {value}")
        print(f"bound: {judged:.3f} >= {RATIO}, and nobody misses an alert: {'met' if ok else 'MISSED'}")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
