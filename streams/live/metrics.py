"""What the worker counts, for Prometheus: a catalogue of metrics, and methods named by what happened.

No label carries what customers sent: partitions, lanes, stages and states are ours, reasons are the codes of
`engine.decode`, flags are the names in the rules; anything else becomes `other`. So the number of series is bounded.
"""

from __future__ import annotations

import platform
import time
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from threading import Lock
from typing import TypeAlias

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.core import HistogramMetricFamily
from prometheus_client.registry import Collector

from engine.alert import OPS
from engine.decode import REASONS
from engine.landmarks import TRIGGERS
from engine.model_watch import DRIFT_FEATURES
from engine.outcome import Outcome
from engine.scoring import LABELS
from streams.ledger import Counts
from streams.live.metric_catalogue import CATALOGUE, FATES, STAGES, MetricSpec
from streams.redis.catalogue import INPUT_STATES

__all__ = ["CONTENT_TYPE", "MAX_FLAGS", "OTHER", "Metrics"]

CONTENT_TYPE = prometheus_client.CONTENT_TYPE_LATEST
"""Of `Metrics.exposition`."""

MAX_FLAGS = 256
"""Most names of flags that become labels, over all rules that were ever in force; the next ones are `other`."""

OTHER = "other"
"""Label of what is in no list of ours."""

_Metric: TypeAlias = Counter | Gauge | Histogram

