"""One lane driven over a log, its ledger a dict; with models that cost nothing where a test is about flags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from engine.alert import Alert
from engine.board import flag_list
from engine.desk import Desk
from engine.desk.fact import Fact
from engine.event import Event
from engine.landmarks import Landmark
from engine.lane import Lane
from engine.memory import Memory
from engine.outcome import CustomerChange, Outcome, Prediction
from engine.rules import RuleSet
from engine.scores import Scores
from engine.scoring import LaneModels, Scored
from engine.settings import ResultSettings

HOUR = 3_600_000
DAY = 24 * HOUR
T0 = 1_699_999_200_000
"""2023-11-14T22:00Z: a full hour, because contact alerts without a case are per hour."""

SCORE_FLAGS = frozenset(("churn_risk", "engagement_drop"))
NEVER = 4_000 * DAY
"""A time to retire that no log of these tests reaches."""


class FixedModels(LaneModels):
    """Predicts what it is told and learns nothing; keeps what it was given to learn.

    Parameters
    ----------
    scores
        (churn, engagement) from a time (ms) on; before the first 0.5 and 0.
    """

    def __init__(self, scores: Mapping[int, tuple[float, float]] | None = None) -> None:
        super().__init__(ResultSettings().windows)
        self.scores = dict(scores or {})
        self.now: Lane | None = None
        self.learned: list[tuple[str, Landmark, int]] = []
        """(label, example, lane clock at which it was learned)."""
        self.erased: list[Landmark] = []
        self.n_taken = 0
        self.n_seen = 1_000_000
        """Labels it says to have learned before."""

    def _clock(self) -> int:
        return -1 if self.now is None else self.now.clock

    def score_at(self, at: int) -> tuple[float, float]:
        return next((s for since, s in sorted(self.scores.items(), reverse=True) if since <= at), (0.5, 0.0))

    def predict(self, trigger: int, x: Sequence[float]) -> Scores:
        return Scores(*self.score_at(self._clock()))

    def explain(self, trigger: int, x: Sequence[float]) -> Scored:
        return Scored(self.predict(trigger, x), [])

    def n_learned(self, trigger: int, score: str) -> int:
        return self.n_seen

    def take(self, mark: Landmark) -> None:
        self.n_taken += 1

    def learn_churn(self, mark: Landmark, segment: str | None, cluster: int) -> None:
        self.learned.append(("churn", mark, self._clock()))

    def learn_piece(self, mark: Landmark) -> None:
        self.learned.append(("piece", mark, self._clock()))

    def learn_contact(self, mark: Landmark, segment: str | None) -> None:
        self.learned.append(("contact", mark, self._clock()))

    def learn_engagement(self, mark: Landmark, segment: str | None) -> None:
        self.learned.append(("engagement", mark, self._clock()))

    def erase(self, mark: Landmark) -> None:
        self.erased.append(mark)

    def rows(self, now: int, *, everything: bool = False) -> dict[str, dict[str, str]]:
        return {}

    def snapshots(self) -> dict[str, bytes | None]:
        return {}


class Run:
    """A lane and what it has written: customer records in `store`, all alerts in `alerts`.

    Parameters
    ----------
    rules, lateness_ms, lanes, retire_ms
        Of the lane; it is lane 0.
    models
        In place of the learners; `None`: the real ones.
    forgetful
        Drop every decoded memory after each batch, so that all comes back from the store.
    reborn
        Make the whole lane anew from its stored state after each batch.
    desk
        Of the lane; by default the built-in one.
    """

    def __init__(
        self,
        rules: RuleSet | None = None,
        *,
        lateness_ms: int | None = HOUR,
        lanes: int = 1,
        retire_ms: int = NEVER,
        models: FixedModels | None = None,
        forgetful: bool = False,
        reborn: bool = False,
        desk: Desk | None = None,
        **settings: Any,
    ) -> None:
        self.rules = rules or RuleSet.default()
        self.settings = ResultSettings(lanes=lanes, lateness_ms=lateness_ms, retire_ms=retire_ms, **settings)
        self.desk = desk
        self.lane = Lane(0, self.settings, self.rules, desk=desk)
        self.fixed = models
        if models is not None:
            self.lane.models = models
            models.now = self.lane
        self.forgetful, self.reborn = forgetful, reborn
        self.store: dict[str, bytes] = {}
        self.board: dict[str, CustomerChange] = {}
        self.alerts: list[Alert] = []
        self.predictions: list[Prediction] = []
        self.models: dict[str, bytes] = {}
        self.outcome: Outcome | None = None
        self.tickets: dict[str, dict[str, str]] = {}
        self.facts: list[Fact] = []
        self.delivered: dict[int, dict[str, int]] = {}
        self.rule_counts: dict[str, dict[str, int]] = {}
        self.late: list[int] = []
        self.dead: list[tuple[int, str]] = []
        self.n_fed = 0

    def feed(self, events: Iterable[Event], batch: int = 1_000) -> list[Alert]:
        """Apply events; returns the alerts that they gave."""
        pairs = [(self.n_fed + i, event) for i, event in enumerate(events)]
        self.n_fed += len(pairs)
        before = len(self.alerts)
        for at in range(0, len(pairs), batch):
            self._batch(pairs[at : at + batch])
        return self.alerts[before:]

    def _batch(self, pairs: list[tuple[int, Event]]) -> None:
        lane = self.lane
        lane.admit({customer: self.store.get(customer) for customer in lane.wanted(pairs)})
        self.outcome = outcome = lane.apply(pairs)
        self.alerts += outcome.alerts
        self.predictions += outcome.predictions
        for alert_id, row in outcome.alert_state.items():
            if row is None:
                self.tickets.pop(alert_id, None)
            else:
                self.tickets[alert_id] = row
        self.facts += outcome.facts
        for window, counts in outcome.deliveries.items():
            self.delivered.setdefault(window, {}).update(counts)
        self.rule_counts |= outcome.rule_counts
        self.late += outcome.late
        self.dead += outcome.dead
        for name, snapshot in outcome.models.items():
            if snapshot is None:
                self.models.pop(name, None)
            else:
                self.models[name] = snapshot
        for customer, change in outcome.customers.items():
            if change.record is None:
                self.store.pop(customer, None)
                self.board.pop(customer, None)
            else:
                self.store[customer] = change.record
                self.board[customer] = change
        if self.forgetful:
            lane.forget_cache()
        if self.reborn:
            timers = [(c.due, customer) for customer, c in self.board.items() if c.due is not None]
            self.lane = Lane(
                0,
                self.settings,
                self.rules,
                record=outcome.lane_record,
                models=self.models,
                timers=timers,
                desk=self.desk,
            )

    def tick(self, ts: int) -> list[Alert]:
        """Move the clock."""
        return self.feed([tick(ts)])

    def memory(self, customer: str = "c") -> Memory:
        """What is stored of a customer."""
        return self.lane.decode(self.store[customer])

    def flags(self, customer: str = "c") -> list[dict[str, Any]]:
        """Flags that are up, scores left out."""
        if customer not in self.store:
            return []
        return [f for f in flag_list(self.memory(customer)) if f["flag"] not in SCORE_FLAGS]

    def up(self, customer: str = "c") -> set[tuple[str, str | None]]:
        """(flag, category) of every flag that is up."""
        return set(self.memory(customer).episodes.active) if customer in self.store else set()

    def counts(self) -> dict[str, int]:
        """What became of the records."""
        record = self.lane.record
        return {name: getattr(record, name) for name in ("read", "applied", "duplicate", "late", "dead")}


def tick(ts: int, event_id: str | None = None, lane: int = 0, lanes: int = 1) -> Event:
    return Event(event_id or f"tick-{ts}", None, ts, "tick", lane=lane, lanes=lanes)


def trace(event_id: str, after: int, kind: str = "request", category: str | None = "a", **more: Any) -> Event:
    """An event of customer `c`, `after` ms after T0."""
    return Event(event_id, more.pop("customer", "c"), T0 + after, kind, category=category, **more)


def decoded(log: Iterable[Mapping[str, Any]]) -> list[Event]:
    """The dicts of the contract as events; they are right as they are."""
    return [Event(**event) if "customer_id" in event else Event(customer_id=None, **event) for event in log]
