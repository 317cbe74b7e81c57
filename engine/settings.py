"""Result settings: everything beside the log and the rules that the answers depend on.

A ledger made under other result settings is refused; their digest stands in its partition record.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, fields

from engine.duration import DAY_MS, HOUR_MS
from engine.event import ACTIVITY
from engine.landmarks import Windows

__all__ = ["CACHE_CUSTOMERS", "ENGINE_VERSION", "ResultSettings"]

ENGINE_VERSION = "3"
"""Version of what the engine computes; raised with every change of a result."""

CACHE_CUSTOMERS = 50_000
"""Customers whose memory a lane keeps decoded; affects speed and memory, never a result."""


@dataclass(frozen=True, slots=True)
class ResultSettings:
    """Settings that change answers.

    Parameters
    ----------
    lanes
        Number of lanes, 1 to 1024.
    lateness_ms
        An event older than the lane clock by more is late; `None`: nothing is late.
    churn_horizon_ms
        Churn is no own activity within this time.
    engagement_horizon_ms
        Engagement is the number of engagement events within this time.
    contact_horizon_ms
        The contact score is about this time.
    pieces
        Edges of the pieces of the churn window, as rising shares of the horizon; the last is 1. Each piece learns
        when its edge has passed. A quarter and the whole are as good as eighth, quarter, half and whole, and half the
        work (docs/learning.md).
    activity
        Kinds of the customer's own activity.
    thin_ms
        A customer gives at most one training example of a trigger per clock slot of this length, the first; 1 h costs
        nothing measurable on real logs (docs/learning.md).
    max_pending
        Most examples of one customer that wait for their label, half of them of silence; beyond it no new one is
        taken. 32 costs nothing on real logs, 16 costs 0.03 of Poisson deviance on CDNOW (docs/learning.md).
    retire_ms
        A customer silent for so long leaves ledger and board.
    learner
        One of `engine.scoring.LEARNERS`.
    challengers
        Churn models that learn beside the built-in one, see `engine.contenders`.
    champion
        The churn model that is shown until an event says otherwise.
    rules
        Version of the rule set.
    share_ms
        Of a replay that plays an exchange of what the lanes have learned at every multiple of it (`engine.sharing`).
        `None`: what the log says happens, and nothing else; so it is live.

    Examples
    --------
    >>> ResultSettings().digest() == ResultSettings(lanes=8).digest()
    True
    >>> ResultSettings().digest() == ResultSettings(lanes=4).digest()
    False
    """

    lanes: int = 8
    lateness_ms: int | None = HOUR_MS
    churn_horizon_ms: int = 30 * DAY_MS
    engagement_horizon_ms: int = 7 * DAY_MS
    contact_horizon_ms: int = 7 * DAY_MS
    pieces: tuple[float, ...] = (0.25, 1.0)
    activity: frozenset[str] = ACTIVITY
    thin_ms: int = HOUR_MS
    max_pending: int = 32
    retire_ms: int = 400 * DAY_MS
    learner: str = "dense"
    challengers: tuple[str, ...] = ()
    champion: str = "blend"
    rules: str = ""
    share_ms: int | None = None

    @property
    def windows(self) -> Windows:
        """When the labels of a landmark are known."""
        edges = tuple(round(self.churn_horizon_ms * share) for share in self.pieces)
        return Windows(edges, self.engagement_horizon_ms, self.contact_horizon_ms)

    def digest(self) -> str:
        """First 16 hex digits of the SHA-256 over engine version and all settings."""
        parts = [f"engine={ENGINE_VERSION}"]
        for f in fields(self):
            value = getattr(self, f.name)
            parts.append(f"{f.name}={sorted(value) if isinstance(value, frozenset) else value}")
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]
