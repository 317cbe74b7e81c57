"""What is an alarm and what is none; a monitor stored at any place."""

from __future__ import annotations

import math
import random
from collections.abc import Iterable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.drift import MAX_SIGNALS, PREDICTION, RESIDUAL, Alarm, DriftMonitor, DriftRule, Signal
from models.errors import InputRefused, SnapshotDamaged, SnapshotError, SnapshotForeign
from models.season import SeasonShape, SeasonState

DAY = 86_400_000
PER_DAY = 500
FEATURE = Signal("recency", 0.0, 5.0, 0.25)


def alarms(values: Iterable[float], signal: Signal = PREDICTION) -> list[Alarm]:
    monitor = DriftMonitor([signal])
    found = (monitor.update(signal.name, value, i * DAY // PER_DAY) for i, value in enumerate(values))
    return [alarm for alarm in found if alarm]


def coins(rates: Iterable[float], seed: int = 1) -> Iterable[float]:
    rng = random.Random(seed)
    return (float(rng.random() < rate) for rate in rates)


def test_a_step_is_one_alarm_that_says_from_where_to_where() -> None:
    found = alarms(coins(0.2 if i < 20_000 else 0.35 for i in range(40_000)))
    assert len(found) == 1
    assert (found[0].what, found[0].direction) == ("prediction", "up")
    assert 40 * DAY < found[0].at < 44 * DAY
    assert found[0].before == pytest.approx(0.2, abs=0.02)
    assert found[0].after == pytest.approx(0.35, abs=0.05)


def test_a_step_and_its_return_are_two_alarms() -> None:
    found = alarms(coins(0.5 if 20_000 <= i < 30_000 else 0.2 for i in range(50_000)))
    assert [alarm.direction for alarm in found] == ["up", "down"]


def test_a_return_within_the_rest_is_reported_when_it_is_over() -> None:
    found = alarms(coins(0.6 if 20_000 <= i < 22_000 else 0.2 for i in range(40_000)))
    assert [alarm.direction for alarm in found] == ["up", "down"]
    assert found[1].at - found[0].at >= 7 * DAY


def test_a_change_that_is_too_small_to_matter_is_none() -> None:
    assert alarms(coins(0.2 if i < 100_000 else 0.23 for i in range(200_000))) == []


def test_a_slow_ramp_is_reported_though_no_step_of_it_is_large() -> None:
    found = alarms(coins(0.2 + 0.2 * min(max(i - 20_000, 0) / 40_000, 1.0) for i in range(70_000)))
    assert 1 <= len(found) <= 5
    assert {alarm.direction for alarm in found} == {"up"}
    assert found[0].before == pytest.approx(0.2, abs=0.03)


def test_day_and_week_are_no_change_but_a_step_on_top_of_them_is() -> None:
    def rate(i: int, step: float) -> float:
        t = i / PER_DAY
        return 0.25 + 0.08 * math.sin(2 * math.pi * t) + 0.08 * (int(t) % 7 >= 5) + step * (t >= 100)

    assert alarms(coins(rate(i, 0.0) for i in range(100_000))) == []
    found = alarms(coins(rate(i, 0.12) for i in range(100_000)))
    assert [alarm.at // DAY for alarm in found] == [pytest.approx(102, abs=2)]


def test_times_of_whole_days_are_enough() -> None:
    monitor = DriftMonitor([PREDICTION])
    found = []
    for i, value in enumerate(coins(0.2 if i < 20_000 else 0.4 for i in range(40_000))):
        if alarm := monitor.update("prediction", value, i // 200 * DAY):
            found.append(alarm)
    assert [alarm.at // DAY for alarm in found] == [pytest.approx(115, abs=12)]


def test_a_stream_of_few_values_is_watched_too() -> None:
    monitor = DriftMonitor([PREDICTION])
    rates = (0.2 if i < 3_000 else 0.5 for i in range(6_000))
    found = [monitor.update("prediction", value, i * DAY // 5) for i, value in enumerate(coins(rates))]
    assert sum(alarm is not None for alarm in found) == 1


def test_alarms_are_in_the_unit_of_the_signal() -> None:
    rng = random.Random(3)
    values = [rng.gauss(2.0 if i < 20_000 else 3.0, 0.5) for i in range(40_000)]
    (alarm,) = alarms(values, FEATURE)
    assert alarm.before == pytest.approx(2.0, abs=0.1)
    assert alarm.after == pytest.approx(3.0, abs=0.2)
    residuals = [y - 0.4 for y in coins(0.4 if i < 20_000 else 0.2 for i in range(40_000))]
    (alarm,) = alarms(residuals, RESIDUAL)
    assert alarm.direction == "down"
    assert alarm.before == pytest.approx(0.0, abs=0.02)


def test_without_a_season_nothing_has_to_be_learned_first() -> None:
    monitor = DriftMonitor([PREDICTION], DriftRule(season_ms=0))
    found = [monitor.update("prediction", float(i >= 1_000), i * DAY // PER_DAY) for i in range(3_000)]
    assert sum(alarm is not None for alarm in found) == 1


def test_counts_and_means_are_kept() -> None:
    monitor = DriftMonitor([PREDICTION, RESIDUAL])
    assert monitor.alarms() == {"prediction": (0, None), "residual": (0, None)}
    assert monitor.means() == {"prediction": None, "residual": None}
    for i, value in enumerate(coins(0.2 if i < 20_000 else 0.5 for i in range(30_000))):
        monitor.update("prediction", value, i * DAY // PER_DAY)
    n, last = monitor.alarms()["prediction"]
    assert n == 1
    assert last is not None
    assert monitor.means()["prediction"] == pytest.approx(0.5, abs=0.03)


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 4_000), max_size=4))
def test_parts_stored_after_each_batch_are_the_monitor_to_the_bit(seed: int, batches: list[int]) -> None:
    rng = random.Random(seed)
    signals = [PREDICTION, RESIDUAL, FEATURE]
    kept, stored = DriftMonitor(signals), DriftMonitor(signals)
    ledger: dict[str, bytes] = {}
    at = 0
    for batch in batches:
        for _ in range(batch):
            at += rng.randrange(DAY // 100)
            signal = rng.choice(signals)
            value = rng.uniform(signal.low, signal.high) * (1.0 if at < 20 * DAY else 0.5)
            late = at - rng.randrange(DAY)
            assert kept.update(signal.name, value, late) == stored.update(signal.name, value, late)
        ledger |= stored.changed()
        stored = DriftMonitor.restore(signals, ledger)
        assert stored.snapshot() == kept.snapshot()


def test_a_batch_stores_only_signals_whose_block_ended() -> None:
    monitor = DriftMonitor([PREDICTION, RESIDUAL])
    assert sorted(monitor.changed()) == ["open", "s/prediction", "s/residual"]
    monitor.update("prediction", 0.3, 0)
    assert sorted(monitor.changed()) == ["open", "s/prediction"]
    monitor.update("prediction", 0.3, 1)
    assert sorted(monitor.changed()) == ["open"]
    for i in range(40):
        monitor.update("prediction", 0.3, i * DAY)
    assert sorted(monitor.changed()) == ["open", "s/prediction"]
    assert monitor.changed() == {}


def test_parts_are_small() -> None:
    rng = random.Random(4)
    monitor = DriftMonitor([PREDICTION])
    for i in range(200_000):
        monitor.update("prediction", rng.random(), i * DAY // PER_DAY)
    parts = monitor.snapshot()
    assert len(parts["open"]) < 200
    assert len(parts["s/prediction"]) < 2_500


@pytest.mark.parametrize(("name", "value"), [("prediction", math.nan), ("residual", 0.1)])
def test_a_value_that_is_none_is_refused(name: str, value: float) -> None:
    monitor = DriftMonitor([PREDICTION])
    before = monitor.snapshot()
    with pytest.raises(InputRefused):
        monitor.update(name, value, 0)
    assert monitor.snapshot() == before


def test_values_out_of_range_count_as_its_end() -> None:
    one, other = DriftMonitor([PREDICTION]), DriftMonitor([PREDICTION])
    one.update("prediction", math.inf, 0)
    other.update("prediction", 1.0, 0)
    assert one.snapshot() == other.snapshot()


@pytest.mark.parametrize(
    "signals",
    [
        [PREDICTION, PREDICTION],
        [Signal(str(i), 0.0, 1.0, 0.1) for i in range(MAX_SIGNALS + 1)],
        [Signal("a", 1.0, 1.0, 0.1)],
        [Signal("a", 0.0, math.inf, 0.1)],
        [Signal("a", 0.0, 1.0, 0.0)],
    ],
)
def test_signals_that_make_no_sense_are_refused(signals: list[Signal]) -> None:
    with pytest.raises(InputRefused):
        DriftMonitor(signals)


@pytest.mark.parametrize(
    "rule", [DriftRule(block_n=0), DriftRule(n_slots=0), DriftRule(rest_ms=-1), DriftRule(delta=2)]
)
def test_rules_that_make_no_sense_are_refused(rule: DriftRule) -> None:
    with pytest.raises(InputRefused):
        DriftMonitor([PREDICTION], rule)


def test_parts_of_another_monitor_are_refused() -> None:
    parts = DriftMonitor([PREDICTION]).snapshot()
    with pytest.raises(SnapshotForeign):
        DriftMonitor.restore([PREDICTION._replace(min_change=0.1)], parts)
    with pytest.raises(SnapshotForeign):
        DriftMonitor.restore([PREDICTION], parts, DriftRule(delta=0.1))
    with pytest.raises(SnapshotDamaged):
        DriftMonitor.restore([PREDICTION, RESIDUAL], parts)
    with pytest.raises(SnapshotError):
        DriftMonitor.restore([PREDICTION], parts | {"s/prediction": parts["open"]})


def test_a_shape_of_other_slots_is_refused() -> None:
    state = SeasonShape(4, 10).state()
    assert SeasonShape.of(state, 4, 10).n_seasons == 0
    with pytest.raises(SnapshotDamaged):
        SeasonShape.of(state, 5, 10)
    with pytest.raises(SnapshotDamaged):
        SeasonShape.of(msgspec.structs.replace(state, n_seasons=-1), 4, 10)
    assert isinstance(state, SeasonState)


def test_a_season_that_is_left_out_teaches_nothing() -> None:
    shape = SeasonShape(2, 10)
    shape.add(0, 100, 90.0)
    shape.add(1, 100, 10.0)
    shape.close(is_learned=False)
    assert (shape.n_seasons, shape.offset(0)) == (0, 0.0)
