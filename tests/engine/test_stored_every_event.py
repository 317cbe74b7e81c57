"""A run that stores and loads everything after every event, over a short log; `stored_every_event` plays a long one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.engine.runs import DAY, T0, FixedModels, Run, trace
from tests.engine.stored_every_event import a_run, digest, rough_log

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_storing_everything_after_every_event_and_batches_of_any_size_change_no_bit() -> None:
    log = rough_log(1_000)
    kept, some, reborn = a_run("plain"), a_run("plain"), a_run("plain", reborn=True)
    kept.feed(log)
    some.feed(log, 7)
    reborn.feed(log, 1)
    assert kept.lane.models.champion == "plain"
    assert digest(kept) == digest(some) == digest(reborn)


@pytest.mark.slow
def test_the_seed_of_hashes_changes_no_bit() -> None:
    command = [sys.executable, "-m", "tests.engine.stored_every_event", "--digest", "--events", "1000"]
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


@pytest.mark.parametrize("forgetful", [False, True])
def test_score_flags_are_stored_in_the_order_of_the_rules_whichever_rose_first(forgetful: bool) -> None:
    script = {T0: (0.1, 10.0), T0 + 40 * DAY: (0.1, 1.0), T0 + 45 * DAY: (0.9, 0.1)}
    run = Run(models=FixedModels(script), forgetful=forgetful)
    run.feed((trace(f"e{i:02}", i * DAY, "view", None) for i in range(41)), 1)
    assert run.up() == {("engagement_drop", None)}
    run.tick(T0 + 50 * DAY)
    assert run.up() == {("engagement_drop", None), ("churn_risk", None)}
    numbers = [number for number, *_ in run.memory().fields()["scores"]]
    assert numbers == sorted(numbers)
    assert len(numbers) == 2
