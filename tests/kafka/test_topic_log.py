"""A topic as the log of a replay: what is read, in which order, to which end, and how a run goes on."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewTopic, RecordsToDelete

from engine.errors import ConfigurationError, LogMismatch, RecoverableError, UsageError
from engine.murmur2 import lane_of
from engine.rules import RuleSet
from streams.cli import main
from streams.cli.stores import replay_ledger
from streams.kafka.connection import Connection
from streams.reader.record import Record
from streams.reader.topic import Extent, TopicLog, decode_identity, encode_identity
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from streams.replay.outputs import Outputs
from streams.replay.run import Replay
from streams.settings import load_settings

LANES = 8
# The embedded broker has neither transactions nor a way to delete records.
on_apache_kafka = pytest.mark.parametrize("broker", [pytest.param("apache", marks=pytest.mark.kafka)], indirect=True)
_Answer = TypeVar("_Answer")


class Broker(Protocol):
    @property
    def brokers(self) -> str: ...


class Sent(NamedTuple):
    key: bytes | None
    value: bytes | None
    partition: int
    timestamp_ms: int = 1_700_000_000_000


def with_admin(broker: Broker, work: Callable[[AIOKafkaAdminClient], Awaitable[_Answer]]) -> _Answer:
    async def run() -> _Answer:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.brokers)
        await admin.start()
        try:
            return await work(admin)
        finally:
            await admin.close()

    return asyncio.run(run())


def topic(broker: Broker, partitions: int) -> str:
    name = f"events-{uuid.uuid4().hex[:8]}"
    with_admin(broker, lambda admin: admin.create_topics([NewTopic(name, partitions, 1)]))
    return name


def send(broker: Broker, name: str, records: Sequence[Sent]) -> None:
    async def run() -> None:
        async with AIOKafkaProducer(bootstrap_servers=broker.brokers) as producer:
            sent = [
                await producer.send(
                    name, each.value, key=each.key, partition=each.partition, timestamp_ms=each.timestamp_ms
                )
                for each in records
            ]
            await asyncio.gather(*sent)

    asyncio.run(run())


def send_transactions(broker: Broker, name: str, outcomes: str) -> None:
    """A record to partition 0 per letter, each in a transaction: `c`ommitted, `a`borted, or left `o`pen."""

    async def run() -> None:
        async with AIOKafkaProducer(bootstrap_servers=broker.brokers, transactional_id=uuid.uuid4().hex) as producer:
            for number, outcome in enumerate(outcomes):
                await producer.begin_transaction()
                await producer.send_and_wait(name, f"{outcome}{number}".encode(), partition=0)
                if outcome == "c":
                    await producer.commit_transaction()
                elif outcome == "a":
                    await producer.abort_transaction()

    asyncio.run(run())


def opened(broker: Broker, name: str, **more: Any) -> TopicLog:
    return TopicLog(Connection((broker.brokers,)), name, lanes=LANES, **more)


def flat(log: TopicLog) -> list[Record]:
    return [record for batch in log for record in batch]


def values(log: TopicLog) -> list[bytes | None]:
    return [record.raw for record in flat(log)]


def numbered(n: int, partitions: int) -> list[Sent]:
    return [Sent(b"k%d" % i, b"v%d" % i, i % partitions, 1_000 + i) for i in range(n)]


def test_records_come_partition_by_partition_each_from_first_to_last(broker: Broker) -> None:
    name = topic(broker, 4)
    send(broker, name, numbered(10, 4))
    with opened(broker, name) as log:
        assert flat(log) == [
            Record(b"v%d" % i, f"{name}/{i % 4}", i // 4, 1_000 + i, b"k%d" % i, i % 4)
            for i in sorted(range(10), key=lambda i: (i % 4, i))
        ]
        assert (log.n_partitions, log.total, log.passed) == (4, 10, 10)


@pytest.mark.parametrize("size", [1, 3, 100])
def test_batches_are_at_most_as_large_as_asked_for_and_of_one_partition(broker: Broker, size: int) -> None:
    name = topic(broker, 2)
    send(broker, name, numbered(14, 2))
    with opened(broker, name, batch_size=size) as log:
        batches = list(log)
    assert max(map(len, batches)) <= size
    assert all(len({record.partition for record in batch}) == 1 for batch in batches)
    assert sum(map(len, batches)) == 14


def test_iterating_again_starts_again(broker: Broker) -> None:
    name = topic(broker, 2)
    send(broker, name, numbered(6, 2))
    with opened(broker, name) as log:
        assert flat(log) == flat(log)


def test_a_tombstone_has_no_value_and_an_empty_record_has_an_empty_one(broker: Broker) -> None:
    name = topic(broker, 1)
    send(broker, name, [Sent(b"a", None, 0), Sent(None, b"", 0)])
    with opened(broker, name) as log:
        assert [(record.raw, record.key) for record in flat(log)] == [(None, b"a"), (b"", None)]


def test_a_topic_without_records_is_an_empty_log(broker: Broker) -> None:
    with opened(broker, topic(broker, 4)) as log:
        assert (flat(log), log.total) == ([], 0)


def test_what_is_appended_after_the_beginning_of_the_run_is_not_read(broker: Broker) -> None:
    name = topic(broker, 2)
    send(broker, name, numbered(6, 2))
    with opened(broker, name) as log:
        send(broker, name, [Sent(b"k", b"later", 0), Sent(b"k", b"later", 1)])
        assert b"later" not in values(log)
        assert log.identity == f"topic {name} offsets 0-3 0-3"


def test_a_run_that_goes_on_reads_to_the_ends_at_which_it_began(broker: Broker) -> None:
    name = topic(broker, 2)
    send(broker, name, numbered(6, 2))
    with opened(broker, name) as log:
        identity, before = log.identity, flat(log)
    send(broker, name, [Sent(b"k", b"later", 0)])
    with opened(broker, name) as log:
        assert log.identity != identity
        log.resume(identity)
        assert (log.identity, flat(log), log.total) == (identity, before, 6)


@pytest.mark.parametrize(
    ("identity", "told"),
    [
        ("log.jsonl:1234", "began with a topic"),
        ("topic other offsets 0-1 0-1", "topic other with 2 partitions"),
        ("topic {name} offsets 0-1", "with 1 partitions"),
        ("topic {name} offsets 0-1 0-9", "up to offset 9"),
    ],
)
def test_the_ledger_of_another_log_is_refused(broker: Broker, identity: str, told: str) -> None:
    name = topic(broker, 2)
    send(broker, name, numbered(6, 2))
    with opened(broker, name) as log, pytest.raises(LogMismatch, match=told):
        log.resume(identity.format(name=name))


@on_apache_kafka
def test_a_run_whose_beginning_retention_has_deleted_cannot_go_on(broker: Broker) -> None:
    name = topic(broker, 1)
    send(broker, name, numbered(6, 1))
    with opened(broker, name) as log:
        identity = log.identity
        with_admin(broker, lambda admin: admin.delete_records({TopicPartition(name, 0): RecordsToDelete(4)}))
        with pytest.raises(LogMismatch, match="retention has deleted"):
            flat(log)
    with opened(broker, name) as log:
        assert [record.position for record in flat(log)] == [4, 5]
        with pytest.raises(LogMismatch, match=r"from offset 0 on.* from 4 on"):
            log.resume(identity)


@on_apache_kafka
@pytest.mark.parametrize("outcomes", ["c", "ccc", "ca", "a", "aca"])
def test_a_partition_that_ends_in_control_records_is_read_to_its_end(broker: Broker, outcomes: str) -> None:
    name = topic(broker, 1)
    send_transactions(broker, name, outcomes)
    with opened(broker, name, patience_s=10.0) as log:
        assert values(log) == [f"c{i}".encode() for i, outcome in enumerate(outcomes) if outcome == "c"]
        assert log.passed == log.total == 2 * len(outcomes)
    with opened(broker, name, isolation="read_uncommitted", patience_s=10.0) as log:
        assert values(log) == [f"{outcome}{i}".encode() for i, outcome in enumerate(outcomes)]


@on_apache_kafka
def test_an_open_transaction_ends_the_committed_records(broker: Broker) -> None:
    name = topic(broker, 1)
    send_transactions(broker, name, "co")
    with opened(broker, name, patience_s=10.0) as log:
        assert values(log) == [b"c0"]


@pytest.mark.parametrize("partitions", [3, 16])
def test_partitions_that_do_not_divide_the_lanes_are_refused(broker: Broker, partitions: int) -> None:
    with pytest.raises(ConfigurationError, match=f"multiple of the {partitions} partitions"):
        opened(broker, topic(broker, partitions))


def test_a_topic_that_is_missing_is_told_and_not_made(broker: Broker) -> None:
    for _ in range(2):
        with pytest.raises(UsageError, match=r"kafka\.topic: expected a topic that exists"):
            opened(broker, "not-there")


def test_brokers_that_do_not_answer_are_told() -> None:
    with pytest.raises(RecoverableError, match=r"read events: expected an answer from 127\.0\.0\.1:9,"):
        TopicLog(Connection(("127.0.0.1:9",)), "events", lanes=LANES)


def test_partition_records_that_stay_away_are_told_and_do_not_hang(broker: Broker) -> None:
    name = topic(broker, 1)
    send(broker, name, numbered(3, 1))
    with opened(broker, name, patience_s=0.3) as log:
        log._extents = [Extent(0, 5)]
        with pytest.raises(RecoverableError, match="expected records from offset 3 to 5"):
            flat(log)


def test_an_identity_is_read_back() -> None:
    extents = [Extent(0, 9), Extent(2**40, 2**40 + 7)]
    assert decode_identity(encode_identity("a.b-c_d", extents)) == ("a.b-c_d", extents)


# -- henji replay --kafka ----------------------------------------------------------------------------------------


def event(number: int, n_customers: int = 9) -> dict[str, Any]:
    kind = {"kind": "complaint"} if number % 5 == 0 else {"kind": "request"}
    return {
        "event_id": f"e{number}",
        "customer_id": f"c{number % n_customers}",
        "ts": 1_690_000_000_000 + number * 600_000,
        "category": "billing",
        **kind,
    }


def keyed(events: Sequence[dict[str, Any]], partitions: int) -> list[Sent]:
    return [
        Sent(e["customer_id"].encode(), json.dumps(e).encode(), lane_of(e["customer_id"], partitions)) for e in events
    ]


@pytest.fixture
def file_digest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> str:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(event(i)) + "\n" for i in range(200)))
    assert main(["replay", str(path), "--digest"]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize("partitions", [1, 4])
def test_a_topic_gives_the_digest_of_the_file_it_was_made_from(
    broker: Broker, partitions: int, file_digest: str, capsys: pytest.CaptureFixture[str]
) -> None:
    name = topic(broker, partitions)
    send(broker, name, keyed([event(i) for i in range(200)], partitions))
    arguments = ["replay", "--kafka", broker.brokers, "--set", f"kafka.topic={name}", "--digest", "--batch", "37"]
    assert main(arguments) == 0
    assert capsys.readouterr().out == file_digest


class Killed(Exception):
    """As if the process ended here."""


@pytest.mark.parametrize("after", [1, 3])
def test_a_killed_run_goes_on_to_the_same_end_though_the_topic_has_grown(
    broker: Broker, redis_server: EmbeddedRedis, redis_client: RedisClient, file_digest: str, after: int,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    name = topic(broker, 2)
    send(broker, name, keyed([event(i) for i in range(200)], 2))
    settings, rules = load_settings(None, {}), RuleSet.default()
    result = settings.result(rules)

    def until_killed(log: TopicLog) -> Iterator[list[Record]]:
        for number, batch in enumerate(log):
            if number == after:
                raise Killed
            yield batch

    with (
        opened(broker, name, batch_size=30) as log,
        replay_ledger(redis_server.url, "r1", result, rules, None) as (ledger, _),
        pytest.raises(Killed),
    ):
        Replay(result, rules, ledger, Outputs({}), partitions=log.n_partitions).run(until_killed(log), log.identity)
    send(broker, name, keyed([event(i) for i in range(200, 230)], 2))
    arguments = ["replay", "--kafka", broker.brokers, "--set", f"kafka.topic={name}", "--run", "r1",
                 "--redis", redis_server.url, "--json"]  # fmt: skip
    assert main(arguments) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["resumed_at"] > 0, summary["read"], summary["digest"]) == (True, 200, file_digest.strip())
    # A finished run is a run to do again, with what the topic holds now.
    assert main(arguments) == 0
    summary = json.loads(capsys.readouterr().out)
    assert (summary["resumed_at"], summary["read"]) == (0, 230)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ([], "Missing argument 'FILE...', or option '--kafka"),
        (["log.jsonl", "--kafka", "localhost:9092"], "no files beside it"),
        (["--kafka", "localhost:9092", "--sort"], "no --sort"),
        (["--kafka", "localhost"], "HOST:PORT"),
    ],
)
def test_files_or_a_topic_but_not_both(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", *arguments]) == 2
    assert told in capsys.readouterr().err
