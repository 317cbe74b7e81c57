"""The report: what it says, in both languages, and that nothing in the log can break out of it."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from streams.evaluate import texts
from streams.evaluate.activity import Activity
from streams.evaluate.anchor import BoostedTrees
from streams.evaluate.chart import Line, bars, curve, lines, nice_ticks
from streams.evaluate.evaluation import Compared, Evaluation, evaluate
from streams.evaluate.facts import facts
from streams.evaluate.mark import Mark, level_marks
from streams.evaluate.page import render
from streams.evaluate.protocol import Protocol
from streams.evaluate.verdict import absences, headline, sentences
from tests.streams.evaluate.logs import DAY, T0, Score, predictions_of, scores_at_events, steady_log

HOSTILE = "<script>alert('x')</script>\"&'"
VOID = {"meta", "br", "circle", "line", "rect", "polyline"}


@pytest.fixture(scope="module")
def found() -> Evaluation:
    """An evaluation with everything in it, and hostile words wherever the log has a say."""
    rows = steady_log()
    rows = [(HOSTILE + row[0], HOSTILE + row[1], *row[2:]) for row in rows]
    activity = Activity(rows)
    scores = scores_at_events(rows)
    scores += [Score(row[0], row[2] + days * DAY, None, 0.4) for row in rows for days in (1, 2, 4)]
    predictions = predictions_of(activity, scores)
    reasons = {place: {HOSTILE: -2.0, "recency": 1.0} for place in range(len(rows))}
    return evaluate(
        activity,
        predictions._replace(reasons=reasons),
        Protocol(14.0, 40.0, kinds=("purchase",), block_d=20.0),
        sources=[f"{HOSTILE}.jsonl"],
        marks=[Mark(T0 + 70 * DAY, HOSTILE, HOSTILE), Mark(T0 + 400 * DAY, "later", "之后")],
    )


class Tags(HTMLParser):
    """Collects tags, attributes and text; fails where tags do not nest."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_nests_and_takes_nothing_from_outside(found: Evaluation, lang: str) -> None:
    page = render(found, lang)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(tags.tags)
    names = {name for name, _ in tags.attributes}
    assert not {"src", "href", "srcset", "action", "data", "xlink:href"} & names
    assert not any(name.startswith("on") for name in names)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|@font-face", page)
    assert "default-src 'none'" in page
    ids = [value for name, value in tags.attributes if name == "id"]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_words_of_the_log_are_escaped(found: Evaluation, lang: str) -> None:
    page = render(found, lang)
    assert HOSTILE not in page
    # The name of the file, the mark in two charts and in the list, the reason.
    assert page.count("&lt;script&gt;") == 5


def test_each_language_says_it_in_its_own(found: Evaluation) -> None:
    english, chinese = render(found, "en"), render(found, "zh")
    assert '<html lang="en">' in english
    assert '<html lang="zh-CN">' in chinese
    assert not re.search(r"[\u4e00-\u9fff]", english)
    assert len(re.findall(r"[\u4e00-\u9fff]", chinese)) > 400


def test_every_chart_is_told_to_who_cannot_see_it(found: Evaluation) -> None:
    page = render(found, "en")
    charts = re.findall(r"<svg [^>]*role=\"img\".*?</svg>", page, re.DOTALL)
    assert len(charts) == 4
    for chart in charts:
        assert re.search(r"<title id=\"\w-t\">[^<]+</title><desc id=\"\w-d\">[^<]+</desc>", chart)
        assert "nan" not in chart
    assert page.count("<details>") == 4


def test_the_texts_have_the_same_places_in_both_languages() -> None:
    for name, (english, chinese) in texts._TEXTS.items():
        places = [sorted(set(re.findall(r"\{(\w+)\}", each))) for each in (english, chinese)]
        assert places[0] == places[1], name
    assert set(texts.ANCHOR_HINTS) | {"mean"} == set(texts._ANCHORS)


def test_the_object_has_the_keys_of_its_version(found: Evaluation) -> None:
    told = facts(found)
    assert list(told) == ["version", "verdict", "log", "protocol", "event", "silence", "counts", "absent", "marks",
                          "reasons"]  # fmt: skip
    assert told["event"]["henji"]["n"] == sum(told["event"]["distribution"])
    assert sum(each["n"] for each in told["event"]["blocks"]) == told["event"]["henji"]["n"]
    assert told["event"]["anchors"][0]["name"] == "prior"
    assert {"delta_log_loss", "delta_se", "henji_is", "auc", "log_loss", "brier", "ece"} <= set(
        told["event"]["anchors"][0]
    )
    assert told["counts"]["methods"][0]["delta_deviance"] is None
    assert told["reasons"] == {HOSTILE: 2.0, "recency": 1.0}
    assert told["marks"][0] == {"at": T0 + 70 * DAY, "text": HOSTILE}


