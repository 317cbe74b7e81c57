"""Which events of a log are applied: the checks dead, duplicate, late, in that order, and the clocks of the lanes.

Everything is a plain walk over the log in order of arrival. Checks of single fields go as far as the tests of flags
need them (a kind that nobody knows, a missing category); the full list of bad inputs has tests of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

CONTACTS = ("request", "complaint", "suggestion", "feedback")
OUR_SIDE = ("handling", "resolved", "outreach", "promotion")
ENGAGEMENT = ("session", "view", "interact", "purchase", "received")
LIFE = ("signup", "profile", "contract", "payment", "cancel")
CONTROL = ("link", "erase", "override", "ack", "snooze", "retract", "rules", "tick", "model", "merge")
KINDS = frozenset(CONTACTS + OUR_SIDE + ENGAGEMENT + LIFE + CONTROL)
NEED_CATEGORY = frozenset({"request", "complaint", "feedback", "resolved"})
# These change state in ways that no rule of this oracle knows: a log that has them would be answered wrongly.
BEYOND = frozenset({"link", "erase", "rules", "model", "merge"})

FIRST_TS = 0  # 1970-01-01
LAST_TS = 4_133_980_799_999  # the last ms of 2100
AHEAD_MS = 300_000  # an event may be 5 min ahead of its record


@dataclass(frozen=True, slots=True)
class Trace:
    """One applied event, with what the rules ask for; `None` where the event has no such field."""

    ts: int
    event_id: str
    kind: str
    category: str | None = None
    case_id: str | None = None
    contact_id: str | None = None
    campaign_id: str | None = None
    score: float | None = None
    sentiment: float | None = None
    outcome: str | None = None
    ref: str | None = None
    flag: str | None = None
    state: str | None = None
    until: int | None = None

    @property
    def order(self) -> tuple[int, str]:
        """Position among the customer's events."""
        return (self.ts, self.event_id)


