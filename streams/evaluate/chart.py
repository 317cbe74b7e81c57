"""Charts as inline SVG: a few lines and bars, readable in print, in the dark, on a phone and by a screen reader.

Colours are classes of the page's style sheet (`s0` to `s3`), so that light and dark need one drawing. Lines differ in
their dashes too, for those who do not see the colours and for black and white.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import ceil, floor, isfinite, log10
from typing import NamedTuple

__all__ = ["Line", "bars", "curve", "lines", "nice_ticks"]

_WIDTH, _HEIGHT = 480, 290
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 14, 14, 46


class Line(NamedTuple):
    """One line of a chart: its name, its values (NaN leaves a gap), and which style it has, 0 to 3."""

    name: str
    values: Sequence[float]
    style: int


class _Scale(NamedTuple):
    """A linear map of [low, high] to pixels."""

    low: float
    high: float
    begin: float
    end: float

    def __call__(self, value: float) -> float:
        span = self.high - self.low or 1.0
        return self.begin + (value - self.low) / span * (self.end - self.begin)


def nice_ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers that cover a range.

    Parameters
    ----------
    low, high
        The range; of no width it is widened.
    most
        About how many steps.

    Examples
    --------
    >>> nice_ticks(0.0, 1.0)
    [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
    >>> nice_ticks(0.52, 0.61)
    [0.52, 0.54, 0.56, 0.58, 0.6, 0.62]
    """
    if not high > low:
        low, high = low - 0.05, high + 0.05
    rough = (high - low) / most
    size = 10.0 ** floor(log10(rough))
    step = next(size * times for times in (1, 2, 2.5, 5, 10) if size * times >= rough * 0.999)
    first, last = floor(low / step + 1e-9), ceil(high / step - 1e-9)
    return [round(place * step, 10) for place in range(first, last + 1)]


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:g}"


def _frame(name: str, title: str, told: str, body: Sequence[str]) -> str:
    """The drawing with what a screen reader says of it."""
    return (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-labelledby="{name}-t {name}-d">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(told)}</desc>{"".join(body)}</svg>'
    )


