"""A partition that is ours: opening, batches, crashes; on ledgers in memory and in Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.duration import DAY_MS
from engine.errors import LedgerConflict, LogMismatch, StoreUnavailable
from engine.outcome import Outcome
from engine.rules import RuleSet
from engine.settings import ENGINE_VERSION, ResultSettings
from streams.kafka.producer import partition_for
from streams.ledger import NOTHING_OUT, Binding, Ledger, Outbox, Position
from streams.live.batch import FetchedBatch
from streams.live.partition import LivePartition
from streams.memory_ledger import MemoryLedger, MemoryStore
from streams.reader.record import Record
from streams.redis.board_writer import BoardMeta
from streams.redis.embedded import EmbeddedRedis
from streams.redis.ledger import RedisLedger
from streams.replay.outputs import Outputs
from streams.replay.run import Replay
from streams.standing import Standing

RULES = RuleSet.default()
SETTINGS = ResultSettings(lanes=4, rules=RULES.version)
BINDING = Binding.of("events", 1, partitions=2, lanes=4)
T0 = 1_700_000_000_000
OURS = [name for name in (f"c{n}" for n in range(40)) if partition_for(name, 2) == 1][:6]
Factory = Callable[[], Ledger]


def record(offset: int, raw: bytes | None, key: bytes | None = b"", ts: int = T0) -> Any:
    if key == b"" and raw is not None:
        key = str(orjson.loads(raw).get("customer_id")).encode()
    return SimpleNamespace(topic="events", partition=1, offset=offset, timestamp=ts, key=key, value=raw)


def event(n: int, at: int = 0, kind: str = "request", customer: str | None = None, **fields: Any) -> bytes:
    who = OURS[n % len(OURS)] if customer is None else customer
    base = {"event_id": f"e{n}", "customer_id": who, "ts": T0 + at, "kind": kind, "category": "billing"}
    return orjson.dumps({**base, **fields})


def log(n: int) -> list[Any]:
    """Records with gaps, repeats, late and bad ones, and long silences between."""
    out, offset, at = [], 0, 0
    for i in range(n):
        at += (DAY_MS // 3, 1_000, 40_000_000)[i % 3]
        offset += 1 + (i % 7 == 3)
        ts = T0 + at + 1_000
        if i % 11 == 5:
            out.append(record(offset, event(i - 1, at, "view"), ts=ts))
        elif i % 13 == 6:
            out.append(record(offset, event(i, at - 9_000_000, "complaint"), ts=ts))
        elif i % 17 == 8:
            out.append(record(offset, b"not JSON", OURS[0].encode(), ts=ts))
        else:
            out.append(record(offset, event(i, at, ("request", "complaint", "view", "purchase")[i % 4]), ts=ts))
    return out


@pytest.fixture(params=["memory", "redis"])
def factory(request: pytest.FixtureRequest) -> Iterator[Factory]:
    """Makes ledgers that share one store."""
    if request.param == "memory":
        store = MemoryStore()
        yield lambda: MemoryLedger(BINDING, store)
        return
    server: EmbeddedRedis = request.getfixturevalue("redis_server")
    client = server.client()
    client.execute_command("FLUSHALL")
    yield lambda: RedisLedger(client, BINDING, BoardMeta(ENGINE_VERSION, RULES.version, 4))
    client.close()


def live(ledger: Ledger, **options: Any) -> LivePartition:
    return LivePartition(ledger, SETTINGS, RULES, partitions=2, generation=1, **options)


def batch(part: LivePartition, records: Sequence[Any]) -> FetchedBatch:
    return FetchedBatch(1, records, part.handled_to, 1)


def take(part: LivePartition, records: Sequence[Any]) -> None:
    prepared, durable = part.take(batch(part, records))
    if prepared is not None and not durable:
        part.commit(prepared)


def from_offset(records: Sequence[Any], offset: int) -> list[Any]:
    return [each for each in records if each.offset >= offset]


def expected(records: Sequence[Any]) -> Standing:
    """What a replay of the same records says."""
    ledger = MemoryLedger(Binding.of("replay", 0, lanes=4))
    run = Replay(SETTINGS, RULES, ledger, Outputs({}), partitions=2)
    run.run([[Record(r.value, "events/1", r.offset, r.timestamp, r.key, r.partition) for r in records]], "log")
    return run.standing()


def standing(ledger: Ledger) -> Standing:
    other = MemoryLedger(Binding.of("events", 0, partitions=2, lanes=4))
    return Standing.of_ledgers(SETTINGS, RULES, [ledger, other])


# -- opening ---------------------------------------------------------------------------------------------------------


def test_without_a_ledger_it_begins_at_0_of_a_whole_log_only(factory: Factory) -> None:
    assert live(factory()).open(0, 9) == 0
    with pytest.raises(LogMismatch, match="--start earliest"):
        live(factory()).open(3, 9)


@pytest.mark.parametrize(("start", "place"), [("earliest", 3), ("latest", 9)])
def test_where_it_was_told_to_begin_survives_a_crash_before_the_first_batch(
    factory: Factory, start: str, place: int
) -> None:
    about: dict[str, str] = {}
    assert live(factory(), about=about).open(3, 9, start) == place
    assert (about["start"], about["since"]) == (start, f"events/1@{place}")
    again: dict[str, str] = {}
    assert live(factory(), about=again).open(3, 99, "") == place
    assert again == about


def test_it_goes_on_after_the_record_that_it_reads_once_more(factory: Factory) -> None:
    records = log(30)
    part = live(factory())
    part.open(0, 99)
    take(part, records[:20])
    other = live(factory())
    assert other.open(0, 99) == records[19].offset
    take(other, records[19:])
    assert standing(other.ledger).digest == expected(records).digest


def test_a_topic_that_was_made_anew_is_refused(factory: Factory) -> None:
    records = log(12)
    part = live(factory())
    part.open(0, 99)
    take(part, records)
    for other in (record(records[-1].offset, event(900)), record(records[-1].offset + 4, event(901))):
        part = live(factory())
        part.open(0, 99)
        with pytest.raises(LogMismatch, match="expected the record at offset"):
            part.prepare(batch(part, [other]))


def test_a_log_that_lost_what_was_not_read_is_refused_and_one_that_lost_the_rest_is_not(factory: Factory) -> None:
    records = log(12)
    part = live(factory())
    part.open(0, 99)
    take(part, records)
    end = records[-1].offset + 1
    assert live(factory()).open(end, 99) == end
    with pytest.raises(LogMismatch, match="deleted before they were read"):
        live(factory()).open(end + 1, 99)


# -- batches ---------------------------------------------------------------------------------------------------------


def test_a_batch_that_does_not_follow_is_refused(factory: Factory) -> None:
    part = live(factory())
    part.open(0, 99)
    take(part, log(4))
    with pytest.raises(LedgerConflict, match="reading goes on from the ledger"):
        part.prepare(FetchedBatch(1, [record(50, event(50))], 49, 1))


def test_who_lost_the_partition_writes_nothing(factory: Factory) -> None:
    records = log(20)
    zombie = live(factory())
    zombie.open(0, 99)
    take(zombie, records[:10])
    owner = live(factory())
    owner.open(0, 99)
    with pytest.raises(LedgerConflict):
        take(zombie, records[10:])
    take(owner, records[9:])
    assert standing(owner.ledger).digest == expected(records).digest


class Flaky:
    """A ledger of which one method can be told to fail."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.failing = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    def load(self, lane: int, customer_ids: Sequence[str]) -> dict[str, bytes | None]:
        # Not the first lane of the batch: what was loaded before must not stay half applied.
        if self.failing == "load" and lane == BINDING.own[-1]:
            raise StoreUnavailable("away")
        return self._ledger.load(lane, customer_ids)

    def commit(self, outcomes: Sequence[Outcome], position: Position, outbox: Outbox = NOTHING_OUT) -> None:
        if self.failing == "commit":
            raise StoreUnavailable("away")
        self._ledger.commit(outcomes, position, outbox)


