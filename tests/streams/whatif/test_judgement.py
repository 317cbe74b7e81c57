"""Outcomes against a recomputation by brute force, from the words of docs/whatif.md."""

from __future__ import annotations

import json
from collections.abc import Sequence
from statistics import median
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from engine.decode import decode
from engine.duration import DAY_MS, HOUR_MS
from engine.event import ACTIVITY
from streams.whatif.judgement import OUTCOMES, Figures, Judge, Money
from streams.whatif.past import Past
from streams.whatif.tally import FirstRaise, FlagTally, Tally

T0 = 1_700_000_000_000
HORIZON = 5 * DAY_MS
AFTER = 3 * DAY_MS

_times = st.one_of(
    st.integers(0, 40 * DAY_MS),
    st.integers(0, 40).map(lambda day: day * DAY_MS),
    st.builds(lambda day, by: day * DAY_MS + by, st.integers(0, 40), st.sampled_from((-1, 1, HOUR_MS))),
).map(lambda by: T0 + max(by, 0))
_kinds = st.sampled_from(("session", "session", "purchase", "complaint", "cancel", "promotion"))
_events = st.lists(st.tuples(st.sampled_from("abc"), _kinds, _times), min_size=1, max_size=40)
_raises = st.lists(st.tuples(st.sampled_from("abcx"), _times), max_size=12)

Rows = Sequence[tuple[str, str, int]]


def past_of(rows: Rows) -> Past:
    past = Past(HORIZON, ACTIVITY)
    for number, (who, kind, ts) in enumerate(rows):
        event: dict[str, Any] = {"event_id": f"e{number}", "customer_id": who, "kind": kind, "ts": ts}
        if kind == "complaint":
            event["category"] = "a"
        past.add(decode(json.dumps(event).encode()))
    return past


def tally_of(raises: Sequence[tuple[str, int]], days: dict[int, int] | None = None) -> Tally:
    tally = Tally()
    tally.names = list("abcx")
    flag = tally.flags["f"] = FlagTally()
    for who, at in raises:
        number = tally.names.index(who)
        flag.raised_at.append(at)
        flag.raised_who.append(number)
        flag.raised_told.append(1)
        flag.first.setdefault(number, FirstRaise(at, "", None, "", ""))
    flag.traffic.delivered = days or {}
    return tally


