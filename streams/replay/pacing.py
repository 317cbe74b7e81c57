"""A replay slower than it could be: events at real speed, or a multiple of it, as a live stream would bring them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence

from engine.decode import decode
from engine.errors import InvalidEvent, UsageError
from engine.vocabulary import Vocabulary
from streams.reader.record import Record

__all__ = ["paced", "parse_speed"]

_LONGEST_WAIT_S = 0.2  # so that Ctrl-C is heard at once, however long nothing happens


def parse_speed(text: str) -> float | None:
    """Times real speed, or `None` for as fast as it goes.

    Raises
    ------
    UsageError
        If it is neither `max` nor a positive number and `x`.

    Examples
    --------
    >>> parse_speed("max"), parse_speed("10x")
    (None, 10.0)
    """
    if text == "max":
        return None
    try:
        factor = float(text.removesuffix("x"))
    except ValueError:
        factor = 0.0
    if not (text.endswith("x") and 0 < factor < 1e9):
        raise UsageError(f"--speed: expected max, or times real speed such as 1x or 10x, got {text!r}")
    return factor


def paced(
    batches: Iterable[Sequence[Record]],
    factor: float,
    vocabulary: Vocabulary | None = None,
    *,
    now_s: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[Sequence[Record]]:
    """Give out records when their event time has come; what is due together comes together.

    Parameters
    ----------
    batches
        The log.
    factor
        Times real speed, over 0.
    vocabulary
        To read event times.
    now_s, sleep
        A monotonic clock in seconds, and how to wait.
    """
    origin: tuple[float, int] | None = None
    ready: list[Record] = []
    for batch in batches:
        for record in batch:
            ts = _event_time(record, vocabulary)
            if ts is not None:
                if origin is None:
                    origin = (now_s(), ts)
                due = origin[0] + (ts - origin[1]) / 1000 / factor
                if due > now_s() and ready:
                    yield ready
                    ready = []
                while (left := due - now_s()) > 0:
                    sleep(min(left, _LONGEST_WAIT_S))
            ready.append(record)
        if ready:
            yield ready
            ready = []


def _event_time(record: Record, vocabulary: Vocabulary | None) -> int | None:
    try:
        return decode(record.raw, vocabulary=vocabulary).ts
    except InvalidEvent:
        return None
