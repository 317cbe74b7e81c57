"""How Kafka is reached: brokers, encryption, who we are."""

from __future__ import annotations

import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from faust.auth import SASLCredentials, SSLCredentials

from engine.errors import ConfigurationError
from streams.settings import Settings

__all__ = ["Connection", "TopicNames"]

_LOOPBACK = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True, slots=True)
class TopicNames:
    """The topics of a deployment.

    Parameters
    ----------
    events
        Keyed by customer.
    dead, late
        What was not applied.
    alerts
        Copies of the alerts; empty when there are none.

    Examples
    --------
    >>> from streams.settings import load_settings
    >>> TopicNames.of(load_settings(None, {}, [("kafka.topic", "traces", "--topic")])).dead
    'traces.dead'
    """

    events: str
    dead: str
    late: str
    alerts: str = ""

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The names that the settings give."""
        events = settings["kafka.topic"]
        return cls(
            events,
            settings["kafka.dead"] or f"{events}.dead",
            settings["kafka.late"] or f"{events}.late",
            settings["kafka.alerts"],
        )


@dataclass(frozen=True, slots=True)
class Connection:
    """What a Kafka client needs to know.

    Parameters
    ----------
    brokers
        `HOST:PORT` of those to ask first.
    security
        `plaintext`, `ssl`, `sasl_ssl` or `sasl_plaintext`.
    mechanism, user, password
        Of SASL.
    tls
        What the other end must prove; `None` without encryption.

    Examples
    --------
    >>> Connection(("localhost:9092",)).aiokafka()
    {'bootstrap_servers': ['localhost:9092'], 'security_protocol': 'PLAINTEXT'}
    """

    brokers: tuple[str, ...]
    security: str = "plaintext"
    mechanism: str = "SCRAM-SHA-512"
    user: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = field(default=None, repr=False)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The connection that the settings give.

        Raises
        ------
        ConfigurationError
            If a file cannot be read, SASL lacks a user or password, or a password would travel in the clear beyond
            this machine.
        """
        brokers = tuple(b.strip() for b in settings["kafka.brokers"].split(",") if b.strip())
        for broker in brokers or ("",):
            host, _, port = broker.rpartition(":")
            if not host or not port.isdecimal():
                raise ConfigurationError(
                    f"kafka.brokers ({settings.origins['kafka.brokers']}): expected HOST:PORT,HOST:PORT,..., "
                    f"got {settings['kafka.brokers']!r}"
                )
        security = settings["kafka.security"]
        user = password = ""
        if security.startswith("sasl"):
            user = settings["kafka.sasl.user"]
            if not user or not settings["kafka.sasl.password_file"]:
                raise ConfigurationError(
                    f"kafka.sasl.user, kafka.sasl.password_file: expected both with kafka.security {security}, "
                    f"got {'no user' if not user else 'no password file'}"
                )
            password = _secret("kafka.sasl.password_file", settings)
        if security == "sasl_plaintext" and not all(b.rpartition(":")[0] in _LOOPBACK for b in brokers):
            raise ConfigurationError(
                "kafka.security: expected sasl_ssl for brokers on other machines, got sasl_plaintext, which lets "
                "anyone on the way read who we are; encrypt the brokers' listener"
            )
        tls = _tls(settings) if security in ("ssl", "sasl_ssl") else None
        return cls(brokers, security, settings["kafka.sasl.mechanism"], user, password, tls)

    def faust_credentials(self) -> Any:
        """The same for Faust; `None` in the clear and without a user."""
        if self.user:
            return SASLCredentials(
                username=self.user, password=self.password, mechanism=self.mechanism, ssl_context=self.tls
            )
        return SSLCredentials(self.tls) if self.tls is not None else None

    def aiokafka(self) -> dict[str, Any]:
        """Keyword arguments of every aiokafka client."""
        options: dict[str, Any] = {
            "bootstrap_servers": list(self.brokers),
            "security_protocol": self.security.upper(),
        }
        if self.tls is not None:
            options["ssl_context"] = self.tls
        if self.user:
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password,
            }
        return options


def _secret(key: str, settings: Settings) -> str:
    path = Path(settings[key])
    try:
        return path.read_text("utf-8").rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{key} ({settings.origins[key]}): expected a readable file, got {error}") from error


def _tls(settings: Settings) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=settings["kafka.tls.ca"] or None)
        if settings["kafka.tls.cert"]:
            context.load_cert_chain(settings["kafka.tls.cert"], settings["kafka.tls.key"] or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(
            f"kafka.tls.ca, kafka.tls.cert, kafka.tls.key: expected readable PEM files, got {error}"
        ) from error
    return context
