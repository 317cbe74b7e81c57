"""A large model kept in a store by what it learned since it was last stored whole.

A forest of a megabyte that learns an example a second must not be written a second. `Journalled` writes the examples
instead, and the whole model now and then. The same examples in the same order give the same model to the bit, so
nothing is lost between two checkpoints, only learned again when the model is read.

Everything is names and bytes, made for a hash of a ledger: write what `changes` gives in the transaction of the batch,
delete what is None, read the hash whole. Which fields there are depends on the sizes of the batches; the model that
comes of them does not.

    checkpoint   envelope `journal-checkpoint` of [n_learned, snapshot of the model]
    j000000...   envelope `journal-examples` of [n_learned before, length of a vector, examples]
                 an example is its features and its label, little-endian doubles

The envelope is that of `models.snapshot`.
"""

from __future__ import annotations

import array
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Final, Generic, Protocol, Self, TypeVar

import msgspec

from models.errors import InputRefused, SnapshotDamaged, SnapshotForeign
from models.snapshot import pack, unpack

__all__ = ["CHECKPOINT", "EVERY", "Checkpoint", "Entry", "Journalled", "Model"]

CHECKPOINT: Final = "checkpoint"
"""Name of the field with the whole model."""

EVERY: Final = 1_000
"""Examples from one checkpoint to the next, if the journal does not outgrow the checkpoint before: a forest learns them
again in two or three seconds."""

_CHECKPOINT_KIND: Final = "journal-checkpoint"
_ENTRY_KIND: Final = "journal-examples"
_ADVICE: Final = "restore a backup of the model, or replay the log to learn it again"


class Model(Protocol):
    """What a model must be for its journal: one that learns vectors, to the same bits from the same examples."""

    @property
    def n_learned(self) -> int:
        """How many examples were learned."""

    def learn_one(self, x: Sequence[float], y: Any) -> None:
        """Learn one example; a label of two classes comes as True and False, or as 1.0 and 0.0 from the journal."""

    def snapshot(self) -> bytes:
        """All state as data."""

    @classmethod
    def restore(cls, data: bytes) -> Self:
        """The model that `snapshot` stored."""


