from __future__ import annotations

import asyncio
import io
import logging
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import faust
import orjson
import pytest
from aiokafka.errors import MessageSizeTooLargeError
from aiokafka.structs import ConsumerRecord, TopicPartition
from faust.types.tuples import FutureMessage, PendingMessage
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import InvalidEvent, StoreUnavailable
from streams.live.log import MAX_CHARS, Form, LineFormatter, set_up_logging

SECRET = "s3cr3t-payload"
RAW = b'{"customer_id":"s3cr3t-payload","note":"s3cr3t-payload"}'


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    undo = set_up_logging("text", stream)
    yield stream
    undo()


def line(
    message: object,
    *args: object,
    name: str = "faust.topics",
    form: Form = "text",
    error: Exception | None = None,
    **extra: object,
) -> str:
    exc_info = (type(error), error, error.__traceback__) if error else None
    record = logging.LogRecord(name, logging.WARNING, __file__, 1, message, args, exc_info)
    vars(record).update(extra)
    return LineFormatter(form).format(record)


def record_of_kafka() -> ConsumerRecord[bytes, bytes]:
    return ConsumerRecord("events", 3, 42, 0, 0, RAW, RAW, 0, len(RAW), len(RAW), ())


# -- what Faust and aiokafka would print ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        (MessageSizeTooLargeError("The message is 99 bytes"), "MessageSizeTooLargeError: The message is 99 bytes..."),
        (ValueError(f"cannot send {SECRET} message {SECRET}"), "topic risk.alerts error ..."),
    ],
)
def test_a_message_that_faust_could_not_send_is_not_in_the_log(log: io.StringIO, error: Exception, shown: str) -> None:
    async def publish() -> None:
        app = faust.App("log-test", broker="kafka://localhost:1", store="memory://")
        topic: Any = app.topic("risk.alerts", value_type=bytes)
        pending = PendingMessage(topic, RAW, RAW, None, None, None, None, None, callback=None, topic=None, offset=None)
        message: Any = FutureMessage(pending)
        sent: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        sent.set_exception(error)
        topic._on_published(sent, message, SimpleNamespace(), None)
        assert message.exception() is error

    asyncio.run(publish())
    (written,) = [each for each in log.getvalue().splitlines() if "_on_published" in each]
    assert written.endswith(shown)
    assert SECRET not in log.getvalue()


@pytest.mark.parametrize(
    ("template", "args"),
    [
        ("DROPPED MESSAGE ROFF %r: k=%r v=%r", (42, RAW, RAW)),
        ("DROPPED MESSAGE ROFF %r: k=%r v=%r", (42, SECRET, {"customer_id": SECRET})),
        ("send: topic=%r k=%r v=%r timestamp=%r partition=%r", ("events", RAW, RAW, None, 3)),
        ("[%s] %r yielded: %r", ("agent", print, RAW)),
        ("Got %s", (record_of_kafka(),)),
        ("Got %s", ([record_of_kafka()],)),
        ("Got %s", ({"events": [SECRET]},)),
        ("Crashed reason=%r", (KeyError(SECRET),)),
        ("Crashed reason=%s", (ValueError(f"expected a number, got {SECRET}"),)),
        ("%(key)s at %(offset)d", ({"key": SECRET, "offset": 4},)),
        (f"_on_published error for message topic events error {SECRET} message {SECRET}", ()),
        (f"Cannot decode {RAW!r}", ()),
        (f"Cannot decode k={SECRET}", ()),
        (f"event {RAW.decode()} failed", ()),
        (f"Task exception was never retrieved future: <Task exception=KeyError('{SECRET}')>", ()),
        ("these %d arguments do not fit", (RAW,)),
    ],
)
@pytest.mark.parametrize("form", ["text", "json"])
def test_no_payload_in_a_line_of_others(template: str, args: tuple[object, ...], form: Form) -> None:
    for name in ("faust.transport.consumer", "aiokafka.producer", "mode.services", "asyncio"):
        assert SECRET not in line(template, *args, name=name, form=form)


@given(payload=st.one_of(st.binary(min_size=8), st.text(min_size=8).map(lambda text: {"note": text})))
def test_whatever_the_payload_is_the_line_is_the_same(payload: object) -> None:
    written = line("DROPPED MESSAGE ROFF %r: k=%r v=%r", 42, None, payload)
    shown = f"<{len(payload)} bytes>" if isinstance(payload, bytes) else "<dict>"
    assert written.endswith(f"DROPPED MESSAGE ROFF 42: k=None v={shown}")


def test_places_in_a_line_of_others_stay() -> None:
    partitions = frozenset({TopicPartition("events", 3)})
    assert line("Revoked %s at %s after %.1f s", partitions, {TopicPartition("events", 3): 42}, 1.25).endswith(
        "Revoked ((events, 3)) at ((events, 3): 42) after 1.2 s"
    )
    assert line("Heartbeat failed for group %s because it is rebalancing", "henji").endswith(
        "group henji because it is rebalancing"
    )
    assert line("Failed fetch from %s: %r", 1, StoreUnavailable("redis: expected an answer")).endswith(
        "from 1: StoreUnavailable: redis: expected an answer"
    )


