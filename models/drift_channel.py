"""Drift of the mean of one signal, for streams that customers make: in bursts, by day and by week."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

import msgspec

from models.adwin import Adwin, AdwinState
from models.errors import InputRefused
from models.season import SeasonShape, SeasonState

__all__ = ["Alarm", "ChannelState", "DriftChannel", "DriftRule", "OpenBlock", "Signal"]

_HOUR_MS: Final = 3_600_000
_DAY_MS: Final = 24 * _HOUR_MS


class Signal(NamedTuple):
    """What is watched.

    Parameters
    ----------
    name
        Of the signal, as alarms carry it.
    low, high
        Its range, in its own unit; values beyond count as the nearer end.
    min_change
        Least change of its mean that is reported, in its own unit.
    """

    name: str
    low: float
    high: float
    min_change: float


class DriftRule(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """When a change is an alarm; the defaults are those that `python -m benchmarks.drift` measures.

    Parameters
    ----------
    delta
        Bound of ADWIN's false cuts, for independent blocks.
    block_n, block_ms
        A block ends when it has so many values and so much event time has passed, ms; where times are whole days
        it is one or more of them. One hour instead of three finds a step half a day earlier at 500 values a day, and
        has half again as many false alarms in long bursts.
    season_ms, n_slots
        Period whose shape is taken out, ms (0: none), and the slots in which it is learned.
    rest_ms, rest_blocks
        Event time, ms, and blocks after an alarm in which there is no other of the signal; both must have passed. A
        mean of fewer blocks is too rough to tell an error of the last report from another change.
    gain
        By how much the range of a block's mean is narrower than that of a value: for independent values the number in
        a block, 32 or more. 16 allows for bursts; with 8 a step in a busy stream is found two thirds later.
    """

    delta: float = 0.002
    block_n: int = 32
    block_ms: int = 3 * _HOUR_MS
    season_ms: int = 7 * _DAY_MS
    n_slots: int = 28
    rest_ms: int = 7 * _DAY_MS
    rest_blocks: int = 20
    gain: float = 16.0


class Alarm(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The mean of a signal has changed.

    Parameters
    ----------
    what
        Name of the signal.
    at
        Event time of the value after the block that made it sure, ms; the change itself was earlier.
    before, after
        Mean up to the change, or as last reported, and since; in the unit of the signal.
    """

    what: str
    at: int
    before: float
    after: float

    @property
    def direction(self) -> str:
        """`up` or `down`."""
        return "up" if self.after > self.before else "down"


