"""Which features earn their place? The learners run again over recorded examples with a feature held constant.

    python -m benchmarks.ablation DIR [--log cdnow,...] [--drop n_1d,mood] [--candidates] [--json]
    python -m benchmarks.ablation --simulated [--events 60000] [--days 240] [--seeds 1,2,3] [--candidates] [--json]

DIR holds the four public logs in the event format (docs/events.md), named as in `benchmarks.quality`. A log is
replayed once, in one lane, and every score is recorded with its features, and every label at its place in the stream.
Then all variants learn the recorded stream side by side: one without each feature, without each group, with each
candidate. A feature that is held constant scales to 0, so it takes no part; the prior, which is no feature, keeps what
it reads. With nothing left out the scores are those of the engine (asserted, to 1e-9).

Of a public log the event scores are judged by the protocol of docs/learning.md; of a simulated one all examples whose
label has matured, after the first third of the log, event, silence and contact apart. Printed is the change of log-loss
when a feature is left out (above 0: it helps) in units of 0.0001, in brackets its standard error, customers being the
sample, and the change of AUC (below 0: it helps). Candidates (`benchmarks.candidates`: traits that no model sees, and
others) are printed as if they were left out again. `--drop` adds one variant without all of these.
"""

from __future__ import annotations

import argparse
import gzip
import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from benchmarks.candidates import CANDIDATES, Candidates
from benchmarks.quality import CASES, Case, instances
from engine.catalogue import CATALOGUE, PLACE
from engine.decode import decode
from engine.duration import DAY_MS
from engine.event import Event
from engine.features import GROUPS
from engine.landmarks import EVENT, SILENCE, TRIGGERS, Landmark, Windows
from engine.lane import Lane
from engine.rules import RuleSet
from engine.scores import Scores
from engine.scoring import LaneModels
from engine.settings import ResultSettings
from models.blend import LOGIT_LIMIT, PRIOR_LABELS
from models.mixture import RATE, SCORE_LIMIT
from models.split_window import CLIP_Z, DOUBT, INTERCEPT_LEAK, LEAK, LEAK_EVERY, LOOK_EVERY
from streams.simulate import Campus, SimulationSettings

__all__ = ["Recording", "Variants", "effects", "record", "relearn"]

Numbers = npt.NDArray[np.float64]

_P_MIN: Final = 1e-4


class _Mark(Landmark):
    """A landmark that knows its number in the recording."""

    __slots__ = ("number",)

    number: int


PREDICT, PIECE, END, CONTACT = range(4)
"""What happens in a recorded stream."""


@dataclass(slots=True)
class Recording:
    """All scores of a replay, and all that was learned, in order.

    Attributes
    ----------
    x, at, customer, event_id, trigger
        Of each score. `x` has the features, then the candidates.
    priors, contact_prior
        What the models begin with, of each score.
    p, contact
        The engine's own predictions.
    churned, contacted
        Labels, -1 where none has matured or none was taken.
    steps
        Per trigger: (what, number of the score, piece, label).
    """

    windows: Windows
    x: list[list[float]] = field(default_factory=list)
    at: list[int] = field(default_factory=list)
    customer: list[str] = field(default_factory=list)
    event_id: list[str | None] = field(default_factory=list)
    trigger: list[int] = field(default_factory=list)
    priors: list[list[float]] = field(default_factory=list)
    contact_prior: list[float] = field(default_factory=list)
    p: list[float] = field(default_factory=list)
    contact: list[float] = field(default_factory=list)
    churned: list[int] = field(default_factory=list)
    contacted: list[int] = field(default_factory=list)
    steps: tuple[list[tuple[int, int, int, bool]], ...] = field(default_factory=lambda: ([], []))


