"""Has the world changed? Alarms on the predictions, the residuals and the features of one score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import msgspec

from models.drift_channel import Alarm, ChannelState, DriftChannel, DriftRule, OpenBlock, Signal
from models.errors import InputRefused, SnapshotDamaged, SnapshotForeign
from models.snapshot import pack, unpack

__all__ = ["MAX_SIGNALS", "PREDICTION", "RESIDUAL", "Alarm", "DriftMonitor", "DriftRule", "Signal"]

MAX_SIGNALS: Final = 18
"""Signals of one monitor: prediction, residual and sixteen features."""

PREDICTION: Final = Signal("prediction", 0.0, 1.0, 0.05)
"""The probability as it was predicted: early, but it tells what the model sees, not whether it is right."""

RESIDUAL: Final = Signal("residual", -1.0, 1.0, 0.05)
"""Matured label less the prediction: late by the horizon, but sure."""

_HEAD: Final = "open"
_HEAD_KIND: Final = "drift_monitor"
_CHANNEL_KIND: Final = "drift_channel"


class _Head(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    signals: list[Signal]
    rule: DriftRule
    blocks: list[OpenBlock]


class DriftMonitor:
    """Drift of one score on one lane: a channel for each signal, each with alarms of its own.

    Watch the prediction (`PREDICTION`) and the matured residual (`RESIDUAL`); the first is early, the second sure. The
    log-loss is later than both. Windows of lanes do not add up: each lane has a monitor of its own, and a change of
    all customers gives an alarm on most lanes. What an alarm is, and when there is none: `models.drift_channel`.

    Parameters
    ----------
    signals
        What is watched, at most `MAX_SIGNALS`, names all different.
    rule
        When a change is an alarm.

    Examples
    --------
    >>> monitor = DriftMonitor([PREDICTION, RESIDUAL])
    >>> day = 86_400_000
    >>> alarms = []
    >>> for i in range(40_000):
    ...     at = i * day // 1_000
    ...     p = 0.2 + 0.1 * (i % 2) + (0.2 if at >= 20 * day else 0.0)
    ...     if alarm := monitor.update("prediction", p, at):
    ...         alarms.append(alarm)
    >>> [(a.what, a.at // day, a.direction, round(a.before, 2), round(a.after, 2)) for a in alarms]
    [('prediction', 21, 'up', 0.25, 0.43)]
    """

    __slots__ = ("_changed", "_channels", "_is_moved", "_rule")

    def __init__(self, signals: Sequence[Signal], rule: DriftRule | None = None) -> None:
        names = [signal.name for signal in signals]
        if len(set(names)) != len(names) or len(names) > MAX_SIGNALS:
            raise InputRefused(f"drift: expected at most {MAX_SIGNALS} signals of different names, got {names!r}")
        self._rule = DriftRule() if rule is None else rule
        self._channels = {signal.name: DriftChannel(signal, self._rule) for signal in signals}
        self._changed: set[str] = set(names)
        self._is_moved = True

    def update(self, name: str, value: float, at: int) -> Alarm | None:
        """Take one value of a signal in.

        Parameters
        ----------
        name
            Of the signal.
        value
            In its unit; counted as the nearer end of its range if it is beyond.
        at
            Event time, ms, of the prediction, also for residuals: its time of week is taken out.

        Returns
        -------
        Alarm or None
            The alarm that this value gives; at most one per signal and rest.

        Raises
        ------
        InputRefused
            If the signal is not watched or the value not a number; nothing was changed.
        """
        channel = self._channels.get(name)
        if channel is None or value != value:
            raise InputRefused(f"drift: expected a number for one of {[*self._channels]}, got {value!r} for {name!r}")
        alarm = None
        if channel.is_due(at):
            self._changed.add(name)
            alarm = channel.judge(at)
        if channel.is_new:
            # Its first time is the origin of its seasons, and stands in its own part.
            self._changed.add(name)
        channel.update(value, at)
        self._is_moved = True
        return alarm

    def alarms(self) -> dict[str, tuple[int, Alarm | None]]:
        """By signal: alarms so far, and the newest."""
        return {name: (channel.n_alarms, channel.last) for name, channel in self._channels.items()}

    def means(self) -> dict[str, float | None]:
        """By signal: its mean since the last change; `None` before there is one."""
        return {name: channel.mean for name, channel in self._channels.items()}

    def changed(self) -> dict[str, bytes]:
        """Name and bytes of each part that changed since the last call; store them over those of the same name.

        The part `open` (some 20 bytes a signal, and their names) is among them if a value came; a signal's own part, 1
        to 3 kB, if one of its blocks ended.
        """
        out = {_HEAD: self._head()} if self._is_moved else {}
        out |= {f"s/{name}": self._channel(name) for name in sorted(self._changed)}
        self._changed.clear()
        self._is_moved = False
        return out

    def snapshot(self) -> dict[str, bytes]:
        """All parts; what was changed stays so for `changed`."""
        return {_HEAD: self._head()} | {f"s/{name}": self._channel(name) for name in self._channels}

    def _head(self) -> bytes:
        channels = self._channels.values()
        return pack(_HEAD_KIND, _Head([c.signal for c in channels], self._rule, [c.block for c in channels]))

    def _channel(self, name: str) -> bytes:
        return pack(_CHANNEL_KIND, self._channels[name].state())

    @classmethod
    def restore(
        cls, signals: Sequence[Signal], parts: Mapping[str, bytes], rule: DriftRule | None = None
    ) -> DriftMonitor:
        """The monitor whose parts were stored.

        Parameters
        ----------
        signals, rule
            As for the monitor that was stored.
        parts
            The newest bytes of every name that `changed` gave.

        Raises
        ------
        SnapshotError
            If a part is missing or damaged, or the signals or the rule are others.
        """
        monitor = cls(signals, rule)
        missing = {_HEAD, *(f"s/{name}" for name in monitor._channels)} - set(parts)
        if missing:
            raise SnapshotDamaged(f"drift: expected the parts {sorted(missing)}; restore all parts of the monitor")
        head = unpack(_HEAD_KIND, parts[_HEAD], _Head)
        if head.signals != [*signals] or head.rule != monitor._rule or len(head.blocks) != len(signals):
            raise SnapshotForeign("drift: expected the signals and the rule of the monitor that was stored; name them")
        for signal, block in zip(signals, head.blocks, strict=True):
            state = unpack(_CHANNEL_KIND, parts[f"s/{signal.name}"], ChannelState)
            monitor._channels[signal.name] = DriftChannel.of(signal, monitor._rule, state, block)
        monitor._changed.clear()
        monitor._is_moved = False
        return monitor
