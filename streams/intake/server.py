"""The intake's HTTP: paths, checks in the order of what they cost, answers, and a log of who asked for what."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, TypeAlias

import orjson
from aiohttp import hdrs, web

from engine.errors import HenjiError, RecoverableError, UsageError
from streams.intake.openapi import openapi
from streams.intake.outlet import ACK_S, Outlet
from streams.intake.problem import Problem
from streams.intake.submission import JSON, NDJSON, check_control, decode_all, split_body
from streams.intake.tokens import Token, TokenFile

__all__ = ["IntakeServer", "is_loopback"]

log = logging.getLogger(__name__)

_READ_S = 30.0  # longest time for a body: a client that dribbles holds room that others need
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT"})

Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(slots=True)
class _Asked:
    """What the log says of a request beside what HTTP knows."""

    by: str = "-"
    n_events: int = 0


_ASKED: ContextVar[_Asked] = ContextVar("_ASKED")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach an address; `localhost` is taken at its word.

    Examples
    --------
    >>> [is_loopback(host) for host in ("127.0.0.1", "localhost", "[::1]", "0.0.0.0", "intake.example")]
    [True, True, True, False, False]
    """
    host = host.strip("[]")
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class IntakeServer:
    """Takes events over HTTP and gives them to Kafka.

    Parameters
    ----------
    address
        `HOST:PORT`; port 0 takes a free one.
    outlet
        Kafka; started and closed by whoever made it.
    tokens
        Who may send; `None`: everybody who can reach the loopback address, but no control events.
    max_bytes
        Longest body.
    now_ms
        Wall clock, ms.

    Raises
    ------
    UsageError
        Without tokens on an address that others can reach.
    """

    def __init__(
        self,
        address: str,
        outlet: Outlet,
        tokens: TokenFile | None,
        *,
        max_bytes: int,
        now_ms: Callable[[], int] = _now_ms,
    ) -> None:
        host, _, port = address.rpartition(":")
        if tokens is None and not is_loopback(host):
            raise UsageError(
                f"intake.token_file: expected a file of tokens for intake.listen {address}, which other machines can "
                "reach, got none; write one (NAME:TOKEN a line), or listen on 127.0.0.1"
            )
        self._host, self._port = host.strip("[]"), int(port)
        self._outlet = outlet
        self._tokens = tokens
        self._max_bytes = max_bytes
        self._now_ms = now_ms
        self._stopping = False
        self._runner: web.AppRunner | None = None
        self._document = orjson.dumps(openapi(max_bytes=max_bytes, with_tokens=tokens is not None))
        self.url = ""

    # -- life --------------------------------------------------------------------------------------------------

    def application(self) -> web.Application:
        """The paths, for a server."""
        app = web.Application(middlewares=[self._answer], client_max_size=self._max_bytes)
        app.router.add_post("/events", self._events, expect_handler=_expect)
        for path, handler in (("/live", self._live), ("/ready", self._ready), ("/openapi.json", self._openapi)):
            app.router.add_get(path, handler, allow_head=False, expect_handler=_expect)
        app.on_response_prepare.append(_be_quiet)
        return app

    async def start(self) -> None:
        """Begin to listen.

        Raises
        ------
        UsageError
            If the address cannot be taken.
        """
        runner = web.AppRunner(
            self.application(),
            access_log=None,
            # A body that unpacks to more than it weighs could be long before its length is known.
            auto_decompress=False,
            keepalive_timeout=75.0,
            shutdown_timeout=ACK_S + 5.0,
        )
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError as error:
            await runner.cleanup()
            raise UsageError(
                f"intake.listen: expected a free address of this machine, got {self._host}:{self._port} "
                f"({error.strerror}); choose another port, or port 0"
            ) from error
        self._runner = runner
        host, port = runner.addresses[0][:2]
        self.url = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    async def stop(self) -> None:
        """Listen no more, and finish the requests that were taken."""
        self._stopping = True
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    # -- paths -------------------------------------------------------------------------------------------------

    async def _events(self, request: web.Request) -> web.Response:
        token = self._authorized(request)
        _ASKED.get().by = token.name if token is not None else "-"
        media_type = _media_type(request)
        n_bytes = self._announced(request)
        if self._outlet.away:
            raise _away(self._outlet.away)
        if not self._outlet.take(n_bytes):
            raise Problem("busy", "expected less under way, got too much", headers={"Retry-After": "1"})
        try:
            body = await self._body(request)
            events = await decode_all(split_body(body, media_type), now_ms=self._now_ms())
            del body
            if token is None or not token.control:
                check_control(events)
        except BaseException:
            self._outlet.give_back(n_bytes)
            raise
        try:
            places = await self._outlet.send(events, n_bytes)
        except RecoverableError as error:
            log.warning("%s", error)
            raise _away("Kafka has not acknowledged every event") from error
        _ASKED.get().n_events = len(events)
        accepted = [
            {"event_id": event.event_id, "partition": place.partition, "offset": place.offset}
            for (_, event), place in zip(events, places, strict=True)
        ]
        return _json({"accepted": len(events), "topic": self._outlet.topic, "events": accepted}, status=202)

    async def _live(self, _request: web.Request) -> web.Response:
        return _json({"live": True})

    async def _ready(self, _request: web.Request) -> web.Response:
        if self._stopping:
            raise _away("the intake stops")
        try:
            await self._outlet.check()
        except HenjiError as error:
            # Anybody may ask: where the brokers are stays in the log.
            log.warning("not ready: %s", error)
            raise _away("Kafka does not answer, or not as expected") from error
        return _json({"ready": True})

    async def _openapi(self, _request: web.Request) -> web.Response:
        return web.Response(body=self._document, content_type=JSON)

    # -- checks ------------------------------------------------------------------------------------------------

    def _authorized(self, request: web.Request) -> Token | None:
        if self._tokens is None:
            # A page in a browser could have its own name point here, and post without anybody's doing.
            host = request.host
            if not is_loopback(host if host.endswith("]") else host.rpartition(":")[0] or host):
                raise Problem("host", "expected localhost, 127.0.0.1 or [::1] as the host, got another name")
            return None
        scheme, _, presented = request.headers.get(hdrs.AUTHORIZATION, "").partition(" ")
        token = self._tokens.find(presented.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            raise Problem(
                "token",
                "expected `Authorization: Bearer TOKEN` with a token of intake.token_file, got "
                + ("another token" if presented else "none"),
                headers={hdrs.WWW_AUTHENTICATE: 'Bearer realm="henji"'},
            )
        return token

    def _announced(self, request: web.Request) -> int:
        """Bytes to expect: as announced, else as many as there may be."""
        length = request.content_length
        if length is not None and length > self._max_bytes:
            raise self._too_large(f"{length} bytes")
        return self._max_bytes if length is None else length

    async def _body(self, request: web.Request) -> bytes:
        try:
            async with asyncio.timeout(_READ_S):
                return await request.read()
        except web.HTTPRequestEntityTooLarge as error:
            raise self._too_large("more") from error
        except TimeoutError as error:
            raise Problem("slow", f"expected the body within {_READ_S:g} s, got a part of it") from error
        except web.RequestPayloadError as error:
            raise Problem("body", "expected a body as its headers announce it, got another") from error

    def _too_large(self, got: str) -> Problem:
        return Problem(
            "too_large",
            f"expected a body of at most {self._max_bytes} bytes, got {got}; send the events in several requests",
        )

    # -- around every request ----------------------------------------------------------------------------------

    @property
    def _answer(self) -> Any:
        @web.middleware
        async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
            _ASKED.set(asked := _Asked())
            began = time.perf_counter()
            status = 0
            try:
                response = await _answered(request, handler)
                status = response.status
                return response
            finally:
                resource = request.match_info.route.resource
                # The route, not the path: anything may stand in a path. Probes come every few seconds for ever.
                if status != 200 or resource is None or resource.canonical not in ("/live", "/ready"):
                    log.info(
                        "%s %s %d in %.1f ms, %d events, by %s from %s",
                        request.method if request.method in _METHODS else "?",
                        resource.canonical if resource is not None else "?",
                        status,
                        (time.perf_counter() - began) * 1000,
                        asked.n_events,
                        asked.by,
                        request.remote,
                    )

        return answer


async def _answered(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Problem as problem:
        return problem.response()
    except web.HTTPMethodNotAllowed as error:
        allowed = ", ".join(sorted(error.allowed_methods))
        return Problem("method", f"expected {allowed}, got another method", headers={hdrs.ALLOW: allowed}).response()
    except web.HTTPNotFound:
        return Problem("path", "expected /events, /live, /ready or /openapi.json, got another path").response()
    except (ConnectionError, asyncio.CancelledError):
        raise  # the client went away
    except Exception as error:
        # The edge of the process: a bug must not show what it holds. The log has the place, not the payload.
        log.error("a request failed", exc_info=error)
        return Problem("internal", "expected an answer, got a failure of the intake; its log has the place").response()


async def _expect(request: web.Request) -> web.StreamResponse | None:
    if request.headers.get(hdrs.EXPECT, "").lower() != "100-continue":
        return Problem("expectation", "expected `Expect: 100-continue` or none, got another").response()
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer itself has not begun
    return None


async def _be_quiet(_request: web.Request, response: web.StreamResponse) -> None:
    response.headers[hdrs.SERVER] = "henji"
    response.headers[hdrs.CACHE_CONTROL] = "no-store"
    response.headers["X-Content-Type-Options"] = "nosniff"


def _media_type(request: web.Request) -> str:
    encoding = request.headers.get(hdrs.CONTENT_ENCODING, "identity").lower()
    if encoding != "identity":
        raise Problem("media_type", "expected a body that is not compressed, got one that is")
    media_type = request.content_type
    if media_type not in (JSON, NDJSON) or (request.charset or "utf-8").lower() not in ("utf-8", "utf8"):
        raise Problem("media_type", f"expected {JSON} or {NDJSON} in UTF-8, got another type")
    return media_type


def _away(why: str) -> Problem:
    return Problem(
        "kafka",
        f"{why}; send the same events again with the same ids: what was written is not counted twice",
        headers={"Retry-After": "5"},
    )


def _json(body: dict[str, Any], *, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(body), status=status, content_type=JSON)
