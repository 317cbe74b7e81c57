"""Incidents: in one service unusually many customers turn to us at once, against its own normal.

A pure fold over the totals of all lanes (`engine.service_counts`), one complete bucket after the other; the same totals
give the same messages. Sums of a deployment are no state of a lane: nothing here is part of a digest.

**The normal** of a value is what came at the same time of day, the bucket and two on either side, on the past 28 days
that the value was in use. A day whose stretch touches an incident of that value says nothing of its normal and is left
out. Of a value in use for less than 7 such days nothing is known, and no incident is seen.

**The chance** that a bucket has `n` customers or more is the upper tail of a negative binomial: counts of a bucket are
Poisson, their rate varies between days and is known from few of them, both like a gamma variable [1]_. Its mean is
(S + 1/2) / B with S customers in B buckets (Jeffreys' prior, [2]_). Its squared coefficient of variation is
`e (1 + 1/D) + 1 / (S + 1/2)`: `e` that of the rate between buckets and between the D days, by moments [3]_,
(variance - mean) / mean^2 of the B buckets, at least .05: no service is so regular that a quarter more than usual means
anything.

An incident opens at `min_customers` or more of which the chance is below `max_chance`, and ends after 4 buckets in a
row that are calm: a chance of .001 or more, also where they are few. What lasts for 7 days is the new normal: it is
cleared, and its days count. An open incident of `network/wifi` explains what `network` has beyond its own normal.

Wrong where the day moves: after a change of clocks (one hour of a steep morning looks unusual where `min_customers` is
low), and on the first working day after a month of holidays. Customers are counted per bucket; forty that come over a
whole day are no incident.

References
----------
.. [1] M. Greenwood, G. U. Yule (1920), An inquiry into the nature of frequency distributions, JRSS 83.
.. [2] A. Gelman et al., Bayesian Data Analysis, 3rd ed., section 2.6: gamma prior, negative binomial prediction.
.. [3] C. I. Bliss, R. A. Fisher (1953), Fitting the negative binomial distribution to biological data, Biometrics 9.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec
import orjson

from engine.alert import Alert, alert_id
from engine.duration import DAY_MS, HOUR_MS
from engine.errors import CorruptState
from engine.service_counts import BUCKET_MS, BUCKETS_A_DAY, Value
from models.errors import SnapshotError
from models.snapshot import pack, unpack

__all__ = [
    "FORGET_MS",
    "INCIDENT_FLAG",
    "INCIDENT_LANE",
    "INCIDENT_PRIORITY",
    "Incident",
    "IncidentMessage",
    "IncidentSettings",
    "Incidents",
    "Normal",
    "chance",
]

INCIDENT_FLAG: Final = "service_incident"

INCIDENT_LANE: Final = -1
"""What stands for the lane of an alert that is of no lane."""

INCIDENT_PRIORITY: Final = 1

FORGET_MS: Final = 14 * DAY_MS
"""How long after its end an incident stays on the board, event time."""

_EITHER_SIDE: Final = 2
_LEAST_SPREAD: Final = 0.05
_KIND: Final = "incidents"
_LEVELS: Final = ((10.0, "severe"), (4.0, "high"), (0.0, "elevated"))


@dataclass(frozen=True, slots=True)
class IncidentSettings:
    """When many customers at once are an incident.

    Parameters
    ----------
    min_customers
        Fewer distinct customers in a bucket are none, >= 2.
    max_chance
        Opens below this chance, over 0. With 100 values there are 9,600 buckets a day.
    min_history_ms
        For how long, in whole days, a value must have been in use.
    history_days
        Days that make the normal; at most `KEPT_DAYS` less a week.
    calm_chance, calm_buckets
        A bucket of such a chance or more is calm; so many in a row end an incident.
    update_ms
        An open incident is told again after so long, or as soon as twice as many come as last told.
    longest_ms
        What lasts so long is the new normal.
    """

    min_customers: int = 10
    max_chance: float = 1e-6
    min_history_ms: int = 7 * DAY_MS
    history_days: int = 28
    calm_chance: float = 1e-3
    calm_buckets: int = 4
    update_ms: int = HOUR_MS
    longest_ms: int = 7 * DAY_MS


@dataclass(frozen=True, slots=True)
class Normal:
    """How many customers a bucket has when nothing is wrong.

    Parameters
    ----------
    mean
        Expected number, over 0.
    size
        Inverse of the squared coefficient of variation of the rate; large: Poisson.

    Examples
    --------
    >>> normal = Normal.of([[1, 0, 2, 1, 1]] * 7)
    >>> round(normal.mean, 2), normal.chance(4) > 0.01, normal.chance(15) < 1e-6
    (1.01, True, True)
    """

    mean: float
    size: float

    @classmethod
    def of(cls, days: Sequence[Sequence[int]]) -> Normal:
        """The normal from what came in the buckets of each day."""
        counts = [n for day in days for n in day]
        total, n_buckets = sum(counts), len(counts)
        mean, spread = total / n_buckets, _LEAST_SPREAD
        if total > 0:
            # In whole numbers, so that the order of the days does not matter to the last bit.
            variance = (n_buckets * sum(n * n for n in counts) - total * total) / (n_buckets * (n_buckets - 1))
            spread = max(spread, (variance - mean) / mean**2)
        shape = total + 0.5
        return cls(shape / n_buckets, 1.0 / (spread * (1.0 + 1.0 / len(days)) + 1.0 / shape))

    def chance(self, n: int) -> float:
        """Probability of `n` customers or more, 0 to 1."""
        return chance(n, self.mean, self.size)


def chance(n: int, mean: float, size: float) -> float:
    """Upper tail of a negative binomial: probability of `n` or more, 0 to 1.

    It is the regularised incomplete beta function I_x(n, size) at x = mean / (mean + size) (DLMF 8.17), by its
    continued fraction (DLMF 8.17.22), which is good to some 1e-12.

    Parameters
    ----------
    n
        A count.
    mean, size
        Both over 0; the variance is mean + mean^2 / size.

    Examples
    --------
    >>> chance(0, 3.0, 2.0)
    1.0
    >>> p, q = 2.0 / 5.0, 3.0 / 5.0
    >>> abs(chance(2, 3.0, 2.0) - (1 - p**2 - 2 * p**2 * q)) < 1e-12
    True
    """
    if n <= 0:
        return 1.0
    a, x = float(n), mean / (mean + size)
    if x > (a + 1.0) / (a + size + 2.0):
        return max(0.0, 1.0 - _beta(size, a, size / (mean + size)))
    return min(1.0, _beta(a, size, x))


def _beta(a: float, b: float, x: float) -> float:
    """I_x(a, b) for x below its mean, by Lentz's way of a continued fraction."""
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x) - math.log(a)
    )
    tiny = 1e-300
    c, d = 1.0, 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1.0), tiny)
    value = d
    for m in range(1, 100_000):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        for term in (even, odd):
            d = 1.0 / _not_zero(1.0 + term * d, tiny)
            c = _not_zero(1.0 + term / c, tiny)
            value *= c * d
        if abs(c * d - 1.0) < 1e-14:
            break
    return front * value


