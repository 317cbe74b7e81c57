"""Two logs side by side: one changed event is named, whatever was done to it."""

from __future__ import annotations

import orjson
from hypothesis import given
from hypothesis import strategies as st

from streams.diff.alignment import aligned
from streams.reader.record import Record


def log(events: list[dict[str, object]], name: str, batch: int = 3) -> list[list[Record]]:
    records = [Record(orjson.dumps(event), name, place) for place, event in enumerate(events, 1)]
    return [records[start : start + batch] for start in range(0, len(records), batch)]


def event(number: int) -> dict[str, object]:
    return {"event_id": f"e{number}", "customer_id": f"c{number % 3}", "ts": 1000 * number, "kind": "view"}


@given(st.integers(1, 30), st.data(), st.sampled_from(["changed", "removed", "added", "moved"]), st.booleans())
def test_one_change_is_named_and_nothing_else(n: int, data: st.DataObject, kind: str, swapped: bool) -> None:
    a = [event(number) for number in range(n)]
    b = [dict(each) for each in a]
    place = data.draw(st.integers(0, n - 1))
    name = f"e{place}"
    if kind == "changed":
        b[place]["kind"] = "session"
    elif kind == "removed":
        del b[place]
    elif kind == "added":
        b.insert(place, event(n))
        name = f"e{n}"
    else:
        if n < 4:
            return
        to = data.draw(st.integers(0, n - 1).filter(lambda to: abs(to - place) > 1))
        b.insert(to, b.pop(place))
    if swapped:
        a, b = b, a
        kind = {"removed": "added", "added": "removed"}.get(kind, kind)
    pairs = list(aligned(log(a, "a"), log(b, "b")))
    changes = [pair.change for pair in pairs if pair.change is not None]
    assert [(each.kind, each.told()["event_id"]) for each in changes] == [(kind, name)]
    assert [pair.a.position for pair in pairs if pair.a] == list(range(1, len(a) + 1))
    assert [pair.b.position for pair in pairs if pair.b] == list(range(1, len(b) + 1))


@given(st.lists(st.integers(0, 9), max_size=30), st.lists(st.integers(0, 9), max_size=30))
def test_every_record_of_both_logs_comes_once_and_in_order(a: list[int], b: list[int]) -> None:
    pairs = list(aligned(log([event(each) for each in a], "a"), log([event(each) for each in b], "b")))
    assert [pair.a.position for pair in pairs if pair.a] == list(range(1, len(a) + 1))
    assert [pair.b.position for pair in pairs if pair.b] == list(range(1, len(b) + 1))
    assert (a == b) == (not any(pair.change for pair in pairs))


def test_a_change_says_its_fields_and_a_broken_line_is_known_by_its_bytes() -> None:
    changed = {**event(1), "kind": "session"}
    (pair,) = aligned(log([event(1)], "a"), log([changed], "b"))
    assert pair.change is not None
    assert pair.change.told()["fields"] == {"kind": ["view", "session"]}
    broken = [[Record(b"no json", "a", 1)]]
    kinds = [pair.change.kind for pair in aligned(broken, log([event(1)], "b")) if pair.change]
    assert sorted(kinds) == ["added", "removed"]
