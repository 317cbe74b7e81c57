"""Exact through crashes: a sample of the faults of `make chaos`, each while a log is read, and then parity."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from streams.simulate import SimulationSettings, write_log
from tests.kafka.apache import ApacheKafka, Installation
from tests.kafka.deployment import Reference, replayed, settings_of
from tests.kafka.faults import FAULTS, Fault, apache, measure_failover, trial

pytestmark = [pytest.mark.kafka, pytest.mark.slow]

EVENTS = 12_000


@pytest.fixture(scope="module")
def node(kafka_installation: Installation) -> Iterator[ApacheKafka]:
    """A node that may be killed."""
    with apache(kafka_installation) as running:
        yield running


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    settings = SimulationSettings(
        events=EVENTS, seed=12, disorder_share=0.05, late_share=0.01, duplicate_share=0.02, bad_share=0.01
    )
    write_log(settings, folder / "log.jsonl", folder / "truth.jsonl")
    return folder / "log.jsonl"


@pytest.fixture(scope="module")
def expected(log: Path) -> Reference:
    return replayed(settings_of("127.0.0.1:9", "file"), log)


@pytest.mark.parametrize(
    "fault", [fault for fault in FAULTS if fault.sample], ids=lambda fault: fault.name.replace(" ", "_")
)
def test_whatever_happens_the_answers_are_those_of_a_replay(
    fault: Fault, node: ApacheKafka, tmp_path: Path, log: Path, expected: Reference
) -> None:
    name = f"faults-{FAULTS.index(fault)}"
    report = trial(fault, node, tmp_path, log, expected.answers, name=name, times=fault.sample)
    assert not report.wrong, report
    assert all(report.facts.values()), f"the fault came too late, or did nothing: {report.facts}"


@pytest.mark.parametrize(("back", "limit_s"), [(False, 15.0), (True, 5.0)], ids=["another_worker", "the_same_instance"])
def test_after_a_crash_it_goes_on_in_time_with_the_shipped_settings(
    kafka_installation: Installation, tmp_path: Path, log: Path, back: bool, limit_s: float
) -> None:
    with apache(kafka_installation, rebalance_delay_ms=3_000) as node:
        seconds = measure_failover(node, tmp_path, log, name="failover", times=1, back=back, settings={})
    assert max(seconds) < limit_s
