"""Landmarks that wait for their labels: training examples with the features as they were.

An example is taken when a customer is scored. Its churn window is learned piece by piece, each piece when its edge has
passed on the lane clock, and whole when the horizon has; engagement and contact when theirs have; never earlier.
`taken = learned + pending + erased`, at all times, for each of the three labels.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final, NamedTuple, Self

from engine.event import CONTACT, ENGAGEMENT, Event
from engine.scores import Scores

__all__ = ["EVENT", "SILENCE", "TRIGGERS", "Landmark", "Landmarks", "Windows"]

EVENT, SILENCE = 0, 1
TRIGGERS = ("event", "silence")
"""What made a landmark; each has learners of its own."""

_N_MEMBERS: Final = 2
_SCORES: Final = struct.Struct("<3d")


class Windows(NamedTuple):
    """How long after a landmark its labels are known, ms.

    Parameters
    ----------
    edges
        Ends of the pieces of the churn window, rising; the last is the churn horizon.
    engagement, contact
        The horizons of the other two.

    Examples
    --------
    >>> Windows((30, 120), 7, 7).churn
    120
    """

    edges: tuple[int, ...]
    engagement: int
    contact: int

    @property
    def churn(self) -> int:
        """The churn horizon."""
        return self.edges[-1]


class Landmark:
    """One moment at which a customer was scored.

    Attributes
    ----------
    at
        Event time, ms.
    trigger
        `EVENT` or `SILENCE`.
    champion
        Number of the churn model that was shown, in the order of the lane's models.
    x
        The features at that moment.
    scores
        The predictions as they were made.
    n_engaged
        Engagement events in (at, at + engagement horizon] so far.
    active_after, left_after
        Time from the landmark to the first own activity, and to the first `cancel` or lapsed contract, within the churn
        horizon, ms; 0: none so far.
    contacted
        Whether a contact came in (at, at + contact horizon].
    n_pieces_done
        Pieces of the churn window that have passed.
    engagement_done, contact_done
        Whether that label was learned.
    """

    __slots__ = (
        "_numbers",
        "_packed",
        "active_after",
        "at",
        "champion",
        "contact_done",
        "contacted",
        "engagement_done",
        "left_after",
        "n_engaged",
        "n_pieces_done",
        "trigger",
    )

    def __init__(self, at: int, trigger: int, x: list[float], scores: Scores, champion: int = 0) -> None:
        self.at = at
        self.trigger = trigger
        self.champion = champion
        # The numbers as they are, or as they are stored; each is made of the other when it is asked for. Most marks are
        # stored many times before they are learned, and loaded many times without it.
        self._numbers: tuple[list[float], Scores] | None = (x, scores)
        self._packed: bytes | None = None
        self.n_engaged = 0
        self.active_after = 0
        self.left_after = 0
        self.contacted = False
        self.n_pieces_done = 0
        self.engagement_done = False
        self.contact_done = False

    @property
    def x(self) -> list[float]:
        """The features at that moment."""
        return self._unpacked()[0]

    @property
    def scores(self) -> Scores:
        """The predictions as they were made."""
        return self._unpacked()[1]

    def _unpacked(self) -> tuple[list[float], Scores]:
        if self._numbers is None:
            packed = self._packed or b""
            n_rivals = packed[0]
            churn, engagement, contact = _SCORES.unpack_from(packed, 1)
            size = _SCORES.size + 1
            floats = struct.unpack_from(f"<{(len(packed) - size) // 4}f", packed, size)
            split = _N_MEMBERS + n_rivals
            scores = Scores(churn, engagement, contact, floats[:_N_MEMBERS], floats[_N_MEMBERS:split])
            self._numbers = (list(floats[split:]), scores)
        return self._numbers

    @property
    def churned(self) -> bool:
        """The churn label, final once the horizon has passed."""
        return self.left_after > 0 or self.active_after == 0

    def silent(self, edge_ms: int) -> bool:
        """Whether they were silent, or had left, in (at, at + edge]; final once that has passed."""
        return not 0 < self.active_after <= edge_ms or 0 < self.left_after <= edge_ms

    def is_churn_done(self, windows: Windows) -> bool:
        """Whether the churn label was learned."""
        return self.n_pieces_done == len(windows.edges)

    @property
    def is_begun(self) -> bool:
        """Whether anything of it was learned already."""
        return self.n_pieces_done > 0 or self.engagement_done or self.contact_done

    def is_done(self, windows: Windows) -> bool:
        """Whether all of it was learned."""
        return self.engagement_done and self.contact_done and self.is_churn_done(windows)

    def follow(self, other: Landmark) -> None:
        """Take over what was seen after a landmark of the same moment."""
        self.n_engaged, self.contacted = other.n_engaged, other.contacted
        self.active_after, self.left_after = other.active_after, other.left_after

    def encode(self) -> list[Any]:
        """Plain data for the codec; features and parts of scores in single precision, which they have, scores exact."""
        flags = self.contacted | self.engagement_done << 1 | self.contact_done << 2
        if self._packed is None:
            x, scores = self._unpacked()
            members = scores.members or (0.0,) * _N_MEMBERS
            floats = (*members, *scores.rivals, *x)
            head = bytes((len(scores.rivals),)) + _SCORES.pack(scores.churn, scores.engagement, scores.contact)
            self._packed = head + struct.pack(f"<{len(floats)}f", *floats)
        return [
            self.at,
            self.trigger,
            self.champion,
            self.n_engaged,
            self.active_after,
            self.left_after,
            self.n_pieces_done,
            int(flags),
            self._packed,
        ]

    @classmethod
    def decode(cls, data: list[Any]) -> Self:
        """The landmark that `encode` wrote."""
        mark = cls.__new__(cls)
        (
            mark.at,
            mark.trigger,
            mark.champion,
            mark.n_engaged,
            mark.active_after,
            mark.left_after,
            mark.n_pieces_done,
            flags,
            mark._packed,
        ) = data
        mark._numbers = None
        mark.contacted = bool(flags & 1)
        mark.engagement_done, mark.contact_done = bool(flags & 2), bool(flags & 4)
        return mark


class Landmarks:
    """The pending examples of one customer, in order of time."""

    __slots__ = ("pending",)

    def __init__(self, pending: list[Landmark] | None = None) -> None:
        self.pending: list[Landmark] = pending if pending is not None else []

    def observe(self, event: Event, is_own: bool, has_left: bool, windows: Windows) -> None:
        """Tell every open window what happened; call before the event's own landmark is taken."""
        ts = event.ts
        engaged, contact = event.kind in ENGAGEMENT, event.kind in CONTACT
        if not (is_own or has_left or engaged or contact):
            return
        churn_ms, engagement_ms, contact_ms = windows.churn, windows.engagement, windows.contact
        for mark in self.pending:
            passed = ts - mark.at
            if passed <= 0:
                continue
            if passed <= churn_ms:
                if is_own and (mark.active_after == 0 or passed < mark.active_after):
                    mark.active_after = passed
                if has_left and (mark.left_after == 0 or passed < mark.left_after):
                    mark.left_after = passed
            if engaged and passed <= engagement_ms:
                mark.n_engaged += 1
            if contact and passed <= contact_ms:
                mark.contacted = True

    def slot(self, at: int, trigger: int, thin_ms: int) -> Landmark | None:
        """The newest pending example of this trigger, if `at` falls into its slot of `thin_ms`."""
        for last in reversed(self.pending):
            if last.trigger == trigger:
                return last if last.at // thin_ms == at // thin_ms else None
        return None

    def has_room(self, trigger: int, most: int) -> bool:
        """Whether one more of this trigger may wait: at most `most` in all, and of silence at most half of them.

        Silences are many: without a bound of their own they would take the room of the acts of busy customers, whose
        counts the engagement score is about (CDNOW at 90 d: Poisson deviance 1.76 instead of 1.70).
        """
        if len(self.pending) >= most:
            return False
        return trigger == EVENT or 2 * sum(mark.trigger == SILENCE for mark in self.pending) < most

    def next_due(self, windows: Windows) -> int | None:
        """Earliest end of a window, or of a piece of one, that was not learned yet."""
        due: int | None = None
        edges, engagement_ms, contact_ms = windows
        n_pieces = len(edges)
        for mark in self.pending:
            n_done = mark.n_pieces_done
            end = mark.at + edges[n_done] if n_done < n_pieces else None
            if not mark.engagement_done and (end is None or mark.at + engagement_ms < end):
                end = mark.at + engagement_ms
            if not mark.contact_done and (end is None or mark.at + contact_ms < end):
                end = mark.at + contact_ms
            if end is not None and (due is None or end < due):
                due = end
        return due

    def encode(self) -> list[Any]:
        """Plain data for the codec."""
        return [mark.encode() for mark in self.pending]

    @classmethod
    def decode(cls, data: Sequence[list[Any]]) -> Self:
        """The landmarks that `encode` wrote."""
        return cls([Landmark.decode(mark) for mark in data])
