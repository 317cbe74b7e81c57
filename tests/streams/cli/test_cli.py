"""The program as a user meets it: outputs, messages, exit codes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from streams.cli import main
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis

DAY = 86_400_000
T0 = 1_700_000_000_000


def event(number: int, ts: int, **fields: Any) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "customer_id": "anna",
        "ts": ts,
        "kind": "request",
        "category": "billing",
        **fields,
    }


def write(path: Path, events: list[dict[str, Any]]) -> Path:
    text = "".join(json.dumps(e) + "\n" for e in events)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


@pytest.fixture
def three_requests(tmp_path: Path) -> Path:
    return write(tmp_path / "log.jsonl.gz", [event(i, T0 + i * DAY // 2) for i in range(3)])


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_bytes().splitlines()]


def test_replay_writes_the_public_formats(
    three_requests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outs = {name: tmp_path / f"{name}.jsonl" for name in ("alerts", "board", "predictions")}
    options = [x for name, path in outs.items() for x in (f"--{name}", str(path))]
    assert main(["replay", str(three_requests), "--lanes", "1", "--json", *options]) == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["read"] == summary["applied"] == 3
    assert summary["raises"]["repeat_request"] == 1
    assert len(summary["digest"]) == 64
    alerts = lines(outs["alerts"])
    assert list(alerts[0]) == ["alert_id", "op", "flag", "customer_id", "category", "at", "since", "until", "count",
                               "severity", "evidence", "scores", "reasons"]  # fmt: skip
    assert [(a["op"], a["severity"], a["evidence"]) for a in alerts] == [
        ("raise", "burst", ["e0", "e1"]),
        ("update", "repeat", ["e0", "e1", "e2"]),
    ]
    (board,) = lines(outs["board"])
    assert list(board) == ["customer_id", "flags", "churn", "engagement", "contact", "sensitive", "stage",
                           "as_of"]  # fmt: skip
    assert board["flags"] == [
        {"flag": "repeat_request", "category": "billing", "since": T0 + DAY // 2, "until": T0 + 7 * DAY, "count": 3,
         "severity": "repeat", "evidence": ["e0", "e1", "e2"]}
    ]  # fmt: skip
    predictions = lines(outs["predictions"])
    assert list(predictions[0]) == ["customer_id", "at", "trigger", "event_id", "churn", "engagement", "contact",
                                    "model"]  # fmt: skip
    assert [p["event_id"] for p in predictions if p["trigger"] == "event"] == ["e0", "e1", "e2"]


def test_digest_prints_the_digest_alone(three_requests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(three_requests), "--digest"]) == 0
    assert len(capsys.readouterr().out.strip()) == 64


def test_csv_with_a_mapping_file_gives_the_answers_of_the_same_events_in_jsonl(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    events = [event(i, T0 + i * DAY) for i in range(3)]
    write(tmp_path / "log.jsonl", events)
    rows = "".join(f"e{i},anna,{T0 // 1000 + i * 86_400},INQ,Billing\n" for i in range(3))
    (tmp_path / "log.csv").write_text("nr,cust,when,what,service\n" + rows)
    (tmp_path / "map.toml").write_text(
        '[fields]\nnr = "event_id"\ncust = "customer_id"\nwhen = "ts"\nwhat = "kind"\nservice = "category"\n'
        '[kinds]\nINQ = "request"\n[categories]\nBilling = "billing"\n[time]\nunit = "s"\n'
    )
    assert main(["replay", str(tmp_path / "log.jsonl"), "--digest"]) == 0
    expected = capsys.readouterr().out
    assert main(["replay", str(tmp_path / "log.csv"), "--map", str(tmp_path / "map.toml"), "--digest"]) == 0
    assert capsys.readouterr().out == expected


def test_sort_reads_files_together_in_order_of_time(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    events = [event(i, T0 + i * DAY) for i in range(6)]
    whole = write(tmp_path / "whole.jsonl", events)
    odd, even = write(tmp_path / "odd.jsonl", events[1::2]), write(tmp_path / "even.jsonl", events[::2])
    assert main(["replay", str(whole), "--digest"]) == 0
    expected = capsys.readouterr().out
    assert main(["replay", str(odd), str(even), "--sort", "--digest"]) == 0
    assert capsys.readouterr().out == expected


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["replay", "LOG", "--lanes", "0"], "lanes (--lanes): expected a whole number from 1 to 1024"),
        (["replay", "LOG", "--set", "churn.horizon=soon"], "churn.horizon (--set): expected a duration"),
        (["replay", "LOG", "--set", "chrun.horizon=1d"], "expected one of lanes"),
        (["replay", "LOG", "--set", "retire=90d"], "retire (--set): expected longer than"),
        (["replay", "LOG", "--rules", "MISSING"], "rules (--rules): expected a readable UTF-8 file"),
        (["replay", "LOG", "--map", "MISSING"], "--map: expected a readable UTF-8 file"),
        (["replay", "LOG", "--speed", "fast"], "--speed: expected max, or times real speed"),
        (["replay", "MISSING"], "MISSING"),
        (["replay", "LOG", "--alerts", "LOG"], "--alerts: expected a file of its own"),
        (["replay", "LOG", "--alerts", "OUT", "--board", "OUT"], "--board: expected a file of its own"),
        (["replay", "LOG", "--board", "MISSING/board"], "--board: expected a file in an existing folder"),
        (["replay"], "Missing argument"),
        (["replay", "LOG", "--redis", "http://x"], "redis"),
        (["customer", "anna"], "--redis: expected the URL"),
        (["verify"], "--redis: expected the URL"),
        (["nonsense"], "No such command"),
    ],
)
def test_wrong_use_is_told_and_exits_with_2(
    three_requests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], told: str
) -> None:
    words = {"LOG": str(three_requests), "OUT": str(tmp_path / "out")}
    before = three_requests.read_bytes()
    assert main([words.get(a, a.replace("MISSING", str(tmp_path / "MISSING"))) for a in arguments]) == 2
    assert told in capsys.readouterr().err
    assert three_requests.read_bytes() == before


def test_redis_that_does_not_answer_exits_with_1(three_requests: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--redis", "redis://127.0.0.1:1/0"]) == 1
    assert "ERROR" in capsys.readouterr().out


def test_settings_are_decided_by_command_line_then_environment_then_file(
    three_requests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "henji.toml"
    file.write_text("lanes = 2\n[churn]\nhorizon = '10d'\n")
    monkeypatch.chdir(tmp_path)
    assert main(["replay", str(three_requests), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lanes"] == 2
    monkeypatch.setenv("HENJI_LANES", "4")
    assert main(["replay", str(three_requests), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lanes"] == 4
    assert main(["replay", str(three_requests), "--lanes", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["lanes"] == 5
    monkeypatch.setenv("HENJI_LANSE", "4")
    assert main(["replay", str(three_requests)]) == 2
    assert "HENJI_LANSE" in capsys.readouterr().err


def test_rules_of_a_file_are_used(three_requests: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(
        'version = 1\n[flags.three]\nshape = "count"\nkinds = ["request"]\nlevel = "leaf"\n'
        'threshold = 3\nwindow = "7d"\n'
    )
    assert main(["replay", str(three_requests), "--rules", str(rules), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["raises"] == {"three": 1}
    rules.write_text(
        'version = 1\n[flags.three]\nshape = "count"\nkinds = ["request"]\nthreshold = "x"\nwindow = "7d"\n'
    )
    assert main(["replay", str(three_requests), "--rules", str(rules)]) == 2
    assert "rules.toml:5: flags.three.threshold: expected an integer" in capsys.readouterr().err


def test_customer_and_verify_read_what_replay_wrote(
    three_requests: Path, redis_server: EmbeddedRedis, redis_client: RedisClient, capsys: pytest.CaptureFixture[str]
) -> None:
    url = redis_server.url
    assert main(["replay", str(three_requests), "--redis", url, "--run", "mine", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["prefix"] == "replay:mine:"
    assert main(["verify", "--redis", url]) == 0
    assert "replay:mine: nothing wrong" in capsys.readouterr().out
    assert main(["customer", "anna", "--redis", url, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [f["flag"] for f in facts["flags"]] == ["repeat_request"]
    assert facts["why"]["evidence"]["repeat_request/billing"] == ["e0", "e1", "e2"]
    assert [t["kind"] for t in facts["timeline"]] == ["request"] * 3
    assert main(["customer", "anna", "--redis", url, "--lang", "zh"]) == 0
    assert "风险标记" in capsys.readouterr().out
    assert main(["customer", "nobody", "--redis", url]) == 1
    assert "expected a customer of the board" in capsys.readouterr().err


PREFIX = "replay:mine:"


@pytest.mark.parametrize(
    ("fault", "rule"),
    [
        (("SET", f"{PREFIX}history:anna", "a string"), "wrong_type"),
        (("HSET", f"{PREFIX}customer:anna", "favourite", "1"), "unknown_field"),
        (("HSET", f"{PREFIX}customer:anna", "segment", "x" * 65), "too_large"),
        (("PERSIST", f"{PREFIX}customer:anna"), "missing_ttl"),
        (("ZADD", f"{PREFIX}index:churn", "0.5", "ghost"), "orphan_index"),
    ],
)
def test_verify_finds_each_fault_and_exits_with_1(
    three_requests: Path,
    redis_server: EmbeddedRedis,
    redis_client: RedisClient,
    capsys: pytest.CaptureFixture[str],
    fault: tuple[str, ...],
    rule: str,
) -> None:
    assert main(["replay", str(three_requests), "--redis", redis_server.url, "--run", "mine", "--digest"]) == 0
    if fault[0] == "SET":
        redis_client.execute_command("DEL", fault[1])
    redis_client.execute_command(*fault)
    capsys.readouterr()
    assert main(["verify", "--redis", redis_server.url, "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert rule in {v["rule"] for v in found["violations"][PREFIX]}, found


def test_simulate_writes_log_and_truth(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "campus.jsonl.gz"
    assert main(["simulate", "--out", str(out), "--customers", "5", "--days", "10", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["lines"] == len(gzip.decompress(out.read_bytes()).splitlines())
    assert Path(facts["truth"]) == tmp_path / "campus.truth.jsonl"
    assert main(["replay", str(out), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dead"] == 0


def test_demo_runs_from_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--events", "1500", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert len(shown["top"]) == 10
    assert shown["violations"] == []
    assert shown["alerts"]
    churn = [customer["churn"] for customer in shown["top"]]
    assert churn == sorted(churn, reverse=True)


def test_help_teaches_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    told = capsys.readouterr().out
    for name in ("demo", "simulate", "replay", "customer", "verify", "doctor"):
        assert name in told
        assert main([name, "--help"]) == 0
        assert "Usage: henji" in capsys.readouterr().out


def test_the_built_in_rules_are_printed_and_accepted_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rules", "default"]) == 0
    file = tmp_path / "rules.toml"
    file.write_text(capsys.readouterr().out)
    assert main(["rules", "check", str(file), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["flags"][0] == "repeat_request"
    file.write_text(file.read_text().replace("threshold = 2", "threshold = 0"))
    assert main(["rules", "check", str(file)]) == 2
    assert "rules.toml:" in capsys.readouterr().err
