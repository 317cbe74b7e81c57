"""The learners of one lane: predict first, learn when the label has matured, keep count.

Event landmarks and silence landmarks have learners of their own: in one learner, silence examples cost 0.029 log-loss
on CollegeMsg (docs/learning.md).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import msgspec

from engine.errors import CorruptState
from engine.features import FEATURES
from engine.landmarks import TRIGGERS, Landmark
from engine.reasons import reasons
from models.base import Classifier, Regressor
from models.dense_logistic import DenseLogistic
from models.dense_poisson import DensePoisson
from models.errors import SnapshotError
from models.metrics import ClassificationMetrics, CountMetrics

__all__ = ["LEARNERS", "LaneModels"]

LEARNERS = ("dense", "river")
"""Which code does the arithmetic: `dense` is ours, `river` is River's own. The same numbers to the bit (a test says
so); the first is three times faster."""


def _learners(learner: str) -> tuple[type[Classifier], type[Regressor]]:
    if learner == "dense":
        return DenseLogistic, DensePoisson
    # Importing River takes seconds; who does not use its code should not wait for it.
    from models.logistic import Logistic
    from models.poisson import Poisson

    return Logistic, Poisson


class _Channel:
    """Learners of one trigger, their metrics, and the label ledger."""

    def __init__(self, learner: str) -> None:
        n = len(FEATURES)
        logistic, poisson = _learners(learner)
        self.churn: Classifier = logistic(n)
        self.engagement: Regressor = poisson(n)
        self.churn_metrics = ClassificationMetrics()
        self.engagement_metrics = CountMetrics()
        self.taken = 0
        self.churn_learned = 0
        self.engagement_learned = 0
        self.churn_erased = 0
        self.engagement_erased = 0


class LaneModels:
    """Churn and engagement of a lane, for events and for silence.

    Parameters
    ----------
    learner
        One of `LEARNERS`.

    Examples
    --------
    >>> models = LaneModels()
    >>> models.predict(0, [0.0] * len(FEATURES))
    (0.5, 0.0)
    """

    def __init__(self, learner: str = "dense") -> None:
        self._channels = [_Channel(learner) for _ in TRIGGERS]
        self._changed: set[int] = set()

    @property
    def version(self) -> str:
        """Name of the recipe of the models."""
        return self._channels[0].churn.version

    def predict(self, trigger: int, x: Sequence[float]) -> tuple[float, float]:
        """Churn probability and expected engagement from what was learned so far."""
        channel = self._channels[trigger]
        return channel.churn.predict_proba_one(x), channel.engagement.predict_one(x)

    def explain(self, trigger: int, x: Sequence[float]) -> tuple[float, float, list[list[Any]]]:
        """Both scores and the reasons of the churn score in one pass; the same as `predict` and `reasons`."""
        channel = self._channels[trigger]
        churn, bias, terms = channel.churn.explain(x)
        return churn, channel.engagement.predict_one(x), [[r.code, r.weight] for r in reasons(bias, terms)]

    def reasons(self, trigger: int, x: Sequence[float]) -> list[list[Any]]:
        """Why the churn score is what it is: at most four of [code, weight]; with the bias they add up to the logit.

        The bias is the score of the average customer, on the logit scale: logit(churn) less the weights.
        """
        _, bias, terms = self._channels[trigger].churn.explain(x)
        return [[r.code, r.weight] for r in reasons(bias, terms)]

    def take(self, trigger: int) -> None:
        """Count an example taken."""
        self._channels[trigger].taken += 1
        self._changed.add(trigger)

    def learn_engagement(self, mark: Landmark) -> None:
        """Learn the engagement label of an example whose window has passed."""
        channel = self._channels[mark.trigger]
        channel.engagement_metrics.update(mark.engagement, mark.n_engaged)
        channel.engagement.learn_one(mark.x, float(mark.n_engaged))
        channel.engagement_learned += 1
        self._changed.add(mark.trigger)

    def learn_churn(self, mark: Landmark) -> None:
        """Learn the churn label of an example whose window has passed."""
        channel = self._channels[mark.trigger]
        channel.churn_metrics.update(mark.churn, mark.churned)
        channel.churn.learn_one(mark.x, mark.churned)
        channel.churn_learned += 1
        self._changed.add(mark.trigger)

    def erase(self, mark: Landmark) -> None:
        """Count an example that is given up because its customer is erased."""
        channel = self._channels[mark.trigger]
        channel.churn_erased += not mark.churn_done
        channel.engagement_erased += not mark.engagement_done
        self._changed.add(mark.trigger)

    def balance(self) -> dict[str, dict[str, int]]:
        """Per trigger: examples taken, learned and erased of each label; what is missing to `taken` is pending."""
        return {
            TRIGGERS[i]: {
                "taken": c.taken,
                "churn_learned": c.churn_learned,
                "churn_erased": c.churn_erased,
                "engagement_learned": c.engagement_learned,
                "engagement_erased": c.engagement_erased,
            }
            for i, c in enumerate(self._channels)
        }

    def n_learned(self, trigger: int, score: str) -> int:
        """Labels that the learner of `churn` or `engagement` has seen."""
        channel = self._channels[trigger]
        return channel.churn_learned if score == "churn" else channel.engagement_learned

    def metrics(self, trigger: int) -> tuple[ClassificationMetrics, CountMetrics]:
        """Progressive metrics of one trigger."""
        channel = self._channels[trigger]
        return channel.churn_metrics, channel.engagement_metrics

    def rows(self) -> dict[str, dict[str, str]]:
        """Board rows of the models that changed since the last call of `snapshots`."""
        out: dict[str, dict[str, str]] = {}
        for i in sorted(self._changed):
            channel, trigger = self._channels[i], TRIGGERS[i]
            out[f"churn_{trigger}"] = _row(channel.churn_metrics.get(), channel.churn.version, channel.taken)
            out[f"engagement_{trigger}"] = _row(
                channel.engagement_metrics.get(), channel.engagement.version, channel.taken
            )
        return out

    def snapshots(self) -> dict[str, bytes]:
        """Snapshots of the triggers that changed since the last call."""
        out = {TRIGGERS[i]: self._snapshot(i) for i in sorted(self._changed)}
        self._changed.clear()
        return out

    def _snapshot(self, trigger: int) -> bytes:
        c = self._channels[trigger]
        counts = [c.taken, c.churn_learned, c.engagement_learned, c.churn_erased, c.engagement_erased]
        parts = [
            c.churn.snapshot(),
            c.engagement.snapshot(),
            c.churn_metrics.snapshot(),
            c.engagement_metrics.snapshot(),
        ]
        return msgspec.msgpack.encode([1, counts, parts])

    def restore(self, snapshots: dict[str, bytes]) -> None:
        """Take over what `snapshots` gave.

        Raises
        ------
        CorruptState
            If a snapshot is damaged or of another schema.
        """
        for name, data in snapshots.items():
            if name not in TRIGGERS:
                continue
            channel = self._channels[TRIGGERS.index(name)]
            try:
                schema, counts, parts = msgspec.msgpack.decode(data)
                if schema != 1:
                    raise CorruptState(f"model {name}: expected schema 1, got {schema}; use the henji that wrote it")
                channel.churn = type(channel.churn).restore(parts[0])
                channel.engagement = type(channel.engagement).restore(parts[1])
                channel.churn_metrics = ClassificationMetrics.restore(parts[2])
                channel.engagement_metrics = CountMetrics.restore(parts[3])
            except (SnapshotError, msgspec.DecodeError, ValueError, TypeError) as error:
                raise CorruptState(
                    f"model {name}: expected a snapshot that this henji wrote, got {error}; restore the ledger from a "
                    "backup or replay the log into a new one"
                ) from error
            (
                channel.taken,
                channel.churn_learned,
                channel.engagement_learned,
                channel.churn_erased,
                channel.engagement_erased,
            ) = counts

    def digest(self) -> bytes:
        """SHA-256 of all that was learned."""
        sha = hashlib.sha256()
        for i in range(len(TRIGGERS)):
            sha.update(self._snapshot(i))
        return sha.digest()


def _row(figures: dict[str, float], version: str, taken: int) -> dict[str, str]:
    row = {name: format(value, ".6g") for name, value in figures.items()}
    return {**row, "version": version, "taken": str(taken)}
