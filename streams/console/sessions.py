"""Sessions: a random token in a cookie, of which the file has only the hash."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass

from streams.console.clock import HOUR_MS, MINUTE_MS, Clock
from streams.console.file import ConsoleFile
from streams.console.roles import Role

__all__ = ["ABSOLUTE_MS", "IDLE_MS", "Session", "Sessions"]

IDLE_MS = 30 * MINUTE_MS
"""A session that asked nothing for so long has ended."""

ABSOLUTE_MS = 12 * HOUR_MS
"""Every session ends after so long."""

_TOUCH_MS = MINUTE_MS  # how exact "asked last" is, to spare a write per request
_TOKEN = re.compile(r"[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Session:
    """Who asks.

    Parameters
    ----------
    user_id, name, role
        The account.
    has_totp
        Whether it asks for a code as well.
    """

    user_id: int
    name: str
    role: Role
    has_totp: bool


class Sessions:
    """Begins, finds and ends sessions.

    Before anybody is logged in the cookie holds a token as well, which is no session: it only ties a form to a browser.

    Parameters
    ----------
    file
        The console's file.
    now_ms
        Wall clock.
    """

    def __init__(self, file: ConsoleFile, now_ms: Clock) -> None:
        self._file = file
        self._now_ms = now_ms
        self._key = file.secret("csrf_key")

    @staticmethod
    def new_token() -> str:
        """256 random bits for a cookie."""
        return secrets.token_urlsafe(32)

    @staticmethod
    def is_token(text: str | None) -> bool:
        """Whether a cookie has the form of a token."""
        return text is not None and _TOKEN.fullmatch(text) is not None

    def csrf(self, token: str) -> str:
        """What a page has to send with everything it does under a token."""
        return hmac.new(self._key, b"csrf:" + token.encode(), hashlib.sha256).hexdigest()

    def is_csrf(self, token: str, presented: str) -> bool:
        """Whether a page presents what belongs to its token."""
        return hmac.compare_digest(self.csrf(token).encode(), presented.encode("utf-8", "replace"))

    def begin(self, user_id: int) -> str:
        """A new session; returns its token, which was never seen before."""
        token, now = self.new_token(), self._now_ms()
        with self._file.together():
            self._file.write(
                "DELETE FROM sessions WHERE created_at <= ? OR seen_at <= ?", (now - ABSOLUTE_MS, now - IDLE_MS)
            )
            self._file.write(
                "INSERT INTO sessions (digest, user_id, created_at, seen_at) VALUES (?, ?, ?, ?)",
                (_digest(token), user_id, now, now),
            )
        return token

    def find(self, token: str, *, touch: bool = True) -> Session | None:
        """The session of a token, if it still holds and its account too.

        Parameters
        ----------
        token
            From the cookie.
        touch
            Whether somebody asked something: the session then is not idle.
        """
        now, digest = self._now_ms(), _digest(token)
        row = self._file.row(
            "SELECT users.id, name, role, totp_secret, seen_at FROM sessions JOIN users ON users.id = user_id "
            "WHERE digest = ? AND NOT disabled AND sessions.created_at > ? AND seen_at > ?",
            (digest, now - ABSOLUTE_MS, now - IDLE_MS),
        )
        if row is None:
            return None
        if touch and now - row["seen_at"] >= _TOUCH_MS:
            self._file.write("UPDATE sessions SET seen_at = ? WHERE digest = ?", (now, digest))
        return Session(row["id"], row["name"], Role.of(row["role"]), row["totp_secret"] is not None)

    def end(self, token: str) -> None:
        """End a session."""
        self._file.write("DELETE FROM sessions WHERE digest = ?", (_digest(token),))

    def end_all(self, user_id: int) -> None:
        """End all sessions of an account."""
        self._file.write("DELETE FROM sessions WHERE user_id = ?", (user_id,))


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
