"""The ablation learns what the engine learns, and its errors are those of customers."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.ablation import effects, main, record, relearn, variants_of
from engine.catalogue import CATALOGUE, PLACE
from engine.event import Event
from engine.landmarks import EVENT
from streams.simulate import SimulationSettings, simulate
from tests.engine.runs import DAY


def test_with_nothing_left_out_the_scores_are_those_of_the_engine() -> None:
    log = [Event(**event) for event in simulate(SimulationSettings(customers=25, days=40, seed=3))]
    recording = record(log, 5 * DAY, candidates=True)
    masks = variants_of(["n", "tenure"], candidates=True)
    p, contact = relearn(recording, np.array(list(masks.values())), EVENT)
    numbers = [i for i, trigger in enumerate(recording.trigger) if trigger == EVENT]
    assert p[:, 0] == pytest.approx(np.array(recording.p)[numbers], abs=1e-9)
    assert contact[:, 0] == pytest.approx(np.array(recording.contact)[numbers], abs=1e-9)
    # Another model each: without a feature that varies, the scores are others.
    assert not np.allclose(p[:, list(masks).index("n")], p[:, 0])
    assert len(recording.x[0]) == len(next(iter(masks.values()))) > len(CATALOGUE)


def test_a_variant_lacks_what_its_name_says() -> None:
    masks = variants_of(["n", "tenure"], candidates=False)
    assert masks["all"].tolist() == [1.0] * len(CATALOGUE)
    assert [i for i, one in enumerate(masks["--drop"]) if not one] == [PLACE["n"], PLACE["tenure"]]
    assert [i for i, one in enumerate(masks["n"]) if not one] == [PLACE["n"]]


def test_the_standard_error_is_that_of_a_sample_of_customers() -> None:
    rng = np.random.default_rng(1)
    y = (rng.random(400) < 0.4).astype(float)
    p = np.stack([0.2 + 0.6 * y, np.clip(0.2 + 0.6 * y + 0.1 * rng.standard_normal(400), 0.01, 0.99)], axis=1)
    once, single = effects(p, y, [f"c{i}" for i in range(400)])
    # Each customer twice as often: the same sample, so the same error.
    twice, double = effects(np.vstack([p, p]), np.append(y, y), [f"c{i % 400}" for i in range(800)])
    assert double[0].log_loss == pytest.approx(single[0].log_loss)
    assert double[0].log_loss_se == pytest.approx(single[0].log_loss_se)
    assert double[0].auc_se == pytest.approx(single[0].auc_se, rel=1e-6)
    for name in ("auc", "log_loss", "base_rate"):
        assert twice[name] == pytest.approx(once[name])


@pytest.mark.parametrize("wrong", [[], ["--simulated", "--drop", "nothing"]])
def test_wrong_use_is_refused(wrong: list[str]) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(wrong)
