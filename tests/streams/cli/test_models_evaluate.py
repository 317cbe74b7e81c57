"""`henji models evaluate` as a user meets it: the object, the report, the messages, the exit codes."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from streams.cli import main
from streams.evaluate.protocol import Protocol
from tests.streams.evaluate.logs import DAY, Score, brute_figures, brute_force, steady_log

ROWS = steady_log(n_customers=40, n_days=100, step_ms=DAY)
HORIZON = ["--horizon", "10d", "--lanes", "1"]


def write(path: Path, rows: list[Any]) -> Path:
    lines = [
        json.dumps({"customer_id": c, "event_id": e, "ts": ts, "kind": kind, "value": value})
        for c, e, ts, kind, value in rows
    ]
    path.write_bytes(gzip.compress(("\n".join(lines) + "\nno event\n").encode()))
    return path


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("log") / "log.jsonl.gz", ROWS)


@pytest.fixture(scope="module")
def predictions(log: Path) -> Path:
    out = log.with_name("predictions.jsonl")
    settings = ["--lanes", "1", "--set", "churn.horizon=10d"]
    assert main(["replay", str(log), *settings, "--predictions", str(out), "--digest"]) == 0
    return out


def test_the_object_says_what_plain_loops_say(
    log: Path, predictions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report = tmp_path / "report.html"
    capsys.readouterr()
    assert main(["models", "evaluate", str(log), *HORIZON, "--json", "--report", str(report), "--lang", "zh"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["protocol"]["per_day"] is True
    assert told["protocol"]["from_day"] == told["log"]["days"] // 3
    assert told["protocol"]["kinds"] == ["purchase"]
    scores = [
        Score(p["customer_id"], p["at"], p["event_id"], p["churn"])
        for p in map(json.loads, predictions.read_text().splitlines())
    ]
    rules = Protocol(10.0, told["protocol"]["from_day"], per_day=True, kinds=("purchase",))
    for name, silence in (("event", False), ("silence", True)):
        wanted = brute_figures([row[2:] for row in brute_force(ROWS, scores, rules, silence=silence)])
        got = {key: told[name]["henji"][key] for key in wanted}
        assert got == pytest.approx(wanted, abs=1e-6)
    assert {each["name"] for each in told["event"]["anchors"]} | {each["name"] for each in told["absent"]} == {
        *("prior", "recency", "rfm", "logistic", "boosting", "boosting_once", "bg_nbd", "mbg_nbd")
    }
    assert report.read_text("utf-8").startswith('<!doctype html>\n<html lang="zh-CN">')


def test_ready_predictions_give_the_same(log: Path, predictions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for extra in ([], ["--predictions", str(predictions)]):
        capsys.readouterr()
        assert main(["models", "evaluate", str(log), *HORIZON, *extra, "--json"]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1]


def test_people_get_a_table(log: Path, predictions: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ready = ["--predictions", str(predictions), *HORIZON]
    for lang, word in (("en", "logistic regression"), ("zh", "逻辑回归")):
        assert main(["models", "evaluate", str(log), *ready, "--lang", lang, "--per-event"]) == 0
        out = capsys.readouterr().out
        assert word in out
        assert "BG/NBD" in out
        assert "33" in out  # the first judged day is said


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--horizon", "100d"], "log: expected activity over more than the horizon of 100 d"),
        (["--from-day", "95"], "--from-day: expected a day from 0 to 89, got 95"),
        (["--horizon", "80d"], "got 33, a third of the log"),
        (["--kinds", "view"], "--kinds: expected kinds of churn.activity that occur in the log (purchase), got 'view'"),
        (["--until-day", "0"], "--until-day: expected a day after the first event"),
        (["--until-day", "9"], "log: expected activity over more than the horizon"),
        (["--block", "soon"], "--block: expected a duration"),
        (["--report", "nowhere/report.html"], "--report: expected a file in an existing folder"),
        (["--set", "churn.activity=view"], "log: expected events of the customers' own activity, got none"),
    ],
)
def test_wrong_use_is_said_with_what_to_do(
    log: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    # An option that is given again counts.
    assert main(["models", "evaluate", str(log), *HORIZON, *options]) == 2
    assert message in capsys.readouterr().err


def test_the_report_never_overwrites_the_log(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = log.read_bytes()
    assert main(["models", "evaluate", str(log), *HORIZON, "--report", str(log)]) == 2
    assert "--report: expected a file of its own" in capsys.readouterr().err
    assert log.read_bytes() == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", ":1: expected a prediction, got no JSON"),
        ("[]", ":1: expected a prediction, got []"),
        ('{"customer_id": 5}', ":1: customer_id: expected text, got 5"),
        ('{"customer_id": "c1", "at": 1, "trigger": "event", "churn": 1.5}', ":1: churn: expected a probability"),
        ('{"customer_id": "nobody", "at": 1, "trigger": "event", "churn": 0.5}', "got none among 0"),
    ],
)
def test_predictions_that_are_none_are_refused(
    log: Path, tmp_path: Path, line: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "p.jsonl"
    file.write_text(line + "\n")
    assert main(["models", "evaluate", str(log), *HORIZON, "--predictions", str(file)]) == 2
    assert message in capsys.readouterr().err


def test_help_teaches(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "evaluate", "--help"]) == 0
    out = capsys.readouterr().out
    assert "henji models evaluate shop.jsonl.gz --horizon 90d --report report.html" in out
    assert main(["models", "--help"]) == 0
    assert "evaluate" in capsys.readouterr().out
