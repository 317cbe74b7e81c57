"""What the board says, as values: one class per key, and how each is read from its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import orjson

from engine.errors import CorruptState

__all__ = [
    "AlertView",
    "CustomerView",
    "FlagView",
    "MetaView",
    "TimelineEntry",
    "WhyView",
    "read_alert",
    "read_customer",
    "read_flag",
    "read_meta",
]

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class CustomerView:
    """A customer at a glance; the fields are those of `customer:<id>`, and `None` is unknown.

    Parameters
    ----------
    customer_id
        The id as events carry it.
    churn
        Probability of no own activity within the churn horizon, 0 to 1; high is risky.
    engagement
        Expected number of engagement events within the engagement horizon, >= 0.
    contact
        Probability of a contact within the contact horizon, 0 to 1.
    churn_band, stage, segment, segments
        In words; `segments` are all of them.
    value
        Money, major units.
    flags_up
        How many flags are up.
    lane
        Number of the lane.
    as_of, next_change_at
        Event times, ms: of the last change, and of the next one if nothing happens.
    sensitive
        Whether the flag `sensitive` is up.
    rules, model
        Versions in force.
    silence_ratio
        Silence / own median gap.
    capped
        What memory had to let go.
    """

    customer_id: str
    churn: float | None
    engagement: float | None
    contact: float | None
    churn_band: str | None
    stage: str | None
    segment: str | None
    segments: tuple[str, ...] | None
    value: float | None
    flags_up: int | None
    lane: int | None
    as_of: int | None
    next_change_at: int | None
    sensitive: bool | None
    rules: str | None
    model: str | None
    silence_ratio: float | None
    capped: str | None


@dataclass(frozen=True, slots=True)
class FlagView:
    """A flag of a customer.

    Parameters
    ----------
    field
        Name of its field, also in `WhyView.evidence`.
    flag, category
        What, and about which service (or `None`); of a name that was cut, the category ends in `~` and a hash.
    since, until
        The episode, event times in ms; no scheduled end is `None`.
    count, severity, alert_id
        See `engine.alert.Alert`.
    up
        Whether it is up at the lane's watermark; `None` if that is unknown.
    """

    field: str
    flag: str
    category: str | None
    since: int
    until: int | None
    count: int
    severity: str
    alert_id: str
    up: bool | None


@dataclass(frozen=True, slots=True)
class WhyView:
    """Why a customer is where they are: reasons of both scores, and flag field -> ids of its evidence."""

    churn: list[dict[str, Any]] | None
    engagement: list[dict[str, Any]] | None
    evidence: dict[str, list[str]]


@dataclass(frozen=True, slots=True)
class TimelineEntry:
    """One trace of a customer's last; `at` is event time in ms."""

    at: int
    kind: str
    category: str | None
    channel: str | None
    case_id: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class AlertView:
    """One message of the alert stream; (`lane`, `alert_id`, `seq`) is its identity.

    Parameters
    ----------
    stream_id
        Where it stands in the stream.
    alert_id, seq, lane
        The episode, the lane's counter, the lane.
    priority
        1 (look at it first) to 5.
    route
        To whom; empty when nobody is known.
    scene
        The traces as they were written; `traces` has them read.
    line
        The public alert: `op`, `flag`, `customer_id` and so on.
    held
        Empty: for people; else why they are not shown it.
    guidance
        Id of a text of `RiskBoard.guidance`, or empty.
    """

    stream_id: str
    alert_id: str
    seq: int
    lane: int
    priority: int
    route: str
    scene: list[Any]
    line: dict[str, Any]
    held: str = ""
    guidance: str = ""

    @property
    def identity(self) -> tuple[int, str, int]:
        """What two messages have in common that are the same."""
        return self.lane, self.alert_id, self.seq

    @property
    def traces(self) -> list[TimelineEntry]:
        """The scene, oldest first.

        Raises
        ------
        CorruptState
            If a trace is not of the contract's form.
        """
        try:
            return [TimelineEntry(*(orjson.loads(each) if isinstance(each, str) else each)) for each in self.scene]
        except (TypeError, ValueError) as error:
            raise CorruptState(
                f"scene of {self.stream_id}: expected traces of 6 values, got {error}; run `henji verify`"
            ) from error


@dataclass(frozen=True, slots=True)
class MetaView:
    """Facts about the board.

    Parameters
    ----------
    contract, engine, rules, lanes
        Versions, and the number of lanes.
    watermarks
        Lane -> event time in ms up to which everything is applied; a lane without one never saw an event.
    lag
        Lane -> records not read yet, where the worker says so.
    inputs, inputs_at
        Lane -> `fresh`, `stale` or `unknown` as its worker said, and the wall clock at which it did, ms. Ask
        `RiskBoard.input_state`, which knows how long that holds.
    last_events_at
        Lane -> when the newest applied record that is no tick was appended to the log, ms.
    last_write
        Wall clock of the last transaction, ms.
    since
        From when on the board knows anything, if it did not begin at the beginning.
    last_alert
        Stream id of the newest alert: read it before the flags, and fold from there.
    """

    contract: int | None
    engine: str | None
    rules: str | None
    lanes: int | None
    watermarks: dict[int, int]
    lag: dict[int, int]
    inputs: dict[int, str]
    inputs_at: dict[int, int]
    last_events_at: dict[int, int]
    last_write: int | None
    since: str | None
    last_alert: str | None


