"""What the codec reads may be damaged or forged: it makes a model or raises a SnapshotError, and calls nothing."""

from __future__ import annotations

import functools
import math
import struct
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import drift

from models import river_codec
from models.errors import SnapshotDamaged, SnapshotError, SnapshotForeign
from models.river_codec import decode, encode, unpack_bounded
from models.river_codec_adwin import check_window
from models.river_codec_graph import Graph
from models.river_model import RiverClassifier, RiverState
from models.snapshot import MAGIC, _digest, pack, unpack
from tests.models.river_estimators import learner, stream

ADWIN: Any = drift.ADWIN  # has no types

NAMES = ["forest", "mondrian", "hoeffding-adaptive", "leveraging-bagging", "naive-bayes", "extremely-fast", "Adam"]


@functools.cache
def stored(name: str) -> bytes:
    model = learner(name)
    for x, y in stream(120, seed=4):
        model.learn_one(x, y)
    return model.snapshot()


def state(name: str) -> RiverState:
    return unpack("river-classifier", stored(name), RiverState)


def restored(forged: RiverState) -> None:
    """Restore from a state in a whole envelope; anything but a model or a SnapshotError is an error of the test."""
    try:
        data = pack("river-classifier", forged)
    except (OverflowError, UnicodeEncodeError):
        return
    try:
        RiverClassifier.restore(data)
    except SnapshotError:
        return


@settings(max_examples=150, deadline=None)
@given(name=st.sampled_from(NAMES), bit=st.integers(0, 2**40))
def test_any_flipped_bit_is_found(name: str, bit: int) -> None:
    damaged = bytearray(stored(name))
    bit %= 8 * len(damaged)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SnapshotError):
        RiverClassifier.restore(bytes(damaged))


@given(st.binary(max_size=300))
def test_bytes_from_elsewhere_are_refused(data: bytes) -> None:
    with pytest.raises(SnapshotError):
        RiverClassifier.restore(data)
    with pytest.raises(SnapshotError):
        RiverClassifier.restore(sealed(data))


