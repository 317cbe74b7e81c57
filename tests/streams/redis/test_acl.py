"""The users of the operations page: each can do the whole of its work, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol, cast

import pytest
import redis
from redis.exceptions import NoPermissionError

from engine.errors import LedgerConflict, UsageError
from engine.model_watch import ModelWatch
from streams.cli import main
from streams.cli.stores import boards
from streams.redis.access import RedisAccess
from streams.redis.board import RiskBoard
from streams.redis.catalogue import INDEXES
from streams.redis.client import RedisClient, connect
from streams.redis.embedded import EmbeddedRedis
from streams.redis.heartbeat import Heartbeat
from streams.redis.ledger import RedisLedger
from streams.redis.policy import check_policy
from streams.redis.verify import verify
from streams.simulate import SimulationSettings, write_log
from tests.streams.redis.samples import FLAG, KEYS, alert, change, fact, gone, outcome, owned, position, ticket_row

OPERATIONS = Path(__file__).parents[3] / "docs" / "operations.md"
PASSWORD = "a-password-0f-a-test"
PARTITION = KEYS.partition("events", 0)


def rules(user: str) -> list[str]:
    """What the operations page gives a user, as arguments of ACL SETUSER."""
    (line,) = (each for each in OPERATIONS.read_text("utf-8").splitlines() if each.startswith(f"ACL SETUSER {user} "))
    return [f">{PASSWORD}" if word == ">PASSWORD" else word for word in line.split()[3:]]


def allowed(user: str) -> set[str]:
    return {word[1:] for word in rules(user) if word.startswith("+")}


class Login(Protocol):
    def __call__(self, user: str, *, without: str = "", db: int = 0) -> RedisClient: ...


@pytest.fixture
def login(redis_server: EmbeddedRedis, redis_client: RedisClient) -> Iterator[Login]:
    """Clients of the empty Redis that are users of the operations page."""
    made: list[RedisClient] = []

    def client(user: str, *, without: str = "", db: int = 0) -> RedisClient:
        words = [word for word in rules(user) if word != f"+{without}"]
        redis_client.execute_command("ACL", "SETUSER", user, *words)
        path = RedisAccess.parse(redis_server.url).path
        made.append(connect(RedisAccess(path=path, db=db, user=user, password=PASSWORD)))
        return made[-1]

    yield client
    for each in made:
        each.close()
    for user in ("henji-writer", "henji-reader", "henji-alerts", "henji-models"):
        redis_client.execute_command("ACL", "DELUSER", user)


def used(client: RedisClient) -> set[str]:
    """Commands that were obeyed since the last CONFIG RESETSTAT, but for what only the tests use."""
    stats = {name.removeprefix("cmdstat_"): each["calls"] for name, each in client.info("commandstats").items()}
    obeyed = {name for name, calls in stats.items() if calls}
    return {name if name == "xgroup|create" else name.partition("|")[0] for name in obeyed} - {"config", "acl", "auth"}


def work_live(client: RedisClient) -> None:
    """What a worker does to its partition, repairs, conflicts and the way back to nothing included."""
    ledger = owned(client)
    made = outcome([change("c1", flags={"a": FLAG}), change("c2")])
    made.alerts, made.models, made.model_rows = [alert()], {"churn": b"snapshot"}, {"churn": {"n": "1"}}
    made.alert_state = {"00112233445566ff": ticket_row()}
    made.facts, made.rule_counts = [fact()], {"sensitive": {"raised": 1}}
    made.deliveries = {0: {"delivered|sensitive|team:net": 1}}
    ledger.commit([made], position(1))
    ledger.commit([outcome([change("c1", churn=0.5), gone("c2")])], position(2))
    ledger.lane_state(0)
    ledger.load(0, ["c1", "c2"])
    other = owned(client)
    with pytest.raises(LedgerConflict):
        ledger.commit([outcome([change("c1")])], position(3))
    assert Heartbeat(client, KEYS).say(other.claim(), PARTITION, {0: "fresh"}, {0: 5}, 9)
    check_policy(client)
    assert "risk:" in boards(client)
    assert verify(client) == []
    other.reset()


def test_the_writer_can_do_all_of_its_work_and_has_no_command_to_spare(
    login: Login, redis_server: EmbeddedRedis, redis_client: RedisClient, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    client = login("henji-writer")
    log = tmp_path / "log.jsonl"
    write_log(SimulationSettings(events=1_500, seed=3), log, tmp_path / "truth.jsonl")
    (tmp_path / "password").write_text(PASSWORD)
    redis_client.execute_command("CONFIG", "RESETSTAT")
    replay = ["replay", str(log), "--digest", "--redis", redis_server.url, "--run", "acl"]
    user = ["--set", "redis.user=henji-writer", "--set", f"redis.password_file={tmp_path / 'password'}"]
    assert main([*replay, *user]) == 0
    digest = capsys.readouterr().out
    assert main([*replay, *user, "--fresh"]) == 0
    assert capsys.readouterr().out == digest
    work_live(client)
    # Asked for on a connection over TCP that was silent for long, and where the database has a number.
    client.execute_command("PING")
    owned(login("henji-writer", db=1))
    assert used(redis_client) == allowed("henji-writer")
    assert main([*replay[:3], "--lanes", "8"]) == 0
    assert capsys.readouterr().out == digest


@pytest.mark.parametrize(
    "command",
    [
        "FLUSHALL", "FLUSHDB", "KEYS *", "CONFIG GET dir", "CONFIG SET dir /", "SHUTDOWN NOSAVE",
        "SAVE", "EVAL return 0", "MONITOR", "ACL LIST", "CLIENT LIST", "REPLICAOF NO ONE", "SWAPDB 0 1",
        "MIGRATE h 1 risk:meta 0 1", "RENAME risk:meta risk:x", "GET other:key", "SET other:key 1",
        "PUBLISH other 1", "XADD other:stream * a 1",
    ],
)  # fmt: skip
def test_the_writer_can_do_nothing_else(login: Login, command: str) -> None:
    client = login("henji-writer")
    with pytest.raises(NoPermissionError):
        client.execute_command(*command.split())


@pytest.fixture
def board(login: Login) -> RedisLedger:
    """A board that a writer has written."""
    ledger = owned(login("henji-writer"))
    made = outcome([change("c1", flags={"a": FLAG}), change("c2")])
    made.alerts = [alert()]
    ledger.commit([made], position(1))
    return ledger


def test_the_reader_can_read_the_whole_board_and_has_no_command_to_spare(
    board: RedisLedger, login: Login, redis_server: EmbeddedRedis, redis_client: RedisClient,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    client = login("henji-reader")
    redis_client.execute_command("CONFIG", "RESETSTAT")
    view = RiskBoard(client)
    customer, meta = view.customer("c1"), view.meta()
    assert customer is not None
    assert meta is not None
    assert [flag.field for flag in view.flags("c1") or ()] == ["a"]
    for part in (view.why, view.profile, view.history, view.timeline):
        assert part("c1")
    assert {name: len(view.top(name, 5)) for name in INDEXES} == {**dict.fromkeys(INDEXES, 0), "churn": 2}
    assert [each.seq for each in view.alerts()] == [1]
    assert view.alert("00112233445566ff") is None
    url = redis_server.url.replace("unix://", f"unix://henji-reader:{PASSWORD}@")
    assert main(["customer", "c1", "--redis", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["customer_id"] == "c1"
    assert boards(client) == ["risk:"]
    assert client.execute_command("XREAD", "COUNT", 10, "STREAMS", KEYS.alerts, "0")
    with cast("redis.Redis", client).pubsub() as follower:  # type: ignore[no-untyped-call]  # redis-py annotates no more
        follower.subscribe(KEYS.wake)
        follower.unsubscribe(KEYS.wake)
        answers = [follower.get_message(timeout=5.0), follower.get_message(timeout=5.0)]
    assert [answer and answer["type"] for answer in answers] == ["subscribe", "unsubscribe"]
    client.execute_command("PING")
    login("henji-reader", db=1).execute_command("PING")
    assert used(redis_client) == allowed("henji-reader")


@pytest.mark.parametrize(
    "command",
    [
        "HGETALL {partition}", "GET henji:{{0}}:lane", "HGETALL henji:{{0}}:customers",
        "ZRANGE henji:{{0}}:timers 0 -1",
        "HSET risk:customer:c1 churn 0", "DEL risk:customer:c1", "XADD risk:alerts * a 1", "XTRIM risk:alerts MAXLEN 0",
        "PUBLISH risk:alerts:wake 1", "EXPIRE risk:meta 1", "FLUSHALL", "KEYS *", "CONFIG GET dir", "INFO",
        "SUBSCRIBE other", "HGETALL replay:r1:meta",
    ],
)  # fmt: skip
def test_the_reader_can_do_nothing_else(board: RedisLedger, login: Login, command: str) -> None:
    client = login("henji-reader")
    with pytest.raises(NoPermissionError):
        client.execute_command(*command.format(partition=PARTITION).split())


def test_the_taker_of_alerts_can_take_them_and_has_no_command_to_spare(
    board: RedisLedger, login: Login, redis_client: RedisClient
) -> None:
    client = login("henji-alerts")
    redis_client.execute_command("CONFIG", "RESETSTAT")
    client.execute_command("XGROUP", "CREATE", KEYS.alerts, "desk", "0")
    ((_, ((first, _),)),) = client.execute_command("XREADGROUP", "GROUP", "desk", "ann", "STREAMS", KEYS.alerts, ">")
    assert client.execute_command("XAUTOCLAIM", KEYS.alerts, "desk", "bob", 0, "0")[1]
    assert client.execute_command("XACK", KEYS.alerts, "desk", first) == 1
    with cast("redis.Redis", client).pubsub() as follower:  # type: ignore[no-untyped-call]  # redis-py annotates no more
        follower.subscribe(KEYS.wake)
        follower.unsubscribe(KEYS.wake)
        assert follower.get_message(timeout=5.0)
        assert follower.get_message(timeout=5.0)
    client.execute_command("PING")
    login("henji-alerts", db=1).execute_command("PING")
    assert {name.replace("xgroup", "xgroup|create") if name == "xgroup" else name for name in used(redis_client)} == (
        allowed("henji-alerts")
    )
    for command in (
        "XADD risk:alerts * a 1",
        "XDEL risk:alerts 1-1",
        "XGROUP DESTROY risk:alerts desk",
        "HGETALL risk:meta",
    ):
        with pytest.raises(NoPermissionError):
            client.execute_command(*command.split())


def test_who_looks_at_models_can_do_so_and_has_no_command_to_spare(
    board: RedisLedger, login: Login, redis_server: EmbeddedRedis, redis_client: RedisClient, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    made = outcome([])
    figures = {"n": "1", "taken": "1", "learned": "1", "pending": "0", "erased": "0"}
    made.model_rows = {"churn_event": {**figures, "model": "blend", "version": "blend2", "number": "0"}}
    made.models = {f"event.watch.{name}": data for name, data in ModelWatch("event", 0).snapshot().items()}
    board.commit([made], position(2))
    client = login("henji-models")
    redis_client.execute_command("CONFIG", "RESETSTAT")
    url = redis_server.url.replace("unix://", f"unix://henji-models:{PASSWORD}@")
    assert main(["models", "list", "--redis", url, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["champions"] == {"blend": [0]}
    assert main(["models", "show", "churn_event", "--redis", url]) == 0
    assert main(["models", "export", "--redis", url, "--out", str(tmp_path / "models")]) == 0
    assert main(["models", "promote", "blend", "--redis", url, "--out", str(tmp_path / "orders")]) == 0
    client.execute_command("PING")
    login("henji-models", db=1).execute_command("PING")
    assert used(redis_client) == allowed("henji-models")
    for command in ("HGETALL henji:{0}:customers", "GET henji:{0}:lane", "HSET risk:model:churn_event n:0 5"):
        with pytest.raises(NoPermissionError):
            client.execute_command(*command.split())
    login("henji-reader")
    reader = redis_server.url.replace("unix://", f"unix://henji-reader:{PASSWORD}@")
    assert main(["models", "list", "--redis", reader]) == 2
    assert "henji:{0}:models: expected a Redis user who may do this" in capsys.readouterr().err


def test_a_user_who_may_not_ask_info_is_told_that_nothing_is_known(login: Login) -> None:
    client = login("henji-writer", without="info")
    ((level, code, message),) = ((each.level, each.code, each.message) for each in check_policy(client))
    assert (level, code) == ("warning", "info_refused")
    assert "+info" in message


def test_a_wrong_password_is_told_without_it(redis_server: EmbeddedRedis, login: Login) -> None:
    login("henji-writer")
    path = RedisAccess.parse(redis_server.url).path
    client = connect(RedisAccess(path=path, user="henji-writer", password="another"))
    with pytest.raises(UsageError, match="check user, password and ACL") as caught:
        check_policy(client)
    client.close()
    assert "another" not in str(caught.value)
