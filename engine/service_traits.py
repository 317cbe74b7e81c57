"""What service a customer asked for and what it cost them: requests, complaints, ratings, open cases, effort."""

from __future__ import annotations

import hashlib
import math
from typing import Any, Final

from engine.errors import CorruptState
from engine.event import CONTACT, OUR_SIDE, UNKNOWN_CATEGORY, Event
from engine.features import DAY_MS, GROUPS, Feature

__all__ = ["CASES_KEPT", "CATEGORIES_KEPT", "SERVICE_FEATURES", "ServiceTraits"]

CASES_KEPT: Final = 8
"""Open cases kept; a ninth takes the place of the oldest. Cases without an end would grow for ever."""

CATEGORIES_KEPT: Final = 8
"""Leaf categories whose contacts are counted; a ninth takes the place of the one with the least weight."""

_LN2: Final = math.log(2.0)
_HALF_LIFE_D: Final = 30.0
_LOW_SCORE: Final = 2.0
_LOW_SENTIMENT: Final = -0.6  # counts like a rating <= 2 (docs/events.md)
_GROUP: Final = {group.code: group for group in GROUPS}

SERVICE_FEATURES: Final = (
    Feature("requests_30d", "log1p decayed requests", _GROUP["service"]),
    Feature("complaints_30d", "log1p decayed complaints", _GROUP["service"]),
    Feature("low_ratings_30d", "log1p decayed ratings", _GROUP["service"]),
    Feature("failures_30d", "log1p decayed failures", _GROUP["service"]),
    Feature("mood", "-1 to 1", _GROUP["service"]),
    Feature("open_cases", "log1p cases", _GROUP["service"]),
    Feature("open_age", "log1p d", _GROUP["service"]),
    Feature("same_category", "log1p decayed contacts", _GROUP["service"]),
    Feature("effort", "log1p steps", _GROUP["effort"]),
    Feature("wait", "log1p min", _GROUP["effort"]),
    Feature("solve_time", "log1p d", _GROUP["effort"]),
)
"""What `ServiceTraits.vector` gives. `failures_30d` counts sessions, views, payments and the like that failed, not
calls of ours; `mood` is the mean of ratings, brought from 1..5 to -1..1, and of sentiments; `same_category` are
contacts about what the last contact was about; `effort` are the steps of the newest case that the customer had to take
or bear: contacts, transfers and changes of channel; `wait` and `solve_time` are means. All decayed sums and means have
a half-life of 30 d."""

_DECAYED: Final = ("requests", "complaints", "low", "failures", "mood_sum", "mood_n", "wait_sum", "wait_n",
                   "solve_sum", "solve_n")  # fmt: skip


