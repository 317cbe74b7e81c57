"""The vector of every landmark: its places, its precision, and that nothing of the future is in it."""

from __future__ import annotations

import math
import struct
from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from engine.catalogue import CATALOGUE, PLACE, observe, single
from engine.echo import ECHO_FEATURES
from engine.event import Event
from engine.features import FEATURES
from engine.landmarks import TRIGGERS, Landmark
from engine.memory import Memory
from engine.rhythm import RHYTHM_FEATURES
from engine.scores import Scores
from engine.service_traits import SERVICE_FEATURES
from tests.engine.runs import DAY, HOUR, T0, FixedModels, Run, tick

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


class Vectors(FixedModels):
    """Notes the features of every score."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, int, list[float]]] = []

    def landmark(self, at: int, trigger: int, x: list[float], scores: Scores) -> Landmark:
        self.seen.append((TRIGGERS[trigger], at, list(x)))
        return super().landmark(at, trigger, x, scores)


def vectors(events: Sequence[Event], **options: Any) -> dict[tuple[Any, ...], list[float]]:
    """(trigger, time, event) -> features, of every score of a run."""
    models = Vectors()
    run = Run(models=models, **options)
    run.feed(events)
    return {
        (p.customer_id, trigger, at, p.event_id): x
        for p, (trigger, at, x) in zip(run.predictions, models.seen, strict=True)
    }


def test_every_feature_has_a_name_of_its_own_and_a_place() -> None:
    names = [feature.name for feature in CATALOGUE]
    assert len(set(names)) == len(names)
    assert [PLACE[name] for name in names] == list(range(len(names)))
    every = (*FEATURES, *RHYTHM_FEATURES, *ECHO_FEATURES, *SERVICE_FEATURES)
    assert tuple(feature for feature in every if feature.name in PLACE) == CATALOGUE
    assert CATALOGUE[: len(FEATURES)] == FEATURES


@given(st.lists(st.floats(-1e30, 1e30), min_size=len(CATALOGUE), max_size=len(CATALOGUE)))
def test_single_precision_is_kept_by_storing_it_again(numbers: list[float]) -> None:
    once = single(numbers)
    assert single(once) == once
    assert list(struct.unpack(f"<{len(once)}f", struct.pack(f"<{len(once)}f", *once))) == once
    assert all(abs(a - b) <= abs(b) * 2.0**-24 + 1e-45 for a, b in zip(once, numbers, strict=True))


def test_a_customer_of_whom_nothing_is_known_has_a_vector() -> None:
    vector = observe(Memory("c"), T0, 30 * DAY)
    assert len(vector) == len(CATALOGUE)
    assert all(map(math.isfinite, vector))


FACTS: list[dict[str, Any]] = [
    {"kind": "view"},
    {"kind": "interact"},
    {"kind": "purchase", "value": 20.0},
    {"kind": "purchase", "value": -1e300},
    {"kind": "payment", "outcome": "failed", "value": 5.0},
    {"kind": "payment", "outcome": "ok", "value": 1e300},
    {"kind": "session", "outcome": "failed"},
    {"kind": "request", "category": "a", "case_id": "k1", "wait_s": 300.0},
    {"kind": "request", "category": "b", "channel": "web"},
    {"kind": "complaint", "category": "a", "case_id": "k1", "sentiment": -0.9},
    {"kind": "feedback", "category": "a", "score": 1.0},
    {"kind": "handling", "case_id": "k1", "step": "transferred"},
    {"kind": "resolved", "category": "a", "case_id": "k1"},
    {"kind": "received"},
    {"kind": "promotion", "campaign_id": "m"},
    {"kind": "outreach", "outcome": "failed"},
    {"kind": "profile", "attributes": {"segment": "x"}},
    {"kind": "contract", "step": "lapsed"},
    {"kind": "cancel"},
]
GAPS = (0, 1, HOUR // 3, HOUR, 5 * HOUR, DAY - 1, DAY, DAY + 1, 3 * DAY, 20 * DAY)
LATENESS = 2 * HOUR


@st.composite
def lives(draw: DrawFn) -> list[Event]:
    """A log of two customers in order of time."""
    events, ts = [], T0
    for number in range(draw(st.integers(2, 24))):
        ts += draw(st.sampled_from(GAPS))
        facts = draw(st.sampled_from(FACTS))
        events.append(Event(f"e{number:02}", draw(st.sampled_from(("c", "c", "d"))), ts, **facts))
    return events


@st.composite
def arrived(draw: DrawFn, events: list[Event]) -> list[Event]:
    """The same in an order of arrival in which nothing is late."""
    delayed = [
        (event.ts + draw(st.sampled_from((0, 0, 0, 1, HOUR // 2, LATENESS))), n) for n, event in enumerate(events)
    ]
    return [events[n] for _, n in sorted(delayed)]


@st.composite
def with_another_future(draw: DrawFn, events: list[Event], cut: int) -> list[Event]:
    """The log with every event after `cut` (ms) kept, dropped, doubled, moved on or made another kind."""
    out = []
    for event in events:
        fate = draw(st.sampled_from(("kept", "dropped", "twice", "moved", "other"))) if event.ts > cut else "kept"
        facts = draw(st.sampled_from(FACTS)) if fate in ("other", "twice") else {}
        if fate in ("kept", "twice"):
            out.append(event)
        if fate in ("other", "twice"):
            out.append(Event(event.event_id + "!", event.customer_id, event.ts, **facts))
        if fate == "moved":
            fields = {name: getattr(event, name) for name in Event.__dataclass_fields__}
            out.append(Event(**{**fields, "ts": event.ts + HOUR}))
    return out


def same_past(before: dict[tuple[Any, ...], list[float]], after: dict[tuple[Any, ...], list[float]], cut: int) -> int:
    """Compare the scores up to the cut that both runs have; how many there were."""
    both = [key for key in before.keys() & after.keys() if key[2] <= cut]
    for key in both:
        assert after[key] == before[key], key
    return len(both)


@QUICK
@given(st.data())
def test_no_feature_changes_when_what_comes_after_it_does(data: st.DataObject) -> None:
    log = data.draw(lives())
    cut = data.draw(st.sampled_from(log)).ts + data.draw(st.sampled_from((0, 1, DAY)))
    past = [event for event in log if event.ts <= cut]
    # A moment later, so that the silence at the cut is scored in both.
    pair = [[*past, tick(cut + 1, "cut"), *later] for later in (log[len(past) :], [])]
    pair[1] += data.draw(with_another_future(log[len(past) :], cut))
    before, after = (vectors(events, lateness_ms=None) for events in pair)
    until = [{key for key in found if key[2] <= cut} for found in (before, after)]
    assert until[0] == until[1]
    assert same_past(before, after, cut) == len(until[0])


@QUICK
@given(st.data())
def test_no_feature_knows_what_comes_after_its_time_in_any_order_of_arrival(data: st.DataObject) -> None:
    log = data.draw(lives().flatmap(arrived))
    cut = data.draw(st.sampled_from(log)).ts + data.draw(st.sampled_from((0, 1, HOUR)))
    before = vectors(log, lateness_ms=LATENESS)
    after = vectors(data.draw(with_another_future(log, cut)), lateness_ms=LATENESS)
    same_past(before, after, cut)
    # Scores of events up to the cut that were made without an event after it are made again.
    made = {key for key in before if key[1] == "event" and key[2] <= cut}
    assert made <= after.keys() | {key for key in made if key[3] not in {e.event_id for e in log if e.ts <= cut}}


def test_a_score_is_stamped_with_the_newest_event_of_any_kind() -> None:
    log = [
        Event("own", "c", T0, "view"),
        Event("ours", "c", T0 + HOUR, "received"),
        Event("late", "c", T0 + HOUR // 2, "view"),
    ]
    found = vectors(log, lateness_ms=LATENESS)
    # The late act is the newest act, and its score knows of the answer that came after it.
    assert [key[2] - T0 for key in found] == [0, HOUR]
    assert found["c", "event", T0 + HOUR, "late"][PLACE["received_1d"]] > 0.0


@QUICK
@given(lives().flatmap(arrived))
def test_every_vector_of_a_run_is_finite_and_in_single_precision(log: list[Event]) -> None:
    for x in vectors([*log, tick(max(e.ts for e in log) + 80 * DAY)], lateness_ms=None).values():
        assert len(x) == len(CATALOGUE)
        assert all(map(math.isfinite, x))
        assert single(x) == x
