"""Look-ups of names that cannot hold up anything else, not even the end of the process."""

from __future__ import annotations

import asyncio
import socket
import threading
from contextlib import suppress
from typing import Any

from aiohttp.abc import AbstractResolver, ResolveResult

__all__ = ["ThreadResolver"]


class ThreadResolver(AbstractResolver):
    """Asks the system for a name, in a thread of its own.

    The system's look-up cannot be broken off, and where a name server is silent takes half a minute. In the threads
    that asyncio shares out, a few such names would keep all others from being looked up, and the process from ending.
    """

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found: asyncio.Future[list[tuple[Any, ...]]] = loop.create_future()

        def tell(value: list[tuple[Any, ...]] | OSError) -> None:
            if found.done():
                return  # whoever asked has given up
            if isinstance(value, OSError):
                found.set_exception(value)
            else:
                found.set_result(value)

        def ask() -> None:
            value: list[tuple[Any, ...]] | OSError
            try:
                value = list(socket.getaddrinfo(host, port, family, socket.SOCK_STREAM, 0, socket.AI_ADDRCONFIG))
            except OSError as error:
                value = error
            except UnicodeError:
                value = OSError(None, "no name of a host")
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(tell, value)

        threading.Thread(target=ask, name="look up", daemon=True).start()
        return [
            ResolveResult(
                hostname=host, host=str(where[0]), port=port, family=kind, proto=protocol, flags=socket.AI_NUMERICHOST
            )
            for kind, _, protocol, _, where in await found
        ]

    async def close(self) -> None:
        return None
