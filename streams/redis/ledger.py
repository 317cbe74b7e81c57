"""The ledger in Redis: one guarded transaction per batch, with the board and the alerts in it."""

from __future__ import annotations

import logging
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import islice
from typing import Any

from redis.exceptions import RedisError

from engine.errors import HenjiError, LedgerConflict, StateIncompatible
from engine.incident import INCIDENT_LANE, IncidentMessage, IncidentSettings
from engine.outcome import BoardRows, Outcome
from streams.ledger import NOTHING_OUT, Binding, LaneState, Outbox, PartitionRecord, Position
from streams.redis.board_writer import BoardMeta, BoardWriter
from streams.redis.catalogue import MODEL_FIELDS, QUEUES
from streams.redis.client import Command, RedisClient, RedisPipeline, talking
from streams.redis.incident_watch import IncidentWatch
from streams.redis.keys import Keys
from streams.redis.ledger_writer import lane_types, ledger_commands
from streams.redis.partition_record import (
    GUARD_FIELDS,
    Guard,
    decode_guard,
    decode_partition,
    encode_partition,
    next_owner,
)
from streams.redis.repairs import BoardRepairs, expected_types
from streams.redis.retrying import Backoff, Retrying
from streams.redis.transaction import execute_watched

__all__ = ["RedisLedger"]

_LOG = logging.getLogger(__name__)

_LOAD_PAGE = 1_000
_TIMER_PAGE = 10_000
_FORGET_PAGE = 500


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000


