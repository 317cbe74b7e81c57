"""Features against their brute-force recomputation from the whole history, on every prefix and in any order."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.catalogue import CATALOGUE
from engine.errors import CorruptState
from engine.features import DAY_MS, FEATURES, GAPS_KEPT, GROUPS, VALUE_LIMIT, Traits

Event = tuple[int, float | None]

# Few distinct days and some odd instants: equal times, bursts and years of silence all occur.
times = st.one_of(
    st.integers(0, 40).map(lambda day: day * DAY_MS), st.integers(0, 5000), st.integers(0, 4_102_444_800_000)
)
values = st.one_of(st.none(), st.floats(-1e6, 1e6), st.floats(allow_nan=False))
histories = st.lists(st.tuples(times, values), min_size=1, max_size=25)


def traits_of(events: Sequence[Event]) -> Traits:
    traits = Traits()
    for ts_ms, value in events:
        traits.update(ts_ms, value)
    return traits


def signed_log1p(value: float) -> float:
    return math.copysign(math.log1p(min(abs(value), VALUE_LIMIT)), value)


class History:
    """The same words as `Traits`, said over the whole list of events."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.acts: list[tuple[int, float]] = []  # time and value of each act, in order of arrival
        self.in_order: list[tuple[int, float]] = []
        for ts_ms, value in events:
            amount = min(max(value or 0.0, -VALUE_LIMIT), VALUE_LIMIT)
            newest = self.in_order[-1] if self.in_order else None
            if newest and ts_ms == newest[0]:
                self.in_order[-1] = (ts_ms, newest[1] + amount)
                self.acts.append((ts_ms, amount))
                continue
            self.acts.append((ts_ms, amount))
            if not newest or ts_ms > newest[0]:
                self.in_order.append((ts_ms, amount))
        self.late = []
        newest_ms = -1
        for ts_ms, value in events:
            if ts_ms < newest_ms:
                self.late.append((ts_ms, value))
            newest_ms = max(newest_ms, ts_ms)
        self.act_times = [ts_ms for ts_ms, _ in self.in_order] + [ts_ms for ts_ms, _ in self.late]
        self.gaps = [b[0] - a[0] for a, b in zip(self.in_order, self.in_order[1:], strict=False)]

    def count(self, at_ms: int, half_life_d: float) -> float:
        return math.fsum(0.5 ** ((at_ms - ts_ms) / DAY_MS / half_life_d) for ts_ms in self.act_times)

    def vector(self, at_ms: int) -> list[float]:
        gaps_d = [gap / DAY_MS for gap in self.gaps]
        recency_d = (at_ms - self.in_order[-1][0]) / DAY_MS
        tenure_d = (at_ms - min(self.act_times)) / DAY_MS
        gap_mean = statistics.fmean(gaps_d) if gaps_d else 0.0
        gap_last = gaps_d[-1] if gaps_d else 0.0
        n = len(self.act_times)
        value_30d = math.fsum(v * 0.5 ** ((at_ms - ts_ms) / DAY_MS / 30.0) for ts_ms, v in self.acts)
        return [
            math.log1p(recency_d),
            math.log1p(gap_last),
            math.log1p(n),
            *(math.log1p(self.count(at_ms, half_life_d)) for half_life_d in (7.0, 30.0, 90.0)),
            math.log1p(tenure_d),
            math.log1p(gap_mean),
            math.log1p(statistics.pstdev(gaps_d) if gaps_d else 0.0),
            math.log1p(recency_d / (gap_mean + 1.0)),
            math.log1p(gap_last / (gap_mean + 1.0)),
            signed_log1p(math.fsum(v for _, v in self.acts) / n),
            signed_log1p(self.in_order[-1][1]),
            signed_log1p(value_30d),
            float(n == 1),
            math.log((n - 0.5) / (tenure_d + 30.0)),
        ]


tame_values = st.one_of(st.none(), st.integers(-1000, 1000).map(lambda cents: cents / 100))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(times, tame_values), min_size=1, max_size=25), st.integers(0, 200 * DAY_MS))
def test_features_are_those_of_the_whole_history_on_every_prefix(events: list[Event], silence_ms: int) -> None:
    traits = Traits()
    for i, (ts_ms, value) in enumerate(events, start=1):
        traits.update(ts_ms, value)
        history = History(events[:i])
        for at_ms in (traits.last_ms, traits.last_ms + silence_ms):
            expected = history.vector(at_ms)
            for feature, got, want in zip(FEATURES, traits.vector(at_ms), expected, strict=True):
                # Sums of values of both signs cancel, so the error is measured against the size of what was summed.
                assert got == pytest.approx(want, rel=1e-9, abs=1e-7), feature.name


@settings(deadline=None)
@given(histories, times)
def test_vector_is_always_finite_and_as_long_as_the_catalogue(events: list[Event], at_ms: int) -> None:
    vector = traits_of(events).vector(at_ms)
    assert len(vector) == len(FEATURES) == 16
    assert all(math.isfinite(number) for number in vector)


def test_a_customer_without_any_act_has_a_finite_vector() -> None:
    assert all(math.isfinite(number) for number in Traits().vector(123))


@settings(deadline=None)
@given(histories, histories)
def test_stored_traits_go_on_to_the_bit(before: list[Event], after: list[Event]) -> None:
    kept = traits_of(before)
    stored = Traits.decode(msgspec.msgpack.decode(msgspec.msgpack.encode(kept.encode())))
    for ts_ms, value in after:
        kept.update(ts_ms, value)
        stored.update(ts_ms, value)
    assert stored.encode() == kept.encode()
    assert stored.vector(kept.last_ms + 5) == kept.vector(kept.last_ms + 5)


