"""Labels of landmarks: what each event means for each window, to the millisecond, and what storing keeps."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.event import CONTACT, ENGAGEMENT, Event
from engine.landmarks import EVENT, SILENCE, Landmark, Landmarks, Windows
from engine.scores import Scores

WINDOWS = Windows((10, 40), 20, 15)
AT = 1_000

singles = st.floats(-1e6, 1e6, width=32)


def mark(at: int = AT, trigger: int = EVENT) -> Landmark:
    return Landmark(at, trigger, [0.5, -1.0], Scores(0.3, 2.0, 0.1, (0.25, -0.5)))


# What came after a landmark: (time after it, own activity, leaving, kind).
happenings = st.lists(
    st.tuples(
        st.one_of(st.sampled_from((-5, 0, 1, 10, 11, 15, 16, 20, 21, 40, 41)), st.integers(-50, 60)),
        st.booleans(),
        st.booleans(),
        st.sampled_from(("request", "complaint", "suggestion", "session", "purchase", "view", "handling", "cancel")),
    ),
    max_size=12,
)
Happenings = Sequence[tuple[int, bool, bool, str]]


def followed(what: Happenings) -> Landmark:
    landmarks = Landmarks([mark()])
    for after, is_own, has_left, kind in what:
        landmarks.observe(Event("e", "c", AT + after, kind), is_own, has_left, WINDOWS)
    return landmarks.pending[0]


@settings(max_examples=300)
@given(happenings)
def test_labels_are_those_of_brute_force_in_any_order_of_arrival(what: Happenings) -> None:
    one = followed(what)
    acts = [after for after, is_own, _, _ in what if is_own and 0 < after <= WINDOWS.churn]
    leaves = [after for after, _, has_left, _ in what if has_left and 0 < after <= WINDOWS.churn]
    assert (one.active_after, one.left_after) == (min(acts, default=0), min(leaves, default=0))
    assert one.churned == (bool(leaves) or not acts)
    for edge in WINDOWS.edges:
        left, active = any(after <= edge for after in leaves), any(after <= edge for after in acts)
        assert one.silent(edge) == (left or not active)
    assert one.n_engaged == sum(kind in ENGAGEMENT and 0 < after <= 20 for after, _, _, kind in what)
    assert one.contacted == any(kind in CONTACT and 0 < after <= 15 for after, _, _, kind in what)


@given(happenings)
def test_the_last_piece_says_what_the_whole_window_says(what: Happenings) -> None:
    one = followed(what)
    assert one.silent(WINDOWS.churn) == one.churned


@given(happenings, st.randoms())
def test_the_order_of_arrival_changes_no_label(what: Happenings, rng: object) -> None:
    shuffled = list(what)
    rng.shuffle(shuffled)  # type: ignore[attr-defined] # of random.Random
    assert followed(shuffled).encode() == followed(what).encode()


@pytest.mark.parametrize(
    ("active", "left", "early", "late"),
    [
        (0, 0, True, True),  # silent to the end
        (1, 0, False, False),
        (10, 0, False, False),  # at the very edge
        (11, 0, True, False),  # silent in the first piece, then active
        (40, 0, True, False),
        (0, 5, True, True),  # left early
        (0, 30, True, True),
        (5, 8, True, True),  # active, then left, all in the first piece
        (5, 30, False, True),  # active in the first piece, left in the second
        (30, 5, True, True),  # left, then active: they had left
    ],
)
def test_who_left_was_silent_whatever_they_did_before(active: int, left: int, early: bool, late: bool) -> None:
    one = mark()
    one.active_after, one.left_after = active, left
    assert (one.silent(10), one.silent(40)) == (early, late)
    assert one.churned == late


def test_an_event_that_is_nothing_of_these_changes_nothing() -> None:
    before = mark().encode()
    assert followed([(5, False, False, "handling"), (6, False, False, "profile")]).encode() == before


def test_every_open_landmark_hears_of_an_event_from_its_own_time_on() -> None:
    landmarks = Landmarks([mark(AT), mark(AT + 5), mark(AT + 9, SILENCE)])
    landmarks.observe(Event("e", "c", AT + 9, "request"), True, False, WINDOWS)
    assert [one.active_after for one in landmarks.pending] == [9, 4, 0]
    assert [one.contacted for one in landmarks.pending] == [True, True, False]


# -- bookkeeping ---------------------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 200), st.integers(0, 2), st.booleans(), st.booleans()), max_size=6))
def test_the_next_due_is_the_earliest_end_that_was_not_learned(
    states: list[tuple[int, int, bool, bool]],
) -> None:
    landmarks, ends = Landmarks(), list[int]()
    for at, n_done, engagement_done, contact_done in states:
        one = mark(at)
        one.n_pieces_done, one.engagement_done, one.contact_done = n_done, engagement_done, contact_done
        landmarks.pending.append(one)
        ends += [at + edge for edge in WINDOWS.edges[n_done : n_done + 1]]
        ends += [at + 20] * (not engagement_done) + [at + 15] * (not contact_done)
        assert one.is_churn_done(WINDOWS) == (n_done == 2)
        assert one.is_begun == (n_done > 0 or engagement_done or contact_done)
        assert one.is_done(WINDOWS) == (n_done == 2 and engagement_done and contact_done)
    assert landmarks.next_due(WINDOWS) == min(ends, default=None)


def test_every_label_is_due_once_and_in_the_order_of_its_end() -> None:
    landmarks, due = Landmarks([mark(0)]), []
    one = landmarks.pending[0]
    while (end := landmarks.next_due(WINDOWS)) is not None:
        due.append(end)
        one.engagement_done |= end == 20
        one.contact_done |= end == 15
        one.n_pieces_done += end in WINDOWS.edges
    assert due == [10, 15, 20, 40]
    assert one.is_done(WINDOWS)


@pytest.mark.parametrize(
    ("at", "trigger", "found"),
    [(1_099, EVENT, 1_050), (1_100, EVENT, None), (1_099, SILENCE, 1_020), (999, EVENT, None)],
)
def test_a_slot_is_taken_by_the_newest_example_of_its_trigger(at: int, trigger: int, found: int | None) -> None:
    landmarks = Landmarks([mark(1_010), mark(1_020, SILENCE), mark(1_050)])
    slot = landmarks.slot(at, trigger, 100)
    assert (None if slot is None else slot.at) == found


def test_a_landmark_of_the_same_moment_takes_over_what_was_seen() -> None:
    old, new = followed([(3, True, False, "view"), (4, False, False, "request"), (9, False, True, "cancel")]), mark()
    new.follow(old)
    assert (new.active_after, new.left_after, new.n_engaged, new.contacted) == (3, 9, 1, True)
    assert not new.is_begun


# -- storing -------------------------------------------------------------------------------------------------------


@settings(max_examples=200)
@given(
    happenings,
    st.lists(singles, min_size=1, max_size=40),
    st.builds(
        Scores,
        st.floats(0.0, 1.0),
        st.floats(0.0, 1e300),
        st.floats(0.0, 1.0),
        st.tuples(singles, singles),
        st.lists(st.floats(0.0, 1.0, width=32), max_size=5).map(tuple),
    ),
    st.integers(0, 3),
    st.integers(0, 2),
    st.booleans(),
    st.booleans(),
)
def test_a_stored_landmark_comes_back_to_the_bit(
    what: Happenings,
    x: list[float],
    scores: Scores,
    champion: int,
    n_done: int,
    engagement_done: bool,
    contact_done: bool,
) -> None:
    one = Landmark(AT, SILENCE, x, scores, champion)
    one.follow(followed(what))
    one.n_pieces_done, one.engagement_done, one.contact_done = n_done, engagement_done, contact_done
    (again,) = Landmarks.decode(msgspec.msgpack.decode(msgspec.msgpack.encode(Landmarks([one]).encode()))).pending
    # Stored again before anybody asks for the numbers, and after.
    assert again.encode() == one.encode()
    assert (again.x, again.scores) == (x, scores)
    assert again.encode() == one.encode()
    for name in ("at", "trigger", "champion", "n_engaged", "active_after", "left_after", "contacted"):
        assert getattr(again, name) == getattr(one, name)
    for name in ("n_pieces_done", "engagement_done", "contact_done", "churned", "is_begun"):
        assert getattr(again, name) == getattr(one, name)


def test_numbers_are_stored_in_single_precision_and_scores_exactly() -> None:
    one = Landmark(AT, EVENT, [0.1], Scores(0.1, 0.2, 0.3, (0.1, 0.2), (0.3,)))
    again = Landmark.decode(one.encode())
    (tenth,) = struct.unpack("<f", struct.pack("<f", 0.1))
    assert again.x == [tenth]
    assert again.scores[:3] == (0.1, 0.2, 0.3)
    assert again.scores.members[0] == tenth


def test_a_landmark_takes_four_bytes_a_feature_and_some() -> None:
    one = Landmark(1_700_000_000_000, EVENT, [0.5] * 40, Scores(0.1, 0.2, 0.3, (0.1, 0.2)))
    assert len(msgspec.msgpack.encode(one.encode())) <= 4 * 40 + 60
