"""What was found to differ: counts of everything, details of some, and the first of all."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

__all__ = ["Details", "Difference", "First", "Gap", "Numbers"]


@dataclass(slots=True)
class Gap:
    """How far a score is apart.

    Parameters
    ----------
    compared
        Pairs that both have it.
    differ
        Pairs of other values.
    missing
        Pairs of which one has none.
    largest
        Largest distance.
    """

    compared: int = 0
    differ: int = 0
    missing: int = 0
    largest: float = 0.0
    total: float = 0.0

    def take(self, a: float | None, b: float | None) -> bool:
        """Count a pair; whether it differs."""
        if a is None or b is None:
            self.missing += a is not b
            return a is not b
        self.compared += 1
        if a == b:
            return False
        self.differ += 1
        distance = abs(a - b)
        self.largest = max(self.largest, distance)
        self.total += distance
        return True

    def told(self) -> dict[str, Any]:
        """For `--json`; `mean` is over all pairs that both have it."""
        return {
            "compared": self.compared,
            "differ": self.differ,
            "missing": self.missing,
            "max": self.largest,
            "mean": self.total / self.compared if self.compared else 0.0,
        }


@dataclass(slots=True)
class Numbers:
    """How many of something each side has.

    Parameters
    ----------
    a, b
        Of each side.
    only_a, only_b
        That the other side has not.
    differing
        That both have, and not the same.
    """

    a: int = 0
    b: int = 0
    only_a: int = 0
    only_b: int = 0
    differing: int = 0

    @property
    def equal(self) -> bool:
        """Whether nothing differs."""
        return not (self.only_a or self.only_b or self.differing)


@dataclass(frozen=True, slots=True)
class First:
    """The earliest difference that the outputs show.

    Parameters
    ----------
    at
        Event time, ms.
    what
        `prediction`, `alert`, or `flag` where alerts were not compared.
    side
        `a` or `b` where only one run has it, else `both`.
    customer_id
        Whose.
    events
        Ids of the events that made it; for an alert or a flag its evidence.
    flag
        Field of the flag, of an alert or a flag.
    op
        Of an alert.
    """

    at: int
    what: str
    side: str
    customer_id: str
    events: tuple[str, ...]
    flag: str | None = None
    op: str | None = None

    @property
    def order(self) -> tuple[int, int, str, str, str]:
        """Sorts by time; of one time a prediction first, which was made by the very event."""
        rank = ("prediction", "alert", "flag").index(self.what)
        return self.at, rank, self.customer_id, self.flag or "", self.op or ""


@dataclass(slots=True)
class Details:
    """The first so many of something, by a sort key.

    Parameters
    ----------
    limit
        Most that are kept.
    """

    limit: int
    kept: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    seen: int = 0

    def add(self, key: Any, fact: dict[str, Any]) -> None:
        """Keep a fact if it is among the first; of one key the earlier stays."""
        self.seen += 1
        self.kept.append((key, fact))
        if len(self.kept) > 4 * self.limit + 64:
            self._cut()

    def told(self) -> list[dict[str, Any]]:
        """The first ones, in order."""
        self._cut()
        return [fact for _, fact in self.kept]

    def _cut(self) -> None:
        self.kept.sort(key=lambda each: each[0])
        del self.kept[self.limit :]


@dataclass(slots=True)
class Difference:
    """All that differs between two runs.

    Parameters
    ----------
    limit
        Most details of each kind.
    """

    limit: int = 20
    compared: tuple[str, ...] = ()
    customers: Numbers = field(default_factory=Numbers)
    flags: dict[str, Counter[str]] = field(default_factory=dict)
    scores: dict[str, Gap] = field(default_factory=dict)
    facts: Counter[str] = field(default_factory=Counter)
    alerts: Numbers = field(default_factory=Numbers)
    alert_fields: Counter[str] = field(default_factory=Counter)
    alert_flags: dict[str, Counter[str]] = field(default_factory=dict)
    alerts_out_of_order: int = 0
    alerts_unknown: int = 0
    predictions: Numbers = field(default_factory=Numbers)
    prediction_scores: dict[str, Gap] = field(default_factory=dict)
    first: First | None = None
    details: dict[str, Details] = field(init=False)

    def __post_init__(self) -> None:
        self.details = {name: Details(self.limit) for name in ("customers", "alerts", "predictions")}

    @property
    def equal(self) -> bool:
        """Whether the runs say the same in everything that was compared."""
        numbers = (self.customers, self.alerts, self.predictions)
        return all(each.equal for each in numbers) and not self.alerts_out_of_order

    def earlier(self, found: First) -> None:
        """Keep the earliest."""
        if self.first is None or found.order < self.first.order:
            self.first = found

    def told(self) -> dict[str, Any]:
        """For `--json`, see docs/diff.md."""
        return {
            "equal": self.equal,
            "compared": list(self.compared),
            "customers": asdict(self.customers),
            "flags": {flag: dict(sorted(counts.items())) for flag, counts in sorted(self.flags.items())},
            "scores": {name: gap.told() for name, gap in self.scores.items()},
            "facts": dict(sorted(self.facts.items())),
            "alerts": {
                **asdict(self.alerts),
                "out_of_order": self.alerts_out_of_order,
                "not_compared": self.alerts_unknown,
                "fields": dict(sorted(self.alert_fields.items())),
                "flags": {flag: dict(sorted(counts.items())) for flag, counts in sorted(self.alert_flags.items())},
            },
            "predictions": {
                **asdict(self.predictions),
                "scores": {name: gap.told() for name, gap in self.prediction_scores.items()},
            },
            "first": None if self.first is None else asdict(self.first),
            "details": {name: details.told() for name, details in self.details.items()},
        }
