"""The models of a deployment as they stand: what the board says of them, and the metrics that the ledger keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.errors import CorruptState, UsageError
from engine.landmarks import TRIGGERS
from engine.model_watch import ModelWatch
from models.errors import SnapshotError
from streams.redis.board import RiskBoard
from streams.redis.client import RedisClient, talking
from streams.redis.keys import Keys, decode_id

__all__ = ["BoardReading", "LaneReading", "read_models", "read_rows", "read_watches"]

_PAGE = 1_000
_WATCH = ".watch."


@dataclass(frozen=True, slots=True)
class LaneReading:
    """What is known of the models of one lane.

    Parameters
    ----------
    lane
        Its number.
    clock
        The lane clock, ms; -1 before the first event.
    rows
        Model -> field -> value, as the board has them.
    watches
        Trigger -> metrics, comparisons and drift, as the ledger has them.
    """

    lane: int
    clock: int
    rows: Mapping[str, Mapping[str, str]]
    watches: Mapping[str, ModelWatch]


@dataclass(frozen=True, slots=True)
class BoardReading:
    """What the board says of the models.

    Parameters
    ----------
    lanes
        How many lanes the deployment has.
    watermarks
        Lane -> lane clock, ms.
    rows
        Lane -> model -> field -> value.
    """

    lanes: int
    watermarks: Mapping[int, int]
    rows: Mapping[int, Mapping[str, Mapping[str, str]]]


def read_models(client: RedisClient, prefix: str) -> list[LaneReading]:
    """The models of every lane that has learned anything, in the order of the lanes.

    Board and ledger are read one after the other: what a worker writes meanwhile may be in the second alone.

    Raises
    ------
    UsageError
        If there is no board, or the user of Redis may not read its ledger.
    CorruptState
        If a snapshot in the ledger is damaged.
    StoreUnavailable
        If Redis does not answer.
    """
    keys, board = Keys(prefix), read_rows(client, prefix)
    return [
        LaneReading(lane, board.watermarks.get(lane, -1), rows, read_watches(client, keys, lane))
        for lane, rows in sorted(board.rows.items())
    ]


def read_rows(client: RedisClient, prefix: str) -> BoardReading:
    """What the board alone says of the models.

    Raises
    ------
    UsageError
        If there is no board.
    StoreUnavailable
        If Redis does not answer.
    """
    keys = Keys(prefix)
    meta = RiskBoard(client, prefix).meta()
    if meta is None or meta.lanes is None:
        raise UsageError(f"--prefix: expected a board under {prefix}, got none; see `henji verify`")
    rows: dict[int, dict[str, dict[str, str]]] = {}
    head = keys.model("")
    with talking(f"read {head}*"):
        for key in sorted(set(client.scan_iter(match=f"{head}*", count=_PAGE))):
            name = decode_id(key.decode().removeprefix(head))
            found: dict[bytes, bytes] = client.execute_command("HGETALL", key)
            for raw, value in found.items():
                field, _, lane = raw.decode().rpartition(":")
                if lane.isdecimal() and int(lane) < meta.lanes:
                    rows.setdefault(int(lane), {}).setdefault(name, {})[field] = value.decode()
    return BoardReading(meta.lanes, meta.watermarks, rows)


def read_watches(client: RedisClient, keys: Keys, lane: int) -> dict[str, ModelWatch]:
    """Metrics, comparisons and drift of a lane by trigger; a trigger without any yet is missing.

    Raises
    ------
    CorruptState
        If a part is damaged.
    """
    key = keys.lane_models(lane)
    with talking(f"read {key}"):
        found: dict[bytes, bytes] = dict(client.hscan_iter(key, match=f"*{_WATCH}*", count=_PAGE))
    parts = {name.decode(): data for name, data in found.items()}
    watches: dict[str, ModelWatch] = {}
    for trigger in TRIGGERS:
        begin = f"{trigger}{_WATCH}"
        mine = {name[len(begin) :]: data for name, data in parts.items() if name.startswith(begin)}
        if not mine:
            continue
        n_paired = sum(name.startswith("paired/") for name in mine)
        watch = watches[trigger] = ModelWatch(trigger, max(0, n_paired - 1))
        try:
            watch.restore(mine)
        except SnapshotError as error:
            raise CorruptState(
                f"{key}: expected metrics that this henji wrote, got {error}; use the henji that writes this board"
            ) from error
    return watches
