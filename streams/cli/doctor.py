"""`henji doctor`: is this machine ready, and if not, what to do."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import NamedTuple

import click
import orjson

from engine.errors import HenjiError
from streams.cli.options import gather, redis_option, settings_options
from streams.cli.stores import boards, open_redis
from streams.redis.embedded import find_redis_server
from streams.redis.policy import check_policy
from streams.settings import SETTINGS, Settings

__all__ = ["Check", "command"]

_PACKAGES = ("river", "redis", "hiredis", "orjson", "msgspec", "duckdb", "faust-streaming", "uvloop")
_LEAST_FREE_BYTES = 1 << 30


class Check(NamedTuple):
    """One thing looked at.

    Parameters
    ----------
    level
        `ok`, `warning` or `error`.
    what, told
        What was looked at, and what was found and what to do.
    """

    level: str
    what: str
    told: str


@click.command("doctor")
@redis_option
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print the checks as one JSON object.")
def command(redis_url: str | None, settings_file: Path | None, pairs: tuple[str, ...], as_json: bool) -> None:
    r"""Check versions, settings, rules, disk and Redis, and say what to do. Exit code 1 if something must be mended.

    \b
      henji doctor --redis redis://localhost:6379
    """
    settings = gather(settings_file, pairs, redis=("redis.url", redis_url))
    checks = [*_versions(), *_settings(settings), _disk(), *_redis(settings["redis.url"])]
    bad = any(c.level == "error" for c in checks)
    if as_json:
        click.echo(orjson.dumps({"ok": not bad, "checks": [c._asdict() for c in checks]}).decode())
    else:
        for check in checks:
            mark = {"ok": "ok     ", "warning": "WARNING", "error": "ERROR  "}[check.level]
            click.echo(f"{mark} {check.what}: {check.told}")
    if bad:
        raise click.exceptions.Exit(1)


def _versions() -> list[Check]:
    python = platform.python_version()
    out = [
        Check("ok", "python", python)
        if sys.version_info >= (3, 11)
        else Check("error", "python", f"expected 3.11 or newer, got {python}; install a newer Python")
    ]
    for package in _PACKAGES:
        try:
            out.append(Check("ok", package, version(package)))
        except PackageNotFoundError:
            level = "warning" if package in ("uvloop", "hiredis") else "error"
            out.append(Check(level, package, f"expected to be installed, got nothing; run: pip install {package}"))
    return out


def _settings(settings: Settings) -> list[Check]:
    given = [f"{key} from {settings.origins[key]}" for key in SETTINGS if settings.origins[key] != "default"]
    out = [Check("ok", "settings", ", ".join(given) or "all defaults")]
    try:
        rules = settings.rule_set()
        settings.result(rules)
        out.append(Check("ok", "rules", f"version {rules.version}, {len(rules.rules)} flags"))
    except HenjiError as error:
        out.append(Check("error", "rules", str(error)))
    return out


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free
    if free < _LEAST_FREE_BYTES:
        return Check("warning", "disk", f"expected at least 1 GiB free here, got {free >> 20} MiB; make room")
    return Check("ok", "disk", f"{free >> 30} GiB free here")


def _redis(url: str) -> list[Check]:
    if url in ("none", "embedded"):
        try:
            return [Check("ok", "embedded redis", str(find_redis_server()))]
        except HenjiError as error:
            return [Check("warning", "embedded redis", str(error))]
    try:
        with open_redis(url) as client:
            out = [Check(f.level, f"redis {f.code}", f.message) for f in check_policy(client)]
            found = boards(client)
    except HenjiError as error:
        return [Check("error", "redis", str(error))]
    told = ", ".join(found) if found else "none yet"
    return [*(out or [Check("ok", "redis", "answers, keeps its log, evicts nothing")]), Check("ok", "boards", told)]
