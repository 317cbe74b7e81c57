"""What consumers are told: raise, update, clear, and one id per episode whatever comes out of order."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.alert import alert_id
from engine.episodes import UPDATE_EVERY_MS, Episode, Episodes
from engine.flags.status import Status
from tests.engine.runs import DAY, HOUR, T0, FixedModels, Run, decoded, tick, trace
from tests.oracle.strategies import disordered, logs

KEY = ("x", "a")


def status(since: int, until: int | None, count: int = 1, severity: str = "low", cause: str = "e1") -> Status:
    return Status(since, until, count, severity, (cause,), cause)


class Told:
    """A consumer beside its producer: says what it was told and whether it still believes right."""

    def __init__(self) -> None:
        self.episodes = Episodes()
        self.up: dict[str, int] = {}

    def tell(self, now: Status | None, tau: int, at: int | None = None) -> list[tuple[str, str, int]]:
        out = []
        for op, episode, when in self.episodes.reconcile("c", KEY, now, tau, tau if at is None else at):
            out.append((op, episode.alert_id, when))
            if op == "raise":
                assert episode.alert_id not in self.up
                self.up[episode.alert_id] = episode.since
            elif op == "clear":
                del self.up[episode.alert_id]
            else:
                assert episode.alert_id in self.up
        believed = [] if now is None else [self.episodes.active[KEY].alert_id]
        assert list(self.up) == believed
        return out


def ops(told: list[tuple[str, str, int]]) -> list[tuple[str, int]]:
    return [(op, at) for op, _, at in told]


ID = alert_id("x", "c", "a", "e1")


def test_the_id_is_that_of_the_event_that_raised_it_and_stays_until_the_clear() -> None:
    told = Told()
    assert told.tell(status(5, 10), 5) == [("raise", ID, 5)]
    assert told.tell(status(5, 12, 2, "high", "e2"), 6) == [("update", ID, 6)]
    assert told.tell(None, 13) == [("clear", ID, 12)]
    other = alert_id("x", "c", "a", "e3")
    assert told.tell(status(20, 30, cause="e3"), 20) == [("raise", other, 20)]


def test_nothing_is_said_of_what_has_not_changed() -> None:
    told = Told()
    assert told.tell(None, 1) == []
    told.tell(status(5, 10), 5)
    assert told.tell(status(5, 10), 5 + 2 * HOUR) == []


def test_a_clear_by_the_end_is_stamped_with_it_and_one_before_the_end_with_its_own_time() -> None:
    by_end, before = Told(), Told()
    by_end.tell(status(5, 10), 5)
    assert ops(by_end.tell(None, 11, 900)) == [("clear", 10)]
    before.tell(status(5, 10), 5)
    assert ops(before.tell(None, 8)) == [("clear", 8)]
    endless = Told()
    endless.tell(status(5, None), 5)
    assert ops(endless.tell(None, 8)) == [("clear", 8)]


def test_a_change_of_severity_goes_out_at_once_and_any_other_once_an_hour() -> None:
    told = Told()
    told.tell(status(0, 10 * HOUR), 0)
    assert told.tell(status(0, 11 * HOUR, 2), 1) == []
    assert ops(told.tell(status(0, 11 * HOUR, 2, "high"), 2)) == [("update", 2)]
    assert told.tell(status(0, 12 * HOUR, 3, "high"), 2 + UPDATE_EVERY_MS - 1) == []
    # Kept current on the board all the same.
    assert told.episodes.active[KEY].until == 12 * HOUR
    assert ops(told.tell(status(0, 13 * HOUR, 4, "high"), 2 + UPDATE_EVERY_MS)) == [("update", 2 + UPDATE_EVERY_MS)]


def test_changed_says_whether_the_board_must_be_written() -> None:
    told = Told()

    def changed(now: Status | None, tau: int) -> bool:
        told.episodes.changed = False
        told.tell(now, tau)
        return told.episodes.changed

    assert not changed(None, 0)
    assert changed(status(5, 10), 5)
    assert not changed(status(5, 10), 6)
    assert changed(status(5, 11), 7)
    assert changed(status(5, 11)._replace(evidence=("e1", "e9")), 7)
    assert changed(status(5, 11, severity="high")._replace(evidence=("e1", "e9")), 7)
    assert changed(None, 12)


def test_what_was_cleared_and_is_found_to_go_on_is_raised_again_under_its_first_id() -> None:
    told = Told()
    told.tell(status(5, 10), 5)
    told.tell(None, 11)
    again = told.tell(status(5, 15, 2, "low", "e2"), 12)
    assert again == [("raise", ID, 12)]
    assert told.episodes.active[KEY].since == 5


def test_what_is_later_than_the_cleared_end_is_another_episode() -> None:
    told = Told()
    told.tell(status(5, 10), 5)
    told.tell(None, 11)
    assert told.tell(status(11, 15, cause="e2"), 12) == [("raise", alert_id("x", "c", "a", "e2"), 12)]


def test_two_episodes_that_turn_out_to_be_one_keep_the_first_id() -> None:
    told = Told()
    told.tell(status(5, 10), 5)
    told.tell(None, 11)
    told.tell(status(15, 20, cause="e5"), 15)
    second = alert_id("x", "c", "a", "e5")
    assert told.tell(status(5, 20, 3), 16) == [("clear", second, 16), ("raise", ID, 16)]
    # The second id is gone for good.
    told.tell(None, 21)
    assert told.tell(status(15, 22, cause="e5"), 21) == [("raise", ID, 21)]


def test_once_nothing_can_come_before_its_end_an_episode_is_forgotten() -> None:
    told = Told()
    told.tell(status(5, 10), 5)
    told.tell(None, 11)
    told.episodes.forget(10)
    assert KEY in told.episodes.closed
    told.episodes.forget(11)
    assert told.episodes.closed == {}
    assert told.tell(status(5, 15, cause="e2"), 12)[0][1] != ID


def test_cleared_episodes_that_are_remembered_are_bounded() -> None:
    told = Told()
    for n in range(10):
        told.tell(status(10 * n, 10 * n + 5, cause=f"e{n}"), 10 * n)
        told.tell(None, 10 * n + 6)
        told.episodes.forget(-1)
    assert len(told.episodes.closed[KEY]) == 4
    many = Episodes()
    for n in range(200):
        key = ("x", f"c{n}")
        many.reconcile("c", key, status(n, n + 5), n, n)
        many.reconcile("c", key, None, n + 6, n + 6)
        many.forget(-1)
    assert len(many.closed) == 64
    assert ("x", "c199") in many.closed


statuses = st.one_of(
    st.none(),
    st.builds(
        lambda since, length, count, severity, cause: status(since, since + length, count, severity, cause),
        st.integers(0, 30),
        st.integers(0, 30),
        st.integers(1, 3),
        st.sampled_from(("low", "high")),
        st.sampled_from(("e1", "e2", "e3")),
    ),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(statuses, st.integers(0, 3), st.booleans()), max_size=25))
def test_whatever_flags_do_a_consumer_that_folds_has_what_is_up(steps: list[tuple[Status | None, int, bool]]) -> None:
    # `Told` folds and compares after every step; any sequence of statuses is as good as an order of arrival.
    told, tau = Told(), 0
    for now, passed, reload in steps:
        tau += passed
        told.tell(now, tau)
        told.episodes.forget(tau - 10)
        if reload:
            data: Any = msgspec.msgpack.decode(msgspec.msgpack.encode(told.episodes.encode()))
            told.episodes = Episodes.decode(data)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(statuses, st.integers(0, 3)), max_size=25))
def test_stored_episodes_are_the_same_episodes(steps: list[tuple[Status | None, int]]) -> None:
    episodes, tau = Episodes(), 0
    for now, passed in steps:
        tau += passed
        episodes.reconcile("c", KEY, now, tau, tau)
    data: Any = msgspec.msgpack.decode(msgspec.msgpack.encode(episodes.encode()))
    assert Episodes.decode(data).encode() == episodes.encode()
    for episode in episodes.active.values():
        copy = Episode.decode(msgspec.msgpack.decode(msgspec.msgpack.encode(episode.encode())))
        assert copy.encode() == episode.encode()
        assert copy.evidence == episode.evidence


# Through the lane


@settings(max_examples=80, deadline=None)
@given(logs(overrides=True, retracts=True).flatmap(disordered), st.sampled_from((HOUR, 5 * DAY)))
def test_a_consumer_that_folds_the_ops_by_id_has_the_flags_that_are_up(
    log: list[dict[str, Any]], lateness_ms: int
) -> None:
    run = Run(lateness_ms=lateness_ms, models=FixedModels())
    up: dict[str, tuple[str, str, str | None]] = {}
    last_seq = 0
    for event in decoded(log):
        for alert in run.feed([event]):
            assert alert.seq == last_seq + 1
            last_seq = alert.seq
            if alert.flag == "sensitive_contact":
                continue
            if alert.op == "raise":
                assert alert.alert_id not in up
                up[alert.alert_id] = (alert.customer_id, alert.flag, alert.category)
            else:
                assert up[alert.alert_id] == (alert.customer_id, alert.flag, alert.category)
            if alert.op == "clear":
                del up[alert.alert_id]
        board = [
            (episode.alert_id, (customer, *key))
            for customer in run.store
            for key, episode in run.memory(customer).episodes.active.items()
        ]
        assert up == dict(board)
        assert len(up) == len(board)


@settings(max_examples=30, deadline=None)
@given(logs(overrides=True, retracts=True).flatmap(disordered), st.integers(1, 9))
def test_ids_and_bytes_of_alerts_are_those_of_any_other_run(log: list[dict[str, Any]], batch: int) -> None:
    one, other = Run(models=FixedModels()), Run(models=FixedModels())
    one.feed(decoded(log))
    other.feed(decoded(log), batch)
    assert [(a.alert_id, a.seq, a.line()) for a in one.alerts] == [(a.alert_id, a.seq, a.line()) for a in other.alerts]


def test_a_late_event_at_the_end_of_a_cleared_flag_revives_it_and_one_after_it_does_not() -> None:
    events = [trace("e1", 0), trace("e2", HOUR), tick(T0 + DAY + 1)]
    for after, revived in ((DAY, True), (DAY + HOUR // 2, False)):
        run = Run(models=FixedModels())
        run.feed(events)
        run.feed([tick(T0 + DAY + HOUR), trace("e3", after)])
        raised = [a for a in run.alerts if a.op == "raise" and a.flag == "repeat_request"]
        assert len(raised) == 2
        assert (raised[0].alert_id == raised[1].alert_id) is revived
        assert (raised[1].since == raised[0].since) is revived
