from __future__ import annotations

import zlib

import orjson
import pytest

from streams.kafka.examination import Seen, judge_clock, judge_placement
from streams.kafka.producer import partition_for

NOW = 1_767_225_600_000


def seen(customer: str, partition: int, *, keyed: bool = True, timestamp_ms: int = NOW, appended: bool = True) -> Seen:
    value = orjson.dumps({"customer_id": customer})
    return Seen(partition, customer.encode() if keyed else None, value, timestamp_ms, appended)


CUSTOMERS = [f"c{number}" for number in range(40)]


def test_murmur2_is_fine_at_any_number_of_partitions() -> None:
    for partitions in (1, 2, 3, 8, 64):
        records = [seen(customer, partition_for(customer, partitions)) for customer in CUSTOMERS]
        assert judge_placement(records, partitions).level == "ok"


def test_crc32_is_named_as_the_default_of_librdkafka() -> None:
    finding = judge_placement([seen(customer, zlib.crc32(customer.encode()) % 8) for customer in CUSTOMERS], 8)
    assert finding.level == "error"
    assert "CRC32" in finding.told
    assert "murmur2_random" in finding.told


def test_one_record_in_the_wrong_partition_is_an_error_and_no_crc32() -> None:
    records = [seen(customer, partition_for(customer, 8)) for customer in CUSTOMERS]
    records[3] = records[3]._replace(partition=(records[3].partition + 1) % 8)
    finding = judge_placement(records, 8)
    assert finding.level == "error"
    assert finding.told.startswith("1 of 40 keyed events")
    assert "CRC32" not in finding.told


def test_events_without_a_key_must_lie_where_their_customer_lives() -> None:
    right = [seen(customer, partition_for(customer, 8), keyed=False) for customer in CUSTOMERS]
    assert judge_placement(right, 8).level == "ok"
    assert judge_placement([*right, right[0]._replace(partition=(right[0].partition + 1) % 8)], 8).level == "error"


def test_what_is_no_event_may_lie_anywhere() -> None:
    records = [Seen(partition, None, value, NOW, True) for partition in range(8) for value in (b"x", None, b"[]")]
    assert judge_placement(records, 8).level == "ok"


@pytest.mark.parametrize(("ahead_ms", "level"), [(-86_400_000, "ok"), (0, "ok"), (2_000, "ok"), (2_001, "warning")])
def test_a_broker_whose_clock_is_ahead_is_found(ahead_ms: int, level: str) -> None:
    assert judge_clock([seen("c1", 0, timestamp_ms=NOW + ahead_ms)], NOW).level == level


def test_the_newest_record_counts() -> None:
    records = [seen("c1", 0, timestamp_ms=NOW - ago) for ago in (90_000, 3_500, 60_000)]
    assert "3s ago" in judge_clock(records, NOW).told


def test_times_of_producers_are_a_warning() -> None:
    finding = judge_clock([seen("c1", 0), seen("c1", 0, appended=False)], NOW)
    assert finding.level == "warning"
    assert "message.timestamp.type" in finding.told
