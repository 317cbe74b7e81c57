"""Redis behind TLS: what the other end must prove, on a server that speaks it, or on one behind a proxy that does."""

from __future__ import annotations

import os
import select
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import pytest
from redis.exceptions import RedisError

from engine.errors import StoreUnavailable, UsageError
from streams.child_process import bound_to_us, end, free_port
from streams.redis.access import RedisAccess, Sentinels
from streams.redis.client import connect, talking
from streams.redis.embedded import EmbeddedRedis, find_redis_server
from tests.streams.redis.samples import SETTINGS, change, outcome, owned, position

PASSWORD = "a-password-0f-a-test"
DEADLINE_S = 20.0


class Pair(NamedTuple):
    """A certificate and its key, as files."""

    cert: Path
    key: Path


class Authority:
    """A CA that signs what it is given, for two days."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self.own = Pair(folder / f"{name}.pem", folder / f"{name}.key")
        self._request(self.own, name, "-x509", "-days", "2", "-addext", "keyUsage=critical,keyCertSign")

    def sign(self, name: str, names: str) -> Pair:
        """A certificate for these subject alternative names."""
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request, more = self._folder / f"{name}.csr", self._folder / f"{name}.ext"
        more.write_text(f"subjectAltName={names}\nauthorityKeyIdentifier=keyid\n")
        self._request(Pair(request, pair.key), name)
        sign = ["x509", "-req", "-days", "2", "-CA", self.own.cert, "-CAkey", self.own.key, "-CAcreateserial"]
        _openssl(*sign, "-extfile", more, "-in", request, "-out", pair.cert)
        return pair

    def _request(self, out: Pair, name: str, *more: str) -> None:
        key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", out.key]
        _openssl("req", *key, "-subj", f"/CN={name}", "-out", out.cert, *more)


def _openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=DEADLINE_S)


class Certificates(NamedTuple):
    ca: Path
    another_ca: Path
    server: Pair
    """For localhost and 127.0.0.1."""
    elsewhere: Pair
    """For another host."""


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    if shutil.which("openssl") is None:
        if os.environ.get("CI"):
            raise FileNotFoundError("openssl")
        pytest.skip("openssl is not there to make certificates")
    folder = tmp_path_factory.mktemp("certificates")
    authority = Authority(folder, "authority")
    return Certificates(
        authority.own.cert,
        Authority(folder, "another").own.cert,
        authority.sign("server", "DNS:localhost,IP:127.0.0.1"),
        authority.sign("elsewhere", "DNS:redis.example"),
    )


class TlsProxy:
    """Takes TLS at a port of 127.0.0.1 and gives it plain to a unix socket."""

    def __init__(self, pair: Pair, target: str) -> None:
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(pair.cert, pair.key)
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._open = [self._listener]
        self._threads: list[threading.Thread] = []
        self.port: int = self._listener.getsockname()[1]

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for each in self._open:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join(DEADLINE_S)

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        self._threads.append(threading.Thread(target=target, args=args, daemon=True))
        self._threads[-1].start()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                plain, _ = self._listener.accept()
                self._open.append(plain)
                self._spawn(self._serve, plain)

    def _serve(self, plain: socket.socket) -> None:
        # A client that does not trust us leaves during the handshake; the end of the test closes what we wait for.
        with plain, suppress(OSError, ValueError), self._context.wrap_socket(plain, server_side=True) as near:
            self._open.append(near)
            with socket.socket(socket.AF_UNIX) as far:
                far.connect(self._target)
                while True:
                    ready = [near] if near.pending() else select.select([near, far], [], [])[0]
                    for source in ready:
                        chunk = source.recv(65_536)
                        if not chunk:
                            return
                        (far if source is near else near).sendall(chunk)


def speaks_tls() -> bool:
    """Whether the redis-server that is here was built with TLS; most wheels are not."""
    # Without a port and told to be a replica of nothing, it ends at once; without TLS it does not know the word.
    asked = subprocess.run(
        [find_redis_server(), "--port", "0", "--tls-protocols", "TLSv1.2", "--maxclients", "none"],
        capture_output=True, text=True, timeout=DEADLINE_S, check=False,
    )  # fmt: skip
    return "tls-protocols" not in asked.stdout + asked.stderr


@contextmanager
def of_itself(pair: Pair, ca: Path, folder: Path, *more: str) -> Iterator[int]:
    """The port of a server that speaks TLS itself, with more words on its command line."""
    port = free_port()
    folder.mkdir(exist_ok=True)
    tls = ["--tls-cert-file", str(pair.cert), "--tls-key-file", str(pair.key), "--tls-ca-cert-file", str(ca)]
    listen = ["--port", "0", "--tls-port", str(port), "--tls-auth-clients", "no", "--bind", "127.0.0.1"]
    (folder / "redis.conf").touch()
    command = [str(find_redis_server()), str(folder / "redis.conf"), *listen, *tls, "--dir", str(folder), *more]
    process = subprocess.Popen(bound_to_us(command), stdout=subprocess.DEVNULL)
    try:
        client = connect(RedisAccess.parse(f"rediss://localhost:{port}", str(ca)))
        deadline = time.monotonic() + DEADLINE_S
        while True:
            try:
                client.execute_command("PING")
                break
            except RedisError:
                if time.monotonic() > deadline:
                    raise
        client.close()
        yield port
    finally:
        end(process)


@pytest.fixture(params=["proxy", "redis"])
def tls_port(
    request: pytest.FixtureRequest, redis_server: EmbeddedRedis, certificates: Certificates, tmp_path: Path
) -> Iterator[int]:
    """The port of a Redis behind TLS, with a certificate for localhost and 127.0.0.1."""
    if request.param == "redis":
        if not speaks_tls():
            pytest.skip("this redis-server was built without TLS")
        with of_itself(certificates.server, certificates.ca, tmp_path) as port:
            yield port
        return
    client = redis_server.client()
    client.execute_command("FLUSHALL")
    client.close()
    with TlsProxy(certificates.server, RedisAccess.parse(redis_server.url).path) as proxy:
        yield proxy.port


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_ledger_is_kept_through_tls(tls_port: int, certificates: Certificates, host: str) -> None:
    client = connect(RedisAccess.parse(f"rediss://{host}:{tls_port}/0", str(certificates.ca)))
    ledger = owned(client)
    ledger.commit([outcome([change(f"c{i}") for i in range(2_000)])], position(1))
    found = ledger.open(SETTINGS)
    client.close()
    assert found is not None
    assert found.position.next_offset == 1


@pytest.mark.parametrize("trusted", ["another", "system"])
def test_a_certificate_of_a_ca_that_is_not_ours_is_refused(
    tls_port: int, certificates: Certificates, trusted: str
) -> None:
    ca = str(certificates.another_ca) if trusted == "another" else ""
    client = connect(RedisAccess.parse(f"rediss://localhost:{tls_port}/0", ca))
    told = r"expected a Redis with a certificate that redis\.ca has signed"
    with pytest.raises(UsageError, match=told), talking("ping"):
        client.execute_command("PING")
    client.close()


def test_a_certificate_of_another_host_is_refused(redis_server: EmbeddedRedis, certificates: Certificates) -> None:
    with TlsProxy(certificates.elsewhere, RedisAccess.parse(redis_server.url).path) as proxy:
        client = connect(RedisAccess.parse(f"rediss://localhost:{proxy.port}/0", str(certificates.ca)))
        with pytest.raises(UsageError, match="Hostname mismatch"), talking("ping"):
            client.execute_command("PING")
        client.close()


def test_a_ca_of_ours_is_the_only_one_that_counts(certificates: Certificates) -> None:
    tls = RedisAccess.parse("rediss://h", str(certificates.ca)).tls
    assert tls is not None
    assert len(tls.get_ca_certs()) == 1


def test_a_server_without_tls_is_not_waited_for(certificates: Certificates, tmp_path: Path) -> None:
    with EmbeddedRedis(tmp_path, port=0) as server:
        url = server.url.replace("redis://", "rediss://")
        # It waits for the rest of what it takes for a command.
        client = connect(RedisAccess.parse(url, str(certificates.ca)), timeout_s=0.3)
        with pytest.raises(StoreUnavailable, match="is it up and reachable"), talking("ping"):
            client.execute_command("PING")
        client.close()


def test_a_user_logs_in_through_tls(redis_server: EmbeddedRedis, certificates: Certificates, tls_port: int) -> None:
    admin = connect(RedisAccess.parse(f"rediss://localhost:{tls_port}/0", str(certificates.ca)))
    admin.execute_command("ACL", "SETUSER", "ann", "on", f">{PASSWORD}", "+ping")
    url = f"rediss://ann:{PASSWORD}@localhost:{tls_port}/0"
    client = connect(RedisAccess.parse(url, str(certificates.ca)))
    assert client.execute_command("PING")
    client.close()
    admin.execute_command("ACL", "DELUSER", "ann")
    admin.close()


def test_the_primary_that_sentinels_name_is_reached_through_tls_and_so_are_they(
    certificates: Certificates, tmp_path: Path
) -> None:
    if not speaks_tls():
        pytest.skip("this redis-server was built without TLS")
    pair, ca = certificates.server, certificates.ca
    tls = RedisAccess.parse("rediss://h", str(ca)).tls
    with of_itself(pair, ca, tmp_path / "primary") as primary:
        watch = ["--tls-replication", "yes", "--sentinel", "monitor", "risk", "127.0.0.1", str(primary), "1"]
        with of_itself(pair, ca, tmp_path / "watcher", "--sentinel", *watch) as watcher:
            client = connect(RedisAccess(tls=tls, sentinels=Sentinels((("localhost", watcher),), "risk")))
            deadline = time.monotonic() + DEADLINE_S
            while True:
                try:
                    found = client.info("server")["tcp_port"]
                    break
                except RedisError:
                    if time.monotonic() > deadline:
                        raise
            assert found == primary
            client.close()
