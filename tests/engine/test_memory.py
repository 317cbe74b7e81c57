"""What is stored of a customer: nothing is lost by storing it, damage is refused, and every bound bites and says so."""

from __future__ import annotations

import contextlib
import zlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.contacts import MAX_OPEN as MAX_CONTACTS
from engine.errors import CorruptState, StateIncompatible
from engine.event import Event
from engine.flags.flagging import Flagging
from engine.flags.folded import MAX_ITEMS
from engine.flags.follows import MAX_FIRST, FollowsFold
from engine.flags.overdue import MAX_OPEN, OverdueFold
from engine.flags.override import MAX_WORDS
from engine.lane import MAX_OVERRIDES
from engine.memory import ARRIVALS, MAX_ATTRIBUTES, MAX_CATEGORIES, RECORD_VERSION, Memory
from engine.rules import RuleSet
from tests.engine.runs import DAY, HOUR, FixedModels, Run, decoded, trace
from tests.oracle.strategies import disordered, logs

Log = list[dict[str, Any]]

INDEXES = Flagging(RuleSet.default()).indexes


def sealed(body: bytes) -> bytes:
    """A record with this body, as if we had written it."""
    return bytes((RECORD_VERSION,)) + zlib.crc32(body).to_bytes(4, "little") + body


def rich_run() -> Run:
    """A customer of whom there is something in every part of memory."""
    run = Run(models=FixedModels())
    run.feed(
        [
            trace("s", 0, "signup", None, value=1.5),
            trace("p", 1, "profile", None, attributes={"segment": "vip", "level": 2.0, "paid": True}),
            trace("c1", 2, "complaint", "a/x", case_id="k1", contact_id="t1"),
            trace("f1", HOUR, "feedback", "a", score=1.0),
            trace("c2", 2 * HOUR, "complaint", "a", case_id="k2"),
            trace("r1", 3 * HOUR, "request", "a", case_id="k2"),
            trace("r2", 3 * HOUR + 1, "request", "a"),
            trace("x1", 4 * HOUR, "resolved", "a", case_id="k2"),
            trace("r3", 5 * HOUR, "request", "a", contact_id="t3"),
            trace("o", 6 * HOUR, "override", "b", flag="repeated_complaint", state="up"),
            trace("v", 40 * DAY, "view", None),
        ]
    )
    return run


# Nothing is lost


@settings(max_examples=60, deadline=None)
@given(logs(overrides=True, retracts=True).flatmap(disordered), st.sampled_from((HOUR, 3 * DAY, None)))
def test_a_lane_that_stores_every_customer_after_every_event_is_the_one_that_never_does(
    log: Log, lateness_ms: int | None
) -> None:
    events = decoded(log)
    kept = Run(lateness_ms=lateness_ms, models=FixedModels())
    stored = Run(lateness_ms=lateness_ms, models=FixedModels(), forgetful=True)
    kept.feed(events, batch=1)
    stored.feed(events, batch=1)
    assert [a.line() for a in stored.alerts] == [a.line() for a in kept.alerts]
    assert stored.store == kept.store
    assert stored.lane.timers() == kept.lane.timers()
    assert stored.lane.record.encode() == kept.lane.record.encode()


@settings(max_examples=15, deadline=None)
@given(logs(max_events=16, overrides=True, retracts=True).flatmap(disordered), st.integers(1, 5))
def test_a_lane_made_anew_from_its_stored_state_goes_on_to_the_byte(log: Log, batch: int) -> None:
    events = decoded(log)
    kept, reborn = Run(), Run(reborn=True)
    kept.feed(events, batch)
    reborn.feed(events, batch)
    assert [a.line() for a in reborn.alerts] == [a.line() for a in kept.alerts]
    assert reborn.predictions == kept.predictions
    assert reborn.store == kept.store
    assert reborn.lane.digest_parts() == kept.lane.digest_parts()


