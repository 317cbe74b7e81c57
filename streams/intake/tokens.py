"""Who may send: a file of tokens, read again when it changes.

One token a line, `NAME:TOKEN`, or `NAME:control:TOKEN` for one that may send control events as well. Empty lines and
lines that begin with `#` are skipped. A name may stand on several lines, so that an old and a new token live side by
side while clients change over.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import os
import re
from dataclasses import dataclass, field
from pathlib import Path

from engine.errors import ConfigurationError

__all__ = ["Token", "TokenFile", "parse_tokens"]

log = logging.getLogger(__name__)

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
# The characters of RFC 6750, section 2.1; 16 of them are the least that is not guessed.
_TOKEN = re.compile(r"[A-Za-z0-9._~+/-]{16,512}=*")


@dataclass(frozen=True, slots=True)
class Token:
    """A token by its hash; the token itself is not kept.

    Parameters
    ----------
    name
        Of the client, for the access log.
    control
        Whether it may send control events.
    digest
        SHA-256.
    """

    name: str
    control: bool
    digest: bytes = field(repr=False)


def parse_tokens(text: str, where: str) -> tuple[Token, ...]:
    r"""The tokens of a file.

    Parameters
    ----------
    text
        Its content.
    where
        Its name, for messages, which show no token.

    Raises
    ------
    ConfigurationError
        With the line, and what was expected there.

    Examples
    --------
    >>> text = "# ours\nshop:0123456789abcdef\ndesk:control:fedcba9876543210"
    >>> [(token.name, token.control) for token in parse_tokens(text, "tokens")]
    [('shop', False), ('desk', True)]
    """
    found: dict[bytes, Token] = {}
    for number, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        name, _, rest = line.partition(":")
        right, colon, token = rest.rpartition(":")
        if not _NAME.fullmatch(name) or (colon and right != "control") or not _TOKEN.fullmatch(token):
            raise ConfigurationError(
                f"{where}, line {number}: expected NAME:TOKEN or NAME:control:TOKEN with a token of 16 to 512 of the "
                "characters A-Z a-z 0-9 - . _ ~ + /, got something else; `openssl rand -hex 32` makes one"
            )
        digest = hashlib.sha256(token.encode()).digest()
        if digest in found:
            raise ConfigurationError(
                f"{where}, line {number}: expected every token once, got one of a line above again"
            )
        found[digest] = Token(name, colon == ":", digest)
    return tuple(found.values())


class TokenFile:
    """The tokens in force.

    A change counts from the next request on. When what is there then cannot be read or understood, the tokens from
    before stay, and the log says so: a slip of the pen must not lock everybody out. A file without tokens does.

    Parameters
    ----------
    path
        The file.
    origin
        Where its name was set, for messages.

    Raises
    ------
    ConfigurationError
        If it cannot be read, is wrong or has no token.
    """

    def __init__(self, path: Path, origin: str) -> None:
        self._path = path
        self._where = f"intake.token_file ({origin}): {path}"
        self._seen = self._state()
        self._tokens = self._read()
        if not self._tokens:
            raise ConfigurationError(f"{self._where}: expected at least one token, got none")

    def find(self, presented: str) -> Token | None:
        """The token that a client presents, or `None`. Takes as long for each: all are compared, by their hashes."""
        self._refresh()
        digest = hashlib.sha256(presented.encode("utf-8", "surrogateescape")).digest()
        found = None
        for token in self._tokens:
            if hmac.compare_digest(token.digest, digest):
                found = token
        return found

    def _refresh(self) -> None:
        state = self._state()
        if state == self._seen:
            return
        # Taken as seen also when it turns out wrong, so that the log has one line a change.
        self._seen = state
        try:
            self._tokens = self._read()
        except ConfigurationError as error:
            log.error("%s; the tokens from before stay", error)
        else:
            log.info("intake.token_file: read again, %d tokens", len(self._tokens))

    def _state(self) -> tuple[int, int, int] | None:
        try:
            found = os.stat(self._path)
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> tuple[Token, ...]:
        try:
            text = self._path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{self._where}: expected a readable UTF-8 file, got {type(error).__name__}"
            ) from error
        return parse_tokens(text, self._where)
