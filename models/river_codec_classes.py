"""The closed lists of the codec: which of River's classes, functions and methods may occur in a stored estimator.

A name in stored bytes is looked up here and nowhere else. A class is only ever made empty (`object.__new__`) and its
attributes set; a function is only ever put back as the factory or hook that it was.
"""

from __future__ import annotations

import collections
import statistics
from collections.abc import Callable
from typing import Any, Final

from river import (
    compose,
    drift,
    ensemble,
    forest,
    linear_model,
    metrics,
    naive_bayes,
    optim,
    preprocessing,
    proba,
    stats,
)
from river.forest import adaptive_random_forest
from river.metrics.confusion import ConfusionMatrix
from river.optim import initializers, losses, schedulers
from river.tree import (
    ExtremelyFastDecisionTreeClassifier,
    HoeffdingAdaptiveTreeClassifier,
    HoeffdingAdaptiveTreeRegressor,
    HoeffdingTreeClassifier,
    HoeffdingTreeRegressor,
    splitter,
)
from river.tree.mondrian import mondrian_tree_classifier, mondrian_tree_nodes, mondrian_tree_regressor
from river.tree.nodes import (
    arf_htc_nodes,
    arf_htr_nodes,
    branch,
    efdtc_nodes,
    hatc_nodes,
    hatr_nodes,
    htc_nodes,
    htr_nodes,
)
from river.tree.splitter import ebst_splitter

__all__ = ["CALLABLES", "CLASSES", "LEFT_OUT", "METHODS"]


def _names(found: tuple[Any, ...]) -> dict[str, Any]:
    return {f"{one.__module__}.{one.__qualname__}": one for one in found}


_LINEAR = (
    *(linear_model.LogisticRegression, linear_model.LinearRegression, linear_model.Perceptron),
    linear_model.PAClassifier,
    *(optim.AdaBound, optim.AdaDelta, optim.AdaGrad, optim.AdaMax, optim.Adam, optim.AMSGrad, optim.FTRLProximal),
    *(optim.Momentum, optim.Nadam, optim.NesterovMomentum, optim.RMSProp, optim.SGD),
    initializers.Zeros,
    *(schedulers.Constant, schedulers.InverseScaling, schedulers.Optimal),
    *(losses.Absolute, losses.BinaryFocalLoss, losses.Cauchy, losses.EpsilonInsensitiveHinge, losses.Hinge),
    *(losses.Huber, losses.Log, losses.Poisson, losses.Quantile, losses.Squared),
)

_TREES = (
    *(HoeffdingTreeClassifier, HoeffdingTreeRegressor, HoeffdingAdaptiveTreeClassifier),
    *(HoeffdingAdaptiveTreeRegressor, ExtremelyFastDecisionTreeClassifier),
    *(htc_nodes.LeafMajorityClass, htc_nodes.LeafNaiveBayes, htc_nodes.LeafNaiveBayesAdaptive),
    *(htr_nodes.LeafMean, htr_nodes.LeafModel, htr_nodes.LeafAdaptive),
    *(hatc_nodes.AdaLeafClassifier, hatc_nodes.AdaNumBinaryBranchClass),
    *(hatr_nodes.AdaLeafRegMean, hatr_nodes.AdaLeafRegModel, hatr_nodes.AdaLeafRegAdaptive),
    hatr_nodes.AdaNumBinaryBranchReg,
    *(efdtc_nodes.EFDTLeafMajorityClass, efdtc_nodes.EFDTLeafNaiveBayes, efdtc_nodes.EFDTLeafNaiveBayesAdaptive),
    efdtc_nodes.EFDTNumericBinaryBranch,
    branch.NumericBinaryBranch,
    *(splitter.GaussianSplitter, splitter.EBSTSplitter, splitter.TEBSTSplitter, ebst_splitter.EBSTNode),
    *(proba.Gaussian, statistics.NormalDist),
)

_FORESTS = (
    *(forest.ARFClassifier, forest.ARFRegressor),
    *(adaptive_random_forest.BaseTreeClassifier, adaptive_random_forest.BaseTreeRegressor),
    *(arf_htc_nodes.RandomLeafMajorityClass, arf_htc_nodes.RandomLeafNaiveBayes),
    arf_htc_nodes.RandomLeafNaiveBayesAdaptive,
    *(arf_htr_nodes.RandomLeafMean, arf_htr_nodes.RandomLeafModel, arf_htr_nodes.RandomLeafAdaptive),
    *(forest.AMFClassifier, mondrian_tree_classifier.MondrianTreeClassifier),
    *(mondrian_tree_nodes.MondrianLeafClassifier, mondrian_tree_nodes.MondrianBranchClassifier),
    *(forest.AMFRegressor, mondrian_tree_regressor.MondrianTreeRegressor),
    *(mondrian_tree_nodes.MondrianLeafRegressor, mondrian_tree_nodes.MondrianBranchRegressor),
)

_OTHERS = (
    *(compose.Pipeline, preprocessing.StandardScaler, naive_bayes.GaussianNB),
    *(ensemble.ADWINBaggingClassifier, ensemble.BaggingClassifier, ensemble.BaggingRegressor),
    ensemble.LeveragingBaggingClassifier,
    *(drift.ADWIN, drift.NoDrift, drift.PageHinkley),
    *(stats.Mean, stats.Var, metrics.Accuracy, metrics.MSE, ConfusionMatrix),
)

CLASSES: Final[dict[str, type]] = _names((*_LINEAR, *_TREES, *_FORESTS, *_OTHERS))
"""Every class that a stored estimator may hold, by its full name."""

CALLABLES: Final[dict[str, Callable[..., Any]]] = _names(
    (
        *(int, float, collections.defaultdict),
        naive_bayes.GaussianNB._make_gaussian,
        ebst_splitter.EBSTNode._update_estimator_univariate,
    )
)
"""What may stand as the factory of a default, in a partial, or as a hook of a node."""

METHODS: Final[dict[type, frozenset[str]]] = {
    ensemble.LeveragingBaggingClassifier: frozenset({"_leveraging_bag"}),
    linear_model.PAClassifier: frozenset({"_calc_tau_1", "_calc_tau_2"}),
    drift.PageHinkley: frozenset({"_test_increase", "_test_decrease", "_test_both"}),
}
"""Methods that an object may hold, bound to one of its class: to itself."""

LEFT_OUT: Final[dict[type, frozenset[str]]] = {
    # A plan of calls, made anew from the steps.
    compose.Pipeline: frozenset({"_plan", "_inference_transformers", "_last_step_cached", "_last_step_params"}),
    # A generator for `sample`, which no estimator calls; seeded by the machine and 2.5 kB for every feature of a leaf.
    proba.Gaussian: frozenset({"_rng"}),
}
"""Attributes that no prediction depends on; reading puts back what a new object has."""
