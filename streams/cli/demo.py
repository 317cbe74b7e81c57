"""`henji demo`: the whole path on one machine, with nothing installed."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import orjson
import uvloop

from engine.duration import DAY_MS
from engine.errors import UsageError
from engine.rules import RuleSet
from engine.settings import ResultSettings
from streams.cli.demo_report import look, print_look
from streams.cli.digest import live_standing
from streams.cli.live_view import live_view
from streams.cli.mapping import read_mapping
from streams.cli.options import gather, settings_options
from streams.cli.progress import progress
from streams.cli.replay import run_replay, write_lines
from streams.cli.report import print_summary
from streams.cli.words import language, language_option, word
from streams.demo.deployment import Deployment, Given
from streams.demo.front import Front
from streams.demo.performance import Performance, Status
from streams.demo.player import Player
from streams.kafka.embedded import find_broker
from streams.reader.log import open_log
from streams.redis.board import RiskBoard
from streams.redis.embedded import EmbeddedRedis
from streams.redis.verify import verify
from streams.redis.views import AlertView
from streams.replay.pacing import parse_speed
from streams.replay.summary import summary
from streams.simulate import SimulationSettings, write_log
from streams.simulate.log import Summary
from streams.standing import Standing

__all__ = ["command"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_TERMINAL_DAYS_PER_S = 1.0
_ELSEWHERE_EVENTS_PER_S = 1_000.0
_USUAL_PORT = 8080


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """What the command line asks for, checked."""

    given: Given
    result: ResultSettings
    rules: RuleSet
    lang: str
    as_json: bool


@click.command("demo")
@click.option(
    "--events", default=20_000, show_default=True, type=click.IntRange(100, 5_000_000), help="About how many."
)
@click.option("--seed", default=1, show_default=True, help="Another seed is another campus.")
@click.option(
    "--speed",
    metavar="SPEED",
    help="Days of campus time a second (2d), times real speed (3600x), or max. [default: 1d on a terminal; elsewhere "
    "such that 1,000 events come a second]",
)
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep log, Redis's data and the worker's log in this new folder. [default: a temporary one]",
)
@click.option("--once", is_flag=True, help="Play as fast as it goes, print the summary as of `henji replay`, and end.")
@click.option("--log", type=_FILE, metavar="FILE", help="With --once: a log of yours, as `henji replay` reads it.")
@click.option("--map", "map_file", type=_FILE, metavar="FILE", help="Mapping file: your words and columns.")
@click.option("--lateness", metavar="TIME", help="Oldest event still put in its place, such as 1h, or none.")
@click.option("--lanes", metavar="N", help="Number of lanes. [default: 8]")
@click.option("--rules", "rules_file", metavar="FILE", help="Rules other than the built-in ones.")
@click.option("--desk", "desk_file", metavar="FILE", help="Routes, priorities, caps and guidance of your own.")
@settings_options
@click.option("--alerts", type=_FILE, metavar="OUT", help="With --once: write every alert, lane by lane in order.")
@click.option("--board", type=_FILE, metavar="OUT", help="With --once: write the final board, a customer a line.")
@click.option(
    "--console/--no-console",
    "with_console",
    default=None,
    help="Open the web console beside it, until Ctrl-C. [default: on a terminal]",
)
@click.option("--port", type=click.IntRange(0, 65_535), help="Of the console. [default: 8080, or a free one]")
@language_option
@click.option("--json", "as_json", is_flag=True, help="Show nothing on the way, and print the end as one JSON object.")
def command(
    lateness: str | None,
    lanes: str | None,
    rules_file: str | None,
    desk_file: str | None,
    map_file: Path | None,
    settings_file: Path | None,
    pairs: tuple[str, ...],
    once: bool,
    lang: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    r"""See henji work: a simulated campus app played live, through broker and worker into Redis, all on this machine.

    Alerts are shown as they come, with a line that says how it stands; at the end, or after Ctrl-C, the customers most
    at risk with their reasons, the newest alerts, and the most urgent customer as an agent would see them. Needs no
    Kafka, no Redis and no network; leaves nothing behind (unless --dir).

    On a terminal a day of the campus passes each second: the 120 days take two minutes. Where output is a pipe or a
    file, the 20,000 events take 20 s, and the command ends by itself in well under a minute. Where there is no embedded
    broker for the machine, the log is replayed instead, and a message says so.

    \b
      henji demo --speed 5d
      henji demo --once --log events.jsonl.gz --lanes 8 --json
    """
    settings = gather(
        settings_file,
        pairs,
        lateness=("lateness", lateness),
        lanes=("lanes", lanes),
        rules=("rules", rules_file),
        desk=("desk", desk_file),
    )
    rules = settings.rule_set()
    asked = _Asked(
        given=Given(
            pairs=_pairs(pairs, {"lateness": lateness, "lanes": lanes, "rules": rules_file, "desk": desk_file}),
            settings_file=settings_file,
            map_file=map_file,
        ),
        result=settings.result(rules),
        rules=rules,
        lang=language(lang),
        as_json=as_json,
    )
    _check(once, **options, map_file=map_file)
    simulation = _simulation(options["events"], options["seed"])
    if once:
        find_broker()
        with _place(options["directory"]) as place:
            _once(asked, place, simulation, **{name: options[name] for name in ("log", "alerts", "board")})
        return
    speed = _parse_speed(options["speed"])
    try:
        find_broker()
    except UsageError as error:
        click.echo(f"henji: {word('no_broker', asked.lang)} ({error})", err=True)
        with _place(options["directory"]) as place:
            _replay(asked, place, simulation)
        return
    try:
        with _place(options["directory"]) as place:
            _live(asked, place, simulation, speed, _console_port(options, as_json=as_json))
    except KeyboardInterrupt:
        # Before or after the play; while it is played Ctrl-C is a signal to show the end.
        click.echo(f"henji: {word('stopped', asked.lang)}", err=True)


# -- what was asked for ------------------------------------------------------------------------------------------


def _pairs(pairs: tuple[str, ...], given: dict[str, str | None]) -> list[tuple[str, str, str]]:
    split = ((key.strip(), value.strip(), "--set") for key, _, value in (pair.partition("=") for pair in pairs))
    return [*split, *((key, value, f"--{key}") for key, value in given.items() if value is not None)]


def _check(once: bool, *, log: Path | None, map_file: Path | None, speed: str | None, **options: Any) -> None:
    outputs = {name: options[name] for name in ("alerts", "board") if options[name] is not None}
    if not once:
        for name, value in {"log": log, "map": map_file, **outputs}.items():
            if value is not None:
                raise UsageError(f"--{name}: expected --once beside it, got none; see `henji demo --help`")
    elif speed is not None:
        raise UsageError(f"--speed: expected none beside --once, which plays as fast as it goes, got {speed}")
    taken = {log.resolve(): "--log"} if log is not None else {}
    for name, path in outputs.items():
        if path.resolve() in taken:
            raise UsageError(f"--{name}: expected a file of its own, got {path}, which is {taken[path.resolve()]}'s")
        taken[path.resolve()] = f"--{name}"
        if not path.resolve().parent.is_dir():
            raise UsageError(f"--{name}: expected a file in an existing folder, got {path}; make the folder first")


def _parse_speed(text: str | None) -> float | None:
    """Times real speed; infinite for `max`, `None` when nothing was asked for."""
    if text is None:
        return None
    if text == "max" or text.endswith("x"):
        return parse_speed(text) or float("inf")
    try:
        days = float(text.removesuffix("d"))
    except ValueError:
        days = 0.0
    if not 0 < days < 1e6:
        raise UsageError(
            f"--speed: expected days of campus time a second such as 2d, times real speed such as 3600x, or max, "
            f"got {text!r}"
        )
    return days * DAY_MS / 1000


@contextmanager
def _place(directory: Path | None) -> Iterator[Path]:
    """The folder of the demo: a new one that was named, else one that goes with it."""
    if directory is None:
        with tempfile.TemporaryDirectory(prefix="henji-demo-") as temporary:
            yield Path(temporary)
        return
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise UsageError(f"--dir: expected a new or an empty folder, got {directory}, which holds files")
    except OSError as error:
        raise UsageError(f"--dir: expected a folder that can be written, got {directory}: {error}") from error
    yield directory


def _simulation(events: int, seed: int) -> SimulationSettings:
    """An app is never all clean: some events are out of order, too late, twice, or none."""
    return SimulationSettings(
        events=events, seed=seed, disorder_share=0.02, late_share=0.002, duplicate_share=0.005, bad_share=0.0005
    )


def _simulated(simulation: SimulationSettings, place: Path, quiet: bool) -> tuple[Path, Summary]:
    log = place / "campus.jsonl"
    with progress("simulate", quiet) as update:
        return log, write_log(simulation, log, place / "truth.jsonl", update)


# -- as fast as it goes ------------------------------------------------------------------------------------------


class _Lines:
    """Keeps the alerts as `--alerts` writes them."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []

    def alert(self, alert: AlertView) -> None:
        self.lines.append(orjson.dumps(alert.line))

    def status(self, status: Status) -> None:
        pass


