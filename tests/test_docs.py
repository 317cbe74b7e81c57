"""The documents name files that exist, settings that are settings, and commands that are commands."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from streams.cli import _COMMANDS, cli
from streams.settings import SETTINGS

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_settings_table_has_exactly_the_settings() -> None:
    text = (ROOT / "docs" / "replay.md").read_text("utf-8")
    table = text.split("| key | default | meaning |")[1].split("\n\n")[0]
    assert re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE) == list(SETTINGS)


def commands() -> list[tuple[str, str]]:
    found = []
    for page in PAGES:
        for block in re.findall(r"```(?:sh)?\n(.*?)```", page.read_text("utf-8"), re.DOTALL):
            for line in block.splitlines():
                if match := re.match(r"(?:\$ )?(?:\.venv/bin/)?henji (.+?)(?:\s+#.*)?$", line.strip()):
                    found.append((page.name, match[1]))
    return found


def test_commands_are_found_in_the_documents() -> None:
    assert commands()


def _does_it_itself(group: click.Group, arguments: list[str]) -> bool:
    """Whether a group, such as `henji alerts`, is meant and not one of its commands."""
    return group.invoke_without_command and not (arguments and arguments[0] in group.commands)


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_in_a_block_parses(page: str, line: str) -> None:
    words = shlex.split(line.split(" > ")[0])
    assert words[0] in _COMMANDS, f"{page}: henji {line}"
    command = cli.get_command(click.Context(cli), words[0])
    assert command is not None
    if isinstance(command, click.Group) and not _does_it_itself(command, words[1:]):
        words = words[1:]
        command = command.get_command(click.Context(command), words[0])
        assert command is not None, f"{page}: henji {line}"
    # Unknown options and missing values are refused here; nothing is run.
    command.make_parser(click.Context(command)).parse_args(words[1:])


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    assert [name for name in _COMMANDS if f"henji {name}" not in text] == []
