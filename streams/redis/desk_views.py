"""What the board says of alerts, rules, delivery, services and models, as values, and how each is read."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from engine.errors import CorruptState
from streams.redis.keys import decode_id

__all__ = [
    "INCIDENT_FLAG",
    "WAITING_MS",
    "AlertState",
    "DeliveryView",
    "FactView",
    "GuidanceView",
    "ModelView",
    "QueueRow",
    "QueueView",
    "RuleView",
    "ServiceView",
    "model_view",
    "queue_row",
    "read_alert_state",
    "read_delivery",
    "read_fact",
    "read_guidance",
    "read_rule",
    "service_view",
    "wilson",
]

INCIDENT_FLAG = "service_incident"
"""Of the alert about a service, which stands before the single customers' that it explains."""

WAITING_MS = 4 * 3_600_000
"""Each time that an alert waits this long lifts it by one priority, to 2 at most, unless `meta` says otherwise."""

_Z = 1.959963984540054
"""97.5 % quantile of the standard normal distribution: an interval of 95 %."""

_COUNTS = ("raised", "delivered", "held", "acked", "snoozed", "useful", "not_useful")


@dataclass(frozen=True, slots=True)
class AlertState:
    """State of an alert, with what people said of it; fields as in `alert:<alert_id>`, `None` is unknown or not so.

    Parameters
    ----------
    alert_id
        The episode, 16 hex digits.
    customer_id, flag, category
        Whose, what, about which service (or `None`).
    since, until, closed_at
        Event times, ms: when it began; ends if nothing happens (`None`: no scheduled end); was cleared (`None`: open).
    count, severity
        See `engine.alert.Alert`.
    updated_at
        Lane clock of the last change, ms.
    lane
        The lane.
    priority
        1 (look at it first) to 5, before waiting.
    route
        To whom; empty when nobody is known.
    held
        Empty: people were shown it; else why not.
    guidance
        Id of a text of `RiskBoard.guidance`, or empty.
    acked_by, acked_at
        Who acknowledged it and when, ms.
    snoozed_until, snoozed_by, snoozed_at, snooze_reason
        The snooze; in force while the lane's watermark is not past `snoozed_until` (`QueueRow.snoozed`).
    outcome, outcome_by, outcome_at
        `useful` or `not_useful`, who said so, when.
    """

    alert_id: str
    customer_id: str
    flag: str
    category: str | None
    since: int
    until: int | None
    count: int
    severity: str
    updated_at: int | None
    lane: int | None
    priority: int | None
    route: str
    held: str
    guidance: str
    closed_at: int | None
    acked_by: str | None
    acked_at: int | None
    snoozed_until: int | None
    snoozed_by: str | None
    snoozed_at: int | None
    snooze_reason: str | None
    outcome: str | None
    outcome_by: str | None
    outcome_at: int | None

    @property
    def is_open(self) -> bool:
        """Whether it was not cleared yet."""
        return self.closed_at is None

    @property
    def acked(self) -> bool:
        """Whether somebody acknowledged it."""
        return self.acked_at is not None or self.acked_by is not None

    def snoozed(self, watermark: int | None) -> bool:
        """Whether a snooze is in force at a watermark of its lane; without one, any snooze is."""
        return self.snoozed_until is not None and (watermark is None or watermark <= self.snoozed_until)


@dataclass(frozen=True, slots=True)
class QueueRow:
    """An alert in the queue.

    Parameters
    ----------
    alert
        Its state.
    lifted
        Its priority after waiting, 1 to 5.
    waited_ms
        Since its `since`; 0 for one that is acknowledged or snoozed, which does not wait.
    standing
        `incident`, `waiting`, `acked` or `snoozed`: the part of the queue, in this order.
    """

    alert: AlertState
    lifted: int
    waited_ms: int
    standing: str


