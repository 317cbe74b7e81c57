"""What can be asked of a board: for each question the commands and what their answers mean, for any kind of client.

A question is a generator: it yields what to ask, is sent the answers, and returns the value. So the synchronous and the
asynchronous board are the same questions, put in two ways, and a question may depend on answers to the one before.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

from engine.errors import CorruptState, StateIncompatible
from streams.redis.asking import Ask, Question
from streams.redis.catalogue import CONTRACT, INPUT_STALE_MS, INPUT_STATES
from streams.redis.client import Command
from streams.redis.desk_views import (
    WAITING_MS,
    AlertState,
    DeliveryView,
    FactView,
    GuidanceView,
    ModelView,
    QueueRow,
    QueueView,
    RuleView,
    ServiceView,
    model_view,
    queue_row,
    read_alert_state,
    read_delivery,
    read_fact,
    read_guidance,
    read_rule,
    service_view,
)
from streams.redis.folded import Folded, FoldStep, Snapshot
from streams.redis.keys import Keys, decode_id
from streams.redis.views import (
    AlertView,
    CustomerView,
    FlagView,
    MetaView,
    TimelineEntry,
    WhyView,
    read_alert,
    read_customer,
    read_flag,
    read_meta,
)

__all__ = ["Questions"]

_PAGE = 500
_SCAN_COUNT = 2_000
_STANDINGS = ("incident", "waiting", "acked", "snoozed")


class Questions:
    """The questions; see `board.RiskBoard` for what each returns and raises.

    Parameters
    ----------
    keys
        Names of the keys of the board.
    """

    def __init__(self, keys: Keys) -> None:
        self._keys = keys

    # -- a customer --------------------------------------------------------------------------------------------

    def customer(self, customer_id: str) -> Question[CustomerView | None]:
        """See `RiskBoard.customer`."""
        key = self._keys.customer(customer_id)
        fields = yield from _hash(key)
        return read_customer(key, customer_id, fields) if fields else None

    def flags(self, customer_id: str) -> Question[list[FlagView] | None]:
        """See `RiskBoard.flags`."""
        key = self._keys.part("flags", customer_id)
        whose = self._keys.customer(customer_id)
        customer, raw, meta = yield _together(("HGETALL", whose), ("HGETALL", key), ("HGETALL", self._keys.meta))
        if not customer:
            return None
        lane = read_customer(whose, customer_id, _text(whose, customer)).lane
        watermark = None if lane is None else self._watermarks(meta).get(lane)
        flags = [read_flag(key, field, value, watermark) for field, value in _text(key, raw).items()]
        return sorted(flags, key=lambda flag: (flag.since, flag.field))

    def why(self, customer_id: str) -> Question[WhyView | None]:
        """See `RiskBoard.why`."""
        key = self._keys.part("why", customer_id)
        raw = yield from _hash(key)
        fields = {name: _json(key, name, value) for name, value in raw.items()}
        if not fields:
            return None
        return WhyView(fields.pop("churn", None), fields.pop("engagement", None), fields)

    def profile(self, customer_id: str) -> Question[dict[str, str] | None]:
        """See `RiskBoard.profile`."""
        fields = yield from _hash(self._keys.part("profile", customer_id))
        return fields or None

    def history(self, customer_id: str) -> Question[dict[str, tuple[float | None, float | None]] | None]:
        """See `RiskBoard.history`."""
        key = self._keys.part("history", customer_id)
        raw = yield from _hash(key)
        days = {day: _json(key, day, value) for day, value in sorted(raw.items())}
        try:
            return {day: (churn, engagement) for day, (churn, engagement) in days.items()} or None
        except (TypeError, ValueError) as error:
            raise CorruptState(f"{key}: expected pairs of scores, got {error}; run `henji verify`") from error

    def timeline(self, customer_id: str) -> Question[list[TimelineEntry] | None]:
        """See `RiskBoard.timeline`."""
        key = self._keys.part("timeline", customer_id)
        (raw,) = yield _one("LRANGE", key, 0, -1)
        try:
            return [TimelineEntry(*_json(key, "element", value)) for value in raw] or None
        except TypeError as error:
            raise CorruptState(f"{key}: expected elements of 6 values, got {error}; run `henji verify`") from error

    # -- lists -------------------------------------------------------------------------------------------------

    def top(self, index: str, n: int) -> Question[list[tuple[str, float]]]:
        """See `RiskBoard.top`."""
        key = self._keys.index(index)
        if n <= 0:
            return []
        (raw,) = yield _one("ZRANGE", key, 0, n - 1, "REV", "WITHSCORES")
        try:
            return [(decode_id(who.decode()), float(score)) for who, score in zip(raw[::2], raw[1::2], strict=True)]
        except ValueError as error:
            raise CorruptState(f"{key}: expected encoded customer ids, got {error}; run `henji verify`") from error

    def alerts(self, after: str, count: int) -> Question[list[AlertView]]:
        """See `RiskBoard.alerts`."""
        key = self._keys.alerts
        (entries,) = yield _one("XRANGE", key, f"({after}", "+", "COUNT", count)
        return [read_alert(key, stream_id.decode(), fields) for stream_id, fields in entries or ()]

    def last_alerts(self, count: int) -> Question[list[AlertView]]:
        """See `RiskBoard.last_alerts`."""
        key = self._keys.alerts
        (entries,) = yield _one("XREVRANGE", key, "+", "-", "COUNT", count)
        return [read_alert(key, stream_id.decode(), fields) for stream_id, fields in reversed(entries or ())]

    def facts(self, after: str, count: int) -> Question[list[FactView]]:
        """See `RiskBoard.facts`."""
        key = self._keys.facts
        (entries,) = yield _one("XRANGE", key, f"({after}", "+", "COUNT", count)
        return [read_fact(key, stream_id.decode(), fields) for stream_id, fields in entries or ()]

    def last_facts(self, count: int) -> Question[list[FactView]]:
        """See `RiskBoard.last_facts`."""
        key = self._keys.facts
        (entries,) = yield _one("XREVRANGE", key, "+", "-", "COUNT", count)
        return [read_fact(key, stream_id.decode(), fields) for stream_id, fields in reversed(entries or ())]

    def news(
        self, alerts_after: str, facts_after: str, count: int, block_ms: int | None
    ) -> Question[tuple[list[AlertView], list[FactView]]]:
        """See `RiskBoard.news`."""
        alerts, facts = self._keys.alerts, self._keys.facts
        wait = () if block_ms is None else ("BLOCK", max(1, block_ms))
        command = ("XREAD", "COUNT", count, *wait, "STREAMS", alerts, facts, alerts_after, facts_after)
        (answer,) = yield Ask([command], f"read {alerts}")
        found = {name.decode(): entries for name, entries in answer or ()}
        return (
            [read_alert(alerts, stream_id.decode(), fields) for stream_id, fields in found.get(alerts, ())],
            [read_fact(facts, stream_id.decode(), fields) for stream_id, fields in found.get(facts, ())],
        )

    # -- alerts ------------------------------------------------------------------------------------------------

    def alert(self, alert_id: str) -> Question[AlertState | None]:
        """See `RiskBoard.alert`."""
        key = self._keys.alert(alert_id)
        fields = yield from _hash(key)
        return read_alert_state(key, alert_id, fields) if fields else None

    def alerts_of(self, customer_id: str) -> Question[list[AlertState]]:
        """See `RiskBoard.alerts_of`."""
        flags = yield from self.flags(customer_id)
        ids = {flag.alert_id: None for flag in flags or ()}
        names = ("open", "held")
        queues = yield Ask(
            [("ZRANGE", self._keys.queue(name), 0, -1) for name in names], f"read {self._keys.queue('*')}"
        )
        # Alerts of contacts are no flags: only the queues know that they are open.
        ids |= {raw.decode(): None for queue in queues for raw in queue}
        states = yield from self._states(list(ids))
        mine = [state for state in states if state.customer_id == customer_id and state.is_open]
        return sorted(mine, key=lambda state: (state.since, state.alert_id))

    def queue(
        self, name: str, now_ms: int, limit: int, route: str | None, flag: str | None, waiting_ms: int | None
    ) -> Question[QueueView]:
        """See `RiskBoard.queue`."""
        key = self._keys.queue(name)
        members, meta = yield _together(("ZRANGE", key, 0, -1), ("HGETALL", self._keys.meta))
        states = yield from self._states([raw.decode() for raw in members])
        marks = self._watermarks(meta)
        if waiting_ms is None:
            waiting_ms = self._waiting_ms(meta)
        routes, flags = dict[str, int](), dict[str, int]()
        rows: list[QueueRow] = []
        for state in states:
            routes[state.route] = routes.get(state.route, 0) + 1
            flags[state.flag] = flags.get(state.flag, 0) + 1
            if (route is None or state.route == route) and (flag is None or state.flag == flag):
                watermark = _watermark_of(state.lane, marks)
                rows.append(queue_row(state, now_ms, watermark, waiting_ms))
        rows.sort(key=_place)
        return QueueView(rows[: max(0, limit)], len(rows), dict(sorted(routes.items())), dict(sorted(flags.items())))

    def _waiting_ms(self, meta: Mapping[bytes, bytes]) -> int:
        """What lifts an alert by one priority, as the desk in force says."""
        text = meta.get(b"waiting_ms")
        try:
            return WAITING_MS if text is None else max(1, int(text))
        except ValueError as error:
            raise CorruptState(
                f"{self._keys.meta}: expected ms in waiting_ms, got {text!r}; run `henji verify`"
            ) from error

    def _states(self, alert_ids: Sequence[str]) -> Question[list[AlertState]]:
        """States of alerts, without those that are gone."""
        keys = [self._keys.alert(alert_id) for alert_id in alert_ids]
        hashes = yield from _hashes(keys, self._keys.alert("*"))
        pairs = zip(alert_ids, keys, hashes, strict=True)
        return [read_alert_state(key, alert_id, fields) for alert_id, key, fields in pairs if fields]

    def guidance(self) -> Question[dict[str, GuidanceView]]:
        """See `RiskBoard.guidance`."""
        key = self._keys.guidance
        fields = yield from _hash(key)
        return {name: read_guidance(key, name, text) for name, text in sorted(fields.items())}

    # -- the desk as a whole -----------------------------------------------------------------------------------

    def rules(self, flags: Iterable[str] | None) -> Question[list[RuleView]]:
        """See `RiskBoard.rules`."""
        if flags is None:
            names = yield from self._names(self._keys.rule(""))
        else:
            names = [self._keys.rule(flag).removeprefix(self._keys.rule("")) for flag in sorted(set(flags))]
        rows = yield from self._by_name(self._keys.rule(""), names)
        return [read_rule(key, _decoded(key, name), fields) for name, key, fields in rows]

    def delivery(self, n: int) -> Question[list[DeliveryView]]:
        """See `RiskBoard.delivery`."""
        start = self._keys.prefix + "delivery:"
        names = yield from self._names(start)
        try:
            newest = sorted((int(name) for name in names), reverse=True)[: max(0, n)]
        except ValueError as error:
            raise CorruptState(f"{start}*: expected windows in ms, got {error}; run `henji verify`") from error
        rows = yield from self._by_name(start, [str(window) for window in newest])
        return [read_delivery(key, int(name), fields) for name, key, fields in rows]

    def service(self) -> Question[list[ServiceView]]:
        """See `RiskBoard.service`."""
        start = self._keys.prefix + "service:"
        rows = yield from self._by_name(start, (yield from self._names(start)))
        return [service_view(key, name, fields) for name, key, fields in rows]

    def models(self) -> Question[list[ModelView]]:
        """See `RiskBoard.models`."""
        start = self._keys.model("")
        rows = yield from self._by_name(start, (yield from self._names(start)))
        return [model_view(_decoded(key, name), fields) for name, key, fields in rows]

    def meta(self) -> Question[MetaView | None]:
        """See `RiskBoard.meta`."""
        key = self._keys.meta
        raw, last = yield _together(("HGETALL", key), ("XREVRANGE", self._keys.alerts, "+", "-", "COUNT", 1))
        if not raw:
            return None
        view = read_meta(key, _text(key, raw), last[0][0].decode() if last else None)
        if view.contract != CONTRACT:
            raise StateIncompatible(
                f"{key}: expected contract {CONTRACT}, got {view.contract}; use a client of that version"
            )
        return view

    def input_state(self, lane: int, now_ms: int) -> Question[str]:
        """See `RiskBoard.input_state`."""
        fields = yield from _hash(self._keys.meta)
        word, said_at = fields.get(f"input:{lane}"), fields.get(f"input_at:{lane}")
        if word is None or said_at is None:
            return "unknown"
        if word not in INPUT_STATES:
            raise CorruptState(
                f"{self._keys.meta}: expected {', '.join(INPUT_STATES)} in input:{lane}, got {word[:80]!r}; "
                "run `henji verify`"
            )
        try:
            return "stale" if now_ms - int(said_at) > INPUT_STALE_MS else word
        except ValueError as error:
            raise CorruptState(
                f"{self._keys.meta}: expected a state and a time of lane {lane}'s input, got {error}; "
                "run `henji verify`"
            ) from error

    # -- for folding -------------------------------------------------------------------------------------------

    def snapshot(self) -> Question[Snapshot]:
        """See `RiskBoard.snapshot`."""
        stream, start = self._keys.alerts, self._keys.prefix + "flags:"
        meta, last = yield _together(("HGETALL", self._keys.meta), ("XREVRANGE", stream, "+", "-", "COUNT", 1))
        marks = self._watermarks(meta)
        newest = read_alert(stream, last[0][0].decode(), last[0][1]) if last else None
        flags: dict[str, tuple[str, FlagView]] = {}
        for page in _pages((yield from self._names(start))):
            keys = [start + name for name in page]
            customers = [self._keys.prefix + "customer:" + name for name in page]
            commands = [("HGETALL", key) for pair in zip(keys, customers, strict=True) for key in pair]
            answers = yield Ask(commands, f"read {start}*")
            for name, key, raw, whose in zip(page, keys, answers[::2], answers[1::2], strict=True):
                customer_id = _decoded(key, name)
                lane = read_customer(key, customer_id, _text(key, whose)).lane
                mark = None if lane is None else marks.get(lane)
                for field, value in _text(key, raw).items():
                    flag = read_flag(key, field, value, mark)
                    flags[flag.alert_id] = (customer_id, flag)
        position, identity = (newest.stream_id, newest.identity) if newest else ("0-0", None)
        return Snapshot(position, identity, flags, marks)

    def fold(self, state: Folded | None, count: int) -> Question[FoldStep]:
        """See `RiskBoard.fold`."""
        key = self._keys.alerts
        if state is not None:
            (entries,) = yield _one("XRANGE", key, state.position, "+", "COUNT", count + 1)
            messages = [read_alert(key, stream_id.decode(), fields) for stream_id, fields in entries or ()]
            # Where the entry at our place is gone, nobody knows what else is: trimmed, set back, or made anew. Without
            # a place neither: an empty stream may have been filled, and trimmed to nothing again.
            if messages and (messages[0].stream_id, messages[0].identity) == (state.position, state.mark):
                return _folded_on(state, messages[1:], more=len(messages) > count)
        fresh = Folded.of((yield from self.snapshot()))
        before = state.flags if state is not None else {}
        came = {alert_id: flag for alert_id, flag in fresh.flags.items() if alert_id not in before}
        went = {alert_id: flag for alert_id, flag in before.items() if alert_id not in fresh.flags}
        return FoldStep(fresh, [], anew=True, came=came, went=went, more=fresh.mark is not None)

    # -- parts -------------------------------------------------------------------------------------------------

    def _watermarks(self, meta: Mapping[bytes, bytes]) -> dict[int, int]:
        return read_meta(self._keys.meta, _text(self._keys.meta, meta), None).watermarks if meta else {}

    def _names(self, start: str) -> Question[list[str]]:
        """What follows `start` in the names of the keys that begin with it, sorted; reads the names of all keys."""
        names, cursor = set[str](), b"0"
        while True:
            ((cursor, found),) = yield Ask(
                [("SCAN", cursor, "MATCH", f"{start}*", "COUNT", _SCAN_COUNT)], f"read {start}*"
            )
            names.update(key.decode()[len(start) :] for key in found)
            if cursor in (b"0", 0):
                return sorted(names)

    def _by_name(self, start: str, names: Sequence[str]) -> Question[list[tuple[str, str, dict[str, str]]]]:
        keys = [start + name for name in names]
        hashes = yield from _hashes(keys, f"{start}*")
        return [(name, key, fields) for name, key, fields in zip(names, keys, hashes, strict=True) if fields]


def _folded_on(state: Folded, messages: list[AlertView], *, more: bool) -> FoldStep:
    touched = {message.alert_id for message in messages}
    before = {alert_id: flag for alert_id in touched if (flag := state.flags.get(alert_id)) is not None}
    for message in messages:
        state.take(message)
    after = {alert_id: flag for alert_id in touched if (flag := state.flags.get(alert_id)) is not None}
    came = {alert_id: flag for alert_id, flag in after.items() if alert_id not in before}
    went = {alert_id: flag for alert_id, flag in before.items() if alert_id not in after}
    return FoldStep(state, messages, anew=False, came=came, went=went, more=more)


def _watermark_of(lane: int | None, marks: Mapping[int, int]) -> int | None:
    """Event time of an alert's lane, ms; an incident is of all of them and is as far as the last."""
    if lane is not None and lane < 0:
        return min(marks.values(), default=None)
    return None if lane is None else marks.get(lane)


