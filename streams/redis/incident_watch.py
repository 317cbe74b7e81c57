"""Runs the fold of `engine.incident` over the board's totals and tells the board of what it finds.

One process at a time does so, the owner of partition 0, under the guard of its partition record. State, messages, the
state of the alerts and the queue go out in one transaction: a crash between any two of them cannot be, and what was
told is not told again.

A bucket is judged when every lane clock has passed its end by `settle_ms`. A lane without a clock has no customers
yet: it holds nothing up once its worker says that its input is `fresh`, so that a partition that is still to be read is
waited for. Days that the lane that is furthest may have removed are not known: they are skipped, and are no zeros.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from typing import Final

from redis.exceptions import WatchError

from engine.desk import Desk
from engine.desk.ticket import queue_score
from engine.duration import DAY_MS
from engine.incident import (
    INCIDENT_FLAG,
    INCIDENT_LANE,
    INCIDENT_PRIORITY,
    Incident,
    IncidentMessage,
    Incidents,
    IncidentSettings,
)
from engine.service_counts import (
    BOOK,
    BUCKET_MS,
    BUCKETS_A_DAY,
    KEPT_DAYS,
    Value,
    day_name,
    read_buckets,
    values_in,
)
from streams.redis.catalogue import ALERTS_MAX, INPUT_STALE_MS, TTL_S
from streams.redis.client import Command, RedisClient, RedisPipeline, talking
from streams.redis.keys import Keys
from streams.redis.transaction import execute_watched

__all__ = ["ATTEMPTS", "IncidentWatch", "incident_settings"]

ATTEMPTS: Final = 5
"""A commit between our look and our write makes us look again; after so many, the next look is soon."""

_LOG = logging.getLogger(__name__)

_FIELDS_A_READ: Final = 20_000


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


def _nobody(dimension: str, value: str) -> str:
    return ""


def incident_settings(desk: Desk) -> IncidentSettings:
    """What desk.toml says of incidents."""
    rule = desk.incident
    return IncidentSettings(rule.min_customers, rule.max_chance, rule.min_history_ms)


class IncidentWatch:
    """Looks at the totals of a board now and then.

    Wrong after somebody else wrote `service:*`: what they wrote is what is seen.

    Parameters
    ----------
    client
        From `client.connect`, not used by another thread meanwhile; it is not closed.
    keys
        Names of the keys.
    lanes
        Of the deployment.
    settle_ms
        How far every lane clock must be past the end of a bucket before it is judged. What still comes for it then is
        in the sums, and in the normals of later days, but is not judged any more. With the lateness of the lanes
        nothing can come: so a replay, which is in no hurry, depends on no batches.
    settings
        When something is an incident.
    owner
        Dimension and value -> who is told, or empty.
    now_ms
        Wall clock, ms: how old is what a worker said of its input.

    Examples
    --------
    >>> from streams.redis.embedded import EmbeddedRedis
    >>> with EmbeddedRedis() as server:
    ...     client = server.client()
    ...     watch = IncidentWatch(client, Keys(), lanes=8, settle_ms=120_000)
    ...     print(watch.look("1:ab", "henji:{0}:partition:events:0"))
    ...     client.close()
    []
    """

    def __init__(
        self,
        client: RedisClient,
        keys: Keys,
        *,
        lanes: int,
        settle_ms: int,
        settings: IncidentSettings | None = None,
        owner: Callable[[str, str], str] = _nobody,
        now_ms: Callable[[], int] = _wall_ms,
    ) -> None:
        self._client = client
        self._keys = keys
        self._lanes = range(lanes)
        self._behind_ms = settle_ms
        self._settings = settings or IncidentSettings()
        self._owner = owner
        self._now_ms = now_ms
        # What we left in Redis, and the fold that goes with it; `None`: both have to be read.
        self._left: bytes | None = None
        self._incidents: Incidents | None = None
        self._oldest_day = 0

    def look(self, owner_token: str, partition_key: str, *, complete: bool = False) -> list[IncidentMessage]:
        """Look at the buckets that have become complete, and tell of what is unusual; blocks for answers of Redis.

        Parameters
        ----------
        owner_token
            What `RedisLedger.claim` gave for partition 0.
        partition_key
            Of its partition record, `Keys.partition(topic, 0)`.
        complete
            The input has come to its end: no lane holds anything up any more.

        Returns
        -------
        list of IncidentMessage
            What was told just now; none when the partition is another's.

        Raises
        ------
        StoreUnavailable
            If Redis does not answer; the same call may be made again.
        CorruptState
            If our state is damaged.
        """
        with talking(f"incidents ({partition_key})"):
            for _ in range(ATTEMPTS):
                try:
                    return self._attempt(owner_token, partition_key, complete)
                except WatchError:
                    self._incidents = None
                except BaseException:
                    # Whether it was written is not known; the fold may be ahead of it.
                    self._incidents = None
                    raise
        return []

    # -- how far -------------------------------------------------------------------------------------------------

    def _complete_to(self, complete: bool) -> tuple[int, int] | None:
        """The bucket after the last complete one, and the oldest day of which every lane still has its fields."""
        names = ("watermark", "input", "input_at")
        fields = [f"{name}:{lane}" for name in names for lane in self._lanes]
        said: list[bytes | None] = self._client.execute_command("HMGET", self._keys.meta, *fields)
        n = len(self._lanes)
        clocks: list[int] = []
        for watermark, state, at in zip(said[:n], said[n : 2 * n], said[2 * n :], strict=True):
            if watermark is not None and int(watermark) >= 0:
                clocks.append(int(watermark))
            elif not complete and (state != b"fresh" or self._now_ms() - int(at or 0) > INPUT_STALE_MS):
                return None
        if not clocks:
            return None
        ahead = max(clocks)
        # The bucket at the end of the input has not ended.
        passed = ahead if complete else min(clocks) - self._behind_ms
        return passed // BUCKET_MS, ahead // DAY_MS - KEPT_DAYS

    # -- one look ------------------------------------------------------------------------------------------------

    def _attempt(self, owner_token: str, partition_key: str, complete: bool) -> list[IncidentMessage]:
        found = self._complete_to(complete)
        if found is None or not owner_token:
            return []
        until, oldest_day = found
        if self._incidents is not None and self._incidents.next is not None and self._incidents.next >= until:
            return []
        pipe: RedisPipeline = self._client.pipeline()
        try:
            pipe.watch(partition_key, self._keys.incidents)
            owner: bytes | None = pipe.execute_command("HGET", partition_key, "owner")
            state: bytes | None = pipe.execute_command("GET", self._keys.incidents)
            if owner != owner_token.encode():
                self._incidents = None
                return []
            incidents = self._read(state, until, oldest_day)
            if incidents is None or incidents.next is None or incidents.next >= until:
                return []
            messages = self._fold(incidents, until)
            left = incidents.encode()
            commands = self._commands(incidents, messages, left)
            replies = execute_watched(pipe, commands)
            self._left = left
        finally:
            pipe.reset()
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, Exception):
                # Inside EXEC nothing is undone; alert and queue are written again with the next bucket.
                _LOG.warning("%s: expected Redis to write it, got %s; see `henji verify`", command[1], reply)
        return messages

    def _fold(self, incidents: Incidents, until: int) -> list[IncidentMessage]:
        assert incidents.next is not None
        begin = incidents.next
        values = self._values()
        # A value that is new to us may have a past on the board.
        new = [value for value in values if value not in incidents.values]
        if new:
            first_day = max(begin // BUCKETS_A_DAY - self._settings.history_days - 1, self._oldest_day)
            for value, bucket, customers in self._totals(new, first_day * BUCKETS_A_DAY, begin):
                incidents.remember(value, bucket, customers)
        coming: dict[int, dict[Value, int]] = {}
        for value, bucket, customers in self._totals(values, begin, until):
            coming.setdefault(bucket, {})[value] = customers
        messages: list[IncidentMessage] = []
        for bucket in range(begin, until):
            messages += incidents.take(bucket, coming.get(bucket, {}))
        return messages

    # -- reading -------------------------------------------------------------------------------------------------

    def _read(self, state: bytes | None, until: int, oldest_day: int) -> Incidents | None:
        """The fold as it was left, with what it has to remember; `None` while nobody ever turned to us."""
        self._oldest_day = max(oldest_day, 0)
        oldest = self._oldest_day * BUCKETS_A_DAY
        incidents = self._incidents
        if incidents is None or state is None or state != self._left:
            incidents = Incidents(self._settings, state)
        if incidents.next is None:
            first = min((bucket for _, bucket, _ in self._totals(self._values(), oldest, until)), default=None)
            if first is None:
                return None
            incidents.skip_to(first // BUCKETS_A_DAY * BUCKETS_A_DAY)
        elif incidents.next < oldest:
            incidents.skip_to(oldest)
        self._incidents = incidents
        return incidents

    def _values(self) -> list[Value]:
        """Values that any lane knows."""
        pipe: RedisPipeline = self._client.pipeline(transaction=False)
        for lane in self._lanes:
            pipe.execute_command("HGET", self._keys.lane_models(lane), BOOK)
        return sorted({value for book in pipe.execute() if book is not None for value in values_in(book)})

    def _totals(self, values: Sequence[Value], begin: int, end: int) -> Iterable[tuple[Value, int, int]]:
        """Value, bucket and customers over all lanes, of the buckets from `begin` to before `end` that have any."""
        if begin >= end:
            return
        days = range(begin // BUCKETS_A_DAY, (end - 1) // BUCKETS_A_DAY + 1)
        fields = [(day, f"{day_name(day)}:{lane}") for day in days for lane in self._lanes]
        n_at_once = max(1, _FIELDS_A_READ // len(fields))
        for start in range(0, len(values), n_at_once):
            page = values[start : start + n_at_once]
            pipe: RedisPipeline = self._client.pipeline(transaction=False)
            for value in page:
                pipe.execute_command("HMGET", self._keys.service(*value), *(name for _, name in fields))
            for value, texts in zip(page, pipe.execute(), strict=True):
                customers: dict[int, int] = {}
                for (day, _), text in zip(fields, texts, strict=True):
                    if text is not None:
                        _add(customers, day, text)
                for bucket, n in customers.items():
                    if begin <= bucket < end:
                        yield value, bucket, n

    # -- writing -------------------------------------------------------------------------------------------------

    def _commands(self, incidents: Incidents, messages: Sequence[IncidentMessage], state: bytes) -> list[Command]:
        keys = self._keys
        commands: list[Command] = [("SET", keys.incidents, state)]
        commands += [self._message(message) for message in messages]
        ended = {message.incident.alert_id: message for message in messages if message.op == "clear"}
        for message in ended.values():
            commands += self._alert(message.incident, message.at)
        for incident in incidents.open.values():
            commands += self._alert(incident, None)
        gone = [keys.alert(alert_id) for alert_id in incidents.take_forgotten()]
        if gone:
            commands.append(("UNLINK", *gone))
        if messages:
            commands.append(("PUBLISH", keys.wake, str(len(messages))))
        return commands

    def _message(self, message: IncidentMessage) -> Command:
        incident = message.incident
        fields: dict[str, str | bytes] = {
            "alert_id": incident.alert_id,
            "seq": str(message.seq),
            "lane": str(INCIDENT_LANE),
            "line": message.line(),
            "priority": str(INCIDENT_PRIORITY),
            "route": self._owner(incident.dimension, incident.value),
            "scene": "[]",
            "held": "",
            "guidance": "",
        }
        return ("XADD", self._keys.alerts, "MAXLEN", "~", ALERTS_MAX, "*", *chain.from_iterable(fields.items()))

    def _alert(self, incident: Incident, closed_at: int | None) -> list[Command]:
        """State of an incident, and its place in the queue."""
        key, queue = self._keys.alert(incident.alert_id), self._keys.queue("open")
        fields = {
            "customer_id": "",
            "flag": INCIDENT_FLAG,
            "since": str(incident.since),
            "count": str(incident.count),
            "severity": incident.severity,
            "updated_at": str((incident.bucket + 1) * BUCKET_MS),
            "lane": str(INCIDENT_LANE),
            "priority": str(INCIDENT_PRIORITY),
            "route": self._owner(incident.dimension, incident.value),
            "held": "",
            "guidance": "",
        }
        fields["service"] = f"{incident.dimension}:{incident.value}"
        if incident.category is not None:
            fields["category"] = incident.category
        place: Command = ("ZADD", queue, queue_score(INCIDENT_PRIORITY, incident.since), incident.alert_id)
        if closed_at is not None:
            fields |= {"until": str(closed_at), "closed_at": str(closed_at)}
            place = ("ZREM", queue, incident.alert_id)
        return [("HSET", key, *chain.from_iterable(fields.items())), ("EXPIRE", key, TTL_S), place]


def _add(customers: dict[int, int], day: int, text: bytes) -> None:
    try:
        buckets = read_buckets(text.decode())
    except ValueError:
        # Somebody else's: `henji verify` tells which key.
        _LOG.warning("service: expected a day of a lane on the board, got something else; see `henji verify`")
        return
    for bucket, count in buckets.items():
        at = day * BUCKETS_A_DAY + bucket
        customers[at] = customers.get(at, 0) + count.customers
