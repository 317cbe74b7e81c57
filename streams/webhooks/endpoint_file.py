"""Reads webhooks.toml: validated whole or refused whole, with file, line and field in the message."""

from __future__ import annotations

import ipaddress
import os
import re
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import urlsplit

from engine.duration import DAY_MS, parse_duration
from engine.errors import ConfigurationError
from engine.rules.locate import Path as Place
from engine.rules.locate import line_of
from streams.webhooks.address import refusal
from streams.webhooks.endpoint import OPS, Endpoint, Filter, SpoolLimits, WebhookFile
from streams.webhooks.secret import Secrets, SecretSource

__all__ = ["MAX_ENDPOINTS", "load_webhooks", "read_webhooks"]

MAX_ENDPOINTS = 64
"""Each has connections and a line of its own; who needs more puts a broker behind one."""

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_ENDPOINT = (
    *("name", "url", "secrets", "filter", "timeout", "max_attempts", "max_age", "concurrency", "refused"),
    *("allow_private", "allow_insecure", "ca"),
)
_FILTER = ("flags", "ops", "routes", "max_priority", "include_held")


def load_webhooks(path: Path, environment: Mapping[str, str] = os.environ) -> WebhookFile:
    """The endpoints that a file describes.

    Parameters
    ----------
    path
        The file; files that it names are looked for from its folder.
    environment
        Variables, for secrets.

    Raises
    ------
    ConfigurationError
        If it cannot be read or anything in it is wrong, also a secret or a certificate that it names.
    """
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: expected a readable UTF-8 file, got {type(error).__name__}") from error
    found = read_webhooks(text, str(path), path.parent)
    for endpoint in found.endpoints:
        Secrets(endpoint.secrets, environment)
        if endpoint.ca is not None and not os.access(endpoint.ca, os.R_OK):
            raise ConfigurationError(
                f"{path}: endpoint {endpoint.name}, ca: expected a readable file, got none at {endpoint.ca}"
            )
    return found


def read_webhooks(text: str, source: str, folder: Path) -> WebhookFile:
    """The endpoints that a text describes; files that it names are not opened.

    Parameters
    ----------
    text
        TOML.
    source
        Its name, for messages.
    folder
        From where files are looked for.

    Raises
    ------
    ConfigurationError
        At the first thing that is wrong.

    Examples
    --------
    >>> text = '''
    ... version = 1
    ... [[endpoint]]
    ... name = "crm"
    ... url = "http://crm.example/hook"
    ... secrets = [{ env = "CRM" }]
    ... '''
    >>> read_webhooks(text, "webhooks.toml", Path())
    Traceback (most recent call last):
    engine.errors.ConfigurationError: webhooks.toml:5: endpoint[0].url: expected https, got 'http://crm.example/hook';
    allow_insecure = true lets http; nothing of the file was used
    """
    return _Reader(text, source, folder).read()


