"""`henji intake` as it is run: a process of its own, a real broker, signals."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from streams.kafka.sender import place
from tests.kafka.apache import ApacheKafka, Installation
from tests.kafka.conftest import Broker
from tests.kafka.test_send import event, make, read

TOKEN = "t" * 32
WAIT_S = 30.0


class Running:
    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def ask(self, path: str, body: bytes | None = None, media_type: str = "application/json") -> tuple[int, Any]:
        headers = {"Content-Type": media_type, "Authorization": f"Bearer {TOKEN}"}
        request = urllib.request.Request(self.url + path, data=body, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=WAIT_S) as response:
                return response.status, json.load(response)
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.load(error)

    def until(self, path: str, status: int) -> None:
        deadline = time.monotonic() + WAIT_S
        while self.ask(path)[0] != status:
            assert time.monotonic() < deadline, f"{path}: no {status} within {WAIT_S:g} s"


@contextmanager
def intake(brokers: str, topic: str, tmp_path: Path) -> Iterator[Running]:
    (tmp_path / "tokens").write_text(f"shop:{TOKEN}\n")
    options = ["--listen", "127.0.0.1:0", "--kafka", brokers, "--topic", topic, "--token-file"]
    with (tmp_path / "log").open("w") as log_file:
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", "intake", *options, str(tmp_path / "tokens")],
            stdout=subprocess.PIPE,
            stderr=log_file,
            env={**os.environ, "PYTHONWARNINGS": "error::ResourceWarning"},
            text=True,
        )
    assert process.stdout is not None
    with process, process.stdout:
        try:
            line = process.stdout.readline()
            assert line, (tmp_path / "log").read_text()
            yield Running(process, line.split()[-1])
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_S) == 0
            assert process.stdout.read() == ""
        finally:
            process.kill()
    log = (tmp_path / "log").read_text()
    assert "Traceback" not in log
    assert TOKEN not in log


def test_what_was_accepted_lies_where_it_says(broker: Broker, topic: str, tmp_path: Path) -> None:
    asyncio.run(make(broker.brokers, topic, 4))
    lines = [event(n, f"Ünal-{n % 13}") for n in range(3_000)]
    with intake(broker.brokers, topic, tmp_path) as running:
        running.until("/ready", 200)
        placed = []
        for start in range(0, 3_000, 500):
            status, answer = running.ask("/events", b"\n".join(lines[start : start + 500]), "application/x-ndjson")
            assert status == 202
            placed += answer["events"]
        status, answer = running.ask("/events", b"[" + b",".join(lines[:3]) + b',{"event_id":"x"}]')
        assert (status, [e["index"] for e in answer["errors"]]) == (400, [3])
    partitions = asyncio.run(read(broker.brokers, topic, 4))
    assert sum(map(len, partitions)) == 3_000
    for line, at in zip(lines, placed, strict=True):
        record = partitions[at["partition"]][at["offset"]]
        assert (record.partition, record.key, record.value) == place(line, 4)[:3]
    for records in partitions:
        numbers = [int(json.loads(record.value)["event_id"][1:]) for record in records]
        assert numbers == sorted(numbers)


def test_a_sigterm_finishes_the_requests_that_were_taken(broker: Broker, topic: str, tmp_path: Path) -> None:
    asyncio.run(make(broker.brokers, topic, 4))
    with intake(broker.brokers, topic, tmp_path) as running, ThreadPoolExecutor(8) as clients:

        def client(number: int) -> int:
            """Sends until it is not let in any more; returns how many events were acknowledged."""
            acknowledged = 0
            while True:
                ids = range(number * 1_000_000 + acknowledged, number * 1_000_000 + acknowledged + 50)
                try:
                    status, _ = running.ask("/events", b"[" + b",".join(event(n, f"c{number}") for n in ids) + b"]")
                except (OSError, urllib.error.URLError):
                    return acknowledged
                if status != 202:
                    return acknowledged
                acknowledged += 50
                begun[number] = True

        begun = [False] * 8
        answers = [clients.submit(client, number) for number in range(8)]
        deadline = time.monotonic() + WAIT_S
        while not all(begun):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        running.process.send_signal(signal.SIGTERM)
        acknowledged = [answer.result() for answer in answers]
        assert running.process.wait(WAIT_S) == 0
    found = [r.key for records in asyncio.run(read(broker.brokers, topic, 4)) for r in records]
    for number in range(8):
        # A request that was on its way may have come through without its answer.
        assert 0 <= found.count(f"c{number}".encode()) - acknowledged[number] <= 50


def test_a_topic_that_is_missing_stops_the_start(broker: Broker, topic: str, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "streams.cli", "intake", "--listen", "127.0.0.1:0", "--kafka", broker.brokers]
    done = subprocess.run([*command, "--topic", topic], capture_output=True, text=True, timeout=WAIT_S, check=False)
    assert done.returncode == 2
    assert "henji topics create" in done.stderr


@pytest.fixture
def own_kafka(kafka_installation: Installation) -> Iterator[ApacheKafka]:
    with ApacheKafka(kafka_installation) as node:
        yield node


@pytest.mark.kafka
@pytest.mark.slow
def test_kafka_away_is_a_503_and_back_is_a_202_without_a_restart(own_kafka: ApacheKafka, tmp_path: Path) -> None:
    asyncio.run(make(own_kafka.brokers, "events", 2))
    with intake(own_kafka.brokers, "events", tmp_path) as running:
        assert running.ask("/events", event(1, "a"))[0] == 202
        own_kafka.kill()
        status, answer = running.ask("/events", event(2, "a"))
        assert (status, answer["code"]) == (503, "kafka")
        assert running.ask("/ready")[0] == 503
        assert running.ask("/live")[0] == 200
        own_kafka.start()
        running.until("/ready", 200)
        # As the answer told: the same event again.
        assert running.ask("/events", event(2, "a"))[0] == 202
    values = [json.loads(r.value)["event_id"] for p in asyncio.run(read(own_kafka.brokers, "events", 2)) for r in p]
    assert values in (["e1", "e2"], ["e1", "e2", "e2"])
