"""`henji topics`: make the topics of a deployment, and see whether they are as they should be."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from streams.cli.findings import print_findings
from streams.cli.options import gather, kafka_option, settings_options
from streams.kafka import topics
from streams.kafka.connection import Connection
from streams.kafka.layout import Layout
from streams.settings import Settings

__all__ = ["command"]

_topic_option = click.option("--topic", metavar="TOPIC", help="The events topic. [setting: kafka.topic]")
_json_option = click.option("--json", "as_json", is_flag=True, help="Print the findings as one JSON object.")


@click.group("topics")
def command() -> None:
    r"""Make the topics of a deployment, or check them.

    There are three: the events, keyed by customer; beside them the dead letters (EVENTS.dead) and the late events
    (EVENTS.late), where what was not applied is kept for a week; and a fourth for alerts, if kafka.alerts is set.

    \b
      henji topics create --kafka localhost:9092 --partitions 8
      henji topics check --kafka localhost:9092

    A partition carries whole lanes, so the number of partitions divides that of the lanes, and is chosen once: more
    partitions than workers you will ever run, such as 8, with as many lanes or a multiple of them.
    """


@command.command("create")
@kafka_option
@_topic_option
@click.option("--partitions", type=int, metavar="N", help="Partitions of each topic. [setting: kafka.partitions]")
@click.option("--replication", type=int, metavar="N", help="Copies of each partition. [setting: kafka.replication]")
@settings_options
@_json_option
def create(
    brokers: str | None,
    topic: str | None,
    partitions: int | None,
    replication: int | None,
    settings_file: Path | None,
    pairs: tuple[str, ...],
    as_json: bool,
) -> None:
    r"""Make the topics that are missing; what exists is left as it is and looked at. Doing it twice is harmless.

    \b
      henji topics create --kafka localhost:9092
      henji topics create --kafka a:9092,b:9092 --partitions 24 --set lanes=24 --replication 3

    Exit code 1 if a topic that exists must be mended, for one because it has another number of partitions.
    """
    settings = gather(
        settings_file,
        pairs,
        kafka=("kafka.brokers", brokers),
        topic=("kafka.topic", topic),
        partitions=("kafka.partitions", partitions),
        replication=("kafka.replication", replication),
    )
    connection, layout = _wanted(settings)
    findings = asyncio.run(topics.create(connection, layout))
    print_findings(findings, as_json=as_json, name="topics")


@command.command("check")
@kafka_option
@_topic_option
@settings_options
@_json_option
def check(
    brokers: str | None, topic: str | None, settings_file: Path | None, pairs: tuple[str, ...], as_json: bool
) -> None:
    r"""Compare the topics with what they should be like, and say what to do. Nothing is changed.

    \b
      henji topics check --kafka localhost:9092

    Looked at are partitions, copies, leaders, retention, time stamps, compaction and the room for dead letters. Exit
    code 1 if something must be mended; warnings leave it at 0.
    """
    settings = gather(settings_file, pairs, kafka=("kafka.brokers", brokers), topic=("kafka.topic", topic))
    connection, layout = _wanted(settings)
    print_findings(asyncio.run(topics.check(connection, layout)), as_json=as_json, name="topics")


def _wanted(settings: Settings) -> tuple[Connection, Layout]:
    return Connection.of(settings), Layout.of(settings)
