"""One real worker on a real broker: what it does beside applying events."""

from __future__ import annotations

import asyncio
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions

from streams.cli import main
from streams.kafka.connection import Connection
from streams.kafka.producer import partition_for, start_producer, stop_producer
from streams.redis.board import RiskBoard
from tests.kafka.conftest import Broker
from tests.kafka.deployment import Deployment, differences, replayed, until

pytestmark = pytest.mark.slow

SECRET = "confidential-4711"
T0 = 1_700_000_000_000
# (partition or None: by key, key, value)
Sent = tuple[int | None, bytes | None, bytes | None]


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def event(event_id: str, customer: str, ts: int, kind: str = "request", **fields: Any) -> bytes:
    base = {"event_id": event_id, "customer_id": customer, "ts": ts, "kind": kind, "category": "billing"}
    return orjson.dumps({**base, **fields})


def keyed(*values: bytes) -> list[Sent]:
    return [(None, str(orjson.loads(value)["customer_id"]).encode(), value) for value in values]


def produce(deployment: Deployment, records: Sequence[Sent]) -> None:
    async def send() -> None:
        producer = await start_producer(Connection.of(deployment.settings))
        try:
            for partition, key, value in records:
                await producer.send_and_wait(deployment.names.events, value, key=key, partition=partition)
        finally:
            await stop_producer(producer)

    asyncio.run(send())


