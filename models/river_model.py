"""Any estimator of River's that `models.river_spec` makes, as a learner of ours: places for names, data for pickle."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Final, Self

import msgspec
from river.__version__ import __version__ as RIVER_VERSION

from models.errors import InputRefused, SnapshotDamaged, SnapshotForeign
from models.kernel import INPUT_LIMIT
from models.river_codec import MAX_BYTES, decode, encode, unpack_bounded
from models.river_codec_graph import Graph, StateRefused
from models.river_spec import Role, build, canonical
from models.snapshot import pack

__all__ = ["CLIP_PROBA", "LARGEST", "RiverClassifier", "RiverModel", "RiverRegressor", "RiverState", "path_terms"]

CLIP_PROBA: Final = 1e-6
"""Probabilities stay this far from 0 and 1, where trees like to go after a dozen examples: a logit must be finite."""

LARGEST: Final = 1e12
"""Expected numbers above count as this."""

_MOST_FEATURES: Final = 1_000
_LONGEST_NAME: Final = 64
_ADVICE: Final = "restore a backup of the model, or replay the log to learn it again"


class RiverState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """All that one of River's estimators has learned, as stored.

    Parameters
    ----------
    version
        Recipe of the model.
    river
        River's version, which alone knows what the attributes in the graph mean.
    spec, names, prior
        The recipe.
    n_learned, n_skipped
        Examples learned, and those among them at which River's arithmetic failed.
    means
        Of the features; empty before the first example.
    graph
        The estimator.
    """

    version: str
    river: str
    spec: str
    names: list[str]
    prior: float
    n_learned: int
    n_skipped: int
    means: list[float]
    graph: Graph


class RiverModel:
    """One of River's estimators over vectors of a fixed length; subclasses say what it predicts.

    Parameters
    ----------
    spec
        See `models.river_spec`.
    features
        Names of the features for River, in order; or how many, for `f000`, `f001` and so on. River sorts by them where
        it draws features at random.
    prior
        What is predicted before anything was learned, and where the estimator says nothing.

    Attributes
    ----------
    n_skipped
        Examples at which River's arithmetic failed (an exponential overflowed). They are counted as learned, and the
        estimator goes on with what it had changed before it failed, which is the same in every replay.

    Raises
    ------
    SpecRefused
        If the specification makes no estimator of the right kind.
    ValueError
        If a name or the prior is out of its range.
    """

    KIND: ClassVar[str]
    ROLE: ClassVar[Role]

    def __init__(self, spec: str, features: int | Sequence[str], *, prior: float) -> None:
        self.spec = canonical(spec)
        self.names = _names(features)
        self.prior = prior
        self.n_skipped = 0
        self._n_learned = 0
        self._means = [0.0] * len(self.names)
        self._estimator: Any = build(self.spec, self.ROLE)

    @property
    def n_features(self) -> int:
        """Length of a feature vector."""
        return len(self.names)

    @property
    def n_learned(self) -> int:
        """How many examples were learned."""
        return self._n_learned

    @property
    def version(self) -> str:
        """Name of the recipe: the last step of the specification, and a digest of all of it, names and prior."""
        recipe = msgspec.msgpack.encode([self.spec, self.names, float(self.prior)])
        last = type(_steps(self._estimator)[-1]).__name__
        return f"river-{last[:17]}-{hashlib.blake2b(recipe, digest_size=4).hexdigest()}"

    def contributions(self, x: Sequence[float]) -> tuple[float, list[float]]:
        """Why, by the method of `path_terms`; the bias is the score of the average example.

        Costs at most two predictions per feature. Before anything was learned the bias is the prior's score and the
        terms are 0.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        values = self._checked(x)
        if not self._n_learned:
            return self._score(values), [0.0] * len(values)
        return path_terms(self._score, self._means, values)

    def snapshot(self) -> bytes:
        """All state as data; see `models.river_codec`. From 1 kB (a linear model) to megabytes (a forest).

        Raises
        ------
        StateRefused
            If it would be longer than `models.river_codec.MAX_BYTES`.
        """
        state = RiverState(
            version=self.version,
            river=RIVER_VERSION,
            spec=self.spec,
            names=self.names,
            prior=self.prior,
            n_learned=self._n_learned,
            n_skipped=self.n_skipped,
            means=self._means if self._n_learned else [],
            graph=encode(self._estimator),
        )
        data = pack(self.KIND, state)
        if len(data) > MAX_BYTES:
            raise StateRefused(f"{self.version}: expected at most {MAX_BYTES} bytes, got {len(data)}; bound its depth")
        return data

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The model that `snapshot` stored; it goes on to the bit, on the same machine type and River version.

        Raises
        ------
        SnapshotError
            If the bytes are not a whole snapshot of this kind of model; no model is made.
        """
        state = unpack_bounded(cls.KIND, data, RiverState)
        if state.river != RIVER_VERSION:
            raise SnapshotForeign(
                f"{cls.KIND}: expected a model of River {RIVER_VERSION}, got one of {state.river!r}; "
                "install that version, or replay the log"
            )
        try:
            model = cls(state.spec, state.names, prior=state.prior)
        except ValueError as error:
            raise SnapshotDamaged(f"{cls.KIND}: {error}; {_ADVICE}") from error
        if state.version != model.version:
            raise SnapshotForeign(
                f"{cls.KIND}: expected recipe {model.version!r}, got {state.version!r}; replay the log"
            )
        model._load(state)
        return model

    def _load(self, state: RiverState) -> None:
        n_means = len(self.names) if state.n_learned else 0
        if not 0 <= state.n_skipped <= state.n_learned or len(state.means) != n_means:
            raise SnapshotDamaged(f"{self.KIND}: counts and means do not fit; {_ADVICE}")
        if not all(math.isfinite(mean) for mean in state.means):
            raise SnapshotDamaged(f"{self.KIND}: expected finite means; {_ADVICE}")
        estimator = decode(state.graph)
        if [type(step) for step in _steps(estimator)] != [type(step) for step in _steps(self._estimator)]:
            raise SnapshotDamaged(f"{self.KIND}: expected the estimator of {state.spec}, got another; {_ADVICE}")
        self._estimator, self._n_learned, self.n_skipped = estimator, state.n_learned, state.n_skipped
        if state.n_learned:
            self._means = state.means
            try:
                self._score(self._means)
            except Exception as error:
                # A forged graph may lack anything; one prediction finds what it lacks before a customer needs it.
                kind = type(error).__name__
                raise SnapshotDamaged(f"{self.KIND}: the estimator fails: {kind}: {error}; {_ADVICE}") from error

    def _checked(self, x: Sequence[float]) -> list[float]:
        """`x` as floats of Python, or a refusal; what is stored must hold no other numbers."""
        if len(x) != len(self.names):
            raise InputRefused(f"x: expected {len(self.names)} features, got {len(x)}; give those of the catalogue")
        for i, value in enumerate(x):
            # Written so that NaN, of which every comparison is false, is refused too.
            if not -INPUT_LIMIT <= value <= INPUT_LIMIT:
                raise InputRefused(
                    f"x[{i}]: expected a number within +-{INPUT_LIMIT:g}, got {value!r}; mend the feature"
                )
        return [float(value) for value in x]

    def _named(self, values: Sequence[float]) -> dict[str, float]:
        return dict(zip(self.names, values, strict=True))

    def _score(self, values: Sequence[float]) -> float:
        """What the terms add up to."""
        raise NotImplementedError

    def _learn(self, values: list[float], y: bool | float) -> None:
        self._n_learned += 1
        n = self._n_learned
        self._means = [mean + (value - mean) / n for mean, value in zip(self._means, values, strict=True)]
        try:
            self._estimator.learn_one(self._named(values), y)
        except (ArithmeticError, ValueError):
            # One example must not stop a lane for ever: it would be the next one again after every restart.
            self.n_skipped += 1


class RiverClassifier(RiverModel):
    """P(yes) by one of River's classifiers.

    As calibrated as the estimator is: trees and bagging are not, and a classifier that has seen one class only says so.
    The probability is kept within 1e-6 of 0 and 1.

    Parameters
    ----------
    spec, features, prior
        See `RiverModel`; the prior is a probability, above 0 and below 1.

    Examples
    --------
    >>> model = RiverClassifier("river.tree.HoeffdingTreeClassifier(grace_period=50)", ["silent", "visits"])
    >>> model.predict_proba_one([1.0, 0.0])
    0.5
    >>> for i in range(500):
    ...     model.learn_one([float(i % 2), 1.0], i % 2 == 0)
    >>> model.predict_proba_one([0.0, 1.0]) > 0.9 > 0.1 > model.predict_proba_one([1.0, 1.0])
    True
    >>> again = RiverClassifier.restore(model.snapshot())
    >>> again.predict_proba_one([1.0, 1.0]) == model.predict_proba_one([1.0, 1.0])
    True
    """

    KIND: ClassVar[str] = "river-classifier"
    ROLE: ClassVar[Role] = "classifier"

    def __init__(self, spec: str, features: int | Sequence[str], *, prior: float = 0.5) -> None:
        if not CLIP_PROBA <= prior <= 1.0 - CLIP_PROBA:
            raise ValueError(f"prior: expected a probability from {CLIP_PROBA:g} to 1 less that, got {prior!r}")
        super().__init__(spec, features, prior=prior)

    def predict_proba_one(self, x: Sequence[float]) -> float:
        """P(yes), from 1e-6 to 1 less that.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        return self._proba(self._checked(x))

    def explain(self, x: Sequence[float]) -> tuple[float, float, list[float]]:
        """Probability, bias and terms, see `Classifier.explain`."""
        return self.predict_proba_one(x), *self.contributions(x)

    def learn_one(self, x: Sequence[float], y: bool) -> None:
        """Learn one matured example.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length, or `y` is neither true nor false.
        """
        if y not in (0, 1):
            raise InputRefused(f"y: expected true or false, got {y!r}; give a label only when it has matured")
        self._learn(self._checked(x), bool(y))

    def _score(self, values: Sequence[float]) -> float:
        p = self._proba(values)
        return math.log(p / (1.0 - p))

    def _proba(self, values: Sequence[float]) -> float:
        p = self._said(values) if self._n_learned else self.prior
        return min(max(p, CLIP_PROBA), 1.0 - CLIP_PROBA)

    def _said(self, values: Sequence[float]) -> float:
        """What River says, or the prior where it says nothing: an empty dict, no weight for either class, NaN."""
        try:
            said = self._estimator.predict_proba_one(self._named(values))
        except (ArithmeticError, ValueError):
            return self.prior
        if not any(said.values()):
            return self.prior
        p = float(said[True]) if True in said else 1.0 - float(said.get(False, 1.0))
        return self.prior if math.isnan(p) else p


