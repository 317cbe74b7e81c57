"""`henji alerts`: the queue as people read it, alerts as they come, words on the way to the intake."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest

from engine.decode import decode
from streams.child_process import free_port
from streams.cli import main
from streams.cli.customer import customer_facts
from streams.intake.outlet import Outlet
from streams.intake.server import IntakeServer
from streams.intake.tokens import TokenFile
from streams.kafka.connection import Connection
from streams.redis.board import RiskBoard
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from tests.contract.make import FOLDER, load
from tests.streams.client.streams import sent
from tests.streams.intake.fake_producer import FakeProducer

KEYS: dict[str, Any] = orjson.loads((FOLDER / "board.json").read_bytes())["keys"]
SENSITIVE = next(
    key.rpartition(":")[2]
    for key, each in KEYS.items()
    if key.startswith("risk:alert:") and each["value"].get("flag") == "sensitive"
)
PLAIN, CONTROL = "p" * 32, "c" * 32
PATIENCE_S = 20.0


@pytest.fixture
def url(redis_server: EmbeddedRedis, redis_client: RedisClient) -> str:
    load(redis_client, KEYS)
    return redis_server.url


def told(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert main(["alerts", *arguments]) == code
    out, err = capsys.readouterr()
    return out if code == 0 else err


# -- the queue -----------------------------------------------------------------------------------------------------


def test_the_queue_is_listed_in_its_order(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.loads(line) for line in told(capsys, "--redis", url, "--json").splitlines()]
    assert [row["standing"] for row in rows] == ["waiting"] * 5 + ["acked", "snoozed"]
    assert rows[0]["lifted"] == 1
    assert rows[-1]["snooze_reason"] == "备件已订"


def test_the_queue_is_read_by_people(
    url: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    shown = told(capsys, "--redis", url, "--lang", "en")
    assert "open alerts 7 of 7" in shown
    assert "anna  repeated_complaint network" in shown
    assert "→ team:network" in shown
    assert "acknowledged 2025-10-14 16:00 by ben" in shown
    assert "snoozed until 2025-10-15 16:00 by mia: 备件已订" in shown
    chinese = told(capsys, "--redis", url, "--lang", "zh")
    assert "待处理告警" in chinese
    assert "暂停提醒至" in chinese


@pytest.mark.parametrize(
    ("options", "customers"),
    [
        (["--held"], ["cy"]),
        (["--flag", "unresolved"], ["anna", "cy"]),
        (["--route", "owner:mia"], ["anna", "anna"]),
        (["--limit", "1"], ["anna"]),
        (["--flag", "no_such"], []),
    ],
)
def test_the_queue_can_be_narrowed(
    url: str, options: list[str], customers: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    lines = told(capsys, "--redis", url, "--json", *options).splitlines()
    assert [json.loads(line)["customer_id"] for line in lines] == customers


def test_what_an_event_says_does_not_move_the_cursor(
    url: str, redis_client: RedisClient, capsys: pytest.CaptureFixture[str]
) -> None:
    redis_client.execute_command(
        "HSET", f"risk:alert:{SENSITIVE}", "category", "a\x1b[2Jb\n[bold]c", "acked_by", "\x07x"
    )
    for command in (["alerts"], ["alerts", "--held"], ["customer", "anna"], ["customer", "cy"]):
        assert main([*command, "--redis", url]) == 0
        shown = capsys.readouterr().out
        assert "\x1b[2J" not in shown
        assert "\x07" not in shown


def test_a_redis_is_needed(capsys: pytest.CaptureFixture[str]) -> None:
    assert "expected the URL of a Redis" in told(capsys, "--redis", "none", code=2)


# -- a customer ----------------------------------------------------------------------------------------------------


def test_a_customer_shows_alerts_guidance_scene_and_history(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["customer", "anna", "--redis", url, "--lang", "en"]) == 0
    shown = capsys.readouterr().out
    assert "open alerts" in shown
    assert "say: Name the earlier complaints yourself." in shown
    assert "avoid: No promotions." in shown
    assert "not useful by mia" in shown
    assert "▶ complaint  network/wifi" in shown
    assert "◀ handling" in shown
    assert "2025-10-09 … 2025-10-13" in shown
    assert "0.50 → 0.08  churn" in shown
    assert main(["customer", "anna", "--redis", url, "--lang", "zh"]) == 0
    assert "可以说： 主动提起之前的投诉。" in capsys.readouterr().out


def test_a_customer_as_json_is_complete(
    url: str, redis_client: RedisClient, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["customer", "anna", "--redis", url, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [alert["flag"] for alert in facts["alerts"]] == [
        "repeated_complaint",
        "sensitive",
        "unanswered",
        "unresolved",
    ]
    assert facts["alerts"][1]["guidance_text"]["say"]["zh"] == "主动提起之前的投诉。"
    assert [entry["kind"] for entry in facts["scene"]] == ["complaint", "handling", "complaint"]
    assert facts == json.loads(orjson.dumps(customer_facts(RiskBoard(redis_client), "anna")))


# -- what people say -----------------------------------------------------------------------------------------------


@contextmanager
def an_intake(tmp_path: Path) -> Iterator[tuple[str, FakeProducer]]:
    """A real intake in a thread, on a Kafka that takes everything."""
    kafka, started, ended = FakeProducer(), threading.Event(), asyncio.Event()
    (tmp_path / "tokens").write_text(f"shop:{PLAIN}\ndesk:control:{CONTROL}\n")
    found: list[Any] = []

    async def start(_connection: Connection) -> Any:
        return kafka

    async def serve() -> None:
        outlet = Outlet(Connection(("nowhere:1",)), "events", most_bytes=100_000, ack_s=5.0, start=start)
        server = IntakeServer("127.0.0.1:0", outlet, TokenFile(tmp_path / "tokens", "test"), max_bytes=20_000)
        await outlet.start()
        await server.start()
        found.extend((server.url, asyncio.get_running_loop()))
        started.set()
        await ended.wait()
        await server.stop()
        await outlet.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert started.wait(PATIENCE_S)
        yield found[0], kafka
    finally:
        found[1].call_soon_threadsafe(ended.set)
        thread.join(PATIENCE_S)


def test_words_reach_the_intake_as_control_events(url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "control").write_text(f"desk:control:{CONTROL}\n")
    with an_intake(tmp_path) as (intake, kafka):
        common = [
            "--redis",
            url,
            "--intake",
            intake,
            "--token-file",
            str(tmp_path / "control"),
            "--by",
            "ann",
            "--json",
        ]
        said = [
            json.loads(told(capsys, *words, *common))
            for words in (
                ["ack", SENSITIVE],
                ["ack", SENSITIVE, "--down"],
                ["snooze", SENSITIVE, "2d", "--reason", "备件已订"],
                ["snooze", SENSITIVE, "--down"],
                ["outcome", SENSITIVE, "not_useful"],
                ["outcome", SENSITIVE, "--down"],
            )
        ]
    assert [json.loads(record.value) for record in kafka.sent] == said
    customer = KEYS[f"risk:alert:{SENSITIVE}"]["value"]["customer_id"]
    assert {(each["ref"], each["by"], each["customer_id"]) for each in said} == {(SENSITIVE, "ann", customer)}
    assert len({each["event_id"] for each in said}) == len(said)
    read = [decode(record.value, record_ts=said[-1]["ts"]) for record in kafka.sent]
    assert [(each.kind, each.state, each.outcome) for each in read] == [
        ("ack", None, None),
        ("ack", "down", None),
        ("snooze", None, None),
        ("snooze", "down", None),
        ("ack", None, "not_useful"),
        ("ack", "down", "useful"),
    ]
    assert (read[2].until or 0) - read[2].ts == 2 * 86_400_000
    assert said[2]["reason"] == "备件已订"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ack", "0" * 16], "one that the board does not know"),
        (["ack", SENSITIVE, "--token-file", "plain"], "expected a control token of the intake, got 403"),
        (["ack", SENSITIVE, "--token-file", "none"], "expected a readable file with one token"),
        (["snooze", SENSITIVE, "4h"], "expected TIME and --reason TEXT"),
        (["snooze", SENSITIVE, "181d", "--reason", "x"], "expected at most 180d"),
        (["snooze", SENSITIVE, "soon", "--reason", "x"], "expected a duration"),
        (["outcome", SENSITIVE], "expected useful or not_useful"),
        (["ack", SENSITIVE, "--intake", "ftp://x"], "expected http(s)://HOST:PORT"),
    ],
)
def test_what_cannot_be_said_is_refused_and_sends_nothing(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words: list[str],
    message: str,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    (tmp_path / "plain").write_text(PLAIN)
    (tmp_path / "control").write_text(CONTROL)
    with an_intake(tmp_path) as (intake, kafka):
        common = ["--redis", url, "--intake", intake, "--token-file", "control", "--by", "ann"]
        code = main(["alerts", words[0], *common, *words[1:]])
        assert (code in (1, 2), message in capsys.readouterr().err, kafka.sent) == (True, True, [])


def test_an_intake_that_is_away_may_be_asked_again(url: str, capsys: pytest.CaptureFixture[str]) -> None:
    where = f"http://127.0.0.1:{free_port()}"
    said = told(capsys, "ack", SENSITIVE, "--redis", url, "--by", "ann", "--intake", where, code=1)
    assert "is it running? Try again" in said


# -- as they come --------------------------------------------------------------------------------------------------


class Follower:
    """`henji alerts --follow` as a process of its own."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self._out, self._err = folder / "out", folder / "err"
        command = [sys.executable, "-m", "streams.cli", "alerts", *arguments]
        with self._out.open("wb") as out, self._err.open("wb") as err:
            self._process = subprocess.Popen(command, stdout=out, stderr=err)
        self.await_text("following", self._err)

    def await_text(self, text: str, where: Path | None = None) -> str:
        deadline = time.monotonic() + PATIENCE_S
        while text not in (said := (where or self._out).read_text("utf-8")):
            assert self._process.poll() is None, self._err.read_text("utf-8")
            assert time.monotonic() < deadline, said
            time.sleep(0.01)
        return said

    def await_error(self, text: str) -> None:
        self.await_text(text, self._err)

    def interrupt(self) -> int:
        self._process.send_signal(signal.SIGINT)
        return self._process.wait(PATIENCE_S)

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


