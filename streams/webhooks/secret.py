"""The secrets of an endpoint: from files or the environment, read again when a file changes."""

from __future__ import annotations

import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.errors import ConfigurationError
from streams.webhooks.signature import parse_secret

__all__ = ["SecretSource", "Secrets"]

log = logging.getLogger(__name__)

_MAX_BYTES = 4_096


@dataclass(frozen=True, slots=True)
class SecretSource:
    """Where a secret is.

    Parameters
    ----------
    where
        For messages: file and field of webhooks.toml.
    file
        A file whose first line it is, or `None`.
    env
        A variable of the environment; counts when there is no file.
    """

    where: str
    file: Path | None = None
    env: str = ""

    def read(self, environment: Mapping[str, str]) -> bytes:
        """The secret.

        Raises
        ------
        ConfigurationError
            If it is not there or not a secret; the message shows nothing of it.
        """
        if self.file is not None:
            try:
                with self.file.open("rb") as stream:
                    text = stream.read(_MAX_BYTES).decode("utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise ConfigurationError(
                    f"{self.where}: expected a readable file with a secret, got {type(error).__name__} at {self.file}"
                ) from error
            name = str(self.file)
        else:
            text = environment.get(self.env, "")
            name = f"the variable {self.env}"
            if not text:
                raise ConfigurationError(f"{self.where}: expected a secret in {name}, got nothing; set it")
        try:
            return parse_secret(text.strip().partition("\n")[0])
        except ValueError as error:
            raise ConfigurationError(
                f'{self.where}: {error} in {name}; echo "whsec_$(openssl rand -base64 32)" makes one'
            ) from None

    def state(self) -> tuple[int, int, int] | None:
        """What changes when the file does; `None` without one."""
        if self.file is None:
            return None
        try:
            found = os.stat(self.file)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino


class Secrets:
    """The live secrets of an endpoint; every message is signed with each.

    When a file changes it counts from the next message on, so that a secret is rotated without a restart. If what is
    there then is no secret, those from before stay, and the log says so.

    Parameters
    ----------
    sources
        At least one.
    environment
        Variables.

    Raises
    ------
    ConfigurationError
        If one is not there, is no secret, or is given twice.
    """

    def __init__(self, sources: Sequence[SecretSource], environment: Mapping[str, str]) -> None:
        self._sources = tuple(sources)
        self._environment = environment
        self._seen = self._state()
        self._keys = self._read()

    def keys(self) -> tuple[bytes, ...]:
        """The secrets in force."""
        state = self._state()
        if state != self._seen:
            self._seen = state
            try:
                self._keys = self._read()
            except ConfigurationError as error:
                log.error("%s; the secrets from before stay", error)
            else:
                log.info("%s: secrets read again", self._sources[0].where)
        return self._keys

    def _state(self) -> tuple[tuple[int, int, int] | None, ...]:
        return tuple(source.state() for source in self._sources)

    def _read(self) -> tuple[bytes, ...]:
        keys: list[bytes] = []
        for source in self._sources:
            key = source.read(self._environment)
            if key in keys:
                raise ConfigurationError(f"{source.where}: expected every secret once, got one of above again")
            keys.append(key)
        return tuple(keys)
