"""How Redis is reached: where, who we are, how it proves who it is."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit

from engine.errors import ConfigurationError, UsageError
from streams.settings import Settings

__all__ = ["RedisAccess", "Sentinels"]

Address = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The Sentinels that know which Redis is the primary.

    Parameters
    ----------
    addresses
        Host and port of each; any that answers will do.
    service
        What they call the primary.
    user, password
        Who we are to the Sentinels, which have users of their own.
    """

    addresses: tuple[Address, ...]
    service: str = "mymaster"
    user: str = ""
    password: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class RedisAccess:
    """What a client of Redis needs to know; its `repr` and `str` never tell a password.

    Parameters
    ----------
    host, port
        Of the server; unused with a path or Sentinels.
    path
        Unix socket.
    db
        Number of the database.
    user, password
        Of Redis's ACL; no user: the default one.
    tls
        What the other end must prove; `None` without encryption.
    sentinels
        Who to ask for the primary; `None`: nobody, it is at host and port.

    Examples
    --------
    >>> access = RedisAccess.parse("redis://henji:secret@db.example:6380/2")
    >>> str(access), access.user, "secret" in repr(access)
    ('redis://db.example:6380/2', 'henji', False)
    """

    host: str = "localhost"
    port: int = 6379
    path: str = ""
    db: int = 0
    user: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)
    sentinels: Sentinels | None = None

    @classmethod
    def parse(cls, url: str, ca: str = "") -> Self:
        """The access that a URL gives.

        Parameters
        ----------
        url
            `redis://USER:PASSWORD@HOST:PORT/DB`, `rediss://` for TLS, or `unix:///PATH?db=DB`.
        ca
            File with the certificates that may have signed the server's; empty: those of the system.

        Raises
        ------
        UsageError
            If the URL is none of these, or the file is not one of certificates.
        """
        scheme = url.partition("://")[0] if "://" in url else ""
        if scheme not in ("redis", "rediss", "unix"):
            raise UsageError(
                "redis URL: expected redis://, rediss:// or unix://, got "
                f"{scheme + '://' if scheme else 'no scheme'!r}; write for example redis://127.0.0.1:6379/0"
            )
        try:
            parts = urlsplit(url)
            options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
            db = options.pop("db", "0" if scheme == "unix" else unquote(parts.path).strip("/") or "0")
            access = cls(
                host=unquote(parts.hostname or "localhost"),
                port=parts.port or 6379,
                path=unquote(parts.path) if scheme == "unix" else "",
                db=int(db),
                user=unquote(parts.username or options.pop("username", "")),
                password=unquote(parts.password or options.pop("password", "")),
            )
        except ValueError:
            # The error may quote a password that was taken for a port.
            raise UsageError(
                "redis URL: expected redis://HOST:PORT/DB, got one whose host, port or database cannot be read; mend "
                "it (what is special in a password is percent-encoded; redis.password_file takes it as it is)"
            ) from None
        if options:
            raise UsageError(f"redis URL: expected no option but db, got {', '.join(sorted(options))}; leave it out")
        if scheme == "unix" and not access.path:
            raise UsageError("redis URL: expected unix:///PATH, got no path")
        return replace(access, tls=_context(ca)) if scheme == "rediss" else access

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The access that the settings give; `redis.url` is a URL, neither `none` nor `embedded`.

        Raises
        ------
        ConfigurationError
            If settings do not go together or a file cannot be read.
        UsageError
            If `redis.url` is not a URL of Redis.
        """
        url, ca = settings["redis.url"], settings["redis.ca"]
        if ca and not url.startswith("rediss://"):
            raise ConfigurationError(
                f"redis.ca ({settings.origins['redis.ca']}): expected a redis.url that begins with rediss://, got one "
                "without encryption; write rediss://, or leave redis.ca out"
            )
        access = cls.parse(url, ca)
        user = settings["redis.user"] or access.user
        password = _secret("redis.password_file", settings) or access.password
        if user and not password:
            raise ConfigurationError(
                f"redis.user ({settings.origins['redis.user']}): expected a password with it, got none; "
                "give redis.password_file"
            )
        sentinels = _sentinels(settings)
        if sentinels is not None and access.path:
            raise ConfigurationError(
                f"redis.sentinels ({settings.origins['redis.sentinels']}): expected redis.url to be redis:///DB or "
                "rediss:///DB, got unix://; the primary may be on any machine"
            )
        return replace(access, user=user, password=password, sentinels=sentinels)

    def __str__(self) -> str:
        scheme = "unix" if self.path else "rediss" if self.tls is not None else "redis"
        if self.sentinels is not None:
            known = ",".join(f"{host}:{port}" for host, port in self.sentinels.addresses)
            return f"{scheme}:///{self.db}, primary {self.sentinels.service} of the Sentinels {known}"
        if self.path:
            return f"unix://{self.path}?db={self.db}"
        return f"{scheme}://{self.host}:{self.port}/{self.db}"


def _sentinels(settings: Settings) -> Sentinels | None:
    text = settings["redis.sentinels"]
    if not text:
        return None
    addresses = []
    for each in text.split(","):
        host, _, port = each.strip().rpartition(":")
        if not host or not port.isdecimal() or not 0 < int(port) < 65_536:
            raise ConfigurationError(
                f"redis.sentinels ({settings.origins['redis.sentinels']}): expected HOST:PORT,HOST:PORT,..., "
                f"got {text!r}"
            )
        addresses.append((host.strip("[]"), int(port)))
    user, password = settings["redis.sentinel.user"], _secret("redis.sentinel.password_file", settings)
    if user and not password:
        raise ConfigurationError(
            f"redis.sentinel.user ({settings.origins['redis.sentinel.user']}): expected a password with it, got none; "
            "give redis.sentinel.password_file"
        )
    return Sentinels(tuple(addresses), settings["redis.service"], user, password)


def _secret(key: str, settings: Settings) -> str:
    """The first line of a file that holds a password; empty when no file is named."""
    if not settings[key]:
        return ""
    try:
        secret = Path(settings[key]).read_text("utf-8").rstrip("\r\n")
    except UnicodeDecodeError:
        # The error would tell bytes of the password.
        raise ConfigurationError(f"{key} ({settings.origins[key]}): expected a text file in UTF-8") from None
    except OSError as error:
        raise ConfigurationError(f"{key} ({settings.origins[key]}): expected a readable file, got {error}") from error
    if not secret or "\n" in secret:
        raise ConfigurationError(
            f"{key} ({settings.origins[key]}): expected a file with the password on its only line, got "
            f"{'an empty one' if not secret else 'several lines'}"
        )
    return secret


def _context(ca: str) -> ssl.SSLContext:
    try:
        # With a file of its own nothing else is trusted: another CA that the system knows cannot stand in.
        return ssl.create_default_context(cafile=ca or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"redis.ca: expected a readable file in PEM at {ca}, got {error}") from error
