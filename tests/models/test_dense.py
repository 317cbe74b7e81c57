"""The dense learners are River's pipelines to the bit on every stream, and keep the laws of every learner."""

from __future__ import annotations

import copy
import math
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import compose, linear_model, optim, preprocessing

from models import dense, dense_poisson, linear, poisson, unrolled
from models.base import Classifier, Regressor
from models.dense import INPUT_LIMIT, DenseState
from models.dense_logistic import DenseLogistic
from models.dense_poisson import ETA_LIMIT, DensePoisson
from models.errors import InputRefused, SnapshotError, SnapshotForeign
from models.logistic import Logistic
from models.poisson import Poisson
from models.snapshot import pack, unpack
from models.unrolled import kernels
from tests.models.streams_of_examples import N_FEATURES, examples

ROOT = Path(__file__).resolve().parents[2]
Example = tuple[list[float], bool, float]
Dense = DenseLogistic | DensePoisson
LEARNERS: list[Callable[[], Dense]] = [lambda: DenseLogistic(N_FEATURES), lambda: DensePoisson(N_FEATURES)]
every_learner = pytest.mark.parametrize("make", LEARNERS, ids=["logistic", "poisson"])


def predict(learner: Dense, x: list[float]) -> float:
    return learner.predict_proba_one(x) if isinstance(learner, DenseLogistic) else learner.predict_one(x)


def learn(learner: Dense, example: Example) -> None:
    x, yes, count = example
    if isinstance(learner, DenseLogistic):
        learner.learn_one(x, yes)
    else:
        learner.learn_one(x, count)


def clip(z: dict[int, float]) -> dict[int, float]:
    return {i: min(max(v, -4.0), 4.0) for i, v in z.items()}


def pipeline(model: Any) -> Any:
    return preprocessing.StandardScaler() | compose.FuncTransformer(clip) | model


def compare_with_river(stream: Iterable[Example], n_features: int, *, every: int = 1) -> None:
    """Both learners beside River's own pipelines; predictions are looked at once in so many examples."""
    logistic, its_logistic = DenseLogistic(n_features), pipeline(linear_model.LogisticRegression(optim.AdaGrad(0.1)))
    poisson_, its_poisson = (
        DensePoisson(n_features),
        pipeline(linear_model.LinearRegression(optim.AdaGrad(0.02), loss=optim.losses.Poisson(), clip_gradient=3.0)),
    )
    for i, (x, yes, count) in enumerate(stream):
        named = dict(enumerate(x))
        if i % every == 0:
            assert logistic.predict_proba_one(x) == its_logistic.predict_proba_one(named)[True], i
            if i:
                assert poisson_.predict_one(x) == its_poisson.predict_one(named), i
        logistic.learn_one(x, yes)
        its_logistic.learn_one(named, yes)
        poisson_.learn_one(x, count)
        its_poisson.learn_one(named, count)
    for mine, its in ((logistic, its_logistic), (poisson_, its_poisson)):
        scaler, _, model = its.steps.values()
        intercept, means, variances, _, weights, squares = mine.numbers
        assert intercept == model.intercept
        assert means == tuple(scaler.means.values())
        assert variances == tuple(scaler.vars.values())
        assert weights == tuple(model.weights[j] for j in range(n_features))
        assert squares == tuple(model.optimizer.g2[j] for j in range(n_features))


def test_20_000_examples_give_the_numbers_of_river_to_the_bit() -> None:
    compare_with_river(examples(20_000, seed=31), N_FEATURES, every=7)


def test_the_first_steps_of_many_streams_give_the_numbers_of_river_to_the_bit() -> None:
    # Only while the sums are young does the last bit of a square show in them.
    stream = examples(2000, seed=43)
    for begin in range(0, len(stream), 4):
        compare_with_river(stream[begin : begin + 4], N_FEATURES)


@pytest.mark.slow
def test_200_000_examples_give_the_numbers_of_river_to_the_bit() -> None:
    compare_with_river(examples(200_000, seed=32), N_FEATURES, every=50)


