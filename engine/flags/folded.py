"""Traces in event-time order over a base: the part that all machines of flags share."""

from __future__ import annotations

from bisect import bisect_left
from typing import Any, Protocol, Self

from engine.flags.status import Hold, Status

__all__ = ["MAX_ITEMS", "Fold", "FoldedState", "Item"]

MAX_ITEMS = 256
"""Most traces that one machine holds, whatever the lateness. Beyond it the oldest are folded into the base early, and
the machine says so (`capped`): an event older than those can then no longer be put exactly in its place."""

_CAP_SLACK = 64

Item = tuple[Any, ...]
"""A trace as a machine keeps it: (ts, event_id, role, contact or campaign or case, ..., gate); see each machine."""


class Fold(Protocol):
    """What traces leave behind, one step at a time. `step` must depend on the fold and the item alone.

    `holds` and `begun` (starts of episodes) are those of the steps since the fold was made or copied.
    """

    holds: list[Hold]
    begun: list[int]

    @property
    def asked(self) -> int:
        """The latest `tau` whose asking changed the fold, -1 if none did: an earlier step must start over."""

    def step(self, item: Item) -> None:
        """Take one trace, later in order than all before it."""

    def copy(self) -> Self:
        """An independent copy with no holds."""

    def surplus(self, items: list[Item], frozen: int) -> int:
        """How many of the oldest items may be let go; only items before `frozen` may."""

    def shrink(self, frozen: int) -> None:
        """Forget what no later step can need."""

    def encode(self) -> list[Any]:
        """Plain data for the codec."""

    def statuses(self, tau: int) -> list[tuple[str | None, Status]]:
        """What is up at `tau`, at or after the last step, by category."""

    def next_due(self, tau: int) -> int | None:
        """Earliest time >= tau after which a status differs although nothing came; `None` if never."""


class FoldedState:
    """One machine: `base` folded over `items` is `now`, always.

    Parameters
    ----------
    base
        Fold of the traces that were let go.
    items
        The newest traces in order of (ts, event id).
    capped
        Whether the bound on items ever bit.

    Attributes
    ----------
    fresh
        Starts of the episodes that the newest trace has brought to light.
    """

    __slots__ = ("absorbed", "base", "capped", "fresh", "items", "now")

    def __init__(self, base: Fold, items: list[Item] | None = None, capped: bool = False) -> None:
        self.base = base
        self.items: list[Item] = items if items is not None else []
        self.capped = capped
        self.absorbed: list[Hold] = []
        self.fresh: list[int] = []
        self.now: Fold = base
        self._refold()

    def add(self, item: Item, frozen: int) -> None:
        """Put a trace in its place and let go what is not needed any more."""
        items = self.items
        if (not items or item[:2] > items[-1][:2]) and item[0] >= self.now.asked:
            items.append(item)
            n_begun = len(self.now.begun)
            self.now.step(item)
            self.fresh = self.now.begun[n_begun:]
        else:
            items.insert(bisect_left(items, item[:2], key=_order), item)
            before = self.now.begun
            self._refold()
            self.fresh = [since for since in self.now.begun if since not in before]
        if items[0][0] < frozen or len(items) > MAX_ITEMS:
            self._trim(frozen)

    def remove(self, event_id: str) -> bool:
        """Take a trace out again; False if it is not among the items."""
        for i, item in enumerate(self.items):
            if item[1] == event_id:
                del self.items[i]
                self._refold()
                # What the trace before brought to light was counted when it came.
                self.fresh = []
                return True
        return False

    def has(self, event_id: str) -> bool:
        """Whether the trace is among the items."""
        return any(item[1] == event_id for item in self.items)

    @property
    def holds(self) -> list[Hold]:
        """The holds of the items, in order."""
        return self.now.holds

    def take_absorbed(self) -> list[Hold]:
        """Holds of traces that were let go since the last call; the composites keep them."""
        absorbed, self.absorbed = self.absorbed, []
        return absorbed

    def _trim(self, frozen: int) -> None:
        n = self.base.surplus(self.items, frozen)
        if len(self.items) - n > MAX_ITEMS:
            n = len(self.items) - MAX_ITEMS + _CAP_SLACK
            self.capped = True
        if n == 0:
            return
        for item in self.items[:n]:
            self.base.step(item)
        del self.items[:n]
        self.base.shrink(frozen)
        self.absorbed += self.base.holds
        self.base.holds = []
        self._refold()

    def _refold(self) -> None:
        now = self.base.copy()
        for item in self.items:
            now.step(item)
        self.now = now


def _order(item: Item) -> Item:
    return item[:2]
