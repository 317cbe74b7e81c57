"""The life of one customer, day by day: visits, contacts, promotions, payments, leaving and coming back.

Visits and contacts are renewal processes in operational time: a day is worth as much of it as the person is active on
that day (campus year, weekday, mood), and the gaps are gamma (visits) or exponential (contacts). A day on which nothing
is due costs no random number, and the random numbers of a day depend on the seed, the person and the day alone.
"""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Callable
from typing import Any

from streams.simulate.case import Case
from streams.simulate.person import Fate, Person, profile_event
from streams.simulate.plan import Campaign, Incident, Plan
from streams.simulate.rhythm import HOURS, SEGMENTS, Day, period
from streams.simulate.services import CONTACT_CHANNELS, SERVICES, wanted
from streams.simulate.settings import DAY_MS, pick, subseed, uniform
from streams.simulate.visit import visit

__all__ = ["OWN", "Entry", "Life", "Step"]

Step = Callable[[int, random.Random], None]
Entry = tuple[int, int, int, dict[str, Any]]
"""Time, number of the customer, number of their event, event: sorts by time and never compares events."""

MINUTE_MS = 60_000
HOUR_MS = 3_600_000
_MASK = (1 << 64) - 1
_GOLDEN = 0x9E3779B97F4A7C15  # 2^64 / golden ratio: spreads day numbers over the seeds

OWN = frozenset(
    ("request", "complaint", "suggestion", "feedback", "session", "view", "interact", "purchase", "signup", "payment")
)
"""Kinds that are a customer's own activity; of `payment` only those that are `ok`."""


