"""A board in Redis as a side of a comparison."""

from __future__ import annotations

from collections.abc import Iterator

import orjson

from engine.duration import DAY_MS
from engine.errors import CorruptState, UsageError
from engine.incident import INCIDENT_LANE
from engine.murmur2 import lane_of
from streams.diff.row import CustomerRow, row_of_board
from streams.diff.spill import by_customer
from streams.redis.client import RedisClient, talking
from streams.redis.keys import Keys, decode_id

__all__ = ["BoardSide"]

_PAGE = 500


class BoardSide:
    """A board, by its prefix: the customers and the alert stream. It must stand still meanwhile.

    Predictions are on no board. Alerts of services (`service_incident`) are left out: they come when somebody looks,
    and a replay looks at other moments than live workers do.

    Parameters
    ----------
    client
        Of the Redis; reading is all it needs.
    prefix
        `risk:`, or `replay:<run>:`.

    Raises
    ------
    UsageError
        If there is no such board.
    """

    digits: int | None = 6
    parts = frozenset(("board", "alerts"))
    total = 0
    passed = 0

    def __init__(self, client: RedisClient, prefix: str) -> None:
        self.name = prefix
        self._client = client
        self._keys = Keys(prefix)
        self._from: dict[int, int] = {}
        with talking("reading the board"):
            lanes = client.execute_command("HGET", self._keys.meta, "lanes")
        if lanes is None:
            raise UsageError(f"run: expected a board under {prefix}, got none in this Redis; see --redis")
        self._lanes = int(lanes)

    def customers(self) -> Iterator[CustomerRow]:
        """Every customer; the keys come in no order and are sorted first."""
        before = None
        page: list[str] = []
        for customer_id, _ in by_customer((each, b"") for each in self._ids()):
            # A scan may give a key twice.
            if customer_id == before:
                continue
            before = customer_id
            page.append(customer_id)
            if len(page) == _PAGE:
                yield from self._rows(page)
                page = []
        if page:
            yield from self._rows(page)

    def lines(self, part: str) -> Iterator[bytes]:
        """The alerts that the stream still has, each once."""
        newest: dict[int, int] = {}
        after = "-"
        while True:
            with talking("reading alerts"):
                entries = self._client.execute_command("XRANGE", self._keys.alerts, after, "+", "COUNT", _PAGE)
            for stream_id, fields in entries:
                after = f"({stream_id.decode()}"
                lane, seq, line = int(fields[b"lane"]), int(fields[b"seq"]), fields[b"line"]
                if lane == INCIDENT_LANE or seq <= newest.get(lane, 0):
                    continue
                if lane not in newest and seq > 1:
                    # The stream was cut here. Alerts of late events are out of order, so a day more is left out.
                    self._from[lane] = int(orjson.loads(line)["at"]) + DAY_MS
                newest[lane] = seq
                yield line
            if len(entries) < _PAGE:
                return

    def known_from(self, customer_id: str) -> int | None:
        """A day after the first alert that the stream still has of the customer's lane."""
        return self._from.get(lane_of(customer_id, self._lanes)) if self._from else None

    def _ids(self) -> Iterator[str]:
        head = self._keys.part("customer", "")
        cursor = b"0"
        while True:
            with talking("looking for customers"):
                cursor, names = self._client.execute_command("SCAN", cursor, "MATCH", f"{head}*", "COUNT", 1000)
            for name in names:
                try:
                    yield decode_id(name.decode()[len(head) :])
                except ValueError as error:
                    raise CorruptState(f"{name!r}: {error}; run `henji verify`") from error
            if int(cursor) == 0:
                return

    def _rows(self, ids: list[str]) -> Iterator[CustomerRow]:
        with talking("reading customers"):
            pipe = self._client.pipeline(transaction=False)
            for customer_id in ids:
                for part in ("customer", "flags", "why"):
                    pipe.execute_command("HGETALL", self._keys.part(part, customer_id))
            answers = [_text(each) for each in pipe.execute()]
        for place, customer_id in enumerate(ids):
            customer, flags, why = answers[3 * place : 3 * place + 3]
            # Between the scan and here it may have been retired.
            if customer:
                key = self._keys.customer(customer_id)
                try:
                    yield row_of_board(key, customer_id, customer, flags, why)
                except ValueError as error:
                    raise CorruptState(f"{key}: expected evidence as JSON, got {error}; run `henji verify`") from error


def _text(answer: dict[bytes, bytes] | list[bytes]) -> dict[str, str]:
    pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
    return {name.decode(): value.decode("utf-8", "replace") for name, value in pairs}