def get(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.fixture
def deployed(broker: Broker, topic_name: Callable[[], str], tmp_path: Path) -> Iterator[Callable[..., Deployment]]:
    """Makes deployments of two partitions and four lanes, and ends them."""
    made: list[Deployment] = []

    def make(topic: str | None = None, **settings: str) -> Deployment:
        given = {"kafka.partitions": "2", "lanes": "4", **{k.replace("__", "."): v for k, v in settings.items()}}
        folder = tmp_path / str(len(made))
        deployment = Deployment(folder, broker.brokers, topic or topic_name(), name=topic_name(), settings=given)
        made.append(deployment)
        return deployment.__enter__()

    yield make
    for deployment in made:
        deployment.close()


def test_it_sets_aside_what_is_no_event_answers_probes_and_tells_nobody_what_customers_sent(
    deployed: Callable[..., Deployment],
) -> None:
    deployment = deployed()
    mine = next(name for name in (f"{SECRET}-{n}" for n in range(9)) if partition_for(name, 2) == 1)
    key = mine.encode()
    bad: list[tuple[str, Sent]] = [
        ("empty", (1, key, b"")),
        ("tombstone", (1, key, None)),
        ("encoding", (1, key, b'{"event_id":"\xff"}')),
        ("json", (1, key, b'{"event_id":')),
        ("json", (1, key, b"[" * 60_000)),
        ("not_object", (1, key, b"[1]")),
        ("too_large", (1, key, b'{"event_id":"' + b"x" * 70_000 + b'"}')),
        ("kind", (1, key, event("k", mine, T0, kind=SECRET))),
        ("ts", (1, key, event("t", mine, T0) .replace(str(T0).encode(), b"true"))),
        ("future", (1, key, event("f", mine, now_ms() + 86_400_000))),
        ("key_mismatch", (1, b"somebody", event("m", mine, T0))),
        ("misrouted", (0, key, event("r", mine, T0))),
        ("misrouted", (0, None, event("n", mine, T0))),
    ]  # fmt: skip
    good = keyed(*(event(f"e{n}", mine, T0 + n) for n in range(3)), event("late", mine, T0 - 86_400_000))
    produce(deployment, [*good, (1, None, event("no-key", mine, T0 + 9)), *(each for _, each in bad), good[0]])
    worker = deployment.start_worker()
    deployment.wait_until_read(len(bad) + 6)
    url = worker._listening()
    until("it is ready", lambda: get(f"{url}/ready")[0] == 200, timeout_s=30)
    assert get(f"{url}/live")[0] == 200
    assert worker.metric("henji_dead_letters_total") == len(bad)
    board = RiskBoard(deployment.client, "risk:")
    lane = next(lane for lane in range(4) if lane % 2 == 1)
    until("the input is fresh", lambda: board.input_state(lane, now_ms()) == "fresh", timeout_s=30)
    deployment.stop_workers()
    assert board.input_state(lane, now_ms()) == "unknown"
    answers = deployment.answers()
    assert tuple(answers.counts) == (len(bad) + 6, 4, 1, 1, len(bad))
    letters = deployment.letters(deployment.names.dead)
    assert sorted(each.reason for each in letters) == sorted(reason for reason, _ in bad)
    assert {each.raw for each in letters if each.reason != "tombstone"} == {v for r, (_, _, v) in bad if v is not None}
    assert {each.key for each in letters} == {key, b"somebody", None}
    (late,) = deployment.letters(deployment.names.late)
    assert (late.raw, late.reason) == (good[3][2], "late")
    assert SECRET not in worker.said
    assert answers.n_alerts == len(deployment.sent_alerts()[partition_for(mine, 4)]) > 0


def test_a_producer_that_sends_nothing_good_blows_the_fuse(deployed: Callable[..., Deployment]) -> None:
    deployment = deployed()
    produce(deployment, [(0, b"k", b"nonsense %d" % n) for n in range(1_100)])
    worker = deployment.start_worker()
    assert worker.wait(60) == 1
    assert "a producer is broken" in worker.said.splitlines()[-1] or "a producer is broken" in worker.said
    assert deployment.read() < 1_100
    other = deployed(deployment.names.events, worker__fuse="off")
    other.start_worker()
    other.wait_until_read(1_100)
    other.stop_workers()
    assert other.answers().counts.dead == 1_100


RULES = """version = 1
[flags.again]
shape = "count"
kinds = ["request"]
threshold = 2
window = "5s"
level = "leaf"
"""


def test_an_idle_lane_gets_ticks_and_a_flag_ends_without_an_event_but_not_while_old_events_are_filled_in(
    deployed: Callable[..., Deployment], tmp_path: Path
) -> None:
    rules = tmp_path / "rules.toml"
    rules.write_text(RULES)
    deployment = deployed(rules=str(rules), worker__tick="1s", lateness="60s")
    live, old = (next(n for n in (f"c{i}" for i in range(99)) if partition_for(n, 4) == lane) for lane in (1, 3))
    worker = deployment.start_worker()
    deployment.wait_until_shared()
    now = now_ms()
    produce(deployment, keyed(event("o1", old, T0), event("o2", old, T0 + 1_000)))
    produce(deployment, keyed(event("e1", live, now), event("e2", live, now + 1)))
    board = RiskBoard(deployment.client, "risk:")

    def flags(customer: str) -> list[str]:
        return [flag.flag for flag in board.flags(customer) or []]

    until("the flag is up", lambda: flags(live) == ["again"], timeout_s=30)
    until("the flag ended", lambda: board.customer(live) is not None and not flags(live), timeout_s=30)
    assert worker.metric("henji_ticks_sent_total") >= 1
    # The lane that is being filled in stands still, so that the next old event is not late.
    assert flags(old) == ["again"]
    produce(deployment, keyed(event("o3", old, T0 + 2_000)))

    def watermark(lane: int) -> int:
        return int(deployment.client.execute_command("HGET", "risk:meta", f"watermark:{lane}") or -1)

    until("the next old event is applied", lambda: watermark(3) == T0 + 2_000, timeout_s=30)
    deployment.stop_workers()
    assert deployment.answers().counts.late == 0
    assert watermark(3) == T0 + 2_000
    assert watermark(1) > now + 5_000


def test_lanes_tell_each_other_what_they_have_learned_and_a_replay_of_the_topic_says_the_same(
    deployed: Callable[..., Deployment],
) -> None:
    deployment = deployed(worker__tick="none")
    lanes = [next(n for n in (f"c{i}" for i in range(99)) if partition_for(n, 4) == lane) for lane in range(3)]
    deployment.start_worker()
    deployment.wait_until_shared()
    produce(deployment, keyed(*(event(f"e{n}", customer, now_ms()) for n, customer in enumerate(lanes))))

    def has_merged(lane: int) -> bool:
        found = deployment.client.execute_command("HKEYS", f"henji:{{{lane}}}:models")
        return [name for name in found if name.startswith(b"share.")] == [b"share.book"]

    # The fourth lane never had an event: the others tell it.
    until("all lanes have merged", lambda: all(map(has_merged, range(4))), timeout_s=60)
    deployment.wait_until_read(3 + 3 + 4 * 3)
    deployment.stop_workers()
    answers = deployment.answers()
    assert answers.counts.applied >= 18
    assert answers.counts.late == answers.counts.dead == 0
    assert differences(answers, replayed(deployment.settings).answers) == []


# The embedded broker takes a fetch beyond the end of a log for one that waits.
@pytest.mark.parametrize("broker", [pytest.param("apache", marks=pytest.mark.kafka)], indirect=True)
def test_a_ledger_beyond_the_end_of_the_log_stops_the_worker(deployed: Callable[..., Deployment]) -> None:
    deployment = deployed()
    produce(deployment, keyed(*(event(f"e{n}", f"c{n}", T0 + n) for n in range(20))))
    first = deployed(deployment.names.events)
    first.start_worker()
    first.wait_until_read(20)
    first.stop_workers()
    # The state is gone but for one partition's position, as after a restore of half a backup.
    lane = first.client.execute_command("HGET", "henji:{0}:partition:" + first.names.events + ":0", "next_offset")
    assert lane is not None
    first.client.execute_command("HSET", "henji:{0}:partition:" + first.names.events + ":0", "next_offset", "900")
    worker = first.start_worker()
    assert worker.wait(60) == 1
    assert "the topic was made anew or cut" in worker.said or "expected the record at offset" in worker.said


@pytest.mark.parametrize("broker", [pytest.param("apache", marks=pytest.mark.kafka)], indirect=True)
def test_partitions_added_to_a_live_topic_stop_the_worker(deployed: Callable[..., Deployment]) -> None:
    deployment = deployed()
    produce(deployment, keyed(*(event(f"e{n}", f"c{n}", T0 + n) for n in range(20))))
    worker = deployment.start_worker()
    deployment.wait_until_read(20)

    async def add() -> None:
        admin = AIOKafkaAdminClient(bootstrap_servers=deployment.brokers)
        await admin.start()
        try:
            await admin.create_partitions({deployment.names.events: NewPartitions(4)})
        finally:
            await admin.close()

    asyncio.run(add())
    # aiokafka looks at the cluster anew every few minutes; a restart looks at once.
    worker.terminate()
    worker.wait()
    again = deployment.start_worker()
    assert again.wait(60) == 1
    assert "copy the topic into a new one" in again.said


def test_a_log_line_is_one_json_object_when_it_is_asked_for(deployed: Callable[..., Deployment]) -> None:
    deployment = deployed(worker__log="json")
    worker = deployment.start_worker()
    until("a partition is opened", lambda: '"opened at' in worker.said, timeout_s=30)
    deployment.stop_workers()
    lines = [json.loads(line) for line in worker.said.splitlines() if line.startswith("{")]
    assert {"time", "level", "logger", "message"} <= set(lines[0])
    assert any(line.get("partition") in (0, 1) for line in lines)


def test_models_are_promoted_and_rolled_back_under_a_running_worker_and_a_replay_agrees(
    deployed: Callable[..., Deployment], capsys: pytest.CaptureFixture[str]
) -> None:
    deployment = deployed(learning__challengers="plain", worker__share="none")
    # Of a year ago, as while old events are filled in: an order of now must not make the rest of them late.
    old = now_ms() - 365 * 86_400_000
    customers = [f"c{n}" for n in range(8)]
    first, second, third = (
        keyed(*(event(f"e{round}-{who}", who, old + round * 60_000, "view") for who in customers)) for round in range(3)
    )
    produce(deployment, first)
    worker = deployment.start_worker()
    deployment.wait_until_read(8)
    where = ["--redis", deployment.redis.url, "--kafka", deployment.brokers, "--topic", deployment.names.events]
    told: list[dict[str, Any]] = []
    for records, read, command in ((second, 12, ["promote", "plain"]), (third, 24, ["rollback"])):
        assert main(["models", *command, *where]) == 0
        deployment.wait_until_read(read)
        told.append(_listed(deployment, capsys))
        produce(deployment, records)
        deployment.wait_until_read(read + 8)
    assert [list(facts["champions"]) for facts in told] == [["plain"], ["blend"]]
    shown = get(f"{worker._listening()}/metrics")[1].decode()
    assert 'henji_champion_info{lane="0",model="blend",version="blend2"} 1.0' in shown
    assert "henji_labels_learned_total" in shown
    deployment.stop_workers()
    answers = deployment.answers()
    assert tuple(answers.counts) == (32, 32, 0, 0, 0)
    assert answers.digest == replayed(deployment.settings).answers.digest


def _listed(deployment: Deployment, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["models", "list", "--redis", deployment.redis.url, "--json"]) == 0
    facts: dict[str, Any] = json.loads(capsys.readouterr().out)
    return facts