class _RecordingModels(LaneModels):
    """The engine's models, that note what they are asked and told."""

    def __init__(self, windows: Windows, candidates: Candidates | None) -> None:
        super().__init__(windows)
        self.recording = Recording(windows)
        self.candidates = candidates
        self.lane: Lane | None = None
        self.coming: Event | None = None

    def came(self) -> None:
        """Tell the candidates of the event under way, once: after the silences before it, before its own score."""
        if self.candidates is not None and self.coming is not None:
            self.candidates.update(self.coming)
        self.coming = None

    def landmark(self, at: int, trigger: int, x: list[float], scores: Scores) -> Landmark:
        r, lane = self.recording, self.lane
        assert lane is not None
        made = lane._predictions[-1]
        row = list(x)
        if self.candidates is not None:
            if trigger == EVENT:
                self.came()
            row += self.candidates.vector(made.customer_id, at, self._windows.churn)
        mark = _Mark(at, trigger, x, scores)
        mark.number = len(r.x)
        r.steps[trigger].append((PREDICT, mark.number, 0, False))
        notes: tuple[tuple[list[Any], Any], ...] = (
            (r.x, row),
            (r.at, at),
            (r.customer, made.customer_id),
            (r.event_id, made.event_id),
            (r.trigger, trigger),
            (r.priors, self._priors(x)),
            (r.contact_prior, self._contact_prior(x)),
            (r.p, scores.churn),
            (r.contact, scores.contact),
            (r.churned, -1),
            (r.contacted, -1),
        )
        for column, value in notes:
            column.append(value)
        return mark

    def learn_piece(self, mark: Landmark) -> None:
        piece, edges = mark.n_pieces_done, self._windows.edges
        if piece == 0 or mark.silent(edges[piece - 1]):
            self._note(mark, PIECE, piece, mark.silent(edges[piece]))
        super().learn_piece(mark)

    def learn_churn(self, mark: Landmark, segment: str | None, cluster: int) -> None:
        self.recording.churned[self._note(mark, END, 0, mark.churned)] = mark.churned
        super().learn_churn(mark, segment, cluster)

    def learn_contact(self, mark: Landmark, segment: str | None) -> None:
        self.recording.contacted[self._note(mark, CONTACT, 0, mark.contacted)] = mark.contacted
        super().learn_contact(mark, segment)

    def _note(self, mark: Landmark, what: int, piece: int, y: bool) -> int:
        assert isinstance(mark, _Mark)
        self.recording.steps[mark.trigger].append((what, mark.number, piece, y))
        return mark.number


def record(events: Iterable[Event], horizon_ms: int, *, candidates: bool = False) -> Recording:
    """Replay events in one lane and note everything that is predicted and learned."""
    rules = RuleSet.default()
    settings = ResultSettings(lanes=1, churn_horizon_ms=horizon_ms, rules=rules.version)
    # All customers stay decoded: a landmark must keep its number.
    lane = Lane(0, settings, rules, cache=10**9)
    models = _RecordingModels(settings.windows, Candidates() if candidates else None)
    lane.models, models.lane = models, lane
    for number, event in enumerate(events):
        batch = [(number, event)]
        models.coming = event
        lane.admit(dict.fromkeys(lane.wanted(batch)))
        lane.apply(batch)
        models.came()
    return models.recording


class _Recursive:
    """`models.split_window.Piece`, of every variant at once."""

    def __init__(self, masks: Numbers) -> None:
        n, size = masks.shape
        self.n = 0
        self.masks = masks
        self.weights = np.zeros((n, size))
        self.covariance = np.repeat(np.eye(size)[None] * DOUBT, n, axis=0)
        self._room = np.empty((n, size, size))

    def learn(self, z: Numbers, y: bool) -> None:
        p = _sigmoid(self.weights @ z)
        information = p * (1.0 - p)
        masked = self.masks * z
        gain = np.matmul(self.covariance, masked[:, :, None])[:, :, 0]
        doubt = (masked * gain).sum(axis=1)
        self.weights += gain * ((y - p) / (1.0 + information * doubt))[:, None]
        if self.n % LOOK_EVERY == 0:
            looked = LOOK_EVERY * information
            gain *= np.sqrt(looked / (1.0 + looked * doubt))[:, None]
            np.multiply(gain[:, :, None], gain[:, None, :], out=self._room)
            self.covariance -= self._room
        self.n += 1
        if self.n % LEAK_EVERY == 0:
            self.covariance *= 1.0 - LEAK_EVERY * LEAK
            diagonal = np.einsum("cii->ci", self.covariance)
            diagonal += LEAK_EVERY * LEAK * DOUBT
            diagonal[:, -1] += LEAK_EVERY * INTERCEPT_LEAK


