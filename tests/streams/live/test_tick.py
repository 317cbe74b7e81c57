"""Ticks: only for a lane that lives, never for one that is being filled, never twice within a tick."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.decode import decode
from engine.duration import HOUR_MS
from streams.live.tick import tick_due, tick_record

NOW = 1_700_000_000_000
TICK = 60_000
INSTANTS = st.integers(0, 4_102_444_800_000)
LATENESS = st.none() | st.integers(0, 30 * 24 * HOUR_MS)


def due(
    now: int = NOW,
    *,
    clock: int = NOW - 2 * TICK,
    sent: int | None = None,
    delay: int | None = 50,
    tick: int = TICK,
    lateness: int | None = HOUR_MS,
) -> bool:
    return tick_due(now, clock_ms=clock, sent_ms=sent, delay_ms=delay, tick_ms=tick, lateness_ms=lateness)


def test_an_idle_live_lane_gets_a_tick() -> None:
    assert due()


@pytest.mark.parametrize("delay", [None, HOUR_MS + 1, 400 * 24 * HOUR_MS])
def test_a_lane_that_is_being_filled_gets_none(delay: int | None) -> None:
    assert not due(delay=delay)


def test_a_delay_of_exactly_the_lateness_is_live() -> None:
    assert due(delay=HOUR_MS)


def test_without_lateness_an_hour_tells_old_from_live() -> None:
    assert due(delay=HOUR_MS, lateness=None)
    assert not due(delay=HOUR_MS + 1, lateness=None)


def test_a_lane_without_events_gets_none() -> None:
    assert not due(clock=-1)


def test_a_clock_exactly_a_tick_behind_gets_none_yet() -> None:
    assert not due(clock=NOW - TICK)
    assert due(clock=NOW - TICK - 1)


def test_a_clock_ahead_of_ours_gets_none() -> None:
    assert not due(clock=NOW + HOUR_MS)


@given(now=INSTANTS, clock=INSTANTS, delay=st.integers(), tick=st.integers(1, HOUR_MS), lateness=LATENESS)
def test_an_event_of_now_is_never_late_after_a_tick(
    now: int, clock: int, delay: int, tick: int, lateness: int | None
) -> None:
    # The clock that a tick sets is that of the worker: an event appended at the same time with as much delay as the
    # newest one is not made late by it.
    if due(now, clock=clock, delay=delay, tick=tick, lateness=lateness) and lateness is not None:
        assert now - delay >= now - lateness


@given(
    steps=st.lists(st.integers(1, 5 * TICK), max_size=60),
    tick=st.integers(1, 3 * TICK),
    returns=st.integers(0, 4 * TICK),
)
def test_two_ticks_of_a_lane_are_never_within_one(steps: list[int], tick: int, returns: int) -> None:
    # A tick comes back from Kafka, and moves the clock, `returns` ms after it was sent.
    now, clock, sent = NOW, NOW - 10 * TICK, None
    on_the_way: list[int] = []
    seen: list[int] = []
    for step in steps:
        now += step
        clock = max([clock, *(at for at in on_the_way if at + returns <= now)])
        if due(now, clock=clock, sent=sent, tick=tick):
            sent = now
            seen.append(now)
            on_the_way.append(now)
    assert all(later - earlier > tick for earlier, later in itertools.pairwise(seen))


@given(lanes=st.integers(1, 64), now=INSTANTS, data=st.data())
def test_a_tick_is_an_event_of_its_lane(lanes: int, now: int, data: st.DataObject) -> None:
    lane = data.draw(st.integers(0, lanes - 1))
    event = decode(tick_record(lane, lanes, now), record_ts=now, key=None)
    assert (event.kind, event.lane, event.lanes, event.ts, event.customer_id) == ("tick", lane, lanes, now, None)


def test_two_ticks_of_one_lane_have_two_ids() -> None:
    ids = {json.loads(tick_record(lane, 8, at))["event_id"] for lane in range(8) for at in (NOW, NOW + 1)}
    assert len(ids) == 16
