"""What customers did of their own accord, as a log tells it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import numpy.typing as npt

from engine.decode import decode
from engine.duration import DAY_MS
from engine.errors import InvalidEvent
from engine.vocabulary import Vocabulary
from streams.reader.record import Record

__all__ = ["Activity"]


class Activity:
    """The customers' own events of a log, in its order.

    A `payment` that failed is no activity, as in the engine. Of two events of a customer with one id the first counts.
    What is no event of the contract is skipped: the replay of the same log says how many those are.

    Attributes
    ----------
    names
        Customer ids, in order of their first event; their place is the customer's number below.
    numbers
        Customer id -> number.
    customer, ts_ms, kind, value
        Of each event: number of the customer, event time, place in `kinds`, money (0 without one).
    kinds
        The kinds that occur, sorted.
    """

    def __init__(self, rows: Iterable[tuple[str, str, int, str, float]]) -> None:
        self.numbers: dict[str, int] = {}
        self._places: dict[tuple[int, str], int] = {}
        customers: list[int] = []
        times: list[int] = []
        kinds: list[str] = []
        values: list[float] = []
        for customer_id, event_id, ts, kind, value in rows:
            number = self.numbers.setdefault(customer_id, len(self.numbers))
            if self._places.setdefault((number, event_id), len(times)) == len(times):
                customers.append(number)
                times.append(ts)
                kinds.append(kind)
                values.append(value)
        self.names = list(self.numbers)
        self.kinds = tuple(sorted(set(kinds)))
        places = {kind: place for place, kind in enumerate(self.kinds)}
        self.customer: npt.NDArray[np.int64] = np.array(customers, dtype=np.int64)
        self.ts_ms: npt.NDArray[np.int64] = np.array(times, dtype=np.int64)
        self.kind: npt.NDArray[np.int64] = np.array([places[kind] for kind in kinds], dtype=np.int64)
        self.value: npt.NDArray[np.float64] = np.array(values, dtype=np.float64)

    @classmethod
    def read(
        cls,
        batches: Iterable[Sequence[Record]],
        kinds: frozenset[str],
        vocabulary: Vocabulary | None = None,
        on_batch: Callable[[int], None] = lambda _: None,
    ) -> Activity:
        """Read a log.

        Parameters
        ----------
        batches
            The log.
        kinds
            Kinds of the customers' own activity.
        vocabulary
            Translates an organisation's own words.
        on_batch
            Called after each batch with the number of records read so far.
        """

        def rows() -> Iterable[tuple[str, str, int, str, float]]:
            n = 0
            for batch in batches:
                for record in batch:
                    try:
                        event = decode(record.raw, vocabulary=vocabulary, record_ts=record.record_ts, key=record.key)
                    except InvalidEvent:
                        continue
                    failed = event.kind == "payment" and event.outcome not in (None, "ok")
                    if event.kind in kinds and event.customer_id is not None and not failed:
                        yield event.customer_id, event.event_id, event.ts, event.kind, event.value or 0.0
                n += len(batch)
                on_batch(n)

        return cls(rows())

    def __len__(self) -> int:
        return len(self.ts_ms)

    def chosen(self, kinds: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Which events are of these kinds."""
        return np.isin(self.kind, [place for place, kind in enumerate(self.kinds) if kind in kinds])

    def place(self, customer: int, event_id: str) -> int:
        """Where an event stands; -1 when it is none of them."""
        return self._places.get((customer, event_id), -1)

    def is_daily(self, kinds: Sequence[str]) -> bool:
        """Whether the time of every event of these kinds is a midnight, UTC: then the log knows days, not instants."""
        times = self.ts_ms[self.chosen(kinds)]
        return bool(len(times)) and not (times % DAY_MS).any()
