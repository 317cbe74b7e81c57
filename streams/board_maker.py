"""The board of one customer from what the ledger holds of them."""

from __future__ import annotations

from collections.abc import Callable

from engine.board import ALL_PARTS, board_rows
from engine.lane import Lane
from engine.murmur2 import lane_of
from engine.outcome import BoardRows
from engine.rules import RuleSet
from engine.settings import ResultSettings

__all__ = ["board_maker"]


def board_maker(settings: ResultSettings, rules: RuleSet) -> Callable[[str, bytes], BoardRows]:
    """A function from customer id and memory to board, for boards that somebody damaged.

    Parameters
    ----------
    settings, rules
        Those under which the memories were written.
    """
    # Any lane can decode a memory; an empty one does.
    lanes = {n: Lane(n, settings, rules) for n in range(settings.lanes)}

    def board_of(customer_id: str, record: bytes) -> BoardRows:
        number = lane_of(customer_id, settings.lanes)
        lane = lanes[number]
        return board_rows(lane.decode(record), ALL_PARTS, number, None, (rules.version, lane.models.version))

    return board_of
