"""Whoever folds alerts from a snapshot knows what is up, whatever happens to them, to the stream and to Redis."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, event, example, given, settings
from hypothesis import strategies as st

from engine.errors import CorruptState
from engine.rules import RuleSet
from engine.settings import ResultSettings
from streams.client import AsyncRiskBoard, Folded, FoldStep, RiskBoard, connect_async
from streams.lane_group import LaneGroup
from streams.ledger import Binding, Counts, Position
from streams.reader.record import Record
from streams.redis import questions
from streams.redis.asking import Question, checked
from streams.redis.board_writer import BoardMeta
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from streams.redis.keys import Keys
from streams.redis.ledger import RedisLedger
from streams.redis.questions import Questions
from tests.engine.test_folding_consumer import stirred
from tests.oracle.strategies import disordered, logs
from tests.streams.client.streams import sent
from tests.streams.redis.samples import KEYS, NOW, SETTINGS, alert, no_sleep

LANES = 2
RULES = RuleSet.default()
QUICK = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
LOGS = logs(max_events=20, lanes=LANES, overrides=True, retracts=True).flatmap(disordered).flatmap(stirred)
ACTIONS = st.one_of(
    st.tuples(st.just("write"), st.integers(1, 8)),
    st.tuples(st.just("fold"), st.integers(1, 4)),
    st.tuples(st.just("crash"), st.integers(0, 4)),
    st.tuples(st.just("trim"), st.integers(0, 4)),
    st.tuples(st.just("save"), st.just(0)),
    st.tuples(st.just("restore"), st.just(0)),
    st.tuples(st.just("rebuild"), st.just(0)),
)
Up = dict[str, tuple[str, str, str | None, str]]


@pytest.fixture(autouse=True, scope="module")
def _small_pages() -> Iterator[None]:
    """A snapshot takes many questions, so that much can happen within it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(questions, "_PAGE", 1)
        patch.setattr(questions, "_SCAN_COUNT", 2)
        yield


class Worker:
    """The engine writing a log into Redis, a batch at a time; a new one goes on where the ledger is."""

    def __init__(self, client: RedisClient, log: Sequence[dict[str, Any]]) -> None:
        self._log = [Record(orjson.dumps(each), "log", number) for number, each in enumerate(log)]
        result = ResultSettings(lanes=LANES, lateness_ms=3_600_000)
        binding, meta = Binding.of("events", 0, lanes=LANES), BoardMeta("0", RULES.version, LANES)
        self._ledger = RedisLedger(client, binding, meta, now_ms=lambda: NOW, sleep=no_sleep)
        self._ledger.claim()
        record = self._ledger.open(SETTINGS)
        self._counts = record.position.counts if record else Counts()
        self._group = LaneGroup(result, RULES, self._ledger)
        self._group.load()

    def write(self, n: int) -> None:
        batch = self._log[self._counts.read :][:n]
        if batch:
            applied = self._group.apply(batch, self._counts)
            self._counts = applied.counts
            told = Position(next_offset=self._counts.read, settings=SETTINGS, counts=self._counts)
            self._ledger.commit(applied.outcomes, told)


def drive(client: RedisClient, question: Question[FoldStep], meanwhile: Callable[[], None]) -> FoldStep:
    """Put a question, with something happening after each answer."""
    try:
        ask = next(question)
        while True:
            pipe = client.pipeline(transaction=ask.together)
            for command in ask.commands:
                pipe.execute_command(*command)
            answers = checked(ask, pipe.execute())
            meanwhile()
            ask = question.send(answers)
    except StopIteration as answered:
        step: FoldStep = answered.value
        return step


def told(state: Folded) -> Up:
    return {i: (f.customer_id, f.flag, f.category, f.severity) for i, f in state.flags.items()}


def on_board(board: RiskBoard) -> Up:
    return told(Folded.of(board.snapshot()))