class Checkpoint(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """A whole model, as stored: how many examples it had learned, and its snapshot."""

    n_learned: int
    snapshot: bytes


class Entry(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Examples of one batch, as stored: how many had been learned before them, length of a vector, the numbers."""

    n_before: int
    n_features: int
    numbers: bytes


M = TypeVar("M", bound=Model)


class Journalled(Generic[M]):
    """A model and what a store does not have of it yet.

    Learn through it, or the store will miss what was learned; predict by `model` itself. Wrong for a model whose
    snapshot is hardly longer than an example: each batch then stores it whole, which is right but needs no journal.

    Parameters
    ----------
    model
        The model; it may have learned already.
    every
        Examples from one checkpoint to the next, >= 1. The checkpoint comes earlier when the journal has grown longer
        than it.

    Attributes
    ----------
    model
        As given; only to be asked.

    Examples
    --------
    >>> from models.dense_logistic import DenseLogistic
    >>> kept = Journalled(DenseLogistic(1))
    >>> store = dict(kept.changes())
    >>> for visits in (1.0, 2.0, 3.0):
    ...     kept.learn_one([visits], visits > 1.0)
    >>> store |= kept.changes()
    >>> sorted(store)
    ['checkpoint', 'j000000']
    >>> again = Journalled.restore(DenseLogistic, store)
    >>> again.model.predict_proba_one([2.0]) == kept.model.predict_proba_one([2.0])
    True
    """

    def __init__(self, model: M, *, every: int = EVERY) -> None:
        if every < 1:
            raise ValueError(f"every: expected an integer >= 1, got {every!r}")
        self.model = model
        self.every = every
        self._pending: array.array[float] = array.array("d")
        self._n_pending = 0
        # Of the checkpoint in the store, and of the journal after it; no checkpoint is longer than any journal.
        self._checkpoint_bytes = 0
        self._journal_bytes = 0
        self._n_journal = 0
        self._n_entries = 0
        self._has_checkpoint = False

    def learn_one(self, x: Sequence[float], y: bool | float) -> None:
        """Learn one example and note it for the store.

        Raises
        ------
        InputRefused
            If the model refuses it; then it is not noted either.
        """
        self.model.learn_one(x, y)
        self._pending.extend(x)
        self._pending.append(y)
        self._n_pending += 1

    def changes(self) -> dict[str, bytes | None]:
        """What the store must change to have all that was learned: name -> bytes, or None to delete.

        Called once per batch, after it. What it gives must be stored, all of it or nothing; if it was not, drop this
        object and restore from the store. Empty if nothing was learned since the last call. The first call of a new
        model gives a checkpoint.
        """
        if not self._has_checkpoint:
            return self._checkpoint()
        if not self._n_pending:
            return {}
        if self._n_journal + self._n_pending >= self.every:
            return self._checkpoint()
        n_before = self.model.n_learned - self._n_pending
        n_features = len(self._pending) // self._n_pending - 1
        data = pack(_ENTRY_KIND, Entry(n_before, n_features, _little(self._pending).tobytes()))
        if self._journal_bytes + len(data) > self._checkpoint_bytes:
            return self._checkpoint()
        name = _name(self._n_entries)
        self._note(len(data), self._n_pending)
        self._drop_pending()
        return {name: data}

    def _checkpoint(self) -> dict[str, bytes | None]:
        data = pack(_CHECKPOINT_KIND, Checkpoint(self.model.n_learned, self.model.snapshot()))
        gone = [_name(i) for i in range(self._n_entries)]
        self._has_checkpoint, self._checkpoint_bytes = True, len(data)
        self._journal_bytes = self._n_journal = self._n_entries = 0
        self._drop_pending()
        return {CHECKPOINT: data, **dict.fromkeys(gone)}

    def _note(self, n_bytes: int, n_examples: int) -> None:
        self._journal_bytes += n_bytes
        self._n_journal += n_examples
        self._n_entries += 1

    def _drop_pending(self) -> None:
        self._pending = array.array("d")
        self._n_pending = 0

    @classmethod
    def restore(cls, model: type[M], fields: Mapping[str, bytes], *, every: int = EVERY) -> Journalled[M]:
        """The model as the store has it: the checkpoint, and the journal learned again.

        Parameters
        ----------
        model
            Class of the model.
        fields
            All fields of the store, in any order.
        every
            As for a new one; another number than before changes no number that is predicted.

        Raises
        ------
        SnapshotError
            If a field is missing, damaged, of another model, or not one of ours.
        """
        names = [_name(i) for i in range(len(fields) - 1)]
        if fields.keys() != {CHECKPOINT, *names}:
            raise SnapshotDamaged(
                f"journal: expected a checkpoint and entries in a row, got {_shown(fields)}; {_ADVICE}"
            )
        stored = unpack(_CHECKPOINT_KIND, fields[CHECKPOINT], Checkpoint)
        kept = cls(model.restore(stored.snapshot), every=every)
        if kept.model.n_learned != stored.n_learned:
            raise SnapshotDamaged(f"{CHECKPOINT}: counts {stored.n_learned} examples, its model others; {_ADVICE}")
        kept._has_checkpoint, kept._checkpoint_bytes = True, len(fields[CHECKPOINT])
        for name in names:
            kept._note(len(fields[name]), kept._learn_again(name, fields[name]))
        return kept

    def _learn_again(self, name: str, data: bytes) -> int:
        """Learn the examples of an entry; gives how many they are."""
        entry = unpack(_ENTRY_KIND, data, Entry)
        if entry.n_before != self.model.n_learned:
            raise SnapshotForeign(
                f"{name}: expected examples after the first {self.model.n_learned}, got those after {entry.n_before}; "
                f"{_ADVICE}"
            )
        width = entry.n_features + 1
        if width < 1 or not entry.numbers or len(entry.numbers) % (8 * width):
            raise SnapshotDamaged(f"{name}: expected examples of {width} numbers; {_ADVICE}")
        numbers = _little(array.array("d", entry.numbers)).tolist()
        for start in range(0, len(numbers), width):
            try:
                self.model.learn_one(numbers[start : start + width - 1], numbers[start + width - 1])
            except InputRefused as error:
                raise SnapshotDamaged(f"{name}: {error}; {_ADVICE}") from error
        return len(numbers) // width


def _name(number: int) -> str:
    return f"j{number:06d}"


def _shown(fields: Mapping[str, bytes]) -> str:
    names = sorted(fields)
    return ", ".join(names[:4]) + (f" and {len(names) - 4} more" if len(names) > 4 else "") if names else "nothing"


def _little(numbers: array.array[float]) -> array.array[float]:
    """The numbers in the order of bytes of the store, or from it."""
    if sys.byteorder == "little":
        return numbers
    turned = array.array("d", numbers)
    turned.byteswap()
    return turned
