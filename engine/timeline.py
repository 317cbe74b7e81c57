"""The scene: the last traces of a customer, both sides, as an agent wants to see them."""

from __future__ import annotations

from typing import Any

import orjson

from engine.event import Event

__all__ = ["MAX_TRACES", "MIN_SERVICE", "Timeline"]

MAX_TRACES = 20
"""Traces kept per customer (design, section 6)."""

MIN_SERVICE = 10
"""Of which at least so many are of service, where there are that many."""

_SERVICE = frozenset(("request", "complaint", "suggestion", "feedback", "handling", "resolved", "outreach"))
_HIDDEN = frozenset(("profile", "override", "ack", "snooze", "retract", "link", "erase"))

# An entry: [ts, kind, category, channel, case_id, detail]; detail of a folded run of views is its length.


class Timeline:
    """The last traces, oldest first; runs of views are folded into one entry.

    Examples
    --------
    >>> timeline = Timeline()
    >>> for i in range(3):
    ...     _ = timeline.add(Event(f"e{i}", "c1", 1_000 + i, "view", channel="app"))
    >>> timeline.lines()
    ['[1002,"view",null,"app",null,3]']
    """

    __slots__ = ("entries",)

    def __init__(self, entries: list[list[Any]] | None = None) -> None:
        self.entries: list[list[Any]] = entries if entries is not None else []

    def add(self, event: Event) -> bool:
        """Put an event in its place; False if such events are not shown."""
        kind = event.kind
        if kind in _HIDDEN:
            return False
        entries = self.entries
        at = len(entries)
        while at and entries[at - 1][0] > event.ts:
            at -= 1
        if kind == "view" and at and entries[at - 1][1] == "view":
            entry = entries[at - 1]
            entry[0], entry[3], entry[5] = event.ts, event.channel, entry[5] + 1
            return True
        if kind == "view" and at < len(entries) and entries[at][1] == "view":
            # It came late and belongs to the run that goes on after it.
            entries[at][5] += 1
            return True
        entries.insert(at, [event.ts, kind, event.category, event.channel, event.case_id, _detail(event)])
        if len(entries) > MAX_TRACES:
            self._drop()
        return True

    def _drop(self) -> None:
        entries = self.entries
        n_service = sum(1 for e in entries if e[1] in _SERVICE)
        # With ten or fewer of service the oldest other trace goes; twenty entries cannot all be of service then.
        if n_service > MIN_SERVICE:
            del entries[0]
            return
        for i, entry in enumerate(entries):
            if entry[1] not in _SERVICE:
                del entries[i]
                return

    def scene(self, case_id: str | None, category: str | None) -> list[str]:
        """Lines of the traces of a case, else of a category, all channels and both sides; all if neither is known."""
        if case_id is not None:
            chosen = [e for e in self.entries if e[4] == case_id]
        elif category is not None:
            chosen = [e for e in self.entries if e[2] is not None and (e[2] + "/").startswith(category + "/")]
        else:
            chosen = self.entries
        return [orjson.dumps(e).decode() for e in chosen]

    def lines(self) -> list[str]:
        """Every entry as the board shows it."""
        return [orjson.dumps(e).decode() for e in self.entries]


def _detail(event: Event) -> str | float | int | None:
    if event.kind == "view":
        return 1
    if event.kind == "feedback":
        return event.score
    if event.kind == "purchase":
        return event.value
    detail = event.step or event.outcome or event.nature or event.action or event.campaign_id
    # An entry stays short: the board promises a bounded customer.
    return detail if detail is None or len(detail) <= 32 else detail[:31] + "~"
