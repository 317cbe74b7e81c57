"""Where a ledger stands: its lanes, counts and board, and the digest that is equal for equal answers."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from engine.board import board_line
from engine.errors import StateIncompatible
from engine.lane import Lane
from engine.rules import RuleSet
from engine.settings import ResultSettings
from streams.ledger import Counts, Ledger

__all__ = ["Standing"]


@dataclass(frozen=True)
class Standing:
    """What a replay, or a live deployment, came to.

    Parameters
    ----------
    settings, rules
        What the answers depend on.
    lanes
        All of the deployment, in order.
    counts
        Of every record.
    board
        A line per customer, sorted by id (`--board`).
    """

    settings: ResultSettings
    rules: RuleSet
    lanes: Sequence[Lane]
    counts: Counts
    board: Sequence[bytes]

    @classmethod
    def of(
        cls,
        settings: ResultSettings,
        rules: RuleSet,
        lanes: Sequence[Lane],
        counts: Counts,
        customers: Callable[[int], Iterator[tuple[str, bytes]]],
    ) -> Self:
        """Read every customer; `customers` gives those of a lane with their memories."""
        lines = [
            (customer_id, board_line(lane.decode(record)))
            for lane in lanes
            for customer_id, record in customers(lane.number)
        ]
        return cls(settings, rules, lanes, counts, [line for _, line in sorted(lines)])

    @classmethod
    def of_ledgers(cls, settings: ResultSettings, rules: RuleSet, ledgers: Iterable[Ledger]) -> Self:
        """Read the ledgers of all partitions of a deployment; nothing is claimed or written.

        Wrong while workers write: stop them first, or wait until the log has ended.

        Raises
        ------
        StateIncompatible
            If a lane is missing, or a ledger was made under other settings.
        """
        counts, lanes, owners = Counts(), {}, {}
        for ledger in ledgers:
            found = ledger.open(settings.digest())
            if found is not None:
                counts = Counts(*map(sum, zip(counts, found.position.counts, strict=True)))
            for number in ledger.binding.own:
                record, models, timers = ledger.lane_state(number)
                lanes[number] = Lane(number, settings, rules, record=record, models=models, timers=timers, cache=0)
                owners[number] = ledger
        missing = sorted(set(range(settings.lanes)) - lanes.keys())
        if missing:
            raise StateIncompatible(f"ledger: expected all {settings.lanes} lanes, got none of {missing}")
        ordered = [lanes[number] for number in sorted(lanes)]
        return cls.of(settings, rules, ordered, counts, lambda number: owners[number].customers(number))

    @cached_property
    def digest(self) -> str:
        """SHA-256 over lanes, counts and board: equal for equal answers, 64 hex digits."""
        sha = hashlib.sha256()
        for lane in self.lanes:
            for part in lane.digest_parts():
                sha.update(len(part).to_bytes(4, "big") + part)
        sha.update(repr(tuple(self.counts)).encode())
        for line in self.board:
            sha.update(line + b"\n")
        return sha.hexdigest()
