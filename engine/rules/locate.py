"""The line of a TOML file on which an entry stands, for messages: the parser itself forgets lines."""

from __future__ import annotations

import re

__all__ = ["line_of"]

_HEADER = re.compile(r"^\s*\[\[?\s*([^\]]+?)\s*\]\]?\s*(?:#.*)?$")


def line_of(text: str, path: tuple[str, ...]) -> int | None:
    """1-based line of the deepest part of `path` that can be found, or `None`.

    Best effort: a key inside an inline table is found by its name below the line of its parent, so of two equal keys on
    the way the first one is named.

    Parameters
    ----------
    text
        The file.
    path
        Keys from the root, such as `("flags", "repeat_request", "tiers", "window")`.

    Examples
    --------
    >>> line_of('version = 1\\n[flags.x]\\nlevel = 1\\n', ("flags", "x", "level"))
    3
    """
    lines = text.splitlines()
    table: tuple[str, ...] = ()
    headers = {table: 0}
    for number, line in enumerate(lines, 1):
        if match := _HEADER.match(line):
            table = tuple(part.strip().strip("\"'") for part in match[1].split("."))
            headers.setdefault(table, number)
    depth = max((len(h) for h in headers if path[: len(h)] == h), default=0)
    found = headers[path[:depth]] if path[:depth] in headers else 0
    for key in path[depth:]:
        pattern = re.compile(rf"""(?:^|[\s{{,])["']?{re.escape(key)}["']?\s*[=.]""")
        for number in range(found if found == 0 else found - 1, len(lines)):
            if number + 1 != found or "=" in lines[number]:
                if pattern.search(lines[number].split("#", 1)[0]):
                    found = number + 1
                    break
                if number + 1 > found and _HEADER.match(lines[number]):
                    return found or None
        else:
            return found or None
    return found or None
