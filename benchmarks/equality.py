"""Whether the dense learners are River's pipelines over a million examples: `python -m benchmarks.equality`.

    python -m benchmarks.equality [--updates N] [--features N] [--json]

Every optimizer and loss learns a share of the updates beside River's own pipeline, each by the code that is in use
(compiled, if it was built) and by the unrolled plain Python. One feature in four is nasty: constant until half of the
stream is over, money with refunds of 1e12, of size 1e-300, or an offset that hides its changes. Every hundredth
prediction and the state at the end are compared. Exit code 1 if any number differs by more than 1e-9, relatively or
absolutely; whether all are the same to the bit is said too.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

from river import compose, linear_model, optim, preprocessing

from models import kernels
from models.dense_logistic import DenseLogistic
from models.dense_optimizers import SGD, AdaGrad, FTRLProximal, Optimizer
from models.dense_poisson import DensePoisson
from models.unrolled import Unrolled

TOLERANCE = 1e-9
LOOK_EVERY = 100

OPTIMIZERS: list[tuple[Optimizer, Callable[[], Any]]] = [
    (SGD(0.01), lambda: optim.SGD(0.01)),
    (AdaGrad(0.1), lambda: optim.AdaGrad(0.1)),
    (AdaGrad(0.02), lambda: optim.AdaGrad(0.02)),
    (FTRLProximal(), optim.FTRLProximal),
    (FTRLProximal(alpha=0.2, beta=0.5, l1=0.7, l2=0.0), lambda: optim.FTRLProximal(0.2, 0.5, 0.7, 0.0)),
]


class PlainLogistic(DenseLogistic):
    CORE = Unrolled


class PlainPoisson(DensePoisson):
    CORE = Unrolled


def clip(z: dict[int, float]) -> dict[int, float]:
    return {i: 4.0 if v > 4.0 else -4.0 if v < -4.0 else v for i, v in z.items()}


def pipeline(model: Any) -> Any:
    return preprocessing.StandardScaler() | compose.FuncTransformer(clip) | model


def examples(n: int, n_features: int, seed: int) -> Iterator[tuple[list[float], bool, float]]:
    """A stream with a yes or no and a count that depend on the first features."""
    rng = random.Random(seed)
    nasty: list[Callable[[int], float]] = [
        lambda i: 0.0 if i < n // 2 else rng.random(),
        lambda i: rng.choice([1e12, -1e12, rng.random()]),
        lambda i: rng.gauss(0.0, 1e-300),
        lambda i: 1e12 + rng.random() * 1e-3,
    ]
    for i in range(n):
        x = [nasty[j // 4 % 4](i) if j % 4 == 3 else rng.gauss(float(j), 1.0 + j) for j in range(n_features)]
        yes = rng.random() < 1.0 / (1.0 + math.exp(0.5 * x[min(1, n_features - 1)] - 0.8 * x[0]))
        yield x, yes, float(rng.randrange(6)) if yes else 0.0


def distance(mine: float, its: float) -> float:
    """The smaller of the relative and the absolute difference; infinite where one is not a number."""
    if mine == its:
        return 0.0
    apart = abs(mine - its)
    return apart / max(1.0, abs(its)) if math.isfinite(apart) else math.inf


def compare(count: bool, kind: tuple[Optimizer, Callable[[], Any]], n: int, n_features: int, seed: int) -> float:
    """The largest distance between a pipeline of River's and the dense learners of its recipe over a stream."""
    optimizer, its = kind
    learners: list[Any]
    if count:
        learners = [cls(n_features, optimizer=optimizer) for cls in (DensePoisson, PlainPoisson)]
        river = pipeline(linear_model.LinearRegression(its(), loss=optim.losses.Poisson(), clip_gradient=3.0))
    else:
        learners = [cls(n_features, optimizer=optimizer) for cls in (DenseLogistic, PlainLogistic)]
        river = pipeline(linear_model.LogisticRegression(its()))
    predict = [learner.predict_one if count else learner.predict_proba_one for learner in learners]
    worst = 0.0
    for i, (x, yes, events) in enumerate(examples(n, n_features, seed), 1):
        named = dict(enumerate(x))
        y = events if count else yes
        river.learn_one(named, y)
        for learner in learners:
            learner.learn_one(x, y)
        if i % LOOK_EVERY == 0 or i == n:
            expected = river.predict_one(named) if count else river.predict_proba_one(named)[True]
            worst = max(worst, *(distance(each(x), expected) for each in predict))
    scaler, _, model = river.steps.values()
    for learner in learners:
        intercept, means, variances, weights, *_ = learner.numbers
        worst = max(worst, distance(intercept, model.intercept))
        for mine, theirs in ((means, scaler.means), (variances, scaler.vars), (weights, model.weights)):
            worst = max(worst, *(distance(v, float(theirs.get(j, 0.0))) for j, v in enumerate(mine)))
    return worst


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.equality", description="Equality with River.")
    parser.add_argument("--updates", type=int, default=1_000_000, metavar="N", help="in all (default 1000000)")
    parser.add_argument("--features", type=int, default=16, metavar="N", help="length of an example (default 16)")
    parser.add_argument("--json", action="store_true", help="print one JSON object at the end")
    options = parser.parse_args(arguments)
    cases = [(count, kind) for kind in OPTIMIZERS for count in (False, True)]
    if options.updates < len(cases) or options.features < 1:
        parser.error(f"expected --updates >= {len(cases)} and --features >= 1")
    share, begin, found = -(-options.updates // len(cases)), time.perf_counter(), {}
    for number, (count, kind) in enumerate(cases, 1):
        worst = compare(count, kind, share, options.features, seed=number)
        name = f"{'poisson' if count else 'logistic'} {kind[0]}"
        found[name] = worst
        said = "to the bit" if worst == 0.0 else f"within {worst:.1e}"
        seconds = time.perf_counter() - begin
        print(f"{number * share:>10,} updates, {seconds:4.0f} s: {name}: {said}", file=sys.stderr, flush=True)
    worst = max(found.values())
    if options.json:
        print(json.dumps({"updates": share * len(cases), "core": kernels.STATE, "worst": worst, "by_recipe": found}))
    else:
        said = "the same to the bit" if worst == 0.0 else f"within {worst:.1e}"
        ways = "plain" if kernels.STATE != "compiled" else "compiled and plain"
        print(f"{share * len(cases):,} updates of {options.features} features, {ways} code beside River: {said}")
    return 0 if worst <= TOLERANCE else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
