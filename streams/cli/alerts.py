"""`henji alerts`: the queue of the desk, alerts as they come, and what people say of them."""

from __future__ import annotations

import socket
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import orjson

from streams.cli.alerts_follow import Wanted, follow, follow_group
from streams.cli.alerts_say import ack, outcome, snooze
from streams.cli.alerts_view import row_text
from streams.cli.options import gather, prefix_option, redis_option, settings_options
from streams.cli.report import console
from streams.cli.stores import one_board, open_redis, redis_of
from streams.cli.words import language, language_option, word
from streams.client import AlertStream, RiskBoard
from streams.redis.desk_views import QueueRow, QueueView
from streams.redis.keys import BOARD_PREFIX

__all__ = ["board_now_ms", "command", "row_facts"]


@click.group("alerts", invoke_without_command=True)
@redis_option
@prefix_option
@settings_options
@language_option
@click.option("--held", is_flag=True, help="Those that were held back from people, in place of those that were not.")
@click.option("--route", metavar="ROUTE", help="Only alerts to this route, such as team:billing.")
@click.option("--flag", metavar="FLAG", help="Only alerts of this flag.")
@click.option("--limit", type=click.IntRange(1, 100_000), default=50, show_default=True, help="Most alerts to list.")
@click.option("--follow", "following", is_flag=True, help="Show alerts, and what people say of them, as they come.")
@click.option("--group", metavar="NAME", help="Follow as a consumer of this group: it goes on where it was.")
@click.option("--consumer", metavar="NAME", help="Name within the group. [default: that of this machine]")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def command(
    ctx: click.Context,
    redis_url: str | None,
    prefix: str | None,
    settings_file: Path | None,
    pairs: tuple[str, ...],
    lang: str | None,
    held: bool,
    route: str | None,
    flag: str | None,
    limit: int,
    following: bool,
    group: str | None,
    consumer: str | None,
    as_json: bool,
) -> None:
    r"""List the open alerts, the one to look at first above: incidents, waiting, acknowledged, snoozed.

    The number before an alert is its priority, 1 to 5, lifted by one, to 2 at most, for each 4 hours
    that it waits.

    \b
      henji alerts --redis redis://localhost:6379
      henji alerts --follow --json | jq .line
      henji alerts ack 00112233445566ff --intake http://localhost:6068 --by ann
    """
    if ctx.invoked_subcommand is not None:
        ctx.obj = (redis_url, prefix, settings_file, pairs, lang)
        return
    settings = gather(settings_file, pairs, redis=("redis.url", redis_url))
    where = redis_of(settings)
    if isinstance(where, str):
        raise click.UsageError(f"--redis: expected the URL of a Redis that holds a board, got {where}")
    wanted, chosen = Wanted(held, route, flag), language(lang)
    with open_redis(where) as client:
        name = one_board(client, prefix)
        board = RiskBoard(client, name)
        if group is not None:
            stream = AlertStream(client, group, consumer or socket.gethostname(), prefix=name)
            follow_group(stream, name, wanted, chosen, as_json=as_json)
        elif following:
            follow(board, name, wanted, chosen, as_json=as_json)
        else:
            queue = "held" if held else "open"
            view = board.queue(queue, board_now_ms(board, name), limit, route=route, flag=flag)
            _list(view, held, chosen, as_json=as_json)


command.add_command(ack)
command.add_command(snooze)
command.add_command(outcome)


def board_now_ms(board: RiskBoard, prefix: str) -> int:
    """Until when alerts of a board wait, ms: now on a live one, its newest watermark on that of a replay."""
    if prefix != BOARD_PREFIX:
        meta = board.meta()
        return max(meta.watermarks.values(), default=0) if meta is not None else 0
    return time.time_ns() // 1_000_000


def row_facts(row: QueueRow) -> dict[str, Any]:
    """A row of the queue as one object."""
    return {**asdict(row.alert), "lifted": row.lifted, "waited_ms": row.waited_ms, "standing": row.standing}


def _list(view: QueueView, held: bool, lang: str, *, as_json: bool) -> None:
    if as_json:
        for row in view.rows:
            click.echo(orjson.dumps(row_facts(row)).decode())
        return
    out = console()
    shown = (
        word("alerts_of", lang).format(n=len(view.rows), total=view.total) if view.total else word("no_alerts", lang)
    )
    out.print(f"[bold]{word('alerts_held' if held else 'alerts_open', lang)}[/bold] {shown}", highlight=False)
    for row in view.rows:
        out.print(row_text(row, lang), highlight=False)
