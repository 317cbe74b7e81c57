"""A visit to the app or the web: session, views, and what people do while they are there."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

from streams.simulate.case import feedback, lognormal
from streams.simulate.services import wanted
from streams.simulate.settings import DAY_MS, pick

if TYPE_CHECKING:
    from streams.simulate.life import Life

__all__ = ["visit"]

MINUTE_MS = 60_000


def visit(life: Life, ts: int, rng: random.Random) -> None:
    """One visit of a customer from `ts` on.

    Parameters
    ----------
    life
        Whose visit it is; takes the events.
    ts
        When it begins, ms.
    rng
        The generator of the day.
    """
    person = life.person
    web = person.visit_channel == "web"
    if rng.random() < 0.15:
        web = not web
    more: dict[str, Any] = {"channel": "web" if web else "app"}
    if person.account is not None:
        more["account_id"] = person.account.account_id
    if person.alias_id and web and rng.random() < 0.5 and (person.linked_ms is None or ts < person.linked_ms):
        more["customer_id"] = person.alias_id
    life.push(ts, {"kind": "session", "touchpoint": "desktop" if web else "mobile"} | more)
    now = ts
    while rng.random() < 0.5:
        now += 3_000 + int(90_000 * rng.random())
        about = {"category": wanted(rng, person.segment, "").category} if rng.random() < 0.6 else {}
        life.push(now, {"kind": "view"} | about | more)
    _engage(life, now, rng, more)


def _engage(life: Life, now: int, rng: random.Random, more: dict[str, Any]) -> None:
    """What may come at the end of a visit: posts, purchases, an answer to a campaign, a rating."""
    person = life.person
    if rng.random() < person.talkative:
        now += int(60_000 * rng.random())
        action = pick(rng, ("like", "comment", "post", "share", "join", "message"), (6, 4, 2, 1, 1, 2))
        life.push(now, {"kind": "interact", "action": action} | more)
        if action == "post":
            _be_answered(life, now, rng)
    if rng.random() < person.spending:
        now += int(60_000 * rng.random())
        value = round(min(lognormal(rng, 30, 0.8), 2000.0), 2)
        life.push(now, {"kind": "purchase", "category": "food/card", "value": value} | more)
        if rng.random() < 0.02:
            # The canteen gives it back; bought and returned are both theirs.
            back = {"kind": "purchase", "category": "food/card", "value": -value}
            life.push(now + int(DAY_MS * rng.random()), back | more)
    if life.open_campaign and rng.random() < person.receptive:
        now += int(30_000 * rng.random())
        life.push(now, {"kind": "view", "campaign_id": life.open_campaign} | more)
        life.open_campaign = ""
    if rng.random() < 0.008:
        about = wanted(rng, person.segment, "").category
        pleased = 0.35 if life.fading(now) else 0.8
        life.push(now + 20_000, feedback(rng, about, more["channel"], pleased))


def _be_answered(life: Life, ts: int, rng: random.Random) -> None:
    while rng.random() < 0.5:
        ts += int(MINUTE_MS * lognormal(rng, 40, 1.2))
        life.push(ts, {"kind": "received", "channel": "app", "action": "comment"})
        if rng.random() < 0.25:
            # An answer brings people back.
            life.later(ts + int(MINUTE_MS * lognormal(rng, 60, 1.0)), life.visit)
