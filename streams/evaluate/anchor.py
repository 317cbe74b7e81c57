"""What scores are compared with: methods that are fitted again at each block on what was known by then."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, Protocol

import numpy as np

from engine.features import FEATURES
from streams.evaluate.btyd import BuyTillQuit, fit_btyd
from streams.evaluate.history import Floats, Ints, Purchases
from streams.evaluate.logistic import LogisticFit

__all__ = [
    "Anchor",
    "Asked",
    "BoostedTrees",
    "BuyTillQuitAnchor",
    "Known",
    "LogisticRegression",
    "Prior",
    "anchors",
]

_PLACE = {feature.name: place for place, feature in enumerate(FEATURES)}
_ALL = tuple(_PLACE)
_MANY = 100_000
_FEWEST = 20  # examples: below, a fit of several weights is no more than the base rate with noise


class Known(NamedTuple):
    """What is known at the start of a block.

    Parameters
    ----------
    x, y
        Features and labels of all examples that were mature by then.
    bought
        All customers so far.
    """

    x: Floats
    y: Ints
    bought: Purchases


class Asked(NamedTuple):
    """What an anchor is asked: the instances of a block, as they stood at their own time.

    Parameters
    ----------
    x
        Features.
    bought
        Frequency, recency, age.
    horizon_d
        Churn is no act within so many days.
    """

    x: Floats
    bought: Purchases
    horizon_d: float


class Anchor(Protocol):
    """A method to compare with. One is made for an evaluation and sees its blocks in order."""

    name: str
    """Stable name, part of `--json`."""
    refits: bool
    """Whether it is fitted at every block, or at the first one alone."""
    needs: str | None
    """Package that it needs and that henji does not bring; `None` for none."""

    def fit(self, known: Known) -> None:
        """Learn anew from all that is known; what was learned before is forgotten. Never raises for few examples."""

    def predict(self, asked: Asked) -> Floats:
        """Probability of label 1 of each instance, 0 to 1."""


def _rate(y: Ints) -> float:
    """Share of label 1, drawn a little to one half, which it is when nothing is known."""
    return float((y.sum() + 1) / (len(y) + 2))


@dataclass(slots=True)
class Prior:
    """Everybody gets the share of label 1 so far."""

    name: str = "prior"
    refits: bool = True
    needs: str | None = None
    _p: float = 0.5

    def fit(self, known: Known) -> None:
        self._p = _rate(known.y)

    def predict(self, asked: Asked) -> Floats:
        return np.full(len(asked.x), self._p)


@dataclass(slots=True)
class LogisticRegression:
    """Batch logistic regression on some of the 16 features.

    Parameters
    ----------
    name
        Stable name.
    features
        Names of `engine.features.FEATURES`.
    """

    name: str
    features: tuple[str, ...] = _ALL
    refits: bool = True
    needs: str | None = None
    _fit: LogisticFit | None = None
    _p: float = 0.5

    def fit(self, known: Known) -> None:
        self._p = _rate(known.y)
        is_enough = len(known.y) >= _FEWEST and 0 < known.y.sum() < len(known.y)
        self._fit = LogisticFit(self._columns(known.x), known.y) if is_enough else None

    def predict(self, asked: Asked) -> Floats:
        return self._fit.predict(self._columns(asked.x)) if self._fit else np.full(len(asked.x), self._p)

    def _columns(self, x: Floats) -> Floats:
        return x[:, [_PLACE[name] for name in self.features]]


def _threads(n: int) -> AbstractContextManager[Any]:
    """How many threads scikit-learn takes for `n` rows: on few of them threads wait for each other, not for work."""
    if n >= _MANY:
        return nullcontext()
    limits: AbstractContextManager[Any] = import_module("threadpoolctl").threadpool_limits(1, "openmp")
    return limits


@dataclass(slots=True)
class BoostedTrees:
    """Gradient boosting of scikit-learn on the 16 features; not tuned.

    150 small trees, slowly learned; beyond 10,000 examples scikit-learn stops earlier where a tenth that it holds back
    says so. The seed fixes which tenth.
    """

    name: str
    refits: bool = True
    needs: str | None = "scikit-learn"
    _fit: Any = None
    _p: float = 0.5

    def fit(self, known: Known) -> None:
        self._p = _rate(known.y)
        self._fit = None
        if len(known.y) >= _FEWEST and 0 < known.y.sum() < len(known.y):
            # Imported by name when it is needed: an extra that most installations do not have.
            trees = import_module("sklearn.ensemble").HistGradientBoostingClassifier(
                max_iter=150, learning_rate=0.06, max_leaf_nodes=15, min_samples_leaf=40, l2_regularization=1.0,
                random_state=0,
            )  # fmt: skip
            with _threads(len(known.y)):
                self._fit = trees.fit(known.x, known.y)

    def predict(self, asked: Asked) -> Floats:
        if self._fit is None:
            return np.full(len(asked.x), self._p)
        with _threads(len(asked.x)):
            return np.asarray(self._fit.predict_proba(asked.x)[:, 1])

    @staticmethod
    def is_available() -> bool:
        """Whether scikit-learn is installed."""
        return find_spec("sklearn") is not None


@dataclass(slots=True)
class BuyTillQuitAnchor:
    """Probability of no purchase within the horizon by BG/NBD or MBG/NBD, fitted on all purchases so far.

    Parameters
    ----------
    name
        Stable name.
    modified
        MBG/NBD.
    """

    name: str
    modified: bool
    refits: bool = True
    needs: str | None = None
    model: BuyTillQuit | None = None
    _p: float = 0.5

    def fit(self, known: Known) -> None:
        self._p = _rate(known.y)
        self.model = fit_btyd(known.bought, modified=self.modified)

    def predict(self, asked: Asked) -> Floats:
        if self.model is None:
            return np.full(len(asked.x), self._p)
        return self.model.p_none(asked.bought, asked.horizon_d)


def anchors(trigger: str) -> list[Anchor]:
    """Fresh anchors, in the order in which they are shown.

    Parameters
    ----------
    trigger
        `event` or `silence`: what made the scores. At an event the time since the last act is 0, and the pause before
        it stands for recency. For silence, where examples are many times as many, boosting is left out.

    Examples
    --------
    >>> [anchor.name for anchor in anchors("silence")]
    ['prior', 'recency', 'rfm', 'logistic', 'bg_nbd', 'mbg_nbd']
    """
    # No pause lies before a first act: the flag keeps its 0 from being read as a short one.
    pause = ("gap_last", "first") if trigger == "event" else ("recency",)
    trees: list[Anchor] = [BoostedTrees("boosting"), BoostedTrees("boosting_once", refits=False)]
    return [
        Prior(),
        LogisticRegression("recency", pause),
        LogisticRegression("rfm", (pause[0], "n", "value_mean", "tenure")),
        LogisticRegression("logistic"),
        *(trees if trigger == "event" else ()),
        BuyTillQuitAnchor("bg_nbd", modified=False),
        BuyTillQuitAnchor("mbg_nbd", modified=True),
    ]
