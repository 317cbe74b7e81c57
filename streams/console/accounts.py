"""Accounts: names, roles, passwords, codes, and the one-time links by which people choose a password."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sqlite3
from dataclasses import dataclass

import pyotp

from streams.console.clock import DAY_MS, Clock
from streams.console.file import ConsoleFile
from streams.console.problem import Problem
from streams.console.roles import ROLES, Role

__all__ = ["LINK_MS", "Account", "Accounts"]

LINK_MS = DAY_MS
"""How long a one-time link holds."""

_NAME = re.compile(r"[A-Za-z0-9\u00c0-\u024f\u4e00-\u9fff](?:[A-Za-z0-9\u00c0-\u024f\u4e00-\u9fff_.@+-]{0,63})")
_TOTP_STEP_S = 30
_TOTP_DRIFT = 1  # steps that the clock of a telephone may be off


@dataclass(frozen=True, slots=True)
class Account:
    """An account; `password` is the hash, `None` until somebody has chosen one; `subject` is who a provider knows."""

    user_id: int
    name: str
    role: Role
    password: str | None
    disabled: bool
    totp_secret: str | None
    totp_offered: str | None
    created_at: int
    subject: str | None


class Accounts:
    """The accounts of the file.

    Every change of a role, every lock and every reset ends the sessions of the account. There is always an admin left
    who can log in.

    Parameters
    ----------
    file
        The console's file.
    now_ms
        Wall clock.
    """

    def __init__(self, file: ConsoleFile, now_ms: Clock) -> None:
        self._file = file
        self._now_ms = now_ms

    # -- looking -----------------------------------------------------------------------------------------------

    def find(self, name: str) -> Account | None:
        """The account of a name, whatever the case of its letters."""
        row = self._file.row("SELECT * FROM users WHERE name = ?", (name,))
        return None if row is None else _account(row)

    def get(self, user_id: int) -> Account:
        """The account of an id that exists."""
        row = self._file.row("SELECT * FROM users WHERE id = ?", (user_id,))
        assert row is not None
        return _account(row)

    def of_subject(self, subject: str) -> Account | None:
        """The account of somebody whom a provider knows."""
        row = self._file.row("SELECT * FROM users WHERE subject = ?", (subject,))
        return None if row is None else _account(row)

    def all(self) -> list[Account]:
        """All accounts by name."""
        return [_account(row) for row in self._file.rows("SELECT * FROM users ORDER BY name")]

    def has_admin(self) -> bool:
        """Whether there is an admin who can log in, also when no provider answers."""
        return bool(self._admins())

    # -- changing ----------------------------------------------------------------------------------------------

    def add(self, name: str, role: str) -> str:
        """A new account without password; returns the token of the link by which its owner chooses one.

        Raises
        ------
        Problem
            `invalid`: the name is taken or none, or the role is none.
        """
        if not _NAME.fullmatch(name):
            raise Problem("invalid", "name: expected 1 to 64 letters, digits and . _ @ + -, a letter or digit first")
        _check_role(role)
        with self._file.together():
            try:
                self._file.write(
                    "INSERT INTO users (name, role, created_at) VALUES (?, ?, ?)", (name, role, self._now_ms())
                )
            except sqlite3.IntegrityError as error:
                raise Problem("invalid", "name: expected one that is free, got one that is taken") from error
            return self._link(self._existing(name).user_id)

    def change(self, name: str, *, role: str | None = None, disabled: bool | None = None) -> None:
        """Another role, or lock or unlock an account; ends its sessions.

        Raises
        ------
        Problem
            `not_found`, or `invalid`: no role, the last admin, or the role of somebody whose provider says it.
        """
        if role is not None:
            _check_role(role)
        with self._file.together():
            account = self._existing(name)
            if role is not None:
                _check_own(account)
            self._file.write(
                "UPDATE users SET role = ?, disabled = ? WHERE id = ?",
                (role or account.role.word, account.disabled if disabled is None else disabled, account.user_id),
            )
            if disabled:
                self._file.write("DELETE FROM links WHERE user_id = ?", (account.user_id,))
            self._end_sessions(account.user_id)
            self._check_admin_left(account)

    def reset(self, name: str, *, last_admin: bool = False) -> str:
        """Take password and codes from an account; returns the token of a new link. Ends its sessions.

        Parameters
        ----------
        name
            Of the account.
        last_admin
            Whether it may be the last admin: for the command line, where a lost password is mended.

        Raises
        ------
        Problem
            `not_found`, or `invalid`: the last admin, or an account of a provider.
        """
        with self._file.together():
            account = self._existing(name)
            _check_own(account)
            self._file.write(
                "UPDATE users SET password = NULL, totp_secret = NULL, totp_offered = NULL WHERE id = ?",
                (account.user_id,),
            )
            self._end_sessions(account.user_id)
            if not last_admin:
                self._check_admin_left(account)
            return self._link(account.user_id)

    def set_password(self, user_id: int, password: str) -> None:
        """Keep the hash of a new password; ends all sessions of the account."""
        with self._file.together():
            self._file.write("UPDATE users SET password = ? WHERE id = ?", (password, user_id))
            self._file.write("DELETE FROM links WHERE user_id = ?", (user_id,))
            self._end_sessions(user_id)

    def rehash(self, user_id: int, old: str, new: str) -> None:
        """Keep the same password under another hash, unless it was changed meanwhile."""
        self._file.write("UPDATE users SET password = ? WHERE id = ? AND password = ?", (new, user_id, old))

    def take_external(self, subject: str, name: str, role: Role | None) -> Account:
        """The account of somebody who has logged in at a provider, made when they first come.

        Parameters
        ----------
        subject
            What makes them the same person; a name may change, or go to somebody else.
        name
            Of the account, if it is made now; a known one keeps its own.
        role
            As the provider says now; with another one, and with none, all sessions end.

        Raises
        ------
        Problem
            `oidc_role`: none; `oidc_account`: locked, or the name is none or taken.
        """
        known = self.of_subject(subject)
        if known is not None and known.role is not role:
            self._end_sessions(known.user_id)
        if role is None:
            raise Problem("oidc_role", "expected somebody who has a role here (--oidc-roles), got another")
        if known is None:
            if not _NAME.fullmatch(name):
                raise Problem("oidc_account", "name: expected 1 to 64 letters, digits and . _ @ + -, got another")
            try:
                self._file.write(
                    "INSERT INTO users (name, role, created_at, subject) VALUES (?, ?, ?, ?)",
                    (name, role.word, self._now_ms(), subject),
                )
            except sqlite3.IntegrityError as error:
                raise Problem("oidc_account", "name: expected one that no other account has, got another") from error
            return self._existing(name)
        if known.disabled:
            raise Problem("oidc_account", "expected an account that is not locked, got one that is")
        self._file.write("UPDATE users SET role = ? WHERE id = ?", (role.word, known.user_id))
        return self.get(known.user_id)

    # -- links -------------------------------------------------------------------------------------------------

    def link(self, name: str | None = None) -> str:
        """The token of a new link, for an account or (`None`) for the first admin; links from before hold no more.

        Raises
        ------
        Problem
            `not_found`, or `invalid`: the account has a password, or there is an admin.
        """
        with self._file.together():
            if name is None:
                if self._admins():
                    raise Problem("invalid", "expected no admin yet, got one; let an admin add or reset accounts")
                return self._link(None)
            account = self._existing(name)
            _check_own(account)
            if account.password is not None or account.disabled:
                raise Problem("invalid", f"{name}: expected an account without password, got another; reset it")
            return self._link(account.user_id)

    def opened(self, token: str) -> Account | None:
        """The account of a link that holds, or `None` for that of the first admin.

        Raises
        ------
        Problem
            `invalid`: the link holds no more, or never did.
        """
        row = self._file.row(
            "SELECT * FROM links WHERE digest = ? AND expires_at > ?", (_digest(token), self._now_ms())
        )
        if row is None or (row["user_id"] is None and self._admins()):
            raise Problem(
                "invalid", "token: expected a link that holds, got one that was used or is too old; ask again"
            )
        return None if row["user_id"] is None else self.get(row["user_id"])

    def redeem(self, token: str, name: str, password: str) -> Account:
        """Use a link up: its account, or a new admin of this name, has the password (its hash).

        Raises
        ------
        Problem
            `invalid`: the link holds no more, or the name is none or taken.
        """
        with self._file.together():
            account = self.opened(token)
            self._file.write("DELETE FROM links WHERE digest = ?", (_digest(token),))
            if account is None:
                if not _NAME.fullmatch(name):
                    raise Problem("invalid", "name: expected 1 to 64 letters, digits and . _ @ + -")
                try:
                    self._file.write(
                        "INSERT INTO users (name, role, password, created_at) VALUES (?, 'admin', ?, ?)",
                        (name, password, self._now_ms()),
                    )
                except sqlite3.IntegrityError as error:
                    raise Problem("invalid", "name: expected one that is free, got one that is taken") from error
                return self._existing(name)
            self._file.write("UPDATE users SET password = ? WHERE id = ?", (password, account.user_id))
            self._file.write("DELETE FROM links WHERE user_id = ?", (account.user_id,))
            self._end_sessions(account.user_id)
            return self.get(account.user_id)

    # -- codes -------------------------------------------------------------------------------------------------

    def offer_totp(self, user_id: int) -> tuple[str, str]:
        """A new secret to be confirmed by a code; returns it, and the URI that a telephone reads."""
        secret = pyotp.random_base32()
        self._file.write("UPDATE users SET totp_offered = ? WHERE id = ?", (secret, user_id))
        return secret, pyotp.TOTP(secret).provisioning_uri(name=self.get(user_id).name, issuer_name="henji")

    def confirm_totp(self, user_id: int, code: str) -> bool:
        """Whether the code proves the secret that was offered; from now on the account asks for codes."""
        secret = self.get(user_id).totp_offered
        step = None if secret is None else self._step(secret, code)
        if step is None:
            return False
        self._file.write(
            "UPDATE users SET totp_secret = totp_offered, totp_offered = NULL, totp_step = ? "
            "WHERE id = ? AND totp_offered = ?",
            (step, user_id, secret),
        )
        return True

    def end_totp(self, user_id: int) -> None:
        """The account asks for no codes any more."""
        self._file.write("UPDATE users SET totp_secret = NULL, totp_offered = NULL WHERE id = ?", (user_id,))

    def take_code(self, account: Account, code: str) -> bool:
        """Whether a code is the one of now; it works once, and no older one works after it."""
        step = None if account.totp_secret is None else self._step(account.totp_secret, code)
        if step is None:
            return False
        sql = "UPDATE users SET totp_step = ? WHERE id = ? AND totp_step < ?"
        return self._file.write(sql, (step, account.user_id, step)) == 1

    def _step(self, secret: str, code: str) -> int | None:
        totp, now = pyotp.TOTP(secret, interval=_TOTP_STEP_S), self._now_ms() // 1000 // _TOTP_STEP_S
        found = None
        for step in range(now - _TOTP_DRIFT, now + _TOTP_DRIFT + 1):
            if hmac.compare_digest(totp.generate_otp(step).encode(), code.encode("utf-8", "replace")):
                found = step
        return found

    # -- parts -------------------------------------------------------------------------------------------------

    def _existing(self, name: str) -> Account:
        account = self.find(name)
        if account is None:
            raise Problem("not_found", "expected the name of an account, got another")
        return account

    def _admins(self) -> int:
        row = self._file.row(
            "SELECT count(*) AS n FROM users WHERE role = 'admin' AND NOT disabled AND password IS NOT NULL"
        )
        return 0 if row is None else int(row["n"])

    def _check_admin_left(self, before: Account) -> None:
        was_one = before.role is Role.ADMIN and not before.disabled and before.password is not None
        if was_one and not self._admins():
            raise Problem(
                "invalid", "expected an admin to be left who can log in, got the last one; make another first"
            )

    def _link(self, user_id: int | None) -> str:
        token, now = secrets.token_urlsafe(32), self._now_ms()
        self._file.write("DELETE FROM links WHERE user_id IS ? OR expires_at <= ?", (user_id, now))
        self._file.write("INSERT INTO links VALUES (?, ?, ?)", (_digest(token), user_id, now + LINK_MS))
        return token

    def _end_sessions(self, user_id: int) -> None:
        self._file.write("DELETE FROM sessions WHERE user_id = ?", (user_id,))


def _account(row: sqlite3.Row) -> Account:
    return Account(
        row["id"], row["name"], Role.of(row["role"]), row["password"], bool(row["disabled"]), row["totp_secret"],
        row["totp_offered"], row["created_at"], row["subject"],
    )  # fmt: skip


def _check_own(account: Account) -> None:
    if account.subject is not None:
        raise Problem("invalid", f"{account.name}: expected an account of the console, got one of the provider; "
                      "change it there, or lock it here")  # fmt: skip


def _check_role(role: str) -> None:
    if role not in ROLES:
        raise Problem("invalid", f"role: expected one of {', '.join(ROLES)}")


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()
