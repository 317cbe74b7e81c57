"""The name of a flag's field on the board."""

from __future__ import annotations

import hashlib

__all__ = ["FIELD_MAX_BYTES", "flag_field"]

FIELD_MAX_BYTES = 64
"""Redis keeps a hash compact only while fields and values are at most 64 bytes; beyond, it takes 3.7 times as much."""

_CUT_BYTES = 40


def flag_field(flag: str, category: str | None) -> str:
    """Name of a flag's field in `flags:<id>` and `why:<id>`, never over 64 bytes.

    A longer one is cut at 40 bytes, on a character boundary, and ends in `~` and 16 hex digits of the BLAKE2b hash of
    the whole name.

    Parameters
    ----------
    flag
        Name of the flag.
    category
        Its category, `None` for a flag per customer.

    Examples
    --------
    >>> flag_field("repeat_request", "billing/invoice"), flag_field("sensitive", None)
    ('repeat_request/billing/invoice', 'sensitive')
    >>> flag_field("repeat_request", "x" * 64)
    'repeat_request/xxxxxxxxxxxxxxxxxxxxxxxxx~49ac860930e6c7c6'
    """
    name = flag if category is None else f"{flag}/{category}"
    raw = name.encode()
    if len(raw) <= FIELD_MAX_BYTES:
        return name
    digest = hashlib.blake2b(raw, digest_size=8).hexdigest()
    return f"{raw[:_CUT_BYTES].decode(errors='ignore')}~{digest}"
