from __future__ import annotations

import json
import pickle
import re
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decode import REASONS, Limits, decode
from engine.errors import InvalidEvent
from engine.event import KINDS, Event
from engine.fields import is_category
from engine.timestamp import MAX_TS
from engine.vocabulary import Vocabulary

GOOD: dict[str, Any] = {"event_id": "e1", "customer_id": "c1", "ts": 1_700_000_000_000, "kind": "view"}


def raw(*dropped: str, **fields: Any) -> bytes:
    """A good event with some fields changed, and one taken out."""
    record = GOOD | fields
    return orjson.dumps({name: value for name, value in record.items() if name not in dropped})


def lane(**fields: Any) -> bytes:
    return raw(**({"kind": "tick", "customer_id": None, "lane": 0, "lanes": 8} | fields))


def literal(field: str, text: str) -> bytes:
    """A good event in which one field is written just so."""
    return raw(**{field: "@"}).replace(b'"@"', text.encode())


def nested(depth: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(depth):
        value = {"a": value}
    return value


# Row numbers of the list of bad inputs; 0: from the contract of the fields.
BAD: list[tuple[str, bytes | None, str, str]] = [
    ("01-no-bytes", b"", "empty", ""),
    ("01-white-space", b" \r\n", "empty", ""),
    ("02-tombstone", None, "tombstone", ""),
    ("06-invalid-utf8", raw().replace(b"c1", b"\xff1"), "encoding", ""),
    ("06-encoded-surrogate", raw().replace(b"c1", b"\xed\xa0\x80"), "encoding", ""),
    ("06-lone-surrogate", raw().replace(b"c1", b"\\ud800"), "json", ""),
    ("07-truncated", b'{"customer_id":"c1","ty', "json", ""),
    ("08-two-objects", raw() + raw(), "json", ""),
    ("08-trailing-bytes", raw() + b"x", "json", ""),
    ("09-list", b"[]", "not_object", ""),
    ("09-number", b"17", "not_object", ""),
    ("09-string", b'"x"', "not_object", ""),
    ("09-null", b"null", "not_object", ""),
    ("09-true", b"true", "not_object", ""),
    ("10-deep-arrays", b"[" * 60_000, "json", ""),
    ("10-deep-objects", b'{"a":' * 10_000, "json", ""),
    ("10-deep-value-of-a-field", literal("score", "[" * 1000 + "]" * 1000), "type", "score"),
    ("11-ten-megabytes", raw(channel="x" * 10_000_000), "too_large", ""),
    ("11-too-large-before-parsing", b"\xff" * 65_537, "too_large", ""),
    ("12-many-fields", orjson.dumps({str(number): 0 for number in range(257)}), "too_many_fields", ""),
    ("14-nan", literal("value", "NaN"), "json", ""),
    ("14-infinity", literal("value", "-Infinity"), "json", ""),
    ("14-overflow", literal("value", "1e400"), "json", ""),
    ("15-ts-negative", raw(ts=-1), "ts_range", "ts"),
    ("15-ts-far-negative", raw(ts=-(10**18)), "ts_range", "ts"),
    ("15-ts-before-1970", raw(ts="1969-12-31T23:59:59.9999Z"), "ts_range", "ts"),
    ("16-ts-microseconds", raw(ts=1_700_000_000_000_000), "ts_range", "ts"),
    ("16-ts-nanoseconds", raw(ts=1_700_000_000_000_000_000), "ts_range", "ts"),
    ("17-ts-after-2100", raw(ts=MAX_TS + 1), "ts_range", "ts"),
    ("17-ts-text-after-2100", raw(ts="2101-01-01T00:00:00Z"), "ts_range", "ts"),
    ("18-ts-no-zone", raw(ts="2026-01-01T00:00:00"), "ts", "ts"),
    ("18-ts-leap-second", raw(ts="2016-12-31T23:59:60Z"), "ts", "ts"),
    ("18-ts-february-30", raw(ts="2026-02-30T00:00:00Z"), "ts", "ts"),
    ("19-ts-bool", raw(ts=True), "ts", "ts"),
    ("19-ts-digits", raw(ts="123"), "ts", "ts"),
    ("19-ts-2-to-63", raw(ts=2**63), "ts", "ts"),
    ("19-ts-20-digit-float", literal("ts", "17000000000000000000.5"), "ts", "ts"),
    ("19-ts-float", raw(ts=1_700_000_000_000.0), "ts", "ts"),
    ("19-ts-list", raw(ts=[1]), "ts", "ts"),
    ("19-ts-missing", raw("ts"), "missing", "ts"),
    ("20-customer-missing", raw("customer_id"), "customer", "customer_id"),
    ("20-customer-null", raw(customer_id=None), "customer", "customer_id"),
    ("20-customer-empty", raw(customer_id=""), "customer", "customer_id"),
    ("20-customer-spaces", raw(customer_id=" \u3000"), "customer", "customer_id"),
    ("21-customer-newline", raw(customer_id="c\n1"), "customer", "customer_id"),
    ("21-customer-nul", raw(customer_id="c\0"), "customer", "customer_id"),
    ("21-customer-c1-control", raw(customer_id="c\x85"), "customer", "customer_id"),
    ("21-customer-10-kb", raw(customer_id="c" * 10_000), "customer", "customer_id"),
    ("22-customer-integer", raw(customer_id=5), "type", "customer_id"),
    ("22-customer-bool", raw(customer_id=True), "type", "customer_id"),
    ("24-unknown-kind", raw(kind="purchse"), "kind", "kind"),
    ("24-kind-in-capitals", raw(kind="View"), "kind", "kind"),
    ("24-kind-missing", raw("kind"), "missing", "kind"),
    ("24-kind-list", raw(kind=["view"]), "type", "kind"),
    ("27-score-string", raw(score="5"), "type", "score"),
    ("27-score-bool", raw(score=True), "type", "score"),
    ("27-score-list", raw(score=[5]), "type", "score"),
    ("27-score-object", raw(score={}), "type", "score"),
    ("27-event-id-integer", raw(event_id=17), "type", "event_id"),
    ("27-event-id-30-digits", literal("event_id", "1" * 30), "type", "event_id"),
    ("27-case-id-integer", raw(case_id=17), "type", "case_id"),
    ("32-event-id-missing", raw("event_id"), "missing", "event_id"),
    ("32-event-id-empty", raw(event_id=""), "range", "event_id"),
    ("32-event-id-long", raw(event_id="e" * 129), "range", "event_id"),
    ("32-event-id-nul", raw(event_id="e\0"), "range", "event_id"),
    ("46-magic-byte", b"\0\0\0\0\x07\x04c1\x06abc", "json", ""),
    ("00-byte-order-mark", b"\xef\xbb\xbf" + raw(), "json", ""),
    ("00-score-low", raw(score=0.99), "range", "score"),
    ("00-score-high", raw(score=6), "range", "score"),
    ("00-sentiment", raw(sentiment=-1.01), "range", "sentiment"),
    ("00-wait", raw(wait_s=-0.1), "range", "wait_s"),
    ("00-category-missing", raw(kind="request"), "missing", "category"),
    ("00-category-null", raw(kind="complaint", category=None), "missing", "category"),
    ("00-category-capitals", raw(category="Billing"), "category", "category"),
    ("00-category-empty", raw(category=""), "category", "category"),
    ("00-category-empty-part", raw(category="a//b"), "category", "category"),
    ("00-category-ends-open", raw(category="a/"), "category", "category"),
    ("00-category-star-part", raw(category="a/*"), "category", "category"),
    ("00-category-long", raw(category="a" * 65), "category", "category"),
    ("00-category-control", raw(category="a\tb"), "category", "category"),
    ("00-category-number", raw(category=5), "type", "category"),
    ("00-feedback-without-score", raw(kind="feedback", category="a", sentiment=-1), "missing", "score"),
    ("00-channel-empty", raw(channel=""), "range", "channel"),
    ("00-channel-long", raw(channel="x" * 33), "range", "channel"),
    ("00-agent-long", raw(agent_id="x" * 129), "range", "agent_id"),
    ("00-team-escape", raw(team="\x1b[2J"), "range", "team"),
    ("00-handling-step", raw(kind="handling", step="lapsed"), "range", "step"),
    ("00-contract-step", raw(kind="contract", step="accepted"), "range", "step"),
    ("00-attributes-list", raw(kind="profile", attributes=["x"]), "type", "attributes"),
    ("00-attributes-nested", raw(kind="profile", attributes={"role": {}}), "type", "attributes.role"),
    (
        "00-attributes-many",
        raw(kind="profile", attributes=dict.fromkeys(map(str, range(33)), 1)),
        "range",
        "attributes",
    ),
    ("00-attributes-empty-text", raw(kind="profile", attributes={"role": ""}), "range", "attributes.role"),
    ("00-attributes-no-name", raw(kind="profile", attributes={"": 1}), "range", "attributes"),
    ("00-link-without-ref", raw(kind="link"), "missing", "ref"),
    ("00-ack-without-ref", raw(kind="ack"), "missing", "ref"),
    ("00-snooze-without-ref", raw(kind="snooze", until=1), "missing", "ref"),
    ("00-retract-without-ref", raw(kind="retract", ref=None), "missing", "ref"),
    ("00-override-without-flag", raw(kind="override", state="up"), "missing", "flag"),
    ("00-override-without-state", raw(kind="override", flag="sensitive"), "missing", "state"),
    ("00-override-state", raw(kind="override", flag="sensitive", state="on"), "control", "state"),
    ("00-override-until", raw(kind="override", flag="sensitive", state="up", until="soon"), "ts", "until"),
    ("00-reason-long", raw(kind="erase", reason="x" * 1025), "range", "reason"),
    ("00-lane-with-customer", lane(customer_id="c1"), "control", "customer_id"),
    ("00-lane-missing", lane(lane=None), "missing", "lane"),
    ("00-lanes-missing", lane(lanes=None), "missing", "lanes"),
    ("00-lane-bool", lane(lane=True), "type", "lane"),
    ("00-lane-float", lane(lane=0.0), "type", "lane"),
    ("00-lane-too-large", lane(lane=8), "control", "lane"),
    ("00-lane-negative", lane(lane=-1), "control", "lane"),
    ("00-lanes-zero", lane(lanes=0), "control", "lane"),
    ("00-body-number", lane(kind="rules", body=5), "type", "body"),
    ("00-body-deep", lane(kind="rules", body=nested(40)), "range", "body"),
]


@pytest.mark.parametrize(("value", "reason", "field"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_input_is_refused_with_its_code_and_field(value: bytes | None, reason: str, field: str) -> None:
    with pytest.raises(InvalidEvent) as caught:
        decode(value)
    assert (caught.value.reason, caught.value.field) == (reason, field)
    assert pickle.loads(pickle.dumps(caught.value)).args == caught.value.args
    assert len(str(caught.value)) < 600


def test_every_code_of_decode_is_tried_above() -> None:
    elsewhere = {"future", "key_mismatch", "misrouted", "engine"}
    assert {row[2] for row in BAD} == REASONS.keys() - elsewhere


def test_unknown_kind_lists_the_known_ones() -> None:
    with pytest.raises(InvalidEvent) as caught:
        decode(raw(kind="purchse"))
    assert all(kind in str(caught.value) for kind in KINDS)
    assert "'purchse'" in str(caught.value)


def test_magic_byte_is_named() -> None:
    with pytest.raises(InvalidEvent, match="magic byte 0"):
        decode(b"\0\0\0\0\x07{}")


@pytest.mark.parametrize(
    "customer", ["{}", "*", "../..", "\u200fc", "😀", "c d", "e\u0301", "é", "\u00a0c", "a:b", "x" * 128, "5"]
)
def test_any_other_customer_id_is_taken_as_it_is(customer: str) -> None:
    assert decode(raw(customer_id=customer), key=customer.encode()).customer_id == customer


@pytest.mark.parametrize("ts", [0, MAX_TS, 1_700_000_000])
def test_whole_milliseconds_are_taken_unscaled(ts: int) -> None:
    assert decode(raw(ts=ts)).ts == ts


def test_time_may_be_text_with_offset() -> None:
    assert decode(raw(ts="2026-01-01 08:00:00.5+08:00")).ts == 1_767_225_600_500


def test_last_of_equal_keys_counts() -> None:
    assert decode(raw().replace(b'"customer_id":"c1"', b'"customer_id":"a","customer_id":"b"')).customer_id == "b"


def test_unknown_fields_are_ignored() -> None:
    assert decode(raw(x=[1], colour="red", record_ts=5)) == decode(raw())


def test_null_is_absent() -> None:
    names = ("category", "channel", "score", "value", "until", "attributes", "lane", "body")
    nothing: dict[str, Any] = dict.fromkeys(names)
    assert decode(raw(**nothing)) == Event("e1", "c1", 1_700_000_000_000, "view")


def test_control_fields_of_other_kinds_are_ignored() -> None:
    odd: dict[str, Any] = {
        "ref": 5,
        "state": [],
        "until": "soon",
        "body": {"a": 1},
        "attributes": [],
        "lane": "x",
        "lanes": -1,
    }
    assert decode(raw(**odd)) == decode(raw())


@pytest.mark.parametrize(("number", "expected"), [(5, "5.0"), (-0.0, "0.0"), (1e308, "1e+308"), (5e-324, "5e-324")])
def test_numbers_become_finite_floats(number: float, expected: str) -> None:
    assert repr(decode(raw(kind="purchase", value=number)).value) == expected


def test_a_million_categories_keep_the_cache_bounded() -> None:
    for number in range(10_000):
        decode(raw(category=f"c{number}"))
    assert is_category.cache_info().currsize <= 4096


def test_every_field_arrives() -> None:
    fields: dict[str, Any] = {
        "category": "a/b",
        "channel": "web",
        "touchpoint": "chat",
        "case_id": "k",
        "contact_id": "t",
        "agent_id": "ann",
        "team": "x",
        "nature": "fault",
        "score": 1.5,
        "sentiment": -0.5,
        "value": -3.0,
        "action": "post",
        "outcome": "ok",
        "step": "due",
        "wait_s": 0.0,
        "campaign_id": "p",
        "referred_by": "c2",
        "account_id": "h",
    }
    assert decode(raw(**fields)) == Event(**GOOD, **fields)
    facts = {"role": "owner", "beds": 2, "rate": 0.5, "dog": False}
    assert decode(raw(kind="profile", attributes=facts | {"cat": None})).attributes == facts
    orders: dict[str, Any] = {"flag": "sensitive", "state": "up", "reason": "two\nlines", "by": "ann", "ref": "x"}
    override = decode(raw(kind="override", until="1970-01-01T00:00:01Z", body="text", **orders))
    assert override == Event(**GOOD | {"kind": "override"}, until=1000, body="text", **orders)
    rules = decode(lane(kind="rules", lane=7, body={"a": [1]}))
    assert (rules.customer_id, rules.lane, rules.lanes, rules.body) == (None, 7, 8, {"a": [1]})


def test_time_ahead_of_the_record_is_refused_beyond_five_minutes() -> None:
    ts = GOOD["ts"]
    assert decode(raw(), record_ts=ts - 300_000).ts == ts
    with pytest.raises(InvalidEvent) as caught:
        decode(raw(), record_ts=ts - 300_001)
    assert (caught.value.reason, caught.value.field) == ("future", "ts")
    assert decode(raw(), record_ts=-1).ts == ts


def test_key_must_be_the_customer() -> None:
    for key in (b"c2", b"", b"\xff"):
        with pytest.raises(InvalidEvent) as caught:
            decode(raw(), key=key)
        assert caught.value.reason == "key_mismatch"
    assert decode(lane(), key=b"lane-0").lane == 0


def test_limits_can_be_moved() -> None:
    with pytest.raises(InvalidEvent, match="at most 10 bytes, got"):
        decode(raw(), limits=Limits(max_bytes=10))
    with pytest.raises(InvalidEvent, match="at most 3 fields, got 4"):
        decode(raw(), limits=Limits(max_fields=3))
    assert decode(raw(x="y" * 70_000), limits=Limits(max_bytes=80_000)).kind == "view"


def test_vocabulary_is_applied_before_the_checks() -> None:
    words = Vocabulary.parse('[kinds]\n"Storno" = { kind = "purchase", outcome = "failed" }', "map.toml")
    assert decode(raw(kind="Storno"), vocabulary=words).outcome == "failed"


_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False), st.text(max_size=40)
)
_values = st.recursive(
    _scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
)
_names = st.sampled_from(list(Event.__slots__)) | st.text(max_size=8)
_records = st.dictionaries(_names, _values, max_size=12)
_kinds = st.fixed_dictionaries({"kind": st.sampled_from(list(KINDS))})


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_invalid_event(data: bytes) -> None:
    with pytest.raises(InvalidEvent) as caught:
        decode(data)
    assert caught.value.reason in REASONS


_WORDS = Vocabulary.parse(
    """
    fields = { a = ["event_id", "case_id"], ref = "attributes.x", channel = { value = "web" } }
    kinds = { "1" = "view" }
    categories = { "*" = "other", web = { "*" = "c" } }
    channels = { "*" = "web" }
    time = { unit = "s", format = "%Y", zone = "Asia/Shanghai" }
    defaults = { customer_id = "c1" }
    """,
    "map.toml",
)


@given(_records, _kinds, st.booleans(), st.sampled_from([None, _WORDS]))
def test_random_objects_give_an_event_or_invalid_event(
    fields: dict[str, Any], kind: dict[str, str], good: bool, words: Vocabulary | None
) -> None:
    record = fields | GOOD | kind if good else fields
    data = json.dumps(record).encode()
    event: Event | None
    try:
        event = decode(data, vocabulary=words)
    except InvalidEvent as error:
        event = None
        reason = error.reason
    if event is None:
        assert reason in REASONS
        return
    assert 0 <= event.ts <= MAX_TS
    assert event.kind in KINDS
    assert (event.customer_id is None) == (KINDS[event.kind] == "control_lane")
    texts = [value for name in Event.__slots__ if isinstance(value := getattr(event, name), str) and name != "body"]
    assert not any(re.search(r"[\x00-\x08\x0e-\x1f\x7f-\x9f]", text) for text in texts)
    assert all(texts)


@given(_records, _kinds)
def test_an_event_decodes_to_itself(fields: dict[str, Any], kind: dict[str, str]) -> None:
    try:
        event = decode(json.dumps(fields | GOOD | kind).encode())
    except InvalidEvent:
        return
    again = {name: getattr(event, name) for name in Event.__slots__}
    assert decode(orjson.dumps(again)) == event
