"""What a log should give: the oracle's answer for whole logs, and for an alert's evidence alone."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.oracle.episodes import Op
from tests.oracle.flags import status
from tests.oracle.intake import lane_of, take_in
from tests.oracle.rules import DEFAULT, RuleSet

HOUR = 3_600_000


@dataclass(slots=True)
class OracleResult:
    """The answer for one log.

    Parameters
    ----------
    flags
        Every customer with an applied event -> the flags that are up at the clock of their lane, by (flag, category).
        `severity` is that of the tier for `repeat_request`; it is the caller's for the others, see `expected`.
    episodes
        (customer, flag, category) -> (`raise` or `clear`, at, since) as an in-order log of the applied events gives
        them, up to the lane clock. A clear has the `since` that held until then. An event that a `retract` took out is
        taken as never come.
    counts
        `read`, `applied`, `duplicate`, `late`, `dead`.
    clocks
        Lane -> clock in ms.
    """

    flags: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    episodes: dict[tuple[str, str, str | None], list[Op]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    clocks: dict[int, int] = field(default_factory=dict)


def expected(
    events: Iterable[Mapping[str, Any]],
    *,
    lanes: int = 1,
    lateness_ms: int | None = HOUR,
    remembered: int | None = 32,
    severities: Mapping[str, str] | None = None,
    rules: RuleSet = DEFAULT,
) -> OracleResult:
    """Flags and episodes of a log.

    Parameters
    ----------
    events
        The log in order of arrival.
    lanes, lateness_ms, remembered
        See `take_in`.
    severities
        Flag -> severity for the flags without tiers; `docs/rules.md` names none, so it is empty by default.
    rules
        The rules, with the reading of what can be read in two ways.
    """
    intake = take_in(events, lanes=lanes, lateness_ms=lateness_ms, remembered=remembered)
    result = OracleResult(counts=intake.counts, clocks=intake.clocks)
    for customer_id, traces in intake.traces.items():
        found = status(traces, intake.clocks[lane_of(customer_id, lanes)], rules)
        for flag in found.flags:
            flag["severity"] = flag["severity"] or (severities or {}).get(flag["flag"], "")
        result.flags[customer_id] = found.flags
        for (name, category), ops in found.episodes.items():
            result.episodes[customer_id, name, category] = ops
    return result


def replay_alone(
    events: Iterable[Mapping[str, Any]],
    evidence_ids: Collection[str],
    extra_tick_ts: int | None = None,
    *,
    customer_id: str | None = None,
    rules: RuleSet = DEFAULT,
) -> list[dict[str, Any]]:
    """Flags of one customer that the named events give by themselves.

    Parameters
    ----------
    events
        The log that the ids are from.
    evidence_ids
        Ids of events of one customer.
    extra_tick_ts
        Time to which a tick moves the clock afterwards, ms.
    customer_id
        Whose ids they are; needed only where customers share ids.
    """
    own = [
        event
        for event in events
        if event.get("event_id") in evidence_ids and customer_id in (None, event.get("customer_id"))
    ]
    if extra_tick_ts is not None:
        own.append({"event_id": "extra-tick", "kind": "tick", "lane": 0, "lanes": 1, "ts": extra_tick_ts})
    flags = expected(own, lateness_ms=None, remembered=None, rules=rules).flags
    if len(flags) > 1:
        raise ValueError(f"evidence_ids: expected ids of one customer, got those of {sorted(flags)}; give customer_id")
    return next(iter(flags.values()), [])


def minimal_evidence_holds(
    events: Sequence[Mapping[str, Any]],
    flag_record: Mapping[str, Any],
    alert: Mapping[str, Any],
    *,
    rules: RuleSet = DEFAULT,
) -> bool:
    """Whether an alert's evidence gives its flag by itself, and no longer without any one of its events.

    Parameters
    ----------
    events
        The log.
    flag_record
        `flag`, `category`, `until` and `severity` as they should come out. A severity is compared only for flags with
        tiers, where the oracle knows it.
    alert
        `customer_id`, `evidence` and `at`: the time, ms, as of which the record holds.
    """
    tick = int(alert["at"])
    for overdue in rules.overdue:
        if overdue.flag == flag_record["flag"]:
            tick = int(flag_record["until"]) - overdue.expire + 1

    def gives(ids: Collection[str]) -> bool:
        for flag in replay_alone(events, ids, tick, customer_id=alert["customer_id"], rules=rules):
            if (flag["flag"], flag["category"]) == (flag_record["flag"], flag_record["category"]):
                same_severity = flag["severity"] in ("", flag_record["severity"])
                return same_severity and bool(flag["until"] == flag_record["until"])
        return False

    evidence = list(alert["evidence"])
    return gives(evidence) and not any(gives([other for other in evidence if other != one]) for one in evidence)
