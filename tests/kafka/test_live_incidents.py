"""Two workers, an outage: whoever has partition 0 tells of it once, also after the other has taken over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.duration import DAY_MS, HOUR_MS
from engine.murmur2 import lane_of
from streams.redis.board import RiskBoard
from streams.redis.verify import verify
from tests.kafka.conftest import Broker
from tests.kafka.deployment import Deployment, until, write_topic

pytestmark = pytest.mark.slow

T0 = 19_700 * DAY_MS
LANES = 4


def events(first: int, at: int, n: int) -> list[dict[str, Any]]:
    """Requests of `n` customers in one bucket."""
    return [
        {
            "event_id": f"e{first + i}",
            "customer_id": f"c{i}",
            "ts": at + i,
            "kind": "request",
            "category": "network/wifi",
        }
        for i in range(n)
    ]


def passed(first: int, at: int) -> list[dict[str, Any]]:
    """Something in every lane, so that its clock passes."""
    names = [next(f"p{n}" for n in range(99) if lane_of(f"p{n}", LANES) == lane) for lane in range(LANES)]
    return [
        {"event_id": f"p{first + i}", "customer_id": name, "ts": at, "kind": "view"} for i, name in enumerate(names)
    ]


def test_an_outage_is_told_once_whoever_has_the_first_partition(
    broker: Broker, topic_name: Callable[[], str], tmp_path: Path
) -> None:
    usual = [each for hour in range(8 * 24) for each in events(hour * 2, T0 + hour * HOUR_MS, 2)]
    begin = T0 + 8 * DAY_MS
    outage = [*events(10_000, begin, 40), *passed(1, begin + HOUR_MS // 2)]
    calm = passed(2, begin + 5 * HOUR_MS)
    settings = {"kafka.partitions": "2", "lanes": str(LANES), "worker.tick": "none"}
    with Deployment(tmp_path / "d", broker.brokers, topic_name(), name=topic_name(), settings=settings) as deployment:
        n = send(deployment, tmp_path, [*usual, *outage])
        workers = [deployment.start_worker() for _ in range(2)]
        deployment.wait_until_read(n)
        until("an incident is told", lambda: bool(incidents(deployment)), timeout_s=60)
        (raised,) = incidents(deployment)
        assert (raised["op"], raised["since"], raised["count"]) == ("raise", begin, 40)
        board = RiskBoard(deployment.client)
        assert [row.standing for row in board.queue("open", begin).rows if row.alert.lane == -1] == ["incident"]
        # Whoever it was: the other goes on.
        owner = next(worker for worker in workers if worker.metric("henji_partitions_owned"))
        owner.kill()
        n += send(deployment, tmp_path, calm)
        deployment.wait_until_read(n)
        until("the incident is cleared", lambda: len(incidents(deployment)) > 1, timeout_s=90)
        deployment.stop_workers()
        found = incidents(deployment)
        assert [(each["op"], each["alert_id"]) for each in found] == [
            ("raise", raised["alert_id"]),
            ("clear", raised["alert_id"]),
        ]
        assert verify(deployment.client) == []


def send(deployment: Deployment, tmp_path: Path, log: list[dict[str, Any]]) -> int:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b"".join(orjson.dumps(each) + b"\n" for each in log))
    return write_topic(deployment.settings, path)


def incidents(deployment: Deployment) -> list[dict[str, Any]]:
    entries = deployment.client.execute_command("XRANGE", "risk:alerts", "-", "+")
    return [orjson.loads(fields[b"line"]) for _, fields in entries if fields[b"lane"] == b"-1"]
