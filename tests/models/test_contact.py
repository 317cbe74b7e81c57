"""The contact score begins as a Poisson prior, leaves it without a jump, and is stored to the bit."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.contact import ContactModel
from models.errors import InputRefused, SnapshotError
from models.split_window import SplitWindow
from tests.models.nasty_streams import streams

PRIOR = 100.0
"""Labels after which learner and prior count the same."""


@given(st.floats(0.0, 1e9))
def test_before_anything_is_learned_it_is_that_of_a_poisson_count(expected: float) -> None:
    p = -math.expm1(-(min(expected, 30.0) + 0.05))
    assert ContactModel(2).predict([1.0, 2.0], expected) == pytest.approx(p, rel=1e-9)


@settings(max_examples=100, deadline=None)
@given(streams(), st.floats(0.0, 1e9))
def test_learner_and_prior_share_the_logit_by_labels_learned(
    stream: tuple[list[tuple[list[float], bool, float]], int], expected: float
) -> None:
    rows, n_features = stream
    model, window = ContactModel(n_features), SplitWindow(n_features, 1)
    prior = math.log(math.expm1(expected + 0.05)) if expected < 30.0 else 30.0
    for n, (x, yes, _) in enumerate(rows):
        own = n / (n + PRIOR)
        logit = own * window.scores(x)[0] + (1.0 - own) * prior
        p = model.predict(x, expected)
        assert 0.0 <= p <= 1.0
        assert p == pytest.approx(1.0 / (1.0 + math.exp(-min(max(logit, -30.0), 30.0))), rel=1e-12)
        model.learn(x, yes)
        window.learn(0, x, yes)


def rows(n: int) -> list[tuple[list[float], bool]]:
    rng = random.Random(5)
    made = [[rng.gauss(0.0, 1.0), 3.0, float(rng.random() < 0.01)] for _ in range(n)]
    return [(x, rng.random() < 1.0 / (1.0 + math.exp(2.0 - x[0]))) for x in made]


def test_the_prior_is_left_without_a_jump() -> None:
    model, before = ContactModel(3), None
    for x, yes in rows(2_000):
        logits = [math.log(p / (1.0 - p)) for p in (model.predict(v, 0.5) for v in ([0.0, 3.0, 0.0], [2.0, 3.0, 1.0]))]
        if before is not None:
            assert max(abs(a - b) for a, b in zip(logits, before, strict=True)) < 0.15
        before = logits
        model.learn(x, yes)


def test_it_learns_who_asks() -> None:
    model = ContactModel(3)
    for x, yes in rows(3_000):
        model.learn(x, yes)
    rarely, often = (model.predict([v, 3.0, 0.0], 0.5) for v in (-1.0, 2.0))
    assert rarely == pytest.approx(1.0 / (1.0 + math.exp(3.0)), abs=0.03)
    assert often == pytest.approx(0.5, abs=0.1)


def test_a_stored_model_goes_on_to_the_bit() -> None:
    kept, often = ContactModel(3), ContactModel(3)
    for x, yes in rows(500):
        again = ContactModel(3)
        again.restore({name: make() for name, make in often.parts().items()})
        often = again
        assert often.predict(x, 1.0) == kept.predict(x, 1.0)
        kept.learn(x, yes)
        often.learn(x, yes)
    assert {n: make() for n, make in often.parts().items()} == {n: make() for n, make in kept.parts().items()}
    assert kept.version == "recursive1"


def test_what_would_spoil_it_is_refused() -> None:
    model = ContactModel(1)
    with pytest.raises(InputRefused):
        model.learn([math.nan], True)
    with pytest.raises(InputRefused):
        model.predict([1.0, 2.0], 0.0)
    with pytest.raises(SnapshotError):
        model.restore({"0": b"no snapshot"})
    assert model.predict([1.0], 0.0) == ContactModel(1).predict([1.0], 0.0)
