"""What a report says, in English and Simplified Chinese."""

from __future__ import annotations

from engine.features import GROUPS

__all__ = ["ANCHOR_HINTS", "LANGUAGES", "anchor_name", "hint", "kept_apart", "reason_name", "text"]

LANGUAGES = ("en", "zh")
"""Languages of a report; every text below has one form of each, in this order."""

_ANCHORS = {
    "henji": ("henji", "henji"),
    "prior": ("average rate", "平均流失率"),
    "recency": ("recency only", "仅看近期间隔"),
    "rfm": ("RFM regression", "RFM 回归"),
    "logistic": ("logistic regression", "逻辑回归"),
    "boosting": ("gradient boosting", "梯度提升树"),
    "boosting_once": ("gradient boosting, fitted once", "梯度提升树（只训练一次）"),
    "bg_nbd": ("BG/NBD", "BG/NBD"),
    "mbg_nbd": ("MBG/NBD", "MBG/NBD"),
    "mean": ("average number", "平均次数"),
}

ANCHOR_HINTS = {
    "henji": (
        "the scores as they were made, each before anything later was known; learns from every event",
        "评分产生时的原值，未使用任何之后的信息；随每个事件持续学习",
    ),
    "prior": ("everybody gets the share of customers who left so far", "所有客户都取迄今的流失比例"),
    "recency": (
        "logistic regression on one number: the last pause between acts (in silence: its length so far)",
        "只用一个变量的逻辑回归：上一次活动间隔（沉默时：已沉默时长）",
    ),
    "rfm": (
        "logistic regression on recency, frequency, money and tenure",
        "用近期、频率、金额与时长做逻辑回归",
    ),
    "logistic": ("batch logistic regression on henji's 16 features", "用 henji 的 16 个特征做批量逻辑回归"),
    "boosting": ("trees of scikit-learn on the 16 features", "用 16 个特征的 scikit-learn 梯度提升树"),
    "boosting_once": ("the same trees, trained at the first block and then left alone", "同上，但只在首个时段训练一次"),
    "bg_nbd": (
        "a probability model of buying until one quits; needs no labels",
        "“购买直至流失”概率模型；不需要标签",
    ),
    "mbg_nbd": ("the same, where one may quit after the first purchase", "同上，但首次购买后即可流失"),
}
"""Name of an anchor -> what it is, per language."""

