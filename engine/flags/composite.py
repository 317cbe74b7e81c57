"""Composites: up while one of several flags was raised or held up lately (docs/rules.md, shape `composite`)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple, Self

from engine.flags.status import Hold, Status
from engine.rules.rule import CompositeRule

__all__ = ["CompositeState"]

_MAX_SPANS = 4
"""Spans kept of holds whose traces were let go. A span matters only while younger traces of another member flag may
still bridge the gap to the next; two spans have been seen to do that at most, four is twice that."""


class _Span(NamedTuple):
    """From the first hold of an episode to the end after its newest, with the event that raised it and evidence."""

    start: int
    end: int
    cause: str
    newest: str
    evidence: tuple[str, ...]


class CompositeState:
    """The composite of one customer: a union of spans, so that the order in which holds come does not matter.

    Parameters
    ----------
    rule
        The rule.
    spans
        What holds of traces that were let go have left, oldest first.
    """

    __slots__ = ("_merged", "rule", "spans")

    def __init__(self, rule: CompositeRule, spans: list[_Span] | None = None) -> None:
        self.rule = rule
        self.spans: list[_Span] = spans if spans is not None else []
        self._merged: list[_Span] = self.spans

    def absorb(self, holds: Iterable[Hold]) -> None:
        """Keep what holds say whose traces are let go."""
        self.spans = self._union(holds)[-_MAX_SPANS:]

    def refresh(self, holds: Iterable[Hold]) -> None:
        """Work the composite out again from the spans and all holds of the member flags."""
        self._merged = self._union(holds)

    def _union(self, holds: Iterable[Hold]) -> list[_Span]:
        hold_ms = self.rule.hold_ms
        spans = self.spans + [_Span(h.at, h.at + hold_ms, h.event_id, h.event_id, h.evidence) for h in holds]
        spans.sort(key=lambda s: (s.start, s.cause, s.end, s.newest, s.evidence))
        out: list[_Span] = []
        for span in spans:
            if out and span.start <= out[-1].end:
                last = out[-1]
                tail = max(last, span, key=_rank)
                out[-1] = _Span(last.start, tail.end, last.cause, tail.newest, tail.evidence)
            else:
                out.append(span)
        return out

    def status(self, tau: int) -> Status | None:
        """What is up at `tau`."""
        for span in reversed(self._merged):
            if span.start <= tau <= span.end:
                severity = self.rule.severity
                return Status(span.start, span.end, len(span.evidence), severity, span.evidence, span.cause)
        return None

    def was_up_before(self, ts: int, event_id: str) -> bool:
        """Whether it was up when the event (ts, event_id) came: raised by an earlier one and not yet ended."""
        return any((s.start, s.cause) < (ts, event_id) and ts <= s.end for s in self._merged)

    def next_due(self, tau: int) -> int | None:
        """End of the span that covers `tau`."""
        status = self.status(tau)
        return None if status is None else status.until

    def encode(self) -> list[Any]:
        """Plain data for the codec."""
        return [list(s) for s in self.spans]

    @classmethod
    def decode(cls, rule: CompositeRule, data: list[Any]) -> Self:
        """The state that `encode` wrote; call `refresh` before use."""
        return cls(rule, [_Span(s[0], s[1], s[2], s[3], tuple(s[4])) for s in data])


def _rank(span: _Span) -> tuple[int, str, int, tuple[str, ...]]:
    """The newest hold is shown; of several flags that one event holds up, the one that takes the fewest events."""
    return (span.end, span.newest, -len(span.evidence), span.evidence)
