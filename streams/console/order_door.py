"""The handlers by which people act: acknowledge, snooze, judge, override."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from engine.event import JUDGEMENTS, OVERRIDE_STATES, WORD_STATES
from streams.console.audit import Audit
from streams.console.board_door import BoardDoor, customer_of
from streams.console.body import Body, read_body
from streams.console.clock import DAY_MS, MINUTE_MS
from streams.console.gate import Visitor
from streams.console.orders import Orders, order_id
from streams.console.problem import Problem
from streams.console.reader import BoardReader
from streams.console.wire import json_answer

__all__ = ["OrderDoor"]

_MOST_MINUTES = 180 * 24 * 60
_MOST_DAYS = 365
_REASON = 500


class OrderDoor:
    """Makes control events of what people do.

    An event has nothing of the request but checked fields: who says it is the session's, whose alert it is the board's.

    Parameters
    ----------
    reader, board
        Of the board.
    orders
        The way to the intake.
    audit
        Notes each order before it goes out, and again when it did not.
    """

    def __init__(self, reader: BoardReader, board: BoardDoor, orders: Orders, audit: Audit) -> None:
        self._reader = reader
        self._board = board
        self._orders = orders
        self._audit = audit

    async def ack(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`POST /api/alerts/<id>/ack`."""
        body = await self._body(request)
        state = body.choice("state", WORD_STATES, needed=False) or "up"
        return await self._about_alert(request, visitor, body, "ack", {"kind": "ack", "state": state}, state)

    async def snooze(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`POST /api/alerts/<id>/snooze`."""
        body = await self._body(request)
        if (body.choice("state", WORD_STATES, needed=False) or "up") == "down":
            return await self._about_alert(
                request, visitor, body, "snooze", {"kind": "snooze", "state": "down"}, "down"
            )
        minutes = body.whole("minutes", 1, _MOST_MINUTES)
        reason = body.needed_text("reason", _REASON, lines=True)
        event = {"kind": "snooze", "state": "up", "reason": reason, "until": minutes * MINUTE_MS}
        return await self._about_alert(request, visitor, body, "snooze", event, f"minutes {minutes}")

    async def outcome(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`POST /api/alerts/<id>/outcome`."""
        body = await self._body(request)
        state = body.choice("state", WORD_STATES, needed=False) or "up"
        word = body.choice("outcome", JUDGEMENTS, needed=state == "up")
        event = {"kind": "ack", "state": state, "outcome": word or JUDGEMENTS[0]}
        return await self._about_alert(request, visitor, body, "outcome", event, word or state)

    async def override(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`POST /api/customers/<id>/override`."""
        body = await self._body(request)
        customer_id = customer_of(request)
        flag = body.needed_text("flag", 128)
        category = body.text("category", 64, needed=False)
        state = body.choice("state", sorted(OVERRIDE_STATES)) or ""
        event: dict[str, Any] = {"kind": "override", "flag": flag, "state": state}
        if state != "auto":
            event["until"] = body.whole("days", 1, _MOST_DAYS) * DAY_MS
        elif body.has("days"):
            raise Problem("invalid", "days: expected none with the state auto, which is the end of a word")
        event["reason"] = body.needed_text("reason", _REASON, lines=True)
        if category is not None:
            event["category"] = category
        event_id = self._request_id(body)
        body.done()
        customer = await self._reader.board.customer(customer_id)
        if customer is None:
            raise Problem("not_found", "expected a customer of the board, got one that it does not know")
        if flag not in await self._reader.flags_to_override(customer_id):
            raise Problem("invalid", "flag: expected a flag that a rule of the board names, got another")
        told = f"{flag}{f'/{category}' if category else ''} {state}"
        return await self._send(visitor, event_id, customer_id, customer.lane, event, ("override", customer_id, told))

    async def _about_alert(
        self, request: web.Request, visitor: Visitor, body: Body, what: str, event: dict[str, Any], told: str
    ) -> web.Response:
        event_id = self._request_id(body)
        body.done()
        found = await self._board.state(request.match_info["alert_id"])
        if not found.customer_id:
            raise Problem("invalid", "expected an alert about a customer, got an incident, which no log has words of")
        event["ref"] = found.alert_id
        about = f"{found.alert_id} {found.customer_id}"
        return await self._send(visitor, event_id, found.customer_id, found.lane, event, (what, about, told))

    async def _send(
        self, visitor: Visitor, event_id: str, customer_id: str, lane: int | None, event: dict[str, Any],
        note: tuple[str, str, str],
    ) -> web.Response:  # fmt: skip
        # Where the lane lives in the past, "for an hour" means an hour of its own time.
        now = (await self._reader.moment(anew=True)).now(lane)
        event = {"event_id": event_id, "customer_id": customer_id, "ts": now, **event, "by": visitor.user.name}
        if "until" in event:
            event["until"] += now
        what, about, told = note
        self._audit.note(visitor.user.name, what, about, f"{told}, event {event_id}")
        try:
            await self._orders.send(event)
        except Problem as problem:
            self._audit.note(visitor.user.name, f"{what}_failed", about, f"{problem.status}, event {event_id}")
            raise
        return json_answer({"event_id": event_id, "status": "sent"}, status=202)

    async def _body(self, request: web.Request) -> Body:
        self._orders.check()
        return await read_body(request)

    @staticmethod
    def _request_id(body: Body) -> str:
        return order_id(body.text("request_id", 64, needed=False))
