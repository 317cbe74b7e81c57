from __future__ import annotations

from pathlib import Path

import pytest

from engine.duration import DAY_MS
from engine.errors import ConfigurationError
from streams.webhooks.endpoint import Filter
from streams.webhooks.endpoint_file import load_webhooks, read_webhooks
from tests.streams.webhooks.stage import SECRET

WHOLE = """
version = 1
[spool]
known = "3d"
keep_dead = "5d"
max_messages = 5000

[[endpoint]]
name = "crm"
url = "https://crm.example:8443/hooks/henji?team=a"
secrets = [{ file = "crm.secret" }, { env = "CRM_OLD" }]
timeout = "3s"
max_attempts = 7
max_age = "12h"
concurrency = 2
refused = "retry"
ca = "ca.pem"
[endpoint.filter]
flags = ["sensitive*"]
ops = ["raise", "clear"]
routes = ["team:*"]
max_priority = 2
include_held = true

[[endpoint]]
name = "lab"
url = "http://127.0.0.1:8080/"
secrets = [{ env = "LAB" }]
allow_private = true
allow_insecure = true
"""


def test_a_whole_file_is_read() -> None:
    found = read_webhooks(WHOLE, "webhooks.toml", Path("etc"))
    crm, lab = found.endpoints
    assert (found.limits.known_ms, found.limits.keep_dead_ms, found.limits.max_messages) == (
        3 * DAY_MS,
        5 * DAY_MS,
        5000,
    )
    assert (crm.name, crm.url) == ("crm", "https://crm.example:8443/hooks/henji?team=a")
    assert [(each.file, each.env) for each in crm.secrets] == [(Path("etc/crm.secret"), ""), (None, "CRM_OLD")]
    assert (crm.timeout_s, crm.max_attempts, crm.max_age_ms, crm.concurrency) == (3.0, 7, DAY_MS // 2, 2)
    assert (crm.refused_is_final, crm.ca) == (False, Path("etc/ca.pem"))
    assert crm.wants == Filter(("sensitive*",), ("raise", "clear"), ("team:*",), 2, True)
    assert (lab.timeout_s, lab.max_attempts, lab.max_age_ms, lab.concurrency) == (10.0, 100, 3 * DAY_MS, 4)
    assert lab.refused_is_final
    assert (lab.wants, lab.ca) == (Filter(), None)


def one(**more: str) -> str:
    lines = {"name": '"crm"', "url": '"https://crm.example/"', "secrets": '[{ env = "CRM" }]'} | more
    return "version = 1\n[[endpoint]]\n" + "".join(f"{name} = {value}\n" for name, value in lines.items())


WRONG = [
    ("version = 2\n", r"webhooks.toml:1: version: expected 1, got 2"),
    ("version = 1\n", r"endpoint: expected 1 to 64 tables"),
    ("version = 1\nendpoint = 3\n", r"endpoint: expected 1 to 64 tables"),
    ("version = [", r"webhooks.toml: expected TOML"),
    (one(colour='"red"'), r"webhooks.toml:6: endpoint\[0\].colour: expected only name, url"),
    (one(name='"CRM"'), r"webhooks.toml:3: endpoint\[0\].name: expected 1 to 64 of"),
    (one() + one()[12:], r"endpoint\[1\].name: expected a name that no other endpoint has"),
    (one(timeout='"0s"'), r"endpoint\[0\].timeout: expected a duration such as 10s"),
    (one(timeout="3"), r"endpoint\[0\].timeout: expected a duration"),
    (one(timeout='"2h"'), r"endpoint\[0\].timeout: expected a duration"),
    (one(max_attempts="true"), r"endpoint\[0\].max_attempts: expected a whole number"),
    (one(concurrency="0"), r"endpoint\[0\].concurrency: expected a whole number from 1 to 64"),
    (one(refused='"maybe"'), r'endpoint\[0\].refused: expected "dead" or "retry"'),
    (one(allow_private='"yes"'), r"endpoint\[0\].allow_private: expected true or false"),
    (one(ca="3"), r"endpoint\[0\].ca: expected the name of a file"),
    (one(secrets="[]"), r"endpoint\[0\].secrets: expected a list of 1 to 8"),
    (one(secrets=f'"{SECRET}"'), r"endpoint\[0\].secrets: expected a list of 1 to 8 like .*, got no list"),
    (one(secrets=f'["{SECRET}"]'), r"endpoint\[0\].secrets\[0\]: expected .*, got something else"),
    (one(secrets=f'[{{ value = "{SECRET}" }}]'), r"endpoint\[0\].secrets\[0\]: expected .*, got something else"),
    (one(secret=f'"{SECRET}"'), r"endpoint\[0\].secret: expected only .*, got 'secret'"),
    (one(filter="{ priority = 3 }"), r"endpoint\[0\].filter.priority: expected only flags"),
    (one(filter='{ ops = ["rise"] }'), r"endpoint\[0\].filter.ops\[0\]: expected one of raise"),
    (one(filter="{ flags = [] }"), r"endpoint\[0\].filter.flags: expected a list of 1 to 256 texts"),
    (one(filter="{ max_priority = 6 }"), r"endpoint\[0\].filter.max_priority: expected a whole number from 1 to 5"),
    ("version = 1\nspool = 3\n" + one()[12:], r"webhooks.toml:2: spool: expected a table"),
]


@pytest.mark.parametrize(("text", "message"), WRONG)
def test_a_wrong_file_is_refused_with_its_field_and_without_a_secret(text: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message) as caught:
        read_webhooks(text, "webhooks.toml", Path())
    assert SECRET not in str(caught.value)


URLS = [
    ("http://crm.example/", "expected https"),
    ("ftp://crm.example/", "expected https://HOST:PORT/PATH"),
    ("crm.example/hook", "expected https://HOST:PORT/PATH"),
    ("https://", "expected a host name"),
    ("https://user:hunter2@crm.example/", "expected a URL without user or password"),
    ("https://user@crm.example/", "expected a URL without user or password"),
    ("https://@crm.example/", "expected a URL without user or password"),
    ("https://crm.example/#top", "expected a URL without a fragment"),
    ("https://crm.example:0/", "expected a port"),
    ("https://crm.example:99999/", "expected https://HOST:PORT/PATH"),
    ("https://crm example/", "expected a URL of ASCII"),
    ("https://crm.example\\\\@evil.example/", "expected a URL of ASCII"),
    ("https://客户.example/", "expected a URL of ASCII"),
    ("https://127.0.0.1/", "a loopback address; allow_private"),
    ("https://10.0.0.1/", "a private address; allow_private"),
    ("https://[::1]/", "a loopback address; allow_private"),
    ("https://[::ffff:10.0.0.1]/", "a private address; allow_private"),
    ("https://169.254.169.254/", "a link-local address; nothing"),
    ("https://2130706433/", "an IP address in its usual notation"),
    ("https://0x7f000001/", "an IP address in its usual notation"),
    ("https://017700000001/", "an IP address in its usual notation"),
    ("https://127.1/", "an IP address in its usual notation"),
    ("https://0x7f.1/", "an IP address in its usual notation"),
    ("https://127.0.0.1./", "an IP address in its usual notation"),
    ("https://crm..example/", "expected a host name"),
    ("https://-crm.example/", "expected a host name"),
]


@pytest.mark.parametrize(("url", "message"), URLS)
def test_a_url_that_may_lead_astray_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_webhooks(one(url=f'"{url}"'), "webhooks.toml", Path())
    assert "webhooks.toml:4: endpoint[0].url: expected" in str(caught.value)
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


SECRETS = [
    ("hunter2", "got a text without whsec_"),
    ("whsec_%%%", "got something that is not base64"),
    ("whsec_aHVudGVyMg==", "got 7 bytes"),
    ("", "got a text without whsec_"),
]


@pytest.mark.parametrize(("text", "message"), SECRETS)
def test_a_secret_that_is_none_is_refused_and_not_shown(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "webhooks.toml").write_text(one(secrets='[{ file = "crm" }]'))
    (tmp_path / "crm").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load_webhooks(tmp_path / "webhooks.toml", {})
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "aHVudGVyMg" not in str(caught.value)


def test_secrets_and_certificates_that_are_not_there_are_named(tmp_path: Path) -> None:
    path = tmp_path / "webhooks.toml"
    path.write_text(one())
    with pytest.raises(ConfigurationError, match=r"secrets\[0\]: expected a secret in the variable CRM, got nothing"):
        load_webhooks(path, {})
    assert load_webhooks(path, {"CRM": SECRET}).endpoints[0].name == "crm"
    path.write_text(one(secrets='[{ env = "A" }, { env = "B" }]'))
    with pytest.raises(ConfigurationError, match="expected every secret once"):
        load_webhooks(path, {"A": SECRET, "B": SECRET})
    path.write_text(one(secrets='[{ file = "nowhere" }]'))
    with pytest.raises(ConfigurationError, match="expected a readable file with a secret, got FileNotFoundError"):
        load_webhooks(path, {})
    path.write_text(one(ca='"nowhere.pem"'))
    with pytest.raises(ConfigurationError, match="endpoint crm, ca: expected a readable file"):
        load_webhooks(path, {"CRM": SECRET})
    with pytest.raises(ConfigurationError, match="expected a readable UTF-8 file"):
        load_webhooks(tmp_path / "no.toml", {})
