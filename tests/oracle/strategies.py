"""Logs that hurt: times on the edges of windows, equal times, twins, repeats, cases on one side only, disorder.

Every log is a list of event dicts of the contract. `logs()` gives one in order of (ts, id) but for its repeats, with a
tick for each lane at its end; `shuffle_within` gives another arrival order in which nothing becomes late.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import DrawFn, SearchStrategy

from tests.oracle.rules import DAY, HOUR

Event = dict[str, Any]

START = 1_700_000_000_000
CUSTOMERS = ("anna", "bo", "客户")
CATEGORIES = ("a", "a/x", "a/y", "b", "*")
CASES = (None, None, "k1", "k2")
CAMPAIGNS = (None, None, "m1", "m2")
WINDOWS = (HOUR, 24 * HOUR, 72 * HOUR, 7 * DAY, 14 * DAY, 30 * DAY)

EDGES = tuple(window + by for window in WINDOWS for by in (-1, 0, 1))
"""Gaps that end just inside, on and just outside a window, ms."""

OWN = ("request", "complaint", "feedback", "suggestion")
KINDS = (
    *("request", "request", "request", "complaint", "complaint", "complaint", "feedback", "feedback"),
    *("handling", "resolved", "resolved", "outreach", "promotion", "promotion", "signup"),
    *("suggestion", "session", "view", "purchase"),
)

THEMES: tuple[Sequence[str], ...] = (
    KINDS,
    ("request",),
    ("complaint", "feedback", "complaint", "feedback", "resolved"),
    ("complaint", "handling", "resolved", "outreach"),
    ("resolved", "request", "complaint"),
    (*("promotion",) * 9, "purchase", "view", "outreach"),
    ("signup", "session", "view", "purchase"),
)
"""What a customer's events are mostly of; a theme brings the ends of one rule together."""


def gaps(reach: int = len(WINDOWS)) -> SearchStrategy[int]:
    """Distance of an event from an earlier one, ms: none, a few, or the edge of one of the `reach` shortest windows."""
    near = st.one_of(st.sampled_from((0, 1, 2)), st.integers(0, HOUR))
    edge = st.sampled_from(EDGES[: 3 * reach])
    two = st.builds(int.__add__, st.sampled_from(WINDOWS[:reach]), edge)
    return st.one_of(near, near, near, edge, edge, edge, two)


@st.composite
def facts(draw: DrawFn, kinds: Sequence[str] = KINDS) -> Event:
    """An event without id, customer and time."""
    kind = draw(st.sampled_from(kinds))
    event: Event = {"kind": kind}
    if kind in ("request", "complaint", "feedback", "resolved"):
        event["category"] = draw(st.sampled_from(CATEGORIES))
    elif kind != "promotion":
        event["category"] = draw(st.sampled_from((None, *CATEGORIES)))
    if kind in (*OWN, "handling", "resolved", "outreach"):
        event["case_id"] = draw(st.sampled_from(CASES))
    if kind == "feedback":
        event["score"] = draw(st.sampled_from((1, 2, 2, 2.5, 5)))
        event["sentiment"] = draw(st.sampled_from((None, None, -1.0, -0.6, -0.59)))
    if kind == "outreach":
        event["outcome"] = draw(st.sampled_from(("reached", "reached", "no_answer")))
    if kind == "handling":
        event["step"] = draw(st.sampled_from(("accepted", "transferred")))
    if kind in ("promotion", "session", "view", "purchase", "outreach", "request"):
        event["campaign_id"] = draw(st.sampled_from(CAMPAIGNS))
    return {name: value for name, value in event.items() if value is not None}


@st.composite
def histories(
    draw: DrawFn, customer_id: str, max_events: int, kinds: Sequence[str] | None = None, reach: int = len(WINDOWS)
) -> list[Event]:
    """Events of one customer in no order: each at an edge after some earlier one; some with a twin."""
    kinds = kinds or draw(st.sampled_from(THEMES))
    n = draw(st.integers(1, max_events))
    times = [START + draw(st.integers(0, 2))]
    while len(times) < n:
        # Mostly from one of the first, or all would drift apart.
        times.append(draw(st.sampled_from([*times[:4], *times])) + draw(gaps(reach)))
    # Ids in an order of their own, and as texts: "e10" comes before "e2".
    numbers = draw(st.permutations(range(1, n + 1)))
    events: list[Event] = []
    for ts, number in zip(times, numbers, strict=True):
        events.append({"event_id": f"e{number}", "customer_id": customer_id, "ts": ts, **draw(facts(kinds))})
    contacts = [event for event in events if event["kind"] in OWN]
    for event in contacts[: draw(st.integers(0, 3))]:
        event["contact_id"] = f"t-{event['event_id']}"
        # A twin may differ in category, case and even kind; it comes soon, so that memory of any size still holds it.
        twin = {**event, **draw(facts((event["kind"], event["kind"], *OWN)))}
        twin["ts"] = event["ts"] + draw(st.sampled_from((0, 0, 1, HOUR - 1, HOUR)))
        twin["event_id"] = event["event_id"] + draw(st.sampled_from(("t", "-")))
        events.append(twin)
    return events


