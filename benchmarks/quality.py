"""Quality of the scores on real logs, against the gates of docs/learning.md.

    python -m benchmarks.quality DIR [--json] [--only cdnow] [--lanes 1]

DIR holds `cdnow.jsonl.gz`, `collegemsg.jsonl.gz`, `servicenow.jsonl.gz` and `grocery.jsonl.gz` in the event format
(docs/events.md). Each log is replayed with the default settings but for horizons and activity, and every score made at
an event of the named kind is compared with what the customer then did. Churn: the label is 1 if no event of that kind
follows within the horizon. Counts (where the case has a gate for them): the days with such an event within the horizon,
by Poisson deviance. Exit code 1 if a gate is missed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import sys
import tempfile
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from math import inf, log
from pathlib import Path
from typing import Any

from engine.duration import DAY_MS
from engine.rules import RuleSet
from engine.settings import ResultSettings
from streams.cli.replay import run_replay
from streams.reader.log import open_log
from streams.replay.run import Replay

__all__ = ["CASES", "Case", "Instance", "deviance", "instances", "replayed", "scores"]


@dataclass(frozen=True, slots=True)
class Case:
    """One log with its protocol and gates; days count from the log's first midnight, UTC."""

    name: str
    kind: str
    horizon_d: int
    from_day: int
    per_day: bool
    gates: dict[str, tuple[str, float]]
    until_day: float = inf


CASES = (
    Case("cdnow", "purchase", 90, 273, True,
         {"log_loss": ("<=", 0.5575), "auc": (">=", 0.760), "ece": ("<=", 0.03), "poisson_deviance": ("<=", 1.75)}),
    Case("collegemsg", "interact", 7, 49, False,
         {"log_loss": ("<=", 0.3160), "auc": (">=", 0.792), "ece": ("<=", 0.03)}),
    Case("servicenow", "request", 14, 45, False,
         {"log_loss": ("<=", 0.5860), "auc": (">=", 0.711), "ece": ("<=", 0.03)}, 93),
    Case("grocery", "purchase", 90, 365, True,
         {"log_loss": ("<=", 0.3230), "auc": (">=", 0.835), "ece": ("<=", 0.04)}),
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


def deviance(pairs: list[tuple[float, int]]) -> float:
    """Mean Poisson deviance of pairs of expected and seen count.

    Examples
    --------
    >>> deviance([(1.0, 1), (2.0, 2)])
    0.0
    """
    total = 0.0
    for expected, seen in pairs:
        mean = max(expected, 1e-4)
        total += 2.0 * ((seen * log(seen / mean) if seen else 0.0) - (seen - mean))
    return total / len(pairs)


Instance = tuple[int, int, int]
"""Place of a score among those that were made, churn label, days with an event within the horizon."""


def instances(case: Case, acts: Iterable[tuple[str, int]], made: Iterable[tuple[str, int]]) -> list[Instance]:
    """The scores that the protocol judges, with what then came.

    Parameters
    ----------
    case
        The protocol.
    acts
        Customer and time (ms) of the events of the case's kind.
    made
        Customer and time (ms) of the scores that such events made, in the order in which they were made.
    """
    ordered = sorted(acts, key=lambda act: act[1])
    first = ordered[0][1] // DAY_MS * DAY_MS

    def day(ts: int) -> float:
        return float((ts - first) // DAY_MS) if case.per_day else (ts - first) / DAY_MS

    times: dict[str, list[float]] = defaultdict(list)
    for customer, ts in ordered:
        if day(ts) < case.until_day:
            times[customer].append(day(ts))
    last = max(days[-1] for days in times.values())
    chosen: dict[tuple[str, float, int], int] = {}
    for place, (customer, ts) in enumerate(made):
        at = day(ts)
        if case.from_day <= at <= last - case.horizon_d:
            chosen[customer, at, 0 if case.per_day else place] = place
    out = []
    for (customer, at, _), place in chosen.items():
        days = times[customer]
        begin, end = bisect_right(days, at), bisect_right(days, at + case.horizon_d)
        out.append((place, int(begin == end), len({int(day) for day in days[begin:end]})))
    return out


def _judged(case: Case, path: Path, predictions: Path) -> list[tuple[float, float, int, int]]:
    """Churn, engagement, churn label and days with an event, of every instance."""
    with gzip.open(path, "rt") as lines:
        events = [e for e in map(json.loads, lines) if e["kind"] == case.kind]
    ids = {(e["customer_id"], e["event_id"]) for e in events}
    with predictions.open() as lines:
        made = [
            p for p in map(json.loads, lines) if p["trigger"] == "event" and (p["customer_id"], p["event_id"]) in ids
        ]
    acts = [(e["customer_id"], e["ts"]) for e in events]
    judged = instances(case, acts, ((p["customer_id"], p["at"]) for p in made))
    return [(made[place]["churn"], made[place]["engagement"], label, n_days) for place, label, n_days in judged]


def replayed(case: Case, path: Path, lanes: int, share_ms: int | None = None) -> tuple[Replay, dict[str, float]]:
    """Replay a log with the settings of its case, and the figures of its scores."""
    rules = RuleSet.default()
    horizon_ms = case.horizon_d * DAY_MS
    settings = ResultSettings(
        lanes=lanes,
        churn_horizon_ms=horizon_ms,
        engagement_horizon_ms=horizon_ms,
        activity=frozenset((case.kind,)),
        rules=rules.version,
        share_ms=share_ms,
    )
    with tempfile.TemporaryDirectory() as place:
        predictions = Path(place) / "predictions.jsonl"
        run, _ = run_replay(open_log([path]), settings, rules, url="none", outputs={"predictions": predictions})
        judged = _judged(case, path, predictions)
    figures = scores([(churn, label) for churn, _, label, _ in judged])
    if "poisson_deviance" in case.gates:
        figures["poisson_deviance"] = deviance([(engagement, n_days) for _, engagement, _, n_days in judged])
    return run, figures


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
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    report: dict[str, dict[str, Any]] = {}
    failed = False
    for case in CASES:
        if options.only in (None, case.name):
            _, figures = replayed(case, options.directory / f"{case.name}.jsonl.gz", options.lanes)
            missed = _missed(case, figures)
            failed |= bool(missed)
            report[case.name] = {**{k: round(v, 4) for k, v in figures.items()}, "missed": missed}
    if options.json:
        print(json.dumps(report))
    else:
        for name, shown in report.items():
            print(name, *(f"{k}={v}" for k, v in shown.items()))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
