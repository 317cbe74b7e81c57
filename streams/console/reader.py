"""Reads the board for the page: several questions put together, what seldom changes kept for a while."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Generic, TypeVar

from engine.rules import RuleSet
from streams.cli.words import LANGUAGES, reason_text
from streams.client import AsyncRiskBoard
from streams.client.async_client import AsyncRedisClient
from streams.console.clock import Clock
from streams.console.models_view import model_rows
from streams.console.moment import Moment
from streams.console.rows import alert_row, trace
from streams.console.services_view import service_rows
from streams.redis.client import talking
from streams.redis.desk_views import INCIDENT_FLAG, AlertState, DeliveryView, GuidanceView, RuleView, read_alert_state
from streams.redis.keys import Keys
from streams.redis.views import AlertView, read_alert, read_customer

__all__ = ["BoardReader", "reason_rows"]

_Value = TypeVar("_Value")

_PAGE = 200
_GUIDANCE_S = 30.0
_MOMENT_S = 0.5
_NAMES_S = 60.0  # going through the names of all keys takes a second per three million

# No rule names them, so no word of a person can hold them up.
_NOT_TO_OVERRIDE = frozenset({"sensitive_contact", INCIDENT_FLAG})


class _Kept(Generic[_Value]):
    """An answer that is asked for anew when it is too old, once for however many ask.

    Parameters
    ----------
    ask
        Gets it.
    for_s
        How long it is good, seconds.
    """

    def __init__(self, ask: Callable[[], Awaitable[_Value]], for_s: float) -> None:
        self._ask = ask
        self._for_s = for_s
        self._turn = asyncio.Lock()
        self._kept: tuple[float, _Value] | None = None

    async def get(self) -> _Value:
        """The answer."""
        async with self._turn:
            if self._kept is None or time.monotonic() - self._kept[0] >= self._for_s:
                self._kept = (time.monotonic(), await self._ask())
            return self._kept[1]


class BoardReader:
    """Reads the board.

    Parameters
    ----------
    client
        Of a Redis user who can read the prefix.
    prefix
        Of the board.
    now_ms
        Wall clock.
    names_s
        How long answers are good for which the names of all keys have to be gone through, seconds.

    Raises
    ------
    StoreUnavailable
        By every method, if Redis does not answer.
    CorruptState
        By every method, if a key is not of the contract.
    """

    def __init__(self, client: AsyncRedisClient, prefix: str, now_ms: Clock, *, names_s: float = _NAMES_S) -> None:
        self.keys = Keys(prefix)
        self.board = AsyncRiskBoard(client, prefix)
        self.incidents: dict[str, dict[str, Any]] = {}
        """Alert id -> `service` of an incident's newest line; whoever follows the stream fills it."""
        self._client = client
        self._now_ms = now_ms
        self._moment = _Kept(self._read_moment, _MOMENT_S)
        self._guidance = _Kept(self.board.guidance, _GUIDANCE_S)
        self._rules = _Kept[list[RuleView]](self.board.rules, names_s)
        self._delivery = _Kept[list[DeliveryView]](self.board.delivery, names_s)
        self._service = _Kept(self.board.service, names_s)
        self._models = _Kept(self.board.models, names_s)

    async def moment(self, *, anew: bool = False) -> Moment:
        """What `meta` says now, at most half a second old."""
        return await (self._read_moment() if anew else self._moment.get())

    async def states(self, alert_ids: Sequence[str]) -> dict[str, AlertState]:
        """Alert id -> state, of those that are on the board."""
        keys = [self.keys.alert(alert_id) for alert_id in alert_ids]
        found = await self._ask([("HGETALL", key) for key in keys], self.keys.alert("*"))
        return {
            alert_id: read_alert_state(key, alert_id, _text(fields))
            for alert_id, key, fields in zip(alert_ids, keys, found, strict=True)
            if fields
        }

    async def rows(
        self, states: Sequence[AlertState], ops: Mapping[str, str] | None = None, *, moment: Moment | None = None
    ) -> list[dict[str, Any]]:
        """Alerts for the page, in the order given."""
        moment = moment or await self.moment()
        guidance: Mapping[str, GuidanceView] = await self._guidance.get()
        sensitive = await self._sensitive({state.customer_id for state in states} - {""})
        services = await self._services([state.alert_id for state in states if state.flag == INCIDENT_FLAG])
        return [
            alert_row(
                state,
                moment,
                guidance,
                sensitive=sensitive.get(state.customer_id),
                op=(ops or {}).get(state.alert_id),
                service=services.get(state.alert_id),
            )
            for state in states
        ]

    async def customer(self, customer_id: str, closed: Iterable[str]) -> dict[str, Any] | None:
        """All that the board says of a customer; `None` if it does not know them.

        Parameters
        ----------
        customer_id
            The id, as events carry it.
        closed
            Ids of alerts of theirs that may be closed.
        """
        board = self.board
        customer = await board.customer(customer_id)
        if customer is None:
            return None
        flags, why, profile, history, timeline, mine = await asyncio.gather(
            board.flags(customer_id),
            board.why(customer_id),
            board.profile(customer_id),
            board.history(customer_id),
            board.timeline(customer_id),
            board.alerts_of(customer_id),
        )
        allowed = await self.flags_to_override(customer_id)
        moment = await self.moment()
        states = {state.alert_id: state for state in mine}
        states |= await self.states([alert_id for alert_id in closed if alert_id not in states])
        newest_first = sorted(states.values(), key=lambda state: (state.closed_at is not None, -state.since))
        evidence = why.evidence if why is not None else {}
        return {
            "customer": asdict(customer),
            "input": moment.input(customer.lane),
            "now": moment.now(customer.lane),
            "flags": [
                {
                    "flag": flag.flag, "category": flag.category, "since": flag.since, "until": flag.until,
                    "count": flag.count, "severity": flag.severity, "alert_id": flag.alert_id, "up": flag.up,
                    "evidence": evidence.get(flag.field, []),
                }
                for flag in flags or ()
            ],
            "reasons": {
                "churn": reason_rows(why.churn if why is not None else None),
                "engagement": reason_rows(why.engagement if why is not None else None),
            },
            "history": [[day, *scores] for day, scores in (history or {}).items()],
            "profile": profile or {},
            "timeline": [trace(entry) for entry in timeline or ()],
            "alerts": await self.rows(newest_first, moment=moment),
            "overrides_allowed": allowed,
        }  # fmt: skip

    async def flags_to_override(self, customer_id: str) -> list[str]:
        """Names of the flags that a person may hold up or down: the rules', and those of the customer."""
        rules, flags = await asyncio.gather(self._rules.get(), self.board.flags(customer_id))
        known = {rule.flag for rule in rules} | {flag.flag for flag in flags or ()} | {*RuleSet.default().names()}
        return sorted(known - _NOT_TO_OVERRIDE)

    async def leaders(self, name: str, n: int) -> list[dict[str, Any]]:
        """The first of a leaderboard."""
        top = await self.board.top(name, n)
        keys = [self.keys.customer(customer_id) for customer_id, _ in top]
        found = await self._ask([("HGETALL", key) for key in keys], self.keys.customer("*"))
        rows = []
        for (customer_id, score), key, fields in zip(top, keys, found, strict=True):
            view = read_customer(key, customer_id, _text(fields))
            rows.append(
                {
                    "customer_id": customer_id, "score": score, "churn": view.churn, "churn_band": view.churn_band,
                    "stage": view.stage, "sensitive": view.sensitive, "flags_up": view.flags_up, "value": view.value,
                }
            )  # fmt: skip
        return rows

    async def rules(self) -> list[dict[str, Any]]:
        """How the alerts of each rule fare."""
        return [asdict(rule) for rule in await self._rules.get()]

    async def delivery(self) -> list[dict[str, Any]]:
        """The newest windows of delivery."""
        return [
            {
                "start": view.start,
                "delivered": view.delivered,
                "held": view.held,
                "by_flag": {flag: {"delivered": shown, "held": kept} for flag, (shown, kept) in view.by_flag.items()},
            }
            for view in await self._delivery.get()
        ]

    async def models(self) -> list[dict[str, Any]]:
        """How good the models are."""
        return [model_rows(view) for view in await self._models.get()]

    async def service(self) -> dict[str, list[dict[str, Any]]]:
        """Scorecards by dimension."""
        return service_rows(await self._service.get(), (await self.moment()).now())

    async def has_entry(self, key: str, stream_id: str, *, few: int) -> bool:
        """Whether an entry is still in a stream; of `0-0`, before the first, whether the stream has at most `few`."""
        if stream_id == "0-0":
            (length,) = await self._ask([("XLEN", key)], key)
            return int(length) <= few
        (entries,) = await self._ask([("XRANGE", key, stream_id, stream_id)], key)
        return bool(entries)

    async def last_id(self, key: str) -> str:
        """Id of the newest entry of a stream; `0-0` when there is none."""
        (entries,) = await self._ask([("XREVRANGE", key, "+", "-", "COUNT", "1")], key)
        return entries[0][0].decode() if entries else "0-0"

    async def alert_at(self, stream_id: str) -> AlertView | None:
        """The message of an id, if it is still in the stream."""
        (entries,) = await self._ask([("XRANGE", self.keys.alerts, stream_id, stream_id)], self.keys.alerts)
        return read_alert(self.keys.alerts, stream_id, entries[0][1]) if entries else None

    async def _services(self, alert_ids: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Alert id -> the service of an incident, as its newest message says, else as much as its state does."""
        found: dict[str, dict[str, Any]] = {}
        keys = [self.keys.alert(alert_id) for alert_id in alert_ids]
        answers = await self._ask([("HMGET", key, "service") for key in keys], self.keys.alert("*"))
        for alert_id, (raw,) in zip(alert_ids, answers, strict=True):
            dimension, _, value = (raw or b"").decode("utf-8", "replace").partition(":")
            if dimension:
                found[alert_id] = {"dimension": dimension, "value": value, "observed": None, "expected": None}
            if (told := self.incidents.get(alert_id)) is not None:
                found[alert_id] = {name: told.get(name) for name in ("dimension", "value", "observed", "expected")}
        return found

    async def _sensitive(self, customers: Iterable[str]) -> dict[str, bool | None]:
        ids = sorted(customers)
        found = await self._ask([("HMGET", self.keys.customer(each), "sensitive") for each in ids], "customers")
        return {each: None if word is None else word == b"1" for each, (word,) in zip(ids, found, strict=True)}

    async def _read_moment(self) -> Moment:
        (raw,) = await self._ask([("HGETALL", self.keys.meta)], self.keys.meta)
        return Moment.of(self.keys.meta, _text(raw), wall_ms=self._now_ms())

    async def _ask(self, commands: Sequence[tuple[str, ...]], what: str) -> list[Any]:
        answers: list[Any] = []
        for start in range(0, len(commands), _PAGE):
            with talking(f"read {what}"):
                pipe = self._client.pipeline(transaction=False)
                for command in commands[start : start + _PAGE]:
                    pipe.execute_command(*command)
                answers += await pipe.execute()
        return answers


def _text(raw: Mapping[bytes, bytes]) -> dict[str, str]:
    return {name.decode("utf-8", "replace"): value.decode("utf-8", "replace") for name, value in raw.items()}


def reason_rows(told: list[dict[str, Any]] | None) -> list[dict[str, Any]]:
    """Reasons of a score for the page, with their texts in each language."""
    return [
        {
            **({"score": each["score"]} if "score" in each else {}),
            "code": str(each.get("code")),
            "weight": each.get("weight"),
            "text": {lang: reason_text(str(each.get("code")), lang) for lang in LANGUAGES},
        }
        for each in told or ()
    ]
