"""Landmarks that wait for their label: training examples with the features as they were.

An example is taken when a customer is scored and learned when its whole window has passed on the lane clock, never
earlier. `taken = learned + pending + erased`, at all times, for each of the two labels.
"""

from __future__ import annotations

import struct
from typing import Any, Self

from engine.event import ENGAGEMENT, Event

__all__ = ["EVENT", "SILENCE", "TRIGGERS", "Landmark", "Landmarks"]

EVENT, SILENCE = 0, 1
TRIGGERS = ("event", "silence")
"""What made a landmark; each has learners of its own."""


class Landmark:
    """One moment at which a customer was scored.

    Attributes
    ----------
    at
        Event time, ms.
    trigger
        `EVENT` or `SILENCE`.
    x
        The features at that moment.
    churn, engagement
        The predictions as they were made.
    n_engaged
        Engagement events in (at, at + engagement horizon] so far.
    is_active, has_left
        Whether own activity, or a `cancel` or lapsed contract, came in (at, at + churn horizon].
    churn_done, engagement_done
        Whether that label was learned.
    """

    __slots__ = (
        "at",
        "churn",
        "churn_done",
        "engagement",
        "engagement_done",
        "has_left",
        "is_active",
        "n_engaged",
        "trigger",
        "x",
    )

    def __init__(self, at: int, trigger: int, x: list[float], churn: float, engagement: float) -> None:
        self.at = at
        self.trigger = trigger
        self.x = x
        self.churn = churn
        self.engagement = engagement
        self.n_engaged = 0
        self.is_active = False
        self.has_left = False
        self.churn_done = False
        self.engagement_done = False

    @property
    def churned(self) -> bool:
        """The churn label, final once the horizon has passed."""
        return self.has_left or not self.is_active

    @property
    def is_done(self) -> bool:
        """Whether a label of it was learned already."""
        return self.churn_done or self.engagement_done

    def encode(self) -> list[Any]:
        """Plain data for the codec; features as packed doubles, exact."""
        flags = self.is_active | self.has_left << 1 | self.churn_done << 2 | self.engagement_done << 3
        numbers = struct.pack(f"<{len(self.x) + 2}d", self.churn, self.engagement, *self.x)
        return [self.at, self.trigger, self.n_engaged, int(flags), numbers]

    @classmethod
    def decode(cls, data: list[Any]) -> Self:
        """The landmark that `encode` wrote."""
        at, trigger, n_engaged, flags, packed = data
        churn, engagement, *x = struct.unpack(f"<{len(packed) // 8}d", packed)
        mark = cls(at, trigger, x, churn, engagement)
        mark.n_engaged = n_engaged
        mark.is_active, mark.has_left = bool(flags & 1), bool(flags & 2)
        mark.churn_done, mark.engagement_done = bool(flags & 4), bool(flags & 8)
        return mark


class Landmarks:
    """The pending examples of one customer, in order of time."""

    __slots__ = ("pending",)

    def __init__(self, pending: list[Landmark] | None = None) -> None:
        self.pending: list[Landmark] = pending if pending is not None else []

    def observe(self, event: Event, is_own: bool, has_left: bool, churn_ms: int, engagement_ms: int) -> None:
        """Tell every open window what happened; call before the event's own landmark is taken."""
        ts = event.ts
        engaged = event.kind in ENGAGEMENT
        for mark in self.pending:
            passed = ts - mark.at
            if passed <= 0:
                continue
            if passed <= churn_ms:
                mark.is_active |= is_own
                mark.has_left |= has_left
            if engaged and passed <= engagement_ms:
                mark.n_engaged += 1

    def slot(self, at: int, trigger: int, thin_ms: int) -> Landmark | None:
        """The newest pending example of this trigger, if `at` falls into its slot of `thin_ms`."""
        for last in reversed(self.pending):
            if last.trigger == trigger:
                return last if last.at // thin_ms == at // thin_ms else None
        return None

    def next_due(self, churn_ms: int, engagement_ms: int) -> int | None:
        """Earliest end of a window whose label was not learned yet."""
        due: int | None = None
        for mark in self.pending:
            if not mark.engagement_done:
                end = mark.at + engagement_ms
                due = end if due is None or end < due else due
            if not mark.churn_done:
                end = mark.at + churn_ms
                due = end if due is None or end < due else due
        return due

    def encode(self) -> list[Any]:
        """Plain data for the codec."""
        return [mark.encode() for mark in self.pending]

    @classmethod
    def decode(cls, data: list[Any]) -> Self:
        """The landmarks that `encode` wrote."""
        return cls([Landmark.decode(mark) for mark in data])
