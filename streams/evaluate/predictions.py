"""Predictions of a replay, read back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson

from engine.errors import UsageError
from streams.evaluate.activity import Activity
from streams.evaluate.history import Floats, Ints
from streams.reader.lines import read_lines
from streams.reader.source import find_source

__all__ = ["Predictions", "read_predictions"]

_LONGEST = 1 << 20


class Predictions(NamedTuple):
    """Scores of known customers, in the order in which they were made.

    Parameters
    ----------
    customer
        Number of the customer in the activity.
    at_ms
        Time of the score, ms since the epoch.
    event
        Place of its event in the activity; -1 for a score in silence, -2 for an event that is no activity.
    churn
        Probability of no act within the horizon, 0 to 1.
    engagement
        Expected number of engagement events; NaN where there is none.
    reasons
        Place of a score -> weight by code of reason, where the predictions carry reasons.
    """

    customer: Ints
    at_ms: Ints
    event: Ints
    churn: Floats
    engagement: Floats
    reasons: dict[int, dict[str, float]]


def read_predictions(path: Path, activity: Activity, on_batch: Callable[[int], None] = lambda _: None) -> Predictions:
    """Read a file that `henji replay --predictions` wrote, for the log of `activity`.

    Scores without a churn probability, and those of customers that the activity does not know, are left out.

    Raises
    ------
    UsageError
        If it cannot be read, or a line is no prediction; names the line and the field.
    """
    customer: list[int] = []
    at_ms: list[int] = []
    event: list[int] = []
    churn: list[float] = []
    engagement: list[float] = []
    reasons: dict[int, dict[str, float]] = {}
    n = 0
    for batch in read_lines(find_source(path), keep=_LONGEST, count=lambda _: None):
        for record in batch:
            line = _checked(record.raw, path, record.position)
            number = activity.numbers.get(line["customer_id"])
            if number is None or line["churn"] is None:
                continue
            if line.get("reasons"):
                reasons[len(customer)] = _weights(line["reasons"])
            silent = line["trigger"] == "silence"
            place = -1 if silent else activity.place(number, str(line["event_id"]))
            customer.append(number)
            at_ms.append(line["at"])
            event.append(place if place >= 0 or silent else -2)
            churn.append(line["churn"])
            expected = line.get("engagement")
            engagement.append(float("nan") if expected is None else expected)
        n += len(batch)
        on_batch(n)
    return Predictions(
        np.array(customer, dtype=np.int64),
        np.array(at_ms, dtype=np.int64),
        np.array(event, dtype=np.int64),
        np.array(churn, dtype=np.float64),
        np.array(engagement, dtype=np.float64),
        reasons,
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_FIELDS: tuple[tuple[str, str, Callable[[Any], bool]], ...] = (
    ("customer_id", "text", lambda v: isinstance(v, str)),
    ("at", "whole milliseconds", lambda v: type(v) is int),
    ("trigger", "event or silence", lambda v: v in ("event", "silence")),
    ("churn", "a probability from 0 to 1 or null", lambda v: v is None or (_is_number(v) and 0 <= v <= 1)),
    ("engagement", "a number >= 0 or null", lambda v: v is None or (_is_number(v) and v >= 0)),
)


def _checked(raw: bytes | None, path: Path, position: int) -> dict[str, Any]:
    try:
        line = orjson.loads(raw or b"")
    except orjson.JSONDecodeError as error:
        raise UsageError(f"{path}:{position}: expected a prediction, got no JSON ({error})") from error
    if not isinstance(line, dict):
        raise UsageError(f"{path}:{position}: expected a prediction, got {str(line)[:40]}")
    for name, wanted, is_right in _FIELDS:
        if not is_right(line.get(name)):
            got = repr(line[name])[:40] if name in line else "nothing"
            raise UsageError(
                f"{path}:{position}: {name}: expected {wanted}, got {got}; give a file of `henji replay --predictions`"
            )
    return line


def _weights(reasons: Any) -> dict[str, float]:
    """Weight by code; a list of objects with `code` and `weight`, or an object of them."""
    if isinstance(reasons, dict):
        pairs = list(reasons.items())
    else:
        pairs = [(r.get("code"), r.get("weight")) for r in reasons if isinstance(r, dict)]
    return {str(code): float(weight) for code, weight in pairs if _is_number(weight)}