def _value_axis(ticks: Sequence[float], y: _Scale, title: str) -> list[str]:
    out = []
    for tick in ticks:
        at = y(tick)
        out.append(f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        out.append(f'<text class="tick" x="{_LEFT - 7}" y="{at + 4.5:.1f}" text-anchor="end">{_number(tick)}</text>')
    if title:
        middle = (_TOP + _HEIGHT - _BOTTOM) / 2
        out.append(
            f'<text class="axis" transform="translate(13 {middle:.0f}) rotate(-90)" text-anchor="middle">'
            f"{escape(title)}</text>"
        )
    return out


def _named_axis(labels: Sequence[tuple[float, str]], title: str) -> list[str]:
    out = []
    for at, label in labels:
        # A long label at the right edge stays inside of the drawing.
        anchor = "end" if at > _WIDTH - _RIGHT - 30 and len(label) > 5 else "middle"
        place = f'x="{at:.1f}" y="{_HEIGHT - _BOTTOM + 19}" text-anchor="{anchor}"'
        out.append(f'<text class="tick" {place}>{escape(label)}</text>')
    if title:
        middle = (_LEFT + _WIDTH - _RIGHT) / 2
        out.append(f'<text class="axis" x="{middle:.0f}" y="{_HEIGHT - 6}" text-anchor="middle">{escape(title)}</text>')
    return out


def lines(
    name: str,
    title: str,
    told: str,
    labels: Sequence[str],
    series: Sequence[Line],
    marks: Sequence[tuple[float, str, str]] = (),
) -> str:
    """Values over time.

    Parameters
    ----------
    name
        Begins the ids of the drawing; of its own on the page.
    title, told
        What a screen reader says: the title, and the whole in a sentence.
    labels
        Of each place from left to right, such as a date.
    series
        The lines, as many values as labels; the first is drawn on top.
    marks
        Place (0 is the first label; fractions lie between), short name and text of vertical marks.
    """
    values = [v for line in series for v in line.values if isfinite(v)]
    ticks = nice_ticks(min(values, default=0.0), max(values, default=1.0))
    y = _Scale(ticks[0], ticks[-1], _HEIGHT - _BOTTOM, _TOP)
    x = _Scale(0, max(len(labels) - 1, 1), _LEFT + 8, _WIDTH - _RIGHT - 8)
    every = max(1, ceil(len(labels) / 3))
    shown = [(x(place), label) for place, label in enumerate(labels) if place % every == 0]
    body = [*_value_axis(ticks, y, ""), *_named_axis(shown, "")]
    for place, label, text in marks:
        at = x(place)
        body.append(
            f'<g class="mark"><title>{escape(text)}</title><line x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" '
            f'y2="{_HEIGHT - _BOTTOM}"/><text x="{at + 3:.1f}" y="{_TOP + 11}">{escape(label)}</text></g>'
        )
    for line in reversed(series):
        points = [(x(place), y(v)) for place, v in enumerate(line.values) if isfinite(v)]
        path = " ".join(f"{px:.1f},{py:.1f}" for px, py in points)
        body.append(f'<polyline class="line s{line.style}" points="{path}"/>')
        if len(points) <= 24:
            body += [f'<circle class="dot s{line.style}" cx="{px:.1f}" cy="{py:.1f}" r="3"/>' for px, py in points]
    return _frame(name, title, told, body)


def curve(name: str, title: str, told: str, axes: tuple[str, str], points: Sequence[tuple[float, float, int]]) -> str:
    """A reliability curve: stated and true probability, with the size of each point by how many it stands for.

    Parameters
    ----------
    name, title, told
        As for `lines`.
    axes
        Titles of the horizontal and the vertical axis.
    points
        Mean score, share that came true, number of scores.
    """
    ticks = nice_ticks(0.0, 1.0)
    y = _Scale(0, 1, _HEIGHT - _BOTTOM, _TOP)
    x = _Scale(0, 1, _LEFT, _WIDTH - _RIGHT)
    body = _value_axis(ticks, y, axes[1])
    body += _named_axis([(x(tick), _number(tick)) for tick in ticks], axes[0])
    body.append(f'<line class="ideal" x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}"/>')
    path = " ".join(f"{x(p):.1f},{y(share):.1f}" for p, share, _ in points)
    body.append(f'<polyline class="line s0" points="{path}"/>')
    most = max((n for _, _, n in points), default=1)
    for p, share, n in points:
        radius = 3 + 6 * (n / most) ** 0.5
        body.append(f'<circle class="dot s0" cx="{x(p):.1f}" cy="{y(share):.1f}" r="{radius:.1f}"/>')
    return _frame(name, title, told, body)


def bars(name: str, title: str, told: str, axis: str, counts: Sequence[int]) -> str:
    """How often each slice of [0, 1] occurs.

    Parameters
    ----------
    name, title, told
        As for `lines`.
    axis
        Title of the horizontal axis.
    counts
        One per slice, from the lowest.
    """
    ticks = nice_ticks(0.0, float(max(max(counts, default=0), 1)))
    y = _Scale(0, ticks[-1], _HEIGHT - _BOTTOM, _TOP)
    x = _Scale(0, 1, _LEFT, _WIDTH - _RIGHT)
    body = _value_axis(ticks, y, "")
    body += _named_axis([(x(tick), _number(tick)) for tick in nice_ticks(0.0, 1.0)], axis)
    width = (x(1) - x(0)) / max(len(counts), 1)
    for place, n in enumerate(counts):
        height = y(0) - y(n)
        body.append(
            f'<rect class="bar" x="{x(0) + place * width + 1:.1f}" y="{y(n):.1f}" width="{max(width - 2, 1):.1f}" '
            f'height="{height:.1f}"/>'
        )
    return _frame(name, title, told, body)
