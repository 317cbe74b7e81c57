"""What an estimator is as data, and what is too much; the lists are described in `models.river_codec`."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from models.errors import ModelError

__all__ = ["MAX_RECORDS", "PLAIN", "Graph", "StateRefused"]

MAX_RECORDS: Final = 4_000_000
"""Most records of a graph; each costs a hundred bytes or more in memory."""

PLAIN: Final = frozenset({type(None), bool, int, float, str, bytes})
"""Types of the values that stand in a record as they are."""


class Graph(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """An estimator as data.

    Parameters
    ----------
    shapes
        Name and attributes of the records.
    shells, built
        The records.
    """

    shapes: list[tuple[str, list[str]]]
    shells: list[list[Any]]
    built: list[list[Any]]


class StateRefused(ModelError, TypeError):
    """An estimator holds something that is not in the closed lists, or too much; it cannot be stored."""
