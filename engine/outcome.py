"""What one batch did to a lane: the only thing that leaves the pure engine.

An `Outcome` is written by one transaction of the ledger: customer records, timers, the lane record, models, the board
and the alerts go out together or not at all. Everything here is plain data, already encoded where the encoding is part
of a contract.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.alert import Alert
from engine.desk.fact import Fact
from engine.event import Event
from engine.model_watch import DriftAlarm

__all__ = ["BoardRows", "CustomerChange", "Outcome", "Prediction"]


@dataclass(slots=True)
class BoardRows:
    """The board of one customer after a batch; a part that is `None` did not change.

    Parameters
    ----------
    customer
        The whole hash `customer:<id>`; every value is a string of at most 64 bytes.
    flags
        The whole hash `flags:<id>`: field `<flag>` or `<flag>/<category>` -> value. Empty: no flag is up.
    why
        The whole hash `why:<id>`: reasons per score, evidence per flag.
    profile
        The whole hash `profile:<id>`: descriptive facts.
    history
        The whole hash `history:<id>`: day (`YYYY-MM-DD`) -> scores of that day; at most 30 fields.
    timeline
        The whole list `timeline:<id>`, oldest first; at most 20 entries.
    index
        Leaderboard name -> score; `None` takes the customer off that leaderboard.
    queue
        Of every open alert: id, queue (`open` or `held`), place in it.
    """

    customer: dict[str, str]
    flags: dict[str, str] | None = None
    why: dict[str, str] | None = None
    profile: dict[str, str] | None = None
    history: dict[str, str] | None = None
    timeline: list[str] | None = None
    index: dict[str, float | None] | None = None
    queue: list[tuple[str, str, int]] = field(default_factory=list)


@dataclass(slots=True)
class CustomerChange:
    """One customer as a batch left them.

    Parameters
    ----------
    customer_id
        The id as the events carry it.
    record
        The encoded memory for the ledger; `None` when the customer was erased or retired: ledger and board forget them.
    due
        Event time in ms of the customer's next timer; `None` when nothing is scheduled.
    board
        What the board shows; `None` exactly when `record` is.
    """

    customer_id: str
    record: bytes | None
    due: int | None
    board: BoardRows | None


@dataclass(slots=True)
class Prediction:
    """One pair of scores as it was made, before anything later was learned.

    Parameters
    ----------
    customer_id, event_id
        Who, and the event that caused it (`None` for a silence landmark).
    at
        Event time of the landmark in ms.
    trigger
        `event` or `silence`.
    churn
        Probability of no own activity within the churn horizon, 0 to 1; high is risky.
    engagement
        Expected number of engagement events within the engagement horizon, >= 0.
    contact
        Probability of a contact within the contact horizon, 0 to 1.
    model
        Version of the models.
    index
        Position in the batch of the record that caused it (order of output across lanes).
    """

    customer_id: str
    at: int
    trigger: str
    event_id: str | None
    churn: float
    engagement: float
    contact: float
    model: str
    index: int


@dataclass(slots=True)
class Outcome:
    """All that a batch changed in one lane.

    Parameters
    ----------
    lane
        Number of the lane.
    lane_record
        The lane's own state (clock, alert counter, sums, counts), encoded; every batch rewrites it.
    models
        Part of a model -> snapshot, `None` to delete it; only those that changed.
    model_rows
        Model name -> the whole hash `model:<name>` of this lane's metrics; only those that changed.
    customers
        What became of each customer that the batch touched, in order of first touch.
    alerts, predictions
        In the order in which they went out.
    alert_state
        Alert id -> the whole hash `alert:<alert_id>`, or `None` when memory has let go of it; only those that changed.
    facts
        What people said of alerts, in the order in which it was applied.
    deliveries
        First ms of a window of lane clock -> `<reason>|<flag>|<route>` -> messages so far; only those that changed.
    rule_counts
        Flag -> what -> how often so far; all counts of the rules of which one changed.
    service_rows
        Dimension and value -> `<YYYY-MM-DD>:<lane>` -> the whole field of `service:<dimension>:<value>`, `None` to
        remove it; only those that changed (`engine.service_counts`).
    late, dead
        Index in the batch and reason of the records that were not applied, for their topics or files.
    clock
        The lane clock after the batch, ms.
    drift
        Alarms for operators: what a model lives on has changed.
    outgoing
        Control events for other lanes, to be written into the log once the batch is durable; a replay of the log finds
        them there.
    """

    lane: int
    lane_record: bytes
    clock: int
    models: dict[str, bytes | None] = field(default_factory=dict)
    model_rows: dict[str, dict[str, str]] = field(default_factory=dict)
    customers: dict[str, CustomerChange] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    predictions: list[Prediction] = field(default_factory=list)
    alert_state: dict[str, dict[str, str] | None] = field(default_factory=dict)
    facts: list[Fact] = field(default_factory=list)
    deliveries: dict[int, dict[str, int]] = field(default_factory=dict)
    rule_counts: dict[str, dict[str, int]] = field(default_factory=dict)
    service_rows: dict[tuple[str, str], dict[str, str | None]] = field(default_factory=dict)
    late: list[int] = field(default_factory=list)
    dead: list[tuple[int, str]] = field(default_factory=list)
    drift: list[DriftAlarm] = field(default_factory=list)
    outgoing: list[Event] = field(default_factory=list)
