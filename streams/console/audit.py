"""The audit: who did and saw what. Entries are only added; the file itself refuses to change or delete them."""

from __future__ import annotations

from typing import Any

from streams.console.clock import DAY_MS, MINUTE_MS, Clock
from streams.console.file import ConsoleFile

__all__ = ["KEEP_MS", "Audit"]

KEEP_MS = 400 * DAY_MS
"""How long an entry is kept."""

_CUT = 500
_SEEN_AGAIN_MS = 10 * MINUTE_MS  # a page that is open asks again and again
_SEEN_MOST = 10_000


class Audit:
    """Writes and reads the audit.

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
        self._seen: dict[tuple[str, str, str], int] = {}

    def note(self, who: str, what: str, about: str = "", detail: str = "") -> None:
        """Add an entry.

        Parameters
        ----------
        who
            Name of the account, `-` for nobody, `command line` for whoever may run commands on the machine.
        what
            The deed, such as `login` or `view`.
        about
            On whom or what: an account, a customer, an alert.
        detail
            More; never a secret, and no free text of people.
        """
        self._file.write(
            "INSERT INTO audit (at, who, what, about, detail) VALUES (?, ?, ?, ?, ?)",
            (self._now_ms(), who[:_CUT], what[:_CUT], about[:_CUT], detail[:_CUT]),
        )

    def view(self, who: str, about: str, detail: str = "") -> None:
        """Add that somebody looked at a customer; once in 10 minutes, however often the page asks."""
        now, key = self._now_ms(), (who, about, detail)
        if now - self._seen.get(key, -_SEEN_AGAIN_MS) < _SEEN_AGAIN_MS:
            return
        self.note(who, "view", about, detail)
        if len(self._seen) >= _SEEN_MOST:
            self._seen.clear()
        self._seen[key] = now

    def page(self, before: int | None, limit: int) -> list[dict[str, Any]]:
        """Entries, the newest first.

        Parameters
        ----------
        before
            Only those with a smaller id.
        limit
            At most so many.
        """
        last = 2**63 - 1 if before is None else before
        rows = self._file.rows("SELECT * FROM audit WHERE id < ? ORDER BY id DESC LIMIT ?", (last, limit))
        return [dict(row) for row in rows]

    def prune(self) -> int:
        """Delete what is older than `KEEP_MS`, the one deletion there is; returns how many went."""
        kept_from = self._now_ms() - KEEP_MS
        with self._file.together():
            name = "audit_kept_from"
            self._file.write(
                "INSERT OR REPLACE INTO facts (name, value) VALUES (?, ?)", (name, str(kept_from).encode())
            )
            gone = self._file.write("DELETE FROM audit WHERE at < ?", (kept_from,))
            self._file.write("DELETE FROM facts WHERE name = ?", (name,))
        return gone
