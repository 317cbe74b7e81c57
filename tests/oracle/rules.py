"""The default rules in plain words: which events count, in which windows, and what matches what.

Written from `docs/rules.md` section 3 by hand and not read from the engine's rule file: a wrong number there must show.
Every window is in ms. `RuleSet` is a value, so that a test can run the same scans with windows of a few ms.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.oracle.intake import Trace

HOUR = 3_600_000
DAY = 24 * HOUR
UNKNOWN = "*"

Predicate = Callable[[Trace], bool]


@dataclass(frozen=True, slots=True)
class Tier:
    severity: str
    threshold: int
    window: int


@dataclass(frozen=True, slots=True)
class Count:
    """`level` is 0 for the leaf, n for the first n parts of the path, `None` for a flag per customer."""

    flag: str
    counts: Predicate
    level: int | None
    tiers: tuple[Tier, ...]
    answered: bool = False


@dataclass(frozen=True, slots=True)
class Groups:
    """One event of each of two groups, not both of one case."""

    flag: str
    first: Predicate
    second: Predicate
    level: int | None
    window: int


@dataclass(frozen=True, slots=True)
class Overdue:
    flag: str
    opens: Predicate
    answers: Predicate
    window: int
    expire: int


@dataclass(frozen=True, slots=True)
class Follows:
    flag: str
    before: Predicate
    after: Predicate
    window: int
    expire: int


@dataclass(frozen=True, slots=True)
class Composite:
    """Members must be counts or groups of the same rule set, which is all that the default rules need."""

    flag: str
    members: tuple[str, ...]
    hold: int


@dataclass(frozen=True, slots=True)
class Reading:
    """Where `docs/rules.md` can be read in two ways, which way is taken.

    Parameters
    ----------
    twins_across_groups
        A complaint and a low rating of one contact are one event of `mixed_dissatisfaction` (its first paragraph on
        twins says "per rule and category key"); else twins are looked for within each group.
    unknown_is_a_key
        An overdue complaint with category `*`, or a contact after a `resolved` with category `*` of the same case, has
        a flag of category `*`; else none.
    """

    twins_across_groups: bool = True
    unknown_is_a_key: bool = True


@dataclass(frozen=True, slots=True)
class RuleSet:
    counts: tuple[Count, ...]
    groups: tuple[Groups, ...]
    overdue: tuple[Overdue, ...]
    follows: tuple[Follows, ...]
    composites: tuple[Composite, ...]
    reading: Reading = Reading()


def kinds(*names: str) -> Predicate:
    return lambda trace: trace.kind in names


def low_rating(trace: Trace) -> bool:
    if trace.kind != "feedback":
        return False
    by_score = trace.score is not None and trace.score <= 2
    by_text = trace.sentiment is not None and trace.sentiment <= -0.6
    return by_score or by_text


def taken_up(trace: Trace) -> bool:
    """Somebody on our side did something about it."""
    return trace.kind in ("handling", "resolved") or (trace.kind == "outreach" and trace.outcome == "reached")


def category_key(category: str | None, level: int | None) -> str | None:
    """Category part of a key that has one (`level` not `None`); `None`: the event does not count.

    Examples
    --------
    >>> category_key("a/x", 0), category_key("a/x", 1), category_key("*", 1)
    ('a/x', 'a', None)
    """
    if category is None or category == UNKNOWN or level is None:
        return None
    return category if level == 0 else "/".join(category.split("/")[:level])


def matches(a: Trace, b: Trace) -> bool:
    """`b` is about the same thing as `a` (overdue and follows)."""
    for one in (a, b):
        if one.kind == "resolved" and one.category == UNKNOWN and one.case_id is None:
            return False
    if a.case_id is not None and b.case_id is not None:
        return a.case_id == b.case_id
    if a.category is not None and b.category is not None:
        return a.category == b.category and a.category != UNKNOWN
    return (a.case_id is None and a.category is None) or (b.case_id is None and b.category is None)


DEFAULT = RuleSet(
    counts=(
        Count(
            "repeat_request",
            kinds("request"),
            0,
            (Tier("burst", 2, 24 * HOUR), Tier("repeat", 3, 7 * DAY), Tier("chronic", 4, 30 * DAY)),
        ),
        Count("repeated_complaint", kinds("complaint"), 1, (Tier("", 2, 30 * DAY),)),
        Count("repeated_dissatisfaction", low_rating, 1, (Tier("", 2, 30 * DAY),)),
        Count("promotion_fatigue", kinds("promotion"), None, (Tier("", 5, 14 * DAY),), answered=True),
    ),
    groups=(Groups("mixed_dissatisfaction", kinds("complaint"), low_rating, 1, 14 * DAY),),
    overdue=(
        Overdue("unanswered", kinds("complaint"), taken_up, 24 * HOUR, 30 * DAY),
        Overdue("unresolved", kinds("complaint"), kinds("resolved"), 72 * HOUR, 30 * DAY),
        Overdue("not_activated", kinds("signup"), kinds("session", "view", "interact", "purchase"), 7 * DAY, 30 * DAY),
    ),
    follows=(Follows("failed_fix", kinds("resolved"), kinds("request", "complaint"), 7 * DAY, 7 * DAY),),
    composites=(
        Composite("sensitive", ("repeated_complaint", "repeated_dissatisfaction", "mixed_dissatisfaction"), 30 * DAY),
    ),
)
