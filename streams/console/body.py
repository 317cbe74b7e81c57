"""The body of a request: a small JSON object, of which only named and checked fields are looked at."""

from __future__ import annotations

import asyncio
import unicodedata
from collections.abc import Collection
from typing import Any

import orjson
from aiohttp import hdrs, web

from streams.console.problem import Problem

__all__ = ["MAX_BYTES", "Body", "check_media_type", "read_body"]

MAX_BYTES = 65_536
"""Longest body."""

_READ_S = 15.0
_JSON = "application/json"


class Body:
    """The fields of a request; each is asked for once, and `done` refuses what nobody asked for.

    Parameters
    ----------
    fields
        As they came.

    Examples
    --------
    >>> body = Body({"minutes": 5, "state": "down"})
    >>> body.whole("minutes", 1, 60), body.choice("state", ("up", "down")), body.text("reason", 500, needed=False)
    (5, 'down', None)
    >>> body.done()
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self._fields = fields
        self._asked: set[str] = set()

    def has(self, name: str) -> bool:
        """Whether a field is there; `null` is not."""
        return self._fields.get(name) is not None

    def text(self, name: str, longest: int, *, needed: bool = True, lines: bool = False) -> str | None:
        """A text of 1 to `longest` characters without control characters; with `lines`, tabs and newlines may be."""
        value = self._value(name, needed)
        if value is None:
            return None
        if not isinstance(value, str) or not 1 <= len(value) <= longest:
            raise Problem("invalid", f"{name}: expected a text of 1 to {longest} characters")
        allowed = "\t\n" if lines else ""
        if any(unicodedata.category(char) in ("Cc", "Cs") and char not in allowed for char in value):
            raise Problem("invalid", f"{name}: expected a text without control characters")
        return value

    def needed_text(self, name: str, longest: int, *, lines: bool = False) -> str:
        """As `text`, of a field that has to be there."""
        value = self.text(name, longest, lines=lines)
        assert value is not None
        return value

    def choice(self, name: str, words: Collection[str], *, needed: bool = True) -> str | None:
        """One of some words."""
        value = self._value(name, needed)
        if value is not None and (not isinstance(value, str) or value not in words):
            raise Problem("invalid", f"{name}: expected one of {', '.join(words)}")
        return value

    def whole(self, name: str, low: int, high: int) -> int:
        """A whole number within bounds."""
        value = self._value(name, needed=True)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Problem("invalid", f"{name}: expected a whole number from {low} to {high}")
        return value

    def truth(self, name: str) -> bool | None:
        """True, false, or `None` when it is not there."""
        value = self._value(name, needed=False)
        if value is not None and not isinstance(value, bool):
            raise Problem("invalid", f"{name}: expected true or false")
        return value

    def done(self) -> None:
        """Refuse fields that nobody asked for: whoever wrote them meant something."""
        others = self._fields.keys() - self._asked
        if others:
            known = ", ".join(sorted(self._asked)) or "none"
            raise Problem("invalid", f"expected no fields but {known}, got {len(others)} others")

    def _value(self, name: str, needed: bool) -> Any:
        self._asked.add(name)
        value = self._fields.get(name)
        if value is None and needed:
            raise Problem("invalid", f"{name}: expected a value, got none")
        return value


def check_media_type(request: web.Request) -> None:
    """Refuse every body but plain JSON: no form of another site can send that without being asked first."""
    if request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower() != "identity":
        raise Problem("media_type", "expected a body that is not compressed, got one that is")
    if request.content_type != _JSON or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise Problem("media_type", f"expected {_JSON} in UTF-8, got another type")


async def read_body(request: web.Request) -> Body:
    """The body of a request.

    Raises
    ------
    Problem
        `media_type`, `too_large`, `slow`, `body` or `json`.
    """
    check_media_type(request)
    if request.content_length is not None and request.content_length > MAX_BYTES:
        raise _too_large()
    try:
        async with asyncio.timeout(_READ_S):
            raw = await request.read()
    except web.HTTPRequestEntityTooLarge as error:
        raise _too_large() from error
    except TimeoutError as error:
        raise Problem("slow", f"expected the body within {_READ_S:g} s, got a part of it") from error
    except web.RequestPayloadError as error:
        raise Problem("body", "expected a body as its headers announce it, got another") from error
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Problem("json", f"expected a JSON object, got what is no JSON at character {error.pos}") from None
    if not isinstance(found, dict):
        raise Problem("json", "expected a JSON object, got another value")
    return Body(found)


def _too_large() -> Problem:
    return Problem("too_large", f"expected a body of at most {MAX_BYTES} bytes, got more")
