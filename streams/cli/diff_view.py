"""The terminal's view of a difference between two runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from streams.cli.diff_texts import text
from streams.cli.report import at_text, console
from streams.diff.row import FLAG_FACTS

__all__ = ["print_difference"]

_KINDS = ("enter", "leave", *FLAG_FACTS)


def print_difference(facts: Mapping[str, Any], lang: str) -> None:
    """Print what `henji diff --json` says, for people."""
    out = console()
    parts = ", ".join(text(part, lang) for part in facts["compared"]) or text("nothing", lang)
    _say(out, "sides", lang, a=facts["a"], b=facts["b"], parts=parts)
    out.print(f"[bold]{text('equal' if facts['equal'] else 'differ', lang)}[/bold]")
    _print_numbers(out, facts, lang)
    _print_flags(out, facts["flags"], lang)
    _print_scores(out, facts, lang)
    if facts["facts"]:
        _say(out, "facts", lang, fields=_counts(facts["facts"]))
    alerts = facts["alerts"]
    if alerts["fields"]:
        _say(out, "alert_fields", lang, fields=_counts(alerts["fields"]))
    if alerts["out_of_order"]:
        _say(out, "out_of_order", lang, n=alerts["out_of_order"])
    if alerts["not_compared"]:
        _say(out, "not_compared", lang, n=alerts["not_compared"])
    _print_details(out, facts, lang)
    _print_first(out, facts, lang)
    if facts["log"] is not None:
        _print_log(out, facts["log"], facts["equal"], lang)


def _say(out: Console, name: str, lang: str, **facts: Any) -> None:
    told = {key: escape(value) if isinstance(value, str) else value for key, value in facts.items()}
    out.print(text(name, lang, **told), highlight=False, soft_wrap=True)


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {n:,}" for name, n in counts.items())


def _print_numbers(out: Console, facts: Mapping[str, Any], lang: str) -> None:
    names = ("only_a", "only_b", "differing")
    table = Table("", "A", "B", *(text(name, lang) for name in names), box=None, header_style="bold")
    for part in facts["compared"]:
        what = "customers" if part == "board" else part
        row = facts[what]
        table.add_row(text(what, lang), *(f"{row[name]:,}" for name in ("a", "b", *names)))
    if table.row_count:
        out.print(table)


def _print_flags(out: Console, flags: Mapping[str, Mapping[str, int]], lang: str) -> None:
    if not flags:
        return
    table = Table(text("flag", lang), *(text(kind, lang) for kind in _KINDS), box=None, header_style="bold")
    for flag, counts in flags.items():
        table.add_row(escape(flag), *(f"{counts.get(kind, 0):,}" for kind in _KINDS))
    out.print(table)


def _print_scores(out: Console, facts: Mapping[str, Any], lang: str) -> None:
    names = ("differing", "missing", "max", "mean")
    table = Table(text("score", lang), *(text(name, lang) for name in names), box=None, header_style="bold")
    for place, gaps in (("of_board", facts["scores"]), ("of_predictions", facts["predictions"]["scores"])):
        for name, gap in gaps.items():
            if gap["differ"] or gap["missing"]:
                cells = (f"{gap['differ']:,}", f"{gap['missing']:,}", f"{gap['max']:.6g}", f"{gap['mean']:.6g}")
                table.add_row(text(place, lang, name=name), *cells)
    if table.row_count:
        out.print(table)


def _print_details(out: Console, facts: Mapping[str, Any], lang: str) -> None:
    details = facts["details"]
    for name, tell in (("customers", _customer), ("alerts", _alert), ("predictions", _prediction)):
        shown = details[name]
        if not shown:
            continue
        numbers = facts[name]
        total = numbers["only_a"] + numbers["only_b"] + numbers["differing"]
        out.print(f"[bold]{text(f'details_{name}', lang, n=len(shown), total=total)}[/bold]")
        for each in shown:
            out.print("  " + escape(tell(each, lang)), highlight=False, soft_wrap=True)


def _customer(each: Mapping[str, Any], lang: str) -> str:
    told = [each["customer_id"]]
    if each["side"] != "both":
        told.append(text(f"side_{each['side']}", lang))
    for flag in each["flags"]:
        kinds = [text(kind, lang) + _values(kind, flag) for kind in flag["kinds"]]
        told.append(f"{flag['flag']}: {', '.join(kinds)}")
    for name, (a, b) in (each.get("scores", {}) | each.get("facts", {})).items():
        told.append(f"{name} {_both(name, a, b)}")
    return "  ".join(told)


def _values(kind: str, flag: Mapping[str, Any]) -> str:
    if kind in ("enter", "leave"):
        return ""
    return " " + _both(kind, flag["a"][kind], flag["b"][kind])


def _both(name: str, a: Any, b: Any) -> str:
    here, there = _value(name, a), _value(name, b)
    # Two values that only look the same are shown in full.
    return f"{here} / {there}" if here != there else f"{a!r} / {b!r}"


def _value(name: str, value: Any) -> str:
    if name in ("since", "until", "as_of", "at"):
        return at_text(value)
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ", ".join(str(each) for each in value[:5]) + (", ..." if len(value) > 5 else "") + "]"
    return "-" if value is None else str(value)


def _alert(each: Mapping[str, Any], lang: str) -> str:
    alert = each["a"] or each["b"]
    where = text(f"side_{each['side']}", lang) if each["side"] != "both" else ", ".join(each["fields"])
    name = alert["flag"] if alert["category"] is None else f"{alert['flag']}/{alert['category']}"
    return f"{at_text(alert['at'])}  {alert['customer_id']}  {name}  {alert['op']}  {where}"


def _prediction(each: Mapping[str, Any], lang: str) -> str:
    a, b = each["a"], each["b"]
    told = a or b
    if a is None or b is None:
        what = text(f"side_{each['side']}", lang)
    else:
        names = [name for name in ("churn", "engagement", "contact") if a[name] != b[name]]
        what = ", ".join(f"{name} {_both(name, a[name], b[name])}" for name in names)
    return f"{at_text(told['at'])}  {told['customer_id']}  {told['event_id'] or told['trigger']}  {what}"


def _print_first(out: Console, facts: Mapping[str, Any], lang: str) -> None:
    first = facts["first"]
    if first is None:
        return
    what = text("flag_first" if first["what"] == "flag" else first["what"], lang, flag=first["flag"], op=first["op"])
    events = text("events", lang, events=", ".join(first["events"][:5])) if first["events"] else ""
    side = text(f"side_{first['side']}", lang)
    told = {"what": what, "customer": first["customer_id"], "at": at_text(first["at"]), "side": side, "events": events}
    _say(out, "first", lang, **told)
    if facts["log"] is None:
        _say(out, "first_note", lang)


def _print_log(out: Console, log: Mapping[str, Any], equal: bool, lang: str) -> None:
    changes = [text(kind, lang, n=n) for kind, n in log["changes"].items()]
    if changes:
        _say(out, "changes", lang, changes=", ".join(changes))
    else:
        _say(out, "no_changes", lang)
    effect, cause = log["effect"], log["cause"]
    if effect is None:
        _say(out, "no_effect" if equal else "not_from_log", lang)
        return
    what = ", ".join(text(f"what_{name}", lang) for name in effect["differs"])
    _say(out, "from_event", lang, **_event(effect["a"] or effect["b"], effect), what=what)
    if cause is None:
        _say(out, "cause_settings", lang)
        return
    fields = [f"{name} {_both(name, a, b)}" for name, (a, b) in cause["fields"].items()]
    told = {**_event(cause, cause), "kind": text(f"kind_{cause['kind']}", lang)}
    _say(out, "cause", lang, **told, fields="".join(f"; {each}" for each in fields))


def _event(event: Mapping[str, Any], where: Mapping[str, Any]) -> dict[str, str]:
    places = [
        f"{name.upper()} {where[name]['source']}:{where[name]['position']}" for name in "ab" if where[name] is not None
    ]
    return {
        "event": event["event_id"] or "?",
        "customer": event["customer_id"] or "-",
        "kind": event["event"] or "?",
        "at": at_text(event["at"]),
        "place": ", ".join(places),
    }
