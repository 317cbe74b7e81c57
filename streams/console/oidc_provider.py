"""An OpenID Connect provider: where people log in instead, and what it says of them, checked."""

from __future__ import annotations

import asyncio
import logging
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus, urlsplit

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, hdrs
from joserfc import jwt
from joserfc.errors import BadSignatureError, InvalidKeyIdError, JoseError
from joserfc.jwk import JWKRegistry, Key, KeySet
from joserfc.jws import JWSRegistry
from yarl import URL

from engine.errors import ConfigurationError
from streams.console.clock import HOUR_MS, Clock
from streams.console.oidc_flow import Flow
from streams.console.problem import Problem
from streams.console.roles import ROLES, Role
from streams.intake.server import is_loopback

__all__ = ["OidcOptions", "Person", "Provider"]

log = logging.getLogger(__name__)

_ALGORITHMS = ("RS256", "ES256", "PS256")  # never `none`, nor what is signed with a key that we know as well
_BYTES = 262_144


class _Registry(JWSRegistry):
    max_header_length = 16_384  # some providers send their certificates along, which nobody looks at


# A header that we do not know is no harm, unless `crit` says so.
_REGISTRY = _Registry(algorithms=_ALGORITHMS, strict_check_header=False)
_CONNECT_S = 3.0
_LEEWAY_S = 60  # that two clocks may differ
_KEEP_MS = HOUR_MS  # discovery and keys; a key that is new is asked for at once
_PAUSE_MS = 5_000  # after the provider did not answer: many who try must not all wait in turn
_SUBJECT = 255  # OpenID Connect Core, section 2
_ENDPOINTS = ("authorization_endpoint", "token_endpoint", "jwks_uri")


