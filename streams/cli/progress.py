"""Progress of long work: a bar on a terminal, one line every few seconds elsewhere; always on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

__all__ = ["EVERY_S", "progress"]

EVERY_S = 5.0
"""Seconds between two lines where there is no terminal."""


@contextmanager
def progress(what: str, quiet: bool) -> Iterator[Callable[[float, int], None]]:
    """Show how far something is.

    Parameters
    ----------
    what
        What is being done.
    quiet
        Show nothing.

    Yields
    ------
    Callable[[float, int], None]
        Call it with the share done (0 to 1) and the number of events so far.
    """
    if quiet:
        yield lambda _share, _n: None
        return
    if sys.stderr.isatty():
        with _bar(what) as update:
            yield update
        return
    last = [time.monotonic()]

    def line(share: float, n: int) -> None:
        now = time.monotonic()
        if now - last[0] >= EVERY_S:
            last[0] = now
            click.echo(f"{what}: {share:.0%}, {n:,} events", err=True)

    yield line


@contextmanager
def _bar(what: str) -> Iterator[Callable[[float, int], None]]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[n]:,} events"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=1.0, n=0)

        def update(share: float, n: int) -> None:
            bar.update(task, completed=share, n=n)

        yield update
