"""A consumer that folds the alert stream by alert id knows exactly what is up, whatever order events arrive in."""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn

from engine.alert import OPS, Alert
from engine.contacts import CONTACT_FLAG
from tests.engine.runs import DAY, HOUR, FixedModels, Run, decoded
from tests.oracle.strategies import disordered, logs

QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
SPOKEN_OF = ("sensitive", "sensitive", "churn_risk", "repeat_request", "unresolved", "engagement_drop")
"""Flags on which people have a word here; composites, scores, counts and overdues go different ways."""


class Consumer:
    """Knows the stream and nothing else."""

    def __init__(self) -> None:
        self.up: dict[str, Alert] = {}
        self.seq = 0

    def take(self, alert: Alert) -> None:
        assert alert.op in OPS
        self.seq += 1
        assert alert.seq == self.seq
        before = self.up.get(alert.alert_id)
        if alert.op in ("raise", "contact"):
            assert before is None, "raised twice with nothing in between"
            assert (alert.op == "contact") == (alert.flag == CONTACT_FLAG)
            self.up[alert.alert_id] = alert
            return
        assert before is not None, f"{alert.op} of what was never raised"
        assert (before.customer_id, before.flag, before.category) == (alert.customer_id, alert.flag, alert.category)
        if alert.op == "update":
            self.up[alert.alert_id] = alert
        else:
            del self.up[alert.alert_id]

    def flags(self) -> dict[str, tuple[str, str, str | None, str]]:
        return {
            a.alert_id: (a.customer_id, a.flag, a.category, a.severity)
            for a in self.up.values()
            if a.flag != CONTACT_FLAG
        }

    def contacts(self) -> set[str]:
        return {a.alert_id for a in self.up.values() if a.flag == CONTACT_FLAG}


