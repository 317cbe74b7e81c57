"""Variants side by side: who enters and leaves each flag, how much it rings, and how often it is right."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, isfinite
from typing import NamedTuple

from engine.duration import DAY_MS
from engine.rules import RuleSet
from streams.whatif.judgement import OUTCOMES, Figures, Judge, Money, Net
from streams.whatif.past import Past
from streams.whatif.tally import FirstRaise, FlagTally, Tally, Traffic

__all__ = ["Comparison", "FlagResult", "PerDay", "RouteResult", "Variant", "VariantResult", "compare"]


@dataclass(frozen=True, slots=True)
class Variant:
    """One set of rules that is tried.

    Parameters
    ----------
    name
        What people call it.
    rules
        The rules.
    value
        Of a sweep, the value that it stands for; else `None`.
    """

    name: str
    rules: RuleSet
    value: int | float | str | None = None


class PerDay(NamedTuple):
    """Messages per day of event time (UTC), over all days of the log: total, mean, 95th percentile, largest."""

    total: int
    mean: float
    p95: int
    most: int

    @classmethod
    def of(cls, days: Mapping[int, int], n_days: int) -> PerDay:
        """Of the days that have messages, among so many.

        Examples
        --------
        >>> PerDay.of({3: 5, 9: 1}, 3)
        PerDay(total=6, mean=2.0, p95=5, most=5)
        """
        total = sum(days.values())
        n_days = max(n_days, len(days), 1)
        sizes = sorted(days.values())
        # Nearest rank; the days without a message come first.
        place = ceil(0.95 * n_days) - 1 - (n_days - len(sizes))
        return cls(total, total / n_days, sizes[place] if place >= 0 and sizes else 0, max(sizes, default=0))


@dataclass(frozen=True, slots=True)
class FlagResult:
    """One flag under a variant.

    Parameters
    ----------
    raised, customers
        Raised episodes, and customers with at least one.
    enter
        Customer id -> first raise under the variant, of those never raised under the current rules; in order of the id.
    leave
        Customer id -> first raise under the current rules, of those never raised under the variant.
    delivered, held
        Its messages that would disturb a person: shown, and held back.
    outcomes
        Outcome -> how often it followed.
    net
        Cost against value; `None` without the user's figures.
    """

    raised: int
    customers: int
    enter: dict[str, FirstRaise]
    leave: dict[str, FirstRaise]
    delivered: PerDay
    held: PerDay
    outcomes: dict[str, Figures]
    net: Net | None


class RouteResult(NamedTuple):
    """The messages of an agent, team or queue; `route` is empty where nobody is known."""

    route: str
    delivered: PerDay
    held: PerDay


@dataclass(frozen=True, slots=True)
class VariantResult:
    """What a variant came to.

    Parameters
    ----------
    variant
        Which one.
    flags
        Flag -> result, of all flags of this variant or of the current rules.
    delivered, held
        Messages of all flags, contacts of sensitive customers too.
    routes
        Busiest first.
    held_reasons
        Why -> messages held.
    net
        Of all flags together; `None` without the user's figures.
    seconds
        How long its replay took.
    """

    variant: Variant
    flags: dict[str, FlagResult]
    delivered: PerDay
    held: PerDay
    routes: list[RouteResult]
    held_reasons: dict[str, int]
    net: Net | None
    seconds: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that was found.

    Parameters
    ----------
    now
        The current rules.
    new
        The others, in the order in which they were given; those of a sweep last.
    swept
        What a sweep varies, such as `flags.churn_risk.raise`; empty without one.
    sources
        Names of the files, or the topic.
    n_records, n_customers
        Of the log; customers who did or said something of their own.
    begin, end
        First and last event, ms; 0 without any.
    after, horizon
        Within what time an outcome counts, and the churn horizon, ms.
    active
        Mean number of active customers a day.
    money
        The user's figures.
    """

    now: VariantResult
    new: list[VariantResult]
    swept: str
    sources: list[str]
    n_records: int
    n_customers: int
    begin: int
    end: int
    after: int
    horizon: int
    active: float
    money: Money | None = None
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def flags(self) -> list[str]:
        """All flags of any variant, in the order of the rules."""
        names: dict[str, None] = {}
        for result in (self.now, *self.new):
            names |= dict.fromkeys(result.flags)
        return list(names)

    @property
    def compared(self) -> list[VariantResult]:
        """The new variants that are no part of a sweep; the first of a sweep where there are no others."""
        return [each for each in self.new if each.variant.value is None] or self.new[:1]

    @property
    def points(self) -> list[VariantResult]:
        """The variants of the sweep, in its order."""
        return [each for each in self.new if each.variant.value is not None]


def compare(
    variants: Sequence[Variant],
    tallies: Sequence[Tally],
    past: Past,
    *,
    after: int,
    money: Money | None = None,
    swept: str = "",
    sources: Sequence[str] = (),
) -> Comparison:
    """Set variants side by side.

    Parameters
    ----------
    variants
        The current rules first.
    tallies
        What each came to.
    past
        What became of the customers.
    after
        Within what time an outcome counts, ms.
    money
        The user's figures.
    swept, sources
        For people who read it.
    """
    judge = Judge(past, after)
    empty = not isfinite(past.end)
    begin, end = (0, 0) if empty else (int(past.begin), int(past.end))
    n_days = end // DAY_MS - begin // DAY_MS + 1
    results = []
    for variant, tally in zip(variants, tallies, strict=True):
        flags = list(dict.fromkeys((*variants[0].rules.names(), *variant.rules.names())))
        results.append(
            VariantResult(
                variant,
                {flag: _flag(flag, tally, tallies[0], judge, money, n_days) for flag in flags},
                PerDay.of(tally.total.delivered, n_days),
                PerDay.of(tally.total.held, n_days),
                _routes(tally.routes, n_days),
                dict(sorted(tally.reasons.items())),
                None if money is None else judge.net(tally, flags, money),
                tally.seconds,
            )
        )
    first = tallies[0]
    active = judge.base.active
    return Comparison(
        now=results[0],
        new=results[1:],
        swept=swept,
        sources=list(sources),
        n_records=first.n_read,
        n_customers=len(past.stories),
        begin=begin,
        end=end,
        after=after,
        horizon=past.horizon,
        active=sum(active) / len(active) if active else 0.0,
        money=money,
        counts={"read": first.n_read, "duplicate": first.n_duplicate, "late": first.n_late, "dead": first.n_dead},
    )


def _flag(flag: str, tally: Tally, now: Tally, judge: Judge, money: Money | None, n_days: int) -> FlagResult:
    own = tally.flags.get(flag) or FlagTally()
    mine, theirs = (tally.raised(flag), now.raised(flag)) if tally is not now else ({}, {})
    return FlagResult(
        raised=len(own.raised_at),
        customers=len(own.first),
        enter={name: mine[name] for name in sorted(mine.keys() - theirs.keys())},
        leave={name: theirs[name] for name in sorted(theirs.keys() - mine.keys())},
        delivered=PerDay.of(own.traffic.delivered, n_days),
        held=PerDay.of(own.traffic.held, n_days),
        outcomes={outcome: judge.figures(tally, own, outcome) for outcome in OUTCOMES},
        net=None if money is None else judge.net(tally, [flag], money),
    )


def _routes(routes: Mapping[str, Traffic], n_days: int) -> list[RouteResult]:
    found = [
        RouteResult(route, PerDay.of(traffic.delivered, n_days), PerDay.of(traffic.held, n_days))
        for route, traffic in routes.items()
    ]
    return sorted(found, key=lambda each: (-each.delivered.total, -each.held.total, each.route))
