"""Follows alerts and facts as they happen, once for all pages that are open, and hands each page what it has to know.

Each message is read, put together with its alert's state and encoded once, however many listen. Every listener has a
queue of bounded length; whoever does not keep up is cut off and comes back with the id of the last message it has got,
as a browser does by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import orjson

from engine.errors import CorruptState, HenjiError, StoreUnavailable
from streams.console.moment import Moment
from streams.console.reader import BoardReader
from streams.console.rows import state_of_line
from streams.redis.desk_views import INCIDENT_FLAG, FactView
from streams.redis.views import AlertView

__all__ = ["Follower", "Listener", "Place", "Resumed"]

log = logging.getLogger(__name__)

_QUEUE = 256  # messages that a page may be behind
_COUNT = 200  # entries at a time
_BLOCK_MS = 1_000
_LOOK_S = 1.0  # between two looks at the freshness of the lanes
_INPUT_S = 5.0  # it is told as often even when it has not changed
_BEAT_S = 15.0
_CANCEL_S = 0.1
_AWAY_S = 1.0  # until Redis is asked again
_RESUME = 1_000  # messages that are told again; whoever missed more reads the lists anew
_SEED = 3_000
_REMEMBERED = 20_000
_CLOSED = 2_000
_INCIDENTS = 500
_PER_CUSTOMER = 16

_BEAT = b": beat\n\n"


class Place(NamedTuple):
    """How far somebody is in both streams.

    Examples
    --------
    >>> Place.parse("5-1/0-0"), Place.parse("x"), str(Place("5-1", "0-0"))
    (Place(alerts='5-1', facts='0-0'), None, '5-1/0-0')
    """

    alerts: str
    facts: str

    def __str__(self) -> str:
        return f"{self.alerts}/{self.facts}"

    @classmethod
    def parse(cls, text: str) -> Place | None:
        """The place that a page names; `None` for anything else."""
        alerts, _, facts = text.partition("/")
        return cls(alerts, facts) if _is_id(alerts) and _is_id(facts) else None


class Listener:
    """A page that listens.

    Parameters
    ----------
    cut
        Cuts it off, from outside of its own task.
    """

    def __init__(self, cut: Callable[[], None]) -> None:
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUE)
        self._cut = cut
        self.dropped = False

    def give(self, message: bytes) -> None:
        """Hand over a message; cut the page off if it is too far behind."""
        if self.dropped:
            return
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self.drop()

    def drop(self) -> None:
        """Cut the page off."""
        if not self.dropped:
            self.dropped = True
            self._cut()

    async def take(self) -> bytes:
        """Everything that waits, at least one message."""
        messages = [await self._queue.get()]
        while not self._queue.empty():
            messages.append(self._queue.get_nowait())
        return b"".join(message for message in messages if message)


class Resumed(NamedTuple):
    """What a page gets first: messages, and the listener that goes on from there."""

    first: list[bytes]
    listener: Listener


class Follower:
    """The one task that follows the streams, and what it remembers of them.

    Parameters
    ----------
    reader
        Of the board.
    """

    def __init__(self, reader: BoardReader) -> None:
        self._reader = reader
        self._listeners: set[Listener] = set()
        self._place: Place | None = None
        self._inputs: dict[str, str] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._told_at = self._beat_at = -_BEAT_S
        # Where an alert's newest message is, and which alerts a customer has: the streams have no index.
        self._newest: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._closed: OrderedDict[str, None] = OrderedDict()
        self._of_customer: OrderedDict[str, list[str]] = OrderedDict()

    # -- life --------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to follow."""
        self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._look())]

    async def stop(self) -> None:
        """Follow no more, and cut every page off."""
        running = set(self._tasks)
        while running:
            # More than once: while it connects, redis-py loses a cancellation now and then.
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=_CANCEL_S)
        for listener in list(self._listeners):
            listener.drop()

    @property
    def n_listeners(self) -> int:
        """How many pages listen."""
        return len(self._listeners)

    @property
    def place(self) -> Place | None:
        """How far everything was told; `None` before Redis has answered."""
        return self._place

    # -- listening ---------------------------------------------------------------------------------------------

    async def listen(self, after: Place | None, cut: Callable[[], None]) -> Resumed:
        """Add a page.

        Parameters
        ----------
        after
            Where it was; `None`: it begins now.
        cut
            How it is cut off.
        """
        listener = Listener(cut)
        # From here on nothing is missed; what came before `place` is read from the streams.
        self._listeners.add(listener)
        place = self._place
        first = [b"retry: 2000\n\n"]
        try:
            if after is not None and place is not None and after != place:
                missed = await self._missed(after, place)
                first += [_message("reset", place, {})] if missed is None else missed
            first.append(self._input_message(place))
        except BaseException:
            self._listeners.discard(listener)
            raise
        return Resumed(first, listener)

    def leave(self, listener: Listener) -> None:
        """Remove a page."""
        self._listeners.discard(listener)

    # -- what is remembered ------------------------------------------------------------------------------------

    def newest(self, alert_id: str) -> str | None:
        """Stream id of the newest message of an alert, if it is remembered."""
        found = self._newest.get(alert_id)
        return None if found is None else found[0]

    def op(self, alert_id: str) -> str | None:
        """The op of that message."""
        found = self._newest.get(alert_id)
        return None if found is None else found[1]

    def closed(self) -> list[str]:
        """Ids of the alerts that were closed last, the newest first."""
        return list(reversed(self._closed))

    def alerts_of(self, customer_id: str) -> list[str]:
        """Ids of the last alerts of a customer."""
        return list(self._of_customer.get(customer_id, ()))

    def _remember(self, alerts: Sequence[AlertView]) -> None:
        for alert in alerts:
            service = alert.line.get("service")
            if alert.line.get("flag") == INCIDENT_FLAG and isinstance(service, dict):
                self._reader.incidents[alert.alert_id] = service
                for old in list(self._reader.incidents)[:-_INCIDENTS]:
                    del self._reader.incidents[old]
            op, customer_id = str(alert.line.get("op", "")), str(alert.line.get("customer_id", ""))
            _put(self._newest, alert.alert_id, (alert.stream_id, op), _REMEMBERED)
            if op == "clear":
                _put(self._closed, alert.alert_id, None, _CLOSED)
            else:
                self._closed.pop(alert.alert_id, None)
            ids = self._of_customer.get(customer_id, [])
            if alert.alert_id not in ids:
                ids = [*ids, alert.alert_id][-_PER_CUSTOMER:]
            _put(self._of_customer, customer_id, ids, _REMEMBERED)

    # -- following ---------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        away = False
        while True:
            try:
                if self._place is None or away:
                    await self._begin()
                    away = False
                await self._step()
            except StoreUnavailable as error:
                if not away:
                    log.warning("alerts are not followed: %s", error)
                away = True
                await asyncio.sleep(_AWAY_S)
            except Exception as error:
                # The edge of the task: an entry that nobody can read must not keep those after it from the pages.
                if isinstance(error, HenjiError):
                    log.error("alerts are passed over: %s", error)
                else:
                    log.error("alerts are passed over", exc_info=error)
                await asyncio.sleep(_AWAY_S)
                with contextlib.suppress(HenjiError):
                    await self._jump()

    async def _jump(self) -> None:
        """Go on from the end of the streams, and let every page read anew what was passed over."""
        keys = self._reader.keys
        self._place = Place(await self._reader.last_id(keys.alerts), await self._reader.last_id(keys.facts))
        self._tell(_message("reset", self._place, {}))

    async def _begin(self) -> None:
        """Find the place to go on from: the old one, where it still is in the streams, else the end."""
        old = self._place
        if old is not None and await self._holds(old):
            return
        board = self._reader.board
        last = await board.last_alerts(_SEED)
        facts = await self._last_fact()
        self._newest.clear()
        self._closed.clear()
        self._of_customer.clear()
        self._remember(last)
        self._place = Place(last[-1].stream_id if last else "0-0", facts)
        if old is not None:
            log.warning("the streams are not those of before: pages read everything anew")
        if self._listeners:
            self._tell(_message("reset", self._place, {}))

    async def _step(self) -> None:
        assert self._place is not None
        place = self._place
        alerts, facts = await self._reader.board.news(place.alerts, place.facts, count=_COUNT, block_ms=_BLOCK_MS)
        if not alerts and not facts:
            return
        self._remember(alerts)
        messages, place = await self._messages(place, alerts, facts)
        # Told and moved without waiting in between: a page that begins to listen sees both or neither.
        for message in messages:
            self._tell(message)
        self._place = place

    async def _messages(
        self, place: Place, alerts: Sequence[AlertView], facts: Sequence[FactView]
    ) -> tuple[list[bytes], Place]:
        """Both kinds of messages, encoded, and the place after them."""
        ids = list(dict.fromkeys([*(each.alert_id for each in alerts), *(each.alert_id for each in facts)]))
        states = await self._reader.states(ids)
        for alert in alerts:
            if alert.alert_id not in states:
                with contextlib.suppress(KeyError, TypeError, ValueError):
                    states[alert.alert_id] = state_of_line(alert)
        moment = await self._reader.moment()
        listed = list(states.values())
        ops = {each: op for each in states if (op := self.op(each)) is not None}
        rows = dict(zip(states, await self._reader.rows(listed, ops, moment=moment), strict=True))
        messages = []
        for alert in alerts:
            place = Place(alert.stream_id, place.facts)
            if alert.alert_id in rows:
                op = alert.line.get("op")
                told = {"op": op, "alert": {**rows[alert.alert_id], "op": op}, "stream_id": alert.stream_id}
                messages.append(_message("alert", place, told))
        for fact in facts:
            place = Place(place.alerts, fact.stream_id)
            if fact.alert_id in rows:
                said = {"fact": fact.fact, "state": fact.state, "by": fact.by, "alert": rows[fact.alert_id]}
                messages.append(_message("fact", place, said))
        return messages, place

    async def _missed(self, after: Place, place: Place) -> list[bytes] | None:
        """What came after a place, up to where everybody is; `None` if that cannot be known, or is too much."""
        if not await self._holds(after):
            return None
        try:
            return await self._read_missed(after, place)
        except CorruptState as error:
            log.error("what a page has missed cannot be read: %s", error)
            return None

    async def _read_missed(self, after: Place, place: Place) -> list[bytes] | None:
        board = self._reader.board
        alerts = [each for each in await board.alerts(after.alerts, _RESUME + 1) if _upto(each.stream_id, place.alerts)]
        facts = [each for each in await board.facts(after.facts, _RESUME + 1) if _upto(each.stream_id, place.facts)]
        if len(alerts) + len(facts) > _RESUME:
            return None
        messages, _ = await self._messages(after, alerts, facts)
        return messages

    async def _holds(self, place: Place) -> bool:
        """Whether everything after a place is still in the streams.

        An entry that was seen and is still there proves it. Of one that is gone nothing is known: the stream was
        trimmed beyond it, or made anew. The place before the first entry holds while the stream is too short to have
        been trimmed.
        """
        keys = self._reader.keys
        for key, stream_id in ((keys.alerts, place.alerts), (keys.facts, place.facts)):
            if not await self._reader.has_entry(key, stream_id, few=_RESUME):
                return False
        return True

    async def _last_fact(self) -> str:
        return await self._reader.last_id(self._reader.keys.facts)

    # -- freshness ---------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        while True:
            try:
                moment: Moment = await self._reader.moment(anew=True)
                inputs = moment.inputs()
            except HenjiError as error:
                if not isinstance(error, StoreUnavailable):
                    log.warning("freshness is not known: %s", error)
                inputs = dict.fromkeys(self._inputs, "unknown")
            self.say_inputs(inputs)
            await asyncio.sleep(_LOOK_S)

    def say_inputs(self, inputs: dict[str, str]) -> None:
        """Tell how fresh the lanes are, when that has changed or was told a while ago; and a beat now and then."""
        now, changed = time.monotonic(), inputs != self._inputs
        self._inputs = inputs
        if changed or now - self._told_at >= _INPUT_S:
            self._told_at = now
            self._tell(self._input_message(self._place))
        if now - self._beat_at >= _BEAT_S:
            self._beat_at = now
            self._tell(_BEAT)

    def _input_message(self, place: Place | None) -> bytes:
        return _message("input", place, {"lanes": self._inputs})

    def _tell(self, message: bytes) -> None:
        for listener in list(self._listeners):
            listener.give(message)


def _message(event: str, place: Place | None, data: dict[str, Any]) -> bytes:
    head = b"" if place is None else f"id: {place}\n".encode()
    return head + b"event: " + event.encode() + b"\ndata: " + orjson.dumps(data) + b"\n\n"


def _put(remembered: OrderedDict[str, Any], key: str, value: Any, most: int) -> None:
    remembered[key] = value
    remembered.move_to_end(key)
    if len(remembered) > most:
        remembered.popitem(last=False)


def _is_id(text: str) -> bool:
    ms, dash, number = text.partition("-")
    return bool(dash) and all(part.isascii() and part.isdecimal() and len(part) <= 20 for part in (ms, number))


def _upto(stream_id: str, last: str) -> bool:
    return _order(stream_id) <= _order(last)


def _order(stream_id: str) -> tuple[int, int]:
    ms, _, number = stream_id.partition("-")
    return int(ms), int(number)
