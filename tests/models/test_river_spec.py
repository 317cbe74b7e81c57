"""A specification makes what it says or is refused with what to write instead; it is never evaluated."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.errors import ModelError
from models.river_spec import PARTS, Role, SpecRefused, build, canonical
from tests.models.river_estimators import SPECS


def test_positional_and_named_arguments_and_nested_calls_reach_river() -> None:
    model: Any = build(
        "river.linear_model.LogisticRegression(river.optim.AdaGrad(0.3, eps=1e-6), l2=0.5)", "classifier"
    )
    assert (model.optimizer.lr.learning_rate, model.optimizer.eps, model.l2) == (0.3, 1e-6, 0.5)
    forest: Any = build("river.forest.ARFClassifier(5, max_features=None, seed=7, max_depth=4)", "classifier")
    assert (forest.n_models, forest.max_features, forest.seed, forest.max_depth) == (5, None, 7, 4)
    negative: Any = build("river.linear_model.LinearRegression(intercept_init=-2)", "regressor")
    assert negative.intercept_init == -2


def test_a_pipeline_has_its_steps_in_order() -> None:
    model: Any = build(
        "river.preprocessing.StandardScaler(with_std=False) | river.naive_bayes.GaussianNB()", "classifier"
    )
    assert list(model.steps) == ["StandardScaler", "GaussianNB"]


def test_trees_measure_no_memory() -> None:
    tree: Any = build("river.tree.HoeffdingTreeClassifier()", "classifier")
    assert tree.memory_estimate_period == 2**62


def test_spaces_and_quotes_do_not_count() -> None:
    plain = "river.tree.HoeffdingTreeClassifier(leaf_prediction='mc', grace_period=50)"
    assert canonical(plain) == plain
    assert canonical(f"  {plain.replace(chr(39), chr(34)).replace(' ', '   ')}\n") == plain
    assert all(canonical(canonical(spec)) == canonical(spec) for spec in SPECS.values())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected a call such as"),
        ("river.forest.ARFClassifier(", "expected a call such as"),
        ("x" * 1001, "at most 1000 characters, got 1001"),
        ("(" * 300 + "1" + ")" * 300, "expected a call"),
        ("-" * 900 + "1", "without end"),
        ("1", "closed list"),
        ("1 | 2", "closed list"),
        ("river", "closed list"),
        ("river.forest.ARFClassifier", "closed list"),
        ("ARFClassifier(seed=1)", "closed list"),
        ("river.linear_model.ALMAClassifier()", "closed list"),
        ("__import__('os').system('true')", "closed list"),
        ("eval('1')", "closed list"),
        ("(lambda: 1)()", "closed list"),
        ("[c for c in ().__class__.__base__.__subclasses__()]", "closed list"),
        ("river.naive_bayes.GaussianNB().__class__()", "closed list"),
        ("river.naive_bayes.GaussianNB().learn_one({}, 1)", "closed list"),
        ("river.naive_bayes.GaussianNB() if 1 else 2", "closed list"),
        ("river.naive_bayes.GaussianNB() + river.naive_bayes.GaussianNB()", "closed list"),
        ("(x := river.naive_bayes.GaussianNB())", "closed list"),
        ("river.linear_model.LogisticRegression(l2=2**99)", "closed list"),
        ("river.linear_model.LogisticRegression(l2=f'{1}')", "closed list"),
        ("river.linear_model.LogisticRegression(l2=b'a')", "closed list"),
        ("river.linear_model.LogisticRegression(l2=1j)", "closed list"),
        ("river.linear_model.LogisticRegression(l2=[1])", "closed list"),
        ("river.linear_model.LogisticRegression(*[1])", "closed list"),
        ("river.linear_model.LogisticRegression(**{})", "got \\*\\*"),
        ("river.linear_model.LogisticRegression(l2=1e999)", "l2: expected at most 1e\\+12 in size, got inf"),
        ("river.linear_model.LogisticRegression(l2='a')", "l2: expected a number, got 'a'"),
        ("river.linear_model.LogisticRegression(depth=1)", "unexpected keyword argument 'depth'; expected optimizer"),
        (
            "river.linear_model.LogisticRegression(loss=river.optim.losses.Squared())",
            "loss: expected something of the kind binary loss",
        ),
        (
            "river.linear_model.LogisticRegression(river.drift.ADWIN())",
            "kind optimizer, got a detector",
        ),
        ("river.linear_model.LogisticRegression(clip_gradient=river.optim.SGD())", "expected a plain value"),
        ("river.linear_model.LinearRegression()", "expected a classifier, got a regressor"),
        ("river.preprocessing.StandardScaler()", "expected a classifier, got a transformer"),
        ("river.naive_bayes.GaussianNB() | river.naive_bayes.GaussianNB()", "scalers and then an estimator"),
        ("river.preprocessing.StandardScaler(window_size=9)", "window_size: expected nothing"),
        ("river.tree.HoeffdingTreeClassifier(max_size=1.0)", "differs from process to process"),
        ("river.tree.HoeffdingTreeClassifier(leaf_prediction='best')", "expected one of adaptive, mc, mean"),
        ("river.tree.HoeffdingTreeClassifier(splitter=river.tree.splitter.EBSTSplitter())", "River refuses"),
        ("river.tree.HoeffdingAdaptiveTreeClassifier()", "seed: expected a whole number, got none"),
        ("river.forest.ARFClassifier(seed=None)", "seed: expected a whole number, got none"),
        ("river.forest.ARFClassifier(seed=-1)", "seed: expected a whole number from 0"),
        ("river.forest.ARFClassifier(seed=True)", "seed: expected a whole number from 0"),
        ("river.forest.ARFClassifier(n_models=101, seed=1)", "n_models: expected a whole number from 1 to 100"),
        ("river.forest.AMFClassifier(seed=1)", "max_nodes: expected a whole number, got none"),
        ("river.ensemble.BaggingClassifier(seed=1)", "missing a required argument: 'model'"),
        (
            "river.ensemble.BaggingClassifier(river.linear_model.LinearRegression(), seed=1)",
            "kind classifier, got a regressor",
        ),
        ("river.ensemble.BaggingClassifier(river.forest.ARFClassifier(), seed=1)", "seed: .* in river.forest"),
        (
            "river.ensemble.LeveragingBaggingClassifier(river.naive_bayes.GaussianNB(), seed=1, bagging_method='me')",
            "bagging_method: expected nothing",
        ),
        ("river.linear_model.PAClassifier(mode=0)", "fails on four examples"),
    ],
)
def test_what_is_refused_says_what_to_write(text: str, message: str) -> None:
    with pytest.raises(SpecRefused, match=message):
        build(text, "classifier")


def test_a_refusal_is_what_the_settings_can_wrap() -> None:
    assert issubclass(SpecRefused, ValueError)
    assert issubclass(SpecRefused, ModelError)


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text("river.()|'=_,1 -[]{}:lambdax", max_size=60)))
def test_no_text_does_anything_but_be_refused(text: str) -> None:
    with pytest.raises(SpecRefused):
        canonical(text)


NUMBERS = st.one_of(st.integers(-3, 500), st.floats(-2.0, 1e13), st.none(), st.booleans(), st.just("mc"))


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_any_call_makes_an_estimator_or_is_refused(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(PARTS)))
    parameters = st.sampled_from(["seed", "delta", "grace_period", "n_models", "max_depth", "lr", "l2", "max_nodes"])
    given_ = data.draw(st.dictionaries(parameters, NUMBERS, max_size=3))
    text = f"{name}({', '.join(f'{key}={value!r}' for key, value in given_.items())})"
    role: Role = data.draw(st.sampled_from(["classifier", "regressor"]))
    try:
        assert hasattr(build(text, role), "learn_one")
    except SpecRefused:
        return


def test_reading_a_specification_does_not_import_river() -> None:
    code = (
        "import sys\nfrom models.river_spec import canonical\n"
        "canonical('river.naive_bayes.GaussianNB()')\nassert 'river' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
