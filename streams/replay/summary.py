"""What a run did, as one JSON object and as text for people."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.landmarks import TRIGGERS
from engine.lane import Lane
from models.metrics import ClassificationMetrics, CountMetrics
from streams.replay.run import Replay
from streams.standing import Standing

__all__ = ["run_summary", "summary"]


def summary(standing: Standing) -> dict[str, Any]:
    """What a ledger came to: counts, alerts, models, digest; the same for a replay and for a live deployment."""
    lanes = standing.lanes
    ops: dict[str, int] = {}
    tallies: dict[str, int] = {}
    for lane in lanes:
        for key, n in lane.record.ops.items():
            ops[key] = ops.get(key, 0) + n
        for key, n in lane.record.tallies.items():
            tallies[key] = tallies.get(key, 0) + n
    flags = sorted({key.split(":")[0] for key in ops})
    by_flag = {
        flag: {op: ops[f"{flag}:{op}"] for op in ("raise", "update", "clear", "contact") if f"{flag}:{op}" in ops}
        for flag in flags
    }
    return {
        **standing.counts._asdict(),
        "customers": len(standing.board),
        "alerts": sum(ops.values()),
        "raises": {flag: counts["raise"] for flag, counts in by_flag.items() if "raise" in counts},
        "alerts_by_flag": by_flag,
        "tallies": dict(sorted(tallies.items())),
        "models": _models(lanes),
        "clock": max((lane.clock for lane in lanes), default=-1),
        "lanes": standing.settings.lanes,
        "rules": standing.rules.version,
        "settings": standing.settings.digest(),
        "digest": standing.digest,
    }


def run_summary(
    run: Replay, standing: Standing, *, wall_s: float, name: str, prefix: str, since: int | None = None
) -> dict[str, Any]:
    """The public summary of a run (`--json`).

    Parameters
    ----------
    run
        A finished run.
    standing
        What it came to.
    wall_s
        How long it took, seconds.
    name, prefix
        Of the run, and of its keys in Redis (empty without Redis).
    since
        Time of the first record, ms, where the log was cut there: of what came before nothing is known.
    """
    facts = summary(standing)
    digest = facts.pop("digest")
    return {
        **facts,
        "run": name,
        "prefix": prefix,
        "since": since,
        "resumed_at": run.resumed_at,
        "seconds": round(wall_s, 3),
        "events_per_second": round(run.n_read_now / wall_s, 1) if wall_s > 0 else None,
        "cores": run.cores,
        "stages": {stage: round(s, 3) for stage, s in run.seconds.items()},
        "digest": digest,
    }


def _models(lanes: Sequence[Lane]) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for number, trigger in enumerate(TRIGGERS):
        churn, engagement, contact = ClassificationMetrics(), CountMetrics(), ClassificationMetrics()
        balance: dict[str, int] = {}
        for lane in lanes:
            of_lane = lane.models.metrics(number)
            churn.merge(of_lane[0])
            engagement.merge(of_lane[1])
            contact.merge(of_lane[2])
            for key, n in lane.models.balance()[trigger].items():
                balance[key] = balance.get(key, 0) + n
        figures = {"churn": churn.get(), "engagement": engagement.get(), "contact": contact.get()}
        for label, found in figures.items():
            learned, erased = balance[f"{label}_learned"], balance[f"{label}_erased"]
            out[f"{label}_{trigger}"] = {
                **_rounded(found),
                "taken": balance["taken"],
                "learned": learned,
                "pending": balance["taken"] - learned - erased,
                "erased": erased,
            }
    return out


def _rounded(figures: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in figures.items()}
