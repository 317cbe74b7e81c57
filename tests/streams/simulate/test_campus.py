from __future__ import annotations

from collections import Counter, defaultdict
from functools import cache
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.decode import decode
from streams.simulate import Campus, SimulationSettings, simulate
from streams.simulate.campus import sized

DAY_MS = 86_400_000
ENGAGEMENT = {"session", "view", "interact", "purchase"}
OWN = {"request", "complaint", "suggestion", "feedback", "signup"} | ENGAGEMENT

Event = dict[str, Any]
Row = dict[str, Any]


@cache
def default_run() -> tuple[list[Event], list[Row]]:
    campus = Campus(SimulationSettings(customers=400))
    events = list(campus.events())
    return events, list(campus.truth())


def customers() -> list[Row]:
    return [row for row in default_run()[1] if row["type"] == "customer"]


def own_times() -> dict[str, list[int]]:
    """Times of own activity per person, aliases counted for the person."""
    person: dict[str, str] = {row["alias"]: row["customer_id"] for row in customers() if row["alias"]}
    found: dict[str, list[int]] = defaultdict(list)
    for event in default_run()[0]:
        if event["kind"] in OWN or (event["kind"] == "payment" and event["outcome"] == "ok"):
            name: str = event["customer_id"]
            found[person.get(name, name)].append(event["ts"])
    return found


small = st.builds(
    SimulationSettings,
    customers=st.integers(1, 12),
    days=st.integers(1, 40),
    seed=st.integers(-(2**70), 2**70),
    incidents=st.integers(0, 6),
    leave_rate=st.sampled_from([0.0, 0.06, 0.9]),
    utc_offset_h=st.integers(-12, 14),
)


@settings(max_examples=80, deadline=None)
@given(small)
def test_any_log_is_ordered_unique_valid_and_within_its_days(chosen: SimulationSettings) -> None:
    events = list(simulate(chosen))
    times = [event["ts"] for event in events]
    assert times == sorted(times)
    assert all(type(ts) is int and chosen.start_ms <= ts < chosen.end_ms for ts in times)
    ids = [(event["customer_id"], event["event_id"]) for event in events]
    assert len(ids) == len(set(ids))
    for event in events:
        decode(orjson.dumps(event))


@settings(max_examples=10, deadline=None)
@given(small)
def test_same_seed_gives_the_same_events_and_truth(chosen: SimulationSettings) -> None:
    first, second = Campus(chosen), Campus(chosen)
    assert list(first.events()) == list(second.events())
    assert list(first.truth()) == list(second.truth())


def test_another_seed_gives_another_log() -> None:
    first, second = (list(simulate(SimulationSettings(customers=5, days=10, seed=seed))) for seed in (1, 2))
    assert first != second


def test_a_life_does_not_depend_on_how_many_others_there_are() -> None:
    few = list(simulate(SimulationSettings(customers=20, days=30)))
    many = simulate(SimulationSettings(customers=60, days=30))
    known = {f"{stem}{index:06d}" for index in range(20) for stem in "uw"}
    assert [event for event in many if event["customer_id"] in known] == few


def test_a_customer_is_one_row_of_the_truth() -> None:
    rows = customers()
    assert len({row["customer_id"] for row in rows}) == len(rows) == 400
    known = {row["customer_id"] for row in rows} | {row["alias"] for row in rows}
    assert {event["customer_id"] for event in default_run()[0]} <= known
    counts = Counter(event["customer_id"] for event in default_run()[0])
    for row in rows:
        assert row["events"] == counts[row["customer_id"]] + counts[row["alias"]]


def test_who_leaves_has_no_activity_of_their_own_after() -> None:
    own = own_times()
    leavers = [row for row in customers() if row["leaves"]]
    assert len(leavers) > 50
    for row in leavers:
        times = own[row["customer_id"]]
        before = [ts for ts in times if ts <= row["left_at"]]
        after = [ts for ts in times if ts > row["left_at"]]
        assert (max(before) if before else None) == row["last_activity_at"]
        if row["returned_at"] is None:
            assert after == []
        else:
            assert min(after) == row["returned_at"]


