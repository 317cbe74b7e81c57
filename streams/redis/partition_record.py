"""The partition record as a hash in Redis: the guard of every transaction, and where a worker goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from engine.errors import CorruptState, StateIncompatible
from streams.ledger import Binding, Counts, PartitionRecord, Position

__all__ = ["GUARD_FIELDS", "SCHEMA", "Guard", "decode_guard", "decode_partition", "encode_partition", "next_owner"]

SCHEMA = "1"
"""Version of the ledger's layout in Redis."""

GUARD_FIELDS = ("owner", "next_offset", "batches")
"""What a transaction compares; the answer to HMGET of these is a `Guard`."""

Guard = tuple[str, int | None, int]
"""Owner token, next offset (`None` before the first batch), number of batches."""

_COUNTS = Counts._fields


def decode_guard(values: Sequence[bytes | None]) -> Guard:
    """The guard in an answer to HMGET of `GUARD_FIELDS`.

    Examples
    --------
    >>> decode_guard([b"1:ab", b"9", b"3"]), decode_guard([None, None, None])
    (('1:ab', 9, 3), ('', None, 0))
    """
    owner, offset, batches = values
    try:
        return (
            (owner or b"").decode(),
            int(offset) if offset is not None else None,
            int(batches) if batches is not None else 0,
        )
    except ValueError as error:
        raise CorruptState(
            f"partition record: expected numbers in next_offset and batches, got {error}; restore a backup"
        ) from error


def encode_partition(binding: Binding, position: Position, batches: int, now_ms: int) -> dict[str, str]:
    """Fields of the record.

    Examples
    --------
    >>> position = Position(next_offset=9, settings="d1", owner="1:ab")
    >>> fields = encode_partition(Binding.of("events", 0), position, batches=3, now_ms=5)
    >>> fields["next_offset"], fields["batches"], fields["lanes"]
    ('9', '3', '8')
    """
    return {
        "schema": SCHEMA,
        "topic": binding.topic,
        "partition": str(binding.partition),
        "lanes": str(binding.lanes),
        "own": ",".join(map(str, binding.own)),
        "owner": position.owner,
        "next_offset": str(position.next_offset),
        "batches": str(batches),
        **{name: str(count) for name, count in zip(_COUNTS, position.counts, strict=True)},
        "last_hash": position.last_hash,
        "settings": position.settings,
        "outputs": orjson.dumps(dict(position.outputs)).decode(),
        "complete": "1" if position.complete else "0",
        "input": position.input,
        "append_delays": orjson.dumps({str(lane): ms for lane, ms in position.append_delays.items()}).decode(),
        "written_at": str(now_ms),
    }


def decode_partition(
    key: str, raw: Mapping[bytes, bytes], binding: Binding, settings: str
) -> tuple[str, PartitionRecord | None]:
    """The owner token and the record of a hash, checked against what we are.

    Returns
    -------
    tuple
        The token is empty when nobody has claimed the partition; the record is `None` before the first batch.

    Raises
    ------
    StateIncompatible
        If it was made under other settings, lanes or layout, or a key of the ledger could not be written.
    CorruptState
        If a field is missing or no number.

    Examples
    --------
    >>> binding = Binding.of("events", 0)
    >>> fields = encode_partition(binding, Position(next_offset=9, settings="d1", owner="1:ab"), 3, 5)
    >>> raw = {name.encode(): value.encode() for name, value in fields.items()}
    >>> owner, record = decode_partition("k", raw, binding, "d1")
    >>> owner, record.position.next_offset, record.batches
    ('1:ab', 9, 3)
    """
    try:
        fields = {name.decode(): value.decode() for name, value in raw.items()}
    except UnicodeDecodeError as error:
        raise CorruptState(f"{key}: expected text in every field, got {error}; restore a backup") from error
    owner = fields.get("owner", "")
    if "broken" in fields:
        raise StateIncompatible(
            f"{key}: expected a whole ledger, got one whose key {fields['broken']} could not be written in batch "
            f"{fields.get('batches', '?')}; find who else writes that key, then restore a backup or reset the ledger "
            "and read the log again"
        )
    if "next_offset" not in fields:
        return owner, None
    _check(key, fields, binding, settings)
    try:
        position = Position(
            next_offset=int(fields["next_offset"]),
            settings=fields["settings"],
            counts=Counts(*(int(fields[name]) for name in _COUNTS)),
            last_hash=fields["last_hash"],
            owner=owner,
            outputs={str(name): int(size) for name, size in orjson.loads(fields["outputs"]).items()},
            complete=fields["complete"] == "1",
            input=fields["input"],
            append_delays={int(lane): int(ms) for lane, ms in orjson.loads(fields.get("append_delays", "{}")).items()},
        )
        return owner, PartitionRecord(position, int(fields["batches"]), int(fields["written_at"]))
    except (KeyError, ValueError, AttributeError, TypeError) as error:
        raise CorruptState(
            f"{key}: expected a partition record of layout {SCHEMA}, got {type(error).__name__}: {error}; "
            "restore a backup, or reset the ledger and read the log again"
        ) from error


def _check(key: str, fields: Mapping[str, str], binding: Binding, settings: str) -> None:
    own = ",".join(map(str, binding.own))
    wanted = {
        "schema": (SCHEMA, "run the version of henji that wrote it"),
        "lanes": (str(binding.lanes), "set lanes back"),
        "own": (own, "copy the topic into a new one to change its partitions"),
        "settings": (settings, "go back to those settings"),
    }
    for name, (expected, way_out) in wanted.items():
        got = fields.get(name)
        if got != expected:
            raise StateIncompatible(
                f"{key}: expected {name} {expected}, got {got}; {way_out}, or reset the ledger and read the log again"
            )


def next_owner(owner: str, nonce: str) -> str:
    """The token after `owner`: a counter, so that people see the order, and a random part, so that no two are equal.

    Examples
    --------
    >>> next_owner("", "ab"), next_owner("41:cd", "ab")
    ('1:ab', '42:ab')
    """
    count = owner.partition(":")[0]
    return f"{int(count) + 1 if count.isdecimal() else 1}:{nonce}"
