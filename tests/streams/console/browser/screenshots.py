"""Makes the screenshots of `docs/console-tour.md`: `python -m tests.streams.console.browser.screenshots`."""

from __future__ import annotations

import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from streams.redis.embedded import EmbeddedRedis
from tests.streams.console.board import KEYS
from tests.streams.console.browser.campus import CUSTOMER, NOW_MS, fill_campus
from tests.streams.console.browser.chromium import Tabs, chromium, until
from tests.streams.console.browser.picture import few_colours
from tests.streams.console.browser.site import Site, login
from tests.streams.console.running import Clock

if TYPE_CHECKING:
    from playwright.sync_api import Page

TO = Path(__file__).resolve().parents[4] / "docs" / "screenshots"
LANGUAGES = {"en": "en-GB", "zh": "zh-CN"}
MOST_BYTES = 150_000
MOST_PIXELS = 1_400
"""A page may be long; its beginning is shown."""

READY = "!document.querySelector('[aria-busy]') && Boolean(document.querySelector('main h1'))"


def _places(alert: str) -> dict[str, str]:
    return {
        "alerts": "alerts", "alert": f"alert/{alert}", "customer": f"customer/{quote(CUSTOMER, safe='')}",
        "leaders": "leaders/churn", "service": "service", "rules": "rules", "models": "models",
        "operations": "operations", "account": "account", "users": "users", "audit": "audit",
    }  # fmt: skip


class _Camera:
    def __init__(self, tabs: Tabs, language: str, alert: str) -> None:
        self._tabs = tabs
        self._language = language
        self._places = _places(alert)

    def tour(self, names: list[str], suffix: str = "", *, width: int = 1280, dark: bool = False) -> None:
        """Pictures of pages, as one sees them at a size."""
        context = self._tabs.context(
            viewport={"width": width, "height": 800 if width > 600 else 844},
            locale=LANGUAGES[self._language],
            timezone_id="Asia/Shanghai",
            color_scheme="dark" if dark else "light",
        )
        page = context.new_page()
        page.clock.set_fixed_time(datetime.fromtimestamp(NOW_MS / 1000, UTC))
        page.goto(self._tabs.url)
        page.locator(".login").wait_for()
        if "login" in names:
            self._take(page, "login", suffix)
        login(page, "ada")
        page.locator("header.bar .tag-green").wait_for()
        for name in names:
            if name in self._places:
                page.goto(f"{self._tabs.url}/#/{self._places[name]}")
                until(page, READY)
                page.mouse.move(0, 0)
                self._take(page, name, suffix)
        context.close()

    def _take(self, page: Page, name: str, suffix: str) -> None:
        page.wait_for_timeout(300)
        size = page.viewport_size
        assert size is not None
        tall = page.evaluate("document.documentElement.scrollHeight")
        page.set_viewport_size({"width": size["width"], "height": min(MOST_PIXELS, max(size["height"], tall))})
        page.wait_for_timeout(200)
        path = TO / f"{name}{suffix}-{self._language}.png"
        path.write_bytes(few_colours(page, page.screenshot()))
        page.set_viewport_size(size)
        assert path.stat().st_size <= MOST_BYTES, f"{path}: {path.stat().st_size} bytes"


def _newest_contact(redis: EmbeddedRedis) -> str:
    client = redis.client()
    try:
        for member in client.execute_command("ZRANGE", KEYS.queue("open"), 0, -1):
            flag, customer = client.execute_command("HMGET", KEYS.alert(member.decode()), "flag", "customer_id")
            if flag == b"sensitive_contact" and customer.decode() == CUSTOMER:
                return str(member.decode())
    finally:
        client.close()
    raise AssertionError("expected an open contact of the customer of the story, got none")


def main() -> int:
    """Take all of them."""
    TO.mkdir(parents=True, exist_ok=True)
    clock = Clock()
    clock.now_ms = NOW_MS
    with tempfile.TemporaryDirectory() as folder, EmbeddedRedis(Path(folder) / "redis") as redis:
        directory = Path(folder)
        fill_campus(redis, directory)
        alert = _newest_contact(redis)
        with Site(redis, directory, clock=clock) as site, chromium() as browser:
            tabs = Tabs(browser, site.url)
            for language in LANGUAGES:
                camera = _Camera(tabs, language, alert)
                camera.tour(["login", *_places(alert)])
                camera.tour(["alerts", "customer"], "-390", width=390)
                camera.tour(["alerts", "customer"], "-dark", dark=True)
            tabs.close()
    print(f"{len(list(TO.glob('*.png')))} pictures in {TO.relative_to(TO.parents[1])}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
