"""Words on the terminal in English and Simplified Chinese."""

from __future__ import annotations

import os

import click

from engine.features import GROUPS
from engine.reasons import OTHER

__all__ = ["LANGUAGES", "language", "language_option", "reason_text", "word"]

LANGUAGES = ("en", "zh")

_WORDS = {
    "customer": ("customer", "客户"),
    "churn": ("churn", "流失概率"),
    "engagement": ("engagement", "预期互动"),
    "reasons": ("why (+ speaks for leaving)", "原因（+ 表示倾向流失）"),
    "flags": ("flags", "风险标记"),
    "flag": ("flag", "标记"),
    "category": ("category", "类别"),
    "severity": ("severity", "程度"),
    "since": ("since", "开始"),
    "until": ("until", "截止"),
    "count": ("count", "次数"),
    "evidence": ("evidence", "依据"),
    "timeline": ("timeline", "时间线"),
    "profile": ("profile", "档案"),
    "history": ("scores by day", "每日评分"),
    "at": ("at", "时间"),
    "kind": ("kind", "类型"),
    "channel": ("channel", "渠道"),
    "case": ("case", "工单"),
    "detail": ("detail", "详情"),
    "op": ("op", "操作"),
    "most_at_risk": ("most at risk", "风险最高的客户"),
    "newest_alerts": ("newest alerts", "最新告警"),
    "time": ("where the time went", "耗时分布"),
    "sensitive": ("sensitive: take special care", "敏感客户：请特别留意"),
    "unknown": ("unknown", "未知"),
    "as_of": ("as of", "截至"),
    "up": ("up", "生效"),
    "down": ("ended", "已结束"),
}

language_option = click.option(
    "--lang", type=click.Choice(LANGUAGES), help="Language. [default: that of the terminal, else en]"
)


def language(chosen: str | None) -> str:
    """The language to use: the chosen one, else that of the locale, else English."""
    if chosen is not None:
        return chosen
    for name in ("LC_ALL", "LC_MESSAGES", "LANG"):
        if value := os.environ.get(name):
            return "zh" if value.lower().startswith("zh") else "en"
    return "en"


def word(name: str, lang: str) -> str:
    """A word in a language.

    Examples
    --------
    >>> word("flags", "zh")
    '风险标记'
    """
    return _WORDS[name][LANGUAGES.index(lang)]


def reason_text(code: str, lang: str) -> str:
    """What a reason code says.

    Examples
    --------
    >>> reason_text("recency", "en")
    'time since the last activity'
    """
    if code == OTHER:
        return "other reasons" if lang == "en" else "其他原因"
    for group in GROUPS:
        if group.code == code:
            return group.text_en if lang == "en" else group.text_zh
    return code
