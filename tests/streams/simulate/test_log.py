from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

import orjson
import pytest
import zstandard

from engine.decode import decode
from engine.errors import ConfigurationError, InvalidEvent
from streams.simulate import SimulationSettings, simulate, write_log

HOUR_MS = 3_600_000
PLAIN = SimulationSettings(customers=30, days=20)
ROUGH = SimulationSettings(
    customers=30, days=20, disorder_share=0.05, late_share=0.02, duplicate_share=0.03, bad_share=0.05
)


def written(folder: Path, name: str, chosen: SimulationSettings = PLAIN) -> tuple[bytes, bytes]:
    log, truth = folder / name, folder / f"truth-{name}"
    write_log(chosen, log, truth)
    return log.read_bytes(), truth.read_bytes()


@pytest.mark.parametrize("name", ["log.jsonl", "log.jsonl.gz", "log.jsonl.zst"])
@pytest.mark.parametrize("chosen", [PLAIN, ROUGH], ids=["plain", "rough"])
def test_same_settings_give_the_same_bytes(tmp_path: Path, name: str, chosen: SimulationSettings) -> None:
    (tmp_path / "again").mkdir()
    assert written(tmp_path, name, chosen) == written(tmp_path / "again", name, chosen)


def test_compressed_logs_hold_the_same_lines(tmp_path: Path) -> None:
    plain, truth = written(tmp_path, "log.jsonl")
    zipped, zipped_truth = written(tmp_path, "log.jsonl.gz")
    packed, _ = written(tmp_path, "log.jsonl.zst")
    assert gzip.decompress(zipped) == plain
    assert gzip.decompress(zipped_truth) == truth
    with zstandard.ZstdDecompressor().stream_reader(packed) as reader:
        assert reader.read() == plain


def test_the_log_is_the_simulated_events(tmp_path: Path) -> None:
    log, _ = written(tmp_path, "log.jsonl")
    assert [orjson.loads(line) for line in log.splitlines()] == list(simulate(PLAIN))


def test_another_seed_gives_other_bytes(tmp_path: Path) -> None:
    first = written(tmp_path, "log.jsonl")
    second = written(tmp_path, "log.jsonl", SimulationSettings(customers=30, days=20, seed=2))
    assert first[0] != second[0]
    assert first[1] != second[1]


def test_the_summary_counts_what_is_in_the_files(tmp_path: Path) -> None:
    log, truth = tmp_path / "log.jsonl", tmp_path / "truth.jsonl"
    calls: list[tuple[float, int]] = []
    summary = write_log(ROUGH, log, truth, lambda share, lines: calls.append((share, lines)))
    lines = log.read_bytes().splitlines()
    assert summary.lines == len(lines) == summary.events + summary.duplicates + summary.bad
    assert summary.customers == 30
    rows = [orjson.loads(line) for line in truth.read_bytes().splitlines()]
    assert rows[0]["type"] == "run"
    assert rows[0]["settings"]["seed"] == 1
    counts = {key: getattr(summary, key) for key in ("events", "disordered", "late", "duplicates", "bad")}
    assert rows[-1] == {"type": "log"} | counts
    assert summary.leavers == sum(row.get("leaves", False) for row in rows)
    assert len(calls) == 20
    assert calls == sorted(calls)
    assert calls[-1][0] == 1.0


def test_bad_lines_and_only_they_are_refused(tmp_path: Path) -> None:
    log, truth = tmp_path / "log.jsonl", tmp_path / "truth.jsonl"
    summary = write_log(ROUGH, log, truth)
    reasons: Counter[str] = Counter()
    for line in log.read_bytes().split(b"\n")[:-1]:
        try:
            decode(line)
        except InvalidEvent as error:
            reasons[error.reason] += 1
    assert sum(reasons.values()) == summary.bad > 20
    assert len(reasons) >= 6


def test_roughness_changes_the_arrival_and_not_what_happened() -> None:
    plain = list(simulate(PLAIN))
    rough = list(simulate(ROUGH))
    once = {(event["customer_id"], event["event_id"]): event for event in rough}
    assert sorted(map(orjson.dumps, once.values())) == sorted(map(orjson.dumps, plain))
    assert len(rough) > len(plain)


def test_disorder_alone_stays_within_the_lateness() -> None:
    chosen = SimulationSettings(customers=30, days=20, disorder_share=0.2)
    clock, overtaken = 0, 0
    for event in simulate(chosen):
        clock = max(clock, event["ts"])
        overtaken += event["ts"] < clock
        assert clock - event["ts"] < HOUR_MS
    assert overtaken > 20


def test_late_events_are_older_than_the_lateness() -> None:
    chosen = SimulationSettings(customers=30, days=20, late_share=0.05)
    clock, late = 0, 0
    for event in simulate(chosen):
        clock = max(clock, event["ts"])
        late += clock - event["ts"] > HOUR_MS
    assert late > 20


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    missing = tmp_path / "nowhere" / "log.jsonl"
    with pytest.raises(ConfigurationError, match=r"nowhere.*log\.jsonl"):
        write_log(PLAIN, missing, tmp_path / "truth.jsonl")
    with pytest.raises(ConfigurationError, match="two names"):
        write_log(PLAIN, tmp_path / "one", tmp_path / "one")
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_log_leaves_no_file(tmp_path: Path) -> None:
    def stop(share: float, lines: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_log(PLAIN, tmp_path / "log.jsonl.gz", tmp_path / "truth.jsonl", stop)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("customers", 0),
        ("days", 0),
        ("events", 0),
        ("incidents", 7),
        ("leave_rate", 1.0),
        ("late_share", -0.1),
        ("disorder_share", 1.1),
        ("duplicate_share", float("nan")),
        ("bad_share", 2),
        ("utc_offset_h", 15),
    ],
)
def test_a_setting_out_of_range_is_named(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=name):
        SimulationSettings(**{name: value})  # type: ignore[arg-type]  # any field may be given
