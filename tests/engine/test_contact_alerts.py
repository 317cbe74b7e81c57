"""Contact alerts: what goes out when a sensitive customer turns to us."""

from __future__ import annotations

from typing import Any

import pytest

from engine.alert import Alert
from engine.contacts import CONTACT_FLAG, MAX_OPEN
from engine.event import CONTACT, KINDS, Event
from tests.engine.runs import DAY, HOUR, T0, FixedModels, Run, trace

UPSET = (trace("x", -2 * HOUR, "complaint", "z"), trace("y", -HOUR, "complaint", "z"))
"""Two complaints: sensitive from an hour before T0 on, until 30 days later."""


def upset(**options: Any) -> Run:
    run = Run(models=FixedModels(), **options)
    run.feed(UPSET)
    return run


def contacts(run: Run, *ops: str) -> list[Alert]:
    return [a for a in run.alerts if a.flag == CONTACT_FLAG and (not ops or a.op in ops)]


def keys(run: Run) -> dict[str, int]:
    return {key: alert.count for key, alert in run.memory().contacts.open.items()}


def word(event_id: str, after: int, state: str, until: int | None = None, flag: str = "sensitive") -> Event:
    end = None if until is None else T0 + until
    return Event(event_id, "c", T0 + after, "override", flag=flag, state=state, until=end)


# -- who was sensitive before ------------------------------------------------------------------------------------


def test_the_contact_that_makes_a_customer_sensitive_is_no_alert_and_the_next_is() -> None:
    run = upset()
    assert ("sensitive", None) in run.up()
    assert contacts(run) == []
    run.feed([trace("r", 0)])
    (alert,) = contacts(run)
    assert (alert.op, alert.at, alert.since, alert.until) == ("contact", T0, T0, T0 + DAY)
    assert (alert.count, alert.evidence, alert.category) == (1, ["r"], "a")


@pytest.mark.parametrize("kind", sorted(k for k in KINDS if KINDS[k] not in ("control_lane",) and k != "erase"))
def test_only_contacts_are_alerts(kind: str) -> None:
    run = upset()
    run.feed([trace("r", 0, kind, score=5.0, ref="nothing", flag="unresolved", state="auto")])
    assert len(contacts(run)) == (kind in CONTACT)


def test_a_contact_at_the_last_moment_of_sensitivity_is_an_alert_and_one_later_is_not() -> None:
    until = -HOUR + 30 * DAY
    assert len(contacts(_after(trace("r", until)), "contact")) == 1
    assert contacts(_after(trace("r", until + 1))) == []


def _after(*events: Event) -> Run:
    run = upset()
    run.feed(events)
    return run


def test_of_equal_times_the_id_says_whether_the_customer_was_sensitive_before() -> None:
    # Sensitive by `y` at T0 - 1 h: `q` of the same moment comes before it, `z` after it.
    assert contacts(_after(trace("q", -HOUR))) == []
    assert len(contacts(_after(trace("z", -HOUR)))) == 1


def test_a_contact_out_of_order_from_before_sensitivity_is_no_alert() -> None:
    assert contacts(_after(trace("v", 0, "view"), trace("r", -HOUR - 1))) == []
    (late,) = contacts(_after(trace("v", 0, "view"), trace("r", -HOUR + 1)))
    # Stamped with the lane clock: that is when it goes out.
    assert (late.at, late.since, late.until) == (T0, T0 - HOUR + 1, T0 - HOUR + 1 + DAY)


@pytest.mark.parametrize(("after", "alerts"), [(-1, 0), (0, 1), (HOUR, 1), (HOUR + 1, 0)])
def test_a_persons_up_makes_contacts_alert_while_it_is_in_force(after: int, alerts: int) -> None:
    run = Run(models=FixedModels())
    run.feed(sorted((word("o", 0, "up", HOUR), trace("r", after)), key=lambda e: e.ts))
    assert len(contacts(run)) == alerts


@pytest.mark.parametrize(("after", "alerts"), [(-1, 1), (0, 0), (HOUR, 0), (HOUR + 1, 1)])
def test_a_persons_down_silences_while_it_is_in_force(after: int, alerts: int) -> None:
    run = upset()
    run.feed(sorted((word("o", 0, "down", HOUR), trace("r", after)), key=lambda e: e.ts))
    assert len(contacts(run)) == alerts


def test_auto_gives_the_rule_its_word_back() -> None:
    run = upset()
    run.feed([word("o1", 0, "down"), trace("r1", 1), word("o2", 2, "auto"), trace("r2", 3)])
    assert [a.evidence for a in contacts(run)] == [["r2"]]
    calm = Run(models=FixedModels())
    calm.feed([word("o1", 0, "up"), trace("r1", 1), word("o2", 2, "auto"), trace("r2", 3)])
    assert [a.evidence for a in contacts(calm)] == [["r1"]]


