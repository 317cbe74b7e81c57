"""The commands that bring the ledger from before a batch to after it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain

from engine.outcome import Outcome
from streams.redis.client import Command
from streams.redis.keys import Keys

__all__ = ["lane_types", "ledger_commands"]


def lane_types(keys: Keys, lane: int) -> dict[str, bytes]:
    """The ledger's keys of a lane, with their types.

    Examples
    --------
    >>> list(lane_types(Keys(), 3).values())
    [b'hash', b'zset', b'string', b'hash']
    """
    return {
        keys.lane_customers(lane): b"hash",
        keys.lane_timers(lane): b"zset",
        keys.lane_record(lane): b"string",
        keys.lane_models(lane): b"hash",
    }


def ledger_commands(
    keys: Keys, outcomes: Sequence[Outcome], partition_key: str, record: Mapping[str, str]
) -> list[Command]:
    """Commands of one batch, the partition record last.

    Parameters
    ----------
    keys
        Names of the keys.
    outcomes
        One per lane.
    partition_key, record
        The partition record and its new fields.
    """
    commands: list[Command] = []
    for outcome in outcomes:
        commands += _lane(keys, outcome)
    commands.append(("HSET", partition_key, *chain.from_iterable(record.items())))
    return commands


def _lane(keys: Keys, outcome: Outcome) -> list[Command]:
    written: list[str | bytes] = []
    gone: list[str] = []
    due: list[str | int] = []
    undue: list[str] = []
    for change in outcome.customers.values():
        if change.record is None:
            gone.append(change.customer_id)
        else:
            written += (change.customer_id, change.record)
        if change.record is None or change.due is None:
            undue.append(change.customer_id)
        else:
            due += (change.due, change.customer_id)
    customers, timers = keys.lane_customers(outcome.lane), keys.lane_timers(outcome.lane)
    commands: list[Command] = []
    if written:
        commands.append(("HSET", customers, *written))
    if gone:
        commands.append(("HDEL", customers, *gone))
    if due:
        commands.append(("ZADD", timers, *due))
    if undue:
        commands.append(("ZREM", timers, *undue))
    # SET replaces a value of any type, so the answer cannot tell that somebody else wrote the key; nothing is lost.
    commands.append(("SET", keys.lane_record(outcome.lane), outcome.lane_record))
    if outcome.models:
        snapshots: list[str | bytes] = []
        dropped: list[str] = []
        for name, snapshot in outcome.models.items():
            if snapshot is None:
                dropped.append(name)
            else:
                snapshots += (name, snapshot)
        if dropped:
            commands.append(("HDEL", keys.lane_models(outcome.lane), *dropped))
        if snapshots:
            commands.append(("HSET", keys.lane_models(outcome.lane), *snapshots))
    return commands
