"""Law of the codec: storing a model at any point changes no later number by a bit, here or in another process."""

from __future__ import annotations

import collections
import functools
import math
import os
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.river_codec import decode, encode
from models.river_codec_classes import CLASSES
from models.river_codec_graph import Graph, StateRefused
from models.river_model import RiverClassifier, RiverModel
from models.river_spec import PARTS
from tests.models.nasty_streams import streams
from tests.models.river_estimators import SPECS, learner, predict, stream

every_estimator = pytest.mark.parametrize("name", SPECS)


def through_bytes(estimator: Any) -> Any:
    return decode(msgspec.msgpack.decode(msgspec.msgpack.encode(encode(estimator)), type=Graph))


def test_the_specifications_call_every_name_of_the_closed_list() -> None:
    text = " ".join(SPECS.values())
    assert [name for name in PARTS if f"{name}(" not in text] == []


@functools.cache
def held(name: str) -> frozenset[str]:
    """Classes that a model holds at one time or another of its stream."""
    model, found = learner(name), set()
    for i, (x, y) in enumerate(stream(300, seed=1)):
        model.learn_one(x, y)
        if i % 11 == 0:
            found |= {shape for shape, _ in encode(model._estimator).shapes}
    return frozenset(found)


def test_every_class_of_the_codec_is_held_by_one_of_them() -> None:
    assert CLASSES.keys() - frozenset().union(*map(held, SPECS)) == set()


def test_their_streams_make_trees_that_are_replaced() -> None:
    adaptive, forest, regressors = (learner(name) for name in ("hoeffding-adaptive", "forest", "forest-mean"))
    for x, y in stream(300, seed=1):
        for model in (adaptive, forest, regressors):
            model.learn_one(x, y)
    assert adaptive._estimator._n_alternate_trees > 1
    assert adaptive._estimator._n_switch_alternate_trees > 0
    assert sum(forest._estimator._warning_tracker.values()) > 0
    assert sum(forest._estimator._drift_tracker.values()) > 0
    assert sum(regressors._estimator._drift_tracker.values()) > 0


@every_estimator
def test_storing_changes_no_later_prediction_by_a_bit(name: str) -> None:
    kept, stored = learner(name), learner(name)
    for i, (x, y) in enumerate(stream(300, seed=1)):
        if i % 11 == 0:
            stored = type(stored).restore(stored.snapshot())
        assert predict(stored, x) == predict(kept, x), i
        kept.learn_one(x, y)
        stored.learn_one(x, y)
    assert stored.snapshot() == kept.snapshot()
    assert kept.n_skipped == 0


@every_estimator
def test_a_model_stored_and_one_that_goes_on_say_the_same_of_everything(name: str) -> None:
    # Once, late, and then never again: what was lost would show here, where it is not made anew each time.
    kept = learner(name)
    examples = stream(400, seed=2)
    for x, y in examples[:250]:
        kept.learn_one(x, y)
    stored = type(kept).restore(kept.snapshot())
    for x, y in examples[250:]:
        assert predict(stored, x) == predict(kept, x)
        kept.learn_one(x, y)
        stored.learn_one(x, y)
    assert stored.snapshot() == kept.snapshot()


# What a process does to every model that another has stored, and to new ones: the digits of all that they say.
CHILD = """
import sys
from pathlib import Path
from tests.models.river_estimators import SPECS, learner, predict, stream

def run(model, examples):
    said = []
    for x, y in examples:
        said.append(predict(model, x).hex())
        model.learn_one(x, y)
    return said

folder = Path(sys.argv[1])
for name in SPECS:
    fresh = learner(name)
    run(fresh, stream(160, seed=3)[:80])
    stored = (folder / name).read_bytes()
    assert fresh.snapshot() == stored, f"{name}: another process learns otherwise"
    print(name, *run(type(fresh).restore(stored), stream(160, seed=3)[80:]))
"""


