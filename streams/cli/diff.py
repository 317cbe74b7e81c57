"""`henji diff`: what two runs say differently, and from which event on."""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import orjson

from engine.errors import HenjiError, UsageError
from engine.vocabulary import Vocabulary
from streams.cli.diff_texts import text
from streams.cli.diff_view import print_difference
from streams.cli.options import gather, redis_option, settings_options
from streams.cli.progress import progress
from streams.cli.replay import read_vocabulary, run_replay
from streams.cli.stores import open_redis, redis_of
from streams.cli.words import language, language_option
from streams.diff.board_side import BoardSide
from streams.diff.comparison import compare
from streams.diff.difference import Difference
from streams.diff.lockstep import Way
from streams.diff.sides import FileSide, Side, find_side
from streams.diff.trace import Trace, trace
from streams.reader.log import LogReader, open_log
from streams.redis.client import RedisClient
from streams.settings import Settings

__all__ = ["command"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_DIFFER, _FAILED = 1, 2


@click.command("diff")
@click.argument("runs", nargs=-1, metavar="[RUN_A] [RUN_B]")
@click.option("--log", "logs", multiple=True, metavar="FILE", help="The log of both runs; several: in this order.")
@click.option("--log-a", "logs_a", multiple=True, metavar="FILE", help="The log of A, where B has another.")
@click.option("--log-b", "logs_b", multiple=True, metavar="FILE", help="The log of B.")
@click.option("--map", "map_file", type=_FILE, metavar="FILE", help="Mapping file of the logs.")
@click.option("--sort", is_flag=True, help="Read the files of a log together, in order of event time.")
@click.option("--rules", "rules_file", metavar="FILE", help="Rules of both runs, other than the built-in ones.")
@click.option("--rules-a", metavar="FILE", help="Rules of A.")
@click.option("--rules-b", metavar="FILE", help="Rules of B.")
@click.option("--set-a", multiple=True, metavar="KEY=VALUE", help="A setting of A; may be given several times.")
@click.option("--set-b", multiple=True, metavar="KEY=VALUE", help="A setting of B.")
@settings_options
@redis_option
@click.option("--limit", default=20, show_default=True, type=click.IntRange(0, 100_000), help="Most details of a kind.")
@language_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def command(
    runs: tuple[str, ...],
    logs: tuple[str, ...],
    logs_a: tuple[str, ...],
    logs_b: tuple[str, ...],
    redis_url: str | None,
    lang: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    r"""Say which customers, flags, alerts and scores differ between two runs, and from which event on.

    A run is a board in Redis by its prefix (risk:, replay:NAME:), a folder with board.jsonl, alerts.jsonl and
    predictions.jsonl as `henji replay` writes them (one of them is enough; .gz and .zst too), or PART=FILE,PART=FILE.
    With a log and one run, B is the replay of the log; with logs and no run, both are replays. A log also names the
    very event from which on the answers differ.

    Exit code 0: no difference; 1: they differ; 2: wrong use, or the comparison failed.

    \b
      henji diff risk: replay:march: --redis redis://localhost:6379
      henji diff a/ b/
      henji diff risk: --log march.jsonl --redis redis://localhost:6379
      henji diff --log march.jsonl --rules-b new.toml
      henji diff --log-a a.jsonl --log-b b.jsonl --json
    """
    chosen = language(lang)
    try:
        facts = _facts(runs, _Logs.of(logs, logs_a, logs_b), redis_url, chosen, options)
    except UsageError:
        raise
    except HenjiError as error:
        # 1 says that the runs differ, and nothing else.
        click.echo(f"henji: {error}", err=True)
        raise click.exceptions.Exit(_FAILED) from error
    if as_json:
        click.echo(orjson.dumps(facts).decode())
    else:
        print_difference(facts, chosen)
    if not facts["equal"]:
        raise click.exceptions.Exit(_DIFFER)


@dataclass(frozen=True, slots=True)
class _Logs:
    """The files of each side's log; `a` is `b` when it is one log, both empty without any."""

    a: tuple[str, ...]
    b: tuple[str, ...]

    @classmethod
    def of(cls, both: tuple[str, ...], a: tuple[str, ...], b: tuple[str, ...]) -> _Logs:
        if both and (a or b):
            raise UsageError("--log: expected it alone, or --log-a and --log-b, got both; give one or the other")
        if bool(a) != bool(b):
            missing = "--log-b" if a else "--log-a"
            raise UsageError(f"{missing}: expected the log of the other side too, got none; or give --log for both")
        return cls(both or a, both or b)

    @property
    def one(self) -> bool:
        return self.a == self.b


@dataclass(frozen=True, slots=True)
class _Side:
    """The settings of a side."""

    name: str
    settings: Settings

    def way(self) -> Way:
        rules = self.settings.rule_set()
        return Way(self.settings.replayed(rules), rules, self.settings.desk())


def _facts(
    runs: tuple[str, ...], logs: _Logs, redis_url: str | None, lang: str, options: dict[str, Any]
) -> dict[str, Any]:
    if len(runs) > 2 or (len(runs) < 2 and not logs.a):
        raise UsageError(f"run: expected two runs, or --log with one or none, got {len(runs)}; see henji diff --help")
    sides = [_side(name, redis_url, options) for name in "ab"]
    vocabulary = read_vocabulary(options["map_file"])
    with ExitStack() as stack:
        client = None
        if any(_is_prefix(run) for run in runs):
            where = redis_of(sides[0].settings)
            if isinstance(where, str):
                raise UsageError(f"--redis: expected the URL of a Redis that holds the board, got {where}")
            client = stack.enter_context(open_redis(where))
        found: list[Side] = [_run(run, client) for run in runs]
        readers = [_reader(files, vocabulary, options) for files in (logs.a, logs.b)] if logs.a else []
        if len(found) < 2:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="henji-diff-")))
            for place in range(len(found), 2):
                found.append(_replayed(readers[place], sides[place], vocabulary, folder))
        with progress(text("comparing", lang), False) as update:
            difference = compare(*found, limit=options["limit"], on_progress=update)
        traced = None
        if readers and not (difference.equal and logs.one and _same_way(sides)):
            traced = _trace(readers, logs, sides, vocabulary, lang, options["limit"])
        return _told(found, difference, traced, vocabulary, replays=not runs)


