"""Which scores are judged, and by what."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

__all__ = ["Protocol"]


@dataclass(frozen=True, slots=True)
class Protocol:
    """The rules of an evaluation. Days count from the log's first midnight, UTC.

    Parameters
    ----------
    horizon_d
        Churn is no act within so many days, > 0.
    from_d
        First day that is judged, >= 0.
    until_d
        The log is cut there: what comes at it or later counts neither as instance nor for a label.
    per_day
        Compare whole days: of a customer and day only the last score counts. For logs whose times are days.
    kinds
        Kinds of events that are acts.
    block_d
        Length of a block, days, > 0: the anchors are fitted again at the start of each.

    Examples
    --------
    >>> rules = Protocol(horizon_d=30, from_d=100)
    >>> rules.block(100.0), rules.block(159.9)
    (0, 1)
    """

    horizon_d: float
    from_d: float
    until_d: float = inf
    per_day: bool = False
    kinds: tuple[str, ...] = ()
    block_d: float = 30.0

    def block(self, at_d: float) -> int:
        """Number of the block of a time; negative before the first judged day."""
        return int((at_d - self.from_d) // self.block_d)