@st.composite
def logs(
    draw: DrawFn,
    *,
    max_events: int = 24,
    lanes: int = 1,
    kinds: Sequence[str] | None = None,
    customers: Sequence[str] = CUSTOMERS,
    duplicates: bool = True,
    ticks: bool = True,
    overrides: bool = False,
    retracts: bool = False,
) -> list[Event]:
    """A log of a few customers in order of (ts, id); only repeats, which are exact copies, come later.

    Parameters
    ----------
    max_events
        Most events of a customer, twins not counted.
    lanes
        Number of lanes; a tick goes to each.
    kinds
        Kinds to draw from, more often where repeated; without them each customer has a theme.
    customers
        Their ids; a log has one to all of them.
    duplicates, ticks
        Whether there are repeats, each within 20 arrivals of its original, and ticks at the end.
    overrides, retracts
        Whether people set or lift `sensitive`, and whether events are taken back (within the lateness of an hour).
    """
    events: list[Event] = []
    # A log of short windows only is a short log: what it raises is still up at its end.
    reach = draw(st.sampled_from((2, 3, len(WINDOWS), len(WINDOWS))))
    for customer_id in customers[: draw(st.sampled_from((1, 1, 2, len(customers))))]:
        own = draw(histories(customer_id, max_events, kinds, reach))
        if overrides:
            own += draw(spoken(customer_id, own))
        if retracts:
            own += draw(taken_back(customer_id, own))
        events += own
    log = sorted(events, key=lambda event: (event["ts"], event["event_id"]))
    if duplicates:
        for _ in range(draw(st.integers(0, 3))):
            at = draw(st.integers(0, len(log) - 1))
            log.insert(draw(st.integers(at + 1, min(len(log), at + 20))), dict(log[at]))
    if ticks:
        last = max(event["ts"] for event in log)
        for lane in range(lanes):
            ts = last + draw(st.one_of(st.sampled_from((0, 1, HOUR)), st.sampled_from(EDGES[: 3 * reach])))
            log.append({"event_id": f"tick-{lane}-{ts}", "kind": "tick", "lane": lane, "lanes": lanes, "ts": ts})
    return log


@st.composite
def spoken(draw: DrawFn, customer_id: str, events: Sequence[Event]) -> list[Event]:
    """Overrides of `sensitive`, some with an end."""
    said: list[Event] = []
    for number in range(draw(st.integers(0, 3))):
        ts = draw(st.sampled_from([event["ts"] for event in events])) + draw(st.sampled_from((0, 1, HOUR)))
        event: Event = {"event_id": f"o{number}", "customer_id": customer_id, "ts": ts, "kind": "override"}
        event |= {"flag": "sensitive", "state": draw(st.sampled_from(("up", "down", "auto"))), "by": "a person"}
        if draw(st.booleans()):
            event["until"] = ts + draw(st.sampled_from(EDGES))
        said.append(event)
    return said


@st.composite
def taken_back(draw: DrawFn, customer_id: str, events: Sequence[Event]) -> list[Event]:
    """Retractions, within the lateness, of traces of the customer."""
    backs: list[Event] = []
    for number in range(draw(st.integers(0, 2))):
        meant = draw(st.sampled_from([event for event in events if event["kind"] != "override"]))
        ts = meant["ts"] + draw(st.sampled_from((1, HOUR)))
        back: Event = {"event_id": f"z{number}", "customer_id": customer_id, "ts": ts, "kind": "retract"}
        backs.append({**back, "ref": meant["event_id"]})
    return backs


@st.composite
def shuffle_within(draw: DrawFn, log: Sequence[Event], lateness: int = HOUR) -> list[Event]:
    """The same events in another order of arrival, none of them late, in any number of lanes.

    Each event is held back by up to `lateness` ms: whatever overtakes it is then at most that much younger. Repeats are
    exact copies, so it does not matter which of them arrives first. A retraction stays behind what it takes back.
    """
    delays = st.one_of(st.sampled_from((0, lateness)), st.integers(0, lateness))
    arrivals = [event["ts"] + draw(delays) for event in log]
    if draw(st.booleans()):
        # At equal arrival the order is free too: the log's, or backwards.
        order = sorted(range(len(log)), key=lambda i: (arrivals[i], -i))
    else:
        order = sorted(range(len(log)), key=lambda i: (arrivals[i], i))
    shuffled = [log[i] for i in order]
    for event in [event for event in shuffled if event["kind"] == "retract"]:
        at = next(i for i, other in enumerate(shuffled) if other is event)
        meant = [
            i
            for i, other in enumerate(shuffled)
            if other.get("event_id") == event["ref"] and other.get("customer_id") == event["customer_id"]
        ]
        if meant and min(meant) > at:
            shuffled.insert(min(meant) + 1, event)
            del shuffled[at]
    return shuffled


@st.composite
def disordered(draw: DrawFn, log: Sequence[Event], lateness: int = HOUR) -> list[Event]:
    """Any disorder: some events also arrive so late that they are refused (which, the intake must say)."""
    arrivals = [event["ts"] + draw(st.one_of(st.integers(0, lateness), st.sampled_from(EDGES))) for event in log]
    return [log[i] for i in sorted(range(len(log)), key=lambda i: (arrivals[i], i))]
