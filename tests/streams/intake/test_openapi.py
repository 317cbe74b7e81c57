"""The document says what the intake does."""

from __future__ import annotations

import re
from typing import Any

import orjson
import pytest

from engine.decode import decode
from engine.errors import InvalidEvent
from engine.event import KINDS
from engine.fields import FIELDS
from streams.intake.openapi import openapi
from streams.intake.problem import CODES

DOCUMENT = openapi(max_bytes=1_000, with_tokens=True)
SCHEMAS = DOCUMENT["components"]["schemas"]
VARIANTS = {kind: each for each in SCHEMAS["Event"]["allOf"][1]["anyOf"] for kind in each["properties"]["kind"]["enum"]}
GOOD = {
    "event_id": "e",
    "ts": 0,
    "customer_id": "c",
    "category": "*",
    "score": 3,
    "ref": "r",
    "flag": "f",
    "state": "up",
    "lane": 0,
    "lanes": 1,
    "until": 1,
}


def test_every_reference_leads_somewhere() -> None:
    for reference in re.findall(r'"\$ref":"#/([^"]+)"', orjson.dumps(DOCUMENT).decode()):
        found: Any = DOCUMENT
        for part in reference.split("/"):
            found = found[part]


def test_every_status_of_the_intake_is_documented() -> None:
    documented = {int(status) for status in DOCUMENT["paths"]["/events"]["post"]["responses"]}
    # Of paths and methods that are not there, there is nothing to document.
    assert documented == {202} | {status for status, _ in CODES.values()} - {404, 405}
    assert SCHEMAS["Problem"]["properties"]["code"]["enum"] == list(CODES)


def test_every_field_and_every_kind_is_documented_once() -> None:
    assert set(SCHEMAS["Fields"]["properties"]) == FIELDS
    kinds = [kind for each in SCHEMAS["Event"]["allOf"][1]["anyOf"] for kind in each["properties"]["kind"]["enum"]]
    assert sorted(kinds) == sorted(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_needs_what_the_engine_needs(kind: str) -> None:
    variant = VARIANTS[kind]
    # Where a condition stands, what is needed when it does not hold: the plain case.
    required = [*SCHEMAS["Fields"]["required"], *variant["required"], *variant.get("else", {}).get("required", ())]
    least = {name: GOOD[name] for name in required if name != "kind"} | {"kind": kind}
    decode(orjson.dumps(least))
    for name in required:
        with pytest.raises(InvalidEvent):
            decode(orjson.dumps({key: value for key, value in least.items() if key != name}))


@pytest.mark.parametrize(
    ("name", "good", "bad"),
    [
        ("customer_id", ["a", " a ", "学生", "a b"], ["", " ", "a\n", "\x85", "a" * 129]),
        ("category", ["*", "a", "a/b", "billing invoice/x", "ü", "a*"],
         ["", "A", "a//b", "/a", "a/", "a/*", "a/ ", "*/a"]),
        ("channel", ["web", "ü" * 32], ["", "a\tb", "a" * 33]),
        ("reason", ["two\nlines", "a\tb"], ["", "\x00"]),
        ("ts", ["2026-01-31T08:00:00.250+08:00", "2026-01-31t08:00:00z", "2026-01-31 08:00:00Z"],
         ["2026-01-31", "2026-01-31T08:00:00", "now", ""]),
    ],
)  # fmt: skip
def test_a_pattern_matches_what_the_engine_takes(name: str, good: list[str], bad: list[str]) -> None:
    schema = SCHEMAS["Fields"]["properties"][name]
    schema = next(each for each in schema.get("anyOf", [schema]) if "pattern" in each)
    for value in (*good, *bad):
        length = schema.get("minLength", 0) <= len(value) <= schema.get("maxLength", 10**6)
        # Python's $ also matches before a last newline; that of JSON Schema does not.
        said = length and re.fullmatch(schema["pattern"], value) is not None
        event = {**GOOD, "kind": "ack", name: value}
        try:
            decode(orjson.dumps(event))
            taken = True
        except InvalidEvent:
            taken = False
        assert (said, taken) == (value in good,) * 2, value


def test_without_tokens_none_is_asked_for() -> None:
    document = openapi(max_bytes=1_000, with_tokens=False)
    assert "security" not in document
    assert "401" not in document["paths"]["/events"]["post"]["responses"]
