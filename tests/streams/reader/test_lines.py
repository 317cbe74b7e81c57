from __future__ import annotations

import gzip
import itertools
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from engine.decode import decode
from engine.errors import InvalidEvent, UsageError
from streams.reader import open_log
from streams.reader.lines import MAX_LINE, split_lines
from tests.streams.reader.logs import decoded, events, flat, write_lines


@pytest.mark.parametrize("name", ["log.jsonl", "log.ndjson", "LOG.JSON", "log.jsonl.gz", "log.jsonl.zst"])
def test_every_packing_gives_the_same_records(tmp_path: Path, name: str) -> None:
    path = write_lines(tmp_path / name, events(2500))
    reader = open_log([path])
    assert decoded(reader) == events(2500)
    assert [record.position for record in flat(reader)] == list(range(1, 2501))
    assert {record.source for record in flat(reader)} == {str(path)}
    assert reader.bytes_read == reader.total_bytes == path.stat().st_size


def test_packed_bytes_are_known_without_an_ending(tmp_path: Path) -> None:
    packed = write_lines(tmp_path / "a.jsonl.gz", events(3))
    assert decoded(open_log([packed.rename(tmp_path / "a.jsonl")])) == events(3)


def test_several_frames_and_members_are_one_file(tmp_path: Path) -> None:
    line = b'{"a":1}\n'
    (tmp_path / "a.jsonl.zst").write_bytes(zstandard.compress(line) * 3)
    (tmp_path / "a.jsonl.gz").write_bytes(gzip.compress(line) * 3)
    assert len(flat(open_log([tmp_path / "a.jsonl.zst", tmp_path / "a.jsonl.gz"]))) == 6


def test_blank_lines_are_skipped_and_counted(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a":1}\r\n\n  \t\r\n{"a":2}')
    assert [(record.raw, record.position) for record in flat(open_log([path]))] == [(b'{"a":1}', 1), (b'{"a":2}', 4)]


def test_bad_lines_come_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(b'\xff\n{"a"\n[]\n')
    assert [record.raw for record in flat(open_log([path]))] == [b"\xff", b'{"a"', b"[]"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b'{"record_ts":17}', 17),
        (b'{"record_ts":-1}', None),
        (b'{"record_ts":true}', None),
        (b'{"record_ts":"17"}', None),
        (b'{"body":{"record_ts":17}}', None),
        (b'["record_ts"]', None),
        (b'"record_ts" {', None),
        (b'{"ts":17}', None),
    ],
)
def test_record_time_of_an_export_is_passed_on(tmp_path: Path, line: bytes, expected: int | None) -> None:
    path = tmp_path / "log.jsonl"
    path.write_bytes(line)
    assert flat(open_log([path]))[0].record_ts == expected


@pytest.mark.parametrize("padding", [b"x", b" "])
def test_an_endless_line_is_too_large_and_the_next_one_is_read(tmp_path: Path, padding: bytes) -> None:
    path = tmp_path / "log.jsonl"
    start = b'{"event_id":"e","customer_id":"c","ts":0,"kind":"view"}'
    path.write_bytes(b"[]\n" + start + padding * (MAX_LINE + 300_000) + b"\n{}\n")
    first, endless, last = flat(open_log([path]))
    assert (first.raw, last.raw, last.position) == (b"[]", b"{}", 3)
    assert endless.raw is not None
    assert endless.raw.startswith(start)
    assert 256 < len(endless.raw) < 100_000
    with pytest.raises(InvalidEvent) as caught:
        decode(endless.raw)
    assert caught.value.reason == "too_large"


@given(st.binary(max_size=60), st.lists(st.integers(0, 60)), st.integers(1, 8))
def test_cutting_does_not_depend_on_blocks(data: bytes, cuts: list[int], longest: int) -> None:
    edges = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    blocks = [data[start:end] for start, end in itertools.pairwise(edges)]
    lines = [line for lines in split_lines(blocks, keep=100) for line in lines]
    expected = data.split(b"\n")
    assert lines == (expected if expected[-1] else expected[:-1])
    # A line may be longer than the bound only where a block holds it whole.
    short = [
        line
        for lines in split_lines((data[i : i + 1] for i in range(len(data))), keep=1, longest=longest)
        for line in lines
    ]
    assert short == [line if len(line) <= longest else line[:1] for line in lines]


@pytest.mark.parametrize("name", ["log.jsonl.gz", "log.jsonl.zst"])
def test_a_truncated_file_is_refused_after_its_records(tmp_path: Path, name: str) -> None:
    path = write_lines(tmp_path / name, events(50_000))
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 2 // 3])
    batches = iter(open_log([path]))
    seen = len(next(batches))
    with pytest.raises(UsageError, match=f"{name}: expected the end of the .* data, got the end of the file"):
        seen += len(flat(batches))
    assert 0 < seen < 50_000


@pytest.mark.parametrize("name", ["log.jsonl.gz", "log.jsonl.zst"])
def test_damaged_bytes_are_refused(tmp_path: Path, name: str) -> None:
    path = write_lines(tmp_path / name, events(5000))
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 200] = b"\xff" * 200
    path.write_bytes(bytes(data))
    with pytest.raises(UsageError, match=r"expected (gzip|zstd) data, got damaged bytes"):
        flat(open_log([path]))


def test_a_bomb_does_not_fill_memory(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl.zst"
    path.write_bytes(zstandard.compress(b"\0" * (1 << 28)))
    (record,) = flat(open_log([path]))
    assert record.raw is not None
    assert len(record.raw) == 65_537
