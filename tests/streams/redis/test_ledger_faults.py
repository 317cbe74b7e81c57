"""What the ledger does when Redis, the network or another client misbehave, on a real Redis."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.errors import CorruptState, LedgerConflict, StateIncompatible, StoreUnavailable, UsageError
from engine.outcome import BoardRows, Outcome
from streams.redis.board import RiskBoard
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from streams.redis.ledger import RedisLedger
from streams.redis.retrying import Backoff
from streams.redis.verify import verify
from tests.streams.redis.proxy import Fault, LossyProxy
from tests.streams.redis.samples import (
    FLAG,
    KEYS,
    SETTINGS,
    alert,
    change,
    no_sleep,
    outcome,
    owned,
    position,
    redis_ledger,
    rows,
    ticket_row,
)

PARTITION = "henji:{0}:partition:events:0"


def batch(number: int, *, customer: str = "c1") -> Outcome:
    made = outcome([change(customer, f"m{number}".encode(), churn=number / 10, flags={"a": FLAG})], clock=number)
    made.alerts = [alert(seq=number, customer_id=customer)]
    return made


def everything(client: RedisClient) -> dict[bytes, Any]:
    return {key: client.execute_command("DUMP", key) for key in client.scan_iter()}


def assert_written_once(client: RedisClient, number: int) -> None:
    record = redis_ledger(client).open(SETTINGS)
    assert record is not None
    assert (record.position.next_offset, record.batches) == (number, number)
    assert redis_ledger(client).load(0, ["c1"]) == {"c1": f"m{number}".encode()}
    assert [each.seq for each in RiskBoard(client).alerts()] == list(range(1, number + 1))
    assert verify(client) == []


@pytest.fixture
def proxy(redis_server: EmbeddedRedis, redis_client: RedisClient) -> Iterator[LossyProxy]:
    """A lossy way to the empty Redis."""
    with LossyProxy(redis_server.url) as made:
        yield made


@pytest.mark.parametrize(
    "faults",
    [["lose_reply"], ["lose_request"], ["lose_request", "lose_reply"]],
    ids=["reply_lost", "request_lost", "both"],
)
def test_a_batch_is_written_once_whatever_the_network_loses(
    proxy: LossyProxy, redis_client: RedisClient, faults: list[Fault]
) -> None:
    client = proxy.client()
    ledger = owned(client)
    ledger.commit([batch(1)], position(1))
    proxy.faults = list(faults)
    ledger.commit([batch(2)], position(2))
    assert proxy.faults == []
    ledger.commit([batch(3)], position(3))
    assert_written_once(redis_client, 3)
    client.close()


def test_a_big_batch_is_written_once_when_its_reply_is_lost(proxy: LossyProxy, redis_client: RedisClient) -> None:
    client = proxy.client()
    ledger = owned(client)
    proxy.faults = ["lose_reply"]
    ledger.commit([outcome([change(f"c{number}") for number in range(500)])], position(1))
    assert len(list(ledger.customers(0))) == 500
    assert verify(redis_client) == []
    client.close()


def test_the_same_commit_may_be_called_again_when_nobody_knows(proxy: LossyProxy, redis_client: RedisClient) -> None:
    client = proxy.client()
    ledger = owned(client)
    proxy.faults, proxy.refuse_after = ["lose_reply"], True
    with pytest.raises(StoreUnavailable, match="not known"):
        ledger.commit([batch(1)], position(1))
    client.close()
    ledger._client = redis_client  # the network is back
    ledger.commit([batch(1)], position(1))
    assert_written_once(redis_client, 1)


def test_another_batch_after_an_unknown_one_is_refused(proxy: LossyProxy, redis_client: RedisClient) -> None:
    client = proxy.client()
    ledger = owned(client)
    proxy.faults, proxy.refuse_after = ["lose_reply"], True
    with pytest.raises(StoreUnavailable):
        ledger.commit([batch(1)], position(1))
    client.close()
    ledger._client = redis_client
    with pytest.raises(LedgerConflict):
        ledger.commit([batch(2)], position(2))
    assert_written_once(redis_client, 1)


def test_a_board_key_that_failed_behind_a_lost_reply_is_found(proxy: LossyProxy, redis_client: RedisClient) -> None:
    client = proxy.client()
    ledger = owned(client)
    ledger.commit([batch(1)], position(1))
    redis_client.execute_command("SET", KEYS.customer("c1"), "not ours")
    proxy.faults = ["lose_reply"]
    ledger.commit([batch(2)], position(2))
    assert ledger.broken_board_keys == {KEYS.customer("c1")}
    ledger.commit([], position(3))
    assert verify(redis_client) == []
    client.close()


def test_a_ledger_key_that_failed_behind_a_lost_reply_is_found(proxy: LossyProxy, redis_client: RedisClient) -> None:
    client = proxy.client()
    ledger = owned(client)
    redis_client.execute_command("SET", KEYS.lane_timers(0), "not ours")
    proxy.faults = ["lose_reply"]
    with pytest.raises(StateIncompatible, match=r"henji:\{0\}:timers"):
        ledger.commit([batch(1)], position(1))
    client.close()


class Crashing:
    """A Redis of its own that a test may kill."""

    def __init__(self, directory: Path) -> None:
        self.server = EmbeddedRedis(directory)
        self.server.start()
        self.client = self.server.client()
        # Every write on disk at once: what was answered survives a kill.
        self.client.execute_command("CONFIG", "SET", "appendfsync", "always")

    def ledger(self, **more: object) -> RedisLedger:
        return owned(self.client, **more)


@pytest.fixture
def crashing(tmp_path: Path) -> Iterator[Crashing]:
    """A Redis of this test only."""
    made = Crashing(tmp_path)
    yield made
    made.client.close()
    made.server.stop()


def test_a_batch_waits_for_redis_to_come_back(crashing: Crashing) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> None:
        waits.append(seconds)
        if len(waits) == 2:
            crashing.server.start()

    ledger = crashing.ledger(sleep=wait)
    ledger.commit([batch(1)], position(1))
    crashing.server.kill()
    ledger.commit([batch(2)], position(2))
    assert waits == [0.1, 0.2]
    assert_written_once(crashing.client, 2)


def test_reads_wait_for_redis_too(crashing: Crashing) -> None:
    ledger = crashing.ledger(sleep=lambda _: crashing.server.start())
    ledger.commit([batch(1)], position(1))
    crashing.server.kill()
    assert ledger.load(0, ["c1"]) == {"c1": b"m1"}
    crashing.server.kill()
    assert ledger.lane_state(0).timers == [(5000, "c1")]
    crashing.server.kill()
    assert ledger.open(SETTINGS) is not None


def test_a_redis_that_stays_away_is_said_and_nothing_is_lost(crashing: Crashing) -> None:
    ledger = crashing.ledger(backoff=Backoff(attempts=3))
    crashing.server.kill()
    with pytest.raises(StoreUnavailable, match="tried 3 times"):
        ledger.commit([batch(1)], position(1))
    with pytest.raises(StoreUnavailable):
        list(ledger.customers(0))
    crashing.server.start()
    ledger.commit([batch(1)], position(1))
    assert_written_once(crashing.client, 1)


def test_a_redis_that_lost_everything_makes_the_log_be_read_again(crashing: Crashing) -> None:
    ledger = crashing.ledger()
    ledger.commit([batch(1)], position(1))
    crashing.client.execute_command("FLUSHALL")
    with pytest.raises(LedgerConflict, match="nothing was written"):
        ledger.commit([batch(2)], position(2))
    assert everything(crashing.client) == {}
    ledger.claim()
    assert ledger.open(SETTINGS) is None
    ledger.commit([batch(1)], position(1))
    ledger.commit([batch(2)], position(2))
    assert_written_once(crashing.client, 2)


def test_a_redis_that_was_rolled_back_makes_the_log_be_read_again(crashing: Crashing) -> None:
    ledger = crashing.ledger()
    ledger.commit([batch(1)], position(1))
    backup = everything(crashing.client)
    ledger.commit([batch(2)], position(2))
    crashing.client.execute_command("FLUSHALL")
    for key, dump in backup.items():
        crashing.client.execute_command("RESTORE", key, 0, dump)
    with pytest.raises(LedgerConflict):
        ledger.commit([batch(3)], position(3))
    ledger.claim()
    record = ledger.open(SETTINGS)
    assert record is not None
    assert record.position.next_offset == 1
    ledger.commit([batch(2)], position(2))
    assert redis_ledger(crashing.client).load(0, ["c1"]) == {"c1": b"m2"}


def test_a_full_redis_takes_nothing_and_the_batch_waits(crashing: Crashing) -> None:
    ledger = crashing.ledger()
    crashing.client.execute_command("CONFIG", "SET", "maxmemory", "1")
    before = everything(crashing.client)
    with pytest.raises(StoreUnavailable, match="maxmemory") as caught:
        ledger.commit([batch(1)], position(1))
    assert "c1" not in str(caught.value), "no data of customers in messages"
    assert everything(crashing.client) == before
    crashing.client.execute_command("CONFIG", "SET", "maxmemory", "0")
    ledger.commit([batch(1)], position(1))
    assert_written_once(crashing.client, 1)


def test_a_user_who_may_not_write_is_told_so_and_nothing_is_written(crashing: Crashing) -> None:
    ledger = crashing.ledger()
    crashing.client.execute_command("ACL", "SETUSER", "default", "-publish")
    with pytest.raises(UsageError, match="ACL"):
        ledger.commit([batch(1)], position(1))
    assert redis_ledger(crashing.client).load(0, ["c1"]) == {"c1": None}


@pytest.mark.parametrize(
    "key",
    [
        "customer:c1",
        "flags:c1",
        "timeline:c1",
        "meta",
        "alerts",
        "alert:00ff",
        "model:churn",
        "index:churn",
        "queue:open",
    ],
)
def test_a_board_key_that_another_client_overwrote_is_written_whole(redis_client: RedisClient, key: str) -> None:
    ledger = owned(redis_client)
    ledger.commit([batch(1)], position(1))
    redis_client.execute_command("SET", f"risk:{key}", "not ours")
    second = batch(2)
    second.alert_state = {"00ff": ticket_row(acked_by="ben")}
    second.model_rows = {"churn": {"auc": "0.7"}}
    ledger.commit([second], position(2))
    ledger.commit([], position(3))
    assert ledger.broken_board_keys == frozenset()
    assert verify(redis_client) == []
    board = RiskBoard(redis_client)
    assert [each.seq for each in board.alerts()] == ([2] if key == "alerts" else [1, 2])
    assert board.top("churn", 9) == [("c1", 0.2)]
    customer = board.customer("c1")
    assert customer is not None
    assert customer.churn == 0.2
    assert redis_client.execute_command("HGET", "risk:model:churn", "auc:0") == b"0.7"


@pytest.mark.parametrize("part", ["customer", "flags", "why", "history", "timeline"])
def test_a_board_key_that_another_client_deleted_is_written_whole(redis_client: RedisClient, part: str) -> None:
    ledger = owned(redis_client)
    ledger.commit([batch(1)], position(1))
    redis_client.execute_command("DEL", KEYS.part(part, "c1"))
    ledger.commit([batch(2)], position(2))
    ledger.commit([], position(3))
    assert ledger.broken_board_keys == frozenset()
    assert verify(redis_client) == [], "with its TTL"


def test_what_is_known_changes_in_place_and_exactly(redis_client: RedisClient) -> None:
    ledger = owned(redis_client)
    ledger.commit([batch(1)], position(1))
    for number, flags in enumerate([["a", "b"], ["b"], [], ["c"], ["d"], ["d", "e", "f"]], start=2):
        changed = change("c1", churn=number / 10, flags=dict.fromkeys(flags, FLAG))
        assert changed.board is not None
        changed.board.timeline = [f'[{at},"view",null,null,null,null]' for at in range(number % 4)]
        changed.board.history = {f"2024-05-{day:02}": "[0.5,1.5]" for day in range(number, number + 3)}
        ledger.commit([outcome([changed])], position(number))
        assert ledger.broken_board_keys == frozenset()
        board = RiskBoard(redis_client)
        assert [flag.field for flag in board.flags("c1") or ()] == flags
        assert [entry.at for entry in board.timeline("c1") or ()] == list(range(number % 4))
        assert sorted(board.history("c1") or ()) == sorted(changed.board.history)
        assert verify(redis_client) == []


def test_a_board_key_that_failed_is_remembered_until_it_is_written(redis_client: RedisClient) -> None:
    ledger = owned(redis_client)
    ledger.commit([batch(1)], position(1))
    redis_client.execute_command("SET", KEYS.customer("c1"), "not ours")
    ledger.commit([batch(2), outcome([change("c9", lane=1)], lane=1)], position(2))
    assert ledger.broken_board_keys == {KEYS.customer("c1")}
    assert RiskBoard(redis_client).customer("c9") is not None
    ledger.repair()
    assert ledger.broken_board_keys == frozenset()
    assert verify(redis_client) == []


def test_an_older_repair_does_not_win_over_a_newer_batch(redis_client: RedisClient) -> None:
    ledger = owned(redis_client)
    ledger.commit([batch(1)], position(1))
    redis_client.execute_command("SET", KEYS.customer("c1"), "not ours")
    ledger.commit([batch(2)], position(2))
    assert ledger.broken_board_keys
    less = change("c1", b"m3", churn=0.3)
    assert less.board is not None
    del less.board.customer["segments"]
    ledger.commit([outcome([less])], position(3))
    customer = RiskBoard(redis_client).customer("c1")
    assert customer is not None
    assert (customer.churn, customer.segments) == (0.3, None)
    assert verify(redis_client) == [], "with its TTL"


def test_a_key_that_is_overwritten_again_and_again_is_repaired_again(redis_client: RedisClient) -> None:
    ledger = owned(redis_client)
    ledger.commit([batch(1)], position(1))
    for number in (2, 3):
        redis_client.execute_command("SET", KEYS.index("churn"), "not ours")
        redis_client.execute_command("SET", KEYS.alerts, "not ours")
        ledger.commit([batch(number)], position(number))
        # Repaired and broken anew within one round: the repair begins with DEL, so nothing fails the second time.
        assert ledger.broken_board_keys == ({KEYS.index("churn"), KEYS.alerts} if number == 2 else frozenset())
    assert verify(redis_client) == []
    assert [each.seq for each in RiskBoard(redis_client).alerts()] == [2, 3]


def test_a_repair_of_a_former_ownership_is_dropped(redis_client: RedisClient) -> None:
    ledger = owned(redis_client)
    ledger.commit([batch(1)], position(1))
    redis_client.execute_command("SET", KEYS.customer("c1"), "not ours")
    ledger.commit([batch(2)], position(2))
    assert ledger.broken_board_keys
    owned(redis_client).commit([batch(3)], position(3))
    ledger.claim()
    ledger.open(SETTINGS)
    ledger.commit([], position(4))
    customer = RiskBoard(redis_client).customer("c1")
    assert customer is not None
    assert customer.churn == 0.3


def test_a_new_owner_takes_nothing_on_the_board_for_granted(redis_client: RedisClient) -> None:
    ledger = owned(redis_client)
    ledger.commit([batch(1)], position(1))
    more = change("c1", b"m2", flags={"a": FLAG, "b": FLAG})
    owned(redis_client).commit([outcome([more])], position(2))
    ledger.claim()
    ledger.open(SETTINGS)
    ledger.commit([batch(3)], position(3))
    assert [flag.field for flag in RiskBoard(redis_client).flags("c1") or ()] == ["a"]
    assert verify(redis_client) == []


def churn_of(customer_id: str, record: bytes) -> BoardRows:
    return rows(churn=int(record[1:]) / 10)


@pytest.mark.parametrize("board_of", [churn_of, None], ids=["from_the_ledger", "from_the_batch"])
def test_an_overwritten_leaderboard_comes_back_with_everybody(redis_client: RedisClient, board_of: object) -> None:
    ledger = owned(redis_client, board_of=board_of)
    ledger.commit([batch(1, customer="c8"), outcome([change("c9", b"m9", churn=0.9)], lane=5)], position(1))
    redis_client.execute_command("SET", KEYS.index("churn"), "not ours")
    ledger.commit([batch(2)], position(2))
    ledger.repair()
    everybody = [("c9", 0.9), ("c1", 0.2), ("c8", 0.1)]
    assert RiskBoard(redis_client).top("churn", 9) == (everybody if board_of else [("c1", 0.2)])


@pytest.mark.parametrize("part", ["customers", "timers", "models"])
def test_a_ledger_key_that_another_client_overwrote_stops_the_partition(redis_client: RedisClient, part: str) -> None:
    ledger = owned(redis_client)
    ledger.commit([batch(1)], position(1))
    key = f"henji:{{0}}:{part}"
    redis_client.execute_command("SET", key, "not ours")
    second = batch(2)
    second.models = {"churn": b"snapshot"}
    with pytest.raises(StateIncompatible, match=key.replace("{", r"\{")):
        ledger.commit([second], position(2))
    with pytest.raises(LedgerConflict):
        ledger.commit([batch(3)], position(3))
    redis_client.execute_command("DEL", key)
    # The key is of the right type again, but what it held is lost: nobody goes on by mistake.
    with pytest.raises(StateIncompatible, match=key.replace("{", r"\{")):
        redis_ledger(redis_client).open(SETTINGS)


def test_a_ledger_key_of_the_wrong_type_is_found_at_start(redis_client: RedisClient) -> None:
    owned(redis_client).commit([batch(1)], position(1))
    redis_client.execute_command("SET", KEYS.lane_models(7), "not ours")
    with pytest.raises(StateIncompatible, match=r"henji:\{7\}:models: expected a hash"):
        redis_ledger(redis_client).open(SETTINGS)


def test_a_partition_record_of_the_wrong_type_is_named(redis_client: RedisClient) -> None:
    ledger = owned(redis_client)
    redis_client.execute_command("SET", PARTITION, "not ours")
    for use in (lambda: ledger.commit([batch(1)], position(1)), lambda: ledger.open(SETTINGS), ledger.claim):
        with pytest.raises(StateIncompatible, match=r"henji:\{0\}:partition:events:0"):
            use()


def test_state_without_a_position_is_not_taken_for_a_new_ledger(redis_client: RedisClient) -> None:
    owned(redis_client).commit([batch(1)], position(1))
    redis_client.execute_command("DEL", PARTITION)
    with pytest.raises(StateIncompatible, match="no position"):
        redis_ledger(redis_client).open(SETTINGS)


@pytest.mark.parametrize(
    ("field", "value"),
    [("next_offset", "-1"), ("read", "x"), ("outputs", "{"), ("last_hash", None), ("written_at", "")],
)
def test_a_damaged_partition_record_is_refused(redis_client: RedisClient, field: str, value: str | None) -> None:
    owned(redis_client).commit([batch(1)], position(1))
    if value is None:
        redis_client.execute_command("HDEL", PARTITION, field)
    else:
        redis_client.execute_command("HSET", PARTITION, field, value)
    with pytest.raises(CorruptState, match="partition record"):
        redis_ledger(redis_client).open(SETTINGS)


def test_a_former_owner_leaves_every_key_as_it_is(redis_client: RedisClient) -> None:
    zombie = owned(redis_client)
    zombie.commit([batch(1)], position(1))
    owned(redis_client)
    before = everything(redis_client)
    with pytest.raises(LedgerConflict, match="nothing was written"):
        zombie.commit([batch(2)], position(2))
    zombie.repair()
    assert everything(redis_client) == before


class ClaimedMeanwhile:
    """A client on which somebody else claims the partition between the guard's reading and EXEC."""

    def __init__(self, client: RedisClient) -> None:
        self._client = client
        self.rival: RedisLedger | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._client, name)

    def pipeline(self, transaction: bool = True) -> Any:
        pipe = self._client.pipeline(transaction=transaction)
        execute = pipe.execute_command

        def then_claim(*args: Any) -> Any:
            answer = execute(*args)
            if args[0] == "HMGET" and self.rival is not None:
                rival, self.rival = self.rival, None
                rival.claim()
            return answer

        pipe.execute_command = then_claim
        return pipe


def test_an_owner_who_comes_between_guard_and_transaction_wins(redis_client: RedisClient) -> None:
    client = ClaimedMeanwhile(redis_client)
    ledger = owned(client)
    ledger.commit([batch(1)], position(1))
    before = everything(redis_client)
    client.rival = redis_ledger(redis_client)
    with pytest.raises(LedgerConflict):
        ledger.commit([batch(2)], position(2))
    changed = {key for key, dump in everything(redis_client).items() if before.get(key) != dump}
    assert changed == {PARTITION.encode()}, "the rival's claim, and nothing else"


def test_waits_grow_and_are_bounded() -> None:
    assert list(Backoff().waits()) == [0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0]
    no_sleep(0.0)
