"""`henji models export`: all that was learned, as one file."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from engine.errors import UsageError
from streams.cli.options import gather, prefix_option, redis_option, settings_options
from streams.cli.stores import one_board, open_redis, redis_of
from streams.model_file import export_models

__all__ = ["export"]


@click.command("export")
@redis_option
@prefix_option
@settings_options
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE", help="Where to.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as one JSON object.")
def export(
    redis_url: str | None,
    prefix: str | None,
    settings_file: Path | None,
    pairs: tuple[str, ...],
    out: Path,
    as_json: bool,
) -> None:
    r"""Write the models of all lanes, with their metrics, to one file: to keep, or to look into.

    The file is data with schema and checksum; `streams.model_file.read_model_file` reads it. It holds no customer. A
    deployment does not start from it: what it learned comes from its log, or from a backup of its Redis.

    \b
      henji models export --redis redis://localhost:6379 --out models.henji
    """
    settings = gather(settings_file, pairs, redis=("redis.url", redis_url))
    where = redis_of(settings)
    if isinstance(where, str):
        raise UsageError(f"--redis: expected the URL of a Redis that holds a board, got {where}")
    with open_redis(where) as client:
        models = export_models(client, one_board(client, prefix))
    data = models.encode()
    try:
        out.write_bytes(data)
    except OSError as error:
        raise UsageError(f"--out: expected a file that can be written, got {out}: {error}") from error
    n_parts = sum(map(len, models.parts.values()))
    if as_json:
        facts = {"out": str(out), "lanes": sorted(models.parts), "parts": n_parts, "bytes": len(data)}
        click.echo(orjson.dumps(facts).decode())
    else:
        click.echo(f"{n_parts} parts of {len(models.parts)} lanes, {len(data):,} bytes, in {out}")
