"""What people do, as control events: made here, and given to the intake, which answers when Kafka has them."""

from __future__ import annotations

import logging
import uuid
from pathlib import Path
from typing import Any

import orjson
from aiohttp import ClientError, ClientSession, ClientTimeout, hdrs
from yarl import URL

from engine.errors import ConfigurationError
from streams.console.problem import Problem

__all__ = ["Orders", "order_id"]

log = logging.getLogger(__name__)

_TIMEOUT_S = 15.0  # the intake itself waits for Kafka
_CONNECT_S = 3.0
_ANSWER_BYTES = 65_536


def order_id(asked: str | None) -> str:
    """The event id of an order: what the page made for it, so that sending it again does nothing twice, or a new one.

    Raises
    ------
    Problem
        `invalid`: what the page made is no UUID.

    Examples
    --------
    >>> order_id("6b1f0ad2-3b6c-4d8e-9f10-0c5d2f6e7a81")
    '6b1f0ad23b6c4d8e9f100c5d2f6e7a81'
    """
    if asked is None:
        return uuid.uuid4().hex
    try:
        found = uuid.UUID(asked)
    except ValueError:
        found = None
    if found is None or asked.lower() not in (str(found), found.hex):
        raise Problem("invalid", "request_id: expected a UUID, got another text")
    return found.hex


class Orders:
    """Sends control events to the intake.

    Parameters
    ----------
    url
        Of the intake, without `/events`; `None`: nothing can be done here.
    token_file
        Holds a token that may send control events; read for each order, so that it can be changed. `None`: the intake
        asks for none.

    Raises
    ------
    ConfigurationError
        If the URL is none, or the file cannot be read.
    """

    def __init__(self, url: str | None, token_file: Path | None = None) -> None:
        self._url: URL | None = None
        self._token_file = token_file
        self._session: ClientSession | None = None
        if url is not None:
            parsed = URL(url)
            if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query_string or parsed.fragment:
                raise ConfigurationError(f"--intake: expected http(s)://HOST:PORT, got {url!r}")
            self._url = parsed / "events"
            self._token()

    @property
    def read_only(self) -> bool:
        """Whether there is no intake."""
        return self._url is None

    def check(self) -> None:
        """Refuse to do anything without an intake.

        Raises
        ------
        Problem
            `read_only`.
        """
        if self._url is None:
            raise Problem("read_only", "expected a console with an intake (--intake URL), got one that only shows")

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def send(self, event: dict[str, Any]) -> None:
        """Give an event to the intake; when this returns, Kafka has it.

        Raises
        ------
        Problem
            `read_only`, or `intake`: refused (502), or not answered (503): the same order may be sent again.
        """
        self.check()
        assert self._url is not None
        if self._session is None:
            self._session = ClientSession(
                timeout=ClientTimeout(total=_TIMEOUT_S, sock_connect=_CONNECT_S), trust_env=False
            )
        headers = {hdrs.CONTENT_TYPE: "application/json"}
        if token := self._token():
            headers[hdrs.AUTHORIZATION] = f"Bearer {token}"
        try:
            async with self._session.post(
                self._url, data=orjson.dumps([event]), headers=headers, allow_redirects=False
            ) as answer:
                status, said = answer.status, await answer.content.read(_ANSWER_BYTES)
        except (ClientError, TimeoutError, OSError) as error:
            log.warning("the intake does not answer: %s", type(error).__name__)
            raise _away("expected an answer of the intake, got none") from error
        if status == 202:
            return
        code = _code(said)
        log.warning("the intake answered %d %s to a %s", status, code, event["kind"])
        if status in (401, 403):
            raise Problem("intake", "expected an intake that takes this console's orders, got a refusal; "
                          "--intake-token-file needs a control token of the intake")  # fmt: skip
        if status in (408, 429) or status >= 500:
            raise _away(f"expected the intake to take the order, got {status} {code}")
        raise Problem("intake", f"expected the intake to take the order, got {status} {code}: the versions of console "
                      "and intake may differ")  # fmt: skip

    def _token(self) -> str:
        if self._token_file is None:
            return ""
        try:
            token = self._token_file.read_text("ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"--intake-token-file: expected a readable file with one token, got {type(error).__name__}"
            ) from None
        if not token or any(not 33 <= ord(char) < 127 for char in token):
            raise ConfigurationError("--intake-token-file: expected one token on one line, got another text")
        # A line of the intake's own file is taken as well: NAME:control:TOKEN.
        return token.rpartition(":")[2]


def _code(said: bytes) -> str:
    """The code of the intake's problem; no text of its own goes on to the page."""
    try:
        code = orjson.loads(said)["code"]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return "-"
    return code if isinstance(code, str) and code.isidentifier() and len(code) <= 32 else "-"


def _away(detail: str) -> Problem:
    return Problem("intake", f"{detail}; try the same again", status=503, headers={"Retry-After": "5"})
