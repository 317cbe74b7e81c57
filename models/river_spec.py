"""River's estimators by configuration: a text such as `river.forest.ARFClassifier(n_models=5, seed=1)`.

The text is read as a syntax tree and never evaluated. It may hold calls of the names below, with numbers, truths, words
and further such calls as arguments, and `|` between the steps of a pipeline:

classifiers
    `river.linear_model` `LogisticRegression`, `Perceptron`, `PAClassifier`; `river.naive_bayes.GaussianNB`;
    `river.tree` `HoeffdingTreeClassifier`, `HoeffdingAdaptiveTreeClassifier`, `ExtremelyFastDecisionTreeClassifier`;
    `river.forest` `ARFClassifier`, `AMFClassifier`; `river.ensemble` `BaggingClassifier`, `ADWINBaggingClassifier`,
    `LeveragingBaggingClassifier`
regressors
    `river.linear_model.LinearRegression`; `river.tree` `HoeffdingTreeRegressor`, `HoeffdingAdaptiveTreeRegressor`;
    `river.forest` `ARFRegressor`, `AMFRegressor`; `river.ensemble.BaggingRegressor`
before either
    `river.preprocessing.StandardScaler`
within
    `river.optim` and its `losses` and `schedulers`; `river.drift` `ADWIN`, `PageHinkley`, `NoDrift`;
    `river.tree.splitter` `GaussianSplitter`, `EBSTSplitter`, `TEBSTSplitter`

Refused with a reason: an estimator that draws random numbers without a seed; Mondrian forests without `max_nodes`,
whose memory has no bound; limits in bytes of memory, which differ from process to process and would make a stored model
go on otherwise; words that River would take and fail on later. So that no such limit is measured, Hoeffding trees are
made with a `memory_estimate_period` that never comes. Without `max_depth` they and their forests grow with the stream.
"""

from __future__ import annotations

import ast
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

from models.errors import ModelError

__all__ = ["PARTS", "Role", "SpecRefused", "build", "canonical"]

Role = Literal["classifier", "regressor"]

_ROLES: Final = {
    "classifier": """linear_model.LogisticRegression linear_model.Perceptron linear_model.PAClassifier
        naive_bayes.GaussianNB tree.HoeffdingTreeClassifier tree.HoeffdingAdaptiveTreeClassifier
        tree.ExtremelyFastDecisionTreeClassifier forest.ARFClassifier forest.AMFClassifier ensemble.BaggingClassifier
        ensemble.ADWINBaggingClassifier ensemble.LeveragingBaggingClassifier""",
    "regressor": """linear_model.LinearRegression tree.HoeffdingTreeRegressor
        tree.HoeffdingAdaptiveTreeRegressor forest.ARFRegressor forest.AMFRegressor ensemble.BaggingRegressor""",
    "transformer": "preprocessing.StandardScaler",
    "optimizer": """optim.AdaBound optim.AdaDelta optim.AdaGrad optim.AdaMax optim.Adam optim.AMSGrad
        optim.FTRLProximal optim.Momentum optim.Nadam optim.NesterovMomentum optim.RMSProp optim.SGD""",
    "scheduler": "optim.schedulers.Constant optim.schedulers.InverseScaling optim.schedulers.Optimal",
    "binary loss": "optim.losses.BinaryFocalLoss optim.losses.Hinge optim.losses.Log",
    "regression loss": """optim.losses.Absolute optim.losses.Cauchy optim.losses.EpsilonInsensitiveHinge
        optim.losses.Huber optim.losses.Poisson optim.losses.Quantile optim.losses.Squared""",
    "detector": "drift.ADWIN drift.NoDrift drift.PageHinkley",
    "splitter": "tree.splitter.EBSTSplitter tree.splitter.GaussianSplitter tree.splitter.TEBSTSplitter",
}

PARTS: Final[Mapping[str, str]] = {f"river.{name}": role for role, names in _ROLES.items() for name in names.split()}
"""The closed list: every name that may be called -> what it makes."""

_TAKES: Final[Mapping[str, frozenset[str]]] = {
    "leaf_model": frozenset({"regressor"}),
    "optimizer": frozenset({"optimizer"}),
    "lr": frozenset({"scheduler"}),
    "intercept_lr": frozenset({"scheduler"}),
    "drift_detector": frozenset({"detector"}),
    "warning_detector": frozenset({"detector"}),
    "splitter": frozenset({"splitter"}),
}
"""Parameters that may be given an estimator or a part of one, and of which role; `_taken` has those that depend."""

_WORDS: Final[Mapping[str, frozenset[str]]] = {
    "leaf_prediction": frozenset({"mc", "nb", "nba", "mean", "model", "adaptive"}),
    "split_criterion": frozenset({"info_gain", "gini", "hellinger"}),
    "max_features": frozenset({"sqrt", "log2"}),
    "aggregation_method": frozenset({"mean", "median"}),
    "mode": frozenset({"up", "down", "both"}),
}
"""Parameters that may be given a word, and which; River takes any and fails later, or silently takes its default."""

