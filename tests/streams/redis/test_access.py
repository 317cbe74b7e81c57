"""Settings of Redis become one access, clear errors, and never a password that is told."""

from __future__ import annotations

import traceback
from pathlib import Path

import pytest

from engine.errors import ConfigurationError, UsageError
from streams.cli.stores import redis_of
from streams.redis.access import RedisAccess, Sentinels
from streams.redis.client import connect
from streams.settings import Settings, load_settings

SECRET = "s3cret-päss:#/@"


def settings(**given: object) -> Settings:
    return load_settings(
        None, {}, [(f"redis.{key.replace('__', '.')}", str(value), "--set") for key, value in given.items()]
    )


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.write_text(SECRET + "\n", "utf-8")
    return path


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://", RedisAccess()),
        ("redis:///3", RedisAccess(db=3)),
        ("redis://db.example:7000/2", RedisAccess("db.example", 7000, db=2)),
        ("redis://[::1]:7000", RedisAccess("::1", 7000)),
        ("redis://h?db=4", RedisAccess("h", db=4)),
        ("redis://:p%23w@h", RedisAccess("h", password="p#w")),
        ("redis://u:p@h", RedisAccess("h", user="u", password="p")),
        ("redis://h?username=u&password=p%2Fw", RedisAccess("h", user="u", password="p/w")),
        ("unix:///run/redis.sock?db=1", RedisAccess(path="/run/redis.sock", db=1)),
    ],
)
def test_a_url_says_where_and_who(url: str, expected: RedisAccess) -> None:
    assert RedisAccess.parse(url) == expected


@pytest.mark.parametrize("url", ["redis://db.example:7000/2", "unix:///run/redis.sock?db=1", "rediss://h:6379/0"])
def test_an_access_is_told_as_its_url(url: str) -> None:
    assert str(RedisAccess.parse(url)) == url


def test_only_an_encrypted_access_has_a_context_and_it_checks_names_and_certificates() -> None:
    assert RedisAccess.parse("redis://h").tls is None
    tls = RedisAccess.parse("rediss://h").tls
    assert tls is not None
    assert (tls.check_hostname, tls.verify_mode.name) == (True, "CERT_REQUIRED")


@pytest.mark.parametrize(
    "url",
    [
        f"redis://henji:{SECRET}@h",  # not percent-encoded: the password looks like a port
        "redis://henji:s3cret@h:port/0",
        "redis://henji:s3cret@[h/0",
        "redis://h/s3cret",
        "redis://h?ssl_cert_reqs=none&password=s3cret",
        "redis://h?s3cret",
        "http://henji:s3cret@h",
        "s3cret",
        "unix://?password=s3cret",
    ],
)
def test_a_url_that_is_wrong_is_refused_without_telling_it(url: str) -> None:
    with pytest.raises(UsageError, match="redis URL: expected") as caught:
        RedisAccess.parse(url)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value)).replace(url, "")


def test_the_settings_come_before_the_url(password_file: Path) -> None:
    access = RedisAccess.of(settings(url="redis://ann:old@h", user="henji", password_file=password_file))
    assert (access.user, access.password) == ("henji", SECRET)
    access = RedisAccess.of(settings(url="redis://ann:old@h"))
    assert (access.user, access.password) == ("ann", "old")


def test_sentinels_are_asked_as_users_of_their_own(password_file: Path) -> None:
    access = RedisAccess.of(
        settings(
            url="redis:///2",
            sentinels="s1:26379, [::1]:26380",
            service="risk",
            sentinel__user="watcher",
            sentinel__password_file=password_file,
        )
    )
    assert access == RedisAccess(db=2, sentinels=Sentinels((("s1", 26379), ("::1", 26380)), "risk", "watcher", SECRET))
    assert str(access) == "redis:///2, primary risk of the Sentinels s1:26379,::1:26380"


def test_no_password_is_ever_told(password_file: Path) -> None:
    access = RedisAccess.of(
        settings(
            url="redis:///0",
            user="henji",
            password_file=password_file,
            sentinels="s1:26379",
            sentinel__user="watcher",
            sentinel__password_file=password_file,
        )
    )
    for each in (access, RedisAccess("h", user="henji", password=SECRET), RedisAccess(path="/s", password=SECRET)):
        client = connect(each)
        told = [repr(each), str(each), repr(client), repr(client.connection_pool), repr(vars(client.connection_pool))]  # type: ignore[attr-defined]  # redis-py's
        client.close()
        assert not any(SECRET in text for text in told)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"url": "redis://h", "user": "henji"}, r"redis\.user \(--set\): expected a password with it"),
        (
            {"url": "redis://h", "ca": "ca.pem"},
            r"redis\.ca \(--set\): expected a redis\.url that begins with rediss://",
        ),
        ({"url": "rediss://h", "ca": "missing.pem"}, r"redis\.ca: expected a readable file in PEM at missing\.pem"),
        ({"url": "redis://h", "password_file": "missing"}, r"redis\.password_file \(--set\): expected a readable file"),
        ({"url": "redis:///0", "sentinels": "s1"}, r"redis\.sentinels \(--set\): expected HOST:PORT,HOST:PORT"),
        ({"url": "redis:///0", "sentinels": "s1:99999"}, r"redis\.sentinels \(--set\): expected HOST:PORT"),
        ({"url": "redis:///0", "sentinels": "s1:1,,s2:1"}, r"redis\.sentinels \(--set\): expected HOST:PORT"),
        (
            {"url": "unix:///s", "sentinels": "s1:1"},
            r"redis\.sentinels \(--set\): expected redis\.url to be redis:///DB",
        ),
        ({"url": "redis:///0", "sentinels": "s1:1", "sentinel__user": "w"}, r"redis\.sentinel\.user \(--set\)"),
        ({"sentinels": "s1:1"}, r"redis\.sentinels \(--set\): expected redis\.url with it"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(given: dict[str, str], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        redis_of(settings(**given))


@pytest.mark.parametrize("content", [b"", b"\n", b"s3cret\nanother\n", b"s3cret\xff"])
def test_a_password_file_that_holds_none_is_refused_without_telling_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "password"
    path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=r"redis\.password_file \(--set\): expected a") as caught:
        RedisAccess.of(settings(url="redis://h", password_file=path))
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


def test_an_empty_ca_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    with pytest.raises(ConfigurationError, match=r"redis\.ca: expected a readable file in PEM"):
        RedisAccess.of(settings(url="rediss://h", ca=tmp_path / "ca.pem"))


@pytest.mark.parametrize("word", ["none", "embedded"])
def test_a_word_stands_for_itself(word: str) -> None:
    assert redis_of(settings(url=word, sentinels="s1:1")) == word
