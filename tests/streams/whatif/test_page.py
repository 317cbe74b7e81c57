"""The report: in both languages, nothing from outside, and nothing in log or rules can break out of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from engine.duration import DAY_MS
from engine.event import ACTIVITY
from engine.rules import RuleSet
from streams.whatif import texts
from streams.whatif.comparison import Comparison, Variant, compare
from streams.whatif.judgement import Money
from streams.whatif.page import MOST_NAMES, render
from streams.whatif.past import Past, Story
from streams.whatif.sweep import Sweep
from streams.whatif.tally import FirstRaise, FlagTally, Tally
from tests.streams.console.browser.chromium import chromium
from tests.streams.evaluate.test_report import HOSTILE, Tags

if TYPE_CHECKING:
    from playwright.sync_api import Request

T0 = 1_700_000_000_000
NOW = RuleSet.default()


def tally_of(n: int) -> Tally:
    """Raises of `n` customers, a day apart, with hostile words wherever the log has a say."""
    tally = Tally()
    tally.names = [f"{HOSTILE}{number}" for number in range(n)]
    flag = tally.flags["churn_risk"] = FlagTally()
    for number in range(n):
        at = T0 + number * DAY_MS
        flag.first[number] = FirstRaise(at, "id", HOSTILE, HOSTILE, f"{HOSTILE}\0e2")
        flag.raised_at.append(at)
        flag.raised_who.append(number)
        flag.raised_told.append(1)
        for traffic in (flag.traffic, tally.total, tally.routes.setdefault(HOSTILE, FlagTally().traffic)):
            traffic.add(at // DAY_MS, False)
    return tally


@pytest.fixture(scope="module")
def found() -> Comparison:
    past = Past(30 * DAY_MS, ACTIVITY)
    past.begin, past.end = T0, T0 + 200 * DAY_MS
    for number in range(MOST_NAMES + 30):
        story = past.stories[f"{HOSTILE}{number}"] = Story()
        for day in range(0, 60 + 60 * (number % 3), 5):
            story.act(T0 + day * DAY_MS, past.horizon)
    sweep = Sweep.parse("flags.churn_risk.raise=0.5,0.7,0.9")
    variants = [Variant("now", NOW), Variant(f"{HOSTILE}.toml", NOW)]
    variants += [Variant(f"{sweep.key}={value}", sweep.rules(NOW, value), value) for value in sweep.values]
    return compare(
        variants,
        [tally_of(n) for n in (20, MOST_NAMES + 30, 60, 40, 10)],
        past,
        after=30 * DAY_MS,
        money=Money(2, 300, 0.1),
        swept=sweep.key,
        sources=[f"{HOSTILE}.jsonl"],
    )


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_the_page_nests_and_takes_nothing_from_outside(found: Comparison, lang: str) -> None:
    page = render(found, lang)
    tags = Tags()
    tags.feed(page)
    assert tags.open == []
    assert not {"script", "link", "img", "iframe", "object", "embed", "base", "form"} & set(tags.tags)
    names = {name for name, _ in tags.attributes}
    assert not {"src", "href", "srcset", "action", "data", "xlink:href"} & names
    assert not any(name.startswith("on") for name in names)
    assert not re.search(r"https?:|//[a-z]|url\(|@import|@font-face", page)
    assert page.count("<polyline") == 4
    assert not re.search(r"\bnan\b", page)


def test_every_text_has_both_languages_with_the_same_values() -> None:
    for en, zh in texts._TEXTS.values():
        assert min(len(en), len(zh)) > 0
        assert sorted(re.findall(r"{\w+}", en)) == sorted(re.findall(r"{\w+}", zh))
        assert en == zh or re.search(r"[\u4e00-\u9fff]", zh) or en == "p95"


def test_the_page_names_so_many_and_says_how_many_more(found: Comparison) -> None:
    page = render(found, "en")
    assert "churn_risk: enter (60)" in page
    assert "and 10 more; --json names all" in page
    assert page.count("e2</td>") == MOST_NAMES


def test_chromium_shows_it_without_a_request(found: Comparison, tmp_path: Path) -> None:
    place = tmp_path / "report.html"
    place.write_text(render(found, "zh"), "utf-8")
    with chromium() as browser:
        page = browser.new_page(viewport={"width": 1120, "height": 900})
        wrongs: list[str] = []
        page.on("console", lambda message: wrongs.append(message.text))
        page.on("pageerror", lambda error: wrongs.append(str(error)))

        def asked(request: Request) -> None:
            if request.url != place.as_uri():
                wrongs.append(request.url)

        page.on("request", asked)
        page.goto(place.as_uri())
        assert page.title() == "规则推演：同一段历史，不同的规则"
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        assert page.locator("svg polyline").first.bounding_box() is not None
        assert len(page.pdf()) > 10_000
        assert wrongs == []
