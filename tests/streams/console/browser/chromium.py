"""A real Chromium, and tabs that notice everything a page must not do."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Dialog, Page

__all__ = ["Tabs", "chromium", "seen_at", "until", "watch"]

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_FLAGS = (
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--font-render-hinting=none",
)
_TIMEOUT_MS = 15_000


def _without(reason: str) -> None:
    text = f"{reason}; install Chromium (e.g. `apt-get install chromium`) and `pip install playwright`"
    if os.environ.get("BROWSER_TESTS") == "required":
        pytest.fail(f"BROWSER_TESTS=required, but {text}")
    pytest.skip(text)


@contextmanager
def chromium() -> Iterator[Browser]:
    """The Chromium of this machine; a machine without one skips, and says what to install.

    While it is open no other event loop can run in this thread: enter and leave it within a module.
    """
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        _without("expected the package playwright, got none")
        raise AssertionError from None
    with sync_playwright() as playwright:
        path = next(filter(None, map(shutil.which, _NAMES)), None)
        if path is None and not os.path.exists(playwright.chromium.executable_path):
            _without(f"expected one of {', '.join(_NAMES)} on the PATH, got none")
        # Root may not use the sandbox, and containers are often root.
        sandbox = [] if os.geteuid() else ["--no-sandbox"]
        browser = playwright.chromium.launch(executable_path=path, headless=True, args=[*_FLAGS, *sandbox])
        try:
            yield browser
        finally:
            browser.close()


def until(page: Page, code: str) -> None:
    """Poll until an expression of the page is true; the driver's own way needs `eval`, which our policy refuses."""
    deadline = time.monotonic() + _TIMEOUT_MS / 1000
    while not page.evaluate(code):
        assert time.monotonic() < deadline, f"expected of the page: {code}"
        page.wait_for_timeout(20)


# Between two of its own looks the driver lets up to half a second go by; the page itself knows when it changed.
_WATCH = """([selector, text]) => {
  window.seen = new Promise((resolve) => {
    const look = () => {
      const found = [...document.querySelectorAll(selector)].some((each) => each.textContent.includes(text));
      if (!found) return;
      observer.disconnect();
      resolve(Date.now());
    };
    const observer = new MutationObserver(look);
    observer.observe(document.body, { childList: true, subtree: true, characterData: true });
    look();
  });
}"""


def watch(page: Page, selector: str, text: str) -> None:
    """Let the page note when something with a text is first there; in the document of now, so a reload forgets it."""
    page.evaluate(_WATCH, [selector, text])


def seen_at(page: Page) -> float:
    """When it was there that `watch` is about, seconds of the wall clock; waits for it."""
    at = page.evaluate(
        f"Promise.race([window.seen, new Promise((resolve) => setTimeout(resolve, {_TIMEOUT_MS}, null))])"
    )
    assert at is not None, "expected of the page what `watch` is about, or the page was loaded anew"
    return float(at) / 1000


class Tabs:
    """Opens tabs on a site, and fails a test whose page did what no page of ours may do.

    That is: an error, a refusal by the content security policy, a dialog, a request to anybody else.

    Parameters
    ----------
    browser
        Chromium.
    url
        Of the site.
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self._browser = browser
        self.url = url
        self._contexts: list[BrowserContext] = []
        self.wrongs: list[str] = []

    def context(self, **options: Any) -> BrowserContext:
        """A browser of its own: nobody is logged in, nothing is kept."""
        given = {"viewport": {"width": 1280, "height": 900}, "locale": "en-GB", "reduced_motion": "reduce", **options}
        context = self._browser.new_context(**given)
        context.set_default_timeout(_TIMEOUT_MS)
        self._contexts.append(context)
        return context

    def open(self, where: str = "", context: BrowserContext | None = None, **options: Any) -> Page:
        """A tab at a place of the site."""
        page = (context or self.context(**options)).new_page()
        page.on("pageerror", lambda error: self.wrongs.append(f"error: {error}"))
        page.on("dialog", self._dialog)
        page.on("console", self._console)
        page.on("request", lambda request: self._request(request.url))
        page.goto(f"{self.url}/{where}")
        return page

    def _dialog(self, dialog: Dialog) -> None:
        self.wrongs.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _console(self, message: Any) -> None:
        # Chromium tells of each answer over 399 here; refusals are part of the tests.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.wrongs.append(f"console: {message.text}")

    def _request(self, url: str) -> None:
        if not url.startswith((f"{self.url}/", "data:")):
            self.wrongs.append(f"request to somebody else: {url}")

    def close(self) -> None:
        """Close all tabs; fails if one did wrong."""
        for context in self._contexts:
            context.close()
        assert not self.wrongs, self.wrongs