def test_who_stays_is_not_called_a_leaver_by_a_cancellation() -> None:
    left = {row["customer_id"]: row["left_at"] for row in customers() if row["how"] in ("cancel", "lapsed")}
    ends = {
        event["customer_id"]: event["ts"]
        for event in default_run()[0]
        if event["kind"] == "cancel" or event.get("step") == "lapsed"
    }
    assert ends == left


def test_people_leave_in_every_way() -> None:
    ways = Counter(row["how"] for row in customers())
    assert set(ways) == {None, "silent", "cancel", "lapsed", "graduated", "never_activated"}
    silent = [row for row in customers() if row["how"] == "silent"]
    assert {row["warned"] for row in silent} == {True, False}
    assert any(row["returned_at"] for row in silent)
    assert any(row["provoked_by"] for row in customers())


def test_graduates_leave_as_expected_around_their_day() -> None:
    profiles = {event["customer_id"]: event for event in default_run()[0] if event["kind"] == "profile"}
    graduated = [row for row in customers() if row["how"] == "graduated"]
    assert graduated
    for row in graduated:
        assert row["expected"]
        assert row["segment"] == "graduate"
        assert profiles[row["customer_id"]]["attributes"]["expected_end"] == row["expected_end"] == "2025-06-25"
    assert all(row["expected"] == (row["how"] == "graduated") for row in customers())


def test_who_never_activates_signs_up_and_does_nothing() -> None:
    never = {row["customer_id"] for row in customers() if row["how"] == "never_activated"}
    kinds = {event["kind"] for event in default_run()[0] if event["customer_id"] in never}
    assert "signup" in kinds
    assert not kinds & ENGAGEMENT


def test_a_warning_shows_as_fewer_visits() -> None:
    start = SimulationSettings().start_ms
    before = after = 0.0
    own = own_times()
    for row in customers():
        if row["warned"] and row["how"] != "graduated" and row["left_at"] - row["warning_from"] > 14 * DAY_MS:
            times = own[row["customer_id"]]
            begin = row["joined_at"] or start
            before += sum(ts < row["warning_from"] for ts in times) / (row["warning_from"] - begin)
            middle = (row["warning_from"] + row["left_at"]) // 2
            after += sum(middle <= ts <= row["left_at"] for ts in times) / (row["left_at"] - middle)
    assert 0 < after < 0.7 * before


def test_an_incident_raises_the_load_of_its_category() -> None:
    events, rows = default_run()
    incidents = [row for row in rows if row["type"] == "incident"]
    assert len(incidents) == 2
    for row in incidents:
        load = [
            event["ts"]
            for event in events
            if event["kind"] in ("request", "complaint") and event["category"] == row["category"]
        ]
        during = [ts for ts in load if row["from"] <= ts <= row["to"]]
        usual = (len(load) - len(during)) / 120
        assert len(during) > 5 * max(1.0, usual * (row["to"] - row["from"]) / DAY_MS)


def test_both_sides_of_a_case_follow_its_first_contact() -> None:
    cases: dict[str, list[Event]] = defaultdict(list)
    for event in default_run()[0]:
        if "case_id" in event:
            cases[event["case_id"]].append(event)
    steps: Counter[str] = Counter()
    for traces in cases.values():
        assert traces[0]["kind"] in ("request", "complaint", "suggestion")
        assert len({event["customer_id"] for event in traces}) == 1
        assert len({event["category"] for event in traces} - {"*"}) <= 1
        kinds = [event["kind"] for event in traces]
        if traces[0]["kind"] == "request":
            assert kinds[1:].count("handling") or traces[0]["ts"] > SimulationSettings().end_ms - 2 * DAY_MS
        steps.update(event["step"] for event in traces if event["kind"] == "handling")
        steps["never"] += "resolved" not in kinds
        steps["again"] += kinds.count("resolved") > 1
    assert set(steps) >= {"accepted", "assigned", "transferred", "on_site", "waiting", "escalated", "reopened"}
    assert 0 < steps["never"] < len(cases) / 2
    assert steps["again"] > 0


