"""Laws of learners, for River's own estimators behind our verbs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models import river_model
from models.base import Classifier, Regressor
from models.errors import InputRefused
from models.river_codec_graph import StateRefused
from models.river_model import CLIP_PROBA, RiverClassifier, RiverRegressor, path_terms
from tests.models.river_estimators import N_FEATURES, SPECS, learner, predict, stream

every_estimator = pytest.mark.parametrize("name", SPECS)
BAYES = "river.naive_bayes.GaussianNB()"
LINEAR = "river.preprocessing.StandardScaler() | river.linear_model.LogisticRegression(river.optim.AdaGrad(0.1))"


def link(model: Any, prediction: float) -> float:
    return math.log(prediction / (1.0 - prediction)) if isinstance(model, RiverClassifier) else prediction


def test_models_have_the_protocols() -> None:
    classifier: Classifier = RiverClassifier(BAYES, 2)
    regressor: Regressor = RiverRegressor("river.linear_model.LinearRegression()", 2)
    assert classifier.n_learned == regressor.n_learned == 0


@every_estimator
def test_the_prior_holds_before_anything_was_learned(name: str) -> None:
    model = learner(name)
    x = stream(1, seed=3)[0][0]
    assert predict(model, x) == (0.5 if isinstance(model, RiverClassifier) else 0.0)
    assert model.contributions(x) == (0.0, [0.0] * N_FEATURES)


@every_estimator
def test_bias_and_contributions_add_up_to_the_score(name: str) -> None:
    model = learner(name)
    for i, (x, y) in enumerate(stream(200, seed=5)):
        model.learn_one(x, y)
        if i % 20 == 0:
            p, bias, terms = model.explain(x)
            assert p == predict(model, x)
            assert bias + sum(terms) == pytest.approx(link(model, p), abs=1e-9)
            assert model.contributions(model._means) == (link(model, predict(model, model._means)), [0.0] * N_FEATURES)


@every_estimator
def test_predicting_changes_nothing(name: str) -> None:
    model = learner(name)
    examples = stream(120, seed=6)
    for i, (x, y) in enumerate(examples):
        if i % 30 == 0:
            before = model.snapshot()
            for other, _ in examples[:5]:
                predict(model, other)
                model.explain(other)
            assert model.snapshot() == before
        model.learn_one(x, y)


@every_estimator
def test_a_version_names_the_recipe_in_32_characters(name: str) -> None:
    model = learner(name)
    assert len(model.version) <= 32
    assert type(model)(SPECS[name].replace(", ", ",  "), N_FEATURES).version == model.version
    assert type(model)(SPECS[name], list("vwxyz")).version != model.version
    assert type(model)(SPECS[name], N_FEATURES, prior=0.25).version != model.version


def test_versions_of_different_recipes_differ() -> None:
    assert len({learner(name).version for name in SPECS}) == len(SPECS)


def test_the_numbers_are_those_of_river() -> None:
    from river import linear_model, optim, preprocessing

    mine = RiverClassifier(LINEAR, N_FEATURES)
    its: Any = preprocessing.StandardScaler() | linear_model.LogisticRegression(optim.AdaGrad(0.1))
    for i, (x, y) in enumerate(stream(200, seed=7)):
        if i:
            assert mine.predict_proba_one(x) == its.predict_proba_one(dict(enumerate(x)))[True]
        mine.learn_one(x, bool(y))
        its.learn_one(dict(enumerate(x)), bool(y))


def test_the_contributions_of_a_linear_model_are_its_own() -> None:
    model = RiverClassifier(LINEAR, N_FEATURES)
    for x, y in stream(300, seed=8):
        model.learn_one(x, bool(y))
    scaler, linear = model._estimator.steps.values()
    scaled = scaler.transform_one(dict(zip(model.names, x, strict=True)))
    own = [linear.weights[name] * scaled[name] for name in model.names]
    assert model.contributions(x)[1] == pytest.approx(own, abs=1e-8)


@pytest.mark.parametrize(
    "said", [{}, {True: math.nan, False: math.nan}, {True: 0.0, False: 0.0}, {True: math.nan}, OverflowError()]
)
def test_where_river_says_nothing_the_prior_is_said(said: Any) -> None:
    model = RiverClassifier(BAYES, 1, prior=0.2)
    model.learn_one([1.0], True)
    model._estimator = Says(said)
    assert model.predict_proba_one([1.0]) == 0.2


@pytest.mark.parametrize(("said", "p"), [({False: 1.0}, 0.0), ({True: 1.0}, 1.0), ({False: 0.75}, 0.25)])
def test_one_class_alone_says_the_other_and_never_certainty(said: Any, p: float) -> None:
    model = RiverClassifier(BAYES, 1)
    model.learn_one([1.0], True)
    model._estimator = Says(said)
    assert model.predict_proba_one([1.0]) == min(max(p, CLIP_PROBA), 1.0 - CLIP_PROBA)


@pytest.mark.parametrize(("said", "y"), [(-1.0, 0.0), (math.inf, 1e12), (math.nan, 7.0), (OverflowError(), 7.0)])
def test_a_number_is_finite_and_not_negative(said: Any, y: float) -> None:
    model = RiverRegressor("river.linear_model.LinearRegression()", 1, prior=7.0)
    model.learn_one([1.0], 1.0)
    model._estimator = Says(said)
    assert model.predict_one([1.0]) == y


class Says:
    """An estimator that says one thing, and learns nothing if that is an error."""

    def __init__(self, said: Any) -> None:
        self.said = said

    def predict_proba_one(self, x: dict[str, float]) -> Any:
        if isinstance(self.said, Exception):
            raise self.said
        return self.said

    predict_one = predict_proba_one

    def learn_one(self, x: dict[str, float], y: Any) -> None:
        raise OverflowError


def test_an_example_at_which_river_fails_is_counted_and_passed_over() -> None:
    model = RiverClassifier(BAYES, 1)
    model.learn_one([1.0], True)
    model._estimator = Says({})
    model.learn_one([2.0], False)
    assert (model.n_learned, model.n_skipped) == (2, 1)


def test_a_poisson_model_that_overflows_goes_on_as_data() -> None:
    model = RiverRegressor("river.linear_model.LinearRegression(loss=river.optim.losses.Poisson())", 1)
    for i in range(50):
        model.learn_one([1e5 * i], 1e6)
    assert model.n_skipped > 0
    again = RiverRegressor.restore(model.snapshot())
    assert again.n_skipped == model.n_skipped
    assert again.predict_one([3.0]) == model.predict_one([3.0])


@pytest.mark.parametrize("bad", [[1.0], [1.0] * 6, [math.nan] * 5, [math.inf] * 5, [1e200] * 5])
@pytest.mark.parametrize("name", ["naive-bayes", "hoeffding-regressor"])
def test_what_is_refused_changes_nothing(name: str, bad: Sequence[float]) -> None:
    model: Any = learner(name)
    before = model.snapshot()
    with pytest.raises(InputRefused, match="x"):
        model.learn_one(bad, 1)
    with pytest.raises(InputRefused, match="x"):
        model.explain(bad)
    for y in (2 if name == "naive-bayes" else -1.0, math.nan):
        with pytest.raises(InputRefused, match="y: expected"):
            model.learn_one([1.0] * 5, y)
    assert model.snapshot() == before


@pytest.mark.parametrize("features", [0, -1, 1001, [], ["a", "a"], [""], ["a" * 65]])
def test_names_that_river_could_not_tell_apart_are_refused(features: Any) -> None:
    with pytest.raises(ValueError, match="features: expected"):
        RiverClassifier(BAYES, features)


@pytest.mark.parametrize("prior", [0.0, 1.0, -0.5, math.nan])
def test_a_prior_is_no_certainty(prior: float) -> None:
    with pytest.raises(ValueError, match="prior: expected"):
        RiverClassifier(BAYES, 1, prior=prior)


def test_names_priors_and_numbers_of_other_kinds_are_kept() -> None:
    import numpy as np

    model = RiverClassifier("river.tree.HoeffdingTreeClassifier(grace_period=20)", ["recency", "visits"], prior=0.1)
    for i in range(100):
        model.learn_one(list(np.array([i % 7, i % 3])), bool(np.bool_(i % 3 == 0)))
    again = RiverClassifier.restore(model.snapshot())
    assert (again.names, again.prior, again.n_learned, again.n_features) == (["recency", "visits"], 0.1, 100, 2)
    assert again.version == model.version
    assert again.predict_proba_one([1.0, 0.0]) == model.predict_proba_one([1.0, 0.0])


def test_a_model_too_large_to_store_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(river_model, "MAX_BYTES", 100)
    with pytest.raises(StateRefused, match="at most 100 bytes"):
        RiverClassifier(BAYES, 1).snapshot()


FLOATS = st.floats(-10.0, 10.0)


@given(st.lists(st.tuples(FLOATS, FLOATS), min_size=1, max_size=6))
def test_path_terms_add_up_whatever_the_score_is(pairs: list[tuple[float, float]]) -> None:
    start, end = map(list, zip(*pairs, strict=True))
    calls = []

    def score(x: Sequence[float]) -> float:
        calls.append(1)
        return math.sin(sum(x)) + math.prod(x) / 1e6 + max(x)

    bias, terms = path_terms(score, start, end)
    assert bias + sum(terms) == pytest.approx(score(end), abs=1e-9)
    assert len(calls) - 1 <= max(2 * len(start), 2)
    assert all(term == 0.0 for term, a, b in zip(terms, start, end, strict=True) if a == b)


@given(st.lists(FLOATS, min_size=3, max_size=3))
def test_path_terms_share_a_product_of_two_in_halves(end: list[float]) -> None:
    a, b, c = end
    _, terms = path_terms(lambda x: x[0] * x[2] + 3.0 * x[1], [0.0] * 3, end)
    assert terms == pytest.approx([a * c / 2, 3 * b, a * c / 2], abs=1e-9)
