"""A run that stores and loads everything after every event is the run that never does, to the bit, over a long log.

    python -m tests.engine.stored_every_event [--events 100000]

runs a longer one. Batch sizes and the seed of Python's hashes matter to nothing either.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine.event import Event
from streams.simulate import SimulationSettings, simulate
from tests.engine.runs import DAY, T0, FixedModels, Run, tick, trace

ROOT = Path(__file__).resolve().parents[2]
N_EVENTS = 10_000


def rough_log(n_events: int) -> list[Event]:
    """Months of a small campus: events out of order, late and twice, people who are erased, another champion."""
    settings = SimulationSettings(
        customers=40,
        events=n_events,
        days=90,
        seed=7,
        disorder_share=0.02,
        late_share=0.005,
        duplicate_share=0.005,
    )
    log = [Event(**event) for event in simulate(settings)]
    out = []
    for number, event in enumerate(log):
        out.append(event)
        if number % 1_500 == 1_400:
            out.append(Event(f"erase{number}", event.customer_id, event.ts, "erase"))
        if number == len(log) // 2:
            body: dict[str, Any] = {"champion": "plain"}
            out.append(Event("promote", None, event.ts, "model", lane=0, lanes=1, body=body))
    return [*out, tick(max(event.ts for event in log) + 70 * DAY)]


def a_run(*challengers: str, reborn: bool = False) -> Run:
    """Short horizons, so that labels of every kind mature by the thousand."""
    return Run(reborn=reborn, churn_horizon_ms=8 * DAY, engagement_horizon_ms=2 * DAY, challengers=challengers)


def digest(run: Run) -> dict[str, str]:
    """Hashes of all that a run has said and stored."""
    parts = {
        "alerts": [a.line() for a in run.alerts],
        "predictions": run.predictions,
        "customers": sorted(run.store.items()),
        "lane": [run.lane.record.encode(), run.lane.timers(), *run.lane.digest_parts()],
        "late": run.late,
    }
    return {name: hashlib.sha256(repr(part).encode()).hexdigest()[:16] for name, part in parts.items()}


def assert_worth_it(run: Run) -> None:
    """That there was something to lose."""
    for balance in run.lane.models.balance().values():
        assert min(balance[f"{label}_learned"] for label in ("churn", "engagement", "contact")) > 500
    assert run.lane.record.tallies["erased"] > 0
    assert run.counts()["duplicate"] > 0
    assert run.late
    assert {"raise", "clear"} <= {alert.op for alert in run.alerts}


@pytest.mark.parametrize("reborn", [False, True])
def test_score_flags_are_stored_in_the_order_of_the_rules_whichever_rose_first(reborn: bool) -> None:
    low, high = (0.1, 10.0), (0.9, 0.1)
    script = {T0: low, T0 + 40 * DAY: (0.1, 1.0), T0 + 45 * DAY: high}
    run = Run(models=FixedModels(script), forgetful=reborn)
    run.feed((trace(f"e{i:02}", i * DAY, "view", None) for i in range(41)), 1)
    assert run.up() == {("engagement_drop", None)}
    run.tick(T0 + 50 * DAY)
    assert run.up() == {("engagement_drop", None), ("churn_risk", None)}
    numbers = [number for number, *_ in run.memory().fields()["scores"]]
    assert numbers == sorted(numbers)
    assert len(numbers) == 2


@pytest.mark.slow
def test_storing_everything_after_every_event_changes_no_bit() -> None:
    log = rough_log(N_EVENTS)
    kept, reborn = a_run(), a_run(reborn=True)
    kept.feed(log)
    assert_worth_it(kept)
    # Customers are stored and loaded throughout; the lane with its models, which costs most, in every fourth thousand
    # (the command above does it in all).
    reborn.forgetful = True
    for at in range(0, len(log), 1_000):
        reborn.reborn = at % 4_000 == 0
        reborn.feed(log[at : at + 1_000], 1)
    assert digest(reborn) == digest(kept)


@pytest.mark.slow
def test_storing_a_challenger_that_becomes_champion_changes_no_bit() -> None:
    log = rough_log(N_EVENTS // 10)
    kept, reborn = a_run("plain"), a_run("plain", reborn=True)
    kept.feed(log)
    assert kept.lane.models.champion == "plain"
    reborn.feed(log, 1)
    assert digest(reborn) == digest(kept)


@pytest.mark.slow
def test_batch_sizes_change_no_bit() -> None:
    log = rough_log(N_EVENTS // 5)
    runs = {batch: a_run("plain") for batch in (1, 7, 10**6)}
    for batch, run in runs.items():
        run.feed(log, batch)
    assert digest(runs[1]) == digest(runs[7]) == digest(runs[10**6])


@pytest.mark.slow
def test_the_seed_of_hashes_changes_no_bit() -> None:
    command = [sys.executable, "-m", "tests.engine.stored_every_event", "--digest", "--events", str(N_EVENTS // 4)]
    said = [
        subprocess.run(
            command,
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
            timeout=300,
        ).stdout
        for seed in ("1", "2")
    ]
    assert said[0] == said[1]
    assert "customers" in said[0]


def main() -> int:
    """Compare a run that stores everything after every event with one that never does; 0 if they are equal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--digest", action="store_true", help="print the digest of the run that never does")
    options = parser.parse_args()
    log = rough_log(options.events)
    kept = a_run("plain")
    kept.feed(log)
    if options.digest:
        print(digest(kept))
        return 0
    reborn = a_run("plain", reborn=True)
    reborn.feed(log, 1)
    same = digest(reborn) == digest(kept)
    print(f"{len(log)} events: {'equal to the bit' if same else f'{digest(reborn)}, expected {digest(kept)}'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