class _Frame:
    """`models.kernel.Frame`, with or without the 1 behind the vector."""

    def __init__(self, size: int) -> None:
        self.n = 0
        self.means = np.zeros(size)
        self.variances = np.zeros(size)

    def learn(self, x: Numbers) -> None:
        self.n += 1
        away = x - self.means
        self.means = self.means + away / self.n
        self.variances = self.variances + (away * (x - self.means) - self.variances) / self.n

    def scaled(self, x: Numbers) -> Numbers:
        root = np.sqrt(self.variances)
        z = np.divide(x - self.means, root, out=np.zeros_like(x), where=root > 0.0)
        return np.clip(z, -CLIP_Z, CLIP_Z)

    def scaled_one(self, x: Numbers) -> Numbers:
        return np.append(self.scaled(x), 1.0)


class _Plain:
    """`models.dense_logistic.DenseLogistic`, of every variant at once."""

    def __init__(self, masks: Numbers) -> None:
        self.frame = _Frame(masks.shape[1])
        self.masks = masks
        self.weights = np.zeros(masks.shape)
        self.squares = np.zeros(masks.shape)
        self.intercepts = np.zeros(len(masks))

    def score(self, x: Numbers) -> Numbers:
        return np.asarray(self.weights @ self.frame.scaled(x) + self.intercepts)

    def learn(self, x: Numbers, y: bool) -> None:
        self.frame.learn(x)
        z = self.frame.scaled(x)
        slope = _sigmoid(self.weights @ z + self.intercepts) - y
        gradient = self.masks * z * slope[:, None]
        self.squares += gradient**2
        self.weights -= 0.1 / np.sqrt(self.squares + 1e-8) * gradient
        self.intercepts -= 0.01 * slope


def _sigmoid(score: Numbers) -> Numbers:
    return np.asarray(1.0 / (1.0 + np.exp(-score)))


def _log_sigmoid(score: Numbers) -> Numbers:
    return -np.logaddexp(0.0, -score)


class Variants:
    """The churn and contact models of one trigger, once for each set of features.

    Parameters
    ----------
    masks
        A row per variant, 1 where it has the feature and 0 where it is held constant.
    n_pieces
        Pieces of the horizon.
    """

    def __init__(self, masks: Numbers, n_pieces: int) -> None:
        with_one = np.hstack([masks, np.ones((len(masks), 1))])
        self.pieces = [_Recursive(with_one) for _ in range(n_pieces)]
        self.frame = _Frame(masks.shape[1])
        self.plain = _Plain(masks)
        self.contact = _Recursive(with_one)
        self.contact_frame = _Frame(masks.shape[1])
        self.mixture = np.full((len(masks), 2), 0.5)

    def predict(self, x: Numbers, priors: Sequence[float]) -> tuple[Numbers, Numbers]:
        """Probability and members of churn, by variant."""
        own = _share(self.plain.frame.n)
        plain = own * self.plain.score(x) + (1.0 - own) * priors[0]
        z = self.frame.scaled_one(x)
        log_p = np.zeros(len(self.mixture))
        for piece, prior in zip(self.pieces, priors[1:], strict=True):
            own = _share(piece.n)
            log_p += _log_sigmoid(own * (piece.weights @ z) + (1.0 - own) * prior)
        members = np.stack([plain, log_p - np.log(-np.expm1(log_p))], axis=1)
        logit = np.clip((self.mixture * members).sum(axis=1), -LOGIT_LIMIT, LOGIT_LIMIT)
        # In single precision, in which they wait for the label.
        return _sigmoid(logit), members.astype(np.float32).astype(np.float64)

    def predict_contact(self, x: Numbers, expected: float) -> Numbers:
        """Probability of a contact, by variant."""
        prior = math.log(math.expm1(expected + 0.05)) if expected < 30.0 else 30.0
        own = _share(self.contact.n)
        score = own * (self.contact.weights @ self.contact_frame.scaled_one(x)) + (1.0 - own) * prior
        return _sigmoid(np.clip(score, -30.0, 30.0))

    def learn_piece(self, piece: int, x: Numbers, y: bool) -> None:
        if piece == 0:
            self.frame.learn(x)
        self.pieces[piece].learn(self.frame.scaled_one(x), y)

    def learn_end(self, x: Numbers, y: bool, members: Numbers) -> None:
        bounded = np.clip(members, -SCORE_LIMIT, SCORE_LIMIT)
        gradient = _sigmoid((self.mixture * bounded).sum(axis=1)) - y
        moved = self.mixture * np.exp(-RATE * gradient[:, None] * bounded)
        self.mixture = np.maximum(moved / moved.sum(axis=1, keepdims=True), 1e-9)
        self.plain.learn(x, y)

    def learn_contact(self, x: Numbers, y: bool) -> None:
        self.contact_frame.learn(x)
        self.contact.learn(self.contact_frame.scaled_one(x), y)


