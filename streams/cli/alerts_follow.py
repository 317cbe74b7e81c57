"""Alerts and facts as they come, over restarts of Redis."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import TypeVar

import click
import orjson
from rich.console import Console

from engine.errors import StoreUnavailable
from streams.cli.alerts_view import fact_text, message_text
from streams.cli.report import console
from streams.cli.words import word
from streams.client import AlertStream, RiskBoard
from streams.redis.desk_views import FactView
from streams.redis.views import AlertView

__all__ = ["Wanted", "follow", "follow_group"]

_BLOCK_MS = 2_000
_WAIT_S = (0.2, 0.5, 1.0, 2.0)
_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which messages to show.

    Parameters
    ----------
    held
        Those that were held back from people, in place of those that were not.
    route, flag
        Only of this route, of this flag; `None`: of any.
    """

    held: bool = False
    route: str | None = None
    flag: str | None = None

    def __contains__(self, message: AlertView) -> bool:
        return (
            bool(message.held) == self.held
            and self.route in (None, message.route)
            and self.flag in (None, message.line["flag"])
        )


def follow(board: RiskBoard, prefix: str, wanted: Wanted, lang: str, *, as_json: bool) -> None:
    """Show what comes from now on, until Ctrl-C."""
    show = _Show(lang, as_json=as_json)
    try:
        newest = _patiently(lambda: (board.last_alerts(1), board.last_facts(1)), lang)
        alerts_after, facts_after = (found[-1].stream_id if found else "0" for found in newest)
        show.begin(prefix)
        while True:
            alerts, facts = _patiently(partial(board.news, alerts_after, facts_after, block_ms=_BLOCK_MS), lang)
            for message in alerts:
                alerts_after = message.stream_id
                if message in wanted:
                    show.message(message)
            for fact in facts:
                facts_after = fact.stream_id
                if wanted == Wanted():
                    show.fact(fact)
    except KeyboardInterrupt:
        return


def follow_group(stream: AlertStream, prefix: str, wanted: Wanted, lang: str, *, as_json: bool) -> None:
    """Show what the group has not handled yet, and what comes, until Ctrl-C; each is acknowledged once shown."""
    show = _Show(lang, as_json=as_json)
    try:
        _patiently(stream.create, lang)
        show.begin(prefix)
        while True:
            messages = _patiently(partial(stream.take, block_ms=_BLOCK_MS), lang)
            for message in messages:
                if message in wanted:
                    show.message(message)
            if messages:
                _patiently(partial(stream.ack, *messages), lang)
    except KeyboardInterrupt:
        return


class _Show:
    """Where it goes: standard output, flushed with each message."""

    def __init__(self, lang: str, *, as_json: bool) -> None:
        self._lang = lang
        self._out: Console | None = None if as_json else console()

    def begin(self, prefix: str) -> None:
        click.echo(word("following", self._lang).format(prefix=prefix), err=True)

    def message(self, message: AlertView) -> None:
        if self._out is None:
            _line({"type": "alert", **asdict(message)})
        else:
            self._out.print(message_text(message, self._lang), highlight=False)

    def fact(self, fact: FactView) -> None:
        if self._out is None:
            _line({"type": "fact", **asdict(fact)})
        else:
            self._out.print(fact_text(fact, self._lang), highlight=False)


def _line(facts: dict[str, object]) -> None:
    click.echo(orjson.dumps(facts))


def _patiently(ask: Callable[[], _Value], lang: str) -> _Value:
    """The answer, however long Redis is away."""
    tried = 0
    while True:
        try:
            value = ask()
        except StoreUnavailable:
            if not tried:
                click.echo(word("redis_away", lang), err=True)
            time.sleep(_WAIT_S[min(tried, len(_WAIT_S) - 1)])
            tried += 1
            continue
        if tried:
            click.echo(word("redis_back", lang), err=True)
        return value