class _Reader:
    def __init__(self, text: str, source: str, folder: Path) -> None:
        self._text = text
        self._source = source
        self._folder = folder
        try:
            self._root: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise ConfigurationError(f"{source}: expected TOML, got {error}; nothing of the file was used") from error

    def read(self) -> WebhookFile:
        self._known(self._root, (), ("version", "spool", "endpoint"))
        version = self._root.get("version")
        if type(version) is not int or version != 1:
            self._fail(("version",), "1", version)
        tables = self._root.get("endpoint", [])
        if not isinstance(tables, list) or not 1 <= len(tables) <= MAX_ENDPOINTS:
            self._fail(("endpoint",), f"1 to {MAX_ENDPOINTS} tables [[endpoint]]", tables)
        endpoints: list[Endpoint] = []
        for i, table in enumerate(tables):
            endpoint = self._endpoint(self._table(table, ("endpoint", i)), ("endpoint", i))
            if any(endpoint.name == other.name for other in endpoints):
                self._fail(("endpoint", i, "name"), "a name that no other endpoint has", endpoint.name)
            endpoints.append(endpoint)
        return WebhookFile(self._source, tuple(endpoints), self._limits())

    def _limits(self) -> SpoolLimits:
        at: Place = ("spool",)
        table = self._table(self._root.get("spool", {}), at)
        self._known(table, at, ("known", "keep_dead", "max_messages"))
        most = 400 * DAY_MS
        return SpoolLimits(
            known_ms=self._duration(table, "known", at, "7d", least=60_000, most=most),
            keep_dead_ms=self._duration(table, "keep_dead", at, "30d", least=60_000, most=most),
            max_messages=self._whole(table, "max_messages", at, 200_000, 1_000, 5_000_000),
        )

    def _endpoint(self, table: dict[str, Any], at: Place) -> Endpoint:
        self._known(table, at, _ENDPOINT)
        name = table.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            self._fail((*at, "name"), "1 to 64 of the characters a-z 0-9 - _", name)
        allow_private = self._flag(table, "allow_private", at)
        allow_insecure = self._flag(table, "allow_insecure", at)
        refused = table.get("refused", "dead")
        if refused not in ("dead", "retry"):
            self._fail((*at, "refused"), '"dead" or "retry"', refused)
        ca = table.get("ca")
        if ca is not None and (not isinstance(ca, str) or not ca):
            self._fail((*at, "ca"), "the name of a file", ca)
        return Endpoint(
            name=name,
            url=self._url(table.get("url"), (*at, "url"), allow_private, allow_insecure),
            secrets=self._secrets(table.get("secrets"), (*at, "secrets")),
            wants=self._filter(self._table(table.get("filter", {}), (*at, "filter")), (*at, "filter")),
            timeout_s=self._duration(table, "timeout", at, "10s", least=100, most=60_000) / 1000,
            max_attempts=self._whole(table, "max_attempts", at, 100, 1, 10_000),
            max_age_ms=self._duration(table, "max_age", at, "3d", least=1_000, most=30 * DAY_MS),
            concurrency=self._whole(table, "concurrency", at, 4, 1, 64),
            refused_is_final=refused == "dead",
            allow_private=allow_private,
            allow_insecure=allow_insecure,
            ca=None if ca is None else self._folder / ca,
        )

    def _url(self, url: object, at: Place, allow_private: bool, allow_insecure: bool) -> str:
        if not isinstance(url, str) or not url.isascii() or not url.isprintable() or " " in url or "\\" in url:
            self._fail(at, "a URL of ASCII characters (names in punycode)", url)
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            self._fail(at, "https://HOST:PORT/PATH", url)
        if parts.username is not None or parts.password is not None or "@" in parts.netloc:
            # The message must not show what may be a password.
            self._fail(at, "a URL without user or password (the signature says who sends)", "one with them", plain=True)
        if parts.scheme == "http" and not allow_insecure:
            self._fail(at, "https", url, "allow_insecure = true lets http; ")
        if parts.scheme not in ("http", "https"):
            self._fail(at, "https://HOST:PORT/PATH", url)
        if "#" in url:
            self._fail(at, "a URL without a fragment", url)
        if port is not None and not 1 <= port <= 65_535:
            self._fail(at, "a port from 1 to 65535", port)
        self._host(host, at, allow_private)
        return url

    def _host(self, host: str, at: Place, allow_private: bool) -> None:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            pass
        else:
            why = refusal(host, allow_private=allow_private)
            if why:
                may = "allow_private = true lets it; " if not refusal(host, allow_private=True) else ""
                self._fail(at, "a host that webhooks may go to", f"{host}, {why}", may, plain=True)
            return
        labels = host.removesuffix(".").split(".")
        # What ends in a number is an address in another notation (0x7f.1, 017700000001) to whoever resolves it.
        if not all(_LABEL.fullmatch(label) for label in labels) or re.fullmatch(r"\d+|0[xX][0-9a-fA-F]*", labels[-1]):
            self._fail(at, "a host name, or an IP address in its usual notation", host)

    def _secrets(self, value: object, at: Place) -> tuple[SecretSource, ...]:
        if not isinstance(value, list) or not 1 <= len(value) <= 8:
            # A text here may be the secret itself.
            got = f"{len(value)} of them" if isinstance(value, list) else "nothing" if value is None else "no list"
            self._fail(at, 'a list of 1 to 8 like { file = "NAME" } or { env = "NAME" }', got, plain=True)
        sources = []
        for i, each in enumerate(value):
            here = (*at, i)
            if not isinstance(each, dict) or len(each) != 1 or not {"file", "env"} & each.keys():
                what = '{ file = "NAME" } or { env = "NAME" }; a secret itself does not stand here'
                self._fail(here, what, "something else", plain=True)
            ((kind, name),) = each.items()
            if not isinstance(name, str) or not 1 <= len(name) <= 1_024:
                self._fail((*here, kind), "a name", "something else", plain=True)
            where = f"{self._where(here)}: {_field(here)}"
            if kind == "file":
                sources.append(SecretSource(where, file=self._folder / name))
            else:
                sources.append(SecretSource(where, env=name))
        return tuple(sources)

    def _filter(self, table: dict[str, Any], at: Place) -> Filter:
        self._known(table, at, _FILTER)
        ops = self._words(table, "ops", at) if "ops" in table else OPS
        for i, op in enumerate(ops):
            if op not in OPS:
                self._fail((*at, "ops", i), f"one of {', '.join(OPS)}", op)
        return Filter(
            flags=self._words(table, "flags", at) if "flags" in table else (),
            ops=ops,
            routes=self._words(table, "routes", at) if "routes" in table else (),
            max_priority=self._whole(table, "max_priority", at, 5, 1, 5),
            include_held=self._flag(table, "include_held", at),
        )

    # -- single values ------------------------------------------------------------------------------------------

    def _table(self, value: object, at: Place) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._fail(at, "a table", value)
        return value

    def _known(self, table: Mapping[str, Any], at: Place, allowed: Collection[str]) -> None:
        for key in table:
            if key not in allowed:
                # A secret may stand behind a name that we do not know: only the name is shown.
                self._fail((*at, key), f"only {', '.join(allowed)}", key)

    def _words(self, table: Mapping[str, Any], name: str, at: Place) -> tuple[str, ...]:
        value = table[name]
        if (
            not isinstance(value, list)
            or not 1 <= len(value) <= 256
            or not all(isinstance(word, str) and 1 <= len(word) <= 1_024 for word in value)
        ):
            self._fail((*at, name), "a list of 1 to 256 texts", value)
        return tuple(value)

    def _flag(self, table: Mapping[str, Any], name: str, at: Place) -> bool:
        value = table.get(name, False)
        if not isinstance(value, bool):
            self._fail((*at, name), "true or false", value)
        return value

    def _whole(self, table: Mapping[str, Any], name: str, at: Place, default: int, least: int, most: int) -> int:
        value = table.get(name, default)
        if type(value) is not int or not least <= value <= most:
            self._fail((*at, name), f"a whole number from {least} to {most}", value)
        return value

    def _duration(self, table: Mapping[str, Any], name: str, at: Place, default: str, *, least: int, most: int) -> int:
        value = table.get(name, default)
        try:
            ms = parse_duration(value)
        except (TypeError, ValueError):
            ms = 0
        if not least <= ms <= most:
            self._fail((*at, name), f"a duration such as {default}, of {least} ms to {most} ms", value)
        return ms

    def _where(self, at: Place) -> str:
        line = line_of(self._text, at)
        return f"{self._source}:{line}" if line else self._source

    def _fail(self, at: Place, expected: str, got: object, hint: str = "", *, plain: bool = False) -> NoReturn:
        shown = str(got) if plain else repr(got)
        if len(shown) > 80:
            shown = shown[:77] + "..."
        raise ConfigurationError(
            f"{self._where(at)}: {_field(at)}: expected {expected}, got {shown}; {hint}nothing of the file was used"
        )


def _field(at: Place) -> str:
    text = ""
    for part in at:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text
