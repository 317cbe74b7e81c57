"""A model as the page gets it: figures of the lanes put together by their numbers of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from streams.redis.desk_views import ModelView

__all__ = ["model_rows"]

_MEANS = (
    "base_rate", "mean_p", "log_loss", "auc", "brier", "ece", "average_precision", "mean_y", "mae", "poisson_deviance",
)  # fmt: skip
_TEXTS = ("model", "version")
_BINS = 10


def model_rows(view: ModelView) -> dict[str, Any]:
    """A model for the page.

    Means over the lanes weigh each lane by its labels. Of `auc`, `average_precision` and `ece` that is no more than an
    average: `henji models list` reckons them over all lanes exactly, from the ledger.

    Examples
    --------
    >>> lanes = {0: {"n": "1", "log_loss": "0.5"}, 1: {"n": "3", "log_loss": "0.1"}}
    >>> row = model_rows(ModelView("churn_event", lanes))
    >>> row["n"], row["log_loss"], row["auc"]
    (4, 0.2, None)
    """
    weights = {lane: _number(figures.get("n")) or 0.0 for lane, figures in view.lanes.items()}
    return {
        "name": view.name,
        "lanes": [{"lane": lane, **_lane(figures)} for lane, figures in view.lanes.items()],
        "n": int(sum(weights.values())),
        **{name: _mean(view.lanes, weights, name) for name in _MEANS},
        "pending": int(sum(_number(figures.get("pending")) or 0 for figures in view.lanes.values())),
        "reliability": _reliability(view.lanes),
        "drift": _drift(view.lanes),
    }


def _lane(figures: Mapping[str, str]) -> dict[str, Any]:
    plain = {name: text for name, text in figures.items() if not name.startswith(("drift_", "reliability"))}
    return {name: text if name in _TEXTS else _number(text) for name, text in plain.items()}


def _mean(lanes: Mapping[int, Mapping[str, str]], weights: Mapping[int, float], name: str) -> float | None:
    told = [(_number(figures.get(name)), weights[lane]) for lane, figures in lanes.items()]
    known = [(value, weight) for value, weight in told if value is not None and weight > 0]
    total = sum(weight for _, weight in known)
    return sum(value * weight for value, weight in known) / total if total else None


def _reliability(lanes: Mapping[int, Mapping[str, str]]) -> list[list[float] | None]:
    sums = [[0.0, 0.0, 0.0] for _ in range(_BINS)]
    for figures in lanes.values():
        for bin_, told in zip(sums, _json_list(figures.get("reliability")), strict=False):
            if isinstance(told, list) and len(told) == 3 and all(isinstance(each, int | float) for each in told):
                n, mean, share = told
                bin_[0] += n
                bin_[1] += n * mean
                bin_[2] += n * share
    return [[n, mean / n, share / n] if n else None for n, mean, share in sums]


def _drift(lanes: Mapping[int, Mapping[str, str]]) -> dict[str, dict[str, float]]:
    found: dict[str, dict[str, float]] = {}
    for figures in lanes.values():
        for name, text in figures.items():
            parts = [_number(part) for part in text.split(",")] if name.startswith("drift_") else []
            if len(parts) != 4:
                continue
            alarms, at, before, after = (part or 0.0 for part in parts)
            old = found.get(name[6:])
            n_alarms = int(alarms) + (int(old["alarms"]) if old else 0)
            newest = old if old and old["at"] > at else {"at": int(at), "before": before, "after": after}
            found[name[6:]] = {**newest, "alarms": n_alarms}
    return dict(sorted(found.items()))


def _number(text: str | None) -> float | None:
    try:
        return None if text is None else float(text)
    except ValueError:
        return None


def _json_list(text: str | None) -> list[Any]:
    try:
        found = orjson.loads(text or "[]")
    except orjson.JSONDecodeError:
        return []
    return found if isinstance(found, list) else []