_TEXTS = {
    "title": ("Churn scores, judged", "流失评分评估"),
    "what_left": (
        "Leaving means: no {kinds} within {horizon} days.",
        "流失定义：{horizon} 天内没有 {kinds}。",
    ),
    "judged": (
        "Judged: {n} scores of {customers} customers, made from {begin} to {end}; {rate} of them were followed by "
        "leaving.",
        "评估对象：{begin} 至 {end} 间 {customers} 位客户的 {n} 个评分；其后流失的占 {rate}。",
    ),
    "useless": (
        "henji's scores are of no use on this log: giving everybody the average rate does as well.",
        "henji 的评分在此日志上没有价值：对所有客户取平均流失率效果相同。",
    ),
    "best": (
        "henji's scores are better than every method they were compared with.",
        "henji 的评分优于所有参与比较的方法。",
    ),
    "unbeaten": (
        "henji's scores are good: no method they were compared with is better.",
        "henji 的评分良好：没有任何参与比较的方法更好。",
    ),
    "close": (
        "henji's scores are good, and close to the best method here, {name}.",
        "henji 的评分良好，接近此处最好的方法：{name}。",
    ),
    "beaten": (
        "henji's scores are useful, but {name} is clearly better on this log.",
        "henji 的评分有用，但在此日志上 {name} 明显更好。",
    ),
    "ranking": (
        "Of a customer who leaves and one who stays, the one who leaves has the higher score {auc} times in 100 "
        "(by chance: 50).",
        "任取一位流失客户与一位留存客户，流失者评分更高的情况在 100 次中有 {auc} 次（随机为 50 次）。",
    ),
    "honesty": (
        "A stated probability is off by {ece} percentage points on average.",
        "评分给出的概率平均偏差 {ece} 个百分点。",
    ),
    "tally": (
        "Against {n} other methods on the same moments, henji is better than {better}, level with {level}, worse than "
        "{worse}.",
        "与另外 {n} 种方法在相同时点比较：优于 {better} 种，持平 {level} 种，不及 {worse} 种。",
    ),
    "absent": ("Left out: {names}; needs {needs}.", "未参与比较：{names}；需要 {needs}。"),
    "how_to_get": ("pip install 'henji[evaluate]'", "pip install 'henji[evaluate]'"),
    "anchors": ("Beside what one would otherwise use", "与其他可用方法的比较"),
    "anchors_note": (
        "Every method was asked at the same {n} moments and knew nothing later. Methods that learn were fitted again "
        "every {block} days on what had come true by then.",
        "所有方法在相同的 {n} 个时点作答，均不知晓之后的信息。"
        "需要训练的方法每 {block} 天用当时已有结果的数据重新训练。",
    ),
    "method": ("method", "方法"),
    "auc": ("AUC", "AUC"),
    "log_loss": ("log-loss", "对数损失"),
    "brier": ("Brier", "Brier"),
    "ece": ("ECE", "ECE"),
    "mean_p": ("mean score", "平均评分"),
    "base_rate": ("share who left", "实际流失率"),
    "delta": ("henji less this", "henji 与其之差"),
    "standing": ("henji is", "结论"),
    "better": ("better", "更好"),
    "level": ("level", "持平"),
    "worse": ("worse", "较差"),
    "reliability": ("Can a stated probability be taken at its word?", "评分概率可信吗？"),
    "reliability_note": (
        "On the dashed line, as many leave as the score says. ECE {ece}.",
        "落在虚线上表示实际流失率与评分一致。ECE {ece}。",
    ),
    "score": ("score", "评分"),
    "share": ("share who left", "实际流失比例"),
    "n": ("scores", "评分数"),
    "time": ("Log-loss over time (lower is better)", "对数损失随时间变化（越低越好）"),
    "rates": ("Mean score and what came true, over time", "平均评分与实际流失率随时间变化"),
    "block": ("block from", "时段起始"),
    "distribution": ("How the scores are spread", "评分分布"),
    "marks": ("Where something changed", "变化标记"),
    "no_marks": (
        "No block's mean score left the range of those before it.",
        "没有任何时段的平均评分超出此前范围。",
    ),
    "silence": ("Scores made in silence", "沉默期评分"),
    "silence_note": (
        "henji also scores customers who do nothing, 1 to 64 days after their last act, with learners of their own. "
        "{n} such scores of {customers} customers are judged here by the same labels. Boosting is left out.",
        "客户无活动时，henji 也会在最后一次活动后 1 至 64 天评分，使用单独的模型。"
        "此处按相同标签评估 {customers} 位客户的 "
        "{n} 个此类评分；不含梯度提升树。",
    ),
    "counts": ("Expected activity", "预期活动次数"),
    "counts_note": (
        "How many engagement events henji expects within {horizon} days, at {n} moments; {mean} came on average.",
        "henji 预测 {horizon} 天内互动事件数，共 {n} 个时点；实际平均 {mean} 次。",
    ),
    "deviance": ("Poisson deviance", "泊松偏差"),
    "mae": ("mean error", "平均误差"),
    "expected": ("mean expected", "平均预期"),
    "reasons": ("What moves the scores", "影响评分的因素"),
    "reasons_note": (
        "Mean weight of each reason, in either direction, on the logit scale.",
        "各原因权重绝对值的平均（logit 尺度）。",
    ),
    "reason": ("reason", "原因"),
    "weight": ("mean weight", "平均权重"),
    "reading": ("How to read this", "如何阅读"),
    "methods": ("The methods", "各方法说明"),
    "read_auc": (
        "How often the one who leaves has the higher score of two customers, one who leaves and one who stays: 0.5 is "
        "chance, 1 is perfect. It says nothing of whether the probabilities are right. ± is one standard error.",
        "任取流失与留存客户各一位，流失者评分更高的概率：0.5 为随机，1 为完美。它不反映概率是否准确。± 为一个标准误。",
    ),
    "read_log_loss": (
        "What a probability costs when the truth is known, in nats: the whole quality of a score in one number. Lower "
        "is better. The average rate shows what knowing nothing costs.",
        "得知结果后概率的代价（单位 nat），用一个数衡量评分的整体质量，越低越好。"
        "“平均流失率”一行表示一无所知时的代价。",
    ),
    "read_brier": ("Mean squared error of the probability; lower is better.", "概率的均方误差，越低越好。"),
    "read_ece": (
        "By how much a stated probability is off, on average over ten bins.",
        "按十个区间平均，评分概率与实际的偏差。",
    ),
    "read_delta": (
        "henji's log-loss less that of the method, on the same moments, ± one standard error with customers as the "
        "sample. Negative speaks for henji. Within two standard errors they are level.",
        "相同时点上 henji 的对数损失减去该方法的对数损失，± 为以客户为样本的一个标准误。负值表示 henji 更好；"
        "两个标准误以内视为持平。",
    ),
    "table": ("the figures as a table", "数据表"),
    "source": ("Log", "日志"),
    "events": ("{n} events of {customers} customers", "{customers} 位客户的 {n} 个事件"),
    "protocol": (
        "judged from day {begin} of the log to day {end}; {unit}; blocks of {block} days",
        "评估范围：日志第 {begin} 天至第 {end} 天；{unit}；每时段 {block} 天",
    ),
    "per_day": ("whole days are compared", "按整天比较"),
    "per_instant": ("times are compared to the millisecond", "按毫秒比较"),
    "other": ("other reasons", "其他原因"),
}


def text(name: str, lang: str, /, **values: object) -> str:
    """One text, with its places filled.

    Examples
    --------
    >>> text("honesty", "en", ece="1.8")
    'A stated probability is off by 1.8 percentage points on average.'
    """
    return _TEXTS[name][LANGUAGES.index(lang)].format(**values)


def anchor_name(name: str, lang: str) -> str:
    """What people call a method; its own name where it is not known here."""
    return _ANCHORS[name][LANGUAGES.index(lang)] if name in _ANCHORS else name


def hint(name: str, lang: str) -> str:
    """What a method is, in a line; empty where it is not known here."""
    return ANCHOR_HINTS[name][LANGUAGES.index(lang)] if name in ANCHOR_HINTS else ""


def reason_name(code: str, lang: str) -> str:
    """What a code of a reason says; the code itself where it is not known."""
    if code == "other":
        return text("other", lang)
    for group in GROUPS:
        if group.code == code:
            return group.text_en if lang == "en" else group.text_zh
    return code


def kept_apart(names: list[str], lang: str) -> str:
    """A list of names in a sentence.

    Examples
    --------
    >>> kept_apart(["a", "b"], "en"), kept_apart(["a", "b"], "zh")
    ('a, b', 'a、b')
    """
    return (", " if lang == "en" else "、").join(names)
