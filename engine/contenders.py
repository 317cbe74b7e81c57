"""The churn models of one trigger: one is shown, all learn, so that the best may be shown next.

The first contender is always `blend` (`models.blend`); challengers come from the settings: `plain`, a dense logistic
regression that waits for the whole horizon, or any of River's estimators by its text (`models.river_spec`). Which one
is shown is the lane's state and changes by an event in the log. A challenger costs what its learner costs; its scores
are never on the board.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from engine.catalogue import CATALOGUE
from models.base import Classifier
from models.dense_logistic import DenseLogistic
from models.journal import Journalled

__all__ = ["BLEND", "PLAIN", "Challenger", "challenger", "check_challenger"]

BLEND: Final = "blend"
"""Name of the built-in model."""

PLAIN: Final = "plain"
"""Name of the challenger that is a dense logistic regression."""


class Challenger(Protocol):
    """A churn model beside the built-in one."""

    @property
    def version(self) -> str:
        """Name of the recipe, at most 32 characters."""

    def predict(self, x: Sequence[float]) -> float:
        """Probability of churn, 0 to 1."""

    def explain(self, x: Sequence[float]) -> tuple[float, list[float]]:
        """Bias and a term per feature, which add up to the logit."""

    def learn(self, x: Sequence[float], churned: bool) -> None:
        """Learn the label when the whole horizon has passed."""

    def changes(self) -> dict[str, bytes | None]:
        """What must be stored since the last call; `None` deletes a part."""

    def snapshot(self) -> bytes:
        """All that was learned, however it is stored."""

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Take over all parts that were stored; raises `SnapshotError` if they are not those of such a model."""


class _Learner:
    """A classifier behind a journal."""

    def __init__(self, make: Callable[[], Classifier]) -> None:
        self._kept: Journalled[Any] = Journalled(make())

    @property
    def version(self) -> str:
        return str(self._kept.model.version)

    def predict(self, x: Sequence[float]) -> float:
        return float(self._kept.model.predict_proba_one(x))

    def explain(self, x: Sequence[float]) -> tuple[float, list[float]]:
        bias, terms = self._kept.model.contributions(x)
        return bias, terms

    def learn(self, x: Sequence[float], churned: bool) -> None:
        self._kept.learn_one(x, churned)

    def changes(self) -> dict[str, bytes | None]:
        return self._kept.changes()

    def snapshot(self) -> bytes:
        return bytes(self._kept.model.snapshot())

    def restore(self, parts: Mapping[str, bytes]) -> None:
        if parts:
            self._kept = Journalled.restore(type(self._kept.model), parts)


def challenger(name: str) -> Challenger:
    """The challenger of that name, as a model that has learned nothing.

    Raises
    ------
    ValueError
        If the name is none; the message says what was expected.

    Examples
    --------
    >>> challenger("plain").predict([0.0] * len(CATALOGUE))
    0.5
    """
    if name == PLAIN:
        return _Learner(lambda: DenseLogistic(len(CATALOGUE)))
    # Importing River takes seconds; who does not use it should not wait for it.
    from models.river_model import RiverClassifier

    return _Learner(lambda: RiverClassifier(name, [feature.name for feature in CATALOGUE]))


def check_challenger(name: str) -> str:
    """The name as it is compared and stored: `plain`, or the canonical text of an estimator.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> check_challenger("plain")
    'plain'
    """
    if name == PLAIN:
        return name
    from models.river_spec import SpecRefused, build, canonical

    try:
        text = canonical(name)
        build(text, "classifier")
    except SpecRefused as error:
        raise ValueError(str(error)) from error
    return text
