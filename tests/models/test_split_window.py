"""The recursion against plain matrices, its covariance over a long life, and its snapshots at any step."""

from __future__ import annotations

import math
import random
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings

from models.errors import InputRefused, SnapshotDamaged, SnapshotError, SnapshotForeign
from models.snapshot import pack, unpack
from models.split_window import (
    CLIP_Z,
    DOUBT,
    INTERCEPT_LEAK,
    LEAK,
    LEAK_EVERY,
    LOOK_EVERY,
    SplitWindow,
    _PieceState,
    _ScalerState,
)
from tests.models.nasty_streams import streams

Numbers = npt.NDArray[np.float64]
Example = tuple[list[float], list[bool]]

N_FEATURES, N_PIECES = 12, 3


def examples(n: int, seed: int) -> list[Example]:
    """Vectors with constant, rare, late, heavy-tailed and clipped features, and the labels of all pieces up to the
    first in which the customer came."""
    rng = random.Random(seed)
    out = []
    for i in range(n):
        x = [
            5.0,
            float(rng.random() < 0.001),
            rng.random() if i > n // 2 else 0.0,
            rng.paretovariate(0.7),
            math.log1p(i),
            rng.choice((-1e6, 1e6)) if rng.random() < 0.01 else 0.0,
            *(rng.gauss(0.0, 1.0 + 3.0 * k) for k in range(N_FEATURES - 6)),
        ]
        labels = []
        for k in range(N_PIECES):
            labels.append(rng.random() < 1.0 / (1.0 + math.exp(-(0.5 * k - x[6] + 0.3 * x[7]))))
            if not labels[-1]:
                break
        out.append((x, labels))
    return out


class Plain:
    """The recursion as it stands in a book: full matrices, float64, a scaler from sums over all vectors."""

    def __init__(self, n_features: int, n_pieces: int) -> None:
        size = n_features + 1
        self.weights = np.zeros((n_pieces, size))
        self.covariances = np.stack([DOUBT * np.eye(size)] * n_pieces)
        self.doubt = np.diag([LEAK * DOUBT] * n_features + [LEAK * DOUBT + INTERCEPT_LEAK])
        self.seen = [0] * n_pieces
        self.n, self.mean, self.m2 = 0, np.zeros(n_features), np.zeros(n_features)

    def scaled(self, x: list[float]) -> Numbers:
        sd = np.sqrt(self.m2 / max(self.n, 1))
        z = np.divide(np.array(x) - self.mean, sd, out=np.zeros(len(x)), where=sd > 0.0)
        return np.append(np.clip(z, -CLIP_Z, CLIP_Z), 1.0)

    def scores(self, x: list[float]) -> Numbers:
        return np.asarray(self.weights @ self.scaled(x))

    def learn(self, piece: int, x: list[float], y: bool) -> None:
        if piece == 0:
            self.n += 1
            away = np.array(x) - self.mean
            self.mean = self.mean + away / self.n
            self.m2 = self.m2 + away * (np.array(x) - self.mean)
        z, cov = self.scaled(x), self.covariances[piece]
        p = 1.0 / (1.0 + math.exp(-float(self.weights[piece] @ z)))
        v = p * (1.0 - p)
        self.weights[piece] += cov @ z / (1.0 + v * float(z @ cov @ z)) * (y - p)
        v = LOOK_EVERY * v if self.seen[piece] % LOOK_EVERY == 0 else 0.0
        gain = cov @ z / (1.0 + v * float(z @ cov @ z))
        # Joseph's form of the update, which is that of the window by algebra and not by operation.
        keep = np.eye(len(z)) - v * np.outer(gain, z)
        cov = keep @ cov @ keep.T + v * np.outer(gain, gain)
        self.seen[piece] += 1
        if self.seen[piece] % LEAK_EVERY == 0:
            cov = (1.0 - LEAK_EVERY * LEAK) * cov + LEAK_EVERY * self.doubt
        self.covariances[piece] = cov


def test_scores_are_those_of_plain_matrices_over_thousands_of_examples() -> None:
    window, plain = SplitWindow(N_FEATURES, N_PIECES), Plain(N_FEATURES, N_PIECES)
    for x, labels in examples(6_000, seed=1):
        assert window.scores(x) == pytest.approx(plain.scores(x).tolist(), rel=1e-9, abs=1e-9)
        for piece, y in enumerate(labels):
            window.learn(piece, x, y)
            plain.learn(piece, x, y)
    assert [window.n_learned(k) for k in range(N_PIECES)] == [piece.n for piece in window.pieces]
    assert window.n_learned(0) == 6_000 > window.n_learned(1) > window.n_learned(2) > 1_000
    for own, covariance in zip(window.pieces, plain.covariances, strict=True):
        assert np.allclose(own.covariance, covariance, rtol=1e-9, atol=1e-12)


