"""`henji rules`: the built-in rule set, and whether another one is valid."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from engine.errors import UsageError
from engine.rules import RuleSet

__all__ = ["command"]


@click.group("rules")
def command() -> None:
    r"""Print the built-in rules, or check a file of your own.

    \b
      henji rules default > rules.toml
      henji rules check rules.toml
      henji replay log.jsonl --rules rules.toml
    """


@command.command("default")
def default() -> None:
    """Print the built-in rule set as TOML: copy it and change the numbers."""
    click.echo(RuleSet.default().text, nl=False)


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@click.option("--json", "as_json", is_flag=True, help="Print version and flags as one JSON object.")
def check(file: Path, as_json: bool) -> None:
    """Check a rules file as a whole; exit code 2 with line and field if it is refused."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"expected a readable UTF-8 file, got {file}: {error}") from error
    rules = RuleSet.parse(text, str(file))
    if as_json:
        click.echo(orjson.dumps({"version": rules.version, "flags": rules.names()}).decode())
    else:
        click.echo(f"{file}: valid, version {rules.version}: {', '.join(rules.names())}")
