"""One attempt, whatever the other end does: an answer within its time, and little memory."""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import resource
import shutil
import socket
import ssl
import subprocess
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from engine.errors import ConfigurationError
from streams.webhooks.answer import Answer
from streams.webhooks.courier import MAX_ANSWER, Courier
from streams.webhooks.endpoint import Endpoint
from streams.webhooks.secret import SecretSource
from streams.webhooks.signature import parse_secret, sign
from tests.streams.webhooks.stage import ENVIRONMENT, SECRET, T0, Handler, Receiver, endpoint, raw_receiver

OTHER = "whsec_" + "QUJD" * 8


async def post(to: Endpoint) -> Answer:
    async with Courier(to, ENVIRONMENT, lambda: T0) as courier:
        return await courier.post("a:0:1", b"{}")


async def post_to(handle: Handler, **more: Any) -> Answer:
    async with raw_receiver(handle) as url:
        return await post(endpoint(url, **more))


def says(*parts: bytes, forever: bytes = b"", every_s: float = 0.0) -> Handler:
    async def handle(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for part in parts:
            writer.write(part)
        await writer.drain()
        while forever:
            writer.write(forever)
            await writer.drain()
            await asyncio.sleep(every_s)

    return handle


def run(play: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await play()

    asyncio.run(whole())


async def silence(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


OK = b"HTTP/1.1 200 OK\r\n"
BAD = b"HTTP/1.1 500 Oh\r\n"


def test_bytes_that_are_not_http_are_no_answer() -> None:
    for garbage in (
        b"\x00\x01\x02\r\n\r\n",
        b"SSH-2.0-x\r\n",
        b"HTTP/9.9 banana\r\n\r\n",
        b"HTTP/1.1 200\x00 OK\r\n\r\n",
    ):
        answer = asyncio.run(post_to(says(garbage), timeout_s=0.5))
        assert answer.status is None, garbage


def test_a_connection_that_is_closed_is_no_answer() -> None:
    assert asyncio.run(post_to(says())).why == "the connection was closed without an answer"
    half = asyncio.run(post_to(says(OK + b"Content-Le")))
    assert half.status is None


def test_a_receiver_that_is_down_is_no_answer() -> None:
    answer = asyncio.run(post(endpoint(Receiver().url)))
    assert answer.status is None
    assert answer.why.startswith("no connection: ")


def test_silence_and_dripping_end_with_the_time_limit() -> None:
    for handle in (
        silence,
        says(forever=b"H", every_s=0.01),
        says(OK, forever=b"X", every_s=0.01),
    ):
        answer = asyncio.run(post_to(handle, timeout_s=0.2))
        assert answer.status is None
        assert answer.took_ms < 2_000


def test_headers_without_end_are_cut_off_within_time_and_memory() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for handle in (
        says(OK + b"X-Long: ", forever=b"x" * 65_536),
        says(OK, forever=b"X-Many: yes\r\n" * 4_096),
        says(OK + b"Content-Type: text/plain;\r\n", forever=b" folded\r\n" * 4_096),
    ):
        answer = asyncio.run(post_to(handle, timeout_s=2.0))
        assert answer.status is None
        assert answer.took_ms < 3_000
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024  # KiB


def test_a_body_without_end_is_not_read_to_its_end() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for head, status in ((OK, 200), (BAD, 500)):
        answer = asyncio.run(post_to(says(head + b"\r\n", forever=b"y" * 65_536), timeout_s=5.0))
        assert answer.status == status
        assert answer.took_ms < 3_000
        assert len(answer.why) < 300
    chunked = says(BAD + b"Transfer-Encoding: chunked\r\n\r\n", forever=b"10000\r\n" + b"z" * 65_536 + b"\r\n")
    assert asyncio.run(post_to(chunked)).status == 500
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 64 * 1024
    assert MAX_ANSWER == 65_536


def test_a_success_is_one_whatever_its_body_is() -> None:
    for rest in (
        b"Content-Length: 100\r\n\r\nshort",
        b"Content-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
        b"Content-Type: text/html; charset=klingon\r\nContent-Length: 2\r\n\r\n\xff\xfe",
    ):
        assert asyncio.run(post_to(says(OK + rest), timeout_s=1.0)).status == 200, rest
    slowly = says(OK + b"Content-Length: 1000000\r\n\r\n", forever=b"x", every_s=0.05)
    assert asyncio.run(post_to(slowly, timeout_s=0.3)).status == 200


def test_what_is_compressed_is_not_unpacked() -> None:
    bomb = gzip.compress(b"\0" * 50_000_000)
    answer = asyncio.run(
        post_to(says(BAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(bomb) + bomb))
    )
    assert answer.status == 500


def test_a_redirect_is_not_followed_and_cookies_are_not_kept() -> None:
    async def play() -> None:
        receiver, other = Receiver(), Receiver()
        receiver.status, receiver.headers = 307, {"Location": other.url, "Set-Cookie": "a=b"}
        await receiver.start()
        await other.start()
        async with Courier(endpoint(receiver.url), ENVIRONMENT, lambda: T0) as courier:
            assert (await courier.post("a:0:1", b"{}")).status == 307
            assert (await courier.post("a:0:1", b"{}")).status == 307
        assert other.got == []
        assert all("cookie" not in headers for headers, _ in receiver.requests)
        await receiver.stop()
        await other.stop()

    run(play)


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        receiver, proxy = Receiver(), Receiver()
        await receiver.start()
        await proxy.start()
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert (await post(endpoint(receiver.url))).status == 204
        assert proxy.got == []
        await receiver.stop()
        await proxy.stop()

    run(play)


def test_a_name_that_leads_to_a_private_address_is_refused_when_it_is_connected_to() -> None:
    async def play() -> None:
        receiver = Receiver()
        await receiver.start()
        to = endpoint(receiver.url.replace("127.0.0.1", "localhost"))
        refused = await post(replace(to, allow_private=False))
        assert refused.status is None
        assert "is a loopback address; allow_private = true lets it" in refused.why
        # Also as a literal that no check of the file has seen.
        assert "loopback" in (await post(endpoint(receiver.url, allow_private=False))).why
        assert receiver.got == []
        assert (await post(to)).status == 204
        assert receiver.requests[0][0]["host"] == f"localhost:{receiver.port}"
        await receiver.stop()

    run(play)


def test_every_connection_is_judged_by_the_address_it_is_made_to(monkeypatch: pytest.MonkeyPatch) -> None:
    async def play() -> None:
        async def close(_request: web.Request, _number: int) -> web.StreamResponse:
            response = web.Response(status=204)
            response.force_close()
            return response

        receiver = Receiver()
        receiver.answer = close
        await receiver.start()
        asked: list[str] = []

        # The resolver of somebody else, who has a name lead elsewhere once it was looked at.
        def rebind(host: str, port: int, *_: object) -> list[tuple[Any, ...]]:
            asked.append(host)
            addresses = ["127.0.0.1"] if len(asked) == 1 else ["169.254.169.254", "::ffff:169.254.169.254"]
            families = {True: socket.AF_INET6, False: socket.AF_INET}
            return [(families[":" in each], socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

        with monkeypatch.context() as patch:
            patch.setattr("streams.webhooks.resolver.socket.getaddrinfo", rebind)
            to = endpoint(receiver.url.replace("127.0.0.1", "hook.example"))
            async with Courier(to, ENVIRONMENT, lambda: T0) as courier:
                answers = [await courier.post("a:0:1", b"{}") for _ in range(3)]
        assert [each.status for each in answers] == [204, None, None]
        assert "169.254.169.254 is a link-local address" in answers[1].why
        assert asked == ["hook.example"] * 3
        await receiver.stop()

    run(play)


def test_every_live_secret_signs_and_a_changed_file_counts_at_once(tmp_path: Path) -> None:
    async def play() -> None:
        receiver = Receiver()
        await receiver.start()
        (tmp_path / "new").write_text(OTHER + "\n")
        sources = (SecretSource("t", env="HOOK"), SecretSource("t", file=tmp_path / "new"))
        async with Courier(replace(endpoint(receiver.url), secrets=sources), ENVIRONMENT, lambda: T0) as courier:
            await courier.post("a:0:1", b"{}")
            (tmp_path / "new").write_text(SECRET.replace("MDEy", "MDEz"))
            await courier.post("a:0:1", b"{}")
            (tmp_path / "new").write_text("nonsense")
            await courier.post("a:0:1", b"{}")
        heads = [headers["webhook-signature"].split(" ") for headers, _ in receiver.requests]
        keys = [[parse_secret(SECRET), parse_secret(other)] for other in (OTHER, SECRET.replace("MDEy", "MDEz"))]
        expected = [[sign(key, "a:0:1", T0 // 1000, b"{}") for key in pair] for pair in keys]
        assert heads == [expected[0], expected[1], expected[1]]
        await receiver.stop()

    run(play)


def test_what_an_endpoint_says_cannot_write_on_a_terminal() -> None:
    body = "evil \x1b[2J\x07\u202e\u2028 客户 text".encode()
    answer = asyncio.run(post_to(says(BAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)))
    assert answer.why == "500: evil [2J 客户 text"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for hook.example that signed itself, and its key."""
    if shutil.which("openssl") is None:
        if os.environ.get("CI"):
            raise FileNotFoundError("openssl")
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    cert, key = folder / "cert.pem", folder / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=hook", "-addext", "subjectAltName=DNS:localhost"]
    subprocess.run([*command, "-keyout", str(key), "-out", str(cert)], check=True, capture_output=True)
    return cert, key


def test_a_certificate_must_be_of_the_ca_and_of_the_name(certificate: tuple[Path, Path], tmp_path: Path) -> None:
    cert, key = certificate
    names: list[str | None] = []

    async def play() -> None:
        async def hook(_request: web.Request) -> web.Response:
            return web.Response(status=204)

        app = web.Application()
        app.router.add_post("/hook", hook)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(cert, key)
        context.sni_callback = lambda _socket, name, _context: names.append(name)
        site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        port = runner.addresses[0][1]
        trusted = endpoint(f"https://localhost:{port}/hook", ca=cert)
        assert (await post(trusted)).status == 204
        assert names == ["localhost"]
        stranger = await post(replace(trusted, ca=None))
        assert stranger.status is None
        assert stranger.why.startswith("certificate not trusted")
        elsewhere = await post(replace(trusted, url=f"https://127.0.0.1:{port}/hook"))
        assert elsewhere.why.startswith("certificate not trusted")
        await runner.cleanup()

    run(play)
    (tmp_path / "none.pem").write_text(json.dumps({}))
    with pytest.raises(ConfigurationError, match="endpoint crm, ca: expected a file of certificates"):
        Courier(endpoint("https://localhost/", ca=tmp_path / "none.pem"), ENVIRONMENT, lambda: T0)
