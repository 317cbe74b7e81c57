"""Writes the messages of a lane: numbers them, sums their bytes for the digest, knows to whom they go."""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from typing import Any

from engine.alert import Alert
from engine.contacts import CONTACT_FLAG, SEVERITY, ContactAlert
from engine.desk.dispatch import CONTACT_PRIORITY, Dispatch, Message, source_of
from engine.episodes import Episode, FlagKey
from engine.event import Event
from engine.flags.status import Status
from engine.lane_record import LaneRecord
from engine.memory import Memory
from engine.rules import RuleSet
from engine.rules.rule import CountRule, Rule

__all__ = ["Teller"]


class Teller:
    """What a lane tells its consumers in one batch.

    Parameters
    ----------
    record
        The lane's record, whose counter, sums and counts the messages move.
    rules
        The rules in force.
    model
        Version of the models.
    dispatch
        Decides to whom messages go and whether people are shown them.

    Attributes
    ----------
    index
        Place in the batch of the record that is being applied.
    alerts
        Messages of the batch, in order.
    alert_state
        Alert id -> the hash of an alert, `None` when memory has let go of it.
    """

    def __init__(self, record: LaneRecord, rules: RuleSet, model: str, dispatch: Dispatch) -> None:
        self._record = record
        self._rules = rules
        self._by_name = {rule.name: rule for rule in rules.rules}
        self.model = model
        self.dispatch = dispatch
        self.begin()

    def begin(self) -> None:
        """Forget what belongs to one batch."""
        self.index = 0
        self.alerts: list[Alert] = []
        self.alert_state: dict[str, dict[str, str] | None] = {}

    def send(
        self,
        memory: Memory,
        op: str,
        key: FlagKey,
        episode: Episode,
        at: int,
        event: Event | None = None,
        *,
        up: Collection[str] | None = None,
    ) -> None:
        """A message about a flag.

        Parameters
        ----------
        memory, op, key, episode
            Whose flag, and what became of it.
        at
            Event time with which it is stamped, ms.
        event
            What caused it, if an event did.
        up
            Names of the flags that are up once everything is told; by default those that are up now.
        """
        flag, category = key
        rule = self._by_name.get(flag)
        known = memory.tickets.open.get(episode.alert_id)
        status = Status(episode.since, episode.until, episode.count, episode.severity, episode.evidence, 0)
        message = Message(
            op=op, alert_id=episode.alert_id, flag=flag, category=category, status=status,
            priority=3 if rule is None else rule.priority, inhibited_by=() if rule is None else rule.inhibited_by,
            worse=known is not None and _rank(rule, episode.severity) > _rank(rule, known.severity),
            source=source_of(memory, event), team=event.team if event is not None else None, at=at,
        )  # fmt: skip
        names = {name for name, _ in memory.episodes.active} if up is None else up
        ticket, held = self.dispatch.take(memory, message, names, self._record.clock)
        case_id = event.case_id if event is not None else None
        alert = Alert(
            alert_id=episode.alert_id, seq=0, op=op, flag=flag, category=category,
            customer_id=memory.customer_id, at=at, since=episode.since, until=episode.until, count=episode.count,
            severity=episode.severity, priority=ticket.priority,
            evidence=list(episode.evidence), scores=_scores(memory), reasons=_reasons(memory),
            route=ticket.route, scene=memory.timeline.scene(case_id, category), rules=self._rules.version,
            model=self.model, index=self.index, held=held, guidance=ticket.guidance,
        )  # fmt: skip
        self._emit(alert)

    def send_contact(self, memory: Memory, op: str, contact: ContactAlert, at: int) -> None:
        """A message about a contact of a sensitive customer, stamped `at` (ms)."""
        message = Message(
            op=op, alert_id=contact.alert_id, flag=CONTACT_FLAG, category=contact.category, status=contact.status(),
            priority=CONTACT_PRIORITY, source=contact.route, team=contact.team, at=at,
        )  # fmt: skip
        ticket, held = self.dispatch.take(memory, message, (), self._record.clock)
        alert = Alert(
            alert_id=contact.alert_id, seq=0, op=op, flag=CONTACT_FLAG, category=contact.category,
            customer_id=memory.customer_id, at=at, since=contact.first, until=contact.due, count=contact.count,
            severity=SEVERITY, priority=ticket.priority, evidence=[contact.newest], scores=_scores(memory),
            reasons=_reasons(memory), route=ticket.route,
            scene=memory.timeline.scene(contact.case_id, contact.category), rules=self._rules.version,
            model=self.model, index=self.index, held=held, guidance=ticket.guidance,
        )  # fmt: skip
        self._emit(alert)

    def _emit(self, alert: Alert) -> None:
        record = self._record
        record.seq += 1
        alert.seq = record.seq
        digest = hashlib.sha256(alert.line()).digest()
        record.alert_sum = (record.alert_sum + int.from_bytes(digest, "big")) % (1 << 256)
        name = f"{alert.flag}:{alert.op}"
        record.ops[name] = record.ops.get(name, 0) + 1
        self.alerts.append(alert)

    def settle(self, memory: Memory) -> None:
        """Bring a customer's tickets up to what is known of their alerts after an event or timer."""
        tickets, clock = memory.tickets, self._record.clock
        for episode in memory.episodes.active.values():
            ticket = tickets.open.get(episode.alert_id)
            if ticket is not None:
                ticket.show(episode.since, episode.until, episode.count, episode.severity, clock)
        for contact in memory.contacts.open.values():
            ticket = tickets.open.get(contact.alert_id)
            if ticket is not None:
                ticket.show(contact.first, contact.due, contact.count, SEVERITY, clock)
        tickets.forget_old(clock)

    def show(self, memory: Memory, lane: int) -> None:
        """Tell the board of a customer's alerts that changed in the batch."""
        for ticket in memory.tickets.take_dirty():
            self.alert_state[ticket.alert_id] = ticket.row(memory.customer_id, lane)
        self.let_go(memory)

    def inhibitors(self, flag: str) -> tuple[str, ...]:
        """Flags that keep messages about this one from people."""
        rule = self._by_name.get(flag)
        return () if rule is None else rule.inhibited_by

    def let_go(self, memory: Memory) -> None:
        """Take off the board the alerts that memory holds no longer."""
        for alert_id in memory.tickets.gone:
            self.alert_state[alert_id] = None
        memory.tickets.gone.clear()


def _rank(rule: Rule | None, severity: str) -> int:
    """How bad a severity is among those of its rule; tiers are listed from the least severe."""
    if not isinstance(rule, CountRule):
        return 0
    return next((i for i, tier in enumerate(rule.tiers) if tier.severity == severity), 0)


def _scores(memory: Memory) -> dict[str, float]:
    if memory.churn is None or memory.engagement is None:
        return {}
    return {"churn": memory.churn, "engagement": memory.engagement}


def _reasons(memory: Memory) -> list[dict[str, Any]]:
    return [{"score": "churn", "code": code, "weight": weight} for code, weight in memory.reasons]
