"""What waits for one endpoint, and what may go now: pure, with time as an argument."""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from streams.webhooks.answer import Answer, Verdict, verdict
from streams.webhooks.endpoint import Endpoint
from streams.webhooks.pace import Circuit, Pace

__all__ = ["Decision", "Item", "Lineup"]


@dataclass(slots=True)
class Item:
    """A message that waits for an endpoint.

    Parameters
    ----------
    number
        Its place in the spool: smaller is earlier.
    alert_id
        In whose line it stands.
    queued_at
        From when its age counts, ms.
    attempts
        So far.
    next_at
        Not to be tried before, ms.
    """

    number: int
    alert_id: str
    queued_at: int
    attempts: int = 0
    next_at: int = 0


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a message after an attempt, or when it is too old."""

    item: Item
    fate: Literal["delivered", "waits", "dead"]
    why: str


class Lineup:
    """Messages of one alert stand in line; alerts do not wait for each other.

    The first of a line goes, and until it is delivered or dead nothing behind it does. So an endpoint gets what it gets
    of an alert in order.

    Parameters
    ----------
    endpoint
        Whose it is: its limits count.
    pace
        How patient.
    draw
        Randomness.

    Examples
    --------
    >>> from streams.webhooks.answer import Answer
    >>> lineup = Lineup(Endpoint("crm", "https://crm.example", ()), Pace(), random.Random(1))
    >>> for number, alert in ((1, "a"), (2, "a"), (3, "b")):
    ...     lineup.put(Item(number, alert, queued_at=0))
    >>> first, second = lineup.take(0), lineup.take(0)
    >>> first.number, second.number, lineup.take(0)
    (1, 3, None)
    >>> lineup.settle(first, Answer(200, "OK"), 5).fate
    'delivered'
    >>> lineup.free(first)
    >>> lineup.take(5).number
    2
    """

    def __init__(self, endpoint: Endpoint, pace: Pace, draw: random.Random) -> None:
        self.endpoint = endpoint
        self.circuit = Circuit(pace, draw)
        self._pace = pace
        self._draw = draw
        # Alert -> numbers of its line, a heap: one that is sent again from the dead list comes before later ones.
        self._lines: dict[str, list[int]] = {}
        self._items: dict[int, Item] = {}
        self._flying: dict[str, int] = {}  # alert -> number under way
        # (next_at, number) of the first of each line; what is no longer so is skipped when it comes up.
        self._ready: list[tuple[int, int]] = []
        self._deadlines: list[tuple[int, int]] = []

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, number: int) -> bool:
        return number in self._items

    @property
    def n_flying(self) -> int:
        """How many attempts are under way."""
        return len(self._flying)

    def put(self, item: Item) -> None:
        """Let a message stand in line; its place is by its number."""
        self._items[item.number] = item
        heapq.heappush(self._deadlines, (item.queued_at + self.endpoint.max_age_ms, item.number))
        line = self._lines.setdefault(item.alert_id, [])
        heapq.heappush(line, item.number)
        if line[0] == item.number and item.alert_id not in self._flying:
            heapq.heappush(self._ready, (item.next_at, item.number))

    def take(self, now_ms: int) -> Item | None:
        """The next message that may go now; it is under way until it is settled."""
        if len(self._flying) >= (1 if self.circuit.trying else self.endpoint.concurrency):
            return None
        at = self._next_at()
        if at is None or at > now_ms:
            return None
        _, number = heapq.heappop(self._ready)
        item = self._items[number]
        self._flying[item.alert_id] = number
        return item

    def settle(self, item: Item, answer: Answer, now_ms: int) -> Decision:
        """Decide what an answer means for the message that was under way, and for the endpoint.

        The line stays held until `free`: what comes next may go once the decision is on disk.
        """
        item.attempts += 1
        said = verdict(answer, refused_is_final=self.endpoint.refused_is_final)
        if said is Verdict.DELIVERED:
            self._remove(item)
            if self.circuit.succeeded():
                self._hasten(now_ms)
            return Decision(item, "delivered", answer.why)
        self.circuit.failed(now_ms)
        if said is Verdict.GONE:
            self.circuit.gone = True
        if said is Verdict.REFUSED:
            return self._bury(item, answer.why)
        if item.attempts >= self.endpoint.max_attempts:
            return self._bury(item, f"{answer.why}; tried {item.attempts} times")
        if now_ms >= item.queued_at + self.endpoint.max_age_ms:
            return self._bury(item, f"{answer.why}; too old")
        wait = self._pace.wait(item.attempts, self._draw)
        if answer.retry_after_ms is not None:
            asked = min(answer.retry_after_ms, self._pace.retry_after_cap_ms)
            wait = max(wait, asked)
            if answer.status in (429, 503):
                self.circuit.hold(now_ms + asked)
        item.next_at = now_ms + wait
        return Decision(item, "waits", answer.why)

    def free(self, item: Item) -> None:
        """Let the line of a message go on, whether the message is settled or its attempt did not come to an end."""
        self._flying.pop(item.alert_id, None)
        if item.number in self._items:
            heapq.heappush(self._deadlines, (item.queued_at + self.endpoint.max_age_ms, item.number))
        self._show_first(item.alert_id)

    def drop(self, item: Item) -> None:
        """Forget a message that is no longer in the spool."""
        self._remove(item)

    def expire(self, now_ms: int) -> list[Decision]:
        """Give up what is too old, also what never could be tried; not what is under way."""
        given_up: list[Decision] = []
        while self._deadlines and self._deadlines[0][0] <= now_ms:
            deadline, number = heapq.heappop(self._deadlines)
            item = self._items.get(number)
            if item is None or deadline != item.queued_at + self.endpoint.max_age_ms:
                continue
            if self._flying.get(item.alert_id) == number:
                # Its own attempt decides, and knows how old it is.
                continue
            given_up.append(self._bury(item, f"too old after {item.attempts} attempts"))
        return given_up

    def wake_at(self) -> int | None:
        """When to look again if nothing happens; `None`: then nothing will."""
        times = []
        if len(self._flying) < (1 if self.circuit.trying else self.endpoint.concurrency):
            at = self._next_at()
            if at is not None:
                times.append(at)
        if self._deadlines:
            times.append(self._deadlines[0][0])
        return min(times, default=None)

    def resume(self, now_ms: int) -> None:
        """Try the endpoint again at once, by a person's word."""
        self.circuit.resume()
        self._hasten(now_ms)

    def waiting(self) -> Iterable[Item]:
        """Everything in line or under way."""
        return self._items.values()

    def _next_at(self) -> int | None:
        open_at = self.circuit.open_at()
        if open_at is None:
            return None
        while self._ready:
            at, number = self._ready[0]
            item = self._items.get(number)
            first = item is not None and item.alert_id not in self._flying and self._lines[item.alert_id][0] == number
            if first and item is not None and item.next_at == at:
                return max(at, open_at)
            heapq.heappop(self._ready)
        return None

    def _bury(self, item: Item, why: str) -> Decision:
        self._remove(item)
        return Decision(item, "dead", why)

    def _remove(self, item: Item) -> None:
        del self._items[item.number]
        line = self._lines[item.alert_id]
        if line[0] == item.number:
            heapq.heappop(line)
        else:
            line.remove(item.number)
            heapq.heapify(line)
        if not line:
            del self._lines[item.alert_id]
        else:
            self._show_first(item.alert_id)

    def _show_first(self, alert_id: str) -> None:
        if alert_id not in self._flying and alert_id in self._lines:
            number = self._lines[alert_id][0]
            heapq.heappush(self._ready, (self._items[number].next_at, number))

    def _hasten(self, now_ms: int) -> None:
        """Let everything go that waited for an endpoint that was in trouble: it was not the messages' fault."""
        for line in self._lines.values():
            item = self._items[line[0]]
            item.next_at = min(item.next_at, now_ms)
        self._ready = [
            (self._items[line[0]].next_at, line[0])
            for alert_id, line in self._lines.items()
            if alert_id not in self._flying
        ]
        heapq.heapify(self._ready)
