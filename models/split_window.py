"""Who is still silent at the end of a window, learned piece by piece, each piece as soon as its own edge has passed.

A label about the next 90 days comes 90 days late, and the world has moved on. So the window is split at edges
e_1 < ... < e_K = 1 (shares of the window). Piece k learns whether who was silent until e_(k-1) is still silent at e_k,
and may learn it when e_k has passed; the chance of silence to the end is the product. Most of what the delay costs on
a log that drifts comes back (docs/learning.md has the figures).

Each piece is a logistic regression that is learned recursively: the Laplace approximation of its posterior, moved by
every example (an extended Kalman filter, or online Newton). It learns from an example what a gradient step would need
dozens of passes for; the price is a matrix per piece. Two leaks keep it from standing still: the covariance creeps back
to that of the prior, and the intercept, which follows the base rate, gets a little more doubt with every example.

References
----------
Badanidiyuru et al. (2021), Handling many conversions per click in modeling delayed feedback, arXiv 2101.02284: the
split of the window. Penny and Roberts (1999), Dynamic logistic regression, IJCNN; Fahrmeir (1992), Posterior mode
estimation by extended Kalman filtering for multivariate dynamic generalized linear models, JASA 87: the recursion.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self

import msgspec
import numpy as np
import numpy.typing as npt

from models.errors import SnapshotDamaged, SnapshotForeign
from models.exchange import Learned, Sharer
from models.kernels import Frame, dot, moved, products
from models.snapshot import pack, unpack

__all__ = ["CLIP_Z", "DOUBT", "INTERCEPT_LEAK", "LEAK", "LEAK_EVERY", "LOOK_EVERY", "Piece", "SplitWindow"]

Matrix = npt.NDArray[np.float64]

CLIP_Z: Final = 4.0
"""Scaled features beyond plus or minus this count as this; see `models.linear`."""

DOUBT: Final = 0.1
"""Variance of every weight before anything was learned: a weight of a standardised feature is rarely over 0.6."""

LEAK: Final = 1e-6
"""Share of `DOUBT` that comes back to every variance with each example. In the balance with what examples of churn
tell, the memory is some thousand examples long. 1e-7 to 1e-5 change the log-loss by less than 0.003 on real logs."""

INTERCEPT_LEAK: Final = 4e-6
"""Variance that the intercept gets with every example: how fast a base rate that drifts is followed. Without it the
calibration error of the split window on ServiceNow is .038 instead of .028; with 1e-4 the log-loss on CDNOW is .003
higher."""

LEAK_EVERY: Final = 32
"""Examples from one leak to the next, which is that of all of them together: it need not cost every one of them."""

LOOK_EVERY: Final = 4
"""Of so many examples one is taken for all in the covariance, which moves slowly: the log-loss on four real logs
does not change by more than 0.0002, and an example costs a fifth less."""

_KIND_SCALER: Final = "split_window_scaler"
_KIND_PIECE: Final = "split_window_piece"


class _ScalerState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    n: int
    means: list[float]
    variances: list[float]


class _PieceState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    n: int
    weights: list[float]
    covariance: bytes


class Piece:
    """One recursive logistic regression over scaled vectors.

    Parameters
    ----------
    n_features
        Length of a vector without the intercept, >= 1.
    """

    __slots__ = ("_room", "covariance", "n", "weights")

    def __init__(self, n_features: int) -> None:
        size = n_features + 1
        self.n = 0
        self.weights = [0.0] * size
        self.covariance: Matrix = np.eye(size) * DOUBT
        self._room: Matrix = np.empty((size, size))

    def score(self, z: list[float]) -> float:
        """The score of a scaled vector, on the logit scale."""
        return dot(self.weights, z)

    def explain(self, z: list[float]) -> tuple[float, float, list[float]]:
        """The score, the intercept, and the terms by feature."""
        terms: list[float] = []
        total = products(self.weights, z, terms)
        return total, terms.pop(), terms

    def learn(self, z: list[float], y: bool) -> None:
        """Learn one example."""
        p = _sigmoid(self.score(z))
        information = p * (1.0 - p)
        covariance, room = self.covariance, self._room
        # Sums of einsum are in one order on every processor of a kind; a BLAS would choose by the processor.
        gain = np.einsum("ij,j->i", covariance, np.array(z))
        direction = gain.tolist()
        doubt = dot(direction, z)
        self.weights = moved(self.weights, direction, ((1.0 if y else 0.0) - p) / (1.0 + information * doubt))
        if self.n % LOOK_EVERY == 0:
            looked = LOOK_EVERY * information
            gain *= math.sqrt(looked / (1.0 + looked * doubt))
            # Symmetric to the bit: the products of two numbers are one in either order.
            np.multiply(gain[:, None], gain, out=room)
            np.subtract(covariance, room, out=covariance)
        self.n += 1
        if self.n % LEAK_EVERY == 0:
            self._leak()

    def tell(self) -> Learned:
        """What was learned, for `models.exchange`: the weights; the covariance stays here."""
        return Learned(_KIND_PIECE, self.n, (), (), (self.weights,))

    def adopt(self, learned: Learned) -> None:
        """Go on from an exchange."""
        self.n, self.weights = learned.n, list(learned.numbers[0])

    def _leak(self) -> None:
        covariance = self.covariance
        covariance *= 1.0 - LEAK_EVERY * LEAK
        diagonal = covariance.ravel()[:: len(self.weights) + 1]
        diagonal += LEAK_EVERY * LEAK * DOUBT
        diagonal[-1] += LEAK_EVERY * INTERCEPT_LEAK

    def snapshot(self) -> bytes:
        """All state as data; of the covariance the lower triangle."""
        triangle = self.covariance[np.tril_indices(len(self.weights))]
        return pack(_KIND_PIECE, _PieceState(self.n, self.weights, triangle.tobytes()))

    @classmethod
    def restore(cls, data: bytes, n_features: int) -> Self:
        """The piece that `snapshot` stored; raises `SnapshotError` if the bytes are not such a snapshot."""
        state = unpack(_KIND_PIECE, data, _PieceState)
        size = n_features + 1
        _check(state.weights, size)
        if len(state.covariance) != 8 * (size * (size + 1) // 2):
            raise SnapshotDamaged(f"{_KIND_PIECE}: expected a triangle of {size} rows; replay the log")
        triangle = np.frombuffer(state.covariance, dtype="<f8")
        _check(triangle.tolist(), len(triangle))
        piece = cls(n_features)
        piece.weights = state.weights
        below = np.tril_indices(size)
        piece.covariance[below] = triangle
        piece.covariance.T[below] = triangle
        if state.n < 0 or float(piece.covariance.diagonal().min()) <= 0.0:
            raise SnapshotDamaged(f"{_KIND_PIECE}: expected counts >= 0 and variances > 0; replay the log")
        piece.n = state.n
        return piece


class _Scaler:
    """The frame of a window as one that takes part in exchanges."""

    def __init__(self, frame: Frame) -> None:
        self._frame = frame

    def tell(self) -> Learned:
        frame = self._frame
        return Learned(_KIND_SCALER, int(frame.n), frame.means, frame.variances, ())

    def adopt(self, learned: Learned) -> None:
        self._frame.load(float(learned.n), learned.means, learned.variances)


class SplitWindow:
    """Scores of the pieces of a window, over vectors of a fixed length.

    Wrong for features that come and go. Not a `Classifier`: labels come piece by piece, and what the pieces amount to
    is the caller's to put together.

    Parameters
    ----------
    n_features
        Length of a vector, >= 1; meant for tens: a piece costs the square of it.
    n_pieces
        Number of pieces, >= 1.

    Examples
    --------
    >>> window = SplitWindow(1, 2)
    >>> for i in range(200):
    ...     window.learn(0, [float(i % 2)], i % 2 == 1)
    >>> quiet, lively = window.scores([1.0])[0], window.scores([0.0])[0]
    >>> lively < 0.0 < quiet, window.n_learned(0), window.n_learned(1)
    (True, 200, 0)
    """

    def __init__(self, n_features: int, n_pieces: int) -> None:
        if n_features < 1 or n_pieces < 1:
            raise ValueError(f"expected n_features >= 1 and n_pieces >= 1, got {n_features!r} and {n_pieces!r}")
        self.n_features = n_features
        self.frame = Frame(n_features, CLIP_Z)
        self.pieces = [Piece(n_features) for _ in range(n_pieces)]

    def n_learned(self, piece: int) -> int:
        """How many examples a piece has learned."""
        return self.pieces[piece].n

    def scores(self, x: Sequence[float]) -> list[float]:
        """The score of each piece on the logit scale: of silence until its edge, given silence until the one before.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        z = self.frame.scaled(x)
        return [piece.score(z) for piece in self.pieces]

    def explain(self, x: Sequence[float]) -> list[tuple[float, float, list[float]]]:
        """Per piece its score, intercept and terms by feature, which add up to the score (to 1e-9).

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        z = self.frame.scaled(x)
        return [piece.explain(z) for piece in self.pieces]

    def learn(self, piece: int, x: Sequence[float], y: bool) -> None:
        """Learn whether who was silent until the piece's beginning was silent until its edge.

        The scaler learns with piece 0, which every example comes to first.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length; nothing was learned.
        """
        if piece == 0:
            self.frame.learn(x)
        self.pieces[piece].learn(self.frame.scaled(x), y)

    def parts(self) -> dict[str, Callable[[], bytes]]:
        """What makes each part of the snapshot: `scaler`, and the pieces by their number."""
        return {"scaler": self._snapshot_frame, **{str(n): piece.snapshot for n, piece in enumerate(self.pieces)}}

    def sharers(self) -> dict[str, Sharer]:
        """What takes part in exchanges, by the names of `parts`."""
        return {"scaler": _Scaler(self.frame), **{str(n): piece for n, piece in enumerate(self.pieces)}}

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Take over parts that `parts` made; what is not among them has learned nothing.

        Raises
        ------
        SnapshotError
            If one is not a part of such a window; nothing has changed.
        """
        foreign = parts.keys() - self.parts().keys()
        if foreign:
            raise SnapshotForeign(f"split_window: expected parts {sorted(self.parts())}, got {sorted(foreign)}")
        n_features = self.n_features
        pieces = [
            Piece.restore(parts[str(n)], n_features) if str(n) in parts else Piece(n_features)
            for n in range(len(self.pieces))
        ]
        frame = self._restored_frame(parts["scaler"]) if "scaler" in parts else Frame(n_features, CLIP_Z)
        self.frame, self.pieces = frame, pieces

    def _snapshot_frame(self) -> bytes:
        frame = self.frame
        return pack(_KIND_SCALER, _ScalerState(int(frame.n), frame.means, frame.variances))

    def _restored_frame(self, data: bytes) -> Frame:
        state = unpack(_KIND_SCALER, data, _ScalerState)
        _check(state.means, self.n_features)
        _check(state.variances, self.n_features)
        if state.n < 0 or min(state.variances) < 0.0:
            raise SnapshotDamaged(f"{_KIND_SCALER}: expected counts and variances >= 0; replay the log")
        frame = Frame(self.n_features, CLIP_Z)
        frame.load(float(state.n), state.means, state.variances)
        return frame


def _sigmoid(score: float) -> float:
    if score >= 0.0:
        return 1.0 / (1.0 + math.exp(-min(score, 700.0)))
    e = math.exp(max(score, -700.0))
    return e / (1.0 + e)


def _check(numbers: Sequence[float], size: int) -> None:
    """That a snapshot has so many numbers, and finite ones."""
    if len(numbers) != size or not all(map(math.isfinite, numbers)):
        raise SnapshotDamaged(f"split_window: expected {size} finite numbers; restore a backup or replay the log")
