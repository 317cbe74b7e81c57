"""Over how many processes a replay spreads its lanes."""

from __future__ import annotations

import os
from typing import Final

from engine.errors import UsageError

__all__ = ["LARGE_BYTES", "LARGE_RECORDS", "available_cores", "chosen_cores", "parse_cores"]

LARGE_BYTES: Final = 64 * 1024**2
"""From so many bytes of events on several processes are worth their start, about a second of work each."""

LARGE_RECORDS: Final = 200_000
"""The same of a topic, in records."""


def parse_cores(text: str) -> int | None:
    """Number of processes; `None` for as many as there are cores.

    Raises
    ------
    UsageError
        If it is neither `auto` nor a whole number from 1 to 1024.

    Examples
    --------
    >>> parse_cores("2"), parse_cores("auto")
    (2, None)
    """
    if text == "auto":
        return None
    if text.isascii() and text.isdecimal() and 0 < int(text) <= 1024:
        return int(text)
    raise UsageError(f"--cores: expected auto or a whole number from 1 to 1024, got {text!r}")


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def chosen_cores(asked: str | None, *, lanes: int, large: bool, one: bool) -> int:
    """How many processes; no more than there are lanes, which are never split.

    Parameters
    ----------
    asked
        `--cores`; `None` when nobody said.
    lanes
        Of the deployment.
    large
        Whether the log is worth more than one process.
    one
        Whether something else that was asked for needs one process.

    Raises
    ------
    UsageError
        If several were asked for by number all the same.

    Examples
    --------
    >>> chosen_cores("4", lanes=3, large=False, one=False), chosen_cores(None, lanes=8, large=False, one=False)
    (3, 1)
    """
    number = 1 if asked is None and not large else parse_cores(asked or "auto")
    if one:
        if number is not None and min(number, lanes) > 1:
            raise UsageError(
                f"--cores: expected 1 beside --speed and --reload, got {number}: what comes one after the other gains "
                "nothing by several processes"
            )
        return 1
    return min(available_cores() if number is None else number, lanes)
