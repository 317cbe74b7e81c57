"""The console's SQLite file: accounts, sessions, attempts to log in, audit; only its owner can read it."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.errors import ConfigurationError, CorruptState, StateIncompatible, StoreUnavailable

__all__ = ["SCHEMA_VERSION", "ConsoleFile"]

SCHEMA_VERSION = 2
"""Of the tables below; a file of a newer one is refused."""

_APPLICATION_ID = 0x68656E6A  # "henj"

_BUSY_MS = 5_000  # the command line may write at the same time

_SCHEMA = """
CREATE TABLE users (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    role TEXT NOT NULL CHECK (role IN ('viewer', 'agent', 'lead', 'admin')),
    password TEXT,
    disabled INTEGER NOT NULL DEFAULT 0,
    totp_secret TEXT,
    totp_offered TEXT,
    totp_step INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE sessions (
    digest BLOB PRIMARY KEY,
    user_id INTEGER NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at INTEGER NOT NULL,
    seen_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_of_user ON sessions (user_id);
CREATE TABLE links (
    digest BLOB PRIMARY KEY,
    user_id INTEGER REFERENCES users (id) ON DELETE CASCADE,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE attempts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL,
    at INTEGER NOT NULL
) STRICT;
CREATE INDEX attempts_of_key ON attempts (key, at);
CREATE INDEX attempts_by_age ON attempts (at);
CREATE TABLE facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE audit (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    about TEXT NOT NULL,
    detail TEXT NOT NULL
) STRICT;
CREATE INDEX audit_by_age ON audit (at);
CREATE TRIGGER audit_is_never_changed BEFORE UPDATE ON audit
BEGIN SELECT RAISE(ABORT, 'audit: entries are never changed'); END;
CREATE TRIGGER audit_is_only_added BEFORE INSERT ON audit
WHEN EXISTS (SELECT 1 FROM audit WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'audit: entries are never replaced'); END;
CREATE TRIGGER audit_is_kept BEFORE DELETE ON audit
WHEN OLD.at >= coalesce((SELECT CAST(value AS INTEGER) FROM facts WHERE name = 'audit_kept_from'), 0)
BEGIN SELECT RAISE(ABORT, 'audit: entries are kept'); END;
"""

# Since schema 2: whom a provider knows by it.
_SUBJECTS = """
ALTER TABLE users ADD COLUMN subject TEXT;
CREATE UNIQUE INDEX users_of_provider ON users (subject);
"""


class ConsoleFile:
    """The open file; one connection, used by one thread.

    Every statement is short and waits at most 5 s for another process (the command line) that writes.

    Parameters
    ----------
    path
        Made with mode 0600 when it is not there.

    Raises
    ------
    ConfigurationError
        If others may read it, or it cannot be opened.
    StateIncompatible
        If a newer console made it.
    CorruptState
        If another program made it, or it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        _make_private(path)
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_MS / 1000)
            self._connection.row_factory = sqlite3.Row
            self._prepare()
        except sqlite3.DatabaseError as error:
            raise CorruptState(
                f"{path}: expected a file of accounts, got {error}; restore it or name another"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def rows(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """The rows of a SELECT.

        Raises
        ------
        StoreUnavailable
            If the file does not answer.
        """
        with _mapped(self.path):
            return self._connection.execute(sql, values).fetchall()

    def row(self, sql: str, values: Sequence[Any] = ()) -> sqlite3.Row | None:
        """The first row of a SELECT."""
        found = self.rows(sql, values)
        return found[0] if found else None

    def write(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run one statement that writes; returns how many rows it touched."""
        with _mapped(self.path):
            return self._connection.execute(sql, values).rowcount

    @contextmanager
    def together(self) -> Iterator[None]:
        """Everything within the block is written, or nothing; nobody else writes meanwhile."""
        with _mapped(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._connection.execute("ROLLBACK")
            raise
        with _mapped(self.path):
            self._connection.execute("COMMIT")

    def secret(self, name: str) -> bytes:
        """A random key of this file, 32 bytes, made when it is first asked for."""
        self.write("INSERT OR IGNORE INTO facts (name, value) VALUES (?, ?)", (name, secrets.token_bytes(32)))
        row = self.row("SELECT value FROM facts WHERE name = ?", (name,))
        assert row is not None
        return bytes(row["value"])

    def _prepare(self) -> None:
        run = self._connection.execute
        run(f"PRAGMA busy_timeout = {_BUSY_MS}")
        run("PRAGMA journal_mode = WAL")
        run("PRAGMA synchronous = FULL")  # a session that was ended must not come back after a power cut
        run("PRAGMA foreign_keys = ON")
        run("PRAGMA trusted_schema = OFF")
        with self.together():
            version, owner = (run(f"PRAGMA {name}").fetchone()[0] for name in ("user_version", "application_id"))
            tables = run("SELECT count(*) FROM sqlite_schema").fetchone()[0]
            if not tables and not version:
                for statement in _statements(_SCHEMA):
                    run(statement)
                run(f"PRAGMA application_id = {_APPLICATION_ID}")
                version, owner = 1, _APPLICATION_ID
            if version == 1 and owner == _APPLICATION_ID:
                for statement in _statements(_SUBJECTS):
                    run(statement)
                run(f"PRAGMA user_version = {SCHEMA_VERSION}")
                version = SCHEMA_VERSION
        if owner != _APPLICATION_ID:
            raise CorruptState(f"{self.path}: expected a file of this console, got another program's; name another")
        if version != SCHEMA_VERSION:
            raise StateIncompatible(
                f"{self.path}: expected accounts of schema {SCHEMA_VERSION}, got {version}; use the henji that made it"
            )


def _statements(script: str) -> Iterator[str]:
    # executescript() would end the transaction.
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def _make_private(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        mode = path.stat().st_mode
    except OSError as error:
        raise ConfigurationError(
            f"--accounts: expected a file that can be read and written, got {path} ({error.strerror})"
        ) from error
    if mode & 0o077:
        raise ConfigurationError(
            f"--accounts: expected a file that nobody else can read, got {path} with mode {mode & 0o777:o}; "
            "chmod 600 it"
        )


@contextmanager
def _mapped(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.IntegrityError:
        raise  # the caller's own: a name that is taken, an audit entry that is kept
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{path}: expected the file of accounts to answer, got {error}; try again") from error