def folded_through(board: RiskBoard, state: Folded | None) -> Folded:
    step = board.fold(state, count=3)
    while step.more:
        step = board.fold(step.state, count=3)
    return step.state


@QUICK
@example(  # What came into an empty stream is trimmed before anybody has seen it.
    [{"event_id": f"e{n}", "kind": "request", "customer_id": "anna", "ts": NOW, "category": "a"} for n in range(2)],
    [("write", 1), ("fold", 1), ("write", 1), ("trim", 0)],
    [],
)
@given(LOGS, st.lists(ACTIONS, min_size=4, max_size=25), st.lists(ACTIONS, max_size=6))
@example(  # The stream is emptied and made anew while a consumer stands in it.
    [
        {"event_id": f"e{n}", "kind": "complaint", "customer_id": "anna", "ts": NOW + n, "category": "a"}
        for n in range(3)
    ],
    [("write", 8), ("fold", 4), ("fold", 4), ("rebuild", 0), ("write", 2), ("trim", 1)],
    [],
)
def test_folding_ends_with_exactly_the_flags_that_are_up(
    redis_server: EmbeddedRedis, log: list[dict[str, Any]], script: list[tuple[str, int]], within: list[tuple[str, int]]
) -> None:
    client = redis_server.client()
    try:
        _play(client, log, script, within)
    finally:
        client.close()


def _play(
    client: RedisClient, log: list[dict[str, Any]], script: list[tuple[str, int]], within: list[tuple[str, int]]
) -> None:
    client.execute_command("FLUSHALL")
    worker = Worker(client, log)
    board, asked = RiskBoard(client), Questions(Keys())
    state: Folded | None = None
    kept: list[bytes] = []
    saved: dict[bytes, bytes] = {}
    inside = iter(within)

    def happen(action: str, n: int) -> None:
        nonlocal worker, saved
        if action == "write":
            worker.write(n)
        elif action == "trim":
            client.execute_command("XTRIM", KEYS.alerts, "MAXLEN", n)
        elif action == "save":
            saved = {key: client.execute_command("DUMP", key) for key in client.scan_iter()}
        elif action in ("restore", "rebuild"):
            event(action)
            client.execute_command("FLUSHALL")
            for key, dump in saved.items() if action == "restore" else ():
                client.execute_command("RESTORE", key, 0, dump)
            worker = Worker(client, log)

    for action, n in script:
        if action == "fold":
            step = drive(client, asked.fold(state, n), lambda: happen(*next(inside, ("", 0))))
            before, state = state, step.state
            if step.anew and before is not None:
                event("began anew")
            kept.append(state.dump())
        elif action == "crash":
            event("crash")
            state = Folded.load(kept[-n]) if 0 < n <= len(kept) else None
        else:
            happen(action, n)
            if action == "write" and n % 2:
                state = folded_through(board, state)
                assert told(state) == on_board(board)
    for each in [state, None, *(Folded.load(old) for old in kept)]:
        final = folded_through(board, each)
        assert told(final) == on_board(board)
    worker.write(len(log))
    assert told(folded_through(board, final)) == on_board(board)


@pytest.mark.parametrize("pace", [2, 5])
def test_what_changes_while_a_snapshot_is_read_is_neither_lost_nor_kept(redis_client: RedisClient, pace: int) -> None:
    log = [
        {
            "event_id": f"e{n}",
            "kind": "resolved" if n % 3 == 2 else "complaint",
            "customer_id": f"c{n % 7}",
            "ts": NOW + n * 86_400_000,
            "category": "a",
        }
        for n in range(900)
    ]
    worker, board = Worker(redis_client, log), RiskBoard(redis_client)
    worker.write(40)
    step = drive(redis_client, Questions(Keys()).fold(None, 10), lambda: worker.write(pace))
    assert step.anew
    final = folded_through(board, step.state)
    assert final is step.state, "the snapshot was read only once"
    assert told(final) == on_board(board)
    assert len(final.flags) > 5