def test_debug_of_others_is_never_written() -> None:
    stream = io.StringIO()
    undo = set_up_logging("text", stream, logging.DEBUG)
    try:
        for name in ("faust.transport.drivers.aiokafka", "aiokafka.producer.sender", "mode.x", "asyncio"):
            logging.getLogger(name).debug("send: v=%r", RAW)
        logging.getLogger("streams.live").debug("opened")
    finally:
        undo()
    assert [each.split(" ", 2)[2] for each in stream.getvalue().splitlines()] == ["streams.live: opened"]


# -- errors ----------------------------------------------------------------------------------------------------------


def failing(error: Exception) -> None:
    raise error


def caught(error: Exception, cause: Exception | None = None) -> Exception:
    try:
        try:
            failing(error)
        except Exception as inner:
            if cause is None:
                raise
            raise cause from inner
    except Exception as outer:
        return outer
    raise AssertionError


def test_of_an_error_the_type_and_the_place_are_written() -> None:
    written = line("the engine failed", name="streams.live.worker", error=caught(KeyError(SECRET)))
    assert SECRET not in written
    assert "[KeyError < live/test_log.py:" in written
    assert "in failing < live/test_log.py:" in written
    assert "\n" not in written


def test_an_invalid_event_quotes_what_it_got_and_is_not_quoted() -> None:
    error = caught(InvalidEvent("range", "score", "a number", SECRET))
    assert SECRET not in line("dead", name="streams.live.worker", error=error)
    assert SECRET not in line("dead %r", error)


def test_errors_that_speak_of_places_speak() -> None:
    error = caught(KeyError(SECRET), StoreUnavailable("commit (henji:{0}:partition:events:3): expected an answer"))
    written = line("gave up", name="streams.live.worker", error=error)
    assert "StoreUnavailable: commit (henji:{0}:partition:events:3): expected an answer < " in written
    assert " | caused by KeyError < " in written
    assert SECRET not in written


# -- the form of a line ------------------------------------------------------------------------------------------------


def test_a_line_has_time_level_logger_place_and_message() -> None:
    written = line("read %d", 5, name="streams.live.worker", partition=3, offset=42, created=0.5)
    assert written == "1970-01-01T00:00:00.500Z WARNING streams.live.worker partition=3 offset=42: read 5"


def test_json_has_the_same_fields() -> None:
    written = line("read %d", 5, name="streams.live.worker", form="json", partition=3, offset=42, created=0.0)
    assert orjson.loads(written) == {
        "time": "1970-01-01T00:00:00.000Z",
        "level": "WARNING",
        "logger": "streams.live.worker",
        "partition": 3,
        "offset": 42,
        "message": "read 5",
    }


def test_a_place_is_a_number_or_it_is_not_written() -> None:
    assert SECRET not in line("read", name="streams.live.worker", partition=SECRET, offset=RAW, lane={SECRET: 1})


@given(text=st.text())
@pytest.mark.parametrize("form", ["text", "json"])
def test_a_record_is_one_line_of_printable_text(form: Form, text: str) -> None:
    written = line("%s", text, name="streams.live.worker", form=form)
    assert len(written.splitlines()) == 1
    assert not {each for each in written if ord(each) < 32 or "\x7f" <= each <= "\x9f" or each in "\u202e\u2028"}
    written.encode()
    if form == "json":
        assert set(orjson.loads(written)) == {"time", "level", "logger", "message"}


def test_chinese_stays_readable_and_tricks_are_shown() -> None:
    written = line("客服\r\n\x1b[31m\u202e", name="streams.live.worker")
    assert written.endswith(r"客服\r\n\x1b[31m\u202e")


def test_a_long_message_is_cut() -> None:
    written = line("x" * 10 * MAX_CHARS, name="streams.live.worker")
    assert len(written) < MAX_CHARS + 100
    assert written.endswith("x...")


# -- setting up ----------------------------------------------------------------------------------------------------


def test_there_is_one_way_out_and_it_is_undone() -> None:
    root, theirs = logging.getLogger(), logging.getLogger("faust")
    own, another = io.StringIO(), io.StringIO()
    handler = logging.StreamHandler(another)
    theirs.addHandler(handler)
    before = (list(root.handlers), root.level, list(theirs.handlers), theirs.level, theirs.propagate)
    try:
        undo = set_up_logging("json", own)
        logging.getLogger("faust.worker").warning("late")
        undo()
        assert (list(root.handlers), root.level, list(theirs.handlers), theirs.level, theirs.propagate) == before
    finally:
        theirs.removeHandler(handler)
    assert another.getvalue() == ""
    assert orjson.loads(own.getvalue())["logger"] == "faust.worker"


def test_a_log_that_cannot_be_written_prints_nothing_of_the_record(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    undo = set_up_logging("text", stream)
    stream.close()
    try:
        logging.getLogger("faust.topics").warning("v=%r", RAW)
    finally:
        undo()
    assert capsys.readouterr() == ("", "")


def test_standard_error_is_the_default(capsys: pytest.CaptureFixture[str]) -> None:
    undo = set_up_logging("text")
    try:
        logging.getLogger("streams.live").warning("opened")
    finally:
        undo()
    assert capsys.readouterr().err.endswith("WARNING streams.live: opened\n")
