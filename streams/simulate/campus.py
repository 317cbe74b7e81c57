"""The whole campus in motion: customers' lives day by day, merged into one log."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterator
from typing import Any

from streams.simulate.delivery import Deliveries, deliver
from streams.simulate.life import Entry, Life
from streams.simulate.person import draw_person
from streams.simulate.plan import Plan
from streams.simulate.rhythm import Day
from streams.simulate.settings import DEFAULT_CUSTOMERS, SimulationSettings
from streams.simulate.truth import customer_row, plan_rows

__all__ = ["Campus", "simulate", "sized"]

# So many people tell the mean of all within a few percent, as segments and rates are spread evenly.
_PILOT = 400
_MOST_CUSTOMERS = 999_999


class Campus:
    """A simulation that runs once: first the events, then the ground truth.

    Memory grows with the number of customers (about 4 kB each) and one day of events, not with the length of the log.

    Parameters
    ----------
    settings
        What to simulate.

    Examples
    --------
    >>> campus = Campus(SimulationSettings(customers=3, days=10, incidents=0))
    >>> times = [event["ts"] for event in campus.events()]
    >>> times == sorted(times)
    True
    >>> [row["customer_id"] for row in campus.truth() if row["type"] == "customer"]
    ['u000000', 'u000001', 'u000002']
    """

    def __init__(self, settings: SimulationSettings) -> None:
        self.settings = settings
        self.customers, self.activity = sized(settings)
        self.plan = Plan(settings)
        self.deliveries = Deliveries()
        self.n_events = 0
        self._lives: list[Life] = []

    def events(self, on_day: Callable[[int], None] | None = None) -> Iterator[dict[str, Any]]:
        """The events in the order of their arrival: time order, unless the settings ask for disorder or lateness.

        Parameters
        ----------
        on_day
            Is called with the number of days that are over.
        """
        self.n_events = 0
        self.deliveries = Deliveries()
        self._lives = [Life(draw_person(self.plan, index), self.plan, self.activity) for index in range(self.customers)]
        yield from deliver(self._happen(on_day), self.settings, self.deliveries)

    def _happen(self, on_day: Callable[[int], None] | None) -> Iterator[dict[str, Any]]:
        rng = random.Random(0)
        for number in range(self.settings.days):
            day = Day.of(number, self.settings.start, self.settings.start_ms)
            entries: list[Entry] = []
            for life in self._lives:
                life.day(day, rng, entries)
            # Each life comes in order, so that sorting is the merging of runs.
            entries.sort()
            self.n_events += len(entries)
            for entry in entries:
                yield entry[3]
            if on_day is not None:
                on_day(number + 1)

    def truth(self) -> Iterator[dict[str, Any]]:
        """The lines of the ground truth; complete once `events` has come to its end."""
        settings = dataclasses.asdict(self.settings) | {"start": self.settings.start.isoformat()}
        yield {
            "type": "run",
            "version": 1,
            "settings": settings,
            "customers": self.customers,
            "from": self.plan.start_ms,
            "to": self.plan.end_ms,
        }
        yield from plan_rows(self.plan)
        for life in self._lives:
            yield customer_row(life)
        yield {"type": "log", "events": self.n_events, **dataclasses.asdict(self.deliveries)}


def simulate(settings: SimulationSettings) -> Iterator[dict[str, Any]]:
    """The events of a simulated campus app, in the contract of the events.

    Lazy: a day is lived when its first event is asked for. With the shares of disorder, lateness and duplicates at 0,
    their default, events come in time order and each once.

    Parameters
    ----------
    settings
        What to simulate; the same settings give the same events.

    Returns
    -------
    Iterator[dict]
        Events as plain dictionaries, ready for JSON; `ts` is integer milliseconds.

    Examples
    --------
    >>> event = next(simulate(SimulationSettings(customers=3, days=2)))
    >>> event["kind"], event["attributes"]["role"]
    ('profile', 'graduate')
    """
    return Campus(settings).events()


def sized(settings: SimulationSettings) -> tuple[int, float]:
    """How many people and how much activity give about the number of events that was asked for.

    Returns
    -------
    tuple
        Number of customers, and the factor on their visits (0.01 to 50; 1 is the campus as it is). Everybody has a
        profile, so that fewer events than customers cannot be had.
    """
    customers = DEFAULT_CUSTOMERS if settings.customers is None else settings.customers
    if settings.events is None:
        return customers, 1.0
    if settings.customers is None:
        each = _pilot(settings, _PILOT, 1.0) / _PILOT
        return min(_MOST_CUSTOMERS, max(1, round(settings.events / each))), 1.0
    people = min(customers, _PILOT)
    wanted = settings.events * people / customers
    # Over 1 only visits scale, under 1 nearly everything: on either side the total is about a line in the activity.
    usual = _pilot(settings, people, 1.0)
    other = 2.0 if wanted > usual else 0.25
    slope = (_pilot(settings, people, other) - usual) / (other - 1)
    return customers, min(50.0, max(0.01, 1 + (wanted - usual) / max(1.0, slope)))


def _pilot(settings: SimulationSettings, customers: int, activity: float) -> int:
    plan = Plan(settings)
    rng = random.Random(0)
    lives = [Life(draw_person(plan, index), plan, activity) for index in range(customers)]
    entries: list[Entry] = []
    total = 0
    for number in range(settings.days):
        day = Day.of(number, settings.start, settings.start_ms)
        for life in lives:
            life.day(day, rng, entries)
        total += len(entries)
        entries.clear()
    return total