@pytest.mark.parametrize("clean", [True, False])
def test_a_store_that_is_away_leaves_everything_as_it_was_and_the_same_call_goes_on(
    factory: Factory, clean: bool
) -> None:
    records = [each for each in log(40) if not clean or each.value[:1] == b"{"]
    flaky = Flaky(factory())
    part = live(flaky)
    part.open(0, 99)
    there = batch(part, records)
    for failing in ("load", "load", "commit", "commit"):
        flaky.failing = failing
        with pytest.raises(StoreUnavailable):
            take_all(part, there)
    flaky.failing = ""
    take_all(part, there)
    assert standing(part.ledger).digest == expected(records).digest


def take_all(part: LivePartition, there: FetchedBatch) -> None:
    """As the worker does it, which comes again with the same batch."""
    prepared, durable = PREPARED.pop(id(part), None) or part.take(there)
    if prepared is not None and not durable:
        PREPARED[id(part)] = (prepared, durable)
        part.commit(prepared)
        del PREPARED[id(part)]


PREPARED: dict[int, Any] = {}


def test_bad_places_and_keys_are_dead_letters_and_say_why(factory: Factory) -> None:
    theirs = next(name for name in (f"x{n}" for n in range(40)) if partition_for(name, 2) == 0)
    records = [
        record(0, event(0)),
        record(1, event(1, customer=theirs)),
        record(2, event(2), b"somebody"),
        record(3, event(3), None),
        record(4, event(4, customer=theirs), None),
        record(5, None, OURS[0].encode()),
        record(6, b"", OURS[0].encode()),
        record(7, event(7, at=600_000), ts=T0),
        record(8, event(8, at=600_000), ts=-1),
    ]
    part = live(factory())
    part.open(0, 99)
    prepared = part.prepare(batch(part, records))
    assert prepared is not None
    assert [(d.place, d.reason) for d in prepared.applied.dead] == [
        (1, "misrouted"), (2, "key_mismatch"), (4, "misrouted"), (5, "tombstone"), (6, "empty"), (7, "future"),
    ]  # fmt: skip
    part.commit(prepared)
    assert tuple(part.counts) == (9, 3, 0, 0, 6)
    assert standing(part.ledger).digest == expected(records).digest


