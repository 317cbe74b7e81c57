"""The learners of one lane: predict first, learn when the label has matured, keep count.

Event landmarks and silence landmarks have learners of their own: in one learner, silence examples cost 0.029 log-loss
on CollegeMsg (docs/learning.md).
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from engine.catalogue import CATALOGUE, PLACE
from engine.duration import DAY_MS
from engine.errors import CorruptState
from engine.landmarks import TRIGGERS, Landmark, Windows
from engine.reasons import reasons
from engine.scores import Scores
from models.base import Classifier, Regressor
from models.blend import Blend
from models.contact import ContactModel
from models.dense_logistic import DenseLogistic
from models.dense_poisson import DensePoisson
from models.errors import SnapshotError
from models.metrics import ClassificationMetrics, CountMetrics
from models.nbd import silence_logit

__all__ = ["LEARNERS", "LaneModels", "Scored"]

LEARNERS = ("dense", "river")
"""Which code does the arithmetic: `dense` is ours, `river` is River's own. The same numbers to the bit (a test says
so); the first is many times faster."""

_LABELS: Final = ("churn", "engagement", "contact")
_N: Final = len(CATALOGUE)
_MEMBERS: Final = struct.Struct("<2f")
_N_ACTS, _TENURE, _RATE = PLACE["n"], PLACE["tenure"], PLACE["rate"]
_REQUESTS, _COMPLAINTS = PLACE["requests_30d"], PLACE["complaints_30d"]


def _learners(learner: str) -> tuple[type[Classifier], type[Regressor]]:
    if learner == "dense":
        return DenseLogistic, DensePoisson
    # Importing River takes seconds; who does not use its code should not wait for it.
    from models.logistic import Logistic
    from models.poisson import Poisson

    return Logistic, Poisson


class Scored(NamedTuple):
    """Scores and why the churn score is what it is.

    Parameters
    ----------
    scores
        As predicted.
    reasons
        At most four of [code, weight]; with the bias they add up to the logit of the churn score.
    """

    scores: Scores
    reasons: list[list[Any]]


class _Channel:
    """Learners of one trigger, their metrics, and the label ledger."""

    def __init__(self, learner: str, n_pieces: int) -> None:
        plain, poisson = _learners(learner)
        self.churn = Blend(_N, n_pieces, prior_place=_RATE, plain=plain)
        self.engagement: Regressor = poisson(_N)
        self.contact = ContactModel(_N)
        self.churn_metrics = ClassificationMetrics()
        self.engagement_metrics = CountMetrics()
        self.contact_metrics = ClassificationMetrics()
        self.taken = 0
        self.learned = dict.fromkeys(_LABELS, 0)
        self.erased = dict.fromkeys(_LABELS, 0)


class LaneModels:
    """Churn, engagement and contact of a lane, for events and for silence.

    Parameters
    ----------
    windows
        When labels are known.
    learner
        One of `LEARNERS`.

    Examples
    --------
    >>> models = LaneModels(Windows((30 * DAY_MS,), 7 * DAY_MS, 7 * DAY_MS))
    >>> models.predict(0, [0.0] * len(CATALOGUE)).engagement
    0.0
    """

    def __init__(self, windows: Windows, learner: str = "dense") -> None:
        self._windows = windows
        self._horizon_d = windows.churn / DAY_MS
        self._edges_d = [edge / DAY_MS for edge in windows.edges]
        self._contact_d = windows.contact / DAY_MS
        self._channels = [_Channel(learner, len(windows.edges)) for _ in TRIGGERS]
        self._changed: dict[str, None] = {}

    @property
    def version(self) -> str:
        """Name of the recipe of the models."""
        return self._channels[0].churn.version

    # -- predicting --------------------------------------------------------------------------------------------

    def predict(self, trigger: int, x: Sequence[float]) -> Scores:
        """The scores from what was learned so far."""
        return self.explain(trigger, x).scores

    def explain(self, trigger: int, x: Sequence[float]) -> Scored:
        """The scores, and the reasons of the churn score, in one pass."""
        channel = self._channels[trigger]
        (p, members), bias, terms = channel.churn.explain(x, self._priors(x))
        engagement = channel.engagement.predict_one(x)
        contact = channel.contact.predict(x, self._contact_prior(x))
        # In the precision in which they wait for the label, so that it is the same whether they were stored meanwhile.
        scores = Scores(p, engagement, contact, _MEMBERS.unpack(_MEMBERS.pack(*members)))
        return Scored(scores, [[r.code, r.weight] for r in reasons(bias, terms)])

    def reasons(self, trigger: int, x: Sequence[float]) -> list[list[Any]]:
        """Why the churn score is what it is: at most four of [code, weight]; with the bias they add up to the logit.

        The bias is the score of the average customer, on the logit scale: logit(churn) less the weights.
        """
        return self.explain(trigger, x).reasons

    def _priors(self, x: Sequence[float]) -> list[float]:
        """Logits of silence before anything was learned: through the horizon, then piece by piece."""
        n, tenure = math.expm1(x[_N_ACTS]), math.expm1(x[_TENURE])
        horizon = self._horizon_d
        out, begin = [silence_logit(n, tenure, horizon, 0.0, horizon)], 0.0
        for end in self._edges_d:
            out.append(silence_logit(n, tenure, horizon, begin, end))
            begin = end
        return out

    def _contact_prior(self, x: Sequence[float]) -> float:
        """Contacts that the last month's rate lets expect."""
        return (math.expm1(x[_REQUESTS]) + math.expm1(x[_COMPLAINTS])) * self._contact_d * math.log(2.0) / 30.0

    # -- learning ----------------------------------------------------------------------------------------------

    def take(self, trigger: int) -> None:
        """Count an example taken."""
        self._channels[trigger].taken += 1
        self._change(trigger, "counts")

    def learn_piece(self, mark: Landmark) -> None:
        """Learn the piece of the churn window that has passed, of those who were silent until it began."""
        channel, edges, piece = self._channels[mark.trigger], self._windows.edges, mark.n_pieces_done
        if piece == 0 or mark.silent(edges[piece - 1]):
            channel.churn.learn_piece(piece, mark.x, mark.silent(edges[piece]))
            self._change(mark.trigger, f"churn.{piece}")
            if piece == 0:
                self._change(mark.trigger, "churn.scaler")

    def learn_churn(self, mark: Landmark) -> None:
        """Learn the churn label of an example whose window has passed."""
        channel, scores = self._channels[mark.trigger], mark.scores
        channel.churn_metrics.update(scores.churn, mark.churned)
        channel.churn.learn_end(mark.x, mark.churned, scores.members)
        channel.learned["churn"] += 1
        self._change(mark.trigger, "churn.plain", "churn.mixture", "churn_metrics", "counts")

    def learn_engagement(self, mark: Landmark) -> None:
        """Learn the engagement label of an example whose window has passed."""
        channel = self._channels[mark.trigger]
        channel.engagement_metrics.update(mark.scores.engagement, mark.n_engaged)
        channel.engagement.learn_one(mark.x, float(mark.n_engaged))
        channel.learned["engagement"] += 1
        self._change(mark.trigger, "engagement", "engagement_metrics", "counts")

    def learn_contact(self, mark: Landmark) -> None:
        """Learn the contact label of an example whose window has passed."""
        channel = self._channels[mark.trigger]
        channel.contact_metrics.update(mark.scores.contact, mark.contacted)
        channel.contact.learn(mark.x, mark.contacted)
        channel.learned["contact"] += 1
        self._change(mark.trigger, "contact.scaler", "contact.0", "contact_metrics", "counts")

    def erase(self, mark: Landmark) -> None:
        """Count an example that is given up because its customer is erased."""
        erased = self._channels[mark.trigger].erased
        erased["churn"] += not mark.is_churn_done(self._windows)
        erased["engagement"] += not mark.engagement_done
        erased["contact"] += not mark.contact_done
        self._change(mark.trigger, "counts")

    def _change(self, trigger: int, *parts: str) -> None:
        for part in parts:
            self._changed[f"{TRIGGERS[trigger]}.{part}"] = None

    # -- telling -----------------------------------------------------------------------------------------------

    def balance(self) -> dict[str, dict[str, int]]:
        """Per trigger: examples taken, learned and erased of each label; what is missing to `taken` is pending."""
        return {
            TRIGGERS[i]: {
                "taken": c.taken,
                **{f"{label}_learned": c.learned[label] for label in _LABELS},
                **{f"{label}_erased": c.erased[label] for label in _LABELS},
            }
            for i, c in enumerate(self._channels)
        }

    def n_learned(self, trigger: int, score: str) -> int:
        """Labels that the learner of `churn`, `engagement` or `contact` has seen."""
        return self._channels[trigger].learned[score]

    def metrics(self, trigger: int) -> tuple[ClassificationMetrics, CountMetrics, ClassificationMetrics]:
        """Progressive metrics of churn, engagement and contact of one trigger."""
        channel = self._channels[trigger]
        return channel.churn_metrics, channel.engagement_metrics, channel.contact_metrics

    def rows(self) -> dict[str, dict[str, str]]:
        """Board rows of the models that changed since the last call of `snapshots`."""
        out: dict[str, dict[str, str]] = {}
        changed = {name.split(".", 1)[0] for name in self._changed}
        for i, trigger in enumerate(TRIGGERS):
            if trigger in changed:
                c = self._channels[i]
                out[f"churn_{trigger}"] = _row(c.churn_metrics.get(), c.churn.version, c.taken)
                out[f"engagement_{trigger}"] = _row(c.engagement_metrics.get(), c.engagement.version, c.taken)
                out[f"contact_{trigger}"] = _row(c.contact_metrics.get(), c.contact.version, c.taken)
        return out

    # -- storing -----------------------------------------------------------------------------------------------

    def snapshots(self) -> dict[str, bytes]:
        """Snapshots of the parts that changed since the last call."""
        wanted: dict[str, set[str]] = {}
        for name in self._changed:
            trigger, part = name.split(".", 1)
            wanted.setdefault(trigger, set()).add(part)
        self._changed.clear()
        return {
            f"{trigger}.{part}": data
            for trigger, parts in sorted(wanted.items())
            for part, data in self._parts(TRIGGERS.index(trigger), parts).items()
        }

    def _parts(self, trigger: int, wanted: set[str] | None) -> dict[str, bytes]:
        """The parts of a trigger by name; `None`: all."""
        c = self._channels[trigger]
        makers: dict[str, Any] = {
            "counts": lambda: msgspec.msgpack.encode([c.taken, list(c.learned.values()), list(c.erased.values())]),
            "engagement": c.engagement.snapshot,
            "churn_metrics": c.churn_metrics.snapshot,
            "engagement_metrics": c.engagement_metrics.snapshot,
            "contact_metrics": c.contact_metrics.snapshot,
            **{f"churn.{name}": make for name, make in c.churn.parts().items()},
            **{f"contact.{name}": make for name, make in c.contact.parts().items()},
        }
        return {name: makers[name]() for name in sorted(makers if wanted is None else wanted)}

    def restore(self, snapshots: Mapping[str, bytes]) -> None:
        """Take over what `snapshots` gave, all of its calls together.

        Raises
        ------
        CorruptState
            If a snapshot is damaged or of another schema.
        """
        for number, trigger in enumerate(TRIGGERS):
            parts = {n.split(".", 1)[1]: data for n, data in snapshots.items() if n.startswith(f"{trigger}.")}
            if not parts:
                continue
            try:
                self._restore(number, parts)
            except (SnapshotError, msgspec.DecodeError, ValueError, TypeError, LookupError) as error:
                raise CorruptState(
                    f"model {trigger}: expected snapshots that this henji wrote, got {error}; restore the ledger from "
                    "a backup or replay the log into a new one"
                ) from error

    def _restore(self, trigger: int, parts: Mapping[str, bytes]) -> None:
        c = self._channels[trigger]
        c.churn.restore({n[6:]: data for n, data in parts.items() if n.startswith("churn.")})
        c.contact.restore({n[8:]: data for n, data in parts.items() if n.startswith("contact.")})
        if "engagement" in parts:
            c.engagement = type(c.engagement).restore(parts["engagement"])
            c.engagement_metrics = CountMetrics.restore(parts["engagement_metrics"])
        if "churn_metrics" in parts:
            c.churn_metrics = ClassificationMetrics.restore(parts["churn_metrics"])
        if "contact_metrics" in parts:
            c.contact_metrics = ClassificationMetrics.restore(parts["contact_metrics"])
        if "counts" in parts:
            c.taken, learned, erased = msgspec.msgpack.decode(parts["counts"])
            c.learned = dict(zip(_LABELS, learned, strict=True))
            c.erased = dict(zip(_LABELS, erased, strict=True))

    def digest(self) -> bytes:
        """SHA-256 of all that was learned."""
        sha = hashlib.sha256()
        for i in range(len(TRIGGERS)):
            for name, data in self._parts(i, None).items():
                sha.update(f"{name}\0".encode() + data)
        return sha.digest()


def _row(figures: Mapping[str, float], version: str, taken: int) -> dict[str, str]:
    row = {name: format(value, ".6g") for name, value in figures.items()}
    return {**row, "version": version, "taken": str(taken)}
