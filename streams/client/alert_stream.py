"""Alerts as they come, shared out among the consumers of a group."""

from __future__ import annotations

from streams.client.async_client import AsyncRedisClient, answer_async
from streams.client.group import IDLE_MS, Group
from streams.redis.asking import answer
from streams.redis.client import RedisClient
from streams.redis.keys import Keys
from streams.redis.views import AlertView

__all__ = ["AlertStream", "AsyncAlertStream"]


class AlertStream:
    """Takes alerts from the stream as one consumer of a group: each message goes to one of them, at least once.

    A message is a consumer's until it is acknowledged. One that crashes gets its messages again when it is started anew
    under its name, and after `idle_ms` another consumer of the group gets them. So a message may come twice, also when
    Redis was set back: who must not act twice remembers `AlertView.identity`.

    Wrong for knowing which flags are up: that takes every message, so use `RiskBoard.fold`. Messages that are trimmed
    before the group comes to them (it is 100,000 behind) are not seen.

    Parameters
    ----------
    client
        From `connect`; may be a user of Redis that can do nothing but take alerts (docs/operations.md).
    group, consumer
        Names; two programs that run at once need two consumer names.
    prefix
        Of the board.
    start
        Where the group begins if there is none yet: `$` after the newest message, `0` at the oldest kept, or a stream
        id.
    idle_ms
        How long a message may lie with a consumer before another takes it for dead, ms: more than handling one takes.
    delivered_only
        Take only what people should be shown (`held` is empty); the rest is acknowledged unseen.

    Raises
    ------
    UsageError
        If a name is empty, or by every method, if the user of Redis may not do this.
    StoreUnavailable
        By every method, if Redis does not answer; the same call may be made again.

    Examples
    --------
    >>> from streams.redis.client import connect
    >>> from streams.redis.embedded import EmbeddedRedis
    >>> with EmbeddedRedis() as server:
    ...     client = connect(server.url)
    ...     stream = AlertStream(client, "desk", "screen-1")
    ...     print(stream.create(), stream.create(), stream.take())
    ...     client.close()
    True False []
    """

    def __init__(
        self,
        client: RedisClient,
        group: str,
        consumer: str,
        *,
        prefix: str = "risk:",
        start: str = "$",
        idle_ms: int = IDLE_MS,
        delivered_only: bool = False,
    ) -> None:
        self._client = client
        self._group = Group(Keys(prefix), group, consumer, start=start, idle_ms=idle_ms, delivered_only=delivered_only)

    @property
    def n_lost(self) -> int:
        """Messages so far that were trimmed from the stream before they were acknowledged."""
        return self._group.n_lost

    @property
    def n_unreadable(self) -> int:
        """Messages so far that were not of the contract; each was logged and acknowledged."""
        return self._group.n_unreadable

    def create(self) -> bool:
        """Make the group where there is none; whether there was none."""
        return answer(self._client, self._group.create())

    def take(self, count: int = 100, *, block_ms: int | None = None) -> list[AlertView]:
        """Messages to handle: what this consumer left before, what dead ones left, then new ones.

        Without a group (Redis was emptied) one is made at the oldest message.

        Parameters
        ----------
        count
            Most messages to return.
        block_ms
            How long to wait for new ones, ms; `None`: not at all. Shorter than the client waits for an answer (5 s by
            default).

        Returns
        -------
        list of AlertView
            Oldest first; may be empty.
        """
        return answer(self._client, self._group.take(count, block_ms))

    def ack(self, *messages: AlertView) -> int:
        """Say that messages are handled; how many were still waiting for that."""
        return answer(self._client, self._group.ack([message.stream_id for message in messages]))


class AsyncAlertStream:
    """`AlertStream` for programs on asyncio: every method is its, awaited; parameters as there."""

    def __init__(
        self,
        client: AsyncRedisClient,
        group: str,
        consumer: str,
        *,
        prefix: str = "risk:",
        start: str = "$",
        idle_ms: int = IDLE_MS,
        delivered_only: bool = False,
    ) -> None:
        self._client = client
        self._group = Group(Keys(prefix), group, consumer, start=start, idle_ms=idle_ms, delivered_only=delivered_only)

    @property
    def n_lost(self) -> int:
        """See `AlertStream.n_lost`."""
        return self._group.n_lost

    @property
    def n_unreadable(self) -> int:
        """See `AlertStream.n_unreadable`."""
        return self._group.n_unreadable

    async def create(self) -> bool:
        """See `AlertStream.create`."""
        return await answer_async(self._client, self._group.create())

    async def take(self, count: int = 100, *, block_ms: int | None = None) -> list[AlertView]:
        """See `AlertStream.take`."""
        return await answer_async(self._client, self._group.take(count, block_ms))

    async def ack(self, *messages: AlertView) -> int:
        """See `AlertStream.ack`."""
        return await answer_async(self._client, self._group.ack([message.stream_id for message in messages]))
