"""`henji models list` and `henji models show`: the models of a deployment, and how good they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.errors import UsageError
from streams.cli.model_texts import text
from streams.cli.options import gather, prefix_option, redis_option, settings_options
from streams.cli.report import at_text, console
from streams.cli.stores import one_board, open_redis, redis_of
from streams.cli.words import language, language_option
from streams.model_facts import list_facts, show_facts
from streams.redis.model_reader import LaneReading, read_models

__all__ = ["board_of", "list_models", "show_model"]

_PROBABILITY = ("log_loss", "auc", "ece", "base_rate", "mean_p")
_COUNT = ("poisson_deviance", "mae", "mean_y", "mean_p")
_TITLES = {"poisson_deviance": "deviance"}
_BAR = 24


def board_of(
    redis_url: str | None, prefix: str | None, settings_file: Path | None, pairs: tuple[str, ...]
) -> list[LaneReading]:
    """The models of the board that the options name.

    Raises
    ------
    UsageError
        If they name none.
    """
    settings = gather(settings_file, pairs, redis=("redis.url", redis_url))
    where = redis_of(settings)
    if isinstance(where, str):
        raise UsageError(f"--redis: expected the URL of a Redis that holds a board, got {where}")
    with open_redis(where) as client:
        return read_models(client, one_board(client, prefix))


@click.command("list")
@redis_option
@prefix_option
@settings_options
@language_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def list_models(
    redis_url: str | None,
    prefix: str | None,
    settings_file: Path | None,
    pairs: tuple[str, ...],
    lang: str | None,
    as_json: bool,
) -> None:
    r"""List the models of a board: how good, which is shown, how challengers compare, what has drifted.

    Figures are progressive: each prediction is judged when its label has come, and learned only then. They are added up
    over the lanes exactly, from the sums in the ledger, so the user of Redis must be one who may read it.

    \b
      henji models list --redis redis://localhost:6379
    """
    facts = list_facts(board_of(redis_url, prefix, settings_file, pairs))
    if as_json:
        click.echo(orjson.dumps(facts).decode())
    else:
        _print_list(facts, language(lang))


@click.command("show")
@click.argument("name", metavar="NAME")
@redis_option
@prefix_option
@settings_options
@language_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def show_model(
    name: str,
    redis_url: str | None,
    prefix: str | None,
    settings_file: Path | None,
    pairs: tuple[str, ...],
    lang: str | None,
    as_json: bool,
) -> None:
    r"""Show one model by version, by segment, over time, its reliability and drift.

    NAME is churn_event, churn_silence, engagement_event, ...; a challenger is churn_event:plain, by name or version.

    \b
      henji models show churn_event --redis redis://localhost:6379
    """
    facts = show_facts(board_of(redis_url, prefix, settings_file, pairs), name)
    if as_json:
        click.echo(orjson.dumps(facts).decode())
    else:
        _print_model(facts, language(lang))


# -- the list ------------------------------------------------------------------------------------------------------


def _print_list(facts: dict[str, Any], lang: str) -> None:
    out = console()
    models = facts["models"]
    if not any(model["all"]["n"] or model["pending"] for model in models):
        out.print(text("none", lang))
    for title, names, kinds in (
        ("probabilities", _PROBABILITY, ("churn", "contact")),
        ("counts", _COUNT, ("engagement",)),
    ):
        rows = [model for model in models if model["score"] in kinds]
        if rows:
            out.print(_list_table(rows, names, text(title, lang), lang))
            out.print()
    for line in _sentences(facts, lang):
        out.print(escape(line))
    out.print(escape(text("list_note", lang, at=at_text(_time(facts["clock"])), lanes=len(facts["lanes"]))))


def _list_table(models: Sequence[Mapping[str, Any]], names: Sequence[str], title: str, lang: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, header_style="bold")
    table.add_column(text("model", lang), overflow="fold")
    table.add_column(text("version", lang), overflow="fold")
    for header in ("labels", "pending"):
        table.add_column(text(header, lang), justify="right")
    for name in names:
        table.add_column(text(_title(name, names), lang), justify="right")
    for name in names[:1]:
        table.add_column(f"{text('recent', lang)} {text(_title(name, names), lang)}", justify="right")
    for model in models:
        told = model["name"]
        if model["model"] is not None:
            told = f"* {told}" if model["champion"] else f"    {model['model']}"
        pending = "" if model["pending"] is None else f"{model['pending']:,}"
        table.add_row(
            escape(told),
            escape(model["version"] or ""),
            f"{int(model['all']['n']):,}",
            pending,
            *(_figure(model["all"], name) for name in names),
            _figure(model["recent"], names[0]),
        )
    return table


def _sentences(facts: dict[str, Any], lang: str) -> list[str]:
    out: list[str] = []
    champions = facts["champions"]
    if len(champions) > 1:
        told = ", ".join(
            text("in_lanes", lang, model=model, lanes=" ".join(map(str, lanes))) for model, lanes in champions.items()
        )
        out.append(text("disagree", lang, told=told))
    champion = next(iter(champions), "-")
    for model in facts["models"]:
        difference = model["difference"]
        if difference is not None:
            told = text(
                difference["verdict"],
                lang,
                challenger=model["model"],
                champion=champion,
                mean=_number(None if difference["mean"] is None else abs(difference["mean"])),
                se=_number(difference["se"]),
                n=f"{difference['n']:,}",
            )
            out.append(f"{model['trigger']}: {told}")
    if facts["drift"]:
        out.append(text("drift", lang) + ":")
    for alarm in facts["drift"]:
        told = text(
            "drift_told",
            lang,
            trigger=alarm["trigger"],
            what=_signal(alarm["what"], lang),
            direction=text("up" if alarm["after"] > alarm["before"] else "down", lang),
            before=f"{alarm['before']:.3g}",
            after=f"{alarm['after']:.3g}",
            at=at_text(alarm["at"]),
            near=alarm["near"],
            lanes=len(facts["lanes"]),
            alarms=alarm["alarms"],
        )
        out.append(f"  {told}")
    return out


# -- one model -----------------------------------------------------------------------------------------------------


def _print_model(facts: dict[str, Any], lang: str) -> None:
    out = console()
    names = _COUNT if facts["score"] == "engagement" else _PROBABILITY
    out.print(f"[bold]{escape(facts['name'])}[/bold]  {escape(facts['version'] or '')}")
    for title, header, rows, first in (
        ("versions", "version", facts["versions"], _plain("version")),
        ("segments", "segment", facts["segments"], _plain("segment")),
        ("blocks", "block", facts["blocks"], lambda row: at_text(row["from"])[:10]),
    ):
        table = Table(title=text(title, lang), title_justify="left", box=None, header_style="bold")
        table.add_column(text(header, lang))
        for name in ("n", *names):
            table.add_column(text(_title(name, names), lang), justify="right")
        for row in rows:
            table.add_row(escape(first(row)), f"{int(row['n']):,}", *(_figure(row, name) for name in names))
        if rows:
            out.print(table)
            out.print()
    if facts["reliability"] is not None:
        _print_reliability(out, facts["reliability"], lang)
    _print_log(out, facts["drift"], lang)


def _print_reliability(out: Console, table: Sequence[Sequence[float] | None], lang: str) -> None:
    """Two bars for each tenth of the scale: what was predicted, and what came true."""
    out.print(f"[italic]{text('reliability', lang)}[/italic]")
    for tenth, row in enumerate(table):
        if row is None:
            continue
        n, mean_p, share = row
        head = f"{tenth / 10:.1f}-{(tenth + 1) / 10:.1f}"
        for bar, value, left, right in (
            ("-", mean_p, head, text("predicted", lang)),
            ("#", share, "", f"{text('share', lang)}, {int(n):,}"),
        ):
            out.print(escape(f"{left:>8} {bar * round(value * _BAR):<{_BAR}} {value:.3f} {right}"))
    out.print()


def _print_log(out: Console, log: Sequence[Mapping[str, Any]], lang: str) -> None:
    if not log:
        return
    headers = ("at", "lane", "what", "before", "after", "alarms")
    table = Table(title=text("drift_log", lang), title_justify="left", box=None, header_style="bold")
    for header in headers:
        table.add_column(text(header, lang))
    for each in log:
        means = (f"{each['before']:.3g}", f"{each['after']:.3g}")
        cells = (at_text(each["at"]), str(each["lane"]), _signal(each["what"], lang), *means, str(each["alarms"]))
        table.add_row(*map(escape, cells))
    out.print(table)


# -- cells ---------------------------------------------------------------------------------------------------------


def _plain(name: str) -> Callable[[Mapping[str, Any]], str]:
    return lambda row: str(row[name])


def _title(name: str, names: Sequence[str]) -> str:
    if name == "mean_p" and names is _COUNT:
        return "mean_count"
    return _TITLES.get(name, name)


def _signal(what: str, lang: str) -> str:
    return text(what, lang) if what in ("prediction", "residual") else what


def _figure(figures: Mapping[str, float], name: str) -> str:
    return _number(figures.get(name))


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4f}"


def _time(clock: int) -> int | None:
    return clock if clock >= 0 else None
