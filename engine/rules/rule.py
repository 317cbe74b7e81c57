"""The shapes of rules as plain values; `engine.rules.parse` makes them, `engine.flags` runs them.

Every duration is in milliseconds of event time.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.event import Event
from engine.rules.condition import Condition, CustomerState

__all__ = [
    "AllRule",
    "CompositeRule",
    "CountRule",
    "FollowsRule",
    "Group",
    "GroupsRule",
    "Matcher",
    "OverdueRule",
    "Reset",
    "Rule",
    "ScoreRule",
    "Tier",
    "category_key",
]


def category_key(category: str | None, level: int) -> str | None:
    """The part of a category path that a rule groups by, or `None` when it is unknown.

    Parameters
    ----------
    category
        Path of the event; `*` and `None` are unknown.
    level
        Number of leading parts; 0 means the whole path (`leaf`).

    Examples
    --------
    >>> category_key("network/wifi", 1), category_key("network/wifi", 0), category_key("*", 0)
    ('network', 'network/wifi', None)
    """
    if category is None or category == "*":
        return None
    if level == 0:
        return category
    return "/".join(category.split("/", level)[:level])


@dataclass(frozen=True, slots=True)
class Matcher:
    """Which events are meant: one of `kinds`, with all of `conditions`."""

    kinds: frozenset[str]
    conditions: tuple[Condition, ...] = ()

    def matches(self, event: Event) -> bool:
        """Whether the event is one of those meant (its kind was checked by the caller's index or is checked here)."""
        return event.kind in self.kinds and all(c.holds_for(event) for c in self.conditions)


@dataclass(frozen=True, slots=True)
class Tier:
    """`threshold` events within `window_ms`, of a `severity`."""

    severity: str
    threshold: int
    window_ms: int


@dataclass(frozen=True, slots=True)
class Group:
    """One of several counts that must hold together."""

    events: tuple[Matcher, ...]
    threshold: int


@dataclass(frozen=True, slots=True)
class Reset:
    """Events that start a count again.

    Parameters
    ----------
    events
        Which events can be resets.
    campaign
        `same`: only if its `campaign_id` is that of a counted event within the window; `none`: only if a counted
        event within the window has no `campaign_id`; empty: always.
    """

    events: tuple[Matcher, ...]
    campaign: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """What all shapes share.

    Parameters
    ----------
    name
        Name of the flag.
    priority
        1 (look at it first) to 5; for queues.
    gates
        Conditions on the customer's own state that must hold at the event that raises the flag.
    inhibited_by
        Flags of the same customer that, while up, keep messages about this one from people.
    """

    name: str
    priority: int
    gates: tuple[Condition, ...]
    inhibited_by: tuple[str, ...]

    def gate(self, state: CustomerState) -> bool:
        """Whether the customer's own state lets the flag be raised now."""
        return all(c.holds_for_customer(state) for c in self.gates)


@dataclass(frozen=True, slots=True)
class CountRule(Rule):
    """At least `threshold` events within a window. `level`: 0 leaf, n first parts, -1 per customer."""

    events: tuple[Matcher, ...]
    level: int
    tiers: tuple[Tier, ...]
    resets: tuple[Reset, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupsRule(Rule):
    """Several counts that must hold together within one window."""

    groups: tuple[Group, ...]
    level: int
    window_ms: int
    severity: str
    distinct_case: bool = False


@dataclass(frozen=True, slots=True)
class OverdueRule(Rule):
    """An event A that no event B follows within the window."""

    first: tuple[Matcher, ...]
    then: tuple[Matcher, ...]
    window_ms: int
    expire_ms: int
    severity: str


@dataclass(frozen=True, slots=True)
class FollowsRule(Rule):
    """An event B within the window after an event A."""

    first: tuple[Matcher, ...]
    then: tuple[Matcher, ...]
    window_ms: int
    expire_ms: int
    severity: str


@dataclass(frozen=True, slots=True)
class ScoreRule(Rule):
    """A model score that crosses `raise_at` and comes back over `clear_at`.

    Parameters
    ----------
    score
        `churn` or `engagement`.
    below
        False: high is bad, up at `score >= raise_at`, down at `score < clear_at`. True: low is bad, up at
        `score < raise_at`, down at `score > clear_at`.
    own
        Compare with the customer's own normal (the ratio score / normal) instead of the plain score.
    hold_ms
        The flag stays up at least so long.
    own_silence
        Raise only while silence is at least the customer's own median gap (where that is known).
    expected_end
        Raise only while the customer does not leave as expected.
    """

    score: str
    raise_at: float
    clear_at: float
    hold_ms: int
    severity: str
    below: bool = False
    own: bool = False
    own_silence: bool = False
    expected_end: bool = False


@dataclass(frozen=True, slots=True)
class CompositeRule(Rule):
    """Any of the named flags, held for `hold_ms` after the newest event that raised or held up one of them."""

    any_of: tuple[str, ...]
    hold_ms: int
    severity: str


@dataclass(frozen=True, slots=True)
class AllRule(Rule):
    """All of the named flags at once: up while each of them is up (in any category)."""

    all_of: tuple[str, ...]
    severity: str
