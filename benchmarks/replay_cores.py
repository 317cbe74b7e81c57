"""What several cores bring a replay: `python -m benchmarks.replay_cores`.

    python -m benchmarks.replay_cores [--events N] [--cores 1,2] [--stores none,embedded] [--rounds N] [--json FILE]

Replays one simulated log (with disorder, late, repeated and broken records) with each number of cores, once with the
lanes in memory and once into an embedded Redis. Runs of a round come one after another and rounds repeat, so that what
else the machine does meets all of them; the ratio is taken within a round, and its median is the figure. A run's time
is that of the whole command but for the start of Python: start of the processes, reading, files, ledger, digest. With
Redis, its server takes part of the cores too. `cpu` is the processor time of everything that ran, by that of the first
number of cores: what spreading costs, whatever else the machine does. Exit code 1 if the digests differ.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median
from typing import Any

from streams.replay.cores import available_cores
from streams.simulate import SimulationSettings, write_log

__all__ = ["main", "ratios"]


def _log(folder: Path, events: int) -> Path:
    settings = SimulationSettings(
        customers=max(50, events // 140),
        events=events,
        disorder_share=0.01,
        late_share=0.001,
        duplicate_share=0.002,
        bad_share=0.001,
    )
    write_log(settings, folder / "log.jsonl", folder / "truth.jsonl")
    return folder / "log.jsonl"


def _replay(log: Path, store: str, cores: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "streams.cli", "replay", str(log), "--cores", str(cores), "--json"]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([*command, "--redis", store], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {**json.loads(done.stdout), "cpu_s": cpu_s}


def ratios(rounds: list[dict[int, float]]) -> dict[int, float]:
    """Median over rounds of the speed with each number of cores by that with the first.

    Examples
    --------
    >>> ratios([{1: 8.0, 2: 4.0}, {1: 9.0, 2: 6.0}, {1: 10.0, 2: 5.5}])
    {1: 1.0, 2: 1.8181818181818181}
    """
    first = next(iter(rounds[0]))
    return {cores: median(each[first] / each[cores] for each in rounds) for cores in rounds[0]}


def main(args: list[str] | None = None) -> int:
    """Run; 0 if all runs gave the same answers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=40_000)
    parser.add_argument("--cores", default="1,2", help="numbers of cores; ratios are to the first")
    parser.add_argument("--stores", default="none,embedded")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args(args)
    counts = [int(each) for each in options.cores.split(",")]
    report: dict[str, Any] = {
        "machine": f"{platform.machine()}, {available_cores()} cores",
        "python": platform.python_version(),
        "events": options.events,
        "rounds": options.rounds,
        "load": os.getloadavg()[0],
        "stores": {},
    }
    digests: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="henji-bench-") as folder:
        log = _log(Path(folder), options.events)
        print(f"{'store':10} {'cores':>5} {'events/s':>9} {'ratio':>6} {'cpu':>5}")
        for store in options.stores.split(","):
            rounds: list[dict[int, float]] = []
            cpu: list[dict[int, float]] = []
            for _ in range(options.rounds):
                found = {cores: _replay(log, store, cores) for cores in counts}
                digests.update(each["digest"] for each in found.values())
                n_read = next(iter(found.values()))["read"]
                rounds.append({cores: each["seconds"] for cores, each in found.items()})
                cpu.append({cores: each["cpu_s"] for cores, each in found.items()})
            cost = {cores: 1 / ratio for cores, ratio in ratios(cpu).items()}
            report["stores"][store] = {"seconds": rounds, "ratios": ratios(rounds), "cpu": cost}
            for cores, ratio in ratios(rounds).items():
                speed = n_read / median(each[cores] for each in rounds)
                print(f"{store:10} {cores:5} {speed:9,.0f} {ratio:6.2f} {cost[cores]:5.2f}", flush=True)
    report["same_answers"] = len(digests) == 1
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    if len(digests) > 1:
        print(f"expected one digest, got {', '.join(sorted(digests))}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
