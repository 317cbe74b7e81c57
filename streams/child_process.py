"""Servers that we start ourselves: they end when we do, and listen where nobody else will."""

from __future__ import annotations

import os
import random
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

__all__ = ["STOP_S", "bound_to_us", "end", "free_port"]

STOP_S = 10.0
"""How long a server may take to write what it holds when asked to stop, before it is killed; seconds."""

# A server must not outlive us, however we end. A preexec_fn would do the same but is unsafe with threads, so a second
# interpreter asks the kernel and then becomes the server. 1 is PR_SET_PDEATHSIG. The parent may have died before the
# request: then its id has changed.
_TRAMPOLINE = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, int(sys.argv[2]), 0, 0, 0)
if os.getppid() != int(sys.argv[1]):
    sys.exit(1)
os.execv(sys.argv[3], sys.argv[3:])
"""

# Below the ports that Linux (from 32768) and macOS (from 49152) hand out to connections. On one of those, a client that
# keeps trying while the server is down can be given the server's own port, connect to itself, and keep it.
_PORTS = range(20_000, 32_768)
_PORT_TRIES = 100


def bound_to_us(command: Sequence[str], *, how: signal.Signals = signal.SIGTERM) -> list[str]:
    """The command that runs `command` in the same process, and on Linux ends it with the thread that starts it.

    So start servers from the main thread. Elsewhere a server outlives a parent that is killed.

    Parameters
    ----------
    command
        Absolute path of a program, and its arguments.
    how
        The signal that it gets when we end; `SIGKILL` for one that has nothing to write, or that may be stopped
        (`SIGSTOP`) at that time.

    Examples
    --------
    >>> subprocess.run(bound_to_us(["/bin/echo", "hello"]), capture_output=True, text=True).stdout.strip()
    'hello'
    """
    if sys.platform == "linux" and sys.executable:
        # -I -S: nothing of the environment, no site packages; a few ms instead of some dozens.
        return [sys.executable, "-I", "-S", "-c", _TRAMPOLINE, str(os.getpid()), str(int(how)), *command]
    return list(command)


def end(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGTERM, *, patience_s: float = STOP_S) -> None:
    """End a child and reap it: by the signal, and by SIGKILL when that takes longer than `patience_s` seconds."""
    process.send_signal(how)
    try:
        process.wait(patience_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def free_port() -> int:
    """A port of 127.0.0.1 that is free now, and that the kernel will not give to a connection meanwhile.

    Another program may still take it before it is used: try again with another one then.

    Examples
    --------
    >>> 20_000 <= free_port() < 32_768
    True
    """
    # Not from the seeds of anything that is tested: two processes would try the same ports in the same order.
    draw = random.SystemRandom()
    for _ in range(_PORT_TRIES):
        port = draw.choice(_PORTS)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        last: int = probe.getsockname()[1]
        return last
