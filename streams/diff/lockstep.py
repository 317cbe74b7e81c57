"""Both logs through the engine, step by step, up to the first answer that differs.

Steps are applied in batches, which is quick, and both sides are compared after each. When a batch differs it is taken
back (the ledgers are those before it) and applied again event by event, so that the very event is known. Batches change
no answer, so nothing is lost by that.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import orjson

from engine.desk import Desk
from engine.outcome import Outcome
from engine.rules import RuleSet
from engine.settings import ResultSettings
from engine.vocabulary import Vocabulary
from streams.diff.alignment import Pair, told_record
from streams.lane_group import LaneGroup
from streams.ledger import Binding, Counts, Position
from streams.memory_ledger import MemoryLedger
from streams.reader.record import Record
from streams.replay.sharing import Boundaries

__all__ = ["Effect", "Way", "first_effect"]

_BATCH = 500
_VERSIONS = ("rules", "model")
_MOST = 5  # answers of each kind that an effect names


@dataclass(frozen=True, slots=True)
class Way:
    """How a side applies its log: `settings`, `rules` and `desk` are those of its run."""

    settings: ResultSettings
    rules: RuleSet
    desk: Desk = field(default_factory=Desk.default)


@dataclass(frozen=True, slots=True)
class Effect:
    """The first event after which the answers differ.

    Parameters
    ----------
    step
        How many steps of the logs were applied before it.
    pair
        The event, in the log of each side.
    differs
        What differs: `alerts`, `predictions`, `dead`, `late`, each with what only A and only B said; of `board`,
        whose.
    """

    step: int
    pair: Pair
    differs: dict[str, dict[str, list[Any]]]

    def told(self, vocabulary: Vocabulary | None = None) -> dict[str, Any]:
        """For `--json`."""
        a, b = told_record(self.pair.a, vocabulary), told_record(self.pair.b, vocabulary)
        return {"step": self.step, "a": a, "b": b, "differs": self.differs}


_Answers = dict[str, list[tuple[int, Any]]]


class _Runner:
    """One side."""

    def __init__(self, way: Way, vocabulary: Vocabulary | None) -> None:
        settings = way.settings
        self._ledger = MemoryLedger(Binding.of("replay", 0, lanes=settings.lanes))
        self._ledger.claim()
        self._ledger.open(settings.digest())
        self._group = LaneGroup(settings, way.rules, self._ledger, vocabulary=vocabulary, desk=way.desk)
        self._group.load()
        self._settings = settings
        self._offset = 0
        share = settings.share_ms if settings.lanes > 1 else None
        self._boundaries = None if share is None else Boundaries(share, -1, -1, vocabulary)

    def epochs(self, records: Sequence[Record]) -> dict[int, int]:
        """Place of a record -> the exchange that comes before it."""
        if self._boundaries is None:
            return {}
        found, place = {}, 0
        for epoch, piece in self._boundaries.cut(records):
            if epoch is not None:
                found[place] = epoch
            place += len(piece)
        return found

    def exchange(self, epoch: int) -> None:
        self._commit(self._group.exchange(epoch), 0)

    def apply(self, records: Sequence[Record], steps: Sequence[int]) -> tuple[_Answers, list[Outcome]]:
        """What a batch comes to; not yet in the ledger."""
        applied = self._group.apply(records, Counts())
        answers: _Answers = {
            "dead": [(steps[each.place], each.reason) for each in applied.dead],
            "late": [(steps[place], "late") for place in applied.late],
            "alerts": [],
            "predictions": [],
            "board": [],
        }
        for outcome in applied.outcomes:
            answers["alerts"] += [(steps[each.index], orjson.loads(each.line())) for each in outcome.alerts]
            answers["predictions"] += [
                (
                    steps[each.index],
                    {
                        "customer_id": each.customer_id, "at": each.at, "trigger": each.trigger,
                        "event_id": each.event_id, "churn": each.churn, "engagement": each.engagement,
                        "contact": each.contact,
                    },
                )
                for each in outcome.predictions
            ]  # fmt: skip
            answers["board"] += [
                (0, {"customer_id": who, "rows": _board(change.board)}) for who, change in outcome.customers.items()
            ]
        for name in ("alerts", "predictions", "board"):
            # Lanes may be cut otherwise on the other side; what is of one customer comes in its order.
            answers[name].sort(key=lambda each: (each[0], each[1]["customer_id"]))
        return answers, applied.outcomes

    def commit(self, outcomes: list[Outcome], n: int) -> None:
        self._commit(outcomes, n)

    def take_back(self) -> None:
        """Forget what is not in the ledger."""
        self._group.load()

    def _commit(self, outcomes: list[Outcome], n: int) -> None:
        self._offset += n
        self._ledger.commit(outcomes, Position(next_offset=self._offset, settings=self._settings.digest()))


def first_effect(
    pairs: Iterable[Pair],
    a: Way,
    b: Way,
    *,
    vocabulary: Vocabulary | None = None,
    on_step: Callable[[int], None] = lambda _: None,
) -> Effect | None:
    """The first event after which the two sides differ in an alert, a score, a dead or late record, or the board.

    Versions (of rules and models) that the board names are not compared. Both states are held in memory.

    Parameters
    ----------
    pairs
        The logs, `alignment.aligned`.
    a, b
        How each side applies its log.
    vocabulary
        Translates an organisation's own words.
    on_step
        Called after each batch with the number of steps so far.

    Returns
    -------
    Effect or None
        `None`: the answers are the same to the end.
    """
    runners = _Runner(a, vocabulary), _Runner(b, vocabulary)
    steps = 0
    for batch in _batches(iter(pairs)):
        sides = [
            [(place, record) for place, pair in enumerate(batch) if (record := pair.records[side]) is not None]
            for side in range(2)
        ]
        epochs = [runner.epochs([record for _, record in side]) for runner, side in zip(runners, sides, strict=True)]
        found = None
        if any(epochs) or not _at_once(runners, sides):
            found = _one_by_one(runners, batch, epochs)
        if found is not None:
            place, differs = found
            return Effect(steps + place, batch[place], differs)
        steps += len(batch)
        on_step(steps)
    return None


def _at_once(runners: tuple[_Runner, _Runner], sides: list[list[tuple[int, Record]]]) -> bool:
    """Whether a whole batch gives the same on both sides; only then it is in the ledgers."""
    results = [
        runner.apply([record for _, record in side], [place for place, _ in side])
        for runner, side in zip(runners, sides, strict=True)
    ]
    if results[0][0] != results[1][0]:
        for runner in runners:
            runner.take_back()
        return False
    for runner, (_, outcomes), side in zip(runners, results, sides, strict=True):
        runner.commit(outcomes, len(side))
    return True


def _one_by_one(
    runners: tuple[_Runner, _Runner], batch: Sequence[Pair], epochs: list[dict[int, int]]
) -> tuple[int, dict[str, dict[str, list[Any]]]] | None:
    """The first step of a batch that differs, and what differs."""
    places = [0, 0]
    for step, pair in enumerate(batch):
        answers: list[_Answers] = []
        for side, runner in enumerate(runners):
            record = pair.records[side]
            records = [] if record is None else [record]
            if records and (epoch := epochs[side].get(places[side])) is not None:
                runner.exchange(epoch)
            told, outcomes = runner.apply(records, [step] * len(records))
            runner.commit(outcomes, len(records))
            places[side] += len(records)
            answers.append(told)
        if answers[0] != answers[1]:
            return step, _differs(*answers)
    return None


def _differs(a: _Answers, b: _Answers) -> dict[str, dict[str, list[Any]]]:
    differs = {}
    for name in a:
        here, there = [each for _, each in a[name]], [each for _, each in b[name]]
        if here == there:
            continue
        only = {
            "a": [each for each in here if each not in there][:_MOST],
            "b": [each for each in there if each not in here][:_MOST],
        }
        if name == "board":
            whose = sorted({each["customer_id"] for told in only.values() for each in told})
            differs[name] = {"customers": whose}
        else:
            differs[name] = only
    return differs


def _board(rows: Any) -> Any:
    if rows is None:
        return None
    customer = {name: value for name, value in rows.customer.items() if name not in _VERSIONS}
    return customer, rows.flags, rows.why, rows.profile, rows.history, rows.timeline


def _batches(pairs: Iterator[Pair]) -> Iterator[list[Pair]]:
    while batch := list(islice(pairs, _BATCH)):
        yield batch
