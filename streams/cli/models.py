"""`henji models`: the models, and how good they are."""

from __future__ import annotations

import click

from streams.cli.models_evaluate import evaluate

__all__ = ["command"]


@click.group("models")
def command() -> None:
    r"""The models that score customers.

    \b
      henji models evaluate log.jsonl.gz --report report.html   how good the scores are on a log
    """


command.add_command(evaluate)
