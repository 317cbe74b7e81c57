"""Compiled and plain arithmetic are the same to the bit, and compiled code of another source is never used."""

from __future__ import annotations

import importlib
import os
import random
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import kernel, kernels
from models.dense_optimizers import SGD
from models.errors import InputRefused
from tests.models.nasty_streams import Example, streams
from tests.models.pipelines import CORES, LOSSES, OPTIMIZERS, dense
from tests.models.streams_of_examples import N_FEATURES, examples

ROOT = Path(__file__).resolve().parents[2]

# In CI a compiler that is there must have been used: else nobody would see that nothing is compiled any more.
CC = shutil.which((sysconfig.get_config_var("CC") or "cc").split()[0])
HEADER = Path(sysconfig.get_path("include"), "Python.h")
OWED = bool(os.environ.get("CI") and CC and HEADER.exists())
needs_compiled = pytest.mark.skipif(
    kernels.STATE == "pure" and not OWED, reason="models/_compiled is not built: no C compiler?"
)
every_core = pytest.mark.parametrize("core", CORES.values(), ids=CORES)


@needs_compiled
def test_the_compiled_module_is_of_the_source_beside_it() -> None:
    assert kernels.STATE == "compiled", "models/kernel.py was changed: run `python hatch_build.py` (`make setup` does)"
    assert kernels.COMPILED
    compiled: Any = importlib.import_module("models._compiled")
    assert kernels.CORE is compiled.Kernel
    assert not (compiled.__file__ or "").endswith(".py")
    assert (kernel.__file__ or "").endswith(".py")


def chosen(monkeypatch: pytest.MonkeyPatch, compiled: ModuleType | None) -> Any:
    """The chooser as it is where this is the compiled module."""
    monkeypatch.setitem(sys.modules, "models._compiled", compiled)
    spec = importlib.util.find_spec("models.kernels")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_compiled_module_of_another_source_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    other = ModuleType("models._compiled")
    parts = ("Kernel", "Frame", "dot", "grouped", "moved", "products")
    vars(other).update(dict.fromkeys(parts, object), SOURCE=kernels.digest("other"))
    stale = chosen(monkeypatch, other)
    assert ("stale", False, CORES["unrolled"]) == (stale.STATE, stale.COMPILED, stale.CORE)
    source = Path(kernel.__file__ or "").read_text("utf-8")
    vars(other).update(SOURCE=kernels.digest(source))
    fresh = chosen(monkeypatch, other)
    assert ("compiled", True, object) == (fresh.STATE, fresh.COMPILED, fresh.CORE)


def test_without_a_compiled_module_plain_python_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    pure = chosen(monkeypatch, None)
    assert ("pure", False, CORES["unrolled"]) == (pure.STATE, pure.COMPILED, pure.CORE)


