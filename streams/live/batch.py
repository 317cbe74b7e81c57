"""What Faust hands the agent: all fetched records of one partition at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

__all__ = ["FetchedBatch"]


class FetchedBatch(NamedTuple):
    """Records of one partition, in order, as one fetch gave them.

    Parameters
    ----------
    partition
        Of the events topic.
    records
        aiokafka's, at least one.
    follows
        Where the consumer stood before: after the last record of the fetch before, or at the place of the last seek.
        A batch that does not follow on the one before shows that something got lost on the way through the process.
    generation
        Of the consumer group when the batch was handed on.
    """

    partition: int
    records: Sequence[Any]
    follows: int
    generation: int

    @property
    def end(self) -> int:
        """Offset after the last record."""
        return int(self.records[-1].offset) + 1
