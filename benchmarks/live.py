"""The live worker beside the replay of the same events, and how soon a flag can be read.

    python -m benchmarks.live [--events 30000] [--rounds 3] [--partitions 4] [--broker apache|embedded] [--json]

Speed: the same simulated log is replayed into Redis (`henji replay --redis URL`) and read by one worker from Kafka,
in turn, each in a process of its own with an empty Redis; what starting costs is outside both figures (of the replay by
its stages, of the worker by the ledger's own progress from its first batch to its last). The worker must reach 0.6 of
the replay.

Latency: half of the worker's events per second are sent to it, open loop (a send is due at its time, whether or not
the one before has been answered). Among them, probes: two requests of one customer, which raise `repeat_request`. A
reader polls `risk:flags:<id>` every 5 ms, as a dashboard would. Counted from the moment that the second request was
due. The median must be under 50 ms, the 99th percentile under 250 ms.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson

from streams.kafka.connection import Connection
from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.producer import start_producer, stop_producer
from streams.redis.embedded import EmbeddedRedis
from streams.simulate import SimulationSettings, write_log

__all__ = ["latency", "live_speed", "replay_speed"]

RATIO, P50_MS, P99_MS = 0.6, 50.0, 250.0
_HENJI = (sys.executable, "-m", "streams.cli")
_POLL_S = 0.005
_PROBES_PER_S = 10


@contextmanager
def broker_of(name: str) -> Iterator[Any]:
    """A running broker."""
    if name == "embedded":
        with EmbeddedBroker() as broker:
            yield broker
        return
    from tests.kafka.apache import ApacheKafka, install

    with ApacheKafka(install()) as broker:
        yield broker


def replay_speed(log: Path, lanes: int) -> float:
    """Events per second of a replay into Redis, without its start."""
    with EmbeddedRedis() as server:
        done = subprocess.run(
            [*_HENJI, "replay", str(log), "--redis", server.url, "--lanes", str(lanes), "--json"],
            check=True,
            capture_output=True,
        )
    facts = json.loads(done.stdout)
    return float(facts["read"] / sum(facts["stages"].values()))


def read_by_workers(client: Any, topic: str) -> tuple[int, int]:
    """Records read and batches made, from the partition records."""
    n_read = n_batches = 0
    for key in client.scan_iter(match=f"henji:{{0}}:partition:{topic}:*", count=1000):
        read, batches = client.execute_command("HMGET", key, "read", "batches")
        n_read += int(read or 0)
        n_batches += int(batches or 0)
    return n_read, n_batches


@contextmanager
def worker(brokers: str, url: str, topic: str, lanes: int, group: str) -> Iterator[subprocess.Popen[bytes]]:
    """One worker process; its log is kept for a failure."""
    with tempfile.NamedTemporaryFile() as log:
        process = subprocess.Popen(
            [*_HENJI, "worker", "--kafka", brokers, "--redis", url, "--topic", topic, "--lanes", str(lanes),
             "--http", "off", "--set", f"kafka.group={group}"],
            stdout=log, stderr=log,
        )  # fmt: skip
        try:
            yield process
        finally:
            process.terminate()
            if process.wait(60) != 0:
                sys.stderr.write(Path(log.name).read_text("utf-8", "replace")[-4000:])
                raise SystemExit("worker: expected exit code 0")


def make_topics(brokers: str, topic: str, partitions: int, lanes: int) -> None:
    """Topics of one measurement."""
    options = ["--set", f"kafka.topic={topic}", "--set", f"kafka.partitions={partitions}", "--set", f"lanes={lanes}"]
    subprocess.run([*_HENJI, "topics", "create", "--kafka", brokers, *options], check=True, capture_output=True)


def live_speed(brokers: str, log: Path, topic: str, n: int, partitions: int, lanes: int) -> tuple[float, float]:
    """Events per second of one worker from its first committed batch to its last, and records per batch."""
    make_topics(brokers, topic, partitions, lanes)
    subprocess.run([*_HENJI, "send", str(log), "--kafka", brokers, "--topic", topic], check=True, capture_output=True)
    with EmbeddedRedis() as server:
        client = server.client()
        try:
            with worker(brokers, server.url, topic, lanes, topic):
                first: tuple[float, int] | None = None
                deadline = time.monotonic() + 600
                while True:
                    read, batches = read_by_workers(client, topic)
                    now = time.monotonic()
                    if read and first is None:
                        first = (now, read)
                    if read >= n:
                        break
                    if now > deadline:
                        raise SystemExit(f"worker: expected {n} records read, got {read}")
                    time.sleep(0.01)
                assert first is not None
                return (read - first[1]) / (now - first[0]), read / batches
        finally:
            client.close()


async def _offer(
    brokers: str, topic: str, events: list[bytes], rate: float, client: Any, seconds: float
) -> list[float]:
    """Send at a rate, open loop, with probes among them; the latency of each probe in ms."""
    producer = await start_producer(Connection((brokers,)))
    due: dict[str, float] = {}
    found: list[float] = []
    sent: list[Any] = []
    began = time.monotonic()
    stop = began + seconds

    async def poll() -> None:
        while time.monotonic() < stop + 5 and (time.monotonic() < stop or due):
            for customer in list(due):
                if client.execute_command("HLEN", f"risk:flags:{customer}"):
                    found.append(1000 * (time.monotonic() - due.pop(customer)))
            await asyncio.sleep(_POLL_S)

    async def probe() -> None:
        number = 0
        while (at := began + 1 + number / _PROBES_PER_S) < stop:
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            customer = f"probe-{number}"
            for n in range(2):
                event = {"event_id": f"{customer}-{n}", "customer_id": customer, "ts": time.time_ns() // 1_000_000,
                         "kind": "request", "category": "billing"}  # fmt: skip
                sent.append(await producer.send(topic, orjson.dumps(event), key=customer.encode()))
            due[customer] = at
            number += 1

    async def load() -> None:
        for number, raw in enumerate(events):
            at = began + number / rate
            if at >= stop:
                return
            if (wait_s := at - time.monotonic()) > 0.001:
                await asyncio.sleep(wait_s)
            event = orjson.loads(raw)
            event["ts"] = time.time_ns() // 1_000_000
            sent.append(await producer.send(topic, orjson.dumps(event), key=event["customer_id"].encode()))

    await asyncio.gather(poll(), probe(), load())
    await asyncio.gather(*sent)
    await stop_producer(producer)
    if due:
        raise SystemExit(f"latency: expected every probe flagged, got {len(due)} that are not")
    return found


def latency(
    brokers: str, log: Path, topic: str, rate: float, partitions: int, lanes: int, seconds: float
) -> list[float]:
    """Milliseconds from due to readable of every probe, at a rate of events per second."""
    make_topics(brokers, topic, partitions, lanes)
    # Without lane control, and with times of now: what is measured is the way, not the past.
    lines = [raw for raw in log.read_bytes().splitlines() if b'"customer_id"' in raw and b'"override"' not in raw]
    with EmbeddedRedis() as server:
        client = server.client()
        try:
            with worker(brokers, server.url, topic, lanes, topic):
                deadline = time.monotonic() + 60
                while not any(client.scan_iter(match=f"henji:{{0}}:partition:{topic}:*")):
                    if time.monotonic() > deadline:
                        raise SystemExit("worker: expected it ready within 60 s")
                    time.sleep(0.05)
                return asyncio.run(_offer(brokers, topic, lines, rate, client, seconds))
        finally:
            client.close()


def main() -> int:
    """Measure, print, and say whether the bounds hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=30_000)
    parser.add_argument("--log", type=Path, help="events of one's own in the place of simulated ones")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--lanes", type=int, default=8)
    parser.add_argument("--broker", choices=["apache", "embedded"], default="apache")
    parser.add_argument("--seconds", type=float, default=20.0, help="of the measurement of latency")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, broker_of(arguments.broker) as broker:
        log = arguments.log or Path(place) / "log.jsonl"
        if arguments.log is None:
            write_log(SimulationSettings(events=arguments.events, seed=7), log, Path(place) / "truth.jsonl")
        n = sum(1 for line in log.read_bytes().splitlines() if line.strip())
        replays, lives, sizes = [], [], []
        for number in range(arguments.rounds):
            replays.append(replay_speed(log, arguments.lanes))
            topic = f"speed-{number}"
            speed, size = live_speed(broker.brokers, log, topic, n, arguments.partitions, arguments.lanes)
            lives.append(speed)
            sizes.append(size)
        ratio = statistics.median(live / replay for live, replay in zip(lives, replays, strict=True))
        rate = statistics.median(lives) / 2
        probes = sorted(
            latency(broker.brokers, log, "latency", rate, arguments.partitions, arguments.lanes, arguments.seconds)
        )
    p50, p99 = probes[len(probes) // 2], probes[int(len(probes) * 0.99)]
    facts = {
        "records": n,
        "replay_events_per_s": [round(x) for x in replays],
        "live_events_per_s": [round(x) for x in lives],
        "records_per_batch": [round(x) for x in sizes],
        "live_to_replay": round(ratio, 3),
        "offered_events_per_s": round(rate),
        "probes": len(probes),
        "latency_p50_ms": round(p50, 1),
        "latency_p99_ms": round(p99, 1),
        "broker": arguments.broker,
        "machine": f"{platform.machine()}, {platform.system()}, Python {platform.python_version()}",
    }
    ok = ratio >= RATIO and p50 < P50_MS and p99 < P99_MS
    if arguments.json:
        print(json.dumps({**facts, "ok": ok}))
    else:
        for name, value in facts.items():
            print(f"{name:24} {value}")
        print(
            f"bounds: live / replay >= {RATIO}, p50 < {P50_MS:g} ms, p99 < {P99_MS:g} ms: {'met' if ok else 'MISSED'}"
        )
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
