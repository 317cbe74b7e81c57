"""Laws that every ledger keeps, run over all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.errors import ConfigurationError, LedgerConflict, StateIncompatible
from engine.outcome import Outcome
from streams.ledger import Binding, Counts, Ledger, Outbox, Position
from streams.memory_ledger import MemoryLedger, MemoryStore
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from streams.redis.ledger import RedisLedger
from tests.streams.redis.samples import BINDING, META, NOW, SETTINGS, change, gone, no_sleep, outcome, position

Factory = Callable[..., Ledger]


def memory_factory() -> Factory:
    store = MemoryStore()
    return lambda binding=BINDING: MemoryLedger(binding, store, now_ms=lambda: NOW)


def redis_factory(client: RedisClient) -> Factory:
    client.execute_command("FLUSHALL")
    return lambda binding=BINDING: RedisLedger(client, binding, META, now_ms=lambda: NOW, sleep=no_sleep)


@pytest.fixture(params=["memory", "redis"])
def factory(request: pytest.FixtureRequest) -> Iterator[Factory]:
    """Makes ledgers that share one store."""
    if request.param == "memory":
        yield memory_factory()
        return
    server: EmbeddedRedis = request.getfixturevalue("redis_server")
    client = server.client()
    yield redis_factory(client)
    client.close()


def owned(factory: Factory, binding: Binding = BINDING) -> Ledger:
    ledger = factory(binding)
    ledger.claim()
    ledger.open(SETTINGS)
    return ledger


def test_an_empty_ledger_has_no_position(factory: Factory) -> None:
    assert factory().open(SETTINGS) is None
    assert factory().lane_state(0) == (None, {}, [])
    assert factory().load(0, ["c1"]) == {"c1": None}


def test_what_was_committed_is_found_by_the_next_owner(factory: Factory) -> None:
    first = owned(factory)
    batch = outcome([change("c1", b"m1", due=7), change("客 {2}", b"\x00\xff", due=None)], lane=3, record=b"\x01")
    batch.models["churn"] = b"\x02snapshot"
    wanted = Position(
        next_offset=5,
        settings=SETTINGS,
        counts=Counts(read=5, applied=2, duplicate=1, late=1, dead=1),
        last_hash="ab",
        outputs={"alerts.jsonl": 120},
        complete=True,
        input="topic-id",
        append_delays={3: 86_400_000, 7: -5},
    )
    first.commit([batch], wanted)

    second = factory()
    token = second.claim()
    record = second.open(SETTINGS)
    assert record is not None
    assert record.position == Position(
        **{name: getattr(wanted, name) for name in Position.__slots__ if name != "owner"}, owner=token
    )
    assert (record.batches, record.written_at) == (1, NOW)
    assert second.lane_state(3) == (b"\x01", {"churn": b"\x02snapshot"}, [(7, "c1")])
    assert second.load(3, ["客 {2}", "c1", "nobody"]) == {"客 {2}": b"\x00\xff", "c1": b"m1", "nobody": None}
    assert dict(second.customers(3)) == {"c1": b"m1", "客 {2}": b"\x00\xff"}


def test_timers_come_in_the_order_of_due_time_and_customer(factory: Factory) -> None:
    ledger = owned(factory)
    ids = ["b", "é", "a", "Z", "\U0001f600", "\uffee"]
    ledger.commit([outcome([change(each, due=9) for each in ids] + [change("first", due=8)])], position(1))
    assert ledger.lane_state(0).timers == [(8, "first"), *((9, each) for each in sorted(ids))]


def test_a_customer_without_due_time_has_no_timer(factory: Factory) -> None:
    ledger = owned(factory)
    ledger.commit([outcome([change("c1", due=7), change("c2", due=8)])], position(1))
    ledger.commit([outcome([change("c1", due=None)])], position(2))
    assert ledger.lane_state(0).timers == [(8, "c2")]


def test_a_removed_customer_leaves_nothing(factory: Factory) -> None:
    ledger = owned(factory)
    ledger.commit([outcome([change("c1"), change("c2")])], position(1))
    ledger.commit([outcome([gone("c1")])], position(2))
    assert dict(ledger.customers(0)) == {"c2": b"memory"}
    assert ledger.lane_state(0).timers == [(5000, "c2")]


def test_lanes_do_not_see_each_other(factory: Factory) -> None:
    ledger = owned(factory)
    ledger.commit([outcome([change("c1", b"a")], lane=1), outcome([change("c1", b"b")], lane=2)], position(1))
    assert (ledger.load(1, ["c1"]), ledger.load(2, ["c1"])) == ({"c1": b"a"}, {"c1": b"b"})


@pytest.mark.parametrize("claimed", [False, True], ids=["never_claimed", "claimed_but_not_opened"])
def test_nothing_is_written_before_claim_and_open(factory: Factory, claimed: bool) -> None:
    ledger = factory()
    ledger.open(SETTINGS)
    if claimed:
        ledger.claim()
    with pytest.raises(LedgerConflict, match="claim"):
        ledger.commit([outcome([change("c1")])], position(1))
    assert list(factory().customers(0)) == []


def test_a_former_owner_writes_nothing(factory: Factory) -> None:
    zombie = owned(factory)
    zombie.commit([outcome([change("c1", b"old")])], position(1))
    owner = owned(factory)
    with pytest.raises(LedgerConflict):
        zombie.commit([outcome([change("c1", b"zombie")], record=b"zombie")], position(2))
    assert owner.load(0, ["c1"]) == {"c1": b"old"}
    assert owner.lane_state(0).record == b"lane"
    owner.commit([outcome([change("c1", b"new")])], position(2))
    with pytest.raises(LedgerConflict):
        zombie.open(SETTINGS)
    assert owner.load(0, ["c1"]) == {"c1": b"new"}


def test_a_refused_owner_comes_back_by_claim_and_open(factory: Factory) -> None:
    ledger = owned(factory)
    owned(factory).commit([], position(4))
    with pytest.raises(LedgerConflict):
        ledger.commit([], position(1))
    ledger.claim()
    record = ledger.open(SETTINGS)
    assert record is not None
    assert record.position.next_offset == 4
    ledger.commit([], position(5))


def test_tokens_are_never_the_same(factory: Factory) -> None:
    assert len({factory().claim() for _ in range(20)}) == 20


def test_a_position_does_not_go_back(factory: Factory) -> None:
    ledger = owned(factory)
    ledger.commit([], position(5))
    with pytest.raises(LedgerConflict, match="5"):
        ledger.commit([], position(4))


def test_the_position_of_another_owner_is_refused(factory: Factory) -> None:
    ledger = owned(factory)
    with pytest.raises(LedgerConflict, match="owner"):
        ledger.commit([], position(1, owner="7:other"))


def test_other_settings_are_refused_before_anything_is_claimed(factory: Factory) -> None:
    ledger = owned(factory)
    ledger.commit([], position(1))
    with pytest.raises(StateIncompatible, match=r"settings-2.*settings-1"):
        factory().open("settings-2")
    ledger.commit([], position(2))


def test_another_number_of_lanes_is_refused(factory: Factory) -> None:
    owned(factory).commit([], position(1))
    with pytest.raises(StateIncompatible, match="lanes"):
        factory(Binding.of("events", 0, lanes=16)).open(SETTINGS)


def test_a_lane_of_another_partition_is_refused(factory: Factory) -> None:
    ledger = owned(factory, Binding.of("events", 1, partitions=2))
    with pytest.raises(ValueError, match="lane"):
        ledger.commit([outcome([], lane=2)], position(1))


def test_partitions_have_positions_of_their_own(factory: Factory) -> None:
    one, other = (owned(factory, Binding.of("events", number, partitions=2)) for number in (0, 1))
    one.commit([outcome([change("c1")], lane=0)], position(3))
    other.commit([outcome([change("c2")], lane=1)], position(9))
    offsets = [ledger.open(SETTINGS).position.next_offset for ledger in (one, other)]  # type: ignore[union-attr]
    assert offsets == [3, 9]


def test_reset_forgets_the_partition_and_refuses_its_owner(factory: Factory) -> None:
    ledger = owned(factory)
    ledger.commit([outcome([change("c1")])], position(3))
    factory().reset()
    assert factory().open(SETTINGS) is None
    assert list(factory().customers(0)) == []
    with pytest.raises(LedgerConflict):
        ledger.commit([], position(4))


def test_counts_that_do_not_add_up_are_no_position() -> None:
    with pytest.raises(ValueError, match="read"):
        Position(next_offset=2, settings=SETTINGS, counts=Counts(read=2, applied=1))


def test_a_partition_carries_whole_lanes() -> None:
    owns = [Binding.of("events", number, partitions=4).own for number in range(4)]
    assert sorted(lane for own in owns for lane in own) == list(range(8))
    with pytest.raises(ConfigurationError, match="lanes"):
        Binding.of("events", 0, partitions=3)


STEP = st.tuples(
    st.sampled_from(["a", "b", "客"]), st.none() | st.binary(max_size=4), st.none() | st.integers(0, 4_102_444_800_000)
)
BATCHES = st.lists(st.tuples(st.integers(0, 2), st.lists(STEP, max_size=4), st.binary(max_size=3)), max_size=6)


def run(make: Factory, batches: list[tuple[int, list[tuple[str, bytes | None, int | None]], bytes]]) -> list[object]:
    ledger = owned(make)
    for number, (lane, steps, record) in enumerate(batches):
        changes = [gone(who) if memory is None else change(who, memory, due=due) for who, memory, due in steps]
        ledger.commit([outcome(changes, lane=lane, record=record)], position(number))
    reader = make()
    return [
        reader.open(SETTINGS) is not None,
        *((reader.lane_state(lane), sorted(reader.customers(lane))) for lane in range(3)),
    ]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(BATCHES)
def test_both_ledgers_hold_the_same_after_any_batches(
    redis_client: RedisClient, batches: list[tuple[int, list[tuple[str, bytes | None, int | None]], bytes]]
) -> None:
    assert run(redis_factory(redis_client), batches) == run(memory_factory(), batches)


def test_an_outcome_is_not_changed_by_writing_it(factory: Factory) -> None:
    def made() -> Outcome:
        return outcome([change("c1", flags={"sensitive": '[1,2,1,"high","00"]'}), gone("c2")])

    written = made()
    owned(factory).commit([written], position(1))
    assert written == made()


def test_the_outbox_moves_with_the_position(factory: Factory) -> None:
    ledger = owned(factory)
    ledger.commit([], position(1), Outbox(entries=[b"a", b"b"]))
    ledger.commit([], position(2), Outbox(entries=[b"c"]))
    assert factory().outbox() == [b"a", b"b", b"c"]
    ledger.commit([], position(3), Outbox(shipped=2, entries=[b"d"]))
    assert factory().outbox() == [b"c", b"d"]
    ledger.commit([], position(4), Outbox(shipped=2))
    assert factory().outbox() == []


def test_who_lost_the_partition_changes_no_outbox(factory: Factory) -> None:
    zombie = owned(factory)
    zombie.commit([], position(1), Outbox(entries=[b"a"]))
    owned(factory)
    with pytest.raises(LedgerConflict):
        zombie.commit([], position(2), Outbox(shipped=1, entries=[b"b"]))
    assert factory().outbox() == [b"a"]


def test_a_reset_empties_the_outbox(factory: Factory) -> None:
    ledger = owned(factory)
    ledger.commit([], position(1), Outbox(entries=[b"a"]))
    ledger.reset()
    assert factory().outbox() == []


def test_a_ledger_that_nobody_touched_is_as_it_was_left(factory: Factory) -> None:
    ledger = owned(factory)
    ledger.check()
    ledger.commit([outcome([])], position(1))
    ledger.check()
    ledger.commit([outcome([])], position(2))


def test_an_emptied_store_shows_without_a_batch(factory: Factory) -> None:
    ledger = owned(factory)
    ledger.commit([outcome([])], position(1))
    factory().reset()
    with pytest.raises(LedgerConflict):
        ledger.check()


def test_another_owner_shows_without_a_batch(factory: Factory) -> None:
    ledger = owned(factory)
    factory().claim()
    with pytest.raises(LedgerConflict):
        ledger.check()


def test_nothing_is_as_it_was_left_before_claim_and_open(factory: Factory) -> None:
    with pytest.raises(LedgerConflict):
        factory().check()
