"""Which churn model is shown: changed by an event, remembered, compared anew; what challengers may never touch."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from engine.event import Event
from engine.landmarks import TRIGGERS
from engine.model_rows import challenger_row
from engine.scoring import LaneModels
from engine.settings import ResultSettings
from models.metrics import ClassificationMetrics
from tests.engine.runs import DAY, HOUR, T0, Run, tick, trace

HORIZON = 4 * DAY
SHORT: dict[str, Any] = {"churn_horizon_ms": HORIZON, "engagement_horizon_ms": DAY, "contact_horizon_ms": DAY}
RIVALS: dict[str, Any] = {**SHORT, "challengers": ("plain",)}
TREE = "river.tree.HoeffdingTreeClassifier()"


def log(days: int = 24, customers: int = 8) -> list[Event]:
    """Customers of different habits, a third of whom leave for good."""
    events = [
        trace(f"{who}-{day}", day * DAY + who * HOUR // 2, kind, category, customer=f"c{who}")
        for day in range(days)
        for who in range(customers)
        if day % (1 + who % 4) == 0 and (who % 3 or day < days // 2)
        for kind, category in (("request", "a"), ("view", None))[: 1 + day % 2]
    ]
    return sorted(events, key=lambda e: e.ts)


def order(after: int, request: str = "r1", lane: int = 0, lanes: int = 1, **body: Any) -> Event:
    return Event(f"model:{request}:{lane}", None, T0 + after, "model", body=body, lane=lane, lanes=lanes)


def mixed(orders: Sequence[Event], days: int = 24) -> list[Event]:
    return sorted([*log(days), *orders], key=lambda e: e.ts)


def digest(run: Run) -> list[bytes]:
    return run.lane.digest_parts()


def versions(models: LaneModels) -> tuple[str, str]:
    blend, plain = models.versions(0)
    return blend, plain


# -- promoting -----------------------------------------------------------------------------------------------------


def test_scores_change_their_source_at_the_event_and_back_at_the_rollback() -> None:
    run, all_blend, all_plain = (Run(**RIVALS), Run(**RIVALS), Run(**RIVALS, champion="plain"))
    all_blend.feed(log())
    all_plain.feed(log())
    changed_at: list[int] = []
    for begin, end, orders in (
        (0, 8, []),
        (8, 16, [order(8 * DAY, champion="plain")]),
        (16, 24, [order(16 * DAY, "r2", rollback=True)]),
    ):
        run.feed(orders)
        changed_at.append(len(run.predictions))
        run.feed([e for e in log() if begin <= (e.ts - T0) // DAY < end])
    blend, plain = versions(run.lane.models)
    assert blend != plain
    assert len(run.predictions) == len(all_blend.predictions) == len(all_plain.predictions) > 50
    sources = zip(run.predictions, all_blend.predictions, all_plain.predictions, strict=True)
    for number, (made, by_blend, by_plain) in enumerate(sources):
        between = changed_at[1] <= number < changed_at[2]
        expected = by_plain if between else by_blend
        assert (made.at, made.churn, made.model) == (expected.at, expected.churn, plain if between else blend)
        # Nothing but the churn score is the champion's.
        assert (made.engagement, made.contact) == (by_blend.engagement, by_blend.contact)
    assert run.lane.record.tallies["promoted"] == run.lane.record.tallies["rolled_back"] == 1


@pytest.mark.parametrize(
    "body", [{"champion": "no such"}, {"champion": "blend"}, {"rollback": True}, {"rollback": 1}, {}]
)
def test_an_order_that_changes_nothing_is_counted(body: dict[str, Any]) -> None:
    run, quiet = Run(**RIVALS), Run(**RIVALS)
    run.feed(mixed([order(8 * DAY, **body)]))
    quiet.feed(log())
    assert run.lane.record.tallies["ignored:model"] == 1
    assert [p.churn for p in run.predictions] == [p.churn for p in quiet.predictions]
    assert digest(run)[1:] == digest(quiet)[1:]


def test_rolling_back_twice_is_back_again() -> None:
    run = Run(**RIVALS)
    run.feed([trace("a", 0), order(1, champion="plain")])
    assert run.lane.models.champion == "plain"
    run.feed([order(2, "r2", rollback=True)])
    assert run.lane.models.champion == "blend"
    run.feed([order(3, "r3", rollback=True)])
    assert run.lane.models.champion == "plain"


def test_an_order_that_comes_twice_counts_once() -> None:
    run = Run(**RIVALS)
    run.feed([trace("a", 0), order(1, champion="plain"), order(2, "r2", rollback=True), order(3, champion="plain")])
    assert run.lane.models.champion == "blend"
    assert run.counts()["duplicate"] == 1


# -- what is kept --------------------------------------------------------------------------------------------------

ORDERS = [order(8 * DAY, champion="plain"), order(14 * DAY, "r2", rollback=True)]


@pytest.mark.parametrize("batch", [1, 7])
def test_a_lane_that_is_loaded_anew_after_any_batch_goes_on_the_same(batch: int) -> None:
    whole, reborn = Run(**RIVALS), Run(**RIVALS, reborn=True, forgetful=True)
    whole.feed(mixed(ORDERS))
    reborn.feed(mixed(ORDERS), batch=batch)
    assert digest(reborn) == digest(whole)
    assert [p.churn for p in reborn.predictions] == [p.churn for p in whole.predictions]
    # The champion before is remembered too.
    for run in (whole, reborn):
        run.feed([order(30 * DAY, "r3", rollback=True)])
        assert run.lane.models.champion == "plain"


def test_challengers_of_river_are_the_same_wherever_the_lane_is_loaded_anew() -> None:
    rivals: dict[str, Any] = {**SHORT, "challengers": ("plain", TREE)}
    whole, reborn = Run(**rivals), Run(**rivals, reborn=True, forgetful=True)
    events = [*log(), tick(T0 + 60 * DAY)]
    whole.feed(events)
    reborn.feed(events, batch=5)
    assert digest(reborn) == digest(whole)
    assert whole.lane.models.balance()["event"]["churn_learned"] > 50


def test_challengers_never_change_what_is_shown() -> None:
    alone, challenged = Run(**SHORT), Run(**SHORT, challengers=("plain", TREE))
    for run in (alone, challenged):
        run.feed([*log(), tick(T0 + 20 * DAY)], batch=50)
    assert challenged.predictions == alone.predictions
    assert [(a.line(), a.seq) for a in challenged.alerts] == [(a.line(), a.seq) for a in alone.alerts]
    assert {c: change.board for c, change in challenged.board.items()} == {
        c: change.board for c, change in alone.board.items()
    }


# -- metrics -------------------------------------------------------------------------------------------------------


def test_metrics_are_kept_by_version_through_promotions() -> None:
    run, quiet = Run(**RIVALS), Run(**RIVALS)
    run.feed([*mixed(ORDERS), tick(T0 + 60 * DAY)])
    quiet.feed([*log(), tick(T0 + 60 * DAY)])
    for version in versions(run.lane.models):
        for trigger in range(len(TRIGGERS)):
            mine = run.lane.models.watch(trigger).churn.total(version=version).get()
            # A model is judged on all examples, whether it was shown or not; only the width of a float differs.
            its = quiet.lane.models.watch(trigger).churn.total(version=version).get()
            assert mine["n"] == its["n"] > 10
            assert mine["log_loss"] == pytest.approx(its["log_loss"], abs=1e-6)


def test_the_comparison_begins_anew_with_the_model_that_is_shown_now() -> None:
    run = Run(**RIVALS)
    run.feed(log(16))
    before = run.lane.models.watch(0).paired[1].get()
    assert before.n > 10
    run.feed([order(16 * DAY, champion="plain")])
    assert [p.n for p in run.lane.models.watch(0).paired] == [0, 0]
    run.feed([tick(T0 + 40 * DAY)])
    after = run.lane.models.watch(0).paired
    # Landmarks of before count too: what every model said of them is known.
    assert after[0].n > 10
    assert after[1].n == 0


def test_the_difference_is_that_of_the_log_losses() -> None:
    run = Run(**RIVALS)
    run.feed([*log(), tick(T0 + 60 * DAY)])
    blend, plain = (run.lane.models.watch(0).churn.total(version=v) for v in versions(run.lane.models))
    compared = run.lane.models.watch(0).paired[1].get()
    assert compared.mean == pytest.approx(blend.get()["log_loss"] - plain.get()["log_loss"], abs=1e-6)


# -- rows ----------------------------------------------------------------------------------------------------------


def test_rows_name_champion_and_challengers_and_empty_what_a_champion_was_before() -> None:
    run = Run(**RIVALS)
    run.feed([*log(), tick(T0 + 60 * DAY)])
    blend, plain = versions(run.lane.models)
    rows = run.lane.models.rows(run.lane.clock, everything=True)
    shown, other = rows["churn_event"], rows[challenger_row("event", plain)]
    assert (shown["model"], shown["version"], shown["number"]) == ("blend", blend, "0")
    assert (other["model"], other["version"], other["number"]) == ("plain", plain, "1")
    assert float(other["difference_se"]) > 0
    assert rows[challenger_row("event", blend)] == {}
    run.feed([order(60 * DAY, champion="plain")])
    assert run.outcome is not None
    rows = run.outcome.model_rows
    assert rows["churn_event"]["version"] == plain
    assert rows[challenger_row("event", plain)] == {}
    assert rows[challenger_row("event", blend)]["model"] == "blend"
    assert "difference" not in rows[challenger_row("event", blend)]


def test_without_challengers_there_are_no_rows_of_challengers() -> None:
    run = Run(**SHORT)
    run.feed([*log(8), tick(T0 + 60 * DAY)])
    rows = run.lane.models.rows(run.lane.clock, everything=True)
    assert sorted(rows) == sorted(f"{label}_{t}" for label in ("churn", "engagement", "contact") for t in TRIGGERS)


def test_the_reliability_row_is_the_table_of_the_metrics() -> None:
    run = Run(**SHORT)
    run.feed([*log(), tick(T0 + 60 * DAY)])
    rows = run.lane.models.rows(run.lane.clock, everything=True)
    for label, place in (("churn", 0), ("contact", 2)):
        metrics: Any = run.lane.models.metrics(0)[place]
        assert isinstance(metrics, ClassificationMetrics)
        told = json.loads(rows[f"{label}_event"]["reliability"])
        assert [t and t[0] for t in told] == [d and d.n for d in metrics.reliability()]
        assert sum(t[0] for t in told if t) == int(rows[f"{label}_event"]["learned"])


def test_the_digest_of_the_models_knows_the_champion_before() -> None:
    """A rollback would differ, so the digests must."""
    once, thrice = (LaneModels(ResultSettings(**SHORT).windows, challengers=("plain",)) for _ in range(2))
    assert once.digest() == thrice.digest()
    thrice.promote("plain")
    thrice.promote("blend")
    assert once.champion == thrice.champion
    assert once.digest() != thrice.digest()


# -- time ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [-400 * DAY, 0, 400 * DAY])
def test_an_order_is_never_late_and_does_not_move_the_clock(after: int) -> None:
    """A lane that is being filled with old events has a clock of long ago; a source's wrong clock is ahead."""
    run = Run(**RIVALS, lateness_ms=HOUR)
    run.feed([*log(8), order(after, champion="plain"), trace("next", 8 * DAY)])
    assert run.lane.models.champion == "plain"
    assert run.lane.clock == T0 + 8 * DAY
    assert run.late == []


def test_an_order_needs_no_customer_in_memory() -> None:
    run = Run(**RIVALS, forgetful=True)
    run.feed(log(8))
    assert run.lane.wanted([(0, order(400 * DAY, champion="plain"))]) == []


def test_a_model_may_be_named_by_its_version() -> None:
    run = Run(**RIVALS)
    blend, plain = versions(run.lane.models)
    run.feed([trace("a", 0), order(1, champion=plain)])
    assert run.lane.models.champion == "plain"
    run.feed([order(2, "r2", champion=plain), order(3, "r3", champion=blend)])
    assert run.lane.models.champion == "blend"
    assert run.lane.record.tallies["ignored:model"] == 1