def test_twins_are_one_contact_under_two_ids() -> None:
    by_id = {event["event_id"]: event for event in default_run()[0]}
    pairs = [twin for row in customers() for twin in row["twins"]]
    assert pairs
    for twin in pairs:
        one, other = (by_id[event_id] for event_id in twin["event_ids"])
        assert one["contact_id"] == other["contact_id"] == twin["contact_id"]
        assert one["customer_id"] == other["customer_id"]
        assert one["ts"] < other["ts"] <= one["ts"] + 90_000
    told = {twin["contact_id"] for twin in pairs}
    counts = Counter(event["contact_id"] for event in by_id.values() if "contact_id" in event)
    assert {contact for contact, count in counts.items() if count > 1} == told


def test_links_name_the_alias_which_is_silent_afterwards() -> None:
    rows = {row["customer_id"]: row for row in customers() if row["alias"]}
    linked = {event["customer_id"]: event for event in default_run()[0] if event["kind"] == "link"}
    assert {name for name, row in rows.items() if row["linked_at"]} == set(linked)
    assert linked
    assert len(linked) < len(rows)
    for name, event in linked.items():
        assert event["ref"] == rows[name]["alias"]
        assert all(e["ts"] < event["ts"] + DAY_MS for e in default_run()[0] if e["customer_id"] == event["ref"])


def test_stages_come_in_order_and_end_as_told() -> None:
    for row in customers():
        times = [at for at, _ in row["stages"]]
        assert times == sorted(times)
        last = row["stages"][-1][1]
        assert (last == "back") == (row["returned_at"] is not None)
        assert (last in ("left", "back")) == row["leaves"]


def test_every_kind_of_life_occurs() -> None:
    kinds = {event["kind"] for event in default_run()[0]}
    assert kinds == OWN | {
        *("payment", "profile", "contract", "cancel", "link"),
        *("handling", "resolved", "outreach", "promotion", "received"),
    }
    assert {row["segment"] for row in customers()} == {"student", "graduate", "school_staff", "company_staff"}


def test_promotions_are_answered_by_some() -> None:
    sent = {event["campaign_id"] for event in default_run()[0] if event["kind"] == "promotion"}
    answers = [event for event in default_run()[0] if event["kind"] == "view" and "campaign_id" in event]
    assert answers
    assert {event["campaign_id"] for event in answers} <= sent


def test_staff_rest_at_weekends_and_students_in_the_holidays() -> None:
    segment = {row["customer_id"]: row["segment"] for row in customers()}
    start = SimulationSettings().start_ms
    staff: Counter[bool] = Counter()
    students: Counter[bool] = Counter()
    for event in default_run()[0]:
        day = (event["ts"] - start) // DAY_MS
        if event["kind"] == "session" and event["customer_id"] in segment:
            if segment[event["customer_id"]] == "company_staff":
                staff[day % 7 >= 5] += 1
            elif segment[event["customer_id"]] == "student":
                students[day >= 98] += 1
    assert staff[True] < 0.1 * staff[False]
    assert students[True] / 22 < 0.4 * students[False] / 98


@pytest.mark.parametrize(
    "chosen",
    [
        SimulationSettings(events=20_000, days=60),
        SimulationSettings(events=15_000, days=60, customers=100),
        SimulationSettings(events=3_000, days=60, customers=200),
    ],
)
def test_the_number_of_events_comes_out_about_as_asked(chosen: SimulationSettings) -> None:
    assert chosen.events is not None
    assert sum(1 for _ in simulate(chosen)) == pytest.approx(chosen.events, rel=0.15)


def test_without_a_number_of_events_nothing_is_scaled() -> None:
    assert sized(SimulationSettings()) == (500, 1.0)
    assert sized(SimulationSettings(customers=7)) == (7, 1.0)


def test_no_incidents_and_no_leaving_can_be_asked_for() -> None:
    campus = Campus(SimulationSettings(customers=60, days=30, incidents=0, leave_rate=0.0))
    assert list(campus.events())
    rows = list(campus.truth())
    assert not [row for row in rows if row["type"] == "incident"]
    provoked = [row for row in rows if row["type"] == "customer" and row["how"] in ("silent", "cancel")]
    assert all(row["provoked_by"] for row in provoked)
