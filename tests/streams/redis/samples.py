"""Outcomes made by hand, as the engine would make them."""

from __future__ import annotations

from collections.abc import Iterable

from engine.alert import Alert
from engine.desk.fact import Fact, Word
from engine.desk.ticket import Ticket
from engine.outcome import BoardRows, CustomerChange, Outcome
from streams.ledger import Binding, Counts, Position
from streams.redis.board_writer import BoardMeta
from streams.redis.client import RedisClient
from streams.redis.keys import Keys
from streams.redis.ledger import RedisLedger
from streams.redis.retrying import Backoff

SETTINGS = "settings-1"
BINDING = Binding.of("events", 0)
META = BoardMeta(engine="0.1.0", rules="r1", lanes=8)
NOW = 1_700_000_000_000
FLAG = '[1000,5000,2,"burst","00112233445566ff"]'


def rows(*, churn: float = 0.25, flags: dict[str, str] | None = None, lane: int = 0) -> BoardRows:
    flags = {} if flags is None else flags
    return BoardRows(
        customer={
            "churn": repr(churn),
            "engagement": "1.5",
            "flags_up": str(len(flags)),
            "lane": str(lane),
            "as_of": "4000",
            "sensitive": "0",
            "segments": "new,campus",
        },
        flags=flags,
        why={"churn": '[{"code":"silence","effect":0.5}]', **dict.fromkeys(flags, '["e1","e2"]')},
        profile={"role": "student"},
        history={"2024-05-01": f"[{churn},1.5]"},
        timeline=['[1000,"request","billing","phone","case-1",null]', '[2000,"resolved","billing",null,"case-1",null]'],
        index={"churn": churn, "sensitive": None, "engagement_drop": None, "value_at_risk": None},
    )


def change(customer_id: str, record: bytes = b"memory", *, due: int | None = 5000, **board: object) -> CustomerChange:
    made = rows(**board)  # type: ignore[arg-type]  # the keywords of rows
    return CustomerChange(customer_id, record, due, made)


def gone(customer_id: str) -> CustomerChange:
    return CustomerChange(customer_id, None, None, None)


def outcome(changes: Iterable[CustomerChange], *, lane: int = 0, clock: int = 4000, record: bytes = b"lane") -> Outcome:
    return Outcome(lane, record, clock, customers={each.customer_id: each for each in changes})


def alert(alert_id: str = "00112233445566ff", *, seq: int = 1, index: int = 0, customer_id: str = "c1") -> Alert:
    return Alert(
        alert_id=alert_id,
        seq=seq,
        op="raise",
        flag="repeat_request",
        category="billing",
        customer_id=customer_id,
        at=1000,
        since=1000,
        until=5000,
        count=2,
        severity="burst",
        priority=3,
        evidence=["e1", "e2"],
        scores={"churn": 0.25, "engagement": 1.5},
        reasons=[],
        route="team:billing",
        scene=['[1000,"request","billing","phone","case-1",null]'],
        rules="r1",
        model="m1",
        index=index,
    )


def ticket_row(*, acked_by: str = "", held: str = "", closed_at: int | None = None, lane: int = 0) -> dict[str, str]:
    ticket = Ticket("00112233445566ff", "repeat_request", "billing")
    ticket.show(1000, 5000, 2, "burst", 4000)
    ticket.held, ticket.closed_at = held, closed_at
    if acked_by:
        ticket.ack = Word(4000, "a1", up=True, by=acked_by)
    return ticket.row("c1", lane)


def fact(alert_id: str = "00112233445566ff", *, seq: int = 1) -> Fact:
    return Fact(alert_id, "c1", seq, "ack", Word(4000, "a1", up=True, by="ann"))


def position(next_offset: int, **more: object) -> Position:
    counts = Counts(read=next_offset, applied=next_offset)
    return Position(next_offset=next_offset, settings=SETTINGS, counts=counts, **more)  # type: ignore[arg-type]


def no_sleep(_seconds: float) -> None:
    """Waiting, for tests."""


def redis_ledger(client: RedisClient, **more: object) -> RedisLedger:
    more = {"now_ms": lambda: NOW, "sleep": no_sleep, "backoff": Backoff(attempts=3)} | more
    return RedisLedger(client, BINDING, META, **more)  # type: ignore[arg-type]


def owned(client: RedisClient, **more: object) -> RedisLedger:
    """A ledger that is claimed and opened."""
    ledger = redis_ledger(client, **more)
    ledger.claim()
    ledger.open(SETTINGS)
    return ledger


KEYS = Keys()
