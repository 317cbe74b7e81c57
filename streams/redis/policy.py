"""Whether a Redis is fit to hold a ledger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from redis.exceptions import NoPermissionError

from engine.errors import UsageError
from streams.redis.client import RedisClient, talking

__all__ = ["Finding", "check_policy", "judge"]

MIN_VERSION = (6, 2)
"""XAUTOCLAIM, which readers of the alert stream need, came with 6.2."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something about a Redis that an operator should know.

    Parameters
    ----------
    level
        `error`: the worker must not start, it could lose state; `warning`: it may.
    code
        Stable name of the finding.
    message
        What was expected, what was got, and what to do.
    """

    level: Literal["error", "warning"]
    code: str
    message: str


def check_policy(client: RedisClient) -> list[Finding]:
    """What is wrong with this Redis; nothing is an empty list.

    Reads INFO only: managed services refuse CONFIG. A user whose ACL refuses INFO as well learns that nothing is known.

    Raises
    ------
    StoreUnavailable, UsageError
        If Redis does not answer, or does not let us in.

    Examples
    --------
    >>> from streams.redis.embedded import EmbeddedRedis
    >>> with EmbeddedRedis() as server:
    ...     client = server.client()
    ...     check_policy(client)
    ...     client.close()
    []
    """
    facts: dict[str, Any] = {}
    try:
        with talking("check the policy of Redis"):
            for section in ("server", "memory", "persistence", "replication", "cluster"):
                facts |= client.info(section)
    except UsageError as error:
        if not isinstance(error.__cause__, NoPermissionError):
            raise
        return [
            Finding(
                "warning",
                "info_refused",
                "INFO: expected a user whose ACL allows it, got a refusal: nothing is known of version, appendonly, "
                "maxmemory-policy and role; add +info to that user, or have whoever runs Redis check them",
            )
        ]
    return judge(facts)


def judge(facts: Mapping[str, Any]) -> list[Finding]:
    """Findings from what INFO says.

    Parameters
    ----------
    facts
        Fields of INFO, as redis-py parses them; a missing one is reported as unknown.

    Examples
    --------
    >>> [finding.code for finding in judge({"redis_version": "5.0.1", "aof_enabled": 0})]
    ['version', 'appendonly', 'maxmemory_policy_unknown']
    """
    findings = []
    version = str(facts.get("redis_version", ""))
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers < MIN_VERSION:
        findings.append(
            Finding("error", "version", f"redis_version: expected 6.2 or newer, got {version!r}; upgrade it")
        )
    if "aof_enabled" not in facts:
        findings.append(
            Finding("warning", "appendonly_unknown", "appendonly: expected yes, got no answer; ask who runs it")
        )
    elif not int(facts["aof_enabled"]):
        findings.append(
            Finding(
                "error",
                "appendonly",
                "appendonly: expected yes, got no: a crash would take back minutes of state, and alerts would go out "
                "again; set `appendonly yes` in redis.conf",
            )
        )
    policy = facts.get("maxmemory_policy")
    if policy is None:
        findings.append(
            Finding("warning", "maxmemory_policy_unknown", "maxmemory-policy: expected noeviction, got no answer; ask")
        )
    elif policy != "noeviction":
        findings.append(
            Finding(
                "error",
                "maxmemory_policy",
                f"maxmemory-policy: expected noeviction, got {policy}: Redis could throw memories of customers away; "
                "set `maxmemory-policy noeviction` in redis.conf",
            )
        )
    if facts.get("role", "master") != "master":
        findings.append(
            Finding("error", "replica", f"role: expected master, got {facts['role']}; give the URL of the primary")
        )
    if int(facts.get("cluster_enabled", 0)):
        findings.append(
            Finding("error", "cluster", "cluster-enabled: expected no, got yes; contract 1 needs one primary, use that")
        )
    return findings