_HIGHEST: Final[Mapping[str, int]] = {
    "n_models": 100,
    "n_estimators": 100,
    "max_nodes": 100_000,
    "max_depth": 200,
    "seed": 2**32 - 1,
}
"""Whole numbers from 1 (a seed from 0) to this: what a model may cost."""

_REFUSED: Final[Mapping[str, str]] = {
    "max_size": "memory in bytes differs from process to process; bound the tree by max_depth",
    "memory_estimate_period": "memory in bytes differs from process to process; bound the tree by max_depth",
    "stop_mem_management": "memory in bytes differs from process to process; bound the tree by max_depth",
    "nominal_attributes": "every feature is a number; leave it out",
    "metric": "the codec knows River's default only; leave it out",
    "bagging_method": "River's other methods fail on its own generator; leave it out",
    "window_size": "a scaler of a window keeps every value in it; leave it out",
}

_NEVER: Final = 2**62
_LARGEST: Final = 1e12
_LONGEST: Final = 1_000
_DEEPEST: Final = 50


class SpecRefused(ModelError, ValueError):
    """A specification from which no estimator is made; the message says what to write instead."""


def canonical(text: str) -> str:
    """The specification in one spelling: spaces, quotes and brackets that mean nothing do not count.

    Raises
    ------
    SpecRefused
        If it is not a call of the closed list, or a pipeline of such.

    Examples
    --------
    >>> canonical('river.tree.HoeffdingTreeClassifier( grace_period = 50,leaf_prediction="nb" )')
    "river.tree.HoeffdingTreeClassifier(grace_period=50, leaf_prediction='nb')"
    """
    return ast.unparse(_tree(text))


def build(text: str, role: Role) -> Any:
    """The estimator that a specification describes, which has learned nothing.

    Imports River, which takes a second or two.

    Parameters
    ----------
    text
        The specification.
    role
        What it must make.

    Raises
    ------
    SpecRefused
        If it makes nothing, or something else, or something that River itself refuses.

    Examples
    --------
    >>> build("river.preprocessing.StandardScaler() | river.linear_model.LogisticRegression()", "classifier")
    Pipeline (...)
    >>> build("river.forest.ARFClassifier()", "classifier")
    Traceback (most recent call last):
        ...
    models.river_spec.SpecRefused: seed: expected a whole number, got none in river.forest.ARFClassifier; give one, ...
    >>> build("eval('1')", "classifier")
    Traceback (most recent call last):
        ...
    models.river_spec.SpecRefused: expected a call of a name of the closed list, got "eval('1')"; see ...
    """
    node = _tree(text)
    found, estimator = _make(node)
    if found != role:
        raise SpecRefused(f"expected a {role}, got a {found} in {_shown(node)}; see models.river_spec for the names")
    _try(_make(node)[1], role, node)
    return estimator


def _try(estimator: Any, role: Role, node: ast.expr) -> None:
    """Refuse what takes its parameters and fails on the first examples, or cannot be stored after them."""
    from models.river_codec import encode

    try:
        for i in range(4):
            x = {"a": float(i), "b": 1.0}
            estimator.learn_one(x, i % 2 == 0 if role == "classifier" else float(i))
            estimator.predict_proba_one(x) if role == "classifier" else estimator.predict_one(x)
        encode(estimator)
    except Exception as error:  # whatever River raises with such parameters, its user must change them
        kind = type(error).__name__
        raise SpecRefused(f"{_shown(node)}: fails on four examples: {kind}: {error}; change its parameters") from error


def _tree(text: str) -> ast.expr:
    if len(text) > _LONGEST:
        raise SpecRefused(f"expected a specification of at most {_LONGEST} characters, got {len(text)}; shorten it")
    try:
        tree = ast.parse(text.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SpecRefused(f"expected a call such as river.naive_bayes.GaussianNB(), got {text[:60]!r}") from error
    level: list[ast.AST] = [tree]
    depth = 0
    while level:
        level, depth = [child for node in level for child in ast.iter_child_nodes(node)], depth + 1
        if depth > _DEEPEST:
            # Beyond, even showing it in a message would exhaust the stack.
            raise SpecRefused(f"expected calls within calls, got {text[:60]!r} without end; shorten it")
    _check(tree)
    return tree


def _check(node: ast.expr) -> None:
    """Refuse every node that is not a call of the closed list, a pipeline or a plain value."""
    match node:
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            _check(left)
            _check(right)
            if isinstance(left, ast.Constant) or isinstance(right, ast.Constant):
                raise SpecRefused(f"expected estimators on both sides of |, got {_shown(node)}; give two steps")
        case ast.Call(func=func, args=args, keywords=keywords) if _name(func) in PARTS:
            for argument in args:
                _check_argument(argument)
            for keyword in keywords:
                if keyword.arg is None:
                    raise SpecRefused(f"expected arguments by name, got ** in {_shown(node)}; write them out")
                _check_argument(keyword.value)
        case _:
            raise SpecRefused(
                f"expected a call of a name of the closed list, got {_shown(node)!r}; "
                "see models.river_spec for the names"
            )


def _check_argument(node: ast.expr) -> None:
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str()):
            return
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float())):
            return
    _check(node)


