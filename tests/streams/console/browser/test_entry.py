"""Who gets in, what a role sees, and that nothing an event says can act."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote

import orjson
import pyotp
import pytest

from streams.redis.client import RedisClient
from tests.streams.console.board import KEYS, put_alert, put_customer, say_inputs
from tests.streams.console.browser.chromium import Tabs
from tests.streams.console.browser.site import Site, login
from tests.streams.console.running import PASSWORD

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = "\"'><img src=x onerror=alert(1)><script>alert(2)</script>"
LINK = "javascript:alert(3)"


def entered(tabs: Tabs, name: str, where: str = "") -> Page:
    page = tabs.open()
    login(page, name)
    page.locator("header.bar").wait_for()
    if where:
        page.goto(f"{tabs.url}/{where}")
    return page


def test_a_wrong_password_stays_outside_and_says_so(tabs: Tabs) -> None:
    page = tabs.open()
    login(page, "anna", "not the password")
    page.get_by_text("Name, password or code is wrong.").wait_for()
    assert page.locator("header.bar").count() == 0
    assert page.locator(".queue").count() == 0


def test_an_expired_session_asks_to_log_in_and_goes_on_where_one_was(tabs: Tabs, site: Site) -> None:
    page = entered(tabs, "anna", "#/operations")
    page.locator("h1", has_text="Operations").wait_for()
    site.console.clock.forward(days=40)
    page.goto(f"{tabs.url}/#/rules")
    page.get_by_text("Your session has ended.").wait_for()
    assert page.locator("table").count() == 0
    login(page, "anna")
    page.locator("h1", has_text="Rules").wait_for()


def test_a_viewer_has_no_buttons_and_no_page_of_admins(tabs: Tabs, client: RedisClient, site: Site) -> None:
    say_inputs(client, site.console.clock())
    page = entered(tabs, "vera", "#/alerts")
    page.locator(".row").first.wait_for()
    assert page.locator(".acts").count() == 0
    assert page.locator("nav a", has_text="Audit").count() == 0
    page.goto(f"{tabs.url}/#/audit")
    page.get_by_text("You may not do that.").wait_for()
    # Not only the page says no.
    status = "fetch('api/audit').then(answer => answer.status)"
    assert page.evaluate(status) == 403


def test_a_post_without_the_token_of_the_page_is_refused(tabs: Tabs) -> None:
    page = entered(tabs, "anna")
    what = "{method: 'POST', body: '{}', headers: {'Content-Type': 'application/json', 'X-CSRF-Token': 'guessed'}}"
    assert page.evaluate(f"fetch('api/alerts/0011223344556677/ack', {what}).then(r => r.json())")["code"] == "csrf"


def test_an_agent_cannot_set_a_flag_and_a_lead_can(tabs: Tabs, site: Site, client: RedisClient) -> None:
    put_customer(client, "gate")
    page = entered(tabs, "anna", "#/customer/gate")
    page.locator(".tiles").wait_for()
    assert page.locator("form.override").count() == 0
    page = entered(tabs, "lea", "#/customer/gate")
    form = page.locator("form.override")
    form.get_by_label("Flag").select_option("sensitive")
    form.get_by_label("Days").fill("3")
    form.get_by_label("Reason").fill("asked for by the manager")
    form.get_by_role("button").click()
    page.get_by_text("The flag changes as soon as").wait_for()
    event = site.console.intake.events[-1]
    assert (event["kind"], event["flag"], event["state"], event["by"]) == ("override", "sensitive", "up", "lea")
    assert event["until"] - event["ts"] == 3 * 86_400_000


def test_a_new_account_sets_its_password_by_the_link_and_gets_a_second_factor(tabs: Tabs, site: Site) -> None:
    page = entered(tabs, "ada", "#/users")
    page.get_by_label("Name", exact=True).fill("nina")
    page.get_by_role("button", name="Make account").click()
    link = page.get_by_label("One-time link").input_value()
    assert link.startswith(f"{tabs.url}/#/setup/")
    # A page of somebody else: nothing of the admin is in it.
    other = tabs.open(link.removeprefix(f"{tabs.url}/"))
    other.get_by_label("Name").fill("nina")
    other.get_by_label("New password").fill("seven green umbrellas")
    other.get_by_label("The same again").fill("seven green umbrellas")
    other.get_by_role("button").click()
    other.locator("header.bar").wait_for()
    other.goto(f"{tabs.url}/#/account")
    other.get_by_role("button", name="Set up").click()
    secret = other.locator("dt", has_text="Secret").locator("xpath=following-sibling::dd").inner_text().replace(" ", "")
    other.get_by_label("Code").fill(pyotp.TOTP(secret).at(site.console.clock() // 1000))
    other.get_by_role("button", name="Confirm").click()
    other.get_by_text("On: a code is asked for at login.").wait_for()
    other.get_by_role("button", name="Log out").click()
    login(other, "nina", "seven green umbrellas")
    other.get_by_label("Code").wait_for()
    assert other.locator("header.bar").count() == 0


def test_language_follows_the_browser_and_the_switch_stays(tabs: Tabs) -> None:
    page = tabs.open(context=tabs.context(locale="zh-CN"))
    page.get_by_role("button", name="登录").wait_for()
    assert page.locator("html").get_attribute("lang") == "zh-CN"
    login(page, "anna")
    page.locator("h1", has_text="告警").wait_for()
    page.get_by_label("Language · 语言").select_option("en")
    page.locator("h1", has_text="Alerts").wait_for()
    assert page.locator("html").get_attribute("lang") == "en"
    page.reload()
    page.locator("h1", has_text="Alerts").wait_for()


def write_hostile(client: RedisClient) -> tuple[str, str]:
    """Hostile text in each free text of the board; returns customer and alert."""
    customer, alert = f"{LINK}{HOSTILE}"[:128], "badbadbadbadbad0"
    put_customer(client, customer)
    category = HOSTILE[:64]
    put_alert(client, alert, customer_id=customer, flag=HOSTILE, category=category, route=f"team:{HOSTILE}")
    at = 1_750_000_000_000
    traces = [
        [at, kind, category, HOSTILE[:32], HOSTILE, HOSTILE[:32]]
        for kind in ("request", "handling", "session", HOSTILE[:20])
    ]
    for trace in traces:
        client.execute_command("RPUSH", KEYS.part("timeline", customer), orjson.dumps(trace))
    client.execute_command("HSET", KEYS.part("profile", customer), "name", HOSTILE, HOSTILE[:40], LINK)
    flag = orjson.dumps([at, None, 2, HOSTILE[:16], alert])
    client.execute_command("HSET", KEYS.part("flags", customer), f"unanswered/{HOSTILE[:20]}", flag)
    why = (f"unanswered/{HOSTILE[:20]}", orjson.dumps([HOSTILE, LINK]))
    client.execute_command("HSET", KEYS.part("why", customer), *why)
    client.execute_command("HSET", KEYS.customer(customer), "stage", HOSTILE[:60], "segment", HOSTILE[:60])
    said = ("severity", HOSTILE, "acked_by", HOSTILE, "acked_at", at, "snoozed_until", at * 2, "snoozed_by", HOSTILE)
    more = ("snoozed_at", at, "snooze_reason", HOSTILE, "outcome", "useful", "outcome_by", HOSTILE, "outcome_at", at)
    client.execute_command("HSET", KEYS.alert(alert), *said, *more)
    return customer, alert


@pytest.mark.parametrize("language", ["en-GB", "zh-CN"])
def test_script_in_every_free_text_is_shown_as_text(tabs: Tabs, client: RedisClient, language: str) -> None:
    customer, alert = write_hostile(client)
    page = tabs.open(context=tabs.context(locale=language))
    login(page, "lea")
    page.locator(f"[data-alert='{alert}']").wait_for()
    assert HOSTILE in page.locator(f"[data-alert='{alert}']").inner_text()
    for where, rows in ((f"alert/{alert}", ".traces"), (f"customer/{quote(customer, safe='')}", ".traces")):
        page.goto(f"{tabs.url}/#/{where}")
        page.locator(rows).wait_for()
        text = page.locator("main").inner_text()
        assert customer in text
        assert HOSTILE[:32] in text
        # A tab that runs nothing has made nothing of it either.
        assert page.locator("img, script:not([src]), iframe, a[href^=javascript]").count() == 0
    put_alert(client, alert, customer_id=customer, flag=HOSTILE, category=HOSTILE[:64], seq=2, count=3)
    page.goto(f"{tabs.url}/#/leaders/churn")
    page.locator("table").wait_for()
    page.goto(f"{tabs.url}/#/audit")
    client.execute_command("ZREM", KEYS.queue("open"), alert)
    client.execute_command("DEL", KEYS.alert(alert))


def test_the_password_field_is_never_in_an_address(tabs: Tabs) -> None:
    page = tabs.open()
    login(page, "anna")
    page.locator("header.bar").wait_for()
    assert PASSWORD not in page.url
    assert page.evaluate("Object.values(localStorage).join()").find(PASSWORD) < 0
