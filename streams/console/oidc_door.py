"""The handlers of logging in by an OpenID Connect provider: there, and back."""

from __future__ import annotations

import logging

from aiohttp import hdrs, web

from streams.console.account_door import AccountDoor, Front
from streams.console.accounts import Account, Accounts
from streams.console.audit import Audit
from streams.console.gate import Visitor
from streams.console.oidc_flow import FLOW_COOKIE, FLOW_MS, Flow, Flows
from streams.console.oidc_provider import Provider
from streams.console.problem import Problem
from streams.console.throttle import Throttle

__all__ = ["CALLBACK", "OidcDoor"]

log = logging.getLogger(__name__)

_PATH = "/api/oidc"

CALLBACK = f"{_PATH}/callback"
"""Where the provider sends browsers back to."""

_NO_GUESS = ("oidc_provider", "oidc_denied")
_WHO = "identity provider"  # no name of an account can be this


class OidcDoor:
    """Sends browsers to a provider, and lets in whom it knows and has a role for.

    Whatever goes wrong, a browser that comes here gets the login page with a code in its address, and the log says why.

    Parameters
    ----------
    provider
        `None`: there is none.
    flows
        Under way.
    accounts, throttle, audit
        Of the console's file.
    entry
        Begins sessions.
    front
        Sets cookies, and has the URLs by which people come.
    """

    def __init__(
        self,
        provider: Provider | None,
        flows: Flows,
        accounts: Accounts,
        throttle: Throttle,
        audit: Audit,
        entry: AccountDoor,
        front: Front,
    ) -> None:
        self._provider = provider
        self._flows = flows
        self._accounts = accounts
        self._throttle = throttle
        self._audit = audit
        self._entry = entry
        self._front = front

    async def oidc_start(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /api/oidc/start`."""
        provider = self._configured()
        try:
            if visitor.token is None:
                # The page has its cookie; whom another site leads here has not, since it is SameSite=Strict.
                raise Problem("oidc_state", "expected a browser that comes from the login page, got another")
            cookie, flow = self._flows.begin()
            answer = _to(await provider.login_url(self._back(request), flow))
        except Problem as problem:
            return _told(problem)
        answer.set_cookie(
            FLOW_COOKIE, cookie, max_age=FLOW_MS // 1000, path=_PATH, httponly=True, samesite="Lax",
            secure=self._front.encrypted,
        )  # fmt: skip
        return answer

    async def oidc_callback(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /api/oidc/callback`."""
        provider = self._configured()
        try:
            flow = self._flows.find(request.cookies.get(FLOW_COOKIE), request.query.get("state", ""))
        except Problem as problem:
            return _told(problem)  # any site can lead a browser here: nothing is counted, nothing is ended
        try:
            account = await self._account(provider, flow, request, visitor)
            answer = _to("/")
            self._front.set_cookie(answer, self._entry.begin(account, visitor, "login", "oidc"))
        except Problem as problem:
            answer = _told(problem)
        answer.del_cookie(FLOW_COOKIE, path=_PATH, httponly=True, samesite="Lax", secure=self._front.encrypted)
        return answer

    async def _account(self, provider: Provider, flow: Flow, request: web.Request, visitor: Visitor) -> Account:
        # Per address alone: who it is nobody knows yet, and one who has no role must not lock out all behind a proxy.
        taken = self._throttle.take(flow.state, visitor.address)
        who, query = "-", request.query
        try:
            self._flows.use(flow)
            if "code" not in query or query.get("iss", provider.issuer) != provider.issuer:
                raise Problem("oidc_denied", f"expected a code of the provider, got {_word(query.get('error', ''))}")
            person = await provider.redeem(query["code"], self._back(request), flow)
            before = self._accounts.of_subject(person.subject)
            who = before.name if before is not None else "-"
            account = self._accounts.take_external(person.subject, person.name, person.role)
        except Problem as problem:
            if problem.code in _NO_GUESS:
                self._throttle.forget(taken)
            self._audit.note(who, "login_failed", problem.code, f"from {visitor.address}")
            raise
        self._throttle.give_back(taken)
        if before is None or before.role is not account.role:
            self._audit.note(_WHO, "user_add" if before is None else "user_change", account.name, account.role.word)
        return account

    def _configured(self) -> Provider:
        if self._provider is None:
            raise Problem("not_found", "expected a console with --oidc-issuer, got one without")
        return self._provider

    def _back(self, request: web.Request) -> str:
        # Never what a request says of its host: only which of the configured names it is.
        return self._front.known_as(request.host) + CALLBACK


def _to(url: str) -> web.Response:
    return web.Response(status=303, headers={hdrs.LOCATION: url})


def _told(problem: Problem) -> web.Response:
    log.warning("nobody logs in by the provider: %s: %s", problem.code, problem.detail)
    return _to(f"/#/login?problem={problem.code}")


def _word(text: str) -> str:
    return text if text.isidentifier() and len(text) <= 64 else "none"
