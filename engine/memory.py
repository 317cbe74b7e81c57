"""All that a lane remembers of one customer, and how it is stored.

The record is msgpack under a version and a checksum. Its bounds: at most `MAX_ITEMS` traces per machine of a rule, at
most `MAX_CATEGORIES` categories per rule, 32 arrivals, 20 timeline entries, `max_pending` examples, 30 days of scores.
Where a bound bites, `capped` says so, and the board shows it.
"""

from __future__ import annotations

import hashlib
import struct
import zlib
from typing import Any

import msgspec

from engine.contacts import Contacts
from engine.desk.tickets import Tickets
from engine.echo import Echo
from engine.episodes import Episodes
from engine.errors import CorruptState, StateIncompatible
from engine.features import Traits
from engine.flags.composite import CompositeState
from engine.flags.folded import FoldedState
from engine.flags.index import RuleIndex, StateKey
from engine.flags.override import Word
from engine.flags.score import OwnNormal, ScoreState
from engine.landmarks import Landmarks
from engine.rhythm import Rhythm
from engine.rules.condition import Scalar
from engine.service_counts import Counted
from engine.service_traits import ServiceTraits
from engine.timeline import Timeline

__all__ = ["ARRIVALS", "MAX_ATTRIBUTES", "MAX_CATEGORIES", "RECORD_VERSION", "Memory", "id_digest"]

RECORD_VERSION = 3
ARRIVALS = 32
"""Arrivals whose ids are remembered whatever else memory holds (design, section 3)."""

MAX_CATEGORIES = 64
"""Most machines of one rule, one per category; beyond it the one unused for longest is forgotten."""