class Life:
    """One customer in motion.

    Parameters
    ----------
    person
        Who it is.
    plan
        What happens on the campus.
    activity
        Factor on visits, > 0. Under 1 it also thins out contacts, promotions and payments; over 1 they stay as they
        are, or a busy campus would be one that fails all the time.
    """

    __slots__ = (
        "_activity",
        "_base",
        "_calm",
        "_contact_debt",
        "_heap",
        "_order",
        "_visit_debt",
        "last_ms",
        "n_cases",
        "n_contacts",
        "n_events",
        "open_campaign",
        "person",
        "plan",
        "twins",
    )

    def __init__(self, person: Person, plan: Plan, activity: float = 1.0) -> None:
        self.person = person
        self.plan = plan
        self._activity = activity
        self._calm = min(1.0, activity)
        self.n_events = self.n_cases = self.n_contacts = 0
        self.last_ms: int | None = None
        self.twins: dict[str, list[str]] = {}
        self._heap: list[tuple[int, int, dict[str, Any] | Step]] = []
        self._order = 0
        self.open_campaign = ""
        self._base = subseed(plan.seed, "life", person.index)
        rng = random.Random(self._base)
        self._visit_debt = self._gap(rng) * rng.random()
        self._contact_debt = -math.log(1 - rng.random())
        self._schedule(rng)

    def alive(self, ts: int) -> bool:
        """Whether the person is a customer at that time: own activity is possible."""
        person, fate = self.person, self.person.fate
        if person.joined_ms is not None and ts < person.joined_ms:
            return False
        return fate.left_ms is None or ts <= fate.left_ms or (fate.back_ms is not None and ts >= fate.back_ms)

    def fading(self, ts: int) -> bool:
        """Whether the person is on their way out and it shows."""
        fate = self.person.fate
        return fate.warn_ms is not None and fate.left_ms is not None and fate.warn_ms <= ts <= fate.left_ms

    def push(self, ts: int, event: dict[str, Any]) -> None:
        """Put an event without id, customer and time at `ts`, which must not be before the present."""
        self._order += 1
        heapq.heappush(self._heap, (ts, self._order, event))

    def later(self, ts: int, step: Step) -> None:
        """Have `step(ts, rng)` called at `ts`, which must not be before the present."""
        self._order += 1
        heapq.heappush(self._heap, (ts, self._order, step))

    def new_contact(self, twin: bool) -> str:
        """A new contact id; the event ids of a twin are kept for the ground truth."""
        self.n_contacts += 1
        contact = f"ct-{self.person.index:06d}-{self.n_contacts:03d}"
        if twin:
            self.twins[contact] = []
        return contact

    def provoke(self, ts: int, rng: random.Random, case_id: str) -> None:
        """A bad experience makes somebody leave who would have stayed for long."""
        fate = self.person.fate
        if fate.expected or (fate.left_ms is not None and fate.left_ms < ts + 40 * DAY_MS):
            return
        left = ts + int((4 + 20 * rng.random()) * DAY_MS)
        how = "cancel" if rng.random() < 0.35 else "silent"
        self.person.fate = Fate(left, how, warn_ms=ts, provoked_by=case_id)
        self.later(left, self._leave)

    def day(self, day: Day, rng: random.Random, out: list[Entry]) -> None:
        """Live through one day and add its events to `out`, in time order.

        Parameters
        ----------
        day
            The day after the last one.
        rng
            Any generator; it is seeded here.
        out
            Takes the entries.
        """
        visits, contacts = self._budgets(day)
        campaigns = self.plan.campaigns.get(day.number, ())
        person = self.person
        mailed = person.flooded and day.number % 2 == person.index % 2
        pays = person.pay_day == day.local.day
        due = bool(self._heap) and self._heap[0][0] < day.end_ms
        if self._visit_debt >= visits and self._contact_debt >= contacts and not (campaigns or mailed or pays or due):
            self._visit_debt -= visits
            self._contact_debt -= contacts
            return
        rng.seed(self._base ^ ((day.number + 1) * _GOLDEN & _MASK))
        hours = HOURS[person.hours]
        while self._visit_debt < visits:
            self.later(day.start_ms + hours.at(self._visit_debt / visits), self.visit)
            self._visit_debt += self._gap(rng)
        while self._contact_debt < contacts:
            self.later(day.start_ms + hours.at(self._contact_debt / contacts), self._turn_to_us)
            self._contact_debt -= math.log(1 - rng.random())
        self._visit_debt -= visits
        self._contact_debt -= contacts
        for campaign in campaigns:
            self._promote(campaign, rng)
        if mailed:
            self._mail(day, rng)
        if pays:
            self.later(day.start_ms + 6 * HOUR_MS + int(HOUR_MS * rng.random()), self._pay)
        self._run(day.end_ms, rng, out)

    def _run(self, until: int, rng: random.Random, out: list[Entry]) -> None:
        heap = self._heap
        while heap and heap[0][0] < until:
            ts, _, item = heapq.heappop(heap)
            if isinstance(item, dict):
                self._emit(ts, item, out)
            else:
                item(ts, rng)

    def _emit(self, ts: int, fields: dict[str, Any], out: list[Entry]) -> None:
        kind = fields["kind"]
        if kind in OWN and fields.get("outcome") != "failed":
            if not self.alive(ts):
                return
            left = self.person.fate.left_ms
            if left is None or ts <= left:
                self.last_ms = ts
        self.n_events += 1
        person = self.person
        event_id = f"{person.customer_id}-{self.n_events:05d}"
        event = {"event_id": event_id, "customer_id": person.customer_id, "ts": ts}
        event |= fields
        if self.twins:
            pair = self.twins.get(fields.get("contact_id", ""))
            if pair is not None:
                pair.append(event_id)
        out.append((ts, person.index, self.n_events, event))

    def _gap(self, rng: random.Random) -> float:
        # A floor, so that bursts do not become several visits in one second.
        shape = self.person.regularity
        return 0.02 + rng.gammavariate(shape, 0.98 / shape)

    def _budgets(self, day: Day) -> tuple[float, float]:
        """How much operational time the day is worth, for visits and for contacts."""
        person, fate, noon = self.person, self.person.fate, day.start_ms + DAY_MS // 2
        if person.joined_ms is not None and person.joined_ms >= day.end_ms:
            return 0.0, 0.0
        visits = contacts = day.weights[person.segment]
        if fate.left_ms is not None and day.start_ms > fate.left_ms:
            if fate.back_ms is None or day.end_ms <= fate.back_ms:
                return 0.0, 0.0
            visits *= 0.6
        elif fate.left_ms is not None and fate.warn_ms is not None and noon > fate.warn_ms:
            gone = min(1.0, (noon - fate.warn_ms) / (fate.left_ms - fate.warn_ms))
            visits *= 1 - 0.85 * gone
            contacts *= 1.8
        if person.quiet is not None and person.quiet[0] <= noon < person.quiet[1]:
            visits *= 0.04
            contacts *= 0.04
        return visits * person.rate * self._activity, contacts * person.contact_rate * self._calm

    def _schedule(self, rng: random.Random) -> None:
        """All that is known from the start: who they are, contracts, incidents, leaving, coming back."""
        person, plan, fate = self.person, self.plan, self.person.fate
        if person.joined_ms is not None:
            self._sign_up(person.joined_ms, rng)
        else:
            # Known customers are imported in the first hours of the log.
            self.push(plan.start_ms + int(2 * HOUR_MS * rng.random()), profile_event(person, rng))
        if person.linked_ms is not None:
            self.push(person.linked_ms, {"kind": "link", "ref": person.alias_id, "by": "identity"})
        if person.account is not None and person.account.due_ms is not None:
            self.later(person.account.due_ms - 14 * DAY_MS, self._contract_due)
            self.later(person.account.due_ms, self._contract_end)
        for incident in plan.incidents:
            self._suffer(incident)
        if fate.left_ms is not None:
            self.later(fate.left_ms, self._leave)
        if fate.back_ms is not None:
            self.later(fate.back_ms, self.visit)
        if fate.warn_ms is not None and rng.random() < 0.3:
            self.later(fate.warn_ms + 8 * DAY_MS, self._call)

    def _sign_up(self, ts: int, rng: random.Random) -> None:
        person = self.person
        event: dict[str, Any] = {"kind": "signup", "channel": person.visit_channel}
        if person.index and rng.random() < 0.25:
            event["referred_by"] = f"u{int(rng.random() * person.index):06d}"
        self.push(ts, event)
        self.push(ts + 20_000, profile_event(person, rng))
        if person.account is not None:
            self.push(ts + 40_000, {"kind": "contract", "step": "start", "account_id": person.account.account_id})
        if person.fate.how != "never_activated":
            self.later(ts + int(MINUTE_MS * (2 + 600 * rng.random() ** 3)), self.visit)

    def _suffer(self, incident: Incident) -> None:
        person, name = self.person, incident.name
        demand = next(each.demand for each in SERVICES if each.category == incident.category)
        if demand[SEGMENTS.index(person.segment)] == 0 or uniform(self._base, name) >= incident.reach * self._calm:
            return
        ts = incident.from_ms + int(uniform(self._base, name, "when") ** 1.5 * (incident.to_ms - incident.from_ms))
        self.later(ts, lambda ts, rng: self._report(ts, rng, incident))

    def _report(self, ts: int, rng: random.Random, incident: Incident) -> None:
        if not self.alive(ts):
            return
        service = next(each for each in SERVICES if each.category == incident.category)
        channel = incident.channel if rng.random() < 0.7 else pick(rng, CONTACT_CHANNELS, self.person.contact_weights)
        Case(self, self._new_case(), service, channel, incident).open(
            ts, rng, "complaint" if rng.random() < 0.15 else "request"
        )

    def _new_case(self) -> str:
        self.n_cases += 1
        return f"k-{self.person.index:06d}-{self.n_cases:03d}"

    def visit(self, ts: int, rng: random.Random) -> None:
        """The step of a visit, if they still are a customer."""
        if self.alive(ts):
            visit(self, ts, rng)

    def _turn_to_us(self, ts: int, rng: random.Random) -> None:
        if not self.alive(ts):
            return
        part = period(self.plan.date_of(ts))
        service = wanted(rng, self.person.segment, part)
        channel = pick(rng, CONTACT_CHANNELS, self.person.contact_weights)
        if channel in ("app", "web") and rng.random() < 0.6:
            self.push(ts, {"kind": "session", "channel": channel})
            ts += 15_000 + int(60_000 * rng.random())
            if not self.alive(ts):
                return
        kind = pick(rng, ("request", "complaint", "suggestion"), (60, 40, 0) if self.fading(ts) else (90, 5, 5))
        Case(self, self._new_case(), service, channel, None).open(ts, rng, kind)

    def _promote(self, campaign: Campaign, rng: random.Random) -> None:
        ts = campaign.at_ms + int(10 * MINUTE_MS * rng.random())
        if rng.random() < campaign.reach * self._calm and self._addressable(ts):
            event = {"kind": "promotion", "category": campaign.category, "channel": campaign.channel}
            self.push(ts, event | {"campaign_id": campaign.campaign_id})
            self.open_campaign = campaign.campaign_id

    def _mail(self, day: Day, rng: random.Random) -> None:
        ts = day.start_ms + 9 * HOUR_MS + int(10 * MINUTE_MS * rng.random())
        if rng.random() < self._calm and self._addressable(ts):
            name = f"digest-{day.number // 7:03d}"
            self.push(ts, {"kind": "promotion", "channel": "email", "campaign_id": name})
            self.open_campaign = name

    def _addressable(self, ts: int) -> bool:
        """Promotions go on for a month after somebody went silent, and stop at once after a cancellation."""
        fate = self.person.fate
        if self.alive(ts):
            return True
        return fate.how == "silent" and fate.left_ms is not None and fate.left_ms < ts < fate.left_ms + 30 * DAY_MS

    def _pay(self, ts: int, rng: random.Random) -> None:
        if self.alive(ts) and rng.random() < self._calm:
            failed = rng.random() < (0.4 if self.fading(ts) else 0.03)
            self.push(ts, {"kind": "payment", "category": "payments/fee", "outcome": "failed" if failed else "ok"})

    def _contract_due(self, ts: int, rng: random.Random) -> None:
        account = self.person.account
        if account is not None and self.alive(ts):
            self.push(ts, {"kind": "contract", "step": "due", "account_id": account.account_id})

    def _contract_end(self, ts: int, rng: random.Random) -> None:
        account = self.person.account
        if account is None or not self.alive(ts):
            return
        if self.person.fate.how == "lapsed":
            self.push(ts, {"kind": "contract", "step": "lapsed", "account_id": account.account_id})
        elif not account.lapses:
            self.push(ts, {"kind": "contract", "step": "renewed", "account_id": account.account_id})

    def _leave(self, ts: int, rng: random.Random) -> None:
        fate = self.person.fate
        if fate.left_ms != ts:
            # A case made them leave at another time than they would have.
            return
        if fate.how == "cancel":
            self.push(ts, {"kind": "cancel", "channel": self.person.visit_channel})
        if fate.how in ("cancel", "silent") and rng.random() < 0.4:
            self.later(ts + int((8 + 10 * rng.random()) * DAY_MS), self._call)

    def _call(self, ts: int, rng: random.Random) -> None:
        """Somebody of ours calls a person who faded or left."""
        outcome = pick(rng, ("reached", "no_answer", "bounced"), (4, 5, 1))
        self.push(self.plan.office(ts), {"kind": "outreach", "channel": "phone", "outcome": outcome})
