"""One way to the provider and back: a cookie of its own ties it to the browser that began it."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64encode
from dataclasses import dataclass

from streams.console.clock import MINUTE_MS, Clock
from streams.console.file import ConsoleFile
from streams.console.problem import Problem

__all__ = ["FLOW_COOKIE", "FLOW_MS", "Flow", "Flows"]

FLOW_COOKIE = "henji_oidc"

FLOW_MS = 10 * MINUTE_MS
"""How long somebody may take to log in at the provider."""

_COOKIE = re.compile(r"([0-9]{1,16})\.[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Flow:
    """What the provider is told, and has to know or to give back.

    Parameters
    ----------
    state
        Comes back in the URL: the answer is for the browser that asked.
    nonce
        Comes back in the ID token: the token was made for this login.
    verifier
        Of PKCE: only who has it can redeem the code.
    """

    state: str
    nonce: str
    verifier: str

    @property
    def challenge(self) -> str:
        """What the provider is told of the verifier (RFC 7636, S256).

        Examples
        --------
        >>> Flow("", "", "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk").challenge
        'E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM'
        """
        return urlsafe_b64encode(hashlib.sha256(self.verifier.encode()).digest()).decode().rstrip("=")


class Flows:
    """Begins flows, and finds the one of a browser that comes back.

    Nothing is kept of a flow that has begun: all of it follows from its cookie and a key of the file, so that nobody
    can fill a table by beginning many. The session's cookie cannot do this: it is `SameSite=Strict`, and the way back
    comes from another site.

    Parameters
    ----------
    file
        The console's file.
    now_ms
        Wall clock.
    """

    def __init__(self, file: ConsoleFile, now_ms: Clock) -> None:
        self._key = file.secret("oidc_key")
        self._now_ms = now_ms
        self._used: dict[str, int] = {}

    def begin(self) -> tuple[str, Flow]:
        """A new flow, and the cookie that it follows from."""
        cookie = f"{self._now_ms()}.{secrets.token_urlsafe(32)}"
        return cookie, self._flow(cookie)

    def find(self, cookie: str | None, state: str) -> Flow:
        """The flow of a browser.

        Raises
        ------
        Problem
            `oidc_state`: the browser began none, another one, or too long ago.
        """
        match = _COOKIE.fullmatch(cookie or "")
        if cookie is not None and match is not None and 0 <= self._now_ms() - int(match[1]) < FLOW_MS:
            flow = self._flow(cookie)
            if hmac.compare_digest(flow.state.encode(), state.encode("utf-8", "replace")):
                return flow
        raise _lost("expected an answer to a login that this browser began in the last minutes, got another")

    def use(self, flow: Flow) -> None:
        """Use a flow up.

        Raises
        ------
        Problem
            `oidc_state`: it was used.
        """
        now = self._now_ms()
        self._used = {state: at for state, at in self._used.items() if now - at < FLOW_MS}
        if flow.state in self._used:
            raise _lost("expected a login that was not answered yet, got one that was")
        self._used[flow.state] = now

    def _flow(self, cookie: str) -> Flow:
        def part(name: str) -> str:
            return hmac.new(self._key, f"{name}:{cookie}".encode(), hashlib.sha256).hexdigest()

        return Flow(part("state"), part("nonce"), part("verifier"))


def _lost(detail: str) -> Problem:
    return Problem("oidc_state", detail)
