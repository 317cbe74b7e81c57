"""The keys of one customer on the board, written with as few commands as what is known of them allows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from engine.outcome import BoardRows
from streams.redis.catalogue import TTL_S
from streams.redis.client import Command
from streams.redis.keys import CUSTOMER_PARTS, Keys

__all__ = ["REFRESH_MS", "CustomerParts", "has_ttl", "whole_hash"]

REFRESH_MS = 30 * 86_400_000
"""How often every key of a customer gets its TTL anew: the slack between `TTL_S` and the default `retire`."""

# About 50 MB. Forgetting a customer costs some ten commands at their next change.
_KNOWN_MAX = 100_000
_HASHES = ("customer", "flags", "why", "profile", "history")

_Known = dict[str, frozenset[str] | int]
"""Part -> names of the fields, or length of the list, that we left in Redis."""


class CustomerParts:
    """Writes customers' keys, and remembers what it left there.

    A hash that we know is changed in place: HSET of what there is, HDEL of what went. A list we know is extended and
    cut. Both keep the TTL, and their answers (fields added, length) prove that the key was as we left it; if not,
    somebody else deleted or changed it, and it has to be written whole.

    Parameters
    ----------
    keys
        Names of the keys.
    """

    def __init__(self, keys: Keys) -> None:
        self._prefix = keys.prefix
        self._known: dict[str, _Known] = {}
        self._names: dict[frozenset[str], frozenset[str]] = {}
        self._period = 0
        # Key -> what the in-place command on it must answer.
        self._expected: dict[str, int] = {}

    def begin(self, now_ms: int) -> None:
        """Begin a batch; now and then forget everything, so that TTLs are set anew.

        Without it, the flags of a customer who comes every day would go after `TTL_S` if they never changed.
        """
        self._expected.clear()
        if now_ms // REFRESH_MS != self._period:
            self._period = now_ms // REFRESH_MS
            self.forget_all()

    def forget_all(self) -> None:
        """Know nothing."""
        self._known.clear()
        self._names.clear()
        self._expected.clear()

    def forget(self, member: str) -> None:
        """Know nothing of one customer."""
        self._known.pop(member, None)

    def write(self, commands: list[Command], member: str, rows: BoardRows) -> None:
        """Add the commands of one customer.

        Parameters
        ----------
        commands
            To add to.
        member
            Encoded customer id.
        rows
            What changed.
        """
        known = self._known.get(member)
        new = known is None
        if known is None:
            while len(self._known) >= _KNOWN_MAX:
                del self._known[next(iter(self._known))]
            known = self._known[member] = {}
        for part in _HASHES:
            fields: dict[str, str] | None = getattr(rows, part)
            key = f"{self._prefix}{part}:{member}"
            if fields is not None:
                self._hash(commands, key, fields, known, part)
            elif new:
                commands.append(("EXPIRE", key, TTL_S))
        key = f"{self._prefix}timeline:{member}"
        if rows.timeline is not None:
            self._list(commands, key, rows.timeline, known)
        elif new:
            commands.append(("EXPIRE", key, TTL_S))

    def surprised(self, commands: Sequence[Command], replies: Sequence[object]) -> set[str]:
        """Keys that were not as we left them before the last batch."""
        expected = self._expected
        if not expected:
            return set()
        return {
            str(command[1])
            for command, reply in zip(commands, replies, strict=True)
            if command[0] in ("HSET", "RPUSH") and command[1] in expected and reply != expected[str(command[1])]
        }

    def _hash(self, commands: list[Command], key: str, fields: dict[str, str], known: _Known, part: str) -> None:
        before = known.get(part)
        names = fields.keys()
        if not isinstance(before, frozenset) or before.isdisjoint(names):
            commands += whole_hash(key, fields)
        else:
            commands.append(("HSET", key, *chain.from_iterable(fields.items())))
            gone = before - names
            if gone:
                commands.append(("HDEL", key, *sorted(gone)))
            self._expected[key] = len(names - before)
        if not isinstance(before, frozenset) or before != names:
            # Most customers have the same fields: one set for all of them.
            after = frozenset(names)
            if len(self._names) > _KNOWN_MAX:
                self._names.clear()
            known[part] = self._names.setdefault(after, after)

    def _list(self, commands: list[Command], key: str, items: list[str], known: _Known) -> None:
        before = known.get("timeline")
        if isinstance(before, int) and before and items:
            commands += [("RPUSH", key, *items), ("LTRIM", key, -len(items), -1)]
            self._expected[key] = before + len(items)
        else:
            commands.append(("DEL", key))
            if items:
                commands += [("RPUSH", key, *items), ("EXPIRE", key, TTL_S)]
        known["timeline"] = len(items)


def whole_hash(key: str, fields: Mapping[str, str]) -> list[Command]:
    """Commands that make a hash exactly this, with the TTL; without fields it goes.

    Examples
    --------
    >>> [command[0] for command in whole_hash("risk:why:c1", {"churn": "[]"})], whole_hash("risk:why:c1", {})
    (['DEL', 'HSET', 'EXPIRE'], [('DEL', 'risk:why:c1')])
    """
    if not fields:
        return [("DEL", key)]
    return [("DEL", key), ("HSET", key, *chain.from_iterable(fields.items())), ("EXPIRE", key, TTL_S)]


def has_ttl(key: str, prefix: str) -> bool:
    """Whether a key of the board is one of those with a TTL."""
    return key.removeprefix(prefix).partition(":")[0] in (*CUSTOMER_PARTS, "alert")
