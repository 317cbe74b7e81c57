"""Posts a message to an endpoint and brings back an answer, whatever the other end does."""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Callable, Mapping
from importlib.metadata import version
from types import TracebackType
from typing import Protocol, Self

import aiohttp
from yarl import URL

from engine.errors import ConfigurationError
from streams.webhooks.address import AddressRefused, guarded_socket
from streams.webhooks.answer import Answer, parse_retry_after
from streams.webhooks.endpoint import Endpoint
from streams.webhooks.resolver import ThreadResolver
from streams.webhooks.secret import Secrets
from streams.webhooks.signature import ID, SIGNATURE, TIMESTAMP, signatures

__all__ = ["MAX_ANSWER", "Courier", "Posts"]

MAX_ANSWER = 64 * 1024
"""So much of an answer is read, in bytes; what is longer costs the connection."""

_SHOWN = 200
_HEADER_BYTES = 8_190
_UNPRINTABLE = re.compile(r"[^\x20-\x7e\u00a1-\u167f\u1681-\u1fff\u2c00-\ud7ff\uf900-\uffef]+")
_KEEP_S = 30.0


class Posts(Protocol):
    """What the sender needs of a courier."""

    async def post(self, message_id: str, body: bytes) -> Answer:
        """Try once; returns an answer also where there was none. Raises nothing but `CancelledError`."""

    async def close(self) -> None:
        """Give the connections back."""


class Courier:
    """Posts to one endpoint, over connections of its own.

    Redirects are not followed, proxies of the environment not used, cookies not kept, what is compressed not unpacked.
    One time limit holds for the whole attempt, so that who drips bytes gains nothing.

    Parameters
    ----------
    endpoint
        Where to.
    environment
        Variables, for secrets.
    now_ms
        Wall clock, ms.

    Raises
    ------
    ConfigurationError
        If a secret or a certificate cannot be used.
    """

    def __init__(self, endpoint: Endpoint, environment: Mapping[str, str], now_ms: Callable[[], int]) -> None:
        self._endpoint = endpoint
        self._secrets = Secrets(endpoint.secrets, environment)
        self._tls = _tls(endpoint)
        self._now_ms = now_ms
        self._session: aiohttp.ClientSession | None = None
        # As written: yarl would decode and encode what the operator has encoded.
        self._url = URL(endpoint.url, encoded=True)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, message_id: str, body: bytes) -> Answer:
        loop = asyncio.get_running_loop()
        began = loop.time()
        status: int | None = None
        retry_after: int | None = None
        try:
            async with (
                asyncio.timeout(self._endpoint.timeout_s),
                self._open().post(
                    self._url, data=body, headers=self._headers(message_id, body), allow_redirects=False
                ) as response,
            ):
                status = response.status
                retry_after = parse_retry_after(response.headers.get("Retry-After"), self._now_ms())
                why = _said(status, await _read(response))
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            # After the status the answer is known, whatever became of its rest.
            why = _said(status, b"") if status is not None else self._failure(error)
        return Answer(status, why, retry_after, int((loop.time() - began) * 1000))

    def _headers(self, message_id: str, body: bytes) -> dict[str, str]:
        timestamp_s = self._now_ms() // 1000
        return {
            "Content-Type": "application/json",
            "User-Agent": f"henji/{version('henji')}",
            "Accept-Encoding": "identity",
            ID: message_id,
            TIMESTAMP: str(timestamp_s),
            SIGNATURE: signatures(self._secrets.keys(), message_id, timestamp_s, body),
        }

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            endpoint = self._endpoint
            connector = aiohttp.TCPConnector(
                limit=endpoint.concurrency,
                ssl=self._tls,
                # Looked up for every connection: the address that is checked is the one that is used.
                use_dns_cache=False,
                resolver=ThreadResolver(),
                socket_factory=guarded_socket(allow_private=endpoint.allow_private),
                keepalive_timeout=_KEEP_S,
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                trust_env=False,
                timeout=aiohttp.ClientTimeout(total=endpoint.timeout_s),
                read_bufsize=MAX_ANSWER,
                max_line_size=_HEADER_BYTES,
                max_field_size=_HEADER_BYTES,
            )
        return self._session

    def _failure(self, error: BaseException) -> str:
        """Why there is no answer, in words, without what the other end sent."""
        refused = _cause(error, AddressRefused)
        if refused is not None:
            return str(refused.strerror)
        if isinstance(error, TimeoutError):
            return f"no answer within {self._endpoint.timeout_s:g} s"
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return _printable(f"certificate not trusted: {error.certificate_error}")
        if isinstance(error, aiohttp.ClientConnectorError):
            return _printable(f"no connection: {error.os_error.strerror or type(error.os_error).__name__}")
        if isinstance(error, aiohttp.ServerDisconnectedError):
            return "the connection was closed without an answer"
        if isinstance(error, aiohttp.ClientResponseError):
            return "an answer that is not HTTP"
        return f"no answer: {type(error).__name__}"


async def _read(response: aiohttp.ClientResponse) -> bytes:
    """The beginning of an answer; one that is longer ends the connection, instead of being read to its end."""
    found = bytearray()
    async for chunk in response.content.iter_any():
        found += chunk
        if len(found) > MAX_ANSWER:
            response.close()
            break
    return bytes(found[:MAX_ANSWER])


def _said(status: int, body: bytes) -> str:
    text = _printable(body[: 4 * _SHOWN].decode("utf-8", "replace"))
    return f"{status}: {text}" if text and not 200 <= status < 300 else str(status)


def _printable(text: str) -> str:
    """Text that does no harm on a terminal."""
    text = " ".join(_UNPRINTABLE.sub(" ", text).split())
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _cause(error: BaseException, kind: type[AddressRefused]) -> AddressRefused | None:
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, kind):
            return seen
        inner = getattr(seen, "os_error", None)
        if isinstance(inner, kind):
            return inner
        seen = seen.__cause__ or seen.__context__
    return None


def _tls(endpoint: Endpoint) -> ssl.SSLContext:
    if endpoint.ca is None:
        return ssl.create_default_context()
    try:
        return ssl.create_default_context(cafile=endpoint.ca)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"endpoint {endpoint.name}, ca: expected a file of certificates, got {type(error).__name__}"
        ) from error
