"""River's own estimator checks, and equality with River's pipelines on dicts with missing features."""

from __future__ import annotations

import importlib.util
import random
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from river import base, checks

from models.dense import DenseLearner
from models.dense_optimizers import SGD
from models.errors import InputRefused
from models.river_api import RiverDenseLogistic, RiverDensePoisson
from tests.models.pipelines import CORES, OPTIMIZERS, river
from tests.models.streams_of_examples import examples

MODELS: dict[str, base.Estimator] = {
    **{f"logistic, {name}": RiverDenseLogistic(optimizer=optimizer) for name, optimizer in OPTIMIZERS.items()},
    **{f"poisson, {name}": RiverDensePoisson(optimizer=optimizer) for name, optimizer in OPTIMIZERS.items()},
    # At SGD's usual rate counts of hundreds are chaotic: the order of the features shows, in River's pipeline too.
    "poisson, sgd": RiverDensePoisson(optimizer=SGD(0.001)),
    "logistic": RiverDenseLogistic(),
    "poisson": RiverDensePoisson(),
    "logistic, no clip": RiverDenseLogistic(clip_z=None, l2=0.001),
}
every_model = pytest.mark.parametrize("model", MODELS.values(), ids=MODELS)


@pytest.fixture
def sklearn(monkeypatch: pytest.MonkeyPatch) -> None:
    """River's checks import scikit-learn before they look which of its data sets a model needs; ours need none."""
    if importlib.util.find_spec("sklearn") is None:
        module = ModuleType("sklearn")
        vars(module)["datasets"] = ModuleType("sklearn.datasets")
        monkeypatch.setitem(sys.modules, "sklearn", module)


@every_model
def test_river_finds_nothing_wrong(sklearn: None, model: base.Estimator) -> None:
    names = [check.__name__ for check in checks.yield_checks(model)]
    assert len(names) >= 25
    assert "check_learn_one" in names
    assert model._unit_test_skips() == set()
    random.seed(1)  # some checks shuffle features
    checks.check_estimator(model)


def test_rivers_checks_find_a_model_that_forgets_its_parameter(sklearn: None) -> None:
    class Forgetful(RiverDenseLogistic):
        """Does not keep what it was made with."""

        def __init__(self, lr: float | None = None, decay: float = 0.01) -> None:
            super().__init__(lr)

    with pytest.raises((AssertionError, AttributeError)):
        checks.check_estimator(Forgetful())


def named(x: list[float], rng: random.Random, whole: bool) -> dict[str, float]:
    return {f"f{i}": v for i, v in enumerate(x) if whole or rng.random() < 0.7}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("core", CORES)
def test_missing_features_count_as_in_river(optimizer: str, core: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DenseLearner, "CORE", CORES[core])
    rng = random.Random(3)
    kind = OPTIMIZERS[optimizer]
    l2 = 0.0 if optimizer.startswith("ftrl") else 0.01
    logistic = RiverDenseLogistic(optimizer=kind, l2=l2)
    poisson = RiverDensePoisson(optimizer=kind, l2=l2)
    its_logistic, its_poisson = river("logistic", kind, l2=l2), river("poisson", kind, l2=l2)
    for i, (values, yes, count) in enumerate(examples(800, seed=21)):
        x = named(values, rng, whole=i == 0)
        assert logistic.predict_proba_one(x) == its_logistic.predict_proba_one(x), i
        if i:
            assert poisson.predict_one(x) == its_poisson.predict_one(x), i
        for classifier in (logistic, its_logistic):
            classifier.learn_one(x, yes)
        for regressor in (poisson, its_poisson):
            regressor.learn_one(x, count)


def test_the_order_of_the_names_does_not_matter() -> None:
    straight, turned = RiverDenseLogistic(), RiverDenseLogistic()
    rng = random.Random(4)
    for i, (values, yes, _) in enumerate(examples(200, seed=22)):
        x = named(values, rng, whole=True)
        back = dict(reversed(x.items())) if i else x
        straight.learn_one(x, yes)
        turned.learn_one(back, yes)
        assert straight.predict_proba_one(x) == turned.predict_proba_one(back)


def test_a_name_that_emerges_is_left_out() -> None:
    with_it, without = RiverDenseLogistic(), RiverDenseLogistic()
    for i, (values, yes, _) in enumerate(examples(100, seed=23)):
        x = {"a": values[0], "b": values[1]}
        late = {"late": values[2]} if i else {}
        with_it.learn_one({**x, **late}, yes)
        without.learn_one(x, yes)
        assert with_it.predict_proba_one({**x, **late}) == without.predict_proba_one(x)


@pytest.mark.parametrize("make", [RiverDenseLogistic, RiverDensePoisson])
def test_what_is_refused_changes_nothing(make: Callable[[], Any]) -> None:
    model = make()
    with pytest.raises(InputRefused, match="first example"):
        model.learn_one({}, 1)
    with pytest.raises(InputRefused, match=r"x\[0\]"):
        model.learn_one({"a": float("nan")}, 1)
    with pytest.raises(InputRefused, match="y: expected"):
        model.learn_one({"a": 1.0}, -1)
    model.learn_one({"b": 1.0}, 1)  # the names are still open
    assert model._model.names == ("b",)
