"""The life of an alert at the desk: what is held back, what people say, and that the log alone decides."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.alert import Alert
from engine.contacts import CONTACT_FLAG
from engine.decode import decode
from engine.desk import Desk
from engine.desk.tickets import CLOSED_MS, MAX_CLOSED
from engine.errors import InvalidEvent
from engine.event import MAX_SNOOZE_MS, Event
from tests.engine.runs import DAY, HOUR, T0, FixedModels, Run, tick, trace

TIGHT = """version = 1
[caps]
customer = {{ n = {customer}, window = "1h" }}
team = {{ n = {team}, window = "1h" }}
"""
OPEN = Desk.parse(TIGHT.format(customer=100, team=1_000_000))


def word(kind: str, ref: str, after: int, *, customer: str = "c", **more: Any) -> Event:
    return Event(f"{kind}-{ref}-{after}-{len(more)}", customer, T0 + after, kind, ref=ref, by="ann", **more)


def repeated(**options: Any) -> tuple[Run, str]:
    """A run with an open `repeat_request` (burst) and its alert id."""
    run = Run(models=FixedModels(), **options)
    run.feed([trace("r1", -HOUR), trace("r2", 0)])
    (alert,) = (a for a in run.alerts if a.op == "raise")
    return run, alert.alert_id


def of(run: Run, alert_id: str) -> list[tuple[str, str]]:
    return [(a.op, a.held) for a in run.alerts if a.alert_id == alert_id]


# -- what people say ---------------------------------------------------------------------------------------------


def test_each_fact_stands_for_itself_and_is_taken_back_for_itself() -> None:
    run, alert_id = repeated()
    run.feed([word("ack", alert_id, 1), word("ack", alert_id, 2, outcome="useful")])
    run.feed([word("snooze", alert_id, 3, until=T0 + DAY, reason="waits for parts")])
    row = run.tickets[alert_id]
    assert (row["acked_by"], row["acked_at"], row["outcome"]) == ("ann", str(T0 + 1), "useful")
    assert (row["snoozed_until"], row["snooze_reason"]) == (str(T0 + DAY), "waits for parts")
    run.feed([word("ack", alert_id, 4, state="down")])
    row = run.tickets[alert_id]
    assert "acked_by" not in row
    assert row["outcome"] == "useful"
    assert [(f.name, f.word.up) for f in run.facts] == [
        ("ack", True), ("outcome", True), ("snooze", True), ("ack", False),
    ]  # fmt: skip
    assert [f.seq for f in run.facts] == [1, 2, 3, 4]


def test_a_judgement_does_not_acknowledge() -> None:
    run, alert_id = repeated()
    run.feed([word("ack", alert_id, 1, outcome="not_useful")])
    assert "acked_by" not in run.tickets[alert_id]


def test_the_later_word_counts_in_whatever_order_they_come() -> None:
    run, alert_id = repeated()
    run.feed([word("ack", alert_id, 9, state="down"), word("ack", alert_id, 5)])
    assert "acked_by" not in run.tickets[alert_id]
    assert len(run.facts) == 1


def test_words_do_not_move_the_clock_are_never_late_and_are_no_trace_of_the_customer() -> None:
    run, alert_id = repeated()
    seen = run.memory().last_seen
    run.feed([word("ack", alert_id, 300 * DAY), word("snooze", alert_id, -300 * DAY, until=T0 - 299 * DAY)])
    assert run.lane.clock == T0
    assert run.counts()["late"] == 0
    assert run.memory().last_seen == seen
    assert run.tickets[alert_id]["acked_at"] == str(T0 + 300 * DAY)
    assert len(run.memory().timeline.entries) == 2


def test_a_word_that_comes_twice_is_a_duplicate() -> None:
    run, alert_id = repeated()
    run.feed([word("ack", alert_id, 1), word("ack", alert_id, 1)])
    assert run.counts()["duplicate"] == 1
    assert len(run.facts) == 1


def test_a_word_about_no_alert_changes_nothing_and_makes_no_customer() -> None:
    run, _ = repeated()
    run.feed([word("ack", "0123456789abcdef", 1), word("ack", "0123456789abcdef", 1, customer="nobody")])
    assert run.lane.record.tallies["unknown_alert"] == 2
    assert "nobody" not in run.store
    assert run.facts == []


def test_an_outcome_can_be_given_for_fourteen_days_after_the_close() -> None:
    for late, expected in ((0, True), (1, False)):
        run, alert_id = repeated()
        run.tick(T0 - HOUR + DAY + 1)
        closed = int(run.tickets[alert_id]["closed_at"])
        run.feed([tick(closed + CLOSED_MS + late), word("ack", alert_id, 1, outcome="useful")])
        assert (run.rule_counts["repeat_request"].get("useful", 0) == 1) is expected
        assert (alert_id in run.tickets) is expected


def test_the_newest_closed_alerts_are_kept_and_the_others_leave_the_board() -> None:
    run = Run(models=FixedModels(), desk=OPEN)
    for i in range(MAX_CLOSED + 3):
        run.feed([trace(f"a{i}", i * 100 * HOUR, category=f"c{i}"), trace(f"b{i}", i * 100 * HOUR, category=f"c{i}")])
    run.tick(T0 + 40 * DAY)
    closed = [row for row in run.tickets.values() if "closed_at" in row]
    assert len(closed) <= MAX_CLOSED


def test_an_erased_customer_leaves_no_alert_on_the_board() -> None:
    run, alert_id = repeated()
    run.feed([word("ack", alert_id, 1), Event("bye", "c", T0 + 1, "erase")])
    assert run.tickets == {}


def test_precision_counts_an_outcome_once_however_often_it_changes() -> None:
    run, alert_id = repeated()
    run.feed([word("ack", alert_id, 1, outcome="useful"), word("ack", alert_id, 2, outcome="not_useful")])
    counts = run.rule_counts["repeat_request"]
    assert (counts["useful"], counts["not_useful"], counts["raised"]) == (0, 1, 1)
    run.feed([word("ack", alert_id, 3, outcome="not_useful", state="down")])
    assert run.rule_counts["repeat_request"]["not_useful"] == 0


# -- snooze ------------------------------------------------------------------------------------------------------


def test_a_snoozed_alert_is_silent() -> None:
    run = Run(models=FixedModels(), desk=OPEN)
    run.feed([trace("k1", 0, "complaint"), trace("k2", HOUR, "complaint")])
    (alert_id,) = (a.alert_id for a in run.alerts if a.flag == "sensitive")
    run.feed([word("snooze", alert_id, 1, until=T0 + 5 * HOUR, reason="x")])
    run.feed([trace("k3", 3 * HOUR, "complaint")])
    assert of(run, alert_id) == [("raise", ""), ("update", "snoozed")]
    assert run.tickets[alert_id]["held"] == "", "people have seen it"
    run.feed([word("snooze", alert_id, 2, state="down"), trace("k4", 4 * HOUR, "complaint")])
    assert of(run, alert_id)[2:] == [("update", "")]


def test_at_the_end_of_its_snooze_an_open_alert_is_sent_again_and_a_closed_one_is_not() -> None:
    run = Run(models=FixedModels(), desk=OPEN)
    run.feed([trace("k1", 0, "complaint"), trace("k2", HOUR, "complaint")])
    (alert_id,) = (a.alert_id for a in run.alerts if a.flag == "sensitive")
    run.feed([word("snooze", alert_id, 1, until=T0 + 5 * HOUR, reason="x")])
    assert run.tick(T0 + 5 * HOUR) == []
    assert [(a.op, a.at) for a in run.tick(T0 + 5 * HOUR + 1) if a.alert_id == alert_id] == [("update", T0 + 5 * HOUR)]
    assert run.tick(T0 + 6 * HOUR) == []
    run.feed([word("snooze", alert_id, 2, until=T0 + 100 * DAY, reason="x")])
    assert [a.op for a in run.tick(T0 + 101 * DAY) if a.alert_id == alert_id] == ["clear"]


def test_a_worse_severity_wakes_a_snoozed_alert_and_says_so() -> None:
    run, alert_id = repeated(desk=OPEN)
    run.feed([word("snooze", alert_id, 1, until=T0 + 100 * DAY, reason="x"), trace("r3", HOUR)])
    assert [(a.op, a.severity, a.held) for a in run.alerts if a.alert_id == alert_id][-1] == ("update", "repeat", "")
    assert "snoozed_until" not in run.tickets[alert_id]
    assert (run.facts[-1].name, run.facts[-1].word.up, run.facts[-1].word.text) == ("snooze", False, "severity")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "until: expected a value"),
        ({"until": T0}, "until: expected a time after ts, at most 180 d after it"),
        ({"until": T0 + MAX_SNOOZE_MS + 1}, "at most 180 d"),
        ({"until": T0 + 1, "state": "auto"}, "state: expected up or down"),
    ],
)
def test_a_snooze_without_a_sound_end_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidEvent, match=message):
        decode(_raw("snooze", **fields))


def test_the_longest_snooze_and_the_one_that_ends_one_are_taken() -> None:
    assert decode(_raw("snooze", until=T0 + MAX_SNOOZE_MS)).until == T0 + MAX_SNOOZE_MS
    assert decode(_raw("snooze", state="down")).state == "down"


def test_an_outcome_is_one_of_two_words() -> None:
    with pytest.raises(InvalidEvent, match="outcome: expected useful or not_useful, got 'great'"):
        decode(_raw("ack", outcome="great"))


def _raw(kind: str, **fields: Any) -> bytes:
    whole = {"event_id": "e", "customer_id": "c", "ts": T0, "kind": kind, "ref": "00ff", **fields}
    return orjson.dumps(whole)


# -- held back ---------------------------------------------------------------------------------------------------


def test_sensitive_hides_the_plain_repeat_and_lets_it_out_again_when_it_ends() -> None:
    run = Run(models=FixedModels(), desk=OPEN)
    run.feed([trace("k1", 0, "complaint", "z"), trace("k2", 1, "complaint", "z")])
    run.feed([trace("r1", 30 * DAY - HOUR), trace("r2", 30 * DAY - HOUR + 1)])
    (repeat,) = (a for a in run.alerts if a.flag == "repeat_request")
    assert (repeat.op, repeat.held) == ("raise", "inhibited:sensitive")
    assert run.tickets[repeat.alert_id]["held"] == "inhibited:sensitive"
    out = [(a.op, a.held) for a in run.tick(T0 + 30 * DAY + 2) if a.flag == "repeat_request"]
    assert out == [("update", "")]
    assert run.tickets[repeat.alert_id]["held"] == ""


def test_a_repeat_that_comes_with_the_sensitivity_itself_is_hidden_too() -> None:
    rules_order = Run(models=FixedModels(), desk=OPEN)
    rules_order.feed([Event("o", "c", T0, "override", flag="sensitive", state="up"), trace("r1", 1), trace("r2", 2)])
    assert [a.held for a in rules_order.alerts if a.flag == "repeat_request"] == ["inhibited:sensitive"]


def test_a_thousand_requests_of_one_sensitive_customer_are_one_open_alert() -> None:
    run = Run(models=FixedModels())
    run.feed([trace("k1", -2 * HOUR, "complaint", "z"), trace("k2", -HOUR, "complaint", "z")])
    run.feed([trace(f"r{i:04}", i * 60, case_id="k", agent_id="a") for i in range(1_000)], batch=37)
    rows = [row for row in run.tickets.values() if row["flag"] == CONTACT_FLAG]
    assert [(row["count"], row["route"], row["priority"]) for row in rows] == [("1000", "agent:a", "1")]
    assert [a.op for a in run.alerts if a.flag == CONTACT_FLAG] == ["contact"]
    assert "closed_at" not in rows[0]


@pytest.mark.parametrize("batch", [1, 100, 10_000])
def test_ten_thousand_candidates_deliver_at_most_the_cap_and_the_sums_are_equal(batch: int) -> None:
    desk = Desk.parse(TIGHT.format(customer=2, team=20))
    run = Run(models=FixedModels(), desk=desk)
    events = [
        Event(f"e{i}-{n}", f"c{i}", T0 + i * 12 + n, "request", category="a", channel="phone")
        for i in range(5_000)
        for n in range(2)
    ]
    run.feed(events, batch)
    sent = [a for a in run.alerts if a.op != "clear"]
    shown = [a for a in sent if not a.held]
    assert len(sent) == 5_000
    assert len(shown) == 20
    counted = {key: n for counts in run.delivered.values() for key, n in counts.items()}
    assert counted == {"delivered|repeat_request|queue:phone": 20, "cap:team|repeat_request|queue:phone": 4_980}
    rules = run.rule_counts["repeat_request"]
    assert (rules["raised"], rules["delivered"], rules["held"]) == (5_000, 20, 4_980)


def test_the_cap_of_the_customer_comes_before_that_of_the_team() -> None:
    desk = Desk.parse(TIGHT.format(customer=1, team=1))
    run = Run(models=FixedModels(), desk=desk)
    for category in "abc":
        run.feed([trace(f"{category}{n}", n, category=category) for n in range(2)])
    assert [a.held for a in run.alerts] == ["", "cap:customer", "cap:customer"]


def test_a_cap_holds_in_every_window_of_its_length() -> None:
    desk = Desk.parse(TIGHT.format(customer=100, team=3))
    run = Run(models=FixedModels(), desk=desk)
    for i in range(60):
        at = i * 7 * 60_000
        run.feed([Event(f"e{i}-{n}", f"c{i}", T0 + at + n, "request", category="a", team="t") for n in range(2)])
    shown = [a.at for a in run.alerts if a.op == "raise" and not a.held]
    assert len(shown) > 10
    assert all(later - first >= HOUR for first, later in zip(shown, shown[3:], strict=False))


def test_what_was_held_is_shown_when_it_becomes_worse() -> None:
    desk = Desk.parse(TIGHT.format(customer=1, team=100))
    run = Run(models=FixedModels(), desk=desk)
    run.feed([trace("x1", 0, category="x"), trace("x2", 1, category="x")])
    run.feed([trace("r1", 2), trace("r2", 3)])
    (held,) = (a for a in run.alerts if a.held)
    run.feed([trace("r3", 2 * HOUR)])
    assert run.alerts[-1].alert_id == held.alert_id
    assert (run.alerts[-1].severity, run.alerts[-1].held) == ("repeat", "")
    assert run.tickets[held.alert_id]["held"] == ""


# -- to whom -----------------------------------------------------------------------------------------------------


def test_whoever_gets_the_contact_in_hand_is_told_at_once() -> None:
    run, alert_id = repeated(desk=OPEN)
    run.feed([trace("r3", 10, agent_id="a7", team="net")])
    assert run.tickets[alert_id]["route"] == "agent:a7"
    n = len(of(run, alert_id))
    run.feed([trace("r4", 20, agent_id="a7")])
    run.feed([trace("r5", 30, agent_id="b2")])
    assert [a.route for a in run.alerts if a.alert_id == alert_id][n:][-1] == "agent:b2"


def test_priority_comes_from_the_rule_the_severity_and_the_value_tier() -> None:
    steps = 'severity = { burst = 1 }\ntiers = [{ name = "large", min_value = 100.0, step = -2 }]\n'
    desk = Desk.parse(f"version = 1\n[priority]\n{steps}")
    plain, rich = Run(models=FixedModels(), desk=desk), Run(models=FixedModels(), desk=desk)
    rich.feed([trace("p", -DAY, "purchase", value=500.0)])
    for run in (plain, rich):
        run.feed([trace("r1", 0), trace("r2", 1)])
    assert [a.priority for a in (*plain.alerts, *rich.alerts) if a.flag == "repeat_request"] == [4, 2]


# -- the log alone decides ---------------------------------------------------------------------------------------


@st.composite
def lives(draw: st.DrawFn) -> list[Event]:
    """A log of two customers with complaints, requests, and people's words about alerts that may be there."""
    probe = Run(models=FixedModels())
    out: list[Event] = []
    at = 0
    for number in range(draw(st.integers(1, 40))):
        at += draw(st.sampled_from((0, 1, 60_000, HOUR, 5 * HOUR, 3 * DAY)))
        customer = draw(st.sampled_from("cd"))
        kind = draw(st.sampled_from(("request", "request", "complaint", "resolved", "word", "tick")))
        if kind == "tick":
            event = tick(T0 + at, f"t{number}")
        elif kind == "word":
            known = sorted({(a.alert_id, a.customer_id) for a in probe.alerts})
            ref, customer = draw(st.sampled_from(known)) if known else ("00", customer)
            name = draw(st.sampled_from(("ack", "snooze", "outcome")))
            more: dict[str, Any] = {"state": draw(st.sampled_from((None, None, "down")))}
            if name == "snooze":
                more |= {"until": T0 + at + draw(st.sampled_from((1, HOUR, DAY))), "reason": "x"}
            elif name == "outcome":
                more |= {"outcome": draw(st.sampled_from(("useful", "not_useful")))}
            kind = "snooze" if name == "snooze" else "ack"
            event = Event(f"w{number}", customer, T0 + at, kind, ref=ref, by="ann", **more)
        else:
            agent = draw(st.sampled_from((None, None, "a", "b")))
            event = Event(f"e{number}", customer, T0 + at, kind, category="a", agent_id=agent)
        out.append(event)
        probe.feed([event])
    return out


