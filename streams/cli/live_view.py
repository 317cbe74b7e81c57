"""A live demo on the terminal: alerts as they come above a line that says how it stands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.cells import set_cell_size
from rich.live import Live
from rich.text import Text

from streams.cli.progress import EVERY_S
from streams.cli.report import at_text, console
from streams.cli.words import word
from streams.demo.performance import Audience, Status
from streams.redis.views import AlertView

__all__ = ["LineView", "TerminalView", "alert_text", "live_view", "status_text"]

_STYLES = {"raise": "bold red", "contact": "bold yellow", "clear": "green", "update": ""}


def alert_text(alert: AlertView, lang: str) -> str:
    """An alert as one line: time, what happened, flag, customer, category, severity, number of pieces of evidence."""
    line = alert.line
    cells = (
        (at_text(line["at"]), 16),
        (word(f"op_{line['op']}", lang), 8),
        (line["flag"], 24),
        (line["customer_id"], 12),
        (line["category"] or "-", 22),
        (line["severity"], 10),
    )
    # A cell that is too long is shown whole: what it names can be asked for.
    padded = [text if len(text) > width else set_cell_size(text, width) for text, width in cells]
    return f"{'  '.join(padded)}  {word('evidence', lang)} {len(line['evidence'])}"


def status_text(status: Status, lang: str) -> str:
    """How a performance stands, as one line."""
    parts = (
        f"{word('campus_time', lang)} {at_text(status.at)}",
        f"{word('events_read', lang)} {status.read:,}",
        f"{word('per_second', lang)} {status.per_second:,.0f}",
        f"{word('flags_up', lang)} {status.n_up:,}",
        f"{word('lag', lang)} {status.lag:,}",
        f"{word('input', lang)} {word(status.freshness, lang)}",
    )
    return " | ".join(parts)


class LineView:
    """Plain lines, for a pipe or a file: one per alert, and every few seconds how it stands.

    Parameters
    ----------
    lang
        `en` or `zh`.
    """

    def __init__(self, lang: str) -> None:
        self._lang = lang
        self._said_at = time.monotonic()

    def alert(self, alert: AlertView) -> None:
        """Show an alert."""
        click.echo(alert_text(alert, self._lang))

    def status(self, status: Status) -> None:
        """Show how it stands."""
        now = time.monotonic()
        if now - self._said_at >= EVERY_S:
            self._said_at = now
            click.echo(f"-- {status_text(status, self._lang)}")


class TerminalView:
    """Alerts scroll by above a line that stays.

    Parameters
    ----------
    live
        Started.
    lang
        `en` or `zh`.
    """

    def __init__(self, live: Live, lang: str) -> None:
        self._live = live
        self._lang = lang

    def alert(self, alert: AlertView) -> None:
        """Show an alert."""
        style = _STYLES.get(alert.line["op"], "")
        self._live.console.print(Text(alert_text(alert, self._lang), style=style), soft_wrap=True)

    def status(self, status: Status) -> None:
        """Show how it stands."""
        text = Text(status_text(status, self._lang), style="reverse", no_wrap=True, overflow="ellipsis")
        self._live.update(text, refresh=True)


@contextmanager
def live_view(lang: str, *, quiet: bool) -> Iterator[Audience | None]:
    """What fits where standard output goes; `None` with `quiet`."""
    if quiet:
        yield None
        return
    out = console()
    if not out.is_terminal:
        yield LineView(lang)
        return
    with Live(Text(word("starting", lang)), console=out, auto_refresh=False) as live:
        yield TerminalView(live, lang)
