"""Logging in and out, and what stops others from doing so."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.redis.embedded import EmbeddedRedis
from tests.streams.console.running import PASSWORD, Console, law

pytestmark = pytest.mark.usefixtures("redis_client")


def test_the_first_admin_is_made_by_a_link_that_works_once(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        link = console.server.first_link()
        assert link is not None
        assert link.startswith(console.server.url + "/#/setup/")
        browser, token = console.browser(), link.rpartition("/")[2]
        assert (await browser.begin()).json["setup"] is True
        body = {"token": token, "name": "root", "password": PASSWORD}
        assert (await browser.post("/api/setup", {**body, "password": "short"})).code == "invalid"
        assert (await browser.post("/api/setup", {**body, "token": "x" * 43})).code == "invalid"
        assert (await browser.post("/api/setup", body)).status == 200
        assert (await browser.post("/api/setup", {**body, "name": "other"})).code == "invalid"
        assert (await browser.login("root")).json["user"]["role"] == "admin"
        assert console.server.first_link() is None
        assert (await browser.begin()).json["setup"] is False

    law(test, redis_server, tmp_path)
