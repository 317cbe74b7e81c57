"""Making the topics of a deployment, and finding out whether they are as they should be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import for_code

from engine.errors import HenjiError
from streams.kafka.connection import Connection
from streams.kafka.foreign_errors import mapped
from streams.kafka.layout import Layout, Topic
from streams.kafka.topic_checks import Described, Finding, count, judge

__all__ = ["check", "create", "describe", "partition_count"]

_TOPIC_EXISTS = 36
_POLL_S = 0.05


async def create(connection: Connection, layout: Layout, *, timeout_ms: int = 15_000) -> list[Finding]:
    """Make the topics that are missing; those that exist are left as they are and looked at.

    Parameters
    ----------
    connection
        Where Kafka is.
    layout
        What is wanted.
    timeout_ms
        Longest wait for each answer.

    Returns
    -------
    list[Finding]
        What was made, and of those that existed what is to be mended. A number of partitions of the events topic that
        differs from the wanted one is an error here, though `check` takes any that divides the lanes.

    Raises
    ------
    HenjiError
        If Kafka does not answer or refuses; the message says what it wants.
    """
    with mapped(connection, "create topics"):
        async with _admin(connection, timeout_ms) as admin:
            before = await _described(admin, layout)
            missing = [topic for topic in layout.topics if topic.name not in before]
            made = await _make(admin, missing, timeout_ms) if missing else set()
            await _appear(admin, [topic for topic in missing if topic.name in made], timeout_ms)
            # What somebody else made in between is looked at like what was there.
            raced = len(made) < len(missing)
            existing = await _described(admin, layout) if raced else before
    found = judge(layout._replace(topics=tuple(t for t in layout.topics if t.name not in made)), existing, strict=True)
    return [_created(topic) for topic in layout.topics if topic.name in made] + found


async def check(connection: Connection, layout: Layout, *, timeout_ms: int = 15_000) -> list[Finding]:
    """Compare the topics with what they should be like; nothing is changed, and no topic comes into being.

    Raises
    ------
    HenjiError
        If Kafka does not answer or refuses.
    """
    return judge(layout, await describe(connection, layout, timeout_ms=timeout_ms))


async def describe(connection: Connection, layout: Layout, *, timeout_ms: int = 15_000) -> dict[str, Described]:
    """The topics of the layout that exist and that we may see, by name.

    Raises
    ------
    HenjiError
        If Kafka does not answer or refuses.
    """
    with mapped(connection, "describe topics"):
        async with _admin(connection, timeout_ms) as admin:
            return await _described(admin, layout)


async def partition_count(connection: Connection, topic: str, *, timeout_ms: int = 15_000) -> int:
    """Number of partitions of a topic; 0 if there is none that we may see. No topic comes into being.

    Raises
    ------
    HenjiError
        If Kafka does not answer or refuses.
    """
    with mapped(connection, "describe topics"):
        async with _admin(connection, timeout_ms) as admin:
            return next(
                (len(each["partitions"]) for each in await admin.describe_topics() if each["topic"] == topic), 0
            )


@asynccontextmanager
async def _admin(connection: Connection, timeout_ms: int) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(**connection.aiokafka(), client_id="henji-topics", request_timeout_ms=timeout_ms)
    try:
        await client.start()
        yield client
    finally:
        await client.close()


async def _make(admin: AIOKafkaAdminClient, topics: list[Topic], timeout_ms: int) -> set[str]:
    """Make topics; returns the names of those that did not exist after all a moment ago."""
    wanted = [NewTopic(t.name, t.partitions, t.replication, topic_configs=dict(t.config)) for t in topics]
    answer = (await admin.create_topics(wanted, timeout_ms=timeout_ms)).to_object()
    made = set()
    for each in answer["topic_errors"]:
        code = each["error_code"]
        if code == 0:
            made.add(each["topic"])
        elif code != _TOPIC_EXISTS:
            name = for_code(code).__name__
            raise HenjiError(
                f"create topic {each['topic']}: expected Kafka to make it, got {name}: {each.get('error_message')}; "
                "see kafka.partitions, kafka.replication (at most the number of brokers) and the ACLs"
            )
    return made


async def _appear(admin: AIOKafkaAdminClient, topics: list[Topic], timeout_ms: int) -> None:
    """Wait until the broker that we ask knows new topics and their leaders: the controller answers before it does."""
    wanted = {topic.name: topic.partitions for topic in topics}
    deadline = time.monotonic() + timeout_ms / 1000
    while wanted and time.monotonic() < deadline:
        led = {t["topic"]: sum(p["leader"] >= 0 for p in t["partitions"]) for t in await admin.describe_topics()}
        wanted = {name: n for name, n in wanted.items() if led.get(name, 0) < n}
        if wanted:
            await asyncio.sleep(_POLL_S)


async def _described(admin: AIOKafkaAdminClient, layout: Layout) -> dict[str, Described]:
    wanted = {topic.name for topic in layout.topics}
    # Asked for all topics a broker makes none; asked for one that is missing it may, with partitions of its own choice.
    there = {each["topic"]: each["partitions"] for each in await admin.describe_topics() if each["topic"] in wanted}
    configs = await _configs(admin, list(there)) if there else {}
    return {
        name: Described(
            partitions=len(partitions),
            replication=min((len(p["replicas"]) for p in partitions), default=0),
            lagging=sum(len(p["isr"]) < len(p["replicas"]) for p in partitions),
            leaderless=sum(p["leader"] < 0 for p in partitions),
            config=configs.get(name, {}),
        )
        for name, partitions in there.items()
    }


async def _configs(admin: AIOKafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    """What the broker tells of the topics' settings; nothing of a topic whose settings we may not see."""
    out: dict[str, dict[str, str]] = {}
    for answer in await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, name) for name in names]):
        resources: list[dict[str, Any]] = answer.to_object()["resources"]
        for each in resources:
            if each["error_code"] == 0:
                entries = each["config_entries"]
                values = {e["config_names"]: e["config_value"] for e in entries if e["config_value"] is not None}
                out[each["resource_name"]] = values
    return out


def _created(topic: Topic) -> Finding:
    parts = [count(topic.partitions, "partition", "partitions"), count(topic.replication, "copy", "copies")]
    return Finding("ok", f"topic {topic.name}", f"made with {', '.join(parts)}")