def test_each_step_says_what_came_and_what_went(redis_client: RedisClient) -> None:
    board = RiskBoard(redis_client)
    first = board.fold()
    assert (first.anew, first.came, first.went, first.state.position) == (True, {}, {}, "0-0")
    assert first.more is False
    sent(redis_client, ("a", "raise"), ("b", "raise"), ("b", "clear"))
    # The stream began after the snapshot: nobody knows whether this is all of it.
    anew = board.fold(first.state)
    assert (anew.anew, anew.state.flags) == (True, {})
    sent(redis_client, ("a", "raise"), ("c", "raise"), ("c", "clear"), ("a", "clear"))
    one = board.fold(anew.state, count=1)
    assert (list(one.came), list(one.went), one.more, one.anew) == (["a" * 16], [], True, False)
    rest = board.fold(one.state)
    assert (list(rest.came), list(rest.went), rest.more) == ([], ["a" * 16], False)
    assert [message.line["op"] for message in rest.messages] == ["raise", "clear", "clear"]


def test_contacts_and_incidents_are_no_flags(redis_client: RedisClient) -> None:
    board = RiskBoard(redis_client)
    sent(redis_client, ("e", "raise"))
    state = board.fold().state
    sent(redis_client, ("a", "contact"), flag="sensitive_contact")
    sent(redis_client, ("b", "raise"), flag="service_incident")
    step = board.fold(state)
    assert (len(step.messages), step.state.flags) == (2, {})


def test_a_held_message_is_a_fact_all_the_same(redis_client: RedisClient) -> None:
    board = RiskBoard(redis_client)
    sent(redis_client, ("e", "raise"))
    state = board.fold().state
    sent(redis_client, ("a", "raise"), held="cap:team")
    step = board.fold(state)
    assert ([each.held for each in step.messages], list(step.came)) == (["cap:team"], ["a" * 16])


def test_what_was_trimmed_makes_it_begin_anew(redis_client: RedisClient) -> None:
    board = RiskBoard(redis_client)
    sent(redis_client, ("a", "raise"))
    state = board.fold().state
    sent(redis_client, ("b", "raise"), ("c", "raise"))
    redis_client.execute_command("XTRIM", KEYS.alerts, "MAXLEN", 1)
    step = board.fold(state)
    assert (step.anew, step.messages) == (True, [])
    assert board.fold(step.state).anew is False


def test_a_stream_made_anew_is_noticed_even_if_an_id_is_used_again(redis_client: RedisClient) -> None:
    board = RiskBoard(redis_client)
    sent(redis_client, ("a", "raise"), ("b", "raise"))
    state = board.fold().state
    redis_client.execute_command("DEL", KEYS.alerts)
    fields: dict[str, str | bytes] = {
        "alert_id": "d" * 16,
        "seq": "1",
        "lane": "0",
        "line": alert("d" * 16).line(),
        "priority": "3",
    }
    fields |= {"route": "", "scene": "[]"}
    redis_client.execute_command("XADD", KEYS.alerts, state.position, *(w for pair in fields.items() for w in pair))
    assert board.fold(state).anew


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"position":"1-1","mark":null,"flags":{"a":[1]}}'])
def test_a_damaged_state_is_refused(data: bytes) -> None:
    with pytest.raises(CorruptState, match="begin without it"):
        Folded.load(data)


def test_the_async_board_folds_the_same(redis_server: EmbeddedRedis, redis_client: RedisClient) -> None:
    sent(redis_client, ("a", "raise"), ("b", "raise"))

    async def folds() -> tuple[FoldStep, FoldStep]:
        client = connect_async(redis_server.url)
        try:
            board = AsyncRiskBoard(client)
            first = await board.fold()
            sent(redis_client, ("c", "raise"))
            return first, await board.fold(first.state)
        finally:
            await client.aclose()

    first, second = asyncio.run(folds())
    assert (first.anew, second.anew, list(second.came)) == (True, False, ["c" * 16])
