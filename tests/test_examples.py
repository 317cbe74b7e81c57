"""The example readers tell of an alert and of the customer's flags, each in its language."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.redis.access import RedisAccess
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis, find_redis_server
from tests.streams.redis.samples import FLAG, alert, change, outcome, owned, position

EXAMPLES = Path(__file__).parent.parent / "examples"
WHO = "客 {1}/50%"
PATIENCE_S = 20.0


def redis_cli() -> str | None:
    """On PATH, or beside the interpreter or the server."""
    beside = [Path(sys.executable).parent / "redis-cli", find_redis_server().parent / "redis-cli"]
    return shutil.which("redis-cli") or next((str(path) for path in beside if path.exists()), None)


def reader(name: str, socket: str) -> list[str]:
    """How an example is run, or a skip that says what is missing."""
    path = str(EXAMPLES / name)
    if name.endswith(".py"):
        return [sys.executable, path, f"unix://{socket}"]
    if name.endswith(".mjs"):
        if (node := shutil.which("node")) is None:
            pytest.skip("no node on PATH")
        return [node, path, socket]
    if redis_cli() is None:
        pytest.skip("no redis-cli on PATH, beside the interpreter or beside redis-server")
    return ["sh", path, socket]


@pytest.mark.parametrize("name", ["follow_alerts.py", "follow_alerts.sh", "follow_alerts.mjs"])
def test_an_example_shows_an_alert_and_the_flags_of_its_customer(
    redis_server: EmbeddedRedis, redis_client: RedisClient, tmp_path: Path, name: str
) -> None:
    output = tmp_path / "output"
    ledger = owned(redis_client)
    first = outcome([])
    first.alerts = [alert("a" * 16, customer_id="before")]
    ledger.commit([first], position(1))
    command = reader(name, RedisAccess.parse(redis_server.url).path)
    environment = {"PATH": "/usr/bin:/bin", "REDIS_CLI": redis_cli() or "", "PYTHONPATH": str(EXAMPLES.parent)}
    with output.open("wb") as told:
        process = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT, env=environment)
    try:
        await_text(process, output, "following")
        ended = '[1000,3000,2,"medium","00112233445566fe"]'
        second = outcome([change(WHO, flags={"repeat_request/billing": FLAG, "unresolved/dorm": ended})])
        held, shown = alert("c" * 16, seq=2, customer_id=WHO), alert("b" * 16, seq=3, customer_id=WHO)
        held.held = "snoozed"
        second.alerts = [held, shown]
        ledger.commit([second], position(2))
        await_text(process, output, "unresolved/dorm")
    finally:
        process.kill()
        process.wait()
    assert sorted(output.read_text("utf-8").splitlines()[1:]) == [
        "  repeat_request/billing burst since 1000 up",
        "  unresolved/dorm medium since 1000 down",
        f"raise repeat_request {WHO}",
    ]


def await_text(process: subprocess.Popen[bytes], output: Path, text: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while text not in (said := output.read_text("utf-8")):
        assert process.poll() is None, said
        assert time.monotonic() < deadline, said
        time.sleep(0.01)
