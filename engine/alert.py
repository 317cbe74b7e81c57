"""Alerts: what goes out when a flag is raised, updated or cleared, or a sensitive customer makes contact.

An alert line (`Alert.line`) is a public contract: one JSON object, keys in a fixed order, times in integer
milliseconds. Its bytes enter the digest of a run.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

__all__ = ["OPS", "Alert", "alert_id"]

OPS = ("raise", "update", "clear", "contact")
"""The operations of an alert; a consumer folds them by alert id."""


def alert_id(rule: str, customer_id: str, category: str | None, cause: str | int) -> str:
    """Identity of an episode: 16 hex digits that the same log always gives.

    Parameters
    ----------
    rule
        Name of the flag.
    customer_id
        Whom it concerns.
    category
        The category of the flag, `None` for a flag per customer.
    cause
        Id of the event that raised it, or the due time in ms of the timer that did.

    Examples
    --------
    >>> alert_id("repeat_request", "c1", "billing", "e3") == alert_id("repeat_request", "c1", "billing", "e3")
    True
    >>> len(alert_id("unresolved", "c1", "billing", 1_700_000_000_000))
    16
    """
    # Ids hold no control characters (docs/events.md), so NUL cannot make two different tuples equal.
    kind = "t" if isinstance(cause, int) else "e"
    text = "\0".join((rule, customer_id, "" if category is None else category, kind, str(cause)))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


@dataclass(slots=True)
class Alert:
    """One message of the alert stream.

    Parameters
    ----------
    alert_id, seq
        Identity of the episode and the lane's counter; together they identify the message.
    op
        One of `OPS`.
    flag, category, customer_id
        What, about which service (or `None`), and who.
    at
        Event time of the message in ms; for a clear by timer the flag's `until`.
    since, until
        The episode, ms; `until` is `None` when nothing is scheduled to end it.
    count
        Counted events, open cases or contacts behind it.
    severity
        The rule's own word for how bad it is.
    evidence
        Ids of a smallest set of events that by themselves give the same severity and `until`.
    scores, reasons
        The customer's scores and their reason codes at that moment.
    route
        To whom it goes: `agent:<id>`, `team:<name>`, ...; empty when nobody is known.
    scene
        The last traces of the same case or category, oldest first.
    rules, model
        Versions in force.
    held
        Why people are not shown it; empty: they are (`engine.desk`). No part of the line, as route and priority.
    guidance
        Id of a text that says what to say, or empty.
    index
        Position in the batch of the record that caused it (order of output across lanes); not part of the line.
    """

    alert_id: str
    seq: int
    op: str
    flag: str
    category: str | None
    customer_id: str
    at: int
    since: int
    until: int | None
    count: int
    severity: str
    priority: int
    evidence: list[str]
    scores: dict[str, float]
    reasons: list[dict[str, Any]]
    route: str
    scene: list[str]
    rules: str
    model: str
    index: int
    held: str = ""
    guidance: str = ""

    def line(self) -> bytes:
        """The alert as its public line, without the newline."""
        return orjson.dumps(
            {
                "alert_id": self.alert_id,
                "op": self.op,
                "flag": self.flag,
                "customer_id": self.customer_id,
                "category": self.category,
                "at": self.at,
                "since": self.since,
                "until": self.until,
                "count": self.count,
                "severity": self.severity,
                "evidence": self.evidence,
                "scores": self.scores,
                "reasons": self.reasons,
            }
        )
