"""How good the expected numbers of engagement events are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from engine.event import ENGAGEMENT
from streams.evaluate.activity import Activity
from streams.evaluate.btyd import fit_btyd
from streams.evaluate.figures import difference
from streams.evaluate.history import Floats, History, Ints
from streams.evaluate.instances import judged
from streams.evaluate.predictions import Predictions
from streams.evaluate.protocol import Protocol

__all__ = ["CountRow", "Counts", "deviances", "judge_counts"]

_LEAST = 1e-4  # expected events; Poisson's deviance of 0 expected and one come is infinite


@dataclass(frozen=True, slots=True)
class CountRow:
    """One method that expects a number of events.

    Parameters
    ----------
    name
        `henji`, `mean` or `bg_nbd`.
    deviance, mae, mean
        Mean Poisson deviance, mean absolute error (events), mean of what it expects.
    delta, delta_se
        Mean of henji's deviance less this one's, and its standard error; `None` for henji.
    """

    name: str
    deviance: float
    mae: float
    mean: float
    delta: float | None = None
    delta_se: float | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Expected numbers of engagement events, judged.

    Parameters
    ----------
    horizon_d
        Events within so many days.
    n, mean
        Number of instances, mean number of events that came.
    rows
        henji first.
    """

    horizon_d: float
    n: int
    mean: float
    rows: tuple[CountRow, ...]


def deviances(expected: Floats, came: Ints) -> Floats:
    """Poisson deviance of each expectation, >= 0; lower is better.

    Examples
    --------
    >>> deviances(np.array([2.0]), np.array([2])).tolist()
    [0.0]
    """
    mu = np.maximum(expected, _LEAST)
    ratio = np.where(came > 0, came * np.log(np.maximum(came, 1) / mu), 0.0)
    return np.asarray(2.0 * (ratio - (came - mu)))


def judge_counts(activity: Activity, predictions: Predictions, rules: Protocol, horizon_d: float) -> Counts | None:
    """Compare henji's expectation with the mean of what was mature, and with BG/NBD; both fitted at each block.

    Parameters
    ----------
    activity, predictions
        The log and its scores.
    rules
        The protocol of churn; its days, kinds and blocks are taken over.
    horizon_d
        Horizon of engagement, days.

    Returns
    -------
    Counts or None
        `None` where no kind of engagement is judged, or no window is over.
    """
    kinds = tuple(kind for kind in rules.kinds if kind in ENGAGEMENT)
    if not kinds:
        return None
    rules = replace(rules, kinds=kinds, horizon_d=horizon_d)
    history = History(activity, rules)
    asked = judged(predictions, history, rules, chosen=np.flatnonzero(activity.chosen(kinds)))
    expected = predictions.engagement[asked.place]
    if not len(asked) or np.isnan(expected).any():
        return None
    came = history.n_within(asked.customer, asked.tick, horizon_d)
    all_d = history.days(history.tick)
    all_came = history.n_within(history.customer, history.tick, horizon_d)
    mean, buying = np.empty(len(asked)), np.empty(len(asked))
    bought = history.purchases(asked.customer, asked.tick)
    block = ((asked.at_d - rules.from_d) // rules.block_d).astype(np.int64)
    for number in np.unique(block).tolist():
        rows = np.flatnonzero(block == number)
        now_d = rules.from_d + number * rules.block_d
        mature = all_d + horizon_d < now_d
        mean[rows] = all_came[mature].mean() if mature.any() else 0.0
        model = fit_btyd(history.purchases_before(now_d))
        seen = all_d < now_d
        if model is None:
            buying[rows] = mean[rows]
        else:
            # The model counts acts; what is expected is events.
            per_act = float(history.n_events[seen].mean())
            buying[rows] = per_act * model.expected(type(bought)(*(part[rows] for part in bought)), horizon_d)
    ours = deviances(expected, came)
    out = []
    for name, values in (("henji", expected), ("mean", mean), ("bg_nbd", buying)):
        theirs = deviances(values, came)
        gap = difference(ours, theirs, asked.customer) if name != "henji" else (None, None)
        out.append(
            CountRow(name, float(theirs.mean()), float(np.abs(values - came).mean()), float(values.mean()), *gap)
        )
    return Counts(horizon_d, len(asked), float(came.mean()), tuple(out))
