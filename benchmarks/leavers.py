"""Does `churn_risk` see who leaves? Measured on the simulator, which knows.

    python -m benchmarks.leavers [--events 60000] [--days 240] [--seeds 1,2,3] [--lanes 1] [--json]

A campus is simulated and replayed with the default rules and settings. The first third of the log is for learning and
is not judged.

* Of the customers who leave with a warning (a decline before they go; the truth says since when) and not as expected:
  how many had `churn_risk` up at some moment between the beginning of the warning and 7 days before they left.
* Of the episodes of `churn_risk` that began: in how many the customer was gone already, or left within the horizon of
  the score (30 days). Episodes whose 30 days are not over at the end of the log are not judged.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from engine.duration import DAY_MS
from engine.rules import RuleSet
from engine.settings import ResultSettings
from streams.cli.replay import run_replay
from streams.reader.log import open_log
from streams.simulate import SimulationSettings, write_log

__all__ = ["judge", "measure"]

LEAD_MS = 7 * DAY_MS


def judge(
    truth: list[dict[str, Any]], alerts: list[dict[str, Any]], from_ms: int, to_ms: int, horizon_ms: int
) -> dict[str, int]:
    """Count leavers with warning, those seen in time, episodes and those that were right.

    Parameters
    ----------
    truth
        Lines of the ground truth.
    alerts
        Lines of `--alerts`.
    from_ms, to_ms
        What is judged: from the end of learning to the end of the log.
    horizon_ms
        Of the score.

    Examples
    --------
    >>> leaver = {"type": "customer", "customer_id": "a", "leaves": True, "expected": False, "warned": True,
    ...           "warning_from": 0, "left_at": 20 * DAY_MS, "returned_at": None}
    >>> raised = {"flag": "churn_risk", "op": "raise", "customer_id": "a", "alert_id": "1", "at": 5 * DAY_MS}
    >>> judge([leaver], [raised], 0, 90 * DAY_MS, 30 * DAY_MS)
    {'leavers': 1, 'seen': 1, 'episodes': 1, 'right': 1}
    """
    people = {row["customer_id"]: row for row in truth if row["type"] == "customer"}
    # Some people are known under two ids.
    owner = {row["alias"]: name for name, row in people.items() if row.get("alias")}
    began: dict[str, tuple[str, int]] = {}
    ended: dict[str, int] = {}
    for alert in alerts:
        if alert["flag"] == "churn_risk" and alert["op"] == "raise":
            began.setdefault(alert["alert_id"], (alert["customer_id"], alert["at"]))
            ended.pop(alert["alert_id"], None)
        elif alert["flag"] == "churn_risk" and alert["op"] == "clear":
            ended[alert["alert_id"]] = alert["at"]
    up: dict[str, list[tuple[int, int]]] = {}
    n_episodes = n_right = 0
    for alert_id, (customer, at) in began.items():
        up.setdefault(owner.get(customer, customer), []).append((at, ended.get(alert_id, to_ms)))
        if from_ms <= at <= to_ms - horizon_ms:
            n_episodes += 1
            row = people[owner.get(customer, customer)]
            left, back = row["left_at"], row["returned_at"]
            n_right += left is not None and left <= at + horizon_ms and (back is None or back > at)
    n_leavers = n_seen = 0
    for customer, row in people.items():
        if row["leaves"] and row["warned"] and not row["expected"] and row["left_at"] - LEAD_MS >= from_ms:
            n_leavers += 1
            window = (row["warning_from"], row["left_at"] - LEAD_MS)
            n_seen += any(begin <= window[1] and end >= window[0] for begin, end in up.get(customer, ()))
    return {"leavers": n_leavers, "seen": n_seen, "episodes": n_episodes, "right": n_right}


def measure(events: int, days: int, seed: int, lanes: int) -> dict[str, int]:
    """Simulate, replay, judge."""
    rules = RuleSet.default()
    settings = ResultSettings(lanes=lanes, rules=rules.version)
    with tempfile.TemporaryDirectory() as place:
        log, truth, alerts = (Path(place) / name for name in ("log.jsonl", "truth.jsonl", "alerts.jsonl"))
        summary = write_log(SimulationSettings(events=events, days=days, seed=seed), log, truth)
        run_replay(open_log([log]), settings, rules, url="none", outputs={"alerts": alerts}, quiet=True)
        told = [json.loads(line) for line in truth.read_bytes().splitlines()]
        sent = [json.loads(line) for line in alerts.read_bytes().splitlines()]
    begin = summary.from_ms + (summary.to_ms - summary.from_ms) // 3
    return judge(told, sent, begin, summary.to_ms, settings.churn_horizon_ms)


def main() -> int:
    """Measure over several seeds and print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--days", type=int, default=240)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    total = dict.fromkeys(("leavers", "seen", "episodes", "right"), 0)
    for seed in arguments.seeds.split(","):
        found = measure(arguments.events, arguments.days, int(seed), arguments.lanes)
        total = {name: total[name] + found[name] for name in total}
    facts = {
        **total,
        "seen_share": round(total["seen"] / max(1, total["leavers"]), 3),
        "precision": round(total["right"] / max(1, total["episodes"]), 3),
    }
    if arguments.json:
        print(json.dumps(facts))
    else:
        share = f"{facts['seen']} ({facts['seen_share']:.1%})"
        print(f"left with warning: {facts['leavers']}, seen at least 7 d before: {share}")
        print(f"episodes of churn_risk: {facts['episodes']}, right: {facts['right']} ({facts['precision']:.1%})")
    return 0


if __name__ == "__main__":
    sys.exit(main())
