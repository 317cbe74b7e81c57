"""Calls that are made again while Redis is away."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from redis.exceptions import RedisError, WatchError

from engine.errors import StoreUnavailable
from streams.redis.client import henji_error

__all__ = ["Backoff", "Retrying"]

_LOG = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often and how patiently a call is tried again.

    Parameters
    ----------
    attempts
        Calls in all, >= 1.
    base_s, cap_s
        First wait and longest wait in seconds; each wait is twice the one before. The defaults bridge a restart of
        Redis of about 11 s.

    Examples
    --------
    >>> list(Backoff(attempts=4, base_s=0.1, cap_s=0.3).waits())
    [0.1, 0.2, 0.3]
    """

    attempts: int = 8
    base_s: float = 0.1
    cap_s: float = 5.0

    def waits(self) -> Iterator[float]:
        """Seconds to wait after each failed attempt but the last."""
        for attempt in range(self.attempts - 1):
            yield min(self.cap_s, self.base_s * 2**attempt)


class Retrying:
    """Makes calls that may be made twice, until one is answered.

    Parameters
    ----------
    whose
        For messages: the key of the partition.
    backoff
        How often.
    sleep
        How to wait some seconds.
    """

    def __init__(
        self, whose: str, backoff: Backoff | None = None, *, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self._whose = whose
        self._backoff = Backoff() if backoff is None else backoff
        self._sleep = sleep

    def call(self, what: str, function: Callable[[], _Answer]) -> _Answer:
        """The answer of `function`.

        Raises
        ------
        StoreUnavailable
            If every attempt failed; whether the last went through is not known.
        UsageError, StateIncompatible
            If Redis refuses for a reason that does not pass.
        """
        waits = self._backoff.waits()
        while True:
            try:
                return function()
            except RedisError as error:
                ours = henji_error(error, f"{what} ({self._whose})")
                # redis-py says WatchError also when the connection broke while we watched.
                if not isinstance(error, WatchError) and not isinstance(ours, StoreUnavailable):
                    raise ours from error
                wait = next(waits, None)
                if wait is None:
                    raise StoreUnavailable(
                        f"{ours}; tried {self._backoff.attempts} times; whether it went through is not known"
                    ) from error
                _LOG.warning("%s; trying again in %g s", ours, wait)
                self._sleep(wait)
