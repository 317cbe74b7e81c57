"""`henji doctor`: is this machine ready, and if not, what to do."""

from __future__ import annotations

import asyncio
import platform
import shutil
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import click

from engine.errors import HenjiError
from streams.cli.findings import print_findings
from streams.cli.options import gather, kafka_option, redis_option, settings_options
from streams.cli.stores import boards, open_redis, redis_of
from streams.kafka.connection import Connection
from streams.kafka.examination import examine
from streams.kafka.layout import Layout
from streams.kafka.topic_checks import Finding
from streams.redis.embedded import find_redis_server
from streams.redis.policy import check_policy
from streams.settings import SETTINGS, Settings

__all__ = ["command"]

_PACKAGES = ("river", "redis", "hiredis", "orjson", "msgspec", "duckdb", "faust-streaming", "aiokafka", "uvloop")
_LEAST_FREE_BYTES = 1 << 30


@click.command("doctor")
@redis_option
@kafka_option
@settings_options
@click.option("--json", "as_json", is_flag=True, help="Print the checks as one JSON object.")
def command(
    redis_url: str | None, brokers: str | None, settings_file: Path | None, pairs: tuple[str, ...], as_json: bool
) -> None:
    r"""Check versions, settings, rules, disk, Redis and Kafka, and say what to do. Exit code 1 if it must be mended.

    \b
      henji doctor --redis redis://localhost:6379
      henji doctor --redis redis://localhost:6379 --kafka localhost:9092

    Kafka is looked at when kafka.brokers is set: brokers, topics, whether the newest events lie in the partition of
    their customer, and clocks. Nothing is written.
    """
    settings = gather(settings_file, pairs, redis=("redis.url", redis_url), kafka=("kafka.brokers", brokers))
    checks = [*_versions(), *_settings(settings), _disk(), *_redis(settings), *_kafka(settings)]
    print_findings(checks, as_json=as_json, name="checks")


def _versions() -> list[Finding]:
    python = platform.python_version()
    out = [
        Finding("ok", "python", python)
        if sys.version_info >= (3, 11)
        else Finding("error", "python", f"expected 3.11 or newer, got {python}; install a newer Python")
    ]
    for package in _PACKAGES:
        try:
            out.append(Finding("ok", package, version(package)))
        except PackageNotFoundError:
            level = "warning" if package in ("uvloop", "hiredis") else "error"
            out.append(Finding(level, package, f"expected to be installed, got nothing; run: pip install {package}"))
    return out


def _settings(settings: Settings) -> list[Finding]:
    given = [f"{key} from {settings.origins[key]}" for key in SETTINGS if settings.origins[key] != "default"]
    out = [Finding("ok", "settings", ", ".join(given) or "all defaults")]
    try:
        rules = settings.rule_set()
        settings.result(rules)
        out.append(Finding("ok", "rules", f"version {rules.version}, {len(rules.rules)} flags"))
    except HenjiError as error:
        out.append(Finding("error", "rules", str(error)))
    return out


def _disk() -> Finding:
    free = shutil.disk_usage(Path.cwd()).free
    if free < _LEAST_FREE_BYTES:
        return Finding("warning", "disk", f"expected at least 1 GiB free here, got {free >> 20} MiB; make room")
    return Finding("ok", "disk", f"{free >> 30} GiB free here")


def _redis(settings: Settings) -> list[Finding]:
    try:
        where = redis_of(settings)
    except HenjiError as error:
        return [Finding("error", "redis", str(error))]
    if isinstance(where, str):
        try:
            return [Finding("ok", "embedded redis", str(find_redis_server()))]
        except HenjiError as error:
            return [Finding("warning", "embedded redis", str(error))]
    try:
        with open_redis(where) as client:
            out = [Finding(f.level, f"redis {f.code}", f.message) for f in check_policy(client)]
            found = boards(client)
    except HenjiError as error:
        return [Finding("error", "redis", str(error))]
    told = ", ".join(found) if found else "none yet"
    return [*(out or [Finding("ok", "redis", "answers, keeps its log, evicts nothing")]), Finding("ok", "boards", told)]


def _kafka(settings: Settings) -> list[Finding]:
    if settings.origins["kafka.brokers"] == "default":
        return []
    try:
        connection, layout = Connection.of(settings), Layout.of(settings)
    except HenjiError as error:
        return [Finding("error", "kafka", str(error))]
    return asyncio.run(examine(connection, layout))
