"""Two runs side by side: what is found is what a plain comparison finds, in any memory."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import UsageError
from streams.diff.comparison import compare
from streams.diff.difference import Difference
from streams.diff.sides import FileSide, find_side

Run = dict[str, list[dict[str, Any]]]

IDS = st.sampled_from(["c1", "c2", "客 3", 'c"4'])
SCORE = st.sampled_from([0.25, 0.5, 1 / 3])
FLAGS = st.dictionaries(
    st.sampled_from([("repeat_request", "billing"), ("sensitive", None)]),
    st.tuples(st.integers(0, 3), st.one_of(st.none(), st.integers(4, 6)), st.sampled_from(["low", "high"])),
)
CUSTOMERS = st.dictionaries(IDS, st.tuples(FLAGS, SCORE, st.one_of(st.none(), SCORE), st.booleans()))
ALERTS = st.lists(st.tuples(IDS, st.sampled_from(["raise", "clear"]), st.integers(0, 3), SCORE), max_size=12)
PREDICTIONS = st.lists(st.tuples(IDS, st.integers(0, 3), SCORE), max_size=12)


def run_of(customers: dict[str, Any], alerts: list[Any], predictions: list[Any]) -> Run:
    return {
        "board": [
            {
                "customer_id": who,
                "flags": [
                    {"flag": flag, "category": category, "since": since, "until": until, "count": 1,
                     "severity": severity, "evidence": ["e1"]}
                    for (flag, category), (since, until, severity) in flags.items()
                ],
                "churn": churn, "engagement": engagement, "contact": None, "sensitive": sensitive,
                "stage": None, "as_of": 5,
            }
            for who, (flags, churn, engagement, sensitive) in sorted(customers.items())
        ],
        "alerts": [
            {"alert_id": "00", "op": op, "flag": "repeat_request", "customer_id": who, "category": None, "at": at,
             "since": 0, "until": None, "count": 1, "severity": "low", "evidence": ["e1"], "scores": {"churn": score},
             "reasons": []}
            for who, op, at, score in alerts
        ],
        "predictions": [
            {"customer_id": who, "at": at, "trigger": "event", "event_id": f"e{at}", "churn": score, "engagement": 1.0,
             "contact": 0.5, "model": "m"}
            for who, at, score in predictions
        ],
    }  # fmt: skip


RUNS = st.builds(run_of, CUSTOMERS, ALERTS, PREDICTIONS)


def written(run: Run, folder: Path) -> FileSide:
    folder.mkdir()
    for part, lines in run.items():
        (folder / f"{part}.jsonl").write_bytes(b"".join(orjson.dumps(line) + b"\n" for line in lines))
    return find_side(str(folder))


def difference(a: Run, b: Run, memory: int = 1) -> Difference:
    with tempfile.TemporaryDirectory() as folder:
        return compare(written(a, Path(folder, "a")), written(b, Path(folder, "b")), memory=memory)


@settings(max_examples=40)
@given(RUNS)
def test_a_run_does_not_differ_from_itself(run: Run) -> None:
    found = difference(run, run)
    assert found.equal
    assert found.first is None
    assert found.customers.a == found.customers.b == len(run["board"])
    assert found.predictions.a == len(run["predictions"])
    assert not any(each.told() for each in found.details.values())


@settings(max_examples=60)
@given(RUNS, RUNS)
def test_what_is_found_is_what_a_plain_comparison_finds(a: Run, b: Run) -> None:
    found = difference(a, b)
    here, there = ({row["customer_id"]: row for row in run["board"]} for run in (a, b))
    assert found.customers.only_a == len(here.keys() - there.keys())
    assert found.customers.only_b == len(there.keys() - here.keys())
    assert found.customers.differing == sum(_row(here[who]) != _row(there[who]) for who in here.keys() & there.keys())
    up, down = ({(who, flag["flag"]) for who, row in rows.items() for flag in row["flags"]} for rows in (here, there))
    for name, flags in (("leave", up - down), ("enter", down - up)):
        assert {flag: counts[name] for flag, counts in found.flags.items() if counts[name]} == Counter(
            flag for _, flag in flags
        )
    for part, numbers in (("alerts", found.alerts), ("predictions", found.predictions)):
        keys_a, keys_b = (Counter(map(_key, run[part])) for run in (a, b))
        assert (numbers.only_a, numbers.only_b) == ((keys_a - keys_b).total(), (keys_b - keys_a).total())
    pairs = [(here[who]["churn"], there[who]["churn"]) for who in here.keys() & there.keys()]
    told = found.scores["churn"].told()
    assert told["max"] == max((abs(x - y) for x, y in pairs), default=0.0)
    assert told["mean"] == pytest.approx(sum(abs(x - y) for x, y in pairs) / max(1, len(pairs)))
    assert found.equal == (_sorted(a) == _sorted(b))
    assert (found.first is None) or not found.equal


@settings(max_examples=60)
@given(RUNS, RUNS)
def test_the_other_way_round_is_the_same_with_sides_swapped(a: Run, b: Run) -> None:
    one, other = difference(a, b).told(), difference(b, a, memory=1 << 20).told()
    assert one["equal"] == other["equal"]
    for part in ("customers", "alerts", "predictions"):
        assert (one[part]["a"], one[part]["only_a"], one[part]["differing"]) == (
            other[part]["b"], other[part]["only_b"], other[part]["differing"],
        )  # fmt: skip
    swap = {"enter": "leave", "leave": "enter"}
    assert one["flags"] == {
        flag: {swap.get(kind, kind): n for kind, n in counts.items()} for flag, counts in other["flags"].items()
    }
    for name, gap in one["scores"].items():
        assert gap == pytest.approx(other["scores"][name])
    assert (one["first"] and one["first"]["at"]) == (other["first"] and other["first"]["at"])


def test_the_first_difference_names_the_event_whose_score_is_another() -> None:
    a = run_of({}, [("c1", "raise", 2, 0.5)], [("c1", 1, 0.5), ("c2", 3, 0.5)])
    b = run_of({}, [("c1", "raise", 2, 0.25)], [("c1", 1, 0.5), ("c2", 3, 0.25)])
    first = difference(a, b).first
    assert first is not None
    assert (first.at, first.what, first.side, first.events) == (2, "alert", "both", ("e1",))
    b["predictions"][0]["churn"] = 0.4
    first = difference(a, b).first
    assert first is not None
    assert (first.at, first.what, first.customer_id, first.events) == (1, "prediction", "c1", ("e1",))


def test_the_first_difference_is_a_flag_where_no_alerts_are_compared(tmp_path: Path) -> None:
    up = {("sensitive", None): (3, None, "high")}
    runs = [run_of({"c1": (flags, 0.5, None, False)}, [], []) for flags in ({}, up)]
    a, b = (written({"board": run["board"]}, tmp_path / name) for run, name in zip(runs, "ab", strict=True))
    first = compare(a, b).first
    assert first is not None
    assert (first.at, first.what, first.side, first.flag, first.events) == (3, "flag", "b", "sensitive", ("e1",))


def test_details_are_limited_and_counts_are_not(tmp_path: Path) -> None:
    customers: dict[str, Any] = {f"c{n:04}": ({}, 0.5, None, False) for n in range(1000)}
    a, b = written(run_of(customers, [], []), tmp_path / "a"), written(run_of({}, [], []), tmp_path / "b")
    found = compare(a, b, limit=3)
    assert [each["customer_id"] for each in found.details["customers"].told()] == ["c0000", "c0001", "c0002"]
    assert found.customers.only_a == 1000


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"board\.jsonl"):
        find_side(str(tmp_path))
    with pytest.raises(UsageError, match="PART=FILE"):
        find_side("bord=x.jsonl")
    board = tmp_path / "x.jsonl"
    board.write_bytes(b'{"customer_id":"c2"}\n')
    side = find_side(f"board={board}")
    with pytest.raises(UsageError, match="in line 1"):
        compare(side, side)
    unsorted = run_of({"c1": ({}, 0.5, None, False)}, [], [])
    unsorted["board"] *= 2
    twice = written(unsorted, tmp_path / "twice")
    with pytest.raises(UsageError, match="order of their ids"):
        compare(twice, find_side(str(tmp_path / "twice")))
    (tmp_path / "alerts.jsonl").write_bytes(b"")
    with pytest.raises(UsageError, match="in common"):
        compare(side, find_side(f"alerts={tmp_path / 'alerts.jsonl'}"))


def _row(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "flags": sorted(row["flags"], key=lambda flag: str(flag["flag"]))}


def _key(message: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(message.get(name) for name in ("customer_id", "flag", "category", "op", "at", "trigger", "event_id"))


def _sorted(run: Run) -> Any:
    """What does not depend on the order between customers."""
    return (
        [_row(row) for row in run["board"]],
        sorted(run["alerts"], key=lambda each: str(each["customer_id"])),
        sorted(run["predictions"], key=lambda each: (each["customer_id"], each["at"])),
    )
