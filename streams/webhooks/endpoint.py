"""What is known of a receiver, and which messages it wants."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from engine.duration import DAY_MS
from streams.webhooks.secret import SecretSource

__all__ = ["OPS", "Endpoint", "Filter", "SpoolLimits", "WebhookFile", "glob"]

OPS = ("raise", "update", "clear", "contact")
"""What a message may say."""


def glob(patterns: Sequence[str]) -> re.Pattern[str] | None:
    """A pattern that any of some texts matches whole, in which `*` stands for anything; `None` for no texts.

    Examples
    --------
    >>> routes = glob(["team:*", "agent:7"])
    >>> [bool(routes.fullmatch(route)) for route in ("team:a", "agent:7", "agent:77")]
    [True, True, False]
    """
    if not patterns:
        return None
    return re.compile("|".join(".*".join(re.escape(part) for part in pattern.split("*")) for pattern in patterns), re.S)


@dataclass(frozen=True, slots=True)
class Filter:
    """Which messages an endpoint wants; all conditions must hold.

    Parameters
    ----------
    flags, routes
        Patterns with `*`; empty: any.
    ops
        Of `OPS`.
    max_priority
        1 (only the most urgent) to 5 (all).
    include_held
        Whether also those that people are not shown.

    Examples
    --------
    >>> wants = Filter(flags=("sensitive*",), max_priority=2).wants
    >>> wants("sensitive", "raise", "", 2, ""), wants("sensitive", "raise", "", 3, "")
    (True, False)
    >>> wants("sensitive", "raise", "", 1, "snoozed")
    False
    """

    flags: tuple[str, ...] = ()
    ops: tuple[str, ...] = OPS
    routes: tuple[str, ...] = ()
    max_priority: int = 5
    include_held: bool = False
    _flags: re.Pattern[str] | None = field(init=False, repr=False, compare=False)
    _routes: re.Pattern[str] | None = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_flags", glob(self.flags))
        object.__setattr__(self, "_routes", glob(self.routes))

    def wants(self, flag: str, op: str, route: str, priority: int, held: str) -> bool:
        """Whether a message passes."""
        return (
            op in self.ops
            and (self.include_held or not held)
            and priority <= self.max_priority
            and (self._flags is None or self._flags.fullmatch(flag) is not None)
            and (self._routes is None or self._routes.fullmatch(route) is not None)
        )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A receiver of webhooks.

    Parameters
    ----------
    name
        Its name in the spool and in messages.
    url
        Where to.
    secrets
        Where the secrets are, at least one.
    wants
        Which messages.
    timeout_s
        For a whole attempt, from the look-up of the name to the answer; seconds.
    max_attempts, max_age_ms
        After so many attempts, or so long after it was queued, a message goes to the dead list.
    concurrency
        How many requests at a time, each of another alert.
    refused_is_final
        Whether an answer 4xx (but 408, 425, 429 and 410) sends a message to the dead list at once.
    allow_private, allow_insecure
        Whether private addresses, and http without TLS, are let through.
    ca
        File with the certificates that may have signed the receiver's; `None`: those of the system.
    """

    name: str
    url: str
    secrets: tuple[SecretSource, ...]
    wants: Filter = Filter()
    timeout_s: float = 10.0
    max_attempts: int = 100
    max_age_ms: int = 3 * DAY_MS
    concurrency: int = 4
    refused_is_final: bool = True
    allow_private: bool = False
    allow_insecure: bool = False
    ca: Path | None = None

    @property
    def origin(self) -> str:
        """Scheme, host and port: what may be shown. Path and query of a webhook are a secret with many receivers.

        Examples
        --------
        >>> Endpoint("crm", "https://crm.example:8443/T0K3N?key=1", ()).origin
        'https://crm.example:8443'
        """
        return "/".join(self.url.split("/", 3)[:3]).partition("?")[0]

    @property
    def mark(self) -> str:
        """Tells one URL from another without showing it: the origin, and a digest of the whole."""
        return f"{self.origin} {hashlib.sha256(self.url.encode()).hexdigest()[:16]}"


@dataclass(frozen=True, slots=True)
class SpoolLimits:
    """What the spool keeps.

    Parameters
    ----------
    known_ms
        How long the identities of messages are kept, so that one that comes again is dropped.
    keep_dead_ms
        How long the dead list keeps a message.
    max_messages
        With so many waiting, the stream is not read on.
    """

    known_ms: int = 7 * DAY_MS
    keep_dead_ms: int = 30 * DAY_MS
    max_messages: int = 200_000


@dataclass(frozen=True, slots=True)
class WebhookFile:
    """The content of webhooks.toml."""

    source: str
    endpoints: tuple[Endpoint, ...]
    limits: SpoolLimits
