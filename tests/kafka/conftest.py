"""Brokers for the tests: the embedded one in every run, Apache Kafka (mark `kafka`) in `make test-kafka`."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Protocol

import pytest

from engine.errors import UsageError
from streams.kafka.embedded import EmbeddedBroker, find_broker
from tests.kafka.apache import ApacheKafka, Installation, KafkaNotThere, install


class Broker(Protocol):
    """What the two kinds have in common."""

    @property
    def brokers(self) -> str: ...

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...


@pytest.fixture(scope="session")
def kafka_installation() -> Installation:
    """Apache Kafka on disk, for tests that start nodes of their own: `with ApacheKafka(kafka_installation) as node`.

    A machine without Java, Maven or Maven Central skips; a gate that has Java and Maven must not.
    """
    try:
        return install()
    except KafkaNotThere as error:
        if os.environ.get("CI") and error.tried:
            raise
        pytest.skip(str(error))


@pytest.fixture(
    scope="session",
    params=["embedded", pytest.param("apache", marks=pytest.mark.kafka)],
)
def broker(request: pytest.FixtureRequest) -> Iterator[Broker]:
    """One broker for the whole run, shared: tests make topics of their own, and do not stop it."""
    kind: AbstractContextManager[Broker]
    if request.param == "embedded":
        try:
            kind = EmbeddedBroker(binary=find_broker())
        except UsageError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(error))
    else:
        kind = ApacheKafka(request.getfixturevalue("kafka_installation"))
    with kind as running:
        yield running


@pytest.fixture
def topic_name(request: pytest.FixtureRequest) -> Callable[[], str]:
    """Names of topics (and groups) that no other test uses; nothing makes them."""
    test = "".join(letter if letter.isalnum() else "-" for letter in request.node.name)[:80]
    return lambda: f"{test}.{next(_NUMBERS)}"


@pytest.fixture
def topic(topic_name: Callable[[], str]) -> str:
    """The name of a topic that no other test uses; nothing makes it."""
    return topic_name()


_NUMBERS = itertools.count(1)