def sealed(body: bytes) -> bytes:
    """Any body in an envelope whose checksum is right."""
    covered = (1).to_bytes(2, "big") + len(body).to_bytes(4, "big")
    return MAGIC + covered + _digest(covered + body) + body


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(NAMES), bits=st.lists(st.integers(0, 2**40), min_size=1, max_size=4))
def test_flipped_bits_under_a_right_checksum_make_a_model_or_an_error(name: str, bits: list[int]) -> None:
    body = bytearray(stored(name)[26:])
    for bit in bits:
        bit %= 8 * len(body)
        body[bit // 8] ^= 1 << bit % 8
    try:
        RiverClassifier.restore(sealed(bytes(body)))
    except SnapshotError:
        return


VALUES = st.one_of(
    st.sampled_from([None, True, -1, 0, 5, 10**6, 2**63, 1.5, math.nan, b"", b"x" * 16]),
    st.sampled_from(["builtins.eval", "os.system", "learn_one", "__class__", "\ud800"]),
    st.sampled_from([[], [-1], ["a"], [[0]], [None], {}, [0.0]]),
    st.integers(0, 4000).map(lambda number: [number]),
)


@settings(max_examples=300, deadline=None)
@given(name=st.sampled_from(NAMES), data=st.data())
def test_forged_records_make_a_model_or_an_error(name: str, data: st.DataObject) -> None:
    forged = state(name)
    for _ in range(data.draw(st.integers(1, 3))):
        records = data.draw(st.sampled_from([forged.graph.shells, forged.graph.built or forged.graph.shells]))
        record = records[data.draw(st.integers(0, len(records) - 1))]
        match data.draw(st.sampled_from(["set", "add", "drop"])):
            case "set" if record:
                record[data.draw(st.integers(0, len(record) - 1))] = data.draw(VALUES)
            case "add":
                record.append(data.draw(VALUES))
            case "drop" if record:
                record.pop()
    restored(forged)


def damaged(graph: Graph, message: str) -> None:
    with pytest.raises(SnapshotDamaged, match=message):
        decode(graph)


@pytest.mark.parametrize("name", ["builtins.eval", "os.system", "river.tree.nodes.leaf.HTLeaf", "object", "pickle"])
def test_a_name_out_of_the_closed_list_is_refused(name: str) -> None:
    damaged(Graph([(name, [])], [[0]], []), "expected something that can be filled")
    damaged(Graph([("list", []), ("name", [])], [[0, [1]]], [[1, name]]), name)


@pytest.mark.parametrize(
    "attribute", ["learn_one", "predict_proba_one", "__class__", "__dict__", "__init__", "a.b", "", "a" * 65]
)
def test_an_attribute_that_could_be_called_instead_of_a_method_is_refused(attribute: str) -> None:
    kind = "river.naive_bayes.gaussian.GaussianNB"
    damaged(Graph([(kind, [attribute])], [[0, 1]], []), "expected an attribute")


def test_a_cache_of_calls_is_not_taken_from_data() -> None:
    damaged(Graph([("river.compose.pipeline.Pipeline", ["_plan"])], [[0, None]], []), "expected an attribute")


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (Graph([], [], []), "range"),
        (Graph([("list", [])], [[]], []), "range"),
        (Graph([("list", [])], [[-1]], []), "number of a shape"),
        (Graph([("list", [])], [[0, [7]]], []), "range"),
        (Graph([("list", [])], [[0, [-1]]], []), "expected a plain value"),
        (Graph([("list", [])], [[0, {"a": 1}]], []), "expected a plain value"),
        (Graph([("list", ["a"])], [[0]], []), "expected no attributes"),
        (Graph([("dict", [])], [[0, "a"]], []), "zip"),
        (Graph([("dict", [])], [[0, "a", 1, "a", 2]], []), "got one twice"),
        (Graph([("dict", []), ("list", [])], [[0, [1], 1], [1]], []), "unhashable"),
        (Graph([("random", [])], [[0, b"", None]], []), "unpack"),
        (Graph([("random", [])], [[0, b"\xff" * 2500, None]], []), "invalid state"),
        (Graph([("random", [])], [[0, b"\0" * 2500, "x"]], []), "generator"),
        (Graph([("deque", [])], [[0, -1]], []), "count"),
        (Graph([("tuple", [])], [[0]], []), "filled"),
        (Graph([("list", []), ("tuple", [])], [[0]], [[1, [1]]]), "range"),
        (Graph([("list", []), ("vector", [])], [[0]], [[1, None, "a", "b"]]), "numbers in a vector"),
        (Graph([("list", []), ("vector", [])], [[0]], [[1, [0], "a", 1.0]]), "initializer"),
        (Graph([("list", []), ("partial", [])], [[0]], [[1, [0], 0]]), "closed list"),
        (Graph([("list", []), ("method", [])], [[0]], [[1, [0], "append"]]), "closed list"),
        (Graph([("defaultdict", []), ("list", [])], [[0, [1]], [1]], []), "factory"),
    ],
)
def test_a_record_that_no_estimator_has_is_refused(graph: Graph, message: str) -> None:
    damaged(graph, message)


def test_a_tree_without_end_is_refused() -> None:
    kind = ("river.tree.nodes.branch.NumericBinaryBranch", ["children"])
    damaged(Graph([kind, ("list", [])], [[0, [1]], [1, [0]]], []), "leads to itself")
    node = ("river.tree.splitter.ebst_splitter.EBSTNode", ["_left", "_right"])
    damaged(Graph([node], [[0, [1], None], [0, None, [0]]], []), "leads to itself")
    leaf = ("river.tree.mondrian.mondrian_tree_nodes.MondrianLeafClassifier", ["parent"])
    damaged(Graph([leaf], [[0, [0]]], []), "leads to itself")


