"""A TCP proxy before Redis that loses what it is told to lose."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Literal, Self

from streams.redis.client import RedisClient, connect

_EXEC = b"$4\r\nEXEC\r\n"
_ANSWER_OF_EXEC = re.compile(rb"\*\d+\r\n")

Fault = Literal["lose_reply", "lose_request"]


class LossyProxy:
    """Loses one EXEC, or its reply, for every fault in the list `faults`; other traffic goes through."""

    def __init__(self, unix_url: str) -> None:
        self._path = unix_url.removeprefix("unix://").partition("?")[0]
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self.faults: list[Fault] = []
        self.refuse_after = False

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._open:
            _close(each)
        for thread in self._threads:
            thread.join(10)

    def client(self) -> RedisClient:
        return connect(f"redis://127.0.0.1:{self._listener.getsockname()[1]}/0")

    def _spawn(self, target: object, *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)  # type: ignore[arg-type]  # any of ours
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listener.accept()
                far = socket.socket(socket.AF_UNIX)
                self._open += [near, far]
                far.connect(self._path)
                lost = threading.Event()
                self._spawn(self._forth, near, far, lost)
                self._spawn(self._back, near, far, lost)

    def _forth(self, near: socket.socket, far: socket.socket, lost: threading.Event) -> None:
        tail = b""
        with suppress(OSError):
            while chunk := near.recv(65536):
                if self.faults and _EXEC in tail + chunk:
                    if self.faults[0] == "lose_request":
                        self._lost(near, far)
                        return
                    lost.set()
                tail = (tail + chunk)[1 - len(_EXEC) :]
                far.sendall(chunk)
        _close(near, far)

    def _back(self, near: socket.socket, far: socket.socket, lost: threading.Event) -> None:
        seen = b""
        with suppress(OSError):
            while chunk := far.recv(65536):
                if not lost.is_set():
                    near.sendall(chunk)
                    continue
                seen += chunk
                # Only when the transaction is done: its answer is the first array.
                if _ANSWER_OF_EXEC.search(seen):
                    self._lost(near, far)
                    return
        _close(near, far)

    def _lost(self, near: socket.socket, far: socket.socket) -> None:
        self.faults.pop(0)
        if self.refuse_after:
            _close(self._listener)
        _close(near, far)


def _close(*sockets: socket.socket) -> None:
    for each in sockets:
        with suppress(OSError):
            each.shutdown(socket.SHUT_RDWR)
        each.close()
