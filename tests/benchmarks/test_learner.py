"""The benchmarks of the learners run: ratios are those of the times, and what is not equal is found."""

from __future__ import annotations

import json
from typing import Any

import pytest

from benchmarks import equality
from benchmarks.learner import BOUND, WAYS, main, missed
from models import kernels
from models.dense_poisson import DensePoisson


def test_json_has_every_way_and_step(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--json", "--rounds", "1", "--features", "3"])
    out = json.loads(capsys.readouterr().out)
    assert out["core"] == kernels.STATE
    (result,) = out["results"]
    assert set(result["microseconds"]) == {"logistic", "poisson"}
    for model, ways in result["microseconds"].items():
        assert set(ways) == set(WAYS)
        for way, by_step in result["ratio"][model].items():
            for step, ratio in by_step.items():
                assert ratio == ways["pipeline"][step] / ways[way][step] > 0.0


def test_the_table_has_a_row_for_every_way(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--rounds", "1", "--features", "1", "2"])
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(("logistic, ", "poisson, ")) for line in lines) == 2 * 2 * len(WAYS)


def test_numbers_out_of_range_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--rounds", "0"])
    assert "expected >= 1, got [16, 32] and 0" in capsys.readouterr().err


def test_slow_compiled_code_is_a_failure() -> None:
    def result(way: str, ratio: float) -> list[dict[str, Any]]:
        return [{"features": 16, "ratio": {"logistic": {way: {"predict+learn": ratio}}}}]

    assert missed(result("compiled", BOUND - 0.1)) == ["logistic, 16 features: 4.9"]
    assert missed(result("compiled", BOUND)) == missed(result("plain", 1.0)) == []


def test_a_small_stream_is_equal_to_the_bit(capsys: pytest.CaptureFixture[str]) -> None:
    assert equality.main(["--updates", "2000", "--features", "8", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["worst"] == 0.0


def test_a_number_that_is_not_equal_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DensePoisson, "predict_one", lambda self, x: 1.0)
    assert equality.main(["--updates", "200", "--features", "2"]) == 1
