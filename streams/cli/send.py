"""`henji send`: event logs to Kafka."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import click
import orjson
import uvloop

from engine.decode import decode
from engine.errors import InvalidEvent
from engine.vocabulary import Vocabulary
from streams.cli.mapping import read_mapping
from streams.cli.options import gather, settings_options
from streams.cli.progress import progress
from streams.kafka.connection import Connection, TopicNames
from streams.kafka.foreign_errors import mapped
from streams.kafka.producer import start_producer, stop_producer
from streams.kafka.sender import BATCH_BYTES, Placed, Sender, count_partitions, place
from streams.reader.log import LogReader, open_log
from streams.reader.record import Record
from streams.replay.pacing import paced, parse_speed

__all__ = ["command"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_MOST_SHOWN = 20  # refused lines that are shown one by one; the counts have all of them


@dataclass(slots=True)
class _Facts:
    """What came of it, as `--json` prints it."""

    read: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    places: list[dict[str, Any]] = field(default_factory=list)


class _Stopped(Exception):
    """Ctrl-C while a paced log waits for the next event."""


@click.command("send")
@click.argument("files", nargs=-1, required=True, metavar="FILE...")
@click.option("--map", "map_file", type=_FILE, metavar="FILE", help="Mapping file: events are sent in our words.")
@click.option("--sort", is_flag=True, help="Send all files together, in order of event time.")
@settings_options
@click.option("--kafka", "brokers", metavar="LIST", help="HOST:PORT,HOST:PORT,... [setting: kafka.brokers]")
@click.option("--topic", metavar="TOPIC", help="Where to. [setting: kafka.topic]")
@click.option("--speed", default="max", metavar="SPEED", show_default=True, help="max, or times real speed: 1x, 10x.")
@click.option("--limit", type=click.IntRange(min=0), metavar="N", help="Send no more than the first N records.")
@click.option("--check", is_flag=True, help="Hold back what is no event, and say why. [default: sent as it is]")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def command(
    files: tuple[str, ...],
    map_file: Path | None,
    sort: bool,
    settings_file: Path | None,
    pairs: tuple[str, ...],
    brokers: str | None,
    topic: str | None,
    speed: str,
    limit: int | None,
    check: bool,
    as_json: bool,
) -> None:
    r"""Send the events of FILE... to Kafka, each to the partition of its customer.

    Reads what `henji replay` reads. Per partition the order is that of the log, and each record is written once on a
    broker with producer ids (any Apache Kafka). The command ends when Kafka has acknowledged everything. Lines that are
    no events are sent too: the worker sets them aside with the reason, as a replay does.

    \b
      henji send log.jsonl.gz
      henji send shop.csv --map shop.toml --check
      henji send log.jsonl --speed 60x --kafka kafka1:9092,kafka2:9092
    """
    settings = gather(settings_file, pairs, brokers=("kafka.brokers", brokers), topic=("kafka.topic", topic))
    words = read_mapping(map_file)
    factor = parse_speed(speed)
    reader = open_log(files, vocabulary=words, sort=sort, batch_size=2000)
    connection, name = Connection.of(settings), TopicNames.of(settings).events
    facts = _Facts()
    started = time.monotonic()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        sent = runner.run(
            _send(reader, connection, name, facts, words=words, factor=factor, limit=limit, check=check),
        )
    seconds = time.monotonic() - started
    summary = {
        "topic": name,
        "read": facts.read,
        "sent": sent.total(),
        "partitions": {str(partition): n for partition, n in sorted(sent.items())},
        "refused": dict(sorted(facts.refused.items())),
        "refused_at": facts.places,
        "seconds": round(seconds, 3),
        "events_per_s": round(sent.total() / seconds),
    }
    if as_json:
        click.echo(orjson.dumps(summary).decode())
    else:
        _print(summary)


async def _send(
    reader: LogReader,
    connection: Connection,
    topic: str,
    facts: _Facts,
    *,
    words: Vocabulary | None,
    factor: float | None,
    limit: int | None,
    check: bool,
) -> Counter[int]:
    """Send the log; returns the number of acknowledged records by partition."""
    producer = await start_producer(connection, max_batch_size=BATCH_BYTES)
    stop = threading.Event()
    batches: Iterator[Sequence[Record]] = _first(reader, limit)
    if factor is not None:
        batches = paced(batches, factor, words, sleep=partial(_wait, stop))
    try:
        with mapped(connection, f"send to {topic}"):
            partitions = await count_partitions(producer, topic)
            sender = Sender(producer, topic)
            # The log is read in a thread, so that acknowledgements are heard while a disk or the pace is waited for;
            # always the same one, as some readers of tables want it.
            with ThreadPoolExecutor(1, "log") as thread, progress("send", False) as update:
                try:
                    loop = asyncio.get_running_loop()
                    while (batch := await loop.run_in_executor(thread, next, batches, None)) is not None:
                        facts.read += len(batch)
                        good = _checked(batch, words, facts) if check else batch
                        await sender.send(_placed(good, partitions, words))
                        if factor is not None:
                            await sender.flush()
                        update(reader.bytes_read / max(1, reader.total_bytes), facts.read)
                    await sender.flush()
                finally:
                    stop.set()
            return sender.acknowledged
    finally:
        await stop_producer(producer)


def _first(batches: Iterable[Sequence[Record]], limit: int | None) -> Iterator[Sequence[Record]]:
    for batch in batches:
        if limit is None:
            yield batch
            continue
        if limit <= 0:
            return
        yield batch[:limit]
        limit -= len(batch)


def _wait(stop: threading.Event, seconds: float) -> None:
    """Sleep, but no longer than until the command is stopped."""
    if stop.wait(seconds):
        raise _Stopped


def _checked(batch: Sequence[Record], words: Vocabulary | None, facts: _Facts) -> Iterator[Record]:
    now = _now_ms()
    for record in batch:
        try:
            # As the worker will see it: its record's time is that of the export, or about now.
            decode(record.raw, vocabulary=words, record_ts=_stamp(record, now) or now)
        except InvalidEvent as error:
            facts.refused[error.reason] += 1
            if len(facts.places) < _MOST_SHOWN:
                facts.places.append({"source": record.source, "position": record.position,
                                     "reason": error.reason, "field": error.field})  # fmt: skip
        else:
            yield record


def _placed(batch: Iterable[Record], partitions: int, words: Vocabulary | None) -> Iterator[Placed]:
    now = _now_ms()
    for record in batch:
        yield place(record.raw or b"", partitions, timestamp_ms=_stamp(record, now), words=words)


def _stamp(record: Record, now_ms: int) -> int | None:
    """Time of the record where an export has it; one ahead of the broker's clock would make Kafka refuse the batch."""
    return None if record.record_ts is None else min(record.record_ts, now_ms)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _print(summary: dict[str, Any]) -> None:
    click.echo(
        f"{summary['sent']:,} of {summary['read']:,} records sent to {summary['topic']} and acknowledged, "
        f"in {summary['seconds']:.1f} s ({summary['events_per_s']:,} a second)"
    )
    for partition, n in summary["partitions"].items():
        click.echo(f"  partition {partition}: {n:,}")
    for reason, n in summary["refused"].items():
        click.echo(f"  refused, {reason}: {n:,}")
    for each in summary["refused_at"]:
        click.echo(f"    {each['source']}:{each['position']}: {each['reason']} {each['field']}".rstrip())
