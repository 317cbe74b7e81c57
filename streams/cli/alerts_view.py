"""Alerts on a terminal: two or three short lines each, that fit 80 columns."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

from rich.console import Console
from rich.text import Text

from streams.cli.report import at_text
from streams.cli.words import word
from streams.redis.desk_views import AlertState, FactView, GuidanceView, QueueRow
from streams.redis.views import AlertView, TimelineEntry

__all__ = ["fact_text", "guidance_text", "message_text", "plain", "row_text", "scene_text", "span_text", "state_text"]

_OP_STYLES = {"raise": "bold red", "contact": "bold yellow", "clear": "green", "update": "cyan"}
_PRIORITY_STYLES = {1: "bold white on red", 2: "bold red", 3: "bold yellow"}
_MINUTE, _HOUR, _DAY = 60_000, 3_600_000, 86_400_000
_INDENT = "   "


def plain(text: str) -> str:
    r"""A text of an event without what a terminal would obey.

    Examples
    --------
    >>> plain("a\x1b[31mb\nc\u202ed"), plain("投诉 ok")
    ('a�[31mb c�d', '投诉 ok')
    """
    spaced = " ".join(text.splitlines())
    return "".join("\ufffd" if unicodedata.category(char) in ("Cc", "Cf", "Cs") else char for char in spaced)


def span_text(ms: int, lang: str) -> str:
    """A length of time for people, in its two largest units.

    Examples
    --------
    >>> span_text(5 * 3_600_000 + 61_000, "en"), span_text(26 * 3_600_000, "en"), span_text(59_000, "zh")
    ('5 h 1 min', '1 d 2 h', '0 分钟')
    """
    ms = max(0, ms)
    days, hours, minutes = ms // _DAY, ms % _DAY // _HOUR, ms % _HOUR // _MINUTE
    if days:
        parts = [(days, "unit_d"), (hours, "unit_h")]
    elif hours:
        parts = [(hours, "unit_h"), (minutes, "unit_min")]
    else:
        parts = [(minutes, "unit_min")]
    shown = [f"{n} {word(unit, lang)}" for n, unit in parts if n]
    return " ".join(shown or [f"0 {word('unit_min', lang)}"])


def row_text(row: QueueRow, lang: str) -> Text:
    """A row of the queue: what and whose; since when and to whom; what people said of it."""
    state = row.alert
    style = _PRIORITY_STYLES.get(row.lifted, "bold")
    text = Text()
    text.append(f" {row.lifted} ", style=style if row.standing in ("incident", "waiting") else "dim")
    text.append(" ")
    _what(text, state.flag, state.category, state.customer_id)
    text.append(f"  {plain(state.severity)}")
    if state.count > 1:
        text.append(f"  ×{state.count:,}", style="bold")
    parts = [f"{word('since', lang)} {at_text(state.since)}"]
    if row.waited_ms:
        parts.append(f"{word('waiting', lang)} {span_text(row.waited_ms, lang)}")
    _second_line(text, state, parts, lang)
    for said in _said(state, lang, asleep=row.standing == "snoozed"):
        text.append(f"\n{_INDENT} {said}", style="green")
    return text


def state_text(state: AlertState, lang: str) -> Text:
    """An alert of a customer whose name is above it."""
    text = Text()
    text.append(f" {'-' if state.priority is None else state.priority} ", style="bold")
    text.append(" ")
    _what(text, state.flag, state.category, None)
    text.append(f"  {plain(state.severity)}")
    if state.count > 1:
        text.append(f"  ×{state.count:,}", style="bold")
    parts = [f"{word('since', lang)} {at_text(state.since)}"]
    if state.until is not None:
        parts.append(f"{word('until', lang)} {at_text(state.until)}")
    _second_line(text, state, parts, lang)
    for said in _said(state, lang, asleep=None):
        text.append(f"\n{_INDENT} {said}", style="green")
    return text


def guidance_text(guidance: GuidanceView, lang: str) -> Text:
    """What to say and what not to."""
    text = Text()
    for name, said, style in (("say", guidance.say, "bold green"), ("avoid", guidance.avoid, "bold red")):
        told = said.get(lang) or said.get("en")
        if told:
            text.append(f"{chr(10) if text else ''}{_INDENT} {word(name, lang)} ", style=style)
            text.append(plain(told))
    return text


def message_text(message: AlertView, lang: str) -> Text:
    """A message of the alert stream as it comes."""
    line = message.line
    text = Text()
    text.append(f"{at_text(line['at'])}  ", style="dim")
    text.append(word(f"op_{line['op']}", lang), style=_OP_STYLES.get(line["op"], "bold"))
    text.append(f" {message.priority}  ")
    _what(text, line["flag"], line["category"], line["customer_id"])
    text.append(f"  {plain(line['severity'])}")
    if line["count"] > 1:
        text.append(f"  ×{line['count']:,}", style="bold")
    told = [message.alert_id]
    if message.route:
        told.append(f"→ {plain(message.route)}")
    if message.held:
        told.append(f"{word('held', lang)}: {plain(message.held)}")
    text.append(f"\n{_INDENT} {'  '.join(told)}", style="dim")
    return text


def fact_text(fact: FactView, lang: str) -> Text:
    """What somebody said of an alert, as it comes."""
    text = Text()
    text.append(f"{at_text(fact.at)}  ", style="dim")
    if fact.state == "down":
        said = f"{word('taken_back', lang)}: {word(f'fact_{fact.fact}', lang)}"
    elif fact.fact == "snooze":
        said = f"{word('snoozed_until', lang)} {at_text(fact.until)}"
        if fact.reason:
            said += f": {plain(fact.reason)}"
    elif fact.fact == "outcome":
        said = word(fact.outcome or "unknown", lang)
    else:
        said = word("acked", lang)
    text.append(said, style="green")
    told = [each for each in (fact.alert_id, plain(fact.customer_id)) if each]
    if fact.by:
        told.append(f"{word('by', lang)} {plain(fact.by)}")
    text.append(f"\n{_INDENT} {'  '.join(told)}", style="dim")
    return text


def scene_text(scene: Sequence[TimelineEntry], out: Console, lang: str) -> Text:
    """Traces of one case or category, the customer's at the left, ours set in."""
    text = Text()
    for entry in scene:
        ours = entry.kind in ("handling", "resolved", "outreach", "promotion")
        parts = [entry.kind, entry.category, entry.channel, entry.case_id, entry.detail]
        told = "  ".join(plain(str(part)) for part in parts if part is not None)
        mark = "◀ " if ours else "▶ "
        line = Text(
            f"{_INDENT} {at_text(entry.at)}  {'    ' if ours else ''}{mark}{told}", style="cyan" if ours else ""
        )
        line.truncate(out.width, overflow="ellipsis")
        text.append_text(line if not text else Text("\n").append_text(line))
    return text


