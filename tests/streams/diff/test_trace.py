"""After one changed event `henji diff` names that event; without one it finds nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UsageError
from streams.cli import main
from streams.diff.lockstep import Way
from streams.diff.trace import trace
from streams.kafka.embedded import EmbeddedBroker, find_broker
from streams.reader.log import open_log
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from streams.redis.keys import Keys
from streams.settings import load_settings
from streams.simulate import SimulationSettings, write_log
from tests.kafka.deployment import Deployment, write_topic

EVENTS = 700
Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log")
    settings = SimulationSettings(events=EVENTS, seed=5, disorder_share=0.05)
    write_log(settings, folder / "log.jsonl", folder / "truth.jsonl")
    return folder / "log.jsonl"


def way(**pairs: str) -> Way:
    given = load_settings(None, {}, [(key.replace("_", "."), value, "test") for key, value in pairs.items()])
    rules = given.rule_set()
    return Way(given.replayed(rules), rules, given.desk())


def place_of(lines: Lines) -> int:
    """A request in the middle of the log."""
    return next(place for place in range(len(lines) // 2, len(lines)) if lines[place]["kind"] == "request")


def category(lines: Lines, place: int) -> str:
    lines[place]["category"] = "something/else"
    return "changed"


def kind(lines: Lines, place: int) -> str:
    lines[place]["kind"] = "complaint"
    return "changed"


def time(lines: Lines, place: int) -> str:
    lines[place]["ts"] += 60_000
    return "changed"


def order(lines: Lines, place: int) -> str:
    event = lines.pop(place)
    event["ts"] = lines[place + 20]["ts"]
    lines.insert(place + 20, event)
    return "moved"


def removal(lines: Lines, place: int) -> str:
    del lines[place]
    return "removed"


def addition(lines: Lines, place: int) -> str:
    lines.insert(place, {**lines[place], "event_id": "extra", "category": "housing/repair"})
    return "added"


CHANGES = [category, kind, time, order, removal, addition]


def changed(log: Path, to: Path, change: Callable[[Lines, int], str]) -> tuple[str, str]:
    """Write the log with one change; what was done, and to which event."""
    lines: Lines = [json.loads(line) for line in log.read_bytes().splitlines()]
    place = place_of(lines)
    event_id = str(lines[place]["event_id"])
    done = change(lines, place)
    to.write_text("".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))
    return done, "extra" if done == "added" else event_id


def compact(log: Path, to: Path) -> Path:
    """The log as `changed` writes it."""
    changed(log, to, lambda _lines, _place: "")
    return to


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
def test_after_one_changed_event_that_event_is_named(
    log: Path, tmp_path: Path, change: Callable[[Lines, int], str]
) -> None:
    a, b = compact(log, tmp_path / "a.jsonl"), tmp_path / "b.jsonl"
    done, event_id = changed(log, b, change)
    found = trace(open_log([a]), open_log([b]), way(lanes="2"), way(lanes="2"))
    assert found.changes == {done: 1}
    told = found.told()
    assert told["cause"]["event_id"] == event_id
    assert told["cause"]["kind"] == done
    event = told["effect"]["a"] or told["effect"]["b"]
    assert event["event_id"] == event_id, "what it changes is seen at once"


def test_a_setting_has_no_cause_in_the_log_and_the_same_way_no_effect(log: Path) -> None:
    same = trace(open_log([log]), None, way(), way())
    assert (same.effect, same.cause, same.changes) == (None, None, {})
    found = trace(open_log([log]), None, way(), way(churn_horizon="10d"))
    assert found.effect is not None
    assert found.cause is None


def test_exchanges_are_replayed_between_the_same_events(log: Path, tmp_path: Path) -> None:
    b = tmp_path / "b.jsonl"
    _, event_id = changed(log, b, removal)
    a = compact(log, tmp_path / "a.jsonl")
    sharing = way(lanes="2", replay_share="5d")
    assert trace(open_log([a]), None, sharing, sharing).effect is None
    found = trace(open_log([a]), open_log([b]), sharing, sharing)
    assert found.told()["cause"]["event_id"] == event_id


def facts(capsys: pytest.CaptureFixture[str], code: int, *arguments: object) -> dict[str, Any]:
    assert main(["diff", *map(str, arguments), "--json"]) == code
    told: dict[str, Any] = json.loads(capsys.readouterr().out)
    return told


def test_a_board_and_its_files_differ_in_nothing_and_a_planted_flag_is_found(
    log: Path,
    tmp_path: Path,
    redis_server: EmbeddedRedis,
    redis_client: RedisClient,
    capsys: pytest.CaptureFixture[str],
) -> None:
    outputs = [f"--{part}={tmp_path / part}.jsonl" for part in ("board", "alerts", "predictions")]
    redis = ["--redis", redis_server.url]
    assert main(["replay", str(log), *redis, "--run", "one", "--json", *outputs]) == 0
    capsys.readouterr()
    told = facts(capsys, 0, "replay:one:", tmp_path, *redis)
    assert told["compared"] == ["board", "alerts"]
    assert told["alerts"]["a"] == told["alerts"]["b"] > 0
    assert told["customers"]["a"] == told["customers"]["b"] > 0
    assert facts(capsys, 0, "replay:one:", "--log", log, *redis)["equal"]
    who = json.loads((tmp_path / "board.jsonl").read_bytes().splitlines()[0])["customer_id"]
    redis_client.execute_command(
        "HSET", Keys.replay("one").part("flags", who), "sensitive", '[5,null,1,"high","00ff00ff00ff00ff"]'
    )
    told = facts(capsys, 1, "replay:one:", tmp_path, *redis)
    assert told["flags"] == {"sensitive": {"leave": 1}}
    assert told["details"]["customers"][0]["customer_id"] == who


def test_an_alert_stream_that_was_cut_is_compared_from_there_on(
    log: Path,
    tmp_path: Path,
    redis_server: EmbeddedRedis,
    redis_client: RedisClient,
    capsys: pytest.CaptureFixture[str],
) -> None:
    redis = ["--redis", redis_server.url, "--lanes", "1"]
    alerts = tmp_path / "alerts.jsonl"
    assert main(["replay", str(log), *redis, "--run", "cut", "--json", f"--alerts={alerts}"]) == 0
    capsys.readouterr()
    n = len(alerts.read_bytes().splitlines())
    redis_client.execute_command("XTRIM", Keys.replay("cut").alerts, "MAXLEN", n // 2)
    told = facts(capsys, 0, "replay:cut:", tmp_path, *redis[:2])
    assert told["alerts"]["not_compared"] >= n - n // 2


def test_logs_are_replayed_and_told_in_both_languages(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = compact(log, tmp_path / "a.jsonl"), tmp_path / "b.jsonl"
    _, event_id = changed(log, b, removal)
    for lang, said in (("en", f"cause: event {event_id}"), ("zh", f"的事件 {event_id} 被删除")):
        assert main(["diff", "--log-a", str(a), "--log-b", str(b), "--lang", lang, "--limit", "2"]) == 1
        assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "expected two runs"),
        (["one"], "expected two runs"),
        (["nowhere", "nowhere"], "expected a folder"),
        (["risk:", "replay:x:"], "--redis"),
        (["--log-a", "x.jsonl"], "--log-b"),
        (["--log", "x.jsonl", "--log-a", "x.jsonl"], "one or the other"),
    ],
)
def test_wrong_use_is_exit_code_2(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["diff", *arguments]) == 2
    assert said in capsys.readouterr().err


def embedded_broker() -> EmbeddedBroker:
    """A broker; a machine without a binary skips, but the gates must not."""
    try:
        return EmbeddedBroker(binary=find_broker())
    except UsageError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


@pytest.mark.slow
def test_a_live_run_and_its_replay_differ_in_nothing(
    log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        embedded_broker() as broker,
        Deployment(tmp_path, broker.brokers, "events", name="diff", settings={"kafka.partitions": "2"}) as deployment,
    ):
        deployment.start_worker()
        deployment.wait_until_read(write_topic(deployment.settings, log))
        deployment.stop_workers()
        told = facts(capsys, 0, "risk:", "--log", log, "--redis", deployment.redis.url)
        assert told["alerts"]["a"] == told["alerts"]["b"] > 0
        b = tmp_path / "b.jsonl"
        _, event_id = changed(log, b, kind)
        told = facts(capsys, 1, "risk:", "--log-a", log, "--log-b", b, "--redis", deployment.redis.url)
        assert told["log"]["cause"]["event_id"] == event_id
