"""Which score flags a new pair of scores raises or clears, and the conditions beside the score."""

from __future__ import annotations

from collections.abc import Mapping

from engine.flags.index import RuleIndex
from engine.flags.score import OwnNormal, ScoreState
from engine.memory import Memory
from engine.rules.rule import ScoreRule
from engine.timestamp import parse_rfc3339

__all__ = ["WARM_AFTER", "update_score_flags"]

WARM_AFTER = 100
"""Labels that a learner must have seen before its score may raise a flag; a customer service should not be called out
by a model that has seen next to nothing. Events and silence count apart, and so does each lane."""


def update_score_flags(
    memory: Memory,
    index: RuleIndex,
    scores: Mapping[str, float],
    n_learned: Mapping[str, int],
    at: int,
    cause: str | int,
    churn_horizon_ms: int,
) -> None:
    """Take new scores of a customer; what is up then stands in `memory.scores`.

    Parameters
    ----------
    memory
        The customer.
    index
        The rules with the numbers of their segment.
    scores
        `churn` and `engagement`.
    n_learned
        How many labels the learner of each score has seen.
    at
        The landmark, ms.
    cause
        The event that made the scores, or the due time of the timer.
    churn_horizon_ms
        Who is expected to leave within it does not leave by surprise.
    """
    for number, rule in index.scores:
        state = memory.scores.get(number)
        if state is None:
            state = memory.scores[number] = ScoreState(rule)
        value: float | None = scores[rule.score]
        if rule.own:
            normal = memory.normals.setdefault(rule.score, OwnNormal())
            own = normal.get(at)
            normal.update(scores[rule.score], at)
            value = None if own is None or own <= 0.0 else scores[rule.score] / own
        if rule.expected_end and _leaves_as_expected(memory, at + churn_horizon_ms):
            state.end()
            continue
        warm = n_learned[rule.score] >= WARM_AFTER
        state.update(value, warm and _may_raise(memory, rule, at), at, cause)


def _may_raise(memory: Memory, rule: ScoreRule, at: int) -> bool:
    if memory.left_at is not None or not rule.gate(memory):
        return False
    ratio = memory.traits.silence_ratio(at) if rule.own_silence else None
    return ratio is None or ratio >= 1.0


def _leaves_as_expected(memory: Memory, by: int) -> bool:
    """Whether `expected_end` (ms, or RFC 3339 date or time) is at `by` or before."""
    end = _instant(memory.attributes.get("expected_end"))
    return end is not None and end <= by


def _instant(value: object) -> int | None:
    """Milliseconds of a fact that is a time: ms, an RFC 3339 date-time, or a date (its first moment, UTC)."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    if isinstance(value, int):
        return value
    try:
        return parse_rfc3339(value if len(value) > 10 else f"{value}T00:00:00Z")
    except ValueError:
        return None
