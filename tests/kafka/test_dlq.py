"""Dead letters on real brokers: written as the worker writes them, listed, shown, replayed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterable
from contextlib import aclosing
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from engine.decode import decode
from engine.errors import InvalidEvent, UsageError
from streams.cli import main
from streams.kafka import topics
from streams.kafka.connection import Connection
from streams.kafka.dead_letter import MAX_LETTER_BYTES, MAX_RAW_BYTES, DeadLetter, Place, Resolution
from streams.kafka.dead_letter_log import LetterLog, Stored
from streams.kafka.dead_letter_replay import Replayer
from streams.kafka.layout import Layout
from streams.settings import load_settings
from tests.kafka.conftest import Broker

PARTITIONS = 4
GOOD = b'{"event_id": "e1",  "customer_id":"c1","ts":1767225600000,"kind":"view", "x": "\xe5\xad\xa6"}'


class Desk:
    """A deployment's topics on a broker, and the command line over them."""

    def __init__(self, broker: Broker, topic: str, capfd: pytest.CaptureFixture[str]) -> None:
        self.events = topic
        self.connection = Connection((broker.brokers,))
        self._capfd = capfd
        settings = load_settings(None, {}, [("kafka.topic", topic, ""), ("kafka.partitions", str(PARTITIONS), "")])
        asyncio.run(topics.create(self.connection, Layout.of(settings)))

    def letter(self, offset: int, raw: bytes | None = b"{", reason: str = "json", **other: Any) -> DeadLetter:
        fields: dict[str, Any] = {"key": b"c1", "partition": 3, "field": "", "message": "expected, got"} | other
        return DeadLetter(raw=raw, topic=self.events, offset=offset, timestamp_ms=1_767_225_600_000,
                          reason=reason, **fields)  # fmt: skip

    def write(self, *records: DeadLetter | Resolution, end: str = ".dead") -> None:
        asyncio.run(self._write(self.events + end, records))

    async def _write(self, topic: str, records: Iterable[DeadLetter | Resolution], *, batched: bool = False) -> None:
        producer = AIOKafkaProducer(**self.connection.aiokafka(), max_request_size=MAX_LETTER_BYTES)
        await producer.start()
        try:
            # One by one, so that each has a time of its own and the order holds; or as the worker does.
            for record in records:
                acknowledged = await producer.send(topic, **record.record())
                if not batched:
                    await acknowledged
            await producer.flush()
        finally:
            await producer.stop()

    def run(self, *arguments: str, code: int = 0) -> Any:
        """Run `henji dlq` with `--json`; what it printed."""
        out, err = self.text(*arguments, "--json", code=code)
        return json.loads(out) if out else err

    def text(self, command: str, *arguments: str, code: int = 0) -> tuple[str, str]:
        where = ["--kafka", ",".join(self.connection.brokers), "--topic", self.events]
        self._capfd.readouterr()
        assert main(["dlq", command, *arguments, *where]) == code
        out, err = self._capfd.readouterr()
        return out, err

    def open(self, *options: str) -> list[str]:
        return [letter["place"] for letter in self.run("list", *options)["letters"]]

    def place(self, offset: int) -> str:
        return f"{self.events}/3/{offset}"

    def records(self, topic: str | None = None) -> list[Any]:
        """Everything in a topic, partition by partition."""
        return asyncio.run(self._records(topic or self.events))

    async def _records(self, topic: str) -> list[Any]:
        out: list[Any] = []
        consumer = AIOKafkaConsumer(
            **self.connection.aiokafka(), auto_offset_reset="earliest", enable_auto_commit=False
        )
        await consumer.start()
        try:
            partitions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
            ends = await consumer.end_offsets(partitions)
            for partition in partitions:
                consumer.assign([partition])
                consumer.seek(partition, 0)
                while await consumer.position(partition) < ends[partition]:
                    out += (await consumer.getmany(partition, timeout_ms=100)).get(partition, [])
        finally:
            await consumer.stop()
        return out


@pytest.fixture
def desk(broker: Broker, topic: str, capfd: pytest.CaptureFixture[str]) -> Desk:
    return Desk(broker, topic, capfd)


