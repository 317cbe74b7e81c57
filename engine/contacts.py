"""Contact alerts: a customer who is sensitive asks for something, and whoever answers must know it before saying hello.

One alert is open per customer and case (no case: customer and agent; neither: customer and hour). Further contacts
update its count; it closes 24 h after its last contact.
"""

from __future__ import annotations

from typing import Any, Self

from engine.alert import alert_id
from engine.duration import DAY_MS, HOUR_MS
from engine.event import Event
from engine.flags.status import Status

__all__ = ["CLOSE_AFTER_MS", "CONTACT_FLAG", "MAX_OPEN", "ContactAlert", "Contacts"]

CONTACT_FLAG = "sensitive_contact"
CLOSE_AFTER_MS = DAY_MS

MAX_OPEN = 32
"""Most open contact alerts of a customer; beyond it the one whose last contact is oldest is closed early."""

_MAX_TWINS = 8
"""Contact ids remembered per open alert, so that a contact recorded by two systems counts once."""

SEVERITY = "high"


class ContactAlert:
    """One open contact alert.

    Attributes
    ----------
    alert_id, category
        Identity; category of the first contact.
    first, last
        Times of the first and newest contact, ms.
    count
        Contacts.
    newest
        Id of the newest contact event: the evidence.
    route, team
        What the log says of to whom it goes, and the event's team.
    case_id
        The case, if the first contact names one.
    sent_at
        Lane clock of the last message, ms.
    twins
        The newest contact ids.
    """

    __slots__ = (
        "alert_id", "case_id", "category", "count", "first", "last", "newest", "route", "sent_at", "team", "twins",
    )  # fmt: skip

    def __init__(self, identity: str, category: str | None, at: int, newest: str, route: str, sent_at: int) -> None:
        self.alert_id = identity
        self.category = category
        self.first = self.last = at
        self.count = 1
        self.newest = newest
        self.route = route
        self.sent_at = sent_at
        self.team: str | None = None
        self.case_id: str | None = None
        self.twins: list[str] = []

    @property
    def due(self) -> int:
        """When it closes, if nothing more comes."""
        return self.last + CLOSE_AFTER_MS

    def status(self) -> Status:
        """As a flag would show it."""
        return Status(self.first, self.due, self.count, SEVERITY, (self.newest,), self.newest)

    def encode(self) -> list[Any]:
        """Plain data for the codec."""
        return [getattr(self, name) for name in self.__slots__]

    @classmethod
    def decode(cls, data: list[Any]) -> Self:
        """The alert that `encode` wrote."""
        alert = cls.__new__(cls)
        for name, value in zip(cls.__slots__, data, strict=True):
            setattr(alert, name, value)
        return alert


class Contacts:
    """Open contact alerts of one customer by case, agent or hour.

    Attributes
    ----------
    open
        By what they are about.
    capped
        Whether one was closed early for want of room; not stored here, the memory notes it.
    """

    __slots__ = ("capped", "open")

    def __init__(self) -> None:
        self.capped = False
        self.open: dict[str, ContactAlert] = {}

    def take(self, customer_id: str, event: Event, route: str, now: int) -> list[tuple[str, ContactAlert, int]]:
        """A contact of a sensitive customer: messages (op, alert, at), in order.

        Parameters
        ----------
        customer_id, event
            Who and what.
        route
            To whom it goes.
        now
            Lane clock, ms.
        """
        if event.case_id is not None:
            key = f"case:{event.case_id}"
        elif event.agent_id is not None:
            key = f"agent:{event.agent_id}"
        else:
            key = f"hour:{event.ts // HOUR_MS}"
        alert = self.open.get(key)
        if alert is None:
            identity = alert_id(CONTACT_FLAG, customer_id, event.category, event.event_id)
            alert = ContactAlert(identity, event.category, event.ts, event.event_id, route, now)
            alert.team, alert.case_id = event.team, event.case_id
            self._remember(alert, event)
            out = self._make_room(now)
            self.open[key] = alert
            return [*out, ("contact", alert, now)]
        if event.contact_id is not None and event.contact_id in alert.twins:
            return []
        self._remember(alert, event)
        alert.count += 1
        alert.first = min(alert.first, event.ts)
        if event.ts >= alert.last:
            alert.last, alert.newest = event.ts, event.event_id
        if route != alert.route or now - alert.sent_at >= HOUR_MS:
            alert.route, alert.team, alert.sent_at = route, event.team, now
            return [("update", alert, now)]
        return []

    def close_due(self, due: int) -> list[tuple[str, ContactAlert, int]]:
        """Close the alerts whose time was up at `due`."""
        if not self.open:
            return []
        keys = [k for k, a in self.open.items() if a.due <= due]
        return [("clear", self.open.pop(k), due) for k in sorted(keys)]

    def next_due(self) -> int | None:
        """When the next alert closes."""
        return min((a.due for a in self.open.values()), default=None)

    def _make_room(self, now: int) -> list[tuple[str, ContactAlert, int]]:
        if len(self.open) < MAX_OPEN:
            return []
        self.capped = True
        oldest = min(self.open, key=lambda k: (self.open[k].last, k))
        return [("clear", self.open.pop(oldest), now)]

    @staticmethod
    def _remember(alert: ContactAlert, event: Event) -> None:
        if event.contact_id is not None:
            alert.twins = [*alert.twins, event.contact_id][-_MAX_TWINS:]

    def encode(self) -> list[Any]:
        """Plain data for the codec."""
        return [[key, alert.encode()] for key, alert in self.open.items()]

    @classmethod
    def decode(cls, data: list[Any]) -> Self:
        """The contacts that `encode` wrote."""
        contacts = cls()
        contacts.open = {key: ContactAlert.decode(alert) for key, alert in data}
        return contacts
