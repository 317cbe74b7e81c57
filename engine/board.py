"""What the board shows of a customer, made from their memory; pure text, no key names of Redis."""

from __future__ import annotations

from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

import orjson

from engine.duration import DAY_MS
from engine.flag_field import flag_field
from engine.memory import Memory
from engine.outcome import BoardRows

__all__ = ["ALL_PARTS", "HISTORY_DAYS", "board_line", "board_rows", "flag_list", "score_band"]

HISTORY_DAYS = 30
"""Days of scores that the board keeps (design, section 6)."""

ALL_PARTS = frozenset(("flags", "why", "profile", "history", "timeline"))
"""Parts of the board that change less often than the customer hash."""


def score_band(churn: float) -> str:
    """The churn score in a word: `low` under 0.3, `high` from 0.7 on (where `churn_risk` would clear), else `medium`.

    Examples
    --------
    >>> score_band(0.1), score_band(0.5), score_band(0.9)
    ('low', 'medium', 'high')
    """
    return "low" if churn < 0.3 else "medium" if churn < 0.7 else "high"


def flag_list(memory: Memory) -> list[dict[str, Any]]:
    """The flags that are up, sorted by name and category, as `--board` writes them."""
    active = sorted(memory.episodes.active.items(), key=lambda kv: (kv[0][0], kv[0][1] or ""))
    return [
        {
            "flag": flag,
            "category": category,
            "since": e.since,
            "until": e.until,
            "count": e.count,
            "severity": e.severity,
            "evidence": list(e.evidence),
        }
        for (flag, category), e in active
    ]


def board_line(memory: Memory) -> bytes:
    """The customer as a line of `--board`, without the newline."""
    return orjson.dumps(
        {
            "customer_id": memory.customer_id,
            "flags": flag_list(memory),
            "churn": memory.churn,
            "engagement": memory.engagement,
            "contact": memory.contact,
            "sensitive": ("sensitive", None) in memory.episodes.active,
            "stage": memory.stage,
            "as_of": memory.as_of,
        }
    )


def board_rows(
    memory: Memory, parts: frozenset[str] | set[str], lane: int, due: int | None, versions: tuple[str, str]
) -> BoardRows:
    """The board of one customer.

    Parameters
    ----------
    memory
        The customer.
    parts
        Which of `ALL_PARTS` changed.
    lane
        The customer's lane.
    due
        When something changes next if nothing comes, ms.
    versions
        Of the rules and of the models.
    """
    flags = memory.episodes.active
    sensitive = ("sensitive", None) in flags
    customer = {
        "flags_up": str(len(flags)),
        "lane": str(lane),
        "as_of": str(memory.as_of),
        "sensitive": "1" if sensitive else "0",
        "rules": versions[0],
        "model": versions[1],
    }
    if due is not None:
        customer["next_change_at"] = str(due)
    if memory.churn is not None and memory.engagement is not None:
        customer["churn"] = format(memory.churn, ".6g")
        customer["churn_band"] = score_band(memory.churn)
        customer["engagement"] = format(memory.engagement, ".6g")
    if memory.contact is not None:
        customer["contact"] = format(memory.contact, ".6g")
    if memory.stage is not None:
        customer["stage"] = memory.stage
    if memory.segment is not None and len(memory.segment.encode()) <= 64:
        customer["segment"] = customer["segments"] = memory.segment
    if memory.traits.n:
        customer["value"] = format(memory.traits.value_sum, ".12g")
        ratio = memory.traits.silence_ratio(memory.as_of)
        if ratio is not None:
            customer["silence_ratio"] = format(ratio, ".4g")
    if memory.capped:
        customer["capped"] = "traces"
    rows = BoardRows(customer)
    if "flags" in parts:
        rows.flags = {
            flag_field(flag, category): orjson.dumps([e.since, e.until, e.count, e.severity, e.alert_id]).decode()
            for (flag, category), e in flags.items()
        }
    if "flags" in parts or "why" in parts:
        rows.why = {flag_field(f, c): orjson.dumps(list(e.evidence)).decode() for (f, c), e in flags.items()}
        if memory.reasons:
            rows.why["churn"] = orjson.dumps(
                [{"code": code, "weight": round(w, 6)} for code, w in memory.reasons]
            ).decode()
    if "profile" in parts:
        rows.profile = {name: _text(value) for name, value in memory.attributes.items()}
    if "history" in parts:
        rows.history = {_day(day): f"[{c:.4g},{e:.4g}]" for day, (c, e) in memory.history.items()}
    if "timeline" in parts:
        rows.timeline = memory.timeline.lines()
    drop = flags.get(("engagement_drop", None))
    rows.queue = [
        (ticket.alert_id, queue, ticket.queue_score)
        for ticket in memory.tickets.open.values()
        if (queue := ticket.queue) is not None
    ]
    rows.index = {
        # Who has lapsed is at no risk any more: a list of whom to call must not begin with them.
        "churn": None if memory.left_at is not None else memory.churn,
        "sensitive": float(memory.episodes.active["sensitive", None].since) if sensitive else None,
        "engagement_drop": float(drop.since) if drop is not None else None,
    }
    return rows


@lru_cache(maxsize=4096)
def _day(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_MS / 1000, UTC).strftime("%Y-%m-%d")


def _text(value: object) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()
