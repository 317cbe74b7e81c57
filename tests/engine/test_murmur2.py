from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.murmur2 import lane_of, murmur2


# From org.apache.kafka.common.utils.UtilsTest of Apache Kafka.
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"21", -973932308),
        (b"foobar", -790332482),
        (b"a-little-bit-long-string", -985981536),
        (b"a-little-bit-longer-string", -1486304829),
        (b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        (b"abc", 479470107),
    ],
)
def test_hash_is_that_of_the_java_client(data: bytes, expected: int) -> None:
    assert murmur2(data) == expected


@given(st.binary(max_size=64))
def test_hash_fits_in_a_java_int(data: bytes) -> None:
    assert -(2**31) <= murmur2(data) < 2**31


@given(st.text(max_size=64), st.integers(1, 64))
def test_lane_is_the_positive_hash_modulo_lanes(customer_id: str, lanes: int) -> None:
    lane = lane_of(customer_id, lanes)
    assert lane == (murmur2(customer_id.encode()) % 2**31) % lanes
    assert 0 <= lane < lanes


def test_negative_hash_keeps_its_low_bits() -> None:
    # abs() instead of Kafka's mask would give another lane: -973932308 masked is 1173551340.
    assert lane_of("21", 1000) == 340


def test_partition_carries_whole_lanes() -> None:
    for number in range(500):
        customer = f"客户-{number}"
        assert lane_of(customer, 16) % 8 == lane_of(customer, 8)


def test_lanes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="lanes: expected an integer >= 1, got 0"):
        lane_of("c1", 0)
