"""What people read on a terminal: the summary of a run, customers, alerts."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.errors import UsageError

__all__ = ["at_text", "console", "print_summary", "write_report"]

_WIDTH = 120  # of a table where there is no terminal to ask


def console() -> Console:
    """Standard output: as wide as the terminal, else 120 characters."""
    # `:a:` in a name is no picture.
    return Console(emoji=False) if Console().is_terminal else Console(width=_WIDTH, emoji=False)


def at_text(ms: int | None) -> str:
    """An event time for people, UTC; a dash when there is none.

    Examples
    --------
    >>> at_text(0), at_text(None)
    ('1970-01-01 00:00', '-')
    """
    return "-" if ms is None else datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def write_report(path: Path, page: str) -> None:
    """Write what `--report` asks for.

    Raises
    ------
    UsageError
        If the file cannot be written.
    """
    try:
        path.write_text(page, "utf-8")
    except OSError as error:
        raise UsageError(f"--report: expected a file that can be written, got {path}: {error}") from error


def print_summary(facts: dict[str, Any]) -> None:
    """Print what a run did."""
    out = console()
    share = ", ".join(f"{facts[k]:,} {k}" for k in ("applied", "duplicate", "late", "dead"))
    out.print(f"{facts['read']:,} records read: {share}; {facts['customers']:,} customers on the board")
    if facts.get("since") is not None:
        out.print(f"begun at {at_text(facts['since'])} UTC with empty memory: what came before is not known")
    table = Table("flag", "raised", "updated", "cleared", "contacts", box=None, header_style="bold")
    for flag, ops in facts["alerts_by_flag"].items():
        table.add_row(escape(flag), *(f"{ops.get(op, 0):,}" for op in ("raise", "update", "clear", "contact")))
    if table.row_count:
        out.print(table)
    table = Table("model", "learned", "base rate", "log-loss", "AUC", "deviance", box=None, header_style="bold")
    for name, figures in facts["models"].items():
        shown = [figures.get(k) for k in ("base_rate", "log_loss", "auc", "poisson_deviance")]
        cells = ["-" if value is None else f"{value:.3f}" for value in shown]
        table.add_row(name, f"{figures['learned']:,}", *cells)
    out.print(table)
    stages = ", ".join(f"{stage} {s:.1f} s" for stage, s in facts["stages"].items() if s >= 0.05)
    out.print(f"{facts['seconds']:.1f} s, {facts['events_per_second']:,} events/s ({stages})")
    if facts["prefix"]:
        out.print(f"board: {escape(facts['prefix'])}")
    out.print(f"digest: {facts['digest']}")
