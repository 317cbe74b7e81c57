from __future__ import annotations

import re
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.kafka import dead_letter
from streams.kafka.dead_letter import (
    MAX_LETTER_BYTES,
    MAX_RAW_BYTES,
    DeadLetter,
    Foreign,
    Place,
    Resolution,
    read,
)


class Consumed(NamedTuple):
    """What a consumer gives back of what was sent."""

    value: bytes | None
    key: bytes | None
    headers: list[tuple[str, bytes]]


LETTER = DeadLetter(b"{", b"c1", "events", 3, 88121, 1_767_225_600_000, "json", "", "expected one JSON object")

topics = st.from_regex(re.compile(r"[A-Za-z0-9._-]{1,60}"), fullmatch=True)
letters = st.builds(
    DeadLetter,
    raw=st.none() | st.binary(max_size=200),
    key=st.none() | st.binary(max_size=20),
    topic=topics,
    partition=st.integers(0, 2**31 - 1),
    offset=st.integers(0, 2**63 - 1),
    timestamp_ms=st.integers(-1, 2**62),
    reason=st.sampled_from(["json", "late", "engine"]),
    field=st.text(max_size=20).filter(str.isprintable),
    message=st.text(max_size=200).filter(str.isprintable),
    error=st.sampled_from(["InvalidEvent", "ZeroDivisionError"]),
    whole_bytes=st.integers(-1, 2**62),
)
names = st.sampled_from([*(name for name, _ in LETTER.headers()), "henji-resolved", "henji-null", "henji-cut", "x"])


@given(letters)
def test_a_letter_comes_back_as_it_was_sent(letter: DeadLetter) -> None:
    assert read(Consumed(**letter.record())) == letter


@given(letters)
def test_value_and_key_are_those_of_the_record(letter: DeadLetter) -> None:
    sent = letter.record()
    assert sent["key"] == letter.key
    assert sent["value"] == (b"" if letter.raw is None and letter.key is None else letter.raw)


@given(topics, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1))
def test_a_resolution_comes_back_as_it_was_sent(topic: str, partition: int, offset: int) -> None:
    resolution = Resolution(Place(topic, partition, offset))
    assert read(Consumed(**resolution.record())) == resolution


@given(
    st.lists(st.tuples(names, st.none() | st.binary(max_size=30)), max_size=12),
    st.none() | st.binary(max_size=30),
    st.none() | st.binary(max_size=30),
)
def test_foreign_headers_never_raise(headers: list[tuple[str, bytes]], value: bytes | None, key: bytes | None) -> None:
    good = [("henji-schema", b"1"), *headers]
    assert isinstance(read(Consumed(value, key, headers)), DeadLetter | Resolution | Foreign)
    assert isinstance(read(Consumed(value, key, good)), DeadLetter | Resolution | Foreign)


@pytest.mark.parametrize("missing", [n for n, _ in LETTER.headers()])
def test_a_letter_without_one_of_its_headers_is_foreign_and_says_which(missing: str) -> None:
    headers = [(n, v) for n, v in LETTER.headers() if n != missing]
    found = read(Consumed(b"{", b"c1", headers))
    assert isinstance(found, Foreign)
    assert missing in found.why


def test_another_schema_is_foreign() -> None:
    found = read(Consumed(b"{", None, [("henji-schema", b"2")]))
    assert found == Foreign("henji-schema: expected 1, got '2'")


def test_headers_carry_nothing_of_the_payload() -> None:
    letter = LETTER._replace(raw=b"a secret of the customer", key=b"customer-77")
    assert not any(b"secret" in value or b"customer-77" in value for _, value in letter.headers())


def test_a_value_too_long_for_a_letter_is_cut_and_its_length_kept() -> None:
    letter = LETTER._replace(raw=b"x" * (MAX_RAW_BYTES + 1))
    sent = letter.record()
    found = read(Consumed(**sent))
    assert isinstance(found, DeadLetter)
    assert found.whole_bytes == MAX_RAW_BYTES + 1
    assert letter.raw is not None
    assert found.raw is not None
    assert letter.raw.startswith(found.raw)
    assert len(found.raw) < MAX_RAW_BYTES
    assert read(Consumed(**found.record())) == found


def test_the_longest_whole_letter_fits_its_topic() -> None:
    letter = LETTER._replace(
        raw=b"x" * (MAX_RAW_BYTES - 2), message="界" * 5_000, field="界" * 5_000, error="界" * 5_000, topic="t" * 249
    )
    sent = letter.record()
    size = len(sent["value"]) + len(sent["key"]) + sum(len(n) + len(v) + 10 for n, v in sent["headers"]) + 200
    assert sent["value"] == letter.raw
    assert size <= MAX_LETTER_BYTES


@pytest.mark.parametrize("text", ["", "events", "events/1", "events/1/2/3", "/1/2", "a b/1/2", "events/-1/2",
                                  "events/1/9223372036854775808", "events/١/2", "events/1/"])  # fmt: skip
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        Place.parse(text)


def test_the_docstring_names_every_header() -> None:
    named = set(re.findall(r"`(henji-[a-z]+)`", dead_letter.__doc__ or ""))
    headers = {name for name, _ in LETTER._replace(raw=None, key=None, whole_bytes=1).headers()}
    headers |= {name for name, _ in Resolution(LETTER.place).record()["headers"]}
    assert named == headers
