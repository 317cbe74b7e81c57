from __future__ import annotations

import itertools
import os
import random
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UsageError
from engine.vocabulary import Vocabulary
from streams.reader import open_log
from tests.streams.reader.logs import decoded, events, flat, write_lines


@pytest.mark.parametrize("size", [1, 7, 5000])
def test_batches_hold_what_was_asked_for(tmp_path: Path, size: int) -> None:
    reader = open_log([write_lines(tmp_path / "log.jsonl", events(20))], batch_size=size)
    batches = list(reader)
    assert max(map(len, batches)) == min(size, 20)
    assert decoded(batches) == events(20)


def test_files_are_read_in_their_order(tmp_path: Path) -> None:
    first = write_lines(tmp_path / "b.jsonl", events(2))
    second = write_lines(tmp_path / "a.jsonl.gz", events(3))
    reader = open_log([first, second])
    assert [(Path(r.source).name, r.position) for r in flat(reader)] == [
        *(("b.jsonl", 1), ("b.jsonl", 2)),
        *(("a.jsonl.gz", 1), ("a.jsonl.gz", 2), ("a.jsonl.gz", 3)),
    ]
    assert reader.total_bytes == first.stat().st_size + second.stat().st_size == reader.bytes_read


def test_one_path_alone_is_taken(tmp_path: Path) -> None:
    assert decoded(open_log(str(write_lines(tmp_path / "log.jsonl", events(1))))) == events(1)


@pytest.mark.parametrize("memory", [1, 3000, 1 << 30])
def test_sorting_is_by_time_then_id_then_file(tmp_path: Path, memory: int) -> None:
    stamps: list[Any] = [5, "1970-01-01T00:00:00.003Z", 3, 3, 9, "soon", 3]
    names = ["b", "é", "b", "a", "x", "y", "b"]
    records = [{"event_id": name, "ts": ts, "n": n} for n, (name, ts) in enumerate(zip(names, stamps, strict=True))]
    first = write_lines(tmp_path / "1.jsonl", records[:4])
    second = write_lines(tmp_path / "2.jsonl", records[4:])
    reader = open_log([first, second], sort=True, sort_memory=memory, batch_size=2)
    batches = list(reader)
    assert [len(batch) for batch in batches] == [2, 2, 2, 1]
    assert [record["n"] for record in decoded(batches)] == [5, 3, 2, 6, 1, 0, 4]
    assert reader.bytes_read == reader.total_bytes


@pytest.mark.parametrize("memory", [100_000, 1 << 30])
def test_sorting_gives_every_record_once(tmp_path: Path, memory: int) -> None:
    shuffled = events(3000)
    random.Random(7).shuffle(shuffled)
    path = write_lines(tmp_path / "log.jsonl", shuffled)
    found = flat(open_log([path], sort=True, sort_memory=memory))
    assert decoded([found]) == events(3000)[::-1]
    assert sorted(record.position for record in found) == list(range(1, 3001))


def test_sorting_is_by_the_time_that_the_mapping_makes(tmp_path: Path) -> None:
    rows = [{"id": 1, "at": "02.01.2026"}, {"id": 2, "at": "01.02.2026"}, {"id": 3, "at": "01.01.2026"}]
    words = Vocabulary.parse(
        'fields = {id = "event_id", at = "ts"}\ntime = {format = "%d.%m.%Y", zone = "UTC"}', "map.toml"
    )
    reader = open_log([write_lines(tmp_path / "log.jsonl", rows)], vocabulary=words, sort=True)
    assert [record["id"] for record in decoded(reader)] == [3, 1, 2]


def test_progress_never_runs_back(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "log.jsonl", events(20_000))
    for sort in (False, True):
        reader = open_log([path], sort=sort)
        assert reader.bytes_read == 0
        seen = [reader.bytes_read for _ in reader]
        assert all(before <= after for before, after in itertools.pairwise(seen))
        assert 0 < seen[0] < reader.total_bytes
        assert reader.bytes_read == reader.total_bytes


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.jsonl", None, "expected a log file, got: No such file or directory"),
        ("empty.jsonl", b"", "expected events, got an empty file"),
        ("empty.csv", b"", "expected events, got an empty file"),
        ("log.txt", b"{}", "expected .jsonl, .ndjson, .json or .csv .* got .txt"),
        ("log", b"{}", "got no ending"),
        ("log.gz", b"\x1f\x8b", "got .gz"),
        ("log.parquet.gz", b"\x1f\x8b", "got .parquet.gz"),
        ("log.jsonl.gz", b"{}\n", "expected gzip data as its name says, got something else"),
        ("log.jsonl.zst", b"\x1f\x8b..", "expected zstd data as its name says, got gzip"),
        ("log.jsonl", "{}".encode("utf-16"), "expected UTF-8, got UTF-16"),
        ("log.parquet", b"{}\n", "expected a Parquet file, got bytes without its mark"),
        ("log.parquet", b"PAR1 and no more", "expected a Parquet file, got bytes without its mark"),
    ],
)
def test_a_wrong_file_is_refused_before_reading(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    good = write_lines(tmp_path / "good.jsonl", events(1))
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=message) as caught:
        open_log([good, path])
    assert str(caught.value).startswith(str(path))


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="expected a log file, got a directory"):
        open_log([tmp_path])


def test_a_pipe_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "log.jsonl")
    with pytest.raises(UsageError, match="expected a regular file, got a pipe"):
        open_log([tmp_path / "log.jsonl"])


def test_wrong_calls_are_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "log.jsonl", events(1))
    with pytest.raises(UsageError, match="expected at least one log file"):
        open_log([])
    with pytest.raises(UsageError, match="batch_size: expected a number >= 1, got 0"):
        open_log([path], batch_size=0)
    with pytest.raises(UsageError, match=r"map.toml: sql: expected CSV or Parquet files, got .*log.jsonl"):
        open_log([path], vocabulary=Vocabulary.parse("sql = 'SELECT 1'", "map.toml"))
