"""Passwords: what is taken for one, and how it is kept (argon2id)."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Callable
from typing import TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from streams.console.problem import Problem

__all__ = ["LONGEST", "SHORTEST", "Passwords", "check_password"]

SHORTEST = 12
"""Characters of the shortest password that is taken."""

LONGEST = 256
"""Characters of the longest: more would only cost time."""

_Value = TypeVar("_Value")

_AT_ONCE = 2  # each takes 64 MB and a core for some 50 ms
_WAITING = 32  # a flood of log-ins must not pile up


def check_password(name: str, password: str) -> None:
    """Refuse what is no good password for an account.

    Raises
    ------
    Problem
        `invalid`, with what is expected; the password is not shown.

    Examples
    --------
    >>> check_password("anna", "correct horse battery")
    >>> check_password("anna", "short")
    Traceback (most recent call last):
    streams.console.problem.Problem: ('invalid', 'password: expected 12 to 256 characters, got 5')
    """
    if not SHORTEST <= len(password) <= LONGEST:
        raise Problem("invalid", f"password: expected {SHORTEST} to {LONGEST} characters, got {len(password)}")
    if password.casefold() == name.casefold():
        raise Problem("invalid", "password: expected another text than the name, got the name")
    if len(set(password)) < 4:
        raise Problem("invalid", "password: expected at least 4 different characters, got fewer")


class Passwords:
    """Hashes and verifies, a few at a time, beside the event loop.

    Parameters
    ----------
    hasher
        argon2id; by default with the library's parameters (RFC 9106, low memory).
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turn = asyncio.Semaphore(_AT_ONCE)
        self._waiting = 0
        # For accounts that are not there: looking for one costs what verifying does.
        self._nobody = self._hasher.hash("nobody has this password")

    async def hash(self, password: str) -> str:
        """The hash to keep, with its salt and parameters."""
        text = _normal(password)
        return await self._work(lambda: self._hasher.hash(text))

    async def verify(self, kept: str | None, password: str) -> bool:
        """Whether a password is the one of a hash; `None`, of nobody, takes as long and is never."""
        text = _normal(password[: LONGEST + 1])

        def check() -> bool:
            try:
                return self._hasher.verify(kept or self._nobody, text)
            except (VerificationError, InvalidHashError):
                return False

        return await self._work(check) and kept is not None

    def is_old(self, kept: str) -> bool:
        """Whether a hash was made with other parameters than those of today."""
        return self._hasher.check_needs_rehash(kept)

    async def _work(self, what: Callable[[], _Value]) -> _Value:
        if self._waiting >= _WAITING:
            raise Problem("too_many", "expected fewer log-ins at a time, got too many", headers={"Retry-After": "2"})
        self._waiting += 1
        try:
            async with self._turn:
                return await asyncio.to_thread(what)
        finally:
            self._waiting -= 1


def _normal(password: str) -> str:
    # The same characters typed on another system may come as other code points (NIST SP 800-63B, 5.1.1.2).
    return unicodedata.normalize("NFKC", password)
