"""Hours of a topic: what is read between two times of records, and how such a run is named and gone on with."""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from engine.errors import LogMismatch, UsageError
from engine.murmur2 import lane_of
from streams.cli import main
from streams.kafka.connection import Connection
from streams.kafka.embedded import EmbeddedBroker, find_broker
from streams.reader.topic import WHOLE, Span, TopicLog, decode_span, encode_identity
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis

MARCH = 1_740_787_200_000  # 2025-03-01T00:00:00Z
HOUR = 3_600_000


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedBroker]:
    try:
        binary = find_broker()
    except UsageError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with EmbeddedBroker(binary=binary) as running:
        yield running


def event(number: int) -> dict[str, Any]:
    return {
        "event_id": f"e{number}",
        "customer_id": f"c{number % 5}",
        "ts": MARCH + number * HOUR,
        "kind": "request",
        "category": "billing",
    }


def fill(broker: EmbeddedBroker, n: int, *, name: str = "", start: int = 0) -> str:
    """A topic of two partitions with an event an hour, appended when it happened; or more events for it."""
    made = name or f"events-{uuid.uuid4().hex[:8]}"

    async def run() -> None:
        if not name:
            admin = AIOKafkaAdminClient(bootstrap_servers=broker.brokers)
            await admin.start()
            await admin.create_topics([NewTopic(made, 2, 1)])
            await admin.close()
        async with AIOKafkaProducer(bootstrap_servers=broker.brokers) as producer:
            for each in map(event, range(start, start + n)):
                customer = each["customer_id"]
                await producer.send_and_wait(
                    made, json.dumps(each).encode(), key=customer.encode(), partition=lane_of(customer, 2),
                    timestamp_ms=each["ts"],
                )  # fmt: skip

    asyncio.run(run())
    return made


@pytest.fixture(scope="module")
def topic(broker: EmbeddedBroker) -> str:
    return fill(broker, 48)


def hours(broker: EmbeddedBroker, topic: str, span: Span) -> list[int]:
    with TopicLog(Connection((broker.brokers,)), topic, lanes=8, span=span, batch_size=7) as log:
        return sorted((json.loads(record.raw or b"")["ts"] - MARCH) // HOUR for batch in log for record in batch)


@pytest.mark.parametrize(
    ("since", "until", "expected"),
    [
        (None, None, range(48)),
        (10 * HOUR, None, range(10, 48)),
        (10 * HOUR + 1, 20 * HOUR, range(11, 20)),
        (None, 20 * HOUR + 1, range(21)),
        (-HOUR, 0, range(0)),
        (47 * HOUR, 99 * HOUR, range(47, 48)),
        (99 * HOUR, None, range(0)),
    ],
)
def test_what_was_appended_between_two_times_is_read_and_nothing_else(
    broker: EmbeddedBroker, topic: str, since: int | None, until: int | None, expected: range
) -> None:
    span = Span(*(None if at is None else MARCH + at for at in (since, until)))
    assert hours(broker, topic, span) == list(expected)


def test_the_span_is_part_of_what_names_a_run_and_is_read_back(broker: EmbeddedBroker, topic: str) -> None:
    names, span = set(), Span(MARCH, None)
    for each in (WHOLE, span, Span(None, MARCH), Span(MARCH, MARCH + 1)):
        with TopicLog(Connection((broker.brokers,)), topic, lanes=8, span=each) as log:
            names.add(log.place)
            assert decode_span(log.identity) == each
    assert len(names) == 4
    assert decode_span("log.jsonl:17") == WHOLE


@pytest.mark.parametrize("given", [WHOLE, Span(MARCH, None)])
def test_a_run_goes_on_only_with_the_times_that_it_began_with(broker: EmbeddedBroker, topic: str, given: Span) -> None:
    with TopicLog(Connection((broker.brokers,)), topic, lanes=8, span=Span(MARCH + HOUR, None)) as log:
        begun = log._extents
        log.resume(log.identity)
        assert log._extents == begun
        with pytest.raises(LogMismatch, match="expected --from and --to of the beginning of this run"):
            log.resume(encode_identity(topic, begun, given))


def test_last_march_on_the_board_under_a_name_of_its_own(
    broker: EmbeddedBroker, redis_server: EmbeddedRedis, redis_client: RedisClient, capsys: pytest.CaptureFixture[str]
) -> None:
    name = fill(broker, 30)
    arguments = ["replay", "--kafka", broker.brokers, "--set", f"kafka.topic={name}", "--redis", redis_server.url]
    march = [*arguments, "--run", "march", "--from", "2025-03-01T12:00:00+02:00", "--to", "2025-03-02", "--json"]
    found = []
    for cores in ("1", "2"):
        assert main([*march, "--cores", cores]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert [(each["since"], each["read"], each["prefix"]) for each in found] == [
        (MARCH + 10 * HOUR, 14, "replay:march:")
    ] * 2
    assert found[0]["digest"] == found[1]["digest"]
    assert redis_client.execute_command("HGET", "replay:march:meta", "since") == b"%d" % (MARCH + 10 * HOUR)
    assert main([*arguments, "--run", "all", "--json"]) == 0
    whole = json.loads(capsys.readouterr().out)
    assert (whole["since"], whole["read"]) == (None, 30)
    assert main(["verify", "--redis", redis_server.url, "--prefix", "replay:march:"]) == 0
    assert "nothing wrong" in capsys.readouterr().out
    assert main(["customer", "c1", "--redis", redis_server.url, "--prefix", "replay:march:", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["customer_id"] == "c1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "yesterday"], "--from: expected a day such as 2025-03-01"),
        (["--to", "2025-13-01"], "--to: expected a day such as"),
        (["--to", "2025-03-01T08:00:00"], "a time with its offset"),
        (["--from", "1969-12-31"], "from 1970 to 2100"),
        (["--from", "2025-03-02", "--to", "2025-03-01"], "--to: expected a time after --from 2025-03-02"),
        (["--from", "2025-03-02", "--to", "2025-03-02"], "--to: expected a time after"),
    ],
)
def test_times_that_are_none_are_told(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--kafka", "127.0.0.1:9", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_times_are_for_topics(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "log.jsonl", "--from", "2025-03-01"]) == 2
    assert "expected --kafka beside them" in capsys.readouterr().err
