"""What the engine asks of a learner, with River's verbs.

A learner is pure: the same calls in the same order give the same numbers, predicting changes nothing, and
`restore(snapshot())` at any point changes no later number by a bit. `x` is a sequence of floats, always of the same
length and order: the caller's catalogue of features. No method blocks. An `x` that is not finite is refused with
`models.errors.InputRefused` before anything changes: one NaN would stay in scaler and weights for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

__all__ = ["Classifier", "Learner", "Regressor"]


class Learner(Protocol):
    """What classifiers and regressors have in common."""

    @property
    def version(self) -> str:
        """Name of the recipe, at most 32 characters; another name means other numbers from the same examples."""

    @property
    def n_learned(self) -> int:
        """How many examples were learned; 0 means that predictions are the documented prior."""

    def contributions(self, x: Sequence[float]) -> tuple[float, list[float]]:
        """Why: a bias and one term per feature, which add up to the score on the scale of the link (logit, log).

        The terms are relative to the average example learned so far, which has only the bias. Before anything was
        learned all are 0.
        """

    def snapshot(self) -> bytes:
        """All state as data, with magic, schema and checksum. Called after any batch; must be cheap (a few kB)."""

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The model that `snapshot` stored; raises `models.errors.SnapshotError` and makes nothing otherwise."""


class Classifier(Learner, Protocol):
    """Learns the probability of a yes."""

    def __init__(self, n_features: int) -> None:
        """A learner that has seen nothing."""

    def explain(self, x: Sequence[float]) -> tuple[float, float, list[float]]:
        """`predict_proba_one` and `contributions` in one pass: probability, bias, terms."""

    def predict_proba_one(self, x: Sequence[float]) -> float:
        """P(yes), 0 to 1 and finite, from what was learned so far; before that a documented prior."""

    def learn_one(self, x: Sequence[float], y: bool) -> None:
        """Learn one matured example. Called once per example, in order of maturity."""


class Regressor(Learner, Protocol):
    """Learns an expected number."""

    def __init__(self, n_features: int) -> None:
        """A learner that has seen nothing."""

    def predict_one(self, x: Sequence[float]) -> float:
        """The expected number, finite, from what was learned so far; before that a documented prior."""

    def learn_one(self, x: Sequence[float], y: float) -> None:
        """Learn one matured example. Called once per example, in order of maturity."""
