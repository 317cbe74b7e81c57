"""`henji whatif`: the lists are those of two replays, whatever the order of the work."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.desk import Desk
from engine.duration import DAY_MS
from engine.errors import RecoverableError, UsageError
from engine.rules import RuleSet
from engine.rules.rule import ScoreRule
from engine.settings import ResultSettings
from streams.cli import main
from streams.simulate import SimulationSettings, write_log
from streams.whatif import crew, job
from streams.whatif.comparison import PerDay, Variant, compare
from streams.whatif.crew import run_jobs
from streams.whatif.facts import facts
from streams.whatif.job import Input, PastJob, VariantJob
from streams.whatif.past import Past
from streams.whatif.sweep import Sweep, to_toml
from streams.whatif.tally import Tally
from tests.oracle.strategies import logs
from tests.streams.whatif.logs import NEW, TEXT, Lists, plain_lists, write

NOW = RuleSet.default()


@pytest.fixture(scope="module")
def campus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("campus")
    settings = SimulationSettings(customers=50, events=2_500, days=100, disorder_share=0.02, duplicate_share=0.01)
    write_log(settings, place / "campus.jsonl", place / "truth.jsonl")
    lines = (place / "campus.jsonl").read_bytes().splitlines(keepends=True)
    (place / "short.jsonl").write_bytes(b"".join(lines[:600]))
    (place / "new.toml").write_text(TEXT, "utf-8")
    (place / "now.toml").write_text(NOW.text, "utf-8")
    return place


def whatif(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["whatif", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    for each in (found["now"], *found["variants"]):
        del each["seconds"]
    return found


@settings(max_examples=15)
@given(logs(lanes=2))
def test_lists_are_those_of_two_replays_on_logs_that_hurt(log: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder) / "log.jsonl", log)
        given = Input((str(path),))
        variants = [Variant("now", NOW), Variant("new", NEW)]
        jobs = [
            VariantJob(given, ResultSettings(lanes=2, rules=v.rules.version), v.rules, Desk.default()) for v in variants
        ]
        base = ResultSettings()
        *tallies, past = run_jobs([*jobs, PastJob(given, base.churn_horizon_ms, base.activity)])
        assert isinstance(past, Past)
        kept = [each for each in tallies if isinstance(each, Tally)]
        found = facts(compare(variants, kept, past, after=base.churn_horizon_ms))
        assert found["flags"] == plain_lists(path, NOW, NEW, Path(folder), lanes=2)


@pytest.fixture(scope="module")
def found(campus: Path) -> dict[str, Any]:
    """The campus compared in processes of their own, as a program."""
    # Whoever was started in the background by a shell ignores SIGINT, and so do its children.
    listening = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-c", listening, sys.executable, "-m", "streams.cli", "whatif", "campus.jsonl"]
    command += ["--rules", "new.toml", "--cores", "2"]
    done = subprocess.run([*command, "--json"], cwd=campus, capture_output=True, check=True)
    answer: dict[str, Any] = json.loads(done.stdout)
    for each in (answer["now"], *answer["variants"]):
        assert each.pop("seconds") > 0
    return answer


@pytest.fixture(scope="module")
def lists(campus: Path) -> Lists:
    """The same from two replays, whose alert files stay beside the log."""
    return plain_lists(campus / "campus.jsonl", NOW, NEW, campus)


def test_lists_are_those_of_two_replays_on_a_campus(found: dict[str, Any], lists: Lists) -> None:
    assert found["flags"] == lists
    assert lists["repeat_request"]["enter"]
    assert lists["failed_fix"]["leave"] == lists["broken_fix"]["enter"] != []
    assert list(found["flags"]["sensitive"]) == ["enter", "leave"]


@pytest.mark.usefixtures("lists")
def test_details_carry_the_evidence_of_the_first_raise(found: dict[str, Any], campus: Path) -> None:
    first: dict[tuple[str, str], dict[str, Any]] = {}
    n_disturbing = 0
    for line in (campus / f"{NEW.version}.jsonl").read_bytes().splitlines():
        alert = json.loads(line)
        n_disturbing += alert["op"] != "clear"
        if alert["op"] == "raise":
            first.setdefault((alert["flag"], alert["customer_id"]), alert)
    (variant,) = found["variants"]
    for flag, each in variant["flags"].items():
        for row in each["enter"]:
            alert = first[flag, row["customer_id"]]
            assert row == {key: alert[key] for key in row}
    assert variant["delivered"]["total"] + variant["held"]["total"] == n_disturbing
    for part in ("delivered", "held"):
        assert sum(route[part]["total"] for route in variant["routes"]) == variant[part]["total"]
    assert sum(variant["held_reasons"].values()) == variant["held"]["total"]


def test_neither_cores_nor_room_nor_the_order_of_sorted_files_matter(
    found: dict[str, Any],
    campus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(job, "CACHE", 2)
    rules = ["--rules", str(campus / "new.toml")]
    assert whatif(capsys, str(campus / "campus.jsonl"), *rules, "--cores", "1") == found
    lines = (campus / "short.jsonl").read_bytes().splitlines(keepends=True)
    parts = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for place, path in enumerate(parts):
        path.write_bytes(b"".join(lines[place::2]))
    one = whatif(capsys, *map(str, parts), "--sort", *rules)
    other = whatif(capsys, *map(str, reversed(parts)), "--sort", *rules)
    assert one.pop("log")["sources"] == other.pop("log")["sources"][::-1]
    assert one == other


def test_the_same_rules_change_nothing(campus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = whatif(capsys, str(campus / "short.jsonl"), "--rules", str(campus / "now.toml"))
    assert set(same["flags"]) == set(NOW.names())
    assert all(each == {"enter": [], "leave": []} for each in same["flags"].values())
    now, (new,) = same["now"], same["variants"]
    assert {**now, "name": ""} == {**new, "name": ""}


def test_lanes_that_share_give_the_lists_of_replays_in_which_they_share(
    campus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    log = campus / "short.jsonl"
    found = whatif(capsys, str(log), "--rules", str(campus / "new.toml"), "--share", "1d", "--lanes", "3")
    assert found["flags"] == plain_lists(log, NOW, NEW, tmp_path, 3, DAY_MS)


def test_a_point_of_a_sweep_is_the_run_with_that_value(campus: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = str(campus / "short.jsonl")
    swept = whatif(capsys, log, "--sweep", "flags.repeat_request.tiers.1.threshold=2,3")
    changed = campus / "two.toml"
    changed.write_text(NOW.text.replace('"repeat", threshold = 3', '"repeat", threshold = 2'), "utf-8")
    single = whatif(capsys, log, "--rules", str(changed))
    points = swept["variants"]
    assert swept["sweep"] == "flags.repeat_request.tiers.1.threshold"
    assert [each["value"] for each in points] == [2, 3]
    assert swept["flags"] == single["flags"]
    for point, run in ((points[0], single["variants"][0]), (points[1], single["now"])):
        assert {**point, "name": "", "value": None} == {**run, "name": "", "value": None}


def test_the_written_rules_mean_the_same() -> None:
    for rules in (NOW, NEW):
        assert RuleSet.parse(to_toml(tomllib.loads(rules.text))).version == rules.version


def test_clear_keeps_its_distance_when_raise_is_swept() -> None:
    sweep = Sweep.parse("flags.churn_risk.raise=0.5:0.95:0.05")
    assert len(sweep.values) == 10
    for value in sweep.values:
        rule = next(rule for rule in sweep.rules(NOW, value).rules if rule.name == "churn_risk")
        assert isinstance(rule, ScoreRule)
        assert rule.raise_at == value
        assert rule.clear_at == pytest.approx(float(value) - 0.1)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "--rules: expected rules to compare"),
        (["--sweep", "churn_risk=1"], "--sweep: expected flags"),
        (["--sweep", "flags.churn_risk.raise=0:1:0.001"], "expected 1 to 24 values"),
        (["--sweep", "flags.churn_risk.raize=0.5"], "--sweep: flags.churn_risk.raize"),
        (["--sweep", "flags.churn_risk.raise=high"], "--sweep: expected flags"),
        (["--sweep", "flags.repeated_complaint.threshold=0"], "--sweep: flags.repeated_complaint.threshold=0"),
        (["--sweep", "flags.churn_risk.raise=0.9:0.5:0.1"], "FIRST <= LAST"),
        (["--rules", "missing.toml"], "--rules: expected a readable"),
        (["--rules", "new.toml", "--after", "soon"], "--after: "),
        (["--rules", "new.toml", "--value-kept", "3"], "expected all three"),
        (["--rules", "new.toml", "--cores", "0"], "--cores: expected auto"),
        (["--rules", "new.toml", "--report", "campus.jsonl"], "--report: expected a file of its own"),
        (["--rules", "new.toml", "--kafka", "localhost:1"], "--kafka: expected no files"),
    ],
)
def test_wrong_use_is_refused_before_the_work(
    campus: Path,
    arguments: list[str],
    told: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(campus)
    assert main(["whatif", "campus.jsonl", *arguments]) == 2
    assert told in capsys.readouterr().err.replace("\n", " ")


def test_what_goes_wrong_in_a_process_is_told_here(tmp_path: Path) -> None:
    # Looked at when the processes open it: by then the file is gone.
    lost = PastJob(Input((str(tmp_path / "gone.jsonl"),)), 1, frozenset())
    with pytest.raises(UsageError, match=r"gone\.jsonl"):
        run_jobs([lost, lost], cores=2)


def test_a_process_that_dies_is_an_error_that_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "_START", "import os; os._exit(9)  # {path!r} {descriptor}")
    some = PastJob(Input((str(tmp_path / "x.jsonl"),)), 1, frozenset())
    with pytest.raises(RecoverableError, match="code 9"):
        run_jobs([some, some], cores=2)


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="looks for processes in /proc")
def test_ctrl_c_ends_all_processes(campus: Path) -> None:
    # Whoever was started in the background by a shell ignores SIGINT, and so do its children.
    listening = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.SIG_DFL); os.execv(sys.argv[1], sys.argv[1:])"
    )
    command = [sys.executable, "-c", listening, sys.executable, "-m", "streams.cli", "whatif", "campus.jsonl"]
    command += ["--rules", "new.toml", "--cores", "2"]
    with subprocess.Popen(command, cwd=campus, stderr=subprocess.PIPE, stdout=subprocess.PIPE) as program:
        children = Path(f"/proc/{program.pid}/task/{program.pid}/children")
        deadline = time.monotonic() + 30
        found: list[str] = []
        while len(found) < 2 and program.poll() is None and time.monotonic() < deadline:
            found = children.read_text().split()
        program.send_signal(signal.SIGINT)
        _, told = program.communicate(timeout=30)
    assert len(found) == 2
    assert program.returncode == 130
    assert b"Traceback" not in told
    while any(map(_runs, found)) and time.monotonic() < deadline:
        pass
    assert not any(map(_runs, found))


def _runs(pid: str) -> bool:
    """Whether a process is there and not only waits to be reaped."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), max_size=20), st.integers(0, 10))
def test_days_without_a_message_count(days: list[tuple[int, int]], quiet: int) -> None:
    counts = dict(days)
    n_days = max(len(counts) + quiet, 1)
    sizes = sorted([*counts.values(), *[0] * (n_days - len(counts))])
    found = PerDay.of(counts, n_days)
    nearest = next(size for place, size in enumerate(sizes, 1) if 100 * place >= 95 * n_days)
    assert found == (sum(sizes), sum(sizes) / n_days, nearest, sizes[-1])
