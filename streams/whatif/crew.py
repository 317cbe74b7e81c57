"""Passes over a log, in processes beside each other; the answers do not depend on how many there are.

Each process does one job at a time and lives no longer than we do. They are started as programs of their own: a fork
would copy threads and locks that nobody holds there.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any

from engine.errors import HenjiError, RecoverableError, UsageError
from streams.child_process import bound_to_us, end
from streams.whatif.job import Job, PastJob
from streams.whatif.past import Past
from streams.whatif.tally import Tally

__all__ = ["EVERY_S", "available_cores", "main", "parse_cores", "run_jobs"]

EVERY_S = 0.2
"""How often a process says how far it is, seconds."""

# Not the module by its name: a folder `streams` where the user stands would be found first.
_START = "import sys; sys.path[:] = {path!r}; from streams.whatif.crew import main; main({descriptor})"


def available_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def parse_cores(text: str) -> int:
    """How many processes, at least one.

    Raises
    ------
    UsageError
        If it is neither `auto` nor a whole number from 1 to 256.

    Examples
    --------
    >>> parse_cores("3")
    3
    """
    if text == "auto":
        return available_cores()
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= 256:
        return int(text)
    raise UsageError(f"--cores: expected auto or a whole number from 1 to 256, got {text!r}")


def run_jobs(
    jobs: Sequence[Job], cores: int = 1, on_step: Callable[[float, int], None] = lambda _share, _n: None
) -> list[Tally | Past]:
    """Do all jobs.

    Start it from the main thread: on Linux the processes end with the thread that started them.

    Parameters
    ----------
    jobs
        In the order of the answers.
    cores
        Most processes at a time; 1: this one, one job after another.
    on_step
        Called with the share of all work that is done (0 to 1) and the records read by all jobs together.

    Returns
    -------
    list of Tally or Past
        One per job.

    Raises
    ------
    HenjiError
        What the first job that failed raised; the others are ended.
    RecoverableError
        If a process has died.
    """
    done = [(0.0, 0)] * len(jobs)

    def step(place: int, share: float, n: int) -> None:
        done[place] = (min(share, 1.0), n)
        on_step(sum(each for each, _ in done) / len(jobs), sum(n for _, n in done))

    if cores == 1 or len(jobs) == 1:
        return [job.run(lambda share, n, place=place: step(place, share, n)) for place, job in enumerate(jobs)]  # type: ignore[misc] # mypy sees no default of a lambda
    found: dict[int, Tally | Past] = {}
    # What the engine works on first, since that takes longest.
    waiting = sorted(range(len(jobs)), key=lambda place: isinstance(jobs[place], PastJob), reverse=True)
    at_work: dict[Connection, _Member] = {}
    try:
        while waiting or at_work:
            while waiting and len(at_work) < cores:
                place = waiting.pop()
                member = _Member(place, jobs[place])
                at_work[member.connection] = member
            for ready in wait(list(at_work)):
                assert isinstance(ready, Connection)
                member = at_work[ready]
                word, answer = member.next()
                if word == "step":
                    step(member.place, *answer)
                    continue
                del at_work[ready]
                member.close()
                if word == "failed":
                    raise answer
                found[member.place] = answer
    finally:
        for member in at_work.values():
            member.close()
    return [found[place] for place in range(len(jobs))]


class _Member:
    """A process with its job."""

    def __init__(self, place: int, job: Job) -> None:
        self.place = place
        ours, theirs = socket.socketpair()
        with theirs:
            os.set_inheritable(theirs.fileno(), True)
            program = _START.format(path=sys.path, descriptor=theirs.fileno())
            # It has nothing to write when we end, and Ctrl-C is for us.
            command = bound_to_us([sys.executable, "-P", "-c", program], how=signal.SIGKILL)
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], start_new_session=True
            )
        self.connection = Connection(ours.detach())
        with suppress(BrokenPipeError, ConnectionResetError):
            self.connection.send(job)

    def next(self) -> tuple[str, Any]:
        """What it says next: (`step`, (share, n)), (`done`, answer) or (`failed`, error)."""
        try:
            message: tuple[str, Any] = self.connection.recv()
        except (EOFError, ConnectionResetError):
            code = self.process.wait()
            return "failed", RecoverableError(
                f"whatif: expected a process to end its replay, got its end with code {code}; if memory was short, "
                "give --cores 1 or compare fewer variants"
            )
        return message

    def close(self) -> None:
        """End the process and reap it."""
        self.connection.close()
        end(self.process, signal.SIGKILL)


def main(descriptor: int) -> None:
    """What a process does: get a job, say how far it is, give the answer."""
    connection = Connection(descriptor)
    job: Job = connection.recv()
    last = time.monotonic()

    def step(share: float, n: int) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= EVERY_S or share >= 1:
            last = now
            connection.send(("step", (share, n)))

    try:
        connection.send(("done", job.run(step)))
    except HenjiError as error:
        connection.send(("failed", error))
    except BrokenPipeError:
        # Who asked is gone, and so is the need for an answer.
        return