class Brute:
    """Every definition once more, in as many steps as it takes."""

    def __init__(self, rows: Rows) -> None:
        self.acts = {who: sorted(ts for w, k, ts in rows if w == who and k in ACTIVITY) for who in "abcx"}
        self.complaints = {who: sorted({ts for w, k, ts in rows if (w, k) == (who, "complaint")}) for who in "abcx"}
        self.leaves = {who: sorted({ts for w, k, ts in rows if (w, k) == (who, "cancel")}) for who in "abcx"}
        self.end = max(ts for _, _, ts in rows)

    def active(self, who: str, at: int) -> bool:
        return any(at - HORIZON <= act <= at for act in self.acts[who])

    def moment(self, who: str, at: int, outcome: str) -> int | None:
        if outcome == "complained":
            return min((c for c in self.complaints[who] if at < c <= at + AFTER), default=None)
        acts = self.acts[who]
        candidates = [at, *(act for act in acts if at < act <= at + AFTER)]
        silent = [s for s in candidates if not any(s < act <= s + HORIZON for act in acts)]
        return min([*silent, *(c for c in self.leaves[who] if at < c <= at + AFTER)], default=None)

    def rate(self, at: int, outcome: str) -> float | None:
        midnight = at // DAY_MS * DAY_MS
        active = [who for who in "abc" if self.active(who, midnight)]
        followed = [who for who in active if self.moment(who, midnight, outcome) is not None]
        return len(followed) / len(active) if active else None

    def happened(self, who: str, outcome: str, times: list[int]) -> tuple[int, int]:
        """How often it happened to a customer, and how often a raise came before."""
        if outcome == "complained":
            found = [any(c - AFTER <= t < c for t in times) for c in self.complaints[who]]
            return len(found), sum(found)
        found, belonging = [], set[int]()
        acts = sorted(set(self.acts[who]))
        for place, a in enumerate(acts):
            b = acts[place + 1] if place + 1 < len(acts) else 10**18
            if b - a > HORIZON and a + HORIZON <= self.end:
                own = [c for c in self.leaves[who] if a <= c < b]
                belonging |= set(own)
                right = any(t >= a - AFTER and t + HORIZON < b and t <= a + HORIZON for t in times)
                found.append(right or any(c - AFTER <= t < c for c in own for t in times))
        found += [any(c - AFTER <= t < c for t in times) for c in self.leaves[who] if c not in belonging]
        return len(found), sum(found)

    def figures(self, raises: Sequence[tuple[str, int]], outcome: str) -> Figures:
        limit = self.end - AFTER - (HORIZON if outcome == "left" else 0)
        active = [(who, at) for who, at in raises if self.active(who, at)]
        judged = [(who, at, self.moment(who, at, outcome)) for who, at in active if at <= limit]
        rates = [rate for _, at, _ in judged if (rate := self.rate(at, outcome)) is not None]
        leads = [(moment - at) / DAY_MS for _, at, moment in judged if moment is not None]
        recalled = [self.happened(who, outcome, [at for w, at in active if w == who]) for who in "abc"]
        return Figures(
            n=len(judged),
            n_followed=len(leads),
            customers=len({who for who, _, _ in judged}),
            customers_followed=len({who for who, _, moment in judged if moment is not None}),
            censored=len(active) - len(judged),
            inactive=len(raises) - len(active),
            base_rate=sum(rates) / len(rates) if rates else None,
            happened=sum(n for n, _ in recalled),
            seen=sum(n for _, n in recalled),
            lead_d=median(leads) if leads else None,
        )


@given(_events, _raises)
def test_figures_are_those_of_a_recomputation_by_brute_force(rows: Rows, raises: list[tuple[str, int]]) -> None:
    judge, tally, brute = Judge(past_of(rows), AFTER), tally_of(raises), Brute(rows)
    for outcome in OUTCOMES:
        assert judge.figures(tally, tally.flags["f"], outcome) == brute.figures(raises, outcome)


@given(_events, st.randoms(use_true_random=False))
def test_what_became_of_customers_does_not_depend_on_the_order_of_arrival(rows: Rows, random: Any) -> None:
    stories = {who: _plain(story) for who, story in past_of(rows).stories.items()}
    shuffled = [*rows, *rows[: len(rows) // 2]]
    random.shuffle(shuffled)
    assert {who: _plain(story) for who, story in past_of(shuffled).stories.items()} == stories


def _plain(story: Any) -> list[Any]:
    return [getattr(story, name) for name in story.__slots__]


@given(_events, _raises)
def test_value_counts_each_departure_once_and_cost_each_alert_on_days_whose_window_is_over(
    rows: Rows, raises: list[tuple[str, int]]
) -> None:
    brute = Brute(rows)
    days: dict[int, int] = {}
    for _, at in raises:
        days[at // DAY_MS] = days.get(at // DAY_MS, 0) + 1
    judge, tally = Judge(past_of(rows), AFTER), tally_of([*raises, *raises], days)
    last = (brute.end - AFTER - HORIZON) // DAY_MS * DAY_MS
    over = [(who, at) for who, at in raises if at < last and brute.active(who, at)]
    seen = sum(brute.happened(who, "left", [at for w, at in over if w == who])[1] for who in "abc")
    net = judge.net(tally, ["f", "unknown"], Money(2.0, 100.0, 0.5))
    n = sum(at < last for _, at in raises)
    assert (net.alerts, net.departures, net.cost, net.value, net.net) == (n, seen, 2 * n, 50 * seen, 50 * seen - 2 * n)
