"""The gate: every request passes it, and leaves it as a visitor of whom all is known that may be asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from aiohttp import hdrs, web

from engine.errors import ConfigurationError
from streams.console.body import check_media_type
from streams.console.problem import Problem
from streams.console.routes import Route
from streams.console.sessions import Session, Sessions
from streams.intake.server import is_loopback

__all__ = ["BACKGROUND_HEADER", "COOKIE", "CSRF_HEADER", "Gate", "Names", "Visitor", "security_headers"]

COOKIE = "henji_session"
CSRF_HEADER = "X-CSRF-Token"

BACKGROUND_HEADER = "X-Henji-Background"
"""Of what a page asks by itself, while perhaps nobody looks: it does not keep a session alive."""

_POLICY = "; ".join(
    (
        "default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data:", "connect-src 'self'",
        "font-src 'self'", "form-action 'self'", "frame-ancestors 'none'", "base-uri 'none'",
    )
)  # fmt: skip
_HEADERS = {
    hdrs.SERVER: "henji",
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
}
_USUAL = {"http": 80, "https": 443}
_HSTS = "max-age=31536000"


def security_headers(*, encrypted: bool) -> dict[str, str]:
    """What stands on every answer."""
    return {**_HEADERS, "Strict-Transport-Security": _HSTS} if encrypted else dict(_HEADERS)


@dataclass(frozen=True, slots=True)
class Names:
    """By which names the console is reached: a browser that was led here under another one gets nothing.

    Parameters
    ----------
    hosts
        What may stand in `Host`, lower case.
    origins
        What may stand in `Origin`.
    """

    hosts: frozenset[str]
    origins: frozenset[str]

    @classmethod
    def of(cls, host: str, port: int, *, encrypted: bool, public: Sequence[str] = ()) -> Names:
        """The names of a console.

        Parameters
        ----------
        host, port
            Where it listens.
        encrypted
            Whether it speaks TLS itself.
        public
            URLs under which people reach it through a proxy.

        Raises
        ------
        ConfigurationError
            If a URL is none, or it listens on every address and no URL is given.

        Examples
        --------
        >>> sorted(Names.of("127.0.0.1", 8080, encrypted=False).hosts)
        ['127.0.0.1:8080', '[::1]:8080', 'localhost:8080']
        """
        urls = [_origin(url) for url in public]
        scheme = "https" if encrypted else "http"
        bare = host.strip("[]")
        if is_loopback(bare):
            urls += [f"{scheme}://{name}:{port}" for name in ("127.0.0.1", "localhost", "[::1]")]
        elif bare not in ("0.0.0.0", "::", ""):
            urls.append(f"{scheme}://{f'[{bare}]' if ':' in bare else bare.lower()}:{port}")
        if not urls:
            raise ConfigurationError(
                f"--public-url: expected the URL under which people reach a console that listens on {host}, got none; "
                "give it, such as https://desk.example"
            )
        origins = {_without_usual_port(url) for url in urls}
        hosts = {urlsplit(url).netloc for url in origins}
        # Browsers leave the usual port out, other clients need not.
        hosts |= {f"{urlsplit(url).netloc}:{_USUAL[urlsplit(url).scheme]}" for url in origins if not urlsplit(url).port}
        return cls(frozenset(hosts), frozenset(origins))


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asks.

    Parameters
    ----------
    token
        Of the cookie; `None` if there is none of the right form.
    session
        The session of the token, if it is one.
    address
        Where they are.
    """

    token: str | None
    session: Session | None
    address: str

    @property
    def user(self) -> Session:
        """The session, behind a route that needs one."""
        assert self.session is not None, "a route with a least role"
        return self.session


class Gate:
    """Checks host, origin, content type, session, role and CSRF token, in this order.

    Parameters
    ----------
    sessions
        Of the console.
    names
        By which it is reached.
    trust_proxy
        Whether the last `X-Forwarded-For` says where people are: only behind a proxy that sets it.
    """

    def __init__(self, sessions: Sessions, names: Names, *, trust_proxy: bool = False) -> None:
        self._sessions = sessions
        self._names = names
        self._trust_proxy = trust_proxy

    def check_host(self, request: web.Request) -> None:
        """Refuse a host that is not ours.

        Raises
        ------
        Problem
            `host`.
        """
        given = request.headers.getall(hdrs.HOST, [])
        if len(given) != 1 or given[0].lower() not in self._names.hosts:
            raise Problem("host", "expected a host that the console is known by (--public-url), got another")

    def enter(self, request: web.Request, route: Route) -> Visitor:
        """Let a request in, or not.

        Raises
        ------
        Problem
            `csrf`, `media_type`, `unauthenticated` or `forbidden`.
        """
        writes = route.method != "GET"
        if writes:
            self._check_origin(request)
            check_media_type(request)
        visitor = self._visitor(request, touch=route.name != "events" and BACKGROUND_HEADER not in request.headers)
        if route.least is not None:
            if visitor.session is None:
                raise Problem("unauthenticated", "expected a session, got none or one that has ended; log in")
            if visitor.session.role < route.least:
                raise Problem("forbidden", f"expected the role {route.least.word}, got {visitor.session.role.word}")
        if writes:
            presented = request.headers.get(CSRF_HEADER, "")
            if visitor.token is None or not self._sessions.is_csrf(visitor.token, presented):
                raise Problem("csrf", f"expected {CSRF_HEADER} as GET /api/session gives it, got another or none")
        return visitor

    def still_in(self, visitor: Visitor) -> bool:
        """Whether the session of a visitor who stays connected still holds, with the role it had."""
        assert visitor.token is not None
        return self._sessions.find(visitor.token, touch=False) == visitor.session

    def _visitor(self, request: web.Request, *, touch: bool) -> Visitor:
        token = request.cookies.get(COOKIE)
        if token is None or not Sessions.is_token(token):
            return Visitor(None, None, self._address(request))
        return Visitor(token, self._sessions.find(token, touch=touch), self._address(request))

    def _check_origin(self, request: web.Request) -> None:
        site, origin = request.headers.get("Sec-Fetch-Site"), request.headers.get(hdrs.ORIGIN)
        good = [
            *([site == "same-origin"] if site is not None else ()),
            *([origin.lower() in self._names.origins] if origin is not None else ()),
        ]
        if not good or not all(good):
            raise Problem("csrf", "expected Origin or Sec-Fetch-Site of a page of this console, got another or none")

    def _address(self, request: web.Request) -> str:
        if self._trust_proxy:
            # The last one is what our own proxy saw; those before it are what anybody wrote.
            forwarded = request.headers.getall("X-Forwarded-For", [])
            last = forwarded[-1].rpartition(",")[2].strip() if forwarded else ""
            if last:
                return last[:64]
        return request.remote or "-"


def _origin(url: str) -> str:
    try:
        parts = urlsplit(url.lower())
        good = parts.scheme in ("http", "https") and parts.hostname and parts.path in ("", "/") and parts.port != 0
    except ValueError:
        good = False
    if not good or "@" in parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError(f"--public-url: expected http(s)://HOST or http(s)://HOST:PORT, got {url!r}")
    return f"{parts.scheme}://{parts.netloc}"


def _without_usual_port(url: str) -> str:
    return url.removesuffix(f":{_USUAL[urlsplit(url).scheme]}")
