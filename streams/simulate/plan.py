"""What happens to the whole campus: incidents, campaigns, and the accounts of schools and companies."""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from streams.simulate.services import FAILURES, Desk
from streams.simulate.settings import DAY_MS, SimulationSettings, pick, subseed, uniform

__all__ = ["Account", "Campaign", "Incident", "Plan"]

HOUR_MS = 3_600_000


@dataclass(frozen=True, slots=True)
class Incident:
    """A service that failed for a while.

    Parameters
    ----------
    name
        `incident-1`, `incident-2`, ...
    category, channel
        What failed and where most people noticed.
    from_ms, to_ms
        When, ms; both ends belong to it.
    reach
        Share of the people around who contact somebody because of it.
    """

    name: str
    category: str
    channel: str
    from_ms: int
    to_ms: int
    reach: float

    def row(self) -> dict[str, Any]:
        """The incident as a line of the ground truth."""
        return {
            "type": "incident",
            "incident": self.name,
            "category": self.category,
            "channel": self.channel,
            "from": self.from_ms,
            "to": self.to_ms,
        }


@dataclass(frozen=True, slots=True)
class Campaign:
    """A promotion that goes to many people at one time.

    Parameters
    ----------
    campaign_id
        What answers carry.
    at_ms
        When it goes out, ms; people get it within minutes of it.
    category, channel
        What it is about and how it comes.
    reach
        Share of the customers who get it, 0 to 1.
    """

    campaign_id: str
    at_ms: int
    category: str
    channel: str
    reach: float


@dataclass(frozen=True, slots=True)
class Account:
    """A school or company whose staff use the app under one contract.

    Parameters
    ----------
    account_id
        `school-03`, `company-17`.
    owner
        The account manager.
    due_ms
        When the contract is due, ms; `None`: not within the log.
    lapses
        Whether it is not renewed; then all its people leave.
    warned
        Whether its people use the app less and less before.
    """

    account_id: str
    owner: str
    due_ms: int | None
    lapses: bool
    warned: bool


class Plan:
    """Everything of a campus that no single customer decides; it only depends on the settings.

    Parameters
    ----------
    settings
        Seed, start, days and incidents count.

    Examples
    --------
    >>> plan = Plan(SimulationSettings(incidents=2))
    >>> [incident.name for incident in plan.incidents]
    ['incident-1', 'incident-2']
    """

    def __init__(self, settings: SimulationSettings) -> None:
        self.settings = settings
        self.seed = settings.seed
        self.start_ms = settings.start_ms
        self.end_ms = settings.end_ms
        self.desk = Desk(settings.seed)
        self.incidents = _incidents(settings)
        self.campaigns = _campaigns(settings)

    def account(self, segment: str, rng: random.Random) -> Account | None:
        """The account of somebody of a segment; `None` for people who come for themselves."""
        if segment not in ("school_staff", "company_staff"):
            return None
        stem, count = ("school", 8) if segment == "school_staff" else ("company", 30)
        # Squared: a few large accounts and many small ones.
        number = int(rng.random() ** 2 * count) + 1
        return self.named_account(f"{stem}-{number:02d}")

    def named_account(self, account_id: str) -> Account:
        """The account of that id, always with the same contract."""
        rng = random.Random(subseed(self.seed, "account", account_id))
        # One contract a year, due on a working morning that is anywhere in it.
        due = self.start_ms + int(rng.random() * 365) * DAY_MS + 10 * HOUR_MS
        lapses = rng.random() < (0.15 if account_id.startswith("company") else 0.05)
        warned = rng.random() < 0.6
        owner = f"owner-{int(rng.random() * 5) + 1}"
        # Three weeks of log before, or nobody could have seen it coming.
        seen = self.start_ms + 20 * DAY_MS <= due < self.end_ms
        return Account(account_id, owner, due if seen else None, lapses and seen, warned)

    def date_of(self, ts: int) -> date:
        """The local date of a time of the log."""
        return self.settings.start + timedelta(days=(ts - self.start_ms) // DAY_MS)

    def office(self, ts: int) -> int:
        """`ts`, or the next morning at eight if the desks are closed then (20:00 to 8:00, local)."""
        local = (ts - self.start_ms) % DAY_MS
        if local < 8 * HOUR_MS:
            return ts - local + 8 * HOUR_MS + local // 8
        if local >= 20 * HOUR_MS:
            return ts - local + DAY_MS + 8 * HOUR_MS + (local - 20 * HOUR_MS) // 8
        return ts


def _incidents(settings: SimulationSettings) -> list[Incident]:
    rng = random.Random(subseed(settings.seed, "incidents"))
    failures = list(FAILURES)
    found = []
    for number in range(settings.incidents):
        category, channel = failures.pop(int(rng.random() * len(failures)))
        # Spread over the log, away from its ends, so that there is a normal to compare with on both sides.
        share = (number + 0.6 + 0.5 * rng.random()) / (settings.incidents + 0.6)
        morning = int(share * settings.days) * DAY_MS + int(8 + 4 * rng.random()) * HOUR_MS
        hours = min(12 + 36 * rng.random(), 6.0 * settings.days)
        begin = settings.start_ms + min(morning, (settings.days - 1) * DAY_MS + 9 * HOUR_MS)
        end = min(begin + int(hours * HOUR_MS), settings.end_ms - 1)
        name = f"incident-{number + 1}"
        found.append(Incident(name, category, channel, begin, end, 0.1 + 0.08 * rng.random()))
    return found


def _campaigns(settings: SimulationSettings) -> dict[int, list[Campaign]]:
    """Campaigns by day number: one on about every fifth day."""
    subjects = ("career/fair", "food/offer", "library/event", "housing/offer", "study/course", "app/news")
    found: dict[int, list[Campaign]] = {}
    for number in range(settings.days):
        if uniform(settings.seed, "campaign", number) >= 0.2:
            continue
        rng = random.Random(subseed(settings.seed, "campaign", number, "what"))
        subject = subjects[int(rng.random() * len(subjects))]
        at = settings.start_ms + number * DAY_MS + (10 * HOUR_MS if rng.random() < 0.6 else 18 * HOUR_MS)
        channel = pick(rng, ("app", "sms", "email"), (5, 2, 3))
        name = f"{subject.replace('/', '-')}-{number:04d}"
        found[number] = [Campaign(name, at, subject, channel, 0.15 + 0.6 * rng.random())]
    return found
