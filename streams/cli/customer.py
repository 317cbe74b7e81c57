"""`henji customer`: one customer as the board shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import click
import orjson
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streams.cli.alerts_view import guidance_text, plain, scene_text, state_text
from streams.cli.options import gather, prefix_option, redis_option, settings_options
from streams.cli.report import at_text, console
from streams.cli.stores import one_board, open_redis, redis_of
from streams.cli.words import language, language_option, reason_text, word
from streams.redis.board import RiskBoard
from streams.redis.desk_views import AlertState, GuidanceView
from streams.redis.views import TimelineEntry

__all__ = ["command", "customer_facts", "print_customer", "scene_of", "sparkline"]

_BARS = "▁▂▃▄▅▆▇█"
_WHOLE = 16  # a time without seconds


@click.command("customer")
@click.argument("customer_id", metavar="ID")
@redis_option
@prefix_option
@settings_options
@language_option
@click.option("--json", "as_json", is_flag=True, help="Print everything as one JSON object.")
def command(
    customer_id: str,
    redis_url: str | None,
    prefix: str | None,
    settings_file: Any,
    pairs: tuple[str, ...],
    lang: str | None,
    as_json: bool,
) -> None:
    r"""Show the customer ID: scores, reasons, open alerts with what to say, flags with evidence, profile, timeline.

    Exit code 1 if the board does not know the customer: that is unknown, not riskless.

    \b
      henji customer u000123 --redis redis://localhost:6379
    """
    settings = gather(settings_file, pairs, redis=("redis.url", redis_url))
    where = redis_of(settings)
    if isinstance(where, str):
        raise click.UsageError(f"--redis: expected the URL of a Redis that holds a board, got {where}")
    with open_redis(where) as client:
        board = RiskBoard(client, one_board(client, prefix))
        facts = customer_facts(board, customer_id)
    if facts is None:
        click.echo(
            f"henji: customer {customer_id!r}: expected a customer of the board, got one that it does not know",
            err=True,
        )
        raise click.exceptions.Exit(1)
    if as_json:
        click.echo(orjson.dumps(facts).decode())
    else:
        print_customer(facts, language(lang))


def customer_facts(board: RiskBoard, customer_id: str) -> dict[str, Any] | None:
    """All that a board says of a customer; `None` if it does not know them."""
    customer = board.customer(customer_id)
    if customer is None:
        return None
    why, timeline = board.why(customer_id), board.timeline(customer_id) or []
    alerts = board.alerts_of(customer_id)
    texts = board.guidance() if any(alert.guidance for alert in alerts) else {}
    return {
        **asdict(customer),
        "flags": [asdict(flag) for flag in board.flags(customer_id) or []],
        "alerts": [
            {**asdict(alert), "guidance_text": asdict(texts[alert.guidance]) if alert.guidance in texts else None}
            for alert in alerts
        ],
        "scene": [asdict(entry) for entry in scene_of(timeline, alerts)],
        "why": asdict(why) if why is not None else None,
        "profile": board.profile(customer_id),
        "history": board.history(customer_id),
        "timeline": [asdict(entry) for entry in timeline],
    }


def scene_of(timeline: Sequence[TimelineEntry], alerts: Sequence[AlertState]) -> list[TimelineEntry]:
    """What the newest open alert is about: the traces of its category and of their cases, both sides, oldest first.

    Without such an alert, those of the last case that there was; empty where there was none.

    Examples
    --------
    >>> entries = [TimelineEntry(1, "complaint", "network/wifi", "app", "k1", None),
    ...            TimelineEntry(2, "view", None, "web", None, None),
    ...            TimelineEntry(3, "handling", None, "phone", "k1", "accepted")]
    >>> [entry.at for entry in scene_of(entries, [])]
    [1, 3]
    """
    for alert in sorted(alerts, key=lambda alert: alert.since, reverse=True):
        about = alert.category
        if about is not None and (
            met := [e for e in timeline if e.category and f"{e.category}/".startswith(f"{about}/")]
        ):
            cases = {entry.case_id for entry in met if entry.case_id is not None}
            return [entry for entry in timeline if entry in met or entry.case_id in cases]
    last = next((entry.case_id for entry in reversed(timeline) if entry.case_id is not None), None)
    return [entry for entry in timeline if last is not None and entry.case_id == last]


def sparkline(values: Sequence[float | None], top: float) -> str:
    """Numbers from 0 to `top` as one character each; a blank where there is none.

    Examples
    --------
    >>> sparkline([0.0, 0.4, None, 1.0], 1.0)
    '▁▄ █'
    """
    last = len(_BARS) - 1
    shown = (" " if value is None else _BARS[round(min(1.0, max(0.0, value / top)) * last)] for value in values)
    return "".join(shown)


def print_customer(facts: dict[str, Any], lang: str) -> None:
    """Print one customer for people."""
    out = console()
    _print_head(out, facts, lang)
    _print_alerts(out, facts, lang)
    why = facts["why"] or {}
    _print_rows(
        out,
        word("flags", lang),
        [word(w, lang) for w in ("flag", "category", "severity", "since", "until", "count", "evidence")],
        [
            [f["flag"], f["category"] or "", f["severity"], at_text(f["since"]), at_text(f["until"]), str(f["count"]),
             ", ".join((why.get("evidence") or {}).get(f["field"], []))]
            for f in facts["flags"]
        ],
    )  # fmt: skip
    if facts["profile"]:
        told = ", ".join(f"{name}={value}" for name, value in facts["profile"].items())
        out.print(f"{word('profile', lang)}: {escape(plain(told))}")
    _print_history(out, facts["history"] or {}, lang)
    _print_rows(
        out,
        word("timeline", lang),
        [word(w, lang) for w in ("at", "kind", "category", "channel", "case", "detail")],
        [
            [at_text(e["at"]), e["kind"], e["category"] or "", e["channel"] or "", e["case_id"] or "",
             "" if e["detail"] is None else str(e["detail"])]
            for e in facts["timeline"]
        ],
    )  # fmt: skip


def _print_head(out: Console, facts: dict[str, Any], lang: str) -> None:
    unknown = word("unknown", lang)
    churn = f"{facts['churn']:.3f} ({facts['churn_band']})" if facts["churn"] is not None else unknown
    engagement = f"{facts['engagement']:.2f}" if facts["engagement"] is not None else unknown
    contact = f"{facts['contact']:.3f}" if facts["contact"] is not None else unknown
    out.print(f"[bold]{escape(plain(facts['customer_id']))}[/bold]  {word('as_of', lang)} {at_text(facts['as_of'])}")
    if facts["sensitive"]:
        out.print(f"[bold red]{word('sensitive', lang)}[/bold red]")
    out.print(
        f"{word('churn', lang)} {churn}   {word('engagement', lang)} {engagement}   {word('contact', lang)} {contact}"
    )
    if facts["silence_ratio"] is not None:
        out.print(word("silence", lang).format(ratio=facts["silence_ratio"]))
    why = facts["why"] or {}
    if why.get("churn"):
        told = ", ".join(f"{reason_text(r['code'], lang)} {r['weight']:+.2f}" for r in why["churn"])
        out.print(f"{word('reasons', lang)}: {escape(told)}")


def _print_alerts(out: Console, facts: dict[str, Any], lang: str) -> None:
    if facts["alerts"]:
        out.print(f"[italic]{word('alerts_open', lang)}[/italic]")
    told: set[str] = set()
    for each in facts["alerts"]:
        state = AlertState(**{name: value for name, value in each.items() if name != "guidance_text"})
        out.print(state_text(state, lang), highlight=False)
        # Two alerts with the same advice need it once.
        if each["guidance_text"] and state.guidance not in told:
            told.add(state.guidance)
            out.print(guidance_text(GuidanceView(**each["guidance_text"]), lang), highlight=False)
    if facts["scene"]:
        out.print(f"[italic]{word('scene', lang)}[/italic]")
        out.print(scene_text([TimelineEntry(**entry) for entry in facts["scene"]], out, lang), highlight=False)


def _print_history(out: Console, history: dict[str, Any], lang: str) -> None:
    if len(history) < 2:
        return
    days = list(history)
    out.print(f"[italic]{word('history', lang)}[/italic] {days[0]} … {days[-1]}", highlight=False)
    for name, index in (("churn", 0), ("engagement", 1)):
        values = [history[day][index] for day in days]
        known = [value for value in values if value is not None]
        if known:
            top = 1.0 if name == "churn" else max(known) or 1.0
            line = f"{sparkline(values, top)}  {known[0]:.2f} → {known[-1]:.2f}"
            out.print(f"    {line}  {word(name, lang)}", highlight=False)


def _print_rows(out: Console, title: str, header: list[str], rows: list[list[str]]) -> None:
    if not rows:
        return
    table = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for number, name in enumerate(header):
        # Times and counts whole; of the rest as much as there is room for, a line each.
        whole = all(len(row[number]) <= _WHOLE for row in rows)
        table.add_column(
            name, no_wrap=True, overflow="ellipsis", min_width=_widest(name, rows, number) if whole else None
        )
    for row in rows:
        table.add_row(*(escape(plain(cell)) for cell in row))
    out.print(table)


def _widest(name: str, rows: list[list[str]], number: int) -> int:
    return max(cell_len(name), *(cell_len(row[number]) for row in rows))
