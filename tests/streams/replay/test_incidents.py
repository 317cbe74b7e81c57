"""A simulated outage is found in a replay into Redis, once, and nothing is found on a quiet campus."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.rules import RuleSet
from engine.service_counts import BUCKET_MS, COUNTED_KINDS
from engine.settings import ResultSettings
from streams.cli.replay import run_replay
from streams.reader.log import open_log
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from streams.redis.verify import verify
from streams.simulate import SimulationSettings, simulate
from streams.simulate.plan import Plan

RULES = RuleSet.default()
SETTINGS = ResultSettings(lanes=3, rules=RULES.version)


def campus(incidents: int, customers: int = 4_000) -> SimulationSettings:
    return SimulationSettings(customers=customers, days=12, seed=5, incidents=incidents, disorder_share=0.05)


def contacts(settings: SimulationSettings, path: Path) -> Path:
    """The log without what says nothing of services: a few thousand events of 80,000."""
    with path.open("wb") as file:
        for event in simulate(settings):
            if event["kind"] in COUNTED_KINDS:
                file.write(orjson.dumps(event) + b"\n")
    return path


@pytest.fixture(scope="module")
def troubled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return contacts(campus(1), tmp_path_factory.mktemp("logs") / "troubled.jsonl")


def incidents(client: RedisClient, prefix: str) -> list[dict[str, Any]]:
    entries = client.execute_command("XRANGE", f"{prefix}alerts", "-", "+")
    return [orjson.loads(fields[b"line"]) for _, fields in entries if fields[b"lane"] == b"-1"]


def replay(server: EmbeddedRedis, client: RedisClient, log: Path, batch: int, **more: Any) -> list[dict[str, Any]]:
    reader = open_log([log], batch_size=batch)
    _, facts = run_replay(reader, SETTINGS, RULES, url=server.url, name=f"b{batch}", quiet=True, **more)
    assert verify(client, facts["prefix"]) == []
    return incidents(client, facts["prefix"])


@pytest.fixture(scope="module")
def found(redis_server: EmbeddedRedis, troubled: Path) -> list[dict[str, Any]]:
    client = redis_server.client()
    try:
        return replay(redis_server, client, troubled, 100)
    finally:
        client.close()


def test_a_failed_service_is_found_where_and_when_it_failed(found: list[dict[str, Any]]) -> None:
    (failed,) = Plan(campus(1)).incidents
    raised = [each for each in found if each["op"] == "raise"]
    assert {each["service"]["value"] for each in raised} == {failed.category, failed.channel}
    assert all(failed.from_ms - BUCKET_MS <= each["since"] <= failed.to_ms for each in raised)
    assert min(each["since"] for each in raised) <= failed.from_ms + BUCKET_MS
    assert len({each["alert_id"] for each in raised}) == len(raised)
    assert {each["alert_id"] for each in found} == {each["alert_id"] for each in raised}


def test_a_quiet_campus_has_no_incident(redis_server: EmbeddedRedis, redis_client: RedisClient, tmp_path: Path) -> None:
    log = contacts(campus(0, customers=2_000), tmp_path / "quiet.jsonl")
    assert replay(redis_server, redis_client, log, 500) == []


@pytest.mark.parametrize(("batch", "more"), [(7, {}), (400, {"reload_each": True}), (100, {"cores": 2})])
def test_incidents_do_not_depend_on_batches(
    redis_server: EmbeddedRedis,
    redis_client: RedisClient,
    troubled: Path,
    found: list[dict[str, Any]],
    batch: int,
    more: dict[str, Any],
) -> None:
    assert replay(redis_server, redis_client, troubled, batch, **more) == found
