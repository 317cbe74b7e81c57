"""The dense learners are River's pipelines to the bit on every stream, and keep the laws of every learner."""

from __future__ import annotations

import copy
import functools
import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import optim

from models import dense_poisson, kernel, linear, poisson
from models.base import Classifier, Regressor
from models.dense import CLIP_Z, INPUT_LIMIT, DenseState
from models.dense_logistic import DenseLogistic
from models.dense_optimizers import SGD, AdaGrad, FTRLProximal
from models.dense_poisson import ETA_LIMIT, DensePoisson
from models.errors import InputRefused, SnapshotError, SnapshotForeign
from models.logistic import Logistic
from models.poisson import Poisson
from models.snapshot import pack, unpack
from tests.models.nasty_streams import Example
from tests.models.pipelines import CORES, LOSSES, Dense, assert_same, dense, predict, river
from tests.models.streams_of_examples import N_FEATURES, examples

ROOT = Path(__file__).resolve().parents[2]
LEARNERS: dict[str, Callable[[], Dense]] = {
    f"{loss}, {name}": functools.partial(dense, loss, N_FEATURES, core)
    for loss in LOSSES
    for name, core in CORES.items()
}
every_learner = pytest.mark.parametrize("make", LEARNERS.values(), ids=LEARNERS)


def learn(learner: Dense, example: Example) -> None:
    x, yes, count = example
    if isinstance(learner, DenseLogistic):
        learner.learn_one(x, yes)
    else:
        learner.learn_one(x, count)


@pytest.mark.slow
def test_200_000_examples_give_the_numbers_of_river_to_the_bit() -> None:
    stream = examples(200_000, seed=32)
    for loss, optimizer in (("logistic", AdaGrad(0.1)), ("poisson", AdaGrad(0.02))):
        assert_same([dense(loss, N_FEATURES)], river(loss, optimizer), stream, every=50)


@every_learner
def test_storing_after_every_example_changes_no_score_by_a_bit(make: Callable[[], Dense]) -> None:
    kept, stored = make(), make()
    for row in examples(2000, seed=34):
        stored = type(stored).restore(stored.snapshot())
        assert stored.explain(row[0]) == kept.explain(row[0])
        learn(kept, row)
        learn(stored, row)
    assert stored.snapshot() == kept.snapshot()
    assert stored.n_learned == 2000


def test_learners_have_the_protocols() -> None:
    classifier: Classifier = DenseLogistic(2)
    regressor: Regressor = DensePoisson(2)
    assert (classifier.version, regressor.version) == ("dense-logistic-1", "dense-poisson-1")


def test_constants_are_those_of_the_slow_learners() -> None:
    assert (CLIP_Z, INPUT_LIMIT) == (linear.CLIP_Z, linear.INPUT_LIMIT)
    assert (dense_poisson.CLIP_GRADIENT, kernel.ETA_LIMIT) == (poisson.CLIP_GRADIENT, poisson.ETA_LIMIT)


def test_optimizers_have_rivers_names_and_defaults() -> None:
    for mine, its in (
        (SGD(), optim.SGD()),
        (AdaGrad(), optim.AdaGrad()),
        (FTRLProximal(), optim.FTRLProximal()),
    ):
        for name in mine.__struct_fields__:
            expected = its.learning_rate if name == "lr" else getattr(its, name)
            assert getattr(mine, name) == expected, (mine, name)


def test_river_is_not_imported() -> None:
    code = "import sys, models.dense_logistic, models.dense_poisson; sys.exit('river' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


@every_learner
def test_prior_before_anything_was_learned(make: Callable[[], Dense]) -> None:
    learner = make()
    x = examples(1, seed=35)[0][0]
    prior = 0.5 if isinstance(learner, DenseLogistic) else 0.0
    assert predict(learner, x) == prior
    assert learner.explain(x) == (prior, 0.0, [0.0] * N_FEATURES)
    assert type(learner).restore(learner.snapshot()).n_learned == 0