def read_customer(key: str, customer_id: str, fields: Mapping[str, str]) -> CustomerView:
    """A customer from the fields of their hash.

    Raises
    ------
    CorruptState
        If a field is not of the contract's form.

    Examples
    --------
    >>> view = read_customer("risk:customer:c1", "c1", {"churn": "0.25", "sensitive": "0"})
    >>> view.churn, view.sensitive, view.lane
    (0.25, False, None)
    """

    def number(name: str, convert: Callable[[str], _Value]) -> _Value | None:
        return _number(key, fields, name, convert)

    segments, sensitive = fields.get("segments"), fields.get("sensitive")
    return CustomerView(
        customer_id=customer_id,
        churn=number("churn", float),
        engagement=number("engagement", float),
        contact=number("contact", float),
        churn_band=fields.get("churn_band"),
        stage=fields.get("stage"),
        segment=fields.get("segment"),
        segments=None if segments is None else tuple(part for part in segments.split(",") if part),
        value=number("value", float),
        flags_up=number("flags_up", int),
        lane=number("lane", int),
        as_of=number("as_of", int),
        next_change_at=number("next_change_at", int),
        sensitive=None if sensitive is None else sensitive == "1",
        rules=fields.get("rules"),
        model=fields.get("model"),
        silence_ratio=number("silence_ratio", float),
        capped=fields.get("capped"),
    )


def read_flag(key: str, field: str, value: str, watermark: int | None) -> FlagView:
    """A flag from its field; up unless the lane's watermark is past its end.

    Raises
    ------
    CorruptState
        If the value is not of the contract's form.

    Examples
    --------
    >>> read_flag("risk:flags:c1", "unresolved/billing", '[5, 9, 1, "medium", "00ff"]', watermark=9).up
    True
    """
    try:
        since, until, count, severity, alert_id = orjson.loads(value)
        up = None if watermark is None else until is None or watermark <= until
    except (ValueError, TypeError) as error:
        raise CorruptState(
            f"{key}: expected [since, until, count, severity, alert_id] in {field}, got {value[:80]!r}; "
            "run `henji verify`"
        ) from error
    flag, slash, category = field.partition("/")
    return FlagView(field, flag, category if slash else None, since, until, count, severity, alert_id, up)


def read_alert(key: str, stream_id: str, fields: Mapping[bytes, bytes]) -> AlertView:
    """An alert from its stream entry.

    Raises
    ------
    CorruptState
        If a field is missing or not of the contract's form.
    """
    try:
        return AlertView(
            stream_id=stream_id,
            alert_id=fields[b"alert_id"].decode(),
            seq=int(fields[b"seq"]),
            lane=int(fields[b"lane"]),
            priority=int(fields[b"priority"]),
            route=fields[b"route"].decode(),
            scene=orjson.loads(fields[b"scene"]),
            line=orjson.loads(fields[b"line"]),
            held=fields.get(b"held", b"").decode(),
            guidance=fields.get(b"guidance", b"").decode(),
        )
    except (KeyError, ValueError) as error:
        raise CorruptState(
            f"{key}: expected an alert at {stream_id}, got {type(error).__name__}: {error}; run `henji verify`"
        ) from error


def read_meta(key: str, fields: Mapping[str, str], last_alert: str | None) -> MetaView:
    """Facts about the board from the fields of `meta`.

    Raises
    ------
    CorruptState
        If a number is none.

    Examples
    --------
    >>> read_meta("risk:meta", {"contract": "1", "watermark:3": "77"}, None).watermarks
    {3: 77}
    """

    def lanes(prefix: str) -> dict[int, int]:
        numbers: dict[int, int] = {}
        for name in fields:
            head, _, lane = name.partition(":")
            value = _number(key, fields, name, int) if head == prefix and lane.isdecimal() else None
            if value is not None:
                numbers[int(lane)] = value
        return numbers

    return MetaView(
        contract=_number(key, fields, "contract", int),
        engine=fields.get("engine"),
        rules=fields.get("rules"),
        lanes=_number(key, fields, "lanes", int),
        watermarks=lanes("watermark"),
        lag=lanes("lag"),
        inputs={int(name[6:]): text for name, text in fields.items() if name[:6] == "input:" and name[6:].isdecimal()},
        inputs_at=lanes("input_at"),
        last_events_at=lanes("last_event_at"),
        last_write=_number(key, fields, "last_write", int),
        since=fields.get("since"),
        last_alert=last_alert,
    )


def _number(key: str, fields: Mapping[str, str], name: str, convert: Callable[[str], _Value]) -> _Value | None:
    text = fields.get(name)
    if text is None:
        return None
    try:
        return convert(text)
    except ValueError as error:
        raise CorruptState(f"{key}: expected a number in {name}, got {text[:80]!r}; run `henji verify`") from error