class RedisLedger:
    """State, position, board and alerts of one partition, moved together by one transaction per batch.

    Wrong on a Redis Cluster, and on a Redis that evicts or keeps no append-only log: see `policy.check_policy`.

    Parameters
    ----------
    client
        From `client.connect`; the ledger does not close it.
    binding
        The partition and its lanes.
    meta
        What the board says about its writer.
    keys
        Names of the keys; a replay gives `Keys.replay(run)`.
    backoff
        How often a call is tried again while Redis is away.
    now_ms, sleep
        Wall clock in ms (for people and TTLs only), and how to wait some seconds.
    board_of
        Gives the board of a customer from id and memory. Without it, a leaderboard that somebody overwrote comes back
        only with the customers who change.

    Examples
    --------
    >>> from streams.redis.embedded import EmbeddedRedis
    >>> with EmbeddedRedis() as server:
    ...     client = server.client()
    ...     ledger = RedisLedger(client, Binding.of("events", 0), BoardMeta("0.1", "r1", 8))
    ...     token = ledger.claim()
    ...     before = ledger.open("settings-1")
    ...     ledger.commit([Outcome(0, b"lane", 5)], Position(next_offset=1, settings="settings-1"))
    ...     print(before, ledger.open("settings-1").position.next_offset)
    ...     client.close()
    None 1
    """

    def __init__(
        self,
        client: RedisClient,
        binding: Binding,
        meta: BoardMeta,
        *,
        keys: Keys | None = None,
        backoff: Backoff | None = None,
        now_ms: Callable[[], int] = _wall_ms,
        sleep: Callable[[float], None] = time.sleep,
        board_of: Callable[[str, bytes], BoardRows] | None = None,
    ) -> None:
        self._client = client
        self._binding = binding
        self._keys = Keys() if keys is None else keys
        self._now_ms = now_ms
        self._board_of = board_of
        self._writer = BoardWriter(self._keys, meta)
        self._repairs = BoardRepairs(self._keys)
        self._key = self._keys.partition(binding.topic, binding.partition)
        self._outbox_key = self._keys.outbox(binding.topic, binding.partition)
        self._retrying = Retrying(self._key, backoff, sleep=sleep)
        self._token: str | None = None
        # What the next transaction must find; None until claimed and opened, and after anything went wrong.
        self._guard: Guard | None = None

    @property
    def binding(self) -> Binding:
        """The partition and its lanes."""
        return self._binding

    @property
    def broken_board_keys(self) -> frozenset[str]:
        """Board keys that are not as they should be; the next `commit` or `repair` writes them whole."""
        return self._repairs.keys

    def open(self, settings: str) -> PartitionRecord | None:
        """Read and check the partition record, see `streams.ledger.Ledger.open`."""
        self._guard = None
        raw: dict[bytes, bytes] = self._retrying.call(
            "open", lambda: self._client.execute_command("HGETALL", self._key)
        )
        owner, record = decode_partition(self._key, raw, self._binding, settings)
        if self._token is not None and owner != self._token:
            raise LedgerConflict(
                f"{self._key}: expected owner {self._token}, got {owner or 'nobody'}; drop the caches, claim and open"
            )
        self._check_lanes(empty=record is None)
        if self._token is not None:
            offset = None if record is None else record.position.next_offset
            self._guard = (self._token, offset, 0 if record is None else record.batches)
        return record

    def claim(self) -> str:
        """Take the partition: a new owner token."""
        self._guard = None
        # What failed under a former ownership is not ours to write: somebody may have written it since.
        self._repairs.note([], ())
        self._writer.forget_all()
        self._token = self._retrying.call("claim", self._claim_once)
        return self._token

    def load(self, lane: int, customer_ids: Sequence[str]) -> dict[str, bytes | None]:
        """Read the memories of these customers."""
        if not customer_ids:
            return {}
        key = self._keys.lane_customers(lane)

        def read() -> list[list[bytes | None]]:
            pipe: RedisPipeline = self._client.pipeline(transaction=False)
            for start in range(0, len(customer_ids), _LOAD_PAGE):
                pipe.execute_command("HMGET", key, *customer_ids[start : start + _LOAD_PAGE])
            return pipe.execute()

        pages = self._retrying.call(f"load {key}", read)
        return dict(zip(customer_ids, (record for page in pages for record in page), strict=True))

    def lane_state(self, lane: int) -> LaneState:
        """Read everything of a lane that is not a customer's memory."""
        keys = self._keys
        record = self._retrying.call("load lane", lambda: self._client.execute_command("GET", keys.lane_record(lane)))
        models: dict[bytes, bytes] = self._retrying.call(
            "load models", lambda: self._client.execute_command("HGETALL", keys.lane_models(lane))
        )
        timers: list[tuple[int, str]] = []
        while page := self._retrying.call("load timers", partial(self._timers, lane, len(timers))):
            timers += [(int(float(due)), who.decode()) for who, due in zip(page[::2], page[1::2], strict=True)]
        # Redis orders equal scores by the bytes of the member, which for UTF-8 is the order of the text.
        return LaneState(record, {name.decode(): snapshot for name, snapshot in models.items()}, timers)

    def outbox(self) -> list[bytes]:
        """What waits to be produced, oldest first."""
        entries: list[bytes] = self._retrying.call(
            "load outbox", lambda: self._client.execute_command("LRANGE", self._outbox_key, 0, -1)
        )
        return entries

    def commit(self, outcomes: Sequence[Outcome], position: Position, outbox: Outbox = NOTHING_OUT) -> None:
        """Write a batch, see `streams.ledger.Ledger.commit`."""
        before = self._checked_guard(outcomes, position)
        token, _, batches = before
        now_ms = self._now_ms()
        record = encode_partition(self._binding, replace(position, owner=token), batches + 1, now_ms)
        ledger = ledger_commands(self._keys, outcomes, self._key, record)
        if outbox.shipped:
            ledger.insert(0, ("LTRIM", self._outbox_key, outbox.shipped, -1))
        if outbox.entries:
            ledger.insert(-1, ("RPUSH", self._outbox_key, *outbox.entries))
        written = self._writer.commands(outcomes, now_ms)
        counts = ",".join(map(str, position.counts))
        said = ("HSET", self._keys.meta, f"counts:{self._binding.partition}", counts)
        board = [*self._repair_commands(), said, *written]
        after = (token, position.next_offset, batches + 1)
        self._transact(ledger, board, before, after, len(written))
        self._guard = after

    def incidents(
        self, settle_ms: int, settings: IncidentSettings, owner: Callable[[str, str], str]
    ) -> Callable[[bool], list[IncidentMessage]]:
        """What looks for incidents under our ownership, of the ledger of partition 0: see `IncidentWatch.look`.

        Parameters
        ----------
        settle_ms
            How far every lane clock must be past the end of a bucket before it is judged.
        settings
            When something is an incident.
        owner
            Dimension and value -> who is told, or empty.

        Returns
        -------
        callable
            Takes whether the input has come to its end.
        """
        lanes = self._binding.lanes
        watch = IncidentWatch(
            self._client, self._keys, lanes=lanes, settle_ms=settle_ms, settings=settings, owner=owner
        )
        return lambda complete: watch.look(self._token or "", self._key, complete=complete)

    def check(self) -> None:
        """Compare the partition record with where we left it, see `streams.ledger.Ledger.check`."""
        if self._guard is None:
            raise LedgerConflict(f"{self._key}: expected claim() and then open() before check()")
        values = self._retrying.call("check", lambda: self._client.execute_command("HMGET", self._key, *GUARD_FIELDS))
        self._compare(decode_guard(values), self._guard)

    def repair(self) -> None:
        """Write the board keys that failed now, when no batch is in sight.

        Raises
        ------
        LedgerConflict
            If the partition is not ours any more.
        """
        commands = self._repair_commands()
        if commands and self._guard is not None:
            self._transact([], commands, self._guard, None)

    def customers(self, lane: int) -> Iterator[tuple[str, bytes]]:
        """Every customer of a lane with their memory, each once, in no order."""
        # HSCAN may tell a field twice while the hash grows or shrinks.
        seen: set[bytes] = set()
        with talking(f"read {self._keys.lane_customers(lane)}"):
            for raw_id, record in self._client.hscan_iter(self._keys.lane_customers(lane), count=_LOAD_PAGE):
                if raw_id not in seen:
                    seen.add(raw_id)
                    yield raw_id.decode(), record

    def reset(self) -> None:
        """Forget everything that this partition's lanes wrote; for a replay everything under its prefix.

        Whoever owns the partition is refused from here on. Alerts that went out live stay in the stream.
        """
        self._guard = self._token = None
        keys = self._keys
        with talking(f"reset {self._key}"):
            # First of all: without its partition record no owner can write into what is being deleted.
            self._client.execute_command("DEL", self._key, self._outbox_key)
            if self._binding.partition == 0:
                self._client.execute_command("DEL", keys.incidents)
            if not keys.is_live:
                self._unlink(self._client.scan_iter(match=f"{keys.prefix}*", count=_LOAD_PAGE))
                return
        for lane in self._binding.own:
            page: list[str] = []
            for customer_id, _ in self.customers(lane):
                page.append(customer_id)
                if len(page) == _FORGET_PAGE:
                    self._run(self._writer.forget(page))
                    page = []
            self._run(self._writer.forget(page))
            fields = [f"{name}:{lane}" for name in ("watermark", "input", "input_at", "lag", "last_event_at")]
            self._run([("UNLINK", *lane_types(keys, lane)), ("HDEL", keys.meta, *fields)])
        self._reset_desk()
        figures = [f"{field}:{lane}" for field in MODEL_FIELDS for lane in self._binding.own]
        with talking(f"reset {self._key}"):
            models = [raw.decode() for raw in self._client.scan_iter(match=f"{keys.model('')}*", count=_LOAD_PAGE)]
        self._run([("HDEL", model, *figures) for model in models])

    def _reset_desk(self) -> None:
        """Forget the alerts of our lanes and what their desks counted; with partition 0 the incidents."""
        keys, own = self._keys, {str(lane).encode() for lane in self._binding.own}
        if self._binding.partition == 0:
            own.add(str(INCIDENT_LANE).encode())
        found = iter(self._client.scan_iter(match=f"{keys.alert('')}*", count=_LOAD_PAGE))
        while page := [raw.decode() for raw in islice(found, _FORGET_PAGE)]:
            lanes: list[bytes | None] = self._ask([("HGET", key, "lane") for key in page])
            ours = [key for key, lane in zip(page, lanes, strict=True) if lane in own]
            if ours:
                ids = [key.removeprefix(keys.alert("")) for key in ours]
                self._run([("UNLINK", *ours), *(("ZREM", keys.queue(name), *ids) for name in QUEUES)])
        for family in (keys.rule(""), f"{keys.prefix}delivery:", f"{keys.prefix}service:"):
            for raw in self._client.scan_iter(match=f"{family}*", count=_LOAD_PAGE):
                key = raw.decode()
                (fields,) = self._ask([("HGETALL", key)])
                names = list(fields)[::2] if isinstance(fields, list) else list(fields)
                mine = [n for n in names if n.partition(b"|")[0] in own or n.rpartition(b":")[2] in own]
                if mine:
                    self._run([("HDEL", key, *mine)])

    def _ask(self, commands: Sequence[Command]) -> list[Any]:
        with talking(f"reset {self._key}"):
            pipe: RedisPipeline = self._client.pipeline(transaction=False)
            for command in commands:
                pipe.execute_command(*command)
            return pipe.execute()

    def _unlink(self, found: Iterable[bytes]) -> None:
        keys = iter(found)
        while page := list(islice(keys, _FORGET_PAGE)):
            self._client.execute_command("UNLINK", *page)

    def _run(self, commands: Sequence[Command]) -> None:
        with talking(f"reset {self._key}"):
            pipe: RedisPipeline = self._client.pipeline(transaction=True)
            for command in commands:
                pipe.execute_command(*command)
            pipe.execute()

    def _timers(self, lane: int, start: int) -> Any:
        key = self._keys.lane_timers(lane)
        return self._client.execute_command("ZRANGE", key, start, start + _TIMER_PAGE - 1, "WITHSCORES")

    def _claim_once(self) -> str:
        pipe: RedisPipeline = self._client.pipeline()
        try:
            pipe.watch(self._key)
            owner: bytes | None = pipe.execute_command("HGET", self._key, "owner")
            token = next_owner((owner or b"").decode(errors="replace"), secrets.token_hex(8))
            pipe.multi()
            pipe.execute_command("HSET", self._key, "owner", token)
            pipe.execute()
            return token
        finally:
            pipe.reset()

    def _check_lanes(self, *, empty: bool) -> None:
        wanted = {key: kind for lane in self._binding.own for key, kind in lane_types(self._keys, lane).items()}
        types = self._types(wanted)
        for key, kind in wanted.items():
            if types[key] not in (kind, b"none"):
                raise StateIncompatible(
                    f"{key}: expected a {kind.decode()} of the ledger, got a {types[key].decode()}; find who else "
                    "writes that key, then restore a backup or reset the ledger and read the log again"
                )
            if empty and types[key] != b"none":
                raise StateIncompatible(
                    f"{key}: expected no state, since {self._key} has no position, got a {kind.decode()}; restore a "
                    "backup of the whole ledger, or reset it and read the log again"
                )

    def _types(self, keys: Iterable[str]) -> dict[str, bytes]:
        names = list(keys)

        def read() -> list[bytes]:
            pipe: RedisPipeline = self._client.pipeline(transaction=False)
            for name in names:
                pipe.execute_command("TYPE", name)
            return pipe.execute()

        return dict(zip(names, self._retrying.call("read types", read), strict=True))

    def _checked_guard(self, outcomes: Sequence[Outcome], position: Position) -> Guard:
        if self._guard is None:
            raise LedgerConflict(f"{self._key}: expected claim() and then open() before commit()")
        token, offset, _ = self._guard
        if position.owner not in ("", token):
            raise LedgerConflict(f"{self._key}: expected a position of owner {token}, got one of {position.owner}")
        if offset is not None and position.next_offset < offset:
            raise LedgerConflict(
                f"{self._key}: expected an offset >= {offset}, got {position.next_offset}; drop the caches, "
                "claim and open again"
            )
        for outcome in outcomes:
            if outcome.lane not in self._binding.own:
                raise ValueError(f"lane: expected one of {self._binding.own} of {self._binding}, got {outcome.lane}")
        return self._guard

    def _transact(
        self, ledger: list[Command], board: list[Command], before: Guard, after: Guard | None, written: int = 0
    ) -> None:
        """Write in one transaction; the last `written` commands are the board writer's."""
        commands = [*ledger, *board]
        try:
            replies = self._retrying.call("commit", lambda: self._attempt(commands, before, after))
            failed = self._failed(commands, replies)
        except HenjiError as error:
            self._writer.forget_all()
            if isinstance(error, LedgerConflict):
                self._guard = None
            raise
        lost = sorted(failed.intersection(str(command[1]) for command in ledger)) if failed else []
        if lost:
            self._stop(lost[0], after)
        if replies is not None and written:
            failed |= self._writer.surprised(commands[-written:], replies[-written:])
        self._repairs.note(board, failed)

    def _failed(self, commands: list[Command], replies: list[Any] | None) -> set[str]:
        if replies is not None:
            return {
                str(command[1])
                for command, reply in zip(commands, replies, strict=True)
                if isinstance(reply, Exception)
            }
        # The answers are lost: what failed shows in the types of the keys. Asking may fail too, and then the same
        # commit may be called again, since our guard is still the former.
        wanted = expected_types(commands)
        types = self._types(wanted)
        return {key for key, kind in wanted.items() if types[key] != kind}

    def _attempt(self, commands: list[Command], before: Guard, after: Guard | None) -> list[Any] | None:
        pipe: RedisPipeline = self._client.pipeline()
        try:
            pipe.watch(self._key)
            found = decode_guard(pipe.execute_command("HMGET", self._key, *GUARD_FIELDS))
            if found == after:
                return None
            self._compare(found, before)
            return execute_watched(pipe, commands)
        finally:
            pipe.reset()

    def _compare(self, found: Guard, expected: Guard) -> None:
        if found != expected:
            raise LedgerConflict(
                f"{self._key}: expected owner, next offset and batches {expected}, got {found}; nothing was written; "
                "drop the caches, claim and open again"
            )

    def _stop(self, key: str, after: Guard | None) -> None:
        self._guard = None
        try:
            self._client.execute_command("HSET", self._key, "broken", key)
        except RedisError:
            # `open` finds the wrong type of the key all the same.
            _LOG.exception("could not mark %s as broken", self._key)
        raise StateIncompatible(
            f"{key}: expected Redis to write this key of the ledger, got a refusal at offset "
            f"{after[1] if after else '?'} of {self._binding}; the batch is in the ledger but for this key. Find who "
            "else writes it, then restore a backup or reset the ledger and read the log again"
        )

    def _repair_commands(self) -> list[Command]:
        return self._repairs.commands(self._index_members, self._writer.index_commands)

    def _index_members(self, name: str) -> Iterable[tuple[str, float]] | None:
        if self._board_of is None:
            return None
        members: list[tuple[str, float]] = []
        for lane in range(self._binding.lanes):
            for customer_id, record in self.customers(lane):
                rows = self._board_of(customer_id, record)
                if name in QUEUES:
                    members += [(alert_id, score) for alert_id, queue, score in rows.queue if queue == name]
                    continue
                score = (rows.index or {}).get(name)
                if score is not None:
                    members.append((customer_id, score))
        return members
