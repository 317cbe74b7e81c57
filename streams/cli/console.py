"""`henji console`: the web console, and its accounts."""

from __future__ import annotations

import asyncio
import signal
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import uvloop
from rich.markup import escape
from rich.table import Table

from engine.errors import ConfigurationError, UsageError
from streams.cli.options import gather, prefix_option, redis_option, settings_options
from streams.cli.report import at_text, console
from streams.cli.stores import redis_of
from streams.client.async_client import connect_async
from streams.console.accounts import Accounts
from streams.console.audit import Audit
from streams.console.clock import wall_ms
from streams.console.file import ConsoleFile
from streams.console.oidc_provider import OidcOptions
from streams.console.orders import Orders
from streams.console.problem import Problem
from streams.console.roles import ROLES
from streams.console.server import ConsoleOptions, ConsoleServer
from streams.live.log import set_up_logging
from streams.redis.access import RedisAccess
from streams.redis.keys import Keys

__all__ = ["command"]

_FILE = click.Path(path_type=Path, dir_okay=False)
_ACCOUNTS = Path("henji-console.sqlite")
_WHO = "command line"

_accounts_option = click.option(
    "--accounts", "accounts_file", type=_FILE, default=_ACCOUNTS, show_default=True, metavar="FILE",
    help="Accounts, sessions and audit (SQLite, made with mode 0600).",
)  # fmt: skip


def _oidc_options(function: click.decorators.FC) -> click.decorators.FC:
    for option in reversed(
        (
            click.option("--oidc-issuer", metavar="URL", help="Log in by this OpenID Connect provider as well."),
            click.option("--oidc-client-id", metavar="ID", help="Of the console, at the provider."),
            click.option("--oidc-client-secret-file", type=_FILE, metavar="FILE", help="Holds its secret."),
            click.option("--oidc-label", metavar="TEXT", help="Of the button [host of the issuer]."),
            click.option("--oidc-name-claim", default="preferred_username", show_default=True, metavar="CLAIM",
                         help="Names the account."),
            click.option("--oidc-role-claim", default="groups", show_default=True, metavar="CLAIM",
                         help="Holds groups or roles; `a.b` is b within a."),
            click.option("--oidc-roles", multiple=True, metavar="NAME=ROLE",
                         help="Who has NAME there has ROLE here; several times. Nobody else gets in."),
        )
    ):  # fmt: skip
        function = option(function)
    return function


@click.group("console", invoke_without_command=True)
@redis_option
@prefix_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", type=click.IntRange(0, 65_535), default=8080, show_default=True, help="0 takes a free one.")
@click.option(
    "--intake", "intake_url", metavar="URL", help="What people do goes there; without it nothing can be done."
)
@click.option(
    "--intake-token-file", "token_file", type=_FILE, metavar="FILE", help="Holds a control token of the intake."
)
@_accounts_option
@click.option(
    "--public-url",
    "public_urls",
    multiple=True,
    metavar="URL",
    help="Where people reach it, if not at the address itself; several times for several names.",
)
@click.option("--secure-cookies", is_flag=True, help="Cookies over TLS only [on with TLS or an https --public-url].")
@click.option("--trust-proxy", is_flag=True, help="Take the last X-Forwarded-For for the client's address.")
@click.option("--tls-cert", type=_FILE, metavar="FILE", help="Certificate chain in PEM: speak TLS.")
@click.option("--tls-key", type=_FILE, metavar="FILE", help="Its key in PEM.")
@_oidc_options
@settings_options
@click.pass_context
def command(
    context: click.Context, /, redis_url: str | None, prefix: str | None, host: str, port: int, intake_url: str | None,
    token_file: Path | None, accounts_file: Path, public_urls: tuple[str, ...], secure_cookies: bool,
    trust_proxy: bool, tls_cert: Path | None, tls_key: Path | None, settings_file: Path | None, pairs: tuple[str, ...],
    **oidc: Any,
) -> None:  # fmt: skip
    r"""Show the board in a browser: live alerts, customers, scorecards, operations; act on alerts through an intake.

    Reads Redis only. The first start prints a one-time link by which the first admin chooses a name and a password.

    \b
      henji console --redis redis://localhost:6379 --port 8080
      henji console --redis redis://localhost:6379 --intake http://127.0.0.1:6068 --intake-token-file token
      henji console users add anna --role lead
    """
    if context.invoked_subcommand is not None:
        return
    settings = gather(settings_file, pairs, redis=("redis.url", redis_url))
    where = redis_of(settings)
    if isinstance(where, str):
        raise click.UsageError(f"--redis: expected the URL of a Redis that holds a board, got {where}")
    if token_file is not None and intake_url is None:
        raise click.UsageError("--intake-token-file: expected --intake with it, got none")
    options = ConsoleOptions(
        host=host,
        port=port,
        prefix=Keys(prefix).prefix if prefix is not None else Keys().prefix,
        public_urls=public_urls,
        secure_cookies=secure_cookies,
        trust_proxy=trust_proxy,
        tls=_tls(tls_cert, tls_key),
        oidc=_oidc(**oidc),
    )
    set_up_logging(settings["worker.log"])
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(where, accounts_file, intake_url, token_file, options))


