"""A command of henji as a child process: the program that is deployed, not a copy of it in this process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from engine.errors import HenjiError
from streams.child_process import bound_to_us, end

__all__ = ["Program"]

_SHOWN_LINES = 20
# It may have to write a whole batch to a machine that is busy.
_PATIENCE_S = 30.0
_LOOK_S = 0.05


class Program:
    """`henji <name>` as a child that ends when we do.

    Parameters
    ----------
    name
        Of the command: `worker`, `intake`, `console`.
    arguments
        Of it.
    log
        File for what it says; appended to.
    """

    def __init__(self, name: str, arguments: Sequence[str], log: Path) -> None:
        self.name = name
        self.log = log
        self._arguments = list(arguments)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        """Its process id; `None` when it does not run."""
        return None if self._process is None else self._process.pid

    def start(self) -> None:
        """Start it; call this in the main thread, with which it ends on Linux."""
        command = bound_to_us([sys.executable, "-m", "streams.cli", self.name, *self._arguments])
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=os.environ | {"PYTHONUNBUFFERED": "1"},
                start_new_session=True,  # Ctrl-C is for us: it finishes what it has in hand when we say so
            )

    def check(self) -> None:
        """See that it runs.

        Raises
        ------
        HenjiError
            If it has ended; with the end of its log.
        """
        code = None if self._process is None else self._process.poll()
        if code is not None:
            self._process = None
            raise HenjiError(
                f"{self.name}: expected it to go on, got exit code {code}; the end of its log says why:\n"
                f"{self.last_lines()}"
            )

    def said(self, pattern: str, *, timeout_s: float = 60.0) -> str:
        """The first group of a regular expression, once a line that it says matches.

        Raises
        ------
        HenjiError
            If it ends before, or says no such thing in time.
        """
        deadline = time.monotonic() + timeout_s
        while True:
            text = self.log.read_text("utf-8", "replace") if self.log.exists() else ""
            if found := re.search(pattern, text):
                return found[1]
            self.check()
            if time.monotonic() > deadline:
                raise HenjiError(
                    f"{self.name}: expected it to start within {timeout_s:g} s, got this:\n{self.last_lines()}"
                )
            time.sleep(_LOOK_S)

    def stop(self) -> None:
        """Let it finish what it has in hand; wait until it is gone."""
        process, self._process = self._process, None
        if process is None:
            return
        try:
            end(process, signal.SIGTERM, patience_s=_PATIENCE_S)
        except BaseException:
            # A second Ctrl-C: whatever is not in the ledger is only lost with the demo.
            process.kill()
            process.wait()
            raise

    def last_lines(self) -> str:
        """The end of what it said."""
        if not self.log.exists():
            return ""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-_SHOWN_LINES:])
