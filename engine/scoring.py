"""The learners of one lane: predict first, learn when the label has matured, keep count.

Event landmarks and silence landmarks have learners of their own: in one learner, silence examples cost 0.029 log-loss
on CollegeMsg (docs/learning.md). Of several churn models one is shown, the champion; all learn.
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, Final, NamedTuple

import msgspec

from engine.catalogue import CATALOGUE, PLACE
from engine.contenders import BLEND, challenger
from engine.duration import DAY_MS
from engine.errors import CorruptState
from engine.landmarks import TRIGGERS, Landmark, Windows
from engine.model_rows import model_rows
from engine.model_watch import DriftAlarm, ModelWatch, segment_name
from engine.reasons import reasons
from engine.scores import Scores
from models.base import Classifier, Regressor
from models.blend import Blend
from models.contact import ContactModel
from models.dense_logistic import DenseLogistic
from models.dense_poisson import DensePoisson
from models.errors import SnapshotError
from models.exchange import Sharer
from models.metrics import ClassificationMetrics, CountMetrics
from models.nbd import silence_logit

__all__ = ["LABELS", "LEARNERS", "LaneModels", "Scored"]

LEARNERS = ("dense", "river")
"""Which code does the arithmetic of the plain learners: `dense` is ours, `river` is River's own. The same numbers to
the bit (a test says so); the first is many times faster."""

LABELS: Final = ("churn", "engagement", "contact")
"""What is learned of a landmark."""

_N: Final = len(CATALOGUE)
_MEMBERS: Final = struct.Struct("<2f")
_N_ACTS, _TENURE, _RATE = PLACE["n"], PLACE["tenure"], PLACE["rate"]
_REQUESTS, _COMPLAINTS = PLACE["requests_30d"], PLACE["complaints_30d"]
_LN2: Final = math.log(2.0)


def _learners(learner: str) -> tuple[type[Classifier], type[Regressor]]:
    if learner == "dense":
        return DenseLogistic, DensePoisson
    # Importing River takes seconds; who does not use its code should not wait for it.
    from models.logistic import Logistic
    from models.poisson import Poisson

    return Logistic, Poisson


@cache
def _stored_names(trigger: int, parts: tuple[str, ...]) -> dict[str, None]:
    """Names under which parts of a trigger are stored."""
    return dict.fromkeys(f"{TRIGGERS[trigger]}.{part}" for part in parts)


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

    def __init__(self, trigger: str, learner: str, n_pieces: int, challengers: Sequence[str]) -> None:
        plain, poisson = _learners(learner)
        self.churn = Blend(_N, n_pieces, prior_place=_RATE, plain=plain)
        self.challengers = [challenger(name) for name in challengers]
        self.engagement: Regressor = poisson(_N)
        self.contact = ContactModel(_N)
        self.watch = ModelWatch(trigger, len(challengers))
        self.taken = 0
        self.learned = dict.fromkeys(LABELS, 0)
        self.erased = dict.fromkeys(LABELS, 0)

    @property
    def versions(self) -> list[str]:
        """Of the churn models, the built-in one first."""
        return [self.churn.version, *(c.version for c in self.challengers)]

    def parts(self) -> dict[str, Callable[[], bytes]]:
        """What makes each part of the snapshot; a few kB each, so that a batch stores only those that it moved."""
        return {
            "counts": self._counts,
            "engagement": self.engagement.snapshot,
            **{f"churn.{name}": make for name, make in self.churn.parts().items()},
            **{f"contact.{name}": make for name, make in self.contact.parts().items()},
        }

    def sharers(self) -> dict[str, Sharer]:
        """What takes part in exchanges, by the names of `parts`; challengers do not."""
        engagement: Any = self.engagement
        return {
            **({"engagement": engagement} if isinstance(engagement, Sharer) else {}),
            **{f"churn.{name}": each for name, each in self.churn.sharers().items()},
            **{f"contact.{name}": each for name, each in self.contact.sharers().items()},
        }

    def _counts(self) -> bytes:
        return msgspec.msgpack.encode([self.taken, list(self.learned.values()), list(self.erased.values())])


class LaneModels:
    """Churn, engagement and contact of a lane, for events and for silence.

    Parameters
    ----------
    windows
        When labels are known.
    learner
        One of `LEARNERS`.
    challengers
        Churn models that learn beside the built-in one, see `engine.contenders`.
    champion
        Name of the churn model that is shown at first; `promote` changes it.

    Attributes
    ----------
    alarms
        Drift alarms of the batch.

    Examples
    --------
    >>> models = LaneModels(Windows((30 * DAY_MS,), 7 * DAY_MS, 7 * DAY_MS))
    >>> models.predict(0, [0.0] * len(CATALOGUE)).engagement
    0.0
    """

    def __init__(
        self, windows: Windows, learner: str = "dense", challengers: Sequence[str] = (), champion: str = BLEND
    ) -> None:
        self._windows = windows
        self._horizon_d = windows.churn / DAY_MS
        self._edges_d = [edge / DAY_MS for edge in windows.edges]
        self._contact_d = windows.contact / DAY_MS
        self.contenders = (BLEND, *challengers)
        self._champion = self.contenders.index(champion)
        self._previous: str | None = None
        self._channels = [_Channel(trigger, learner, len(windows.edges), challengers) for trigger in TRIGGERS]
        self._rivals = struct.Struct(f"<{len(self.contenders)}f") if challengers else None
        self._changed: dict[str, None] = {}
        self.alarms: list[DriftAlarm] = []

    @property
    def version(self) -> str:
        """Name of the recipe of the churn model that is shown."""
        return self._channels[0].versions[self._champion]

    @property
    def champion(self) -> str:
        """Name of the churn model that is shown."""
        return self.contenders[self._champion]

    def promote(self, name: str) -> bool:
        """Show another churn model from now on, by its name or version; whether there is one that was not shown yet."""
        versions = self._channels[0].versions
        names = self.contenders if name in self.contenders else versions
        if name not in names or (place := names.index(name)) == self._champion:
            return False
        self._previous, self._champion = self.champion, place
        self._changed["champion"] = None
        for i, channel in enumerate(self._channels):
            channel.watch.begin_comparison()
            self._change(i, "counts")
        return True

    def roll_back(self) -> bool:
        """Show the churn model again that was shown before this one; whether there was one. Twice is back again."""
        return self._previous is not None and self.promote(self._previous)

    # -- predicting --------------------------------------------------------------------------------------------

    def predict(self, trigger: int, x: Sequence[float]) -> Scores:
        """The scores from what was learned so far."""
        return self.explain(trigger, x).scores

    def explain(self, trigger: int, x: Sequence[float]) -> Scored:
        """The scores, and the reasons of the churn score, in one pass."""
        channel = self._channels[trigger]
        (p, members), bias, terms = channel.churn.explain(x, self._priors(x))
        rivals: tuple[float, ...] = ()
        if self._rivals is not None:
            all_p = [p, *(c.predict(x) for c in channel.challengers)]
            p = all_p[self._champion]
            rivals = self._rivals.unpack(self._rivals.pack(*all_p))
            if self._champion:
                bias, terms = channel.challengers[self._champion - 1].explain(x)
        engagement = channel.engagement.predict_one(x)
        contact = channel.contact.predict(x, self._contact_prior(x))
        # In the precision in which they wait for the label, so that it is the same whether they were stored meanwhile.
        scores = Scores(p, engagement, contact, _MEMBERS.unpack(_MEMBERS.pack(*members)), rivals)
        return Scored(scores, [[r.code, r.weight] for r in reasons(bias, terms)])

    def landmark(self, at: int, trigger: int, x: list[float], scores: Scores) -> Landmark:
        """An example of what was predicted."""
        return Landmark(at, trigger, x, scores, self._champion)

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
        return (math.expm1(x[_REQUESTS]) + math.expm1(x[_COMPLAINTS])) * self._contact_d * _LN2 / 30.0

    # -- learning ----------------------------------------------------------------------------------------------

    def take(self, mark: Landmark) -> None:
        """Count an example taken, and watch what it was predicted on."""
        channel = self._channels[mark.trigger]
        channel.taken += 1
        self.alarms += channel.watch.predicted(mark, channel.taken)
        self._change(mark.trigger, "counts")

    def learn_piece(self, mark: Landmark) -> None:
        """Learn the piece of the churn window that has passed, of those who were silent until it began."""
        channel, edges, piece = self._channels[mark.trigger], self._windows.edges, mark.n_pieces_done
        if piece == 0 or mark.silent(edges[piece - 1]):
            channel.churn.learn_piece(piece, mark.x, mark.silent(edges[piece]))
            self._change(mark.trigger, f"churn.{piece}")
            if piece == 0:
                self._change(mark.trigger, "churn.scaler")

    def learn_churn(self, mark: Landmark, segment: str | None, cluster: int) -> None:
        """Learn the churn label of an example whose window has passed; segment and cluster are the customer's."""
        channel, x, churned = self._channels[mark.trigger], mark.x, mark.churned
        self.alarms += channel.watch.matured(mark, channel.versions, self._champion, segment, cluster)
        channel.churn.learn_end(x, churned, mark.scores.members)
        for each in channel.challengers:
            each.learn(x, churned)
        channel.learned["churn"] += 1
        self._change(mark.trigger, "churn.plain", "churn.mixture", "counts")

    def learn_engagement(self, mark: Landmark, segment: str | None) -> None:
        """Learn the engagement label of an example whose window has passed."""
        channel = self._channels[mark.trigger]
        channel.watch.engagement.update(
            mark.scores.engagement, mark.n_engaged, at=mark.at, version=channel.engagement.version,
            segment=segment_name(segment),
        )  # fmt: skip
        channel.engagement.learn_one(mark.x, float(mark.n_engaged))
        channel.learned["engagement"] += 1
        self._change(mark.trigger, "engagement", "counts")

    def learn_contact(self, mark: Landmark, segment: str | None) -> None:
        """Learn the contact label of an example whose window has passed."""
        channel = self._channels[mark.trigger]
        channel.watch.contact.update(
            mark.scores.contact, mark.contacted, at=mark.at, version=channel.contact.version,
            segment=segment_name(segment),
        )  # fmt: skip
        channel.contact.learn(mark.x, mark.contacted)
        channel.learned["contact"] += 1
        self._change(mark.trigger, "contact.scaler", "contact.0", "counts")

    def erase(self, mark: Landmark) -> None:
        """Count an example that is given up because its customer is erased."""
        erased = self._channels[mark.trigger].erased
        erased["churn"] += not mark.is_churn_done(self._windows)
        erased["engagement"] += not mark.engagement_done
        erased["contact"] += not mark.contact_done
        self._change(mark.trigger, "counts")

    def sharers(self) -> dict[str, Sharer]:
        """What takes part in exchanges with other lanes (`engine.sharing`), by the names under which it is stored."""
        return {
            f"{trigger}.{name}": each
            for trigger, channel in zip(TRIGGERS, self._channels, strict=True)
            for name, each in channel.sharers().items()
        }

    def adopted(self, names: Iterable[str]) -> None:
        """Note that these have learned from other lanes."""
        self._changed.update(dict.fromkeys(names))

    def _change(self, trigger: int, *parts: str) -> None:
        self._changed.update(_stored_names(trigger, parts))

    # -- telling -----------------------------------------------------------------------------------------------

    def balance(self) -> dict[str, dict[str, int]]:
        """Per trigger: examples taken, learned and erased of each label; what is missing to `taken` is pending."""
        return {
            TRIGGERS[i]: {
                "taken": c.taken,
                **{f"{label}_learned": c.learned[label] for label in LABELS},
                **{f"{label}_erased": c.erased[label] for label in LABELS},
            }
            for i, c in enumerate(self._channels)
        }

    def n_learned(self, trigger: int, score: str) -> int:
        """Labels that the learner of `churn`, `engagement` or `contact` has seen."""
        return self._channels[trigger].learned[score]

    def watch(self, trigger: int) -> ModelWatch:
        """Metrics by version, segment and time, comparisons and drift of one trigger."""
        return self._channels[trigger].watch

    def versions(self, trigger: int) -> list[str]:
        """Of the churn models, in the order of `contenders`."""
        return self._channels[trigger].versions

    def metrics(self, trigger: int) -> tuple[ClassificationMetrics, CountMetrics, ClassificationMetrics]:
        """Progressive metrics of the churn model that is shown, of engagement and contact, of one trigger."""
        channel = self._channels[trigger]
        watch = channel.watch
        version = channel.versions[self._champion]
        return watch.churn.total(version=version), watch.engagement.total(), watch.contact.total()

    def rows(self, now: int, *, everything: bool = False) -> dict[str, dict[str, str]]:
        """Board rows of the models that changed since the last call of `snapshots`; `now` is the lane clock, ms."""
        changed = set(TRIGGERS) if everything else {name.split(".", 1)[0] for name in self._changed}
        out: dict[str, dict[str, str]] = {}
        for i, c in enumerate(self._channels):
            if TRIGGERS[i] in changed:
                versions = dict(zip(self.contenders, c.versions, strict=True))
                out |= model_rows(c.watch, versions, self.champion, self.balance()[TRIGGERS[i]], now)
        return out

    # -- storing -----------------------------------------------------------------------------------------------

    def snapshots(self) -> dict[str, bytes | None]:
        """Name and bytes of the parts that changed since the last call; `None` deletes a part."""
        out: dict[str, bytes | None] = {}
        makers: dict[str, Callable[[], bytes]] = {"champion": self._champion_part}
        for trigger, channel in zip(TRIGGERS, self._channels, strict=True):
            makers |= {f"{trigger}.{part}": make for part, make in channel.parts().items()}
        for name in sorted(self._changed):
            out[name] = makers[name]()
        self._changed.clear()
        for trigger, channel in zip(TRIGGERS, self._channels, strict=True):
            out |= {f"{trigger}.watch.{part}": data for part, data in channel.watch.changed().items()}
            for number, each in enumerate(channel.challengers):
                out |= {f"{trigger}.rival{number}.{part}": data for part, data in each.changes().items()}
        return out

    def _champion_part(self) -> bytes:
        return msgspec.msgpack.encode([self.champion, self._previous])

    def restore(self, snapshots: Mapping[str, bytes]) -> None:
        """Take over what `snapshots` gave, all of its calls together.

        Raises
        ------
        CorruptState
            If a snapshot is damaged or of another schema.
        """
        try:
            if "champion" in snapshots:
                champion, self._previous = msgspec.msgpack.decode(snapshots["champion"])
                self._champion = self.contenders.index(champion)
            for trigger, channel in zip(TRIGGERS, self._channels, strict=True):
                begin = f"{trigger}."
                _restore(channel, {n[len(begin) :]: data for n, data in snapshots.items() if n.startswith(begin)})
        except (SnapshotError, msgspec.DecodeError, ValueError, TypeError, LookupError) as error:
            raise CorruptState(
                f"models: expected snapshots that this henji wrote, got {error}; restore the ledger from a backup or "
                "replay the log into a new one"
            ) from error

    def digest(self) -> bytes:
        """SHA-256 of all that was learned."""
        sha = hashlib.sha256(self._champion_part())
        for channel in self._channels:
            parts = {name: make() for name, make in channel.parts().items()}
            parts |= {f"watch.{part}": data for part, data in channel.watch.snapshot().items()}
            parts |= {f"rival{number}": each.snapshot() for number, each in enumerate(channel.challengers)}
            for name in sorted(parts):
                sha.update(f"{name}\0".encode() + parts[name])
        return sha.digest()


def _restore(channel: _Channel, parts: Mapping[str, bytes]) -> None:
    """Take over the parts of one trigger."""

    def under(begin: str) -> dict[str, bytes]:
        return {name[len(begin) :]: data for name, data in parts.items() if name.startswith(begin)}

    channel.churn.restore(under("churn."))
    channel.contact.restore(under("contact."))
    channel.watch.restore(under("watch."))
    for number, each in enumerate(channel.challengers):
        each.restore(under(f"rival{number}."))
    if "engagement" in parts:
        channel.engagement = type(channel.engagement).restore(parts["engagement"])
    if "counts" in parts:
        channel.taken, learned, erased = msgspec.msgpack.decode(parts["counts"])
        channel.learned = dict(zip(LABELS, learned, strict=True))
        channel.erased = dict(zip(LABELS, erased, strict=True))
