"""The topics of a deployment as they should be.

| topic | keyed by | what it must be like |
|---|---|---|
| events | customer | partitions divide `lanes`; `LogAppendTime`; never compacted; kept for `kafka.retention` |
| dead, late | as the record | kept 7 days; room for every record of the events topic with its headers |
| alerts | customer | kept 7 days |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, Self

from engine.duration import DAY_MS
from engine.errors import ConfigurationError
from streams.kafka.connection import TopicNames
from streams.kafka.dead_letter import MAX_LETTER_BYTES
from streams.settings import Settings

__all__ = ["EVENTS_MAX_BYTES", "LETTER_RETENTION_MS", "Layout", "Topic"]

EVENTS_MAX_BYTES = 1_048_588
"""`max.message.bytes` of the events topic: Kafka's own default, written down so that the letters' can be compared."""

LETTER_RETENTION_MS = 7 * DAY_MS
"""How long letters and alerts are kept: a week to look at them, no longer, since letters hold what customers did."""


class Topic(NamedTuple):
    """A topic as it should be.

    Parameters
    ----------
    role
        `events`, `dead`, `late` or `alerts`.
    name
        As Kafka knows it.
    partitions, replication
        How many, and how many copies of each.
    config
        What differs from the broker's defaults, or must not depend on them.
    """

    role: str
    name: str
    partitions: int
    replication: int
    config: Mapping[str, str]


class Layout(NamedTuple):
    """The topics of a deployment.

    Parameters
    ----------
    lanes
        Of the deployment; a multiple of the partitions of the events topic.
    topics
        As they should be, the events topic first.

    Examples
    --------
    >>> from streams.settings import load_settings
    >>> layout = Layout.of(load_settings(None, {}, [("kafka.partitions", "4", "--set")]))
    >>> [(topic.name, topic.partitions) for topic in layout.topics]
    [('events', 4), ('events.dead', 4), ('events.late', 4)]
    """

    lanes: int
    topics: tuple[Topic, ...]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The layout that the settings ask for.

        Raises
        ------
        ConfigurationError
            If the partitions do not divide the lanes, or two topics have one name.
        """
        lanes, partitions = settings["lanes"], settings["kafka.partitions"]
        if lanes % partitions:
            raise ConfigurationError(
                f"kafka.partitions ({settings.origins['kafka.partitions']}): expected a divisor of lanes, "
                f"{lanes}, so that a partition carries whole lanes, got {partitions}"
            )
        names = TopicNames.of(settings)
        by_role = {"events": names.events, "dead": names.dead, "late": names.late, "alerts": names.alerts}
        given = [name for name in by_role.values() if name]
        if len(set(given)) < len(given):
            raise ConfigurationError(
                f"kafka.topic, kafka.dead, kafka.late, kafka.alerts: expected a name for each, got {', '.join(given)}"
            )
        retention = settings["kafka.retention"]
        copies = settings["kafka.replication"]
        # With one of three brokers away the topics still take records, and what is acknowledged is on two.
        safe = {"min.insync.replicas": "2"} if copies >= 3 else {}
        # Letters keep the partition of their record: keyed alike, one customer's stay in order.
        letters = {"max.message.bytes": str(MAX_LETTER_BYTES)} | _kept(LETTER_RETENTION_MS) | safe
        configs: dict[str, dict[str, str]] = {
            "events": {
                "message.timestamp.type": "LogAppendTime",
                "max.message.bytes": str(EVENTS_MAX_BYTES),
                **_kept(-1 if retention is None else retention),
                **safe,
            },
            "dead": letters,
            "late": letters,
            "alerts": _kept(LETTER_RETENTION_MS) | safe,
        }
        return cls(lanes, tuple(Topic(r, name, partitions, copies, configs[r]) for r, name in by_role.items() if name))

    def topic(self, role: str) -> Topic | None:
        """The topic of a role, if there is to be one."""
        return next((topic for topic in self.topics if topic.role == role), None)


def _kept(retention_ms: int) -> dict[str, str]:
    return {"cleanup.policy": "delete", "retention.ms": str(retention_ms)}
