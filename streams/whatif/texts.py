"""What a comparison says, in English and Simplified Chinese."""

from __future__ import annotations

from streams.evaluate.texts import LANGUAGES

__all__ = ["share_text", "text"]

_TEXTS = {
    "title": ("What if: other rules on the same past", "规则推演：同一段历史，不同的规则"),
    "headline": (
        "{name}: {enter} flags more and {leave} fewer than today (a customer counts once per flag); "
        "{new} alerts a day instead of {old}.",
        "{name}：与现行规则相比，新增 {enter} 个、减少 {leave} 个标记（每位客户每种标记计一次）；"
        "每日告警 {new} 条，现为 {old} 条。",
    ),
    "headline_same": (
        "{name}: nobody enters or leaves a flag; {new} alerts a day instead of {old}.",
        "{name}：没有客户进入或退出任何标记；每日告警 {new} 条，现为 {old} 条。",
    ),
    "log": (
        "{files}: {n} records, {customers} customers, {begin} to {end} UTC.",
        "{files}：{n} 条记录，{customers} 位客户，{begin} 至 {end}（UTC）。",
    ),
    "definition": (
        "Left: within {after} days of the raise they stop for {horizon} days or more, or cancel. Complained: a "
        "complaint within {after} days. Base: the share of all active customers of the same days of whom the same is "
        "true. Raises whose window reaches beyond the log, or of customers not active then, are not judged.",
        "流失：触发后 {after} 天内开始停止活动达 {horizon} 天以上，或取消。投诉：{after} 天内有投诉。"
        "基准：同一天所有活跃客户中出现同样结果的比例。观察窗口超出日志末尾的触发、以及当时已不活跃的客户，不作评判。",
    ),
    "now": ("now", "现行规则"),
    "variant": ("variant", "方案"),
    "variants": ("Alerts per day (mean; UTC days)", "每日告警（均值；UTC 日）"),
    "flags": ("What happens to each flag", "各标记的变化"),
    "flag": ("flag", "标记"),
    "enter": ("enter", "进入"),
    "leave": ("leave", "退出"),
    "enters": ("enter", "进入"),
    "leaves": ("leave", "退出"),
    "customers": ("customers", "客户数"),
    "raised": ("raised", "触发次数"),
    "per_day": ("alerts/day", "告警/日"),
    "p95": ("p95", "95 分位"),
    "most": ("most", "最多"),
    "held": ("held/day", "未送达/日"),
    "busiest": ("busiest route", "最忙接收方"),
    "routes": ("Alerts per day, by whom they go to", "按接收方统计的每日告警"),
    "route": ("route", "接收方"),
    "nobody": ("(nobody is known)", "（未知）"),
    "left_rate": ("left", "流失"),
    "complained_rate": ("complained", "投诉"),
    "base": ("base", "基准"),
    "recall": ("recall", "召回率"),
    "precision": ("precision", "准确率"),
    "lift": ("lift", "提升度"),
    "lead": ("lead, d", "提前天数"),
    "judged": ("judged", "已评判"),
    "censored": ("not over", "未到期"),
    "inactive": ("inactive", "不活跃"),
    "outcomes": ("What became of the customers that were flagged", "被标记客户的后续情况"),
    "outcome_left": ("left", "流失"),
    "outcome_complained": ("complained", "投诉"),
    "money": ("Cost against value", "成本与价值"),
    "money_note": (
        "By your own figures: {cost} per alert, {value} per customer kept, {rate} of the leaving stay if one acts. "
        "Whole days whose window is over; alerts that people were shown; each departure once.",
        "按您给出的数字：每条告警成本 {cost}，每挽留一位客户价值 {value}，采取行动后有 {rate} 的流失客户留下。"
        "只计窗口已结束的整日、已送达的告警；每次流失只计一次。",
    ),
    "alerts": ("alerts", "告警"),
    "departures": ("departures seen", "预见的流失"),
    "cost": ("cost", "成本"),
    "worth": ("value", "价值"),
    "net": ("net", "净值"),
    "sweep": ("Sweep of {key}", "参数扫描：{key}"),
    "sweep_right": ("How often it is right: left", "准确程度：流失"),
    "sweep_load": ("Alerts per day", "每日告警"),
    "value": ("value", "取值"),
    "names": ("Who enters and who leaves", "进入与退出的客户"),
    "names_note": (
        "The first raise of each: time (UTC), severity, category, and the ids of the events that prove it.",
        "每位客户的首次触发：时间（UTC）、程度、类别，以及作为依据的事件编号。",
    ),
    "nobody_moves": ("Nobody enters or leaves.", "没有客户进入或退出。"),
    "customer": ("customer", "客户"),
    "at": ("at", "时间"),
    "severity": ("severity", "程度"),
    "category": ("category", "类别"),
    "evidence": ("evidence", "依据"),
    "more": ("and {n} more; --json names all", "另有 {n} 位；--json 列出全部"),
    "table": ("The figures", "数据表"),
    "source": ("Log", "日志"),
}


def text(name: str, lang: str, /, **values: str) -> str:
    """A text in a language, with its values put in.

    Examples
    --------
    >>> text("lift", "zh")
    '提升度'
    """
    return _TEXTS[name][LANGUAGES.index(lang)].format(**values)


def share_text(share: float | None) -> str:
    """A share for people; a dash where there is none.

    Examples
    --------
    >>> share_text(0.1234), share_text(None)
    ('12.3 %', '-')
    """
    return "-" if share is None else f"{100 * share:.1f} %"