@given(histories)
def test_an_encoded_state_shares_nothing_with_the_traits(events: list[Event]) -> None:
    traits = traits_of(events)
    state = traits.encode()
    decoded = Traits.decode(state)
    traits.update(traits.last_ms + 1)
    assert decoded.encode() == state


def test_events_of_one_instant_are_one_act_with_the_sum_of_their_values() -> None:
    split = traits_of([(0, 1.0), (DAY_MS, 2.5), (DAY_MS, 4.0), (DAY_MS, None)])
    whole = traits_of([(0, 1.0), (DAY_MS, 6.5)])
    assert split.vector(3 * DAY_MS) == whole.vector(3 * DAY_MS)
    assert split.encode() == whole.encode()


def test_a_late_activity_counts_but_moves_neither_gaps_nor_the_last_act() -> None:
    traits = traits_of([(10 * DAY_MS, 1.0), (20 * DAY_MS, 2.0)])
    gaps, last = list(traits.gaps_ms), (traits.last_ms, traits.value_last)
    traits.update(3 * DAY_MS, 6.0)
    assert (traits.gaps_ms, (traits.last_ms, traits.value_last)) == (gaps, last)
    assert (traits.n, traits.first_ms, traits.value_sum) == (3, 3 * DAY_MS, 9.0)
    assert traits.count_30d == pytest.approx(1.0 + 0.5 ** (10 / 30) + 0.5 ** (17 / 30))


def test_a_refund_speaks_as_loudly_as_a_purchase_in_the_other_direction() -> None:
    names = [feature.name for feature in FEATURES]
    bought, refunded = traits_of([(0, 50.0)]).vector(0), traits_of([(0, -50.0)]).vector(0)
    for name in ("value_mean", "value_last", "value_30d"):
        place = names.index(name)
        assert bought[place] == -refunded[place] == math.log1p(50.0)


def test_a_value_that_is_not_a_number_is_refused_and_changes_nothing() -> None:
    traits = traits_of([(0, 1.0)])
    before = traits.encode()
    with pytest.raises(ValueError, match="expected a number"):
        traits.update(5, math.nan)
    assert traits.encode() == before


def test_infinite_values_count_as_the_limit() -> None:
    assert traits_of([(0, math.inf)]).value_last == VALUE_LIMIT
    assert traits_of([(0, -math.inf)]).value_last == -VALUE_LIMIT


@settings(deadline=None)
@given(histories)
def test_median_gap_is_that_of_the_last_gaps(events: list[Event]) -> None:
    traits = traits_of(events)
    gaps = History(events).gaps
    assert traits.gaps_ms == gaps[-GAPS_KEPT:]
    assert traits.median_gap_ms() == (statistics.median(gaps[-GAPS_KEPT:]) if gaps else None)


@given(histories)
def test_the_two_longest_gaps_are_kept(events: list[Event]) -> None:
    traits = traits_of(events)
    longest = sorted((0, 0, *History(events).gaps))[:-3:-1]
    assert [traits.longest_ms, traits.second_ms] == longest


def test_who_comes_by_season_is_silent_between_the_seasons_and_no_longer_than_usual() -> None:
    def seasons(n: int) -> list[Event]:
        # Every half year they come daily for a month.
        return [((180 * season + day) * DAY_MS, None) for season in range(n) for day in range(30)]

    def ratio(n: int, silent_d: int) -> float:
        traits = traits_of(seasons(n))
        return traits.silence_ratio(traits.last_ms + silent_d * DAY_MS) or 0.0

    # After the first season nobody knows; after the second pause it is their way.
    assert ratio(1, 100) == 100.0
    assert ratio(2, 100) == 100.0
    assert ratio(3, 100) == pytest.approx(100 / 151)
    assert ratio(3, 160) > 1.0


def test_two_long_breaks_of_a_slow_customer_are_no_seasons() -> None:
    traits = traits_of([(day * DAY_MS, None) for day in (0, 15, 30, 75, 90, 105, 150, 165)])
    assert traits.second_ms == 45 * DAY_MS
    assert traits.normal_pause_ms() == 15 * DAY_MS


def test_silence_ratio_is_silence_in_own_median_gaps() -> None:
    traits = traits_of([(0, None), (2 * DAY_MS, None), (4 * DAY_MS, None), (14 * DAY_MS, None)])
    assert traits.silence_ratio(14 * DAY_MS) == 0.0
    assert traits.silence_ratio(17 * DAY_MS) == 1.5
    assert traits.silence_ratio(0) == 0.0
    assert traits_of([(0, None)]).silence_ratio(DAY_MS) is None


def test_state_has_a_cap() -> None:
    traits = traits_of([(1_700_000_000_000 + i * 86_399_999, i / 7) for i in range(500)])
    assert len(msgspec.msgpack.encode(traits.encode())) <= 170


@pytest.mark.parametrize("state", [None, [], [0] * 13, [0] * 12, "x", [0] * 12 + [[], []]])
def test_a_state_of_another_shape_is_refused(state: object) -> None:
    with pytest.raises(CorruptState, match="traits"):
        Traits.decode(state)


def test_catalogue_has_unique_names_and_known_groups() -> None:
    assert CATALOGUE[: len(FEATURES)] == FEATURES
    assert len({feature.name for feature in CATALOGUE}) == len(CATALOGUE)
    assert {feature.group for feature in CATALOGUE} <= set(GROUPS)
    for group in GROUPS:
        assert group.text_en.isascii()
        assert not group.text_zh.isascii()
