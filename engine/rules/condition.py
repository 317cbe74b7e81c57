"""Conditions of a rule's `where`: on an event's own fields, or on the customer's own state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from engine.event import Event

__all__ = ["CUSTOMER_FIELDS", "EVENT_FIELDS", "Condition", "CustomerState", "Scalar"]

Scalar = str | int | float | bool

EVENT_FIELDS = frozenset(
    "category channel touchpoint case_id agent_id team nature score sentiment value action outcome step wait_s "
    "campaign_id referred_by account_id reason by".split()
)
"""Event fields that `where` may name."""

CUSTOMER_FIELDS = frozenset(("segment", "stage"))
"""Fields of the customer's own state that `where` may name, beside `attributes.<name>`."""


class CustomerState(Protocol):
    """What gates may ask of a customer: descriptive facts and where they stand."""

    attributes: dict[str, Scalar]

    @property
    def segment(self) -> str | None:
        """The customer's segment, `None` when unknown."""

    @property
    def stage(self) -> str | None:
        """The customer's life stage, `None` when unknown."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition; a field that is missing satisfies none but `absent`.

    Parameters
    ----------
    field
        An event field, `segment`, `stage` or `attributes.<name>`.
    one_of
        Values of which it must be one; empty: not asked.
    none_of
        Values of which it must be none.
    at_least, at_most
        Bounds of a number, both included.

    Examples
    --------
    >>> low = Condition("score", at_most=2)
    >>> low.holds_for(Event("e1", "c1", 0, "feedback", category="billing", score=2))
    True
    >>> low.holds_for(Event("e1", "c1", 0, "feedback", category="billing", sentiment=-1))
    False
    """

    field: str
    one_of: tuple[Scalar, ...] = ()
    none_of: tuple[Scalar, ...] = ()
    at_least: float | None = None
    at_most: float | None = None

    @property
    def about_customer(self) -> bool:
        """Whether it asks the customer's own state rather than the event."""
        return self.field in CUSTOMER_FIELDS or self.field.startswith("attributes.")

    def holds_for(self, event: Event) -> bool:
        """Whether the event's own field satisfies it."""
        return self._holds(getattr(event, self.field))

    def holds_for_customer(self, state: CustomerState) -> bool:
        """Whether the customer's own state satisfies it."""
        if self.field.startswith("attributes."):
            return self._holds(state.attributes.get(self.field[len("attributes.") :]))
        return self._holds(getattr(state, self.field))

    def _holds(self, value: Scalar | None) -> bool:
        if value is None:
            return False
        if self.one_of and value not in self.one_of:
            return False
        if self.none_of and value in self.none_of:
            return False
        if self.at_least is None and self.at_most is None:
            return True
        if isinstance(value, str):
            return False
        return (self.at_least is None or value >= self.at_least) and (self.at_most is None or value <= self.at_most)
