"""ADWIN against River's: the same cuts, the same window, to the bit; and stored at any place."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift
from river._river_rust.drift import AdaptiveWindowing

from models.adwin import Adwin, AdwinState
from models.errors import InputRefused, SnapshotDamaged

N = 6_000
RIVERS: Any = drift.ADWIN  # not annotated
STREAMS: dict[str, Callable[[random.Random, int], float]] = {
    "coin": lambda rng, i: float(rng.random() < 0.2),
    "step": lambda rng, i: float(rng.random() < (0.2 if i < 3_000 else 0.3)),
    "fall": lambda rng, i: float(rng.random() < (0.59 if i < 2_500 else 0.4)),
    "ramp": lambda rng, i: float(rng.random() < 0.2 + 0.3 * i / N),
    "back and forth": lambda rng, i: rng.gauss(0.2 + 0.4 * (i // 700 % 2), 0.3),
    "scores": lambda rng, i: 1.0 / (1.0 + math.exp(-rng.gauss(-1.0 + i // 2_000, 1.0))),
    "constant": lambda rng, i: 0.7,
    "steps without noise": lambda rng, i: float(i // 1_000),
    "heavy tail": lambda rng, i: rng.paretovariate(1.5),
    "residuals": lambda rng, i: float(rng.random() < 0.3) - 0.3 - 0.1 * (i > 4_000),
}


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("name", STREAMS)
def test_window_and_cuts_are_those_of_river_to_the_bit(name: str, seed: int) -> None:
    rng = random.Random(seed)
    ours, theirs = Adwin(), AdaptiveWindowing(0.002, 32, 5, 5, 10)
    for i in range(N):
        value = STREAMS[name](rng, i)
        assert (ours.update(value) is not None) == theirs.update(value)
        width = int(theirs.get_width())
        assert (ours.width, ours.mean) == (width, theirs.get_total() / width)
        assert ours.variance == theirs.variance_in_window


@pytest.mark.parametrize("name", STREAMS)
def test_a_window_begun_anew_detects_where_river_does(name: str) -> None:
    # River's estimator throws the window away at the value after a detection.
    rng = random.Random(5)
    ours, theirs = Adwin(), RIVERS()
    found = False
    for i in range(N):
        value = STREAMS[name](rng, i)
        ours = Adwin() if found else ours
        found = ours.update(value) is not None
        theirs.update(value)
        assert found == theirs.drift_detected
        assert ours.width == theirs.width
        assert ours.mean == pytest.approx(theirs.estimation, abs=1e-9)


@pytest.mark.parametrize(("delta", "clock"), [(0.2, 1), (1e-6, 7), (0.002, 100)])
def test_other_settings_are_those_of_river(delta: float, clock: int) -> None:
    rng = random.Random(6)
    ours, theirs = Adwin(delta, clock), AdaptiveWindowing(delta, clock, 5, 5, 10)
    for i in range(3_000):
        value = STREAMS["back and forth"](rng, i)
        assert (ours.update(value) is not None) == theirs.update(value)
        assert ours.width == theirs.get_width()


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32), st.integers(0, 3_000), st.sampled_from(sorted(STREAMS)))
def test_a_stored_window_goes_on_to_the_bit(seed: int, stop: int, name: str) -> None:
    rng = random.Random(seed)
    kept = Adwin()
    for i in range(stop):
        kept.update(STREAMS[name](rng, i))
    stored = Adwin.of(msgspec.msgpack.decode(msgspec.msgpack.encode(kept.state()), type=AdwinState))
    for i in range(stop, stop + 500):
        value = STREAMS[name](rng, i)
        assert kept.update(value) == stored.update(value)
    assert kept.state() == stored.state()


def test_state_stays_small() -> None:
    rng = random.Random(7)
    window = Adwin()
    for _ in range(100_000):
        window.update(rng.random())
    assert window.width == 100_000
    assert len(msgspec.msgpack.encode(window.state())) < 1_700


def test_the_clearest_cut_is_at_the_change() -> None:
    rng = random.Random(8)
    window = Adwin()
    changes = [window.update(float(rng.random() < (0.2 if i < 2_000 else 0.5))) for i in range(3_000)]
    first = next(change for change in changes if change)
    assert first.before == pytest.approx(0.2, abs=0.03)
    assert first.after == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize("n", [0, 1, 7, 300, 1_000, 5_000])
def test_keeping_the_newest_forgets_whole_buckets_of_the_rest(n: int) -> None:
    rng = random.Random(9)
    values = [rng.random() for _ in range(1_000)]
    window = Adwin(delta=1e-9)
    for value in values:
        window.update(value)
    window.keep(n)
    kept = values[-window.width :]
    assert min(max(n, 1), 1_000) <= window.width <= max(2 * n, 1)
    assert window.mean == pytest.approx(sum(kept) / len(kept))
    assert window.variance == pytest.approx(sum((v - window.mean) ** 2 for v in kept) / len(kept), abs=1e-9)
    assert Adwin.of(window.state()).width == window.width


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_not_finite_is_refused_and_changes_nothing(value: float) -> None:
    window = Adwin()
    with pytest.raises(InputRefused):
        window.update(value)
    assert window.width == 0
    assert window.state() == Adwin().state()


@pytest.mark.parametrize(("delta", "clock"), [(0.0, 32), (1.0, 32), (0.1, 0)])
def test_settings_that_make_no_sense_are_refused(delta: float, clock: int) -> None:
    with pytest.raises(InputRefused):
        Adwin(delta, clock)


@pytest.mark.parametrize(
    "broken",
    [
        {"totals": [[1.0]]},
        {"totals": []},
        {"width": 7},
        {"delta": 0.0},
        {"clock": 0},
        {"n": 1},
        {"totals": [[1.0] * 6], "spreads": [[0.0] * 6], "width": 6},
    ],
)
def test_a_state_that_no_window_gave_is_refused(broken: dict[str, Any]) -> None:
    window = Adwin()
    for i in range(20):
        window.update(float(i % 2))
    assert Adwin.of(window.state()).width == 20
    with pytest.raises(SnapshotDamaged):
        Adwin.of(msgspec.structs.replace(window.state(), **broken))
