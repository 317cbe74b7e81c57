"""The models of all lanes as one: figures added up exactly, comparisons, alarms of drift; plain data for JSON.

Figures of lanes cannot be averaged (an AUC least of all), so they are worked out from the sums that the ledger keeps.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from engine.duration import DAY_MS
from engine.errors import UsageError
from engine.landmarks import TRIGGERS
from engine.model_rows import challenger_row
from engine.model_watch import RECENT_MS, ModelWatch
from models.metric_book import MetricBook
from models.metrics import ClassificationMetrics, CountMetrics
from models.paired import PairedLoss
from streams.redis.model_reader import LaneReading

__all__ = ["FEW", "NEAR_MS", "Contender", "champions", "contenders", "list_facts", "show_facts"]

FEW: Final = 200
"""Compared examples below which nothing is said of a difference."""

NEAR_MS: Final = 14 * DAY_MS
"""Alarms of lanes that are no further apart are told as one: the clocks and the customers of lanes differ."""

_SCORES: Final = ("churn", "engagement", "contact")
_BALANCE: Final = ("taken", "learned", "pending", "erased")

Book = MetricBook[ClassificationMetrics] | MetricBook[CountMetrics]
Sums = ClassificationMetrics | CountMetrics


class Contender(NamedTuple):
    """A churn model: its place among those of a lane, its name and the version of its recipe."""

    number: int
    model: str
    version: str


def contenders(lanes: Iterable[Mapping[str, Mapping[str, str]]]) -> list[Contender]:
    """The churn models that lanes know, from the rows of each, in the order of their numbers."""
    found = {
        Contender(int(row["number"]), row["model"], row["version"])
        for rows in lanes
        for name, row in rows.items()
        if name.startswith("churn_") and {"number", "model", "version"} <= row.keys()
    }
    return sorted(found)


def champions(readings: Iterable[LaneReading]) -> dict[str, list[int]]:
    """Name of a churn model -> lanes that show it, the one of most lanes first."""
    lanes: dict[str, list[int]] = {}
    for reading in readings:
        row = next((reading.rows[n] for t in TRIGGERS if "model" in reading.rows.get(n := f"churn_{t}", {})), None)
        if row is not None:
            lanes.setdefault(row["model"], []).append(reading.lane)
    return dict(sorted(lanes.items(), key=lambda each: (-len(each[1]), each[1])))


def list_facts(readings: Sequence[LaneReading]) -> dict[str, Any]:
    """Everything that `henji models list` tells.

    Parameters
    ----------
    readings
        In the order of the lanes.
    """
    shown = champions(readings)
    champion = next(iter(shown), None)
    return {
        "lanes": [reading.lane for reading in readings],
        "clock": max((reading.clock for reading in readings), default=-1),
        "champions": shown,
        "models": [
            *(each for trigger in TRIGGERS for each in _churn(readings, trigger, champion)),
            *(_other(readings, score, trigger) for score in _SCORES[1:] for trigger in TRIGGERS),
        ],
        "drift": _drift(readings),
    }


def show_facts(readings: Sequence[LaneReading], name: str) -> dict[str, Any]:
    """Everything that `henji models show NAME` tells.

    Raises
    ------
    UsageError
        If there is no model of that name; the message says which there are.
    """
    listed = list_facts(readings)
    found = next((model for model in listed["models"] if name in _names(model)), None)
    if found is None:
        names = ", ".join(_names(model)[-1] for model in listed["models"])
        raise UsageError(f"NAME: expected one of {names}, got {name!r}")
    score, trigger, version = found["score"], found["trigger"], found["version"]
    books = [_book(watch, score) for watch in _watches(readings, trigger)]
    groups = dict.fromkeys(group for book in books for group in book.groups)
    versions = list(dict.fromkeys(version for version, _ in groups))
    segments = sorted({segment for its, segment in groups if version in (None, its)})
    total = _sum(book.total(version=version) for book in books)
    return {
        **found,
        "versions": [{"version": its, **_get(_sum(book.total(version=its) for book in books))} for its in versions],
        "segments": [
            {"segment": segment, **_get(_sum(book.total(version=version, segment=segment) for book in books))}
            for segment in segments
        ],
        "blocks": _blocks(books, version),
        "reliability": [row and [*row] for row in total.reliability()]
        if isinstance(total, ClassificationMetrics)
        else None,
        "drift": _drift_log(readings, trigger) if score == "churn" else [],
    }


def _names(model: Mapping[str, Any]) -> list[str]:
    """By which a model may be asked for."""
    if model["model"] is None:
        return [model["name"]]
    row = f"churn_{model['trigger']}"
    return [model["name"], f"{row}:{model['version']}", f"{row}:{model['model']}"]


# -- one model -----------------------------------------------------------------------------------------------------


def _churn(readings: Sequence[LaneReading], trigger: str, champion: str | None) -> list[dict[str, Any]]:
    out = []
    for each in contenders(reading.rows for reading in readings):
        shown = each.model == champion
        name = f"churn_{trigger}"
        out.append(
            {
                "name": name if shown else challenger_row(trigger, each.version),
                "score": "churn",
                "trigger": trigger,
                "model": each.model,
                "version": each.version,
                "champion": shown,
                **(_balance(readings, name) if shown else dict.fromkeys(_BALANCE)),
                **_figures(readings, "churn", trigger, each.version),
                "difference": None if shown else _difference(readings, trigger, each.number, champion),
            }
        )
    return out


def _other(readings: Sequence[LaneReading], score: str, trigger: str) -> dict[str, Any]:
    name = f"{score}_{trigger}"
    return {
        "name": name,
        "score": score,
        "trigger": trigger,
        "model": None,
        "version": None,
        "champion": True,
        **_balance(readings, name),
        **_figures(readings, score, trigger, None),
        "difference": None,
    }


def _balance(readings: Sequence[LaneReading], name: str) -> dict[str, int]:
    return {field: sum(int(r.rows.get(name, {}).get(field, 0)) for r in readings) for field in _BALANCE}


def _figures(readings: Sequence[LaneReading], score: str, trigger: str, version: str | None) -> dict[str, Any]:
    all_time, recent = [], []
    for reading in readings:
        watch = reading.watches.get(trigger)
        if watch is not None:
            book = _book(watch, score)
            all_time.append(book.total(version=version))
            recent.append(book.recent(reading.clock, RECENT_MS, version=version))
    return {"all": _get(_sum(all_time)), "recent": _get(_sum(recent))}


def _difference(
    readings: Sequence[LaneReading], trigger: str, number: int, champion: str | None
) -> dict[str, Any] | None:
    """The champion's log-loss less the challenger's, over the lanes that show this champion."""
    compared = PairedLoss("log_loss")
    for reading in readings:
        watch = reading.watches.get(trigger)
        if watch is None or reading.rows.get(f"churn_{trigger}", {}).get("model") != champion:
            continue
        if number < len(watch.paired):
            compared.merge(watch.paired[number])
    n, mean, _, se = compared.get()
    return {"n": n, "mean": mean, "se": se, "verdict": _verdict(n, mean, se)}


def _verdict(n: int, mean: float | None, se: float | None) -> str:
    if n < FEW or mean is None or se is None:
        return "early"
    if abs(mean) <= 2.0 * se:
        return "level"
    return "better" if mean > 0.0 else "worse"


# -- adding up -----------------------------------------------------------------------------------------------------


def _watches(readings: Iterable[LaneReading], trigger: str) -> list[ModelWatch]:
    return [reading.watches[trigger] for reading in readings if trigger in reading.watches]


def _book(watch: ModelWatch, score: str) -> Book:
    books: dict[str, Book] = {"churn": watch.churn, "engagement": watch.engagement, "contact": watch.contact}
    return books[score]


def _sum(parts: Iterable[Sums]) -> Sums | None:
    merged: Sums | None = None
    for part in parts:
        if merged is None:
            merged = part
        else:
            # Both are of one kind: a score is a probability or a count in every lane.
            merged.merge(part)  # type: ignore[arg-type]
    return merged


def _get(sums: Sums | None) -> dict[str, float]:
    return {"n": 0.0} if sums is None else sums.get()


def _blocks(books: Iterable[Book], version: str | None) -> list[dict[str, Any]]:
    """Figures of each 30 d of event time that is kept apart, oldest first."""
    found: dict[int, list[Sums]] = {}
    for book in books:
        for start, sums in book.series(version=version):
            found.setdefault(start, []).append(sums)
    return [{"from": start, **_get(_sum(found[start]))} for start in sorted(found)]


# -- drift ---------------------------------------------------------------------------------------------------------


def _drift_log(readings: Iterable[LaneReading], trigger: str) -> list[dict[str, Any]]:
    """The newest alarm of each lane and signal, the newest first."""
    log = [
        {
            "trigger": trigger,
            "what": what,
            "lane": reading.lane,
            "alarms": n_alarms,
            "at": last.at,
            "before": last.before,
            "after": last.after,
        }
        for reading in readings
        if trigger in reading.watches
        for what, (n_alarms, last) in reading.watches[trigger].drift.alarms().items()
        if last is not None
    ]
    return sorted(log, key=lambda each: (-each["at"], each["what"], each["lane"]))


def _drift(readings: Sequence[LaneReading]) -> list[dict[str, Any]]:
    """Alarms of all lanes by trigger and signal, the newest first; `near` are the lanes of the newest one."""
    out = []
    for trigger in TRIGGERS:
        log = _drift_log(readings, trigger)
        for what in Counter(each["what"] for each in log):
            mine = [each for each in log if each["what"] == what]
            newest = mine[0]
            near = [each for each in mine if newest["at"] - each["at"] <= NEAR_MS]
            out.append(
                {
                    "trigger": trigger,
                    "what": what,
                    "alarms": sum(each["alarms"] for each in mine),
                    "lanes": len(mine),
                    "near": len(near),
                    "at": newest["at"],
                    "before": sum(each["before"] for each in near) / len(near),
                    "after": sum(each["after"] for each in near) / len(near),
                }
            )
    return sorted(out, key=lambda each: (-each["at"], each["trigger"], each["what"]))
