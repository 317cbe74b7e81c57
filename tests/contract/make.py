"""Makes the fixtures of this folder from a replay through the real engine: `python -m tests.contract.make`.

The log is small and says of each thing that a reader must get right once how it is: see `README.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from engine.desk import Desk
from engine.rules import RuleSet
from engine.settings import ResultSettings
from streams.client import Folded, RiskBoard
from streams.lane_group import LaneGroup
from streams.ledger import Binding, Counts, Position
from streams.reader.record import Record
from streams.redis.board_writer import BoardMeta
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from streams.redis.heartbeat import Heartbeat
from streams.redis.keys import Keys
from streams.redis.ledger import RedisLedger

__all__ = ["FOLDER", "LANES", "T0", "load", "made"]

FOLDER = Path(__file__).parent
LANES = 2
HOUR, DAY = 3_600_000, 86_400_000
T0 = 1_760_004_000_000
"""2025-10-09T10:00Z, when the log begins."""
WROTE_AT = T0 + 31 * DAY
"""Wall clock of whoever wrote the board."""

_STREAMS = ("alerts", "facts")
_DESK = """
version = 1
[priority]
waiting = "6h"
severity = { burst = 1, chronic = -1 }
[caps]
customer = { n = 2, window = "1h" }
[[guidance]]
id = "sensitive"
flag = "sensitive"
say.en = "Name the earlier complaints yourself."
say.zh = "主动提起之前的投诉。"
avoid.en = "No promotions."
avoid.zh = "不要推销。"
"""


def event(number: int, at: int, kind: str, who: str, **fields: Any) -> dict[str, Any]:
    return {"event_id": f"e{number:02}", "ts": T0 + at, "kind": kind, "customer_id": who, **fields}


def first_log() -> list[dict[str, Any]]:
    """Before anybody says a word."""
    odd = "客 {1}/50%"
    log = [
        event(1, 0, "profile", "anna", attributes={"owner": "mia", "role": "student"}),
        # Sensitive by two complaints; the plain repeat after that is inhibited, the contact is not.
        event(2, HOUR, "complaint", "anna", category="network/wifi", channel="phone", case_id="k1", agent_id="a7"),
        event(3, 2 * HOUR, "handling", "anna", step="accepted", case_id="k1", agent_id="a7"),
        event(4, 30 * HOUR, "complaint", "anna", category="network/wifi", channel="app", case_id="k1", team="network"),
        event(5, 40 * HOUR, "request", "anna", category="billing", channel="phone", case_id="k2", team="billing"),
        event(6, 41 * HOUR, "request", "anna", category="billing", channel="phone", case_id="k2", team="billing"),
        # An id, and a category, that are no plain words.
        event(7, 3 * HOUR, "request", odd, category="网络", channel="app"),
        event(8, 5 * HOUR, "request", odd, category="网络", channel="app"),
        event(9, 6 * HOUR, "feedback", odd, category="网络", score=2.0),
        # Unanswered, then unresolved, then resolved: closed.
        event(10, 4 * HOUR, "complaint", "bo", category="dorm/heating", channel="web", case_id="k3"),
        event(11, 120 * HOUR, "resolved", "bo", category="dorm/heating", case_id="k3"),
        # Still open, with more in an hour than the cap lets through.
        event(12, 7 * HOUR, "complaint", "cy", category="food", channel="web", case_id="k4"),
        event(13, 79 * HOUR + 1, "complaint", "cy", category="food", channel="web", case_id="k5"),
        event(14, 79 * HOUR + 2, "request", "cy", category="food/card", channel="web"),
        event(15, 79 * HOUR + 3, "request", "cy", category="food/card", channel="web"),
        event(16, 80 * HOUR, "session", "dee", channel="app"),
        event(17, 81 * HOUR, "signup", "eve", channel="app"),
    ]
    return sorted(log, key=lambda each: each["ts"]) + ticks(125 * HOUR)


def ticks(at: int) -> list[dict[str, Any]]:
    return [
        {"event_id": f"t{lane}-{at}", "ts": T0 + at, "kind": "tick", "lane": lane, "lanes": LANES}
        for lane in range(LANES)
    ]


def words(alerts: Mapping[tuple[str, str], str]) -> list[dict[str, Any]]:
    """What people say: acknowledged, snoozed, judged, and one thing taken back."""
    odd = "客 {1}/50%"
    at = 126 * HOUR
    return [
        event(30, at, "ack", odd, ref=alerts[odd, "repeat_request"], by="ben"),
        event(
            31,
            at + 1,
            "snooze",
            "cy",
            ref=alerts["cy", "unresolved"],
            until=T0 + 150 * HOUR,
            reason="备件已订",
            by="mia",
        ),
        event(32, at + 2, "ack", "bo", ref=alerts["bo", "unresolved"], outcome="useful", by="ben"),
        event(33, at + 3, "ack", "anna", ref=alerts["anna", "sensitive"], outcome="not_useful", by="mia"),
        event(34, at + 4, "ack", "anna", ref=alerts["anna", "repeated_complaint"], by="ben"),
        event(35, at + 5, "ack", "anna", ref=alerts["anna", "repeated_complaint"], by="ben", state="down"),
        event(37, at + 7, "ack", "anna", ref=alerts["anna", "unanswered"], by="ben"),
        event(36, at + 6, "ack", "cy", ref=alerts["cy", "repeated_complaint"], outcome="useful", by="ben"),
    ]


class _Worker:
    """The engine writing into Redis."""

    def __init__(self, client: RedisClient, settings: ResultSettings) -> None:
        rules, desk = RuleSet.default(), Desk.parse(_DESK, "desk.toml")
        meta = BoardMeta(
            "0", rules.version, LANES, desk=desk.version, guidance=desk.texts(), waiting_ms=desk.waiting_ms
        )
        binding = Binding.of("events", 0, lanes=LANES)
        self._keys = Keys()
        self._client = client
        self._ledger = RedisLedger(client, binding, meta, now_ms=lambda: WROTE_AT)
        self._token = self._ledger.claim()
        self._ledger.open("contract")
        self._group = LaneGroup(settings, rules, self._ledger, desk=desk)
        self._group.load()
        self._counts = Counts()
        self.alerts: dict[tuple[str, str], str] = {}

    def apply(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Each event a transaction of its own, so that the stream has as many moments as can be."""
        for each in events:
            done = self._group.apply([Record(orjson.dumps(each), "log", self._counts.read)], self._counts)
            assert not done.dead, done.dead
            assert not done.late, each
            self._counts = done.counts
            for outcome in done.outcomes:
                for alert in outcome.alerts:
                    self.alerts[alert.customer_id, alert.flag] = alert.alert_id
            position = Position(next_offset=self._counts.read, settings="contract", counts=self._counts)
            self._ledger.commit(done.outcomes, position)

    def say(self) -> None:
        """Say how the input is: of lane 0 fresh, of lane 1 not so."""
        key = self._keys.partition("events", 0)
        states = {0: "fresh", 1: "stale"}
        assert Heartbeat(self._client, self._keys).say(self._token, key, states, {0: WROTE_AT - 50}, WROTE_AT)


