from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.timestamp import MAX_TS, format_ms, parse_rfc3339

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2100, 12, 30)),  # noqa: DTZ001 - the zone is added below
    st.integers(-23 * 60 - 59, 23 * 60 + 59),
    st.sampled_from("Tt "),
)
def test_text_of_a_moment_is_read_as_that_moment(moment: datetime, offset: int, mark: str) -> None:
    aware = moment.replace(tzinfo=timezone(timedelta(minutes=offset)))
    text = aware.isoformat().replace("T", mark)
    assert parse_rfc3339(text) == (aware - _EPOCH) // timedelta(milliseconds=1)


@given(st.integers(0, MAX_TS))
def test_format_and_parse_are_inverse(ms: int) -> None:
    assert parse_rfc3339(format_ms(ms)) == ms


@pytest.mark.parametrize("zulu", ["Z", "z", "+00:00", "-00:00"])
def test_utc_may_be_written_in_four_ways(zulu: str) -> None:
    assert parse_rfc3339(f"2026-01-01T00:00:00{zulu}") == 1_767_225_600_000


@pytest.mark.parametrize(("fraction", "ms"), [("0", 0), ("1", 100), ("0019", 1), ("999999999", 999)])
def test_fractions_beyond_a_millisecond_are_cut_off(fraction: str, ms: int) -> None:
    assert parse_rfc3339(f"1970-01-01T00:00:00.{fraction}Z") == ms


@pytest.mark.parametrize(
    "text",
    [
        "2026-01-01T00:00:00",
        "2026-01-01",
        "2026-01-01T00:00Z",
        "2026-02-30T00:00:00Z",
        "2025-02-29T00:00:00Z",
        "2016-12-31T23:59:60Z",
        "2026-01-01T24:00:00Z",
        "2026-01-01T00:60:00Z",
        "2026-01-01T00:00:00+24:00",
        "2026-01-01T00:00:00+0100",
        "2026-01-01T00:00:00.Z",
        "2026-01-01T00:00:00,5Z",
        "2026-W01-1T00:00:00Z",
        "20260101T000000Z",
        "0000-01-01T00:00:00Z",
        " 2026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z\n",
        "٢٠٢٦-01-01T00:00:00Z",
        "1700000000000",
        "",
    ],
)
def test_other_shapes_and_times_that_do_not_exist_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse_rfc3339(text)
