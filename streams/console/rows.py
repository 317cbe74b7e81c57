"""An alert as the page gets it: its state on the board, with everything that a person needs beside it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from streams.console.moment import Moment
from streams.redis.desk_views import AlertState, GuidanceView, queue_row
from streams.redis.views import AlertView, TimelineEntry

__all__ = ["alert_row", "scene_rows", "state_of_line", "trace"]


def alert_row(
    state: AlertState,
    moment: Moment,
    guidance: Mapping[str, GuidanceView],
    *,
    sensitive: bool | None,
    op: str | None = None,
    service: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """An alert for the page.

    Parameters
    ----------
    state
        On the board.
    moment
        The board's, for waiting and freshness.
    guidance
        Id -> text.
    sensitive
        Whether its customer is; `None` is unknown.
    op
        Of its newest message, if that is known.
    service
        Of an incident: dimension, value, how many came and how many are usual.
    """
    watermark = moment.watermark(state.lane)
    place = queue_row(state, moment.now(), watermark)
    text = guidance.get(state.guidance)
    return {
        "alert_id": state.alert_id,
        "customer_id": state.customer_id,
        "flag": state.flag,
        "category": state.category,
        "since": state.since,
        "until": state.until,
        "count": state.count,
        "severity": state.severity,
        "updated_at": state.updated_at,
        "lane": state.lane,
        "priority": state.priority,
        "lifted": place.lifted,
        "standing": place.standing,
        "route": state.route,
        "held": state.held,
        "guidance": None if text is None else {"say": text.say, "avoid": text.avoid},
        "closed_at": state.closed_at,
        "acked_by": state.acked_by,
        "acked_at": state.acked_at,
        "snoozed_until": state.snoozed_until,
        "snoozed_by": state.snoozed_by,
        "snooze_reason": state.snooze_reason,
        "outcome": state.outcome,
        "outcome_by": state.outcome_by,
        "sensitive": sensitive,
        "input": moment.input(state.lane),
        "op": op,
        "service": service,
    }


def state_of_line(alert: AlertView) -> AlertState:
    """What a message alone says of an alert, for one whose state is not (or no more) on the board.

    Raises
    ------
    KeyError, TypeError, ValueError
        If the line is not one of the contract.
    """
    line = alert.line
    return AlertState(
        alert_id=alert.alert_id,
        customer_id=str(line["customer_id"]),
        flag=str(line["flag"]),
        category=line.get("category"),
        since=int(line["since"]),
        until=line.get("until"),
        count=int(line["count"]),
        severity=str(line["severity"]),
        updated_at=line.get("at"),
        lane=alert.lane,
        priority=alert.priority,
        route=alert.route,
        held=alert.held or "",
        guidance=alert.guidance or "",
        closed_at=line.get("at") if line.get("op") == "clear" else None,
        acked_by=None, acked_at=None, snoozed_until=None, snoozed_by=None, snoozed_at=None, snooze_reason=None,
        outcome=None, outcome_by=None, outcome_at=None,
    )  # fmt: skip


def trace(entry: TimelineEntry) -> list[Any]:
    """A trace as a list, for the page."""
    return [entry.at, entry.kind, entry.category, entry.channel, entry.case_id, entry.detail]


def scene_rows(timeline: list[TimelineEntry], category: str | None) -> list[list[Any]]:
    """The traces of a timeline that are about a category, or below or above it; all of them without one."""
    if not category:
        return [trace(entry) for entry in timeline]
    return [
        trace(entry)
        for entry in timeline
        if entry.category is not None
        and (f"{entry.category}/".startswith(f"{category}/") or f"{category}/".startswith(f"{entry.category}/"))
    ]
