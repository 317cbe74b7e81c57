from __future__ import annotations

from typing import Any

import orjson
import pytest

from engine.errors import CorruptState, StateIncompatible
from streams.redis.board import RiskBoard
from streams.redis.catalogue import TTL_S
from streams.redis.client import RedisClient
from streams.redis.keys import CUSTOMER_PARTS, Keys
from streams.redis.ledger import RedisLedger
from streams.redis.verify import verify
from tests.streams.redis.samples import (
    FLAG,
    KEYS,
    META,
    NOW,
    alert,
    change,
    gone,
    outcome,
    owned,
    position,
    ticket_row,
)


def test_what_was_written_is_what_is_read(redis_client: RedisClient) -> None:
    ledger = owned(redis_client)
    ledger.commit([outcome([change("c1", churn=0.75, flags={"repeat_request/billing": FLAG})])], position(1))
    board = RiskBoard(redis_client)
    customer = board.customer("c1")
    assert customer is not None
    assert (customer.churn, customer.flags_up, customer.lane, customer.sensitive) == (0.75, 1, 0, False)
    assert customer.segments == ("new", "campus")
    assert customer.value is None
    why = board.why("c1")
    assert why is not None
    assert why.evidence == {"repeat_request/billing": ["e1", "e2"]}
    assert why.churn == [{"code": "silence", "effect": 0.5}]
    assert board.profile("c1") == {"role": "student"}
    assert board.history("c1") == {"2024-05-01": (0.75, 1.5)}
    timeline = board.timeline("c1")
    assert timeline is not None
    assert [(entry.at, entry.kind, entry.channel) for entry in timeline] == [
        (1000, "request", "phone"),
        (2000, "resolved", None),
    ]
    assert verify(redis_client) == []


def test_missing_is_unknown_and_never_zero(redis_client: RedisClient) -> None:
    board = RiskBoard(redis_client)
    asked = (board.customer, board.flags, board.why, board.profile, board.history, board.timeline, board.alert)
    assert [ask("nobody") for ask in asked] == [None] * len(asked)
    assert board.meta() is None
    redis_client.execute_command("HSET", KEYS.customer("c1"), "lane", "0")
    customer = board.customer("c1")
    assert customer is not None
    assert (customer.churn, customer.sensitive, customer.segments) == (None, None, None)
    assert board.flags("c1") == []


@pytest.mark.parametrize(("watermark", "up"), [(4999, True), (5000, True), (5001, False)])
def test_a_flag_is_up_at_its_end_and_down_after(redis_client: RedisClient, watermark: int, up: bool) -> None:
    batch = outcome([change("c1", flags={"repeat_request/billing": FLAG})], clock=watermark)
    owned(redis_client).commit([batch], position(1))
    flags = RiskBoard(redis_client).flags("c1")
    assert flags is not None
    assert [(flag.flag, flag.category, flag.up) for flag in flags] == [("repeat_request", "billing", up)]


def test_without_a_watermark_nobody_knows_whether_a_flag_is_up(redis_client: RedisClient) -> None:
    owned(redis_client).commit([outcome([change("c1", flags={"churn_risk": FLAG})])], position(1))
    redis_client.execute_command("HDEL", KEYS.meta, "watermark:0")
    flags = RiskBoard(redis_client).flags("c1")
    assert flags is not None
    assert flags[0].up is None


def test_a_flag_without_end_is_up(redis_client: RedisClient) -> None:
    batch = outcome([change("c1", flags={"churn_risk": '[1000,null,1,"high","00"]'})], clock=10**12)
    owned(redis_client).commit([batch], position(1))
    flags = RiskBoard(redis_client).flags("c1")
    assert flags is not None
    assert (flags[0].up, flags[0].until) == (True, None)


def test_a_field_that_is_gone_leaves_the_board(redis_client: RedisClient) -> None:
    ledger = owned(redis_client)
    ledger.commit([outcome([change("c1", flags={"a": FLAG, "b": FLAG})])], position(1))
    less = change("c1", flags={"b": FLAG})
    assert less.board is not None
    del less.board.customer["churn"]
    less.board.index = {"churn": None}
    ledger.commit([outcome([less])], position(2))
    board = RiskBoard(redis_client)
    customer = board.customer("c1")
    assert customer is not None
    assert customer.churn is None
    assert [flag.field for flag in board.flags("c1") or ()] == ["b"]
    assert board.top("churn", 9) == []
    assert verify(redis_client) == []


def test_parts_that_did_not_change_stay_with_a_new_ttl(redis_client: RedisClient) -> None:
    owned(redis_client).commit([outcome([change("c1")])], position(1))
    redis_client.execute_command("EXPIRE", KEYS.part("profile", "c1"), 100)
    same = change("c1")
    assert same.board is not None
    same.board.profile = None
    # A new owner: after a month, or a restart, the keys that never change get their time again.
    owned(redis_client).commit([outcome([same])], position(2))
    assert redis_client.execute_command("TTL", KEYS.part("profile", "c1")) > TTL_S - 100
    assert RiskBoard(redis_client).profile("c1") == {"role": "student"}


