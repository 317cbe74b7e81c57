"""The desk in a real browser: what comes is seen at once, and nothing moves under people's hands."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from streams.redis.client import RedisClient
from tests.streams.console.board import ALERT, CUSTOMER, KEYS, LANE, add_fact, put_alert, put_customer, say_inputs
from tests.streams.console.browser.chromium import Tabs, seen_at, until, watch
from tests.streams.console.browser.site import Site, login

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

PAGES = (
    "alerts", "alerts?state=held", "alerts?state=closed", "leaders/churn", "leaders/engagement_drop",
    "leaders/sensitive", "leaders/value_at_risk", "rules", "service", "models", "operations", "account", "users",
    "audit", f"customer/{CUSTOMER}", f"alert/{ALERT}",
)  # fmt: skip
READY = "!document.querySelector('[aria-busy]') && Boolean(document.querySelector('main h1'))"
NO_SCROLL = "document.documentElement.scrollWidth <= innerWidth"


@pytest.fixture(autouse=True)
def customer(client: RedisClient, site: Site) -> Iterator[None]:
    """The board's own customer and alert as they were, and lanes that are fresh."""
    client.execute_command("DEL", KEYS.alert(ALERT), KEYS.part("timeline", CUSTOMER))
    client.execute_command("ZREM", KEYS.queue("open"), ALERT)
    put_customer(client)
    say_inputs(client, site.console.clock())
    site.console.intake.answer = (202, {"accepted": 1})
    yield
    client.execute_command("DEL", KEYS.alert(ALERT))
    client.execute_command("ZREM", KEYS.queue("open"), ALERT)


def desk(tabs: Tabs, where: str = "#/alerts", name: str = "anna", **options: object) -> Page:
    page = tabs.open(where, tabs.context(**options))
    login(page, name)
    page.locator("header.bar .tag", has_text="Live").wait_for()
    return page


def row(page: Page) -> Locator:
    return page.locator(f"[data-alert='{ALERT}']")


def test_an_alert_is_on_an_open_page_within_a_second_without_a_reload(tabs: Tabs, client: RedisClient) -> None:
    page = desk(tabs)
    page.locator(".row").first.wait_for()
    page.evaluate("document.querySelector('#search').focus(); scrollTo(0, 300)")
    before = page.evaluate("scrollY")
    watch(page, f"[data-alert='{ALERT}']", CUSTOMER)
    started = time.time()
    put_alert(client, flag="sensitive_contact")
    seconds = seen_at(page) - started
    assert seconds < 1.0, seconds
    # Nobody's focus or place is taken.
    assert page.evaluate("document.activeElement.id") == "search"
    assert abs(page.evaluate("scrollY") - before) < 120
    assert row(page).get_by_text("Sensitive contact").is_visible()
    until(page, "document.getElementById('announce').textContent.includes('anna@example.org')")


def test_the_row_with_the_focus_keeps_it_while_others_come_and_it_changes(tabs: Tabs, client: RedisClient) -> None:
    put_alert(client)
    page = desk(tabs)
    row(page).get_by_role("button", name="Acknowledge").focus()
    client.execute_command("ZADD", KEYS.queue("open"), 0, ALERT)
    put_alert(client, seq=2, count=7, op="update")
    row(page).get_by_text("7 ×").wait_for()
    assert page.evaluate("document.activeElement.textContent") == "Acknowledge"


def test_acknowledge_waits_for_the_fact_and_is_seen_by_everybody(tabs: Tabs, site: Site, client: RedisClient) -> None:
    put_alert(client)
    mine, other = desk(tabs), desk(tabs, name="lea")
    row(mine).get_by_role("button", name="Acknowledge").click()
    row(mine).get_by_text("Sent, waits for the engine").wait_for()
    event = site.console.intake.events[-1]
    assert (event["kind"], event["ref"], event["by"]) == ("ack", ALERT, "anna")
    add_fact(client)
    for page in (mine, other):
        row(page).get_by_text("Acknowledged by anna").wait_for()
        assert row(page).get_by_text("Sent, waits").count() == 0
    other.reload()
    row(other).get_by_text("Acknowledged by anna").wait_for()
    row(mine).get_by_role("button", name="Undo acknowledge").click()
    row(mine).get_by_text("Sent, waits for the engine").wait_for()
    assert site.console.intake.events[-1]["state"] == "down"


