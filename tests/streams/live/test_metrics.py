from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from engine.alert import OPS, Alert
from engine.decode import REASONS
from engine.landmarks import TRIGGERS
from engine.model_watch import DRIFT_FEATURES, DriftAlarm
from engine.outcome import Outcome
from engine.rules import RuleSet
from engine.scoring import LABELS
from streams.ledger import Counts
from streams.live.metric_catalogue import CATALOGUE, FATES, STAGES, render_table
from streams.live.metrics import MAX_FLAGS, OTHER, Metrics
from streams.redis.catalogue import INPUT_STATES
from tests.streams.redis.samples import alert, outcome

PAGE = Path(__file__).parents[3] / "docs" / "live.md"

Series = dict[tuple[str, frozenset[tuple[str, str]]], float]


def series(metrics: Metrics) -> Series:
    """What Prometheus would read: (sample, labels) -> value."""
    text = metrics.exposition().decode()
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return series(metrics).get((name, frozenset(labels.items())))


CHURN = {
    **{"learned": "7", "recent_n": "5", "recent_log_loss": "0.4", "recent_ece": "0.05", "recent_mean_p": "0.2"},
    **{"recent_base_rate": "0.25", "model": "blend", "version": "blend2"},
}


def busy(metrics: Metrics) -> None:
    """Everything that can happen, once."""
    metrics.assigned([0, 1])
    batch = outcome([], lane=1, clock=5_000)
    batch.alerts = [alert()]
    batch.model_rows = {"churn_event": CHURN}
    batch.drift = [DriftAlarm("event", "residual", 5, 0.1, 0.2)]
    metrics.batch(1, Counts(4, 1, 1, 1, 1), [batch], appended_ms=[1, 2], committed_ms=3)
    metrics.spent("engine", 0.1)
    metrics.dead("json")
    metrics.lag(1, 3)
    metrics.fuse(1, 0.5)
    metrics.input_state(1, "fresh")
    metrics.outbox(2)
    metrics.conflict()
    metrics.retried()
    metrics.ticked()
    metrics.engine_failed()


def test_the_registry_has_the_metrics_of_the_catalogue_and_no_others() -> None:
    metrics = Metrics(["repeat_request"], version="0.1.0")
    busy(metrics)
    said = {family.name: family.type for family in text_string_to_metric_families(metrics.exposition().decode())}
    wanted = {re.sub("_total$", "", spec.name): spec.kind for spec in CATALOGUE}
    assert {name: kind for name, kind in said.items() if not name.startswith("process_")} == wanted


def test_every_metric_is_named_after_the_house_and_its_unit() -> None:
    units = r"_(records|seconds|ratio|state|owned|messages|info|labels|nats)$"
    for spec in CATALOGUE:
        assert re.fullmatch(r"henji_[a-z_]+", spec.name)
        assert (spec.kind == "counter") == spec.name.endswith("_total")
        assert spec.kind == "counter" or re.search(units, spec.name), spec.name
        assert (spec.kind == "histogram") == bool(spec.buckets)
        assert list(spec.buckets) == sorted(set(spec.buckets))
        # What it is, and what to do.
        assert len(re.findall(r"[.?](?= |$)", spec.help)) >= 2, spec.name


def test_the_document_has_the_table_of_the_catalogue() -> None:
    assert render_table() in PAGE.read_text("utf-8"), "put in: python -m streams.live.metric_catalogue"


def test_counts_of_batches_add_up() -> None:
    metrics = Metrics()
    metrics.assigned([0])
    metrics.batch(0, Counts(10, 6, 1, 2, 1), [], appended_ms=[], committed_ms=0)
    metrics.batch(0, Counts(2, 2, 0, 0, 0), [], appended_ms=[], committed_ms=0)
    fates = {fate: value(metrics, "henji_records_total", partition="0", fate=fate) for fate in FATES}
    assert fates == {"applied": 8, "duplicate": 1, "late": 2, "dead": 1}
    assert value(metrics, "henji_records_read_total", partition="0") == 12
    assert value(metrics, "henji_batch_records_count") == 2


def test_an_alert_counts_by_flag_and_op() -> None:
    metrics = Metrics(RuleSet.default().names())
    batch = outcome([])
    batch.alerts = [alert(), alert()]
    metrics.batch(0, Counts(), [batch], appended_ms=[], committed_ms=0)
    assert value(metrics, "henji_alerts_total", flag="repeat_request", op="raise") == 2


