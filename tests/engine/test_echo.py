"""Answers and offers against their brute-force recomputation from the whole history, on every prefix."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.echo import ECHO_FEATURES, Echo
from engine.errors import CorruptState
from engine.event import Event
from engine.features import DAY_MS, Traits
from engine.timestamp import MAX_TS

times = st.one_of(st.integers(0, 40).map(lambda day: day * DAY_MS), st.integers(0, 5_000), st.integers(0, MAX_TS))
kinds = st.sampled_from(("received", "interact", "promotion", "view", "purchase", "request", "handling"))
events = st.builds(
    lambda ts, kind, campaign: Event("e", "c", ts, kind, campaign_id=campaign),
    times,
    kinds,
    st.sampled_from((None, "m")),
)
histories = st.lists(events, max_size=25)


def fed(history: Sequence[Event]) -> Echo:
    echo = Echo()
    for event in history:
        echo.update(event)
    return echo


def traits_of(history: Sequence[Event]) -> Traits:
    """Traits of whom every `interact` is an act."""
    traits = Traits()
    for event in history:
        if event.kind == "interact":
            traits.update(event.ts)
    return traits


def decayed(acts: Sequence[int], at_ms: int, half_life_d: float) -> float:
    return math.fsum(0.5 ** ((at_ms - ts_ms) / DAY_MS / half_life_d) for ts_ms in acts)


def run_since(history: Sequence[Event], kind: str, ends: Sequence[bool]) -> int:
    """Events of the kind behind the last place where a run ended."""
    last = max((i for i, end in enumerate(ends) if end), default=-1)
    return sum(event.kind == kind for event in history[last + 1 :])


def expected(history: Sequence[Event], at_ms: int, traits: Traits) -> list[float]:
    received = [event.ts for event in history if event.kind == "received"]
    answers = [event.kind == "received" for event in history]
    taken = [e.kind != "promotion" and (e.campaign_id is not None or e.kind == "purchase") for e in history]
    acts_30d = traits.count_30d * 0.5 ** (max(at_ms - traits.last_ms, 0) / DAY_MS / 30.0)
    return [
        math.log1p(decayed(received, at_ms, 1.0)),
        math.log1p(decayed(received, at_ms, 7.0)),
        math.log((decayed(received, at_ms, 30.0) + 0.5) / (acts_30d + 0.5)),
        math.log1p(run_since(history, "interact", answers)),
        math.log1p(run_since(history, "promotion", taken)),
    ]


@settings(max_examples=200, deadline=None)
@given(histories, st.integers(0, 200 * DAY_MS))
def test_features_are_those_of_the_whole_history_on_every_prefix(history: list[Event], silence_ms: int) -> None:
    echo, traits, newest = Echo(), Traits(), 0
    for i, event in enumerate(history, start=1):
        echo.update(event)
        if event.kind == "interact":
            traits.update(event.ts)
        newest = max(newest, event.ts)
        for at_ms in (newest, newest + silence_ms):
            want = expected(history[:i], at_ms, traits)
            for feature, got, one in zip(ECHO_FEATURES, echo.vector(at_ms, traits), want, strict=True):
                assert got == pytest.approx(one, rel=1e-9, abs=1e-9), feature.name


@settings(max_examples=150, deadline=None)
@given(histories, times)
def test_vector_is_always_finite_whatever_the_time_asked_for(history: list[Event], at_ms: int) -> None:
    vector = fed(history).vector(at_ms, traits_of(history))
    assert len(vector) == len(ECHO_FEATURES)
    assert all(math.isfinite(number) for number in vector)


@pytest.mark.parametrize("kind", ["received", "interact", "promotion"])
def test_100_000_events_in_a_second_stay_finite_and_in_as_many_numbers(kind: str) -> None:
    echo = fed([Event("e", "c", 1_700_000_000_000 + i // 100, kind) for i in range(100_000)])
    assert all(math.isfinite(number) for number in echo.vector(1_700_000_001_000, Traits()))
    assert len(msgspec.msgpack.encode(echo.encode())) <= 60


def test_the_order_of_answers_changes_no_sum() -> None:
    ahead = fed([Event("e", "c", day * DAY_MS, "received") for day in range(9)])
    back = fed([Event("e", "c", day * DAY_MS, "received") for day in reversed(range(9))])
    assert back.vector(9 * DAY_MS, Traits()) == pytest.approx(ahead.vector(9 * DAY_MS, Traits()), rel=1e-12)


@pytest.mark.parametrize(
    ("answer", "left"),
    [
        (Event("e", "c", 9, "purchase"), 0),
        (Event("e", "c", 9, "view", campaign_id="m"), 0),
        (Event("e", "c", 9, "request", campaign_id="m"), 0),
        (Event("e", "c", 9, "view"), 2),
        (Event("e", "c", 9, "promotion", campaign_id="m"), 3),
    ],
)
def test_offers_are_ignored_until_one_is_answered(answer: Event, left: int) -> None:
    offers = [Event("e", "c", ts, "promotion", campaign_id="m") for ts in (1, 2)]
    assert fed([*offers, answer]).n_ignored == left


def test_posts_wait_until_somebody_answers() -> None:
    echo = fed([Event("e", "c", ts, kind) for ts, kind in enumerate(("interact", "interact", "view"))])
    assert echo.n_unanswered == 2
    echo.update(Event("e", "c", 9, "received"))
    assert echo.n_unanswered == 0


@settings(deadline=None)
@given(histories, histories)
def test_a_stored_echo_goes_on_to_the_bit(before: list[Event], after: list[Event]) -> None:
    kept = fed(before)
    stored = Echo.decode(msgspec.msgpack.decode(msgspec.msgpack.encode(kept.encode())))
    for event in after:
        kept.update(event)
        stored.update(event)
    assert stored.encode() == kept.encode()
    assert stored.vector(MAX_TS, Traits()) == kept.vector(MAX_TS, Traits())


@pytest.mark.parametrize("state", [None, [], [0] * 5, [0] * 7, "echoes", {}])
def test_a_state_of_another_shape_is_refused(state: object) -> None:
    with pytest.raises(CorruptState, match="echo"):
        Echo.decode(state)
