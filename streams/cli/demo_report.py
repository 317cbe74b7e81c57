"""The end of a demo: who is at risk and why, the newest alerts, the most urgent customer."""

from __future__ import annotations

from typing import Any

from rich.markup import escape
from rich.table import Table

from streams.cli.customer import customer_facts, print_customer
from streams.cli.report import at_text, console
from streams.cli.words import reason_text, word
from streams.redis.board import RiskBoard

__all__ = ["look", "print_look"]

_TOP = 10


def look(board: RiskBoard) -> dict[str, Any]:
    """The ten most at risk, the newest alerts, and one customer as an agent would see them."""
    top = [customer_facts(board, customer_id) for customer_id, _ in board.top("churn", _TOP)]
    alerts = [view.line for view in board.alerts("0", 100_000)[-_TOP:]]
    urgent = board.top("sensitive", 1) or board.top("churn", 1)
    return {"top": top, "alerts": alerts, "urgent": customer_facts(board, urgent[0][0]) if urgent else None}


def print_look(shown: dict[str, Any], lang: str) -> None:
    """Print what `look` saw."""
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
