"""A letter as people and programs read it."""

from __future__ import annotations

from typing import Any

import click

from streams.cli.report import at_text
from streams.kafka.dead_letter_log import Stored

__all__ = ["letter_facts", "print_letter", "printable", "whole_facts"]


def letter_facts(stored: Stored) -> dict[str, Any]:
    """A letter without its bytes, as JSON has it."""
    letter = stored.letter
    return {
        "place": str(letter.place),
        "topic": letter.topic,
        "partition": letter.partition,
        "offset": letter.offset,
        "timestamp_ms": letter.timestamp_ms,
        "stored_ms": stored.stored_ms,
        "reason": letter.reason,
        "field": letter.field,
        "message": letter.message,
        "error": letter.error,
        "bytes": letter.whole_bytes if letter.whole_bytes >= 0 else len(letter.raw or b""),
    }


def whole_facts(stored: Stored) -> dict[str, Any]:
    """A letter with its headers and bytes, as JSON has it."""
    letter = stored.letter
    return {
        **letter_facts(stored),
        "resolved": stored.resolved,
        "headers": {header: value.decode() for header, value in letter.headers()},
        **_bytes_facts("key", letter.key),
        **_bytes_facts("raw", letter.raw),
    }


def _bytes_facts(name: str, content: bytes | None) -> dict[str, str | None]:
    """Text where the bytes are UTF-8, else hex; both are null where there is nothing."""
    try:
        return {name: None if content is None else content.decode(), f"{name}_hex": None}
    except UnicodeDecodeError:
        return {name: None, f"{name}_hex": (content or b"").hex()}


def _text(content: bytes) -> str | None:
    """The text of printable bytes; what a terminal could take for an order is none."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c in "\n\t" for c in text) else None


def printable(text: str) -> str:
    r"""One line, with escapes for what a terminal could take for an order.

    Examples
    --------
    >>> printable("red: \x1b[31m")
    'red: \\x1b[31m'
    """
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def print_letter(stored: Stored) -> None:
    """Print one letter for people, bytes and all."""
    letter = stored.letter
    click.echo(f"{letter.place}: {stored.resolved or 'open'}, written {at_text(stored.stored_ms)}")
    for header, value in letter.headers():
        click.echo(f"  {header}: {printable(value.decode())}")
    for name, content in (("key", letter.key), ("value", letter.raw)):
        if content is None:
            click.echo(f"{name}: none")
            continue
        text = _text(content)
        click.echo(f"{name}, {len(content):,} bytes{'' if text is not None else ' in hex'}:")
        click.echo(text if text is not None else content.hex(" ", 2))