def test_letters_are_counted_by_reason_and_the_newest_come_first(desk: Desk) -> None:
    reasons = ["json", "kind", "json", "ts"]
    desk.write(*(desk.letter(i, reason=reason) for i, reason in enumerate(reasons)))
    listed = desk.run("list", "--limit", "3")
    assert (listed["open"], listed["resolved"], listed["foreign"]) == (4, 0, 0)
    assert listed["reasons"] == {"json": 2, "kind": 1, "ts": 1}
    assert [letter["place"] for letter in listed["letters"]] == [desk.place(i) for i in (3, 2, 1)]
    assert desk.open("--reason", "json") == [desk.place(2), desk.place(0)]
    assert desk.open("--limit", "0") == []


def test_a_letter_that_was_written_twice_is_listed_once(desk: Desk) -> None:
    desk.write(desk.letter(7), desk.letter(8), desk.letter(7))
    assert desk.open() == [desk.place(8), desk.place(7)]


def test_letters_that_were_written_in_batches_are_all_listed(desk: Desk) -> None:
    asyncio.run(desk._write(f"{desk.events}.dead", [desk.letter(i) for i in range(3_000)], batched=True))
    assert desk.run("list")["open"] == 3_000


def test_the_same_offset_of_two_partitions_is_two_letters(desk: Desk) -> None:
    desk.write(desk.letter(7), desk.letter(7, partition=1))
    assert desk.run("list")["open"] == 2


@pytest.mark.parametrize("first", [True, False], ids=["before", "after"])
def test_a_resolved_letter_is_closed_wherever_its_resolution_lies(desk: Desk, first: bool) -> None:
    letter = desk.letter(7)
    resolution = Resolution(letter.place)
    if first:
        desk.write(resolution, letter)
    else:
        # After a rollback of the ledger the worker writes the letter again.
        desk.write(letter, resolution, letter)
    listed = desk.run("list")
    assert (listed["open"], listed["resolved"]) == (0, 1)
    assert desk.run("show", desk.place(7))["resolved"] == "replayed"


def test_foreign_records_are_counted_and_left_alone(desk: Desk) -> None:
    async def strange() -> None:
        producer = AIOKafkaProducer(**desk.connection.aiokafka())
        await producer.start()
        try:
            for headers in ([], [("henji-schema", b"9")], [("henji-schema", b"1"), ("henji-topic", b"\xff")]):
                await producer.send_and_wait(f"{desk.events}.dead", value=b"?", headers=headers)
        finally:
            await producer.stop()

    asyncio.run(strange())
    desk.write(desk.letter(1))
    listed = desk.run("list")
    assert (listed["open"], listed["foreign"]) == (1, 3)
    assert desk.run("replay", "--all", "--force")["sent"] == 1


@pytest.mark.parametrize(("raw", "key"), [
    (GOOD, b"c1"), (b"\xff\x00\xfe", b"\xff"), (b"", None), (None, b"c1"), (None, None), (b"{}\r\n", b""),
], ids=["text", "binary", "empty", "tombstone", "nothing", "line"])  # fmt: skip
def test_a_letter_shows_exactly_the_bytes_that_were_found(desk: Desk, raw: bytes | None, key: bytes | None) -> None:
    desk.write(desk.letter(5, raw, key=key))
    shown = desk.run("show", desk.place(5))

    def content(name: str) -> bytes | None:
        if shown[f"{name}_hex"] is not None:
            return bytes.fromhex(shown[f"{name}_hex"])
        return None if shown[name] is None else str(shown[name]).encode()

    assert (content("raw"), content("key")) == (raw, key)
    assert shown["headers"]["henji-reason"] == "json"
    assert shown["headers"]["henji-offset"] == "5"


def test_the_bytes_alone_can_be_taken_out(desk: Desk) -> None:
    desk.write(desk.letter(5, GOOD))
    assert desk.text("show", desk.place(5), "--raw")[0].encode() == GOOD


