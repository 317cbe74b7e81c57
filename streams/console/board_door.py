"""The handlers that show the board."""

from __future__ import annotations

import asyncio
from typing import Any

from aiohttp import web

from streams.console.audit import Audit
from streams.console.follower import Follower, Place
from streams.console.gate import Gate, Visitor
from streams.console.problem import Problem
from streams.console.reader import BoardReader, reason_rows
from streams.console.rows import scene_rows, trace
from streams.console.wire import json_answer, number, one_of
from streams.redis.catalogue import INDEXES
from streams.redis.desk_views import INCIDENT_FLAG, AlertState

__all__ = ["ALERT_ID", "BoardDoor", "customer_of"]

ALERT_ID = frozenset("0123456789abcdef")

_STATES = ("open", "held", "closed")
_LONGEST_ID = 128
_MOST_ALERTS = 1_000
_MOST_LEADERS = 500
_MOST_LISTENERS = 2_000
_MOST_PER_VISITOR = 12
_CHECK_S = 5.0  # how soon a page that listens notices that its session has ended


class BoardDoor:
    """Shows the board.

    Parameters
    ----------
    reader, follower
        Of the board.
    gate
        Says whether a page that listens still may.
    audit
        Notes who looked at whom.
    """

    def __init__(self, reader: BoardReader, follower: Follower, gate: Gate, audit: Audit) -> None:
        self._reader = reader
        self._follower = follower
        self._gate = gate
        self._audit = audit
        self._listening: dict[str, int] = {}

    # -- alerts ------------------------------------------------------------------------------------------------

    async def alerts(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /api/alerts`."""
        which = one_of(request, "state", _STATES, "open")
        limit = number(request, "limit", 100, 1, _MOST_ALERTS)
        route, flag = request.query.get("route") or None, request.query.get("flag") or None
        place = self._follower.place
        moment = await self._reader.moment()
        if which == "closed":
            states, total, routes, flags = await self._closed(limit, route, flag)
        else:
            view = await self._reader.board.queue(which, moment.now(), limit, route=route, flag=flag)
            states, total = [row.alert for row in view.rows], view.total
            routes, flags = list(view.routes), list(view.flags)
        ops = {state.alert_id: op for state in states if (op := self._follower.op(state.alert_id)) is not None}
        return json_answer(
            {
                "alerts": await self._reader.rows(states, ops, moment=moment),
                "total": total,
                "now": moment.now(),
                "routes": sorted(filter(None, routes)),
                "flags": sorted(flags),
                # Where to begin to listen so that nothing between this list and the events is missed (?after=).
                "place": None if place is None else str(place),
            }
        )

    async def alert(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /api/alerts/<id>`."""
        alert_id = request.match_info["alert_id"]
        found = await self.state(alert_id)
        if found.customer_id:
            self._audit.view(visitor.user.name, found.customer_id, f"alert {alert_id}")
        newest = self._follower.newest(alert_id)
        message = None if newest is None else await self._reader.alert_at(newest)
        op = self._follower.op(alert_id)
        (row,) = await self._reader.rows([found], {} if op is None else {alert_id: op})
        if message is not None:
            line = message.line
            more = {
                "scene": [trace(entry) for entry in message.traces],
                "evidence": line.get("evidence", []),
                "scores": line.get("scores", {}),
                "reasons": reason_rows(line.get("reasons")),
            }
        else:
            timeline = await self._reader.board.timeline(found.customer_id) or [] if found.customer_id else []
            more = {"scene": scene_rows(timeline, found.category), "evidence": [], "scores": {}, "reasons": []}
        return json_answer({**row, **more})

    async def state(self, alert_id: str) -> AlertState:
        """The state of an alert of the board.

        Raises
        ------
        Problem
            `not_found`.
        """
        good = 1 <= len(alert_id) <= 64 and ALERT_ID.issuperset(alert_id)
        found = await self._reader.board.alert(alert_id) if good else None
        if found is None:
            raise Problem("not_found", "expected an alert that is open or was closed lately, got another id")
        return found

    async def _closed(
        self, limit: int, route: str | None, flag: str | None
    ) -> tuple[list[AlertState], int, list[str], list[str]]:
        known = await self._reader.states(self._follower.closed())
        every = [state for state in known.values() if not state.is_open]
        fit = [
            state for state in every if (route is None or state.route == route) and (flag is None or state.flag == flag)
        ]
        fit.sort(key=lambda state: -(state.closed_at or 0))
        return fit[:limit], len(fit), [*{state.route for state in every}], [*{state.flag for state in every}]

    # -- events ------------------------------------------------------------------------------------------------

    async def events(self, request: web.Request, visitor: Visitor) -> web.StreamResponse:
        """`GET /api/events`."""
        assert visitor.token is not None
        token = visitor.token
        if self._follower.n_listeners >= _MOST_LISTENERS or self._listening.get(token, 0) >= _MOST_PER_VISITOR:
            raise Problem("too_many", "expected fewer open pages, got too many", headers={"Retry-After": "10"})
        asked = request.headers.get("Last-Event-ID") or request.query.get("after") or ""
        self._listening[token] = self._listening.get(token, 0) + 1
        try:
            return await self._stream(request, visitor, Place.parse(asked))
        finally:
            self._listening[token] -= 1
            if not self._listening[token]:
                del self._listening[token]

    async def _stream(self, request: web.Request, visitor: Visitor, after: Place | None) -> web.StreamResponse:
        transport = request.transport
        first, listener = await self._follower.listen(after, lambda: transport.abort() if transport else None)
        try:
            response = web.StreamResponse(headers={"X-Accel-Buffering": "no"})
            response.content_type = "text/event-stream"
            response.charset = "utf-8"
            await response.prepare(request)
            await response.write(b"".join(first))
            loop = asyncio.get_running_loop()
            check_at = loop.time() + _CHECK_S
            while not listener.dropped:
                await response.write(await listener.take())
                if loop.time() >= check_at:
                    # Messages come at least every five seconds, so this is asked in time.
                    if not self._gate.still_in(visitor):
                        break
                    check_at = loop.time() + _CHECK_S
            return response
        finally:
            self._follower.leave(listener)

    # -- the rest ----------------------------------------------------------------------------------------------

    async def customer(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /api/customers/<id>`."""
        customer_id = customer_of(request)
        found = await self._reader.customer(customer_id, self._follower.alerts_of(customer_id))
        if found is None:
            self._audit.view(visitor.user.name, customer_id, "unknown")
            raise Problem("not_found", "expected a customer of the board, got one that it does not know")
        self._audit.view(visitor.user.name, customer_id)
        return json_answer(found)

    async def leaders(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /api/leaders/<name>`."""
        name = request.match_info["name"]
        if name not in INDEXES:
            raise Problem("not_found", f"expected one of {', '.join(INDEXES)}, got another leaderboard")
        return json_answer({"rows": await self._reader.leaders(name, number(request, "n", 50, 1, _MOST_LEADERS))})

    async def rules(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /api/rules`."""
        return json_answer(await self._reader.rules())

    async def service(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /api/service`."""
        moment = await self._reader.moment()
        view = await self._reader.board.queue("open", moment.now(), _MOST_ALERTS, flag=INCIDENT_FLAG)
        incidents = await self._reader.rows([row.alert for row in view.rows], moment=moment)
        return json_answer({"dimensions": await self._reader.service(), "incidents": incidents})

    async def delivery(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /api/delivery`."""
        return json_answer({"windows": await self._reader.delivery()})

    async def models(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /api/models`."""
        return json_answer(await self._reader.models())

    async def operations(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /api/operations`."""
        told: dict[str, Any] = (await self._reader.moment(anew=True)).operations()
        return json_answer(told)


def customer_of(request: web.Request) -> str:
    """The customer id of a path.

    Raises
    ------
    Problem
        `not_found`: no event could carry it, so no board knows it.
    """
    customer_id = request.match_info["customer_id"]
    if not 1 <= len(customer_id) <= _LONGEST_ID or any(_is_control(char) for char in customer_id):
        raise Problem("not_found", "expected a customer of the board, got what is no id")
    return customer_id


def _is_control(char: str) -> bool:
    return ord(char) < 32 or 127 <= ord(char) < 160 or 0xD800 <= ord(char) < 0xE000