@pytest.mark.slow
def test_another_process_goes_on_to_the_bit(tmp_path: Path) -> None:
    expected = []
    for name in SPECS:
        model = learner(name)
        examples = stream(160, seed=3)
        for x, y in examples[:80]:
            predict(model, x)
            model.learn_one(x, y)
        (tmp_path / name).write_bytes(model.snapshot())
        said = []
        for x, y in examples[80:]:
            said.append(predict(model, x).hex())
            model.learn_one(x, y)
        expected.append(" ".join([name, *said]))
    # Sets of names come in another order there.
    other = "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2"
    env = {**os.environ, "PYTHONHASHSEED": other}
    command = [sys.executable, "-c", CHILD, str(tmp_path)]
    root = Path(__file__).resolve().parents[2]
    run = subprocess.run(command, env=env, cwd=root, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == expected


NASTY = ["AdaGrad", "naive-bayes", "hoeffding", "hoeffding-adaptive", "forest", "mondrian", "leveraging-bagging"]


@settings(max_examples=15, deadline=None)
@given(case=streams(), name=st.sampled_from(NASTY))
def test_no_stream_makes_a_model_that_cannot_be_stored(case: Any, name: str) -> None:
    examples, n_features = case
    kept: RiverModel = RiverClassifier(SPECS[name], n_features)
    stored = kept
    for i, (x, yes, _) in enumerate(examples):
        if i % 5 == 0:
            stored = RiverClassifier.restore(kept.snapshot())
        p = predict(kept, x)
        assert 0.0 < p < 1.0
        assert predict(stored, x) == p
        for model in (kept, stored):
            model.learn_one(x, yes)  # type: ignore[attr-defined] # RiverClassifiers
    assert stored.snapshot() == kept.snapshot()


def test_containers_keep_order_kind_sharing_and_cycles() -> None:
    shared: list[Any] = [1, True, 1.0, None, "一", b"\0"]
    loop: dict[Any, Any] = {"b": shared, "a": shared, 2: "int", "2": "text"}
    loop["self"] = loop
    ordered = collections.OrderedDict([("z", 1), ("y", 2), ("x", 3)])
    ordered.move_to_end("z")
    parts = [
        loop,
        collections.deque([1, 2, 3], maxlen=3),
        collections.Counter({"b": 2, "a": -1}),
        collections.defaultdict(int, {"k": 1}),
        collections.defaultdict(functools.partial(collections.defaultdict, float)),
        ordered,
        {"x", "y"},
        frozenset({(1, ("deep", loop["b"] is shared)), (2, "flat")}),
        (shared, (shared,)),
    ]
    again = decode(encode(parts))
    assert list(again[0]) == list(loop)
    assert again[0]["self"] is again[0]
    assert again[0]["a"] is again[0]["b"] is again[8][0] is again[8][1][0]
    assert [type(value) for value in again[0]["a"]] == [type(value) for value in shared]
    assert again[1:8] == parts[1:8]
    assert [type(one) for one in again] == [type(one) for one in parts]
    assert again[1].maxlen == 3
    assert list(again[2]) == ["b", "a"]
    assert list(again[5]) == ["y", "x", "z"]
    assert again[4]["new"]["newer"] == 0.0


@given(st.lists(st.floats(allow_nan=True, allow_infinity=True, allow_subnormal=True)))
def test_floats_are_kept_to_the_bit(values: list[float]) -> None:
    values = [*values, -0.0, math.inf, struct.unpack("<d", b"\1\0\0\0\0\0\xf8\x7f")[0]]
    again = through_bytes(values)
    assert [struct.pack("<d", v) for v in again] == [struct.pack("<d", v) for v in values]


def test_a_generator_goes_on_where_it_was() -> None:
    mine = random.Random(5)
    mine.gauss(0.0, 1.0)
    both = through_bytes([mine, mine])
    assert both[0] is both[1]
    assert [both[0].gauss(0.0, 1.0) for _ in range(3)] == [mine.gauss(0.0, 1.0) for _ in range(3)]
    assert both[0].getrandbits(64) == mine.getrandbits(64)


def test_a_very_deep_structure_needs_no_recursion() -> None:
    deep: list[Any] = []
    for _ in range(50_000):
        deep = [deep]
    again = through_bytes(deep)
    depth = 0
    while again:
        again, depth = again[0], depth + 1
    assert depth == 50_000


@pytest.mark.parametrize(
    "what", [object(), len, lambda: 0, Path("x"), {"deep": [object]}, 1j, random.SystemRandom(), CLASSES, [2**70]]
)
def test_what_is_not_in_the_closed_lists_is_refused(what: Any) -> None:
    with pytest.raises((StateRefused, OverflowError)):
        msgspec.msgpack.encode(encode([what]))