@every_learner
def test_explanations_are_the_prediction_and_the_contributions_of_the_slow_learner(make: Callable[[], Dense]) -> None:
    learner = make()
    slow: Any = Logistic(N_FEATURES) if isinstance(learner, DenseLogistic) else Poisson(N_FEATURES)
    for x, yes, count in examples(300, seed=36):
        learn(learner, (x, yes, count))
        slow.learn_one(x, yes if isinstance(learner, DenseLogistic) else count)
        p, bias, terms = learner.explain(x)
        assert p == predict(learner, x)
        assert (bias, terms) == learner.contributions(x) == slow.contributions(x)
        score = math.log(p / (1.0 - p)) if isinstance(learner, DenseLogistic) else math.log(p)
        assert bias + sum(terms) == pytest.approx(score, abs=1e-9)


@every_learner
def test_predicting_changes_nothing(make: Callable[[], Dense]) -> None:
    learner = make()
    for row in examples(50, seed=37):
        learn(learner, row)
    before = learner.snapshot()
    for x, _, _ in examples(50, seed=38):
        predict(learner, x)
        learner.explain(x)
    assert learner.snapshot() == before


@every_learner
@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e200])
def test_an_example_that_is_not_finite_is_refused_and_changes_nothing(make: Callable[[], Dense], bad: float) -> None:
    learner = make()
    for row in examples(20, seed=39):
        learn(learner, row)
    before = learner.snapshot()
    x = [0.0] * (N_FEATURES - 1) + [bad]
    for ask in (lambda: predict(learner, x), lambda: learner.explain(x), lambda: learn(learner, (x, True, 1.0))):
        with pytest.raises(InputRefused, match=r"x\[15\]"):
            ask()
    with pytest.raises(InputRefused, match="expected 16 features, got 1"):
        learn(learner, ([1.0], True, 1.0))
    assert learner.snapshot() == before
    assert learner.n_learned == 20


def test_features_at_the_limit_are_learned() -> None:
    # As long as an arrow over the limit, but no feature is.
    model = DenseLogistic(3)
    for sign in (1.0, -1.0):
        model.learn_one([sign * INPUT_LIMIT] * 3, sign > 0.0)
    assert model.predict_proba_one([INPUT_LIMIT] * 3) > 0.5


@pytest.mark.parametrize("y", [math.nan, 2, -1, 0.5])
def test_a_label_that_is_not_one_is_refused(y: Any) -> None:
    model = DenseLogistic(1)
    with pytest.raises(InputRefused, match="true or false"):
        model.learn_one([0.0], y)
    assert model.n_learned == 0


@pytest.mark.parametrize("y", [math.nan, math.inf, -1.0])
def test_a_count_that_is_not_one_is_refused(y: float) -> None:
    model = DensePoisson(1)
    with pytest.raises(InputRefused, match="finite count"):
        model.learn_one([0.0], y)
    assert model.n_learned == 0


@pytest.mark.parametrize(
    "make",
    [
        lambda: DenseLogistic(0),
        lambda: DenseLogistic(1, lr=0.0),
        lambda: DensePoisson(1, lr=math.nan),
        lambda: DensePoisson(1, lr=math.inf),
        lambda: DenseLogistic(1, lr=0.1, optimizer=SGD()),
        lambda: DenseLogistic(1, intercept_lr=-1.0),
        lambda: DenseLogistic(1, clip_z=0.0),
        lambda: DenseLogistic(1, clip_z=math.inf),
        lambda: DenseLogistic(1, clip_gradient=0.0),
        lambda: DenseLogistic(1, l2=-0.1),
        lambda: DenseLogistic(1, l2=0.1, optimizer=FTRLProximal()),
        lambda: DenseLogistic(1, l2=1.1, optimizer=SGD(1.0)),
        lambda: AdaGrad(0.1, eps=0.0),
        lambda: FTRLProximal(beta=0.0, l2=0.0),
        lambda: FTRLProximal(l1=math.nan),
    ],
)
def test_parameters_out_of_range_are_refused(make: Callable[[], Any]) -> None:
    with pytest.raises(ValueError, match="expected"):
        make()


@pytest.mark.parametrize("core", CORES.values(), ids=CORES)
def test_a_number_of_features_must_be_an_integer(core: Any) -> None:
    wrong: Any = "2"
    with pytest.raises(TypeError):
        dense("logistic", wrong, core)


