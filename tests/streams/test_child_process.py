from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from streams.child_process import end, free_port

STUBBORN = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); sys.stdin.read()"

PARENT = """
import os, signal, subprocess, sys
from streams.child_process import bound_to_us
child = subprocess.Popen(bound_to_us([sys.executable, "-c", sys.argv[1]], how=signal.SIGKILL), stdout=subprocess.PIPE)
child.stdout.readline()
os.kill(child.pid, signal.SIGSTOP)
print(child.pid, flush=True)
sys.stdin.read()
"""


def test_a_child_that_does_not_end_when_asked_is_killed_and_reaped() -> None:
    with subprocess.Popen([sys.executable, "-c", STUBBORN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        child.stdout.readline()
        end(child, patience_s=0.05)
        assert child.returncode == -signal.SIGKILL


def test_ending_what_has_ended_already_is_no_error() -> None:
    with subprocess.Popen(["/bin/true"]) as child:
        child.wait()
        end(child)
        assert child.returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a child that its parent died")
def test_a_frozen_and_stubborn_child_dies_with_a_parent_that_is_killed() -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, STUBBORN],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    with parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        child = os.pidfd_open(pid)
        try:
            parent.kill()
            assert select.select([child], [], [], 10)[0]
        finally:
            os.close(child)


def test_a_free_port_can_be_listened_on_and_is_below_those_of_connections() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)):
        assert port < 32_768