def made(client: RedisClient) -> dict[str, Any]:
    """File name -> content, from an empty Redis that is written into."""
    worker = _Worker(client, ResultSettings(lanes=LANES, lateness_ms=HOUR))
    log = first_log()
    worker.apply(log[:13])
    middle = dump(client)
    worker.apply(log[13:])
    worker.apply(words(worker.alerts))
    worker.apply(ticks(126 * HOUR + 10))
    worker.say()
    end = dump(client)
    return {
        "board.json": {"prefix": "risk:", "keys": end},
        "answers.json": answers(client, end),
        "folding.json": folding(client, middle, end),
    }


def dump(client: RedisClient) -> dict[str, Any]:
    """The keys of the board, but for models, which learn something new in every version; ids of streams by number."""
    keys: dict[str, Any] = {}
    for key in sorted(raw.decode() for raw in client.scan_iter(match="risk:*") if not raw.startswith(b"risk:model:")):
        kind = client.execute_command("TYPE", key).decode()
        if kind == "hash":
            value: Any = {name.decode(): text.decode() for name, text in client.execute_command("HGETALL", key).items()}
            value = dict(sorted(value.items()))
        elif kind == "list":
            value = [text.decode() for text in client.execute_command("LRANGE", key, 0, -1)]
        elif kind == "zset":
            flat = client.execute_command("ZRANGE", key, 0, -1, "WITHSCORES")
            value = [[who.decode(), float(score)] for who, score in zip(flat[::2], flat[1::2], strict=True)]
        else:
            assert kind == "stream", key
            entries = client.execute_command("XRANGE", key, "-", "+")
            value = [
                [f"{WROTE_AT}-{number}", {name.decode(): text.decode() for name, text in fields.items()}]
                for number, (_, fields) in enumerate(entries)
            ]
        keys[key] = {"type": kind, "value": value}
    return keys


def load(client: RedisClient, keys: Mapping[str, Any]) -> None:
    """Write the keys of a `board.json` into a Redis."""
    for key, each in keys.items():
        value = each["value"]
        match each["type"]:
            case "hash":
                client.execute_command("HSET", key, *(part for pair in value.items() for part in pair))
            case "list":
                client.execute_command("RPUSH", key, *value)
            case "zset":
                client.execute_command("ZADD", key, *(part for who, score in value for part in (score, who)))
            case "stream":
                for stream_id, fields in value:
                    client.execute_command("XADD", key, stream_id, *(part for pair in fields.items() for part in pair))


