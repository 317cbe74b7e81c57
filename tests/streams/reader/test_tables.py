from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import duckdb
import pytest
import zstandard

from engine.decode import decode
from engine.errors import InvalidEvent, UsageError
from engine.vocabulary import Vocabulary
from streams.reader import Record, open_log
from tests.streams.reader.logs import decoded, events, flat

CSV = """event_id,customer_id,ts,kind,score,value,channel,attributes.role,attributes
007,5,1700000000000,view,, 1e3 ,"we""b",,
8,c 1,2026-01-01T00:00:00Z,feedback,4.5,,"a
b",owner,"{""beds"":2}"
9,5,17000000000000000000,purchase,n/a,1e999,NULL,,{x
"""


def words(text: str) -> Vocabulary:
    return Vocabulary.parse(text, "map.toml")


def parquet(path: Path, select: str) -> Path:
    with duckdb.connect(":memory:") as connection:
        connection.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet)")
    return path


def text(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_csv_text_becomes_what_our_fields_are(tmp_path: Path) -> None:
    assert decoded(open_log([text(tmp_path / "log.csv", CSV)])) == [
        {
            "event_id": "007",
            "customer_id": "5",
            "ts": 1_700_000_000_000,
            "kind": "view",
            "value": 1000.0,
            "channel": 'we"b',
        },
        {
            "event_id": "8",
            "customer_id": "c 1",
            "ts": "2026-01-01T00:00:00Z",
            "kind": "feedback",
            "score": 4.5,
            "channel": "a\nb",
            "attributes": {"beds": 2, "role": "owner"},
        },
        {
            "event_id": "9",
            "customer_id": "5",
            "ts": "17000000000000000000",
            "kind": "purchase",
            "score": "n/a",
            "value": "1e999",
            "channel": "NULL",
            "attributes": "{x",
        },
    ]


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
@pytest.mark.parametrize("packing", ["", ".gz", ".zst"])
def test_csv_may_be_packed_and_have_another_delimiter(tmp_path: Path, delimiter: str, packing: str) -> None:
    data = "\ufeffevent_id,ts\r\na,1\r\nb,2\r\n".replace(",", delimiter).encode()
    packed = {"": data, ".gz": gzip.compress(data), ".zst": zstandard.compress(data)}[packing]
    path = text(tmp_path / f"log.csv{packing}", packed)
    reader = open_log([path])
    assert decoded(reader) == [{"event_id": "a", "ts": 1}, {"event_id": "b", "ts": 2}]
    assert reader.bytes_read == reader.total_bytes


def test_rows_that_are_no_rows_come_as_dead_records(tmp_path: Path) -> None:
    path = text(tmp_path / "log.csv", b"event_id,ts,kind\n1,1,view\n2,2\n3,3,view,x,y\n4,\xff,view\n5,5,view\n")
    records = flat(open_log([path]))
    assert [(record.raw or b"")[:16] for record in records[:2]] == [b'{"event_id":"1",', b'{"event_id":"5",']
    assert [(record.position, record.source) for record in records[2:]] == [(n, str(path)) for n in (3, 4, 5)]
    assert [record.raw for record in records[2:4]] == [b"2,2", b"3,3,view,x,y"]
    for record in records[2:]:
        with pytest.raises(InvalidEvent):
            decode(record.raw)


def test_a_million_rows_far_down_decide_nothing_about_types(tmp_path: Path) -> None:
    rows = "".join(f"{n},{n}\n" for n in range(30_000))
    found = decoded(open_log([text(tmp_path / "log.csv", f"event_id,ts\n{rows}x-1,soon\n")]))
    assert found[-1] == {"event_id": "x-1", "ts": "soon"}
    assert found[0] == {"event_id": "0", "ts": 0}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("a,a\n1,2\n", "line 1: expected a header, every column named once"),
        ("a,,b\n1,2,3\n", "line 1: expected a header"),
        ("\n1,2\n", "line 1: expected a header"),
        (b"\xe9,b\n1,2\n", "line 1: expected UTF-8"),
    ],
)
def test_a_csv_without_a_good_header_is_refused(tmp_path: Path, content: str | bytes, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        flat(open_log([text(tmp_path / "log.csv", content)]))


def test_a_truncated_packed_csv_is_refused(tmp_path: Path) -> None:
    data = gzip.compress("".join(f"{n},{n * 7919 % 1013}\n" for n in range(200_000)).encode())
    path = text(tmp_path / "log.csv.gz", gzip.compress(b"event_id,ts\n") + data[: len(data) // 2])
    with pytest.raises(UsageError, match=r"log\.csv\.gz"):
        flat(open_log([path]))


@pytest.mark.parametrize(
    ("expression", "field", "expected"),
    [
        ("7::BIGINT", "customer_id", "7"),
        ("7::DOUBLE", "customer_id", "7"),
        ("7.5::DOUBLE", "customer_id", 7.5),
        ("12345678901234567890::DECIMAL(20,0)", "case_id", "12345678901234567890"),
        ("'4e202c78-6617-4aaf-838f-aafe6b0e9748'::UUID", "event_id", "4e202c78-6617-4aaf-838f-aafe6b0e9748"),
        ("'view'::ENUM ('view', 'x')", "kind", "view"),
        ("'c1'::BLOB", "customer_id", "c1"),
        ("1.50::DECIMAL(9,2)", "value", 1.5),
        ("3::TINYINT", "score", 3),
        ("'3'", "score", 3),
        ("'nan'::DOUBLE", "score", None),
        ("'-inf'::DOUBLE", "value", "-inf"),
        ("1700000000000::BIGINT", "ts", 1_700_000_000_000),
        ("18446744073709551615::UBIGINT", "ts", 2**64 - 1),
        ("TIMESTAMP '2026-01-01 00:00:00.4567'", "ts", "2026-01-01T00:00:00.456Z"),
        ("TIMESTAMP_S '2026-01-01 00:00:00'", "ts", "2026-01-01T00:00:00.000Z"),
        ("TIMESTAMP_NS '2026-01-01 00:00:00.123456789'", "ts", "2026-01-01T00:00:00.123Z"),
        ("TIMESTAMPTZ '2026-01-01 00:00:00+08'", "ts", "2025-12-31T16:00:00.000Z"),
        ("DATE '2026-01-01'", "ts", "2026-01-01T00:00:00.000Z"),
        ("DATE '2026-01-01'", "attributes.expected_end", {"attributes": {"expected_end": "2026-01-01"}}),
        ("'infinity'::TIMESTAMP", "ts", None),
        ("{'role': 'x', 'beds': 2}", "attributes", {"role": "x", "beds": 2}),
        ("MAP {'role': 'x'}", "attributes", {"role": "x"}),
        ("true", "attributes.dog", {"attributes": {"dog": True}}),
        ("[1, 2]", "tags", [1, 2]),
        ("NULL::INTEGER", "score", None),
    ],
)
def test_parquet_types_become_what_our_fields_are(tmp_path: Path, expression: str, field: str, expected: Any) -> None:
    path = parquet(tmp_path / "log.parquet", f'SELECT 1::INTEGER AS one, {expression} AS "{field}"')
    (record,) = decoded(open_log([path]))
    assert record.pop("one") == 1
    assert record == (expected if field.startswith("attributes.") else {} if expected is None else {field: expected})


def test_times_without_offset_wait_for_the_zone_of_the_mapping(tmp_path: Path) -> None:
    path = parquet(tmp_path / "log.parquet", "SELECT TIMESTAMP '2026-01-01 08:00:00' AS ts")
    vocabulary = words('time = {zone = "+08:00"}')
    (record,) = decoded(open_log([path], vocabulary=vocabulary))
    assert vocabulary.apply(record) == {"ts": 1_767_225_600_000}


def test_digits_of_a_format_stay_text(tmp_path: Path) -> None:
    path = text(tmp_path / "log.csv", "ts\n01022026\n")
    vocabulary = words('time = {format = "%d%m%Y", zone = "UTC"}')
    (record,) = decoded(open_log([path], vocabulary=vocabulary))
    assert vocabulary.apply(record) == {"ts": 1_769_904_000_000}


def test_types_follow_the_mapped_field(tmp_path: Path) -> None:
    path = parquet(tmp_path / "log.parquet", "SELECT 5 AS nr, '4' AS stars, 6 AS customer_id")
    vocabulary = words('fields = {nr = ["event_id", "case_id"], stars = "score"}')
    (record,) = decoded(open_log([path], vocabulary=vocabulary))
    assert record == {"nr": "5", "stars": 4, "customer_id": "6"}


def test_record_time_of_a_table_is_passed_on(tmp_path: Path) -> None:
    path = text(tmp_path / "log.csv", "event_id,record_ts\na,17\nb,\nc,x\nd,-1\n")
    assert [record.record_ts for record in flat(open_log([path]))] == [17, None, None, None]


def test_select_runs_over_all_files_as_log(tmp_path: Path) -> None:
    first = text(tmp_path / "a.csv", "id,opened\n1,10\n2,5\n")
    second = parquet(tmp_path / "b.parquet", "SELECT '3' AS id, '7' AS opened, 'x' AS more")
    vocabulary = words(
        """
        sql = '''
          SELECT id || s AS event_id, opened AS ts, more AS channel -- two events of a row
          FROM log, (VALUES ('a'), ('b')) AS t(s) ORDER BY opened::INT DESC, event_id; '''
        """
    )
    reader = open_log([first, second], vocabulary=vocabulary, batch_size=2)
    found = flat(reader)
    assert [record["event_id"] for record in decoded([found])] == ["1a", "1b", "3a", "3b", "2a", "2b"]
    assert decoded([found])[2] == {"event_id": "3a", "ts": 7, "channel": "x"}
    assert [(record.source, record.position) for record in found] == [("log", n) for n in range(1, 7)]
    assert reader.bytes_read == reader.total_bytes


def test_order_of_a_select_survives_many_rows(tmp_path: Path) -> None:
    path = parquet(tmp_path / "log.parquet", "SELECT i AS id, hash(i) AS h FROM range(50_000) t(i)")
    vocabulary = words('sql = "SELECT id AS event_id, h FROM log ORDER BY h"')
    order = [record["h"] for record in decoded(open_log([path], vocabulary=vocabulary))]
    assert order == sorted(order)
    assert len(order) == 50_000


@pytest.mark.parametrize(
    ("sql", "message"),
    [
        ("SELEC", "map.toml: sql: expected a SELECT that runs over"),
        ("SELECT nothing FROM log", "map.toml: sql: expected a SELECT that runs over"),
        ("SELECT 1; SELECT 2", "map.toml: sql: expected one SELECT over the view log"),
        ("COPY log TO 'out.csv'", "map.toml: sql: expected one SELECT over the view log"),
        ("SELECT *, 2 AS Event_id FROM log", "map.toml: sql: expected every column once, got Event_id twice"),
        ("SELECT * FROM read_text('/etc/hostname')", "Cannot access file"),
        ("SELECT * FROM read_csv('https://localhost/x.csv')", "map.toml: sql"),
    ],
)
def test_a_wrong_select_is_refused(tmp_path: Path, sql: str, message: str) -> None:
    path = text(tmp_path / "log.csv", "event_id\n1\n")
    with pytest.raises(UsageError, match=message):
        flat(open_log([path], vocabulary=Vocabulary("map.toml", sql=sql)))


def test_a_select_without_log_is_run(tmp_path: Path) -> None:
    path = text(tmp_path / "log.csv", "event_id\n1\n")
    vocabulary = words('sql = "WITH a AS (SELECT 12345678901234567890123::HUGEINT AS event_id) FROM a"')
    assert decoded(open_log([path], vocabulary=vocabulary)) == [{"event_id": "12345678901234567890123"}]


def test_an_unreadable_parquet_is_refused(tmp_path: Path) -> None:
    path = text(tmp_path / "log.parquet", b"PAR1" + b"\xff" * 50 + b"PAR1")
    with pytest.raises(UsageError, match=r"log\.parquet: expected a readable Parquet file"):
        flat(open_log([path]))


def test_a_path_that_duckdb_would_expand_is_refused(tmp_path: Path) -> None:
    path = text(tmp_path / "log[1].csv", "event_id\n1\n")
    with pytest.raises(UsageError, match="rename the file"):
        flat(open_log([path]))


def test_every_format_gives_the_same_events(tmp_path: Path) -> None:
    rows = events(300)
    lines = "".join(f"{e['event_id']},{e['customer_id']},{e['ts']},{e['kind']}\n" for e in rows)
    table = text(tmp_path / "it's.csv", f"event_id,customer_id,ts,kind\n{lines}")
    with duckdb.connect(":memory:") as connection:
        quoted = str(table).replace("'", "''")
        connection.execute(f"COPY (FROM '{quoted}') TO '{tmp_path}/log.parquet' (FORMAT parquet)")
    for path in (table, tmp_path / "log.parquet"):
        assert decoded(open_log([path])) == rows
        assert decoded(open_log([path], sort=True)) == rows[::-1]


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    path = parquet(tmp_path / "log.parquet", "SELECT i AS event_id, i / 7 AS value FROM range(5000) t(i)")

    def read() -> list[Record]:
        return flat(open_log([path], batch_size=1000))

    assert read() == read()
    assert read() == flat(open_log([path], batch_size=33))
