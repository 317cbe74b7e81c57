"""`henji demo`: the whole path on one machine, with nothing installed."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click
import orjson
from rich.markup import escape
from rich.table import Table

from engine.rules import RuleSet
from engine.settings import ResultSettings
from streams.cli.customer import customer_facts, print_customer
from streams.cli.progress import progress
from streams.cli.replay import run_replay
from streams.cli.report import at_text, console, print_summary
from streams.cli.words import language, language_option, reason_text, word
from streams.reader.log import open_log
from streams.redis.board import RiskBoard
from streams.redis.embedded import EmbeddedRedis
from streams.redis.verify import verify
from streams.simulate import SimulationSettings, write_log

__all__ = ["command"]

_TOP = 10


@click.command("demo")
@click.option(
    "--events", default=20_000, show_default=True, type=click.IntRange(100, 5_000_000), help="About how many."
)
@click.option("--seed", default=1, show_default=True, help="Another seed is another campus.")
@language_option
@click.option("--json", "as_json", is_flag=True, help="Print the run, the ten and the alerts as one JSON object.")
def command(events: int, seed: int, lang: str | None, as_json: bool) -> None:
    """See henji work: simulate a campus app, replay it into an embedded Redis, and look at the board.

    Shows the ten customers most at risk with their reasons, the newest alerts, the most urgent customer as an agent
    would see them, and where the time went. Needs no broker, no Redis and no network; leaves nothing behind.
    """
    chosen = language(lang)
    with tempfile.TemporaryDirectory(prefix="henji-demo-") as place, EmbeddedRedis() as server:
        log = Path(place) / "campus.jsonl"
        with progress("simulate", as_json) as update:
            write_log(SimulationSettings(events=events, seed=seed), log, Path(place) / "truth.jsonl", update)
        rules = RuleSet.default()
        settings = ResultSettings(rules=rules.version)
        _, facts = run_replay(open_log([log]), settings, rules, url=server.url, name="demo", quiet=as_json)
        client = server.client()
        try:
            board = RiskBoard(client, facts["prefix"])
            shown = _look(board)
            shown["violations"] = [str(v) for v in verify(client, facts["prefix"])]
        finally:
            client.close()
    if as_json:
        click.echo(orjson.dumps({"summary": facts, **shown}).decode())
    else:
        _print(facts, shown, chosen)
    if shown["violations"]:
        raise click.exceptions.Exit(1)


def _look(board: RiskBoard) -> dict[str, Any]:
    """The ten most at risk, the newest alerts, and one customer as an agent would see them."""
    top = [customer_facts(board, customer_id) for customer_id, _ in board.top("churn", _TOP)]
    alerts = [view.line for view in board.alerts("0", 100_000)[-_TOP:]]
    urgent = board.top("sensitive", 1) or board.top("churn", 1)
    return {"top": top, "alerts": alerts, "urgent": customer_facts(board, urgent[0][0]) if urgent else None}


def _print(facts: dict[str, Any], shown: dict[str, Any], lang: str) -> None:
    out = console()
    header = [word(w, lang) for w in ("customer", "churn", "engagement", "reasons", "flags")]
    table = Table(*header, title=word("most_at_risk", lang), title_justify="left", box=None, header_style="bold")
    for customer in shown["top"]:
        reasons = (customer["why"] or {}).get("churn") or []
        told = ", ".join(f"{reason_text(r['code'], lang)} {r['weight']:+.1f}" for r in reasons[:2])
        flags = ", ".join(f["flag"] for f in customer["flags"])
        cells = [customer["customer_id"], f"{customer['churn']:.2f}", f"{customer['engagement']:.1f}", told, flags]
        table.add_row(*(escape(cell) for cell in cells))
    out.print(table)
    header = [word(w, lang) for w in ("at", "op", "flag", "customer", "category", "severity", "evidence")]
    table = Table(*header, title=word("newest_alerts", lang), title_justify="left", box=None, header_style="bold")
    for alert in shown["alerts"]:
        evidence = ", ".join(alert["evidence"])
        cells = [at_text(alert["at"]), alert["op"], alert["flag"], alert["customer_id"], alert["category"] or "",
                 alert["severity"], evidence]  # fmt: skip
        table.add_row(*(escape(cell) for cell in cells))
    out.print(table)
    if shown["urgent"] is not None:
        out.print()
        print_customer(shown["urgent"], lang)
    out.print(f"\n[bold]{word('time', lang)}[/bold]")
    print_summary(facts)
