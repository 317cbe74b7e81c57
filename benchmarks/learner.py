"""How fast the dense learners are beside River: `python -m benchmarks.learner [--json]`, from the root of the tree.

Three ways to the same numbers: River's own pipelines, `models.logistic` and `models.poisson` (River's parts, called one
by one), and `models.dense_logistic` and `models.dense_poisson`. *Explain* is a prediction with its contributions, which
the engine asks for. They take turns, a block of examples each, so that a machine that slows down slows all of them; the
median over the blocks is reported, in microseconds per example. The features are Gaussian and none is constant: the
dearest case of all three. On a machine that is busy with other things River loses more than the dense learners.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from river import compose, linear_model, optim, preprocessing

from models.dense_logistic import DenseLogistic
from models.dense_poisson import DensePoisson
from models.logistic import Logistic
from models.poisson import Poisson

SEED = 1
BLOCK = 200  # examples in a row by one contender: about a millisecond of the fastest
WAYS = ("pipeline", "models", "dense")
Call = Callable[..., object]


def clip(z: dict[int, float]) -> dict[int, float]:
    return {i: 4.0 if v > 4.0 else -4.0 if v < -4.0 else v for i, v in z.items()}


def pipeline(model: Any) -> Any:
    return preprocessing.StandardScaler() | compose.FuncTransformer(clip) | model


def calls(n_features: int) -> dict[str, dict[str, tuple[Call, Call, Call | None]]]:
    """Per model and way: predict, learn, and predict with reasons where the way has them."""
    logistic, poisson = Logistic(n_features), Poisson(n_features)
    dense_logistic, dense_poisson = DenseLogistic(n_features), DensePoisson(n_features)
    its_logistic = pipeline(linear_model.LogisticRegression(optim.AdaGrad(0.1)))
    its_poisson = pipeline(
        linear_model.LinearRegression(optim.AdaGrad(0.02), loss=optim.losses.Poisson(), clip_gradient=3.0)
    )
    return {
        "logistic": {
            "pipeline": (its_logistic.predict_proba_one, its_logistic.learn_one, None),
            "models": (
                logistic.predict_proba_one,
                logistic.learn_one,
                lambda x: (logistic.predict_proba_one(x), logistic.contributions(x)),
            ),
            "dense": (dense_logistic.predict_proba_one, dense_logistic.learn_one, dense_logistic.explain),
        },
        "poisson": {
            "pipeline": (its_poisson.predict_one, its_poisson.learn_one, None),
            "models": (
                poisson.predict_one,
                poisson.learn_one,
                lambda x: (poisson.predict_one(x), poisson.contributions(x)),
            ),
            "dense": (dense_poisson.predict_one, dense_poisson.learn_one, dense_poisson.explain),
        },
    }


def microseconds(call: Call, arguments: Iterable[tuple[Any, ...]]) -> float:
    """Mean over one block."""
    begin = time.perf_counter()
    for one in arguments:
        call(*one)
    return (time.perf_counter() - begin) / BLOCK * 1e6


def measure(n_features: int, rounds: int) -> dict[str, dict[str, dict[str, float]]]:
    """Median microseconds by model, way and step."""
    rng = random.Random(SEED)
    contenders = calls(n_features)
    times: dict[tuple[str, str, str], list[float]] = {}
    for _ in range(rounds):
        xs = [[rng.gauss(float(i), 1.0 + i) for i in range(n_features)] for _ in range(BLOCK)]
        yes = [rng.random() < 0.3 + 0.4 * (x[0] > 0.0) for x in xs]
        labels: dict[str, list[float]] = {"logistic": [*yes], "poisson": [float(y * rng.randrange(6)) for y in yes]}
        dicts = [dict(enumerate(x)) for x in xs]
        for model, ways in contenders.items():
            for way, (predict, learn, explain) in ways.items():
                given: list[Any] = dicts if way == "pipeline" else xs
                asked = [(x,) for x in given]
                shown = list(zip(given, labels[model], strict=True))
                times.setdefault((model, way, "learn"), []).append(microseconds(learn, shown))
                times.setdefault((model, way, "predict"), []).append(microseconds(predict, asked))
                if explain is not None:
                    times.setdefault((model, way, "explain"), []).append(microseconds(explain, asked))
    out: dict[str, dict[str, dict[str, float]]] = {}
    for (model, way, step), values in times.items():
        out.setdefault(model, {}).setdefault(way, {})[step] = statistics.median(values)
        if step != "learn":
            both = zip(values, times[model, way, "learn"], strict=True)
            out[model][way][f"{step}+learn"] = statistics.median(map(sum, both))
    return out


def ratios(figures: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
    """How many times faster dense is than each of the others, by step."""
    return {
        way: {step: value / figures["dense"][step] for step, value in figures[way].items()}
        for way in WAYS
        if way != "dense"
    }


def table(result: dict[str, Any]) -> str:
    steps = ("predict", "explain", "learn", "predict+learn", "explain+learn")
    lines = [
        f"{result['features']} features, microseconds per example, medians of {result['rounds']} blocks of {BLOCK}"
    ]
    lines.append(f"{'':24}" + "".join(f"{step:>15}" for step in steps))
    for model, figures in result["microseconds"].items():
        rows = [(f"{model}, {way}", figures[way], ".2f") for way in WAYS]
        rows += [(f"  {way} / dense", by_step, ".1f") for way, by_step in result["ratio"][model].items()]
        for label, by_step, form in rows:
            lines.append(
                f"{label:24}" + "".join(f"{format(by_step[s], form) if s in by_step else '-':>15}" for s in steps)
            )
    return "\n".join([*lines, f"Python {result['python']}, River {result['river']}, {result['machine']}"])


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learner", description="Speed of the learners.")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument("--features", type=int, default=16, metavar="N", help="length of an example (default 16)")
    parser.add_argument("--rounds", type=int, default=60, metavar="N", help="blocks of each contender (default 60)")
    options = parser.parse_args(arguments)
    if options.features < 1 or options.rounds < 1:
        parser.error(f"--features and --rounds: expected >= 1, got {options.features} and {options.rounds}")
    figures = measure(options.features, options.rounds)
    result = {
        "features": options.features,
        "rounds": options.rounds,
        "microseconds": figures,
        "ratio": {model: ratios(ways) for model, ways in figures.items()},
        "python": platform.python_version(),
        "river": importlib.metadata.version("river"),
        "machine": platform.machine(),
    }
    print(json.dumps(result) if options.json else table(result))


if __name__ == "__main__":
    main(sys.argv[1:])
