"""One case from the first contact to the end, with both sides.

The customer asks; a desk accepts, assigns, transfers, comes, and mostly solves it, sometimes late, sometimes never, and
sometimes it fails again. Who waits asks again or complains, who complained is called back, or not, and may leave.
"""

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Any

from streams.simulate.plan import Incident
from streams.simulate.services import CONTACT_CHANNELS, Service
from streams.simulate.settings import DAY_MS, pick

if TYPE_CHECKING:
    from streams.simulate.life import Life

__all__ = ["Case", "feedback", "lognormal"]

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
_PATIENCE_MS = 20 * HOUR_MS
_ROUNDS = 3


def lognormal(rng: random.Random, median: float, sigma: float) -> float:
    """A positive number around `median`; by Box and Muller, from `random.random` alone."""
    radius = math.sqrt(-2 * math.log(1 - rng.random()))
    return median * math.exp(sigma * radius * math.cos(2 * math.pi * rng.random()))


def feedback(rng: random.Random, category: str, channel: str, pleased: float) -> dict[str, Any]:
    """A rating about a category.

    Parameters
    ----------
    pleased
        From 0 (everything went wrong) to 1 (all well); the score follows it with noise.
    """
    score = min(5, max(1, round(1 + 4 * pleased + 2.4 * (rng.random() - 0.5))))
    event: dict[str, Any] = {"kind": "feedback", "category": category, "channel": channel, "score": score}
    if rng.random() < 0.5:
        event["sentiment"] = round(min(1.0, max(-1.0, (score - 3) / 2 * 0.8 + 0.5 * (rng.random() - 0.5))), 2)
    return event


