"""The line of a TOML file on which an entry stands, for messages: the parser of the standard library forgets lines."""

from __future__ import annotations

import re
import tomllib

__all__ = ["Path", "line_of"]

Path = tuple[str | int, ...]
"""Keys and places in arrays, from the root: `("flags", "repeat_request", "tiers", 0, "window")`."""

_BLANK = re.compile(r"(?:[ \t\r\n,]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY = re.compile(r"""[A-Za-z0-9_-]+|"(?:[^"\\]|\\.)*"|'[^']*'""")
_TEXT = re.compile(r'''"""(?:[^\\]|\\.)*?"""+|\'\'\'.*?\'\'\'+|"(?:[^"\\]|\\.)*"|'[^']*\'''', re.DOTALL)
_OTHER = re.compile(r"[^,\]}\n#]+")


def line_of(text: str, path: Path) -> int | None:
    r"""1-based line of the deepest part of `path` that the file has, or `None`.

    Parameters
    ----------
    text
        The file; it must be TOML that `tomllib` takes.
    path
        Where to look; a part that is missing leads to the part that should hold it.

    Examples
    --------
    >>> line_of('version = 1\n[flags.x]\nlevel = 1\n', ("flags", "x", "level"))
    3
    >>> line_of('version = 1\n[flags.x]\nlevel = 1\n', ("flags", "x", "window"))
    2
    """
    lines = _Scanner(text).lines
    for depth in range(len(path), 0, -1):
        if path[:depth] in lines:
            return lines[path[:depth]]
    return None


class _Scanner:
    """Walks a file once and notes the line of every key, table and array element."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.arrays: dict[Path, int] = {}
        table: Path = ()
        self._skip(_BLANK)
        while self.at < len(text):
            if text[self.at] == "[":
                table = self._header()
            else:
                self._pair(table)
            self._skip(_BLANK)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self.text, self.at)
        if match is None:
            # Not TOML after all; the caller has checked that, so this is unreachable but for our own mistakes.
            raise ValueError(f"expected TOML, got {self.text[self.at : self.at + 20]!r}")
        self.at = match.end()
        return match[0]

    def _note(self, path: Path, at: int) -> None:
        self.lines.setdefault(path, self.text.count("\n", 0, at) + 1)

    def _keys(self) -> list[str]:
        keys: list[str] = []
        while True:
            self._skip(_SPACE)
            word = self._skip(_KEY)
            keys.append(str(tomllib.loads(f"key = {word}")["key"]) if word[0] in "\"'" else word)
            self._skip(_SPACE)
            if self.text[self.at : self.at + 1] != ".":
                return keys
            self.at += 1

    def _header(self) -> Path:
        start = self.at
        is_array = self.text.startswith("[[", start)
        self.at += 1 + is_array
        path: Path = ()
        keys = self._keys()
        for number, key in enumerate(keys, 1):
            path = (*path, key)
            if is_array and number == len(keys):
                self.arrays[path] = self.arrays.get(path, -1) + 1
            self._note(path, start)
            if path in self.arrays:
                path = (*path, self.arrays[path])
                self._note(path, start)
        self.at += 1 + is_array
        return path

    def _pair(self, table: Path) -> None:
        start = self.at
        path = table
        for key in self._keys():
            path = (*path, key)
            self._note(path, start)
        self.at += 1  # the equals sign
        self._skip(_SPACE)
        self._value(path)

    def _value(self, path: Path) -> None:
        opening = self.text[self.at]
        if opening in "[{":
            self.at += 1
            self._skip(_BLANK)
            number = 0
            while self.text[self.at] not in "]}":
                if opening == "[":
                    self._note((*path, number), self.at)
                    self._value((*path, number))
                    number += 1
                else:
                    self._pair(path)
                self._skip(_BLANK)
            self.at += 1
        elif opening in "\"'":
            self._skip(_TEXT)
        else:
            self._skip(_OTHER)