def strange(flag: str, op: str) -> Outcome:
    made = outcome([])
    fields = {name: getattr(alert(), name) for name in Alert.__dataclass_fields__}
    made.alerts = [Alert(**{**fields, "flag": flag, "op": op})]
    return made


@settings(max_examples=40)
@given(text=st.text())
def test_no_label_comes_from_input(text: str) -> None:
    metrics = Metrics(["repeat_request"])
    busy(metrics)
    known = {*REASONS, *OPS, *FATES, *STAGES, *INPUT_STATES, OTHER, "repeat_request", "0", "1", "2", ""}
    known |= {*TRIGGERS, *LABELS, *DRIFT_FEATURES, "prediction", "residual", "blend", "blend2"}
    metrics.dead(text)
    metrics.spent(text, 0.1)
    metrics.input_state(2, text)
    odd = strange(text, text)
    odd.model_rows, odd.drift = {text: CHURN}, [DriftAlarm(text, text, 5, 0.1, 0.2)]
    metrics.batch(0, Counts(), [odd], appended_ms=[], committed_ms=0)
    for name, labels in series(metrics):
        if name != "henji_build_info":
            assert {said for label, said in labels if label != "le"} <= known, name


def test_names_of_flags_are_bounded_whatever_rules_come() -> None:
    metrics = Metrics(["repeat_request"])
    metrics.rules(f"flag_{number}" for number in range(2 * MAX_FLAGS))
    batches = [strange(f"flag_{number}", "raise") for number in range(2 * MAX_FLAGS)]
    metrics.batch(0, Counts(), batches, appended_ms=[], committed_ms=0)
    flags = {dict(labels)["flag"] for name, labels in series(metrics) if name == "henji_alerts_total"}
    assert len(flags) == MAX_FLAGS
    assert value(metrics, "henji_alerts_total", flag=OTHER, op="raise") == MAX_FLAGS + 1


@settings(max_examples=40)
@given(
    committed=st.integers(0, 100_000),
    batches=st.lists(st.lists(st.integers(0, 120_000), max_size=30), max_size=4),
)
def test_latencies_of_a_batch_count_like_one_by_one(committed: int, batches: list[list[int]]) -> None:
    metrics = Metrics()
    for appended in batches:
        metrics.batch(0, Counts(), [], appended_ms=appended, committed_ms=committed)
    latencies = [max(0, committed - each) for appended in batches for each in appended]
    (spec,) = (spec for spec in CATALOGUE if spec.name == "henji_event_to_redis_seconds")
    for bound in spec.buckets:
        below = sum(latency <= round(bound * 1000, 3) for latency in latencies)
        assert value(metrics, f"{spec.name}_bucket", le=str(bound)) == below
    assert value(metrics, f"{spec.name}_bucket", le="+Inf") == len(latencies)
    assert value(metrics, f"{spec.name}_count") == len(latencies)
    assert value(metrics, f"{spec.name}_sum") == pytest.approx(sum(latencies) / 1000)


def test_the_delay_of_a_lane_grows_while_its_clock_stands_still() -> None:
    now = 10_000
    metrics = Metrics(now_ms=lambda: now)
    metrics.clock(0, 3, 4_000)
    assert value(metrics, "henji_lane_delay_seconds", lane="3") == 6
    now = 25_000
    assert value(metrics, "henji_lane_delay_seconds", lane="3") == 21
    assert value(metrics, "henji_lane_clock_seconds", lane="3") == 4


def test_a_lane_that_has_not_begun_shows_no_clock() -> None:
    metrics = Metrics()
    metrics.clock(0, 3, -1)
    assert value(metrics, "henji_lane_clock_seconds", lane="3") is None


def test_what_is_revoked_is_not_shown_any_more() -> None:
    metrics = Metrics(["repeat_request"])
    busy(metrics)
    metrics.revoked()
    gone = {"partition", "lane"}
    left = {name for name, labels in series(metrics) if gone & {label for label, _ in labels}}
    assert left == {"henji_records_read_total", "henji_records_total"}
    assert value(metrics, "henji_partitions_owned") == 0


def test_what_another_worker_got_is_not_shown_any_more() -> None:
    metrics = Metrics()
    metrics.assigned([0, 1])
    for partition in (0, 1):
        metrics.lag(partition, 5)
        metrics.clock(partition, partition, 1)
    metrics.assigned([1])
    assert value(metrics, "henji_lag_records", partition="0") is None
    assert value(metrics, "henji_lane_delay_seconds", lane="0") is None
    assert value(metrics, "henji_lag_records", partition="1") == 5
    assert value(metrics, "henji_rebalances_total") == 2


