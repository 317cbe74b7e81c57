"""The churn model: its reasons add up, its prior steps back without a jump, and storing it changes no bit."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.blend import LOGIT_LIMIT, PRIOR_LABELS, Blend, Reasoned
from models.errors import InputRefused, SnapshotError
from tests.models.nasty_streams import streams

N_FEATURES = 5
Row = tuple[list[float], list[bool], bool]

priors = st.lists(st.floats(-13.9, 13.9), min_size=3, max_size=3)


def rows(n: int, seed: int) -> list[Row]:
    """A vector, the labels of both pieces as far as they come, and that of the whole."""
    rng = random.Random(seed)
    out = []
    for i in range(n):
        x = [rng.gauss(0.0, 1.0), rng.expovariate(1.0), 7.0, float(rng.random() < 0.02), math.log1p(i)]
        first = rng.random() < 1.0 / (1.0 + math.exp(-1.0 - x[0]))
        second = rng.random() < 1.0 / (1.0 + math.exp(1.0 - x[1]))
        pieces: list[bool] = [first, second] if first else [first]
        out.append((x, pieces, first and second))
    return out


def taught(blend: Blend, row: Row, priors: Sequence[float] = (0.0, 1.0, 1.0), *, whole: bool = True) -> None:
    x, pieces, churned = row
    members = blend.predict(x, priors).members
    for piece, silent in enumerate(pieces if whole else pieces[:1]):
        blend.learn_piece(piece, x, silent)
    if whole:
        blend.learn_end(x, churned, members)


def logit_of(reasoned: Reasoned) -> float:
    return reasoned.bias + math.fsum(reasoned.terms)


def assert_adds_up(blend: Blend, x: list[float], priors: Sequence[float]) -> None:
    reasoned = blend.explain(x, priors)
    assert blend.predict(x, priors) == reasoned.forecast
    assert len(reasoned.terms) == len(x)
    logit = blend.mixture.score(reasoned.forecast.members)
    bounded = min(max(logit, -LOGIT_LIMIT), LOGIT_LIMIT)
    assert logit_of(reasoned) == pytest.approx(bounded, abs=1e-9 * (1.0 + max(map(abs, reasoned.terms))))
    assert reasoned.forecast.p == pytest.approx(1.0 / (1.0 + math.exp(-bounded)), rel=1e-12)


@given(st.lists(st.floats(-100.0, 100.0), min_size=N_FEATURES, max_size=N_FEATURES), priors)
def test_before_anything_is_learned_the_prior_is_the_reason(x: list[float], priors: list[float]) -> None:
    blend = Blend(N_FEATURES, 2, prior_place=1)
    assert_adds_up(blend, x, priors)
    (_, (plain, split)), _, terms = blend.explain(x, priors)
    assert plain == priors[0]
    # The pieces of the prior multiply.
    p = 1.0 / (1.0 + math.exp(-priors[1])) / (1.0 + math.exp(-priors[2]))
    assert split == pytest.approx(math.log(p / (1.0 - p)) if p < 1.0 else 30.0, rel=1e-4, abs=1e-6)
    assert all(term == 0.0 for place, term in enumerate(terms) if place != 1)


@settings(max_examples=60, deadline=None)
@given(streams(), priors, st.integers(0, 60), st.integers(0, 60))
def test_reasons_add_up_however_far_each_part_has_learned(
    stream: tuple[list[tuple[list[float], bool, float]], int], priors: list[float], n_second: int, n_end: int
) -> None:
    examples, n_features = stream
    blend = Blend(n_features, 2)
    for i, (x, yes, count) in enumerate(examples):
        assert_adds_up(blend, x, priors)
        members = blend.predict(x, priors).members
        blend.learn_piece(0, x, yes)
        if yes and i < n_second:
            blend.learn_piece(1, x, count > 5.0)
        if i < n_end:
            blend.learn_end(x, yes and count > 5.0, members)
    for x, _, _ in examples[:5]:
        assert_adds_up(blend, x, priors)


weights = st.lists(st.floats(-300.0, 300.0), min_size=N_FEATURES + 1, max_size=N_FEATURES + 1)


@settings(max_examples=150, deadline=None)
@given(weights, weights, st.integers(0, 10**6), st.integers(0, 10**6), priors, st.floats(0.001, 0.999), st.data())
def test_reasons_add_up_at_extreme_scores(
    first: list[float],
    second: list[float],
    n_first: int,
    n_second: int,
    priors: list[float],
    weight: float,
    data: st.DataObject,
) -> None:
    blend = Blend(N_FEATURES, 2)
    for row in rows(40, seed=1):
        taught(blend, row)
    for piece, values, n in zip(blend.split.pieces, (first, second), (n_first, n_second), strict=True):
        piece.weights, piece.n = list(values), n
    blend.mixture.weights = [weight, 1.0 - weight]
    x = data.draw(st.lists(st.floats(-50.0, 50.0), min_size=N_FEATURES, max_size=N_FEATURES))
    assert_adds_up(blend, x, priors)


@pytest.mark.parametrize("score", [20.0, 25.0, 40.0, 400.0, 800.0, -20.0, -400.0, -800.0])
def test_reasons_add_up_where_a_probability_is_next_to_0_or_1(score: float) -> None:
    blend = Blend(1, 2)
    for i in range(50):
        blend.learn_piece(0, [float(i % 2)], True)
    blend.mixture.weights = [0.99, 0.01]
    for piece in blend.split.pieces:
        piece.n = 10**9
        piece.weights = [score / 5.0, score]
    for x in (0.0, 1.0):
        assert_adds_up(blend, [x], [0.0, 0.0, 0.0])


def test_an_average_customer_has_no_reasons() -> None:
    blend = Blend(2, 2)
    for i in range(1_000):
        taught(blend, ([float(i % 2), 1.0], [True, i % 3 == 0], i % 3 == 0))
    _, _, terms = blend.explain([0.5, 1.0], [0.0, 0.0, 0.0])
    assert terms == pytest.approx([0.0, 0.0], abs=0.02)


@pytest.mark.parametrize("priors", [(-6.0, -4.0, -4.0), (0.0, 1.0, 1.0), (6.0, 8.0, 8.0)])
def test_the_prior_is_left_without_a_jump(priors: Sequence[float]) -> None:
    blend = Blend(N_FEATURES, 2)
    fixed = [[0.0, 1.0, 7.0, 0.0, 0.0], [2.0, 0.1, 7.0, 1.0, 9.0], [-2.0, 4.0, 7.0, 0.0, 4.0]]
    before, worst = [logit_of(blend.explain(x, priors)) for x in fixed], 0.0
    for row in rows(1_500, seed=2):
        taught(blend, row, priors)
        after = [logit_of(blend.explain(x, priors)) for x in fixed]
        worst = max(worst, *(abs(a - b) for a, b in zip(after, before, strict=True)))
        before = after
    # Of the three vectors two are extreme; an average customer's score moves by a tenth of it.
    assert worst < 0.35


def test_learner_and_prior_count_the_same_after_the_stated_labels() -> None:
    far, near = (-6.0, -6.0, -6.0), (6.0, 6.0, 6.0)
    blend = Blend(N_FEATURES, 1)
    for row in rows(int(PRIOR_LABELS), seed=3):
        blend.learn_end(row[0], row[2], (0.0, 0.0))
    x = rows(1, seed=4)[0][0]
    # The plain member moves by half of what the prior moves.
    gap = blend.predict(x, near[:2]).members[0] - blend.predict(x, far[:2]).members[0]
    assert gap == pytest.approx(6.0)


def test_it_learns_both_pieces_and_beats_its_prior() -> None:
    blend, own, plain = Blend(N_FEATURES, 2), 0.0, 0.0
    for i, row in enumerate(rows(6_000, seed=5)):
        p = blend.predict(row[0], (0.0, 1.0, 1.0)).p
        taught(blend, row)
        if i >= 2_000:
            own -= math.log(p if row[2] else 1.0 - p)
            plain -= math.log(0.35 if row[2] else 0.65)
    assert own < 0.95 * plain
    assert (blend.n_learned, blend.version) == (6_000, "blend2")


def stored(blend: Blend, names: Callable[[str], bool] = lambda name: True) -> Blend:
    again = Blend(N_FEATURES, 2)
    again.restore({name: make() for name, make in blend.parts().items() if names(name)})
    return again


def test_storing_at_any_step_changes_no_later_number_by_a_bit() -> None:
    kept, often = Blend(N_FEATURES, 2), Blend(N_FEATURES, 2)
    for i, row in enumerate(rows(600, seed=6)):
        if i % 3 == 0 or i < 50:
            often = stored(often)
        assert often.explain(row[0], (0.0, 1.0, 1.0)) == kept.explain(row[0], (0.0, 1.0, 1.0))
        taught(kept, row, whole=i % 4 > 0)
        taught(often, row, whole=i % 4 > 0)
    assert {n: make() for n, make in often.parts().items()} == {n: make() for n, make in kept.parts().items()}


def test_a_part_that_is_missing_has_learned_nothing() -> None:
    blend = Blend(N_FEATURES, 2)
    for row in rows(200, seed=7):
        taught(blend, row)
    assert stored(blend, lambda name: name != "plain").n_learned == 0
    assert stored(blend, lambda name: name != "mixture").mixture.weights == [0.5, 0.5]
    assert stored(blend, lambda name: False).predict([0.0] * N_FEATURES, (0.0, 0.0, 0.0)).p == pytest.approx(
        Blend(N_FEATURES, 2).predict([0.0] * N_FEATURES, (0.0, 0.0, 0.0)).p
    )


@pytest.mark.parametrize("name", ["plain", "mixture", "scaler", "0", "1", "another"])
def test_a_damaged_part_is_refused_and_nothing_has_changed(name: str) -> None:
    blend = Blend(N_FEATURES, 2)
    for row in rows(50, seed=8):
        taught(blend, row)
    before = {part: make() for part, make in blend.parts().items()}
    with pytest.raises(SnapshotError):
        blend.restore({**before, name: b"HNJM no snapshot"})
    assert {part: make() for part, make in blend.parts().items()} == before


@pytest.mark.parametrize("x", [[0.0] * 4, [math.nan] * N_FEATURES, [math.inf, 0.0, 0.0, 0.0, 0.0]])
def test_a_vector_that_would_spoil_it_is_refused(x: list[float]) -> None:
    blend = Blend(N_FEATURES, 2)
    with pytest.raises(InputRefused):
        blend.predict(x, (0.0, 0.0, 0.0))
    with pytest.raises(InputRefused):
        blend.learn_piece(0, x, True)
    with pytest.raises(InputRefused):
        blend.learn_end(x, True, (0.0, 0.0))
    assert blend.n_learned == 0
