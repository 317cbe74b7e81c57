"""Apache Kafka for tests: fetched from Maven Central once, one node on free ports, which tests may kill and freeze."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from streams.child_process import bound_to_us, end, free_port
from streams.kafka.embedded import answers_as

__all__ = ["CLUSTER", "ApacheKafka", "Installation", "KafkaNotThere", "install"]

JAVA = 17
POM = Path(__file__).with_name("pom.xml")
BUILD = Path(__file__).resolve().parents[2] / "build" / "kafka"

FETCH_S = 600.0
_FORMAT_S = 60.0
_POLL_S = 0.02
_PORT_TRIES = 5
# A broker that stops in order first moves its leaders and writes its indexes.
_STOP_S = 30.0

CLUSTER = "aGVuamktdGVzdHMtMDAwMA"  # 16 bytes in base64, as Kafka wants it
_NODE = 1

# Seconds to start matter here more than records per second: one garbage collector without threads, one compiler.
_JAVA = (
    *("-Xms128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"),
    *("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Dorg.slf4j.simpleLogger.showDateTime=true"),
    # Another Java than the one that wrote them makes nothing of the prepared classes, and should not talk about it.
    *("-Xlog:cds=off", "-Xlog:cds+dynamic=off"),
)


class KafkaNotThere(Exception):
    """Kafka could not be had; `tried` says whether this machine has what is needed to fetch it."""

    def __init__(self, reason: str, *, tried: bool) -> None:
        super().__init__(reason)
        self.tried = tried


@dataclass(frozen=True, slots=True)
class Installation:
    """A Kafka on disk.

    Parameters
    ----------
    java
        The program.
    jars
        A folder with the server and what it needs.
    formatted
        Empty storage of a node, to copy.
    classes
        The classes that a start loads, in a form that the JVM maps instead of reading them: 1 s instead of 2.7 s. Java
        ignores it when it does not fit.
    """

    java: Path
    jars: Path
    formatted: Path
    classes: Path

    def command(self, *arguments: str, heap_mb: int = 256) -> list[str]:
        """The command that runs a class of Kafka."""
        shared = [f"-XX:SharedArchiveFile={self.classes}"] if self.classes.exists() else []
        return [str(self.java), f"-Xmx{heap_mb}m", *_JAVA, *shared, "-cp", f"{self.jars}/*", *arguments]


def install(build: Path = BUILD) -> Installation:
    """Kafka as `pom.xml` names it: what is there already, else from Maven Central. Takes some seconds, once.

    Raises
    ------
    KafkaNotThere
        Without Java or Maven, or when Maven cannot get it.
    """
    java, mvn = shutil.which("java"), shutil.which("mvn")
    if java is None or mvn is None:
        lacking = " and ".join(name for name, path in (("java", java), ("mvn", mvn)) if path is None)
        raise KafkaNotThere(f"Apache Kafka needs a JDK {JAVA} and Maven; not on PATH: {lacking}", tried=False)
    version = subprocess.run([java, "-version"], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    major = re.search(r'version "(\d+)', version.stderr)
    if major is None or int(major[1]) < JAVA:
        said = version.stderr.partition("\n")[0] or "nothing"
        raise KafkaNotThere(f"Apache Kafka needs Java {JAVA}; `java -version` says {said}", tried=False)
    folder = build / hashlib.sha256(POM.read_bytes()).hexdigest()[:12]
    installation = Installation(Path(java), folder / "jars", folder / "formatted", folder / "classes.jsa")
    build.mkdir(parents=True, exist_ok=True)
    with (build / "lock").open("ab") as lock:
        # Of several test processes one fetches it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        ready = folder / "ready"
        if not ready.exists():
            shutil.rmtree(folder, ignore_errors=True)
            _fetch(mvn, installation.jars)
            _prepare(installation)
            ready.touch()
    return installation


def _fetch(mvn: str, jars: Path) -> None:
    goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies"
    command = [
        *(mvn, "--quiet", "--batch-mode", "--file", str(POM), goal),
        *("-DincludeScope=runtime", f"-DoutputDirectory={jars}"),
    ]
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=FETCH_S, check=False)
    except subprocess.TimeoutExpired:
        raise KafkaNotThere(f"Maven did not fetch Apache Kafka within {FETCH_S:g} s", tried=True) from None
    if done.returncode:
        said = done.stdout.decode(errors="replace").strip().splitlines()[:3]
        raise KafkaNotThere(f"Maven could not fetch Apache Kafka: {' '.join(said)}", tried=True)


def _prepare(installation: Installation) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        settings = Path(scratch) / "server.properties"
        settings.write_text(_properties(_settings((1, 2), installation.formatted)))
        format_storage = ["kafka.tools.StorageTool", "format", "-t", CLUSTER, "-c", str(settings)]
        subprocess.run(
            installation.command(*format_storage),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_FORMAT_S,
            check=True,
        )
    with ApacheKafka(installation, java_options=(f"-XX:ArchiveClassesAtExit={installation.classes}",)):
        pass


class ApacheKafka:
    """One Kafka node, broker and controller in one (KRaft), on the loopback address.

    Starts again on the same ports and data after `stop` and `kill`; the data go with `close`, and with the end of the
    `with`. What is not set in `_settings` is as Kafka ships it; a topic may set its retention itself.

    Parameters
    ----------
    installation
        From `install()`.
    rebalance_delay_ms
        `group.initial.rebalance.delay.ms`: how long the first member of a group waits for others. 3000 as shipped;
        none here, as most tests have all their members.
    settings
        Further settings of the broker, e.g. `{"log.retention.check.interval.ms": "100"}`.
    heap_mb
        Of the JVM, MiB.
    timeout_s
        How long it may take to answer after the start.
    java_options
        Further options of the JVM.
    """

    def __init__(
        self,
        installation: Installation,
        *,
        rebalance_delay_ms: int = 0,
        settings: Mapping[str, str] | None = None,
        heap_mb: int = 256,
        timeout_s: float = 60.0,
        java_options: tuple[str, ...] = (),
    ) -> None:
        self._installation = installation
        self._settings = {"group.initial.rebalance.delay.ms": str(rebalance_delay_ms), **(settings or {})}
        self._heap_mb = heap_mb
        self._timeout_s = timeout_s
        self._java_options = java_options
        self._directory: Path | None = None
        self._ports: tuple[int, int] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._paused = False

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def brokers(self) -> str:
        """Where clients find it."""
        assert self._ports is not None, "not started yet"
        return f"127.0.0.1:{self._ports[0]}"

    @property
    def pid(self) -> int:
        """Process id of the running node."""
        assert self._process is not None, "not running"
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has logged, over all its starts."""
        path = self.directory / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    @property
    def directory(self) -> Path:
        """Where its data and its log are."""
        if self._directory is None:
            self._directory = Path(tempfile.mkdtemp(prefix="henji-kafka-"))
        return self._directory

    def start(self) -> None:
        """Start it and wait until it answers."""
        if self._process is not None:
            return
        try:
            self._launch()
        except BaseException:
            self.close()
            raise

    def stop(self) -> None:
        """Stop it in order; its data stay."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Kill it as a crash would; its data stay as they are."""
        self._end(signal.SIGKILL)

    def pause(self) -> None:
        """Freeze it: connections stay open, nothing is answered."""
        os.kill(self.pid, signal.SIGSTOP)
        self._paused = True

    def resume(self) -> None:
        """Let it go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)
        self._paused = False

    def close(self) -> None:
        """Stop it and remove its data."""
        # Nobody reads these data again: no reason to wait for them, except when the classes are to be kept.
        self._end(signal.SIGTERM if self._java_options else signal.SIGKILL)
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None

    def _end(self, how: signal.Signals) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if self._paused:
            process.send_signal(signal.SIGCONT)
            self._paused = False
        end(process, how, patience_s=_STOP_S)

    def _launch(self) -> None:
        data = self.directory / "data"
        if not data.exists():
            shutil.copytree(self._installation.formatted, data)
        for left in reversed(range(_PORT_TRIES)):
            ports = self._ports or (free_port(), free_port())
            settings = self.directory / "server.properties"
            settings.write_text(_properties({**_settings(ports, data), **self._settings}))
            command = self._installation.command("kafka.Kafka", str(settings), heap_mb=self._heap_mb)
            command[1:1] = self._java_options
            with (self.directory / "server.log").open("ab") as log:
                self._process = subprocess.Popen(
                    # It may be frozen when we end, and would not hear a SIGTERM.
                    bound_to_us(command, how=signal.SIGKILL),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=self.directory,
                    start_new_session=True,
                )
            if self._answers(self._process, ports[0]):
                self._ports = ports
                return
            self._process = None
            # Between finding the free ports and using them somebody else may have taken one.
            if self._ports or not left or "already in use" not in self.log:
                break
        raise RuntimeError(f"Apache Kafka ended before it answered; the end of its log:\n{self.log[-2000:]}")

    def _answers(self, process: subprocess.Popen[bytes], port: int) -> bool:
        deadline = time.monotonic() + self._timeout_s
        while time.monotonic() < deadline:
            if answers_as(port, CLUSTER):
                return True
            try:
                process.wait(_POLL_S)
            except subprocess.TimeoutExpired:
                continue
            return False
        raise RuntimeError(
            f"Apache Kafka did not answer within {self._timeout_s:g} s; the end of its log:\n{self.log[-2000:]}"
        )


def _settings(ports: tuple[int, int], data: Path) -> dict[str, str]:
    """Settings of a single node that listens on the ports (broker, controller) of the loopback address."""
    broker, controller = (f"127.0.0.1:{port}" for port in ports)
    return {
        "process.roles": "broker,controller",
        "node.id": str(_NODE),
        "controller.quorum.voters": f"{_NODE}@{controller}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{broker},CONTROLLER://{controller}",
        "advertised.listeners": f"PLAINTEXT://{broker}",
        "log.dirs": str(data),
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "4",
        # Tests write records with times of long ago; retention, first looked at after 30 s, would take them away.
        "log.retention.ms": "-1",
        # After a crash the controller waits for the end of the old session (9 s as shipped) before it takes the broker
        # back; here both are one process, and the wait is all that a restart would measure.
        "broker.session.timeout.ms": "2000",
        "broker.heartbeat.interval.ms": "500",
    }


def _properties(settings: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in settings.items())
