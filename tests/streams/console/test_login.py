"""Logging in and out, and what stops others from doing so."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pyotp
import pytest
from yarl import URL

from streams.console.gate import BACKGROUND_HEADER, COOKIE
from streams.console.throttle import PER_ACCOUNT, PER_ADDRESS
from streams.redis.embedded import EmbeddedRedis
from tests.streams.console.running import PASSWORD, Answer, Console, law

pytestmark = pytest.mark.usefixtures("redis_client")


def test_the_first_admin_is_made_by_a_link_that_works_once(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        link = console.server.first_link()
        assert link is not None
        assert link.startswith(console.server.url + "/#/setup/")
        browser, token = console.browser(), link.rpartition("/")[2]
        assert (await browser.begin()).json["setup"] is True
        body = {"token": token, "name": "root", "password": PASSWORD}
        assert (await browser.post("/api/setup", {**body, "password": "short"})).code == "invalid"
        assert (await browser.post("/api/setup", {**body, "token": "x" * 43})).code == "invalid"
        assert (await browser.post("/api/setup", body)).status == 200
        assert (await browser.post("/api/setup", {**body, "name": "other"})).code == "invalid"
        assert (await browser.login("root")).json["user"]["role"] == "admin"
        assert console.server.first_link() is None
        assert (await browser.begin()).json["setup"] is False

    law(test, redis_server, tmp_path)


def test_an_answer_does_not_tell_what_was_wrong(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        console.add("anna", "agent")
        console.add("otto", "agent")
        console.server.accounts.change("otto", disabled=True)
        console.server.accounts.add("new", "agent")
        browser = console.browser()
        said = []
        for name, password in (("anna", "wrong"), ("nobody", PASSWORD), ("otto", PASSWORD), ("new", PASSWORD)):
            answer = await browser.login(name, password)
            said.append((answer.status, answer.body))
            assert browser.token is not None
            assert (await browser.get("/api/alerts")).code == "unauthenticated"
        assert said == [said[0]] * 4
        assert said[0][0] == 401
        assert ("anna", "login_failed", "password") in console.audited()
        # What is typed as a name is now and then a password.
        assert not any("nobody" in part for entry in console.audited() for part in entry)

    law(test, redis_server, tmp_path)


def test_too_many_attempts_have_to_wait_also_with_the_right_password(
    redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        console.add("anna", "agent")
        browser = console.browser()
        for _ in range(PER_ACCOUNT):
            assert (await browser.login("Anna", "wrong")).code == "bad_login"
        answer = await browser.login("anna")
        assert (answer.status, answer.code) == (429, "too_many")
        wait_s = int(answer.headers["Retry-After"])
        assert 0 < wait_s <= 900
        console.clock.forward(s=wait_s - 1)
        assert (await browser.login("anna")).code == "too_many"
        console.clock.forward(s=1)
        assert (await browser.login("anna")).status == 200
        assert (await browser.login("anna", "wrong")).code == "bad_login"

    law(test, redis_server, tmp_path)


def test_attempts_at_once_are_all_counted(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        console.add("anna", "agent")
        browser = console.browser()
        await browser.begin()
        tries = [browser.post("/api/login", {"name": "anna", "password": f"wrong {n}"}) for n in range(30)]
        codes = [answer.code for answer in await asyncio.gather(*tries)]
        assert codes.count("bad_login") == PER_ACCOUNT
        assert codes.count("too_many") == 30 - PER_ACCOUNT

    law(test, redis_server, tmp_path)


def test_an_address_that_tries_many_names_has_to_wait(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        console.add("anna", "agent")
        browser = console.browser()
        await browser.begin()

        async def attempt(name: str, address: str) -> Answer:
            return await browser.post("/api/login", {"name": name, "password": "x"}, X_Forwarded_For=address)

        for n in range(PER_ADDRESS):
            # The last one is what our proxy saw; what a client wrote before it changes nothing.
            assert (await attempt(f"name{n}", f"10.9.8.{n}, 192.0.2.7")).code == "bad_login"
        assert (await attempt("anna", "192.0.2.7")).code == "too_many"
        assert (await attempt("anna", "192.0.2.8")).code == "bad_login"
        for n in range(PER_ADDRESS):
            await attempt(f"name{n}", f"2001:db8:1:2:{n}::1")
        assert (await attempt("anna", "2001:db8:1:2:ffff::1")).code == "too_many"

    law(test, redis_server, tmp_path, trust_proxy=True)


def test_an_address_that_anybody_can_write_is_not_looked_at(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        browser = console.browser()
        await browser.begin()
        for n in range(PER_ADDRESS):
            await browser.post("/api/login", {"name": f"n{n}", "password": "x"}, X_Forwarded_For=f"192.0.2.{n}")
        answer = await browser.post("/api/login", {"name": "n", "password": "x"}, X_Forwarded_For="192.0.2.99")
        assert answer.code == "too_many"

    law(test, redis_server, tmp_path)


def test_a_session_ends_when_nobody_asks_and_at_the_latest_after_half_a_day(
    redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "agent")
        console.clock.forward(minutes=29)
        assert (await anna.get("/api/rules")).status == 200
        console.clock.forward(minutes=29)
        assert (await anna.get("/api/rules")).status == 200
        console.clock.forward(minutes=30)
        assert (await anna.get("/api/rules")).code == "unauthenticated"
        assert (await anna.begin()).json["user"] is None
        await anna.login("anna")
        for _ in range(25):
            console.clock.forward(minutes=28)
            assert (await anna.get("/api/rules")).status == 200
        console.clock.forward(minutes=20)
        assert (await anna.get("/api/rules")).code == "unauthenticated"
        await anna.login("anna")
        # What the page asks by itself is not somebody at the desk.
        for _ in range(2):
            console.clock.forward(minutes=14)
            assert (await anna.get("/api/rules", **{BACKGROUND_HEADER: "1"})).status == 200
        console.clock.forward(minutes=14)
        assert (await anna.get("/api/rules")).code == "unauthenticated"

    law(test, redis_server, tmp_path)


def test_a_token_from_before_the_login_is_worth_nothing_after_it(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        anna, thief = console.browser(), console.browser()
        console.add("anna", "agent")
        planted = (await thief.begin()).cookies[COOKIE].value
        anna.client.cookie_jar.update_cookies({COOKIE: planted}, URL(console.server.url))
        await anna.login("anna")
        assert anna.token != planted
        assert (await anna.get("/api/rules")).status == 200
        assert (await thief.get("/api/rules")).code == "unauthenticated"
        first = anna.token
        await anna.login("anna")
        assert anna.token not in (first, planted)
        thief.client.cookie_jar.update_cookies({COOKIE: str(first)}, URL(console.server.url))
        assert (await thief.get("/api/rules")).code == "unauthenticated"
        for token in ("", "x", "../" * 5, "a" * 43, "a" * 5000):
            cookie = f"{COOKIE}={token}"
            assert (await thief.get("/api/rules", Cookie=cookie)).status in (400, 401)

    law(test, redis_server, tmp_path)


def test_a_cookie_is_for_the_server_alone(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def plain(console: Console) -> None:
        anna = await console.person("anna", "agent")
        for cookie in ((await console.browser().begin()).cookies[COOKIE], (await anna.login("anna")).cookies[COOKIE]):
            assert cookie["httponly"]
            assert not cookie["secure"]
            assert (cookie["samesite"], cookie["path"], cookie["domain"]) == ("Strict", "/", "")

    async def behind_tls(console: Console) -> None:
        answer = await console.browser().begin()
        assert answer.cookies[COOKIE]["secure"]
        assert answer.headers["Strict-Transport-Security"].startswith("max-age=")

    law(plain, redis_server, tmp_path)
    for options in ({"secure_cookies": True}, {"public_urls": ("https://desk.example",)}):
        law(behind_tls, redis_server, tmp_path, **options)


def test_nothing_secret_is_kept_as_it_is(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "admin")
        link = (await anna.post("/api/users", {"name": "otto", "role": "agent"})).json["link"]
        await anna.login("anna", "a wrong password")
        assert anna.token is not None
        secrets = (anna.token, link.rpartition("/")[2], PASSWORD, "a wrong password")
        stored = b"".join(path.read_bytes() for path in tmp_path.glob("console.sqlite*"))
        assert b"anna" in stored
        assert not [secret for secret in secrets if secret.encode() in stored]

    law(test, redis_server, tmp_path)


def test_logging_out_ends_the_session_on_the_server(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "agent")
        token = str(anna.token)
        assert (await anna.post("/api/logout")).status == 200
        assert anna.token is None
        anna.client.cookie_jar.update_cookies({COOKIE: token}, URL(console.server.url))
        assert (await anna.get("/api/rules")).code == "unauthenticated"
        assert [what for _, what, _ in console.audited()] == ["login", "logout"]

    law(test, redis_server, tmp_path)


def test_a_new_password_ends_all_other_sessions(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        anna, elsewhere = await console.person("anna", "agent"), await console.person("anna", "agent")
        for new in ("short", "x" * 257, "aaaaaaaaaaaaaaaa"):
            assert (await anna.post("/api/password", {"old": PASSWORD, "new": new})).code == "invalid"
        body = {"old": "wrong", "new": "another good password"}
        assert (await anna.post("/api/password", body)).code == "bad_login"
        answer = await anna.post("/api/password", {**body, "old": PASSWORD})
        assert answer.status == 200
        anna.csrf = answer.json["csrf"]
        assert (await anna.get("/api/rules")).status == 200
        assert (await anna.post("/api/logout")).status == 200
        assert (await elsewhere.get("/api/rules")).code == "unauthenticated"
        assert (await anna.login("anna")).code == "bad_login"
        assert (await anna.login("anna", "another good password")).status == 200

    law(test, redis_server, tmp_path)


def test_a_password_is_not_the_name(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        console.add("anna-louisa-maria", "agent")
        anna = console.browser()
        await anna.login("anna-louisa-maria")
        body = {"old": PASSWORD, "new": "Anna-Louisa-Maria"}
        assert (await anna.post("/api/password", body)).code == "invalid"

    law(test, redis_server, tmp_path)


def test_a_code_works_once_and_a_step_off_at_most(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "agent")
        offered = (await anna.post("/api/totp/begin")).json
        totp = pyotp.TOTP(offered["secret"])
        assert offered["uri"].startswith("otpauth://totp/")

        def code(steps: int = 0) -> str:
            return totp.at(console.clock.now_ms // 1000 + 30 * steps)

        assert (await anna.post("/api/totp/confirm", {"code": "000000"})).code == "invalid"
        # Until it is confirmed a password is enough.
        assert (await console.browser().login("anna")).status == 200
        answer = await anna.post("/api/totp/confirm", {"code": code()})
        anna.csrf = answer.json["csrf"]
        assert answer.json["user"]["totp"] is True
        other = console.browser()
        assert (await other.login("anna")).code == "totp_required"
        assert (await other.login("anna", "wrong")).code == "bad_login"
        assert (await other.login("anna", totp=code())).code == "bad_login", "the code that confirmed is used up"
        console.clock.forward(s=30)
        assert (await other.login("anna", totp=code())).status == 200
        assert (await other.login("anna", totp=code())).code == "bad_login"
        console.clock.forward(s=60)
        assert (await other.login("anna", totp=code(-2))).code == "bad_login"
        assert (await other.login("anna", totp=code(2))).code == "bad_login"
        assert (await other.login("anna", totp=code(1))).status == 200
        assert (await other.login("anna", totp=code())).code == "bad_login", "older than the one that was used"
        for wrong in ("", "1" * 17, "１２３４５６", "12345\u0000"):
            assert (await other.login("anna", totp=wrong)).status in (401, 422)
        console.clock.forward(s=60)
        await other.login("anna", totp=code())
        assert (await other.post("/api/totp/end", {"password": "wrong"})).code == "bad_login"
        assert (await other.post("/api/totp/end", {"password": PASSWORD})).json["user"]["totp"] is False
        assert (await anna.login("anna")).status == 200

    law(test, redis_server, tmp_path)


def test_codes_cannot_be_guessed(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console) -> None:
        anna = await console.person("anna", "agent")
        secret = (await anna.post("/api/totp/begin")).json["secret"]
        code = pyotp.TOTP(secret).at(console.clock.now_ms // 1000)
        anna.csrf = (await anna.post("/api/totp/confirm", {"code": code})).json["csrf"]
        console.clock.forward(minutes=20)
        thief = console.browser()
        codes = [(await thief.login("anna", totp=f"{n:06}")).code for n in range(PER_ACCOUNT + 2)]
        assert codes == ["bad_login"] * PER_ACCOUNT + ["too_many"] * 2

    law(test, redis_server, tmp_path)
