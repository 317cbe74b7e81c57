"""What people see and use of a demo: the console, and the intake through which what they do comes in."""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.demo.deployment import Deployment
from streams.demo.program import Program

__all__ = ["Front"]

_INTAKE_SAID = r"henji intake: (http://\S+)"
_CONSOLE_SAID = r"henji console: (http://\S+)"
_LINK_SAID = r"henji console: nobody .*?(http://\S+)"


class Front:
    """An intake and a console beside a deployment; entered, they answer.

    Parameters
    ----------
    directory
        For accounts, tokens and logs; exists.
    deployment
        Entered.
    port
        Of the console on loopback; 0 takes a free one.

    Raises
    ------
    HenjiError
        On entering, if one of them does not start.
    """

    def __init__(self, directory: Path, deployment: Deployment, port: int) -> None:
        self._directory = directory
        self._deployment = deployment
        self._port = port
        self._stack = ExitStack()
        self.url = self.link = ""

    def __enter__(self) -> Self:
        token = secrets.token_urlsafe(32)
        tokens, mine = self._directory / "intake-tokens", self._directory / "console-token"
        for path, text in ((tokens, f"console:control:{token}\n"), (mine, f"{token}\n")):
            path.touch(mode=0o600)
            path.write_text(text, "utf-8")
        connection = self._deployment.connection
        with ExitStack() as stack:
            intake = Program(
                "intake",
                ["--kafka", ",".join(connection.brokers), "--topic", self._deployment.topic,
                 "--listen", "127.0.0.1:0", "--token-file", str(tokens)],
                self._directory / "intake.log",
            )  # fmt: skip
            intake.start()
            stack.callback(intake.stop)
            console = Program(
                "console",
                ["--redis", self._deployment.redis_url, "--prefix", self._deployment.keys.prefix,
                 "--port", str(self._port), "--intake", intake.said(_INTAKE_SAID), "--intake-token-file", str(mine),
                 "--accounts", str(self._directory / "console.sqlite")],
                self._directory / "console.log",
            )  # fmt: skip
            console.start()
            stack.callback(console.stop)
            self.url, self.link = console.said(_CONSOLE_SAID), console.said(_LINK_SAID)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
