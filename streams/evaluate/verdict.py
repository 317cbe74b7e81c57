"""A judgement in plain words."""

from __future__ import annotations

from datetime import UTC, datetime

from engine.duration import DAY_MS
from streams.evaluate.evaluation import STANDINGS, Compared, Evaluation, Judgement
from streams.evaluate.texts import anchor_name, kept_apart, text

__all__ = ["absences", "date_text", "headline", "sentences"]

_SMALL = 0.05  # of what henji gains over the average rate: a lead of less is close


def date_text(evaluation: Evaluation, at_d: float) -> str:
    """The date of a day of the log, UTC."""
    return datetime.fromtimestamp((evaluation.start_ms + at_d * DAY_MS) / 1000, UTC).strftime("%Y-%m-%d")


def headline(evaluation: Evaluation, lang: str) -> str:
    """The verdict in one sentence.

    Parameters
    ----------
    evaluation
        What was found.
    lang
        `en` or `zh`.

    Returns
    -------
    str
        Compares henji with the anchors by log-loss, the one figure that sees ranking and honesty. A method that is
        ahead by less than a twentieth of what henji gains over the average rate is called close.
    """
    judgement = evaluation.event
    prior = _named(judgement, "prior")
    if prior is not None and prior.standing != "better":
        return text("useless", lang)
    ahead = [each for each in judgement.anchors if each.standing == "worse"]
    if not ahead:
        level = any(each.standing == "level" for each in judgement.anchors)
        return text("unbeaten" if level else "best", lang)
    best = min(ahead, key=lambda each: each.figures.log_loss)
    gain = prior.figures.log_loss - judgement.figures.log_loss if prior is not None else 0.0
    return text("close" if best.delta <= _SMALL * gain else "beaten", lang, name=anchor_name(best.name, lang))


def sentences(evaluation: Evaluation, lang: str) -> list[str]:
    """What stands below the headline: what was judged, how well it ranks, how honest it is, and the tally."""
    judgement, rules = evaluation.event, evaluation.rules
    figures = judgement.figures
    tally = {standing: sum(each.standing == standing for each in judgement.anchors) for standing in STANDINGS}
    out = [
        text("what_left", lang, kinds=kept_apart(list(rules.kinds), lang), horizon=f"{rules.horizon_d:g}"),
        text(
            "judged",
            lang,
            n=f"{figures.n:,}",
            customers=f"{judgement.n_customers:,}",
            begin=date_text(evaluation, rules.from_d),
            end=date_text(evaluation, evaluation.end_d - rules.horizon_d),
            rate=f"{figures.base_rate:.1%}",
        ),
    ]
    if figures.auc == figures.auc:
        out.append(text("ranking", lang, auc=f"{100 * figures.auc:.0f}"))
    out.append(text("honesty", lang, ece=f"{100 * figures.ece:.1f}"))
    out.append(text("tally", lang, n=len(judgement.anchors), **tally))
    return out + absences(evaluation, lang)


def absences(evaluation: Evaluation, lang: str) -> list[str]:
    """Which methods were left out, and how to get them; nothing where none was."""
    out = []
    for needs in sorted(set(evaluation.absent.values())):
        names = [anchor_name(name, lang) for name, need in evaluation.absent.items() if need == needs]
        told = f"{needs} ({text('how_to_get', lang)})"
        out.append(text("absent", lang, names=kept_apart(names, lang), needs=told))
    return out


def _named(judgement: Judgement, name: str) -> Compared | None:
    return next((each for each in judgement.anchors if each.name == name), None)
