"""The board for programs on asyncio: the questions of `RiskBoard`, put without blocking."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from streams.client.async_client import AsyncRedisClient, answer_async
from streams.redis.asking import Question
from streams.redis.desk_views import (
    AlertState,
    DeliveryView,
    FactView,
    GuidanceView,
    ModelView,
    QueueView,
    RuleView,
    ServiceView,
)
from streams.redis.folded import Folded, FoldStep, Snapshot
from streams.redis.keys import Keys
from streams.redis.questions import Questions
from streams.redis.views import AlertView, CustomerView, FlagView, MetaView, TimelineEntry, WhyView

__all__ = ["AsyncRiskBoard"]

_Value = TypeVar("_Value")


class AsyncRiskBoard:
    """Reads the board; every method is that of `RiskBoard`, awaited.

    Parameters
    ----------
    client
        From `connect_async`; may be a user of Redis that can only read the prefix.
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
    >>> import asyncio
    >>> from streams.client.async_client import connect_async
    >>> from streams.redis.embedded import EmbeddedRedis
    >>> async def look(url: str) -> None:
    ...     client = connect_async(url)
    ...     board = AsyncRiskBoard(client)
    ...     print(await board.customer("c1"), await board.flags("c1"), await board.top("churn", 10))
    ...     await client.aclose()
    >>> with EmbeddedRedis() as server:
    ...     asyncio.run(look(server.url))
    None None []
    """

    def __init__(self, client: AsyncRedisClient, prefix: str = "risk:") -> None:
        self._client = client
        self._questions = Questions(Keys(prefix))

    async def customer(self, customer_id: str) -> CustomerView | None:
        """See `RiskBoard.customer`."""
        return await self._ask(self._questions.customer(customer_id))

    async def flags(self, customer_id: str) -> list[FlagView] | None:
        """See `RiskBoard.flags`."""
        return await self._ask(self._questions.flags(customer_id))

    async def why(self, customer_id: str) -> WhyView | None:
        """See `RiskBoard.why`."""
        return await self._ask(self._questions.why(customer_id))

    async def profile(self, customer_id: str) -> dict[str, str] | None:
        """See `RiskBoard.profile`."""
        return await self._ask(self._questions.profile(customer_id))

    async def history(self, customer_id: str) -> dict[str, tuple[float | None, float | None]] | None:
        """See `RiskBoard.history`."""
        return await self._ask(self._questions.history(customer_id))

    async def timeline(self, customer_id: str) -> list[TimelineEntry] | None:
        """See `RiskBoard.timeline`."""
        return await self._ask(self._questions.timeline(customer_id))

    async def top(self, index: str, n: int) -> list[tuple[str, float]]:
        """See `RiskBoard.top`."""
        return await self._ask(self._questions.top(index, n))

    async def alerts(self, after: str = "0", count: int = 100) -> list[AlertView]:
        """See `RiskBoard.alerts`."""
        return await self._ask(self._questions.alerts(after, count))

    async def last_alerts(self, count: int = 100) -> list[AlertView]:
        """See `RiskBoard.last_alerts`."""
        return await self._ask(self._questions.last_alerts(count))

    async def facts(self, after: str = "0", count: int = 100) -> list[FactView]:
        """See `RiskBoard.facts`."""
        return await self._ask(self._questions.facts(after, count))

    async def last_facts(self, count: int = 100) -> list[FactView]:
        """See `RiskBoard.last_facts`."""
        return await self._ask(self._questions.last_facts(count))

    async def news(
        self, alerts_after: str, facts_after: str, *, count: int = 100, block_ms: int | None = None
    ) -> tuple[list[AlertView], list[FactView]]:
        """See `RiskBoard.news`."""
        return await self._ask(self._questions.news(alerts_after, facts_after, count, block_ms))

    async def alert(self, alert_id: str) -> AlertState | None:
        """See `RiskBoard.alert`."""
        return await self._ask(self._questions.alert(alert_id))

    async def alerts_of(self, customer_id: str) -> list[AlertState]:
        """See `RiskBoard.alerts_of`."""
        return await self._ask(self._questions.alerts_of(customer_id))

    async def queue(
        self,
        name: str,
        now_ms: int,
        limit: int = 100,
        *,
        route: str | None = None,
        flag: str | None = None,
        waiting_ms: int | None = None,
    ) -> QueueView:
        """See `RiskBoard.queue`."""
        return await self._ask(self._questions.queue(name, now_ms, limit, route, flag, waiting_ms))

    async def guidance(self) -> dict[str, GuidanceView]:
        """See `RiskBoard.guidance`."""
        return await self._ask(self._questions.guidance())

    async def rules(self, flags: Iterable[str] | None = None) -> list[RuleView]:
        """See `RiskBoard.rules`."""
        return await self._ask(self._questions.rules(flags))

    async def delivery(self, n: int = 48) -> list[DeliveryView]:
        """See `RiskBoard.delivery`."""
        return await self._ask(self._questions.delivery(n))

    async def service(self) -> list[ServiceView]:
        """See `RiskBoard.service`."""
        return await self._ask(self._questions.service())

    async def models(self) -> list[ModelView]:
        """See `RiskBoard.models`."""
        return await self._ask(self._questions.models())

    async def meta(self) -> MetaView | None:
        """See `RiskBoard.meta`."""
        return await self._ask(self._questions.meta())

    async def input_state(self, lane: int, now_ms: int) -> str:
        """See `RiskBoard.input_state`."""
        return await self._ask(self._questions.input_state(lane, now_ms))

    async def snapshot(self) -> Snapshot:
        """See `RiskBoard.snapshot`."""
        return await self._ask(self._questions.snapshot())

    async def fold(self, state: Folded | None = None, *, count: int = 1000) -> FoldStep:
        """See `RiskBoard.fold`."""
        return await self._ask(self._questions.fold(state, count))

    async def _ask(self, question: Question[_Value]) -> _Value:
        return await answer_async(self._client, question)
