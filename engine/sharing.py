"""How a lane takes part in exchanges: lanes learn from different customers, and tell each other what they learned.

An exchange goes through the log. A `merge` tells a lane to hand out what it has learned itself, as a `model` record for
every other lane; a lane that has handed out and has the records of all others of the same epoch merges them
(`models.exchange`). A later epoch makes an earlier one that is unfinished void. Epochs are times, ms: the full interval
that the exchange is for.

Both kinds say nothing about the time of the lane that gets them: they are never late and do not move its clock, or a
record from a lane that is ahead would make the events late that come after it.

What does not fit is counted in the lane's tallies and changes nothing:

    shared           exchanges merged
    share_void       exchanges that a later one overtook
    share_stale      orders and states of an exchange that is over
    share_repeated   a state of a sender of whom there is one of that epoch or a later one
    share_bad        orders and states that nobody of this deployment can have sent
    share_foreign    learners of a state that have another recipe or other features here
    share_alone      orders to the only lane, or in a deployment of more than `MAX_LANES`
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from engine.errors import CorruptState
from engine.event import Event
from engine.scoring import LaneModels
from models.errors import SnapshotError
from models.exchange import Foreign, Knowledge, Learned, fits, is_sound, merge, own, read_knowledge
from models.snapshot import pack, unpack

__all__ = ["MAX_LANES", "Sharing", "is_exchange", "merge_order"]

MAX_LANES: Final = 64
"""Most lanes that exchange: every one writes 15 kB to every other, 64 lanes 60 MB an exchange, and each lane keeps the
states of all others until it merges."""

_BOOK: Final = "share.book"
_TOLD: Final = "share.told"
_FROM: Final = "share.from."
_KIND: Final = "share_book"


class _Book(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """Epochs handed out for and merged, -1 before the first; per learner, what came from others."""

    told: int = -1
    merged: int = -1
    foreign: dict[str, Foreign] = {}


def is_exchange(event: Event) -> bool:
    """Whether a lane control event belongs to an exchange: a `merge`, or a `model` that carries a state."""
    return event.kind == "merge" or (event.kind == "model" and isinstance(event.body, dict) and "state" in event.body)


def merge_order(epoch: int, lane: int, lanes: int, ts: int) -> Event:
    """The event that tells a lane to hand out.

    Parameters
    ----------
    epoch
        The exchange, ms; at most `ts`.
    lane, lanes
        To whom.
    ts
        Time of the event, ms; it does not move the lane's clock.
    """
    return Event(f"share:{epoch}:{lane}", None, ts, "merge", body={"epoch": epoch}, lane=lane, lanes=lanes)


class Sharing:
    """The part of a lane's state that exchanges need.

    Parameters
    ----------
    lane, lanes
        Which lane it is, and how many there are.
    models
        What the lane has learned.
    tally
        Called with the name of what is worth counting.

    Attributes
    ----------
    outgoing
        Records for other lanes, made since they were last taken.
    """

    def __init__(self, lane: int, lanes: int, models: LaneModels, tally: Callable[[str], None]) -> None:
        self._lane = lane
        self._lanes = lanes
        self._models = models
        self._tally = tally
        self._book = _Book()
        self._told: Knowledge | None = None
        self._received: dict[int, tuple[int, bytes]] = {}
        self._changed: dict[str, None] = {}
        self.outgoing: list[Event] = []

    @property
    def told(self) -> int:
        """Epoch of the last exchange that the lane has handed out for, ms; -1 before the first."""
        return self._book.told

    # -- exchanging --------------------------------------------------------------------------------------------

    def take(self, event: Event, *, unused: bool) -> None:
        """Take an event of an exchange; whatever is in it, nothing is raised.

        Parameters
        ----------
        event
            For this lane.
        unused
            The lane never had an event. Nobody writes a `merge` for such a lane, which has no clock to go by: the first
            state of another tells it to hand out.
        """
        body = event.body if isinstance(event.body, dict) else {}
        epoch = body.get("epoch")
        if type(epoch) is not int or not 0 <= epoch <= event.ts:
            self._tally("share_bad")
        elif not 1 < self._lanes <= MAX_LANES:
            self._tally("share_alone")
        elif event.kind == "merge":
            if epoch > self._book.told:
                self._tell(epoch, event.ts)
                self._merge()
            else:
                self._tally("share_stale")
        else:
            self._receive(epoch, body, event.ts, unused)

    def _tell(self, epoch: int, ts: int) -> None:
        book = self._book
        if book.told > book.merged:
            self._tally("share_void")
        book.told = epoch
        learners: dict[str, Learned] = {}
        for name, sharer in self._models.sharers().items():
            mine = own(sharer.tell(), book.foreign.get(name, Foreign()))
            if is_sound(mine):
                learners[name] = mine
        self._told = Knowledge(epoch, self._lane, learners)
        self._forget(epoch - 1)
        self._change(_BOOK, _TOLD)
        state = b64encode(self._told.encode()).decode()
        self.outgoing += [
            Event(
                f"model:{epoch}:{self._lane}:{to}", None, ts, "model",
                body={"epoch": epoch, "from": self._lane, "state": state}, lane=to, lanes=self._lanes,
            )
            for to in range(self._lanes)
            if to != self._lane
        ]  # fmt: skip

    def _receive(self, epoch: int, body: Mapping[str, Any], ts: int, unused: bool) -> None:
        sender, state = body.get("from"), body["state"]
        if type(sender) is not int or not 0 <= sender < self._lanes or sender == self._lane or type(state) is not str:
            self._tally("share_bad")
            return
        if epoch < self._book.told or epoch <= self._book.merged:
            self._tally("share_stale")
            return
        if sender in self._received and self._received[sender][0] >= epoch:
            self._tally("share_repeated")
            return
        try:
            data = b64decode(state, validate=True)
            knowledge = read_knowledge(data)
        except (ValueError, SnapshotError):
            self._tally("share_bad")
            return
        if (knowledge.epoch, knowledge.sender) != (epoch, sender):
            self._tally("share_bad")
            return
        self._received[sender] = (epoch, data)
        self._change(f"{_FROM}{sender}")
        if unused and epoch > self._book.told:
            self._tell(epoch, ts)
        self._merge()

    def _merge(self) -> None:
        """Merge, once all others have told what this lane has told."""
        book, told = self._book, self._told
        if told is None or book.merged >= book.told or len(self._received) < self._lanes - 1:
            return
        if any(epoch != book.told for epoch, _ in self._received.values()):
            return
        states = [read_knowledge(data) for _, (_, data) in sorted(self._received.items())]
        sharers = self._models.sharers()
        for name, mine in told.learners.items():
            before = self._fitting(name, mine, [state for state in states if state.sender < self._lane])
            after = self._fitting(name, mine, [state for state in states if state.sender > self._lane])
            sharer = sharers[name]
            merged = merge(sharer.tell(), book.foreign.get(name, Foreign()), mine, before, after)
            sharer.adopt(merged.learned)
            book.foreign[name] = merged.foreign
        self._models.adopted(told.learners)
        book.merged = book.told
        self._told = None
        self._forget(book.merged)
        self._change(_BOOK, _TOLD)
        self._tally("shared")

    def _fitting(self, name: str, mine: Learned, states: list[Knowledge]) -> list[Learned]:
        found: list[Learned] = []
        for state in states:
            theirs = state.learners.get(name)
            if theirs is not None and fits(mine, theirs):
                found.append(theirs)
            else:
                self._tally("share_foreign")
        return found

    def _forget(self, epoch: int) -> None:
        """Forget what others have told up to an epoch."""
        for sender in [s for s, (of, _) in self._received.items() if of <= epoch]:
            del self._received[sender]
            self._change(f"{_FROM}{sender}")

    def _change(self, *parts: str) -> None:
        for part in parts:
            self._changed[part] = None

    # -- storing -----------------------------------------------------------------------------------------------

    def snapshots(self) -> dict[str, bytes | None]:
        """Name and bytes of the parts that changed since the last call; `None` deletes a part."""
        parts = self._parts() if self._changed else {}
        changed, self._changed = sorted(self._changed), {}
        return {name: parts.get(name) for name in changed}

    def _parts(self) -> dict[str, bytes]:
        if self._book.told < 0 and not self._received:
            return {}
        parts = {_BOOK: pack(_KIND, self._book)}
        if self._told is not None:
            parts[_TOLD] = self._told.encode()
        return parts | {f"{_FROM}{sender}": data for sender, (_, data) in sorted(self._received.items())}

    def restore(self, snapshots: Mapping[str, bytes]) -> None:
        """Take over what `snapshots` gave, all of its calls together; parts of other names are not looked at.

        Raises
        ------
        CorruptState
            If a part is damaged or of another schema.
        """
        try:
            if _BOOK in snapshots:
                self._book = unpack(_KIND, snapshots[_BOOK], _Book)
            if _TOLD in snapshots:
                self._told = read_knowledge(snapshots[_TOLD])
            for name, data in snapshots.items():
                if name.startswith(_FROM):
                    self._received[int(name[len(_FROM) :])] = (read_knowledge(data).epoch, data)
        except (SnapshotError, ValueError) as error:
            raise CorruptState(
                f"exchange of models: expected what this henji wrote, got {error}; restore the ledger from a backup or "
                "replay the log into a new one"
            ) from error

    def digest(self) -> bytes:
        """SHA-256 of everything here; empty while there was no exchange."""
        parts = self._parts()
        if not parts:
            return b""
        sha = hashlib.sha256()
        for name in sorted(parts):
            sha.update(f"{name}\0".encode() + parts[name])
        return sha.digest()
