"""Which flags are up, kept from a snapshot of the board and the alerts since."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from engine.contacts import CONTACT_FLAG
from engine.errors import CorruptState
from streams.redis.desk_views import INCIDENT_FLAG
from streams.redis.views import AlertView, FlagView

__all__ = ["FoldStep", "Folded", "FoldedFlag", "Snapshot"]

_NO_FLAGS = (CONTACT_FLAG, INCIDENT_FLAG)


@dataclass(frozen=True, slots=True)
class FoldedFlag:
    """A flag that is up, as its newest message or the snapshot says; fields as `views.FlagView`."""

    customer_id: str
    flag: str
    category: str | None
    since: int
    until: int | None
    count: int
    severity: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The flags of all customers, read one after the other after `position`.

    Parameters
    ----------
    position
        Id of the newest entry of the alert stream before the first flag was read; `0-0` when there was none.
    mark
        What that entry is (`AlertView.identity`), `None` when there was none.
    flags
        Alert id -> (customer id, flag as on the board). Whether it is up, `FlagView.up` says.
    watermarks
        Lane -> event time, ms, of the moment of `position`.
    """

    position: str
    mark: tuple[int, str, int] | None
    flags: dict[str, tuple[str, FlagView]]
    watermarks: dict[int, int]


@dataclass(slots=True)
class Folded:
    """The flags that are up at a place of the alert stream, contact and incident alerts apart.

    `RiskBoard.fold` makes it and brings it forward. It may be kept anywhere (`dump`), at any moment, or never: from an
    old one, and from none, folding ends with the same flags.

    Parameters
    ----------
    position
        Id of the newest entry that is folded in; `0-0` before the first.
    mark
        What that entry is. A stream that was emptied and written anew may use an id again.
    flags
        Alert id -> flag.

    Examples
    --------
    >>> Folded.load(Folded("5-1", (0, "00ff", 7)).dump())
    Folded(position='5-1', mark=(0, '00ff', 7), flags={})
    """

    position: str = "0-0"
    mark: tuple[int, str, int] | None = None
    flags: dict[str, FoldedFlag] = field(default_factory=dict)

    @classmethod
    def of(cls, snapshot: Snapshot) -> Folded:
        """The flags of a snapshot, which may already hold what messages after its position say."""
        flags = {
            alert_id: FoldedFlag(who, f.flag, f.category, f.since, f.until, f.count, f.severity)
            for alert_id, (who, f) in snapshot.flags.items()
        }
        return cls(snapshot.position, snapshot.mark, flags)

    def take(self, message: AlertView) -> None:
        """Fold in the message that follows in the stream.

        The newest message of an alert decides, whatever came before it: what the snapshot already held, or a message
        that comes again, changes nothing in the end. That a message is `held` from people does not matter here.
        """
        line = message.line
        if line["flag"] not in _NO_FLAGS:
            if line["op"] == "clear":
                self.flags.pop(message.alert_id, None)
            else:
                self.flags[message.alert_id] = _flag_of(line)
        self.position, self.mark = message.stream_id, message.identity

    def of_customer(self, customer_id: str) -> dict[str, FoldedFlag]:
        """Alert id -> flag of one customer; looks at all flags."""
        return {alert_id: flag for alert_id, flag in self.flags.items() if flag.customer_id == customer_id}

    def dump(self) -> bytes:
        """It as JSON, for `load`."""
        flags = {alert_id: list(asdict(flag).values()) for alert_id, flag in self.flags.items()}
        return orjson.dumps({"position": self.position, "mark": self.mark, "flags": flags})

    @classmethod
    def load(cls, data: bytes) -> Folded:
        """What `dump` gave.

        Raises
        ------
        CorruptState
            If it is not that; go on without it.
        """
        try:
            told = orjson.loads(data)
            flags = {alert_id: FoldedFlag(*values) for alert_id, values in told["flags"].items()}
            mark = None if told["mark"] is None else _mark(*told["mark"])
            return cls(str(told["position"]), mark, flags)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise CorruptState(
                f"folded flags: expected what Folded.dump wrote, got {type(error).__name__}: {error}; begin without it"
            ) from error


@dataclass(frozen=True, slots=True)
class FoldStep:
    """One step of folding.

    Parameters
    ----------
    state
        The flags after it; hand it to the next step.
    messages
        What was folded in, in order; none when it is a snapshot.
    anew
        Whether it began anew with a snapshot: there was no state, or its place is not in the stream any more. While
        the stream is empty each step does.
    came, went
        Alert id -> flag that is up now and was not before, and the other way round.
    more
        Whether to fold again at once: the stream has more, or may have got more while a snapshot was read.
    """

    state: Folded
    messages: list[AlertView]
    anew: bool
    came: dict[str, FoldedFlag]
    went: dict[str, FoldedFlag]
    more: bool


def _flag_of(line: Mapping[str, Any]) -> FoldedFlag:
    return FoldedFlag(
        line["customer_id"],
        line["flag"],
        line["category"],
        line["since"],
        line["until"],
        line["count"],
        line["severity"],
    )


def _mark(lane: int, alert_id: str, seq: int) -> tuple[int, str, int]:
    return int(lane), str(alert_id), int(seq)
