"""The scores that are judged, with their labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from streams.evaluate.history import Floats, History, Ints
from streams.evaluate.predictions import Predictions
from streams.evaluate.protocol import Protocol

__all__ = ["Instances", "judged"]


@dataclass(frozen=True, slots=True, eq=False)
class Instances:
    """Judged scores.

    Parameters
    ----------
    place
        Where each stands in the predictions.
    customer, tick, at_d
        Whose it is, and when it was made.
    churn
        The score, 0 to 1.
    label
        1 if no act followed within the horizon, else 0.
    """

    place: Ints
    customer: Ints
    tick: Ints
    at_d: Floats
    churn: Floats
    label: Ints

    def __len__(self) -> int:
        return len(self.place)


def judged(
    predictions: Predictions, history: History, rules: Protocol, *, chosen: Ints, silence: bool = False
) -> Instances:
    """Apply the protocol.

    Parameters
    ----------
    predictions
        All scores of the log.
    history
        Its acts.
    rules
        The protocol.
    chosen
        Places in the activity of the events that are acts: a score at another event is not judged.
    silence
        Judge the scores made in silence, not those made at acts.

    Returns
    -------
    Instances
        Of a customer and day the last one, where days are compared; each at least `from_d` and so early that its whole
        window lies in the log.
    """
    wanted = predictions.event == -1 if silence else np.isin(predictions.event, chosen)
    known = np.zeros(int(predictions.customer.max(initial=-1)) + 1, dtype=bool)
    present = np.unique(history.customer)
    known[present[present < len(known)]] = True
    ticks = history.ticks(predictions.at_ms)
    days = history.days(ticks)
    wanted &= known[predictions.customer] & (days >= rules.from_d) & (days < rules.until_d)
    wanted &= days + rules.horizon_d <= history.end_d
    place = np.flatnonzero(wanted)
    if rules.per_day:
        # The last of a customer and day, in the order of the first: `np.unique` on the reversed rows keeps the last.
        pairs = np.stack((predictions.customer[place], ticks[place]), axis=1)
        _, kept = np.unique(pairs[::-1], axis=0, return_index=True)
        place = np.sort(place[len(place) - 1 - kept])
    customer, tick = predictions.customer[place], ticks[place]
    if silence and len(place):
        # A score in silence follows an act of any kind of activity; without one of the judged kinds nothing is known.
        following = history.next_act(customer, tick)
        begun = (following > 0) & (history.customer[np.maximum(following, 1) - 1] == customer)
        place, customer, tick = place[begun], customer[begun], tick[begun]
    return Instances(
        place,
        customer,
        tick,
        history.days(tick),
        predictions.churn[place],
        history.churned(customer, tick, rules.horizon_d),
    )