def _share(n_learned: int) -> float:
    return n_learned / (n_learned + PRIOR_LABELS)


def relearn(recording: Recording, masks: Numbers, trigger: int, *, contact: bool = True) -> tuple[Numbers, Numbers]:
    """Churn and contact scores (a row per score of the trigger, a column per variant) of the recorded stream."""
    variants = Variants(masks, len(recording.windows.edges))
    x = np.array(recording.x)
    place = {number: row for row, number in enumerate(i for i, t in enumerate(recording.trigger) if t == trigger)}
    p, c = (np.zeros((len(place), len(masks))) for _ in range(2))
    members: dict[int, Numbers] = {}
    for what, number, piece, y in recording.steps[trigger]:
        row = x[number]
        if what == PREDICT:
            p[place[number]], members[number] = variants.predict(row, recording.priors[number])
            if contact:
                c[place[number]] = variants.predict_contact(row, recording.contact_prior[number])
        elif what == PIECE:
            variants.learn_piece(piece, row, y)
        elif what == END:
            variants.learn_end(row, y, members.pop(number))
        elif contact:
            variants.learn_contact(row, y)
    return p, c


@dataclass(frozen=True, slots=True)
class Effect:
    """What leaving something out changes, with cluster-robust standard errors."""

    log_loss: float
    log_loss_se: float
    auc: float
    auc_se: float


def effects(p: Numbers, y: Numbers, customers: Sequence[str]) -> tuple[dict[str, float], list[Effect]]:
    """Figures of the first column, and the change of each further one against it.

    Examples
    --------
    >>> p = np.array([[0.9, 0.5], [0.2, 0.5], [0.8, 0.5], [0.1, 0.5]])
    >>> figures, (effect,) = effects(p, np.array([1.0, 0.0, 1.0, 0.0]), ["a", "b", "c", "d"])
    >>> figures["auc"], round(effect.log_loss, 2), effect.auc
    (1.0, 0.53, -0.5)
    """
    p = np.clip(p, _P_MIN, 1.0 - _P_MIN)
    losses = -np.where(y[:, None] == 1.0, np.log(p), np.log(1.0 - p))
    _, cluster = np.unique(np.array(customers), return_inverse=True)
    aucs, influences = zip(*(_auc(column, y) for column in p.T), strict=True)
    out = []
    for k in range(1, p.shape[1]):
        worse = losses[:, k] - losses[:, 0]
        sums = np.bincount(cluster, worse - worse.mean())
        influence = np.bincount(cluster, influences[k] - influences[0])
        out.append(
            Effect(
                float(worse.mean()), math.sqrt(float((sums**2).sum())) / len(y),
                aucs[k] - aucs[0], math.sqrt(float((influence**2).sum())),
            )
        )  # fmt: skip
    figures = {"n": float(len(y)), "base_rate": float(y.mean()), "log_loss": float(losses[:, 0].mean()), "auc": aucs[0]}
    return figures, out


