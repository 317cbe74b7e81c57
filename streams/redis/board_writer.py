"""The commands that bring the board from before a batch to after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from operator import itemgetter

import orjson

from engine.alert import Alert
from engine.desk.fact import Fact
from engine.desk.ticket import queue_score
from engine.outcome import CustomerChange, Outcome
from streams.redis.catalogue import ALERTS_MAX, CONTRACT, DELIVERY_TTL_S, FACTS_MAX, INDEXES, MODEL_FIELDS, QUEUES
from streams.redis.client import Command
from streams.redis.customer_parts import CustomerParts, whole_hash
from streams.redis.keys import CUSTOMER_PARTS, Keys, encode_id

__all__ = ["BoardMeta", "BoardWriter"]


@dataclass(slots=True)
class BoardMeta:
    """What `meta` says about who writes the board.

    Parameters
    ----------
    engine
        Version of the engine.
    rules
        Digest of the rules in force; the worker sets it anew when a control event changes them.
    lanes
        Number of lanes of the deployment.
    more
        Further fields (`since`, `start`, `lag:<lane>`), written with every batch.
    desk
        Digest of the desk.toml in force.
    guidance
        Its texts by their ids, as JSON.
    waiting_ms
        After what time of waiting a reader lifts an alert by one priority; 0: not said.
    """

    engine: str
    rules: str
    lanes: int
    more: dict[str, str] = field(default_factory=dict)
    desk: str = ""
    guidance: Mapping[str, str] = field(default_factory=dict)
    waiting_ms: int = 0


class BoardWriter:
    """Turns outcomes into commands of Redis; each command's second word is the key that it writes.

    Every part of a customer that changed comes whole. What this writer wrote before it changes in place, which takes
    one command instead of three; the answer then tells whether the key still was what we left (see `surprised`). The
    rest is deleted and written anew, with its TTL.

    Parameters
    ----------
    keys
        Names of the keys.
    meta
        What `meta` says.
    """

    def __init__(self, keys: Keys, meta: BoardMeta) -> None:
        self._keys = keys
        self._meta = meta
        self._parts = CustomerParts(keys)
        # (model, lane) -> names of the fields that we left there.
        self._model_fields: dict[tuple[str, int], frozenset[str]] = {}
        self._guided = False

    def forget_all(self) -> None:
        """Take nothing on the board for granted: somebody else may have written, or a transaction has failed."""
        self._parts.forget_all()
        self._model_fields.clear()
        self._guided = False

    def surprised(self, commands: Sequence[Command], replies: Sequence[object]) -> set[str]:
        """Keys that were not as we left them, from the answers to the last `commands`.

        Parameters
        ----------
        commands, replies
            What `commands` gave last, and the answer to each.
        """
        return self._parts.surprised(commands, replies)

    def commands(self, outcomes: Sequence[Outcome], now_ms: int) -> list[Command]:
        """Commands of one batch, in an order that is right within one transaction.

        Parameters
        ----------
        outcomes
            One per lane.
        now_ms
            Wall clock, ms.
        """
        self._parts.begin(now_ms)
        commands: list[Command] = []
        added: dict[str, list[str | float]] = {}
        removed: dict[str, list[str]] = {}
        for outcome in outcomes:
            for change in outcome.customers.values():
                self._customer(commands, change, added, removed)
        commands += [("ZADD", self._keys.index(name), *pairs) for name, pairs in added.items()]
        commands += [("ZREM", self._keys.index(name), *members) for name, members in removed.items()]
        self._alerts(commands, outcomes)
        for outcome in outcomes:
            for name, row in outcome.model_rows.items():
                self._model(commands, name, outcome.lane, row)
            self._desk(commands, outcome)
            self._services(commands, outcome)
        if not self._guided:
            self._guided = True
            key = self._keys.guidance
            texts = chain.from_iterable(self._meta.guidance.items())
            commands += [("DEL", key), *([("HSET", key, *texts)] if self._meta.guidance else [])]
        commands.append(("HSET", self._keys.meta, *self._meta_fields(outcomes, now_ms)))
        return commands

    def index_commands(self, name: str, members: Iterable[tuple[str, float]], *, page: int = 1000) -> list[Command]:
        """Commands that write a whole leaderboard or queue, from customer or alert ids and scores."""
        flat: list[str | float] = []
        for member, score in members:
            flat += (score, member if name in QUEUES else encode_id(member))
        key = self._keys.queue(name) if name in QUEUES else self._keys.index(name)
        pages = (flat[start : start + 2 * page] for start in range(0, len(flat), 2 * page))
        return [("DEL", key), *(("ZADD", key, *part) for part in pages)]

    def forget(self, customer_ids: Sequence[str]) -> list[Command]:
        """Commands that remove every board key of these customers."""
        commands: list[Command] = [("UNLINK", *self._all_parts(customer_id)) for customer_id in customer_ids]
        members = [encode_id(customer_id) for customer_id in customer_ids]
        if members:
            commands += [("ZREM", self._keys.index(name), *members) for name in INDEXES]
        return commands

    def _customer(
        self,
        commands: list[Command],
        change: CustomerChange,
        added: dict[str, list[str | float]],
        removed: dict[str, list[str]],
    ) -> None:
        member = encode_id(change.customer_id)
        if change.board is None:
            commands.append(("UNLINK", *self._all_parts(change.customer_id)))
            for name in INDEXES:
                removed.setdefault(name, []).append(member)
            self._parts.forget(member)
            return
        self._parts.write(commands, member, change.board)
        for name, score in (change.board.index or {}).items():
            # Not a number is no score: Redis would refuse the whole command, with every other customer in it.
            if score is None or score != score:
                removed.setdefault(name, []).append(member)
            else:
                added.setdefault(name, []).extend((float(score), member))

    def _model(self, commands: list[Command], name: str, lane: int, row: Mapping[str, str]) -> None:
        """A lane's part of a model's row; what it does not have any more, or had before us, goes."""
        key, names = self._keys.model(name), frozenset(row)
        gone = self._model_fields.get((name, lane), frozenset(MODEL_FIELDS)) - names
        if gone:
            commands.append(("HDEL", key, *(f"{field}:{lane}" for field in sorted(gone))))
        if row:
            fields = chain.from_iterable((f"{field}:{lane}", value) for field, value in row.items())
            commands.append(("HSET", key, *fields))
        self._model_fields[name, lane] = names

    def _alerts(self, commands: list[Command], outcomes: Sequence[Outcome]) -> None:
        # In the order of the records that caused them, whatever their lane; within a lane that is its own order.
        sent: list[tuple[int, int, Alert]] = [
            (alert.index, outcome.lane, alert) for outcome in outcomes for alert in outcome.alerts
        ]
        sent.sort(key=itemgetter(0))
        commands += [self._alert(lane, alert) for _, lane, alert in sent]
        self._tickets(commands, outcomes)
        for outcome in outcomes:
            commands += [self._fact(outcome.lane, fact) for fact in outcome.facts]
        if sent or any(outcome.facts for outcome in outcomes):
            commands.append(("PUBLISH", self._keys.wake, str(len(sent))))

    def _tickets(self, commands: list[Command], outcomes: Sequence[Outcome]) -> None:
        """State of the alerts that changed, and their places in the queues."""
        places: dict[str, list[str | int]] = {name: [] for name in QUEUES}
        gone: dict[str, list[str]] = {name: [] for name in QUEUES}
        for outcome in outcomes:
            for alert_id, state in outcome.alert_state.items():
                commands += whole_hash(self._keys.alert(alert_id), state or {})
                here = None if state is None or "closed_at" in state else "held" if state["held"] else "open"
                for name in QUEUES:
                    if name == here and state is not None:
                        places[name] += (queue_score(int(state["priority"]), int(state["since"])), alert_id)
                    else:
                        gone[name].append(alert_id)
        commands += [("ZADD", self._keys.queue(name), *pairs) for name, pairs in places.items() if pairs]
        commands += [("ZREM", self._keys.queue(name), *members) for name, members in gone.items() if members]

    def _fact(self, lane: int, fact: Fact) -> Command:
        word = fact.word
        fields = {
            "alert_id": fact.alert_id,
            "customer_id": fact.customer_id,
            "lane": str(lane),
            "seq": str(fact.seq),
            "fact": fact.name,
            "state": "up" if word.up else "down",
            "at": str(word.at),
            "by": word.by,
        }
        if fact.name == "snooze":
            fields["reason"] = word.text
            if word.until is not None:
                fields["until"] = str(word.until)
        elif fact.name == "outcome":
            fields["outcome"] = word.text
        return (
            *("XADD", self._keys.facts, "MAXLEN", "~", FACTS_MAX, "*"),
            *chain.from_iterable(fields.items()),
        )

    def _desk(self, commands: list[Command], outcome: Outcome) -> None:
        """What a lane's desk counts; each lane has fields of its own, so that a sum over them is a total."""
        lane = outcome.lane
        for flag, counts in outcome.rule_counts.items():
            fields = chain.from_iterable((f"{what}:{lane}", str(n)) for what, n in counts.items())
            commands.append(("HSET", self._keys.rule(flag), *fields))
        for window, delivered in outcome.deliveries.items():
            key = self._keys.delivery(window)
            counted = chain.from_iterable((f"{lane}|{name}", str(n)) for name, n in delivered.items())
            commands += [("HSET", key, *counted), ("EXPIRE", key, DELIVERY_TTL_S)]

    def _services(self, commands: list[Command], outcome: Outcome) -> None:
        """A lane's days of each service: whole fields, so that a repeated write changes nothing."""
        for value, row in outcome.service_rows.items():
            key = self._keys.service(*value)
            gone = [name for name, text in row.items() if text is None]
            if gone:
                commands.append(("HDEL", key, *gone))
            there = [(name, text) for name, text in row.items() if text is not None]
            if there:
                commands.append(("HSET", key, *chain.from_iterable(there)))

    def _alert(self, lane: int, alert: Alert) -> Command:
        fields: dict[str, str | bytes] = {
            "alert_id": alert.alert_id,
            "seq": str(alert.seq),
            "lane": str(lane),
            "line": alert.line(),
            "priority": str(alert.priority),
            "route": alert.route,
            "scene": orjson.dumps(alert.scene),
            "held": alert.held,
            "guidance": alert.guidance,
            "rules": alert.rules,
            "model": alert.model,
        }
        return (
            *("XADD", self._keys.alerts, "MAXLEN", "~", ALERTS_MAX, "*"),
            *chain.from_iterable(fields.items()),
        )

    def _meta_fields(self, outcomes: Sequence[Outcome], now_ms: int) -> Iterable[str]:
        meta = self._meta
        fields = {
            **meta.more,
            "contract": str(CONTRACT),
            "engine": meta.engine,
            "rules": meta.rules,
            "lanes": str(meta.lanes),
            **({"desk": meta.desk} if meta.desk else {}),
            **({"waiting_ms": str(meta.waiting_ms)} if meta.waiting_ms else {}),
            **{f"watermark:{outcome.lane}": str(outcome.clock) for outcome in outcomes},
            "last_write": str(now_ms),
        }
        return chain.from_iterable(fields.items())

    def _all_parts(self, customer_id: str) -> list[str]:
        return [self._keys.part(part, customer_id) for part in CUSTOMER_PARTS]