def _told(
    found: list[Side], difference: Difference, traced: Trace | None, vocabulary: Vocabulary | None, *, replays: bool
) -> dict[str, Any]:
    told = difference.told()
    equal = told.pop("equal")
    if replays and traced is not None:
        # What a timeline showed on the way is in no file at the end.
        equal = equal and traced.effect is None
    log = None if traced is None else traced.told(vocabulary)
    return {"equal": equal, "a": found[0].name, "b": found[1].name, **told, "log": log}


def _side(name: str, redis_url: str | None, options: dict[str, Any]) -> _Side:
    given = {
        f"rules_{name}" if options[f"rules_{name}"] else "rules": (
            "rules",
            options[f"rules_{name}"] or options["rules_file"],
        ),
        "redis": ("redis.url", redis_url),
    }
    return _Side(name, gather(options["settings_file"], options["pairs"] + options[f"set_{name}"], **given))


def _same_way(sides: list[_Side]) -> bool:
    ways = [side.way() for side in sides]
    return ways[0].settings == ways[1].settings and ways[0].rules.version == ways[1].rules.version


def _is_prefix(run: str) -> bool:
    return run.endswith(":")


def _run(run: str, client: RedisClient | None) -> Side:
    if _is_prefix(run) and client is not None:
        return BoardSide(client, run)
    return find_side(run)


def _reader(files: tuple[str, ...], vocabulary: Vocabulary | None, options: dict[str, Any]) -> LogReader:
    return open_log(files, vocabulary=vocabulary, sort=options["sort"])


def _replayed(reader: LogReader, side: _Side, vocabulary: Vocabulary | None, folder: Path) -> FileSide:
    """The outputs of a replay of a log, in files that go with the folder."""
    way = side.way()
    paths = {part: folder / f"{side.name}-{part}.jsonl" for part in ("board", "alerts", "predictions")}
    run_replay(
        reader,
        way.settings,
        way.rules,
        url="none",
        vocabulary=vocabulary,
        desk=way.desk,
        outputs={part: path for part, path in paths.items() if part != "board"},
        board=paths["board"],
    )
    return FileSide(" + ".join(source.name for source in reader.sources), paths)


def _trace(
    readers: list[LogReader],
    logs: _Logs,
    sides: list[_Side],
    vocabulary: Vocabulary | None,
    lang: str,
    limit: int,
) -> Trace:
    with progress(text("tracing", lang), False) as update:
        return trace(
            readers[0],
            None if logs.one else readers[1],
            sides[0].way(),
            sides[1].way(),
            vocabulary=vocabulary,
            limit=limit,
            on_step=lambda n: update(readers[0].bytes_read / max(1, readers[0].total_bytes), n),
        )