def _auc(p: Numbers, y: Numbers) -> tuple[float, Numbers]:
    """AUC, ties counted half, and what each instance adds to its error (DeLong's components)."""
    yes, no = np.sort(p[y == 1.0]), np.sort(p[y == 0.0])
    beats = (np.searchsorted(no, p, "left") + np.searchsorted(no, p, "right")) / 2 / len(no)
    loses = 1.0 - (np.searchsorted(yes, p, "left") + np.searchsorted(yes, p, "right")) / 2 / len(yes)
    auc = float(beats[y == 1.0].mean())
    return auc, np.where(y == 1.0, (beats - auc) / len(yes), (loses - auc) / len(no))


def variants_of(drop: Sequence[str], candidates: bool) -> dict[str, Numbers]:
    """Names and masks of what is compared; the first is the engine's own."""
    n, extra = len(CATALOGUE), len(CANDIDATES) if candidates else 0
    base = np.concatenate([np.ones(n), np.zeros(extra)])
    out = {"all": base}

    def without(places: Iterable[int]) -> Numbers:
        mask = base.copy()
        mask[list(places)] = 0.0
        return mask

    out |= {f.name: without([PLACE[f.name]]) for f in CATALOGUE}
    out |= {
        f"[{g.code}]": without(i for i, f in enumerate(CATALOGUE) if f.group == g)
        for g in GROUPS
        if sum(f.group == g for f in CATALOGUE) > 1
    }
    if drop:
        out["--drop"] = without(PLACE[name] for name in drop)
    for k in range(extra):
        mask = base.copy()
        mask[n + k] = 1.0
        out[f"+{CANDIDATES[k]}"] = mask
    return out


def _judged(case: Case, recording: Recording, events: Sequence[Event]) -> list[tuple[int, int]]:
    """Number and label of the scores that the protocol judges."""
    acts = [(e.customer_id or "", e.ts) for e in events if e.kind == case.kind]
    ids = {(e.customer_id, e.event_id) for e in events if e.kind == case.kind}
    numbers = [
        number
        for number, of in enumerate(zip(recording.customer, recording.event_id, strict=True))
        if recording.trigger[number] == EVENT and of in ids
    ]
    made = ((recording.customer[number], recording.at[number]) for number in numbers)
    return [(numbers[place], label) for place, label, _ in instances(case, acts, made)]


def _assert_equal(name: str, again: Numbers, engine: Numbers) -> None:
    off = float(np.abs(again - engine).max())
    if off > 1e-9:
        raise AssertionError(f"{name}: expected the engine's own scores with nothing left out, off by {off:g}")


Table = dict[str, tuple[dict[str, float], dict[str, Effect]]]


def public(case: Case, path: Path, variants: Mapping[str, Numbers], *, candidates: bool) -> Table:
    """The effects on one public log."""
    with gzip.open(path, "rb") as lines:
        events = [decode(line) for line in lines]
    recording = record(events, case.horizon_d * DAY_MS, candidates=candidates)
    p, _ = relearn(recording, np.array(list(variants.values())), EVENT, contact=False)
    numbers = [i for i, trigger in enumerate(recording.trigger) if trigger == EVENT]
    _assert_equal(case.name, p[:, 0], np.array(recording.p)[numbers])
    place = {number: row for row, number in enumerate(numbers)}
    judged = _judged(case, recording, events)
    rows = [place[number] for number, _ in judged]
    figures, found = effects(
        p[rows], np.array([float(y) for _, y in judged]), [recording.customer[number] for number, _ in judged]
    )
    return {case.name: (figures, dict(zip(list(variants)[1:], found, strict=True)))}


