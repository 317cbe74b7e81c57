"""Quality of the churn scores on real logs, against the gates of docs/learning.md.

    python -m benchmarks.quality DIR [--json] [--only cdnow]

DIR holds `cdnow.jsonl.gz` and `collegemsg.jsonl.gz` in the event format (docs/events.md). Each log is replayed in one
lane, and
every score made at an event of the named kind is compared with what the customer then did: the label is 1 if no
event of that kind follows within the horizon. Exit code 1 if a gate is missed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
from bisect import bisect_right
from collections import defaultdict
from dataclasses import dataclass
from math import inf, log
from pathlib import Path

from engine.duration import DAY_MS
from engine.rules import RuleSet
from engine.settings import ResultSettings
from streams.cli.replay import run_replay
from streams.reader.log import open_log

__all__ = ["CASES", "Case", "scores"]


@dataclass(frozen=True, slots=True)
class Case:
    """One log with its protocol and gates; days count from the log's first midnight, UTC."""

    name: str
    kind: str
    horizon_d: int
    from_day: int
    per_day: bool
    gates: dict[str, tuple[str, float]]


CASES = (
    Case("cdnow", "purchase", 90, 273, True,
         {"log_loss": ("<=", 0.5600), "auc": (">=", 0.757), "brier": ("<=", 0.1925), "ece": ("<=", 0.03)}),
    Case("collegemsg", "interact", 7, 49, False, {"log_loss": ("<=", 0.3300)}),
)  # fmt: skip


def scores(pairs: list[tuple[float, int]]) -> dict[str, float]:
    """AUC (ties count half), log-loss, Brier score and ECE (ten bins) of pairs of probability and label.

    Examples
    --------
    >>> scores([(0.9, 1), (0.1, 0)])["auc"]
    1.0
    """
    pairs = sorted((min(max(p, 1e-4), 1 - 1e-4), y) for p, y in pairs)
    n, n_pos = len(pairs), sum(y for _, y in pairs)
    rank_sum, start = 0.0, 0
    while start < n:
        end = start
        while end < n and pairs[end][0] == pairs[start][0]:
            end += 1
        rank_sum += (start + end + 1) / 2 * sum(y for _, y in pairs[start:end])
        start = end
    bins: dict[int, float] = defaultdict(float)
    for p, y in pairs:
        bins[min(int(p * 10), 9)] += p - y
    return {
        "n": n,
        "base_rate": n_pos / n,
        "auc": (rank_sum - n_pos * (n_pos + 1) / 2) / (n_pos * (n - n_pos)) if 0 < n_pos < n else float("nan"),
        "log_loss": -sum(log(p if y else 1 - p) for p, y in pairs) / n,
        "brier": sum((p - y) ** 2 for p, y in pairs) / n,
        "ece": sum(abs(gap) for gap in bins.values()) / n,
    }


def _pairs(case: Case, path: Path, predictions: Path) -> list[tuple[float, int]]:
    with gzip.open(path, "rt") as lines:
        events = [(e["customer_id"], e["ts"], e["event_id"]) for e in map(json.loads, lines) if e["kind"] == case.kind]
    ids = {(customer, event_id) for customer, _, event_id in events}
    first = min(ts for _, ts, _ in events) // DAY_MS * DAY_MS

    def day(ts: int) -> float:
        return float((ts - first) // DAY_MS) if case.per_day else (ts - first) / DAY_MS

    times: dict[str, list[float]] = defaultdict(list)
    for customer, ts, _ in sorted(events, key=lambda e: e[1]):
        times[customer].append(day(ts))
    last = max(days[-1] for days in times.values())
    made: dict[tuple[str, float, int], float] = {}
    with predictions.open() as lines:
        for number, p in enumerate(map(json.loads, lines)):
            if p["trigger"] != "event" or (p["customer_id"], p["event_id"]) not in ids:
                continue
            at = day(p["at"])
            if case.from_day <= at <= last - case.horizon_d:
                made[p["customer_id"], at, 0 if case.per_day else number] = p["churn"]
    out = []
    for (customer, at, _), churn in made.items():
        days = times[customer]
        place = bisect_right(days, at)
        following = days[place] if place < len(days) else inf
        out.append((churn, int(following > at + case.horizon_d)))
    return out


def _run(case: Case, path: Path) -> dict[str, float]:
    rules = RuleSet.default()
    settings = ResultSettings(lanes=1, churn_horizon_ms=case.horizon_d * DAY_MS, rules=rules.version)
    with tempfile.TemporaryDirectory() as place:
        predictions = Path(place) / "predictions.jsonl"
        run_replay(open_log([path]), settings, rules, url="none", outputs={"predictions": predictions})
        return scores(_pairs(case, path, predictions))


def _missed(case: Case, figures: dict[str, float]) -> list[str]:
    return [
        f"{name} {figures[name]:.4f}, expected {sign} {bound}"
        for name, (sign, bound) in case.gates.items()
        if not (figures[name] <= bound if sign == "<=" else figures[name] >= bound)
    ]


def main() -> int:
    """Run the cases; 0 if every gate holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--only", choices=[case.name for case in CASES])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report, failed = {}, False
    for case in CASES:
        if options.only in (None, case.name):
            figures = _run(case, options.directory / f"{case.name}.jsonl.gz")
            missed = _missed(case, figures)
            failed |= bool(missed)
            report[case.name] = {**{k: round(v, 4) for k, v in figures.items()}, "missed": missed}
    if options.json:
        print(json.dumps(report))
    else:
        for name, figures in report.items():
            print(name, *(f"{k}={v}" for k, v in figures.items()))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
