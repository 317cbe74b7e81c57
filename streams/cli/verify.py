"""`henji verify`: proof that boards keep their contract."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click
import orjson

from streams.cli.options import gather, prefix_option, redis_option, settings_options
from streams.cli.stores import boards, open_redis, redis_of
from streams.redis.keys import BOARD_PREFIX, Keys
from streams.redis.verify import verify

__all__ = ["command"]

_SHOWN = 50


@click.command("verify")
@redis_option
@prefix_option
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print everything found as one JSON object.")
def command(
    redis_url: str | None, prefix: str | None, settings_file: Any, pairs: tuple[str, ...], as_json: bool
) -> None:
    r"""Scan a board and check every key's type, fields, sizes and TTL, and the leaderboards. Changes nothing.

    Without --prefix all boards of the Redis are checked, the live one and those of replays. Exit code 1 if anything
    is wrong.

    \b
      henji verify --redis redis://localhost:6379
    """
    settings = gather(settings_file, pairs, redis=("redis.url", redis_url))
    where = redis_of(settings)
    if isinstance(where, str):
        raise click.UsageError(f"--redis: expected the URL of a Redis that holds a board, got {where}")
    with open_redis(where) as client:
        prefixes = [Keys(prefix).prefix] if prefix is not None else boards(client) or [BOARD_PREFIX]
        found = {p: verify(client, p) for p in prefixes}
    n = sum(len(violations) for violations in found.values())
    if as_json:
        facts = {"ok": n == 0, "violations": {p: [asdict(v) for v in vs] for p, vs in found.items()}}
        click.echo(orjson.dumps(facts).decode())
    else:
        for p, violations in found.items():
            click.echo(f"{p} {'nothing wrong' if not violations else f'{len(violations)} wrong'}")
            for violation in violations[:_SHOWN]:
                click.echo(f"  {violation}")
            if len(violations) > _SHOWN:
                click.echo(f"  and {len(violations) - _SHOWN} more; --json shows all")
    if n:
        raise click.exceptions.Exit(1)
