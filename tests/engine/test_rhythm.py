"""The finer rhythm against its brute-force recomputation from the whole history, on every prefix and in any order."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import CorruptState
from engine.features import DAY_MS, Traits
from engine.rhythm import RHYTHM_FEATURES, Rhythm
from engine.timestamp import MAX_TS

HOUR_MS = 3_600_000
LN2 = math.log(2.0)

# Few distinct days, odd instants and the whole range of legal times.
times = st.one_of(st.integers(0, 40).map(lambda day: day * DAY_MS), st.integers(0, 5 * HOUR_MS), st.integers(0, MAX_TS))
histories = st.lists(times, min_size=1, max_size=25)
horizons = st.sampled_from((1, DAY_MS, 30 * DAY_MS, 4_000 * DAY_MS))


def fed(acts: Sequence[int]) -> tuple[Rhythm, Traits]:
    rhythm, traits = Rhythm(), Traits()
    for ts_ms in acts:
        rhythm.update(ts_ms, traits)
        traits.update(ts_ms)
    return rhythm, traits


class History:
    """The same words as `Rhythm`, said over the whole list of acts."""

    def __init__(self, acts: Sequence[int]) -> None:
        self.in_order: list[int] = []
        self.late: list[int] = []
        for ts_ms in acts:
            if self.in_order and ts_ms < self.in_order[-1]:
                self.late.append(ts_ms)
            elif not self.in_order or ts_ms > self.in_order[-1]:
                self.in_order.append(ts_ms)
        self.gap_logs = [math.log1p((b - a) / HOUR_MS) for a, b in zip(self.in_order, self.in_order[1:], strict=False)]
        # A day counts with the weight of its first act.
        firsts: dict[int, int] = {}
        for ts_ms in self.in_order:
            firsts.setdefault(ts_ms // DAY_MS, ts_ms)
        self.day_times = list(firsts.values())

    def decayed(self, acts: Sequence[int], at_ms: int, half_life_d: float) -> float:
        return math.fsum(0.5 ** ((at_ms - ts_ms) / DAY_MS / half_life_d) for ts_ms in acts)

    def vector(self, at_ms: int, horizon_ms: int) -> list[float]:
        acts = [*self.in_order, *self.late]
        rates = [self.decayed(acts, at_ms, h) / (h / LN2) for h in (30.0, 90.0)]
        turn = 2.0 * math.pi * ((at_ms / DAY_MS) % 7) / 7
        return [
            math.log1p(self.decayed(acts, at_ms, 1.0)),
            math.log1p(self.decayed(acts, at_ms, 3.0)),
            math.log1p(self.decayed(self.day_times, at_ms, 90.0)),
            statistics.pstdev(self.gap_logs) if self.gap_logs else 0.0,
            *(math.exp(-rate * horizon_ms / DAY_MS) for rate in rates),
            math.sin(turn),
            math.cos(turn),
        ]


@settings(max_examples=150, deadline=None)
@given(histories, st.integers(0, 200 * DAY_MS), horizons)
def test_features_are_those_of_the_whole_history_on_every_prefix(
    acts: list[int], silence_ms: int, horizon_ms: int
) -> None:
    rhythm, traits = Rhythm(), Traits()
    for i, ts_ms in enumerate(acts, start=1):
        rhythm.update(ts_ms, traits)
        traits.update(ts_ms)
        history = History(acts[:i])
        for at_ms in (traits.last_ms, traits.last_ms + silence_ms):
            got = rhythm.vector(at_ms, traits, horizon_ms)
            for feature, one, want in zip(RHYTHM_FEATURES, got, history.vector(at_ms, horizon_ms), strict=True):
                assert one == pytest.approx(want, rel=1e-9, abs=1e-7), feature.name


@settings(max_examples=150, deadline=None)
@given(st.lists(times, max_size=25), times, horizons)
def test_vector_is_always_finite_whatever_the_time_asked_for(acts: list[int], at_ms: int, horizon_ms: int) -> None:
    rhythm, traits = fed(acts)
    vector = rhythm.vector(at_ms, traits, horizon_ms)
    assert len(vector) == len(RHYTHM_FEATURES)
    assert all(math.isfinite(number) for number in vector)


def test_100_000_acts_in_a_second_stay_finite_and_in_as_many_numbers() -> None:
    rhythm, traits = fed([1_700_000_000_000 + i // 100 for i in range(100_000)])
    vector = dict(zip((f.name for f in RHYTHM_FEATURES), rhythm.vector(traits.last_ms, traits, 1), strict=True))
    assert all(math.isfinite(number) for number in vector.values())
    assert math.expm1(vector["n_1d"]) == pytest.approx(1_000, rel=1e-4)
    assert math.expm1(vector["days_90d"]) == pytest.approx(1.0)
    assert len(msgspec.msgpack.encode(rhythm.encode())) <= 60


def test_silence_is_expected_of_who_never_came_and_not_of_a_crowd() -> None:
    names = [feature.name for feature in RHYTHM_FEATURES]
    never, crowd = Rhythm().vector(0, Traits(), 30 * DAY_MS), fed(range(1_000))
    place = names.index("silent_30d")
    assert never[place] == 1.0
    assert crowd[0].vector(1_000, crowd[1], 30 * DAY_MS)[place] == pytest.approx(0.0, abs=1e-300)


def test_an_act_out_of_order_counts_and_leaves_days_and_gaps_alone() -> None:
    rhythm, traits = fed([10 * DAY_MS, 12 * DAY_MS])
    days, gaps = rhythm.days_90d, (rhythm.gap_log_mean, rhythm.gap_log_m2)
    rhythm.update(11 * DAY_MS, traits)
    assert (rhythm.days_90d, (rhythm.gap_log_mean, rhythm.gap_log_m2)) == (days, gaps)
    assert rhythm.count_1d == pytest.approx(1.0 + 0.5 + 0.25)


def test_events_of_one_instant_are_one_act() -> None:
    once, twice = fed([0, DAY_MS]), fed([0, 0, DAY_MS, DAY_MS, DAY_MS])
    assert once[0].encode() == twice[0].encode()


def test_weekday_turns_once_a_week_from_a_utc_thursday() -> None:
    names = [feature.name for feature in RHYTHM_FEATURES]
    sin, cos = names.index("weekday_sin"), names.index("weekday_cos")
    angles = []
    for day in (0, 1.75, 3.5, 7, 700):
        vector = Rhythm().vector(int(day * DAY_MS), Traits(), 1)
        angles.append((round(vector[sin], 9), round(vector[cos], 9)))
    assert angles == [(0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (0.0, 1.0), (0.0, 1.0)]


@settings(deadline=None)
@given(histories, histories)
def test_a_stored_rhythm_goes_on_to_the_bit(before: list[int], after: list[int]) -> None:
    kept, traits = fed(before)
    stored = Rhythm.decode(msgspec.msgpack.decode(msgspec.msgpack.encode(kept.encode())))
    for ts_ms in after:
        kept.update(ts_ms, traits)
        stored.update(ts_ms, traits)
        traits.update(ts_ms)
    assert stored.encode() == kept.encode()
    assert stored.vector(traits.last_ms, traits, 1) == kept.vector(traits.last_ms, traits, 1)


@pytest.mark.parametrize("state", [None, [], [0] * 5, [0] * 7, "rhythm", {}])
def test_a_state_of_another_shape_is_refused(state: object) -> None:
    with pytest.raises(CorruptState, match="rhythm"):
        Rhythm.decode(state)
