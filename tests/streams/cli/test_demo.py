"""`henji demo`: what is played live is what a replay says, and Ctrl-C leaves nothing behind."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UsageError
from streams.cli import demo, main
from streams.cli.live_view import alert_text, status_text
from streams.demo.performance import Status
from streams.redis.views import AlertView
from streams.simulate import SimulationSettings, write_log

AWKWARD = [
    b'{"event_id":"a1","customer_id":"\xe5\xad\xa6\xe7\x94\x9f-1","ts":1000000000000,"kind":"request","category":"a/b"}',
    b"",
    b"not json",
    b'{"event_id":"a2","customer_id":"\xe5\xad\xa6\xe7\x94\x9f-1","ts":1000000100000,"kind":"request","category":"a/b"}',
    b'{"event_id":"a1","customer_id":"\xe5\xad\xa6\xe7\x94\x9f-1","ts":1000000000000,"kind":"request","category":"a/b"}',
    b'{"event_id":"k1","ts":1000000000001,"kind":"request","category":"a/b"}',
    b"   ",
    b'{"event_id":"t1","ts":1000000600000,"kind":"tick","lane":1,"lanes":4}',
    b'{"event_id":"t2","ts":1000000600000,"kind":"tick","lane":5,"lanes":7}',
    b'{"event_id":"f1","customer_id":"c9","ts":4000000000000,"kind":"view"}',
    b'{"event_id":"f2","customer_id":"c9","ts":4000000000000,"kind":"view","record_ts":1000}',
    b'{"event_id":"f3","customer_id":"c8","ts":3000000000000,"kind":"view","record_ts":18446744073709551615}',
    b'{"event_id":"l1","customer_id":"c9","ts":1000,"kind":"view"}',
    b'{"event_id":"s1","customer_id":" ","ts":1000,"kind":"view"}',
    b'{"event_id":"n1","customer_id":7,"ts":1000,"kind":"view"}',
    b"[1]",
    b"\xff\xfe",
    b'{"long":"' + b"x" * 70_000 + b'"}',
]
MAPPING = '[fields]\nno = "event_id"\nwho = "customer_id"\nat = "ts"\nwhat = "kind"\n[kinds]\nlook = "view"\n'
PATIENCE_S = 60.0
NOT_COMPARED = {"run", "prefix", "resumed_at", "seconds", "events_per_second", "stages"}


def facts_of(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> dict[str, Any]:
    assert main([str(word) for word in arguments]) == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts


def rough_log(folder: Path) -> tuple[Path, list[str]]:
    log = folder / "rough.jsonl.gz"
    settings = SimulationSettings(
        events=3_000, seed=7, disorder_share=0.05, late_share=0.02, duplicate_share=0.02, bad_share=0.02
    )
    write_log(settings, log, folder / "truth.jsonl")
    return log, ["--lanes", "8", "--lateness", "2h"]


def awkward_log(folder: Path) -> tuple[Path, list[str]]:
    """More lanes than customers, so that partitions stay empty, and more dead records than a fuse would stand."""
    log = folder / "awkward.jsonl"
    log.write_bytes(b"\n".join(AWKWARD + [b"no event"] * 1_100))
    return log, ["--lanes", "4"]


def mapped_log(folder: Path) -> tuple[Path, list[str]]:
    log, mapping = folder / "shop.csv", folder / "shop.toml"
    mapping.write_text(MAPPING)
    rows = [f"e{n},客户{n % 5},{1_700_000_000_000 + n * 3_600_000},{('look', 'session')[n % 2]}" for n in range(200)]
    log.write_text("\n".join(["no,who,at,what", *rows]) + "\n")
    return log, ["--lanes", "3", "--map", str(mapping), "--set", "churn.horizon=20d"]


@pytest.mark.parametrize("make", [rough_log, awkward_log, mapped_log])
def test_a_log_played_live_comes_to_what_its_replay_says(
    make: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log, options = make(tmp_path)
    out = {name: tmp_path / name for name in ("alerts", "live.alerts", "board", "live.board")}
    replayed = facts_of(capsys, "replay", log, *options, "--alerts", out["alerts"], "--board", out["board"], "--json")
    played = facts_of(
        *(capsys, "demo", "--once", "--log", log, *options),
        *("--alerts", out["live.alerts"], "--board", out["live.board"], "--json"),
    )
    assert list(played) == list(replayed)
    assert {k: v for k, v in played.items() if k not in NOT_COMPARED} == {
        k: v for k, v in replayed.items() if k not in NOT_COMPARED
    }
    assert played["read"] == sum(played[k] for k in ("applied", "duplicate", "late", "dead")) > 0
    assert out["live.board"].read_bytes() == out["board"].read_bytes()
    # Lane by lane the order is the same; between lanes there is none.
    assert sorted(out["live.alerts"].read_bytes().splitlines()) == sorted(out["alerts"].read_bytes().splitlines())


def children_of(pid: int) -> set[int]:
    """Process ids of everything that a process started, and of what that started."""
    listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], check=True, capture_output=True, text=True).stdout
    parents = {int(child): int(parent) for child, parent in (line.split() for line in listed.splitlines())}
    found: set[int] = set()
    while more := {child for child, parent in parents.items() if parent in found | {pid}} - found:
        found |= more
    return found


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def read_until(process: subprocess.Popen[bytes], word: bytes) -> bytes:
    assert process.stdout is not None
    told, deadline = b"", time.monotonic() + PATIENCE_S
    while word not in told:
        assert time.monotonic() < deadline, told.decode()
        if select.select([process.stdout], [], [], 0.1)[0]:
            chunk = os.read(process.stdout.fileno(), 65_536)
            assert chunk, told.decode()
            told += chunk
    return told


def start_demo(*options: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "streams.cli", "demo", "--lang", "en", *options],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        process_group=0,
    )


def test_ctrl_c_shows_the_end_and_leaves_no_process(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    with start_demo("--events", "2000", "--speed", "4d", "--dir", str(folder)) as process:
        try:
            told = read_until(process, b"  raised  ")
            children = children_of(process.pid)
            os.killpg(process.pid, signal.SIGINT)
            rest, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    text = (told + rest).decode()
    assert process.returncode == 0, text
    assert "Traceback" not in text + (folder / "worker.log").read_text()
    for word in ("most at risk", "newest alerts", "records read", f"data: {folder}"):
        assert word in text
    # The broker, Redis and the worker at least.
    assert len(children) >= 3
    assert [pid for pid in children if alive(pid)] == []


def test_ctrl_c_before_the_first_event_is_an_end_too() -> None:
    with start_demo("--events", "1000") as process:
        try:
            told = read_until(process, b"starting")
            os.killpg(process.pid, signal.SIGINT)
            rest, _ = process.communicate(timeout=PATIENCE_S)
        finally:
            process.kill()
    assert process.returncode == 0, (told + rest).decode()
    assert b"Traceback" not in told + rest


def test_without_a_broker_the_log_is_replayed_and_a_message_says_so(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def none() -> Path:
        raise UsageError("embedded broker: expected one, got none")

    monkeypatch.setattr(demo, "find_broker", none)
    assert main(["demo", "--events", "500", "--json"]) == 0
    told = capsys.readouterr()
    assert "replayed" in told.err
    assert json.loads(told.out)["summary"]["read"] > 0
    assert main(["demo", "--once", "--json"]) == 2


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--log", "x.jsonl"], "--log"),
        (["--alerts", "x.jsonl"], "--alerts"),
        (["--once", "--speed", "2d"], "--speed"),
        (["--speed", "0d"], "--speed"),
        (["--speed", "fast"], "--speed"),
        (["--once", "--log", "x.jsonl", "--board", "x.jsonl"], "--board"),
        (["--once", "--lanes", "0"], "lanes"),
        (["--once", "--log", "missing.jsonl"], "missing.jsonl"),
        (["--dir", "."], "--dir"),
    ],
)
def test_wrong_use_is_refused_before_anything_is_started(
    options: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "something").touch()
    assert main(["demo", *options]) == 2
    assert named in capsys.readouterr().err


def test_alerts_and_status_speak_both_languages() -> None:
    line = {"at": 0, "op": "raise", "flag": "repeat_request", "customer_id": "客户1", "category": None,
            "severity": "burst", "evidence": ["e1", "e2"]}  # fmt: skip
    alert = AlertView("1-0", "a", 1, 0, 1, "desk", [], line)
    assert "raised" in alert_text(alert, "en")
    assert "触发" in alert_text(alert, "zh")
    status = Status(at=None, read=5, per_second=1.0, n_up=2, lag=3, freshness="fresh")
    assert status_text(status, "en").endswith("flags up 2 | lag 3 | input fresh")
    assert status_text(status, "zh").endswith("输入 实时")