def test_what_people_read_has_no_orders_to_their_terminal(desk: Desk) -> None:
    desk.write(desk.letter(5, b"\x1b[31mred", message="got \x1b[31m", key="学".encode()))
    listed, _ = desk.text("list")
    shown, _ = desk.text("show", desk.place(5))
    assert "\x1b" not in listed + shown
    assert r"got \x1b[31m" in listed
    assert "1b5b 3331" in shown
    assert "学" in shown


def test_a_letter_that_is_not_there_is_said_to_be_missing(desk: Desk) -> None:
    assert "expected a letter of" in desk.run("show", desk.place(9), code=1)
    assert "TOPIC/PARTITION/OFFSET" in desk.run("show", "events", code=2)


def test_a_replayed_letter_comes_back_byte_for_byte_under_its_key_and_is_closed(desk: Desk) -> None:
    desk.write(desk.letter(5, GOOD, "engine"), desk.letter(6, GOOD, "engine", key=None))
    assert desk.run("replay", "--all")["sent"] == 2
    for record in desk.records():
        assert (record.value, record.key, record.partition) == (GOOD, b"c1", 3)
        assert record.headers == ()
    listed = desk.run("list")
    assert (listed["open"], listed["resolved"]) == (0, 2)
    assert desk.run("replay", "--all")["sent"] == 0
    assert len(desk.records()) == 2


def test_a_wrong_key_is_mended_and_any_other_kept(desk: Desk) -> None:
    desk.write(
        desk.letter(1, GOOD, "key_mismatch", key=b"other"),
        desk.letter(2, b"\xff", "encoding", key=b"other"),
        desk.letter(3, b'{"kind":"tick","lane":6,"lanes":8}', "engine", key=None),
    )
    assert desk.run("replay", "--all", "--force")["sent"] == 3
    sent = {record.value: (record.key, record.partition) for record in desk.records()}
    assert sent[GOOD] == (b"c1", 3)
    assert sent[b"\xff"][0] == b"other"
    assert sent[b'{"kind":"tick","lane":6,"lanes":8}'] == (None, 2)


def test_a_customers_letters_are_replayed_in_their_order(desk: Desk) -> None:
    raws = [GOOD.replace(b"e1", b"e%d" % i) for i in range(1_200)]  # several chunks
    desk.write(*(desk.letter(i, raw, "engine") for i, raw in enumerate(raws)))
    assert desk.run("replay", "--all")["sent"] == len(raws)
    assert [record.value for record in desk.records()] == raws


def test_what_would_be_refused_again_is_held_back_and_stays_open(desk: Desk) -> None:
    desk.write(
        desk.letter(1, b"{", "json"), desk.letter(2, GOOD, "future"), desk.letter(3, None, "tombstone", key=None)
    )
    answer = desk.run("replay", "--all")
    assert (answer["sent"], answer["held_back_by_reason"]) == (1, {"json": 1, "tombstone": 1})
    assert Counter(desk.open()) == Counter([desk.place(1), desk.place(3)])
    forced = desk.run("replay", "--all", "--force")
    # No producer can send a record with neither key nor value.
    assert (forced["sent"], forced["held_back"]) == (1, 1)
    assert sorted(record.value for record in desk.records()) == [b"{", GOOD]


def test_only_what_was_selected_is_replayed(desk: Desk) -> None:
    desk.write(*(desk.letter(i, GOOD, reason) for i, reason in enumerate(["engine", "future", "engine", "kind"])))
    assert desk.run("replay", "--reason", "engine")["sent"] == 2
    assert sorted(desk.open()) == [desk.place(1), desk.place(3)]
    assert desk.run("replay", desk.place(3))["sent"] == 1
    assert desk.open() == [desk.place(1)]
    again = desk.run("replay", desk.place(3), code=1)
    assert again["not_found"] == [desk.place(3)]


def test_a_dry_run_says_what_would_be_sent_and_sends_nothing(desk: Desk) -> None:
    desk.write(desk.letter(1, GOOD, "engine"), desk.letter(2, b"{"))
    answer = desk.run("replay", "--all", "--dry-run")
    assert (answer["sent"], answer["held_back"], answer["dry_run"]) == (1, 1, True)
    assert desk.records() == []
    assert desk.run("list")["open"] == 2