def test_one_example_moves_the_weights_as_newton_would() -> None:
    window = SplitWindow(1, 1)
    window.learn(0, [3.0], True)
    # The feature does not vary yet, so only the intercept learns: 0.1 of doubt, p = 1/2.
    step = DOUBT * 0.5 / (1.0 + 0.25 * DOUBT)
    assert window.scores([3.0]) == [pytest.approx(step, rel=1e-12)]
    looked = 0.25 * LOOK_EVERY
    variance = DOUBT - DOUBT * DOUBT * looked / (1.0 + looked * DOUBT)
    assert window.pieces[0].covariance[1, 1] == pytest.approx(variance, rel=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("labels", ["drawn", "one-sided"])
def test_the_covariance_stays_symmetric_and_positive_over_200_000_examples(labels: str) -> None:
    window = SplitWindow(N_FEATURES, 1)
    (piece,) = window.pieces
    most = DOUBT * (1.0 + 1e-9)
    for i, (x, drawn) in enumerate(examples(200_000, seed=2), start=1):
        window.learn(0, x, drawn[0] if labels == "drawn" else False)
        if i % 10_000 == 0 or i < 20:
            covariance = piece.covariance
            assert np.array_equal(covariance, covariance.T)
            assert float(np.linalg.eigvalsh(covariance)[0]) > 0.0
            # No doubt grows beyond where it began; that of the intercept has a bound of its own.
            variances = covariance.diagonal()
            assert float(variances[:-1].max()) <= most
            assert float(variances[-1]) <= DOUBT + INTERCEPT_LEAK / LEAK
            assert all(map(math.isfinite, piece.weights))
    assert piece.covariance[0, 0] == pytest.approx(DOUBT)  # a constant feature tells nothing


@settings(max_examples=150, deadline=None)
@given(streams())
def test_scores_stay_finite_on_streams_that_break_arithmetic(
    stream: tuple[list[tuple[list[float], bool, float]], int],
) -> None:
    rows, n_features = stream
    window = SplitWindow(n_features, 2)
    for x, yes, count in rows:
        assert all(map(math.isfinite, window.scores(x)))
        window.learn(0, x, yes)
        if count > 10.0:
            window.learn(1, x, not yes)
    for piece in window.pieces:
        assert np.array_equal(piece.covariance, piece.covariance.T)
        assert np.isfinite(piece.covariance).all()
        assert float(np.linalg.eigvalsh(piece.covariance)[0]) > 0.0
    assert stored(window).scores(rows[-1][0]) == window.scores(rows[-1][0])


@settings(max_examples=100, deadline=None)
@given(streams())
def test_terms_add_up_to_the_score(stream: tuple[list[tuple[list[float], bool, float]], int]) -> None:
    rows, n_features = stream
    window = SplitWindow(n_features, 1)
    for x, yes, _ in rows:
        window.learn(0, x, yes)
        ((score, intercept, terms),) = window.explain(x)
        assert [score] == window.scores(x)
        assert intercept + math.fsum(terms) == pytest.approx(score, rel=1e-9, abs=1e-9)
        assert len(terms) == n_features


def stored(window: SplitWindow) -> SplitWindow:
    again = SplitWindow(window.n_features, len(window.pieces))
    again.restore({name: make() for name, make in window.parts().items()})
    return again


def test_storing_at_any_step_changes_no_later_number_by_a_bit() -> None:
    kept, often = SplitWindow(N_FEATURES, N_PIECES), SplitWindow(N_FEATURES, N_PIECES)
    for i, (x, labels) in enumerate(examples(1_500, seed=3)):
        if i % 3 == 0 or i < 100:
            often = stored(often)
        assert often.explain(x) == kept.explain(x)
        for piece, y in enumerate(labels):
            kept.learn(piece, x, y)
            often.learn(piece, x, y)
    assert [make() for make in often.parts().values()] == [make() for make in kept.parts().values()]


def test_a_part_that_is_missing_has_learned_nothing() -> None:
    window = SplitWindow(2, 2)
    for i in range(20):
        window.learn(0, [float(i), 1.0], i % 2 == 0)
        window.learn(1, [float(i), 1.0], True)
    parts = {name: make() for name, make in window.parts().items()}
    again = SplitWindow(2, 2)
    again.restore({name: data for name, data in parts.items() if name != "1"})
    assert (again.n_learned(0), again.n_learned(1)) == (20, 0)
    assert again.scores([3.0, 1.0])[0] == window.scores([3.0, 1.0])[0]
    again.restore({})
    assert again.scores([3.0, 1.0]) == [0.0, 0.0]


def learned(n_features: int = 2) -> SplitWindow:
    window = SplitWindow(n_features, 2)
    for i in range(30):
        x = [float(i % 3), *(1.0 * (i % (j + 2)) for j in range(n_features - 1))]
        window.learn(0, x, i % 2 == 0)
        window.learn(1, x, i % 3 == 0)
    return window


def of_scaler(change: Callable[[_ScalerState], None]) -> bytes:
    state = unpack("split_window_scaler", learned().parts()["scaler"](), _ScalerState)
    change(state)
    return pack("split_window_scaler", state)


def of_piece(change: Callable[[_PieceState], None]) -> bytes:
    state = unpack("split_window_piece", learned().parts()["0"](), _PieceState)
    change(state)
    return pack("split_window_piece", state)


def put(name: str, value: object) -> Callable[[object], None]:
    return lambda state: setattr(state, name, value)


NAN_FIRST = np.array([math.nan] + [0.1] * 5).tobytes()
NEGATIVE = np.array([-0.1, 0.0, 0.1, 0.0, 0.0, 0.1]).tobytes()
DAMAGED: dict[str, dict[str, bytes]] = {
    "cut": {"0": learned().parts()["0"]()[:-1]},
    "longer": {"0": learned().parts()["0"]() + b"\0"},
    "a flipped bit": {"0": (lambda data: data[:-1] + bytes([data[-1] ^ 1]))(learned().parts()["0"]())},
    "a piece for the scaler": {"scaler": learned().parts()["0"]()},
    "a scaler for a piece": {"1": learned().parts()["scaler"]()},
    "a piece too many": {"2": learned().parts()["0"]()},
    "another length": {"0": learned(3).parts()["0"]()},
    "another length of the scaler": {"scaler": learned(3).parts()["scaler"]()},
    "a weight that is no number": {"0": of_piece(put("weights", [0.0, math.nan, 0.0]))},
    "weights missing": {"0": of_piece(put("weights", [0.0]))},
    "half a covariance": {"0": of_piece(put("covariance", b"\0" * 8))},
    "a covariance that is no number": {"0": of_piece(put("covariance", NAN_FIRST))},
    "a variance below 0": {"0": of_piece(put("covariance", NEGATIVE))},
    "less than nothing learned": {"0": of_piece(put("n", -1))},
    "a mean that is no number": {"scaler": of_scaler(put("means", [math.inf, 0.0]))},
    "a variance of the scaler below 0": {"scaler": of_scaler(put("variances", [-1.0, 0.0]))},
    "less than nothing scaled": {"scaler": of_scaler(put("n", -1))},
}


@pytest.mark.parametrize("parts", DAMAGED.values(), ids=DAMAGED)
def test_damaged_parts_are_refused_and_nothing_has_changed(parts: dict[str, bytes]) -> None:
    window = learned()
    before = [make() for make in window.parts().values()]
    with pytest.raises(SnapshotError):
        window.restore({"scaler": learned().parts()["scaler"](), **parts})
    assert [make() for make in window.parts().values()] == before


def test_errors_tell_damage_from_another_kind() -> None:
    with pytest.raises(SnapshotForeign):
        learned().restore({"9": b""})
    with pytest.raises(SnapshotDamaged):
        learned().restore(DAMAGED["half a covariance"])


@pytest.mark.parametrize("x", [[1.0], [1.0, 2.0, 3.0], [math.nan, 0.0], [0.0, math.inf], [0.0, 1e101]])
def test_a_vector_that_would_spoil_the_window_is_refused(x: list[float]) -> None:
    window = learned()
    before = [make() for make in window.parts().values()]
    for piece in (0, 1):
        with pytest.raises(InputRefused):
            window.learn(piece, x, True)
    with pytest.raises(InputRefused):
        window.scores(x)
    assert [make() for make in window.parts().values()] == before


@pytest.mark.parametrize(("n_features", "n_pieces"), [(0, 1), (1, 0)])
def test_a_window_has_features_and_pieces(n_features: int, n_pieces: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        SplitWindow(n_features, n_pieces)
