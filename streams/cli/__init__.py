"""The program `henji`: one command per task, exit code 0 on success, 2 on wrong use or configuration, 1 on failure."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

import click

from engine.errors import HenjiError, UsageError

__all__ = ["main"]

_COMMANDS = {
    "demo": "See it work: a campus app played live through broker, worker and Redis.",
    "simulate": "Write a realistic event log with its ground truth.",
    "replay": "Replay event logs through the engine.",
    "worker": "Run a live worker: Kafka to Redis, one transaction a batch.",
    "send": "Send event logs to Kafka.",
    "intake": "Take events over HTTP and give them to Kafka.",
    "webhooks": "Send alerts to other systems by HTTP.",
    "console": "The board in a browser: live alerts, customers, operations; accounts and roles.",
    "alerts": "The queue of the desk, alerts as they come; acknowledge, snooze, judge.",
    "customer": "One customer: scores, reasons, flags, alerts, timeline.",
    "rules": "Print the built-in rules, or check a file of your own.",
    "desk": "Print the built-in service desk, or check a file of your own.",
    "whatif": "What other rules would have done on a log.",
    "models": "How good the models are on a log, beside what one would otherwise use.",
    "diff": "What two runs say differently, and from which event on.",
    "verify": "Prove that a board keeps its contract.",
    "dlq": "Dead letters and late events: list, show, replay.",
    "topics": "Make the topics of a deployment in Kafka, or check them.",
    "digest": "Sum up a live ledger, to compare with a replay of the same log.",
    "doctor": "Check this machine, the settings, Redis and Kafka, and say what to do.",
}


class _Commands(click.Group):
    """Commands that are imported when they are used, so that `--help` answers at once."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        command = import_module(f"streams.cli.{cmd_name}").command
        assert isinstance(command, click.Command)
        _keep_lines(command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(_COMMANDS.items()))


def _keep_lines(command: click.Command) -> None:
    r"""Make the `\b` of raw docstrings what click takes for "keep these lines as they are"."""
    if command.help:
        command.help = command.help.replace("\\b\n", "\b\n")
    if isinstance(command, click.Group):
        for each in command.commands.values():
            _keep_lines(each)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="henji")
def cli() -> None:
    r"""Score customers while they are still on the line.

    henji reads the traces that customers and the people who serve them leave, learns who is drifting away from every
    event, and keeps live risk flags in Redis. Begin with:

    \b
      henji demo                                  see it work
      henji simulate --out log.jsonl              make a log to play with
      henji replay log.jsonl --board board.jsonl  who is at risk, and why
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program; returns the exit code (and exits with it when called as a script)."""
    try:
        # Outside its standalone mode click returns the code of an Exit instead of raising it.
        code = cli.main(args=arguments, prog_name="henji", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return _leave(error.exit_code, arguments)
    except (click.Abort, KeyboardInterrupt):
        click.echo("henji: stopped; the same command goes on where a ledger in Redis is", err=True)
        return _leave(130, arguments)
    except UsageError as error:
        click.echo(f"henji: {error}", err=True)
        return _leave(2, arguments)
    except HenjiError as error:
        click.echo(f"henji: {error}", err=True)
        return _leave(1, arguments)
    except BrokenPipeError:
        # The reader of our output went away (`henji ... | head`): nothing is wrong.
        sys.stderr.close()
        return _leave(0, arguments)
    return _leave(code if isinstance(code, int) else 0, arguments)


def _leave(code: int, arguments: Sequence[str] | None) -> int:
    if arguments is None:
        sys.exit(code)
    return code
