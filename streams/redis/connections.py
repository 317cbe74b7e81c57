"""Clients of redis-py as the ledger needs them: no retries of its own, TLS by one context, no stay at a replica."""

from __future__ import annotations

import socket
import ssl
from typing import Any

import redis
from redis import exceptions
from redis.backoff import NoBackoff
from redis.connection import Connection, ConnectionPool, UnixDomainSocketConnection
from redis.credentials import UsernamePasswordCredentialProvider
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection

from streams.redis.access import RedisAccess

__all__ = ["base_options", "sentinel_client", "server_client", "tcp_options"]

_HEALTH_CHECK_S = 30


def server_client(access: RedisAccess, timeout_s: float) -> redis.Redis:
    """A client of the server at host and port, or at a unix socket; it connects on first use.

    Parameters
    ----------
    access
        Its Sentinels are not looked at.
    timeout_s
        For connecting and for each answer, seconds.
    """
    return redis.Redis.from_pool(_pool(access, timeout_s))


def sentinel_client(access: RedisAccess, timeout_s: float) -> redis.Redis:
    """A client of the primary that the Sentinels name; each connection asks them anew.

    Parameters
    ----------
    access
        With Sentinels; host and port are not looked at.
    timeout_s
        For connecting and for each answer, of Redis and of each Sentinel, seconds.
    """
    known = access.sentinels
    assert known is not None, "without Sentinels: server_client"
    manager = Sentinel([])  # type: ignore[no-untyped-call]  # redis-py annotates no more
    for host, port in known.addresses:
        node = RedisAccess(host, port, user=known.user, password=known.password, tls=access.tls)
        manager.sentinels.append(_SentinelNode.from_pool(_pool(node, timeout_s)))
    options = _options(access.user, access.password, timeout_s) | tcp_options(timeout_s) | {"db": access.db}
    kind: type[Connection] = SentinelManagedConnection
    if access.tls is not None:
        kind = _TlsSentinelConnection
        options |= _tls(access.tls)
    pool = SentinelConnectionPool(known.service, manager, connection_class=kind, **options)  # type: ignore[no-untyped-call]
    return _SentinelClient.from_pool(pool)


def _pool(access: RedisAccess, timeout_s: float) -> ConnectionPool:
    options = _options(access.user, access.password, timeout_s) | {"db": access.db}
    if access.path:
        return ConnectionPool(connection_class=UnixDomainSocketConnection, path=access.path, **options)
    options |= {"host": access.host, "port": access.port} | tcp_options(timeout_s)
    if access.tls is not None:
        return ConnectionPool(connection_class=_TlsConnection, **_tls(access.tls), **options)
    return ConnectionPool(connection_class=_PlainConnection, **options)


def _options(user: str, password: str, timeout_s: float) -> dict[str, Any]:
    return base_options(user, password, timeout_s) | {"retry": Retry(NoBackoff(), 0)}


def base_options(user: str, password: str, timeout_s: float) -> dict[str, Any]:
    """What every connection is told but how to retry, for which redis-py has a class of its own on asyncio.

    Parameters
    ----------
    user, password
        Who we are; without a password nobody.
    timeout_s
        For each answer, seconds.
    """
    options: dict[str, Any] = {
        "decode_responses": False,
        "protocol": 2,  # one shape of answers whatever redis-py's default
        "socket_timeout": timeout_s,
        # CLIENT SETINFO is nothing that an ACL should have to allow, and unknown to Redis before 7.2.
        **_SAY_NOTHING,
    }
    if password:
        # As arguments they would be told by the `repr` of the pool in older redis-py.
        options["credential_provider"] = UsernamePasswordCredentialProvider(user or None, password)
    return options


def tcp_options(timeout_s: float) -> dict[str, Any]:
    """What a connection over TCP is told beside it; `timeout_s` is for connecting, seconds."""
    return {
        "socket_connect_timeout": timeout_s,
        "socket_keepalive": True,
        "health_check_interval": _HEALTH_CHECK_S,
    }


def _tls(context: ssl.SSLContext) -> dict[str, Any]:
    return {"tls": context, "redis_connect_func": _greet}


def _greet(connection: Any) -> None:
    connection.on_connect()
    # A server with TLS 1.3 sends tickets for later sessions behind the handshake. Until something has been read,
    # redis-py takes them for an answer that was left over, and the connection for one that is not ready.
    connection.send_command("PING", check_health=False)
    connection.read_response()


# The oldest redis-py that we take knows the former arguments only, the newest warns of them.
_SAY_NOTHING: dict[str, None] = (
    {"driver_info": None} if hasattr(redis, "DriverInfo") else {"lib_name": None, "lib_version": None}
)


class _PlainConnection(Connection):
    """A connection that ends when the server turns out to have become a replica.

    A name, proxy or service address then leads the next one to the new primary. redis-py does this for Sentinels only.
    """

    def read_response(self, *args: Any, **kwargs: Any) -> Any:
        try:
            return super().read_response(*args, **kwargs)
        except exceptions.ReadOnlyError as error:
            self.disconnect()  # type: ignore[no-untyped-call]
            raise exceptions.ConnectionError(f"expected a primary, got a replica: {error}") from error


class _OverTls:
    """A connection through TLS with a context of ours; redis-py's own class adds our CA to those of the system."""

    host: str

    def __init__(self, *, tls: ssl.SSLContext, **options: Any) -> None:
        self._tls = tls
        super().__init__(**options)

    def _connect(self) -> socket.socket:
        plain: socket.socket = super()._connect()  # type: ignore[misc]  # of the connection that it is mixed into
        try:
            return self._tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


class _TlsConnection(_OverTls, _PlainConnection):
    """To a server through TLS."""


class _TlsSentinelConnection(_OverTls, SentinelManagedConnection):
    """To the primary that Sentinels name, through TLS."""


class _SentinelNode(redis.Redis):
    """A client of one Sentinel; when none knows the primary, redis-py tells of each by its `repr`."""

    def __repr__(self) -> str:
        known = self.connection_pool.connection_kwargs
        return f"{known['host']}:{known['port']}"


class _SentinelClient(redis.Redis):
    """Closes the connections to the Sentinels too."""

    def close(self) -> None:
        super().close()
        pool = self.connection_pool
        if isinstance(pool, SentinelConnectionPool):
            for each in pool.sentinel_manager.sentinels:
                each.close()
