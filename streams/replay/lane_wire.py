"""What a replay and its processes of lanes say to each other.

They travel over a socket pair that only the two processes hold, by `multiprocessing.connection`. Nothing of it is ever
stored: what comes from files, topics and Redis stays bytes in here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

from engine.decode import Limits
from engine.desk import Desk
from engine.event import Event
from engine.outcome import Outcome
from engine.rules import RuleSet
from engine.settings import ResultSettings
from engine.vocabulary import Vocabulary
from streams.lane_group import DeadRecord
from streams.ledger import LaneState
from streams.replay.lanes import Clocks, Numbered

__all__ = [
    "Answer",
    "Batch",
    "End",
    "Ended",
    "Failed",
    "Hear",
    "Job",
    "Lines",
    "Load",
    "Ready",
    "Reply",
    "State",
    "Tell",
    "Told",
]


# -- to the process ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Job:
    """The first message: whose lanes, and how.

    Parameters
    ----------
    settings, rules, vocabulary, limits, partitions, desk, cache
        As for `LaneGroup`.
    own
        The lanes of this process.
    ships
        Whether state lives with the parent: then it is asked for, and outcomes go there. Otherwise it lives and dies
        with the process.
    wanted
        Names of the files that somebody wants.
    """

    settings: ResultSettings
    rules: RuleSet
    vocabulary: Vocabulary | None
    limits: Limits | None
    partitions: int
    desk: Desk | None
    cache: int
    own: tuple[int, ...]
    ships: bool
    wanted: frozenset[str]


class Batch(NamedTuple):
    """Records of a batch; a column that is `None` is so for every record.

    Parameters
    ----------
    number
        Of the batch: batches and exchanges are counted from 0.
    committed
        How many of them are in the ledger.
    places
        In the whole batch.
    raws, stamps, keys, partitions
        `raw`, `record_ts`, `key` and `partition` of each `Record`.
    """

    number: int
    committed: int
    places: list[int]
    raws: list[bytes | None]
    stamps: list[int | None] | None
    keys: list[bytes | None] | None
    partitions: list[int | None] | None


class Tell(NamedTuple):
    """The first half of an exchange; the numbers are those of `Batch`."""

    number: int
    committed: int
    epoch: int


class Hear(NamedTuple):
    """The second half: what was said to the lanes of this process, in the order of who said it."""

    said: list[Event]


class End(NamedTuple):
    """The log has ended: tell what the lanes know, if it lives with you."""


class Reply(NamedTuple):
    """The answer to a `Load` (a dict) or a `State` (a `LaneState`)."""

    what: Any


# -- from the process ----------------------------------------------------------------------------------------------


class Ready(NamedTuple):
    """The lanes are loaded.

    Parameters
    ----------
    clocks
        Of these lanes.
    duplicate, late
        Records so far.
    """

    clocks: Clocks
    duplicate: int
    late: int


class Load(NamedTuple):
    """Wanted: memories of customers, as the ledger has them now."""

    lane: int
    ids: list[str]


class State(NamedTuple):
    """Wanted: a lane as it stood before batch `number`; so all before it must be in the ledger."""

    number: int
    lane: int


class Answer(NamedTuple):
    """What became of a `Batch` or an exchange; all indexes are places in the whole batch.

    Parameters
    ----------
    outcomes
        Empty unless the parent keeps state.
    alerts, predictions
        Lines that somebody wants.
    dead, late
        As in `Worked`.
    n_duplicate, n_late
        Of these lanes since the ledger began.
    """

    outcomes: list[Outcome]
    alerts: list[Numbered]
    predictions: list[Numbered]
    dead: list[DeadRecord]
    late: list[int]
    n_duplicate: int
    n_late: int


class Told(NamedTuple):
    """The answer to `Tell`: lane -> what it says to others."""

    said: dict[int, list[Event]]


class Lines(NamedTuple):
    """Customer ids and their lines of the board, sorted by id; more may follow."""

    lines: list[tuple[str, bytes]]


class Ended(NamedTuple):
    """The answer to `End`, after all `Lines`: the lanes, without their customers."""

    states: dict[int, LaneState]


class Failed(NamedTuple):
    """The process cannot go on: the error that a replay in one process would have raised."""

    error: Exception
