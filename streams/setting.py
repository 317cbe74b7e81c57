"""What a setting is, and how the values of each sort are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.contenders import check_challenger
from engine.duration import parse_duration
from engine.event import CONTROL, KINDS
from engine.scoring import LEARNERS

__all__ = [
    "Setting",
    "address",
    "challengers",
    "choice",
    "duration",
    "fuse",
    "kinds",
    "lateness",
    "learner",
    "optional_duration",
    "optional_text",
    "pieces",
    "text",
    "whole",
]


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting.

    Parameters
    ----------
    key
        Dotted name.
    default
        Its value when nobody says otherwise.
    expected
        What it may be, for messages.
    meaning
        One sentence.
    parse
        Text, or a value of the TOML file, to the value; raises ValueError or TypeError.
    """

    key: str
    default: Any
    expected: str
    meaning: str
    parse: Callable[[Any], Any]


def whole(low: int, high: int) -> Callable[[Any], int]:
    """A whole number from `low` to `high`."""

    def parse(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int | str):
            raise TypeError
        number = int(value)
        if not low <= number <= high:
            raise ValueError
        return number

    return parse


def duration(longest_ms: int) -> Callable[[Any], int]:
    """A duration of at most `longest_ms`, in ms."""

    def parse(value: Any) -> int:
        ms = parse_duration(value)
        if ms > longest_ms:
            raise ValueError
        return ms

    return parse


def lateness(value: Any) -> int | None:
    """A duration in ms, 0, or `None` for `none`."""
    if value == "none":
        return None
    return 0 if value == "0" or (value == 0 and not isinstance(value, bool)) else parse_duration(value)


def kinds(value: Any) -> frozenset[str]:
    """Kinds of events, as a list or separated by commas."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or not all(isinstance(k, str) for k in names):
        raise TypeError
    found = frozenset(k.strip() for k in names)
    if not found or found - (KINDS.keys() - CONTROL):
        raise ValueError
    return found


def learner(value: Any) -> str:
    """One of the learners."""
    if value not in LEARNERS:
        raise ValueError
    return str(value)


def challengers(value: Any) -> tuple[str, ...]:
    """Challengers, as a list or one a line, each once; see `engine.contenders`.

    Examples
    --------
    >>> challengers("plain"), challengers("")
    (('plain',), ())
    """
    names = value.splitlines() if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
        raise TypeError
    found = tuple(dict.fromkeys(check_challenger(name.strip()) for name in names if name.strip()))
    if len(found) > 8:
        raise ValueError
    return found


def pieces(value: Any) -> tuple[float, ...]:
    """Edges as rising shares that end with 1, as a list or separated by commas.

    Examples
    --------
    >>> pieces("0.25, 1")
    (0.25, 1.0)
    """
    shares = value.split(",") if isinstance(value, str) else value
    if not isinstance(shares, list | tuple) or any(isinstance(share, bool) for share in shares):
        raise TypeError
    edges = tuple(float(share) for share in shares)
    rising = all(0.0 < low < high for low, high in zip((1e-9, *edges), edges, strict=False))
    if not 1 <= len(edges) <= 8 or not rising or edges[-1] != 1.0:
        raise ValueError
    return edges


def text(value: Any) -> str:
    """Text that is not empty."""
    if not isinstance(value, str) or not value:
        raise TypeError
    return value


def optional_text(value: Any) -> str:
    """Text; empty or `none` switches off what it names."""
    if not isinstance(value, str):
        raise TypeError
    return "" if value == "none" else value


def optional_duration(longest_ms: int, shortest_ms: int = 0) -> Callable[[Any], int | None]:
    """A duration of at most `longest_ms`, and at least `shortest_ms`, in ms, or `None` for `none`."""

    def parse(value: Any) -> int | None:
        if value == "none":
            return None
        ms = duration(longest_ms)(value)
        if ms < shortest_ms:
            raise ValueError
        return ms

    return parse


def choice(*words: str) -> Callable[[Any], str]:
    """One of some words."""

    def parse(value: Any) -> str:
        if value not in words:
            raise ValueError
        return str(value)

    return parse


def address(value: Any) -> str:
    """`HOST:PORT`, or empty for `off`; port 0 takes a free one.

    Examples
    --------
    >>> address("127.0.0.1:6067"), address("off")
    ('127.0.0.1:6067', '')
    """
    if not isinstance(value, str):
        raise TypeError
    if value == "off":
        return ""
    host, _, port = value.rpartition(":")
    if not host or not 0 <= int(port) <= 65_535:
        raise ValueError
    return value


def fuse(value: Any) -> float | None:
    """A share from 0 to 1, or `None` for `off`."""
    if value == "off":
        return None
    if isinstance(value, bool):
        raise TypeError
    share = float(value)
    if not 0 < share <= 1:
        raise ValueError
    return share
