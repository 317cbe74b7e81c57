"""The report: one HTML file with nothing from outside, for people who were not there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from html import escape
from math import isfinite

from streams.evaluate.chart import Line, bars, curve, lines
from streams.evaluate.evaluation import Evaluation, Judgement
from streams.evaluate.figures import Figures
from streams.evaluate.style import STYLE
from streams.evaluate.texts import anchor_name, hint, reason_name, text
from streams.evaluate.verdict import headline, sentences

__all__ = ["render"]

_DRAWN = ("prior", "logistic", "boosting", "bg_nbd")
_MOST_ANCHORS = 3  # beside henji in a chart: more lines than four nobody can follow
_TAGS = {"en": "en", "zh": "zh-CN"}


def render(evaluation: Evaluation, lang: str) -> str:
    """The whole page.

    Parameters
    ----------
    evaluation
        What was found. Every word of it that comes from the log is escaped.
    lang
        `en` or `zh`.

    Returns
    -------
    str
        HTML 5. It holds no script, and its policy lets a browser fetch nothing.
    """
    verdict = headline(evaluation, lang)
    judgement = evaluation.event
    told = "".join(f"<p>{escape(sentence)}</p>" for sentence in sentences(evaluation, lang))
    parts = [
        f"<header><h1>{escape(text('title', lang))}</h1>",
        f'<p class="verdict">{escape(verdict)}</p>{told}</header>',
        _tiles(judgement, lang),
        _anchors(evaluation, lang),
        f'<div class="pair">{_reliability(judgement, "r", lang)}{_distribution(judgement, lang)}</div>',
        f'<div class="pair">{_losses(evaluation, lang)}{_rates(evaluation, lang)}</div>',
        _marks(evaluation, lang),
        _silence(evaluation, lang),
        _counts(evaluation, lang),
        _reasons(evaluation, lang),
        _reading(evaluation, lang),
        _footer(evaluation, lang),
    ]
    return (
        f'<!doctype html>\n<html lang="{_TAGS[lang]}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(text('title', lang))}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _digits(value: float, digits: int = 4) -> str:
    return f"{value:.{digits}f}" if isfinite(value) else "–"


def _error(value: float, digits: int = 4) -> str:
    return f' <span class="se">± {_digits(value, digits)}</span>'


def _table(header: Sequence[str], rows: Sequence[str], caption: str) -> str:
    """A table that scrolls by itself where the page is narrow; `rows` are ready."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f'<caption class="sr">{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def _row(name: str, cells: Sequence[str], css: str = "") -> str:
    """A row; the cells are ready, the name is not."""
    kind = f' class="{css}"' if css else ""
    return f'<tr{kind}><th scope="row">{escape(name)}</th>{"".join(f"<td>{cell}</td>" for cell in cells)}</tr>'


def _fallback(header: Sequence[str], rows: Sequence[Sequence[str]], lang: str) -> str:
    """The figures of a chart as a table, for who cannot see it or wants them exactly."""
    ready = [_row(row[0], [escape(cell) for cell in row[1:]]) for row in rows]
    told = text("table", lang)
    return f"<details><summary>{escape(told)}</summary>{_table(header, ready, told)}</details>"


def _tiles(judgement: Judgement, lang: str) -> str:
    figures = judgement.figures
    shown = (
        (_digits(figures.auc, 3), text("auc", lang)),
        (_digits(figures.log_loss), text("log_loss", lang)),
        (_digits(figures.ece, 3), text("ece", lang)),
        (f"{figures.mean_p:.1%}", text("mean_p", lang)),
        (f"{figures.base_rate:.1%}", text("base_rate", lang)),
    )
    return (
        '<div class="tiles">'
        + "".join(f'<div class="tile"><b>{value}</b><span>{escape(name)}</span></div>' for value, name in shown)
        + "</div>"
    )


def _header(lang: str) -> list[str]:
    return [text(n, lang) for n in ("method", "auc", "log_loss", "delta", "standing", "brier", "ece", "mean_p")]


def _figures(figures: Figures, auc_se: float, delta: str = "", standing: str = "") -> list[str]:
    """Cells in the order of `_header`: what decides comes first, where a phone shows it without scrolling."""
    return [
        _digits(figures.auc) + _error(auc_se, 3),
        _digits(figures.log_loss),
        delta,
        standing,
        _digits(figures.brier),
        _digits(figures.ece),
        _digits(figures.mean_p, 3),
    ]


