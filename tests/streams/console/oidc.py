"""A provider of identities on this machine, with real keys, that can be told to lie."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import Callable
from html import escape
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import orjson
from aiohttp import hdrs, web
from joserfc import jws
from joserfc.jwk import ECKey, Key, RSAKey

from tests.streams.console.running import Answer, Browser, Clock

__all__ = ["CLIENT", "EC", "HOST", "OTHER_RSA", "RSA", "SECRET", "FakeProvider", "login", "sent_to"]

CLIENT = "henji-console"
SECRET = "a secret: with/odd+characters"
HOST = "desk.example"
"""Under which name people reach the console of a test."""

RSA = RSAKey.generate_key(2048, {"kid": "first", "use": "sig"})
EC = ECKey.generate_key("P-256", {"kid": "second", "use": "sig", "alg": "ES256"})
OTHER_RSA = RSAKey.generate_key(2048, {"kid": "first"})

_Answer = Callable[[], web.Response]


class _Anything(jws.JWSRegistry):
    """Signs whatever header."""

    def check_header(self, header: dict[str, Any]) -> None:
        pass


class FakeProvider:
    """Does what OpenID Connect asks of a provider, strictly; a test changes what it says.

    Parameters
    ----------
    clock
        Of the console.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.claims: dict[str, Any] = {}
        self.keys: list[Key] = [RSA]
        self.key: Key | bytes = RSA
        self.header: dict[str, Any] = {"alg": "RS256", "kid": "first"}
        self.discovery: dict[str, Any] = {}
        self.answers: dict[str, _Answer] = {}
        self.asked: list[str] = []
        self.slow = False
        self.url = ""
        self._codes: dict[str, dict[str, str]] = {}
        self._runner: web.AppRunner | None = None
        self._released = asyncio.Event()

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/.well-known/openid-configuration", self._configuration)
        app.router.add_get("/authorize", self._authorize)
        app.router.add_post("/token", self._token)
        app.router.add_get("/keys", self._key_set)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", int(self.url.rpartition(":")[2] or 0))
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        self._released.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def grant(self, asked: dict[str, str]) -> str:
        """A code, as if somebody had just logged in."""
        code = secrets.token_urlsafe(600)  # some have long ones
        self._codes[code] = asked
        return code

    def token(self, asked: dict[str, str]) -> str:
        """The ID token of a login."""
        now = self.clock() // 1000
        claims = {
            "iss": self.url, "aud": CLIENT, "sub": "0815", "iat": now, "exp": now + 300, "nonce": asked["nonce"],
            "preferred_username": "anna", "groups": ["desk", "others"], **self.claims,
        }  # fmt: skip
        kept = {name: value for name, value in claims.items() if value is not None}
        if isinstance(self.key, bytes):
            # What no library makes: without a signature, or signed with what everybody knows.
            parts = f"{_base64(orjson.dumps(self.header))}.{_base64(orjson.dumps(kept))}"
            return f"{parts}.{_base64(hmac.digest(self.key, parts.encode(), 'sha256') if self.key else b'')}"
        registry = _Anything(algorithms=[self.header["alg"]])
        return jws.serialize_compact(self.header, orjson.dumps(kept), self.key, registry=registry)

    async def _told(self, what: str, body: dict[str, Any]) -> web.Response:
        self.asked.append(what)
        if self.slow:
            await self._released.wait()
        return self.answers[what]() if what in self.answers else web.json_response(body)

    async def _configuration(self, request: web.Request) -> web.Response:
        return await self._told(
            "configuration",
            {
                "issuer": self.url,
                "authorization_endpoint": f"{self.url}/authorize?tenant=1",
                "token_endpoint": f"{self.url}/token",
                "jwks_uri": f"{self.url}/keys",
                **self.discovery,
            },
        )

    async def _authorize(self, request: web.Request) -> web.Response:
        asked = dict(request.query)
        where = urlencode({"code": self.grant(asked), "state": asked["state"], "iss": self.url})
        link = escape(f"{asked['redirect_uri']}?{where}")
        return web.Response(text=f'<a href="{link}">I am Anna</a>', content_type="text/html")

    async def _key_set(self, request: web.Request) -> web.Response:
        odd: list[Any] = [{"kty": "RSA", "n": "!"}, {"kty": "EC", "crv": "P-9"}, {"kty": "PQ"}, "key", {}]
        return await self._told("keys", {"keys": [*odd, *(key.as_dict(private=False) for key in self.keys)]})

    async def _token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        post = self.discovery.get("token_endpoint_auth_methods_supported") == ["client_secret_post"]
        if post:
            proven = (form.get("client_id"), form.get("client_secret")) == (CLIENT, SECRET)
        else:
            given = base64.b64decode(request.headers[hdrs.AUTHORIZATION].removeprefix("Basic ")).decode()
            # RFC 6749, 2.3.1: both as in a form.
            parts = parse_qs("id={}&secret={}".format(*given.split(":")))
            proven = (parts["id"], parts["secret"]) == ([CLIENT], [SECRET])
        if not proven:
            return web.json_response({"error": "invalid_client"}, status=401)
        asked = self._codes.pop(form.get("code", ""), None)
        challenge = _base64(hashlib.sha256(form.get("code_verifier", "").encode()).digest())
        if (
            asked is None
            or asked["code_challenge_method"] != "S256"
            or asked["code_challenge"] != challenge
            or asked["redirect_uri"] != form.get("redirect_uri")
            or form.get("grant_type") != "authorization_code"
        ):
            return web.json_response({"error": "invalid_grant"}, status=400)
        return await self._told("token", {"access_token": "x", "token_type": "Bearer", "id_token": self.token(asked)})


async def sent_to(browser: Browser, host: str = HOST) -> tuple[str, dict[str, str]]:
    """Where the login page leads, and what it asks for there."""
    await browser.get("/api/session", Host=host)
    answer = await browser.get("/api/oidc/start", Host=host)
    assert answer.status == 303
    where = answer.headers[hdrs.LOCATION]
    return where, {name: values[0] for name, values in parse_qs(urlsplit(where).query).items()}


async def login(browser: Browser, provider: FakeProvider, host: str = HOST, **changed: str) -> Answer:
    """Log in by the provider; `changed` is what comes back otherwise than it should."""
    _, asked = await sent_to(browser, host)
    back = {"code": provider.grant(asked), "state": asked["state"], **changed}
    return await browser.get(f"/api/oidc/callback?{urlencode(back)}", Host=host)


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
