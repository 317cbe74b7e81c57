"""Everything at once, each a process of its own as people run it: broker, Redis, worker, intake, console."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
import time
from collections.abc import Coroutine
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, TypeVar

import orjson
from aiokafka import AIOKafkaProducer

from streams.kafka.connection import Connection
from streams.kafka.embedded import EmbeddedBroker, find_broker
from streams.kafka.producer import start_producer, stop_producer
from streams.kafka.sender import Sender, place
from tests.kafka.deployment import ROOT, Deployment

__all__ = ["PASSWORD", "Stand"]

PASSWORD = "correct horse battery"
TOKEN = "t" * 40

_Value = TypeVar("_Value")


class Stand:
    """A live desk; entered before a browser is, whose driver lets no other event loop run in its thread.

    Parameters
    ----------
    directory
        For Redis, logs and accounts.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._stack = ExitStack()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="sender")
        self.sent = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            broker = stack.enter_context(EmbeddedBroker(binary=find_broker()))
            settings = {"kafka.partitions": "2", "kafka.replication": "1"}
            live = Deployment(self._directory / "live", broker.brokers, "events", name="console", settings=settings)
            self.live = stack.enter_context(live)
            self.worker = live.start_worker()
            self._loops(stack)
            self._producer: AIOKafkaProducer = self._run(start_producer(Connection.of(live.settings)))
            stack.callback(lambda: self._run(stop_producer(self._producer)))
            intake = self._intake(stack, broker.brokers)
            self.url, self.link = self._console(stack, intake)
            live.wait_until_shared()
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def send(self, *events: dict[str, Any]) -> float:
        """Send events to Kafka; returns when it had them all, seconds of the wall clock."""
        partitions = self.live.partitions

        async def work() -> None:
            sender = Sender(self._producer, self.live.names.events)
            await sender.send(place(orjson.dumps(event), partitions) for event in events)
            await sender.flush()

        self._run(work())
        self.sent += len(events)
        return time.time()

    def _loops(self, stack: ExitStack) -> None:
        self._thread.start()

        def stop() -> None:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

        stack.callback(stop)

    def _run(self, work: Coroutine[Any, Any, _Value]) -> _Value:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def _intake(self, stack: ExitStack, brokers: str) -> str:
        tokens, token = self._directory / "tokens", self._directory / "token"
        tokens.write_text(f"console:control:{TOKEN}\n")
        token.write_text(TOKEN)
        told = self._start(
            stack,
            ["intake", "--listen", "127.0.0.1:0", "--kafka", brokers, "--topic", "events", "--token-file", str(tokens)],
        )
        return told.readline().split()[-1]

    def _console(self, stack: ExitStack, intake: str) -> tuple[str, str]:
        told = self._start(
            stack,
            [
                "console", "--redis", self.live.redis.url, "--port", "0", "--intake", intake,
                "--intake-token-file", str(self._directory / "token"),
                "--accounts", str(self._directory / "accounts.sqlite"),
            ],
        )  # fmt: skip
        while "/#/setup/" not in (line := told.readline()):
            assert line, "the console ended before it printed a link"
        link = line.split()[-1]
        return link.partition("/#/")[0], link

    def _start(self, stack: ExitStack, command: list[str]) -> IO[str]:
        environment = {key: value for key, value in os.environ.items() if not key.startswith("HENJI_")}
        log = stack.enter_context((self._directory / f"{command[0]}.log").open("w"))
        process = subprocess.Popen(
            [sys.executable, "-m", "streams.cli", *command],
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=self._directory,
            env={**environment, "PYTHONPATH": str(ROOT)},
            text=True,
        )
        assert process.stdout is not None
        stack.enter_context(process.stdout)

        def stop() -> None:
            process.terminate()
            try:
                process.wait(20)
            finally:
                process.kill()
                process.wait()

        stack.callback(stop)
        return process.stdout
