"""What the batch transport leans on in Faust and aiokafka, most of it private: a release that changes it fails here."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Mapping
from importlib.metadata import version
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.consumer.subscription_state import SubscriptionState, TopicPartitionState
from faust.app.base import App
from faust.tables.recovery import Recovery
from faust.transport.consumer import Consumer as AnyConsumer
from faust.transport.drivers.aiokafka import AIOKafkaConsumerThread, Consumer, Transport
from faust.types import TP

from streams.live.transport import (
    MAX_UNFINISHED,
    BatchConsumer,
    BatchSchema,
    BatchTransport,
    LiveApp,
    _ConsumerThread,
    _Fetched,
)

FAUST, AIOKAFKA = "0.15.", "0.14."
TOPIC = "events"


def test_the_releases_are_those_that_were_tried() -> None:
    found = version("faust-streaming"), version("aiokafka")
    assert found[0].startswith(FAUST), f"Faust {found[0]}: run `make test-kafka parity chaos` on it, then say so here"
    assert found[1].startswith(AIOKAFKA), f"aiokafka {found[1]}: run `make test-kafka parity chaos` on it, then say so"


@pytest.mark.parametrize(
    ("owner", "name", "parameters"),
    [
        (AnyConsumer, "getmany", ["timeout"]),
        (AnyConsumer, "_wait_next_records", ["timeout"]),
        (AnyConsumer, "_add_gap", ["tp", "offset_from", "offset_to"]),
        (AnyConsumer, "_new_offset", ["tp"]),
        (AnyConsumer, "perform_seek", []),
        (AnyConsumer, "on_partitions_revoked", ["revoked"]),
        (AnyConsumer, "pause_partitions", ["tps"]),
        (AnyConsumer, "resume_partitions", ["tps"]),
        (AIOKafkaConsumerThread, "_create_worker_consumer", ["transport"]),
        (AIOKafkaConsumerThread, "_commit", ["offsets"]),
        (AIOKafkaConsumerThread, "_seek_wait", ["consumer", "partitions"]),
        (AIOKafkaConsumerThread, "_fetch_records", ["consumer", "active_partitions", "timeout", "max_records"]),
        (AIOKafkaConsumerThread, "earliest_offsets", ["partitions"]),
        (AIOKafkaConsumerThread, "highwaters", ["partitions"]),
        (AIOKafkaConsumerThread, "call_thread", ["fun", "args", "kwargs"]),
        (AIOKafkaConsumerThread, "on_thread_stop", []),
        (App, "_new_transport", []),
        (GroupCoordinator, "request_rejoin", []),
    ],
)
def test_what_is_overridden_or_called_has_the_parameters_we_know(owner: Any, name: str, parameters: list[str]) -> None:
    found = list(inspect.signature(inspect.unwrap(getattr(owner, name))).parameters)
    assert [each for each in found if each != "self"] == parameters


def test_faust_still_asks_our_hooks_where_we_think() -> None:
    drain = inspect.getsource(AnyConsumer._drain_messages)
    assert "getmany(timeout=" in drain
    assert "_add_gap(" in drain
    # The only seek after a rebalance, and the last thing before fetching goes on.
    resume = inspect.getsource(Recovery._resume_streams)
    assert resume.index("perform_seek()") < resume.index("resume_flow()")
    # Bookkeeping is dropped before the handler commits: that is why we commit first.
    revoked = inspect.getsource(AnyConsumer.on_partitions_revoked)
    assert revoked.index("self._acked.pop") < revoked.index("_on_partitions_revoked")
    handler = inspect.getsource(App._on_partitions_revoked)
    assert handler.index("stop_flow") < handler.index("flow_control.clear") < handler.index("_consumer_wait_empty")
    assert "_new_offset(tp)" in inspect.getsource(AnyConsumer._filter_committable_offsets)


def test_aiokafka_still_keeps_what_we_read() -> None:
    assert "_isolation_level" in inspect.getsource(AIOKafkaConsumer.start)

    async def run() -> None:
        state = TopicPartitionState(None)
        assert (state.highwater, state.lso, state.timestamp, state.has_valid_position) == (None, None, None, False)
        assert SubscriptionState().subscription is None

    asyncio.run(run())


def test_the_transport_gives_our_consumer() -> None:
    assert issubclass(BatchTransport, Transport)
    assert BatchTransport.Consumer is BatchConsumer
    assert issubclass(BatchConsumer, Consumer)


# -- behaviour without a broker --------------------------------------------------------------------------------------


class Desk:
    """Owns partitions on paper."""

    def __init__(self) -> None:
        self.opened: list[frozenset[int]] = []
        self.ends: dict[int, int] = {}

    async def open(self, partitions: frozenset[int], generation: int) -> None:
        self.opened.append(partitions)

    async def revoked(self) -> None: ...

    def next_offset(self, partition: int) -> int | None:
        return self.ends.get(partition)

    async def out_of_range(self, error: Exception) -> None:
        raise error


def record(offset: int, partition: int = 0) -> Any:
    return SimpleNamespace(topic=TOPIC, partition=partition, offset=offset, timestamp=1_000, timestamp_type=1)


async def _nothing(*_: Any) -> None: ...


class Fixture:
    """A consumer whose fetches are given by hand."""

    def __init__(self) -> None:
        self.desk = Desk()
        self.app = LiveApp("group", desk=cast(Any, self.desk), topic=TOPIC, isolation="read_committed",
                           broker="kafka://127.0.0.1:9", store="memory://", topic_disable_leader=True)  # fmt: skip
        consumer = BatchTransport(self.app.conf.broker_consumer, self.app).create_consumer(
            callback=cast(Any, _nothing),
            on_partitions_revoked=cast(Any, _nothing),
            on_partitions_assigned=cast(Any, _nothing),
        )
        assert isinstance(consumer, BatchConsumer)
        self.consumer = consumer
        self.fetches: list[Mapping[TP, _Fetched]] = []

        async def fetched(timeout: float) -> tuple[Any, None]:
            return self.fetches.pop(0), None

        cast(Any, self.consumer)._wait_next_records = fetched

    def __enter__(self) -> Fixture:
        return self

    def __exit__(self, *_: object) -> None:
        # Faust makes the loop of the consumer's thread with the consumer, and closes it with the thread.
        self.consumer._thread.thread_loop.close()

    async def messages(self) -> list[Any]:
        return [message async for _, message in self.consumer.getmany(0.01)]


def test_a_fetch_is_one_message_per_partition_whose_offset_is_that_of_the_last_record() -> None:
    async def run() -> None:
        with Fixture() as f:
            f.fetches = [{TP(TOPIC, 0): _Fetched(5, [record(5), record(7)]), TP(TOPIC, 3): _Fetched(0, [record(0, 3)])}]
            first, second = await f.messages()
            assert (first.offset, first.value.follows, [r.offset for r in first.value.records]) == (7, 5, [5, 7])
            assert (first.value.end, first.key, second.value.partition) == (8, None, 3)

    asyncio.run(run())


def test_what_no_ledger_has_placed_and_other_topics_are_not_handed_on() -> None:
    async def run() -> None:
        with Fixture() as f:
            f.fetches = [{TP(TOPIC, 0): _Fetched(None, [record(5)]), TP("other", 0): _Fetched(0, [record(0)])}]
            assert await f.messages() == []

    asyncio.run(run())


def test_a_rebalance_in_the_middle_of_a_fetch_drops_the_rest() -> None:
    async def run() -> None:
        with Fixture() as f:
            f.fetches = [{TP(TOPIC, n): _Fetched(0, [record(0, n)]) for n in range(3)}]
            got = []
            async for _, message in f.consumer.getmany(0.01):
                got.append(cast(Any, message.value).partition)
                f.app.consumer_generation_id += 1
            assert got == [0]

    asyncio.run(run())


def test_no_more_is_fetched_than_the_agent_has_room_for() -> None:
    async def run() -> None:
        with Fixture() as f:
            f.fetches = [{TP(TOPIC, n): _Fetched(0, [record(0, n)]) for n in range(MAX_UNFINISHED)}] * 2
            first = await f.messages()
            assert len(first) == MAX_UNFINISHED
            assert await f.messages() == []
            assert len(f.fetches) == 1
            f.consumer.finished(first[0].value)
            assert len(await f.messages()) == MAX_UNFINISHED

    asyncio.run(run())


@pytest.mark.parametrize("ticks", range(4))
def test_a_stop_is_heard_at_the_moment_when_there_is_room_again(ticks: int) -> None:
    async def run() -> None:
        with Fixture() as f:
            f.fetches = [{TP(TOPIC, n): _Fetched(0, [record(0, n)]) for n in range(MAX_UNFINISHED)}] * 2
            first = await f.messages()

            async def fetch() -> None:
                async for _ in f.consumer.getmany(60):
                    pass

            fetcher = asyncio.create_task(fetch())
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            f.consumer.finished(first[0].value)
            for _ in range(ticks):
                await asyncio.sleep(0)
            if fetcher.cancel():
                with pytest.raises(asyncio.CancelledError):
                    await fetcher

    asyncio.run(run())


def test_what_is_committed_is_the_ledgers_offset_and_nothing_else() -> None:
    async def run() -> None:
        with Fixture() as f:
            tp = TP(TOPIC, 0)
            f.consumer._acked[tp] = [7, 8, 9]
            f.consumer._acked_index[tp] = {7, 8, 9}
            assert f.consumer._new_offset(tp) is None
            assert not f.consumer._acked[tp]
            assert not f.consumer._acked_index[tp]
            f.desk.ends[0] = 4
            assert f.consumer._new_offset(tp) == 4
            await f.consumer._add_gap(tp, 0, 1_000_000)
            assert not f.consumer._gap[tp]

    asyncio.run(run())


def test_the_thread_notes_what_each_fetch_follows_on() -> None:
    async def run() -> None:
        with Fixture() as f:
            thread = cast(_ConsumerThread, f.consumer._thread)
            tp = cast(TP, TopicPartition(TOPIC, 0))
            assert thread._move(tp, 10) is None
            thread.places[tp] = 4
            assert thread._move(tp, 10) == 4
            assert f.consumer.taken(0) == 10

    asyncio.run(run())


def test_the_schema_passes_the_batch_through_undecoded() -> None:
    async def run() -> None:
        with Fixture() as f:
            message = SimpleNamespace(value=object(), key=b'{"__faust": {"ns": "x"}}', headers=None)
            event = await BatchSchema().compile(f.app)(message)
            assert event.value is message.value
            assert event.key is None

    asyncio.run(run())
