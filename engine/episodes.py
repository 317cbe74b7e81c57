"""What consumers have been told about each flag, and what they must be told now.

An episode is the time a flag stays up; it has one alert id, that of the event or timer which first raised it.
Comparing what
was told with what a flag is now gives the operations: `raise`, `update`, `clear`. A consumer that folds them by alert
id has exactly the flags that are up.
"""

from __future__ import annotations

from typing import Any, Self

from engine.alert import alert_id
from engine.duration import HOUR_MS
from engine.flags.status import Status

__all__ = ["UPDATE_EVERY_MS", "Episode", "Episodes", "FlagKey"]

UPDATE_EVERY_MS = HOUR_MS
"""At most one update per alert and hour of lane clock, unless severity changes (design, section 4)."""

_MAX_CLOSED = 4
"""Cleared episodes of one flag and category that are remembered while an event could still re-open them."""

_MAX_CLOSED_KEYS = 64
"""Most flags and categories of a customer whose cleared episodes are remembered; the longest cleared are forgotten."""

FlagKey = tuple[str, str | None]


class Episode:
    """One episode as told.

    Attributes
    ----------
    alert_id
        Identity.
    since, until, count, severity, evidence
        As in `Status`, kept current also where no message was due.
    sent_at
        Lane clock of the last message, ms.
    """

    __slots__ = ("alert_id", "count", "evidence", "sent_at", "severity", "since", "until")

    def __init__(self, alert_id: str, status: Status, sent_at: int) -> None:
        self.alert_id = alert_id
        self.sent_at = sent_at
        self.take(status)

    def take(self, status: Status) -> None:
        """Note what the flag is now."""
        self.since: int = status.since
        self.until = status.until
        self.count = status.count
        self.severity = status.severity
        self.evidence = status.evidence

    def encode(self) -> list[Any]:
        """Plain data for the codec."""
        status = [self.since, self.until, self.count, self.severity, list(self.evidence)]
        return [self.alert_id, self.sent_at, *status]

    @classmethod
    def decode(cls, data: list[Any]) -> Self:
        """The episode that `encode` wrote."""
        return cls(data[0], Status(data[2], data[3], data[4], data[5], tuple(data[6]), 0), data[1])


class Episodes:
    """Episodes of one customer: those that are up, and those just cleared.

    Attributes
    ----------
    active
        What consumers believe is up.
    closed
        Cleared episodes that an event within lateness may still re-open, oldest first.
    changed
        Set by `reconcile` when what the board shows is another; the caller resets it.
    """

    __slots__ = ("active", "changed", "closed")

    def __init__(self) -> None:
        self.changed = False
        self.active: dict[FlagKey, Episode] = {}
        self.closed: dict[FlagKey, list[Episode]] = {}

    def reconcile(
        self, customer_id: str, key: FlagKey, status: Status | None, tau: int, at: int
    ) -> list[tuple[str, Episode, int]]:
        """Compare one flag with what was told.

        Parameters
        ----------
        customer_id, key
            Whose flag.
        status
            What it is at `tau`; `None`: down.
        tau
            The time for which the status holds.
        at
            Event time with which messages are stamped; a clear whose end has passed is stamped with that end.

        Returns
        -------
        list of (op, episode, at)
            Messages, in order.
        """
        episode = self.active.get(key)
        if status is None:
            if episode is None:
                return []
            return [self._clear(key, episode, tau, at)]
        out: list[tuple[str, Episode, int]] = []
        first = self._reopened(key, status)
        if first is not None:
            if episode is not None:
                # Two episodes turn out to be one: it keeps its first alert id, the second id is closed for good.
                out.append(self._clear(key, episode, tau, at))
                self.closed[key].remove(episode)
            first.take(status)
            return [*out, self._raise(key, first, at)]
        if episode is None:
            episode = Episode(alert_id(key[0], customer_id, key[1], status.cause), status, at)
            return [self._raise(key, episode, at)]
        changed = (status.since, status.until, status.count) != (episode.since, episode.until, episode.count)
        worse = status.severity != episode.severity
        self.changed |= changed or worse or status.evidence != episode.evidence
        episode.take(status)
        if worse or (changed and at - episode.sent_at >= UPDATE_EVERY_MS):
            episode.sent_at = at
            return [("update", episode, at)]
        return []

    def forget(self, frozen: int) -> None:
        """Drop cleared episodes that no event can re-open any more."""
        for key in list(self.closed):
            kept = [e for e in self.closed[key] if e.until is not None and e.until >= frozen]
            if kept:
                self.closed[key] = kept[-_MAX_CLOSED:]
            else:
                del self.closed[key]
        while len(self.closed) > _MAX_CLOSED_KEYS:
            del self.closed[min(self.closed, key=lambda k: (self.closed[k][-1].until or 0, k[0], k[1] or ""))]

    def _reopened(self, key: FlagKey, status: Status) -> Episode | None:
        for episode in self.closed.get(key, ()):
            if episode.until is not None and status.since <= episode.until:
                self.closed[key].remove(episode)
                return episode
        return None

    def _raise(self, key: FlagKey, episode: Episode, at: int) -> tuple[str, Episode, int]:
        self.active[key] = episode
        self.changed = True
        episode.sent_at = at
        return ("raise", episode, at)

    def _clear(self, key: FlagKey, episode: Episode, tau: int, at: int) -> tuple[str, Episode, int]:
        del self.active[key]
        self.changed = True
        if episode.until is None or episode.until >= tau:
            episode.until = at
        self.closed.setdefault(key, []).append(episode)
        return ("clear", episode, episode.until)

    def encode(self) -> list[Any]:
        """Plain data for the codec."""
        return [
            [[*key, episode.encode()] for key, episode in self.active.items()],
            [[*key, [e.encode() for e in closed]] for key, closed in self.closed.items()],
        ]

    @classmethod
    def decode(cls, data: list[Any]) -> Self:
        """The episodes that `encode` wrote."""
        episodes = cls()
        episodes.active = {(a[0], a[1]): Episode.decode(a[2]) for a in data[0]}
        episodes.closed = {(c[0], c[1]): [Episode.decode(e) for e in c[2]] for c in data[1]}
        return episodes
