"""Every error of henji, on one screen.

HenjiError
  UsageError              wrong use or configuration: exit code 2, the message names the field and the file
    ConfigurationError      settings
    RulesError              the rules file
    VocabularyError         the file that maps an organisation's own words
  InvalidEvent            to the dead letters with its raw bytes, never retried
  RecoverableError        try again with backoff; nothing was changed
    StoreUnavailable
  LedgerConflict          somebody else moved the ledger: drop the caches, read it again
  StateIncompatible       stop; the message says what the operator should do
    CorruptState            bytes that cannot be what we wrote
  LogMismatch             the log is not the one that the ledger was made from
  FuseBlown               nearly all input is bad: stop, and call who sends it

A message says what was expected, what was got, where, and what to do. Errors carry their facts as attributes and
survive pickling whole.
"""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "CorruptState",
    "FuseBlown",
    "HenjiError",
    "InvalidEvent",
    "LedgerConflict",
    "LogMismatch",
    "RecoverableError",
    "RulesError",
    "StateIncompatible",
    "StoreUnavailable",
    "UsageError",
    "VocabularyError",
]


class HenjiError(Exception):
    """Base of every error that henji raises on purpose."""


class UsageError(HenjiError):
    """Wrong use: the caller must change the command, a file or a setting. Exit code 2."""


class ConfigurationError(UsageError):
    """A setting is wrong; the message names the key and where it was set."""


class RulesError(UsageError):
    """A rule set was refused as a whole; the message names line and field."""


class VocabularyError(UsageError):
    """The mapping file was refused; the message names the entry."""


class InvalidEvent(HenjiError):
    """A record that is not an event of the contract; it goes to the dead letters.

    Parameters
    ----------
    reason
        Stable code, see `engine.decode.REASONS`.
    field
        Path of the field (`ts`, `attributes.role`), empty when the record as a whole is wrong.
    expected, got
        What the contract asks for and what came, shortened to 80 characters.

    Examples
    --------
    >>> str(InvalidEvent("range", "score", "a number from 1 to 5", "7"))
    'score: expected a number from 1 to 5, got 7'
    """

    def __init__(self, reason: str, field: str, expected: str, got: str) -> None:
        super().__init__(reason, field, expected, got)
        self.reason = reason
        self.field = field
        self.expected = expected
        self.got = got if len(got) <= 80 else got[:77] + "..."

    def __str__(self) -> str:
        where = f"{self.field}: " if self.field else ""
        return f"{where}expected {self.expected}, got {self.got}"


class RecoverableError(HenjiError):
    """Something outside is away; the same call may succeed later and nothing was changed."""


class StoreUnavailable(RecoverableError):
    """Redis did not answer or refused for now."""


class LedgerConflict(HenjiError):
    """The partition record was not the expected one; nothing was written."""


class StateIncompatible(HenjiError):
    """State of another version or other result settings; the message says the way out."""


class CorruptState(StateIncompatible):
    """Stored bytes fail their checksum or shape."""


class LogMismatch(HenjiError):
    """The records read again are not those that the ledger has applied."""


class FuseBlown(HenjiError):
    """Nearly all records of a partition are no events; nothing more is read until somebody has looked."""
