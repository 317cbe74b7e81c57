"""`henji simulate`: a campus app with its ground truth."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

import click
import orjson

from streams.cli.progress import progress
from streams.simulate import SimulationSettings, write_log

__all__ = ["command", "truth_path"]

_OUT = click.Path(path_type=Path, dir_okay=False)
_SHARE = click.FloatRange(0, 1)


@click.command("simulate")
@click.option("--out", required=True, type=_OUT, metavar="FILE", help="The log: .jsonl, .jsonl.gz or .jsonl.zst.")
@click.option(
    "--truth",
    type=_OUT,
    metavar="FILE",
    help="Who will leave and when, which service failed, who is double-counted. [default: beside the log]",
)
@click.option("--customers", type=int, metavar="N", help="How many people. [default: 500, or what --events needs]")
@click.option("--days", default=120, show_default=True, help="Length of the log in days.")
@click.option("--events", type=int, metavar="N", help="About how many events should come out.")
@click.option("--seed", default=1, show_default=True, help="Another seed is another campus.")
@click.option("--start", default="2025-03-31", show_default=True, type=click.DateTime(["%Y-%m-%d"]), help="First day.")
@click.option("--disorder", default=0.0, show_default=True, type=_SHARE, help="Share of events out of order, in time.")
@click.option("--late", default=0.0, show_default=True, type=_SHARE, help="Share of events that come too late.")
@click.option("--duplicates", default=0.0, show_default=True, type=_SHARE, help="Share of events that come twice.")
@click.option("--bad", default=0.0, show_default=True, type=_SHARE, help="Share of broken lines.")
@click.option("--json", "as_json", is_flag=True, help="Print what was written as one JSON object.")
def command(out: Path, truth: Path | None, start: datetime, as_json: bool, **shares: Any) -> None:
    r"""Write the event log of a campus app, and its ground truth beside it.

    Students in term and on holiday, graduates, schools, companies; requests on all channels and what our side does
    about them; service failures, repeats, complaints, ratings, promotions; people who leave, some with warning.

    \b
      henji simulate --out campus.jsonl.gz --events 200000
      henji simulate --out rough.jsonl --disorder 0.01 --late 0.001 --duplicates 0.002 --bad 0.001
    """
    settings = SimulationSettings(
        customers=shares["customers"],
        days=shares["days"],
        seed=shares["seed"],
        start=start.date(),
        events=shares["events"],
        disorder_share=shares["disorder"],
        late_share=shares["late"],
        duplicate_share=shares["duplicates"],
        bad_share=shares["bad"],
    )
    truth = truth or truth_path(out)
    with progress("simulate", as_json) as update:
        summary = write_log(settings, out, truth, update)
    if as_json:
        click.echo(orjson.dumps({**asdict(summary), "log": str(out), "truth": str(truth)}).decode())
        return
    click.echo(f"{summary.lines:,} lines of {summary.customers:,} people in {out}")
    click.echo(
        f"{summary.leavers:,} leave, {summary.expected:,} of them as expected and {summary.warned:,} with warning: "
        f"{truth}"
    )


def truth_path(log: Path) -> Path:
    """Where the ground truth goes when nobody says.

    Examples
    --------
    >>> truth_path(Path("campus.jsonl.gz")).name
    'campus.truth.jsonl'
    """
    stem = log.name.removesuffix(".gz").removesuffix(".zst").removesuffix(".jsonl")
    return log.with_name(f"{stem}.truth.jsonl")
