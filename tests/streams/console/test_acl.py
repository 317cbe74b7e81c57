"""The console's user of Redis, as the operations page gives it: it can read the board and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from redis.exceptions import NoPermissionError

from streams.console.routes import ROUTES
from streams.redis.access import RedisAccess
from streams.redis.client import RedisClient, connect
from streams.redis.embedded import EmbeddedRedis
from tests.streams.console.board import PREFIX, put_alert, put_customer, say_inputs
from tests.streams.console.running import Clock, Console, law
from tests.streams.console.test_events import listening
from tests.streams.console.test_routes import path_of

_OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
_PASSWORD = "a-password-0f-a-test"


def rules() -> list[str]:
    (line,) = (each for each in _OPERATIONS.read_text("utf-8").splitlines() if "SETUSER henji-console " in each)
    swapped = {">PASSWORD": f">{_PASSWORD}", "~risk:*": f"~{PREFIX}*"}
    return [swapped.get(word, word) for word in line.split()[3:]]


def test_the_console_can_do_all_of_its_work_and_has_no_command_to_spare(
    redis_server: EmbeddedRedis, redis_client: RedisClient, tmp_path: Path
) -> None:
    say_inputs(redis_client, Clock()())
    put_customer(redis_client)
    put_alert(redis_client)
    redis_client.execute_command("ACL", "SETUSER", "henji-console", *rules())

    async def test(console: Console) -> None:
        root = await console.person("root", "admin")
        async with asyncio.timeout(10):
            while console.server.follower.place is None:
                await asyncio.sleep(0.005)
        for route in ROUTES:
            if route.method == "GET" and route.name not in ("events", "oidc_start", "oidc_callback"):
                wrong = await root.get(path_of(route).replace("nobody", "churn"))
                assert wrong.status == 200, route
        assert (await root.post(path_of(next(each for each in ROUTES if each.name == "ack")))).status == 202
        place = str(console.server.follower.place).partition("/")[0]
        put_alert(redis_client, "00000000000000cc", seq=2)
        for after in (f"{place}/0-0", "5-1/0-0", "0-0/0-0"):
            async with listening(root, after) as stream:
                await stream.next("input")

    redis_client.execute_command("CONFIG", "RESETSTAT")
    where = RedisAccess(path=RedisAccess.parse(redis_server.url).path, user="henji-console", password=_PASSWORD)
    law(test, redis_server, tmp_path, access=where)
    plain = connect(where)
    plain.execute_command("PING")
    by_others = {"config", "acl", "auth", "info", "hset", "rpush", "zadd", "xadd"}
    stats = redis_client.info("commandstats")
    used = {
        name.removeprefix("cmdstat_").partition("|")[0] for name, each in stats.items() if each["calls"]
    } - by_others
    assert used | {"select"} == {word[1:] for word in rules() if word.startswith("+")}
    for command in (
        f"HSET {PREFIX}meta a 1", f"DEL {PREFIX}meta", f"XADD {PREFIX}facts * a 1", "HGETALL henji:{0}:customers",
        "GET henji:{0}:lane", "HGETALL risk:meta", "KEYS *", "FLUSHALL", "CONFIG GET dir", "INFO",
        f"SUBSCRIBE {PREFIX}alerts:wake",
    ):  # fmt: skip
        with pytest.raises(NoPermissionError):
            plain.execute_command(*command.split())
    plain.close()
    redis_client.execute_command("ACL", "DELUSER", "henji-console")
