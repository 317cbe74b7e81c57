"""The losses by which scores are judged, clipped as in `models.metrics`."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, log, log1p
from typing import Final

from models.errors import InputRefused
from models.metrics import COUNT_LIMITS, P_FLOOR

__all__ = ["LOSSES", "log_loss", "poisson_deviance"]


def log_loss(p: float, y: float) -> float:
    """Log-loss of one probability.

    Parameters
    ----------
    p
        The probability of a yes, 0 to 1; clipped to `P_FLOOR` and its complement.
    y
        Whether it came true: 0 or 1.

    Returns
    -------
    float
        Nats, >= 0, lower is better.

    Raises
    ------
    InputRefused
        If `p` is no probability or `y` neither 0 nor 1.

    Examples
    --------
    >>> round(log_loss(0.8, True), 4), round(log_loss(0.8, False), 4)
    (0.2231, 1.6094)
    """
    if not 0.0 <= p <= 1.0 or y not in (0, 1):
        raise InputRefused(f"expected p from 0 to 1 and y true or false, got {p!r} and {y!r}; count matured labels")
    clipped = min(max(p, P_FLOOR), 1.0 - P_FLOOR)
    return -log(clipped) if y else -log1p(-clipped)


def poisson_deviance(p: float, y: float) -> float:
    """Poisson deviance of one expected count.

    Parameters
    ----------
    p
        The expected count, >= 0; clipped to `COUNT_LIMITS`.
    y
        The count that came, >= 0.

    Returns
    -------
    float
        Twice the loss of log-likelihood against a perfect prediction, >= 0, lower is better.

    Raises
    ------
    InputRefused
        If one of them is not a finite number >= 0.

    Examples
    --------
    >>> round(poisson_deviance(2.0, 3.0), 4)
    0.4328
    """
    if not (0.0 <= p < inf and 0.0 <= y < inf):
        raise InputRefused(f"expected finite counts >= 0, got {p!r} and {y!r}; count matured labels")
    lowest, highest = COUNT_LIMITS
    mean = min(max(p, lowest), highest)
    return 2.0 * ((y * log(y / mean) if y else 0.0) - (y - mean))


LOSSES: Final[dict[str, Callable[[float, float], float]]] = {
    "log_loss": log_loss,
    "poisson_deviance": poisson_deviance,
}
"""Every loss by its name, as in stored states."""
