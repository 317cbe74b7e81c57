"""A composite of all flags is up while each of them is."""

from __future__ import annotations

import pytest

from engine.errors import RulesError
from engine.event import Event
from engine.lane import Lane
from engine.rules import RuleSet
from engine.settings import ResultSettings

HOUR = 3_600_000
TEXT = """
version = 1
[flags.asks]
shape = "count"
kinds = ["request"]
level = "leaf"
threshold = 2
window = "10h"
[flags.complains]
shape = "count"
kinds = ["complaint"]
level = "leaf"
threshold = 1
window = "4h"
[flags.both]
shape = "composite"
all = ["asks", "complains"]
severity = "high"
"""


def told(events: list[Event]) -> list[tuple[str, int, int, int | None, list[str]]]:
    lane = Lane(0, ResultSettings(lanes=1), RuleSet.parse(TEXT))
    batch = list(enumerate(events))
    lane.admit(dict.fromkeys(lane.wanted(batch)))
    alerts = lane.apply(batch).alerts
    return [(a.op, a.at, a.since, a.until, a.evidence) for a in alerts if a.flag == "both"]


def at(hour: int, kind: str, category: str = "a") -> Event:
    return Event(f"{kind}-{hour}", "c", hour * HOUR, kind, category=category)


def test_it_comes_with_the_last_of_them_and_goes_with_the_first() -> None:
    events = [at(1, "request"), at(2, "request"), at(3, "complaint", "b"), at(20, "request")]
    since, until = 3 * HOUR, 7 * HOUR
    evidence = ["request-1", "request-2", "complaint-3"]
    assert told(events) == [("raise", since, since, until, evidence), ("clear", until, since, until, evidence)]


def test_one_of_them_alone_raises_nothing() -> None:
    assert told([at(1, "request"), at(2, "request"), at(30, "complaint"), at(40, "complaint")]) == []


@pytest.mark.parametrize("change", ['any = ["asks"]', 'hold = "1h"'])
def test_any_or_hold_beside_all_is_refused(change: str) -> None:
    with pytest.raises(RulesError, match="either any with hold, or all"):
        RuleSet.parse(TEXT + change + "\n")