def test_a_refused_act_says_so_and_changes_nothing(tabs: Tabs, site: Site, client: RedisClient) -> None:
    put_alert(client)
    page = desk(tabs)
    site.console.intake.answer = (503, {"code": "unavailable"})
    row(page).get_by_role("button", name="Not useful").click()
    row(page).get_by_role("alert").wait_for()
    assert "nothing was changed" in row(page).get_by_role("alert").inner_text()
    assert row(page).get_by_role("button", name="Not useful").get_attribute("aria-pressed") == "false"


def test_snooze_asks_for_a_time_and_a_reason(tabs: Tabs, site: Site, client: RedisClient) -> None:
    put_alert(client)
    page = desk(tabs)
    row(page).get_by_role("button", name="Snooze").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_role("button", name="Snooze").click()
    assert dialog.is_visible(), "without a reason it stays"
    dialog.get_by_label("Reason").fill("waits for the parts")
    dialog.get_by_label("1 day").check()
    dialog.get_by_role("button", name="Snooze").click()
    row(page).get_by_text("Sent, waits for the engine").wait_for()
    event = site.console.intake.events[-1]
    assert (event["kind"], event["reason"], event["until"] - event["ts"]) == (
        "snooze",
        "waits for the parts",
        86_400_000,
    )


def test_whoever_has_only_a_keyboard_can_do_everything(tabs: Tabs, site: Site, client: RedisClient) -> None:
    put_alert(client)
    page = desk(tabs)
    row(page).wait_for()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    first = page.locator(".row-link").first
    page.keyboard.press("j")
    assert first.evaluate("each => each === document.activeElement")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert first.evaluate("each => each === document.activeElement")
    n = len(site.console.intake.events)
    row(page).locator(".row-link").focus()
    page.keyboard.press("a")
    row(page).get_by_text("Sent, waits for the engine").wait_for()
    add_fact(client)
    row(page).get_by_text("Acknowledged by anna").wait_for()
    row(page).locator(".row-link").focus()
    page.keyboard.press("s")
    page.get_by_role("dialog").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    assert row(page).locator(".row-link").evaluate("each => each === document.activeElement")
    page.keyboard.press("?")
    page.get_by_role("dialog", name="Keys").wait_for()
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("a")  # a letter in a field is a letter
    assert len(site.console.intake.events) == n + 1
    page.keyboard.press("Control+a")
    page.keyboard.type(CUSTOMER)
    page.keyboard.press("Enter")
    page.locator("h1", has_text=CUSTOMER).wait_for()
    until(page, "document.activeElement.tagName === 'H1'")


def test_the_page_of_a_stalled_lane_says_stale(tabs: Tabs, site: Site, client: RedisClient) -> None:
    put_alert(client)
    page = desk(tabs, f"#/customer/{CUSTOMER}")
    badge = page.locator(".page-head .live-input")
    badge.get_by_text("Fresh").wait_for()
    # Its worker says nothing for 31 s.
    client.execute_command("HSET", KEYS.meta, f"input_at:{LANE}", site.console.clock() - 31_000)
    badge.get_by_text("Stale").wait_for()
    page.get_by_text(f"The input of lanes {LANE} is stale").wait_for()
    page.goto(f"{tabs.url}/#/alerts")
    row(page).get_by_text("Stale").wait_for()
    page.goto(f"{tabs.url}/#/operations")
    page.locator("tr", has_text="Stale").wait_for()
    say_inputs(client, site.console.clock())
    page.locator(".banner").wait_for(state="detached")


def test_a_sensitive_customers_contact_shows_the_scene_of_both_sides(tabs: Tabs, client: RedisClient) -> None:
    put_alert(client, flag="sensitive_contact")
    client.execute_command(
        "RPUSH", KEYS.part("timeline", CUSTOMER), '[1750000000000,"handling","billing","app","case-1","accepted"]'
    )
    page = desk(tabs)
    row(page).locator(".row-link").click()
    page.locator(".trace-theirs", has_text="Request").wait_for()
    page.get_by_role("link", name=CUSTOMER).click()
    ours, theirs = page.locator(".trace-ours"), page.locator(".trace-theirs")
    ours.wait_for()
    left, right = theirs.first.bounding_box(), ours.first.bounding_box()
    assert left is not None
    assert right is not None
    assert left["x"] < right["x"]
    assert page.get_by_text("Read the scene before you answer.").is_visible()


