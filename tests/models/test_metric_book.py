"""Metrics by version, segment and time against plain lists, and stored part by part."""

from __future__ import annotations

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import InputRefused, SnapshotDamaged, SnapshotError, SnapshotForeign
from models.metric_book import DAY_MS, NAME_LENGTH, OTHER, MetricBook
from models.metrics import ClassificationMetrics, CountMetrics

Row = tuple[int, str, str, float, bool]
rows_of = st.lists(
    st.tuples(
        st.integers(-900, 900),
        st.sampled_from(["a", "b", "c"]),
        st.sampled_from(["x", "y"]),
        st.floats(0.0, 1.0),
        st.booleans(),
    ),
    max_size=60,
)


def filled(rows: Iterable[Row], max_groups: int = 16) -> MetricBook[ClassificationMetrics]:
    book = MetricBook(ClassificationMetrics, max_groups=max_groups)
    for row in rows:
        put(book, row)
    return book


def put(book: MetricBook[ClassificationMetrics], row: Row) -> None:
    day, version, segment, p, y = row
    book.update(p, y, at=day * DAY_MS, version=version, segment=segment)


def figures(rows: Iterable[Row]) -> dict[str, float]:
    metrics = ClassificationMetrics()
    for _, _, _, p, y in rows:
        metrics.update(p, y)
    return metrics.get()


@settings(deadline=None, max_examples=50)
@given(rows_of)
def test_total_is_all_of_its_version_and_segment(rows: list[Row]) -> None:
    book = filled(rows)
    assert book.total().get() == pytest.approx(figures(rows))
    for version in "abc":
        assert book.total(version=version).get() == pytest.approx(figures(r for r in rows if r[1] == version))
        for segment in "xy":
            mine = [r for r in rows if r[1:3] == (version, segment)]
            assert book.total(version=version, segment=segment).get() == pytest.approx(figures(mine))


