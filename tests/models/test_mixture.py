"""Weights of a mixture: convex, following the better member, never dead, and stored to the bit."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.errors import SnapshotDamaged, SnapshotForeign
from models.mixture import RATE, SCORE_LIMIT, Mixture, _State
from models.snapshot import pack

logits = st.floats(-1e3, 1e3)
labels = st.lists(st.tuples(st.lists(logits, min_size=3, max_size=3), st.booleans()), max_size=60)


def fed(rows: list[tuple[list[float], bool]], n_members: int = 3) -> Mixture:
    mixture = Mixture(n_members)
    for members, y in rows:
        mixture.learn(members, y)
    return mixture


@given(labels)
def test_weights_stay_above_nothing_and_add_up_to_one(rows: list[tuple[list[float], bool]]) -> None:
    mixture = fed(rows)
    assert all(0.0 < weight <= 1.0 for weight in mixture.weights)
    assert math.fsum(mixture.weights) == pytest.approx(1.0, abs=1e-8)


@given(labels, st.lists(logits, min_size=3, max_size=3))
def test_the_score_lies_between_those_of_the_members(
    rows: list[tuple[list[float], bool]], members: list[float]
) -> None:
    score = fed(rows).score(members)
    assert min(members) - 1e-5 <= score <= max(members) + 1e-5


@given(labels)
def test_a_label_moves_the_log_weights_by_the_gradient(rows: list[tuple[list[float], bool]]) -> None:
    mixture = fed(rows)
    for members, y in rows[:5]:
        bounded = [min(max(logit, -SCORE_LIMIT), SCORE_LIMIT) for logit in members]
        before = list(mixture.weights)
        error = 1.0 / (1.0 + math.exp(-math.fsum(w * b for w, b in zip(before, bounded, strict=True)))) - y
        raw = [w * math.exp(-RATE * error * b) for w, b in zip(before, bounded, strict=True)]
        mixture.learn(members, y)
        assert mixture.weights == pytest.approx([w / math.fsum(raw) for w in raw], rel=1e-9, abs=1e-12)


@given(labels)
def test_members_that_say_the_same_keep_their_weights(rows: list[tuple[list[float], bool]]) -> None:
    mixture = fed([([members[0]] * 3, y) for members, y in rows])
    assert mixture.weights == pytest.approx([1.0 / 3] * 3, rel=1e-9)


def test_the_member_with_the_better_log_loss_takes_over_and_may_lose_it_again() -> None:
    rng, mixture = random.Random(1), Mixture(2)
    for i in range(10_000):
        y = rng.random() < 0.5
        sure, noise = (2.0 if y else -2.0), rng.gauss(0.0, 2.0)
        mixture.learn([sure, noise] if i < 5_000 else [noise, sure], y)
        if i == 4_999:
            assert mixture.weights[0] > 0.99
    assert mixture.weights[0] < 0.5


def test_one_absurd_score_moves_a_weight_by_a_bounded_step() -> None:
    absurd, large = Mixture(2), Mixture(2)
    absurd.learn([1e300, 0.0], False)
    large.learn([SCORE_LIMIT, 0.0], False)
    assert absurd.weights == large.weights
    assert abs(absurd.weights[0] - 0.5) < RATE * SCORE_LIMIT


@given(labels, labels)
def test_a_stored_mixture_goes_on_to_the_bit(
    before: list[tuple[list[float], bool]], after: list[tuple[list[float], bool]]
) -> None:
    kept = fed(before)
    stored = Mixture.restore(kept.snapshot(), 3)
    for members, y in after:
        kept.learn(members, y)
        stored.learn(members, y)
    assert stored.weights == kept.weights
    assert stored.snapshot() == kept.snapshot()


@pytest.mark.parametrize("weights", [[0.0, 1.0], [-0.5, 0.5], [math.nan, 0.5], [math.inf, 0.5], [1.5, 0.1]])
def test_weights_that_are_none_are_refused(weights: list[float]) -> None:
    with pytest.raises(SnapshotDamaged):
        Mixture.restore(pack("mixture", _State(weights)), 2)


def test_a_mixture_of_others_is_refused() -> None:
    with pytest.raises(SnapshotForeign):
        Mixture.restore(Mixture(3).snapshot(), 2)
    with pytest.raises(ValueError, match="n_members"):
        Mixture(0)
