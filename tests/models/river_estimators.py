"""Every estimator of the closed list as a specification that grows within a few hundred examples, and a stream."""

from __future__ import annotations

import random
from typing import Any

from models.river_model import RiverClassifier, RiverModel, RiverRegressor

__all__ = ["N_FEATURES", "SPECS", "learner", "predict", "stream"]

N_FEATURES = 5

_SCALED = "river.preprocessing.StandardScaler() | "
_OPTIMIZERS = "AdaBound AdaDelta AdaGrad AdaMax Adam AMSGrad FTRLProximal Momentum Nadam NesterovMomentum RMSProp SGD"
_TREE = "grace_period=20, delta=0.1"

_CLASSIFIERS = {
    **{name: f"{_SCALED}river.linear_model.LogisticRegression(river.optim.{name}())" for name in _OPTIMIZERS.split()},
    "scheduled": "river.linear_model.LogisticRegression(river.optim.SGD(river.optim.schedulers.InverseScaling(0.1)))",
    "optimal": f"{_SCALED}river.linear_model.LogisticRegression("
    "river.optim.SGD(river.optim.schedulers.Optimal(river.optim.losses.Hinge())), l2=0.01)",
    "constant": f"{_SCALED}river.linear_model.LogisticRegression("
    "intercept_lr=river.optim.schedulers.Constant(0.02), l1=0.001)",
    "focal": f"{_SCALED}river.linear_model.LogisticRegression(loss=river.optim.losses.BinaryFocalLoss())",
    "hinge": f"{_SCALED}river.linear_model.LogisticRegression(loss=river.optim.losses.Hinge())",
    "log": f"{_SCALED}river.linear_model.LogisticRegression(loss=river.optim.losses.Log(2.0, 1.0))",
    "perceptron": f"{_SCALED}river.linear_model.Perceptron()",
    "passive-aggressive": f"{_SCALED}river.linear_model.PAClassifier(C=0.1, mode=2)",
    "naive-bayes": "river.naive_bayes.GaussianNB()",
    "hoeffding": f"river.tree.HoeffdingTreeClassifier({_TREE})",
    "hoeffding-mc": f"river.tree.HoeffdingTreeClassifier({_TREE}, leaf_prediction='mc', split_criterion='gini')",
    "hoeffding-nb": f"river.tree.HoeffdingTreeClassifier({_TREE}, leaf_prediction='nb', split_criterion='hellinger', "
    "splitter=river.tree.splitter.GaussianSplitter(5), remove_poor_attrs=True)",
    "hoeffding-adaptive": "river.tree.HoeffdingAdaptiveTreeClassifier(40, delta=0.5, tau=0.5, seed=1, "
    "drift_window_threshold=20, switch_significance=0.5, drift_detector=river.drift.ADWIN(0.2, clock=4))",
    "extremely-fast": f"river.tree.ExtremelyFastDecisionTreeClassifier({_TREE}, min_samples_reevaluate=30)",
    "extremely-fast-mc": f"river.tree.ExtremelyFastDecisionTreeClassifier({_TREE}, leaf_prediction='mc')",
    "extremely-fast-nb": f"river.tree.ExtremelyFastDecisionTreeClassifier({_TREE}, leaf_prediction='nb')",
    "forest": "river.forest.ARFClassifier(n_models=3, seed=1, grace_period=20, delta=0.1)",
    "forest-mc": "river.forest.ARFClassifier(n_models=2, seed=1, grace_period=20, leaf_prediction='mc', "
    "drift_detector=river.drift.PageHinkley(threshold=2.0), warning_detector=river.drift.NoDrift())",
    "forest-nb": "river.forest.ARFClassifier(n_models=2, max_features=3, seed=1, grace_period=20, "
    "leaf_prediction='nb', warning_detector=river.drift.ADWIN(0.9))",
    "mondrian": "river.forest.AMFClassifier(n_estimators=2, max_nodes=60, seed=1)",
    "bagging": "river.ensemble.BaggingClassifier(river.linear_model.LogisticRegression(), n_models=3, seed=1)",
    "adwin-bagging": f"river.ensemble.ADWINBaggingClassifier({_SCALED}river.linear_model.LogisticRegression(), "
    "n_models=3, seed=1)",
    "leveraging-bagging": f"river.ensemble.LeveragingBaggingClassifier(river.tree.HoeffdingTreeClassifier({_TREE}), "
    "n_models=2, seed=1, adwin_delta=0.5)",
}

