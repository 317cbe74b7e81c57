"""Where a record of a log goes, and what is done to it on the way: nothing."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decode import Limits, decode
from engine.errors import InvalidEvent
from engine.event import CONTROL_LANE
from engine.murmur2 import lane_of
from engine.vocabulary import Vocabulary
from streams.kafka.sender import LONGEST, Placed, place

customers = st.text(min_size=1, max_size=130)


@given(customers, st.integers(1, 32))
def test_an_event_goes_to_its_customer(customer_id: str, partitions: int) -> None:
    raw = orjson.dumps({"event_id": "e", "customer_id": customer_id, "ts": 0, "kind": "view"})
    assert place(raw, partitions) == Placed(lane_of(customer_id, partitions), customer_id.encode(), raw)


@given(st.sampled_from(sorted(CONTROL_LANE)), st.integers(0, 63), st.integers(1, 16))
def test_lane_control_goes_where_the_lane_is(kind: str, lane: int, partitions: int) -> None:
    raw = orjson.dumps({"event_id": "e", "ts": 0, "kind": kind, "lane": lane, "lanes": 64})
    assert place(raw, partitions) == Placed(lane % partitions, None, raw)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{",
        b"\xff",
        b"[1]",
        b"null",
        b'{"event_id":"e"}',
        b'{"customer_id":5}',
        b'{"customer_id":""}',
        b'{"customer_id":null,"kind":"view","lane":3}',
        b'{"kind":"tick","lane":-1,"lanes":8}',
        b'{"kind":"tick","lane":true,"lanes":8}',
        b'{"kind":"tick","lane":"3","lanes":8}',
        b'{"kind":["tick"],"lane":3}',
        b'{"customer_id":"' + b"x" * 70_000 + b'"}',
    ],
    ids=lambda raw: repr(raw[:40]),
)
def test_what_is_no_event_goes_to_partition_0_as_it_is(raw: bytes) -> None:
    assert place(raw, 8) == Placed(0, None, raw)


@given(
    st.binary(max_size=300) | st.recursive(st.none() | st.text() | st.integers(), st.lists).map(repr).map(str.encode)
)
def test_no_line_stops_the_sending(raw: bytes) -> None:
    assert place(raw, 4).value == raw


record = st.fixed_dictionaries(
    {},
    optional={
        "customer_id": st.sampled_from(["a", "ü", " ", 5, None, "x" * 200]),
        "kind": st.sampled_from(["view", "tick", "rules", "none", 7]),
        "lane": st.sampled_from([0, 7, -1, True, "1", None]),
        "lanes": st.sampled_from([8, 0, None]),
        "event_id": st.just("e"),
        "ts": st.just(1),
    },
)


@given(record)
def test_the_key_never_makes_a_dead_letter_of_an_event_nor_another_reason(fields: dict[str, Any]) -> None:
    raw = orjson.dumps(fields)
    assert verdict(raw, place(raw, 8).key) == verdict(raw, None)


def verdict(raw: bytes, key: bytes | None) -> object:
    try:
        return decode(raw, key=key)
    except InvalidEvent as error:
        return str(error)


def test_of_a_key_that_stands_twice_the_last_counts_as_in_the_engine() -> None:
    raw = b'{"attributes":{"customer_id":"c"},"customer_id":"a","customer_id":"b"}'
    assert place(raw, 8).key == b"b"


def test_a_line_that_kafka_would_refuse_is_cut_and_stays_too_large() -> None:
    assert place(b"x" * LONGEST, 4).value == b"x" * LONGEST
    cut = place(b"x" * (LONGEST + 1), 4).value
    assert len(cut) == Limits().max_bytes + 1
    with pytest.raises(InvalidEvent) as refused:
        decode(cut)
    assert refused.value.reason == "too_large"


def test_a_mapping_sends_our_words() -> None:
    words = Vocabulary.parse('[fields]\n"Caller" = "customer_id"\n[kinds]\n"Incident" = "request"\n', "words.toml")
    placed = place(b'{"Caller":"c1","kind":"Incident"}', 4, words=words)
    assert placed.key == b"c1"
    assert json.loads(placed.value) == {"customer_id": "c1", "kind": "request"}
    deep = b'{"customer_id":"c1","body":' + b"[" * 300 + b"]" * 300 + b"}"
    assert place(deep, 4, words=words).value == deep
