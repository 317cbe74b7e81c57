"""A whole evaluation: scores made at events and in silence, against the anchors, and what else a report tells."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.duration import DAY_MS
from engine.errors import UsageError
from streams.evaluate.activity import Activity
from streams.evaluate.anchor import Anchor, BoostedTrees, anchors
from streams.evaluate.counts import Counts, judge_counts
from streams.evaluate.figures import Bin, Figures, area_error, difference, figures, losses, reliability
from streams.evaluate.history import Floats, History
from streams.evaluate.instances import Instances, judged
from streams.evaluate.mark import Mark, level_marks
from streams.evaluate.predictions import Predictions
from streams.evaluate.protocol import Protocol
from streams.evaluate.walk import examples, walk

__all__ = ["STANDINGS", "Block", "Compared", "Evaluation", "Judgement", "evaluate"]

STANDINGS = ("better", "level", "worse")
"""How henji stands to an anchor; level is a difference of at most two standard errors."""

_SLICES = 20  # of the distribution of scores


@dataclass(frozen=True, slots=True)
class Compared:
    """One anchor.

    Parameters
    ----------
    name
        Stable name, see `streams.evaluate.anchor.anchors`.
    figures, auc_se
        Its quality on the instances that henji is judged by, and the standard error of its AUC.
    delta, delta_se
        Mean of henji's log-loss less this one's, and its standard error: negative says that henji is better.
    """

    name: str
    figures: Figures
    auc_se: float
    delta: float
    delta_se: float

    @property
    def standing(self) -> str:
        """How henji stands to it, one of `STANDINGS`."""
        if not abs(self.delta) > 2 * self.delta_se:
            return "level"
        return "better" if self.delta < 0 else "worse"


@dataclass(frozen=True, slots=True)
class Block:
    """One block of time: where it begins (ms), what happened in it, and the log-loss of henji and of each anchor."""

    at_ms: int
    n: int
    base_rate: float
    mean_p: float
    log_loss: float
    anchors: dict[str, float]


@dataclass(frozen=True, slots=True)
class Judgement:
    """Scores of one trigger, judged.

    Parameters
    ----------
    figures, auc_se
        henji's own.
    anchors
        What else could have been used, in the order in which it is shown.
    bins
        The reliability curve.
    blocks
        The course over time.
    distribution
        Number of scores in 20 slices of [0, 1].
    n_customers
        Whose scores they are.
    """

    figures: Figures
    auc_se: float
    anchors: tuple[Compared, ...]
    bins: tuple[Bin, ...]
    blocks: tuple[Block, ...]
    distribution: tuple[int, ...]
    n_customers: int


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All that a report tells.

    Parameters
    ----------
    sources
        Names of the files.
    n_events, n_customers
        Of activity in the log.
    start_ms, end_d
        First midnight of the log (ms), last act (days after it).
    rules
        The protocol.
    event, silence
        Scores made at events; in silence, `None` where there is none to judge.
    counts
        Expected numbers of engagement events, or `None`.
    absent
        Name of an anchor that was left out -> package that it needs.
    marks
        Moments at which something changed.
    reasons
        Code of a reason -> mean of its absolute weight (logit) over the judged scores at events; `None` where the
        predictions carry none.
    """

    sources: tuple[str, ...]
    n_events: int
    n_customers: int
    start_ms: int
    end_d: float
    rules: Protocol
    event: Judgement
    silence: Judgement | None
    counts: Counts | None
    absent: dict[str, str]
    marks: tuple[Mark, ...]
    reasons: dict[str, float] | None


