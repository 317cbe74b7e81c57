"""Does the worker get on? Told what happened and when, it answers for `/live`, `/ready` and the freshness of the board.

Every time is the wall clock in ms and is handed in; the times at which Kafka appended records are of that clock too.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

__all__ = ["OPEN_MS", "STALE_MS", "STALL_MS", "Answer", "InputState", "Progress"]

STALL_MS = 60_000
"""A partition with records left that stands still for longer, or a Kafka that is silent for longer, is no progress."""

STALE_MS = 30_000
"""After so long without an answer of Kafka, or without a commit of what was read, nobody can call the input fresh."""

OPEN_MS = 300_000
"""Opening a partition reads its lanes from Redis: seconds for a million customers. Longer than this, it hangs."""

InputState: TypeAlias = Literal["fresh", "stale", "unknown"]


class Answer(NamedTuple):
    """Yes, or no with the reasons in one line; place and reason, no data of customers."""

    ok: bool
    reason: str = ""


@dataclass(slots=True)
class _Partition:
    assigned_at: int
    opened: bool = False
    # First offset that is not committed, and since when it is that one.
    done: int = 0
    done_at: int = 0
    # First offset that was not read, and since when something read waits for its commit.
    read: int = 0
    waiting_since: int = 0
    end: int | None = None
    lagging_since: int = 0
    # Everything appended up to this instant is committed, as far as is known.
    complete_to: int | None = None

    @property
    def lag(self) -> int:
        return max(0, (self.end or 0) - self.done)


class Progress:
    """What is known of the worker's partitions, and what follows from it.

    Wrong when `polled` is called although no broker answered: aiokafka's `getmany` returns empty-handed in that case
    too.

    Parameters
    ----------
    started_ms
        When the worker began.

    Examples
    --------
    >>> progress = Progress(started_ms=0)
    >>> progress.ready(1_000)
    Answer(ok=False, reason='expected an assignment of partitions, got none yet')
    >>> progress.assigned([3], 2_000)
    >>> progress.opened(3, next_offset=40, at_ms=2_500)
    >>> progress.read_to(3, next_offset=50, end_offset=50, at_ms=3_000)
    >>> progress.committed(3, next_offset=50, at_ms=3_100, newest_append_ms=2_900)
    >>> progress.ready(4_000).ok, progress.live(4_000).ok, progress.input_state(3, 4_000)
    (True, True, 'fresh')
    >>> progress.input_state(3, 40_000)
    'stale'
    >>> progress.live(70_000)
    Answer(ok=False, reason='Kafka: expected an answer within 60 s, got none for 67 s')
    """

    def __init__(self, started_ms: int) -> None:
        self._answered_at = started_ms
        self._assigned = False
        self._partitions: dict[int, _Partition] = {}
        self._stopped: str | None = None

    @property
    def partitions(self) -> tuple[int, ...]:
        """The partitions that are ours, in order."""
        return tuple(sorted(self._partitions))

    # -- what happened -------------------------------------------------------------------------------------------

    def assigned(self, partitions: Collection[int], at_ms: int) -> None:
        """A rebalance has ended; these are all the partitions that are ours now, none of them opened but the former."""
        self.polled(at_ms)
        self._assigned = True
        self._partitions = {each: self._partitions.get(each) or _Partition(at_ms) for each in partitions}

    def revoked(self) -> None:
        """A rebalance has begun: no partition is ours."""
        self._assigned = False
        self._partitions = {}

    def opened(self, partition: int, next_offset: int, at_ms: int) -> None:
        """The ledger of a partition is ours and read; it goes on at this offset. Also after a conflict."""
        found = self._partitions.get(partition)
        if found is None:
            return
        self._partitions[partition] = _Partition(
            found.assigned_at, True, next_offset, at_ms, next_offset, at_ms, found.end, at_ms
        )

    def read_to(self, partition: int, next_offset: int, end_offset: int, at_ms: int) -> None:
        """Kafka gave everything up to an offset, and said where the partition ends; call it for empty answers too.

        Parameters
        ----------
        partition
            Of a partition that is not ours (any more) nothing is noted.
        next_offset
            The consumer's position: the first offset that was not read.
        end_offset
            The first offset that may not be read yet (the last stable offset for `read_committed`, else the high
            watermark).
        at_ms
            Now.
        """
        self.polled(at_ms)
        found = self._partitions.get(partition)
        if found is None or not found.opened:
            return
        if found.lag == 0:
            found.lagging_since = at_ms
        if found.read <= found.done < next_offset:
            found.waiting_since = at_ms
        found.read, found.end = next_offset, end_offset
        if found.lag == 0:
            found.complete_to = at_ms

    def committed(self, partition: int, next_offset: int, at_ms: int, newest_append_ms: int | None) -> None:
        """Everything below an offset is in Redis.

        Parameters
        ----------
        partition
            Of a partition that is not ours (any more) nothing is noted.
        next_offset
            The first offset that is not.
        at_ms
            Now.
        newest_append_ms
            When the newest of the records was appended; `None` when there was none up to that offset (the markers of
            transactions have offsets and are no records: without this, they would be a lag that never ends).
        """
        found = self._partitions.get(partition)
        if found is None or not found.opened or next_offset < found.done:
            return
        if next_offset > found.done:
            found.done, found.done_at = next_offset, at_ms
            found.waiting_since = at_ms
        if newest_append_ms is not None:
            found.complete_to = max(newest_append_ms, found.complete_to or newest_append_ms)
        # What Kafka has said of the end is as old as its last answer, and so is what we know to be complete.
        if found.end is not None and found.lag == 0:
            found.complete_to = max(found.complete_to or 0, min(at_ms, self._answered_at))

    def polled(self, at_ms: int) -> None:
        """A broker answered, with records or without; `assigned` and `read_to` say so too."""
        self._answered_at = at_ms

    def stopped(self, reason: str) -> None:
        """The worker has given up, and why: place and reason, no data of customers."""
        self._stopped = reason

    # -- what follows --------------------------------------------------------------------------------------------

    def live(self, now_ms: int) -> Answer:
        """Whether the worker should go on; if not, it is best started anew."""
        if self._stopped is not None:
            return Answer(False, f"stopped: {self._stopped}")
        reasons = self._silence(now_ms, STALL_MS)
        for number, partition in sorted(self._partitions.items()):
            if not partition.opened:
                waited = now_ms - partition.assigned_at
                if waited > OPEN_MS:
                    reasons.append(f"partition {number}: expected it opened within {_s(OPEN_MS)}, got {_s(waited)}")
            elif partition.lag:
                stood = now_ms - max(partition.done_at, partition.lagging_since)
                if stood > STALL_MS:
                    reasons.append(
                        f"partition {number}: expected progress within {_s(STALL_MS)}, got none at offset "
                        f"{partition.done} for {_s(stood)} with {partition.lag} records left"
                    )
        return Answer(not reasons, "; ".join(reasons))

    def ready(self, now_ms: int) -> Answer:
        """Whether the worker does its share: assigned (perhaps nothing, as a spare), all opened, Kafka answers."""
        if self._stopped is not None:
            return Answer(False, f"stopped: {self._stopped}")
        if not self._assigned:
            return Answer(False, "expected an assignment of partitions, got none yet")
        reasons = self._silence(now_ms, STALE_MS)
        closed = [str(number) for number, partition in sorted(self._partitions.items()) if not partition.opened]
        if closed:
            reasons.append(f"expected every partition opened, got {', '.join(closed)} not yet")
        return Answer(not reasons, "; ".join(reasons))

    def lag(self, partition: int) -> int | None:
        """Records of a partition that are not committed; `None` when nothing is known of its end."""
        found = self._partitions.get(partition)
        return None if found is None or not found.opened or found.end is None else found.lag

    def input_state(self, partition: int, now_ms: int) -> InputState:
        """How far the board can be trusted to show what was sent.

        Returns
        -------
        str
            `unknown` when the partition is not opened, or nothing is known of its end, or of when the records were
            appended that wait. `stale` when Kafka has not answered for 30 s, or something read waits for its commit
            for 30 s, or a record that was appended more than 60 s ago may not be applied. Else `fresh`.
        """
        found = self._partitions.get(partition)
        if found is None or not found.opened or found.end is None:
            return "unknown"
        if now_ms - self._answered_at > STALE_MS:
            return "stale"
        if found.read > found.done and now_ms - found.waiting_since > STALE_MS:
            return "stale"
        if found.lag == 0:
            return "fresh"
        if found.complete_to is None:
            return "stale" if now_ms - found.lagging_since > STALL_MS else "unknown"
        return "stale" if now_ms - found.complete_to > STALL_MS else "fresh"

    def _silence(self, now_ms: int, limit_ms: int) -> list[str]:
        silent = now_ms - self._answered_at
        if silent <= limit_ms:
            return []
        return [f"Kafka: expected an answer within {_s(limit_ms)}, got none for {_s(silent)}"]


def _s(ms: int) -> str:
    return f"{ms // 1000} s"