def told(alerts: list[Alert]) -> list[tuple[int, bytes]]:
    return [(a.seq, a.line()) for a in alerts]


@given(lives(), st.integers(1, 7), st.integers(1, 3))
def test_no_line_depends_on_the_desk_file(log: list[Event], customer: int, team: int) -> None:
    plain, tight = (
        Run(models=FixedModels()),
        Run(models=FixedModels(), desk=Desk.parse(TIGHT.format(customer=customer, team=team))),
    )
    plain.feed(log)
    tight.feed(log)
    assert told(plain.alerts) == told(tight.alerts)
    assert plain.lane.digest_parts() == tight.lane.digest_parts()


@given(lives(), st.integers(1, 9))
def test_tickets_facts_and_counts_do_not_depend_on_batches_nor_on_storing(log: list[Event], batch: int) -> None:
    desk = Desk.parse(TIGHT.format(customer=2, team=3))
    one, other = (Run(models=FixedModels(), desk=desk, forgetful=f) for f in (False, True))
    one.feed(log)
    other.feed(log, batch)
    assert [(a.line(), a.held, a.route, a.priority) for a in one.alerts] == [
        (a.line(), a.held, a.route, a.priority) for a in other.alerts
    ]
    assert one.store == other.store
    assert one.tickets == other.tickets
    assert one.facts == other.facts
    assert one.lane.record.shift.encode() == other.lane.record.shift.encode()


@given(lives())
def test_what_was_shown_and_what_was_held_are_all_the_messages(log: list[Event]) -> None:
    run = Run(models=FixedModels(), desk=Desk.parse(TIGHT.format(customer=2, team=3)))
    run.feed(log)
    sent = [a for a in run.alerts if a.op != "clear"]
    counted = [(key, n) for counts in run.delivered.values() for key, n in counts.items()]
    assert sum(n for _, n in counted) == len(sent)
    assert sum(n for key, n in counted if key.startswith("delivered|")) == sum(not a.held for a in sent)
    by_rule = run.rule_counts.values()
    assert sum(c.get("delivered", 0) + c.get("held", 0) for c in by_rule) == len(sent)


@given(lives())
def test_the_facts_of_an_alert_are_the_newest_words_about_it(log: list[Event]) -> None:
    run = Run(models=FixedModels(), desk=OPEN)
    run.feed(log)
    for alert_id, row in run.tickets.items():
        said = [f for f in run.facts if f.alert_id == alert_id]
        for name, field in (("ack", "acked_by"), ("outcome", "outcome"), ("snooze", "snoozed_until")):
            newest = [f.word for f in said if f.name == name][-1:]
            assert (field in row) == any(word.up for word in newest)
