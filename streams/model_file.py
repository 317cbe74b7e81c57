"""All that the lanes of a deployment have learned, as one file: data with schema and checksum, never code."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import msgspec

from engine.errors import CorruptState
from engine.settings import ENGINE_VERSION
from models.errors import SnapshotError
from models.snapshot import pack, unpack
from streams.redis.client import RedisClient, talking
from streams.redis.keys import Keys
from streams.redis.model_reader import read_rows

__all__ = ["ModelFile", "export_models", "read_model_file"]

_KIND: Final = "models"


class ModelFile(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """What is in the file.

    Parameters
    ----------
    engine
        Version of the engine that wrote it.
    lanes
        How many lanes the deployment has.
    clocks
        Lane -> lane clock, ms, of those that had an event.
    parts
        Lane -> name of a part -> its snapshot, as `engine.scoring.LaneModels.restore` takes them.
    """

    engine: str
    lanes: int
    clocks: dict[int, int]
    parts: dict[int, dict[str, bytes]]

    def encode(self) -> bytes:
        """The bytes of the file; the same for the same models."""
        return pack(_KIND, self)


def export_models(client: RedisClient, prefix: str) -> ModelFile:
    """Read the models of every lane from the ledger of a board.

    The parts of a lane are of one moment, the lanes are not: let the log end, or stop the workers, for an exact copy.

    Raises
    ------
    UsageError
        If there is no such board, or the user of Redis may not read its ledger.
    StoreUnavailable
        If Redis does not answer.
    """
    keys, board = Keys(prefix), read_rows(client, prefix)
    parts: dict[int, dict[str, bytes]] = {}
    for lane in range(board.lanes):
        key = keys.lane_models(lane)
        with talking(f"read {key}"):
            found: dict[bytes, bytes] = client.execute_command("HGETALL", key)
        if found:
            parts[lane] = {name.decode(): found[name] for name in sorted(found)}
    return ModelFile(ENGINE_VERSION, board.lanes, dict(sorted(board.watermarks.items())), parts)


def read_model_file(file: Path) -> ModelFile:
    """The content of a file that `ModelFile.encode` made.

    Raises
    ------
    CorruptState
        If it is damaged, or something else.
    """
    try:
        return unpack(_KIND, file.read_bytes(), ModelFile)
    except SnapshotError as error:
        raise CorruptState(f"{file}: expected a file of `henji models export`, got {error}") from error