@dataclass(slots=True)
class Intake:
    """What became of a log.

    Parameters
    ----------
    traces
        Customer -> applied events by (ts, id), without those that a `retract` took out.
    clocks
        Lane -> clock in ms; a lane that applied nothing is missing.
    counts
        `read`, `applied`, `duplicate`, `late`, `dead`; the first is the sum of the others.
    fates
        One word for each event of the log, in order.
    """

    lanes: int
    traces: dict[str, list[Trace]] = field(default_factory=dict)
    clocks: dict[int, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    fates: list[str] = field(default_factory=list)


def murmur2(data: bytes) -> int:
    """MurmurHash2 with Kafka's seed, as an unsigned 32-bit number.

    References
    ----------
    Austin Appleby's public domain MurmurHash2; seed and word order as in Apache Kafka's `Utils.murmur2`.

    Examples
    --------
    >>> murmur2(b"21") - 2**32
    -973932308
    """
    mask = 0xFFFFFFFF
    m = 0x5BD1E995
    h = 0x9747B28C ^ len(data)
    whole = len(data) // 4 * 4
    for i in range(0, whole, 4):
        k = int.from_bytes(data[i : i + 4], "little")
        k = k * m & mask
        k ^= k >> 24
        k = k * m & mask
        h = (h * m & mask) ^ k
    rest = data[whole:]
    if rest:
        h ^= int.from_bytes(rest, "little")
        h = h * m & mask
    h ^= h >> 13
    h = h * m & mask
    return h ^ (h >> 15)


def lane_of(customer_id: str, lanes: int) -> int:
    """Lane of a customer; the sign bit is dropped as Kafka's partitioner does, so that partitions can divide lanes."""
    return (murmur2(customer_id.encode()) & 0x7FFFFFFF) % lanes


def instant(value: object) -> int | None:
    """Milliseconds of an RFC 3339 string with offset or of an integer; `None` when it is neither or out of range.

    Examples
    --------
    >>> instant("1970-01-01T01:00:00.5+01:00"), instant(7), instant(True), instant("1970-01-01T00:00:00")
    (500, 7, None, None)
    """
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        ms = value
    elif isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            return None
        if moment.tzinfo is None:
            return None
        gone = moment - datetime.fromisoformat("1970-01-01T00:00:00+00:00")
        ms = gone.days * 86_400_000 + gone.seconds * 1000 + gone.microseconds // 1000
    else:
        return None
    return ms if FIRST_TS <= ms <= LAST_TS else None


def _is_dead(event: Mapping[str, Any], lanes: int) -> bool:
    ts = instant(event.get("ts"))
    kind = event.get("kind")
    event_id = event.get("event_id")
    if ts is None or kind not in KINDS or not isinstance(event_id, str) or not 1 <= len(event_id) <= 128:
        return True
    record_ts = event.get("record_ts")
    if isinstance(record_ts, int) and ts > record_ts + AHEAD_MS:
        return True
    if kind == "tick":
        lane = event.get("lane")
        return not isinstance(lane, int) or event.get("lanes") != lanes or not 0 <= lane < lanes
    customer_id = event.get("customer_id")
    if not isinstance(customer_id, str) or not 1 <= len(customer_id) <= 128:
        return True
    category = event.get("category")
    if category is None:
        if kind in NEED_CATEGORY:
            return True
    elif not isinstance(category, str) or not 1 <= len(category) <= 64:
        return True
    score = event.get("score")
    if kind == "feedback" and score is None:
        return True
    return score is not None and not 1 <= score <= 5


def _trace(event: Mapping[str, Any]) -> Trace:
    ts = instant(event["ts"])
    if ts is None:
        raise ValueError(f"ts: expected an instant, got {event['ts']!r}; check for dead events first")
    named = (
        "category",
        "case_id",
        "contact_id",
        "campaign_id",
        "score",
        "sentiment",
        "outcome",
        "ref",
        "flag",
        "state",
    )
    facts = {name: event.get(name) for name in named}
    return Trace(ts=ts, event_id=event["event_id"], kind=event["kind"], until=instant(event.get("until")), **facts)


def take_in(
    events: Iterable[Mapping[str, Any]],
    *,
    lanes: int = 1,
    lateness_ms: int | None = 3_600_000,
    remembered: int | None = 32,
) -> Intake:
    """Walk the log in order of arrival.

    Parameters
    ----------
    events
        The log as dicts of the event contract.
    lanes
        Number of lanes, >= 1.
    lateness_ms
        How much older than the lane clock an applied event may be; `None`: as old as it likes.
    remembered
        An id repeats when it is among this many newest applied arrivals of the customer; `None`: among all.

    Raises
    ------
    ValueError
        The log holds a kind (`erase`, `link`, ...) whose effect this oracle does not know.
    """
    intake = Intake(lanes)
    arrivals: dict[str, list[Trace]] = {}
    gone: dict[str, set[int]] = {}
    for event in events:
        if _is_dead(event, lanes):
            intake.fates.append("dead")
            continue
        if event["kind"] in BEYOND:
            raise ValueError(f"kind: expected one that the oracle knows, got {event['kind']!r}; take it out of the log")
        trace = _trace(event)
        of_lane = trace.kind == "tick"
        lane = event["lane"] if of_lane else lane_of(event["customer_id"], lanes)
        if not of_lane:
            known = arrivals.setdefault(event["customer_id"], [])
            newest = known if remembered is None else known[max(0, len(known) - remembered) :]
            if any(earlier.event_id == trace.event_id for earlier in newest):
                intake.fates.append("duplicate")
                continue
        clock = intake.clocks.get(lane)
        if clock is not None and lateness_ms is not None and trace.ts < clock - lateness_ms:
            intake.fates.append("late")
            continue
        intake.fates.append("applied")
        intake.clocks[lane] = trace.ts if clock is None else max(clock, trace.ts)
        if not of_lane:
            if trace.kind == "retract":
                # By position: the same id, arriving anew when it is no longer remembered, is another event.
                meant = {i for i, earlier in enumerate(known) if earlier.event_id == trace.ref}
                gone.setdefault(event["customer_id"], set()).update(meant)
            known.append(trace)
    for customer_id, known in arrivals.items():
        if known:
            left = [trace for i, trace in enumerate(known) if i not in gone.get(customer_id, set())]
            intake.traces[customer_id] = sorted(left, key=lambda trace: trace.order)
    intake.counts = {fate: intake.fates.count(fate) for fate in ("applied", "duplicate", "late", "dead")}
    intake.counts["read"] = len(intake.fates)
    return intake