class ServiceTraits:
    """What the desk has to do with a customer, in constant space.

    A case is known by its `case_id`, else by its leaf category. An event older than the newest one is counted as if it
    came with it: at most the lateness of the stream of error in a half-life of a month.

    Examples
    --------
    >>> service = ServiceTraits()
    >>> service.update(Event("e1", "c1", 0, "request", category="network/wifi", case_id="k1"))
    >>> service.update(Event("e2", "c1", DAY_MS, "handling", case_id="k1", step="transferred"))
    >>> [round(number, 2) for number in service.vector(2 * DAY_MS)][5:9]
    [0.69, 1.1, 0.67, 1.07]
    >>> service.update(Event("e3", "c1", 2 * DAY_MS, "resolved", category="network/wifi", case_id="k1"))
    >>> service.vector(2 * DAY_MS)[5]
    0.0
    """

    __slots__ = (*_DECAYED, "cases", "categories", "category", "effort", "last_ms")

    def __init__(self) -> None:
        # Everything of `_DECAYED`, and the categories, stand as of `last_ms`.
        self.last_ms = -1
        self.requests = self.complaints = self.low = self.failures = 0.0
        self.mood_sum = self.mood_n = 0.0
        self.wait_sum = self.wait_n = 0.0
        self.solve_sum = self.solve_n = 0.0
        self.categories: dict[str, float] = {}
        self.category = ""
        # Open cases, oldest first: key -> [opened (ms), steps, channel].
        self.cases: dict[int, list[Any]] = {}
        self.effort = 0

    def update(self, event: Event) -> None:
        """Take in one event; what is of no service says nothing here."""
        kind = event.kind
        if kind in CONTACT:
            self._decay(event.ts)
            self._contact(event)
        elif kind == "feedback":
            self._decay(event.ts)
            self._judge(event)
        elif kind == "handling" or kind == "resolved":
            self._decay(event.ts)
            self._work(event)
        elif event.outcome == "failed" and kind not in OUR_SIDE:
            self._decay(event.ts)
            self.failures += 1.0
        if event.wait_s is not None:
            self._decay(event.ts)
            self.wait_sum += math.log1p(min(event.wait_s, 1e9) / 60.0)
            self.wait_n += 1.0

    def _decay(self, ts_ms: int) -> None:
        if ts_ms <= self.last_ms:
            return
        if self.last_ms >= 0:
            keep = math.exp(-_LN2 * (ts_ms - self.last_ms) / DAY_MS / _HALF_LIFE_D)
            for name in _DECAYED:
                value = getattr(self, name)
                if value:
                    setattr(self, name, value * keep)
            for category in self.categories:
                self.categories[category] *= keep
        self.last_ms = ts_ms

    def _contact(self, event: Event) -> None:
        if event.kind == "request":
            self.requests += 1.0
        elif event.kind == "complaint":
            self.complaints += 1.0
        if event.sentiment is not None:
            self.mood_sum += event.sentiment
            self.mood_n += 1.0
        category = event.category or UNKNOWN_CATEGORY
        self.category = category if category != UNKNOWN_CATEGORY else ""
        if self.category:
            if category not in self.categories and len(self.categories) == CATEGORIES_KEPT:
                del self.categories[min(self.categories, key=lambda name: (self.categories[name], name))]
            self.categories[category] = self.categories.get(category, 0.0) + 1.0
        key = _case(event)
        case = self.cases.get(key)
        if case is None:
            self.cases[key] = [event.ts, 1, event.channel]
            self.effort = 1
            if len(self.cases) > CASES_KEPT:
                del self.cases[next(iter(self.cases))]
            return
        case[1] += 1 if event.channel == case[2] else 2
        case[2] = event.channel
        self.effort = case[1]

    def _judge(self, event: Event) -> None:
        score, sentiment = event.score, event.sentiment
        if score is not None:
            self.mood_sum += (score - 3.0) / 2.0
            self.mood_n += 1.0
        if sentiment is not None:
            self.mood_sum += sentiment
            self.mood_n += 1.0
        if (score is not None and score <= _LOW_SCORE) or (sentiment is not None and sentiment <= _LOW_SENTIMENT):
            self.low += 1.0

    def _work(self, event: Event) -> None:
        key = _case(event)
        case = self.cases.get(key)
        if event.kind == "handling":
            if case is not None and event.step in ("transferred", "reopened"):
                case[1] += 1
                self.effort = case[1]
            elif case is None and event.step == "reopened":
                self.cases[key] = [event.ts, 1, event.channel]
                if len(self.cases) > CASES_KEPT:
                    del self.cases[next(iter(self.cases))]
        elif case is not None:
            del self.cases[key]
            self.effort = case[1]
            self.solve_sum += math.log1p(max(event.ts - case[0], 0) / DAY_MS)
            self.solve_n += 1.0

    def vector(self, at_ms: int) -> list[float]:
        """The features of `SERVICE_FEATURES`, all finite, as of `at_ms`."""
        if self.last_ms < 0:
            return [0.0] * len(SERVICE_FEATURES)
        keep = math.exp(-_LN2 * max(at_ms - self.last_ms, 0) / DAY_MS / _HALF_LIFE_D)
        log1p = math.log1p
        oldest = min((case[0] for case in self.cases.values()), default=at_ms)
        return [
            log1p(self.requests * keep),
            log1p(self.complaints * keep),
            log1p(self.low * keep),
            log1p(self.failures * keep),
            # One neutral rating more, so that a single bad one is no bad mood and an old mood fades.
            self.mood_sum * keep / (self.mood_n * keep + 1.0),
            log1p(len(self.cases)),
            log1p(max(at_ms - oldest, 0) / DAY_MS),
            log1p(self.categories.get(self.category, 0.0) * keep) if self.category else 0.0,
            log1p(self.effort) * keep,
            self.wait_sum / self.wait_n if self.wait_n else 0.0,
            self.solve_sum / self.solve_n if self.solve_n else 0.0,
        ]

    def encode(self) -> list[Any]:
        """The state as plain lists and numbers, for msgpack; empty for a customer without service."""
        if self.last_ms < 0:
            return []
        return [
            self.last_ms,
            [getattr(self, name) for name in _DECAYED],
            self.categories,
            self.category,
            [[key, *case] for key, case in self.cases.items()],
            self.effort,
        ]

    @classmethod
    def decode(cls, state: Any) -> ServiceTraits:
        """Make the traits that `encode` wrote.

        Raises
        ------
        CorruptState
            If `state` is not of the shape that `encode` writes.
        """
        traits = cls()
        if state == []:
            return traits
        if (
            not isinstance(state, list)
            or len(state) != 6
            or not isinstance(state[1], list)
            or len(state[1]) != len(_DECAYED)
        ):
            raise CorruptState(f"service: expected 6 parts, got {str(state)[:80]}; read the log again")
        traits.last_ms, decayed, traits.categories, traits.category, cases, traits.effort = state
        for name, value in zip(_DECAYED, decayed, strict=True):
            setattr(traits, name, value)
        traits.cases = {key: case for key, *case in cases}
        return traits


def _case(event: Event) -> int:
    """A digest of the case, or of the category where there is no case."""
    name = f"k{event.case_id}" if event.case_id is not None else f"c{event.category}"
    return int.from_bytes(hashlib.blake2b(name.encode(), digest_size=8).digest(), "little")
