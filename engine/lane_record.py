"""The lane's own state: clock, alert counter, sums and counts; rewritten with every batch."""

from __future__ import annotations

import zlib
from typing import Any, Self

import msgspec

from engine.desk.shift import Shift
from engine.errors import CorruptState, StateIncompatible

__all__ = ["CONTROL_IDS", "LANE_RECORD_VERSION", "LaneRecord"]

LANE_RECORD_VERSION = 2

CONTROL_IDS = 32
"""Ids of lane control events that are remembered, at least."""


class LaneRecord:
    """What a lane knows beside its customers and models.

    Attributes
    ----------
    clock
        The largest event time applied, ms; -1 before the first.
    seq
        Messages sent so far.
    alert_sum
        Sum mod 2**256 of the SHA-256 of the alert lines.
    read, applied, duplicate, late, dead
        What became of the lane's records (records that could not be decoded belong to no lane).
    ops
        `<flag>:<op>` -> messages sent.
    tallies
        Name -> how often something worth knowing happened: `held:<flag>:<severity>` (a tier of a count held at an
        event), `episodes_over` (an event out of order showed an episode that was over already), `retired`, `erased`,
        `thinned` and `full` (examples not taken), `ignored:<kind>`, and what `engine.sharing` counts.
    controls
        Digests of the ids of the last lane control events.
    shift
        What the desk counts.
    """

    __slots__ = (
        "alert_sum",
        "applied",
        "clock",
        "controls",
        "dead",
        "duplicate",
        "late",
        "ops",
        "read",
        "seq",
        "shift",
        "tallies",
    )

    def __init__(self) -> None:
        self.clock = -1
        self.seq = 0
        self.alert_sum = 0
        self.read = 0
        self.applied = 0
        self.duplicate = 0
        self.late = 0
        self.dead = 0
        self.ops: dict[str, int] = {}
        self.tallies: dict[str, int] = {}
        self.controls: list[int] = []
        self.shift = Shift()

    def tally(self, name: str) -> None:
        """Count one more."""
        self.tallies[name] = self.tallies.get(name, 0) + 1

    def knows_control(self, digest: int, most: int = CONTROL_IDS) -> bool:
        """Whether that lane control event came before; if not, note it, as one of the `most` newest."""
        if digest in self.controls:
            return True
        self.controls = [*self.controls, digest][-most:]
        return False

    def encode(self) -> bytes:
        """The record for the ledger."""
        fields: list[Any] = [getattr(self, name) for name in _PLAIN]
        body = msgspec.msgpack.encode([self.alert_sum.to_bytes(32, "big"), self.shift.encode(), *fields])
        return bytes((LANE_RECORD_VERSION,)) + zlib.crc32(body).to_bytes(4, "little") + body

    @classmethod
    def decode(cls, data: bytes) -> Self:
        """The record that `encode` wrote.

        Raises
        ------
        StateIncompatible
            If another version wrote it.
        CorruptState
            If the bytes are not what was written.

        Examples
        --------
        >>> record = LaneRecord()
        >>> record.clock = 7
        >>> LaneRecord.decode(record.encode()).clock
        7
        """
        if not data or data[0] != LANE_RECORD_VERSION:
            got = data[0] if data else "nothing"
            raise StateIncompatible(
                f"lane record: expected version {LANE_RECORD_VERSION}, got {got}; use the henji that wrote this "
                "ledger, or replay the log into a new one"
            )
        body = data[5:]
        if zlib.crc32(body).to_bytes(4, "little") != data[1:5]:
            raise CorruptState("lane record: expected bytes that match their checksum, got others; restore a backup")
        record = cls()
        alert_sum, shift, *fields = msgspec.msgpack.decode(body)
        record.alert_sum = int.from_bytes(alert_sum, "big")
        record.shift = Shift.decode(shift)
        for name, value in zip(_PLAIN, fields, strict=True):
            setattr(record, name, value)
        return record


_PLAIN = tuple(name for name in LaneRecord.__slots__ if name not in ("alert_sum", "shift"))