def _name(node: ast.expr) -> str:
    """The dotted name that a node spells, or nothing."""
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=before, attr=attribute):
            return f"{start}.{attribute}" if (start := _name(before)) else ""
    return ""


def _make(node: ast.expr) -> tuple[str, Any]:
    """What a checked node makes, and its role."""
    match node:
        case ast.BinOp(left=left, right=right):
            before, first = _make(left)
            role, second = _make(right)
            if before != "transformer" or role not in ("transformer", "classifier", "regressor"):
                raise SpecRefused(
                    f"expected scalers and then an estimator, got a {before} | {role} in {_shown(node)}; reorder them"
                )
            return role, first | second
        case ast.Call(func=func, args=args, keywords=keywords):
            name = _name(func)
            values = [_argument(argument) for argument in args]
            named = {str(keyword.arg): _argument(keyword.value) for keyword in keywords}
            return PARTS[name], _called(name, values, named)
    raise AssertionError(f"a checked tree holds {node!r}")


def _argument(node: ast.expr) -> tuple[str, Any]:
    match node:
        case ast.Constant(value=value):
            return "value", value
        case ast.UnaryOp(operand=ast.Constant(value=int() | float() as value)):
            return "value", -value
    return _make(node)


def _called(name: str, args: list[tuple[str, Any]], named: dict[str, tuple[str, Any]]) -> Any:
    maker = _maker(name)
    signature = inspect.signature(maker)
    try:
        bound = signature.bind(*args, **named)
    except TypeError as error:
        raise SpecRefused(f"{name}: {error}; expected {', '.join(signature.parameters)}") from error
    given = {parameter: value for parameter, (_, value) in bound.arguments.items()}
    for parameter, (role, value) in bound.arguments.items():
        _check_value(name, parameter, role, value)
    if "seed" in signature.parameters and given.get("seed") is None:
        raise SpecRefused(
            f"seed: expected a whole number, got none in {name}; give one, such as seed=1, or no replay repeats it"
        )
    if "max_nodes" in signature.parameters and given.get("max_nodes") is None:
        raise SpecRefused(
            f"max_nodes: expected a whole number, got none in {name}; give one, such as max_nodes=500, "
            "or its memory has no bound"
        )
    if "memory_estimate_period" in signature.parameters:
        given["memory_estimate_period"] = _NEVER
    try:
        return maker(**given)
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise SpecRefused(f"{name}: River refuses the parameters: {error}; see its documentation") from error


def _check_value(name: str, parameter: str, role: str, value: Any) -> None:
    where = f"in {name}"
    if parameter in _REFUSED:
        raise SpecRefused(f"{parameter}: expected nothing, got {_brief(value)} {where}; {_REFUSED[parameter]}")
    if role != "value":
        takes = _taken(name, parameter)
        if role not in takes:
            expected = f"something of the kind {' or '.join(sorted(takes))}" if takes else "a plain value"
            raise SpecRefused(f"{parameter}: expected {expected}, got a {role} {where}; see models.river_spec")
    elif isinstance(value, str):
        words = _WORDS.get(parameter, frozenset())
        if value not in words:
            expected = f"one of {', '.join(sorted(words))}" if words else "a number"
            raise SpecRefused(f"{parameter}: expected {expected}, got {_brief(value)} {where}; choose one")
    elif parameter in _HIGHEST and value is not None:
        low, high = int(parameter != "seed"), _HIGHEST[parameter]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise SpecRefused(
                f"{parameter}: expected a whole number from {low} to {high}, got {_brief(value)} {where}; choose one"
            )
    elif value is not None and not (math.isfinite(value) and abs(value) <= _LARGEST):
        raise SpecRefused(f"{parameter}: expected at most {_LARGEST:g} in size, got {_brief(value)} {where}; lower it")


def _taken(name: str, parameter: str) -> frozenset[str]:
    own = PARTS[name]
    if parameter == "model":
        return frozenset({own})
    if parameter == "loss":
        losses = {"classifier": {"binary loss"}, "regressor": {"regression loss"}}
        return frozenset(losses.get(own, {"binary loss", "regression loss"}))
    return _TAKES.get(parameter, frozenset())


def _maker(name: str) -> Callable[..., Any]:
    """The class of a name of the closed list."""
    import river

    # River's own packages load the modules that the names go through.
    from river import drift, ensemble, forest, linear_model, naive_bayes, optim, preprocessing, tree  # noqa: F401

    found: Any = river
    for part in name.split(".")[1:]:
        found = getattr(found, part)
    return found  # type: ignore[no-any-return] # a class of River's, by the closed list


def _shown(node: ast.expr) -> str:
    return ast.unparse(node)[:80]


def _brief(value: Any) -> str:
    return repr(value)[:40]
