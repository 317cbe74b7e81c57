"""What lanes add up per service is what a plain count of the whole log gives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.duration import DAY_MS, HOUR_MS
from engine.errors import CorruptState
from engine.event import Event
from engine.murmur2 import lane_of
from engine.service_counts import (
    BOOK,
    BUCKET_MS,
    BUCKETS_A_DAY,
    KEPT_DAYS,
    MAX_VALUES,
    OTHER,
    Count,
    Counted,
    ServiceCounts,
    Value,
    day_of,
    read_buckets,
    values_in,
    write_buckets,
)

T0 = 19_700 * DAY_MS

Totals = dict[Value, dict[int, Count]]


class Board:
    """Lanes with the customers' memories, and what they wrote."""

    def __init__(self, lanes: int = 1, lateness_ms: int | None = HOUR_MS, *, reborn: bool = False) -> None:
        self.lateness_ms = lateness_ms
        self.reborn = reborn
        self.tallies: Counter[str] = Counter()
        self.lanes = [self._lane(number) for number in range(lanes)]
        self.clocks = [-1] * lanes
        self.counted: dict[str, Counted] = {}
        self.fields: dict[Value, dict[str, str]] = {}
        self.parts: list[dict[str, bytes]] = [{} for _ in range(lanes)]

    def _lane(self, number: int) -> ServiceCounts:
        return ServiceCounts(number, self.lateness_ms, lambda name: self.tallies.update([name]))

    def feed(self, events: Iterable[Event], batch: int = 1_000) -> list[Event]:
        """Apply events; those that were not late."""
        applied = []
        for number, event in enumerate(events):
            lane = lane_of(event.customer_id or "", len(self.lanes))
            if self.lateness_ms is not None and event.ts < self.clocks[lane] - self.lateness_ms:
                continue
            self.clocks[lane] = max(self.clocks[lane], event.ts)
            counts = self.lanes[lane]
            counts.advance(self.clocks[lane])
            counts.take(self.counted.setdefault(event.customer_id or "", Counted()), event, self.clocks[lane])
            applied.append(event)
            if number % batch == batch - 1:
                self.write()
        self.write()
        return applied

    def write(self) -> None:
        """Store and show what changed, and begin the lanes anew from it if they are to."""
        for number, counts in enumerate(self.lanes):
            for value, row in counts.take_rows().items():
                fields = self.fields.setdefault(value, {})
                for name, text in row.items():
                    if text is None:
                        fields.pop(name, None)
                    else:
                        fields[name] = text
            for name, data in counts.snapshots().items():
                if data is None:
                    self.parts[number].pop(name, None)
                else:
                    self.parts[number][name] = data
            if self.reborn:
                self.lanes[number] = self._lane(number)
                self.lanes[number].restore(self.parts[number], self.clocks[number])
        if self.reborn:
            self.counted = {who: Counted.decode(each.encode()) for who, each in self.counted.items()}

    def totals(self) -> Totals:
        """Sums over the lanes, by bucket since the epoch."""
        out: Totals = {}
        for value, fields in self.fields.items():
            sums: dict[int, Count] = {}
            for name, text in fields.items():
                day = day_of(name.partition(":")[0])
                for bucket, count in read_buckets(text).items():
                    at = day * BUCKETS_A_DAY + bucket
                    sums[at] = Count(*(a + b for a, b in zip(sums.get(at, Count()), count, strict=True)))
            if sums:
                out[value] = sums
        return out