_BY_NAME = {spec.name: spec for spec in CATALOGUE}
_LATENCY = "henji_event_to_redis_seconds"
# Series of a partition or a lane that go with it: what stays would be frozen and taken for the truth.
_OF_PARTITION = ("henji_lag_records", "henji_fuse_dead_ratio", "henji_input_state")
_OF_MODEL = {
    "henji_model_recent_labels": "recent_n",
    "henji_model_log_loss_nats": "recent_log_loss",
    "henji_model_calibration_error_ratio": "recent_ece",
    "henji_model_mean_prediction_ratio": "recent_mean_p",
    "henji_model_base_rate_ratio": "recent_base_rate",
}
_OF_LANE = ("henji_lane_clock_seconds", "henji_lane_delay_seconds", "henji_champion_info", *_OF_MODEL)
_PROBABILITIES = ("churn", "contact")
_DRIFTING = ("prediction", "residual", *DRIFT_FEATURES)


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class Metrics:
    """The metrics of one worker, in a registry of their own.

    Every method is cheap and meant to be called once a batch or more rarely; all may be called from any thread.

    Parameters
    ----------
    flags
        Names of the flags in the rules in force (`RuleSet.names`); see `rules`.
    version
        Version of henji.
    now_ms
        Wall clock, ms.

    Examples
    --------
    >>> metrics = Metrics(["repeat_request"], version="0.1.0")
    >>> metrics.assigned([0, 1])
    >>> metrics.batch(0, Counts(read=2, applied=1, dead=1), [], appended_ms=[5, 9], committed_ms=14)
    >>> metrics.dead("json")
    >>> [line for line in metrics.exposition().decode().splitlines() if line.startswith("henji_records_read_total")]
    ['henji_records_read_total{partition="0"} 2.0', 'henji_records_read_total{partition="1"} 0.0']
    """

    def __init__(self, flags: Iterable[str] = (), *, version: str = "", now_ms: Callable[[], int] = _wall_ms) -> None:
        # A second series per counter that says when it was made: nobody asks, and a restart shows in the counter.
        prometheus_client.disable_created_metrics()  # type: ignore[no-untyped-call]  # has no annotations
        self._registry = CollectorRegistry(auto_describe=False)
        self._now_ms = now_ms
        self._metrics: dict[str, _Metric] = {}
        for spec in CATALOGUE:
            if spec.name != _LATENCY:
                self._metrics[spec.name] = _made(spec, self._registry)
        self._latency = _Latencies(_BY_NAME[_LATENCY])
        self._registry.register(self._latency)
        ProcessCollector(registry=self._registry)
        self._flags: set[str] = set()
        self._lanes: dict[int, set[int]] = {}
        self._clocks: dict[int, int] = {}
        self._learned: dict[tuple[int, str, str], int] = {}
        self.rules(flags)
        self._gauge("henji_build_info", version, platform.python_version()).set(1)
        # From 0 on, so that the first one is an increase.
        for reason in REASONS:
            self._counter("henji_dead_letters_total", reason)
        for stage in STAGES:
            self._histogram("henji_stage_seconds", stage)
        for trigger in TRIGGERS:
            for label in LABELS:
                self._counter("henji_labels_learned_total", label, trigger)
            for what in _DRIFTING:
                self._counter("henji_drift_alarms_total", "churn", trigger, what)

    @property
    def registry(self) -> CollectorRegistry:
        """Where the metrics are registered."""
        return self._registry

    def exposition(self) -> bytes:
        """Every metric in Prometheus's text format, of type `CONTENT_TYPE`."""
        return generate_latest(self._registry)

    # -- the group -----------------------------------------------------------------------------------------------

    def rules(self, flags: Iterable[str]) -> None:
        """Other rules are in force: their names of flags may be labels from here on."""
        for flag in flags:
            if len(self._flags) < MAX_FLAGS:
                self._flags.add(flag)

    def assigned(self, partitions: Collection[int]) -> None:
        """A rebalance has ended; these are all the partitions that are ours now."""
        self._drop([each for each in self._lanes if each not in partitions])
        self._counter("henji_rebalances_total").inc()
        self._gauge("henji_partitions_owned").set(len(partitions))
        for each in partitions:
            self._lanes.setdefault(each, set())
            self._counter("henji_records_read_total", str(each))
            for fate in FATES:
                self._counter("henji_records_total", str(each), fate)

    def revoked(self) -> None:
        """A rebalance has begun: no partition is ours, and what was known of them is not shown any more."""
        self._drop(list(self._lanes))
        self._gauge("henji_partitions_owned").set(0)

    # -- a batch -------------------------------------------------------------------------------------------------

    def spent(self, stage: str, seconds: float) -> None:
        """A batch spent some seconds in one of `STAGES`."""
        self._histogram("henji_stage_seconds", stage if stage in STAGES else OTHER).observe(seconds)

    def batch(
        self,
        partition: int,
        counts: Counts,
        outcomes: Sequence[Outcome],
        *,
        appended_ms: Sequence[int],
        committed_ms: int,
    ) -> None:
        """A batch was committed to Redis.

        Parameters
        ----------
        partition
            Its partition.
        counts
            Of this batch alone.
        outcomes
            What it did to its lanes: alerts, clocks, models and drift are taken from there.
        appended_ms
            When each record was appended to the log (its record time), wall clock in ms; without ticks.
        committed_ms
            When the transaction was answered, wall clock in ms.
        """
        label = str(partition)
        self._histogram("henji_batch_records").observe(counts.read)
        self._counter("henji_records_read_total", label).inc(counts.read)
        for fate, count in zip(FATES, counts[1:], strict=True):
            self._counter("henji_records_total", label, fate).inc(count)
        self._latency.observe(appended_ms, committed_ms)
        for outcome in outcomes:
            self.clock(partition, outcome.lane, outcome.clock)
            for alert in outcome.alerts:
                flag = alert.flag if alert.flag in self._flags else OTHER
                self._counter("henji_alerts_total", flag, alert.op if alert.op in OPS else OTHER).inc()
            self.models(partition, outcome.lane, outcome.model_rows)
            for alarm in outcome.drift:
                trigger = alarm.trigger if alarm.trigger in TRIGGERS else OTHER
                what = alarm.what if alarm.what in _DRIFTING else OTHER
                self._counter("henji_drift_alarms_total", "churn", trigger, what).inc()

    def dead(self, reason: str, n: int = 1) -> None:
        """So many records went to the dead letters for a reason, a code of `engine.decode.REASONS`."""
        self._counter("henji_dead_letters_total", reason if reason in REASONS else OTHER).inc(n)

    def engine_failed(self) -> None:
        """The engine failed on an event, which was set aside."""
        self._counter("henji_engine_failures_total").inc()

    # -- how things stand ----------------------------------------------------------------------------------------

    def lag(self, partition: int, records: int) -> None:
        """So many records of a partition are appended and not committed to Redis."""
        self._gauge("henji_lag_records", str(partition)).set(records)

    def clock(self, partition: int, lane: int, clock_ms: int) -> None:
        """The clock of a lane of this partition stands at this event time, ms; below 0 it has not begun."""
        if clock_ms < 0:
            return
        self._lanes.setdefault(partition, set()).add(lane)
        self._clocks[lane] = clock_ms
        self._gauge("henji_lane_clock_seconds", str(lane)).set(clock_ms / 1000)
        # Worked out when it is asked for: the delay of a lane that stands still must grow.
        self._gauge("henji_lane_delay_seconds", str(lane)).set_function(partial(self._delay_s, lane))

    def models(self, partition: int, lane: int, rows: Mapping[str, Mapping[str, str]]) -> None:
        """The models of a lane of this partition are so good, as rows of the board say; those that changed are enough.

        What was learned before the first call for a lane counts as not learned by us.
        """
        self._lanes.setdefault(partition, set()).add(lane)
        for trigger in TRIGGERS:
            for label in LABELS:
                row = rows.get(f"{label}_{trigger}")
                if row is None:
                    continue
                learned, key = int(row.get("learned", 0)), (lane, label, trigger)
                before = self._learned.get(key, learned)
                self._counter("henji_labels_learned_total", label, trigger).inc(max(0, learned - before))
                self._learned[key] = learned
                for name, figure in _OF_MODEL.items() if label in _PROBABILITIES else ():
                    if figure in row:
                        self._gauge(name, label, trigger, str(lane)).set(float(row[figure]))
                    else:
                        self._metrics[name].remove_by_labels({"model": label, "trigger": trigger, "lane": str(lane)})
                if "model" in row:
                    self._metrics["henji_champion_info"].remove_by_labels({"lane": str(lane)})
                    self._gauge("henji_champion_info", str(lane), row["model"], row.get("version", "")).set(1)

    def input_state(self, partition: int, state: str) -> None:
        """The input of a partition is one of `INPUT_STATES`, as `Progress.input_state` says."""
        for each in INPUT_STATES:
            self._gauge("henji_input_state", str(partition), each).set(each == state)

    def fuse(self, partition: int, dead_share: float) -> None:
        """Of the last records of a partition this share were dead, 0 to 1."""
        self._gauge("henji_fuse_dead_ratio", str(partition)).set(dead_share)

    def outbox(self, waiting: int) -> None:
        """So many messages are written to Redis and not yet sent to Kafka."""
        self._gauge("henji_outbox_waiting_messages").set(waiting)

    # -- what happens now and then ---------------------------------------------------------------------------------

    def conflict(self) -> None:
        """A transaction was refused: the partition is another worker's."""
        self._counter("henji_ledger_conflicts_total").inc()

    def retried(self) -> None:
        """A call to Redis failed and is made again."""
        self._counter("henji_redis_retries_total").inc()

    def ticked(self, n: int = 1) -> None:
        """So many ticks were put into the log."""
        self._counter("henji_ticks_sent_total").inc(n)

    def _delay_s(self, lane: int) -> float:
        return max(0, self._now_ms() - self._clocks.get(lane, 0)) / 1000

    def _drop(self, partitions: Iterable[int]) -> None:
        for partition in partitions:
            for name in _OF_PARTITION:
                self._metrics[name].remove_by_labels({"partition": str(partition)})
            for lane in self._lanes.pop(partition):
                for name in _OF_LANE:
                    self._metrics[name].remove_by_labels({"lane": str(lane)})
                self._clocks.pop(lane, None)
                for key in [key for key in self._learned if key[0] == lane]:
                    del self._learned[key]

    def _counter(self, name: str, *labels: str) -> Counter:
        metric = self._metrics[name]
        assert isinstance(metric, Counter)
        return metric.labels(*labels) if labels else metric

    def _gauge(self, name: str, *labels: str) -> Gauge:
        metric = self._metrics[name]
        assert isinstance(metric, Gauge)
        return metric.labels(*labels) if labels else metric

    def _histogram(self, name: str, *labels: str) -> Histogram:
        metric = self._metrics[name]
        assert isinstance(metric, Histogram)
        return metric.labels(*labels) if labels else metric


