"""The handlers that need nobody to be logged in and nothing of the board: the page's files, probes, the document."""

from __future__ import annotations

import orjson
from aiohttp import web

from streams.console.gate import Visitor
from streams.console.openapi import openapi
from streams.console.static_files import StaticFiles
from streams.console.wire import json_answer

__all__ = ["PageDoor"]


class PageDoor:
    """Gives out what is the same for everybody.

    Parameters
    ----------
    files
        Of the page.
    """

    def __init__(self, files: StaticFiles) -> None:
        self._files = files
        self._document = orjson.dumps(openapi())

    async def page(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /`."""
        return self._files.answer(request, "index.html")

    async def static(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /static/<path>`."""
        return self._files.answer(request, request.match_info["path"])

    async def health(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /healthz`."""
        return json_answer({"live": True})

    async def openapi(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /api/openapi.json`."""
        return web.Response(body=self._document, content_type="application/json")
