"""Incidents are what a plain look at all totals finds."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.duration import DAY_MS
from engine.errors import CorruptState
from engine.incident import FORGET_MS, IncidentMessage, Incidents, IncidentSettings, Normal, chance
from engine.service_counts import BUCKET_MS, BUCKETS_A_DAY, Value
from tests.engine.runs import Run, trace

WIFI = ("category", "network/wifi")
NETWORK = ("category", "network")
PHONE = ("channel", "phone")
DAY = BUCKETS_A_DAY
BEGIN = 19_700 * DAY

Totals = Mapping[int, Mapping[Value, int]]


def fold(
    totals: Totals, n: int, conf: IncidentSettings | None = None, *, reborn: int | None = None
) -> list[IncidentMessage]:
    """Messages of `n` buckets; with `reborn` the fold is made anew from its state every so many."""
    conf = conf or IncidentSettings()
    incidents = Incidents(conf)
    out: list[IncidentMessage] = []
    for number in range(n):
        bucket = BEGIN + number
        out += incidents.take(bucket, totals.get(bucket, {}))
        if reborn is not None and number % reborn == reborn - 1:
            incidents = Incidents(conf, incidents.encode())
            assert incidents.next == bucket + 1
            day = incidents.next // DAY - conf.history_days - 1
            for before in range(day * DAY, incidents.next):
                for value, customers in totals.get(before, {}).items():
                    incidents.remember(value, before, customers)
    return out


def said(messages: list[IncidentMessage]) -> list[tuple[str, str, int]]:
    return [(m.op, m.incident.value, m.at // BUCKET_MS - BEGIN) for m in messages]


def steady(n_days: int, value: Value = WIFI, customers: int = 2) -> dict[int, dict[Value, int]]:
    return {BEGIN + number: {value: customers} for number in range(n_days * DAY)}


def tail(n: int, mean: float, size: float) -> float:
    """Sum of the probabilities themselves."""
    p = mean / (mean + size)
    terms = (
        math.exp(
            math.lgamma(size + k) - math.lgamma(size) - math.lgamma(k + 1) + size * math.log1p(-p) + k * math.log(p)
        )
        for k in range(n, n + 4_000)
    )
    return math.fsum(terms)


@given(st.integers(0, 300), st.floats(0.003, 100), st.floats(0.4, 50))
def test_the_chance_is_the_sum_of_the_probabilities(n: int, mean: float, size: float) -> None:
    assert chance(n, mean, size) == pytest.approx(tail(n, mean, size), rel=1e-8, abs=1e-200)


@pytest.mark.parametrize(("n", "mean"), [(10**6, 10.0), (10**6, 9.9e5), (1, 1e-9), (10**9, 0.01)])
def test_the_chance_of_large_and_small_numbers_is_one(n: int, mean: float) -> None:
    assert 0.0 <= chance(n, mean, 20.0) <= 1.0


@dataclass
class Span:
    """An incident: its first bucket, the bucket after its last, and which of its buckets were calm."""

    begin: int
    end: int = 10**12
    calm: list[bool] = field(default_factory=list)


def plain(totals: Totals, n: int, conf: IncidentSettings) -> list[tuple[str, str, int]]:
    """Raises and clears, from all totals and the incidents before."""
    out: list[tuple[str, str, int]] = []
    spans: dict[Value, list[Span]] = {}
    values = {value for each in totals.values() for value in each}
    for number in range(n):
        now = BEGIN + number
        beyond: dict[Value, float] = {}
        for value in sorted(values, key=lambda v: (v[0], -v[1].count("/"), v[1])):
            mine = spans.setdefault(value, [])
            count = totals.get(now, {}).get(value, 0)
            if count < conf.min_customers and not (mine and mine[-1].end > now):
                continue
            days = usual(totals, value, now, mine)
            normal = Normal.of(days) if len(days) >= 7 else None
            below = sum(
                more for v, more in beyond.items() if value[0] == "category" and v[1].startswith(f"{value[1]}/")
            )
            own = count - math.floor(below)
            p = 1.0 if normal is None else tail(own, normal.mean, normal.size) if own > 0 else 1.0
            mean = 0.0 if normal is None else normal.mean
            if mine and mine[-1].end > now:
                span = mine[-1]
                beyond[value] = max(0.0, count - mean) if normal is not None else 0.0
                span.calm.append(p >= conf.calm_chance)
                if now + 1 - span.begin >= 7 * DAY:
                    mine.pop()
                    out.append(("clear", value[1], number + 1))
                elif span.calm[-4:] == [True] * 4:
                    span.end = now + 1
                    out.append(("clear", value[1], number + 1))
            elif p < conf.max_chance and own >= conf.min_customers:
                mine.append(Span(now))
                beyond[value] = count - mean
                out.append(("raise", value[1], number + 1))
    return out


def usual(totals: Totals, value: Value, now: int, spans: list[Span]) -> list[list[int]]:
    used = [b for b in range((now // DAY - 28) * DAY, now) if totals.get(b, {}).get(value, 0)]
    days = []
    for ago in range(1, 29):
        stretch = range(now - ago * DAY - 2, now - ago * DAY + 3)
        if used and stretch[0] >= used[0] and not any(s.begin <= b < s.end for b in stretch for s in spans):
            days.append([totals.get(b, {}).get(value, 0) for b in stretch])
    return days


def weeks(seed: int, n_days: int) -> dict[int, dict[Value, int]]:
    """A service with day and night, outages of several sizes, a sibling, and a level that changes for good."""
    rng = random.Random(seed)
    outages = [(rng.randrange(8, n_days) * DAY + rng.randrange(DAY), rng.randrange(3, 60), rng.uniform(8, 60))
               for _ in range(4)]  # fmt: skip
    for_good = rng.randrange(9, n_days) * DAY
    totals: dict[int, dict[Value, int]] = {}
    for number in range(n_days * DAY):
        rate = 3 * (1 + math.sin(2 * math.pi * number / DAY))
        more = sum(size for begin, length, size in outages if begin <= number < begin + length)
        wifi, wired = _poisson(rng, rate + more), _poisson(rng, 1.0)
        phone = _poisson(rng, 4 + 30 * (number >= for_good))
        totals[BEGIN + number] = {WIFI: wifi, NETWORK: wifi + wired, PHONE: phone}
    return totals


def _poisson(rng: random.Random, mean: float) -> int:
    limit, n, product = math.exp(-mean), 0, rng.random()
    while product > limit:
        n += 1
        product *= rng.random()
    return n


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_fold_is_a_plain_look_at_all_totals(seed: int) -> None:
    totals = weeks(seed, 20)
    found = [each for each in said(fold(totals, 20 * DAY)) if each[0] != "update"]
    assert found == plain(totals, 20 * DAY, IncidentSettings())
    assert {"raise", "clear"} == {op for op, _, _ in found}


@pytest.mark.parametrize("reborn", [1, 31, 96])
def test_a_restart_at_any_bucket_changes_nothing(reborn: int) -> None:
    n_days = 13 if reborn == 1 else 45
    totals = weeks(4, n_days)
    kept = fold(totals, n_days * DAY)
    if reborn == 1:
        # Only around an outage: making the fold anew reads a month of totals.
        begin = next(m.at // BUCKET_MS - BEGIN for m in kept if m.op == "raise")
        totals = {b: each for b, each in totals.items() if b < BEGIN + begin + 30}
        n_days, kept = 0, fold(totals, begin + 30)
        incidents = Incidents(IncidentSettings())
        out: list[IncidentMessage] = []
        for number in range(begin + 30):
            out += incidents.take(BEGIN + number, totals[BEGIN + number])
            if number >= begin - 3:
                incidents = Incidents(IncidentSettings(), incidents.encode())
                for before in range(BEGIN, BEGIN + number + 1):
                    for value, customers in totals[before].items():
                        incidents.remember(value, before, customers)
        assert out == kept
        return
    assert fold(totals, n_days * DAY, reborn=reborn) == kept


def test_an_outage_is_one_incident_from_its_first_unusual_bucket_to_its_fourth_calm_one() -> None:
    totals = steady(12)
    for number in range(20):
        totals[BEGIN + 10 * DAY + number] = {WIFI: 40}
    messages = fold(totals, 12 * DAY)
    assert [m.op for m in messages] == ["raise", *["update"] * 5, "clear"]
    assert messages[0].incident.opened == BEGIN + 10 * DAY
    assert messages[-1].at == messages[-1].until == (BEGIN + 10 * DAY + 24) * BUCKET_MS
    assert messages[-1].incident.count == 20 * 40 + 4 * 2
    assert len({m.incident.alert_id for m in messages}) == 1
    assert [m.seq for m in messages] == [1, 2, 3, 4, 5, 6, 7]


def test_a_line_is_that_of_an_alert_and_says_which_service() -> None:
    totals = steady(8)
    totals[BEGIN + 8 * DAY] = {WIFI: 40}
    (message,) = fold(totals, 8 * DAY + 1)
    line = orjson.loads(message.line())
    run = Run()
    (alert,) = run.feed([trace("e1", 0), trace("e2", 1)])
    assert list(line) == [*orjson.loads(alert.line()), "service"]
    at = (BEGIN + 8 * DAY) * BUCKET_MS
    assert line == line | {
        "op": "raise", "flag": "service_incident", "customer_id": "", "category": "network/wifi", "since": at,
        "at": at + BUCKET_MS, "until": None, "count": 40, "severity": "severe", "evidence": [],
    }  # fmt: skip
    service = {"dimension": "category", "value": "network/wifi", "observed": 40, "expected": 2.014, "bucket": at}
    assert line["service"] == service
    totals = {b: {PHONE: each[WIFI]} for b, each in totals.items()}
    assert orjson.loads(fold(totals, 8 * DAY + 1)[0].line())["category"] is None


def test_fewer_customers_than_the_minimum_are_no_incident() -> None:
    totals = {b: {WIFI: int(b % 40 == 0)} for b in steady(8)}
    totals[BEGIN + 8 * DAY] = {WIFI: 9}
    assert fold(totals, 8 * DAY + 1) == []
    totals[BEGIN + 8 * DAY] = {WIFI: 10}
    assert said(fold(totals, 8 * DAY + 1)) == [("raise", "network/wifi", 8 * DAY + 1)]


@pytest.mark.parametrize(("n_days", "n_found"), [(6, 0), (7, 1)])
def test_a_value_in_use_for_less_than_a_week_has_no_incident(n_days: int, n_found: int) -> None:
    totals = {b + 30 * DAY: each for b, each in steady(n_days).items()} | {BEGIN: {PHONE: 1}}
    at = BEGIN + (30 + n_days) * DAY + 2
    totals |= {at - 2: {WIFI: 2}, at - 1: {WIFI: 2}, at: {WIFI: 50}}
    assert len(fold(totals, (30 + n_days) * DAY + 3)) == n_found


def test_an_outage_does_not_become_the_normal() -> None:
    totals = steady(16)
    for day in (10, 11, 12):
        for number in range(40, 60):
            totals[BEGIN + day * DAY + number] = {WIFI: 40}
    raised = [m for m in fold(totals, 16 * DAY) if m.op == "raise"]
    assert [m.incident.opened - BEGIN for m in raised] == [10 * DAY + 40, 11 * DAY + 40, 12 * DAY + 40]
    assert {round(m.incident.expected) for m in raised} == {2}


def test_what_lasts_for_a_week_is_the_new_normal() -> None:
    totals = {b: {WIFI: 2 if b < BEGIN + 10 * DAY else 60} for b in steady(40)}
    found = [each for each in said(fold(totals, 40 * DAY)) if each[0] != "update"]
    assert found == [("raise", "network/wifi", 10 * DAY + 1), ("clear", "network/wifi", 17 * DAY)]


def test_an_incident_of_a_service_explains_that_of_the_services_above_it() -> None:
    totals: dict[int, dict[Value, int]] = {b: {WIFI: 2, NETWORK: 5} for b in steady(8)}
    at = BEGIN + 8 * DAY
    totals[at] = {WIFI: 50, NETWORK: 53}
    assert said(fold(totals, 8 * DAY + 1)) == [("raise", "network/wifi", 8 * DAY + 1)]
    totals[at] = {WIFI: 50, NETWORK: 120}
    assert {value for _, value, _ in said(fold(totals, 8 * DAY + 1))} == {"network/wifi", "network"}


def test_a_night_is_not_measured_by_the_day() -> None:
    totals = {b: {WIFI: 40 if 32 <= b % DAY < 72 else 1} for b in steady(10)}
    assert fold(totals, 10 * DAY) == []
    totals[BEGIN + 9 * DAY + 5] = {WIFI: 40}
    assert [op for op, _, _ in said(fold(totals, 10 * DAY))] == ["raise", "clear"]


def test_twice_as_many_are_told_at_once_and_the_rest_by_the_hour() -> None:
    totals = steady(9)
    for number, customers in enumerate((21, 22, 45, 45, 45, 45, 45, 100)):
        totals[BEGIN + 8 * DAY + number] = {WIFI: customers}
    messages = fold(totals, 8 * DAY + 8)
    assert [(m.op, m.incident.observed) for m in messages] == [
        ("raise", 21), ("update", 45), ("update", 45), ("update", 100),
    ]  # fmt: skip
    assert [m.incident.bucket - BEGIN - 8 * DAY for m in messages] == [0, 2, 6, 7]


def test_an_incident_leaves_the_board_two_weeks_after_its_end() -> None:
    totals = steady(8)
    totals[BEGIN + 8 * DAY] = {WIFI: 50}
    incidents = Incidents(IncidentSettings())
    gone: dict[int, list[str]] = {}
    identity = ""
    for number in range(26 * DAY):
        for message in incidents.take(BEGIN + number, totals.get(BEGIN + number, {WIFI: 2})):
            identity = message.incident.alert_id
        if forgotten := incidents.take_forgotten():
            gone[number] = forgotten
            assert incidents.shown() == []
    assert list(gone.values()) == [[identity]]
    assert 0 <= next(iter(gone)) - (8 * DAY + 4) - FORGET_MS // BUCKET_MS <= DAY
    assert DAY * BUCKET_MS == DAY_MS


@settings(max_examples=30)
@given(st.lists(st.dictionaries(st.sampled_from([WIFI, NETWORK, PHONE]), st.integers(0, 100)), max_size=40))
def test_the_order_of_values_changes_nothing(buckets: list[dict[Value, int]]) -> None:
    base: dict[int, dict[Value, int]] = {b: {WIFI: 1, NETWORK: 2, PHONE: 3} for b in range(8 * DAY)}
    one, other = Incidents(IncidentSettings()), Incidents(IncidentSettings())
    for bucket in range(7 * DAY + 60, 8 * DAY):
        for value, n in base[bucket].items():
            one.remember(value, bucket, n)
            other.remember(value, bucket, n)
    for number, totals in enumerate(buckets):
        turned = dict(reversed(list(totals.items())))
        assert one.take(8 * DAY + number, totals) == other.take(8 * DAY + number, turned)


def test_buckets_come_one_after_the_other() -> None:
    incidents = Incidents(IncidentSettings())
    incidents.take(5, {})
    with pytest.raises(ValueError, match="expected 6, got 8"):
        incidents.take(8, {})
    incidents.skip_to(8)
    assert incidents.take(8, {}) == []


def test_a_damaged_state_is_refused() -> None:
    with pytest.raises(CorruptState, match="incidents"):
        Incidents(IncidentSettings(), b"nonsense")
