"""Live equals replay, byte for byte: a sample of the grid of which `make parity` runs the whole."""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import chain
from pathlib import Path

import orjson
import pytest

from streams.simulate import SimulationSettings, write_log
from tests.kafka.conftest import Broker
from tests.kafka.deployment import Deployment, Reference, differences, replayed, settings_of, write_topic

pytestmark = pytest.mark.slow

EVENTS = 6_000


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A log with everything that goes wrong on the way; long ago, as live nothing may be ahead of its record's time."""
    folder = tmp_path_factory.mktemp("log")
    settings = SimulationSettings(
        events=EVENTS, seed=11, disorder_share=0.05, late_share=0.01, duplicate_share=0.02, bad_share=0.01
    )
    write_log(settings, folder / "plain.jsonl", folder / "truth.jsonl")
    with (folder / "log.jsonl").open("wb") as out:
        out.writelines(with_words(folder / "plain.jsonl"))
    return folder / "log.jsonl"


def with_words(log: Path) -> list[bytes]:
    """The log, and in it what people said of every third alert soon after it went out."""
    waiting: list[tuple[int, bytes]] = []
    told = replayed(settings_of("127.0.0.1:9", "file"), log).answers.alerts
    for number, line in enumerate(chain.from_iterable(told.values())):
        alert = orjson.loads(line)
        if number % 3 or alert["op"] == "clear":
            continue
        word = {
            "event_id": f"word-{number}", "customer_id": alert["customer_id"], "ts": alert["at"], "by": "ann",
            "kind": "snooze" if number % 2 else "ack", "ref": alert["alert_id"],
            **({"until": alert["at"] + 36 * 3_600_000, "reason": "parts"} if number % 2 else {}),
            **({"outcome": "useful" if number % 4 else "not_useful"} if number % 5 == 0 and not number % 2 else {}),
        }  # fmt: skip
        waiting.append((alert["at"], orjson.dumps(word) + b"\n"))
    waiting.sort(reverse=True)
    lines: list[bytes] = []
    for raw in log.read_bytes().splitlines(keepends=True):
        lines.append(raw)
        ts = re.search(rb'"ts": ?(\d+)', raw)
        while waiting and ts is not None and int(ts[1]) >= waiting[-1][0]:
            lines.append(waiting.pop()[1])
    return lines


@pytest.fixture(scope="module")
def expected(log: Path) -> Reference:
    """What a replay of the file says."""
    found = replayed(settings_of("127.0.0.1:9", "file"), log, desk=True)
    assert found.answers.desk is not None
    assert found.answers.desk["facts"], "people must have said something"
    return found


@pytest.mark.parametrize(("partitions", "workers"), [(1, 1), (4, 2), (8, 3)])
def test_any_number_of_workers_and_partitions_gives_what_a_replay_gives(
    broker: Broker,
    topic_name: Callable[[], str],
    tmp_path: Path,
    log: Path,
    expected: Reference,
    partitions: int,
    workers: int,
) -> None:
    settings = {"kafka.partitions": str(partitions)}
    with Deployment(tmp_path, broker.brokers, topic_name(), name=topic_name(), settings=settings) as deployment:
        for _ in range(workers):
            deployment.start_worker()
        deployment.wait_until_shared()
        n = write_topic(deployment.settings, log)
        deployment.wait_until_read(n)
        assert deployment.took_part() == min(workers, partitions)
        deployment.stop_workers()
        live = deployment.answers()
        assert not differences(live, expected.answers)
        assert not differences(live, replayed(deployment.settings).answers)
        assert deployment.sent_alerts() == live.alerts
        counts = live.counts
        assert counts.read == n == counts.applied + counts.duplicate + counts.late + counts.dead
        assert live.dead is not None
        assert live.late is not None
        assert (len(live.dead), sum(live.late.values())) == (counts.dead, counts.late)
        assert min(*counts, live.n_alerts) > 0, "the log must have something of everything"


def test_a_deployment_that_stops_and_starts_again_goes_on_where_it_was(
    broker: Broker, topic_name: Callable[[], str], tmp_path: Path, log: Path, expected: Reference
) -> None:
    settings = {"kafka.partitions": "4", "worker.poll_records": "100"}
    with Deployment(tmp_path, broker.brokers, topic_name(), name=topic_name(), settings=settings) as deployment:
        n = write_topic(deployment.settings, log)
        deployment.start_worker()
        deployment.wait_until_read(n // 4)
        deployment.stop_workers()
        before = deployment.read()
        assert n // 4 <= before < n, "it should have been stopped on the way"
        deployment.start_worker()
        deployment.wait_until_read(n)
        deployment.stop_workers()
        assert not differences(deployment.answers(), expected.answers)


def test_a_log_with_one_event_less_is_told_apart(tmp_path: Path, log: Path, expected: Reference) -> None:
    shorter = tmp_path / "log.jsonl"
    lines = log.read_bytes().splitlines(keepends=True)
    shorter.write_bytes(b"".join(lines[:-1]))
    assert differences(replayed(settings_of("127.0.0.1:9", "file"), shorter).answers, expected.answers)