@settings(max_examples=40, deadline=None)
@given(logs(overrides=True, retracts=True))
def test_decoding_and_encoding_again_gives_the_same_bytes(log: Log) -> None:
    run = Run(models=FixedModels())
    run.feed(decoded(log))
    for record in run.store.values():
        assert run.lane.decode(record).encode() == record


def test_a_memory_with_everything_in_it_comes_back_whole() -> None:
    run = rich_run()
    memory = run.memory()
    assert memory.encode() == run.store["c"]
    assert memory.attributes == {"segment": "vip", "level": 2.0, "paid": True}
    for part in (memory.states, memory.composites, memory.overrides, memory.episodes.active, memory.timeline.entries):
        assert part
    assert memory.landmarks.pending
    assert memory.history


def test_a_new_customer_is_unknown_and_not_zero() -> None:
    memory = Memory.decode(Memory("c").encode(), INDEXES)
    assert (memory.churn, memory.engagement, memory.segment, memory.stage) == (None, None, None, None)
    assert (memory.first_seen, memory.last_seen, memory.capped) == (-1, -1, False)


# Damage


def test_a_record_of_another_version_is_refused_and_the_message_says_what_to_do() -> None:
    record = rich_run().store["c"]
    for version in (0, RECORD_VERSION + 1, 255):
        with pytest.raises(
            StateIncompatible, match=rf"expected version {RECORD_VERSION}, got {version}.*replay"
        ) as error:
            Memory.decode(bytes((version,)) + record[1:], INDEXES)
        assert not isinstance(error.value, CorruptState)


def test_a_record_cut_anywhere_is_refused() -> None:
    record = rich_run().store["c"]
    with pytest.raises(StateIncompatible, match="got nothing"):
        Memory.decode(b"", INDEXES)
    for n in range(1, len(record)):
        with pytest.raises(CorruptState):
            Memory.decode(record[:n], INDEXES)
    with pytest.raises(CorruptState):
        Memory.decode(record + b"\0", INDEXES)


@given(st.data())
def test_a_flipped_bit_anywhere_is_refused(data: st.DataObject) -> None:
    record = bytearray(_RICH)
    bit = data.draw(st.integers(0, 8 * len(record) - 1))
    record[bit // 8] ^= 1 << bit % 8
    with pytest.raises(StateIncompatible):
        Memory.decode(bytes(record), INDEXES)


_RICH = rich_run().store["c"]

junk = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 2**40), st.floats(allow_nan=False), st.text(max_size=3)),
    lambda inner: st.lists(inner, max_size=4),
    max_leaves=6,
)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 23), junk, st.booleans())
def test_a_record_whose_checksum_is_right_and_fields_are_not_is_refused_as_corrupt_or_not_at_all(
    place: int, wrong: object, nested: bool
) -> None:
    # A record of another rule set or of a build with a mistake: never an error that nobody catches.
    fields = msgspec.msgpack.decode(_RICH[5:])
    place %= len(fields)
    fields[place] = [wrong] if nested else wrong
    record = sealed(msgspec.msgpack.encode(fields))
    with contextlib.suppress(CorruptState):
        Memory.decode(record, INDEXES)


def test_a_record_with_a_field_too_few_or_too_many_is_refused() -> None:
    fields = msgspec.msgpack.decode(_RICH[5:])
    others: tuple[object, ...] = (fields[:-1], [*fields, 0], {}, 7)
    for other in others:
        with pytest.raises(CorruptState, match=f"expected the fields of version {RECORD_VERSION}"):
            Memory.decode(sealed(msgspec.msgpack.encode(other)), INDEXES)


# Bounds


def capped_run(events: list[Event], lateness_ms: int | None = HOUR) -> Memory:
    """Feed events after whose last one the memory must be capped and the board must say so."""
    run = Run(lateness_ms=lateness_ms, models=FixedModels())
    run.feed(events[:-1])
    assert not run.memory().capped, "the bound bit too early"
    assert "capped" not in _board(run)
    run.feed(events[-1:])
    memory = run.memory()
    assert memory.capped
    assert _board(run)["capped"]
    return memory


