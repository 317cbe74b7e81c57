"""Signatures of Standard Webhooks 1.0: HMAC-SHA256 over id, timestamp and body."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence

__all__ = ["ID", "MAX_SECRET", "MIN_SECRET", "PREFIX", "SIGNATURE", "TIMESTAMP", "parse_secret", "sign", "signatures"]

ID = "webhook-id"
"""Header of the message's id, the idempotency key."""

TIMESTAMP = "webhook-timestamp"
"""Header of the time of this attempt, whole seconds since 1970."""

SIGNATURE = "webhook-signature"
"""Header of the signatures, one for each secret, separated by blanks."""

PREFIX = "whsec_"
"""Begins every secret as text."""

MIN_SECRET, MAX_SECRET = 24, 64
"""Length of a secret in bytes."""


def parse_secret(text: str) -> bytes:
    """The key of a secret.

    Parameters
    ----------
    text
        `whsec_` and 24 to 64 bytes in base64, as the libraries of receivers take it.

    Raises
    ------
    ValueError
        If it is not; the message shows nothing of it.

    Examples
    --------
    >>> parse_secret("whsec_" + "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz")
    b'012345678901234567890123'
    """
    text = text.strip()
    what = f"{PREFIX} and {MIN_SECRET} to {MAX_SECRET} random bytes in base64"
    if not text.startswith(PREFIX):
        raise ValueError(f"expected {what}, got a text without {PREFIX}")
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"expected {what}, got something that is not base64") from None
    if not MIN_SECRET <= len(key) <= MAX_SECRET:
        raise ValueError(f"expected {what}, got {len(key)} bytes")
    return key


def sign(key: bytes, message_id: str, timestamp_s: int, body: bytes) -> str:
    """One signature.

    Examples
    --------
    The example of the specification:

    >>> key = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    >>> sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    'v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE='
    """
    signed = b".".join((message_id.encode(), str(timestamp_s).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()


def signatures(keys: Sequence[bytes], message_id: str, timestamp_s: int, body: bytes) -> str:
    """The header's value: a signature with each secret, so that a receiver may know the old one or the new one."""
    return " ".join(sign(key, message_id, timestamp_s, body) for key in keys)
