from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from streams.live.progress import OPEN_MS, STALE_MS, STALL_MS, Progress

T = 1_700_000_000_000
S = 1_000


def running(*, next_offset: int = 40, end_offset: int = 40) -> Progress:
    """Partition 3 is opened and read up to `next_offset`, all at T."""
    progress = Progress(T)
    progress.assigned([3], T)
    progress.opened(3, next_offset, T)
    progress.read_to(3, next_offset, end_offset, T)
    return progress


def test_before_an_assignment_a_worker_is_live_and_not_ready() -> None:
    progress = Progress(T)
    assert progress.live(T).ok
    assert progress.ready(T) == (False, "expected an assignment of partitions, got none yet")


def test_a_spare_is_ready() -> None:
    progress = Progress(T)
    progress.assigned([], T)
    assert progress.ready(T) == (True, "")
    assert progress.live(T) == (True, "")


def test_ready_waits_for_every_partition() -> None:
    progress = Progress(T)
    progress.assigned([5, 3], T)
    progress.opened(3, 0, T)
    assert progress.ready(T) == (False, "expected every partition opened, got 5 not yet")
    progress.opened(5, 0, T)
    assert progress.ready(T).ok


def test_a_partition_that_stays_while_others_come_stays_opened() -> None:
    progress = running()
    progress.assigned([3, 4], T)
    assert progress.ready(T).reason == "expected every partition opened, got 4 not yet"
    assert progress.input_state(3, T) == "fresh"


def test_during_a_rebalance_nothing_is_ready_or_known() -> None:
    progress = running()
    progress.revoked()
    assert not progress.ready(T).ok
    assert progress.live(T).ok
    assert (progress.input_state(3, T), progress.lag(3), progress.partitions) == ("unknown", None, ())


def test_a_partition_that_is_lost_and_found_is_opened_anew() -> None:
    progress = running()
    progress.revoked()
    progress.assigned([3], T)
    assert not progress.ready(T).ok
    assert progress.input_state(3, T) == "unknown"


def test_standing_still_with_records_left_is_not_live() -> None:
    progress = running(end_offset=50)
    progress.polled(T + STALL_MS)
    assert progress.live(T + STALL_MS).ok
    progress.polled(T + STALL_MS + S)
    assert progress.live(T + STALL_MS + S) == (
        False,
        "partition 3: expected progress within 60 s, got none at offset 40 for 61 s with 10 records left",
    )


def test_any_progress_is_live_however_far_behind() -> None:
    progress = running(end_offset=10**9)
    for step in range(1, 10):
        now = T + step * STALL_MS
        progress.read_to(3, 40 + step, 10**9, now)
        progress.committed(3, 40 + step, now, now - 10**8)
        assert progress.live(now).ok
        assert progress.input_state(3, now) == "stale"


def test_standing_still_at_the_end_is_live_for_ever() -> None:
    progress = running()
    now = T + 3_600 * S
    progress.read_to(3, 40, 40, now)
    assert progress.live(now).ok
    assert progress.ready(now).ok
    assert progress.input_state(3, now) == "fresh"


def test_the_first_record_after_a_quiet_hour_has_its_full_time() -> None:
    progress = running()
    progress.committed(3, 41, T, T)
    now = T + 3_600 * S
    progress.read_to(3, 41, 41, now)
    progress.read_to(3, 42, 42, now + S)
    assert progress.live(now + S).ok
    # Everything appended an hour long was applied: what waits is a second old.
    assert progress.input_state(3, now + S) == "fresh"
    progress.polled(now + S + STALL_MS)
    assert progress.live(now + S + STALL_MS).ok
    progress.polled(now + 2 * S + STALL_MS)
    assert not progress.live(now + 2 * S + STALL_MS).ok


def test_a_silent_kafka_is_stale_then_not_ready_then_not_live() -> None:
    progress = running()
    assert progress.input_state(3, T + STALE_MS) == "fresh"
    assert progress.ready(T + STALE_MS).ok
    assert progress.input_state(3, T + STALE_MS + 1) == "stale"
    assert not progress.ready(T + STALE_MS + 1).ok
    assert progress.live(T + STALL_MS).ok
    assert progress.live(T + STALL_MS + S) == (False, "Kafka: expected an answer within 60 s, got none for 61 s")


