"""`henji worker`: the live worker."""

from __future__ import annotations

import asyncio
import signal
import sys
from importlib.metadata import version
from pathlib import Path

import click
import uvloop

from engine.errors import UsageError
from streams.cli.options import gather, redis_option, settings_options
from streams.cli.replay import read_vocabulary
from streams.cli.stores import open_redis, redis_of
from streams.live.log import set_up_logging
from streams.live.worker import Worker, WorkerOptions
from streams.redis.policy import check_policy

__all__ = ["SWITCH_S", "command"]

SWITCH_S = 0.001
"""How long a thread may keep the interpreter while another waits, seconds: a third off the median latency at half load
(`python -m benchmarks.live`)."""


@click.command("worker")
@click.option("--kafka", "brokers", metavar="HOST:PORT,...", help="Kafka to read from. [setting: kafka.brokers]")
@click.option("--topic", metavar="TOPIC", help="The events. [setting: kafka.topic]")
@redis_option
@click.option("--lanes", metavar="N", help="Number of lanes of the deployment. [setting: lanes]")
@click.option("--rules", "rules_file", metavar="FILE", help="Rules other than the built-in ones. [setting: rules]")
@click.option("--desk", "desk_file", metavar="FILE", help="Routes, priorities, caps and guidance. [setting: desk]")
@click.option(
    "--map",
    "map_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Translates an organisation's own words.",
)
@click.option(
    "--instance",
    metavar="NAME",
    help="Static member of the group: a name that only this worker has. [setting: worker.instance]",
)
@click.option("--http", metavar="HOST:PORT", help="Metrics and health; off for none. [setting: worker.http]")
@click.option(
    "--start",
    type=click.Choice(["earliest", "latest"]),
    help="Where to begin without a ledger when the log has lost its beginning.",
)
@settings_options
def command(
    brokers: str | None,
    topic: str | None,
    redis_url: str | None,
    lanes: str | None,
    rules_file: str | None,
    desk_file: str | None,
    map_file: Path | None,
    instance: str | None,
    http: str | None,
    start: str | None,
    settings_file: Path | None,
    pairs: tuple[str, ...],
) -> None:
    r"""Run one live worker: events from Kafka, state, flags and alerts in Redis, one transaction a batch.

    Start as many as there are partitions; they share them. SIGTERM (or Ctrl-C) finishes the batch in hand and leaves.
    Exit code 1 means that somebody should look, the last lines of the log say at what.

    \b
      henji topics create --kafka localhost:9092
      henji worker --kafka localhost:9092 --redis redis://localhost:6379
    """
    settings = gather(
        settings_file,
        pairs,
        kafka=("kafka.brokers", brokers),
        topic=("kafka.topic", topic),
        redis=("redis.url", redis_url),
        lanes=("lanes", lanes),
        rules=("rules", rules_file),
        desk=("desk", desk_file),
        instance=("worker.instance", instance),
        http=("worker.http", http),
    )
    where = redis_of(settings)
    if isinstance(where, str):
        raise UsageError(f"--redis: expected the URL of a Redis that outlives the worker, got {where}")
    rules = settings.rule_set()
    desk = settings.desk()
    result = settings.result(rules)
    options = WorkerOptions.of(settings, start=start or "")
    vocabulary = read_vocabulary(map_file)
    undo = set_up_logging(settings["worker.log"])
    # Three threads hand each other small pieces of work; with the usual 5 ms each handing over may take as long.
    sys.setswitchinterval(SWITCH_S)
    try:
        with open_redis(where) as client:
            for finding in check_policy(client):
                click.echo(f"henji: {finding}", err=True)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                worker = Worker(
                    client,
                    result,
                    rules,
                    options,
                    vocabulary=vocabulary,
                    desk=desk,
                    version=version("henji"),
                )
                runner.run(_run(worker))
    finally:
        undo()


async def _run(worker: Worker) -> None:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, worker.stop)
    await worker.run()
