"""False alarms and delays of the drift monitor: `python -m benchmarks.drift [--json]`, from the root of the tree.

Stationary streams of 100,000 values each, where every alarm is false, and streams whose mean changes once. Beside the
monitor stands ADWIN alone (delta .002, clock 32, as River's), which its guarantee does not cover here: the values are
not independent. Exit code 1 if the stated limits are exceeded: at most `FALSE_LIMIT` false alarms in 100,000 updates
on each stationary stream but the last, every change found, each within its limit.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from models.adwin import Adwin
from models.drift import PREDICTION, DriftMonitor

DAY_MS = 86_400_000
N = 100_000  # values of a stationary stream
CHANGE = 30_000  # value at which a mean begins to change
FALSE_LIMIT = 1.0
HARD_LIMIT = 8.0

Stream = Iterator[tuple[int, float]]  # event time, ms, and value


def coin(rng: random.Random, rate: Callable[[float, int], float], *, per_day: int, n: int = N) -> Stream:
    """Independent yes and no; `rate` of the day and the number."""
    for i in range(n):
        yield i * DAY_MS // per_day, float(rng.random() < rate(i / per_day, i))


def scores(rng: random.Random, mean: Callable[[int], float], *, per_day: int, n: int = N) -> Stream:
    """Predictions: Gaussian logits of deviation 1."""
    for i in range(n):
        yield i * DAY_MS // per_day, 1.0 / (1.0 + math.exp(-rng.gauss(mean(i), 1.0)))


def customers(rng: random.Random, *, active: int, length: int, per_day: int, season: float = 0.0) -> Stream:
    """Two thousand customers of rates of their own, `active` at a time, in bursts of `length` values on average."""
    rates = [rng.betavariate(1.0, 4.0) for _ in range(2_000)]
    now = [rng.randrange(len(rates)) for _ in range(active)]
    for i in range(N):
        place = rng.randrange(active)
        yield i * DAY_MS // per_day, float(rng.random() < rates[now[place]] + seasonal(i / per_day, season))
        if rng.random() < 1.0 / length:
            now[place] = rng.randrange(len(rates))


def seasonal(day: float, size: float) -> float:
    """`size` up and down over the day, `size` more at the weekend."""
    return size * math.sin(2.0 * math.pi * day) + size * (int(day) % 7 >= 5)


def step(before: float, after: float, _: float, i: int) -> float:
    return before if i < CHANGE else after


def ramp(before: float, after: float, n: int, _: float, i: int) -> float:
    return before + (after - before) * min(max(i - CHANGE, 0) / n, 1.0)


STATIONARY: dict[str, Callable[[random.Random], Stream]] = {
    "independent, rate .2": lambda rng: coin(rng, lambda _, __: 0.2, per_day=500),
    "independent, 50 a day": lambda rng: coin(rng, lambda _, __: 0.2, per_day=50),
    "predictions, mean .24": lambda rng: scores(rng, lambda _: -1.4, per_day=500),
    "day and week, +-.08": lambda rng: coin(rng, lambda day, _: 0.25 + seasonal(day, 0.08), per_day=500),
    "day and week, busy": lambda rng: coin(rng, lambda day, _: 0.25 + seasonal(day, 0.08), per_day=2_000),
    "customers, 20 at a time, bursts of 12": partial(customers, active=20, length=12, per_day=500),
    "customers, 100 at a time, bursts of 12": partial(customers, active=100, length=12, per_day=500),
    "customers, 100 at a time, busy": partial(customers, active=100, length=12, per_day=5_000),
    "customers, day and week": partial(customers, active=100, length=12, per_day=500, season=0.05),
    "customers, 5 at a time, bursts of 12": partial(customers, active=5, length=12, per_day=500),
    "customers, 20 at a time, bursts of 40": partial(customers, active=20, length=40, per_day=500),
}
"""The last is a limit of validity: 20 people are the whole stream for a day and a half, and its mean does change."""


def changing(rate: Callable[[float, int], float], per_day: int) -> Callable[[random.Random], Stream]:
    return lambda rng: coin(rng, rate, per_day=per_day, n=CHANGE + 60_000)


CHANGES: dict[str, tuple[Callable[[random.Random], Stream], int]] = {
    "step .2 to .3, 50 a day": (changing(partial(step, 0.2, 0.3), 50), 1_500),
    "step .2 to .3, 500 a day": (changing(partial(step, 0.2, 0.3), 500), 1_500),
    "step .2 to .3, 2,000 a day": (changing(partial(step, 0.2, 0.3), 2_000), 5_000),
    "step .59 to .40, 500 a day": (changing(partial(step, 0.59, 0.40), 500), 1_000),
    "step .59 to .40, 2,000 a day": (changing(partial(step, 0.59, 0.40), 2_000), 3_500),
    "predictions .24 to .35, 500 a day": (
        lambda rng: scores(rng, lambda i: -1.4 if i < CHANGE else -0.7, per_day=500, n=CHANGE + 60_000),
        1_000,
    ),
    "ramp .2 to .4 over 20,000, 500 a day": (changing(partial(ramp, 0.2, 0.4, 20_000), 500), 12_000),
}
"""Streams with one change, and the limit of the longest delay, values."""


def alarms(stream: Stream) -> list[int]:
    monitor = DriftMonitor([PREDICTION])
    return [i for i, (at, value) in enumerate(stream) if monitor.update("prediction", value, at)]


def cuts(stream: Stream) -> list[int]:
    window = Adwin()
    return [i for i, (_, value) in enumerate(stream) if window.update(value)]


def measure(seeds: int) -> dict[str, Any]:
    stationary, changes = {}, {}
    for name, make in STATIONARY.items():
        stationary[name] = {
            "false": statistics.fmean(len(alarms(make(random.Random(seed)))) for seed in range(seeds)),
            "adwin": statistics.fmean(len(cuts(make(random.Random(seed)))) for seed in range(seeds)),
            "limit": HARD_LIMIT if name == list(STATIONARY)[-1] else FALSE_LIMIT,
        }
    for name, (stream, limit) in CHANGES.items():
        found = [alarms(stream(random.Random(seed))) for seed in range(seeds)]
        delays = [[i - CHANGE for i in one if i >= CHANGE] for one in found]
        firsts = [one[0] for one in delays if one]
        changes[name] = {
            "found": len(firsts) / seeds,
            "median": statistics.median(firsts) if firsts else None,
            "longest": max(firsts, default=None),
            "alarms": statistics.fmean(map(len, delays)),
            "adwin": statistics.median(
                min((i - CHANGE for i in cuts(stream(random.Random(seed))) if i >= CHANGE), default=60_000)
                for seed in range(seeds)
            ),
            "limit": limit,
        }
    return {"seeds": seeds, "stationary": stationary, "changes": changes, "microseconds": microseconds()}


def microseconds() -> dict[str, float]:
    """Of one update, mean over 100,000."""
    values = list(coin(random.Random(1), lambda _, __: 0.2, per_day=500))
    out = {}
    for name, run in (("monitor", alarms), ("adwin", cuts)):
        begin = time.perf_counter()
        run(iter(values))
        out[name] = (time.perf_counter() - begin) / len(values) * 1e6
    return out


def exceeded(result: dict[str, Any]) -> list[str]:
    """What is worse than stated."""
    out = [
        f"{name}: {row['false']:.2f} false alarms in 100,000, expected at most {row['limit']:g}"
        for name, row in result["stationary"].items()
        if row["false"] > row["limit"]
    ]
    for name, row in result["changes"].items():
        if row["found"] < 1.0 or row["longest"] > row["limit"]:
            out.append(f"{name}: found {row['found']:.0%}, longest {row['longest']}, expected within {row['limit']}")
    return out


def table(result: dict[str, Any]) -> str:
    lines = [f"{'false alarms in 100,000 stationary updates':44}{'monitor':>9}{'ADWIN':>9}{'limit':>9}"]
    for name, row in result["stationary"].items():
        lines.append(f"{name:44}{row['false']:>9.2f}{row['adwin']:>9.1f}{row['limit']:>9g}")
    lines.append("")
    lines.append(f"{'delay, values':44}{'median':>9}{'longest':>9}{'alarms':>9}{'ADWIN':>9}{'limit':>9}")
    for name, row in result["changes"].items():
        median, longest = (row[key] if row[key] is not None else math.inf for key in ("median", "longest"))
        lines.append(
            f"{name:44}{median:>9.0f}{longest:>9.0f}{row['alarms']:>9.1f}{row['adwin']:>9.0f}{row['limit']:>9}"
        )
    us = result["microseconds"]
    return "\n".join(
        [*lines, "", f"{result['seeds']} seeds; update {us['monitor']:.2f} us, ADWIN {us['adwin']:.2f} us"]
    )


def main(arguments: list[str]) -> int:
    """Run all streams; 0 if the stated limits hold."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.drift", description="False alarms and delays of drift.")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--seeds", type=int, default=5, metavar="N", help="draws of each stream (default 5)")
    options = parser.parse_args(arguments)
    if options.seeds < 1:
        parser.error(f"--seeds: expected >= 1, got {options.seeds}")
    result = measure(options.seeds)
    worse = exceeded(result)
    print(json.dumps(result | {"exceeded": worse}) if options.json else table(result))
    for line in worse:
        print(line, file=sys.stderr)
    return int(bool(worse))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
