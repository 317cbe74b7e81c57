"""Snapshots: saving and loading changes no bit, and bytes that are not a snapshot make no model."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models import snapshot
from models.errors import (
    ModelError,
    SnapshotDamaged,
    SnapshotError,
    SnapshotForeign,
    SnapshotNewer,
    SnapshotTruncated,
)
from models.linear import LinearState
from models.logistic import Logistic
from models.poisson import Poisson
from models.snapshot import pack, unpack
from tests.models.streams_of_examples import N_FEATURES, examples


def trained() -> Logistic:
    model = Logistic(N_FEATURES)
    for x, yes, _ in examples(40, seed=11):
        model.learn_one(x, yes)
    return model


WHOLE = trained().snapshot()


def test_storing_after_every_example_changes_no_score_by_a_bit() -> None:
    kept_c, stored_c = Logistic(N_FEATURES), Logistic(N_FEATURES)
    kept_r, stored_r = Poisson(N_FEATURES), Poisson(N_FEATURES)
    for i, (x, yes, count) in enumerate(examples(3000, seed=12)):
        stored_c, stored_r = Logistic.restore(stored_c.snapshot()), Poisson.restore(stored_r.snapshot())
        assert stored_c.predict_proba_one(x) == kept_c.predict_proba_one(x), i
        assert stored_r.predict_one(x) == kept_r.predict_one(x), i
        for classifier in (kept_c, stored_c):
            classifier.learn_one(x, yes)
        for regressor in (kept_r, stored_r):
            regressor.learn_one(x, count)
    assert stored_c.snapshot() == kept_c.snapshot()
    assert stored_r.snapshot() == kept_r.snapshot()
    assert stored_c.n_learned == 3000


def test_parameters_are_part_of_the_snapshot() -> None:
    model = Logistic.restore(Logistic(3, lr=0.07, intercept_lr=0.003).snapshot())
    assert (model.n_features, model.lr, model.intercept_lr) == (3, 0.07, 0.003)


def test_a_snapshot_of_16_features_stays_small() -> None:
    assert len(WHOLE) <= 1000


@pytest.mark.parametrize("length", [0, 3, 10, 25, 26, len(WHOLE) - 1])
def test_truncated_bytes_are_refused(length: int) -> None:
    with pytest.raises(SnapshotTruncated):
        Logistic.restore(WHOLE[:length])


def test_bytes_after_the_end_are_refused() -> None:
    with pytest.raises(SnapshotTruncated):
        Logistic.restore(WHOLE + b"\0")


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 8 * len(WHOLE) - 1))
def test_any_flipped_bit_is_found(bit: int) -> None:
    damaged = bytearray(WHOLE)
    damaged[bit // 8] ^= 1 << bit % 8
    with pytest.raises(SnapshotError):
        Logistic.restore(bytes(damaged))


@given(st.binary(max_size=200))
def test_bytes_from_elsewhere_are_refused(data: bytes) -> None:
    with pytest.raises(SnapshotError):
        Logistic.restore(data)


def test_a_newer_schema_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(snapshot, "SCHEMA", 2)
    newer = trained().snapshot()
    monkeypatch.undo()
    with pytest.raises(SnapshotNewer, match="expected schema 1 or older, got 2"):
        Logistic.restore(newer)


def test_a_snapshot_of_another_model_is_refused() -> None:
    with pytest.raises(SnapshotForeign, match="'poisson'"):
        Logistic.restore(Poisson(N_FEATURES).snapshot())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("weights", [0.0]),
        ("weights", [float("nan")] * N_FEATURES),
        ("variances", [-1.0] * N_FEATURES),
        ("intercept", float("inf")),
        ("n_learned", -1),
        ("n_learned", 0),
        ("n_features", 0),
        ("lr", -0.1),
    ],
)
def test_a_state_that_no_learner_has_is_refused(field: str, value: object) -> None:
    state = unpack("logistic", WHOLE, LinearState)
    setattr(state, field, value)
    with pytest.raises(SnapshotDamaged):
        Logistic.restore(pack("logistic", state))


def test_another_recipe_is_refused() -> None:
    state = unpack("logistic", WHOLE, LinearState)
    state.version = "logistic-0"
    with pytest.raises(SnapshotForeign, match="logistic-0"):
        Logistic.restore(pack("logistic", state))


def test_a_state_of_another_shape_is_refused() -> None:
    class Other(msgspec.Struct, array_like=True):
        name: str

    with pytest.raises(SnapshotDamaged):
        Logistic.restore(pack("logistic", Other("x")))


def test_error_tree_is_the_one_that_the_engine_maps() -> None:
    for kind in (SnapshotTruncated, SnapshotDamaged, SnapshotNewer, SnapshotForeign):
        assert kind.__bases__ == (SnapshotError,)
    assert SnapshotError.__bases__ == (ModelError,)


def forged(body: bytes) -> bytes:
    """A snapshot of those bytes, its checksum right."""
    covered = snapshot.SCHEMA.to_bytes(2, "big") + len(body).to_bytes(4, "big")
    return snapshot.MAGIC + covered + snapshot._digest(covered + body) + body


@pytest.mark.parametrize(
    "body",
    [b"\x92\xa1\xff\x90", b"\x92\xa6linear\x95\xa1\xff\x01\x01\x01\x01", b"\x92\xa6linear" + b"\x91" * 5000 + b"\x90"],
    ids=["kind that is no text", "text that is none", "endless nesting"],
)
def test_forged_bytes_under_a_right_checksum_are_refused(body: bytes) -> None:
    with pytest.raises(SnapshotDamaged):
        unpack("linear", forged(body), LinearState)
