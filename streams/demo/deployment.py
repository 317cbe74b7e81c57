"""Broker, Redis and worker on this machine, for as long as a context."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.desk import Desk
from streams.demo.program import Program
from streams.kafka import topics
from streams.kafka.connection import Connection, TopicNames
from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.layout import Layout
from streams.redis.client import RedisClient, talking
from streams.redis.embedded import EmbeddedRedis
from streams.redis.keys import Keys
from streams.settings import load_settings

__all__ = ["Deployment", "Given"]

_PARTITIONS = 4

# A machine of its own: what a settings file says of Kafka and Redis elsewhere is not meant for it.
_PLAIN = {
    **dict.fromkeys(("kafka.tls.ca", "kafka.tls.cert", "kafka.tls.key", "kafka.sasl.user"), ""),
    **dict.fromkeys(("redis.user", "redis.password_file", "redis.ca", "redis.sentinels", "worker.instance"), ""),
    "kafka.sasl.password_file": "",
    "kafka.security": "plaintext",
    "kafka.replication": "1",
    "worker.http": "off",
    # A demo plays old events; a tick with today's time has no place between them, and a replay sees none.
    "worker.tick": "none",
    "worker.share": "none",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Given:
    """What the command line gave of a worker's options.

    Parameters
    ----------
    pairs
        Settings as (key, value, option), the last of a key counts.
    settings_file, map_file
        Or `None`.
    """

    pairs: Sequence[tuple[str, str, str]] = ()
    settings_file: Path | None = None
    map_file: Path | None = None


class Deployment:
    """A deployment of one worker; entered, the topics are made and the worker is on its way.

    Wrong as a model of a real one in one point: its log is in memory and ends with it.

    Parameters
    ----------
    directory
        Where Redis keeps its data and the worker its log; exists.
    given
        What the worker is told.
    forced
        Settings that go before those given.

    Raises
    ------
    UsageError
        On entering, if there is no binary of broker or Redis.
    ConfigurationError
        If a setting is wrong.
    """

    def __init__(self, directory: Path, given: Given, forced: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._given = given
        self._forced = dict(forced or {})
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            broker = stack.enter_context(EmbeddedBroker())
            redis = stack.enter_context(EmbeddedRedis(self._directory / "redis"))
            self._prepare(broker.brokers, redis.url)
            self.client: RedisClient = redis.client()
            stack.callback(self.client.close)
            asyncio.run(topics.create(self.connection, self._layout))
            self.worker.start()
            stack.callback(self.worker.stop)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def _prepare(self, brokers: str, url: str) -> None:
        given = self._given
        before = load_settings(given.settings_file, os.environ, given.pairs)
        lanes = before["lanes"]
        ours = {
            **_PLAIN,
            **self._forced,
            "kafka.partitions": str(1 if lanes % _PARTITIONS else _PARTITIONS),
            "kafka.brokers": brokers,
            "redis.url": url,
        }
        if not before["desk"]:
            ours["desk"] = str(self._small_desk())
        pairs = [*given.pairs, *((key, value, "demo") for key, value in ours.items())]
        settings = load_settings(given.settings_file, os.environ, pairs)
        arguments = [word for key, value, _ in pairs for word in ("--set", f"{key}={value}")]
        for option, path in (("--settings", given.settings_file), ("--map", given.map_file)):
            if path is not None:
                arguments += [option, str(path)]
        self.redis_url = url
        self.connection = Connection.of(settings)
        self.topic = TopicNames.of(settings).events
        self.partitions: int = settings["kafka.partitions"]
        self.keys = Keys(settings["redis.prefix"])
        self.worker = Program("worker", arguments, self._directory / "worker.log")
        self._layout = Layout.of(settings)

    def _small_desk(self) -> Path:
        """The built-in desk, but for a campus of some hundred: with 10 customers no incident would ever be seen."""
        path = self._directory / "desk.toml"
        path.write_text(re.sub(r"(?m)^min_customers = \d+$", "min_customers = 4", Desk.default().text), "utf-8")
        return path

    def read(self) -> dict[int, int]:
        """Partition -> records that are read and in the ledger; those that the worker has opened only.

        Raises
        ------
        HenjiError
            If the worker has ended.
        """
        self.worker.check()
        with talking("read the partition records"):
            pipe = self.client.pipeline(transaction=False)
            for number in range(self.partitions):
                pipe.execute_command("HMGET", self.keys.partition(self.topic, number), "owner", "read")
            found = pipe.execute()
        return {number: int(read or 0) for number, (owner, read) in enumerate(found) if owner}