def _once(
    asked: _Asked,
    place: Path,
    simulation: SimulationSettings,
    *,
    log: Path | None,
    alerts: Path | None,
    board: Path | None,
) -> None:
    words = read_mapping(asked.given.map_file)
    if log is None:
        log, _ = _simulated(simulation, place, asked.as_json)
    reader = open_log([log], vocabulary=words, batch_size=2000)
    seen = _Lines() if alerts is not None else None
    started = time.monotonic()
    with Deployment(place, asked.given, {"worker.fuse": "off"}) as deployment:
        performance = Performance(deployment, Player(reader, words=words, stamped=True), seen)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(performance.run())
        facts, standing = _sum_up(asked, deployment, performance, started)
    if board is not None:
        write_lines(board, standing.board)
    if alerts is not None and seen is not None:
        _write_alerts(alerts, seen.lines)
    if asked.as_json:
        click.echo(orjson.dumps(facts).decode())
    else:
        print_summary(facts)


def _write_alerts(path: Path, lines: list[bytes]) -> None:
    try:
        path.write_bytes(b"".join(line + b"\n" for line in lines))
    except OSError as error:
        raise UsageError(f"--alerts: expected a file that can be written, got {path}: {error}") from error


def _sum_up(
    asked: _Asked, deployment: Deployment, performance: Performance, started: float
) -> tuple[dict[str, Any], Standing]:
    """Stop the worker and say what it came to, with the fields of a replay's summary."""
    ended = time.monotonic()
    deployment.worker.stop()
    standing = live_standing(deployment.client, deployment.keys, deployment.topic, asked.result, asked.rules)
    stages = performance.seconds | {"sum": time.monotonic() - ended}
    facts = summary(standing)
    digest = facts.pop("digest")
    play_s = performance.seconds["play"]
    facts |= {
        "run": "demo",
        "prefix": deployment.keys.prefix,
        "since": None,
        "resumed_at": 0,
        "seconds": round(time.monotonic() - started, 3),
        # Of the play alone: the group of the worker takes its seconds to form, whatever there is to read.
        "events_per_second": round(facts["read"] / play_s, 1) if play_s > 0 else None,
        "cores": 1,
        "stages": {stage: round(seconds, 3) for stage, seconds in stages.items()},
        "digest": digest,
    }
    return facts, standing


