"""What it costs to split a log over lanes, and what it costs when the lanes share what they learn.

    python -m benchmarks.lanes DIR [--only cdnow,collegemsg] [--lanes 1,4,16] [--share none,1d,7d] [--json]

DIR holds the public logs in the event format (docs/events.md), named as in `CASES`. Each is replayed with every number
of lanes and every interval of the exchange (with one lane there is nothing to share); event scores are judged by the
protocol of docs/learning.md. Exit code 1 if a gate is missed: with 16 lanes that share daily, the log-loss of CDNOW
and of CollegeMsg is at most .003 above that of one lane. A gate whose runs were not asked for is not looked at.

"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
import time
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from math import inf
from pathlib import Path

from benchmarks.quality import scores
from engine.duration import DAY_MS, parse_duration
from engine.rules import RuleSet
from engine.settings import ResultSettings
from streams.cli.replay import run_replay
from streams.reader.log import open_log

__all__ = ["CASES", "LaneCase"]

GATE_LANES, GATE_SHARE, GATE_COST = 16, "1d", 0.003


@dataclass(frozen=True, slots=True)
class LaneCase:
    """A log and how it is judged; days from the log's first midnight, UTC; `per_day`: a customer's last score a day."""

    name: str
    kind: str
    horizon_d: int
    from_day: int
    until_day: int | None
    per_day: bool
    has_gate: bool


CASES = (
    LaneCase("collegemsg", "interact", 7, 49, None, False, True),
    LaneCase("servicenow", "request", 14, 45, 93, False, False),
    LaneCase("cdnow", "purchase", 90, 273, None, True, True),
)


def judged(case: LaneCase, log: Path, predictions: Path) -> list[tuple[float, int]]:
    """Pairs of churn score and label, 1 if no event of the kind follows within the horizon."""
    with gzip.open(log, "rt") as lines:
        events = [(e["customer_id"], e["ts"], e["event_id"]) for e in map(json.loads, lines) if e["kind"] == case.kind]
    ids = {(customer, event_id) for customer, _, event_id in events}
    first = min(ts for _, ts, _ in events) // DAY_MS * DAY_MS

    def day(ts: int) -> float:
        return float((ts - first) // DAY_MS) if case.per_day else (ts - first) / DAY_MS

    times: dict[str, list[float]] = defaultdict(list)
    for customer, ts, _ in sorted(events, key=lambda e: e[1]):
        times[customer].append(day(ts))
    last = max(days[-1] for days in times.values()) - case.horizon_d
    until = last if case.until_day is None else min(last, case.until_day - case.horizon_d)
    made: dict[tuple[str, float, int], float] = {}
    with predictions.open() as lines:
        for number, p in enumerate(map(json.loads, lines)):
            at = day(p["at"])
            if p["trigger"] == "event" and (p["customer_id"], p["event_id"]) in ids and case.from_day <= at <= until:
                made[p["customer_id"], at, 0 if case.per_day else number] = p["churn"]
    pairs = []
    for (customer, at, _), churn in made.items():
        days = times[customer]
        place = bisect_right(days, at)
        following = days[place] if place < len(days) else inf
        pairs.append((churn, int(following > at + case.horizon_d)))
    return pairs


def _run(case: LaneCase, path: Path, lanes: int, share: str) -> dict[str, float]:
    rules = RuleSet.default()
    settings = ResultSettings(
        lanes=lanes,
        churn_horizon_ms=case.horizon_d * DAY_MS,
        rules=rules.version,
        share_ms=None if share == "none" else parse_duration(share),
    )
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as place:
        predictions = Path(place) / "predictions.jsonl"
        outputs = {"predictions": predictions}
        run, _ = run_replay(open_log([path]), settings, rules, url="none", outputs=outputs, quiet=True)
        figures = scores(judged(case, path, predictions))
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
