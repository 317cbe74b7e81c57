"""The anchors' way through a log: fit on what was mature at the start of a block, predict the block, go on."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from engine.lane import SILENCE_DAYS
from streams.evaluate.anchor import Anchor, Asked, Known
from streams.evaluate.history import Floats, History, Ints
from streams.evaluate.instances import Instances
from streams.evaluate.protocol import Protocol

__all__ = ["Examples", "examples", "walk"]


class Examples(NamedTuple):
    """What batch methods learn from: every moment of the log that has a label.

    Parameters
    ----------
    at_d
        Time of each, days.
    x, y
        Features and label.
    """

    at_d: Floats
    x: Floats
    y: Ints


def examples(history: History, rules: Protocol, trigger: str) -> Examples:
    """All examples of a log.

    Parameters
    ----------
    history
        The acts.
    rules
        The protocol.
    trigger
        `event`: one at each event, of a day one where days are compared. `silence`: one at each of the engine's
        landmarks in the silence after an act.
    """
    if trigger == "event":
        rows = np.arange(len(history))
        rows = rows if rules.per_day else np.repeat(rows, history.n_events)
        customer, tick = history.customer[rows], history.tick[rows]
    else:
        customer, tick = _silences(history)
    at_d = history.days(tick)
    kept = at_d + rules.horizon_d <= history.end_d
    customer, tick = customer[kept], tick[kept]
    return Examples(at_d[kept], history.features(customer, tick), history.churned(customer, tick, rules.horizon_d))


def _silences(history: History) -> tuple[Ints, Ints]:
    day = int(history.ticks(np.array([history.start_ms + 86_400_000]))[0])
    n = len(history)
    following = np.full(n, np.iinfo(np.int64).max)
    same = np.flatnonzero(history.customer[1:] == history.customer[:-1])
    following[same] = history.tick[same + 1]
    customer, tick = [], []
    for days in SILENCE_DAYS:
        at = history.tick + days * day
        kept = at < following
        customer.append(history.customer[kept])
        tick.append(at[kept])
    return np.concatenate(customer), np.concatenate(tick)


def walk(
    methods: Iterable[Anchor],
    asked: Instances,
    history: History,
    rules: Protocol,
    learned: Examples,
    on_step: Callable[[float], None] = lambda _: None,
) -> dict[str, Floats]:
    """What each method says of each instance, without having seen anything later.

    Parameters
    ----------
    methods
        Anchors whose packages are installed.
    asked
        The instances.
    history
        The acts.
    rules
        The protocol: its blocks and horizon.
    learned
        All examples; of them a block's start knows those whose window is over before it.
    on_step
        Called with the share of the work that is done, 0 to 1.

    Returns
    -------
    dict of str to array
        Name of the method -> probability per instance.
    """
    methods = list(methods)
    out = {method.name: np.empty(len(asked)) for method in methods}
    x = history.features(asked.customer, asked.tick)
    block = ((asked.at_d - rules.from_d) // rules.block_d).astype(np.int64)
    fitted: set[str] = set()
    for number in np.unique(block).tolist():
        rows = np.flatnonzero(block == number)
        now_d = rules.from_d + number * rules.block_d
        # A window that ends at the very moment is not over: what happens at it may still be to come.
        mature = learned.at_d + rules.horizon_d < now_d
        known = Known(learned.x[mature], learned.y[mature], history.purchases_before(now_d))
        question = Asked(x[rows], history.purchases(asked.customer[rows], asked.tick[rows]), rules.horizon_d)
        for method in methods:
            if method.refits or method.name not in fitted:
                method.fit(known)
                fitted.add(method.name)
            out[method.name][rows] = method.predict(question)
        on_step(float(rows.max() + 1) / len(asked) if len(asked) else 1.0)
    return out
