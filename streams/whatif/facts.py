"""A comparison as data: what `henji whatif --json` prints."""

from __future__ import annotations

from typing import Any

from engine.duration import DAY_MS
from streams.whatif.comparison import Comparison, FlagResult, PerDay, VariantResult
from streams.whatif.judgement import Figures, Net
from streams.whatif.tally import FirstRaise

__all__ = ["facts"]


def facts(found: Comparison) -> dict[str, Any]:
    """The public summary; docs/whatif.md names every key. Equal inputs give equal facts, but for `seconds`."""
    first = found.compared[0] if found.new else found.now
    return {
        "flags": {
            flag: {"enter": list(result.enter), "leave": list(result.leave)} for flag, result in first.flags.items()
        },
        "version": 1,
        "log": {
            "sources": found.sources,
            "records": found.counts,
            "customers": found.n_customers,
            "active_per_day": _round(found.active),
            "begin": found.begin,
            "end": found.end,
        },
        "after_d": found.after / DAY_MS,
        "horizon_d": found.horizon / DAY_MS,
        "now": _variant(found.now),
        "variants": [_variant(each) for each in found.new],
        "sweep": found.swept or None,
    }


def _variant(result: VariantResult) -> dict[str, Any]:
    return {
        "name": result.variant.name,
        "rules": result.variant.rules.version,
        "value": result.variant.value,
        "flags": {name: _flag(each) for name, each in result.flags.items()},
        "delivered": _per_day(result.delivered),
        "held": _per_day(result.held),
        "held_reasons": result.held_reasons,
        "routes": [
            {"route": each.route, "delivered": _per_day(each.delivered), "held": _per_day(each.held)}
            for each in result.routes
        ],
        "net": _net(result.net),
        "seconds": round(result.seconds, 3),
    }


def _flag(result: FlagResult) -> dict[str, Any]:
    return {
        "raised": result.raised,
        "customers": result.customers,
        "enter": [_first(name, raised) for name, raised in result.enter.items()],
        "leave": [_first(name, raised) for name, raised in result.leave.items()],
        "delivered": _per_day(result.delivered),
        "held": _per_day(result.held),
        "outcomes": {outcome: _figures(each) for outcome, each in result.outcomes.items()},
        "net": _net(result.net),
    }


def _first(name: str, raised: FirstRaise) -> dict[str, Any]:
    return {
        "customer_id": name,
        "at": raised.at,
        "alert_id": raised.alert_id,
        "category": raised.category,
        "severity": raised.severity,
        "evidence": raised.evidence.split("\0") if raised.evidence else [],
    }


def _figures(f: Figures) -> dict[str, Any]:
    return {
        "judged": f.n,
        "followed": f.n_followed,
        "customers": f.customers,
        "customers_followed": f.customers_followed,
        "censored": f.censored,
        "inactive": f.inactive,
        "happened": f.happened,
        "seen": f.seen,
        "base_rate": _round(f.base_rate),
        "precision": _round(f.precision),
        "recall": _round(f.recall),
        "lift": _round(f.lift),
        "lead_d": _round(f.lead_d),
    }


def _per_day(p: PerDay) -> dict[str, Any]:
    return {"total": p.total, "mean": _round(p.mean), "p95": p.p95, "max": p.most}


def _net(net: Net | None) -> dict[str, Any] | None:
    if net is None:
        return None
    return {
        "alerts": net.alerts,
        "departures": net.departures,
        "cost": _round(net.cost),
        "value": _round(net.value),
        "net": _round(net.net),
    }


def _round(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
