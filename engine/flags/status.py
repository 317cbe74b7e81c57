"""What a flag is at one moment."""

from __future__ import annotations

from typing import NamedTuple

__all__ = ["Hold", "Status"]


class Status(NamedTuple):
    """A flag that is up.

    Parameters
    ----------
    since
        Event time at which it went up, ms.
    until
        Last moment at which it is up, ms; `None` when nothing is scheduled to end it.
    count
        Counted events, open cases or raises behind it.
    severity
        The rule's word.
    evidence
        Ids of a smallest set of events that give the same severity and `until`.
    cause
        Id of the event that raised it, or the due time of the timer that did.
    """

    since: int
    until: int | None
    count: int  # type: ignore[assignment] # hides tuple.count, which nobody calls on a status
    severity: str
    evidence: tuple[str, ...]
    cause: str | int


class Hold(NamedTuple):
    """A moment at which an event (or a timer) raised or held up a flag.

    Parameters
    ----------
    at
        Event time, ms.
    event_id
        The event; for a timer the event that was overdue.
    evidence
        Ids of the events behind it, this one included.
    """

    at: int
    event_id: str
    evidence: tuple[str, ...]