def test_depth_number_and_length_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    deep = b"\x92\xb0river-classifier" + b"\x91" * 100_000 + b"\xc0"
    with pytest.raises(SnapshotDamaged, match="recursion depth"):
        RiverClassifier.restore(sealed(deep))
    monkeypatch.setattr(river_codec, "MAX_RECORDS", 10)
    with pytest.raises(SnapshotDamaged, match="at most 10 records"):
        RiverClassifier.restore(stored("forest"))
    monkeypatch.setattr(river_codec, "MAX_BYTES", 1000)
    with pytest.raises(SnapshotDamaged, match="at most 1000 bytes"):
        unpack_bounded("river-classifier", stored("forest"), RiverState)


def test_a_state_of_another_river_or_recipe_is_foreign() -> None:
    forged = state("naive-bayes")
    with pytest.raises(SnapshotForeign, match=r"got one of '0\.1'"):
        RiverClassifier.restore(pack("river-classifier", msgspec.structs.replace(forged, river="0.1")))
    with pytest.raises(SnapshotForeign, match="expected recipe"):
        RiverClassifier.restore(pack("river-classifier", msgspec.structs.replace(forged, names=list("vwxyz"))))


@pytest.mark.parametrize(
    "change",
    [
        {"spec": "river.naive_bayes.Nothing()"},
        {"spec": "__import__('os')"},
        {"names": ["a", "a", "b", "c", "d"]},
        {"prior": math.nan},
        {"n_learned": -1},
        {"n_learned": 0},
        {"n_skipped": 121},
        {"means": [0.0]},
        {"means": [math.nan] * 5},
    ],
)
def test_a_state_that_no_model_has_is_refused(change: dict[str, Any]) -> None:
    forged = msgspec.structs.replace(state("naive-bayes"), **change)
    with pytest.raises(SnapshotDamaged):
        RiverClassifier.restore(pack("river-classifier", forged))


def test_the_estimator_of_another_specification_is_refused() -> None:
    forged = msgspec.structs.replace(state("naive-bayes"), graph=state("hoeffding-adaptive").graph)
    with pytest.raises(SnapshotDamaged, match="expected the estimator of"):
        RiverClassifier.restore(pack("river-classifier", forged))


def test_an_estimator_that_lacks_something_is_refused_before_it_is_asked() -> None:
    graph = encode(object.__new__(type(learner("naive-bayes")._estimator)))
    forged = msgspec.structs.replace(state("naive-bayes"), graph=graph)
    with pytest.raises(SnapshotDamaged, match="the estimator fails"):
        RiverClassifier.restore(pack("river-classifier", forged))


def window(n: int) -> tuple[bytes, tuple[float, int, int, int, int]]:
    detector = ADWIN(clock=1)
    for i in range(n):
        detector.update(float(i % 3))
    helper = detector._helper
    return helper.__getstate__(), helper.__getnewargs__()


@pytest.mark.parametrize("n", [0, 1, 5, 6, 11, 12, 100, 1000, 5000])
def test_every_window_that_adwin_has_is_taken(n: int) -> None:
    check_window(*window(n))


@settings(max_examples=300, deadline=None)
@given(n=st.integers(0, 400), bit=st.integers(0, 2**20), cut=st.integers(-8, 8))
def test_a_damaged_window_is_refused_or_harmless(n: int, bit: int, cut: int) -> None:
    # Rust's panics are no Exceptions; one would end the worker that learns the next example.
    data, parameters = window(n)
    broken = bytearray(data[:cut] if cut < 0 else data + b"\0" * cut)
    bit %= 8 * len(broken)
    broken[bit // 8] ^= 1 << bit % 8
    try:
        check_window(bytes(broken), parameters)
    except ValueError:
        return
    detector = ADWIN(clock=1)
    helper = detector._helper
    helper.__setstate__(bytes(broken))
    for i in range(200):
        helper.update(float(i % 3))


def test_a_window_with_an_index_out_of_its_row_is_refused() -> None:
    data, parameters = window(3)
    broken = bytearray(data)
    struct.pack_into("<Q", broken, 84 + 8 + 8, 7)
    with pytest.raises(ValueError, match="row of buckets"):
        check_window(bytes(broken), parameters)
