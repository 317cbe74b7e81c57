"""Which lane a record of a log is for, told without decoding it whole."""

from __future__ import annotations

import msgspec

from engine.decode import Limits, decode
from engine.errors import InvalidEvent
from engine.murmur2 import lane_of
from engine.vocabulary import Vocabulary
from streams.reader.record import Record

__all__ = ["Router"]

_LONGEST_ID = 128


class _Head(msgspec.Struct):
    customer_id: str | None = None


_read_head = msgspec.json.Decoder(_Head).decode


class Router:
    """Gives the lane that `engine.decode` and the hash give; of a record that is no event, any lane.

    A look at the customer id alone takes a tenth of the time that decoding takes. It is trusted only where it finds
    text: both parsers let the last of two equal keys count and read escapes alike, and what only one of them takes for
    JSON is dead. Everything else, and every record that a vocabulary translates, is decoded.

    Parameters
    ----------
    lanes
        Number of lanes of the deployment.
    vocabulary, limits
        As for `decode`.

    Examples
    --------
    >>> router = Router(8)
    >>> router.lane(Record(b'{"customer_id":"c1","event_id":"e","ts":0,"kind":"view"}', "log", 1)) == lane_of("c1", 8)
    True
    """

    def __init__(self, lanes: int, vocabulary: Vocabulary | None = None, limits: Limits | None = None) -> None:
        self._lanes = lanes
        self._vocabulary = vocabulary
        self._limits = limits or Limits()

    def lane(self, record: Record) -> int:
        """The lane that applies the record."""
        raw = record.raw
        if not raw or len(raw) > self._limits.max_bytes:
            return 0
        if self._vocabulary is None:
            try:
                customer_id = _read_head(raw).customer_id
            except (msgspec.MsgspecError, ValueError, RecursionError):
                customer_id = None
            if customer_id is not None:
                # A longer id is dead, and must not take room where hashes are remembered.
                return lane_of(customer_id, self._lanes) if len(customer_id) <= _LONGEST_ID else 0
        return self._decoded(raw)

    def _decoded(self, raw: bytes) -> int:
        try:
            event = decode(raw, limits=self._limits, vocabulary=self._vocabulary)
        except InvalidEvent:
            return 0
        if event.customer_id is not None:
            return lane_of(event.customer_id, self._lanes)
        return (event.lane or 0) % self._lanes
