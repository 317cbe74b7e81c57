"""What became of customers, as the log tells it and whatever the rules say: who left, who complained.

A customer's own acts are many; what is asked of them is only where they paused for longer than the churn horizon. So
just those silences are kept, with cancels and complaints: a dozen numbers a customer and year, exact in any order of
arrival.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterable, Iterator, Sequence
from math import inf

from engine.decode import decode
from engine.errors import InvalidEvent
from engine.event import TIMELESS, Event
from engine.vocabulary import Vocabulary
from streams.reader.record import Record

__all__ = ["Past", "Story"]


class Story:
    """One customer.

    Attributes
    ----------
    first, last
        First and last act of their own, ms; infinite when there is none.
    silences
        (last act before it, first act after it) of each pause longer than the horizon, in order.
    leaves, complaints
        Times of `cancel` and lapsed contracts, and of complaints, ms, in order.
    """

    __slots__ = ("complaints", "first", "last", "leaves", "silences")

    def __init__(self) -> None:
        self.first: float = inf
        self.last: float = -inf
        self.silences: list[tuple[float, float]] = []
        self.leaves: list[int] = []
        self.complaints: list[int] = []

    def act(self, ts: int, horizon: int) -> None:
        """Note an act of their own; they may come in any order."""
        if self.first <= ts <= self.last:
            # It may have come late into what looked like a silence.
            place = bisect_right(self.silences, (ts, inf)) - 1
            if place >= 0 and ts < self.silences[place][1]:
                begin, end = self.silences[place]
                pieces = ((begin, ts), (ts, end))
                self.silences[place : place + 1] = [(a, b) for a, b in pieces if b - a > horizon]
            return
        if ts > self.last:
            if ts - self.last > horizon and self.first < inf:
                self.silences.append((self.last, ts))
            self.last = ts
        if ts < self.first:
            if self.first - ts > horizon and self.first < inf:
                self.silences.insert(0, (ts, self.first))
            self.first = ts

    def pauses(self) -> Iterator[tuple[float, float]]:
        """All pauses longer than the horizon, with those before the first act and after the last."""
        yield (-inf, self.first)
        yield from self.silences
        if self.first < inf:
            yield (self.last, inf)

    def is_active(self, at: int, horizon: int) -> bool:
        """Whether they have acted within the horizon up to `at` (both ends count)."""
        if not self.first <= at:
            return False
        place = bisect_right(self.silences, (at, inf)) - 1
        if place >= 0 and at < self.silences[place][1]:
            return at <= self.silences[place][0] + horizon
        return at <= self.last + horizon

    def left_at(self, at: int, after: int, horizon: int) -> float | None:
        """When they left, within `after` from `at` on.

        Returns
        -------
        float or None
            The first moment in [at, at + after] from which on there is no own act for the horizon, or of a cancel or
            lapsed contract in (at, at + after], whichever is earlier; `None` if there is neither.
        """
        found = inf
        for begin, end in self.pauses():
            if begin > at + after:
                break
            moment = max(begin, at)
            if moment + horizon < end:
                found = moment
                break
        place = bisect_right(self.leaves, at)
        if place < len(self.leaves) and self.leaves[place] <= at + after:
            found = min(found, self.leaves[place])
        return None if found == inf else found

    def complained_at(self, at: int, after: int) -> int | None:
        """Time of the first complaint in (at, at + after]; `None` without one."""
        place = bisect_right(self.complaints, at)
        if place < len(self.complaints) and self.complaints[place] <= at + after:
            return self.complaints[place]
        return None

    def departures(self, after: int, horizon: int, end: int) -> list[list[tuple[float, float]]]:
        """Each time they left, as the half-open ranges of times at which a raise would have been right about it.

        A silence that the log does not show to its horizon is none yet; a cancel within a silence belongs to it.
        """
        loose = set(self.leaves)
        out: list[list[tuple[float, float]]] = []
        for a, b in self.pauses():
            if a == -inf or a + horizon > end:
                continue
            # Later than a horizon after the last act they are gone already: no raise is judged there.
            ranges: list[tuple[float, float]] = [(a - after, min(b - horizon, a + horizon + 1))]
            own = self.leaves[bisect_left(self.leaves, a) : bisect_left(self.leaves, b)]
            ranges += [(c - after, c) for c in own]
            loose.difference_update(own)
            out.append(ranges)
        out += [[(c - after, c)] for c in sorted(loose)]
        return out


class Past:
    """All customers of a log.

    Everything that is an event of the contract counts, late ones too: that something came too late for the engine does
    not undo it. Repeats change nothing. What was taken back by `retract` still counts.

    Parameters
    ----------
    horizon
        Churn horizon, ms.
    activity
        Kinds of the customers' own activity.

    Attributes
    ----------
    stories
        Customer id -> what became of them.
    begin, end
        Time of the first and the last event, ms; infinite without any.
    """

    def __init__(self, horizon: int, activity: frozenset[str]) -> None:
        self.horizon = horizon
        self.activity = activity
        self.stories: dict[str, Story] = {}
        self.begin: float = inf
        self.end: float = -inf

    def read(
        self,
        batches: Iterable[Sequence[Record]],
        vocabulary: Vocabulary | None = None,
        on_batch: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Read a log; `on_batch` is called after each batch with the number of records so far."""
        n = 0
        for batch in batches:
            for record in batch:
                try:
                    event = decode(record.raw, vocabulary=vocabulary, record_ts=record.record_ts, key=record.key)
                except InvalidEvent:
                    continue
                self.add(event)
            n += len(batch)
            on_batch(n)

    def add(self, event: Event) -> None:
        """Note an event."""
        ts, kind = event.ts, event.kind
        if kind in TIMELESS:
            return
        self.begin = min(self.begin, ts)
        self.end = max(self.end, ts)
        if event.customer_id is None:
            return
        own = kind in self.activity and not (kind == "payment" and event.outcome not in (None, "ok"))
        leaves = kind == "cancel" or (kind == "contract" and event.step == "lapsed")
        if not (own or leaves or kind == "complaint"):
            return
        story = self.stories.get(event.customer_id)
        if story is None:
            story = self.stories[event.customer_id] = Story()
        if own:
            story.act(ts, self.horizon)
        if leaves:
            _put(story.leaves, ts)
        if kind == "complaint":
            _put(story.complaints, ts)


def _put(times: list[int], ts: int) -> None:
    """Keep a time in its place, once."""
    if not times or ts > times[-1]:
        times.append(ts)
    elif times[bisect_left(times, ts)] != ts:
        insort(times, ts)
