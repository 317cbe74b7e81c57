"""What was looked at and found, as lines or JSON."""

from __future__ import annotations

from collections.abc import Sequence

import click
import orjson

from streams.kafka.topic_checks import Finding

__all__ = ["print_findings"]

_MARKS = {"ok": "ok     ", "warning": "WARNING", "error": "ERROR  "}


def print_findings(findings: Sequence[Finding], *, as_json: bool, name: str) -> None:
    """Print them, and leave with exit code 1 if something must be mended.

    Parameters
    ----------
    findings
        In the order in which they are printed.
    as_json
        One JSON object: `ok` and the findings.
    name
        Under which the findings stand in the JSON object.
    """
    bad = any(finding.level == "error" for finding in findings)
    if as_json:
        click.echo(orjson.dumps({"ok": not bad, name: [finding._asdict() for finding in findings]}).decode())
    else:
        for finding in findings:
            click.echo(f"{_MARKS[finding.level]} {finding.what}: {finding.told}")
    if bad:
        raise click.exceptions.Exit(1)