MAX_ATTRIBUTES = 64
"""Most descriptive facts of a customer; beyond it new names are ignored."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


def id_digest(event_id: str) -> int:
    """64-bit digest of an event id.

    Examples
    --------
    >>> 0 <= id_digest("e1") < 2**64
    True
    """
    return int.from_bytes(hashlib.blake2b(event_id.encode(), digest_size=8).digest(), "little")


class Memory:
    """One customer.

    Attributes
    ----------
    customer_id
        The id as the events carry it.
    arrivals
        Digests of the ids of the last applied events, oldest first.
    first_seen, last_seen
        Event times of the oldest and newest applied event, ms.
    traits, rhythm, echo, service
        What the models see: own activity, its finer rhythm, answers and offers, service.
    attributes
        Descriptive facts.
    states, composites, scores
        Machines of the flags.
    normals
        The customer's own normal per score.
    overrides
        People's words, by (flag, category).
    episodes, contacts
        What consumers have been told.
    tickets
        The alerts as the desk sees them.
    counted
        What the sums of services have counted them for.
    timeline
        The scene.
    landmarks
        Training examples that wait.
    churn, engagement, contact, reasons
        The last scores and why.
    silence_step
        Number of the next silence landmark, from 0; `None`: none is due (no activity yet, all passed, or they have
        left).
    left_at
        Event time of the cancel or lapsed contract that was the last word, ms; `None`: they are with us.
    profile_at
        Event time of the newest profile, ms.
    history
        Day number -> [churn, engagement] of the last score of that day; at most 30.
    as_of
        Lane clock of the last change, ms.
    """

    __slots__ = (
        "_capped",
        "arrivals",
        "as_of",
        "attributes",
        "churn",
        "composites",
        "contact",
        "contacts",
        "counted",
        "customer_id",
        "echo",
        "engagement",
        "episodes",
        "first_seen",
        "history",
        "landmarks",
        "last_seen",
        "left_at",
        "normals",
        "overrides",
        "profile_at",
        "reasons",
        "rhythm",
        "scores",
        "service",
        "silence_step",
        "states",
        "tickets",
        "timeline",
        "traits",
    )

    def __init__(self, customer_id: str) -> None:
        self.customer_id = customer_id
        self.arrivals: list[int] = []
        self.first_seen = -1
        self.last_seen = -1
        self.traits = Traits()
        self.rhythm = Rhythm()
        self.echo = Echo()
        self.service = ServiceTraits()
        self.attributes: dict[str, Scalar] = {}
        self.states: dict[StateKey, FoldedState] = {}
        self.composites: dict[int, CompositeState] = {}
        self.scores: dict[int, ScoreState] = {}
        self.normals: dict[str, OwnNormal] = {}
        self.overrides: dict[tuple[str, str | None], list[Word]] = {}
        self.episodes = Episodes()
        self.contacts = Contacts()
        self.tickets = Tickets()
        self.counted = Counted()
        self.timeline = Timeline()
        self.landmarks = Landmarks()
        self.churn: float | None = None
        self.engagement: float | None = None
        self.contact: float | None = None
        self.reasons: list[list[Any]] = []
        self.silence_step: int | None = None
        self.left_at: int | None = None
        self.profile_at = -1
        self.history: dict[int, list[float]] = {}
        self.as_of = -1
        self.capped = False

    @property
    def capped(self) -> bool:
        """Whether a bound of memory ever bit."""
        return self._capped or self.contacts.capped

    @capped.setter
    def capped(self, value: bool) -> None:
        self._capped = value

    @property
    def segment(self) -> str | None:
        """The customer's segment: the descriptive fact of that name."""
        value = self.attributes.get("segment")
        return value if isinstance(value, str) else None

    @property
    def stage(self) -> str | None:
        """The customer's life stage: `lapsed` after a cancel or lapsed contract; else not known yet."""
        return "lapsed" if self.left_at is not None else None

    def knows(self, event_id: str) -> bool:
        """Whether the id is among the last arrivals or in what memory holds."""
        if id_digest(event_id) in self.arrivals:
            return True
        # All events are among the arrivals until the 33rd comes.
        return len(self.arrivals) >= ARRIVALS and any(state.has(event_id) for state in self.states.values())

    def heard(self, event_id: str) -> None:
        """Note the id of an applied event, which need not be a trace of the customer."""
        self.arrivals.append(id_digest(event_id))
        if len(self.arrivals) > ARRIVALS:
            del self.arrivals[0]

    def arrived(self, event_id: str, ts: int) -> None:
        """Note an applied trace."""
        self.heard(event_id)
        self.first_seen = ts if self.first_seen < 0 else min(self.first_seen, ts)
        self.last_seen = max(self.last_seen, ts)

    def fields(self) -> dict[str, Any]:
        """What the record holds, as plain data."""
        return {
            "customer_id": self.customer_id,
            "arrivals": b"".join(d.to_bytes(8, "little") for d in self.arrivals),
            "first_seen": self.first_seen,
            "last_seen": self.last_seen,
            "traits": self.traits.encode(),
            "rhythm": self.rhythm.encode(),
            "echo": self.echo.encode(),
            "service": self.service.encode(),
            "attributes": self.attributes,
            "states": [[n, c, s.base.encode(), s.items, s.capped] for (n, c), s in self.states.items()],
            "composites": [[n, c.encode()] for n, c in self.composites.items()],
            # In the order of the rules: those that are not up are not stored, and would come back behind the others.
            "scores": [[n, s.since, s.cause] for n, s in sorted(self.scores.items()) if s.since is not None],
            "normals": [[name, normal.encode()] for name, normal in self.normals.items()],
            "overrides": [[f, c, words] for (f, c), words in self.overrides.items()],
            "episodes": self.episodes.encode(),
            "contacts": self.contacts.encode(),
            "tickets": self.tickets.encode(),
            "counted": self.counted.encode(),
            "timeline": self.timeline.entries,
            "landmarks": self.landmarks.encode(),
            "churn": self.churn,
            "engagement": self.engagement,
            "contact": self.contact,
            "reasons": self.reasons,
            "silence_step": self.silence_step,
            "left_at": self.left_at,
            "profile_at": self.profile_at,
            "history": [[day, *scores] for day, scores in self.history.items()],
            "as_of": self.as_of,
            "capped": self.capped,
        }

    def encode(self) -> bytes:
        """The record for the ledger."""
        body = _encode(list(self.fields().values()))
        return bytes((RECORD_VERSION,)) + zlib.crc32(body).to_bytes(4, "little") + body

    @classmethod
    def decode(cls, data: bytes, indexes: dict[str | None, RuleIndex]) -> Memory:
        """The memory that `encode` wrote.

        Parameters
        ----------
        data
            The record.
        indexes
            Segment -> rules; `None` is the default.

        Raises
        ------
        StateIncompatible
            If another version wrote it.
        CorruptState
            If the bytes are not what was written.
        """
        if not data or data[0] != RECORD_VERSION:
            got = data[0] if data else "nothing"
            raise StateIncompatible(
                f"customer record: expected version {RECORD_VERSION}, got {got}; use the henji that wrote this ledger, "
                "or replay the log into a new one"
            )
        body = data[5:]
        if zlib.crc32(body).to_bytes(4, "little") != data[1:5]:
            raise CorruptState(
                "customer record: expected bytes that match their checksum, got others; restore the ledger from a "
                "backup or replay the log into a new one"
            )
        try:
            return cls._of(_decode(body), indexes)
        except (ValueError, TypeError, LookupError, AttributeError, OverflowError, struct.error) as error:
            raise CorruptState(
                f"customer record: expected the fields of version {RECORD_VERSION}, got {error}"
            ) from error

    @classmethod
    def _of(cls, fields: list[Any], indexes: dict[str | None, RuleIndex]) -> Memory:
        (
            customer_id, arrivals, first_seen, last_seen, traits, rhythm, echo, service, attributes, states, composites,
            scores, normals, overrides, episodes, contacts, tickets, counted, timeline, landmarks, churn, engagement,
            contact, reasons, silence_step, left_at, profile_at, history, as_of, capped,
        ) = fields  # fmt: skip
        memory = cls(customer_id)
        memory.arrivals = [int.from_bytes(arrivals[i : i + 8], "little") for i in range(0, len(arrivals), 8)]
        memory.first_seen, memory.last_seen = first_seen, last_seen
        memory.traits = Traits.decode(traits)
        memory.rhythm = Rhythm.decode(rhythm)
        memory.echo = Echo.decode(echo)
        memory.service = ServiceTraits.decode(service)
        memory.attributes = attributes
        index = indexes.get(memory.segment) or indexes[None]
        for number, category, base, items, state_capped in states:
            fold = index.decode_fold(number, base)
            memory.states[number, category] = FoldedState(fold, [tuple(i) for i in items], state_capped)
        for number, spans in composites:
            rule = index.rules[number]
            memory.composites[number] = CompositeState.decode(rule, spans)
        for number, since, cause in scores:
            memory.scores[number] = ScoreState(index.rules[number], since, cause)
        memory.normals = {name: OwnNormal.decode(normal) for name, normal in normals}
        memory.overrides = {(f, c): [Word(*w) for w in words] for f, c, words in overrides}
        memory.episodes = Episodes.decode(episodes)
        memory.contacts = Contacts.decode(contacts)
        memory.tickets = Tickets.decode(tickets)
        memory.counted = Counted.decode(counted)
        memory.timeline = Timeline(timeline)
        memory.landmarks = Landmarks.decode(landmarks)
        memory.churn, memory.engagement, memory.contact, memory.reasons = churn, engagement, contact, reasons
        memory.silence_step, memory.left_at, memory.profile_at = silence_step, left_at, profile_at
        memory.history = {day: [c, e] for day, c, e in history}
        memory.as_of, memory.capped = as_of, capped
        return memory
