"""A journalled model restored after any batch goes on to the bit, and what a store holds of it stays bounded."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.dense_logistic import DenseLogistic
from models.dense_poisson import DensePoisson
from models.errors import InputRefused, SnapshotDamaged, SnapshotError, SnapshotForeign
from models.journal import CHECKPOINT, EVERY, Checkpoint, Entry, Journalled
from models.river_model import RiverClassifier
from models.snapshot import pack, unpack
from tests.models.river_estimators import N_FEATURES, stream

FOREST = "river.forest.ARFClassifier(n_models=2, seed=1, grace_period=20, delta=0.1)"
BAYES = "river.naive_bayes.GaussianNB()"
EXAMPLES = stream(400, seed=9)

MODELS: dict[str, Callable[[], Any]] = {
    "forest": lambda: RiverClassifier(FOREST, N_FEATURES),
    "bayes": lambda: RiverClassifier(BAYES, N_FEATURES),
    "dense": lambda: DenseLogistic(N_FEATURES),
    "poisson": lambda: DensePoisson(N_FEATURES),
}
every_model = pytest.mark.parametrize("make", MODELS.values(), ids=MODELS.keys())


class Store:
    """A hash in a ledger: takes all changes of a batch, or none."""

    def __init__(self) -> None:
        self.fields: dict[str, bytes] = {}

    def write(self, changes: dict[str, bytes | None]) -> None:
        for name, data in changes.items():
            if data is None:
                del self.fields[name]
            else:
                self.fields[name] = data


@every_model
def test_a_crash_after_any_batch_changes_no_later_number(make: Callable[[], Any]) -> None:
    plain, kept, store = make(), Journalled(make(), every=70), Store()
    store.write(kept.changes())
    for i, (x, y) in enumerate(EXAMPLES):
        plain.learn_one(x, y)
        kept.learn_one(x, y)
        if i % 9 == 0:
            store.write(kept.changes())
            # All is lost but the store.
            kept = Journalled.restore(type(plain), store.fields, every=70)
            assert kept.model.snapshot() == plain.snapshot(), i
    assert kept.model.n_learned == 400


@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(list(MODELS)),
    batches=st.lists(st.integers(0, 25), max_size=12),
    every=st.integers(1, 40),
    crashes=st.sets(st.integers(0, 11)),
)
def test_batches_lost_with_a_crash_are_learned_again(
    name: str, batches: list[int], every: int, crashes: set[int]
) -> None:
    make = MODELS[name]
    plain, kept, store = make(), Journalled(make(), every=every), Store()
    store.write(kept.changes())
    at = 0
    for number, size in enumerate(batches):
        batch = EXAMPLES[at : at + size]
        for x, y in batch:
            kept.learn_one(x, y)
        if number in crashes:
            # The batch was learned and its changes taken, and then it was not stored: its records come once more.
            kept.changes()
            kept = Journalled.restore(type(plain), store.fields, every=every)
            assert kept.model.n_learned == at
            for x, y in batch:
                kept.learn_one(x, y)
        store.write(kept.changes())
        at += size
        for x, y in batch:
            plain.learn_one(x, y)
        assert Journalled.restore(type(plain), store.fields).model.snapshot() == plain.snapshot()
    assert kept.model.snapshot() == plain.snapshot()


@every_model
@pytest.mark.parametrize("size", [1, 7, 150])
def test_what_a_store_holds_is_bounded(make: Callable[[], Any], size: int) -> None:
    kept, store = Journalled(make(), every=100), Store()
    store.write(kept.changes())
    for start in range(0, len(EXAMPLES), size):
        for x, y in EXAMPLES[start : start + size]:
            kept.learn_one(x, y)
        store.write(kept.changes())
        journal = {name: len(data) for name, data in store.fields.items() if name != CHECKPOINT}
        assert sum(journal.values()) <= len(store.fields[CHECKPOINT])
        assert len(journal) < 100
        assert sorted(journal) == [f"j{i:06d}" for i in range(len(journal))]


def test_a_journal_of_a_forest_writes_a_fraction_of_its_snapshots() -> None:
    kept, written, whole = Journalled(MODELS["forest"]()), 0, 0
    for i, (x, y) in enumerate(EXAMPLES):
        kept.learn_one(x, y)
        written += sum(len(data) for data in kept.changes().values() if data)
        if i % 10 == 0:
            whole += 10 * len(kept.model.snapshot())
    assert written < whole / 20


def test_one_batch_is_one_entry() -> None:
    kept = Journalled(MODELS["forest"]())
    for x, y in EXAMPLES[:100]:
        kept.learn_one(x, y)
    assert list(kept.changes()) == [CHECKPOINT]
    for x, y in EXAMPLES[100:110]:
        kept.learn_one(x, y)
    changes = kept.changes()
    assert list(changes) == ["j000000"]
    data = changes["j000000"]
    assert data is not None
    assert len(data) <= 10 * (N_FEATURES + 1) * 8 + 64
    assert kept.changes() == {}


def test_a_checkpoint_comes_after_so_many_examples_and_empties_the_journal() -> None:
    kept = Journalled(MODELS["forest"](), every=50)
    names = []
    for x, y in EXAMPLES[:151]:
        kept.learn_one(x, y)
        names.append(list(kept.changes()))
    checkpoints = [i for i, found in enumerate(names) if CHECKPOINT in found]
    assert max(b - a for a, b in pairwise(checkpoints)) <= 50
    last = checkpoints[-1]
    assert names[last][1:] == [f"j{i:06d}" for i in range(last - checkpoints[-2] - 1)]


def test_a_model_that_has_learned_begins_with_a_checkpoint() -> None:
    model = MODELS["bayes"]()
    model.learn_one(*EXAMPLES[0])
    changes = Journalled(model).changes()
    assert list(changes) == [CHECKPOINT]
    assert Journalled.restore(RiverClassifier, {k: v for k, v in changes.items() if v}).model.n_learned == 1


def test_what_the_model_refuses_is_not_noted() -> None:
    kept = Journalled(MODELS["bayes"]())
    kept.changes()
    with pytest.raises(InputRefused):
        kept.learn_one([float("nan")] * N_FEATURES, True)
    assert kept.changes() == {}


def stored() -> dict[str, bytes]:
    kept, store = Journalled(MODELS["forest"](), every=EVERY), Store()
    for i, (x, y) in enumerate(EXAMPLES[:120]):
        kept.learn_one(x, y)
        if i >= 99 and i % 5 == 4:
            store.write(kept.changes())
    return store.fields


FIELDS = stored()


def test_the_fields_of_the_tests_are_a_checkpoint_and_entries() -> None:
    assert sorted(FIELDS) == [CHECKPOINT, "j000000", "j000001", "j000002", "j000003"]


@pytest.mark.parametrize("name", [CHECKPOINT, "j000000", "j000001", "j000002"])
def test_a_field_that_is_missing_is_found(name: str) -> None:
    fields = {other: data for other, data in FIELDS.items() if other != name}
    with pytest.raises(SnapshotDamaged, match="expected a checkpoint and entries in a row"):
        Journalled.restore(RiverClassifier, fields)


def test_without_its_last_entry_a_journal_is_that_of_a_batch_earlier() -> None:
    # Nothing in the fields can tell; the ledger's transaction must hold all of a batch.
    fields = {name: data for name, data in FIELDS.items() if name != "j000003"}
    assert Journalled.restore(RiverClassifier, fields).model.n_learned == 115


def test_no_fields_and_other_fields_are_no_model() -> None:
    for fields in ({}, {"x": b""}, {**FIELDS, "x": b""}, {"j000000": FIELDS["j000000"]}):
        with pytest.raises(SnapshotDamaged, match="expected a checkpoint and entries in a row"):
            Journalled.restore(RiverClassifier, fields)


def test_entries_out_of_their_row_are_foreign() -> None:
    turned = {**FIELDS, "j000000": FIELDS["j000001"], "j000001": FIELDS["j000000"]}
    with pytest.raises(SnapshotForeign, match="expected examples after the first 100, got those after 105"):
        Journalled.restore(RiverClassifier, turned)


@pytest.mark.parametrize(
    "entry",
    [
        Entry(100, 5, b""),
        Entry(100, 5, b"x"),
        Entry(100, 5, b"\0" * 40),
        Entry(100, -1, b"\0" * 48),
        Entry(100, 2**40, b"\0" * 48),
        Entry(100, 4, b"\0" * 80),
        Entry(100, 5, b"\xff" * 48),
    ],
)
def test_an_entry_that_no_journal_has_is_refused(entry: Entry) -> None:
    with pytest.raises(SnapshotDamaged):
        Journalled.restore(
            RiverClassifier, {CHECKPOINT: FIELDS[CHECKPOINT], "j000000": pack("journal-examples", entry)}
        )


def test_a_checkpoint_that_counts_otherwise_is_refused() -> None:
    whole = unpack("journal-checkpoint", FIELDS[CHECKPOINT], Checkpoint)
    forged = pack("journal-checkpoint", Checkpoint(99, whole.snapshot))
    with pytest.raises(SnapshotDamaged, match="counts 99 examples"):
        Journalled.restore(RiverClassifier, {CHECKPOINT: forged})
    with pytest.raises(SnapshotForeign):
        Journalled.restore(DenseLogistic, {CHECKPOINT: FIELDS[CHECKPOINT]})


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(sorted(FIELDS)), bit=st.integers(0, 2**30))
def test_any_flipped_bit_is_found(name: str, bit: int) -> None:
    broken = bytearray(FIELDS[name])
    bit %= 8 * len(broken)
    broken[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SnapshotError):
        Journalled.restore(RiverClassifier, {**FIELDS, name: bytes(broken)})


def test_every_is_a_count() -> None:
    with pytest.raises(ValueError, match="every: expected"):
        Journalled(MODELS["bayes"](), every=0)
