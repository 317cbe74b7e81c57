"""A busy morning on the simulated campus, for screenshots: months of a log, and then the desk of today."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import orjson

from streams.cli import main
from streams.redis.embedded import EmbeddedRedis
from streams.simulate import SimulationSettings, write_log
from tests.streams.console.board import PREFIX, say_inputs

__all__ = ["CUSTOMER", "NOW_MS", "fill_campus"]

MINUTE, HOUR = 60_000, 3_600_000
DAY = 24 * HOUR
DAYS = 110
NOW_MS = int(datetime(2026, 6, 25, 2, 40, tzinfo=UTC).timestamp() * 1000)
"""20 to 11 in the morning, on the campus."""

CUSTOMER = "li.wei@campus.example"


class _Events:
    """Events with ids that count up, at so long before now."""

    def __init__(self) -> None:
        self.all: list[dict[str, Any]] = []

    def add(self, customer: str, kind: str, before_ms: int, **fields: Any) -> str:
        event_id = f"x{len(self.all) + 1}"
        self.all.append(
            {"event_id": event_id, "customer_id": customer, "ts": NOW_MS - before_ms, "kind": kind, **fields}
        )
        return event_id


def _story(to: _Events) -> None:
    """One customer whom wifi has failed for two weeks, and who calls again now."""
    wifi = {"category": "network/wifi", "case_id": "W-4711"}
    who = CUSTOMER
    to.add(
        who, "profile", 20 * DAY, attributes={"name": "李伟", "school": "physics", "role": "student", "language": "zh"}
    )
    to.add(who, "session", 14 * DAY, channel="app")
    to.add(who, "request", 13 * DAY, channel="app", nature="fault", **wifi)
    to.add(who, "handling", 13 * DAY - 2 * HOUR, channel="app", step="accepted", team="it", **wifi)
    to.add(who, "handling", 12 * DAY, channel="phone", step="transferred", team="it", **wifi)
    to.add(who, "complaint", 9 * DAY, channel="phone", **wifi)
    to.add(who, "outreach", 9 * DAY - 3 * HOUR, channel="phone", outcome="reached", **wifi)
    to.add(who, "resolved", 8 * DAY, channel="app", **wifi)
    to.add(who, "feedback", 7 * DAY, channel="app", score=2, **wifi)
    to.add(who, "complaint", 2 * DAY, channel="social", **wifi)
    to.add(who, "handling", 2 * DAY - HOUR, channel="phone", step="reopened", team="it", **wifi)
    to.add(who, "handling", DAY, channel="phone", step="on_site", team="it", **wifi)
    to.add(who, "session", 3 * HOUR, channel="app")


def _today(to: _Events) -> None:
    outage = {"category": "account/login", "channel": "app", "nature": "fault"}
    for number in range(46):
        to.add(f"u{number * 3 + 1:06}", "request", 85 * MINUTE - number * 45_000, **outage)
    others = (
        ("chen.yu@campus.example", "food/card", "store"),
        ("m.garcia@campus.example", "payments/refund", "web"),
        ("a.novak@campus.example", "housing/repair", "phone"),
    )
    for at, (who, category, channel) in enumerate(others):
        for days in (5, 3, 0):
            to.add(who, "request", days * DAY + (at + 2) * 9 * MINUTE, category=category, channel=channel, team="it")
    to.add("m.garcia@campus.example", "complaint", 30 * HOUR, category="payments/refund", channel="web")
    to.add(CUSTOMER, "request", 4 * MINUTE, category="network/wifi", case_id="W-4711", channel="phone", agent_id="mei")


def _words(alerts: Path) -> Iterator[dict[str, Any]]:
    """What people said of the alerts of the past: most judged some useful, some acknowledged and snoozed."""
    rng = random.Random(5)
    share = {"engagement_drop": 0.35, "promotion_fatigue": 0.5, "repeat_request": 0.75, "failed_fix": 0.85}
    latest = NOW_MS - 20 * MINUTE
    for number, line in enumerate(alerts.read_bytes().splitlines()):
        alert = orjson.loads(line)
        if alert["op"] not in ("raise", "contact") or alert["flag"] == "service_incident":
            continue
        at = min(alert["at"] + rng.randrange(5 * MINUTE, 3 * HOUR), latest)
        said = {"customer_id": alert["customer_id"], "ref": alert["alert_id"], "by": rng.choice(("anna", "ben", "mei"))}
        if at <= alert["at"] or alert["at"] > NOW_MS - HOUR:
            continue
        if rng.random() < (0.93 if alert["at"] < NOW_MS - DAY else 0.3):
            yield {"event_id": f"ack{number}", "ts": at, "kind": "ack", **said}
        if rng.random() < 0.1:
            reason = {"until": at + 3 * DAY, "reason": "waits for spare parts"}
            yield {"event_id": f"snooze{number}", "ts": at + 1, "kind": "snooze", **said, **reason}
        if rng.random() < 0.4:
            outcome = "useful" if rng.random() < share.get(alert["flag"], 0.8) else "not_useful"
            yield {"event_id": f"out{number}", "ts": at + 2, "kind": "ack", "outcome": outcome, **said}


def fill_campus(server: EmbeddedRedis, directory: Path) -> None:
    """Replay the campus under `PREFIX`, twice: the alerts of the first time are what people speak of in the second."""
    log, merged, alerts = directory / "log.jsonl", directory / "merged.jsonl", directory / "alerts.jsonl"
    settings = SimulationSettings(customers=170, days=DAYS, seed=7, start=date(2026, 3, 7), incidents=1)
    write_log(settings, log, directory / "truth.jsonl")
    to = _Events()
    _story(to)
    _today(to)
    before = [orjson.loads(line) for line in log.read_bytes().splitlines()]
    events = sorted([*before, *to.all], key=_time)
    events = [event for event in events if _time(event) <= NOW_MS]
    merged.write_bytes(b"\n".join(map(orjson.dumps, events)) + b"\n")
    assert main(["replay", str(merged), "--redis", "none", "--alerts", str(alerts), "--json"]) == 0
    events = sorted([*events, *_words(alerts)], key=_time)
    merged.write_bytes(b"\n".join(map(orjson.dumps, events)) + b"\n")
    assert main(["replay", str(merged), "--redis", server.url, "--run", "console", "--json"]) == 0
    client = server.client()
    say_inputs(client, NOW_MS)
    client.close()
    assert PREFIX == "replay:console:"


def _time(event: dict[str, Any]) -> int:
    at = event["ts"]
    return at if isinstance(at, int) else int(datetime.fromisoformat(at).timestamp() * 1000)