@dataclass(frozen=True, slots=True)
class OidcOptions:
    """How people log in by a provider.

    Parameters
    ----------
    issuer
        Its URL, exactly as it names itself.
    client_id
        Of the console, there.
    secret_file
        Holds the client's secret; read for each login, so that it can be changed.
    roles
        Value of the claim -> role. Who has none of them does not get in.
    label
        As the page names the provider.
    name_claim
        Claim that an account gets its name from.
    role_claim
        Claim with the groups or roles; `a.b` is `b` within `a`.
    timeout_s
        How long an answer of the provider is waited for, seconds.

    Raises
    ------
    ConfigurationError
        If one of them is none.
    """

    issuer: str
    client_id: str
    secret_file: Path
    roles: Mapping[str, str]
    label: str
    name_claim: str = "preferred_username"
    role_claim: str = "groups"
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if not _is_good(self.issuer, plain=True) or urlsplit(self.issuer).query:
            raise ConfigurationError(f"--oidc-issuer: expected https://HOST or https://HOST/PATH, got {self.issuer!r}")
        if not self.roles or any(role not in ROLES for role in self.roles.values()):
            raise ConfigurationError(
                f"--oidc-roles: expected NAME=ROLE with one of {', '.join(ROLES)}, at least once, got another or none"
            )
        self.secret()

    def secret(self) -> str:
        """The client's secret.

        Raises
        ------
        ConfigurationError
            If the file cannot be read.
        """
        try:
            secret = self.secret_file.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"--oidc-client-secret-file: expected a readable file with one secret, got {type(error).__name__}"
            ) from None
        if not secret:
            raise ConfigurationError("--oidc-client-secret-file: expected one secret, got an empty file")
        return secret

    def role(self, claims: Mapping[str, Any]) -> Role | None:
        """The highest role that somebody has.

        Examples
        --------
        >>> import tempfile
        >>> with tempfile.NamedTemporaryFile("w+") as file:
        ...     _ = file.write("secret"), file.flush()
        ...     roles = {"desk": "agent", "leads": "lead"}
        ...     options = OidcOptions("https://id.example", "henji", Path(file.name), roles, "ID", role_claim="a.b")
        >>> options.role({"a": {"b": ["desk", "leads", "others"]}}), options.role({"b": "desk"})
        (<Role.LEAD: 3>, None)
        """
        found: Any = claims.get(self.role_claim)
        if found is None:
            found = claims
            for part in self.role_claim.split("."):
                found = found.get(part) if isinstance(found, dict) else None
        names = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        return max(
            (ROLES[self.roles[name]] for name in names if isinstance(name, str) and name in self.roles), default=None
        )


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who has logged in at the provider.

    Parameters
    ----------
    subject
        Issuer and its id of them: what makes them the same person the next time.
    name
        What they are called there.
    role
        `None`: they may not come in.
    """

    subject: str
    name: str
    role: Role | None


class Provider:
    """Asks a provider, and believes nothing that does not prove itself.

    Addresses of a private network are taken, since whoever runs the console named the issuer. Redirects are not.

    Parameters
    ----------
    options
        See `OidcOptions`.
    now_ms
        Wall clock.
    """

    def __init__(self, options: OidcOptions, now_ms: Clock) -> None:
        self._options = options
        self._now_ms = now_ms
        self._session: ClientSession | None = None
        self._lock = asyncio.Lock()
        self._known: tuple[int, dict[str, Any]] | None = None
        self._keys: tuple[int, KeySet] | None = None
        self._failed_at: int | None = None

    @property
    def issuer(self) -> str:
        """As the provider names itself."""
        return self._options.issuer

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def login_url(self, redirect_uri: str, flow: Flow) -> str:
        """Where a browser is sent to log in.

        Raises
        ------
        Problem
            `oidc_provider`.
        """
        endpoint = URL((await self._discovered())["authorization_endpoint"])
        return str(
            endpoint.update_query(
                response_type="code",
                client_id=self._options.client_id,
                redirect_uri=redirect_uri,
                scope="openid profile email",
                state=flow.state,
                nonce=flow.nonce,
                code_challenge=flow.challenge,
                code_challenge_method="S256",
            )
        )

    async def redeem(self, code: str, redirect_uri: str, flow: Flow) -> Person:
        """Who brought a code back.

        Raises
        ------
        Problem
            `oidc_provider`, or `oidc_token`: the code is refused, or what the provider says proves nothing.
        """
        known = await self._discovered()
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": redirect_uri,
            "code_verifier": flow.verifier,
        }  # fmt: skip
        try:
            client, secret = self._options.client_id, self._options.secret()
        except ConfigurationError as error:
            raise _away(str(error)) from error
        methods = known.get("token_endpoint_auth_methods_supported", ["client_secret_basic"])
        headers = {}
        if isinstance(methods, list) and "client_secret_basic" not in methods and "client_secret_post" in methods:
            form |= {"client_id": client, "client_secret": secret}
        else:
            pair = f"{quote_plus(client)}:{quote_plus(secret)}"
            headers[hdrs.AUTHORIZATION] = f"Basic {b64encode(pair.encode()).decode()}"
        said = await self._ask("POST", known["token_endpoint"], data=form, headers=headers)
        token = said.get("id_token")
        if not isinstance(token, str):
            raise _away("expected an ID token, got none")
        return self._person(await self._claims(token), flow)

    # -- what it says ------------------------------------------------------------------------------------------

    async def _claims(self, token: str) -> dict[str, Any]:
        for anew in (False, True):
            keys = await self._key_set(anew=anew)
            try:
                return jwt.decode(token, keys, registry=_REGISTRY).claims
            except (InvalidKeyIdError, BadSignatureError) as error:
                if anew:
                    raise _refused(error) from error
            except (JoseError, ValueError, TypeError, RecursionError) as error:
                raise _refused(error) from error
        raise AssertionError

    def _person(self, claims: dict[str, Any], flow: Flow) -> Person:
        options = self._options
        asked = jwt.JWTClaimsRegistry(
            now=self._now_ms() // 1000,
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": options.issuer},
            aud={"essential": True, "value": options.client_id},
            nonce={"essential": True, "value": flow.nonce},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
        )
        try:
            asked.validate(claims)
        except JoseError as error:
            raise _refused(error) from error
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else options.client_id) != options.client_id:
            raise Problem("oidc_token", "azp: expected this client, got another or none")
        if len(claims["sub"]) > _SUBJECT or not isinstance(claims["nonce"], str):
            raise Problem("oidc_token", f"sub, nonce: expected texts of at most {_SUBJECT} characters, got others")
        name = claims.get(options.name_claim)
        if not isinstance(name, str) or (options.name_claim == "email" and claims.get("email_verified") is False):
            raise Problem("oidc_account", f"{options.name_claim}: expected a name (of a verified address), got none")
        return Person(f"{options.issuer} {claims['sub']}", name, options.role(claims))

    async def _discovered(self) -> dict[str, Any]:
        async with self._lock:
            now = self._now_ms()
            if self._known is not None and 0 <= now - self._known[0] < _KEEP_MS:
                return self._known[1]
            if self._failed_at is not None and 0 <= now - self._failed_at < _PAUSE_MS:
                raise _away("expected the provider to answer, got nothing a moment ago")
            try:
                issuer = self._options.issuer
                said = await self._ask("GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
                if said.get("issuer") != issuer:
                    raise _away("issuer: expected exactly that of --oidc-issuer, got another")
                plain = urlsplit(issuer).scheme == "http"
                for name in _ENDPOINTS:
                    if not _is_good(said.get(name), plain=plain):
                        raise _away(f"{name}: expected a URL with https, got another or none")
            except Problem:
                self._failed_at = self._now_ms()
                raise
            self._known = (now, said)
            return said

    async def _key_set(self, *, anew: bool) -> KeySet:
        now = self._now_ms()
        if not anew and self._keys is not None and 0 <= now - self._keys[0] < _KEEP_MS:
            return self._keys[1]
        said = await self._ask("GET", (await self._discovered())["jwks_uri"])
        found: list[Key] = []
        for each in said["keys"] if isinstance(said.get("keys"), list) else ():
            if isinstance(each, dict) and each.get("kty") in ("RSA", "EC"):
                try:
                    found.append(JWKRegistry.import_key(each))
                except (JoseError, ValueError, TypeError, KeyError):
                    log.warning("the provider has a key that cannot be read")
        if not found:
            raise _away("keys: expected at least one of RSA or EC, got none")
        self._keys = (now, KeySet(found))
        return self._keys[1]

    async def _ask(self, method: str, url: str, **options: Any) -> dict[str, Any]:
        if self._session is None:
            timeout = ClientTimeout(total=self._options.timeout_s, sock_connect=_CONNECT_S)
            self._session = ClientSession(timeout=timeout, trust_env=False, headers={hdrs.ACCEPT: "application/json"})
        body = bytearray()
        try:
            async with self._session.request(method, url, allow_redirects=False, **options) as answer:
                async for chunk in answer.content.iter_chunked(65_536):
                    body += chunk
                    if len(body) > _BYTES:
                        raise _away(f"expected at most {_BYTES} bytes, got more")
        except (ClientError, TimeoutError, OSError, ValueError) as error:
            raise _away(f"expected the provider to answer, got {type(error).__name__}") from error
        try:
            said = orjson.loads(body)
        except orjson.JSONDecodeError:
            said = None
        if answer.status != 200 or not isinstance(said, dict):
            told = said.get("error") if isinstance(said, dict) else None
            word = told if isinstance(told, str) and told.isidentifier() and len(told) <= 64 else "-"
            if word == "invalid_grant":
                raise Problem("oidc_token", "expected a code that the provider takes, got one that it refuses")
            raise _away(f"expected 200 and a JSON object, got {answer.status} {word}")
        return said


def _is_good(url: Any, *, plain: bool) -> bool:
    """Whether a URL may be asked: with TLS, or (`plain`) on this machine."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else urlsplit("")
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    scheme = parts.scheme == "https" or (plain and parts.scheme == "http" and is_loopback(host))
    return scheme and bool(host) and "@" not in parts.netloc and not parts.fragment


def _away(detail: str) -> Problem:
    return Problem("oidc_provider", detail)


def _refused(error: Exception) -> Problem:
    # What the library says can hold parts of the token: the log gets the kind, and of a claim its name.
    claim = getattr(error, "claim", None)
    return Problem("oidc_token", f"expected an ID token that holds, got {type(error).__name__} {claim or ''}".rstrip())
