"""What comes back to a customer and what they answer: replies to their posts, offers of ours."""

from __future__ import annotations

import math
from typing import Any, Final

from engine.errors import CorruptState
from engine.event import Event
from engine.features import DAY_MS, GROUPS, Feature, Traits

__all__ = ["ECHO_FEATURES", "Echo"]

_LN2: Final = math.log(2.0)
_GROUP: Final = {group.code: group for group in GROUPS}

ECHO_FEATURES: Final = (
    Feature("received_1d", "log1p decayed answers", _GROUP["answers"]),
    Feature("received_7d", "log1p decayed answers", _GROUP["answers"]),
    Feature("received_ratio", "log answers per act", _GROUP["answers"]),
    Feature("unanswered", "log1p posts", _GROUP["answers"]),
    Feature("offers_ignored", "log1p offers", _GROUP["offers"]),
)
"""What `Echo.vector` gives. `received_ratio` compares decayed sums of a half-life of 30 d; `unanswered` counts the
customer's `interact` events since the last answer, `offers_ignored` the promotions since they last answered one."""


class Echo:
    """Answers received and offers ignored, in constant space.

    An event older than the newest one counts in the decayed sums as of its own time. Runs of posts or offers that go
    without an answer are counted in the order of arrival: at most the lateness of the stream of error.

    Examples
    --------
    >>> echo = Echo()
    >>> for i, kind in enumerate(("interact", "interact", "received", "interact")):
    ...     echo.update(Event(f"e{i}", "c1", i, kind))
    >>> echo.n_unanswered
    1
    """

    __slots__ = ("last_ms", "n_ignored", "n_unanswered", "received_1d", "received_7d", "received_30d")

    def __init__(self) -> None:
        # The decayed sums stand as of `last_ms`.
        self.last_ms = -1
        self.received_1d = 0.0
        self.received_7d = 0.0
        self.received_30d = 0.0
        self.n_unanswered = 0
        self.n_ignored = 0

    def update(self, event: Event) -> None:
        """Take in one event; most kinds say nothing here."""
        kind = event.kind
        if kind == "received":
            self._receive(event.ts)
            self.n_unanswered = 0
        elif kind == "interact":
            self.n_unanswered += 1
        elif kind == "promotion":
            self.n_ignored += 1
            return
        if self.n_ignored and (event.campaign_id is not None or kind == "purchase"):
            self.n_ignored = 0

    def _receive(self, ts_ms: int) -> None:
        if ts_ms >= self.last_ms:
            keep_1d, keep_7d, keep_30d = self._kept(ts_ms)
            self.received_1d = self.received_1d * keep_1d + 1.0
            self.received_7d = self.received_7d * keep_7d + 1.0
            self.received_30d = self.received_30d * keep_30d + 1.0
            self.last_ms = ts_ms
            return
        nats = -_LN2 * (self.last_ms - ts_ms) / DAY_MS
        self.received_1d += math.exp(nats)
        self.received_7d += math.exp(nats / 7.0)
        self.received_30d += math.exp(nats / 30.0)

    def _kept(self, at_ms: int) -> tuple[float, float, float]:
        """What is left of the decayed sums at `at_ms`."""
        nats = -_LN2 * max(at_ms - self.last_ms, 0) / DAY_MS
        return math.exp(nats), math.exp(nats / 7.0), math.exp(nats / 30.0)

    def vector(self, at_ms: int, traits: Traits) -> list[float]:
        """The features of `ECHO_FEATURES`, all finite, as of `at_ms`."""
        silent_ms = max(at_ms - traits.last_ms, 0) if traits.n else 0
        acts_30d = traits.count_30d * math.exp(-_LN2 * silent_ms / DAY_MS / 30.0)
        if self.last_ms < 0:
            answers = (0.0, 0.0, 0.0)
        else:
            keep_1d, keep_7d, keep_30d = self._kept(at_ms)
            answers = (self.received_1d * keep_1d, self.received_7d * keep_7d, self.received_30d * keep_30d)
        return [
            math.log1p(answers[0]),
            math.log1p(answers[1]),
            # Half an answer and half an act more, so that the ratio of nothing to nothing is one.
            math.log((answers[2] + 0.5) / (acts_30d + 0.5)),
            math.log1p(self.n_unanswered),
            math.log1p(self.n_ignored),
        ]

    def encode(self) -> list[Any]:
        """The state as plain numbers, for msgpack; floats survive to the bit."""
        return [
            self.last_ms,
            self.received_1d,
            self.received_7d,
            self.received_30d,
            self.n_unanswered,
            self.n_ignored,
        ]

    @classmethod
    def decode(cls, state: Any) -> Echo:
        """Make the echo that `encode` wrote.

        Raises
        ------
        CorruptState
            If `state` is not of the shape that `encode` writes.
        """
        if not isinstance(state, list) or len(state) != 6:
            raise CorruptState(f"echo: expected 6 numbers, got {str(state)[:80]}; read the log again")
        echo = cls()
        (
            echo.last_ms,
            echo.received_1d,
            echo.received_7d,
            echo.received_30d,
            echo.n_unanswered,
            echo.n_ignored,
        ) = state
        return echo
