"""What a lane's desk counts: messages that were shown and held, words per rule, and what the caps look at."""

from __future__ import annotations

from typing import Any, Self

__all__ = ["MAX_COUNTS", "MAX_TEAMS", "Shift"]

MAX_TEAMS = 256
"""Teams whose cap a lane watches at a time; beyond it the one that was shown nothing for longest is forgotten."""

MAX_COUNTS = 512
"""Most different (reason, flag, route) of a window; further routes are counted together as `~other`."""


class Shift:
    """Counts of one lane.

    Attributes
    ----------
    window
        First ms of the window of lane clock that `delivered` is of; -1 before the first.
    delivered
        `<reason>|<flag>|<route>` -> messages in this window.
    rules
        Flag -> what -> how many so far.
    shown_at
        Team -> lane clock of the last messages that it was shown, ms.
    n_facts
        Facts so far.
    changed, changed_rules
        Keys of `delivered`, and rules, that the board has to be told; not stored.
    """

    __slots__ = ("changed", "changed_rules", "delivered", "n_facts", "rules", "shown_at", "window")

    def __init__(self) -> None:
        self.window = -1
        self.delivered: dict[str, int] = {}
        self.rules: dict[str, dict[str, int]] = {}
        self.shown_at: dict[str, list[int]] = {}
        self.n_facts = 0
        self.changed: dict[tuple[int, str], int] = {}
        self.changed_rules: dict[str, None] = {}

    def next_fact(self) -> int:
        """The number of the next fact."""
        self.n_facts += 1
        return self.n_facts

    def count(self, flag: str, what: str, by: int = 1) -> None:
        """Count something that happened to alerts of a rule."""
        counts = self.rules.setdefault(flag, {})
        counts[what] = counts.get(what, 0) + by
        self.changed_rules[flag] = None

    def deliver(self, now: int, held: str, flag: str, route: str, window_ms: int) -> None:
        """Count a message that was shown, or held for a reason.

        Examples
        --------
        >>> shift = Shift()
        >>> shift.deliver(61_000, "", "sensitive", "team:a", 60_000)
        >>> shift.window, shift.delivered
        (60000, {'delivered|sensitive|team:a': 1})
        """
        window = now - now % window_ms
        if window != self.window:
            self.window = window
            self.delivered = {}
        reason = held.partition(":")[0] if held.startswith("inhibited") else held
        key = f"{reason or 'delivered'}|{flag}|{route}"
        if key not in self.delivered and len(self.delivered) >= MAX_COUNTS:
            key = f"{reason or 'delivered'}|{flag}|~other"
        n = self.delivered[key] = self.delivered.get(key, 0) + 1
        self.changed[window, key] = n
        self.count(flag, "held" if held else "delivered")

    def pass_team(self, team: str, now: int, share: int, window_ms: int) -> bool:
        """Whether a team may be shown one more message now; notes it if so.

        Examples
        --------
        >>> shift = Shift()
        >>> [shift.pass_team("team:a", now, 2, 1_000) for now in (0, 10, 20, 999, 1_000)]
        [True, True, False, False, True]
        """
        shown = self.shown_at.pop(team, [])
        self.shown_at[team] = shown
        while shown and shown[0] <= now - window_ms:
            del shown[0]
        if len(self.shown_at) > MAX_TEAMS:
            del self.shown_at[next(iter(self.shown_at))]
        if len(shown) >= share:
            return False
        shown.append(now)
        return True

    def take_delivered(self) -> dict[int, dict[str, int]]:
        """Window -> key -> number, of what changed since the last call."""
        out: dict[int, dict[str, int]] = {}
        for (window, key), n in self.changed.items():
            out.setdefault(window, {})[key] = n
        self.changed = {}
        return out

    def take_rules(self) -> dict[str, dict[str, int]]:
        """Flag -> all its counts, of rules that changed since the last call."""
        out = {flag: dict(self.rules[flag]) for flag in self.changed_rules}
        self.changed_rules = {}
        return out

    def encode(self) -> list[Any]:
        """Plain data for the codec."""
        return [self.window, self.delivered, self.rules, self.shown_at, self.n_facts]

    @classmethod
    def decode(cls, data: list[Any]) -> Self:
        """The shift that `encode` wrote."""
        shift = cls()
        shift.window, shift.delivered, shift.rules, shift.shown_at, shift.n_facts = data
        return shift
