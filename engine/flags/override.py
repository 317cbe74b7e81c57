"""A person's word on a flag: it wins until its end, then the rule's own state holds."""

from __future__ import annotations

from typing import NamedTuple

from engine.flags.status import Status

__all__ = ["MAX_WORDS", "Word", "add_word", "overridden"]

MAX_WORDS = 8
"""Most words on one flag that are remembered; only the newest is in force, the others tell since when."""


class Word(NamedTuple):
    """One override event.

    Parameters
    ----------
    ts, event_id
        When and which; the newest by both is in force.
    state
        `up`, `down`, or `auto`: the rule's own state from here on.
    until
        Last moment at which it is in force, ms; `None`: until the next word.
    """

    ts: int
    event_id: str
    state: str
    until: int | None


def add_word(words: list[Word], word: Word) -> list[Word]:
    """The words with one more, in order, at most `MAX_WORDS`.

    Examples
    --------
    >>> [w.state for w in add_word([Word(5, "b", "up", None)], Word(3, "a", "down", 4))]
    ['down', 'up']
    """
    return sorted([*words, word])[-MAX_WORDS:]


def overridden(words: list[Word], status: Status | None, tau: int) -> Status | None:
    """What a flag is at `tau` under these words, if its rule says `status`.

    Up by a person and by the rule: since the earlier, until the later of the two.
    """
    in_force = [w for w in words if w.ts <= tau]
    if not in_force:
        return status
    word = in_force[-1]
    if word.state == "auto" or (word.until is not None and word.until < tau):
        return status
    if word.state == "down":
        return None
    since, until = word.ts, word.until
    for earlier in reversed(in_force[:-1]):
        if earlier.state != "up" or (earlier.until is not None and earlier.until < since):
            break
        since = earlier.ts
    if status is not None:
        since = min(since, status.since)
        if status.until is None or (until is not None and status.until > until):
            until = status.until
    return Status(since, until, 1, "override", (word.event_id,), word.event_id)
