"""What `henji diff` says, in English and Simplified Chinese."""

from __future__ import annotations

from streams.cli.words import LANGUAGES

__all__ = ["text"]

_TEXTS = {
    "equal": ("no difference", "无差异"),
    "differ": ("the runs differ", "两次运行不同"),
    "sides": ("A: {a}   B: {b}   compared: {parts}", "A：{a}   B：{b}   已比较：{parts}"),
    "board": ("board", "看板"),
    "alerts": ("alerts", "告警"),
    "predictions": ("predictions", "预测"),
    "nothing": ("nothing but logs", "仅日志"),
    "customers": ("customers", "客户"),
    "only_a": ("only in A", "仅在 A"),
    "only_b": ("only in B", "仅在 B"),
    "differing": ("differing", "不同"),
    "flag": ("flag", "标记"),
    "enter": ("entered", "新增"),
    "leave": ("left", "消失"),
    "since": ("since", "开始"),
    "until": ("until", "截止"),
    "count": ("count", "次数"),
    "severity": ("severity", "程度"),
    "evidence": ("evidence", "依据"),
    "score": ("score", "评分"),
    "missing": ("missing in one", "单边缺失"),
    "max": ("max difference", "最大差"),
    "mean": ("mean difference", "平均差"),
    "of_board": ("{name}, board", "{name}（看板）"),
    "of_predictions": ("{name}, predictions", "{name}（预测）"),
    "alert_fields": ("alerts differ in: {fields}", "告警不同之处：{fields}"),
    "facts": ("customers differ in: {fields}", "客户不同之处：{fields}"),
    "out_of_order": ("customers whose alerts come in another order: {n:,}", "告警顺序不同的客户：{n:,}"),
    "not_compared": (
        "{n:,} older alerts were not compared: the stream of a board does not have them any more",
        "{n:,} 条较早的告警未比较：看板的流中已无这些告警",
    ),
    "first": (
        "first difference in the outputs: {what} of {customer} at {at}, {side}{events}",
        "输出中的首个差异：{at} 客户 {customer} 的{what}，{side}{events}",
    ),
    "first_note": (
        "(the outputs show the first answer that differs, not what caused it; give --log, or --log-a and --log-b)",
        "（输出只显示首个不同的结果而非其原因；请给出 --log，或 --log-a 与 --log-b）",
    ),
    "prediction": ("the score", "评分"),
    "alert": ("the alert {flag} ({op})", "告警 {flag}（{op}）"),
    "flag_first": ("the flag {flag}", "标记 {flag}"),
    "side_a": ("only in A", "仅在 A"),
    "side_b": ("only in B", "仅在 B"),
    "side_both": ("not the same", "不一致"),
    "events": ("; events {events}", "；事件 {events}"),
    "changes": ("the logs differ: {changes}", "日志不同：{changes}"),
    "changed": ("changed {n:,}", "修改 {n:,}"),
    "moved": ("moved {n:,}", "移动 {n:,}"),
    "removed": ("removed {n:,}", "删除 {n:,}"),
    "added": ("added {n:,}", "新增 {n:,}"),
    "no_changes": ("the logs are the same", "日志相同"),
    "from_event": (
        "answers differ from event {event} of {customer} ({kind}, {at}) on, {place}: {what}",
        "自客户 {customer} 的事件 {event}（{kind}，{at}）起结果不同，{place}：{what}",
    ),
    "no_effect": (
        "replayed from the logs, both sides give the same answers",
        "由日志重放，两边结果相同",
    ),
    "not_from_log": (
        "replayed from the logs, both sides give the same answers: the difference between the runs comes from neither "
        "the logs nor the rules and settings given here",
        "由日志重放，两边结果相同：两次运行的差异并非来自日志，也非来自此处给出的规则和设置",
    ),
    "cause": (
        "cause: event {event} of {customer} was {kind}, {place}{fields}",
        "原因：客户 {customer} 的事件 {event} 被{kind}，{place}{fields}",
    ),
    "cause_settings": (
        "cause: rules or settings, since the logs are the same up to there",
        "原因：规则或设置，因为此前的日志相同",
    ),
    "kind_changed": ("changed", "修改"),
    "kind_moved": ("moved", "移动"),
    "kind_removed": ("removed", "删除"),
    "kind_added": ("added", "新增"),
    "what_alerts": ("alerts", "告警"),
    "what_predictions": ("scores", "评分"),
    "what_board": ("board", "看板"),
    "what_dead": ("dead letters", "死信"),
    "what_late": ("late events", "迟到事件"),
    "details_customers": ("customers (the first {n:,} of {total:,})", "客户（前 {n:,} / 共 {total:,}）"),
    "details_alerts": ("alerts (the first {n:,} of {total:,})", "告警（前 {n:,} / 共 {total:,}）"),
    "details_predictions": ("predictions (the first {n:,} of {total:,})", "预测（前 {n:,} / 共 {total:,}）"),
    "comparing": ("comparing", "比较"),
    "tracing": ("tracing the first difference", "追踪首个差异"),
}


def text(name: str, lang: str, /, **facts: object) -> str:
    """A text in a language, with facts filled in.

    Examples
    --------
    >>> text("changed", "en", n=1), text("changed", "zh", n=1)
    ('changed 1', '修改 1')
    """
    return _TEXTS[name][LANGUAGES.index(lang)].format(**facts)
