from __future__ import annotations

from inspect import isclass

import pytest
from redis import exceptions

from engine.errors import HenjiError, LedgerConflict, StateIncompatible, StoreUnavailable, UsageError
from streams.redis.client import connect, henji_error, talking

ALL = [each for each in vars(exceptions).values() if isclass(each) and issubclass(each, exceptions.RedisError)]


def made(kind: type[exceptions.RedisError]) -> exceptions.RedisError:
    if issubclass(kind, exceptions.AskError):
        return kind("1 127.0.0.1:7000")
    return kind("what it says")


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_error_of_redis_py_is_one_of_ours(kind: type[exceptions.RedisError]) -> None:
    ours = henji_error(made(kind), "load lane 3")
    assert isinstance(ours, HenjiError)
    assert str(ours).startswith("load lane 3: expected ")
    with pytest.raises(type(ours)), talking("load lane 3"):
        raise made(kind)


@pytest.mark.parametrize(
    ("error", "ours"),
    [
        (exceptions.ConnectionError("refused"), StoreUnavailable),
        (exceptions.TimeoutError("read"), StoreUnavailable),
        (exceptions.BusyLoadingError("loading"), StoreUnavailable),
        (exceptions.ReadOnlyError("replica"), StoreUnavailable),
        (exceptions.ResponseError("OOM command not allowed"), StoreUnavailable),
        (exceptions.ResponseError("MISCONF Errors writing to the AOF file"), StoreUnavailable),
        (exceptions.ResponseError("Command # 1 (SET a b) of pipeline caused error: MISCONF x"), StoreUnavailable),
        (exceptions.ResponseError("WRONGTYPE Operation against a key"), StateIncompatible),
        (exceptions.AuthenticationError("password"), UsageError),
        (exceptions.NoPermissionError("no permissions"), UsageError),
        (exceptions.MovedError("1 127.0.0.1:7000"), UsageError),
        (exceptions.WatchError("changed"), LedgerConflict),
        (OSError("broken pipe"), StoreUnavailable),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else value.__name__,
)
def test_the_error_says_what_the_caller_has_to_do(error: exceptions.RedisError, ours: type[HenjiError]) -> None:
    assert type(henji_error(error, "commit")) is ours


def test_the_command_is_not_told() -> None:
    error = exceptions.ResponseError("Command # 7 (HSET risk:customer:anna) of pipeline caused error: WRONGTYPE Op")
    assert "anna" not in str(henji_error(error, "commit"))


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://localhost:port/0", ""])
def test_a_url_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match="redis URL"):
        connect(url)
