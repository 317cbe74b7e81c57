"""Every metric of the worker as data: name, kind, labels, and what to do about it.

`metrics` makes them, `docs/live.md` has them as a table, the dashboard and the alert rules name no others.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from streams.redis.catalogue import INPUT_STATES

__all__ = ["CATALOGUE", "FATES", "STAGES", "MetricSpec", "render_table"]

STAGES = ("fetch_wait", "decode", "load", "engine", "dead_letters", "ledger")
"""Where the time of a batch goes."""

FATES = ("applied", "duplicate", "late", "dead")
"""What becomes of a record; the order of `streams.ledger.Counts`."""

_BATCH_BUCKETS = (1.0, 10.0, 100.0, 500.0, 1_000.0, 2_000.0, 4_000.0, 8_000.0, 16_000.0, 50_000.0)
_STAGE_BUCKETS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_LATENCY_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric.

    Parameters
    ----------
    name
        As Prometheus shows it, with its unit.
    kind
        `counter`, `gauge` or `histogram`.
    labels
        Names of its labels.
    help
        What it is, and what to do about it.
    buckets
        Upper bounds of a histogram's buckets, in the unit of the name.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    help: str
    buckets: tuple[float, ...] = ()


CATALOGUE = (
    MetricSpec(
        "henji_records_read_total",
        "counter",
        ("partition",),
        "Records read and committed: applied, duplicate, late and dead together. Flat while the lag is above 0: see "
        "/live and the log.",
    ),
    MetricSpec(
        "henji_records_total",
        "counter",
        ("partition", "fate"),
        "Records by what became of them: applied, duplicate, late, dead. Many late ones: a source is behind; raise "
        "`lateness` or mend the source. Many duplicates: a source sends again; harmless.",
    ),
    MetricSpec(
        "henji_dead_letters_total",
        "counter",
        ("reason",),
        "Dead letters by reason. Look at them with `henji dlq`, mend the source, replay them.",
    ),
    MetricSpec(
        "henji_batch_records",
        "histogram",
        (),
        "Records of one batch. At its limit (worker.poll_records) all the time: the worker is as fast as it can be.",
        _BATCH_BUCKETS,
    ),
    MetricSpec(
        "henji_stage_seconds",
        "histogram",
        ("stage",),
        "Time of a batch by stage: fetch_wait, decode, load, engine, dead_letters, ledger. The largest but fetch_wait "
        "says what to make faster: load and ledger are Redis, engine is the processor.",
        _STAGE_BUCKETS,
    ),
    MetricSpec(
        "henji_event_to_redis_seconds",
        "histogram",
        (),
        "From a record's append to the log to the commit of its flags in Redis. Over a second: look at the lag, then "
        "at the stages. Clocks of broker and worker must agree.",
        _LATENCY_BUCKETS,
    ),
    MetricSpec(
        "henji_lag_records",
        "gauge",
        ("partition",),
        "Records appended and not yet committed to Redis. Growing: add a worker, while there are more partitions "
        "than workers, or see the stages.",
    ),
    MetricSpec(
        "henji_lane_clock_seconds",
        "gauge",
        ("lane",),
        "The lane clock, the largest event time applied, since the epoch. Ahead of the wall clock: a source's clock "
        "is wrong.",
    ),
    MetricSpec(
        "henji_lane_delay_seconds",
        "gauge",
        ("lane",),
        "The lane clock behind the wall clock. Above worker.tick with no lag: ticks do not arrive; see "
        "henji_ticks_sent_total.",
    ),
    MetricSpec(
        "henji_input_state",
        "gauge",
        ("partition", "state"),
        f"1 for what the input of a partition is now: {', '.join(INPUT_STATES)}. Stale: flags on the board are old; "
        "see the lag, Kafka and Redis.",
    ),
    MetricSpec(
        "henji_alerts_total",
        "counter",
        ("flag", "op"),
        "Alerts that went out by flag and op: raise, update, clear, contact. A sudden flood of one flag: a service "
        "has failed, or the rule is too eager.",
    ),
    MetricSpec(
        "henji_ledger_conflicts_total",
        "counter",
        (),
        "Transactions refused because the partition is another worker's; nothing was written. Single ones come with "
        "rebalances; steady ones: two deployments share a Redis.",
    ),
    MetricSpec(
        "henji_redis_retries_total",
        "counter",
        (),
        "Calls to Redis that failed and were made again. Steady: see Redis's log, memory and network.",
    ),
    MetricSpec(
        "henji_rebalances_total",
        "counter",
        (),
        "Rebalances that ended. Steady without workers that come and go: raise worker.session_timeout, set "
        "worker.instance.",
    ),
    MetricSpec(
        "henji_partitions_owned",
        "gauge",
        (),
        "Partitions that this worker has. The sum over the workers is the number of partitions; less: a rebalance is "
        "under way, or a worker hangs.",
    ),
    MetricSpec(
        "henji_ticks_sent_total",
        "counter",
        (),
        "Ticks put into the log for idle lanes. None on a quiet topic: may the worker write to the events topic?",
    ),
    MetricSpec(
        "henji_fuse_dead_ratio",
        "gauge",
        ("partition",),
        "Share of dead records among the last 1,000 of a partition, 0 to 1. At worker.fuse the worker stops: mend "
        "the source before it.",
    ),
    MetricSpec(
        "henji_outbox_waiting_messages",
        "gauge",
        (),
        "Messages written to Redis and not yet sent to Kafka. Growing: may the worker write to those topics?",
    ),
    MetricSpec(
        "henji_engine_failures_total",
        "counter",
        (),
        "Events that the engine failed on; they were set aside. A bug: report it, with the traceback in the log.",
    ),
    MetricSpec(
        "henji_labels_learned_total",
        "counter",
        ("model", "trigger"),
        "Labels that were learned, by score and by what the customer was scored at. None for days while events come: "
        "see the lane clocks; the first ones come when the first horizon has passed.",
    ),
    MetricSpec(
        "henji_model_recent_labels",
        "gauge",
        ("model", "trigger", "lane"),
        "Predictions of the last 90 d whose label is known: how much the next four are worth. Weight lanes by it; "
        "below some hundred, wait.",
    ),
    MetricSpec(
        "henji_model_log_loss_nats",
        "gauge",
        ("model", "trigger", "lane"),
        "Their log-loss, lower is better. Rising while the base rate stands still: the score has lost touch; see "
        "`henji models list`.",
    ),
    MetricSpec(
        "henji_model_calibration_error_ratio",
        "gauge",
        ("model", "trigger", "lane"),
        "Their calibration error: mean distance of prediction and share that came true, 0 to 1. Above 0.1 with many "
        "labels: do not take the score for a probability; see docs/operations.md.",
    ),
    MetricSpec(
        "henji_model_mean_prediction_ratio",
        "gauge",
        ("model", "trigger", "lane"),
        "Their mean prediction, 0 to 1. Compare it with the base rate: far apart, the score is off for everybody.",
    ),
    MetricSpec(
        "henji_model_base_rate_ratio",
        "gauge",
        ("model", "trigger", "lane"),
        "The share of them that came true, 0 to 1. A step is a change among customers, or in what a source sends.",
    ),
    MetricSpec(
        "henji_drift_alarms_total",
        "counter",
        ("model", "trigger", "what"),
        "Drift alarms: the mean of the prediction, of its error (`residual`) or of a feature has changed for good in a "
        "lane. Several of one kind within days: the world has changed; see docs/operations.md.",
    ),
    MetricSpec(
        "henji_champion_info",
        "gauge",
        ("lane", "model", "version"),
        "Always 1; the labels say which churn model a lane shows. Two models for long: promote again, with "
        "`henji models promote`.",
    ),
    MetricSpec(
        "henji_build_info",
        "gauge",
        ("version", "python"),
        "Always 1; the labels say what runs. Two versions for long: a roll-out is stuck.",
    ),
)
"""Every metric; the registry of a worker has these and Prometheus's own of the process (`process_*`)."""


def render_table() -> str:
    """The table of the documents, in Markdown.

    Examples
    --------
    >>> print(render_table().splitlines()[0])
    | metric | kind | labels | what it is, and what to do |
    """
    return "\n".join(_rows()) + "\n"


def _rows() -> Iterator[str]:
    yield "| metric | kind | labels | what it is, and what to do |"
    yield "|---|---|---|---|"
    for spec in CATALOGUE:
        labels = ", ".join(f"`{label}`" for label in spec.labels)
        yield f"| `{spec.name}` | {spec.kind} | {labels} | {spec.help} |"


if __name__ == "__main__":
    print(render_table(), end="")
