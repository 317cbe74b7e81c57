"""What `henji models` says, in English and Simplified Chinese."""

from __future__ import annotations

from streams.cli.words import LANGUAGES

__all__ = ["text"]

_TEXTS = {
    "model": ("model", "模型"),
    "version": ("version", "版本"),
    "segment": ("segment", "客群"),
    "block": ("30 days from", "30 天起始"),
    "labels": ("labels", "标签数"),
    "pending": ("pending", "待定"),
    "log_loss": ("log-loss", "对数损失"),
    "recent": ("recent", "近期"),
    "auc": ("AUC", "AUC"),
    "ece": ("ECE", "ECE"),
    "brier": ("Brier", "Brier"),
    "base_rate": ("base rate", "实际比例"),
    "mean_p": ("mean p", "平均预测"),
    "mean_y": ("mean", "平均次数"),
    "mean_count": ("mean predicted", "平均预测次数"),
    "deviance": ("deviance", "偏差"),
    "mae": ("MAE", "MAE"),
    "probabilities": ("probabilities", "概率模型"),
    "counts": ("expected counts", "计数模型"),
    "list_note": (
        "* is shown on the board; recent: predictions of the last 90 days; as of {at}, {lanes} lanes",
        "* 为看板所用；近期：最近 90 天的预测；截至 {at}，共 {lanes} 个通道",
    ),
    "none": (
        "no model has learned anything yet: the first labels come with the first horizon",
        "尚无模型学到任何内容：首批标签要等第一个窗口结束",
    ),
    "disagree": (
        "lanes disagree on the champion: {told}. Run `henji models promote NAME` again",
        "各通道的当选模型不一致：{told}。请再次运行 `henji models promote NAME`",
    ),
    "in_lanes": ("{model} in {lanes}", "{model}：通道 {lanes}"),
    "better": (
        "{challenger} is better than {champion}: log-loss lower by {mean} ±{se} ({n} labels)",
        "{challenger} 优于 {champion}：对数损失低 {mean} ±{se}（{n} 个标签）",
    ),
    "worse": (
        "{challenger} is worse than {champion}: log-loss higher by {mean} ±{se} ({n} labels)",
        "{challenger} 不如 {champion}：对数损失高 {mean} ±{se}（{n} 个标签）",
    ),
    "level": (
        "{challenger} and {champion} cannot be told apart: {mean} ±{se} is within two standard errors ({n} labels)",
        "{challenger} 与 {champion} 无法区分：{mean} ±{se} 在两倍标准误之内（{n} 个标签）",
    ),
    "early": (
        "{challenger} beside {champion}: too early to tell ({n} labels)",
        "{challenger} 与 {champion}：为时尚早（{n} 个标签）",
    ),
    "drift": ("drift alarms", "漂移告警"),
    "drift_told": (
        "{trigger}: the mean of {what} went {direction} from {before} to {after} by {at}, in {near} of {lanes} lanes "
        "(alarms so far: {alarms})",
        "{trigger}：{what} 的均值于 {at} 前由 {before} {direction}到 {after}，{lanes} 个通道中的 {near} 个"
        "（累计 {alarms} 次告警）",
    ),
    "up": ("up", "升"),
    "down": ("down", "降"),
    "prediction": ("the prediction", "预测值"),
    "residual": ("the error (label less prediction)", "误差（标签减预测）"),
    "versions": ("by version", "按版本"),
    "segments": ("by segment", "按客群"),
    "blocks": ("over time", "随时间"),
    "reliability": ("predicted and came true", "预测与实际"),
    "predicted": ("predicted", "预测"),
    "share": ("came true", "实际"),
    "n": ("n", "数量"),
    "drift_log": ("newest drift alarm of each lane", "各通道最新漂移告警"),
    "lane": ("lane", "通道"),
    "what": ("what", "对象"),
    "at": ("at", "时间"),
    "before": ("before", "之前"),
    "after": ("after", "之后"),
    "alarms": ("alarms", "告警数"),
    "sent": (
        "{what}: {n} orders acknowledged, one for each lane; request {request}",
        "{what}：{n} 条指令已确认，每个通道一条；请求编号 {request}",
    ),
    "written": (
        "{what}: {n} orders written to {out}, one for each lane; request {request}",
        "{what}：{n} 条指令已写入 {out}，每个通道一条；请求编号 {request}",
    ),
    "promote": ("show {name}", "启用 {name}"),
    "rollback": ("show the model that was shown before", "恢复此前的模型"),
}


def text(name: str, lang: str, /, **facts: object) -> str:
    """A text in a language, with facts filled in.

    Examples
    --------
    >>> text("promote", "en", name="plain"), text("promote", "zh", name="plain")
    ('show plain', '启用 plain')
    """
    return _TEXTS[name][LANGUAGES.index(lang)].format(**facts)
