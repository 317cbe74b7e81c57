"""What consumers hear when an event comes out of order, within lateness."""

from __future__ import annotations

from engine.alert import Alert
from engine.event import Event
from engine.lane import Lane
from engine.rules import RuleSet
from engine.settings import ResultSettings

HOUR = 3_600_000
DAY = 24 * HOUR
T = 1_700_000_000_000


def run(events: list[Event]) -> tuple[Lane, list[Alert]]:
    lane = Lane(0, ResultSettings(lanes=1), RuleSet.default())
    alerts: list[Alert] = []
    for item in enumerate(events):
        lane.admit(dict.fromkeys(lane.wanted([item])))
        alerts += lane.apply([item]).alerts
    return lane, [a for a in alerts if a.flag == "repeat_request"]


def request(event_id: str, ts: int) -> Event:
    return Event(event_id, "c", ts, "request", category="a")


def view(event_id: str, ts: int, customer: str = "c") -> Event:
    return Event(event_id, customer, ts, "view")


def test_an_episode_that_is_over_before_the_lane_clock_sends_nothing_and_is_counted() -> None:
    lane, alerts = run([request("a", T), view("v", T + DAY + HOUR // 2), request("b", T + DAY)])
    assert alerts == []
    assert lane.record.tallies["episodes_over"] == 1


def test_an_event_before_a_cleared_end_raises_again_with_the_same_alert_id_and_since() -> None:
    events = [request("a", T), request("b", T + HOUR), view("v", T + DAY + HOUR // 2, "other")]
    lane, alerts = run([*events, request("late", T + DAY - HOUR // 4)])
    assert [(a.op, a.since) for a in alerts] == [("raise", T + HOUR), ("clear", T + HOUR), ("raise", T + HOUR)]
    assert len({a.alert_id for a in alerts}) == 1
    # In order it would never have been down: three in seven days now.
    assert alerts[-1].severity == "repeat"
    assert alerts[-1].until == T + 7 * DAY
    assert "episodes_over" not in lane.record.tallies


def test_an_episode_keeps_its_alert_id_when_a_correction_changes_what_raised_it() -> None:
    base = [request("a", T), request("b", T + HOUR)]
    lane, alerts = run([*base, request("early", T + HOUR // 2)])
    (raised, updated) = alerts
    assert (raised.op, updated.op) == ("raise", "update")
    assert raised.alert_id == updated.alert_id
    assert (raised.since, updated.since) == (T + HOUR, T + HOUR // 2)
    assert updated.evidence == ["a", "early", "b"]
    assert lane.clock == T + HOUR
