"""An alert as the desk sees it: what it is, to whom it goes, whether people were shown it, what they said."""

from __future__ import annotations

from typing import Any, Self

from engine.desk.fact import Word

__all__ = ["QUEUE_STEP", "Ticket", "queue_score"]

QUEUE_STEP = 10_000_000_000_000
"""Score of a queue = priority times this + `since` in ms, which stays below it until the year 2286."""


def queue_score(priority: int, since: int) -> int:
    """The place of an alert in a queue: by priority, then age.

    Parameters
    ----------
    priority
        1 to 5.
    since
        When the episode began, ms.

    Examples
    --------
    >>> queue_score(1, 1_767_225_600_000)
    11767225600000
    """
    return priority * QUEUE_STEP + max(0, min(since, QUEUE_STEP - 1))


_STORED = (
    "alert_id", "flag", "category", "since", "until", "count", "severity", "updated_at", "route", "source", "held",
    "priority", "guidance", "closed_at", "hushed", "asleep",
)  # fmt: skip
_WORDS = ("ack", "snooze", "outcome")


class Ticket:
    """One alert.

    Attributes
    ----------
    alert_id, flag, category
        Which.
    since, until, count, severity
        As in `engine.alert.Alert`, current also where no message was due.
    updated_at
        Lane clock of the last change, ms.
    route
        To whom it goes.
    source
        What the log alone says of the route: what desk.toml makes of it does not matter to when a message goes out.
    held
        Why people were not shown it; empty once they were.
    priority
        1 to 5.
    guidance
        Id of a text, or empty.
    closed_at
        When it was cleared, ms; `None`: it is open.
    hushed
        Whether its last message was inhibited; it goes out again when nothing inhibits it any more.
    asleep
        Whether a snooze is in force.
    ack, snooze, outcome
        The newest word on each.
    dirty
        Whether the board has to be told; not stored.
    """

    __slots__ = (*_STORED, *_WORDS, "dirty")

    alert_id: str
    flag: str
    category: str | None
    since: int
    until: int | None
    count: int
    severity: str
    updated_at: int
    route: str
    source: str
    held: str
    priority: int
    guidance: str
    closed_at: int | None
    hushed: bool
    asleep: bool
    ack: Word | None
    snooze: Word | None
    outcome: Word | None

    def __init__(self, alert_id: str, flag: str, category: str | None) -> None:
        self.alert_id, self.flag, self.category = alert_id, flag, category
        self.since, self.until, self.count, self.severity = 0, None, 0, ""
        self.updated_at = -1
        self.route = self.source = self.held = self.guidance = ""
        self.priority = 3
        self.closed_at = None
        self.hushed = self.asleep = False
        self.ack = self.snooze = self.outcome = None
        self.dirty = True

    def show(self, since: int, until: int | None, count: int, severity: str, now: int) -> None:
        """Note how the alert stands at `now` (lane clock, ms)."""
        if (since, until, count, severity) != (self.since, self.until, self.count, self.severity):
            self.since, self.until, self.count, self.severity = since, until, count, severity
            self.updated_at = now
            self.dirty = True

    @property
    def queue(self) -> str | None:
        """Of which queue it is: `open` or `held`; `None` when it is closed."""
        return None if self.closed_at is not None else "held" if self.held else "open"

    @property
    def queue_score(self) -> int:
        """Its place in the queue."""
        return queue_score(self.priority, self.since)

    def row(self, customer_id: str, lane: int) -> dict[str, str]:
        """The hash `alert:<alert_id>` of the board."""
        row = {
            "customer_id": customer_id,
            "flag": self.flag,
            "since": str(self.since),
            "count": str(self.count),
            "severity": self.severity,
            "updated_at": str(self.updated_at),
            "lane": str(lane),
            "priority": str(self.priority),
            "route": self.route,
            "held": self.held,
            "guidance": self.guidance,
        }
        for name, value in (("category", self.category), ("until", self.until), ("closed_at", self.closed_at)):
            if value is not None:
                row[name] = str(value)
        if self.ack is not None and self.ack.up:
            row |= {"acked_by": self.ack.by, "acked_at": str(self.ack.at)}
        if self.snooze is not None and self.snooze.up:
            row |= {
                "snoozed_until": str(self.snooze.until),
                "snoozed_by": self.snooze.by,
                "snoozed_at": str(self.snooze.at),
                "snooze_reason": self.snooze.text,
            }
        if self.outcome is not None and self.outcome.up:
            row |= {
                "outcome": self.outcome.text,
                "outcome_by": self.outcome.by,
                "outcome_at": str(self.outcome.at),
            }
        return row

    def encode(self) -> list[Any]:
        """Plain data for the codec."""
        words = [None if (word := getattr(self, name)) is None else list(word) for name in _WORDS]
        return [*(getattr(self, name) for name in _STORED), *words]

    @classmethod
    def decode(cls, data: list[Any]) -> Self:
        """The ticket that `encode` wrote."""
        ticket = cls.__new__(cls)
        for name, value in zip(_STORED, data[: len(_STORED)], strict=True):
            setattr(ticket, name, value)
        for name, value in zip(_WORDS, data[len(_STORED) :], strict=True):
            setattr(ticket, name, Word.of(value))
        ticket.dirty = False
        return ticket