@needs_compiled
def test_compiled_code_needs_no_module_of_the_compiler() -> None:
    code = (
        "import sys, models.dense_logistic as m; m.DenseLogistic(1).learn_one([1.0], True);"
        "sys.exit(bool({'mypyc', 'mypy', 'mypy_extensions', 'librt', 'models.unrolled'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def states(loss: str, optimizer: str, rows: list[Example], n_features: int, **recipe: Any) -> list[list[bytes]]:
    """By the code that did the arithmetic: the snapshot after every example, with predictions and reasons."""
    all_of_them = []
    for core in CORES.values():
        learner = dense(loss, n_features, core, optimizer=OPTIMIZERS[optimizer], **recipe)
        seen = []
        for x, yes, count in rows:
            seen.append(repr(learner.explain(x)).encode())
            learner.update(x, yes if loss == "logistic" else count)
            seen.append(learner.snapshot())
        all_of_them.append(seen)
    return all_of_them


@settings(max_examples=60, deadline=None)
@given(
    streams(),
    st.sampled_from(LOSSES),
    st.sampled_from(sorted(OPTIMIZERS)),
    st.sampled_from([4.0, 0.5, None]),
    st.sampled_from([1e12, 3.0, 0.1]),
)
def test_all_arithmetic_is_the_same_to_the_bit(
    stream: tuple[list[Example], int], loss: str, optimizer: str, clip_z: float | None, clip_gradient: float
) -> None:
    first, *others = states(loss, optimizer, *stream, clip_z=clip_z, clip_gradient=clip_gradient)
    assert all(other == first for other in others)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_all_arithmetic_is_the_same_with_missing_features(loss: str, optimizer: str) -> None:
    rng = random.Random(61)
    learners = [dense(loss, N_FEATURES, core, optimizer=OPTIMIZERS[optimizer]) for core in CORES.values()]
    had = [0.0] * N_FEATURES
    for x, yes, count in examples(200, seed=62):
        present = [rng.random() < 0.6 for _ in x]
        had = [n + here for n, here in zip(had, present, strict=True)]
        counts = [n if here else 0.0 for n, here in zip(had, present, strict=True)]
        for learner in learners:
            learner.update(x, yes if loss == "logistic" else count, counts)
        assert len({learner.snapshot() for learner in learners}) == 1


ODD: list[list[Any]] = [
    [1, 2, 3],
    [True, False, True],
    [0.0, -0.0, 10**50],
]


@pytest.mark.parametrize("x", ODD, ids=repr)
def test_whole_numbers_are_taken_as_such(x: list[Any]) -> None:
    rows: list[Example] = [(x, True, 1.0), ([0.5, 1.5, 2.5], False, 2.0), (x, True, 3.0)]
    first, *others = states("poisson", "adagrad", rows, 3)
    assert all(other == first for other in others)


@every_core
def test_any_sequence_is_an_example(core: type[kernels.Core]) -> None:
    learners = [dense("logistic", 3, core) for _ in range(2)]
    x = (1.0, 2.0, 3.0)
    learners[0].learn_one(x, True)
    learners[1].learn_one(list(x), True)
    assert learners[0].snapshot() == learners[1].snapshot()
    assert learners[0].explain(x) == learners[1].explain(list(x))


FAULTS: list[tuple[Any, Any]] = [
    ([1.0, 2.0, "3"], TypeError),
    ([1.0, 2.0, None], TypeError),
    ([1.0, 2.0, 10**400], (OverflowError, TypeError, InputRefused)),
    ([1.0, 2.0, float("nan")], InputRefused),
    ([1.0, 2.0, 1e101], InputRefused),
    ([1.0, 2.0], InputRefused),
    ([], InputRefused),
    (7, TypeError),
]


@every_core
@pytest.mark.parametrize(("x", "error"), FAULTS, ids=lambda value: repr(value)[:20])
def test_what_fails_leaves_the_learner_as_it_was(core: type[kernels.Core], x: Any, error: Any) -> None:
    learner = dense("logistic", 3, core)
    for row, yes, _ in ([[1.0, 2.0, 3.0], True, 0.0], [[2.0, 0.0, 1.0], False, 0.0]):
        learner.update(row, yes)  # type: ignore[arg-type]
    before = learner.snapshot()
    for ask in (learner.explain, learner.contributions, lambda x: learner.update(x, 1.0)):
        with pytest.raises(error):
            ask(x)
    for y in ("yes", None, float("nan")):
        with pytest.raises((TypeError, InputRefused)):
            learner.update([1.0, 2.0, 3.0], y)  # type: ignore[arg-type]
    for counts in ([3.0], [3.0, 3.0, "3"]):
        with pytest.raises((TypeError, ValueError, IndexError)):
            learner.update([1.0, 2.0, 3.0], 1.0, counts)  # type: ignore[arg-type]
    assert learner.snapshot() == before


@every_core
@pytest.mark.parametrize("loss", LOSSES)
def test_a_diverging_recipe_stays_finite(core: type[kernels.Core], loss: str) -> None:
    learner = dense(loss, 2, core, optimizer=SGD(1e12), clip_gradient=1e12, clip_z=None, intercept_lr=1e12)
    for i in range(200):
        learner.update([float(i % 7), float(i % 3) * 1e99], float(i % 2) * 1e300)
    assert type(learner).restore(learner.snapshot()).snapshot() == learner.snapshot()
    assert abs(learner.explain([1e100, -1e100])[0]) < float("inf")
