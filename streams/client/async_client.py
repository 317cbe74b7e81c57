"""Clients of redis-py on asyncio, with the same ways to Redis as the synchronous ones."""

from __future__ import annotations

import ssl
from typing import Any, Protocol, TypeVar, cast

import redis.asyncio as aio
from redis import exceptions
from redis.asyncio.connection import Connection, ConnectionPool, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection
from redis.backoff import NoBackoff

from streams.redis.access import RedisAccess
from streams.redis.asking import Ask, Question, checked
from streams.redis.client import TIMEOUT_S, Argument, talking
from streams.redis.connections import base_options, tcp_options

__all__ = ["AsyncRedisClient", "answer_async", "connect_async"]

_Value = TypeVar("_Value")


class AsyncRedisClient(Protocol):
    """What we use of an asynchronous client of redis-py with `decode_responses` off; `connect_async` makes one."""

    async def execute_command(self, *args: Argument) -> Any:
        """Run one command."""

    def pipeline(self, transaction: bool = ...) -> Any:
        """Make a pipeline, whose `execute` is awaited."""

    async def aclose(self) -> None:
        """Close the connections."""


def connect_async(where: str | RedisAccess, *, timeout_s: float = TIMEOUT_S) -> AsyncRedisClient:
    """Make a client for programs on asyncio; it connects on first use, and again after Redis was away.

    Parameters
    ----------
    where
        As `streams.redis.client.connect`: a URL, or how Redis is reached with users, TLS and Sentinels.
    timeout_s
        For connecting and for each answer, seconds.

    Raises
    ------
    UsageError
        If the URL is none of these.
    """
    access = RedisAccess.parse(where) if isinstance(where, str) else where
    if access.sentinels is None:
        return cast(AsyncRedisClient, aio.Redis.from_pool(_pool(access, timeout_s)))
    return cast(AsyncRedisClient, _SentinelClient.from_pool(_sentinel_pool(access, timeout_s)))


async def answer_async(client: AsyncRedisClient, question: Question[_Value]) -> _Value:
    """What a question returns, as `streams.redis.asking.answer`."""
    try:
        ask = next(question)
        while True:
            with talking(ask.what):
                answers = checked(ask, await _put(client, ask))
            ask = question.send(answers)
    except StopIteration as answered:
        value: _Value = answered.value
        return value


async def _put(client: AsyncRedisClient, ask: Ask) -> list[Any]:
    pipe = client.pipeline(transaction=ask.together)
    for command in ask.commands:
        pipe.execute_command(*command)
    try:
        answers: list[Any] = await pipe.execute(raise_on_error=not ask.refusals)
        return answers
    except exceptions.ConnectionError as error:
        # What Redis refuses while connecting, a wrong password say, comes as a connection that failed.
        refusal = error.__cause__
        if not isinstance(refusal, exceptions.RedisError):
            raise
    # Outside of the block: within it, each of the two would become a cause of the other.
    raise refusal


def _pool(access: RedisAccess, timeout_s: float) -> ConnectionPool:
    options = _options(access.user, access.password, timeout_s) | {"db": access.db}
    if access.path:
        return ConnectionPool(connection_class=UnixDomainSocketConnection, path=access.path, **options)
    options |= {"host": access.host, "port": access.port} | tcp_options(timeout_s)
    if access.tls is not None:
        return ConnectionPool(connection_class=_TlsConnection, tls=access.tls, **options)
    return ConnectionPool(connection_class=_PlainConnection, **options)


def _sentinel_pool(access: RedisAccess, timeout_s: float) -> ConnectionPool:
    known = access.sentinels
    assert known is not None
    manager = Sentinel([])  # type: ignore[no-untyped-call]  # redis-py annotates no more
    for host, port in known.addresses:
        node = RedisAccess(host, port, user=known.user, password=known.password, tls=access.tls)
        manager.sentinels.append(_SentinelNode.from_pool(_pool(node, timeout_s)))
    options = _options(access.user, access.password, timeout_s) | tcp_options(timeout_s) | {"db": access.db}
    kind: type[Connection] = SentinelManagedConnection
    if access.tls is not None:
        kind = _TlsSentinelConnection
        options["tls"] = access.tls
    return SentinelConnectionPool(known.service, manager, connection_class=kind, **options)  # type: ignore[no-untyped-call]


def _options(user: str, password: str, timeout_s: float) -> dict[str, Any]:
    return base_options(user, password, timeout_s) | {"retry": Retry(NoBackoff(), 0)}


class _PlainConnection(Connection):
    """A connection that ends when the server turns out to have become a replica, as `connections._PlainConnection`."""

    async def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return await super().read_response(*args, **kwargs)
        except exceptions.ReadOnlyError as error:
            await self.disconnect()
            raise exceptions.ConnectionError(f"expected a primary, got a replica: {error}") from error


class _OverTls:
    """A connection through TLS with a context of ours; redis-py's own class adds our CA to those of the system."""

    def __init__(self, *, tls: ssl.SSLContext, **options: Any) -> None:
        self._tls = tls
        super().__init__(**options)

    def _connection_arguments(self) -> dict[str, Any]:
        return {**super()._connection_arguments(), "ssl": self._tls}  # type: ignore[misc]  # of what it is mixed into


class _TlsConnection(_OverTls, _PlainConnection):
    """To a server through TLS."""


class _TlsSentinelConnection(_OverTls, SentinelManagedConnection):
    """To the primary that Sentinels name, through TLS."""


class _SentinelNode(aio.Redis):
    """A client of one Sentinel; when none knows the primary, redis-py tells of each by its `repr`."""

    def __repr__(self) -> str:
        known = self.connection_pool.connection_kwargs
        return f"{known['host']}:{known['port']}"


class _SentinelClient(aio.Redis):
    """Closes the connections to the Sentinels too."""

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        await super().aclose(close_connection_pool)
        pool = self.connection_pool
        if isinstance(pool, SentinelConnectionPool):
            for each in pool.sentinel_manager.sentinels:
                await each.aclose()
