"""What a consumer of a group asks of the alert stream, for any kind of client."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from engine.errors import CorruptState, UsageError
from streams.redis.asking import Ask, Question
from streams.redis.keys import Keys
from streams.redis.views import AlertView, read_alert

__all__ = ["IDLE_MS", "Group"]

_LOG = logging.getLogger("henji.alerts")

IDLE_MS = 60_000
"""How long a message may lie with a consumer before another takes it for dead, ms."""

_GONE = ("NOGROUP",)
_THERE = ("BUSYGROUP",)
_FIRST = "0-0"

_Entries = Sequence[tuple[bytes | None, dict[bytes, bytes] | None]]


class Group:
    """The questions of one consumer, and how far it is in what it does after a start.

    Parameters
    ----------
    keys
        Names of the keys of the board.
    name, consumer
        Of the group, and of the consumer in it; two programs that run at once need two consumer names.
    start
        Where a group that is made begins: `$` after the newest message, `0` at the oldest kept, or a stream id.
    idle_ms
        See `IDLE_MS`.
    delivered_only
        Take only what people should be shown, and acknowledge the rest unseen.

    Raises
    ------
    UsageError
        If a name is empty.
    """

    def __init__(
        self, keys: Keys, name: str, consumer: str, *, start: str = "$", idle_ms: int = IDLE_MS, delivered_only: bool
    ) -> None:
        if not name or not consumer:
            raise UsageError("alert stream: expected names of a group and of a consumer, got an empty one; give both")
        self.n_lost = 0
        self.n_unreadable = 0
        self._key = keys.alerts
        self._name = name
        self._consumer = consumer
        self._start = start
        self._idle_ms = idle_ms
        self._delivered_only = delivered_only
        # What the consumer of this name had before it was started anew, from this id on; None: it is through.
        self._left_from: str | None = _FIRST
        # Redis looks at some of what waits only, and says where to go on.
        self._claim_from: str = _FIRST

    def create(self) -> Question[bool]:
        """See `AlertStream.create`."""
        return (yield from self._create(self._start))

    def _create(self, start: str) -> Question[bool]:
        # MKSTREAM: before the first alert there is no stream.
        command = ("XGROUP", "CREATE", self._key, self._name, start, "MKSTREAM")
        (made,) = yield Ask([command], f"make group {self._name} of {self._key}", refusals=_THERE)
        return not isinstance(made, str)

    def take(self, count: int, block_ms: int | None) -> Question[list[AlertView]]:
        """See `AlertStream.take`."""
        while self._left_from is not None:
            entries = yield from self._read(self._left_from, count, None)
            last = entries[-1][0] if entries else None
            self._left_from = None if last is None else last.decode()
            messages = yield from self._usable(entries)
            if messages:
                return messages
        messages = yield from self._claim(count)
        if messages:
            return messages
        return (yield from self._usable((yield from self._read(">", count, block_ms))))

    def ack(self, ids: Iterable[str]) -> Question[int]:
        """See `AlertStream.ack`."""
        listed = list(ids)
        if not listed:
            return 0
        (n,) = yield Ask([("XACK", self._key, self._name, *listed)], f"acknowledge alerts of {self._key}")
        return int(n)

    def _claim(self, count: int) -> Question[list[AlertView]]:
        command = (
            *("XAUTOCLAIM", self._key, self._name, self._consumer, self._idle_ms, self._claim_from),
            *("COUNT", count),
        )
        (answer,) = yield Ask([command], f"claim alerts of {self._key}", refusals=_GONE)
        if isinstance(answer, str):
            yield from self._create(_FIRST)
            return []
        self._claim_from = answer[0].decode()
        entries: _Entries = answer[1]
        # Redis 7 drops the trimmed ones by itself and names them; Redis 6.2 gives them to us without their names.
        lost = len(answer[2]) if len(answer) > 2 else 0
        self._lose(lost)
        if any(stream_id is None for stream_id, _ in entries):
            yield from self._sweep(count)
        return (yield from self._usable([entry for entry in entries if entry[0] is not None]))

    def _sweep(self, count: int) -> Question[None]:
        """Let go of what is ours and no more in the stream."""
        start = _FIRST
        while True:
            entries = yield from self._read(start, count, None)
            if not entries:
                return
            gone = [stream_id.decode() for stream_id, fields in entries if stream_id is not None and not fields]
            self._lose(len(gone))
            yield from self.ack(gone)
            last = entries[-1][0]
            assert last is not None, "a consumer's own entries have ids"
            start = last.decode()

    def _read(self, start: str, count: int, block_ms: int | None) -> Question[_Entries]:
        wait: tuple[Any, ...] = () if block_ms is None else ("BLOCK", max(1, block_ms))
        command = (
            *("XREADGROUP", "GROUP", self._name, self._consumer, "COUNT", count, *wait),
            *("STREAMS", self._key, start),
        )
        (answer,) = yield Ask([command], f"take alerts of {self._key}", refusals=_GONE)
        if isinstance(answer, str):
            # The stream was made anew, so all of it is new to the group; who acts twice looks at the identity.
            yield from self._create(_FIRST)
            return []
        entries: _Entries = answer[0][1] if answer else []
        return entries

    def _usable(self, entries: _Entries) -> Question[list[AlertView]]:
        """The messages in entries; acknowledges those that are none, and those that are not wanted."""
        messages: list[AlertView] = []
        through: list[str] = []
        lost = 0
        for raw, fields in entries:
            assert raw is not None
            stream_id = raw.decode()
            if not fields:
                lost += 1
                through.append(stream_id)
                continue
            try:
                message = read_alert(self._key, stream_id, fields)
            except CorruptState as error:
                # One that nobody can read would come back for ever, and keep the others from being taken.
                _LOG.warning("%s; acknowledged unread", error)
                self.n_unreadable += 1
                through.append(stream_id)
                continue
            if self._delivered_only and message.held:
                through.append(stream_id)
            else:
                messages.append(message)
        self._lose(lost)
        yield from self.ack(through)
        return messages

    def _lose(self, n: int) -> None:
        if n:
            self.n_lost += n
            _LOG.warning("%d alerts of group %s were trimmed before they were acknowledged", n, self._name)
