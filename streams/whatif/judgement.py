"""How often raises were followed by what they are about, beside how often that happens anyway."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import ceil, inf, isfinite
from statistics import median

from engine.duration import DAY_MS
from streams.whatif.past import Past, Story
from streams.whatif.tally import FlagTally, Tally

__all__ = ["OUTCOMES", "BaseRates", "Figures", "Judge", "Money", "Net"]

OUTCOMES = ("left", "complained")
"""What a raise may be followed by."""


@dataclass(frozen=True, slots=True)
class Figures:
    """One outcome of the raises of one flag.

    Parameters
    ----------
    n, n_followed
        Judged raises, and those that the outcome followed.
    customers, customers_followed
        The same in customers: with such a raise at all.
    censored, inactive
        Raises that are not judged: their window reaches beyond the log; the customer was not active then.
    base_rate
        Share of all active customers whom the outcome followed, on the days of the judged raises; `None` without any.
    happened, seen
        How often the outcome happened in the log, and how often of these an active customer's raise came before.
    lead_d
        Median days from a raise to the outcome that followed; 0 is a customer who never came again. `None` without any.
    """

    n: int
    n_followed: int
    customers: int
    customers_followed: int
    censored: int
    inactive: int
    base_rate: float | None
    happened: int
    seen: int
    lead_d: float | None

    @property
    def precision(self) -> float | None:
        """Share of the judged raises that the outcome followed."""
        return self.n_followed / self.n if self.n else None

    @property
    def recall(self) -> float | None:
        """Share of the outcomes that a raise came before."""
        return self.seen / self.happened if self.happened else None

    @property
    def lift(self) -> float | None:
        """How many times as often as for any active customer."""
        precision = self.precision
        return precision / self.base_rate if precision is not None and self.base_rate else None


@dataclass(frozen=True, slots=True)
class Money:
    """What the user says that alerts cost and customers are worth, in one currency.

    Parameters
    ----------
    cost_per_alert
        Of a message that people are shown.
    value_kept
        Of a customer who would have left and stays.
    success_rate
        Share of the leaving customers who stay when somebody acts on an alert, 0 to 1.
    """

    cost_per_alert: float
    value_kept: float
    success_rate: float


@dataclass(frozen=True, slots=True)
class Net:
    """Cost against value.

    Parameters
    ----------
    alerts
        Messages that people were shown on the days whose window is over.
    departures
        Departures that a raise came before which people were shown on those days; each once.
    cost, value
        In the currency of `Money`.
    """

    alerts: int
    departures: int
    cost: float
    value: float

    @property
    def net(self) -> float:
        """Value less cost."""
        return self.value - self.cost


class BaseRates:
    """Day by day, what share of all active customers an outcome followed.

    Parameters
    ----------
    past
        What became of the customers.
    after
        Within what time, ms.

    Attributes
    ----------
    active
        Active customers at each midnight (UTC) from `first_day` on.
    followed
        Outcome -> at each midnight, how many of these it followed.
    """

    def __init__(self, past: Past, after: int) -> None:
        empty = not isfinite(past.end)
        self.first_day = 0 if empty else int(past.begin // DAY_MS)
        self._n = 0 if empty else int(past.end // DAY_MS) - self.first_day + 1
        active = [0] * (self._n + 1)
        followed = {outcome: [0] * (self._n + 1) for outcome in OUTCOMES}
        for story in past.stories.values():
            there = _union(map(self._days, _acting(story, past.horizon)))
            _add(active, there)
            left = [(a - after, b - past.horizon) for a, b in story.pauses()]
            left += [(c - after, c) for c in story.leaves]
            _add(followed["left"], _cross(there, _union(map(self._days, left))))
            if story.complaints:
                complained = _union(self._days((c - after, c)) for c in story.complaints)
                _add(followed["complained"], _cross(there, complained))
        self.active = list(accumulate(active))[: self._n]
        self.followed = {outcome: list(accumulate(each))[: self._n] for outcome, each in followed.items()}

    def rate(self, outcome: str, at: int) -> float | None:
        """The share at the midnight at or before a time; `None` where nobody is active then."""
        day = at // DAY_MS - self.first_day
        if not 0 <= day < self._n or not self.active[day]:
            return None
        return self.followed[outcome][day] / self.active[day]

    def _days(self, times: tuple[float, float]) -> tuple[int, int]:
        """The midnights in a half-open range of times, as a half-open range of days from the first."""
        low, high = times
        begin = 0 if low == -inf else ceil(low / DAY_MS) - self.first_day
        end = self._n if high == inf else ceil(high / DAY_MS) - self.first_day
        return max(0, begin), min(self._n, end)


def _acting(story: Story, horizon: int) -> Iterable[tuple[float, float]]:
    """When a customer was active, as half-open ranges of times."""
    begin = story.first
    for last, again in story.silences:
        yield begin, last + horizon + 1
        begin = again
    if begin < inf:
        yield begin, story.last + horizon + 1


def _union(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for low, high in sorted(each for each in ranges if each[0] < each[1]):
        if out and low <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], high))
        else:
            out.append((low, high))
    return out


def _cross(one: Sequence[tuple[int, int]], other: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """What lies in both."""
    out = []
    i = j = 0
    while i < len(one) and j < len(other):
        low, high = max(one[i][0], other[j][0]), min(one[i][1], other[j][1])
        if low < high:
            out.append((low, high))
        if one[i][1] < other[j][1]:
            i += 1
        else:
            j += 1
    return out


def _add(steps: list[int], ranges: Iterable[tuple[int, int]]) -> None:
    for low, high in ranges:
        steps[low] += 1
        steps[high] -= 1


class Judge:
    """Judges variants by what became of the customers.

    Parameters
    ----------
    past
        What became of the customers.
    after
        Within what time an outcome counts, ms.
    """

    def __init__(self, past: Past, after: int) -> None:
        self.past = past
        self.after = after
        self.base = BaseRates(past, after)
        # The last moment whose window the log holds whole: who left is known a churn horizon later.
        self.limits = {"left": past.end - after - past.horizon, "complained": past.end - after}
        self._totals = {
            outcome: sum(len(self._happened(name, outcome)) for name in past.stories) for outcome in OUTCOMES
        }

    def figures(self, tally: Tally, flag: FlagTally, outcome: str) -> Figures:
        """One flag, one outcome."""
        past, after, limit = self.past, self.after, self.limits[outcome]
        n = n_followed = censored = inactive = 0
        rates: list[float] = []
        leads: list[float] = []
        there: set[int] = set()
        right: set[int] = set()
        raised: dict[int, list[int]] = {}
        for at, who in zip(flag.raised_at, flag.raised_who, strict=True):
            story = past.stories.get(tally.names[who])
            if story is None or not story.is_active(at, past.horizon):
                inactive += 1
                continue
            raised.setdefault(who, []).append(at)
            if at > limit:
                censored += 1
                continue
            n += 1
            there.add(who)
            rate = self.base.rate(outcome, at)
            if rate is not None:
                rates.append(rate)
            if outcome == "left":
                moment = story.left_at(at, after, past.horizon)
            else:
                moment = story.complained_at(at, after)
            if moment is not None:
                n_followed += 1
                right.add(who)
                leads.append((moment - at) / DAY_MS)
        happened, seen = self._recalled(tally, raised, outcome)
        return Figures(
            n=n,
            n_followed=n_followed,
            customers=len(there),
            customers_followed=len(right),
            censored=censored,
            inactive=inactive,
            base_rate=sum(rates) / len(rates) if rates else None,
            happened=happened,
            seen=seen,
            lead_d=median(leads) if leads else None,
        )

    def _recalled(self, tally: Tally, raised: dict[int, list[int]], outcome: str) -> tuple[int, int]:
        seen = 0
        for who, times in raised.items():
            for ranges in self._happened(tally.names[who], outcome):
                seen += any(low <= at < high for at in times for low, high in ranges)
        return self._totals[outcome], seen

    def _happened(self, name: str, outcome: str) -> Sequence[Sequence[tuple[float, float]]]:
        """Each time it happened to a customer, as the ranges of times at which a raise would have been right."""
        story = self.past.stories[name]
        if outcome == "complained":
            return [[(c - self.after, c)] for c in story.complaints]
        return story.departures(self.after, self.past.horizon, int(self.past.end))

    def net(self, tally: Tally, flags: Sequence[str], money: Money) -> Net:
        """Cost against value of some flags together, on the whole days whose window is over."""
        limit = self.limits["left"]
        end_day = int(limit // DAY_MS) if isfinite(limit) else 0
        alerts, raised = 0, dict[int, list[int]]()
        for name in flags:
            flag = tally.flags.get(name)
            if flag is None:
                continue
            alerts += sum(n for day, n in flag.traffic.delivered.items() if day < end_day)
            for at, who, told in zip(flag.raised_at, flag.raised_who, flag.raised_told, strict=True):
                if told and at < end_day * DAY_MS:
                    story = self.past.stories.get(tally.names[who])
                    if story is not None and story.is_active(at, self.past.horizon):
                        raised.setdefault(who, []).append(at)
        departures = self._recalled(tally, raised, "left")[1]
        value = departures * money.success_rate * money.value_kept
        return Net(alerts, departures, alerts * money.cost_per_alert, value)
