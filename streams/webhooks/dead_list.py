"""What people see of a spool and ask of it: the dead list, sending again, how the endpoints stand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.errors import UsageError
from streams.webhooks.spool import COUNTS, Spool

__all__ = ["DeadMessage", "EndpointStanding", "SpoolStanding", "dead_messages", "resend", "resume", "standing"]


@dataclass(frozen=True, slots=True)
class DeadMessage:
    """A message that is no longer tried.

    Parameters
    ----------
    number
        By which it is sent again.
    key
        Its idempotency key.
    queued_at, dead_at
        ms.
    why
        The last answer.
    """

    number: int
    endpoint: str
    key: str
    alert_id: str
    flag: str
    op: str
    attempts: int
    queued_at: int
    dead_at: int
    why: str


@dataclass(frozen=True, slots=True)
class EndpointStanding:
    """How an endpoint stands.

    Parameters
    ----------
    origin
        Scheme, host and port of its URL.
    state
        `ok`, `failing` (tried one at a time), `paused` (until `paused_until`), `gone` (it said 410).
    waiting, oldest_at, dead
        How many wait, since when the oldest does (ms, `None`: none), how many are on the dead list.
    attempts, delivered
        Over the life of the spool.
    delivered_at, failed_at, why
        Last success, last failure, and its words.
    """

    name: str
    origin: str
    state: str
    paused_until: int
    failures: int
    waiting: int
    oldest_at: int | None
    dead: int
    attempts: int
    delivered: int
    delivered_at: int | None
    failed_at: int | None
    why: str


@dataclass(frozen=True, slots=True)
class SpoolStanding:
    """How a spool stands.

    Parameters
    ----------
    stream, position
        What is read, and up to where.
    counts
        `read` messages, `queued` for endpoints, `duplicates` dropped, `unreadable` entries, `gaps` (the stream no
        longer held our place), `missing` messages, `rollbacks` (the stream ended before our place).
    endpoints
        By name.
    """

    stream: str
    position: str
    counts: dict[str, int]
    endpoints: list[EndpointStanding]


_DEAD = "SELECT number, endpoint, key, alert_id, flag, op, attempts, queued_at, dead_at, why FROM message"


def dead_messages(spool: Spool, endpoint: str | None = None) -> list[DeadMessage]:
    """The dead list, in the order in which the messages came."""
    rows = spool.rows(f"{_DEAD} WHERE dead_at IS NOT NULL AND (?1 IS NULL OR endpoint = ?1) ORDER BY number", endpoint)
    return [DeadMessage(*row) for row in rows]


def resend(spool: Spool, numbers: Sequence[int] | None, endpoint: str | None, now_ms: int) -> int:
    """Let messages of the dead list wait again, with their key, in their old place; how many.

    Parameters
    ----------
    numbers
        Which; `None`: all, or all of an endpoint.
    endpoint
        Whose.
    now_ms
        From when their age counts anew.

    Raises
    ------
    UsageError
        If one is not on the list; then none is sent.
    """
    with spool.changing("send again") as db:
        dead = {
            number
            for (number,) in db.execute(
                "SELECT number FROM message WHERE dead_at IS NOT NULL AND (?1 IS NULL OR endpoint = ?1)", (endpoint,)
            )
        }
        chosen = sorted(dead if numbers is None else set(numbers))
        unknown = [str(number) for number in chosen if number not in dead]
        if unknown:
            raise UsageError(
                f"resend: expected ids of the dead list, got {', '.join(unknown)}; see `henji webhooks dead`"
            )
        for number in chosen:
            db.execute(
                "UPDATE message SET dead_at = NULL, attempts = 0, queued_at = ?, next_at = ? WHERE number = ?",
                (now_ms, now_ms, number),
            )
            db.execute("INSERT INTO wish (what, target) VALUES ('resend', ?)", (number,))
    return len(chosen)


def resume(spool: Spool, endpoint: str) -> None:
    """Let an endpoint be tried again at once.

    Raises
    ------
    UsageError
        If the spool knows no such endpoint.
    """
    with spool.changing("resume") as db:
        changed = db.execute(
            "UPDATE endpoint SET failures = 0, paused_until = 0, gone = 0 WHERE name = ?", (endpoint,)
        ).rowcount
        if not changed:
            names = ", ".join(name for (name,) in db.execute("SELECT name FROM endpoint ORDER BY name")) or "none"
            raise UsageError(f"resume: expected an endpoint of the spool ({names}), got {endpoint}")
        db.execute("INSERT INTO wish (what, target) VALUES ('resume', ?)", (endpoint,))


def standing(spool: Spool, now_ms: int) -> SpoolStanding:
    """How everything stands."""
    rows = spool.rows("SELECT endpoint, count(*), min(queued_at) FROM message WHERE dead_at IS NULL GROUP BY endpoint")
    waits = {row[0]: (row[1], row[2]) for row in rows}
    rows = spool.rows("SELECT endpoint, count(*) FROM message WHERE dead_at IS NOT NULL GROUP BY endpoint")
    dead = {row[0]: row[1] for row in rows}
    endpoints = []
    for name, mark, failures, paused_until, gone, attempts, delivered, delivered_at, failed_at, why in spool.rows(
        "SELECT name, mark, failures, paused_until, gone, attempts, delivered, delivered_at, failed_at, why "
        "FROM endpoint ORDER BY name"
    ):
        state = "gone" if gone else "paused" if paused_until > now_ms else "failing" if failures else "ok"
        waiting, oldest = waits.get(name, (0, None))
        endpoints.append(
            EndpointStanding(
                name, mark.partition(" ")[0], state, paused_until, failures, waiting, oldest, dead.get(name, 0),
                attempts, delivered, delivered_at, failed_at, why,
            )
        )  # fmt: skip
    counts = {name: int(spool.fact(name) or 0) for name in COUNTS}
    return SpoolStanding(str(spool.fact("stream") or ""), spool.position() or "", counts, endpoints)
