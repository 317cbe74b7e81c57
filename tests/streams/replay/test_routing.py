"""A look at a record tells the lane that decoding it whole tells."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decode import Limits, decode
from engine.errors import InvalidEvent
from engine.murmur2 import lane_of
from engine.vocabulary import Vocabulary
from streams.reader.record import Record
from streams.replay.routing import Router

LANES = 64
WORDS = Vocabulary.parse('[fields]\nwho = "customer_id"\n', "map.toml")
EVENT = {"event_id": "e1", "customer_id": "c1", "ts": 5, "kind": "view"}


def decoded(raw: bytes | None, vocabulary: Vocabulary | None = None) -> int | None:
    """The lane of an event; `None` for what is none."""
    try:
        event = decode(raw, vocabulary=vocabulary)
    except InvalidEvent:
        return None
    return (event.lane or 0) % LANES if event.customer_id is None else lane_of(event.customer_id, LANES)


def check(raw: bytes | None, vocabulary: Vocabulary | None = None) -> int | None:
    expected = decoded(raw, vocabulary)
    found = Router(LANES, vocabulary).lane(Record(raw, "log", 1))
    assert 0 <= found < LANES
    assert expected in (None, found)
    return expected


@pytest.mark.parametrize(
    ("raw", "is_event"),
    [
        (b'{"event_id":"e","customer_id":"c1","ts":0,"kind":"view"}', True),
        (b'{"event_id":"e","customer_id":"c1","ts":0,"kind":"view","customer_id":"c2"}', True),
        (b'{"event_id":"e","customer_id":null,"ts":0,"kind":"view","customer_id":"c2"}', True),
        (b'{"event_id":"e","customer_id":5,"ts":0,"kind":"view","customer_id":"c2"}', True),
        (b'{"event_id":"e","customer_id":"c1","ts":0,"kind":"view","customer_id":null}', False),
        (b'{"event_id":"e","customer\\u005fid":"c3","ts":0,"kind":"view"}', True),
        (b'{"event_id":"e","customer_id":"\\u0063\\u0301\\ud83d\\ude00","ts":0,"kind":"view"}', True),
        ('{"event_id":"e","customer_id":"\u00e9","ts":0,"kind":"view"}'.encode(), True),
        ('{"event_id":"e","customer_id":"e\u0301","ts":0,"kind":"view"}'.encode(), True),
        (b'{"event_id":"e","customer_id":"\\ud83d","ts":0,"kind":"view"}', False),
        (b'{"event_id":"e","customer_id":"\xff","ts":0,"kind":"view"}', False),
        (b'{"event_id":"e","customer_id":"c1","ts":0,"kind":"view","x":"\xff"}', False),
        (b'{"event_id":"e","customer_id":"c1","ts":0,"kind":"view","x":1e999}', False),
        (b'{"event_id":"e","customer_id":"c1","ts":0,"kind":"view","x":NaN}', False),
        (b'\xef\xbb\xbf{"event_id":"e","customer_id":"c1","ts":0,"kind":"view"}', False),
        (b' \t{"event_id":"e","customer_id":"c1","ts":0,"kind":"view"}\r', True),
        (b'{"event_id":"e","ts":0,"kind":"tick","lane":13,"lanes":64}', True),
        (b'{"event_id":"e","ts":0,"kind":"tick","lane":200,"lanes":256}', True),
        (b'{"event_id":"e","customer_id":"c1","ts":0,"kind":"tick","lane":13,"lanes":64}', False),
        (b'{"event_id":"e","customer_id":"' + b"c" * 129 + b'","ts":0,"kind":"view"}', False),
        (b'{"event_id":"e","customer_id":"c1","ts":0,"kind":"view","x":' + b"[" * 3000 + b"]" * 3000 + b"}", False),
        (b'{"event_id":"e","customer_id":"c1","ts":0,"kind":"view","x":"' + b"x" * 70_000 + b'"}', False),
        (b"[]", False),
        (b"", False),
        (None, False),
    ],
)
def test_records_that_two_parsers_might_read_otherwise(raw: bytes | None, is_event: bool) -> None:
    assert (check(raw) is not None) == is_event


_TEXT = st.text(max_size=6) | st.sampled_from(
    ["customer_id", "c1", "view", "tick", "\u00e9", "e\u0301", "\u202e", "😀"]
)
_VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT, lambda v: st.lists(v, max_size=3), max_leaves=4
)
_FIELD = st.tuples(st.sampled_from(["customer_id", "who", "kind", "lane", "lanes", "ts", "event_id", "x"]), _VALUE)


def as_json(fields: list[tuple[str, Any]], ascii_only: bool) -> bytes:
    """An object in which names may come twice."""
    text = ",".join(f"{json.dumps(name)}:{json.dumps(value, ensure_ascii=ascii_only)}" for name, value in fields)
    return ("{" + text + "}").encode(errors="surrogatepass")


@given(st.lists(_FIELD, max_size=4), _TEXT, st.booleans(), st.booleans(), st.integers(0, 200))
def test_an_event_goes_to_its_lane_whatever_else_the_record_holds(
    fields: list[tuple[str, Any]], customer: str, ascii_only: bool, first: bool, cut: int
) -> None:
    whole = [(name, value) for name, value in {**EVENT, "customer_id": customer, "who": customer}.items()]
    raw = as_json(whole + fields if first else fields + whole, ascii_only)
    for vocabulary in (None, WORDS):
        check(raw, vocabulary)
        check(raw[:cut] + raw[cut + 1 :], vocabulary)


@given(st.binary(max_size=80))
def test_bytes_that_are_no_event_have_some_lane(raw: bytes) -> None:
    check(raw)


def test_a_vocabulary_says_where_the_customer_stands() -> None:
    raw = b'{"event_id":"e","who":"c9","ts":0,"kind":"view"}'
    assert check(raw, WORDS) == lane_of("c9", LANES)
    assert check(raw) is None


def test_limits_are_those_of_the_replay() -> None:
    raw = json.dumps({**EVENT, "x": "y" * 70_000}).encode()
    router = Router(LANES, limits=Limits(max_bytes=100_000))
    assert router.lane(Record(raw, "log", 1)) == lane_of("c1", LANES)
