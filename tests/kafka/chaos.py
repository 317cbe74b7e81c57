"""`make chaos`: every fault, as often as promised, while a log is read; then the answers must be those of a replay.

python -m tests.kafka.chaos --only kill --seed 3
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import orjson

from streams.simulate import SimulationSettings, write_log
from tests.kafka.apache import Installation, install
from tests.kafka.deployment import replayed, settings_of
from tests.kafka.faults import FAULTS, apache, measure_failover, trial

__all__ = ["main"]

_TIMES = 3
_LIMITS_S = {"to another worker": 15.0, "to the same instance": 5.0}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all of it; exit code 1 when an answer differs or a fail-over takes too long."""
    parser = argparse.ArgumentParser(prog="python -m tests.kafka.chaos", description="Exact through crashes.")
    parser.add_argument("--events", type=int, default=120_000, help="of the simulated log [120000]")
    parser.add_argument("--seed", type=int, default=1, help="of moments and victims [1]")
    parser.add_argument("--only", default="", metavar="TEXT", help="faults whose names hold it; `fail-over` as well")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    asked = parser.parse_args(arguments)
    installation = install()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="henji-chaos-") as name:
        folder = Path(name)
        log = folder / "log.jsonl"
        settings = SimulationSettings(
            events=asked.events, seed=7, disorder_share=0.05, late_share=0.01, duplicate_share=0.02, bad_share=0.01
        )
        write_log(settings, log, folder / "truth.jsonl")
        expected = replayed(settings_of("127.0.0.1:9", "file"), log)
        _say(f"{expected.answers.counts.read:,} records, {expected.answers.n_alerts:,} alerts")
        for number, fault in enumerate(FAULTS):
            if asked.only not in fault.name:
                continue
            with apache(installation) as broker:
                report = trial(fault, broker, folder / str(number), log, expected.answers, name=f"chaos-{number}",
                               times=fault.times, seed=asked.seed)  # fmt: skip
            rows.append({"fault": f"{fault.name}, {fault.times} times", "seconds": round(report.seconds, 1),
                         "seen": dict(report.facts), "wrong": list(report.wrong)})  # fmt: skip
            _say(_line(rows[-1]))
        if asked.only in "fail-over":
            for row in _failovers(installation, folder, log):
                rows.append(row)
                _say(_line(row))
    wrong = [row for row in rows if row["wrong"]]
    if asked.json:
        sys.stdout.buffer.write(orjson.dumps({"trials": rows, "wrong": len(wrong)}) + b"\n")
    else:
        print("\n".join(map(_line, rows)))
        print(f"{len(rows) - len(wrong)} of {len(rows)} as promised")
    return 1 if wrong or not rows else 0


def _failovers(installation: Installation, folder: Path, log: Path) -> list[dict[str, Any]]:
    """From `kill -9` to the next event applied, with everything as shipped."""
    rows = []
    for what, limit_s in _LIMITS_S.items():
        with apache(installation, rebalance_delay_ms=3_000) as broker:
            seconds = measure_failover(broker, folder / what.replace(" ", "-"), log, name="failover", times=_TIMES,
                                       back="same" in what, settings={})  # fmt: skip
        slow = [each for each in seconds if each >= limit_s]
        rows.append({"fault": f"fail-over {what}, {_TIMES} times", "seconds": round(max(seconds), 2),
                     "seen": {f"seconds, {i}": round(each, 2) for i, each in enumerate(seconds, 1)},
                     "wrong": [f"expected under {limit_s:g} s, got {each:.1f} s" for each in slow]})  # fmt: skip
    return rows


def _line(row: dict[str, Any]) -> str:
    seen = ", ".join(f"{what}: {n:g}" for what, n in row["seen"].items())
    return f"{row['fault']:<52} {row['seconds']:>6.1f} s  {'; '.join(row['wrong']) or 'equal':<8} {seen}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