def test_without_scikit_learn_the_report_says_what_is_missing(
    found: Evaluation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(BoostedTrees, "is_available", staticmethod(lambda: False))
    rows = steady_log(n_customers=30)
    activity = Activity(rows)
    poor = evaluate(activity, predictions_of(activity, scores_at_events(rows)), found.rules)
    assert poor.absent == {"boosting": "scikit-learn", "boosting_once": "scikit-learn"}
    assert poor.silence is None
    assert poor.reasons is None
    for lang in ("en", "zh"):
        assert "henji[evaluate]" in absences(poor, lang)[0]
        page = render(poor, lang)
        assert page.count("scikit-learn (pip install") == 3
        assert texts.text("silence", lang) not in page
        assert texts.text("reasons", lang) not in page


def with_anchors(found: Evaluation, *deltas: tuple[str, float, float]) -> Evaluation:
    """The same evaluation with other anchors: name, difference, and its error."""
    ours = found.event.figures
    anchors = tuple(
        Compared(name, ours._replace(log_loss=ours.log_loss - delta), 0.01, delta, error)
        for name, delta, error in deltas
    )
    return replace(found, event=replace(found.event, anchors=anchors))


def test_the_headline_says_how_henji_stands(found: Evaluation) -> None:
    prior = ("prior", -0.2, 0.01)
    assert "of no use" in headline(with_anchors(found, ("prior", -0.001, 0.01)), "en")
    assert "better than every method" in headline(with_anchors(found, prior, ("logistic", -0.01, 0.001)), "en")
    assert "no method" in headline(with_anchors(found, prior, ("logistic", 0.001, 0.001)), "en")
    close = headline(with_anchors(found, prior, ("logistic", 0.005, 0.001), ("boosting", -0.1, 0.01)), "en")
    assert "close to the best method here, logistic regression" in close
    beaten = with_anchors(found, prior, ("logistic", 0.005, 0.001), ("boosting", 0.03, 0.001))
    assert "gradient boosting is clearly better" in headline(beaten, "en")
    assert "梯度提升树 明显更好" in headline(beaten, "zh")
    assert "better than 1, level with 0, worse than 2" in " ".join(sentences(beaten, "en"))


def test_two_standard_errors_decide(found: Evaluation) -> None:
    def standing(delta: float, error: float) -> str:
        return Compared("x", found.event.figures, 0.0, delta, error).standing

    assert [standing(d, 1.0) for d in (-2.1, -2.0, 0.0, 2.0, 2.1)] == ["better", "level", "level", "level", "worse"]
    assert standing(-0.5, float("nan")) == "level"


def test_a_mark_stands_where_scores_leave_what_was_usual() -> None:
    at = np.repeat(np.arange(12) * 10, 50)
    means = [0.9, 0.1, 0.12, 0.11, 0.1, 0.13, 0.11, 0.12, 0.4, 0.41, 0.4, 0.4]
    marks = level_marks(at, np.repeat(means, 50), origin_ms=60, block_ms=10)
    # The launch at 0.9 is out of sight by then; after the step the new level is usual.
    assert [mark.at_ms for mark in marks] == [80]
    assert level_marks(at[:0], np.empty(0), origin_ms=0, block_ms=10) == []


def test_charts_of_one_place_or_nothing_can_be_drawn() -> None:
    assert nice_ticks(0.5, 0.5)[0] < 0.5 < nice_ticks(0.5, 0.5)[-1]
    for drawn in (
        lines("a", "t", "d", ["x"], [Line("l", [0.3], 0)], [(0.0, "1", "m")]),
        lines("a", "t", "d", ["x", "y"], [Line("l", [float("nan"), 0.2], 0)]),
        lines("a", "t", "d", [], [Line("l", [], 0)]),
        curve("a", "t", "d", ("x", "y"), []),
        bars("a", "t", "d", "x", [0, 0]),
    ):
        assert drawn.startswith("<svg")
        assert "nan" not in drawn
