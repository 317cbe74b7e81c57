"""From what the user asked for to a protocol that can be kept on the log."""

from __future__ import annotations

from collections.abc import Sequence
from math import floor, inf

from engine.errors import UsageError
from streams.evaluate.activity import Activity
from streams.evaluate.history import History
from streams.evaluate.protocol import Protocol

__all__ = ["plan"]


def plan(
    activity: Activity,
    *,
    horizon_d: float,
    block_d: float = 30.0,
    kinds: Sequence[str] | None = None,
    from_d: float | None = None,
    until_d: float | None = None,
    per_day: bool | None = None,
) -> Protocol:
    """Fill in what was not said, and refuse what leaves nothing to judge.

    Parameters
    ----------
    activity
        The log.
    horizon_d, block_d
        Horizon of churn and length of a block, days.
    kinds
        Kinds of events that count; all that occur when `None`.
    from_d
        First judged day; a third of the log when `None`, in whole days.
    until_d
        Where the log is cut, days; nowhere when `None`.
    per_day
        Compare whole days; when `None`, if all times are midnights.

    Raises
    ------
    UsageError
        Names the option, what was expected, and what to do.
    """
    if not len(activity):
        raise UsageError(
            "log: expected events of the customers' own activity, got none; "
            "name their kinds with --set churn.activity=..., or translate yours with --map"
        )
    for kind in kinds or ():
        if kind not in activity.kinds:
            raise UsageError(
                f"--kinds: expected kinds of churn.activity that occur in the log ({', '.join(activity.kinds)}), "
                f"got {kind!r}"
            )
    chosen = tuple(sorted(set(kinds))) if kinds else activity.kinds
    daily = activity.is_daily(chosen) if per_day is None else per_day
    until = inf if until_d is None else until_d
    draft = Protocol(horizon_d, 0.0, until, daily, chosen, block_d)
    history = History(activity, draft)
    if not len(history):
        raise UsageError(f"--until-day: expected a day after the first event, got {until:g}; give a later one")
    last_d = history.end_d - horizon_d
    if last_d < 0:
        raise UsageError(
            f"log: expected activity over more than the horizon of {horizon_d:g} d, got {history.end_d:g} d; "
            "nothing can be judged before a window has passed: give a longer log or a shorter --horizon"
        )
    begin = float(floor(history.end_d / 3)) if from_d is None else from_d
    if not 0 <= begin <= last_d:
        told = f"got {begin:g}" if from_d is not None else f"got {begin:g}, a third of the log"
        raise UsageError(
            f"--from-day: expected a day from 0 to {floor(last_d)}, {told}; scores later than that have no label yet: "
            "give an earlier day or a shorter --horizon"
        )
    return Protocol(horizon_d, begin, until, daily, chosen, block_d)
