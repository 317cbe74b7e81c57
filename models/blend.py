"""The default churn model: a plain learner and a split window, combined, over a prior that steps back.

* *plain*: a logistic regression (AdaGrad) that learns the label when the whole horizon has passed;
* *split*: `models.split_window`, which learns each piece of the horizon as soon as its edge has passed;
* each begins as the negative binomial prior of the customer (`models.nbd`) and takes over as labels come: after `n` of
  them it has the share n / (n + `PRIOR_LABELS`) of the logit, so that no score jumps when the prior is left;
* their logits are combined with weights that follow the matured log-loss (`models.mixture`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from models.base import Classifier
from models.dense_logistic import DenseLogistic
from models.exchange import Learned, Sharer
from models.kernels import dot, moved
from models.mixture import Mixture
from models.split_window import SplitWindow

__all__ = ["LOGIT_LIMIT", "PRIOR_LABELS", "Blend", "Forecast", "Reasoned"]

PRIOR_LABELS: Final = 100.0
"""Labels after which learner and prior count the same. From 30 to 300 the log-loss of the first two horizons falls and
that of the third rises, by about 0.005 each way on four real logs (docs/learning.md)."""

LOGIT_LIMIT: Final = 13.0
"""Largest size of a combined logit: a probability of 2 in a million."""

_SURE: Final = 50.0  # score beyond which a piece is sure of silence: the logarithm of its probability must not be 0
_TINY: Final = 1e-9


class Forecast(NamedTuple):
    """A prediction.

    Parameters
    ----------
    p
        Probability of churn, 0 to 1.
    members
        Logits of the plain learner and of the split window; what the mixture learns from once the label is known.
    """

    p: float
    members: tuple[float, float]


class Reasoned(NamedTuple):
    """A prediction with its reasons.

    Parameters
    ----------
    forecast
        To the bit what `Blend.predict` gives.
    bias, terms
        Logit of the average customer, and what each feature adds; together the logit, to 1e-9.
    """

    forecast: Forecast
    bias: float
    terms: list[float]


class _Weights:
    """The mixture as one that takes part in exchanges; it learns with the plain learner."""

    def __init__(self, mixture: Mixture, n: int) -> None:
        self._mixture = mixture
        self._n = n

    def tell(self) -> Learned:
        return Learned(f"mixture{len(self._mixture.weights)}", self._n, (), (), (self._mixture.weights,))

    def adopt(self, learned: Learned) -> None:
        self._mixture.adopt(learned.numbers[0])


class Blend:
    """Probability that a customer shows no activity within a horizon.

    Parameters
    ----------
    n_features
        Length of a vector, >= 1.
    n_pieces
        Pieces of the horizon, >= 1.
    prior_place
        Place of the feature to which reasons add what the prior says.
    plain
        Class of the plain learner.

    Examples
    --------
    >>> blend = Blend(2, 2, prior_place=0)
    >>> blend.predict([0.0, 0.0], [0.0, 1.0, 1.0]).members[0]
    0.0
    """

    def __init__(
        self, n_features: int, n_pieces: int, *, prior_place: int = 0, plain: type[Classifier] = DenseLogistic
    ) -> None:
        self.plain: Classifier = plain(n_features)
        self.split = SplitWindow(n_features, n_pieces)
        self.mixture = Mixture(2)
        self._prior_place = prior_place
        self._zeros, self._ones = [0.0] * n_features, [1.0] * n_features

    @property
    def version(self) -> str:
        """Name of the recipe."""
        return f"blend{len(self.split.pieces)}"

    @property
    def n_learned(self) -> int:
        """Examples learned to the end of their horizon."""
        return self.plain.n_learned

    def predict(self, x: Sequence[float], priors: Sequence[float]) -> Forecast:
        """Predict from what was learned so far.

        Parameters
        ----------
        x
            A feature vector.
        priors
            Logits of the prior: of silence through the whole horizon, then piece by piece.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        return self.explain(x, priors).forecast

    def explain(self, x: Sequence[float], priors: Sequence[float]) -> Reasoned:
        """Predict, and say why.

        The split of the product of the pieces over features is an attribution by the rescale rule of DeepLIFT
        (Shrikumar et al. 2017, arXiv 1704.02685), from the average customer: each feature gets its part of a piece's
        score, times the slope of the secant from the average customer's score to this one's.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        own = self._share(self.plain.n_learned)
        _, intercept, terms = self.plain.explain(x)
        plain = own * (intercept + dot(terms, self._ones)) + (1.0 - own) * priors[0]
        place = self._prior_place
        weight, split_weight = self.mixture.weights
        bias = weight * own * intercept
        terms = moved(self._zeros, terms, weight * own)
        terms[place] += weight * (1.0 - own) * priors[0]
        split, base, slopes = self._product(x, priors[1:])
        bias += split_weight * base
        for slope, piece_terms, prior_term in slopes:
            factor = split_weight * slope
            terms = moved(terms, piece_terms, factor)
            terms[place] += factor * prior_term
        logit = self.mixture.score((plain, split))
        if abs(logit) > LOGIT_LIMIT:
            bounded = math.copysign(LOGIT_LIMIT, logit)
            bias += bounded - logit
            logit = bounded
        return Reasoned(Forecast(1.0 / (1.0 + math.exp(-logit)), (plain, split)), bias, terms)

    def _product(
        self, x: Sequence[float], priors: Sequence[float]
    ) -> tuple[float, float, list[tuple[float, list[float], float]]]:
        """Logit of the product, that of the average customer, and per piece slope, terms, prior's term."""
        log_p = log_p0 = 0.0
        parts: list[tuple[float, list[float], float]] = []
        for piece, (score, intercept, terms), prior in zip(
            self.split.pieces, self.split.explain(x), priors, strict=True
        ):
            own = self._share(piece.n)
            blended, average = own * score + (1.0 - own) * prior, own * intercept
            at, at0 = _log_sigmoid(min(blended, _SURE)), _log_sigmoid(min(average, _SURE))
            away = blended - average
            slope = (at - at0) / away if abs(away) > _TINY else math.exp(_log_sigmoid(-blended))
            log_p += at
            log_p0 += at0
            parts.append((slope * own, terms, (1.0 - own) * prior / own if own else 0.0))
            if not own:
                # Nothing was learned yet: the prior is all there is.
                parts[-1] = (slope, self._zeros, prior)
        logit, logit0 = _logit_of_log(log_p), _logit_of_log(log_p0)
        away = log_p - log_p0
        # Compared in relation: where silence is sure, both logarithms are next to 0 and the logits still far apart.
        ratio = (logit - logit0) / away if abs(away) > _TINY * abs(log_p) else -1.0 / math.expm1(log_p)
        return logit, logit0, [(ratio * slope, terms, prior) for slope, terms, prior in parts]

    @staticmethod
    def _share(n_learned: int) -> float:
        return n_learned / (n_learned + PRIOR_LABELS)

    def learn_piece(self, piece: int, x: Sequence[float], silent: bool) -> None:
        """Learn whether somebody silent until the piece's beginning was silent until its edge; piece 0 first."""
        self.split.learn(piece, x, silent)

    def learn_end(self, x: Sequence[float], churned: bool, members: Sequence[float]) -> None:
        """Learn the label when the whole horizon has passed; `members` as they were predicted."""
        self.mixture.learn(members, churned)
        self.plain.learn_one(x, churned)

    def parts(self) -> dict[str, Callable[[], bytes]]:
        """What makes each part of the snapshot."""
        return {"plain": self.plain.snapshot, "mixture": self.mixture.snapshot, **self.split.parts()}

    def sharers(self) -> dict[str, Sharer]:
        """What takes part in exchanges, by the names of `parts`."""
        plain: Any = self.plain
        mixture = _Weights(self.mixture, plain.n_learned)
        return {**({"plain": plain} if isinstance(plain, Sharer) else {}), "mixture": mixture, **self.split.sharers()}

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Take over parts that `parts` made; what is not among them has learned nothing.

        Raises
        ------
        SnapshotError
            If one is not a part of such a model; nothing has changed.
        """
        rest = dict(parts)
        plain, mixture = rest.pop("plain", None), rest.pop("mixture", None)
        new_plain = type(self.plain)(self.split.n_features) if plain is None else type(self.plain).restore(plain)
        new_mixture = Mixture(2) if mixture is None else Mixture.restore(mixture, 2)
        self.split.restore(rest)
        self.plain, self.mixture = new_plain, new_mixture


def _log_sigmoid(score: float) -> float:
    return -math.log1p(math.exp(-score)) if score >= 0.0 else score - math.log1p(math.exp(score))


def _logit_of_log(log_p: float) -> float:
    """Logit of a probability that is given by its logarithm."""
    return log_p - math.log(-math.expm1(log_p))