async def _serve(
    where: RedisAccess, accounts_file: Path, intake_url: str | None, token_file: Path | None, options: ConsoleOptions
) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    orders = Orders(intake_url, token_file)
    file = ConsoleFile(accounts_file)
    client = connect_async(where)
    server = ConsoleServer(client, file, orders, options)
    try:
        await server.start()
        click.echo(f"henji console: {server.url}")
        link = server.first_link()
        if link is not None:
            click.echo(f"henji console: nobody can log in yet; for 24 h, the first admin chooses a name here: {link}")
        await stop.wait()
    finally:
        await server.stop()
        await orders.close()
        await client.aclose()
        file.close()


def _tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise click.UsageError("--tls-cert, --tls-key: expected both or none, got one")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"--tls-cert, --tls-key: expected a certificate chain and its key in PEM, got {cert} and {key} ({error})"
        ) from error
    return context


def _oidc(
    oidc_issuer: str | None, oidc_client_id: str | None, oidc_client_secret_file: Path | None, oidc_label: str | None,
    oidc_name_claim: str, oidc_role_claim: str, oidc_roles: tuple[str, ...],
) -> OidcOptions | None:  # fmt: skip
    if oidc_issuer is None or oidc_client_id is None or oidc_client_secret_file is None:
        if oidc_issuer or oidc_client_id or oidc_client_secret_file or oidc_roles:
            raise click.UsageError(
                "--oidc-issuer, --oidc-client-id, --oidc-client-secret-file: expected all of them or none, got some"
            )
        return None
    return OidcOptions(
        oidc_issuer,
        oidc_client_id,
        oidc_client_secret_file,
        # A group may be named by a path of a directory: cn=desk,ou=groups.
        {name: role for name, _, role in (each.rpartition("=") for each in oidc_roles)},
        oidc_label or urlsplit(oidc_issuer).hostname or "OpenID",
        name_claim=oidc_name_claim,
        role_claim=oidc_role_claim,
    )


# -- accounts ------------------------------------------------------------------------------------------------------


@command.group("users")
def users() -> None:
    r"""Accounts of the console, on its file: also while it runs, and when nobody can log in.

    \b
      henji console users link                     the link for the first admin
      henji console users add anna --role agent    prints the link by which she chooses a password
      henji console users reset anna               takes password and codes away, prints a new link
    """


def _url_option(function: click.decorators.FC) -> click.decorators.FC:
    return click.option(
        "--url", default="http://127.0.0.1:8080", show_default=True, metavar="URL", help="Of the console, for the link."
    )(function)


@users.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(list(ROLES)), required=True, help="What they may do.")
@_accounts_option
@_url_option
def add(name: str, role: str, accounts_file: Path, url: str) -> None:
    """Add an account, and print the one-time link by which its owner chooses a password."""
    with _opened(accounts_file) as (accounts, audit):
        token = accounts.add(name, role)
        audit.note(_WHO, "user_add", name, role)
    _print_link(url, token)


@users.command("list")
@_accounts_option
def list_users(accounts_file: Path) -> None:
    """List the accounts."""
    table = Table("name", "role", "password", "codes", "provider", "locked", "since", box=None, header_style="bold")
    with _opened(accounts_file) as (accounts, _audit):
        for each in accounts.all():
            facts = (
                each.password is not None, each.totp_secret is not None, each.subject is not None, each.disabled
            )  # fmt: skip
            told = ["yes" if fact else "no" for fact in facts]
            table.add_row(escape(each.name), each.role.word, *told, at_text(each.created_at))
    console().print(table)


@users.command("disable")
@click.argument("name")
@click.option("--undo", is_flag=True, help="Unlock.")
@_accounts_option
def disable(name: str, undo: bool, accounts_file: Path) -> None:
    """Lock an account and end its sessions, or unlock it."""
    with _opened(accounts_file) as (accounts, audit):
        accounts.change(name, disabled=not undo)
        audit.note(_WHO, "user_change", name, "unlocked" if undo else "locked")


@users.command("role")
@click.argument("name")
@click.argument("role", type=click.Choice(list(ROLES)))
@_accounts_option
def role(name: str, role: str, accounts_file: Path) -> None:
    """Give an account another role, and end its sessions."""
    with _opened(accounts_file) as (accounts, audit):
        accounts.change(name, role=role)
        audit.note(_WHO, "user_change", name, role)


@users.command("reset")
@click.argument("name")
@_accounts_option
@_url_option
def reset(name: str, accounts_file: Path, url: str) -> None:
    """Take password and codes from an account, end its sessions, and print a new one-time link."""
    with _opened(accounts_file) as (accounts, audit):
        token = accounts.reset(name, last_admin=True)
        audit.note(_WHO, "user_reset", name)
    _print_link(url, token)


@users.command("link")
@click.argument("name", required=False)
@_accounts_option
@_url_option
def link(name: str | None, accounts_file: Path, url: str) -> None:
    """Print a new one-time link for an account without password; without NAME, for the first admin."""
    with _opened(accounts_file) as (accounts, audit):
        token = accounts.link(name)
        audit.note(_WHO, "user_link", name or "")
    _print_link(url, token)


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Accounts, Audit]]:
    file = ConsoleFile(path)
    try:
        yield Accounts(file, wall_ms), Audit(file, wall_ms)
    except Problem as problem:
        raise UsageError(problem.detail) from problem
    finally:
        file.close()


def _print_link(url: str, token: str) -> None:
    click.echo(f"{url.rstrip('/')}/#/setup/{token}")
