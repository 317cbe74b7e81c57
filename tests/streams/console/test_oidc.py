"""Logging in by a provider of identities, and what must not let anybody in."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
from aiohttp import hdrs, web
from joserfc.jwk import ECKey, Key

from engine.errors import ConfigurationError
from streams.console.file import ConsoleFile
from streams.console.gate import COOKIE
from streams.console.oidc_flow import FLOW_COOKIE, FLOW_MS
from streams.console.oidc_provider import OidcOptions
from streams.console.roles import Role
from streams.console.throttle import PER_ADDRESS
from streams.redis.embedded import EmbeddedRedis
from tests.streams.console.oidc import (
    CLIENT,
    EC,
    HOST,
    OTHER_RSA,
    RSA,
    SECRET,
    FakeProvider,
    login,
    sent_to,
)
from tests.streams.console.running import PASSWORD, Answer, Browser, Clock, Console, running

pytestmark = pytest.mark.usefixtures("redis_client")

Test = Callable[[Console, FakeProvider], Awaitable[None]]
ROLES = {"desk": "agent", "leads": "lead", "cn=all,ou=groups": "viewer"}


def law(test: Test, redis: EmbeddedRedis, directory: Path, **options: Any) -> None:
    """Run a test on a console with a provider."""

    async def run() -> None:
        clock = Clock()
        provider = FakeProvider(clock)
        await provider.start()
        secret = directory / "secret"
        secret.write_text(f"{SECRET}\n")
        given = OidcOptions(provider.url, CLIENT, secret, ROLES, "Campus ID", timeout_s=0.5, **options)
        urls = (f"http://{HOST}", "http://other.example")
        try:
            async with running(redis, directory, clock=clock, oidc=given, public_urls=urls) as console:
                await test(console, provider)
        finally:
            await provider.stop()

    asyncio.run(run())


async def who(browser: Browser) -> Any:
    return (await browser.get("/api/session", Host=HOST)).json["user"]


def problem(answer: Answer) -> str:
    """What the login page is told; nobody is let in."""
    assert answer.status == 303
    assert COOKIE not in answer.cookies
    head, _, code = answer.headers[hdrs.LOCATION].partition("=")
    assert head == "/#/login?problem"
    return str(code)


def test_somebody_whom_the_provider_knows_gets_in_with_the_role_of_their_group(
    redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    async def test(console: Console, provider: FakeProvider) -> None:
        browser = console.browser()
        assert (await browser.get("/api/session", Host=HOST)).json["oidc"] == {"label": "Campus ID"}
        before = browser.token
        where, asked = await sent_to(browser)
        assert where.startswith(f"{provider.url}/authorize?tenant=1&")
        assert asked.pop("redirect_uri") == f"http://{HOST}/api/oidc/callback"
        assert {len(asked.pop(name)) for name in ("state", "nonce")} == {64}
        assert len(asked.pop("code_challenge")) == 43
        assert asked == {
            "tenant": "1", "response_type": "code", "client_id": CLIENT, "scope": "openid profile email",
            "code_challenge_method": "S256",
        }  # fmt: skip
        answer = await login(browser, provider)
        assert (answer.status, answer.headers[hdrs.LOCATION]) == (303, "/")
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.cookies[COOKIE]["samesite"] == "Strict"
        assert browser.token != before
        assert await who(browser) == {"name": "anna", "role": "agent", "totp": False, "must_change": False}
        assert (await browser.get("/api/rules", Host=HOST)).status == 200
        assert (await browser.get("/api/users", Host=HOST)).code == "forbidden"
        assert console.audited() == [("identity provider", "user_add", "anna"), ("anna", "login", "oidc")]

    law(test, redis_server, tmp_path)


def test_the_cookie_of_a_login_under_way_is_for_that_alone(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console, provider: FakeProvider) -> None:
        browser = console.browser()
        await browser.begin()
        cookie = (await browser.get("/api/oidc/start")).cookies[FLOW_COOKIE]
        assert (cookie["path"], cookie["samesite"], cookie["httponly"]) == ("/api/oidc", "Lax", True)
        assert int(cookie["max-age"]) * 1000 == FLOW_MS
        answer = await login(browser, provider)
        assert answer.cookies[FLOW_COOKIE].value == ""
        assert answer.cookies[FLOW_COOKIE]["path"] == "/api/oidc"

    law(test, redis_server, tmp_path)


CLAIMS: dict[str, tuple[dict[str, Any], str]] = {
    "another nonce": ({"nonce": "0" * 64}, "oidc_token"),
    "no nonce": ({"nonce": None}, "oidc_token"),
    "several nonces": ({"nonce": ["x"]}, "oidc_token"),
    "another audience": ({"aud": "another"}, "oidc_token"),
    "no audience": ({"aud": None}, "oidc_token"),
    "an empty audience": ({"aud": []}, "oidc_token"),
    "several audiences, no azp": ({"aud": [CLIENT, "another"]}, "oidc_token"),
    "another azp": ({"azp": "another"}, "oidc_token"),
    "several audiences, another azp": ({"aud": [CLIENT, "another"], "azp": "another"}, "oidc_token"),
    "another issuer": ({"iss": "https://evil.example"}, "oidc_token"),
    "no issuer": ({"iss": None}, "oidc_token"),
    "expired": ({"exp": 1_600_000_000}, "oidc_token"),
    "no end": ({"exp": None}, "oidc_token"),
    "an end that is no time": ({"exp": "tomorrow"}, "oidc_token"),
    "of the future": ({"iat": 99_999_999_999}, "oidc_token"),
    "of no time": ({"iat": None}, "oidc_token"),
    "not yet": ({"nbf": 99_999_999_999}, "oidc_token"),
    "no subject": ({"sub": None}, "oidc_token"),
    "an empty subject": ({"sub": ""}, "oidc_token"),
    "a subject that is no text": ({"sub": 7}, "oidc_token"),
    "a long subject": ({"sub": "x" * 256}, "oidc_token"),
    "no name": ({"preferred_username": None}, "oidc_account"),
    "a name that is none": ({"preferred_username": "<script>"}, "oidc_account"),
    "a name of the command line": ({"preferred_username": "command line"}, "oidc_account"),
    "no groups": ({"groups": None}, "oidc_role"),
    "other groups": ({"groups": ["admin", "DESK", "lead"]}, "oidc_role"),
    "groups that are none": ({"groups": {"desk": True}}, "oidc_role"),
    "groups that are no texts": ({"groups": [["desk"], 1, None]}, "oidc_role"),
}


def test_a_token_that_says_something_else_lets_nobody_in(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console, provider: FakeProvider) -> None:
        browser = console.browser()
        for name, (claims, code) in CLAIMS.items():
            provider.claims = claims
            assert problem(await login(browser, provider)) == code, name
            assert await who(browser) is None
            console.clock.forward(minutes=15)  # else the address has to wait
        assert console.server.accounts.all() == []
        assert {(who, what) for who, what, _ in console.audited()} == {("-", "login_failed")}
        provider.claims = {"aud": [CLIENT, "another"], "azp": CLIENT, "groups": "cn=all,ou=groups"}
        assert (await login(browser, provider)).headers[hdrs.LOCATION] == "/"
        assert (await who(browser))["role"] == "viewer"

    law(test, redis_server, tmp_path)


def test_clocks_may_differ_by_a_minute(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console, provider: FakeProvider) -> None:
        now = console.clock() // 1000
        for claims, good in (
            ({"exp": now - 55}, True), ({"iat": now + 55}, True),
            ({"exp": now - 61}, False), ({"iat": now + 65}, False),
        ):  # fmt: skip
            provider.claims = claims
            answer = await login(console.browser(), provider)
            assert (answer.headers[hdrs.LOCATION] == "/") is good, claims

    law(test, redis_server, tmp_path)


def test_only_what_the_providers_keys_have_signed_is_believed(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console, provider: FakeProvider) -> None:
        browser = console.browser()
        curve = ECKey.generate_key("P-384", {"kid": "third"})
        provider.keys = [RSA, EC, curve]
        header, key = provider.header, provider.key
        bad: list[tuple[dict[str, Any], Key | bytes]] = [
            ({"alg": "none"}, b""),
            ({"alg": "none", "kid": "first"}, b""),
            ({"alg": "RS256", "kid": "first"}, b""),
            ({"alg": "HS256", "kid": "first"}, RSA.as_pem(private=False)),
            ({"alg": "HS256", "kid": "first"}, RSA.as_der(private=False)),
            ({"alg": "RS512", "kid": "first"}, RSA),
            ({"alg": "ES384", "kid": "third"}, curve),
            ({"alg": "RS256", "kid": "first"}, OTHER_RSA),
            ({"alg": "RS256", "kid": "unknown"}, OTHER_RSA),
            ({"alg": "RS256", "kid": "unknown", "jwk": OTHER_RSA.as_dict(private=False)}, OTHER_RSA),
            ({"alg": "RS256", "kid": "second"}, RSA),
            ({"alg": "ES256", "kid": "first"}, EC),
            ({"alg": "RS256"}, RSA),
            ({"alg": "RS256", "kid": "first", "crit": ["odd"], "odd": 1}, RSA),
        ]
        for given, signed_by in bad:
            provider.header, provider.key = given, signed_by
            assert problem(await login(browser, provider)) == "oidc_token", given
            console.clock.forward(minutes=15)
        for given, signed_by in (
            (header, key), ({"alg": "PS256", "kid": "first", "odd": 1}, RSA), ({"alg": "ES256", "kid": "second"}, EC),
        ):  # fmt: skip
            provider.header, provider.key = given, signed_by
            assert (await login(browser, provider)).headers[hdrs.LOCATION] == "/", given

    law(test, redis_server, tmp_path)


def test_new_keys_are_found_and_old_ones_forgotten(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console, provider: FakeProvider) -> None:
        async def code() -> str:
            return str((await login(console.browser(), provider)).headers[hdrs.LOCATION])

        assert await code() == "/"
        assert await code() == "/"
        assert provider.asked.count("keys") == provider.asked.count("configuration") == 1
        old = provider.header, provider.key
        provider.keys, provider.header, provider.key = [EC], {"alg": "ES256", "kid": "second"}, EC
        assert await code() == "/"
        provider.header, provider.key = old
        assert await code() == "/#/login?problem=oidc_token"
        # Under the same id, or with none at all.
        provider.keys, provider.key = [OTHER_RSA], OTHER_RSA
        assert await code() == "/"
        provider.header = {"alg": "RS256"}
        assert await code() == "/"
        n_asked = provider.asked.count("keys")
        console.clock.forward(hours=1)
        assert await code() == "/"
        assert provider.asked.count("keys") == n_asked + 1

    law(test, redis_server, tmp_path)


def test_an_answer_is_only_for_the_browser_that_asked_and_only_once(
    redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    async def test(console: Console, provider: FakeProvider) -> None:
        anna, other = console.browser(), console.browser()
        # A link of somebody who would like another browser to be logged in as them.
        _, asked = await sent_to(other)
        link = f"/api/oidc/callback?{urlencode({'code': provider.grant(asked), 'state': asked['state']})}"
        assert problem(await anna.get(link, Host=HOST)) == "oidc_state"
        await sent_to(anna)
        assert problem(await anna.get(link, Host=HOST)) == "oidc_state"
        # That came from elsewhere, so it did not disturb the login that is under way.
        assert FLOW_COOKIE not in (await anna.get(link, Host=HOST)).cookies
        for changed in ("", "0" * 64, "\u00e9", asked["nonce"]):
            assert problem(await login(anna, provider, state=changed)) == "oidc_state"
        # A code of another login, in an answer that is ours: the verifier does not fit.
        assert problem(await login(anna, provider, code=provider.grant(asked))) == "oidc_token"
        assert problem(await login(anna, provider, code="x")) == "oidc_token"
        assert problem(await login(anna, provider, iss="https://evil.example")) == "oidc_denied"
        # The same answer again, with the cookie that it had.
        browser = console.browser()
        _, mine = await sent_to(browser)
        cookies = {each.key: each.value for each in browser.client.cookie_jar}
        again = f"/api/oidc/callback?{urlencode({'code': provider.grant(mine), 'state': mine['state']})}"
        assert (await browser.get(again, Host=HOST)).headers[hdrs.LOCATION] == "/"
        n_asked = len(provider.asked)
        repeated = await console.browser().ask("GET", again, headers={hdrs.HOST: HOST}, cookies=cookies)
        assert problem(repeated) == "oidc_state"
        assert len(provider.asked) == n_asked
        # Too late.
        _, late = await sent_to(browser)
        console.clock.forward(ms=FLOW_MS)
        path = f"/api/oidc/callback?{urlencode({'code': provider.grant(late), 'state': late['state']})}"
        assert problem(await browser.get(path, Host=HOST)) == "oidc_state"

    law(test, redis_server, tmp_path)


def test_another_site_cannot_begin_a_login(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console, provider: FakeProvider) -> None:
        # The page's cookie is SameSite=Strict: whom another site leads here comes without it.
        answer = await console.browser().get("/api/oidc/start", Host=HOST)
        assert problem(answer) == "oidc_state"
        assert FLOW_COOKIE not in answer.cookies
        assert provider.asked == []

    law(test, redis_server, tmp_path)


def test_people_come_back_to_the_name_they_came_by_and_to_no_other(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console, provider: FakeProvider) -> None:
        for host, told in (("other.example", "other.example"), ("OTHER.example:80", HOST), ("localhost", HOST)):
            name = f"localhost:{console.server.url.rpartition(':')[2]}" if host == "localhost" else host
            _, asked = await sent_to(console.browser(), name)
            assert asked["redirect_uri"] == f"http://{told}/api/oidc/callback"
        assert (await console.browser().get("/api/oidc/start", Host="evil.example")).code == "host"
        assert (await login(console.browser(), provider, "other.example")).headers[hdrs.LOCATION] == "/"

    law(test, redis_server, tmp_path)


def test_a_person_is_who_the_provider_says_whatever_their_name(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console, provider: FakeProvider) -> None:
        console.add("otto", "admin")
        # Nobody gets the account of somebody else by being called like them.
        for name in ("otto", "Otto"):
            provider.claims = {"preferred_username": name, "groups": ["desk"], "sub": "other"}
            assert problem(await login(console.browser(), provider)) == "oidc_account"
        provider.claims = {}
        anna = console.browser()
        assert (await login(anna, provider)).headers[hdrs.LOCATION] == "/"
        provider.claims = {"sub": "0816"}
        assert problem(await login(console.browser(), provider)) == "oidc_account"
        provider.claims = {"preferred_username": "Anna-Lena", "groups": ["leads", "desk"]}
        again = console.browser()
        assert (await login(again, provider)).headers[hdrs.LOCATION] == "/"
        assert await who(again) == {"name": "anna", "role": "lead", "totp": False, "must_change": False}
        # Another role: the sessions of the old one have ended.
        assert await who(anna) is None
        # No role any more: all have.
        provider.claims = {"groups": []}
        assert problem(await login(console.browser(), provider)) == "oidc_role"
        assert await who(again) is None
        assert console.audited()[-3:] == [
            ("identity provider", "user_change", "anna"),
            ("anna", "login", "oidc"), ("anna", "login_failed", "oidc_role"),
        ]  # fmt: skip

    law(test, redis_server, tmp_path)


def test_an_admin_can_lock_an_account_of_the_provider_and_nothing_else(
    redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    async def test(console: Console, provider: FakeProvider) -> None:
        root, anna = await console.person("root", "admin"), console.browser()
        await login(anna, provider)
        (row, _) = (await root.get("/api/users")).json
        assert (row["name"], row["external"], row["password"]) == ("anna", True, False)
        for body in ({"reset": True}, {"role": "admin"}):
            assert (await root.post("/api/users/anna", body)).code == "invalid"
        csrf = (await anna.get("/api/session", Host=HOST)).json["csrf"]
        own = {"Host": HOST, "Origin": f"http://{HOST}", "X_CSRF_Token": csrf}
        assert (await anna.post("/api/totp/begin", {}, **own)).code == "invalid"
        assert (await anna.post("/api/password", {"old": "x", "new": PASSWORD}, **own)).code == "bad_login"
        assert (await console.browser().login("anna", "x")).code == "bad_login"
        assert (await root.post("/api/users/anna", {"disabled": True})).status == 200
        assert await who(anna) is None
        assert problem(await login(anna, provider)) == "oidc_account"
        assert (await root.post("/api/users/anna", {"disabled": False})).status == 200
        assert (await login(anna, provider)).headers[hdrs.LOCATION] == "/"

    law(test, redis_server, tmp_path)


def test_admins_of_the_provider_do_not_count_as_the_last_one(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    with_admin = ConsoleFile(tmp_path / "console.sqlite")
    with_admin.write(
        "INSERT INTO users (name, role, created_at, subject) VALUES ('ada', 'admin', 1, 'https://id.example 1')"
    )
    with_admin.close()

    async def test(console: Console, provider: FakeProvider) -> None:
        assert console.server.first_link() is not None
        root = await console.person("root", "admin")
        assert (await root.post("/api/users/root", {"disabled": True})).code == "invalid"
        assert (await root.post("/api/users/ada", {"disabled": True})).status == 200

    law(test, redis_server, tmp_path)


def test_a_provider_that_does_not_answer_as_it_should_lets_nobody_in(
    redis_server: EmbeddedRedis, tmp_path: Path
) -> None:
    async def test(console: Console, provider: FakeProvider) -> None:
        async def told() -> str:
            console.clock.forward(hours=2)  # what was known of it has to be asked anew
            browser = console.browser()
            await browser.get("/api/session", Host=HOST)
            answer = await browser.get("/api/oidc/start", Host=HOST)
            if FLOW_COOKIE in answer.cookies:
                answer = await login(browser, provider)
            return str(answer.headers[hdrs.LOCATION].partition("=")[2])

        elsewhere = FakeProvider(console.clock)
        await elsewhere.start()
        odd: list[Callable[[], web.Response]] = [
            lambda: web.Response(text="<html>"),
            lambda: web.json_response([]),
            lambda: web.json_response({}),
            lambda: web.json_response({"error": "<script>"}, status=500),
            lambda: web.Response(body=b'{"x": "' + b"x" * 300_000 + b'"}'),
            lambda: web.Response(body=b'{"x": ' + b"[" * 100_000),
            lambda: web.Response(body=b"x", headers={"Content-Encoding": "gzip"}),
            lambda: web.Response(status=302, headers={"Location": f"{elsewhere.url}/.well-known/openid-configuration"}),
        ]
        for what in ("configuration", "keys", "token"):
            for answer in odd:
                provider.answers = {what: answer}
                assert await told() == "oidc_provider"
        provider.answers = {"token": lambda: web.json_response({"id_token": "x.y"})}
        assert await told() == "oidc_token"
        for token in ("", "a.b.c", "." * 5, "e30.e30.", "[]", "\u00e9.x.x", "x" * 200_000):
            provider.answers = {"token": partial(web.json_response, {"id_token": token})}
            assert await told() == "oidc_token"
        provider.answers = {}
        for changed in (
            {"issuer": f"{provider.url}/"}, {"issuer": None}, {"token_endpoint": None}, {"jwks_uri": 7},
            {"token_endpoint": "http://intranet.example/token"}, {"jwks_uri": "file:///keys"},
            {"authorization_endpoint": "javascript:alert(1)"}, {"authorization_endpoint": "https://a@id.example/"},
            {"jwks_uri": "https://[::1/"}, {"padding": "x" * 300_000},
        ):  # fmt: skip
            provider.discovery = changed
            assert await told() == "oidc_provider", changed
        provider.discovery = {"token_endpoint_auth_methods_supported": ["client_secret_post"]}
        assert await told() == ""
        provider.discovery = {}
        provider.slow = True
        assert await told() == "oidc_provider"
        # Others who try just then are told at once.
        n_asked, other = len(provider.asked), console.browser()
        await other.get("/api/session", Host=HOST)
        assert problem(await other.get("/api/oidc/start", Host=HOST)) == "oidc_provider"
        assert len(provider.asked) == n_asked
        await provider.stop()
        assert await told() == "oidc_provider"
        assert elsewhere.asked == []
        await elsewhere.stop()
        provider.slow = False
        await provider.start()
        assert await told() == ""

    law(test, redis_server, tmp_path)


def test_failures_are_counted_and_what_the_provider_owes_is_not(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console, provider: FakeProvider) -> None:
        browser = console.browser()
        provider.answers = {"token": lambda: web.Response(status=500)}
        for _ in range(PER_ADDRESS + 1):
            assert problem(await login(browser, provider)) == "oidc_provider"
        for _ in range(PER_ADDRESS + 1):
            assert problem(await login(browser, provider, state="x")) == "oidc_state"
        provider.answers = {}
        for _ in range(PER_ADDRESS):
            assert problem(await login(browser, provider, code="x")) == "oidc_token"
        assert problem(await login(browser, provider)) == "too_many"
        console.clock.forward(minutes=15)
        assert (await login(browser, provider)).headers[hdrs.LOCATION] == "/"

    law(test, redis_server, tmp_path)


def test_the_log_has_no_word_of_what_was_sent(
    redis_server: EmbeddedRedis, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def test(console: Console, provider: FakeProvider) -> None:
        caplog.set_level("DEBUG", "streams")
        sent: list[str] = []
        told: list[dict[str, Any]] = [{}, {"nonce": "x"}, {"groups": []}, {"preferred_username": "a-name-of-nobody "}]
        for provider.claims in told:
            _, asked = await sent_to(browser := console.browser())
            code = provider.grant(asked)
            sent += [code, asked["state"], asked["nonce"], asked["code_challenge"], browser.token or ""]
            await browser.get(f"/api/oidc/callback?{urlencode({'code': code, 'state': asked['state']})}", Host=HOST)
        await login(console.browser(), provider, state=sent[1], error="a-secret-error")
        assert "oidc_role" in caplog.text
        assert not any(word in caplog.text for word in [*sent, SECRET, "a-name", "a-secret", "eyJ"])

    law(test, redis_server, tmp_path)


def test_roles_and_names_can_be_in_other_claims(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    async def test(console: Console, provider: FakeProvider) -> None:
        provider.claims = {"email": "anna@example.org", "realm_access": {"roles": ["leads"]}, "email_verified": False}
        assert problem(await login(console.browser(), provider)) == "oidc_account"
        provider.claims["email_verified"] = True
        assert (await login(console.browser(), provider)).headers[hdrs.LOCATION] == "/"
        (account,) = console.server.accounts.all()
        assert (account.name, account.role) == ("anna@example.org", Role.LEAD)

    law(test, redis_server, tmp_path, name_claim="email", role_claim="realm_access.roles")


@pytest.mark.parametrize(
    ("issuer", "roles", "match"),
    [
        ("http://id.example", ROLES, "--oidc-issuer"), ("https://", ROLES, "--oidc-issuer"),
        ("https://a@id.example", ROLES, "--oidc-issuer"), ("https://id.example?x", ROLES, "--oidc-issuer"),
        ("https://id.example", {}, "--oidc-roles"), ("https://id.example", {"desk": "boss"}, "--oidc-roles"),
    ],
)  # fmt: skip
def test_settings_that_are_none_are_refused(issuer: str, roles: dict[str, str], match: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)
    with pytest.raises(ConfigurationError, match=match):
        OidcOptions(issuer, CLIENT, secret, roles, "x")
    with pytest.raises(ConfigurationError, match="--oidc-client-secret-file"):
        OidcOptions("https://id.example", CLIENT, tmp_path / "none", ROLES, "x")


def test_it_needs_a_name_by_which_people_come_back(redis_server: EmbeddedRedis, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(SECRET)

    async def run() -> None:
        options = OidcOptions("https://id.example", CLIENT, secret, ROLES, "x")
        with pytest.raises(ConfigurationError, match="--public-url"):
            async with running(redis_server, tmp_path, oidc=options):
                pass

    asyncio.run(run())
