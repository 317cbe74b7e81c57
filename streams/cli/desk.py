"""`henji desk`: the built-in service desk, and whether another one is valid."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from engine.desk import Desk
from engine.errors import UsageError

__all__ = ["command"]


@click.group("desk")
def command() -> None:
    r"""Print the built-in service desk, or check a file of your own: routes, priorities, caps, guidance (docs/desk.md).

    \b
      henji desk default > desk.toml
      henji desk check desk.toml --lanes 8
      henji worker --desk desk.toml
    """


@command.command("default")
def default() -> None:
    """Print the built-in desk as TOML: copy it and fill it in."""
    click.echo(Desk.default().text, nl=False)


@command.command("check")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE")
@click.option("--lanes", type=click.IntRange(1, 1024), default=8, show_default=True, help="Of the deployment.")
@click.option("--json", "as_json", is_flag=True, help="Print version and numbers as one JSON object.")
def check(file: Path, lanes: int, as_json: bool) -> None:
    """Check a desk file as a whole; exit code 2 with line and field if it is refused."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"expected a readable UTF-8 file, got {file}: {error}") from error
    desk = Desk.parse(text, str(file))
    desk.check_lanes(lanes)
    found = {
        "version": desk.version,
        "categories": len(desk.categories),
        "owners": len(desk.owners),
        "queues": len(desk.queues),
        "agents": len(desk.agents),
        "tiers": len(desk.tiers),
        "guidance": len(desk.guidance),
        "customer_cap": [desk.customer_cap.n, desk.customer_cap.window_ms],
        "team_cap": [desk.team_cap.n, desk.team_cap.window_ms],
    }
    if as_json:
        click.echo(orjson.dumps(found).decode())
    else:
        told = ", ".join(f"{found[name]} {name}" for name in ("categories", "queues", "agents", "tiers", "guidance"))
        click.echo(f"{file}: valid, version {desk.version}: {told}")