def test_counts_on_which_poisson_is_chaotic_give_the_numbers_of_river_to_the_bit() -> None:
    stream = [(x, yes, 1000.0 + 7.0 * (i % 300)) for i, (x, yes, _) in enumerate(examples(8000, seed=33))]
    compare_with_river(stream, N_FEATURES, every=7)


# Hypothesis mixes features that stay, features that stay and then vary, money with refunds, and sizes of every order.
kinds = st.sampled_from(["constant", "awakes", "refunds", "any", "tiny", "offset", "flag"])
labels = st.one_of(st.integers(0, 40).map(float), st.floats(0.0, 1e6), st.just(1e12))


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Example], int]:
    features = draw(st.lists(kinds, min_size=1, max_size=4))
    n = draw(st.integers(1, 60))
    wake = draw(st.integers(0, n))
    columns = []
    for kind in features:
        values = {
            "constant": st.just(draw(st.floats(-1e6, 1e6))),
            "awakes": st.floats(-1e3, 1e3),
            "refunds": st.floats(-1e12, 1e12),
            "any": st.floats(-1e90, 1e90),
            "tiny": st.floats(-1e-300, 1e-300),
            "offset": st.floats(0.0, 1e-3).map(lambda v: 1e12 + v),
            "flag": st.sampled_from([0.0, 1.0]),
        }[kind]
        column = draw(st.lists(values, min_size=n, max_size=n))
        columns.append([0.0] * wake + column[wake:] if kind == "awakes" else column)
    yes = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    counts = draw(st.lists(labels, min_size=n, max_size=n))
    return [(list(x), y, c) for x, y, c in zip(zip(*columns, strict=True), yes, counts, strict=True)], len(features)


@settings(max_examples=150, deadline=None)
@given(streams())
def test_any_stream_gives_the_numbers_of_river_to_the_bit(stream: tuple[list[Example], int]) -> None:
    compare_with_river(*stream)


@settings(max_examples=40, deadline=None)
@given(streams(), st.integers(0, 60))
def test_saving_and_loading_at_any_point_changes_no_bit(stream: tuple[list[Example], int], at: int) -> None:
    rows, n_features = stream
    for make in (DenseLogistic, DensePoisson):
        kept: Dense = make(n_features)
        stored: Dense = make(n_features)
        for i, row in enumerate(rows):
            if i == at % len(rows):
                stored = make.restore(stored.snapshot())
            assert predict(stored, row[0]) == predict(kept, row[0])
            learn(kept, row)
            learn(stored, row)
        assert stored.snapshot() == kept.snapshot()


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
    assert (unrolled.CLIP_Z, dense.INPUT_LIMIT) == (linear.CLIP_Z, linear.INPUT_LIMIT)
    assert (dense_poisson.CLIP_GRADIENT, dense_poisson.ETA_LIMIT) == (poisson.CLIP_GRADIENT, poisson.ETA_LIMIT)
    assert optim.AdaGrad(0.1).eps == unrolled.EPS


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


def test_parameters_out_of_range_are_refused() -> None:
    for make in (lambda: DenseLogistic(0), lambda: DenseLogistic(1, lr=0.0), lambda: DensePoisson(1, lr=math.nan)):
        with pytest.raises(ValueError, match="expected"):
            make()
    wrong: Any = "2"
    with pytest.raises(TypeError):
        kernels(wrong)


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
    [("n_learned", -1), ("n_features", 4), ("variances", [-1.0, 0.0, 0.0]), ("intercept", math.inf), ("lr", 0.0)],
)
def test_numbers_that_cannot_be_are_refused(name: str, value: Any) -> None:
    state = unpack(WHOLE.KIND, WHOLE.snapshot(), DenseState)
    setattr(state, name, value)
    with pytest.raises(SnapshotError):
        DenseLogistic.restore(pack(DenseLogistic.KIND, state))


def test_a_snapshot_of_16_features_stays_small() -> None:
    model = DenseLogistic(N_FEATURES)
    for x, yes, _ in examples(40, seed=42):
        model.learn_one(x, yes)
    assert len(model.snapshot()) <= 1000
