"""Decides about each message: to whom it goes, how urgent it is, whether people are shown it; and takes their words."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from engine.desk.desk import Desk
from engine.desk.fact import Fact, Word
from engine.desk.shift import Shift
from engine.desk.ticket import Ticket
from engine.event import Event
from engine.flags.status import Status
from engine.memory import Memory

__all__ = ["Dispatch", "Message", "source_of"]

CONTACT_PRIORITY = 1
"""Of an alert that a sensitive customer is on the line: whoever answers must know it before saying hello."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message that is about to go out.

    Parameters
    ----------
    op
        `raise`, `update`, `contact` or `clear`.
    alert_id, flag, category
        Which alert.
    status
        How it stands.
    priority
        Of the rule, 1 to 5.
    inhibited_by
        Flags that hide it while they are up.
    worse
        Whether the severity rose: wakes a snoozed alert.
    source
        What the log says of the route.
    team
        The event's team, if it names one.
    at
        Event time with which a clear is stamped, ms.
    """

    op: str
    alert_id: str
    flag: str
    category: str | None
    status: Status
    priority: int
    inhibited_by: tuple[str, ...] = ()
    worse: bool = False
    source: str = ""
    team: str | None = None
    at: int = 0


def source_of(memory: Memory, event: Event | None) -> str:
    """What the log says of the route: whoever handles the contact, else the customer's owner; empty: nobody."""
    if event is not None:
        if event.agent_id is not None:
            return f"agent:{event.agent_id}"
        if event.team is not None:
            return f"team:{event.team}"
        if event.channel is not None:
            return f"queue:{event.channel}"
    owner = memory.attributes.get("owner")
    return f"owner:{owner}" if isinstance(owner, str) else ""


class Dispatch:
    """The desk of one lane.

    Parameters
    ----------
    desk
        The configuration.
    shift
        The lane's counts, whose numbers the messages move.
    lane, lanes
        Which lane of how many: a team's cap is shared out.

    Attributes
    ----------
    facts
        Words of the batch, in order.
    """

    def __init__(self, desk: Desk, shift: Shift, lane: int, lanes: int) -> None:
        desk.check_lanes(lanes)
        self.desk = desk
        self._shift = shift
        self._share = desk.share(lane, lanes)
        self.facts: list[Fact] = []

    def take(self, memory: Memory, message: Message, up: Collection[str], now: int) -> tuple[Ticket, str]:
        """Note a message and decide about it.

        Parameters
        ----------
        memory
            The customer.
        message
            What goes out.
        up
            Names of the customer's flags that are up.
        now
            Lane clock, ms.

        Returns
        -------
        tuple
            The ticket, and why people are not shown the message (empty: they are).
        """
        tickets = memory.tickets
        # An episode that comes back keeps its alert, which was counted when it first was raised.
        anew = tickets.find(message.alert_id) is None
        ticket = tickets.opened(message.alert_id, message.flag, message.category)
        status = message.status
        ticket.show(status.since, status.until, status.count, status.severity, now)
        if message.source:
            ticket.source = message.source
        before = (ticket.route, ticket.priority, ticket.guidance, ticket.held)
        ticket.route = self.desk.route(ticket.source, ticket.category)
        ticket.priority = self._priority(memory, message)
        ticket.guidance = self.desk.guide(ticket.flag, ticket.category, memory.segment)
        first = message.op in ("raise", "contact")
        if message.op == "clear":
            held = ticket.held
            tickets.close(ticket, message.at)
        else:
            held = self._held(memory, ticket, message, up, now)
            if not held or first:
                ticket.held = held
            self._shift.deliver(now, held, ticket.flag, ticket.route, self.desk.team_cap.window_ms)
        if before != (ticket.route, ticket.priority, ticket.guidance, ticket.held):
            ticket.dirty = True
        if first and anew:
            self._shift.count(ticket.flag, "raised")
        return ticket, held

    def _held(self, memory: Memory, ticket: Ticket, message: Message, up: Collection[str], now: int) -> str:
        for name in message.inhibited_by:
            if name in up:
                ticket.hushed = True
                return f"inhibited:{name}"
        ticket.hushed = False
        if ticket.asleep:
            if not message.worse:
                return "snoozed"
            self._wake(memory, ticket)
        cap = self.desk.customer_cap
        shown = memory.tickets.shown_at
        while shown and shown[0] <= now - cap.window_ms:
            del shown[0]
        if len(shown) >= cap.n:
            return "cap:customer"
        team = self.desk.team(ticket.route, message.team)
        if not self._shift.pass_team(team, now, self._share, self.desk.team_cap.window_ms):
            return "cap:team"
        shown.append(now)
        return ""

    def _wake(self, memory: Memory, ticket: Ticket) -> None:
        """It became worse: the snooze is over, and whoever looks at it should know."""
        ticket.asleep = False
        if ticket.snooze is not None:
            ticket.snooze = ticket.snooze._replace(up=False)
            self._tell(memory, ticket, "snooze", ticket.snooze._replace(by="", text="severity"))

    def _priority(self, memory: Memory, message: Message) -> int:
        tier = self.desk.tier(memory.traits.value_sum, memory.attributes)
        step = self.desk.severity_steps.get(message.status.severity, 0) + (tier.step if tier is not None else 0)
        return max(1, min(5, message.priority + step))

    # -- words of people ---------------------------------------------------------------------------------------

    def word(self, memory: Memory, event: Event, clock: int) -> bool:
        """Take an `ack` or `snooze`; whether it is about an alert that memory holds."""
        ticket = memory.tickets.find(event.ref or "")
        if ticket is None:
            return False
        name = "snooze" if event.kind == "snooze" else "outcome" if event.outcome is not None else "ack"
        text = event.reason if name == "snooze" else event.outcome
        word = Word(event.ts, event.event_id, event.state != "down", event.by or "", event.until, text or "")
        old: Word | None = getattr(ticket, name)
        if old is not None and (old.at, old.event_id) >= (word.at, word.event_id):
            return True
        setattr(ticket, name, word)
        ticket.updated_at, ticket.dirty = max(ticket.updated_at, clock), True
        self._recount(ticket.flag, name, old, word)
        if name == "snooze":
            ticket.asleep = word.up and ticket.closed_at is None and (word.until or 0) >= clock
        self._tell(memory, ticket, name, word)
        return True

    def _recount(self, flag: str, name: str, old: Word | None, word: Word) -> None:
        for each, by in ((old, -1), (word, 1)):
            if each is not None and each.up:
                what = {"ack": "acked", "snooze": "snoozed"}.get(name, each.text)
                self._shift.count(flag, what, by)

    def _tell(self, memory: Memory, ticket: Ticket, name: str, word: Word) -> None:
        fact = Fact(ticket.alert_id, memory.customer_id, self._shift.next_fact(), name, word)
        self.facts.append(fact)