def test_a_cut_letter_is_never_taken_for_the_record(desk: Desk) -> None:
    desk.write(desk.letter(1, b"x" * (MAX_LETTER_BYTES + 1), "too_large"))
    assert desk.run("list")["letters"][0]["bytes"] == MAX_LETTER_BYTES + 1
    assert desk.run("replay", "--all", "--force")["held_back_by_reason"] == {"cut": 1}
    assert desk.records() == []


def test_the_longest_record_that_a_letter_holds_whole_fits_the_topic(desk: Desk) -> None:
    raw = b"x" * (MAX_RAW_BYTES - 2)
    desk.write(desk.letter(1, raw, "too_large", message="界" * 1_000))
    assert desk.run("show", desk.place(1))["raw"] == raw.decode()


def test_a_selection_must_be_given_and_only_one(desk: Desk) -> None:
    for wrong in ([], ["--all", "--reason", "json"], [desk.place(1), "--all"], ["nowhere"]):
        desk.run("replay", *wrong, code=2)


def test_late_events_are_replayed_by_force_only(desk: Desk) -> None:
    desk.write(desk.letter(1, GOOD, "late", error="LateEvent"), end=".late")
    assert desk.open() == []
    assert desk.open("--late") == [desk.place(1)]
    assert "--force" in desk.run("replay", "--all", "--late", code=2)
    assert desk.records() == []
    assert desk.run("replay", "--all", "--late", "--force")["sent"] == 1
    assert desk.open("--late") == []
    assert [record.value for record in desk.records()] == [GOOD]


def test_events_are_sent_before_their_letters_are_resolved(desk: Desk) -> None:
    """A crash between the two leaves a letter open whose event was sent: a duplicate, never a loss."""
    desk.write(desk.letter(1, GOOD, "engine"))

    class Crashed(Exception):
        pass

    class Crashing(Replayer):
        async def _resolve(self, letters: list[DeadLetter]) -> None:
            raise Crashed

    async def crash() -> None:
        async with Crashing(desk.connection, desk.events, f"{desk.events}.dead") as replayer:
            await replayer.add(desk.letter(1, GOOD, "engine"))

    with pytest.raises(Crashed):
        asyncio.run(crash())
    assert [record.value for record in desk.records()] == [GOOD]
    assert desk.open() == [desk.place(1)]
    desk.run("replay", "--all")
    ids = {decode(record.value).event_id for record in desk.records()}
    assert ids == {"e1"}
    assert desk.open() == []


def test_a_topic_that_does_not_exist_is_wrong_use_and_does_not_come_into_being(desk: Desk) -> None:
    async def read() -> None:
        async with LetterLog(desk.connection, f"{desk.events}.none"):
            raise AssertionError("entered")

    for _ in range(2):
        with pytest.raises(UsageError, match="henji topics check"):
            asyncio.run(read())


def test_a_log_ends_where_it_ended_when_it_was_entered(desk: Desk) -> None:
    desk.write(desk.letter(1))

    async def read() -> list[Stored]:
        async with LetterLog(desk.connection, f"{desk.events}.dead") as log:
            await desk._write(f"{desk.events}.dead", [desk.letter(2)])
            async with aclosing(log.letters()) as letters:
                return [stored async for stored in letters]

    assert [stored.letter.offset for stored in asyncio.run(read())] == [1]


def test_progress_reaches_the_end(desk: Desk) -> None:
    desk.write(*(desk.letter(i) for i in range(20)))
    shares: list[float] = []

    async def read() -> None:
        async with (
            LetterLog(desk.connection, f"{desk.events}.dead") as log,
            aclosing(log.letters(lambda share, _n: shares.append(share))) as letters,
        ):
            async for _ in letters:
                pass

    asyncio.run(read())
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


def test_every_reason_of_decode_can_be_asked_for(desk: Desk) -> None:
    with pytest.raises(InvalidEvent) as refused:
        decode(b"{")
    desk.write(desk.letter(1, reason=refused.value.reason, message=str(refused.value)))
    assert desk.open("--reason", refused.value.reason) == [desk.place(1)]
    assert Place.parse(desk.place(1)).offset == 1
