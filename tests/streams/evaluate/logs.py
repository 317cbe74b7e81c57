"""Small logs, and the protocol once more in plain loops."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from streams.evaluate.activity import Activity
from streams.evaluate.predictions import Predictions
from streams.evaluate.protocol import Protocol

DAY = 86_400_000
T0 = 19_000 * DAY

Row = tuple[str, str, int, str, float]  # customer, event id, time, kind, value


@dataclass
class Score:
    """A prediction as a file has it."""

    customer: str
    at: int
    event_id: str | None
    churn: float


def predictions_of(activity: Activity, scores: Sequence[Score]) -> Predictions:
    known = [s for s in scores if s.customer in activity.numbers]
    numbers = [activity.numbers[s.customer] for s in known]
    places = [
        -1 if s.event_id is None else (place if (place := activity.place(n, s.event_id)) >= 0 else -2)
        for n, s in zip(numbers, known, strict=True)
    ]
    return Predictions(
        np.array(numbers, dtype=np.int64),
        np.array([s.at for s in known], dtype=np.int64),
        np.array(places, dtype=np.int64),
        np.array([s.churn for s in known]),
        np.full(len(known), 1.0),
        {},
    )


def brute_force(rows: Sequence[Row], scores: Sequence[Score], rules: Protocol, *, silence: bool) -> list[Any]:
    """Judged scores as (customer, time in days, score, label), in the order of the predictions."""
    chosen = [row for row in rows if row[3] in rules.kinds]
    ids = {(row[0], row[1]) for row in chosen}
    start = min(row[2] for row in chosen) // DAY * DAY

    def unit(t: int) -> float:
        return float((t - start) // DAY) if rules.per_day else (t - start) / DAY

    times: dict[str, list[float]] = defaultdict(list)
    for customer, _, ts, _, _ in chosen:
        if unit(ts) < rules.until_d:
            times[customer].append(unit(ts))
    for seq in times.values():
        seq.sort()
    if not times:
        return []
    end = max(seq[-1] for seq in times.values())
    found: dict[Any, tuple[int, Any]] = {}
    for number, s in enumerate(scores):
        if silence != (s.event_id is None) or (not silence and (s.customer, s.event_id) not in ids):
            continue
        t = unit(s.at)
        if s.customer not in times or t < rules.from_d or t >= rules.until_d or t + rules.horizon_d > end:
            continue
        seq = times[s.customer]
        k = bisect_right(seq, t)
        if k == 0:
            continue
        label = int(k == len(seq) or seq[k] > t + rules.horizon_d)
        found[(s.customer, t) if rules.per_day else number] = number, (s.customer, t, s.churn, label)
    return [row for _, row in sorted(found.values())]


def brute_figures(pairs: Sequence[tuple[float, int]]) -> dict[str, float]:
    """Figures in plain loops; the area by counting every pair."""
    clipped = [(min(max(p, 1e-4), 1 - 1e-4), y) for p, y in pairs]
    n = len(clipped)
    ones = [p for p, y in clipped if y]
    zeros = [p for p, y in clipped if not y]
    wins = sum((a > b) + (a == b) / 2 for a in ones for b in zeros)
    bins: dict[int, float] = defaultdict(float)
    for p, y in clipped:
        bins[min(int(p * 10), 9)] += p - y
    return {
        "n": n,
        "base_rate": len(ones) / n,
        "mean_p": sum(p for p, _ in clipped) / n,
        "auc": wins / (len(ones) * len(zeros)) if ones and zeros else math.nan,
        "log_loss": -sum(math.log(p if y else 1 - p) for p, y in clipped) / n,
        "brier": sum((p - y) ** 2 for p, y in clipped) / n,
        "ece": sum(abs(gap) for gap in bins.values()) / n,
    }


def steady_log(n_customers: int = 60, n_days: int = 120, seed: int = 0, step_ms: int = DAY) -> list[Row]:
    """Customers of many rates, of whom half leave somewhere; times are multiples of `step_ms`."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for number in range(n_customers):
        gap_d = float(rng.uniform(1.0, 9.0))
        t = float(rng.uniform(0, 20))
        leaves = float(rng.uniform(20, 2 * n_days))
        while t < min(leaves, n_days):
            ts = T0 + int(t * DAY) // step_ms * step_ms
            rows.append((f"c{number}", f"c{number}-{len(rows)}", ts, "purchase", round(float(rng.gamma(2, 10)), 2)))
            t += float(rng.exponential(gap_d)) + 0.05
    return sorted(rows, key=lambda row: row[2])


def scores_at_events(rows: Sequence[Row], seed: int = 1) -> list[Score]:
    """A score at every event, of no worth."""
    rng = np.random.default_rng(seed)
    return [Score(row[0], row[2], row[1], round(float(rng.uniform()), 3)) for row in rows]
