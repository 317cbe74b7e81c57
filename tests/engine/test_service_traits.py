"""What service cost a customer, against its brute-force recomputation from the whole history, on every prefix."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import CorruptState
from engine.event import CONTACT, HANDLING_STEPS, OUR_SIDE, Event
from engine.features import DAY_MS
from engine.service_traits import CASES_KEPT, CATEGORIES_KEPT, SERVICE_FEATURES, ServiceTraits
from engine.timestamp import MAX_TS

NAMES = [feature.name for feature in SERVICE_FEATURES]
HALF_LIFE_D = 30.0

near = st.one_of(st.integers(0, 60).map(lambda day: day * DAY_MS), st.integers(0, 5_000), st.integers(0, 90 * DAY_MS))
times = st.one_of(near, st.integers(0, MAX_TS))
kinds = st.sampled_from(
    (
        *sorted(CONTACT),
        "request",
        "feedback",
        "handling",
        "resolved",
        "session",
        "view",
        "payment",
        "purchase",
        "outreach",
        "profile",
    )
)


def a_log(times: st.SearchStrategy[int], n_names: int = 4, max_size: int = 25) -> st.SearchStrategy[list[Event]]:
    """Events that say something of service, in any order of time; few names, so that nothing is crowded out."""
    names = [f"n{i}" for i in range(n_names)]
    events = st.builds(
        Event,
        st.just("e"),
        st.just("c"),
        times,
        kinds,
        category=st.sampled_from((None, "*", *names)),
        case_id=st.sampled_from((None, None, *names)),
        channel=st.sampled_from((None, "web", "phone")),
        score=st.one_of(st.none(), st.floats(1.0, 5.0)),
        sentiment=st.one_of(st.none(), st.sampled_from((-1.0, -0.6, -0.59, 1.0)), st.floats(-1.0, 1.0)),
        outcome=st.sampled_from((None, "ok", "failed")),
        wait_s=st.one_of(st.none(), st.none(), st.floats(0.0, 1e4), st.floats(0.0, 1.7e308)),
        step=st.sampled_from((None, *sorted(HANDLING_STEPS))),
    )
    return st.lists(events, max_size=max_size)


def fed(log: Iterable[Event]) -> ServiceTraits:
    service = ServiceTraits()
    for event in log:
        service.update(event)
    return service


def says(event: Event) -> bool:
    """Whether it has to do with service at all."""
    of_service = event.kind in CONTACT or event.kind in ("feedback", "handling", "resolved")
    failed = event.outcome == "failed" and event.kind not in OUR_SIDE
    return of_service or failed or event.wait_s is not None


class History:
    """The same words as `ServiceTraits`, said over the whole list of events."""

    def __init__(self, log: Sequence[Event]) -> None:
        # An event older than the newest counts as if it came with it.
        self.log: list[tuple[int, Event]] = []
        newest = -1
        for event in filter(says, log):
            newest = max(newest, event.ts)
            self.log.append((newest, event))
        self.newest = newest
        self.open: dict[object, list[Any]] = {}  # case -> [opened, steps, channel]
        self.effort = 0
        self.solved: list[tuple[int, float]] = []
        for at, event in self.log:
            self._follow(at, event)

    def _follow(self, at: int, event: Event) -> None:
        key = ("case", event.case_id) if event.case_id is not None else ("category", event.category)
        case = self.open.get(key)
        if event.kind in CONTACT:
            if case is None:
                case = self.open[key] = [event.ts, 0, event.channel]
            case[1] += 1 + (event.channel != case[2])
            case[2] = event.channel
            self.effort = case[1]
        elif event.kind == "handling" and event.step in ("transferred", "reopened"):
            if case is not None:
                case[1] += 1
                self.effort = case[1]
            elif event.step == "reopened":
                self.open[key] = [event.ts, 1, event.channel]
        elif event.kind == "resolved" and case is not None:
            del self.open[key]
            self.effort = case[1]
            self.solved.append((at, math.log1p(max(event.ts - case[0], 0) / DAY_MS)))

    def vector(self, at_ms: int) -> list[float]:
        if not self.log:
            return [0.0] * len(NAMES)

        def weight(at: int) -> float:
            return float(0.5 ** ((max(at_ms, self.newest) - at) / DAY_MS / HALF_LIFE_D))

        def total(pairs: Sequence[tuple[int, float]]) -> float:
            return math.fsum(weight(at) * value for at, value in pairs)

        def mean(pairs: Sequence[tuple[int, float]]) -> float:
            return total(pairs) / total([(at, 1.0) for at, _ in pairs]) if pairs else 0.0

        contacts = [(at, e) for at, e in self.log if e.kind in CONTACT]
        ratings = [(at, e) for at, e in self.log if e.kind == "feedback"]
        moods = [(at, (e.score - 3.0) / 2.0) for at, e in ratings if e.score is not None]
        moods += [(at, e.sentiment) for at, e in (*ratings, *contacts) if e.sentiment is not None]
        low = [
            (at, 1.0)
            for at, e in ratings
            if (e.score is not None and e.score <= 2.0) or (e.sentiment is not None and e.sentiment <= -0.6)
        ]
        failed = [
            (at, 1.0) for at, e in self.log if e.outcome == "failed" and e.kind not in (*CONTACT, *OUR_SIDE, "feedback")
        ]
        known = [(at, e.category) for at, e in contacts]
        last = known[-1][1] if known else None
        same = [(at, 1.0) for at, category in known if category == last] if last not in (None, "*") else []
        waits = [(at, math.log1p(min(e.wait_s, 1e9) / 60.0)) for at, e in self.log if e.wait_s is not None]
        opened = [case[0] for case in self.open.values()]
        return [
            math.log1p(total([(at, 1.0) for at, e in contacts if e.kind == "request"])),
            math.log1p(total([(at, 1.0) for at, e in contacts if e.kind == "complaint"])),
            math.log1p(total(low)),
            math.log1p(total(failed)),
            total(moods) / (total([(at, 1.0) for at, _ in moods]) + 1.0),
            math.log1p(len(opened)),
            math.log1p(max(at_ms - min(opened, default=at_ms), 0) / DAY_MS),
            math.log1p(total(same)),
            math.log1p(self.effort) * weight(self.newest),
            mean(waits),
            mean(self.solved),
        ]


@settings(max_examples=300, deadline=None)
@given(a_log(near), st.integers(0, 200 * DAY_MS))
def test_features_are_those_of_the_whole_history_on_every_prefix(log: list[Event], silence_ms: int) -> None:
    service, newest = ServiceTraits(), 0
    for i, event in enumerate(log, start=1):
        service.update(event)
        newest = max(newest, event.ts)
        history = History(log[:i])
        for at_ms in (newest, newest + silence_ms):
            for name, got, want in zip(NAMES, service.vector(at_ms), history.vector(at_ms), strict=True):
                assert got == pytest.approx(want, rel=1e-9, abs=1e-9), name


@settings(max_examples=200, deadline=None)
@given(a_log(times, n_names=20), times)
def test_vector_is_always_finite_whatever_the_time_asked_for(log: list[Event], at_ms: int) -> None:
    vector = fed(log).vector(at_ms)
    assert len(vector) == len(NAMES)
    assert all(math.isfinite(number) for number in vector)


@settings(max_examples=30, deadline=None)
@given(a_log(times, n_names=40, max_size=80))
def test_no_more_cases_and_categories_are_kept_than_stated(log: list[Event]) -> None:
    service = ServiceTraits()
    for event in log:
        service.update(event)
        assert len(service.cases) <= CASES_KEPT
        assert len(service.categories) <= CATEGORIES_KEPT


def test_100_000_contacts_in_a_second_stay_finite_and_bounded() -> None:
    start = 1_700_000_000_000
    service = fed(
        Event("e", "c", start + i // 100, ("request", "complaint")[i % 2], category=f"n{i % 1000}", case_id=f"k{i}")
        for i in range(100_000)
    )
    assert all(math.isfinite(number) for number in service.vector(start + 1_000))
    assert service.vector(start + 1_000)[NAMES.index("open_cases")] == math.log1p(CASES_KEPT)
    assert len(msgspec.msgpack.encode(service.encode())) < 700


def test_a_ninth_case_takes_the_place_of_the_oldest() -> None:
    service = fed([Event("e", "c", day * DAY_MS, "request", category="a", case_id=f"k{day}") for day in range(9)])
    assert service.vector(9 * DAY_MS)[NAMES.index("open_age")] == math.log1p(8.0)
    service.update(Event("e", "c", 9 * DAY_MS, "resolved", category="a", case_id="k0"))
    assert len(service.cases) == CASES_KEPT
    service.update(Event("e", "c", 9 * DAY_MS, "resolved", category="a", case_id="k1"))
    assert len(service.cases) == CASES_KEPT - 1


def test_a_ninth_category_takes_the_place_of_the_one_with_the_least_weight() -> None:
    service = fed([Event("e", "c", 0, "request", category=f"n{i}") for i in range(8) for _ in range(10 - i)])
    assert service.categories.keys() == {f"n{i}" for i in range(8)}
    service.update(Event("e", "c", 0, "request", category="new"))
    assert service.categories.keys() == {*(f"n{i}" for i in range(7)), "new"}
    assert service.vector(0)[NAMES.index("same_category")] == math.log1p(1.0)


@pytest.mark.parametrize(
    ("events", "effort"),
    [
        ([("request", "web", None)], 1),
        ([("request", "web", None), ("request", "web", None)], 2),
        ([("request", "web", None), ("complaint", "phone", None)], 3),
        ([("request", "web", None), ("handling", None, "transferred")], 2),
        ([("request", "web", None), ("handling", None, "assigned")], 1),
        ([("request", "web", None), ("resolved", None, None)], 1),
        ([("handling", None, "transferred")], 0),
    ],
)
def test_effort_is_what_the_customer_had_to_take_or_bear(
    events: list[tuple[str, str | None, str | None]], effort: int
) -> None:
    service = fed(
        [
            Event("e", "c", 0, kind, category="a", case_id="k", channel=channel, step=step)
            for kind, channel, step in events
        ]
    )
    assert service.effort == effort


def test_a_case_that_was_reopened_is_open() -> None:
    log = [
        Event("e", "c", 0, "request", category="a", case_id="k"),
        Event("e", "c", DAY_MS, "resolved", category="a", case_id="k"),
        Event("e", "c", 2 * DAY_MS, "handling", case_id="k", step="reopened"),
    ]
    assert [len(fed(log[:n]).cases) for n in range(1, 4)] == [1, 0, 1]


def test_who_never_needed_service_takes_no_room() -> None:
    service = fed([Event("e", "c", 5, "view"), Event("e", "c", 6, "purchase", value=9.0)])
    assert service.encode() == []
    assert service.vector(7) == [0.0] * len(NAMES)


@settings(max_examples=100, deadline=None)
@given(a_log(times, n_names=12), a_log(times, n_names=12))
def test_stored_traits_go_on_to_the_bit(before: list[Event], after: list[Event]) -> None:
    kept = fed(before)
    stored = ServiceTraits.decode(msgspec.msgpack.decode(msgspec.msgpack.encode(kept.encode())))
    assert stored.encode() == kept.encode()
    for event in after:
        kept.update(event)
        stored.update(event)
    assert stored.encode() == kept.encode()
    assert stored.vector(MAX_TS) == kept.vector(MAX_TS)


@pytest.mark.parametrize("state", [None, [0], [0] * 6, [0] * 7, "traits", {}, [0, [0.0] * 9, {}, "", [], 0]])
def test_a_state_of_another_shape_is_refused(state: object) -> None:
    with pytest.raises(CorruptState, match="service"):
        ServiceTraits.decode(state)
