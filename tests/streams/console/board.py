"""A board to look at: a small simulated campus, replayed into a Redis, with lanes that say they are fresh.

`python -m tests.streams.console.board` keeps such a Redis up until Ctrl-C, for working at the page.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import orjson

from streams.cli import main
from streams.console.clock import wall_ms
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from streams.redis.keys import Keys, encode_id
from streams.simulate import SimulationSettings, write_log

__all__ = ["ALERT", "CUSTOMER", "LANE", "PREFIX", "add_fact", "fill", "put_alert", "say_inputs"]

PREFIX = "replay:console:"
KEYS = Keys(PREFIX)
CUSTOMER, ALERT, LANE = "anna@example.org", "00112233445566ff", 3
"""A customer whom nothing of the simulation touches, and their alert."""

_SINCE = 1_750_000_000_000


def fill(server: EmbeddedRedis, *, events: int = 1_500, seed: int = 3) -> None:
    """Replay a simulated log under `PREFIX`."""
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log.jsonl"
        write_log(SimulationSettings(events=events, seed=seed), log, Path(directory) / "truth.jsonl")
        assert main(["replay", str(log), "--redis", server.url, "--run", "console", "--json"]) == 0
    client = server.client()
    say_inputs(client, wall_ms())
    client.close()


def say_inputs(client: RedisClient, at: int, word: str = "fresh", **more: int) -> None:
    """Say how fresh the lanes are, as their workers would."""
    fields: list[str | int] = ["contract", 1, "lanes", 8]
    for lane in range(8):
        fields += [f"input:{lane}", word, f"input_at:{lane}", at, f"lag:{lane}", 0]
    for name, value in more.items():
        fields += [name.replace("_", ":"), value]
    client.execute_command("HSET", KEYS.meta, *fields)


def put_customer(client: RedisClient, customer_id: str = CUSTOMER, *, lane: int = LANE, sensitive: bool = True) -> None:
    """A customer by hand."""
    client.execute_command(
        "HSET", KEYS.customer(customer_id), "churn", 0.25, "churn_band", "medium", "flags_up", 1, "lane", lane,
        "as_of", _SINCE, "sensitive", int(sensitive), "stage", "active", "value", 12.5,
    )  # fmt: skip
    flag = orjson.dumps([_SINCE, None, 2, "burst", ALERT])
    client.execute_command("HSET", KEYS.part("flags", customer_id), "repeat_request/billing", flag)
    why = ("churn", b'[{"code":"recency","weight":1.5}]', "repeat_request/billing", b'["e1","e2"]')
    client.execute_command("HSET", KEYS.part("why", customer_id), *why)
    trace = orjson.dumps([_SINCE, "request", "billing", "phone", "case-1", None])
    client.execute_command("RPUSH", KEYS.part("timeline", customer_id), trace)
    client.execute_command("ZADD", KEYS.index("churn"), 0.25, encode_id(customer_id))


def put_alert(
    client: RedisClient, alert_id: str = ALERT, *, customer_id: str = CUSTOMER, op: str = "raise", seq: int = 1,
    flag: str = "repeat_request", category: str | None = "billing", count: int = 2, lane: int = LANE,
    route: str = "team:a", state: bool = True,
) -> str:  # fmt: skip
    """A message by hand, with the state of its alert; returns its stream id."""
    line = {
        "alert_id": alert_id, "op": op, "flag": flag, "customer_id": customer_id, "category": category, "at": _SINCE,
        "since": _SINCE, "until": None, "count": count, "severity": "burst", "evidence": ["e1", "e2"],
        "scores": {"churn": 0.25}, "reasons": [],
    }  # fmt: skip
    scene = [orjson.dumps([_SINCE, "request", category, "phone", "case-1", None]).decode()]
    if state:
        fields: dict[str, str | int] = {
            "customer_id": customer_id, "flag": flag, "since": _SINCE, "count": count, "severity": "burst",
            "updated_at": _SINCE, "lane": lane, "priority": 3, "route": route, "held": "", "guidance": "",
        }  # fmt: skip
        if category is not None:
            fields["category"] = category
        if op == "clear":
            fields["closed_at"] = _SINCE + 1
        client.execute_command("HSET", KEYS.alert(alert_id), *(part for pair in fields.items() for part in pair))
        if op == "clear":
            client.execute_command("ZREM", KEYS.queue("open"), alert_id)
        else:
            client.execute_command("ZADD", KEYS.queue("open"), 3 * 10**13 + _SINCE, alert_id)
    stream_id: bytes = client.execute_command(
        "XADD", KEYS.alerts, "*", "alert_id", alert_id, "seq", seq, "lane", lane, "line", orjson.dumps(line),
        "priority", 3, "route", route, "scene", orjson.dumps(scene), "held", "", "guidance", "",
    )  # fmt: skip
    return stream_id.decode()


def add_fact(client: RedisClient, alert_id: str = ALERT, *, fact: str = "ack", by: str = "anna", seq: int = 1) -> str:
    """A word of a person, as the engine tells that it was applied."""
    client.execute_command("HSET", KEYS.alert(alert_id), "acked_by", by, "acked_at", _SINCE + 5)
    stream_id: bytes = client.execute_command(
        "XADD", KEYS.facts, "*", "alert_id", alert_id, "customer_id", CUSTOMER, "lane", LANE, "seq", seq, "fact", fact,
        "state", "up", "at", _SINCE + 5, "by", by,
    )  # fmt: skip
    return stream_id.decode()


if __name__ == "__main__":
    import signal

    with EmbeddedRedis(port=0) as redis_server:
        fill(redis_server, events=20_000)
        print(f"{redis_server.url} --prefix {PREFIX}", flush=True)
        while True:
            redis_client = redis_server.client()
            say_inputs(redis_client, wall_ms())
            redis_client.close()
            if signal.sigtimedwait([signal.SIGINT, signal.SIGTERM], 10) is not None:
                break
