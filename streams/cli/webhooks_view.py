"""How `henji webhooks` shows the spool on a terminal, in English and Chinese."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from engine.duration import DAY_MS, HOUR_MS, MINUTE_MS
from streams.cli.words import LANGUAGES
from streams.webhooks.dead_list import DeadMessage, SpoolStanding

__all__ = ["age", "dead_table", "status_table"]

_PIPE_WIDTH = 400

_WORDS = {
    "stream": ("stream", "消息流"),
    "position": ("read up to", "已读至"),
    "read": ("read", "已读消息"),
    "queued": ("queued", "已入队"),
    "duplicates": ("came twice", "重复"),
    "unreadable": ("unreadable", "无法解析"),
    "gaps": ("gaps", "断档"),
    "missing": ("missing", "缺失"),
    "rollbacks": ("rollbacks", "回退"),
    "endpoint": ("endpoint", "接收端"),
    "state": ("state", "状态"),
    "ok": ("ok", "正常"),
    "failing": ("failing", "失败中"),
    "paused": ("paused", "暂停"),
    "gone": ("gone (410)", "已撤销 (410)"),
    "waiting": ("waiting", "等待"),
    "oldest": ("oldest", "最早"),
    "delivered": ("delivered", "已送达"),
    "dead": ("dead", "放弃"),
    "last": ("last failure", "最近失败"),
    "id": ("id", "编号"),
    "message": ("message", "消息"),
    "flag": ("flag", "标记"),
    "attempts": ("attempts", "次数"),
    "at": ("given up at", "放弃时间"),
    "why": ("why", "原因"),
    "nothing": ("nothing was given up", "没有放弃的消息"),
    "lost": (
        "the stream did not hold everything that was to be read: {n} messages are missing",
        "消息流未能保留全部待读内容：缺失 {n} 条消息",
    ),
}


def age(ms: int) -> str:
    """How long ago, roughly.

    Examples
    --------
    >>> age(59_000), age(3 * 3_600_000 + 5), age(49 * 3_600_000)
    ('59 s', '3 h', '2 d')
    """
    for unit, name in ((DAY_MS, "d"), (HOUR_MS, "h"), (MINUTE_MS, "min")):
        if ms >= unit:
            return f"{ms // unit} {name}"
    return f"{max(0, ms) // 1000} s"


def status_table(found: SpoolStanding, now_ms: int, lang: str) -> None:
    """Print how everything stands."""
    console = _console()
    console.print(f"{_word('stream', lang)} {escape(found.stream)}, {_word('position', lang)} {escape(found.position)}")
    console.print(", ".join(f"{_word(name, lang)} {n:,}" for name, n in found.counts.items()))
    if found.counts["missing"]:
        console.print(_word("lost", lang).format(n=f"{found.counts['missing']:,}"), style="bold red")
    table = _table(lang, "endpoint", "state", ">waiting", ">oldest", ">delivered", ">dead", "last")
    for each in found.endpoints:
        state = _word(each.state, lang)
        if each.state == "paused":
            state += f" {age(each.paused_until - now_ms)}"
        table.add_row(
            escape(each.name), state, f"{each.waiting:,}",
            "" if each.oldest_at is None else age(now_ms - each.oldest_at),
            f"{each.delivered:,}", f"{each.dead:,}",
            "" if each.failed_at is None else escape(f"{each.why} ({age(now_ms - each.failed_at)})"),
        )  # fmt: skip
    console.print(table)


def dead_table(found: Sequence[DeadMessage], lang: str) -> None:
    """Print the dead list."""
    console = _console()
    if not found:
        console.print(_word("nothing", lang))
        return
    table = _table(lang, ">id", "endpoint", "message", "flag", ">attempts", "at", "why")
    for each in found:
        at = datetime.fromtimestamp(each.dead_at / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        flag = escape(f"{each.flag} {each.op}")
        table.add_row(str(each.number), escape(each.endpoint), each.key, flag, str(each.attempts), at, escape(each.why))
    console.print(table)


def _console() -> Console:
    # In a pipe there is no width to keep to, and what is cut off cannot be scrolled to.
    return Console(highlight=False, width=None if sys.stdout.isatty() else _PIPE_WIDTH)


def _table(lang: str, *columns: str) -> Table:
    table = Table(box=None, pad_edge=False)
    for name in columns:
        justify: Literal["left", "right"] = "right" if name.startswith(">") else "left"
        table.add_column(_word(name.lstrip(">"), lang), justify=justify, overflow="fold")
    return table


def _word(name: str, lang: str) -> str:
    return _WORDS[name][LANGUAGES.index(lang)]
