"""`henji console` as people start it: a process, with TLS or without."""

from __future__ import annotations

import asyncio
import re
import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import ClientSession, CookieJar, TCPConnector

from streams.child_process import bound_to_us
from streams.cli import main
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from tests.streams.console.oidc import CLIENT, HOST, SECRET, FakeProvider
from tests.streams.console.running import Clock

_WAIT_S = 30.0


@asynccontextmanager
async def started(redis: EmbeddedRedis, directory: Path, *words: str) -> AsyncIterator[tuple[str, str, list[str]]]:
    """A console; its URL, the first line with a link, and what it logged, complete when it has ended."""
    command = [sys.executable, "-m", "streams.cli", "console", "--redis", redis.url, "--port", "0",
               "--accounts", str(directory / "console.sqlite"), *words]  # fmt: skip
    process = await asyncio.create_subprocess_exec(
        *bound_to_us(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=directory
    )
    assert process.stdout is not None
    log: list[str] = []
    try:
        async with asyncio.timeout(_WAIT_S):
            url = (await process.stdout.readline()).decode().split()[-1]
            link = (await process.stdout.readline()).decode().split()[-1]
        yield url, link, log
    finally:
        process.send_signal(signal.SIGTERM)
        async with asyncio.timeout(_WAIT_S):
            _, said = await process.communicate()
        log += said.decode().splitlines()
        assert process.returncode == 0, said


def test_it_starts_prints_a_link_once_and_stops_when_asked(
    redis_server: EmbeddedRedis, redis_client: RedisClient, tmp_path: Path
) -> None:
    async def run() -> None:
        async with started(redis_server, tmp_path) as (url, link, log), ClientSession() as client:
            assert re.fullmatch(re.escape(url) + "/#/setup/[A-Za-z0-9_-]{43}", link)
            async with client.get(f"{url}/api/session") as answer:
                assert (await answer.json())["setup"] is True
            async with client.get(f"{url}/api/customers/a-secret-customer?x=a-secret-query") as answer:
                assert answer.status == 401
            # An open page must not keep it from stopping.
            listening = await client.get(f"{url}/healthz")
            assert listening.status == 200
        assert any("GET /api/customers/{customer_id} 401" in line for line in log)
        assert not any("secret" in line or link.rpartition("/")[2] in line for line in log)

    asyncio.run(run())


def test_it_speaks_tls(redis_server: EmbeddedRedis, redis_client: RedisClient, tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not there to make a certificate")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", cert],
        check=True, capture_output=True, timeout=_WAIT_S,
    )  # fmt: skip

    async def run() -> None:
        context = ssl.create_default_context(cafile=str(cert))
        words = ("--tls-cert", str(cert), "--tls-key", str(key))
        async with (
            started(redis_server, tmp_path, *words) as (url, link, _),
            ClientSession(connector=TCPConnector(ssl=context)) as client,
        ):
            assert url.startswith("https://127.0.0.1:")
            assert link.startswith(url)
            async with client.get(f"{url}/api/session") as answer:
                assert answer.cookies["henji_session"]["secure"]
                assert answer.headers["Strict-Transport-Security"].startswith("max-age=")

    asyncio.run(run())


def test_it_sends_people_to_the_provider_that_options_name(
    redis_server: EmbeddedRedis, redis_client: RedisClient, tmp_path: Path
) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)

    async def run() -> None:
        provider = FakeProvider(Clock())
        await provider.start()
        words = (
            "--public-url", f"http://{HOST}", "--oidc-issuer", provider.url, "--oidc-client-id", CLIENT,
            "--oidc-client-secret-file", str(secret), "--oidc-roles", "cn=desk,ou=groups=agent",
        )  # fmt: skip
        try:
            async with (
                started(redis_server, tmp_path, *words) as (url, _, log),
                ClientSession(cookie_jar=CookieJar(unsafe=True), headers={"Host": HOST}) as client,
            ):
                async with client.get(f"{url}/api/session") as answer:
                    assert (await answer.json())["oidc"] == {"label": "127.0.0.1"}
                async with client.get(f"{url}/api/oidc/start", allow_redirects=False) as answer:
                    assert answer.headers["Location"].startswith(f"{provider.url}/authorize?")
                    state = answer.headers["Location"].partition("state=")[2].partition("&")[0]
            assert any("GET /api/oidc/start 303" in line for line in log)
            assert not any(state in line for line in log)
        finally:
            await provider.stop()

    asyncio.run(run())


@pytest.mark.parametrize(
    "words",
    [
        ("--oidc-issuer", "https://id.example"), ("--oidc-roles", "desk=agent"),
        ("--oidc-issuer", "https://id.example", "--oidc-client-id", "x", "--oidc-client-secret-file", "none"),
    ],
)  # fmt: skip
def test_half_a_provider_is_refused(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["console", "--redis", "redis://127.0.0.1:1", *words]) == 2
    assert "--oidc-" in capsys.readouterr().err
