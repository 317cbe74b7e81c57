"""Durations as people write them: `90d`, `24h`, `14 d`; inside henji always integer milliseconds."""

from __future__ import annotations

import re

__all__ = ["DAY_MS", "HOUR_MS", "MINUTE_MS", "format_duration", "parse_duration"]

MINUTE_MS = 60_000
HOUR_MS = 60 * MINUTE_MS
DAY_MS = 24 * HOUR_MS

_UNITS = {"ms": 1, "s": 1_000, "min": 60_000, "h": HOUR_MS, "d": DAY_MS, "w": 7 * DAY_MS}
_PATTERN = re.compile(r"\s*(\d+(?:\.\d+)?)\s*(ms|s|min|h|d|w)\s*")


def parse_duration(text: str) -> int:
    """Milliseconds of a duration with its unit.

    Parameters
    ----------
    text
        A number and one unit of `ms`, `s`, `min`, `h`, `d`, `w`.

    Raises
    ------
    ValueError
        If there is no unit, an unknown one, or the duration is not positive or not whole milliseconds.

    Examples
    --------
    >>> parse_duration("90d") == 90 * DAY_MS
    True
    >>> parse_duration("24 h")
    86400000
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"expected a duration such as `24h` or `90d`, got {text!r}")
    value = float(match[1]) * _UNITS[match[2]]
    if value <= 0 or value != int(value):
        raise ValueError(f"expected a positive duration of whole milliseconds, got {text!r}")
    return int(value)


def format_duration(ms: int) -> str:
    """The shortest exact text of a duration.

    Examples
    --------
    >>> format_duration(86_400_000), format_duration(5_400_000), format_duration(1_001)
    ('1d', '90min', '1001ms')
    """
    for unit in ("d", "h", "min", "s"):
        if ms % _UNITS[unit] == 0:
            return f"{ms // _UNITS[unit]}{unit}"
    return f"{ms}ms"