def test_every_key_of_a_customer_has_the_ttl(redis_client: RedisClient) -> None:
    owned(redis_client).commit([outcome([change("c1", flags={"a": FLAG})])], position(1))
    for part in CUSTOMER_PARTS:
        assert TTL_S - 100 < redis_client.execute_command("TTL", KEYS.part(part, "c1")) <= TTL_S


def test_a_removed_customer_leaves_no_key_and_no_leaderboard(redis_client: RedisClient) -> None:
    ledger = owned(redis_client)
    ledger.commit([outcome([change("anna {1}", flags={"a": FLAG})])], position(1))
    ledger.commit([outcome([gone("anna {1}")])], position(2))
    keys = {key.decode() for key in redis_client.scan_iter(match="risk:*")}
    assert keys == {"risk:meta"}


def test_a_removed_customer_who_comes_back_is_new(redis_client: RedisClient) -> None:
    ledger = owned(redis_client)
    for number, changes in enumerate([[change("c1")], [gone("c1")], [change("c1")]]):
        ledger.commit([outcome(changes)], position(number))
    assert ledger.broken_board_keys == frozenset()
    assert verify(redis_client) == []


def test_leaderboards_have_the_most_urgent_first(redis_client: RedisClient) -> None:
    scores = {"low": 0.1, "客 {2}": 0.9, "mid": 0.5}
    owned(redis_client).commit([outcome([change(who, churn=churn) for who, churn in scores.items()])], position(1))
    board = RiskBoard(redis_client)
    assert board.top("churn", 2) == [("客 {2}", 0.9), ("mid", 0.5)]
    assert board.top("churn", 0) == []


def test_a_score_that_is_no_number_keeps_nobody_else_from_the_leaderboard(redis_client: RedisClient) -> None:
    odd = change("odd")
    assert odd.board is not None
    assert odd.board.index is not None
    odd.board.index["churn"] = float("nan")
    ledger = owned(redis_client)
    ledger.commit([outcome([odd, change("even")])], position(1))
    assert RiskBoard(redis_client).top("churn", 9) == [("even", 0.25)]
    assert ledger.broken_board_keys == frozenset()


def test_alerts_go_out_in_the_order_of_their_records(redis_client: RedisClient) -> None:
    one, two = outcome([], lane=1), outcome([], lane=2)
    one.alerts = [alert("a" * 16, seq=1, index=0), alert("c" * 16, seq=2, index=5), alert("d" * 16, seq=3, index=5)]
    two.alerts = [alert("b" * 16, seq=1, index=3)]
    owned(redis_client).commit([two, one], position(1))
    board = RiskBoard(redis_client)
    seen = board.alerts()
    assert [(each.alert_id[0], each.lane, each.seq) for each in seen] == [
        ("a", 1, 1),
        ("b", 2, 1),
        ("c", 1, 2),
        ("d", 1, 3),
    ]
    assert seen[0].line == orjson.loads(one.alerts[0].line())
    assert (seen[0].route, seen[0].priority, seen[0].scene) == ("team:billing", 3, one.alerts[0].scene)
    assert [each.alert_id[0] for each in board.alerts(after=seen[1].stream_id, count=1)] == ["c"]
    meta = board.meta()
    assert meta is not None
    assert meta.last_alert == seen[-1].stream_id
    assert board.alerts(after=seen[-1].stream_id) == []


def test_a_wake_up_is_published_only_when_alerts_went_out(redis_client: RedisClient) -> None:
    listener = redis_client.pubsub()  # type: ignore[attr-defined]  # readers have the whole client of redis-py
    listener.subscribe(KEYS.wake)
    assert listener.get_message(timeout=5)["type"] == "subscribe"
    ledger = owned(redis_client)
    ledger.commit([outcome([])], position(1))
    batch = outcome([])
    batch.alerts = [alert(), alert(seq=2)]
    ledger.commit([batch], position(2))
    assert listener.get_message(timeout=5)["data"] == b"2"
    listener.close()


def test_open_alerts_are_kept_until_they_are_closed(redis_client: RedisClient) -> None:
    ledger = owned(redis_client)
    batch = outcome([])
    batch.alert_state = {"00ff": ticket_row(acked_by="ben")}
    ledger.commit([batch], position(1))
    board = RiskBoard(redis_client)
    alert_state = board.alert("00ff")
    assert alert_state is not None
    assert (alert_state.acked_by, alert_state.since, alert_state.lane) == ("ben", 1000, 0)
    assert redis_client.execute_command("TTL", KEYS.alert("00ff")) > 0
    batch = outcome([])
    batch.alert_state = {"00ff": None}
    ledger.commit([batch], position(2))
    assert board.alert("00ff") is None


