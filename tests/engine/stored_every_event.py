"""A run that stores and loads everything after every event is the run that never does, to the bit, over a long log.

    python -m tests.engine.stored_every_event [--events 100000]

`test_stored_every_event` plays a short one, in batches of several sizes and under several seeds of Python's hashes.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from typing import Any

from engine.event import Event
from streams.simulate import SimulationSettings, simulate
from tests.engine.runs import DAY, Run, tick


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
    """That there was something to lose: it takes some thousand events."""
    for balance in run.lane.models.balance().values():
        assert min(balance[f"{label}_learned"] for label in ("churn", "engagement", "contact")) > 500
    assert run.lane.record.tallies["erased"] > 0
    assert run.counts()["duplicate"] > 0
    assert run.late
    assert {"raise", "clear"} <= {alert.op for alert in run.alerts}


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
    assert_worth_it(kept)
    reborn = a_run("plain", reborn=True)
    reborn.feed(log, 1)
    same = digest(reborn) == digest(kept)
    print(f"{len(log)} events: {'equal to the bit' if same else f'{digest(reborn)}, expected {digest(kept)}'}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