def _compared(judgement: Judgement, lang: str) -> list[str]:
    rows = [_row(anchor_name("henji", lang), _figures(judgement.figures, judgement.auc_se), "own")]
    for each in judgement.anchors:
        standing = f'<span class="{each.standing}">{escape(text(each.standing, lang))}</span>'
        delta = f"{each.delta:+.4f}{_error(each.delta_se)}"
        rows.append(_row(anchor_name(each.name, lang), _figures(each.figures, each.auc_se, delta, standing)))
    return rows


def _anchors(evaluation: Evaluation, lang: str) -> str:
    judgement = evaluation.event
    rows = _compared(judgement, lang)
    for name, needs in evaluation.absent.items():
        told = text("absent", lang, names=anchor_name(name, lang), needs=f"{needs} ({text('how_to_get', lang)})")
        rows.append(
            f'<tr class="out"><th scope="row">{escape(anchor_name(name, lang))}</th>'
            f'<td class="out" colspan="7">{escape(told)}</td></tr>'
        )
    title = text("anchors", lang)
    note = text("anchors_note", lang, n=f"{judgement.figures.n:,}", block=f"{evaluation.rules.block_d:g}")
    return _section(title, note, _table(_header(lang), rows, title))


def _section(title: str, note: str, *parts: str) -> str:
    """A part of the page; the parts of it are ready, title and note are not."""
    told = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<section><h2>{escape(title)}</h2>{told}{''.join(parts)}</section>"


def _figure(title: str, note: str, *parts: str) -> str:
    told = f'<p class="note">{escape(note)}</p>' if note else ""
    return f"<figure><figcaption><h2>{escape(title)}</h2>{told}</figcaption>{''.join(parts)}</figure>"


def _reliability(judgement: Judgement, name: str, lang: str) -> str:
    title = text("reliability", lang)
    note = text("reliability_note", lang, ece=_digits(judgement.figures.ece))
    axes = (text("score", lang), text("share", lang))
    drawn = curve(name, title, note, axes, [(each.mean_p, each.share, each.n) for each in judgement.bins])
    rows = [
        (f"{each.low:.1f}–{each.high:.1f}", f"{each.n:,}", _digits(each.mean_p, 3), _digits(each.share, 3))
        for each in judgement.bins
    ]
    header = [text(n, lang) for n in ("score", "n", "mean_p", "share")]
    return _figure(title, note, drawn, _fallback(header, rows, lang))


def _distribution(judgement: Judgement, lang: str) -> str:
    title = text("distribution", lang)
    counts = judgement.distribution
    told = ", ".join(f"{place / len(counts):.2f}: {n}" for place, n in enumerate(counts))
    rows = [(f"{place / len(counts):.2f}–{(place + 1) / len(counts):.2f}", f"{n:,}") for place, n in enumerate(counts)]
    table = _fallback([text("score", lang), text("n", lang)], rows, lang)
    return _figure(title, "", bars("d", title, told, text("score", lang), counts), table)


