"""An evaluation as one JSON object."""

from __future__ import annotations

from math import isfinite
from typing import Any

from streams.evaluate.evaluation import Evaluation, Judgement
from streams.evaluate.verdict import headline

__all__ = ["VERSION", "facts"]

VERSION = 1
"""Version of the object; raised when a key changes its meaning or goes."""


def facts(evaluation: Evaluation) -> dict[str, Any]:
    """The public object of `--json`; figures to six digits, `null` where one is not defined."""
    rules = evaluation.rules
    counts = evaluation.counts
    out = {
        "version": VERSION,
        "verdict": headline(evaluation, "en"),
        "log": {
            "files": list(evaluation.sources),
            "events": evaluation.n_events,
            "customers": evaluation.n_customers,
            "start": evaluation.start_ms,
            "days": evaluation.end_d,
        },
        "protocol": {
            "horizon_d": rules.horizon_d,
            "from_day": rules.from_d,
            "until_day": rules.until_d if isfinite(rules.until_d) else None,
            "last_day": evaluation.end_d - rules.horizon_d,
            "per_day": rules.per_day,
            "kinds": list(rules.kinds),
            "block_d": rules.block_d,
        },
        "event": _judgement(evaluation.event),
        "silence": _judgement(evaluation.silence) if evaluation.silence is not None else None,
        "counts": None
        if counts is None
        else {
            "horizon_d": counts.horizon_d,
            "n": counts.n,
            "mean": counts.mean,
            "methods": [
                {
                    "name": row.name,
                    "poisson_deviance": row.deviance,
                    "mae": row.mae,
                    "mean": row.mean,
                    "delta_deviance": row.delta,
                    "delta_se": row.delta_se,
                }
                for row in counts.rows
            ],
        },
        "absent": [{"name": name, "needs": needs} for name, needs in evaluation.absent.items()],
        "marks": [{"at": mark.at_ms, "text": mark.text_en} for mark in evaluation.marks],
        "reasons": evaluation.reasons,
    }
    return {key: _rounded(value) for key, value in out.items()}


def _judgement(judgement: Judgement) -> dict[str, Any]:
    return {
        "customers": judgement.n_customers,
        "henji": {**judgement.figures._asdict(), "auc_se": judgement.auc_se},
        "anchors": [
            {
                "name": each.name,
                **each.figures._asdict(),
                "auc_se": each.auc_se,
                "delta_log_loss": each.delta,
                "delta_se": each.delta_se,
                "henji_is": each.standing,
            }
            for each in judgement.anchors
        ],
        "reliability": [each._asdict() for each in judgement.bins],
        "blocks": [
            {
                "at": block.at_ms,
                "n": block.n,
                "base_rate": block.base_rate,
                "mean_p": block.mean_p,
                "log_loss": block.log_loss,
                "anchors": block.anchors,
            }
            for block in judgement.blocks
        ],
        "distribution": list(judgement.distribution),
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6) if isfinite(value) else None
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_rounded(each) for each in value]
    return value