def test_a_kafka_that_never_answered_is_not_live() -> None:
    assert not Progress(T).live(T + STALL_MS + S).ok


def test_a_redis_that_takes_nothing_makes_the_input_stale() -> None:
    progress = running(next_offset=40, end_offset=40)
    progress.read_to(3, 45, 45, T)
    later = T + STALE_MS + S
    progress.polled(later)
    assert progress.input_state(3, later - 2 * S) == "fresh"
    assert progress.input_state(3, later) == "stale"
    progress.committed(3, 45, later, T)
    assert progress.input_state(3, later) == "fresh"


def test_commits_that_keep_coming_are_not_a_redis_that_takes_nothing() -> None:
    progress = running()
    for step in range(1, 10):
        now = T + step * 20 * S
        progress.read_to(3, 40 + 10 * step, 200, now)
        progress.committed(3, 39 + 10 * step, now, now)
        assert progress.input_state(3, now) == "fresh"


def test_behind_by_a_minute_is_stale_and_caught_up_is_fresh() -> None:
    progress = running(next_offset=0, end_offset=100)
    progress.read_to(3, 50, 100, T)
    progress.committed(3, 50, T, T - STALL_MS - 1)
    assert progress.input_state(3, T) == "stale"
    progress.committed(3, 60, T, T - STALL_MS)
    assert progress.input_state(3, T) == "fresh"
    progress.committed(3, 100, T, T - STALL_MS)
    assert progress.input_state(3, T + S) == "fresh"


def test_old_records_at_the_end_of_the_log_are_fresh() -> None:
    progress = running(next_offset=0, end_offset=10)
    progress.read_to(3, 10, 10, T)
    progress.committed(3, 10, T, T - 10**9)
    assert progress.input_state(3, T) == "fresh"


def test_how_old_the_waiting_records_are_is_unknown_before_the_first_commit() -> None:
    progress = running(next_offset=0, end_offset=100)
    assert progress.input_state(3, T) == "unknown"
    progress.polled(T + STALL_MS + S)
    assert progress.input_state(3, T + STALL_MS + S) == "stale"


def test_without_an_end_nothing_is_known() -> None:
    progress = Progress(T)
    progress.assigned([3], T)
    assert progress.input_state(3, T) == "unknown"
    progress.opened(3, 40, T)
    assert (progress.input_state(3, T), progress.lag(3)) == ("unknown", None)
    assert progress.input_state(4, T) == "unknown"


def test_offsets_without_records_are_no_lag() -> None:
    progress = running()
    progress.read_to(3, 42, 43, T)
    progress.committed(3, 42, T, T)
    assert progress.lag(3) == 1
    progress.read_to(3, 43, 43, T)
    progress.committed(3, 43, T, None)
    assert progress.lag(3) == 0
    later = T + 2 * STALL_MS
    progress.read_to(3, 43, 43, later)
    assert progress.live(later).ok
    assert progress.input_state(3, later) == "fresh"


def test_opening_again_goes_back_to_where_the_ledger_is() -> None:
    progress = running()
    progress.read_to(3, 50, 50, T)
    progress.committed(3, 50, T, T)
    progress.opened(3, 20, T + S)
    assert progress.lag(3) == 30
    assert progress.live(T + S).ok
    assert progress.input_state(3, T + S) == "unknown"
    progress.committed(3, 50, T + 2 * S, T)
    assert progress.input_state(3, T + 2 * S) == "fresh"


def test_a_partition_that_is_not_opened_within_minutes_is_not_live() -> None:
    progress = Progress(T)
    progress.assigned([3], T)
    progress.polled(T + OPEN_MS + S)
    assert progress.live(T + OPEN_MS).ok
    assert progress.live(T + OPEN_MS + S).reason == "partition 3: expected it opened within 300 s, got 301 s"