@dataclass(frozen=True, slots=True)
class QueueView:
    """The first rows of a queue, in order.

    Parameters
    ----------
    rows
        As many as were asked for.
    total
        How many there are that match.
    routes, flags
        Routes and flags of all in the queue, matching or not, with how many they are; sorted.
    """

    rows: list[QueueRow]
    total: int
    routes: dict[str, int]
    flags: dict[str, int]


@dataclass(frozen=True, slots=True)
class GuidanceView:
    """What to say and what not to: language (`en`, `zh`) -> text."""

    say: dict[str, str]
    avoid: dict[str, str]


@dataclass(frozen=True, slots=True)
class FactView:
    """One entry of the stream of facts: what somebody said of an alert; (`lane`, `seq`) is its identity.

    Parameters
    ----------
    fact
        `ack`, `snooze` or `outcome`.
    state
        `up`: it holds; `down`: it was taken back.
    at
        Time of the word, ms.
    until, reason
        Of a snooze.
    outcome
        `useful` or `not_useful`.
    """

    stream_id: str
    alert_id: str
    customer_id: str
    lane: int
    seq: int
    fact: str
    state: str
    at: int
    by: str
    until: int | None
    reason: str | None
    outcome: str | None


@dataclass(frozen=True, slots=True)
class RuleView:
    """How the alerts of a rule fare, summed over the lanes.

    Parameters
    ----------
    precision
        useful / (useful + not_useful), 0 to 1; `None` when nobody said anything.
    interval
        Wilson's interval of 95 % of the precision; `None` likewise.
    """

    flag: str
    raised: int
    delivered: int
    held: int
    acked: int
    snoozed: int
    useful: int
    not_useful: int
    precision: float | None
    interval: tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class DeliveryView:
    """What became of the messages of one window of lane clock.

    Parameters
    ----------
    start
        Its first ms.
    delivered
        How many people were shown.
    held
        Why not -> how many.
    by_flag
        Flag -> (delivered, held).
    counts
        (lane, reason, flag, route) -> how many, as they are.
    """

    start: int
    delivered: int
    held: dict[str, int]
    by_flag: dict[str, tuple[int, int]]
    counts: dict[tuple[int, str, str, str], int]


@dataclass(frozen=True, slots=True)
class ServiceView:
    """Scorecard of a service, as it is in Redis."""

    dimension: str
    value: str
    fields: dict[str, str]


@dataclass(frozen=True, slots=True)
class ModelView:
    """How good a model is: lane -> figure -> value, as it is in Redis."""

    name: str
    lanes: dict[int, dict[str, str]]


def read_alert_state(key: str, alert_id: str, fields: Mapping[str, str]) -> AlertState:
    """The state of an alert from the fields of its hash.

    Raises
    ------
    CorruptState
        If a field that every alert has is missing, or a number is none.

    Examples
    --------
    >>> fields = {"customer_id": "c1", "flag": "unresolved", "since": "5", "count": "1", "severity": "medium"}
    >>> state = read_alert_state("risk:alert:00", "00", fields | {"priority": "2", "snoozed_until": "9"})
    >>> state.priority, state.is_open, state.acked, state.snoozed(9), state.snoozed(10)
    (2, True, False, True, False)
    """
    try:
        return AlertState(
            alert_id=alert_id,
            customer_id=fields["customer_id"],
            flag=fields["flag"],
            category=fields.get("category"),
            since=int(fields["since"]),
            until=_whole(fields, "until"),
            count=int(fields["count"]),
            severity=fields["severity"],
            updated_at=_whole(fields, "updated_at"),
            lane=_whole(fields, "lane"),
            priority=_whole(fields, "priority"),
            route=fields.get("route", ""),
            held=fields.get("held", ""),
            guidance=fields.get("guidance", ""),
            closed_at=_whole(fields, "closed_at"),
            acked_by=fields.get("acked_by"),
            acked_at=_whole(fields, "acked_at"),
            snoozed_until=_whole(fields, "snoozed_until"),
            snoozed_by=fields.get("snoozed_by"),
            snoozed_at=_whole(fields, "snoozed_at"),
            snooze_reason=fields.get("snooze_reason"),
            outcome=fields.get("outcome"),
            outcome_by=fields.get("outcome_by"),
            outcome_at=_whole(fields, "outcome_at"),
        )
    except (KeyError, ValueError) as error:
        raise CorruptState(
            f"{key}: expected the state of an alert, got {type(error).__name__}: {error}; run `henji verify`"
        ) from error


