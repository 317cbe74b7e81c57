"""`henji replay`: historical logs through the engine."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import click
import orjson

from engine.desk import Desk
from engine.errors import UsageError
from engine.rules import RuleSet
from engine.settings import ResultSettings
from engine.timestamp import MAX_TS, MIN_TS, parse_rfc3339
from engine.vocabulary import Vocabulary
from streams.cli.options import gather, redis_option, settings_options
from streams.cli.progress import progress
from streams.cli.report import print_summary
from streams.cli.stores import redis_of, replay_ledger
from streams.ledger import Ledger
from streams.reader.log import LogReader, open_log
from streams.reader.topic import WHOLE, Span, TopicLog
from streams.redis.access import RedisAccess
from streams.redis.incident_watch import incident_settings
from streams.redis.ledger import RedisLedger
from streams.replay.cores import LARGE_BYTES, LARGE_RECORDS, chosen_cores
from streams.replay.outputs import Outputs
from streams.replay.pacing import paced, parse_speed
from streams.replay.run import Replay
from streams.replay.summary import run_summary
from streams.settings import Settings

__all__ = ["command", "read_vocabulary", "run_replay", "write_lines"]

_OUT = click.Path(path_type=Path, dir_okay=False)


@click.command("replay")
@click.argument("files", nargs=-1, metavar="FILE...")
@click.option("--kafka", "brokers", metavar="BROKERS", help="Read the topic kafka.topic at HOST:PORT,..., no files.")
@click.option("--from", "since", metavar="TIME", help="With --kafka: from the first record of this time on.")
@click.option("--to", "until", metavar="TIME", help="With --kafka: up to the first record of this time.")
@click.option("--map", "map_file", type=_OUT, metavar="FILE", help="Mapping file: your words and columns, or a SELECT.")
@click.option("--sort", is_flag=True, help="Read all files together, in order of event time.")
@click.option("--lateness", metavar="TIME", help="Oldest event still put in its place, such as 1h, or none.")
@click.option("--lanes", metavar="N", help="Number of lanes. [default: 8]")
@click.option("--share", metavar="TIME", help="How often lanes tell each other what they learned, such as 1d, or none.")
@click.option("--rules", "rules_file", metavar="FILE", help="Rules other than the built-in ones.")
@click.option("--desk", "desk_file", metavar="FILE", help="Routes, priorities, caps and guidance of your own.")
@settings_options
@redis_option
@click.option(
    "--redis-dir",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where an embedded Redis keeps its data, so that a killed run can go on. [default: a temporary one]",
)
@click.option("--run", "name", metavar="NAME", help="Name of the run in Redis. [default: made from files and settings]")
@click.option("--fresh", is_flag=True, help="Start over, whatever a ledger of this run holds.")
@click.option(
    "--cores", metavar="N", help="Processes that work on the lanes, or auto. [default: 1, for large logs all cores]"
)
@click.option("--speed", default="max", metavar="SPEED", show_default=True, help="max, or times real speed: 1x, 10x.")
@click.option(
    "--batch", default=2000, show_default=True, type=click.IntRange(1, 100_000), help="Records per transaction."
)
@click.option("--alerts", type=_OUT, metavar="OUT", help="Write every alert, one JSON object a line.")
@click.option("--board", type=_OUT, metavar="OUT", help="Write the final board, one JSON object a customer.")
@click.option("--predictions", type=_OUT, metavar="OUT", help="Write every score as it was made.")
@click.option("--dead", type=_OUT, metavar="OUT", help="Write every record that is no event, with reason and place.")
@click.option("--late", type=_OUT, metavar="OUT", help="Write every event that came too late, as it came.")
@click.option("--digest", "digest_only", is_flag=True, help="Print the digest of the answers and nothing else.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
@click.option("--reload", is_flag=True, hidden=True, help="Take all state from the ledger anew for every batch.")
def command(
    files: tuple[str, ...],
    brokers: str | None,
    since: str | None,
    until: str | None,
    map_file: Path | None,
    sort: bool,
    lateness: str | None,
    lanes: str | None,
    share: str | None,
    rules_file: str | None,
    desk_file: str | None,
    settings_file: Path | None,
    pairs: tuple[str, ...],
    redis_url: str | None,
    digest_only: bool,
    as_json: bool,
    **options: Any,
) -> None:
    r"""Replay FILE... through the engine, as if each event had just come.

    Reads JSON lines (also .gz and .zst), CSV and Parquet, or with --kafka the events topic, up to where it ends now.
    The same log gives the same answers, in any batches, on any number of cores, killed and started again at any place:
    with --redis URL the ledger knows where the run was, and the same command goes on from there.

    \b
      henji replay log.jsonl.gz --alerts alerts.jsonl --board board.jsonl
      henji replay shop.csv --map shop.toml --set churn.horizon=90d --lanes 1
      henji replay log.jsonl --redis redis://localhost:6379 --json
      henji replay 2024/*.jsonl.gz 2025/*.jsonl.gz --sort --cores auto
      henji replay --kafka localhost:9092 --set kafka.topic=events --digest
      henji replay --kafka localhost:9092 --from 2025-03-01 --to 2025-04-01 --redis redis://localhost:6379 --run march
    """
    settings = gather(
        settings_file,
        pairs,
        lateness=("lateness", lateness),
        lanes=("lanes", lanes),
        share=("replay.share", share),
        rules=("rules", rules_file),
        desk=("desk", desk_file),
        redis=("redis.url", redis_url),
        kafka=("kafka.brokers", brokers),
    )
    rules = settings.rule_set()
    vocabulary = read_vocabulary(map_file)
    _check_paths(files, {k: options[k] for k in ("alerts", "board", "predictions", "dead", "late")},
                 {"map": map_file, "rules": settings["rules"] or None, "desk": settings["desk"] or None,
                  "settings": settings_file})  # fmt: skip
    growing = {name: options[name] for name in ("alerts", "predictions", "dead", "late") if options[name] is not None}
    quiet = as_json or digest_only
    result = settings.replayed(rules)
    one = parse_speed(options["speed"]) is not None or options["reload"]
    span = _span(since, until, brokers)
    with _log(files, brokers, settings, vocabulary, sort=sort, batch_size=options["batch"], span=span) as reader:
        cores = chosen_cores(options["cores"], lanes=result.lanes, large=_is_large(reader), one=one)
        _, facts = run_replay(
            reader,
            result,
            rules,
            url=redis_of(settings),
            vocabulary=vocabulary,
            desk=settings.desk(),
            name=options["name"],
            outputs=growing,
            board=options["board"],
            fresh=options["fresh"],
            speed=options["speed"],
            redis_dir=options["redis_dir"],
            reload_each=options["reload"],
            cores=cores,
            quiet=False,
        )
    if as_json:
        click.echo(orjson.dumps(facts).decode())
    elif digest_only:
        click.echo(facts["digest"])
    if not quiet:
        print_summary(facts)


def run_replay(
    reader: LogReader | TopicLog,
    settings: ResultSettings,
    rules: RuleSet,
    *,
    url: RedisAccess | str,
    vocabulary: Vocabulary | None = None,
    desk: Desk | None = None,
    name: str | None = None,
    outputs: dict[str, Path] | None = None,
    board: Path | None = None,
    fresh: bool = False,
    speed: str = "max",
    redis_dir: Path | None = None,
    reload_each: bool = False,
    cores: int = 1,
    quiet: bool = False,
) -> tuple[Replay, dict[str, Any]]:
    """Replay a log and say what came out; the arguments are those of the command.

    Returns
    -------
    tuple of Replay and dict
        The finished run, and its public summary.
    """
    factor = parse_speed(speed)
    name = name or _run_name(_place(reader), settings, vocabulary)
    files = Outputs(outputs or {})
    span = reader.span if isinstance(reader, TopicLog) else WHOLE
    started = time.monotonic()
    stores = replay_ledger(url, name, settings, rules, redis_dir, desk=desk, since=span.since)
    with stores as (ledger, prefix), _closing(files):
        if fresh:
            ledger.claim()
            ledger.reset()
        if isinstance(reader, TopicLog):
            _same_ends(reader, ledger, settings, files)
        run = Replay(
            settings,
            rules,
            ledger,
            files,
            vocabulary=vocabulary,
            partitions=reader.n_partitions if isinstance(reader, TopicLog) else 1,
            reload_each=reload_each,
            desk=desk,
            look=_look(ledger, settings, desk or Desk.default()),
            cores=cores,
            durable=url != "none",
        )
        pace = partial(paced, factor=factor, vocabulary=vocabulary) if factor is not None else iter
        with progress("replay", quiet) as update:
            run.run(reader, _identity(reader), lambda n: update(_share(reader), n), pace)
        wall_s = time.monotonic() - started
        standing = run.standing()
        if board is not None:
            write_lines(board, standing.board)
        facts = run_summary(run, standing, wall_s=wall_s, name=name, prefix=prefix, since=span.since)
    return run, facts


def _look(ledger: Ledger, settings: ResultSettings, desk: Desk) -> Callable[[bool], object]:
    """What looks for incidents; they are on a board only."""
    if isinstance(ledger, RedisLedger):
        return ledger.incidents(settings.lateness_ms or 0, incident_settings(desk), desk.owner)
    return lambda _: None


def _check_paths(files: tuple[str, ...], outputs: dict[str, Path | None], read: dict[str, Any]) -> None:
    """Refuse outputs that would overwrite what is read or each other, before anything is opened."""
    taken = {Path(file).resolve(): "the log" for file in files}
    taken.update({Path(path).resolve(): f"--{name}" for name, path in read.items() if path is not None})
    for name, path in outputs.items():
        if path is None:
            continue
        place = path.resolve()
        if place in taken and not place.is_char_device():
            raise UsageError(f"--{name}: expected a file of its own, got {path}, which is {taken[place]} as well")
        taken[place] = f"--{name}"
        if not place.parent.is_dir() or place.is_dir():
            raise UsageError(f"--{name}: expected a file in an existing folder, got {path}; make the folder first")
        if place.exists() and not os.access(place, os.W_OK):
            raise UsageError(f"--{name}: expected a file that can be written, got {path}; change its permissions")


@contextmanager
def _closing(files: Outputs) -> Iterator[None]:
    try:
        yield
    finally:
        files.close()


def write_lines(path: Path, lines: Sequence[bytes]) -> None:
    """Write the board (`--board`)."""
    try:
        with path.open("wb") as file:
            for line in lines:
                file.write(line + b"\n")
    except OSError as error:
        raise UsageError(f"--board: expected a file that can be written, got {path}: {error}") from error


def read_vocabulary(path: Path | None) -> Vocabulary | None:
    """The vocabulary in a mapping file; `None` without one."""
    if path is None:
        return None
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"--map: expected a readable UTF-8 file, got {path}: {error}") from error
    return Vocabulary.parse(text, str(path))


@contextmanager
def _log(
    files: tuple[str, ...],
    brokers: str | None,
    settings: Settings,
    vocabulary: Vocabulary | None,
    *,
    sort: bool,
    batch_size: int,
    span: Span,
) -> Iterator[LogReader | TopicLog]:
    """The log that was asked for: files, or the topic."""
    if brokers is None:
        if not files:
            raise click.UsageError("Missing argument 'FILE...', or option '--kafka BROKERS'.")
        yield open_log(files, vocabulary=vocabulary, sort=sort, batch_size=batch_size)
        return
    if files:
        raise UsageError(f"--kafka: expected no files beside it, got {files[0]}; give one or the other")
    if sort:
        raise UsageError("--kafka: expected no --sort beside it, since the order of a topic is part of the log")
    if settings["replay.share"] is not None:
        raise UsageError(
            f"replay.share ({settings.origins['replay.share']}): expected none beside --kafka, since the topic says "
            "itself what the lanes told each other; give --share none"
        )
    if vocabulary is not None and vocabulary.sql is not None:
        raise UsageError(f"{vocabulary.source}: sql: expected files, got --kafka; use [fields] and [kinds] for a topic")
    with TopicLog.of(settings, batch_size=batch_size, span=span) as topic:
        yield topic


def _span(since: str | None, until: str | None, brokers: str | None) -> Span:
    """Between which times of records the topic is read."""
    span = Span(_moment("from", since), _moment("to", until))
    if brokers is None and span != WHOLE:
        raise UsageError("--from, --to: expected --kafka beside them, got none; of files name those that you want")
    if span.since is not None and span.until is not None and span.since >= span.until:
        raise UsageError(f"--to: expected a time after --from {since}, got {until}")
    return span


def _moment(option: str, text: str | None) -> int | None:
    if text is None:
        return None
    try:
        at = parse_rfc3339(f"{text}T00:00:00Z" if len(text) == 10 else text)
        if MIN_TS <= at <= MAX_TS:
            return at
    except ValueError:
        pass
    raise UsageError(
        f"--{option}: expected a day such as 2025-03-01 (UTC) or a time with its offset such as "
        f"2025-03-01T08:00:00+08:00, from 1970 to 2100, got {text!r}"
    )


def _same_ends(topic: TopicLog, ledger: Ledger, settings: ResultSettings, files: Outputs) -> None:
    """Let a run that is gone on with read to the ends at which it began; any other starts over, with those of now."""
    found = ledger.open(settings.digest())
    if found is not None and not found.position.complete and files.covers(found.position.outputs):
        topic.resume(found.position.input)


def _share(reader: LogReader | TopicLog) -> float:
    """How much of the log is read, 0 to 1."""
    if isinstance(reader, TopicLog):
        return reader.passed / max(1, reader.total)
    return reader.bytes_read / max(1, reader.total_bytes)


def _is_large(reader: LogReader | TopicLog) -> bool:
    if isinstance(reader, TopicLog):
        return reader.total >= LARGE_RECORDS
    return reader.estimated_bytes >= LARGE_BYTES


def _place(reader: LogReader | TopicLog) -> str:
    """What names the run: a topic that has grown since is still the same."""
    return reader.place if isinstance(reader, TopicLog) else _identity(reader)


def _identity(reader: LogReader | TopicLog) -> str:
    """What the log is: names and sizes; the records themselves are compared when a run goes on."""
    if isinstance(reader, TopicLog):
        return reader.identity
    return ", ".join(f"{Path(source.name).name}:{source.size}" for source in reader.sources)[:4000]


def _run_name(identity: str, settings: ResultSettings, vocabulary: Vocabulary | None) -> str:
    text = "\n".join((identity, settings.digest(), repr(vocabulary)))
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()
