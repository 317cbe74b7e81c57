"""`henji models evaluate`: how good the scores are on a log, beside what one would otherwise use."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import isfinite
from pathlib import Path
from typing import Any

import click
import orjson
from rich.markup import escape
from rich.table import Table

from engine.duration import DAY_MS, parse_duration
from engine.errors import UsageError
from engine.vocabulary import Vocabulary
from streams.cli.mapping import read_mapping
from streams.cli.options import gather, settings_options
from streams.cli.progress import progress
from streams.cli.replay import run_replay
from streams.cli.report import at_text, console, write_report
from streams.cli.words import language, language_option
from streams.evaluate.activity import Activity
from streams.evaluate.evaluation import Evaluation, Judgement
from streams.evaluate.evaluation import evaluate as judge
from streams.evaluate.facts import facts
from streams.evaluate.page import render
from streams.evaluate.plan import plan
from streams.evaluate.predictions import Predictions, read_predictions
from streams.evaluate.protocol import Protocol
from streams.evaluate.texts import anchor_name, text
from streams.evaluate.verdict import absences, headline, sentences
from streams.reader.log import LogReader, open_log
from streams.settings import Settings

__all__ = ["evaluate"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_BATCH = 2000
_COLOURS = {"better": "green", "worse": "red", "level": "default"}


@click.command("evaluate")
@click.argument("files", nargs=-1, required=True, metavar="LOG...")
@click.option("--report", type=_FILE, metavar="OUT.html", help="Write the report: one HTML file, nothing from outside.")
@click.option("--predictions", type=_FILE, metavar="FILE", help="Judge these, of `henji replay --predictions`.")
@click.option("--map", "map_file", type=_FILE, metavar="FILE", help="Mapping file: your words and columns.")
@click.option("--sort", is_flag=True, help="Read all files together, in order of event time.")
@click.option("--horizon", metavar="TIME", help="Churn is no activity within it, such as 90d. [setting: churn.horizon]")
@click.option("--lateness", metavar="TIME", help="Oldest event still put in its place, such as 1h, or none.")
@click.option("--lanes", metavar="N", help="Number of lanes. [default: 8]")
@click.option("--share", metavar="TIME", help="How often lanes tell each other what they learned, such as 1d, or none.")
@click.option("--rules", "rules_file", metavar="FILE", help="Rules other than the built-in ones.")
@settings_options
@click.option("--kinds", metavar="KIND,...", help="Kinds that count. [default: those of churn.activity that occur]")
@click.option("--from-day", type=float, metavar="DAY", help="First judged day of the log. [default: a third of it]")
@click.option("--until-day", type=float, metavar="DAY", help="Cut the log there. [default: its end]")
@click.option("--per-day/--per-event", default=None, help="Compare whole days. [default: if all times are midnights]")
@click.option("--block", default="30d", show_default=True, metavar="TIME", help="How often anchors are fitted again.")
@language_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def evaluate(
    files: tuple[str, ...],
    report: Path | None,
    predictions: Path | None,
    map_file: Path | None,
    sort: bool,
    settings_file: Path | None,
    pairs: tuple[str, ...],
    lang: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    r"""Judge henji's churn scores on LOG, beside what one would otherwise use.

    The log is replayed, and every score made from --from-day on is compared with what the customer then did: did any
    activity follow within the horizon? The same moments are put to simpler and to heavier methods, each fitted only on
    what was known by then: the average rate, recency, RFM, logistic regression, gradient boosting (needs scikit-learn:
    pip install 'henji[evaluate]') and BG/NBD. Nothing is written but the report.

    \b
      henji models evaluate shop.jsonl.gz --horizon 90d --report report.html
      henji models evaluate shop.csv --map shop.toml --lanes 1 --json

    Log-loss tells all at once, lower is better; a difference within two standard errors (±) is none. Days count from
    the log's first midnight. docs/evaluation.md explains every column.
    """
    settings = gather(
        settings_file,
        pairs,
        horizon=("churn.horizon", options["horizon"]),
        lateness=("lateness", options["lateness"]),
        lanes=("lanes", options["lanes"]),
        share=("replay.share", options["share"]),
        rules=("rules", options["rules_file"]),
    )
    block_d = _days(options["block"])
    taken = {Path(file).resolve() for file in files} | {p.resolve() for p in (predictions, map_file) if p is not None}
    if report is not None:
        _check_report(report, taken)
    vocabulary = read_mapping(map_file)
    reader = open_log(files, vocabulary=vocabulary, sort=sort, batch_size=_BATCH)
    activity = _read(reader, settings, vocabulary)
    kinds = [kind.strip() for kind in options["kinds"].split(",") if kind.strip()] if options["kinds"] else None
    rules = plan(
        activity,
        horizon_d=settings["churn.horizon"] / DAY_MS,
        block_d=block_d,
        kinds=kinds,
        from_d=options["from_day"],
        until_d=options["until_day"],
        per_day=options["per_day"],
    )
    with _scores(predictions, reader, settings, vocabulary) as place:
        made = read_predictions(place, activity)
    found = _judge(files, activity, made, rules, settings)
    chosen = language(lang)
    if report is not None:
        write_report(report, render(found, chosen))
    if as_json:
        click.echo(orjson.dumps(facts(found)).decode())
    else:
        _print(found, report, chosen)


def _days(block: str) -> float:
    try:
        return parse_duration(block) / DAY_MS
    except ValueError as error:
        raise UsageError(f"--block: {error}") from error


def _check_report(report: Path, taken: set[Path]) -> None:
    """Refuse before minutes of work what would fail after them."""
    if report.resolve() in taken:
        raise UsageError(f"--report: expected a file of its own, got {report}, which is read as well")
    if not report.parent.is_dir() or report.is_dir():
        raise UsageError(f"--report: expected a file in an existing folder, got {report}; make the folder first")


def _read(reader: LogReader, settings: Settings, vocabulary: Vocabulary | None) -> Activity:
    with progress("read", False) as update:
        return Activity.read(
            reader,
            settings["churn.activity"],
            vocabulary,
            lambda n: update(reader.bytes_read / max(1, reader.total_bytes), n),
        )


@contextmanager
def _scores(ready: Path | None, reader: LogReader, settings: Settings, vocabulary: Vocabulary | None) -> Iterator[Path]:
    """Where the predictions are: the given file, or one that a replay writes and that is gone in the end."""
    if ready is not None:
        yield ready
        return
    rules = settings.rule_set()
    with tempfile.TemporaryDirectory(prefix="henji-") as folder:
        place = Path(folder) / "predictions.jsonl"
        run_replay(
            reader,
            settings.replayed(rules),
            rules,
            url="none",
            vocabulary=vocabulary,
            outputs={"predictions": place},
        )
        yield place


def _judge(
    files: tuple[str, ...], activity: Activity, made: Predictions, rules: Protocol, settings: Settings
) -> Evaluation:
    with progress("evaluate", False) as update:
        return judge(
            activity,
            made,
            rules,
            sources=[Path(file).name for file in files],
            engagement_horizon_d=settings["engagement.horizon"] / DAY_MS,
            on_step=lambda share: update(share, int(share * len(activity))),
        )


def _print(found: Evaluation, report: Path | None, lang: str) -> None:
    out = console()
    out.print(f"[bold]{escape(headline(found, lang))}[/bold]")
    absent = absences(found, lang)
    for sentence in sentences(found, lang):
        if sentence not in absent:
            out.print(escape(sentence))
    rules = found.rules
    unit = text("per_day" if rules.per_day else "per_instant", lang)
    told = text("protocol", lang, begin=f"{rules.from_d:g}", end=f"{found.end_d - rules.horizon_d:.4g}", unit=unit,
                block=f"{rules.block_d:g}")  # fmt: skip
    out.print(escape(told) + "\n")
    out.print(_table(found.event, text("anchors", lang), found.absent, lang))
    if found.silence is not None:
        out.print()
        out.print(_table(found.silence, text("silence", lang), {}, lang))
    if found.counts is not None:
        out.print()
        out.print(_count_table(found, lang))
    for mark in found.marks:
        told = mark.text_en if lang == "en" else mark.text_zh
        out.print(escape(f"{text('marks', lang)}: {at_text(mark.at_ms)} {told}"))
    for sentence in absent:
        out.print(escape(sentence))
    if report is not None:
        out.print(escape(str(report)))


def _table(judgement: Judgement, title: str, absent: dict[str, str], lang: str) -> Table:
    names = ("auc", "log_loss", "delta", "standing", "brier", "ece", "mean_p")
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    table.add_column(text("method", lang))
    for name in names:
        table.add_column(text(name, lang), justify="right")
    rows = [("[bold]henji[/bold]", judgement.figures, judgement.auc_se, "", "")]
    for each in judgement.anchors:
        standing = f"[{_COLOURS[each.standing]}]{text(each.standing, lang)}[/]"
        delta = f"{each.delta:+.4f} ±{_told(each.delta_se)}"
        rows.append((escape(anchor_name(each.name, lang)), each.figures, each.auc_se, delta, standing))
    for name, f, auc_se, delta, standing in rows:
        cells = (f"{f.brier:.4f}", f"{f.ece:.4f}", f"{f.mean_p:.3f}")
        table.add_row(name, f"{_told(f.auc)} ±{_told(auc_se, 3)}", f"{f.log_loss:.4f}", delta, standing, *cells)
    for name in absent:
        table.add_row(escape(anchor_name(name, lang)), *("-" for _ in names))
    return table


def _told(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}f}" if isfinite(value) else "-"


def _count_table(found: Evaluation, lang: str) -> Table:
    counts = found.counts
    assert counts is not None
    title = text("counts_note", lang, horizon=f"{counts.horizon_d:g}", n=f"{counts.n:,}", mean=f"{counts.mean:.2f}")
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    table.add_column(text("method", lang))
    for name in ("deviance", "mae", "expected", "delta"):
        table.add_column(text(name, lang), justify="right")
    for row in counts.rows:
        delta = "" if row.delta is None else f"{row.delta:+.3f} ±{_told(row.delta_se or 0.0, 3)}"
        cells = (f"{row.deviance:.3f}", f"{row.mae:.3f}", f"{row.mean:.3f}", delta)
        table.add_row(escape(anchor_name(row.name, lang)), *cells)
    return table
