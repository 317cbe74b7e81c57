"""The scorer of the quality benchmark, against sums done by hand."""

from __future__ import annotations

import gzip
import json
from math import log
from pathlib import Path

import pytest

from benchmarks.quality import Case, _judged, _missed, deviance, scores

DAY = 86_400_000


def test_figures_of_four_predictions_by_hand() -> None:
    figures = scores([(0.8, 1), (0.6, 0), (0.4, 1), (0.2, 0)])
    assert figures["auc"] == 0.75
    assert figures["brier"] == pytest.approx((0.04 + 0.36 + 0.36 + 0.04) / 4)
    assert figures["ece"] == pytest.approx((0.2 + 0.6 + 0.6 + 0.2) / 4)
    assert figures["base_rate"] == 0.5


def test_deviance_of_counts_by_hand() -> None:
    assert deviance([(1.0, 0), (2.0, 4)]) == pytest.approx((2.0 + 2.0 * (4 * log(2.0) - 2.0)) / 2)


def test_a_label_is_no_event_of_the_kind_within_the_horizon(tmp_path: Path) -> None:
    case = Case("log", "view", 10, 0, False, {"auc": (">=", 0.9)})
    events = [("c", 0), ("c", 10), ("c", 21), ("d", 40)]
    rows = [{"customer_id": c, "ts": d * DAY, "event_id": f"{c}{d}", "kind": "view"} for c, d in events]
    path = tmp_path / "log.jsonl.gz"
    path.write_bytes(gzip.compress("".join(json.dumps(r) + "\n" for r in rows).encode()))
    predictions = tmp_path / "predictions.jsonl"
    made = [{"customer_id": r["customer_id"], "event_id": r["event_id"], "at": r["ts"], "trigger": "event",
             "churn": 0.5, "engagement": 1.0} for r in rows]  # fmt: skip
    predictions.write_text("".join(json.dumps(p) + "\n" for p in made))
    # Day 0: back on day 10, just within. Day 10: back on day 21, too late. Day 21: never. Day 40: not over yet.
    assert [(label, n_days) for _, _, label, n_days in _judged(case, path, predictions)] == [(0, 1), (1, 0), (1, 0)]
    assert _missed(case, {"auc": 0.8}) == ["auc 0.8000, expected >= 0.9"]