_LOSSES = "Absolute Cauchy EpsilonInsensitiveHinge Huber Poisson Quantile Squared"

_REGRESSORS = {
    **{
        f"linear-{name}": f"{_SCALED}river.linear_model.LinearRegression(loss=river.optim.losses.{name}(), l2=0.001)"
        for name in _LOSSES.split()
    },
    "hoeffding-regressor": f"river.tree.HoeffdingTreeRegressor({_TREE})",
    "hoeffding-mean": f"river.tree.HoeffdingTreeRegressor({_TREE}, leaf_prediction='mean', "
    "splitter=river.tree.splitter.EBSTSplitter())",
    "hoeffding-model": f"river.tree.HoeffdingTreeRegressor({_TREE}, leaf_prediction='model', "
    "leaf_model=river.linear_model.LinearRegression(river.optim.SGD(0.001)), "
    "splitter=river.tree.splitter.TEBSTSplitter(2))",
    "hoeffding-adaptive-regressor": f"river.tree.HoeffdingAdaptiveTreeRegressor({_TREE}, seed=1, "
    "drift_window_threshold=20, drift_detector=river.drift.ADWIN(0.5))",
    "hoeffding-adaptive-mean": f"river.tree.HoeffdingAdaptiveTreeRegressor({_TREE}, seed=1, leaf_prediction='mean')",
    "hoeffding-adaptive-model": f"river.tree.HoeffdingAdaptiveTreeRegressor({_TREE}, seed=1, leaf_prediction='model')",
    "forest-regressor": "river.forest.ARFRegressor(n_models=3, seed=1, grace_period=20, delta=0.1)",
    "forest-mean": "river.forest.ARFRegressor(n_models=2, seed=1, grace_period=20, leaf_prediction='mean', "
    "drift_detector=river.drift.PageHinkley(threshold=1.0), warning_detector=river.drift.ADWIN(0.9, clock=4))",
    "forest-model": "river.forest.ARFRegressor(n_models=2, seed=1, grace_period=20, leaf_prediction='model', "
    "aggregation_method='mean')",
    "mondrian-regressor": "river.forest.AMFRegressor(n_estimators=2, max_nodes=60, seed=1)",
    "bagging-regressor": f"river.ensemble.BaggingRegressor({_SCALED}river.linear_model.LinearRegression(), "
    "n_models=3, seed=1)",
}

SPECS = {**_CLASSIFIERS, **_REGRESSORS}
"""Specifications by a short name; together they call every name of the closed list."""


def learner(name: str) -> RiverClassifier | RiverRegressor:
    """A model that has learned nothing."""
    kind = RiverClassifier if name in _CLASSIFIERS else RiverRegressor
    return kind(SPECS[name], N_FEATURES)


def predict(model: RiverModel, x: list[float]) -> float:
    """What a model says."""
    return model.predict_proba_one(x) if isinstance(model, RiverClassifier) else model.predict_one(x)  # type: ignore[attr-defined] # a RiverRegressor


def stream(n: int, seed: int) -> list[tuple[list[float], Any]]:
    """Examples that trees split on, with a change of what they mean half way: labels 0 and 1, for either kind."""
    rng = random.Random(seed)
    out = []
    for i in range(n):
        x = [rng.gauss(0.0, 1.0), rng.random(), float(rng.randrange(3)), rng.expovariate(1.0), 1.0]
        yes = x[0] + x[2] > 1.0
        out.append((x, float(yes != (i > n // 2) if rng.random() < 0.9 else rng.random() < 0.5)))
    return out
