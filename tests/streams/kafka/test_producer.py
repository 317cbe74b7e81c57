"""Producers place records where the worker expects them."""

from __future__ import annotations

import asyncio
import socket

import pytest
from aiokafka.partitioner import DefaultPartitioner
from aiokafka.partitioner import murmur2 as their_murmur2
from aiokafka.record.default_records import DefaultRecordBatchBuilder
from hypothesis import given
from hypothesis import strategies as st

from engine.errors import RecoverableError
from engine.murmur2 import lane_of, murmur2
from streams.kafka.connection import Connection
from streams.kafka.producer import MAX_REQUEST_BYTES, make_producer, partition_for, partitioner, start_producer


@given(st.binary(max_size=200))
def test_aiokafka_hashes_as_the_engine_does(key: bytes) -> None:
    assert their_murmur2(key) == murmur2(key) & 0xFFFFFFFF


@given(st.text(min_size=1, max_size=40), st.integers(1, 64))
def test_a_key_goes_where_aiokafka_and_java_put_it(customer_id: str, partitions: int) -> None:
    everywhere = list(range(partitions))
    placed = partitioner(customer_id.encode(), everywhere, [])
    assert placed == DefaultPartitioner()(customer_id.encode(), everywhere, everywhere)
    assert placed == partition_for(customer_id, partitions)


@given(st.text(min_size=1, max_size=40), st.integers(1, 16), st.integers(1, 16))
def test_a_partition_carries_whole_lanes_when_it_divides_them(customer_id: str, partitions: int, times: int) -> None:
    assert lane_of(customer_id, partitions * times) % partitions == partition_for(customer_id, partitions)


def test_a_partition_without_leader_keeps_its_customers() -> None:
    assert {partitioner(b"c1", [3, 2, 1, 0], [n]) for n in range(4)} == {partition_for("c1", 4)}


def test_a_record_without_key_needs_a_partition() -> None:
    with pytest.raises(ValueError, match="expected one for a record without a key"):
        partitioner(None, [0, 1], [0, 1])


def test_a_producer_waits_for_all_replicas_and_writes_once() -> None:
    async def facts() -> tuple[object, ...]:
        producer = make_producer(Connection(("localhost:1",)))
        try:
            sender = producer._sender
            return sender._acks, producer._txn_manager is not None, producer._max_request_size, producer._partitioner
        finally:
            await producer.stop()

    assert asyncio.run(facts()) == (-1, True, MAX_REQUEST_BYTES, partitioner)


def test_the_longest_record_fits() -> None:
    headers = [("henji.reason", b"x" * 1024)] * 16
    size = DefaultRecordBatchBuilder.estimate_size_in_bytes(b"k" * 512, b"v" * 65_536, headers)
    assert size < MAX_REQUEST_BYTES < 1_048_588 - 100


def test_no_broker_is_an_error_that_says_where_it_looked() -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # bound, not listening: nobody else can answer there
        where = f"127.0.0.1:{held.getsockname()[1]}"
        with pytest.raises(RecoverableError, match=where):
            asyncio.run(start_producer(Connection((where,)), timeout_s=5))
