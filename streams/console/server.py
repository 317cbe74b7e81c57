"""The console's HTTP: puts the doors behind the gate, and a log of who asked for what beside them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from argon2 import PasswordHasher

from engine.errors import ConfigurationError, HenjiError, StoreUnavailable, UsageError
from streams.client.async_client import AsyncRedisClient
from streams.console.account_door import AccountDoor, Front
from streams.console.accounts import Accounts
from streams.console.audit import Audit
from streams.console.board_door import BoardDoor
from streams.console.body import MAX_BYTES
from streams.console.clock import DAY_MS, Clock, wall_ms
from streams.console.file import ConsoleFile
from streams.console.follower import Follower
from streams.console.gate import Gate, Names, Visitor, security_headers
from streams.console.oidc_door import OidcDoor
from streams.console.oidc_flow import Flows
from streams.console.oidc_provider import OidcOptions, Provider
from streams.console.order_door import OrderDoor
from streams.console.orders import Orders
from streams.console.page_door import PageDoor
from streams.console.passwords import Passwords
from streams.console.problem import Problem
from streams.console.reader import BoardReader
from streams.console.routes import ROUTES, Route
from streams.console.sessions import Sessions
from streams.console.static_files import StaticFiles
from streams.console.throttle import Throttle
from streams.intake.server import is_loopback

__all__ = ["ConsoleOptions", "ConsoleServer"]

log = logging.getLogger(__name__)

Handler: TypeAlias = Callable[[web.Request, Visitor], Awaitable[web.StreamResponse]]

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})
_DAY_S = DAY_MS / 1000


@dataclass(slots=True)
class _Asked:
    """What the log says of a request beside what HTTP knows."""

    by: str = "-"


_ASKED: ContextVar[_Asked] = ContextVar("_ASKED")


@dataclass(frozen=True, slots=True)
class ConsoleOptions:
    """How a console is reached, and how it looks at the world.

    Parameters
    ----------
    host, port
        Where it listens; port 0 takes a free one.
    prefix
        Of the board.
    public_urls
        URLs under which people reach it, the first for links; none: the address where it listens.
    secure_cookies
        Cookies over TLS only, also where the console itself speaks plain HTTP to a proxy.
    trust_proxy
        Whether the last `X-Forwarded-For` counts.
    tls
        What it proves itself with; `None`: plain HTTP.
    oidc
        A provider by which people can log in as well; needs a public URL, which is where it sends them back.
    now_ms
        Wall clock, ms.
    hasher
        Of passwords.
    names_s
        See `BoardReader`.
    static
        Directory of the page's files; `None`: the package's.
    """

    host: str = "127.0.0.1"
    port: int = 0
    prefix: str = "risk:"
    public_urls: Sequence[str] = ()
    secure_cookies: bool = False
    trust_proxy: bool = False
    tls: ssl.SSLContext | None = None
    oidc: OidcOptions | None = None
    now_ms: Clock = wall_ms
    hasher: PasswordHasher = field(default_factory=PasswordHasher)
    names_s: float = 60.0
    static: Path | None = None


class ConsoleServer:
    """Serves the console.

    Parameters
    ----------
    client
        Of Redis; closed by whoever made it, as all three.
    file
        Of the accounts.
    orders
        The way to the intake.
    options
        See `ConsoleOptions`.
    """

    def __init__(
        self, client: AsyncRedisClient, file: ConsoleFile, orders: Orders, options: ConsoleOptions | None = None
    ) -> None:
        self._options = options = options or ConsoleOptions()
        self._orders = orders
        self._runner: web.AppRunner | None = None
        self._housekeeping: asyncio.Task[None] | None = None
        now_ms = options.now_ms
        self.accounts = Accounts(file, now_ms)
        self.audit = Audit(file, now_ms)
        self.sessions = Sessions(file, now_ms)
        self._throttle = Throttle(file, now_ms)
        self._provider = Provider(options.oidc, now_ms) if options.oidc is not None else None
        self._flows = Flows(file, now_ms)
        self._passwords = Passwords(options.hasher)
        self.reader = BoardReader(client, options.prefix, now_ms, names_s=options.names_s)
        self.follower = Follower(self.reader)
        self._encrypted = (
            options.tls is not None
            or options.secure_cookies
            or any(url.lower().startswith("https://") for url in options.public_urls)
        )
        self._headers = security_headers(encrypted=self._encrypted)
        self._gate: Gate | None = None
        self._doors: dict[str, Handler] = {}
        self.url = ""

    # -- life --------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Begin to listen, and to follow the board.

        Raises
        ------
        UsageError
            If the address cannot be taken, or nobody would know it by name.
        """
        options = self._options
        if options.oidc is not None and not options.public_urls:
            raise ConfigurationError(
                "--oidc-issuer: expected --public-url with it, got none; the provider sends people back there"
            )
        runner = web.AppRunner(
            self.application(),
            access_log=None,
            auto_decompress=False,
            handler_cancellation=True,  # a page that went away is not sent anything any more
            keepalive_timeout=75.0,
            shutdown_timeout=5.0,
            max_line_size=8_190,
            max_field_size=8_190,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, options.host.strip("[]"), options.port, ssl_context=options.tls).start()
            port = runner.addresses[0][1]
            names = Names.of(options.host, port, encrypted=options.tls is not None, public=options.public_urls)
        except OSError as error:
            await runner.cleanup()
            raise UsageError(
                f"--host, --port: expected a free address of this machine, got {options.host}:{options.port} "
                f"({error.strerror}); choose another port, or port 0"
            ) from error
        except UsageError:
            await runner.cleanup()
            raise
        self._runner = runner
        host = options.host.strip("[]")
        scheme = "https" if options.tls is not None else "http"
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"
        public = [url.rstrip("/") for url in options.public_urls] or [self.url]
        if not self._encrypted and any(not is_loopback(urlsplit(url).hostname or "") for url in names.origins):
            log.warning("passwords cross the network as they are: expected TLS, got http://; see docs/console.md")
        front = Front(
            public,
            options.prefix,
            read_only=self._orders.read_only,
            encrypted=self._encrypted,
            oidc=options.oidc.label if options.oidc is not None else None,
        )
        self._link = front.link
        self._gate = Gate(self.sessions, names, trust_proxy=options.trust_proxy)
        self._hang_doors(self._gate, front)
        self.follower.start()
        self._housekeeping = asyncio.create_task(self._keep_house())

    def first_link(self) -> str | None:
        """The one-time link for the first admin; `None` when there is one. A link from before holds no more."""
        return None if self.accounts.has_admin() else self._link(self.accounts.link())

    async def stop(self) -> None:
        """Listen no more; pages that are open are cut off."""
        if self._housekeeping is not None:
            self._housekeeping.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._housekeeping
        await self.follower.stop()
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()
        if self._provider is not None:
            await self._provider.close()

    async def _keep_house(self) -> None:
        while True:
            try:
                self.audit.prune()
            except HenjiError as error:
                log.warning("old entries of the audit stay: %s", error)
            await asyncio.sleep(_DAY_S)

    # -- paths -------------------------------------------------------------------------------------------------

    def application(self) -> web.Application:
        """The paths, for a server."""
        app = web.Application(middlewares=[self._answer], client_max_size=MAX_BYTES)
        for route in ROUTES:
            app.router.add_route(route.method, route.pattern, self._handler(route), expect_handler=_expect)
        app.on_response_prepare.append(self._dress)
        return app

    def _handler(self, route: Route) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def handle(request: web.Request) -> web.StreamResponse:
            assert self._gate is not None
            visitor = self._gate.enter(request, route)
            _ASKED.get().by = visitor.session.name if visitor.session is not None else "-"
            return await self._doors[route.name](request, visitor)

        return handle

    def _hang_doors(self, gate: Gate, front: Front) -> None:
        board = BoardDoor(self.reader, self.follower, gate, self.audit)
        entry = AccountDoor(self.accounts, self.sessions, self._throttle, self.audit, self._passwords, front)
        doors = (
            PageDoor(StaticFiles(self._options.static)),
            board,
            OrderDoor(self.reader, board, self._orders, self.audit),
            entry,
            OidcDoor(self._provider, self._flows, self.accounts, self._throttle, self.audit, entry, front),
        )
        for route in ROUTES:
            (self._doors[route.name],) = (
                getattr(door, route.name) for door in doors if callable(getattr(door, route.name, None))
            )

    async def _dress(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(self._headers)
        if hdrs.CACHE_CONTROL not in response.headers:
            response.headers[hdrs.CACHE_CONTROL] = "no-store"

    # -- around every request ----------------------------------------------------------------------------------

    @property
    def _answer(self) -> Any:
        @web.middleware
        async def answer(
            request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
        ) -> web.StreamResponse:
            _ASKED.set(asked := _Asked())
            began = time.perf_counter()
            status = 0
            try:
                response = await self._answered(request, handler)
                status = response.status
                return response
            finally:
                resource = request.match_info.route.resource
                # The route, not the path: customers stand in paths. Probes come every few seconds for ever.
                path = resource.canonical if resource is not None else "?"
                if status != 200 or path != "/healthz":
                    log.info(
                        "%s %s %d in %.1f ms, by %s from %s",
                        request.method if request.method in _METHODS else "?",
                        path,
                        status,
                        (time.perf_counter() - began) * 1000,
                        asked.by,
                        request.remote,
                    )

        return answer

    async def _answered(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        try:
            assert self._gate is not None
            if request.path != "/healthz":
                self._gate.check_host(request)
            return await handler(request)
        except Problem as problem:
            return problem.response()
        except web.HTTPMethodNotAllowed as error:
            allowed = ", ".join(sorted(error.allowed_methods))
            detail = f"expected {allowed}, got another method"
            return Problem("method", detail, headers={hdrs.ALLOW: allowed}).response()
        except web.HTTPNotFound:
            return Problem("not_found", "expected a path of /api/openapi.json, got another").response()
        except StoreUnavailable as error:
            log.warning("%s", error)
            return Problem(
                "store", "expected Redis and the file of accounts to answer, got nothing; try again in a while",
                headers={"Retry-After": "5"},
            ).response()  # fmt: skip
        except HenjiError as error:
            # Whoever asks cannot mend it: what it says of keys and files stays in the log.
            log.error("%s", error)
            return Problem("store", "expected a board of this version, got another; the log has the place").response()
        except (ConnectionError, asyncio.CancelledError):
            raise  # the client went away
        except Exception as error:
            # The edge of the process: a bug must not show what it holds. The log has the place, not the payload.
            log.error("a request failed", exc_info=error)
            return Problem("internal", "expected an answer, got a failure; the log has the place").response()


async def _expect(request: web.Request) -> web.StreamResponse | None:
    if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
        return Problem("expectation", "expected `Expect: 100-continue` or none, got another").response()
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer itself has not begun
    return None
