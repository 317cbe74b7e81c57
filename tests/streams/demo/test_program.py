"""A program that ends is noticed, with what it said."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from engine.errors import HenjiError
from streams.demo.program import Program

PATIENCE_S = 30.0


def check_until(worker: Program, deadline: float) -> None:
    while time.monotonic() < deadline:
        worker.check()
        time.sleep(0.01)


def test_a_worker_that_ends_is_an_error_that_shows_the_end_of_its_log(tmp_path: Path) -> None:
    worker = Program("worker", ["--no-such-option"], tmp_path / "worker.log")
    worker.start()
    deadline = time.monotonic() + PATIENCE_S
    with pytest.raises(HenjiError, match=r"(?s)exit code 2.*--no-such-option"):
        check_until(worker, deadline)
    assert worker.pid is None
    worker.stop()