def _what(text: Text, flag: str, category: str | None, customer_id: str | None) -> None:
    if customer_id:  # an incident is of nobody
        text.append(f"{plain(customer_id)}  ", style="bold")
    text.append(plain(flag), style="magenta")
    if category is not None:
        text.append(f" {plain(category)}")


def _second_line(text: Text, state: AlertState, parts: list[str], lang: str) -> None:
    if state.route:
        parts.append(f"→ {plain(state.route)}")
    if state.held:
        parts.append(f"{word('held', lang)}: {plain(state.held)}")
    text.append(f"\n{_INDENT} {state.alert_id}  {'  '.join(parts)}", style="dim")


def _said(state: AlertState, lang: str, *, asleep: bool | None) -> list[str]:
    said: list[str] = []
    if state.acked:
        said.append(_by(f"{word('acked', lang)} {at_text(state.acked_at)}", state.acked_by, lang))
    if state.snoozed_until is not None and asleep is not False:
        told = _by(f"{word('snoozed_until', lang)} {at_text(state.snoozed_until)}", state.snoozed_by, lang)
        said.append(f"{told}: {plain(state.snooze_reason)}" if state.snooze_reason else told)
    if state.outcome is not None:
        said.append(_by(word(state.outcome, lang), state.outcome_by, lang))
    return said


def _by(told: str, who: str | None, lang: str) -> str:
    return f"{told} {word('by', lang)} {plain(who)}" if who else told
