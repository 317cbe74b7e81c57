"""A typed reader of the board: what any program may do with a Redis client, spelled out once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from engine.errors import CorruptState, StateIncompatible
from streams.redis.catalogue import CONTRACT, INPUT_STALE_MS, INPUT_STATES
from streams.redis.client import RedisClient, RedisPipeline, talking
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

__all__ = ["RiskBoard"]


class RiskBoard:
    """Reads the board. What is missing is `None`, unknown, and never zero.

    Parameters
    ----------
    client
        From `client.connect`; may be a user of Redis that can only read the prefix.
    prefix
        Of the board: `risk:`, or `replay:<run>:`.

    Raises
    ------
    StoreUnavailable
        By every method, if Redis does not answer.
    CorruptState
        By every method, if a key is not of the contract; the message names it.

    Examples
    --------
    >>> from streams.redis.embedded import EmbeddedRedis
    >>> with EmbeddedRedis() as server:
    ...     client = server.client()
    ...     board = RiskBoard(client)
    ...     print(board.customer("c1"), board.flags("c1"), board.top("churn", 10))
    ...     client.close()
    None None []
    """

    def __init__(self, client: RedisClient, prefix: str = "risk:") -> None:
        self._client = client
        self._keys = Keys(prefix)

    def customer(self, customer_id: str) -> CustomerView | None:
        """A customer at a glance; `None` for one that the board does not know."""
        key = self._keys.customer(customer_id)
        fields = self._hash(key)
        return read_customer(key, customer_id, fields) if fields else None

    def flags(self, customer_id: str) -> list[FlagView] | None:
        """The flags of a customer, oldest first; empty: none is up; `None`: unknown customer.

        `FlagView.up` is worked out from `until` and the lane's watermark, so it is right when every worker is dead.
        """
        key = self._keys.part("flags", customer_id)
        customer, raw, meta = self._at_once(
            ("HGETALL", self._keys.customer(customer_id)), ("HGETALL", key), ("HGETALL", self._keys.meta)
        )
        if not customer:
            return None
        lane = read_customer(key, customer_id, _text(key, customer)).lane
        marks = read_meta(self._keys.meta, _text(self._keys.meta, meta), None).watermarks if meta else {}
        watermark = None if lane is None else marks.get(lane)
        flags = [read_flag(key, field, value, watermark) for field, value in _text(key, raw).items()]
        return sorted(flags, key=lambda flag: (flag.since, flag.field))

    def why(self, customer_id: str) -> WhyView | None:
        """Reasons of the scores and evidence of the flags; `None` when there are none."""
        key = self._keys.part("why", customer_id)
        fields = {name: _json(key, name, value) for name, value in self._hash(key).items()}
        if not fields:
            return None
        return WhyView(fields.pop("churn", None), fields.pop("engagement", None), fields)

    def profile(self, customer_id: str) -> dict[str, str] | None:
        """Descriptive facts; `None` when there are none."""
        return self._hash(self._keys.part("profile", customer_id)) or None

    def history(self, customer_id: str) -> dict[str, tuple[float | None, float | None]] | None:
        """Day (`YYYY-MM-DD`) -> last churn and engagement of that day, oldest first; `None` when there is none."""
        key = self._keys.part("history", customer_id)
        days = {day: _json(key, day, value) for day, value in sorted(self._hash(key).items())}
        try:
            return {day: (churn, engagement) for day, (churn, engagement) in days.items()} or None
        except (TypeError, ValueError) as error:
            raise CorruptState(f"{key}: expected pairs of scores, got {error}; run `henji verify`") from error

    def timeline(self, customer_id: str) -> list[TimelineEntry] | None:
        """The last traces of both sides, oldest first; `None` when there are none."""
        key = self._keys.part("timeline", customer_id)
        (raw,) = self._at_once(("LRANGE", key, 0, -1))
        try:
            return [TimelineEntry(*_json(key, "element", value)) for value in raw] or None
        except TypeError as error:
            raise CorruptState(f"{key}: expected elements of 6 values, got {error}; run `henji verify`") from error

    def top(self, index: str, n: int) -> list[tuple[str, float]]:
        """The first `n` of a leaderboard, the most urgent first: customer ids with their scores."""
        key = self._keys.index(index)
        (raw,) = self._at_once(("ZRANGE", key, 0, n - 1, "REV", "WITHSCORES")) if n > 0 else ([],)
        try:
            return [(decode_id(who.decode()), float(score)) for who, score in zip(raw[::2], raw[1::2], strict=True)]
        except ValueError as error:
            raise CorruptState(f"{key}: expected encoded customer ids, got {error}; run `henji verify`") from error

    def alerts(self, after: str = "0", count: int = 100) -> list[AlertView]:
        """Alerts after a stream id, oldest first.

        Parameters
        ----------
        after
            `AlertView.stream_id` of the last one seen, or `0` for the oldest kept.
        count
            Most alerts to return.
        """
        (entries,) = self._at_once(("XRANGE", self._keys.alerts, f"({after}", "+", "COUNT", count))
        return [read_alert(self._keys.alerts, stream_id.decode(), fields) for stream_id, fields in entries or ()]

    def alert(self, alert_id: str) -> dict[str, str] | None:
        """State of an open alert; `None` when it is closed or was never open."""
        return self._hash(self._keys.alert(alert_id)) or None

    def meta(self) -> MetaView | None:
        """Facts about the board; `None` when nobody ever wrote it.

        Raises
        ------
        StateIncompatible
            If the board is of another contract than this reader.
        """
        raw, last = self._at_once(("HGETALL", self._keys.meta), ("XREVRANGE", self._keys.alerts, "+", "-", "COUNT", 1))
        if not raw:
            return None
        view = read_meta(self._keys.meta, _text(self._keys.meta, raw), last[0][0].decode() if last else None)
        if view.contract != CONTRACT:
            raise StateIncompatible(
                f"{self._keys.meta}: expected contract {CONTRACT}, got {view.contract}; use a client of that version"
            )
        return view

    def input_state(self, lane: int, now_ms: int) -> str:
        """Whether what was sent for the customers of a lane is on the board.

        Parameters
        ----------
        lane
            As `CustomerView.lane` says.
        now_ms
            Wall clock, ms.

        Returns
        -------
        str
            `fresh`, `stale` or `unknown`, as the lane's worker said; `stale` when it said so more than 30 s ago, and
            `unknown` when it never did.
        """
        (said,) = self._at_once(("HMGET", self._keys.meta, f"input:{lane}", f"input_at:{lane}"))
        if None in said:
            return "unknown"
        try:
            word, said_at = said[0].decode(), int(said[1])
        except ValueError as error:
            raise CorruptState(
                f"{self._keys.meta}: expected a state and a time of lane {lane}'s input, got {error}; "
                "run `henji verify`"
            ) from error
        if word not in INPUT_STATES:
            raise CorruptState(
                f"{self._keys.meta}: expected {', '.join(INPUT_STATES)} in input:{lane}, got {word[:80]!r}; "
                "run `henji verify`"
            )
        return "stale" if now_ms - said_at > INPUT_STALE_MS else word

    def _hash(self, key: str) -> dict[str, str]:
        (raw,) = self._at_once(("HGETALL", key))
        return _text(key, raw)

    def _at_once(self, *commands: tuple[str | int, ...]) -> list[Any]:
        with talking(f"read {commands[0][1]}"):
            pipe: RedisPipeline = self._client.pipeline(transaction=len(commands) > 1)
            for command in commands:
                pipe.execute_command(*command)
            return pipe.execute()


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
