"""`henji models`: the models, and how good they are."""

from __future__ import annotations

import click

from streams.cli.models_evaluate import evaluate
from streams.cli.models_export import export
from streams.cli.models_list import list_models, show_model
from streams.cli.models_promote import promote, rollback

__all__ = ["command"]


@click.group("models")
def command() -> None:
    r"""The models that score customers.

    \b
      henji models list --redis redis://localhost:6379          how good they are live, which is shown, what has drifted
      henji models show churn_event --redis ...                 one of them: by version, segment, time; reliability
      henji models promote plain --redis ... --kafka ...        show another churn model
      henji models rollback --redis ... --kafka ...             and the one before again
      henji models export --redis ... --out models.henji        all that was learned, as one file
      henji models evaluate log.jsonl.gz --report report.html   how good the scores are on a log
    """


for _each in (list_models, show_model, promote, rollback, export, evaluate):
    command.add_command(_each)