@st.composite
def stirred(draw: DrawFn, log: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The log with words on flags of all shapes and with customers erased, each as the event before it arrives."""
    out = list(log)
    for number in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, len(out) - 1))
        if "customer_id" not in out[at]:
            continue
        event = {"event_id": f"s{number}", "customer_id": out[at]["customer_id"], "ts": out[at]["ts"]}
        flag = draw(st.sampled_from((*SPOKEN_OF, None)))
        if flag is None:
            event["kind"] = "erase"
        else:
            event |= {"kind": "override", "flag": flag, "state": draw(st.sampled_from(("up", "down", "auto")))}
            if flag in ("repeat_request", "unresolved"):
                event["category"] = draw(st.sampled_from(("a", "b")))
            if draw(st.booleans()):
                event["until"] = event["ts"] + draw(st.sampled_from((0, 1, HOUR, DAY, 8 * DAY)))
        out.insert(at + 1, event)
    return out


LOGS = logs(max_events=20, overrides=True, retracts=True).flatmap(disordered).flatmap(stirred)


@st.composite
def scripts(draw: DrawFn) -> FixedModels:
    """Scores that go up and down, so that score flags come and go as well."""
    start = 1_700_000_000_000
    times = draw(st.lists(st.integers(0, 40 * 24), max_size=6))
    scores = st.tuples(st.sampled_from((0.1, 0.75, 0.95)), st.sampled_from((1.0, 5.0, 10.0)))
    return FixedModels({0: (0.9, 10.0)} | {start + hours * HOUR: draw(scores) for hours in times})


@QUICK
@given(LOGS, scripts(), st.sampled_from((30 * HOUR, 8 * DAY, 400 * DAY)))
def test_after_every_event_the_consumer_knows_exactly_what_is_up(
    log: list[dict[str, Any]], models: FixedModels, retire_ms: int
) -> None:
    run, consumer, hashes = Run(models=models, retire_ms=retire_ms), Consumer(), dict[str, dict[str, str]]()
    for event in decoded(log):
        for alert in run.feed([event]):
            consumer.take(alert)
        assert run.outcome is not None
        for identity, state in run.outcome.alert_state.items():
            if state is None:
                hashes.pop(identity, None)
            else:
                hashes[identity] = state
        memories = {customer: run.memory(customer) for customer in run.store}
        active = {
            e.alert_id: (customer, flag, category, e.severity)
            for customer, memory in memories.items()
            for (flag, category), e in memory.episodes.active.items()
        }
        assert consumer.flags() == active
        assert consumer.contacts() == {a.alert_id for m in memories.values() for a in m.contacts.open.values()}
        # The board's state of an alert is current, also where no message was due.
        told: list[tuple[str, str, Any]] = [
            each
            for m in memories.values()
            for each in (
                *((e.alert_id, key[0], e) for key, e in m.episodes.active.items()),
                *((c.alert_id, "sensitive_contact", c.status()) for c in m.contacts.open.values()),
            )
        ]
        now = {
            identity: (flag, str(status.count), status.severity, str(status.since)) for identity, flag, status in told
        }
        shown = {
            i: (s["flag"], s["count"], s["severity"], s["since"]) for i, s in hashes.items() if "closed_at" not in s
        }
        assert shown == now
        assert set(shown) == set(consumer.up)
        # A consumer that never hears of an end would wait for ever: what is up ends in the future, or on a word.
        assert all(e.until is None or e.until >= run.lane.clock for m in memories.values() for e in _episodes(m))


def _episodes(memory: Any) -> list[Any]:
    return list(memory.episodes.active.values())


@QUICK
@given(LOGS, scripts())
def test_alert_ids_are_deterministic_and_of_one_flag_and_customer_only(
    log: list[dict[str, Any]], models: FixedModels
) -> None:
    first, second = Run(models=models), Run(models=FixedModels(models.scores), forgetful=True)
    first.feed(decoded(log))
    second.feed(decoded(log), 3)
    assert [(a.seq, a.line()) for a in first.alerts] == [(a.seq, a.line()) for a in second.alerts]
    owners: dict[str, tuple[str, str, str | None]] = {}
    for alert in first.alerts:
        owner = (alert.customer_id, alert.flag, alert.category)
        assert owners.setdefault(alert.alert_id, owner) == owner
        assert len(alert.alert_id) == 16
        assert set(alert.alert_id) <= set("0123456789abcdef")


@QUICK
@given(LOGS, scripts(), st.integers(1, 9))
def test_seq_counts_by_one_over_batches_of_any_size(log: list[dict[str, Any]], models: FixedModels, batch: int) -> None:
    run = Run(models=models)
    run.feed(decoded(log), batch)
    assert [a.seq for a in run.alerts] == list(range(1, len(run.alerts) + 1))
    assert run.lane.record.seq == len(run.alerts)
    assert run.lane.record.ops == {
        name: sum(f"{a.flag}:{a.op}" == name for a in run.alerts) for name in {f"{a.flag}:{a.op}" for a in run.alerts}
    }


@QUICK
@given(LOGS, scripts())
def test_an_alert_is_updated_once_an_hour_at_most_unless_its_severity_or_route_changes(
    log: list[dict[str, Any]], models: FixedModels
) -> None:
    run = Run(models=models)
    run.feed(decoded(log))
    last: dict[str, Alert] = {}
    for alert in run.alerts:
        before = last.get(alert.alert_id)
        if alert.op == "update":
            assert before is not None
            change = before.severity != alert.severity or before.route != alert.route
            # What was inhibited goes out again when nothing inhibits it any more.
            change |= before.held.startswith("inhibited:") and not alert.held.startswith("inhibited:")
            assert change or alert.at - before.at >= HOUR
        last[alert.alert_id] = alert


@QUICK
@given(LOGS, scripts())
def test_a_clear_is_never_stamped_before_its_raise_nor_after_the_clock(
    log: list[dict[str, Any]], models: FixedModels
) -> None:
    run = Run(models=models)
    for event in decoded(log):
        for alert in run.feed([event]):
            assert alert.at <= run.lane.clock
            assert alert.since <= alert.at
            if alert.op == "clear" and alert.flag != CONTACT_FLAG:
                assert alert.until == alert.at
            elif alert.op in ("raise", "contact"):
                assert alert.until is None or alert.until >= alert.at