class Case:
    """A case of one customer; its methods put events and further steps into the customer's life.

    Parameters
    ----------
    life
        Whose case it is.
    case_id
        Unique in the log.
    service, channel
        What it is about and where it began.
    incident
        The failure behind it, if one is: then it takes until the failure is over.
    """

    __slots__ = ("agent", "case_id", "channel", "done_ms", "incident", "life", "opened_ms", "rounds", "service")

    def __init__(self, life: Life, case_id: str, service: Service, channel: str, incident: Incident | None) -> None:
        self.life = life
        self.case_id = case_id
        self.service = service
        self.channel = channel
        self.incident = incident
        self.agent = ""
        self.opened_ms = 0
        self.rounds = 0
        self.done_ms: int | None = None

    def open(self, ts: int, rng: random.Random, kind: str) -> None:
        """The first contact and all that follows from it; `kind` is `request`, `complaint` or `suggestion`."""
        self.agent = self.life.plan.desk.agent(rng, self.service.team)
        self.opened_ms = ts
        self._contact(ts, rng, kind, self.channel)
        if kind == "suggestion":
            if rng.random() < 0.4:
                self._ours(self.life.plan.office(ts + int(HOUR_MS * (1 + 30 * rng.random()))), "handling", "accepted")
        elif kind == "complaint":
            self._react(ts, rng, solves=0.8)
        else:
            self._serve(ts, rng)

    def _contact(self, ts: int, rng: random.Random, kind: str, channel: str) -> None:
        life = self.life
        event: dict[str, Any] = {"kind": kind, "category": self.service.category, "channel": channel}
        event["case_id"] = self.case_id
        if kind == "request":
            event["nature"] = pick(rng, self.service.natures, (3, 1, 1)[: len(self.service.natures)])
            if channel == "phone" and rng.random() < 0.03:
                # Somebody at the phone did not say what it was about.
                event["category"] = "*"
        if channel in ("phone", "store"):
            event["wait_s"] = int(lognormal(rng, 60 if self.incident is None else 300, 0.9))
            if rng.random() < 0.8:
                event |= {"agent_id": self.agent, "team": self.service.team}
        twin = rng.random() < 0.02
        if twin or channel == "phone":
            event["contact_id"] = life.new_contact(twin)
        life.push(ts, event)
        if twin:
            # A second system records the same contact under an id of its own.
            copy = {key: event[key] for key in ("kind", "category", "channel", "case_id", "contact_id")}
            life.push(ts + 5_000 + int(85_000 * rng.random()), copy | {"touchpoint": "crm"})

    def _ours(self, ts: int, kind: str, step: str = "", **more: str) -> None:
        event: dict[str, Any] = {"kind": kind}
        if step:
            event["step"] = step
        event |= {"category": self.service.category, "case_id": self.case_id}
        event |= {"agent_id": self.agent, "team": self.service.team}
        self.life.push(ts, event | more)

    def _serve(self, ts: int, rng: random.Random) -> None:
        """One round of handling; decides when it is solved, if ever."""
        life, office = self.life, self.life.plan.office
        at_once = self.channel in ("phone", "store")
        now = office(ts + int(MINUTE_MS * (1 + (4 if at_once else 90) * rng.random())))
        self._ours(now, "handling", "accepted")
        now = office(now + int(MINUTE_MS * (3 + 100 * rng.random())))
        self._ours(now, "handling", "assigned")
        if rng.random() < 0.13:
            self.agent = life.plan.desk.agent(rng, self.service.team)
            now = office(now + int(HOUR_MS * (0.2 + 4 * rng.random())))
            self._ours(now, "handling", "transferred")
        hours = lognormal(rng, self.service.hours, 0.8) * (6 if rng.random() < 0.08 else 1)
        done = office(now + int(hours * HOUR_MS))
        if self.incident is not None:
            done = max(done, self.incident.to_ms + int(8 * HOUR_MS * rng.random()))
        never = rng.random() < (0.05 if self.incident is None else 0.09)
        if rng.random() < self.service.on_site:
            self._ours(now + (done - now) * 3 // 4, "handling", "on_site")
        elif rng.random() < 0.1:
            self._ours(now + (done - now) // 2, "handling", "waiting")
        self.done_ms = None if never else done
        if not never:
            self._ours(done, "resolved", outcome="ok")
            self._after(done, rng)
        self._while_waiting(ts, rng)

    def _after(self, done: int, rng: random.Random) -> None:
        if rng.random() < 0.22:
            self.life.later(done + int(HOUR_MS * (0.1 + 20 * rng.random() ** 2)), self._rate)
        fails = self.life.plan.desk.fails[self.agent] + (0.08 if self.incident is not None else 0)
        if self.rounds + 1 < _ROUNDS and rng.random() < fails:
            self.life.later(done + int(HOUR_MS * (2 + 140 * rng.random() ** 2)), self._again)

    def _while_waiting(self, ts: int, rng: random.Random) -> None:
        wait = 10 * DAY_MS if self.done_ms is None else self.done_ms - ts
        if wait <= _PATIENCE_MS:
            return
        if rng.random() < 0.4:
            self.life.later(ts + int(wait * (0.25 + 0.7 * rng.random())), self._chase)
        sore = 0.35 if self.incident is not None or self.life.fading(ts) else 0.15
        if rng.random() < sore:
            self.life.later(ts + int(wait * (0.3 + 0.65 * rng.random())), self._complain)

    def _chase(self, ts: int, rng: random.Random) -> None:
        if not self.life.alive(ts):
            return
        channel = self.channel if rng.random() < 0.6 else pick(rng, CONTACT_CHANNELS, self.life.person.contact_weights)
        self._contact(ts, rng, "request", channel)

    def _complain(self, ts: int, rng: random.Random) -> None:
        if not self.life.alive(ts):
            return
        channel = self.channel if rng.random() < 0.6 else pick(rng, CONTACT_CHANNELS, self.life.person.contact_weights)
        self._contact(ts, rng, "complaint", channel)
        self._react(ts, rng, solves=0.7 if self.done_ms is None or self.done_ms <= ts else 0.1)

    def _again(self, ts: int, rng: random.Random) -> None:
        if not self.life.alive(ts):
            return
        self.rounds += 1
        kind = "complaint" if rng.random() < 0.25 else "request"
        self._contact(ts, rng, kind, self.channel)
        self._ours(self.life.plan.office(ts + int(MINUTE_MS * (5 + 200 * rng.random()))), "handling", "reopened")
        if kind == "complaint":
            self._react(ts, rng, solves=0.8)
        else:
            self._serve(ts, rng)

    def _react(self, ts: int, rng: random.Random, solves: float) -> None:
        """What the desk does about a complaint: mostly something, mostly in time."""
        life, office = self.life, self.life.plan.office
        if rng.random() < 0.8:
            self._ours(office(ts + int(HOUR_MS * (0.5 + 14 * rng.random()))), "handling", "escalated")
        if rng.random() < 0.5:
            outcome = pick(rng, ("reached", "no_answer", "bounced"), (6, 3, 1))
            called = office(ts + int(HOUR_MS * (1 + 20 * rng.random())))
            self._ours(called, "outreach", channel="phone", outcome=outcome)
        if rng.random() < solves:
            done = office(ts + int(HOUR_MS * lognormal(rng, 26, 0.7)))
            self._ours(done, "resolved", outcome="ok")
            self.done_ms = done if self.done_ms is None else max(done, self.done_ms)
        if rng.random() < 0.3:
            life.later(ts + int(HOUR_MS * (2 + 60 * rng.random())), self._rate)
        if rng.random() < 0.08:
            life.provoke(ts, rng, self.case_id)

    def _rate(self, ts: int, rng: random.Random) -> None:
        waited = (self.done_ms or ts) - self.opened_ms
        pleased = 0.95 - min(0.5, waited / (6 * DAY_MS)) - 0.3 * self.rounds
        if self.incident is not None or self.done_ms is None or self.done_ms > ts or self.life.fading(ts):
            pleased -= 0.35
        event = feedback(rng, self.service.category, self.channel, max(0.0, pleased))
        self.life.push(ts, event | {"case_id": self.case_id})
