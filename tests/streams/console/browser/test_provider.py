"""Logging in by a provider of identities on another site, in a real browser with its rules for cookies."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from streams.console.gate import COOKIE
from streams.console.oidc_door import CALLBACK
from streams.console.oidc_flow import FLOW_COOKIE
from streams.console.oidc_provider import OidcOptions
from streams.redis.embedded import EmbeddedRedis
from tests.streams.console.browser.site import Site
from tests.streams.console.oidc import CLIENT, SECRET, FakeProvider
from tests.streams.console.running import Clock

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Request


def free_port() -> int:
    """A provider has to know where it sends people back, so the port cannot be any."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def provider(board: EmbeddedRedis, tmp_path: Path) -> Iterator[tuple[FakeProvider, str]]:
    """A provider, and the URL of a console that knows it; of two sites, since a name and an address are two."""
    clock, port = Clock(), free_port()
    fake = FakeProvider(clock)
    fake.url = f"http://127.0.0.1:{free_port()}"
    (tmp_path / "secret").write_text(SECRET)
    options = OidcOptions(fake.url, CLIENT, tmp_path / "secret", {"desk": "agent"}, "Campus ID")
    url = f"http://localhost:{port}"
    with Site(board, tmp_path, clock=clock, port=port, public_urls=(url,), oidc=options) as site:
        site.run(fake.start())
        yield fake, url
        site.run(fake.stop())


def arrive(page: Page, url: str) -> None:
    page.goto(url)
    page.get_by_role("button", name="Log in with Campus ID").click(timeout=15_000)
    page.get_by_role("link", name="I am Anna").click()


def test_somebody_goes_to_the_provider_and_comes_back_logged_in(
    browser: Browser, provider: tuple[FakeProvider, str]
) -> None:
    fake, url = provider
    fake.claims = {"preferred_username": "anna-maria"}  # an Anna is there already
    context = browser.new_context(locale="en-GB")
    try:
        page = context.new_page()
        came: list[Request] = []
        page.on("request", lambda request: came.append(request) if request.url.startswith(f"{url}{CALLBACK}") else None)
        arrive(page, url)
        page.locator("header.bar").wait_for()
        sent = came[0].all_headers().get("cookie", "")
        # So the way back needs a cookie of its own.
        assert FLOW_COOKIE in sent
        assert COOKIE not in sent
        page.reload()
        page.locator("header.bar").wait_for()
        kept = {each.get("name"): each.get("sameSite") for each in context.cookies()}
        assert kept == {COOKIE: "Strict"}
    finally:
        context.close()


def test_somebody_without_a_role_is_told_so_in_their_language(
    browser: Browser, provider: tuple[FakeProvider, str]
) -> None:
    fake, url = provider
    fake.claims = {"groups": []}
    context = browser.new_context(locale="en-GB")
    try:
        page = context.new_page()
        arrive(page, url)
        page.get_by_text("You have no role here.").wait_for()
        page.goto(f"{url}/#/login?problem=oidc_state")
        page.get_by_text("This login was begun elsewhere").wait_for()
        page.goto(f"{url}/#/login?problem=Call+0190+now")
        page.get_by_text("This login was begun elsewhere").wait_for(state="detached")
        assert "0190" not in page.locator("body").inner_text()
    finally:
        context.close()