def _board(run: Run) -> dict[str, str]:
    rows = run.board["c"].board
    assert rows is not None
    return rows.customer


def test_traces_of_one_machine_are_bounded() -> None:
    # All of them could still be overtaken, so all are kept, up to the bound.
    memory = capped_run([trace(f"e{n}", n) for n in range(MAX_ITEMS + 1)])
    for state in memory.states.values():
        assert len(state.items) <= MAX_ITEMS


def test_a_capped_machine_says_in_order_what_an_uncapped_one_says() -> None:
    events = [trace(f"e{n:03}", n * DAY // 2) for n in range(2 * MAX_ITEMS)]
    capped, exact = Run(lateness_ms=None, models=FixedModels()), Run(models=FixedModels())
    capped.feed(events)
    exact.feed(events)
    assert capped.memory().capped
    assert not exact.memory().capped
    assert [a.line() for a in capped.alerts] == [a.line() for a in exact.alerts]


def test_categories_of_one_rule_are_bounded() -> None:
    memory = capped_run([trace(f"e{n}", n, category=f"c{n}") for n in range(MAX_CATEGORIES + 1)])
    numbers = [number for number, _ in memory.states]
    assert max(numbers.count(n) for n in numbers) == MAX_CATEGORIES
    # The one unused for longest is forgotten.
    assert (0, "c0") not in memory.states
    assert (0, f"c{MAX_CATEGORIES}") in memory.states


def test_a_flag_whose_machine_was_forgotten_ends_when_it_was_said_to() -> None:
    run = Run(models=FixedModels())
    for n in range(MAX_CATEGORIES + 1):
        # All are up; the bound takes the oldest, whose end is the earliest.
        run.feed([trace(f"e{n}", n * 60_000, category=f"c{n}"), trace(f"f{n}", n * 60_000 + 1, category=f"c{n}")])
    (first,) = [a for a in run.alerts if (a.op, a.category) == ("raise", "c0")]
    assert (0, "c0") not in run.memory().states
    assert first.until is not None
    run.tick(first.until)
    assert ("repeat_request", "c0") in run.up()
    (clear,) = run.tick(first.until + 1)
    assert (clear.op, clear.alert_id, clear.at) == ("clear", first.alert_id, first.until)


def test_open_cases_are_bounded() -> None:
    events = [trace(f"e{n}", n * 60_000, "signup", None) for n in range(MAX_OPEN + 1)]
    memory = capped_run(events)
    folds = [state.now for state in memory.states.values() if isinstance(state.now, OverdueFold)]
    assert [len(fold.opened) for fold in folds] == [MAX_OPEN]


def test_fixes_that_a_contact_may_follow_are_bounded() -> None:
    events = [trace(f"e{n}", n * 60_000, "resolved", case_id=f"k{n}") for n in range(MAX_FIRST + 1)]
    memory = capped_run(events)
    (fold,) = [state.now for state in memory.states.values() if isinstance(state.now, FollowsFold)]
    assert len(fold.first) == MAX_FIRST


def test_open_contact_alerts_are_bounded() -> None:
    sensitive = [trace(f"c{n}", n, "complaint") for n in range(2)]
    contacts = [trace(f"s{n}", 10 + n, "suggestion", case_id=f"k{n}") for n in range(MAX_CONTACTS + 1)]
    memory = capped_run([*sensitive, *contacts])
    assert len(memory.contacts.open) == MAX_CONTACTS
    assert "case:k0" not in memory.contacts.open


def test_overrides_are_bounded() -> None:
    words = [
        trace(f"o{n}", n, "override", f"c{n}", flag="repeat_request", state="up") for n in range(MAX_OVERRIDES + 1)
    ]
    memory = capped_run(words)
    assert len(memory.overrides) == MAX_OVERRIDES
    run = Run(models=FixedModels())
    run.feed([trace(f"o{n:02}", n, "override", None, flag="sensitive", state="up") for n in range(MAX_WORDS + 5)])
    assert len(run.memory().overrides["sensitive", None]) == MAX_WORDS


def test_descriptive_facts_are_bounded_and_known_ones_still_change() -> None:
    facts = [f"f{n}" for n in range(MAX_ATTRIBUTES + 1)]
    events = [trace(f"e{n}", n, "profile", None, attributes={name: float(n)}) for n, name in enumerate(facts)]
    memory = capped_run(events)
    assert list(memory.attributes) == facts[:MAX_ATTRIBUTES]
    run = Run(models=FixedModels())
    run.feed([*events, trace("e", MAX_ATTRIBUTES + 2, "profile", None, attributes={"f0": 99.0})])
    assert run.memory().attributes["f0"] == 99.0


def test_capped_stays() -> None:
    run = Run(models=FixedModels())
    run.feed([trace(f"e{n}", n, "profile", None, attributes={f"f{n}": True}) for n in range(MAX_ATTRIBUTES + 1)])
    run.feed([trace("later", 100 * DAY)])
    assert run.memory().capped


def test_the_last_arrivals_are_remembered_and_beyond_them_what_memory_holds() -> None:
    run = Run(lateness_ms=None, models=FixedModels())
    run.feed([trace("first", 0), trace("gone", 0, "suggestion", None)])
    run.feed([trace(f"v{n}", n, "view", None) for n in range(ARRIVALS)])
    assert len(run.memory().arrivals) == ARRIVALS
    before = run.counts()["duplicate"]
    # A request stays among the traces of its rule; of a suggestion no rule keeps anything.
    run.feed([trace(f"v{n}", n, "view", None) for n in range(ARRIVALS)])
    run.feed([trace("first", 0)])
    assert run.counts()["duplicate"] == before + ARRIVALS + 1
    run.feed([trace("gone", 0, "suggestion", None)])
    assert run.counts()["duplicate"] == before + ARRIVALS + 1


def test_scores_of_thirty_days_and_so_many_examples_are_kept() -> None:
    run = Run(models=FixedModels(), max_pending=5)
    run.feed([trace(f"e{n}", n * DAY, "session", None) for n in range(40)])
    memory = run.memory()
    assert len(memory.history) == 30
    assert len(memory.landmarks.pending) == 5


def worst(n: int, start: int) -> list[Event]:
    """Events that fill memory as fast as they can: long ids, a case each, all within lateness."""
    kinds: tuple[Callable[[str, int], Event], ...] = (
        lambda i, t: trace(i, t, "complaint", "x" * 60, case_id="k" * 90 + i, contact_id="t" * 90 + i),
        lambda i, t: trace(i, t, "request", "y" * 60, case_id="k" * 90 + i, contact_id="t" * 90 + i),
        lambda i, t: trace(i, t, "resolved", "x" * 60, case_id="q" * 90 + i),
        lambda i, t: trace(i, t, "feedback", "x" * 60, case_id="f" * 90 + i, score=1.0),
        lambda i, t: trace(i, t, "promotion", None, campaign_id="m" * 90 + i),
        lambda i, t: trace(i, t, "signup", None, contact_id="t" * 90 + i),
    )
    return [kinds[n % 6](f"{'i' * 100}{start + n:05}", start + n) for n in range(n)]


def test_a_record_does_not_grow_without_end() -> None:
    # The bounds are per rule and category: here there is one category, and all its machines are full.
    run = Run(models=FixedModels())
    sizes = []
    for part in range(3):
        run.feed(worst(1_800, 1_800 * part))
        sizes.append(len(run.store["c"]))
    assert run.memory().capped
    assert max(sizes) < 1.1 * sizes[0] < 1_500_000
