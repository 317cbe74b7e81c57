"""What a lane adds up per service: who turned to us about it, per quarter of an hour of event time.

Per dimension (`category`: the first part of the path, and the whole path where that is more; `channel`) and value, and
per bucket: distinct customers with a request or complaint, requests, complaints. A customer lives in one lane, so the
sums of the lanes are the sums of the deployment, and exact.

What a customer has been counted for is part of their memory (`Counted`), as far back as an event out of order may
reach. The lane itself keeps the buckets of the days that can still change, part by part beside its models, and writes
whole days to the board, so that a repeated write changes nothing. None of this is part of a digest.

What does not fit is counted in the lane's tallies:

    service_other      contacts about a value beyond the `MAX_VALUES` of its dimension, which count as `~other`
    service_forgotten  buckets of a customer that memory let go of too early: in one the customer may count twice
    service_old        contacts older than the days that are kept, which count nowhere (only where nothing is late)
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple, Self

import msgspec

from engine.duration import DAY_MS, MINUTE_MS
from engine.errors import CorruptState
from engine.event import UNKNOWN_CATEGORY, Event
from models.errors import SnapshotError
from models.snapshot import pack, unpack

__all__ = [
    "BOOK",
    "BUCKETS_A_DAY",
    "BUCKET_MS",
    "COUNTED_KINDS",
    "DIMENSIONS",
    "KEPT_DAYS",
    "MAX_VALUES",
    "OTHER",
    "Count",
    "Counted",
    "ServiceCounts",
    "Value",
    "day_name",
    "day_of",
    "read_buckets",
    "values_in",
    "write_buckets",
]

BUCKET_MS: Final = 15 * MINUTE_MS
"""Length of a bucket; day and hour are whole numbers of it."""

BUCKETS_A_DAY: Final = DAY_MS // BUCKET_MS

KEPT_DAYS: Final = 35
"""Days behind the lane clock's that stay on the board: the 28 that make a normal, and a week for lanes that lag."""

MAX_VALUES: Final = 256
"""Most values of a dimension; further ones count as `OTHER` until one was unused for `KEPT_DAYS`."""

OTHER: Final = "~other"

DIMENSIONS: Final = ("category", "channel")

COUNTED_KINDS: Final = frozenset({"request", "complaint"})
"""What somebody does who needs help; a suggestion says nothing of a service that fails."""

BOOK: Final = "service.book"
"""Name of the part that lists the values."""

_DAY: Final = "service.day."
_BOOK_KIND: Final = "service_book"
_DAY_KIND: Final = "service_day"

_SHORT: Final = {"category": "a", "channel": "h"}
_MAX_SEEN: Final = 32
_MAX_TWINS: Final = 8
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

Value = tuple[str, str]
"""Dimension and value, such as `("category", "network/wifi")`."""


class Count(NamedTuple):
    """What happened in one bucket.

    Parameters
    ----------
    customers
        Distinct customers.
    requests, complaints
        Contacts.
    """

    customers: int = 0
    requests: int = 0
    complaints: int = 0