def _decoded(key: str, name: str) -> str:
    try:
        return decode_id(name)
    except ValueError as error:
        raise CorruptState(f"{key}: {error}; run `henji verify`") from error


def _place(row: QueueRow) -> tuple[int, int, int, str]:
    return _STANDINGS.index(row.standing), row.lifted, row.alert.since, row.alert.alert_id


def _one(*command: str | int) -> Ask:
    return Ask([command], f"read {command[1]}")


def _together(*commands: Command) -> Ask:
    return Ask(commands, f"read {commands[0][1]!s}", together=True)


def _hash(key: str) -> Question[dict[str, str]]:
    (raw,) = yield _one("HGETALL", key)
    return _text(key, raw)


def _hashes(keys: Sequence[str], what: str) -> Question[list[dict[str, str]]]:
    hashes: list[dict[str, str]] = []
    for page in _pages(keys):
        answers = yield Ask([("HGETALL", key) for key in page], f"read {what}")
        hashes += [_text(key, raw) for key, raw in zip(page, answers, strict=True)]
    return hashes


def _pages(items: Sequence[str]) -> Iterable[Sequence[str]]:
    return (items[at : at + _PAGE] for at in range(0, len(items), _PAGE))


def _text(key: str, raw: Mapping[bytes, bytes]) -> dict[str, str]:
    try:
        return {name.decode(): value.decode() for name, value in raw.items()}
    except UnicodeDecodeError as error:
        raise CorruptState(f"{key}: expected text, got {error}; run `henji verify`") from error


def _json(key: str, field: str, value: str | bytes) -> Any:
    try:
        return orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise CorruptState(f"{key}: expected JSON in {field}, got {error}; run `henji verify`") from error
