"""Whatever endpoints answer, whenever the process dies: nothing is lost, the order of an alert is kept."""

from __future__ import annotations

import random
import shutil
import sqlite3
import tempfile
from collections import Counter
from pathlib import Path

import hypothesis.strategies as st
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from engine.duration import DAY_MS
from engine.errors import StateIncompatible, StoreUnavailable, UsageError
from streams.webhooks.answer import Answer
from streams.webhooks.dead_list import dead_messages, resend, standing
from streams.webhooks.endpoint import Endpoint, Filter, SpoolLimits
from streams.webhooks.lineup import Item, Lineup
from streams.webhooks.pace import Pace
from streams.webhooks.spool import Intake, Settled, Spool
from tests.streams.webhooks.stage import T0, endpoint, intake, message

MAX_ATTEMPTS = 4
URL = "http://127.0.0.1:1/hook"


class SpoolAndLineup(RuleBasedStateMachine):
    """Two endpoints, a few alerts, a process that may die between any two steps."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.path = self.folder / "spool"
        self.endpoints = (
            endpoint(URL, "all", max_attempts=MAX_ATTEMPTS, max_age_ms=DAY_MS, concurrency=2),
            endpoint(URL, "some", max_attempts=MAX_ATTEMPTS, max_age_ms=DAY_MS, wants=Filter(max_priority=3)),
        )
        self.now = T0
        self.seq = 0
        self.sent: list[tuple[str, int]] = []
        self.expected: dict[str, set[str]] = {"all": set(), "some": set()}
        self.delivered: dict[str, list[str]] = {"all": [], "some": []}
        self.dead: dict[str, set[str]] = {"all": set(), "some": set()}
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.crashes = 0
        self.open()

    def open(self) -> None:
        self.spool = Spool(self.path, create=True, own=True)
        self.spool.begin("risk:alerts", "0-0")
        self.lineups: dict[str, Lineup] = {}
        self.flying: list[tuple[str, Item]] = []
        for each in self.endpoints:
            lineup = Lineup(each, Pace(), random.Random(self.seq))
            failures, paused_until, gone = self.spool.introduce(each.name, each.url)
            lineup.circuit.restore(failures=failures, paused_until=paused_until, gone=gone)
            for item in self.spool.load(each.name, self.now):
                lineup.put(item)
            self.lineups[each.name] = lineup

    def teardown(self) -> None:
        self.finish()
        self.spool.close()
        shutil.rmtree(self.folder)

    @rule(alert=st.sampled_from("abc"), priority=st.integers(1, 5))
    def a_message_comes(self, alert: str, priority: int) -> None:
        self.seq += 1
        self.sent.append((alert, priority))
        self.take_in(self.seq, alert, priority)

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def a_message_comes_again(self, data: st.DataObject) -> None:
        at = data.draw(st.integers(0, len(self.sent) - 1))
        self.take_in(at + 1, *self.sent[at])

    def take_in(self, seq: int, alert: str, priority: int) -> None:
        came = message(alert, seq, priority=priority)
        queued, _ = self.spool.take_in(intake(came), self.endpoints, self.now)
        for name, item in queued:
            # Nothing that was known is queued a second time.
            assert came.key not in self.expected[name]
            self.lineups[name].put(item)
        self.expected["all"].add(came.key)
        if priority <= 3:
            self.expected["some"].add(came.key)
        assert self.spool.position() == came.stream_id

    @rule(name=st.sampled_from(("all", "some")))
    def an_attempt_begins(self, name: str) -> None:
        item = self.lineups[name].take(self.now)
        if item is not None:
            assert item.alert_id not in [other.alert_id for each, other in self.flying if each == name]
            self.flying.append((name, item))

    @precondition(lambda self: self.flying)
    @rule(data=st.data(), status=st.sampled_from([200, 200, 500, None, 404, 410, 429, 301]), crash=st.booleans())
    def an_attempt_ends(self, data: st.DataObject, status: int | None, crash: bool) -> None:
        at = data.draw(st.integers(0, len(self.flying) - 1))
        name, item = self.flying.pop(at)
        self.end(name, item, status, crash=crash and data.draw(st.integers(0, 3)) == 0)

    def end(self, name: str, item: Item, status: int | None, *, crash: bool = False) -> None:
        lineup = self.lineups[name]
        found = self.spool.content(item.number)
        assert found is not None, "what is under way is in the spool"
        key = found[0]
        self.attempts[name, key] += 1
        if status == 200:
            self.delivered[name].append(key)
        decision = lineup.settle(item, Answer(status, str(status)), self.now)
        if crash:  # after the endpoint has answered, before that is noted
            self.the_process_dies()
            return
        self.note(name, decision, attempted=True)
        if decision.fate == "dead":
            self.dead[name].add(key)
        lineup.free(item)

    def note(self, name: str, decision: object, *, attempted: bool) -> None:
        circuit = self.lineups[name].circuit
        self.spool.settle(
            [Settled(name, decision, self.now, attempted, circuit.failures, circuit.paused_until, circuit.gone)]  # type: ignore[arg-type]  # a Decision
        )

    @rule()
    def the_process_dies(self) -> None:
        self.crashes += 1
        self.spool.close()
        self.open()

    @rule(ms=st.sampled_from([1, 1_000, 60_000, 3_600_000, DAY_MS // 2]))
    def time_passes(self, ms: int) -> None:
        self.now += ms
        for name, lineup in self.lineups.items():
            for decision in lineup.expire(self.now):
                found = self.spool.content(decision.item.number)
                assert found is not None
                self.dead[name].add(found[0])
                self.note(name, decision, attempted=False)

    @rule(name=st.sampled_from(("all", "some")))
    def somebody_resumes(self, name: str) -> None:
        self.lineups[name].resume(self.now)

    @invariant()
    def memory_and_disk_agree(self) -> None:
        for name, lineup in self.lineups.items():
            on_disk = {item.number for item in self.spool.load(name, self.now)}
            assert {item.number for item in lineup.waiting()} == on_disk

    @invariant()
    def nothing_is_lost_or_invented(self) -> None:
        for name in self.lineups:
            waiting = {key for (key,) in self.spool.rows(
                "SELECT key FROM message WHERE endpoint = ? AND dead_at IS NULL", name)}  # fmt: skip
            dead = {each.key for each in dead_messages(self.spool, name)}
            assert dead == self.dead[name]
            assert waiting | dead | set(self.delivered[name]) == self.expected[name]
            assert not waiting & dead

    @invariant()
    def the_order_of_an_alert_is_kept(self) -> None:
        for name, keys in self.delivered.items():
            firsts = [key.split(":") for key in dict.fromkeys(keys)]
            for alert in {alert for alert, _, _ in firsts}:
                line = [int(seq) for each, _, seq in firsts if each == alert]
                # A message can come a second time after its identity left the spool's memory, never sooner.
                assert line == sorted(line), (name, keys)

    @invariant()
    def attempts_are_bounded(self) -> None:
        assert all(n <= MAX_ATTEMPTS + self.crashes for n in self.attempts.values())

    def finish(self) -> None:
        """Once everybody answers, everything that is not dead arrives."""
        while self.flying:
            self.end(*self.flying.pop(), 200)
        for name, lineup in self.lineups.items():
            lineup.resume(self.now)
            while (item := lineup.take(self.now)) is not None:
                self.end(name, item, 200)
            assert set(self.delivered[name]) | self.dead[name] == self.expected[name]
            assert len(lineup) == 0
        assert self.spool.rows("SELECT count(*) FROM payload JOIN message USING (key) WHERE dead_at IS NULL") == [(0,)]


TestSpoolAndLineup = SpoolAndLineup.TestCase
TestSpoolAndLineup.settings = settings(max_examples=25, stateful_step_count=40, deadline=None)


def lineup_of(**more: object) -> Lineup:
    return Lineup(Endpoint("crm", URL, (), **more), Pace(), random.Random(1))  # type: ignore[arg-type]  # fields by name


def test_the_circuit_lets_one_at_a_time_try_an_endpoint_in_trouble() -> None:
    lineup = lineup_of(concurrency=8)
    for number in range(20):
        lineup.put(Item(number, str(number), T0))
    first = [lineup.take(T0) for _ in range(8)]
    for item in first:
        assert item is not None
        lineup.settle(item, Answer(500, "500"), T0)
        lineup.free(item)
    assert lineup.take(T0) is None
    at = lineup.wake_at()
    assert at is not None
    assert T0 + 2_500 <= at <= T0 + 5_000
    assert lineup.take(at) is not None
    assert lineup.take(at) is None


def test_a_success_lets_all_go_that_waited_for_the_endpoint() -> None:
    lineup = lineup_of()
    for number in range(6):
        lineup.put(Item(number, str(number), T0))
    now = T0

    def attempt(status: int) -> None:
        nonlocal now
        now = max(now, lineup.wake_at() or now)
        item = lineup.take(now)
        assert item is not None
        lineup.settle(item, Answer(status, str(status)), now)
        lineup.free(item)

    for _ in range(70):
        attempt(500)
    late = sum(item.next_at > now + 120_000 for item in lineup.waiting())
    assert late >= 2
    attempt(200)
    assert all(item.next_at <= now for item in lineup.waiting())
    assert sum(lineup.take(now) is not None for _ in range(5)) == 4  # the concurrency


def test_a_dead_endpoint_is_tried_some_thirty_times_an_hour() -> None:
    lineup = lineup_of(max_attempts=10_000)
    for number in range(1_000):
        lineup.put(Item(number, str(number), T0))
    n, now = 0, T0
    while now < T0 + 3_600_000:
        while (item := lineup.take(now)) is not None:
            n += 1
            lineup.settle(item, Answer(None, "down"), now)
            lineup.free(item)
        at = lineup.wake_at()
        assert at is not None
        assert at > now, "it must not spin"
        now = at
    assert 30 < n < 60


def test_waits_grow_and_never_pass_the_cap() -> None:
    pace, draw = Pace(), random.Random(3)
    for attempts in (1, 5, 50, 5_000):
        waits = [pace.wait(attempts, draw) for _ in range(200)]
        assert min(waits) >= pace.floor_ms
        assert max(waits) <= min(pace.cap_ms, 5_000 * 2 ** min(attempts - 1, 12))
        assert len(set(waits)) > 50, "jitter"


def test_a_long_retry_after_is_capped() -> None:
    lineup = lineup_of()
    item = Item(1, "a", T0)
    lineup.put(item)
    assert lineup.take(T0) is item
    lineup.settle(item, Answer(503, "503", retry_after_ms=10**12), T0)
    assert item.next_at == T0 + 3_600_000


def test_a_message_that_is_sent_again_goes_before_later_ones_of_its_alert() -> None:
    lineup = lineup_of()
    lineup.put(Item(5, "a", T0))
    lineup.put(Item(2, "a", T0, next_at=T0))
    item = lineup.take(T0)
    assert item is not None
    assert item.number == 2


def test_the_file_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", create=True):
        assert (tmp_path / "spool").stat().st_mode & 0o077 == 0


def test_a_spool_has_one_sender(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", create=True, own=True):
        with pytest.raises(UsageError, match="no other sender"):
            Spool(tmp_path / "spool", own=True)
        Spool(tmp_path / "spool").close()  # to look is allowed


def test_a_spool_of_another_stream_is_refused(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", create=True) as spool:
        spool.begin("risk:alerts", "5-0")
        spool.begin("risk:alerts", "9-0")
        assert spool.position() == "5-0"
        with pytest.raises(UsageError, match="of the stream eu:alerts"):
            spool.begin("eu:alerts", "0-0")


def test_a_file_that_is_no_spool_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database " * 100)
    with pytest.raises(StateIncompatible, match="expected a whole spool"):
        Spool(tmp_path / "text", create=True)
    with pytest.raises(UsageError, match="got no file"):
        Spool(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="--spool"):
        Spool(tmp_path / "no" / "folder", create=True, own=True)
    other = sqlite3.connect(tmp_path / "other")
    other.execute("CREATE TABLE x (y)")
    other.close()
    with pytest.raises(UsageError, match="of another program"):
        Spool(tmp_path / "other", create=True)


def test_a_step_that_fails_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    each = endpoint(URL)
    with Spool(tmp_path / "spool", create=True) as spool:
        spool.begin("risk:alerts", "0-0")

        def full(*_: object) -> None:
            raise sqlite3.OperationalError("database or disk is full")

        came = intake(message("a", 1), message("b", 2))
        with monkeypatch.context() as patch:
            patch.setattr(Spool, "_count_up", full)
            with pytest.raises(StoreUnavailable, match="queue messages: expected a disk that takes it"):
                spool.take_in(came, (each,), T0)
        assert spool.position() == "0-0"
        assert spool.rows("SELECT * FROM known") == spool.rows("SELECT * FROM message") == []
        queued, _ = spool.take_in(came, (each,), T0)
        assert len(queued) == 2


def test_a_gap_in_the_counter_of_a_lane_is_counted(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", create=True) as spool:
        spool.begin("risk:alerts", "0-0")
        _, missing = spool.take_in(intake(message("a", 1), message("b", 5), message("c", 9, lane=1)), (), T0)
        assert missing == 3
        # A board that was made anew counts from one again: nothing is missing.
        _, missing = spool.take_in(Intake("10-0", [message("d", 1), message("e", 2)], gap=True), (), T0)
        assert missing == 0
        counts = standing(spool, T0).counts
        assert (counts["missing"], counts["gaps"], counts["read"]) == (3, 1, 5)


def test_identities_are_kept_for_their_time_and_at_least_as_many_as_the_stream_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streams.webhooks.spool.KNOWN_LEAST", 2)
    with Spool(tmp_path / "spool", create=True) as spool:
        spool.begin("risk:alerts", "0-0")
        spool.take_in(intake(*(message("a", seq) for seq in range(1, 6))), (), T0)
        limits = SpoolLimits(known_ms=1_000)
        spool.prune(T0 + 500, limits)
        assert spool.rows("SELECT count(*) FROM known") == [(5,)]
        spool.prune(T0 + 1_001, limits)
        assert spool.rows("SELECT seq FROM known ORDER BY seq") == [(4,), (5,)]


def test_the_dead_list_forgets_after_its_time(tmp_path: Path) -> None:
    each = endpoint(URL, max_age_ms=1_000)
    with Spool(tmp_path / "spool", create=True) as spool:
        spool.begin("risk:alerts", "0-0")
        spool.introduce("crm", URL)
        queued, _ = spool.take_in(intake(message("a", 1)), (each,), T0)
        lineup = Lineup(each, Pace(), random.Random(1))
        lineup.put(queued[0][1])
        (decision,) = lineup.expire(T0 + 1_000)
        spool.settle([Settled("crm", decision, T0 + 1_000, False, 0, 0, False)])
        with pytest.raises(UsageError, match="got 99"):
            resend(spool, [99], None, T0)
        assert spool.prune(T0 + 2_000, SpoolLimits(keep_dead_ms=1_000)) == 0
        assert spool.prune(T0 + 2_001, SpoolLimits(keep_dead_ms=1_000)) == 1
        assert dead_messages(spool) == []
        assert spool.rows("SELECT count(*) FROM payload") == [(0,)]


def test_another_url_is_a_new_beginning_for_an_endpoint(tmp_path: Path) -> None:
    with Spool(tmp_path / "spool", create=True) as spool:
        spool.introduce("crm", URL)
        spool.note_circuit("crm", failures=9, paused_until=T0, gone=True)
        assert spool.introduce("crm", URL) == (9, T0, True)
        assert spool.introduce("crm", URL + "/new") == (0, 0, False)
