"""The scene: bounded, in order of time, with enough of service in it, and runs of views in one line."""

from __future__ import annotations

import itertools
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.event import Event
from engine.timeline import MAX_TRACES, MIN_SERVICE, Timeline
from tests.engine.runs import HOUR, FixedModels, Run, trace

SERVICE = ("request", "complaint", "suggestion", "feedback", "handling", "resolved", "outreach")
OTHER = ("session", "view", "view", "interact", "purchase", "promotion", "received", "signup", "contract", "payment")
HIDDEN = ("profile", "override", "ack", "snooze", "retract", "link")


def filled(events: list[Event]) -> Timeline:
    timeline = Timeline()
    for event in events:
        timeline.add(event)
    return timeline


@st.composite
def histories(draw: st.DrawFn, kinds: tuple[str, ...] = SERVICE + OTHER) -> list[Event]:
    """Events at different times, in order: mostly runs of one kind."""
    runs = draw(st.lists(st.tuples(st.sampled_from(kinds), st.integers(1, 12)), min_size=1, max_size=12))
    chosen = [kind for kind, n in runs for _ in range(n)]
    return [trace(f"e{n}", n, kind, "a", channel=f"ch{n % 3}") for n, kind in enumerate(chosen)]


def folded(events: list[Event]) -> list[tuple[int, str, int]]:
    """(time of the last, kind, length) with runs of views as one."""
    out: list[tuple[int, str, int]] = []
    for kind, run in itertools.groupby(events, key=lambda e: e.kind):
        traces = list(run)
        out += [(traces[-1].ts, kind, len(traces))] if kind == "view" else [(e.ts, kind, 1) for e in traces]
    return out


@settings(deadline=None)
@given(histories())
def test_it_holds_the_newest_traces_and_the_newest_of_service_among_them(events: list[Event]) -> None:
    for n in range(1, len(events) + 1):
        timeline = filled(events[:n])
        kept = [(e[0], e[1], e[5] if e[1] == "view" else 1) for e in timeline.entries]
        everything = folded(events[:n])
        assert len(kept) == min(MAX_TRACES, len(everything))
        service = [line for line in everything if line[1] in SERVICE]
        other = [line for line in everything if line[1] not in SERVICE]
        kept_service = [line for line in kept if line[1] in SERVICE]
        kept_other = [line for line in kept if line[1] not in SERVICE]
        assert len(kept_service) >= min(MIN_SERVICE, len(service))
        # Of each sort the newest: nothing is missing that is newer than something kept.
        assert kept_service == service[len(service) - len(kept_service) :]
        assert kept_other == other[len(other) - len(kept_other) :]
        assert kept == sorted(kept)


@settings(deadline=None)
@given(histories().flatmap(st.permutations))
def test_in_any_order_of_arrival_it_is_sorted_bounded_and_has_no_two_runs_of_views_in_a_row(
    events: list[Event],
) -> None:
    timeline = Timeline()
    for n, event in enumerate(events, 1):
        timeline.add(event)
        entries = timeline.entries
        assert len(entries) <= MAX_TRACES
        assert [e[0] for e in entries] == sorted(e[0] for e in entries)
        seen = sum(e.kind in SERVICE for e in events[:n])
        assert sum(e[1] in SERVICE for e in entries) >= min(MIN_SERVICE, seen)
        kinds = [e[1] for e in entries]
        assert ("view", "view") not in set(itertools.pairwise(kinds))


def test_a_late_view_joins_the_run_it_belongs_to() -> None:
    timeline = filled([trace("r", 0), trace("v1", 2, "view", channel="web"), trace("v2", 3, "view", channel="app")])
    assert timeline.add(trace("v0", 1, "view", channel="web"))
    (_, run) = timeline.entries
    assert (run[1], run[3], run[5]) == ("view", "app", 3)


@pytest.mark.parametrize("kind", HIDDEN)
def test_orders_and_descriptive_facts_are_not_shown(kind: str) -> None:
    timeline = Timeline()
    assert not timeline.add(trace("e", 0, kind, None, attributes={"a": "b"}, ref="x"))
    assert timeline.entries == []


@pytest.mark.parametrize(
    ("fields", "detail"),
    [
        ({"kind": "feedback", "score": 2.0}, 2.0),
        ({"kind": "purchase", "value": -9.5}, -9.5),
        ({"kind": "handling", "step": "on_site", "outcome": "ok"}, "on_site"),
        ({"kind": "outreach", "outcome": "reached", "campaign_id": "m"}, "reached"),
        ({"kind": "request", "nature": "claim"}, "claim"),
        ({"kind": "interact", "action": "post"}, "post"),
        ({"kind": "promotion", "campaign_id": "m1"}, "m1"),
        ({"kind": "session"}, None),
        ({"kind": "request", "nature": "n" * 33}, "n" * 31 + "~"),
        ({"kind": "request", "nature": "n" * 32}, "n" * 32),
    ],
)
def test_each_kind_shows_what_matters_of_it(fields: dict[str, Any], detail: object) -> None:
    timeline = filled([Event("e", "c", 7, category="a", case_id="k", channel="app", **fields)])
    assert timeline.entries == [[7, fields["kind"], "a", "app", "k", detail]]


def test_a_scene_is_of_the_case_else_of_the_category_else_of_everything() -> None:
    timeline = filled(
        [
            trace("e1", 1, "request", "a/x", case_id="k"),
            trace("e2", 2, "handling", None, case_id="k", step="accepted"),
            trace("e3", 3, "complaint", "a"),
            trace("e4", 4, "request", "ab"),
            trace("e5", 5, "session", None),
        ]
    )

    def times(case_id: str | None, category: str | None) -> list[int]:
        return [orjson.loads(line)[0] - timeline.entries[0][0] + 1 for line in timeline.scene(case_id, category)]

    assert times("k", "a") == [1, 2]
    # A category has what is under it, and not what only begins with the same letters.
    assert times(None, "a") == [1, 3]
    assert times(None, "a/x") == [1]
    assert times(None, None) == [1, 2, 3, 4, 5]
    assert times("other", None) == []


def test_an_alert_carries_the_scene_of_its_category() -> None:
    run = Run(models=FixedModels())
    run.feed([trace("h", 0, "handling", "b", step="accepted"), trace("r1", 1), trace("x", 2, "resolved", "a")])
    alerts = run.feed([trace("r2", HOUR)])
    (alert,) = [a for a in alerts if a.flag == "repeat_request"]
    assert [orjson.loads(line)[1] for line in alert.scene] == ["request", "resolved", "request"]
