"""False alarms and delays of incidents: `python -m benchmarks.incidents [--json]`, from the root of the tree.

Streams on which nothing is wrong, so that every incident is false, 20 values of 180 days each; and outages on a stream
with day and week, 200 of each size, each on 28 days of its own. Counts of a bucket are Poisson; `rate` is the mean of
customers per bucket over the day. Then simulated campuses, whose services fail as `henji simulate` says; what comes on
any channel, or again about the same service within a day, is no false incident. Exit code 1 if there are more than
`FALSE_LIMIT` false incidents in 1,000 days of one value on a stream, or any on a campus.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from engine.duration import DAY_MS
from engine.incident import Incidents, IncidentSettings
from engine.service_counts import BUCKET_MS, BUCKETS_A_DAY, COUNTED_KINDS, Value
from streams.simulate import SimulationSettings, simulate
from streams.simulate.plan import Plan

SEED = 1
N_VALUES = 20
N_DAYS = 180
N_OUTAGES = 200
FALSE_LIMIT = 1.0

Rates = npt.NDArray[np.float64]  # per bucket
WIFI: Value = ("category", "network/wifi")


def flat(rng: np.random.Generator, n_days: int) -> Rates:
    return np.ones(n_days * BUCKETS_A_DAY)


def day(rng: np.random.Generator, n_days: int) -> Rates:
    """Nothing at night, most at eleven."""
    hour = np.arange(n_days * BUCKETS_A_DAY) % BUCKETS_A_DAY / 4.0
    rates: Rates = np.maximum(
        0.02, 2.6 * np.exp(-(((hour - 11.0) / 3.5) ** 2)) + 0.8 * np.exp(-(((hour - 19.0) / 2.0) ** 2))
    )
    return rates


def week(rng: np.random.Generator, n_days: int) -> Rates:
    """As `day`, and a third of it on Saturday and Sunday."""
    number = np.arange(n_days * BUCKETS_A_DAY) // BUCKETS_A_DAY
    rates: Rates = day(rng, n_days) * np.where(number % 7 >= 5, 1.0 / 3.0, 1.0)
    return rates


def moody(rng: np.random.Generator, n_days: int) -> Rates:
    """As `week`, and every day a level of its own, a third more or less."""
    rates: Rates = week(rng, n_days) * np.repeat(np.exp(rng.normal(0.0, 0.3, n_days)), BUCKETS_A_DAY)
    return rates


def bursty(rng: np.random.Generator, n_days: int) -> Rates:
    """As `week`, and every hour a level of its own, half more or less."""
    rates: Rates = week(rng, n_days) * np.repeat(np.exp(rng.normal(0.0, 0.4, n_days * 24)), BUCKETS_A_DAY // 24)
    return rates


def clocks(rng: np.random.Generator, n_days: int) -> Rates:
    """As `week`, an hour earlier from the middle on."""
    rates = week(rng, n_days)
    half = len(rates) // 2
    return np.concatenate([rates[:half], np.roll(rates, -4)[half:]])


SHAPES: dict[str, Callable[[np.random.Generator, int], Rates]] = {
    "flat": flat,
    "day": day,
    "day and week": week,
    "day and week, days of moods": moody,
    "day and week, hours of moods": bursty,
    "day and week, clocks changed": clocks,
}


def n_false(shape: str, rate: float, seed: int) -> int:
    """Incidents of one value on which nothing is wrong."""
    rng = np.random.default_rng(seed)
    counts = rng.poisson(rate * SHAPES[shape](rng, N_DAYS))
    incidents = Incidents(IncidentSettings())
    n = 0
    for bucket, customers in enumerate(counts.tolist()):
        found = incidents.take(bucket, {WIFI: customers} if customers else {})
        n += sum(message.op == "raise" for message in found)
    return n


def false_alarms(rate: float) -> list[dict[str, Any]]:
    out = []
    for number, shape in enumerate(SHAPES):
        n = sum(n_false(shape, rate, SEED + 1_000 * number + value) for value in range(N_VALUES))
        out.append({"stream": shape, "rate": rate, "days": N_VALUES * N_DAYS, "incidents": n})
    return out


def delay(rate: float, times: float, seed: int) -> int | None:
    """Buckets from the beginning of an outage at noon of a Thursday to its incident; `None`: not within four hours."""
    rng = np.random.default_rng(seed)
    rates = rate * week(rng, 32)
    begin = 31 * BUCKETS_A_DAY + 48
    rates[begin : begin + 16] *= times
    counts = rng.poisson(rates)
    incidents = Incidents(IncidentSettings())
    incidents.skip_to(begin)
    for bucket in range(begin):
        if counts[bucket]:
            incidents.remember(WIFI, bucket, int(counts[bucket]))
    for bucket in range(begin, begin + 16):
        if incidents.take(bucket, {WIFI: int(counts[bucket])}):
            return bucket - begin + 1
    return None


def delays(rate: float, times: float) -> dict[str, Any]:
    found = [delay(rate, times, SEED + 77_000 + n) for n in range(N_OUTAGES)]
    known = sorted(each for each in found if each is not None)
    noon = rate * float(week(np.random.default_rng(0), 1)[48])
    return {
        "rate": rate,
        "at_noon": round(noon, 1),
        "times": times,
        "found": len(known) / N_OUTAGES,
        "median": statistics.median(known) if known else None,
        "p90": known[int(0.9 * (len(known) - 1))] if known else None,
    }


def campus(customers: int, min_customers: int, seed: int) -> dict[str, Any]:
    """What is found of four failures of 60 days, and what is found beside them."""
    settings = SimulationSettings(customers=customers, days=60, incidents=4, seed=seed)
    who: dict[int, dict[Value, set[str]]] = {}
    for event in simulate(settings):
        if event["kind"] in COUNTED_KINDS:
            category = event["category"]
            bucket = who.setdefault(event["ts"] // BUCKET_MS, {})
            for value in (("category", category), ("category", category.split("/")[0]), ("channel", event["channel"])):
                bucket.setdefault(value, set()).add(event["customer_id"])
    incidents = Incidents(IncidentSettings(min_customers=min_customers))
    raised = [
        message.incident
        for bucket in range(min(who), max(who) + 1)
        for message in incidents.take(bucket, {value: len(names) for value, names in who.get(bucket, {}).items()})
        if message.op == "raise"
    ]
    minutes: list[float | None] = []
    true: set[str] = set()
    for failed in Plan(settings).incidents:
        mine = [
            each
            for each in raised
            if failed.from_ms - BUCKET_MS < each.since <= failed.to_ms + DAY_MS
            and (each.dimension == "channel" or each.value in (failed.category, failed.category.split("/")[0]))
        ]
        true.update(each.alert_id for each in mine)
        first = min((each.since + BUCKET_MS for each in mine), default=None)
        minutes.append(None if first is None else round((first - failed.from_ms) / 60_000))
    return {
        "customers": customers,
        "min_customers": min_customers,
        "seed": seed,
        "minutes": minutes,
        "false": len(raised) - len(true),
    }


def main() -> int:
    """Measure and print; 1 if there were too many false incidents."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="print everything as one JSON object")
    options = parser.parse_args()
    started = time.perf_counter()
    false = [each for rate in (0.1, 1.0, 10.0, 100.0) for each in false_alarms(rate)]
    found = [delays(rate, times) for rate in (0.2, 1.0, 10.0, 100.0) for times in (2.0, 3.0, 5.0, 10.0, 30.0)]
    campuses = [campus(n, least, SEED) for n, least in ((500, 4), (3_000, 10), (10_000, 10))]
    seconds = time.perf_counter() - started
    bad = [each for each in false if each["incidents"] > FALSE_LIMIT * each["days"] / 1_000]
    bad += [each for each in campuses if each["false"]]
    if options.json:
        print(json.dumps({"false": false, "delays": found, "campuses": campuses, "seconds": seconds, "ok": not bad}))
        return 1 if bad else 0
    print(f"{'stream on which nothing is wrong':34}{'rate':>7}{'days':>8}{'incidents':>11}")
    for each in false:
        print(f"{each['stream']:34}{each['rate']:7g}{each['days']:8}{each['incidents']:11}")
    print(f"\n{'usual at noon':>14}{'times':>7}{'found':>8}{'median, min':>13}{'90 %, min':>11}")
    for each in found:
        said = [15 * each[name] if each[name] is not None else "" for name in ("median", "p90")]
        print(f"{each['at_noon']:14g}{each['times']:7g}{each['found']:8.0%}{said[0]!s:>13}{said[1]!s:>11}")
    print(f"\n{'customers':>9}{'min_customers':>15}{'false':>7}  minutes from each failure to its incident")
    for each in campuses:
        print(f"{each['customers']:9}{each['min_customers']:15}{each['false']:7}  {each['minutes']}")
    print(f"\n{seconds:.0f} s")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
