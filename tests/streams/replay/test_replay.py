"""A replay gives the same answers whatever happens on the way."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from time import monotonic
from typing import Any

import pytest

from engine.decode import decode
from engine.errors import LogMismatch
from engine.lane import Lane
from engine.rules import RuleSet
from engine.settings import ResultSettings
from streams.cli.replay import run_replay
from streams.ledger import Binding
from streams.memory_ledger import MemoryLedger, MemoryStore
from streams.reader.log import open_log
from streams.reader.record import Record
from streams.redis.embedded import EmbeddedRedis
from streams.redis.verify import verify
from streams.replay.outputs import Outputs
from streams.replay.run import Replay
from streams.simulate import SimulationSettings, write_log

FILES = ("alerts", "predictions", "dead", "late", "board")
RULES = RuleSet.default()
SETTINGS = ResultSettings(lanes=3, rules=RULES.version)


@pytest.fixture(scope="session")
def rough_log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 2,000 events: some out of order, late, twice or broken."""
    place = tmp_path_factory.mktemp("logs")
    settings = SimulationSettings(
        customers=25, events=2_000, disorder_share=0.02, late_share=0.01, duplicate_share=0.01, bad_share=0.01
    )
    write_log(settings, place / "rough.jsonl", place / "truth.jsonl")
    return place / "rough.jsonl"


def replay(log: Path, out: Path, **options: Any) -> tuple[dict[str, Any], dict[str, bytes]]:
    """Run a replay in this process; its summary and the bytes of all its files."""
    out.mkdir(parents=True, exist_ok=True)
    batch = options.pop("batch", 500)
    growing = {name: out / name for name in FILES if name != "board"}
    settings = options.pop("settings", SETTINGS)
    options = {"url": "none", "quiet": True, **options}
    _, facts = run_replay(
        open_log([log], batch_size=batch), settings, RULES, outputs=growing, board=out / "board", **options
    )
    return facts, {name: (out / name).read_bytes() for name in FILES}


@pytest.fixture(scope="session")
def reference(rough_log: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, bytes]]:
    return replay(rough_log, tmp_path_factory.mktemp("reference"))


def test_read_is_applied_duplicate_late_and_dead(
    rough_log: Path, reference: tuple[dict[str, Any], dict[str, bytes]]
) -> None:
    facts, files = reference
    assert facts["read"] == len(rough_log.read_bytes().splitlines())
    assert facts["read"] == sum(facts[name] for name in ("applied", "duplicate", "late", "dead"))
    assert all(facts[name] > 0 for name in ("applied", "duplicate", "late", "dead"))
    assert len(files["dead"].splitlines()) == facts["dead"]
    assert len(files["late"].splitlines()) == facts["late"]
    assert len(files["alerts"].splitlines()) == facts["alerts"]
    assert len(files["board"].splitlines()) == facts["customers"]


@pytest.mark.parametrize("batch", [1, 7, 100_000])
def test_answers_do_not_depend_on_the_size_of_batches(
    rough_log: Path, reference: tuple[dict[str, Any], dict[str, bytes]], tmp_path: Path, batch: int
) -> None:
    facts, files = replay(rough_log, tmp_path, batch=batch)
    assert facts["digest"] == reference[0]["digest"]
    assert files == reference[1]


def test_saving_and_loading_everything_after_every_event_changes_nothing(
    rough_log: Path, reference: tuple[dict[str, Any], dict[str, bytes]], tmp_path: Path
) -> None:
    facts, files = replay(rough_log, tmp_path, batch=1, reload_each=True)
    assert facts["digest"] == reference[0]["digest"]
    assert files == reference[1]


@pytest.mark.parametrize("seed", ["0", "1", "4242"])
def test_answers_do_not_depend_on_the_hash_seed(
    rough_log: Path, reference: tuple[dict[str, Any], dict[str, bytes]], seed: str
) -> None:
    command = [sys.executable, "-m", "streams.cli", "replay", str(rough_log), "--lanes", "3", "--digest"]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True, timeout=300
    )
    assert done.stdout.strip() == reference[0]["digest"]


