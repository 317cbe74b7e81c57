"""What a customer with 20 traces costs in Redis, by part.

    python -m benchmarks.memory [--customers 2000] [--ids short|uuid] [--json]

Replays a made log into an embedded Redis: every customer has the same 20 traces on the timeline (three cases with
requests, handling, resolved, one complaint, one feedback; views, visits, purchases, a post) and a profile of four
facts, spread over about 70 days. Keys are measured with MEMORY USAGE (SAMPLES 0), shared ones divided by the customers;
`used_memory` before and after is the truth that the sum must come near. Examples that wait for their label are given
apart: what the records are shorter without them. The exit code is 1 beyond the bounds of the design.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import uuid
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import orjson
from redis import Redis

from engine.lane import Lane
from engine.memory import Memory
from engine.rules import RuleSet
from engine.settings import ResultSettings
from streams.cli.replay import run_replay
from streams.reader.log import open_log
from streams.redis.catalogue import INDEXES
from streams.redis.embedded import EmbeddedRedis
from streams.redis.keys import CUSTOMER_PARTS, Keys

__all__ = ["BOUND_B", "EXAMPLE_BOUND_B", "measure", "write_log"]

BOUND_B, GOAL_B, EXAMPLE_BOUND_B = 3_500, 2_300, 300
N_TRACES = 20

_DAY_MS = 86_400_000
_BEGIN_MS = 1_735_689_600_000  # 2025-01-01
_SERVICES = ("billing", "network/wifi", "dormitory/repair", "library", "card/lost", "network/vpn")
_CHANNELS = ("phone", "web", "app", "store")
# (kind, number of the case or None, further fields), in order of time.
_LIFE: tuple[tuple[str, int | None, dict[str, Any]], ...] = (
    ("session", None, {}),
    ("view", None, {}),
    ("purchase", None, {"value": 19.9}),
    ("request", 0, {"nature": "consult"}),
    ("handling", 0, {"step": "accepted"}),
    ("resolved", 0, {"outcome": "ok"}),
    ("view", None, {}),
    ("purchase", None, {"value": 5.0}),
    ("request", 1, {"nature": "fault"}),
    ("handling", 1, {"step": "assigned"}),
    ("resolved", 1, {"outcome": "ok"}),
    ("purchase", None, {"value": 42.35}),
    ("complaint", 2, {"nature": "claim"}),
    ("handling", 2, {"step": "escalated"}),
    ("resolved", 2, {"outcome": "ok"}),
    ("feedback", 2, {"score": 2}),
    ("view", None, {}),
    ("purchase", None, {"value": 12.5}),
    ("interact", None, {"action": "comment"}),
    ("session", None, {}),
)


def write_log(path: Path, n_customers: int, ids: str, seed: int = 1) -> None:
    """A log of customers with exactly `N_TRACES` traces and a profile each, in order of event time.

    Parameters
    ----------
    path
        Where it goes, JSON lines.
    n_customers
        How many.
    ids
        `short` (event ids of 14 characters, case ids of 11) or `uuid` (36 each).
    seed
        Of all that is random.
    """
    rng = random.Random(seed)
    events = [event for number in range(n_customers) for event in _customer(number, ids, rng)]
    events.sort(key=lambda event: event["ts"])
    path.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in events))


def _customer(number: int, ids: str, rng: random.Random) -> Iterator[dict[str, Any]]:
    customer = f"u{number:06d}"
    cases = [_id(f"case-{number:04d}{n:02d}", ids, rng) for n in range(3)]
    services = [rng.choice(_SERVICES) for _ in range(3)]
    ts = _BEGIN_MS + rng.randrange(10 * _DAY_MS)
    about = {"role": "student", "language": rng.choice(("zh", "en")), "school": f"school-{rng.randrange(9):02d}"}
    facts = {**about, "expected_end": "2027-06-30"}
    first = _id(f"{customer}-{0:06d}", ids, rng)
    yield {"event_id": first, "customer_id": customer, "ts": ts, "kind": "profile", "attributes": facts}
    for n, (kind, case, more) in enumerate(_LIFE, 1):
        # Traces of a case are hours apart, others days.
        hours = rng.expovariate(1 / 10) if kind in ("handling", "resolved", "feedback") else rng.expovariate(1 / 110)
        ts += 60_000 + int(hours * 3_600_000)
        event: dict[str, Any] = {"event_id": _id(f"{customer}-{n:06d}", ids, rng), "customer_id": customer, "ts": ts}
        event |= {"kind": kind, "channel": rng.choice(_CHANNELS), **more}
        if case is not None:
            event |= {"category": services[case], "case_id": cases[case]}
        yield event


def _id(short: str, ids: str, rng: random.Random) -> str:
    return short if ids == "short" else str(uuid.UUID(int=rng.getrandbits(128), version=4))


def measure(log: Path) -> dict[str, dict[str, float]]:
    """Mean bytes per customer: `parts` and `fields` of the record, and the `facts` they are judged by."""
    rules = RuleSet.default()
    settings = ResultSettings(lanes=2, rules=rules.version)
    with EmbeddedRedis() as server:
        client = server.client()
        before = _used(client)
        _, facts = run_replay(open_log([log]), settings, rules, url=server.url, quiet=True)
        used = _used(client) - before
        keys = Keys(facts["prefix"])
        total: Counter[str] = Counter()
        fields: Counter[str] = Counter()
        n = n_pending = pending_b = 0
        for number in range(settings.lanes):
            lane = Lane(number, settings, rules)
            total["record"] += _usage(client, keys.lane_customers(number))
            total["timers"] += _usage(client, keys.lane_timers(number))
            for raw_id, record in client.hgetall(keys.lane_customers(number)).items():
                memory = lane.decode(record)
                if len(memory.timeline.entries) != N_TRACES:
                    raise SystemExit(f"log: expected {N_TRACES} traces, got {len(memory.timeline.entries)}")
                n += 1
                for part in CUSTOMER_PARTS:
                    total[part] += _usage(client, keys.part(part, raw_id.decode()))
                n_pending += len(memory.landmarks.pending)
                memory.landmarks.pending = []
                stripped = memory.encode()
                pending_b += len(record) - len(stripped)
                fields["stored"] += len(stripped)
                fields.update(_plain(memory))
        total["record"] -= pending_b
        total["leaderboards"] = sum(_usage(client, keys.index(name)) for name in INDEXES)
        alerts = _usage(client, keys.alerts)
        client.close()
    parts = {part: round(size / n, 1) for part, size in total.items()}
    # What Redis keeps beside the values: its own tables of keys and of TTLs, and slack of the allocator.
    parts["tables"] = round((used - pending_b - alerts - sum(total.values())) / n, 1)
    return {
        "parts": parts,
        "fields": {name: round(size / n, 1) for name, size in fields.items()},
        "facts": {
            "customers": n,
            "sum": round(sum(parts.values()), 1),
            "sum_of_values": round(sum(total.values()) / n, 1),
            "used_memory": round(used / n, 1),
            "alert_stream": round(alerts / n, 1),
            "pending": round(n_pending / n, 1),
            "example": round(pending_b / max(1, n_pending), 1),
        },
    }


def _used(client: Redis) -> int:
    return int(client.info("memory")["used_memory"])


def _usage(client: Redis, key: str) -> int:
    return int(client.execute_command("MEMORY", "USAGE", key, "SAMPLES", 0) or 0)


def _plain(memory: Memory) -> dict[str, int]:
    """Bytes of each field of the record before it is packed together."""
    return {name: len(msgspec.msgpack.encode(value)) for name, value in memory.fields().items()}


def main() -> int:
    """Measure and print; 1 if a bound is passed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--customers", type=int, default=2_000)
    parser.add_argument("--ids", choices=("short", "uuid"), default="short")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        log = Path(place) / "log.jsonl"
        write_log(log, options.customers, options.ids)
        figures = measure(log)
    facts = figures["facts"]
    if options.json:
        print(json.dumps(figures))
    else:
        _print("bytes per customer", figures["parts"])
        _print("of the record, before packing", figures["fields"])
        _print("facts", facts)
        print(f"bound {BOUND_B:,} (goal {GOAL_B:,}), example {EXAMPLE_BOUND_B}")
    return 0 if facts["sum"] <= BOUND_B and facts["example"] <= EXAMPLE_BOUND_B else 1


def _print(title: str, figures: dict[str, float]) -> None:
    print(title)
    for name, size in figures.items():
        print(f"  {name:16} {size:10,.1f}")


if __name__ == "__main__":
    sys.exit(main())
