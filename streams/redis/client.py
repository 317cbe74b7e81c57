"""The connection to Redis: what we use of redis-py, and what its errors mean."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol, TypeAlias, cast

from redis import exceptions

from engine.errors import HenjiError, LedgerConflict, StateIncompatible, StoreUnavailable, UsageError
from streams.redis.access import RedisAccess
from streams.redis.connections import sentinel_client, server_client

__all__ = ["Argument", "Command", "RedisClient", "RedisPipeline", "connect", "henji_error", "talking"]

Argument: TypeAlias = str | bytes | int | float
"""What may stand in a command."""

Command: TypeAlias = tuple[Argument, ...]
"""A command of Redis: its name, its key, the rest."""

TIMEOUT_S = 5.0
"""How long an answer may take; a transaction of 10,000 customers takes well under a second."""

# Refusals that pass by themselves or once an operator has made room; nothing was written.
_PASSING = ("OOM", "MISCONF", "LOADING", "BUSY", "READONLY", "NOREPLICAS", "MASTERDOWN", "CLUSTERDOWN", "TRYAGAIN")


class RedisPipeline(Protocol):
    """What we use of a pipeline of redis-py; with `transaction` its commands run as one."""

    connection: Any
    """The connection, while it watches."""

    watching: bool
    """Whether giving the connection back has to end a watch."""

    def execute_command(self, *args: Argument) -> Any:
        """Queue a command; between `watch` and `multi` run it at once and return its answer."""

    def watch(self, *names: str) -> Any:
        """Make `execute` fail with `WatchError` when one of these keys is changed meanwhile."""

    def multi(self) -> None:
        """Begin to queue after `watch`."""

    def execute(self, raise_on_error: bool = ...) -> list[Any]:
        """Send what is queued; the answers, with errors as values unless `raise_on_error`."""

    def reset(self) -> None:
        """Give the connection back."""


class RedisClient(Protocol):
    """What we use of a synchronous client of redis-py with `decode_responses` off; `connect` makes one."""

    def execute_command(self, *args: Argument) -> Any:
        """Run one command."""

    def pipeline(self, transaction: bool = ...) -> Any:
        """Make a `RedisPipeline`."""

    def info(self, section: str | None = ...) -> Any:
        """Facts about the server, as a dict."""

    def scan_iter(self, match: str | None = ..., count: int | None = ...) -> Any:
        """Every key that matches, some perhaps twice."""

    def hscan_iter(self, name: str, match: str | None = ..., count: int | None = ...) -> Any:
        """Every field of a hash with its value, some perhaps twice."""

    def zscan_iter(self, name: str, match: str | None = ..., count: int | None = ...) -> Any:
        """Every member of a sorted set with its score, some perhaps twice."""

    def close(self) -> None:
        """Close the connections."""


def connect(where: str | RedisAccess, *, timeout_s: float = TIMEOUT_S) -> RedisClient:
    """Make a client; it connects on first use.

    redis-py's own retries are off: how often and how long to wait is decided in one place, `retrying`.

    Parameters
    ----------
    where
        How Redis is reached; a URL (`redis://HOST:PORT/DB`, `rediss://` for TLS, or `unix:///PATH?db=DB`) says it all
        where there are neither users nor Sentinels.
    timeout_s
        For connecting and for each answer, seconds.

    Raises
    ------
    UsageError
        If the URL is none of these.

    Examples
    --------
    >>> connect("http://localhost")
    Traceback (most recent call last):
    engine.errors.UsageError: redis URL: expected redis://, rediss:// or unix://, got 'http://'; ...
    """
    access = RedisAccess.parse(where) if isinstance(where, str) else where
    make = server_client if access.sentinels is None else sentinel_client
    return cast(RedisClient, make(access, timeout_s))


def henji_error(error: exceptions.RedisError | OSError, what: str) -> HenjiError:
    """The error of ours that stands for one of redis-py's, chosen by what the caller has to do.

    Parameters
    ----------
    error
        What redis-py raised.
    what
        What was being done, for the message.

    Examples
    --------
    >>> henji_error(exceptions.TimeoutError("Timeout reading from socket"), "load lane 3")
    StoreUnavailable('load lane 3: expected an answer of Redis, got TimeoutError: Timeout reading from socket; ...')
    """
    # Within a pipeline redis-py puts the command before the message: customers' data, of no use to the reader.
    message = str(error).rpartition(" of pipeline caused error: ")[2]
    got = f"{type(error).__name__}: {message}"
    if (untrusted := _certificate_error(error)) is not None:
        return UsageError(
            f"{what}: expected a Redis with a certificate that redis.ca has signed for its name, got "
            f"{untrusted.verify_message}; correct redis.ca, the host in redis.url or the certificate"
        )
    match error:
        case (
            exceptions.AuthenticationError()
            | exceptions.AuthorizationError()
            | exceptions.NoPermissionError()
            | exceptions.AuthenticationWrongNumberOfArgsError()
        ):
            return UsageError(f"{what}: expected a Redis user who may do this, got {got}; check user, password and ACL")
        case (
            exceptions.TryAgainError()
            | exceptions.ReadOnlyError()
            | exceptions.ConnectionError()
            | exceptions.TimeoutError()
            | OSError()
        ):
            return StoreUnavailable(f"{what}: expected an answer of Redis, got {got}; is it up and reachable?")
        case exceptions.AskError() | exceptions.ClusterCrossSlotError():
            return UsageError(
                f"{what}: expected one Redis primary, got a cluster ({got}); give a Redis that is not one"
            )
        case exceptions.WatchError():
            return LedgerConflict(f"{what}: expected to be the only writer, got {got}; claim and open again")
        case exceptions.ResponseError() if message.startswith(_PASSING) or type(error).__name__ in _PASSING_TYPES:
            return StoreUnavailable(f"{what}: expected Redis to take writes, got {got}; see `henji doctor`")
        case exceptions.ResponseError():
            return StateIncompatible(f"{what}: expected Redis to obey, got {got}; see `henji verify`")
        case _:
            return StateIncompatible(f"{what}: expected an answer of Redis, got {got}; check the versions of both ends")


def _certificate_error(error: BaseException) -> ssl.SSLCertVerificationError | None:
    """The refusal of a certificate behind an error of redis-py, which takes it for a connection that failed."""
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, ssl.SSLCertVerificationError):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None


# Named, not imported: the oldest redis-py we take does not have them all, and their messages lack the code.
_PASSING_TYPES = ("OutOfMemoryError", "ClusterDownError", "MasterDownError", "BusyLoadingError", "ExecAbortError")


@contextmanager
def talking(what: str) -> Iterator[None]:
    """Turn redis-py's errors within the block into ours.

    Raises
    ------
    StoreUnavailable, UsageError, LedgerConflict, StateIncompatible
        See `henji_error`.
    """
    try:
        yield
    except (exceptions.RedisError, OSError) as error:
        raise henji_error(error, what) from error
