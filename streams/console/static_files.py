"""The files of the page, out of the package."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from aiohttp import hdrs, web

from streams.console.problem import Problem

__all__ = ["StaticFiles"]

_TYPES = {
    ".html": "text/html",
    ".js": "text/javascript",
    ".mjs": "text/javascript",
    ".css": "text/css",
    ".svg": "image/svg+xml",
    ".png": "image/png",
    ".ico": "image/x-icon",
    ".json": "application/json",
    ".webmanifest": "application/manifest+json",
    ".woff2": "font/woff2",
    ".txt": "text/plain",
}
_TEXTS = ("text/", "application/", "image/svg")
_PART = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]*")


class StaticFiles:
    """Gives the files below a directory, and nothing else; each is read again when it has changed.

    Parameters
    ----------
    directory
        By default that of the package.
    """

    def __init__(self, directory: Path | None = None) -> None:
        self._directory = directory or Path(__file__).parent / "static"
        self._kept: dict[str, tuple[tuple[int, int], bytes, str]] = {}

    def answer(self, request: web.Request, path: str) -> web.Response:
        """The file at a path, or that the browser has it already.

        Raises
        ------
        Problem
            `not_found`.
        """
        parts = path.split("/")
        kind = _TYPES.get(Path(path).suffix)
        if kind is None or not all(_PART.fullmatch(part) for part in parts):
            raise _nothing()
        body, etag = self._read("/".join(parts))
        headers = {hdrs.ETAG: etag, hdrs.CACHE_CONTROL: "no-cache"}
        if etag in (each.strip() for each in request.headers.get(hdrs.IF_NONE_MATCH, "").split(",")):
            return web.Response(status=304, headers=headers)
        charset = "utf-8" if kind.startswith(_TEXTS) else None
        return web.Response(body=body, content_type=kind, charset=charset, headers=headers)

    def _read(self, path: str) -> tuple[bytes, str]:
        file = self._directory / path
        try:
            # Also where somebody has put a symbolic link: nothing outside of the directory.
            if not file.resolve().is_relative_to(self._directory.resolve()) or not file.is_file():
                raise _nothing()
            state = file.stat()
            seen = (state.st_mtime_ns, state.st_size)
            kept = self._kept.get(path)
            if kept is None or kept[0] != seen:
                body = file.read_bytes()
                kept = self._kept[path] = (seen, body, f'"{hashlib.sha256(body).hexdigest()[:32]}"')
        except OSError as error:
            raise _nothing() from error
        return kept[1], kept[2]


def _nothing() -> Problem:
    return Problem("not_found", "expected a file of the page, got another path")