def queue_row(alert: AlertState, now_ms: int, watermark: int | None, waiting_ms: int = WAITING_MS) -> QueueRow:
    """An alert as it stands in the queue.

    Parameters
    ----------
    alert
        Its state.
    now_ms
        Until when it waits, ms.
    watermark
        Of its lane, ms; says whether a snooze is in force.
    waiting_ms
        What lifts by one priority, ms.

    Examples
    --------
    >>> fields = {"customer_id": "c1", "flag": "unresolved", "since": "0", "count": "1", "severity": "medium"}
    >>> state = read_alert_state("risk:alert:00", "00", fields | {"priority": "3"})
    >>> [queue_row(state, hours * 3_600_000, None).lifted for hours in (3, 4, 8, 400)]
    [3, 2, 2, 2]
    """
    priority = 5 if alert.priority is None else alert.priority
    at_rest = "snoozed" if alert.snoozed(watermark) else "acked" if alert.acked else ""
    waited = 0 if at_rest else max(0, now_ms - alert.since)
    standing = "incident" if alert.flag == INCIDENT_FLAG else at_rest or "waiting"
    # What has waited for weeks must not stand before a sensitive customer who is on the line now.
    lifted = max(min(2, priority), priority - waited // waiting_ms)
    return QueueRow(alert, lifted, waited, standing)


def read_fact(key: str, stream_id: str, fields: Mapping[bytes, bytes]) -> FactView:
    """A fact from its stream entry.

    Raises
    ------
    CorruptState
        If a field is missing or not of the contract's form.
    """
    try:
        text = {name.decode(): value.decode() for name, value in fields.items()}
        return FactView(
            stream_id=stream_id,
            alert_id=text["alert_id"],
            customer_id=text["customer_id"],
            lane=int(text["lane"]),
            seq=int(text["seq"]),
            fact=text["fact"],
            state=text["state"],
            at=int(text["at"]),
            by=text["by"],
            until=_whole(text, "until"),
            reason=text.get("reason"),
            outcome=text.get("outcome") or None,
        )
    except (KeyError, ValueError) as error:
        raise CorruptState(
            f"{key}: expected a fact at {stream_id}, got {type(error).__name__}: {error}; run `henji verify`"
        ) from error


def read_guidance(key: str, name: str, text: str) -> GuidanceView:
    """A text of guidance from its field.

    Raises
    ------
    CorruptState
        If it is not of the contract's form.

    Examples
    --------
    >>> read_guidance("risk:guidance", "a", '{"say": {"en": "Hello"}, "avoid": {}}').say
    {'en': 'Hello'}
    """
    try:
        told = orjson.loads(text)
        return GuidanceView(_texts(told.get("say")), _texts(told.get("avoid")))
    except (ValueError, AttributeError) as error:
        raise CorruptState(
            f"{key}: expected say and avoid by language in {name}, got {text[:80]!r}; run `henji verify`"
        ) from error


def read_rule(key: str, flag: str, fields: Mapping[str, str]) -> RuleView:
    """How a rule fares, from the fields of its hash.

    Raises
    ------
    CorruptState
        If a number is none.

    Examples
    --------
    >>> fields = {"useful:0": "3", "useful:1": "5", "not_useful:1": "2"}
    >>> read_rule("risk:rule:unresolved", "unresolved", fields).precision
    0.8
    """
    sums = dict.fromkeys(_COUNTS, 0)
    for name, text in fields.items():
        figure = name.partition(":")[0]
        if figure in sums:
            sums[figure] += _count(key, name, text)
    judged = sums["useful"] + sums["not_useful"]
    return RuleView(
        flag,
        **sums,
        precision=sums["useful"] / judged if judged else None,
        interval=wilson(sums["useful"], judged) if judged else None,
    )


def wilson(successes: int, n: int) -> tuple[float, float]:
    """Wilson's interval of 95 % of a share; `n` >= 1.

    Examples
    --------
    >>> low, high = wilson(8, 10)
    >>> round(low, 4), round(high, 4)
    (0.4902, 0.9433)

    References
    ----------
    Wilson, E. B. (1927), Probable inference, the law of succession, and statistical inference, JASA 22, eq. 5.
    """
    share, z2 = successes / n, _Z * _Z
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = _Z / (1 + z2 / n) * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    # At the ends rounding would leave a trace outside of [0, 1], or inside of it.
    return 0.0 if successes == 0 else middle - half, 1.0 if successes == n else middle + half


def read_delivery(key: str, start: int, fields: Mapping[str, str]) -> DeliveryView:
    """A window of delivery from the fields of its hash.

    Raises
    ------
    CorruptState
        If a field is not of the contract's form.

    Examples
    --------
    >>> view = read_delivery("risk:delivery:0", 0, {
    ...     "0|delivered|unresolved|team:a": "2", "1|cap:team|unresolved|team:a": "3", "1|snoozed|churn_risk|": "1"})
    >>> view.delivered, view.held, view.by_flag
    (2, {'cap:team': 3, 'snoozed': 1}, {'churn_risk': (0, 1), 'unresolved': (2, 3)})
    """
    delivered, held, by_flag = 0, dict[str, int](), dict[str, tuple[int, int]]()
    counts: dict[tuple[int, str, str, str], int] = {}
    for name, text in sorted(fields.items()):
        n = _count(key, name, text)
        try:
            # A route is whatever an event says: it may hold the separator, and is last.
            lane, reason, flag, route = name.split("|", 3)
            counts[int(lane), reason, flag, route] = n
        except ValueError as error:
            raise CorruptState(
                f"{key}: expected lane|reason|flag|route, got {name[:80]!r}; run `henji verify`"
            ) from error
        shown, kept = by_flag.get(flag, (0, 0))
        if reason == "delivered":
            delivered += n
            by_flag[flag] = (shown + n, kept)
        else:
            held[reason] = held.get(reason, 0) + n
            by_flag[flag] = (shown, kept + n)
    return DeliveryView(start, delivered, dict(sorted(held.items())), dict(sorted(by_flag.items())), counts)


def service_view(key: str, rest: str, fields: dict[str, str]) -> ServiceView:
    """A scorecard; `rest` is `<dimension>:<value>` of its key.

    Raises
    ------
    CorruptState
        If the name of the key is not of the contract's form.
    """
    dimension, _, value = rest.partition(":")
    try:
        return ServiceView(decode_id(dimension), decode_id(value), fields)
    except ValueError as error:
        raise CorruptState(f"{key}: expected service:<dimension>:<value>, got {error}; run `henji verify`") from error


def model_view(name: str, fields: Mapping[str, str]) -> ModelView:
    """A model; `fields` are `<figure>:<lane>`."""
    lanes: dict[int, dict[str, str]] = {}
    for field, text in fields.items():
        figure, _, lane = field.rpartition(":")
        if figure and lane.isdecimal():
            lanes.setdefault(int(lane), {})[figure] = text
    return ModelView(name, dict(sorted(lanes.items())))


def _texts(said: Any) -> dict[str, str]:
    return {str(lang): str(text) for lang, text in (said or {}).items()}


def _whole(fields: Mapping[str, str], name: str) -> int | None:
    text = fields.get(name)
    return None if text is None or text == "" else int(text)


def _count(key: str, name: str, text: str) -> int:
    try:
        return int(text)
    except ValueError as error:
        raise CorruptState(f"{key}: expected a number in {name}, got {text[:80]!r}; run `henji verify`") from error