def test_alerts_are_followed_over_a_restart_of_redis(tmp_path: Path) -> None:
    with EmbeddedRedis() as server:
        client = server.client()
        load(client, KEYS)
        follower = Follower(tmp_path, "--redis", server.url, "--follow", "--json", "--lang", "en")
        try:
            sent(client, ("a", "raise"))
            sent(client, ("b", "raise"), held="snoozed")
            follower.await_text("a" * 16)
            server.kill()
            follower.await_error("Redis does not answer")
            server.start()
            follower.await_error("Redis is back")
            fact = {**KEYS["risk:facts"]["value"][0][1], "seq": "99"}
            client.execute_command("XADD", "risk:facts", "*", *(part for pair in fact.items() for part in pair))
            sent(client, ("c", "clear"))
            said = [json.loads(line) for line in follower.await_text("c" * 16).splitlines()]
            assert follower.interrupt() == 0
        finally:
            follower.end()
            client.close()
    assert [each["alert_id"][0] for each in said if each["type"] == "alert"] == ["a", "c"]
    assert [(each["fact"], each["by"]) for each in said if each["type"] == "fact"] == [("ack", "ben")]
    assert said[0]["line"]["op"] == "raise"


def test_a_group_goes_on_where_it_was(url: str, redis_client: RedisClient, tmp_path: Path) -> None:
    arguments = ["--redis", url, "--group", "screen", "--lang", "en"]
    for letter in "ab":
        follower = Follower(tmp_path, *arguments)
        try:
            if letter == "a":
                sent(redis_client, ("a", "raise"))
            follower.await_text(letter * 16)
            assert follower.interrupt() == 0
        finally:
            follower.end()
        sent(redis_client, ("b", "raise"))
    shown = (tmp_path / "out").read_text("utf-8")
    assert "a" * 16 not in shown
    assert "raised 3  c1  repeat_request billing  burst  ×2" in shown
