"""Failover under Sentinel, with real servers: nothing lost and nothing twice, whoever dies, freezes or steps down."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from os import kill
from pathlib import Path

import pytest
from redis.exceptions import RedisError, ResponseError

from engine.errors import LedgerConflict, StoreUnavailable, UsageError
from streams.child_process import bound_to_us, end, free_port
from streams.redis.access import RedisAccess, Sentinels
from streams.redis.board import RiskBoard
from streams.redis.client import RedisClient, connect, talking
from streams.redis.embedded import EmbeddedRedis, find_redis_server
from streams.redis.ledger import RedisLedger
from streams.redis.retrying import Backoff
from streams.redis.verify import verify
from tests.streams.redis.samples import SETTINGS, alert, change, outcome, position, redis_ledger

N_BATCHES = 300
DEADLINE_S = 30.0
TIMEOUT_S = 0.5
PATIENT = Backoff(attempts=4, base_s=0.02, cap_s=0.1)


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"expected within {DEADLINE_S:g} s: {what}")
        time.sleep(0.01)


def port_of(server: EmbeddedRedis) -> int:
    return RedisAccess.parse(server.url).port


def replicated(replica: RedisClient) -> bool:
    facts = replica.info("replication")
    return (facts["role"], facts.get("master_link_status")) == ("slave", "up")


@contextmanager
def sentinel(primary: EmbeddedRedis, folder: Path, *more: str) -> Iterator[int]:
    """The port of a Sentinel that watches the primary and knows its replica."""
    port = free_port()
    config = folder / "sentinel.conf"
    lines = [
        f"port {port}",
        "bind 127.0.0.1",
        f"dir {folder}",
        f"sentinel monitor risk 127.0.0.1 {port_of(primary)} 1",
        "sentinel down-after-milliseconds risk 300",
        "sentinel failover-timeout risk 3000",
        *more,
    ]
    config.write_text("\n".join(lines) + "\n")
    command = bound_to_us([str(find_redis_server()), str(config), "--sentinel"])
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield port
    finally:
        end(process)


class Trio:
    """A primary, its replica and a Sentinel."""

    def __init__(self, primary: EmbeddedRedis, replica: EmbeddedRedis, sentinel_port: int) -> None:
        self.primary = primary
        self.replica = replica
        # Nobody is at the first: the next one is asked.
        self.sentinels = Sentinels((("127.0.0.1", free_port()), ("127.0.0.1", sentinel_port)), "risk")

    def client(self) -> RedisClient:
        return connect(RedisAccess(sentinels=self.sentinels), timeout_s=TIMEOUT_S)

    def ask(self, *command: str | int) -> object:
        host, port = self.sentinels.addresses[1]
        client = connect(RedisAccess(host, port), timeout_s=TIMEOUT_S)
        try:
            return client.execute_command(*command)
        finally:
            client.close()


@pytest.fixture
def trio(tmp_path: Path) -> Iterator[Trio]:
    with ExitStack() as stack:
        primary = stack.enter_context(EmbeddedRedis(tmp_path / "primary", port=0))
        replica = stack.enter_context(EmbeddedRedis(tmp_path / "replica", port=0))
        client = primary.client()
        client.execute_command("CONFIG", "SET", "repl-diskless-sync-delay", 0)
        client.close()
        client = replica.client()
        client.execute_command("REPLICAOF", "127.0.0.1", port_of(primary))
        until(lambda: replicated(client), "a replica in step")
        client.close()
        (tmp_path / "sentinel").mkdir()
        made = Trio(primary, replica, stack.enter_context(sentinel(primary, tmp_path / "sentinel")))

        def watches() -> bool:
            try:
                return bool(made.ask("SENTINEL", "REPLICAS", "risk"))
            except RedisError:
                return False

        until(watches, "a Sentinel that knows the replica")
        yield made


def batch_done(ledger: RedisLedger, number: int) -> None:
    made = outcome([change(f"c{number}", f"m{number}".encode()), change("all", f"m{number}".encode())], clock=number)
    made.alerts = [alert(seq=number, customer_id=f"c{number}")]
    ledger.commit([made], position(number))


def apply_all(client: RedisClient, middle: Callable[[], object]) -> tuple[int, int]:
    """Apply every batch as a worker does; `middle` is called in a thread meanwhile.

    Returns how often it had to go back to the ledger, and by how many batches in all.
    """
    ledger = redis_ledger(client, sleep=time.sleep, backoff=PATIENT)
    done = n_returns = n_again = 0
    owned = False
    deadline = time.monotonic() + DEADLINE_S
    thread = threading.Thread(target=middle)
    while done < N_BATCHES:
        assert time.monotonic() < deadline, f"stuck at batch {done}"
        try:
            if not owned:
                ledger.claim()
                found = ledger.open(SETTINGS)
                at = 0 if found is None else found.position.next_offset
                n_again += max(0, done - at)
                done, owned = at, True
            if done == N_BATCHES // 3 and thread.ident is None:
                thread.start()
            # Slower than the machine can, so that what happens meanwhile happens in the middle.
            batch_done(ledger, done + 1)
            done += 1
            if done == N_BATCHES - 1:
                thread.join()
        except (StoreUnavailable, LedgerConflict):
            n_returns, owned = n_returns + 1, False
    return n_returns, n_again


def assert_each_once(client: RedisClient) -> None:
    record = redis_ledger(client).open(SETTINGS)
    assert record is not None
    assert (record.position.next_offset, record.batches) == (N_BATCHES, N_BATCHES)
    wanted = {f"c{n}": f"m{n}".encode() for n in range(1, N_BATCHES + 1)} | {"all": f"m{N_BATCHES}".encode()}
    assert redis_ledger(client).load(0, list(wanted)) == wanted
    assert [each.seq for each in RiskBoard(client).alerts(count=2 * N_BATCHES)] == list(range(1, N_BATCHES + 1))
    assert verify(client) == []


def primary_port(client: RedisClient) -> int:
    return int(client.info("server")["tcp_port"])


def test_a_primary_that_is_killed_is_followed(trio: Trio) -> None:
    client = trio.client()
    assert primary_port(client) == port_of(trio.primary)

    def killed() -> None:
        trio.primary.kill()
        until(lambda: is_primary(trio.replica), "the replica as primary")

    n_returns, _ = apply_all(client, killed)
    assert n_returns > 0
    assert primary_port(client) == port_of(trio.replica)
    assert_each_once(client)
    client.close()


def is_primary(server: EmbeddedRedis) -> bool:
    client = server.client(timeout_s=TIMEOUT_S)
    try:
        return bool(client.info("replication")["role"] == "master")
    except RedisError:
        return False
    finally:
        client.close()


def agreed(trio: Trio) -> bool:
    try:
        return bool(trio.ask("SENTINEL", "FAILOVER", "risk"))
    except ResponseError:  # NOGOODSLAVE
        return False


@pytest.mark.slow  # Sentinel waits 8 s before it makes a primary that still answers a replica
def test_a_primary_that_steps_down_is_followed(trio: Trio) -> None:
    client = trio.client()

    def stepped_down() -> None:
        until(lambda: agreed(trio), "a Sentinel that finds the replica fit")
        until(lambda: is_primary(trio.replica) and not is_primary(trio.primary), "roles that have changed")

    apply_all(client, stepped_down)
    assert primary_port(client) == port_of(trio.replica)
    assert_each_once(client)
    client.close()


@pytest.mark.slow  # as above
def test_a_primary_that_freezes_and_thaws_is_left_behind(trio: Trio) -> None:
    client = trio.client()

    def frozen() -> None:
        kill(trio.primary.pid, signal.SIGSTOP)
        try:
            until(lambda: is_primary(trio.replica), "the replica as primary")
        finally:
            kill(trio.primary.pid, signal.SIGCONT)
        # Until then whoever finds the former primary may write to it, in vain.
        until(lambda: not is_primary(trio.primary), "the former primary as replica")

    apply_all(client, frozen)
    assert primary_port(client) == port_of(trio.replica)
    assert_each_once(client)
    client.close()


def test_batches_that_the_new_primary_lacks_are_applied_again(trio: Trio) -> None:
    client = trio.client()
    ledger = redis_ledger(client, sleep=time.sleep, backoff=Backoff(attempts=100, base_s=0.05, cap_s=0.05))
    ledger.claim()
    ledger.open(SETTINGS)
    batch_done(ledger, 1)
    replica = trio.replica.client()
    until(lambda: redis_offset(replica) == 1, "the first batch at the replica")
    # From here on the replica cannot log in: as if the network between the two were cut.
    replica.execute_command("CONFIG", "SET", "masterauth", "wrong")
    primary = trio.primary.client()
    primary.execute_command("CLIENT", "KILL", "TYPE", "replica")
    until(lambda: not replicated(replica), "a replica that has lost its primary")
    primary.close()
    batch_done(ledger, 2)
    trio.primary.kill()
    with pytest.raises(LedgerConflict):
        batch_done(ledger, 3)
    ledger.claim()
    found = ledger.open(SETTINGS)
    assert found is not None
    assert found.position.next_offset == 1
    apply_all(client, lambda: None)
    assert_each_once(client)
    replica.close()
    client.close()


def redis_offset(client: RedisClient) -> int:
    offset = client.execute_command("HGET", "henji:{0}:partition:events:0", "next_offset")
    return 0 if offset is None else int(offset)


def test_a_server_that_became_a_replica_is_left_for_a_new_connection(tmp_path: Path) -> None:
    # Without Sentinels: a name or a proxy may lead to the new primary by now.
    with EmbeddedRedis(tmp_path, port=0) as server:
        client, other = connect(server.url, timeout_s=TIMEOUT_S), server.client()
        before = client.execute_command("CLIENT", "ID")
        assert client.execute_command("CLIENT", "ID") == before
        other.execute_command("REPLICAOF", "127.0.0.1", free_port())
        with pytest.raises(StoreUnavailable, match="expected a primary, got a replica"), talking("write"):
            client.execute_command("SET", "key", "value")
        assert client.execute_command("CLIENT", "ID") != before
        other.close()
        client.close()


@pytest.mark.parametrize("service", ["risk", "unknown"])
def test_sentinels_that_know_no_primary_are_told(service: str) -> None:
    client = connect(RedisAccess(sentinels=Sentinels((("127.0.0.1", free_port()),), service)), timeout_s=TIMEOUT_S)
    with pytest.raises(StoreUnavailable, match=f"No master found for '{service}' : 127"), talking("ping"):
        client.execute_command("PING")
    client.close()


def test_users_of_redis_and_of_the_sentinels_log_in(tmp_path: Path) -> None:
    password, another = "a-password-0f-a-test", "an0ther-password"
    with EmbeddedRedis(port=0) as primary, sentinel(primary, tmp_path, f"requirepass {another}") as port:
        admin = primary.client()
        admin.execute_command("ACL", "SETUSER", "ann", "on", f">{password}", "+ping")
        admin.close()
        address = (("127.0.0.1", port),)

        def answer(sentinels: Sentinels) -> object:
            client = connect(RedisAccess(user="ann", password=password, sentinels=sentinels), timeout_s=TIMEOUT_S)
            try:
                with talking("ping"):
                    return client.execute_command("PING")
            finally:
                client.close()

        def logged_in() -> bool:
            try:
                return bool(answer(Sentinels(address, "risk", password=another)))
            except StoreUnavailable:
                return False

        until(logged_in, "a Sentinel that answers")
        for wrong in ("", "wrong-password"):
            with pytest.raises((UsageError, StoreUnavailable)) as caught:
                answer(Sentinels(address, "risk", password=wrong))
            assert "password" not in str(caught.value).replace("user, password", "").replace("-password pair", "")
