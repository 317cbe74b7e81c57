"""Accounts as admins manage them, on the page and on the command line, and the file that holds them."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest

from engine.errors import ConfigurationError, CorruptState, StateIncompatible
from streams.cli import main
from streams.console.accounts import Accounts
from streams.console.audit import KEEP_MS, Audit
from streams.console.file import ConsoleFile
from streams.console.roles import Role
from streams.redis.client import RedisClient
from streams.redis.embedded import EmbeddedRedis
from tests.streams.console.running import PASSWORD, Clock, Console, law


def token_of(link: str) -> str:
    return link.rpartition("/")[2]


@pytest.mark.usefixtures("redis_client")
def test_an_account_begins_with_a_link_for_its_owner_alone(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        root = await console.person("root", "admin")
        answer = await root.post("/api/users", {"name": "Anna", "role": "agent"})
        assert answer.status == 201
        token = token_of(answer.json["link"])
        for name in ("anna", "", "a b", "a/b", "<b>", "-x", "x" * 65, "x\u202e"):
            assert (await root.post("/api/users", {"name": name, "role": "agent"})).code == "invalid"
        assert (await root.post("/api/users", {"name": "otto", "role": "boss"})).code == "invalid"
        anna = console.browser()
        assert (await anna.login("anna")).code == "bad_login"
        body = {"token": token, "name": "otto", "password": PASSWORD}
        assert (await anna.post("/api/setup", body)).code == "invalid"
        assert (await anna.post("/api/setup", {**body, "name": "ANNA"})).json == {"name": "Anna"}
        assert (await anna.login("anna")).json["user"] == {
            "name": "Anna", "role": "agent", "totp": False, "must_change": False,
        }  # fmt: skip
        assert (
            await anna.post("/api/setup", {**body, "name": "Anna", "password": "another password"})
        ).code == "invalid"
        users = (await root.get("/api/users")).json
        assert [(user["name"], user["role"], user["password"]) for user in users] == [
            ("Anna", "agent", True), ("root", "admin", True),
        ]  # fmt: skip
        assert PASSWORD not in (await root.get("/api/users")).body.decode()

    law(test, redis_server, tmp_path)


@pytest.mark.usefixtures("redis_client")
def test_a_link_holds_for_a_day_and_only_the_newest(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        root = await console.person("root", "admin")
        first = token_of((await root.post("/api/users", {"name": "anna", "role": "agent"})).json["link"])
        second = token_of((await root.post("/api/users/anna", {"reset": True})).json["link"])
        body = {"name": "anna", "password": PASSWORD}
        browser = console.browser()
        await browser.begin()
        assert (await browser.post("/api/setup", {**body, "token": first})).code == "invalid"
        console.clock.forward(hours=24)
        assert (await browser.post("/api/setup", {**body, "token": second})).code == "invalid"

    law(test, redis_server, tmp_path)


@pytest.mark.usefixtures("redis_client")
@pytest.mark.parametrize("change", [{"role": "viewer"}, {"disabled": True}, {"reset": True}])
def test_what_an_admin_changes_ends_the_sessions_of_the_account(
    change: dict[str, object], redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        root, anna = await console.person("root", "admin"), await console.person("anna", "lead")
        assert (await root.post("/api/users/anna", change)).status == 200
        assert (await anna.get("/api/alerts")).code == "unauthenticated"
        logged_in = await anna.login("anna")
        if "role" in change:
            assert logged_in.json["user"]["role"] == "viewer"
        else:
            assert logged_in.code == "bad_login"
        for wrong in ({}, {"role": "boss"}, {"disabled": 1}, {"reset": "yes"}, {"password": "x"}):
            assert (await root.post("/api/users/anna", wrong)).code == "invalid"
        assert (await root.post("/api/users/nobody", change)).code == "not_found"

    law(test, redis_server, tmp_path)


@pytest.mark.usefixtures("redis_client")
def test_there_is_always_an_admin_left(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        root = await console.person("root", "admin")
        await root.post("/api/users", {"name": "new", "role": "admin"})  # who has no password yet
        for change in ({"role": "lead"}, {"disabled": True}, {"reset": True}):
            assert (await root.post("/api/users/root", change)).code == "invalid"
        assert (await root.get("/api/users")).status == 200
        await console.person("second", "admin")
        assert (await root.post("/api/users/second", {"role": "lead"})).status == 200

    law(test, redis_server, tmp_path)


@pytest.mark.usefixtures("redis_client")
def test_the_audit_is_read_page_by_page(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        root = await console.person("root", "admin")
        for n in range(5):
            await root.post("/api/users", {"name": f"u{n}", "role": "viewer"})
        first = (await root.get("/api/audit?limit=3")).json
        assert [(entry["what"], entry["about"]) for entry in first] == [("user_add", f"u{n}") for n in (4, 3, 2)]
        assert set(first[0]) == {"id", "at", "who", "what", "about", "detail"}
        rest = (await root.get(f"/api/audit?before={first[-1]['id']}")).json
        assert [entry["what"] for entry in rest] == ["user_add", "user_add", "login"]

    law(test, redis_server, tmp_path)


def test_the_audit_is_never_changed_and_only_what_is_old_goes(tmp_path: Path) -> None:
    clock, file = Clock(), ConsoleFile(tmp_path / "console.sqlite")
    audit = Audit(file, clock)
    audit.note("anna", "login")
    for sql in (
        "UPDATE audit SET who = 'otto'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT * FROM audit",
    ):
        with pytest.raises(sqlite3.IntegrityError, match="audit: entries"):
            file.write(sql)
    assert audit.prune() == 0
    clock.forward(ms=KEEP_MS + 1)
    audit.note("anna", "logout")
    with pytest.raises(sqlite3.IntegrityError, match="entries are kept"):
        file.write("DELETE FROM audit")
    assert audit.prune() == 1
    assert [entry["what"] for entry in audit.page(None, 10)] == ["logout"]
    file.close()


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "console.sqlite"
    file = ConsoleFile(path)
    Audit(file, Clock()).note("anna", "login")
    for each in tmp_path.iterdir():
        assert stat.S_IMODE(each.stat().st_mode) == 0o600, each
    file.close()
    path.chmod(0o640)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        ConsoleFile(path)


def test_another_programs_file_and_a_newer_one_are_left_alone(tmp_path: Path) -> None:
    other, newer, damaged, nowhere = (tmp_path / name for name in ("other", "newer", "damaged", "no/such/place"))
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    ConsoleFile(newer).close()
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 3")
    connection.close()
    damaged.write_bytes(b"no database" * 1000)
    for path in (other, damaged):
        path.chmod(0o600)
        with pytest.raises(CorruptState, match="expected a file of"):
            ConsoleFile(path)
    with pytest.raises(StateIncompatible, match="schema 2, got 3"):
        ConsoleFile(newer)
    with pytest.raises(ConfigurationError, match="--accounts"):
        ConsoleFile(nowhere)


def test_a_file_from_before_there_were_providers_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "console.sqlite"
    file = ConsoleFile(path)
    Accounts(file, Clock()).add("anna", "agent")
    file.close()
    with sqlite3.connect(path) as connection:
        connection.executescript(
            "DROP INDEX users_of_provider; ALTER TABLE users DROP COLUMN subject; PRAGMA user_version = 1;"
        )
    connection.close()
    for _ in range(2):
        file = ConsoleFile(path)
        again = Accounts(file, Clock())
        assert [each.name for each in again.all() if each.subject is None] == ["anna"]
        assert again.take_external("https://id.example 1", "otto", Role.LEAD).role is Role.LEAD
        file.close()


@pytest.mark.usefixtures("redis_client")
def test_the_command_line_manages_accounts_while_the_console_runs(
    redis_server: EmbeddedRedis, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*words: str) -> tuple[int, str]:
        code = main(["console", "users", *words, "--accounts", str(tmp_path / "console.sqlite")])
        return code, "".join(capsys.readouterr())

    async def test(console: Console) -> None:
        code, said = run("link")
        assert (code, said.startswith("http://127.0.0.1:8080/#/setup/")) == (0, True)
        browser = console.browser()
        await browser.begin()
        body = {"token": token_of(said.strip()), "name": "root", "password": PASSWORD}
        assert (await browser.post("/api/setup", body)).status == 200
        assert (await browser.login("root")).status == 200
        assert run("link")[0] == 2
        assert run("add", "anna", "--role", "agent", "--url", "https://desk.example/")[1].startswith(
            "https://desk.example/#"
        )
        assert run("add", "anna", "--role", "agent")[0] == 2
        assert run("add", "b", "--role", "boss")[0] == 2
        assert run("role", "anna", "lead")[0] == 0
        assert run("disable", "nobody")[0] == 2
        assert run("disable", "root")[0] == 2, "the last admin"
        listed = run("list")[1]
        assert "anna" in listed
        assert "lead" in listed
        # Whoever may write the file may mend a lost password of the last admin.
        code, said = run("reset", "root")
        assert code == 0
        assert (await browser.get("/api/alerts")).code == "unauthenticated"
        assert (await browser.post("/api/setup", {**body, "token": token_of(said.strip())})).status == 200
        assert {who for who, what, _ in console.audited() if what.startswith("user_")} == {"command line"}

    law(test, redis_server, tmp_path)


def test_a_console_that_nobody_would_know_by_name_does_not_start(
    redis_server: EmbeddedRedis, redis_client: RedisClient, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    accounts = ["--accounts", str(tmp_path / "console.sqlite")]
    for words, told in (
        (["--redis", redis_server.url, "--port", "0", "--host", "0.0.0.0"], "--public-url"),
        (["--redis", redis_server.url, "--port", "0", "--public-url", "desk.example"], "--public-url"),
        (["--redis", redis_server.url, "--port", "0", "--public-url", "https://a@desk.example"], "--public-url"),
        (["--redis", redis_server.url, "--tls-cert", "nothing"], "--tls-key"),
        (["--redis", redis_server.url, "--tls-cert", "nothing", "--tls-key", "nothing"], "--tls-cert"),
        (["--redis", redis_server.url, "--intake-token-file", "token"], "--intake"),
        (["--redis", redis_server.url, "--prefix", "risk"], "redis.prefix"),
        (["--redis", "none"], "--redis"),
    ):  # fmt: skip
        assert main(["console", *words, *accounts]) == 2
        assert told in capsys.readouterr().err