def test_meta_says_who_writes_and_how_far(redis_client: RedisClient) -> None:
    ledger = owned(redis_client)
    one = outcome([], lane=1, clock=70)
    one.model_rows = {"churn": {"auc": "0.7"}}
    two = outcome([], lane=2, clock=80)
    two.model_rows = {"churn": {"auc": "0.8"}}
    ledger.commit([one, two], position(1))
    ledger.commit([outcome([], lane=1, clock=90)], position(2))
    meta = RiskBoard(redis_client).meta()
    assert meta is not None
    assert (meta.contract, meta.engine, meta.rules, meta.lanes) == (1, META.engine, META.rules, 8)
    assert (meta.watermarks, meta.last_write) == ({1: 90, 2: 80}, NOW)
    assert redis_client.execute_command("HGETALL", KEYS.model("churn")) == {b"auc:1": b"0.7", b"auc:2": b"0.8"}
    assert verify(redis_client) == []


def test_a_row_of_a_model_has_the_fields_of_its_newest_outcome_and_no_others(redis_client: RedisClient) -> None:
    def told(ledger: RedisLedger, number: int, **rows: dict[str, str]) -> None:
        made, other = outcome([], lane=1), outcome([], lane=2)
        made.model_rows, other.model_rows = rows, {"churn_event:v1": {"n": "9"}}
        ledger.commit([made, other], position(number))

    def shown() -> Any:
        return redis_client.execute_command("HGETALL", KEYS.model("churn_event:v1"))

    ledger = owned(redis_client)
    told(ledger, 1, **{"churn_event:v1": {"n": "5", "difference": "0.1", "drift_gap_mean": "1,5,0.1,0.2"}})
    told(ledger, 2, **{"churn_event:v1": {"n": "6"}})
    assert shown() == {b"n:1": b"6", b"n:2": b"9"}
    told(ledger, 3, **{"churn_event:v1": {}})
    assert shown() == {b"n:2": b"9"}
    told(ledger, 4, **{"churn_event:v1": {"n": "7", "difference": "0.1"}})
    # A writer that does not know what was there removes it all the same.
    told(owned(redis_client), 5, **{"churn_event:v1": {"n": "7"}})
    assert shown() == {b"n:1": b"7", b"n:2": b"9"}
    assert verify(redis_client) == []


def test_a_reset_takes_the_lanes_off_the_rows_of_the_models(redis_client: RedisClient) -> None:
    ledger = owned(redis_client)
    made = outcome([], lane=1)
    made.model_rows = {"churn_event": {"n": "5"}}
    ledger.commit([made], position(1))
    redis_client.execute_command("HSET", KEYS.model("churn_event"), "n:70", "1")
    ledger.reset()
    assert redis_client.execute_command("HGETALL", KEYS.model("churn_event")) == {b"n:70": b"1"}


def test_a_board_of_another_contract_is_refused(redis_client: RedisClient) -> None:
    redis_client.execute_command("HSET", KEYS.meta, "contract", "2")
    with pytest.raises(StateIncompatible, match="contract 1"):
        RiskBoard(redis_client).meta()


def test_what_is_not_of_the_contract_is_named(redis_client: RedisClient) -> None:
    redis_client.execute_command("HSET", KEYS.customer("c1"), "churn", "high")
    with pytest.raises(CorruptState, match=r"risk:customer:c1: .*churn"):
        RiskBoard(redis_client).customer("c1")
    redis_client.execute_command("SET", KEYS.part("why", "c1"), "x")
    with pytest.raises(StateIncompatible, match="risk:why:c1"):
        RiskBoard(redis_client).why("c1")


def test_a_replay_touches_nothing_live(redis_client: RedisClient) -> None:
    live = owned(redis_client)
    live.commit([outcome([change("c1", b"live")])], position(1))
    before = {key: redis_client.execute_command("DUMP", key) for key in redis_client.scan_iter()}
    keys = Keys.replay("may")
    replay = owned(redis_client, keys=keys)
    batch = outcome([change("c1", b"replayed", churn=0.9)])
    batch.alerts = [alert()]
    replay.commit([batch], position(1))
    assert replay.load(0, ["c1"]) == {"c1": b"replayed"}
    assert {key: redis_client.execute_command("DUMP", key) for key in before} == before
    assert RiskBoard(redis_client, keys.prefix).top("churn", 1) == [("c1", 0.9)]
    assert verify(redis_client, keys.prefix) == []
    replay.reset()
    assert {key: redis_client.execute_command("DUMP", key) for key in redis_client.scan_iter()} == before


def test_reset_takes_the_board_of_its_lanes_and_no_other(redis_client: RedisClient) -> None:
    ledger = owned(redis_client)
    ledger.commit([outcome([change("c1")]), outcome([change("c2", lane=1)], lane=1)], position(1))
    ledger.reset()
    assert {key.decode() for key in redis_client.scan_iter()} == {"risk:meta"}
    meta = RiskBoard(redis_client).meta()
    assert meta is not None
    assert meta.watermarks == {}
