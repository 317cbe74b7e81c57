"""The fuse: when nearly everything is bad, somebody should be called, and the dead letters spared."""

from __future__ import annotations

from collections import deque

__all__ = ["FUSE_RECORDS", "Fuse"]

FUSE_RECORDS = 1_000
"""How many of the newest records of a partition are looked at."""


class Fuse:
    """Counts dead records among the newest of a partition.

    Parameters
    ----------
    limit
        Share of dead records, 0 to 1, beyond which it blows; `None`: never.

    Examples
    --------
    >>> fuse = Fuse(0.95)
    >>> fuse.add(2_000, dead=1_999)
    True
    >>> Fuse(None).add(2_000, dead=2_000)
    False
    """

    def __init__(self, limit: float | None) -> None:
        self._limit = limit
        # Batches as (records, dead), newest last, just enough of them.
        self._batches: deque[tuple[int, int]] = deque()
        self._records = 0
        self._dead = 0

    @property
    def share(self) -> float:
        """Share of dead records among the newest, 0 to 1."""
        return self._dead / self._records if self._records else 0.0

    def add(self, records: int, dead: int) -> bool:
        """Take note of a batch; says whether the fuse blows.

        Parameters
        ----------
        records
            In the batch, >= 0.
        dead
            Of them.
        """
        self._batches.append((records, dead))
        self._records += records
        self._dead += dead
        while self._records - self._batches[0][0] >= FUSE_RECORDS:
            gone = self._batches.popleft()
            self._records -= gone[0]
            self._dead -= gone[1]
        return self._limit is not None and self._records >= FUSE_RECORDS and self.share > self._limit