# -- live --------------------------------------------------------------------------------------------------------


def _console_port(options: dict[str, Any], *, as_json: bool) -> int | None:
    """Where the console is to listen; `None`: there is none."""
    wanted = options["with_console"]
    if wanted is None:
        wanted = sys.stdout.isatty() and not as_json
    if not wanted:
        return None
    return _USUAL_PORT if options["port"] is None and _is_free(_USUAL_PORT) else options["port"] or 0


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _live(asked: _Asked, place: Path, simulation: SimulationSettings, speed: float | None, port: int | None) -> None:
    log, written = _simulated(simulation, place, asked.as_json)
    span_s = (written.to_ms - written.from_ms) / 1000
    if speed is None:
        seconds = written.lines / _ELSEWHERE_EVENTS_PER_S
        speed = _TERMINAL_DAYS_PER_S * DAY_MS / 1000 if sys.stdout.isatty() else span_s / seconds
    if not asked.as_json:
        click.echo(word("starting", asked.lang))
    started = time.monotonic()
    with Deployment(place, asked.given) as deployment, ExitStack() as stack:
        if port is not None:
            front = stack.enter_context(Front(place, deployment, port))
            # On the error stream: what the demo prints at its end may be read by a program.
            click.echo(word("console_at", asked.lang).format(url=front.url, link=front.link), err=True)
        factor = None if speed == float("inf") else speed
        player = Player(open_log([log], batch_size=500), factor=factor)
        if not asked.as_json and factor is not None:
            told = word("playing", asked.lang)
            click.echo(told.format(lines=written.lines, days=span_s * 1000 / DAY_MS, seconds=span_s / speed))
        with live_view(asked.lang, quiet=asked.as_json) as view:
            performance = Performance(deployment, player, view)
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(_until_stopped(performance, stay=port is not None and not asked.as_json, lang=asked.lang))
        facts, _ = _sum_up(asked, deployment, performance, started)
        shown = look(RiskBoard(deployment.client, deployment.keys.prefix))
        shown["violations"] = [str(v) for v in verify(deployment.client, deployment.keys.prefix)]
    _tell(asked, facts, shown, place)


async def _until_stopped(performance: Performance, *, stay: bool, lang: str) -> None:
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()

    def stop() -> None:
        performance.stop()
        stopped.set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    await performance.run()
    if stay and not stopped.is_set():
        click.echo(word("console_stays", lang), err=True)
        await stopped.wait()


def _tell(asked: _Asked, facts: dict[str, Any], shown: dict[str, Any], place: Path) -> None:
    if asked.as_json:
        click.echo(orjson.dumps({"summary": facts, **shown}).decode())
    else:
        print_look(shown, asked.lang)
        print_summary(facts)
        kept = "" if not place.name.startswith("henji-demo-") else f" ({word('removed', asked.lang)})"
        click.echo(f"{word('data', asked.lang)}: {place}{kept}")
    if shown["violations"]:
        raise click.exceptions.Exit(1)


# -- without a broker --------------------------------------------------------------------------------------------


def _replay(asked: _Asked, place: Path, simulation: SimulationSettings) -> None:
    log, _ = _simulated(simulation, place, asked.as_json)
    with EmbeddedRedis(place / "redis") as server:
        _, facts = run_replay(
            open_log([log]), asked.result, asked.rules, url=server.url, name="demo", quiet=asked.as_json
        )
        client = server.client()
        try:
            shown = look(RiskBoard(client, facts["prefix"]))
            shown["violations"] = [str(v) for v in verify(client, facts["prefix"])]
        finally:
            client.close()
    _tell(asked, facts, shown, place)