def test_the_digest_changes_with_one_field_of_one_event(
    rough_log: Path, reference: tuple[dict[str, Any], dict[str, bytes]], tmp_path: Path
) -> None:
    alerts = [json.loads(line) for line in reference[1]["alerts"].splitlines()]
    alert = next(a for a in alerts if a["flag"] == "repeat_request")
    evidence = f'"{alert["evidence"][0]}"'.encode()
    lines = rough_log.read_bytes().splitlines()
    place = next(i for i, line in enumerate(lines) if evidence in line and b'"kind":"request"' in line)
    event = json.loads(lines[place])
    event["category"] = "another/service"
    lines[place] = json.dumps(event).encode()
    changed = tmp_path / "changed.jsonl"
    changed.write_bytes(b"\n".join(lines) + b"\n")
    facts, _ = replay(changed, tmp_path / "out")
    assert facts["digest"] != reference[0]["digest"]


def test_a_replay_into_redis_gives_the_same_answers_and_a_board_without_faults(
    rough_log: Path, reference: tuple[dict[str, Any], dict[str, bytes]], tmp_path: Path
) -> None:
    with EmbeddedRedis() as server:
        facts, files = replay(rough_log, tmp_path, url=server.url, batch=200)
        client = server.client()
        try:
            assert verify(client, facts["prefix"]) == []
            assert int(client.execute_command("XLEN", f"{facts['prefix']}alerts")) == facts["alerts"]
        finally:
            client.close()
    assert facts["digest"] == reference[0]["digest"]
    assert files == reference[1]


def test_a_run_that_is_killed_again_and_again_ends_as_if_it_never_was(
    rough_log: Path, reference: tuple[dict[str, Any], dict[str, bytes]], tmp_path: Path
) -> None:
    options = [arg for name in FILES for arg in (f"--{name}", str(tmp_path / name))]
    predictions = tmp_path / "predictions"
    total = len(reference[1]["predictions"])
    kills = 0
    deadline = monotonic() + 240
    with EmbeddedRedis(port=0) as server:
        command = [sys.executable, "-m", "streams.cli", "replay", str(rough_log), "--lanes", "3", "--batch", "50",
                   "--redis", server.url, "--run", "killed", "--json", *options]  # fmt: skip
        while monotonic() < deadline:
            before = predictions.stat().st_size if predictions.exists() else 0
            goal = before + total // 4 if kills < 3 else total * 2
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
            while process.poll() is None and (not predictions.exists() or predictions.stat().st_size < goal):
                try:
                    process.wait(0.002)
                except subprocess.TimeoutExpired:
                    continue
            if process.poll() is not None:
                out, _ = process.communicate()
                break
            process.kill()
            process.communicate()
            kills += 1
        facts = json.loads(out)
    assert kills == 3
    assert facts["resumed_at"] > 0
    assert facts["digest"] == reference[0]["digest"]
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == reference[1]


class _Stop(Exception):
    """The process dies here."""


def _start(store: MemoryStore, outputs: Outputs) -> Replay:
    ledger = MemoryLedger(Binding.of("replay", 0, lanes=SETTINGS.lanes), store)
    return Replay(SETTINGS, RULES, ledger, outputs)


def test_a_run_goes_on_from_the_ledger_and_cuts_its_files_back(
    rough_log: Path, reference: tuple[dict[str, Any], dict[str, bytes]], tmp_path: Path
) -> None:
    paths = {name: tmp_path / name for name in FILES if name != "board"}
    store = MemoryStore()

    def die(n_read: int) -> None:
        if n_read >= 1_000:
            raise _Stop

    first = _start(store, Outputs(paths))
    with pytest.raises(_Stop):
        first.run(open_log([rough_log], batch_size=100), "log", die)
    first.outputs.write("alerts", [b"a line that no transaction covers"])
    first.outputs.close()
    second = _start(store, Outputs(paths))
    second.run(open_log([rough_log], batch_size=333), "log")
    second.outputs.close()
    assert second.resumed_at == 1_000
    assert second.standing().digest == reference[0]["digest"]
    assert {name: path.read_bytes() for name, path in paths.items()} == {n: reference[1][n] for n in paths}


