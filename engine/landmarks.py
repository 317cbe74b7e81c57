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

    __slots__ = ("_numbers", "_packed", "at", "churn_done", "engagement_done", "has_left", "is_active", "n_engaged",
                 "trigger")  # fmt: skip

    def __init__(self, at: int, trigger: int, x: list[float], churn: float, engagement: float) -> None:
        self.at = at
        self.trigger = trigger
        # The numbers as they are, or as they are stored; each is made of the other when it is asked for. Most marks are
        # stored many times before they are learned, and loaded many times without it.
        self._numbers: tuple[list[float], float, float] | None = (x, churn, engagement)
        self._packed: bytes | None = None
        self.n_engaged = 0
        self.is_active = False
        self.has_left = False
        self.churn_done = False
        self.engagement_done = False

    @property
    def x(self) -> list[float]:
        """The features at that moment."""
        return self._unpacked()[0]

    @property
    def churn(self) -> float:
        """Probability of churn as it was predicted."""
        return self._unpacked()[1]

    @property
    def engagement(self) -> float:
        """Expected number of engagement events as it was predicted."""
        return self._unpacked()[2]

    def _unpacked(self) -> tuple[list[float], float, float]:
        if self._numbers is None:
            packed = self._packed or b""
            churn, engagement, *x = struct.unpack(f"<{len(packed) // 8}d", packed)
            self._numbers = (x, churn, engagement)
        return self._numbers

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
        if self._packed is None:
            x, churn, engagement = self._unpacked()
            self._packed = struct.pack(f"<{len(x) + 2}d", churn, engagement, *x)
        return [self.at, self.trigger, self.n_engaged, int(flags), self._packed]

    @classmethod
    def decode(cls, data: list[Any]) -> Self:
        """The landmark that `encode` wrote."""
        mark = cls.__new__(cls)
        mark.at, mark.trigger, mark.n_engaged, flags, mark._packed = data
        mark._numbers = None
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
