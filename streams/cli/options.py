"""Options that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from streams.settings import Settings, load_settings

__all__ = ["gather", "kafka_option", "prefix_option", "redis_option", "settings_options"]

F = TypeVar("F", bound=Callable[..., Any])

_FILE = click.Path(path_type=Path, dir_okay=False)

kafka_option = click.option(
    "--kafka", "brokers", metavar="HOST:PORT,...", help="Where Kafka is first asked. [setting: kafka.brokers]"
)
redis_option = click.option(
    "--redis", "redis_url", metavar="URL", help="Redis to use: a URL, or embedded. [setting: redis.url]"
)
prefix_option = click.option(
    "--prefix", metavar="PREFIX", help="Prefix of the board, such as risk: or replay:NAME: [default: the only board]."
)


def settings_options(command: F) -> F:
    """The options by which settings are given."""
    for option in (
        click.option("--settings", "settings_file", type=_FILE, metavar="FILE",
                     help="Settings file. [default: henji.toml, if there is one]"),
        click.option("--set", "pairs", multiple=True, metavar="KEY=VALUE",
                     help="A setting, such as churn.horizon=90d; may be given several times."),
    ):  # fmt: skip
        command = option(command)
    return command


def gather(settings_file: Path | None, pairs: tuple[str, ...], **given: object) -> Settings:
    """Settings from file, environment, `--set` and a command's own options.

    Parameters
    ----------
    settings_file, pairs
        As `settings_options` gives them.
    given
        Option name (with `_` for `-`) -> (key, value); a value of `None` was not given.
    """
    command_line: list[tuple[str, str, str]] = []
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise click.UsageError(f"--set: expected KEY=VALUE, got {pair!r}")
        command_line.append((key.strip(), value.strip(), "--set"))
    for option, key_value in given.items():
        key, value = key_value  # type: ignore[misc] # pairs by contract
        if value is not None:
            command_line.append((key, value, "--" + option.replace("_", "-")))
    return load_settings(settings_file, os.environ, command_line)