@pytest.mark.parametrize("change", ["shorter", "other"])
def test_another_log_than_the_one_applied_is_refused(rough_log: Path, tmp_path: Path, change: str) -> None:
    store = MemoryStore()

    def die(n_read: int) -> None:
        if n_read >= 500:
            raise _Stop

    with pytest.raises(_Stop):
        _start(store, Outputs({})).run(open_log([rough_log], batch_size=100), "log", die)
    lines = rough_log.read_bytes().splitlines()
    other = tmp_path / "other.jsonl"
    other.write_bytes(b"\n".join(lines[:300] if change == "shorter" else lines[1:]) + b"\n")
    with pytest.raises(LogMismatch, match="--fresh"):
        _start(store, Outputs({})).run(open_log([other]), "log")


def test_an_event_that_the_engine_fails_on_is_dead_and_the_others_are_applied(
    rough_log: Path, reference: tuple[dict[str, Any], dict[str, bytes]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raws = [line for line in rough_log.read_bytes().splitlines() if b'"kind":"session"' in line]
    culprit = decode(raws[len(raws) // 2])
    real = Lane._apply

    def failing(lane: Lane, memory: Any, event: Any) -> None:
        if event.event_id == culprit.event_id and event.customer_id == culprit.customer_id:
            raise ZeroDivisionError("a bug")
        real(lane, memory, event)

    monkeypatch.setattr(Lane, "_apply", failing)
    facts, files = replay(rough_log, tmp_path / "with")
    monkeypatch.undo()
    letters = [json.loads(line) for line in files["dead"].splitlines()]
    assert [decode(x["raw"].encode()).event_id for x in letters if x["reason"] == "engine"] == [culprit.event_id]
    without = tmp_path / "without.jsonl"
    kept = [line for line in rough_log.read_bytes().splitlines() if f'"{culprit.event_id}"'.encode() not in line]
    without.write_bytes(b"\n".join(kept) + b"\n")
    other, other_files = replay(without, tmp_path / "out")
    assert files["alerts"] == other_files["alerts"]
    assert files["board"] == other_files["board"]
    assert facts["applied"] == other["applied"]


def test_dead_letters_keep_the_raw_bytes_the_reason_and_the_place(tmp_path: Path) -> None:
    log = tmp_path / "bad.jsonl"
    log.write_bytes(b'{"event_id":"e1"}\n\xff\xfe\n{"event_id":"e1","customer_id":"c","ts":1,"kind":"view"}\n')
    facts, files = replay(log, tmp_path / "out")
    letters = [json.loads(line) for line in files["dead"].splitlines()]
    assert facts["dead"] == 2
    assert [x["position"] for x in letters] == [1, 2]
    assert letters[0]["raw"] == '{"event_id":"e1"}'
    assert "raw_base64" in letters[1]
    assert all(x["reason"] and x["message"] and x["source"].endswith("bad.jsonl") for x in letters)


def test_a_record_time_decides_what_lies_in_the_future(tmp_path: Path) -> None:
    """An export carries the time of each Kafka record; the event time may be 5 min ahead of it, no more."""
    event = {"event_id": "e1", "customer_id": "c", "ts": 1_700_000_300_000, "kind": "view"}
    near = {**event, "record_ts": 1_700_000_000_000}
    far = {**event, "event_id": "e2", "record_ts": 1_699_999_999_999}
    log = tmp_path / "log.jsonl"
    log.write_text(json.dumps(near) + "\n" + json.dumps(far) + "\n")
    facts, files = replay(log, tmp_path / "out")
    assert (facts["applied"], facts["dead"]) == (1, 1)
    assert json.loads(files["dead"])["reason"] == "future"


def test_the_order_of_output_over_lanes_is_that_of_the_log(tmp_path: Path) -> None:
    """Alerts and predictions of several lanes come in the order of the records that caused them."""
    events = [
        json.dumps({"event_id": f"e{i}", "customer_id": f"c{i % 7}", "ts": i, "kind": "view"}).encode()
        for i in range(50)
    ]
    run = _start(MemoryStore(), Outputs({"predictions": tmp_path / "predictions"}))
    run.run([[Record(raw, "log", i + 1) for i, raw in enumerate(events)]], "log")
    run.outputs.close()
    made = [json.loads(line)["event_id"] for line in (tmp_path / "predictions").read_bytes().splitlines()]
    assert made == [f"e{i}" for i in range(50)]
