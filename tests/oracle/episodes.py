"""Episodes: the stretches of time in which a flag stays up, folded from the events that raise and hold it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.intake import Trace

Key = tuple[str, str | None]
Op = tuple[str, int, int]


@dataclass(frozen=True, slots=True)
class Hold:
    """An event that raises a flag or holds it up, and until when."""

    ts: int
    event_id: str
    until: int


@dataclass(frozen=True, slots=True)
class Reset:
    """An event that clears a flag at once."""

    ts: int


@dataclass(slots=True)
class Episode:
    """The time a flag stays up.

    `at` and `first_since` are as of its raise, `since` and `until` as of now or just before the clear; `cleared` is the
    stamp of the clear, `None` while up.
    """

    at: int
    first_since: int
    since: int
    until: int | None
    holds: list[Hold] = field(default_factory=list)
    cleared: int | None = None


def stretches(moments: Iterable[Hold | Reset], tau: int) -> list[Episode]:
    """Episodes that holds and resets, in order, have made by `tau`."""
    episodes: list[Episode] = []
    up: Episode | None = None
    for moment in moments:
        if up is not None and up.until is not None and up.until < moment.ts:
            up.cleared, up = up.until, None
        if isinstance(moment, Reset):
            if up is not None:
                up.cleared, up = moment.ts, None
            continue
        if up is None:
            up = Episode(at=moment.ts, first_since=moment.ts, since=moment.ts, until=moment.until)
            episodes.append(up)
        up.holds.append(moment)
        up.until = max(up.until or 0, moment.until)
    if up is not None and up.until is not None and up.until < tau:
        up.cleared = up.until
    return episodes


def ops(episodes: Iterable[Episode]) -> list[Op]:
    """Raises and clears in order."""
    out: list[Op] = []
    for episode in episodes:
        out.append(("raise", episode.at, episode.first_since))
        if episode.cleared is not None:
            out.append(("clear", episode.cleared, episode.since))
    return out


def word_at(said: Sequence[Trace], time: int) -> Trace | None:
    """The override in force at `time`: the newest by then, unless it is `auto` or past its end."""
    newest = next((one for one in reversed(said) if one.ts <= time), None)
    if newest is None or newest.state not in ("up", "down") or (newest.until is not None and newest.until < time):
        return None
    return newest


def own_at(own: Sequence[Episode], time: int) -> tuple[int, int] | None:
    """`since` and `until` of the rule's own state at `time`, `None` when it is down."""
    for episode in own:
        ends = [hold.until for hold in episode.holds if hold.ts <= time]
        if ends and max(ends) >= time:
            return episode.since, max(ends)
    return None


def overridden(own: Sequence[Episode], said: Sequence[Trace], tau: int) -> list[Episode]:
    """Episodes of a composite when a person had a say: theirs while it lasts, else the rule's own.

    Looks at every ms at which something can change, after all events of that ms; `since` of an episode stays.
    """
    times = {hold.ts for episode in own for hold in episode.holds} | {one.ts for one in said}
    times |= {one.until + 1 for one in said if one.until is not None}
    times |= {hold.until + 1 for episode in own for hold in episode.holds}
    episodes: list[Episode] = []
    up: Episode | None = None
    for time in sorted(time for time in times if time <= tau):
        word, mine = word_at(said, time), own_at(own, time)
        if (word is not None and word.state == "down") or (word is None and mine is None):
            if up is not None:
                up.cleared = up.until if up.until is not None and up.until < time else time
                up = None
            continue
        if up is None:
            # A `down` that ended a ms ago gives the flag back by a timer due at its end; all else is an event's doing.
            before = word_at(said, time - 1)
            by_timer = before is not None and before.until == time - 1 and mine is not None and mine[0] < time
            at = time - 1 if by_timer else time
            since = at if mine is None else mine[0]
            up = Episode(at=at, first_since=since, since=since, until=None)
            episodes.append(up)
        if word is not None and word.until is None:
            up.until = None
        else:
            ends = [mine[1]] if mine is not None else []
            up.until = max(ends if word is None or word.until is None else [*ends, word.until])
    return episodes


def record(flag: str, category: str | None, episode: Episode, count: int, severity: str) -> dict[str, Any]:
    return {
        "flag": flag,
        "category": category,
        "since": episode.since,
        "until": episode.until,
        "count": count,
        "severity": severity,
    }
