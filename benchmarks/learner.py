"""How fast the dense learners are beside River: `python -m benchmarks.learner [--json]`, from the root of the tree.

Four ways to the same numbers: River's own pipelines; `models.logistic` and `models.poisson` (River's parts, called one
by one); and the dense learners, by compiled code where it is built and by unrolled plain Python. *Explain* is a
prediction with its contributions, which the engine asks for. They take turns, a block of examples each, so that a
machine that slows down slows all of them; the median over the blocks is reported, in microseconds per example. The
features are Gaussian and none is constant: the dearest case of all. On a machine that is busy with other things River
loses more than the dense learners.

Exit code 1 if compiled code is used and a pipeline's prediction and learning together cost less than 5 times as much.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import math
import platform
import random
import statistics
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

from river import linear_model, optim

from benchmarks.equality import PlainLogistic, PlainPoisson, pipeline
from models import kernels
from models.dense_logistic import DenseLogistic
from models.dense_poisson import DensePoisson
from models.logistic import Logistic
from models.poisson import Poisson

SEED = 1
BLOCK = 200  # examples in a row by one contender: a quarter of a millisecond of the fastest
BOUND = 5.0  # how many times dearer a pipeline must be than compiled code
WAYS = ("pipeline", "models", *(["compiled"] if kernels.COMPILED else []), "plain")
Call = Callable[..., object]


def calls(n_features: int) -> dict[str, dict[str, tuple[Call, Call, Call | None]]]:
    """Per model and way: predict, learn, and predict with reasons where the way has them."""
    logistic, poisson = Logistic(n_features), Poisson(n_features)
    dense: list[tuple[str, type[DenseLogistic], type[DensePoisson]]] = [("plain", PlainLogistic, PlainPoisson)]
    if kernels.COMPILED:
        dense.append(("compiled", DenseLogistic, DensePoisson))
    classifiers = {way: made(n_features) for way, made, _ in dense}
    regressors = {way: made(n_features) for way, _, made in dense}
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
            **{way: (c.predict_proba_one, c.learn_one, c.explain) for way, c in classifiers.items()},
        },
        "poisson": {
            "pipeline": (its_poisson.predict_one, its_poisson.learn_one, None),
            "models": (
                poisson.predict_one,
                poisson.learn_one,
                lambda x: (poisson.predict_one(x), poisson.contributions(x)),
            ),
            **{way: (r.predict_one, r.learn_one, r.explain) for way, r in regressors.items()},
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
    """How many times dearer a pipeline is than each of the others, by step."""
    return {
        way: {
            step: figures["pipeline"][step] / value
            for step, value in figures[way].items()
            if step in figures["pipeline"]
        }
        for way in WAYS
        if way != "pipeline"
    }


def missed(results: list[dict[str, Any]]) -> list[str]:
    """What compiled code owes: `logistic, 16 features: 4.9`."""
    found = []
    for result in results:
        for model, by_way in result["ratio"].items():
            ratio = by_way.get("compiled", {}).get("predict+learn", math.inf)
            if ratio < BOUND:
                found.append(f"{model}, {result['features']} features: {ratio:.1f}")
    return found


def table(result: dict[str, Any]) -> str:
    steps = ("predict", "explain", "learn", "predict+learn", "explain+learn")
    lines = [
        f"{result['features']} features, microseconds per example, medians of {result['rounds']} blocks of {BLOCK}"
    ]
    lines.append(f"{'':24}" + "".join(f"{step:>15}" for step in steps))
    for model, figures in result["microseconds"].items():
        rows = [(f"{model}, {way}", figures[way], ".2f") for way in WAYS]
        rows += [(f"  pipeline / {way}", by_step, ".1f") for way, by_step in result["ratio"][model].items()]
        for label, by_step, form in rows:
            lines.append(
                f"{label:24}" + "".join(f"{format(by_step[s], form) if s in by_step else '-':>15}" for s in steps)
            )
    return "\n".join(lines)


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.learner", description="Speed of the learners.")
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of tables")
    parser.add_argument(
        "--features", type=int, nargs="+", default=[16, 32], metavar="N", help="lengths of an example (default 16 32)"
    )
    parser.add_argument("--rounds", type=int, default=60, metavar="N", help="blocks of each contender (default 60)")
    options = parser.parse_args(arguments)
    if min(*options.features, options.rounds) < 1:
        parser.error(f"--features and --rounds: expected >= 1, got {options.features} and {options.rounds}")
    results = []
    for n_features in options.features:
        figures = measure(n_features, options.rounds)
        ratio = {model: ratios(ways) for model, ways in figures.items()}
        results.append({"features": n_features, "rounds": options.rounds, "microseconds": figures, "ratio": ratio})
    below = missed(results)
    machine = {
        "core": kernels.STATE,
        "python": platform.python_version(),
        "river": importlib.metadata.version("river"),
        "machine": platform.machine(),
    }
    if options.json:
        print(json.dumps({"results": results, "below": below, **machine}))
    else:
        print("\n\n".join(map(table, results)))
        print("Python {python}, River {river}, {machine}; the engine uses {core} code".format(**machine))
        if below:
            print(f"expected a pipeline to be {BOUND:g} times dearer than compiled code: {'; '.join(below)}")
    return 1 if below else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
