"""The fuse: it blows when the newest records are nearly all dead, however they come in batches."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.live.fuse import FUSE_RECORDS, Fuse

BATCHES = st.lists(
    st.integers(0, 2 * FUSE_RECORDS).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))), max_size=30
)


def test_few_bad_records_do_not_blow_it() -> None:
    assert not Fuse(0.95).add(FUSE_RECORDS - 1, FUSE_RECORDS - 1)


def test_it_blows_beyond_its_limit_and_not_at_it() -> None:
    assert not Fuse(0.95).add(1_000, 950)
    assert Fuse(0.95).add(1_000, 951)


def test_good_records_long_ago_do_not_hold_it() -> None:
    fuse = Fuse(0.95)
    fuse.add(100_000, 0)
    assert fuse.add(FUSE_RECORDS, FUSE_RECORDS)


def test_bad_records_long_ago_are_forgotten() -> None:
    fuse = Fuse(None)
    fuse.add(5_000, 5_000)
    fuse.add(FUSE_RECORDS, 0)
    assert fuse.share == 0.0


@pytest.mark.parametrize("limit", [0.0, 0.5, 1.0])
def test_nothing_read_is_nothing_bad(limit: float) -> None:
    fuse = Fuse(limit)
    assert not fuse.add(0, 0)
    assert fuse.share == 0.0


@given(BATCHES)
def test_without_a_limit_it_never_blows(batches: list[tuple[int, int]]) -> None:
    fuse = Fuse(None)
    assert not any(fuse.add(*batch) for batch in batches)


@given(BATCHES, st.floats(0, 1))
def test_it_looks_at_the_fewest_newest_batches_that_are_enough(batches: list[tuple[int, int]], limit: float) -> None:
    fuse = Fuse(limit)
    for end in range(1, len(batches) + 1):
        blown = fuse.add(*batches[end - 1])
        records = dead = 0
        for n_records, n_dead in reversed(batches[:end]):
            records, dead = records + n_records, dead + n_dead
            if records >= FUSE_RECORDS:
                break
        assert fuse.share == (dead / records if records else 0.0)
        assert blown == (records >= FUSE_RECORDS and dead / records > limit)


@given(BATCHES)
def test_the_share_is_a_share(batches: list[tuple[int, int]]) -> None:
    fuse = Fuse(0.5)
    for batch in batches:
        fuse.add(*batch)
        assert 0.0 <= fuse.share <= 1.0