def test_an_input_has_one_state() -> None:
    metrics = Metrics()
    for said in ("unknown", "fresh", "stale"):
        metrics.input_state(4, said)
        states = {each: value(metrics, "henji_input_state", partition="4", state=each) for each in INPUT_STATES}
        assert states == {each: each == said for each in INPUT_STATES}


def test_the_first_dead_letter_is_an_increase() -> None:
    metrics = Metrics()
    assert {value(metrics, "henji_dead_letters_total", reason=reason) for reason in REASONS} == {0}


def test_two_workers_in_one_process_do_not_share_counts() -> None:
    one, two = Metrics(), Metrics()
    one.conflict()
    assert (value(one, "henji_ledger_conflicts_total"), value(two, "henji_ledger_conflicts_total")) == (1, 0)


def modelled(metrics: Metrics, lane: int, partition: int = 0, **rows: dict[str, str]) -> None:
    made = outcome([], lane=lane)
    made.model_rows = rows
    metrics.batch(partition, Counts(), [made], appended_ms=[], committed_ms=0)


def test_labels_count_from_what_the_ledger_had_when_the_lane_became_ours() -> None:
    metrics = Metrics()
    learned = {"model": "churn", "trigger": "event"}
    assert value(metrics, "henji_labels_learned_total", **learned) == 0
    metrics.models(0, 3, {"churn_event": {**CHURN, "learned": "100"}})
    modelled(metrics, 3, churn_event={**CHURN, "learned": "104"})
    modelled(metrics, 3, churn_silence={"learned": "9"})
    modelled(metrics, 3, churn_event={**CHURN, "learned": "105"})
    assert value(metrics, "henji_labels_learned_total", **learned) == 5
    # Given up and got back: others learned meanwhile.
    metrics.revoked()
    metrics.models(0, 3, {"churn_event": {**CHURN, "learned": "200"}})
    assert value(metrics, "henji_labels_learned_total", **learned) == 5


def test_figures_of_a_model_are_those_of_its_newest_row_and_go_with_the_lane() -> None:
    metrics = Metrics()
    labels = {"model": "churn", "trigger": "event", "lane": "3"}
    modelled(metrics, 3, churn_event=CHURN)
    assert value(metrics, "henji_model_log_loss_nats", **labels) == 0.4
    assert value(metrics, "henji_model_calibration_error_ratio", **labels) == 0.05
    assert value(metrics, "henji_model_mean_prediction_ratio", **labels) == 0.2
    assert value(metrics, "henji_model_base_rate_ratio", **labels) == 0.25
    assert value(metrics, "henji_model_recent_labels", **labels) == 5
    modelled(metrics, 3, churn_event={"learned": "7", "recent_n": "0"})
    assert value(metrics, "henji_model_log_loss_nats", **labels) is None
    assert value(metrics, "henji_model_recent_labels", **labels) == 0
    metrics.revoked()
    assert not [name for name, said in series(metrics) if ("lane", "3") in said]


def test_a_lane_has_one_champion() -> None:
    metrics = Metrics()
    modelled(metrics, 3, churn_event=CHURN, churn_silence=CHURN)
    modelled(metrics, 4, churn_event=CHURN)
    modelled(metrics, 3, churn_event={**CHURN, "model": "plain", "version": "dense-1"})
    shown = {said for name, said in series(metrics) if name == "henji_champion_info"}
    assert shown == {
        frozenset({"lane": "3", "model": "plain", "version": "dense-1"}.items()),
        frozenset({"lane": "4", "model": "blend", "version": "blend2"}.items()),
    }


def test_drift_alarms_count_by_what_drifted() -> None:
    metrics = Metrics()
    made = outcome([])
    made.drift = [DriftAlarm("silence", "n_30d", 5, 0.1, 0.2), DriftAlarm("silence", "n_30d", 9, 0.2, 0.4)]
    labels = {"model": "churn", "trigger": "silence", "what": "n_30d"}
    assert value(metrics, "henji_drift_alarms_total", **labels) == 0
    metrics.batch(0, Counts(), [made], appended_ms=[], committed_ms=0)
    assert value(metrics, "henji_drift_alarms_total", **labels) == 2