class Counted:
    """What one customer was counted for, as far back as an event out of order may reach.

    At most 32 pairs of bucket and value (the oldest buckets go first) and the last 8 contact ids.

    Examples
    --------
    >>> counted = Counted()
    >>> [counted.add(7, "c:billing"), counted.add(7, "c:billing"), counted.add(8, "c:billing")]
    [True, False, True]
    """

    __slots__ = ("seen", "twins")

    def __init__(self) -> None:
        self.seen: dict[int, list[str]] = {}
        self.twins: list[list[int]] = []

    def forget(self, before: int) -> None:
        """Forget buckets that cannot change any more.

        Parameters
        ----------
        before
            Number of the first bucket that can.
        """
        if min(self.seen, default=before) < before:
            self.seen = {bucket: keys for bucket, keys in self.seen.items() if bucket >= before}
        if self.twins and min(bucket for bucket, _ in self.twins) < before:
            self.twins = [twin for twin in self.twins if twin[0] >= before]

    def add(self, bucket: int, key: str) -> bool:
        """Whether the customer counts in that bucket for the first time."""
        keys = self.seen.get(bucket)
        if keys is None:
            self.seen[bucket] = [key]
            return True
        if key in keys:
            return False
        keys.append(key)
        return True

    def make_room(self) -> int:
        """Keep to the bound; how many buckets had to go."""
        n_gone = 0
        while len(self.seen) > 1 and sum(map(len, self.seen.values())) > _MAX_SEEN:
            del self.seen[min(self.seen)]
            n_gone += 1
        return n_gone

    def repeats(self, bucket: int, contact_id: str) -> bool:
        """Whether that contact was counted, as another system told of it; if not, note it."""
        digest = int.from_bytes(hashlib.blake2b(contact_id.encode(), digest_size=8).digest(), "little")
        if any(known == digest for _, known in self.twins):
            return True
        self.twins = [*self.twins, [bucket, digest]][-_MAX_TWINS:]
        return False

    def encode(self) -> list[Any]:
        """Plain data for the codec; empty while there is nothing to remember."""
        if not (self.seen or self.twins):
            return []
        return [[[bucket, *keys] for bucket, keys in self.seen.items()], self.twins]

    @classmethod
    def decode(cls, data: list[Any]) -> Self:
        """What `encode` wrote."""
        counted = cls()
        if data:
            seen, counted.twins = data
            counted.seen = {bucket: keys for bucket, *keys in seen}
        return counted