RECIPES: list[dict[str, Any]] = [
    {"optimizer": SGD()},
    {"optimizer": SGD(0.02)},
    {"lr": 0.2},
    {"optimizer": AdaGrad(0.1, 1e-6)},
    {"optimizer": FTRLProximal()},
    {"optimizer": FTRLProximal(l1=0.1)},
    {"intercept_lr": 0.002},
    {"clip_z": None},
    {"clip_z": 3.0},
    {"clip_gradient": 1.0},
    {"l2": 0.01},
]


@pytest.mark.parametrize("loss", LOSSES)
def test_every_recipe_has_a_name_of_its_own_that_is_stored_with_it(loss: str) -> None:
    names = []
    for recipe in [{}, *RECIPES]:
        learner = dense(loss, 2, **recipe)
        learn(learner, ([1.0, 2.0], True, 1.0))
        again = type(learner).restore(learner.snapshot())
        assert again.snapshot() == learner.snapshot()
        assert again.version == learner.version
        names.append(learner.version)
    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 32
    assert dense(loss, 2, optimizer=SGD(1)).version == dense(loss, 2, optimizer=SGD(1.0)).version


def test_a_runaway_score_is_capped_before_it_overflows() -> None:
    model = DensePoisson(1, intercept_lr=1000.0)
    model.learn_one([1.0], 1e6)  # clipped gradient of -3: the intercept is now 3000
    assert model.explain([1.0])[:2] == (math.exp(ETA_LIMIT), 3000.0)
    model.learn_one([1.0], 0.0)
    assert math.isfinite(model.predict_one([1.0]))


@every_learner
def test_a_copy_goes_its_own_way(make: Callable[[], Dense]) -> None:
    learner = make()
    for row in examples(30, seed=40):
        learn(learner, row)
    twin = copy.deepcopy(learner)
    assert twin.snapshot() == learner.snapshot()
    learn(twin, examples(1, seed=41)[0])
    assert (learner.n_learned, twin.n_learned) == (30, 31)


def test_snapshots_of_another_kind_are_refused() -> None:
    for other in (Logistic(2), DensePoisson(2)):
        with pytest.raises(SnapshotForeign):
            DenseLogistic.restore(other.snapshot())
    with pytest.raises(SnapshotForeign):
        Logistic.restore(DenseLogistic(2).snapshot())


WHOLE = DenseLogistic(3)
WHOLE.learn_one([1.0, 2.0, 3.0], True)


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 8 * len(WHOLE.snapshot()) - 1))
def test_any_flipped_bit_is_found(bit: int) -> None:
    damaged = bytearray(WHOLE.snapshot())
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SnapshotError):
        DenseLogistic.restore(bytes(damaged))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_learned", -1),
        ("n_features", 4),
        ("variances", [-1.0, 0.0, 0.0]),
        ("intercept", math.inf),
        ("intercept_lr", -1.0),
        ("clip_gradient", 0.0),
    ],
)
def test_numbers_that_cannot_be_are_refused(name: str, value: Any) -> None:
    state = unpack(WHOLE.KIND, WHOLE.snapshot(), DenseState)
    setattr(state, name, value)
    with pytest.raises(SnapshotError):
        DenseLogistic.restore(pack(DenseLogistic.KIND, state))


def test_a_snapshot_without_a_recipe_is_of_the_models_own() -> None:
    # As they were written when there was only one.
    state = unpack(WHOLE.KIND, WHOLE.snapshot(), DenseState)
    old = msgspec.to_builtins(state)[:10]

    class Old(msgspec.Struct, array_like=True):
        a: str
        b: int
        c: float
        d: float
        e: int
        f: list[float]
        g: list[float]
        h: list[float]
        i: list[float]
        j: float

    again = DenseLogistic.restore(pack(DenseLogistic.KIND, Old(*old)))
    assert again.snapshot() == WHOLE.snapshot()


def test_a_snapshot_of_another_recipe_by_the_same_name_is_refused() -> None:
    state = unpack(WHOLE.KIND, WHOLE.snapshot(), DenseState)
    state.clip_z = 3.0
    with pytest.raises(SnapshotForeign, match="expected recipe"):
        DenseLogistic.restore(pack(DenseLogistic.KIND, state))


def test_a_snapshot_of_16_features_stays_small() -> None:
    model = DenseLogistic(N_FEATURES)
    for x, yes, _ in examples(40, seed=42):
        model.learn_one(x, yes)
    assert len(model.snapshot()) <= 1000
