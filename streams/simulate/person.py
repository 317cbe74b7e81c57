"""Who a customer is: segment, habits, and whether and how they are going to leave.

All of a person is drawn from the seed and their number alone; nobody's life depends on how many others there are.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass
from datetime import date, timedelta
from statistics import NormalDist
from typing import Any

from streams.simulate.plan import Account, Plan
from streams.simulate.rhythm import graduation_after
from streams.simulate.settings import DAY_MS, subseed, uniform

__all__ = ["Fate", "Person", "draw_person", "profile_event"]

HOUR_MS = 3_600_000
# Steps of the R2 sequence (powers of the plastic number): segments and rates are spread evenly over any run of
# numbers, so that small campuses look like large ones and sizes can be foretold.
_STEP_SEGMENT, _STEP_RATE = 0.7548776662466927, 0.5698402909980532
_NORMAL = NormalDist()

# Segment -> share of people, median visits on a lecture day, contacts per day.
_SEGMENTS = {
    "student": (0.58, 0.55, 0.030),
    "graduate": (0.14, 0.45, 0.026),
    "school_staff": (0.15, 0.40, 0.030),
    "company_staff": (0.13, 0.30, 0.028),
}


@dataclass(slots=True)
class Fate:
    """Whether, when and how somebody leaves.

    Parameters
    ----------
    left_ms
        After this time there is no own activity, ms; `None`: they stay. May lie after the end of the log.
    how
        `silent`, `cancel`, `lapsed`, `graduated`, `never_activated`; empty when they stay.
    warn_ms
        From when on they visit less and complain more, ms; `None`: no warning.
    back_ms
        When they come back, ms; `None`: not.
    expected
        Whether it was known before (`expected_end`).
    provoked_by
        The case that made them leave; empty when none did.
    """

    left_ms: int | None = None
    how: str = ""
    warn_ms: int | None = None
    back_ms: int | None = None
    expected: bool = False
    provoked_by: str = ""


@dataclass(slots=True)
class Person:
    """A customer as drawn, before anything happens.

    Parameters
    ----------
    index, customer_id
        Number in the simulation and id in the log.
    alias_id
        A second id under which they visit the web without logging in; empty for most.
    linked_ms
        When a `link` event ties the alias to the id, ms; `None`: it stays a candidate.
    segment, account
        One of `SEGMENTS`; the school or company of staff.
    joined_ms
        When they signed up, ms; `None`: before the log begins.
    expected_end
        Day of graduation.
    rate, contact_rate
        Visits and contacts on a lecture day.
    regularity
        Shape of the gaps between visits: under 1 in bursts, over 1 regular.
    hours, visit_channel, contact_weights
        Profile of the hours of a day, and how they prefer to come and to ask.
    talkative, spending, receptive
        Probability per visit to post or like, to buy, and to answer a campaign that is open.
    flooded
        Whether they get newsletters every other day.
    pay_day
        Day of the month of their payment; 0: none.
    quiet
        A span in which they are ill or away, ms; not leaving.
    fate
        How it ends.
    """

    index: int
    customer_id: str
    alias_id: str
    linked_ms: int | None
    segment: str
    account: Account | None
    joined_ms: int | None
    expected_end: date | None
    rate: float
    contact_rate: float
    regularity: float
    hours: str
    visit_channel: str
    contact_weights: tuple[float, ...]
    talkative: float
    spending: float
    receptive: float
    flooded: bool
    pay_day: int
    quiet: tuple[int, int] | None
    fate: Fate


def profile_event(person: Person, rng: random.Random) -> dict[str, Any]:
    """What the campus knows of somebody, as a `profile` event without id, customer and time."""
    facts: dict[str, Any] = {"role": person.segment, "language": "en" if rng.random() < 0.12 else "zh"}
    event: dict[str, Any] = {"kind": "profile", "attributes": facts}
    if person.account is not None:
        facts |= {"organisation": person.account.account_id, "owner": person.account.owner}
        event["account_id"] = person.account.account_id
    else:
        facts["school"] = f"school-{int(rng.random() * 8) + 1:02d}"
    if person.expected_end is not None:
        facts["expected_end"] = person.expected_end.isoformat()
    return event


def _segment(plan: Plan, index: int) -> str:
    place = (uniform(plan.seed, "segments") + index * _STEP_SEGMENT) % 1
    for segment, (share, _, _) in _SEGMENTS.items():
        place -= share
        if place < 0:
            return segment
    return "student"


def _rate(plan: Plan, index: int, median: float) -> float:
    place = (uniform(plan.seed, "rates") + index * _STEP_RATE) % 1
    return median * math.exp(0.75 * _NORMAL.inv_cdf(min(max(place, 0.001), 0.999)))


def draw_person(plan: Plan, index: int) -> Person:
    """The customer of that number.

    Parameters
    ----------
    plan
        The campus.
    index
        Number from 0 on.

    Examples
    --------
    >>> from streams.simulate.settings import SimulationSettings
    >>> draw_person(Plan(SimulationSettings()), 7).customer_id
    'u000007'
    """
    rng = random.Random(subseed(plan.seed, "person", index))
    segment = _segment(plan, index)
    account = plan.account(segment, rng)
    young = segment in ("student", "graduate")
    span = plan.end_ms - plan.start_ms
    joined = None
    if segment != "graduate" and rng.random() < 0.2:
        day = int((0.02 + 0.9 * rng.random()) * plan.settings.days)
        joined = plan.start_ms + day * DAY_MS + int((8 + 14 * rng.random()) * HOUR_MS)
    contact_weights = (3.0, 2.0, 1.5, 0.7, 0.5, 0.5) if young else (1.0, 2.0, 4.0, 0.3, 0.2, 2.0)
    favourite = int(rng.random() * len(contact_weights))
    alias = rng.random() < 0.03
    linked = plan.start_ms + int((0.3 + 0.6 * rng.random()) * span) if rng.random() < 0.5 else None
    if linked is not None and joined is not None:
        linked = max(linked, joined + DAY_MS)
    quiet = None
    if rng.random() < 0.12:
        begin = plan.start_ms + int(rng.random() * span)
        quiet = (begin, begin + int((7 + 14 * rng.random()) * DAY_MS))
    _, median, contacts = _SEGMENTS[segment]
    person = Person(
        index=index,
        customer_id=f"u{index:06d}",
        alias_id=f"w{index:06d}" if alias else "",
        linked_ms=linked if alias else None,
        segment=segment,
        account=account,
        joined_ms=joined,
        expected_end=graduation_after(plan.settings.start + timedelta(days=13)) if segment == "graduate" else None,
        rate=_rate(plan, index, median),
        contact_rate=contacts * 2 * rng.random() ** 2 + 0.006,
        regularity=0.5 + 2.5 * rng.random(),
        hours=("owl" if rng.random() < 0.25 else "young") if young else "office",
        visit_channel="app" if rng.random() < (0.8 if young else 0.35) else "web",
        contact_weights=tuple(each * (3 if number == favourite else 1) for number, each in enumerate(contact_weights)),
        talkative=0.35 * rng.random() ** 2 if young else 0.08 * rng.random(),
        spending=0.16 * rng.random() if young else 0.05 * rng.random(),
        receptive=0.25 * rng.random() ** 2,
        flooded=rng.random() < 0.08,
        pay_day=1 + int(rng.random() * 27) if rng.random() < 0.3 else 0,
        quiet=quiet,
        fate=Fate(),
    )
    person.fate = _fate(plan, person, rng)
    return person


def _fate(plan: Plan, person: Person, rng: random.Random) -> Fate:
    """The first of the ways in which somebody could leave."""
    begin = plan.start_ms if person.joined_ms is None else person.joined_ms
    fates = []
    if person.joined_ms is not None and rng.random() < 0.12:
        # A minute after signing up, so that their profile is complete.
        return Fate(person.joined_ms, "never_activated")
    if person.expected_end is not None and rng.random() < 0.95:
        days = (person.expected_end - plan.settings.start).days
        left = plan.start_ms + int((days - 3 + 8 * rng.random()) * DAY_MS)
        fates.append(Fate(left, "graduated", expected=True))
    if person.account is not None and person.account.lapses and person.account.due_ms is not None:
        due = person.account.due_ms
        if due > begin + DAY_MS:
            warned = due - int((20 + 20 * rng.random()) * DAY_MS) if person.account.warned else None
            fates.append(Fate(due, "lapsed", warn_ms=warned))
    hazard = -math.log1p(-plan.settings.leave_rate) / 30
    u, warned_too, cancels, returns = (rng.random() for _ in range(4))
    ahead, away = (14 + 26 * rng.random()) * DAY_MS, (35 + 40 * rng.random()) * DAY_MS
    if hazard > 0:
        # Nobody leaves at night; the exponential gives the day.
        day = int(min(2 - math.log1p(-u) / hazard, 36_500))
        left = begin - (begin - plan.start_ms) % DAY_MS + day * DAY_MS + int((9 + 13 * rng.random()) * HOUR_MS)
        how = "cancel" if cancels < 0.3 else "silent"
        back = left + int(away) if how == "silent" and returns < 0.25 else None
        fates.append(Fate(left, how, warn_ms=left - int(ahead) if warned_too < 0.6 else None, back_ms=back))
    if not fates:
        return Fate()
    fate = min(fates, key=lambda each: each.left_ms or 0)
    if fate.warn_ms is not None and fate.warn_ms < begin + 2 * DAY_MS:
        # Too early in the log for a decline that anybody could see.
        fate.warn_ms = None
    return fate
