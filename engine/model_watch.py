"""How good the scores of one trigger are, and whether the world has changed under them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final, NamedTuple

from engine.catalogue import PLACE
from engine.landmarks import Landmark
from models.drift import PREDICTION, RESIDUAL, DriftMonitor, Signal
from models.errors import SnapshotForeign
from models.metric_book import NAME_LENGTH, MetricBook
from models.metrics import ClassificationMetrics, CountMetrics
from models.paired import PairedLoss

__all__ = [
    "DRIFT_FEATURES",
    "FEATURES_EVERY",
    "NO_SEGMENT",
    "RECENT_MS",
    "DriftAlarm",
    "ModelWatch",
    "cluster_of",
    "segment_name",
]

DRIFT_FEATURES: Final = ("n_30d", "gap_mean", "tenure", "value_mean", "requests_30d", "complaints_30d", "received_1d")
"""Features whose means are watched: how often, in which rhythm, for how long, for how much; service and answers."""

FEATURES_EVERY: Final = 4
"""Of so many examples one is looked at for drift of the features: they move slowly, and there are many of them."""

NO_SEGMENT: Final = "-"
"""Segment of customers of whom none is known, and of challengers, which are not told apart by segment."""

RECENT_MS: Final = 90 * 86_400_000
"""Metrics of late are those of predictions made in so much event time, ms."""

# Features are logarithms or shares: none leaves this range, and a quarter of a nat is a change of 28 %.
_FEATURE_LIMIT: Final = 14.0
_FEATURE_CHANGE: Final = 0.25
_SIGNALS: Final = (
    PREDICTION,
    RESIDUAL,
    *(Signal(name, -_FEATURE_LIMIT, _FEATURE_LIMIT, _FEATURE_CHANGE) for name in DRIFT_FEATURES),
)
_PLACES: Final = tuple((name, PLACE[name]) for name in DRIFT_FEATURES)


class DriftAlarm(NamedTuple):
    """The mean of something that a model lives on has changed; for operators.

    Parameters
    ----------
    trigger
        `event` or `silence`.
    what
        `prediction`, `residual` or a feature.
    at
        Event time, ms, at which it was sure.
    before, after
        The mean.
    """

    trigger: str
    what: str
    at: int
    before: float
    after: float


class ModelWatch:
    """Progressive metrics of churn, engagement and contact, comparisons and drift, of one trigger.

    Parameters
    ----------
    trigger
        Its name.
    n_challengers
        Churn models beside the one that is shown.

    Attributes
    ----------
    kept
        What was read of the books for the board, by label and version, and at which revision: most batches change few
        of them, and to read all takes milliseconds.
    """

    def __init__(self, trigger: str, n_challengers: int) -> None:
        self.trigger = trigger
        self.churn: MetricBook[ClassificationMetrics] = MetricBook(ClassificationMetrics)
        self.engagement: MetricBook[CountMetrics] = MetricBook(CountMetrics)
        self.contact: MetricBook[ClassificationMetrics] = MetricBook(ClassificationMetrics)
        self.paired = [PairedLoss("log_loss") for _ in range(n_challengers + 1)] if n_challengers else []
        self.drift = DriftMonitor(_SIGNALS)
        self.kept: dict[tuple[str, str | None], tuple[object, dict[str, str]]] = {}
        self._paired_changed = False

    def predicted(self, mark: Landmark, number: int) -> list[DriftAlarm]:
        """Watch what was predicted, and on what; `number` counts the examples taken."""
        alarms = [self.drift.update("prediction", mark.scores.churn, mark.at)]
        if number % FEATURES_EVERY == 0:
            x = mark.x
            for name, place in _PLACES:
                alarms.append(self.drift.update(name, x[place], mark.at))
        return [DriftAlarm(self.trigger, a.what, a.at, a.before, a.after) for a in alarms if a is not None]

    def matured(
        self, mark: Landmark, versions: list[str], champion: int, segment: str | None, cluster: int
    ) -> list[DriftAlarm]:
        """Count the churn predictions of a landmark whose label is known.

        Parameters
        ----------
        mark
            The landmark.
        versions
            Of the contenders, in their order.
        champion
            Number of the one that is shown by now, with which the others are compared, also on landmarks from before.
        segment
            Of the customer.
        cluster
            See `cluster_of`.
        """
        y, shown = mark.churned, mark.champion
        scores = mark.scores
        self.churn.update(scores.churn, y, at=mark.at, version=versions[shown], segment=segment_name(segment))
        for number, p in enumerate(scores.rivals):
            if number != shown:
                self.churn.update(p, y, at=mark.at, version=versions[number], segment=NO_SEGMENT)
            if number != champion:
                self.paired[number].update(scores.rivals[champion], p, y, cluster=cluster)
                self._paired_changed = True
        alarm = self.drift.update("residual", y - scores.churn, mark.at)
        return [] if alarm is None else [DriftAlarm(self.trigger, alarm.what, alarm.at, alarm.before, alarm.after)]

    def begin_comparison(self) -> None:
        """Compare anew: another model is shown from now on."""
        self.paired = [PairedLoss("log_loss") for _ in self.paired]
        self._paired_changed = bool(self.paired)

    # -- storing -----------------------------------------------------------------------------------------------

    def changed(self) -> dict[str, bytes]:
        """Name and bytes of each part that changed since the last call."""
        out: dict[str, bytes] = {}
        for name, book in self.books().items():
            out |= {f"{name}/{part}": data for part, data in book.changed().items()}
        out |= {f"drift/{part}": data for part, data in self.drift.changed().items()}
        if self._paired_changed:
            out |= {f"paired/{number}": one.snapshot() for number, one in enumerate(self.paired)}
            self._paired_changed = False
        return out

    def snapshot(self) -> dict[str, bytes]:
        """All parts."""
        out: dict[str, bytes] = {}
        for name, book in self.books().items():
            out |= {f"{name}/{part}": data for part, data in book.snapshot().items()}
        out |= {f"drift/{part}": data for part, data in self.drift.snapshot().items()}
        return out | {f"paired/{number}": one.snapshot() for number, one in enumerate(self.paired)}

    def restore(self, parts: Mapping[str, bytes]) -> None:
        """Take over the newest bytes of every part.

        Raises
        ------
        SnapshotError
            If a part is missing, damaged or of other models.
        """
        by_book: dict[str, dict[str, bytes]] = {}
        for name, data in parts.items():
            book, _, part = name.partition("/")
            by_book.setdefault(book, {})[part] = data
        self.kept.clear()
        if "churn" in by_book:
            self.churn = MetricBook.restore(ClassificationMetrics, by_book["churn"])
        if "engagement" in by_book:
            self.engagement = MetricBook.restore(CountMetrics, by_book["engagement"])
        if "contact" in by_book:
            self.contact = MetricBook.restore(ClassificationMetrics, by_book["contact"])
        if "drift" in by_book:
            self.drift = DriftMonitor.restore(_SIGNALS, by_book["drift"])
        paired = by_book.get("paired", {})
        if len(paired) not in (0, len(self.paired)):
            raise SnapshotForeign(f"paired: expected {len(self.paired)} comparisons, got {len(paired)}")
        for number in range(len(paired)):
            self.paired[number] = PairedLoss.restore(paired[str(number)])

    def books(self) -> dict[str, MetricBook[ClassificationMetrics] | MetricBook[CountMetrics]]:
        """The books by label."""
        return {"churn": self.churn, "engagement": self.engagement, "contact": self.contact}


def segment_name(segment: str | None) -> str:
    """The segment as metrics know it."""
    return (segment or NO_SEGMENT)[:NAME_LENGTH]


def cluster_of(customer_id: str) -> int:
    """A number of the customer that is even over any power of two and the same in every run."""
    return hashlib.blake2b(customer_id.encode(), digest_size=2).digest()[0]
