"""The status of every rule at a time, by plain scans over a customer's applied events.

`status` answers for one customer and one time `tau`: it takes the events with `ts <= tau` and works everything out from
the first event on. Nothing is kept between calls, nothing is clever: the word for word reading of `docs/rules.md`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.episodes import Episode, Hold, Key, Op, Reset, ops, overridden, record, stretches
from tests.oracle.intake import Trace
from tests.oracle.rules import (
    DEFAULT,
    UNKNOWN,
    Composite,
    Count,
    Follows,
    Groups,
    Overdue,
    Predicate,
    RuleSet,
    Tier,
    category_key,
    matches,
)


@dataclass(slots=True)
class Status:
    """What is known of one customer at one time."""

    flags: list[dict[str, Any]] = field(default_factory=list)
    episodes: dict[Key, list[Op]] = field(default_factory=dict)


def without_twins(traces: Iterable[Trace]) -> list[Trace]:
    """The earliest event of each contact; `traces` are in order."""
    kept: list[Trace] = []
    contacts: set[str] = set()
    for trace in traces:
        if trace.contact_id is None or trace.contact_id not in contacts:
            kept.append(trace)
        if trace.contact_id is not None:
            contacts.add(trace.contact_id)
    return kept


def by_key(traces: Sequence[Trace], counts: Predicate, level: int | None) -> dict[str | None, list[Trace]]:
    """Counted events of each category key, in order, twins still among them."""
    keyed: dict[str | None, list[Trace]] = {}
    for trace in traces:
        if counts(trace):
            category = category_key(trace.category, level)
            if level is None or category is not None:
                keyed.setdefault(category, []).append(trace)
    return keyed


def tier_end(counted: Sequence[Trace], tier: Tier) -> int | None:
    """End of a tier after the last of `counted`, `None` when it does not hold there."""
    if len(counted) < tier.threshold:
        return None
    kth_newest = counted[-tier.threshold].ts
    return kth_newest + tier.window if kth_newest >= counted[-1].ts - tier.window else None


def is_answer(trace: Trace, counted: Sequence[Trace]) -> bool:
    """Whether an event answers one of the counted promotions."""
    if trace.kind in ("promotion", "outreach"):
        return False
    by_campaign = trace.campaign_id is not None and any(c.campaign_id == trace.campaign_id for c in counted)
    by_purchase = trace.kind == "purchase" and any(c.campaign_id is None for c in counted)
    return by_campaign or by_purchase


def scan_count(traces: Sequence[Trace], of_key: Sequence[Trace], rule: Count) -> tuple[list[Hold | Reset], list[Trace]]:
    """Holds and resets of one key, and the events that still count at the end."""
    counts = {trace.order for trace in without_twins(of_key)}
    counted: list[Trace] = []
    moments: list[Hold | Reset] = []
    for trace in traces if rule.answered else of_key:
        if trace.order in counts:
            counted.append(trace)
            ends = [end for tier in rule.tiers if (end := tier_end(counted, tier)) is not None]
            if ends:
                moments.append(Hold(trace.ts, trace.event_id, max(ends)))
        elif rule.answered and is_answer(trace, counted):
            counted = []
            moments.append(Reset(trace.ts))
    return moments, counted


def last_end(counted: Sequence[Trace], tier: Tier) -> int | None:
    """Latest end among all the counted events at which the tier held."""
    ends = [end for n in range(1, len(counted) + 1) if (end := tier_end(counted[:n], tier)) is not None]
    return max(ends, default=None)


def within(counted: Sequence[Trace], window: int) -> int:
    """Counted events within a window that ends at the last of them."""
    return sum(trace.ts >= counted[-1].ts - window for trace in counted)


def status_of_count(traces: Sequence[Trace], rule: Count, tau: int, out: Status) -> list[Hold]:
    holding: list[Hold] = []
    for category, of_key in by_key(traces, rule.counts, rule.level).items():
        moments, counted = scan_count(traces, of_key, rule)
        episodes = stretches(moments, tau)
        holding += [hold for episode in episodes for hold in episode.holds]
        if not episodes:
            continue
        out.episodes[rule.flag, category] = ops(episodes)
        if episodes[-1].cleared is None:
            ends = [(tier, last_end(counted, tier)) for tier in rule.tiers]
            tier = [tier for tier, end in ends if end is not None and end >= tau][-1]
            count = within(counted, tier.window)
            out.flags.append(record(rule.flag, category, episodes[-1], count, tier.severity))
    return holding


def pair_end(counted: Sequence[Trace], rule: Groups) -> int | None:
    """End of the best pair after the last of `counted`, `None` when it does not hold there."""
    older = [
        min(one.ts, other.ts)
        for one in counted
        for other in counted
        if rule.first(one) and rule.second(other) and not (one.case_id is not None and one.case_id == other.case_id)
    ]
    if not older or max(older) < counted[-1].ts - rule.window:
        return None
    return max(older) + rule.window


def status_of_groups(traces: Sequence[Trace], rule: Groups, tau: int, rules: RuleSet, out: Status) -> list[Hold]:
    def either(trace: Trace) -> bool:
        return rule.first(trace) or rule.second(trace)

    holding: list[Hold] = []
    for category, of_key in by_key(traces, either, rule.level).items():
        if rules.reading.twins_across_groups:
            counted = without_twins(of_key)
        else:
            one, other = [without_twins([t for t in of_key if group(t)]) for group in (rule.first, rule.second)]
            counted = sorted({*one, *other}, key=lambda trace: trace.order)
        ends = [(trace, pair_end(counted[: n + 1], rule)) for n, trace in enumerate(counted)]
        moments = [Hold(trace.ts, trace.event_id, end) for trace, end in ends if end is not None]
        holding += moments
        episodes = stretches(moments, tau)
        if not episodes:
            continue
        out.episodes[rule.flag, category] = ops(episodes)
        if episodes[-1].cleared is None:
            out.flags.append(record(rule.flag, category, episodes[-1], within(counted, rule.window), ""))
    return holding


def leaf(trace: Trace, rules: RuleSet) -> tuple[bool, str | None]:
    """Whether an event can open or follow under a leaf category, and which."""
    if trace.category == UNKNOWN and not rules.reading.unknown_is_a_key:
        return False, None
    return True, trace.category


def status_of_overdue(traces: Sequence[Trace], rule: Overdue, tau: int, rules: RuleSet, out: Status) -> None:
    keyed: dict[str | None, list[Trace]] = {}
    for trace in traces:
        has_key, category = leaf(trace, rules)
        if rule.opens(trace) and has_key:
            keyed.setdefault(category, []).append(trace)
    answers = [trace for trace in traces if rule.answers(trace)]
    for category, of_key in keyed.items():
        episodes, open_raises = scan_overdue(without_twins(of_key), answers, rule, tau)
        if not episodes:
            continue
        out.episodes[rule.flag, category] = ops(episodes)
        if episodes[-1].cleared is None:
            out.flags.append(record(rule.flag, category, episodes[-1], len(open_raises), ""))


def scan_overdue(
    opened: Sequence[Trace], answers: Sequence[Trace], rule: Overdue, tau: int
) -> tuple[list[Episode], list[int]]:
    """Episodes of one key, and the raise times of what is open and raised at `tau`, oldest first."""
    due: list[tuple[int, int, tuple[int, str], Trace]] = []
    for a in opened:
        first = next((b for b in answers if b.order > a.order and matches(a, b)), None)
        if first is None or first.ts > a.ts + rule.window:
            due.append((a.ts + rule.window, 1, a.order, a))
    # A timer due at d acts after the events of d and before those of d + 1: at one time, events (0) before raises (1).
    happenings = sorted([*due, *((b.ts, 0, b.order, b) for b in answers)], key=lambda happening: happening[:3])
    episodes: list[Episode] = []
    open_raised: list[Trace] = []
    for time, is_raise, _, trace in happenings:
        if time + is_raise > tau:
            continue
        # A raise at exactly `until` keeps the flag up, as a counted event there would.
        if open_raised and open_raised[-1].ts + rule.window + rule.expire < time:
            episodes[-1].cleared = episodes[-1].until
            open_raised = []
        if is_raise:
            if not open_raised:
                episodes.append(Episode(at=time, first_since=time, since=time, until=None))
            open_raised.append(trace)
        elif open_raised:
            left = [a for a in open_raised if not (trace.order > a.order and matches(a, trace))]
            newest = left[-1].ts + rule.window + rule.expire if left else 0
            # When the newest is answered, what is left may have expired long ago: the flag ends here.
            if newest < time:
                left = []
                episodes[-1].cleared = time
            open_raised = left
        if open_raised:
            episodes[-1].since = open_raised[0].ts + rule.window
            episodes[-1].until = open_raised[-1].ts + rule.window + rule.expire
    if open_raised and open_raised[-1].ts + rule.window + rule.expire < tau:
        episodes[-1].cleared = episodes[-1].until
        open_raised = []
    return episodes, [a.ts + rule.window for a in open_raised]


def status_of_follows(traces: Sequence[Trace], rule: Follows, tau: int, rules: RuleSet, out: Status) -> None:
    keyed: dict[str | None, list[Trace]] = {}
    firsts = [trace for trace in traces if rule.before(trace)]
    for b in traces:
        if not rule.after(b):
            continue
        newest = next((a for a in reversed(firsts) if a.order < b.order and matches(a, b)), None)
        if newest is None or b.ts - newest.ts > rule.window:
            continue
        has_key, category = leaf(newest, rules)
        if has_key:
            keyed.setdefault(category, []).append(b)
    for category, raising in keyed.items():
        episodes = stretches([Hold(b.ts, b.event_id, b.ts + rule.expire) for b in without_twins(raising)], tau)
        out.episodes[rule.flag, category] = ops(episodes)
        if episodes[-1].cleared is None:
            out.flags.append(record(rule.flag, category, episodes[-1], len(episodes[-1].holds), ""))


def status_of_composite(
    traces: Sequence[Trace], rule: Composite, holding: Sequence[Hold], tau: int, out: Status
) -> None:
    events = sorted({(hold.ts, hold.event_id) for hold in holding})
    own = stretches([Hold(ts, event_id, ts + rule.hold) for ts, event_id in events], tau)
    said = [trace for trace in traces if trace.kind == "override" and trace.flag == rule.flag]
    episodes = overridden(own, said, tau) if said else own
    if not episodes:
        return
    out.episodes[rule.flag, None] = ops(episodes)
    if episodes[-1].cleared is None:
        count = len(own[-1].holds) if own and own[-1].cleared is None else 0
        out.flags.append(record(rule.flag, None, episodes[-1], count, ""))


def status(traces: Sequence[Trace], tau: int, rules: RuleSet = DEFAULT) -> Status:
    """Flags of one customer at `tau`, and how they came and went until then.

    Parameters
    ----------
    traces
        Applied events of the customer by (ts, id); those after `tau` are not looked at.
    tau
        Event time, ms.
    rules
        The rules; tests give some with windows of a few ms.
    """
    seen = [trace for trace in traces if trace.ts <= tau]
    out = Status()
    holding: dict[str, list[Hold]] = {}
    for count in rules.counts:
        holding[count.flag] = status_of_count(seen, count, tau, out)
    for groups in rules.groups:
        holding[groups.flag] = status_of_groups(seen, groups, tau, rules, out)
    for overdue in rules.overdue:
        status_of_overdue(seen, overdue, tau, rules, out)
    for follows in rules.follows:
        status_of_follows(seen, follows, tau, rules, out)
    for composite in rules.composites:
        of_members = [hold for member in composite.members for hold in holding[member]]
        status_of_composite(seen, composite, of_members, tau, out)
    out.flags.sort(key=lambda flag: (flag["flag"], flag["category"] or ""))
    return out
