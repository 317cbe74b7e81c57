"""A replay that plays exchanges: at the same places and with the same answers whatever happens on the way."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.duration import DAY_MS
from engine.errors import UsageError
from engine.rules import RuleSet
from engine.settings import ResultSettings
from streams.cli import main
from streams.cli.replay import run_replay
from streams.ledger import Binding, Outbox, Position
from streams.memory_ledger import MemoryLedger, MemoryStore
from streams.reader.log import open_log
from streams.reader.record import Record
from streams.redis.embedded import EmbeddedRedis
from streams.replay.outputs import Outputs
from streams.replay.run import Replay
from streams.replay.sharing import Boundaries
from streams.simulate import SimulationSettings, write_log

RULES = RuleSet.default()
ALONE = ResultSettings(
    lanes=3,
    churn_horizon_ms=4 * DAY_MS,
    engagement_horizon_ms=2 * DAY_MS,
    contact_horizon_ms=DAY_MS,
    rules=RULES.version,
)
SHARED = replace(ALONE, share_ms=DAY_MS)
FILES = ("alerts", "predictions", "dead", "late")
Ran = tuple[dict[str, Any], dict[str, bytes]]


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("logs")
    settings = SimulationSettings(
        customers=25, events=1_500, days=30, disorder_share=0.02, late_share=0.01, duplicate_share=0.01, bad_share=0.01
    )
    write_log(settings, place / "rough.jsonl", place / "truth.jsonl")
    return place / "rough.jsonl"


def replay(log: Path, out: Path, *, settings: ResultSettings = SHARED, batch: int = 500, **options: Any) -> Ran:
    out.mkdir(parents=True, exist_ok=True)
    paths = {name: out / name for name in FILES}
    options = {"url": "none", "quiet": True, **options}
    _, facts = run_replay(open_log([log], batch_size=batch), settings, RULES, outputs=paths, **options)
    return facts, {name: path.read_bytes() for name, path in paths.items()}


@pytest.fixture(scope="session")
def reference(log: Path, tmp_path_factory: pytest.TempPathFactory) -> Ran:
    return replay(log, tmp_path_factory.mktemp("reference"))


def test_lanes_share_and_say_other_things_for_it_and_no_count_knows_of_it(
    log: Path, reference: Ran, tmp_path: Path
) -> None:
    alone, files = replay(log, tmp_path, settings=ALONE)
    facts = reference[0]
    assert facts["tallies"]["shared"] > 3 * 20
    assert set(facts["tallies"]) - set(alone["tallies"]) == {"shared"}
    assert facts["digest"] != alone["digest"]
    assert reference[1]["predictions"] != files["predictions"]
    counts = ("read", "applied", "duplicate", "late", "dead")
    assert [facts[name] for name in counts] == [alone[name] for name in counts]
    assert facts["read"] == len(log.read_bytes().splitlines())


@pytest.mark.parametrize("batch", [1, 7, 100_000])
def test_answers_do_not_depend_on_the_size_of_batches(log: Path, reference: Ran, tmp_path: Path, batch: int) -> None:
    facts, files = replay(log, tmp_path, batch=batch)
    assert facts["digest"] == reference[0]["digest"]
    assert files == reference[1]


@pytest.mark.parametrize("batch", [1, 300])
def test_saving_and_loading_everything_after_every_batch_changes_nothing(
    log: Path, reference: Ran, tmp_path: Path, batch: int
) -> None:
    facts, files = replay(log, tmp_path, batch=batch, reload_each=True)
    assert facts["digest"] == reference[0]["digest"]
    assert files == reference[1]


def test_through_redis_the_answers_are_the_same(log: Path, reference: Ran, tmp_path: Path) -> None:
    with EmbeddedRedis() as server:
        facts, files = replay(log, tmp_path, url=server.url, batch=200)
    assert facts["digest"] == reference[0]["digest"]
    assert files == reference[1]


class _DiedError(Exception):
    """The process dies here."""


class _Dying(MemoryLedger):
    """Dies at its n-th transaction, before or after it went through."""

    def __init__(self, store: MemoryStore, commits: int, *, after: bool) -> None:
        super().__init__(Binding.of("replay", 0, lanes=3), store)
        self.left = commits
        self.after = after

    def commit(self, outcomes: Sequence[Any], position: Position, outbox: Outbox = Outbox()) -> None:  # noqa: B008
        self.left -= 1
        if not self.left and not self.after:
            raise _DiedError
        super().commit(outcomes, position, outbox)
        if not self.left:
            raise _DiedError


@pytest.mark.parametrize("after", [False, True])
def test_a_run_killed_at_every_transaction_ends_as_if_it_never_was(
    log: Path, reference: Ran, tmp_path: Path, after: bool
) -> None:
    store, paths = MemoryStore(), {name: tmp_path / name for name in FILES}
    for steps in [*range(1, 9), 15, 10_000]:
        run = Replay(SHARED, RULES, _Dying(store, steps, after=after), Outputs(paths))
        try:
            run.run(open_log([log], batch_size=90 + steps % 7), "log")
        except _DiedError:
            continue
        finally:
            run.outputs.close()
    assert run.resumed_at > 0
    assert run.standing().digest == reference[0]["digest"]
    assert {name: path.read_bytes() for name, path in paths.items()} == reference[1]


def test_with_one_lane_nothing_is_exchanged(log: Path, tmp_path: Path) -> None:
    facts = [
        replay(log, tmp_path / name, settings=replace(each, lanes=1))[0] for name, each in (("a", ALONE), ("b", SHARED))
    ]
    assert facts[0]["digest"] == facts[1]["digest"]
    assert not any(name.startswith("share") for name in facts[1]["tallies"])


# -- where an exchange stands ----------------------------------------------------------------------------------------


def record(ts: int, **fields: Any) -> Record:
    event = {"event_id": f"e{ts}", "customer_id": "c", "ts": ts, "kind": "view", **fields}
    return Record(json.dumps(event).encode(), "log", 1)


@given(st.lists(st.integers(0, 100), max_size=30), st.data())
def test_where_batches_are_cut_does_not_depend_on_the_batches(times: list[int], data: st.DataObject) -> None:
    records = [record(ts) for ts in times]
    one = Boundaries(10, -1, -1)
    whole = [(epoch, ts) for epoch, piece in one.cut(records) for ts in piece]
    other = Boundaries(10, -1, -1)
    parts: list[tuple[int | None, Record]] = []
    rest = records
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        parts += [(epoch, each) for epoch, piece in other.cut(rest[:size]) for each in piece]
        rest = rest[size:]
    assert [each for _, each in parts] == [each for _, each in whole] == records
    # The first record of a piece with an epoch is the first at or past it.
    newest, epochs = -1, []
    for ts in times:
        if newest >= 0 and ts // 10 > newest // 10:
            epochs.append((ts // 10 * 10, ts))
        newest = max(newest, ts)
    for found in (whole, parts):
        firsts: list[tuple[int, int]] = []
        for epoch, each in found:
            if epoch is not None and (not firsts or firsts[-1][0] != epoch):
                firsts.append((epoch, json.loads(each.raw or b"")["ts"]))
        assert firsts == epochs


@pytest.mark.parametrize(
    ("clock", "told", "expected"),
    [(-1, -1, [None, 30]), (12, -1, [20, 30]), (12, 20, [None, 30]), (31, 20, [None]), (12, 30, [None])],
)
def test_a_run_that_goes_on_knows_what_was_exchanged(clock: int, told: int, expected: list[int | None]) -> None:
    cut = Boundaries(10, clock, told).cut([record(21), record(22), record(31)])
    assert [epoch for epoch, _ in cut] == expected


def test_what_is_no_event_is_no_time() -> None:
    records = [record(1), Record(b"{}", "log", 2), Record(None, "log", 3), record(11)]
    assert [(epoch, len(piece)) for epoch, piece in Boundaries(10, -1, -1).cut(records)] == [(None, 3), (10, 1)]


@pytest.mark.parametrize(
    "other",
    [
        record(5)._replace(record_ts=5),
        *(record(5, customer_id=None, kind=kind, lane=0, lanes=3) for kind in ("tick", "merge", "model", "rules")),
    ],
    ids=["record_ts", "tick", "merge", "model", "rules"],
)
def test_a_log_that_says_itself_what_was_exchanged_is_refused(
    other: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="without --share"):
        list(Boundaries(10, -1, -1).cut([record(1), other]))
    log = tmp_path / "log.jsonl"
    line = json.loads(other.raw or b"")
    if other.record_ts is not None:
        line["record_ts"] = other.record_ts
    log.write_text(json.dumps(line) + "\n")
    assert main(["replay", str(log), "--share", "1d", "--digest"]) == 2
    assert "--share" in capsys.readouterr().err


def test_a_topic_is_not_replayed_with_exchanges_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--kafka", "localhost:1", "--share", "1d", "--digest"]) == 2
    assert "replay.share (--share): expected none beside --kafka" in capsys.readouterr().err


@pytest.mark.parametrize("value", ["0", "1s", "day", "366d"])
def test_an_interval_is_from_a_minute_to_a_year(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "x.jsonl", "--share", value]) == 2
    assert "replay.share (--share): expected a duration from 1min to 365d, or none" in capsys.readouterr().err


def test_the_command_shares(log: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place = tmp_path / "henji.toml"
    place.write_text('[churn]\nhorizon = "4d"\n[engagement]\nhorizon = "2d"\n[contact]\nhorizon = "1d"\n')
    command = ["replay", str(log), "--lanes", "3", "--settings", str(place), "--json"]
    facts = []
    for more in (["--share", "1d"], []):
        assert main([*command, *more]) == 0
        facts.append(json.loads(capsys.readouterr().out))
    assert facts[0]["tallies"]["shared"] > 60
    assert "shared" not in facts[1]["tallies"]
    assert facts[0]["run"] != facts[1]["run"]
