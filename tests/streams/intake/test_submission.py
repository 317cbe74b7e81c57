"""Bodies to events, or to what is wrong with them."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decode import Limits, decode
from engine.errors import InvalidEvent
from streams.intake.problem import SHOWN, Problem
from streams.intake.submission import JSON, MAX_EVENTS, NDJSON, Submitted, check_control, decode_all, split_body

NOW = 1_700_000_000_000


def event(number: int = 1, **fields: Any) -> dict[str, Any]:
    return {"event_id": f"e{number}", "customer_id": "c", "ts": NOW, "kind": "view", **fields}


def refused(body: bytes, media_type: str = JSON) -> Problem:
    with pytest.raises(Problem) as problem:
        asyncio.run(decode_all(split_body(body, media_type), now_ms=NOW))
    return problem.value


values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
)  # fmt: skip


@given(st.lists(values, min_size=1, max_size=5))
def test_one_event_an_array_and_lines_say_the_same(elements: list[Any]) -> None:
    lines = split_body(b"\n".join(orjson.dumps(each) for each in elements), NDJSON)
    assert split_body(orjson.dumps(elements), JSON) == lines
    if not isinstance(elements[0], list):
        assert split_body(orjson.dumps(elements[0]), JSON) == lines[:1]


@given(st.binary(max_size=60))
def test_any_body_is_events_or_a_problem(body: bytes) -> None:
    for media_type in (JSON, NDJSON):
        # What else is raised fails the test.
        with suppress(Problem):
            assert asyncio.run(decode_all(split_body(body, media_type), now_ms=NOW))


def test_the_bytes_of_one_event_stay_as_they_came() -> None:
    body = b' { "event_id": "e1", "customer_id": "\\u0063", "ts": 1.7e3, "x": 1.50 }\r\n'
    assert split_body(body, JSON) == [body]
    assert split_body(b"\r\n" + body + b"\n \n", NDJSON) == [body.removesuffix(b"\r\n")]


@pytest.mark.parametrize("body", [b"", b" \n", b"[]", b"\n\n"])
@pytest.mark.parametrize("media_type", [JSON, NDJSON])
def test_a_body_without_events_is_refused(body: bytes, media_type: str) -> None:
    assert refused(body, media_type).code == ("invalid" if (body, media_type) == (b"[]", NDJSON) else "empty")


def test_more_events_than_allowed_are_refused_before_they_are_looked_at() -> None:
    for body, media_type in ((b"[" + b"0," * MAX_EVENTS + b"0]", JSON), (b"0\n" * (MAX_EVENTS + 1), NDJSON)):
        assert refused(body, media_type).code == "too_many"


def test_every_wrong_event_is_named_with_field_and_reason() -> None:
    body = json.dumps(
        [event(), event(score="5"), 17, event(kind="purchse"), event(ts=NOW + 300_001), event(ts=NOW + 300_000)]
    )
    problem = refused(body.encode())
    assert problem.code == "invalid"
    assert [(e["index"], e["field"], e["reason"]) for e in problem.errors] == [
        (1, "score", "type"),
        (2, "", "not_object"),
        (3, "kind", "kind"),
        (4, "ts", "future"),
    ]
    assert problem.errors[0]["expected"] == "a number"
    assert problem.errors[0]["got"] == "'5'"


def test_an_event_without_id_is_refused_as_anywhere() -> None:
    fields = event()
    del fields["event_id"]
    (error,) = refused(orjson.dumps(fields)).errors
    assert (error["field"], error["reason"]) == ("event_id", "missing")


def test_a_long_event_in_a_short_body_is_refused() -> None:
    assert refused(orjson.dumps(event(body="x" * 70_000))).errors[0]["reason"] == "too_large"


def test_nesting_that_json_cannot_write_again_is_refused() -> None:
    deep = b'{"event_id":"e","customer_id":"c","ts":0,"kind":"ack","ref":"a","body":{"a":' + b"[" * 300 + b"]" * 300
    (error,) = refused(b"[" + deep + b"}}]").errors
    assert error["reason"] == "json"


def test_a_thousand_wrong_events_are_counted_and_some_are_listed() -> None:
    problem = refused(b"0\n" * 1000, NDJSON)
    assert "got 1000 that are not" in problem.detail
    assert len(problem.errors) == SHOWN


def test_control_events_are_named() -> None:
    events = [Submitted(raw, decode(raw)) for raw in (orjson.dumps(event(1)), orjson.dumps(event(2, kind="erase")))]
    with pytest.raises(Problem) as problem:
        check_control(events)
    assert problem.value.code == "control"
    assert [(e["index"], e["got"]) for e in problem.value.errors] == [(1, "erase")]
    check_control(events[:1])


@given(values)
def test_the_intake_refuses_exactly_what_the_worker_would(element: Any) -> None:
    raw = orjson.dumps(element)
    with pytest.raises(InvalidEvent) as theirs:
        decode(raw, limits=Limits(), record_ts=NOW)
    (ours,) = refused(raw, NDJSON).errors
    assert (ours["reason"], ours["field"]) == (theirs.value.reason, theirs.value.field)
