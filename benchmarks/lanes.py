"""What it costs to split a log over lanes, and what it costs when the lanes share what they learn.

    python -m benchmarks.lanes DIR [--only cdnow,collegemsg] [--lanes 1,4,16] [--share none,1d,7d] [--json]

DIR holds the public logs in the event format (docs/events.md), named as in `CASES`. Each is replayed with every number
of lanes and every interval of the exchange (with one lane there is nothing to share); event scores are judged by the
protocol and with the settings of `benchmarks.quality`. Exit code 1 if a gate is missed: with 16 lanes that share daily,
the log-loss of a log is at most .003 above that of one lane. A gate whose runs were not asked for is not looked at.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from benchmarks import quality
from benchmarks.quality import Case, replayed
from engine.duration import parse_duration

__all__ = ["CASES"]

GATE_LANES, GATE_SHARE, GATE_COST = 16, "1d", 0.003

CASES = tuple(case for case in quality.CASES if case.name in ("collegemsg", "servicenow", "cdnow"))
"""Logs with as many customers as lanes need."""


def _run(case: Case, path: Path, lanes: int, share: str) -> dict[str, float]:
    started = time.monotonic()
    run, figures = replayed(case, path, lanes, None if share == "none" else parse_duration(share))
    shared = min(lane.record.tallies.get("shared", 0) for lane in run.lanes)
    return {**figures, "exchanges": shared, "seconds": time.monotonic() - started}


def _missed(name: str, found: dict[tuple[int, str], dict[str, float]]) -> str:
    one, split = found.get((1, "none")), found.get((GATE_LANES, GATE_SHARE))
    if one is None or split is None:
        return ""
    cost = split["log_loss"] - one["log_loss"]
    if cost <= GATE_COST:
        return ""
    return f"{name}: expected {GATE_LANES} lanes that share to cost at most {GATE_COST} of log-loss, got {cost:.4f}"


def main(args: list[str] | None = None) -> int:
    """Run; 0 if every gate that could be looked at holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", default=",".join(case.name for case in CASES))
    parser.add_argument("--lanes", default="1,4,16")
    parser.add_argument("--share", default="none,1d,7d")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(args)
    report: dict[str, dict[str, dict[str, float]]] = {}
    problems: list[str] = []
    for case in CASES:
        if case.name not in options.only.split(","):
            continue
        found: dict[tuple[int, str], dict[str, float]] = {}
        for lanes in map(int, options.lanes.split(",")):
            for share in options.share.split(",") if lanes > 1 else ["none"]:
                figures = found[lanes, share] = _run(case, options.directory / f"{case.name}.jsonl.gz", lanes, share)
                if not options.json:
                    cost = figures["log_loss"] - found.get((1, "none"), figures)["log_loss"]
                    print(
                        f"{case.name:12} lanes {lanes:3} share {share:4} log-loss {figures['log_loss']:.4f} "
                        f"({cost:+.4f}) AUC {figures['auc']:.4f} ECE {figures['ece']:.4f} "
                        f"exchanges {figures['exchanges']:4} {figures['seconds']:.0f} s",
                        flush=True,
                    )
        report[case.name] = {f"{lanes}/{share}": figures for (lanes, share), figures in found.items()}
        missed = _missed(case.name, found)
        if missed:
            problems.append(missed)
    if options.json:
        print(json.dumps({"cases": report, "missed": problems}))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
