"""The spool: a SQLite file with what is to be delivered and the place in the stream up to which it was read.

Both move in one transaction that is on disk before anything else happens. So a crash at any point loses nothing, and
repeats at most an attempt whose answer was not noted, under the same idempotency key.

    fact      what holds for the whole: layout, stream, place, counts
    lane      newest `seq` of each lane, to see what is missing
    known     identities of messages, so that one that comes again is dropped
    payload   what is posted, once for all endpoints
    message   for which endpoint it waits, or that it is dead; in order
    told      alerts that an endpoint has heard of: it gets their end, whatever its filter says
    endpoint  how each endpoint fares
    wish      what people asked of the running sender: to send again, to resume
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

from engine.duration import DAY_MS
from engine.errors import StateIncompatible, StoreUnavailable, UsageError
from streams.webhooks.endpoint import Endpoint, SpoolLimits
from streams.webhooks.lineup import Decision, Item
from streams.webhooks.message import Message

__all__ = ["COUNTS", "KNOWN_LEAST", "Intake", "Settled", "Spool", "Wish"]

COUNTS = ("read", "queued", "duplicates", "unreadable", "gaps", "missing", "rollbacks")
"""What `fact` counts over the life of the spool."""

KNOWN_LEAST = 200_000
"""So many identities are kept whatever their age: more than the stream holds, should it have to be read again."""

_APPLICATION = 0x68656E6A  # "henj"
_LAYOUT = 1
_BUSY_MS = 5_000
_TOLD_MS = 400 * DAY_MS
_LONGEST_WAIT_MS = 2 * 3_600_000

_TABLES = """
CREATE TABLE fact (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE lane (lane INTEGER PRIMARY KEY, seq INTEGER NOT NULL);
CREATE TABLE known (
    number INTEGER PRIMARY KEY AUTOINCREMENT, alert_id TEXT NOT NULL, lane INTEGER NOT NULL, seq INTEGER NOT NULL,
    at INTEGER NOT NULL, UNIQUE (alert_id, lane, seq));
CREATE TABLE payload (key TEXT PRIMARY KEY, body BLOB NOT NULL);
CREATE TABLE message (
    number INTEGER PRIMARY KEY AUTOINCREMENT, endpoint TEXT NOT NULL, key TEXT NOT NULL, alert_id TEXT NOT NULL,
    flag TEXT NOT NULL, op TEXT NOT NULL, queued_at INTEGER NOT NULL, attempts INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL DEFAULT 0, dead_at INTEGER, why TEXT NOT NULL DEFAULT '', UNIQUE (endpoint, key));
CREATE INDEX message_key ON message (key);
CREATE INDEX message_dead ON message (dead_at) WHERE dead_at IS NOT NULL;
CREATE TABLE told (
    endpoint TEXT NOT NULL, alert_id TEXT NOT NULL, at INTEGER NOT NULL,
    PRIMARY KEY (endpoint, alert_id)) WITHOUT ROWID;
CREATE TABLE endpoint (
    name TEXT PRIMARY KEY, mark TEXT NOT NULL, failures INTEGER NOT NULL DEFAULT 0,
    paused_until INTEGER NOT NULL DEFAULT 0, gone INTEGER NOT NULL DEFAULT 0, attempts INTEGER NOT NULL DEFAULT 0,
    delivered INTEGER NOT NULL DEFAULT 0, dead INTEGER NOT NULL DEFAULT 0, delivered_at INTEGER, failed_at INTEGER,
    why TEXT NOT NULL DEFAULT '') WITHOUT ROWID;
CREATE TABLE wish (number INTEGER PRIMARY KEY AUTOINCREMENT, what TEXT NOT NULL, target);
"""


@dataclass(frozen=True, slots=True)
class Intake:
    """What one read of the stream gave.

    Parameters
    ----------
    position
        The place up to which the stream is read now.
    messages
        In the order of the stream.
    unreadable
        Entries that are no messages.
    gap
        Whether the stream no longer held the place before.
    rollback
        Whether the stream ended before the place.
    """

    position: str
    messages: Sequence[Message] = ()
    unreadable: int = 0
    gap: bool = False
    rollback: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    """An attempt, or an end without one, and how the endpoint stands after it.

    Parameters
    ----------
    endpoint
        Its name.
    decision
        What becomes of the message.
    at
        When, ms.
    attempted
        Whether something was sent.
    failures, paused_until, gone
        Of the circuit.
    """

    endpoint: str
    decision: Decision
    at: int
    attempted: bool
    failures: int
    paused_until: int
    gone: bool


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked of the running sender: `resend` of a message (`target`: its number), or `resume`, `again`."""

    what: str
    target: Any


class Spool:
    """A spool file; used by one thread at a time.

    Parameters
    ----------
    path
        The file; made when it is not there and `create` is given.
    create
        Whether it may be made.
    own
        Whether to be its only sender.

    Raises
    ------
    UsageError
        If it is not there, is another program's file, or another sender has it.
    StateIncompatible
        If it is of another layout, or damaged.
    StoreUnavailable
        From every method: if the disk is full or fails, or the file is locked for long.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Spool(Path(folder) / "spool.sqlite", create=True) as spool:
    ...     spool.begin("risk:alerts", "0-0")
    ...     spool.position()
    '0-0'
    """

    def __init__(self, path: Path, *, create: bool = False, own: bool = False) -> None:
        self._path = path
        self._lock: IO[bytes] | None = None
        self._db: sqlite3.Connection | None = None
        if not create and not path.exists():
            raise UsageError(f"--spool: expected a spool at {path}, got no file; `henji webhooks run` makes one")
        if own:
            self._lock = _lock(path)
        try:
            with self._talking("open"):
                self._open()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        db, self._db = self._db, None
        if db is not None:
            db.close()
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    # -- the stream ---------------------------------------------------------------------------------------------

    def begin(self, stream: str, position: str) -> None:
        """Bind a new spool to a stream, and say from where on it is read.

        Raises
        ------
        UsageError
            If it is another stream's already.
        """
        with self.changing("begin") as db:
            bound = self.fact("stream")
            if bound is not None and bound != stream:
                raise UsageError(f"--spool: expected a spool of the stream {stream}, got {self._path} of {bound}")
            if bound is None:
                for name, value in (("stream", stream), ("floor", position), ("position", position)):
                    db.execute("INSERT INTO fact VALUES (?, ?)", (name, value))

    def position(self) -> str | None:
        """The place in the stream up to which it is read; `None` before `begin`."""
        value = self.fact("position")
        return None if value is None else str(value)

    def floor(self) -> str:
        """The place from which on messages were wanted at all."""
        return str(self.fact("floor"))

    def take_in(self, intake: Intake, endpoints: Sequence[Endpoint], now_ms: int) -> tuple[list[tuple[str, Item]], int]:
        """Queue messages for the endpoints that want them, and move the place, in one transaction.

        Returns
        -------
        list
            (endpoint, what waits for it now), in order.
        int
            How many messages are missing before these, by the counters of the lanes.
        """
        queued: list[tuple[str, Item]] = []
        counts = dict.fromkeys(COUNTS, 0)
        counts |= {"unreadable": intake.unreadable, "gaps": int(intake.gap), "rollbacks": int(intake.rollback)}
        with self.changing("queue messages") as db:
            for message in intake.messages:
                counts["read"] += 1
                cursor = db.execute(
                    "INSERT OR IGNORE INTO known (alert_id, lane, seq, at) VALUES (?, ?, ?, ?)",
                    (message.alert_id, message.lane, message.seq, now_ms),
                )
                counts["missing"] += self._count_up(db, message)
                if not cursor.rowcount:
                    counts["duplicates"] += 1
                    continue
                for endpoint in endpoints:
                    if not self._wanted(db, endpoint, message):
                        continue
                    item = self._queue(db, endpoint.name, message, now_ms)
                    if item is not None:
                        queued.append((endpoint.name, item))
                        counts["queued"] += 1
            for name, n in counts.items():
                if n:
                    self._add(db, name, n)
            db.execute("INSERT OR REPLACE INTO fact VALUES ('position', ?)", (intake.position,))
        return queued, counts["missing"]

    # -- deliveries ---------------------------------------------------------------------------------------------

    def load(self, endpoint: str, now_ms: int) -> list[Item]:
        """What waits for an endpoint, in order; a wait that a clock set wrong has made endless is cut."""
        rows = self._rows(
            "SELECT number, alert_id, queued_at, attempts, next_at FROM message "
            "WHERE endpoint = ? AND dead_at IS NULL ORDER BY number",
            endpoint,
        )
        latest = now_ms + _LONGEST_WAIT_MS
        return [Item(n, alert, min(at, now_ms), tries, min(next_at, latest)) for n, alert, at, tries, next_at in rows]

    def item(self, number: int) -> tuple[str, Item] | None:
        """A message that waits, with its endpoint."""
        rows = self._rows(
            "SELECT endpoint, number, alert_id, queued_at, attempts, next_at FROM message "
            "WHERE number = ? AND dead_at IS NULL",
            number,
        )
        return (rows[0][0], Item(*rows[0][1:])) if rows else None

    def content(self, number: int) -> tuple[str, bytes] | None:
        """Key and body of a message."""
        rows = self._rows("SELECT key, body FROM message JOIN payload USING (key) WHERE number = ?", number)
        return (rows[0][0], bytes(rows[0][1])) if rows else None

    def settle(self, settled: Sequence[Settled]) -> None:
        """Note the ends of attempts, all in one transaction."""
        with self.changing("note attempts") as db:
            for each in settled:
                item, fate, why = each.decision.item, each.decision.fate, each.decision.why
                if fate == "delivered":
                    self._delete(db, item.number)
                else:
                    db.execute(
                        "UPDATE message SET attempts = ?, next_at = ?, dead_at = ?, why = ? WHERE number = ?",
                        (item.attempts, item.next_at, each.at if fate == "dead" else None, why, item.number),
                    )
                db.execute(
                    "UPDATE endpoint SET failures = ?, paused_until = ?, gone = ?, attempts = attempts + ?, "
                    "delivered = delivered + ?, dead = dead + ? WHERE name = ?",
                    (each.failures, each.paused_until, each.gone, each.attempted, fate == "delivered", fate == "dead",
                     each.endpoint),
                )  # fmt: skip
                if fate == "delivered":
                    db.execute("UPDATE endpoint SET delivered_at = ? WHERE name = ?", (each.at, each.endpoint))
                elif each.attempted:
                    db.execute(
                        "UPDATE endpoint SET failed_at = ?, why = ? WHERE name = ?", (each.at, why, each.endpoint)
                    )

    def introduce(self, name: str, mark: str) -> tuple[int, int, bool]:
        """Note that there is an endpoint; how its circuit stood (failures, paused until, gone).

        `mark` is the endpoint's: another URL than before is a new beginning.
        """
        with self.changing("introduce an endpoint") as db:
            db.execute(
                "INSERT INTO endpoint (name, mark) VALUES (?, ?) ON CONFLICT (name) DO UPDATE "
                "SET mark = excluded.mark, failures = 0, paused_until = 0, gone = 0 WHERE mark <> excluded.mark",
                (name, mark),
            )
        failures, paused_until, gone = self._rows(
            "SELECT failures, paused_until, gone FROM endpoint WHERE name = ?", name
        )[0]
        return failures, paused_until, bool(gone)

    def note_circuit(self, name: str, *, failures: int, paused_until: int, gone: bool) -> None:
        """Note how an endpoint stands when no attempt has just ended."""
        with self.changing("note an endpoint") as db:
            db.execute(
                "UPDATE endpoint SET failures = ?, paused_until = ?, gone = ? WHERE name = ?",
                (failures, paused_until, gone, name),
            )

    def prune(self, now_ms: int, limits: SpoolLimits) -> int:
        """Let go what was kept long enough; how many of the dead list."""
        with self.changing("prune") as db:
            (newest,) = db.execute("SELECT coalesce(max(number), 0) FROM known").fetchone()
            db.execute(
                "DELETE FROM known WHERE number <= ? AND at < ?", (newest - KNOWN_LEAST, now_ms - limits.known_ms)
            )
            db.execute("DELETE FROM told WHERE at < ?", (now_ms - _TOLD_MS,))
            gone = db.execute(
                "SELECT number FROM message WHERE dead_at < ?", (now_ms - limits.keep_dead_ms,)
            ).fetchall()
            for (number,) in gone:
                self._delete(db, number)
        return len(gone)

    # -- between processes --------------------------------------------------------------------------------------

    def version(self) -> int:
        """A number that changes when another process has written."""
        return int(self._rows("PRAGMA data_version")[0][0])

    def wishes(self) -> list[Wish]:
        """What people asked for since the last time; it is not told again."""
        if not self._rows("SELECT 1 FROM wish LIMIT 1"):
            return []
        with self.changing("read wishes") as db:
            rows = db.execute("SELECT what, target FROM wish ORDER BY number").fetchall()
            db.execute("DELETE FROM wish")
        return [Wish(what, target) for what, target in rows]

    def fact(self, name: str) -> Any:
        """A fact about the whole, or `None`."""
        rows = self._rows("SELECT value FROM fact WHERE name = ?", name)
        return rows[0][0] if rows else None

    def rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Rows of a query that changes nothing."""
        return self._rows(query, *values)

    @contextmanager
    def changing(self, what: str) -> Iterator[sqlite3.Connection]:
        """One transaction: all that is done within, or, after an error, nothing."""
        with self._talking(what):
            db = self._connection()
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    db.execute("ROLLBACK")
                raise

    # -- within -------------------------------------------------------------------------------------------------

    def _open(self) -> None:
        # Bodies are what customers did: nobody else on the machine is to read them.
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600))
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000)
        self._db = db
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        application, layout = (
            db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")
        )
        if (application, layout) == (_APPLICATION, _LAYOUT):
            return
        if application == _APPLICATION:
            raise StateIncompatible(
                f"{self._path}: expected a spool of layout {_LAYOUT}, got {layout}; use the henji that made it"
            )
        with self.changing("make"):
            if db.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone():
                raise UsageError(f"--spool: expected a spool or a new file, got {self._path} of another program")
            for statement in _TABLES.split(";"):
                db.execute(statement)
            db.execute(f"PRAGMA application_id = {_APPLICATION}")
            db.execute(f"PRAGMA user_version = {_LAYOUT}")

    def _connection(self) -> sqlite3.Connection:
        assert self._db is not None, "the spool is closed"
        return self._db

    @contextmanager
    def _talking(self, what: str) -> Iterator[None]:
        try:
            yield
        except sqlite3.OperationalError as error:
            raise StoreUnavailable(
                f"{self._path}: {what}: expected a disk that takes it, got {error}; is there room, is it writable?"
            ) from error
        except sqlite3.DatabaseError as error:
            raise StateIncompatible(
                f"{self._path}: {what}: expected a whole spool, got {error}; move it away and start with a new one"
            ) from error
        except OSError as error:
            raise UsageError(f"--spool: expected a file that can be written, got {error}") from error

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._talking("read"):
            return self._connection().execute(query, values).fetchall()

    @staticmethod
    def _count_up(db: sqlite3.Connection, message: Message) -> int:
        """Note the lane's counter; how many it skipped. One that went back (a rebuilt board) skipped none."""
        row = db.execute("SELECT seq FROM lane WHERE lane = ?", (message.lane,)).fetchone()
        db.execute("INSERT OR REPLACE INTO lane VALUES (?, ?)", (message.lane, message.seq))
        return max(0, message.seq - row[0] - 1) if row else 0

    @staticmethod
    def _wanted(db: sqlite3.Connection, endpoint: Endpoint, message: Message) -> bool:
        name, alert_id = endpoint.name, message.alert_id
        wants = endpoint.wants
        wanted = wants.wants(message.flag, message.op, message.route, message.priority, message.held)
        if not wanted and message.op == "clear" and "clear" in wants.ops:
            query = "SELECT 1 FROM told WHERE endpoint = ? AND alert_id = ?"
            wanted = db.execute(query, (name, alert_id)).fetchone() is not None
        return wanted

    @classmethod
    def _queue(cls, db: sqlite3.Connection, endpoint: str, message: Message, now_ms: int) -> Item | None:
        """Let it wait; `None` if it does already. One whose identity was forgotten may also be on the dead list."""
        found = db.execute(
            "SELECT number, dead_at FROM message WHERE endpoint = ? AND key = ?", (endpoint, message.key)
        ).fetchone()
        if found is not None:
            if found[1] is None:
                return None
            cls._delete(db, found[0])
        db.execute("INSERT OR IGNORE INTO payload VALUES (?, ?)", (message.key, message.body))
        cursor = db.execute(
            "INSERT INTO message (endpoint, key, alert_id, flag, op, queued_at, next_at) VALUES (?, ?, ?, ?, ?, ?, ?)",
            (endpoint, message.key, message.alert_id, message.flag, message.op, now_ms, now_ms),
        )
        if message.op == "clear":
            db.execute("DELETE FROM told WHERE endpoint = ? AND alert_id = ?", (endpoint, message.alert_id))
        else:
            db.execute("INSERT OR REPLACE INTO told VALUES (?, ?, ?)", (endpoint, message.alert_id, now_ms))
        assert cursor.lastrowid is not None
        return Item(cursor.lastrowid, message.alert_id, now_ms, 0, now_ms)

    @staticmethod
    def _delete(db: sqlite3.Connection, number: int) -> None:
        row = db.execute("DELETE FROM message WHERE number = ? RETURNING key", (number,)).fetchone()
        if row:
            db.execute("DELETE FROM payload WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM message WHERE key = ?1)", row)

    @staticmethod
    def _add(db: sqlite3.Connection, name: str, n: int) -> None:
        db.execute(
            "INSERT INTO fact VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value", (name, n)
        )


def _lock(path: Path) -> IO[bytes]:
    """Be the only sender of a spool, as long as the file that is returned is open."""
    try:
        lock = path.with_name(path.name + ".lock").open("ab")
    except OSError as error:
        raise UsageError(f"--spool: expected a folder that can be written, got {error}") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        lock.close()
        raise UsageError(f"--spool: expected a spool that no other sender uses, got {path}; stop the other") from error
    return lock