def test_a_word_on_another_flag_makes_nobody_sensitive() -> None:
    run = Run(models=FixedModels())
    run.feed([word("o", 0, "up", flag="churn_risk"), trace("r", 1)])
    assert contacts(run) == []


def test_a_retracted_complaint_makes_a_customer_calm_again() -> None:
    assert contacts(_after(Event("z", "c", T0 - 1, "retract", ref="y"), trace("r", 0))) == []


# -- one open alert ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("same", [{"case_id": "k"}, {"agent_id": "eva"}, {}])
def test_a_thousand_requests_of_a_minute_are_one_alert(same: dict[str, str]) -> None:
    run = upset()
    run.feed(trace(f"r{i}", i * 60, **same) for i in range(1_000))
    (first,) = contacts(run)
    assert (first.op, first.count) == ("contact", 1)
    assert list(keys(run).values()) == [1_000]
    run.tick(T0 + 3 * DAY)
    (clear,) = contacts(run, "clear")
    assert (clear.alert_id, clear.count, clear.evidence) == (first.alert_id, 1_000, ["r999"])
    assert clear.at == clear.until == T0 + 999 * 60 + DAY
    assert (clear.since, clear.op) == (T0, "clear")
    assert len(contacts(run)) == 2


FOLDS: list[tuple[dict[str, Any], dict[str, Any], int]] = [
    ({"case_id": "k"}, {"case_id": "k", "agent_id": "eva", "category": "b"}, 1),
    ({"case_id": "k"}, {"case_id": "l"}, 2),
    ({"case_id": "k", "agent_id": "eva"}, {"agent_id": "eva"}, 2),
    ({"agent_id": "eva"}, {"agent_id": "eva", "after": 20 * HOUR}, 1),
    ({"agent_id": "eva"}, {"agent_id": "max"}, 2),
    ({"agent_id": "k"}, {"case_id": "k"}, 2),
    ({}, {"after": HOUR - 1, "channel": "web", "category": "b"}, 1),
    ({}, {"after": HOUR}, 2),
    ({}, {"team": "t"}, 1),
]


@pytest.mark.parametrize(("first", "second", "alerts"), FOLDS)
def test_contacts_fold_by_case_else_agent_else_clock_hour(
    first: dict[str, Any], second: dict[str, Any], alerts: int
) -> None:
    more = dict(second)
    run = upset()
    run.feed([trace("r1", 0, **first), trace("r2", more.pop("after", 1), **more)])
    assert len(contacts(run, "contact")) == alerts
    assert sorted(keys(run).values()) == ([2] if alerts == 1 else [1, 1])


def test_alerts_of_customers_are_their_own() -> None:
    run = upset()
    run.feed(trace(e.event_id, e.ts - T0, e.kind, e.category, customer="d") for e in UPSET)
    run.feed([trace("r", 0, case_id="k"), trace("r", 0, case_id="k", customer="d")])
    mine, theirs = contacts(run)
    assert mine.alert_id != theirs.alert_id
    assert (mine.customer_id, theirs.customer_id) == ("c", "d")


def test_twins_count_once_and_are_told_once() -> None:
    run = upset()
    twins = [trace(f"r{i}", i, case_id="k", contact_id="t", channel=c) for i, c in enumerate(("phone", "web", "app"))]
    run.feed([*twins, trace("other", 3, case_id="k", contact_id="u"), trace("none", 4, case_id="k")])
    assert keys(run) == {"case:k": 3}
    # Contacts without an id of their own are never twins of each other.
    run.feed([trace("none2", 5, case_id="k")])
    assert keys(run) == {"case:k": 4}


def test_an_alert_closes_a_day_after_its_last_contact() -> None:
    run = upset()
    run.feed([trace("r1", 0, case_id="k"), trace("r2", DAY, case_id="k")])
    assert contacts(run, "clear") == []
    assert keys(run) == {"case:k": 2}
    run.tick(T0 + 2 * DAY)
    assert contacts(run, "clear") == []
    run.tick(T0 + 2 * DAY + 1)
    (clear,) = contacts(run, "clear")
    assert (clear.at, clear.count) == (T0 + 2 * DAY, 2)
    assert keys(run) == {}


def test_a_contact_after_the_close_opens_another_alert() -> None:
    run = upset()
    run.feed([trace("r1", 0, case_id="k"), trace("r2", DAY + 1, case_id="k")])
    assert [(a.op, a.at, a.count) for a in contacts(run)] == [
        ("contact", T0, 1),
        ("clear", T0 + DAY, 1),
        ("contact", T0 + DAY + 1, 1),
    ]
    first, closed, second = contacts(run)
    assert first.alert_id == closed.alert_id != second.alert_id