class RiverRegressor(RiverModel):
    """An expected number, 0 or more, by one of River's regressors.

    Wrong for numbers that may be negative: what River says below 0 counts as 0. The contributions add up to the
    number itself, not to its logarithm: River's trees have no link.

    Parameters
    ----------
    spec, features, prior
        See `RiverModel`; the prior is a number from 0 to 1e12.

    Examples
    --------
    >>> model = RiverRegressor("river.tree.HoeffdingTreeRegressor(grace_period=50)", 1)
    >>> model.predict_one([1.0])
    0.0
    >>> for i in range(500):
    ...     model.learn_one([float(i % 2)], 6.0 * (i % 2))
    >>> model.predict_one([0.0]) < 1.0 < 5.0 < model.predict_one([1.0])
    True
    """

    KIND: ClassVar[str] = "river-regressor"
    ROLE: ClassVar[Role] = "regressor"

    def __init__(self, spec: str, features: int | Sequence[str], *, prior: float = 0.0) -> None:
        if not 0.0 <= prior <= LARGEST:
            raise ValueError(f"prior: expected a number from 0 to {LARGEST:g}, got {prior!r}")
        super().__init__(spec, features, prior=prior)

    def predict_one(self, x: Sequence[float]) -> float:
        """The expected number, from 0 to 1e12.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        return self._score(self._checked(x))

    def explain(self, x: Sequence[float]) -> tuple[float, float, list[float]]:
        """The expected number, bias and terms."""
        return self.predict_one(x), *self.contributions(x)

    def learn_one(self, x: Sequence[float], y: float) -> None:
        """Learn one matured example.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length, or `y` is not a number from 0 to 1e12.
        """
        if not 0.0 <= y <= LARGEST:
            raise InputRefused(
                f"y: expected a number from 0 to {LARGEST:g}, got {y!r}; give a label only when it has matured"
            )
        self._learn(self._checked(x), float(y))

    def _score(self, values: Sequence[float]) -> float:
        if not self._n_learned:
            return self.prior
        try:
            said = float(self._estimator.predict_one(self._named(values)) or 0.0)
        except (ArithmeticError, ValueError):
            return self.prior
        return self.prior if math.isnan(said) else min(max(said, 0.0), LARGEST)


def path_terms(
    score: Callable[[Sequence[float]], float], start: Sequence[float], end: Sequence[float]
) -> tuple[float, list[float]]:
    """What each feature adds to a score on the way from one example to another.

    The features are changed one after the other, first to last, and again last to first; a feature's term is the mean
    of what the score moved at its two turns. The terms add up to the whole difference, whatever the score is. They are
    exact Shapley values of the score where at most two features act together, as in a linear model or a product; where
    more do, they depend on the order of the features.

    Parameters
    ----------
    score
        Of an example.
    start
        The example that has only the bias: the average one.
    end
        The example to explain.

    Returns
    -------
    tuple of float and list of float
        The score at the start, and a term per feature.

    Examples
    --------
    >>> path_terms(lambda x: x[0] * x[1] + 3.0, [0.0, 0.0], [2.0, 5.0])
    (3.0, [5.0, 5.0])

    References
    ----------
    [^1]: Castro, Gomez, Tejada (2009), polynomial calculation of the Shapley value based on sampling. That a
        permutation and its reverse are exact for pairs: Mitchell, Cooper, Frank, Holmes (2022), sampling permutations
        for Shapley value estimation.
    """
    bias = score(start)
    terms = [0.0] * len(start)
    moved = [i for i, (a, b) in enumerate(zip(start, end, strict=True)) if a != b]
    whole = score(end) if moved else bias
    for way in (moved, moved[::-1]):
        at, before = list(start), bias
        for i in way:
            at[i] = end[i]
            after = whole if i == way[-1] else score(at)
            terms[i] += 0.5 * (after - before)
            before = after
    return bias, terms


def _names(features: int | Sequence[str]) -> list[str]:
    if isinstance(features, int):
        features = [f"f{i:03d}" for i in range(min(features, _MOST_FEATURES + 1))]
    names = list(features)
    if not 1 <= len(names) <= _MOST_FEATURES or len(set(names)) != len(names):
        raise ValueError(f"features: expected 1 to {_MOST_FEATURES} different names, got {len(names)}")
    for name in names:
        if not 1 <= len(name) <= _LONGEST_NAME:
            raise ValueError(f"features: expected names of 1 to {_LONGEST_NAME} characters, got {name[:80]!r}")
    return names


def _steps(estimator: Any) -> list[Any]:
    """The estimator, or the steps of a pipeline."""
    return list(estimator.steps.values()) if hasattr(estimator, "steps") else [estimator]
