"""The algebra of exchanges: nothing is lost, nothing counted twice, order does not matter; bad states do no harm."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.blend import Blend
from models.dense_logistic import DenseLogistic
from models.dense_optimizers import SGD, FTRLProximal
from models.dense_poisson import DensePoisson
from models.errors import SnapshotError
from models.exchange import Foreign, Knowledge, Learned, Sharer, fits, is_sound, merge, own, read_knowledge
from models.logistic import Logistic
from models.moments import Moments
from models.poisson import Poisson
from models.snapshot import pack

VALUES = st.floats(-1e4, 1e4)
STREAMS = st.lists(st.tuples(VALUES, st.sampled_from([3.5, 3.5, 3.5, -2.0])), max_size=30)


def moments_of(rows: Sequence[tuple[float, ...]]) -> Moments:
    """By Welford, as the learners have them."""
    n, means, variances = 0, [0.0, 0.0], [0.0, 0.0]
    for row in rows:
        n += 1
        for i, value in enumerate(row):
            away = value - means[i]
            means[i] += away / n
            variances[i] += (away * (value - means[i]) - variances[i]) / n
    return Moments(n, tuple(means), tuple(variances))


def assert_close(found: Moments, expected: Moments) -> None:
    assert found.n == expected.n
    if expected.n:
        assert found.means == pytest.approx(expected.means, rel=1e-9, abs=1e-7)
        assert found.variances == pytest.approx(expected.variances, rel=1e-9, abs=1e-4)


@given(st.lists(STREAMS, min_size=1, max_size=5))
def test_moments_put_together_are_those_of_all_the_data(streams: list[list[tuple[float, float]]]) -> None:
    together = moments_of([])
    for rows in streams:
        together = together.plus(moments_of(rows))
    every = [row for rows in streams for row in rows]
    assert_close(together, moments_of(every))
    if every:
        assert together.means == pytest.approx(np.mean(every, axis=0), rel=1e-9, abs=1e-9)
        assert together.variances == pytest.approx(np.var(every, axis=0), rel=1e-9, abs=1e-9 * 1e8)


@given(STREAMS, STREAMS)
def test_what_is_taken_away_leaves_the_rest(left: list[Any], right: list[Any]) -> None:
    both = moments_of(left).plus(moments_of(right))
    assert_close(both.minus(moments_of(right)), moments_of(left))


@given(st.integers(1, 50), st.integers(1, 50), VALUES)
def test_a_feature_that_never_varied_keeps_a_variance_of_exactly_0(n: int, m: int, value: float) -> None:
    left, right = Moments(n, (value,), (0.0,)), Moments(m, (value,), (0.0,))
    both = left.plus(right)
    assert tuple(both) == (n + m, (value,), (0.0,))
    assert both.minus(right) == left


# -- merging ---------------------------------------------------------------------------------------------------------


def taught(learner: Any, seed: int, n: int) -> Any:
    random = Random(seed)
    for _ in range(n):
        x = [random.gauss(seed, 1.0), random.random(), 7.0]
        learner.learn_one(x, random.random() < 0.3) if hasattr(learner, "predict_proba_one") else learner.learn_one(
            x, float(random.randrange(4))
        )
    return learner


MAKERS = {
    "dense_logistic": lambda: DenseLogistic(3),
    "dense_poisson": lambda: DensePoisson(3),
    "sgd": lambda: DenseLogistic(3, optimizer=SGD(0.1)),
    "ftrl": lambda: DenseLogistic(3, optimizer=FTRLProximal()),
    "river_logistic": lambda: Logistic(3),
    "river_poisson": lambda: Poisson(3),
}
every_maker = pytest.mark.parametrize("make", MAKERS.values(), ids=MAKERS)


@every_maker
@pytest.mark.parametrize("n", [0, 1, 40])
def test_adopting_what_was_told_changes_no_bit(make: Any, n: int) -> None:
    learner = taught(make(), 1, n)
    before = learner.snapshot()
    learner.adopt(learner.tell())
    assert learner.snapshot() == before
    other = make()
    other.adopt(learner.tell())
    assert other.snapshot() == before


@every_maker
def test_a_learner_that_adopted_goes_on_as_from_its_snapshot(make: Any) -> None:
    learner = taught(make(), 1, 40)
    other = make()
    other.adopt(learner.tell())
    assert taught(other, 2, 20).snapshot() == taught(learner, 2, 20).snapshot()


@given(st.integers(0, 5), st.integers(0, 5), st.integers(1, 40))
def test_merging_identical_states_changes_no_number(n_before: int, n_after: int, n: int) -> None:
    told = taught(DenseLogistic(3), 1, n).tell()
    merged = merge(told, Foreign(), told, [told] * n_before, [told] * n_after)
    assert [list(numbers) for numbers in merged.learned.numbers] == [list(numbers) for numbers in told.numbers]
    assert merged.learned.n == n * (n_before + 1 + n_after)
    assert merged.learned.means == pytest.approx(told.means, rel=1e-12, abs=1e-12)
    assert merged.learned.variances == pytest.approx(told.variances, rel=1e-9, abs=1e-12)
    assert merged.learned.variances[2] == 0.0


def test_weights_are_the_mean_by_own_examples_and_what_was_learned_since_is_added() -> None:
    told = Learned("r", 10, (), (), ((1.0, 4.0), (0.5,)))
    now = Learned("r", 12, (), (), ((1.25, 4.0), (0.75,)))
    other = Learned("r", 30, (), (), ((3.0, 0.0), (0.5,)))
    for before, after in (((other,), ()), ((), (other,))):
        merged = merge(now, Foreign(), told, before, after)
        assert merged == (Learned("r", 42, (), (), ((2.75, 1.0), (0.75,))), Foreign(30, (), ()))


def test_who_has_seen_nothing_takes_over_and_gives_nothing() -> None:
    told, new = taught(DenseLogistic(3), 1, 40).tell(), DenseLogistic(3).tell()
    took = merge(new, Foreign(), new, (), (told,))
    assert took.learned == Learned(told.recipe, 40, told.means, told.variances, tuple(map(tuple, told.numbers)))
    gave = merge(told, Foreign(), told, (new,), ())
    assert [list(numbers) for numbers in gave.learned.numbers] == told.numbers
    assert gave.learned.n == 40
    nobody = merge(new, Foreign(), new, (new,), (new,))
    assert nobody.learned.n == 0


@given(st.lists(st.lists(st.integers(0, 12), min_size=3, max_size=3), min_size=1, max_size=6), st.integers(0, 99))
def test_nothing_is_counted_twice_however_often_they_exchange(rounds: list[list[int]], seed: int) -> None:
    random = Random(seed)
    learners = [DenseLogistic(3) for _ in range(3)]
    foreign = [Foreign()] * 3
    seen: list[list[tuple[float, ...]]] = [[], [], []]

    def learn(which: int, n: int) -> None:
        for _ in range(n):
            x = (random.gauss(which, 1.0), random.random(), 7.0)
            seen[which].append(x)
            learners[which].learn_one(x, random.random() < 0.3)

    for counts in rounds:
        for which, n in enumerate(counts):
            learn(which, n)
        told = [own(learner.tell(), other) for learner, other in zip(learners, foreign, strict=True)]
        at = [len(rows) for rows in seen]
        for which, n in enumerate(reversed(counts)):
            learn(which, n // 2)  # learned between telling and merging
        for which, learner in enumerate(learners):
            found, foreign[which] = merge(learner.tell(), foreign[which], told[which], told[:which], told[which + 1 :])
            learner.adopt(found)
            rows = [row for i in range(3) for row in (seen[i] if i == which else seen[i][: at[i]])]
            assert found.n == len(rows)
            if rows:
                assert found.means == pytest.approx(np.mean(rows, axis=0), rel=1e-9, abs=1e-9)
                assert found.variances == pytest.approx(np.var(rows, axis=0), rel=1e-9, abs=1e-9)
                assert found.variances[2] == 0.0
            assert own(found, foreign[which]).n == len(seen[which])


# -- as data ---------------------------------------------------------------------------------------------------------


def blend(seed: int = 1, n: int = 60) -> Blend:
    random, model = Random(seed), Blend(3, 2)
    for _ in range(n):
        x = [random.gauss(0.0, 1.0), random.random(), 7.0]
        members = model.predict(x, [0.0, 1.0, 1.0]).members
        model.learn_piece(0, x, random.random() < 0.6)
        model.learn_piece(1, x, random.random() < 0.5)
        model.learn_end(x, random.random() < 0.3, members)
    return model


def test_every_part_of_a_blend_goes_over_the_wire_to_the_bit() -> None:
    source, target = blend(), Blend(3, 2)
    told = {name: sharer.tell() for name, sharer in source.sharers().items()}
    read = read_knowledge(Knowledge(5, 2, told).encode())
    assert (read.epoch, read.sender, read.learners.keys()) == (5, 2, source.parts().keys())
    for name, sharer in target.sharers().items():
        assert isinstance(sharer, Sharer)
        assert fits(told[name], read.learners[name])
        sharer.adopt(read.learners[name])
    parts = {name: make() for name, make in source.parts().items()}
    for name, make in target.parts().items():
        # Covariances are a learner's own.
        assert (make() == parts[name]) == (name in ("plain", "mixture", "scaler")), name
    assert [piece.weights for piece in target.split.pieces] == [piece.weights for piece in source.split.pieces]


def test_two_of_other_recipes_or_features_do_not_fit() -> None:
    told = DenseLogistic(3).tell()
    for other in (DenseLogistic(2), DensePoisson(3), DenseLogistic(3, lr=0.2), DenseLogistic(3, optimizer=SGD(0.1))):
        assert not fits(told, other.tell())
    assert fits(told, taught(DenseLogistic(3), 1, 5).tell())


NAN, INF = float("nan"), float("inf")
GOOD = Learned("r", 1, (0.5,), (0.25,), ((1.0,),))


@pytest.mark.parametrize(
    "changes",
    [
        {"n": -1}, {"n": 10**13}, {"means": (NAN,)}, {"means": (1e101,)}, {"means": ()}, {"variances": (-1e-9,)},
        {"variances": (INF,)}, {"numbers": ((NAN,),)}, {"numbers": ((-INF,),)}, {"numbers": ((1e31,),)},
        {"numbers": (("1",),)}, {"recipe": 5}, {"means": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_state_that_nobody_can_have_learned_is_refused(changes: dict[str, Any]) -> None:
    good = Knowledge(1, 0, {"a": GOOD, "b": GOOD})
    assert read_knowledge(good.encode()) == good
    bad = Knowledge(1, 0, {"a": GOOD, "b": msgspec.structs.replace(GOOD, **changes)})
    with pytest.raises(SnapshotError):
        read_knowledge(bad.encode())


@given(st.binary(max_size=200))
def test_bytes_that_are_no_state_are_refused(data: bytes) -> None:
    with pytest.raises(SnapshotError):
        read_knowledge(data)


class _Loose(msgspec.Struct, array_like=True):
    parts: list[Any]


PLAIN: Any = st.recursive(
    st.none() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=4) | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)


@given(st.lists(PLAIN, max_size=4))
def test_any_data_in_the_right_envelope_is_read_or_refused(parts: list[Any]) -> None:
    try:
        found = read_knowledge(
            pack("knowledge", _Wrapped(*parts)) if len(parts) == 3 else pack("knowledge", _Loose(parts))
        )
    except SnapshotError:
        return
    assert all(is_sound(learned) for learned in found.learners.values())


class _Wrapped(msgspec.Struct, array_like=True):
    epoch: Any
    sender: Any
    learners: Any
