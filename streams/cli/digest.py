"""`henji digest`: what a live ledger came to, to compare with a replay of the same log."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from engine.errors import UsageError
from engine.rules import RuleSet
from engine.settings import ENGINE_VERSION, ResultSettings
from streams.cli.options import gather, redis_option, settings_options
from streams.cli.replay import write_lines
from streams.cli.stores import open_redis, redis_of
from streams.ledger import Binding
from streams.redis.board_writer import BoardMeta
from streams.redis.client import RedisClient
from streams.redis.keys import Keys
from streams.redis.ledger import RedisLedger
from streams.replay.summary import summary
from streams.standing import Standing

__all__ = ["command", "live_standing"]


@click.command("digest")
@redis_option
@click.option("--topic", metavar="TOPIC", help="The events. [setting: kafka.topic]")
@click.option("--lanes", metavar="N", help="Number of lanes of the deployment. [setting: lanes]")
@click.option("--rules", "rules_file", metavar="FILE", help="Rules other than the built-in ones. [setting: rules]")
@click.option(
    "--board",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the board, one customer a line.",
)
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def command(
    redis_url: str | None,
    topic: str | None,
    lanes: str | None,
    rules_file: str | None,
    board: Path | None,
    settings_file: Path | None,
    pairs: tuple[str, ...],
    as_json: bool,
) -> None:
    r"""Sum up a live ledger: counts, alerts, models, and the digest that a replay of the same log gives.

    Nothing is written. The answer is of one moment only when the workers stand still: stop them, or let the log end.

    \b
      henji digest --redis redis://localhost:6379
      henji replay --kafka localhost:9092 --digest
    """
    settings = gather(
        settings_file,
        pairs,
        redis=("redis.url", redis_url),
        topic=("kafka.topic", topic),
        lanes=("lanes", lanes),
        rules=("rules", rules_file),
    )
    where = redis_of(settings)
    if isinstance(where, str):
        raise UsageError(f"--redis: expected the URL of a Redis that holds a live ledger, got {where}")
    rules = settings.rule_set()
    with open_redis(where) as client:
        keys = Keys(settings["redis.prefix"])
        standing = live_standing(client, keys, settings["kafka.topic"], settings.result(rules), rules)
    if board is not None:
        write_lines(board, standing.board)
    click.echo(orjson.dumps(summary(standing)).decode() if as_json else standing.digest)


def live_standing(client: RedisClient, keys: Keys, topic: str, settings: ResultSettings, rules: RuleSet) -> Standing:
    """Where the live ledger of a topic stands.

    Raises
    ------
    UsageError
        If there is none.
    StateIncompatible
        If it was made under other settings.
    """
    partitions = 0
    while client.execute_command("EXISTS", keys.partition(topic, partitions)):
        partitions += 1
    if not partitions:
        raise UsageError(f"--topic: expected a topic with a ledger under {keys.prefix}, got {topic}, which has none")
    meta = BoardMeta(ENGINE_VERSION, rules.version, settings.lanes)
    ledgers = [
        RedisLedger(client, Binding.of(topic, n, partitions=partitions, lanes=settings.lanes), meta, keys=keys)
        for n in range(partitions)
    ]
    return Standing.of_ledgers(settings, rules, ledgers)
