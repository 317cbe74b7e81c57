"""The console of a demo: it answers, and what is done in it can reach the broker."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import orjson
import pytest

from streams.demo.deployment import Deployment, Given
from streams.demo.front import Front
from streams.kafka.embedded import find_broker


def ask(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        body: bytes = answer.read()
        return body


@pytest.mark.slow
def test_the_console_of_a_demo_answers_and_is_not_read_only_and_goes_with_it(tmp_path: Path) -> None:
    find_broker()
    with Deployment(tmp_path, Given()) as deployment:
        with Front(tmp_path, deployment, 0) as front:
            session = orjson.loads(ask(f"{front.url}/api/session"))
            assert (session["read_only"], session["setup"], session["user"]) == (False, True, None)
            assert front.link.startswith(f"{front.url}/#/setup/")
            assert b"<html" in ask(front.url)
            for secret in ("intake-tokens", "console-token"):
                assert (tmp_path / secret).stat().st_mode & 0o077 == 0
        with pytest.raises(urllib.error.URLError):
            ask(front.url)