def _made(spec: MetricSpec, registry: CollectorRegistry) -> _Metric:
    if spec.kind == "histogram":
        return Histogram(spec.name, spec.help, spec.labels, buckets=spec.buckets, registry=registry)
    made = Counter if spec.kind == "counter" else Gauge
    return made(spec.name, spec.help, spec.labels, registry=registry)


class _Latencies(Collector):
    """A histogram that takes a whole batch at once: some 50 us for 4,000 records, where one by one it takes 5 ms."""

    def __init__(self, spec: MetricSpec) -> None:
        self._spec = spec
        self._bounds_ms = [round(bound * 1000, 3) for bound in spec.buckets]
        self._upto = [0] * (len(spec.buckets) + 1)
        self._sum_ms = 0
        self._lock = Lock()

    def observe(self, appended_ms: Sequence[int], committed_ms: int) -> None:
        # Nearly always in order already, and then sorting is one pass.
        appended = sorted(appended_ms)
        upto = [len(appended) - bisect_left(appended, committed_ms - bound) for bound in self._bounds_ms]
        # Clocks of two machines: what was appended after it was committed took no time.
        past = appended[: bisect_right(appended, committed_ms)]
        with self._lock:
            for place, count in enumerate([*upto, len(appended)]):
                self._upto[place] += count
            self._sum_ms += len(past) * committed_ms - sum(past)

    def collect(self) -> Iterator[HistogramMetricFamily]:
        with self._lock:
            upto, total_s = list(self._upto), self._sum_ms / 1000
        bounds = [*map(str, self._spec.buckets), "+Inf"]
        buckets = list(zip(bounds, map(float, upto), strict=True))
        yield HistogramMetricFamily(self._spec.name, self._spec.help, buckets=buckets, sum_value=total_s)
