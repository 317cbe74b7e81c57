"""Instants: RFC 3339 text to integer milliseconds since the epoch, UTC.

Own arithmetic instead of `datetime.fromisoformat`: that one accepts more than RFC 3339 (week dates, no zone), and what
it accepts changes with the Python version, so a replay could decide otherwise than the live run did.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache

__all__ = ["MAX_TS", "MIN_TS", "format_ms", "parse_rfc3339"]

MIN_TS = 0
"""1970-01-01T00:00:00Z, the first instant that an event may have."""

MAX_TS = 4_133_980_799_999
"""2100-12-31T23:59:59.999Z, the last one."""

_DAY_MS = 86_400_000
_EPOCH_DAY = date(1970, 1, 1).toordinal()
_SHAPE = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[Tt ]([0-9]{2}):([0-9]{2}):([0-9]{2})"
    r"(?:\.([0-9]+))?(?:[Zz]|([+-])([0-9]{2}):([0-9]{2}))"
)


# Events of a log come from few days: the calendar is worked out once a day, not once an event.
@lru_cache(maxsize=4096)
def _day(text: str) -> int:
    """Start of the day `YYYY-MM-DD`, ms; ValueError when the calendar has no such day."""
    return (date(int(text[:4]), int(text[5:7]), int(text[8:10])).toordinal() - _EPOCH_DAY) * _DAY_MS


def parse_rfc3339(text: str) -> int:
    """Milliseconds since the epoch of an RFC 3339 date-time with offset.

    Between date and time `T`, `t` or a space; `Z` or `z` for UTC. Fractions beyond a millisecond are cut off. The range
    of event times is not checked here.

    Parameters
    ----------
    text
        For example `2026-01-31T08:00:00.250+08:00`.

    Returns
    -------
    int
        May be negative (before 1970).

    Raises
    ------
    ValueError
        When it has another shape, no offset, or names an instant that does not exist here: February 30, hour 24, a
        leap second (a clock of 86,400 s a day has no place for it).

    Examples
    --------
    >>> parse_rfc3339("1970-01-01t01:00:00.0019+01:00")
    1
    >>> parse_rfc3339("2026-02-30T00:00:00Z")
    Traceback (most recent call last):
    ...
    ValueError: day is out of range for month

    References
    ----------
    RFC 3339, section 5.6.
    """
    match = _SHAPE.fullmatch(text)
    if match is None:
        raise ValueError("not an RFC 3339 date-time with offset")
    day, hours, minutes, seconds, fraction, sign, zone_hours, zone_minutes = match.groups()
    h, m, s = int(hours), int(minutes), int(seconds)
    if h > 23 or m > 59 or s > 59:
        raise ValueError("no such time of day")
    ms = _day(day) + h * 3_600_000 + m * 60_000 + s * 1000
    if fraction is not None:
        ms += int(fraction[:3].ljust(3, "0"))
    if sign is not None:
        zh, zm = int(zone_hours), int(zone_minutes)
        if zh > 23 or zm > 59:
            raise ValueError("no such offset")
        offset = zh * 3_600_000 + zm * 60_000
        ms += -offset if sign == "+" else offset
    return ms


def format_ms(ms: int) -> str:
    """RFC 3339 text of an event time, in UTC with milliseconds.

    Parameters
    ----------
    ms
        Milliseconds since the epoch, from `MIN_TS` to `MAX_TS`.

    Examples
    --------
    >>> format_ms(1_700_000_000_123)
    '2023-11-14T22:13:20.123Z'
    """
    seconds, rest = divmod(ms, 1000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}Z"
