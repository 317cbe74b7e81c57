"""Laws of every learner, and their equality with River's own pipelines to the bit."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import compose, linear_model, optim, preprocessing

from models.base import Classifier, Regressor
from models.errors import InputRefused
from models.linear import CLIP_Z, INPUT_LIMIT
from models.logistic import Logistic
from models.poisson import CLIP_GRADIENT, ETA_LIMIT, Poisson
from tests.models.streams_of_examples import N_FEATURES, examples

Learner = Logistic | Poisson
LEARNERS: list[Callable[[], Learner]] = [lambda: Logistic(N_FEATURES), lambda: Poisson(N_FEATURES)]
every_learner = pytest.mark.parametrize("make", LEARNERS, ids=["logistic", "poisson"])


def predict(learner: Learner, x: list[float]) -> float:
    return learner.predict_proba_one(x) if isinstance(learner, Logistic) else learner.predict_one(x)


def learn(learner: Learner, x: list[float], yes: bool, count: float) -> None:
    if isinstance(learner, Logistic):
        learner.learn_one(x, yes)
    else:
        learner.learn_one(x, count)


def clip(z: dict[int, float]) -> dict[int, float]:
    return {i: min(max(v, -CLIP_Z), CLIP_Z) for i, v in z.items()}


def river_pipeline(model: Any) -> Any:
    return preprocessing.StandardScaler() | compose.FuncTransformer(clip) | model


def test_logistic_gives_the_numbers_of_the_river_pipeline_to_the_bit() -> None:
    mine = Logistic(N_FEATURES)
    its = river_pipeline(linear_model.LogisticRegression(optim.AdaGrad(0.1)))
    for i, (x, yes, _) in enumerate(examples(1500, seed=1)):
        expected = its.predict_proba_one(dict(enumerate(x)))[True]
        assert mine.predict_proba_one(x) == expected, i
        mine.learn_one(x, yes)
        its.learn_one(dict(enumerate(x)), yes)


def test_poisson_gives_the_numbers_of_the_river_pipeline_to_the_bit() -> None:
    mine = Poisson(N_FEATURES)
    its = river_pipeline(
        linear_model.LinearRegression(optim.AdaGrad(0.02), loss=optim.losses.Poisson(), clip_gradient=CLIP_GRADIENT)
    )
    for i, (x, _, count) in enumerate(examples(1500, seed=2)):
        if i:
            assert mine.predict_one(x) == its.predict_one(dict(enumerate(x))), i
        mine.learn_one(x, count)
        its.learn_one(dict(enumerate(x)), count)


def test_learners_have_the_protocols() -> None:
    classifier: Classifier = Logistic(2)
    regressor: Regressor = Poisson(2)
    assert (classifier.version, regressor.version) == ("logistic-1", "poisson-1")


@every_learner
def test_prior_before_anything_was_learned(make: Callable[[], Learner]) -> None:
    learner = make()
    x = examples(1, seed=3)[0][0]
    assert predict(learner, x) == (0.5 if isinstance(learner, Logistic) else 0.0)
    assert learner.contributions(x) == (0.0, [0.0] * N_FEATURES)
    assert learner.n_learned == 0


@every_learner
def test_learning_finds_the_signal(make: Callable[[], Learner]) -> None:
    learner = make()
    stream = examples(2000, seed=4)
    for x, yes, count in stream:
        learn(learner, x, yes, count)
    scores = [(predict(learner, x), yes) for x, yes, _ in stream[-500:]]
    n_yes = sum(yes for _, yes in scores)
    mean_yes = sum(p for p, yes in scores if yes) / n_yes
    mean_no = sum(p for p, yes in scores if not yes) / (len(scores) - n_yes)
    assert mean_yes > mean_no + 0.1


@every_learner
def test_bias_and_contributions_add_up_to_the_score(make: Callable[[], Learner]) -> None:
    learner = make()
    for x, yes, count in examples(300, seed=5):
        learn(learner, x, yes, count)
        bias, terms = learner.contributions(x)
        p = predict(learner, x)
        score = math.log(p / (1.0 - p)) if isinstance(learner, Logistic) else math.log(p)
        assert bias + sum(terms) == pytest.approx(score, abs=1e-9)


@every_learner
def test_predicting_changes_nothing(make: Callable[[], Learner]) -> None:
    learner = make()
    stream = examples(50, seed=6)
    for x, yes, count in stream:
        learn(learner, x, yes, count)
    before = learner.snapshot()
    for x, _, _ in stream:
        predict(learner, x)
        learner.contributions(x)
    assert learner.snapshot() == before


@every_learner
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e200])
def test_an_example_that_is_not_finite_is_refused_and_changes_nothing(make: Callable[[], Learner], bad: float) -> None:
    learner = make()
    for x, yes, count in examples(20, seed=7):
        learn(learner, x, yes, count)
    before = learner.snapshot()
    x = [0.0] * (N_FEATURES - 1) + [bad]
    with pytest.raises(InputRefused, match=r"x\[15\]"):
        predict(learner, x)
    with pytest.raises(InputRefused, match=r"x\[15\]"):
        learn(learner, x, True, 1.0)
    with pytest.raises(InputRefused, match="expected 16 features, got 1"):
        learn(learner, [1.0], True, 1.0)
    assert learner.snapshot() == before


@pytest.mark.parametrize("y", [math.nan, 2, -1, 0.5])
def test_a_label_that_is_not_one_is_refused(y: Any) -> None:
    model = Logistic(1)
    with pytest.raises(InputRefused, match="true or false"):
        model.learn_one([0.0], y)
    assert model.n_learned == 0


@pytest.mark.parametrize("y", [math.nan, math.inf, -1.0])
def test_a_count_that_is_not_one_is_refused(y: float) -> None:
    model = Poisson(1)
    with pytest.raises(InputRefused, match="finite count"):
        model.learn_one([0.0], y)
    assert model.n_learned == 0


def test_parameters_out_of_range_are_refused() -> None:
    for make in (lambda: Logistic(0), lambda: Logistic(1, lr=0.0), lambda: Poisson(1, intercept_lr=math.nan)):
        with pytest.raises(ValueError, match="expected"):
            make()


sizes = st.floats(-INPUT_LIMIT, INPUT_LIMIT)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(sizes, st.sampled_from([0.0, 1.0, -1e12, 1e-300]), st.floats(0.0, 1e300)), max_size=30))
def test_predictions_are_finite_on_any_stream_and_survive_storage(stream: list[tuple[float, float, float]]) -> None:
    logistic, poisson = Logistic(2), Poisson(2)
    for a, b, y in stream:
        logistic.learn_one([a, b], y > 1.0)
        poisson.learn_one([a, b], y)
        assert 0.0 <= logistic.predict_proba_one([b, a]) <= 1.0
        assert 0.0 <= poisson.predict_one([b, a]) < math.inf
        # Whatever the stream, restore must not refuse what snapshot wrote.
        assert Logistic.restore(logistic.snapshot()).snapshot() == logistic.snapshot()
        assert Poisson.restore(poisson.snapshot()).snapshot() == poisson.snapshot()


def test_a_runaway_score_is_capped_before_it_overflows() -> None:
    model = Poisson(1, intercept_lr=1000.0)
    model.learn_one([1.0], 1e6)  # clipped gradient of -3: the intercept is now 3000
    assert model.contributions([1.0])[0] == 3000.0
    assert model.predict_one([1.0]) == math.exp(ETA_LIMIT)
    model.learn_one([1.0], 0.0)
    assert math.isfinite(model.predict_one([1.0]))