@settings(deadline=None, max_examples=50)
@given(rows_of, st.integers(0, 400))
def test_recent_is_whole_buckets_that_touch_the_window(rows: list[Row], window_d: int) -> None:
    book = filled(rows)
    now = max((r[0] for r in rows), default=0)
    newest = {group: max(r[0] for r in rows if r[1:3] == group) // 30 for group in {r[1:3] for r in rows}}

    def touches(row: Row) -> bool:
        bucket = row[0] // 30
        ends = (bucket + 1) * 30 * DAY_MS - 1
        return ends > (now - window_d) * DAY_MS and bucket > newest[row[1:3]] - 13

    assert book.recent(now * DAY_MS, window_d * DAY_MS).get() == pytest.approx(figures(filter(touches, rows)))


def test_series_has_a_sum_per_bucket_over_time() -> None:
    rng = random.Random(1)
    rows = [(day, "a", "x", rng.random(), rng.random() < 0.3) for day in range(0, 200, 2)]
    for start, metrics in filled(rows).series():
        assert metrics.get() == pytest.approx(
            figures(r for r in rows if r[0] * DAY_MS // (30 * DAY_MS) * 30 * DAY_MS == start)
        )
    assert [start // DAY_MS for start, _ in filled(rows).series()] == [0, 30, 60, 90, 120, 150, 180]


@settings(deadline=None, max_examples=50)
@given(rows_of, rows_of)
def test_books_of_lanes_add_up(left: list[Row], right: list[Row]) -> None:
    one, other = filled(left), filled(right)
    before = other.snapshot()
    one.merge(other)
    assert other.snapshot() == before
    whole = filled(left + right)
    assert one.total().get() == pytest.approx(whole.total().get())
    assert [start for start, _ in one.series()] == [start for start, _ in whole.series()]
    for (_, merged), (_, counted) in zip(one.series(), whole.series(), strict=True):
        assert merged.get() == pytest.approx(counted.get())


@settings(deadline=None, max_examples=50)
@given(st.lists(rows_of, max_size=4))
def test_parts_stored_after_each_batch_are_the_book_to_the_bit(batches: list[list[Row]]) -> None:
    book = MetricBook(ClassificationMetrics, max_groups=3)
    ledger: dict[str, bytes] = {}
    for batch in batches:
        for row in batch:
            put(book, row)
        ledger |= book.changed()
        assert book.changed() == {}
        book = MetricBook.restore(ClassificationMetrics, ledger) if len(batch) % 2 else book
    kept = filled((row for batch in batches for row in batch), max_groups=3)
    if not batches:
        ledger |= book.changed()
    assert MetricBook.restore(ClassificationMetrics, ledger).snapshot() == kept.snapshot()


def test_a_batch_changes_one_part_of_each_group_in_it() -> None:
    book = filled([(day, "a", segment, 0.4, True) for day in range(0, 600, 10) for segment in ("x", "y", "z")])
    assert len(book.changed()) == 1 + 3 * 14
    put(book, (600, "a", "y", 0.3, False))
    assert sorted(book.changed()) == ["1/7", "1/old"]
    put(book, (601, "a", "y", 0.3, False))
    assert sorted(book.changed()) == ["1/7"]


def test_a_part_that_was_pushed_out_is_not_counted_twice() -> None:
    book = filled([(0, "a", "x", 0.5, True), (30, "a", "x", 0.5, True)])
    ledger = book.changed()
    put(book, (3_000, "a", "x", 0.5, True))
    ledger |= book.changed()
    stored = MetricBook.restore(ClassificationMetrics, ledger)
    assert stored.total().n == 3
    assert [metrics.n for _, metrics in stored.series()] == [1]


def test_what_comes_when_the_book_is_full_is_counted_as_other() -> None:
    book = filled([(i, f"v{i}", "x", 0.5, True) for i in range(10)], max_groups=3)
    assert book.groups == [("v0", "x"), ("v1", "x"), ("v2", "x"), (OTHER, OTHER)]
    assert book.total(version=OTHER).n == 7
    assert book.total().n == 10


def test_parts_are_small() -> None:
    rng = random.Random(2)
    book = filled((rng.randrange(600), "a", "x", rng.betavariate(2, 3), rng.random() < 0.4) for _ in range(30_000))
    parts = book.snapshot()
    assert len(parts) == 15
    assert max(map(len, parts.values())) < 2_500


def test_a_refused_prediction_leaves_no_group() -> None:
    book = MetricBook(ClassificationMetrics)
    for p, version in [(2.0, "a"), (0.5, ""), (0.5, "a" * (NAME_LENGTH + 1))]:
        with pytest.raises(InputRefused):
            book.update(p, True, at=0, version=version, segment="x")
    assert book.groups == []


def test_counts_have_books_too() -> None:
    book = MetricBook(CountMetrics)
    book.update(2.0, 3.0, at=0, version="a", segment="x")
    assert MetricBook.restore(CountMetrics, book.changed()).total().get()["mae"] == 1.0


def test_only_like_books_are_merged() -> None:
    with pytest.raises(InputRefused):
        MetricBook(CountMetrics).merge(MetricBook(CountMetrics, bucket_ms=1))


@pytest.mark.parametrize("sizes", [(0, 13, 16), (1, 0, 16), (1, 13, 0)])
def test_sizes_that_hold_nothing_are_refused(sizes: tuple[int, int, int]) -> None:
    with pytest.raises(InputRefused):
        MetricBook(CountMetrics, bucket_ms=sizes[0], n_buckets=sizes[1], max_groups=sizes[2])


def test_parts_of_no_book_are_refused() -> None:
    book = filled([(0, "a", "x", 0.5, True), (400, "a", "x", 0.5, True)])
    parts = book.snapshot()
    with pytest.raises(SnapshotForeign):
        MetricBook.restore(CountMetrics, parts)
    with pytest.raises(SnapshotDamaged):
        MetricBook.restore(ClassificationMetrics, {"0/0": parts["0/0"]})
    with pytest.raises(SnapshotDamaged):
        MetricBook.restore(
            ClassificationMetrics, parts | {"0/0": parts["0/old"] if "0/old" in parts else parts["head"]}
        )
    with pytest.raises(SnapshotError):
        MetricBook.restore(ClassificationMetrics, parts | {"0/0": parts["0/0"][:-1]})
