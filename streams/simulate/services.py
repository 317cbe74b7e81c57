"""The services of the campus app: the tree of categories, the teams behind it and how well they work."""

from __future__ import annotations

import random
from dataclasses import dataclass

from streams.simulate.settings import pick, subseed

__all__ = ["CONTACT_CHANNELS", "SERVICES", "Desk", "Service", "wanted"]

CONTACT_CHANNELS = ("app", "web", "phone", "store", "social", "email")


@dataclass(frozen=True, slots=True)
class Service:
    """A leaf of the tree of categories.

    Parameters
    ----------
    category
        Path such as `network/wifi`.
    team
        Who handles it.
    hours
        Median time from acceptance to the solution, hours.
    on_site
        Probability that somebody has to come, 0 to 1.
    natures
        What requests about it are, most common first.
    demand
        Relative number of requests by segment: student, graduate, school staff, company staff.
    """

    category: str
    team: str
    hours: float
    on_site: float
    natures: tuple[str, ...]
    demand: tuple[float, float, float, float]


SERVICES = (
    Service("network/wifi", "it", 6, 0.25, ("fault", "consult"), (14, 10, 12, 2)),
    Service("network/wired", "it", 10, 0.4, ("fault",), (4, 3, 6, 0)),
    Service("account/login", "it", 2, 0, ("fault", "consult"), (9, 7, 9, 10)),
    Service("account/password", "it", 1, 0, ("consult",), (7, 5, 6, 8)),
    Service("housing/repair", "housing", 30, 0.7, ("fault", "report"), (12, 8, 3, 0)),
    Service("housing/move", "housing", 20, 0.1, ("consult", "claim"), (4, 10, 1, 0)),
    Service("library/loan", "library", 8, 0, ("consult", "claim"), (7, 5, 6, 0)),
    Service("library/seat", "library", 3, 0, ("consult", "report"), (8, 5, 1, 0)),
    Service("food/card", "campus_card", 5, 0.05, ("fault", "consult"), (11, 7, 7, 1)),
    Service("food/canteen", "campus_card", 18, 0, ("report", "consult"), (6, 4, 3, 0)),
    Service("career/internship", "career", 24, 0, ("consult",), (4, 12, 1, 14)),
    Service("career/posting", "career", 12, 0, ("consult", "fault"), (0, 0, 2, 22)),
    Service("study/grades", "registry", 20, 0, ("claim", "consult"), (6, 6, 7, 0)),
    Service("study/enrolment", "registry", 16, 0, ("consult",), (5, 3, 5, 0)),
    Service("payments/refund", "finance", 40, 0, ("claim",), (6, 5, 3, 5)),
    Service("payments/invoice", "finance", 16, 0, ("consult", "claim"), (2, 2, 6, 12)),
    Service("app/crash", "app", 14, 0, ("fault",), (7, 5, 5, 7)),
    Service("app/notification", "app", 9, 0, ("fault", "consult"), (4, 3, 3, 4)),
)
"""Every service; weights are this simulator's own choice, not measured on a campus."""

# Failing services that a campus would notice at once: category and the channel on which it shows.
FAILURES = (
    ("network/wifi", "app"),
    ("payments/refund", "web"),
    ("account/login", "app"),
    ("food/card", "store"),
    ("app/crash", "app"),
    ("housing/repair", "phone"),
)


class Desk:
    """The agents: who works in which team, and how often what they solved fails again.

    In every team one agent is clearly worse than the others, which scorecards should find.

    Parameters
    ----------
    seed
        The seed of the simulation.

    Examples
    --------
    >>> Desk(1).agents["it"][0]
    'it-01'
    """

    def __init__(self, seed: int) -> None:
        rng = random.Random(subseed(seed, "desk"))
        self.agents: dict[str, list[str]] = {}
        self.fails: dict[str, float] = {}
        for team in sorted({service.team for service in SERVICES}):
            names = [f"{team}-{number + 1:02d}" for number in range(4 + int(rng.random() * 4))]
            self.agents[team] = names
            for name in names:
                self.fails[name] = 0.05 + 0.08 * rng.random()
            self.fails[names[int(rng.random() * len(names))]] = 0.4

    def agent(self, rng: random.Random, team: str) -> str:
        """Somebody of the team."""
        names = self.agents[team]
        return names[int(rng.random() * len(names))]


BY_SEGMENT = {
    segment: [service.demand[number] for service in SERVICES]
    for number, segment in enumerate(("student", "graduate", "school_staff", "company_staff"))
}


def wanted(rng: random.Random, segment: str, part: str) -> Service:
    """The service that somebody of a segment turns to; in exam weeks library and grades more than else."""
    service = pick(rng, SERVICES, BY_SEGMENT[segment])
    if part == "exam" and segment == "student" and rng.random() < 0.25:
        return pick(rng, SERVICES[6:8] + SERVICES[12:13], (1, 2, 1))
    return service