# -- the outbox ------------------------------------------------------------------------------------------------------


def test_copies_of_alerts_wait_until_they_were_sent(factory: Factory) -> None:
    records = [record(n, event(n, n * 1_000, customer=OURS[0])) for n in range(4)]
    part = live(factory(), alerts_topic="risk.alerts")
    part.open(0, 99)
    take(part, records[:2])
    waiting = list(part.waiting)
    assert len(waiting) == 1
    # A crash before they were sent: the next owner sends them.
    other = live(factory(), alerts_topic="risk.alerts")
    other.open(0, 99)
    assert other.waiting == waiting
    other.n_shipped = len(waiting)
    other.settle()
    assert live_waiting(factory) == []


def live_waiting(factory: Factory) -> list[bytes]:
    part = live(factory(), alerts_topic="risk.alerts")
    part.open(0, 99)
    return part.waiting


# -- crashes ---------------------------------------------------------------------------------------------------------


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.tuples(st.integers(1, 30), st.sampled_from(["go on", "lost", "crash", "crash after"])), min_size=1))
def test_any_batches_with_crashes_between_give_the_digest_of_a_replay(steps: list[tuple[int, str]]) -> None:
    records = log(60)
    store = MemoryStore()

    def anew() -> LivePartition:
        part = live(MemoryLedger(BINDING, store))
        part.open(0, 999)
        return part

    part = anew()
    for size, what in [*steps, *[(30, "go on")] * 3]:
        ahead = from_offset(records, part.handled_to)[:size]
        if not ahead:
            continue
        prepared = part.prepare(batch(part, ahead))
        if what == "crash":
            part = anew()
            continue
        if prepared is not None:
            part.commit(prepared)
        if what == "crash after":
            part = anew()
        elif what == "lost":
            # A batch that was lost on the way through the process shows in the next one.
            with pytest.raises(LedgerConflict):
                part.prepare(FetchedBatch(1, [record(10_000, event(1))], part.handled_to + 1, 1))
            part = anew()
    for ahead in iter(lambda: from_offset(records, part.next_offset), []):
        take(part, from_offset(records, part.handled_to) if part.handled_to != part.next_offset else ahead)
    assert standing(part.ledger).digest == expected(records).digest
    counts = part.counts
    assert counts.read == len(records) == sum(counts[1:])
    assert min(counts) > 0
