"""The alerts of one customer: all that are open, and the last that were closed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

from engine.desk.ticket import Ticket
from engine.duration import DAY_MS

__all__ = ["CLOSED_MS", "MAX_CLOSED", "Tickets"]

MAX_CLOSED = 8
"""Closed alerts of a customer on which an outcome can still be given."""

CLOSED_MS = 14 * DAY_MS
"""How long after it was closed, by the lane clock: who was called because of an alert is judged within days."""


class Tickets:
    """Alerts of one customer.

    Attributes
    ----------
    open, closed
        By alert id; the closed ones in the order in which they were closed.
    shown_at
        Lane clock of the last messages that people were shown, ms, oldest first: what the customer's cap looks at.
    gone
        Ids that left memory since the last batch; not stored.
    """

    __slots__ = ("closed", "gone", "open", "shown_at")

    def __init__(self) -> None:
        self.open: dict[str, Ticket] = {}
        self.closed: dict[str, Ticket] = {}
        self.shown_at: list[int] = []
        self.gone: list[str] = []

    def find(self, alert_id: str) -> Ticket | None:
        """An alert, open or closed."""
        return self.open.get(alert_id) or self.closed.get(alert_id)

    def opened(self, alert_id: str, flag: str, category: str | None) -> Ticket:
        """The alert, open from now on; one that was closed keeps what people said of it."""
        ticket = self.open.get(alert_id)
        if ticket is None:
            ticket = self.closed.pop(alert_id, None) or Ticket(alert_id, flag, category)
            self.open[alert_id] = ticket
            ticket.closed_at = None
            ticket.dirty = True
        return ticket

    def close(self, ticket: Ticket, at: int) -> None:
        """Note that an alert was cleared at `at` (ms)."""
        self.open.pop(ticket.alert_id, None)
        ticket.closed_at, ticket.asleep, ticket.hushed = at, False, False
        ticket.dirty = True
        self.closed[ticket.alert_id] = ticket
        while len(self.closed) > MAX_CLOSED:
            self._forget(next(iter(self.closed)))

    def forget_old(self, clock: int) -> None:
        """Drop those that were closed long ago."""
        for alert_id in [i for i, t in self.closed.items() if t.closed_at is None or t.closed_at + CLOSED_MS < clock]:
            self._forget(alert_id)

    def forget_all(self) -> None:
        """Drop everything: the customer is leaving."""
        self.gone += [*self.open, *self.closed]
        self.open.clear()
        self.closed.clear()

    def next_due(self) -> int | None:
        """When the next snooze ends, ms."""
        return min(
            (t.snooze.until for t in self.open.values() if t.asleep and t.snooze and t.snooze.until is not None),
            default=None,
        )

    def take_dirty(self) -> Iterator[Ticket]:
        """Those of which the board has to be told; they are clean afterwards."""
        for tickets in (self.open, self.closed):
            for ticket in tickets.values():
                if ticket.dirty:
                    ticket.dirty = False
                    yield ticket

    def _forget(self, alert_id: str) -> None:
        del self.closed[alert_id]
        self.gone.append(alert_id)

    def encode(self) -> list[Any]:
        """Plain data for the codec; empty for a customer that never had an alert."""
        if not (self.open or self.closed or self.shown_at):
            return []
        tickets = [[t.encode() for t in group.values()] for group in (self.open, self.closed)]
        return [*tickets, self.shown_at]

    @classmethod
    def decode(cls, data: list[Any]) -> Self:
        """The tickets that `encode` wrote."""
        tickets = cls()
        if data:
            for group, stored in ((tickets.open, data[0]), (tickets.closed, data[1])):
                for each in stored:
                    ticket = Ticket.decode(each)
                    group[ticket.alert_id] = ticket
            tickets.shown_at = data[2]
        return tickets
