"""Rows of models are read anew when their books may say something else, and are else what they were."""

from __future__ import annotations

from engine.landmarks import EVENT, Landmark
from engine.model_rows import model_rows
from engine.model_watch import RECENT_MS, ModelWatch
from engine.scores import Scores
from tests.engine.runs import DAY, T0

BALANCE = {f"{label}_{what}": 0 for label in ("churn", "engagement", "contact") for what in ("learned", "erased")}


def mark(at: int, p: float) -> Landmark:
    return Landmark(at, EVENT, [0.0] * 40, Scores(p, 1.0, 0.5, (0.0, 0.0)))


def rows(watch: ModelWatch, now: int) -> dict[str, dict[str, str]]:
    return model_rows(watch, {"blend": "blend2"}, "blend", BALANCE | {"taken": 0}, now)


def anew(watch: ModelWatch, now: int) -> dict[str, dict[str, str]]:
    watch.kept.clear()
    return rows(watch, now)


def test_rows_that_were_kept_are_those_that_are_read_anew() -> None:
    watch, now = ModelWatch("event", 0), T0
    for i in range(400):
        # Labels now and then, and a clock that runs on without them until all is long ago.
        now += DAY
        if i % 7 == 0 and i < 200:
            watch.matured(mark(now - DAY, i / 400), ["blend2"], 0, None, i)
        if i % 11 == 0 and i < 150:
            watch.engagement.update(1.0, i % 3, at=now - DAY, version="v", segment="-")
        kept = rows(watch, now)
        assert kept == anew(watch, now)
    assert "recent_log_loss" not in kept["churn_event"]
    assert "log_loss" in kept["churn_event"]


def test_what_a_reader_does_with_a_row_changes_no_later_row() -> None:
    watch = ModelWatch("event", 0)
    watch.matured(mark(T0, 0.5), ["blend2"], 0, None, 1)
    before = {name: dict(row) for name, row in rows(watch, T0 + DAY).items()}
    for row in rows(watch, T0 + DAY).values():
        row.clear()
    assert rows(watch, T0 + DAY) == before
    assert rows(watch, T0 + DAY + RECENT_MS + 60 * DAY) != before


def test_books_that_were_restored_are_read() -> None:
    watch = ModelWatch("event", 0)
    other = ModelWatch("event", 0)
    watch.matured(mark(T0, 0.5), ["blend2"], 0, None, 1)
    other.matured(mark(T0, 0.25), ["blend2"], 0, None, 1)
    assert rows(watch, T0 + DAY) != rows(other, T0 + DAY)
    watch.restore(other.snapshot())
    assert rows(watch, T0 + DAY) == rows(other, T0 + DAY)
