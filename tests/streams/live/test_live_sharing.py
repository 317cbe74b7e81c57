"""Lanes of several partitions exchange what they learned: the log decides, and a replay of it says the same."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.decode import Limits, decode
from engine.duration import DAY_MS, HOUR_MS
from engine.rules import RuleSet
from engine.settings import ResultSettings
from engine.sharing import merge_order
from streams.kafka.producer import partition_for
from streams.ledger import Binding
from streams.live.batch import FetchedBatch
from streams.live.partition import LivePartition, OutgoingRecord
from streams.live.share import control_value, share_due
from streams.memory_ledger import MemoryLedger, MemoryStore
from streams.reader.record import Record
from streams.replay.outputs import Outputs
from streams.replay.run import Replay
from streams.standing import Standing

RULES = RuleSet.default()
LANES, PARTITIONS = 4, 2
SETTINGS = ResultSettings(
    lanes=LANES, churn_horizon_ms=2 * DAY_MS, engagement_horizon_ms=DAY_MS, contact_horizon_ms=DAY_MS,
    retire_ms=400 * DAY_MS, rules=RULES.version,
)  # fmt: skip
T0 = 1_700_006_400_000
"""A midnight, UTC."""


class Topic:
    """The events topic, its workers, and their store; nothing else is known after a crash."""

    def __init__(self) -> None:
        self.log: list[list[Any]] = [[] for _ in range(PARTITIONS)]
        self.store = MemoryStore()
        self.parts = [self.opened(number) for number in range(PARTITIONS)]

    def opened(self, number: int) -> LivePartition:
        """A worker that takes the partition over."""
        ledger = MemoryLedger(Binding.of("events", number, partitions=PARTITIONS, lanes=LANES), self.store)
        part = LivePartition(ledger, SETTINGS, RULES, partitions=PARTITIONS, generation=1)
        part.open(0, len(self.log[number]))
        return part

    def append(self, partition: int, key: bytes | None, value: bytes, ts: int) -> None:
        log = self.log[partition]
        log.append(
            SimpleNamespace(topic="events", partition=partition, offset=len(log), timestamp=ts, key=key, value=value)
        )

    def event(self, n: int, ts: int, kind: str) -> None:
        customer = f"c{n % 23}"
        event = {"event_id": f"e{n}", "customer_id": customer, "ts": ts, "kind": kind, "category": "billing"}
        self.append(partition_for(customer, PARTITIONS), customer.encode(), orjson.dumps(event), ts + 500)

    def order(self, now: int) -> None:
        """What the workers write now and then."""
        for part in self.parts:
            for lane, clock in part.clocks.items():
                epoch = share_due(
                    now, clock_ms=clock, told_ms=part.told[lane], delay_ms=part.append_delays.get(lane),
                    share_ms=DAY_MS, lateness_ms=HOUR_MS,
                )  # fmt: skip
                if epoch is not None:
                    value = control_value(merge_order(epoch, lane, LANES, min(clock, now)))
                    self.append(part.number, None, value, now)

    def take(self, number: int, most: int, *, dies: bool = False) -> None:
        """One batch; the worker dies before its transaction."""
        part = self.parts[number]
        ahead = self.log[number][part.handled_to : part.handled_to + most]
        if not ahead:
            return
        prepared = part.prepare(FetchedBatch(number, ahead, part.handled_to, 1))
        if dies:
            self.parts[number] = self.opened(number)
        elif prepared is not None:
            part.commit(prepared)

    def ship(self, number: int, now: int, *, dies: str = "") -> None:
        """Produce what waits; the worker dies before it, or before the outbox knows."""
        part = self.parts[number]
        if dies != "before":
            for entry in part.waiting[part.n_shipped :]:
                record = msgspec.msgpack.decode(entry, type=OutgoingRecord)
                assert (record.topic, record.key, record.headers) == ("events", None, [])
                assert record.partition is not None
                self.append(record.partition, None, record.value, now)
            part.n_shipped = len(part.waiting)
        if dies:
            self.parts[number] = self.opened(number)

    def drain(self, now: int) -> None:
        while any(part.handled_to < len(self.log[part.number]) for part in self.parts):
            for number in range(PARTITIONS):
                self.take(number, 500)
                self.ship(number, now)
        for part in self.parts:
            part.settle()

    def standing(self) -> Standing:
        return Standing.of_ledgers(SETTINGS, RULES, [part.ledger for part in self.parts])

    def replayed(self) -> Standing:
        """What `henji replay --kafka` says of the topic: its partitions one after the other."""
        run = Replay(
            SETTINGS, RULES, MemoryLedger(Binding.of("replay", 0, lanes=LANES)), Outputs({}), partitions=PARTITIONS
        )
        records = [
            Record(r.value, f"events/{r.partition}", r.offset, r.timestamp, r.key, r.partition)
            for log in self.log
            for r in log
        ]
        run.run([records[at : at + 97] for at in range(0, len(records), 97)], "log")
        return run.standing()

    def tallies(self) -> list[dict[str, int]]:
        lanes = [part._group.lanes[lane] for part in self.parts for lane in part.clocks]
        return [{k: v for k, v in lane.record.tallies.items() if k.startswith("share")} for lane in lanes]


def days(topic: Topic, n: int, each: Callable[[int], None]) -> int:
    """Feed some days; `each` is called every few hours with the time."""
    random, number = Random(4), 0
    for hour in range(24 * n):
        for _ in range(2):
            number += 1
            kind = ("view", "purchase", "request", "session")[random.randrange(4)]
            topic.event(number, T0 + hour * HOUR_MS + random.randrange(HOUR_MS), kind)
        each(T0 + (hour + 1) * HOUR_MS)
    return T0 + n * DAY_MS


def test_lanes_that_live_exchange_every_day_and_a_replay_of_the_topic_says_the_same() -> None:
    topic = Topic()

    def each(now: int) -> None:
        for number in range(PARTITIONS):
            topic.take(number, 100)
            topic.ship(number, now)
        topic.order(now)

    now = days(topic, 6, each)
    topic.drain(now)
    assert topic.tallies() == [{"shared": 6}] * LANES
    standing = topic.standing()
    assert standing.digest == topic.replayed().digest
    counts = [sum(values) for values in zip(*(part.counts for part in topic.parts), strict=True)]
    assert counts[0] == sum(map(len, topic.log)) == sum(counts[1:])
    assert counts[2] == counts[4] == 0
    # All that was exchanged stands in the log once, and is small.
    told = [r for log in topic.log for r in log if r.key is None]
    ids = [orjson.loads(r.value)["event_id"] for r in told]
    assert len(set(ids)) == len(ids)
    assert sum(each.startswith("model:") for each in ids) == 6 * LANES * (LANES - 1)
    assert max(len(r.value) for r in told) < 20_000 < Limits().max_bytes
    for record in told:
        decode(record.value, record_ts=record.timestamp, key=record.key)
    for part in topic.parts:
        assert part.ledger.outbox() == []


FATES = st.sampled_from(["", "", "", "before", "after"])


@settings(max_examples=10, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(st.tuples(st.booleans(), FATES, st.integers(1, 60)), min_size=4, max_size=20))
def test_workers_that_die_anywhere_lose_no_state_and_no_lane_merges_one_twice(
    fates: list[tuple[bool, str, int]],
) -> None:
    topic = Topic()
    turn = iter(fates * 100)

    def each(now: int) -> None:
        if now % (6 * HOUR_MS):
            return
        for number in range(PARTITIONS):
            dies, fate, most = next(turn)
            topic.take(number, most, dies=dies)
            topic.ship(number, now, dies=fate)
        topic.order(now)

    now = days(topic, 3, each)
    topic.drain(now)
    topic.order(now)
    topic.drain(now)
    standing = topic.standing()
    assert standing.digest == topic.replayed().digest
    for lane in topic.tallies():
        assert lane.keys() <= {"shared", "share_void", "share_stale"}
        assert lane["shared"] >= 1
    counts = [sum(values) for values in zip(*(part.counts for part in topic.parts), strict=True)]
    assert counts[0] == sum(map(len, topic.log)) == sum(counts[1:])
    # What was produced twice was dropped by its id.
    told = [orjson.loads(r.value)["event_id"] for log in topic.log for r in log if r.key is None]
    assert counts[2] == len(told) - len(set(told))


def test_a_crash_between_transaction_and_production_repeats_nothing_and_one_after_it_is_known() -> None:
    for dies, n_repeated in (("before", 0), ("after", 1)):
        topic = Topic()
        days(topic, 1, lambda now: None)
        for number in range(PARTITIONS):
            topic.take(number, 1_000)
        now = T0 + DAY_MS
        topic.order(now)
        topic.take(0, 10)
        waiting = len(topic.parts[0].waiting)
        assert waiting == (LANES // PARTITIONS) * (LANES - 1)
        topic.ship(0, now, dies=dies)
        assert len(topic.parts[0].waiting) == waiting
        topic.drain(now)
        assert [lane["shared"] for lane in topic.tallies()] == [1] * LANES
        assert sum(part.counts.duplicate for part in topic.parts) == n_repeated * waiting
        assert topic.standing().digest == topic.replayed().digest


def test_a_record_of_the_outbox_from_before_this_field_is_read() -> None:
    old = msgspec.msgpack.encode(["risk.alerts", b"c", b"{}", [("a", b"b")]])
    assert msgspec.msgpack.decode(old, type=OutgoingRecord) == OutgoingRecord("risk.alerts", b"c", b"{}", [("a", b"b")])


def test_states_do_not_make_a_lane_look_filled_in() -> None:
    topic = Topic()
    days(topic, 1, lambda now: None)
    topic.drain(T0 + DAY_MS)
    delays = [dict(part.append_delays) for part in topic.parts]
    later = T0 + 9 * DAY_MS
    topic.order(later)
    topic.drain(later)
    assert [dict(part.append_delays) for part in topic.parts] == delays
    assert [lane["shared"] for lane in topic.tallies()] == [1] * LANES


# -- when it is due --------------------------------------------------------------------------------------------------


def due(now: int = 1_050, *, clock: int = 1_020, told: int = 900, delay: int | None = 5, late: int | None = 50) -> Any:
    return share_due(now, clock_ms=clock, told_ms=told, delay_ms=delay, share_ms=100, lateness_ms=late)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, 1_000),
        ({"told": 1_000}, None),
        ({"told": -1}, 1_000),
        ({"clock": 999}, None),
        ({"clock": 999, "told": 800}, 900),
        ({"clock": 1_150}, 1_000),  # a clock ahead of ours
        ({"clock": -1, "told": -1}, None),
        ({"delay": None}, None),
        ({"delay": 51}, None),
        ({"delay": 51, "late": None}, 1_000),
        ({"delay": HOUR_MS + 1, "late": None}, None),
    ],
    ids=str,
)
def test_when_a_lane_is_told_to_hand_out(options: dict[str, Any], expected: int | None) -> None:
    assert due(**options) == expected
