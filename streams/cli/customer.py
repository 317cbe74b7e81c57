"""`henji customer`: one customer as the board shows them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import click
import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streams.cli.options import gather, prefix_option, redis_option, settings_options
from streams.cli.report import at_text, console
from streams.cli.stores import one_board, open_redis, redis_of
from streams.cli.words import language, language_option, reason_text, word
from streams.redis.board import RiskBoard

__all__ = ["command", "customer_facts", "print_customer"]


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
    r"""Show the customer ID: scores, reasons, flags with evidence, profile, timeline.

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
    why = board.why(customer_id)
    return {
        **asdict(customer),
        "flags": [asdict(flag) for flag in board.flags(customer_id) or []],
        "why": asdict(why) if why is not None else None,
        "profile": board.profile(customer_id),
        "history": board.history(customer_id),
        "timeline": [asdict(entry) for entry in board.timeline(customer_id) or []],
    }


def print_customer(facts: dict[str, Any], lang: str) -> None:
    """Print one customer for people."""
    out = console()
    unknown = word("unknown", lang)
    churn = f"{facts['churn']:.3f} ({facts['churn_band']})" if facts["churn"] is not None else unknown
    engagement = f"{facts['engagement']:.2f}" if facts["engagement"] is not None else unknown
    out.print(f"[bold]{escape(facts['customer_id'])}[/bold]  {word('as_of', lang)} {at_text(facts['as_of'])}")
    if facts["sensitive"]:
        out.print(f"[bold red]{word('sensitive', lang)}[/bold red]")
    contact = f"{facts['contact']:.3f}" if facts["contact"] is not None else unknown
    out.print(
        f"{word('churn', lang)} {churn}   {word('engagement', lang)} {engagement}   {word('contact', lang)} {contact}"
    )
    if facts["silence_ratio"] is not None:
        out.print(word("silence", lang).format(ratio=facts["silence_ratio"]))
    why = facts["why"] or {}
    if why.get("churn"):
        told = ", ".join(f"{reason_text(r['code'], lang)} {r['weight']:+.2f}" for r in why["churn"])
        out.print(f"{word('reasons', lang)}: {escape(told)}")
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
        out.print(f"{word('profile', lang)}: {escape(told)}")
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


def _print_rows(out: Console, title: str, header: list[str], rows: list[list[str]]) -> None:
    if not rows:
        return
    table = Table(*header, title=title, title_justify="left", box=None, header_style="bold")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    out.print(table)
