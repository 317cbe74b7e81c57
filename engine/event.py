"""One trace of a customer, and the closed vocabulary of kinds.

`docs/events.md` is the contract of the wire format; an `Event` is what `engine.decode` makes of it. Whoever builds one
by hand (tests, the simulator) is trusted: nothing here checks a value.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

__all__ = [
    "ACTIVITY",
    "CATEGORY_REQUIRED",
    "CONTACT",
    "CONTRACT_STEPS",
    "CONTROL",
    "CONTROL_CUSTOMER",
    "CONTROL_LANE",
    "ENGAGEMENT",
    "HANDLING_STEPS",
    "JUDGEMENT",
    "JUDGEMENTS",
    "KINDS",
    "LIFE",
    "MAX_SNOOZE_MS",
    "OUR_SIDE",
    "OVERRIDE_STATES",
    "RECEIVED",
    "REF_REQUIRED",
    "TIMELESS",
    "UNKNOWN_CATEGORY",
    "WORDS",
    "WORD_STATES",
    "Event",
]

CONTACT = frozenset({"request", "complaint", "suggestion"})
"""The customer turns to us; a contact of a sensitive customer is an alert."""

JUDGEMENT = frozenset({"feedback"})
"""The customer rates us."""

OUR_SIDE = frozenset({"handling", "resolved", "outreach", "promotion"})
"""What we do for a customer; refreshes the board, never counts as the customer's own activity."""

ENGAGEMENT = frozenset({"session", "view", "interact", "purchase"})
"""The customer uses the service."""

RECEIVED = frozenset({"received"})
"""Somebody answered this customer's post: not their own activity, but what brings them back."""

LIFE = frozenset({"signup", "profile", "contract", "payment", "cancel"})
"""Where the customer stands with us."""

CONTROL_CUSTOMER = frozenset({"link", "erase", "override", "ack", "snooze", "retract"})
"""Orders about one customer."""

CONTROL_LANE = frozenset({"rules", "tick", "model", "merge"})
"""Orders to a lane: `lane` and `lanes` stand in the place of `customer_id`."""

TIMELESS = frozenset({"ack", "snooze", "model", "merge"})
"""Orders that say nothing about the time of their lane: never late, and its clock does not move. A lane that is being
filled with old events must neither miss a person's word nor take the rest of them for late."""

WORDS = frozenset({"ack", "snooze"})
"""What people say of an alert (`ref`)."""

JUDGEMENTS = ("useful", "not_useful")
"""What `outcome` of an `ack` may say."""

WORD_STATES = ("up", "down")
"""What `state` of an `ack` or `snooze` may say; `down` takes the word back."""

MAX_SNOOZE_MS = 180 * 86_400_000
"""Longest snooze: what may sleep for longer is no alert."""

CONTROL = CONTROL_CUSTOMER | CONTROL_LANE
"""Every order that may change state; never an activity of the customer."""

KINDS: dict[str, str] = {
    kind: role
    for role, kinds in (
        ("contact", ("request", "complaint", "suggestion")),
        ("judgement", ("feedback",)),
        ("our_side", ("handling", "resolved", "outreach", "promotion")),
        ("engagement", ("session", "view", "interact", "purchase")),
        ("received", ("received",)),
        ("life", ("signup", "profile", "contract", "payment", "cancel")),
        ("control_customer", ("link", "erase", "override", "ack", "snooze", "retract")),
        ("control_lane", ("rules", "tick", "model", "merge")),
    )
    for kind in kinds
}
"""Kind -> role, in the order in which the documentation lists them."""

ACTIVITY = CONTACT | JUDGEMENT | ENGAGEMENT | {"signup", "payment"}
"""Default of `churn.activity`, the customer's own doings; a `payment` counts only when its outcome is `ok`."""

CATEGORY_REQUIRED = frozenset({"request", "complaint", "feedback", "resolved"})
"""Kinds that say nothing without the service they are about."""

REF_REQUIRED = frozenset({"link", "ack", "snooze", "retract"})
"""Control kinds that point at something: another customer id, an alert id, an event id."""

HANDLING_STEPS = frozenset(
    {"accepted", "assigned", "transferred", "on_site", "waiting", "escalated", "reopened"},
)
"""What `step` of a `handling` may say."""

CONTRACT_STEPS = frozenset({"start", "due", "renewed", "lapsed"})
"""What `step` of a `contract` may say; `lapsed` is churn at once."""

OVERRIDE_STATES = frozenset({"up", "down", "auto"})
"""What `state` of an `override` may say; `auto` ends an override."""

UNKNOWN_CATEGORY = "*"
"""The category of an event about nobody knows which service; two of them are never the same service."""


@dataclass(slots=True)
class Event:
    """One trace: something a customer did, that was done for them, or an order to the engine.

    Wrong as a record of the raw bytes: unknown fields are gone, and so are fields of control events on other kinds.

    Parameters
    ----------
    event_id
        1 to 128 characters, unique per customer.
    customer_id
        Whom it is about; `None` exactly for the kinds of `CONTROL_LANE`.
    ts
        Event time, ms since the epoch, UTC.
    kind
        One of `KINDS`.
    category
        Path of the service, lower case; `*` when unknown.
    channel, touchpoint
        Where it happened, coarse and fine.
    case_id, contact_id
        The case it belongs to; the contact that two systems may have recorded.
    agent_id, team
        Who handles it.
    nature
        Of a request: `consult`, `fault`, `claim`, `report`, or the organisation's own word.
    score
        Rating, 1 (very dissatisfied) to 5 (very satisfied).
    sentiment
        -1 (bad) to 1 (good), from a classifier upstream.
    value
        Money in major units; negative is a refund.
    action, outcome, step
        What was done, how it ended, which step of a handling or contract.
    wait_s
        How long the customer waited, seconds >= 0.
    campaign_id, referred_by, account_id
        The campaign; who brought the customer; the household or company.
    ref, flag, state, until, reason, by, body
        Of control events: what they refer to, the flag, `up`/`down`/`auto`, an end in ms, why, who, the content.
    lane, lanes
        Of lane control: the lane and how many there are, 0 <= lane < lanes.
    attributes
        Of a `profile`: descriptive facts, at most 32.

    Examples
    --------
    >>> Event("e1", "c1", 1_700_000_000_000, "request", category="billing/invoice").category
    'billing/invoice'
    """

    event_id: str
    customer_id: str | None
    ts: int
    kind: str
    category: str | None = None
    channel: str | None = None
    touchpoint: str | None = None
    case_id: str | None = None
    contact_id: str | None = None
    agent_id: str | None = None
    team: str | None = None
    nature: str | None = None
    score: float | None = None
    sentiment: float | None = None
    value: float | None = None
    action: str | None = None
    outcome: str | None = None
    step: str | None = None
    wait_s: float | None = None
    campaign_id: str | None = None
    referred_by: str | None = None
    account_id: str | None = None
    ref: str | None = None
    flag: str | None = None
    state: str | None = None
    until: int | None = None
    reason: str | None = None
    by: str | None = None
    body: str | dict[str, Any] | None = None
    lane: int | None = None
    lanes: int | None = None
    attributes: dict[str, str | float | bool] | None = None
