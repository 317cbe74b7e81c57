"""`henji models promote` and `henji models rollback`: which churn model is shown, said by events in the log."""

from __future__ import annotations

import asyncio
import re
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import click
import orjson
import uvloop

from engine.contenders import BLEND
from engine.errors import UsageError
from streams.cli.model_texts import text
from streams.cli.options import gather, kafka_option, prefix_option, redis_option, settings_options
from streams.cli.stores import one_board, open_redis, redis_of
from streams.cli.words import language, language_option
from streams.kafka.connection import Connection, TopicNames
from streams.kafka.model_orders import model_orders, send_orders
from streams.model_facts import Contender, contenders
from streams.redis.model_reader import read_rows
from streams.settings import Settings

__all__ = ["promote", "rollback"]

F = TypeVar("F", bound=Callable[..., Any])

_REQUEST = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_ROW_MAX = 64  # a longer name is cut in the rows of the board


def _order_options(command: F) -> F:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print what was done as one JSON object."),
        language_option,
        settings_options,
        click.option("--request", metavar="ID", help="Names the order, which lanes take once. [default: new]"),
        click.option("--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE",
                     help="Write the events there, one a line, and send nothing."),
        click.option("--topic", metavar="TOPIC", help="The events. [setting: kafka.topic]"),
        kafka_option,
        prefix_option,
        redis_option,
    ):  # fmt: skip
        command = option(command)
    return command


@click.command("promote")
@click.argument("name", metavar="NAME")
@_order_options
def promote(name: str, **options: Any) -> None:
    r"""Show the churn model NAME from now on: a name or version of `henji models list`.

    The word goes through the log, an event for every lane, so a replay shows the same scores; it counts for scores made
    after it. The names come from the board of --redis; with --out and no Redis, from learning.challengers.

    \b
      henji models promote plain --redis redis://localhost:6379 --kafka localhost:9092
      henji models promote plain --out orders.jsonl
    """
    _order("promote", name, options)


@click.command("rollback")
@_order_options
def rollback(**options: Any) -> None:
    r"""Show the churn model again that was shown before this one; each lane knows its own. Twice is back again.

    \b
      henji models rollback --redis redis://localhost:6379 --kafka localhost:9092
    """
    _order("rollback", None, options)


def _order(what: str, name: str | None, options: Mapping[str, Any]) -> None:
    out: Path | None = options["out"]
    settings = gather(
        options["settings_file"],
        options["pairs"],
        redis=("redis.url", options["redis_url"]),
        kafka=("kafka.brokers", options["brokers"]),
        topic=("kafka.topic", options["topic"]),
    )
    lanes, known = _deployment(settings, options["prefix"], alone=out is not None)
    body = {"rollback": True} if name is None else {"champion": _chosen(name, known)}
    now_ms = time.time_ns() // 1_000_000
    request = _request(options["request"], now_ms)
    orders = model_orders(body, request=request, lanes=lanes, now_ms=now_ms)
    topic = TopicNames.of(settings).events
    if out is not None:
        _write(out, orders)
    else:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(send_orders(Connection.of(settings), topic, orders))
    if options["as_json"]:
        place = {"out": str(out)} if out is not None else {"topic": topic}
        click.echo(orjson.dumps({**body, "lanes": lanes, "request": request, **place}).decode())
        return
    lang = language(options["lang"])
    told = text(what, lang, name=body.get("champion"))
    click.echo(text("sent" if out is None else "written", lang, what=told, n=lanes, out=out, request=request))


def _deployment(settings: Settings, prefix: str | None, *, alone: bool) -> tuple[int, list[Contender]]:
    """How many lanes there are, and their churn models."""
    where = redis_of(settings)
    if not isinstance(where, str):
        with open_redis(where) as client:
            board = read_rows(client, one_board(client, prefix))
        return board.lanes, contenders(board.rows.values())
    if not alone:
        raise UsageError(f"--redis: expected the URL of a Redis that holds a board, got {where}")
    names = (BLEND, *settings["learning.challengers"])
    return settings["lanes"], [Contender(number, name, name) for number, name in enumerate(names)]


def _chosen(name: str, known: list[Contender]) -> str:
    for each in known:
        if name in (each.model, each.version):
            # A name outlives an upgrade, which may change the version.
            return each.model if len(each.model) < _ROW_MAX else each.version
    names = ", ".join(dict.fromkeys(each.model for each in known)) or "none yet: nobody was scored"
    raise UsageError(f"NAME: expected one of {names}, got {name!r}; learning.challengers adds models")


def _request(given: str | None, now_ms: int) -> str:
    if given is None:
        return f"{now_ms}-{secrets.token_hex(4)}"
    if not _REQUEST.fullmatch(given):
        raise UsageError(f"--request: expected 1 to 64 characters of A-Z a-z 0-9 _ . -, got {given[:80]!r}")
    return given


def _write(out: Path, orders: list[bytes]) -> None:
    try:
        out.write_bytes(b"".join(order + b"\n" for order in orders))
    except OSError as error:
        raise UsageError(f"--out: expected a file that can be written, got {out}: {error}") from error
