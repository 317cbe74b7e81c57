"""Dense learners by recipe and by the code that does their arithmetic, and River's pipeline of the same recipe."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from river import compose, linear_model, optim, preprocessing

from models import kernels
from models.dense_logistic import DenseLogistic
from models.dense_optimizers import SGD, AdaGrad, FTRLProximal, Optimizer
from models.dense_poisson import CLIP_GRADIENT, ETA_LIMIT, DensePoisson
from models.kernel import Kernel
from models.unrolled import Unrolled
from tests.models.nasty_streams import Example

__all__ = ["CORES", "LOSSES", "OPTIMIZERS", "Dense", "assert_same", "dense", "learn", "predict", "river"]

Dense = DenseLogistic | DensePoisson

CORES: dict[str, type[kernels.Core]] = {"unrolled": Unrolled, "source": Kernel}
"""The arithmetic in plain Python twice, and compiled where it is."""
if kernels.COMPILED:
    CORES["compiled"] = kernels.CORE

LOSSES = ("logistic", "poisson")

OPTIMIZERS: dict[str, Optimizer] = {
    "sgd": SGD(0.01),
    "adagrad": AdaGrad(0.1),
    "adagrad-eps": AdaGrad(0.02, 1e-3),
    "ftrl": FTRLProximal(),
    "ftrl-l1": FTRLProximal(alpha=0.2, beta=0.5, l1=0.7, l2=0.0),
}


def dense(loss: str, n_features: int, core: type[kernels.Core] = kernels.CORE, **settings: Any) -> Dense:
    """A dense learner whose arithmetic a given class does."""
    if loss == "logistic":
        return type("Logistic", (DenseLogistic,), {"CORE": core})(n_features, **settings)  # type: ignore[no-any-return]
    return type("Poisson", (DensePoisson,), {"CORE": core})(n_features, **settings)  # type: ignore[no-any-return]


class Capped(optim.losses.Poisson):
    """River's loss with the score capped where its exponential would overflow."""

    def gradient(self, y_true: Any, y_pred: Any) -> Any:
        return super().gradient(y_true, min(y_pred, ETA_LIMIT))

    def mean_func(self, y_pred: Any) -> Any:
        return super().mean_func(min(y_pred, ETA_LIMIT))


def river(
    loss: str,
    optimizer: Optimizer,
    *,
    clip_z: float | None = 4.0,
    clip_gradient: float | None = None,
    **settings: Any,
) -> Any:
    """River's pipeline of the same recipe, made of River's parts alone."""
    match optimizer:
        case SGD(lr):
            its: Any = optim.SGD(lr)
        case AdaGrad(lr, eps):
            its = optim.AdaGrad(lr, eps)
        case FTRLProximal(alpha, beta, l1, l2):
            its = optim.FTRLProximal(alpha, beta, l1, l2)
    if loss == "logistic":
        model: Any = linear_model.LogisticRegression(its, clip_gradient=clip_gradient or 1e12, **settings)
    else:
        bound = clip_gradient or CLIP_GRADIENT
        model = linear_model.LinearRegression(its, loss=Capped(), clip_gradient=bound, **settings)
    if clip_z is None:
        return preprocessing.StandardScaler() | model
    high = clip_z

    def clip(z: dict[Any, float]) -> dict[Any, float]:
        return {name: min(max(v, -high), high) for name, v in z.items()}

    return preprocessing.StandardScaler() | compose.FuncTransformer(clip) | model


def _says_yes(learner: Any) -> bool:
    # A pipeline has the methods of all kinds, and fails in them.
    last = list(learner.steps.values())[-1] if hasattr(learner, "steps") else learner
    return hasattr(last, "predict_proba_one")


def predict(learner: Any, x: Any) -> float:
    """What a learner or a pipeline says of one example."""
    if _says_yes(learner):
        p = learner.predict_proba_one(x)
        return float(p[True] if isinstance(p, dict) else p)
    return float(learner.predict_one(x))


def learn(learner: Any, x: Any, yes: bool, count: float) -> None:
    """Teach it the label of its kind."""
    learner.learn_one(x, yes if _says_yes(learner) else count)


def assert_same(learners: list[Dense], its: Any, stream: Iterable[Example], *, every: int = 1) -> None:
    """Every learner gives the pipeline's predictions, once in so many examples, and ends with its state, to the bit."""
    for i, (x, yes, count) in enumerate(stream):
        named = dict(enumerate(x))
        # Before the first example ours says 0 where River says 1.
        expected = predict(its, named) if i and i % every == 0 else math.nan
        learn(its, named, yes, count)
        for learner in learners:
            if math.isfinite(expected):
                assert predict(learner, x) == expected, (learner.CORE, i)
            learn(learner, x, yes, count)
    scaler, *_, model = its.steps.values()
    for learner in learners:
        places = range(learner.n_features)
        mine = learner.numbers
        assert mine.intercept == model.intercept
        assert mine.means == [scaler.means[j] for j in places]
        assert mine.variances == [scaler.vars[j] for j in places]
        assert mine.weights == [float(model.weights.get(j, 0.0)) for j in places]
        if isinstance(learner.optimizer, AdaGrad):
            assert mine.squares == [model.optimizer.g2[j] for j in places]
        if isinstance(learner.optimizer, FTRLProximal):
            assert mine.squares == [model.optimizer.n[j] for j in places]
            assert mine.residuals == [float(model.optimizer.z[j]) for j in places]
