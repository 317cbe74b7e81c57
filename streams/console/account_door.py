"""The handlers of accounts: log in and out, passwords, codes, and what admins see and do."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any, NoReturn
from urllib.parse import urlsplit

from aiohttp import web

from streams.console.accounts import Account, Accounts
from streams.console.audit import Audit
from streams.console.body import read_body
from streams.console.gate import COOKIE, Visitor
from streams.console.passwords import LONGEST, Passwords, check_password
from streams.console.problem import Problem
from streams.console.roles import ROLES
from streams.console.sessions import ABSOLUTE_MS, Session, Sessions
from streams.console.throttle import Throttle
from streams.console.wire import json_answer, number

__all__ = ["AccountDoor", "Front"]

_NAME = 64
_TOKEN = 128
_CODE = 16
_ENTRIES = 500


class Front:
    """What the page is told before anybody has logged in.

    Parameters
    ----------
    urls
        Where people reach the console, the first for links.
    prefix
        Of the board.
    read_only
        Whether nothing can be done here.
    encrypted
        Whether cookies go over TLS only.
    oidc
        What the provider is called by which people can log in as well; `None`: there is none.
    """

    def __init__(
        self, urls: Sequence[str], prefix: str, *, read_only: bool, encrypted: bool, oidc: str | None = None
    ) -> None:
        self.url = urls[0]
        self._by_host = {urlsplit(url).netloc.lower(): url for url in reversed(urls)}
        self.prefix = prefix
        self.read_only = read_only
        self.encrypted = encrypted
        self.oidc = oidc
        self.version = version("henji")

    def known_as(self, host: str) -> str:
        """The one of its URLs that a browser came by; the first, if it came by another name."""
        return self._by_host.get(host.lower(), self.url)

    def link(self, token: str) -> str:
        """The one-time link of a token."""
        return f"{self.url}/#/setup/{token}"

    def set_cookie(self, response: web.Response, token: str) -> None:
        """Give a browser its token; scripts of the page cannot read it."""
        response.set_cookie(
            COOKIE,
            token,
            max_age=ABSOLUTE_MS // 1000,
            path="/",
            httponly=True,
            samesite="Strict",
            secure=self.encrypted,
        )


class AccountDoor:
    """Logs people in and out, and manages accounts.

    Parameters
    ----------
    accounts, sessions, throttle, audit
        Of the console's file.
    passwords
        Hashes and verifies.
    front
        What the page is told.
    """

    def __init__(
        self,
        accounts: Accounts,
        sessions: Sessions,
        throttle: Throttle,
        audit: Audit,
        passwords: Passwords,
        front: Front,
    ) -> None:
        self._accounts = accounts
        self._sessions = sessions
        self._throttle = throttle
        self._audit = audit
        self._passwords = passwords
        self._front = front

    # -- the session -------------------------------------------------------------------------------------------

    async def session(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /api/session`."""
        token = visitor.token or self._sessions.new_token()
        front = self._front
        answer = json_answer(
            {
                "user": _user(visitor.session),
                "csrf": self._sessions.csrf(token),
                "languages": ["en", "zh"],
                "read_only": front.read_only,
                "oidc": {"label": front.oidc} if front.oidc is not None else None,
                "setup": not self._accounts.has_admin(),
                "version": front.version,
                "prefix": front.prefix,
            }
        )
        if visitor.token is None:
            front.set_cookie(answer, token)
        return answer

    async def login(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`POST /api/login`."""
        body = await read_body(request)
        name, password = body.needed_text("name", _NAME), body.needed_text("password", LONGEST)
        code = body.text("totp", _CODE, needed=False)
        body.done()
        taken = self._throttle.take(name, visitor.address)
        account = self._accounts.find(name)
        kept = account.password if account is not None else None
        good = await self._passwords.verify(kept, password)
        # Looked up again: while the password was looked at, the account may have been locked or reset.
        account = self._accounts.find(name) if account is not None else None
        if account is None or not good or account.disabled or account.password != kept:
            self._refuse(account, visitor, "password" if account is not None and not account.disabled else "account")
        if account.totp_secret is not None:
            if code is None:
                # The password was right, so this is no guess; without the code it opens nothing.
                self._throttle.forget(taken)
                raise Problem("totp_required", "expected a code of the app as well, got none")
            if not self._accounts.take_code(account, code):
                self._refuse(account, visitor, "code")
        self._throttle.give_back(taken)
        answer = self._enter(account, visitor, "login")
        if kept is not None and self._passwords.is_old(kept):
            self._accounts.rehash(account.user_id, kept, await self._passwords.hash(password))
        return answer

    async def logout(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`POST /api/logout`."""
        (await read_body(request)).done()
        if visitor.token is not None and visitor.session is not None:
            self._sessions.end(visitor.token)
            self._audit.note(visitor.session.name, "logout")
        answer = json_answer({"user": None})
        answer.del_cookie(COOKIE, path="/", httponly=True, samesite="Strict", secure=self._front.encrypted)
        return answer

    async def setup(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`POST /api/setup`."""
        body = await read_body(request)
        token, password = body.needed_text("token", _TOKEN), body.needed_text("password", 4 * LONGEST)
        name = body.text("name", _NAME, needed=False)
        body.done()
        taken = self._throttle.take(f"link {visitor.address}", visitor.address)
        account = self._accounts.opened(token)
        owner = name if account is None else account.name
        if owner is None:
            raise Problem("invalid", "name: expected a name for the first account, got none")
        if account is not None and name is not None and name.casefold() != account.name.casefold():
            raise Problem("invalid", "name: expected the name that the link is for, got another")
        check_password(owner, password)
        self._throttle.give_back(taken)
        made = self._accounts.redeem(token, owner, await self._passwords.hash(password))
        self._audit.note(made.name, "setup", made.name, made.role.word)
        return json_answer({"name": made.name})

    # -- one's own account -------------------------------------------------------------------------------------

    async def password(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`POST /api/password`."""
        body = await read_body(request)
        old, new = body.needed_text("old", LONGEST), body.needed_text("new", 4 * LONGEST)
        body.done()
        check_password(visitor.user.name, new)
        account = await self._prove(visitor, old)
        hashed = await self._passwords.hash(new)
        self._check_still_in(visitor)
        self._accounts.set_password(account.user_id, hashed)
        return self._enter(account, visitor, "password")

    async def totp_begin(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`POST /api/totp/begin`."""
        (await read_body(request)).done()
        if self._accounts.get(visitor.user.user_id).subject is not None:
            raise Problem("invalid", "expected an account of the console, got one of the provider: it asks for codes")
        if visitor.user.has_totp:
            raise Problem("invalid", "expected an account without codes, got one that has them; end them first")
        secret, uri = self._accounts.offer_totp(visitor.user.user_id)
        return json_answer({"secret": secret, "uri": uri})

    async def totp_confirm(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`POST /api/totp/confirm`."""
        body = await read_body(request)
        code = body.needed_text("code", _CODE)
        body.done()
        taken = self._throttle.take(visitor.user.name, visitor.address)
        if not self._accounts.confirm_totp(visitor.user.user_id, code):
            raise Problem("invalid", "code: expected the code that the app shows now, got another")
        self._throttle.give_back(taken)
        self._sessions.end_all(visitor.user.user_id)
        return self._enter(self._accounts.get(visitor.user.user_id), visitor, "totp_on")

    async def totp_end(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`POST /api/totp/end`."""
        body = await read_body(request)
        password = body.needed_text("password", LONGEST)
        body.done()
        account = await self._prove(visitor, password)
        self._accounts.end_totp(account.user_id)
        self._sessions.end_all(account.user_id)
        return self._enter(self._accounts.get(account.user_id), visitor, "totp_off")

    # -- admins ------------------------------------------------------------------------------------------------

    async def users(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /api/users`."""
        return json_answer(
            [
                {
                    "name": each.name, "role": each.role.word, "disabled": each.disabled,
                    "totp": each.totp_secret is not None, "password": each.password is not None,
                    "external": each.subject is not None, "created_at": each.created_at,
                }
                for each in self._accounts.all()
            ]
        )  # fmt: skip

    async def add_user(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`POST /api/users`."""
        body = await read_body(request)
        name, role = body.needed_text("name", _NAME), body.choice("role", ROLES) or ""
        body.done()
        token = self._accounts.add(name, role)
        self._audit.note(visitor.user.name, "user_add", name, role)
        return json_answer({"name": name, "link": self._front.link(token)}, status=201)

    async def change_user(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`POST /api/users/<name>`."""
        name = request.match_info["name"]
        body = await read_body(request)
        role, disabled = body.choice("role", ROLES, needed=False), body.truth("disabled")
        reset = body.truth("reset")
        body.done()
        if role is None and disabled is None and not reset:
            raise Problem("invalid", "expected role, disabled or reset, got none of them")
        if role is not None or disabled is not None:
            self._accounts.change(name, role=role, disabled=disabled)
            told = [
                *([role] if role else ()),
                *(["locked" if disabled else "unlocked"] if disabled is not None else ()),
            ]
            self._audit.note(visitor.user.name, "user_change", name, " ".join(told))
        answer: dict[str, Any] = {"name": name}
        if reset:
            answer["link"] = self._front.link(self._accounts.reset(name))
            self._audit.note(visitor.user.name, "user_reset", name)
        return json_answer(answer)

    async def audit(self, request: web.Request, visitor: Visitor) -> web.Response:
        """`GET /api/audit`."""
        before = number(request, "before", 0, 1, 10**18 - 1) if request.query.get("before") else None
        return json_answer(self._audit.page(before, number(request, "limit", 100, 1, _ENTRIES)))

    # -- parts -------------------------------------------------------------------------------------------------

    def begin(self, account: Account, visitor: Visitor, what: str, about: str = "") -> str:
        """A new session in the place of whatever the browser had: a token that somebody else planted opens nothing."""
        if visitor.token is not None:
            self._sessions.end(visitor.token)
        token = self._sessions.begin(account.user_id)
        self._audit.note(account.name, what, about, f"from {visitor.address}")
        return token

    def _enter(self, account: Account, visitor: Visitor, what: str) -> web.Response:
        token = self.begin(account, visitor, what)
        session = self._sessions.find(token)
        answer = json_answer({"user": _user(session), "csrf": self._sessions.csrf(token)})
        self._front.set_cookie(answer, token)
        return answer

    async def _prove(self, visitor: Visitor, password: str) -> Account:
        taken = self._throttle.take(visitor.user.name, visitor.address)
        account = self._accounts.get(visitor.user.user_id)
        if not await self._passwords.verify(account.password, password):
            self._refuse(account, visitor, "password")
        self._throttle.give_back(taken)
        self._check_still_in(visitor)
        return account

    def _check_still_in(self, visitor: Visitor) -> None:
        # While a password was looked at, an admin may have locked or reset the account.
        if visitor.token is None or self._sessions.find(visitor.token, touch=False) is None:
            raise Problem("unauthenticated", "expected a session, got one that has ended; log in")

    def _refuse(self, account: Account | None, visitor: Visitor, why: str) -> NoReturn:
        # A name that is no account's is not written down: it is now and then a password.
        self._audit.note(account.name if account is not None else "-", "login_failed", why, f"from {visitor.address}")
        raise Problem("bad_login", "expected name, password and code of an account, got others")


def _user(session: Session | None) -> dict[str, Any] | None:
    if session is None:
        return None
    return {"name": session.name, "role": session.role.word, "totp": session.has_totp, "must_change": False}