def evaluate(
    activity: Activity,
    predictions: Predictions,
    rules: Protocol,
    *,
    sources: Sequence[str] = (),
    engagement_horizon_d: float = 7.0,
    marks: Sequence[Mark] | None = None,
    on_step: Callable[[float], None] = lambda _: None,
) -> Evaluation:
    """Judge the scores of a log.

    Parameters
    ----------
    activity, predictions
        The log, and the scores that were made on it.
    rules
        The protocol.
    sources
        Names of the files, for people.
    engagement_horizon_d
        Horizon of the expected number of engagement events, days.
    marks
        Moments to show; `None` finds those at which the level of scores moved.
    on_step
        Called with the share of the work that is done, 0 to 1.

    Raises
    ------
    UsageError
        If no score of the log is one that can be judged.
    """
    history = History(activity, rules)
    chosen = np.flatnonzero(activity.chosen(rules.kinds))
    asked = judged(predictions, history, rules, chosen=chosen)
    if not len(asked):
        raise UsageError(
            f"predictions: expected scores made at {', '.join(rules.kinds)} from day {rules.from_d:g} to day "
            f"{history.end_d - rules.horizon_d:g}, got none among "
            f"{len(predictions.at_ms):,}; give predictions of this log"
        )
    absent: dict[str, str] = {}
    event = _judge(anchors("event"), "event", asked, history, rules, absent, lambda share: on_step(share * 0.6))
    silent = judged(predictions, history, rules, chosen=chosen, silence=True)
    silence = None
    if len(silent):
        silence = _judge(anchors("silence"), "silence", silent, history, rules, absent,
                         lambda share: on_step(0.6 + share * 0.3))  # fmt: skip
    counts = judge_counts(activity, predictions, rules, engagement_horizon_d)
    on_step(1.0)
    return Evaluation(
        tuple(sources),
        int(history.n_events.sum()),
        len(np.unique(history.customer)),
        history.start_ms,
        history.end_d,
        rules,
        event,
        silence,
        counts,
        absent,
        tuple(_level(predictions, history, rules) if marks is None else marks),
        _reasons(predictions, asked),
    )


def _judge(
    methods: list[Anchor],
    trigger: str,
    asked: Instances,
    history: History,
    rules: Protocol,
    absent: dict[str, str],
    on_step: Callable[[float], None],
) -> Judgement:
    there = []
    for method in methods:
        if isinstance(method, BoostedTrees) and method.needs is not None and not method.is_available():
            absent[method.name] = method.needs
        else:
            there.append(method)
    said = walk(there, asked, history, rules, examples(history, rules, trigger), on_step)
    ours = losses(asked.churn, asked.label)
    loss = {name: losses(p, asked.label) for name, p in said.items()}
    return Judgement(
        figures(asked.churn, asked.label),
        area_error(asked.churn, asked.label, asked.customer),
        tuple(
            Compared(
                name,
                figures(p, asked.label),
                area_error(p, asked.label, asked.customer),
                *difference(ours, loss[name], asked.customer),
            )
            for name, p in said.items()
        ),
        tuple(reliability(asked.churn, asked.label)),
        _blocks(asked, history, rules, ours, loss),
        tuple(np.histogram(asked.churn, bins=_SLICES, range=(0, 1))[0].tolist()),
        len(np.unique(asked.customer)),
    )


def _blocks(
    asked: Instances, history: History, rules: Protocol, ours: Floats, loss: dict[str, Floats]
) -> tuple[Block, ...]:
    block = ((asked.at_d - rules.from_d) // rules.block_d).astype(np.int64)
    out = []
    for number in np.unique(block).tolist():
        inside = block == number
        out.append(
            Block(
                history.start_ms + round((rules.from_d + number * rules.block_d) * DAY_MS),
                int(inside.sum()),
                float(asked.label[inside].mean()),
                float(asked.churn[inside].mean()),
                float(ours[inside].mean()),
                {name: float(theirs[inside].mean()) for name, theirs in loss.items()},
            )
        )
    return tuple(out)


def _level(predictions: Predictions, history: History, rules: Protocol) -> list[Mark]:
    made = (predictions.event >= 0) & (history.days(history.ticks(predictions.at_ms)) < rules.until_d)
    return level_marks(
        predictions.at_ms[made],
        predictions.churn[made],
        origin_ms=history.start_ms + round(rules.from_d * DAY_MS),
        block_ms=round(rules.block_d * DAY_MS),
    )


def _reasons(predictions: Predictions, asked: Instances) -> dict[str, float] | None:
    sums: dict[str, float] = {}
    n = 0
    for place in asked.place.tolist():
        weights: dict[str, Any] | None = predictions.reasons.get(place)
        if weights is not None:
            n += 1
            for code, weight in weights.items():
                sums[code] = sums.get(code, 0.0) + abs(weight)
    if not n:
        return None
    return {code: total / n for code, total in sorted(sums.items(), key=lambda pair: (-pair[1], pair[0]))}
