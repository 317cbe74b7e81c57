"""What scoring and learning cost beside River's pipelines: `python -m benchmarks.scoring [--json] [--rounds N]`.

For a landmark each of these predicts churn, engagement and contact once, and learns each label once:

* `henji_models`: the learners of the engine, with the reasons of the churn score, its prior and its mixture;
* `henji`: what the engine runs, `engine.scoring.LaneModels`: the same, and metrics by version, segment and month, the
  label ledger and the drift watch;
* `river`: one pipeline `StandardScaler | clip | model` for each learner of henji's: churn whole and in two pieces,
  contact, engagement; nothing of the rest;
* `river_reference`: the same with the four pieces that the recipe needs when its learners are River's (eighth, quarter,
  half and whole horizon); with two, its log-loss on CollegeMsg is worse than that of henji's;
* `river_two`: churn and engagement by one pipeline each.

They take turns, a block of landmarks each; medians over the blocks, microseconds per landmark. Exit code 1 if
henji_models is compiled and not at least five times cheaper than river_reference.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

from river import compose, linear_model, optim, preprocessing

from engine.catalogue import CATALOGUE, single
from engine.duration import DAY_MS
from engine.landmarks import Landmark
from engine.reasons import reasons
from engine.scoring import LaneModels
from engine.settings import ResultSettings
from models.blend import Blend
from models.contact import ContactModel
from models.dense_poisson import DensePoisson
from models.kernels import COMPILED

__all__ = ["main"]

BLOCK = 100
LEAST = 5.0
N = len(CATALOGUE)


def _clip(z: dict[str, float]) -> dict[str, float]:
    return {i: 4.0 if v > 4.0 else -4.0 if v < -4.0 else v for i, v in z.items()}


def _pipeline(model: Any) -> Any:
    return preprocessing.StandardScaler() | compose.FuncTransformer(_clip) | model


def _classifier() -> Any:
    return _pipeline(linear_model.LogisticRegression(optim.AdaGrad(0.1)))


class River:
    """The pipelines that do the same work."""

    def __init__(self, n_churn: int, *, contact: bool = True) -> None:
        self.churn = [_classifier() for _ in range(n_churn)]
        self.contact = [_classifier()] if contact else []
        self.engagement = _pipeline(
            linear_model.LinearRegression(optim.AdaGrad(0.02), loss=optim.losses.Poisson(), clip_gradient=3.0)
        )

    def take(self, x: dict[str, float], y: bool, count: int) -> None:
        classifiers = [*self.churn, *self.contact]
        for each in classifiers:
            each.predict_proba_one(x)
        self.engagement.predict_one(x)
        for each in classifiers:
            each.learn_one(x, y)
        self.engagement.learn_one(x, count)


class Learners:
    """The engine's learners alone."""

    def __init__(self, settings: ResultSettings) -> None:
        self.n_pieces = len(settings.pieces)
        self.churn = Blend(N, self.n_pieces)
        self.engagement = DensePoisson(N)
        self.contact = ContactModel(N)
        self.priors = [0.5] * (1 + self.n_pieces)

    def take(self, x: list[float], y: bool, count: int) -> None:
        churn = self.churn
        forecast, bias, terms = churn.explain(x, self.priors)
        reasons(bias, terms)
        self.engagement.predict_one(x)
        self.contact.predict(x, 0.1)
        for piece in range(self.n_pieces):
            churn.learn_piece(piece, x, y)
        churn.learn_end(x, y, forecast.members)
        self.engagement.learn_one(x, float(count))
        self.contact.learn(x, y)


class Henji:
    """All that the engine does with a landmark."""

    def __init__(self, settings: ResultSettings) -> None:
        self.windows = settings.windows
        self.models = LaneModels(self.windows)

    def take(self, x: list[float], y: bool, count: int, at: int) -> None:
        models, windows = self.models, self.windows
        scores, _ = models.explain(0, x)
        mark = Landmark(at, 0, x, scores)
        models.take(mark)
        mark.n_engaged, mark.contacted = count, y
        # Silent to the end: the dearest case, every piece learns.
        for piece in range(len(windows.edges)):
            mark.n_pieces_done = piece
            models.learn_piece(mark)
        models.learn_churn(mark, None, count)
        models.learn_engagement(mark, None)
        models.learn_contact(mark, None)


def _examples(rng: random.Random) -> list[tuple[list[float], bool, int]]:
    out = []
    for _ in range(BLOCK):
        x = single([rng.gauss(0.5 * i, 1.0 + 0.1 * i) for i in range(N)])
        out.append((x, rng.random() < 0.3 + 0.4 * (x[0] > 0.0), rng.randrange(4)))
    return out


def _block(take: Callable[..., None], examples: Sequence[tuple[Any, ...]]) -> float:
    begin = time.perf_counter()
    for example in examples:
        take(*example)
    return (time.perf_counter() - begin) / BLOCK * 1e6


def measure(rounds: int) -> dict[str, float]:
    """Median microseconds per landmark of each contender."""
    rng = random.Random(1)
    settings = ResultSettings()
    henji, learners = Henji(settings), Learners(settings)
    rivers = {
        "river": River(1 + len(settings.pieces)),
        "river_reference": River(5),
        "river_two": River(1, contact=False),
    }
    times: dict[str, list[float]] = {name: [] for name in ("henji_models", "henji", *rivers)}
    for number in range(rounds):
        examples = _examples(rng)
        named = [(dict(zip((f.name for f in CATALOGUE), x, strict=True)), y, count) for x, y, count in examples]
        at = number * DAY_MS // 10
        timed = [(x, y, count, at + i) for i, (x, y, count) in enumerate(examples)]
        times["henji_models"].append(_block(learners.take, examples))
        times["henji"].append(_block(henji.take, timed))
        for name, river in rivers.items():
            times[name].append(_block(river.take, named))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=60)
    options = parser.parse_args()
    figures = measure(options.rounds)
    cost = figures["henji_models"]
    facts: dict[str, Any] = {name: round(value, 1) for name, value in figures.items()}
    facts |= {f"{name} / henji_models": round(figures[name] / cost, 2) for name in figures if name.startswith("river")}
    facts |= {"river_reference / henji": round(figures["river_reference"] / figures["henji"], 2)}
    facts |= {"compiled": COMPILED, "features": N}
    if options.json:
        print(json.dumps(facts))
    else:
        for name, value in facts.items():
            print(f"{name:32} {value}")
    return 1 if COMPILED and figures["river_reference"] < LEAST * cost else 0


if __name__ == "__main__":
    sys.exit(main())
