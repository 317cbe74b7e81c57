"""What a customer with a full timeline costs in Redis, by part.

    python -m benchmarks.memory [--events 1500] [--customers 60] [--json]

Replays a simulated campus of 100 days into an embedded Redis and takes the customers with 20 traces on the board.
Board keys are
measured with MEMORY USAGE, the ledger's record by its length and 60 bytes for its place in the hash; examples that
wait for their
label are given apart, per example. The bound of the design is 3,500 bytes without them, and 300 per example.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from pathlib import Path

import msgspec

from engine.lane import Lane
from engine.rules import RuleSet
from engine.settings import ResultSettings
from streams.cli.replay import run_replay
from streams.reader.log import open_log
from streams.redis.embedded import EmbeddedRedis
from streams.redis.keys import CUSTOMER_PARTS, Keys
from streams.simulate import SimulationSettings, write_log

__all__ = ["measure"]

BOUND_B, EXAMPLE_BOUND_B = 3_500, 300
_HASH_ENTRY_B = 60  # entry, field and value headers of a large hash on a 64-bit Redis


def measure(log: Path) -> dict[str, float]:
    """Mean bytes per customer by part, and per pending example."""
    rules = RuleSet.default()
    settings = ResultSettings(lanes=2, rules=rules.version)
    parts: Counter[str] = Counter()
    n = n_pending = pending_b = 0
    with EmbeddedRedis() as server:
        _, facts = run_replay(open_log([log]), settings, rules, url=server.url, quiet=True)
        keys = Keys(facts["prefix"])
        client = server.client()
        for number in range(settings.lanes):
            lane = Lane(number, settings, rules)
            for raw_id, record in client.hscan_iter(keys.lane_customers(number)):
                customer_id = raw_id.decode()
                if client.execute_command("LLEN", keys.part("timeline", customer_id)) < 20:
                    continue
                n += 1
                for part in CUSTOMER_PARTS:
                    usage = client.execute_command("MEMORY", "USAGE", keys.part(part, customer_id), "SAMPLES", 0)
                    parts[part] += int(usage or 0)
                waiting = lane.decode(record).landmarks.pending
                size = sum(len(msgspec.msgpack.encode(mark.encode())) for mark in waiting)
                n_pending += len(waiting)
                pending_b += size
                parts["record"] += len(record) - size + _HASH_ENTRY_B
        client.close()
    figures = {part: round(total / n, 1) for part, total in parts.items()}
    return {
        **figures,
        "sum": round(sum(parts.values()) / n, 1),
        "example": round(pending_b / max(1, n_pending), 1),
        "examples": round(n_pending / n, 1),
        "customers": n,
    }


def main() -> int:
    """Measure and print; 1 if a bound is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_500)
    parser.add_argument("--customers", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "campus.jsonl"
        simulated = SimulationSettings(events=options.events, customers=options.customers, days=100)
        write_log(simulated, log, Path(place) / "truth.jsonl")
        figures = measure(log)
    if options.json:
        print(json.dumps(figures))
    else:
        for part, size in figures.items():
            print(f"{part:12} {size:10,.1f}")
        print(f"bounds: sum {BOUND_B:,}, example {EXAMPLE_BOUND_B}")
    return 0 if figures["sum"] <= BOUND_B and figures["example"] <= EXAMPLE_BOUND_B else 1


if __name__ == "__main__":
    sys.exit(main())
