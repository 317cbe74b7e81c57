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
    "contact": ("contact", "来访概率"),
    "silence": ("silent for {ratio:,.1f} times their usual gap", "沉默时长为其通常间隔的 {ratio:,.1f} 倍"),
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
    "op_raise": ("raised", "触发"),
    "op_update": ("updated", "更新"),
    "op_clear": ("cleared", "解除"),
    "op_contact": ("contact", "来访"),
    "waiting": ("waiting", "已等待"),
    "held": ("held back", "未送达"),
    "acked": ("acknowledged", "已确认"),
    "snoozed_until": ("snoozed until", "暂停提醒至"),
    "useful": ("useful", "有用"),
    "not_useful": ("not useful", "无用"),
    "taken_back": ("taken back", "已撤回"),
    "fact_ack": ("acknowledgement", "确认"),
    "fact_snooze": ("snooze", "暂停提醒"),
    "fact_outcome": ("outcome", "评价"),
    "by": ("by", "操作人"),
    "say": ("say:", "可以说："),
    "avoid": ("avoid:", "请避免："),
    "scene": ("the scene", "现场"),
    "alerts_open": ("open alerts", "待处理告警"),
    "alerts_held": ("held-back alerts", "未送达告警"),
    "no_alerts": ("none", "无"),
    "alerts_of": ("{n:,} of {total:,}", "{n:,} / {total:,}"),
    "unit_d": ("d", "天"),
    "unit_h": ("h", "小时"),
    "unit_min": ("min", "分钟"),
    "following": ("following alerts of {prefix}; Ctrl-C ends", "正在跟踪 {prefix} 的告警；按 Ctrl-C 结束"),
    "redis_away": ("Redis does not answer; waiting for it", "Redis 无响应；正在等待恢复"),
    "redis_back": ("Redis is back", "Redis 已恢复"),
    "sent": ("sent", "已发送"),
    "campus_time": ("campus time", "校园时间"),
    "events_read": ("events read", "已读事件"),
    "per_second": ("events/s", "事件/秒"),
    "flags_up": ("flags up", "生效标记"),
    "lag": ("lag", "积压"),
    "input": ("input", "输入"),
    "fresh": ("fresh", "实时"),
    "stale": ("stale", "滞后"),
    "data": ("data", "数据"),
    "removed": ("removed now; --dir DIR keeps it", "现已删除；用 --dir DIR 可保留"),
    "starting": (
        "starting a broker, a Redis and a worker on this machine; Ctrl-C stops all of it",
        "正在本机启动消息代理、Redis 和工作进程；按 Ctrl-C 全部停止",
    ),
    "playing": (
        "playing {lines:,} events of a simulated campus app, {days:.0f} days in about {seconds:,.0f} s",
        "播放模拟校园应用的 {lines:,} 个事件，{days:.0f} 天约 {seconds:,.0f} 秒",
    ),
    "console_at": (
        "console: {url}; choose a name and a password here: {link}",
        "控制台：{url}；请在此设置用户名和密码：{link}",
    ),
    "console_stays": (
        "everything is played; the console stays open until Ctrl-C",
        "全部播放完毕；控制台保持打开，按 Ctrl-C 退出",
    ),
    "stopped": ("stopped", "已停止"),
    "no_broker": (
        "no embedded broker for this machine, so the log is replayed, not played live",
        "本机没有可用的内置消息代理，改为重放日志，而非实时播放",
    ),
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