class OpenBlock(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Values since the last block ended: count, sum, sum less the shape, its first and its newest time, ms."""

    n: int = 0
    total: float = 0.0
    level: float = 0.0
    start: int = 0
    end: int = 0


class ChannelState(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A channel as data, but for its open block."""

    window: AdwinState
    shape: SeasonState
    first: int | None
    season: int
    has_cut: bool
    is_pending: bool
    is_settled: bool
    n_since: int
    level: float | None
    n_alarms: int
    last: Alarm | None


class DriftChannel:
    """Alarms on the mean of one signal, once per change.

    The values of a block are averaged, less the usual offset of their time of week, and the means go to ADWIN: its
    variance is then that between blocks, which bursts raise as they should. A cut of ADWIN's window is a change. It is
    reported if the mean after it is `min_change` or more from the *level*: the mean before the first cut, later the
    mean that was last reported. In the rest after an alarm there is none; when it is over, the level is set to the
    mean of the window, unless that is twice `min_change` from what was reported: then it is an alarm. So a window that
    shrinks step by step gives one alarm, and a slow ramp one per `min_change`.

    Blind in its first season, which teaches the shape; slow where there are few values: a side of a cut is five
    blocks. Wrong where changes of single days are meant, or where most values are of a handful of customers.

    Parameters
    ----------
    signal
        What is watched.
    rule
        When a change is an alarm.
    """

    __slots__ = ("_scale", "_shape", "_slot_ms", "_state", "_window", "block", "rule", "signal")

    def __init__(self, signal: Signal, rule: DriftRule) -> None:
        if not (math.isfinite(signal.high - signal.low) and signal.low < signal.high and signal.min_change > 0.0):
            raise InputRefused(f"drift: expected low < high and a change above 0, got {signal!r}")
        if min(rule.block_n, rule.n_slots) < 1 or min(rule.block_ms, rule.season_ms, rule.rest_ms) < 0:
            raise InputRefused(f"drift: expected positive sizes, got {rule!r}")
        self.signal = signal
        self.rule = rule
        self.block = OpenBlock()
        self._scale = 1.0 / (signal.high - signal.low)
        self._slot_ms = max(rule.season_ms // rule.n_slots, 1)
        self._window = Adwin(rule.delta, clock=1)
        self._shape = SeasonShape(rule.n_slots, rule.block_n)
        self._state = ChannelState(
            self._window.state(), self._shape.state(), None, 0, False, False, True, 0, None, 0, None
        )

    @property
    def is_new(self) -> bool:
        """Whether it has seen nothing."""
        return self._state.first is None

    @property
    def n_alarms(self) -> int:
        """Alarms so far."""
        return self._state.n_alarms

    @property
    def last(self) -> Alarm | None:
        """The newest alarm."""
        return self._state.last

    @property
    def mean(self) -> float | None:
        """Mean of what came since the last change, in the unit of the signal; `None` before the first block."""
        return self._own(self._window.mean) if self._window.width else None

    def _own(self, scaled: float) -> float:
        return self.signal.low + scaled / (self.rule.gain * self._scale)

    def _slot(self, at: int) -> int:
        return (at - (self._state.first or 0)) % self.rule.season_ms // self._slot_ms % self.rule.n_slots

    def is_due(self, at: int) -> bool:
        """Whether the block has ended for a value of this time, so that `judge` must be called before `update`."""
        block = self.block
        return block.n >= self.rule.block_n and at - block.start >= self.rule.block_ms

    def update(self, value: float, at: int) -> None:
        """Take one value into the block.

        Parameters
        ----------
        value
            In the unit of the signal; not NaN.
        at
            Event time, ms; it may be older than the last.
        """
        signal, block = self.signal, self.block
        scaled = (min(max(value, signal.low), signal.high) - signal.low) * self._scale
        if not block.n:
            block.start = block.end = at
            if self._state.first is None:
                self._state.first = at
        block.n += 1
        block.total += scaled
        block.level += scaled - (self._shape.offset(self._slot(at)) if self.rule.season_ms else 0.0)
        if at > block.end:
            block.end = at

    def judge(self, at: int) -> Alarm | None:
        """End the block; the alarm that it gives.

        Parameters
        ----------
        at
            Event time of the value that comes next, ms.
        """
        block, state, rule = self.block, self._state, self.rule
        self.block = OpenBlock()
        if rule.season_ms:
            self._learn_season(block, at)
            if not self._shape.n_seasons:
                return None
        change = self._window.update(block.level / block.n * rule.gain)
        if change is not None:
            state.has_cut = state.is_pending = True
            # Where the window was cut for the first time is what the later ones are compared with.
            state.level = change.before if state.level is None else state.level
            # Remains of the old side would be found to differ again and again, and spoil the mean since.
            self._window.keep(change.n_after)
        after = self._window.mean
        state.n_since += 1
        if state.last is not None and (at - state.last.at < rule.rest_ms or state.n_since < rule.rest_blocks):
            return None
        least = self.signal.min_change * self._scale * rule.gain
        if not state.is_settled:
            # The mean that was reported came from few blocks. What it was off by is no change.
            state.is_settled = True
            least *= 2.0
            if state.level is None or abs(after - state.level) < least:
                state.level, state.is_pending = after, False
        if not state.is_pending or state.level is None or abs(after - state.level) < least:
            return None
        alarm = Alarm(self.signal.name, at, self._own(state.level), self._own(after))
        state.is_pending, state.is_settled, state.level, state.last = False, False, after, alarm
        state.n_since = 0
        state.n_alarms += 1
        return alarm

    def _learn_season(self, block: OpenBlock, at: int) -> None:
        state, first = self._state, self._state.first or 0
        season = (at - first) // self.rule.season_ms
        # A block over several slots, from a stream with few values, says nothing about one of them.
        if block.end - block.start <= self._slot_ms:
            self._shape.add(self._slot(block.start), block.n, block.total)
        if season > state.season:
            self._shape.close(is_learned=not state.has_cut or not self._shape.n_seasons)
            state.season, state.has_cut = season, False

    def state(self) -> ChannelState:
        """The channel as data, but for `block`."""
        self._state.window, self._state.shape = self._window.state(), self._shape.state()
        return self._state

    @classmethod
    def of(cls, signal: Signal, rule: DriftRule, state: ChannelState, block: OpenBlock) -> DriftChannel:
        """The channel that gave `state` and `block`; raises `SnapshotDamaged` if there is none."""
        channel = cls(signal, rule)
        channel._window = Adwin.of(state.window)
        channel._shape = SeasonShape.of(state.shape, rule.n_slots, rule.block_n)
        channel._state = msgspec.structs.replace(state)
        channel.block = msgspec.structs.replace(block)
        return channel