def _not_zero(value: float, tiny: float) -> float:
    return value if abs(value) > tiny else tiny


class Incident(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """An open incident.

    Parameters
    ----------
    alert_id, dimension, value
        Which.
    opened
        Number of its first bucket since the epoch.
    count
        Sum over its buckets of their customers; somebody who comes in two of them counts twice.
    severity
        `elevated`, `high` (4 times the normal, and at least 4) or `severe` (10 times) in its worst bucket.
    observed, expected, bucket
        Customers of the newest bucket, its normal, its number.
    sent, told
        Bucket of the last message, and customers that it told of.
    calm
        Calm buckets in a row.
    """

    alert_id: str
    dimension: str
    value: str
    opened: int
    count: int
    severity: str
    observed: int
    expected: float
    bucket: int
    sent: int
    told: int
    calm: int = 0

    @property
    def since(self) -> int:
        """When it began, ms."""
        return self.opened * BUCKET_MS

    @property
    def category(self) -> str | None:
        """The category it is in, if that is its dimension."""
        return self.value if self.dimension == "category" else None


@dataclass(frozen=True, slots=True)
class IncidentMessage:
    """A message about an incident.

    Parameters
    ----------
    op
        `raise`, `update` or `clear`.
    seq
        Number among all of them, from 1.
    at
        End of the bucket that caused it, ms.
    until
        Of a `clear` the same as `at`; else `None`.
    incident
        The incident then.
    """

    op: str
    seq: int
    at: int
    until: int | None
    incident: Incident

    def line(self) -> bytes:
        """The public line: that of every alert (the customer is empty), and `service`."""
        it = self.incident
        alert = Alert(
            alert_id=it.alert_id,
            seq=self.seq,
            op=self.op,
            flag=INCIDENT_FLAG,
            category=it.category,
            customer_id="",
            at=self.at,
            since=it.since,
            until=self.until,
            count=it.count,
            severity=it.severity,
            priority=INCIDENT_PRIORITY,
            evidence=[],
            scores={},
            reasons=[],
            route="",
            scene=[],
            rules="",
            model="",
            index=0,
        )
        service = {
            "dimension": it.dimension,
            "value": it.value,
            "observed": it.observed,
            "expected": round(it.expected, 3),
            "bucket": it.bucket * BUCKET_MS,
        }
        return orjson.dumps({**orjson.loads(alert.line()), "service": service})


class _State(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """What a restart needs beside the totals.

    Next bucket, last number of a message, open incidents; dimension, value, first bucket and bucket after the last of
    what is over; alert id and last bucket of what is still on the board.
    """

    next: int
    seq: int
    open: list[Incident]
    over: list[tuple[str, str, int, int]]
    shown: list[tuple[str, int]]


class _History:
    """Customers per bucket of one value, the last days."""

    __slots__ = ("days",)

    def __init__(self) -> None:
        self.days: dict[int, array[int]] = {}

    def put(self, bucket: int, customers: int) -> None:
        day, place = divmod(bucket, BUCKETS_A_DAY)
        if day not in self.days:
            self.days[day] = array("Q", bytes(8 * BUCKETS_A_DAY))
        self.days[day][place] = customers

    def stretch(self, start: int, width: int) -> list[int]:
        out: list[int] = []
        for bucket in range(start, start + width):
            day, place = divmod(bucket, BUCKETS_A_DAY)
            counts = self.days.get(day)
            out.append(0 if counts is None else counts[place])
        return out

    def first(self, since_day: int) -> int | None:
        """The first bucket from a day on that has a customer."""
        for day in sorted(day for day in self.days if day >= since_day):
            for place, customers in enumerate(self.days[day]):
                if customers:
                    return day * BUCKETS_A_DAY + place
        return None

    def forget(self, before_day: int) -> None:
        for day in [day for day in self.days if day < before_day]:
            del self.days[day]


class Incidents:
    """The fold: totals of one bucket after the other in, messages out.

    A restart needs `encode()` and, by `remember`, the totals of the `history_days` before `next` and one day more.

    Parameters
    ----------
    settings
        When something is an incident.
    state
        What `encode` gave; `None` to begin.

    Raises
    ------
    CorruptState
        If the state is damaged or of another schema.

    Examples
    --------
    >>> incidents = Incidents(IncidentSettings())
    >>> usual = {("category", "network"): 2}
    >>> sent = [message for bucket in range(8 * 96) for message in incidents.take(bucket, usual)]
    >>> sent += incidents.take(8 * 96, {("category", "network"): 40})
    >>> [(message.op, message.incident.severity, message.incident.observed) for message in sent]
    [('raise', 'severe', 40)]
    """

    def __init__(self, settings: IncidentSettings, state: bytes | None = None) -> None:
        self._settings = settings
        self._history: dict[Value, _History] = {}
        self.next: int | None = None
        """Number since the epoch of the bucket that comes next; `None` before the first."""
        self.seq = 0
        self.open: dict[Value, Incident] = {}
        """Open incidents."""
        self._over: list[tuple[str, str, int, int]] = []
        self._shown: list[tuple[str, int]] = []
        self._forgotten: list[str] = []
        if state is not None:
            self._restore(state)

    def _restore(self, data: bytes) -> None:
        try:
            state = unpack(_KIND, data, _State)
        except SnapshotError as error:
            raise CorruptState(
                f"incidents: expected the state that this henji wrote, got {error}; delete it: incidents are then "
                "watched anew from the totals on the board"
            ) from error
        self.next, self.seq = state.next, state.seq
        self.open = {(each.dimension, each.value): each for each in state.open}
        self._over, self._shown = state.over, state.shown

    def encode(self) -> bytes:
        """What a restart needs; call it after the first bucket."""
        assert self.next is not None
        return pack(_KIND, _State(self.next, self.seq, list(self.open.values()), self._over, self._shown))

    def skip_to(self, bucket: int) -> None:
        """Go on with another bucket: what lies between is not known. Forgets what `remember` and `take` told."""
        self.next = bucket
        self._history.clear()

    def remember(self, value: Value, bucket: int, customers: int) -> None:
        """Tell of a bucket before `next`."""
        self._history.setdefault(value, _History()).put(bucket, customers)

    @property
    def values(self) -> set[Value]:
        """Values that had a customer in the time that is remembered."""
        return set(self._history)

    # -- one bucket ----------------------------------------------------------------------------------------------

    def take(self, bucket: int, customers: Mapping[Value, int]) -> list[IncidentMessage]:
        """Take the totals of the next bucket.

        Parameters
        ----------
        bucket
            Its number since the epoch: `next`, or any at the beginning.
        customers
            Distinct customers of every value that had any.

        Returns
        -------
        list of IncidentMessage
            In an order that the totals decide.
        """
        if self.next is not None and bucket != self.next:
            raise ValueError(f"bucket: expected {self.next}, got {bucket}")
        least = self._settings.min_customers
        out: list[IncidentMessage] = []
        beyond: dict[Value, float] = {}
        for value in _deepest_first({*self.open, *(value for value, n in customers.items() if n >= least)}):
            out += self._look(value, bucket, customers.get(value, 0), beyond)
        for value, n in customers.items():
            if n > 0:
                self.remember(value, bucket, n)
        self.next = bucket + 1
        if self.next % BUCKETS_A_DAY == 0:
            self._forget(self.next)
        return out

    def _look(self, value: Value, bucket: int, n: int, beyond: dict[Value, float]) -> list[IncidentMessage]:
        settings = self._settings
        normal = self._normal(value, bucket)
        incident = self.open.get(value)
        # What the open incidents below explain is no news here.
        own = n - math.floor(sum(excess for below, excess in beyond.items() if _is_below(below, value)))
        likely = 1.0 if normal is None else normal.chance(own)
        if incident is None:
            if normal is None or own < settings.min_customers or likely >= settings.max_chance:
                return []
            identity = alert_id(INCIDENT_FLAG, "", f"{value[0]}:{value[1]}", bucket * BUCKET_MS)
            level = _level(n, normal.mean)
            incident = Incident(identity, *value, bucket, n, level, n, normal.mean, bucket, bucket, n)
            self.open[value] = incident
            beyond[value] = n - normal.mean
            return [self._message("raise", incident, bucket)]
        incident.count += n
        incident.observed, incident.bucket = n, bucket
        incident.calm = incident.calm + 1 if likely >= settings.calm_chance else 0
        worse = False
        if normal is not None:
            incident.expected = normal.mean
            beyond[value] = max(0.0, n - normal.mean)
            worse = _rank(_level(n, normal.mean)) < _rank(incident.severity)
            if worse:
                incident.severity = _level(n, normal.mean)
        lasted = (bucket + 1 - incident.opened) * BUCKET_MS >= settings.longest_ms
        if lasted or incident.calm >= settings.calm_buckets:
            del self.open[value]
            if not lasted:
                self._over.append((*value, incident.opened, bucket + 1))
            self._shown.append((incident.alert_id, bucket))
            return [self._message("clear", incident, bucket)]
        hour = (bucket - incident.sent) * BUCKET_MS >= settings.update_ms
        if not (worse or n >= 2 * incident.told or (hour and n > 0)):
            return []
        incident.sent, incident.told = bucket, n
        return [self._message("update", incident, bucket)]

    def _message(self, op: str, incident: Incident, bucket: int) -> IncidentMessage:
        self.seq += 1
        at = (bucket + 1) * BUCKET_MS
        return IncidentMessage(op, self.seq, at, at if op == "clear" else None, msgspec.structs.replace(incident))

    def _normal(self, value: Value, bucket: int) -> Normal | None:
        history = self._history.get(value)
        days, width = self._settings.history_days, 2 * _EITHER_SIDE + 1
        first = None if history is None else history.first(bucket // BUCKETS_A_DAY - days)
        if history is None or first is None:
            return None
        over = [(begin, end) for dimension, name, begin, end in self._over if (dimension, name) == value]
        if value in self.open:
            over.append((self.open[value].opened, bucket))
        usual: list[list[int]] = []
        for ago in range(1, days + 1):
            start = bucket - ago * BUCKETS_A_DAY - _EITHER_SIDE
            if start < first:
                break
            if not any(begin < start + width and start < end for begin, end in over):
                usual.append(history.stretch(start, width))
        if len(usual) < max(2, self._settings.min_history_ms // DAY_MS):
            return None
        return Normal.of(usual)

    def _forget(self, bucket: int) -> None:
        """At the end of a day: what no normal asks for any more."""
        # One day more than is asked for: the stretch of the oldest day may begin on the day before.
        day = bucket // BUCKETS_A_DAY - self._settings.history_days - 1
        for history in self._history.values():
            history.forget(day)
        self._history = {value: history for value, history in self._history.items() if history.days}
        self._over = [each for each in self._over if each[3] >= day * BUCKETS_A_DAY]
        until = bucket - FORGET_MS // BUCKET_MS
        self._forgotten += [identity for identity, ended in self._shown if ended < until]
        self._shown = [each for each in self._shown if each[1] >= until]

    def take_forgotten(self) -> list[str]:
        """Alert ids of incidents that leave the board, since the last call."""
        out, self._forgotten = self._forgotten, []
        return out

    def shown(self) -> list[str]:
        """Alert ids of all incidents that are on the board."""
        return [each.alert_id for each in self.open.values()] + [identity for identity, _ in self._shown]


def _deepest_first(values: Iterable[Value]) -> list[Value]:
    return sorted(values, key=lambda value: (value[0], -value[1].count("/"), value[1]))


def _is_below(below: Value, value: Value) -> bool:
    return value[0] == below[0] == "category" and below[1].startswith(f"{value[1]}/")


def _level(observed: int, expected: float) -> str:
    ratio = observed / max(expected, 1.0)
    return next(name for least, name in _LEVELS if ratio >= least)


def _rank(severity: str) -> int:
    return [name for _, name in _LEVELS].index(severity)
