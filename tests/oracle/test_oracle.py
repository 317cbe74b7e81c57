"""Examples worked out by hand from `docs/rules.md`, which the oracle must pass before anything is measured by it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.oracle import expected, minimal_evidence_holds, replay_alone
from tests.oracle.episodes import Op

HOUR = 3_600_000
DAY = 24 * HOUR
T = 1_600_000_000_000  # all times below are relative to it

Event = dict[str, Any]


def at(ts: int, kind: str, category: str | None = None, **more: Any) -> Event:
    """An event of the customer `c`; its id tells its time unless one is given."""
    event = {"event_id": f"{kind}-{ts:014}", "customer_id": "c", "ts": T + ts, "kind": kind, "category": category}
    return {**event, **more}


def rated(ts: int, score: float, category: str = "a", **more: Any) -> Event:
    return at(ts, "feedback", category, score=score, **more)


def flag_at(events: list[Event], flag: str, tau: int, category: str | None = None) -> tuple[int, int, int, str] | None:
    """(since, until, count, severity) relative to T at a tick of `tau`; `None` when down."""
    tick = {"event_id": "tick", "kind": "tick", "lane": 0, "lanes": 1, "ts": T + tau}
    for row in expected([*events, tick], lateness_ms=None).flags.get("c", []):
        if row["flag"] == flag and row["category"] == category:
            return row["since"] - T, row["until"] - T, row["count"], row["severity"]
    return None


def episodes(events: list[Event], flag: str, tau: int, category: str | None = None) -> list[Op]:
    tick = {"event_id": "tick", "kind": "tick", "lane": 0, "lanes": 1, "ts": T + tau}
    result = expected([*events, tick], lateness_ms=None)
    return [(op, when - T, since - T) for op, when, since in result.episodes.get(("c", flag, category), [])]


# repeat_request


def test_two_requests_exactly_a_day_apart_are_a_burst_for_one_ms() -> None:
    log = [at(0, "request", "a"), at(DAY, "request", "a")]
    assert flag_at(log, "repeat_request", DAY, "a") == (DAY, DAY, 2, "burst")
    assert flag_at(log, "repeat_request", DAY + 1, "a") is None
    assert episodes(log, "repeat_request", DAY + 1, "a") == [("raise", DAY, DAY), ("clear", DAY, DAY)]


def test_two_requests_a_ms_more_than_a_day_apart_are_nothing() -> None:
    log = [at(0, "request", "a"), at(DAY + 1, "request", "a")]
    assert flag_at(log, "repeat_request", DAY + 1, "a") is None
    assert episodes(log, "repeat_request", 3 * DAY, "a") == []


def test_severity_falls_back_to_the_tier_that_lasts() -> None:
    log = [at(n * HOUR, "request", "a") for n in range(4)]
    # burst until 2 h + 24 h, repeat until 1 h + 7 d, chronic until 0 + 30 d.
    assert flag_at(log, "repeat_request", 3 * HOUR, "a") == (HOUR, 30 * DAY, 4, "chronic")
    three = log[:3]
    assert flag_at(three, "repeat_request", 2 * HOUR, "a") == (HOUR, 7 * DAY, 3, "repeat")
    two_and_one = [at(0, "request", "a"), at(6 * DAY, "request", "a"), at(6 * DAY + HOUR, "request", "a")]
    assert flag_at(two_and_one, "repeat_request", 7 * DAY, "a") == (6 * DAY + HOUR, 7 * DAY, 3, "repeat")
    # One ms after the end of the repeat only the burst is left; its window at the last request holds two.
    late_burst = [at(0, "request", "a"), at(7 * DAY - HOUR, "request", "a"), at(7 * DAY, "request", "a")]
    assert flag_at(late_burst, "repeat_request", 7 * DAY, "a") == (7 * DAY, 8 * DAY - HOUR, 3, "repeat")
    assert flag_at(late_burst, "repeat_request", 7 * DAY + 1, "a") == (7 * DAY, 8 * DAY - HOUR, 2, "burst")


def test_a_request_at_until_holds_the_flag_and_one_ms_later_starts_anew() -> None:
    log = [at(0, "request", "a"), at(HOUR, "request", "a")]
    held = [*log, at(DAY, "request", "a"), at(2 * DAY + 1, "request", "a")]
    # Three in 7 d hold until 7 d from the first of them.
    assert episodes(held, "repeat_request", 3 * DAY, "a") == [("raise", HOUR, HOUR)]
    anew = [*log, at(20 * DAY, "request", "a"), at(20 * DAY, "request", "a", event_id="z")]
    assert episodes(anew, "repeat_request", 20 * DAY, "a") == [
        ("raise", HOUR, HOUR),
        ("clear", DAY, HOUR),
        ("raise", 20 * DAY, 20 * DAY),
    ]
    assert flag_at(anew, "repeat_request", 20 * DAY, "a") == (20 * DAY, 30 * DAY, 4, "chronic")


def test_categories_count_by_leaf_and_unknown_ones_never() -> None:
    log = [at(0, "request", "a/x"), at(1, "request", "a/y"), at(2, "request", "*"), at(3, "request", "*")]
    assert expected(log).flags == {"c": []}


def test_of_twins_the_earliest_counts() -> None:
    log = [at(0, "request", "a", contact_id="t"), at(HOUR, "request", "a", contact_id="t")]
    assert expected(log).flags == {"c": []}
    third = [*log, at(2 * HOUR, "request", "a")]
    assert flag_at(third, "repeat_request", 2 * HOUR, "a") == (2 * HOUR, DAY, 2, "burst")
    elsewhere = [*log, at(HOUR, "request", "b", contact_id="t", event_id="b1")]
    elsewhere.append(at(2 * HOUR, "request", "b"))
    assert flag_at(elsewhere, "repeat_request", 2 * HOUR, "b") == (2 * HOUR, HOUR + DAY, 2, "burst")


# repeated_complaint, repeated_dissatisfaction, mixed_dissatisfaction


def test_complaints_count_at_the_first_level_for_thirty_days() -> None:
    log = [at(0, "complaint", "a/x"), at(30 * DAY, "complaint", "a/y")]
    assert flag_at(log, "repeated_complaint", 30 * DAY, "a") == (30 * DAY, 30 * DAY, 2, "")
    assert flag_at(log, "repeated_complaint", 30 * DAY + 1, "a") is None
    apart = [at(0, "complaint", "a/x"), at(30 * DAY + 1, "complaint", "a/y")]
    assert episodes(apart, "repeated_complaint", 40 * DAY, "a") == []
    other = [at(0, "complaint", "a/x"), at(1, "complaint", "ax/x"), at(2, "complaint", "*"), at(3, "complaint", "*")]
    assert not [key for key in expected(other).episodes if key[1] == "repeated_complaint"]


def test_a_third_complaint_moves_the_end_but_not_the_beginning() -> None:
    log = [at(n * 10 * DAY, "complaint", "a") for n in range(3)]
    assert flag_at(log, "repeated_complaint", 20 * DAY, "a") == (10 * DAY, 40 * DAY, 3, "")


@pytest.mark.parametrize(
    ("score", "sentiment", "low"),
    [(2, None, True), (2.01, None, False), (5, -0.6, True), (5, -0.59, False), (1, 1.0, True)],
)
def test_a_rating_is_low_by_score_or_by_sentiment(score: float, sentiment: float | None, low: bool) -> None:
    log = [rated(0, 1), rated(HOUR, score, sentiment=sentiment)]
    assert (flag_at(log, "repeated_dissatisfaction", HOUR, "a") == (HOUR, 30 * DAY, 2, "")) is low


def test_low_ratings_count_for_thirty_days() -> None:
    assert flag_at([rated(0, 2), rated(30 * DAY, 2, "a/x")], "repeated_dissatisfaction", 30 * DAY, "a") is not None
    assert flag_at([rated(0, 2), rated(30 * DAY + 1, 2)], "repeated_dissatisfaction", 30 * DAY + 1, "a") is None


def test_a_complaint_and_a_low_rating_are_mixed_for_fourteen_days_from_the_older() -> None:
    for pair in ([rated(0, 1), at(DAY, "complaint", "a/x")], [at(0, "complaint", "a/x"), rated(DAY, 1)]):
        assert flag_at(pair, "mixed_dissatisfaction", DAY, "a") == (DAY, 14 * DAY, 2, "")
        assert flag_at(pair, "mixed_dissatisfaction", 14 * DAY, "a") is not None
        assert flag_at(pair, "mixed_dissatisfaction", 14 * DAY + 1, "a") is None
    assert flag_at([rated(0, 1), at(14 * DAY, "complaint", "a")], "mixed_dissatisfaction", 14 * DAY, "a") is not None
    assert not episodes([rated(0, 1), at(14 * DAY + 1, "complaint", "a")], "mixed_dissatisfaction", 20 * DAY, "a")
    assert not episodes([rated(0, 3), at(DAY, "complaint", "a")], "mixed_dissatisfaction", 20 * DAY, "a")


def test_both_of_one_case_are_not_mixed_but_with_another_they_are() -> None:
    one = [at(0, "complaint", "a", case_id="k"), rated(DAY, 1, case_id="k")]
    assert not episodes(one, "mixed_dissatisfaction", 2 * DAY, "a")
    unsaid = [at(0, "complaint", "a", case_id="k"), rated(DAY, 1)]
    assert flag_at(unsaid, "mixed_dissatisfaction", DAY, "a") == (DAY, 14 * DAY, 2, "")
    # The best pair is complaint at 0 and rating of another case at 2 d; then complaint at 3 d with the rating of 1 d
    # would be of one case, but with that of 2 d it is not: the older is 2 d.
    more = [*one, rated(2 * DAY, 1, case_id="other")]
    assert flag_at(more, "mixed_dissatisfaction", 2 * DAY, "a") == (2 * DAY, 14 * DAY, 3, "")
    more.append(at(3 * DAY, "complaint", "a", case_id="k"))
    assert flag_at(more, "mixed_dissatisfaction", 3 * DAY, "a") == (2 * DAY, 16 * DAY, 4, "")


def test_a_complaint_and_a_rating_of_one_contact_are_one_event() -> None:
    log = [at(0, "complaint", "a", contact_id="t"), rated(1, 1, contact_id="t")]
    assert not episodes(log, "mixed_dissatisfaction", DAY, "a")
    assert flag_at([*log, rated(2, 1)], "mixed_dissatisfaction", 2, "a") == (2, 14 * DAY, 2, "")


# sensitive


def test_sensitive_lasts_thirty_days_from_the_newest_event_that_held_a_member() -> None:
    log = [at(0, "complaint", "a"), at(DAY, "complaint", "a"), at(2 * DAY, "request", "a"), rated(3 * DAY, 1, "b")]
    assert flag_at(log, "sensitive", 3 * DAY) == (DAY, 31 * DAY, 1, "")
    # 3 d: a low rating in another category holds nothing; 4 d: one in this category does.
    log.append(rated(4 * DAY, 1))
    assert flag_at(log, "sensitive", 4 * DAY) == (DAY, 34 * DAY, 2, "")
    assert flag_at(log, "sensitive", 34 * DAY) is not None
    assert episodes(log, "sensitive", 34 * DAY + 1) == [("raise", DAY, DAY), ("clear", 34 * DAY, DAY)]


def test_a_member_at_the_end_of_sensitive_holds_it_and_one_ms_later_raises_it_anew() -> None:
    start = [at(0, "complaint", "a"), at(DAY, "complaint", "a")]
    held = [*start, at(31 * DAY, "complaint", "b"), rated(31 * DAY, 1, "b")]
    assert episodes(held, "sensitive", 31 * DAY) == [("raise", DAY, DAY)]
    anew = [*start, at(31 * DAY + 1, "complaint", "b"), rated(31 * DAY + 1, 1, "b")]
    assert [op[:2] for op in episodes(anew, "sensitive", 32 * DAY)] == [
        ("raise", DAY),
        ("clear", 31 * DAY),
        ("raise", 31 * DAY + 1),
    ]


def test_a_single_complaint_makes_nobody_sensitive() -> None:
    assert flag_at([at(0, "complaint", "a"), at(1, "complaint", "b")], "sensitive", DAY) is None


def override(ts: int, state: str, until: int | None = None) -> Event:
    end = None if until is None else T + until
    return at(ts, "override", flag="sensitive", state=state, until=end)


def test_a_person_sets_lifts_and_gives_back_sensitive() -> None:
    up = [override(5, "up", 10)]
    assert flag_at(up, "sensitive", 10) == (5, 10, 0, "")
    assert episodes(up, "sensitive", 11) == [("raise", 5, 5), ("clear", 10, 5)]
    own = [at(0, "complaint", "a"), at(1, "complaint", "a")]
    lifted = [*own, override(DAY, "down", 2 * DAY)]
    assert flag_at(lifted, "sensitive", 2 * DAY) is None
    assert flag_at(lifted, "sensitive", 2 * DAY + 1) == (1, 30 * DAY + 1, 1, "")
    assert episodes(lifted, "sensitive", 3 * DAY) == [("raise", 1, 1), ("clear", DAY, 1), ("raise", 2 * DAY, 1)]
    given_back = [*own, override(DAY, "down"), override(5 * DAY, "auto")]
    assert episodes(given_back, "sensitive", 6 * DAY) == [("raise", 1, 1), ("clear", DAY, 1), ("raise", 5 * DAY, 1)]
    set_longer = [*own, override(DAY, "up", 60 * DAY)]
    assert episodes(set_longer, "sensitive", 61 * DAY) == [("raise", 1, 1), ("clear", 60 * DAY, 1)]
    set_shorter = [*own, override(DAY, "up", 2 * DAY)]
    assert episodes(set_shorter, "sensitive", 40 * DAY) == [("raise", 1, 1), ("clear", 30 * DAY + 1, 1)]


# promotion_fatigue


def test_five_promotions_exactly_in_fourteen_days_tire() -> None:
    log = [at(n * 7 * DAY // 2, "promotion") for n in range(5)]
    assert flag_at(log, "promotion_fatigue", 14 * DAY) == (14 * DAY, 14 * DAY, 5, "")
    assert flag_at(log, "promotion_fatigue", 14 * DAY + 1) is None
    log[0]["ts"] -= 1
    assert not episodes(log, "promotion_fatigue", 20 * DAY)


@pytest.mark.parametrize(
    ("answer", "resets"),
    [
        (at(10, "view", campaign_id="m"), True),
        (at(10, "purchase", campaign_id="m"), True),
        (at(10, "purchase"), False),
        (at(10, "view", campaign_id="other"), False),
        (at(10, "outreach", campaign_id="m", outcome="reached"), False),
    ],
)
def test_an_answer_names_the_campaign_where_promotions_have_one(answer: Event, resets: bool) -> None:
    log = [*(at(n, "promotion", campaign_id="m") for n in range(5)), answer]
    assert (flag_at(log, "promotion_fatigue", 10) is None) is resets
    if resets:
        assert episodes(log, "promotion_fatigue", 10) == [("raise", 4, 4), ("clear", 10, 4)]
        again = [*log, *(at(n, "promotion", campaign_id="m") for n in range(11, 16))]
        assert flag_at(again[:-1], "promotion_fatigue", 14) is None
        assert flag_at(again, "promotion_fatigue", 15) == (15, 11 + 14 * DAY, 5, "")


def test_a_purchase_answers_a_promotion_without_campaign_and_order_decides_at_equal_times() -> None:
    log = [*(at(n, "promotion") for n in range(4)), at(4, "purchase", event_id="a"), at(4, "promotion", event_id="b")]
    assert not episodes(log, "promotion_fatigue", 10)
    log[4]["event_id"] = "c"
    assert episodes(log, "promotion_fatigue", 10) == [("raise", 4, 4), ("clear", 4, 4)]


# unanswered, unresolved, not_activated


def test_an_unanswered_complaint_is_raised_once_the_clock_is_past_a_day() -> None:
    log = [at(0, "complaint", "a/x")]
    assert flag_at(log, "unanswered", DAY, "a/x") is None
    assert flag_at(log, "unanswered", DAY + 1, "a/x") == (DAY, 31 * DAY, 1, "")
    assert flag_at(log, "unanswered", 31 * DAY, "a/x") is not None
    assert episodes(log, "unanswered", 31 * DAY + 1, "a/x") == [("raise", DAY, DAY), ("clear", 31 * DAY, DAY)]


@pytest.mark.parametrize(
    ("answer", "does"),
    [
        (at(DAY, "handling", "a"), True),
        (at(DAY + 1, "handling", "a"), False),
        (at(0, "handling", "a", event_id="a"), False),  # before the complaint, by id
        (at(0, "handling", "a", event_id="z"), True),
        (at(5, "handling"), True),
        (at(5, "handling", "b"), False),
        (at(5, "handling", "a/x"), False),
        (at(5, "resolved", "a"), True),
        (at(5, "outreach", "a", outcome="reached"), True),
        (at(5, "outreach", "a", outcome="no_answer"), False),
        (at(5, "handling", "b", case_id="k"), True),
        (at(5, "handling", "a", case_id="l"), False),
        (at(5, "handling", None, case_id="l"), False),
        (at(5, "resolved", "*"), False),
    ],
)
def test_what_answers_a_complaint_within_a_day(answer: Event, does: bool) -> None:
    log = [at(0, "complaint", "a", case_id="k"), answer]
    assert (not episodes(log, "unanswered", 2 * DAY, "a")) is does


def test_an_answer_with_a_case_to_a_complaint_without_goes_by_category() -> None:
    log = [at(0, "complaint", "a")]
    assert not episodes([*log, at(5, "handling", "a", case_id="l")], "unanswered", 2 * DAY, "a")
    assert episodes([*log, at(5, "handling", None, case_id="l")], "unanswered", 2 * DAY, "a")


def test_since_moves_when_the_oldest_is_answered_and_the_episode_goes_on() -> None:
    log = [at(0, "complaint", "a", case_id="k"), at(DAY, "complaint", "a", case_id="l")]
    log += [at(3 * DAY, "resolved", "a", case_id="k")]
    # At 3 d exactly the resolution of k is in time; l is raised at 4 d.
    assert episodes(log, "unresolved", 5 * DAY, "a") == [("raise", 4 * DAY, 4 * DAY)]
    log[2]["ts"] = T + 5 * DAY
    assert flag_at(log[:2], "unresolved", 4 * DAY + 1, "a") == (3 * DAY, 34 * DAY, 2, "")
    assert flag_at(log, "unresolved", 5 * DAY, "a") == (4 * DAY, 34 * DAY, 1, "")
    log.append(at(6 * DAY, "resolved", "a"))
    assert episodes(log, "unresolved", 7 * DAY, "a") == [("raise", 3 * DAY, 3 * DAY), ("clear", 6 * DAY, 4 * DAY)]


def test_a_raise_at_until_goes_on_and_one_ms_later_drops_the_old() -> None:
    log = [at(0, "complaint", "a"), at(30 * DAY, "complaint", "a")]
    assert flag_at(log, "unresolved", 33 * DAY + 1, "a") == (3 * DAY, 63 * DAY, 2, "")
    log[1]["ts"] += 1
    assert flag_at(log, "unresolved", 33 * DAY + 2, "a") == (33 * DAY + 1, 63 * DAY + 1, 1, "")


def test_when_the_newest_is_answered_an_expired_rest_goes_with_it() -> None:
    log = [at(0, "complaint", "a", case_id="k"), at(20 * DAY, "complaint", "a", case_id="l")]
    log.append(at(40 * DAY, "resolved", "a", case_id="l"))
    assert episodes(log, "unresolved", 41 * DAY, "a") == [("raise", 3 * DAY, 3 * DAY), ("clear", 40 * DAY, 3 * DAY)]


def test_a_rest_that_ends_at_the_ms_of_the_answer_is_still_up_in_it() -> None:
    log = [at(0, "complaint", "a", case_id="k"), at(20 * DAY, "complaint", "a", case_id="l")]
    log.append(at(33 * DAY, "resolved", "a", case_id="l"))
    assert flag_at(log, "unresolved", 33 * DAY, "a") == (3 * DAY, 33 * DAY, 1, "")
    assert flag_at(log, "unresolved", 33 * DAY + 1, "a") is None


def test_unknown_categories_never_match_but_are_overdue_themselves() -> None:
    log = [at(0, "complaint", "*"), at(1, "handling", "*"), at(2, "complaint", "*")]
    assert flag_at(log, "unanswered", 3 * DAY, "*") == (DAY, 31 * DAY + 2, 2, "")
    assert flag_at([*log, at(3, "handling", None)], "unanswered", 3 * DAY, "*") is None


def test_twin_complaints_are_one_open_case() -> None:
    log = [at(0, "complaint", "a", contact_id="t"), at(HOUR, "complaint", "a", contact_id="t")]
    assert flag_at(log, "unresolved", 4 * DAY, "a") == (3 * DAY, 33 * DAY, 1, "")


def test_a_handled_complaint_stays_unresolved() -> None:
    log = [at(0, "complaint", "a"), at(HOUR, "handling", "a"), at(2 * HOUR, "outreach", "a", outcome="reached")]
    assert not episodes(log, "unanswered", 4 * DAY, "a")
    assert flag_at(log, "unresolved", 3 * DAY, "a") is None
    assert flag_at(log, "unresolved", 3 * DAY + 1, "a") == (3 * DAY, 33 * DAY, 1, "")


def test_a_signup_without_engagement_for_seven_days_is_not_activated() -> None:
    log = [at(0, "signup")]
    assert flag_at(log, "not_activated", 7 * DAY) is None
    assert flag_at(log, "not_activated", 7 * DAY + 1) == (7 * DAY, 37 * DAY, 1, "")
    assert not episodes([*log, at(7 * DAY, "view", "b")], "not_activated", 8 * DAY)
    assert episodes([*log, at(7 * DAY + 1, "purchase")], "not_activated", 8 * DAY) == [
        ("raise", 7 * DAY, 7 * DAY),
        ("clear", 7 * DAY + 1, 7 * DAY),
    ]
    assert episodes([*log, at(DAY, "request", "a"), at(DAY, "received")], "not_activated", 8 * DAY)
    assert episodes([at(0, "signup", "a"), at(1, "session", "b")], "not_activated", 8 * DAY, "a")


# failed_fix


def test_a_contact_within_seven_days_after_resolved_is_a_failed_fix() -> None:
    fixed = at(0, "resolved", "a/x")
    assert flag_at([fixed, at(7 * DAY, "request", "a/x")], "failed_fix", 7 * DAY, "a/x") == (7 * DAY, 14 * DAY, 1, "")
    assert flag_at([fixed, at(7 * DAY, "complaint", "a/x")], "failed_fix", 14 * DAY + 1, "a/x") is None
    assert not episodes([fixed, at(7 * DAY + 1, "request", "a/x")], "failed_fix", 9 * DAY, "a/x")
    assert not episodes([fixed, at(0, "request", "a/x", event_id="a")], "failed_fix", DAY, "a/x")
    assert not episodes([fixed, at(1, "request", "a/y")], "failed_fix", DAY, "a/x")
    assert not episodes([fixed, at(1, "feedback", "a/x", score=1)], "failed_fix", DAY, "a/x")


def test_a_failed_fix_of_one_case_is_shown_under_the_category_that_was_resolved() -> None:
    log = [at(0, "resolved", "a", case_id="k"), at(DAY, "complaint", "b", case_id="k")]
    assert flag_at(log, "failed_fix", DAY, "a") == (DAY, 8 * DAY, 1, "")
    assert not episodes([log[0], at(DAY, "complaint", "a", case_id="l")], "failed_fix", DAY, "a")
    # The newest fix that matches decides the category, though the older is in time too.
    newer = [log[0], at(HOUR, "resolved", "b", case_id="k"), log[1]]
    assert flag_at(newer, "failed_fix", DAY, "b") == (DAY, 8 * DAY, 1, "")
    assert flag_at(newer, "failed_fix", DAY, "a") is None


def test_each_contact_counts_until_seven_days_after_the_newest() -> None:
    log = [at(0, "resolved", "a"), at(DAY, "request", "a"), at(2 * DAY, "complaint", "a")]
    assert flag_at(log, "failed_fix", 2 * DAY, "a") == (DAY, 9 * DAY, 2, "")
    log += [at(9 * DAY, "resolved", "a"), at(9 * DAY + 1, "request", "a")]
    assert flag_at(log, "failed_fix", 9 * DAY + 1, "a") == (9 * DAY + 1, 16 * DAY + 1, 1, "")


def test_twin_contacts_after_a_fix_are_one_failure() -> None:
    log = [at(0, "resolved", "a"), at(DAY, "request", "a", contact_id="t")]
    log.append(at(DAY + HOUR, "complaint", "a", contact_id="t"))
    assert flag_at(log, "failed_fix", DAY + HOUR, "a") == (DAY, 8 * DAY, 1, "")


# evidence


def test_evidence_alone_gives_the_flag_and_less_of_it_does_not() -> None:
    log = [at(n * 20 * HOUR, "request", "a") for n in range(6)]
    ids = [event["event_id"] for event in log]
    now = T + 100 * HOUR
    flag = next(row for row in expected(log).flags["c"] if row["flag"] == "repeat_request")
    alert = {"customer_id": "c", "at": now, "evidence": ids[-4:]}
    assert (flag["severity"], flag["until"]) == ("chronic", T + 40 * HOUR + 30 * DAY)
    assert minimal_evidence_holds(log, flag, alert)
    assert not minimal_evidence_holds(log, flag, {**alert, "evidence": ids[-3:]})
    assert not minimal_evidence_holds(log, flag, {**alert, "evidence": ids[-5:]})
    assert not minimal_evidence_holds(log, flag, {**alert, "evidence": []})


def test_evidence_of_an_overdue_case_is_the_complaint_and_a_tick() -> None:
    log = [at(0, "complaint", "a"), at(1, "handling", "a"), at(HOUR, "request", "b")]
    (flag,) = replay_alone(log, [log[0]["event_id"], log[1]["event_id"]], T + 4 * DAY)
    assert (flag["flag"], flag["since"]) == ("unresolved", T + 3 * DAY)
    alert = {"customer_id": "c", "at": T + 3 * DAY, "evidence": [log[0]["event_id"]]}
    assert minimal_evidence_holds(log, flag, alert)
    assert not minimal_evidence_holds(log, flag, {**alert, "evidence": [log[0]["event_id"], log[2]["event_id"]]})
