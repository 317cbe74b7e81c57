"""Names of every key and field in Redis, built here and nowhere else."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote

from engine.errors import ConfigurationError

__all__ = ["BOARD_PREFIX", "CUSTOMER_PARTS", "Keys", "decode_id", "encode_id"]

BOARD_PREFIX = "risk:"
"""Prefix of the live board."""

CUSTOMER_PARTS = ("customer", "flags", "why", "profile", "history", "timeline")
"""The keys that belong to one customer, `<prefix><part>:<id>`."""

# What quote() never touches is A-Z a-z 0-9 _ . - ~ ; braces must not survive, they would choose a cluster slot.
_SAFE = ":@"
_PREFIX = re.compile(r"(?:[A-Za-z0-9_.~@%-]+:)+")


def encode_id(customer_id: str) -> str:
    """Any text as a part of a key: percent-encoded UTF-8, with `A-Za-z0-9_.~@:-` as they are.

    Examples
    --------
    >>> encode_id("anna@example.org"), encode_id("客 {1}")
    ('anna@example.org', '%E5%AE%A2%20%7B1%7D')
    """
    return quote(customer_id, safe=_SAFE)


def decode_id(text: str) -> str:
    """The text that `encode_id` was given.

    Raises
    ------
    ValueError
        If `encode_id` never writes this text (a raw `{`, a `%41`, bytes that are not UTF-8).

    Examples
    --------
    >>> decode_id(encode_id("客 {1}"))
    '客 {1}'
    """
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError as error:
        raise ValueError(f"expected percent-encoded UTF-8, got {text!r}") from error
    if encode_id(decoded) != text:
        raise ValueError(f"expected an encoded id such as {encode_id(decoded)!r}, got {text!r}")
    return decoded


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of the keys under one prefix.

    The ledger of the live board has no prefix (`henji:{3}:customers`); every other board's ledger has the board's, so
    that a replay, or a second deployment in the same Redis, never touches live state.

    Parameters
    ----------
    prefix
        Begins every key of the board; letters, digits and `_.~@%-`, in parts that each end in `:`.

    Raises
    ------
    ConfigurationError
        If the prefix holds anything else (braces, blanks and wildcards would change what commands do).

    Examples
    --------
    >>> Keys().customer("c1"), Keys().lane_customers(3)
    ('risk:customer:c1', 'henji:{3}:customers')
    >>> Keys.replay("2024-05").lane_customers(3)
    'replay:2024-05:henji:{3}:customers'
    """

    prefix: str = BOARD_PREFIX

    def __post_init__(self) -> None:
        if not _PREFIX.fullmatch(self.prefix):
            raise ConfigurationError(
                "redis.prefix: expected letters, digits and `_.~@%-` in parts that each end in `:` (risk:), "
                f"got {self.prefix!r}; choose another prefix"
            )
        if self.prefix.startswith("henji:"):
            raise ConfigurationError("redis.prefix: expected any prefix but `henji:`, which is the ledger's")

    @classmethod
    def replay(cls, run: str) -> Keys:
        """Keys of a replay, apart from everything live."""
        return cls(f"replay:{encode_id(run).replace(':', '%3A')}:")

    @property
    def is_live(self) -> bool:
        """Whether this is the live board under its usual prefix."""
        return self.prefix == BOARD_PREFIX

    @property
    def ledger_prefix(self) -> str:
        """What stands before `henji:` in the ledger's keys."""
        return "" if self.is_live else self.prefix

    def customer(self, customer_id: str) -> str:
        """Hash of a customer."""
        return self.part("customer", customer_id)

    def part(self, part: str, customer_id: str) -> str:
        """One of `CUSTOMER_PARTS` of a customer."""
        return f"{self.prefix}{part}:{encode_id(customer_id)}"

    def index(self, name: str) -> str:
        """Leaderboard."""
        return f"{self.prefix}index:{name}"

    @property
    def alerts(self) -> str:
        """Stream of alerts."""
        return f"{self.prefix}alerts"

    @property
    def wake(self) -> str:
        """Channel that says: there are new alerts."""
        return f"{self.prefix}alerts:wake"

    def alert(self, alert_id: str) -> str:
        """State of an open alert."""
        return f"{self.prefix}alert:{alert_id}"

    @property
    def facts(self) -> str:
        """Stream of what people said of alerts."""
        return f"{self.prefix}facts"

    def queue(self, name: str) -> str:
        """Open alerts: `open` or `held`."""
        return f"{self.prefix}queue:{name}"

    @property
    def guidance(self) -> str:
        """What to say and what not to."""
        return f"{self.prefix}guidance"

    def rule(self, flag: str) -> str:
        """How alerts of a rule fare."""
        return f"{self.prefix}rule:{encode_id(flag)}"

    def delivery(self, window: int) -> str:
        """What was delivered and held in a window that began at `window` ms of lane clock."""
        return f"{self.prefix}delivery:{window}"

    def model(self, name: str) -> str:
        """Metrics of a model."""
        return f"{self.prefix}model:{encode_id(name)}"

    def service(self, dimension: str, value: str) -> str:
        """How many turned to us about a category or in a channel."""
        return f"{self.prefix}service:{encode_id(dimension)}:{encode_id(value)}"

    @property
    def meta(self) -> str:
        """Facts about the board itself."""
        return f"{self.prefix}meta"

    def lane_customers(self, lane: int) -> str:
        """Ledger: memories."""
        return f"{self.ledger_prefix}henji:{{{lane}}}:customers"

    def lane_timers(self, lane: int) -> str:
        """Ledger: when each customer's next timer is due."""
        return f"{self.ledger_prefix}henji:{{{lane}}}:timers"

    def lane_record(self, lane: int) -> str:
        """Ledger: the lane's own state."""
        return f"{self.ledger_prefix}henji:{{{lane}}}:lane"

    def lane_models(self, lane: int) -> str:
        """Ledger: snapshots of the models."""
        return f"{self.ledger_prefix}henji:{{{lane}}}:models"

    @property
    def incidents(self) -> str:
        """Ledger: state of the fold that finds incidents, of the owner of partition 0."""
        return f"{self.ledger_prefix}henji:{{0}}:incidents"

    def outbox(self, topic: str, partition: int) -> str:
        """Ledger: records that are to be produced."""
        return f"{self.ledger_prefix}henji:{{0}}:outbox:{encode_id(topic)}:{partition}"

    def partition(self, topic: str, partition: int) -> str:
        """Ledger: the partition record, the guard of every transaction."""
        return f"{self.ledger_prefix}henji:{{0}}:partition:{encode_id(topic)}:{partition}"
