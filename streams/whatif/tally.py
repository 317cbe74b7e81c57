"""What is kept of one variant: small beside its alerts, which are never kept."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.alert import Alert
from engine.duration import DAY_MS

__all__ = ["DISTURBING", "FirstRaise", "FlagTally", "Tally", "Traffic"]

DISTURBING = frozenset({"raise", "update", "contact"})
"""Operations of an alert that would disturb a person; a clear does not."""


class FirstRaise(NamedTuple):
    """The first time that a flag was raised for a customer.

    Parameters
    ----------
    at
        Event time, ms.
    alert_id, category, severity
        As in the alert line.
    evidence
        Ids of the events, separated by NUL, which no id holds.
    """

    at: int
    alert_id: str
    category: str | None
    severity: str
    evidence: str


@dataclass(slots=True)
class Traffic:
    """Messages per day of event time, UTC.

    Parameters
    ----------
    delivered, held
        Day since the epoch -> messages; days without any are absent.
    """

    delivered: dict[int, int] = field(default_factory=dict)
    held: dict[int, int] = field(default_factory=dict)

    def add(self, day: int, held: bool) -> None:
        """Count one message."""
        days = self.held if held else self.delivered
        days[day] = days.get(day, 0) + 1


@dataclass(slots=True)
class FlagTally:
    """One flag of a variant.

    Parameters
    ----------
    first
        Number of the customer -> the first raise.
    raised_at, raised_who, raised_told
        Of every raise, in the order in which they went out: event time (ms), number of the customer, and whether people
        were shown it (1) or it was held (0).
    traffic
        Its messages.
    """

    first: dict[int, FirstRaise] = field(default_factory=dict)
    raised_at: array[int] = field(default_factory=lambda: array("q"))
    raised_who: array[int] = field(default_factory=lambda: array("I"))
    raised_told: bytearray = field(default_factory=bytearray)
    traffic: Traffic = field(default_factory=Traffic)


class Tally:
    """Everything that is kept of a variant.

    Memory is bounded by customers times flags, by 13 bytes a raise, and by days times routes.

    Attributes
    ----------
    names
        Customer ids; their place is the customer's number.
    flags
        Flag -> what became of it; only those that had a message.
    total
        Messages of all flags.
    routes
        Route of the alert (empty: nobody is known) -> its messages.
    reasons
        Why messages were held, without what follows a colon -> how many.
    n_read, n_dead, n_late, n_duplicate
        Records of the log.
    seconds
        How long the replay took.
    """

    def __init__(self) -> None:
        self.names: list[str] = []
        self.flags: dict[str, FlagTally] = {}
        self.total = Traffic()
        self.routes: dict[str, Traffic] = {}
        self.reasons: dict[str, int] = {}
        self.n_read = self.n_dead = self.n_late = self.n_duplicate = 0
        self.seconds = 0.0
        self._numbers: dict[str, int] = {}
        self._words: dict[str, str] = {}

    def add(self, alerts: Iterable[Alert]) -> None:
        """Count alerts in the order in which they went out."""
        for alert in alerts:
            if alert.op not in DISTURBING:
                continue
            flag = self.flags.get(alert.flag)
            if flag is None:
                flag = self.flags[alert.flag] = FlagTally()
            day, held = alert.at // DAY_MS, bool(alert.held)
            route = self.routes.get(alert.route)
            if route is None:
                route = self.routes[alert.route] = Traffic()
            for traffic in (flag.traffic, route, self.total):
                traffic.add(day, held)
            if held:
                reason = alert.held.partition(":")[0] if alert.held.startswith("inhibited") else alert.held
                self.reasons[reason] = self.reasons.get(reason, 0) + 1
            if alert.op == "raise":
                self._raised(flag, alert)

    def _raised(self, flag: FlagTally, alert: Alert) -> None:
        number = self._numbers.get(alert.customer_id)
        if number is None:
            number = self._numbers[alert.customer_id] = len(self.names)
            self.names.append(alert.customer_id)
        flag.raised_at.append(alert.at)
        flag.raised_who.append(number)
        flag.raised_told.append(not alert.held)
        if number not in flag.first:
            # Of few different words there is one copy each, however many customers share them.
            category = None if alert.category is None else self._words.setdefault(alert.category, alert.category)
            severity = self._words.setdefault(alert.severity, alert.severity)
            evidence = "\0".join(alert.evidence)
            flag.first[number] = FirstRaise(alert.at, alert.alert_id, category, severity, evidence)

    def raised(self, flag: str) -> dict[str, FirstRaise]:
        """Customer id -> first raise of the flag; empty where it was never raised."""
        tally = self.flags.get(flag)
        return {} if tally is None else {self.names[number]: first for number, first in tally.first.items()}
