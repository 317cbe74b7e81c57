"""Where in a log the exchanges of a replay stand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from engine.decode import decode
from engine.errors import InvalidEvent, UsageError
from engine.event import CONTROL_LANE, Event
from engine.vocabulary import Vocabulary
from streams.reader.record import Record

__all__ = ["Boundaries"]


class Boundaries:
    """Cuts batches where the next exchange is due: before the first record at or past each multiple of the interval.

    "First" is in the order of the log, over all lanes. Nothing is due before the first record of a log. What is cut
    depends on the records alone, not on how they came in batches.

    Parameters
    ----------
    interval_ms
        From one exchange to the next, event time.
    clock
        The largest lane clock, ms; negative before the first event.
    told
        Epoch of the last exchange, ms; negative before the first.
    vocabulary
        To read event times.

    Examples
    --------
    >>> def record(ts):
    ...     line = b'{"event_id":"e%d","customer_id":"c","ts":%d,"kind":"view"}' % (ts, ts)
    ...     return Record(line, "log", 1)
    >>> cut = Boundaries(10, -1, -1).cut([record(7), record(9), record(12), record(35), record(36)])
    >>> [(epoch, len(records)) for epoch, records in cut]
    [(None, 2), (10, 1), (30, 2)]
    """

    def __init__(self, interval_ms: int, clock: int, told: int, vocabulary: Vocabulary | None = None) -> None:
        self._interval = interval_ms
        self._vocabulary = vocabulary
        self._last = max(told, self._floor(clock)) if clock >= 0 else told

    def cut(self, records: Sequence[Record]) -> Iterator[tuple[int | None, Sequence[Record]]]:
        """The batch in pieces, each with the epoch of the exchange that comes before it, if one does.

        Raises
        ------
        UsageError
            If the log has control records of lanes or times of records: then it says itself what was exchanged.
        """
        begin, epoch = 0, None
        for place, record in enumerate(records):
            event = self._event(record)
            if event is None:
                continue
            at = self._floor(event.ts)
            if at > self._last:
                if self._last >= 0:
                    if place > begin:
                        yield epoch, records[begin:place]
                    begin, epoch = place, at
                self._last = at
        yield epoch, records[begin:]

    def _floor(self, ts: int) -> int:
        return ts // self._interval * self._interval

    def _event(self, record: Record) -> Event | None:
        if record.record_ts is not None:
            raise self._refused(record, "record_ts")
        try:
            event = decode(record.raw, vocabulary=self._vocabulary)
        except InvalidEvent:
            return None
        if event.kind in CONTROL_LANE:
            raise self._refused(record, f"a {event.kind} event")
        return event

    @staticmethod
    def _refused(record: Record, got: str) -> UsageError:
        return UsageError(
            f"--share: expected a log without times of records and events for lanes, got {got} at {record.source}:"
            f"{record.position}; such a log says itself what the lanes exchanged: replay it without --share"
        )
