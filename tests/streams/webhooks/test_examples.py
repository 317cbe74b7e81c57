"""The examples of docs/webhooks.md verify what we sign, and nothing else."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from streams.webhooks.endpoint_file import read_webhooks
from streams.webhooks.signature import parse_secret, signatures
from tests.streams.webhooks.stage import SECRET

PAGE = Path(__file__).resolve().parents[3] / "docs" / "webhooks.md"
OTHER = "whsec_" + "QUJD" * 8
BODY = '{"n": "客户"}'.encode()


def block(language: str) -> str:
    (found,) = re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    return str(found)


def headers(*secrets: str, at_s: int) -> dict[str, str]:
    signed = signatures([parse_secret(each) for each in secrets], "a:0:1", at_s, BODY)
    return {"webhook-id": "a:0:1", "webhook-timestamp": str(at_s), "webhook-signature": signed}


def python(secrets: list[str], given: dict[str, str], body: bytes) -> str:
    names: dict[str, Any] = {}
    exec(block("python"), names)
    try:
        names["verify"](secrets, given, body)
    except ValueError as error:
        return str(error)
    return "ok"


def node(secrets: list[str], given: dict[str, str], body: bytes) -> str:
    program = shutil.which("node")
    if program is None:
        if os.environ.get("CI"):
            raise FileNotFoundError("node")
        pytest.skip("node is not installed")
    call = f"verify({json.dumps(secrets)}, {json.dumps(given)}, Buffer.from('{body.hex()}', 'hex'))"
    script = f"{block('js')}\ntry {{ {call}; console.log('ok') }} catch (error) {{ console.log(error.message) }}"
    result = subprocess.run([program, "-e", script], capture_output=True, text=True, timeout=30, check=True)
    return result.stdout.strip()


@pytest.mark.parametrize("verify", [python, node])
def test_an_example_takes_what_is_ours_and_refuses_the_rest(
    verify: Callable[[list[str], dict[str, str], bytes], str],
) -> None:
    now = int(time.time())
    ours = headers(SECRET, OTHER, at_s=now)
    for known in ([SECRET], [OTHER], [OTHER, SECRET]):
        assert verify(known, ours, BODY) == "ok"
    assert verify([SECRET], headers(OTHER, at_s=now), BODY) == "no signature fits"
    assert verify([SECRET], ours, BODY + b" ") == "no signature fits"
    assert verify([SECRET], ours | {"webhook-id": "a:0:2"}, BODY) == "no signature fits"
    assert verify([SECRET], headers(SECRET, at_s=now - 400), BODY) == "too old, or from the future"


def test_the_file_of_the_page_is_right() -> None:
    found = read_webhooks(block("toml"), "docs/webhooks.md", Path())
    assert [each.name for each in found.endpoints] == ["crm"]
