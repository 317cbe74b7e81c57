"""The report of a comparison: one HTML file with nothing from outside, for those who decide about rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from html import escape
from math import isfinite, nan

from engine.duration import DAY_MS
from streams.evaluate.chart import Line, lines
from streams.evaluate.style import STYLE
from streams.whatif.comparison import Comparison, VariantResult
from streams.whatif.judgement import OUTCOMES
from streams.whatif.tally import FirstRaise
from streams.whatif.texts import share_text, text

__all__ = ["MOST_NAMES", "MOST_ROUTES", "definition_text", "log_text", "render"]

MOST_NAMES = 50
"""Customers that the page names per flag and direction."""

MOST_ROUTES = 12
"""Routes that the page lists per variant."""

_TAGS = {"en": "en", "zh": "zh-CN"}
_OWN = """
.scroll.names td{white-space:normal;overflow-wrap:anywhere;text-align:left}.scroll.names th{text-align:left}
h3{font-size:1rem;margin:16px 0 2px}.up{color:var(--good);font-weight:600}.down{color:var(--bad);font-weight:600}
@media print{.names tr{break-inside:avoid}section.long{break-inside:auto}}
"""


def render(found: Comparison, lang: str) -> str:
    """The whole page.

    Parameters
    ----------
    found
        What was found. Every word of it that comes from log or rules is escaped.
    lang
        `en` or `zh`.

    Returns
    -------
    str
        HTML 5. It holds no script, and its policy lets a browser fetch nothing.
    """
    parts = [
        _head(found, lang),
        *(_flags(found, result, lang) for result in found.compared),
        _sweep(found, lang),
        _load(found, lang),
        _outcomes(found, lang),
        _money(found, lang),
        *(_names(result, lang) for result in found.compared),
        _routes(found, lang),
        _foot(found, lang),
    ]
    return (
        f'<!doctype html>\n<html lang="{_TAGS[lang]}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(text('title', lang))}</title>\n<style>{STYLE}{_OWN}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _moment(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def _table(header: Sequence[str], rows: Sequence[str], caption: str, css: str = "") -> str:
    """A table that scrolls by itself where the page is narrow; `rows` are ready."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    return (
        f'<div class="scroll{css}" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f'<caption class="sr">{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(name: str, cells: Sequence[str], css: str = "") -> str:
    """A row; the cells are ready, the name is not."""
    kind = f' class="{css}"' if css else ""
    return f'<tr{kind}><th scope="row">{escape(name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _section(title: str, note: str, body: str, css: str = "") -> str:
    told = f'<p class="note">{escape(note)}</p>' if note else ""
    kind = f' class="{css}"' if css else ""
    return f"<section{kind}><h2>{escape(title)}</h2>{told}{body}</section>"


def _name(found: Comparison, result: VariantResult, lang: str) -> str:
    return text("now", lang) if result is found.now else result.variant.name


def _head(found: Comparison, lang: str) -> str:
    told = []
    for result in found.compared:
        n_enter = sum(len(each.enter) for each in result.flags.values())
        n_leave = sum(len(each.leave) for each in result.flags.values())
        told.append(
            text(
                "headline" if n_enter or n_leave else "headline_same",
                lang,
                name=result.variant.name,
                enter=f"{n_enter:,}",
                leave=f"{n_leave:,}",
                new=f"{result.delivered.mean:,.1f}",
                old=f"{found.now.delivered.mean:,.1f}",
            )
        )
    verdicts = "".join(f'<p class="verdict">{escape(each)}</p>' for each in told)
    return (
        f"<header><h1>{escape(text('title', lang))}</h1>{verdicts}"
        f"<p>{escape(log_text(found, lang))}</p>"
        f'<p class="note">{escape(definition_text(found, lang))}</p></header>'
    )


def definition_text(found: Comparison, lang: str) -> str:
    """What is counted as an outcome, in a few sentences."""
    return text("definition", lang, after=f"{found.after / DAY_MS:g}", horizon=f"{found.horizon / DAY_MS:g}")


def log_text(found: Comparison, lang: str) -> str:
    """What the log is, in a sentence."""
    return text(
        "log",
        lang,
        files=", ".join(found.sources),
        n=f"{found.n_records:,}",
        customers=f"{found.n_customers:,}",
        begin=_moment(found.begin),
        end=_moment(found.end),
    )


def _both(old: int, new: int) -> str:
    return f"{new:,}" if old == new else f'{new:,} <span class="se">({old:,})</span>'


def _flags(found: Comparison, result: VariantResult, lang: str) -> str:
    names = ("flag", "enters", "leaves", "customers", "raised", "per_day", "held", "left_rate", "base", "lift",
             "complained_rate", "base")  # fmt: skip
    rows = []
    for flag, new in result.flags.items():
        old = found.now.flags.get(flag)
        left, complained = new.outcomes["left"], new.outcomes["complained"]
        enter = f'<span class="up">+{len(new.enter):,}</span>' if new.enter else "0"
        leave = f'<span class="down">-{len(new.leave):,}</span>' if new.leave else "0"
        cells = [
            enter,
            leave,
            _both(old.customers if old else 0, new.customers),
            _both(old.raised if old else 0, new.raised),
            f"{new.delivered.mean:.2f}",
            f"{new.held.mean:.2f}",
            share_text(left.precision),
            share_text(left.base_rate),
            "-" if left.lift is None else f"{left.lift:.2f}",
            share_text(complained.precision),
            share_text(complained.base_rate),
        ]
        rows.append(_row(flag, cells, "own" if new.enter or new.leave else ""))
    title = f"{text('flags', lang)}: {result.variant.name}"
    return _section(title, "", _table([text(name, lang) for name in names], rows, title))


def _sweep(found: Comparison, lang: str) -> str:
    points = found.points
    if not points:
        return ""
    flag = found.swept.split(".")[1]
    labels = [str(each.variant.value) for each in points]
    results = [each.flags[flag] for each in points]
    left = [each.outcomes["left"] for each in results]
    right = [
        Line(text("precision", lang), [nan if f.precision is None else f.precision for f in left], 0),
        Line(text("recall", lang), [nan if f.recall is None else f.recall for f in left], 2),
        Line(text("base", lang), [nan if f.base_rate is None else f.base_rate for f in left], 1),
    ]
    load = [Line(text("per_day", lang), [each.delivered.mean for each in results], 0)]
    drawn = "".join(
        f"<figure><figcaption><h2>{escape(title)}</h2></figcaption>"
        f"{lines(name, title, _told(labels, series), labels, series)}{_keys(series)}</figure>"
        for name, title, series in (("sr", text("sweep_right", lang), right), ("sl", text("sweep_load", lang), load))
    )
    names = ["value", "customers", "raised", "per_day", "precision", "recall", "base", "lift", "lead",
             "complained_rate"]  # fmt: skip
    rows = []
    for label, result, f in zip(labels, results, left, strict=True):
        cells = [
            f"{result.customers:,}",
            f"{result.raised:,}",
            f"{result.delivered.mean:.2f}",
            share_text(f.precision),
            share_text(f.recall),
            share_text(f.base_rate),
            "-" if f.lift is None else f"{f.lift:.2f}",
            "-" if f.lead_d is None else f"{f.lead_d:.1f}",
            share_text(result.outcomes["complained"].precision),
        ]
        rows.append(_row(label, cells))
    title = text("sweep", lang, key=found.swept)
    table = _table([text(name, lang) for name in names], rows, title)
    return f'<div class="pair">{drawn}</div>{_section(title, "", table)}'


def _told(labels: Sequence[str], series: Sequence[Line]) -> str:
    return "; ".join(
        f"{line.name}: "
        + ", ".join(
            f"{label}: {f'{v:.3g}' if isfinite(v) else '-'}" for label, v in zip(labels, line.values, strict=True)
        )
        for line in series
    )


def _keys(series: Sequence[Line]) -> str:
    """Which line is whose."""
    items = (
        f'<li><svg viewBox="0 0 34 10" aria-hidden="true"><line class="key s{line.style}" x1="0" x2="34" y1="5" '
        f'y2="5"/></svg>{escape(line.name)}</li>'
        for line in series
    )
    return f'<ul class="keys">{"".join(items)}</ul>'


def _load(found: Comparison, lang: str) -> str:
    most = max(max(each.delivered.mean for each in (found.now, *found.new)), 1e-9)
    rows = []
    for each in (found.now, *found.new):
        meter = f'<span class="meter" style="width:{100 * each.delivered.mean / most:.1f}%"></span>'
        shown = "".join(
            f"<td>{cell}</td>"
            for cell in (
                f"{each.delivered.mean:,.1f}",
                f"{each.delivered.p95:,}",
                f"{each.delivered.most:,}",
                f"{each.held.mean:,.1f}",
            )
        )
        rows.append(
            f'<tr><th scope="row">{escape(_name(found, each, lang))}</th>{shown}'
            f'<td class="wide" style="width:40%">{meter}</td></tr>'
        )
    title = text("variants", lang)
    header = [text(name, lang) for name in ("variant", "per_day", "p95", "most", "held")]
    return _section(title, "", _table([*header, ""], rows, title))


def _outcomes(found: Comparison, lang: str) -> str:
    names = ("flag", "judged", "censored", "inactive", "precision", "base", "lift", "recall", "lead")
    parts = []
    for outcome in OUTCOMES:
        rows = []
        for result in (found.now, *found.compared):
            for flag, each in result.flags.items():
                f = each.outcomes[outcome]
                if not each.raised:
                    continue
                cells = [
                    f"{f.n:,}",
                    f"{f.censored:,}",
                    f"{f.inactive:,}",
                    share_text(f.precision),
                    share_text(f.base_rate),
                    "-" if f.lift is None else f"{f.lift:.2f}",
                    share_text(f.recall),
                    "-" if f.lead_d is None else f"{f.lead_d:.1f}",
                ]
                rows.append(_row(f"{flag} · {_name(found, result, lang)}", cells))
        title = text(f"outcome_{outcome}", lang)
        header = [text(name, lang) for name in names]
        parts.append(f"<h3>{escape(title)}</h3>{_table(header, rows, title)}")
    return _section(text("outcomes", lang), "", "".join(parts), "long")


def _money(found: Comparison, lang: str) -> str:
    money = found.money
    if money is None:
        return ""
    rows = []
    for result in (found.now, *found.new):
        net = result.net
        if net is not None:
            cells = [
                f"{net.alerts:,}",
                f"{net.departures:,}",
                f"{net.cost:,.0f}",
                f"{net.value:,.0f}",
                f"{net.net:,.0f}",
            ]
            rows.append(_row(_name(found, result, lang), cells))
    rate = share_text(money.success_rate)
    note = text("money_note", lang, cost=f"{money.cost_per_alert:g}", value=f"{money.value_kept:g}", rate=rate)
    header = [text(name, lang) for name in ("variant", "alerts", "departures", "cost", "worth", "net")]
    title = text("money", lang)
    return _section(title, note, _table(header, rows, title))


def _names(result: VariantResult, lang: str) -> str:
    parts = []
    for flag, each in result.flags.items():
        for word, names in (("enter", each.enter), ("leave", each.leave)):
            if names:
                parts.append(_people(f"{flag}: {text(word, lang)} ({len(names):,})", names, lang))
    title = f"{text('names', lang)}: {result.variant.name}"
    if not parts:
        return _section(title, text("nobody_moves", lang), "")
    return _section(title, text("names_note", lang), "".join(parts), "long")


def _people(title: str, names: Mapping[str, FirstRaise], lang: str) -> str:
    rows = [
        _row(
            name,
            [
                _moment(raised.at),
                escape(raised.severity),
                escape(raised.category or ""),
                escape(raised.evidence.replace("\0", ", ")),
            ],
        )
        for name, raised in list(names.items())[:MOST_NAMES]
    ]
    header = [text(name, lang) for name in ("customer", "at", "severity", "category", "evidence")]
    more = ""
    if len(names) > MOST_NAMES:
        more = f'<p class="note">{escape(text("more", lang, n=f"{len(names) - MOST_NAMES:,}"))}</p>'
    return f"<h3>{escape(title)}</h3>{_table(header, rows, title, ' names')}{more}"


def _routes(found: Comparison, lang: str) -> str:
    shown = (found.now, *found.compared)
    by_route = [{each.route: each for each in result.routes} for result in shown]
    routes = list(dict.fromkeys(each.route for result in shown for each in result.routes[:MOST_ROUTES]))
    rows = []
    for route in routes:
        cells = []
        for own in by_route:
            each = own.get(route)
            cells.append("0" if each is None else f"{each.delivered.mean:.2f}")
            cells.append("0" if each is None else f"{each.delivered.most:,}")
        rows.append(_row(route or text("nobody", lang), cells))
    header = [text("route", lang)]
    for result in shown:
        header += [_name(found, result, lang), text("most", lang)]
    title = text("routes", lang)
    return _section(title, "", _table(header, rows, title)) if rows else ""


def _foot(found: Comparison, lang: str) -> str:
    versions = ", ".join(
        f"{_name(found, each, lang)}: {each.variant.rules.version}" for each in (found.now, *found.compared)
    )
    return f"<footer>{escape(log_text(found, lang))} {escape(versions)}</footer>"
