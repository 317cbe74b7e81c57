"""The benchmark of the learners runs, and its ratios are those of its times."""

from __future__ import annotations

import json

import pytest

from benchmarks.learner import main


def test_json_has_every_way_and_step(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--json", "--rounds", "1", "--features", "3"])
    result = json.loads(capsys.readouterr().out)
    assert set(result["microseconds"]) == {"logistic", "poisson"}
    for model, ways in result["microseconds"].items():
        assert set(ways) == {"pipeline", "models", "dense"}
        for way, by_step in result["ratio"][model].items():
            for step, ratio in by_step.items():
                assert ratio == ways[way][step] / ways["dense"][step] > 0.0


def test_the_table_has_a_row_for_every_way(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--rounds", "1", "--features", "1"])
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith(("logistic, ", "poisson, ")) for line in lines) == 6


def test_numbers_out_of_range_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(["--rounds", "0"])
    assert "expected >= 1, got 16 and 0" in capsys.readouterr().err