def simulated(
    settings: Sequence[SimulationSettings], horizon_ms: int, variants: Mapping[str, Numbers], *, candidates: bool
) -> Table:
    """The effects on simulated logs, all seeds together: event, silence and contact apart."""
    parts: dict[str, list[tuple[Numbers, Numbers, list[str]]]] = defaultdict(list)
    for each in settings:
        events = [Event(**event) for event in Campus(each).events()]
        recording = record(events, horizon_ms, candidates=candidates)
        begin = events[0].ts + (events[-1].ts - events[0].ts) // 3
        masks = np.array(list(variants.values()))
        for trigger in (EVENT, SILENCE):
            numbers = np.array([i for i, t in enumerate(recording.trigger) if t == trigger])
            p, c = relearn(recording, masks, trigger)
            _assert_equal("churn", p[:, 0], np.array(recording.p)[numbers])
            _assert_equal("contact", c[:, 0], np.array(recording.contact)[numbers])
            late = np.array(recording.at)[numbers] >= begin
            for name, scores, labels in (("", p, recording.churned), (" contact", c, recording.contacted)):
                y = np.array(labels)[numbers]
                rows = np.flatnonzero(late & (y >= 0))
                who = [f"{each.seed} {recording.customer[numbers[row]]}" for row in rows]
                parts[TRIGGERS[trigger] + name].append((scores[rows], y[rows].astype(float), who))
    out: Table = {}
    for name, seeds in parts.items():
        p_all, y_all = (np.concatenate([seed[k] for seed in seeds]) for k in (0, 1))
        figures, found = effects(p_all, y_all, [who for seed in seeds for who in seed[2]])
        out[name] = (figures, dict(zip(list(variants)[1:], found, strict=True)))
    return out


def _text(table: Table) -> str:
    lines = [f"{name}: {', '.join(f'{k} {v:.4g}' for k, v in table[name][0].items())}" for name in table]
    lines.append(f"{'left out':18}" + "".join(f"{name:>26}" for name in table))
    for row in next(iter(table.values()))[1]:
        cells = []
        for _, found in table.values():
            sign = -1 if row.startswith("+") else 1
            e = found[row]
            cells.append(f"{sign * e.log_loss * 1e4:9.1f} ({e.log_loss_se * 1e4:4.1f}) {sign * e.auc * 1e4:8.1f}")
        lines.append(f"{row:18}" + "".join(f"{cell:>26}" for cell in cells))
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Record, learn again, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("directory", type=Path, nargs="?")
    parser.add_argument("--log", default=",".join(case.name for case in CASES))
    parser.add_argument("--simulated", action="store_true")
    parser.add_argument("--events", type=int, default=60_000)
    parser.add_argument("--days", type=int, default=240)
    parser.add_argument("--seeds", default="1,2,3")
    parser.add_argument("--horizon", type=int, default=30, help="of the simulated logs, days")
    parser.add_argument("--drop", default="")
    parser.add_argument("--candidates", action="store_true")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(argv)
    drop = [name for name in options.drop.split(",") if name]
    unknown = [name for name in drop if name not in PLACE]
    if unknown or (options.directory is None and not options.simulated):
        parser.error(f"expected DIR or --simulated, and features of the catalogue; got {unknown}")
    variants = variants_of(drop, options.candidates)
    table: Table = {}
    for case in CASES if options.directory is not None else ():
        if case.name in options.log.split(","):
            path = options.directory / f"{case.name}.jsonl.gz"
            table |= public(case, path, variants, candidates=options.candidates)
    if options.simulated:
        settings = [
            SimulationSettings(events=options.events, days=options.days, seed=int(seed))
            for seed in options.seeds.split(",")
        ]
        table |= simulated(settings, options.horizon * DAY_MS, variants, candidates=options.candidates)
    if options.json:
        report: dict[str, Any] = {
            name: {**figures, "effects": {k: [e.log_loss, e.log_loss_se, e.auc, e.auc_se] for k, e in found.items()}}
            for name, (figures, found) in table.items()
        }
        print(json.dumps(report))
    else:
        print(_text(table))
    return 0


if __name__ == "__main__":
    sys.exit(main())
