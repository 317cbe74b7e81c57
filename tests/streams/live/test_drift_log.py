from __future__ import annotations

import io
import logging

import orjson
import pytest

from engine.model_watch import DriftAlarm
from streams.live.log import set_up_logging
from streams.live.worker import _warn_of_drift
from tests.streams.redis.samples import alert, change, outcome


@pytest.mark.parametrize("n", [0, 1, 2])
def test_each_drift_alarm_is_one_warning_with_its_place_and_nothing_of_a_customer(n: int) -> None:
    made = outcome([change("confidential-4711")], lane=5)
    made.alerts = [alert(customer_id="confidential-4711")]
    made.drift = [DriftAlarm("silence", "gap_mean", 1_700_000_000_000 + i, 1.5, 2.75) for i in range(n)]
    stream = io.StringIO()
    undo = set_up_logging("json", stream, logging.INFO)
    try:
        _warn_of_drift(3, [outcome([]), made])
    finally:
        undo()
    lines = [orjson.loads(line) for line in stream.getvalue().splitlines()]
    assert [(line["level"], line["partition"], line["lane"]) for line in lines] == [("WARNING", 3, 5)] * n
    assert all("gap_mean" in line["message"] and "2.75 where it was 1.5" in line["message"] for line in lines)
    assert "4711" not in stream.getvalue()
