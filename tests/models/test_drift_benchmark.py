"""The gate of the drift benchmark: what it states holds on one draw, and what is worse is named."""

from __future__ import annotations

import random

import pytest

from benchmarks.drift import CHANGE, CHANGES, FALSE_LIMIT, STATIONARY, alarms, exceeded


@pytest.mark.parametrize("name", ["independent, rate .2", "customers, day and week"])
def test_a_stationary_stream_gives_no_alarm(name: str) -> None:
    assert alarms(STATIONARY[name](random.Random(0))) == []


def test_a_step_is_found_within_its_limit() -> None:
    stream, limit = CHANGES["step .2 to .3, 500 a day"]
    first, *others = alarms(stream(random.Random(0)))
    assert CHANGE <= first <= CHANGE + limit
    assert others == []


def test_what_is_worse_than_stated_is_named() -> None:
    good = {"false": FALSE_LIMIT, "limit": FALSE_LIMIT}
    found = {"found": 1.0, "longest": 10, "limit": 10}
    assert exceeded({"stationary": {"calm": good}, "changes": {"step": found}}) == []
    assert len(exceeded({"stationary": {"calm": good | {"false": 2.0}}, "changes": {"step": found}})) == 1
    assert len(exceeded({"stationary": {}, "changes": {"step": found | {"longest": 11}}})) == 1
    assert len(exceeded({"stationary": {}, "changes": {"step": found | {"found": 0.8, "longest": None}}})) == 1
