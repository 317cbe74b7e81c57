"""The envelope of everything that models store: data only, checked before it is read.

    bytes  0..3    magic `HNJM`
           4..5    schema, unsigned, big end first
           6..9    length of the body, unsigned, big end first
          10..25   BLAKE2b-128 of the schema, the length and the body
          26..     body: msgpack array [kind, state]

Nothing in it is executed when it is read, so a snapshot from a store that others can write to can spoil a score but not
run code. The checksum finds damage, not forgery. This head stays as it is in every later schema.
"""

from __future__ import annotations

import hashlib
from typing import Final, TypeVar

import msgspec

from models.errors import SnapshotDamaged, SnapshotForeign, SnapshotNewer, SnapshotTruncated

__all__ = ["MAGIC", "SCHEMA", "pack", "unpack"]

MAGIC: Final = b"HNJM"
"""First bytes of every snapshot."""

SCHEMA: Final = 1
"""Number of the present schema; it rises when the state of any kind changes its shape."""

_DIGEST_BYTES: Final = 16
_HEAD_BYTES: Final = 26
_ADVICE: Final = "restore a backup of the model, or replay the log to learn it again"

# What msgspec raises on bytes that somebody forged under a right checksum: also text that is none, and endless nesting.
_BROKEN: Final = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)

S = TypeVar("S")


def pack(kind: str, state: msgspec.Struct) -> bytes:
    """Wrap a state.

    Parameters
    ----------
    kind
        Stable name of what it is the state of.
    state
        Plain data as an array-like struct; floats are kept to the bit.

    Examples
    --------
    >>> class Point(msgspec.Struct, array_like=True):
    ...     x: float
    >>> unpack("point", pack("point", Point(0.1)), Point)
    Point(x=0.1)
    """
    body = msgspec.msgpack.encode([kind, state])
    covered = SCHEMA.to_bytes(2, "big") + len(body).to_bytes(4, "big")
    return MAGIC + covered + _digest(covered + body) + body


def unpack(kind: str, data: bytes, state_type: type[S]) -> S:
    """Read a state that `pack` wrapped.

    Parameters
    ----------
    kind
        What the caller can use.
    data
        The bytes.
    state_type
        Struct of the state.

    Raises
    ------
    SnapshotTruncated, SnapshotDamaged, SnapshotNewer, SnapshotForeign
        If the bytes are not a whole state of this kind and schema.
    """
    if len(data) < _HEAD_BYTES:
        raise SnapshotTruncated(f"{kind}: expected at least {_HEAD_BYTES} bytes, got {len(data)}; {_ADVICE}")
    if data[:4] != MAGIC:
        raise SnapshotDamaged(f"{kind}: expected bytes that begin with {MAGIC!r}, got {data[:4]!r}; {_ADVICE}")
    covered, digest, body = data[4:10], data[10:_HEAD_BYTES], data[_HEAD_BYTES:]
    length = int.from_bytes(covered[2:], "big")
    if len(body) != length:
        raise SnapshotTruncated(f"{kind}: expected a body of {length} bytes, got {len(body)}; {_ADVICE}")
    if _digest(covered + body) != digest:
        raise SnapshotDamaged(f"{kind}: the checksum of the snapshot is wrong; {_ADVICE}")
    schema = int.from_bytes(covered[:2], "big")
    # After the checksum: a flipped bit in the number must not be taken for a newer program.
    if schema > SCHEMA:
        raise SnapshotNewer(f"{kind}: expected schema {SCHEMA} or older, got {schema}; use the program that wrote it")
    return _decode(kind, body, state_type)


def _decode(kind: str, body: bytes, state_type: type[S]) -> S:
    try:
        found, raw = msgspec.msgpack.decode(body, type=tuple[str, msgspec.Raw])
    except _BROKEN as error:
        raise SnapshotDamaged(f"{kind}: expected [kind, state], got {error}; {_ADVICE}") from error
    if found != kind:
        raise SnapshotForeign(f"expected a snapshot of {kind!r}, got one of {found!r}; name the right model")
    try:
        return msgspec.msgpack.decode(raw, type=state_type)
    except _BROKEN as error:
        raise SnapshotDamaged(f"{kind}: {error}; {_ADVICE}") from error


def _digest(covered: bytes) -> bytes:
    return hashlib.blake2b(covered, digest_size=_DIGEST_BYTES).digest()