def answers(client: RedisClient, keys: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Questions with their answers; the board in `client` is replaced by what the fixture has of it."""
    client.execute_command("FLUSHALL")
    load(client, keys)
    return [
        {"ask": ask, "with": given, "answer": value(RiskBoard(client), ask, given)} for ask, given in questions(keys)
    ]


def questions(keys: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """What is asked, with which arguments."""
    customers = ["anna", "客 {1}/50%", "bo", "cy", "dee", "nobody"]
    now = T0 + 126 * HOUR
    asked: list[tuple[str, dict[str, Any]]] = [
        (ask, {"customer_id": who})
        for ask in ("customer", "flags", "why", "profile", "history", "timeline", "alerts_of")
        for who in customers
    ]
    asked += [("alert", {"alert_id": key.rpartition(":")[2]}) for key in keys if key.startswith("risk:alert:")]
    asked += [("alert", {"alert_id": "0" * 16})]
    asked += [("top", {"index": name, "n": 10}) for name in ("churn", "sensitive", "value_at_risk")]
    asked += [
        ("queue", {"name": "open", "now_ms": at}) for at in (T0 + 80 * HOUR, T0 + 84 * HOUR, now, now + 400 * DAY)
    ]
    asked += [("queue", {"name": "held", "now_ms": now}), ("queue", {"name": "open", "now_ms": now, "limit": 2})]
    asked += [("queue", {"name": "open", "now_ms": now, "flag": "unresolved"})]
    asked += [("queue", {"name": "open", "now_ms": now, "route": "owner:mia"})]
    asked += [("alerts", {"after": f"{WROTE_AT}-3", "count": 4}), ("last_alerts", {"count": 2})]
    asked += [("facts", {"after": "0", "count": 100}), ("guidance", {}), ("rules", {}), ("delivery", {"n": 3})]
    asked += [("meta", {}), ("service", {})]
    asked += [("input_state", {"lane": lane, "now_ms": WROTE_AT + late}) for lane in (0, 1, 7) for late in (0, 30_001)]
    return asked


def value(board: RiskBoard, ask: str, given: Mapping[str, Any]) -> Any:
    """What a board answers, as JSON has it."""
    return plain(getattr(board, ask)(**given))


def plain(answer: Any) -> Any:
    """An answer as JSON has it: classes as objects, keys as text."""
    match answer:
        case dict():
            return {"|".join(map(str, k)) if isinstance(k, tuple) else str(k): plain(v) for k, v in answer.items()}
        case list() | tuple():
            return [plain(each) for each in answer]
        case None | str() | int() | float():
            return answer
        case _:
            return plain(asdict(answer))


def folding(client: RedisClient, middle: Mapping[str, Any], end: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Cases of folding: a stream, a place in it with the flags known there, and what follows."""
    # What it looks like for people does not matter here.
    stream = [[at, {**fields, "scene": "[]"}] for at, fields in end["risk:alerts"]["value"]]
    n_middle = len(middle["risk:alerts"]["value"])
    nothing: dict[str, Any] = {}
    late = folded(client, end)
    cases = [
        case("from the beginning of the stream, behind its first entry", stream, stream[:1], nothing, client),
        case("from a snapshot in the middle", stream, stream[:n_middle], folded(client, middle), client),
        case("the snapshot already holds what the messages say", stream, stream[:4], late, client),
        case("messages that come again", [*stream, *again(stream)], stream[:n_middle], late, client),
        case("all of it is known", stream, stream, late, client),
    ]
    trimmed = stream[6:]
    cases.append(case("the place was trimmed away", trimmed, stream[:3], nothing, client, anew=True))
    other = [[stream[0][0], stream[5][1]], *stream[1:]]
    cases.append(case("another entry stands at the place", other, stream[:1], nothing, client, anew=True))
    cases.append(case("the stream is empty", [], stream[:3], late, client, anew=True))
    return cases


def again(stream: Sequence[Any]) -> list[Any]:
    """The last five entries once more, as after Redis was set back."""
    return [[f"{WROTE_AT + 1}-{number}", fields] for number, (_, fields) in enumerate(stream[-5:])]


def folded(client: RedisClient, keys: Mapping[str, Any]) -> dict[str, Any]:
    """The flags of a snapshot."""
    client.execute_command("FLUSHALL")
    load(client, keys)
    flags: dict[str, Any] = plain(Folded.of(RiskBoard(client).snapshot()).flags)
    return dict(sorted(flags.items()))


def case(
    name: str,
    stream: Sequence[Any],
    seen: Sequence[Any],
    flags: dict[str, Any],
    client: RedisClient,
    anew: bool = False,
) -> dict[str, Any]:
    """One case, with what our own client makes of it; `flags` after it is missing where it has to begin anew."""
    position, fields = seen[-1]
    mark = [int(fields["lane"]), fields["alert_id"], int(fields["seq"])]
    state = {"position": position, "mark": mark, "flags": flags}
    made = {"case": name, "stream": list(stream), "state": state, "anew": anew}
    client.execute_command("FLUSHALL")
    load(client, {"risk:alerts": {"type": "stream", "value": stream}})
    known = {alert_id: list(flag.values()) for alert_id, flag in flags.items()}
    step = RiskBoard(client).fold(Folded.load(orjson.dumps({**state, "flags": known})))
    assert step.anew is anew, name
    if not anew:
        made["flags"] = dict(sorted(plain(step.state.flags).items()))
    return made


def main() -> None:
    """Write the fixtures."""
    with EmbeddedRedis() as server:
        client = server.client()
        for name, content in made(client).items():
            (FOLDER / name).write_bytes(orjson.dumps(content, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE))
            print(FOLDER / name)
        client.close()


if __name__ == "__main__":
    main()