def test_who_has_stopped_is_neither_live_nor_ready() -> None:
    progress = running()
    progress.stopped("partition 3 at offset 40: the fuse has blown")
    assert progress.live(T) == progress.ready(T) == (False, "stopped: partition 3 at offset 40: the fuse has blown")


def test_news_of_a_partition_that_is_not_ours_changes_nothing() -> None:
    progress = running()
    progress.opened(9, 1, T)
    progress.read_to(9, 1, 100, T)
    progress.committed(9, 1, T, T)
    assert progress.partitions == (3,)
    assert progress.input_state(9, T) == "unknown"


def test_a_clock_that_goes_back_is_no_silence_and_hides_none() -> None:
    progress = running()
    back = T - 3_600 * S
    assert progress.live(back).ok
    progress.polled(back)
    assert not progress.live(back + STALL_MS + S).ok


class Worker(RuleBasedStateMachine):
    """Any order of events: what a worker is told never contradicts itself."""

    def __init__(self) -> None:
        super().__init__()
        self.now = T
        self.progress = Progress(T)
        self.owned: dict[int, int | None] = {}
        self.ends: dict[int, int] = {}
        self.answered = T

    @rule(ms=st.integers(0, 100_000))
    def time_goes_by(self, ms: int) -> None:
        before = {n: self.progress.input_state(n, self.now) for n in range(3)}
        live = self.progress.live(self.now).ok
        self.now += ms
        # Time alone makes nothing better.
        for number, state in before.items():
            after = self.progress.input_state(number, self.now)
            assert after == state or after == "stale"
        assert live or not self.progress.live(self.now).ok

    @rule(partitions=st.sets(st.integers(0, 2)))
    def assigned(self, partitions: set[int]) -> None:
        self.progress.assigned(partitions, self.now)
        self.owned = {each: self.owned.get(each) for each in partitions}
        self.ends = {each: end for each, end in self.ends.items() if each in partitions}
        self.answered = self.now

    @rule()
    def revoked(self) -> None:
        self.progress.revoked()
        self.owned, self.ends = {}, {}

    @precondition(lambda self: self.owned)
    @rule(data=st.data(), offset=st.integers(0, 100))
    def opened(self, data: st.DataObject, offset: int) -> None:
        number = data.draw(st.sampled_from(sorted(self.owned)))
        self.progress.opened(number, offset, self.now)
        self.owned[number] = offset

    @rule(number=st.integers(0, 2), ahead=st.integers(0, 9), left=st.integers(0, 9))
    def read(self, number: int, ahead: int, left: int) -> None:
        done = self.owned.get(number) or 0
        self.progress.read_to(number, done + ahead, done + ahead + left, self.now)
        self.answered = self.now
        if self.owned.get(number) is not None:
            self.ends[number] = done + ahead + left

    @rule(number=st.integers(0, 2), records=st.integers(0, 9), age=st.integers(0, 200_000))
    def committed(self, number: int, records: int, age: int) -> None:
        done = self.owned.get(number)
        self.progress.committed(number, (done or 0) + records, self.now, self.now - age)
        if done is not None:
            self.owned[number] = done + records

    @invariant()
    def ready_is_opened_and_heard(self) -> None:
        if self.progress.ready(self.now).ok:
            assert None not in self.owned.values()
            assert self.now - self.answered <= STALE_MS

    @invariant()
    def silence_is_not_live(self) -> None:
        assert self.now - self.answered <= STALL_MS or not self.progress.live(self.now).ok

    @invariant()
    def at_the_end_and_heard_is_fresh(self) -> None:
        for number in range(3):
            done, end = self.owned.get(number), self.ends.get(number)
            state = self.progress.input_state(number, self.now)
            if done is None or end is None:
                assert state == "unknown"
            elif self.now - self.answered > STALE_MS:
                assert state == "stale"
            elif done >= end:
                assert (state, self.progress.lag(number)) == ("fresh", 0)
            else:
                assert self.progress.lag(number) == end - done


TestWorker = Worker.TestCase
