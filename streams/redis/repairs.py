"""Board keys that could not be written, or that somebody else changed, and how they are written whole again."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from streams.redis.catalogue import INDEXES, QUEUES, TTL_S
from streams.redis.client import Command
from streams.redis.customer_parts import has_ttl
from streams.redis.keys import Keys

__all__ = ["BoardRepairs", "expected_types"]

_LOG = logging.getLogger(__name__)

_TYPE_OF_COMMAND = {"HSET": b"hash", "RPUSH": b"list", "ZADD": b"zset", "XADD": b"stream", "SET": b"string"}

IndexMembers = Callable[[str], Iterable[tuple[str, float]] | None]
"""Name of a leaderboard or queue -> its members with their scores, read from the ledger; `None` if that is unknown."""


class BoardRepairs:
    """What has to be written again before, or with, the next batch.

    A command that fails inside EXEC does not undo the others: the ledger has the batch, the board lacks a key. Since
    each batch holds that key's whole content, DEL and the same commands put it right. A leaderboard or queue is shared
    by all customers, so it is rebuilt from the ledger.

    Parameters
    ----------
    keys
        Names of the keys.
    """

    def __init__(self, keys: Keys) -> None:
        self._shared = {keys.index(name): name for name in INDEXES} | {keys.queue(name): name for name in QUEUES}
        self._wake = keys.wake
        self._prefix = keys.prefix
        self._pending: dict[str, list[Command]] = {}

    @property
    def keys(self) -> frozenset[str]:
        """Keys that are known to be wrong on the board."""
        return frozenset(self._pending)

    def note(self, commands: Sequence[Command], failed: Iterable[str]) -> None:
        """Remember the keys that failed among the commands of a transaction; the former ones are done.

        Parameters
        ----------
        commands
            Everything that the transaction did to the board, repairs included.
        failed
            Keys of which a command failed, or answered what it would not had nobody else touched the key.
        """
        # A failed wake-up is none: the stream is what counts.
        self._pending = {key: [("DEL", key)] for key in failed if key != self._wake}
        if not self._pending:
            return
        for command in commands:
            rewrite = self._pending.get(str(command[1]))
            if rewrite is None:
                continue
            if command[0] == "DEL":
                rewrite[1:] = []
            else:
                rewrite.append(command)
        # No key in the log: it may hold the id of a customer.
        _LOG.warning(
            "%d board keys are not as we left them; they are written whole with the next batch", len(self._pending)
        )

    def commands(
        self, members: IndexMembers, rebuild: Callable[[str, Iterable[tuple[str, float]]], list[Command]]
    ) -> list[Command]:
        """Commands that put the remembered keys right."""
        out: list[Command] = []
        for key, rewrite in self._pending.items():
            name = self._shared.get(key)
            everyone = members(name) if name is not None else None
            if name is not None and everyone is not None:
                out += rebuild(name, everyone)
            else:
                out += rewrite
                if has_ttl(key, self._prefix):
                    out.append(("EXPIRE", key, TTL_S))
        return out


def expected_types(commands: Iterable[Command]) -> dict[str, bytes]:
    """Key -> type that it has after these commands; keys that they may delete are left out.

    Examples
    --------
    >>> expected_types([("DEL", "a"), ("HSET", "b", "f", "v"), ("EXPIRE", "b", 5)])
    {'b': b'hash'}
    """
    types: dict[str, bytes] = {}
    for command in commands:
        kind = _TYPE_OF_COMMAND.get(str(command[0]))
        if kind is not None:
            types[str(command[1])] = kind
        elif command[0] in ("DEL", "UNLINK"):
            for key in command[1:]:
                types.pop(str(key), None)
    return types