def test_an_unknown_customer_is_unknown_and_not_riskless(tabs: Tabs) -> None:
    page = desk(tabs, "#/customer/nobody%2F%E5%BC%A0")
    page.get_by_text("That means unknown, not free of risk.").wait_for()
    assert page.locator("h1").inner_text() == "nobody/张"


def test_filters_stay_in_the_address_and_hold_for_what_comes(tabs: Tabs, client: RedisClient) -> None:
    page = desk(tabs, "#/alerts?route=team%3Aa")
    put_alert(client, "0000000000000aaa", route="team:b")
    put_alert(client)
    row(page).wait_for()
    assert page.locator("[data-alert='0000000000000aaa']").count() == 0
    page.get_by_role("button", name="Show all").click()
    page.locator("[data-alert='0000000000000aaa']").wait_for()
    client.execute_command("ZREM", KEYS.queue("open"), "0000000000000aaa")
    client.execute_command("DEL", KEYS.alert("0000000000000aaa"))


def test_a_closed_alert_leaves_the_queue_and_hands_the_focus_on(tabs: Tabs, client: RedisClient) -> None:
    put_alert(client)
    page = desk(tabs)
    row(page).locator(".row-link").focus()
    put_alert(client, seq=2, op="clear")
    row(page).wait_for(state="detached")
    assert page.evaluate("document.activeElement.className") == "row-link"


@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_every_page_fits_a_narrow_screen_and_names_its_controls(tabs: Tabs, client: RedisClient, language: str) -> None:
    put_alert(client)
    context = tabs.context(viewport={"width": 390, "height": 844}, locale=language)
    page = tabs.open("", context)
    login(page, "ada")
    page.locator(".queue").wait_for()
    for where in PAGES:
        page.goto(f"{tabs.url}/#/{where}")
        until(page, READY)
        assert page.evaluate(NO_SCROLL), where
        assert page.locator("h1").count() == 1, where
        assert page.evaluate(NAMELESS) == [], where
        assert page.locator(".notice-error").count() == 0, where


# Controls without a name, labels that name nothing, plots without a description, ids that are not unique.
NAMELESS = """() => {
  const found = [];
  const named = (each) => each.textContent.trim() || each.ariaLabel || each.labels?.length || each.title;
  for (const each of document.querySelectorAll("a, button, input, select, textarea, summary")) {
    if (!named(each)) found.push(each.outerHTML);
  }
  const unsaid = "svg:not([aria-hidden]):not([role=img][aria-label])";
  for (const each of document.querySelectorAll(unsaid)) found.push(each.outerHTML);
  const ids = [...document.querySelectorAll("[id]")].map((each) => each.id);
  return found.concat(ids.filter((each, i) => ids.indexOf(each) !== i));
}"""


def test_texts_have_contrast_in_light_and_in_dark(tabs: Tabs, client: RedisClient) -> None:
    put_alert(client, flag="sensitive_contact")
    add_fact(client)
    for scheme in ("light", "dark"):
        page = desk(tabs, color_scheme=scheme)
        for where in ("alerts", f"customer/{CUSTOMER}", "operations", "models"):
            page.goto(f"{tabs.url}/#/{where}")
            until(page, READY)
            assert page.evaluate(FAINT) == [], (scheme, where)


# Texts whose contrast with what is behind them is under 4.5 (WCAG 2.2, AA).
FAINT = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (color) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = color;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const light = (parts) => {
    const [r, g, b] = parts.map((x) => x / 255).map((x) => (x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (each) => {
    for (let at = each; at; at = at.parentElement) {
      const color = rgba(getComputedStyle(at).backgroundColor);
      if (color[3] === 255) return color;
    }
    return [255, 255, 255];
  };
  const found = new Set();
  for (const each of document.querySelectorAll("body *")) {
    const own = [...each.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    if (!own || !each.checkVisibility() || each.closest("option, .visually-hidden, [aria-hidden=true]")) continue;
    const style = getComputedStyle(each);
    const color = rgba(each.closest("svg") ? style.fill : style.color);
    const [a, b] = [light(color.slice(0, 3)), light(behind(each).slice(0, 3))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) found.add(`${each.tagName}.${each.className.baseVal ?? each.className} ${ratio.toFixed(2)}`);
  }
  return [...found];
}"""
