"""Writes the messages of a lane: numbers them, sums their bytes for the digest, knows to whom they go."""

from __future__ import annotations

import hashlib
from typing import Any

from engine.alert import Alert
from engine.contacts import CONTACT_FLAG, SEVERITY, ContactAlert
from engine.episodes import Episode, FlagKey
from engine.event import Event
from engine.lane_record import LaneRecord
from engine.memory import Memory
from engine.rules import RuleSet

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

    Attributes
    ----------
    index
        Place in the batch of the record that is being applied.
    alerts
        Messages of the batch, in order.
    alert_state
        Alert id -> the hash of an open alert, `None` when it was closed.
    """

    def __init__(self, record: LaneRecord, rules: RuleSet, model: str) -> None:
        self._record = record
        self._rules = rules
        self.model = model
        self.begin()

    def begin(self) -> None:
        """Forget what belongs to one batch."""
        self.index = 0
        self.alerts: list[Alert] = []
        self.alert_state: dict[str, dict[str, str] | None] = {}

    def send(
        self, memory: Memory, op: str, key: FlagKey, episode: Episode, at: int, event: Event | None = None
    ) -> None:
        """A message about a flag, stamped `at` (ms); `event` is what caused it, if an event did."""
        flag, category = key
        priority = next((r.priority for r in self._rules.rules if r.name == flag), 3)
        case_id = event.case_id if event is not None else None
        alert = Alert(
            alert_id=episode.alert_id, seq=0, op=op, flag=flag, category=category,
            customer_id=memory.customer_id, at=at, since=episode.since, until=episode.until, count=episode.count,
            severity=episode.severity, priority=priority,
            evidence=list(episode.evidence), scores=_scores(memory), reasons=_reasons(memory),
            route=self.route(memory, event), scene=memory.timeline.scene(case_id, category),
            rules=self._rules.version, model=self.model, index=self.index,
        )  # fmt: skip
        self._emit(alert)

    def send_contact(self, memory: Memory, op: str, contact: ContactAlert, at: int) -> None:
        """A message about a contact of a sensitive customer, stamped `at` (ms)."""
        case_id = None
        alert = Alert(
            alert_id=contact.alert_id, seq=0, op=op, flag=CONTACT_FLAG, category=contact.category,
            customer_id=memory.customer_id, at=at, since=contact.first, until=contact.due, count=contact.count,
            severity=SEVERITY, priority=1, evidence=[contact.newest], scores=_scores(memory), reasons=_reasons(memory),
            route=contact.route, scene=memory.timeline.scene(case_id, contact.category), rules=self._rules.version,
            model=self.model, index=self.index,
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
        if alert.op == "clear":
            self.alert_state[alert.alert_id] = None
        else:
            self.alert_state[alert.alert_id] = {
                "customer_id": alert.customer_id,
                "flag": alert.flag,
                "since": str(alert.since),
                "count": str(alert.count),
                "severity": alert.severity,
                "updated_at": str(alert.at),
                "route": alert.route,
            }

    def route(self, memory: Memory, event: Event | None) -> str:
        """Whoever handles the contact, else the customer's owner; empty when nobody is known."""
        if event is not None:
            if event.agent_id is not None:
                return f"agent:{event.agent_id}"
            if event.team is not None:
                return f"team:{event.team}"
            if event.channel is not None:
                return f"queue:{event.channel}"
        owner = memory.attributes.get("owner")
        return f"owner:{owner}" if isinstance(owner, str) else ""


def _scores(memory: Memory) -> dict[str, float]:
    if memory.churn is None or memory.engagement is None:
        return {}
    return {"churn": memory.churn, "engagement": memory.engagement}


def _reasons(memory: Memory) -> list[dict[str, Any]]:
    return [{"score": "churn", "code": code, "weight": weight} for code, weight in memory.reasons]
