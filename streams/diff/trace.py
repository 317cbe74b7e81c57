"""From which event on two logs give other answers, and which change of the log did it."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.vocabulary import Vocabulary
from streams.diff.alignment import LogChange, Pair, aligned
from streams.diff.lockstep import Effect, Way, first_effect
from streams.reader.record import Record

__all__ = ["Trace", "trace"]

_RECENT = 1000


@dataclass(slots=True)
class Trace:
    """What the logs say of a difference.

    Parameters
    ----------
    limit
        Most changes of the log that are kept to be shown.
    changes
        Kind of `LogChange` -> how many.
    first
        The first changes, with their steps.
    effect
        The first event after which answers differ; `None`: the logs give the same answers.
    cause
        The change of the log behind it: the one at that event; else the last one before it of a customer whose answers
        differ; else the last one before it. `None`: the logs are the same up to there, so rules or settings did it.
    """

    limit: int
    changes: Counter[str] = field(default_factory=Counter)
    first: list[tuple[int, LogChange]] = field(default_factory=list)
    effect: Effect | None = None
    cause: LogChange | None = None
    steps: int = 0
    recent: deque[tuple[int, LogChange]] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def watch(self, pairs: Iterable[Pair]) -> Iterator[Pair]:
        """The pairs as they come, their changes noted."""
        for pair in pairs:
            if pair.change is not None:
                self.changes[pair.change.kind] += 1
                self.recent.append((self.steps, pair.change))
                if len(self.first) < self.limit:
                    self.first.append((self.steps, pair.change))
            self.steps += 1
            yield pair

    def told(self, vocabulary: Vocabulary | None = None) -> dict[str, Any]:
        """For `--json`, see docs/diff.md."""
        return {
            "changes": dict(sorted(self.changes.items())),
            "first_changes": [{"step": step, **change.told(vocabulary)} for step, change in self.first],
            "effect": None if self.effect is None else self.effect.told(vocabulary),
            "cause": None if self.cause is None else self.cause.told(vocabulary),
        }


def trace(
    log_a: Iterable[Sequence[Record]],
    log_b: Iterable[Sequence[Record]] | None,
    a: Way,
    b: Way,
    *,
    vocabulary: Vocabulary | None = None,
    limit: int = 20,
    on_step: Callable[[int], None] = lambda _: None,
) -> Trace:
    """Apply both logs step by step up to the first answer that differs, and compare the logs to their ends.

    Parameters
    ----------
    log_a, log_b
        Batches of records; `None`: the same log on both sides.
    a, b
        How each side applies its log.
    vocabulary
        Translates an organisation's own words.
    limit
        Most changes of the log that are kept to be shown.
    on_step
        Called now and then with the number of steps so far.
    """
    found = Trace(limit)
    pairs = found.watch(_twice(log_a) if log_b is None else aligned(log_a, log_b, vocabulary))
    found.effect = first_effect(pairs, a, b, vocabulary=vocabulary, on_step=on_step)
    if found.effect is not None:
        found.cause = _cause(found, found.effect, vocabulary)
        if log_b is not None:
            for _ in pairs:
                pass
    return found


def _twice(log: Iterable[Sequence[Record]]) -> Iterator[Pair]:
    return (Pair(record, record, None) for batch in log for record in batch)


def _cause(found: Trace, effect: Effect, vocabulary: Vocabulary | None) -> LogChange | None:
    before = [each for each in found.recent if each[0] <= effect.step]
    if not before:
        return found.first[0][1] if found.first and found.first[0][0] <= effect.step else None
    if before[-1][0] == effect.step:
        return before[-1][1]
    whose = set()
    for told in effect.differs.values():
        whose.update(told.get("customers", []))
        said = [*told.get("a", []), *told.get("b", [])]
        whose.update(each["customer_id"] for each in said if isinstance(each, dict))
    for _, change in reversed(before):
        if change.told(vocabulary)["customer_id"] in whose:
            return change
    return before[-1][1]
