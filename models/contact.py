"""Probability that a customer turns to the service desk within some days."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from models.exchange import Sharer
from models.split_window import SplitWindow

__all__ = ["ContactModel"]

_PRIOR_LABELS: Final = 100.0
_PRIOR_CONTACTS: Final = 0.05  # expected of somebody who never asked; a rate per horizon


class ContactModel:
    """A recursive logistic regression over a Poisson prior that steps back as labels come.

    Parameters
    ----------
    n_features
        Length of a vector, >= 1.

    Examples
    --------
    >>> model = ContactModel(1)
    >>> round(model.predict([0.0], 1.0), 2)
    0.65
    """

    def __init__(self, n_features: int) -> None:
        self._n_features = n_features
        self._window = SplitWindow(n_features, 1)

    @property
    def version(self) -> str:
        """Name of the recipe."""
        return "recursive1"

    def predict(self, x: Sequence[float], expected: float) -> float:
        """Probability of a contact, 0 to 1.

        Parameters
        ----------
        x
            A feature vector.
        expected
            Number of contacts that the customer's own rate lets expect, >= 0.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length.
        """
        prior = math.log(math.expm1(expected + _PRIOR_CONTACTS)) if expected < 30.0 else 30.0
        n = self._window.n_learned(0)
        own = n / (n + _PRIOR_LABELS)
        logit = own * self._window.scores(x)[0] + (1.0 - own) * prior
        return 1.0 / (1.0 + math.exp(-min(max(logit, -30.0), 30.0)))

    def learn(self, x: Sequence[float], contacted: bool) -> None:
        """Learn the label when the horizon has passed.

        Raises
        ------
        InputRefused
            If `x` is not a vector of finite numbers of the right length; nothing was learned.
        """
        self._window.learn(0, x, contacted)

    def parts(self) -> dict[str, Callable[[], bytes]]:
        """What makes each part of the snapshot."""
        return self._window.parts()

    def sharers(self) -> dict[str, Sharer]:
        """What takes part in exchanges, by the names of `parts`."""
        return self._window.sharers()

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Take over the parts that were made; none, of a model that has learned nothing, leaves all as it is.

        Raises
        ------
        SnapshotError
            If the parts are not those of such a model; nothing has changed.
        """
        self._window.restore(parts)