def test_a_contact_out_of_order_counts_and_moves_the_first_but_not_the_close() -> None:
    run = upset()
    run.feed([trace("r2", HOUR, case_id="k"), trace("r1", 30, case_id="k")])
    (alert,) = run.memory().contacts.open.values()
    assert (alert.first, alert.last, alert.newest, alert.count) == (T0 + 30, T0 + HOUR, "r2", 2)


def test_an_open_alert_stays_open_when_sensitivity_is_lifted() -> None:
    run = upset()
    run.feed([trace("r1", 0, case_id="k"), word("o", 1, "down"), trace("r2", 2, case_id="k")])
    assert keys(run) == {"case:k": 1}
    assert contacts(run, "clear") == []


# -- updates and route -------------------------------------------------------------------------------------------


def test_an_update_of_the_count_goes_out_once_an_hour_at_most() -> None:
    run = upset()
    run.feed(trace(f"r{i}", i * HOUR // 4, case_id="k") for i in range(13))
    assert [(a.op, a.at - T0, a.count) for a in contacts(run)] == [
        ("contact", 0, 1),
        ("update", HOUR, 5),
        ("update", 2 * HOUR, 9),
        ("update", 3 * HOUR, 13),
    ]
    assert len({a.alert_id for a in contacts(run)}) == 1


def test_another_route_is_told_at_once() -> None:
    run = upset()
    run.feed([trace(f"r{i}", i, case_id="k", agent_id=agent) for i, agent in enumerate(("eva", "eva", "max"))])
    assert [(a.op, a.route, a.count) for a in contacts(run)] == [
        ("contact", "agent:eva", 1),
        ("update", "agent:max", 3),
    ]


ALL: dict[str, Any] = {"agent_id": "eva", "team": "t", "channel": "web"}


@pytest.mark.parametrize(
    ("missing", "route"),
    [
        ((), "agent:eva"),
        (("agent_id",), "team:t"),
        (("agent_id", "team"), "queue:web"),
        (("agent_id", "team", "channel"), "owner:olga"),
        (("team", "channel"), "agent:eva"),
    ],
)
def test_the_route_is_the_agent_else_the_team_else_the_channel_else_the_owner(
    missing: tuple[str, ...], route: str
) -> None:
    run = upset()
    who = {name: value for name, value in ALL.items() if name not in missing}
    run.feed([trace("p", -1, "profile", None, attributes={"owner": "olga"}), trace("r", 0, **who)])
    (alert,) = contacts(run)
    assert alert.route == route


@pytest.mark.parametrize("owner", [None, 7.0, True])
def test_without_a_named_owner_the_route_is_empty(owner: object) -> None:
    run = upset()
    if owner is not None:
        run.feed([trace("p", -1, "profile", None, attributes={"owner": owner})])
    run.feed([trace("r", 0)])
    (alert,) = contacts(run)
    assert alert.route == ""


# -- bounds and state --------------------------------------------------------------------------------------------


def test_at_most_32_alerts_are_open_and_the_one_silent_for_longest_makes_room() -> None:
    run = upset()
    run.feed(trace(f"r{i:02}", i, case_id=f"k{i:02}") for i in range(MAX_OPEN))
    assert MAX_OPEN == 32
    assert contacts(run, "clear") == []
    assert not run.memory().capped
    # The oldest case speaks again, so the second oldest has been silent for longest.
    more = [trace("again", 100, case_id="k00"), trace("new", 101, case_id="new")]
    run.feed(more)
    (clear,) = contacts(run, "clear")
    assert (clear.evidence, clear.at) == (["r01"], T0 + 101)
    assert len(keys(run)) == MAX_OPEN
    assert "case:k00" in keys(run)
    assert run.memory().capped
    run.feed(trace(f"s{i:03}", 200 + i, case_id=f"l{i}") for i in range(100))
    assert len(keys(run)) == MAX_OPEN


@pytest.mark.parametrize("how", [{"forgetful": True}, {"batch": 1}])
def test_open_alerts_survive_the_ledger(how: dict[str, Any]) -> None:
    def fed(batch: int = 1_000, **options: Any) -> Run:
        run = upset(**options)
        run.feed((trace(f"r{i}", i * 7, case_id=f"k{i % 5}", contact_id=f"t{i // 10}") for i in range(60)), batch)
        run.tick(T0 + 3 * DAY)
        return run

    straight, other = fed(), fed(**how)
    assert [a.line() for a in other.alerts] == [a.line() for a in straight.alerts]
    assert other.store == straight.store


def test_erasing_the_customer_closes_what_is_open() -> None:
    run = upset()
    run.feed([trace("r1", 0, case_id="k"), trace("r2", 0, case_id="l"), Event("z", "c", T0 + 5, "erase")])
    opened = {a.alert_id for a in contacts(run, "contact")}
    assert {a.alert_id for a in contacts(run, "clear")} == opened
    assert {a.at for a in contacts(run, "clear")} == {T0 + 5}
