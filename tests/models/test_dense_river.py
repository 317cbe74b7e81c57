"""Every dense learner is River's pipeline of the same recipe to the bit, whatever code does the arithmetic."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.dense_optimizers import SGD, AdaGrad
from tests.models.nasty_streams import Example, streams
from tests.models.pipelines import CORES, LOSSES, OPTIMIZERS, assert_same, dense, river
from tests.models.streams_of_examples import N_FEATURES, examples

every_loss = pytest.mark.parametrize("loss", LOSSES)
every_optimizer = pytest.mark.parametrize("optimizer", OPTIMIZERS)

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "no clip": {"clip_z": None},
    "tight clips": {"clip_z": 1.5, "clip_gradient": 0.25},
    "own intercept": {"intercept_lr": 0.002},
    "still intercept": {"intercept_lr": 0.0},
}


def compare(
    loss: str, optimizer: str, stream: list[Example], n_features: int, *, every: int = 1, **recipe: Any
) -> None:
    kind = OPTIMIZERS[optimizer]
    learners = [dense(loss, n_features, core, optimizer=kind, **recipe) for core in CORES.values()]
    assert_same(learners, river(loss, kind, **recipe), stream, every=every)


@every_loss
@every_optimizer
@pytest.mark.parametrize("recipe", SETTINGS)
def test_a_stream_gives_the_numbers_of_river_to_the_bit(loss: str, optimizer: str, recipe: str) -> None:
    compare(loss, optimizer, examples(600, seed=51), N_FEATURES, **SETTINGS[recipe])


@every_loss
@every_optimizer
def test_the_first_steps_of_many_streams_give_the_numbers_of_river_to_the_bit(loss: str, optimizer: str) -> None:
    # Only while the sums are young does the last bit of a square show in them.
    stream = examples(1200, seed=52)
    for begin in range(0, len(stream), 4):
        compare(loss, optimizer, stream[begin : begin + 4], N_FEATURES)


@pytest.mark.slow
@every_loss
@every_optimizer
def test_20_000_examples_give_the_numbers_of_river_to_the_bit(loss: str, optimizer: str) -> None:
    compare(loss, optimizer, examples(20_000, seed=53), N_FEATURES, every=50)


@every_loss
@pytest.mark.parametrize("optimizer", [SGD(0.01), AdaGrad(0.1)], ids=["sgd", "adagrad"])
def test_a_penalty_of_the_weights_is_rivers(loss: str, optimizer: SGD | AdaGrad) -> None:
    learners = [dense(loss, N_FEATURES, core, optimizer=optimizer, l2=0.03) for core in CORES.values()]
    assert_same(learners, river(loss, optimizer, l2=0.03), examples(600, seed=54))


@every_optimizer
def test_counts_on_which_poisson_is_chaotic_give_the_numbers_of_river_to_the_bit(optimizer: str) -> None:
    stream = [(x, yes, 1000.0 + 7.0 * (i % 300)) for i, (x, yes, _) in enumerate(examples(3000, seed=55))]
    compare("poisson", optimizer, stream, N_FEATURES, every=7)


@settings(max_examples=80, deadline=None)
@given(streams(), st.sampled_from(LOSSES), st.sampled_from(sorted(OPTIMIZERS)), st.sampled_from([4.0, None]))
def test_any_stream_gives_the_numbers_of_river_to_the_bit(
    stream: tuple[list[Example], int], loss: str, optimizer: str, clip_z: float | None
) -> None:
    compare(loss, optimizer, *stream, clip_z=clip_z)


@settings(max_examples=30, deadline=None)
@given(streams(), st.sampled_from(LOSSES), st.sampled_from(sorted(OPTIMIZERS)), st.integers(1, 12))
def test_saving_and_loading_after_every_few_examples_changes_no_bit(
    stream: tuple[list[Example], int], loss: str, optimizer: str, every: int
) -> None:
    rows, n_features = stream
    for core in CORES.values():
        kept = dense(loss, n_features, core, optimizer=OPTIMIZERS[optimizer])
        stored = dense(loss, n_features, core, optimizer=OPTIMIZERS[optimizer])
        for i, (x, yes, count) in enumerate(rows):
            if i % every == 0:
                stored = type(stored).restore(stored.snapshot())
            assert stored.explain(x) == kept.explain(x)
            for learner in (kept, stored):
                learner.update(x, yes if loss == "logistic" else count)
        assert stored.snapshot() == kept.snapshot()