def _date(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d")


def _keys(series: Sequence[Line]) -> str:
    """Which line is whose."""
    items = (
        f'<li><svg viewBox="0 0 34 10" aria-hidden="true"><line class="key s{line.style}" x1="0" x2="34" y1="5" '
        f'y2="5"/></svg>{escape(line.name)}</li>'
        for line in series
    )
    return f'<ul class="keys">{"".join(items)}</ul>'


def _course(evaluation: Evaluation, name: str, title: str, series: Sequence[Line], lang: str) -> str:
    """Lines over the blocks, with the marks, their key and their table."""
    blocks = evaluation.event.blocks
    labels = [_date(block.at_ms) for block in blocks]
    first, length = blocks[0].at_ms, evaluation.rules.block_d * 86_400_000
    marks = []
    for number, mark in enumerate(evaluation.marks, 1):
        place = (mark.at_ms - first) / length
        # A mark may stand where nothing is judged yet: it needs no label.
        if 0 <= place <= len(blocks) - 1:
            marks.append((place, str(number), mark.text_en if lang == "en" else mark.text_zh))
    told = "; ".join(f"{line.name}: {', '.join(_digits(v, 3) for v in line.values)}" for line in series)
    rows = [
        (label, f"{block.n:,}", *(_digits(line.values[place]) for line in series))
        for place, (label, block) in enumerate(zip(labels, blocks, strict=True))
    ]
    header = [text("block", lang), text("n", lang), *(line.name for line in series)]
    drawn = lines(name, title, told, labels, series, marks)
    return _figure(title, "", drawn, _keys(series), _fallback(header, rows, lang))


def _losses(evaluation: Evaluation, lang: str) -> str:
    blocks = evaluation.event.blocks
    there = {each.name for each in evaluation.event.anchors}
    drawn = [name for name in _DRAWN if name in there][:_MOST_ANCHORS]
    series = [Line("henji", [block.log_loss for block in blocks], 0)]
    series += [
        Line(anchor_name(name, lang), [block.anchors[name] for block in blocks], style)
        for style, name in enumerate(drawn, 1)
    ]
    return _course(evaluation, "t", text("time", lang), series, lang)


def _rates(evaluation: Evaluation, lang: str) -> str:
    blocks = evaluation.event.blocks
    series = [
        Line(text("mean_p", lang), [block.mean_p for block in blocks], 0),
        Line(text("base_rate", lang), [block.base_rate for block in blocks], 2),
    ]
    return _course(evaluation, "b", text("rates", lang), series, lang)


def _marks(evaluation: Evaluation, lang: str) -> str:
    title = text("marks", lang)
    if not evaluation.marks:
        return _section(title, text("no_marks", lang))
    items = "".join(
        f"<li>{_date(mark.at_ms)}: {escape(mark.text_en if lang == 'en' else mark.text_zh)}</li>"
        for mark in evaluation.marks
    )
    return _section(title, "", f'<ol class="marks">{items}</ol>')


def _silence(evaluation: Evaluation, lang: str) -> str:
    judgement = evaluation.silence
    if judgement is None:
        return ""
    title = text("silence", lang)
    note = text("silence_note", lang, n=f"{judgement.figures.n:,}", customers=f"{judgement.n_customers:,}")
    rows = _compared(judgement, lang)
    return _section(title, note, _table(_header(lang), rows, title))


def _counts(evaluation: Evaluation, lang: str) -> str:
    counts = evaluation.counts
    if counts is None:
        return ""
    title = text("counts", lang)
    note = text("counts_note", lang, horizon=f"{counts.horizon_d:g}", n=f"{counts.n:,}", mean=f"{counts.mean:.2f}")
    rows = []
    for each in counts.rows:
        delta = "" if each.delta is None or each.delta_se is None else f"{each.delta:+.3f}{_error(each.delta_se, 3)}"
        cells = [_digits(each.deviance, 3), _digits(each.mae, 3), _digits(each.mean, 3), delta]
        rows.append(_row(anchor_name(each.name, lang), cells, "own" if each.name == "henji" else ""))
    header = [text(n, lang) for n in ("method", "deviance", "mae", "expected", "delta")]
    return _section(title, note, _table(header, rows, title))


def _reasons(evaluation: Evaluation, lang: str) -> str:
    if not evaluation.reasons:
        return ""
    title, most = text("reasons", lang), max(evaluation.reasons.values()) or 1.0
    rows = []
    for code, weight in evaluation.reasons.items():
        meter = f'<span class="meter" style="width:{100 * weight / most:.1f}%"></span>'
        rows.append(
            f'<tr><th scope="row">{escape(reason_name(code, lang))}</th><td>{weight:.3f}</td>'
            f'<td class="wide">{meter}</td></tr>'
        )
    header = [text("reason", lang), text("weight", lang), ""]
    return _section(title, text("reasons_note", lang), _table(header, rows, title))


def _reading(evaluation: Evaluation, lang: str) -> str:
    terms = "".join(
        f"<dt>{escape(text(name, lang))}</dt><dd>{escape(text('read_' + name, lang))}</dd>"
        for name in ("auc", "log_loss", "brier", "ece", "delta")
    )
    names = ["henji", *(each.name for each in evaluation.event.anchors), *evaluation.absent]
    methods = "".join(
        f"<dt>{escape(anchor_name(name, lang))}</dt><dd>{escape(hint(name, lang))}</dd>" for name in names
    )
    return (
        f'<div class="pair"><section><h2>{escape(text("reading", lang))}</h2><dl>{terms}</dl></section>'
        f"<section><h2>{escape(text('methods', lang))}</h2><dl>{methods}</dl></section></div>"
    )


def _footer(evaluation: Evaluation, lang: str) -> str:
    rules = evaluation.rules
    files = ", ".join(evaluation.sources)
    events = text("events", lang, n=f"{evaluation.n_events:,}", customers=f"{evaluation.n_customers:,}")
    protocol = text(
        "protocol",
        lang,
        begin=f"{rules.from_d:g}",
        end=f"{evaluation.end_d - rules.horizon_d:.4g}",
        unit=text("per_day" if rules.per_day else "per_instant", lang),
        block=f"{rules.block_d:g}",
    )
    return f"<footer>{escape(text('source', lang))}: {escape(files)} · {escape(events)} · {escape(protocol)}</footer>"
