"""How long to wait after a failure: exponential backoff with full jitter for messages, a circuit for endpoints."""

from __future__ import annotations

import random
from dataclasses import dataclass

from engine.duration import HOUR_MS, MINUTE_MS

__all__ = ["Circuit", "Pace"]


@dataclass(frozen=True, slots=True)
class Pace:
    """How patiently deliveries are tried again.

    Parameters
    ----------
    base_ms, cap_ms
        Range of the first wait of a message, and the longest one; each range is twice the one before.
    floor_ms
        Shortest wait: full jitter may draw nearly nothing.
    failures
        So many attempts that fail in a row, of whatever messages, pause the endpoint.
    pause_ms, pause_cap_ms
        First pause and longest pause; each is up to twice the one before.
    retry_after_cap_ms
        The longest wait that an endpoint can ask for.

    References
    ----------
    Brooker, M. (2015), Exponential backoff and jitter, AWS Architecture Blog ("full jitter").
    """

    base_ms: int = 5_000
    cap_ms: int = HOUR_MS
    floor_ms: int = 500
    failures: int = 5
    pause_ms: int = 5_000
    pause_cap_ms: int = 2 * MINUTE_MS
    retry_after_cap_ms: int = HOUR_MS

    def wait(self, attempts: int, draw: random.Random) -> int:
        """Milliseconds until the next attempt, after so many."""
        # 2^40 times anything is over the cap: no need for greater numbers.
        reach = min(self.cap_ms, self.base_ms << min(attempts - 1, 40))
        return max(self.floor_ms, int(draw.random() * reach))

    def pause(self, n_pauses: int, draw: random.Random) -> int:
        """Milliseconds of the next pause of an endpoint, after so many without a success.

        Half of it is certain: a pause that is drawn short would be none.
        """
        reach = min(self.pause_cap_ms, self.pause_ms << min(n_pauses, 40))
        return reach // 2 + int(draw.random() * (reach - reach // 2))


class Circuit:
    """Whether an endpoint may be tried.

    Closed, it lets pass. After so many failures in a row it pauses; when the pause is over, one attempt at a time may
    go, and the first success closes it again. `gone` (the endpoint said 410) ends by a person's word alone.

    Parameters
    ----------
    pace
        How patient.
    draw
        Randomness.
    """

    __slots__ = ("_draw", "_n_pauses", "_pace", "failures", "gone", "paused_until")

    def __init__(self, pace: Pace, draw: random.Random) -> None:
        self._pace = pace
        self._draw = draw
        self._n_pauses = 0
        self.failures = 0
        self.paused_until = 0
        self.gone = False

    @property
    def trying(self) -> bool:
        """Whether it is not known to work, so that one attempt at a time is enough."""
        return self.failures >= self._pace.failures

    def open_at(self) -> int | None:
        """When it lets pass; `None`: not before a person says so."""
        return None if self.gone else self.paused_until

    def succeeded(self) -> bool:
        """Note a success; whether the endpoint was in trouble before."""
        was = self.trying
        self.failures = self._n_pauses = 0
        # A pause that the endpoint asked for (429) holds on: it is not of our making.
        if was:
            self.paused_until = 0
        return was

    def failed(self, now_ms: int) -> None:
        """Note a failure."""
        self.failures += 1
        if self.trying and self.paused_until <= now_ms:
            self.paused_until = now_ms + self._pace.pause(self._n_pauses, self._draw)
            self._n_pauses += 1

    def hold(self, until_ms: int) -> None:
        """Let nothing pass before a time that the endpoint asked for."""
        self.paused_until = max(self.paused_until, until_ms)

    def restore(self, *, failures: int, paused_until: int, gone: bool) -> None:
        """What it was before a restart."""
        self.failures, self.paused_until, self.gone = failures, paused_until, gone

    def resume(self) -> None:
        """Forget every trouble."""
        self.failures = self._n_pauses = self.paused_until = 0
        self.gone = False