class _Book(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Day of the lane clock; dimension, value and newest day of every value."""

    day: int
    values: list[tuple[str, str, int]]


class _Day(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A value's day: bucket of the day, customers, requests, complaints."""

    buckets: list[tuple[int, int, int, int]]


class ServiceCounts:
    """The sums of one lane.

    Parameters
    ----------
    lane
        Number of the lane: each writes fields of its own.
    lateness_ms
        An event older than the lane clock by more never comes; `None`: it may be of any age.
    tally
        Called with the name of what is worth counting.

    Examples
    --------
    >>> counts = ServiceCounts(3, 3_600_000, tally=lambda name: None)
    >>> now = 1_700_000_000_000
    >>> counts.advance(now)
    >>> counts.take(Counted(), Event("e1", "c1", now, "request", category="network/wifi"), now)
    >>> counts.take_rows()[("category", "network")]
    {'2023-11-14:3': '88:1,1,0'}
    """

    def __init__(self, lane: int, lateness_ms: int | None, tally: Callable[[str], None]) -> None:
        self._lane = lane
        self._tally = tally
        # How far back an event may be: for the sums of days, and for what a customer is remembered to have counted for.
        self._behind_ms = KEPT_DAYS * DAY_MS if lateness_ms is None else min(lateness_ms, KEPT_DAYS * DAY_MS)
        self._remembered_ms = DAY_MS if lateness_ms is None else lateness_ms
        self._day = -1
        self._values: dict[Value, int] = {}
        self._days: dict[int, dict[Value, dict[int, list[int]]]] = {}
        self._dirty_book = False
        self._dirty: dict[tuple[int, Value], None] = {}
        self._rows: dict[tuple[int, Value], None] = {}
        # Texts of days that cannot change any more, `None` for one that leaves the board.
        self._final: dict[tuple[int, Value], str | None] = {}

    # -- adding up -----------------------------------------------------------------------------------------------

    def advance(self, clock: int) -> None:
        """Note the lane clock, ms; a new day ends what can no longer change."""
        day = clock // DAY_MS
        if day > self._day:
            self._turn(day)

    def _turn(self, day: int) -> None:
        before, self._day = self._day, day
        if before < 0:
            return
        for each in [each for each in self._days if (each + 1) * DAY_MS <= day * DAY_MS - self._behind_ms]:
            for value, buckets in self._days.pop(each).items():
                self._dirty[each, value] = None
                if (each, value) in self._rows:
                    del self._rows[each, value]
                    self._final[each, value] = _text(buckets)
        if not self._values:
            return
        # A jump over more days than are kept has nothing left of them to remove.
        for each in range(before - KEPT_DAYS, min(day, before + KEPT_DAYS + 1) - KEPT_DAYS):
            self._final.update(dict.fromkeys((each, value) for value in self._values))
        for value in [value for value, newest in self._values.items() if newest < day - KEPT_DAYS]:
            del self._values[value]
        self._dirty_book = True

    def forget(self, counted: Counted, clock: int) -> None:
        """Let a customer's memory forget what cannot be asked for any more at a lane clock, ms."""
        if counted.seen or counted.twins:
            counted.forget((clock - self._remembered_ms) // BUCKET_MS)

    def take(self, counted: Counted, event: Event, clock: int) -> None:
        """Count an event that was applied; any but a request or complaint counts nowhere.

        Parameters
        ----------
        counted
            Of its customer.
        event
            In the order of the log.
        clock
            The lane clock, ms, which `advance` knows already; at least the event's time.
        """
        if event.kind not in COUNTED_KINDS:
            return
        day, bucket = event.ts // DAY_MS, event.ts // BUCKET_MS
        if day < self._day - KEPT_DAYS:
            self._tally("service_old")
            return
        self.forget(counted, clock)
        if event.contact_id is not None and counted.repeats(bucket, event.contact_id):
            return
        place = 1 if event.kind == "request" else 2
        of_day = self._days.get(day)
        if of_day is None:
            of_day = self._days[day] = {}
        number = bucket % BUCKETS_A_DAY
        for value in _values_of(event):
            if self._values.get(value, -1) < day:
                value = self._noted(value, day)
            buckets = of_day.get(value)
            if buckets is None:
                buckets = of_day[value] = {}
            count = buckets.get(number)
            if count is None:
                count = buckets[number] = [0, 0, 0]
            count[place] += 1
            if counted.add(bucket, _SHORT[value[0]] + value[1]):
                count[0] += 1
            self._dirty[day, value] = self._rows[day, value] = None
        if len(counted.seen) > 1:
            for _ in range(counted.make_room()):
                self._tally("service_forgotten")

    def _noted(self, value: Value, day: int) -> Value:
        """The value as it counts: itself or `OTHER`; that it was in use on that day is noted."""
        dimension, newest = value[0], self._values.get(value)
        if newest is None:
            n_known = sum(each[0] == dimension and each[1] != OTHER for each in self._values)
            if n_known >= MAX_VALUES:
                self._tally("service_other")
                value = (dimension, OTHER)
                newest = self._values.get(value)
        if newest is None or newest < day:
            self._values[value] = day
            self._dirty_book = True
        return value

    # -- what goes out -------------------------------------------------------------------------------------------

    def take_rows(self) -> dict[Value, dict[str, str | None]]:
        """Value -> field of the board -> its whole text, `None` to remove it; what changed since the last call."""
        rows = self._final | {(day, value): _text(self._days[day][value]) for day, value in self._rows}
        out: dict[Value, dict[str, str | None]] = {}
        for (day, value), text in rows.items():
            out.setdefault(value, {})[f"{day_name(day)}:{self._lane}"] = text
        self._final, self._rows = {}, {}
        return out

    def snapshots(self) -> dict[str, bytes | None]:
        """Name and bytes of the parts that changed since the last call; `None` deletes a part."""
        out: dict[str, bytes | None] = {}
        if self._dirty_book:
            values = [(dimension, value, newest) for (dimension, value), newest in self._values.items()]
            out[BOOK] = pack(_BOOK_KIND, _Book(self._day, values))
        for day, value in self._dirty:
            buckets = self._days.get(day, {}).get(value)
            name = f"{_DAY}{day}.{value[0]}.{value[1]}"
            if buckets is None:
                out[name] = None
            else:
                out[name] = pack(_DAY_KIND, _Day([(b, c[0], c[1], c[2]) for b, c in sorted(buckets.items())]))
        self._dirty_book, self._dirty = False, {}
        return out

    def restore(self, snapshots: Mapping[str, bytes], clock: int) -> None:
        """Take over what `snapshots` gave, all of its calls together; parts of other names are not looked at.

        Parameters
        ----------
        snapshots
            Name -> bytes.
        clock
            The lane clock, ms; -1 before the first event.

        Raises
        ------
        CorruptState
            If a part is damaged or of another schema.
        """
        try:
            if BOOK in snapshots:
                book = unpack(_BOOK_KIND, snapshots[BOOK], _Book)
                self._day = book.day
                self._values = {(dimension, value): newest for dimension, value, newest in book.values}
            for name, data in snapshots.items():
                if name.startswith(_DAY):
                    day, dimension, value = name[len(_DAY) :].split(".", 2)
                    buckets = {b: [*count] for b, *count in unpack(_DAY_KIND, data, _Day).buckets}
                    self._days.setdefault(int(day), {})[dimension, value] = buckets
        except (SnapshotError, ValueError) as error:
            raise _corrupt(error) from error
        if clock >= 0:
            self.advance(clock)


def _text(buckets: Mapping[int, list[int]]) -> str:
    return write_buckets({bucket: Count(*count) for bucket, count in buckets.items()})


def _corrupt(error: Exception) -> CorruptState:
    return CorruptState(
        f"sums of services: expected what this henji wrote, got {error}; restore the ledger from a backup or replay "
        "the log into a new one"
    )


def _values_of(event: Event) -> list[Value]:
    category, out = event.category, []
    if category is not None and category != UNKNOWN_CATEGORY:
        first = category.partition("/")[0]
        out.append(("category", first))
        if first != category:
            out.append(("category", category))
    if event.channel is not None:
        out.append(("channel", event.channel))
    return out


def values_in(book: bytes) -> list[Value]:
    """The values that a lane knows, from its part `BOOK`.

    Raises
    ------
    CorruptState
        If it is damaged or of another schema.
    """
    try:
        return [(dimension, value) for dimension, value, _ in unpack(_BOOK_KIND, book, _Book).values]
    except SnapshotError as error:
        raise _corrupt(error) from error


def day_name(day: int) -> str:
    """The day of that number since the epoch, as the board writes it.

    Examples
    --------
    >>> day_name(19_675)
    '2023-11-14'
    """
    return (_EPOCH + timedelta(days=day)).strftime("%Y-%m-%d")


def day_of(name: str) -> int:
    """Number of a day since the epoch.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> day_of("2023-11-14")
    19675
    """
    return (datetime.strptime(name, "%Y-%m-%d").replace(tzinfo=UTC) - _EPOCH).days


def write_buckets(buckets: Mapping[int, Count]) -> str:
    """A lane's day as the board has it: `bucket:customers,requests,complaints`, joined by `;`, buckets that have any.

    Examples
    --------
    >>> write_buckets({88: Count(1, 2, 0), 3: Count(1, 0, 1)})
    '3:1,0,1;88:1,2,0'
    """
    return ";".join(f"{bucket}:{c.customers},{c.requests},{c.complaints}" for bucket, c in sorted(buckets.items()))


def read_buckets(text: str) -> dict[int, Count]:
    """The day that `write_buckets` wrote.

    Raises
    ------
    ValueError
        If it is none.

    Examples
    --------
    >>> read_buckets("3:1,0,1;88:1,2,0")[88]
    Count(customers=1, requests=2, complaints=0)
    """
    out: dict[int, Count] = {}
    for part in text.split(";"):
        bucket, _, counts = part.partition(":")
        customers, requests, complaints = map(int, counts.split(","))
        if not 0 <= int(bucket) < BUCKETS_A_DAY or int(bucket) in out:
            raise ValueError(f"expected each bucket from 0 to {BUCKETS_A_DAY - 1} once, got {bucket}")
        out[int(bucket)] = Count(customers, requests, complaints)
    return out
