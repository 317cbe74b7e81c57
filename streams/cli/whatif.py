"""`henji whatif`: what other rules would have done on a log, with the engine that runs live."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import orjson
from rich.markup import escape
from rich.table import Table

from engine.duration import parse_duration
from engine.errors import ConfigurationError, UsageError
from engine.rules import RuleSet
from streams.cli.mapping import read_mapping
from streams.cli.options import gather, settings_options
from streams.cli.progress import progress
from streams.cli.report import at_text, console, write_report
from streams.cli.words import language, language_option
from streams.reader.log import open_log
from streams.reader.topic import TopicLog
from streams.settings import Settings
from streams.whatif.comparison import Comparison, Variant, VariantResult, compare
from streams.whatif.crew import parse_cores, run_jobs
from streams.whatif.facts import facts
from streams.whatif.job import Input, PastJob, VariantJob
from streams.whatif.judgement import Money
from streams.whatif.page import definition_text, log_text, render
from streams.whatif.past import Past
from streams.whatif.sweep import MOST, Sweep
from streams.whatif.tally import Tally
from streams.whatif.texts import share_text, text

__all__ = ["command"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_SMALL_BYTES = 4 * 1024**2  # of events: less is done before other processes have started
_SHOWN = 8


@click.command("whatif")
@click.argument("files", nargs=-1, metavar="LOG...")
@click.option("--rules", "rules_files", multiple=True, metavar="FILE", help="Rules to try; may be given several times.")
@click.option(
    "--rules-now", metavar="FILE", help="What they are compared with. [default: setting rules, else built-in]"
)
@click.option("--sweep", "swept", metavar="KEY=VALUES", help="Vary a number: flags.churn_risk.raise=0.5:0.95:0.05.")
@click.option(
    "--after", default="30d", show_default=True, metavar="TIME", help="Who leaves or complains within it counts."
)
@click.option("--cost-per-alert", type=float, metavar="X", help="What a message to a person costs.")
@click.option("--value-kept", type=float, metavar="Y", help="What a customer is worth who would have left and stays.")
@click.option("--success-rate", type=click.FloatRange(0, 1), metavar="P", help="Share of them who stay if one acts.")
@click.option("--report", type=_FILE, metavar="OUT.html", help="Write the report: one HTML file, nothing from outside.")
@click.option("--kafka", "brokers", metavar="BROKERS", help="Read the topic kafka.topic at HOST:PORT,..., no files.")
@click.option(
    "--map", "map_file", type=_FILE, metavar="FILE", help="Mapping file: your words and columns, or a SELECT."
)
@click.option("--sort", is_flag=True, help="Read all files together, in order of event time.")
@click.option("--lateness", metavar="TIME", help="Oldest event still put in its place, such as 1h, or none.")
@click.option("--lanes", metavar="N", help="Number of lanes. [default: 8]")
@click.option("--share", metavar="TIME", help="How often lanes tell each other what they learned, such as 1d, or none.")
@click.option("--desk", "desk_file", metavar="FILE", help="Routes, priorities, caps and guidance of your own.")
@settings_options
@click.option("--cores", default="auto", show_default=True, metavar="N", help="Variants that are replayed at a time.")
@language_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def command(
    files: tuple[str, ...],
    rules_files: tuple[str, ...],
    rules_now: str | None,
    swept: str | None,
    brokers: str | None,
    map_file: Path | None,
    report: Path | None,
    settings_file: Path | None,
    pairs: tuple[str, ...],
    lang: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    r"""Show on LOG what other rules would have done.

    Replays the log under the current rules and under each of --rules, and says for each flag who enters (raised at
    least once under the new rules, never under the current ones) and who leaves, how many alerts a day people get, and
    how many of the flagged customers left or complained afterwards, beside how many do anyway. With --sweep one number
    of a rule is tried at several values. Nothing is written but the report.

    \b
      henji whatif log.jsonl.gz --rules new.toml --report whatif.html
      henji whatif log.jsonl.gz --sweep flags.churn_risk.raise=0.5:0.95:0.05
      henji whatif log.jsonl.gz --rules a.toml --rules b.toml --cost-per-alert 2 --value-kept 300 --success-rate 0.1
      henji whatif log.jsonl.gz --rules new.toml --json

    docs/whatif.md says what every figure means.
    """
    settings = gather(
        settings_file,
        pairs,
        lateness=("lateness", options["lateness"]),
        lanes=("lanes", options["lanes"]),
        share=("replay.share", options["share"]),
        rules_now=("rules", rules_now),
        desk=("desk", options["desk_file"]),
        kafka=("kafka.brokers", brokers),
    )
    after = _after(options["after"])
    money = _money(options["cost_per_alert"], options["value_kept"], options["success_rate"])
    cores = parse_cores(options["cores"])
    variants, key = _variants(settings, rules_files, swept)
    if report is not None:
        _check_report(report, (*files, *rules_files, rules_now or "", str(map_file or "")))
    log, sources, small = _input(files, brokers, settings, map_file, options["sort"])
    if options["cores"] == "auto" and small:
        cores = 1
    desk = settings.desk()
    jobs = [VariantJob(log, settings.replayed(each.rules), each.rules, desk) for each in variants]
    told = settings.replayed(variants[0].rules)
    past_job = PastJob(log, told.churn_horizon_ms, told.activity)
    with progress("whatif", False) as update:
        *tallies, past = run_jobs([*jobs, past_job], cores, update)
    assert isinstance(past, Past)
    found = compare(
        variants,
        [each for each in tallies if isinstance(each, Tally)],
        past,
        after=after,
        money=money,
        swept=key,
        sources=sources,
    )
    chosen = language(lang)
    if report is not None:
        write_report(report, render(found, chosen))
    if as_json:
        click.echo(orjson.dumps(facts(found)).decode())
    else:
        _print(found, report, chosen)


def _after(said: str) -> int:
    try:
        return parse_duration(said)
    except ValueError as error:
        raise UsageError(f"--after: {error}") from error


def _money(cost: float | None, value: float | None, rate: float | None) -> Money | None:
    if cost is None and value is None and rate is None:
        return None
    if cost is None or value is None or rate is None or cost < 0 or value < 0:
        raise UsageError(
            "--cost-per-alert, --value-kept, --success-rate: expected all three, none below 0, got "
            f"{cost}, {value}, {rate}; they are your own figures, in one currency"
        )
    return Money(cost, value, rate)


def _variants(settings: Settings, rules_files: Sequence[str], swept: str | None) -> tuple[list[Variant], str]:
    """The current rules, those to try, and what a sweep varies."""
    now = settings.rule_set()
    variants = [Variant("now", now)]
    for place, path in enumerate(rules_files):
        # Of two files with one name the path tells which is meant.
        names = [Path(each).name for each in rules_files]
        name = names[place] if names.count(names[place]) == 1 else path
        variants.append(Variant(name, _rules(path)))
    key = ""
    if swept is not None:
        sweep = Sweep.parse(swept)
        key = sweep.key
        base = variants[-1].rules if rules_files else now
        variants += [Variant(f"{key}={value}", sweep.rules(base, value), value) for value in sweep.values]
    if len(variants) == 1:
        raise UsageError(
            "--rules: expected rules to compare with the current ones, got none; give --rules FILE or "
            "--sweep KEY=VALUES (`henji rules default` prints rules to change)"
        )
    if len(variants) - 1 > MOST:
        raise UsageError(f"--rules, --sweep: expected at most {MOST} variants, got {len(variants) - 1}; give fewer")
    return variants, key


def _rules(path: str) -> RuleSet:
    try:
        said = Path(path).read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"--rules: expected a readable UTF-8 file at {path}, got {error}") from error
    return RuleSet.parse(said, path)


def _check_report(report: Path, read: Sequence[str]) -> None:
    """Refuse before minutes of work what would fail after them."""
    if report.resolve() in {Path(each).resolve() for each in read if each}:
        raise UsageError(f"--report: expected a file of its own, got {report}, which is read as well")
    if not report.parent.is_dir() or report.is_dir():
        raise UsageError(f"--report: expected a file in an existing folder, got {report}; make the folder first")


def _input(
    files: tuple[str, ...], brokers: str | None, settings: Settings, map_file: Path | None, sort: bool
) -> tuple[Input, list[str], bool]:
    """The log, what to call it, and whether it is so small that one process is enough."""
    vocabulary = read_mapping(map_file)
    if brokers is None:
        if not files:
            raise click.UsageError("Missing argument 'LOG...', or option '--kafka BROKERS'.")
        reader = open_log(files, vocabulary=vocabulary, sort=sort)
        size = sum(source.size * (1 if source.compression is None else 8) for source in reader.sources)
        return Input(files, vocabulary, sort), [Path(file).name for file in files], size < _SMALL_BYTES
    if files or sort or settings["replay.share"] is not None or (vocabulary is not None and vocabulary.sql is not None):
        raise UsageError(
            "--kafka: expected no files, no --sort, no --share and no SELECT beside it; a topic has its own order and "
            "says itself what the lanes told each other"
        )
    with TopicLog.of(settings, batch_size=2000) as topic:
        extents = topic.identity
    return Input((), vocabulary, topic=(settings, extents)), [settings["kafka.topic"]], False


# -- the terminal ----------------------------------------------------------------------------------------------


def _print(found: Comparison, report: Path | None, lang: str) -> None:
    out = console()
    out.print(escape(log_text(found, lang)))
    out.print(escape(definition_text(found, lang)))
    for result in found.compared:
        out.print()
        out.print(_flags(found, result, lang))
        for flag, each in result.flags.items():
            for word, names in (("enter", each.enter), ("leave", each.leave)):
                if names:
                    shown = ", ".join(f"{name} ({at_text(raised.at)})" for name, raised in list(names.items())[:_SHOWN])
                    more = f" … +{len(names) - _SHOWN:,}" if len(names) > _SHOWN else ""
                    out.print(escape(f"{flag}, {text(word, lang)}: {shown}{more}"))
    out.print()
    out.print(_variants_table(found, lang))
    if found.points:
        out.print()
        out.print(_sweep(found, lang))
    if report is not None:
        out.print(escape(str(report)))


def _table(title: str, header: Sequence[str]) -> Table:
    table = Table(title=escape(title), title_justify="left", box=None, header_style="bold")
    for place, name in enumerate(header):
        table.add_column(escape(name), justify="right" if place else "left")
    return table


def _flags(found: Comparison, result: VariantResult, lang: str) -> Table:
    names = ("flag", "enters", "leaves", "customers", "raised", "per_day", "held", "left_rate", "base", "lift",
             "complained_rate", "base")  # fmt: skip
    table = _table(f"{text('now', lang)} → {result.variant.name}", [text(name, lang) for name in names])
    for flag, new in result.flags.items():
        old = found.now.flags.get(flag)
        left, complained = new.outcomes["left"], new.outcomes["complained"]
        table.add_row(
            escape(flag),
            f"+{len(new.enter):,}",
            f"-{len(new.leave):,}",
            _both(old.customers if old else 0, new.customers),
            _both(old.raised if old else 0, new.raised),
            f"{new.delivered.mean:.2f}",
            f"{new.held.mean:.2f}",
            share_text(left.precision),
            share_text(left.base_rate),
            "-" if left.lift is None else f"{left.lift:.1f}",
            share_text(complained.precision),
            share_text(complained.base_rate),
        )
    return table


def _both(old: int, new: int) -> str:
    return f"{new:,}" if old == new else f"{old:,} → {new:,}"


def _variants_table(found: Comparison, lang: str) -> Table:
    names = ["variant", "per_day", "p95", "most", "held", "busiest"]
    names += ["alerts", "departures", "net"] if found.money is not None else []
    table = _table(text("variants", lang), [text(name, lang) for name in names])
    for each in (found.now, *found.new):
        busiest = next((f"{r.route} {r.delivered.mean:.1f}" for r in each.routes if r.route), "-")
        cells = [f"{each.delivered.mean:.1f}", f"{each.delivered.p95:,}", f"{each.delivered.most:,}",
                 f"{each.held.mean:.1f}", escape(busiest)]  # fmt: skip
        if each.net is not None:
            cells += [f"{each.net.alerts:,}", f"{each.net.departures:,}", f"{each.net.net:,.0f}"]
        name = text("now", lang) if each is found.now else each.variant.name
        table.add_row(escape(name), *cells)
    return table


def _sweep(found: Comparison, lang: str) -> Table:
    flag = found.swept.split(".")[1]
    names = ["value", "customers", "per_day", "left_rate", "recall", "base", "lift", "lead", "complained_rate"]
    names += ["net"] if found.money is not None else []
    table = _table(found.swept, [text(name, lang) for name in names])
    for each in found.points:
        result = each.flags[flag]
        left = result.outcomes["left"]
        cells = [f"{result.customers:,}", f"{result.delivered.mean:.2f}", share_text(left.precision),
                 share_text(left.recall), share_text(left.base_rate), "-" if left.lift is None else f"{left.lift:.2f}",
                 "-" if left.lead_d is None else f"{left.lead_d:.1f}",
                 share_text(result.outcomes["complained"].precision)]  # fmt: skip
        if result.net is not None:
            cells.append(f"{result.net.net:,.0f}")
        table.add_row(escape(str(each.variant.value)), *cells)
    return table
