"""The ground truth: what nobody could know from the log alone while it runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from streams.simulate.life import Life
from streams.simulate.plan import Plan

__all__ = ["customer_row", "plan_rows"]


def plan_rows(plan: Plan) -> Iterator[dict[str, Any]]:
    """Lines about the campus: incidents, accounts' fate is told by their people, agents whose work fails often."""
    for incident in plan.incidents:
        yield incident.row()
    for days in plan.campaigns.values():
        for campaign in days:
            yield {
                "type": "campaign",
                "campaign_id": campaign.campaign_id,
                "at": campaign.at_ms,
                "reach": round(campaign.reach, 3),
            }
    for team, agents in plan.desk.agents.items():
        for agent in agents:
            share = round(plan.desk.fails[agent], 3)
            yield {"type": "agent", "agent_id": agent, "team": team, "fails": share}


def customer_row(life: Life) -> dict[str, Any]:
    """The line of one customer after their life was lived to the end of the log.

    Returns
    -------
    dict
        See docs/simulator.md for the fields.
    """
    person, end = life.person, life.plan.end_ms
    fate = person.fate
    leaves = fate.left_ms is not None and fate.left_ms < end
    back = fate.back_ms if leaves and fate.back_ms is not None and fate.back_ms < end else None
    warned = fate.warn_ms if fate.warn_ms is not None and fate.warn_ms < end else None
    return {
        "type": "customer",
        "customer_id": person.customer_id,
        "segment": person.segment,
        "account_id": person.account.account_id if person.account is not None else None,
        "joined_at": person.joined_ms,
        "leaves": leaves,
        "left_at": fate.left_ms if leaves else None,
        "last_activity_at": life.last_ms,
        "how": fate.how if leaves else None,
        "expected": leaves and fate.expected,
        "expected_end": person.expected_end.isoformat() if person.expected_end is not None else None,
        "warned": leaves and warned is not None,
        "warning_from": warned,
        "provoked_by": fate.provoked_by or None,
        "returned_at": back,
        "stages": _stages(life, leaves, warned, back),
        "twins": [{"contact_id": contact, "event_ids": pair} for contact, pair in life.twins.items() if len(pair) == 2],
        "alias": person.alias_id or None,
        "linked_at": person.linked_ms if person.linked_ms is not None and person.linked_ms < end else None,
        "events": life.n_events,
    }


def _stages(life: Life, leaves: bool, warned: int | None, back: int | None) -> list[list[int | str]]:
    """Changes of stage, in time order: `new`, `active`, `quiet`, `fading`, `left`, `back`."""
    person, start, end = life.person, life.plan.start_ms, life.plan.end_ms
    left = person.fate.left_ms if leaves else None
    stages: list[tuple[int, str]] = []
    if person.joined_ms is not None:
        stages.append((person.joined_ms, "new"))
        if person.fate.how != "never_activated":
            # The first two weeks are new.
            stages.append((person.joined_ms + 14 * 86_400_000, "active"))
    else:
        stages.append((start, "active"))
    if person.quiet is not None:
        stages.extend(((person.quiet[0], "quiet"), (person.quiet[1], "active")))
    first = stages[0]
    gone = min(each for each in (warned, left, end) if each is not None)
    stages = [first, *(each for each in stages[1:] if first[0] < each[0] < gone)]
    if warned is not None:
        stages.append((warned, "fading"))
    if left is not None:
        stages.append((left, "left"))
    if back is not None:
        stages.append((back, "back"))
    return [[at, stage] for at, stage in sorted(stages, key=lambda each: each[0])]
