"""Evidence: replayed alone its events give the same severity and `until`; with any one left out they do not.

Leaving one out lowers the severity or drops the flag. Only where a composite stands on nothing but `groups` can a
smallest set have three events: a pair that makes the member flag hold, and the newest event, which holds it up without
being in the pair. Without that one the flag is still up, but for a shorter time: there it is `until` that drops. Under
the default rules two events always do.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from hypothesis import given, settings

from engine.alert import Alert
from engine.event import Event
from engine.rules import RuleSet
from tests.engine.runs import DAY, HOUR, SCORE_FLAGS, T0, FixedModels, Run, decoded, tick, trace
from tests.oracle import minimal_evidence_holds
from tests.oracle.strategies import logs, shuffle_within

Log = list[dict[str, Any]]

OVERDUE_AFTER = {"unanswered": 24 * HOUR, "unresolved": 72 * HOUR, "not_activated": 7 * DAY}


class Claim(NamedTuple):
    """A raise or update, and the time for which its severity and `until` hold."""

    alert: Alert
    tau: int


def claims(log: Log) -> list[Claim]:
    """Every raise and update of a log that is not of a score or a contact."""
    run = Run(models=FixedModels())
    out: list[Claim] = []
    for event in decoded(log):
        for alert in run.feed([event]):
            if alert.op in ("raise", "update") and alert.flag not in {*SCORE_FLAGS, "sensitive_contact"}:
                # A timer due at d acts at d + 1.
                out.append(Claim(alert, alert.at + (alert.at < run.lane.clock)))
    return out


def by_engine(events: Collection[Event], claim: Claim) -> dict[str, Any] | None:
    """What the flag is when these events come alone."""
    run = Run(lateness_ms=None, models=FixedModels())
    run.feed([*sorted(events, key=lambda e: (e.ts, e.event_id)), tick(_tick(claim, events))])
    found = (claim.alert.flag, claim.alert.category)
    customer = claim.alert.customer_id
    return next((f for f in run.flags(customer) if (f["flag"], f["category"]) == found), None)


def _tick(claim: Claim, events: Collection[Event]) -> int:
    """A time at which the claim can be judged; for an overdue case past its due."""
    window = OVERDUE_AFTER.get(claim.alert.flag)
    if window is None:
        return claim.tau
    return max([claim.tau, *(event.ts + window + 1 for event in events)])


def is_same(flag: dict[str, Any] | None, claim: Claim) -> bool:
    return flag is not None and (flag["severity"], flag["until"]) == (claim.alert.severity, claim.alert.until)


def assert_minimal(log: Log, claim: Claim) -> None:
    alert = claim.alert
    own = {e.event_id: e for e in decoded(log) if e.customer_id == alert.customer_id}
    evidence = [own[event_id] for event_id in alert.evidence]
    assert len(set(alert.evidence)) == len(alert.evidence) > 0
    assert is_same(by_engine(evidence, claim), claim)
    ranks = ("burst", "repeat", "chronic")
    for one in evidence:
        flag = by_engine([other for other in evidence if other is not one], claim)
        if flag is None:
            continue
        assert alert.flag == "repeat_request"
        assert ranks.index(flag["severity"]) < ranks.index(alert.severity)
    row = {"flag": alert.flag, "category": alert.category, "until": alert.until, "severity": alert.severity}
    judged = {"customer_id": alert.customer_id, "evidence": alert.evidence, "at": claim.tau}
    assert minimal_evidence_holds(log, row, judged)


@settings(max_examples=60, deadline=None)
@given(logs(max_events=16))
def test_evidence_alone_gives_the_flag_and_less_of_it_does_not(log: Log) -> None:
    for claim in claims(log):
        assert_minimal(log, claim)


@settings(max_examples=40, deadline=None)
@given(logs(max_events=12, duplicates=False, ticks=False).flatmap(shuffle_within))
def test_evidence_holds_for_a_log_out_of_order_too(log: Log) -> None:
    for claim in claims(log):
        assert_minimal(log, claim)


def sensitive(run: Run) -> dict[str, Any]:
    return next(f for f in run.flags() if f["flag"] == "sensitive")


def test_of_two_flags_that_one_event_holds_up_the_one_with_fewer_events_is_the_evidence() -> None:
    # The newer complaint is of the rating's own case, so it holds `mixed_dissatisfaction` up without being in its pair,
    # which would take three events; as the second complaint it needs only the first.
    run = Run(models=FixedModels())
    run.feed(
        [
            trace("e1", 0, "complaint", case_id="k1"),
            trace("e9", HOUR, "feedback", case_id="k2", score=1.0),
            trace("e3", 2 * HOUR, "complaint", case_id="k2"),
        ]
    )
    assert sensitive(run)["evidence"] == ["e1", "e3"]


ONLY_MIXED = """
version = 1
[flags.mixed_dissatisfaction]
shape = "groups"
level = 1
window = "14d"
distinct_case = true
groups = [
  { kinds = ["complaint"], threshold = 1 },
  { threshold = 1, events = [{ kinds = ["feedback"], where = { score = { max = 2 } } }] },
]
[flags.sensitive]
shape = "composite"
any = ["mixed_dissatisfaction"]
hold = "30d"
"""


def test_a_smallest_set_for_sensitive_may_have_three_events_and_then_until_is_what_drops() -> None:
    events = [
        trace("e1", 0, "complaint", case_id="k1"),
        trace("e2", HOUR, "feedback", case_id="k2", score=1.0),
        trace("e3", 2 * HOUR, "complaint", case_id="k2"),
    ]

    def alone(*chosen: Event) -> tuple[list[str], int] | None:
        run = Run(RuleSet.parse(ONLY_MIXED), models=FixedModels())
        run.feed([*chosen, tick(T0 + 3 * HOUR)])
        flag = next((f for f in run.flags() if f["flag"] == "sensitive"), None)
        return None if flag is None else (flag["evidence"], flag["until"] - T0)

    assert alone(*events) == (["e1", "e2", "e3"], 2 * HOUR + 30 * DAY)
    assert alone(*events[1:]) is None
    assert alone(events[0], events[2]) is None
    assert alone(*events[:2]) == (["e1", "e2"], HOUR + 30 * DAY)
