"""Small pieces of requests and answers."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import orjson
from aiohttp import web

from streams.console.problem import Problem

__all__ = ["json_answer", "number", "one_of"]


def json_answer(body: Any, *, status: int = 200) -> web.Response:
    """An answer in JSON."""
    return web.Response(body=orjson.dumps(body), status=status, content_type="application/json")


def number(request: web.Request, name: str, default: int, low: int, high: int) -> int:
    """A whole number of the query.

    Raises
    ------
    Problem
        `invalid`.
    """
    text = request.query.get(name)
    if text is None or text == "":
        return default
    if not (text.isascii() and text.isdecimal() and len(text) <= 18 and low <= int(text) <= high):
        raise Problem("invalid", f"{name}: expected a whole number from {low} to {high}")
    return int(text)


def one_of(request: web.Request, name: str, words: Collection[str], default: str) -> str:
    """A word of the query.

    Raises
    ------
    Problem
        `invalid`.
    """
    word = request.query.get(name, default)
    if word not in words:
        raise Problem("invalid", f"{name}: expected one of {', '.join(words)}")
    return word
