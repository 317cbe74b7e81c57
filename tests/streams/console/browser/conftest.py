"""One Chromium, one filled Redis and one console for each module of tests, and tabs for each test."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from tests.streams.console.board import fill
from tests.streams.console.browser.chromium import Tabs, chromium
from tests.streams.console.browser.site import Site

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Left with the module: while it is open, no other event loop can run in this thread."""
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def board(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedRedis]:
    """A Redis of its own, with a small campus; it comes after the browser, whose want skips all of it."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        fill(server, events=1_500)
        yield server


@pytest.fixture(scope="module")
def site(board: EmbeddedRedis, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    with Site(board, tmp_path_factory.mktemp("console")) as running:
        yield running


@pytest.fixture
def client(board: EmbeddedRedis) -> Iterator[RedisClient]:
    found = board.client()
    yield found
    found.close()


@pytest.fixture
def tabs(browser: Browser, site: Site) -> Iterator[Tabs]:
    found = Tabs(browser, site.url)
    yield found
    found.close()
