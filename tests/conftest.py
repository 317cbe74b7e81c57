"""Fixtures that several parts share: a real Redis, started once and empty for every test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.errors import UsageError
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """One server for the whole run; a machine without a binary skips, but the gates must not."""
    directory: Path = tmp_path_factory.mktemp("redis")
    server = EmbeddedRedis(directory)
    try:
        server.start()
    except UsageError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def redis_client(redis_server: EmbeddedRedis) -> Iterator[RedisClient]:
    """A client of an empty Redis."""
    client = redis_server.client()
    client.execute_command("FLUSHALL")
    yield client
    client.close()
