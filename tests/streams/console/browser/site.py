"""A console in a thread of its own, since the browser's driver fills the one of the tests."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from streams.redis.embedded import EmbeddedRedis
from tests.streams.console.running import PASSWORD, Console, running

if TYPE_CHECKING:
    from playwright.sync_api import Page

__all__ = ["ROLES", "Site", "login"]

ROLES = {"vera": "viewer", "anna": "agent", "lea": "lead", "ada": "admin"}
"""Name -> role of the accounts of a site."""

_Value = TypeVar("_Value")


class Site:
    """A console on a Redis, with an account of each role.

    Parameters
    ----------
    redis
        Filled by whoever made it.
    directory
        For its accounts.
    options
        Of `running`.
    """

    def __init__(self, redis: EmbeddedRedis, directory: Path, **options: Any) -> None:
        self.redis = redis
        self._directory = directory
        self._options = options
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="console")
        self._stack = AsyncExitStack()
        self.console: Console

    def __enter__(self) -> Self:
        self._thread.start()
        self.console = self.run(self._stack.enter_async_context(running(self.redis, self._directory, **self._options)))
        for name, role in ROLES.items():
            self.call(self.console.add, name, role)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run(self._stack.aclose())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def url(self) -> str:
        """Where it is."""
        return self.console.server.url

    def run(self, work: Coroutine[Any, Any, _Value]) -> _Value:
        """Do something in its loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def call(self, function: Any, *arguments: Any) -> Any:
        """Call something in its thread; the file of accounts belongs to it."""

        async def work() -> Any:
            return function(*arguments)

        return self.run(work())


def login(page: Page, name: str, password: str = PASSWORD) -> None:
    """Log in on the page that asks for it."""
    page.locator("input[autocomplete=username]").fill(name)
    page.locator("input[type=password]").fill(password)
    page.locator(".login button").click()