def recount(events: Iterable[Event]) -> Totals:
    """The same from the events alone, none of them older than what is kept."""
    customers: dict[tuple[Value, int], set[str]] = {}
    requests: Counter[tuple[Value, int]] = Counter()
    complaints: Counter[tuple[Value, int]] = Counter()
    told: set[tuple[str, str]] = set()
    for event in events:
        if event.kind not in ("request", "complaint"):
            continue
        who = event.customer_id or ""
        if event.contact_id is not None:
            if (who, event.contact_id) in told:
                continue
            told.add((who, event.contact_id))
        values: list[Value] = []
        if event.category not in (None, "*"):
            assert event.category is not None
            values += {("category", event.category.split("/")[0]): 0, ("category", event.category): 0}
        if event.channel is not None:
            values.append(("channel", event.channel))
        for value in values:
            key = (value, event.ts // BUCKET_MS)
            customers.setdefault(key, set()).add(who)
            (requests if event.kind == "request" else complaints)[key] += 1
    out: Totals = {}
    for (value, bucket), who_came in customers.items():
        count = Count(len(who_came), requests[value, bucket], complaints[value, bucket])
        out.setdefault(value, {})[bucket] = count
    return out


def event(number: int, after: int, kind: str = "request", category: str | None = "a", **more: str) -> Event:
    fields = {"customer_id": "c", **more}
    return Event(f"e{number}", fields.pop("customer_id"), T0 + after, kind, category=category, **fields)  # type: ignore[arg-type]  # texts all


KINDS = ("request", "request", "complaint", "suggestion", "view", "feedback")
CATEGORIES = ("a", "a/b", "a/b/c", "b", "*", None)


@st.composite
def logs(draw: st.DrawFn) -> list[Event]:
    """A few customers over some days, up to an hour out of order."""
    drawn = draw(
        st.lists(
            st.tuples(
                st.sampled_from((0, 1_000, BUCKET_MS // 2, HOUR_MS, 5 * HOUR_MS, 2 * DAY_MS)),
                st.integers(0, HOUR_MS),
                st.integers(0, 5),
                st.sampled_from(KINDS),
                st.sampled_from(CATEGORIES),
                st.sampled_from((None, "phone", "web")),
                st.sampled_from((None, None, None, "x", "y")),
            ),
            max_size=60,
        )
    )
    now, out = 0, []
    for number, (step, back, who, kind, category, channel, contact) in enumerate(drawn):
        now += step
        # A contact id comes again within what memory holds only.
        contact_id = None if contact is None else f"{contact}{now // HOUR_MS}"
        more = {"channel": channel, "contact_id": contact_id, "customer_id": f"c{who}"}
        out.append(event(number, now - back + HOUR_MS, kind, category, **{k: v for k, v in more.items() if v}))
    return out


@settings(deadline=None)
@given(logs(), st.sampled_from((1, 2, 5)), st.sampled_from((1, 3, 1_000)), st.booleans())
def test_the_sums_of_the_lanes_are_a_recount_of_the_log(log: list[Event], lanes: int, batch: int, reborn: bool) -> None:
    board = Board(lanes, reborn=reborn)
    assert recount(board.feed(log, batch)) == board.totals()


@settings(deadline=None, max_examples=25)
@given(logs())
def test_what_is_stored_does_not_depend_on_batches_or_on_being_loaded(log: list[Event]) -> None:
    kept, reborn = Board(2), Board(2, reborn=True)
    kept.feed(log)
    reborn.feed(log, 1)
    assert (kept.parts, kept.fields) == (reborn.parts, reborn.fields)
    assert {w: c.encode() for w, c in kept.counted.items()} == {w: c.encode() for w, c in reborn.counted.items()}


def test_a_customer_counts_once_in_a_bucket_and_value() -> None:
    board = Board()
    board.feed([event(1, 0), event(2, 1_000, category="a/b"), event(3, 2_000, "complaint"), event(4, BUCKET_MS)])
    first = T0 // BUCKET_MS
    assert board.totals() == {
        ("category", "a"): {first: Count(1, 2, 1), first + 1: Count(1, 1, 0)},
        ("category", "a/b"): {first: Count(1, 1, 0)},
    }


def test_of_two_records_of_one_contact_the_first_counts() -> None:
    board = Board()
    board.feed([event(1, 0, contact_id="k", channel="phone"), event(2, 1_000, contact_id="k", channel="web")])
    assert set(board.totals()) == {("category", "a"), ("channel", "phone")}


def test_unknown_services_and_other_kinds_count_nowhere() -> None:
    board = Board()
    board.feed([event(1, 0, category="*"), event(2, 1, "suggestion"), event(3, 2, "view"), event(4, 3, category=None)])
    assert board.totals() == {}
    assert board.parts == [{}]


@pytest.mark.parametrize("reborn", [False, True])
@pytest.mark.parametrize("step", [DAY_MS, 20 * DAY_MS, 100 * DAY_MS])
def test_old_days_leave_board_and_state(step: int, reborn: bool) -> None:
    board = Board(reborn=reborn)
    log = [event(n, n * step, category="a" if n else "b") for n in range(60)]
    board.feed(log, 1)
    newest = T0 + 59 * step
    kept = {each.ts // DAY_MS for each in log[1:] if each.ts // DAY_MS >= newest // DAY_MS - KEPT_DAYS}
    assert {day_of(name.partition(":")[0]) for name in board.fields["category", "a"]} == kept
    assert board.fields["category", "b"] == {}
    assert values_in(board.parts[0][BOOK]) == [("category", "a")]
    # Of the days that can still change: today, and yesterday until its last event can be late.
    assert len(board.parts[0]) == 1 + (2 if step == DAY_MS else 1)


def test_the_same_is_written_in_one_batch_over_many_days() -> None:
    log = [event(n, n * 3 * DAY_MS, customer_id=f"c{n % 7}") for n in range(60)]
    whole, single = Board(), Board()
    whole.feed(log)
    single.feed(log, 1)
    assert whole.fields == single.fields
    assert whole.parts == single.parts


def test_values_beyond_the_bound_count_together_until_there_is_room() -> None:
    board = Board()
    board.feed(event(n, n, category=f"v{n}", channel="phone", customer_id=f"c{n}") for n in range(MAX_VALUES + 5))
    totals = board.totals()
    assert len(totals) == MAX_VALUES + 2
    assert totals["category", OTHER] == {T0 // BUCKET_MS: Count(5, 5, 0)}
    assert totals["channel", "phone"] == {T0 // BUCKET_MS: Count(MAX_VALUES + 5, MAX_VALUES + 5, 0)}
    assert board.tallies == {"service_other": 5}
    board.feed([event(1_000, (KEPT_DAYS + 1) * DAY_MS, category="new"), event(1_001, (KEPT_DAYS + 1) * DAY_MS)])
    assert ("category", "new") in board.totals()


def test_memory_of_one_customer_is_bounded_and_says_so() -> None:
    board = Board(lateness_ms=None)
    board.feed(event(n, n * 60_000, category=f"v{n % 9}/w{n}", channel="phone") for n in range(1_000))
    assert len(str(board.counted["c"].encode())) < 700
    assert board.tallies["service_forgotten"] > 0


def test_a_customer_who_is_silent_leaves_nothing_behind() -> None:
    board = Board()
    board.feed([event(1, 0, contact_id="k"), event(2, 3 * HOUR_MS, customer_id="d")])
    board.lanes[0].forget(board.counted["c"], board.clocks[0])
    assert board.counted["c"].encode() == []


def test_what_is_older_than_the_board_counts_nowhere() -> None:
    board = Board(lateness_ms=None)
    board.feed([event(1, 100 * DAY_MS), event(2, 0), event(3, 70 * DAY_MS)])
    assert set(board.totals()["category", "a"]) == {(T0 + n * DAY_MS) // BUCKET_MS for n in (70, 100)}
    assert board.tallies == {"service_old": 1}


@pytest.mark.parametrize("name", [BOOK, "service.day.19700.category.a"])
def test_a_damaged_part_is_refused(name: str) -> None:
    with pytest.raises(CorruptState, match="sums of services"):
        ServiceCounts(0, HOUR_MS, lambda name: None).restore({name: b"nonsense"}, 5)


@pytest.mark.parametrize("text", ["", "96:1,1,0", "1:1,1", "1:1,1,0;1:1,1,0", "x"])
def test_a_text_that_is_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_buckets(text)


@given(st.dictionaries(st.integers(0, BUCKETS_A_DAY - 1), st.tuples(*[st.integers(0, 10**9)] * 3), min_size=1))
def test_a_day_is_read_as_it_was_written(buckets: dict[int, Sequence[int]]) -> None:
    day = {bucket: Count(*count) for bucket, count in buckets.items()}
    assert read_buckets(write_buckets(day)) == day
