"""Acts on the clock of a protocol, and what was known of a customer at any time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from engine.duration import DAY_MS
from engine.features import FEATURES, Traits
from streams.evaluate.activity import Activity
from streams.evaluate.protocol import Protocol

__all__ = ["Floats", "History", "Ints", "Purchases"]

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]


class Purchases(NamedTuple):
    """What a model of buying sees of customers.

    Parameters
    ----------
    frequency
        Acts after the first.
    recency_d
        Days from the first act to the last.
    age_d
        Days from the first act to the moment in question.
    """

    frequency: Floats
    recency_d: Floats
    age_d: Floats


class History:
    """The acts of a log, sorted by customer and time.

    Attributes
    ----------
    start_ms
        First midnight of the log, ms since the epoch.
    customer, tick
        Of each act: number of the customer; ms since `start_ms`, or days where days are compared.
    n_events, value
        Of each act: how many events it is, and their money.
    end_d
        Time of the last act, days.
    """

    def __init__(self, activity: Activity, rules: Protocol) -> None:
        chosen = activity.chosen(rules.kinds)
        customer, ts = activity.customer[chosen], activity.ts_ms[chosen]
        self.per_day = rules.per_day
        self.start_ms = int(ts.min()) // DAY_MS * DAY_MS if len(ts) else 0
        self._tick_ms = DAY_MS if rules.per_day else 1
        tick = (ts - self.start_ms) // self._tick_ms
        kept = self.days(tick) < rules.until_d
        customer, tick, value = customer[kept], tick[kept], activity.value[chosen][kept]
        order = np.lexsort((tick, customer))
        customer, tick, value = customer[order], tick[order], value[order]
        begins = np.ones(len(tick), dtype=bool)
        begins[1:] = (customer[1:] != customer[:-1]) | (tick[1:] != tick[:-1])
        first = np.flatnonzero(begins)
        self.customer: Ints = customer[first]
        self.tick: Ints = tick[first]
        self.n_events: Ints = np.diff(np.append(first, len(tick)))
        self.value: Floats = np.add.reduceat(value, first) if len(first) else value
        self._first_of: Ints = np.searchsorted(self.customer, np.arange(len(activity.names) + 1))
        self.end_d = float(self.days(self.tick).max()) if len(first) else 0.0

    def __len__(self) -> int:
        return len(self.tick)

    def days(self, tick: Ints) -> Floats:
        """Days since the log's first midnight.

        One division, as anybody would compute it from the times: whoever repeats the protocol gets the same floats, and
        so the same labels where an act stands exactly at the end of a window.
        """
        return np.asarray(tick.astype(np.float64) if self.per_day else tick / DAY_MS)

    def ticks(self, ts_ms: Ints) -> Ints:
        """Ticks of event times."""
        return np.asarray((ts_ms - self.start_ms) // self._tick_ms)

    def next_act(self, customer: Ints, tick: Ints) -> Ints:
        """Place behind the customer's last act at or before a time; the act there, if it is theirs, is the next one."""
        n = len(self)
        # Acts before questions of the same time: a stable merge of both gives every place in one sort.
        order = np.lexsort(
            (
                np.r_[np.zeros(n, dtype=np.int64), np.ones(len(tick), dtype=np.int64)],
                np.r_[self.tick, tick],
                np.r_[self.customer, customer],
            )
        )
        passed = np.cumsum(order < n)
        places = np.empty(n + len(tick), dtype=np.int64)
        places[order] = passed
        return places[n:]

    def churned(self, customer: Ints, tick: Ints, horizon_d: float) -> Ints:
        """Labels: 1 if the customer has no act in (t, t + horizon]; an act exactly at its end is one."""
        following = self.next_act(customer, tick)
        inside = np.minimum(following, len(self) - 1)
        theirs = (following < len(self)) & (self.customer[inside] == customer)
        back = theirs & (self.days(self.tick[inside]) <= self.days(tick) + horizon_d)
        return np.asarray(~back, dtype=np.int64)

    def n_within(self, customer: Ints, tick: Ints, horizon_d: float) -> Ints:
        """Number of events in (t, t + horizon]."""
        total = np.r_[0, np.cumsum(self.n_events)]
        last = tick + (round(horizon_d) if self.per_day else round(horizon_d * DAY_MS))
        return np.asarray(total[self.next_act(customer, last)] - total[self.next_act(customer, tick)])

    def purchases(self, customer: Ints, tick: Ints) -> Purchases:
        """Frequency, recency and age of customers who had an act at or before these times."""
        first = self._first_of[customer]
        last = self.next_act(customer, tick) - 1
        begun = self.days(self.tick[first])
        return Purchases((last - first).astype(np.float64), self.days(self.tick[last]) - begun, self.days(tick) - begun)

    def purchases_before(self, now_d: float) -> Purchases:
        """Frequency, recency and age, as of `now_d`, of all customers with an act before it."""
        seen = self.days(self.tick) < now_d
        n = np.bincount(self.customer[seen], minlength=len(self._first_of) - 1)
        customer = np.flatnonzero(n)
        first = self._first_of[customer]
        last = first + n[customer] - 1
        begun = self.days(self.tick[first])
        return Purchases((last - first).astype(np.float64), self.days(self.tick[last]) - begun, now_d - begun)

    def features(self, customer: Ints, tick: Ints) -> Floats:
        """The vectors of `engine.features` for customers at times, of acts at or before them.

        Returns
        -------
        array of shape (len(tick), len(FEATURES))
            Row `i` is what the engine's models see of customer `i`, whose acts came in order.
        """
        out = np.empty((len(tick), len(FEATURES)))
        following = self.next_act(customer, tick)
        order = np.lexsort((tick, customer))
        acts_at = ((self.tick * self._tick_ms) + self.start_ms).tolist()
        asked_at = ((tick * self._tick_ms) + self.start_ms).tolist()
        values = self.value.tolist()
        first_of, owners, ends = self._first_of.tolist(), customer.tolist(), following.tolist()
        owner, act, traits = -1, 0, Traits()
        row, at_before = -1, -1
        for place in order.tolist():
            if owners[place] != owner:
                owner, traits, at_before = owners[place], Traits(), -1
                act = first_of[owner]
            if asked_at[place] == at_before:
                out[place] = out[row]
                continue
            while act < ends[place]:
                traits.update(acts_at[act], values[act])
                act += 1
            out[place] = traits.vector(asked_at[place])
            row, at_before = place, asked_at[place]
        return out
