"""The configuration of the service desk: routes, priorities, caps and guidance as data (desk.toml)."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

import orjson

from engine.desk.reading import DeskReader
from engine.duration import DAY_MS, MINUTE_MS
from engine.errors import ConfigurationError

__all__ = ["Cap", "Desk", "Guidance", "IncidentRule", "Tier"]


@dataclass(frozen=True, slots=True)
class Cap:
    """At most `n` messages in any `window_ms` of lane clock."""

    n: int
    window_ms: int


@dataclass(frozen=True, slots=True)
class Tier:
    """A value tier: customers whose money or whose fact `attribute` says so; moves the priority by `step`."""

    name: str
    step: int
    min_value: float | None = None
    attribute: str = ""
    equals: str = ""


@dataclass(frozen=True, slots=True)
class Guidance:
    """What to say and what not to, for a flag, perhaps only in a category or segment.

    Parameters
    ----------
    key
        Id, as alerts name it.
    flag, category, segment
        Where it holds; empty: everywhere. A category holds for all below it.
    say, avoid
        Language (`en`, `zh`) -> text.
    """

    key: str
    flag: str
    category: str
    segment: str
    say: Mapping[str, str]
    avoid: Mapping[str, str]

    def text(self) -> str:
        """The JSON that the board has of it."""
        return orjson.dumps({"say": dict(self.say), "avoid": dict(self.avoid)}).decode()


@dataclass(frozen=True, slots=True)
class IncidentRule:
    """When many customers at once are an incident; see `engine.incident`."""

    min_customers: int = 10
    max_chance: float = 1e-6
    min_history_ms: int = 7 * DAY_MS
    settle_ms: int = 2 * MINUTE_MS


@dataclass(frozen=True, slots=True)
class Desk:
    r"""A validated desk.toml.

    Parameters
    ----------
    text
        The TOML it was read from.
    version
        First 12 hex digits of its SHA-256.
    categories
        Category -> route, for alerts that name nobody; holds for all below it.
    owners
        Category or channel -> route of its incidents.
    queues
        Channel -> route, in the place of `queue:<channel>`.
    agents
        Agent id -> team, for the caps.
    severity_steps
        Severity -> by how much it moves the priority; negative is more urgent.
    tiers
        The first that fits counts.
    customer_cap, team_cap
        Most messages that people are shown.
    waiting_ms
        Each full such time of waiting lifts an alert by one priority, in a reader.
    guidance
        In the file's order.
    incident
        When many customers at once are an incident.

    Examples
    --------
    >>> desk = Desk.parse('version = 1\n[queues]\nphone = "team:first-line"\n', "desk.toml")
    >>> desk.route("queue:phone", None), desk.route("agent:a7", "network")
    ('team:first-line', 'agent:a7')
    """

    text: str
    version: str
    categories: Mapping[str, str]
    owners: Mapping[str, str]
    queues: Mapping[str, str]
    agents: Mapping[str, str]
    severity_steps: Mapping[str, int]
    tiers: tuple[Tier, ...]
    customer_cap: Cap
    team_cap: Cap
    waiting_ms: int
    guidance: tuple[Guidance, ...] = ()
    incident: IncidentRule = field(default_factory=IncidentRule)

    @classmethod
    def parse(cls, text: str, source: str = "desk.toml") -> Desk:
        """Read and validate a file; tables that are missing are empty, numbers that are missing the built-in ones.

        Raises
        ------
        RulesError
            With file, line and field; nothing of the file is used then.
        """
        reader = DeskReader(text, source)
        incident = reader.incident()
        return cls(
            text,
            hashlib.sha256(text.encode()).hexdigest()[:12],
            reader.mapping("categories"),
            reader.mapping("owners"),
            reader.mapping("queues"),
            reader.mapping("agents"),
            reader.steps(),
            tuple(Tier(**each) for each in reader.tiers()),
            Cap(*reader.cap("customer")),
            Cap(*reader.cap("team")),
            reader.waiting(),
            tuple(Guidance(**each) for each in reader.guidance()),
            IncidentRule(**incident),
        )

    @classmethod
    @cache
    def default(cls) -> Desk:
        """The built-in desk."""
        return cls.parse(files("engine.desk").joinpath("default.toml").read_text("utf-8"), "desk.toml")

    def check_lanes(self, lanes: int) -> None:
        """Refuse a team's cap that cannot be shared out among the lanes.

        Raises
        ------
        ConfigurationError
            If some lane would never show anything.
        """
        if self.team_cap.n < lanes:
            raise ConfigurationError(
                f"caps.team.n: expected at least the number of lanes ({lanes}), each of which has its share of it, "
                f"got {self.team_cap.n}; take a longer window with a larger n"
            )

    def share(self, lane: int, lanes: int) -> int:
        r"""A lane's share of a team's cap; the shares of all lanes add up to it.

        Examples
        --------
        >>> desk = Desk.parse('version = 1\n[caps]\nteam = { n = 20, window = "1min" }\n')
        >>> [desk.share(lane, 8) for lane in range(8)]
        [3, 3, 3, 3, 2, 2, 2, 2]
        """
        return self.team_cap.n // lanes + (lane < self.team_cap.n % lanes)

    def texts(self) -> dict[str, str]:
        """The guidance as the board has it: id -> JSON."""
        return {each.key: each.text() for each in self.guidance}

    def route(self, source: str, category: str | None) -> str:
        """To whom, from what the log says of it: renamed queues, and the category's team where nobody is named."""
        if source.startswith("queue:"):
            return self.queues.get(source.removeprefix("queue:"), source)
        return source or _longest(self.categories, category)

    def owner(self, dimension: str, value: str) -> str:
        """Who is told of an incident in a `category` or `channel`; empty when nobody is named."""
        if dimension == "category":
            return _longest(self.owners, value) or _longest(self.categories, value)
        return self.owners.get(value, "") or self.queues.get(value, "")

    def team(self, route: str, named: str | None) -> str:
        """Whose cap a message is under."""
        if named is not None:
            return f"team:{named}"
        if route.startswith("agent:"):
            team = self.agents.get(route.removeprefix("agent:"))
            return route if team is None else f"team:{team}"
        return route

    def tier(self, value: float, attributes: Mapping[str, Any]) -> Tier | None:
        """The value tier of a customer, from money spent (major units) and descriptive facts."""
        for tier in self.tiers:
            if tier.attribute:
                if str(attributes.get(tier.attribute)) == tier.equals:
                    return tier
            elif tier.min_value is not None and value >= tier.min_value:
                return tier
        return None

    def guide(self, flag: str, category: str | None, segment: str | None) -> str:
        """Id of the most specific guidance, or empty."""
        best, rank = "", (-1, -1, -1)
        for each in self.guidance:
            if each.flag not in ("", flag) or each.segment not in ("", segment):
                continue
            if each.category and not _is_under(category, each.category):
                continue
            its = (int(bool(each.flag)), each.category.count("/") + 1 if each.category else 0, int(bool(each.segment)))
            if its > rank:
                best, rank = each.key, its
        return best


def _is_under(category: str | None, above: str) -> bool:
    return category is not None and (category == above or category.startswith(f"{above}/"))


def _longest(table: Mapping[str, str], category: str | None) -> str:
    while category:
        if category in table:
            return table[category]
        category = category.rpartition("/")[0]
    return ""
