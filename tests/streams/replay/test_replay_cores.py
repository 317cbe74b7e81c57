"""A replay on several cores gives, to the byte, what one gives, killed and gone on with another number included."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.duration import DAY_MS
from engine.errors import HenjiError, RecoverableError, StateIncompatible
from engine.event import Event
from engine.lane import Lane
from engine.rules import RuleSet
from engine.settings import ResultSettings
from streams.cli import main
from streams.cli.replay import run_replay
from streams.ledger import Binding
from streams.memory_ledger import MemoryLedger
from streams.reader.log import open_log
from streams.reader.order import event_order
from streams.reader.record import Record
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from streams.redis.verify import verify
from streams.replay import lane_pool, run
from streams.replay.outputs import Outputs
from streams.replay.run import Replay
from streams.simulate import SimulationSettings, write_log

# Processes are looked up in /proc.
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc")
FILES = ("alerts", "predictions", "dead", "late", "board")
RULES = RuleSet.default()
SETTINGS = ResultSettings(
    lanes=3,
    churn_horizon_ms=4 * DAY_MS,
    engagement_horizon_ms=2 * DAY_MS,
    contact_horizon_ms=DAY_MS,
    rules=RULES.version,
)
SHARED = replace(SETTINGS, share_ms=DAY_MS)
Ran = tuple[dict[str, Any], dict[str, bytes]]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """About 1,000 events: some out of order, late, twice or broken."""
    place = tmp_path_factory.mktemp("logs")
    settings = SimulationSettings(
        customers=25, events=1_000, days=20, disorder_share=0.02, late_share=0.01, duplicate_share=0.01, bad_share=0.01
    )
    write_log(settings, place / "rough.jsonl", place / "truth.jsonl")
    return place / "rough.jsonl"


@pytest.fixture(scope="module")
def mixed(log: Path) -> Path:
    """The log with ticks of lanes, one of another deployment."""
    lines = log.read_bytes().splitlines()
    at = max(event_order(line, None)[0] for line in lines)
    for lane in range(4):
        tick = {"event_id": f"t{lane}", "kind": "tick", "ts": at + 3 * DAY_MS, "lane": lane, "lanes": 3 + lane // 3}
        lines.append(json.dumps(tick).encode())
    path = log.parent / "mixed.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    return path


def replay(log: Path, out: Path, *, settings: ResultSettings = SETTINGS, batch: int = 120, **options: Any) -> Ran:
    """Run a replay; what it says but for times, and the bytes of all its files."""
    out.mkdir(parents=True, exist_ok=True)
    growing = {name: out / name for name in FILES if name != "board"}
    options = {"url": "none", "quiet": True, **options}
    _, facts = run_replay(
        open_log([log], batch_size=batch), settings, RULES, outputs=growing, board=out / "board", **options
    )
    return facts, {name: (out / name).read_bytes() for name in FILES}


def told(facts: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in facts.items() if k not in ("seconds", "events_per_second", "stages", "cores")}


@pytest.fixture(scope="module")
def reference(mixed: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return replay(mixed, tmp_path_factory.mktemp("reference"))


def children() -> set[int]:
    return {
        int(pid)
        for task in Path("/proc/self/task").iterdir()
        for pid in (task / "children").read_text("ascii").split()
    }  # fmt: skip


# -- the same answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("cores", "batch"), [(2, 120), (3, 17)])
def test_answers_do_not_depend_on_the_number_of_cores(
    mixed: Path, reference: Ran, tmp_path: Path, cores: int, batch: int
) -> None:
    before = children()
    facts, files = replay(mixed, tmp_path, cores=cores, batch=batch)
    assert told(facts) == told(reference[0])
    assert files == reference[1]
    assert all(reference[1].values())
    assert children() == before


def test_exchanges_between_lanes_of_several_cores_are_those_of_one(log: Path, tmp_path: Path) -> None:
    facts, files = replay(log, tmp_path / "one", settings=SHARED)
    assert facts["tallies"]["shared"] > 3 * 10
    facts_2, files_2 = replay(log, tmp_path / "two", settings=SHARED, cores=2, batch=70)
    assert (told(facts_2), files_2) == (told(facts), files)


def dump(client: RedisClient, prefix: str) -> dict[str, Any]:
    """Everything under a prefix, but for times of writing and tokens of owners."""
    found: dict[str, Any] = {}
    for raw in client.scan_iter(match=f"{prefix}*", count=1000):
        key = raw.decode()
        match client.execute_command("TYPE", key):
            case b"hash":
                values = client.execute_command("HGETALL", key)
                found[key] = {k: v for k, v in values.items() if k not in (b"owner", b"written_at", b"last_write")}
            case b"zset":
                found[key] = client.execute_command("ZRANGE", key, 0, -1, "WITHSCORES")
            case b"list":
                found[key] = client.execute_command("LRANGE", key, 0, -1)
            case b"stream":
                found[key] = [fields for _, fields in client.execute_command("XRANGE", key, "-", "+")]
            case _:
                found[key] = client.execute_command("GET", key)
    return found


def test_ledger_board_and_alerts_in_redis_are_those_of_one_core(
    mixed: Path, reference: Ran, redis_server: EmbeddedRedis, redis_client: RedisClient, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    # A process must find what it let go of, in the ledger or not yet there.
    monkeypatch.setattr(run, "CACHE_CUSTOMERS", 2)
    found = []
    for cores in (1, 2):
        facts, files = replay(mixed, tmp_path / str(cores), url=redis_server.url, name="same", cores=cores, fresh=True)
        assert told(facts) == told({**reference[0], "run": "same", "prefix": "replay:same:"})
        assert files == reference[1]
        assert verify(redis_client, facts["prefix"]) == []
        found.append(dump(redis_client, ""))
        redis_client.execute_command("FLUSHALL")
    assert len(found[0]) > 100
    assert found[1] == found[0]


# -- killed and gone on with -----------------------------------------------------------------------------------------


def command_of(pid: int) -> str:
    """Of a process that runs; nothing of one that has ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text("ascii").rpartition(")")[2].split()[0]
        return "" if state == "Z" else Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def test_a_run_killed_anywhere_goes_on_with_another_number_of_cores(
    mixed: Path, reference: Ran, redis_server: EmbeddedRedis, redis_client: RedisClient, tmp_path: Path
) -> None:
    draw = random.Random(20)
    paths = [arg for name in FILES for arg in (f"--{name}", str(tmp_path / name))]
    windows = ("churn.horizon=4d", "engagement.horizon=2d", "contact.horizon=1d")
    settings = [arg for pair in windows for arg in ("--set", pair)]
    command = [sys.executable, "-m", "streams.cli", "replay", str(mixed), "--lanes", "3", "--batch", "25", *settings,
               "--redis", redis_server.url, "--run", "killed", "--json", *paths]  # fmt: skip
    made, total = tmp_path / "predictions", len(reference[1]["predictions"])
    goals = sorted(draw.sample(range(1, total * 9 // 10), 3))
    for number, goal in enumerate([*goals, None]):
        cores = str((2, 1, 3, 2)[number])
        process = subprocess.Popen([*command, "--cores", cores], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        below: list[int] = []
        while process.poll() is None and goal is not None:
            below = [int(p) for p in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
            if made.exists() and made.stat().st_size >= goal:
                process.send_signal(signal.SIGKILL)
                break
            time.sleep(0.002)
        out, _ = process.communicate(timeout=60)
        if goal is not None:
            assert process.returncode == -signal.SIGKILL
            assert len(below) == (0 if cores == "1" else int(cores))
            deadline = time.monotonic() + 10
            while any(map(command_of, below)) and time.monotonic() < deadline:
                time.sleep(0.01)
            assert not any(map(command_of, below))
    facts = json.loads(out)
    assert facts["resumed_at"] > 0
    assert facts["digest"] == reference[0]["digest"]
    assert {name: (tmp_path / name).read_bytes() for name in FILES} == reference[1]
    assert verify(redis_client, "replay:killed:") == []


# -- when something goes wrong -----------------------------------------------------------------------------------------


BUG = """
from engine.lane import Lane
real = Lane._apply
def failing(lane, memory, event):
    if event.event_id.endswith("{ends}"):
        raise ZeroDivisionError("a bug")
    real(lane, memory, event)
Lane._apply = failing
"""


@pytest.fixture
def start(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets processes of lanes begin with other code; real parts do not fail on demand."""

    imports, path, rest = lane_pool._START.split("; ", 2)

    def begin_with(code: str) -> None:
        escaped = code.replace("{", "{{").replace("}", "}}")
        monkeypatch.setattr(lane_pool, "_START", f"{imports}; {path}\n{escaped}\n{rest}")

    return begin_with


@pytest.mark.parametrize("durable", [True, False])
def test_events_that_the_engine_fails_on_are_dead_wherever_their_lane_lives(
    log: Path, tmp_path: Path, start: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, durable: bool
) -> None:
    short = tmp_path / "short.jsonl"
    short.write_bytes(b"\n".join(log.read_bytes().splitlines()[:400]))
    real = Lane._apply

    def failing(lane: Lane, memory: Any, event: Event) -> None:
        if event.event_id.endswith("-00007"):
            raise ZeroDivisionError("a bug")
        real(lane, memory, event)

    found = []
    for cores in (1, 2):
        out = tmp_path / str(cores)
        out.mkdir()
        files = Outputs({name: out / name for name in FILES if name != "board"})
        ledger = MemoryLedger(Binding.of("replay", 0, lanes=3))
        with monkeypatch.context() as patch:
            patch.setattr(Lane, "_apply", failing)
            start(BUG.replace("{ends}", "-00007"))
            one = Replay(SETTINGS, RULES, ledger, files, cores=cores, durable=durable)
            one.run(open_log([short], batch_size=100), "log")
        files.close()
        found.append((one.standing().digest, {path.name: path.read_bytes() for path in out.iterdir()}))
    assert found[0][1]["dead"].count(b'"reason":"engine"') > 5
    assert found[1] == found[0]


def test_more_failures_than_dead_letters_may_contain_stop_the_run_wherever_lanes_live(
    log: Path, start: Callable[[str], None]
) -> None:
    start(BUG.replace("{ends}", ""))
    ledger = MemoryLedger(Binding.of("replay", 0, lanes=3))
    # No process has more than 100 of them by itself.
    batch = [
        record for each in open_log([log], batch_size=10_000) for record in each if b"late" not in (record.raw or b"")
    ]
    with pytest.raises(StateIncompatible, match="a bug that dead letters cannot contain"):
        Replay(SETTINGS, RULES, ledger, Outputs({}), cores=3).run([batch], "log")


@pytest.mark.parametrize(
    ("code", "kind", "message"),
    [
        (
            "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)",
            RecoverableError,
            "signal SIGKILL; has the machine",
        ),
        ("import os\nos._exit(3)", RecoverableError, "exit code 3"),
        ("raise SystemExit(4)", RecoverableError, "exit code 4"),
        (
            "from streams.replay.lane_process import LaneProcess\n"
            "def broken(self, batch): raise MemoryError('none left')\n"
            "LaneProcess._apply = broken",
            HenjiError,
            r"lanes .* to work, got MemoryError: none left \(<string>:\d+\)",
        ),
    ],
)
def test_a_process_that_fails_is_an_error_for_people_and_leaves_no_process(
    log: Path, start: Callable[[str], None], code: str, kind: type[Exception], message: str, tmp_path: Path
) -> None:
    before = children()
    start(code)
    with pytest.raises(kind, match=message):
        replay(log, tmp_path, cores=2)
    assert children() == before


def test_an_interrupted_run_leaves_no_process(log: Path) -> None:
    before = children()

    def stop(n_read: int) -> None:
        assert children() > before
        raise KeyboardInterrupt

    ledger = MemoryLedger(Binding.of("replay", 0, lanes=3))
    with pytest.raises(KeyboardInterrupt):
        Replay(SETTINGS, RULES, ledger, Outputs({}), cores=2).run(open_log([log], batch_size=50), "log", stop)
    assert children() == before


class _Counted(Sequence[Record]):
    """A batch that knows how many of its kind live."""

    alive = 0
    most = 0

    def __init__(self, records: Sequence[Record]) -> None:
        self._records = records
        _Counted.alive += 1
        _Counted.most = max(_Counted.most, _Counted.alive)

    def __del__(self) -> None:
        _Counted.alive -= 1

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, place: Any) -> Any:
        return self._records[place]


def test_no_more_than_a_few_batches_are_held_however_long_the_log(log: Path) -> None:
    ledger = MemoryLedger(Binding.of("replay", 0, lanes=3))
    batches = (_Counted(batch) for batch in open_log([log], batch_size=20))
    Replay(SETTINGS, RULES, ledger, Outputs({}), cores=2, durable=False).run(batches, "log")
    assert _Counted.most <= lane_pool.AHEAD + 3


def test_a_folder_of_our_name_where_the_user_stands_is_not_taken_for_ours(
    log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "streams").mkdir()
    (tmp_path / "streams" / "__init__.py").write_text("raise RuntimeError")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert replay(log, tmp_path / "out", cores=2)[0]["cores"] == 2


# -- the command -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--cores", "many"], "--cores: expected auto or a whole number from 1 to 1024, got 'many'"),
        (["--cores", "0"], "--cores: expected auto or a whole number"),
        (["--cores", "2", "--speed", "1x"], "--cores: expected 1 beside --speed"),
        (["--cores", "2", "--reload"], "--cores: expected 1 beside --speed and --reload"),
    ],
)
def test_what_cannot_be_done_on_several_cores_is_refused(
    log: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", str(log), "--digest", *arguments]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("arguments", "cores"), [([], 1), (["--cores", "7"], 2), (["--speed", "999999x"], 1)])
def test_a_small_log_has_one_core_and_no_more_cores_than_lanes_are_used(
    tmp_path: Path, arguments: list[str], cores: int, capsys: pytest.CaptureFixture[str]
) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"event_id":"e1","customer_id":"c","ts":1,"kind":"view"}\n')
    assert main(["replay", str(log), "--lanes", "2", "--json", *arguments]) == 0
    assert json.loads(capsys.readouterr().out)["cores"] == cores


def test_auto_is_every_core_that_we_may_use(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"event_id":"e1","customer_id":"c","ts":1,"kind":"view"}\n')
    assert main(["replay", str(log), "--json", "--cores", "auto"]) == 0
    assert json.loads(capsys.readouterr().out)["cores"] == min(8, len(os.sched_getaffinity(0)))
