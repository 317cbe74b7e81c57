"""What a person said of an alert."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["FACTS", "Fact", "Word"]

FACTS = ("ack", "snooze", "outcome")
"""The kinds of facts; each alert has at most one word of each, the newest."""


class Word(NamedTuple):
    """The newest word of people about one fact of an alert; also a word that took it back, to outlast older ones.

    Parameters
    ----------
    at, event_id
        When it was said (ms) and by which event: the later pair counts.
    up
        Whether the fact holds.
    by
        Who said so, or empty.
    until
        End of a snooze, ms.
    text
        Reason of a snooze, or the outcome.
    """

    at: int
    event_id: str
    up: bool
    by: str = ""
    until: int | None = None
    text: str = ""

    @classmethod
    def of(cls, data: list[Any] | None) -> Word | None:
        """The word that was stored as a list."""
        return None if data is None else cls(*data)


class Fact(NamedTuple):
    """A word that was applied, as readers of the board hear of it.

    Parameters
    ----------
    alert_id, customer_id
        Of which alert.
    seq
        The lane's counter of facts.
    name
        One of `FACTS`.
    word
        What was said.
    """

    alert_id: str
    customer_id: str
    seq: int
    name: str
    word: Word
